-- What a user has used of fraud's limits.

-- name: usage
-- As fraud adds it up when it screens (`window_usage`): by its clock, over what is younger than an hour and a day. A
-- released amount no longer counts, its transfer still does.
SELECT clock.now, used.*
  FROM (SELECT clock_timestamp() AS now) AS clock
  LEFT JOIN LATERAL (
    SELECT currency::text AS currency, count(*) AS day_count, min(decided_at) AS day_oldest,
           count(*) FILTER (WHERE decided_at > clock.now - interval '1 hour') AS hour_count,
           min(decided_at) FILTER (WHERE decided_at > clock.now - interval '1 hour') AS hour_oldest,
           coalesce(sum(amount_minor) FILTER (WHERE released_at IS NULL), 0) AS held_minor,
           min(decided_at) FILTER (WHERE released_at IS NULL) AS held_oldest
      FROM fraud.counted WHERE user_id = $1 AND decided_at > clock.now - interval '24 hours'
     GROUP BY currency) AS used ON true;

-- name: currencies
-- Of the user's accounts.
SELECT DISTINCT currency::text AS currency
  FROM (SELECT currency FROM transfer.accounts_live WHERE owner_id = $1
         ORDER BY created_at DESC, id DESC LIMIT 200) AS own;
