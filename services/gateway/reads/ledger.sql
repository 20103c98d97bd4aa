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
  FROM ledger.entries WHERE account_id = $1 AND account_seq < $2 ORDER BY account_seq DESC LIMIT $3;

-- name: entries_of_transfer
SELECT account_id, account_seq, direction, recorded_at FROM ledger.entries WHERE transfer_id = $1 ORDER BY direction DESC;

-- name: books
-- Of each account what its entries say, in one reading: up to the first gap, and beyond it.
WITH numbered AS (
    SELECT account_id, account_seq, direction, amount_minor, currency, balance_before_minor, balance_after_minor,
           transfer_id,
           row_number() OVER account AS place,
           lag(balance_after_minor, 1, 0::bigint) OVER account AS carried_minor
      FROM ledger.entries WHERE account_id = ANY($1::uuid[])
    WINDOW account AS (PARTITION BY account_id ORDER BY account_seq))
SELECT account_id,
       count(*) AS entries,
       count(*) FILTER (WHERE account_seq = place) AS position,
       coalesce(max(account_seq), 0) AS top,
       coalesce(sum(amount_minor) FILTER (WHERE direction = 'debit' AND account_seq = place), 0) AS debits_minor,
       coalesce(sum(amount_minor) FILTER (WHERE direction = 'credit' AND account_seq = place), 0) AS credits_minor,
       min(account_seq) FILTER (WHERE account_seq = place AND balance_before_minor <> carried_minor) AS first_unchained,
       min(account_seq) FILTER (WHERE account_seq = place AND balance_after_minor <> balance_before_minor
           + CASE direction WHEN 'credit' THEN amount_minor ELSE -amount_minor END) AS first_unmoved,
       count(DISTINCT currency) AS currencies,
       (array_agg(balance_after_minor ORDER BY account_seq DESC) FILTER (WHERE account_seq = place))[1] AS balance_minor,
       (array_agg(transfer_id ORDER BY account_seq DESC) FILTER (WHERE account_seq = place))[1] AS transfer_id
  FROM numbered GROUP BY account_id;
