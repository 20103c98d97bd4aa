-- What the invariants read. Everything is a view that the gateway may read too, except the tables of dead letters.
-- A fact of a comparison is one text; both sides must write it alike. See comparison.py for the shape of `_digests`
-- and `_rows`; the first three hex digits of an id are its bucket.

-- name: sums
-- Money is neither made nor lost: per currency all balances add up to zero, the settlement account's being negative.
SELECT currency, sum(balance_minor)::text AS total_minor,
       coalesce(sum(balance_minor) FILTER (WHERE kind = 'customer'), 0)::text AS customers_minor,
       count(*) FILTER (WHERE kind = 'customer') AS customers
  FROM transfer.accounts_all GROUP BY currency ORDER BY currency;

-- name: overdrawn
SELECT id, balance_minor, currency FROM transfer.accounts_all
 WHERE kind = 'customer' AND balance_minor < 0 ORDER BY id LIMIT 1000;

-- name: customers
SELECT count(*) FROM transfer.accounts_all WHERE kind = 'customer';

-- name: transfers_by_status
SELECT status, count(*) AS transfers FROM transfer.transactions_all GROUP BY status ORDER BY status;

-- name: contradictory_transfers
-- A row must agree with itself: status with verdict, reason and postings, postings with the amount.
SELECT id, status, verdict FROM transfer.transactions_all
 WHERE NOT coalesce(
           (status = 'blocked') = (verdict = 'blocked')
       AND (status = 'failed') = (failure_reason IS NOT NULL)
       AND amount_minor > 0
       AND CASE WHEN status = 'completed'
                THEN debit_balance_after_minor = debit_balance_before_minor - amount_minor
                 AND credit_balance_after_minor = credit_balance_before_minor + amount_minor
                 AND debit_seq > 0 AND credit_seq > 0 AND from_account_id <> to_account_id
                ELSE num_nonnulls(debit_seq, debit_balance_before_minor, debit_balance_after_minor,
                                  credit_seq, credit_balance_before_minor, credit_balance_after_minor) = 0
           END, false)
 ORDER BY id LIMIT 1000;

-- name: unjustified_refusals
-- The balance that a refusal saw was too small, and was indeed the source's at that position (zero at none).
SELECT refused.id, refused.amount_minor, refused.seen_balance_minor, refused.seen_account_seq
  FROM transfer.transactions_all AS refused
  LEFT JOIN (
       SELECT from_account_id AS account_id, debit_seq AS account_seq, debit_balance_after_minor AS balance_minor
         FROM transfer.transactions_all WHERE status = 'completed'
       UNION ALL
       SELECT to_account_id, credit_seq, credit_balance_after_minor
         FROM transfer.transactions_all WHERE status = 'completed'
       ) AS posting
    ON posting.account_id = refused.from_account_id AND posting.account_seq = refused.seen_account_seq
 WHERE refused.failure_reason = 'insufficient_funds'
   AND NOT coalesce(
           refused.amount_minor > refused.seen_balance_minor
       AND refused.seen_balance_minor = CASE refused.seen_account_seq WHEN 0 THEN 0 ELSE posting.balance_minor END,
           false)
 ORDER BY refused.id LIMIT 1000;

-- name: refusals
SELECT count(*) FROM transfer.transactions_all WHERE failure_reason = 'insufficient_funds';

-- name: uncounted_positions
-- Each account's postings are as many as its position says, from 1 to that.
SELECT coalesce(account.id, posting.account_id) AS id, account.account_seq, posting.postings,
       posting.first_seq, posting.last_seq
  FROM transfer.accounts_all AS account
  FULL JOIN (
       SELECT account_id, count(*) AS postings, min(account_seq) AS first_seq, max(account_seq) AS last_seq
         FROM (SELECT from_account_id AS account_id, debit_seq AS account_seq
                 FROM transfer.transactions_all WHERE status = 'completed'
               UNION ALL
               SELECT to_account_id, credit_seq FROM transfer.transactions_all WHERE status = 'completed') AS side
        GROUP BY account_id
       ) AS posting ON posting.account_id = account.id
 WHERE NOT coalesce(
           account.account_seq = coalesce(posting.postings, 0)
       AND coalesce(posting.last_seq, 0) = account.account_seq
       AND coalesce(posting.first_seq, 1) = 1, false)
 ORDER BY 1 LIMIT 1000;

