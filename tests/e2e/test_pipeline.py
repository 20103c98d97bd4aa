"""`GET /admin/pipeline` of a healthy bank, as an operator and as a console meets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.local.stack import Stack
from tests.support.bank import Bank
from tests.support.metrics import Scrape, scrape
from tests.support.waiting import until

_PATH = "/api/v1/admin/pipeline"


def _until(bank: Bank, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return until(lambda: bank.admin.get("/admin/pipeline"), is_so)


def test_an_operator_sees_five_stages_at_work(bank: Bank) -> None:
    customer = bank.customer()
    source, to = bank.funded(customer), customer.open_account()
    for _ in range(5):
        assert customer.transfer(source, to).status_code == 201
    body = _until(bank, _is_at_work)
    assert [stage["stage"] for stage in body["stages"]] == ["gateway", "fraud", "transfer", "ledger", "audit"]
    chores = {chore["name"] for stage in body["stages"] for one in stage["instances"] for chore in one["chores"]}
    assert {"sweep", "reconcile", "outbox relay", "verifier"} <= chores


def _is_at_work(body: dict[str, Any]) -> bool:
    """All of it in one look; a part that does not answer within its second is unknown to that look alone."""
    return (
        (body["status"], body["problems"], body["unknown"], body["pending"]) == ("ok", [], {}, 0)
        and body["settled_per_s"].get("completed", 0) > 0
        and {server["state"] for server in body["servers"]} == {"up"}
        and all(stage["unknown"] == {} for stage in body["stages"])
        and all([one["silent_s"] < 5 for one in stage["instances"]] == [True] for stage in body["stages"])
        and all(_is_drained(queue) for stage in body["stages"] for queue in stage["queues"])
    )


def _is_drained(queue: dict[str, Any]) -> bool:
    """Taken from by its one worker; by two streams of it, where the next one is opened before the old one closes."""
    rates = (queue["unacknowledged"], queue["delivered_per_s"])
    return queue["depth"] == 0 and queue["consumers"] in {1, 2} and None not in rates


def test_it_is_for_operators_and_every_look_is_audited(bank: Bank) -> None:
    assert bank.client.get(_PATH).status_code == 401
    refused = bank.customer().call("GET", "/admin/pipeline")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    operator = bank.operator()
    told = sorted({problem["code"] for problem in operator.get("/admin/pipeline")["problems"]})
    rows = until(lambda: _reads(bank, operator.user["id"]))
    assert [row["details"]["problems"] for row in rows] == [told]


def _reads(bank: Bank, user_id: str) -> list[dict[str, Any]]:
    rows = bank.admin.get("/admin/audit-logs", user_id=user_id, action="ADMIN")["items"]
    return [row for row in rows if row["details"]["act"] == "read_pipeline"]


def test_however_many_ask_one_look_serves_them_for_a_second(bank: Bank) -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: bank.admin.get("/admin/pipeline"), range(60)))
    looks = {body["looked_at"] for body in bodies}
    # One was there already, and the watch of the metrics looks too.
    assert len(looks) <= time.monotonic() - begun + 2


def test_the_document_tells_it_with_an_example(bank: Bank) -> None:
    document = bank.client.get("/openapi.json").json()
    told = document["paths"][_PATH]["get"]["responses"]["200"]["content"]["application/json"]
    assert told["examples"]["typical"]["value"]["problems"][0]["code"] == "stage_behind"


def test_what_the_gateway_looks_at_is_measured_without_being_asked(stack: Stack) -> None:
    servers = ("broker", "redis", *(f"database {s}" for s in ("identity", "fraud", "transfer", "ledger", "audit")))

    def is_well(seen: Scrape) -> bool:
        return (
            seen.sum("remit_queue_consumers") > 0
            and all(seen.value("remit_stage_lag_seconds", stage=s) < 5 for s in ("transfer", "ledger", "audit"))
            and {seen.value("remit_server_up", server=server) for server in servers} == {1}
        )

    until(lambda: scrape(stack.service_url("gateway")), is_well)
