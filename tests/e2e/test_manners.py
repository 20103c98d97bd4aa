"""HTTP manners: every refusal is a problem with a request id, whatever was wrong with the request."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session

_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def alice(bank: Bank) -> Session:
    return bank.customer("Alice")


@pytest.fixture(scope="module")
def accounts(bank: Bank, alice: Session) -> tuple[str, str]:
    """One with money and one without."""
    return bank.funded(alice, "1000.00"), alice.open_account()


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    """The problem, having the form that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"urn:remit:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    return problem


def send(session: Session, path: str, body: bytes, **headers: str) -> httpx.Response:
    """A body as it is, under a fresh key."""
    return session.call("POST", path, key=str(uuid4()), content=body, headers={**_JSON, **headers})


def test_an_unknown_address_is_a_problem(bank: Bank, alice: Session) -> None:
    for path in ("/", "/api", "/api/v1", "/api/v1/nothing", "/api/v1/accounts/", "/api/v1/transfers/a/b/c", "/docs/"):
        refused(bank.client.get(path), 404, "not_found")
    refused(alice.call("POST", "/auth/nothing", json={}), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/transfers", "GET, HEAD, POST"),
        ("PUT", "/api/v1/accounts", "GET, HEAD, POST"),
        ("GET", "/api/v1/auth/login", "POST"),
        ("POST", f"/api/v1/accounts/{uuid4()}", "DELETE, GET, HEAD, PATCH"),
        ("PATCH", f"/api/v1/transfers/{uuid4()}/timeline", "GET, HEAD"),
        ("OPTIONS", "/api/v1/auth/me", "GET, HEAD"),
        ("TRACE", "/api/v1/auth/me", "GET, HEAD"),
        ("PROPFIND", "/healthz", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("POST", "/docs/static/swagger-ui.css", "GET, HEAD"),
    ],
)
def test_a_method_that_an_address_does_not_take(bank: Bank, method: str, path: str, allowed: str) -> None:
    answer = bank.client.request(method, path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("method", "headers"), [("BREW", {}), ("GET", {"X-Request-ID": "\x01"}), ("POST", {"Idempotency-Key": "\x7f"})]
)
def test_what_is_no_http_is_a_problem_too(bank: Bank, method: str, headers: dict[str, str]) -> None:
    """A word that no method is, characters that no header may hold: the server's parser refuses them."""
    refused(bank.client.request(method, "/api/v1/transfers", headers=headers), 400, "malformed_request")


def test_head_is_get_without_the_body(bank: Bank, alice: Session) -> None:
    got, headed = alice.call("GET", "/auth/me"), alice.call("HEAD", "/auth/me")
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nothing", b"{'name': 'x'}", b'{"name":"x",}', b'{"name":"x"} {}', b"\xff\xfe",
        b'{"name":"\xff"}',
        b'{"name":NaN}', b'{"name":Infinity}', b'{"name":-Infinity}', b'{"name":"x","name":"y","currency":"USD"}',
        b'{"name":"a\nb","currency":"USD"}', b'\xef\xbb\xbf{"name":"x","currency":"USD"}', b"[" * 200_000,
        b'{"a":' * 200_000,
        '{"name":"x","currency":"USD"}'.encode("utf-16"), b'{"name":"x","currency":"USD","\\u006eame":"y"}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed(alice: Session, body: bytes) -> None:
    refused(send(alice, "/accounts", body), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"1", b"[]", b'""', b"{}", b'{"name":"x"}', b'{"name":1,"currency":"USD"}',
        b'{"name":null,"currency":"USD"}',
        b'{"name":"x","currency":"USD","colour":"red"}', b'{"name":"","currency":"USD"}',
        b'{"name":"  ","currency":"USD"}',
        b'{"name":"x","currency":"usd"}', b'{"name":"x","currency":"XXX"}', b'{"name":"x","currency":"US"}',
        b'{"name":"a\\u0000b","currency":"USD"}', b'{"name":"\\ud800","currency":"USD"}',
        b'{"name":"\\udc00x","currency":"USD"}',
        b'{"name":["x"],"currency":"USD"}', b'{"name":"' + b"x" * 101 + b'","currency":"USD"}',
        b'{"name":true,"currency":"USD"}',
    ],
)  # fmt: skip
def test_what_does_not_validate_is_told(alice: Session, body: bytes) -> None:
    problem = refused(send(alice, "/accounts", body), 422, "validation_failed")
    assert all(set(error) >= {"field", "message"} for error in problem["errors"])


