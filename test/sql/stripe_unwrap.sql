-- Stripe events and lists: what is stored of them, in which order, and how errors name the place.
\pset null '(null)'
\t on
CREATE FUNCTION pg_temp.customer(id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'customer', 'id', 'cus_w' || id, 'description', 'stripe_w_' || id, 'created', 1) || more $$;
CREATE FUNCTION pg_temp.event(type text, object jsonb, created bigint DEFAULT 1600000000, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'event', 'id', 'evt_w1', 'type', type, 'created', created, 'data', jsonb_build_object('object', object)) || more $$;
CREATE FUNCTION pg_temp.list(VARIADIC objects jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'list', 'url', '/v1/x', 'has_more', false, 'data', to_jsonb(objects)) $$;
CREATE FUNCTION pg_temp.stored(like_id text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', stripe_id, default_source_id, deleted, extract(epoch FROM message_timestamp)::bigint)
    FROM ctms.stripe_customer WHERE stripe_id ~ ('^cus_w' || like_id || '$') ORDER BY stripe_id $$;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-0000000000e1', 'stripe_w1@example.com');
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES ('00000000-0000-4000-8000-0000000000e1', 'stripe_w_1');

-- An event is its object, and brings its time.
SELECT ctms.upsert_stripe(pg_temp.event('customer.created', pg_temp.customer('1')));
SELECT pg_temp.stored('1');
SELECT ctms.upsert_stripe(pg_temp.event('customer.updated', pg_temp.customer('1', '{"default_source": "older"}'), 1500000000));
SELECT ctms.upsert_stripe(pg_temp.event('customer.updated', pg_temp.customer('1', '{"default_source": "newer"}'), 1600000001));
SELECT pg_temp.stored('1');
-- The caller's time counts more; without any time, content is stored as it comes.
SELECT ctms.upsert_stripe(pg_temp.event('customer.updated', pg_temp.customer('1'), 1600000009), to_timestamp(1600000000));
SELECT ctms.upsert_stripe(pg_temp.event('customer.updated', pg_temp.customer('1')) - 'created');
SELECT pg_temp.stored('1');
-- A time in the future is now.
SELECT ctms.upsert_stripe(pg_temp.event('customer.updated', pg_temp.customer('f'), 253402300799));
SELECT message_timestamp BETWEEN now() - interval '1 day' AND clock_timestamp() FROM ctms.stripe_customer WHERE stripe_id = 'cus_wf';
-- Those of a list are of the same moment, so the first, which is the newest, is stored last.
SELECT ctms.upsert_stripe(to_jsonb(pg_temp.list(VARIADIC ARRAY(SELECT pg_temp.event('customer.updated', pg_temp.customer('f', jsonb_build_object('default_source', 'n' || n)), 253402300799) FROM generate_series(9, 1, -1) AS n)))) - 'skip_reasons' AS report;
SELECT default_source_id FROM ctms.stripe_customer WHERE stripe_id = 'cus_wf';

-- Of the events of one second, that which made the object is the first, and that which ended it the last, in whatever order they come.
CREATE FUNCTION pg_temp.subscription_event(type text, status text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.event('customer.subscription.' || type, jsonb_build_object('object', 'subscription', 'id', 'sub_ws', 'customer', 'cus_w1', 'created', 1600000000, 'start_date', 1600000000,
        'current_period_start', 1600000000, 'current_period_end', 1600000001, 'cancel_at_period_end', false, 'status', status, 'items', '{"object": "list", "data": []}'::jsonb)) $$;
SELECT ctms.upsert_stripe(pg_temp.subscription_event(type, status)) -> 'skip_reasons' AS skip_reasons
FROM (VALUES (1, 'updated', 'active'), (2, 'created', 'incomplete'), (3, 'updated', 'past_due'), (4, 'deleted', 'canceled'), (5, 'updated', 'active'), (6, 'created', 'incomplete')) AS e (n, type, status) ORDER BY n;
SELECT status FROM ctms.stripe_subscription WHERE stripe_id = 'sub_ws';
DELETE FROM ctms.stripe_subscription WHERE stripe_id = 'sub_ws';
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.subscription_event('updated', 'active'), pg_temp.subscription_event('deleted', 'canceled'), pg_temp.subscription_event('created', 'incomplete'))) -> 'created' AS created;
SELECT status FROM ctms.stripe_subscription WHERE stripe_id = 'sub_ws';

