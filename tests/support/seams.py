"""The seams: every place of our code where what was done so far becomes visible to somebody else.

`SEAMS` names them and says by what work each is reached; `walked` finds them in the code. A test compares the two, so
that a new seam cannot be forgotten; the crash sweep dies at each.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.crashing import AFTER, BEFORE, MOMENTS, Point

_CHECKOUT = Path(__file__).resolve().parents[2]
_QUERY = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_WRITES = re.compile(r"^\s*(INSERT|UPDATE|DELETE)\b|\bensure_partitions\(", re.MULTILINE)
# What crosses a boundary, by the name of the method that is called.
_METHODS = {
    "publish": "publish",
    "emit": "publish",
    "ack": "ack",
    "nack": "ack",
    "reject": "ack",
    "basic_ack": "ack",
    "basic_publish": "publish",
    "transaction": "commit",
    "consume": "heard",
    "xadd": "stream",
    "send_command": "script",
    "evalsha": "script",
}
# An ack has no answer, and what was heard is ours already: there is no "during".
_MOMENTS = {"ack": (BEFORE, AFTER), "heard": (BEFORE, AFTER)}


@dataclass(frozen=True)
class Reach:
    """A service that comes to a seam, with what in hand, and by what work (`tests.support.stirs`)."""

    service: str
    detail: str = ""
    stir: str = "traffic"


@dataclass(frozen=True)
class Seam:
    """A place that crosses a boundary. Without reaches it is no seam of its own, and `why` says why."""

    boundary: str
    place: str
    reaches: tuple[Reach, ...] = ()
    why: str = ""


def _workers(*queues: str, stir: str = "traffic") -> tuple[Reach, ...]:
    return tuple(Reach(queue.partition(".")[0], queue, stir) for queue in queues)


_FINISHED = (("end", "traffic"), ("release", "traffic"), ("sent", "broker emptied"), ("discard", "records lost"))
_RECORDS = "services.gateway.idempotency.records:Records"
_IDENTITY = "services.gateway.identity.store:IdentityStore"
_LETTERS = "shared.messaging.dead_letters:DeadLetters"
_REQUESTS = "services.gateway.calls.publishing:Requests"
_THROTTLE = "services.gateway.idempotency.throttle:LoginThrottle"
_CONSUMER = "shared.messaging.consumer:Consumer"

_PUBLISHING = (
    Seam(
        "publish",
        f"{_REQUESTS}._together",
        (Reach("gateway", "transfer.requested"), Reach("gateway", "account.command")),
    ),
    Seam("publish", f"{_REQUESTS}.whole", (Reach("gateway", "transfer.requested"),)),
    Seam("publish", f"{_REQUESTS}.dead_letter", (Reach("gateway", "dead_letter.command", "poison"),)),
    Seam("publish", "services.gateway.identity.activity:Activities._tell", (Reach("gateway", "activity.recorded"),)),
    Seam("publish", "services.gateway.identity.activity:Activities._relay", (Reach("gateway", "", "people"),)),
    Seam(
        "publish",
        f"{_CONSUMER}._finish",
        (
            Reach("fraud", "transfer.screened"),
            Reach("transfer", "transfer.settled"),
            Reach("transfer", "account.changed"),
        ),
    ),
    Seam(
        "publish",
        "shared.messaging.reconciler:Sweep._publish",
        (Reach("transfer", "transfer.settled", "ledger emptied"),),
    ),
    Seam(
        "publish",
        "shared.messaging.publisher:Publisher._reply",
        (
            Reach("transfer", "transfer.settled"),
            Reach("transfer", "account.changed"),
            Reach("transfer", "transfer.refused", "records lost"),
        ),
    ),
    Seam("publish", "shared.messaging.publisher:Publisher.emit", why="whoever calls it is a seam"),
    Seam("publish", "shared.messaging.publisher:Publisher.publish", why="whoever calls it is a seam"),
)
_COMMITS = (
    Seam("commit", "services.fraud.store:Store._screen", (Reach("fraud"),)),
    Seam("commit", "services.fraud.store:Store.release", (Reach("fraud"),)),
    Seam("commit", "services.fraud.reconcile:Decisions.move_watermark", (Reach("fraud", stir="start"),)),
    Seam("commit", "services.transfer.store:Store.settle", (Reach("transfer"),)),
    Seam("commit", "services.transfer.store:Store.fail", (Reach("transfer", stir="account out of luck"),)),
    Seam("commit", "services.transfer.store:Store.apply", (Reach("transfer"),)),
    Seam("commit", "services.transfer.reconcile:_Rows.move_watermark", (Reach("transfer", stir="start"),)),
    Seam("commit", "services.ledger.store:Store._write", (Reach("ledger"),)),
    Seam("commit", "services.audit.store:Store._extend", (Reach("audit"),)),
    Seam("commit", "services.audit.store:Store.checkpoint", (Reach("audit"),)),
    Seam("commit", f"{_IDENTITY}.register", (Reach("gateway", stir="people"),)),
    Seam("commit", f"{_IDENTITY}.change", (Reach("gateway", stir="people"),)),
    Seam("commit", f"{_IDENTITY}.revoke", (Reach("gateway", stir="people"),)),
    Seam("commit", f"{_IDENTITY}.add_owners", (Reach("gateway", stir="people"),)),
    Seam("commit", f"{_IDENTITY}.put_outbox", (Reach("gateway", stir="people"),)),
    Seam("commit", "services.gateway.reads.trial_balance:TrialBalances._add_up", why="it changes nothing"),
    # One table of dead letters is like the other: each of its writes dies in another service.
    Seam("commit", f"{_LETTERS}.park", (Reach("ledger", stir="poison"),)),
    Seam("commit", f"{_LETTERS}.keep", (Reach("transfer", stir="poison"),)),
    Seam("commit", f"{_LETTERS}.resolve", (Reach("audit", stir="poison"),)),
    Seam("commit", f"{_LETTERS}.count_try", (Reach("fraud", stir="dead-lettered"),)),
    Seam("commit", f"{_LETTERS}.forget", (Reach("ledger", stir="dead-lettered"),)),
    Seam(
        "commit", f"{_LETTERS}.discount_try", why="only where the server goes away between two statements of one item"
    ),
    Seam("commit", "shared.database.pool:Database.transaction", why="whoever calls it is a seam"),
    Seam("commit", "shared.database.pool:Database.is_writable", why="a probe; nobody reads what it writes"),
    Seam("statement", f"{_IDENTITY}.put_admin", (Reach("gateway", stir="operator unknown"),)),
    Seam("statement", f"{_IDENTITY}.delete_outbox", (Reach("gateway", stir="people"),)),
    Seam("statement", "services.audit.store:Store._ensure_partitions", (Reach("audit", stir="fresh"),)),
    Seam("statement", "shared.reporting.reporter:Reporter._beat", why="said again in a second; nothing rests on it"),
    Seam("statement", "shared.reporting.reporter:Reporter._leave", why="others forget who left without a word"),
)
_SCRIPTS = (
    Seam("script", f"{_RECORDS}._claim", (Reach("gateway", "claim"),)),
    Seam("script", f"{_RECORDS}._finish", tuple(Reach("gateway", f"finish {verb}", stir) for verb, stir in _FINISHED)),
    Seam("script", f"{_RECORDS}.take_due", (Reach("gateway", "due"),)),
    Seam("script", f"{_RECORDS}.check_epoch", (Reach("gateway", "beat"),)),
    Seam("script", f"{_RECORDS}._restore", (Reach("gateway", "restore", "records lost"),)),
    Seam("script", f"{_RECORDS}.find", (Reach("gateway", "find"),)),
    Seam("script", f"{_RECORDS}.pending_of", (Reach("gateway", "pending"),)),
    Seam("script", "services.gateway.calls.refusals:Refusals._record_counts", (Reach("gateway", "refusals"),)),
    Seam("script", "services.gateway.calls.refusals:Refusals._count", (Reach("gateway", "refuse", "people"),)),
    Seam("script", "services.gateway.idempotency.leases:Leases._hold", (Reach("gateway", "hold"),)),
    Seam("script", "services.gateway.idempotency.leases:Leases.held", (Reach("gateway", "drop"),)),
    Seam("script", f"{_THROTTLE}.reserve", (Reach("gateway", "throttle", "people"),)),
    Seam("script", f"{_THROTTLE}._give_back", (Reach("gateway", "forgive", "people"),)),
    Seam("script", "services.gateway.reads.pipeline:PipelineReads._sample", why="it changes nothing"),
    Seam("script", f"{_RECORDS}.waiting", why="it changes nothing"),
    Seam("script", "services.gateway.idempotency.redis:Redis._ask", why="whoever runs a script is a seam"),
    Seam("script", "services.gateway.repair:take_back", why="of the program, which is run again where it broke off"),
)
_OTHERS = (
    Seam(
        "ack",
        f"{_CONSUMER}._finish",
        (
            *_workers("fraud.requested", "fraud.settled", "transfer.screened", "transfer.account_commands"),
            *_workers("ledger.settled", "audit.events"),
            *_workers("fraud.dead_letters", "transfer.dead_letters", stir="dead-lettered"),
            *_workers("ledger.dead_letters", "audit.dead_letters", stir="dead-lettered"),
            *_workers("fraud.dead_letter_commands", "transfer.dead_letter_commands", stir="poison"),
            *_workers("ledger.dead_letter_commands", "audit.dead_letter_commands", stir="poison"),
        ),
    ),
    Seam("heard", "shared.messaging.replies:ReplyQueue._session", (Reach("gateway"),)),
    Seam(
        "heard",
        "shared.messaging.stream:Stream._begin",
        why="what is delivered is the broker's until it is acknowledged",
    ),
    Seam("stream", "shared.audit_chain.stream:CheckpointStream.add", (Reach("audit"),)),
)
SEAMS = (*_PUBLISHING, *_COMMITS, *_SCRIPTS, *_OTHERS)


@dataclass(frozen=True)
class Crash:
    """One case of the sweep."""

    service: str
    point: Point
    stir: str

    def __str__(self) -> str:
        return f"{self.service} {self.point}"


def crashes() -> Iterator[Crash]:
    """Every service at every seam it comes to, at every moment."""
    for seam in SEAMS:
        # What a reply queue delivers is handled by a function that the library calls: nobody of ours is in its stack.
        place = "" if seam.boundary == "heard" else seam.place
        for reach in seam.reaches:
            for moment in _MOMENTS.get(seam.boundary, MOMENTS):
                point = Point(boundary=seam.boundary, place=place, detail=reach.detail, moment=moment)
                yield Crash(reach.service, point, reach.stir)


def walked() -> Iterator[tuple[str, str]]:
    """Boundary and place of every call in the services and what they share that crosses one."""
    for folder in ("services", "shared"):
        for path in sorted((_CHECKOUT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield from _walked(path)


def _walked(path: Path) -> Iterator[tuple[str, str]]:
    module = ".".join(path.relative_to(_CHECKOUT).with_suffix("").parts)
    writing = _writing(path.parent)
    for place, call in _calls(ast.parse(path.read_text(encoding="utf-8")), ()):
        if boundary := _boundary(call, writing):
            yield boundary, f"{module}:{place}"


def _calls(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = names
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (*names, child.name)
        if isinstance(child, ast.Call):
            yield ".".join(names), child
        yield from _calls(child, inner)


def _boundary(call: ast.Call, writing: frozenset[str]) -> str | None:
    if not isinstance(call.func, ast.Attribute):
        return None
    method, whom = call.func.attr, ast.unparse(call.func.value)
    if method == "run" and whom.endswith("redis"):
        return "script"
    if method in {"fetch", "fetchrow", "fetchval"} and "database" in whom:
        statement = ast.unparse(call.args[0]) if call.args else ""
        return "statement" if statement.rpartition(".")[2] in writing else None
    return _METHODS.get(method)


def _writing(folder: Path) -> frozenset[str]:
    """The names of the statements beside a module that write."""
    found: set[str] = set()
    for path in folder.glob("*.sql"):
        _, *parts = _QUERY.split(path.read_text(encoding="utf-8"))
        found |= {name for name, text in zip(parts[::2], parts[1::2], strict=True) if _WRITES.search(text)}
    return frozenset(found)
