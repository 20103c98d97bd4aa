"""Decisions, the users whose limits they count against, batches, the reconciler's watermark."""

from alembic import op

from shared.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        -- One row a user whose transfers were screened: what concurrent screenings of one user lock.
        CREATE TABLE fraud.users (user_id uuid PRIMARY KEY);

        -- What a batch call's key was first used for.
        CREATE TABLE fraud.batches (
            batch_id    uuid PRIMARY KEY,
            fingerprint text NOT NULL,
            item_count  integer NOT NULL CONSTRAINT batch_holds_items CHECK (item_count > 0)
        );

        CREATE TABLE fraud.decisions (
            transfer_id    uuid PRIMARY KEY,
            fingerprint    text NOT NULL,
            -- Whose limits count. No foreign key: it would lock the user's row once more for every decision.
            user_id        uuid NOT NULL,
            kind           text NOT NULL
                           CONSTRAINT decision_kind CHECK (kind IN ('transfer', 'deposit', 'withdrawal')),
            verdict        text NOT NULL CONSTRAINT decision_verdict CHECK (verdict IN ('approved', 'blocked')),
            policy         text NOT NULL CONSTRAINT decision_policy CHECK (policy IN ('user', 'operator')),
            reasons        json NOT NULL,
            limits_version text NOT NULL,
            amount_minor   bigint NOT NULL CONSTRAINT decision_amount CHECK (amount_minor > 0),
            currency       char(3) NOT NULL,
            -- Whether it counts against its user's limits; a release takes back the amount, not the count.
            counted        boolean NOT NULL,
            decided_at     timestamptz NOT NULL,
            released_at    timestamptz,
            -- The whole TransferScreened without reply_to. json, not jsonb: its text is kept.
            payload        json NOT NULL,
            batch_id       uuid,
            -- Where it stands in time, for the reconciler: its transaction, and its place among that one's decisions.
            xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
            place          integer NOT NULL CONSTRAINT decision_place CHECK (place >= 0),
            CONSTRAINT decision_operator_approved CHECK (policy <> 'operator' OR verdict = 'approved'),
            CONSTRAINT decision_counted CHECK (counted = (verdict = 'approved' AND policy = 'user')),
            CONSTRAINT decision_reasoned CHECK ((verdict = 'blocked') = (json_array_length(reasons) > 0))
        );
        -- A user's windows, answered from the index alone. Blocked ones stay out: nobody limits how many there are.
        CREATE INDEX decisions_counted ON fraud.decisions (user_id, decided_at)
            INCLUDE (currency, amount_minor, released_at) WHERE counted;
        -- A user's decisions, blocked ones too, as the gateway lists them.
        CREATE INDEX decisions_by_user ON fraud.decisions (user_id, decided_at);
        CREATE INDEX decisions_in_time ON fraud.decisions (xid, place);

        -- Every decision before it has a transfer row.
        CREATE TABLE fraud.watermark (
            id    integer PRIMARY KEY DEFAULT 1 CONSTRAINT watermark_single CHECK (id = 1),
            xid   xid8 NOT NULL DEFAULT '0',
            place integer NOT NULL DEFAULT 0
        );
        INSERT INTO fraud.watermark DEFAULT VALUES;

        CREATE VIEW fraud.decisions_all AS
            SELECT transfer_id, fingerprint, user_id, kind, verdict, policy, reasons, limits_version, amount_minor,
                   currency, decided_at, released_at, payload
              FROM fraud.decisions;
        CREATE VIEW fraud.released AS
            SELECT transfer_id, released_at FROM fraud.decisions WHERE released_at IS NOT NULL;

        GRANT USAGE ON SCHEMA fraud TO remit_fraud, remit_gateway, remit_transfer;
        -- A row lock needs the right to update a column of it.
        GRANT SELECT, INSERT, UPDATE ON fraud.users TO remit_fraud;
        GRANT SELECT, INSERT ON fraud.batches, fraud.decisions TO remit_fraud;
        GRANT UPDATE (released_at) ON fraud.decisions TO remit_fraud;
        GRANT SELECT, UPDATE ON fraud.watermark TO remit_fraud;
        GRANT SELECT ON fraud.decisions_all TO remit_gateway;
        GRANT SELECT ON fraud.released TO remit_transfer;
        """
    )
    op.execute(messaging_tables_v1("fraud", "remit_fraud"))
