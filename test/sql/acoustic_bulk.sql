-- Runs of files: who works on one, which contacts it holds, what becomes of those that change
-- meanwhile, and how it ends. Races are in test/specs/acoustic_bulk_race.spec.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-000000b%s', to_char(n, 'FM00000'))::uuid $$;
CREATE FUNCTION pg_temp.n(email_id uuid) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT right(email_id::text, 5)::integer $$;
CREATE FUNCTION pg_temp.ns(email_ids uuid[]) RETURNS integer[] LANGUAGE sql STABLE
    AS $$ SELECT array_agg(pg_temp.n(e) ORDER BY e) FROM unnest(email_ids) AS e $$;
CREATE FUNCTION pg_temp.run() RETURNS bigint LANGUAGE sql STABLE
    AS $$ SELECT run_id FROM ctms.acoustic_bulk_run ORDER BY run_id DESC LIMIT 1 $$;
CREATE FUNCTION pg_temp.state(text) RETURNS boolean LANGUAGE sql VOLATILE
    AS $$ SELECT ctms.set_acoustic_bulk_state(pg_temp.run(), 'r', $1) $$;
CREATE TEMP VIEW run AS
    SELECT state, attempt, runner, lease_until > now() AS is_leased, contacts, pg_temp.n(first_email_id) AS first,
        pg_temp.n(last_email_id) AS last, sent, refused, changed, returned, is_given_up, is_canceled, error
    FROM ctms.acoustic_bulk_run WHERE run_id = pg_temp.run();
CREATE TEMP VIEW queue AS
    SELECT pg_temp.n(p.email_id) AS n, p.is_bulk, p.retry, p.lease_owner = 'bulk ' || r.run_id AS is_held,
        p.retry_after = p.lease_until AND p.retry_after = r.hold_until AS is_kept_away,
        p.generation = r.generation AS is_unchanged, p.is_tried
    FROM ctms.pending_acoustic p, ctms.acoustic_bulk_run r WHERE r.run_id = pg_temp.run() ORDER BY n;
-- What an ordinary agent gets, and gives back.
CREATE FUNCTION pg_temp.ordinary() RETURNS integer[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    got uuid[] := (SELECT array_agg(c.email_id) FROM ctms.claim_acoustic('ordinary', 1000, 6, '1 hour') c);
BEGIN
    PERFORM ctms.release_acoustic('ordinary');
    RETURN pg_temp.ns(got);
END
$$;
DELETE FROM ctms.pending_acoustic;
DELETE FROM ctms.stripe_unresolved;
INSERT INTO ctms.emails (email_id, primary_email)
SELECT pg_temp.contact(n), format('bulkrun%s@example.com', n) FROM generate_series(1, 13) AS n;
DELETE FROM ctms.pending_acoustic;

-- ---- who works on a run -------------------------------------------------------------------------

SELECT run_id IS NULL AS is_none, is_running, bulk_backlog FROM ctms.acoustic_bulk_status();
SELECT count(*) FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours', false);
SELECT state, attempt, runner, hold_until - lease_until AS longer, contacts FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours');
SELECT run_id = pg_temp.run() AS is_it, state, runner, is_running, contacts, age_s >= 0 AS has_age FROM ctms.acoustic_bulk_status();
-- Another runner gets nothing while the lease lasts, and cannot do anything with the run.
SELECT count(*) FROM ctms.begin_acoustic_bulk('other', '1 hour', '6 hours');
SELECT ctms.keep_acoustic_bulk(pg_temp.run(), 'other', '1 hour');
SELECT ctms.set_acoustic_bulk_state(pg_temp.run(), 'other', 'making');
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'other', 'main', 1, 'x', 'made', 1, 2, NULL, 0, NULL, NULL, NULL);
\set VERBOSITY sqlstate
SELECT ctms.claim_acoustic_bulk(pg_temp.run(), 'other', NULL, 10, 6);
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'other');
SELECT ctms.fail_acoustic_bulk(pg_temp.run(), 'other', '{}', '{}', '{}', 6);
-- Nor can there be a second open run.
INSERT INTO ctms.acoustic_bulk_run (hold_until) VALUES (now());
\set VERBOSITY default
-- The runner itself begins again with new names: it may have lost its memory.
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours', false);
SELECT ctms.keep_acoustic_bulk(pg_temp.run(), 'r', '1 microsecond');
SELECT attempt, runner FROM ctms.begin_acoustic_bulk('other', '1 microsecond', '6 hours', false);
SELECT ctms.keep_acoustic_bulk(pg_temp.run(), 'r', '1 hour');
SELECT attempt, runner FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours');

-- ---- what it holds ------------------------------------------------------------------------------

SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 13) AS n;
-- Live, leased, waiting, exhausted, and such as a file cannot do.
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(2)], 'live');
UPDATE ctms.pending_acoustic SET lease_owner = 'ordinary', lease_until = now() + interval '1 hour' WHERE email_id = pg_temp.contact(3);
UPDATE ctms.pending_acoustic SET retry = 1, retry_after = now() + interval '1 hour' WHERE email_id = pg_temp.contact(4);
UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity' WHERE email_id = pg_temp.contact(5);
INSERT INTO ctms.acoustic_deleted_contact (email_id) VALUES (pg_temp.contact(6));
INSERT INTO ctms.acoustic_deleted_row (email_id, kind, name) VALUES (pg_temp.contact(7), 'newsletter', 'old');
-- A lease and a wait that are over are none.
UPDATE ctms.pending_acoustic SET retry = 1, retry_after = now() - interval '1 second' WHERE email_id = pg_temp.contact(8);
UPDATE ctms.pending_acoustic SET lease_owner = 'ordinary', lease_until = now() - interval '1 second' WHERE email_id = pg_temp.contact(9);
SELECT claimed, pg_temp.n(last_email_id) AS last FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 2, 6);
SELECT claimed, pg_temp.n(last_email_id) AS last FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', pg_temp.contact(8), 10, 6);
SELECT * FROM run;
SELECT * FROM queue;
-- Nothing of it is for others.
SELECT pg_temp.ordinary();
DELETE FROM ctms.acoustic_deleted_contact;
SELECT pg_temp.ordinary();
SELECT ctms.cancel_acoustic(array_agg(pg_temp.contact(n))) FROM generate_series(1, 13) AS n;
SELECT ctms.reset_acoustic_retries(array_agg(pg_temp.contact(n))) FROM generate_series(1, 13) AS n;
SELECT ctms.reset_acoustic_retries();
SELECT * FROM queue;
-- They count: in their lane, but not as failed, though one has.
SELECT lane, backlog FROM ctms.acoustic_lanes() ORDER BY lane;
SELECT * FROM ctms.acoustic_backlog(6);
SELECT oldest_age_s FROM ctms.acoustic_lanes() WHERE lane = 'bulk';
\set VERBOSITY sqlstate
SELECT ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 0, 6);
SELECT ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10001, 6);
SELECT ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 0);
SELECT ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, NULL, 6);
SELECT ctms.acoustic_bulk_page(pg_temp.run(), NULL, 10);
SELECT ctms.acoustic_bulk_page(0, NULL, 10);
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT ctms.begin_acoustic_bulk('', '1 hour', '1 hour');
SELECT ctms.begin_acoustic_bulk('r', '0', '1 hour');
SELECT ctms.begin_acoustic_bulk('r', '1 hour', '-1 hour');
SELECT ctms.keep_acoustic_bulk(pg_temp.run(), 'r', '0');
SELECT pg_temp.state('nonsense');
\set VERBOSITY default

-- ---- files --------------------------------------------------------------------------------------

SELECT pg_temp.state('making');
SELECT pg_temp.ns(ctms.acoustic_bulk_page(pg_temp.run(), NULL, 2));
SELECT pg_temp.ns(ctms.acoustic_bulk_page(pg_temp.run(), pg_temp.contact(8), 10));
SELECT ctms.acoustic_bulk_page(pg_temp.run(), pg_temp.contact(12), 10);
\set VERBOSITY sqlstate
SELECT ctms.acoustic_bulk_page(pg_temp.run(), NULL, 0);
SELECT ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 6);
\set VERBOSITY default
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'r', 'main', 3, 'ctms_main', 'made', 5, 100, NULL, 0, NULL, NULL, NULL);
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'r', 'newsletter', 3, 'ctms_newsletter', 'made', 5, 100, NULL, NULL, NULL, NULL, NULL);
SELECT pg_temp.state('importing');
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'r', 'main', 3, 'ctms_main', 'complete', 5, 100, '17', 1, '17.res', '17.err', 'e');
SELECT kind, attempt, name, state, row_count, bytes, job_id, refused, results_file, error_file, error FROM ctms.acoustic_bulk_file ORDER BY kind;
-- A job that nobody knows of is started anew: a new attempt. When all are known, none.
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours');
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'r', 'newsletter', 4, 'ctms_newsletter_4', 'running', 5, 100, '18', 0, NULL, NULL, NULL);
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours');
\set VERBOSITY sqlstate
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'r', 'other', 3, 'x', 'made', 5, 100, NULL, 0, NULL, NULL, NULL);
SELECT ctms.put_acoustic_bulk_file(pg_temp.run(), 'r', 'main', 3, NULL, 'made', 5, 100, NULL, 0, NULL, NULL, NULL);
\set VERBOSITY default

-- ---- what changes meanwhile ---------------------------------------------------------------------

