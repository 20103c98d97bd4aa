"""What `remit doctor` looks at, area by area: every look is bounded in time, and none changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from remit.doctor import book, broker, postgres, redis, services, settings
from remit.doctor.findings import Finding, Level, first_line, wrong
from remit.doctor.secrecy import secrets_in, without
from shared.settings import Environment

Area = Callable[[Environment], Awaitable[Sequence[Finding]]]

# In the order in which an operator mends: nothing works on wrong settings, and no service without its servers.
AREAS: Mapping[str, Area] = {
    "settings": settings.examine,
    "postgresql": postgres.examine,
    "redis": redis.examine,
    "rabbitmq": broker.examine,
    "services": services.examine,
    "book": book.examine,
}

__all__ = ["AREAS", "Area", "Finding", "Level", "examine"]


async def examine(environment: Environment, *, area_timeout_s: float) -> Mapping[str, Sequence[Finding]]:
    """What is found in each area, all of them looked at together; no secret of the settings stands in it."""
    looks = (_examine(area, environment, area_timeout_s) for area in AREAS.values())
    found = dict(zip(AREAS, await asyncio.gather(*looks), strict=True))
    secrets = secrets_in(environment)
    return {name: [_discreet(finding, secrets) for finding in findings] for name, findings in found.items()}


async def _examine(area: Area, environment: Environment, timeout_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(timeout_s):
            return await area(environment)
    except TimeoutError:
        return [wrong(f"this could not be looked at within {timeout_s:g} s", "see whether the server is overloaded")]
    except Exception as error:  # noqa: BLE001 - told as a finding; the other areas are looked at all the same
        says = f"this could not be looked at: {type(error).__name__}: {first_line(error)}"
        return [wrong(says, "nobody expected that of a server: see its log")]


def _discreet(finding: Finding, secrets: Sequence[str]) -> Finding:
    """What a driver says of an address that it cannot read may repeat the address."""
    says, do = without(finding.says, secrets), without(finding.do, secrets)
    return msgspec.structs.replace(finding, says=says, do=do)
