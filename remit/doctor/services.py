"""The services that run, asked whether they are ready: the front door, and each worker whose address is set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from remit.doctor.findings import Finding, fine, first_line, noted, wrong
from remit.doctor.secrecy import place_of
from shared.settings import SCHEMA_OWNERS, Environment

_TIMEOUT_S = 5.0


async def examine(environment: Environment) -> Sequence[Finding]:
    """`/readyz` of each."""
    api = environment.get("REMIT_API_URL", "").strip().rstrip("/")
    asked = {"the API": api} if api else {}
    for service in SCHEMA_OWNERS.values():
        url = environment.get(f"REMIT_{service.upper()}_URL", "").strip().rstrip("/")
        if url and url != api:
            asked[service] = url
    found = [] if api else [noted("no gateway was asked", "set REMIT_API_URL to where clients meet the API")]
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http:
        return [*found, *await asyncio.gather(*(_ready(http, name, url) for name, url in asked.items()))]


async def _ready(http: httpx.AsyncClient, name: str, url: str) -> Finding:
    where = place_of(url)
    try:
        answer = await http.get(f"{url}/readyz")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        do = "see whether it runs, and its log; a proxy in front answers only while a gateway is ready"
        return wrong(f"{name} at {where} does not answer: {first_line(error)}", do)
    if answer.status_code == httpx.codes.OK:
        return fine(f"{name} at {where} is ready")
    if failed := _failed(answer):
        return wrong(
            f"{name} at {where} is not ready: {', '.join(failed)}", "mend what it names; it recovers by itself"
        )
    return wrong(f"{name} at {where} answers {answer.status_code} when asked whether it is ready", "see its log")


def _failed(answer: httpx.Response) -> Sequence[str]:
    try:
        checks = answer.json()["checks"]
        return [check for check, ok in checks.items() if not ok]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
