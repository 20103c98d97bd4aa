"""What the launcher decides before it starts anything: whose servers, whose settings, which ports."""

from __future__ import annotations

import random
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local import secrets
from deploy.local.addresses import Addresses, caller_settings, external_servers
from deploy.local.errors import StackError
from deploy.local.files import read_assignments, write_assignments
from deploy.local.ports import LOOPBACK, PRIVATE, Ports, is_free
from deploy.local.secrets import Secrets
from deploy.local.services import SERVICES, Service, Surroundings, service_settings
from services.audit.settings import settings_from as audit_settings
from services.fraud.settings import settings_from as fraud_settings
from services.gateway.settings import settings_from as gateway_settings
from services.ledger.settings import settings_from as ledger_settings
from services.transfer.settings import settings_from as transfer_settings
from shared.settings import role_of, role_password

WRITTEN = {"REMIT_POSTGRES_URL": "postgresql://o:p@127.0.0.1:20001/remit", "REMIT_GATEWAY_ADMIN_EMAIL": "a@b.example"}
NOTHING: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("environment", "given", "chosen"),
    [
        ({}, NOTHING, {}),
        # What is not ours, or says nothing, is not a choice.
        ({"PATH": "/bin", "REMIT_REDIS_URL": "", "REMIT_AMQP_URL": "  "}, NOTHING, {}),
        # Our own address, come back by way of a sourced file …
        (dict(WRITTEN), NOTHING, {"REMIT_GATEWAY_ADMIN_EMAIL": "a@b.example"}),
        ({"REMIT_POSTGRES_URL": f" {WRITTEN['REMIT_POSTGRES_URL']} "}, NOTHING, {}),
        # … unless it was the caller's before it was ours.
        (
            {"REMIT_POSTGRES_URL": WRITTEN["REMIT_POSTGRES_URL"]},
            frozenset({"REMIT_POSTGRES_URL"}),
            {"REMIT_POSTGRES_URL": WRITTEN["REMIT_POSTGRES_URL"]},
        ),
        # Another server under the same name is one.
        (
            {"REMIT_POSTGRES_URL": "postgresql://o:p@db:5432/remit "},
            NOTHING,
            {"REMIT_POSTGRES_URL": "postgresql://o:p@db:5432/remit"},
        ),
    ],
)
def test_an_address_that_repeats_what_was_written_counts_as_unset(
    environment: Mapping[str, str], given: frozenset[str], chosen: Mapping[str, str]
) -> None:
    assert caller_settings(environment, WRITTEN, given) == chosen


POSTGRES, REDIS, AMQP = (
    {"REMIT_POSTGRES_URL": "postgresql://db"},
    {"REMIT_REDIS_URL": "redis://cache"},
    {"REMIT_AMQP_URL": "amqp://mq"},
)
ALL = {**POSTGRES, **REDIS, **AMQP}


@pytest.mark.parametrize(
    ("caller", "elsewhere"),
    [
        ({}, set()),
        ({"REMIT_INFRA": "local"}, set()),
        ({"REMIT_INFRA": "containers"}, set()),
        (POSTGRES, {"postgres"}),
        ({**REDIS, **AMQP}, {"redis", "rabbitmq"}),
        # An address says more than a preference.
        ({**POSTGRES, "REMIT_INFRA": "local"}, {"postgres"}),
        ({**POSTGRES, "REMIT_INFRA": "containers"}, {"postgres"}),
        ({**ALL, "REMIT_INFRA": "external"}, {"postgres", "redis", "rabbitmq"}),
    ],
)
def test_a_server_with_an_address_runs_elsewhere(caller: Mapping[str, str], elsewhere: set[str]) -> None:
    assert external_servers(caller) == elsewhere


