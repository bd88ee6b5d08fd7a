-- The two lanes of the queue: who waits in which, who moves up, what a claim takes, and what can be
-- cancelled.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-00000010%s', to_char(n, 'FM0000'))::uuid $$;
CREATE FUNCTION pg_temp.n(email_id uuid) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT right(email_id::text, 4)::integer $$;
CREATE TEMP VIEW lanes AS
    SELECT is_bulk, count(*) AS contacts FROM ctms.pending_acoustic GROUP BY is_bulk ORDER BY is_bulk;
CREATE TEMP TABLE claim (email_id uuid, generation bigint, retry integer, state text, is_bulk boolean);
CREATE FUNCTION pg_temp.claim(batch_limit integer, bulk_limit integer DEFAULT NULL,
    OUT live bigint, OUT bulk bigint, OUT deletions bigint, OUT is_bulk_last boolean) LANGUAGE sql VOLATILE AS $$
    WITH claimed AS (
        INSERT INTO claim SELECT * FROM ctms.claim_acoustic('a', batch_limit, 6, '1 hour', bulk_limit) RETURNING *)
    SELECT count(*) FILTER (WHERE NOT is_bulk AND state <> 'deleted'), count(*) FILTER (WHERE is_bulk),
        count(*) FILTER (WHERE state = 'deleted'),
        array_agg(is_bulk) = array_agg(is_bulk ORDER BY is_bulk) FROM claimed
$$;
CREATE FUNCTION pg_temp.finish() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH done AS (DELETE FROM claim RETURNING *)
    SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation)) FROM done
$$;
CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE sql VOLATILE AS $$
    DELETE FROM ctms.pending_acoustic; DELETE FROM ctms.stripe_unresolved; DELETE FROM claim
$$;
DELETE FROM ctms.stripe_unresolved;
INSERT INTO ctms.emails (email_id, primary_email)
SELECT pg_temp.contact(n), format('lane%s@example.com', n) FROM generate_series(1, 101) AS n;

-- ---- who waits where ------------------------------------------------------------------------

-- A transaction that changes more than 100 contacts is a wave; others are about persons.
SELECT * FROM lanes;
SELECT pg_temp.empty();
UPDATE ctms.emails SET first_name = 'a' WHERE email_id <= pg_temp.contact(100) AND email_id > pg_temp.contact(0);
SELECT * FROM lanes;
SELECT pg_temp.empty();
-- Several flushes of one transaction count together.
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE ctms.emails SET first_name = 'b' WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(60);
UPDATE ctms.emails SET first_name = 'b' WHERE email_id BETWEEN pg_temp.contact(61) AND pg_temp.contact(101);
COMMIT;
SELECT * FROM lanes;
SELECT pg_temp.empty();
-- One contact is one, however often it changes, and what is rolled back does not count.
BEGIN;
DO $$
BEGIN
    FOR i IN 1..120 LOOP
        BEGIN
            UPDATE ctms.emails SET first_name = 'c' || i WHERE email_id = pg_temp.contact(1);
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END $$;
SAVEPOINT s;
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE ctms.emails SET first_name = 'd' WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(101);
SELECT * FROM lanes;
ROLLBACK TO s;
UPDATE ctms.emails SET first_name = 'e' WHERE email_id = pg_temp.contact(2);
COMMIT;
SELECT * FROM lanes;
SELECT pg_temp.empty();

-- The session knows better.
SET ctms.acoustic_lane = live;
UPDATE ctms.emails SET first_name = 'f' WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(101);
SELECT * FROM lanes;
SELECT pg_temp.empty();
SET ctms.acoustic_lane = bulk;
UPDATE ctms.emails SET first_name = 'g' WHERE email_id = pg_temp.contact(1);
-- The value at commit counts.
BEGIN;
UPDATE ctms.emails SET first_name = 'g' WHERE email_id = pg_temp.contact(2);
SET LOCAL ctms.acoustic_lane = live;
COMMIT;
SELECT pg_temp.n(email_id), is_bulk FROM ctms.pending_acoustic ORDER BY 1;
RESET ctms.acoustic_lane;
SET ctms.acoustic_lane = fast;
SELECT pg_temp.empty();

-- Operators enqueue a wave, unless they say something else.
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1), pg_temp.contact(2)]);
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(3)], 'live');
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(4)], lane => 'bulk');
SELECT pg_temp.n(email_id), is_bulk FROM ctms.pending_acoustic ORDER BY 1;
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(3)], 'auto');
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(3)], NULL);
SELECT ctms.enqueue_contacts(NULL) IS NULL AS nobody;
\set VERBOSITY sqlstate
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(3)], 'Live');
\set VERBOSITY default
-- In both lanes at once is live: nothing moves from there to the bulk lane.
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1), pg_temp.contact(3)]);
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1)], 'live');
SELECT pg_temp.n(email_id), is_bulk FROM ctms.pending_acoustic ORDER BY 1;
SELECT pg_temp.empty();

