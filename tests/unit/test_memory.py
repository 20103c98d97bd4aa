"""Memory that goes back: what a process of ours does to its allocator, seen from the system's side."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A large block is freed first: glibc by itself then keeps all that is smaller. One that stays lies above the others.
_PROGRAM = """
import ctypes
from shared.runtime import _return_memory

if {returns}:
    _return_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)


def taken(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block


def resident_kib():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


libc.free(taken(16 << 20))
before = resident_kib()
blocks = [taken(1 << 20) for _ in range(32)]
pin = taken(100 << 10)
for block in blocks:
    libc.free(block)
print(resident_kib() - before)
"""


@pytest.mark.parametrize(("returns", "kept"), [(True, False), (False, True)])
def test_large_buffers_go_back_to_the_system_when_they_are_freed(returns: bool, kept: bool) -> None:
    """The second case shows that the first one is our doing."""
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(returns=returns)], check=True, capture_output=True, text=True
    )
    assert (int(told.stdout) > 16 * 1024) is kept
