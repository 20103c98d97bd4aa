"""Who publishes what and who consumes it: the one place from which exchanges, queues, bindings and users are made."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import AccountCommand, ActivityRecorded, DeadLetterCommand, TransferRequested
from shared.contracts.transfer import AccountChanged, TransferRefused, TransferSettled
from shared.settings import role_of, role_password

REPLIES_EXCHANGE = "remit.replies"
DEAD_LETTER_EXCHANGE = "remit.dead"

SALT_BYTES = 4

# The broker's own backstop. Clean closes count too, so our own count of attempts parks a killer long before.
DELIVERY_LIMIT = 100
# Of a queue behind which there is no other. Where nothing is said RabbitMQ 4 takes 20, and drops what exceeds it.
DEAD_DELIVERY_LIMIT = 1_000_000

PUBLISHED: Mapping[str, tuple[str, ...]] = {
    "gateway": (TransferRequested.TYPE, AccountCommand.TYPE, ActivityRecorded.TYPE, DeadLetterCommand.TYPE),
    "fraud": (TransferScreened.TYPE,),
    "transfer": (TransferSettled.TYPE, AccountChanged.TYPE),
    "ledger": (),
    "audit": (),
}

# What is told to the waiting gateway alone, through the exchange of replies.
REPLIED: Mapping[str, tuple[str, ...]] = {
    "transfer": (TransferSettled.TYPE, TransferRefused.TYPE, AccountChanged.TYPE),
}

# Of these types each message is for one service: its routing key names that, and no other service sees it.
ADDRESSED = frozenset({DeadLetterCommand.TYPE})


@dataclass(frozen=True, kw_only=True)
class QueueSpec:
    """A durable work queue, the one service that consumes it, and the message types it holds."""

    name: str
    consumer: str
    types: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The routing keys by which its messages come."""
        return tuple(routing_key(t, self.consumer if t in ADDRESSED else "") for t in self.types)


def routing_key(message_type: str, recipient: str = "") -> str:
    """The key under which a message is published: its type and, where it is for one service, that."""
    return f"{message_type}.{recipient}" if recipient else message_type


def command_queue(service: str) -> str:
    """The queue of what operators have decided on the service's dead letters."""
    return f"{service}.dead_letter_commands"


QUEUES: tuple[QueueSpec, ...] = (
    QueueSpec(name="fraud.requested", consumer="fraud", types=(TransferRequested.TYPE,)),
    QueueSpec(name="fraud.settled", consumer="fraud", types=(TransferSettled.TYPE,)),
    QueueSpec(name="transfer.screened", consumer="transfer", types=(TransferScreened.TYPE,)),
    QueueSpec(
        name="transfer.account_commands",
        consumer="transfer",
        types=(AccountCommand.TYPE,),
    ),
    QueueSpec(name="ledger.settled", consumer="ledger", types=(TransferSettled.TYPE,)),
    QueueSpec(
        name="audit.events",
        consumer="audit",
        types=(
            TransferScreened.TYPE,
            TransferSettled.TYPE,
            AccountChanged.TYPE,
            ActivityRecorded.TYPE,
        ),
    ),
    *(
        QueueSpec(name=command_queue(service), consumer=service, types=(DeadLetterCommand.TYPE,))
        for service in ("fraud", "transfer", "ledger", "audit")
    ),
)
CONSUMERS = tuple(sorted({queue.consumer for queue in QUEUES}))


def exchange_of(message_type: str) -> str:
    """The exchange of the one service that publishes this type."""
    return next(exchange_name(service) for service, types in PUBLISHED.items() if message_type in types)


def exchange_name(service: str) -> str:
    """The exchange to which only `service` may write."""
    return f"remit.{service}"


def queues_of(message_type: str, recipient: str = "") -> tuple[str, ...]:
    """The queues that hold this type, or those of one recipient; a publisher makes sure that they all exist."""
    return tuple(queue.name for queue in QUEUES if message_type in queue.types and recipient in {"", queue.consumer})


def reply_queue(instance: str) -> str:
    """The queue of one gateway instance, made and deleted by it."""
    return f"gateway.replies.{instance}"


