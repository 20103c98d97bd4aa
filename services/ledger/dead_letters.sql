-- Whether a parked item has ended after all.

-- name: has_both_entries
SELECT count(*) = 2 FROM ledger_entries WHERE transfer_id = $1;
