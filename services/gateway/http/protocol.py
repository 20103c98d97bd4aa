"""The edge of the gateway: what is no HTTP, or more than can be done now, is answered here; nothing behind sees it."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from services.gateway.errors import MalformedRequest
from services.gateway.http.admission import (
    OVERLOADED,
    OVERLOADED_AND_CLOSED,
    REFUSED,
    Admission,
    PlainAnswer,
    Ticket,
    lane_of,
)
from services.gateway.http.frame import TICKET, count_refused, request_id_in
from shared.http import BoundedProtocol
from shared.ids import random_id

_MALFORMED = PlainAnswer(MalformedRequest(), closes=True)


class Protocol(BoundedProtocol):
    """The server's protocol, with this service's problems and its admission."""

    def __init__(self, *args: Any, admission: Admission, **options: Any) -> None:
        super().__init__(*args, **options)
        self._admission = admission

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what the parser said helps nobody
        """Answers what the parser does not take, and closes the connection."""
        self.transport.write(_MALFORMED.bytes_for(random_id().hex))
        self.transport.close()

    def turn_away(self) -> None:
        """Says why, and ends the connection."""
        REFUSED.labels("connections").inc()
        self.transport.write(OVERLOADED_AND_CLOSED.bytes_for(random_id().hex))
        self.transport.close()

    def on_body(self, body: bytes) -> None:
        """A part of the body, if there is room."""
        super().on_body(body)
        ticket = self._ticket()
        if ticket is not None and not ticket.read(len(body)) and not self.cycle.response_started:
            ticket.leave()
            self._refuse(self.cycle, "bodies", OVERLOADED_AND_CLOSED)
            # Whoever waits for the rest of it is told that nobody is there any more.
            self.cycle.disconnected = True
            self.transport.close()

    def on_message_complete(self) -> None:
        """From here on the call is under way."""
        super().on_message_complete()
        ticket = self._ticket()
        if ticket is not None:
            ticket.begin()

    def _ticket(self) -> Ticket | None:
        # None: not begun yet, because it stands behind another on this connection; or refused.
        ticket: Ticket | None = self.cycle.scope["state"].get(TICKET)
        return ticket

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cycle.scope
        lane = lane_of(scope["method"], scope["raw_path"])
        if not self._admission.admits(lane, scope["raw_path"]):
            self._refuse(cycle, "calls", OVERLOADED if cycle.keep_alive else OVERLOADED_AND_CLOSED)
            if not cycle.keep_alive:
                self.transport.close()
            self.on_response_complete()
            return
        ticket = scope["state"][TICKET] = Ticket(self._admission, lane)
        if not cycle.more_body:
            ticket.begin()
        super()._start_asgi_task(cycle, app)

    def _refuse(self, cycle: RequestResponseCycle, full: str, answer: PlainAnswer) -> None:
        REFUSED.labels(full).inc()
        count_refused(503)
        scope = cycle.scope
        self.transport.write(answer.bytes_for(request_id_in(scope["headers"]), has_body=scope["method"] != "HEAD"))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
