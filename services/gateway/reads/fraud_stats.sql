-- Statistics of fraud's decisions. A conflict is no decision, so no check.

-- name: fraud_stats
-- One statement, one snapshot: checks by hour or day ($3), verdict and currency; beside them the reasons of blocked ones,
-- and the users who were blocked most often. Of a transfer's reasons the first stands for it where transfers are counted.
WITH chosen AS MATERIALIZED (
    SELECT date_trunc($3::text, decided_at, 'UTC') AS at, verdict, currency, count(*) AS checks,
           sum(amount_minor) AS amount_minor
      FROM fraud.decisions_all
     WHERE ($1::timestamptz IS NULL OR decided_at >= $1) AND ($2::timestamptz IS NULL OR decided_at < $2)
     GROUP BY 1, 2, 3
), blocked AS MATERIALIZED (
    SELECT user_id, reason ->> 'code' AS code, count(*) AS checks, count(*) FILTER (WHERE place = 1) AS transfers,
           max(decided_at) AS at
      FROM fraud.decisions_all CROSS JOIN LATERAL json_array_elements(reasons) WITH ORDINALITY AS r (reason, place)
     WHERE verdict = 'blocked'
       AND ($1::timestamptz IS NULL OR decided_at >= $1) AND ($2::timestamptz IS NULL OR decided_at < $2)
     GROUP BY 1, 2
), most AS (
    SELECT user_id, sum(transfers)::bigint AS checks, max(at) AS at
      FROM blocked GROUP BY user_id ORDER BY checks DESC, user_id LIMIT $4
)
SELECT 'checks' AS part, at, verdict, currency::text, NULL::uuid AS user_id, NULL AS code, checks, amount_minor
  FROM chosen
 UNION ALL
SELECT 'reason', NULL, NULL, NULL, NULL, code, sum(checks)::bigint, NULL FROM blocked GROUP BY code
 UNION ALL
SELECT 'user', at, NULL, NULL, user_id, NULL, checks, NULL FROM most
 UNION ALL
SELECT 'user reason', NULL, NULL, NULL, user_id, code, checks, NULL
  FROM blocked WHERE user_id IN (SELECT user_id FROM most);
