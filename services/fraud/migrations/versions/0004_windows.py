"""What users have used of the limits is kept, so that a screening need not add it up again."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        -- What was counted for a user at `counted_at`: over `window_h` hours, and over the last one. It holds while
        -- neither of the oldest leaves its window. Written under the lock of the user's row, by the transaction that
        -- writes the decisions it counts. No row: not known, to be added up.
        CREATE TABLE fraud.windows (
            user_id     uuid PRIMARY KEY,
            window_h    integer NOT NULL CONSTRAINT window_looks_back CHECK (window_h > 0),
            counted_at  timestamptz NOT NULL,
            hour_count  integer NOT NULL,
            hour_oldest timestamptz,
            day_count   integer NOT NULL,
            day_oldest  timestamptz,
            day_minor   json NOT NULL,
            xid         xid8 NOT NULL,
            CONSTRAINT window_oldest_of_some CHECK (
                (hour_count > 0) = (hour_oldest IS NOT NULL) AND (day_count > 0) = (day_oldest IS NOT NULL))
        ) WITH (fillfactor = 70);

        GRANT SELECT, INSERT, UPDATE, DELETE ON fraud.windows TO remit_fraud;

        -- Whatever else changes what counts (a release, an earlier release of this service, a hand) makes the user's
        -- next screening add up anew.
        CREATE FUNCTION fraud.forget_windows() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                DELETE FROM fraud.windows
                 WHERE user_id IN (SELECT user_id FROM changed WHERE counted) AND xid <> pg_current_xact_id();
            ELSIF TG_OP = 'TRUNCATE' THEN
                DELETE FROM fraud.windows;
            ELSE
                DELETE FROM fraud.windows WHERE user_id IN (SELECT user_id FROM changed);
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER counted_besides AFTER INSERT ON fraud.decisions REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION fraud.forget_windows();
        CREATE TRIGGER counted_otherwise AFTER UPDATE ON fraud.decisions REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION fraud.forget_windows();
        CREATE TRIGGER counted_no_more AFTER DELETE ON fraud.decisions REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION fraud.forget_windows();
        CREATE TRIGGER counted_never AFTER TRUNCATE ON fraud.decisions
            FOR EACH STATEMENT EXECUTE FUNCTION fraud.forget_windows();
        """
    )
