-- Fraud's statements. The role's search_path is `fraud`.

-- name: add_users
-- Sorted by the caller. A user who is there already is no news, so here a conflict may pass.
INSERT INTO users (user_id) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING;

-- name: lock_users
-- Ordered by id, so that batches of the same users cannot deadlock. Held to the end of the transaction.
SELECT 1 FROM users WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE;

-- name: now
-- The database's clock, after the locks: a user's decisions stand in the order in which they were made.
SELECT clock_timestamp();

-- name: look
-- The time, what is kept of the users' windows, and which of the transfers are decided. After the locks and in a statement
-- of its own: under READ COMMITTED it sees what the previous holder committed.
SELECT clock.now, windows.*, NULL::uuid AS transfer_id, NULL::json AS payload
  FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN windows ON windows.user_id = ANY($1::uuid[])
UNION ALL
SELECT NULL, (NULL::windows).*, transfer_id, payload FROM decisions WHERE transfer_id = ANY($2::uuid[]);

-- name: find_decision_ids
-- Which of the transfers are decided, where no more of them matters; after the locks, as `look`.
SELECT transfer_id FROM decisions WHERE transfer_id = ANY($1::uuid[]);

-- name: find_batches
SELECT batch_id, fingerprint FROM batches WHERE batch_id = ANY($1::uuid[]);

-- name: window_usage
-- What each user had approved since $2, by currency. A released amount no longer counts, its transfer still does.
SELECT user_id, currency, count(*) AS approved,
       count(*) FILTER (WHERE decided_at > $3) AS approved_lately,
       min(decided_at) AS oldest, min(decided_at) FILTER (WHERE decided_at > $3) AS oldest_lately,
       coalesce(sum(amount_minor) FILTER (WHERE released_at IS NULL), 0) AS held_minor
  FROM decisions
 WHERE user_id = ANY($1::uuid[]) AND counted AND decided_at > $2
 GROUP BY user_id, currency;

-- name: insert_batches
-- Plain: another batch under the same id must be noticed (23505: everything again).
INSERT INTO batches (batch_id, fingerprint, item_count) SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[]);

-- name: insert_decisions
-- Sorted by id by the caller. Plain: a decision that is there already must be noticed (23505: everything again). With
-- them what the users have used now, $17 hours back, as of $18: one statement, and what reads it sees both or neither.
WITH used AS (
    INSERT INTO windows (window_h, counted_at, user_id, hour_count, hour_oldest, day_count, day_oldest, day_minor, xid)
    SELECT $17::integer, $18::timestamptz, n.*, pg_current_xact_id()
      FROM unnest($19::uuid[], $20::integer[], $21::timestamptz[], $22::integer[], $23::timestamptz[], $24::json[]) AS n
        ON CONFLICT (user_id) DO UPDATE
       SET window_h = excluded.window_h, counted_at = excluded.counted_at, hour_count = excluded.hour_count,
           hour_oldest = excluded.hour_oldest, day_count = excluded.day_count, day_oldest = excluded.day_oldest,
           day_minor = excluded.day_minor, xid = excluded.xid
)
INSERT INTO decisions (
    transfer_id, fingerprint, user_id, kind, verdict, policy, reasons, limits_version, amount_minor, currency, counted,
    decided_at, payload, batch_id, place, released_at)
SELECT *, $16::timestamptz FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::json[], $8::text[], $9::bigint[],
    $10::text[], $11::boolean[], $12::timestamptz[], $13::json[], $14::uuid[], $15::integer[]);

-- name: release
-- The first release stands.
UPDATE decisions SET released_at = $2 WHERE transfer_id = ANY($1::uuid[]) AND released_at IS NULL
RETURNING transfer_id;

-- name: read_watermark
SELECT xid, place FROM watermark;

-- name: move_watermark
-- Forwards only: two processes may have swept at different speeds.
UPDATE watermark SET xid = $1, place = $2 WHERE (xid, place) < ($1, $2);

-- name: decisions_from
-- From a position (inclusive). Below the oldest running transaction none can still commit a row, so a watermark there
-- never passes one. `age_s` tells how long ago each was decided.
SELECT xid, place, transfer_id, extract(epoch FROM clock_timestamp() - decided_at)::float8 AS age_s
  FROM decisions
 WHERE (xid, place) >= ($1, $2) AND (NOT $3::boolean OR xid < pg_snapshot_xmin(pg_current_snapshot()))
 ORDER BY xid, place LIMIT $4;

-- name: payloads
-- In the order in which they were decided, so that a batch that is emitted again keeps its order.
SELECT payload FROM decisions WHERE transfer_id = ANY($1::uuid[]) ORDER BY xid, place;
