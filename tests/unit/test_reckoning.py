"""What a test run tells about itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT
from tests.support import reckoning

pytest_plugins = ["pytester"]

SOME_SKIPPED = """
import pytest

def test_that_passes(): pass

@pytest.mark.skip(reason="no server is here")
def test_that_is_left_out(): raise AssertionError

def test_that_leaves_off(): pytest.skip("no engine is here")

@pytest.mark.xfail(strict=True)
def test_that_is_known_to_fail(): raise AssertionError
"""


@pytest.fixture
def tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs inside these tests count, and not in the tally of the run around them."""
    path = tmp_path / "tally"
    monkeypatch.setenv(reckoning.TALLY, str(path))
    return path


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest_inprocess("-p", "no:asyncio", plugins=[reckoning])


def test_under_ci_a_skipped_test_fails_with_its_name_and_reason(
    pytester: pytest.Pytester, tally: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = run(pytester, SOME_SKIPPED)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1, errors=1, xfailed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*::test_that_is_left_out was skipped, which fails under CI: Skipped: no server is here",
            "*::test_that_leaves_off was skipped, which fails under CI: Skipped: no engine is here",
        ]
    )
    assert tally.read_text() == "1 2\n"


def test_elsewhere_a_skipped_test_is_only_told(
    pytester: pytest.Pytester, tally: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = run(pytester, SOME_SKIPPED)
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert tally.read_text() == "1 0\n"


def test_under_ci_a_module_that_skips_itself_fails(
    pytester: pytest.Pytester, tally: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = run(pytester, "import pytest\npytest.importorskip('a_module_that_nobody_has')")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines_random(["*was skipped, which fails under CI*a_module_that_nobody_has*"])


def test_the_tally_sums_all_runs(tmp_path: Path) -> None:
    path = tmp_path / "tally"
    for expected in ("0 passed, 0 failed\n", "30 passed, 2 failed\n"):
        done = subprocess.run(["/bin/sh", CHECKOUT / ".ci/tally", path], capture_output=True, text=True, check=True)
        assert done.stdout == expected
        path.write_text("10 2\n20 0\n")
