"""Settings: narrow addresses derive from wide ones; a wrong value is named in one line."""

from __future__ import annotations

import pytest

from services.audit.settings import settings_from as audit_settings
from services.gateway.settings import settings_from as gateway_settings
from services.transfer.settings import settings_from
from shared.addresses import hosts_of, kind_of
from shared.errors import SettingsError
from shared.settings import (
    address,
    amqp_url,
    checkpoint_url,
    logs_from,
    owner_postgres_url,
    postgres_url,
    reads_postgres_url,
    redis_url,
    role_password,
    traces_from,
)

WIDE = {
    "REMIT_POSTGRES_URL": "postgresql://owner:s3cret@db:5432/remit",
    "REMIT_AMQP_URL": "amqp://root:s3cret@mq:5672/",
}


def test_a_narrow_address_derives_from_the_wide_one() -> None:
    expected = f"postgresql://remit_gateway:{role_password('s3cret', 'remit_gateway')}@db:5432/remit"
    assert postgres_url(WIDE, "identity") == expected
    assert reads_postgres_url(WIDE, "gateway", "ledger") == expected
    assert amqp_url(WIDE, "fraud") == f"amqp://remit_fraud:{role_password('s3cret', 'remit_fraud')}@mq:5672/"


def test_an_address_of_its_own_wins() -> None:
    own = {**WIDE, "REMIT_LEDGER_POSTGRES_URL": "postgresql://l:p@elsewhere/ledger"}
    assert postgres_url(own, "ledger") == "postgresql://l:p@elsewhere/ledger"


