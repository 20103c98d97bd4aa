"""The audit log as an operator meets it: what is in it, how it is found, how it leaves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session
from tests.support.waiting import until

_WAIT_S = 15.0
_LOGS = "/admin/audit-logs"

Row = dict[str, Any]


@pytest.fixture(scope="session")
def dora(bank: Bank) -> Session:
    return bank.customer("Dora")


@pytest.fixture(scope="session")
def emil(bank: Bank) -> Session:
    return bank.customer("Emil")


def rows(bank: Bank, **filters: str) -> list[Row]:
    """The newest rows that a filter takes."""
    found: list[Row] = bank.admin.get(_LOGS, page_size="200", **filters)["items"]
    return found


def row(bank: Bank, request_id: str, **filters: str) -> Row:
    """The one row of a request that a filter takes, once it is there."""
    found = until(
        lambda: [item for item in rows(bank, **filters) if item["request_id"] == request_id], within_s=_WAIT_S
    )
    assert len(found) == 1, (filters, found)
    return found[0]


def settled(bank: Bank) -> None:
    """Returns when all that was told before this has its row: events of one kind arrive in order."""
    answer = bank.admin.call("GET", "/admin/fraud-stats")
    assert answer.status_code == 200
    row(bank, answer.headers["X-Request-ID"], action="ADMIN")


_HEADERS = {"User-Agent": 'audit-test/1.0 "quoted"'}


def named(prefix: str) -> dict[str, str]:
    return {**_HEADERS, "X-Request-ID": f"{prefix}-{uuid4().hex}"}


def check_context(found: Row, headers: dict[str, str], user: Session | None) -> None:
    """Who, from where, with what, in which request: as it came in, also in the workers' rows."""
    assert found["user_id"] == (user.user["id"] if user else None)
    assert (found["ip_address"], found["user_agent"]) == ("127.0.0.1", headers["User-Agent"])
    assert found["request_id"] == headers["X-Request-ID"]
    assert found["recorded_at"] >= found["occurred_at"]


def test_the_life_of_an_account_is_told(bank: Bank, dora: Session) -> None:
    def told(method: str, path: str, session: Session, action: str, **body: Any) -> Row:
        headers = named(action.lower())
        answer = session.call(method, path, headers=headers, json=body or None)
        assert answer.is_success, answer.text
        found = row(bank, headers["X-Request-ID"], action=action, resource_type="account")
        check_context(found, headers, session)
        assert (found["status"], found["error_message"]) == ("success", None)
        return found

    opened = told("POST", "/accounts", dora, "CREATE", name="Savings", currency="EUR")
    account = opened["resource_id"]
    assert (opened["details"]["name"], opened["details"]["currency"]) == ("Savings", "EUR")
    at = f"/accounts/{account}"
    assert told("PATCH", at, dora, "UPDATE", name="Rainy days")["resource_id"] == account
    assert told("GET", at, dora, "ACCOUNT_ACCESS")["resource_id"] == account
    assert told("GET", f"{at}/entries", dora, "ACCOUNT_ACCESS")["resource_id"] == account
    assert told("DELETE", at, dora, "DELETE")["resource_id"] == account
    assert told("POST", f"/admin{at}/restore", bank.admin, "RESTORE")["resource_id"] == account


@pytest.mark.parametrize(
    ("amount", "check", "end", "error"),
    [
        ("10.00", "success", "success", None),
        ("100000.00", "success", "failed", "insufficient_funds"),
        ("1000000.01", "blocked", "blocked", None),
    ],
)
def test_a_transfer_is_a_check_and_an_end_whatever_the_outcome(
    bank: Bank, dora: Session, emil: Session, amount: str, check: str, end: str, error: str | None
) -> None:
    source, to = bank.funded(dora), emil.open_account()
    headers = named("transfer")
    answer = dora.transfer(source, to, amount, headers=headers)
    transfer_id = answer.json().get("transfer_id") or answer.json()["id"]
    checked = row(bank, headers["X-Request-ID"], action="FRAUD_CHECK", resource_id=transfer_id)
    ended = row(bank, headers["X-Request-ID"], action="TRANSFER", resource_id=transfer_id)
    for found in (checked, ended):
        check_context(found, headers, dora)
        assert found["resource_type"] == "transaction"
        assert (found["details"]["amount"], found["details"]["from_account_id"]) == (amount, source)
    assert (checked["status"], ended["status"]) == (check, end)
    if error is not None:
        assert ended["error_message"] == error
    if check == "blocked":
        [reason] = checked["details"]["reasons"]
        assert reason["code"] == "amount_above_maximum"


