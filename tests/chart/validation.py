"""Whether Kubernetes and the operators would know what a manifest says; no server is asked.

Kubernetes' own kinds are held against its schemas, in which a field that is unknown is an error. No package carries the
operators' definitions in a form that is usable here: `operators.yaml` has schemas of the fields that we use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from kubernetes_validate.utils import latest_version, schema_contents  # type: ignore[import-untyped]
from referencing import Registry, Resource
from ruamel.yaml import YAML

from tests.chart.helm import Manifest

# The oldest version that the chart is for, and the newest whose schemas there are.
KUBERNETES = ("1.29.0", latest_version())
_BUILT_IN = ("v1", "apps/v1", "batch/v1", "policy/v1", "autoscaling/v2", "networking.k8s.io/v1")
_SCHEMAS = Path(__file__).with_name("operators.yaml")


def complaints(manifest: Manifest) -> list[str]:
    """What is wrong with it, each with the place; nothing if all is well."""
    if manifest.get("apiVersion") in _BUILT_IN:
        found = [line for kubernetes in KUBERNETES for line in _against_kubernetes(manifest, kubernetes)]
    else:
        found = _against_schema(manifest)
    name = manifest.get("metadata", {}).get("name")
    return [f"{manifest.get('kind')} {name}: {line}" for line in found]


def _against_kubernetes(manifest: Manifest, version: str) -> Iterator[str]:
    try:
        schema = _built_in_schema(str(manifest["kind"]), str(manifest["apiVersion"]), version)
    except FileNotFoundError:
        yield f"Kubernetes {version} has no {manifest['kind']} of {manifest['apiVersion']}"
        return
    for error in schema.iter_errors(manifest):
        yield f"Kubernetes {version}: {_said(error)}"


@cache
def _built_in_schema(kind: str, api_version: str, version: str) -> Any:
    # The package's own `validate` reads a megabyte of definitions anew for each manifest.
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    group = api_version.replace(".k8s.io", "").replace("/", "-")
    schema = schema_contents(f"{folder}/{kind.lower()}-{group}.json", version)
    definitions = Resource.from_contents(schema_contents(f"{folder}/_definitions.json", version))
    return jsonschema.Draft202012Validator(schema, registry=definitions @ Registry())


def _against_schema(manifest: Manifest) -> list[str]:
    schema = _schemas().get(f"{manifest.get('apiVersion')} {manifest.get('kind')}")
    if schema is None:
        return [f"there is no schema of {manifest.get('apiVersion')}"]
    return [_said(error) for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest["spec"])]


@cache
def _schemas() -> Mapping[str, Any]:
    found = YAML(typ="safe").load(_SCHEMAS)
    shared = found.pop("$defs")
    return {kind: {**schema, "$defs": shared} for kind, schema in found.items()}


def _said(error: jsonschema.ValidationError) -> str:
    return f"{'.'.join(str(part) for part in error.absolute_path) or '(all of it)'}: {error.message[:200]}"