def test_the_derived_password_does_not_tell_the_wide_one() -> None:
    assert "s3cret" not in postgres_url(WIDE, "fraud")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "REMIT_TRANSFER_POSTGRES_URL"),
        ({**WIDE, "REMIT_TRANSFER_HTTP_PORT": "eighty"}, "REMIT_TRANSFER_HTTP_PORT"),
        ({**WIDE, "REMIT_TRANSFER_PREFETCH_MAX": "0"}, "REMIT_TRANSFER_PREFETCH_MAX"),
        ({**WIDE, "REMIT_TRANSFER_RECONCILE_EVERY_S": "inf"}, "REMIT_TRANSFER_RECONCILE_EVERY_S"),
        ({**WIDE, "REMIT_TRANSFER_HTTP_HOST": "not a host"}, "REMIT_TRANSFER_HTTP_HOST"),
        ({**WIDE, "REMIT_TRANSFER_POSTGRES_URL": "", "REMIT_POSTGRES_URL": "nonsense"}, "REMIT_POSTGRES_URL is no"),
        ({**WIDE, "REMIT_TRANSFER_POSTGRES_URL": "nonsense"}, "REMIT_TRANSFER_POSTGRES_URL"),
        ({**WIDE, "REMIT_TRANSFER_READS_AUDIT_POSTGRES_URL": "nonsense"}, "REMIT_TRANSFER_READS_AUDIT_POSTGRES_URL"),
        ({**WIDE, "REMIT_TRANSFER_AMQP_URL": "nonsense"}, "REMIT_TRANSFER_AMQP_URL"),
        ({**WIDE, "REMIT_AMQP_URL": "nonsense"}, "REMIT_AMQP_URL"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(environment)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "nonsense" not in str(caught.value)


GATEWAY = {**WIDE, "REMIT_REDIS_URL": "redis://cache:6379/0", "REMIT_GATEWAY_JWT_SECRET": "0123456789abcdef" * 2}


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("REMIT_POSTGRES_URL", "postgresql://u:p@db/remit"),
        ("REMIT_POSTGRES_URL", "postgres://u:p%40%2F%3A@db:5432/remit?sslmode=verify-full&connect_timeout=3"),
        ("REMIT_POSTGRES_URL", "postgresql://u:p@h1:5432,h2:5433/remit?target_session_attrs=read-write"),
        ("REMIT_POSTGRES_URL", "postgresql://u:p@[2001:db8::1]:5432,[::1]/remit"),
        ("REMIT_POSTGRES_URL", "postgresql:///remit?host=/run/postgresql"),
        ("REMIT_POSTGRES_URL", "postgresql://u:p@/remit?host=h1,h2&port=5432,5433"),
        ("REMIT_POSTGRES_URL", "postgresql://u@%2Frun%2Fpostgresql/remit"),
        ("REMIT_POSTGRES_URL", "postgresql:///?service=bank"),
        ("REMIT_REDIS_URL", "redis://cache"),
        ("REMIT_REDIS_URL", "redis://:p%23@cache:6379/15"),
        ("REMIT_REDIS_URL", "rediss://u:p@[::1]:6380/?db=3&socket_timeout=0.5"),
        ("REMIT_AUDIT_CHECKPOINT_URL", "unix:///run/redis.sock?db=1"),
        ("REMIT_AMQP_URL", "amqp://u:p@mq:5672/%2Fbank"),
        ("REMIT_AMQP_URL", "amqps://u:p@[::1]/?heartbeat=10"),
        ("REMIT_AMQP_MANAGEMENT_URL", "http://mq:15672"),
        ("REMIT_API_URL", "https://bank.example/"),
    ],
)
def test_an_address_that_a_client_can_use_is_taken_as_it_is(variable: str, url: str) -> None:
    assert address({variable: f" {url} "}, variable) == url


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        *((f"REMIT_{kind}_URL", "nonsense") for kind in ("POSTGRES", "REDIS", "AMQP", "AMQP_MANAGEMENT", "API")),
        *(
            (f"REMIT_{kind}_URL", "nonsense://u:s3cret@h/0")
            for kind in ("POSTGRES", "REDIS", "AMQP", "AMQP_MANAGEMENT")
        ),
        ("REMIT_POSTGRES_URL", "redis://u:s3cret@db/remit"),
        ("REMIT_POSTGRES_URL", "postgresql:u:s3cret@db"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@db:abc/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@db:0/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@db:65536/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@db:٣/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@h1:5432,h2:x/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@h1,,h2/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@[::1/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@h1,[::z]/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3/cret@db/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:12/s3cret@db/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:12#s3cret@db/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3@cret@db/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@d\nb/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@a..b/remit"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@db/remit?host"),
        ("REMIT_POSTGRES_URL", "postgresql://u:s3cret@db/remit?sslmode=s3cret"),
        ("REMIT_POSTGRES_URL", "postgresql:///remit?host=h1,h2,h3&port=1,2"),
        ("REMIT_POSTGRES_URL", "postgresql:///remit?host=h1&port=s3cret"),
        ("REMIT_POSTGRES_URL", "postgresql://h1/remit?port=s3cret"),
        ("REMIT_REDIS_URL", "redis://u:s3cret@h:abc/0"),
        ("REMIT_REDIS_URL", "redis://u:s3cret@h/one"),
        ("REMIT_REDIS_URL", "redis://u:s3cret@h?db=one"),
        ("REMIT_REDIS_URL", "redis://u:s3cret@h?socket_timeout=soon"),
        ("REMIT_REDIS_URL", "redis:///0"),
        ("REMIT_REDIS_URL", "redis://::1:6379/0"),
        ("REMIT_REDIS_URL", "unix://?db=s3cret"),
        ("REMIT_AUDIT_CHECKPOINT_URL", "redis://u:s3cret@h:abc/0"),
        ("REMIT_AMQP_URL", "amqp://u:s3cret@mq:0/"),
        ("REMIT_AMQP_URL", "amqp://u:s3cret@h1:5672,h2:5672/"),
        ("REMIT_AMQP_URL", "amqp://u:s3cret@h<h/"),
        ("REMIT_AMQP_URL", "amqp:///"),
        ("REMIT_AMQP_MANAGEMENT_URL", "http://u:s3cret@mq:port"),
    ],
)
def test_an_address_that_no_client_can_use_is_told_by_its_variable_and_never_repeated(variable: str, url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        address({variable: url}, variable)
    said = str(caught.value)
    assert said.startswith(f"{variable} ")
    assert "\n" not in said
    assert not any(part in said for part in (url, "s3", "cret", "nonsense", "abc"))
    assert caught.value.__suppress_context__, "what it came from may hold the address"


@pytest.mark.parametrize("wrong", ["nonsense://h:s3cret", "redis://u:s3cret@h:abc/0"])
def test_what_is_wrong_is_the_variable_that_was_set(wrong: str) -> None:
    for variable, read in (
        ("REMIT_REDIS_URL", gateway_settings),
        ("REMIT_AUDIT_CHECKPOINT_URL", gateway_settings),
        ("REMIT_AUDIT_CHECKPOINT_URL", audit_settings),
        ("REMIT_REDIS_URL", redis_url),
        ("REMIT_AUDIT_CHECKPOINT_URL", checkpoint_url),
        ("REMIT_AUDIT_OWNER_POSTGRES_URL", lambda environment: owner_postgres_url(environment, "audit")),
        ("REMIT_POSTGRES_URL", lambda environment: owner_postgres_url(environment, "audit")),
        ("REMIT_IDENTITY_POSTGRES_URL", gateway_settings),
        ("REMIT_GATEWAY_READS_LEDGER_POSTGRES_URL", gateway_settings),
        ("REMIT_GATEWAY_AMQP_URL", gateway_settings),
    ):
        with pytest.raises(SettingsError, match=f"^{variable} ") as caught:
            read({**GATEWAY, variable: wrong})
        assert "s3cret" not in str(caught.value)


def test_checkpoints_are_told_where_the_gateways_redis_is_unless_another_is_named() -> None:
    elsewhere = {**GATEWAY, "REMIT_AUDIT_CHECKPOINT_URL": "unix:///run/other.sock"}
    assert gateway_settings(GATEWAY).checkpoint_url == "redis://cache:6379/0"
    assert gateway_settings(elsewhere).checkpoint_url == "unix:///run/other.sock"
    assert (audit_settings(GATEWAY).checkpoint_url, audit_settings(elsewhere).checkpoint_url) == (
        None,
        "unix:///run/other.sock",
    )


def test_a_socket_and_several_hosts_are_kept_where_an_address_derives() -> None:
    socket = {"REMIT_POSTGRES_URL": "postgresql://o:s3cret@/remit?host=/run/postgresql"}
    secret = role_password("s3cret", "remit_ledger")
    assert postgres_url(socket, "ledger") == f"postgresql://remit_ledger:{secret}@/remit?host=/run/postgresql"
    several = {"REMIT_POSTGRES_URL": "postgresql://o:s3cret@h1:5432,h2:5433/remit"}
    assert postgres_url(several, "ledger") == f"postgresql://remit_ledger:{secret}@h1:5432,h2:5433/remit"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@h1:5432,h2/x", [("h1", 5432), ("h2", None)]),
        ("postgresql://[::1]:5433/x", [("::1", 5433)]),
        ("postgresql:///x?host=/run/a,h2&port=1", [("/run/a", 1), ("h2", 1)]),
        ("postgresql://%2Frun%2Fa/x", [("/run/a", None)]),
    ],
)
def test_the_hosts_of_an_address(url: str, hosts: list[tuple[str, int | None]]) -> None:
    assert kind_of("REMIT_POSTGRES_URL").checked(url) == url
    assert list(hosts_of(url)) == hosts


