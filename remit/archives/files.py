"""An archive: a folder with the rows of one month as NDJSON, and a manifest that says where in the chain they stood."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO
from uuid import UUID

import msgspec

from remit.errors import CommandError
from shared.audit_chain.canonical import Entry, encode, stored_details
from shared.audit_chain.chain import Broken, Row, Tip, continues

ROWS, MANIFEST = "rows.ndjson", "manifest.json"
FORMAT = "remit audit archive, version 1"

_LINE_BYTES_MAX = 256 * 1024


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an archive holds. Hashes are SHA-256 in hex; `previous_hash` is that of the row before the first."""

    format: str
    month: str
    rows: int
    first_seq: int
    last_seq: int
    previous_hash: str
    last_hash: str
    first_recorded_at: datetime
    last_recorded_at: datetime
    file: str
    file_bytes: int
    file_sha256: str


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row, with all that its hash covers."""

    seq: int
    recorded_at: datetime
    hash: str
    event_id: UUID
    occurred_at: datetime
    user_id: UUID | None
    action: str
    resource_type: str
    resource_id: str | None
    status: str
    ip_address: str | None
    user_agent: str | None
    request_id: str
    details: msgspec.Raw
    error_message: str | None


_lines = msgspec.json.Decoder(_Line)
_manifests = msgspec.json.Decoder(Manifest)


class ArchiveBroken(CommandError):
    """The archive is not what its manifest says."""


async def write(folder: Path, month: str, before: Tip, pages: AsyncIterator[Sequence[Row]]) -> Manifest:
    """Writes an archive of rows that follow `before`, durably, the manifest last: what has none is no archive."""
    _begin(folder)
    digest, size, first, last = sha256(), 0, None, None
    with (folder / ROWS).open("wb") as file:
        async for page in pages:
            block = b"".join(map(_written, page))
            file.write(block)
            digest.update(block)
            size += len(block)
            first, last = first or page[0], page[-1]
        _sync(file)
    if first is None or last is None:
        raise CommandError(f"{month} holds no row")
    manifest = Manifest(
        format=FORMAT,
        month=month,
        rows=last.seq - first.seq + 1,
        first_seq=first.seq,
        last_seq=last.seq,
        previous_hash=before.hash.hex(),
        last_hash=last.hash.hex(),
        first_recorded_at=first.recorded_at,
        last_recorded_at=last.recorded_at,
        file=ROWS,
        file_bytes=size,
        file_sha256=digest.hexdigest(),
    )
    with (folder / MANIFEST).open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        _sync(file)
    for made in (folder, folder.parent):
        _sync_folder(made)
    return manifest


def _begin(folder: Path) -> None:
    # Whose accesses and transfers these are is nobody else's business.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)


def check(folder: Path) -> Manifest:
    """Reads an archive whole, row by row, and follows the chain through it.

    Raises:
        ArchiveBroken: it does not prove itself; the message names the first row that is wrong.
        CommandError: it cannot be read.
    """
    try:
        manifest = _manifests.decode((folder / MANIFEST).read_bytes())
        with (folder / ROWS).open("rb") as file:
            tip, rows, digest, size = _followed(manifest, file)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveBroken(f"{folder / MANIFEST}: {error}") from None
    found = (FORMAT, ROWS, tip.seq, tip.hash.hex(), rows, size, digest)
    told = (
        manifest.format,
        manifest.file,
        manifest.last_seq,
        manifest.last_hash,
        manifest.rows,
        manifest.file_bytes,
        manifest.file_sha256,
    )
    if found != told:
        names = ("format", "file", "last_seq", "last_hash", "rows", "file_bytes", "file_sha256")
        differing = [name for name, is_, was in zip(names, found, told, strict=True) if is_ != was]
        raise ArchiveBroken(f"the manifest says another {', '.join(differing)} than the rows")
    return manifest


def _followed(manifest: Manifest, file: IO[bytes]) -> tuple[Tip, int, str, int]:
    digest, size, rows = sha256(), 0, 0
    tip = Tip(manifest.first_seq - 1, _hash(manifest.previous_hash))
    for line in _complete(file):
        digest.update(line)
        size += len(line)
        found = _next(tip, line)
        if isinstance(found, Broken):
            raise ArchiveBroken(f"row {found.seq}: {found.reason}")
        tip, rows = found, rows + 1
    return tip, rows, digest.hexdigest(), size


def _next(tip: Tip, line: bytes) -> Tip | Broken:
    try:
        row = _read(line)
    except (ValueError, msgspec.MsgspecError):
        return Broken(tip.seq + 1, "not_readable")
    if row.seq != tip.seq + 1:
        return Broken(tip.seq + 1, "row_missing" if row.seq > tip.seq else "row_repeated")
    if row.entry is None or not continues(tip, row, row.entry):
        return Broken(row.seq, "content_changed")
    return Tip(row.seq, row.hash)


def _written(row: Row) -> bytes:
    if row.entry is None:
        raise CommandError(f"row {row.seq}: its details are not readable")
    fields = {"seq": row.seq, "recorded_at": row.recorded_at, "hash": row.hash.hex(), **row.entry._asdict()}
    return encode(fields) + b"\n"


def _read(line: bytes) -> Row:
    read = _lines.decode(line)
    fields = {name: getattr(read, name) for name in Entry._fields}
    fields["details"] = stored_details(bytes(read.details))
    return Row(read.seq, read.recorded_at, _hash(read.hash), Entry(**fields))


def _hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ArchiveBroken(f"{text[:80]!r} is no hash") from None


def _complete(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LINE_BYTES_MAX):
        yield line


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
