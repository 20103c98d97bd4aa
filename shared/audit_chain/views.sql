-- The chain, through the views that audit publishes.

-- name: extent
SELECT greatest((SELECT max(seq) FROM audit.logs),
                (SELECT max(seq) FROM audit.event_positions),
                (SELECT max(seq) FROM audit.chain_checkpoints),
                (SELECT max(last_seq) FROM audit.archived), 0),
       pg_is_in_recovery();

-- name: hash_at
SELECT hash FROM audit.logs WHERE seq = $1
 UNION ALL
SELECT hash FROM audit.chain_checkpoints WHERE seq = $1
 UNION ALL
SELECT last_hash FROM audit.archived WHERE last_seq = $1
 LIMIT 1;

-- name: logs_between
-- By ranges of seq, not by a limit: a row that stands twice cannot hide on a page's edge.
SELECT seq, recorded_at, hash, event_id, occurred_at, user_id, action, resource_type,
       resource_id, status, ip_address, user_agent, request_id, details::text, error_message
  FROM audit.logs WHERE seq > $1 AND seq <= $2 ORDER BY seq, recorded_at;

-- name: event_ids_between
SELECT seq, event_id FROM audit.event_positions WHERE seq > $1 AND seq <= $2;

-- name: checkpoints_between
SELECT seq, hash FROM audit.chain_checkpoints WHERE seq > $1 AND seq <= $2;

-- name: archives
SELECT first_seq, last_seq, previous_hash, last_hash FROM audit.archived ORDER BY first_seq;

-- name: known_events
SELECT count(*) FROM audit.event_positions WHERE seq > $1 AND seq <= $2;
