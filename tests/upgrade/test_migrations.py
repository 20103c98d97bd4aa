"""From the previous release's schemas to this one's, on tables that are full and written to: nobody waits for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from deploy.local.remit_program import run_remit
from deploy.local.testing import temporary_stack
from tests.support.accepted import until

_ROWS = 120_000
# No writer may wait longer for a lock; a worker's own bound is 2 s.
_WAIT_MAX_MS = 500
# How long a table is held after a migration has begun to wait for it: longer than any writer may wait.
_HELD_S = 1.5
_POLL_S = 0.02
_MIGRATE_TIMEOUT_S = 120

# What each worker writes; so many at once fill the tables.
_WRITES: Mapping[str, str] = {
    "fraud.decisions": """
        INSERT INTO fraud.decisions (transfer_id, fingerprint, user_id, kind, verdict, policy, reasons, limits_version,
               amount_minor, currency, counted, decided_at, payload, place)
        SELECT gen_random_uuid(), 'v1', gen_random_uuid(), 'transfer', 'approved', 'user', '[]', '1',
               100, 'USD', true, clock_timestamp(), '{"instruction": {}}', n
          FROM generate_series(1, %(rows)s) AS n
    """,
    "transfer.accounts": """
        INSERT INTO transfer.accounts (id, owner_id, name, currency, kind, balance_minor, account_seq)
        SELECT gen_random_uuid(), gen_random_uuid(), 'Main', 'USD', 'customer', 100, 1
          FROM generate_series(1, %(rows)s)
    """,
    "transfer.transactions": """
        INSERT INTO transfer.transactions (id, fingerprint, kind, caller_id, owner_id, from_account_id, to_account_id,
               amount_minor, currency, context, verdict, policy, limits_version, decided_at, status, retry_count,
               debit_seq, debit_balance_before_minor, debit_balance_after_minor,
               credit_seq, credit_balance_before_minor, credit_balance_after_minor, created_at, settled_at, updated_at)
        SELECT gen_random_uuid(), 'v1', 'transfer', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
               gen_random_uuid(), 100, 'USD', '{}', 'approved', 'user', '1', now(), 'completed', 0,
               1, 100, 0, 1, 0, 100, now(), now(), now()
          FROM generate_series(1, %(rows)s)
    """,
    "ledger.ledger_entries": """
        WITH settled AS (SELECT gen_random_uuid() AS id FROM generate_series(1, %(rows)s))
        INSERT INTO ledger.ledger_entries (account_id, transfer_id, id, account_seq, amount_minor, balance_before_minor,
               balance_after_minor, created_at, direction, currency)
        SELECT gen_random_uuid(), settled.id, gen_random_uuid(), 1, 100, 0, after_minor, now(), direction, 'USD'
          FROM settled, (VALUES ('debit', -100), ('credit', 100)) AS sides (direction, after_minor)
    """,
    "audit.audit_logs": """
        INSERT INTO audit.audit_logs (seq, recorded_at, occurred_at, event_id, hash, action, resource_type, status,
               request_id, details)
        SELECT coalesce((SELECT max(seq) FROM audit.audit_logs), 0) + n, clock_timestamp(), now(), gen_random_uuid(),
               sha256('x'), 'TRANSFER', 'transaction', 'success', 'r', '{}'
          FROM generate_series(1, %(rows)s) AS n
    """,
    "identity.users": """
        INSERT INTO identity.users (id, email, email_normalised, full_name, password_hash, role)
        SELECT id, id || '@example.com', id || '@example.com', 'Somebody', '$argon2id$', 'customer'
          FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, %(rows)s)) AS drawn
    """,
}

# Writers ask for RowExclusiveLock, and wait for nobody but it; who makes an index beside them waits for transactions.
_MIGRATION_WAITS = """
    SELECT FROM pg_locks
     WHERE NOT granted AND (relation = ANY(%s::text[]::regclass[]) AND mode <> 'RowExclusiveLock'
                            OR locktype = 'virtualxid')
