-- Claiming, finishing, failing and releasing by one agent after another.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-00000003%s', to_char(n, 'FM0000'))::uuid $$;
CREATE FUNCTION pg_temp.n(email_id uuid) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT right(email_id::text, 4)::integer $$;
CREATE TEMP VIEW queue AS
    SELECT pg_temp.n(email_id) AS n, retry, lease_owner, lease_until > now() AS is_leased,
           CASE WHEN retry_after = 'infinity' THEN 'exhausted' WHEN retry_after > now() THEN 'waits' END AS state,
           regexp_replace(last_error, '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ', '(time) ') AS last_error
    FROM ctms.pending_acoustic;
CREATE TEMP TABLE claim (n integer, email_id uuid, generation bigint);
-- Claims and remembers what an agent would.
CREATE FUNCTION pg_temp.claim(agent text, batch_limit integer) RETURNS integer[] LANGUAGE sql VOLATILE AS $$
    DELETE FROM claim;
    INSERT INTO claim SELECT pg_temp.n(email_id), email_id, generation FROM ctms.claim_acoustic(agent, batch_limit, 6, '1 minute');
    SELECT array_agg(n) FROM (SELECT n FROM claim) AS c;
$$;
CREATE FUNCTION pg_temp.finish(agent text) RETURNS bigint LANGUAGE sql VOLATILE
    AS $$ SELECT ctms.finish_acoustic(agent, array_agg(email_id), array_agg(generation)) FROM claim $$;
CREATE FUNCTION pg_temp.fail(agent text, error text, is_permanent boolean) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ctms.fail_acoustic(agent, array_agg(email_id), array_agg(generation), array_agg(error), array_agg(is_permanent), 6) FROM claim
$$;

DELETE FROM ctms.pending_acoustic;
INSERT INTO ctms.emails (email_id, primary_email)
SELECT pg_temp.contact(n), format('agent%s@example.com', n) FROM generate_series(1, 6) AS n;

-- Oldest change first, whatever the order of the rows.
UPDATE ctms.pending_acoustic SET create_timestamp = now() - pg_temp.n(email_id) * interval '1 second';
SELECT pg_temp.claim('a', 2);
SELECT * FROM queue ORDER BY n;
-- Never what another agent holds.
SELECT pg_temp.claim('b', 2);
SELECT pg_temp.finish('a') AS not_the_holder;
SELECT pg_temp.finish('b') AS removed;
SELECT pg_temp.finish('b') AS again;
SELECT ctms.release_acoustic('a') AS released;
SELECT * FROM queue ORDER BY n;

-- A change during the lease: the row stays, and is free at once.
SELECT pg_temp.claim('a', 2);
UPDATE ctms.emails SET first_name = 'x' WHERE email_id = pg_temp.contact(6);
SELECT * FROM queue ORDER BY n;
SELECT pg_temp.finish('a') AS removed;
SELECT * FROM queue ORDER BY n;
SELECT email_id = pg_temp.contact(6) AS came_last FROM ctms.pending_acoustic ORDER BY retry, create_timestamp DESC LIMIT 1;

-- Transient failures: counted, waiting; fewest retries first.
SELECT ctms.set_setting('acoustic_retry_delay', '1min');
SELECT pg_temp.claim('a', 1);
SELECT pg_temp.fail('a', 'server error', false) AS updated;
SELECT * FROM queue ORDER BY n;
SELECT pg_temp.n(email_id), retry_after > now() + interval '25 seconds' AS waits, retry_after < now() + interval '95 seconds' AS not_too_long
FROM ctms.pending_acoustic WHERE retry > 0;
SELECT pg_temp.claim('a', 10);
SELECT ctms.release_acoustic('a');
UPDATE ctms.pending_acoustic SET retry_after = now() - interval '1 second' WHERE retry > 0;
SELECT pg_temp.claim('a', 10);
-- Up to the limit, then it stays.
UPDATE ctms.pending_acoustic SET retry = 5 WHERE email_id = pg_temp.contact(2);
SELECT pg_temp.fail('a', 'still a server error', NULL) AS updated;
SELECT * FROM queue ORDER BY n;
SELECT pg_temp.claim('a', 10);

-- Permanent failures are exhausted at once; a changed contact starts afresh.
UPDATE ctms.pending_acoustic SET retry_after = now();
SELECT pg_temp.claim('a', 2);
SELECT pg_temp.fail('a', 'invalid', true) AS updated;
SELECT * FROM queue ORDER BY n;
UPDATE ctms.emails SET first_name = 'y' WHERE email_id = pg_temp.contact(1);
SELECT * FROM queue ORDER BY n;
SELECT pg_temp.claim('a', 1);
-- A change during the lease makes the failure void.
UPDATE ctms.emails SET first_name = 'z' WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.fail('a', 'server error', false) AS updated;
SELECT * FROM queue ORDER BY n;

-- An expired lease is free, and its former holder has nothing to say.
SELECT pg_temp.claim('a', 10);
UPDATE ctms.pending_acoustic SET lease_until = now() - interval '1 second' WHERE lease_owner = 'a';
SELECT pg_temp.n(email_id) FROM ctms.claim_acoustic('b', 10, 6, '1 minute');
SELECT pg_temp.finish('a') AS removed;
SELECT pg_temp.fail('a', 'late', true) AS updated;
SELECT ctms.release_acoustic('a') AS released;

-- Nothing to do, and bad arguments.
SELECT ctms.finish_acoustic('a', '{}', '{}'), ctms.fail_acoustic('a', '{}', '{}', '{}', '{}', 6), ctms.release_acoustic('nobody');
SELECT ctms.finish_acoustic('a', NULL, '{}');
SELECT ctms.finish_acoustic('a', ARRAY[pg_temp.contact(1)], '{}');
SELECT ctms.fail_acoustic('a', ARRAY[pg_temp.contact(1)], ARRAY[1], ARRAY['x'], ARRAY[[true],[false]], 6);
SELECT ctms.fail_acoustic('a', ARRAY[pg_temp.contact(1)], ARRAY[1], ARRAY['x'], ARRAY[true], 0);
SELECT ctms.claim_acoustic('', 1, 6, '1 minute');
SELECT ctms.claim_acoustic('a', 0, 6, '1 minute');
SELECT ctms.claim_acoustic('a', 1, 0, '1 minute');
SELECT ctms.claim_acoustic('a', 1000000, 6, '1 minute');
SELECT * FROM ctms.claim_acoustic('a', 1, 6, NULL);

DELETE FROM ctms.emails WHERE email_id::text LIKE '00000000-0000-4000-8000-00000003%';
SELECT ctms.set_setting('acoustic_retry_delay', NULL);
