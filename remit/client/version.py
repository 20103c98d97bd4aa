"""How a client names itself to the API, whose audit keeps it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def user_agent_of(application: str | None) -> str:
    """The application's name and version, if it gives one, before the client's own."""
    own = f"remit-client/{_version()}"
    return own if application is None else f"{application} {own}"


def _version() -> str:
    try:
        return version("remit")
    except PackageNotFoundError:
        # A checkout that nobody has installed.
        return "0"
