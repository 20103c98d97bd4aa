#!/bin/sh
# Run once, when the data directory is new: the owner of all schemas, who is no superuser, and his database.
set -eu

# On standard input: a password among the arguments could be read by every process.
PGPASSWORD=$POSTGRES_PASSWORD psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
    --dbname postgres <<EOSQL
CREATE ROLE remit LOGIN CREATEROLE PASSWORD '$REMIT_POSTGRES_OWNER_PASSWORD';
CREATE DATABASE remit OWNER remit TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8';
EOSQL
