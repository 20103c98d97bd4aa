"""Mutants: small changes to a module, each of which a good test should notice.

A mutant is named by what it changes and where, not by a line number, so that its name outlives other edits. Not
changed, because no behaviour hangs on it: docstrings, annotations, decorators, options of classes, the texts of
errors, what describes fields to the readers of the API, `__all__`, protocols.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
_TEXT_MAX = 90
# Arguments by which fields are described in the API's document.
_FOR_READERS = frozenset({"description", "examples", "extra_json_schema"})

Place = tuple[str | int, ...]
Change = tuple[ast.AST, ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One change. `function` is the outermost function it lies in, by its qualified name; empty outside of any."""

    path: str
    function: str
    text: str
    line: int
    place: Place
    number: int

    @property
    def name(self) -> str:
        """What stands for it, in its module, in reports and in the file of reasons."""
        return f"{self.function or 'module'}: {self.text}"

    def tree(self, source: str) -> ast.Module:
        """The module with this change."""
        tree = ast.parse(source)
        found = _at(tree, self.place)
        changed = list(_changes(found))[self.number][1]
        _put(tree, self.place, ast.copy_location(changed, found))
        return ast.fix_missing_locations(tree)


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines; those that read the same are numbered."""
    found: list[Mutant] = []
    seen: Counter[tuple[str, str]] = Counter()
    for node, place, function in _walk(ast.parse(source), (), ""):
        for number, (before, after) in enumerate(_changes(node)):
            text = f"`{_text(before)}` → `{_text(after)}`"
            seen[function, text] += 1
            again = f" ({seen[function, text]})" if seen[function, text] > 1 else ""
            found.append(Mutant(path, function, text + again, getattr(node, "lineno", 0), place, number))
    return found


def _walk(node: ast.AST, place: Place, function: str, scope: str = "") -> Iterator[tuple[ast.AST, Place, str]]:
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_left_alone(node, field, child):
                continue
            at = (*place, field, index) if isinstance(value, list) else (*place, field)
            inside, name = function, scope
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{scope}.{child.name}" if scope else child.name
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and field == "body":
                inside = function or scope
            yield child, at, inside
            yield from _walk(child, at, inside, name)


def _is_left_alone(parent: ast.AST, field: str, child: ast.AST) -> bool:  # noqa: PLR0911 - one return a rule
    if field in {"annotation", "returns", "decorator_list", "bases", "type_params"} or isinstance(child, ast.Import):
        return True
    if isinstance(child, ast.ClassDef):
        return any(ast.unparse(base).startswith("Protocol") for base in child.bases)
    if isinstance(child, ast.Assign):
        return ast.unparse(child.targets[0]) == "__all__" or "TypeVar" in ast.unparse(child.value)
    if isinstance(child, ast.keyword):
        return child.arg in _FOR_READERS or isinstance(parent, ast.ClassDef)
    if isinstance(parent, ast.Raise | ast.Assert):
        return field in {"exc", "cause", "msg"}
    if isinstance(parent, ast.JoinedStr | ast.FormattedValue):
        return field == "format_spec" or isinstance(child, ast.Constant)
    is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
    return is_text and field == "body"


def _changes(node: ast.AST) -> Iterator[Change]:
    for kind, changes in _CHANGES:
        if isinstance(node, kind):
            for after in changes(node):
                yield node, after


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for index, operator in enumerate(node.ops):
        after = copy.deepcopy(node)
        after.ops[index] = _COMPARISONS[type(operator)]()
        yield after


def _boolean(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    if len(node.values) > 2:
        for index in range(len(node.values)):
            yield ast.BoolOp(node.op, node.values[:index] + node.values[index + 1 :])


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node.operand


def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    yield ast.BinOp(node.left, _OPERATIONS[type(node.op)](), node.right)


def _augmented(node: ast.AugAssign) -> Iterator[ast.AST]:
    yield ast.AugAssign(node.target, _OPERATIONS[type(node.op)](), node.value)
    yield ast.Pass()


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int():
            yield ast.Constant(node.value + 1)
        case str() as text:
            yield ast.Constant(text + "~")
        case bytes() as octets:
            yield ast.Constant(octets + b"~")


def _choice(node: ast.IfExp) -> Iterator[ast.AST]:
    yield ast.IfExp(node.test, node.orelse, node.body)


def _branch(node: ast.If | ast.While) -> Iterator[ast.AST]:
    if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
        after = copy.copy(node)
        after.test = ast.UnaryOp(ast.Not(), node.test)
        yield after


def _filtered(node: ast.comprehension) -> Iterator[ast.AST]:
    for index in range(len(node.ifs)):
        yield ast.comprehension(node.target, node.iter, node.ifs[:index] + node.ifs[index + 1 :], node.is_async)


def _returned(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield ast.Return(ast.Constant(None))


def _called(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        kept = [] if node.func.id == "sorted" else node.keywords
        yield ast.Call(ast.Name(_CALLS[node.func.id], ast.Load()), node.args, kept)


def _left_out(node: ast.stmt) -> Iterator[ast.AST]:
    yield ast.Pass()


def _assigned(node: ast.Assign) -> Iterator[ast.AST]:
    if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
        yield ast.Pass()


def _turned(node: ast.Continue | ast.Break) -> Iterator[ast.AST]:
    yield ast.Break() if isinstance(node, ast.Continue) else ast.Continue()


_CHANGES: Sequence[tuple[type[ast.AST] | tuple[type[ast.AST], ...], Callable[..., Iterator[ast.AST]]]] = (
    (ast.Compare, _compare),
    (ast.BoolOp, _boolean),
    (ast.UnaryOp, _unary),
    (ast.BinOp, _binary),
    (ast.AugAssign, _augmented),
    (ast.Constant, _constant),
    (ast.IfExp, _choice),
    ((ast.If, ast.While), _branch),
    (ast.comprehension, _filtered),
    (ast.Return, _returned),
    (ast.Call, _called),
    ((ast.Expr, ast.Raise, ast.Delete), _left_out),
    (ast.Assign, _assigned),
    ((ast.Continue, ast.Break), _turned),
)


def _at(tree: ast.AST, place: Place) -> ast.AST:
    found: object = tree
    for step in place:
        found = found[step] if isinstance(step, int) else getattr(found, step)  # type: ignore[index]
    assert isinstance(found, ast.AST)
    return found


def _put(tree: ast.AST, place: Place, node: ast.AST) -> None:
    *way, last = place
    if isinstance(last, int):
        holder = getattr(_at(tree, tuple(way[:-1])), str(way[-1]))
        holder[last] = node
    else:
        setattr(_at(tree, tuple(way)), last, node)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.comprehension):
        text = ast.unparse(ast.GeneratorExp(ast.Name("…", ast.Load()), [node]))
    elif isinstance(node, ast.Pass):
        return "pass"
    elif isinstance(node, ast.If | ast.While):
        text = f"if {ast.unparse(node.test)}"
    else:
        text = ast.unparse(node)
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…"
