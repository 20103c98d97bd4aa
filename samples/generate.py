"""Makes the sample: 200 accounts, 2,000 transfers, and the figures that their replay must give.

Seeded: the same script gives the same files. From the project's root: `.venv/bin/python -m samples.generate`.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from remit.replay.files import open_source, read_accounts, read_transfers
from remit.replay.mapping import REMIT
from remit.replay.model import expected

ACCOUNTS, TRANSFERS = 200, 2_000
_SEED = 20_261_122
_FOLDER = Path(__file__).resolve().parent
# One account in twenty is in euros: a transfer between two currencies must be refused.
_EURO_EVERY = 20
_SELF_EVERY = 250


def main() -> None:
    """Writes the three files beside this one."""
    write(_FOLDER)


def write(folder: Path) -> None:
    """Writes `accounts.csv`, `transfers.csv` and `expected.json`."""
    chance = random.Random(_SEED)  # noqa: S311 - the same every time is the point
    accounts, transfers = folder / "accounts.csv", folder / "transfers.csv"
    _write(accounts, ("id", "owner", "name", "currency", "opening_balance"), _accounts(chance))
    _write(transfers, ("from", "to", "amount", "currency", "reference", "time"), _transfers(chance))
    figures = expected(
        read_accounts(open_source(accounts, REMIT, "USD")), read_transfers(open_source(transfers, REMIT, "USD"))
    )
    text = msgspec.json.format(msgspec.json.encode(figures), indent=2)
    (folder / "expected.json").write_bytes(text + b"\n")


def _currency(account: int) -> str:
    return "EUR" if account % _EURO_EVERY == 0 else "USD"


def _accounts(chance: random.Random) -> Iterable[Sequence[str]]:
    for account in range(1, ACCOUNTS + 1):
        # Some begin with nothing: no deposit is made for them.
        cents = 0 if account % 10 == 7 else chance.randint(5_000, 60_000)
        opening = f"{cents // 100}.{cents % 100:02d}"
        yield str(account), f"sample-{account:03d}", f"Sample {account:03d}", _currency(account), opening


def _transfers(chance: random.Random) -> Iterable[Sequence[str]]:
    for number in range(1, TRANSFERS + 1):
        source = chance.randint(1, ACCOUNTS)
        destination = source if number % _SELF_EVERY == 0 else chance.randint(1, ACCOUNTS)
        cents = chance.randint(100, 25_000)
        day, minute = divmod(number, 100)
        time = f"2026-01-{day + 1:02d}T{minute * 14 // 60:02d}:{minute * 14 % 60:02d}:00Z"
        amount = f"{cents // 100}.{cents % 100:02d}"
        yield str(source), str(destination), amount, _currency(source), f"sample-{number:04d}", time


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
