"""Answers that are streamed: whole, or visibly broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

# A client that takes nothing for so long has gone, whatever its connection says.
SEND_TIMEOUT_S = 30.0


class Download(StreamingResponse):
    """A file made while it is sent.

    Where making it fails, the error goes up to the server, which closes the connection without the last chunk: over
    HTTP/1.1 no client takes that for the end (RFC 9112, 8).
    """

    def __init__(self, parts: AsyncGenerator[bytes], *, media_type: str, filename: str) -> None:
        super().__init__(parts, headers={"Content-Type": media_type})
        self.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        async with aclosing(self._parts):
            await super().__call__(scope, receive, send_in_time)
