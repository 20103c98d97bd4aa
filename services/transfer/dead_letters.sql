-- Whether a parked item has ended after all.

-- name: has_transaction
SELECT EXISTS (SELECT 1 FROM transactions WHERE id = $1);

-- name: has_command
SELECT EXISTS (SELECT 1 FROM commands WHERE command_id = $1);
