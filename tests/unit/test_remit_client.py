"""Which answers the client asks for again, with what, how long, and which it hands on as errors."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import httpx
import pytest

from remit.client import (
    ApiError,
    AsyncClient,
    BadRequest,
    Client,
    ClientError,
    Conflict,
    Forbidden,
    KeyReused,
    LoginNeeded,
    NotFound,
    OutcomeUnknown,
    Patience,
    RateLimited,
    Token,
    TokenExpired,
    Unauthenticated,
    UnexpectedAnswer,
    Unreachable,
)
from remit.client.operators import AllCalls
from remit.client.retry import Fate, after_answer, after_loss, is_open, may_be_done, retry_after_s
from tests.support.scripted import ADA, ORDER, TOKEN_LIFE_S, Api, Kind, completed, problem, result

USER = {"id": "u", "email": "ada@example.com", "role": "customer", "full_name": "Ada"}


def me() -> httpx.Response:
    return httpx.Response(200, json=USER)


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
        (400, "malformed_json", False),
        (409, "request_in_progress", True),
        (409, "email_taken", False),
        (429, "rate_limited", False),
        (500, "internal_error", True),
        (502, "unknown", True),
        (503, "unavailable", False),
        (503, "overloaded", False),
        (503, "outcome_unknown", True),
        (503, "unknown", True),
    ],
)
def test_which_answers_leave_it_open_whether_it_was_done(status: int, code: str, expected: bool) -> None:
    assert may_be_done(status, code) is expected


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
    ("attempt", "asked_s", "drawn", "pause_s"),
    [
        (1, None, 1.0, 0.1),
        (2, None, 1.0, 0.2),
        (2, None, 0.0, 0.1),
        (50, None, 1.0, 5.0),
        (50, None, 0.0, 2.5),
        (1, 3.0, 0.0, 3.0),
        (1, 3.0, 1.0, 3.1),
    ],
)
def test_pauses_double_to_a_bound_differ_and_heed_the_server(
    attempt: int, asked_s: float | None, drawn: float, pause_s: float
) -> None:
    """Never sooner than the server asked for."""
    assert Patience().pause_s(attempt, asked_s, drawn) == pytest.approx(pause_s)


def test_both_clients_offer_every_call_and_no_other() -> None:
    calls = {name for name, _ in inspect.getmembers(AllCalls, inspect.isfunction) if not name.startswith("_")}
    own = {"run", "do"}
    for client, closes in ((AsyncClient, "aclose"), (Client, "close")):
        offered = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
        assert offered - own - {closes} == calls


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "malformed_json", BadRequest),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (404, "account_not_found", NotFound),
        (409, "email_taken", Conflict),
        (422, "validation_failed", BadRequest),
        (422, "idempotency_key_reused", KeyReused),
        (405, "method_not_allowed", ApiError),
    ],
)
async def test_a_definite_refusal_is_told_at_once_and_by_its_type(
    kind: Kind, status: int, code: str, error: type[ApiError]
) -> None:
    """Definite refusals are never asked again; but a dead token is renewed once."""
    api = Api(problem(status, code, detail="so it is", request_id="r-1"))
    with pytest.raises(error) as caught:
        await result(api.client(kind).me())
    assert type(caught.value) is error
    told = caught.value
    assert (told.status, told.code, told.detail, told.request_id) == (status, code, "so it is", "r-1")
    assert len(api.asked) == (2 if status == 401 else 1)
    assert not api.time.slept


async def test_what_is_wrong_with_a_request_is_named(kind: Kind) -> None:
    errors = [{"field": "amount", "message": "has too many decimals", "index": 3}]
    with pytest.raises(BadRequest, match="amount has too many decimals") as caught:
        await result(Api(problem(422, "validation_failed", errors=errors)).client(kind).me())
    assert [(one.field, one.index) for one in caught.value.errors] == [("amount", 3)]


async def test_an_answer_that_is_no_problem_document_is_still_told(kind: Kind) -> None:
    with pytest.raises(NotFound, match="404 unknown: nginx"):
        await result(Api(httpx.Response(404, text="nginx")).client(kind).me())


async def test_a_redirect_is_no_success_of_a_call_without_a_body(kind: Kind) -> None:
    with pytest.raises(UnexpectedAnswer, match="is the address right"):
        await result(Api(httpx.Response(301)).client(kind).close_account("a"))


async def test_a_read_that_got_no_answer_has_no_unknown_outcome(kind: Kind) -> None:
    with pytest.raises(Unreachable):
        await result(Api(httpx.ReadError("cut")).client(kind).me())


@pytest.mark.parametrize("answer", [httpx.Response(200, text="hello"), httpx.Response(301)], ids=["text", "redirect"])
async def test_an_answer_beyond_the_contract_is_an_error(kind: Kind, answer: httpx.Response) -> None:
    with pytest.raises(UnexpectedAnswer):
        await result(Api(answer).client(kind).me())


async def test_a_server_that_asks_for_time_gets_it(kind: Kind) -> None:
    api = Api(problem(503, "overloaded", "7"), problem(429, "rate_limited", "30"), me())
    await result(api.client(kind, draw=lambda: 0.0).me())
    assert api.time.slept == [7.0, 30.0]


async def test_a_server_that_asks_for_more_time_than_there_is_is_not_waited_for(kind: Kind) -> None:
    api = Api(problem(429, "rate_limited", "900"))
    with pytest.raises(RateLimited) as caught:
        await result(api.client(kind).me())
    assert (caught.value.retry_after_s, api.time.slept, len(api.asked)) == (900.0, [], 1)


async def test_patience_ends_by_the_clock(kind: Kind) -> None:
    """The pauses and tries of one call, together."""
    api = Api(problem(503, "unavailable"))
    with pytest.raises(Unreachable, match="unavailable"):
        await result(api.client(kind, patience=Patience(give_up_after_s=20.0)).me())
    assert 15.0 < api.time.now_s - 1_000.0 <= 20.0


async def test_patience_ends_by_the_number_of_tries(kind: Kind) -> None:
    api = Api(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"no answer from http://remit.test \(ConnectError\) \(tried 4 times\)"):
        await result(api.client(kind, patience=Patience(attempts_max=4)).me())
    assert len(api.asked) == 4


async def test_no_try_may_take_longer_than_what_is_left_of_the_time(kind: Kind) -> None:
    api = Api(problem(503, "unavailable", "6"), me())
    await result(api.client(kind, patience=Patience(give_up_after_s=10.0), draw=lambda: 0.0).me())
    allowed = [request.extensions["timeout"]["read"] for request in api.asked]
    assert allowed == [10.0, 4.0]
    assert [request.extensions["timeout"]["connect"] for request in api.asked] == [5.0, 4.0]


async def test_without_a_token_a_client_says_so_and_asks_nobody(kind: Kind) -> None:
    api = Api(me())
    with pytest.raises(LoginNeeded):
        await result(api.client(kind, credentials=None).me())
    assert not api.asked


async def test_one_logs_in_by_hand_too(kind: Kind) -> None:
    api = Api(me())
    client = api.client(kind, credentials=None)
    token = await result(client.login(ADA.email, ADA.password))
    assert (await result(client.me())).full_name == "Ada"
    assert token.expires_in == TOKEN_LIFE_S
    assert api.asked[0].headers["Authorization"] == "Bearer token-1"


async def test_whoever_logs_in_by_hand_is_nobody_else_later(kind: Kind) -> None:
    """A client does not fall back to the credentials that it was made with."""
    api = Api(me())
    client = api.client(kind)
    await result(client.login("bob@example.com", "secret of Bob"))
    api.time.now_s += TOKEN_LIFE_S
    with pytest.raises(TokenExpired):
        await result(client.me())
    assert api.logins == 1


async def test_a_token_that_has_run_out_is_told_before_anybody_is_asked(kind: Kind) -> None:
    api = Api(me())
    client = api.client(kind, credentials=None)
    await result(client.login(ADA.email, ADA.password))
    api.time.now_s += TOKEN_LIFE_S
    with pytest.raises(TokenExpired):
        await result(client.me())
    assert not api.asked


async def test_a_token_that_the_api_takes_no_more_is_told_as_expired(kind: Kind) -> None:
    api = Api(problem(401, "unauthenticated"))
    client = api.client(kind, credentials=None, token="given")
    for _ in range(2):
        with pytest.raises(TokenExpired):
            await result(client.me())
    assert len(api.asked) == 1


async def test_with_credentials_a_token_is_renewed_before_it_runs_out(kind: Kind) -> None:
    api = Api(me())
    client = api.client(kind)
    for _ in range(2):
        await result(client.me())
        api.time.now_s += TOKEN_LIFE_S * 0.85
    assert [request.headers["Authorization"] for request in api.asked] == ["Bearer token-1", "Bearer token-2"]


async def test_a_token_that_died_is_renewed_once(kind: Kind) -> None:
    api = Api(problem(401, "unauthenticated"), completed())
    await result(api.client(kind).transfer(ORDER))
    assert [request.headers["Authorization"] for request in api.asked] == ["Bearer token-1", "Bearer token-2"]


async def test_a_token_that_is_refused_twice_is_an_error(kind: Kind) -> None:
    api = Api(problem(401, "unauthenticated"))
    with pytest.raises(Unauthenticated):
        await result(api.client(kind).transfer(ORDER))
    assert api.logins == 2


async def test_who_logs_out_is_nobody_afterwards(kind: Kind) -> None:
    api = Api(httpx.Response(204))
    client = api.client(kind, credentials=None, token="given")
    await result(client.logout())
    assert api.asked[0].url.path == "/api/v1/auth/logout"
    with pytest.raises(LoginNeeded):
        await result(client.me())


async def test_a_registration_whose_answer_is_lost_is_not_repeated(kind: Kind) -> None:
    api = Api(httpx.ReadError("cut"))
    with pytest.raises(OutcomeUnknown, match="may or may not"):
        await result(api.client(kind).register("a@example.com", "password", "A"))
    assert len(api.asked) == 1


async def test_a_deletion_that_was_done_by_a_try_whose_answer_was_lost_is_done(kind: Kind) -> None:
    api = Api(httpx.ReadError("cut"), problem(404, "account_not_found"))
    await result(api.client(kind).close_account("a"))
    assert [request.method for request in api.asked] == ["DELETE"] * 2


async def test_a_deletion_of_what_is_not_there_is_refused(kind: Kind) -> None:
    """Also after a try that certainly did nothing."""
    api = Api(problem(503, "unavailable"), problem(404, "account_not_found"))
    with pytest.raises(NotFound):
        await result(api.client(kind).close_account("a"))


async def test_an_id_cannot_become_another_path(kind: Kind) -> None:
    api = Api(problem(404, "account_not_found"))
    client = api.client(kind)
    for call in (client.account, client.transfer_by_id, client.wait_for, client.dead_letter):
        with pytest.raises(NotFound):
            await result(call("../me?x="))
    assert {request.url.raw_path.rpartition(b"/")[2] for request in api.asked} == {b"..%2Fme%3Fx%3D"}


async def test_a_client_names_itself_after_its_application(kind: Kind) -> None:
    api = Api(me())
    await result(api.client(kind, user_agent="payroll/2.1").me())
    application, own = api.asked[0].headers["User-Agent"].split(" ")
    assert application == "payroll/2.1"
    assert own.startswith("remit-client/")


async def test_no_secret_stands_in_a_representation_a_log_or_an_error(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the password, nor the token, wherever somebody prints what he has."""
    caplog.set_level(logging.DEBUG)
    api = Api(httpx.ReadError("cut"))
    client = api.client(kind, patience=Patience(attempts_max=2))
    token = await result(client.login(ADA.email, ADA.password))
    with pytest.raises(ClientError) as caught:
        await result(client.transfer(ORDER))
    shown: list[Any] = [client, client.calls, client.calls.carrier, client.calls.carrier.identity, token, ADA]
    shown += [*_chain(caught.value), caplog.text]
    for one in shown:
        assert "token-1" not in repr(one) + str(one)
        assert ADA.password not in repr(one) + str(one)
    assert isinstance(token, Token)


def _chain(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *_chain(error.__cause__ or error.__context__)]
