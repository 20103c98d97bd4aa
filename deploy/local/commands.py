"""What the Makefile calls."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from deploy.local import terminal
from deploy.local.addresses import caller_settings
from deploy.local.errors import StackError
from deploy.local.files import read_assignments, tail, write_assignments, write_private
from deploy.local.layout import CHECKOUT, LOCAL, Layout
from deploy.local.locking import locked
from deploy.local.remit_program import run_remit
from deploy.local.servers import SERVERS
from deploy.local.services import SERVICES
from deploy.local.stack import Stack

GATEWAY_PORT = 8080
SMOKE_WAIT_S = 60
SMOKE_TIMEOUT_S = SMOKE_WAIT_S + 30
LOG_LINES = 10
FOLLOW_LINES = 50


def up() -> None:
    """Bring everything up, prove it by a first transfer, and write `.local/env`."""
    begun = time.monotonic()
    terminal.say("remit: starting")
    with locked(LOCAL / "lock"):
        stack = _stack()
        stack.start_servers()
        # Already now: what the program finds there must not name servers of an earlier start.
        _write_env(stack)
        stack.stop_changed_services()
        stack.migrate()
        stack.start_services()
        _write_env(stack)
        _smoke(stack)
    _say_addresses(stack.env, time.monotonic() - begun)


def down() -> None:
    """Stop everything; data stay."""
    begun = time.monotonic()
    if not LOCAL.exists():
        terminal.say("remit: nothing runs here")
        return
    with locked(LOCAL / "lock"):
        _last_stack().stop()
    terminal.say(f"remit: stopped after {time.monotonic() - begun:.1f} s; `make up` finds the data again")


def reset() -> None:
    """Stop everything and remove all data, secrets and logs."""
    if LOCAL.exists():
        with locked(LOCAL / "lock"):
            _last_stack().wipe()
    terminal.say("remit: stopped and wiped; the next `make up` begins with an empty book")


def ps() -> None:
    """Show every part."""
    if not LOCAL.exists():
        terminal.say("remit: nothing runs here; `make up` starts it")
        return
    terminal.table(_last_stack().status())


def logs(name: str | None) -> None:
    """The end of each log, or follow one."""
    layout = Layout(LOCAL)
    servers = _last_stack().servers if LOCAL.exists() else None
    if servers is not None and name in servers.contained:
        servers.become_log_of(name, FOLLOW_LINES)
    if servers is not None:
        servers.save_logs()
    if name is not None:
        path = layout.log(name)
        if not path.exists():
            known = ", ".join(sorted(log.stem for log in layout.logs.glob("*.log")))
            raise StackError(name, f"has no log; there are: {known or 'none yet'}")
        os.execvp("tail", ("tail", "-n", str(FOLLOW_LINES), "-F", str(path)))  # noqa: S606, S607 - becomes `tail`
    for path in sorted(layout.logs.glob("*.log")):
        terminal.say(f"--- {path.relative_to(CHECKOUT)}")
        terminal.say("\n".join(tail(path, LOG_LINES)))


def stop(names: Sequence[str]) -> None:
    """Stop some servers or services, and leave the others running."""
    with locked(LOCAL / "lock"):
        stack = _last_stack()
        for name in names:
            stack.stop_server(name) if name in SERVERS else stack.stop_service(name)
            terminal.say(f"remit: {name} stopped")


def start(names: Sequence[str]) -> None:
    """Start some servers or services, and leave the others as they are."""
    with locked(LOCAL / "lock"):
        stack = _stack()
        stack.start_servers([name for name in names if name in SERVERS])
        stack.start_services([name for name in names if name in SERVICES])


def wipe(names: Sequence[str]) -> None:
    """Stop some servers and lose their data, as a broken disk would."""
    with locked(LOCAL / "lock"):
        stack = _last_stack()
        for name in names:
            stack.wipe_server(name)
            terminal.say(f"remit: {name} stopped and wiped")


def _stack() -> Stack:
    """The stack as the caller wants it now."""
    written, given = _last_choice()
    caller = caller_settings(os.environ, written, given)
    return Stack(LOCAL, caller=caller, gateway_port=GATEWAY_PORT, report=terminal.step)


def _last_stack() -> Stack:
    """The stack as it was started last, whatever the caller's settings say today."""
    written, given = _last_choice()
    return Stack(LOCAL, caller={name: written[name] for name in given if name in written})


def _last_choice() -> tuple[dict[str, str], frozenset[str]]:
    layout = Layout(LOCAL)
    given = frozenset(layout.given.read_text().split()) if layout.given.exists() else frozenset()
    return read_assignments(layout.env), given


def _write_env(stack: Stack) -> None:
    write_private(stack.layout.given, "\n".join(sorted(stack.chosen_addresses)))
    write_assignments(stack.layout.env, stack.env)


def _smoke(stack: Stack) -> None:
    begun = time.monotonic()
    settings = {name: value for name, value in stack.env.items() if name.startswith(("REMIT_API_", "REMIT_GATEWAY_"))}
    code = run_remit(("smoke", "--wait-s", str(SMOKE_WAIT_S)), settings, timeout_s=SMOKE_TIMEOUT_S)
    if code != 0:
        raise StackError("smoke", f"the first transfer was not verified (exit code {code}); `make logs` shows more")
    terminal.step("smoke", "a first deposit and transfer, verified in the ledger", time.monotonic() - begun)


def _say_addresses(env: dict[str, str], seconds: float) -> None:
    terminal.say(f"remit: up after {seconds:.1f} s")
    terminal.say(f"  API        {env['REMIT_API_URL']} (its documentation: {env['REMIT_API_URL']}/docs)")
    terminal.say(f"  operator   {env['REMIT_GATEWAY_ADMIN_EMAIL']}; the password and all addresses stand in .local/env")
