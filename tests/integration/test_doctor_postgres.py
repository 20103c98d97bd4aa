"""What `remit doctor` says of PostgreSQL: each thing is broken for real, and the sentence about it is read."""

from __future__ import annotations

import secrets
import socket
import time
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.local.stack import Stack
from remit.doctor.sessions import session
from tests.support.doctoring import BOUND_S, execute, only_while, told, wrongs


async def test_what_listens_and_never_answers_is_not_waited_for(servers: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        env = {**servers.env, "REMIT_POSTGRES_URL": f"postgresql://remit:{secrets.token_hex()}@127.0.0.1:{port}/remit"}
        begun_s = time.monotonic()
        finding = await told(env, f"PostgreSQL at 127.0.0.1:{port} does not answer")
    assert time.monotonic() - begun_s < 2 * BOUND_S
    assert "that it runs" in finding.do


async def test_a_session_of_the_doctor_cannot_write(servers: Stack) -> None:
    async with session(servers.env["REMIT_POSTGRES_URL"]) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("DELETE FROM ledger.ledger_entries")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("GRANT UPDATE ON ledger.ledger_entries TO remit_ledger", "remit_ledger may UPDATE on ledger.ledger_entries"),
        ("GRANT DELETE ON audit.checkpoints TO PUBLIC", "remit_audit may DELETE on audit.checkpoints"),
        (
            "GRANT UPDATE (amount_minor) ON transfer.transactions TO remit_transfer",
            "remit_transfer may UPDATE (amount_minor, deleted_at, is_deleted) on transfer.transactions",
        ),
        ("REVOKE SELECT ON fraud.released FROM remit_transfer", "remit_transfer may not SELECT on fraud.released"),
        ("GRANT CREATE ON SCHEMA fraud TO remit_fraud", "remit_fraud may make tables in fraud"),
        ("ALTER ROLE remit_gateway CREATEDB", "remit_gateway has CREATEDB"),
        ("GRANT remit_audit TO remit_ledger", "remit_ledger may do whatever remit_audit may"),
    ],
)
async def test_a_role_given_too_much_or_too_little_is_named_with_what_mends_it(
    servers: Stack, statement: str, sentence: str
) -> None:
    """What is to be done is the very statement: it is run, and the doctor is content."""
    env = servers.env
    async with only_while(env, sentence):
        execute(env["REMIT_POSTGRES_URL"], statement)
        finding = await told(env, sentence)
        execute(env["REMIT_POSTGRES_URL"], finding.do.replace("FROM remit_audit", "FROM remit_audit, PUBLIC"))
        if "amount_minor" in statement:
            execute(
                env["REMIT_POSTGRES_URL"],
                "GRANT UPDATE (is_deleted, deleted_at) ON transfer.transactions TO remit_transfer",
            )


async def test_a_privilege_on_a_partition_is_not_overlooked(servers: Stack) -> None:
    """Through the table it belongs to nobody could delete, and through the partition itself he could."""
    env = servers.env
    with psycopg.connect(env["REMIT_POSTGRES_URL"]) as connection:
        [[partition]] = connection.execute(
            "SELECT min(oid::regclass::text) FROM pg_class WHERE relispartition AND relname LIKE 'audit_logs_____\\___'"
            " AND relkind = 'r'"
        ).fetchall()
    sentence = f"remit_audit may DELETE on {partition}"
    async with only_while(env, sentence):
        execute(env["REMIT_POSTGRES_URL"], f"GRANT DELETE ON {partition} TO remit_audit")
        execute(env["REMIT_POSTGRES_URL"], (await told(env, sentence)).do)


@pytest.mark.parametrize(
    ("revision", "sentence", "do"),
    [
        ("0001", "the schema ledger is at revision 0001, and this release needs ", "run `remit migrate`"),
        (
            "9999",
            "the schema ledger is at revision 9999, which this release does not know",
            "use the release that made it, or a newer one",
        ),
    ],
)
async def test_a_schema_that_is_not_at_its_newest_revision_is_named(
    servers: Stack, revision: str, sentence: str, do: str
) -> None:
    url = servers.env["REMIT_POSTGRES_URL"]
    with psycopg.connect(url) as connection:
        [[newest]] = connection.execute("SELECT version_num FROM ledger.alembic_version").fetchall()
    async with only_while(servers.env, sentence):
        execute(url, f"UPDATE ledger.alembic_version SET version_num = '{revision}'")
        try:
            finding = await told(servers.env, sentence)
        finally:
            execute(url, f"UPDATE ledger.alembic_version SET version_num = '{newest}'")
        assert finding.do == do
        assert revision != "0001" or finding.says.endswith(newest)


async def test_a_schema_that_was_never_made_is_named(servers: Stack) -> None:
    url, sentence = servers.env["REMIT_POSTGRES_URL"], "the schema fraud was never made"
    async with only_while(servers.env, sentence):
        execute(url, "ALTER TABLE fraud.alembic_version RENAME TO mislaid")
        try:
            assert (await told(servers.env, sentence)).do == "run `remit migrate`"
        finally:
            execute(url, "ALTER TABLE fraud.mislaid RENAME TO alembic_version")


async def test_servers_that_would_lose_what_is_committed_are_named(servers: Stack) -> None:
    """Those of the tests run without fsync; that is for data that end with them."""
    found = await wrongs(servers.env)
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        settings = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')"
        ).fetchall()
    for name, setting in settings:
        said = [finding.do for finding in found if finding.says.startswith(f"{name} is off")]
        assert said == ([f"set {name} = on"] if setting == "off" else [])


async def test_a_password_that_the_server_does_not_know_is_not_told(servers: Stack) -> None:
    password = secrets.token_hex()
    own = servers.env["REMIT_LEDGER_POSTGRES_URL"]
    known = urlsplit(own).password or ""
    env = {**servers.env, "REMIT_LEDGER_POSTGRES_URL": own.replace(known, password)}
    finding = await told(env, "does not let remit_ledger in")
    assert password not in finding.says + finding.do
    assert "remit migrate" in finding.do
