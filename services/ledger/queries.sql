-- name: known_entries
-- What stands under these transfers, or at these positions of accounts; an entry may come twice.
SELECT transfer_id, direction, account_id, account_seq, amount_minor, currency,
       balance_before_minor, balance_after_minor, created_at
  FROM ledger.ledger_entries
 WHERE transfer_id = ANY($1::uuid[])
 UNION ALL
SELECT transfer_id, direction, account_id, account_seq, amount_minor, currency,
       balance_before_minor, balance_after_minor, created_at
  FROM ledger.ledger_entries
  JOIN unnest($2::uuid[], $3::bigint[]) AS asked (account_id, account_seq) USING (account_id, account_seq);
