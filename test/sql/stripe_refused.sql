-- What of a message cannot be read or stored: objects are judged one by one, and what is refused is
-- kept in ctms.stripe_refused.
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE FUNCTION pg_temp.message(payload bytea, id text, second int DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT json_build_object('message', json_build_object('data', encode(payload, 'base64'), 'messageId', id,
        'publishTime', format('2024-01-01T00:00:%sZ', to_char(second, 'FM00'))))::text
$$;
-- Bytes: backslashes are those of JSON, and <00> is a byte.
CREATE FUNCTION pg_temp.bytes(source text) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(CASE WHEN part[1] ~ '^<[0-9A-F]{2}>$' THEN decode(btrim(part[1], '<>'), 'hex') ELSE convert_to(part[1], 'UTF8') END, '' ORDER BY n)
    FROM regexp_matches(source, '<[0-9A-F]{2}>|[^<]+|<', 'g') WITH ORDINALITY AS m (part, n)
$$;
CREATE VIEW pg_temp.kept AS
    SELECT message_id, message_timestamp, object, code, reason, attempts, customer_id, fxa_id, is_message, encode(content, 'escape') AS content
    FROM ctms.stripe_refused WHERE message_id LIKE 'r\_%' ORDER BY message_id, object, content;

-- ---- reading --------------------------------------------------------------------------------

-- Values: what jsonb cannot hold, or is no value of JSON, is replaced, and the rest is as jsonb has it.
SELECT n, source, ctms._clean_json(pg_temp.bytes(source)) AS json, CASE WHEN is_same THEN ctms._clean_json(pg_temp.bytes(source)) = source::jsonb END AS same FROM (VALUES
    (1, '{"a": "b", "c": [1, -0.5e2, true, false, null], "d": {}, "e": [], "": ""}', true), (2, ' "\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00" ', true),
    (3, '"\u0000"', false), (4, '"\ud800"', false), (5, '"\udc00"', false), (6, '"\ud800\ud800"', false), (7, '"\ud800x"', false), (8, '"\x"', false), (9, '"\u12"', false),
    (10, '"<00>"', false), (11, '"<0A>"', false), (12, '"<FF>"', false), (13, '"<C3>"', false), (14, '"<ED><A0><80>"', false), (15, '"<C3><A4>"', false),
    (16, '1e40', true), (17, '1e401', false), (18, '1e400000', false), (19, '-1e99999999999999999999', false), (20, '0.' || repeat('1', 10), true), (21, '01', false), (22, '1.', false),
    (23, '.5', false), (24, '+1', false), (25, '-', false), (26, 'NaN', false), (27, '-Infinity', false), (28, 'True', false), (29, 'nul', false), (30, '1e', false), (31, '1e+2', true),
    (32, '{"a\u0000": 1, "b": 2}', false), (33, '{"<FF>": {"x": [1, "}"]}, "b": 2, "\ud800": 3}', false), (34, '{"\ud800": 1}', false), (35, '{"a": 1, "a": "\u0000"}', false), (36, '{"a": "\u0000", "a": 1}', false),
    (37, '<EF><BB><BF>{"a": 1}', false), (38, '["\u0000", {"a": NaN}, "x"]', false), (39, '{"a": tru<00>e}', false), (40, '5<00>', false)) AS v (n, source, is_same) ORDER BY n;
-- What is not JSON by its brackets, commas, colons and quotes.
SELECT n, ctms._clean_json(pg_temp.bytes(source)) AS json FROM (VALUES
    (1, ''), (2, ' '), (3, '{'), (4, '}'), (5, '{"a"}'), (6, '{"a":}'), (7, '{"a": 1,}'), (8, '[1,]'), (9, '[1 2]'), (10, '{"a": 1 "b": 2}'), (11, '"a'), (12, '"a\'), (13, '[}'), (14, '{"a": 1}}'), (15, '{a: 1}'),
    (16, '1 2'), (17, '{"a": [1}'), (18, ','), (19, '{"a": {"b": "c}}'), (20, '<00>{}'), (21, '{"\ud800": [}'), (22, '{"\ud800"}'), (23, '[[[]]')) AS v (n, source) WHERE ctms._clean_json(pg_temp.bytes(source)) IS NOT NULL ORDER BY n;
-- Deep values are replaced, however deep; so are numbers that are long.
SELECT ctms._clean_json(convert_to(format('{"a": %s%s, "b": 1}', repeat('[', n), repeat(']', n)), 'UTF8')) = jsonb_set('{"b": 1}', '{a}', CASE WHEN n > 127 THEN (repeat('[', 127) || '["unreadable"]' || repeat(']', 127))::jsonb ELSE (repeat('[', n) || repeat(']', n))::jsonb END) AS is_right
FROM unnest(ARRAY[10, 127, 128, 100000]) AS n ORDER BY n;
SELECT ctms._clean_json(convert_to(format('{"a": %s, "b": 1}', repeat('1', n)), 'UTF8')) -> 'a' = to_jsonb(repeat('1', n)::numeric) AS is_number FROM unnest(ARRAY[1000, 1001]) AS n ORDER BY n;
-- The same for text, in other functions.
SELECT ctms.parse_stripe('{"metadata": "\ud800", "id": "cus_r0"}'), ctms.parse_stripe('{'), ctms.parse_stripe('');
SELECT ctms._clean_json('1e400') = to_jsonb(1e400) AS is_number;

-- Parts of a payload.
SELECT n, p.name, p.object, encode(p.content, 'escape') AS content FROM (VALUES
    (1, '{"a:1": {"id": 1}, "b:2" : [ ] }'), (2, ' {"object": "x", "a:1": {}} '), (3, '{"obj\u0065ct": "\u0000"}'), (4, '{"a\u003a1": {}}'), (5, '{"a:\ud800": {"id": "\u0000"}, "a:1": 1e999}'),
    (6, '{"a:1": {"id": 1}, "b:2": {"id" 2}, "c:3": {"id": 3}}'), (7, '{"a:1": {"id": 1}, "b:2": {"id": 2'), (8, '{"a:1": {"id": 1}, '), (9, '{"a:1": {}} {}'), (10, '{"object": "x", "id": "'), (11, '{"object": "x"'),
    (12, '{"a:1": {}, "a:1": {"id": 2}}'), (13, '{"a:1": {"x": [}, "b:2": {}}'), (14, '{"a:1": {}, "b:2" {}}'), (15, '{"a:1": {}, "b": {}}'), (16, '{}'), (17, '{"a": {}}'), (18, '[]'), (19, ''), (20, '{"a:b:c": {}}'), (21, '{"<FF>:1": {}}')) AS v (n, source),
    ctms._stripe_parts(pg_temp.bytes(source)) WITH ORDINALITY AS p (name, object, content, m) ORDER BY n, m;

-- ---- storing ----------------------------------------------------------------------------------

-- Keys that nobody uses never hurt; of those that are used, the object is refused, and the others are stored.
SELECT n, r -> 'status' AS status, r -> 'count' AS count, r ->> 'ingest_actions' AS actions, r -> 'kept' AS kept, e ->> 'object' AS object, e ->> 'message' AS message FROM (VALUES
    (1, '{"object": "customer", "id": "cus_r1", "description": "stripe_r_1", "created": 1, "name": "\ud800", "metadata": {"\u0000": "\u0000", "n": 1e999999}, "balance": NaN, "x": "<FF>"}'),
    (2, '{"a:1": {"object": "customer", "id": "cus_r2", "description": "\ud800", "created": 1}, "b:1": {"object": "customer", "id": "cus_r3", "description": "stripe_r_3", "created": 1}}'),
    (3, '{"object": "customer", "id": "cus_r4", "description": "stripe_r_4", "created": 1e99999}'), (4, '{"object": "customer", "id": "cus_\u0000", "description": "stripe_r_4", "created": 1}'),
    (5, '{"object": "cust\ud800", "id": "cus_r4"}'), (6, '{"object": "customer", "id": "cus_r4", "description": "stripe_r_4", "created": 1, "default_source": {"id": "<FF>"}}'),
    (7, '{"object": "customer", "id": "cus_r4", "description": "stripe_r_4", "created": 1, "invoice_settings": {"default_payment_method": "\u0000"}}'),
    (8, '{"object": "customer", "id": "cus_r4", "deleted": "\u0000"}'),
    (9, '{"object": "subscription", "id": "sub_r1", "customer": "cus_r1", "created": 1, "start_date": 1, "current_period_start": 1, "current_period_end": 1, "cancel_at_period_end": false, "status": "active", "items": {"data": [{"object": "subscription_item", "id": "si_r1", "created": 1, "price": {"object": "price", "id": "price_r1", "product": "prod_r", "created": 1, "active": true, "currency": "<FF>"}}]}}'),
    (10, '{"object": "subscription", "id": "sub_r1", "customer": "cus_r1", "created": 1, "start_date": 1, "current_period_start": 1, "current_period_end": 1, "cancel_at_period_end": false, "status": "active", "items": {"data": "\u0000"}}'),
    (11, '{"object": "subscription", "id": "sub_r1", "customer": "cus_r1", "created": 1, "start_date": 1, "current_period_start": 1, "current_period_end": 1, "cancel_at_period_end": false, "status": "active", "items": {"data": ["\u0000"]}}'),
    (12, '{"object": "subscription", "id": "sub_r1", "customer": "cus_r1", "created": 1, "start_date": 1, "current_period_start": 1, "current_period_end": 1, "cancel_at_period_end": false, "status": "active", "items": "\u0000"}'),
    (13, '{"object": "subscription", "id": "sub_r1", "customer": "cus_r1", "created": 1, "start_date": 1, "current_period_start": NaN, "current_period_end": 1, "cancel_at_period_end": false, "status": "active", "items": {"data": []}}'),
    (14, '{"a:1": {"object": "customer", "id": "cus_r5", "description": "stripe_r_5", "created": 1}, "b:1": {"object" "customer"}, "c:1": {"object": "customer", "id": "cus_r6", "description": "stripe_r_6", "created": 1}, "d:'),
    (15, '{"a:\ud800": {"object": "customer", "id": "cus_r7", "description": "stripe_r_7", "created": 1}}'), (16, '{"object": "customer", "id": "cus_r8", "description": "stripe_r_8", "created": 1}, trailing')) AS v (n, source),
    LATERAL (SELECT ctms.ingest_pubsub(pg_temp.message(pg_temp.bytes(source), 'r_' || to_char(n, 'FM00'), n))) AS i (r) LEFT JOIN LATERAL json_array_elements(r -> 'errors') AS e ON true ORDER BY n, e ->> 'message';
SELECT stripe_id, fxa_id FROM ctms.stripe_customer WHERE fxa_id LIKE 'stripe\_r\_%' ORDER BY 1;
SELECT message_id, message_timestamp, object, code, attempts, customer_id, fxa_id, is_message, content FROM pg_temp.kept;
-- Another delivery of the same message adds nothing; another message does.
SELECT ctms.ingest_pubsub(pg_temp.message(pg_temp.bytes('{"object": "customer", "id": "cus_r4", "deleted": "\u0000"}'), id)) -> 'kept' AS kept FROM unnest(ARRAY['r_08', 'r_08', 'r_17']) WITH ORDINALITY AS m (id, n) ORDER BY n;
SELECT message_id, attempts FROM pg_temp.kept WHERE message_id IN ('r_08', 'r_17');
-- The same bytes twice in a message are one; different bytes of the same object are two.
SELECT r -> 'kept' AS kept, json_array_length(r -> 'errors') AS errors FROM ctms.ingest_pubsub(pg_temp.message(pg_temp.bytes('{"a:1": {"object": "x\u0000"}, "b:1": {"object": "x\u0000"}, "c:1": {"id": "x"}}'), 'r_18')) AS r;
SELECT object, reason, attempts, content FROM pg_temp.kept WHERE message_id = 'r_18';
-- Of too many, the message is kept as a whole.
SELECT r -> 'status' AS status, r -> 'kept' AS kept, json_array_length(r -> 'errors') AS errors FROM (SELECT convert_to('{"a:1": {"object": "customer", "id": "cus_r19", "description": "stripe_r_19", "created": 1}, ' || string_agg('"b:' || n || '": ' || n, ', ') || '}', 'UTF8') AS payload FROM generate_series(1, 1001) AS n) AS m, ctms.ingest_pubsub(pg_temp.message(payload, 'r_19')) AS r;
SELECT object, reason, customer_id, length(content) FROM pg_temp.kept WHERE message_id = 'r_19';

-- A large list with many errors is copied once, not once for each.
BEGIN;
SET LOCAL temp_file_limit = '16MB';
SELECT r -> 'status' AS status, r -> 'kept' AS kept, json_array_length(r -> 'errors') AS errors FROM (SELECT convert_to(format('{"object": "list", "x": "%s", "data": [%s 1]}', repeat('x', 200000), repeat('1,', 999)), 'UTF8') AS payload) AS m, ctms.ingest_pubsub(pg_temp.message(payload, 'r_20')) AS r;
ROLLBACK;

-- ---- messages --------------------------------------------------------------------------------

-- A message whose other parts cannot be read is stored, and its id is known.
SELECT n, r -> 'status' AS status, r ->> 'message_id' AS message_id, r ->> 'warnings' AS warnings FROM (VALUES
    (1, '{"message": {"data": "e30=", "messageId": "r_21", "attributes": {"x": "\ud800"}, "publishTime": "2024-01-01T00:00:01Z"}, "y": "<FF>"}'), (2, '{"message": {"data": "*", "messageId": "r_22"}}'),
    (3, '{"message": {"messageId": "r_23", "data": 5}}'), (4, '{"message": {"data": "e30=", "messageId": "\u0000"}}'), (5, '{"message": {"data": "e30=", "messageId": "r_25", "publishTime": "2024-02-31T00:00:00Z"}}'),
    (6, '{"message": {"data": "eyJhOjEiOnt9fQ==", "messageId": "r_26", "publishTime": "\ud800"}}'), (7, '{"message": {"messageId": "r_27", "data": "\u0000"}}'), (8, '<00>'), (9, ''),
    (10, '{"message": {"data": "eyJhOjEiOnt9fQ==", "messageId": "r_2A", "publishTime": "2999-01-01T00:00:00Z"}}'), (11, format('{"message": {"data": "eyJhOjEiOnt9fQ==", "messageId": "r_2B", "publishTime": "%sZ"}}', to_char(now() + interval '20 hours', 'YYYY-MM-DD"T"HH24:MI:SS')))) AS v (n, source),
    ctms.ingest_pubsub(pg_temp.bytes(source)) AS r ORDER BY n;
SELECT message_id, is_message, code, reason, content FROM pg_temp.kept WHERE message_id LIKE 'r\_2%';
-- What takes more memory than is allowed: a body, or only its payload.
BEGIN;
SET LOCAL ctms.json_schema_memory = '4MB';
SELECT ctms.ingest_pubsub(format('{"message": {"messageId": "r_28", "data": "e30="}, "x": [%s 1]}', repeat('[],', 400000))) -> 'kept' AS kept;
SELECT ctms.ingest_pubsub(pg_temp.message(convert_to(format('{"object": "x", "x": [%s 1]}', repeat('{},', 200000)), 'UTF8'), 'r_29')) -> 'kept' AS kept;
SELECT message_id, is_message, reason FROM ctms.stripe_refused WHERE length(content) > 100000 ORDER BY is_message;
ROLLBACK;
-- Those without an id are kept too, once.
SELECT ctms.ingest_pubsub('noise r_'::text) -> 'kept' AS kept FROM generate_series(1, 2);
SELECT object, code, reason, attempts, is_message, convert_from(content, 'UTF8') AS content FROM ctms.stripe_refused WHERE content IN ('noise r_', '{}') AND message_id = '' ORDER BY content;
-- An id that is none, and names that are none, are not kept: they may be an address.
SELECT r -> 'kept' AS kept, r ->> 'message_id' AS message_id FROM ctms.ingest_pubsub(pg_temp.message('{"r@example.com:1": {"object": "customer", "id": "r@example.com"}}', 'r@example.com')) AS r;
SELECT message_id, object, reason, customer_id FROM ctms.stripe_refused WHERE content = '{"object": "customer", "id": "r@example.com"}';

-- What refers to an object that is not stored is not kept, because it comes again; the others of the message are, once.
SELECT ctms.ingest_pubsub(pg_temp.message(pg_temp.bytes('{"a:1": {"object": "subscription_item", "id": "si_r2", "created": 1, "subscription": "sub_r404", "price": "price_r404"}, "b:1": {"object": "price", "id": "price_r\u0000"}, "c:1": {"object": "customer", "id": "cus_r9", "description": "stripe_r_9", "created": 1}}'), 'r_31')) ->> what AS what FROM unnest(ARRAY['status', 'kept', 'ingest_actions']) WITH ORDINALITY AS w (what, n) ORDER BY n;
SELECT object, attempts, content FROM pg_temp.kept WHERE message_id = 'r_31';
-- A traced customer in a message that cannot be read as a whole.
SELECT r ->> 'status' AS status, r ->> 'trace' AS trace, r ->> 'trace_json' AS trace_json FROM (VALUES (1, '{"a:1": {"object": "charge", "id": "ch_r1", "email": "r+trace_me_mozilla_1@example.com", "x": "\ud800"}}'), (2, '{"a:1": {"object": "charge", "id": "ch_r1", "email": "r+trace_me_mozilla_1@example.com"}, "b:'),
    (3, '{"object": "charge", "id": "ch_r1", "email": "r+trace_me_mozilla_\u0000"}')) AS v (n, source), ctms.ingest_pubsub(pg_temp.message(pg_temp.bytes(source), 'r_32')) AS r ORDER BY n;

-- ---- trying again, and forgetting -------------------------------------------------------------

-- Without the time of the message, an event that is tried again keeps its own, so newer content stays.
-- Its age goes on, in the row of a part too, and trying does not remove what is due.
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_r50", "description": "stripe_r_50", "created": 1}', '2024-01-01Z');
INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content, create_timestamp) SELECT 'r_50', 'CTS02', 'once', sha256(content), content, '2024-01-03Z' FROM (VALUES (pg_temp.bytes('{"object": "event", "id": "evt_r50", "created": 1600000000, "data": {"object": {"object": "customer", "id": "cus_r50", "description": "stripe_r_older", "created": 1}}}')),
    (pg_temp.bytes('{"object": "customer", "id": "cus_r51"}')), (pg_temp.bytes('{"a:1": {"object": "customer", "id": "cus_r52"}}'))) AS v (content);
