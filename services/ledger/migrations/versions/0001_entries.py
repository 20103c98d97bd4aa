"""The entries: append-only, contiguous an account, balanced a transfer."""

from alembic import op

from shared.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The primary key serves statements and verification (by account, in order), the unique key a transfer's timeline.
_ENTRIES = """
    CREATE TABLE ledger.ledger_entries (
        account_id           uuid NOT NULL,
        transfer_id          uuid NOT NULL,
        id                   uuid NOT NULL,
        account_seq          bigint NOT NULL CONSTRAINT entry_position CHECK (account_seq > 0),
        amount_minor         bigint NOT NULL CONSTRAINT entry_amount_positive CHECK (amount_minor > 0),
        balance_before_minor bigint NOT NULL,
        balance_after_minor  bigint NOT NULL,
        created_at           timestamptz NOT NULL,
        recorded_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        direction            text NOT NULL CONSTRAINT entry_direction CHECK (direction IN ('debit', 'credit')),
        currency             text NOT NULL CONSTRAINT entry_currency CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT entry_once_a_position PRIMARY KEY (account_id, account_seq),
        CONSTRAINT entry_once_a_side UNIQUE (transfer_id, direction),
        -- A debit lowers the account it stands on, a credit raises it.
        CONSTRAINT entry_balance_moves CHECK (
            balance_after_minor = balance_before_minor
                                + CASE direction WHEN 'credit' THEN amount_minor ELSE -amount_minor END
        ),
        CONSTRAINT entry_first_from_zero CHECK (account_seq > 1 OR balance_before_minor = 0)
    );
"""

# Checked once a statement over what it added, not once a row: exact, since rows are only ever added, and both sides
# of a transfer must come in one statement. A deferred row trigger says the same at many times the cost.
_BALANCED = """
    CREATE FUNCTION ledger.refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        unbalanced uuid;
    BEGIN
        SELECT transfer_id INTO unbalanced FROM added GROUP BY transfer_id
        HAVING count(*) <> 2
            OR min(direction) = max(direction)
            OR min(amount_minor) <> max(amount_minor)
            OR min(currency) <> max(currency)
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the debits and credits of transfer % do not balance', unbalanced
                USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_balance',
                      SCHEMA = 'ledger', TABLE = 'ledger_entries';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER entries_balance AFTER INSERT ON ledger.ledger_entries
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_unbalanced();
"""

_VIEWS = """
    CREATE VIEW ledger.entries AS
    SELECT id, transfer_id, account_id, account_seq, direction, amount_minor, currency,
           balance_before_minor, balance_after_minor, created_at, recorded_at
      FROM ledger.ledger_entries;
    CREATE VIEW ledger.entry_positions AS
    SELECT transfer_id, account_id, account_seq FROM ledger.ledger_entries;
"""

_GRANTS = """
    GRANT USAGE ON SCHEMA ledger TO remit_ledger, remit_gateway, remit_transfer;
    GRANT SELECT, INSERT ON ledger.ledger_entries TO remit_ledger;
    GRANT SELECT ON ledger.entries TO remit_gateway;
    GRANT SELECT ON ledger.entry_positions TO remit_transfer;
"""


def upgrade() -> None:
    for part in (_ENTRIES, _BALANCED, _VIEWS, messaging_tables_v1("ledger", "remit_ledger"), _GRANTS):
        op.execute(part)
