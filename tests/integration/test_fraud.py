"""Fraud on real servers: one verdict a transfer, and limits that hold whoever asks, how often, and where."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from deploy.local.stack import Stack
from services.fraud.domain import Limits
from services.fraud.handlers import handlers
from services.fraud.service import open_service
from services.fraud.settings import Settings, settings_from
from services.fraud.store import Store
from shared.contracts.base import Message
from shared.contracts.fraud import Policy, Reason, Screening, TransferScreened, Verdict
from shared.contracts.gateway import BatchPlace, Kind, TransferRequested
from shared.contracts.transfer import FailureReason, Status, TransferSettled
from shared.database import Database
from shared.messaging.connection import BrokerUnavailable
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Emission, Publisher
from shared.messaging.retry import carry
from tests.support.broker import BrokerProbe
from tests.support.builders import requested, screening, settled
from tests.support.databases import several
from tests.support.running import running
from tests.support.waiting import eventually

# Minor units of USD: one transfer's maximum, and a day's.
MAX_MINOR, DAILY_MINOR = 100_000_000, 500_000_000


@pytest.fixture(scope="module")
def settings(servers: Stack) -> Settings:
    """The limits as they are by default; what other tests left pending is left alone."""
    own = {"REMIT_FRAUD_HTTP_PORT": "0", "REMIT_FRAUD_RECONCILE_GRACE_S": "3600"}
    return settings_from({**servers.service_settings("fraud"), **own})


@pytest.fixture
async def databases(servers: Stack) -> AsyncIterator[list[Database]]:
    async with several(servers.env["REMIT_FRAUD_POSTGRES_URL"], schema="fraud") as databases:
        yield databases


@pytest.fixture
def stores(databases: list[Database], settings: Settings) -> list[Store]:
    return [Store(database, settings.limits) for database in databases]


@pytest.fixture
def store(stores: list[Store]) -> Store:
    return stores[0]


@pytest.fixture
def user() -> UUID:
    """Nobody has asked anything of this one before."""
    return uuid4()


async def screened(store: Store, *items: TransferRequested) -> list[TransferScreened]:
    return [found.event for found in await store.screen(items)]


async def verdicts(store: Store, *items: TransferRequested) -> list[Verdict]:
    return [event.screening.verdict for event in await screened(store, *items)]


async def verdict(store: Store, owner_id: UUID, amount_minor: int) -> Screening:
    [event] = await screened(store, requested(owner_id=owner_id, amount_minor=amount_minor))
    return event.screening


def spending(owner_id: UUID, count: int, **changes: Any) -> list[TransferRequested]:
    return [requested(owner_id=owner_id, **changes) for _ in range(count)]


def failed(item: TransferRequested) -> TransferSettled:
    return settled(
        instruction=item.instruction,
        screening=screening(limits_version="as it was screened"),
        status=Status.FAILED,
        failure_reason=FailureReason.DESTINATION_NOT_FOUND,
        debit=None,
        credit=None,
    )


async def age(owner: Database, user_id: UUID, interval: str) -> None:
    """Makes all decisions of a user older, as only the owner of the table can."""
    await owner.fetch(
        "UPDATE fraud.decisions SET decided_at = decided_at - $2::text::interval WHERE user_id = $1", user_id, interval
    )


async def decision(owner: Database, transfer_id: UUID) -> dict[str, Any]:
    row = await owner.fetchrow("SELECT * FROM fraud.decisions WHERE transfer_id = $1", transfer_id)
    return dict(row or {})


async def decisions(owner: Database, items: Sequence[TransferRequested]) -> int:
    ids = [item.instruction.transfer_id for item in items]
    found: int = await owner.fetchval(
        "SELECT count(*) FROM fraud.decisions WHERE transfer_id = ANY($1::uuid[])", list(set(ids))
    )
    return found


async def test_a_verdict_never_changes_whatever_else_is_asked_under_its_id(
    store: Store, owner: Database, user: UUID
) -> None:
    """A, B, A: the first payload stands, the second is a conflict, and the first is answered as it was."""
    a = requested(owner_id=user, description="rent")
    b = requested(
        owner_id=user, transfer_id=a.instruction.transfer_id, fingerprint="v1:other", amount_minor=1, description="rent"
    )
    [first] = await screened(store, a)
    row = await decision(owner, a.instruction.transfer_id)
    [conflict, again] = await screened(store, b, a)
    assert first.screening.verdict is Verdict.APPROVED
    assert again == first
    assert conflict.screening.verdict is Verdict.CONFLICT
    assert set(conflict.screening.differing_fields) == {"amount", "from_account_id", "to_account_id"}
    assert conflict.instruction == b.instruction
    assert await decision(owner, a.instruction.transfer_id) == row


async def test_a_redelivery_gets_the_first_verdict_for_whoever_waits_now(
    databases: list[Database], store: Store, settings: Settings, user: UUID
) -> None:
    """Even from a worker with other limits: what was approved stays approved, and what was blocked blocked."""
    small, large = requested(owner_id=user), requested(owner_id=user, amount_minor=MAX_MINOR + 1)
    first = await screened(store, small, large)
    other = Store(databases[1], settings.model_copy(update={"max_amount": None, "max_hourly_count": 1}).limits)
    again = await screened(
        other, *(TransferRequested(instruction=item.instruction, reply_to="gw-2") for item in (small, large))
    )
    assert [event.screening.verdict for event in first] == [Verdict.APPROVED, Verdict.BLOCKED]
    assert [event.screening for event in again] == [event.screening for event in first]
    assert [event.reply_to for event in (*first, *again)] == ["", "", "gw-2", "gw-2"]


async def test_sixty_requests_at_once_over_four_workers_leave_exactly_fifty_approved(
    stores: list[Store], owner: Database, user: UUID
) -> None:
    items = spending(user, 60)
    results = await asyncio.gather(*(screened(stores[n % 4], item) for n, item in enumerate(items)))
    found = [event.screening for [event] in results]
    assert sum(one.verdict is Verdict.APPROVED for one in found) == 50
    reasons = [one.reasons for one in found if one.verdict is Verdict.BLOCKED]
    assert reasons == [(Reason(code="hourly_count_exceeded", limit="50", usage="50", attempted="51"),)] * 10
    assert await decisions(owner, items) == 60


async def test_the_same_requests_in_four_workers_at_once_get_one_verdict_each(
    stores: list[Store], owner: Database, user: UUID
) -> None:
    items = spending(user, 60)
    results = await asyncio.gather(*(screened(store, *items) for store in stores))
    assert all(result == results[0] for result in results)
    assert await decisions(owner, items) == 60


async def test_the_key_decides_where_no_user_is_locked_in_common(databases: list[Database], settings: Settings) -> None:
    """One id, four owners: nothing to wait for. The losers of the race run again and find the first's verdict."""
    ids = [uuid4() for _ in range(20)]

    async def work(database: Database) -> Sequence[Message]:
        handler = handlers(database, Store(database, settings.limits), DeadLetters(database))[TransferRequested.TYPE]
        owner_id = uuid4()
        items = [requested(transfer_id=transfer_id, owner_id=owner_id) for transfer_id in ids]
        return (await carry(handler, items)).events

    results = await asyncio.gather(*(work(database) for database in databases))
    assert len(results[0]) == 20
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("before", "limit", "reason"),
    [
        ([], MAX_MINOR, ("amount_above_maximum", "1000000.00", "0.00", "1000000.01")),
        (
            [MAX_MINOR] * 4 + [MAX_MINOR - 1],
            1,
            ("daily_amount_exceeded", "5000000.00", "5000000.00", "5000000.01"),
        ),
    ],
)
async def test_equal_to_a_limit_passes_and_one_minor_unit_more_is_blocked(
    store: Store, user: UUID, before: list[int], limit: int, reason: tuple[str, str, str, str]
) -> None:
    """What reaches the limit exactly is approved. The next, a minor unit above it, says limit, usage and attempt."""
    spent = [requested(owner_id=user, amount_minor=amount) for amount in before]
    assert await verdicts(store, *spent) == [Verdict.APPROVED] * len(before)
    assert (await verdict(store, user, limit)).verdict is Verdict.APPROVED
    above = await verdict(store, user, 1 if before else limit + 1)
    code, stated, usage, attempted = reason
    assert above.verdict is Verdict.BLOCKED
    assert above.reasons == (Reason(code=code, limit=stated, usage=usage, attempted=attempted),)