SELECT o ->> 'report' AS report, o -> 'errors' -> 0 ->> 'object' AS object FROM (SELECT id FROM ctms.stripe_refused WHERE message_id = 'r_50' ORDER BY id) AS r, ctms.retry_stripe_refused(r.id) AS o;
SELECT stripe_id, fxa_id, message_timestamp FROM ctms.stripe_customer WHERE stripe_id = 'cus_r50';
SELECT object, message_timestamp, create_timestamp, attempts FROM ctms.stripe_refused WHERE message_id = 'r_50' ORDER BY object;
DELETE FROM ctms.stripe_refused WHERE message_id = 'r_50';

-- What is stored leaves, with the time of its message; the rest stays, and tells why.
INSERT INTO ctms.stripe_refused (message_id, message_timestamp, code, reason, digest, content, is_message) SELECT 'r_' || n, message_timestamp, 'CTS02', 'once', sha256(content), content, is_message FROM (VALUES
    (41, '2024-01-02Z'::timestamptz, pg_temp.bytes('{"object": "customer", "id": "cus_r41", "description": "stripe_r_41", "created": 1, "x": "\ud800"}'), false), (42, NULL, '{"object": "customer", "id": "cus_r42", "description": "stripe_r_42", "created": 1}', false),
    (43, NULL, '{"object": "customer", "id": "cus_r43"}', false), (44, NULL, '{"object": "subscription_item", "id": "si_r44", "created": 1, "subscription": "sub_r404", "price": "price_r404"}', false),
    (45, NULL, '{"a:1": {"object": "customer", "id": "cus_r45", "description": "stripe_r_45", "created": 1}, "b:1": {"object": "customer", "id": "cus_r46"}}', false),
    (46, NULL, convert_to(pg_temp.message('{"object": "customer", "id": "cus_r47", "description": "stripe_r_47", "created": 1}', 'r_47', 9), 'UTF8'), true), (48, NULL, 'x', true), (49, NULL, 'x', false)) AS v (n, message_timestamp, content, is_message);
