"""RabbitMQ, asked through its management API: nodes and alarms, and whether all stands as the definitions say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from deploy.local.parts import NotReady
from deploy.local.rabbitmq import LEAST, greet
from remit.commands.definitions import administrator, broker_definitions, broker_passwords
from remit.commands.migrate import without_user
from remit.doctor import topology
from remit.doctor.findings import Finding, fine, first_line, noted, wrong
from remit.doctor.secrecy import place_of
from shared.contracts.topology import QUEUES, dead_letter_queue
from shared.errors import SettingsError
from shared.settings import Environment, address_if_set, role_of

_TIMEOUT_S = 5.0
_SHARE_NOTED = 0.8
# Ready messages, each of up to a thousand transfers: a worker that keeps up has a handful.
_BACKLOG_NOTED = 10_000

Api = httpx.AsyncClient


async def examine(environment: Environment) -> Sequence[Finding]:
    """Nothing where no address is set, or a wrong one: that is told with the settings."""
    try:
        amqp, management = (address_if_set(environment, f"REMIT_AMQP_{name}URL") for name in ("", "MANAGEMENT_"))
    except SettingsError:
        return []
    found = await _greeted(amqp) if amqp else []
    return [*found, *await _managed(management, environment)] if amqp and management else found


async def _greeted(url: str) -> list[Finding]:
    where = place_of(url)
    try:
        said = await asyncio.to_thread(greet, url)
    except NotReady as error:
        return [wrong(f"RabbitMQ at {where} does not answer: {error}", "see that it runs; it takes seconds to start")]
    found = [fine(f"{said} answers at {where}")]
    version = said.removeprefix("RabbitMQ ").split(".")
    if version[0].isdecimal() and tuple(map(int, version[:2])) < LEAST:
        least = ".".join(map(str, LEAST))
        found.append(wrong(f"{said} is too old", f"upgrade it to {least} or newer"))
    return found


async def _managed(url: str, environment: Environment) -> Sequence[Finding]:
    who, where = administrator(environment), place_of(url)
    base, vhost = without_user(url), quote(who.vhost, safe="")
    try:
        async with Api(base_url=base, auth=(who.name, who.password), timeout=_TIMEOUT_S, trust_env=False) as api:
            nodes = await _get(api, "/api/nodes")
            definitions = await _get(api, "/api/definitions")
            operators = await _get(api, f"/api/operator-policies/{vhost}")
            queues = {queue["name"]: queue for queue in await _get(api, f"/api/queues/{vhost}")}
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        do = "REMIT_AMQP_URL must name the broker's administrator, with the password it has now"
        return [wrong(f"the broker's management API at {where} answers {status} to {who.name}", do)]
    except (httpx.HTTPError, ValueError) as error:
        do = "enable rabbitmq_management, and see that REMIT_AMQP_MANAGEMENT_URL is right"
        return [wrong(f"the broker's management API at {where} does not answer: {first_line(error)}", do)]
    present = {**definitions, "policies": [*definitions.get("policies", []), *operators]}
    passwords = {role_of(name): password for name, password in broker_passwords(environment).items()}
    differences = topology.differences(
        broker_definitions(environment), present, who.vhost, {**passwords, who.name: who.password}
    )
    agreed = fine("users, permissions, exchanges, queues and bindings stand as the definitions say")
    wrongs = [finding for finding in differences if finding.do]
    return [*_nodes(nodes), *([] if wrongs else [agreed]), *differences, *_work(queues, len(nodes))]


async def _get(api: Api, path: str) -> Any:
    answer = await api.get(path)
    answer.raise_for_status()
    return answer.json()


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for node in nodes:
        name = node["name"]
        if not node.get("running"):
            yield wrong(f"the node {name} does not run", "start it: while a majority runs, nothing is lost")
            continue
        if node.get("mem_alarm"):
            yield wrong(
                f"the node {name} is out of memory: it takes no messages", "give it memory, or start more workers"
            )
        if node.get("disk_free_alarm"):
            yield wrong(f"the node {name} is short of disk: it takes no messages", "free disk space on it")
        if node.get("partitions"):
            yield wrong(
                f"the node {name} does not see {', '.join(node['partitions'])}", "mend the network between them"
            )
        yield from _room(node)
    if len(nodes) == 1:
        yield noted("the broker is one node: while it is away, transfers are refused", "three nodes survive one")


def _room(node: Mapping[str, Any]) -> Iterator[Finding]:
    name, free, least = node["name"], node.get("disk_free", 0), node.get("disk_free_limit", 0)
    used, most = node.get("mem_used", 0), node.get("mem_limit", 0)
    if not most:
        # It has only just started, and not counted yet.
        return
    says = f"the node {name} uses {used / 1e6:,.0f} of {most / 1e6:,.0f} MB, and has {free / 1e9:,.1f} GB of disk free"
    if used > most * _SHARE_NOTED:
        yield noted(says, "give it memory before it blocks its publishers")
    elif free < 2 * least:
        yield noted(says, "free disk space before it blocks its publishers")
    else:
        yield fine(says)


def _work(queues: Mapping[str, Mapping[str, Any]], nodes: int) -> Iterator[Finding]:
    """What happens on our queues now; the management API counts every five seconds."""
    consumers = {queue.name: queue.consumer for queue in QUEUES}
    consumers |= {dead_letter_queue(service): service for service in set(consumers.values())}
    idle: dict[str, list[str]] = {}
    for name, service in sorted(consumers.items()):
        queue = queues.get(name)
        if queue is None:
            continue
        if not queue.get("consumers"):
            idle.setdefault(service, []).append(name)
        yield from _queue(name, queue, nodes)
    for service, names in idle.items():
        yield wrong(f"nobody consumes {', '.join(names)}", f"start a worker of {service}, or see why it is not ready")
    if not idle:
        yield fine("every queue has its consumer")


def _queue(name: str, queue: Mapping[str, Any], nodes: int) -> Iterator[Finding]:
    members, online = queue.get("members", []), queue.get("online", [])
    if queue.get("state") not in {"running", "idle", None}:
        yield wrong(f"the queue {name} is {queue['state']}", "see the broker's log; without a majority it cannot work")
    if members and len(online) < len(members):
        yield wrong(f"the queue {name} has {len(online)} of its {len(members)} members", "start the missing nodes")
    if members and len(members) < min(nodes, 3):
        yield wrong(
            f"the queue {name} lives on {len(members)} of {nodes} nodes: it was made before the others joined",
            "rabbitmq-queues grow <node> all",
        )
    if queue.get("messages_ready", 0) > _BACKLOG_NOTED:
        yield noted(f"{queue['messages_ready']:,} messages wait in {name}", "start more workers of its service")
