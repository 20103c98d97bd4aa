"""Which answers the client asks for again, with what, and which it hands on as errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import httpx
import pytest

from remit.client import (
    ApiError,
    Credentials,
    NewTransfer,
    NotEnded,
    Patience,
    RemitClient,
    TransferRefused,
    Unreachable,
)
from remit.client.http import Session
from remit.client.retry import Fate, after_answer, after_loss, is_open, retry_after_s

HASTY = Patience(give_up_after_s=0.2, pause_first_s=0.001, pause_max_s=0.002, pending_max_s=0.2)
TRANSFER = {
    "id": "t",
    "kind": "transfer",
    "status": "completed",
    "from_account_id": "a",
    "to_account_id": "b",
    "amount": "1.00",
    "currency": "USD",
}
ORDER = NewTransfer(from_account_id="a", to_account_id="b", amount="1.00", currency="USD")


@pytest.mark.parametrize(
    ("status", "code", "repeatable", "token_is_fresh", "fate"),
    [
        (201, "", True, True, Fate.DONE),
        (202, "", True, True, Fate.DONE),
        (401, "unauthenticated", True, False, Fate.RENEW_TOKEN),
        (401, "unauthenticated", True, True, Fate.FAIL),
        (403, "forbidden", True, True, Fate.FAIL),
        (409, "request_in_progress", True, True, Fate.REPEAT),
        (409, "request_in_progress", False, True, Fate.FAIL),
        (409, "email_taken", True, True, Fate.FAIL),
        (422, "idempotency_key_reused", True, True, Fate.FAIL),
        (429, "rate_limited", False, True, Fate.REPEAT),
        (500, "internal_error", True, True, Fate.FAIL),
        (502, "unknown", True, True, Fate.REPEAT),
        (502, "unknown", False, True, Fate.FAIL),
        (503, "unavailable", False, True, Fate.REPEAT),
        (503, "overloaded", False, True, Fate.REPEAT),
        (503, "outcome_unknown", True, True, Fate.REPEAT),
        (503, "outcome_unknown", False, True, Fate.FAIL),
    ],
)
def test_what_an_answer_means(status: int, code: str, repeatable: bool, token_is_fresh: bool, fate: Fate) -> None:
    assert after_answer(status, code, repeatable=repeatable, token_is_fresh=token_is_fresh) is fate


@pytest.mark.parametrize(
    ("was_sent", "repeatable", "fate"),
    [(True, True, Fate.REPEAT), (False, False, Fate.REPEAT), (True, False, Fate.FAIL)],
)
def test_a_lost_connection_is_tried_again_unless_that_could_do_it_twice(
    was_sent: bool, repeatable: bool, fate: Fate
) -> None:
    assert after_loss(was_sent=was_sent, repeatable=repeatable) is fate


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (201, "", False),
        (202, "", True),
        (409, "request_in_progress", True),
        (422, "insufficient_funds", False),
        (503, "outcome_unknown", True),
    ],
)
def test_which_items_of_a_batch_are_open(status: int, code: str, expected: bool) -> None:
    assert is_open(status, code) is expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("2", 2.0), ("0", 0.0), ("-1", None), ("nan", None), ("inf", None), ("Sun, 22 Nov 2026", None)],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize(
    ("attempt", "asked_s", "pause_s"),
    [(1, None, 0.1), (2, None, 0.2), (50, None, 5.0), (1, 3.0, 3.0), (1, 900.0, 120.0)],
)
def test_pauses_double_to_a_bound_and_heed_the_server(attempt: int, asked_s: float | None, pause_s: float) -> None:
    assert Patience().pause_s(attempt, asked_s) == pytest.approx(pause_s)


class Api:
    """Answers from a script, and keeps what it was asked. Logging in always works."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.logins = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/auth/login":
            self.logins += 1
            return httpx.Response(200, json={"access_token": f"token {self.logins}", "expires_in": 900})
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(handler: Callable[[httpx.Request], httpx.Response], patience: Patience = HASTY) -> RemitClient:
    http = httpx.AsyncClient(base_url="http://remit.test", transport=httpx.MockTransport(handler))
    return RemitClient(Session(http, Credentials(email="a@example.com", password="secret"), patience), patience)


def problem(status: int, code: str, **more: object) -> httpx.Response:
    return httpx.Response(status, json={"status": status, "code": code, "title": code, **more})


def completed() -> httpx.Response:
    return httpx.Response(201, json=TRANSFER)


