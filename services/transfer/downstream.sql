-- What the reconciler asks of the other services' views.

-- name: audited
SELECT event_id FROM audit.recorded_events WHERE event_id = ANY($1::uuid[]);

-- name: booked
-- Both entries, or the transfer counts as missing.
SELECT transfer_id FROM ledger.entry_positions WHERE transfer_id = ANY($1::uuid[])
 GROUP BY transfer_id HAVING count(*) = 2;

-- name: released
SELECT transfer_id FROM fraud.released WHERE transfer_id = ANY($1::uuid[]);
