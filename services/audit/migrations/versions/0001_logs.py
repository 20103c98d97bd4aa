"""The log: append-only, partitioned by month, each event once, and checkpoints of its chain."""

from alembic import op

from shared.database.tables import messaging_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What was done, to what, and how it ended are codes of ours; all that a client may have chosen is bounded text.
_LOGS = """
    CREATE TABLE audit.audit_logs (
        seq           bigint NOT NULL CONSTRAINT audit_position CHECK (seq > 0),
        recorded_at   timestamptz NOT NULL,
        occurred_at   timestamptz NOT NULL,
        event_id      uuid NOT NULL,
        user_id       uuid,
        hash          bytea NOT NULL CONSTRAINT audit_hash_whole CHECK (octet_length(hash) = 32),
        action        text COLLATE "C" NOT NULL CONSTRAINT audit_action CHECK (action IN (
                          'CREATE', 'UPDATE', 'DELETE', 'RESTORE', 'TRANSFER', 'LOGIN', 'LOGOUT', 'FRAUD_CHECK',
                          'ACCOUNT_ACCESS', 'ADMIN')),
        resource_type text COLLATE "C" NOT NULL CONSTRAINT audit_resource_type CHECK (resource_type IN (
                          'user', 'account', 'transaction', 'audit_log', 'dead_letter')),
        status        text COLLATE "C" NOT NULL CONSTRAINT audit_status CHECK (status IN (
                          'success', 'failed', 'blocked')),
        resource_id   text COLLATE "C",
        ip_address    text,
        user_agent    text,
        request_id    text NOT NULL,
        error_message text,
        details       jsonb NOT NULL CONSTRAINT audit_details_object CHECK (jsonb_typeof(details) = 'object'),
        CONSTRAINT audit_logs_by_seq PRIMARY KEY (seq, recorded_at)
    ) PARTITION BY RANGE (recorded_at);
"""

# Newest first is ORDER BY recorded_at DESC, seq DESC: time never goes back along the chain, and a batch shares one
# time, so these indexes are appended to in few places and fold equal keys into a few bytes a row.
_INDEXES = """
    CREATE INDEX audit_logs_by_time ON audit.audit_logs (recorded_at);
    CREATE INDEX audit_logs_by_user ON audit.audit_logs (user_id, recorded_at);
    CREATE INDEX audit_logs_by_resource ON audit.audit_logs (resource_id, recorded_at);
    CREATE INDEX audit_logs_by_action ON audit.audit_logs (action, recorded_at);
    CREATE INDEX audit_logs_by_resource_type ON audit.audit_logs (resource_type, recorded_at);
    CREATE INDEX audit_logs_by_status ON audit.audit_logs (status, recorded_at);
    -- Refused logins, blocked checks: rare beside either filter alone, and next to nothing to keep.
    CREATE INDEX audit_logs_by_refusal ON audit.audit_logs (action, status, recorded_at) WHERE status <> 'success';
"""

# Not partitioned: here an event is unique for ever, also when its row's partition was detached.
_BESIDE = """
    CREATE TABLE audit.event_ids (
        seq      bigint NOT NULL CONSTRAINT event_one_a_position UNIQUE,
        event_id uuid CONSTRAINT event_once PRIMARY KEY
    );
    CREATE TABLE audit.checkpoints (
        seq         bigint PRIMARY KEY,
        hash        bytea NOT NULL CONSTRAINT checkpoint_hash_whole CHECK (octet_length(hash) = 32),
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
"""

_APPEND_ONLY = """
    CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'insufficient_privilege', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END $$;
    -- A row's trigger is copied to every partition; a statement's is not, so each partition gets its own below.
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit.audit_logs
        FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit.audit_logs
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.event_ids
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.checkpoints
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
"""

# A table made apart and attached: unlike CREATE TABLE … PARTITION OF it waits for no reader, and no reader for it.
_PARTITIONS = """
    CREATE FUNCTION audit.ensure_partitions() RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        this_month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
        starts     timestamp;
        partition  text;
        made       integer := 0;
    BEGIN
        PERFORM pg_advisory_xact_lock(5846120943);
        FOR ahead IN 0..2 LOOP
            starts := this_month + make_interval(months => ahead);
            partition := 'audit_logs_' || to_char(starts, 'YYYY_MM');
            CONTINUE WHEN to_regclass(format('audit.%I', partition)) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE audit.%I (LIKE audit.audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
            EXECUTE format(
                'CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit.%I
                     FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', partition);
            EXECUTE format(
                'ALTER TABLE audit.audit_logs ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)', partition,
                starts AT TIME ZONE 'UTC', (starts + interval '1 month') AT TIME ZONE 'UTC');
            made := made + 1;
        END LOOP;
        RETURN made;
    END $$;
    REVOKE ALL ON FUNCTION audit.ensure_partitions() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION audit.ensure_partitions() TO remit_audit;
    SELECT audit.ensure_partitions();
"""

_VIEWS = """
    CREATE VIEW audit.logs AS
    SELECT seq, recorded_at, occurred_at, event_id, user_id, action, resource_type, resource_id, status,
           ip_address, user_agent, request_id, details, error_message, hash
      FROM audit.audit_logs;
    CREATE VIEW audit.recorded_events AS SELECT event_id FROM audit.event_ids;
"""

_GRANTS = """
    GRANT USAGE ON SCHEMA audit TO remit_audit, remit_gateway, remit_transfer, remit_fraud;
    GRANT SELECT, INSERT ON audit.audit_logs, audit.event_ids, audit.checkpoints TO remit_audit;
    GRANT SELECT ON audit.logs TO remit_gateway;
    GRANT SELECT ON audit.recorded_events TO remit_transfer, remit_fraud;
"""


def upgrade() -> None:
    parts = (_LOGS, _INDEXES, _BESIDE, _APPEND_ONLY, _PARTITIONS, _VIEWS)
    for part in (*parts, messaging_tables_v1("audit", "remit_audit"), _GRANTS):
        op.execute(part)
