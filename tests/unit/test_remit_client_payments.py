"""A payment is asked for under one key until its end is known; where it is not, the error says so and asks again."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from remit.client import (
    AsyncClient,
    ClientError,
    KeyReused,
    NewAccount,
    NewTransfer,
    NotEnded,
    NotFound,
    OutcomeUnknown,
    Patience,
    Payment,
    TransferBlocked,
    TransferFailed,
    TransferRefused,
    Unreachable,
)
from remit.client.carrying import quoted
from shared.money import AmountInvalid
from tests.support.scripted import ORDER, PENDING, TRANSFER, Answer, Api, Kind, accepted, completed, problem, result

FAILED = {**TRANSFER, "status": "failed", "failure_reason": "insufficient_funds"}
HASTY = Patience(give_up_after_s=20.0, pending_max_s=30.0)


def failed(code: str = "insufficient_funds", status: int = 422) -> httpx.Response:
    return problem(status, code, transfer_id="t", failure_reason=code)


def keys(api: Api) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in api.asked if request.method == "POST"]


@pytest.mark.parametrize(
    "trouble",
    [
        problem(503, "outcome_unknown"),
        problem(503, "unavailable"),
        problem(503, "overloaded"),
        problem(409, "request_in_progress"),
        problem(429, "rate_limited", "1"),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(503, text="no server"),
        httpx.ReadError("cut"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("broken off"),
    ],
    ids=lambda one: getattr(one, "text", repr(one))[:60],
)
async def test_a_transfer_is_repeated_with_the_same_key_and_the_same_bytes(kind: Kind, trouble: Answer) -> None:
    api = Api(trouble, trouble, completed())
    made = await result(api.client(kind).transfer(ORDER, key="k"))
    assert (made.status, made.idempotency_key) == ("completed", "k")
    assert keys(api) == ["k"] * 3
    assert len({request.content for request in api.asked}) == 1
    assert len(api.time.slept) == 2


async def test_a_key_is_made_once_for_all_tries_and_told(kind: Kind) -> None:
    """Two calls without a key are two payments."""
    api = Api(httpx.ReadError("cut"), completed(), completed())
    client = api.client(kind)
    made = [await result(client.transfer(ORDER)) for _ in range(2)]
    assert keys(api) == [made[0].idempotency_key, made[0].idempotency_key, made[1].idempotency_key]
    assert made[0].idempotency_key != made[1].idempotency_key


async def test_a_payment_has_its_key_before_anybody_is_asked(kind: Kind) -> None:
    payment = Payment.transfer(ORDER)
    api = Api(completed())
    await result(api.client(kind).resume(payment))
    assert keys(api) == [payment.key]
    assert api.asked[0].content == payment.body


@pytest.mark.parametrize(("key", "header"), [("k 1", "k 1"), ('"k', '"\\"k"'), (" k\\", '" k\\\\"')])
def test_a_key_that_would_be_read_as_another_is_quoted(key: str, header: str) -> None:
    """A bare header loses its outer spaces, and a leading quote begins a string (RFC 9651)."""
    assert quoted(key) == header


async def test_a_key_is_sent_so_that_it_is_read_as_itself(kind: Kind) -> None:
    api = Api(completed())
    await result(api.client(kind).transfer(ORDER, key='"k'))
    assert keys(api) == ['"\\"k"']


@pytest.mark.parametrize("key", ["", "k" * 256, "ключ", "a\nb"])
def test_a_key_that_the_api_would_refuse_is_refused_before(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Payment.transfer(ORDER, key=key)


async def test_a_deadline_with_the_outcome_unknown_says_so_and_can_be_resumed(kind: Kind) -> None:
    """The same call goes out again, byte for byte."""
    api = Api(problem(503, "outcome_unknown"))
    client = api.client(kind, patience=HASTY)
    with pytest.raises(OutcomeUnknown, match="may or may not have been done") as caught:
        await result(client.transfer(ORDER))
    error = caught.value
    assert isinstance(error.payment, Payment)
    assert error.idempotency_key == error.payment.key == keys(api)[0]
    api.answers = [completed()]
    made = await result(client.resume(error))
    assert made.idempotency_key == error.idempotency_key
    assert len({(request.content, request.headers["Idempotency-Key"]) for request in api.asked}) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [httpx.ReadError("cut"), problem(503, "unavailable")],
        [problem(503, "outcome_unknown"), problem(429, "rate_limited", "900")],
        [problem(409, "request_in_progress")],
        [httpx.ReadTimeout("late"), problem(403, "forbidden")],
        [httpx.ReadTimeout("late"), problem(401, "unauthenticated")],
        [problem(500, "internal_error")],
        [httpx.Response(201, text="not a transfer")],
    ],
    ids=["then unavailable", "then limited", "in progress", "then forbidden", "then no token", "500", "unreadable"],
)
async def test_what_may_have_been_done_is_never_called_not_done(kind: Kind, answers: list[Answer]) -> None:
    """One try may have paid: no later refusal but the payment's own says otherwise."""
    with pytest.raises(OutcomeUnknown) as caught:
        await result(Api(*answers).client(kind, patience=HASTY).transfer(ORDER, key="k"))
    assert isinstance(caught.value.payment, Payment)
    assert caught.value.idempotency_key == "k"


