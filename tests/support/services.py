"""The workers' stores without a broker: the test itself carries each message, or loses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from deploy.local.stack import Stack
from services.audit.domain import entry_of
from services.audit.store import Store as AuditStore
from services.fraud.settings import settings_from as fraud_settings
from services.fraud.store import Store as FraudStore
from services.ledger.store import Store as LedgerStore
from services.transfer.store import Store as TransferStore
from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import Kind, OpenAccount, TransferRequested
from shared.contracts.transfer import AccountChanged, Status, TransferSettled
from shared.database import open_database
from shared.ids import settlement_account_id
from shared.settings import Environment, postgres_url
from tests.support.builders import ALICE, account_command, requested


@dataclass(frozen=True)
class Services:
    """Four services' stores on real servers."""

    fraud: FraudStore
    transfer: TransferStore
    ledger: LedgerStore
    audit: AuditStore

    async def open_accounts(self, count: int, owner_id: UUID = ALICE) -> list[AccountChanged]:
        """Accounts at zero; nobody is told."""
        opening = OpenAccount(owner_id=owner_id, name="Main", currency="USD")
        return await self.transfer.apply([account_command(opening) for _ in range(count)])

    async def decide(self, *requests: TransferRequested) -> list[TransferScreened]:
        """Fraud's verdicts; nobody is told."""
        return [found.event for found in await self.fraud.screen(requests)]

    async def settle(self, screened: Sequence[TransferScreened]) -> list[TransferSettled]:
        """How they ended; nobody is told."""
        return list((await self.transfer.settle(screened, retries=0)).values())

    async def tell(self, events: Sequence[Message]) -> None:
        """What the queues of ledger, audit and fraud would carry to them."""
        settled = [event for event in events if isinstance(event, TransferSettled)]
        await self.ledger.book(settled)
        await self.audit.record([entry_of(event) for event in events])
        if failed := [event for event in settled if event.status is Status.FAILED]:
            await self.fraud.release(failed)

    async def transfer_all(self, *requests: TransferRequested) -> list[TransferSettled]:
        """The whole way of these requests, everybody told."""
        screened = await self.decide(*requests)
        settled = await self.settle(screened)
        await self.tell([*screened, *settled])
        return settled


def ids(opened: Sequence[AccountChanged]) -> list[UUID]:
    """The accounts that were opened."""
    return [changed.account.account_id for changed in opened if changed.account is not None]


def deposit(account_id: UUID, amount_minor: int, **changes: Any) -> TransferRequested:
    """Money from outside, by an operator."""
    return requested(
        kind=Kind.DEPOSIT,
        from_account_id=settlement_account_id("USD"),
        to_account_id=account_id,
        amount_minor=amount_minor,
        **changes,
    )


@asynccontextmanager
async def in_process(servers: Stack) -> AsyncIterator[Services]:
    """The stores, each as its own service's role."""
    async with stores({**servers.service_settings("fraud"), **servers.env}) as services:
        yield services


@asynccontextmanager
async def stores(environment: Environment) -> AsyncIterator[Services]:
    """The same for the database that these settings name."""
    async with AsyncExitStack() as stack:
        opened = {
            schema: await stack.enter_async_context(
                open_database(postgres_url(environment, schema), name="tests", schema=schema)
            )
            for schema in ("fraud", "transfer", "ledger", "audit")
        }
        yield Services(
            fraud=FraudStore(opened["fraud"], fraud_settings(environment).limits),
            transfer=TransferStore(opened["transfer"]),
            ledger=LedgerStore(opened["ledger"]),
            audit=AuditStore(opened["audit"]),
        )
