-- Tables of the same shape stand in each service's own schema; the role's search_path chooses.

-- name: park_letters
-- The same item is one letter, however often it comes back. One that was replayed and failed again is open again; one
-- that an operator has discarded stays so.
INSERT INTO dead_letters AS letter (id, message_type, reason, detail, origin, item)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    ON CONFLICT (id) DO UPDATE
   SET reason = excluded.reason, detail = excluded.detail, times_parked = letter.times_parked + 1,
       parked_at = CASE WHEN letter.resolution IS NULL THEN letter.parked_at ELSE clock_timestamp() END,
       resolution = NULL, resolved_at = NULL, resolved_by = NULL
 WHERE letter.resolution IS DISTINCT FROM 'discarded';

-- name: find_letter
SELECT message_type, item, times_parked, resolution FROM dead_letters WHERE id = $1;

-- name: resolve_letter
-- Only while it is open and, for a replay, unless it was parked again meanwhile. A replay that had begun when the letter
-- was discarded has been carried all the same, and the letter says what happened.
UPDATE dead_letters SET resolution = $2, resolved_at = clock_timestamp(), resolved_by = $3
 WHERE id = $1 AND (resolution IS NULL OR resolution = 'discarded' AND $4::integer IS NOT NULL)
   AND times_parked = coalesce($4::integer, times_parked);

-- name: keep_letter
-- A replay has failed: the letter stays open and says why.
UPDATE dead_letters SET detail = $2, times_parked = times_parked + 1 WHERE id = $1 AND resolution IS NULL;

-- name: count_try
-- Committed before the try is made: a try that kills its process has been counted.
INSERT INTO attempts AS a (event_id, tries) VALUES ($1, 1)
    ON CONFLICT (event_id) DO UPDATE SET tries = a.tries + 1, last_at = clock_timestamp()
RETURNING tries;

-- name: discount_try
UPDATE attempts SET tries = tries - 1 WHERE event_id = $1 AND tries > 0;

-- name: forget_tries
DELETE FROM attempts WHERE event_id = $1;
