"""`python -m services.ledger`"""

import asyncio

from services.ledger.service import open_service
from services.ledger.settings import settings_from
from shared.runtime import run, run_worker
from shared.settings import Environment


async def serve(environment: Environment, stop: asyncio.Event) -> None:
    """One ledger worker until `stop`."""
    async with open_service(settings_from(environment)) as worker:
        await run_worker(worker, stop)


if __name__ == "__main__":
    run("ledger", serve)
