"""Upgrades: the previous release beside this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.releases import NoPreviousRelease, differing_libraries, unpack


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release's files. A checkout without its commit fails: an upgrade that was not tried is not known."""
    try:
        release = unpack(tmp_path_factory.mktemp("previous"))
    except NoPreviousRelease as error:
        pytest.fail(str(error), pytrace=False)
    for one in differing_libraries(release):
        print(f"the previous release was locked with {one}")
    return release
