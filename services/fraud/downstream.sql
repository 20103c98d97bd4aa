-- What the reconciler asks of the other services' views.

-- name: settled
SELECT id FROM transfer.transaction_ids WHERE id = ANY($1::uuid[]);

-- name: audited
SELECT event_id FROM audit.recorded_events WHERE event_id = ANY($1::uuid[]);
