"""Redis: it holds which keys are in work, so it must forget nothing, keep what it was told, and let nobody else in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from remit.doctor import clocks
from remit.doctor.findings import Finding, fine, first_line, noted, wrong
from remit.doctor.secrecy import place_of
from shared.errors import SettingsError
from shared.redis_errors import REDIS_ERRORS
from shared.settings import Environment, address

_VERSION_LEAST = 7
_TIMEOUT_S = 3.0
# Rewriting the append-only file may need as much again as was written meanwhile.
_USED_NOTED, _USED_WRONG = 0.5, 0.9
_AWAY: tuple[type[Exception], ...] = (*REDIS_ERRORS, ValueError)
_KEEP = "CONFIG SET {0} {1}, and the same in redis.conf"


async def examine(environment: Environment) -> Sequence[Finding]:
    """The gateways' Redis, and where audit tells its checkpoints if that is another.

    One whose address is missing or wrong is told with the settings.
    """
    urls: dict[str, None] = {}
    for name in ("REMIT_REDIS_URL", "REMIT_AUDIT_CHECKPOINT_URL"):
        with suppress(SettingsError):
            urls[address(environment, name)] = None
    return [finding for url in urls for finding in await _server(url)]


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(
        url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )
    try:
        yield client
    finally:
        await client.aclose()


async def _server(url: str) -> Sequence[Finding]:
    where = place_of(url)
    try:
        async with _client(url) as client:
            await client.ping()
            found = [*await _state(client, where), *await _clock(client, where), *await _users(client)]
    except AuthenticationError as error:
        return [wrong(f"Redis at {where} refuses our password: {first_line(error)}", "set the one of its user")]
    except _AWAY as error:
        do = "see that it runs, that its data are loaded, and that the address is right"
        return [wrong(f"Redis at {where} does not answer: {first_line(error)}", do)]
    return [*found, *await _strangers(url, where)]


async def _state(client: Redis, where: str) -> Sequence[Finding]:
    try:
        info: Mapping[str, Any] = await client.info()
    except NoPermissionError:
        name = await client.execute_command("ACL WHOAMI")  # type: ignore[no-untyped-call]
        return [
            noted(
                f"Redis answers at {where}, but its user {_text(name)} may not ask it how it keeps what it is told",
                "grant that user +info",
            )
        ]
    return [*_version(info, where), *_kept(info), *_memory(info)]


def _version(info: Mapping[str, Any], where: str) -> Iterator[Finding]:
    kind, version = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info["redis_version"])
    if int(str(version).partition(".")[0]) < _VERSION_LEAST:
        yield wrong(f"{kind} {version} at {where} is too old", f"upgrade it to {_VERSION_LEAST} or newer")
    else:
        yield fine(f"{kind} {version} answers at {where}")
    if info.get("role") != "master":
        yield wrong(f"Redis at {where} is a replica: it takes no writes", "name the one that it follows")


def _kept(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        yield wrong(
            f"Redis evicts when it is full ({policy}): a forgotten key is asked of the database, a forgotten "
            "pending transfer of nobody",
            _KEEP.format("maxmemory-policy", "noeviction"),
        )
    if info.get("evicted_keys"):
        yield wrong(
            f"Redis has evicted {info['evicted_keys']:,} keys since it started", "run `remit verify`, then give it room"
        )
    if not info.get("aof_enabled"):
        yield wrong(
            "Redis keeps no append-only file: a restart forgets which transfers are pending",
            _KEEP.format("appendonly", "yes"),
        )
    elif info.get("aof_last_write_status") != "ok":
        yield wrong("Redis could not write its append-only file", "see its log and its disk")
    elif policy == "noeviction":
        yield fine("Redis evicts nothing, and writes what it is told to its append-only file")
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        yield wrong("Redis could not rewrite its append-only file, which grows without end", "give it memory and disk")


def _memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    used, most = info["used_memory"], info.get("maxmemory", 0)
    if not most:
        yield noted(
            f"Redis has no bound on its memory, and uses {used / 1e6:,.0f} MB",
            "set maxmemory to less than the machine has: full, it must refuse, not be killed",
        )
        return
    says = f"Redis uses {used / most:.0%} of its {most / 1e6:,.0f} MB"
    if used > most * _USED_WRONG:
        yield wrong(f"{says}: soon it refuses every transfer", "raise maxmemory")
    elif used > most * _USED_NOTED:
        yield noted(f"{says}: answers of ended calls are kept for less than a day", "raise maxmemory, or leave it so")
    else:
        yield fine(says)


async def _clock(client: Redis, where: str) -> Sequence[Finding]:
    asked_s = time.time()
    try:
        seconds, microseconds = await client.time()
    except NoPermissionError:
        return []
    return list(clocks.compared(f"Redis at {where}", seconds + microseconds / 1e6, (asked_s + time.time()) / 2))


async def _users(client: Redis) -> Sequence[Finding]:
    """What an administrator of it sees; a narrow user, as a service should have, is told nothing."""
    try:
        users = [_text(line) for line in await client.acl_list()]
    except ResponseError:
        return [fine("our user may not administer Redis")]
    found = [
        wrong(f"the user {line.split()[1]} of Redis needs no password", f"ACL SETUSER {line.split()[1]} resetpass off")
        for line in users
        if " on " in line and " nopass " in line
    ]
    note = noted("our user may administer Redis", "give the gateway one that may not, as deploy/redis/start does")
    return [*found, note]


async def _strangers(url: str, where: str) -> Sequence[Finding]:
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        async with _client(bare) as client:
            await client.ping()
    except REDIS_ERRORS:
        return [fine(f"without a password Redis at {where} tells nothing")]
    return [wrong(f"Redis at {where} answers without a password", "set one for every user, and `user default off`")]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
