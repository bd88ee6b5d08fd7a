-- API clients: what the REST server asks, and what it is told of changes.
\set QUIET on
SET timezone = 'UTC';
INSERT INTO ctms.api_client (client_id, email, enabled, hashed_secret, create_timestamp, scopes) VALUES
    ('id_plain', 'plain@example.com', true, '$argon2id$plain', '2020-01-01Z', '{contacts:read,stripe:write}'),
    ('id_null', 'null@example.com', NULL, '$argon2id$null', '2020-01-02Z', NULL),
    ('id_off', 'off@example.com', false, '$argon2id$off', '2020-01-03Z', '{}');

SELECT c.* FROM unnest(ARRAY['id_plain', 'id_null', 'id_off', 'id_unknown', '', NULL]) AS id,
    ctms.get_api_client(id) AS c ORDER BY c.client_id;

-- What their hashes cost, without salts and hashes; those that cannot be used cost nothing.
SELECT * FROM ctms.api_client_costs();
INSERT INTO ctms.api_client (client_id, email, hashed_secret) VALUES
    ('id_1', 'a@example.com', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA'),
    ('id_2', 'a@example.com', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdDJzYWx0$aGFzaA'),
    ('id_3', 'a@example.com', '$argon2i$m=64,t=3,p=2$c2FsdHNhbHQ$aGFzaA'),
    ('id_4', 'a@example.com', '$argon2x$v=19$m=64,t=3,p=2$c2FsdHNhbHQ$aGFzaA'), ('id_5', 'a@example.com', '');
SELECT * FROM ctms.api_client_costs() ORDER BY cost COLLATE "C";
DELETE FROM ctms.api_client WHERE client_id ~ '^id_[0-9]$';

-- last_access moves once a minute at most.
BEGIN;
SELECT ctms.touch_api_client('id_plain') IS NULL AS first;
SELECT last_access = now() AS moved FROM ctms.api_client WHERE client_id = 'id_plain';
UPDATE ctms.api_client SET last_access = now() - interval '30 seconds' WHERE client_id = 'id_plain';
SELECT ctms.touch_api_client('id_plain') IS NULL AS again;
SELECT now() - last_access AS kept FROM ctms.api_client WHERE client_id = 'id_plain';
ROLLBACK;

-- Only the roles that need them may call the functions; nobody else reads the secrets.
SELECT role, has_function_privilege(role, 'ctms.get_api_client(text)', 'EXECUTE') AS get,
    has_function_privilege(role, 'ctms.touch_api_client(text)', 'EXECUTE') AS touch,
    has_function_privilege(role, 'ctms.api_client_costs()', 'EXECUTE') AS costs,
    has_column_privilege(role, 'ctms.api_client', 'hashed_secret', 'SELECT') AS reads_secrets
FROM unnest(ARRAY['ctms_api', 'ctms_agent', 'ctms_reader', 'ctms_admin']) AS role ORDER BY role;

DELETE FROM ctms.api_client;