-- name: postings
SELECT 2 * count(*) FROM transfer.transactions_all WHERE status = 'completed';

-- name: broken_chains
-- Each posting begins where the one before it on that account ended: position by position, cent by cent.
SELECT account_id, account_seq, before_minor, seq_before, after_before
  FROM (SELECT account_id, account_seq, before_minor,
               lag(account_seq, 1, 0::bigint) OVER walk AS seq_before,
               lag(after_minor, 1, 0::bigint) OVER walk AS after_before
          FROM (SELECT from_account_id AS account_id, debit_seq AS account_seq,
                       debit_balance_before_minor AS before_minor, debit_balance_after_minor AS after_minor
                  FROM transfer.transactions_all WHERE status = 'completed'
                UNION ALL
                SELECT to_account_id, credit_seq, credit_balance_before_minor, credit_balance_after_minor
                  FROM transfer.transactions_all WHERE status = 'completed') AS side
        WINDOW walk AS (PARTITION BY account_id ORDER BY account_seq)) AS step
 WHERE account_seq <> seq_before + 1 OR before_minor <> after_before
 ORDER BY account_id, account_seq LIMIT 1000;

-- name: entry_totals
-- Sums are text: they may exceed a bigint.
SELECT currency, count(*) AS entries,
       coalesce(sum(amount_minor) FILTER (WHERE direction = 'debit'), 0)::text AS debits_minor,
       coalesce(sum(amount_minor) FILTER (WHERE direction = 'credit'), 0)::text AS credits_minor
  FROM ledger.entries GROUP BY currency ORDER BY currency;

-- name: entry_digests
SELECT substr(transfer_id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', transfer_id, direction, account_id, account_seq, amount_minor, currency,
                                            balance_before_minor, balance_after_minor)), 1, 16))::bit(64)::bigint)
  FROM ledger.entries GROUP BY 1;

-- name: entry_rows
-- An entry never precedes its transfer, so none is excused by its youth.
SELECT transfer_id || ' ' || direction,
       concat_ws('|', account_id, account_seq, amount_minor, currency, balance_before_minor, balance_after_minor), false
  FROM ledger.entries WHERE transfer_id BETWEEN $1::uuid AND $2::uuid;

-- name: posting_digests
SELECT substr(id::text, 1, 3), 2 * count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', id, 'debit', from_account_id, debit_seq, amount_minor, currency,
                                            debit_balance_before_minor, debit_balance_after_minor)), 1, 16))::bit(64)::bigint
             # ('x' || substr(md5(concat_ws('|', id, 'credit', to_account_id, credit_seq, amount_minor, currency,
                                            credit_balance_before_minor, credit_balance_after_minor)), 1, 16))::bit(64)::bigint)
  FROM transfer.transactions_all WHERE status = 'completed' GROUP BY 1;

-- name: posting_rows
-- $3: seconds for which an entry may be on its way.
SELECT id || ' ' || side.direction,
       concat_ws('|', side.account_id, side.account_seq, amount_minor, currency, side.before_minor, side.after_minor),
       settled_at > now() - make_interval(secs => $3::float8)
  FROM transfer.transactions_all
 CROSS JOIN LATERAL (
       VALUES ('debit', from_account_id, debit_seq, debit_balance_before_minor, debit_balance_after_minor),
              ('credit', to_account_id, credit_seq, credit_balance_before_minor, credit_balance_after_minor)
       ) AS side (direction, account_id, account_seq, before_minor, after_minor)
 WHERE status = 'completed' AND id BETWEEN $1::uuid AND $2::uuid;

