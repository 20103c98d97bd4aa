"""Decisions as rows and as messages. The row's `payload` is the message, whole, without a reply address."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.fraud.domain import Fate, Limits, Outcome, is_operators
from shared.contracts.envelope import encode_item
from shared.contracts.fraud import Policy, Reason, Screening, TransferScreened, Verdict
from shared.contracts.gateway import Instruction

_decode = msgspec.json.Decoder(TransferScreened).decode
_encode = msgspec.json.Encoder().encode
_VERDICTS = {fate: Verdict(fate.value) for fate in (Fate.APPROVED, Fate.BLOCKED, Fate.CONFLICT)}


def screened(instruction: Instruction, outcome: Outcome, *, limits: Limits, now: datetime) -> TransferScreened:
    """The message of a verdict that was reached now."""
    return TransferScreened(
        instruction=instruction,
        screening=Screening(
            verdict=_VERDICTS[outcome.fate],
            policy=Policy.OPERATOR if is_operators(instruction) else Policy.USER,
            limits_version=limits.version,
            decided_at=now,
            reasons=tuple(
                Reason(code=reason.code, limit=reason.limit, usage=reason.usage, attempted=reason.attempted)
                for reason in outcome.exceeded
            ),
            differing_fields=outcome.differing_fields,
        ),
    )


def addressed(event: TransferScreened, reply_to: str) -> TransferScreened:
    """The same verdict, for the gateway that waits now."""
    if event.reply_to == reply_to:
        return event
    return TransferScreened(instruction=event.instruction, screening=event.screening, reply_to=reply_to)


def from_payload(payload: str) -> TransferScreened:
    """The message that a row stands for."""
    return _decode(payload)


def to_columns(events: Sequence[TransferScreened]) -> list[list[object]]:
    """The parameters of `insert_decisions` but the last: sorted by id; `place` keeps the order of `events`."""
    ordered = sorted(enumerate(events), key=lambda pair: pair[1].instruction.transfer_id.int)
    rows = [_row(event, place) for place, event in ordered]
    return [list(column) for column in zip(*rows, strict=True)]


def _row(event: TransferScreened, place: int) -> tuple[object, ...]:
    asked, screening = event.instruction, event.screening
    return (
        asked.transfer_id,
        asked.fingerprint,
        asked.owner_id,
        asked.kind,
        screening.verdict,
        screening.policy,
        _encode(screening.reasons).decode() if screening.reasons else "[]",
        screening.limits_version,
        asked.amount_minor,
        asked.currency,
        screening.verdict is Verdict.APPROVED and screening.policy is Policy.USER,
        screening.decided_at,
        encode_item(event).decode(),
        None if asked.batch is None else asked.batch.batch_id,
        place,
    )
