"""Bytes on a connection, where a client library would not send them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_TIMEOUT_S = 20.0


@contextmanager
def connected(url: str, *, receive_buffer_bytes: int | None = None) -> Iterator[socket.socket]:
    """A connection to where `url` is served."""
    with connect(url, receive_buffer_bytes=receive_buffer_bytes) as connection:
        yield connection


def connect(url: str, *, receive_buffer_bytes: int | None = None) -> socket.socket:
    """The same for the caller to close."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.settimeout(_TIMEOUT_S)
    if receive_buffer_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.connect((address.hostname, address.port))
    return connection


def exchanged(url: str, sent: bytes) -> bytes:
    """All that is answered until the other side closes; `sent` should ask for that, or be refused."""
    with connected(url) as connection:
        connection.sendall(sent)
        return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the other side closes or cuts the connection."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def statuses(answers: bytes) -> list[int]:
    """The status of each answer in what was read, in order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]
