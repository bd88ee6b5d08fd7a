-- What is remembered beyond the queue: deletions, hashes of what was sent, history.
SET timezone = 'UTC';
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('00000000-0000-4000-8000-0000000f000%s', n)::uuid $$;
CREATE TEMP TABLE held (email_id uuid, generation bigint, state text);
CREATE FUNCTION claim() RETURNS TABLE (n text, state text) LANGUAGE sql AS $$
    INSERT INTO held SELECT email_id, generation, state FROM ctms.claim_acoustic('a', 100, 6, '1 hour');
    SELECT right(email_id::text, 1), state FROM held ORDER BY 1;
$$;
CREATE FUNCTION outgoing() RETURNS TABLE (n text, kind text, name text) LANGUAGE sql AS $$
    SELECT right(o.email_id::text, 1), o.kind, coalesce(o.fields ->> 'newsletter_name', o.fields ->> 'waitlist_name', o.fields ->> 'product_id')
    FROM ctms.acoustic_outgoing((SELECT array_agg(email_id ORDER BY email_id) FROM held), (SELECT array_agg(state ORDER BY email_id) FROM held)) AS o ORDER BY 1, 2, 3;
$$;
-- As an agent does it.
CREATE FUNCTION finish() RETURNS bigint LANGUAGE sql AS $$
    WITH hashed AS (SELECT h.email_id, h.generation, o.kind, o.fields::text AS hashes FROM held h LEFT JOIN
        ctms.acoustic_outgoing((SELECT array_agg(email_id) FROM held), (SELECT array_agg(state) FROM held)) AS o
        ON o.email_id = h.email_id AND o.kind IN ('hashes', 'unchanged'))
    SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation),
        array_agg(CASE WHEN kind = 'unchanged' THEN kind END), array_agg(hashes)) FROM hashed;
$$;

-- ---- deletions are off ----------------------------------------------------------------
INSERT INTO ctms.emails (email_id, primary_email) SELECT id(n), format('memory%s@example.com', n) FROM generate_series(1, 4) AS n;
INSERT INTO ctms.newsletters (email_id, name) SELECT id(n), name FROM generate_series(1, 4) AS n, unnest(ARRAY['one', 'two']) AS name;
INSERT INTO ctms.waitlists (email_id, name) SELECT id(n), 'vpn' FROM generate_series(1, 4) AS n;
SELECT * FROM claim();
SELECT finish();
TRUNCATE held;
DELETE FROM ctms.newsletters WHERE email_id = id(1) AND name = 'one';
SELECT count(*) FROM ctms.acoustic_deleted_row;

-- ---- rows that are deleted ----------------------------------------------------------------
SELECT ctms.set_setting('acoustic_deletions', 'on');
DELETE FROM ctms.newsletters WHERE email_id = id(1) AND name = 'two';
DELETE FROM ctms.waitlists WHERE email_id = id(1);
UPDATE ctms.newsletters SET name = 'three' WHERE email_id = id(2) AND name = 'two';
SELECT right(email_id::text, 1) AS n, kind, name FROM ctms.acoustic_deleted_row ORDER BY 1, 2, 3;
SELECT * FROM claim();
SELECT * FROM outgoing();
-- What has come back is not deleted.
INSERT INTO ctms.waitlists (email_id, name) VALUES (id(1), 'vpn');
SELECT * FROM outgoing() WHERE n = '1';
-- It changed meanwhile: all stays noted, and is sent again.
SELECT finish();
SELECT right(email_id::text, 1) AS n, kind, name FROM ctms.acoustic_deleted_row ORDER BY 1, 2, 3;
TRUNCATE held;
SELECT * FROM claim();
SELECT finish();
SELECT count(*) FROM ctms.acoustic_deleted_row;
TRUNCATE held;

