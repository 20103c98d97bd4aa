"""Accounts, transactions with both postings, and account commands."""

from alembic import op

from shared.database.tables import messaging_tables_v1
from shared.ids import settlement_account_id
from shared.money import EXPONENTS

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TRANSACTION_COLUMNS = """
    id, fingerprint, kind, caller_id, owner_id, from_account_id, to_account_id, amount_minor, currency, description,
    metadata, idempotency_key, batch_id, batch_fingerprint, batch_index, batch_count, context, verdict, policy,
    limits_version, reasons, decided_at, status, failure_reason, retry_count, debit_seq, debit_balance_before_minor,
    debit_balance_after_minor, credit_seq, credit_balance_before_minor, credit_balance_after_minor,
    seen_balance_minor, seen_account_seq, created_at, settled_at, updated_at, is_deleted, deleted_at
"""
_ACCOUNT_COLUMNS = "id, owner_id, name, currency, kind, balance_minor, account_seq, version, created_at, updated_at"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE transfer.accounts (
            id            uuid PRIMARY KEY,
            owner_id      uuid,
            name          text NOT NULL,
            currency      char(3) NOT NULL,
            kind          text NOT NULL CONSTRAINT account_kind CHECK (kind IN ('customer', 'settlement')),
            balance_minor bigint NOT NULL DEFAULT 0,
            -- The position of the newest posting; renames and closing do not move it.
            account_seq   bigint NOT NULL DEFAULT 0 CONSTRAINT account_seq_counts CHECK (account_seq >= 0),
            version       integer NOT NULL DEFAULT 1,
            created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            is_deleted    boolean NOT NULL DEFAULT false,
            deleted_at    timestamptz,
            CONSTRAINT account_balance_covers CHECK (balance_minor >= 0 OR kind = 'settlement'),
            CONSTRAINT account_owned CHECK ((owner_id IS NULL) = (kind = 'settlement')),
            CONSTRAINT account_closed_empty CHECK (NOT is_deleted OR balance_minor = 0),
            CONSTRAINT account_deleted_whole CHECK (is_deleted = (deleted_at IS NOT NULL))
        ) WITH (fillfactor = 70);
        CREATE INDEX accounts_by_owner ON transfer.accounts (owner_id, created_at, id);

        CREATE TABLE transfer.transactions (
            id                          uuid PRIMARY KEY,
            fingerprint                 text NOT NULL,
            kind                        text NOT NULL
                CONSTRAINT transaction_kind CHECK (kind IN ('transfer', 'deposit', 'withdrawal')),
            caller_id                   uuid NOT NULL,
            owner_id                    uuid NOT NULL,
            -- No foreign keys: a refused transfer may name accounts that do not exist.
            from_account_id             uuid NOT NULL,
            to_account_id               uuid NOT NULL,
            amount_minor                bigint NOT NULL CONSTRAINT transaction_amount CHECK (amount_minor > 0),
            currency                    char(3) NOT NULL,
            description                 text,
            -- json, not jsonb: the text is kept as it was made canonical, so that answers stay the same bytes.
            metadata                    json,
            idempotency_key             text,
            batch_id                    uuid,
            batch_fingerprint           text,
            batch_index                 integer,
            batch_count                 integer,
            context                     json NOT NULL,
            verdict                     text NOT NULL
                CONSTRAINT transaction_verdict CHECK (verdict IN ('approved', 'blocked')),
            policy                      text NOT NULL,
            limits_version              text NOT NULL,
            reasons                     json,
            decided_at                  timestamptz NOT NULL,
            status                      text NOT NULL
                CONSTRAINT transaction_status CHECK (status IN ('completed', 'failed', 'blocked')),
            failure_reason              text,
            retry_count                 integer NOT NULL,
            debit_seq                   bigint,
            debit_balance_before_minor  bigint,
            debit_balance_after_minor   bigint,
            credit_seq                  bigint,
            credit_balance_before_minor bigint,
            credit_balance_after_minor  bigint,
            seen_balance_minor          bigint,
            seen_account_seq            bigint,
            created_at                  timestamptz NOT NULL,
            settled_at                  timestamptz NOT NULL,
            updated_at                  timestamptz NOT NULL,
            is_deleted                  boolean NOT NULL DEFAULT false,
            deleted_at                  timestamptz,
            -- The order in which a reconciler may pass rows: everything below the oldest running transaction is final.
            xid                         bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
            CONSTRAINT transaction_failure_named CHECK ((status = 'failed') = (failure_reason IS NOT NULL)),
            CONSTRAINT transaction_blocked_by_verdict CHECK ((status = 'blocked') = (verdict = 'blocked')),
            CONSTRAINT transaction_postings_whole CHECK (
                (status = 'completed') = (debit_seq IS NOT NULL)
                AND num_nonnulls(debit_seq, debit_balance_before_minor, debit_balance_after_minor,
                                 credit_seq, credit_balance_before_minor, credit_balance_after_minor) IN (0, 6)),
            CONSTRAINT transaction_postings_balance CHECK (
                debit_balance_after_minor = debit_balance_before_minor - amount_minor
                AND credit_balance_after_minor = credit_balance_before_minor + amount_minor),
            CONSTRAINT transaction_refusal_justified CHECK (
                (failure_reason IS NOT DISTINCT FROM 'insufficient_funds') = (seen_balance_minor IS NOT NULL)
                AND seen_balance_minor < amount_minor
                OR seen_balance_minor IS NULL AND failure_reason IS DISTINCT FROM 'insufficient_funds'),
            CONSTRAINT transaction_deleted_whole CHECK (is_deleted = (deleted_at IS NOT NULL))
        );
        CREATE INDEX transactions_by_owner ON transfer.transactions (owner_id, created_at, id);
        -- A payee sees completed transfers only.
        CREATE INDEX transactions_by_source ON transfer.transactions (from_account_id, created_at, id);
        CREATE INDEX transactions_by_destination ON transfer.transactions (to_account_id, created_at, id)
            WHERE status = 'completed';
        CREATE INDEX transactions_by_xid ON transfer.transactions (xid, id);

        CREATE TABLE transfer.commands (
            command_id  uuid PRIMARY KEY,
            fingerprint text NOT NULL,
            command     json NOT NULL,
            outcome     json NOT NULL,
            created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            xid         bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint
        );
        CREATE INDEX commands_by_xid ON transfer.commands (xid, command_id);

        CREATE TABLE transfer.watermarks (
            name text PRIMARY KEY,
            xid  bigint NOT NULL DEFAULT 0,
            id   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
        );
        INSERT INTO transfer.watermarks (name) VALUES ('transactions'), ('commands');
        """
    )
    op.execute(messaging_tables_v1("transfer", "remit_transfer"))
    _seed_settlement_accounts()
    op.execute(
        f"""
        CREATE VIEW transfer.accounts_all AS SELECT {_ACCOUNT_COLUMNS}, is_deleted, deleted_at FROM transfer.accounts;
        CREATE VIEW transfer.accounts_live AS
            SELECT {_ACCOUNT_COLUMNS} FROM transfer.accounts WHERE NOT is_deleted;
        CREATE VIEW transfer.transactions_all AS SELECT {_TRANSACTION_COLUMNS} FROM transfer.transactions;
        CREATE VIEW transfer.transactions_live AS
            SELECT {_TRANSACTION_COLUMNS} FROM transfer.transactions WHERE NOT is_deleted;
        CREATE VIEW transfer.transaction_ids AS SELECT id FROM transfer.transactions;
        CREATE VIEW transfer.command_outcomes AS
            SELECT command_id, fingerprint, outcome, created_at FROM transfer.commands;

        GRANT USAGE ON SCHEMA transfer TO remit_transfer, remit_gateway, remit_fraud;
        GRANT SELECT, INSERT, UPDATE ON transfer.accounts TO remit_transfer;
        GRANT SELECT, UPDATE ON transfer.watermarks TO remit_transfer;
        -- A transaction's row is final: only what hides it from lists may change.
        GRANT SELECT, INSERT ON transfer.transactions, transfer.commands TO remit_transfer;
        GRANT UPDATE (is_deleted, deleted_at) ON transfer.transactions TO remit_transfer;
        GRANT SELECT ON transfer.accounts_all, transfer.accounts_live, transfer.transactions_all,
                        transfer.transactions_live, transfer.command_outcomes TO remit_gateway;
        GRANT SELECT ON transfer.transaction_ids TO remit_fraud;
        """
    )


def _seed_settlement_accounts() -> None:
    """One a currency: the world outside, through which money enters and leaves."""
    rows = ", ".join(
        f"('{settlement_account_id(code)}', 'Settlement {code}', '{code}', 'settlement')" for code in sorted(EXPONENTS)
    )
    op.execute(f"INSERT INTO transfer.accounts (id, name, currency, kind) VALUES {rows}")
