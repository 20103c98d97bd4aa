-- What the invariants read of the audit log. `status` of a check: approved is success, a conflict is failed and is no
-- decision; the gateway's own refusals by IP name no transfer.

-- name: check_digests
SELECT substr(resource_id, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', resource_id, status)), 1, 16))::bit(64)::bigint)
  FROM audit.logs_ever
 WHERE action = 'FRAUD_CHECK' AND resource_type = 'transaction' AND status <> 'failed' AND resource_id IS NOT NULL
 GROUP BY 1;

-- name: check_rows
SELECT resource_id, status, false
  FROM audit.logs_ever
 WHERE action = 'FRAUD_CHECK' AND resource_type = 'transaction' AND status <> 'failed'
   AND resource_id COLLATE "C" BETWEEN $1::uuid::text AND $2::uuid::text;

-- name: settlement_digests
SELECT substr(resource_id, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', resource_id, status)), 1, 16))::bit(64)::bigint)
  FROM audit.logs_ever
 WHERE action = 'TRANSFER' AND resource_type = 'transaction' AND resource_id IS NOT NULL
 GROUP BY 1;

-- name: settlement_rows
SELECT resource_id, status, false
  FROM audit.logs_ever
 WHERE action = 'TRANSFER' AND resource_type = 'transaction'
   AND resource_id COLLATE "C" BETWEEN $1::uuid::text AND $2::uuid::text;

-- name: decided_digests
SELECT substr(transfer_id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', transfer_id, CASE verdict WHEN 'approved' THEN 'success' ELSE verdict END)),
                              1, 16))::bit(64)::bigint)
  FROM fraud.decisions_all GROUP BY 1;

-- name: decided_rows
-- $3: seconds for which the event may be on its way.
SELECT transfer_id::text, CASE verdict WHEN 'approved' THEN 'success' ELSE verdict END,
       decided_at > now() - make_interval(secs => $3::float8)
  FROM fraud.decisions_all WHERE transfer_id BETWEEN $1::uuid AND $2::uuid;

-- name: settled_digests
SELECT substr(id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', id, CASE status WHEN 'completed' THEN 'success' ELSE status END)),
                              1, 16))::bit(64)::bigint)
  FROM transfer.transactions_all GROUP BY 1;

-- name: settled_rows
-- $3: seconds for which the event may be on its way.
SELECT id::text, CASE status WHEN 'completed' THEN 'success' ELSE status END,
       settled_at > now() - make_interval(secs => $3::float8)
  FROM transfer.transactions_all WHERE id BETWEEN $1::uuid AND $2::uuid;

-- name: transfer_events
SELECT event_id, action, resource_id
  FROM audit.logs_ever
 WHERE resource_type = 'transaction' AND resource_id IS NOT NULL
   AND (action = 'TRANSFER' OR action = 'FRAUD_CHECK' AND status <> 'failed');
