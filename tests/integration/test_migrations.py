"""Migrations over a filled database: nothing is lost, nothing is changed, and whoever reads is not in the way.

The stores themselves write the rows at the first revision. What a later revision has brought them is taken away here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy.exc
from alembic import command
from alembic.script import ScriptDirectory
from psycopg import sql

from deploy.local.testing import temporary_stack
from remit.invariants import Status, check_all
from services.fraud import store as fraud_store
from shared.audit_chain.views import LogViews
from shared.audit_chain.walk import LogStatus, verify
from shared.contracts.gateway import CloseAccount, Kind, RenameAccount
from shared.database import migrations, open_database
from shared.database.migrations import SCHEMAS, configuration, upgrade_all
from shared.ids import settlement_account_id
from tests.support.builders import ALICE, account_command, requested
from tests.support.services import Services, deposit, ids, stores
from tests.support.waiting import eventually

_FIRST = "0001"
# Long enough for a lock that is free, short beside any statement that would wait for the reader's end.
_LOCK_TIMEOUT_MS = 500
_HOT = (
    "identity.users", "fraud.users", "fraud.decisions", "transfer.accounts", "transfer.transactions",
    "transfer.commands", "ledger.ledger_entries", "audit.audit_logs", "audit.event_ids",
)  # fmt: skip
# What a writer holds on a table, and nothing written: in a transaction of its own to the end.
_LOCK_AS_WRITERS = "UPDATE transfer.transactions SET updated_at = updated_at WHERE false"
_WORKERS = ("fraud", "transfer", "ledger", "audit")

# What no store writes by itself.
_BESIDE = """
    INSERT INTO identity.users (id, email, email_normalised, full_name, password_hash, role, external_reference)
    VALUES (gen_random_uuid(), 'A@example.com', 'a@example.com', 'Alice', '$argon2id$', 'admin', NULL),
           (gen_random_uuid(), NULL, NULL, 'Acme', NULL, 'customer', 'acme-1');
    INSERT INTO identity.revoked_tokens VALUES (gen_random_uuid(), now() + interval '1 hour');
    INSERT INTO identity.outbox (item) VALUES ('{"activity": 1}');
    INSERT INTO fraud.batches VALUES (gen_random_uuid(), 'v1:batch', 3);
    INSERT INTO audit.checkpoints (seq, hash) SELECT seq, hash FROM audit.audit_logs ORDER BY seq DESC LIMIT 1;
"""
# What fraud asks for beyond the first revision, answered as if nothing were known; what it keeps is kept nowhere.
_FRAUD_AT_FIRST = {
    "look": """
        SELECT clock_timestamp() AS now, NULL::uuid AS user_id, NULL::uuid AS transfer_id
         WHERE $1::uuid[] IS NOT NULL AND $2::uuid[] IS NOT NULL
    """,
    "insert_decisions": """
        INSERT INTO decisions (
            transfer_id, fingerprint, user_id, kind, verdict, policy, reasons, limits_version, amount_minor, currency,
            counted, decided_at, payload, batch_id, place, released_at)
        SELECT *, $16::timestamptz FROM unnest(
            $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::json[], $8::text[],
            $9::bigint[], $10::text[], $11::boolean[], $12::timestamptz[], $13::json[], $14::uuid[], $15::integer[])
         WHERE ($17::integer, $18::timestamptz, $19::uuid[], $20::integer[], $21::timestamptz[], $22::integer[],
                $23::timestamptz[], $24::json[]) IS NOT NULL
    """,
}
_LETTERS = """
    INSERT INTO {0}.dead_letters (id, message_type, reason, detail, origin, item, resolution, resolved_at, resolved_by)
    VALUES (gen_random_uuid(), 'transfer.settled', 'poison', 'not JSON', '{0}.queue', 'x', NULL, NULL, NULL),
           (gen_random_uuid(), 'transfer.settled', 'poison', '', '{0}.queue', 'y', 'discarded', now(),
            gen_random_uuid());
    INSERT INTO {0}.attempts (event_id, tries) VALUES (gen_random_uuid(), 2);
    INSERT INTO {0}.probes (id) VALUES (1);