-- ---- contacts that are deleted ------------------------------------------------------------
SELECT ctms.delete_contact('memory2@example.com') IS NOT NULL AS deleted;
SELECT * FROM ctms.acoustic_backlog(6);
SELECT * FROM claim();
SELECT * FROM outgoing();
-- A contact that comes back waits until the deletion is done.
INSERT INTO ctms.emails (email_id, primary_email) VALUES (id(2), 'memory2@example.com');
SELECT count(*) FROM ctms.claim_acoustic('b', 100, 6, '1 hour');
SELECT ctms.fail_acoustic('a', array_agg(email_id), array_agg(generation), ARRAY['down'], ARRAY[false], 6) FROM held;
SELECT retry, regexp_replace(last_error, '^\S+', 'T') AS last_error, retry_after > now() AS waits, lease_owner FROM ctms.acoustic_deleted_contact;
SELECT * FROM ctms.acoustic_backlog(6);
SELECT count(*) FROM ctms.claim_acoustic('b', 100, 6, '1 hour');
UPDATE ctms.acoustic_deleted_contact SET retry_after = now();
TRUNCATE held;
SELECT * FROM claim();
SELECT ctms.release_acoustic('a');
TRUNCATE held;
SELECT * FROM claim();
SELECT ctms.finish_acoustic('b', array_agg(email_id), array_agg(generation)) AS by_another FROM held;
SELECT finish();
TRUNCATE held;
SELECT * FROM claim();
SELECT finish();
TRUNCATE held;
-- Given up: it does not keep the contact from coming back, and is not begun again then.
SELECT ctms.delete_contact('memory2@example.com') IS NOT NULL AS deleted;
SELECT * FROM claim();
SELECT ctms.fail_acoustic('a', array_agg(email_id), array_agg(generation), ARRAY['no'], ARRAY[true], 6) FROM held;
TRUNCATE held;
INSERT INTO ctms.emails (email_id, primary_email) VALUES (id(2), 'memory2@example.com');
SELECT * FROM claim();
SELECT finish();
TRUNCATE held;
SELECT ctms.reset_acoustic_retries();
SELECT count(*) FROM ctms.acoustic_deleted_contact;

-- Deleted while it is being sent: the lease is kept.
UPDATE ctms.emails SET first_name = 'x' WHERE email_id = id(3);
SELECT * FROM claim();
SELECT ctms.delete_contact('memory3@example.com') IS NOT NULL AS deleted;
SELECT count(*) FROM ctms.claim_acoustic('b', 100, 6, '1 hour');
SELECT lease_until > now() + interval '59 minutes' AS is_kept, lease_owner FROM ctms.acoustic_deleted_contact;
-- The one that was sending it has done.
SELECT finish();
TRUNCATE held;
SELECT * FROM claim();
SELECT finish();
TRUNCATE held;
SELECT ctms.set_setting('acoustic_deletions', NULL);
-- The same without deletions.
INSERT INTO ctms.emails (email_id, primary_email) VALUES (id(3), 'memory3@example.com');
SELECT * FROM claim();
DELETE FROM ctms.emails WHERE email_id = id(3);
INSERT INTO ctms.emails (email_id, primary_email) VALUES (id(3), 'memory3@example.com');
SELECT count(*) FROM ctms.claim_acoustic('b', 100, 6, '1 hour');
SELECT finish();
TRUNCATE held;
SELECT * FROM claim();
SELECT finish();
TRUNCATE held;

-- An outcome that comes after its lease does not touch the lease that the same agent has got since.
SELECT ctms.set_setting('acoustic_deletions', 'on');
UPDATE ctms.emails SET first_name = 'y' WHERE email_id = id(3);
SELECT * FROM claim();
SELECT ctms.delete_contact('memory3@example.com') IS NOT NULL AS deleted;
UPDATE ctms.acoustic_deleted_contact SET lease_until = now();
CREATE TEMP TABLE late AS SELECT * FROM held;
TRUNCATE held;
SELECT * FROM claim();
SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation)) FROM late;
SELECT ctms.fail_acoustic('a', array_agg(email_id), array_agg(generation), ARRAY['late'], ARRAY[false], 6) FROM late;
SELECT lease_owner, retry FROM ctms.acoustic_deleted_contact;
-- Deleted once more while its deletion is under way: that is sent again.
INSERT INTO ctms.emails (email_id, primary_email) VALUES (id(3), 'memory3@example.com');
SELECT ctms.delete_contact('memory3@example.com') IS NOT NULL AS deleted;
SELECT finish();
SELECT lease_owner, retry FROM ctms.acoustic_deleted_contact;
TRUNCATE held;
SELECT * FROM claim();
SELECT finish();
SELECT count(*) FROM ctms.acoustic_deleted_contact;
TRUNCATE held;
-- A generation may be ahead of the transaction that deletes: its finish is not taken for the deletion's.
INSERT INTO ctms.emails (email_id, primary_email) VALUES (id(3), 'memory3@example.com');
UPDATE ctms.pending_acoustic SET generation = pg_current_xact_id()::text::bigint + 2 WHERE email_id = id(3);
SELECT * FROM claim();
DELETE FROM ctms.emails WHERE email_id = id(3);
SELECT finish();
SELECT is_to_send, lease_owner FROM ctms.acoustic_deleted_contact;
TRUNCATE held;
SELECT * FROM claim();
SELECT finish();
TRUNCATE held;

