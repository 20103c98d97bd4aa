"""`make mutate`: see how many small changes to the code the tests notice."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec

from deploy.local.layout import CHECKOUT
from deploy.local.testing import temporary_stack
from tests.mutation.mutants import mutants_of
from tests.mutation.plan import TARGETS, Target
from tests.mutation.report import KILLED_MIN, NO_REASON, Tried, page, reasons, share
from tests.mutation.session import Order, Verdict

PAGE = CHECKOUT / "docs/mutation.md"
# They speak of the run around the tests: its own tally, its own rule for what is skipped.
_NOT_FOR_SESSIONS = ("REMIT_TEST_TALLY", "CI")


def main(arguments: Sequence[str]) -> int:
    """0 if enough of what decides was noticed, 1 if not, 2 if the tests fail as they stand."""
    options = _options(arguments)
    ends_at_s = time.monotonic() + options.seconds
    targets = [target for target in TARGETS if not options.only or options.only in target.path]
    alone = [target for target in targets if not target.on_servers]
    on_servers = [target for target in targets if target.on_servers]
    chosen = _chosen(on_servers, options.sample, options.seed)
    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            # The longest first, so that none is left alone at the end.
            longest = sorted(alone, key=lambda target: -len(_source(target)))
            done = dict(zip(longest, pool.map(lambda target: _try(target, None, ends_at_s, {}), longest), strict=True))
        tried = [done[target] for target in alone]
        with _servers(chosen) as addresses:
            tried += [_try(target, numbers, ends_at_s, addresses) for target, numbers in chosen.items()]
    except subprocess.CalledProcessError:
        return 2
    if not options.only:
        PAGE.write_text(page(tried, seed=options.seed), encoding="utf-8")
    return _judged(tried)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", default="", help="modules whose path holds this; the page is not written")
    parser.add_argument("--seconds", type=float, default=3_600.0, help="begin no mutant after so many (default 3600)")
    parser.add_argument("--sample", type=int, default=60, help="mutants tried on servers, of all (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="sessions side by side (default 2)")
    return parser.parse_args(arguments)


def _source(target: Target) -> str:
    return (CHECKOUT / target.path).read_text(encoding="utf-8")


def _chosen(targets: Sequence[Target], count: int, seed: int) -> Mapping[Target, Sequence[int]]:
    """So many mutants of all of these modules together, drawn by the seed."""
    every = [(at, number) for at, target in enumerate(targets) for number in _numbers(target)]
    drawn = random.Random(seed).sample(every, min(count, len(every)))  # noqa: S311 - a sample, no secret
    return {target: sorted(n for where, n in drawn if where == at) for at, target in enumerate(targets)}


def _numbers(target: Target) -> range:
    return range(len(mutants_of(target.path, _source(target))))


@contextmanager
def _servers(chosen: Mapping[Target, Sequence[int]]) -> Iterator[Mapping[str, str]]:
    """Addresses of servers for all sessions, as somebody else's, so that none of them starts its own."""
    if not any(chosen.values()):
        yield {}
        return
    with temporary_stack() as stack:
        stack.start_servers()
        yield {"REMIT_INFRA": "external", **stack.servers.addresses.settings()}


def _try(target: Target, numbers: Sequence[int] | None, ends_at_s: float, addresses: Mapping[str, str]) -> Tried:
    """All mutants of a module, or some; told as they end."""
    mutants = mutants_of(target.path, _source(target))
    tried = Tried(target, len(mutants))
    asked = range(len(mutants)) if numbers is None else numbers
    if not asked or time.monotonic() > ends_at_s:
        return tried
    order = Order(path=target.path, tests=target.tests, numbers=list(asked), ends_at_s=ends_at_s)
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_SESSIONS}
    done = subprocess.run(
        (sys.executable, "-m", "tests.mutation.session", msgspec.json.encode(order).decode()),
        cwd=CHECKOUT,
        env={**kept, **addresses},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    for line in done.stdout.splitlines():
        verdict = msgspec.json.decode(line, type=Verdict)
        tried.fates[mutants[verdict.number]] = verdict.fate
    known = reasons().get(target.path, {})
    print(
        f"{target.path}: {tried.killed} of {len(tried.fates)} noticed",
        *(f"  {m.line}: {m.name}: {known.get(m.name, NO_REASON)}" for m in tried.survivors),
        sep="\n",
        flush=True,
    )
    return tried


def _judged(tried: Sequence[Tried]) -> int:
    known = reasons()
    for one in tried:
        given = known.get(one.target.path, {})
        stale = set(given) - {mutant.name for mutant in mutants_of(one.target.path, _source(one.target))}
        for name in sorted(stale):
            print(f"{one.target.path}: a reason for what is no mutant: {name}")
    whole = [one for one in tried if not one.target.on_servers]
    print(f"noticed of what decides: {100 * share(whole):.1f} %")
    return 0 if share(whole) >= KILLED_MIN else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
