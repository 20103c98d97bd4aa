"""Fraud: owns the verdicts on transfers (schema `fraud`); the only service that knows the limits.

Consumes `transfer.requested`, and `transfer.settled` to release what a failed transfer held; publishes
`transfer.screened`. A transfer is measured against the limits in `domain.screening.exceeded`.
"""
