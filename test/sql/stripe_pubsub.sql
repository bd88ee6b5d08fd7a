-- ctms.ingest_pubsub: push messages of Pub/Sub with Stripe objects.
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE FUNCTION pg_temp.message(payload text, second int DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT json_build_object('message', json_build_object('attributes', '{"key": "value"}'::json, 'data', encode(convert_to(payload, 'UTF8'), 'base64'),
        'messageId', '202111011704', 'publishTime', format('2024-01-01T00:00:%sZ', to_char(second, 'FM00'))), 'subscription', 'projects/p/subscriptions/s')::text
$$;
CREATE FUNCTION pg_temp.customer(id text, fxa text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'customer', 'id', 'cus_p' || id, 'description', 'stripe_p_' || fxa, 'created', 1) $$;
CREATE FUNCTION pg_temp.price(id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'price', 'id', 'price_p' || id, 'product', 'prod_p', 'created', 1, 'active', true, 'currency', 'usd') $$;
CREATE FUNCTION pg_temp.item(id text, price jsonb, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription_item', 'id', 'si_p' || id, 'created', 1, 'price', price) || more $$;
CREATE FUNCTION pg_temp.subscription(id text, status text, VARIADIC items jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription', 'id', 'sub_p' || id, 'customer', 'cus_p1', 'created', 1, 'start_date', 1, 'current_period_start', 1,
        'current_period_end', 1, 'cancel_at_period_end', false, 'status', status, 'items', jsonb_build_object('data', items)) $$;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-0000000000d1', 'stripe_p1@example.com');
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES ('00000000-0000-4000-8000-0000000000d1', 'stripe_p_1');

-- One object; the same again; an older one.
SELECT ctms.ingest_pubsub(pg_temp.message(pg_temp.customer('1', '1')::text, 5));
SELECT ctms.ingest_pubsub(pg_temp.message(pg_temp.customer('1', '1')::text, 5)) -> 'ingest_actions' AS again;
SELECT ctms.ingest_pubsub(pg_temp.message((pg_temp.customer('1', '1') || '{"created": 2}')::text, 4)) -> 'ingest_actions' AS older;
-- Skipped objects are not counted: older, of another type, deletions of what is not stored.
SELECT n, report -> 'count' AS count, report -> 'response' AS response, report -> 'ingest_actions' AS ingest_actions
FROM (VALUES (1, pg_temp.customer('1', '1') || '{"created": 2}'), (2, '{"object": "charge", "id": "ch_p1"}'), (3, pg_temp.customer('1', '1') || '{"id": "cus_p404", "deleted": true}')) AS m (n, object),
    LATERAL ctms.ingest_pubsub(pg_temp.message(object::text, 4)) AS report ORDER BY n;
SELECT message_timestamp FROM ctms.stripe_customer WHERE stripe_id = 'cus_p1';
-- Many, some of them empty.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('customers:cus_p2', pg_temp.customer('2', '1'), 'subscriptions:sub_p1', pg_temp.subscription('1', 'active', pg_temp.item('1', pg_temp.price('1'))),
    'invoices:in_p1', '{}'::jsonb, 'charges:ch_p1', '{"object": "charge", "id": "ch_p1"}'::jsonb, 'empty:1', null, 'empty:2', ''::text, 'empty:3', '[]'::jsonb)::text, 6));
-- Objects that need each other, in no order: an item before its subscription, prices by id.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.item('3', '"price_p2"', '{"subscription": "sub_p2"}'),
    'b:1', pg_temp.subscription('2', 'active', pg_temp.item('2', '"price_p2"'), pg_temp.item('3', '"price_p2"')), 'c:1', pg_temp.price('2'))::text, 7)) -> 'ingest_actions' AS ingest_actions;
-- The same object twice: the last by its key counts, whole.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.subscription('3', 'active', pg_temp.item('4', pg_temp.price('3'))),
    'b:1', pg_temp.subscription('3', 'canceled', pg_temp.item('5', pg_temp.price('1'))))::text, 8)) -> 'ingest_actions' AS ingest_actions;

-- Two customers of one FxA ID in a message: the last by its id, however often it comes.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.customer('5', '5'), 'b:1', pg_temp.customer('4', '5'))::text, 8)) -> 'ingest_actions' AS ingest_actions;
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.customer('5', '5'), 'b:1', pg_temp.customer('4', '5'))::text, 8)) -> 'ingest_actions' AS again;
SELECT stripe_id FROM ctms.stripe_customer WHERE fxa_id = 'stripe_p_5';

-- Errors in some: the others are stored all the same.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.subscription('4', 'active', pg_temp.item('6', pg_temp.price('4') - 'currency')),
    'b:1', pg_temp.price('5'), 'c:1', 5, 'd:1', '{"object": "customer"}'::jsonb, 'e:1', pg_temp.customer('3', '') || '{"description": null}')::text, 9));
-- What is no id, such as an address, is not in a message, which the log of the server gets.
SELECT error ->> 'message' AS message, report ->> 'warnings' AS warnings FROM ctms.ingest_pubsub(pg_temp.message(jsonb_build_object(
    'a:1', pg_temp.price('5') || '{"id": "a@example.com", "created": ""}', 'b@example.com:1', '{}'::jsonb,
    'c:1', pg_temp.item('1', '"a b"', '{"subscription": "sub_p1"}'), 'd:1', pg_temp.price('5') || jsonb_build_object('id', repeat('x', 65), 'created', ''))::text, 9)) AS report,
    json_array_elements(report -> 'errors') AS error;
