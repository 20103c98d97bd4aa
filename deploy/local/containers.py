"""The three servers as containers: official images, given the same settings as the private instances."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.local import postgres, rabbitmq, redis_server
from deploy.local.secrets import Secrets
from shared.contracts import topology
from shared.settings import role_password

# Beyond it the broker's virtual machine would reserve memory for descriptors that nobody opens.
DESCRIPTORS_MAX = 65_536
_SUPERUSER = "postgres"


@dataclass(frozen=True, kw_only=True)
class Container:
    """What is run, for whichever engine runs it."""

    image: str
    # Purpose -> port inside.
    ports: Mapping[str, int]
    # The folder inside whose contents must survive a restart.
    data: str
    command: tuple[str, ...]
    # Path inside -> contents.
    files: Mapping[str, str]
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    stop_timeout_s: int = 30

    @property
    def argv(self) -> tuple[str, ...]:
        """Writes the files, then becomes the server by way of the image's own entry point.

        A bind mount would need an engine that sees this machine's files, and files that the server's user may read.
        """
        writes = [f'printf %s "${variable}" >{path}; unset {variable}' for variable, path in self._variables().items()]
        limit = f"ulimit -n {DESCRIPTORS_MAX} 2>/dev/null || :"
        script = "; ".join((limit, *writes, 'exec docker-entrypoint.sh "$@"'))
        return ("sh", "-c", script, "sh", *self.command)

    @property
    def environment(self) -> dict[str, str]:
        """Its variables, and the files as variables."""
        return {**self.env, **{variable: self.files[path] for variable, path in self._variables().items()}}

    def fingerprint(self) -> str:
        """Changes whenever a running container would differ from one started now."""
        parts = [self.image, sorted(self.ports.items()), self.argv, sorted(self.environment.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _variables(self) -> dict[str, str]:
        return {f"REMIT_FILE_{number}": path for number, path in enumerate(sorted(self.files))}


def _postgres(secrets: Secrets, *, durable: bool) -> Container:
    settings = postgres.settings(durable=durable)
    return Container(
        image="postgres:17-alpine",
        ports={"postgres": 5432},
        data="/var/lib/postgresql/data",
        command=("postgres", *(word for key, value in settings.items() for word in ("-c", f"{key}={value}"))),
        # The owner is no superuser, here as elsewhere; the image insists on a password for its own.
        files={"/docker-entrypoint-initdb.d/owner.sql": postgres.creation(secrets.postgres_owner_password)},
        env={
            "POSTGRES_USER": _SUPERUSER,
            "POSTGRES_PASSWORD": role_password(secrets.postgres_owner_password, _SUPERUSER),
            **({} if durable else {"POSTGRES_INITDB_ARGS": "--no-sync"}),
        },
        stop_signal=postgres.FAST_SHUTDOWN.name,
        stop_timeout_s=60,
    )


def _redis(secrets: Secrets, *, durable: bool) -> Container:
    path = "/etc/remit-redis.conf"
    return Container(
        image="redis:8-alpine",
        ports={"redis": 6379},
        data="/data",
        command=("redis-server", "--include", path),
        files={path: redis_server.settings(secrets.redis_password, durable=durable)},
    )


def _rabbitmq(secrets: Secrets) -> Container:
    definitions = "/etc/rabbitmq/definitions.json"
    users = topology.definitions(rabbitmq.ADMINISTRATOR, secrets.amqp_administrator_password)
    return Container(
        image="rabbitmq:4-management-alpine",
        ports={"amqp": 5672, "management": 15672, "prometheus": 15692},
        data="/var/lib/rabbitmq",
        command=("rabbitmq-server",),
        files={
            definitions: json.dumps(users),
            "/etc/rabbitmq/rabbitmq.conf": f"load_definitions = {definitions}\nlog.console.level = info\n",
        },
        env={
            "RABBITMQ_NODENAME": rabbitmq.NODE,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": rabbitmq.NO_BUSY_WAITING,
        },
    )


def container_of(server: str, secrets: Secrets, *, durable: bool) -> Container:
    """The container of a server; `durable=False` trades safety in a crash of the machine for speed."""
    if server == "rabbitmq":
        return _rabbitmq(secrets)  # It syncs what it confirms in batches, and knows no hastier way.
    return {"postgres": _postgres, "redis": _redis}[server](secrets, durable=durable)
