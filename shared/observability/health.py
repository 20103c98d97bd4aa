"""`/healthz`, `/readyz` and `/metrics`: alive is the event loop alone; ready is being able to do the work now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Check = Callable[[], Awaitable[bool]]

_CHECK_TIMEOUT_S = 2.0
_RETRY_AFTER_S = 1


async def readiness(checks: Mapping[str, Check]) -> tuple[bool, dict[str, bool]]:
    """Whether all checks pass, and each by name; one that does not answer in time has failed."""

    async def run(check: Check) -> bool:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                return await check()
        except Exception:  # noqa: BLE001 - a check that fails in any way is a check that failed
            return False

    results = dict(
        zip(
            checks,
            await asyncio.gather(*(run(check) for check in checks.values())),
            strict=True,
        )
    )
    return all(results.values()), results


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """The three routes that every service has."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        ready, results = await readiness(checks)
        body = {"status": "ready" if ready else "not_ready", "checks": results}
        if ready:
            return JSONResponse(body)
        return JSONResponse(body, status_code=503, headers={"Retry-After": str(_RETRY_AFTER_S)})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]


def health_app(checks: Mapping[str, Check]) -> Starlette:
    """The HTTP side of a worker."""
    return Starlette(routes=health_routes(checks))
