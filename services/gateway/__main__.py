"""Runs the gateway: `python -m services.gateway`."""

from __future__ import annotations

import asyncio

from services.gateway.service import run_gateway
from services.gateway.settings import settings_from
from shared.runtime import run
from shared.settings import Environment


async def serve(environment: Environment, stop: asyncio.Event) -> None:
    """Settings, then the gateway until `stop`."""
    await run_gateway(settings_from(environment), stop)


if __name__ == "__main__":
    run("gateway", serve)
