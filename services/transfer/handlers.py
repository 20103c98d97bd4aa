"""What transfer does with each type of message. The table at the end is the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.transfer.domain import differing_fields
from services.transfer.metrics import REFUSED
from services.transfer.store import Store
from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened, Verdict
from shared.contracts.gateway import AccountCommand
from shared.contracts.transfer import AccountChanged, FailureReason, TransferRefused, TransferSettled
from shared.database import Database, is_data_error, is_transient
from shared.messaging.consumer import described, letter_of
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Emission
from shared.messaging.retry import Attempt, Handler


class Screened:
    """`transfer.screened`: settles what fraud has decided."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def settle(self, items: Sequence[TransferScreened], attempt: Attempt) -> Emission:
        """Settles all but the conflicts, which are only told to the gateway that waits."""
        decided = [item for item in items if item.screening.verdict is not Verdict.CONFLICT]
        ended = await self._store.settle(decided, retries=attempt.retries) if decided else {}
        return Emission(
            events=list(ended.values()),
            replies=[(item.reply_to, _answer(item, ended)) for item in items if item.reply_to],
        )

    async def give_up(self, item: TransferScreened, error: Exception, attempt: Attempt) -> Emission:
        """The transfer fails: for want of luck where the trouble was transient, else for an error of ours."""
        if item.screening.verdict is Verdict.CONFLICT:
            return Emission(replies=[(item.reply_to, _refused(item, item.screening.differing_fields))])
        exhausted = is_transient(error) and not is_data_error(error)
        reason = FailureReason.RETRIES_EXHAUSTED if exhausted else FailureReason.INTERNAL_ERROR
        settled = await self._store.fail(item, reason, retries=attempt.retries)
        return Emission(events=[settled], replies=[(item.reply_to, settled)])


class Commands:
    """`account.command`: opens, renames, closes and restores accounts, each command once."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters

    async def apply(self, items: Sequence[AccountCommand], _: Attempt) -> Emission:
        """Applies commands in order of arrival."""
        outcomes = await self._store.apply(items)
        unique: dict[Any, AccountChanged] = {outcome.event_id: outcome for outcome in outcomes}
        return Emission(
            events=list(unique.values()),
            replies=[(item.reply_to, outcome) for item, outcome in zip(items, outcomes, strict=True)],
        )

    async def give_up(self, item: AccountCommand, error: Exception, _: Attempt) -> Emission:
        """Parks the command: nothing was applied, and its caller was told that the outcome is unknown."""
        letter = letter_of(item, reason="failed_alone", detail=described(error), origin="transfer.account_commands")
        await self._dead_letters.park([letter])
        return Emission()


def _answer(item: TransferScreened, ended: Mapping[Any, TransferSettled]) -> Message:
    if item.screening.verdict is Verdict.CONFLICT:
        REFUSED.inc()
        return _refused(item, item.screening.differing_fields)
    settled = ended[item.instruction.transfer_id]
    if settled.instruction.fingerprint != item.instruction.fingerprint:
        # Fraud's record of the first was lost, ours was not.
        REFUSED.inc()
        return _refused(item, differing_fields(settled.instruction, item.instruction))
    return settled


def _refused(item: TransferScreened, fields: tuple[str, ...]) -> TransferRefused:
    return TransferRefused(
        transfer_id=item.instruction.transfer_id,
        fingerprint=item.instruction.fingerprint,
        differing_fields=fields,
    )


def handlers(database: Database, store: Store, dead_letters: DeadLetters) -> Mapping[str, Handler[Any]]:
    """Message type -> what is done with it."""
    screened, commands = Screened(store), Commands(store, dead_letters)
    common: dict[str, Any] = {"is_transient": is_transient, "is_writable": database.is_writable}
    return {
        TransferScreened.TYPE: Handler(name="settle", work=screened.settle, give_up=screened.give_up, **common),
        AccountCommand.TYPE: Handler(name="apply", work=commands.apply, give_up=commands.give_up, **common),
    }