SELECT message_id, o -> 'is_stored' AS is_stored, o ->> 'report' AS report, o -> 'errors' -> 0 ->> 'message' AS message FROM ctms.stripe_refused AS r, ctms.retry_stripe_refused(r.id) AS o WHERE message_id LIKE 'r\_4%' ORDER BY message_id;
SELECT message_id, object, code, reason, attempts, is_message, content FROM pg_temp.kept WHERE message_id LIKE 'r\_4%';
SELECT stripe_id, message_timestamp AT TIME ZONE 'UTC' BETWEEN '2024-01-01' AND '2024-01-03' AS has_time_of_message FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_r4_' ORDER BY 1;
SELECT ctms.retry_stripe_refused(-1), ctms.retry_stripe_refused(NULL);
-- It does not replace what is newer.
INSERT INTO ctms.stripe_refused (message_id, message_timestamp, code, reason, digest, content) SELECT 'r_51', '2023-01-01Z', 'CTS02', 'once', sha256(content), content FROM (VALUES ('{"object": "customer", "id": "cus_r41", "description": "stripe_r_41", "created": 2}'::bytea)) AS v (content);
SELECT o ->> 'report' AS report FROM ctms.stripe_refused AS r, ctms.retry_stripe_refused(r.id) AS o WHERE message_id = 'r_51';

