-- Whether a parked item has ended after all.

-- name: has_decision
SELECT EXISTS (SELECT 1 FROM decisions WHERE transfer_id = $1);

-- name: has_release
SELECT EXISTS (SELECT 1 FROM decisions WHERE transfer_id = $1 AND released_at IS NOT NULL);
