-- What is sent to Acoustic, as files.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-00000017%s', to_char(n, 'FM0000'))::uuid $$;
\pset format unaligned
SET timezone = 'America/Los_Angeles';
SET datestyle = 'German, DMY';

-- ---- columns --------------------------------------------------------------------------
SELECT kind, array_to_string(columns, ' ') AS columns FROM ctms.acoustic_csv_columns();
BEGIN;
DELETE FROM ctms.acoustic_field;
DELETE FROM ctms.acoustic_newsletter_mapping;
SELECT kind, columns FROM ctms.acoustic_csv_columns() WHERE kind ~ 'main|waitlist';
INSERT INTO ctms.acoustic_field VALUES ('main', 'email'), ('main', 'fxa_lang'), ('main', 'amo_user'), ('main', 'sumo_user'), ('main', 'with, comma_waitlist_"x"'),
    ('main', 'email_id'), ('main', '_has_amo'), ('waitlist', 'with "quote"'), ('waitlist', 'source');
INSERT INTO ctms.acoustic_newsletter_mapping VALUES ('b', 'Sub_B'), ('a', 'Sub_A'), ('c', 'Sub_B'), ('d', 'EMAIL');
SELECT kind, columns FROM ctms.acoustic_csv_columns() WHERE kind ~ 'main|waitlist';
ROLLBACK;

-- ---- records --------------------------------------------------------------------------
INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name, double_opt_in, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(1), 'csv1@example.com', 'Zoë, "quoted"', ' blank first', NULL, '2020-01-02 23:59:58.9Z', '2021-01-02 23:59:58.9Z'),
       (pg_temp.contact(2), 'csv2@example.com', 'two' || chr(10) || 'lines', 'blank last' || chr(9), true, '2019-12-31 23:30:00-08', '2020-02-29 12:00:00Z'),
       (pg_temp.contact(3), 'csv3@example.com', 'in  between' || chr(13), '', false, 'infinity', '2020-02-29 12:00:00Z'),
       (pg_temp.contact(4), 'csv4@example.com', '"', '日本語 😀', false, '0044-03-15 12:00:00Z BC', '2020-02-29 12:00:00Z');
INSERT INTO ctms.amo (email_id, add_on_ids, email_opt_in, last_login, "user") VALUES
    (pg_temp.contact(2), 'add-on-1,add-on-2', true, '2021-03-04', false), (pg_temp.contact(4), NULL, NULL, 'infinity', NULL);
INSERT INTO ctms.fxa (email_id, fxa_id, created_date, account_deleted) VALUES
    (pg_temp.contact(3), 'csv_fxa3', 'soon', false), (pg_temp.contact(4), 'csv_fxa4', '2021-05-04T13:14:15.678+02:00', true);
INSERT INTO ctms.newsletters (email_id, name, subscribed, source, unsub_reason, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(1), 'mozilla-and-you', true, 'https://example.com/', NULL, '2020-05-06 07:08:09Z', '2020-05-07 07:08:09Z'),
       (pg_temp.contact(1), 'firefox-news', false, NULL, 'too "many"', '2020-05-06 07:08:09Z', '2020-05-07 07:08:09Z'),
       (pg_temp.contact(1), 'Zeta', NULL, NULL, 'first, second', '2020-05-06 07:08:09Z', 'infinity'),
       (pg_temp.contact(3), 'hubs', true, NULL, 'line' || chr(13) || chr(10), '2020-05-06 07:08:09Z', '2020-05-07 07:08:09Z');
