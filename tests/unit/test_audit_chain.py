"""How an audit row is written down, and how the chain shows what was done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.details import DETAILS_BYTES_MAX, clean, foreign_details_of, utc
from shared.audit_chain.canonical import Entry, encode, stored_details
from shared.audit_chain.chain import GENESIS, START, Broken, Row, Tip, body_of, extend, follow
from tests.support.builders import ALICE, NOON

TRANSFER = UUID(int=0x7)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("plain", "plain"), ("", ""), ("a\x00b", "a\\x00b"), ("123456789", "1234567…"), ("\x00" * 3, "\\x00\\x0…")],
)
def test_text_is_cleaned(text: str, cleaned: str) -> None:
    assert clean(text, 8) == cleaned


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        (b"1", b"1"),
        (b"-0", b"0"),
        (b"1.10", b'"1.10"'),
        (b"1e400", b'"1e400"'),
        (b"123456789012345678901", b'"[left out]"'),
        (b'{"b":[true,null],"a":"\\u0000"}', b'{"a":"\\\\x00","b":[true,null]}'),
        (b"[" * 2_000 + b"]" * 2_000, b'"[left out]"'),
        (b"[" * 17 + b"]" * 17, b"[" * 15 + b'"[left out]"' + b"]" * 15),
        (b'"\\ud800"', b'"[left out]"'),
    ],
)
def test_foreign_details_become_what_jsonb_gives_back_unchanged(raw: bytes, stored: bytes) -> None:
    assert bytes(foreign_details_of({"x": msgspec.Raw(raw)})) == b'{"x":' + stored + b"}"


def test_foreign_details_that_are_too_large_leave_their_size() -> None:
    long = {str(n): msgspec.Raw(b'"' + b"y" * 900 + b'"') for n in range(20)}
    details = json.loads(bytes(foreign_details_of(long)))
    assert details["left_out_bytes"] > DETAILS_BYTES_MAX


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_the_canonical_form_is_that_of_the_standard_library(value: Any) -> None:
    """So that anyone can check a row without our code."""
    assert encode(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=5))
def test_details_read_back_in_another_order_and_spacing_are_the_same_bytes(values: dict[str, Any]) -> None:
    written = foreign_details_of({name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()})
    shown = json.dumps(dict(reversed(json.loads(bytes(written)).items())), ensure_ascii=True, indent=1)
    assert bytes(stored_details(shown)) == bytes(written)


@pytest.mark.parametrize(
    ("at", "canonical"),
    [
        (NOON, b'"2026-01-15T12:00:00Z"'),
        (NOON.replace(microsecond=120), b'"2026-01-15T12:00:00.000120Z"'),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), b'"2026-01-15T12:00:00Z"'),
        (datetime(2026, 1, 15, 12), b'"2026-01-15T12:00:00Z"'),  # noqa: DTZ001 - the case itself
    ],
)
def test_times_are_written_in_utc(at: datetime, canonical: bytes) -> None:
    assert encode(utc(at)) == canonical
    assert utc(at).tzinfo is UTC


GOLDEN = Entry(
    event_id=UUID("6f1c1d1e-0000-5000-8000-000000000001"),
    occurred_at=NOON,
    user_id=ALICE,
    action="TRANSFER",
    resource_type="transaction",
    resource_id=str(TRANSFER),
    status="success",
    ip_address="192.0.2.1",
    user_agent='Möbius/1.0 "quoted"',
    request_id="req-1",
    details=msgspec.Raw(b'{"amount":"10.00","retry_count":0}'),
    error_message=None,
)


def test_the_golden_vector() -> None:
    """If this fails, the canonical form has changed, and no chain that exists can be verified any more."""
    recorded_at = NOON + timedelta(microseconds=1)
    assert GENESIS.hex() == "0a868ea5d5bb9df1e2717dbfd543a76e04572619607e7498dae274f6ce60738a"
    assert (
        body_of(GOLDEN)
        == (
            '["6f1c1d1e-0000-5000-8000-000000000001","2026-01-15T12:00:00Z","00000000-0000-0000-0000-0000000a11ce",'
            '"TRANSFER","transaction","00000000-0000-0000-0000-000000000007","success","192.0.2.1",'
            '"Möbius/1.0 \\"quoted\\"","req-1",{"amount":"10.00","retry_count":0},null]'
        ).encode()
    )
    first, second = extend(START, recorded_at, [body_of(GOLDEN)] * 2)
    assert first.hex() == "5eba82fc95c5b100d44ba564bf82527c6aeefa4e8f6d5cf6b6de9ec125bc6c3a"
    assert second.hex() == "bb3de97ead9811a4bf92d413ee4710511178ffe843dffe5a37e926cf5bc888da"


def chain_of(length: int) -> list[Row]:
    entries = [GOLDEN._replace(event_id=UUID(int=n)) for n in range(1, length + 1)]
    hashes = extend(START, NOON, [body_of(entry) for entry in entries])
    return [
        Row(seq, NOON, row_hash, entry)
        for seq, (row_hash, entry) in enumerate(zip(hashes, entries, strict=True), start=1)
    ]


CHAIN = chain_of(6)
EVENT_IDS = {row.seq: row.entry.event_id for row in CHAIN if row.entry}


def edited(seq: int, **changes: Any) -> Callable[[list[Row]], list[Row]]:
    def edit(rows: list[Row]) -> list[Row]:
        return [row._replace(**changes) if row.seq == seq else row for row in rows]

    return edit


@pytest.mark.parametrize(
    ("tamper", "broken"),
    [
        (lambda rows: rows, None),
        (edited(3, entry=GOLDEN), Broken(3, "content_changed")),
        (edited(3, entry=None), Broken(3, "content_changed")),
        (edited(3, hash=b"\x00" * 32), Broken(3, "content_changed")),
        (edited(3, recorded_at=NOON + timedelta(microseconds=1)), Broken(3, "content_changed")),
        (lambda rows: rows[:2] + rows[3:], Broken(3, "row_missing")),
        (lambda rows: rows[1:], Broken(1, "row_missing")),
        (lambda rows: rows[:4], Broken(5, "row_missing")),
        (lambda _: [], Broken(1, "row_missing")),
        (lambda rows: [*rows[:3], rows[2], *rows[3:]], Broken(3, "row_repeated")),
    ],
)
def test_whatever_is_done_to_a_row_is_named(tamper: Callable[[list[Row]], list[Row]], broken: Broken | None) -> None:
    assert follow(START, 6, tamper(CHAIN), EVENT_IDS, {6: CHAIN[5].hash}) == (broken or Tip(6, CHAIN[5].hash))


def test_a_row_that_is_rewritten_with_its_hash_breaks_the_next() -> None:
    entry = GOLDEN._replace(event_id=UUID(int=3), status="failed")
    [new_hash] = extend(Tip(2, CHAIN[1].hash), NOON, [body_of(entry)])
    assert follow(START, 6, edited(3, entry=entry, hash=new_hash)(CHAIN), EVENT_IDS, {}) == Broken(4, "content_changed")


@pytest.mark.parametrize(
    ("event_ids", "checkpoints", "broken"),
    [
        ({**EVENT_IDS, 4: UUID(int=9)}, {}, Broken(4, "event_id_differs")),
        ({n: i for n, i in EVENT_IDS.items() if n != 4}, {}, Broken(4, "event_id_missing")),
        (EVENT_IDS, {5: CHAIN[0].hash}, Broken(5, "checkpoint_differs")),
    ],
)
def test_a_chain_written_anew_disagrees_with_what_vouches_for_it(
    event_ids: dict[int, UUID], checkpoints: dict[int, bytes], broken: Broken
) -> None:
    assert follow(START, 6, CHAIN, event_ids, checkpoints) == broken


def test_a_walk_may_begin_in_the_middle() -> None:
    assert follow(Tip(3, CHAIN[2].hash), 6, CHAIN[3:], EVENT_IDS, {}) == Tip(6, CHAIN[5].hash)


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_details_that_are_no_json_were_never_recorded(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        stored_details(text)
