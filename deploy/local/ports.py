"""Free ports of this machine, remembered so that addresses stay the same over restarts."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import weakref
from collections.abc import Iterable
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.files import write_private

LOOPBACK = "127.0.0.1"

# Below the range from which Linux takes the source ports of outgoing connections.
PRIVATE = range(20_000, 32_000)
TRIES_MAX = 200


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that just ended must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError, OverflowError):
            probe.bind((host, port))
            return True
    return False


def _claim(port: int) -> int | None:
    """A descriptor that keeps `port` from other stacks of this machine while it is open; None if one has it.

    A port is free to the kernel between the choice and its server's start, and again while the server is down. The
    claim is a name in Linux's abstract namespace: it goes with its process, and leaves nothing behind.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0remit-port-{port}")
    except OSError:
        claim.close()
        return None
    return claim.detach()


def _end_claims(claims: dict[int, int]) -> None:
    while claims:
        os.close(claims.popitem()[1])


class Ports:
    """The chosen ports of one stack, by purpose; no other stack is given one of them while this object lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chosen: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        self._claims: dict[int, int] = {}
        weakref.finalize(self, _end_claims, self._claims)

    def choose(self, purpose: str, *, first: int | None = None, host: str = LOOPBACK) -> int:
        """A free port: the remembered one if it still fits, else `first` or the next, else any private one."""
        candidates = PRIVATE if first is None else range(first, min(first + TRIES_MAX, 65_536))
        known = self._chosen.get(purpose)
        if known is not None and known in candidates and is_free(known, host):
            return known
        order = random.sample(PRIVATE, TRIES_MAX) if first is None else candidates
        taken = set(self._chosen.values())
        port = next((port for port in order if port not in taken and is_free(port, host) and self._has(port)), None)
        if port is None:
            raise StackError(purpose, f"no free port among {TRIES_MAX} tried on {host}")
        self._chosen[purpose] = port
        write_private(self._path, json.dumps(self._chosen, indent=1))
        return port

    def forget(self, purposes: Iterable[str]) -> None:
        """Someone else took them: choose anew next time."""
        for purpose in purposes:
            claim = self._claims.pop(self._chosen.pop(purpose, -1), None)
            if claim is not None:
                os.close(claim)

    def _has(self, port: int) -> bool:
        if port not in self._claims and (claim := _claim(port)) is not None:
            self._claims[port] = claim
        return port in self._claims
