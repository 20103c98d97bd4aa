"""The chart as each file of values makes it."""

from __future__ import annotations

import pytest

from tests.chart import helm
from tests.chart.helm import Manifest

FILES = helm.values_files()


@pytest.fixture(scope="session", params=FILES)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """The manifests of one file of values after the other."""
    return helm.render(FILES[request.param])


@pytest.fixture(scope="session")
def production() -> list[Manifest]:
    """The manifests with everything that is optional."""
    return helm.render(FILES["values-production.yaml"])
