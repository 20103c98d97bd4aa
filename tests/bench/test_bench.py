"""`remit bench` as one calls it: short, on a stack of its own. That it measures is judged here, not what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remit.bench import report
from remit.bench.report import Report

_TIMEOUT_S = 240
_PROCESSES = {"gateway", "fraud", "transfer", "ledger", "audit", "postgres", "rabbitmq", "redis", "generator"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, str]:
    """What a short run reported: single transfers and batches of them into a hot account."""
    into = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "remit", "bench", "--works", "single,hot-batch", "--seconds", "2"]
    options = ["--customers", "200", "--without-pgbench", "--into", str(into)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return report.read_json(into / "bench.json"), Path(into / "bench.html").read_text()


@pytest.mark.timeout(_TIMEOUT_S + 20)
def test_every_work_is_booked_whole_and_the_books_hold(found: tuple[Report, str]) -> None:
    """What was completed has its entries and audit rows, nothing failed or was blocked, every invariant was checked."""
    run, _ = found
    assert run.ok
    assert [work.name for work in run.works] == ["single", "hot-batch"]
    assert all(work.settled > 0 and not (work.missing or work.failed or work.blocked) for work in run.works)
    assert sum(sum(work.per_second) for work in run.works) == sum(work.settled for work in run.works)
    assert len(run.checks) >= 15


def test_clients_were_told_what_was_settled(found: tuple[Report, str]) -> None:
    """As many transfers as answers; five hundred of them in each batch."""
    single, batch = found[0].works
    assert single.settled == single.answers[201].count
    assert batch.settled == batch.answers[200].count * 500


def test_what_follows_a_settling_is_never_seen_before_it(found: tuple[Report, str]) -> None:
    """Lag is measured to when rows can be seen, so it is above zero, and no answer is faster than its settling."""
    for work in found[0].works:
        assert 0 < work.ledger_lag.p50 <= work.ledger_lag.max
        assert 0 < work.audit_lag.p50 <= work.audit_lag.max
        assert work.p50_ms <= work.p99_ms <= work.max_ms


def test_every_process_has_its_cost(found: tuple[Report, str]) -> None:
    """CPU of all that takes part, the generator too; memory of all that stays."""
    for work in found[0].works:
        assert set(work.cpu_us) >= _PROCESSES
        assert all(work.cpu_us[name] > 0 for name in _PROCESSES)
        assert all(work.memory_mib[name] > 1 for name in _PROCESSES - {"generator"})
        assert work.batches["transfer.screened"].mean >= 1


def test_the_page_fetches_nothing(found: tuple[Report, str]) -> None:
    """It can be opened anywhere: plots inside, no address of anything."""
    page = found[1]
    assert page.count("<svg") >= 5
    assert "http" not in page
