"""Settings of the program: the environment, and `.local/env` for what is not set there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.settings import Environment

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The merged variables, and the `.local` folder that some of them came from."""

    environment: Environment
    local: Path | None


def load(process_environment: Mapping[str, str], working_directory: Path) -> Settings:
    """What is set wins; the rest comes from the first `.local/env` of the working directory and the project's root."""
    for folder in (working_directory / ".local", _ROOT / ".local"):
        path = folder / "env"
        if path.is_file():
            given = {name: value for name, value in process_environment.items() if value.strip()}
            return Settings(environment={**read_assignments(path.read_text(encoding="utf-8")), **given}, local=folder)
    return Settings(environment=dict(process_environment), local=None)


def read_assignments(text: str) -> dict[str, str]:
    """The `KEY=value` lines of `text`; blank lines and lines that begin with `#` say nothing."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}
