"""Which parts of the settings are secrets, how weak they are, and texts without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from shared.settings import Environment, address

PASSWORD_LEAST = 16
_DISTINCT_LEAST = 8
_SECRET_NAMES = ("_PASSWORD", "_SECRET")
# What people type when they mean to change it later; also each with digits behind it.
_COMMON = frozenset(
    {"admin", "administrator", "changeme", "changeit", "default", "development", "example", "guest", "letmein"}
    | {"password", "passwort", "postgres", "qwerty", "rabbitmq", "redis", "remit", "remote", "root", "secret", "test"}
)
_HIDDEN = "***"


def password_of(url: str) -> str:
    """The password that an address carries, or an empty string."""
    return unquote(urlsplit(url).password or "")


def user_of(url: str) -> str:
    """The user that an address names, or an empty string."""
    return unquote(urlsplit(url).username or "")


def named_secrets(environment: Environment) -> Iterator[tuple[str, str, str]]:
    """Each secret that is set: the variable, the user it belongs to (or none), the secret."""
    for name, value in sorted(environment.items()):
        if not name.startswith("REMIT_") or not value.strip():
            continue
        if name.endswith("_URL"):
            try:
                user, password = user_of(value), password_of(value)
            except ValueError:
                # It is told as an address that cannot be read.
                continue
            if password:
                yield name, user, password
        elif name.endswith(_SECRET_NAMES):
            yield name, "", value.strip()


def weakness(secret: str, user: str, *, least: int) -> str:
    """Why a stranger would guess it, or an empty string."""
    if secret.lower() == user.lower() and user:
        return "is the name of its user"
    if secret.lower().rstrip("0123456789!") in _COMMON:
        return "is one that everybody tries first"
    if len(secret) < least:
        return f"has fewer than {least} characters"
    if len(set(secret)) < _DISTINCT_LEAST:
        return f"is made of fewer than {_DISTINCT_LEAST} different characters"
    return ""


def secrets_in(environment: Environment) -> Sequence[str]:
    """Everything that must not be shown, the longest first; whole addresses among it.

    What everybody tries first is no secret, and to hide it would hide half of our own words.
    """
    found = {secret for _, _, secret in named_secrets(environment) if secret.lower() not in _COMMON}
    found |= {value for name, value in environment.items() if name.startswith("REMIT_") and _is_address(value)}
    return sorted(found, key=len, reverse=True)


def _is_address(value: str) -> bool:
    return "://" in value and "@" in value


def without(text: str, secrets: Sequence[str]) -> str:
    """`text` with each secret hidden."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text


def place_of(url: str) -> str:
    """Host and port of an address: all of it that may be shown."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.hostname or 'an address without a host'}{port}"


def readable(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each address that is set, by its variable.

    Raises:
        SettingsError: no client could use one; the line names the variable alone.
    """
    for name, value in sorted(environment.items()):
        if not name.startswith("REMIT_") or not name.endswith("_URL") or not value.strip():
            continue
        address(environment, name)
        yield name, value
