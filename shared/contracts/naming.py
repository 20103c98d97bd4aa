"""What logs and traces call an item: the ids by which it is found again, and nothing of what it holds."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.base import Context, Message

_IDS = ("transfer_id", "command_id", "activity_id", "letter_id")
# In a `traceparent`, after its version.
_TRACE_ID = slice(3, 35)


def context_of(item: Message) -> Context | None:
    """Who asked for it, from where; None for what is told to one gateway alone."""
    context = getattr(getattr(item, "instruction", item), "context", None)
    return context if isinstance(context, Context) else None


def named(item: Message) -> Mapping[str, str]:
    """Its transfer or command, and the request that it came with."""
    subject = getattr(item, "instruction", item)
    found = {name: str(value) for name in _IDS if (value := getattr(subject, name, None)) is not None}
    context = context_of(item)
    return found if context is None else {**found, **named_request(context.request_id, context.traceparent)}


def named_request(request_id: str, traceparent: str) -> Mapping[str, str]:
    """A request, and its trace if it has one."""
    return {"request_id": request_id} | ({"trace_id": traceparent[_TRACE_ID]} if traceparent else {})
