"""What `remit doctor` says of Redis: each thing is broken for real, and the sentence about it is read."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import redis

from deploy.local.stack import Stack
from remit.doctor import Level, examine
from tests.support.doctoring import BOUND_S, only_while, told


@contextmanager
def redis_set(url: str, changed: dict[str, str]) -> Iterator[None]:
    client = redis.Redis.from_url(url)
    before: dict[str, str] = {name: str(client.config_get(name)[name]) for name in changed}
    for name, value in changed.items():
        client.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.config_set(name, value)
        client.close()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "Redis evicts when it is full (allkeys-lru)"),
        ({"appendonly": "no"}, "Redis keeps no append-only file"),
        ({"maxmemory": "1100000"}, "soon it refuses every transfer"),
    ],
)
async def test_a_redis_that_may_forget_is_named(servers: Stack, changed: dict[str, str], sentence: str) -> None:
    env = servers.env
    async with only_while(env, sentence):
        with redis_set(env["REMIT_REDIS_URL"], changed):
            assert (await told(env, sentence)).do


async def test_a_redis_that_lets_strangers_in_is_named(servers: Stack) -> None:
    env = servers.env
    client = redis.Redis.from_url(env["REMIT_REDIS_URL"])
    async with only_while(env, "without a password"):
        client.acl_setuser("stranger", enabled=True, nopass=True, commands=["+ping"])
        assert (await told(env, "the user stranger of Redis needs no password")).do
        client.acl_deluser("stranger")
        client.acl_setuser("default", enabled=True, nopass=True)
        try:
            assert "`user default off`" in (await told(env, "answers without a password")).do
        finally:
            own = urlsplit(env["REMIT_REDIS_URL"]).password or ""
            client.acl_setuser("default", enabled=True, reset_passwords=True, passwords=[f"+{own}"])
    client.close()


async def test_a_narrow_user_of_redis_sees_enough(servers: Stack) -> None:
    """The one that deploy/redis/start makes for the gateway is asked, and may not administer."""
    env = servers.env
    password = secrets.token_hex()
    parts = urlsplit(env["REMIT_REDIS_URL"])
    client = redis.Redis.from_url(env["REMIT_REDIS_URL"])
    rules = ["+@all", "-@admin", "-@dangerous", "+info"]
    client.acl_setuser("remit_gateway", enabled=True, passwords=[f"+{password}"], keys=["*"], commands=rules)
    try:
        url = parts._replace(netloc=f"remit_gateway:{password}@{parts.hostname}:{parts.port}").geturl()
        found = (await examine({**env, "REMIT_REDIS_URL": url}, area_timeout_s=BOUND_S))["redis"]
    finally:
        client.acl_deluser("remit_gateway")
        client.close()
    assert {finding.level for finding in found} == {Level.OK}, found
    assert "our user may not administer Redis" in [finding.says for finding in found]
