"""Who calls, as far as the network tells, and what of the address limits count."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from starlette.requests import Request

from services.gateway.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REMEMBERED = 10_000


class ClientAddresses:
    """Reads `X-Forwarded-For` from the right, and only as far as trusted proxies vouch for it."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, request: Request) -> str:
        """The client's address in its one spelling, a mapped IPv4 as IPv4; empty if unknown."""
        peer = request.client.host if request.client else ""
        if not self._trusted:
            return _spelled(peer)
        return _spelled(self._client(peer, request.headers.getlist("x-forwarded-for")))

    def _client(self, peer: str, forwarded: Sequence[str]) -> str:
        hops = [hop.strip() for line in forwarded for hop in line.split(",")]
        client = peer
        while self._vouches(client) and hops:
            hop = without_port(hops.pop())
            if parsed(hop) is None:
                # What a trusted proxy passes on unreadable is as far as can be told.
                break
            client = hop
        return client

    def _vouches(self, host: str) -> bool:
        address = parsed(host)
        return address is not None and any(
            address.version == network.version and address in network for network in self._trusted
        )


def parsed(host: str) -> Address | None:
    """The address, a mapped IPv4 as IPv4; None if it is not one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=_REMEMBERED)
def _spelled(host: str) -> str:
    address = parsed(host)
    return "" if address is None else str(address)


@lru_cache(maxsize=_REMEMBERED)
def counted_as(address: str) -> str:
    """What limits count for all addresses that one client can easily use: IPv6 by its /64; empty if unknown."""
    found = parsed(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return "" if found is None else str(found)


def without_port(hop: str) -> str:
    """The address or name of `host:port`, as it stands in a header."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