def test_logins_that_succeed_and_fail_and_logouts_are_told(bank: Bank) -> None:
    customer = bank.customer()
    email = customer.user["email"]

    def login(password: str) -> tuple[httpx.Response, dict[str, str]]:
        headers = named("login")
        body = {"email": email, "password": password}
        return bank.client.post("/api/v1/auth/login", json=body, headers=headers), headers

    failed, failed_headers = login("not his password")
    succeeded, headers = login("correct horse battery")
    assert (failed.status_code, succeeded.status_code) == (401, 200)
    tries = ((failed_headers, "failed", "bad_credentials"), (headers, "success", None))
    for used, status, error in tries:
        found = row(bank, used["X-Request-ID"], action="LOGIN", user_id=customer.user["id"])
        check_context(found, used, customer)
        assert (found["status"], found["error_message"]) == (status, error)
    session = Session(bank.client, succeeded.json()["access_token"], customer.user)
    headers = named("logout")
    assert session.call("POST", "/auth/logout", headers=headers).status_code == 204
    check_context(row(bank, headers["X-Request-ID"], action="LOGOUT", status="success"), headers, customer)


def test_a_login_of_nobody_is_told_without_a_user(bank: Bank) -> None:
    headers = named("nobody")
    body = {"email": f"{uuid4().hex}@example.com", "password": "whatever it is"}
    assert bank.client.post("/api/v1/auth/login", json=body, headers=headers).status_code == 401
    check_context(row(bank, headers["X-Request-ID"], action="LOGIN", status="failed"), headers, None)


def test_access_to_what_is_anothers_is_blocked_and_told(bank: Bank, dora: Session, emil: Session) -> None:
    account = emil.open_account()
    for path in (f"/accounts/{account}", f"/accounts/{account}/entries", f"/accounts/{uuid4()}"):
        headers = named("spy")
        assert dora.call("GET", path, headers=headers).status_code == 404
        found = row(bank, headers["X-Request-ID"], action="ACCOUNT_ACCESS", status="blocked")
        check_context(found, headers, dora)
        assert found["resource_id"] in path
        assert found["error_message"] == "account_not_found"


def test_a_transfer_that_is_read_or_refused_is_told(bank: Bank, dora: Session, emil: Session) -> None:
    transfer = dora.transfer(bank.funded(dora), emil.open_account()).json()["id"]
    stranger = bank.customer()
    for session, status in ((dora, "success"), (stranger, "blocked")):
        headers = named("look")
        session.call("GET", f"/transfers/{transfer}", headers=headers)
        found = row(bank, headers["X-Request-ID"], action="ACCOUNT_ACCESS", resource_id=transfer)
        assert (found["status"], found["resource_type"]) == (status, "transaction")


@pytest.mark.parametrize(
    ("path", "resource_type"),
    [
        ("/admin/audit-logs", "audit_log"),
        ("/admin/audit-logs/export", "audit_log"),
        ("/admin/audit-logs/verify", "audit_log"),
        ("/admin/fraud-stats", "transaction"),
        ("/admin/ledger/verify", "account"),
        ("/admin/accounts", "account"),
    ],
)
def test_operators_reads_and_refused_ones_are_told(bank: Bank, dora: Session, path: str, resource_type: str) -> None:
    for session, status, answered in ((bank.admin, "success", 200), (dora, "blocked", 403)):
        headers = named("admin")
        assert session.call("GET", path, headers=headers).status_code == answered
        found = row(bank, headers["X-Request-ID"], action="ADMIN", resource_type=resource_type)
        check_context(found, headers, session)
        assert found["status"] == status
        if session is dora:
            assert found["error_message"] == "forbidden"
            assert found["details"] == {"method": "GET", "path": f"/api/v1{path}"}


def test_a_read_of_the_log_says_what_was_asked_and_is_no_part_of_its_own_answer(bank: Bank, dora: Session) -> None:
    headers = named("reading")
    asked = {"user_id": dora.user["id"], "action": "LOGIN", "start_date": "2026-01-01", "page_size": "7"}
    answer = bank.admin.call("GET", _LOGS, params=asked, headers=headers)
    assert headers["X-Request-ID"] not in {item["request_id"] for item in answer.json()["items"]}
    found = row(bank, headers["X-Request-ID"], action="ADMIN", resource_type="audit_log")
    assert found["details"]["act"] == "read_audit_log"
    assert found["details"]["filters"]["user_id"] == dora.user["id"]
    assert found["details"]["filters"]["action"] == "LOGIN"
    assert found["details"]["page_size"] == 7


def test_a_read_of_the_log_adds_one_row_and_no_more(bank: Bank) -> None:
    headers = named("once")
    bank.admin.call("GET", _LOGS, params={"page_size": "1"}, headers=headers)
    row(bank, headers["X-Request-ID"], action="ADMIN")
    settled(bank)
    row(bank, headers["X-Request-ID"], action="ADMIN")


