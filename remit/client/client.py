"""Both clients, and how the program opens one."""

from __future__ import annotations

import httpx

from remit.client.asynchronous import AsyncClient
from remit.client.blocking import Client
from remit.client.http import Credentials
from remit.client.retry import Patience

__all__ = ["AsyncClient", "Client", "open_client"]


def open_client(
    api_url: str,
    credentials: Credentials | None = None,
    *,
    patience: Patience | None = None,
    local_address: str | None = None,
) -> AsyncClient:
    """A client of the API at `api_url`, past any proxy. `local_address`: where its calls come from."""
    transport = httpx.AsyncHTTPTransport(local_address=local_address)
    return AsyncClient(api_url, credentials, patience=patience, transport=transport)
