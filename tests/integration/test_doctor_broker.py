"""What `remit doctor` says of RabbitMQ: each thing is broken for real, and the sentence about it is read."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.local.stack import Stack
from remit.commands.definitions import broker_definitions
from shared.settings import Environment
from tests.support.doctoring import only_while, told


def management(environment: Environment, method: str, path: str, body: object = None) -> None:
    url = environment["REMIT_AMQP_MANAGEMENT_URL"]
    httpx.request(method, f"{url}/api{path}", json=body, trust_env=False, timeout=10).raise_for_status()


_BINDING = "/bindings/%2F/e/remit.transfer/q/ledger.settled/transfer.settled"


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("DELETE", "/queues/%2F/ledger.settled", None, "the queue ledger.settled does not exist"),
        ("DELETE", "/exchanges/%2F/remit.fraud", None, "the exchange remit.fraud does not exist"),
        ("DELETE", _BINDING, None, "the queue ledger.settled is not bound to remit.transfer by transfer.settled"),
        ("DELETE", "/users/remit_audit", None, "the broker knows no user remit_audit"),
        ("DELETE", "/permissions/%2F/remit_fraud", None, "the broker's user remit_fraud has no permissions in /"),
        (
            "PUT",
            "/permissions/%2F/remit_ledger",
            {"configure": ".*", "write": "^$", "read": r"^(ledger\.settled)$"},
            "the broker's user remit_ledger may configure '.*' instead of '^$'",
        ),
        (
            "PUT",
            "/users/remit_fraud",
            {"password": "somebody else's choice", "tags": ""},
            "the password of the broker's user remit_fraud is not the one that its address carries",
        ),
    ],
)
async def test_whatever_the_broker_lacks_is_named_and_its_definitions_bring_it_back(
    servers: Stack, method: str, path: str, body: object, sentence: str
) -> None:
    env = servers.env
    async with only_while(env, sentence):
        management(env, method, path, body)
        assert "remit migrate" in (await told(env, sentence)).do
        management(env, "POST", "/definitions", broker_definitions(env))


async def test_a_queue_made_by_hand_is_told_from_ours(servers: Stack) -> None:
    """A classic queue of the same name would lose on one node's disk what three should hold."""
    env = servers.env
    sentence = "the queue ledger.settled has "
    async with only_while(env, sentence):
        management(env, "DELETE", "/queues/%2F/ledger.settled")
        management(env, "PUT", "/queues/%2F/ledger.settled", {"durable": True, "arguments": {}})
        assert "x-queue-type None instead of quorum" in (await told(env, sentence)).says
        management(env, "DELETE", "/queues/%2F/ledger.settled")
        management(env, "POST", "/definitions", broker_definitions(env))


@pytest.mark.parametrize("kind", ["policies", "operator-policies"])
async def test_a_policy_that_drops_messages_is_named(servers: Stack, kind: str) -> None:
    env = servers.env
    sentence = "the policy tidy is over audit.events"
    async with only_while(env, sentence):
        body = {"pattern": "^audit\\.events$", "definition": {"message-ttl": 1000}, "apply-to": "queues"}
        management(env, "PUT", f"/{kind}/%2F/tidy", body)
        try:
            assert "message-ttl" in (await told(env, sentence)).says
        finally:
            management(env, "DELETE", f"/{kind}/%2F/tidy")


async def test_a_guest_is_named(servers: Stack) -> None:
    env = servers.env
    async with only_while(env, "a user guest"):
        management(env, "PUT", "/users/guest", {"password": secrets.token_hex(), "tags": ""})
        assert "delete_user guest" in (await told(env, "a user guest")).do
        management(env, "DELETE", "/users/guest")


async def test_a_password_set_by_hand_to_the_right_one_is_right(servers: Stack) -> None:
    """The broker then keeps it with a salt of its own."""
    env = servers.env
    password = urlsplit(servers.service_settings("audit")["REMIT_AUDIT_AMQP_URL"]).password
    async with only_while(env, "remit_audit is not the one"):
        management(env, "PUT", "/users/remit_audit", {"password": password, "tags": ""})