-- ---- products ---------------------------------------------------------------------------------
-- An item that is deleted, as Stripe says, by a list without it, or by moving to another price, may
-- take a product away.
CREATE FUNCTION price(id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'price', 'id', 'price_' || id, 'product', 'prod_' || id, 'created', 1, 'active', true, 'currency', 'usd')
$$;
CREATE FUNCTION subscription(VARIADIC prices text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription', 'id', 'sub_m1', 'customer', 'cus_m1', 'created', 1, 'start_date', 1,
        'current_period_start', 1, 'current_period_end', 2, 'cancel_at_period_end', false, 'status', 'active', 'items',
        jsonb_build_object('data', jsonb_agg(jsonb_build_object('object', 'subscription_item', 'id', 'si_m' || n, 'created', 1, 'price', price(p)) ORDER BY n)))
    FROM unnest(prices) WITH ORDINALITY AS x (p, n)
$$;
CREATE FUNCTION noted() RETURNS TABLE (n text, kind text, name text) LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM ctms.acoustic_deleted_row RETURNING *) SELECT right(email_id::text, 1), kind, name FROM gone ORDER BY 1, 2, 3
$$;
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES (id(1), 'memory_fxa');
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_m1", "description": "memory_fxa", "created": 1}') ->> 'created' AS customer;
SELECT ctms.upsert_stripe(subscription('m1', 'm2', 'm3')) ->> 'created' AS subscription;
SELECT * FROM noted();
SELECT ctms.upsert_stripe('{"object": "subscription_item", "id": "si_m1", "deleted": true}') ->> 'updated' AS deleted;
SELECT * FROM noted();
SELECT ctms.upsert_stripe('{"object": "subscription_item", "id": "si_m1", "deleted": true}') ->> 'no_change' AS deleted_again;
SELECT ctms.upsert_stripe(subscription('m1', 'm4', 'm3')) ->> 'updated' AS moved;
SELECT * FROM noted();
SELECT ctms.upsert_stripe(subscription('m1', 'm4')) ->> 'deleted' AS not_listed;
SELECT * FROM noted();
SELECT ctms.upsert_stripe(subscription('m1', 'm4') || '{"status": "canceled"}') ->> 'updated' AS canceled;
SELECT * FROM noted();
SELECT ctms.set_setting('acoustic_deletions', NULL);
SELECT ctms.upsert_stripe('{"object": "subscription_item", "id": "si_m2", "deleted": true}') ->> 'updated' AS deleted;
SELECT * FROM noted();
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_m%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id = 'sub_m1';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_m%';
DELETE FROM ctms.stripe_customer WHERE stripe_id = 'cus_m1';
DELETE FROM ctms.fxa WHERE fxa_id = 'memory_fxa';
SELECT ctms.set_setting('acoustic_deletions', 'on');

-- ---- TRUNCATE ---------------------------------------------------------------------------------
TRUNCATE ctms.emails CASCADE;
TRUNCATE ctms.newsletters;
TRUNCATE ctms.waitlists;
BEGIN;
SELECT ctms.set_setting('acoustic_deletions', NULL);
TRUNCATE ctms.newsletters;
ROLLBACK;
TRUNCATE ctms.stripe_subscription_item; -- holds nothing
SELECT ctms.set_setting('acoustic_deletions', NULL);

