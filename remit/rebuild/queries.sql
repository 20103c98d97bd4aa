-- name: hold
-- Nobody books meanwhile, everybody reads. A worker that waits too long tries its batch again.
LOCK TABLE ledger.ledger_entries IN SHARE ROW EXCLUSIVE MODE;

-- name: make
-- With every key and check of the real one; gone with the session.
CREATE TEMPORARY TABLE rebuilt (LIKE ledger.ledger_entries INCLUDING ALL) ON COMMIT DROP;

-- name: fill
COPY rebuilt (id, transfer_id, direction, account_id, account_seq, amount_minor, currency,
              balance_before_minor, balance_after_minor, created_at) FROM STDIN;

-- name: completed
SELECT id, currency::text, amount_minor, settled_at,
       from_account_id, debit_seq, debit_balance_before_minor, debit_balance_after_minor,
       to_account_id, credit_seq, credit_balance_before_minor, credit_balance_after_minor
  FROM transfer.transactions WHERE status = 'completed';

-- name: remember
-- When an entry was booked is no part of what is rebuilt: where it stood rightly, it is kept.
UPDATE rebuilt SET recorded_at = stood.recorded_at FROM ledger.ledger_entries AS stood
 WHERE stood.transfer_id = rebuilt.transfer_id AND stood.direction = rebuilt.direction;

-- name: compare
-- Each side of a transfer that stands in one of both, or in both with other words.
CREATE TEMPORARY TABLE different ON COMMIT DROP AS
SELECT coalesce(fresh.transfer_id, stood.transfer_id) AS transfer_id,
       coalesce(fresh.direction, stood.direction) AS direction,
       CASE WHEN stood.id IS NULL THEN 'missing' WHEN fresh.id IS NULL THEN 'extra' ELSE 'wrong' END AS what,
       coalesce(fresh.account_id, stood.account_id) AS account_id,
       coalesce(fresh.account_seq, stood.account_seq) AS account_seq
  FROM rebuilt AS fresh FULL JOIN ledger.ledger_entries AS stood USING (transfer_id, direction)
 WHERE (fresh.id, fresh.account_id, fresh.account_seq, fresh.amount_minor, fresh.currency,
        fresh.balance_before_minor, fresh.balance_after_minor, fresh.created_at)
    IS DISTINCT FROM
       (stood.id, stood.account_id, stood.account_seq, stood.amount_minor, stood.currency,
        stood.balance_before_minor, stood.balance_after_minor, stood.created_at);

-- name: counts
SELECT what, count(*) AS sides FROM different GROUP BY what ORDER BY what;

-- name: first
SELECT what, account_id, account_seq, transfer_id, direction FROM different
 ORDER BY account_id, account_seq, what LIMIT 20;

-- name: empty
TRUNCATE ledger.ledger_entries;

-- name: put
-- One statement, so that the trigger which wants both sides of a transfer sees them all.
INSERT INTO ledger.ledger_entries SELECT * FROM rebuilt ORDER BY account_id, account_seq;
