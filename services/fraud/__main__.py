"""`python -m services.fraud`"""

import asyncio

from services.fraud.service import open_service
from services.fraud.settings import settings_from
from shared.runtime import run, run_worker
from shared.settings import Environment


async def serve(environment: Environment, stop: asyncio.Event) -> None:
    async with open_service(settings_from(environment)) as worker:
        await run_worker(worker, stop)


if __name__ == "__main__":
    run("fraud", serve)
