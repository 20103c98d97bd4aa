-- Statistics of fraud's decisions. A conflict is no decision, so no check.

-- name: fraud_stats
-- One statement, one snapshot, one pass: checks by day, verdict and currency; beside them the reasons of blocked ones.
WITH chosen AS MATERIALIZED (
    SELECT (decided_at AT TIME ZONE 'UTC')::date AS day, verdict, currency, count(*) AS checks,
           sum(amount_minor) AS amount_minor
      FROM fraud.decisions_all
     WHERE ($1::timestamptz IS NULL OR decided_at >= $1) AND ($2::timestamptz IS NULL OR decided_at < $2)
     GROUP BY 1, 2, 3
), reasons AS (
    SELECT reason ->> 'code' AS code, count(*) AS checks
      FROM fraud.decisions_all CROSS JOIN LATERAL json_array_elements(reasons) AS reason
     WHERE verdict = 'blocked'
       AND ($1::timestamptz IS NULL OR decided_at >= $1) AND ($2::timestamptz IS NULL OR decided_at < $2)
     GROUP BY 1
)
SELECT day, verdict, currency::text, NULL AS code, checks, amount_minor FROM chosen
 UNION ALL
SELECT NULL, NULL, NULL, code, checks, NULL FROM reasons;