-- name: ledger_balance_digests
-- What the entries of an account add up to, at the position of the last one.
SELECT substr(account_id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', account_id, entries, position, balance_minor)), 1, 16))::bit(64)::bigint)
  FROM (SELECT account_id, count(*) AS entries, max(account_seq) AS position,
               sum(CASE direction WHEN 'credit' THEN amount_minor ELSE -amount_minor END) AS balance_minor
          FROM ledger.entries GROUP BY account_id) AS account
 GROUP BY 1;

-- name: ledger_balances
SELECT account_id, count(*) AS entries, max(account_seq) AS position,
       sum(CASE direction WHEN 'credit' THEN amount_minor ELSE -amount_minor END)::text AS balance_minor
  FROM ledger.entries WHERE account_id BETWEEN $1::uuid AND $2::uuid GROUP BY account_id;

-- name: account_balance_digests
SELECT substr(id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', id, account_seq, account_seq, balance_minor)), 1, 16))::bit(64)::bigint)
  FROM transfer.accounts_all WHERE account_seq > 0 GROUP BY 1;

-- name: account_balances
SELECT id AS account_id, account_seq AS position, balance_minor::text
  FROM transfer.accounts_all WHERE account_seq > 0 AND id BETWEEN $1::uuid AND $2::uuid;

-- name: decision_digests
SELECT substr(transfer_id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', transfer_id, fingerprint, user_id, kind, verdict, policy, limits_version,
                                            amount_minor, currency)), 1, 16))::bit(64)::bigint)
  FROM fraud.decisions_all GROUP BY 1;

-- name: decision_rows
-- A decision waits for its transfer; $3: seconds for which it may.
SELECT transfer_id::text,
       concat_ws('|', fingerprint, user_id, kind, verdict, policy, limits_version, amount_minor, currency),
       decided_at > now() - make_interval(secs => $3::float8)
  FROM fraud.decisions_all WHERE transfer_id BETWEEN $1::uuid AND $2::uuid;

-- name: decided_digests
SELECT substr(id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(concat_ws('|', id, fingerprint, owner_id, kind, verdict, policy, limits_version,
                                            amount_minor, currency)), 1, 16))::bit(64)::bigint)
  FROM transfer.transactions_all GROUP BY 1;

-- name: decided_rows
SELECT id::text, concat_ws('|', fingerprint, owner_id, kind, verdict, policy, limits_version, amount_minor, currency),
       false
  FROM transfer.transactions_all WHERE id BETWEEN $1::uuid AND $2::uuid;

-- name: failed_digests
SELECT substr(id::text, 1, 3), count(*), bit_xor(('x' || substr(md5(id::text), 1, 16))::bit(64)::bigint)
  FROM transfer.transactions_all WHERE status = 'failed' GROUP BY 1;

-- name: failed_rows
-- $3: seconds for which the release may be on its way.
SELECT id::text, '', settled_at > now() - make_interval(secs => $3::float8)
  FROM transfer.transactions_all WHERE status = 'failed' AND id BETWEEN $1::uuid AND $2::uuid;

-- name: released_digests
SELECT substr(transfer_id::text, 1, 3), count(*),
       bit_xor(('x' || substr(md5(transfer_id::text), 1, 16))::bit(64)::bigint)
  FROM fraud.decisions_all WHERE released_at IS NOT NULL GROUP BY 1;

-- name: released_rows
-- Fraud is read after transfer: a young release may be of a transfer that failed in between. $3: seconds of youth.
SELECT transfer_id::text, '', released_at > now() - make_interval(secs => $3::float8)
  FROM fraud.decisions_all WHERE released_at IS NOT NULL AND transfer_id BETWEEN $1::uuid AND $2::uuid;
