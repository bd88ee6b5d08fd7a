-- The views for people who count, and the answers on waitlists.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT ('00000000-0000-4000-8000-a' || lpad(n::text, 11, '0'))::uuid
$$;
INSERT INTO ctms.emails (email_id, primary_email)
SELECT pg_temp.contact(n), 'reporting' || n || '@example.com' FROM generate_series(1, 400) AS n;

-- Every segment, in all ways in which one subscription can be the latest. Some contacts have no FxA
-- ID, some no customer, some customers no subscription, and some items are deleted.
INSERT INTO ctms.fxa (email_id, fxa_id)
SELECT pg_temp.contact(n), CASE WHEN n % 31 <> 0 THEN 'reporting_fxa_' || n END FROM generate_series(1, 390) AS n;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, deleted)
SELECT 'cus_reporting_' || n, 'reporting_fxa_' || n, '2021-01-01', n % 13 = 0 FROM generate_series(1, 380) AS n WHERE n % 31 <> 0;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency, recurring_interval, recurring_interval_count, unit_amount)
SELECT 'price_reporting_' || n, 'prod_reporting_' || (ARRAY['a', 'B', 'c', 'é'])[1 + n % 4], '2021-01-01', true, 'usd',
       CASE WHEN n <> 2 THEN 'month' END, CASE WHEN n <> 2 THEN n END, CASE WHEN n <> 3 THEN 100 * n END
FROM generate_series(1, 8) AS n;
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, canceled_at,
    current_period_end, current_period_start, ended_at, start_date, status)
SELECT (ARRAY['sub_reporting_', 'Sub_reporting_'])[1 + k % 2] || n || '_' || k, 'cus_reporting_' || n, '2021-05-01', n % 2 = 0,
       CASE WHEN (n + k) % 3 = 0 THEN timestamptz '2021-06-01' + k * interval '1 day' END,
       timestamptz '2021-07-01' + n * k % 3 * interval '1 day', '2021-06-01',
       CASE WHEN (n + k) % 4 = 0 THEN timestamptz '2021-06-20' END, timestamptz '2021-02-01' + n * k % 2 * interval '1 day',
       (ARRAY['active', 'canceled', 'active', 'past_due', 'trialing', 'active', 'canceled'])[1 + (n + 2 * k) % 7]
FROM generate_series(1, 370) AS n, generate_series(1, 4) AS k WHERE n % 31 <> 0 AND (n % 5 > 1 OR k = 1);
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created, deleted)
SELECT (ARRAY['si_', 'SI_'])[1 + i % 2] || s.stripe_id || i, s.stripe_id,
       'price_reporting_' || 1 + (hashtext(s.stripe_id)::bigint + 2147483648 + i) % 8, '2021-05-01', hashtext(s.stripe_id || i) % 9 = 0
FROM ctms.stripe_subscription AS s, generate_series(1, 2) AS i
WHERE s.stripe_id ILIKE 'sub\_reporting\_%' AND (i = 1 OR hashtext(s.stripe_id) % 3 = 0);

CREATE TEMP VIEW seen AS
    SELECT * FROM ctms.contact_products WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(400);
SELECT segment, count(*) > 10 AS some, max(sub_count) > 1 AS several FROM seen GROUP BY segment ORDER BY segment;
-- The same rows, with the same columns in the same order, as of the functions.
CREATE TEMP TABLE expected AS
    SELECT p.* FROM ctms._product_subscriptions(ARRAY(SELECT pg_temp.contact(n) FROM generate_series(1, 400) AS n)) AS p;
SELECT count(*) > 500 AS many FROM expected;
SELECT count(*) FROM (SELECT v::text FROM seen AS v EXCEPT ALL SELECT e::text FROM expected AS e) AS more;
SELECT count(*) FROM (SELECT e::text FROM expected AS e EXCEPT ALL SELECT v::text FROM seen AS v) AS fewer;
SELECT count(*) FROM (SELECT json_object_keys(to_json(v)) FROM (SELECT * FROM seen LIMIT 1) AS v
    EXCEPT ALL SELECT json_object_keys(to_json(e)) FROM (SELECT * FROM expected LIMIT 1) AS e) AS columns;