@pytest.mark.parametrize(
    "trouble",
    [problem(503, "unavailable"), problem(503, "overloaded"), httpx.ConnectError("refused")],
    ids=["unavailable", "overloaded", "refused"],
)
async def test_what_was_certainly_not_done_is_not_called_unknown(kind: Kind, trouble: Answer) -> None:
    with pytest.raises(Unreachable) as caught:
        await result(Api(trouble).client(kind, patience=HASTY).transfer(ORDER, key="k"))
    assert caught.value.idempotency_key == "k"


@pytest.mark.parametrize(
    ("answer", "error"),
    [(failed(), TransferFailed), (problem(422, "idempotency_key_reused", differing_fields=["amount"]), KeyReused)],
)
async def test_a_decision_is_told_also_after_a_lost_try(
    kind: Kind, answer: httpx.Response, error: type[ClientError]
) -> None:
    with pytest.raises(error):
        await result(Api(httpx.ReadError("cut"), answer).client(kind).transfer(ORDER))


async def test_a_blocked_transfer_gives_its_reasons(kind: Kind) -> None:
    reason = {"code": "daily_amount_exceeded", "limit": "5.00", "usage": "4.50", "attempted": "1.00"}
    api = Api(problem(403, "transfer_blocked", transfer_id="t", reasons=[reason]))
    with pytest.raises(TransferBlocked) as caught:
        await result(api.client(kind).transfer(ORDER, key="k"))
    error = caught.value
    assert [(one.code, one.limit, one.usage) for one in error.reasons] == [("daily_amount_exceeded", "5.00", "4.50")]
    assert (error.transfer_id, error.idempotency_key, len(api.asked)) == ("t", "k", 1)


@pytest.mark.parametrize(
    "answers",
    [
        [failed()],
        [
            accepted(),
            httpx.Response(200, json=FAILED),
        ],
    ],
    ids=["at once", "after 202"],
)
async def test_a_refused_transfer_says_why_however_it_was_learned(kind: Kind, answers: list[Answer]) -> None:
    with pytest.raises(TransferFailed) as caught:
        await result(Api(*answers).client(kind).transfer(ORDER, key="k"))
    assert (caught.value.failure_reason, caught.value.code) == ("insufficient_funds", "insufficient_funds")
    assert (caught.value.transfer_id, caught.value.idempotency_key) == ("t", "k")


async def test_a_transfer_blocked_after_it_was_accepted_gives_its_reasons(kind: Kind) -> None:
    blocked = {**TRANSFER, "status": "blocked", "reasons": [{"code": "hourly_count_exceeded"}]}
    with pytest.raises(TransferBlocked) as caught:
        await result(Api(accepted(), httpx.Response(200, json=blocked)).client(kind).transfer(ORDER))
    assert [one.code for one in caught.value.reasons] == ["hourly_count_exceeded"]


async def test_an_accepted_transfer_is_followed_to_its_end_where_the_answer_says(kind: Kind) -> None:
    still = httpx.Response(200, json=PENDING)
    api = Api(accepted(Location="/api/v1/transfers/t-1"), still, httpx.Response(200, json=TRANSFER))
    assert (await result(api.client(kind).transfer(ORDER))).status == "completed"
    assert [request.method + " " + request.url.path for request in api.asked[1:]] == ["GET /api/v1/transfers/t-1"] * 2


async def test_a_token_follows_no_answer_to_another_host(kind: Kind) -> None:
    api = Api(accepted(Location="https://elsewhere.test/t"), httpx.Response(200, json=TRANSFER))
    await result(api.client(kind).transfer(ORDER))
    assert str(api.asked[1].url) == "http://remit.test/api/v1/transfers/t"


