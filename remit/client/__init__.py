"""A typed client of Remit's HTTP API, with the retries that are right and no others."""

from remit.client.client import RemitClient, open_client
from remit.client.errors import ApiError, NotEnded, TransferRefused, Unreachable
from remit.client.http import Credentials
from remit.client.models import (
    Account,
    BatchItem,
    DeadLetter,
    NewAccount,
    NewTransfer,
    Problem,
    Stage,
    Transfer,
    User,
    Verification,
)
from remit.client.retry import Patience

__all__ = [
    "Account",
    "ApiError",
    "BatchItem",
    "Credentials",
    "DeadLetter",
    "NewAccount",
    "NewTransfer",
    "NotEnded",
    "Patience",
    "Problem",
    "RemitClient",
    "Stage",
    "Transfer",
    "TransferRefused",
    "Unreachable",
    "User",
    "Verification",
    "open_client",
]
