"""`remit capacity`: how many of each a rate needs, from what was measured."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from remit.capacity.figures import SHIPPED, Work, read
from remit.capacity.plan import GATEWAYS, SERVERS, WORKERS, Plan, machine_per_s, plan
from remit.commands import capacity
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError

_COSTS = {
    "gateway": 250.0, "fraud": 100.0, "transfer": 60.0, "transfer-2": 40.0, "ledger": 50.0, "audit": 80.0,
    "postgres": 200.0, "rabbitmq": 100.0, "redis": 50.0, "generator": 70.0,
}  # fmt: skip
_WORK = Work(name="single", does="", variant="", settled_per_s=1_600.0, cpu_us=_COSTS, elsewhere_share=0.0)


def _instances(found: Plan) -> dict[str, int | None]:
    return {part.part: part.instances for part in found.parts}


def _run(*arguments: str) -> int:
    parser = ArgumentParser()
    capacity.add_arguments(parser)
    return asyncio.run(capacity.run(parser.parse_args(arguments), Settings(environment={}, local=None)))


def test_a_rate_needs_as_many_as_keep_each_core_below_the_load() -> None:
    """5,000 transfers of 250 µs are 1.25 cores of gateway: three at half a core each. Two workers' costs add up."""
    found = plan(_WORK, 5_000, 0.5)
    assert _instances(found) == {
        "gateway": 3, "fraud": 1, "transfer": 1, "ledger": 1, "audit": 1,
        "postgres": None, "rabbitmq": None, "redis": 1,
    }  # fmt: skip
    assert {part.part: part.note for part in found.parts}["postgres"] == "a server of 2 cores"
    assert found.cores == pytest.approx(4.65)


@pytest.mark.parametrize(("rate", "gateways"), [(1_999, 1), (2_000, 1), (2_001, 2), (4_000, 2)])
def test_one_more_is_needed_where_the_last_one_is_full(rate: float, gateways: int) -> None:
    assert _instances(plan(_WORK, rate, 0.5))["gateway"] == gateways


def test_what_is_full_first_is_the_dearest_and_in_the_end_what_cannot_be_more() -> None:
    """A second audit worker carries nothing, so the chain ends what more gateways began."""
    found = plan(_WORK, 6_250, 0.5)
    assert (found.first, found.first_per_s) == ("gateway", 2_000)
    assert (found.last, found.most_per_s, found.reachable) == ("audit", 6_250, True)
    assert not plan(_WORK, 6_251, 0.5).reachable


def test_the_shipped_figures_explain_what_was_measured_with_them() -> None:
    """No work settled more than its cores could have carried, and none less than three quarters of that."""
    figures = read(SHIPPED)
    assert {"single", "batch"} <= {work.name for work in figures.works}
    for work in figures.works:
        assert 0.75 < work.settled_per_s / machine_per_s(work, figures.cores) <= 1, work.name
        assert all(work.cpu_us[part] > 0 for part in (*GATEWAYS, *WORKERS, *SERVERS))


def test_the_answer_is_a_table_with_sentences_or_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--rate", "5000") == EXIT_OK
    shown = capsys.readouterr().out
    assert "5,000 a second take" in shown
    assert "is full first" in shown
    assert _run("--rate", "5000", "--json") == EXIT_OK
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["plan"]["rate_per_s"] == 5_000
    assert document["measured"]["commit"] == read(SHIPPED).commit
    assert {part["part"] for part in document["plan"]["parts"]} == {*GATEWAYS, *WORKERS, *SERVERS}


def test_a_rate_that_nothing_gives_is_said_and_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--rate", "20000") == EXIT_FAILED
    assert "20,000 a second cannot be had: audit ends at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rate", "0"], "--rate must be above 0"),
        (["--rate", "-5"], "--rate must be above 0"),
        (["--rate", "nan"], "--rate must be above 0"),
        (["--rate", "inf"], "--rate must be above 0"),
        (["--rate", "5", "--load", "0"], "--load must be above 0"),
        (["--rate", "5", "--load", "1.1"], "--load must be above 0"),
        (["--rate", "5", "--work", "magic"], "'magic' was not measured; measured were: batch,"),
        (["--rate", "5", "--report", "nowhere.json"], "nowhere.json: No such file"),
    ],
)
def test_wrong_use_is_one_line(arguments: Sequence[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as caught:
        _run(*arguments)
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("text", ["", "[]", '{"commit": "x"}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.json").write_text(text, encoding="utf-8")
    with pytest.raises(CommandError, match="is no report of `remit bench`"):
        _run("--rate", "5", "--report", str(tmp_path / "bench.json"))


def test_a_report_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    costs = {name: cost for name, cost in _COSTS.items() if name != "audit"}
    figures = msgspec.structs.replace(read(SHIPPED), works=[msgspec.structs.replace(_WORK, cpu_us=costs)])
    (tmp_path / "bench.json").write_bytes(msgspec.json.encode(figures))
    with pytest.raises(CommandError, match="does not say what each part of 'single' cost"):
        _run("--rate", "5", "--report", str(tmp_path / "bench.json"))
