"""The messages as others see them: schemas, envelopes, topology."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import msgspec
import pytest
import yaml

from remit.commands.definitions import broker_definitions
from shared.contracts import asyncapi, paper, topology
from shared.contracts.envelope import (
    MESSAGES,
    Unreadable,
    decode_item,
    encode_item,
    open_header,
    read_each,
    read_items,
    seal,
)
from shared.contracts.export import FOLDER, schemas
from shared.settings import role_of
from tests.support.builders import account_command, dead_letter_command, requested, screened, settled

SAMPLES = (requested(metadata=msgspec.Raw(b'{"a":1}')), screened(), settled(), account_command(), dead_letter_command())


def test_a_service_whose_address_carries_a_password_gets_that_one_and_the_others_the_derived() -> None:
    """`remit migrate` and the file that the broker boots from make the users that the services' addresses name."""
    given = {"REMIT_AMQP_URL": "amqp://admin:s3cret@broker/", "REMIT_FRAUD_AMQP_URL": "amqp://remit_fraud:own@broker/"}
    found = {user["name"]: user["password_hash"] for user in broker_definitions(given)["users"]}
    derived = {user["name"]: user["password_hash"] for user in topology.definitions("admin", "s3cret")["users"]}
    assert {name for name in derived if found[name] != derived[name]} == {"remit_fraud"}
    salted = base64.b64decode(found["remit_fraud"])
    assert salted[4:] == hashlib.sha256(salted[:4] + b"own").digest()


def test_the_exported_schemas_are_those_of_the_code() -> None:
    """A changed field shows here first. If the change is meant and compatible: `make schemas`."""
    exported = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert exported == dict(schemas())


def test_the_asyncapi_document_is_that_of_the_code() -> None:
    """A new queue or message shows here first. If it is meant: `make contracts`."""
    assert paper.FILE.read_text(encoding="utf-8") == paper.text()


def test_the_asyncapi_file_says_in_yaml_what_the_code_says() -> None:
    assert yaml.safe_load(paper.text()) == asyncapi.document()


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi.document()
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert references
    for reference in references:
        file, _, path = reference.partition("#")
        if file:
            assert (paper.FILE.parent / file).is_file(), reference
            continue
        node = document
        for part in path.strip("/").split("/"):
            node = node[part]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.TYPE)
def test_an_item_survives_the_envelope_unchanged(sample: msgspec.Struct) -> None:
    [back] = read_items(open_header(seal([sample])))  # type: ignore[list-item]
    assert encode_item(back) == encode_item(sample)  # type: ignore[arg-type]
    assert back.event_id == sample.event_id  # type: ignore[attr-defined]


def test_an_unknown_field_is_ignored_so_that_publishers_may_add_one() -> None:
    raw = json.loads(encode_item(settled()))
    raw["added_later"] = 1
    assert decode_item("transfer.settled", json.dumps(raw)).TYPE == "transfer.settled"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'{"type": "transfer.settled"}',
        b"\xff\xfe",
        b"[" * 5_000 + b"]" * 5_000,
        json.dumps({"envelope_id": "x", "type": "t", "version": 1, "sent_at": "2026-01-01T00:00:00Z", "items": []}),
    ],
)
def test_what_is_no_envelope_is_unreadable(body: bytes | str) -> None:
    with pytest.raises(Unreadable):
        open_header(body.encode() if isinstance(body, str) else body)


@pytest.mark.parametrize(("field", "value"), [("type", "transfer.unheard_of"), ("version", 2)])
def test_an_unknown_type_or_version_is_unreadable(field: str, value: object) -> None:
    envelope = json.loads(seal([settled()]))
    envelope[field] = value
    with pytest.raises(Unreadable, match=str(value)):
        open_header(json.dumps(envelope).encode())


def test_one_bad_item_spoils_no_other() -> None:
    envelope = json.loads(seal([settled(), settled()]))
    envelope["items"].insert(1, {"instruction": "nonsense"})
    header = open_header(json.dumps(envelope).encode())
    with pytest.raises(Unreadable):
        read_items(header)
    assert [isinstance(item, Unreadable) for _, item in read_each(header)] == [False, True, False]


def test_every_published_type_is_a_known_message_and_has_a_queue() -> None:
    for types in topology.PUBLISHED.values():
        for message_type in types:
            assert message_type in MESSAGES
            assert topology.queues_of(message_type)


def test_a_decision_on_a_dead_letter_reaches_the_service_it_names_and_no_other() -> None:
    bindings = topology.definitions("admin", "secret")["bindings"]
    for service in topology.CONSUMERS:
        key = topology.routing_key("dead_letter.command", service)
        assert [b["destination"] for b in bindings if b["routing_key"] == key] == [topology.command_queue(service)]
        assert topology.queues_of("dead_letter.command", service) == (topology.command_queue(service),)
    assert not [b for b in bindings if b["routing_key"] == "dead_letter.command"]


def _permission(service: str) -> dict[str, str]:
    permissions = topology.definitions("admin", "secret")["permissions"]
    return next(entry for entry in permissions if entry["user"] == role_of(service))


@pytest.mark.parametrize("service", topology.PUBLISHED)
def test_a_service_writes_to_its_own_exchange_and_reads_its_own_queues_alone(service: str) -> None:
    allowed = _permission(service)
    exchanges = {name for name, types in topology.PUBLISHED.items() if types}
    writes = {name for name in exchanges if re.search(allowed["write"], topology.exchange_name(name))}
    assert writes == ({service} if topology.PUBLISHED[service] else set())
    reads = {queue.consumer for queue in topology.QUEUES if re.search(allowed["read"], queue.name)}
    assert reads == ({service} if service in topology.CONSUMERS else set())


def test_only_transfer_replies_and_only_gateways_make_queues() -> None:
    may_reply = {s for s in topology.PUBLISHED if re.search(_permission(s)["write"], topology.REPLIES_EXCHANGE)}
    assert may_reply == {"transfer"}
    for service in topology.PUBLISHED:
        makes = bool(re.search(_permission(service)["configure"], topology.reply_queue("one")))
        assert makes == (service == "gateway")
        assert not re.search(_permission(service)["configure"], "transfer.screened")


def test_the_definitions_hold_no_password_in_clear_and_are_stable() -> None:
    once, again = topology.definitions("admin", "s3cret"), topology.definitions("admin", "s3cret")
    assert once == again
    assert "s3cret" not in json.dumps(once)
