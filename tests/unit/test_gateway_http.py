"""HTTP manners: headers, addresses, cursors, dates, tokens."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import jwt
import pytest
from starlette.requests import Request

from services.gateway.domain.requests import RenameAccount
from services.gateway.errors import (
    ContentTooLarge,
    CursorInvalid,
    KeyInvalid,
    KeyMissing,
    MalformedJson,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationFailed,
)
from services.gateway.http import paging
from services.gateway.http.addresses import ClientAddresses
from services.gateway.http.reading import Reader, idempotency_key, required_key, wait_s
from services.gateway.http.tokens import Tokens
from services.gateway.settings import Settings, settings_from
from shared.errors import SettingsError

SECRET = "0123456789abcdef0123456789abcdef"
ENVIRONMENT = {
    "REMIT_POSTGRES_URL": "postgresql://owner:s3cret@db:5432/remit",
    "REMIT_AMQP_URL": "amqp://root:s3cret@mq:5672/",
    "REMIT_REDIS_URL": "redis://cache:6379/0",
    "REMIT_GATEWAY_JWT_SECRET": SECRET,
}


def request(*headers: tuple[str, str], query: str = "", peer: str = "192.0.2.9", body: bytes = b"") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": (peer, 1),
    }
    return Request(scope, receive)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("k", "k"),
        ('"k"', "k"),
        ('"a b"', "a b"),
        ('a"b', 'a"b'),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_a_key_is_the_same_bare_or_quoted(header: str, key: str) -> None:
    assert idempotency_key(request(("Idempotency-Key", header))) == key


@pytest.mark.parametrize("key", ["k", '"k"', " k ", 'a\\"b'])
def test_a_key_in_a_filter_stands_for_itself(key: str) -> None:
    """The quotes that a header may put around it are the header's."""
    assert paging.key_filter(request(query=urlencode({"idempotency_key": key}))) == key


@pytest.mark.parametrize("key", ["", "\x7f", "é", "k" * 256])
def test_a_filter_by_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValidationFailed):
        paging.key_filter(request(query=urlencode({"idempotency_key": key})))


@pytest.mark.parametrize("header", ["", " ", '""', "x" * 256, "é", "a\tb"])
def test_a_key_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(KeyInvalid):
        idempotency_key(request(("Idempotency-Key", header)))


def test_two_keys_are_none_and_a_missing_one_is_told() -> None:
    with pytest.raises(KeyInvalid):
        idempotency_key(request(("Idempotency-Key", "a"), ("Idempotency-Key", "b")))
    with pytest.raises(KeyMissing):
        required_key(request())


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 5),
        ("wait=2", 2),
        ("wait=99", 30),
        ("respond-async", 0),
        ("respond-async, wait=3", 0),
        ("return=minimal", 5),
    ],
)
def test_how_long_a_client_wants_to_wait(prefer: str | None, seconds: float) -> None:
    headers = [] if prefer is None else [("Prefer", prefer)]
    assert wait_s(request(*headers)) == seconds


PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("192.0.2.1", [], (), "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], (), "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], PROXIES, "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7"], PROXIES, "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], PROXIES, "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7, 10.0.0.2"], PROXIES, "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, nonsense"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", [], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], PROXIES, "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], PROXIES, "2001:db8:1:2:3::4"),
        ("::ffff:192.0.2.1", [], (), "192.0.2.1"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], PROXIES, "198.51.100.7"),
        ("2001:db8:1:2:3::4", [], (), "2001:db8:1:2:3::4"),
    ],
)
def test_the_address_of_a_client(peer: str, forwarded: Iterable[str], proxies: Any, address: str) -> None:
    asked = request(*(("X-Forwarded-For", line) for line in forwarded), peer=peer)
    assert ClientAddresses(proxies).of(asked) == address


def test_a_cursor_leads_back_to_its_place() -> None:
    place = paging.Place(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), uuid4())
    assert paging.place(request(query=f"cursor={paging.cursor_text(place)}")) == place
    position = paging.Position(7)
    assert paging.position(request(query=f"cursor={paging.cursor_text(position)}")) == position


def test_a_cursor_leads_to_the_same_place_whatever_its_offset() -> None:
    place = paging.Place(datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=1))), uuid4())
    found = paging.place(request(query=f"cursor={paging.cursor_text(place)}"))
    assert found == place
    assert found is not None
    assert found.created_at.tzinfo is UTC


