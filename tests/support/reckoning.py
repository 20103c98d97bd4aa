"""What a test run tells about itself: which servers it ran on, how it ended, and that nothing was left out."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

from deploy.local import testing

# Where several runs add up to one report: each appends a line, "passed failed".
TALLY = "REMIT_TEST_TALLY"

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI a skipped test is a failed one: there is nothing there that it could rightly lack."""
    return _nothing_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same of a whole module."""
    return _nothing_skipped((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The servers, in their own words, and a line for the tally."""
    for servers in sorted(testing.served):
        terminalreporter.write_line(f"servers: {servers}")
    if path := os.environ.get(TALLY):
        passed, failed, errors = (len(terminalreporter.stats.get(key, [])) for key in ("passed", "failed", "error"))
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{passed} {failed + errors}\n")


def _nothing_skipped(report: _Report) -> _Report:
    expected_to_fail = hasattr(report, "wasxfail")
    if os.environ.get("CI") and report.skipped and not expected_to_fail:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which fails under CI: {reason}"
    return report