-- What is not stored yet: 409, so that it comes again; also when others have errors, or need it in turn.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.item('7', pg_temp.price('6'), '{"subscription": "sub_p5"}'), 'b:1', pg_temp.price('7'), 'c:1', '{}'::jsonb,
    'd:1', pg_temp.price('8') - 'currency')::text, 9));
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('a:1', pg_temp.subscription('6', 'active', pg_temp.item('8', pg_temp.price('9')), pg_temp.item('9', '"price_p404"')),
    'b:1', pg_temp.item('10', '"price_p9"', '{"subscription": "sub_p2"}'))::text, 9)) -> 'errors' AS errors;
SELECT stripe_id FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_p%' ORDER BY 1;

-- Not from Pub/Sub, or with what nobody knows: 202, not to be sent again.
SELECT n, ctms.ingest_pubsub(body) -> 'status' AS status, ctms.ingest_pubsub(body) -> 'response' ->> 'message' AS message FROM (VALUES
    (1, NULL), (2, ''), (3, 'x'), (4, '5'), (5, 'null'), (6, '[]'), (7, '{}'), (8, '{"message": null}'), (9, '{"message": {}}'), (10, '{"message": {"data": 5}}'), (11, '{"message": "data"}'),
    (12, '{"message": {"data": "*"}}'), (13, '{"message": {"data": "AAA="}}'), (14, '{"message": {"data": "/////w=="}}'), (15, pg_temp.message('')), (16, pg_temp.message('{"object"')),
    (17, pg_temp.message('"\u0000"')), (18, pg_temp.message('1e400000')), (19, pg_temp.message(repeat('[', 100000))),
    (20, pg_temp.message('[]')), (21, pg_temp.message('null')), (22, pg_temp.message('5')), (23, pg_temp.message('"object"')), (24, pg_temp.message('["object"]')), (25, pg_temp.message('{}')),
    (26, pg_temp.message('{"id": "cus_p9"}')), (27, pg_temp.message('{"a:b:c": {}}')), (28, pg_temp.message('{"a:b": {}, "ab": {}}')), (29, pg_temp.message('{"object": 5, "id": 5}'))) b (n, body) ORDER BY n;
-- The time is Pub/Sub's or none.
SELECT n, ctms.ingest_pubsub(jsonb_set(pg_temp.message('{"a:1": {}}')::jsonb, '{message,publishTime}', moment::jsonb)::text) -> 'warnings' ->> 1 AS warning FROM (VALUES
    (1, '"2024-01-01T00:00:01.123456789Z"'), (2, '"2024-01-01T00:00:01+01:00"'), (3, '"tomorrow"'), (4, '"2024-13-01T00:00:01Z"'), (5, '5'), (6, 'null')) t (n, moment) ORDER BY n;

-- Customers whose address asks for it are traced.
SELECT report ->> 'trace' AS trace, report -> 'trace_json' AS trace_json FROM unnest(ARRAY['a+trace_me_mozilla_1@example.com', 'a+trace-me-mozilla-1@example.com', 'a+tracexmexmozillax1@example.com']) WITH ORDINALITY e (email, n),
    LATERAL ctms.ingest_pubsub(pg_temp.message(jsonb_build_object('object', 'charge', 'id', 'ch_p1', 'email', email, 'null', null)::text)) AS report ORDER BY n;
-- All of them: each once, no more than ten, none that is too long.
SELECT ctms.ingest_pubsub(pg_temp.message(jsonb_object_agg('charge:' || n, jsonb_build_object('object', 'charge', 'id', 'ch_p' || n, 'email', email))::text)) ->> 'trace' AS trace
FROM (VALUES (1, 'b+trace_me_mozilla_1@example.com'), (2, 'a+trace-me-mozilla-1@example.com'), (3, 'a+trace-me-mozilla-1@example.com'), (4, 'c@example.com'), (5, repeat('x', 300) || '+trace_me_mozilla_1@example.com')) e (n, email);
SELECT cardinality(string_to_array(ctms.ingest_pubsub(pg_temp.message(jsonb_object_agg('charge:' || n, jsonb_build_object('object', 'charge', 'id', 'ch_p' || n, 'email', n || '+trace_me_mozilla_@example.com'))::text)) ->> 'trace', ',')) AS traced
FROM generate_series(1, 30) n;

-- Who may call, and no values in the errors.
SET ROLE ctms_api;
SELECT ctms.ingest_pubsub('') -> 'status' AS status;
-- Each of many objects needs a price of the next, and the last one a price that is missing: none is stored, whatever their order. With that price, all are.
SELECT n, r -> 'status' AS status, r -> 'count' AS count, json_array_length(r -> 'errors') AS errors FROM (VALUES (1, 1, 0), (2, -1, 0), (3, 37, 0), (4, 37, 1)) AS o (n, step, extra),
    LATERAL (SELECT '{' || string_agg(format('"subscription:%s": %s', k, pg_temp.subscription('c' || k, 'active', pg_temp.item('c' || k, pg_temp.price('c' || k)), pg_temp.item('d' || k, to_jsonb('price_pc' || CASE WHEN k = 100 AND extra = 1 THEN 1 ELSE k + 1 END)))), ', ' ORDER BY (k * step + 101) % 101) || '}' AS payload FROM generate_series(1, 100) AS k) AS m,
    LATERAL ctms.ingest_pubsub(pg_temp.message(payload)) AS r ORDER BY n;
SELECT ctms._pubsub_message('');
SET ROLE ctms_reader;
SELECT ctms.ingest_pubsub('');
RESET ROLE;

DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_p%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'sub\_p%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_p%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_p%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'stripe\_p\_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'stripe\_p%@example.com';
DELETE FROM ctms.stripe_refused WHERE message_id = '202111011704' OR (message_id = '' AND is_message);
