-- What is sent to Acoustic, as text.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-00000007%s', to_char(n, 'FM0000'))::uuid $$;
\pset format unaligned
SET timezone = 'America/Los_Angeles';
SET datestyle = 'German, DMY';

-- What the main table can be filled with.
SELECT array_to_string(ctms.acoustic_main_columns(), ' ') AS columns;

-- A bare contact.
INSERT INTO ctms.emails (email_id, primary_email, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(1), 'rows1@example.com', '2020-01-02 23:59:58.9Z', '2021-01-02 23:59:58.9Z');
SELECT kind, jsonb_pretty(fields::jsonb) FROM ctms.acoustic_rows(ARRAY[pg_temp.contact(1)]);

-- One with everything.
INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, first_name, last_name, mailing_country,
    email_format, email_lang, double_opt_in, has_opted_out_of_email, unsubscribe_reason, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(2), 'rows2@example.com', 'token', 'sfdc', 'Zoë "quoted" <&> \ ' || chr(10) || chr(1), 'Last', 'us',
    'H', 'en', true, false, 'none', '2019-12-31 23:30:00-08', '2020-02-29 12:00:00Z');
INSERT INTO ctms.amo (email_id, add_on_ids, display_name, email_opt_in, language, last_login, location, profile_url, "user", user_id, username)
VALUES (pg_temp.contact(2), 'add-on-1,add-on-2', 'Display', true, 'en', '2021-03-04', 'here', 'firefox/user/1', false, '98765', 'user');
INSERT INTO ctms.fxa (email_id, fxa_id, primary_email, created_date, lang, first_service, account_deleted)
VALUES (pg_temp.contact(2), 'rows_fxa', 'fxa@example.com', '2021-05-04T13:14:15.678+02:00', 'en,en-US', 'sync', false);
INSERT INTO ctms.mofo (email_id, mofo_email_id) VALUES (pg_temp.contact(2), 'rows_mofo');
INSERT INTO ctms.newsletters (email_id, name, subscribed, format, lang, source, unsub_reason, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(2), 'mozilla-and-you', true, 'H', 'en', 'https://example.com/', NULL, '2020-05-06 07:08:09Z', '2020-05-07 07:08:09Z'),
       (pg_temp.contact(2), 'firefox-news', false, 'T', 'fr', NULL, 'too "many"', '2020-05-06 07:08:09Z', '2020-05-07 07:08:09Z'),
       (pg_temp.contact(2), 'Unmapped', true, NULL, NULL, NULL, NULL, '2020-05-06 07:08:09Z', '2020-05-07 07:08:09Z'),
       (pg_temp.contact(2), 'hubs', NULL, NULL, NULL, NULL, NULL, '2020-05-06 07:08:09Z', 'infinity');
INSERT INTO ctms.waitlists (email_id, name, source, subscribed, unsub_reason, fields, create_timestamp, update_timestamp)
VALUES (pg_temp.contact(2), 'vpn', 'https://example.com/vpn', true, NULL, '{"geo": "fr", "platform": "ios,mac"}', '2020-06-06 07:08:09Z', '2020-06-07 07:08:09Z'),
       (pg_temp.contact(2), 'relay', NULL, false, 'done', '{"geo": null}', '2020-06-06 07:08:09Z', '2020-06-07 07:08:09Z'),
       (pg_temp.contact(2), 'other', NULL, true, NULL, '{"geo": "de", "n": 12345678901234567890.5, "t": true, "o": {"a": [1]}, "l": []}', '2020-06-06 07:08:09Z', '2020-06-07 07:08:09Z');
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) VALUES ('rows_cus', 'rows_fxa', '2021-01-01Z');
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency, recurring_interval, recurring_interval_count, unit_amount)
VALUES ('rows_price1', 'rows_prod1', '2021-01-01Z', true, 'usd', 'month', 1, 999), ('rows_price2', 'rows_prod2', '2021-01-01Z', true, 'jpy', NULL, NULL, NULL);
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, canceled_at, current_period_end, current_period_start, ended_at, start_date, status)
VALUES ('rows_sub1', 'rows_cus', '2021-02-01Z', false, NULL, '2021-04-01Z', '2021-03-01Z', NULL, '2021-02-01Z', 'active'),
       ('rows_sub2', 'rows_cus', '2021-02-02Z', true, '2021-02-20 01:02:03Z', '2021-04-01Z', '2021-03-01Z', '2021-02-21 01:02:03Z', '2021-02-02Z', 'canceled');
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
VALUES ('rows_si1', 'rows_sub1', 'rows_price1', '2021-02-01Z'), ('rows_si2', 'rows_sub2', 'rows_price2', '2021-02-01Z');
SELECT kind, fields FROM ctms.acoustic_rows(ARRAY[pg_temp.contact(2)]);

-- Fields and mappings as configured: other columns, waitlist fields and columns, what is not ours.
BEGIN;
DELETE FROM ctms.acoustic_field;
DELETE FROM ctms.acoustic_newsletter_mapping;
INSERT INTO ctms.acoustic_field VALUES
    ('main', 'update_timestamp'), ('main', 'amo_create_timestamp'), ('main', 'amo_user'), ('main', 'primary_email'), ('main', '_has_amo'),
    ('main', 'other_waitlist_n'), ('main', 'other_waitlist_t'), ('main', 'other_waitlist_o'), ('main', 'other_waitlist_l'),
    ('main', 'other_waitlist_nothing'), ('main', 'none_waitlist_geo'), ('main', 'vpn_waitlist_source'), ('main', 'relay_waitlist_subscribed'),
    ('main', 'relay_waitlist_unsub_reason'), ('main', 'vpn_waitlist_create_timestamp'), ('main', '_waitlist_geo'), ('main', 'vpn_waitlist_'),
    ('main', 'vpn_waitlist__fields'), ('main', 'vpn_waitlist_email_id'),
    ('waitlist', 'n'), ('waitlist', 'geo'), ('waitlist', 'source'), ('elsewhere', 'geo');