-- ---- what was last sent -------------------------------------------------------------------
SELECT ctms.set_setting('acoustic_skip_unchanged', 'on');
SELECT kind, name, change FROM ctms.acoustic_diff(ARRAY[id(1)]) ORDER BY 1, 2;
UPDATE ctms.emails SET first_name = 'A' WHERE email_id = id(1);
SELECT * FROM claim();
SELECT * FROM outgoing();
SELECT finish();
TRUNCATE held;
SELECT jsonb_object_keys(hashes) AS key FROM ctms.acoustic_sent WHERE email_id = id(1) ORDER BY 1;
-- Nothing that Acoustic hears of.
INSERT INTO ctms.mofo (email_id, mofo_email_id) VALUES (id(1), 'memory');
SELECT * FROM claim();
SELECT * FROM outgoing();
SELECT finish();
TRUNCATE held;
-- One row.
INSERT INTO ctms.newsletters (email_id, name) VALUES (id(1), 'four');
SELECT kind, name, change FROM ctms.acoustic_diff(ARRAY[id(1)]) ORDER BY 1, 2;
SELECT * FROM claim();
SELECT * FROM outgoing();
-- An agent that died may have sent anything: all is sent.
UPDATE ctms.pending_acoustic SET lease_until = now();
TRUNCATE held;
SELECT * FROM claim();
SELECT * FROM outgoing();
SELECT finish();
TRUNCATE held;
DELETE FROM ctms.newsletters WHERE email_id = id(1) AND name = 'four';
SELECT kind, name, change FROM ctms.acoustic_diff(ARRAY[id(1)]) ORDER BY 1, 2;
-- Enqueued by an operator: sent whatever is known.
SELECT ctms.enqueue_contacts(ARRAY[id(1)]);
SELECT * FROM claim();
SELECT * FROM outgoing();
-- Sent without hashes: nothing is known any more.
SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation)) FROM held;
SELECT count(*) FROM ctms.acoustic_sent;
TRUNCATE held;
SELECT ctms.set_setting('acoustic_skip_unchanged', NULL);

-- ---- history --------------------------------------------------------------------------------
-- Only failures and deletions, unless all is wanted.
SELECT outcome, count(*) FROM ctms.acoustic_history GROUP BY outcome HAVING outcome NOT IN ('failed', 'deleted');
DELETE FROM ctms.acoustic_history;
SELECT ctms.set_setting('acoustic_history_age', '30d'), ctms.set_setting('acoustic_history_sent', 'on');
UPDATE ctms.emails SET first_name = 'B' WHERE email_id IN (id(1), id(4));
SELECT * FROM claim();
SELECT ctms.finish_acoustic('a', ARRAY[id(1)], ARRAY[generation], ARRAY['skipped']) FROM held WHERE email_id = id(1);
SELECT ctms.fail_acoustic('a', ARRAY[id(4)], ARRAY[generation], ARRAY['fault 50'], ARRAY[false], 6) FROM held WHERE email_id = id(4);
SELECT right(email_id::text, 1) AS n, outcome, error FROM ctms.acoustic_history ORDER BY id;
-- Old rows go, at most once in ten seconds; a new session looks at once.
UPDATE ctms.acoustic_history SET create_timestamp = now() - interval '31 days' WHERE email_id = id(1);
\c -
UPDATE ctms.emails SET first_name = 'C' WHERE email_id = '00000000-0000-4000-8000-0000000f0001';
SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation)) FROM ctms.claim_acoustic('a', 100, 6, '1 hour');
SELECT right(email_id::text, 1) AS n, outcome, error FROM ctms.acoustic_history ORDER BY id;
SELECT ctms.delete_contact('memory1@example.com') IS NOT NULL AS deleted;
SELECT count(*) FROM ctms.acoustic_history;

SELECT count(ctms.delete_contact(primary_email)) FROM ctms.emails WHERE primary_email LIKE 'memory%';
DELETE FROM ctms.acoustic_deleted_contact;
DELETE FROM ctms.acoustic_history;
SELECT ctms.set_setting('acoustic_history_age', NULL), ctms.set_setting('acoustic_history_sent', NULL);
DROP FUNCTION id, claim, outgoing, finish;
