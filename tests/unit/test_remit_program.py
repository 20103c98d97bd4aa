"""The program around its commands: settings, exit codes, small helpers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remit import environment
from remit.__main__ import exit_code_of, main
from remit.client import Unreachable
from remit.commands.smoke import own_address, since_ms
from remit.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNAVAILABLE, EXIT_USAGE, CommandError
from shared.errors import RemitError, SettingsError


def test_assignments_are_read_and_comments_are_not() -> None:
    text = "# a comment\nREMIT_A=1\n\nREMIT_B = two=2 \nnonsense\n"
    assert environment.read_assignments(text) == {"REMIT_A": "1", "REMIT_B": "two=2"}


def test_the_environment_wins_over_the_file_and_an_empty_value_is_unset(tmp_path: Path) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "env").write_text("REMIT_A=file\nREMIT_B=file\n", encoding="utf-8")
    settings = environment.load({"REMIT_A": "process", "REMIT_B": ""}, tmp_path)
    assert (settings.environment["REMIT_A"], settings.environment["REMIT_B"]) == ("process", "file")
    assert settings.local == tmp_path / ".local"


def test_the_file_of_one_deployment_says_nothing_of_another(tmp_path: Path) -> None:
    """Its operator's password is not sent to another address; that of the containers is looked for beside it."""
    (tmp_path / ".local").mkdir()
    own = "REMIT_API_URL=http://127.0.0.1:1\nREMIT_GATEWAY_ADMIN_PASSWORD=own\n"
    (tmp_path / ".local" / "env").write_text(own, encoding="utf-8")
    containers = "REMIT_GATEWAY_ADMIN_PASSWORD=containers\nREMIT_POSTGRES_OWNER_PASSWORD=secret\n"
    (tmp_path / ".env").write_text(containers, encoding="utf-8")
    same = environment.load({}, tmp_path, "http://127.0.0.1:1/").environment
    other = environment.load({}, tmp_path, "http://127.0.0.1:2").environment
    assert same["REMIT_GATEWAY_ADMIN_PASSWORD"] == "own"
    assert other == {"REMIT_GATEWAY_ADMIN_PASSWORD": "containers", "REMIT_API_URL": "http://127.0.0.1:2"}


def test_a_login_that_is_set_wins_over_every_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REMIT_GATEWAY_ADMIN_PASSWORD=containers\n", encoding="utf-8")
    found = environment.load({"REMIT_GATEWAY_ADMIN_PASSWORD": "set"}, tmp_path, "http://127.0.0.1:2").environment
    assert found["REMIT_GATEWAY_ADMIN_PASSWORD"] == "set"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("x", 7), 7),
        (SettingsError("x"), EXIT_USAGE),
        (Unreachable("x"), EXIT_UNAVAILABLE),
        (RemitError("x"), EXIT_FAILED),
    ],
)
def test_a_script_can_tell_the_trouble_from_the_exit_code(error: RemitError, code: int) -> None:
    assert exit_code_of(error) == code


def test_expected_trouble_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.csv")
    monkeypatch.setattr("sys.argv", ["remit", "replay", "--accounts", missing, "--transfers", missing])
    monkeypatch.setenv("REMIT_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("REMIT_GATEWAY_ADMIN_EMAIL", "a@example.com")
    monkeypatch.setenv("REMIT_GATEWAY_ADMIN_PASSWORD", "secret")
    assert main() == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.startswith("remit: cannot read")
    assert said.count("\n") == 1


def test_an_interrupted_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("remit.commands.verify.run", interrupted)
    monkeypatch.setattr("sys.argv", ["remit", "verify"])
    assert main() == EXIT_INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://127.5.0.1"])
def test_the_smoke_test_comes_from_a_loopback_address_of_its_own(url: str) -> None:
    own = own_address(url)
    assert own is not None
    assert own.startswith("127.")


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://[::1]:8080", "http://10.0.0.1", "https://remit.example"]
)
def test_elsewhere_it_comes_from_wherever_it_is(url: str) -> None:
    assert own_address(url) is None


def test_times_are_told_from_the_request_on() -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    assert since_ms(begun, begun + timedelta(microseconds=12_340)) == "+12.3 ms"
