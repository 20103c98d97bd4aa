-- What any role may read of its server. Nothing here writes.

-- name: server
SELECT current_setting('server_version_num')::int AS version,
       pg_is_in_recovery() AS is_standby,
       extract(epoch FROM clock_timestamp())::float8 AS now_s,
       pg_database_size(current_database()) AS database_bytes,
       (SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database) AS connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS places,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
       current_setting('synchronous_standby_names') <> '' AS has_standby,
       current_setting('archive_mode') <> 'off' AS archives,
       (SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver) AS archiving_fails,
       (SELECT count(*)::int FROM pg_replication_slots WHERE NOT active) AS idle_slots,
       (SELECT count(*)::int FROM pg_prepared_xacts) AS prepared,
       current_setting('max_wal_size') AS max_wal_size,
       current_setting('checkpoint_timeout') AS checkpoint_timeout,
       (SELECT wal_bytes FROM pg_stat_wal)::float8 AS wal_bytes,
       (SELECT wal_fpi * current_setting('block_size')::bigint FROM pg_stat_wal)::float8 AS whole_pages_bytes;

-- name: switches
-- As this session got them: the server's, unless the role's or the database's own say otherwise.
SELECT name, setting, source FROM pg_settings
 WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum');

-- name: roles
SELECT rolname AS role, rolcanlogin AS can_login,
       array_remove(ARRAY[CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
                          CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
                          CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL) AS attributes,
       ARRAY(SELECT granted.rolname::text FROM pg_auth_members JOIN pg_roles AS granted ON granted.oid = roleid
              WHERE member = pg_roles.oid) AS member_of
  FROM pg_roles WHERE rolname = ANY(%(roles)s);

-- name: owned
-- Whoever owns a table may drop it, and the triggers that guard it.
SELECT pg_get_userbyid(relowner)::text AS role, relnamespace::regnamespace || '.' || relname AS thing
  FROM pg_class WHERE pg_get_userbyid(relowner) = ANY(%(roles)s) AND relkind IN ('r', 'p', 'v', 'm', 'S')
 UNION ALL
SELECT role, 'CREATE in ' || nspname FROM unnest(%(roles)s::text[]) AS role CROSS JOIN pg_namespace
 WHERE nspname = ANY(%(schemas)s::text[] || ARRAY['public']) AND has_schema_privilege(role, oid, 'CREATE');

-- name: granted
-- Of a partition nobody is granted anything: its rows are met through the table it belongs to.
SELECT role, nspname || '.' || relname AS thing, array_agg(privilege) AS privileges
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 CROSS JOIN unnest(%(roles)s::text[]) AS role CROSS JOIN unnest(%(privileges)s::text[]) AS privilege
 WHERE nspname = ANY(%(schemas)s) AND relkind IN ('r', 'p', 'v', 'm')
   AND has_schema_privilege(role, pg_namespace.oid, 'USAGE') AND has_table_privilege(role, pg_class.oid, privilege)
 GROUP BY 1, 2;

-- name: columns
SELECT pg_get_userbyid(grantee)::text AS role, nspname || '.' || relname AS thing,
       array_agg(attname::text) AS columns
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
 CROSS JOIN LATERAL aclexplode(attacl)
 WHERE nspname = ANY(%(schemas)s) AND privilege_type <> 'SELECT' AND pg_get_userbyid(grantee) = ANY(%(roles)s)
 GROUP BY 1, 2;

-- name: revision
SELECT array_agg(version_num::text) AS revisions FROM {schema}.alembic_version;