"""


@dataclass
class Writer:
    """Somebody who writes to one table all the time, a row a transaction, and does not wait longer than the bound."""

    url: str
    table: str
    writes: int = 0
    longest_s: float = 0.0

    def work(self, stop: threading.Event) -> None:
        """Until told to stop; raises LockNotAvailable when a lock was not there in time."""
        with psycopg.connect(self.url, autocommit=True, options=f"-c lock_timeout={_WAIT_MAX_MS}") as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.execute(_WRITES[self.table].encode(), {"rows": 1})
                self.longest_s = max(self.longest_s, time.monotonic() - begun)
                self.writes += 1


@contextmanager
def _writing(url: str) -> Iterator[list[Writer]]:
    """A writer for each hot table, all of them at work; their trouble is raised at the end."""
    stop, writers = threading.Event(), [Writer(url, table) for table in _WRITES]
    with ThreadPoolExecutor(len(writers)) as pool:
        working: list[Future[None]] = [pool.submit(writer.work, stop) for writer in writers]
        try:
            until(lambda: all(writer.writes for writer in writers) or any(one.done() for one in working))
            yield writers
        finally:
            stop.set()
        for one in working:
            one.result()


def _hold_all(url: str, held: threading.Event, done: threading.Event) -> None:
    """One transaction that has written to every hot table, and goes on when a migration waits for one of them."""
    with psycopg.connect(url) as connection:
        for statement in _WRITES.values():
            connection.execute(statement.encode(), {"rows": 0})
        held.set()
        while not done.is_set():
            if connection.execute(_MIGRATION_WAITS, [list(_WRITES)]).fetchone() is not None:
                time.sleep(_HELD_S)
                return
            time.sleep(_POLL_S)


@contextmanager
def _reading_all(url: str) -> Iterator[None]:
    """One transaction that has read every hot table, as `remit verify` does, and does not end meanwhile."""
    with psycopg.connect(url) as connection:
        for table in _WRITES:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() != (0,)
        yield


def _files(url: str) -> dict[str, int]:
    """Which file holds each table: another one, if it was written anew as a whole."""
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute("SELECT pg_relation_filenode(%s::regclass)", [table]).fetchall()[0][0]
            for table in _WRITES
        }


@pytest.fixture(scope="module")
def filled(previous: Path) -> Iterator[str]:
    """The address of a database of the previous release, its hot tables filled."""
    with temporary_stack() as stack:
        stack.start_servers(["postgres"])
        url = stack.servers.url("postgres")
        settings = {"REMIT_POSTGRES_URL": url}
        assert run_remit(("migrate",), settings, timeout_s=_MIGRATE_TIMEOUT_S, checkout=previous) == 0
        with psycopg.connect(url) as connection:
            for statement in _WRITES.values():
                connection.execute(statement.encode(), {"rows": _ROWS})
        yield url


@pytest.mark.timeout(180)
def test_nobody_waits_long_for_a_migration(filled: str) -> None:
    """Neither who writes a row, while a large batch is not done yet, nor the migration for whoever reads."""
    before, held, done = _files(filled), threading.Event(), threading.Event()
    with _reading_all(filled), _writing(filled) as writers, ThreadPoolExecutor(1) as pool:
        holding = pool.submit(_hold_all, filled, held, done)
        until(held.is_set)
        begun = time.monotonic()
        assert run_remit(("migrate",), {"REMIT_POSTGRES_URL": filled}, timeout_s=_MIGRATE_TIMEOUT_S) == 0
        elapsed_s = time.monotonic() - begun
        done.set()
        holding.result()
    for writer in writers:
        print(f"{writer.table}: {writer.writes} writes, the longest {writer.longest_s * 1_000:.0f} ms")
    print(f"migrated {_ROWS:,} rows a table in {elapsed_s:.1f} s")
    assert _files(filled) == before
