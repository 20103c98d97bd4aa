"""The words of the audit log: what a row may say was done, to what, and how it ended."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What was done."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    RESTORE = "RESTORE"
    TRANSFER = "TRANSFER"
    LOGIN = "LOGIN"
    LOGOUT = "LOGOUT"
    FRAUD_CHECK = "FRAUD_CHECK"
    ACCOUNT_ACCESS = "ACCOUNT_ACCESS"
    ADMIN = "ADMIN"


class ResourceType(StrEnum):
    """What it was done to."""

    USER = "user"
    ACCOUNT = "account"
    TRANSACTION = "transaction"
    AUDIT_LOG = "audit_log"
    DEAD_LETTER = "dead_letter"


class Result(StrEnum):
    """How it ended: `blocked` by a rule, `failed` for any other reason."""

    SUCCESS = "success"
    FAILED = "failed"
    BLOCKED = "blocked"
