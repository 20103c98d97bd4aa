"""A PostgreSQL primary and its synchronous standby, which takes over when the primary is gone for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from deploy.local import postgres, secrets
from deploy.local.daemons import Daemons
from deploy.local.layout import Layout
from deploy.local.parts import Bringing, bring_up
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.postgres import IMMEDIATE_SHUTDOWN, Followed, Postgres
from deploy.local.private import PrivateServers
from deploy.local.secrets import Secrets
from deploy.local.stack import silent
from deploy.local.testing import temporary_state
from remit.prove.proxy import Proxy

_NAME = "standby"
_START_TIMEOUT_S = 60.0
# The standby hears nothing for so long before the primary is lost: a commit that did not wait for it is answered.
_SILENT_S = 1.0


class Server:
    """One of the two; it is started when it is made."""

    def __init__(self, folder: Path, known: Secrets, *, follows: Followed | None) -> None:
        self._layout = Layout(folder)
        self._layout.create()
        self._daemons = Daemons(self._layout, tied=True)
        ports = Ports(self._layout.ports)
        servers = PrivateServers(self._layout, self._daemons, ports, known, durable=True, report=silent)
        servers.install_missing(["postgres"])
        servers.place_data()
        program = postgres.find()
        assert program is not None
        self._part = Postgres(
            program=program,
            layout=self._layout,
            password=known.postgres_owner_password,
            durable=True,
            standby=_NAME if follows is None else None,
            follows=follows,
        )
        way = Bringing(self._part, self._layout, self._daemons, ports)
        bring_up([way], timeout_s=_START_TIMEOUT_S, report=silent)
        self.port = way.chosen["postgres"]

    def lose(self) -> None:
        """Ends it at once; whoever was answered before was told the truth, and nobody is answered after."""
        self._daemons.stop(["postgres"], signal_number=IMMEDIATE_SHUTDOWN)

    def promote(self) -> None:
        """Makes it a primary."""
        self._part.promote()

    def end(self) -> None:
        """Ends it and removes what it leaves."""
        self.lose()
        self._layout.wipe()


class Pair:
    """Both, behind one address."""

    def __init__(self, primary: Server, standby: Server, feed: Proxy, proxy: Proxy, password: str) -> None:
        self._primary = primary
        self._standby = standby
        self._feed = feed
        self._proxy = proxy
        self._password = password

    def addresses(self) -> dict[str, str]:
        """The setting that names the database, whichever server is behind it."""
        return {"REMIT_POSTGRES_URL": postgres.address(self._password, {"postgres": self._proxy.port})}

    async def fail_over(self) -> None:
        """The primary is gone and never comes back: only then is the standby promoted, and all are sent to it."""
        self._feed.stall()
        await asyncio.sleep(_SILENT_S)
        await asyncio.to_thread(self._primary.lose)
        await self._feed.cut()
        self._feed.resume()
        await asyncio.to_thread(self._standby.promote)
        self._proxy.turn_to(LOOPBACK, self._standby.port)


@asynccontextmanager
async def open_pair() -> AsyncIterator[Pair]:
    """A primary that answers no commit before its standby has it on disk; nothing of them is left afterwards."""
    async with AsyncExitStack() as exits:
        state = exits.enter_context(temporary_state())
        known = secrets.load(state / "secrets")
        primary = await asyncio.to_thread(Server, state / "primary", known, follows=None)
        exits.push_async_callback(asyncio.to_thread, primary.end)
        feed = await exits.enter_async_context(Proxy(LOOPBACK, primary.port).running())
        follows = Followed(port=feed.port, name=_NAME)
        standby = await asyncio.to_thread(Server, state / "standby", known, follows=follows)
        exits.push_async_callback(asyncio.to_thread, standby.end)
        proxy = await exits.enter_async_context(Proxy(LOOPBACK, primary.port).running())
        yield Pair(primary, standby, feed, proxy, known.postgres_owner_password)
