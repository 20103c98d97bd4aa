"""An export while it is read: bytes as they come, or rows; one that breaks off is an error, never a short file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import msgspec

from remit.client.errors import Interrupted, UnexpectedAnswer
from remit.client.http import LOSSES
from remit.client.reports import AuditRow

_decoder = msgspec.json.Decoder(AuditRow)


class Lines:
    """Puts lines together from bytes that break anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def rows(self, chunk: bytes) -> list[AuditRow]:
        """The rows whose lines are whole now.

        Raises:
            UnexpectedAnswer: a line is no row.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        try:
            return [_decoder.decode(line) for line in lines if line]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnexpectedAnswer(f"the export holds something unexpected: {error}") from None

    def end(self) -> None:
        """There is no more.

        Raises:
            Interrupted: the last line is not whole.
        """
        if self._rest:
            raise Interrupted("the export ended within a row")


class Export:
    """An export under way, for callers that block."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """The file, in the pieces in which it comes.

        Raises:
            Interrupted: it broke off.
        """
        try:
            yield from self._response.iter_bytes()
        except LOSSES as error:
            raise _broken(error) from None

    def rows(self) -> Iterator[AuditRow]:
        """The rows of an export as ndjson; raises as `chunks` does."""
        lines = Lines()
        for chunk in self.chunks():
            yield from lines.rows(chunk)
        lines.end()


class AsyncExport:
    """An export under way, for callers that await."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file, in the pieces in which it comes.

        Raises:
            Interrupted: it broke off.
        """
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except LOSSES as error:
            raise _broken(error) from None

    async def rows(self) -> AsyncIterator[AuditRow]:
        """The rows of an export as ndjson; raises as `chunks` does."""
        lines = Lines()
        async for chunk in self.chunks():
            for row in lines.rows(chunk):
                yield row
        lines.end()


def _broken(error: Exception) -> Interrupted:
    return Interrupted(f"the export broke off ({type(error).__name__}); ask for it again")