-- Old ones leave, a hundred at a time, when others come or when somebody asks for it.
INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content, create_timestamp)
SELECT 'r_60_' || n, 'CTS02', 'old', sha256('x'), 'x', now() - interval '30 days 1 second' FROM generate_series(1, 205) AS n;
INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content, create_timestamp) VALUES ('r_60_new', 'CTS02', 'old', sha256('x'), 'x', now() - interval '29 days 23 hours');
SELECT ctms.ingest_pubsub(pg_temp.message('x', 'r_61')) -> 'kept' AS kept;
SELECT ctms.forget_stripe_refused() AS forgotten FROM generate_series(1, 3);
SELECT message_id FROM pg_temp.kept WHERE message_id LIKE 'r\_6%';
-- The setting says how old.
SELECT ctms.set_setting('stripe_refused_age', '29d');
SELECT ctms.forget_stripe_refused() AS forgotten;
SELECT ctms.set_setting('stripe_refused_age', NULL);
SELECT ctms.count_stripe_refused() > 10 AS has_some;

-- When too much is kept, a message stays with Pub/Sub; good objects of it are stored, and what is kept already is known.
BEGIN;
INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content) SELECT 'r_70_' || n, 'CTS02', 'many', sha256('x'), 'x' FROM generate_series(1, 10000) AS n;
SELECT r -> 'status' AS status, r -> 'kept' AS kept, r ->> 'ingest_actions' AS actions, r ->> 'response' AS response FROM ctms.ingest_pubsub(pg_temp.message('{"a:1": {"object": "customer", "id": "cus_r71"}, "b:1": {"object": "customer", "id": "cus_r72", "description": "stripe_r_72", "created": 1}}', 'r_71')) AS r;
SELECT r -> 'status' AS status, r -> 'kept' AS kept FROM ctms.ingest_pubsub(pg_temp.message('x', 'r_70_1')) AS r;
-- What has been kept for long enough leaves before, also if it comes again.
UPDATE ctms.stripe_refused SET create_timestamp = now() - interval '31 days' WHERE message_id = 'r_70_1' OR message_id LIKE 'r\_70\_1__';
SELECT r -> 'status' AS status, r -> 'kept' AS kept FROM ctms.ingest_pubsub(pg_temp.message('x', 'r_70_1')) AS r;
SELECT message_id, attempts FROM ctms.stripe_refused WHERE message_id = 'r_70_1';
SELECT r -> 'status' AS status FROM ctms.ingest_pubsub(pg_temp.message('{"object": "customer", "id": "cus_r72", "description": "stripe_r_72", "created": 1}', 'r_72')) AS r;
ROLLBACK;
BEGIN;
INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content) SELECT 'r_70_' || n, 'CTS02', 'much', '', convert_to(repeat('x', 1 << 26), 'UTF8') FROM generate_series(1, 4) AS n;
SELECT ctms.ingest_pubsub(pg_temp.message('x', 'r_71')) -> 'status' AS status;
ROLLBACK;

