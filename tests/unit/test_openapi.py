"""The API on paper: the file is what the gateway serves, and what breaks a client is told from what does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.gateway.export import FILE, served
from tests.contracts.differences import differences

Document = dict[str, Any]


def _document() -> Document:
    loaded: Document = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


async def test_the_exported_document_is_the_one_that_is_served() -> None:
    """A changed answer shows here first. If the change is meant: `make contracts`."""
    assert FILE.read_text(encoding="utf-8") == await served()


def test_the_same_document_does_not_differ() -> None:
    assert differences(_document(), _document()) == []


def _changed(change: Callable[[Document], object]) -> tuple[Document, Document]:
    old, new = _document(), copy.deepcopy(_document())
    change(new)
    return old, new


def _schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def _call(document: Document, method: str = "post", path: str = "/api/v1/transfers") -> Document:
    found: Document = document["paths"][path][method]
    return found


_NEW_FIELD = {"type": "string"}
_TOKEN = {"bearer": list[str]()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["paths"].pop("/api/v1/transfers/{transfer_id}"), "GET /api/v1/transfers/{transfer_id}: is gone"),
        (lambda d: _schema(d, "Transfer")["required"].append("description"), "body.description: is required now"),
        (lambda d: _schema(d, "Transfer")["properties"].pop("metadata"), "body.metadata: is gone"),
        (lambda d: _schema(d, "Register")["properties"]["password"].update(minLength=12), "minLength is 12, was 8"),
        (lambda d: _schema(d, "TransferBody")["properties"].pop("settled_at"), "201.settled_at: is gone"),
        (lambda d: _schema(d, "TransferBody")["required"].remove("amount"), "201.amount: may be missing now"),
        (
            lambda d: _schema(d, "AccountBody")["properties"]["balance"].update(type="number"),
            ".balance: can be number now",
        ),
        (lambda d: _call(d)["responses"].pop("202"), "POST /api/v1/transfers 202: is not answered any more"),
        (lambda d: _call(d)["responses"]["201"]["headers"].pop("Location"), "201: has no header Location any more"),
        (
            lambda d: _call(d, "get")["parameters"].append(
                {"name": "why", "in": "query", "required": True, "schema": {"type": "string"}}
            ),
            "GET /api/v1/transfers query why: is taken now",
        ),
        (
            lambda d: _call(d, path="/api/v1/auth/login").update(security=[_TOKEN]),
            "POST /api/v1/auth/login: needs a token now",
        ),
    ],
)
def test_what_breaks_a_client_is_told(change: Callable[[Document], object], says: str) -> None:
    breaking = [str(difference) for difference in differences(*_changed(change)) if difference.breaks]
    assert any(line.endswith(says) for line in breaking), breaking


@pytest.mark.parametrize(
    "change",
    [
        lambda d: _schema(d, "Transfer")["properties"].update(added=_NEW_FIELD),
        lambda d: _schema(d, "TransferBody")["properties"].update(added=_NEW_FIELD),
        lambda d: _schema(d, "Register")["properties"]["password"].update(minLength=4),
        lambda d: d["paths"].update({"/api/v1/more": {"get": {"responses": {}}}}),
        lambda d: _call(d)["responses"].update({"418": {"description": "a teapot"}}),
        lambda d: _call(d, "get")["parameters"].append({"name": "why", "in": "query", "schema": {"type": "string"}}),
    ],
)
def test_what_only_adds_breaks_nobody(change: Callable[[Document], object]) -> None:
    found = differences(*_changed(change))
    assert found
    assert not [str(difference) for difference in found if difference.breaks]


def test_texts_and_examples_are_no_contract() -> None:
    def reworded(document: Document) -> None:
        _call(document).update(summary="Otherwise", description="said")
        document["info"]["description"] = "another"

    assert differences(*_changed(reworded)) == []
