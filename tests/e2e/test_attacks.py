"""What somebody sends who means harm: each attempt is refused, or is a text like any other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank, Session
from tests.support.sockets import exchanged, statuses
from tests.support.waiting import until

_ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def mallory(bank: Bank) -> Session:
    return bank.customer("Mallory")


@pytest.fixture(scope="module")
def accounts(bank: Bank, mallory: Session) -> tuple[str, str]:
    """Mallory's, one with money and one without."""
    return bank.funded(mallory, "1000.00"), mallory.open_account()


_EXTRA: dict[str, Any] = {
    "id": str(uuid4()), "role": "admin", "is_admin": True, "is_active": False, "balance": "1000000.00",
    "balance_minor": 10**9, "owner_id": str(uuid4()), "user_id": str(uuid4()), "caller_id": str(uuid4()),
    "status": "completed", "kind": "deposit", "policy": "operator", "account_seq": 1, "version": 1, "is_deleted": True,
    "fingerprint": "v1:x", "transfer_id": str(uuid4()), "created_at": "2020-01-01T00:00:00Z", "__proto__": {},
    "token_version": 0, "retry_count": 0,
}  # fmt: skip


@pytest.mark.parametrize("field", _EXTRA)
def test_a_field_that_a_body_does_not_have_is_refused_and_not_assigned(
    bank: Bank, mallory: Session, accounts: tuple[str, str], field: str
) -> None:
    """Customers and operators alike, in single calls and in the items of batches."""
    transfer = {"from_account_id": accounts[0], "to_account_id": accounts[1], "amount": "1.00", "currency": "USD"}
    deposit = {"account_id": accounts[0], "amount": "1.00", "currency": "USD"}
    opening = {"owner_reference": "somebody", "name": "Main", "currency": "USD"}
    extra = {field: _EXTRA[field]}
    register = {"email": f"{uuid4().hex}@example.com", "password": "x" * 8, "full_name": "Mallory", **extra}
    calls: list[tuple[Session, str, str, Any]] = [
        (mallory, "POST", "/auth/register", register),
        (mallory, "POST", "/auth/login", {"email": register["email"], "password": "x" * 8, **extra}),
        (mallory, "POST", "/accounts", {"name": "Main", "currency": "USD", **extra}),
        (mallory, "PATCH", f"/accounts/{accounts[0]}", {"name": "Main", **extra}),
        (mallory, "POST", "/transfers", {**transfer, **extra}),
        (mallory, "POST", "/transfers/batch", {"transfers": [{**transfer, **extra}]}),
        (mallory, "POST", "/transfers/batch", {"transfers": [transfer], **extra}),
        (bank.admin, "POST", "/admin/deposits", {**deposit, **extra}),
        (bank.admin, "POST", "/admin/withdrawals", {**deposit, **extra}),
        (bank.admin, "POST", "/admin/accounts/batch", {"accounts": [{**opening, **extra}]}),
        (bank.admin, "POST", "/admin/transfers/batch", {"transfers": [{**transfer, **extra}]}),
    ]
    if field not in {"role", "is_active"}:
        calls.append((bank.admin, "PATCH", f"/admin/users/{mallory.user['id']}", {"role": "customer", **extra}))
    for session, method, path, body in calls:
        answer = session.call(method, path, key=str(uuid4()), json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), (method, path)
    assert mallory.balance(accounts[0]) == "1000.00"


