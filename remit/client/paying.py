"""Payments, asked for until they have ended or until patience has; every error says whether money may still move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from remit.client.carrying import Carrier
from remit.client.errors import ClientError, NotEnded, OutcomeUnknown, UnexpectedAnswer, error_of
from remit.client.http import Call, Flow, Pause, Reply, part
from remit.client.models import BatchAnswer, BatchItem, Problem, Transfer
from remit.client.payments import Payment, PaymentBatch
from remit.client.retry import is_open

# The longest that the API lets a call wait for its end.
WAIT_MAX_S = 30
PENDING = "pending"
_COMPLETED = "completed"
_REFUSED_AS = {"blocked": (403, "transfer_blocked")}


@dataclass(frozen=True, kw_only=True)
class Payments:
    """Asks for payments until they have ended, or until patience has."""

    carrier: Carrier

    def submit(self, payment: Payment) -> Flow[Transfer]:
        """The transfer as it stands once it is accepted, most often pending."""
        with _told(payment):
            transfer = (yield from self._asked(payment, wait_s=0)).read(Transfer)
        return msgspec.structs.replace(transfer, idempotency_key=payment.key)

    def pay(self, payment: Payment) -> Flow[Transfer]:
        """The transfer once it has completed. The same payment again tells the same end, and pays nothing more."""
        with _told(payment):
            reply = yield from self._asked(payment, wait_s=WAIT_MAX_S)
            transfer = reply.read(Transfer)
            if transfer.status == PENDING:
                transfer = yield from self._followed(transfer, reply)
        return msgspec.structs.replace(_completed(transfer, payment.key), idempotency_key=payment.key)

    def follow(self, transfer_id: str) -> Flow[Transfer]:
        """The transfer once it has completed, whoever asked for it."""
        path = _path(transfer_id)
        transfer = (yield from self.carrier.carry(Call(method="GET", path=path, changes=False))).read(Transfer)
        if transfer.status == PENDING:
            transfer = yield from self._followed(transfer, None)
        return _completed(transfer, None)

    def pay_batch(self, batch: PaymentBatch) -> Flow[list[BatchItem]]:
        """How each item ended, in their order.

        Where items have keys of their own only open ones are asked again; else the whole call is, under its key.
        """
        ended: dict[int, BatchItem] = {}
        deadline_s, attempt = self._deadline_s(), 0
        with _told(batch):
            while still_open := [place for place in range(len(batch.items)) if place not in ended]:
                if attempt:
                    pause = self._pause(attempt, None, deadline_s)
                    if pause is None:
                        raise _batch_not_ended(batch, ended)
                    yield pause
                attempt += 1
                places = still_open if batch.key is None else list(range(len(batch.items)))
                try:
                    answered = yield from self._asked_many(batch, places)
                except ClientError as error:
                    if attempt == 1:
                        raise
                    raise _batch_not_ended(batch, ended) from error
                for place, item in zip(places, answered, strict=True):
                    if not is_open(item.status_code, item.code):
                        ended[place] = _placed(batch, place, item)
        return [ended[place] for place in range(len(batch.items))]

    def _asked(self, payment: Payment, wait_s: int) -> Flow[Reply]:
        call = Call(method="POST", path=payment.path, body=payment.body, key=payment.key, wait_s=wait_s)
        return self.carrier.carry(call)

    def _asked_many(self, batch: PaymentBatch, places: Sequence[int]) -> Flow[list[BatchItem]]:
        body = msgspec.json.encode({batch.field: [batch.items[place] for place in places]})
        keyed = batch.key is None
        call = Call(method="POST", path=batch.path, body=body, key=batch.key, items_keyed=keyed, wait_s=WAIT_MAX_S)
        answer = (yield from self.carrier.carry(call)).read(BatchAnswer)
        if [item.index for item in answer.items] != list(range(len(places))):
            raise UnexpectedAnswer(f"{batch.path} answered {len(answer.items)} items out of order or number")
        return answer.items

    def _followed(self, transfer: Transfer, reply: Reply | None) -> Flow[Transfer]:
        """The end of an accepted transfer. Looking at it costs nothing of the limit on calls that create."""
        path = _own_path(reply, transfer)
        deadline_s, attempt = self._deadline_s(), 0
        asked_s = None if reply is None else reply.retry_after_s
        while transfer.status == PENDING:
            attempt += 1
            pause = self._pause(attempt, asked_s, deadline_s)
            if pause is None:
                raise _not_ended(transfer)
            yield pause
            asked_s = None
            try:
                found = yield from self.carrier.carry(Call(method="GET", path=path, changes=False), deadline_s)
                transfer = found.read(Transfer)
            except ClientError as error:
                raise _not_ended(transfer) from error
        return transfer

    def _deadline_s(self) -> float:
        return self.carrier.clock() + self.carrier.patience.pending_max_s

    def _pause(self, attempt: int, asked_s: float | None, deadline_s: float) -> Pause | None:
        """The pause before another look; None where it would end too late."""
        pause_s = self.carrier.patience.pause_s(attempt, asked_s, self.carrier.draw())
        return None if self.carrier.clock() + pause_s > deadline_s else Pause(pause_s)


@contextmanager
def _told(payment: Payment | PaymentBatch) -> Iterator[None]:
    """Whatever goes wrong, the error tells the key; where money may move, also what asks again."""
    try:
        yield
    except UnexpectedAnswer as error:
        unknown = OutcomeUnknown(str(error))
        unknown.payment, unknown.idempotency_key = payment, payment.key
        raise unknown from error
    except ClientError as error:
        error.idempotency_key = payment.key
        if isinstance(error, OutcomeUnknown | NotEnded):
            error.payment = payment
        raise


def _completed(transfer: Transfer, key: str | None) -> Transfer:
    if transfer.status == _COMPLETED:
        return transfer
    refused = error_of(_refusal(transfer))
    refused.idempotency_key = key
    raise refused


def _refusal(transfer: Transfer) -> Problem:
    code = transfer.failure_reason or "internal_error"
    status, code = _REFUSED_AS.get(transfer.status, (422, code))
    return Problem(
        status=status,
        code=code,
        detail=f"transfer {transfer.id} {transfer.status}",
        transfer_id=transfer.id,
        failure_reason=transfer.failure_reason,
        reasons=transfer.reasons or [],
    )


def _own_path(reply: Reply | None, transfer: Transfer) -> str:
    # Nothing but a path of this API: a token goes nowhere else.
    told = (reply.location if reply is not None else None) or ""
    return told if told.startswith("/api/") else _path(transfer.id)


def _path(transfer_id: str) -> str:
    return f"/api/v1/transfers/{part(transfer_id)}"


def _not_ended(transfer: Transfer) -> NotEnded:
    error = NotEnded(f"transfer {transfer.id} is still pending")
    error.transfer = transfer
    return error


def _batch_not_ended(batch: PaymentBatch, ended: dict[int, BatchItem]) -> NotEnded:
    error = NotEnded(f"{len(batch.items) - len(ended)} of {len(batch.items)} items have not ended")
    error.items = [ended[place] for place in sorted(ended)]
    return error


def _placed(batch: PaymentBatch, place: int, item: BatchItem) -> BatchItem:
    key = batch.key if batch.key is not None else batch.items[place].idempotency_key
    return msgspec.structs.replace(item, index=place, idempotency_key=key)
