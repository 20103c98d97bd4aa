"""What can go wrong between a client and the API, as types."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from remit.client.models import Problem
from shared.errors import RemitError, Unavailable


class ApiError(RemitError):
    """The API refused a call."""

    def __init__(self, problem: Problem) -> None:
        named = "; ".join(_field_error(error) for error in problem.errors[:3])
        text = problem.detail or problem.title or "no detail"
        super().__init__(f"{problem.status} {problem.code}: {text}{f' ({named})' if named else ''}")
        self.problem = problem
        self.status = problem.status
        self.code = problem.code


class TransferRefused(ApiError):
    """A transfer has ended without moving money: failed, or blocked by a limit."""


class UnexpectedAnswer(RemitError):
    """The API answered something that its contract does not know."""


class Unreachable(Unavailable):
    """The API does not answer, or says for too long that it cannot."""


class NotEnded(Unavailable):
    """A transfer was accepted and has not ended in the time given; the same call with the same key asks again."""


def problem_of(status: int, body: bytes) -> Problem:
    """The problem in an answer; one that comes from a proxy and is no problem document is described instead."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem(status=status, detail=body[:200].decode("utf-8", "replace"))
    return problem if problem.status == status else msgspec.structs.replace(problem, status=status)


def error_of(problem: Problem) -> ApiError:
    """The typed error of a problem."""
    return TransferRefused(problem) if problem.transfer_id is not None else ApiError(problem)


def _field_error(error: Mapping[str, object]) -> str:
    return " ".join(str(value) for value in error.values())
