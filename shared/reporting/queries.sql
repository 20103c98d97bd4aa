-- Tables of the same shape stand in each service's own schema; the role's search_path chooses.

-- name: report
-- Said again in a second, so that nobody waits for the disk.
WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO instances (instance, report) SELECT $1::text, $2::json FROM unhurried
    ON CONFLICT (instance) DO UPDATE SET report = excluded.report, reported_at = clock_timestamp();

-- name: leave
DELETE FROM instances WHERE instance = $1;

-- name: forget_others
-- Those that ended without a word.
DELETE FROM instances WHERE reported_at < clock_timestamp() - make_interval(secs => $1);
