"""Dead letters from the parking to the end: what an operator sees, and what his decision does."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from shared.contracts.base import Message
from shared.contracts.envelope import encode_item, seal
from shared.contracts.transfer import Status
from shared.database import open_database
from shared.messaging.consumer import letter_of
from shared.messaging.dead_letters import DeadLetters, Letter
from tests.integration.conftest import Whole
from tests.support.bank import Session
from tests.support.broker import BrokerProbe, broker_probe
from tests.support.builders import account_command, requested, screened, settled
from tests.support.waiting import eventually


@pytest.fixture
async def probe(whole: Whole) -> AsyncIterator[BrokerProbe]:
    async with broker_probe(whole.stack.env["REMIT_AMQP_URL"]) as found:
        yield found


@pytest.fixture
def admin(whole: Whole) -> Session:
    return whole.bank.admin


async def _parked(whole: Whole, service: str, letter: Letter) -> str:
    """The id of a letter that the service has parked, as its own role would."""
    url = whole.stack.env[f"REMIT_{service.upper()}_POSTGRES_URL"]
    async with open_database(url, name="tests", schema=service) as database:
        await DeadLetters(database).park([letter])
    return str(letter.letter_id)


def _exhausted(item: Message, origin: str) -> Letter:
    return letter_of(item, reason="attempts_exhausted", detail="3 tries did not reach an end", origin=origin)


def _replay(admin: Session, letter: str, **headers: str) -> httpx.Response:
    return admin.call("POST", f"/admin/dead-letters/{letter}/replay", headers={"Prefer": "wait=15", **headers})


def _listed(admin: Session, **chosen: str) -> list[str]:
    return [letter["id"] for letter in admin.get("/admin/dead-letters", limit="200", **chosen)["items"]]


async def _row(whole: Whole, statement: str, *arguments: Any) -> Any:
    async def look() -> Any:
        return await whole.owner.fetchrow(statement, *arguments)

    return await eventually(look)


async def _acts(whole: Whole, letter: str) -> list[tuple[str, str]]:
    rows = await whole.owner.fetch(
        "SELECT details->>'act' AS act, status FROM audit.audit_logs"
        " WHERE action = 'ADMIN' AND resource_type = 'dead_letter' AND resource_id = $1 ORDER BY seq",
        letter,
    )
    return [(row["act"], row["status"]) for row in rows]


async def _acts_are(whole: Whole, letter: str, expected: list[tuple[str, str]]) -> None:
    async def told() -> bool:
        return await _acts(whole, letter) == expected

    await eventually(told)


async def test_poison_is_listed_with_its_reason_and_item_and_discarded_for_good(
    whole: Whole, admin: Session, probe: BrokerProbe
) -> None:
    body = f"not an envelope {uuid4()}"
    await probe.publish_body("transfer.screened", body.encode())

    async def listed() -> Any:
        items = admin.get("/admin/dead-letters", service="transfer", limit="200")["items"]
        return next((letter for letter in items if letter["item"] == body), None)

    letter = await eventually(listed)
    assert (letter["service"], letter["reason"], letter["origin"]) == ("transfer", "poison", "transfer.screened")
    assert (letter["item_bytes"], letter["times_parked"], letter["resolution"]) == (len(body), 1, None)
    one = letter["id"]
    assert admin.get(f"/admin/dead-letters/{one}") == letter
    again = _replay(admin, one).json()
    assert (again["resolution"], again["times_parked"]) == (None, 2)
    assert "cannot be read" in again["detail"]
    assert [admin.call("DELETE", f"/admin/dead-letters/{one}").status_code for _ in range(2)] == [204, 204]
    assert one not in _listed(admin)
    assert one in _listed(admin, include_resolved="true")
    refused = _replay(admin, one)
    assert (refused.status_code, refused.json()["code"]) == (409, "dead_letter_resolved")
    # The same item once more: an operator has decided.
    await probe.publish_body("transfer.screened", body.encode())
    row = await _row(whole, "SELECT resolution, resolved_by FROM transfer.dead_letters WHERE id = $1::uuid", one)
    assert tuple(row) == ("discarded", UUID(admin.user["id"]))
    done = [("read", "success"), ("replay", "success"), ("discard", "success"), ("discard", "success")]
    await _acts_are(whole, one, [*done, ("replay", "failed")])


def _command() -> tuple[str, Letter, str]:
    command = account_command()
    look = f"SELECT 1 FROM transfer.accounts WHERE id = '{command.account_id}'"
    return "transfer", _exhausted(command, "transfer.account_commands"), look


def _screened() -> tuple[str, Letter, str]:
    item = screened(from_account_id=uuid4())
    look = f"SELECT 1 FROM transfer.transactions WHERE id = '{item.instruction.transfer_id}'"
    return "transfer", _exhausted(item, "transfer.screened"), look


def _requested() -> tuple[str, Letter, str]:
    item = requested(from_account_id=uuid4())
    # All the way: what the replay emits is carried on by the others.
    look = f"SELECT 1 FROM transfer.transactions WHERE id = '{item.instruction.transfer_id}'"
    return "fraud", _exhausted(item, "fraud.requested"), look


def _booked() -> tuple[str, Letter, str]:
    item = settled()
    look = f"SELECT 1 FROM ledger.ledger_entries WHERE transfer_id = '{item.instruction.transfer_id}'"
    return "ledger", _exhausted(item, "ledger.settled"), look


def _recorded() -> tuple[str, Letter, str]:
    item = settled()
    look = f"SELECT 1 FROM audit.audit_logs WHERE resource_id = '{item.instruction.transfer_id}'"
    return "audit", _exhausted(item, "audit.events"), look


@pytest.mark.parametrize("make", [_command, _screened, _requested, _booked, _recorded])
async def test_a_replay_carries_the_item_and_a_second_one_changes_nothing(
    whole: Whole, admin: Session, make: Callable[[], tuple[str, Letter, str]]
) -> None:
    service, letter, look = make()
    one = await _parked(whole, service, letter)
    assert not await whole.owner.fetchval(look)
    answer = _replay(admin, one)
    assert (answer.status_code, answer.json()["resolution"]) == (200, "replayed")
    assert answer.json()["resolved_by"] == admin.user["id"]
    await _row(whole, look)
    assert one not in _listed(admin)
    assert _replay(admin, one).json() == answer.json()
    refused = admin.call("DELETE", f"/admin/dead-letters/{one}")
    assert (refused.status_code, refused.json()["code"]) == (409, "dead_letter_resolved")


async def test_an_item_that_ended_without_its_letter_is_already_final(whole: Whole, admin: Session) -> None:
    """Swept, redelivered or repaired meanwhile: the replay moves nothing, and says so."""
    customer = whole.bank.customer()
    account, other = whole.bank.funded(customer, "10.00"), customer.open_account()
    transfer = customer.transfer(account, other, "4.00").json()["id"]
    payload = await whole.owner.fetchval(
        "SELECT payload::text FROM fraud.decisions WHERE transfer_id = $1::uuid", transfer
    )
    letter = Letter(
        message_type="transfer.screened", reason="poison", detail="", origin="transfer.screened", item=payload
    )
    one = await _parked(whole, "transfer", letter)
    assert _replay(admin, one).json()["resolution"] == "already_final"
    assert (customer.balance(account), customer.balance(other)) == ("6.00", "4.00")


async def test_an_envelope_that_could_not_be_read_once_is_carried_by_a_release_that_can(
    whole: Whole, admin: Session
) -> None:
    """The whole body was parked, under a type that nobody knew then."""
    items = [screened(from_account_id=uuid4()) for _ in range(3)]
    letter = Letter(
        message_type="unknown", reason="poison", detail="", origin="transfer.screened", item=seal(items).decode()
    )
    one = await _parked(whole, "transfer", letter)
    assert _replay(admin, one).json()["resolution"] == "replayed"
    for item in items:
        await _row(whole, "SELECT 1 FROM transfer.transactions WHERE id = $1", item.instruction.transfer_id)


async def test_what_contradicts_the_book_stays_open_after_a_replay(whole: Whole, admin: Session) -> None:
    item = settled()
    first = await _parked(whole, "ledger", _exhausted(item, "ledger.settled"))
    assert _replay(admin, first).json()["resolution"] == "replayed"
    posting = item.debit
    assert posting is not None
    other = settled(instruction=item.instruction, credit=item.credit, debit=posting, status=Status.COMPLETED)
    raw = encode_item(other).decode().replace('"amount_minor":1000', '"amount_minor":999')
    letter = Letter(
        message_type="transfer.settled", reason="ledger_difference", detail="", origin="ledger.settled", item=raw
    )
    one = await _parked(whole, "ledger", letter)
    after = _replay(admin, one).json()
    assert (after["resolution"], after["times_parked"]) == (None, 2), after
    assert one in _listed(admin, service="ledger")
    assert admin.call("DELETE", f"/admin/dead-letters/{one}").status_code == 204


async def test_a_service_that_is_away_replays_when_it_is_back(whole: Whole, admin: Session) -> None:
    service, letter, look = _booked()
    one = await _parked(whole, service, letter)
    whole.stack.signal("ledger", signal.SIGSTOP)
    try:
        answer = admin.call("POST", f"/admin/dead-letters/{one}/replay", headers={"Prefer": "respond-async"})
        assert (answer.status_code, answer.json()["resolution"]) == (202, None)
        assert answer.headers["Location"] == f"/api/v1/admin/dead-letters/{one}"
    finally:
        whole.stack.signal("ledger", signal.SIGCONT)
    await _row(whole, look)

    async def closed() -> bool:
        return bool(admin.get(f"/admin/dead-letters/{one}")["resolution"] == "replayed")

    await eventually(closed)


async def test_pages_of_all_services_are_in_one_order_and_hold_each_letter_once(whole: Whole, admin: Session) -> None:
    made = []
    for number in range(12):
        service = ("fraud", "transfer", "ledger", "audit")[number % 4]
        letter = Letter(message_type="t", reason="poison", detail="d", origin=f"{service}.x", item=f"{uuid4()}")
        made.append(await _parked(whole, service, letter))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = admin.get("/admin/dead-letters", limit="5", **cursor)
        seen += [letter["id"] for letter in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [letter for letter in seen if letter in made] == made[::-1]
    assert len(seen) == len(set(seen))
    for letter_id in made:
        assert admin.call("DELETE", f"/admin/dead-letters/{letter_id}").status_code == 204


async def test_open_letters_are_a_metric(whole: Whole, admin: Session) -> None:
    letter = Letter(message_type="t", reason="poison", detail="", origin="audit.x", item=f"{uuid4()}")
    one = await _parked(whole, "audit", letter)
    waiting = len(_listed(admin, service="audit"))

    async def counted() -> bool:
        text = whole.bank.client.get("/metrics").text
        return f'remit_dead_letters_open{{service="audit"}} {float(waiting)}' in text

    await eventually(counted, timeout_s=30)
    assert admin.call("DELETE", f"/admin/dead-letters/{one}").status_code == 204