@pytest.mark.parametrize(
    "trouble",
    [
        problem(503, "outcome_unknown"),
        problem(503, "overloaded"),
        problem(409, "request_in_progress"),
        problem(429, "rate_limited"),
        httpx.ReadError("cut"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
    ],
    ids=str,
)
async def test_a_transfer_is_repeated_with_the_same_key_and_the_same_bytes(
    trouble: httpx.Response | Exception,
) -> None:
    api = Api(trouble, trouble, completed())
    assert (await client(api).transfer(ORDER, key="k")).status == "completed"
    assert len(api.asked) == 3
    assert {request.headers["Idempotency-Key"] for request in api.asked} == {"k"}
    assert len({request.content for request in api.asked}) == 1


async def test_a_token_that_died_is_renewed_once() -> None:
    api = Api(problem(401, "unauthenticated"), completed())
    await client(api).transfer(ORDER, key="k")
    assert [request.headers["Authorization"] for request in api.asked] == ["Bearer token 1", "Bearer token 2"]


async def test_a_token_that_is_refused_twice_is_an_error() -> None:
    api = Api(problem(401, "unauthenticated"))
    with pytest.raises(ApiError, match="unauthenticated"):
        await client(api).transfer(ORDER, key="k")
    assert api.logins == 2


async def test_a_registration_whose_answer_is_lost_is_not_repeated() -> None:
    api = Api(httpx.ReadError("cut"))
    with pytest.raises(Unreachable, match="may have been done"):
        await client(api).register("a@example.com", "password", "A")
    assert len(api.asked) == 1


async def test_patience_ends() -> None:
    with pytest.raises(Unreachable, match="outcome_unknown"):
        await client(Api(problem(503, "outcome_unknown"))).transfer(ORDER, key="k")


async def test_an_accepted_transfer_is_followed_to_its_end_where_the_answer_says() -> None:
    pending = httpx.Response(202, json={**TRANSFER, "status": "pending"}, headers={"Location": "/somewhere/t"})
    still = httpx.Response(200, json={**TRANSFER, "status": "pending"})
    api = Api(pending, still, httpx.Response(200, json=TRANSFER))
    assert (await client(api).transfer(ORDER, key="k")).status == "completed"
    assert [request.method + " " + request.url.path for request in api.asked[1:]] == ["GET /somewhere/t"] * 2


async def test_a_transfer_that_stays_pending_is_not_called_failed() -> None:
    api = Api(httpx.Response(202, json={**TRANSFER, "status": "pending"}))
    with pytest.raises(NotEnded):
        await client(api).transfer(ORDER, key="k")


@pytest.mark.parametrize(
    "answers",
    [
        [problem(422, "insufficient_funds", transfer_id="t", failure_reason="insufficient_funds")],
        [
            httpx.Response(202, json={**TRANSFER, "status": "pending"}),
            httpx.Response(200, json={**TRANSFER, "status": "failed", "failure_reason": "insufficient_funds"}),
        ],
    ],
    ids=["at once", "after 202"],
)
async def test_a_refused_transfer_says_why_however_it_was_learned(answers: Sequence[httpx.Response]) -> None:
    with pytest.raises(TransferRefused) as caught:
        await client(Api(*answers)).transfer(ORDER, key="k")
    assert (caught.value.code, caught.value.problem.failure_reason) == ("insufficient_funds", "insufficient_funds")


async def test_an_answer_that_is_no_problem_document_is_still_told() -> None:
    with pytest.raises(ApiError, match="404 unknown: nginx"):
        await client(Api(httpx.Response(404, text="nginx"))).transfer(ORDER, key="k")


async def test_only_the_open_items_of_a_batch_are_asked_again_and_the_order_is_kept() -> None:
    def item(index: int, status_code: int) -> dict[str, object]:
        return {"index": index, "status_code": status_code, "transfer": TRANSFER}

    first = httpx.Response(200, json={"items": [item(0, 201), item(1, 202), item(2, 201), item(3, 503)]})
    second = httpx.Response(200, json={"items": [item(0, 201), item(1, 201)]})
    api = Api(first, second)
    orders = [
        NewTransfer(from_account_id="a", to_account_id="b", amount="1.00", currency="USD", idempotency_key=str(place))
        for place in range(4)
    ]
    found = await client(api).make_transfers(orders)
    assert [(one.index, one.status_code) for one in found] == [(0, 201), (1, 201), (2, 201), (3, 201)]
    asked_again = json.loads(api.asked[1].content)["transfers"]
    assert [one["idempotency_key"] for one in asked_again] == ["1", "3"]


async def test_accounts_are_read_page_by_page() -> None:
    account = {
        "id": "a",
        "owner_id": "o",
        "name": "n",
        "currency": "USD",
        "balance": "1.00",
        "account_seq": 1,
        "created_at": "2026-01-01T00:00:00Z",
    }
    api = Api(
        httpx.Response(200, json={"items": [account], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [account], "next_cursor": None}),
    )
    assert len([one async for one in client(api).all_accounts()]) == 2
    assert [request.url.params.get("cursor") for request in api.asked] == [None, "c"]
    assert {request.url.params["limit"] for request in api.asked} == {"200"}


def test_a_password_stands_in_no_representation() -> None:
    assert "secret" not in repr(Credentials(email="a@example.com", password="secret"))
