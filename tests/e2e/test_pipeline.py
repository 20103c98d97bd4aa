"""`GET /admin/pipeline` of a healthy bank, as an operator and as a console meets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.local.stack import Stack
from tests.support.bank import Bank
from tests.support.metrics import scrape
from tests.support.waiting import until

_PATH = "/api/v1/admin/pipeline"


def _until(bank: Bank, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return until(lambda: bank.admin.get("/admin/pipeline"), is_so)


def test_an_operator_sees_five_stages_at_work(bank: Bank) -> None:
    customer = bank.customer()
    source, to = bank.funded(customer), customer.open_account()
    for _ in range(5):
        assert customer.transfer(source, to).status_code == 201
    body = _until(bank, lambda body: body["settled_per_s"].get("completed", 0) > 0 and body["pending"] == 0)
    assert (body["status"], body["problems"], body["unknown"]) == ("ok", [], {})
    assert [stage["stage"] for stage in body["stages"]] == ["gateway", "fraud", "transfer", "ledger", "audit"]
    assert {server["state"] for server in body["servers"]} == {"up"}
    for stage in body["stages"]:
        assert stage["unknown"] == {}
        assert [one["silent_s"] < 5 for one in stage["instances"]] == [True]
        for queue in stage["queues"]:
            assert (queue["depth"], queue["consumers"]) == (0, 1), queue
            assert queue["unacknowledged"] is not None
            assert queue["delivered_per_s"] is not None
    chores = {chore["name"] for stage in body["stages"] for one in stage["instances"] for chore in one["chores"]}
    assert {"sweep", "reconcile", "outbox relay", "verifier"} <= chores


def test_it_is_for_operators_and_every_look_is_audited(bank: Bank) -> None:
    assert bank.client.get(_PATH).status_code == 401
    refused = bank.customer().call("GET", "/admin/pipeline")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    operator = bank.operator()
    operator.get("/admin/pipeline")
    rows = until(lambda: _reads(bank, operator.user["id"]))
    assert [row["details"]["problems"] for row in rows] == [[]]


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
    seen = until(lambda: scrape(stack.service_url("gateway")), lambda seen: seen.sum("remit_queue_consumers"))
    assert {seen.value("remit_stage_lag_seconds", stage=s) < 5 for s in ("transfer", "ledger", "audit")} == {True}
    servers = ("broker", "redis", *(f"database {s}" for s in ("identity", "fraud", "transfer", "ledger", "audit")))
    assert {seen.value("remit_server_up", server=server) for server in servers} == {1}