-- ---- a deleted contact, and who may -------------------------------------------------------------

INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-0000000000e1', 'stripe_r1@example.com'), ('00000000-0000-4000-8000-0000000000e2', 'stripe_r2@example.com');
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES ('00000000-0000-4000-8000-0000000000e1', 'stripe_r_1'), ('00000000-0000-4000-8000-0000000000e2', 'stripe_r_80');
SELECT ctms.ingest_pubsub(pg_temp.message(convert_to(format('{"object": "x%s", "id": "x_r", %s}', n, owner), 'UTF8'), 'r_8' || n)) -> 'status' AS status FROM (VALUES (0, '"object": "customer", "id": "cus_r1", "created": "x"'),
    (1, '"object": "invoice", "customer": "cus_r1"'), (2, '"object": "invoice", "customer": {"id": "cus_r1"}'), (3, '"object": "customer", "id": "cus_r80", "description": "stripe_r_80"'),
    (4, '"object": "invoice", "customer": {"id": "cus_r81", "description": "stripe_r_80"}'), (5, '"object": "invoice", "customer": "cus_other"'), (6, '"object": "invoice", "customer": null'), (7, format('"object": "invoice", "customer": "%s"', repeat('x', 4000))),
    (8, '"object": "customer", "id": 5, "description": "stripe_r_80"')) AS v (n, owner) ORDER BY n;
