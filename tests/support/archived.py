"""A PostgreSQL that archives its WAL, copied while it works, and restored to a moment as an operator would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from deploy.local import postgres, secrets
from deploy.local.accounts import give, private_folder
from deploy.local.daemons import Daemons
from deploy.local.layout import Layout
from deploy.local.parts import Bringing, bring_up
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.postgres import IMMEDIATE_SHUTDOWN, OWNER, Postgres
from deploy.local.private import PrivateServers
from deploy.local.stack import silent
from deploy.local.testing import temporary_state
from tests.support.accepted import until

_START_TIMEOUT_S = 60.0
_FEED = f"ALTER ROLE {OWNER} REPLICATION;\n\n"


@dataclass(frozen=True, kw_only=True)
class Archived(Postgres):
    """The server as a part; `recovery` holds what its configuration says of the moment it is restored to."""

    recovery: str = ""

    @property
    def archive(self) -> Path:
        """Where its WAL goes, whatever becomes of the cluster."""
        return self.home / "archive"

    @property
    def copy(self) -> Path:
        """The base backup."""
        return self.home / "backup"

    def prepare(self, ports: Mapping[str, int]) -> None:
        """As every server; and its owner may copy it."""
        is_new = not self.cluster.exists()
        super().prepare(ports)
        private_folder(self.archive, self.account)
        give(self.archive, self.account)
        if is_new:
            self._single(self.cluster, _FEED)

    def _config(self, port: int) -> str:
        # A segment a second, so that a test need not fill sixteen megabytes.
        archiving = (
            "archive_mode = on\n"
            f"archive_command = 'test ! -f {self.archive}/%f && cp %p {self.archive}/%f'\n"
            "archive_timeout = 1\n"
        )
        return super()._config(port) + archiving + self.recovery

    def _hba(self) -> str:
        return f"{super()._hba()}host replication {OWNER} {LOOPBACK}/32 scram-sha-256\n"

    def back_up(self, port: int) -> None:
        """`pg_basebackup` of the server that runs; its WAL is in the archive."""
        copy = (str(self.program.path.with_name("pg_basebackup")), "-D", str(self.copy), "-X", "none", "-c", "fast")
        place = ("-d", f"host={LOOPBACK} port={port} user={OWNER}", "--no-manifest")
        self._run((*copy, *place), env={"PGPASSWORD": self.password})

    def put_back(self) -> None:
        """The copy in place of the cluster, which is lost, its last WAL with it."""
        shutil.rmtree(self.cluster)
        self.copy.rename(self.cluster)
        (self.cluster / "recovery.signal").touch()
        give(self.cluster / "recovery.signal", self.account)


class Server:
    """It runs from the moment it is made."""

    def __init__(self, folder: Path) -> None:
        self._layout = Layout(folder)
        self._layout.create()
        self._daemons = Daemons(self._layout, tied=True)
        self._ports = Ports(self._layout.ports)
        known = secrets.load(self._layout.secrets)
        servers = PrivateServers(self._layout, self._daemons, self._ports, known, durable=True, report=silent)
        servers.install_missing(["postgres"])
        servers.place_data()
        program = postgres.find()
        assert program is not None
        password = known.postgres_owner_password
        self._part = Archived(program=program, layout=self._layout, password=password, durable=True)
        self._start(self._part)

    def _start(self, part: Archived) -> None:
        way = Bringing(part, self._layout, self._daemons, self._ports)
        bring_up([way], timeout_s=_START_TIMEOUT_S, report=silent)
        self._chosen = way.chosen

    @property
    def url(self) -> str:
        """The owner's address, the same after it was restored."""
        return self._part.url(self._chosen)

    def back_up(self) -> None:
        """Copies it while it works."""
        self._part.back_up(self._chosen["postgres"])

    def moment(self) -> str:
        """Now, by its own clock."""
        return str(self._value("SELECT clock_timestamp()"))

    def wait_until_archived(self) -> None:
        """Returns once all that is written by now is in the archive."""
        segment = str(self._value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        until(lambda: str(self._value("SELECT last_archived_wal FROM pg_stat_archiver")) >= segment)

    def lose(self) -> None:
        """It is gone, with everything that is not in the archive."""
        self._daemons.stop(["postgres"], signal_number=IMMEDIATE_SHUTDOWN)

    def restore(self, moment: str) -> None:
        """Runs again, as it was at `moment`."""
        self._part.put_back()
        recovery = (
            f"restore_command = 'cp {self._part.archive}/%f %p'\n"
            f"recovery_target_time = '{moment}'\n"
            "recovery_target_action = promote\n"
        )
        self._start(replace(self._part, recovery=recovery))
        until(lambda: not self._value("SELECT pg_is_in_recovery()"))

    def end(self) -> None:
        """Ends it and removes what it leaves."""
        self.lose()
        self._layout.wipe()

    def _value(self, statement: str) -> object:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return None if row is None else row[0]


@contextmanager
def archived_server() -> Iterator[Server]:
    """One of its own; nothing of it is left afterwards."""
    with temporary_state() as state:
        server = Server(state / "archived")
        try:
            yield server
        finally:
            server.end()
