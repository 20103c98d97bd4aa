-- How far a stage is behind the one before it. Rows are looked at in the order in which they were committed, at a few
-- places each: what it costs does not grow with what is behind.

-- name: newest_settlement
SELECT coalesce(max(xid), 0) FROM transfer.settlements;

-- name: settlements_at
-- For each place the newest transfer that ended there or before.
SELECT DISTINCT ON (found.xid) found.xid, found.id,
       extract(epoch FROM clock_timestamp() - found.settled_at)::float8 AS age_s
  FROM unnest($1::bigint[]) AS place (xid)
 CROSS JOIN LATERAL (SELECT xid, id, settled_at FROM transfer.settlements
                      WHERE xid <= place.xid ORDER BY xid DESC, id DESC LIMIT 1) AS found
 ORDER BY found.xid DESC;

-- name: completions_at
-- The same of completed ones alone, among the hundred that ended last there or before.
SELECT DISTINCT ON (found.xid) found.xid, found.id,
       extract(epoch FROM clock_timestamp() - found.settled_at)::float8 AS age_s
  FROM unnest($1::bigint[]) AS place (xid)
 CROSS JOIN LATERAL (SELECT * FROM (SELECT xid, id, status, settled_at FROM transfer.settlements
                                     WHERE xid <= place.xid ORDER BY xid DESC, id DESC LIMIT 100) AS near
                      WHERE status = 'completed' ORDER BY xid DESC, id DESC LIMIT 1) AS found
 ORDER BY found.xid DESC;

-- name: settlements_since
-- How many ended there or later, counted to a bound.
SELECT count(*) FROM (SELECT FROM transfer.settlements WHERE xid >= $1::bigint LIMIT $2) AS behind;

-- name: settled
SELECT id FROM transfer.transactions_all WHERE id = ANY($1::uuid[]);

-- name: newest_decision
SELECT xid::text::bigint AS xid FROM fraud.decision_times ORDER BY decision_times.xid DESC LIMIT 1;

-- name: decisions_at
-- For each place the newest decision there or before.
SELECT DISTINCT ON (found.xid) found.xid::text::bigint AS xid, found.transfer_id AS id,
       extract(epoch FROM clock_timestamp() - found.decided_at)::float8 AS age_s
  FROM unnest($1::bigint[]) AS place (xid)
 CROSS JOIN LATERAL (SELECT xid, place, transfer_id, decided_at FROM fraud.decision_times
                      WHERE decision_times.xid <= place.xid::text::xid8
                      ORDER BY decision_times.xid DESC, place DESC LIMIT 1) AS found
 ORDER BY found.xid DESC;

-- name: decisions_since
SELECT count(*) FROM (SELECT FROM fraud.decision_times WHERE xid >= $1::bigint::text::xid8 LIMIT $2) AS behind;

-- name: decided
SELECT transfer_id AS id FROM fraud.decisions_all WHERE transfer_id = ANY($1::uuid[]);

-- name: booked
SELECT DISTINCT transfer_id AS id FROM ledger.entries WHERE transfer_id = ANY($1::uuid[]);

-- name: audited
SELECT event_id AS id FROM audit.event_positions WHERE event_id = ANY($1::uuid[]);
