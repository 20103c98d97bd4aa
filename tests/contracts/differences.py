"""What differs between two OpenAPI documents, and whether it breaks a client that was written by the older one.

A client sends what the older document allowed and reads what it promised. So of what is sent nothing may be asked for
in addition or refused that was taken; of what is answered nothing may be missing, or be of a kind that was not named.
Texts and examples are nobody's contract.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Node = Mapping[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
# What each says is allowed from below, from above.
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_DEPTH_MAX = 30


class Way(Enum):
    """Who reads it: the server what is sent, the client what is answered."""

    SENT = "sent"
    ANSWERED = "answered"


@dataclass(frozen=True)
class Difference:
    """Where, what, and whether a client of the older document breaks."""

    place: str
    what: str
    breaks: bool

    def __str__(self) -> str:
        return f"{'breaking' if self.breaks else 'compatible'}: {self.place}: {self.what}"


def differences(old: Node, new: Node) -> list[Difference]:
    """All of them, in the order of the documents."""
    return [*Comparison(old, new).run()]


class Comparison:
    """Two documents side by side."""

    def __init__(self, old: Node, new: Node) -> None:
        self._old, self._new = old, new

    def run(self) -> Iterator[Difference]:
        before, now = _operations(self._old), _operations(self._new)
        for name in before.keys() - now.keys():
            yield Difference(name, "is gone", breaks=True)
        for name in now.keys() - before.keys():
            yield Difference(name, "is new", breaks=False)
        for name in (name for name in before if name in now):
            yield from self._operation(name, before[name], now[name])

    def _operation(self, place: str, old: Node, new: Node) -> Iterator[Difference]:
        if not old.get("security") and new.get("security"):
            yield Difference(place, "needs a token now", breaks=True)
        yield from self._parameters(place, old, new)
        yield from self._body(f"{place} body", old.get("requestBody"), new.get("requestBody"))
        yield from self._responses(place, old["responses"], new["responses"])

    def _parameters(self, place: str, old: Node, new: Node) -> Iterator[Difference]:
        before, now = ({(p["in"], p["name"]): p for p in node.get("parameters", ())} for node in (old, new))
        for key in sorted(before.keys() | now.keys()):
            where = f"{place} {key[0]} {key[1]}"
            was, is_ = before.get(key), now.get(key)
            if is_ is None:
                yield Difference(where, "is not taken any more", breaks=True)
            elif was is None:
                yield Difference(where, "is taken now", breaks=bool(is_.get("required")))
            else:
                if is_.get("required") and not was.get("required"):
                    yield Difference(where, "is required now", breaks=True)
                yield from self._schema(where, was.get("schema", {}), is_.get("schema", {}), Way.SENT)

    def _body(self, place: str, old: Node | None, new: Node | None) -> Iterator[Difference]:
        if new is None:
            if old is not None:
                yield Difference(place, "is not taken any more", breaks=True)
            return
        if old is None:
            yield Difference(place, "is taken now", breaks=bool(new.get("required")))
            return
        yield from self._contents(place, old["content"], new["content"], Way.SENT)

    def _responses(self, place: str, old: Node, new: Node) -> Iterator[Difference]:
        for status in sorted(old.keys() | new.keys()):
            where = f"{place} {status}"
            if status not in new:
                # A refusal that does not come any more hurts nobody.
                yield Difference(where, "is not answered any more", breaks=status < "400")
            elif status not in old:
                # Clients go by the class of a refusal, and by its code; another success they do not know.
                yield Difference(where, "is answered now", breaks=status < "400")
            else:
                for name in sorted(old[status].get("headers", {}).keys() - new[status].get("headers", {}).keys()):
                    yield Difference(where, f"has no header {name} any more", breaks=True)
                was, is_ = old[status].get("content", {}), new[status].get("content", {})
                yield from self._contents(where, was, is_, Way.ANSWERED)

    def _contents(self, place: str, old: Node, new: Node, way: Way) -> Iterator[Difference]:
        for media in sorted(old.keys() | new.keys()):
            if media not in new:
                yield Difference(place, f"has no {media} any more", breaks=True)
            elif media not in old:
                yield Difference(place, f"has {media} now", breaks=False)
            else:
                yield from self._schema(place, old[media]["schema"], new[media]["schema"], way)

    def _schema(self, place: str, old: Node, new: Node, way: Way, depth: int = 0) -> Iterator[Difference]:
        if depth > _DEPTH_MAX:
            return
        was, is_ = _resolved(self._old, old), _resolved(self._new, new)
        yield from _kinds(place, was, is_, way)
        yield from _bounds(place, was, is_, way)
        yield from _choices(place, was, is_, way)
        yield from self._properties(place, was, is_, way, depth)
        if "items" in was and "items" in is_:
            yield from self._schema(f"{place}[]", was["items"], is_["items"], way, depth + 1)
        yield from self._alternatives(place, was, is_, way, depth)

    def _properties(self, place: str, old: Node, new: Node, way: Way, depth: int) -> Iterator[Difference]:
        before, now = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() | now.keys()):
            where = f"{place}.{name}"
            if name not in now:
                # Unknown fields are refused, so one that is not known any more is, too.
                yield Difference(where, "is gone", breaks=True)
            elif name not in before:
                yield Difference(where, "is new", breaks=way is Way.SENT and name in needs)
            else:
                if (name in needs) != (name in needed):
                    is_now = name in needs
                    says = "is required now" if is_now else "may be missing now"
                    yield Difference(where, says, breaks=is_now == (way is Way.SENT))
                yield from self._schema(where, before[name], now[name], way, depth + 1)

    def _alternatives(self, place: str, old: Node, new: Node, way: Way, depth: int) -> Iterator[Difference]:
        """Alternatives are told apart by what they are; those that stand in both are compared."""
        for word in ("anyOf", "oneOf"):
            before = {_name(one): one for one in old.get(word, ())}
            now = {_name(one): one for one in new.get(word, ())}
            for name in sorted(before.keys() - now.keys()):
                yield Difference(place, f"cannot be {name} any more", breaks=way is Way.SENT)
            for name in sorted(now.keys() - before.keys()):
                yield Difference(place, f"can be {name} now", breaks=way is Way.ANSWERED)
            for name in sorted(before.keys() & now.keys()):
                yield from self._schema(place, before[name], now[name], way, depth + 1)


def _operations(document: Node) -> dict[str, Node]:
    return {
        f"{method.upper()} {path}": node
        for path, methods in document["paths"].items()
        for method, node in methods.items()
        if method in _METHODS
    }


def _resolved(document: Node, node: Node) -> Node:
    while "$ref" in node:
        *_, group, name = node["$ref"].split("/")
        node = document["components"][group][name]
    return node


def _name(alternative: Node) -> str:
    return str(alternative.get("$ref") or alternative.get("format") or _types(alternative) or json.dumps(alternative))


def _types(node: Node) -> Sequence[str]:
    kinds = node.get("type", ())
    return [kinds] if isinstance(kinds, str) else sorted(kinds)


def _kinds(place: str, old: Node, new: Node, way: Way) -> Iterator[Difference]:
    was, is_ = set(_types(old)), set(_types(new))
    if was == is_:
        return
    # Nothing said: anything.
    gone, come = (was - is_ if is_ else set(), is_ - was) if was else (is_, set())
    if gone:
        yield Difference(place, f"is not {' or '.join(sorted(gone))} any more", breaks=way is Way.SENT)
    if come or (was and not is_):
        yield Difference(place, f"can be {' or '.join(sorted(come)) or 'anything'} now", breaks=way is Way.ANSWERED)


def _bounds(place: str, old: Node, new: Node, way: Way) -> Iterator[Difference]:
    for word in (*_LEAST, *_MOST):
        was, is_ = old.get(word), new.get(word)
        if was == is_:
            continue
        is_tighter = was is None or (is_ is not None and (is_ > was) == (word in _LEAST))
        yield Difference(place, f"{word} is {is_}, was {was}", breaks=is_tighter == (way is Way.SENT))
    for word in ("pattern", "format"):
        if old.get(word) != new.get(word):
            is_looser = new.get(word) is None
            says = f"{word} is {new.get(word)}, was {old.get(word)}"
            # Which of two patterns takes more nobody can tell.
            yield Difference(place, says, breaks=not is_looser if way is Way.SENT else old.get(word) is not None)


def _choices(place: str, old: Node, new: Node, way: Way) -> Iterator[Difference]:
    if "enum" not in old and "enum" not in new:
        return
    if "enum" not in old or "enum" not in new:
        says = "is one of a few now" if "enum" in new else "is not one of a few any more"
        yield Difference(place, says, breaks=("enum" in new) == (way is Way.SENT))
        return
    was, is_ = (set(map(str, node["enum"])) for node in (old, new))
    for value in sorted(was - is_):
        yield Difference(place, f"is never {value} any more", breaks=way is Way.SENT)
    for value in sorted(is_ - was):
        yield Difference(place, f"can be {value} now", breaks=way is Way.ANSWERED)
