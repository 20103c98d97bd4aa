"""The pipeline as events: the same look again and again, until the session, the stream or the gateway ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from deploy.local.stack import Stack
from services.gateway.routes.pipeline import STREAMS_MAX
from tests.e2e.test_audit import settled
from tests.support.bank import _PASSWORD, Bank
from tests.support.browsing import SESSION, Page
from tests.support.events import events_of, read_events
from tests.support.waiting import eventually
from tests.support.whole import bank_of

_PATH = "/api/v1/admin/pipeline/events"
_GATEWAY = 9


@pytest.fixture
def gateway(stack: Stack) -> Iterator[Bank]:
    """One of its own, so that its streams can be counted and it can be told to leave."""
    stack.start_service("gateway", _GATEWAY, {"REMIT_GATEWAY_CALLS_MAX": "4"})
    bank = bank_of(stack, _GATEWAY)
    yield bank
    bank.close()
    stack.stop_service("gateway", n=_GATEWAY)


def test_looks_follow_each_other_and_each_is_what_the_call_answers(bank: Bank) -> None:
    once = bank.admin.get("/admin/pipeline")
    with events_of(bank.admin, bank.client, _PATH) as events:
        begun = time.monotonic()
        seen = [next(events) for _ in range(3)]
        assert time.monotonic() - begun < 10
    assert [name for name, _ in seen] == ["look"] * 3
    moments = [look["looked_at"] for _, look in seen]
    assert moments == sorted(set(moments))
    assert all(look.keys() == once.keys() for _, look in seen)
    assert [stage["stage"] for stage in seen[0][1]["stages"]] == [stage["stage"] for stage in once["stages"]]


def test_a_stage_says_how_large_its_batches_are(bank: Bank) -> None:
    customer = bank.customer()
    assert customer.transfer(bank.funded(customer), customer.open_account()).status_code == 201
    with events_of(bank.admin, bank.client, _PATH) as events:
        for _, look in events:
            rates = look["stages"][1]["instances"][0]["rates"]
            if rates["batches"].get("fraud.requested"):
                assert rates["consumed"]["fraud.requested"] >= rates["batches"]["fraud.requested"]
                return


def test_it_is_for_operators_and_audited_once_at_opening(bank: Bank) -> None:
    assert bank.client.get(_PATH).status_code == 401
    assert bank.customer().call("GET", "/admin/pipeline/events").json()["code"] == "forbidden"
    operator = bank.operator()
    with events_of(operator, bank.client, _PATH) as events:
        assert [next(events)[0] for _ in range(2)] == ["look", "look"]
    settled(bank)
    rows = bank.admin.get("/admin/audit-logs", user_id=operator.user["id"], action="ADMIN")["items"]
    assert [row["details"] for row in rows] == [{"act": "watch_pipeline"}]


def test_it_ends_with_the_session(bank: Bank) -> None:
    """Whoever logs out, or is no operator any more, sees nothing of what comes after it."""
    operator = bank.operator()
    with httpx.Client(base_url=bank.client.base_url, timeout=40) as client:
        page = Page(client)
        page.log_in(operator.user["email"], _PASSWORD)
        headers = {**page.proofs("GET"), "Cookie": page.cookie}
        with bank.client.stream("GET", _PATH, headers=headers) as answer:
            events = read_events(answer)
            assert next(events)[0] == "look"
            assert page.call("DELETE", SESSION).status_code == 204
            begun = time.monotonic()
            assert list(events)[-1] == ("end", {})
            assert time.monotonic() - begun < 10


def test_streams_are_bounded_and_take_no_calls_place(gateway: Bank) -> None:
    """This gateway takes four calls at once: more streams than that are open, and it still answers."""
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=gateway.client.base_url, timeout=40))
        held = [stack.enter_context(events_of(gateway.admin, client, _PATH)) for _ in range(STREAMS_MAX)]
        assert {next(events)[0] for events in held} == {"look"}
        refused = gateway.admin.call("GET", "/admin/pipeline/events")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert gateway.admin.get("/admin/pipeline")["stages"]


async def test_a_place_is_free_again_when_its_reader_has_gone(gateway: Bank) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=gateway.client.base_url, timeout=40))
        held = [stack.enter_context(events_of(gateway.admin, client, _PATH)) for _ in range(STREAMS_MAX)]
        assert {next(events)[0] for events in held} == {"look"}

    async def has_room() -> bool:
        with gateway.client.stream("GET", _PATH, headers={"Authorization": f"Bearer {gateway.admin.token}"}) as answer:
            return answer.status_code == 200

    await eventually(has_room)


async def test_a_gateway_that_leaves_ends_its_streams_and_does_not_wait_for_them(stack: Stack, gateway: Bank) -> None:
    with events_of(gateway.admin, gateway.client, _PATH) as events:
        assert next(events)[0] == "look"
        begun = time.monotonic()
        stack.signal(f"gateway-{_GATEWAY}", signal.SIGTERM)
        assert list(events)[-1] == ("end", {})

    async def has_ended() -> bool:
        return stack.pid(f"gateway-{_GATEWAY}") is None

    await eventually(has_ended)
    assert time.monotonic() - begun < 15


def test_head_opens_no_stream(bank: Bank) -> None:
    answer = bank.admin.call("HEAD", "/admin/pipeline/events")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
