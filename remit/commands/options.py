"""Settings that several commands need."""

from __future__ import annotations

from remit.client import Credentials
from shared.settings import Environment, address, required


def api_url(environment: Environment) -> str:
    """Where the API answers.

    Raises:
        SettingsError: `REMIT_API_URL` is not set, or no address of HTTP.
    """
    return address(environment, "REMIT_API_URL").rstrip("/")


def admin_credentials(environment: Environment) -> Credentials:
    """The operator.

    Raises:
        SettingsError: e-mail or password is not set.
    """
    return Credentials(
        email=required(environment, "REMIT_GATEWAY_ADMIN_EMAIL"),
        password=required(environment, "REMIT_GATEWAY_ADMIN_PASSWORD"),
    )
