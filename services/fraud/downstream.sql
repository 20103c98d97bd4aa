-- What the reconciler asks of transfer's view.

-- name: present
SELECT id FROM transfer.transaction_ids WHERE id = ANY($1::uuid[]);