-- ---- Stripe ------------------------------------------------------------------------------------

INSERT INTO ctms.fxa (email_id, fxa_id) SELECT pg_temp.contact(n), 'lane_' || n FROM generate_series(1, 4) AS n;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) SELECT 'lane_cus_' || n, 'lane_' || n, '2021-01-01Z' FROM generate_series(1, 4) AS n;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency) VALUES ('lane_price', 'lane_prod', '2021-01-01Z', true, 'usd');
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
SELECT 'lane_sub_' || n, 'lane_cus_' || n, '2021-01-01Z', false, '2021-02-01Z', '2021-01-01Z', '2021-01-01Z', 'active' FROM generate_series(1, 3) AS n;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created) SELECT 'lane_si_' || n, 'lane_sub_' || n, 'lane_price', '2021-01-01Z' FROM generate_series(1, 3) AS n;
SELECT * FROM lanes;
SELECT pg_temp.empty();
-- A changed price is a wave; who changed too is not part of it.
BEGIN;
UPDATE ctms.stripe_price SET unit_amount = 1 WHERE stripe_id = 'lane_price';
UPDATE ctms.stripe_subscription SET status = 'canceled' WHERE stripe_id = 'lane_sub_2';
COMMIT;
SELECT pg_temp.n(email_id), is_bulk FROM ctms.pending_acoustic ORDER BY 1;
SELECT kind, key, is_bulk FROM ctms.stripe_unresolved;
-- A claim looks for subscribers once more; who appears then is part of the wave.
DELETE FROM ctms.pending_acoustic;
SELECT * FROM pg_temp.claim(10);
SELECT pg_temp.finish();
-- Keys that lead to nobody are left in the lane of their transaction; what is live for one, is live.
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
VALUES ('lane_sub_5', 'lane_cus_5', '2021-01-01Z', false, '2021-02-01Z', '2021-01-01Z', '2021-01-01Z', 'active');
SET ctms.acoustic_lane = bulk;
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
VALUES ('lane_sub_6', 'lane_cus_6', '2021-01-01Z', false, '2021-02-01Z', '2021-01-01Z', '2021-01-01Z', 'active'),
    ('lane_sub_7', 'lane_cus_7', '2021-01-01Z', false, '2021-02-01Z', '2021-01-01Z', '2021-01-01Z', 'active');
UPDATE ctms.stripe_subscription SET status = 'canceled' WHERE stripe_id = 'lane_sub_5';
RESET ctms.acoustic_lane;
UPDATE ctms.stripe_subscription SET status = 'canceled' WHERE stripe_id = 'lane_sub_7';
SELECT kind, key, is_bulk FROM ctms.stripe_unresolved ORDER BY 1, 2;
SET ctms.enqueue = off;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) SELECT 'lane_cus_' || n, 'lane_' || n, '2021-01-01Z' FROM generate_series(5, 7) AS n;
INSERT INTO ctms.fxa (email_id, fxa_id) SELECT pg_temp.contact(n), 'lane_' || n FROM generate_series(5, 7) AS n;
RESET ctms.enqueue;
SELECT * FROM pg_temp.claim(10);
SELECT pg_temp.n(email_id), is_bulk FROM claim ORDER BY 1;
SELECT pg_temp.finish();
-- With lane live, a price is live too, and what is left of it.
SET ctms.acoustic_lane = live;
UPDATE ctms.stripe_price SET unit_amount = 2 WHERE stripe_id = 'lane_price';
RESET ctms.acoustic_lane;
SELECT * FROM lanes;
SELECT kind, is_bulk FROM ctms.stripe_unresolved;
SELECT pg_temp.empty();

-- ---- moving up ---------------------------------------------------------------------------------

-- 1 is free, 2 waits after a failure, 3 is exhausted, 4 is being sent, 5 expired, 6 failed and is free.
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 7) AS n;
UPDATE ctms.pending_acoustic SET create_timestamp = '2020-01-01';
SELECT * FROM pg_temp.claim(10);
UPDATE ctms.pending_acoustic SET lease_owner = NULL, lease_until = NULL, is_tried = false WHERE pg_temp.n(email_id) IN (1, 2, 3, 6);
UPDATE ctms.pending_acoustic SET retry = 2, retry_after = now() + interval '1 hour', last_error = 'e' WHERE pg_temp.n(email_id) = 2;
UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity', last_error = 'e' WHERE pg_temp.n(email_id) = 3;
UPDATE ctms.pending_acoustic SET lease_until = now() - interval '1 hour' WHERE pg_temp.n(email_id) = 5;
UPDATE ctms.pending_acoustic SET retry = 1, last_error = 'e' WHERE pg_temp.n(email_id) = 6;
CREATE TEMP TABLE before AS TABLE ctms.pending_acoustic;
CREATE TEMP VIEW moved AS
    SELECT pg_temp.n(p.email_id) AS n, p.is_bulk, p.retry, p.retry_after IS NULL AS is_free, p.last_error, p.lease_owner,
        p.generation <> b.generation AS is_new, p.create_timestamp > now() - interval '1 hour' AS is_last
    FROM ctms.pending_acoustic p JOIN before b USING (email_id) ORDER BY 1;
