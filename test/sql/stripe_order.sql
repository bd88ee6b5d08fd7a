-- Messages with their times, in any order: rows end as if each had come in its turn.
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE FUNCTION pg_temp.at(second int) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT timestamptz '2024-01-01 00:00:00+00' + second * interval '1 second'
$$;
CREATE FUNCTION pg_temp.subscription(status text, items text[], has_more boolean DEFAULT false) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription', 'id', 'sub_o1', 'customer', 'cus_o1', 'created', 1, 'start_date', 1,
        'current_period_start', 1, 'current_period_end', 2, 'cancel_at_period_end', false, 'status', status,
        'items', jsonb_build_object('has_more', has_more, 'data', COALESCE((SELECT jsonb_agg(jsonb_build_object('object', 'subscription_item',
            'id', 'si_o' || i, 'created', 1, 'price', 'price_o1')) FROM unnest(items) i), '[]')))
$$;
CREATE FUNCTION pg_temp.item(id text, created int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription_item', 'id', 'si_o' || id, 'created', created, 'price', 'price_o1', 'subscription', 'sub_o1')
$$;
CREATE FUNCTION pg_temp.price(amount int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'price', 'id', 'price_o1', 'product', 'prod_o1', 'created', 1, 'active', true, 'currency', 'usd', 'unit_amount', amount)
$$;
CREATE FUNCTION pg_temp.customer(id text, fxa_id text, created int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'customer', 'id', id, 'description', fxa_id, 'created', created)
$$;
CREATE FUNCTION pg_temp.seconds(moment timestamptz) RETURNS numeric LANGUAGE sql AS $$
    SELECT round(extract(epoch FROM moment - pg_temp.at(0)), 3)
$$;

-- ---- one row -----------------------------------------------------------------------------

SELECT ctms.upsert_stripe(pg_temp.price(10), pg_temp.at(10));
SELECT xmin AS was_xmin, update_timestamp AS was_update_timestamp FROM ctms.stripe_price WHERE stripe_id = 'price_o1' \gset
-- The same message again writes nothing; an older one with the same content neither.
SELECT ctms.upsert_stripe(pg_temp.price(10), pg_temp.at(10)), ctms.upsert_stripe(pg_temp.price(10), pg_temp.at(9)), ctms.upsert_stripe(pg_temp.price(10));
-- A price that everything refers to is not written more than once a second.
SELECT ctms.upsert_stripe(pg_temp.price(10), pg_temp.at(10) + interval '999999 us');
SELECT xmin = :'was_xmin' AS nothing_written FROM ctms.stripe_price WHERE stripe_id = 'price_o1';
-- Unchanged content of a newer message: what came between is older than that.
SELECT ctms.upsert_stripe(pg_temp.price(10), pg_temp.at(12));
SELECT ctms.upsert_stripe(pg_temp.price(11), pg_temp.at(11));
SELECT unit_amount, pg_temp.seconds(message_timestamp), update_timestamp = :'was_update_timestamp' AS not_moved FROM ctms.stripe_price WHERE stripe_id = 'price_o1';
SELECT ctms.upsert_stripe(pg_temp.price(13), pg_temp.at(13));
-- Not older than what is stored: the one that comes later counts.
SELECT ctms.upsert_stripe(pg_temp.price(14), pg_temp.at(13));
-- Without a time content is taken as it comes, and the time stays.
SELECT ctms.upsert_stripe(pg_temp.price(15));
SELECT ctms.upsert_stripe(pg_temp.price(10), pg_temp.at(12));
SELECT unit_amount, pg_temp.seconds(message_timestamp) FROM ctms.stripe_price WHERE stripe_id = 'price_o1';

-- ---- a list --------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s/%s: %s', s.status, pg_temp.seconds(s.message_timestamp)::int, pg_temp.seconds(s.list_timestamp)::int,
        (SELECT string_agg(format('%s %s %s', i.stripe_id, extract(epoch FROM i.stripe_created)::int, pg_temp.seconds(i.message_timestamp)::int), ', ' ORDER BY i.stripe_id)
         FROM ctms.stripe_subscription_item i WHERE i.stripe_subscription_id = s.stripe_id))
    FROM ctms.stripe_subscription s WHERE s.stripe_id = 'sub_o1'
$$;
CREATE FUNCTION pg_temp.forget() RETURNS void LANGUAGE sql AS $$
    DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_o%';
    DELETE FROM ctms.stripe_subscription WHERE stripe_id = 'sub_o1'
