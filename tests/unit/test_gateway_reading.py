"""Bodies are read strictly: what two readers could read differently is not read at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from services.gateway.domain import requests
from services.gateway.errors import MalformedJson
from services.gateway.http.reading import Reader

_ITEM: dict[str, Any] = {
    "from_account_id": "6b1f7a52-3c0e-5d8b-9a44-0d5a1c2f7e90",
    "to_account_id": "6b1f7a52-3c0e-5d8b-9a44-0d5a1c2f7e91",
    "amount": "1.00",
    "currency": "USD",
}
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "description": st.none() | st.text(alphabet=':",ab', max_size=9),
        "metadata": st.dictionaries(st.sampled_from(["a", "b:"]), st.text(alphabet=":a", max_size=3), max_size=2),
    },
)


async def _read(raw: str, body_type: type[Any]) -> Any:
    async def receive() -> Message:
        return {"type": "http.request", "body": raw.encode(), "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    return await Reader().body(Request(scope, receive), body_type)


def _text(members: list[tuple[str, Any]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}"


@given(_OPTIONS, st.data())
async def test_a_name_that_stands_twice_is_refused_wherever_and_whatever_it_says(
    options: dict[str, Any], data: st.DataObject
) -> None:
    """Also with the same value, with null, and where other members are left out."""
    members = list({**_ITEM, **options}.items())
    name, value = data.draw(st.sampled_from(members))
    said = data.draw(st.sampled_from([value, None])) if name == "description" else value
    again = [*members, (name, said)]
    for raw, body_type in (
        (_text(again), requests.Transfer),
        (f'{{"transfers":[{_text(members)},{_text(again)}]}}', requests.TransferBatch),
    ):
        with pytest.raises(MalformedJson):
            await _read(raw, body_type)


@given(_OPTIONS)
async def test_what_stands_once_is_read(options: dict[str, Any]) -> None:
    """Colons in texts and in metadata are no members."""
    raw = _text(list({**_ITEM, **options}.items()))
    one = await _read(raw, requests.Transfer)
    many = await _read(f'{{"transfers":[{raw},{raw}]}}', requests.TransferBatch)
    assert one.description == options.get("description")
    assert many.transfers == [one, one]
