"""Random operations over HTTP against a reference model: after each, balances, statuses and lists are the model's."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.money import to_text
from tests.support.bank import Bank, Session
from tests.support.model import MAX_MINOR, Account, Made, Model, Order, shown, status_of

_EXAMPLES = 5
_STEPS = 25
_UNKNOWN = "00000000-0000-4000-8000-00000000dead"

_amounts = st.one_of(st.integers(1, 5_000), st.sampled_from([1, 10_000, 100_000, MAX_MINOR, MAX_MINOR + 1]))
_people = st.integers(0, 1)


class _Call:
    """A call that was made under a key, and what it was answered."""

    def __init__(self, who: Session, path: str, key: str, body: dict[str, Any], answer: httpx.Response) -> None:
        self.who, self.path, self.key, self.body, self.answer = who, path, key, body, answer

    def again(self, body: dict[str, Any] | None = None) -> httpx.Response:
        """The same key once more, with the same payload or another."""
        return self.who.call("POST", self.path, key=self.key, json=body or self.body)


class Machine(RuleBasedStateMachine):
    """Two customers and an operator. `bank` is put there by the test."""

    bank: Bank
    accounts: Bundle[str] = Bundle("accounts")
    calls: Bundle[_Call] = Bundle("calls")

    @initialize(target=accounts)
    def begin(self) -> Any:
        """Two strangers, an account with money each."""
        self.model = Model()
        self.people = [self.bank.customer(name) for name in ("Alice", "Bob")]
        self.made: dict[str, Made] = {}
        opened = [self._open(person) for person in (0, 1)]
        for account in opened:
            self._move(None, "/admin/deposits", Order(None, account, 20_000), str(uuid4()))
        return multiple(*opened)

    @rule(target=accounts, person=_people)
    def open_account(self, person: int) -> str:
        """Another account."""
        return self._open(person)

    @rule(target=calls, account=accounts, amount=_amounts, into=st.booleans())
    def operator_moves(self, account: str, amount: int, into: bool) -> _Call:
        """A deposit or a withdrawal."""
        order = Order(None, account, amount) if into else Order(account, None, amount)
        return self._move(None, f"/admin/{'deposits' if into else 'withdrawals'}", order, str(uuid4()))

    @rule(target=calls, person=_people, source=accounts, to=accounts | st.just(_UNKNOWN), amount=_amounts)
    def transfer(self, person: int, source: str, to: str, amount: int) -> _Call:
        """From an own account or, to be refused, from another's."""
        return self._move(person, "/transfers", Order(source, to, amount), str(uuid4()))

    @rule(
        target=calls, person=_people, source=accounts, to=accounts, amounts=st.lists(_amounts, min_size=1, max_size=4)
    )
    def batch(self, person: int, source: str, to: str, amounts: list[int]) -> _Call:
        """Several in order, each on its own."""
        orders = [Order(source, to, amount) for amount in amounts]
        body, key = {"transfers": [_body(order) for order in orders]}, str(uuid4())
        answer = self.people[person].call("POST", "/transfers/batch", key=key, json=body)
        assert answer.status_code == 200, answer.text
        for order, item in zip(orders, answer.json()["items"], strict=True):
            made = self.model.transfer(person, order)
            told = item.get("transfer") or item["problem"]
            self._check(made, item["status_code"], told)
        return _Call(self.people[person], "/transfers/batch", key, body, answer)

    @rule(call=calls)
    def replay(self, call: _Call) -> None:
        """The same bytes; nothing moves."""
        again = call.again()
        assert (again.status_code, again.content) == (call.answer.status_code, call.answer.content)
        assert again.headers["Idempotent-Replayed"] == "true"

    @rule(call=calls)
    def other_payload(self, call: _Call) -> None:
        """Refused; nothing moves."""
        body = dict(call.body)
        if "transfers" in body:
            body["transfers"] = [*body["transfers"], body["transfers"][0]]
        else:
            body["description"] = "another"
        answer = call.again(body)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), answer.text

    @rule(person=_people, account=accounts)
    def close(self, person: int, account: str) -> None:
        """Only an empty account of one's own closes."""
        expected = self.model.close(person, account)
        answer = self.people[person].call("DELETE", f"/accounts/{account}")
        assert answer.status_code == expected, answer.text

    @rule(account=accounts)
    def restore(self, account: str) -> None:
        """The operator opens it again."""
        answer = self.bank.admin.call("POST", f"/admin/accounts/{account}/restore")
        assert answer.status_code == 200, answer.text
        self.model.accounts[account].is_closed = False

    @rule(draw=st.data())
    def hide_or_show(self, draw: st.DataObject) -> None:
        """A transfer goes from the lists and comes back; a hidden one cannot be hidden."""
        if not self.made:
            return
        transfer = draw.draw(st.sampled_from(sorted(self.made)))
        made, hides = self.made[transfer], draw.draw(st.booleans())
        path = f"/admin/transfers/{transfer}"
        answer = self.bank.admin.call("DELETE", path) if hides else self.bank.admin.call("POST", f"{path}/restore")
        expected = (404 if made.is_hidden else 204) if hides else 200
        assert answer.status_code == expected, answer.text
        made.is_hidden = hides

    @invariant()
    def accounts_are_the_models(self) -> None:
        """Each customer sees the accounts and balances of the model, to the cent."""
        for person, session in enumerate(self._sessions()):
            items = session.get("/accounts", limit="200")["items"]
            seen = {item["id"]: item["balance"] for item in items}
            assert seen == {one: to_text(minor, "USD") for one, minor in self.model.open_balances(person).items()}

    @invariant()
    def transfers_are_the_models(self) -> None:
        """Each customer's list shows what he asked for, as it ended, but for what is hidden."""
        for person, session in enumerate(self._sessions()):
            items = session.get("/transfers", limit="200")["items"]
            asked = [item for item in items if item["id"] in self.made and self.made[item["id"]].caller == person]
            seen = Counter((item["status"], _minor(item["amount"])) for item in asked)
            assert seen == shown([made for made in self.made.values() if made.caller == person])

    def _sessions(self) -> list[Session]:
        return getattr(self, "people", [])

    def _open(self, person: int) -> str:
        account = self.people[person].open_account()
        self.model.accounts[account] = Account(person)
        return account

    def _move(self, person: int | None, path: str, order: Order, key: str) -> _Call:
        who = self.bank.admin if person is None else self.people[person]
        body = _body(order) if person is not None else _operators_body(order)
        answer = who.call("POST", path, key=key, json=body)
        self._check(self.model.transfer(person, order), answer.status_code, answer.json())
        return _Call(who, path, key, body, answer)

    def _check(self, made: Made, status: int, told: dict[str, Any]) -> None:
        """The answer is the model's; from now on the transfer is known by its id."""
        assert (status, told.get("code", "")) == (status_of(made), made.code), (made, told)
        self.made[told.get("transfer_id") or told["id"]] = made


def _body(order: Order) -> dict[str, Any]:
    return {"from_account_id": order.source, "to_account_id": order.to, **_money(order)}


def _operators_body(order: Order) -> dict[str, Any]:
    return {"account_id": order.source or order.to, **_money(order)}


def _money(order: Order) -> dict[str, Any]:
    return {"amount": to_text(order.amount_minor, "USD"), "currency": "USD"}


def _minor(amount: str) -> int:
    return int(amount.replace(".", ""))


@pytest.mark.timeout(300)
def test_random_operations_leave_what_the_model_says(bank: Bank) -> None:
    """Opened, paid, repeated, altered, closed, restored, hidden: as if it were all one small program."""
    machine = type("Machine", (Machine,), {"bank": bank})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=_STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
