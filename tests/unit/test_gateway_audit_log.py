"""The audit log on its way out: cells, lines, predicates; and the sums of fraud's checks."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from services.gateway.domain.audit_log import COLUMNS, AuditRow, cell, csv_header, csv_lines, ndjson
from services.gateway.domain.fraud_stats import Checks, UserStats, fraud_stats
from services.gateway.identity.callers import refusal
from services.gateway.reads.audit_log import AuditFilter, conditions
from shared.contracts.base import Context
from tests.support.builders import ALICE, NOON

ROW = AuditRow(
    seq=7,
    recorded_at=NOON,
    occurred_at=NOON,
    event_id=UUID(int=1),
    user_id=ALICE,
    action="LOGIN",
    resource_type="user",
    resource_id=str(ALICE),
    status="success",
    ip_address="192.0.2.1",
    user_agent="agent",
    request_id="req-1",
    error_message=None,
    details=msgspec.Raw(b'{"a": "b,\\n\\"c\\""}'),
    hash="00" * 32,
)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_begins_a_formula_is_preceded_by_an_apostrophe(begin: str) -> None:
    assert cell(f"{begin}1+1") == f"'{begin}1+1"
    assert cell(f"1{begin}") == f"1{begin}"


@pytest.mark.parametrize(("value", "written"), [(None, ""), (7, "7"), (NOON, "2026-01-15T12:00:00Z"), ("", "")])
def test_values_are_written_plainly(value: object, written: str) -> None:
    assert cell(value) == written


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30))
def test_whatever_a_client_calls_itself_is_one_cell_of_one_line(agent: str) -> None:
    """Read by any reader of RFC 4180 it is the same text; none begins with what a spreadsheet runs."""
    text = (csv_header() + csv_lines([msgspec.structs.replace(ROW, user_agent=agent)])).decode()
    header, line = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert tuple(header) == COLUMNS
    found = dict(zip(header, line, strict=True))
    assert found["user_agent"] in {agent, f"'{agent}"}
    assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for value in line)
    assert json.loads(found["details"]) == {"a": 'b,\n"c"'}


def test_lines_end_as_the_standards_want() -> None:
    assert csv_lines([ROW, ROW]).count(b"\r\n") == 2
    assert csv_lines([ROW]).endswith(b"\r\n")
    assert [json.loads(line)["seq"] for line in ndjson([ROW, ROW]).splitlines()] == [7, 7]


@pytest.mark.parametrize(
    ("chosen", "text", "values"),
    [
        ({}, "", []),
        ({"status": "failed"}, "AND status = $1::text", ["failed"]),
        (
            {"end": NOON, "user_id": ALICE},
            "AND user_id = $1::uuid AND recorded_at < $2::timestamptz",
            [ALICE, NOON],
        ),
    ],
)
def test_only_what_is_asked_for_becomes_a_predicate(chosen: dict[str, Any], text: str, values: list[object]) -> None:
    assert conditions(AuditFilter(**chosen)) == (text, values)


def checks(day: int, verdict: str, currency: str, count: int, amount_minor: int) -> Checks:
    at = datetime(2026, 1, day, tzinfo=UTC)
    return Checks(at=at, verdict=verdict, currency=currency, checks=count, amount_minor=amount_minor)


def test_checks_are_summed_by_verdict_by_day_and_never_over_currencies() -> None:
    found = fraud_stats(
        [
            checks(2, "approved", "USD", 2, 1050),
            checks(1, "approved", "USD", 1, 10**20),
            checks(2, "blocked", "JPY", 1, 7),
            checks(2, "approved", "JPY", 3, 30),
        ],
        {"b": 1, "a": 1},
    )
    assert (found.total_checks, found.approved, found.blocked, found.block_rate) == (7, 6, 1, 0.142857)
    assert found.approved_amount == {"JPY": "30", "USD": "1000000000000000010.50"}
    assert found.blocked_amount == {"JPY": "7"}
    assert list(found.by_reason) == ["a", "b"]
    days = [(day.date.day, day.total_checks, day.approved, day.blocked) for day in found.by_day]
    assert days == [(1, 1, 1, 0), (2, 6, 5, 1)]


def test_nothing_checked_is_no_division() -> None:
    found = fraud_stats([], {})
    assert (found.total_checks, found.block_rate, found.by_day) == (0, 0.0, [])


@pytest.mark.parametrize(
    ("path", "resource_type"),
    [
        ("accounts/1/restore", "account"),
        ("audit-logs", "audit_log"),
        ("users/1", "user"),
        ("dead-letters", "dead_letter"),
        ("ledger/verify", "account"),
        ("deposits", "transaction"),
    ],
)
def test_a_refused_operators_call_is_told_with_what_it_was_about(path: str, resource_type: str) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/v1/admin/{path}",
        "query_string": b"token=x",
        "headers": [],
    }
    told = refusal(Request({**scope, "server": ("x", 80), "scheme": "http"}), Context(request_id="r"))
    assert (told.action, told.resource_type, told.status, told.error_message) == (
        "ADMIN",
        resource_type,
        "blocked",
        "forbidden",
    )
    assert told.details is not None
    assert bytes(told.details["path"]) == f'"/api/v1/admin/{path}"'.encode()


def test_days_and_currencies_are_told_in_their_order_whatever_the_order_of_the_groups() -> None:
    def group(day: int, currency: str) -> Checks:
        return checks(day, "approved", currency, 1, 100)

    stats = fraud_stats([group(9, "USD"), group(3, "EUR"), group(17, "CHF"), group(1, "USD"), group(25, "BHD")], {})
    assert [day.date.day for day in stats.by_day] == [1, 3, 9, 17, 25]
    assert list(stats.approved_amount) == ["BHD", "CHF", "EUR", "USD"]


def test_hours_add_up_to_their_days_and_are_told_only_where_groups_are_of_hours() -> None:
    def group(hour: int, verdict: str) -> Checks:
        at = datetime(2026, 1, 2 + hour // 24, hour % 24, tzinfo=UTC)
        return Checks(at=at, verdict=verdict, currency="USD", checks=1, amount_minor=100)

    groups = [group(30, "blocked"), group(9, "approved"), group(9, "blocked"), group(23, "approved")]
    found = fraud_stats(groups, {}, is_hourly=True)
    assert found.by_hour is not None
    assert [(hour.at.day, hour.at.hour, hour.total_checks, hour.approved, hour.blocked) for hour in found.by_hour] == [
        (2, 9, 2, 1, 1),
        (2, 23, 1, 1, 0),
        (3, 6, 1, 0, 1),
    ]
    assert [(day.date.day, day.total_checks) for day in found.by_day] == [(2, 3), (3, 1)]
    assert fraud_stats(groups, {}).by_hour is None


def test_users_are_told_by_how_often_they_were_blocked() -> None:
    def user(n: int, blocked: int) -> UserStats:
        return UserStats(user_id=UUID(int=n), blocked=blocked, last_blocked_at=NOON, by_reason={"b": 1, "a": 2})

    found = fraud_stats([], {}, [user(3, 1), user(2, 5), user(1, 1)])
    assert [one.user_id.int for one in found.by_user] == [2, 1, 3]
    assert list(found.by_user[0].by_reason) == ["a", "b"]
