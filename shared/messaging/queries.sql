-- Tables of the same shape stand in each service's own schema; the role's search_path chooses.

-- name: park_letters
-- The same item parks once, however often it comes back.
INSERT INTO dead_letters (id, message_type, reason, detail, origin, item)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    ON CONFLICT (id) DO NOTHING;

-- name: count_try
-- Committed before the try is made: a try that kills its process has been counted.
INSERT INTO attempts AS a (event_id, tries) VALUES ($1, 1)
    ON CONFLICT (event_id) DO UPDATE SET tries = a.tries + 1, last_at = clock_timestamp()
RETURNING tries;

-- name: discount_try
UPDATE attempts SET tries = tries - 1 WHERE event_id = $1 AND tries > 0;

-- name: forget_tries
DELETE FROM attempts WHERE event_id = $1;
