"""What fraud publishes: one verdict a transfer."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from shared.contracts.base import Data, Message
from shared.contracts.gateway import Instruction
from shared.ids import event_id


class Verdict(StrEnum):
    """`conflict`: this id was used before with another payload; it touches neither verdict nor row of the first."""

    APPROVED = "approved"
    BLOCKED = "blocked"
    CONFLICT = "conflict"


class Policy(StrEnum):
    """By which rules it was screened: an operator's deposits and withdrawals count against no limit."""

    USER = "user"
    OPERATOR = "operator"


class Reason(Data, frozen=True, kw_only=True):
    """A limit that was exceeded. Values are decimal strings of the transfer's currency, or counts."""

    code: str
    limit: str
    usage: str
    attempted: str


class Screening(Data, frozen=True, kw_only=True, omit_defaults=True):
    """The verdict and what it rests on."""

    verdict: Verdict
    policy: Policy
    limits_version: str
    decided_at: datetime
    reasons: tuple[Reason, ...] = ()
    # For a conflict: the names of the fields that differ from the first payload.
    differing_fields: tuple[str, ...] = ()


class TransferScreened(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Fraud has decided. For every verdict but `conflict` the first decision stands for ever."""

    TYPE: ClassVar[str] = "transfer.screened"

    instruction: Instruction
    screening: Screening
    reply_to: str = ""

    @property
    def event_id(self) -> UUID:
        transfer_id = self.instruction.transfer_id
        if self.screening.verdict is Verdict.CONFLICT:
            return event_id(transfer_id, self.TYPE, "conflict", self.instruction.fingerprint)
        return event_id(transfer_id, self.TYPE)