@pytest.mark.parametrize(
    "then",
    [httpx.Response(200, json=PENDING), httpx.ConnectError("refused"), problem(404, "transfer_not_found")],
    ids=["pending", "unreachable", "hidden"],
)
async def test_an_accepted_transfer_whose_end_is_not_learned_is_not_called_failed(kind: Kind, then: Answer) -> None:
    api = Api(accepted(), then)
    client = api.client(kind, patience=HASTY)
    with pytest.raises(NotEnded) as caught:
        await result(client.transfer(ORDER, key="k"))
    error = caught.value
    assert error.transfer is not None
    assert (error.transfer.id, error.idempotency_key) == ("t", "k")
    api.answers = [completed()]
    assert (await result(client.resume(error))).status == "completed"


async def test_the_api_is_asked_to_wait_no_longer_than_the_client_does(kind: Kind) -> None:
    api = Api(completed())
    await result(api.client(kind).transfer(ORDER))
    await result(api.client(kind, patience=Patience(give_up_after_s=8.0)).transfer(ORDER))
    assert [request.headers["Prefer"] for request in api.asked] == ["wait=30", "wait=7"]


async def test_a_submitted_payment_is_not_waited_for_and_can_be(kind: Kind) -> None:
    api = Api(accepted(), httpx.Response(200, json=PENDING), httpx.Response(200, json=TRANSFER))
    client = api.client(kind)
    pending = await result(client.submit(Payment.transfer(ORDER, key="k")))
    assert (pending.status, pending.idempotency_key) == ("pending", "k")
    assert api.asked[0].headers["Prefer"] == "respond-async"
    assert (await result(client.wait_for(pending.id))).status == "completed"


async def test_a_wait_that_ended_too_soon_is_gone_on_with(kind: Kind) -> None:
    api = Api(httpx.Response(200, json=PENDING))
    client = api.client(kind, patience=HASTY)
    with pytest.raises(NotEnded) as caught:
        await result(client.wait_for("t"))
    api.answers = [httpx.Response(200, json=TRANSFER)]
    assert (await result(client.resume(caught.value))).status == "completed"


@pytest.mark.parametrize("amount", [12.34, 12, True, None])
def test_an_amount_that_is_not_exact_is_refused(amount: Any) -> None:
    with pytest.raises(AmountInvalid):
        NewTransfer(from_account_id="a", to_account_id="b", amount=amount, currency="USD")


@pytest.mark.parametrize(
    ("amount", "currency", "told"),
    [(Decimal("12.3"), "USD", "12.30"), (Decimal("1E+3"), "JPY", "1000"), ("12.3", "USD", "12.3")],
)
def test_a_decimal_is_told_with_the_decimals_of_its_currency(amount: Decimal | str, currency: str, told: str) -> None:
    """A string goes as it stands: the API judges it."""
    order = NewTransfer(from_account_id="a", to_account_id="b", amount=amount, currency=currency)
    assert json.loads(Payment.transfer(order).body)["amount"] == told


def test_a_decimal_that_its_currency_cannot_express_is_refused() -> None:
    with pytest.raises(AmountInvalid):
        NewTransfer(from_account_id="a", to_account_id="b", amount=Decimal("0.001"), currency="USD")


async def test_a_deposit_is_a_payment_like_any_other(kind: Kind) -> None:
    api = Api(httpx.ReadError("cut"), completed())
    client = api.client(kind)
    await result(client.deposit("a", Decimal(5), "USD", description="cash", key="d"))
    assert [request.url.path for request in api.asked] == ["/api/v1/admin/deposits"] * 2
    assert keys(api) == ["d", "d"]
    told = json.loads(api.asked[1].content)
    assert told == {"account_id": "a", "amount": "5.00", "currency": "USD", "description": "cash"}
    await result(client.withdraw("a", "5.00", "USD", key="w"))
    assert (api.asked[2].url.path, keys(api)[2]) == ("/api/v1/admin/withdrawals", "w")


async def test_an_account_is_opened_under_a_key_that_the_error_tells(kind: Kind) -> None:
    api = Api(problem(503, "outcome_unknown"))
    with pytest.raises(OutcomeUnknown) as caught:
        await result(api.client(kind, patience=HASTY).open_account("Main", "USD"))
    assert set(keys(api)) == {caught.value.idempotency_key}
    with pytest.raises(TypeError):
        await result(api.client(kind).resume(caught.value))


