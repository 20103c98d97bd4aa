-- Whether a parked item has ended after all.

-- name: has_event
SELECT EXISTS (SELECT 1 FROM event_ids WHERE event_id = $1);
