"""What the broker delivered, read: the items of an envelope, and dead letters of what nobody can read in it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aio_pika.abc import AbstractIncomingMessage

from shared.contracts.base import Message
from shared.contracts.envelope import Unreadable, open_header, read_each, read_items
from shared.messaging.dead_letters import Letter


@dataclass
class Delivery:
    """One message as it came, and what it holds."""

    message: AbstractIncomingMessage
    items: list[Message]
    unreadable: list[Letter]
    sent_at: datetime | None = None

    @property
    def redeliveries(self) -> int:
        count = self.message.headers.get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0

    @property
    def age_s(self) -> float | None:
        """How long ago it was published, by this machine's clock; None where it does not say."""
        if self.sent_at is None or self.sent_at.tzinfo is None:
            return None
        return max((datetime.now(UTC) - self.sent_at).total_seconds(), 0.0)


def read(message: AbstractIncomingMessage, queue: str, types: Container[str]) -> Delivery:
    """A message of `queue`, on which these types belong. One bad item spoils no other."""

    def letter(text: str, reason: str, message_type: str) -> Letter:
        return Letter(message_type=message_type, reason="poison", detail=reason, origin=queue, item=text)

    try:
        header = open_header(message.body)
        if header.type not in types:
            raise Unreadable(f"type {header.type!r} does not belong on {queue}")
    except Unreadable as error:
        text = message.body.decode("utf-8", "backslashreplace")
        return Delivery(message, [], [letter(text, str(error), message.type or "unknown")])
    try:
        return Delivery(message, read_items(header), [], header.sent_at)
    except Unreadable:
        each = list(read_each(header))
    return Delivery(
        message,
        [item for _, item in each if isinstance(item, Message)],
        [
            letter(bytes(raw).decode("utf-8", "backslashreplace"), str(item), header.type)
            for raw, item in each
            if isinstance(item, Unreadable)
        ],
    )


def messages_without(deliveries: Sequence[Delivery], items: Sequence[Message]) -> list[AbstractIncomingMessage]:
    """The messages that hold none of `items`."""
    out = {id(item) for item in items}
    return [delivery.message for delivery in deliveries if not any(id(item) in out for item in delivery.items)]