INSERT INTO ctms.acoustic_newsletter_mapping VALUES ('Unmapped', 'sub_b'), ('firefox-news', 'sub_a'), ('hubs', 'sub_c');
-- What a field fills is not sent as a flag; what none of ours fills is.
INSERT INTO ctms.acoustic_newsletter_mapping SELECT 'taken-' || n, initcap(field) FROM (
    SELECT row_number() OVER () AS n, field FROM ctms.acoustic_field WHERE tablename = 'main'
    UNION ALL SELECT 0, 'email_id') f;
UPDATE ctms.amo SET create_timestamp = '2022-02-02 02:02:02Z' WHERE email_id = pg_temp.contact(2);
SELECT kind, fields FROM ctms.acoustic_rows(ARRAY[pg_temp.contact(2)]) WHERE kind IN ('main', 'waitlist');
DELETE FROM ctms.acoustic_field;
DELETE FROM ctms.acoustic_newsletter_mapping;
SELECT kind, fields FROM ctms.acoustic_rows(ARRAY[pg_temp.contact(2)]) WHERE kind IN ('main', 'waitlist');
ROLLBACK;

-- What FxA calls a date.
CREATE TEMP TABLE created_dates AS SELECT row_number() OVER () AS n, created FROM unnest(ARRAY[
    '2021-05-04T13:14:15Z', '2021-05-04', '2021-05-04 13:14:15', '2021-05-04 13:14:15.5-08', '2021-05-04T13:14:15 Europe/Berlin',
    'Tue May 04 2021 13:14:15 GMT+0000', 'Tue, 04 May 2021 13:14:15 GMT', '05/04/2021', '20210504T131415', '1620134055123', '1620134055',
    'now', 'today', 'tomorrow 12:00', 'Yesterday 12:00:00Z', 'infinity', 'epoch', '', ' ', 'soon', '2021-13-45', '2021-02-29', '0001-01-01', '99999-01-01',
    '2021-05-04 BC', '12', 'J2459339', '2021-05-04 25:00', '24:00 2021-05-04', repeat('1', 50), '2021-05-04T13:14:15+99:00']) AS created;
INSERT INTO ctms.fxa (email_id) VALUES (pg_temp.contact(1));
CREATE FUNCTION pg_temp.created(text) RETURNS text LANGUAGE sql VOLATILE AS $$
    UPDATE ctms.fxa SET created_date = $1 WHERE email_id = pg_temp.contact(1);
    SELECT fields->>'fxa_created_date' FROM ctms.acoustic_rows(ARRAY[pg_temp.contact(1)]);
$$;
SELECT created, pg_temp.created(created) AS sent FROM created_dates ORDER BY n;

-- Many at once: each once, in order; unknown ones and none.
SELECT right(email_id::text, 1) AS n, kind, count(*) FROM ctms.acoustic_rows(
    ARRAY[pg_temp.contact(2), pg_temp.contact(1), pg_temp.contact(2), pg_temp.contact(3)]) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT array_agg(right(email_id::text, 1) || ' ' || kind) FROM ctms.acoustic_rows(ARRAY[pg_temp.contact(2), pg_temp.contact(1)]);
SELECT * FROM ctms.acoustic_rows('{}');
SELECT * FROM ctms.acoustic_rows(NULL);
SELECT * FROM ctms.acoustic_rows(ARRAY[NULL::uuid]);

-- Digests of the same rows; null for what is not at Acoustic yet.
CREATE FUNCTION pg_temp.digests() RETURNS TABLE (n text, kind text, name text, is_known boolean) LANGUAGE sql AS $$
    SELECT right(email_id::text, 1), kind, name, digest IS NOT NULL FROM ctms.acoustic_digests()
    WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2), pg_temp.contact(9)) ORDER BY 1, 2, 3, 4
$$;
BEGIN;
SELECT ctms.enqueue_contacts(ARRAY[pg_temp.contact(1)]) > 0 AS waits;
DELETE FROM ctms.pending_acoustic WHERE email_id = pg_temp.contact(2);
INSERT INTO ctms.acoustic_deleted_contact (email_id) VALUES (pg_temp.contact(9));
INSERT INTO ctms.acoustic_deleted_row (email_id, kind, name) VALUES (pg_temp.contact(9), 'waitlist', 'gone');
SELECT * FROM pg_temp.digests();
CREATE TEMP TABLE before AS SELECT * FROM ctms.acoustic_digests() WHERE email_id = pg_temp.contact(2);
UPDATE ctms.newsletters SET lang = 'de' WHERE email_id = pg_temp.contact(2) AND name = 'hubs';
SET CONSTRAINTS ALL IMMEDIATE;
DELETE FROM ctms.pending_acoustic WHERE email_id = pg_temp.contact(2);
SELECT kind, name FROM (TABLE before EXCEPT SELECT * FROM ctms.acoustic_digests()) AS d ORDER BY 1, 2;
ROLLBACK;

DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'rows\_%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'rows\_%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'rows\_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'rows\_%';
DELETE FROM ctms.newsletters WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
DELETE FROM ctms.waitlists WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
DELETE FROM ctms.fxa WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
DELETE FROM ctms.amo WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
DELETE FROM ctms.mofo WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
DELETE FROM ctms.emails WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
