"""The OpenAPI document is complete and true: schemathesis tries every call of it, in all its phases."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import Bank, Session

_CONFIG = Path(__file__).parents[1] / "schemathesis.toml"
_PROGRAM = Path(sys.executable).with_name("schemathesis")
# Of random values, for each operation and phase; `make fuzz` asks for many more.
_EXAMPLES = os.environ.get("REMIT_FUZZ_EXAMPLES", "1")
_FUZZING = "REMIT_FUZZ_EXAMPLES" in os.environ
_CASES_MIN = 5_000 if _FUZZING else 1_000
# No rule, only an end: a minute where nothing else runs.
_TIMEOUT_S = 3_600 if _FUZZING else 400


def _tried(bank: Bank, session: Session, *options: str) -> int:
    """How many cases were tried; none was answered by a 5xx or by what the document does not say."""
    command = [
        str(_PROGRAM), f"--config-file={_CONFIG}", "--no-color", "run", f"{bank.client.base_url}/openapi.json",
        f"--header=Authorization: Bearer {session.token}", f"--max-examples={_EXAMPLES}", "--continue-on-failure",
        "--warnings=off", "--generation-database=none", *options,
    ]  # fmt: skip
    if not _FUZZING:
        command.append("--seed=1")
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    said = re.search(r"(\d+) generated", done.stdout)
    assert said, done.stdout[-2_000:]
    print(f"{said[1]} cases tried")
    return int(said[1])


@pytest.mark.timeout(_TIMEOUT_S)
def test_every_answer_to_an_operator_is_documented(bank: Bank) -> None:
    """His session ends when he happens upon his own user: users are tried apart, by one whom nobody misses."""
    operator, apart = _operator(bank), "/api/v1/admin/users/{user_id}"
    # Some go on and on, and all are one text to OpenAPI 3.1; their own tests read them.
    events = "--exclude-path-regex=/events$"
    tried = _tried(bank, operator, "--exclude-path=/api/v1/auth/logout", f"--exclude-path={apart}", events)
    assert operator.call("GET", "/auth/me").status_code == 200
    tried += _tried(bank, _operator(bank), f"--include-path={apart}", "--phases=examples,coverage,fuzzing")
    assert tried >= _CASES_MIN


def _operator(bank: Bank) -> Session:
    user = bank.customer().user
    assert bank.admin.call("PATCH", f"/admin/users/{user['id']}", json={"role": "admin"}).status_code == 200
    return bank.login(user["email"])


@pytest.mark.timeout(_TIMEOUT_S)
def test_every_answer_to_a_customer_is_documented(bank: Bank) -> None:
    """What the shape of a request decides was tried above; here it is what belongs to whom."""
    options = ("--exclude-path=/api/v1/auth/logout", "--exclude-path-regex=^/api/v1/admin/")
    assert _tried(bank, bank.customer(), *options, "--phases=examples,fuzzing,stateful") > 0


@pytest.fixture(scope="module")
def document(bank: Bank) -> Any:
    return bank.client.get("/openapi.json").json()


def _operations(document: Any) -> list[tuple[str, Any]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/")
    ]


def test_every_operation_says_who_may_call_it_and_how_it_is_refused(document: Any) -> None:
    session = "/api/v1/auth/session"
    open_ones = {"POST /api/v1/auth/register", "POST /api/v1/auth/login", f"POST {session}", f"GET {session}"}
    for name, operation in _operations(document):
        scheme = "session" if name.endswith(session) else "bearer"
        assert operation["security"] == ([] if name in open_ones else [{scheme: []}]), name
        statuses = set(operation["responses"])
        assert {"405", "500", "503"} <= statuses, name
        assert ("401" in statuses) == (name not in {"POST /api/v1/auth/register", f"GET {session}"}), name
        assert ("403" in statuses) >= ("/admin/" in name), name
        assert ("404" in statuses) >= ("{" in name), name
        assert ({"400", "413", "415", "422"} <= statuses) == ("requestBody" in operation), name
        assert operation["summary"]
        assert operation["description"]


def test_every_answer_has_its_headers_and_every_problem_its_form(document: Any) -> None:
    needed = {"201": set(), "202": {"Location", "Retry-After"}, "401": {"WWW-Authenticate"}, "405": {"Allow"},
              "429": {"Retry-After", "RateLimit", "RateLimit-Policy"}, "503": {"Retry-After"}}  # fmt: skip
    for name, operation in _operations(document):
        for status, answer in operation["responses"].items():
            assert {"X-Request-ID", *needed.get(status, ())} <= set(answer["headers"]), (name, status)
            if status >= "400":
                (content,) = answer["content"].items()
                assert content[0] == "application/problem+json", (name, status)
                assert content[1]["schema"] == {"$ref": "#/components/schemas/ProblemBody"}
                assert content[1]["examples"], (name, status)
            elif status != "204":
                assert answer["content"], (name, status)


def test_keys_and_preferences_are_parameters_with_examples(document: Any) -> None:
    for name, operation in _operations(document):
        headers = {p["name"]: p for p in operation["parameters"] if p["in"] == "header"}
        if name.startswith("POST") and ("/transfers" in name or "deposit" in name or "withdrawal" in name):
            if name.endswith("restore"):
                continue
            key = headers["Idempotency-Key"]
            assert key["required"] == (name != "POST /api/v1/admin/transfers/batch")
            assert (key["schema"]["maxLength"], bool(key["schema"]["examples"])) == (255, True)
            assert "Prefer" in headers
            assert "Idempotent-Replayed" in operation["responses"]["200" if "batch" in name else "201"]["headers"]


def test_bodies_have_examples_and_refuse_what_is_unknown(document: Any) -> None:
    for name, operation in _operations(document):
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            assert content["examples"], name
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            assert schema["additionalProperties"] is False, name