-- It stays held, and has its new generation and lane: a person's change, a wave, another change.
UPDATE ctms.emails SET first_name = 'a' WHERE email_id = pg_temp.contact(8);
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(9)]);
UPDATE ctms.emails SET first_name = 'b' WHERE email_id = pg_temp.contact(8);
SELECT * FROM queue WHERE is_held;
SELECT pg_temp.ordinary();
SELECT lane, backlog FROM ctms.acoustic_lanes() ORDER BY lane;
-- Deleted, and deleted and come back: it waits for the run, too.
DELETE FROM ctms.emails WHERE email_id IN (pg_temp.contact(10), pg_temp.contact(11));
INSERT INTO ctms.emails (email_id, primary_email) VALUES (pg_temp.contact(11), 'bulkrun11@example.com');
SELECT pg_temp.n(email_id), is_to_send, lease_owner = 'bulk ' || pg_temp.run() AS is_held, retry_after = lease_until AS is_kept_away
FROM ctms.acoustic_deleted_contact ORDER BY 1;
SELECT pg_temp.ordinary();
SELECT pg_temp.n(email_id), lane, state, replace(reason, pg_temp.run()::text, 'N') AS reason, retry
FROM ctms.acoustic_queue ORDER BY 1, reason;

-- ---- refused rows -------------------------------------------------------------------------------

-- Only when everything was imported: a contact that is refused is free.
\set VERBOSITY sqlstate
SELECT ctms.fail_acoustic_bulk(pg_temp.run(), 'r', ARRAY[pg_temp.contact(1)], ARRAY['early'], ARRAY[true], 6);
\set VERBOSITY default
SELECT pg_temp.state('settling');
SELECT ctms.fail_acoustic_bulk(pg_temp.run(), 'r', ARRAY[pg_temp.contact(1), pg_temp.contact(2)], ARRAY['bad address', 'not held'], ARRAY[true, true], 6);
SELECT ctms.fail_acoustic_bulk(pg_temp.run(), 'r', ARRAY[pg_temp.contact(1)], ARRAY['again'], ARRAY[true], 6);
SELECT pg_temp.n(email_id), retry, retry_after, substr(last_error, 22) AS error, lease_owner FROM ctms.pending_acoustic WHERE email_id = pg_temp.contact(1);
\set VERBOSITY sqlstate
SELECT ctms.fail_acoustic_bulk(pg_temp.run(), 'r', ARRAY[pg_temp.contact(1)], '{}', ARRAY[true], 6);
\set VERBOSITY default

-- ---- settling -----------------------------------------------------------------------------------

INSERT INTO ctms.acoustic_sent (email_id, hashes) VALUES (pg_temp.contact(13), '{"main": "x"}');
-- A note of a deleted row that the claim has not seen: the file could not delete it.
INSERT INTO ctms.acoustic_deleted_row (email_id, kind, name) VALUES (pg_temp.contact(12), 'newsletter', 'old');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r', 2);
SELECT sent, changed FROM run;
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT * FROM run;
SELECT count(*) FROM ctms.acoustic_sent WHERE email_id = pg_temp.contact(13);
SELECT * FROM queue WHERE n > 7;
SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE lease_owner IS NOT NULL OR retry_after IS NOT NULL;
SELECT pg_temp.ordinary();
SELECT pg_temp.state('cleaning');
SELECT pg_temp.state('done');
SELECT pg_temp.state('done');
SELECT * FROM run;
SELECT run_id IS NULL AS is_none, is_running, last_state, last_contacts, last_end_timestamp <= clock_timestamp() AS has_ended FROM ctms.acoustic_bulk_status();

-- ---- given up -----------------------------------------------------------------------------------

DELETE FROM ctms.pending_acoustic;
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 5) AS n;
UPDATE ctms.pending_acoustic SET create_timestamp = '2020-01-01' WHERE email_id = pg_temp.contact(2);
SELECT ctms.cancel_acoustic_bulk();
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours');
SELECT claimed, last_email_id FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 6);
SELECT ctms.cancel_acoustic_bulk(0);
SELECT ctms.cancel_acoustic_bulk() = pg_temp.run() AS is_canceled;
SELECT is_canceled FROM run;
UPDATE ctms.emails SET first_name = 'c' WHERE email_id = pg_temp.contact(3);
SELECT ctms.set_acoustic_bulk_state(pg_temp.run(), 'r', 'settling', 'canceled', true);
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r', 3);
-- Another runner goes on.
SELECT ctms.keep_acoustic_bulk(pg_temp.run(), 'r', '1 microsecond');
SELECT runner, attempt FROM ctms.begin_acoustic_bulk('s', '1 hour', '6 hours');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 's');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 's');
SELECT ctms.set_acoustic_bulk_state(pg_temp.run(), 's', 'failed');
SELECT * FROM run;
SELECT * FROM queue;
SELECT pg_temp.n(email_id), create_timestamp < '2021-01-01' AS has_its_place FROM ctms.pending_acoustic WHERE is_bulk ORDER BY 1;

