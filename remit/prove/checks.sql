-- What the books hold, to be compared with what clients were told. The reader is the owner of all schemas.

-- name: transactions
SELECT id, status, from_account_id, to_account_id, amount_minor FROM transfer.transactions;

-- name: decided
SELECT transfer_id FROM fraud.decisions WHERE transfer_id = ANY($1::uuid[]);

-- name: undecided
-- Decisions whose transfer has not ended.
SELECT decision.transfer_id FROM fraud.decisions AS decision
 WHERE NOT EXISTS (SELECT 1 FROM transfer.transactions WHERE id = decision.transfer_id);

-- name: counted
-- What counted against whose limits, and when its amount was given back.
SELECT transfer_id, user_id, amount_minor, currency, decided_at, released_at
  FROM fraud.decisions WHERE counted ORDER BY user_id, decided_at, transfer_id;

-- name: balances
SELECT id, balance_minor FROM transfer.accounts WHERE kind = 'customer';

-- name: ended
SELECT id FROM transfer.transactions WHERE id = ANY($1::uuid[]);

-- name: told_otherwise
-- Decisions of which the transfer's row, or the audit log, tells another verdict, other reasons or another moment.
SELECT decision.transfer_id,
       ended.id IS NOT NULL
           AND (ended.verdict, ended.decided_at, coalesce(ended.reasons::jsonb, '[]'))
               IS DISTINCT FROM (decision.verdict, decision.decided_at, decision.reasons::jsonb) AS by_row,
       log.event_id IS NOT NULL
           AND (log.details ->> 'verdict', log.occurred_at, coalesce(log.details -> 'reasons', '[]'))
               IS DISTINCT FROM (decision.verdict, decision.decided_at, decision.reasons::jsonb) AS by_log
  FROM fraud.decisions AS decision
  LEFT JOIN transfer.transactions AS ended ON ended.id = decision.transfer_id
  LEFT JOIN audit.logs_ever AS log
         ON log.action = 'FRAUD_CHECK' AND log.resource_type = 'transaction' AND log.status <> 'failed'
        AND log.resource_id = decision.transfer_id::text;

-- name: decisions
SELECT count(*) FROM fraud.decisions;

-- name: open_letters
SELECT 'fraud' AS schema, id, reason, detail, item FROM fraud.dead_letters WHERE resolution IS NULL
UNION ALL SELECT 'transfer', id, reason, detail, item FROM transfer.dead_letters WHERE resolution IS NULL
UNION ALL SELECT 'ledger', id, reason, detail, item FROM ledger.dead_letters WHERE resolution IS NULL
UNION ALL SELECT 'audit', id, reason, detail, item FROM audit.dead_letters WHERE resolution IS NULL;

-- name: deadlocks
-- Since the server last started after a crash: then it counts anew.
SELECT deadlocks FROM pg_stat_database WHERE datname = current_database();
