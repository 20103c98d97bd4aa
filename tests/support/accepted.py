"""Transfers that are accepted and not waited for, and the book that must be clean in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from deploy.local.stack import Stack
from remit.invariants import Status, check_all
from tests.support import waiting
from tests.support.bank import Bank, Session

END_S = 60.0

_ASYNC = {"Prefer": "respond-async"}


def until(fact: Callable[[], bool], *, within_s: float = END_S) -> None:
    """Returns once `fact` is true; fails if it is not in time."""
    waiting.until(fact, within_s=within_s)


def accepted(session: Session, source: str, to: str, count: int) -> list[str]:
    """The ids of so many transfers of 1.00, accepted and not waited for."""
    answers = [session.transfer(source, to, "1.00", headers=_ASYNC) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {202}
    return [answer.json()["id"] for answer in answers]


def all_completed(session: Session, transfers: Sequence[str]) -> bool:
    """Whether all of these have ended well."""
    return all(_status(session, transfer) == "completed" for transfer in transfers)


def _status(session: Session, transfer: str) -> str:
    answer = session.call("GET", f"/transfers/{transfer}")
    # Until every gateway has told a fresh Redis what it holds, an unknown id is 503, never 404.
    assert answer.status_code in {200, 503}, answer.text
    return str(answer.json()["status"]) if answer.status_code == 200 else "unknown"


def book_is_clean(stack: Stack) -> None:
    """All invariants of the whole book hold, once ledger and audit have caught up."""
    deadline = time.monotonic() + END_S
    while True:
        results = asyncio.run(check_all(stack.env))
        bad = [(r.name, r.figure, r.detail) for r in results if r.status is not Status.OK]
        if not bad:
            return
        assert time.monotonic() < deadline, bad
        time.sleep(0.5)


def parties_of(bank: Bank) -> tuple[Session, str, str]:
    """Somebody with 10,000.00 on an account, and an account of somebody else."""
    alice, bob = bank.customer("Alice"), bank.customer("Bob")
    return alice, bank.funded(alice, "10000.00"), bob.open_account()
