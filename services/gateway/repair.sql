-- name: known
SELECT id FROM transfer.transactions_all WHERE id = ANY($1::uuid[]);
