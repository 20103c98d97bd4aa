"""The messages, exchanges and queues as an AsyncAPI 3 document: made from the contracts and the topology alone.

A channel is an exchange with a routing key, to which one service sends, or a queue, from which one receives; AMQP knows
no other link between the two than the bindings, which stand at the queue (`x-bindings`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.envelope import ITEMS_MAX, MESSAGES
from shared.contracts.export import file_name
from shared.contracts.topology import QueueSpec

Node = dict[str, Any]

_VERSION = "1"
_BINDING = "0.3.0"
_PERSISTENT, _TRANSIENT = 2, 1
_SCHEMAS = "../shared/contracts/schemas"
_DESCRIPTION = (
    "What Remit's services tell each other over RabbitMQ. Each message is an envelope of items of one type and "
    "version; fields may be added, and a consumer ignores those that it does not know. An unknown type or version is "
    "parked, never guessed."
)


def document() -> Node:
    """The whole document."""
    defined = topology.definitions("administrator", "")
    exchanges = {exchange["name"]: exchange for exchange in defined["exchanges"]}
    queues = {queue["name"]: queue for queue in defined["queues"]}
    sent = list(_sent())
    channels = {
        _id(exchange, address): _routed(exchanges[exchange], address, types) for exchange, address, types in sent
    }
    channels |= {_id(spec.name): _queued(queues[spec.name], spec.types, defined) for spec in topology.QUEUES}
    channels |= {
        _id(name): _queued(queues[name], _dead_types(service), defined)
        for service, name in ((service, topology.dead_letter_queue(service)) for service in topology.CONSUMERS)
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Remit", "version": _VERSION, "description": _DESCRIPTION},
        "servers": {"rabbitmq": _server()},
        "defaultContentType": "application/json",
        "channels": {**channels, _id(topology.reply_queue("")): _reply_queue()},
        "operations": dict(_operations()),
        "components": {
            "messages": {_id(name): _message(message) for name, message in MESSAGES.items()},
            "securitySchemes": {"user": {"type": "userPassword", "description": "Each service has a user of its own."}},
        },
    }


def _server() -> Node:
    return {
        "host": "rabbitmq:5672",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ 3.10 or newer.",
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }


def _sent() -> Iterator[tuple[str, str, Sequence[str]]]:
    """Exchange, address and types of each channel that is sent to."""
    for service, types in topology.PUBLISHED.items():
        for message_type in types:
            recipient = "{recipient}" if message_type in topology.ADDRESSED else ""
            yield topology.exchange_name(service), topology.routing_key(message_type, recipient), (message_type,)
    for types in topology.REPLIED.values():
        yield topology.REPLIES_EXCHANGE, "{instance}", types


def _routed(exchange: Mapping[str, Any], address: str, types: Sequence[str]) -> Node:
    binding = {
        "is": "routingKey",
        "exchange": {
            "name": exchange["name"],
            "type": exchange["type"],
            "durable": exchange["durable"],
            "autoDelete": exchange["auto_delete"],
        },
        "bindingVersion": _BINDING,
    }
    channel: Node = {"address": address, "messages": _references(types), "bindings": {"amqp": binding}}
    if address.endswith("{recipient}"):
        channel["parameters"] = {"recipient": {"enum": list(topology.CONSUMERS), "description": "Whom it is for."}}
    if address == "{instance}":
        channel["parameters"] = {"instance": {"description": "The gateway that waits, as `reply_to` names it."}}
    return channel


def _queued(queue: Mapping[str, Any], types: Sequence[str], defined: Mapping[str, Any]) -> Node:
    return {
        "address": queue["name"],
        "messages": _references(types),
        "bindings": {"amqp": _queue_binding(queue["name"], durable=queue["durable"], auto_delete=queue["auto_delete"])},
        "x-arguments": queue["arguments"],
        "x-bindings": [
            {"exchange": binding["source"], "routingKey": binding["routing_key"]}
            for binding in defined["bindings"]
            if binding["destination"] == queue["name"]
        ],
    }


def _reply_queue() -> Node:
    name = topology.reply_queue("{instance}")
    types = sorted({message_type for types in topology.REPLIED.values() for message_type in types})
    binding = _queue_binding(name, durable=False, auto_delete=True, exclusive=True)
    return {
        "address": name,
        "description": "Made by each gateway for itself, and gone with it. A reply that is lost is read from the row.",
        "messages": _references(types),
        "parameters": {"instance": {"description": "The gateway's name, `REMIT_GATEWAY_INSTANCE`."}},
        "bindings": {"amqp": binding},
        "x-bindings": [{"exchange": topology.REPLIES_EXCHANGE, "routingKey": "{instance}"}],
    }


def _queue_binding(name: str, *, durable: bool, auto_delete: bool, exclusive: bool = False) -> Node:
    queue = {"name": name, "durable": durable, "exclusive": exclusive, "autoDelete": auto_delete}
    return {"is": "queue", "queue": queue, "bindingVersion": _BINDING}


def _dead_types(service: str) -> Sequence[str]:
    """Whatever the service's queues hold may exceed the delivery limit."""
    return sorted({held for spec in topology.QUEUES if spec.consumer == service for held in spec.types})