INSERT INTO ctms.waitlists (email_id, name, subscribed, fields, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(1), 'vpn', true, '{"geo": "fr", "platform": "ios,mac"}', '2020-06-06 07:08:09Z', '2020-06-07 07:08:09Z'),
       (pg_temp.contact(1), 'relay', false, '{"geo": null}', '2020-06-06 07:08:09Z', '2020-06-07 07:08:09Z'),
       (pg_temp.contact(4), 'other', true, '{"platform": "a, b"}', '2020-06-06 07:08:09Z', '2020-06-07 07:08:09Z');
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) VALUES ('csv_cus', 'csv_fxa4', '2021-01-01Z');
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency, recurring_interval, recurring_interval_count, unit_amount)
VALUES ('csv_price1', 'csv_prod1', '2021-01-01Z', true, 'usd', 'month', 1, 999), ('csv_price2', 'csv_prod2', '2021-01-01Z', true, 'jpy', NULL, NULL, NULL);
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, canceled_at, current_period_end, current_period_start, ended_at, start_date, status)
VALUES ('csv_sub1', 'csv_cus', '2021-02-01Z', false, NULL, '2021-04-01Z', '2021-03-01Z', NULL, '2021-02-01Z', 'active'),
       ('csv_sub2', 'csv_cus', '2021-02-02Z', true, '2021-02-20 01:02:03Z', '2021-04-01Z', '2021-03-01Z', '2021-02-21 01:02:03Z', '2021-02-02Z', 'canceled');
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
VALUES ('csv_si1', 'csv_sub1', 'csv_price1', '2021-02-01Z'), ('csv_si2', 'csv_sub2', 'csv_price2', '2021-02-01Z');
-- Each once, in order, those that exist.
SELECT kind, row_count, replace(replace(csv, chr(13), '<CR>'), chr(9), '<TAB>') AS csv FROM ctms.acoustic_csv(
    ARRAY[pg_temp.contact(4), pg_temp.contact(3), pg_temp.contact(2), pg_temp.contact(9), pg_temp.contact(1), pg_temp.contact(4)]);
SELECT kind, row_count FROM ctms.acoustic_csv(ARRAY[pg_temp.contact(3)]);
SELECT * FROM ctms.acoustic_csv(ARRAY[pg_temp.contact(9)]);
SELECT * FROM ctms.acoustic_csv('{}');
SELECT * FROM ctms.acoustic_csv(NULL);
\set VERBOSITY sqlstate
SELECT * FROM ctms.acoustic_csv(ARRAY[pg_temp.contact(1), NULL]);
\set VERBOSITY default

