"""Traces of a whole Remit, as a collector gets them: one call is one trace through all services."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.contracts.base import Context, Message
from shared.contracts.envelope import encode_item, seal
from shared.contracts.naming import context_of
from shared.contracts.transfer import Status, TransferSettled
from shared.database import open_database
from shared.messaging.consumer import letter_of
from shared.messaging.dead_letters import DeadLetters
from tests.integration.conftest import Whole
from tests.support.bank import Bank, Session
from tests.support.broker import BrokerProbe, broker_probe
from tests.support.builders import instruction, settled
from tests.support.collector import Seen
from tests.support.waiting import eventually
from tests.support.whole import bank_of

_CALL = ("remit-gateway", "POST /api/v1/transfers")
_BATCH_CALL = ("remit-gateway", "POST /api/v1/transfers/batch")
_PUBLISH = ("remit-gateway", "publish remit.gateway")
_ANSWER = ("remit-gateway", "answer")
_WORK = Counter(
    {
        _PUBLISH: 1,
        ("remit-fraud", "screen fraud.requested"): 1,
        ("remit-transfer", "settle transfer.screened"): 1,
        ("remit-ledger", "book ledger.settled"): 1,
        ("remit-fraud", "release fraud.settled"): 1,
        # The verdict, and the end.
        ("remit-audit", "record audit.events"): 2,
    }
)
_TRANSFER = Counter({_CALL: 1, _ANSWER: 1}) + _WORK
_ATTRIBUTES = {
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "messaging.batch.message_count",
    "messaging.destination.name",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "remit.redelivered",
    "remit.replayed",
    "remit.request_id",
    "remit.transfer_id",
}


class Caller:
    """Somebody who traces what he asks for."""

    def __init__(self, flags: str = "01") -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{flags}"
        self.headers = {"traceparent": self.traceparent}


@pytest.fixture
async def probe(whole: Whole) -> AsyncIterator[BrokerProbe]:
    async with broker_probe(whole.stack.env["REMIT_AMQP_URL"]) as found:
        yield found


@pytest.fixture(scope="module")
def payer(whole: Whole) -> Session:
    return whole.bank.customer("Payer")


@pytest.fixture(scope="module")
def accounts(whole: Whole, payer: Session) -> tuple[str, str]:
    return whole.bank.funded(payer, "1000.00"), payer.open_account()


@pytest.fixture
def second(whole: Whole) -> Iterator[Any]:
    """Starts a second gateway with settings of its own, and gives it as a bank."""
    started: list[Bank] = []

    def start(**settings: str) -> Bank:
        whole.stack.start_service("gateway", 2, settings)
        started.append(bank_of(whole.stack, 2))
        return started[-1]

    yield start
    for bank in started:
        bank.close()
    whole.stack.stop_service("gateway", n=2)


async def _trace(whole: Whole, caller: Caller, expected: Counter[tuple[str, str]]) -> list[Seen]:
    """The trace, once it holds this many spans; that they are the expected ones is seen here too."""

    async def look() -> list[Seen]:
        found = whole.collector.trace(caller.trace_id)
        return found if len(found) >= expected.total() else []

    found = await eventually(look)
    assert Counter(span.what for span in found) == expected
    return found


def _one(spans: list[Seen], what: tuple[str, str]) -> Seen:
    (found,) = [span for span in spans if span.what == what]
    return found


async def _batch_of(whole: Whole, span: Seen) -> Seen:
    """The span of the batch that an item's span is linked to."""
    ((trace_id, span_id),) = span.links
    assert trace_id != span.trace_id

    async def look() -> list[Seen]:
        return [batch for batch in whole.collector.trace(trace_id) if batch.span_id == span_id]

    (batch,) = await eventually(look)
    return batch


async def test_a_transfer_is_one_trace_through_all_five_services(
    whole: Whole, payer: Session, accounts: tuple[str, str]
) -> None:
    """Its caller's span is above the call's, that above all others; work in batches is linked to the batch."""
    caller = Caller()
    answer = payer.transfer(*accounts, "1.00", headers={**caller.headers, "X-Request-ID": "the traced one"})
    assert answer.status_code == 201
    spans = await _trace(whole, caller, _TRANSFER)
    call = _one(spans, _CALL)
    assert call.parent_id == caller.span_id
    assert (call.attributes["http.response.status_code"], call.attributes["http.route"]) == (201, "/api/v1/transfers")
    assert {span.parent_id for span in spans if span is not call} == {call.span_id}
    for span in spans:
        if span.what in _WORK:
            batch = await _batch_of(whole, span)
            assert (batch.what, batch.parent_id) == (span.what, "")
            assert span.attributes["messaging.batch.message_count"] >= 1
            assert span.attributes["remit.transfer_id"] == answer.json()["id"]
            assert span.attributes["remit.request_id"] == "the traced one"
        assert "remit.redelivered" not in span.attributes
        assert not span.is_error
    assert whole.collector.paths == {"/v1/traces"}