_AMOUNTS = [
    "0", "0.00", '"0"', '"0.00"', "-1", '"-1"', '"-0.01"', '"+1"', '"1.001"', "1.001", '"0.001"', "1e-3", "1e400",
    "1E400", '"1.1000"', '"1.000"',
    '"1e2"', "1e999", '"NaN"', '"Infinity"', '"1,00"', '"1_000"', '" 1"', '"1 "', '"1."', '".5"', '""', '"abc"',
    '"0x10"',
    "1" * 40, f'"{"1" * 40}"', f'"{"1" * 41}"', "9" * 5000, f'"0.{"0" * 40}1"', "null", "true", "[]", "{}", '["1.00"]',
    '"92233720368547758.08"', '"\\u0661.00"', '"\\uff11.00"', '"1.00\\u0000"', '"\\ud800"', '"1\\n"', "1e18", "1e-400",
]  # fmt: skip


@pytest.mark.parametrize("amount", _AMOUNTS, ids=lambda amount: amount[:30])
def test_an_amount_that_is_none_is_refused_and_named(
    bank: Bank, alice: Session, accounts: tuple[str, str], amount: str
) -> None:
    source, to = accounts
    body = f'{{"from_account_id":"{source}","to_account_id":"{to}","currency":"USD","amount":{amount}}}'
    problem = refused(send(alice, "/transfers", body.encode()), 422, "validation_failed")
    if "ud800" not in amount:
        assert [error["field"] for error in problem["errors"]] == ["amount"]
    operators = f'{{"account_id":"{source}","currency":"USD","amount":{amount}}}'
    for path in ("/admin/deposits", "/admin/withdrawals"):
        refused(send(bank.admin, path, operators.encode()), 422, "validation_failed")
    batch = refused(send(alice, "/transfers/batch", f'{{"transfers":[{body}]}}'.encode()), 422, "validation_failed")
    assert "ud800" in amount or [error["index"] for error in batch["errors"]] == [0]


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1e", "'1'"])
def test_a_number_that_json_does_not_know_is_malformed(alice: Session, accounts: tuple[str, str], amount: str) -> None:
    body = f'{{"from_account_id":"{accounts[0]}","to_account_id":"{accounts[1]}","currency":"USD","amount":{amount}}}'
    refused(send(alice, "/transfers", body.encode()), 400, "malformed_json")


@pytest.mark.parametrize(
    ("amount", "seen"),
    [('"0.01"', "0.01"), ("0.01", "0.01"), ("1", "1.00"), ("1.10", "1.10"), ("1e1", "10.00"), ("1.1000", "1.10"),
     ('"007"', "7.00")],
)  # fmt: skip
def test_an_exact_amount_is_taken_however_it_is_written(
    alice: Session, accounts: tuple[str, str], amount: str, seen: str
) -> None:
    body = f'{{"from_account_id":"{accounts[0]}","to_account_id":"{accounts[1]}","currency":"USD","amount":{amount}}}'
    answer = send(alice, "/transfers", body.encode())
    assert (answer.status_code, answer.json()["amount"]) == (201, seen)


@pytest.mark.parametrize(
    "more",
    [
        {"description": "x" * 501}, {"description": 1}, {"description": "\x00"}, {"metadata": []}, {"metadata": "x"},
        {"metadata": {"a": "x" * 4096}}, {"metadata": {"a": {"b": {"c": {"d": {"e": {}}}}}}}, {"metadata": {"\x00": 1}},
        {"from_account_id": "x"}, {"to_account_id": 1}, {"from_account_id": None}, {"extra": 1},
    ],
)  # fmt: skip
def test_the_other_fields_of_a_transfer_are_bounded(
    alice: Session, accounts: tuple[str, str], more: dict[str, Any]
) -> None:
    body = {"from_account_id": accounts[0], "to_account_id": accounts[1], "currency": "USD", "amount": "1.00", **more}
    refused(send(alice, "/transfers", json.dumps(body).encode()), 422, "validation_failed")


@pytest.mark.parametrize(
    "metadata", ['{"a":1e400}', '{"a":"\\ud800"}', '{"\\udfff":1}', '{"a":"\\u0000"}', '{"a":-1e999}']
)
def test_metadata_that_cannot_be_kept_is_refused(alice: Session, accounts: tuple[str, str], metadata: str) -> None:
    body = (
        f'{{"from_account_id":"{accounts[0]}","to_account_id":"{accounts[1]}","currency":"USD",'
        f'"amount":"1.00","metadata":{metadata}}}'
    )
    refused(send(alice, "/transfers", body.encode()), 422, "validation_failed")