-- The event of a deletion has the object as it was.
SELECT ctms.upsert_stripe(pg_temp.event('customer.deleted', pg_temp.customer('404'), 1600000010));
SELECT ctms.upsert_stripe(pg_temp.event('customer.deleted', pg_temp.customer('1', '{"default_source": "before"}'), 1600000010));
SELECT pg_temp.stored('1');
SELECT ctms.upsert_stripe(pg_temp.event('invoice.deleted', '{"object": "invoice", "id": "in_w1"}'));
SELECT ctms.upsert_stripe('{"object": "price", "id": "price_w1", "deleted": true}');
SELECT ctms.upsert_stripe('{"object": "invoice", "id": "in_w1", "deleted": "yes"}');
-- A subscription of which it is said has ended, and says so itself.
SELECT ctms.upsert_stripe(pg_temp.event('customer.subscription.deleted', '{"object": "subscription", "id": "sub_w1", "customer": "cus_w1", "created": 1, "start_date": 1,
    "current_period_start": 1, "current_period_end": 1, "cancel_at_period_end": false, "status": "canceled", "items": {"object": "list", "data": []}}'));
SELECT status FROM ctms.stripe_subscription WHERE stripe_id = 'sub_w1';

-- Events that have no object to store.
SELECT ctms.upsert_stripe('{"object": "v2.core.event", "id": "evt_w2", "type": "v1.customer.created", "related_object": {"id": "cus_w1", "type": "customer"}}');
SELECT ctms.upsert_stripe(pg_temp.event('invoice.upcoming', '{"object": "invoice", "customer": "cus_w1"}'));
SELECT ctms.upsert_stripe(pg_temp.event('product.created', '{"object": "product", "id": "prod_w1"}'));
SELECT ctms.upsert_stripe(pg_temp.event('x', 'null') - 'data');
-- Objects of some types that are not stored have no id; in an event that is no fault.
SELECT ctms.upsert_stripe(pg_temp.event('balance.available', '{"object": "balance", "available": []}'));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.event('cash_balance.funds_available', '{"object": "cash_balance", "id": null, "customer": "cus_w1"}'), pg_temp.event('balance.available', '{"object": "balance"}')));
SELECT ctms.upsert_stripe('{"object": "balance"}');
SELECT ctms.upsert_stripe(pg_temp.event('x', '{"object": "balance", "id": 5}'));
SELECT ctms.upsert_stripe(pg_temp.event('x', jsonb_build_object('object', repeat('x', 256))));
SELECT ctms.upsert_stripe(pg_temp.event('x', pg_temp.event('y', pg_temp.customer('1'))));

-- A list is its objects. All of them are stored, or none.
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('2'), '{"object": "mandate", "id": "m_w1"}', pg_temp.customer('3')));
SELECT ctms.upsert_stripe(pg_temp.list(VARIADIC '{}'));
SELECT ctms.upsert_stripe(jsonb_build_object('object', 'search_result', 'data', pg_temp.list(pg_temp.customer('2')) -> 'data'));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('4'), pg_temp.customer('5') - 'description'));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('4'), pg_temp.event('x', pg_temp.customer('5') - 'description')));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('4'), '{"object": "subscription_item", "id": "si_w1", "subscription": "sub_w404", "created": 1, "price": "price_w404"}'));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('4'), '{"object": "customer"}'));
SELECT pg_temp.stored('4');
-- More pages are a warning.
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('2')) || '{"has_more": true}');
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.list(pg_temp.customer('2')) || '{"has_more": true}'));
-- So are those of the items or lines in an object, which is named.
CREATE FUNCTION pg_temp.invoice(id text, has_more boolean) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'invoice', 'id', id, 'created', 1, 'currency', 'usd', 'total', 1, 'lines', jsonb_build_object('object', 'list', 'data', '[]'::jsonb, 'has_more', has_more)) $$;
SELECT ctms.upsert_stripe(pg_temp.invoice('in_w2', true));
SELECT ctms.upsert_stripe(pg_temp.invoice('in_w2', false));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.invoice('in_w3', true), pg_temp.event('x', pg_temp.invoice('in w@example.com', true)), pg_temp.invoice('in_w4', true) - 'total' || '{"deleted": true}'));
SELECT ctms.upsert_stripe_list(jsonb_build_array(pg_temp.invoice('in_w5', true), pg_temp.invoice('in_w6', false)));
-- The same customer twice: the last one counts.
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.customer('4'), pg_temp.customer('4', '{"default_source": "last"}')));
SELECT pg_temp.stored('4');

