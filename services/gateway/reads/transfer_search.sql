-- Operators' search. The first statements tell where to look: at so many transfers at most, newest first, from an index
-- alone that is in that order. `matching` then keeps what was asked for.

-- name: places
-- Among all, of which each is above zero: so says the index. Each statement goes backwards from ($3, $4), and not beyond
-- the times $1 (inclusive) and $2 (exclusive).
SELECT created_at, id FROM transfer.transactions_all
 WHERE amount_minor > 0
   AND ($1::timestamptz IS NULL OR created_at >= $1)
   AND ($2::timestamptz IS NULL OR created_at < $2)
   AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $5;

-- name: places_of_status
-- Of those that did not complete.
SELECT created_at, id FROM transfer.transactions_all
 WHERE status = $6::text AND status <> 'completed'
   AND ($1::timestamptz IS NULL OR created_at >= $1)
   AND ($2::timestamptz IS NULL OR created_at < $2)
   AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $5;

-- name: places_of_key
-- A key is its caller's: others may have used the same.
SELECT created_at, id FROM transfer.transactions_all
 WHERE idempotency_key = $6::text
   AND ($1::timestamptz IS NULL OR created_at >= $1)
   AND ($2::timestamptz IS NULL OR created_at < $2)
   AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $5;

-- name: places_of_owner
SELECT created_at, id FROM transfer.transactions_all
 WHERE owner_id = $6::uuid
   AND ($1::timestamptz IS NULL OR created_at >= $1)
   AND ($2::timestamptz IS NULL OR created_at < $2)
   AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $5;

-- name: places_of_accounts
-- What these accounts sent, and what was sent to them; completed ones have an index of their own.
SELECT found.created_at, found.id
  FROM unnest($6::uuid[]) AS account (id)
 CROSS JOIN LATERAL (
    (SELECT created_at, id FROM transfer.transactions_all
      WHERE from_account_id = account.id
        AND ($1::timestamptz IS NULL OR created_at >= $1)
        AND ($2::timestamptz IS NULL OR created_at < $2)
        AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
      ORDER BY created_at DESC, id DESC LIMIT $5)
     UNION ALL
    (SELECT created_at, id FROM transfer.transactions_all
      WHERE to_account_id = account.id AND status = 'completed'
        AND ($1::timestamptz IS NULL OR created_at >= $1)
        AND ($2::timestamptz IS NULL OR created_at < $2)
        AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
      ORDER BY created_at DESC, id DESC LIMIT $5)
     UNION ALL
    (SELECT created_at, id FROM transfer.transactions_all
      WHERE to_account_id = account.id AND status <> 'completed'
        AND ($1::timestamptz IS NULL OR created_at >= $1)
        AND ($2::timestamptz IS NULL OR created_at < $2)
        AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
      ORDER BY created_at DESC, id DESC LIMIT $5)) AS found
 ORDER BY found.created_at DESC, found.id DESC LIMIT $5;

-- name: matching
-- Of these transfers those that were asked for.
SELECT * FROM transfer.transactions_all
 WHERE id = ANY($1::uuid[])
   AND ($2::boolean OR NOT is_deleted)
   AND ($3::text IS NULL OR status = $3)
   AND ($4::text IS NULL OR idempotency_key = $4)
   AND ($5::uuid IS NULL OR from_account_id = $5 OR to_account_id = $5)
   AND ($6::uuid IS NULL OR owner_id = $6 OR from_account_id = ANY($7::uuid[]) OR to_account_id = ANY($7))
   AND ($8::text IS NULL OR currency = $8)
   AND ($9::bigint IS NULL OR amount_minor >= $9)
   AND ($10::bigint IS NULL OR amount_minor <= $10)
   AND ($11::timestamptz IS NULL OR created_at >= $11)
   AND ($12::timestamptz IS NULL OR created_at < $12)
 ORDER BY created_at DESC, id DESC LIMIT $13;

-- name: accounts_of
-- A user's accounts, closed ones too.
SELECT id FROM transfer.accounts_all WHERE owner_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2;