SELECT count(*) FROM generate_series(1, 400) AS n
WHERE (SELECT COALESCE(json_agg(v ORDER BY v.product_id), '[]')::text FROM (SELECT payment_service, product_id, product_name, segment,
           changed, sub_count, price_id, payment_type, card_brand, card_last4, billing_country, currency, amount, interval_count,
           "interval", status, created, start, current_period_start, current_period_end, canceled_at, cancel_at_period_end, ended_at
           FROM ctms.contact_products WHERE email_id = pg_temp.contact(n)) AS v)
   <> (SELECT COALESCE(json_agg(f), '[]')::text FROM ctms.product_subscriptions(pg_temp.contact(n)) AS f);

-- A condition on the contact is one on the table where the view begins, so an index can serve it.
CREATE FUNCTION pg_temp.fxa_conditions(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN QUERY SELECT concat_ws(' ', v ->> 'Index Cond', v ->> 'Recheck Cond', v ->> 'Filter')
        FROM jsonb_path_query(plan, 'strict $.** ? (@."Relation Name" == "fxa")') AS v;
END $$;
SELECT count(*) FROM pg_temp.fxa_conditions($$SELECT * FROM ctms.contact_products
    WHERE email_id = '00000000-0000-4000-8000-a00000000001'$$) AS c
WHERE c LIKE '%(email_id = %00000000-0000-4000-8000-a00000000001%';
-- The planner does not take what is sorted for much wider than it is.
CREATE FUNCTION pg_temp.widest_sort(query text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN (SELECT max(v::integer) FROM jsonb_path_query(plan,
        'strict $.** ? (@."Node Type" == "Sort" || @."Node Type" == "Incremental Sort")."Plan Width"') AS v);
END $$;
SELECT pg_temp.widest_sort('SELECT * FROM ctms.segment_counts') < 400 AS narrow;

SELECT product_id, segment, contacts FROM ctms.segment_counts WHERE product_id LIKE 'prod\_reporting\_%'
EXCEPT SELECT product_id COLLATE "C", segment, count(*) FROM expected GROUP BY product_id, segment;
SELECT count(*) AS rows, sum(contacts) = (SELECT count(*) FROM expected) AS everybody
FROM ctms.segment_counts WHERE product_id LIKE 'prod\_reporting\_%';

-- Newsletters and waitlists.
INSERT INTO ctms.newsletters (email_id, name, subscribed, format, create_timestamp)
SELECT pg_temp.contact(n), 'reporting-' || n % 2, CASE n % 5 WHEN 0 THEN NULL ELSE n % 5 <> 1 END,
       CASE n % 3 WHEN 0 THEN 'T' ELSE 'H' END, timestamptz '2021-01-01' + n * interval '1 day'
FROM generate_series(1, 20) AS n;
SELECT * FROM ctms.newsletter_counts WHERE name LIKE 'reporting-%' ORDER BY name;
-- Null counts as REST shows it.
SELECT l ->> 'name' AS name, count(*) FILTER (WHERE l -> 'subscribed' = 'true') AS subscribed,
       count(*) FILTER (WHERE l -> 'subscribed' = 'false') AS unsubscribed
FROM generate_series(1, 20) AS n, jsonb_array_elements(ctms.get_contact(pg_temp.contact(n))::jsonb -> 'newsletters') AS l
GROUP BY 1 ORDER BY 1;

SELECT ctms.set_waitlist_schema('reporting-typed', '{"type": "object", "properties": {
    "": true, "Age \"now\"": {"type": ["integer", "null"]}, "source": {"type": "string"}, "it''s": {"type": "boolean"},
    "many": {"enum": [1, 2.5, null]}, "mixed": {"type": ["string", "number"]}, "only": {"const": false},
    "tags": {"type": "array"}, "b\\s": {"type": "object"}, "any": {}, "field_source": {"enum": ["a", "b"]}}}'::jsonb) ->> 'action';
SELECT ctms.set_waitlist_schema('reporting-nobody', 'true') ->> 'action';
INSERT INTO ctms.waitlists (email_id, name, subscribed, source, fields, create_timestamp, update_timestamp) VALUES
    (pg_temp.contact(1), 'reporting-typed', true, 'a form', '{"": "empty", "Age \"now\"": 41, "source": "friend", "it''s": true,
        "many": 2.5, "mixed": 7, "only": false, "tags": [1, "x"], "b\\s": {"c": null}, "any": [2], "field_source": "a", "extra": 1}', '2021-01-01', '2021-02-01'),
    (pg_temp.contact(2), 'reporting-typed', false, NULL, '{"Age \"now\"": null, "mixed": "seven"}', '2021-01-02', '2021-02-01'),
    (pg_temp.contact(3), 'reporting-typed', true, NULL, '{}', '2021-01-03', '2021-02-01'),
    (pg_temp.contact(1), 'reporting-free', true, NULL, '{"geo": "fr", "other": {"a": 1}}', '2021-01-04', '2021-02-01'),
    (pg_temp.contact(2), 'reporting-free', false, NULL, '{"geo": "de"}', '2021-01-05', '2021-02-01');
SELECT * FROM ctms.waitlist_counts WHERE name LIKE 'reporting-%' ORDER BY name;
SELECT count(*) FROM ctms.waitlist_counts WHERE name = 'default';

SELECT right(email_id::text, 1) AS contact, subscribed, create_timestamp, field, type, value
FROM ctms.waitlist_answers('reporting-typed') ORDER BY email_id, field COLLATE "C";
SELECT value, count(*) FROM ctms.waitlist_answers('reporting-free') WHERE field = 'geo' AND subscribed GROUP BY value ORDER BY value;
SELECT count(*) FROM ctms.waitlist_answers('reporting-nobody');
SELECT * FROM ctms.waitlist_answers('reporting-unknown');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM ctms.waitlist_answers(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT ctms.waitlist_answers_query('reporting-unknown');
SELECT ctms.waitlist_answers_query(NULL);

-- The query of a waitlist, as text and as it runs.
\pset format unaligned
SELECT ctms.waitlist_answers_query('reporting-typed');
SELECT ctms.waitlist_answers_query('reporting-nobody');
SELECT ctms.waitlist_answers_query('reporting-free');
\pset format aligned
\x on
SELECT ctms.waitlist_answers_query('reporting-typed') AS query \gset
:query ORDER BY create_timestamp;
\x off
-- Rows that are older than the schema are of other types, or no objects.
SET ctms.restore_mode = on;
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES
    (pg_temp.contact(4), 'reporting-typed', '{"Age \"now\"": "old", "it''s": 1, "tags": "none", "b\\s": null}'), (pg_temp.contact(5), 'reporting-typed', '[1]');
RESET ctms.restore_mode;
SELECT right(email_id::text, 1) AS contact, "Age ""now""", "it's", tags, "b\s", other_fields FROM (:query) AS a
WHERE email_id >= pg_temp.contact(4) ORDER BY email_id;
-- Columns that every table has.
SELECT ctms.set_waitlist_schema('reporting-system', '{"properties": {"ctid": true, "tableoid": true, "xmin": true}}') ->> 'action';
SELECT ctms.waitlist_answers_query('reporting-system') AS query \gset
CREATE TEMP TABLE copy AS :query;
SELECT attname FROM pg_attribute WHERE attrelid = 'copy'::regclass AND attnum > 0 ORDER BY attnum;
DROP TABLE copy;
-- Names that are too long for a column, or would be the same.
SELECT ctms.set_waitlist_schema('reporting-long', jsonb_build_object('properties', jsonb_build_object(
    repeat('é', 40), true, repeat('é', 41), true, repeat('é', 31), true, 'email_id', true, 'x', '{"type": "number"}'::jsonb))) ->> 'action';
SELECT ctms.waitlist_answers_query('reporting-long') AS query \gset
CREATE TEMP VIEW long AS :query;
SELECT attname, octet_length(attname::text) FROM pg_attribute WHERE attrelid = 'long'::regclass AND attnum > 0 ORDER BY attnum;
DROP VIEW long;
SELECT ctms.set_waitlist_schema('reporting-long', jsonb_build_object('properties',
    (SELECT jsonb_object_agg('p' || n, true) FROM generate_series(1, 1700) AS n))) ->> 'action';
SELECT ctms.waitlist_answers_query('reporting-long') AS query \gset
CREATE TEMP VIEW long AS :query;
SELECT count(*) FROM pg_attribute WHERE attrelid = 'long'::regclass AND attname ~ '^p\d';
-- A name is a name, whatever it looks like.
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES (pg_temp.contact(6), $$reporting'; DROP TABLE x; --$$, '{"geo": "it"}');
SELECT ctms.waitlist_answers_query($$reporting'; DROP TABLE x; --$$) AS query \gset
SELECT geo FROM (:query) AS a;
SELECT value FROM ctms.waitlist_answers($$reporting'; DROP TABLE x; --$$);

-- What leads to no contact.
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, create_timestamp)
VALUES ('cus_reporting_lone', 'reporting_fxa_lone', '2021-01-01', '2021-03-01');
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end,
    current_period_start, start_date, status, create_timestamp)
VALUES ('sub_reporting_lone', 'cus_reporting_unknown', '2021-01-01', false, '2021-07-01', '2021-06-01', '2021-01-01', 'active', '2021-03-02');
INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, stripe_created, currency, total, create_timestamp) VALUES
    ('in_reporting_1', 'cus_reporting_unknown', '2021-01-01', 'usd', 5, '2021-03-03'), ('in_reporting_2', NULL, '2021-01-01', 'usd', 5, '2021-03-04'),
    ('in_reporting_3', 'cus_reporting_1', '2021-01-01', 'usd', 5, '2021-03-05');
SET session_replication_role = replica;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created, create_timestamp)
VALUES ('si_reporting_lone', 'sub_reporting_unknown', 'price_reporting_unknown', '2021-01-01', '2021-03-06');
RESET session_replication_role;
SELECT * FROM ctms.stripe_unconnected WHERE stripe_id LIKE '%\_reporting\_%' ORDER BY create_timestamp, reason;

-- Who may read: each view shows what the role's own rights show.
SET ROLE ctms_reader;
SELECT count(*) > 0 AS some FROM ctms.contact_products WHERE email_id = pg_temp.contact(2);
SELECT count(*) FROM ctms.waitlist_answers('reporting-free');
SELECT length(ctms.waitlist_answers_query('reporting-free')) > 0 AS some;
SET ROLE ctms_admin;
INSERT INTO ctms.waitlist_counts (name) VALUES ('x');
SET ROLE ctms_api;
SELECT count(*) FROM ctms.segment_counts;
SELECT ctms.waitlist_answers_query('reporting-free');
RESET ROLE;
CREATE ROLE reporting_stranger;
GRANT USAGE ON SCHEMA ctms TO reporting_stranger;
GRANT SELECT ON ctms.newsletter_counts TO reporting_stranger;
SET ROLE reporting_stranger;
SELECT count(*) FROM ctms.newsletter_counts;
RESET ROLE;
DROP OWNED BY reporting_stranger;
DROP ROLE reporting_stranger;

SET client_min_messages = warning;
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE '%\_reporting\_%' OR stripe_id ILIKE 'si\_sub\_reporting%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id ILIKE 'sub\_reporting\_%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_reporting\_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_reporting\_%';
DELETE FROM ctms.stripe_invoice WHERE stripe_id LIKE 'in\_reporting\_%';
DELETE FROM ctms.waitlist_fields_schemas WHERE name LIKE 'reporting%';
DELETE FROM ctms.waitlists WHERE name LIKE 'reporting%';
DELETE FROM ctms.newsletters WHERE name LIKE 'reporting-%';
DELETE FROM ctms.fxa WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(400);
DELETE FROM ctms.emails WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(400);
