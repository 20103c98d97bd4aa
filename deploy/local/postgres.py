"""A private PostgreSQL: one database, owned by one role; its only way in is loopback, with a password."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from deploy.local import programs
from deploy.local.accounts import Account, give, is_root, private_folder, server_account
from deploy.local.daemons import Command
from deploy.local.errors import StackError
from deploy.local.files import write_private
from deploy.local.layout import Layout
from deploy.local.parts import NotReady
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.programs import Program

LEAST = (15,)
OWNER = "remit"
DATABASE = "remit"
PROBE_TIMEOUT_S = 2
SETUP_TIMEOUT_S = 60
_BUFFERS_MB_LEAST = 256
_BUFFERS_MB_MOST = 4_096

# Rolls back what runs and ends cleanly; SIGTERM would wait for every client to leave.
FAST_SHUTDOWN = signal.SIGINT
# Ends at once and recovers from its log at the next start.
IMMEDIATE_SHUTDOWN = signal.SIGQUIT

_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
_HBA_OF_STANDBYS = f"host replication {OWNER} 127.0.0.1/32 scram-sha-256\n"

_CREATE = """\
CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{password}';

CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';

"""
_RENEW = """\
ALTER ROLE {owner} PASSWORD '{password}';

"""
_FEED = """\
ALTER ROLE {owner} REPLICATION;

"""


def find(version: tuple[int, ...] = LEAST) -> Program | None:
    """The newest installed `postgres`; Debian keeps each version in a folder of its own."""
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin/postgres"), *Path("/usr").glob("pgsql-*/bin/postgres")]
    on_path = programs.which("postgres")
    return programs.best([*candidates, *([on_path.resolve()] if on_path else [])], version)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The server that a standby follows, and the name under which it does."""

    port: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """The server as a part of the stack."""

    program: Program
    layout: Layout
    password: str
    # False: without fsync, for data that end with the test.
    durable: bool
    name: str = "postgres"
    processes: tuple[str, ...] = ("postgres",)
    # The name of the standby that has to hold each commit before it is answered; the owner's role feeds it.
    standby: str | None = None
    # Begins as a copy of this server, and follows it under this name until it is promoted.
    follows: Followed | None = None

    @property
    def home(self) -> Path:
        """Everything of this server."""
        return self.layout.home(self.name)

    @property
    def cluster(self) -> Path:
        """The data directory."""
        return self.home / "cluster"

    @property
    def account(self) -> Account | None:
        """The user it runs as; it refuses to be root."""
        account = server_account("postgres")
        if account is None and is_root():
            raise StackError(self.name, "does not run as root, and there is no user 'postgres'; create one")
        return account

    def choose_ports(self, ports: Ports) -> Mapping[str, int]:
        """One port."""
        return {"postgres": ports.choose("postgres")}

    def url(self, ports: Mapping[str, int]) -> str:
        """The owner's address."""
        return address(self.password, ports)

    def prepare(self, ports: Mapping[str, int]) -> None:
        """Make the cluster, whole or not at all, and see that the owner's password is today's."""
        private_folder(self.home, self.account)
        give(self.home, self.account)
        if not self.cluster.exists():
            self._create()
        self._check_version()
        self._drop_stale_pid()
        if self.follows is None:
            self._renew_password()
        write_private(self.cluster / "postgresql.conf", self._config(ports["postgres"]), owner=self.account)
        write_private(self.cluster / "pg_hba.conf", self._hba(), owner=self.account)

    def commands(self, ports: Mapping[str, int]) -> list[Command]:
        """The server itself."""
        return [
            Command(
                name=self.name,
                argv=(str(self.program.path), "-D", str(self.cluster)),
                env={"PATH": programs.SYSTEM_PATH, "LANG": "C.UTF-8"},
                cwd=self.cluster,
                ports=ports,
                account=self.account,
                inputs=self._config(ports["postgres"]) + self._hba() + self.program.release,
                stop_signal=FAST_SHUTDOWN,
                stop_timeout_s=60,
                death_signal=IMMEDIATE_SHUTDOWN,
            )
        ]

    def probe(self, ports: Mapping[str, int]) -> None:
        """Log in as the owner."""
        probe(self.url(ports))

    def describe(self, ports: Mapping[str, int]) -> str:
        """Version and address."""
        return f"PostgreSQL {self.program.release} on {LOOPBACK}:{ports['postgres']}"

    def _config(self, port: int) -> str:
        lines = [
            f"listen_addresses = '{LOOPBACK}'",
            f"port = {port}",
            # Without a socket in the file system there is no second way in, and no limit on the length of its path.
            "unix_socket_directories = ''",
            *(f"{key} = {value}" for key, value in settings(durable=self.durable).items()),
            *([f"synchronous_standby_names = '{self.standby}'"] if self.standby else []),
        ]
        return "".join(f"{line}\n" for line in lines)

    def _hba(self) -> str:
        return _HBA + _HBA_OF_STANDBYS if self.standby else _HBA

    def _create(self) -> None:
        # Made aside and renamed, so that one interrupted leaves nothing that looks finished.
        new = self.home / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        if self.follows is None:
            self._initialise(new)
        else:
            self._copy(self.follows, new)
        new.rename(self.cluster)

    def _copy(self, followed: Followed, new: Path) -> None:
        place = f"host={LOOPBACK} port={followed.port} user={OWNER} application_name={followed.name}"
        copy = (str(self.program.path.with_name("pg_basebackup")), "-d", place, "-D", str(new))
        # -R writes how to follow, with the password, into the copy.
        options = ("-R", "-X", "stream", "-c", "fast", *(() if self.durable else ("--no-sync",)))
        self._run((*copy, *options), env={"PGPASSWORD": self.password})

    def _initialise(self, new: Path) -> None:
        initdb = (str(self.program.path.with_name("initdb")), "-D", str(new), "-U", "postgres")
        options = ("--encoding=UTF8", "--locale=C", "--auth=reject", *(() if self.durable else ("--no-sync",)))
        self._run((*initdb, *options))
        self._single(new, _CREATE + _FEED if self.standby else _CREATE)

    def _renew_password(self) -> None:
        stamp = self.home / "password.sha256"
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != digest:
            self._single(self.cluster, _RENEW)
            write_private(stamp, digest, owner=self.account)

    def promote(self) -> None:
        """Have a standby that runs become a primary, and wait until it is one."""
        self._run((str(self.program.path.with_name("pg_ctl")), "promote", "-w", "-D", str(self.cluster)))

    def _single(self, cluster: Path, statements: str) -> None:
        # In single-user mode no superuser ever needs a password, so none exists that could be lost.
        script = _filled(statements, self.password)
        self._run((str(self.program.path), "--single", "-j", "-D", str(cluster), "postgres"), script)

    def _run(self, argv: tuple[str, ...], script: str = "", env: Mapping[str, str] | None = None) -> None:
        account, log = self.account, self.layout.log(self.name)
        with log.open("ab") as output:
            done = subprocess.run(
                argv,
                input=script.encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env={"PATH": programs.SYSTEM_PATH, "LANG": "C.UTF-8", **(env or {})},
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [account.gid],
                timeout=SETUP_TIMEOUT_S,
                check=False,
            )
        if done.returncode != 0:
            raise StackError(self.name, f"{Path(argv[0]).name} failed", log=log)

    def _check_version(self) -> None:
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        if made_by != str(self.program.version[0]):
            problem = f"the data were made by PostgreSQL {made_by}, {self.program.release} is installed"
            raise StackError(self.name, f"{problem}; install {made_by}, or `make reset` to begin anew")

    def _drop_stale_pid(self) -> None:
        # After a crash of the machine its pid may belong to anyone, and PostgreSQL would not start beside it.
        path = self.cluster / "postmaster.pid"
        if not path.exists():
            return
        process = Path("/proc") / path.read_text().split("\n", 1)[0].strip()
        if not (process / "cwd").exists() or not (process / "cwd").samefile(self.cluster):
            path.unlink()


