"""One session of pytest in which the mutants of a module meet its tests: `python -m tests.mutation.session ORDER`.

Starting pytest, importing libraries and collecting takes longer than most tests. So the session is forked where it
stands: after the collection for a change that lies in a function, whose code the fork exchanges in memory; before it
for any other, which is made as the module is imported. What survives the first way is tried by the second too, as the
module may have been used while it was imported. Nothing is written to disk.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import msgspec
import pytest

from deploy.local.layout import CHECKOUT
from tests.mutation.mutants import Mutant, mutants_of

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
_PASSED, _FAILED = 0, 1
_OURS = frozenset({"services", "shared", "remit"})
# What a mutant may take longer than the tests without a change.
_TIMES_SLOWER, _SPARE_S = 5.0, 10.0
_UNCHANGED_LIMIT_S = 300.0
# Hypothesis tries the same examples on every mutant, keeps none, and fails none because the machine is busy.
_OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile=ci")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The mutants of `path`, by their numbers, that are to meet `tests`; none is begun after `ends_at_s`.

    `ends_at_s` is on this machine's monotonic clock.
    """

    path: str
    tests: Sequence[str]
    numbers: Sequence[int]
    ends_at_s: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mutant."""

    number: int
    fate: str


Tell = Callable[[Verdict], None]


class Mutating:
    """A plugin of pytest, in place of its collection; the tests run in forks alone."""

    def __init__(self, order: Order, tell: Tell) -> None:
        path = CHECKOUT / order.path
        self._order = order
        self._tell = tell
        self._source = path.read_text(encoding="utf-8")
        found = mutants_of(order.path, self._source)
        self._mutants = {number: found[number] for number in order.numbers}
        self._file = str(path)
        self._limit_s = _UNCHANGED_LIMIT_S
        self._is_early = False
        self.trouble: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """The whole work; pytest itself is left without a test."""
        begun = time.monotonic()
        self._is_early = _module_name(self._order.path) in sys.modules
        unchanged = self._forked(lambda: self._run_anew(session))
        self._limit_s = _SPARE_S + _TIMES_SLOWER * (time.monotonic() - begun)
        if unchanged != SURVIVED:
            self.trouble = f"{self._order.path}: {unchanged} without a change: {' '.join(self._order.tests)}"
        else:
            survivors = self._meet_collected(session)
            self._meet(survivors, lambda mutant: self._imported(session, mutant), self._tell)
        return True

    def _meet_collected(self, session: pytest.Session) -> list[int]:
        """Those that no test notices once everything is imported, or that can only be met while it is."""
        inside = [number for number, mutant in self._mutants.items() if mutant.function]
        survivors = [number for number, mutant in self._mutants.items() if not mutant.function]
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reading)
            with os.fdopen(writing, "wb", buffering=0) as told:
                self._in_collected(session, inside, lambda verdict: _write(told.fileno(), verdict))
            os._exit(_PASSED)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            for line in told:
                verdict = msgspec.json.decode(line, type=Verdict)
                if verdict.fate == SURVIVED:
                    survivors.append(verdict.number)
                else:
                    self._tell(verdict)
        os.waitpid(pid, 0)
        return survivors

    def _in_collected(self, session: pytest.Session, numbers: Iterable[int], tell: Tell) -> None:
        _silence()
        session.perform_collect()
        functions = _functions_of(self._file)
        gc.freeze()
        self._meet(numbers, lambda mutant: self._exchanged(session, mutant, functions), tell)

    def _meet(self, numbers: Iterable[int], meeting: Callable[[Mutant], int], tell: Tell) -> None:
        for number in numbers:
            if time.monotonic() < self._order.ends_at_s:
                mutant = self._mutants[number]
                tell(Verdict(number=number, fate=self._forked(lambda mutant=mutant: meeting(mutant))))  # type: ignore[misc]

    def _exchanged(
        self, session: pytest.Session, mutant: Mutant, functions: Mapping[tuple[str, int], Sequence[FunctionType]]
    ) -> int:
        changed = [code for code in _codes(self._compiled(mutant)) if code.co_qualname == mutant.function]
        for code in changed:
            for function in functions.get((code.co_qualname, code.co_firstlineno), ()):
                try:
                    function.__code__ = code
                except ValueError:  # It closes over other names now: it must be made anew.
                    return _PASSED
        return _run_collected(session)

    def _imported(self, session: pytest.Session, mutant: Mutant) -> int:
        sys.meta_path.insert(0, _Finder(_module_name(mutant.path), self._file, self._compiled(mutant)))
        return self._run_anew(session)

    def _run_anew(self, session: pytest.Session) -> int:
        """Collect and run; what tests/conftest.py brought along is imported again if the module is among it."""
        for name in [name for name in sys.modules if self._is_early and name.partition(".")[0] in _OURS]:
            del sys.modules[name]
        session.perform_collect()
        return _run_collected(session)

    def _compiled(self, mutant: Mutant) -> CodeType:
        return compile(mutant.tree(self._source), self._file, "exec", dont_inherit=True)

    def _forked(self, run: Callable[[], int]) -> str:
        """What became of the tests in a fork, which ends when its time is over."""
        if (pid := os.fork()) == 0:
            code = _FAILED
            try:
                os.setpgid(0, 0)
                _silence()
                code = run()
            finally:
                os._exit(code)
        with os.fdopen(os.pidfd_open(pid)) as ended:
            in_time, _, _ = select.select([ended], [], [], self._limit_s)
        if not in_time:
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not in_time:
            return TIMED_OUT
        return SURVIVED if os.waitstatus_to_exitcode(status) == _PASSED else KILLED


class _Finder(MetaPathFinder, Loader):
    """Gives one module the code of its mutant."""

    def __init__(self, name: str, file: str, code: CodeType) -> None:
        self._name, self._file, self._code = name, file, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_file_location(fullname, self._file, loader=self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102 - the code is our own, changed by us


def _run_collected(session: pytest.Session) -> int:
    """Until the first test fails."""
    items = session.items
    for item, following in zip(items, [*items[1:], None], strict=True):
        if session.testsfailed:
            break
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return _FAILED if session.testsfailed or not items else _PASSED


def _functions_of(file: str) -> Mapping[tuple[str, int], Sequence[FunctionType]]:
    """Every function that a file made, also where others hold it, by qualified name and line."""
    found: dict[tuple[str, int], list[FunctionType]] = {}
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename == file:
            found.setdefault((thing.__code__.co_qualname, thing.__code__.co_firstlineno), []).append(thing)
    return found


def _codes(code: CodeType) -> Iterable[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _module_name(path: str) -> str:
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _write(descriptor: int, verdict: Verdict) -> None:
    os.write(descriptor, msgspec.json.encode(verdict) + b"\n")


def main(order: Order) -> int:
    """Tell each verdict, a line of JSON, to standard output; 2 if the tests fail as they stand."""
    telling = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    plugin = Mutating(order, lambda verdict: _write(telling, verdict))
    pytest.main([*_OPTIONS, *order.tests], plugins=[plugin])
    if plugin.trouble is not None:
        print(plugin.trouble, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Order)))
