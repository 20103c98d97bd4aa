-- The views of the schema `audit`.

-- name: rows_of_transfer
SELECT action, status, recorded_at, seq FROM audit.logs
 WHERE resource_type = 'transaction' AND resource_id = $1 AND action IN ('FRAUD_CHECK', 'TRANSFER') ORDER BY seq;

-- name: is_recorded
-- Also of what has been put away into an archive since.
SELECT EXISTS (SELECT FROM audit.event_positions WHERE event_id = $1);