def address(password: str, ports: Mapping[str, int]) -> str:
    """The owner's address."""
    return f"postgresql://{OWNER}:{password}@{LOOPBACK}:{ports['postgres']}/{DATABASE}"


def settings(*, durable: bool) -> dict[str, str]:
    """How it runs, wherever that is; not `durable`: without fsync, for data that end with the test."""
    chosen = {
        "password_encryption": "scram-sha-256",
        "max_connections": "100",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_lock_waits": "on",
    }
    lasting = {
        "shared_buffers": f"{_buffers_mb()}MB",
        # Ids are drawn, so rows meet every page of their indexes, and the first change of a page after a checkpoint
        # writes it whole to the WAL. At some millions of rows too many checkpoints make that most of all writing.
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        "wal_buffers": "64MB",
    }
    hasty = {
        "shared_buffers": f"{_BUFFERS_MB_LEAST}MB",
        "max_wal_size": "2GB",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    return {**chosen, **(lasting if durable else hasty)}


def _buffers_mb() -> int:
    """An eighth of this machine's memory, which leaves room for all else that a developer runs there."""
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return max(_BUFFERS_MB_LEAST, min(memory_mb // 8, _BUFFERS_MB_MOST))


def creation(password: str) -> str:
    """The statements that a superuser of an empty cluster runs once: the owner and its database."""
    return _filled(_CREATE, password)


def _filled(statements: str, password: str) -> str:
    return statements.format(owner=OWNER, password=password, database=DATABASE)


def probe(url: str) -> str:
    """Log in and ask for the name and version of what answers.

    Raises:
        NotReady: it does not answer, refuses the login, or is too old.
    """
    try:
        with psycopg.connect(url, connect_timeout=PROBE_TIMEOUT_S) as connection:
            connection.execute("SELECT 1")
            major = connection.info.server_version // 10_000
            said = connection.info.parameter_status("server_version") or ""
    except psycopg.Error as error:
        raise NotReady(str(error).strip().replace("\n", " ")) from None
    if (major,) < LEAST:
        raise NotReady(f"PostgreSQL {major} is too old; {LEAST[0]} or newer is needed")
    # Packagers add their own number: "15.18 (Debian 15.18-0+deb12u1)".
    return f"PostgreSQL {said.partition(' ')[0]}"
