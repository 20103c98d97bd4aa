-- Transfer's statements. The role's search_path is `transfer`.

-- name: lock_accounts
-- Ordered by id, so that opposite transfers cannot deadlock. FOR NO KEY UPDATE leaves foreign keys alone.
SELECT id, owner_id, kind, currency, balance_minor, account_seq, is_deleted
  FROM accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: lock_account_states
-- As `lock_accounts`, with all that an account command answers.
SELECT id, owner_id, name, currency, balance_minor, account_seq, version, created_at, updated_at, is_deleted
  FROM accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: ended
-- Those that are there, with the database's clock. A statement of its own, after the locks: under READ COMMITTED it sees
-- what the previous holder committed, and settled_at never runs backwards on an account.
SELECT clock.now, t.*
  FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN transactions AS t ON t.id = ANY($1::uuid[]);

-- name: find_transactions
SELECT * FROM transactions WHERE id = ANY($1::uuid[]);

-- name: now
-- The database's clock, after the locks.
SELECT clock_timestamp();

-- name: write_settled
-- Each changed account once, however many transfers moved it. The transfers are sorted by id by the caller; plain: a key
-- that is taken must be noticed (23505: the whole batch again).
WITH moved AS (
    UPDATE accounts AS a
       SET balance_minor = n.balance_minor, account_seq = n.account_seq, updated_at = $40
      FROM unnest($37::uuid[], $38::bigint[], $39::bigint[]) AS n (id, balance_minor, account_seq)
     WHERE a.id = n.id
)
INSERT INTO transactions (
    id, fingerprint, kind, caller_id, owner_id, from_account_id, to_account_id, amount_minor, currency, description,
    metadata, idempotency_key, batch_id, batch_fingerprint, batch_index, batch_count, context, verdict, policy,
    limits_version, reasons, decided_at, status, failure_reason, retry_count, debit_seq, debit_balance_before_minor,
    debit_balance_after_minor, credit_seq, credit_balance_before_minor, credit_balance_after_minor,
    seen_balance_minor, seen_account_seq, created_at, settled_at, updated_at)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::bigint[], $9::text[],
    $10::text[], $11::json[], $12::text[], $13::uuid[], $14::text[], $15::int[], $16::int[], $17::json[], $18::text[],
    $19::text[], $20::text[], $21::json[], $22::timestamptz[], $23::text[], $24::text[], $25::int[], $26::bigint[],
    $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[],
    $34::timestamptz[], $35::timestamptz[], $36::timestamptz[]);

-- name: find_commands
SELECT command_id, fingerprint, command, outcome FROM commands WHERE command_id = ANY($1::uuid[]);

-- name: insert_commands
INSERT INTO commands (command_id, fingerprint, command, outcome)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::json[], $4::json[]);

-- name: insert_accounts
INSERT INTO accounts (id, owner_id, name, currency, kind, version, created_at, updated_at)
SELECT id, owner_id, name, currency, 'customer', version, created_at, updated_at
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::timestamptz[], $7::timestamptz[])
    AS n (id, owner_id, name, currency, version, created_at, updated_at);

-- name: write_accounts
-- What commands change; never the balance, never the position.
UPDATE accounts AS a
   SET name = n.name, version = n.version, updated_at = n.updated_at, is_deleted = n.is_deleted,
       deleted_at = CASE WHEN n.is_deleted THEN n.updated_at END
  FROM unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[], $5::boolean[])
    AS n (id, name, version, updated_at, is_deleted)
 WHERE a.id = n.id;

-- name: lock_transactions
-- After the accounts, ordered by id. Settling never locks a row that is there, so the two cannot deadlock.
SELECT id, is_deleted FROM transactions WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: write_transactions
-- What commands change: whether lists and reads by id show the transfer. Everything else in its row is final.
UPDATE transactions AS t
   SET is_deleted = n.is_deleted, deleted_at = CASE WHEN n.is_deleted THEN $3::timestamptz END
  FROM unnest($1::uuid[], $2::boolean[]) AS n (id, is_deleted)
 WHERE t.id = n.id;

-- name: read_watermark
SELECT xid, id FROM watermarks WHERE name = $1;

-- name: move_watermark
-- Forwards only: two processes may have swept at different speeds.
UPDATE watermarks SET xid = $2, id = $3 WHERE name = $1 AND (xid, id) < ($2, $3);

-- name: transactions_from
-- From a position (inclusive). Below the oldest running transaction none can still commit a row, so a watermark there
-- never passes one.
SELECT id AS key, xid, extract(epoch FROM clock_timestamp() - settled_at)::float8 AS age_s FROM transactions
 WHERE (xid, id) >= ($1::bigint, $2::uuid)
   AND (NOT $3::boolean OR xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
 ORDER BY xid, id LIMIT $4;

-- name: transaction_statuses
SELECT id, status FROM transactions WHERE id = ANY($1::uuid[]);

-- name: commands_from
-- As `transactions_from`.
SELECT command_id AS key, xid, extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_s FROM commands
 WHERE (xid, command_id) >= ($1::bigint, $2::uuid)
   AND (NOT $3::boolean OR xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
 ORDER BY xid, command_id LIMIT $4;
