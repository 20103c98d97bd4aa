"""Settings of the program: the environment, and for what is not set there the files of the deployment it speaks to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.settings import Environment

_ROOT = Path(__file__).resolve().parents[1]
_LOGIN = ("REMIT_GATEWAY_ADMIN_EMAIL", "REMIT_GATEWAY_ADMIN_PASSWORD")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The merged variables, and the `.local` folder that some of them came from."""

    environment: Environment
    local: Path | None


def load(process_environment: Mapping[str, str], working_directory: Path, api_url: str | None = None) -> Settings:
    """What is set wins; the rest comes from the first `.local/env` of the working directory and the project's root.

    That file speaks of one deployment: of another (`api_url`) it says nothing, and only the operator's login is looked
    for in the `.env` of the containers.
    """
    given = {name: value for name, value in process_environment.items() if value.strip()}
    roots = (working_directory, _ROOT)
    if api_url is not None:
        given["REMIT_API_URL"] = api_url.rstrip("/")
    for folder in (root / ".local" for root in roots):
        if (folder / "env").is_file():
            found = read_assignments((folder / "env").read_text(encoding="utf-8"))
            if api_url is None or found.get("REMIT_API_URL", "").rstrip("/") == given["REMIT_API_URL"]:
                return Settings(environment={**found, **given}, local=folder)
    login = {} if api_url is None else _login_of_containers(roots)
    return Settings(environment={**login, **given}, local=None)


def _login_of_containers(roots: Sequence[Path]) -> dict[str, str]:
    for path in (root / ".env" for root in roots):
        if path.is_file():
            found = read_assignments(path.read_text(encoding="utf-8"))
            return {name: found[name] for name in _LOGIN if name in found}
    return {}


def read_assignments(text: str) -> dict[str, str]:
    """The `KEY=value` lines of `text`; blank lines and lines that begin with `#` say nothing."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}
