"""What `down` leaves behind is what `up` finds."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.containers.deployment import Deployment
from tests.support.bank import Bank

pytestmark = pytest.mark.timeout(240)


def _bank(deployment: Deployment) -> Bank:
    secrets = deployment.secrets
    return Bank(deployment.url, secrets["REMIT_GATEWAY_ADMIN_EMAIL"], secrets["REMIT_GATEWAY_ADMIN_PASSWORD"])


async def test_the_volumes_keep_the_book_and_the_keys_over_down_and_up(deployment: Deployment) -> None:
    """Every container is removed and made anew: the same balance, the same answer to the same key, a sound book."""
    bank = _bank(deployment)
    account, key = bank.customer().open_account(), str(uuid4())
    told = bank.deposit(account, "12.34", key=key)
    assert told.status_code == 201
    bank.close()

    await deployment.down()
    assert await deployment.containers("postgres") == []
    await deployment.up()

    bank = _bank(deployment)
    again = bank.deposit(account, "12.34", key=key)
    assert (again.status_code, again.content) == (201, told.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    found = bank.verified(account)
    bank.close()
    assert (found["status"], found["account_balance"], found["entries"]) == ("verified", "12.34", 1)
    await deployment.verify()
