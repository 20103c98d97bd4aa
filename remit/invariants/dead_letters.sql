-- Each service keeps its own; the search path says whose these are.

-- name: open_letters
SELECT id, message_type, reason FROM dead_letters WHERE resolution IS NULL ORDER BY parked_at, id LIMIT 1000;
