"""Derived ids: the same cause gives the same id; another cause another."""

import os
from uuid import UUID, uuid5

import pytest

from shared.ids import _NAMESPACE_BYTES, _made, derive, event_id, random_id, settlement_account_id


def test_parts_do_not_run_into_each_other() -> None:
    assert derive("ab", "c") != derive("a", "bc")
    assert derive("a", "") != derive("a")


def test_ids_are_stable_across_releases() -> None:
    """A changed derivation would let every idempotency key of the past pay a second time."""
    assert derive("transfer", UUID(int=1), "transfers", "k") == UUID("185bb2b6-ef81-53ae-ac2a-8c4bd73de715")
    assert event_id(UUID(int=2), "transfer.settled") == UUID("cce55df9-a247-5b93-ba2d-1061415fe246")
    assert event_id(UUID(int=2), "account.changed", "v1:00") == UUID("bd22eaf0-5182-5d33-a142-7de4a8648788")
    assert settlement_account_id("USD") == UUID("c3b94a5f-4432-5216-8df6-af630b49cff5")


def test_an_id_that_says_nothing_is_another_each_time() -> None:
    assert len({random_id() for _ in range(100)}) == 100
    assert random_id().version == 4
    assert random_id().variant == "specified in RFC 4122"


@pytest.mark.parametrize("raw", [bytes(20), b"\xff" * 20, *(os.urandom(20) for _ in range(50))])
@pytest.mark.parametrize("version", [4, 5])
def test_ids_are_what_the_standard_library_makes(raw: bytes, version: int) -> None:
    """They are made without its checks, and must be the same in everything that can be asked of them."""
    ours, theirs = _made(raw, version), UUID(bytes=raw[:16], version=version)
    assert (ours, hash(ours), str(ours), repr(ours)) == (theirs, hash(theirs), str(theirs), repr(theirs))
    assert (ours.version, ours.variant, ours.is_safe) == (theirs.version, theirs.variant, theirs.is_safe)


def test_a_derived_id_is_of_version_5() -> None:
    assert derive("a") == uuid5(UUID(bytes=_NAMESPACE_BYTES), "1:a")