-- Events are listed with the newest first, also of a second. Each is stored with its time.
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.event('customer.updated', pg_temp.customer('6', '{"default_source": "second"}'), 1600000020),
    pg_temp.event('customer.updated', pg_temp.customer('6', '{"default_source": "first"}'), 1600000020),
    pg_temp.event('customer.created', pg_temp.customer('7'), 1600000019), pg_temp.event('customer.deleted', pg_temp.customer('7'), 1600000021)));
SELECT pg_temp.stored('[67]');
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.event('customer.updated', pg_temp.customer('8', '{"default_source": "newer"}'), 1600000031),
    pg_temp.event('customer.created', pg_temp.customer('8', '{"default_source": "older"}'), 1600000030)), to_timestamp(1600000040));
SELECT pg_temp.stored('8');

-- What is refused says where, and what is expected, but no value.
SELECT ctms.upsert_stripe('{"object": "list"}');
SELECT ctms.upsert_stripe('{"object": "list", "data": {"secret": 1}}');
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.list(pg_temp.list(pg_temp.customer('2')))));
SELECT ctms.upsert_stripe(pg_temp.list(pg_temp.list(pg_temp.list(pg_temp.list(pg_temp.list(pg_temp.customer('2')))))));
SELECT ctms.upsert_stripe(pg_temp.event('x', pg_temp.customer('1'), 1, '{"created": "secret"}'));
SELECT ctms.upsert_stripe(pg_temp.event('x', 'null'));
SELECT ctms.upsert_stripe(pg_temp.event('x', '"secret"'));
SELECT ctms.upsert_stripe(pg_temp.event('x', 'null') || '{"data": "secret", "id": "secret@example.com"}');
SELECT ctms.upsert_stripe(pg_temp.event('x', '{"object": "customer"}'));
SELECT ctms.upsert_stripe(pg_temp.event('x', pg_temp.list(pg_temp.customer('1'))));
SELECT ctms.upsert_stripe('["secret"]');
SELECT ctms.upsert_stripe('"secret"');
SELECT ctms.upsert_stripe(pg_temp.list('["secret"]', 'null'));

-- A message of Pub/Sub; a bad object costs no other.
SELECT ctms._upsert_stripe_batch(jsonb_build_array(pg_temp.list(pg_temp.customer('9'), pg_temp.customer('10') - 'created'), pg_temp.event('x', pg_temp.customer('11')),
    '{"object": "list"}'::jsonb), to_timestamp(1600000050));
SELECT pg_temp.stored('9');
SELECT pg_temp.stored('11');
SELECT ctms._upsert_stripe_batch(jsonb_build_array(pg_temp.event('x', pg_temp.customer('9', '{"default_source": "older"}')), pg_temp.event('x', pg_temp.customer('12'), 1600000060)), NULL);
SELECT r ->> 'status', r -> 'response', r -> 'ingest_actions', r -> 'warnings' FROM ctms.ingest_pubsub(json_build_object('message', json_build_object('publishTime', '2020-09-14T00:00:00Z', 'data',
    encode(convert_to((pg_temp.list(pg_temp.customer('9'), pg_temp.customer('13')) || '{"has_more": true}')::text, 'UTF8'), 'base64')))::text) AS r;
