-- The same view stands in each worker's schema; the search path chooses.

-- name: list_letters
-- Newest first, cut to what a list needs: the end of the stack and the beginning of the item.
SELECT id AS letter_id, message_type, reason, right(detail, 2000) AS detail, origin, left(item, 2000) AS item,
       octet_length(item) AS item_bytes, parked_at, times_parked, resolution, resolved_at, resolved_by
  FROM dead_letters_all
 WHERE ($1::boolean OR resolution IS NULL) AND ($2::timestamptz IS NULL OR (parked_at, id) < ($2, $3::uuid))
 ORDER BY parked_at DESC, id DESC LIMIT $4;

-- name: find_letter
SELECT id AS letter_id, message_type, reason, detail, origin, item, octet_length(item) AS item_bytes, parked_at,
       times_parked, resolution, resolved_at, resolved_by
  FROM dead_letters_all WHERE id = $1;

-- name: letters_of
-- Those of the thousand newest in which this text stands, whole.
SELECT id AS letter_id, message_type, reason, detail, origin, item, octet_length(item) AS item_bytes, parked_at,
       times_parked, resolution, resolved_at, resolved_by
  FROM (SELECT * FROM dead_letters_all ORDER BY parked_at DESC, id DESC LIMIT 1000) AS newest
 WHERE position($1::text IN item) > 0 ORDER BY parked_at DESC, letter_id DESC LIMIT 20;

-- name: count_open
SELECT count(*) FROM dead_letters_all WHERE resolution IS NULL;