$$;
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{a,b}'), pg_temp.at(20));
-- Newer, without b; then what says that b was there, by itself and in a list.
SELECT ctms.upsert_stripe(pg_temp.subscription('canceled', '{a}'), pg_temp.at(22));
SELECT ctms.upsert_stripe(pg_temp.item('b', 1), pg_temp.at(21));
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{a,b}'), pg_temp.at(20));
SELECT pg_temp.state();
-- A newer item by itself is newer than an older list without it.
SELECT ctms.upsert_stripe(pg_temp.item('c', 3), pg_temp.at(25));
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{a}'), pg_temp.at(24));
SELECT pg_temp.state();
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{a}'), pg_temp.at(26));
SELECT pg_temp.state();
-- A list that is cut off says nothing about what it lacks: the older whole list still does.
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{a,d}', true), pg_temp.at(30));
SELECT ctms.upsert_stripe(pg_temp.subscription('past_due', '{b,d}'), pg_temp.at(28));
SELECT pg_temp.state();
-- Without times the last list counts.
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{e}'));
SELECT pg_temp.state();

-- Every order of arrival of five messages ends with the same rows.
CREATE TEMP TABLE message (n int, object jsonb);
INSERT INTO message VALUES
    (1, pg_temp.subscription('active', '{a,b}')), (2, pg_temp.subscription('canceled', '{b,c}', true)),
    (3, pg_temp.item('c', 7)), (4, pg_temp.subscription('canceled', '{a,c}')), (5, pg_temp.subscription('canceled', '{c,d}', true));
DO $$
DECLARE
    arrival int[];
    which int;
    state text;
    orders int := 0;
    ends text[] := '{}';
    late int[];
BEGIN
    FOR arrival IN
        SELECT ARRAY[a, b, c, d, e] FROM generate_series(1, 5) a, generate_series(1, 5) b, generate_series(1, 5) c, generate_series(1, 5) d, generate_series(1, 5) e
        WHERE (SELECT count(DISTINCT x) FROM unnest(ARRAY[a, b, c, d, e]) x) = 5 ORDER BY 1
    LOOP
        PERFORM pg_temp.forget();
        late := '{}';
        -- What its parent is not stored for comes again, as the sender is told.
        FOREACH which IN ARRAY arrival LOOP
            BEGIN
                PERFORM ctms.upsert_stripe(object, pg_temp.at(100 + m.n)) FROM message m WHERE m.n = which;
            EXCEPTION WHEN SQLSTATE 'CTS03' THEN
                late := late || which;
            END;
        END LOOP;
        FOREACH which IN ARRAY late LOOP
            PERFORM ctms.upsert_stripe(object, pg_temp.at(100 + m.n)) FROM message m WHERE m.n = which;
        END LOOP;
        orders := orders + 1;
        state := pg_temp.state();
        IF state <> ALL (ends) THEN
            ends := ends || state;
            RAISE NOTICE 'order % ends with %', arrival, state;
        END IF;
    END LOOP;
    RAISE NOTICE '% orders, % ends', orders, cardinality(ends);
END
$$;

-- ---- customers -----------------------------------------------------------------------------

