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

-- name: insert_entries
-- In one order for everyone, so that two workers with the same transfers wait for each other and cannot deadlock.
INSERT INTO ledger.ledger_entries (id, transfer_id, direction, account_id, account_seq, amount_minor, currency,
                                   balance_before_minor, balance_after_minor, created_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[], $7::text[],
                     $8::bigint[], $9::bigint[], $10::timestamptz[])
    AS entry (id, transfer_id, direction, account_id, account_seq, amount_minor, currency,
              balance_before_minor, balance_after_minor, created_at)
 ORDER BY account_id, account_seq;
