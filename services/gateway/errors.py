"""What the gateway answers when it does not do what was asked. The docstring of a class is its `detail`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import UUID

import msgspec

from shared.errors import RemitError


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong in a request: where it stands and, in a batch call, the index of its item."""

    field: str
    message: str
    index: int | None = None


class Problem(RemitError):
    """The gateway could not do this."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers: Mapping[str, str] = headers or {}
        self.errors: Sequence[FieldError] = ()
        self.differing_fields: Sequence[str] = ()
        self.transfer_id: UUID | None = None

    @property
    def detail(self) -> str:
        return str(self)


class MalformedJson(Problem):
    """The body is not JSON."""

    status, code = 400, "malformed_json"


class MalformedRequest(Problem):
    """This is no HTTP request: its method, target or a header is malformed."""

    status, code = 400, "malformed_request"


class KeyMissing(Problem):
    """This call needs the header Idempotency-Key."""

    status, code = 400, "idempotency_key_missing"


class KeyInvalid(Problem):
    """An idempotency key has 1 to 255 printable ASCII characters."""

    status, code = 400, "idempotency_key_invalid"


class CursorInvalid(Problem):
    """This cursor was not given out by this list."""

    status, code = 400, "invalid_cursor"


class Unauthenticated(Problem):
    """A valid access token is needed."""

    status, code = 401, "unauthenticated"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    """This call is for operators."""

    status, code = 403, "forbidden"


class NotFound(Problem):
    """There is nothing at this address."""

    status, code = 404, "not_found"


class UserNotFound(NotFound):
    """No such user."""


class DeadLetterNotFound(NotFound):
    """No such dead letter."""


class AccountNotFound(Problem):
    """No such account."""

    status, code = 404, "account_not_found"


class TransferNotFound(Problem):
    """No such transfer."""

    status, code = 404, "transfer_not_found"


class MethodNotAllowed(Problem):
    """This address does not take this method."""

    status, code = 405, "method_not_allowed"


class RequestInProgress(Problem):
    """Another call with this idempotency key is still open."""

    status, code = 409, "request_in_progress"


class EmailTaken(Problem):
    """There is a user with this e-mail address."""

    status, code = 409, "email_taken"


class AccountNotEmpty(Problem):
    """Only an empty account can be deleted."""

    status, code = 409, "account_not_empty"


class DeadLetterResolved(Problem):
    """This letter was closed before, the other way."""

    status, code = 409, "dead_letter_resolved"


class OwnAccess(Problem):
    """Nobody takes the role or the access of an operator from himself; another operator can."""

    status, code = 409, "own_access"


class TransferPending(Problem):
    """This transfer has not ended yet; only one that has can be deleted."""

    status, code = 409, "transfer_pending"


class ContentTooLarge(Problem):
    """The body is larger than this call takes."""

    status, code = 413, "content_too_large"


class UnsupportedMediaType(Problem):
    """The body must be application/json."""

    status, code = 415, "unsupported_media_type"


class ValidationFailed(Problem):
    """The request does not validate."""

    status, code = 422, "validation_failed"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__()
        self.errors = errors


class KeyReused(Problem):
    """This idempotency key was used with another payload."""

    status, code = 422, "idempotency_key_reused"

    def __init__(self, differing_fields: Sequence[str] = ()) -> None:
        super().__init__()
        self.differing_fields = differing_fields


class RateLimited(Problem):
    """Too many requests; come back later."""

    status, code = 429, "rate_limited"


class _ComeBack(Problem):
    """Come back later."""

    status = 503

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class ServiceUnavailable(_ComeBack):
    """A server that this call needs does not answer. Nothing was begun: the idempotency key is free."""

    code = "unavailable"


class Overloaded(_ComeBack):
    """More is asked than can be done now. Nothing was begun: the idempotency key is free."""

    code = "overloaded"


class OutcomeUnknown(_ComeBack):
    """It may or may not have been taken. Send the same request with the same idempotency key again."""

    code = "outcome_unknown"
