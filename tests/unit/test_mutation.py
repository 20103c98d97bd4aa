"""The mutator: what it changes, what it leaves alone, and that a change no test notices is told."""

from __future__ import annotations

import ast

import pytest

from deploy.local.layout import CHECKOUT
from tests.mutation.mutants import mutants_of
from tests.mutation.plan import TARGETS, Target
from tests.mutation.report import NO_REASON, Tried, page, share
from tests.mutation.session import KILLED, SURVIVED, TIMED_OUT


def test_all_that_decides_is_tried_whole() -> None:
    """Every module of a service's domain; what only lists the names of others has nothing to change."""
    domains = [*CHECKOUT.glob("services/*/domain.py"), *CHECKOUT.glob("services/*/domain/*.py")]
    there = {str(path.relative_to(CHECKOUT)) for path in domains if path.name != "__init__.py"}
    assert there
    assert there <= {target.path for target in TARGETS if not target.on_servers}


def changed(source: str) -> set[str]:
    """Every version of `source` with one change."""
    return {ast.unparse(mutant.tree(source)) for mutant in mutants_of("m.py", source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a and b", {"x = a or b"}),
        ("x = a and b and c", {"x = a or b or c", "x = b and c", "x = a and c", "x = a and b"}),
        ("x = not a", {"x = a"}),
        ("x = a + b", {"x = a - b"}),
        ("x += a", {"x -= a", "pass"}),
        ("x = 1", {"x = 2"}),
        ("x = True", {"x = False"}),
        ("x = 'a'", {"x = 'a~'"}),
        ("x = a if b else c", {"x = c if b else a"}),
        ("x = [a for a in b if c]", {"x = [a for a in b]"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = sorted(a, key=b)", {"x = list(a)"}),
        ("x.y = a", {"pass"}),
        ("f()", {"pass"}),
        ("if a:\n    f()", {"if not a:\n    f()", "if a:\n    pass"}),
        ("while a:\n    continue", {"while not a:\n    continue", "while a:\n    break"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("raise E('text')", {"pass"}),
    ],
)
def test_one_small_thing_is_changed_at_a_time(source: str, expected: set[str]) -> None:
    assert changed(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Docstring."""',
        "x: Literal['a'] = a",
        "def f(a: int | None) -> Literal['b']:\n    '''Docstring.'''\n    pass",
        "@d(frozen=True)\nclass A(B, slots=True):\n    '''Docstring.'''\n    x: int",
        "class A(Protocol):\n\n    def f(self):\n        return 1",
        "__all__ = ['a']",
        "T = TypeVar('T')",
        "x = Meta(description='text', examples=['text'])",
        "x = f'text {a} text'",
        "import a",
        "def f():\n    return None",
    ],
)
def test_what_no_behaviour_hangs_on_is_left_alone(source: str) -> None:
    assert changed(source) == set()


def test_a_mutants_name_outlives_other_edits_and_is_its_own() -> None:
    source = "class A:\n\n    def f(self):\n        return g(1) + g(1)"
    names = [mutant.name for mutant in mutants_of("m.py", source)]
    assert len(set(names)) == len(names) == 4
    assert "A.f: `1` → `2`" in names
    assert "A.f: `1` → `2` (2)" in names
    assert [mutant.name for mutant in mutants_of("m.py", f"import a\n\n{source}")] == names


def test_the_page_counts_what_was_noticed_and_names_what_was_not() -> None:
    first, second, third = mutants_of("m.py", "x = a < 1\ny = 2")
    tried = Tried(Target("m.py", ()), 3, {first: KILLED, second: TIMED_OUT, third: SURVIVED})
    assert share([tried]) == pytest.approx(2 / 3)
    written = page([tried], seed=1)
    assert "| m.py | 3 | 3 | 2 | 1 | 67 |" in written
    assert f"- {third.name}: {NO_REASON}" in written
    assert first.name not in written
    assert "Sampled" not in written
