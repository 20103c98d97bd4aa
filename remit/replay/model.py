"""What a replay must come to: the transfers applied one after the other, in memory, to the opening balances.

It knows nothing of the services; their figures are right if they equal these. Limits are taken to be out of the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from remit.replay.figures import Expected, balances_sha256
from remit.replay.files import AccountRow, TransferRow
from remit.replay.runner import sums


def expected(accounts: Sequence[AccountRow], transfers: Iterable[TransferRow]) -> Expected:
    """The figures of a strictly sequential replay with overdraft refused."""
    balances = {account.account: account.opening_minor for account in accounts}
    currencies = {account.account: account.currency for account in accounts}
    ends: Counter[str] = Counter()
    for transfer in transfers:
        reason = _refusal(transfer, currencies, balances)
        ends[reason] += 1
        if not reason:
            balances[transfer.source] -= transfer.amount_minor
            balances[transfer.destination] += transfer.amount_minor
    completed = ends.pop("", 0)
    return Expected(
        accounts=len(accounts),
        transfers=completed + ends.total(),
        completed=completed,
        refused=dict(sorted(ends.items())),
        sum=dict(sums(accounts, balances)),
        balances_sha256=balances_sha256(balances),
    )


def _refusal(transfer: TransferRow, currencies: dict[str, str], balances: dict[str, int]) -> str:
    if transfer.source == transfer.destination:
        return "same_account"
    if not currencies[transfer.source] == currencies[transfer.destination] == transfer.currency:
        return "currency_mismatch"
    return "insufficient_funds" if balances[transfer.source] < transfer.amount_minor else ""
