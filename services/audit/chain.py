"""The chain: each row's hash covers the row and the hash before it, so that no row can change, go or come unnoticed.

`hash = SHA-256(previous hash || canonical row)`. The canonical row is the JSON array of seq, recorded_at and then the
fields of `Entry`, in that order, written as `canonical` says. Changing any of this breaks every chain that exists:
the golden vector in the tests stands guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from services.audit.canonical import encode
from services.audit.domain import Entry

GENESIS = sha256(b"remit audit chain, version 1").digest()


class Tip(NamedTuple):
    """The last row of a chain, as far as it is known: its position and its hash."""

    seq: int
    hash: bytes


START = Tip(0, GENESIS)


class Row(NamedTuple):
    """A row of the log as it was read back. `entry` is none where its details are not readable."""

    seq: int
    recorded_at: datetime
    hash: bytes
    entry: Entry | None


class Broken(NamedTuple):
    """The first place where the log is not what was recorded, and in one word why."""

    seq: int
    reason: str


def body_of(entry: Entry) -> bytes:
    """The canonical row but for its place: made before the chain is locked."""
    return encode(entry)


def link(previous_hash: bytes, seq: int, recorded_at: bytes, body: bytes) -> bytes:
    """The hash of a row at its place; `recorded_at` in canonical form, since a whole batch shares it."""
    return sha256(b"%b[%d,%b,%b" % (previous_hash, seq, recorded_at, body[1:])).digest()


def extend(tip: Tip, recorded_at: datetime, bodies: Sequence[bytes]) -> list[bytes]:
    """The hashes of rows that follow `tip`, all recorded at one time."""
    hashes: list[bytes] = []
    previous_hash, time = tip.hash, encode(recorded_at)
    for seq, body in enumerate(bodies, tip.seq + 1):
        previous_hash = link(previous_hash, seq, time, body)
        hashes.append(previous_hash)
    return hashes


def follow(
    tip: Tip,
    until_seq: int,
    rows: Sequence[Row],
    event_ids: Mapping[int, UUID],
    checkpoints: Mapping[int, bytes],
) -> Tip | Broken:
    """The tip at `until_seq`, if all that belongs between is there and untouched; else the first that is not.

    `rows`, by seq, `event_ids` and `checkpoints` are what the log holds after `tip`, up to `until_seq`.
    """
    for row in rows:
        if row.seq != tip.seq + 1:
            return Broken(row.seq, "row_repeated") if row.seq == tip.seq else Broken(tip.seq + 1, "row_missing")
        reason = _fault(tip, row, event_ids, checkpoints)
        if reason is not None:
            return Broken(row.seq, reason)
        tip = Tip(row.seq, row.hash)
    return tip if tip.seq == until_seq else Broken(tip.seq + 1, "row_missing")


def _fault(tip: Tip, row: Row, event_ids: Mapping[int, UUID], checkpoints: Mapping[int, bytes]) -> str | None:
    if row.entry is None or link(tip.hash, row.seq, encode(row.recorded_at), body_of(row.entry)) != row.hash:
        return "content_changed"
    if event_ids.get(row.seq) != row.entry.event_id:
        return "event_id_differs" if row.seq in event_ids else "event_id_missing"
    if checkpoints.get(row.seq, row.hash) != row.hash:
        return "checkpoint_differs"
    return None
