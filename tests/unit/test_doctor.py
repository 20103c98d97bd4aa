"""What `remit doctor` decides without a server: settings, weak secrets, clocks, and what it does not tell."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence

import pytest

from remit import doctor
from remit.doctor import broker, clocks, postgres, redis, settings
from remit.doctor.findings import Finding, Level
from remit.doctor.secrecy import secrets_in, weakness, without

_STRONG = "5f0c1ab2d94e7863aa10b2c3"
_WHOLE = {
    "REMIT_POSTGRES_URL": f"postgresql://remit:{_STRONG}1@db/remit",
    "REMIT_REDIS_URL": f"redis://default:{_STRONG}2@cache/0",
    "REMIT_AMQP_URL": f"amqp://remit:{_STRONG}3@broker/",
    "REMIT_AMQP_MANAGEMENT_URL": "http://broker:15672",
}


async def _wrongs(**changes: str | None) -> list[str]:
    environment = {name: value for name, value in {**_WHOLE, **changes}.items() if value is not None}
    return [finding.says for finding in await settings.examine(environment) if finding.level is Level.WRONG]


async def test_settings_in_order_are_said_to_be() -> None:
    assert await _wrongs() == []
    [finding] = await settings.examine(_WHOLE)
    assert (finding.level, finding.do) == (Level.OK, "")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"REMIT_REDIS_URL": None}, "REMIT_REDIS_URL is not set, so Redis cannot be looked at"),
        ({"REMIT_POSTGRES_URL": None}, "the schema ledger cannot be looked at"),
        ({"REMIT_AMQP_URL": None}, "ledger would not start: neither REMIT_LEDGER_AMQP_URL nor REMIT_AMQP_URL is set"),
        ({"REMIT_FRAUD_MAX_AMOUNT": "plenty"}, "fraud would not start: REMIT_FRAUD_MAX_AMOUNT"),
        ({"REMIT_TRACES_SAMPLE": "2"}, "no service would start: REMIT_TRACES_SAMPLE"),
        ({"REMIT_POSTGRES_URL": "postgresql://remit:a/b@db:x/remit"}, "REMIT_POSTGRES_URL is no address"),
        ({"REMIT_REDIS_URL": "redis://default:changeme123@cache/0"}, "REMIT_REDIS_URL is one that everybody tries"),
        ({"REMIT_REDIS_URL": "redis://default:9c1f@cache/0"}, "REMIT_REDIS_URL has fewer than 16 characters"),
        ({"REMIT_AMQP_URL": "amqp://remit:remit@broker/"}, "REMIT_AMQP_URL is the name of its user"),
        (
            {"REMIT_GATEWAY_JWT_SECRET": "ab" * 16},
            "REMIT_GATEWAY_JWT_SECRET is made of fewer than 8 different characters",
        ),
        ({"REMIT_GATEWAY_ADMIN_PASSWORD": "secret99"}, "REMIT_GATEWAY_ADMIN_PASSWORD is one that everybody tries"),
        (
            {"REMIT_REDIS_URL": f"redis://default:{_STRONG}3@cache/0"},
            "REMIT_AMQP_URL, REMIT_REDIS_URL share one secret",
        ),
        (
            {"REMIT_LEDGER_POSTGRES_URL": f"postgresql://remit:{_STRONG}1@db/remit"},
            "REMIT_LEDGER_POSTGRES_URL names the user 'remit', but ledger's own is 'remit_ledger'",
        ),
        (
            {"REMIT_FRAUD_READS_TRANSFER_POSTGRES_URL": f"postgresql://remit_transfer:{_STRONG}4@db/remit"},
            "names the user 'remit_transfer', but fraud's own is 'remit_fraud'",
        ),
        (
            {"REMIT_AUDIT_AMQP_URL": f"amqp://remit_audit:{_STRONG}4@broker/other"},
            "the brokers' addresses name 2 virtual hosts",
        ),
    ],
)
async def test_what_is_wrong_with_the_settings_is_said_without_their_secrets(
    changes: Mapping[str, str | None], sentence: str
) -> None:
    found = await _wrongs(**changes)
    assert any(sentence in says for says in found), found
    assert not any(value in says for says in found for value in changes.values() if value)


async def test_one_virtual_host_may_be_written_in_several_ways() -> None:
    assert await _wrongs(REMIT_AUDIT_AMQP_URL=f"amqp://remit_audit:{_STRONG}4@broker/%2F") == []


async def test_limits_that_are_off_may_be_meant_so() -> None:
    environment = {**_WHOLE, "REMIT_GATEWAY_IP_RATE_LIMIT": "off", "REMIT_FRAUD_MAX_DAILY_COUNT": "off"}
    notes = [finding.says for finding in await settings.examine(environment) if finding.level is Level.NOTE]
    assert len(notes) == 2
    assert notes[1].endswith("REMIT_FRAUD_MAX_DAILY_COUNT")


@pytest.mark.parametrize("secret", [_STRONG, "correct-horse-battery", "x7" + _STRONG])
def test_a_long_secret_of_many_characters_is_no_weak_one(secret: str) -> None:
    assert weakness(secret, "remit", least=16) == ""


def test_whatever_a_driver_repeats_of_an_address_is_hidden() -> None:
    hidden = without(f"cannot parse {_WHOLE['REMIT_REDIS_URL']}, password {_STRONG}1", secrets_in(_WHOLE))
    assert _STRONG not in hidden


@pytest.mark.parametrize(
    ("clock_s", "level", "words"),
    [
        (1000.2, Level.OK, "agrees with this one to 200 ms"),
        (1003.0, Level.NOTE, "3.0 s ahead of this one"),
        (970.0, Level.WRONG, "30.0 s behind this one"),
    ],
)
def test_clocks_may_differ_by_little(clock_s: float, level: Level, words: str) -> None:
    [finding] = clocks.compared("PostgreSQL", clock_s, 1000.0)
    assert (finding.level, words in finding.says) == (level, True)


async def test_an_area_that_takes_for_ever_is_given_up_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(_: Mapping[str, str]) -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(doctor, "AREAS", {"slow": for_ever, "settings": settings.examine})
    async with asyncio.timeout(5):
        found = await doctor.examine(_WHOLE, area_timeout_s=0.05)
    assert [finding.says for finding in found["slow"]] == ["this could not be looked at within 0.05 s"]
    assert found["settings"][0].level is Level.OK


async def test_no_area_tells_a_secret_whatever_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blunt(environment: Mapping[str, str]) -> Sequence[Finding]:
        address = environment["REMIT_POSTGRES_URL"]
        return [Finding(level=Level.WRONG, says=f"cannot read {address}", do=f"psql {address}")]

    monkeypatch.setattr(doctor, "AREAS", {"blunt": blunt})
    [finding] = (await doctor.examine(_WHOLE, area_timeout_s=5))["blunt"]
    assert (finding.says, finding.do) == ("cannot read ***", "psql ***")


async def test_an_area_that_breaks_is_told_and_the_others_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Mapping[str, str]) -> Sequence[Finding]:
        raise KeyError("running")

    monkeypatch.setattr(doctor, "AREAS", {"broken": broken, "settings": settings.examine})
    found = await doctor.examine(_WHOLE, area_timeout_s=5)
    assert [finding.level for finding in found["broken"]] == [Level.WRONG]
    assert found["settings"][0].level is Level.OK


async def test_a_server_that_is_away_is_said_once_however_it_fails_each_who_asks() -> None:
    """A port in whose place something answers strangely, or that ends while it is asked, is one thing to mend."""
    greetings = itertools.cycle((b"", b"X"))

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(greetings))
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        place = f"{_STRONG}@127.0.0.1:{port}/remit"
        names = ("", "FRAUD_", "TRANSFER_", "LEDGER_", "AUDIT_")
        found = await postgres.examine({f"REMIT_{name}POSTGRES_URL": f"postgresql://r{name}:{place}" for name in names})
    assert [finding.says.partition(": ")[0] for finding in found] == [
        f"PostgreSQL at 127.0.0.1:{port} does not answer",
    ]


@pytest.mark.parametrize("wrong", ["nonsense", "amqp://u:s3cret@h:abc/0", "redis://u:s3cret@h:abc/0"])
async def test_a_wrong_address_is_told_with_the_settings_and_nobody_is_asked_there(wrong: str) -> None:
    assert await broker.examine({**_WHOLE, "REMIT_AMQP_URL": wrong}) == []
    assert await redis.examine({"REMIT_REDIS_URL": wrong}) == []


@pytest.mark.parametrize(
    ("wal_gb", "pages_gb", "share"), [(101, 110, "up to 100%"), (10, 6, "up to 60%"), (26.4, 6.5, ""), (3, 3, "")]
)
def test_wal_that_is_mostly_whole_pages_is_noted(wal_gb: float, pages_gb: float, share: str) -> None:
    """Checkpoints come too often for what is written; little that was written says nothing yet."""
    about = {"wal_bytes": wal_gb * 1e9, "whole_pages_bytes": pages_gb * 1e9}
    found = list(postgres.whole_pages("db", {**about, "max_wal_size": "1GB", "checkpoint_timeout": "5min"}))
    assert len(found) == bool(share)
    if found:
        assert (found[0].level, found[0].says[: len(share)]) == (Level.NOTE, share)
        assert "raise max_wal_size (it is 1GB; 8GB) and checkpoint_timeout (it is 5min; 15min)" in found[0].do
