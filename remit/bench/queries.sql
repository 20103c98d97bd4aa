-- name: now
-- Every row that is written from here on bears a later time.
SELECT clock_timestamp();

-- name: sample
-- Which transactions anybody can see, and when that was so: the time is taken after the snapshot.
SELECT pg_current_snapshot()::text, clock_timestamp();

-- name: counted
-- What the transfers settled since then came to.
SELECT count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'blocked') AS blocked,
       min(created_at) AS begun_at
  FROM transfer.transactions WHERE settled_at >= $1;

-- name: booked
-- The completed transfers settled since then, together where they share all of: when they were settled, and the
-- transactions that wrote their row, their two entries, and their audit rows. NULL: not there.
WITH entries AS (
    SELECT transfer_id, max(xmin::text::bigint) AS xid FROM ledger.ledger_entries
     WHERE recorded_at >= $1 GROUP BY transfer_id HAVING count(*) = 2
), checks AS (
    SELECT resource_id, max(xmin::text::bigint) AS xid FROM audit.audit_logs
     WHERE recorded_at >= $1 AND action = 'FRAUD_CHECK' GROUP BY resource_id
), ends AS (
    SELECT resource_id, max(xmin::text::bigint) AS xid FROM audit.audit_logs
     WHERE recorded_at >= $1 AND action = 'TRANSFER' GROUP BY resource_id
)
SELECT made.settled_at, entries.xid AS entries, checks.xid AS checks, ends.xid AS ends, count(*) AS transfers
  FROM transfer.transactions AS made
  LEFT JOIN entries ON entries.transfer_id = made.id
  LEFT JOIN checks ON checks.resource_id = made.id::text
  LEFT JOIN ends ON ends.resource_id = made.id::text
 WHERE made.settled_at >= $1 AND made.status = 'completed'
 GROUP BY made.settled_at, entries.xid, checks.xid, ends.xid;

-- name: storage
-- Bytes of every table with its indexes, by schema.
SELECT nspname AS schema, sum(pg_total_relation_size(class.oid))::bigint AS bytes
  FROM pg_class AS class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE relkind IN ('r', 'm') AND nspname IN ('identity', 'fraud', 'transfer', 'ledger', 'audit')
 GROUP BY nspname ORDER BY nspname;

-- name: transactions
SELECT count(*) AS transactions FROM transfer.transactions;

-- name: entries_of
-- An account's postings are counted by its own position.
SELECT account_seq FROM transfer.accounts WHERE id = $1;