"""

Rows = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Migrated:
    """A database that was filled at its first revision and then brought up step by step."""

    environment: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]
    before: Rows
    # Steps that waited for somebody who was only reading.
    waited: tuple[str, ...]

    @property
    def url(self) -> str:
        return self.environment["REMIT_POSTGRES_URL"]


@contextmanager
def _empty_database() -> Iterator[str]:
    """An empty database: a server of its own, or one more database where the tests were given a server."""
    with temporary_stack() as stack:
        stack.start_servers(["postgres"])
        url = stack.servers.url("postgres")
        if "postgres" not in stack.servers.external:
            yield url
            return
        name = sql.Identifier(f"remit_migrations_{uuid4().hex}")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
            yield urlsplit(url)._replace(path=f"/{name.as_string()[1:-1]}").geturl()
            connection.execute(sql.SQL("DROP DATABASE {}").format(name))


@pytest.fixture(scope="module")
async def migrated() -> AsyncIterator[Migrated]:
    with _empty_database() as url, pytest.MonkeyPatch.context() as first:
        environment = {"REMIT_POSTGRES_URL": url, "REMIT_AMQP_URL": "amqp://nobody:none@127.0.0.1/"}
        await asyncio.to_thread(upgrade_all, environment, _FIRST)
        async with stores(environment) as services:
            for name, statement in _FRAUD_AT_FIRST.items():
                first.setitem(fraud_store.SQL._statements, name, statement)
            await _fill(services)
            first.undo()
        with psycopg.connect(url) as connection:
            connection.execute(_BESIDE.encode())
            connection.execute("".join(_LETTERS.format(schema) for schema in _WORKERS).encode())
        columns = _columns(url)
        before = _rows(url, columns)
        waited = await asyncio.to_thread(_upgrade_beside_a_reader, url)
        yield Migrated(environment, columns, before, waited)


async def _fill(services: Services) -> None:
    """Transfers of every end, accounts renamed and closed, all of it told to ledger and audit."""
    opened = await services.open_accounts(4)
    a, b, c, d = ids(opened)
    changes = [
        account_command(RenameAccount(name="Other"), account_id=c, owner_id=ALICE),
        account_command(CloseAccount(), account_id=d, owner_id=ALICE),
    ]
    await services.tell([*opened, *await services.transfer.apply(changes)])
    await services.transfer_all(*(deposit(account, 10_000) for account in (a, b)))
    settled = await services.transfer_all(
        requested(from_account_id=a, to_account_id=b, amount_minor=100, idempotency_key="k", description="rent"),
        requested(from_account_id=b, to_account_id=c, amount_minor=200),
        requested(from_account_id=a, to_account_id=b, amount_minor=99_999),
        requested(from_account_id=a, to_account_id=d),
        requested(from_account_id=a, to_account_id=b, amount_minor=100_000_001),
        requested(
            kind=Kind.WITHDRAWAL, from_account_id=b, to_account_id=settlement_account_id("USD"), amount_minor=1_000
        ),
    )
    assert {str(end.status) for end in settled} == {"completed", "failed", "blocked"}


def _upgrade_beside_a_reader(url: str) -> tuple[str, ...]:
    """Each step of each history under a short lock timeout. One that waits is noted, and taken when nobody reads."""
    hasty = {"REMIT_POSTGRES_URL": f"{url}?options=-c%20lock_timeout%3D{_LOCK_TIMEOUT_MS}"}
    waited = []
    for schema in SCHEMAS:
        for revision in _revisions(schema)[1:]:
            try:
                with _reader(url):
                    command.upgrade(configuration(schema, hasty), revision)
            except sqlalchemy.exc.OperationalError as error:
                if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                    raise
                waited.append(f"{schema} {revision}")
                command.upgrade(configuration(schema, hasty), revision)
    return tuple(waited)


@contextmanager
def _reader(url: str) -> Iterator[None]:
    """Somebody in the middle of a transaction that has read every hot table, and holds rows of it."""
    with psycopg.connect(url) as connection:
        for table in _HOT:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() != (0,)
            connection.execute(f"SELECT FROM {table} LIMIT 1 FOR KEY SHARE".encode())
        yield


def _revisions(schema: str) -> list[str]:
    """A history, the first revision first."""
    script = ScriptDirectory.from_config(
        configuration(schema, {"REMIT_POSTGRES_URL": "postgresql://nobody@127.0.0.1/"})
    )
    return [step.revision for step in script.walk_revisions()][::-1]


def _columns(url: str) -> dict[str, tuple[str, ...]]:
    """The columns of every table."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            SELECT nspname || '.' || relname, array_agg(quote_ident(attname) ORDER BY attnum)
              FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
              JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
             WHERE nspname = ANY(%s) AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'
             GROUP BY 1
            """,
            [list(SCHEMAS)],
        ).fetchall()
    return {str(table): tuple(names) for table, names in rows}


def _rows(url: str, columns: Mapping[str, tuple[str, ...]]) -> Rows:
    """All rows, in as much as these columns tell."""
    with psycopg.connect(url) as connection:
        return {
            table: tuple(
                str(row[0])
                for row in connection.execute(f"SELECT ROW({', '.join(names)})::text FROM {table} ORDER BY 1".encode())
            )
            for table, names in columns.items()
        }


def _catalogue(url: str) -> set[str]:
    """Every table, column, constraint, index, trigger, function, view and grant, as the database words them."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = ANY(%s)),
                 classes AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours))
            SELECT concat_ws(' ', oid::regclass, relkind, (SELECT string_agg(acl::text, ',' ORDER BY acl::text)
                                                             FROM unnest(relacl) AS acl))
              FROM classes WHERE relkind <> 'i'
             UNION ALL
            SELECT concat_ws(' ', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attacl)
              FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid IN (SELECT oid FROM classes)
             UNION ALL
            SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
              FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
             UNION ALL SELECT pg_get_indexdef(oid) FROM classes WHERE relkind IN ('i', 'I')
             UNION ALL SELECT pg_get_viewdef(oid) FROM classes WHERE relkind = 'v'
             UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM classes)
             UNION ALL
            SELECT pg_get_functiondef(oid) || concat(proacl) FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
            """,
            [list(SCHEMAS)],
        ).fetchall()
    return {str(row[0]) for row in rows}


async def test_nothing_is_lost_and_nothing_is_changed(migrated: Migrated) -> None:
    assert [table for table, rows in migrated.before.items() if not rows] == [], "every table was filled"
    assert _rows(migrated.url, migrated.columns) == migrated.before


async def test_every_view_answers(migrated: Migrated) -> None:
    whole = {
        "transfer.accounts_all": "transfer.accounts", "transfer.transactions_all": "transfer.transactions",
        "transfer.transaction_ids": "transfer.transactions", "transfer.command_outcomes": "transfer.commands",
        "fraud.decisions_all": "fraud.decisions", "ledger.entries": "ledger.ledger_entries",
        "ledger.entry_positions": "ledger.ledger_entries", "audit.logs": "audit.audit_logs",
        "audit.logs_ever": "audit.audit_logs", "audit.recorded_events": "audit.event_ids",
        "audit.event_positions": "audit.event_ids", "audit.chain_checkpoints": "audit.checkpoints",
        "transfer.settlements": "transfer.transactions", "fraud.decision_times": "fraud.decisions",
        **{f"{schema}.dead_letters_all": f"{schema}.dead_letters" for schema in _WORKERS},
    }  # fmt: skip
    with psycopg.connect(migrated.url) as connection:
        views = connection.execute(
            "SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname = ANY(%s)", [list(SCHEMAS)]
        ).fetchall()
        counted = {view: connection.execute(f"SELECT count(*) FROM {view}".encode()).fetchone() for (view,) in views}
    assert {view: counted[view] for view in whole} == {v: (len(migrated.before[t]),) for v, t in whole.items()}
    assert counted["transfer.accounts_live"] == (len(migrated.before["transfer.accounts"]) - 1,)
    assert counted["fraud.released"] == (2,)


async def test_the_book_is_whole_and_the_audit_chain_verifies(migrated: Migrated) -> None:
    results = await check_all(migrated.environment)
    assert [result for result in results if result.status is not Status.OK] == []
    async with open_database(migrated.url, name="tests") as database:
        found = await verify(LogViews(database))
    assert (found.status, found.rows) == (LogStatus.VERIFIED, len(migrated.before["audit.audit_logs"]))


async def test_steps_do_not_wait_for_who_reads_a_hot_table(migrated: Migrated) -> None:
    """But one: an index of the log is dropped, and dropping one from a partitioned table waits for its readers."""
    assert migrated.waited == ("audit 0002",)


async def test_a_filled_database_ends_as_an_empty_one_does(migrated: Migrated) -> None:
    """Compared with one of this test's own: others put months away and back."""
    with _empty_database() as fresh:
        await asyncio.to_thread(upgrade_all, {**migrated.environment, "REMIT_POSTGRES_URL": fresh})
        assert _catalogue(migrated.url) ^ _catalogue(fresh) == set()


