"""Two runs of pytest at once: what each of them runs, what is told of them, and how they are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT
from tests import lanes

_UNIT, _E2E, _INTEGRATION = "tests/unit", "tests/e2e", "tests/integration"
_WAIT_S = 30.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [[_UNIT, _E2E], [_INTEGRATION]]),
        ([_INTEGRATION, f"{_E2E}/"], [[_E2E], [_INTEGRATION]]),
        ([_UNIT], [[_UNIT]]),
        ([_UNIT, _E2E], [[_UNIT, _E2E]]),
        (["tests/faults", _UNIT, _INTEGRATION], [["tests/faults", _UNIT, _INTEGRATION]]),
        ([_UNIT, _INTEGRATION, "-x"], [[_UNIT, _INTEGRATION, "-x"]]),
        ([f"{_E2E}/test_path.py"], [[f"{_E2E}/test_path.py"]]),
    ],
)
def test_whole_folders_of_both_lanes_are_run_side_by_side_and_anything_else_as_it_is_written(
    arguments: list[str], expected: list[list[str]]
) -> None:
    assert lanes.lanes_of(arguments) == expected


def test_servers_that_the_caller_named_are_for_one_lane_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REMIT_INFRA", "REMIT_POSTGRES_URL", "REMIT_REDIS_URL", "REMIT_AMQP_URL"):
        monkeypatch.delenv(name, raising=False)
    assert lanes.are_private()
    monkeypatch.setenv("REMIT_REDIS_URL", "redis://127.0.0.1:1/0")
    assert not lanes.are_private()
    monkeypatch.delenv("REMIT_REDIS_URL")
    monkeypatch.setenv("REMIT_INFRA", "somewhere")
    assert not lanes.are_private()


def start(folder: Path, *files: str) -> subprocess.Popen[str]:
    """Two lanes of one file each, in a process of their own."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    for number, text in enumerate(files):
        (folder / f"test_{number}.py").write_text(text)
    names = [[f"test_{number}.py"] for number in range(len(files))]
    program = f"import sys; from tests import lanes; sys.exit(lanes.run({names!r}))"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.Popen(
        (sys.executable, "-c", program), cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_one_lane_that_fails_fails_both_and_each_is_told_whole(tmp_path: Path) -> None:
    """The second is over before the first, and is told after it all the same."""
    waiting = """
import pathlib, time

def test_good():
    while not pathlib.Path("over").exists():
        time.sleep(0.02)
"""
    bad = """
import pathlib

def test_bad():
    pathlib.Path("over").touch()
    assert not "a reason"
"""
    lanes_started = start(tmp_path, waiting, bad)
    said, _ = lanes_started.communicate(timeout=_WAIT_S)
    assert lanes_started.returncode == pytest.ExitCode.TESTS_FAILED
    places = [said.index(text) for text in ("1 passed", "test_1.py", "a reason", "1 failed", "passed: test_0.py")]
    assert places == sorted(places)
    assert "ended with exit code 1: test_1.py" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_both_lanes_and_both_clear_up(tmp_path: Path, number: signal.Signals) -> None:
    waiting = """
import pathlib, time, pytest

@pytest.fixture
def held():
    pathlib.Path(__file__).with_suffix(".begun").touch()
    yield
    pathlib.Path(__file__).with_suffix(".cleared").touch()

def test_that_waits(held):
    time.sleep(60)
"""
    started = start(tmp_path, waiting, waiting)
    deadline = time.monotonic() + _WAIT_S
    while len(list(tmp_path.glob("*.begun"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started.send_signal(number)
    started.communicate(timeout=_WAIT_S)
    assert started.returncode == pytest.ExitCode.INTERRUPTED
    assert len(list(tmp_path.glob("*.cleared"))) == 2
