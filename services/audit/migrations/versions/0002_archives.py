"""Retention: months detached into archives; views for a walk of the chain; indexes for pairs of filters."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What verification needs of rows that are no longer in the log: where they stood, and the hashes at both ends.
_ARCHIVES = """
    CREATE TABLE audit.archives (
        month         date PRIMARY KEY CONSTRAINT archive_month CHECK (extract(day FROM month) = 1),
        first_seq     bigint NOT NULL CONSTRAINT archive_position CHECK (first_seq > 0),
        last_seq      bigint NOT NULL CONSTRAINT archive_not_empty CHECK (last_seq >= first_seq),
        previous_hash bytea NOT NULL CONSTRAINT archive_previous_hash_whole CHECK (octet_length(previous_hash) = 32),
        last_hash     bytea NOT NULL CONSTRAINT archive_last_hash_whole CHECK (octet_length(last_hash) = 32),
        file_sha256   bytea NOT NULL CONSTRAINT archive_file_sha256_whole CHECK (octet_length(file_sha256) = 32),
        archived_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT archives_apart EXCLUDE USING gist (int8range(first_seq, last_seq, '[]') WITH &&)
    );
    CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.archives
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
"""

# Where detached months stay: guarded like the log, and against new rows too. Nothing here ever drops one.
_ARCHIVED_LOGS = """
    CREATE TABLE audit.archived_logs (LIKE audit.audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        CONSTRAINT archived_logs_by_seq PRIMARY KEY (seq, recorded_at)) PARTITION BY RANGE (recorded_at);
    CREATE TRIGGER refuse_change_of_archive BEFORE INSERT OR UPDATE OR DELETE ON audit.archived_logs
        FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
    CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit.archived_logs
        FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
"""

# The owner's alone, both. The first says of the table what its place in the log already implies, so that the second,
# for which the chain waits, need not read it.
_DETACH = """
    CREATE FUNCTION audit.bound_month(month date) RETURNS text
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        partition text := 'audit_logs_' || to_char(month, 'YYYY_MM');
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'audit_month'
                        AND conrelid = format('audit.%I', partition)::regclass) THEN
            EXECUTE format(
                'ALTER TABLE audit.%I ADD CONSTRAINT audit_month CHECK (recorded_at >= %L AND recorded_at < %L)
                     NOT VALID', partition,
                month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        END IF;
        RETURN format('ALTER TABLE audit.%I VALIDATE CONSTRAINT audit_month', partition);
    END $$;

    CREATE FUNCTION audit.detach_month(
        month date, first_seq bigint, last_seq bigint, previous_hash bytea, last_hash bytea, file_sha256 bytea
    ) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        partition text := 'audit_logs_' || to_char(month, 'YYYY_MM');
        held      record;
    BEGIN
        -- Nobody extends the chain from here on: a row of the month's last moment has either come or never comes.
        PERFORM pg_advisory_xact_lock(5846120941);
        IF (month + interval '1 month') AT TIME ZONE 'UTC' > clock_timestamp() THEN
            RAISE EXCEPTION 'the month % is not over', to_char(month, 'YYYY-MM')
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        EXECUTE format('SELECT min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS rows FROM audit.%I', partition)
           INTO held;
        IF (held.first_seq, held.last_seq, held.rows) IS DISTINCT FROM (first_seq, last_seq, last_seq - first_seq + 1)
        THEN
            RAISE EXCEPTION '% is not what the archive holds', partition
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        EXECUTE format('ALTER TABLE audit.audit_logs DETACH PARTITION audit.%I', partition);
        EXECUTE format(
            'ALTER TABLE audit.archived_logs ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)', partition,
            month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        INSERT INTO audit.archives VALUES (month, first_seq, last_seq, previous_hash, last_hash, file_sha256);
    END $$;
    REVOKE ALL ON FUNCTION audit.bound_month(date) FROM PUBLIC;
    REVOKE ALL ON FUNCTION audit.detach_month(date, bigint, bigint, bytea, bytea, bytea) FROM PUBLIC;
"""

# A filter by `success` takes nearly every row, and the index by time finds those; refusals are few and asked for.
_INDEXES = """
    DROP INDEX audit.audit_logs_by_status;
    CREATE INDEX audit_logs_by_status ON audit.audit_logs (status, recorded_at) WHERE status <> 'success';
    CREATE INDEX audit_logs_by_refused_type ON audit.audit_logs (resource_type, status, recorded_at)
        WHERE status <> 'success';
    -- Many pairs of these never occur: without it, a whole action would be read to find that out.
    CREATE INDEX audit_logs_by_kind ON audit.audit_logs (action, resource_type, recorded_at);
"""

_VIEWS = """
    CREATE VIEW audit.event_positions AS SELECT seq, event_id FROM audit.event_ids;
    CREATE VIEW audit.chain_checkpoints AS SELECT seq, hash, recorded_at FROM audit.checkpoints;
    CREATE VIEW audit.archived AS
    SELECT month, first_seq, last_seq, previous_hash, last_hash, file_sha256, archived_at FROM audit.archives;
    -- The owner's alone: for who compares the log with all that ever happened.
    CREATE VIEW audit.logs_ever AS
    SELECT * FROM audit.logs
     UNION ALL
    SELECT seq, recorded_at, occurred_at, event_id, user_id, action, resource_type, resource_id, status,
           ip_address, user_agent, request_id, details, error_message, hash
      FROM audit.archived_logs;
    GRANT SELECT ON audit.event_positions, audit.chain_checkpoints, audit.archived TO remit_gateway;
"""


def upgrade() -> None:
    for part in (_ARCHIVES, _ARCHIVED_LOGS, _DETACH, _INDEXES, _VIEWS):
        op.execute(part)
