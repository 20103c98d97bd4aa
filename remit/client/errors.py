"""What can go wrong between a client and the API, as types: one for each thing that a caller would do about it.

An error of a call that moves money holds its idempotency key. Only `OutcomeUnknown` and `NotEnded` leave it open
whether money moves, and both hold what asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from remit.client.models import FieldError, Problem, Reason
from shared.errors import RemitError, Unavailable

if TYPE_CHECKING:
    from remit.client.models import BatchItem, Transfer
    from remit.client.payments import Payment, PaymentBatch


class ClientError(RemitError):
    """A call has no result."""

    idempotency_key: str | None = None


class ProblemError(ClientError):
    """The API said no, and why."""

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        named = "; ".join(_named(error) for error in problem.errors[:3])
        text = problem.detail or problem.title or "no detail"
        super().__init__(f"{problem.status} {problem.code}: {text}{f' ({named})' if named else ''}")
        self.problem = problem
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """What it is, in one word that programs may rely on."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """What it is, for people."""
        return self.problem.detail

    @property
    def request_id(self) -> str:
        """Under which the API's logs and its audit have it."""
        return self.problem.request_id


class TransferRefused(ProblemError):
    """A transfer has ended without moving money. That is its outcome: the same key tells it again for ever."""

    @property
    def transfer_id(self) -> str:
        """The transfer, which is on the book."""
        return self.problem.transfer_id or ""


class TransferBlocked(TransferRefused):
    """Limits refuse it."""

    @property
    def reasons(self) -> Sequence[Reason]:
        """Every limit that it exceeds."""
        return self.problem.reasons


class TransferFailed(TransferRefused):
    """The business refuses it: no funds, no such account, another currency."""

    @property
    def failure_reason(self) -> str:
        """Which rule, in one word."""
        return self.problem.failure_reason or self.problem.code


class ApiError(ProblemError):
    """The API refused a call; nothing was done."""


class BadRequest(ApiError):
    """The request itself is wrong."""

    @property
    def errors(self) -> Sequence[FieldError]:
        """What is wrong where."""
        return self.problem.errors


class Unauthenticated(ApiError):
    """E-mail address, password or token is wrong."""


class Forbidden(ApiError):
    """The call is for operators."""


class NotFound(ApiError):
    """There is no such thing, or it is somebody else's."""


class Conflict(ApiError):
    """The thing is not in a state that allows this."""


class KeyReused(ApiError):
    """The idempotency key stands for another request."""

    @property
    def differing_fields(self) -> Sequence[str]:
        """In what the two differ."""
        return self.problem.differing_fields


class RateLimited(ApiError):
    """Too many calls; `retry_after_s` says when to come back."""


class LoginNeeded(ClientError):
    """There is no token: log in, or give the client credentials."""


class TokenExpired(LoginNeeded):
    """The token has expired or was ended: log in again, or give the client credentials."""


class UnexpectedAnswer(ClientError):
    """The API answered something that its contract does not know."""


class ListTooLong(ClientError):
    """The list goes on beyond what the API gives out in pages."""


class Unreachable(ClientError, Unavailable):
    """The API does not answer, or says for too long that it cannot; nothing was done."""


class Interrupted(ClientError, Unavailable):
    """A download broke off; what has come is not all."""


class OutcomeUnknown(ClientError, Unavailable):
    """The call may or may not have been done. `resume` with the error, or the same call with its key, tells."""

    payment: Payment | PaymentBatch | None = None


class NotEnded(ClientError, Unavailable):
    """It was accepted and will end, but has not in the time given. `resume` with the error goes on waiting.

    `transfer` is how one stood last; `items` are those of a batch that have ended.
    """

    payment: Payment | PaymentBatch | None = None
    transfer: Transfer | None = None
    items: Sequence[BatchItem] = ()


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: BadRequest,
    415: BadRequest,
    422: BadRequest,
    429: RateLimited,
}
_KEY_REUSED = "idempotency_key_reused"
_BLOCKED = "transfer_blocked"


def problem_of(status: int, body: bytes) -> Problem:
    """The problem in an answer; one that comes from a proxy and is no problem document is described instead."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem(status=status, detail=body[:200].decode("utf-8", "replace"))
    return problem if problem.status == status else msgspec.structs.replace(problem, status=status)


def error_of(problem: Problem, retry_after_s: float | None = None) -> ProblemError:
    """The typed error of a problem."""
    if problem.transfer_id is not None:
        return (TransferBlocked if problem.code == _BLOCKED else TransferFailed)(problem)
    if problem.code == _KEY_REUSED:
        return KeyReused(problem)
    return _BY_STATUS.get(problem.status, ApiError)(problem, retry_after_s)


def is_decided(error: ClientError) -> bool:
    """Whether it tells how a payment ended, or that its key is another's: then no try of it moves money any more."""
    return isinstance(error, TransferRefused | KeyReused)


def _named(error: FieldError) -> str:
    return f"{error.field} {error.message}".strip()