async def test_spans_hold_ids_and_nothing_of_what_was_asked(
    whole: Whole, payer: Session, accounts: tuple[str, str]
) -> None:
    """No amount, no name, no text of a client but the id that he gave his request."""
    caller = Caller()
    assert payer.transfer(*accounts, "7.77", description="rent", headers=caller.headers).status_code == 201
    spans = await _trace(whole, caller, _TRANSFER)
    assert {name for span in spans for name in span.attributes} <= _ATTRIBUTES
    told = {str(value) for span in spans for value in span.attributes.values()}
    assert not told & {"7.77", "777", "rent", "Payer", payer.user["email"], payer.token}


async def test_a_batch_call_is_one_trace_with_a_span_for_each_item(
    whole: Whole, payer: Session, accounts: tuple[str, str]
) -> None:
    """All items of a stage are linked to the one batch that carried them."""
    caller = Caller()
    item = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": "1.00", "currency": "USD"}
    answer = payer.call("POST", "/transfers/batch", key="three", json={"transfers": [item] * 3}, headers=caller.headers)
    assert answer.status_code == 200
    expected = Counter({_BATCH_CALL: 1, _ANSWER: 1}) + Counter({what: 3 * count for what, count in _WORK.items()})
    spans = await _trace(whole, caller, expected)
    ids = {item["transfer"]["id"] for item in answer.json()["items"]}
    for what in _WORK:
        of_stage = [span for span in spans if span.what == what]
        assert {span.attributes["remit.transfer_id"] for span in of_stage} == ids
        assert {span.parent_id for span in of_stage} == {_one(spans, _BATCH_CALL).span_id}
    publishing = [span for span in spans if span.what == _PUBLISH]
    assert len({tuple(span.links) for span in publishing}) == 1
    assert publishing[0].attributes["messaging.batch.message_count"] == 3


async def test_a_transfer_that_fraud_blocks_goes_the_same_way(
    whole: Whole, payer: Session, accounts: tuple[str, str]
) -> None:
    caller = Caller()
    assert payer.transfer(*accounts, "1000000.01", headers=caller.headers).status_code == 403
    call = _one(await _trace(whole, caller, _TRANSFER), _CALL)
    assert call.attributes["http.response.status_code"] == 403


async def test_a_call_that_is_refused_at_the_door_goes_no_further(
    whole: Whole, payer: Session, accounts: tuple[str, str]
) -> None:
    caller = Caller()
    assert payer.transfer(*accounts, "0.00", headers=caller.headers).status_code == 422
    (call,) = await _trace(whole, caller, Counter({_CALL: 1}))
    assert call.attributes["http.response.status_code"] == 422


async def test_a_replay_says_so_and_leads_to_nothing(whole: Whole, payer: Session, accounts: tuple[str, str]) -> None:
    first, again, key = Caller(), Caller(), str(uuid4())
    body = payer.transfer(*accounts, key=key, headers=first.headers).content
    assert payer.transfer(*accounts, key=key, headers=again.headers).content == body
    (call,) = await _trace(whole, again, Counter({_CALL: 1}))
    assert call.attributes["remit.replayed"] is True
    assert "remit.replayed" not in _one(await _trace(whole, first, _TRANSFER), _CALL).attributes


async def test_what_comes_again_from_the_broker_says_so(whole: Whole, probe: BrokerProbe) -> None:
    caller = Caller()
    await probe.publish_body(TransferSettled.TYPE, seal([_blocked(caller)]), headers={"x-delivery-count": 1})
    expected = Counter(
        {
            ("remit-ledger", "book ledger.settled"): 1,
            ("remit-fraud", "release fraud.settled"): 1,
            ("remit-audit", "record audit.events"): 1,
        }
    )
    for span in await _trace(whole, caller, expected):
        assert span.parent_id == caller.span_id
        assert span.attributes["remit.redelivered"] is True


