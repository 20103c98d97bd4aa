-- The log, for operators. A filter's predicates and the order are appended, each only where it is asked for: a plan made
-- for predicates that may be absent would use no index.

-- name: rows
SELECT seq, recorded_at, occurred_at, event_id, user_id, action, resource_type, resource_id, status,
       ip_address, user_agent, request_id, error_message, details::text AS details, encode(hash, 'hex') AS hash
  FROM audit.logs WHERE true

-- name: times
-- Of the index alone, where one index holds all that is asked for.
SELECT recorded_at FROM audit.logs WHERE true

-- name: tip
-- The newest row: an export begins here, so that what is recorded meanwhile, itself included, does not move its end.
SELECT recorded_at, seq FROM audit.logs ORDER BY recorded_at DESC, seq DESC LIMIT 1;

-- name: archived_until
-- The end of what was detached from the log.
SELECT coalesce(max(last_seq), 0) FROM audit.archived;
