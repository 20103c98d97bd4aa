"""The previous release and this one side by side under load, there and back: nothing lost, nothing doubled, exact."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
import redis

from deploy.local.layout import CHECKOUT
from deploy.local.remit_program import run_remit
from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from tests.faults.conftest import SETTINGS
from tests.support.accepted import book_is_clean, until
from tests.support.metrics import scrape
from tests.support.steady import Load, steady
from tests.support.whole import bank_of

# As docs/operations.md says: who consumes goes before who publishes.
_ORDER = ("audit", "ledger", "transfer", "fraud")
_PAYERS = 4
_PROGRAM_TIMEOUT_S = 120
_SAMPLES = CHECKOUT / "samples"
_REPLAY = (
    "replay", "--from-start", "--batch", "50", "--accounts", str(_SAMPLES / "accounts.csv"),
    "--transfers", str(_SAMPLES / "transfers.csv"), "--expect", str(_SAMPLES / "expected.json"),
)  # fmt: skip


@dataclass
class Rolling:
    """A stack whose parts are replaced while clients work."""

    stack: Stack
    load: Load

    def replace(self, service: str, *, old: int, new: int, release: Path) -> None:
        """A worker of the other release beside the one that runs; both carry the load; then the first one leaves."""
        self.stack.start_service(service, new, _turns(service), checkout=release)
        self._runs(service, new, release)
        # Of audit's workers one works at a time: the other waits for its turn.
        if service != "audit":
            before = [self._carried(service, n) for n in (old, new)]
            until(lambda: all(self._carried(service, n) > b for n, b in zip((old, new), before, strict=True)))
        self.stack.stop_service(service, n=old)
        before_alone = self._carried(service, new)
        until(lambda: self._carried(service, new) > before_alone)
        self.load.goes_on()

    def replace_gateways(self, release: Path) -> None:
        """One after the other; each call goes to the next one in turn."""
        for n in (2, 1):
            self.stack.stop_service("gateway", n=n)
            self.stack.start_service("gateway", n, checkout=release)
            self._runs("gateway", n, release)
            self.load.goes_on()

    def replays_exactly(self) -> None:
        assert run_remit(_REPLAY, self.stack.env, timeout_s=_PROGRAM_TIMEOUT_S) == 0

    def _runs(self, service: str, n: int, release: Path) -> None:
        pid = self.stack.pid(service if n == 1 else f"{service}-{n}")
        assert Path(f"/proc/{pid}/cwd").resolve() == release.resolve()

    def _carried(self, service: str, n: int) -> float:
        return scrape(self.stack.service_url(service, n)).sum("remit_batch_items_count")


def _turns(service: str) -> dict[str, str]:
    """With the same priority workers take turns; by themselves each draws its own, and one carries what it can."""
    return {} if service == "gateway" else {f"REMIT_{service.upper()}_CONSUMER_PRIORITY": "0"}


@contextmanager
def rolling(previous: Path) -> Iterator[Rolling]:
    """All of the previous release, two gateways, and payers at work."""
    with temporary_stack(durable=True, settings=SETTINGS) as stack:
        stack.start_servers()
        stack.migrate(previous)
        for service in SERVICES:
            stack.start_service(service, overrides=_turns(service), checkout=previous)
        stack.start_service("gateway", 2, checkout=previous)
        urls = [stack.service_url("gateway", n) for n in (1, 2)]
        with closing(bank_of(stack)) as bank:
            with steady(bank, urls, _PAYERS) as load:
                yield Rolling(stack, load)
            tells_the_same(stack, load)


def tells_the_same(stack: Stack, load: Load) -> None:
    """At the end of all: every call that ever ended has the same bytes, also where only its row remembers it."""
    with ThreadPoolExecutor(_PAYERS) as pool:
        list(pool.map(lambda payer: payer.asks_again(*payer.told), load.payers))
        with closing(redis.Redis.from_url(stack.env["REMIT_REDIS_URL"])) as client:
            client.flushall()
        # A batch as a whole is remembered by Redis alone.
        list(pool.map(lambda payer: payer.asks_again(*payer.singles), load.payers))
    for payer in load.payers:
        assert Decimal(payer.session.balance(payer.source)) == payer.balance
        payer.close()
    print(f"{load.completed} transfers completed; met on the way: {dict(load.met)}")
    book_is_clean(stack)
    assert run_remit(("verify", "--wait-s", "30"), stack.env, timeout_s=_PROGRAM_TIMEOUT_S) == 0


@pytest.mark.timeout(600)
def test_a_release_takes_over_from_the_previous_one_and_gives_back_under_load(previous: Path) -> None:
    """There in the documented order; back in the same one, so that old workers also read what new ones publish.

    The schema stays new on the way back. The sample is replayed across the change, and again in each state: exact.
    """
    with rolling(previous) as here:
        here.load.goes_on()
        # The previous release's services work on while the schema changes under them.
        here.stack.migrate()
        here.load.goes_on()
        with ThreadPoolExecutor(1) as pool:
            replayed = pool.submit(here.replays_exactly)
            for service in _ORDER:
                here.replace(service, old=1, new=2, release=CHECKOUT)
            here.replace_gateways(CHECKOUT)
            replayed.result()
        here.replays_exactly()
        for service in _ORDER:
            here.replace(service, old=2, new=1, release=previous)
        here.replays_exactly()
        here.replace_gateways(previous)
        here.replays_exactly()