async def test_currencies_are_never_added(store: Store, user: UUID) -> None:
    await screened(store, *spending(user, 5, amount_minor=MAX_MINOR))
    euros = spending(user, 5, amount_minor=MAX_MINOR, currency="EUR")
    assert await verdicts(store, *euros) == [Verdict.APPROVED] * 5
    assert (await verdict(store, user, 1)).verdict is Verdict.BLOCKED


async def test_every_limit_that_is_exceeded_is_named(store: Store, owner: Database, user: UUID) -> None:
    """The 201st of the day, the 51st of the hour, too large, and above what is left of the day's amount."""
    for hours in (4, 3, 2):
        await screened(store, *spending(user, 50))
        await age(owner, user, f"{hours} hours")
    await screened(store, *spending(user, 50))
    found = await verdict(store, user, DAILY_MINOR)
    assert [(reason.code, reason.usage, reason.attempted) for reason in found.reasons] == [
        ("amount_above_maximum", "0.00", "5000000.00"),
        ("daily_amount_exceeded", "2000.00", "5002000.00"),
        ("hourly_count_exceeded", "50", "51"),
        ("daily_count_exceeded", "200", "201"),
    ]


async def test_the_windows_roll(store: Store, owner: Database, user: UUID) -> None:
    """After an hour the count is free again and the day's amount is not; after a day all of it is."""
    assert await verdicts(store, *spending(user, 50, amount_minor=DAILY_MINOR // 50)) == [Verdict.APPROVED] * 50
    codes = [reason.code for reason in (await verdict(store, user, 1)).reasons]
    assert codes == ["daily_amount_exceeded", "hourly_count_exceeded"]
    await age(owner, user, "1 hour")
    codes = [reason.code for reason in (await verdict(store, user, 1)).reasons]
    assert codes == ["daily_amount_exceeded"]
    await age(owner, user, "22 hours 59 minutes")
    assert (await verdict(store, user, 1)).verdict is Verdict.BLOCKED
    await age(owner, user, "1 minute")
    assert (await verdict(store, user, MAX_MINOR)).verdict is Verdict.APPROVED


_KEPT = """
    SELECT day_count, hour_count, (day_minor->>'USD')::bigint AS usd FROM fraud.windows WHERE user_id = $1
"""
_ADDED_UP = """
    SELECT count(*) AS day_count, count(*) FILTER (WHERE decided_at > now.now - interval '1 hour') AS hour_count,
           coalesce(sum(amount_minor) FILTER (WHERE released_at IS NULL), 0)::bigint AS usd
      FROM fraud.decisions, (SELECT counted_at AS now FROM fraud.windows WHERE user_id = $1) AS now
     WHERE user_id = $1 AND counted AND decided_at > now.now - interval '24 hours'
"""


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_kept_of_a_window_is_what_its_decisions_add_up_to(
    stores: list[Store], owner: Database, user: UUID, seed: int
) -> None:
    """Two workers, releases, late duplicates, time that goes by, in any order."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    asked, held = list[TransferRequested](), 0
    for _ in range(60):
        act = draw.choice(["ask", "ask", "ask", "again", "fail", "age"])
        if act == "ask":
            asked += (fresh := spending(user, draw.randint(1, 3), amount_minor=draw.randint(1, MAX_MINOR)))
            await draw.choice(stores).screen(fresh)
        elif act == "again" and asked:
            await draw.choice(stores).screen(draw.sample(asked, min(2, len(asked))))
        elif act == "fail" and asked:
            await draw.choice(stores).release([failed(draw.choice(asked))])
        elif act == "age":
            await age(owner, user, draw.choice(["10 minutes", "1 hour", "9 hours"]))
        if kept := await owner.fetchrow(_KEPT, user):
            added_up = await owner.fetchrow(_ADDED_UP, user)
            assert added_up is not None
            assert (*kept[:2], kept["usd"] or 0) == tuple(added_up)
            held += 1
    assert held > 20


async def test_what_another_release_decides_counts_too(store: Store, owner: Database, user: UUID) -> None:
    """One that knows nothing of what is kept writes its decision alone; nobody is let past a limit by that."""
    assert await verdicts(store, *spending(user, 4, amount_minor=MAX_MINOR)) == [Verdict.APPROVED] * 4
    await owner.fetch(
        """
        INSERT INTO fraud.decisions (transfer_id, fingerprint, user_id, kind, verdict, policy, reasons, limits_version,
                                     amount_minor, currency, counted, decided_at, payload, batch_id, place)
        SELECT gen_random_uuid(), fingerprint, user_id, kind, verdict, policy, reasons, limits_version,
               amount_minor, currency, counted, clock_timestamp(), payload, batch_id, place
          FROM fraud.decisions WHERE user_id = $1 LIMIT 1
        """,
        user,
    )
    [reason] = (await verdict(store, user, 1)).reasons
    assert (reason.code, reason.usage) == ("daily_amount_exceeded", "5000000.00")


async def test_a_failed_transfer_gives_its_amount_back_once(store: Store, user: UUID) -> None:
    items = spending(user, 5, amount_minor=MAX_MINOR)
    await screened(store, *items)
    assert [await store.release([failed(items[0])]) for _ in range(3)] == [1, 0, 0]
    assert (await verdict(store, user, MAX_MINOR)).verdict is Verdict.APPROVED
    assert (await verdict(store, user, 1)).verdict is Verdict.BLOCKED


async def test_a_failed_transfer_keeps_its_place_in_the_counts(store: Store, user: UUID) -> None:
    items = spending(user, 50)
    await screened(store, *items)
    assert await store.release([failed(item) for item in (*items, *items)]) == 50
    found = await verdict(store, user, 1)
    assert [(reason.code, reason.usage) for reason in found.reasons] == [("hourly_count_exceeded", "50")]


async def test_a_release_before_the_request_leaves_a_void_decision_that_the_late_request_finds(
    store: Store, owner: Database, user: UUID
) -> None:
    """The decision was lost and the transfer has failed since: nothing is screened anew, and nothing is held."""
    items = spending(user, 5, amount_minor=MAX_MINOR)
    late = items[0]
    other = requested(owner_id=user, transfer_id=late.instruction.transfer_id, fingerprint="v1:other")
    assert await store.release([failed(late)]) == 1
    [event, conflict] = await screened(store, late, other)
    assert event.screening == failed(late).screening
    assert conflict.screening.verdict is Verdict.CONFLICT
    assert (await decision(owner, late.instruction.transfer_id))["released_at"] is not None
    assert await verdicts(store, *items[1:]) == [Verdict.APPROVED] * 4
    assert (await verdict(store, user, MAX_MINOR)).verdict is Verdict.APPROVED


async def test_a_batch_under_the_key_of_another_is_refused_whole(store: Store, owner: Database, user: UUID) -> None:
    """The same items, one item more: under another fingerprint all are conflicts, and none of them is decided."""
    place = BatchPlace(batch_id=uuid4(), fingerprint="v1:two", index=0, count=2)
    items = spending(user, 2, batch=place)
    first = await screened(store, *items)
    other = BatchPlace(batch_id=place.batch_id, fingerprint="v1:three", index=0, count=3)
    changed = [
        requested(owner_id=user, transfer_id=item.instruction.transfer_id, batch=other)
        for item in (*items, requested())
    ]
    found = await screened(store, *changed)
    assert [event.screening.verdict for event in found] == [Verdict.CONFLICT] * 3
    assert {event.screening.differing_fields for event in found} == {("batch",)}
    assert await decisions(owner, changed) == 2
    assert await screened(store, *items) == first
    known = await owner.fetchrow(
        "SELECT fingerprint, item_count FROM fraud.batches WHERE batch_id = $1", place.batch_id
    )
    assert tuple(known or ()) == ("v1:two", 2)


async def test_a_duplicate_within_a_batch_counts_once(store: Store, owner: Database, user: UUID) -> None:
    items = spending(user, 50)
    doubled = [item for item in items for _ in range(2)]
    found = await screened(store, *doubled, requested(owner_id=user))
    assert [event.screening.verdict for event in found] == [Verdict.APPROVED] * 100 + [Verdict.BLOCKED]
    assert found[0:100:2] == found[1:100:2]
    assert await decisions(owner, items) == 50


@pytest.mark.parametrize("kind", [Kind.DEPOSIT, Kind.WITHDRAWAL])
async def test_what_an_operator_moves_counts_against_nothing(store: Store, user: UUID, kind: Kind) -> None:
    found = await screened(store, *spending(user, 60, kind=kind, amount_minor=10 * DAILY_MINOR))
    assert {(event.screening.verdict, event.screening.policy) for event in found} == {
        (Verdict.APPROVED, Policy.OPERATOR)
    }
    assert await verdicts(store, *spending(user, 5, amount_minor=MAX_MINOR)) == [Verdict.APPROVED] * 5


async def test_a_limit_that_is_off_does_not_apply(databases: list[Database], user: UUID) -> None:
    off = Limits(min_amount=None, max_amount=None, max_daily_amount=None, max_hourly_count=None, max_daily_count=None)
    items = spending(user, 250, amount_minor=10 * DAILY_MINOR)
    assert await verdicts(Store(databases[0], off), *items) == [Verdict.APPROVED] * 250


@asynccontextmanager
async def fraud(settings: Settings) -> AsyncIterator[None]:
    async with open_service(settings) as worker, running(worker):
        yield


def about(items: Sequence[Message], item: TransferRequested) -> list[TransferScreened]:
    wanted = item.instruction.transfer_id
    return [i for i in items if isinstance(i, TransferScreened) and i.instruction.transfer_id == wanted]


async def test_the_worker_tells_the_same_verdict_twice_and_releases_what_failed(
    settings: Settings, broker: BrokerProbe, owner: Database, user: UUID
) -> None:
    item = requested(owner_id=user, reply_to="gw-1")
    async with fraud(settings):
        told = await broker.listen(TransferScreened.TYPE)
        await broker.publish([item])
        await told.at_least(1)
        await broker.publish([item])
        first, again = await told.at_least(2)
        assert isinstance(first, TransferScreened)
        assert (first.instruction, first.reply_to) == (item.instruction, "gw-1")
        assert again == first
        await broker.publish([settled(), failed(item)])

        async def is_released() -> bool:
            return (await decision(owner, item.instruction.transfer_id))["released_at"] is not None

        await eventually(is_released)


async def test_a_verdict_whose_publish_failed_is_told_after_redelivery(
    settings: Settings, broker: BrokerProbe, owner: Database, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash between commit and publish: the decision is there, nobody knows; the redelivery tells it."""
    emit, seen = Publisher.emit, list[dict[str, Any]]()
    item = requested(owner_id=user)

    async def lose_once(publisher: Publisher, emission: Emission) -> None:
        if not seen and about(emission.events, item):
            seen.append(await decision(owner, item.instruction.transfer_id))
            raise BrokerUnavailable("lost on purpose")
        await emit(publisher, emission)

    monkeypatch.setattr(Publisher, "emit", lose_once)
    async with fraud(settings):
        told = await broker.listen(TransferScreened.TYPE)
        await broker.publish([item])
        [event] = about(await told.at_least(1), item)
    assert [row["decided_at"] for row in seen] == [event.screening.decided_at]


async def test_what_cannot_be_screened_is_parked_and_never_decided(
    settings: Settings, broker: BrokerProbe, owner: Database, user: UUID
) -> None:
    """An amount that no gateway lets through, amid good ones: fraud neither approves nor fails it."""
    goods, bad = spending(user, 8), requested(owner_id=user, amount_minor=0)
    async with fraud(settings):
        told = await broker.listen(TransferScreened.TYPE)
        await broker.publish([*goods[:3], bad, *goods[3:]])
        found = await told.at_least(8)
    assert [i.instruction for i in found if isinstance(i, TransferScreened)] == [i.instruction for i in goods]
    assert await decisions(owner, [*goods, bad]) == 8
    letter = await owner.fetchrow(
        "SELECT reason, origin FROM fraud.dead_letters WHERE item LIKE '%' || $1::text || '%'",
        str(bad.instruction.transfer_id),
    )
    assert tuple(letter or ()) == ("failed_alone", "fraud.requested")
