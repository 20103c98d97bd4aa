"""What the tests of containers share: the deployment that runs already, and is left as it was found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.containers.deployment import SINGLE, Deployment
from tests.support.bank import Bank


@pytest.fixture(scope="session")
async def deployment() -> AsyncIterator[Deployment]:
    """The running deployment; in the end it has one of each service, its own settings, and a sound book."""
    found = await Deployment.find()
    if found is None:
        pytest.exit("no Remit runs in containers here; start it: sh deploy/secrets && make compose-up", returncode=2)
    yield found
    if found.settings or found.scale_now != SINGLE:
        await found.up()
    await found.verify()


@pytest.fixture
def bank(deployment: Deployment) -> Iterator[Bank]:
    """The same over HTTP, through the proxy."""
    secrets = deployment.secrets
    bank = Bank(deployment.url, secrets["REMIT_GATEWAY_ADMIN_EMAIL"], secrets["REMIT_GATEWAY_ADMIN_PASSWORD"])
    yield bank
    bank.close()