_BEFORE_ALL_TIME = paging.Place(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), uuid4())
_AFTER_ALL_TIME = paging.Place(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), uuid4())


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!", "WzFd", "e30", "W10", "bnVsbA", "é", *map(paging.cursor_text, (_BEFORE_ALL_TIME, _AFTER_ALL_TIME))],
)
def test_a_cursor_from_elsewhere_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        paging.place(request(query=f"cursor={cursor}"))


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("", None, None),
        ("start_date=2026-01-02", datetime(2026, 1, 2, tzinfo=UTC), None),
        ("end_date=2026-01-02", None, datetime(2026, 1, 3, tzinfo=UTC)),
        (
            "start_date=2026-01-02&end_date=2026-01-02",
            datetime(2026, 1, 2, tzinfo=UTC),
            datetime(2026, 1, 3, tzinfo=UTC),
        ),
        ("end_date=2026-01-02T03:04:05Z", None, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("start_date=2026-01-02T03:04:05%2B01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), None),
        ("start_date=2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), None),
        ("start_date=2026-01-02%2003:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None),
        ("start_date=2026-01-02%2003:04:05%2B01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), None),
        ("start_date=2026-01-02%2003:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), None),
        ("start_date=2026-01-02&end_date=9999-12-31", datetime(2026, 1, 2, tzinfo=UTC), None),
        ("end_date=9999-12-30", None, datetime(9999, 12, 31, tzinfo=UTC)),
        ("start_date=9999-12-31", datetime(9999, 12, 31, tzinfo=UTC), None),
    ],
)
def test_a_range_of_time(query: str, start: datetime | None, end: datetime | None) -> None:
    assert paging.time_range(request(query=query)) == (start, end)


@pytest.mark.parametrize(
    "query",
    [
        "start_date=yesterday", "start_date=2026-02-30", "start_date=2026-01-02T03:04:05", "end_date=",
        "start_date=2026-W01-1", "end_date=2026-W01-1", "start_date=2026-01-0%D9%A3", "start_date=2026-01-02%20",
        "start_date=2026-01-02%2003:04:05", "start_date=0001-01-01T00:00:00%2B01:00",
        "start_date=2026-01-02&end_date=2026-01-01",
        "start_date=2026-01-02T00:00:01Z&end_date=2026-01-02T00:00:00Z",
    ],
)  # fmt: skip
def test_a_range_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(ValidationFailed):
        paging.time_range(request(query=query))


@pytest.mark.parametrize("given", ["0", "201", "-1", "x", "1.5", "", "999999999999"])
def test_a_limit_out_of_bounds_is_refused(given: str) -> None:
    with pytest.raises(ValidationFailed):
        paging.limit(request(query=f"limit={given}"))


def test_a_token_leads_back_to_its_user() -> None:
    tokens, user_id = Tokens(SECRET, 900), uuid4()
    claims = tokens.read(f"Bearer {tokens.make(user_id, 3)}")
    assert (claims.sub, claims.ver) == (user_id, 3)


def forged(**changes: Any) -> str:
    claims = {
        "iss": "remit", "aud": "remit-api", "sub": str(uuid4()), "jti": str(uuid4()), "ver": 1, "iat": 1,
        "exp": 4_000_000_000, **changes,
    }  # fmt: skip
    return jwt.encode(claims, changes.pop("key", SECRET), algorithm="HS256", headers={"kid": "1"})


FORGED = {
    "another secret": forged(key="x" * 32),
    "another audience": forged(aud="elsewhere"),
    "another issuer": forged(iss="elsewhere"),
    "expired": forged(exp=1),
    "no signature": jwt.encode({"sub": str(uuid4())}, None, algorithm="none", headers={"kid": "1"}),
    "another algorithm": jwt.encode({"sub": "x"}, "x" * 64, algorithm="HS512", headers={"kid": "1"}),
    "no user": forged(sub="nobody"),
    "not a token": "abc",
    "nothing": "",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        Tokens(SECRET, 900).read(f"Bearer {token}")


async def test_a_body_read_in_pieces_is_bounded() -> None:
    reader, json = Reader(), ("Content-Type", "application/json; charset=utf-8")
    assert (await reader.body(request(json, body=b'{"name":"x"}'), RenameAccount)).name == "x"
    with pytest.raises(ContentTooLarge):
        await reader.body(request(json, body=b" " * 11), RenameAccount, bytes_max=10)
    with pytest.raises(MalformedJson):
        await reader.body(request(json, body=b"[" * 100_000), RenameAccount)
    with pytest.raises(UnsupportedMediaType):
        await reader.body(request(body=b"{}"), RenameAccount)


@pytest.mark.parametrize(
    ("body", "field"),
    [(b'{"name":1}', "name"), (b'{"name":"x","age":1}', ""), (b"{}", ""), (b"[]", ""), (b'{"name":"\\ud800"}', "")],
)
async def test_what_does_not_validate_is_named(body: bytes, field: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        await Reader().body(request(("Content-Type", "application/json"), body=body), RenameAccount)
    assert [error.field for error in caught.value.errors] == [field]


def test_the_limit_may_be_off_and_proxies_are_a_list() -> None:
    more = {"REMIT_GATEWAY_IP_RATE_LIMIT": "off", "REMIT_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1"}
    settings: Settings = settings_from({**ENVIRONMENT, **more})
    assert settings.ip_rate_limit is None
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REMIT_GATEWAY_JWT_SECRET", "short"),
        ("REMIT_GATEWAY_JWT_SECRET", ""),
        ("REMIT_GATEWAY_IP_RATE_LIMIT", "0"),
        ("REMIT_GATEWAY_IP_RATE_LIMIT", "many"),
        ("REMIT_GATEWAY_IP_RATE_WINDOW_S", "-1"),
        ("REMIT_GATEWAY_TRUSTED_PROXIES", "proxy.example"),
        ("REMIT_GATEWAY_ADMIN_EMAIL", "admin@example.com"),
        ("REMIT_GATEWAY_PORT", "70000"),
        ("REMIT_REDIS_URL", ""),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_without_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({**ENVIRONMENT, name: value})
    said = str(caught.value)
    assert name in said
    assert "\n" not in said
    assert not value or value not in said.replace(name, "")