def dead_letter_queue(service: str) -> str:
    """Where the broker puts what exceeded the delivery limit of the service's queues."""
    return f"{service}.dead_letters"


def definitions(
    administrator: str,
    administrator_password: str,
    vhost: str = "/",
    *,
    passwords: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The broker's definitions: loaded at every boot, so that a wiped broker comes back whole.

    A service that is not named in `passwords` gets the one that derives from the administrator's
    (`shared.settings.role_password`).
    """
    given = passwords or {}
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            _user(administrator, administrator_password, "administrator"),
            *(
                _user(role_of(name), given.get(name) or role_password(administrator_password, role_of(name)), "")
                for name in PUBLISHED
            ),
        ],
        "permissions": [
            {
                "user": administrator,
                "vhost": vhost,
                "configure": ".*",
                "write": ".*",
                "read": ".*",
            },
            *({"user": role_of(name), "vhost": vhost, **_permissions(name)} for name in PUBLISHED),
        ],
        "exchanges": [
            *(_exchange(exchange_name(name), "topic", vhost) for name, types in PUBLISHED.items() if types),
            _exchange(REPLIES_EXCHANGE, "direct", vhost),
            _exchange(DEAD_LETTER_EXCHANGE, "direct", vhost),
        ],
        "queues": [
            *(_work_queue(queue, vhost) for queue in QUEUES),
            *(_dead_queue(s, vhost) for s in CONSUMERS),
        ],
        "bindings": [
            *(
                _binding(exchange_of(message_type), queue.name, key, vhost)
                for queue in QUEUES
                for message_type, key in zip(queue.types, queue.keys, strict=True)
            ),
            *(_binding(DEAD_LETTER_EXCHANGE, dead_letter_queue(q.consumer), q.name, vhost) for q in QUEUES),
        ],
    }


def _user(name: str, password: str, tags: str) -> dict[str, Any]:
    # The salt is derived, so that the same secrets give the same file and a reload changes nothing.
    salt = hashlib.sha256(f"remit salt {name} {password}".encode()).digest()[:SALT_BYTES]
    return {
        "name": name,
        "password_hash": hashed(password, salt),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }


def hashed(password: str, salt: bytes) -> str:
    """A password as the broker keeps it (RabbitMQ's salted SHA-256)."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _permissions(service: str) -> dict[str, str]:
    reads = [queue.name for queue in QUEUES if queue.consumer == service]
    reads += [dead_letter_queue(service)] if service in CONSUMERS else []
    writes = [exchange_name(service)] if PUBLISHED[service] else []
    configure, replies = "^$", r"gateway\.replies\..*"
    if service == "gateway":
        # Binding its reply queue needs write on the queue and read on the exchange.
        configure = f"^{replies}$"
        return {
            "configure": configure,
            "write": f"^({re.escape(writes[0])}|{replies})$",
            "read": f"^({replies}|{re.escape(REPLIES_EXCHANGE)})$",
        }
    if service in REPLIED:
        writes.append(REPLIES_EXCHANGE)
    return {"configure": configure, "write": _any_of(writes), "read": _any_of(reads)}


def _any_of(names: list[str]) -> str:
    return f"^({'|'.join(re.escape(name) for name in names)})$" if names else "^$"


def _exchange(name: str, kind: str, vhost: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": vhost,
        "type": kind,
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _work_queue(queue: QueueSpec, vhost: str) -> dict[str, Any]:
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key": queue.name,
        "x-dead-letter-strategy": "at-least-once",
        # At-least-once dead-lettering needs it, and a full queue must refuse, never drop.
        "x-overflow": "reject-publish",
    }
    return {
        "name": queue.name,
        "vhost": vhost,
        "durable": True,
        "auto_delete": False,
        "arguments": arguments,
    }


def _dead_queue(service: str, vhost: str) -> dict[str, Any]:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}
    name = dead_letter_queue(service)
    return {
        "name": name,
        "vhost": vhost,
        "durable": True,
        "auto_delete": False,
        "arguments": arguments,
    }


def _binding(source: str, queue: str, key: str, vhost: str) -> dict[str, Any]:
    return {
        "source": source,
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    }
