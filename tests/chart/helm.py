"""Helm itself, by the package that carries it; and the files of `deploy/helm`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
from ruamel.yaml import YAML

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "helm"
CHART = FOLDER / "remit"
RELEASE = "remit"
NAMESPACE = "payments"
SERVICES = ("gateway", "fraud", "transfer", "ledger", "audit")
WORKERS = SERVICES[1:]

Manifest = Mapping[str, Any]
Values = Mapping[str, Any]


def documents(text: str) -> list[Any]:
    """The documents of a YAML text, without the empty ones."""
    return [document for document in YAML(typ="safe").load_all(text) if document]


def example(name: str) -> list[Any]:
    """The documents of a file of `deploy/helm/examples`."""
    return documents((FOLDER / "examples" / name).read_text(encoding="utf-8"))


def values_files() -> Mapping[str, Values]:
    """What the chart is rendered with: its own values, and each example on top of them."""
    names = sorted(path.name for path in (FOLDER / "examples").glob("values-*.yaml"))
    return {"values.yaml": {}, **{name: example(name)[0] for name in names}}


def facts(name: str) -> Any:
    """A file of what nobody chooses: `services.yaml`, `migrate.yaml`."""
    return documents((CHART / "files" / name).read_text(encoding="utf-8"))[0]


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def render(values: Values | None = None, *, release: str = RELEASE) -> list[Manifest]:
    """The manifests that Helm would send, hooks among them.

    Raises:
        helm_python.HelmError: the values are refused, or a template fails.
    """
    return list(_rendered(json.dumps(values or {}), release))


@cache
def _rendered(values: str, release: str) -> Sequence[Manifest]:
    rendered = _chart().render(json.loads(values), name=release, namespace=NAMESPACE)
    return tuple(_manifests(rendered))


def notes(values: Values | None = None) -> str:
    """What Helm tells after an installation."""
    rendered = _chart().render(dict(values or {}), name=RELEASE, namespace=NAMESPACE)
    return next(text for path, text in rendered.items() if path.endswith("NOTES.txt"))


def lint(values: Values) -> list[str]:
    """What Helm's linter has against the chart with these values; its recommendations are left out."""
    report = helm_python.lint(CHART, dict(values), strict=True, namespace=NAMESPACE)
    recommendation = 1
    found = [str(message["error"]) for message in report["messages"] if message["severity"] > recommendation]
    return [*found, *(str(error) for error in report["errors"])]


def of_kind(manifests: list[Manifest], kind: str) -> Mapping[str, Manifest]:
    """Those of one kind, by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: list[Manifest]) -> Mapping[str, Manifest]:
    """The pod templates of everything that runs, by name."""
    running = {**of_kind(manifests, "Deployment"), **of_kind(manifests, "Job")}
    return {name: one["spec"]["template"] for name, one in running.items()}


def _manifests(rendered: Mapping[str, str]) -> Iterator[Manifest]:
    for path, text in sorted(rendered.items()):
        if not path.endswith("NOTES.txt"):
            yield from documents(text)


def version() -> str:
    """Helm's own, as `v4.2.3`."""
    return helm_python.helm_sdk_version()