SELECT ctms.upsert_stripe(pg_temp.customer('cus_o1', 'stripe_o_fxa1'), pg_temp.at(41));
-- The older claim loses, whichever comes first.
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o2', 'stripe_o_fxa1'), pg_temp.at(40));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o2', 'stripe_o_fxa1'), pg_temp.at(42));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o1', 'stripe_o_fxa1'), pg_temp.at(41));
-- A stored customer whose newest content claims what another has claimed since.
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o3', 'stripe_o_fxa3'), pg_temp.at(40));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o3', 'stripe_o_fxa1'), pg_temp.at(41));
SELECT stripe_id, fxa_id, pg_temp.seconds(message_timestamp) FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_o%' ORDER BY 1;
-- Deletion has its time, too.
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_o2", "deleted": true}', pg_temp.at(41));
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_o2", "deleted": true}', pg_temp.at(44));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o2', 'stripe_o_fxa1'), pg_temp.at(43));
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_o2", "deleted": true}', pg_temp.at(46));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o2', 'stripe_o_fxa1'), pg_temp.at(45));
SELECT deleted, pg_temp.seconds(message_timestamp), pg_temp.seconds(deletion_timestamp) FROM ctms.stripe_customer WHERE stripe_id = 'cus_o2';
-- Content from before the deletion that arrives after it: stored, and still deleted.
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o4', 'stripe_o_fxa4'), pg_temp.at(50));
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_o4", "deleted": true}', pg_temp.at(53));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o4', 'stripe_o_fxa4') || '{"default_source": "card_o1"}', pg_temp.at(51));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o4', 'stripe_o_fxa44') || '{"default_source": "card_o2"}', pg_temp.at(52));
SELECT fxa_id, default_source_id, deleted, pg_temp.seconds(message_timestamp), pg_temp.seconds(deletion_timestamp) FROM ctms.stripe_customer WHERE stripe_id = 'cus_o4';
-- The claim of another one is as old as the content, not as its deletion.
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o5', 'stripe_o_fxa44'), pg_temp.at(53));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o4', 'stripe_o_fxa44'), pg_temp.at(54));
SELECT stripe_id, deleted FROM ctms.stripe_customer WHERE fxa_id = 'stripe_o_fxa44';
-- A customer that changes its FxA ID without a time keeps the time it had.
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o2', 'stripe_o_fxa5'));
SELECT fxa_id, deleted, pg_temp.seconds(message_timestamp) FROM ctms.stripe_customer WHERE stripe_id = 'cus_o2';

-- ---- deleted items and invoices ------------------------------------------------------------------

