-- The same view stands in each service's schema; the search path chooses.

-- name: list_instances
-- By the clock that wrote the time.
SELECT instance, started_at, report::text AS report,
       extract(epoch FROM clock_timestamp() - reported_at)::float8 AS silent_s
  FROM instances_all ORDER BY started_at, instance LIMIT 200;