SELECT r ->> 'status', r ->> 'trace' FROM ctms.ingest_pubsub(json_build_object('message', json_build_object('publishTime', '2020-09-14T00:00:00Z', 'data',
    encode(convert_to(pg_temp.list(pg_temp.event('x', pg_temp.customer('13', '{"email": "w+trace_me_mozilla_1@example.com"}')))::text, 'UTF8'), 'base64')))::text) AS r;

-- The list function takes events, of one time together; a list comes alone and has no report.
SELECT jsonb_array_elements(ctms.upsert_stripe_list(jsonb_build_array(pg_temp.event('x', pg_temp.customer('14')), pg_temp.event('x', pg_temp.customer('15')), pg_temp.event('x', pg_temp.customer('16'), 1))));
SELECT ctms.upsert_stripe_list(jsonb_build_array(pg_temp.list(pg_temp.customer('14')), pg_temp.customer('15')));
SELECT ctms.upsert_stripe_list(jsonb_build_array(pg_temp.customer('15'), pg_temp.list(pg_temp.customer('14'))));
SELECT pg_temp.stored('1[0-9]');
SELECT u.path, u.object ->> 'object', u.content ->> 'id', u.has_more FROM ctms.unwrap_stripe(pg_temp.list(pg_temp.customer('1'), pg_temp.event('x', pg_temp.customer('2')),
    pg_temp.list(pg_temp.customer('3'), '{"object": "event", "id": "evt_w3"}') || '{"has_more": true}')) AS u;
SELECT path = '', object = pg_temp.customer('1'), content = object, has_more FROM ctms.unwrap_stripe(pg_temp.customer('1'));
SELECT count(*) FROM ctms.unwrap_stripe(pg_temp.list(VARIADIC '{}'));
SELECT ctms.unwrap_stripe('{"object": "list"}');
SELECT ctms.unwrap_stripe(pg_temp.list('{"object": "list", "data": "secret"}'));
SELECT ctms.unwrap_stripe('[]');
SELECT * FROM ctms.unwrap_stripe('3');
SELECT count(*) FROM ctms.unwrap_stripe(NULL);

-- Contacts of the objects in events and lists.
SELECT ctms.enqueue_stripe(pg_temp.event('customer.deleted', pg_temp.customer('1')));
SELECT ctms.enqueue_stripe(pg_temp.list(pg_temp.customer('1'), pg_temp.customer('1'), pg_temp.customer('2'), '{"object": "mandate", "id": "m_w1"}'));
SELECT ctms.enqueue_stripe(pg_temp.list(VARIADIC '{}'));
SELECT ctms.enqueue_stripe(pg_temp.list('{"object": "customer"}'));
SELECT ctms.enqueue_stripe(pg_temp.event('balance.available', '{"object": "balance"}'));
SELECT ctms.enqueue_stripe(pg_temp.event('invoice.upcoming', '{"object": "invoice", "customer": "cus_w1"}'));
SELECT ctms.enqueue_stripe(pg_temp.event('invoice.upcoming', '{"object": "invoice"}') - 'id');
SELECT ctms.enqueue_stripe(pg_temp.list('{"object": "invoice", "customer": "cus_w1"}', '{"object": "invoice", "id": "upcoming_in_w1", "customer": "cus_w1"}'));
SELECT ctms.enqueue_stripe(pg_temp.event('x', '{"object": "customer"}'));
SELECT ctms.enqueue_stripe(pg_temp.event('x', pg_temp.list(pg_temp.customer('1'))));

DELETE FROM ctms.stripe_invoice WHERE stripe_id LIKE 'in\_w%' OR stripe_id = 'in w@example.com';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'sub\_w%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_w%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'stripe\_w\_%';
DELETE FROM ctms.pending_acoustic WHERE email_id = '00000000-0000-4000-8000-0000000000e1';
DELETE FROM ctms.emails WHERE primary_email = 'stripe_w1@example.com';
