"""Where the previous release comes from; without it nobody is told that an upgrade was tried."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.releases import NoPreviousRelease, unpack


def test_an_exported_checkout_says_that_it_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(NoPreviousRelease, match="not in this checkout: fatal: not a git repository"):
        unpack(tmp_path / "release", checkout=tmp_path)


def test_a_checkout_without_the_commit_says_how_to_get_it(tmp_path: Path) -> None:
    subprocess.run(("git", "init", "--quiet", str(tmp_path)), check=True)  # noqa: S607 - any git
    with pytest.raises(NoPreviousRelease, match="git fetch --unshallow"):
        unpack(tmp_path / "release", checkout=tmp_path)


def test_the_named_release_is_unpacked_whole(previous: Path) -> None:
    assert (previous / "services/gateway/__main__.py").is_file()
    assert (previous / "requirements/run.txt").is_file()