def _matching(name: str, value: str) -> Callable[[Row], bool]:
    return lambda found: found[name] == value


def test_every_filter_takes_its_rows_and_no_others(bank: Bank, dora: Session, emil: Session) -> None:
    account = bank.funded(dora)
    transfer = dora.transfer(account, emil.open_account()).json()["id"]
    dora.get(f"/accounts/{account}")
    settled(bank)
    for name, value in (
        ("user_id", dora.user["id"]),
        ("action", "TRANSFER"),
        ("resource_type", "account"),
        ("resource_id", transfer),
        ("resource_id", account),
        ("status", "blocked"),
    ):
        found = rows(bank, **{name: value})
        assert found, name
        assert all(map(_matching(name, value), found)), name
    both = rows(bank, resource_id=transfer, action="FRAUD_CHECK")
    assert [(item["action"], item["resource_id"]) for item in both] == [("FRAUD_CHECK", transfer)]
    assert rows(bank, resource_id=transfer, action="LOGIN") == []


def test_times_bound_the_log_start_inside_and_end_outside(bank: Bank, dora: Session) -> None:
    account = dora.open_account()
    for _ in range(3):
        dora.get(f"/accounts/{account}")
    settled(bank)
    all_of_it = rows(bank, resource_id=account)
    times = sorted({item["recorded_at"] for item in all_of_it})
    middle = times[len(times) // 2]
    later = rows(bank, resource_id=account, start_date=middle)
    earlier = rows(bank, resource_id=account, end_date=middle)
    assert later + earlier == all_of_it
    assert {item["recorded_at"] for item in later} == {at for at in times if at >= middle}
    now = datetime.now(UTC)
    today, tomorrow = f"{now:%Y-%m-%d}", f"{now + timedelta(days=1):%Y-%m-%d}"
    assert rows(bank, resource_id=account, start_date=tomorrow) == []
    assert rows(bank, resource_id=account, end_date=today) == all_of_it


def test_pages_are_newest_first_and_count_what_there_is(bank: Bank, dora: Session) -> None:
    account = dora.open_account()
    for _ in range(10):
        dora.get(f"/accounts/{account}")
    settled(bank)
    pages = [bank.admin.get(_LOGS, resource_id=account, page_size="4", page=str(n)) for n in (1, 2, 3, 4)]
    assert [len(page["items"]) for page in pages] == [4, 4, 3, 0]
    for n, page in enumerate(pages, 1):
        assert (page["page"], page["page_size"], page["total"], page["pages"]) == (n, 4, 11, 3)
        assert page["total_capped"] is False
    seqs = [item["seq"] for page in pages for item in page["items"]]
    assert seqs == sorted(set(seqs), reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"page": "-1"},
        {"page": "x"},
        {"page_size": "0"},
        {"page_size": "201"},
        {"page": "51", "page_size": "200"},
        {"page": "10001", "page_size": "1"},
        {"user_id": "somebody"},
        {"action": "DANCE"},
        {"action": "login"},
        {"resource_type": "house"},
        {"status": "ok"},
        {"resource_id": ""},
        {"resource_id": "a\x00b"},
        {"resource_id": "x" * 256},
        {"start_date": "yesterday"},
        {"start_date": "2026-02-01", "end_date": "2026-01-01"},
    ],
)
def test_what_no_page_can_be_is_refused(bank: Bank, query: dict[str, str]) -> None:
    answer = bank.admin.call("GET", _LOGS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_the_deepest_page_can_be_asked_for(bank: Bank) -> None:
    answer = bank.admin.get(_LOGS, page="50", page_size="200")
    assert isinstance(answer["items"], list)


def _export(bank: Bank, form: str, **filters: str) -> httpx.Response:
    answer = bank.admin.call("GET", f"{_LOGS}/export", params={"format": form, **filters})
    assert answer.status_code == 200, answer.text
    return answer


def test_an_export_holds_what_the_filter_counts(bank: Bank, dora: Session, emil: Session) -> None:
    source, to = bank.funded(dora), emil.open_account()
    for _ in range(3):
        assert dora.transfer(source, to).status_code == 201
    settled(bank)
    for filters in ({"user_id": dora.user["id"]}, {"action": "TRANSFER", "status": "success"}, {"resource_id": source}):
        total = bank.admin.get(_LOGS, **filters)["total"]
        ndjson = [json.loads(line) for line in _export(bank, "ndjson", **filters).text.splitlines()]
        sheet = list(csv.DictReader(io.StringIO(_export(bank, "csv", **filters).text, newline="")))
        assert len(ndjson) == len(sheet) == total > 0
        assert ndjson[:50] == bank.admin.get(_LOGS, **filters)["items"]
        assert [line["seq"] for line in sheet] == [str(item["seq"]) for item in ndjson]
        assert [json.loads(line["details"]) for line in sheet] == [item["details"] for item in ndjson]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_says_what_it_is(bank: Bank, form: str) -> None:
    answer = _export(bank, form, action="LOGIN")
    assert (
        answer.headers["Content-Type"]
        == {
            "csv": "text/csv; charset=utf-8; header=present",
            "ndjson": "application/x-ndjson",
        }[form]
    )
    assert answer.headers["Content-Disposition"] == f'attachment; filename="audit-logs.{form}"'
    assert "Content-Length" not in answer.headers


def test_another_format_is_refused(bank: Bank) -> None:
    answer = bank.admin.call("GET", f"{_LOGS}/export", params={"format": "xlsx"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("agent", ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)"])
def test_a_cell_that_begins_a_formula_is_text(bank: Bank, dora: Session, agent: str) -> None:
    account = dora.open_account()
    headers = {"User-Agent": agent, "X-Request-ID": f"={uuid4().hex}"}
    assert dora.call("GET", f"/accounts/{account}", headers=headers).status_code == 200
    row(bank, headers["X-Request-ID"], resource_id=account)
    text = _export(bank, "csv", resource_id=account, action="ACCOUNT_ACCESS").text
    [line] = csv.DictReader(io.StringIO(text, newline=""))
    assert (line["user_agent"], line["request_id"]) == (f"'{agent}", f"'{headers['X-Request-ID']}")
    [item] = [
        json.loads(one) for one in _export(bank, "ndjson", resource_id=account, action="ACCOUNT_ACCESS").iter_lines()
    ]
    assert item["user_agent"] == agent


def test_an_export_is_told_once_at_its_opening(bank: Bank) -> None:
    headers = named("export")
    asked = {"format": "ndjson", "status": "failed"}
    assert bank.admin.call("GET", f"{_LOGS}/export", params=asked, headers=headers).status_code == 200
    found = row(bank, headers["X-Request-ID"], action="ADMIN", resource_type="audit_log")
    assert found["details"] == {"act": "export_audit_log", "format": "ndjson", "filters": {"status": "failed"}}


def test_the_log_is_what_was_recorded(bank: Bank, dora: Session) -> None:
    before = bank.admin.get(f"{_LOGS}/verify")
    assert (before["status"], before["first_bad"]) == ("verified", None)
    dora.open_account()
    settled(bank)
    after = bank.admin.get(f"{_LOGS}/verify")
    assert after["status"] == "verified"
    assert after["rows"] > before["rows"]


def test_a_verification_is_watched_from_its_beginning_to_what_it_found(bank: Bank) -> None:
    operator = bank.operator()
    before = bank.admin.get(f"{_LOGS}/verify")["rows"]
    answer = operator.call("GET", f"{_LOGS}/verify/events")
    assert answer.headers["Content-Type"] == "text/event-stream"
    events = [told.split("\n") for told in answer.text.split("\n\n") if told]
    *progress, (name, found), end = [
        (kind.split()[1], json.loads(data.removeprefix("data: "))) for kind, data in events
    ]
    assert {kind for kind, _ in progress} == {"progress"}
    assert progress[0][1] == {"walked": 0, "total": None}
    assert (name, found["status"], found["first_bad"], end) == ("result", "verified", None, ("end", {}))
    assert progress[-1][1] == {"walked": found["rows"], "total": found["rows"]}
    assert found["rows"] >= before
    settled(bank)
    rows = bank.admin.get(_LOGS, user_id=operator.user["id"], action="ADMIN")["items"]
    assert [row["details"]["act"] for row in rows] == ["verify_audit_log", "watch_audit_verification"]
    assert rows[0]["details"] == {
        "act": "verify_audit_log", "status": "verified", "rows": found["rows"], "first_bad": None
    }  # fmt: skip


def test_no_secret_ever_enters_the_log(bank: Bank) -> None:
    password = f"secret {uuid4().hex}"
    email = f"{uuid4().hex}@example.com"
    body = {"email": email, "password": password, "full_name": "Somebody"}
    assert bank.client.post("/api/v1/auth/register", json=body).status_code == 201
    session = bank.login(email, password)
    bank.client.post("/api/v1/auth/login", json={"email": email, "password": f"{password}?"})
    session.call("GET", "/admin/accounts")
    session.call("POST", "/auth/logout")
    settled(bank)
    everything = _export(bank, "ndjson").text
    assert session.user["id"] in everything
    for secret in (password, session.token, session.token.rpartition(".")[2], bank.admin.token, "$argon2", "Bearer "):
        assert secret not in everything