-- ---- with what is remembered --------------------------------------------------------------------

-- The deletion of a held contact is sent after the run; a hash from before the run is not trusted
-- after it; the history has what was sent.
SELECT ctms.set_setting('acoustic_deletions', 'on');
SELECT ctms.set_setting('acoustic_skip_unchanged', 'on');
SELECT ctms.set_setting('acoustic_history_sent', 'on');
DELETE FROM ctms.pending_acoustic;
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(7), pg_temp.contact(8), pg_temp.contact(9)]);
DELETE FROM ctms.acoustic_deleted_row;
INSERT INTO ctms.acoustic_sent (email_id, hashes)
SELECT pg_temp.contact(8), fields::jsonb FROM ctms.acoustic_outgoing(ARRAY[pg_temp.contact(8)], ARRAY['new']) WHERE kind = 'hashes';
SELECT kind FROM ctms.acoustic_outgoing(ARRAY[pg_temp.contact(8)], ARRAY['new']);
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '1 hour');
SELECT claimed FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 6);
DELETE FROM ctms.emails WHERE email_id IN (pg_temp.contact(7), pg_temp.contact(9));
INSERT INTO ctms.emails (email_id, primary_email) VALUES (pg_temp.contact(9), 'bulkrun9@example.com');
SELECT pg_temp.n(email_id), is_deletion, state, replace(reason, pg_temp.run()::text, 'N') AS reason FROM ctms.acoustic_queue ORDER BY 1, 2;
SELECT pg_temp.ordinary();
SELECT ctms.reset_acoustic_retries();
SELECT pg_temp.state('settling');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT contacts, sent, changed FROM run;
SELECT pg_temp.state('done');
SELECT pg_temp.n(email_id), state FROM ctms.claim_acoustic('ordinary', 10, 6, '1 hour') ORDER BY 1;
SELECT ctms.release_acoustic('ordinary');
UPDATE ctms.emails SET last_name = 'e' WHERE email_id = pg_temp.contact(8);
SELECT kind FROM ctms.acoustic_outgoing(ARRAY[pg_temp.contact(8)], ARRAY['new']) ORDER BY kind;
SELECT outcome FROM ctms.acoustic_history WHERE email_id = pg_temp.contact(8);
SELECT ctms.set_setting('acoustic_deletions', NULL);
SELECT ctms.set_setting('acoustic_skip_unchanged', NULL);
SELECT ctms.set_setting('acoustic_history_sent', NULL);
DELETE FROM ctms.acoustic_deleted_contact;
DELETE FROM ctms.pending_acoustic;
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 5) AS n;
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(3)], 'live');

-- ---- a hold ends by itself, and holds without a run ---------------------------------------------

SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '1 second');
SELECT claimed FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 6);
UPDATE ctms.pending_acoustic SET lease_until = now() - interval '1 second', retry_after = now() - interval '1 second' WHERE lease_owner LIKE 'bulk %';
SELECT pg_temp.ordinary();
SELECT pg_temp.state('settling');
-- The ordinary agent has given them back, so they are not the run's.
SELECT ctms.settle_acoustic_bulk(pg_temp.run(), 'r');
SELECT contacts, sent, changed FROM run;
SELECT pg_temp.state('done');
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '1 hour');
SELECT claimed FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 6);
UPDATE ctms.emails SET first_name = 'd' WHERE email_id = pg_temp.contact(2);
DELETE FROM ctms.emails WHERE email_id = pg_temp.contact(5);
-- The next run frees them; an operator can free what a run holds.
DELETE FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL;
SELECT pg_temp.ordinary();
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '1 hour');
SELECT pg_temp.ordinary();
SELECT claimed FROM ctms.claim_acoustic_bulk(pg_temp.run(), 'r', NULL, 10, 6);
SELECT ctms.release_acoustic('bulk ' || pg_temp.run());
SELECT pg_temp.ordinary();
-- Those that ended long ago are forgotten, with their files.
UPDATE ctms.acoustic_bulk_run SET end_timestamp = now() - interval '91 days' WHERE end_timestamp IS NOT NULL;
SELECT pg_temp.state('failed');
SELECT attempt FROM ctms.begin_acoustic_bulk('r', '1 hour', '1 hour');
SELECT count(*) FROM ctms.acoustic_bulk_run;
SELECT count(*) FROM ctms.acoustic_bulk_file;
SELECT pg_temp.state('done');

DELETE FROM ctms.emails WHERE primary_email LIKE 'bulkrun%@example.com';
DELETE FROM ctms.acoustic_deleted_contact;
DELETE FROM ctms.acoustic_deleted_row;
DELETE FROM ctms.acoustic_bulk_run;
