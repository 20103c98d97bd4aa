"""`remit dead-letters`, run as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from uuid import uuid4

from shared.contracts.envelope import encode_item
from shared.database import open_database
from shared.messaging.dead_letters import DeadLetters, Letter
from tests.integration.conftest import Whole
from tests.support.builders import settled


def _remit(whole: Whole, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **whole.stack.env}
    command = [sys.executable, "-m", "remit", "dead-letters", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def _parked(whole: Whole, *letters: Letter) -> list[str]:
    async with open_database(whole.stack.env["REMIT_LEDGER_POSTGRES_URL"], name="tests", schema="ledger") as database:
        await DeadLetters(database).park(letters)
    return [str(letter.letter_id) for letter in letters]


def _letter(item: str) -> Letter:
    return Letter(
        message_type="transfer.settled", reason="failed_alone", detail="a stack", origin="ledger.settled", item=item
    )


async def test_letters_are_listed_shown_replayed_and_discarded(whole: Whole) -> None:
    good, bad = await _parked(whole, _letter(encode_item(settled()).decode()), _letter(f"nonsense {uuid4()}"))
    listed = _remit(whole, "list", "--service", "ledger", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {good, bad} <= {json.loads(line)["id"] for line in listed.stdout.splitlines()}
    shown = _remit(whole, "show", good)
    assert (shown.returncode, "a stack" in shown.stdout, "instruction" in shown.stdout) == (0, True, True)
    replayed = _remit(whole, "replay", good, bad)
    assert replayed.returncode == 1
    assert f"{good}  replayed" in replayed.stdout
    assert f"{bad}  failed again" in replayed.stdout
    discarded = _remit(whole, "discard", "--all", "--service", "ledger")
    assert (discarded.returncode, f"{bad}  discarded" in discarded.stdout) == (0, True)
    assert _remit(whole, "list", "--service", "ledger", "--json").stdout == ""
    assert good in _remit(whole, "list", "--all").stdout


def test_wrong_use_is_one_line(whole: Whole) -> None:
    neither = _remit(whole, "replay")
    assert (neither.returncode, neither.stderr.count("\n")) == (2, 1)
    missing = _remit(whole, "show", str(uuid4()))
    assert (missing.returncode, "404" in missing.stderr) == (1, True)
