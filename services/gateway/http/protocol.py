"""What is no HTTP at all is refused in the same form as everything else; no request reaches the application."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.domain import bodies
from services.gateway.errors import MalformedRequest
from services.gateway.http.responses import PROBLEM_JSON
from shared.ids import random_id


class Protocol(HttpToolsProtocol):
    """The server's protocol, with this service's problems."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what the parser said helps nobody
        """Answers what the parser does not take, and closes the connection."""
        request_id = random_id().hex
        body = bodies.encode(bodies.problem(MalformedRequest(), request_id))
        head = (
            f"HTTP/1.1 {HTTPStatus.BAD_REQUEST.value} {HTTPStatus.BAD_REQUEST.phrase}\r\n"
            f"content-type: {PROBLEM_JSON}\r\n"
            f"content-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