-- ---- the same as acoustic_rows() -------------------------------------------------------
-- A strict reader: what is not of this form shows as characters that were skipped.
CREATE FUNCTION pg_temp.read_csv(csv text) RETURNS TABLE (record bigint, place bigint, value text) LANGUAGE sql AS $$
    WITH parts AS (SELECT m[1] AS field, m[2] AS ending, n FROM
            regexp_matches(csv, '("(?:[^"]|"")*"|[^",\r\n]*)([,\n])', 'g') WITH ORDINALITY AS r (m, n)),
        numbered AS (SELECT field, n, 1 + coalesce(sum((ending = chr(10))::int) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS record FROM parts)
    SELECT record, row_number() OVER (PARTITION BY record ORDER BY n),
        CASE WHEN field LIKE '"%' THEN replace(substr(field, 2, length(field) - 2), '""', '"')
             WHEN field ~ '^[ \t]|[ \t]$' THEN 'a blank that is not quoted' ELSE field END FROM numbered
    UNION ALL SELECT 0, length(csv) - sum(length(field) + 1), 'characters were skipped' FROM parts HAVING length(csv) <> sum(length(field) + 1);
$$;
-- The objects that the records stand for, as acoustic_rows() writes them.
CREATE FUNCTION pg_temp.rows_of_csv(email_ids uuid[]) RETURNS TABLE (kind text, n bigint, fields text) LANGUAGE sql AS $$
    SELECT c.kind, r.record, '{' || string_agg(to_json(n.name) || ':' || to_json(r.value), ',' ORDER BY r.place) || '}'
    FROM ctms.acoustic_csv(email_ids) AS c, pg_temp.read_csv(c.csv) AS r,
        ctms.acoustic_csv_columns() AS k, unnest(k.columns) WITH ORDINALITY AS n (name, place)
    WHERE k.kind = c.kind AND n.place = r.place GROUP BY c.kind, r.record
    HAVING count(*) = (SELECT array_length(columns, 1) FROM ctms.acoustic_csv_columns() AS k WHERE k.kind = c.kind);
$$;
CREATE FUNCTION pg_temp.rows_as_files(email_ids uuid[]) RETURNS TABLE (kind text, n bigint, fields text) LANGUAGE sql AS $$
    SELECT file, row_number() OVER (PARTITION BY file ORDER BY n), fields FROM (
        SELECT CASE WHEN kind <> 'main' THEN kind ELSE concat_ws('_', 'main',
                CASE WHEN EXISTS (SELECT FROM ctms.amo AS a WHERE a.email_id = r.email_id) THEN 'amo' END,
                CASE WHEN EXISTS (SELECT FROM ctms.fxa AS f WHERE f.email_id = r.email_id) THEN 'fxa' END) END AS file, n, fields
        FROM ctms.acoustic_rows(email_ids) WITH ORDINALITY AS r (email_id, kind, fields0, n), LATERAL (SELECT fields0::text AS fields) AS t) AS x;
$$;
-- Contacts with each odd text in each place, and every mixture of rows.
CREATE FUNCTION pg_temp.odd(n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT (ARRAY[
    NULL, '', 'plain', '"', '""', ',', chr(10), chr(13), chr(13) || chr(10), ' ', chr(9), ' before', 'after ', chr(9) || 'tab', 'in  between',
    'a,b', 'say "x"', 'back\slash', 'Zoë 😀', chr(1) || chr(127), chr(160) || 'nbsp', '''', ';', repeat('long, "text" ', 200)])[1 + n % 24] $$;
BEGIN;
INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name, unsubscribe_reason, double_opt_in, create_timestamp)
    SELECT pg_temp.contact(n), format('csv%s@example.com', n), left(pg_temp.odd(n), 255), left(pg_temp.odd(n / 24), 255), pg_temp.odd(n * 7), (ARRAY[true, false, NULL])[1 + n % 3],
        CASE n % 5 WHEN 0 THEN '-infinity' WHEN 1 THEN '10000-01-01' WHEN 2 THEN '0001-01-01 BC' ELSE '2020-01-01Z'::timestamptz + n * interval '123456 s' END
    FROM generate_series(1001, 1200) AS n;
INSERT INTO ctms.amo (email_id, display_name, last_login) SELECT pg_temp.contact(n), left(pg_temp.odd(n), 255), CASE n % 9 WHEN 1 THEN '-infinity' WHEN 2 THEN '10000-01-01' ELSE date '2020-01-01' + n END
    FROM generate_series(1001, 1200) AS n WHERE n % 4 IN (1, 3);
INSERT INTO ctms.fxa (email_id, fxa_id, created_date) SELECT pg_temp.contact(n), 'csv_many' || n, left(pg_temp.odd(n / 4), 50) FROM generate_series(1001, 1200) AS n WHERE n % 4 > 1;
INSERT INTO ctms.newsletters (email_id, name, subscribed, source, unsub_reason)
    SELECT pg_temp.contact(n), coalesce(nullif(left(pg_temp.odd(n + k), 250), ''), 'hubs') || k, (ARRAY[true, false, NULL])[1 + (n + k) % 3], pg_temp.odd(n * k), pg_temp.odd(n / k)
    FROM generate_series(1001, 1200) AS n, generate_series(1, n % 5) AS k;
INSERT INTO ctms.waitlists (email_id, name, subscribed, source, fields)
    SELECT pg_temp.contact(n), (ARRAY['vpn', 'other', 'Third'])[k], n % 2 = 0, pg_temp.odd(n + k), CASE WHEN n % 3 = 0 THEN '{}' ELSE jsonb_build_object('geo', left(pg_temp.odd(n + k), 100), 'platform', 'p ' || n)
        || CASE WHEN k = 1 THEN '{}' ELSE jsonb_build_object('more', jsonb_build_array(n, jsonb_build_object('a,b', pg_temp.odd(n))), 'flag', k = 2, 'n', n / 100.0) END END
    FROM generate_series(1001, 1200) AS n, generate_series(1, n % 4) AS k;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) SELECT 'csv_' || fxa_id, fxa_id, '2021-01-01Z' FROM ctms.fxa WHERE fxa_id LIKE 'csv\_many%0';
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
    SELECT stripe_id, stripe_id, '2021-02-01Z', true, '2021-04-01Z', '2021-03-01Z', '2021-02-01Z', 'active' FROM ctms.stripe_customer WHERE stripe_id LIKE 'csv\_csv%';
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
    SELECT p.stripe_id || s.stripe_id, s.stripe_id, p.stripe_id, '2021-02-01Z' FROM ctms.stripe_subscription AS s, ctms.stripe_price AS p WHERE s.stripe_id LIKE 'csv\_csv%' AND p.stripe_id LIKE 'csv\_price%';
CREATE TEMP TABLE wanted AS SELECT array_agg(email_id) AS ids FROM ctms.emails WHERE primary_email LIKE 'csv%';
SELECT f.kind, count(*) AS rows, count(*) FILTER (WHERE f.fields = r.fields) AS equal
    FROM pg_temp.rows_of_csv((SELECT ids FROM wanted)) AS f FULL JOIN pg_temp.rows_as_files((SELECT ids FROM wanted)) AS r USING (kind, n) GROUP BY 1 ORDER BY 1;
SELECT kind, row_count FROM ctms.acoustic_csv((SELECT ids FROM wanted));
-- With other columns.
INSERT INTO ctms.acoustic_field VALUES ('main', 'update_timestamp'), ('main', 'amo_create_timestamp'), ('main', 'other_waitlist_platform'), ('main', 'other_waitlist_source'),
    ('main', 'other_waitlist_subscribed'), ('main', 'vpn_waitlist__fields'), ('main', 'other_waitlist_more'),
    ('waitlist', 'nothing'), ('waitlist', 'more'), ('waitlist', 'flag'), ('waitlist', 'n');
INSERT INTO ctms.acoustic_newsletter_mapping VALUES (',1', 'sub_comma'), ('hubs2', 'sub_comma'), ('"3', 'sub_quote');
SELECT f.kind, count(*) AS rows, count(*) FILTER (WHERE f.fields = r.fields) AS equal
    FROM pg_temp.rows_of_csv((SELECT ids FROM wanted)) AS f FULL JOIN pg_temp.rows_as_files((SELECT ids FROM wanted)) AS r USING (kind, n) GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- ---- more than one text can hold --------------------------------------------------------
BEGIN;
UPDATE ctms.newsletters SET unsub_reason = repeat('"', 15000000) WHERE email_id = pg_temp.contact(1);
SELECT kind, row_count, length(csv) FROM ctms.acoustic_csv(ARRAY[pg_temp.contact(1), pg_temp.contact(3)]);
ROLLBACK;

-- ---- who may --------------------------------------------------------------------------
SET ROLE ctms_agent;
SELECT kind, row_count FROM ctms.acoustic_csv(ARRAY[pg_temp.contact(2)]);
SELECT count(*) FROM ctms.acoustic_csv_columns();
SET ROLE ctms_reader;
SELECT kind FROM ctms.acoustic_csv(ARRAY[pg_temp.contact(2)]);
SELECT kind FROM ctms.acoustic_csv_columns();
RESET ROLE;

DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'csv\_%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'csv\_%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'csv\_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'csv\_%';
DELETE FROM ctms.newsletters WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(4);
DELETE FROM ctms.waitlists WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(4);
DELETE FROM ctms.fxa WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(4);
DELETE FROM ctms.amo WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(4);
DELETE FROM ctms.emails WHERE email_id BETWEEN pg_temp.contact(1) AND pg_temp.contact(4);
