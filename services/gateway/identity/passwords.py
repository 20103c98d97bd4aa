"""Passwords: argon2id in threads of their own, with a bounded queue before them. A hash costs some 50 ms."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.gateway.errors import Overloaded

Value = TypeVar("Value")

# The memory that OWASP asks for at least, with twice the passes: two hashes at once must fit beside all the rest into
# the 120 MiB of a gateway. A hash bears its own parameters, so older ones stay valid when these change.
_MEMORY_KIB = 19 * 1024
_PASSES = 4


class Passwords:
    """Hashes and verifies, at most `threads` at a time and `waiting_max` in the queue."""

    def __init__(self, *, threads: int, waiting_max: int) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._in_hand = 0
        self._in_hand_max = threads + waiting_max
        # Made at the start: the first login with an unknown address must not take longer than the others.
        self._nobodys = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            Overloaded: too many wait already.
        """
        return await self._run(lambda: self._hasher.hash(_one_form(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right. Where there is no hash the answer is no, and takes as long.

        Raises:
            Overloaded: too many wait already.
        """
        if password_hash is None:
            await self._run(lambda: self._matches(self._nobodys, password))
            return False
        return await self._run(lambda: self._matches(password_hash, password))

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _one_form(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Value]) -> Value:
        if self._in_hand >= self._in_hand_max:
            raise Overloaded
        self._in_hand += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._in_hand -= 1

    def close(self) -> None:
        """Lets the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _one_form(password: str) -> str:
    """Keyboards write the same letter in different ways (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
