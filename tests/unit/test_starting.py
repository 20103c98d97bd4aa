"""How a process ends that cannot start as it was told to: in one line, without a traceback and without the value."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

_WIDE = {
    "REMIT_POSTGRES_URL": "postgresql://remit:none@127.0.0.1:1/remit",
    "REMIT_AMQP_URL": "amqp://remit:none@127.0.0.1:1/",
    "REMIT_LEDGER_HTTP_PORT": "0",
}
_TIMEOUT_S = 60


def _ended(**changes: str) -> str:
    """What a ledger that was told so says on standard error, once it has ended; nothing of it is a traceback."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMIT_")}
    told = subprocess.run(
        [sys.executable, "-m", "services.ledger"],
        env={**environment, **_WIDE, **changes},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert told.returncode == 1
    assert "Traceback" not in told.stdout + told.stderr
    [line] = told.stderr.splitlines()
    assert line.startswith("ledger: ")
    return line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REMIT_LOG_LEVEL", "FOO"),
        ("REMIT_LOG_FORMAT", "xml"),
        ("REMIT_TRACES_ENDPOINT", "http://collector:abc"),
        ("REMIT_LEDGER_POSTGRES_URL", "nonsense"),
        ("REMIT_LEDGER_AMQP_URL", "amqp://u:s3cret@mq:abc/"),
        ("REMIT_LEDGER_RECONCILE_EVERY_S", "inf"),
    ],
)
def test_a_service_with_a_wrong_setting_ends_in_one_line_that_names_it(variable: str, value: str) -> None:
    line = _ended(**{variable: value})
    assert variable in line
    assert value not in line


def test_a_service_whose_port_is_taken_ends_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = _ended(REMIT_LEDGER_HTTP_PORT=str(taken.getsockname()[1]))
    assert line == "ledger: cannot listen where its HOST and PORT say: Address already in use"


def test_a_service_whose_host_is_not_this_machine_ends_in_one_line() -> None:
    line = _ended(REMIT_LEDGER_HTTP_HOST="192.0.2.7")
    assert line == "ledger: cannot listen where its HOST and PORT say: Cannot assign requested address"
