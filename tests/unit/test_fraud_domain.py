"""How transfers are screened, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fraud.domain import (
    Exceeded,
    Fate,
    Limits,
    Outcome,
    Past,
    Window,
    differing_fields,
    exceeded,
    parse_amount_limit,
    parse_count_limit,
    screen,
)
from services.fraud.errors import AmountImpossible, LimitInvalid
from services.fraud.settings import settings_from
from shared.contracts.gateway import BatchPlace, Instruction, Kind
from shared.errors import SettingsError
from shared.money import UnknownCurrency
from tests.support.builders import ALICE, BOB, instruction

ENVIRONMENT = {
    "REMIT_POSTGRES_URL": "postgresql://owner:s3cret@db:5432/remit",
    "REMIT_AMQP_URL": "amqp://root:s3cret@mq:5672/",
}
DEFAULTS = settings_from(ENVIRONMENT).limits
OFF = Limits(min_amount=None, max_amount=None, max_daily_amount=None, max_hourly_count=None, max_daily_count=None)
CENT, MILLION = 1, 100_000_000
APPROVED, BLOCKED, CONFLICT, REPEATED = Fate.APPROVED, Fate.BLOCKED, Fate.CONFLICT, Fate.REPEATED


def limited(**texts: str) -> Limits:
    """The default limits, but for those that a test names, as an operator would write them."""
    return settings_from(
        {**ENVIRONMENT, **{f"REMIT_FRAUD_{name.upper()}": text for name, text in texts.items()}}
    ).limits


def codes(
    amount_minor: int, currency: str = "USD", window: Window | None = None, limits: Limits = DEFAULTS
) -> list[str]:
    return [reason.code for reason in exceeded(amount_minor, currency, window or Window(), limits)]


def fates(requests: list[Instruction], past: Past | None = None, limits: Limits = DEFAULTS) -> list[Fate]:
    return [outcome.fate for outcome in screen(requests, past or Past(), limits)]


@pytest.mark.parametrize(
    ("amount_minor", "currency", "expected"),
    [
        (CENT, "USD", []),
        (MILLION, "USD", []),
        (MILLION + CENT, "USD", ["amount_above_maximum"]),
        (5 * MILLION + CENT, "USD", ["amount_above_maximum", "daily_amount_exceeded"]),
        # Yen have no decimals: the smallest amount is above 0.01, and a million is a million.
        (1, "JPY", []),
        (1_000_000, "JPY", []),
        (1_000_001, "JPY", ["amount_above_maximum"]),
        # Dinars have three: 0.009 lies below 0.01.
        (10, "BHD", []),
        (9, "BHD", ["amount_below_minimum"]),
        (1_000_000_000, "BHD", []),
        (1_000_000_001, "BHD", ["amount_above_maximum"]),
    ],
)
def test_equal_to_a_limit_of_one_transfer_passes(amount_minor: int, currency: str, expected: list[str]) -> None:
    assert codes(amount_minor, currency) == expected


@pytest.mark.parametrize(
    ("window", "amount_minor", "expected"),
    [
        (Window(day_minor={"USD": 4 * MILLION}), MILLION, []),
        (Window(day_minor={"USD": 4 * MILLION + CENT}), MILLION, ["daily_amount_exceeded"]),
        (Window(day_minor={"USD": 5 * MILLION}), CENT, ["daily_amount_exceeded"]),
        # Amounts that were approved under higher limits stay what they were.
        (Window(day_minor={"USD": 9 * MILLION}), CENT, ["daily_amount_exceeded"]),
        (Window(day_minor={"EUR": 5 * MILLION}), MILLION, []),
        (Window(hour_count=49, day_count=49), CENT, []),
        (Window(hour_count=50, day_count=50), CENT, ["hourly_count_exceeded"]),
        (Window(hour_count=49, day_count=199), CENT, []),
        (Window(hour_count=0, day_count=200), CENT, ["daily_count_exceeded"]),
        (Window(hour_count=50, day_count=200), CENT, ["hourly_count_exceeded", "daily_count_exceeded"]),
    ],
)
def test_equal_to_a_limit_of_a_window_passes(window: Window, amount_minor: int, expected: list[str]) -> None:
    assert codes(amount_minor, window=window) == expected


def test_all_reasons_that_apply_are_given_with_their_figures() -> None:
    window = Window(hour_count=50, day_count=210, day_minor={"USD": 4_500_000_00})
    assert exceeded(1_000_000_01, "USD", window, DEFAULTS) == (
        Exceeded(code="amount_above_maximum", limit="1000000.00", usage="0.00", attempted="1000000.01"),
        Exceeded(code="daily_amount_exceeded", limit="5000000.00", usage="4500000.00", attempted="5500000.01"),
        Exceeded(code="hourly_count_exceeded", limit="50", usage="50", attempted="51"),
        Exceeded(code="daily_count_exceeded", limit="200", usage="210", attempted="211"),
    )
    assert exceeded(1, "BHD", Window(), DEFAULTS) == (
        Exceeded(code="amount_below_minimum", limit="0.010", usage="0.000", attempted="0.001"),
    )


def test_limits_that_are_off_do_not_apply() -> None:
    window = Window(hour_count=10**6, day_count=10**6, day_minor={"USD": 10**18})
    assert codes(10**18, window=window, limits=OFF) == []
    for name in DEFAULTS.texts:
        one_off = replace(DEFAULTS, **{name: None})
        assert len(codes(10**18, window=window, limits=one_off)) == (4 if name == "min_amount" else 3)


@pytest.mark.parametrize(
    ("limits", "window_h"),
    [
        (DEFAULTS, 24),
        (replace(DEFAULTS, max_daily_amount=None), 24),
        (replace(DEFAULTS, max_daily_count=None), 24),
        (replace(DEFAULTS, max_daily_count=None, max_daily_amount=None), 1),
        (replace(OFF, max_amount=DEFAULTS.max_amount), 0),
    ],
)
def test_usage_is_read_only_as_far_back_as_it_matters(limits: Limits, window_h: int) -> None:
    assert limits.window_h == window_h


def test_a_currency_that_nobody_knows_is_not_screened() -> None:
    with pytest.raises(UnknownCurrency):
        screen([instruction(currency="XXX")], Past(), DEFAULTS)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("amount_minor", [0, -1])
def test_an_amount_that_is_not_above_zero_is_never_approved(kind: Kind, amount_minor: int) -> None:
    with pytest.raises(AmountImpossible):
        screen([instruction(kind=kind, amount_minor=amount_minor)], Past(), OFF)


def test_what_is_approved_counts_for_those_that_follow() -> None:
    requests = [instruction(amount_minor=MILLION) for _ in range(6)]
    small = instruction(amount_minor=CENT)
    assert fates([*requests, small]) == [APPROVED] * 5 + [BLOCKED, BLOCKED]
    assert fates([instruction() for _ in range(51)]) == [APPROVED] * 50 + [BLOCKED]


def test_what_is_blocked_counts_for_nobody() -> None:
    too_much = instruction(amount_minor=MILLION + CENT)
    rest = [instruction(amount_minor=MILLION) for _ in range(5)]
    assert fates([too_much, *rest]) == [BLOCKED] + [APPROVED] * 5
    limits = limited(max_hourly_count="1")
    assert fates([too_much, instruction(), instruction()], limits=limits) == [BLOCKED, APPROVED, BLOCKED]


def test_users_are_counted_apart() -> None:
    limits = limited(max_hourly_count="1")
    requests = [instruction(owner_id=owner) for owner in (ALICE, BOB, ALICE, BOB)]
    assert fates(requests, limits=limits) == [APPROVED, APPROVED, BLOCKED, BLOCKED]


def test_an_operator_spends_an_owners_limit_with_a_transfer() -> None:
    limits = limited(max_hourly_count="1")
    requests = [instruction(caller_id=BOB, owner_id=ALICE), instruction(caller_id=ALICE, owner_id=ALICE)]
    assert fates(requests, limits=limits) == [APPROVED, BLOCKED]


def test_currencies_are_never_added_but_counts_count_them_all() -> None:
    dollars = [instruction(amount_minor=MILLION) for _ in range(5)]
    euros = [instruction(amount_minor=MILLION, currency="EUR") for _ in range(5)]
    assert fates([*dollars, *euros]) == [APPROVED] * 10
    assert fates([*dollars, *euros], limits=limited(max_hourly_count="9")) == [APPROVED] * 9 + [BLOCKED]


@pytest.mark.parametrize("kind", [Kind.DEPOSIT, Kind.WITHDRAWAL])
def test_an_operators_deposits_and_withdrawals_meet_no_limit_and_fill_none(kind: Kind) -> None:
    past = Past(windows={ALICE: Window(hour_count=49, day_count=49)})
    requests = [instruction(kind=kind, amount_minor=10**17), instruction(), instruction()]
    assert fates(requests, past) == [APPROVED, APPROVED, BLOCKED]


def test_the_past_is_read_and_not_changed() -> None:
    past = Past(windows={ALICE: Window(hour_count=49, day_count=49, day_minor={"USD": 7})})
    assert fates([instruction(), instruction()], past) == [APPROVED, BLOCKED]
    assert past == Past(windows={ALICE: Window(hour_count=49, day_count=49, day_minor={"USD": 7})})


def test_a_transfer_twice_in_one_batch_is_decided_once() -> None:
    first = instruction(amount_minor=MILLION)
    again = [instruction(transfer_id=first.transfer_id, amount_minor=MILLION) for _ in range(9)]
    others = [instruction(amount_minor=MILLION) for _ in range(5)]
    assert fates([first, *again, *others]) == [APPROVED] + [REPEATED] * 9 + [APPROVED] * 4 + [BLOCKED]


def test_a_transfer_that_was_decided_before_keeps_its_verdict_whatever_the_window_says() -> None:
    first = instruction()
    past = Past(requests={first.transfer_id: first}, windows={ALICE: Window(hour_count=50, day_count=50)})
    assert fates([first, instruction()], past) == [REPEATED, BLOCKED]


def test_another_payload_between_two_of_the_first_is_the_only_conflict() -> None:
    first = instruction()
    other = instruction(transfer_id=first.transfer_id, fingerprint="v1:other", amount_minor=9, currency="EUR")
    in_one = screen([first, other, first], Past(), DEFAULTS)
    assert in_one == [
        Outcome(APPROVED),
        Outcome(CONFLICT, differing_fields=("from_account_id", "to_account_id", "amount", "currency")),
        Outcome(REPEATED),
    ]
    later = Past(requests={first.transfer_id: first})
    assert fates([other, first, other], later) == [CONFLICT, REPEATED, CONFLICT]


def test_a_conflict_counts_for_nobody() -> None:
    first = instruction(amount_minor=MILLION)
    other = instruction(transfer_id=first.transfer_id, fingerprint="v1:other", amount_minor=4 * MILLION)
    rest = [instruction(amount_minor=MILLION) for _ in range(4)]
    assert fates([first, other, *rest]) == [APPROVED, CONFLICT] + [APPROVED] * 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("fingerprint",)),
        ({"owner_id": BOB}, ("fingerprint",)),
        ({"kind": Kind.DEPOSIT}, ("kind",)),
        ({"from_account_id": UUID(int=1)}, ("from_account_id",)),
        ({"to_account_id": UUID(int=1)}, ("to_account_id",)),
        ({"amount_minor": 1}, ("amount",)),
        ({"currency": "EUR"}, ("currency",)),
        ({"description": "rent"}, ("description",)),
        ({"metadata": msgspec.Raw(b'{"a":2}')}, ("metadata",)),
        ({"metadata": None}, ("metadata",)),
        ({"metadata": msgspec.Raw(b'{"a":1}')}, ("fingerprint",)),
        ({"amount_minor": 1, "kind": Kind.WITHDRAWAL}, ("kind", "amount")),
    ],
)
def test_a_conflict_names_the_fields_that_differ(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    first = instruction(metadata=msgspec.Raw(b'{"a":1}'))
    assert differing_fields(first, msgspec.structs.replace(first, **changes)) == expected


def placed(batch_id: UUID, fingerprint: str, count: int = 3, **changes: Any) -> list[Instruction]:
    """The items of one batch call."""
    return [
        instruction(batch=BatchPlace(batch_id=batch_id, fingerprint=fingerprint, index=index, count=count), **changes)
        for index in range(count)
    ]


def test_a_batch_under_a_used_key_is_refused_whole_however_little_differs() -> None:
    first = placed(batch_id := uuid4(), "v1:first")
    changed = msgspec.structs.replace(first[1], amount_minor=1, fingerprint="v1:changed")
    place = BatchPlace(batch_id=batch_id, fingerprint="v1:other", index=0, count=3)
    other = [msgspec.structs.replace(item, batch=place) for item in (first[0], changed, instruction())]
    refused = [
        Outcome(CONFLICT, differing_fields=("batch",)),
        Outcome(CONFLICT, differing_fields=("amount",)),
        Outcome(CONFLICT, differing_fields=("batch",)),
    ]
    in_one = screen([*first, *other, *first], Past(), DEFAULTS)
    assert in_one == [Outcome(APPROVED)] * 3 + refused + [Outcome(REPEATED)] * 3
    past = Past(requests={item.transfer_id: item for item in first}, batches={batch_id: "v1:first"})
    assert screen(other, past, DEFAULTS) == refused
    # Even where the decisions themselves are not known here.
    assert fates(other, Past(batches={batch_id: "v1:first"})) == [CONFLICT] * 3


def test_a_batch_that_comes_again_or_in_two_parts_is_no_conflict() -> None:
    items = placed(batch_id := uuid4(), "v1:first")
    past = Past(requests={items[0].transfer_id: items[0]}, batches={batch_id: "v1:first"})
    assert fates(items, past) == [REPEATED, APPROVED, APPROVED]


@pytest.mark.parametrize(
    ("text", "usd", "jpy", "bhd", "canonical"),
    [
        ("1000000", 100_000_000, 1_000_000, 1_000_000_000, "1000000"),
        (" 1000000.00 ", 100_000_000, 1_000_000, 1_000_000_000, "1000000"),
        ("USD=1000000,JPY=100000000", 100_000_000, 100_000_000, 7_000, "7,JPY=100000000,USD=1000000"),
        (" JPY=100000000 , USD=1000000.50 ", 100_000_050, 100_000_000, 7_000, "7,JPY=100000000,USD=1000000.5"),
        ("500,JPY=9", 50_000, 9, 500_000, "500,JPY=9"),
        # No yen are worth 0.5: a maximum may not grow by rounding.
        ("99.5", 9_950, 99, 99_500, "99.5"),
        ("0.001", 0, 0, 1, "0.001"),
        ("999999999999999999", 10**20 - 100, 10**18 - 1, 10**21 - 1000, "999999999999999999"),
    ],
)
def test_an_amount_limit_is_read_for_every_currency(text: str, usd: int, jpy: int, bhd: int, canonical: str) -> None:
    limit = parse_amount_limit(text, default="7")
    assert limit is not None
    assert (limit.of("USD"), limit.of("JPY"), limit.of("BHD"), str(limit)) == (usd, jpy, bhd, canonical)


def test_a_minimum_is_the_smallest_amount_that_reaches_it() -> None:
    limit = parse_amount_limit("0.015", default="0.01", is_minimum=True)
    assert limit is not None
    assert (limit.of("USD"), limit.of("JPY"), limit.of("BHD")) == (2, 1, 15)


@pytest.mark.parametrize("text", ["off", " OFF "])
def test_off_is_no_limit(text: str) -> None:
    assert parse_amount_limit(text, default="1") is None
    assert parse_count_limit(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0.00", "-1", "+1", "1e6", "NaN", "Infinity", "none", "1_000", "1,500", "1 000", "0x10", "٣"),
        *("USD", "USD=", "=5", "usd=5", "XXX=5", "USD=off", "USD=5,USD=6", "USD=5,,", "5,6", "1" * 19, "1.0000000"),
    ],
)
def test_what_is_no_amount_limit_is_refused(text: str) -> None:
    with pytest.raises(LimitInvalid):
        parse_amount_limit(text, default="7")


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1e2", "ten", "1" * 10, "USD=5", "٣"])
def test_what_is_no_count_limit_is_refused(text: str) -> None:
    with pytest.raises(LimitInvalid):
        parse_count_limit(text)


@pytest.mark.parametrize(
    "name", ["MAX_AMOUNT", "MAX_DAILY_AMOUNT", "MAX_HOURLY_COUNT", "MAX_DAILY_COUNT", "MIN_AMOUNT"]
)
def test_a_wrong_limit_stops_the_start_in_one_line_that_names_it(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({**ENVIRONMENT, f"REMIT_FRAUD_{name}": "lots"})
    assert f"REMIT_FRAUD_{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_version_follows_the_content_of_the_limits() -> None:
    same = limited(max_amount="1000000.00", min_amount="0.010", max_hourly_count="050")
    assert same.version == DEFAULTS.version == settings_from(ENVIRONMENT).limits.version
    other = [limited(**{name: text}) for name in DEFAULTS.texts for text in ("off", "49")]
    other += [limited(max_amount="JPY=9"), limited(max_amount="JPY=90"), limited(max_daily_amount="JPY=9"), OFF]
    assert len({limits.version for limits in (*other, DEFAULTS)}) == len(other) + 1


TIGHT = limited(min_amount="0.02", max_amount="1", max_daily_amount="2.5", max_hourly_count="4", max_daily_count="6")
SMALL = st.builds(
    lambda owner, currency, amount_minor, kind: instruction(
        owner_id=owner, currency=currency, amount_minor=amount_minor, kind=kind
    ),
    st.sampled_from([ALICE, BOB]),
    st.sampled_from(["USD", "EUR"]),
    st.integers(1, 120),
    st.sampled_from([Kind.TRANSFER, Kind.TRANSFER, Kind.TRANSFER, Kind.DEPOSIT]),
)


def after(past: Past, requests: list[Instruction], outcomes: list[Outcome]) -> Past:
    """What the tables would say after this batch, told without the domain's own bookkeeping."""
    windows = {user: window.copy() for user, window in past.windows.items()}
    for request, outcome in zip(requests, outcomes, strict=True):
        if outcome.fate is APPROVED and request.kind is Kind.TRANSFER:
            window = windows.setdefault(request.owner_id, Window())
            window.hour_count, window.day_count = window.hour_count + 1, window.day_count + 1
            held = window.day_minor.get(request.currency, 0)
            window.day_minor[request.currency] = held + request.amount_minor
    decided = {request.transfer_id: request for request in requests}
    return Past(requests={**past.requests, **decided}, windows=windows)


@given(st.lists(SMALL, max_size=40), st.integers(0, 40))
def test_verdicts_do_not_depend_on_where_one_batch_ends(requests: list[Instruction], cut: int) -> None:
    whole = screen(requests, Past(), TIGHT)
    before = screen(requests[:cut], Past(), TIGHT)
    past = after(Past(), requests[:cut], before)
    assert whole == before + screen(requests[cut:], past, TIGHT)
    assert fates(requests, after(past, requests, whole), TIGHT) == [REPEATED] * len(requests)


@given(st.lists(SMALL, max_size=40))
def test_no_order_of_requests_gets_more_approved_than_the_limits_allow(requests: list[Instruction]) -> None:
    end = after(Past(), requests, screen(requests, Past(), TIGHT))
    for window in end.windows.values():
        assert window.hour_count <= 4
        assert window.day_count <= 6
        assert all(held <= 250 for held in window.day_minor.values())
