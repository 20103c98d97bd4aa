"""Rows of `transfer.transactions` <-> the settled event: the row holds the whole event, and gives it back unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.contracts.base import Context
from shared.contracts.fraud import Policy, Reason, Screening, Verdict
from shared.contracts.gateway import BatchPlace, Instruction, Kind
from shared.contracts.transfer import FailureReason, Posting, Sighting, Status, TransferSettled
from shared.database import Row

_encode = msgspec.json.Encoder().encode
_context = msgspec.json.Decoder(Context).decode
_reasons = msgspec.json.Decoder(tuple[Reason, ...]).decode


def to_columns(settled: Sequence[TransferSettled]) -> list[list[Any]]:
    """One list a column, in the order of `insert_transactions`."""
    return [list(column) for column in zip(*(_to_row(item) for item in settled), strict=True)]


def _to_row(settled: TransferSettled) -> tuple[Any, ...]:
    asked, screening = settled.instruction, settled.screening
    batch, debit, credit, seen = asked.batch, settled.debit, settled.credit, settled.seen
    return (
        asked.transfer_id,
        asked.fingerprint,
        asked.kind,
        asked.caller_id,
        asked.owner_id,
        asked.from_account_id,
        asked.to_account_id,
        asked.amount_minor,
        asked.currency,
        asked.description,
        None if asked.metadata is None else bytes(asked.metadata).decode(),
        asked.idempotency_key,
        batch and batch.batch_id,
        batch and batch.fingerprint,
        None if batch is None else batch.index,
        None if batch is None else batch.count,
        _encode(asked.context).decode(),
        screening.verdict,
        screening.policy,
        screening.limits_version,
        _encode(screening.reasons).decode() if screening.reasons else None,
        screening.decided_at,
        settled.status,
        settled.failure_reason,
        settled.retry_count,
        *_posting_columns(debit),
        *_posting_columns(credit),
        None if seen is None else seen.balance_minor,
        None if seen is None else seen.account_seq,
        asked.requested_at,
        settled.settled_at,
        settled.settled_at,
    )


def _posting_columns(posting: Posting | None) -> tuple[int | None, int | None, int | None]:
    if posting is None:
        return None, None, None
    return posting.account_seq, posting.balance_before_minor, posting.balance_after_minor


def from_row(row: Row) -> TransferSettled:
    """The event that this row's commit announced."""
    return TransferSettled(
        instruction=_instruction(row),
        screening=Screening(
            verdict=Verdict(row["verdict"]),
            policy=Policy(row["policy"]),
            limits_version=row["limits_version"],
            decided_at=row["decided_at"],
            reasons=_reasons(row["reasons"]) if row["reasons"] else (),
        ),
        status=Status(row["status"]),
        settled_at=row["settled_at"],
        failure_reason=row["failure_reason"] and FailureReason(row["failure_reason"]),
        retry_count=row["retry_count"],
        debit=_posting(row, "debit", row["from_account_id"]),
        credit=_posting(row, "credit", row["to_account_id"]),
        seen=_sighting(row),
    )


def _instruction(row: Row) -> Instruction:
    return Instruction(
        transfer_id=row["id"],
        fingerprint=row["fingerprint"],
        kind=Kind(row["kind"]),
        caller_id=row["caller_id"],
        owner_id=row["owner_id"],
        from_account_id=row["from_account_id"],
        to_account_id=row["to_account_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        requested_at=row["created_at"],
        context=_context(row["context"]),
        description=row["description"],
        metadata=None if row["metadata"] is None else msgspec.Raw(row["metadata"].encode()),
        idempotency_key=row["idempotency_key"],
        batch=_batch(row),
    )


def _batch(row: Row) -> BatchPlace | None:
    if row["batch_id"] is None:
        return None
    return BatchPlace(
        batch_id=row["batch_id"],
        fingerprint=row["batch_fingerprint"],
        index=row["batch_index"],
        count=row["batch_count"],
    )


def _posting(row: Row, side: str, account_id: Any) -> Posting | None:
    if row[f"{side}_seq"] is None:
        return None
    return Posting(
        account_id=account_id,
        account_seq=row[f"{side}_seq"],
        balance_before_minor=row[f"{side}_balance_before_minor"],
        balance_after_minor=row[f"{side}_balance_after_minor"],
    )


def _sighting(row: Row) -> Sighting | None:
    if row["seen_balance_minor"] is None:
        return None
    return Sighting(balance_minor=row["seen_balance_minor"], account_seq=row["seen_account_seq"])
