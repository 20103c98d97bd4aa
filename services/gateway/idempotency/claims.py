"""What calls ask of idempotency records, what they are met with, and which life of Redis' data that is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.contracts.envelope import encode_item
from shared.contracts.gateway import TransferRequested

# Every gateway looks at the epoch each second; after this long all have registered again what they hold.
EPOCH_SETTLES_MS = 3_000

_requests = msgspec.json.Decoder(list[TransferRequested])
_refused = msgspec.json.Decoder(dict[int, tuple[str, ...]]).decode


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a call claims: one transfer, or a batch call with the transfers it holds.

    `payload` is a JSON array of `TransferRequested`, published again from here if need be.
    """

    name: str
    fingerprint: str
    payload: bytes
    users: str
    members: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A record to look up or to claim. `address` is empty for calls that no address limit counts."""

    record: Record
    token: str
    lease_s: float
    address: str = ""
    # Without it a call is only looked up: what cannot be published now must not be begun.
    may_claim: bool = True


class Replay(msgspec.Struct, frozen=True):
    """It has ended: this was the answer. For a batch the body is what its rows do not tell (`Told`)."""

    status: int
    body: bytes


class Limited(msgspec.Struct, frozen=True):
    """The address has had its calls; the window has room again after `wait_ms`."""

    wait_ms: int


class Reuse(msgspec.Struct, frozen=True):
    """The key covers another payload: the first one, empty if it is not known any more."""

    payload: bytes


class InProgress(msgspec.Struct, frozen=True):
    """Another call holds it."""

    lease_left_ms: int


class Taken(msgspec.Struct, frozen=True):
    """It is pending and no call holds it: this one does now."""

    payload: bytes
    is_published: bool
    # Whether a call had left its lease behind: its gateway died, or it took too long.
    was_held: bool


class Absent(msgspec.Struct, frozen=True):
    """Nobody has claimed it, and this call may not."""


class Claimed(msgspec.Struct, frozen=True):
    """It is this call's."""


Met = Replay | Limited | Reuse | InProgress | Taken | Absent | Claimed


class Told(msgspec.Struct, frozen=True):
    """What the rows of a batch that has ended do not tell: its first request's id, and the fields in which items differ
    whose key was another transfer's, by index. A row may have come since for what that other transfer became."""

    request_id: str
    refused: Mapping[int, Sequence[str]] = {}

    @property
    def written(self) -> bytes:
        """As a record keeps it."""
        refused = b"\n" + msgspec.json.encode(self.refused) if self.refused else b""
        return self.request_id.encode() + refused

    @staticmethod
    def read(body: bytes) -> Told:
        """What a record kept. A request's id holds no line break."""
        request_id, _, refused = body.partition(b"\n")
        return Told(request_id.decode(), _refused(refused) if refused else {})


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a record; the verbs stand in `finish.lua`."""

    verb: str
    name: str
    fingerprint: str
    token: str = ""
    status: int = 0
    body: bytes = b""
    asked_ms: int = 0


def single_record(request: TransferRequested) -> Record:
    """The record of one transfer."""
    instruction = request.instruction
    return Record(
        name=f"t:{instruction.transfer_id}",
        fingerprint=instruction.fingerprint,
        payload=b"[" + encode_item(request) + b"]",
        users=str(instruction.owner_id),
    )


def batch_record(batch_id: UUID, fingerprint: str, requests: Sequence[TransferRequested]) -> Record:
    """The record of a batch call."""
    return Record(
        name=f"b:{batch_id}",
        fingerprint=fingerprint,
        payload=b"[" + b",".join(encode_item(request) for request in requests) + b"]",
        users=",".join(sorted({str(request.instruction.owner_id) for request in requests})),
        members=",".join(str(request.instruction.transfer_id) for request in requests),
    )


def requests_of(payload: bytes) -> list[TransferRequested]:
    """The requests that a record holds."""
    return _requests.decode(payload) if payload else []


class Epoch:
    """Which life of Redis' data this gateway knows, and whether every gateway has had time to tell what it holds."""

    def __init__(self) -> None:
        self.known = ""
        self._settles_at = float("inf")
        self.has_settled_once = False

    def adopt(self, epoch: str, now_ms: int) -> None:
        """From now on this one."""
        self.known = epoch
        age_ms = now_ms - int(epoch.partition("-")[0])
        self._settles_at = asyncio.get_running_loop().time() + max(0, EPOCH_SETTLES_MS - age_ms) / 1000

    def forget(self) -> None:
        """Another one was seen."""
        self.known = ""

    @property
    def is_settled(self) -> bool:
        settled = bool(self.known) and asyncio.get_running_loop().time() >= self._settles_at
        self.has_settled_once = self.has_settled_once or settled
        return settled


def met_with(answer: list[Any]) -> Met:
    """What `claim.lua` answered."""
    kind = answer[0]
    if kind == b"claimed":
        return Claimed()
    if kind == b"replay":
        return Replay(int(answer[1]), answer[2])
    if kind == b"taken":
        return Taken(answer[1], answer[2] == b"1", answer[3] == b"1")
    if kind == b"in_progress":
        return InProgress(answer[1])
    if kind == b"limited":
        return Limited(answer[1])
    return Reuse(answer[1]) if kind == b"reuse" else Absent()
