"""Which column of a file holds what, so that files of other systems can be replayed as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from remit.errors import EXIT_USAGE, CommandError


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """The name of each column. Those of accounts first, then those of transfers; an empty name means: not there.

    `currency` is read from both files where they have such a column; elsewhere one currency is given for all.
    """

    id: str
    from_: str
    to: str
    amount: str
    balance: str = ""
    name: str = ""
    owner: str = ""
    currency: str = ""
    reference: str = ""
    time: str = ""


REMIT = ColumnMap(
    id="id",
    balance="opening_balance",
    name="name",
    owner="owner",
    from_="from",
    to="to",
    amount="amount",
    currency="currency",
    reference="reference",
    time="time",
)
# IBM's AMLSim: https://github.com/IBM/AMLSim, the sample files nodes.csv and transactions.csv.
AMLSIM = ColumnMap(
    id="nodeid",
    balance="init_balance",
    from_="sourceNodeId",
    to="targetNodeId",
    amount="value",
    time="time",
)
PRESETS: Mapping[str, ColumnMap] = {"remit": REMIT, "amlsim": AMLSIM}
# `from` is a word of the language, not of the file.
_FIELDS = {field.name.rstrip("_"): field.name for field in fields(ColumnMap)}
_REQUIRED = ("id", "from", "to", "amount")


def parse_map(text: str) -> ColumnMap:
    """A preset's name, a JSON object, or `key=column,key=column`.

    Raises:
        CommandError: neither, an unknown key, or a key that is required and missing.
    """
    if text in PRESETS:
        return PRESETS[text]
    given = _from_json(text) if text.lstrip().startswith("{") else _from_pairs(text)
    if unknown := sorted(set(given) - set(_FIELDS)):
        raise _wrong(f"unknown key {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    if missing := [key for key in _REQUIRED if not given.get(key)]:
        raise _wrong(f"{missing[0]!r} is missing")
    return ColumnMap(**{_FIELDS[key]: column for key, column in given.items()})


def _from_json(text: str) -> dict[str, str]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"not JSON: {error}") from None
    if not isinstance(given, dict) or not all(isinstance(column, str) for column in given.values()):
        raise _wrong("the JSON must be an object of strings")
    return given


def _from_pairs(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not pairs or not all(sign for _, sign, _ in pairs):
        raise _wrong(f"{text!r} is neither a preset ({', '.join(PRESETS)}) nor key=column,…")
    return {key.strip(): column.strip() for key, _, column in pairs}


def _wrong(detail: str) -> CommandError:
    return CommandError(f"--map: {detail}", EXIT_USAGE)