async def test_upgrading_again_changes_nothing(migrated: Migrated) -> None:
    columns = _columns(migrated.url)
    before = _catalogue(migrated.url), _rows(migrated.url, columns)
    await asyncio.to_thread(upgrade_all, migrated.environment)
    assert (_catalogue(migrated.url), _rows(migrated.url, columns)) == before


async def test_a_table_that_stays_held_is_named_and_nobody_waits_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of an error of the driver's after one try, or of a queue of workers behind a migration that waits."""
    monkeypatch.setattr(migrations, "_HELD_MAX_S", 1.5)
    with _empty_database() as url:
        environment = {"REMIT_POSTGRES_URL": url, "REMIT_AMQP_URL": "amqp://nobody:none@127.0.0.1/"}
        await asyncio.to_thread(upgrade_all, environment, _FIRST)
        with psycopg.connect(url) as connection:
            connection.execute("LOCK fraud.decisions IN ROW EXCLUSIVE MODE")
            with pytest.raises(migrations.TableHeld, match="a table of fraud is held for 2 s by a transaction"):
                await asyncio.to_thread(upgrade_all, environment)
        await asyncio.to_thread(upgrade_all, environment)


async def test_indexes_of_a_step_are_made_beside_writers_and_anew_where_one_was_left_half_made() -> None:
    with _empty_database() as url, psycopg.connect(url) as writer, psycopg.connect(url, autocommit=True) as other:
        environment = {"REMIT_POSTGRES_URL": url, "REMIT_AMQP_URL": "amqp://nobody:none@127.0.0.1/"}
        await asyncio.to_thread(upgrade_all, environment, _FIRST)
        await asyncio.to_thread(migrations._upgrade, "transfer", environment, "0003")
        writer.execute(_LOCK_AS_WRITERS)
        other.execute("SET lock_timeout = '500ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("CREATE INDEX CONCURRENTLY transactions_by_key ON transfer.transactions (id)")
        migrating = asyncio.create_task(asyncio.to_thread(upgrade_all, environment))

        async def waits() -> bool:
            assert not migrating.done()
            found = other.execute("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid'")
            return bool(found.fetchall())

        await eventually(waits, timeout_s=30.0)
        # Made inside the step's transaction it would keep this one out.
        other.execute(_LOCK_AS_WRITERS)
        writer.rollback()
        await migrating
        indexes = other.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'transfer.transactions'::regclass"
            " AND indisvalid AND indexrelid::regclass::text = 'transfer.transactions_by_key'"
        ).fetchall()
        assert len(indexes) == 1
        assert "(idempotency_key, created_at, id)" in indexes[0][0]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_history_is_one_line_from_its_first_revision(schema: str) -> None:
    """Two heads, or a step taken out of the middle, would leave databases behind that cannot be brought up."""
    revisions = _revisions(schema)
    assert revisions == [f"{n:04}" for n in range(1, len(revisions) + 1)]
