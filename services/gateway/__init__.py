"""The gateway: HTTP in, commands out, answers from what the workers have committed.

Owns the schema `identity` (users, revoked tokens, its outbox) and the idempotency records in Redis.
Publishes `transfer.requested`, `account.command`, `activity.recorded` and `dead_letter.command`.
Consumes its own reply queue: `transfer.settled`, `transfer.refused` and `account.changed`, for whoever still waits.
"""