CREATE FUNCTION pg_temp.deleted(object text, id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', object, 'id', id, 'deleted', true)
$$;
CREATE FUNCTION pg_temp.invoice(status text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'invoice', 'id', 'in_o9', 'customer', 'cus_o1', 'created', 1, 'currency', 'usd', 'total', 1, 'status', status, 'lines', '{"data": []}'::jsonb)
$$;
CREATE FUNCTION pg_temp.deletions() RETURNS TABLE (id text, content text, deleted boolean, message numeric, deletion numeric) LANGUAGE sql AS $$
    SELECT stripe_id, extract(epoch FROM stripe_created)::int::text, deleted, pg_temp.seconds(message_timestamp), pg_temp.seconds(deletion_timestamp) FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_o9%'
    UNION ALL SELECT stripe_id, status, deleted, pg_temp.seconds(message_timestamp), pg_temp.seconds(deletion_timestamp) FROM ctms.stripe_invoice WHERE stripe_id = 'in_o9' ORDER BY 1
$$;
CREATE FUNCTION pg_temp.item_o9(created int) RETURNS jsonb LANGUAGE sql AS $$ SELECT pg_temp.item('9', created) || '{"subscription": "sub_o9"}' $$;
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{}') || '{"id": "sub_o9"}', pg_temp.at(59));
-- Not stored yet: nothing to mark.
SELECT ctms.upsert_stripe(pg_temp.deleted('subscription_item', 'si_o9'), pg_temp.at(60)), ctms.upsert_stripe(pg_temp.deleted('invoice', 'in_o9'), pg_temp.at(60));
SELECT ctms.upsert_stripe(pg_temp.item_o9(1), pg_temp.at(70)), ctms.upsert_stripe(pg_temp.invoice('draft'), pg_temp.at(70));
SELECT ctms.upsert_stripe(pg_temp.deleted('subscription_item', 'si_o9'), pg_temp.at(69)), ctms.upsert_stripe(pg_temp.deleted('invoice', 'in_o9'), pg_temp.at(69));
SELECT ctms.upsert_stripe(pg_temp.deleted('subscription_item', 'si_o9'), pg_temp.at(73)), ctms.upsert_stripe(pg_temp.deleted('invoice', 'in_o9'), pg_temp.at(73));
-- Content from before the deletion that arrives after it: stored, and still deleted; the deletion again: its time moves.
SELECT ctms.upsert_stripe(pg_temp.item_o9(2), pg_temp.at(72)), ctms.upsert_stripe(pg_temp.invoice('open'), pg_temp.at(72));
SELECT ctms.upsert_stripe(pg_temp.item_o9(3), pg_temp.at(71)), ctms.upsert_stripe(pg_temp.invoice('paid'), pg_temp.at(71));
SELECT * FROM pg_temp.deletions();
SELECT ctms.upsert_stripe(pg_temp.deleted('subscription_item', 'si_o9'), pg_temp.at(74)), ctms.upsert_stripe(pg_temp.deleted('invoice', 'in_o9'), pg_temp.at(74));
SELECT ctms.upsert_stripe(pg_temp.item_o9(2), pg_temp.at(74)), ctms.upsert_stripe(pg_temp.invoice('open'), pg_temp.at(74));
SELECT * FROM pg_temp.deletions();
-- Newer content undoes it.
SELECT ctms.upsert_stripe(pg_temp.item_o9(2), pg_temp.at(75)), ctms.upsert_stripe(pg_temp.invoice('open'), pg_temp.at(75));
SELECT * FROM pg_temp.deletions();
-- A deletion without a time: what is stored may come again, and stays deleted; what is newer undoes it.
SELECT ctms.upsert_stripe(pg_temp.deleted('subscription_item', 'si_o9')), ctms.upsert_stripe(pg_temp.deleted('invoice', 'in_o9'));
SELECT ctms.upsert_stripe(pg_temp.item_o9(2), pg_temp.at(75)), ctms.upsert_stripe(pg_temp.invoice('open'), pg_temp.at(75));
SELECT ctms.upsert_stripe(pg_temp.item_o9(4), pg_temp.at(74)), ctms.upsert_stripe(pg_temp.invoice('void'), pg_temp.at(74));
SELECT * FROM pg_temp.deletions();
SELECT ctms.upsert_stripe(pg_temp.item_o9(2), pg_temp.at(76)), ctms.upsert_stripe(pg_temp.invoice('open'), pg_temp.at(76));
SELECT * FROM pg_temp.deletions();
-- Two in one message, of which one is inside another object; the last one counts.
SELECT ctms._upsert_stripe_batch(jsonb_build_array(pg_temp.deleted('invoice', 'in_o9'), pg_temp.subscription('active', '{9}', true) || '{"id": "sub_o9"}', pg_temp.deleted('subscription_item', 'si_o9'), pg_temp.deleted('subscription_item', 'si_o99')), pg_temp.at(77));
SELECT * FROM pg_temp.deletions();
DELETE FROM ctms.stripe_invoice WHERE stripe_id = 'in_o9';
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id = 'si_o9';
DELETE FROM ctms.stripe_subscription WHERE stripe_id = 'sub_o9';

-- ---- the times are no change: nothing is enqueued, update_timestamp stays ----------------------

INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-0000000000b1', 'stripe_o1@example.com');
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES ('00000000-0000-4000-8000-0000000000b1', 'stripe_o_fxa1');
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o1', 'stripe_o_fxa1'), pg_temp.at(50));
SELECT ctms.upsert_stripe(pg_temp.subscription('active', '{a,b}'), pg_temp.at(200));
CREATE FUNCTION pg_temp.updates() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(moment::text, ' ' ORDER BY moment) FROM (SELECT update_timestamp FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_o%'
        UNION ALL SELECT update_timestamp FROM ctms.stripe_subscription WHERE stripe_id = 'sub_o1'
        UNION ALL SELECT update_timestamp FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_o%'
        UNION ALL SELECT update_timestamp FROM ctms.stripe_price WHERE stripe_id = 'price_o1') u (moment)
$$;
SELECT pg_temp.updates() AS updates \gset
DELETE FROM ctms.pending_acoustic WHERE email_id = '00000000-0000-4000-8000-0000000000b1';
SELECT ctms.upsert_stripe(pg_temp.customer('cus_o1', 'stripe_o_fxa1'), pg_temp.at(51)), ctms.upsert_stripe(pg_temp.subscription('active', '{a,b}'), pg_temp.at(201)), ctms.upsert_stripe(pg_temp.price(15), pg_temp.at(202));
SELECT pg_temp.state();
SELECT count(*) AS enqueued FROM ctms.pending_acoustic WHERE email_id = '00000000-0000-4000-8000-0000000000b1';
SELECT pg_temp.updates() = :'updates' AS nothing_moved;
SELECT ctms.upsert_stripe(pg_temp.subscription('canceled', '{a,b}'), pg_temp.at(203));
SELECT count(*) AS enqueued FROM ctms.pending_acoustic WHERE email_id = '00000000-0000-4000-8000-0000000000b1';

SELECT pg_temp.forget();
DELETE FROM ctms.stripe_price WHERE stripe_id = 'price_o1';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_o%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'stripe\_o\_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'stripe\_o%@example.com';
