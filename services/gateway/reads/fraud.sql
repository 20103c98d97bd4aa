-- The views of the schema `fraud`.

-- name: decisions
SELECT transfer_id, fingerprint, payload FROM fraud.decisions_all WHERE transfer_id = ANY($1::uuid[]);

-- name: verdict
SELECT verdict, policy, reasons::text AS reasons, limits_version, decided_at, released_at
  FROM fraud.decisions_all WHERE transfer_id = $1;

-- name: recent_decisions
-- The newest decisions of a user: among them those whose transfers wait for their end.
SELECT transfer_id FROM fraud.decisions_all WHERE user_id = $1 ORDER BY decided_at DESC LIMIT $2;