def test_what_concerns_several_settings_names_them_without_more() -> None:
    with pytest.raises(SettingsError, match=r"^REMIT_GATEWAY_ADMIN_EMAIL and"):
        gateway_settings({**GATEWAY, "REMIT_GATEWAY_ADMIN_EMAIL": "admin@example.com"})


@pytest.mark.parametrize(("name", "value"), [("LEVEL", "FOO"), ("LEVEL", "1"), ("FORMAT", "xml")])
def test_a_log_that_is_none_is_told_by_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^REMIT_LOG_{name}: ") as caught:
        logs_from({f"REMIT_LOG_{name}": value})
    assert value not in str(caught.value)


def test_a_log_is_json_at_info_unless_told_otherwise() -> None:
    logs = logs_from({"REMIT_LOG_LEVEL": "", "REMIT_LOG_FORMAT": " "})
    assert (logs.level, logs.format) == ("INFO", "json")
    logs = logs_from({"REMIT_LOG_LEVEL": "debug", "REMIT_LOG_FORMAT": "text"})
    assert (logs.level, logs.format) == ("DEBUG", "text")


@pytest.mark.parametrize("endpoint", ["http://collector:abc", "http://collector:0/v1/traces", "ftp://collector"])
def test_a_receiver_of_traces_that_no_client_can_use_is_told(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"^REMIT_TRACES_ENDPOINT: ") as caught:
        traces_from({"REMIT_TRACES_ENDPOINT": endpoint})
    assert "collector" not in str(caught.value)
