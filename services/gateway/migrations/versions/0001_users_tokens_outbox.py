"""Users, revoked tokens, and the outbox of the gateway's own activity."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE identity.users (
            id                 uuid PRIMARY KEY,
            email              text,
            email_normalised   text CONSTRAINT user_email_once UNIQUE,
            full_name          text NOT NULL,
            password_hash      text,
            role               text NOT NULL DEFAULT 'customer'
                               CONSTRAINT user_role CHECK (role IN ('customer', 'admin')),
            is_active          boolean NOT NULL DEFAULT true,
            -- Every token carries the version it was made under; raising it ends them all.
            token_version      integer NOT NULL DEFAULT 1,
            -- How an operator's own books call this owner. Such an owner has no password.
            external_reference text CONSTRAINT user_reference_once UNIQUE,
            created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
            updated_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT user_email_whole CHECK ((email IS NULL) = (email_normalised IS NULL)),
            CONSTRAINT user_known_by_something CHECK (num_nonnulls(email, external_reference) > 0),
            CONSTRAINT user_password_needs_email CHECK (password_hash IS NULL OR email IS NOT NULL)
        );

        -- Tokens that were given back before they expired.
        CREATE TABLE identity.revoked_tokens (
            jti        uuid PRIMARY KEY,
            expires_at timestamptz NOT NULL
        );
        CREATE INDEX revoked_tokens_by_expiry ON identity.revoked_tokens (expires_at);

        -- Activity committed with the write it tells of; a relay publishes it and takes it out.
        CREATE TABLE identity.outbox (
            position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            item       text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );

        GRANT USAGE ON SCHEMA identity TO remit_gateway;
        GRANT SELECT, INSERT, UPDATE ON identity.users TO remit_gateway;
        GRANT SELECT, INSERT, DELETE ON identity.revoked_tokens, identity.outbox TO remit_gateway;
        """
    )
