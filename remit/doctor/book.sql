-- The newest rows alone: whole books are for `remit verify`.

-- name: settled
SELECT id, status, extract(epoch FROM clock_timestamp() - settled_at)::float8 AS age_s
  FROM transfer.transactions ORDER BY xid DESC, id DESC LIMIT %(rows_max)s;

-- name: decided
SELECT transfer_id AS id, extract(epoch FROM clock_timestamp() - decided_at)::float8 AS age_s
  FROM fraud.decisions ORDER BY xid DESC, place DESC LIMIT %(rows_max)s;

-- name: in_transfer
SELECT id FROM transfer.transactions WHERE id = ANY(%(ids)s);

-- name: in_ledger
SELECT transfer_id AS id FROM ledger.ledger_entries WHERE transfer_id = ANY(%(ids)s);

-- name: in_audit
SELECT event_id AS id FROM audit.event_ids WHERE event_id = ANY(%(ids)s);

-- name: behind_transfer
-- How long the first row beyond the reconciler's watermark has been there.
SELECT extract(epoch FROM clock_timestamp() - settled_at)::float8 AS age_s
  FROM transfer.transactions AS row JOIN transfer.watermarks AS mark ON mark.name = 'transactions'
 WHERE (row.xid, row.id) > (mark.xid, mark.id) ORDER BY row.xid, row.id LIMIT 1;

-- name: behind_fraud
SELECT extract(epoch FROM clock_timestamp() - decided_at)::float8 AS age_s
  FROM fraud.decisions AS row CROSS JOIN fraud.watermark AS mark
 WHERE (row.xid, row.place) > (mark.xid, mark.place) ORDER BY row.xid, row.place LIMIT 1;

-- name: letters
SELECT count(*)::int AS letters, extract(epoch FROM clock_timestamp() - min(parked_at))::float8 AS age_s
  FROM {schema}.dead_letters WHERE resolution IS NULL;
