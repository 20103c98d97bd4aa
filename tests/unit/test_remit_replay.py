"""What a file means, under which keys it is replayed, and what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remit.amounts import minor_of
from remit.client import Account, BatchItem, NewAccount, NewTransfer, Problem, Reason, Transfer
from remit.errors import CommandError
from remit.replay.checkpoint import Checkpoint, Tally, identity, state_folder
from remit.replay.figures import Expected, Figures, balances_sha256, differences, read_expected
from remit.replay.files import open_source, read_accounts, read_transfers
from remit.replay.keys import Operation, item_key
from remit.replay.mapping import REMIT
from remit.replay.model import expected
from remit.replay.runner import Plan, Replay, outcome
from samples.generate import write as generate
from shared.errors import RemitError
from shared.money import to_text


def test_the_key_of_a_line_depends_on_file_line_and_operation_alone() -> None:
    keys = [
        item_key(sha256, line, operation)
        for sha256 in ("a" * 64, "b" * 64)
        for line in (2, 12)
        for operation in Operation
    ]
    assert len(set(keys)) == len(keys)
    # Pinned: another key for the same line would pay it again.
    assert item_key("a" * 64, 2, Operation.TRANSFER) == PINNED_KEY


PINNED_KEY = "26ef5e9f-0a30-5a24-a42f-2d0771a86c43"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_digest_sorts_numbers_as_numbers_and_names_as_text() -> None:
    def sha256(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    assert balances_sha256({"10": 5, "9": 7}) == sha256("9,7\n10,5")
    assert balances_sha256({"b": 1, "a10": 2, "a9": 3}) == sha256("a10,2\na9,3\nb,1")
    assert balances_sha256({}) == sha256("")


def test_only_the_figures_that_are_expected_are_compared() -> None:
    found = Figures(accounts=2, transfers=3, completed=1, refused={"insufficient_funds": 2}, sum={"USD": "1.00"})
    assert differences(Expected(completed=1, refused={"insufficient_funds": 2}), found) == []
    assert differences(Expected(completed=2, sum={"USD": "1.01"}), found) == [
        "completed: expected 2, found 1",
        "sum: expected {'USD': '1.01'}, found {'USD': '1.00'}",
    ]


def test_an_expectation_with_an_unknown_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="unknown field"):
        read_expected(write(tmp_path, "expected.json", '{"complete": 1}'))


def test_a_tally_is_valid_for_one_file_one_api_and_these_accounts_only() -> None:
    accounts = [("1", "id", "2026-01-01T00:00:00Z")]
    identities = {
        identity(transfers_sha256="a", api_url="http://x", accounts=accounts),
        identity(transfers_sha256="b", api_url="http://x", accounts=accounts),
        identity(transfers_sha256="a", api_url="http://y", accounts=accounts),
        # The same id, opened at another time: the stack was wiped in between.
        identity(transfers_sha256="a", api_url="http://x", accounts=[("1", "id", "2026-01-02T00:00:00Z")]),
    }
    assert len(identities) == 4


def test_a_checkpoint_is_read_back_and_a_damaged_one_is_nothing(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new", "f" * 64)
    assert checkpoint.load() == Tally()
    tally = Tally()
    tally.count([None, "insufficient_funds", None, "insufficient_funds"])
    checkpoint.save(tally)
    assert checkpoint.load() == Tally(ended=4, completed=2, refused={"insufficient_funds": 2})
    next((tmp_path / "new").iterdir()).write_text("{", encoding="utf-8")
    assert checkpoint.load() == Tally()


def test_the_state_lies_with_the_stack_if_there_is_one() -> None:
    assert state_folder(Path("/p/.local"), "/x", Path("/h")) == Path("/p/.local/replay")
    assert state_folder(None, "/x", Path("/h")) == Path("/x/remit/replay")
    assert state_folder(None, None, Path("/h")) == Path("/h/.local/state/remit/replay")


def refused(code: str, *, failure_reason: str | None = None, reasons: Sequence[str] = ()) -> BatchItem:
    said = Problem(
        status=422,
        code=code,
        transfer_id="t",
        failure_reason=failure_reason,
        reasons=[Reason(code=reason) for reason in reasons],
    )
    return BatchItem(index=0, status_code=422, problem=said)


def test_refusals_are_told_by_their_reason() -> None:
    assert outcome(2, refused("same_account", failure_reason="same_account")) == "same_account"
    blocked = refused("transfer_blocked", reasons=["hourly_count_exceeded", "amount_above_maximum"])
    assert outcome(2, blocked) == "amount_above_maximum+hourly_count_exceeded"


@pytest.mark.parametrize(
    ("code", "complaint"),
    [("idempotency_key_reused", "replayed before with another content"), ("account_not_found", "account_not_found")],
)
def test_an_item_that_nobody_decided_stops_the_replay(code: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=f"line 7 of the transfers.*{complaint}"):
        outcome(7, refused(code))


class Bank:
    """The API in memory: applies each key once, and fails when told to."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.currencies: dict[str, str] = {}
        self.ended: dict[str, BatchItem] = {}
        self.calls = 0
        self.fails_at: int | None = None

    async def open_accounts(self, accounts: Sequence[NewAccount]) -> Sequence[BatchItem]:
        for account in accounts:
            key = account.idempotency_key or ""
            if key not in self.balances:
                self.balances[key] = minor_of(str(account.opening_balance or 0), account.currency)
                self.currencies[key] = account.currency
        return [
            BatchItem(index=place, status_code=201, account=self._account(account.idempotency_key or ""))
            for place, account in enumerate(accounts)
        ]

    async def make_transfers(self, transfers: Sequence[NewTransfer]) -> Sequence[BatchItem]:
        self.calls += 1
        items = [self._make(transfer) for transfer in transfers]
        # The batch is done; only its answer is lost.
        if self.calls == self.fails_at:
            raise RemitError("cut")
        return items

    async def all_accounts(self) -> AsyncIterator[Account]:
        for account_id in self.balances:
            yield self._account(account_id)

    def _make(self, transfer: NewTransfer) -> BatchItem:
        key = transfer.idempotency_key or ""
        if key not in self.ended:
            self.ended[key] = self._end(transfer)
        return self.ended[key]

    def _end(self, transfer: NewTransfer) -> BatchItem:
        source, destination = transfer.from_account_id, transfer.to_account_id
        amount = minor_of(str(transfer.amount), transfer.currency)
        if source == destination:
            return refused("same_account", failure_reason="same_account")
        if not self.currencies[source] == self.currencies[destination] == transfer.currency:
            return refused("currency_mismatch", failure_reason="currency_mismatch")
        if self.balances[source] < amount:
            return refused("insufficient_funds", failure_reason="insufficient_funds")
        self.balances[source] -= amount
        self.balances[destination] += amount
        done = Transfer(
            id="t",
            kind="transfer",
            status="completed",
            from_account_id=source,
            to_account_id=destination,
            amount=str(transfer.amount),
            currency=transfer.currency,
        )
        return BatchItem(index=0, status_code=201, transfer=done)

    def _account(self, account_id: str) -> Account:
        currency = self.currencies[account_id]
        return Account(
            id=account_id,
            owner_id="o",
            name="n",
            currency=currency,
            balance=to_text(self.balances[account_id], currency),
            account_seq=0,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )


class Silent:
    """A meter that nobody looks at."""

    def stage(self, name: str, total: int, done: int = 0) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def sample_plan(batch_size: int) -> Plan:
    accounts = open_source(SAMPLES / "accounts.csv", REMIT, "USD")
    transfers = open_source(SAMPLES / "transfers.csv", REMIT, "USD")
    return Plan(
        accounts=read_accounts(accounts),
        accounts_sha256=accounts.sha256,
        transfers=transfers,
        transfers_total=2_000,
        batch_size=batch_size,
        api_url="http://remit.test",
    )


@pytest.mark.parametrize("batch_size", [1, 7, 1_000])
async def test_the_sample_gives_its_figures_with_any_batch_size_and_again_on_a_second_run(batch_size: int) -> None:
    bank, wanted = Bank(), read_expected(SAMPLES / "expected.json")
    for size in (batch_size, 333):
        figures = await Replay(bank, sample_plan(size), Silent(), None).run()
        assert differences(wanted, figures) == []


async def test_a_run_that_was_cut_goes_on_where_the_checkpoint_stands_and_pays_nothing_twice(tmp_path: Path) -> None:
    bank, wanted = Bank(), read_expected(SAMPLES / "expected.json")
    bank.fails_at = 4
    with pytest.raises(RemitError, match="cut"):
        await Replay(bank, sample_plan(100), Silent(), lambda name: Checkpoint(tmp_path, name)).run()
    second = Replay(bank, sample_plan(250), Silent(), lambda name: Checkpoint(tmp_path, name))
    assert differences(wanted, await second.run()) == []
    assert (second.speed.skipped, second.speed.sent) == (300, 1_700)


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    generate(tmp_path)
    for name in ("accounts.csv", "transfers.csv", "expected.json"):
        assert (tmp_path / name).read_bytes() == (SAMPLES / name).read_bytes()


def test_the_model_checks_in_the_order_of_the_transfer_worker(tmp_path: Path) -> None:
    accounts = write(tmp_path, "a.csv", "id,currency,opening_balance\n1,USD,1.00\n2,EUR,0\n3,USD,0\n")
    rows = "1,1,9,USD\n1,2,9,USD\n1,3,9,USD\n1,3,1,USD\n3,1,1,EUR\n"
    transfers = write(tmp_path, "t.csv", f"from,to,amount,currency\n{rows}")
    found = expected(
        read_accounts(open_source(accounts, REMIT, "USD")), read_transfers(open_source(transfers, REMIT, "USD"))
    )
    assert (found.completed, found.refused) == (
        1,
        {"currency_mismatch": 2, "insufficient_funds": 1, "same_account": 1},
    )