@pytest.mark.parametrize(
    ("caller", "told"),
    [
        ({"REMIT_INFRA": "cloud"}, "must be external, containers or local, not 'cloud'"),
        ({**POSTGRES, "REMIT_INFRA": "external"}, "REMIT_REDIS_URL and REMIT_AMQP_URL is not set"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_in_one_line(caller: Mapping[str, str], told: str) -> None:
    with pytest.raises(StackError, match=told):
        external_servers(caller)


OWNER, ADMINISTRATOR, CACHE = "0wner-secret", "4dmin-secret", "c4che-secret"
SECRETS = Secrets(
    postgres_owner_password=OWNER,
    redis_password=CACHE,
    amqp_administrator_password=ADMINISTRATOR,
    erlang_cookie="c00kie-secret",
    gateway_jwt_secret="jwt-secret-that-is-long-enough-to-sign-with",
    gateway_admin_email="admin@remit.local",
    gateway_admin_password="0perator-secret",
)
ADDRESSES = Addresses(
    postgres=f"postgresql://remit:{OWNER}@db:5432/remit",
    redis=f"redis://:{CACHE}@cache:6379/0",
    amqp=f"amqp://remit:{ADMINISTRATOR}@mq:5672/",
    management=f"http://remit:{ADMINISTRATOR}@mq:15672",
)


def around(**caller: str) -> Surroundings:
    return Surroundings(addresses=ADDRESSES, secrets=SECRETS, caller=caller, gateway_port=None)


@pytest.mark.parametrize(
    ("service", "names"),
    [
        (
            "gateway",
            {
                "REMIT_IDENTITY_POSTGRES_URL",
                "REMIT_GATEWAY_AMQP_URL",
                "REMIT_GATEWAY_READS_FRAUD_POSTGRES_URL",
                "REMIT_GATEWAY_READS_TRANSFER_POSTGRES_URL",
                "REMIT_GATEWAY_READS_LEDGER_POSTGRES_URL",
                "REMIT_GATEWAY_READS_AUDIT_POSTGRES_URL",
                "REMIT_REDIS_URL",
                "REMIT_GATEWAY_ADMIN_EMAIL",
                "REMIT_GATEWAY_ADMIN_PASSWORD",
                "REMIT_GATEWAY_JWT_SECRET",
            },
        ),
        (
            "fraud",
            {
                "REMIT_FRAUD_POSTGRES_URL",
                "REMIT_FRAUD_AMQP_URL",
                "REMIT_FRAUD_READS_TRANSFER_POSTGRES_URL",
                "REMIT_FRAUD_READS_AUDIT_POSTGRES_URL",
            },
        ),
        (
            "transfer",
            {
                "REMIT_TRANSFER_POSTGRES_URL",
                "REMIT_TRANSFER_AMQP_URL",
                "REMIT_TRANSFER_READS_LEDGER_POSTGRES_URL",
                "REMIT_TRANSFER_READS_AUDIT_POSTGRES_URL",
                "REMIT_TRANSFER_READS_FRAUD_POSTGRES_URL",
            },
        ),
        ("ledger", {"REMIT_LEDGER_POSTGRES_URL", "REMIT_LEDGER_AMQP_URL"}),
        ("audit", {"REMIT_AUDIT_POSTGRES_URL", "REMIT_AUDIT_AMQP_URL", "REMIT_AUDIT_CHECKPOINT_URL"}),
    ],
)
def test_a_service_is_given_its_own_addresses_and_nothing_else(service: str, names: set[str]) -> None:
    assert set(service_settings(service, around())) == names


@pytest.mark.parametrize("service", SERVICES)
def test_an_address_names_the_services_own_role_and_no_wider_secret(service: str) -> None:
    """Not even where the caller brought the wide addresses, and the owners' for migrations."""
    caller = {**ADDRESSES.settings(), "REMIT_INFRA": "external", "REMIT_API_URL": "http://127.0.0.1:8080"}
    caller |= {"REMIT_LEDGER_OWNER_POSTGRES_URL": ADDRESSES.postgres}
    settings = service_settings(service, around(**caller))
    assert settings == service_settings(service, around())
    for name, value in settings.items():
        assert not [secret for secret in (OWNER, ADMINISTRATOR, SECRETS.erlang_cookie) if secret in value]
        if name.endswith(("_POSTGRES_URL", "_AMQP_URL")):
            wide = OWNER if value.startswith("postgresql") else ADMINISTRATOR
            parts, role = urlsplit(value), role_of(service)
            assert (parts.username, parts.password) == (role, role_password(wide, role))
            assert parts.hostname in {"db", "mq"}


@pytest.mark.parametrize(
    ("name", "receivers"),
    [
        ("REMIT_FRAUD_MAX_AMOUNT", {"fraud"}),
        ("REMIT_GATEWAY_IP_RATE_LIMIT", {"gateway"}),
        ("REMIT_TRANSFER_RECONCILE_GRACE_S", {"transfer"}),
        # The gateway runs the verifier of the ledger.
        ("REMIT_LEDGER_MAX_LAG_S", {"ledger", "gateway"}),
        ("REMIT_IDENTITY_POSTGRES_URL", {"gateway"}),
        ("REMIT_TRANSFER_READS_LEDGER_POSTGRES_URL", {"transfer"}),
        ("REMIT_LOG_LEVEL", set(SERVICES)),
        ("REMIT_TRACES_ENDPOINT", set(SERVICES)),
        ("REMIT_FRAUD_OWNER_POSTGRES_URL", set()),
        ("REMIT_AMQP_MANAGEMENT_URL", set()),
    ],
)
def test_what_the_caller_says_reaches_whom_it_concerns(name: str, receivers: set[str]) -> None:
    said = "postgresql://as:the@caller/said"
    given = around(**{name: said})
    reached = {service for service in SERVICES if service_settings(service, given).get(name) == said}
    assert reached == receivers


@pytest.mark.parametrize(
    ("service", "places"), [("ledger", {"there"}), ("fraud", {"db"}), ("gateway", {"db", "there"})]
)
def test_a_schema_is_where_the_caller_says_its_owner_is(service: str, places: set[str]) -> None:
    """For its service and for all who read it, each as its own role with the password that derives there."""
    there = "postgresql://remit:another@there/remit"
    settings = service_settings(service, around(REMIT_LEDGER_OWNER_POSTGRES_URL=there))
    found = {urlsplit(value) for name, value in settings.items() if name.endswith("_POSTGRES_URL")}
    assert {parts.hostname for parts in found} == places
    for parts in found:
        secret = "another" if parts.hostname == "there" else OWNER
        assert (parts.username, parts.password) == (role_of(service), role_password(secret, role_of(service)))


def test_with_these_settings_every_service_can_start() -> None:
    readers = {
        "gateway": gateway_settings,
        "fraud": fraud_settings,
        "transfer": transfer_settings,
        "ledger": ledger_settings,
        "audit": audit_settings,
    }
    assert set(readers) == set(SERVICES)
    for name, settings_from in readers.items():
        assert settings_from(service_settings(name, around()))


@contextmanager
def taken() -> Iterator[int]:
    """A port on which somebody listens; none that an outgoing connection may be given meanwhile."""
    port = next(port for port in random.sample(PRIVATE, 200) if is_free(port))
    with socket.create_server((LOOPBACK, port)):
        yield port


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    with taken() as port:
        assert not is_free(port)
    assert is_free(port)
    assert not is_free(70_000)


def test_ports_are_private_remembered_and_never_shared(tmp_path: Path) -> None:
    path = tmp_path / "ports"
    first = Ports(path)
    chosen = {purpose: first.choose(purpose) for purpose in ("postgres", "redis", "rabbitmq")}
    assert set(chosen.values()) <= set(PRIVATE)
    assert len(set(chosen.values())) == 3
    again = Ports(path)
    assert {purpose: again.choose(purpose) for purpose in chosen} == chosen
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_port_that_somebody_took_meanwhile_is_chosen_anew(tmp_path: Path) -> None:
    path = tmp_path / "ports"
    with taken() as port:
        write_ports(path, {"gateway": port})
        moved = Ports(path).choose("gateway", first=port)
    assert moved > port
    assert Ports(path).choose("gateway", first=port) == moved


def test_another_wish_moves_a_remembered_port(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports")
    with taken() as low:
        pass
    remembered = ports.choose("gateway", first=low)
    assert ports.choose("gateway", first=remembered + 1) > remembered


def test_a_port_that_is_forgotten_may_go_to_another(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports")
    port = ports.choose("one")
    assert ports.choose("two", first=port) != port
    ports.forget(["one", "never chosen"])
    assert ports.choose("three", first=port) == port


def test_a_port_is_chosen_by_one_stack_alone_before_anybody_listens_there(tmp_path: Path) -> None:
    """Two that start side by side; and one whose server is down for a moment keeps its address."""
    one, other = Ports(tmp_path / "one"), Ports(tmp_path / "other")
    port = one.choose("gateway")
    assert other.choose("gateway", first=port) > port
    one.forget(["gateway"])
    assert other.choose("postgres", first=port) == port
    del other
    assert one.choose("gateway", first=port) == port


def write_ports(path: Path, chosen: Mapping[str, int]) -> None:
    """As an earlier start left them."""
    path.write_text(str(dict(chosen)).replace("'", '"'))


def gateway(**caller: str) -> Service:
    return Service(service="gateway", surroundings=around(**caller))


def test_the_gateway_takes_the_port_it_was_told_or_the_next(tmp_path: Path) -> None:
    with taken() as port:
        chosen = gateway(REMIT_GATEWAY_PORT=str(port)).choose_ports(Ports(tmp_path / "ports"))
    assert port < chosen["gateway"] < port + 50


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1", "80.0"])
def test_a_port_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(StackError, match="REMIT_GATEWAY_PORT must be a port number"):
        gateway(REMIT_GATEWAY_PORT=text).choose_ports(Ports(tmp_path / "ports"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104 - everywhere, and so here, too
        ("::", "http://[::1]:8080"),
        ("192.0.2.1", "http://192.0.2.1:8080"),
    ],
)
def test_an_address_can_be_called_from_this_machine(host: str, url: str) -> None:
    assert gateway(REMIT_GATEWAY_HOST=host).url({"gateway": 8080}) == url


def test_only_the_gateway_listens_where_the_caller_says() -> None:
    worker = Service(service="ledger", surroundings=around(REMIT_GATEWAY_HOST="192.0.2.1"), instance=2)
    assert worker.url({"ledger-2": 8083}) == "http://127.0.0.1:8083"


def test_secrets_are_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    first = secrets.load(path)
    assert secrets.load(path) == first
    assert secrets.load(tmp_path / "others") != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_a_newer_release_needs_is_added_to_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    write_assignments(path, {"REDIS_PASSWORD": "kept"})
    assert secrets.load(path).redis_password == "kept"
    assert len(read_assignments(path)) > 1
    assert read_assignments(path)["REDIS_PASSWORD"] == "kept"


def test_assignments_come_back_as_they_were_written(tmp_path: Path) -> None:
    path, values = tmp_path / "env", {"A": "1=2", "B": "", "C": "with space", "D": "#no comment"}
    write_assignments(path, values)
    assert read_assignments(path) == values
    assert read_assignments(tmp_path / "none") == {}
