-- The whole ledger, summed up.

-- name: trial_balance
-- One statement, one snapshot: both entries of a transfer come in one, so that in any snapshot they are even. An account
-- is counted by its first entry: to count distinct ones would have all entries sorted.
SELECT currency, count(*) AS entries, count(*) FILTER (WHERE account_seq = 1) AS accounts,
       coalesce(sum(amount_minor) FILTER (WHERE direction = 'debit'), 0) AS debits_minor,
       coalesce(sum(amount_minor) FILTER (WHERE direction = 'credit'), 0) AS credits_minor,
       max(recorded_at) AS newest_at
  FROM ledger.entries GROUP BY currency ORDER BY currency;
