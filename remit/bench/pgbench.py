"""What this machine's PostgreSQL does alone: pgbench's own TPC-B, so that figures of two machines can be compared."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from deploy.local import postgres, programs
from remit.bench.lab import Lab
from remit.errors import CommandError

SCALE = 50
CLIENTS = 8
_SCHEMA = "pgbench"
_SETUP_TIMEOUT_S = 600.0
_END_TIMEOUT_S = 60.0
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What pgbench reported."""

    scale: int
    clients: int
    seconds: float
    transactions_per_s: float
    latency_ms: float


def find() -> Path | None:
    """The program, beside the server's own or on the path."""
    server = postgres.find()
    beside = None if server is None else server.path.with_name("pgbench")
    return beside if beside is not None and beside.exists() else programs.which("pgbench")


def parse(output: str) -> tuple[float, float]:
    """Transactions a second and their mean latency in milliseconds.

    Raises:
        CommandError: it says neither.
    """
    tps, latency = _TPS.search(output), _LATENCY.search(output)
    if tps is None or latency is None:
        raise CommandError("pgbench ended without a figure")
    return float(tps[1]), float(latency[1])


async def measure(lab: Lab, program: Path, seconds: float) -> Baseline:
    """TPC-B on the lab's own server, prepared, while no service runs; its tables are removed again.

    They stand in a schema of their own: the owner of the database may not make another.

    Raises:
        CommandError: pgbench failed.
    """
    await lab.owner.fetch(f"CREATE SCHEMA {_SCHEMA}")
    try:
        await _run(lab, program, ("-i", "-q", "-s", str(SCALE)), _SETUP_TIMEOUT_S)
        options = ("-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(max(1, round(seconds))))
        output = await _run(lab, program, options, seconds + _END_TIMEOUT_S)
    finally:
        await lab.owner.fetch(f"DROP SCHEMA {_SCHEMA} CASCADE")
    tps, latency_ms = parse(output)
    return Baseline(scale=SCALE, clients=CLIENTS, seconds=seconds, transactions_per_s=tps, latency_ms=latency_ms)


async def _run(lab: Lab, program: Path, options: tuple[str, ...], timeout_s: float) -> str:
    place = urlsplit(lab.env["REMIT_POSTGRES_URL"])
    env = {
        "PATH": programs.SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "PGHOST": place.hostname or "",
        "PGPORT": str(place.port or ""),
        "PGUSER": place.username or "",
        "PGPASSWORD": place.password or "",
        "PGDATABASE": place.path.removeprefix("/"),
        "PGOPTIONS": f"-c search_path={_SCHEMA}",
    }
    process = await asyncio.create_subprocess_exec(
        program, *options, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandError(f"pgbench failed: {errors.decode(errors='replace').strip()[-300:]}")
    return output.decode()