@pytest.mark.parametrize("metadata", ['{"a":NaN}', '{"a":1,"a":2}', '{"a":[{"b":1,"b":1}]}', '{"a":' * 100_000])
def test_metadata_that_two_readers_would_read_differently_is_malformed(
    alice: Session, accounts: tuple[str, str], metadata: str
) -> None:
    body = (
        f'{{"from_account_id":"{accounts[0]}","to_account_id":"{accounts[1]}","currency":"USD",'
        f'"amount":"1.00","metadata":{metadata}}}'
    )
    refused(send(alice, "/transfers", body.encode()), 400, "malformed_json")


def test_all_that_is_wrong_in_a_batch_is_named_by_its_index(alice: Session, accounts: tuple[str, str]) -> None:
    def item(amount: str) -> dict[str, Any]:
        return {"from_account_id": accounts[0], "to_account_id": accounts[1], "currency": "USD", "amount": amount}

    answer = alice.batch([item("1.00"), item("0"), item("1.00"), item("1.001")])
    problem = refused(answer, 422, "validation_failed")
    assert [(error["index"], error["field"]) for error in problem["errors"]] == [
        (1, "transfers[1].amount"),
        (3, "transfers[3].amount"),
    ]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json; charset=latin-1", "application/json; charset=utf-16", "application/jsonx",
     "application/problem+json"],
)  # fmt: skip
def test_another_media_type_is_unsupported(alice: Session, content_type: str) -> None:
    answer = send(alice, "/accounts", b'{"name":"x","currency":"USD"}', **{"Content-Type": content_type})
    refused(answer, 415, "unsupported_media_type")


def test_a_compressed_body_is_unsupported(alice: Session) -> None:
    refused(send(alice, "/accounts", b"\x1f\x8b", **{"Content-Encoding": "gzip"}), 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", 'APPLICATION/JSON;charset="utf-8"'])
def test_utf_8_may_be_said_aloud(alice: Session, content_type: str) -> None:
    answer = send(alice, "/accounts", b'{"name":"x","currency":"USD"}', **{"Content-Type": content_type})
    assert answer.status_code == 201


def test_a_body_is_bounded_told_or_not(alice: Session) -> None:
    large = b'{"name":"' + b"x" * 1024 * 1024 + b'","currency":"USD"}'
    refused(send(alice, "/accounts", large), 413, "content_too_large")
    chunked = alice.call("POST", "/accounts", content=(large[at : at + 65_536] for at in range(0, len(large), 65_536)),
                         headers=_JSON)  # fmt: skip
    refused(chunked, 413, "content_too_large")


@pytest.mark.parametrize("given", ["a", "x" * 128, "with space", "!~", str(uuid4())])
def test_a_sane_request_id_is_echoed(bank: Bank, given: str) -> None:
    for path in ("/healthz", "/nothing", "/api/v1/auth/me"):
        assert bank.client.get(path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 129, "é".encode(), b"a\tb", b"\xff"])
def test_another_request_id_is_replaced(bank: Bank, given: bytes) -> None:
    answer = bank.client.get("/nothing", headers=[(b"X-Request-ID", given)])
    assert len(answer.headers["X-Request-ID"]) == 32
    refused(answer, 404, "not_found")


def test_answers_are_not_kept_nor_guessed_at(bank: Bank, alice: Session) -> None:
    for answer in (alice.call("GET", "/auth/me"), bank.client.get("/nothing"), bank.client.get("/openapi.json")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "prefer",
    ["", "nonsense", "wait=abc", "wait=-1", "wait=", "wait=1.5", "x-wait=0", "x-respond-async", "return=minimal", ",,,",
     'handling="respond-async"', "wait=99999999999999", '"', "respond-async=0"],
)  # fmt: skip
def test_a_preference_that_is_not_understood_is_ignored(alice: Session, accounts: tuple[str, str], prefer: str) -> None:
    assert alice.transfer(*accounts, headers={"Prefer": prefer}).status_code == 201