async def test_a_dead_letter_that_is_replayed_is_seen_in_its_own_trace(whole: Whole) -> None:
    """Below the call that it came from, however long ago; the operator's call is another trace."""
    caller, operator = Caller(), Caller()
    letter = letter_of(_blocked(caller), reason="failed_alone", detail="a test", origin="fraud.settled")
    url = whole.stack.env["REMIT_FRAUD_POSTGRES_URL"]
    async with open_database(url, name="tests", schema="fraud") as database:
        await DeadLetters(database).park([letter])
    headers = {"Prefer": "wait=15", **operator.headers}
    answer = whole.bank.admin.call("POST", f"/admin/dead-letters/{letter.letter_id}/replay", headers=headers)
    assert answer.is_success, answer.text
    (replayed,) = await _trace(whole, caller, Counter({("remit-fraud", "release dead_letters"): 1}))
    assert (replayed.parent_id, replayed.attributes["remit.redelivered"]) == (caller.span_id, True)


def _blocked(caller: Caller) -> TransferSettled:
    """An end that moved no money: nothing of it is left in the book."""
    asked = instruction(context=Context(request_id="r", traceparent=caller.traceparent))
    return settled(instruction=asked, status=Status.BLOCKED, debit=None, credit=None)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "garbage",
        "\u00fc" * 55,
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-00",
        "x" * 10_000,
    ],
    ids=["empty", "words", "no ASCII", "no trace", "no span", "capitals", "too long", "version", "untraced", "endless"],
)
async def test_a_caller_who_is_not_traced_or_says_nothing_readable_is_served_alike(
    whole: Whole, payer: Session, accounts: tuple[str, str], probe: BrokerProbe, traceparent: str
) -> None:
    """Nothing of what he said is handed on. (The lot falls on nobody here.)"""
    heard = await probe.listen(TransferSettled.TYPE)
    answer = payer.transfer(*accounts, headers={"traceparent": traceparent.encode("latin-1")})
    assert answer.status_code == 201
    _carries_no_trace(await _about(heard.at_least, UUID(answer.json()["id"])))


async def test_a_gateway_that_does_not_trace_hands_nothing_on(
    whole: Whole, payer: Session, accounts: tuple[str, str], probe: BrokerProbe, second: Any
) -> None:
    """Messages have no field for it, and no worker sends anything, although they trace."""
    bank, caller, heard = second(REMIT_TRACES_ENDPOINT=""), Caller(), await probe.listen(TransferSettled.TYPE)
    answer = bank.login(payer.user["email"]).transfer(*accounts, headers=caller.headers)
    assert answer.status_code == 201
    _carries_no_trace(await _about(heard.at_least, UUID(answer.json()["id"])))
    # A traced one after it has come in whole; this one had gone the same way before.
    later = Caller()
    assert payer.transfer(*accounts, headers=later.headers).status_code == 201
    await _trace(whole, later, _TRANSFER)
    assert whole.collector.trace(caller.trace_id) == []


async def _about(at_least: Any, transfer_id: UUID) -> Message:
    (message,) = [item for item in await at_least(1) if item.instruction.transfer_id == transfer_id]
    return message  # type: ignore[no-any-return] # what listens to one type hears no other


def _carries_no_trace(message: Message) -> None:
    context = context_of(message)
    assert context is not None
    assert context.traceparent == ""
    assert b"traceparent" not in encode_item(message)


async def test_a_collector_that_is_away_does_no_harm(
    whole: Whole, payer: Session, accounts: tuple[str, str], second: Any
) -> None:
    """Calls are answered as ever, what is lost is counted, and the gateway leaves in time."""
    bank = second(REMIT_TRACES_ENDPOINT="http://127.0.0.1:9", REMIT_TRACES_SAMPLE="1")
    session = bank.login(payer.user["email"])
    began_s = time.monotonic()
    for _ in range(5):
        assert session.transfer(*accounts).status_code == 201
    assert time.monotonic() - began_s < 30

    async def are_counted() -> bool:
        page = bank.client.get("/metrics").text
        (line,) = [one for one in page.splitlines() if one.startswith('remit_spans_dropped_total{reason="export"}')]
        # Each call and its two parts.
        return float(line.split()[-1]) >= 15

    await eventually(are_counted, timeout_s=60)
    assert session.transfer(*accounts).status_code == 201
    began_s = time.monotonic()
    whole.stack.stop_service("gateway", n=2)
    assert time.monotonic() - began_s < 10
