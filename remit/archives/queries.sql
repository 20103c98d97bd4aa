-- Run by the owner, for no service's role may do this.

-- name: months
-- Months that are still in the log and hold rows, oldest first; $1: only those before it.
SELECT to_date(right(relid::regclass::text, 7), 'YYYY_MM') AS month
  FROM pg_partition_tree('audit.audit_logs')
 WHERE isleaf AND level = 1 AND relid::regclass::text ~ 'audit_logs_\d{4}_\d{2}$'
   AND to_date(right(relid::regclass::text, 7), 'YYYY_MM') < $1::date
 ORDER BY 1;

-- name: extent
-- Where a month's rows stand in the chain.
SELECT min(seq) AS first_seq, max(seq) AS last_seq FROM audit.logs
 WHERE recorded_at >= $1::date::timestamp AT TIME ZONE 'UTC'
   AND recorded_at < ($1::date + interval '1 month') AT TIME ZONE 'UTC';

-- name: bound_month
SELECT audit.bound_month($1::date);

-- name: ensure_partitions
SELECT audit.ensure_partitions();

-- name: detach_month
SELECT audit.detach_month($1::date, $2::bigint, $3::bigint, $4::bytea, $5::bytea, $6::bytea);

-- name: archived
SELECT first_seq, last_seq, previous_hash, last_hash, file_sha256, archived_at FROM audit.archived
 WHERE month = $1::date;
