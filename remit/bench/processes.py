"""What processes cost, as the kernel counts it: a process is taken with all the children it has or had."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Stat:
    """A line of `/proc/<pid>/stat`. CPU in seconds, that of children which ended and were waited for included."""

    pid: int
    parent: int
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of `/proc/<pid>/status`, in bytes: what is a process's own, and what it may share with others."""

    own: int
    shared: int
    peak: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A process and all below it. CPU in seconds since they began, memory in bytes now.

    Pages of their own are added up; of those they share (PostgreSQL's buffers) the largest part seen in one process
    counts, once.
    """

    cpu_s: float
    memory: int


def parse_stat(line: str) -> Stat:
    """The program's name, in parentheses, may itself hold spaces and parentheses."""
    pid, _, _ = line.partition(" ")
    fields = line.rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))
    return Stat(pid=int(pid), parent=int(fields[1]), cpu_s=ticks * _TICK_S)


def parse_memory(status: str) -> Memory:
    """A process that is ending has no memory any more, and no such lines."""
    lines = (line.partition(":") for line in status.splitlines())
    kib = {name: int(value.split()[0]) for name, _, value in lines if value.strip().endswith("kB")}
    return Memory(
        own=kib.get("RssAnon", 0) * _KIB,
        shared=(kib.get("RssFile", 0) + kib.get("RssShmem", 0)) * _KIB,
        peak=kib.get("VmHWM", 0) * _KIB,
    )


def usage_of(roots: Mapping[str, int]) -> dict[str, Usage]:
    """Each named process with its children. One that has ended is left out."""
    stats = {stat.pid: stat for stat in _stats()}
    below: dict[int, list[int]] = defaultdict(list)
    for stat in stats.values():
        below[stat.parent].append(stat.pid)
    return {name: _usage(_tree(pid, below), stats) for name, pid in roots.items() if pid in stats}


def peak_of(pid: int) -> int:
    """The most memory, in bytes, that this one process ever held; 0 if it has ended."""
    return memory.peak if (memory := _memory(pid)) else 0


def machine_cpu_s() -> float:
    """What all processes of this machine took since it began."""
    fields = (_PROC / "stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _wait, interrupts, soft = map(int, fields[1:8])
    return (user + nice + system + interrupts + soft) * _TICK_S


def _tree(pid: int, below: Mapping[int, list[int]]) -> list[int]:
    return [pid, *(found for child in below.get(pid, ()) for found in _tree(child, below))]


def _usage(pids: Iterable[int], stats: Mapping[int, Stat]) -> Usage:
    listed = list(pids)
    memories = [memory for pid in listed if (memory := _memory(pid))]
    return Usage(
        cpu_s=sum(stats[pid].cpu_s for pid in listed),
        memory=sum(memory.own for memory in memories) + max((memory.shared for memory in memories), default=0),
    )


def _stats() -> Iterable[Stat]:
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            try:
                yield parse_stat((_PROC / entry.name / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue


def _memory(pid: int) -> Memory | None:
    try:
        return parse_memory((_PROC / str(pid) / "status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
