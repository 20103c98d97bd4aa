-- name: ensure_partitions
-- The owner's function: this month's partition and those of the next two.
SELECT audit.ensure_partitions();

-- name: lock_chain
-- One worker at a time extends the chain. Alone in its statement: what the others committed shows in the next ones.
SELECT pg_advisory_xact_lock(5846120941);

-- name: tip
-- The end of the chain and the time that the next rows get: it never goes back, so time and seq give one order.
SELECT coalesce(tip.seq, 0), tip.hash, greatest(clock_timestamp(), tip.recorded_at)
  FROM (SELECT) AS always
  LEFT JOIN LATERAL (SELECT seq, hash, recorded_at FROM audit.audit_logs ORDER BY seq DESC LIMIT 1) AS tip ON true;

-- name: known_events
SELECT event_id FROM audit.event_ids WHERE event_id = ANY($1::uuid[]);

-- name: insert_ids
-- What makes each event once over all partitions.
INSERT INTO audit.event_ids (seq, event_id) SELECT * FROM unnest($1::bigint[], $2::uuid[]);

-- name: lock_checkpoints
-- One worker at a time adds a checkpoint; those who extend the chain need not wait for it.
SELECT pg_advisory_xact_lock(5846120942);

-- name: add_checkpoint
-- Only where the chain is longer than at the last one.
INSERT INTO audit.checkpoints (seq, hash)
SELECT seq, hash FROM (SELECT seq, hash FROM audit.audit_logs ORDER BY seq DESC LIMIT 1) AS tip
 WHERE seq > (SELECT coalesce(max(seq), 0) FROM audit.checkpoints);

-- name: newest_checkpoint
SELECT checkpoint.seq, checkpoint.hash, checkpoint.recorded_at,
       (SELECT coalesce(max(seq), 0) FROM audit.audit_logs) AS tip_seq
  FROM audit.checkpoints AS checkpoint ORDER BY checkpoint.seq DESC LIMIT 1;