@pytest.mark.parametrize(
    "prefer",
    ["respond-async", "Respond-Async", "wait=0", "return=minimal, respond-async", "respond-async; x=1, wait=9"],
)
def test_who_does_not_wait_is_told_where_to_look(alice: Session, accounts: tuple[str, str], prefer: str) -> None:
    answer = alice.transfer(*accounts, headers={"Prefer": prefer})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Location"] == f"/api/v1/transfers/{answer.json()['id']}"


@pytest.mark.parametrize("path", ["/transfers", "/transfers/batch", "/admin/deposits", "/admin/withdrawals"])
def test_a_call_that_moves_money_needs_a_key(bank: Bank, path: str) -> None:
    """Before its body is looked at: the key is what a repetition is known by."""
    refused(bank.admin.call("POST", path, json={}), 400, "idempotency_key_missing")


_KEYS = [
    b"",
    b'""',
    b'"',
    b'"a',
    b'"a"b"',
    b'"a\\x"',
    b"x" * 256,
    b'"' + b"x" * 256 + b'"',
    "é".encode(),
    b"a\tb",
    b"\xff",
]


@pytest.mark.parametrize("given", _KEYS)
@pytest.mark.parametrize("path", ["/transfers", "/accounts", "/admin/accounts/batch"])
def test_a_key_that_is_none_is_refused(bank: Bank, path: str, given: bytes) -> None:
    answer = bank.admin.call("POST", path, json={}, headers={b"Idempotency-Key": given})
    refused(answer, 400, "idempotency_key_invalid")


def test_two_keys_are_none(bank: Bank, alice: Session) -> None:
    headers = [("Authorization", f"Bearer {alice.token}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    refused(bank.client.post("/api/v1/transfers", headers=headers, json={}), 400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    ("one", "other"),
    [("{}", '"{}"'), ("{} b", '"{} b"'), ('{}"b', '"{}\\"b"'), ("{}\\b", '"{}\\\\b"'), ("{}" + "x" * 223,
     '"{}' + "x" * 223 + '"')],
)  # fmt: skip
def test_a_key_is_the_same_bare_or_quoted(alice: Session, accounts: tuple[str, str], one: str, other: str) -> None:
    key = uuid4().hex
    first = alice.transfer(*accounts, key=one.replace("{}", key))
    again = alice.transfer(*accounts, key=other.replace("{}", key))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content


@pytest.mark.parametrize("path", ["/accounts", "/transfers"])
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "validation_failed"), ("limit=201", 422, "validation_failed"), ("limit=x", 422,
        "validation_failed"),
        ("limit=", 422, "validation_failed"), ("limit=%EF%BC%91", 422, "validation_failed"), ("cursor=", 400,
        "invalid_cursor"),
        ("cursor=abc", 400, "invalid_cursor"), ("cursor=%00", 400, "invalid_cursor"), ("cursor=W10", 400,
        "invalid_cursor"),
    ],
)  # fmt: skip
def test_a_list_is_asked_for_within_bounds(alice: Session, path: str, query: str, status: int, code: str) -> None:
    refused(alice.call("GET", f"{path}?{query}"), status, code)


@pytest.mark.parametrize(
    "query",
    ["account_id=x", "status=unknown", "status=", "start_date=x", "end_date=2026-13-01",
     "start_date=2026-02-01&end_date=2026-01-01",
     "idempotency_key=", "idempotency_key=%00", "idempotency_key=%C3%A9", f"idempotency_key={'x' * 256}"],
)  # fmt: skip
def test_filters_of_transfers_are_checked(alice: Session, query: str) -> None:
    refused(alice.call("GET", f"/transfers?{query}"), 422, "validation_failed")


@pytest.mark.parametrize("path", ["/accounts/{}", "/accounts/{}/entries", "/transfers/{}", "/transfers/{}/timeline"])
@pytest.mark.parametrize("name", ["x", "%00", "%ff", "%F0%9F%92%B8", "..%2f..%2fetc", "{%s}", "urn:uuid:%s", "1" * 500])
def test_what_is_no_id_names_nothing(alice: Session, path: str, name: str) -> None:
    answer = alice.call("GET", path.format(name.replace("%s", str(uuid4()))))
    code = "account_not_found" if "accounts" in path else "transfer_not_found"
    refused(answer, 404, "not_found" if "%2f" in name else code)


def test_the_documents_need_no_other_host(bank: Bank) -> None:
    page = bank.client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/static/{name}" in page.text
        assert bank.client.get(f"/docs/static/{name}").status_code == 200
    refused(bank.client.get("/docs/static/nothing"), 404, "not_found")
