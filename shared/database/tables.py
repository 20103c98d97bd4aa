"""Tables of the same shape that each service keeps in its own schema. A shape, once released, never changes here."""

from __future__ import annotations


def messaging_tables_v1(schema: str, role: str) -> str:
    """DDL of `dead_letters`, `attempts` and `probes` in `schema`, granted to the service's role."""
    return f"""
        CREATE TABLE {schema}.dead_letters (
            id           uuid PRIMARY KEY,
            message_type text NOT NULL,
            reason       text NOT NULL,
            detail       text NOT NULL,
            origin       text NOT NULL,
            item         text NOT NULL,
            parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            resolution   text CONSTRAINT dead_letter_resolution
                         CHECK (resolution IN ('replayed', 'already_final', 'discarded')),
            resolved_at  timestamptz,
            resolved_by  uuid,
            CONSTRAINT dead_letter_resolved_whole CHECK ((resolution IS NULL) = (resolved_at IS NULL))
        );
        CREATE INDEX dead_letters_open ON {schema}.dead_letters (parked_at) WHERE resolution IS NULL;
        CREATE TABLE {schema}.attempts (
            event_id uuid PRIMARY KEY,
            tries    integer NOT NULL,
            last_at  timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        CREATE TABLE {schema}.probes (
            id integer PRIMARY KEY CONSTRAINT probe_single CHECK (id = 1),
            at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        GRANT SELECT, INSERT, UPDATE ON {schema}.dead_letters, {schema}.probes TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.attempts TO {role};
    """


def instances_v1(schema: str, role: str) -> str:
    """DDL of `instances` in `schema`: what each running process of the service says of itself, shown to the gateway."""
    return f"""
        CREATE TABLE {schema}.instances (
            instance    text PRIMARY KEY,
            started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            report      json NOT NULL
        ) WITH (fillfactor = 50);
        CREATE VIEW {schema}.instances_all AS SELECT instance, started_at, reported_at, report FROM {schema}.instances;
        GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.instances TO {role};
        GRANT SELECT ON {schema}.instances_all TO remit_gateway;
    """  # noqa: S608 - the names of our own schemas


def dead_letters_v2(schema: str) -> str:
    """DDL that counts how often a letter was parked, and shows letters to the gateway for its operators."""
    return f"""
        ALTER TABLE {schema}.dead_letters ADD COLUMN times_parked integer NOT NULL DEFAULT 1
            CONSTRAINT dead_letter_parked_once CHECK (times_parked > 0);
        CREATE INDEX dead_letters_by_time ON {schema}.dead_letters (parked_at, id);
        CREATE VIEW {schema}.dead_letters_all AS
            SELECT id, message_type, reason, detail, origin, item, parked_at, times_parked, resolution, resolved_at,
                   resolved_by
              FROM {schema}.dead_letters;
        GRANT SELECT ON {schema}.dead_letters_all TO remit_gateway;
    """  # noqa: S608 - the names of our own schemas
