-- The views of the schema `transfer`.

-- name: transfers
-- Deleted ones too: a replay must find them.
SELECT * FROM transfer.transactions_all WHERE id = ANY($1::uuid[]);

-- name: seen
-- What a refusal for want of funds saw: the balance, and up to which position.
SELECT seen_balance_minor, seen_account_seq FROM transfer.transactions_all WHERE id = $1;

-- name: transfer_with_payee
-- What a client reads: a deleted one is not there.
SELECT t.*, (SELECT owner_id FROM transfer.accounts_all WHERE id = t.to_account_id) AS payee_id
  FROM transfer.transactions_live AS t WHERE t.id = $1;

-- name: list_own_transfers
-- What this user's own accounts were asked to send: pages backwards from ($6, $7).
SELECT * FROM transfer.transactions_live
 WHERE owner_id = $1
   AND ($2::uuid IS NULL OR from_account_id = $2 OR to_account_id = $2)
   AND ($3::text IS NULL OR status = $3)
   AND ($4::timestamptz IS NULL OR created_at >= $4)
   AND ($5::timestamptz IS NULL OR created_at < $5)
   AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7::uuid))
   AND ($8::text IS NULL OR idempotency_key = $8)
 ORDER BY created_at DESC, id DESC LIMIT $9;

-- name: list_received_transfers
-- What others sent to this user's accounts; a payee sees completed ones only, and never the payer's key.
SELECT * FROM transfer.transactions_live
 WHERE to_account_id IN (SELECT id FROM transfer.accounts_all
                          WHERE owner_id = $1 AND ($2::uuid IS NULL OR id = $2))
   AND owner_id <> $1 AND status = 'completed'
   AND ($3::timestamptz IS NULL OR created_at >= $3)
   AND ($4::timestamptz IS NULL OR created_at < $4)
   AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $7;

-- name: list_sent_transfers_of_account
SELECT * FROM transfer.transactions_live
 WHERE from_account_id = $1
   AND ($2::text IS NULL OR status = $2)
   AND ($3::timestamptz IS NULL OR created_at >= $3)
   AND ($4::timestamptz IS NULL OR created_at < $4)
   AND ($5::timestamptz IS NULL OR (created_at, id) < ($5, $6::uuid))
   AND ($7::text IS NULL OR idempotency_key = $7)
 ORDER BY created_at DESC, id DESC LIMIT $8;

-- name: list_received_transfers_of_account
SELECT * FROM transfer.transactions_live
 WHERE to_account_id = $1 AND from_account_id <> $1 AND status = 'completed'
   AND ($2::timestamptz IS NULL OR created_at >= $2)
   AND ($3::timestamptz IS NULL OR created_at < $3)
   AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $6;

-- name: live_account
-- What a client reads: a deleted one is not there.
SELECT id AS account_id, owner_id, name, currency, balance_minor, account_seq, version, created_at, updated_at
  FROM transfer.accounts_live WHERE id = $1;

-- name: accounts
-- Deleted ones too, for what must know them: verification, and orders that name them.
SELECT id AS account_id, owner_id, name, currency, balance_minor, account_seq, version, created_at, updated_at,
       is_deleted
  FROM transfer.accounts_all WHERE id = ANY($1::uuid[]);

-- name: list_live_accounts
SELECT id AS account_id, owner_id, name, currency, balance_minor, account_seq, version, created_at, updated_at
  FROM transfer.accounts_live
 WHERE owner_id = $1
   AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $4;

-- name: find_accounts
-- For an operator: of one owner, of one currency, or all; settlement accounts belong to nobody's list.
SELECT id AS account_id, owner_id, name, currency, balance_minor, account_seq, version, created_at, updated_at,
       is_deleted
  FROM transfer.accounts_all
 WHERE owner_id IS NOT NULL
   AND ($1::uuid IS NULL OR owner_id = $1)
   AND ($2::char(3) IS NULL OR currency = $2)
   AND ($3::boolean OR NOT is_deleted)
   AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
 ORDER BY created_at DESC, id DESC LIMIT $6;

-- name: list_account_ids
-- Every account, settlement accounts too, in pages by id: for the verification of the whole book.
SELECT id FROM transfer.accounts_all WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2;

-- name: count_accounts
SELECT count(*) FROM transfer.accounts_all;

-- name: command_outcomes
SELECT command_id, outcome FROM transfer.command_outcomes WHERE command_id = ANY($1::uuid[]);

-- name: postings
-- Of transfers, what each says of its two accounts.
SELECT id, from_account_id, to_account_id, amount_minor, currency, debit_seq, debit_balance_after_minor,
       credit_seq, credit_balance_after_minor
  FROM transfer.transactions_all WHERE id = ANY($1::uuid[]);

-- name: oldest_posting_after
-- The oldest posting of an account beyond a position: how long the ledger has been behind.
SELECT min(settled_at) FROM (
    SELECT settled_at FROM transfer.transactions_all
     WHERE from_account_id = $1 AND status = 'completed' AND debit_seq > $2
     UNION ALL
    SELECT settled_at FROM transfer.transactions_all
     WHERE to_account_id = $1 AND status = 'completed' AND credit_seq > $2) AS beyond;
