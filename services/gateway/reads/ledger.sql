-- The views of the schema `ledger`.

-- name: position
-- Entries come in any order, so that the statement ends before the first gap. Without one, count and maximum agree.
SELECT count(*) AS entries, coalesce(max(account_seq), 0) AS top FROM ledger.entries WHERE account_id = $1;

-- name: position_before_gap
SELECT coalesce(max(account_seq), 0) FROM (
    SELECT account_seq, row_number() OVER (ORDER BY account_seq) AS place
      FROM ledger.entries WHERE account_id = $1) AS numbered
 WHERE account_seq = place;

-- name: list_entries
SELECT id AS entry_id, transfer_id, account_id, account_seq, direction, amount_minor, currency, balance_before_minor,
       balance_after_minor, created_at
  FROM ledger.entries
 WHERE account_id = $1 AND account_seq < $2
   AND ($4::timestamptz IS NULL OR created_at >= $4)
   AND ($5::timestamptz IS NULL OR created_at < $5)
 ORDER BY account_seq DESC LIMIT $3;

-- name: entries_of_transfer
SELECT account_id, account_seq, direction, amount_minor, currency, balance_before_minor, balance_after_minor, recorded_at
  FROM ledger.entries WHERE transfer_id = $1 ORDER BY direction DESC;

-- name: whole_entries_of_transfer
-- As an operator reads them: with positions and balances.
SELECT id AS entry_id, transfer_id, account_id, account_seq, direction, amount_minor, currency, balance_before_minor,
       balance_after_minor, created_at, recorded_at
  FROM ledger.entries WHERE transfer_id = $1 ORDER BY direction DESC;

-- name: books
-- Of each account what its entries say, in one reading: up to the first gap, and beyond it. A million entries in a second:
-- so nothing is sorted but by the key, and the last entry is looked up at the end.
WITH numbered AS (
    SELECT account_id, account_seq, amount_minor, balance_before_minor, balance_after_minor, currency,
           direction = 'credit' AS is_credit,
           row_number() OVER account AS place,
           lag(balance_after_minor, 1, 0::bigint) OVER account AS carried_minor
      FROM ledger.entries WHERE account_id = ANY($1::uuid[])
    WINDOW account AS (PARTITION BY account_id ORDER BY account_seq)
), book AS (
    SELECT account_id,
           count(*) AS entries,
           count(*) FILTER (WHERE account_seq = place) AS position,
           max(account_seq) AS top,
           sum(amount_minor) FILTER (WHERE NOT is_credit AND account_seq = place) AS debits_minor,
           sum(amount_minor) FILTER (WHERE is_credit AND account_seq = place) AS credits_minor,
           min(account_seq) FILTER (WHERE balance_before_minor <> carried_minor AND account_seq = place)
               AS first_unchained,
           min(account_seq) FILTER (WHERE account_seq = place AND balance_after_minor <> balance_before_minor
               + CASE WHEN is_credit THEN amount_minor ELSE -amount_minor END) AS first_unmoved,
           CASE WHEN min(currency COLLATE "C") = max(currency COLLATE "C") THEN 1 ELSE 2 END AS currencies
      FROM numbered GROUP BY account_id
)
SELECT book.*, last.balance_after_minor AS balance_minor, last.transfer_id
  FROM book LEFT JOIN ledger.entries AS last ON last.account_id = book.account_id AND last.account_seq = book.position;