def item(index: int, status_code: int, code: str = "") -> dict[str, object]:
    said = {"status": status_code, "code": code, "transfer_id": "t"} if status_code >= 400 else None
    return {"index": index, "status_code": status_code, "transfer": TRANSFER, **({"problem": said} if said else {})}


def answered(*items: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"items": list(items)})


async def test_only_the_open_items_of_an_operators_batch_are_asked_again_and_the_order_is_kept(kind: Kind) -> None:
    first = answered(item(0, 201), item(1, 202), item(2, 422, "insufficient_funds"), item(3, 503, "outcome_unknown"))
    api = Api(first, answered(item(0, 201), item(1, 201)))
    orders = [
        NewTransfer(from_account_id="a", to_account_id="b", amount="1.00", currency="USD", idempotency_key=str(place))
        for place in range(4)
    ]
    found = await result(api.client(kind).make_transfers(orders))
    assert [(one.index, one.status_code) for one in found] == [(0, 201), (1, 201), (2, 422), (3, 201)]
    assert [one.idempotency_key for one in found] == ["0", "1", "2", "3"]
    asked_again = json.loads(api.asked[1].content)["transfers"]
    assert [one["idempotency_key"] for one in asked_again] == ["1", "3"]


async def test_an_operators_batch_that_may_have_been_done_is_never_called_not_done(kind: Kind) -> None:
    """It has no key of its own, but its items have."""
    api = Api(httpx.ReadError("cut"), problem(403, "forbidden"))
    client = api.client(kind)
    with pytest.raises(OutcomeUnknown) as caught:
        await result(client.make_transfers([ORDER]))
    api.answers = [answered(item(0, 201))]
    [made] = await result(client.resume_batch(caught.value))
    told = [json.loads(request.content)["transfers"][0]["idempotency_key"] for request in api.asked]
    assert told == [made.idempotency_key] * 3


async def test_accounts_that_an_operator_opens_get_keys_that_are_told(kind: Kind) -> None:
    api = Api(httpx.ReadError("cut"), answered({"index": 0, "status_code": 201}))
    wanted = NewAccount(owner_reference="o", name="Main", currency="USD", opening_balance=Decimal(7))
    (opened,) = await result(api.client(kind).open_accounts([wanted]))
    told = [json.loads(request.content)["accounts"][0] for request in api.asked]
    assert [one["idempotency_key"] for one in told] == [opened.idempotency_key] * 2
    assert told[0]["opening_balance"] == "7.00"


async def test_a_customers_batch_is_asked_again_whole_under_its_one_key(kind: Kind) -> None:
    """Its items have no keys of their own: their places in the call are their names."""
    api = Api(answered(item(0, 201), item(1, 202)), answered(item(0, 201), item(1, 422, "insufficient_funds")))
    found = await result(api.client(kind).transfer_batch([ORDER, ORDER], key="k"))
    assert [one.status_code for one in found] == [201, 422]
    assert keys(api) == ["k", "k"]
    assert api.asked[0].content == api.asked[1].content


@pytest.mark.parametrize(
    "then", [answered(item(0, 201), item(1, 202)), problem(403, "forbidden"), httpx.ConnectError("refused")],
    ids=["pending", "forbidden", "unreachable"],
)  # fmt: skip
async def test_a_batch_that_does_not_end_tells_what_has_ended_and_can_be_resumed(kind: Kind, then: Answer) -> None:
    api = Api(answered(item(0, 201), item(1, 202)), then)
    client = api.client(kind, patience=HASTY)
    with pytest.raises(NotEnded) as caught:
        await result(client.transfer_batch([ORDER, ORDER], key="k"))
    assert [one.index for one in caught.value.items] == [0]
    assert caught.value.idempotency_key == "k"
    api.answers = [answered(item(0, 201), item(1, 201))]
    assert [one.status_code for one in await result(client.resume_batch(caught.value))] == [201, 201]
    with pytest.raises(TypeError):
        await result(client.resume(caught.value))


async def test_a_batch_that_is_refused_whole_is_refused(kind: Kind) -> None:
    with pytest.raises(NotFound):
        await result(Api(problem(404, "not_found")).client(kind).transfer_batch([ORDER]))


async def test_a_refusal_is_an_outcome_and_no_api_error() -> None:
    """Whoever catches errors of calls does not take a decided transfer for one of them."""
    with pytest.raises(TransferRefused) as caught:
        await Api(failed()).client(AsyncClient).transfer(ORDER)
    assert {one.__name__ for one in type(caught.value).__mro__}.isdisjoint({"ApiError", "Unavailable"})
