"""Redis as the gateway uses it: named Lua scripts, one try, and honesty about what may have happened."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

from shared.errors import TransientError, Unavailable
from shared.redis_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

Argument = str | bytes | int

_CONNECTIONS_MAX = 8
_FIGURE = re.compile(r"^(used_memory|maxmemory):(\d+)\r?$", re.MULTILINE)
_INCLUDE = re.compile(r"^-- include: (\w+)\s*$", re.MULTILINE)


class RedisUnavailable(Unavailable):
    """Redis does not answer; nothing was changed."""


class RedisUnknown(TransientError):
    """Redis was asked and did not answer; it may or may not have done what it was asked."""


class Redis:
    """Runs the scripts of this folder. A script runs at most once: nothing here repeats what may have happened."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS_MAX,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts = load_scripts()
        self._shas = {
            name: hashlib.sha1(text, usedforsecurity=False).hexdigest() for name, text in self._scripts.items()
        }

    async def run(self, script: str, arguments: Sequence[Argument]) -> Any:
        """The answer of a script.

        Raises:
            RedisUnavailable: it did not begin.
            RedisUnknown: the connection was lost, or the time was up, after it was asked.
        """
        connection = await self._connection()
        try:
            try:
                return await self._ask(connection, "EVALSHA", self._shas[script], 0, *arguments)
            except NoScriptError:
                # Told so before anything ran: a server that was restarted or wiped.
                return await self._ask(connection, "EVAL", self._scripts[script], 0, *arguments)
        finally:
            await self._pool.release(connection)

    async def is_alive(self) -> bool:
        """Whether Redis answers now."""
        try:
            connection = await self._connection()
            try:
                return bool(await self._ask(connection, "PING"))
            finally:
                await self._pool.release(connection)
        except TransientError:
            return False

    async def memory(self) -> tuple[int, int] | None:
        """Bytes in use, and at most (0: no bound); None where this user may not ask.

        Raises:
            RedisUnavailable: it could not be asked.
            RedisUnknown: it did not answer.
        """
        connection = await self._connection()
        try:
            said = await self._ask(connection, "INFO", "memory")
        except RedisUnavailable:
            return None
        finally:
            await self._pool.release(connection)
        figures = dict(_FIGURE.findall(said.decode()))
        return int(figures.get("used_memory", 0)), int(figures.get("maxmemory", 0))

    async def _connection(self) -> Connection:
        try:
            connection: Connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except REDIS_ERRORS as error:
            raise RedisUnavailable(f"no connection: {type(error).__name__}") from error
        return connection

    async def _ask(self, connection: Connection, *command: Argument) -> Any:
        try:
            await connection.send_command(*command)
            return await connection.read_response()
        except NoScriptError:
            raise
        except ResponseError as error:
            # Loading, read-only, out of memory, busy: refused before the first write.
            raise RedisUnavailable(f"refused: {str(error)[:200]}") from error
        except BaseException as error:
            # An answer that nobody waited for must not be read by the next who uses the connection.
            await connection.disconnect(nowait=True)
            if isinstance(error, REDIS_ERRORS):
                raise RedisUnknown(f"no answer: {type(error).__name__}") from error
            raise

    async def close(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()


@asynccontextmanager
async def open_redis(url: str, *, timeout_s: float) -> AsyncIterator[Redis]:
    """Redis at `url`. Connects when first used, so a start needs no server."""
    redis = Redis(url, timeout_s=timeout_s)
    try:
        yield redis
    finally:
        await redis.close()


def load_scripts() -> Mapping[str, bytes]:
    """The scripts beside this file, with what they include put in."""
    folder = Path(__file__).with_name("scripts")
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.lua"))}
    return {name: _INCLUDE.sub(lambda found: texts[found[1]], text).encode() for name, text in texts.items()}
