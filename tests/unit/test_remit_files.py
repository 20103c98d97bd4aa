"""What the columns and lines of a file mean, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from remit.amounts import minor_of
from remit.errors import CommandError
from remit.replay.files import check_transfers, open_source, read_accounts
from remit.replay.mapping import AMLSIM, REMIT, ColumnMap, parse_map
from shared.money import AmountInvalid

SHORT = ColumnMap(id="n", from_="f", to="t", amount="a")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("remit", REMIT),
        ("amlsim", AMLSIM),
        ("id=n,from=f,to=t,amount=a", SHORT),
        (" id = n , from = f , to = t , amount = a ", SHORT),
        ('{"id": "n", "from": "f", "to": "t", "amount": "a"}', SHORT),
        ("id=n,balance=b,from=f,to=t,amount=a", ColumnMap(id="n", balance="b", from_="f", to="t", amount="a")),
    ],
)
def test_a_mapping_is_a_preset_json_or_pairs(text: str, columns: ColumnMap) -> None:
    assert parse_map(text) == columns


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("amlsin", "neither a preset"),
        ("", "neither a preset"),
        ("{", "not JSON"),
        ("{}", "'id' is missing"),
        ('{"id": 1}', "object of strings"),
        ("id=n,from=f,to=t", "'amount' is missing"),
        ("id=n,from=f,to=t,amount=a,memo=m", "unknown key 'memo'"),
        ("id=n,from_=f,to=t,amount=a", "unknown key 'from_'"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        parse_map(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("163.3", "USD", 16_330),
        ("0", "USD", 0),
        ("0.00", "USD", 0),
        ("-1.25", "USD", -125),
        ("7", "JPY", 7),
        ("1.500", "BHD", 1_500),
        ("1.5000", "USD", 150),
    ],
)
def test_amounts_are_read_exactly(text: str, currency: str, minor: int) -> None:
    assert minor_of(text, currency) == minor


@pytest.mark.parametrize(("text", "currency"), [("1.234", "USD"), ("0.5", "JPY"), ("abc", "USD"), ("NaN", "USD")])
def test_amounts_that_the_currency_cannot_express_are_refused(text: str, currency: str) -> None:
    with pytest.raises(AmountInvalid):
        minor_of(text, currency)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_accounts_are_read_with_what_the_file_leaves_out(tmp_path: Path) -> None:
    path = write(tmp_path, "accounts.csv", "\ufeffnodeid,init_balance\n5,184.4\n6,\n")
    five, six = read_accounts(open_source(path, AMLSIM, "USD"))
    assert (five.line, five.account, five.owner, five.name, five.currency) == (2, "5", "5", "Account 5", "USD")
    assert (five.opening_minor, six.opening_minor) == (18_440, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nodeid\n1\n1\n", "line 3: account '1' stands twice"),
        ("nodeid,init_balance\n1,-1\n", "line 2: an account cannot begin below zero"),
        ("nodeid,init_balance\n1,1.001\n", "line 2: USD has 2 decimals"),
        ("nodeid,init_balance\n,1\n", "line 2: 'nodeid' is empty"),
        ("node,init_balance\n1,1\n", "no column 'nodeid'"),
    ],
)
def test_a_wrong_line_of_accounts_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path, "accounts.csv", text)
    with pytest.raises(CommandError, match=complaint):
        read_accounts(open_source(path, AMLSIM, "USD"))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("1,2,0,1", "line 3: the amount must be above zero"),
        ("1,2,-5,1", "line 3: the amount must be above zero"),
        ("1,2,x,1", "line 3: 'x' is not a decimal number"),
        ("1,9,5,1", "line 3: there is no account '9'"),
        ("1", "line 3: 'value' is empty"),
    ],
)
def test_a_wrong_transfer_is_found_before_the_first_is_sent(tmp_path: Path, row: str, complaint: str) -> None:
    path = write(tmp_path, "transfers.csv", f"sourceNodeId,targetNodeId,value,time\n1,2,5,1\n{row}\n")
    with pytest.raises(CommandError, match=complaint):
        check_transfers(open_source(path, AMLSIM, "USD"), {"1", "2"}.__contains__)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read"):
        open_source(tmp_path / "none.csv", REMIT, "USD")
