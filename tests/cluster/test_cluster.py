"""Where one machine is not enough, on one machine: a cluster of brokers, a standby, several workers, two databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
import pytest

from deploy.local.layout import CHECKOUT
from deploy.local.remit_program import run_remit
from deploy.local.services import READS, SERVICES, owner_setting, reads_setting, schema_setting
from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from shared.settings import SCHEMA_OWNERS, as_role, role_of
from tests.faults.conftest import SETTINGS
from tests.support.accepted import until
from tests.support.metrics import scrape
from tests.support.nodes import open_nodes
from tests.support.standby import open_pair

_INSTANCES = 2
_PROGRAM_TIMEOUT_S = 120
_SAMPLES = CHECKOUT / "samples"
_REPLAY = (
    "replay", "--from-start", "--batch", "20", "--accounts", str(_SAMPLES / "accounts.csv"),
    "--transfers", str(_SAMPLES / "transfers.csv"), "--expect", str(_SAMPLES / "expected.json"),
)  # fmt: skip
# What moves to the second server; between the two stand all kinds of reading: the reconcilers', the gateway's.
_MOVED = ("fraud", "ledger", "audit")


# Each of them shall have some of the work.
_TURNS = {f"REMIT_{service}_CONSUMER_PRIORITY": "0" for service in ("FRAUD", "TRANSFER", "LEDGER", "AUDIT")}


@contextmanager
def _deployed(settings: Mapping[str, str], instances: int) -> Iterator[Stack]:
    """A Remit on servers that the settings name, and on its own where they name none."""
    with temporary_stack(durable=True, settings={**SETTINGS, **_TURNS, **settings}) as stack:
        stack.start_servers()
        stack.migrate()
        for n in range(1, instances + 1):
            for service in SERVICES:
                stack.start_service(service, n)
        yield stack


def _program(stack: Stack, *arguments: str) -> None:
    assert run_remit(arguments, stack.env, timeout_s=_PROGRAM_TIMEOUT_S) == 0, arguments


def _is_exact(stack: Stack) -> None:
    """The sample comes out as it must, asked again nothing is paid twice, and the whole book is right."""
    _program(stack, *_REPLAY)
    _program(stack, *_REPLAY)
    _program(stack, "verify", "--wait-s", "30")
    # The broker counts its consumers every five seconds.
    until(lambda: run_remit(("doctor",), stack.env, timeout_s=_PROGRAM_TIMEOUT_S) == 0)


def _all_worked(stack: Stack) -> None:
    """Each instance of each worker has carried batches; of audit's only one at a time does."""
    for service in ("fraud", "transfer", "ledger"):
        carried = [
            scrape(stack.service_url(service, n)).sum("remit_batch_items_count") for n in range(1, _INSTANCES + 1)
        ]
        assert all(carried), (service, carried)


def _setting(url: str, name: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0])


@pytest.mark.timeout(400)
async def test_three_brokers_two_of_each_service_and_a_synchronous_standby() -> None:
    async with open_nodes() as cluster, open_pair() as pair:
        addresses = {**cluster.addresses(), **pair.addresses()}

        def run() -> None:
            with _deployed(addresses, _INSTANCES) as stack:
                _is_exact(stack)
                _all_worked(stack)
                # With this no commit is answered before the standby has it: all of the above rested on one.
                assert _setting(addresses["REMIT_POSTGRES_URL"], "synchronous_standby_names") == "standby"

        await asyncio.to_thread(run)
        # Each durable queue has three members, all of them online, after all that.
        await cluster.whole()


@pytest.fixture
def second_server() -> Iterator[str]:
    """The owner's address of a PostgreSQL beside the stack's own."""
    with temporary_stack(durable=True) as stack:
        stack.start_servers(["postgres"])
        yield stack.servers.url("postgres")


@pytest.mark.timeout(400)
def test_schemas_on_two_servers_by_the_owners_addresses_alone(second_server: str) -> None:
    """The launcher derives the services' addresses from them; each schema is on its server, and on no other."""
    with _deployed({owner_setting(schema): second_server for schema in _MOVED}, 1) as stack:
        _is_exact(stack)
        there, here = _schemas(second_server), _schemas(stack.env["REMIT_POSTGRES_URL"])
        assert (there, here) == (set(_MOVED), set(SCHEMA_OWNERS) - set(_MOVED))


@pytest.mark.timeout(400)
def test_schemas_on_two_servers_where_every_address_is_given(second_server: str) -> None:
    """As where services know nothing but their own addresses; each role has another password there."""
    wide = dict.fromkeys(_MOVED, second_server)
    settings = {owner_setting(schema): url for schema, url in wide.items()}
    for service in SERVICES:
        for schema in READS[service]:
            if schema in wide:
                settings[reads_setting(service, schema)] = _other_password(as_role(second_server, role_of(service)))
    for schema in _MOVED:
        service = SCHEMA_OWNERS[schema]
        settings[schema_setting(service)] = _other_password(as_role(second_server, role_of(service)))
    with _deployed(settings, 1) as stack:
        _is_exact(stack)


def _other_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    user, _, place = rest.partition(":")
    return f"{scheme}://{user}:chosen{place}"


def _schemas(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", [list(SCHEMA_OWNERS)])
        return {str(name) for (name,) in rows.fetchall()}