-- Another wave does not move them.
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1)]);
SELECT * FROM moved WHERE n = 1;
UPDATE ctms.emails SET last_name = 'x' WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(6);
SELECT * FROM moved;
-- What the agent sent meanwhile was older: the contact stays, in its new lane.
SELECT pg_temp.finish();
SELECT pg_temp.n(email_id), is_bulk, lease_owner FROM ctms.pending_acoustic ORDER BY 1;
SELECT * FROM pg_temp.claim(10);
-- A failure keeps the lane.
SELECT pg_temp.empty();
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1)]);
UPDATE ctms.emails SET last_name = 'y' WHERE email_id = pg_temp.contact(2);
SELECT * FROM pg_temp.claim(10);
SELECT ctms.fail_acoustic('a', array_agg(email_id), array_agg(generation), array_agg('e'::text), array_agg(false), 6) FROM claim;
SELECT pg_temp.n(email_id), retry, is_bulk FROM ctms.pending_acoustic ORDER BY 1;
UPDATE ctms.pending_acoustic SET retry_after = now() - interval '1 second';
SELECT * FROM pg_temp.claim(10);
SELECT pg_temp.empty();

-- ---- what a claim takes ------------------------------------------------------------------------

SELECT ctms.set_setting('acoustic_deletions', 'on');
INSERT INTO ctms.emails (email_id, primary_email) SELECT pg_temp.contact(n), format('lane%s@example.com', n) FROM generate_series(201, 240) AS n;
DELETE FROM ctms.emails WHERE email_id BETWEEN pg_temp.contact(201) AND pg_temp.contact(240);
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 40) AS n;
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n)), 'live') FROM generate_series(41, 101) AS n;
-- Most are live; one in ten is bulk, and one in ten a deletion.
SELECT * FROM pg_temp.claim(20);
SELECT pg_temp.finish();
-- The limit of an agent.
SELECT * FROM pg_temp.claim(10, 0);
SELECT pg_temp.finish();
-- What it did not get then is owed, but only up to a batch.
SELECT * FROM pg_temp.claim(10);
SELECT * FROM pg_temp.claim(10, 0);
SELECT pg_temp.finish();
-- Also for agents that claim one at a time.
SELECT sum(c.live) AS live, sum(c.bulk) AS bulk, sum(c.deletions) AS deletions
FROM generate_series(1, 20) AS n, LATERAL (SELECT * FROM pg_temp.claim(1 + n * 0)) AS c;
SELECT pg_temp.finish();
-- Live ones are short: deletions come next, and then the bulk lane, as far as the agent wants.
SELECT * FROM pg_temp.claim(30, 5);
SELECT * FROM pg_temp.claim(30, 5);
SELECT * FROM pg_temp.claim(30, 5);
SELECT * FROM pg_temp.claim(30, 5);
SELECT * FROM pg_temp.claim(30);
SELECT * FROM pg_temp.claim(30);
SELECT pg_temp.finish();
SELECT * FROM lanes;
-- When the bulk lane is short, live ones get all.
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1)]);
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n)), 'live') FROM generate_series(41, 101) AS n;
SELECT * FROM pg_temp.claim(30);
SELECT * FROM pg_temp.claim(30);
SELECT ctms.claim_acoustic('a', 1, 6, '1 hour', -1);
SELECT * FROM ctms.claim_acoustic(NULL, 1, 6, '1 hour', 1);
SELECT pg_temp.empty();
SELECT ctms.set_setting('acoustic_deletions', NULL);
DELETE FROM ctms.acoustic_deleted_contact;
-- Failures of the bulk lane that are due do not hold up those of the live lane.
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 100) AS n;
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(101)], 'live');
UPDATE ctms.pending_acoustic SET retry = 1, retry_after = now() - CASE WHEN is_bulk THEN 2 ELSE 1 END * interval '1 minute';
SELECT * FROM pg_temp.claim(1);
SELECT pg_temp.empty();

-- ---- what waits ----------------------------------------------------------------------------------

SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 5) AS n;
UPDATE ctms.pending_acoustic SET create_timestamp = now() - interval '1 hour';
SELECT lane, backlog, oldest_age_s BETWEEN 3600 AND 3700 AS is_old FROM ctms.acoustic_lanes();
-- The age of the backlog is that of persons' changes.
SELECT oldest_age_s, backlog FROM ctms.monitor(6);
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n)), 'live') FROM generate_series(6, 8) AS n;
UPDATE ctms.pending_acoustic SET create_timestamp = now() - interval '1 minute' WHERE NOT is_bulk;
UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity' WHERE pg_temp.n(email_id) IN (1, 6);
UPDATE ctms.pending_acoustic SET retry = 1, retry_after = now() + interval '1 hour' WHERE pg_temp.n(email_id) IN (2, 7);
SELECT lane, backlog, oldest_age_s > 3599 AS is_hour, oldest_age_s > 59 AS is_minute FROM ctms.acoustic_lanes(6);
SELECT * FROM ctms.acoustic_backlog(6);
SELECT given_up FROM ctms.monitor(6);
-- It reads one entry of the index for each number of retries, however many wait.
SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n)), 'live') FROM generate_series(1, 101) AS n;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
BEGIN;
SELECT pg_stat_get_xact_tuples_returned('ctms.pending_acoustic_claim_idx'::regclass) AS read_before \gset
SELECT ctms._acoustic_age(6, false) > 0 AS is_any;
SELECT pg_stat_get_xact_tuples_returned('ctms.pending_acoustic_claim_idx'::regclass) - :read_before < 10 AS is_little;
COMMIT;
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT pg_temp.empty();

-- ---- cancelling ----------------------------------------------------------------------------------

SELECT ctms.enqueue_contacts(array_agg(pg_temp.contact(n))) FROM generate_series(1, 9) AS n;
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(10)], 'live');
UPDATE ctms.pending_acoustic SET create_timestamp = now() - pg_temp.n(email_id) * interval '1 second';
INSERT INTO ctms.acoustic_sent (email_id, hashes) SELECT pg_temp.contact(n), '{}' FROM generate_series(1, 10) AS n;
INSERT INTO ctms.stripe_unresolved (kind, key, is_bulk) VALUES ('contact', pg_temp.contact(3)::text, true),
    ('contact', pg_temp.contact(4)::text, true), ('contact', pg_temp.contact(10)::text, false);
SELECT ctms.cancel_acoustic(ARRAY[pg_temp.contact(3), pg_temp.contact(10), gen_random_uuid()]);
-- A contact that was noted, because another session had locked it, does not come back by that.
WITH noted AS (DELETE FROM ctms.stripe_unresolved WHERE kind = 'contact' RETURNING key)
SELECT string_agg(right(key, 2), ' ' ORDER BY key) FROM noted;
-- 9 was tried, and its lease has ended; an agent holds 8; 1 is exhausted.
SELECT * FROM pg_temp.claim(2, 1);
UPDATE ctms.pending_acoustic SET lease_until = now() - interval '1 second', create_timestamp = now() WHERE email_id = pg_temp.contact(9);
SELECT * FROM pg_temp.claim(1);
SELECT pg_temp.n(email_id), is_bulk FROM claim ORDER BY 1;
UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity' WHERE email_id = pg_temp.contact(1);
-- Keys of a wave would bring its contacts back.
INSERT INTO ctms.stripe_unresolved (kind, key, is_bulk) VALUES ('price', 'lane_price', true), ('fxa', 'lane_none', false);
SELECT ctms.cancel_acoustic(batch_limit => 4);
SELECT ctms.cancel_acoustic(batch_limit => 4);
SELECT ctms.cancel_acoustic(batch_limit => 4);
SELECT pg_temp.n(email_id), is_bulk, lease_owner FROM ctms.pending_acoustic ORDER BY 1;
-- What is remembered of 9 is not certain any more; of those that were never tried, it is right.
SELECT pg_temp.n(email_id) FROM ctms.acoustic_sent ORDER BY 1;
SELECT kind, key FROM ctms.stripe_unresolved;
SELECT ctms.cancel_acoustic(NULL, 0);
SELECT ctms.cancel_acoustic(NULL, NULL);
SELECT ctms.cancel_acoustic(NULL, 100001);
SELECT ctms.cancel_acoustic('{}');
BEGIN READ ONLY;
SELECT ctms.cancel_acoustic();
ROLLBACK;

SELECT pg_temp.empty();
DELETE FROM ctms.acoustic_sent;
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'lane_%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'lane_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'lane_%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'lane_%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'lane_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'lane%@example.com';
SELECT pg_temp.empty();
