"""`python -m services.audit`"""

import asyncio

from services.audit.service import open_service
from services.audit.settings import settings_from
from shared.runtime import run, run_worker
from shared.settings import Environment


async def serve(environment: Environment, stop: asyncio.Event) -> None:
    """One audit worker until `stop`."""
    async with open_service(settings_from(environment)) as worker:
        await run_worker(worker, stop)


if __name__ == "__main__":
    run("audit", serve)
