"""What is mutated, and by which tests it should be noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A module, and the tests that use it in their own process. `on_servers`: on real ones, so it is only sampled."""

    path: str
    tests: tuple[str, ...]
    on_servers: bool = False


def _unit(path: str, *names: str) -> Target:
    return Target(path, tuple(f"tests/unit/test_{name}.py" for name in names))


def _on_servers(path: str, *names: str) -> Target:
    return Target(path, tuple(f"tests/{name}.py" for name in names), on_servers=True)


TARGETS: Sequence[Target] = (
    _unit("services/transfer/domain.py", "transfer_domain"),
    _unit("services/ledger/domain.py", "ledger_domain"),
    _unit("services/audit/domain.py", "audit_domain"),
    _unit("services/fraud/domain/limits.py", "fraud_batches", "fraud_domain", "default_limits"),
    _unit("services/fraud/domain/screening.py", "fraud_batches", "fraud_domain"),
    _unit("services/gateway/domain/audit_log.py", "gateway_audit_log"),
    _unit("services/gateway/domain/bodies.py", "gateway_answers", "gateway_bodies"),
    _unit("services/gateway/domain/book.py", "gateway_book"),
    _unit("services/gateway/domain/found.py", "gateway_found"),
    _unit("services/gateway/domain/fraud_stats.py", "gateway_audit_log"),
    _unit("services/gateway/domain/ids.py", "gateway_ids"),
    _unit("services/gateway/domain/lag.py", "gateway_pipeline", "gateway_problems"),
    _unit("services/gateway/domain/ledger_verification.py", "gateway_ledger_verification"),
    _unit("services/gateway/domain/parsing.py", "gateway_parsing", "gateway_ids", "gateway_batches"),
    _unit("services/gateway/domain/pipeline.py", "gateway_pipeline", "gateway_problems"),
    _unit("services/gateway/domain/problems.py", "gateway_pipeline", "gateway_problems"),
    _unit("services/gateway/domain/requests.py", "gateway_requests", "gateway_parsing"),
    _unit("services/gateway/domain/stuck.py", "gateway_stuck"),
    _unit("services/gateway/domain/trial_balance.py", "gateway_found"),
    _unit("services/gateway/domain/usage.py", "gateway_usage"),
    _unit("services/gateway/domain/views.py", "gateway_answers", "gateway_bodies"),
    _unit("shared/money.py", "money"),
    _unit("shared/ids.py", "ids", "gateway_ids"),
    _unit("shared/audit_chain/canonical.py", "audit_chain"),
    _unit("shared/audit_chain/chain.py", "audit_chain", "audit_walk"),
    _unit("shared/audit_chain/stream.py", "audit_stream"),
    _unit("shared/audit_chain/walk.py", "audit_walk"),
    _unit("remit/invariants/comparison.py", "remit_comparison", "remit_invariants"),
    _unit("remit/invariants/result.py", "remit_invariants"),
    _on_servers("shared/audit_chain/views.py", "integration/test_audit"),
    _on_servers("services/audit/store.py", "integration/test_audit"),
    _on_servers("services/fraud/store.py", "integration/test_fraud"),
    _on_servers("services/ledger/store.py", "integration/test_ledger"),
    _on_servers("services/transfer/store.py", "integration/test_transfer_store"),
    _on_servers("shared/messaging/batching.py", "unit/test_batching"),
    _on_servers("shared/messaging/retry.py", "unit/test_retry", "integration/test_transfer_failures"),
    _on_servers(
        "shared/messaging/connection.py",
        "unit/test_connection",
        "unit/test_closed_while_asked",
        "integration/test_transfer_worker",
    ),
    _on_servers("shared/messaging/consumer.py", "unit/test_consumer", "integration/test_transfer_worker"),
    _on_servers("shared/messaging/deliveries.py", "unit/test_consumer", "integration/test_transfer_worker"),
    _on_servers(
        "shared/messaging/publisher.py",
        "unit/test_closed_while_asked",
        "integration/test_silent_losses",
        "integration/test_transfer_worker",
    ),
    _on_servers("shared/messaging/dead_letters.py", "integration/test_letters", "integration/test_transfer_worker"),
    _on_servers("shared/messaging/reconciler.py", "unit/test_reconciler", "integration/test_reconcile"),
)
