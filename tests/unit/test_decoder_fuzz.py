"""From the broker may come anything: it is read, or it is `Unreadable`; no other error, and never for long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.base import Message
from shared.contracts.envelope import (
    ITEMS_MAX,
    MESSAGES,
    Unreadable,
    decode_item,
    encode_item,
    open_header,
    read_each,
    read_items,
    seal,
)
from tests.support.builders import account_command, dead_letter_command, requested, screened, settled

_SAMPLES: tuple[Message, ...] = (
    requested(metadata=msgspec.Raw(b'{"a":[1,{"b":null}]}')),
    screened(),
    settled(),
    account_command(),
    dead_letter_command(),
)
_SEALED = [seal([sample] * 3) for sample in _SAMPLES]
# Every process that consumes does this with a body before anything else; a megabyte may take a second at most,
# of this thread's own: what others do on the machine meanwhile is not the decoder's.
_READ_S_MAX = 1.0
_quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _read(body: bytes) -> list[Message]:
    """All that a consumer reads of a body, which takes its bounded time."""
    begun = time.thread_time()
    try:
        header = open_header(body)
        each = [found for _, found in read_each(header)]
        try:
            whole = read_items(header)
        except Unreadable:
            # Then one item at least says so itself.
            assert any(isinstance(found, Unreadable) for found in each)
        else:
            assert whole == each
        return [found for found in each if isinstance(found, Message)]
    except Unreadable:
        return []
    finally:
        assert time.thread_time() - begun < _READ_S_MAX


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["", "0" * 36, "9" * 400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@_quick
@given(st.binary(max_size=2_000))
def test_any_bytes(body: bytes) -> None:
    assert _read(body) == []


@_quick
@given(_json)
def test_any_json(value: Any) -> None:
    assert _read(json.dumps(value).encode("utf-8", "surrogatepass")) == []


@_quick
@given(st.sampled_from(_SEALED), st.data())
def test_some_bytes_changed_removed_or_put_in(sealed: bytes, data: st.DataObject) -> None:
    body = bytearray(sealed)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(body) - 1))
        cut = data.draw(st.integers(0, 3))
        body[at : at + cut] = data.draw(st.binary(max_size=3))
        if not body:
            break
    _read(bytes(body))


@_quick
@given(st.sampled_from(_SEALED), st.data())
def test_cut_short(sealed: bytes, data: st.DataObject) -> None:
    assert _read(sealed[: data.draw(st.integers(0, len(sealed) - 1))]) == []


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        found += _places(part, (*place, name))
    return found


@_quick
@given(st.sampled_from(_SEALED), st.data(), _json)
def test_a_value_of_another_type_anywhere(sealed: bytes, data: st.DataObject, other: Any) -> None:
    document = json.loads(sealed)
    place = data.draw(st.sampled_from(_places(document)))
    holder = document
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = other
    _read(json.dumps(document).encode("utf-8", "surrogatepass"))


@_quick
@given(st.sampled_from(_SAMPLES), st.text() | st.sampled_from(sorted(MESSAGES)), st.integers() | st.booleans())
def test_under_another_type_or_version(sample: Message, message_type: str, version: int) -> None:
    document = json.loads(seal([sample]))
    body = json.dumps({**document, "type": message_type, "version": version}).encode("utf-8", "surrogatepass")
    read = _read(body)
    if message_type != sample.TYPE or version is not sample.VERSION:
        assert all(type(item) is MESSAGES.get(message_type) for item in read)


@_quick
@given(st.text(), st.binary(max_size=500) | st.text())
def test_one_item_of_any_kind(message_type: str, raw: bytes | str) -> None:
    for kind in (message_type, *MESSAGES):
        with pytest.raises(Unreadable):
            decode_item(kind, raw)


_DEEP = 100_000
_header_of = json.loads(seal([settled()]))


def _enveloped(items: bytes) -> bytes:
    header = {name: value for name, value in _header_of.items() if name != "items"}
    return json.dumps(header).encode()[:-1] + b',"items":' + items + b"}"


_item = encode_item(requested())
_HUGE: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b"[" * _DEEP,
    "objects": lambda: b'{"items":' * _DEEP,
    "brackets as items": lambda: _enveloped(b"[" * _DEEP + b"]" * _DEEP),
    "objects as items": lambda: _enveloped(b"[" + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b"]"),
    "a deep value in an unknown field": lambda: _enveloped(b'[{"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}]"),
    "many empty items": lambda: _enveloped(b"[" + b"{}," * 300_000 + b"{}]"),
    "many nulls": lambda: _enveloped(b"[" + b"null," * 200_000 + b"null]"),
    "a long number": lambda: _enveloped(b"[" + b"9" * 1_000_000 + b"]"),
    "a number without an end": lambda: _enveloped(b'[{"amount_minor":1e' + b"9" * 1_000_000 + b"}]"),
    "a long string": lambda: _enveloped(b'["' + b"\\u0000" * 150_000 + b'"]'),
    "half a surrogate pair": lambda: _enveloped(b'["\\ud800"]'),
    "no UTF-8": lambda: _enveloped(b'["\xff\xfe"]'),
    "a deep value as metadata": lambda: _enveloped(
        b"[" + _item[:-2] + b',"metadata":' + b"[" * _DEEP + b"]" * _DEEP + b"}}]"
    ),
    "an amount beyond any column": lambda: _enveloped(
        b"[" + _item.replace(b'"amount_minor":1000', b'"amount_minor":' + b"9" * 400) + b"]"
    ),
}


@pytest.mark.parametrize("made", _HUGE.values(), ids=_HUGE)
def test_what_is_deep_long_or_many_takes_its_bounded_time(made: Callable[[], bytes]) -> None:
    _read(made())


def test_an_envelope_of_more_items_than_anybody_publishes_is_one_dead_letter_and_not_many() -> None:
    body = _enveloped(b"[" + b",".join([encode_item(settled())] * (ITEMS_MAX + 1)) + b"]")
    [(raw, found)] = read_each(open_header(body))
    assert isinstance(found, Unreadable)
    assert len(raw) > ITEMS_MAX
    with pytest.raises(Unreadable):
        read_items(open_header(body))