def _references(types: Sequence[str]) -> Node:
    return {_id(name): {"$ref": f"#/components/messages/{_id(name)}"} for name in types}


def _message(message: type[Message]) -> Node:
    return {
        "name": message.TYPE,
        "title": f"{message.TYPE}, version {message.VERSION}",
        "summary": (inspect.getdoc(message) or "").split("\n", 1)[0],
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "x-delivery-count": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Set by the broker from the second delivery on.",
                }
            },
        },
        "payload": _envelope(message),
        "bindings": {"amqp": {"messageType": message.TYPE, "bindingVersion": _BINDING}},
    }


def _envelope(message: type[Message]) -> Node:
    properties = {
        "envelope_id": {"type": "string", "format": "uuid", "description": "Random; nothing is deduplicated on it."},
        "type": {"const": message.TYPE},
        "version": {"const": message.VERSION},
        "sent_at": {"type": "string", "format": "date-time"},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": ITEMS_MAX,
            "items": {"$ref": f"{_SCHEMAS}/{file_name(message.TYPE, message)}"},
        },
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _operations() -> Iterator[tuple[str, Node]]:
    for service, types in topology.PUBLISHED.items():
        for message_type in types:
            key = topology.routing_key(message_type, "{recipient}" if message_type in topology.ADDRESSED else "")
            channel = _id(topology.exchange_name(service), key)
            said = f"{service} tells every queue that holds it; confirmed by the broker."
            yield _id(service, "sends", message_type), _operation("send", channel, (message_type,), said, _PERSISTENT)
    for service, types in topology.REPLIED.items():
        channel = _id(topology.REPLIES_EXCHANGE, "{instance}")
        said = f"{service} answers the gateway that waits; a loss is only counted."
        yield _id(service, "replies"), _operation("send", channel, types, said, _TRANSIENT)
    for queue in (*topology.QUEUES, *_dead_queues()):
        said = f"{queue.consumer} acknowledges what it has committed."
        name = _id(queue.consumer, "receives", queue.name)
        yield name, _operation("receive", _id(queue.name), queue.types, said, None)
    replied = sorted({message_type for types in topology.REPLIED.values() for message_type in types})
    said = "Each gateway hears of what its own calls wait for."
    yield "gateway_receives_replies", _operation("receive", _id(topology.reply_queue("")), replied, said, None)


def _dead_queues() -> Iterator[QueueSpec]:
    for service in topology.CONSUMERS:
        name, types = topology.dead_letter_queue(service), tuple(_dead_types(service))
        yield QueueSpec(name=name, consumer=service, types=types)


def _operation(action: str, channel: str, types: Sequence[str], said: str, delivery_mode: int | None) -> Node:
    node: Node = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": said,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{_id(name)}"} for name in types],
    }
    if delivery_mode is not None:
        mandatory = delivery_mode == _PERSISTENT
        binding = {"deliveryMode": delivery_mode, "mandatory": mandatory, "bindingVersion": _BINDING}
    else:
        binding = {"ack": not channel.startswith("gateway"), "bindingVersion": _BINDING}
    return {**node, "bindings": {"amqp": binding}}


def _id(*parts: str) -> str:
    """A name as the document's maps may have it."""
    return "_".join(part.replace(".", "_").strip("_{}") for part in parts).replace("{", "")