SELECT message_id, customer_id, fxa_id FROM pg_temp.kept WHERE message_id LIKE 'r\_8%';
SELECT ctms.delete_contact('stripe_r1@example.com') IS NOT NULL AS is_deleted;
SELECT message_id FROM pg_temp.kept WHERE message_id LIKE 'r\_8%';
SELECT ctms.delete_contact('stripe_r2@example.com') IS NOT NULL AS is_deleted;
SELECT message_id FROM pg_temp.kept WHERE message_id LIKE 'r\_8%';

SET ROLE ctms_reader;
SELECT count(*) FROM ctms.stripe_refused;
SELECT ctms.count_stripe_refused() > 0 AS may_count;
SELECT ctms.retry_stripe_refused(1);
SET ROLE ctms_api;
SELECT count(*) FROM ctms.stripe_refused;
SELECT ctms.retry_stripe_refused(1);
SET ROLE ctms_agent;
SELECT count(*) FROM ctms.stripe_refused;
SELECT ctms.forget_stripe_refused();
SET ROLE ctms_admin;
SELECT count(*) > 0 AS may_read FROM ctms.stripe_refused;
SELECT o -> 'is_stored' AS is_stored FROM ctms.stripe_refused AS r, ctms.retry_stripe_refused(r.id) AS o WHERE message_id = 'r_85';
RESET ROLE;

DELETE FROM ctms.stripe_refused WHERE message_id LIKE 'r\_%' OR content IN ('noise r_', '{}', '', '\x00', '{"object": "customer", "id": "r@example.com"}');
DELETE FROM ctms.stripe_customer WHERE fxa_id LIKE 'stripe\_r\_%';
