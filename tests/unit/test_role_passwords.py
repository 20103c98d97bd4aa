"""Which password `remit migrate` gives a role on a server: the one with which its service comes there."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from shared.database.migrations import _password_on
from shared.settings import as_role

_HERE = "postgresql://remit:one@here:5432/remit"
_THERE = "postgresql://remit:two@there/remit"
_APART: Mapping[str, str] = {"REMIT_POSTGRES_URL": _HERE, "REMIT_LEDGER_OWNER_POSTGRES_URL": _THERE}


def _derived(url: str, service: str) -> str:
    return urlsplit(as_role(url, f"remit_{service}")).password or ""


@pytest.mark.parametrize(
    ("more", "server", "schema", "service", "password"),
    [
        ({}, _HERE, "transfer", "transfer", _derived(_HERE, "transfer")),
        ({}, _THERE, "ledger", "ledger", _derived(_THERE, "ledger")),
        ({"REMIT_LEDGER_POSTGRES_URL": "postgresql://r:own@pooler/r"}, _THERE, "ledger", "ledger", "own"),
        # Whoever only reads there comes with the address by which it reads, and is at home with its own.
        (
            {"REMIT_TRANSFER_READS_LEDGER_POSTGRES_URL": "postgresql://r:reads@there/r"},
            _THERE, "transfer", "transfer", "reads",
        ),
        (
            {"REMIT_TRANSFER_READS_LEDGER_POSTGRES_URL": "postgresql://r:reads@there/r"},
            _HERE, "transfer", "transfer", _derived(_HERE, "transfer"),
        ),
        (
            {"REMIT_TRANSFER_POSTGRES_URL": "postgresql://r:own@here/r"},
            _THERE, "transfer", "transfer", _derived(_HERE, "transfer"),
        ),
    ],
    ids=["derived", "derived, its server's", "its own", "there it reads", "here it writes", "it never comes there"],
)  # fmt: skip
def test_the_password_is_the_one_of_the_address_that_leads_there(
    more: Mapping[str, str], server: str, schema: str, service: str, password: str
) -> None:
    assert _password_on({**_APART, **more}, server, schema, service) == password
