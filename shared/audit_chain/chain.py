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

from shared.audit_chain.canonical import Entry, encode

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


class Archive(NamedTuple):
    """A part of the chain that was detached from the log: its place, and the hashes at both of its ends."""

    first_seq: int
    last_seq: int
    previous_hash: bytes
    last_hash: bytes


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
    *checkpoints: Mapping[int, bytes],
) -> Tip | Broken:
    """The tip at `until_seq`, if all that belongs between is there and untouched; else the first that is not.

    `rows`, by seq, and `event_ids` are what the log holds after `tip`, up to `until_seq`; `checkpoints` are what each
    witness says that the hash at a position was.
    """
    for row in rows:
        if row.seq != tip.seq + 1:
            return Broken(row.seq, "row_repeated") if row.seq == tip.seq else Broken(tip.seq + 1, "row_missing")
        if row.entry is None or not continues(tip, row, row.entry):
            return Broken(row.seq, "content_changed")
        if event_ids.get(row.seq) != row.entry.event_id:
            return Broken(row.seq, "event_id_differs" if row.seq in event_ids else "event_id_missing")
        if contradicted(row.seq, row.hash, checkpoints):
            return Broken(row.seq, "checkpoint_differs")
        tip = Tip(row.seq, row.hash)
    return tip if tip.seq == until_seq else Broken(tip.seq + 1, "row_missing")


def continues(tip: Tip, row: Row, entry: Entry) -> bool:
    """Whether the row's hash covers it and the hash before it."""
    return link(tip.hash, row.seq, encode(row.recorded_at), body_of(entry)) == row.hash


def skip(tip: Tip, archive: Archive, known_events: int, *checkpoints: Mapping[int, bytes]) -> Tip | Broken:
    """The tip at the archive's end, if it goes on from `tip` and the log still knows all its events.

    Where the archive appeared while its rows were being followed, `tip` stands inside it already.
    """
    begins_here = archive.first_seq == tip.seq + 1
    if begins_here and archive.previous_hash != tip.hash:
        return Broken(archive.first_seq, "archive_differs")
    if known_events != archive.last_seq - tip.seq:
        return Broken(tip.seq + 1, "event_id_missing")
    if contradicted(archive.last_seq, archive.last_hash, checkpoints):
        return Broken(archive.last_seq, "checkpoint_differs")
    return Tip(archive.last_seq, archive.last_hash)


def contradicted(seq: int, row_hash: bytes, checkpoints: Sequence[Mapping[int, bytes]]) -> bool:
    """Whether a witness says that another hash stood at `seq`."""
    return any(known.get(seq, row_hash) != row_hash for known in checkpoints)
