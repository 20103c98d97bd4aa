"""What all messages have in common."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

import msgspec


class Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen value inside a message."""


class Message(Data, frozen=True, kw_only=True, omit_defaults=True):
    """One item of an envelope: something that was asked for or that happened."""

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1

    @property
    def event_id(self) -> UUID:
        """The id under which this event is counted once, wherever it arrives however often."""
        raise NotImplementedError

    @property
    def recipient(self) -> str:
        """The one service that this message is for; empty where every queue that holds its type gets it."""
        return ""


class Context(Data, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked, from where: travels with every message to every audit row."""

    request_id: str
    user_id: UUID | None = None
    ip: str = ""
    user_agent: str = ""
    traceparent: str = ""
