"""What stands at the broker beside what the definitions say. Passwords are compared as their hashes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remit.doctor.findings import Finding, noted, wrong
from shared.contracts.topology import SALT_BYTES, hashed

Definitions = Mapping[str, Any]
Thing = Mapping[str, Any]

_SEND = "run `remit migrate`, which sends the definitions"
# A policy that says any of these may drop, expire or divert what a work queue holds.
_HARMFUL = frozenset(
    {"message-ttl", "expires", "max-length", "max-length-bytes", "overflow", "dead-letter-exchange", "delivery-limit"}
)
_REPLIES = "gateway.replies."


def differences(
    expected: Definitions, present: Definitions, vhost: str, passwords: Mapping[str, str]
) -> Sequence[Finding]:
    """All of them; those that need nobody's hands have nothing to do. `passwords` are those of our users, by name."""
    return [
        *_users(expected, present, passwords),
        *_permissions(expected, present, vhost),
        *_exchanges(expected, present, vhost),
        *_queues(expected, present, vhost),
        *_bindings(expected, present, vhost),
        *_policies(expected, present, vhost),
    ]


def _users(expected: Definitions, present: Definitions, passwords: Mapping[str, str]) -> Iterator[Finding]:
    known = {user["name"]: user for user in present["users"]}
    for user in expected["users"]:
        name, there = user["name"], known.pop(user["name"], None)
        if there is None:
            yield wrong(f"the broker knows no user {name}", _SEND)
        elif not _is_password(there, passwords[name]):
            yield wrong(f"the password of the broker's user {name} is not the one that its address carries", _SEND)
        elif more := set(_tags(there)) - set(_tags(user)):
            yield wrong(f"the broker's user {name} is tagged {', '.join(sorted(more))}: it may manage it", _SEND)
    if "guest" in known:
        yield wrong("the broker has a user guest, whose password everybody knows", "rabbitmqctl delete_user guest")
    if others := sorted(known.keys() - {"guest"}):
        yield noted(f"the broker has users that are none of ours: {', '.join(others)}")


def _is_password(user: Thing, password: str) -> bool:
    salt = base64.b64decode(user["password_hash"])[:SALT_BYTES]
    return bool(user["password_hash"] == hashed(password, salt))


def _tags(user: Thing) -> Sequence[str]:
    tags = user["tags"]
    return [tag for tag in (tags.split(",") if isinstance(tags, str) else tags) if tag]


def _permissions(expected: Definitions, present: Definitions, vhost: str) -> Iterator[Finding]:
    known = {one["user"]: one for one in present["permissions"] if one["vhost"] == vhost}
    for one in expected["permissions"]:
        name, there = one["user"], known.get(one["user"])
        if there is None:
            yield wrong(f"the broker's user {name} has no permissions in {vhost}", _SEND)
            continue
        for act in ("configure", "write", "read"):
            if there[act] != one[act]:
                yield wrong(f"the broker's user {name} may {act} {there[act]!r} instead of {one[act]!r}", _SEND)


def _exchanges(expected: Definitions, present: Definitions, vhost: str) -> Iterator[Finding]:
    known = {one["name"]: one for one in present["exchanges"] if one["vhost"] == vhost}
    for one in expected["exchanges"]:
        there = known.get(one["name"])
        if there is None:
            yield wrong(f"the exchange {one['name']} does not exist: its service cannot publish", _SEND)
        elif said := _unlike(there, one, ("type", "durable", "auto_delete", "internal")):
            yield wrong(f"the exchange {one['name']} has {said}", f"delete it, then {_SEND}")


def _queues(expected: Definitions, present: Definitions, vhost: str) -> Iterator[Finding]:
    known = {one["name"]: one for one in present["queues"] if one["vhost"] == vhost}
    for one in expected["queues"]:
        there = known.pop(one["name"], None)
        if there is None:
            yield wrong(f"the queue {one['name']} does not exist: what it would hold is refused", _SEND)
        elif said := _unlike(there, one, ("durable", "auto_delete")) or _unlike(
            there["arguments"], one["arguments"], sorted(there["arguments"].keys() | one["arguments"].keys())
        ):
            yield wrong(f"the queue {one['name']} has {said}", f"when it is empty, delete it, then {_SEND}")
    if others := sorted(name for name in known if not name.startswith(_REPLIES)):
        yield noted(f"the broker has queues that are none of ours: {', '.join(others)}")


def _unlike(there: Thing, expected: Thing, names: Sequence[str]) -> str:
    unlike = (name for name in names if there.get(name) != expected.get(name))
    return ", ".join(f"{name} {there.get(name)} instead of {expected.get(name)}" for name in unlike)


def _bindings(expected: Definitions, present: Definitions, vhost: str) -> Iterator[Finding]:
    ours = {one["name"] for one in expected["queues"]}
    known = {_binding(one) for one in present["bindings"] if one["vhost"] == vhost}
    wanted = {_binding(one) for one in expected["bindings"]}
    for source, queue, key in sorted(wanted - known):
        yield wrong(f"the queue {queue} is not bound to {source} by {key}: nobody sends it that", _SEND)
    for source, queue, key in sorted(known - wanted):
        if queue in ours:
            yield wrong(f"the queue {queue} is bound to {source} by {key}, too", "unbind it: its service parks that")


def _binding(one: Thing) -> tuple[str, str, str]:
    return one["source"], one["destination"], one["routing_key"]


def _policies(expected: Definitions, present: Definitions, vhost: str) -> Iterator[Finding]:
    """Ours are the queues' own arguments; a policy beside them may be somebody's, and then it must be harmless."""
    for policy in (one for one in present["policies"] if one["vhost"] == vhost):
        queues = [one["name"] for one in expected["queues"] if re.search(policy["pattern"], one["name"])]
        if not queues or policy.get("apply-to") == "exchanges":
            continue
        says = f"the policy {policy['name']} is over {', '.join(queues)}"
        if harmful := sorted(_HARMFUL & policy["definition"].keys()):
            do = f"rabbitmqctl clear_policy {policy['name']} (or clear_operator_policy)"
            yield wrong(f"{says}, and sets {', '.join(harmful)}: messages may be dropped", do)
        else:
            yield noted(f"{says}, and sets {', '.join(sorted(policy['definition']))}")