_TEXTS = [
    "'; DROP TABLE transfer.accounts; --", "' OR '1'='1", "1; SELECT pg_sleep(10)", "$1", "%s%n{0}${7*7}", "\\'; --",
    "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "../../etc/passwd", "x\r\nX-Injected: 1", "\x1b[2J\x1b[31m",
    "*)(uid=*", "{{7*7}}", "\u202egpj.exe", "EVAL 'x' 0", "{\"$gt\":\"\"}", "remit:*", "%", "_", "x\u2028\u2029y",
]  # fmt: skip


@pytest.mark.parametrize("text", _TEXTS)
def test_a_text_that_means_something_elsewhere_is_kept_as_it_is(
    mallory: Session, accounts: tuple[str, str], text: str
) -> None:
    """In names, descriptions, metadata and keys. Where one cannot be kept it is refused; nothing is ever rewritten."""
    opened = mallory.call("POST", "/accounts", json={"name": text, "currency": "USD"})
    assert opened.status_code == 201, opened.text
    assert mallory.get(f"/accounts/{opened.json()['id']}")["name"] == text
    sent = mallory.transfer(*accounts, "0.01", description=text, metadata={text: [text]})
    assert sent.status_code == 201, sent.text
    found = mallory.get(f"/transfers/{sent.json()['id']}")
    assert (found["description"], found["metadata"]) == (text, {text: [text]})


@pytest.mark.parametrize("text", [text for text in _TEXTS if text.isascii() and text.isprintable()])
def test_a_key_or_an_address_that_means_something_elsewhere_is_one(
    mallory: Session, accounts: tuple[str, str], text: str
) -> None:
    key = f"{text} {uuid4()}"
    first = mallory.transfer(*accounts, "0.01", key=key)
    assert (first.status_code, mallory.transfer(*accounts, "0.01", key=key).content) == (201, first.content)
    [found] = mallory.get("/transfers", idempotency_key=key)["items"]
    assert found["id"] == first.json()["id"]
    for path in ("accounts", "transfers", "admin/ledger/verify", "admin/dead-letters"):
        answer = mallory.call("GET", f"/{path}/{quote(text, safe='')}")
        assert answer.status_code in {403, 404}


def _parameters(bank: Bank) -> list[tuple[str, str]]:
    """Each parameter of a query that the document names, with its path."""
    document = bank.client.get("/openapi.json").json()
    return [
        (path, parameter["name"])
        for path, methods in document["paths"].items()
        for parameter in methods.get("get", {}).get("parameters", [])
        if parameter["in"] == "query"
    ]


@pytest.mark.parametrize("text", ["' OR 1=1 --", "1;SELECT pg_sleep(5)", "\x00", "\ud800", "9" * 400, "", "[]", "\r\n"])
def test_every_parameter_of_every_query_is_only_a_value(bank: Bank, accounts: tuple[str, str], text: str) -> None:
    """It filters, or it is refused; no parameter makes an error of the server, nor time."""
    parameters = _parameters(bank)
    assert len(parameters) > 25
    value = quote(text.encode("utf-8", "surrogatepass"), safe="")
    for path, name in parameters:
        target = re.sub(r"{[^}]*}", accounts[0], path).removeprefix("/api/v1")
        answer = bank.admin.call("GET", f"{target}?{name}={value}")
        assert answer.status_code in {200, 400, 404, 422}, (path, name, answer.text)
        assert answer.elapsed.total_seconds() < 4, (path, name)


_CLAIMS = [
    {"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "DELETE"}, {"X-HTTP-Method": "DELETE"},
    {"X-Original-URL": "/api/v1/admin/accounts"}, {"X-Rewrite-URL": "/api/v1/admin/accounts"},
    {"X-Forwarded-User": "admin"}, {"X-Remote-User": "admin"}, {"X-Role": "admin"}, {"X-User-ID": _ZERO},
    {"X-Forwarded-Host": "evil.example"}, {"X-Forwarded-Proto": "gopher"}, {"X-Forwarded-Prefix": "/admin"},
    {"Forwarded": "for=127.0.0.1;host=evil.example"}, {"Host": "evil.example"}, {"Cookie": "role=admin"},
    {"X-Forwarded-For": "127.0.0.1"}, {"Client-IP": "127.0.0.1"}, {"True-Client-IP": "127.0.0.1"},
]  # fmt: skip


@pytest.mark.parametrize("claims", _CLAIMS, ids=lambda claims: next(iter(claims)))
def test_a_header_that_claims_something_changes_nothing(
    bank: Bank, mallory: Session, accounts: tuple[str, str], claims: dict[str, str]
) -> None:
    """Neither who calls, nor what is called, nor where answers point to, nor the address that is written down."""
    request_id = uuid4().hex
    plain = mallory.call("GET", f"/accounts/{accounts[0]}", headers={"X-Request-ID": request_id})
    claimed = mallory.call("GET", f"/accounts/{accounts[0]}", headers={"X-Request-ID": request_id, **claims})
    assert (claimed.status_code, claimed.content) == (plain.status_code, plain.content)
    assert {**claimed.headers, "date": ""} == {**plain.headers, "date": ""}
    assert mallory.call("POST", "/admin/deposits", key="k", json={}, headers=claims).status_code == 403


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "Forwarded", "X-Forwarded-Prefix"])
def test_a_location_is_a_path_whoever_the_client_says_that_we_are(
    mallory: Session, accounts: tuple[str, str], name: str
) -> None:
    paid = mallory.transfer(*accounts, "0.01", headers={name: "host=evil.example"})
    assert paid.headers["Location"] == f"/api/v1/transfers/{paid.json()['id']}"


def test_an_address_that_no_trusted_proxy_vouches_for_is_not_written_down(bank: Bank, mallory: Session) -> None:
    account, request_id = mallory.open_account(), uuid4().hex
    headers = {"X-Forwarded-For": "203.0.113.66", "Forwarded": "for=203.0.113.66", "X-Request-ID": request_id}
    assert mallory.call("GET", f"/accounts/{account}", headers=headers).status_code == 200
    found = until(lambda: bank.admin.get("/admin/audit-logs", resource_id=account, action="ACCOUNT_ACCESS")["items"])
    assert [(row["ip_address"], row["request_id"]) for row in found] == [("127.0.0.1", request_id)]


def test_no_text_of_a_client_makes_a_second_line_in_a_log(stack: Stack, bank: Bank, mallory: Session) -> None:
    """Every line of every service's log is one JSON object after all that this module and the others have sent."""
    forged = '{"event": "forged", "level": "critical"}'
    body = {"email": f"x\n{forged}\n@example.com", "password": f"\n{forged}"}
    bank.client.post("/api/v1/auth/login", json=body, headers={"User-Agent": f"x {forged}", "X-Request-ID": forged})
    mallory.call("POST", "/accounts", json={"name": f"\n{forged}\r\n\x1b[2J", "currency": "USD"})
    bank.client.get(f"/api/v1/%0a{forged}%0d%0a")
    exchanged(str(bank.client.base_url), f"BREW /\n{forged} HTTP/1.1\r\n\r\n".encode())
    for name in ("gateway", "fraud", "transfer", "ledger", "audit"):
        lines = Path(stack.layout.log(name)).read_text(encoding="utf-8").splitlines()
        for line in filter(None, lines):
            assert json.loads(line)["event"] != "forged"


_GET = b"GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\n"
_POST = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
_BROKEN = {
    "length and chunks": _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "chunks and length": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "two lengths": _POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + _SMUGGLED,
    "two lengths in one": _POST + b"Content-Length: 2, 40\r\n\r\n{}" + _SMUGGLED,
    "a length with a sign": _POST + b"Content-Length: +2\r\n\r\n{}" + _SMUGGLED,
    "a length below zero": _POST + b"Content-Length: -1\r\n\r\n{}" + _SMUGGLED,
    "a length beyond counting": _POST + b"Content-Length: 99999999999999999999999999\r\n\r\n{}",
    "a length in another base": _POST + b"Content-Length: 0x2\r\n\r\n{}" + _SMUGGLED,
    "chunks that are not last": _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "chunks twice": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "an encoding that nobody knows": _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "a chunk with a wrong size": _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n0\r\n\r\n" + _SMUGGLED,
    "a chunk beyond counting": _POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "a folded line": _GET + b"X-Folded: a\r\n b\r\nAuthorization: Bearer x\r\n\r\n",
    "a space before the colon": _GET + b"Content-Length : 5\r\n\r\n" + _SMUGGLED,
    "a line without a colon": _GET + b"nonsense\r\n\r\n" + _SMUGGLED,
    "a header without a name": _GET + b": x\r\n\r\n",
    "a carriage return alone": _GET + b"X: a\rb\r\n\r\n" + _SMUGGLED,
    "a null in a header": _GET + b"X: a\x00b\r\n\r\n",
    "a null in the target": b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version that does not exist": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "the preface of another version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", _BROKEN.values(), ids=_BROKEN)
def test_what_two_readers_would_read_differently_ends_its_connection(bank: Bank, sent: bytes) -> None:
    """One answer, a refusal; and nothing behind it is taken for a request."""
    answered = exchanged(str(bank.client.base_url), sent)
    assert len(statuses(answered)) == 1
    assert 400 <= statuses(answered)[0] < 500
    assert b'"code":"malformed_request"' in answered or b'"code":"malformed_json"' in answered


@pytest.mark.parametrize("head", [b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", b"GET /healthz\r\n\r\n"])
def test_old_clients_are_answered_and_let_go(bank: Bank, head: bytes) -> None:
    assert statuses(exchanged(str(bank.client.base_url), head + _SMUGGLED)) == [200]


def test_requests_behind_each_other_are_answered_in_order(bank: Bank) -> None:
    sent = b"".join(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-ID: {n}\r\n{last}\r\n".encode()
        for n, (path, last) in enumerate([("/healthz", ""), ("/nothing", ""), ("/healthz", "Connection: close\r\n")])
    )
    answered = exchanged(str(bank.client.base_url), sent)
    assert statuses(answered) == [200, 404, 200]
    assert re.findall(rb"x-request-id: (\d)", answered) == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    "head",
    [b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4\r\n",
     b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"],
)  # fmt: skip
def test_no_other_protocol_is_spoken(bank: Bank, head: bytes) -> None:
    answered = exchanged(str(bank.client.base_url), b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
    assert statuses(answered) == [200]


@pytest.mark.parametrize(
    "target",
    ["/docs/static/../../../../../../etc/passwd", "/docs/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
     "/docs/static//etc/passwd", "/docs/static/..%2f..%2f__init__.py", "/docs/static/..%5c..%5c__init__.py",
     "/docs/static/%00", "/docs/static/a%00.css", "/docs/static/....//....//etc/passwd", "/docs/static/../__init__.py",
     "/docs/static/", "/docs/static/.", "/docs/static/%ff", "/api/v1/accounts/%00",
     "/api/v1/accounts/..%2f..%2fmetrics", "/api/v1/./accounts", "//healthz",
     "/HEALTHZ", "/api/v1/admin/../transfers/%2e%2e", "/" + "a" * 60_000, "/docs/static/" + "a" * 5_000],
    ids=lambda target: target[:40],
)  # fmt: skip
def test_an_address_leads_nowhere_but_where_it_says(bank: Bank, target: str) -> None:
    sent = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answered = exchanged(str(bank.client.base_url), sent)
    assert statuses(answered)[0] in {401, 404}, answered[:300]
    assert b"root:" not in answered
    assert b"import" not in answered


@pytest.mark.parametrize("target", [b"*", b"http://evil.example/healthz", b"evil.example:443"])
@pytest.mark.parametrize("method", [b"OPTIONS", b"CONNECT", b"GET"])
def test_a_target_that_is_no_path_makes_no_error(bank: Bank, method: bytes, target: bytes) -> None:
    answered = exchanged(
        str(bank.client.base_url), method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert statuses(answered)[0] < 500, answered
