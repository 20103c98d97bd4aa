"""The table of seams is the code's: what makes something visible elsewhere stands only where the table names it."""

from __future__ import annotations

import pytest

from tests.support.seams import SEAMS, crashes, walked


def test_every_call_that_crosses_a_boundary_is_a_named_seam() -> None:
    """Whoever adds one says in the table by what work it is reached, and the crash sweep dies there."""
    assert set(walked()) == {(seam.boundary, seam.place) for seam in SEAMS}


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: f"{seam.boundary} {seam.place}")
def test_a_seam_is_either_crashed_at_or_explained(seam: object) -> None:
    """One without a crash says why it needs none."""
    named = next(one for one in SEAMS if one is seam)
    assert bool(named.reaches) != bool(named.why)


def test_every_service_dies_somewhere() -> None:
    """The sweep leaves no service out, and no case is there twice."""
    cases = [str(crash) for crash in crashes()]
    assert len(set(cases)) == len(cases)
    assert {case.partition(" ")[0] for case in cases} == {"gateway", "fraud", "transfer", "ledger", "audit"}
