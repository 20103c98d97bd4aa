-- Statements on the gateway's own schema.

-- name: insert_user
-- Plain: a taken address must be noticed (user_email_once).
INSERT INTO identity.users (id, email, email_normalised, full_name, password_hash)
VALUES ($1, $2, $3, $4, $5)
RETURNING id, email, full_name, role, is_active, token_version, password_hash, created_at;

-- name: find_user_by_email
SELECT id, email, full_name, role, is_active, token_version, password_hash, created_at
  FROM identity.users WHERE email_normalised = $1;

-- name: find_user
SELECT id, email, full_name, role, is_active, token_version, password_hash, created_at
  FROM identity.users WHERE id = $1;

-- name: find_owner
-- By the address or by the reference that an operator's books use.
SELECT id FROM identity.users WHERE email_normalised = $1
 UNION ALL
SELECT id FROM identity.users WHERE external_reference = $2;

-- name: owners
SELECT id, email, external_reference FROM identity.users WHERE id = ANY($1::uuid[]);

-- name: lock_users
-- The operator and the user that he changes, in id order: two operators who turn on each other come one after the other.
SELECT id, role, is_active FROM identity.users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: change_user
-- Every change ends the user's tokens, also one that leaves him as he was.
UPDATE identity.users
   SET role = coalesce($2, role), is_active = coalesce($3, is_active), token_version = token_version + 1,
       updated_at = clock_timestamp()
 WHERE id = $1
RETURNING id, email, full_name, role, is_active, token_version, password_hash, created_at;

-- name: put_admin
-- The operator of the settings. Another password ends the tokens made under the old one. Only as he was read: of two
-- gateways that start at once the second must not end the tokens which the first one's password has given out.
INSERT INTO identity.users (id, email, email_normalised, full_name, password_hash, role)
VALUES ($1, $2, $3, 'Administrator', $4, 'admin')
    ON CONFLICT ON CONSTRAINT user_email_once DO UPDATE
   SET password_hash = excluded.password_hash, role = 'admin', is_active = true,
       token_version = users.token_version + 1, updated_at = clock_timestamp()
 WHERE users.token_version = $5
RETURNING id;

-- name: standing
-- Of each token: its user as he stands now, and whether it was given back. One statement for all concurrent requests.
SELECT asked.place, users.role, users.is_active, users.token_version,
       EXISTS (SELECT 1 FROM identity.revoked_tokens WHERE revoked_tokens.jti = asked.jti) AS is_revoked
  FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (user_id, jti, place)
  JOIN identity.users ON users.id = asked.user_id;

-- name: revoke_token
-- Twice is once.
INSERT INTO identity.revoked_tokens (jti, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: forget_expired_tokens
-- With an hour of grace for clocks that differ.
DELETE FROM identity.revoked_tokens WHERE expires_at < clock_timestamp() - interval '1 hour';

-- name: add_owners
-- An owner is the same however often an operator names him; those made now come back. His id is derived from his
-- reference, and of two calls that make him at once the later one may meet the other's row at either index: a conflict
-- named for one of them would be an error at the other.
INSERT INTO identity.users (id, external_reference, full_name)
SELECT id, reference, reference FROM unnest($1::uuid[], $2::text[]) AS owner (id, reference) ORDER BY id
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: put_outbox
INSERT INTO identity.outbox (item) SELECT * FROM unnest($1::text[]);

-- name: read_outbox
SELECT position, item FROM identity.outbox ORDER BY position LIMIT $1;

-- name: delete_outbox
DELETE FROM identity.outbox WHERE position = ANY($1::bigint[]);
