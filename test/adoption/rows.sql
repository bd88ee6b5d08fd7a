-- Rows of an older database, the same each time. psql variables: contacts, layout.
SELECT :'layout' = 'older' AS is_older \gset

CREATE FUNCTION contact(n bigint, kind text DEFAULT 'contact') RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT overlay(overlay(md5(kind || n) placing '4' from 13) placing '8' from 17)::uuid $$;
CREATE FUNCTION moment(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$ SELECT timestamptz '2019-01-01 00:00:00+00' + (n * 7919 % 100000000) * interval '1.000001 s' $$;

INSERT INTO emails
SELECT contact(n), CASE n % 4 WHEN 0 THEN 'Contact' ELSE 'contact' END || n || '@example.com',
       CASE WHEN n % 7 > 0 THEN contact(n, 'token')::text END, CASE WHEN n % 3 = 0 THEN '0034O' || n END,
       CASE n % 50 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'Zo\u00eb \\N' ELSE 'First' || n END,
       CASE n % 50 WHEN 3 THEN E'O''"\t\\ \u65e5\u672c' ELSE 'Last' END, (ARRAY['fr', 'de', 'A country in the world', NULL, ''])[1 + n % 5],
       (ARRAY['H', 'T', 'N', '', NULL])[1 + n % 5], (ARRAY['en', 'fr', 'pt-BR', 'Other', NULL])[1 + n % 5],
       (ARRAY[true, false, NULL])[1 + n % 3], (ARRAY[false, NULL, true])[1 + n % 3],
       CASE WHEN n % 20 = 0 THEN E'too much mail,\nline two\r\n' END, moment(n), moment(n) + interval '1 day'
FROM generate_series(1, :contacts) AS n;

-- Each contact has three newsletters, those on the relay waitlist up to three more.
INSERT INTO newsletters (email_id, name, subscribed, format, lang, source, unsub_reason, create_timestamp, update_timestamp)
SELECT contact(n), (ARRAY['mozilla-and-you', 'hubs', 'app-dev', 'mofo-news', 'test-pilot'])[1 + (n + k) % 5], (ARRAY[true, false, NULL])[1 + (n + k) % 3],
       (ARRAY['H', 'T'])[1 + n % 2], 'en', CASE WHEN k = 1 THEN 'https://www.example.com/?a=' || n END,
       CASE WHEN k = 2 THEN 'graduated' END, moment(n), moment(n) + k * interval '1 hour'
FROM generate_series(1, :contacts) AS n, generate_series(0, 2) AS k;
INSERT INTO newsletters (email_id, name, subscribed, create_timestamp, update_timestamp)
SELECT contact(n), w.name, w.subscribed, moment(n), moment(n)
FROM generate_series(1, :contacts) AS n,
     (VALUES (1, 'relay-waitlist', true), (1, 'relay-vpn-bundle-waitlist', NULL), (2, 'relay-phone-masking-waitlist', false),
             (2, 'relay', true), (2, 'relay-waitlist', false), (3, 'guardian-vpn-waitlist', true), (4, 'a-relay-waitlist', true)) AS w (case_number, name, subscribed)
WHERE n % 10 = 3 AND n / 10 % 6 = w.case_number;

INSERT INTO fxa (email_id, fxa_id, primary_email, created_date, lang, first_service, account_deleted, create_timestamp, update_timestamp)
SELECT contact(n), CASE WHEN n % 300 > 0 THEN md5('fxa' || n) END, 'fxa' || n || '@example.com', '2019-05-28 0' || n % 10 || ':00', 'en,fr', 'sync',
       n % 40 = 0, moment(n), moment(n)
FROM generate_series(3, :contacts, 3) AS n;
INSERT INTO amo (email_id, add_on_ids, display_name, email_opt_in, language, last_login, location, profile_url, "user", user_id, username, create_timestamp, update_timestamp)
SELECT contact(n), 'add-on-' || n, 'An author', n % 2 = 0, 'en', date '2021-01-01' + (n % 1000)::int, 'here', 'https://example.com/' || n, true, n, 'user' || n, moment(n), moment(n)
FROM generate_series(20, :contacts, 20) AS n;
INSERT INTO mofo (email_id, mofo_email_id, mofo_contact_id, mofo_relevant)
SELECT contact(n), contact(n, 'mofo'), CASE WHEN n % 2 = 0 THEN contact(n, 'mofo contact') END, n % 50 = 0 FROM generate_series(25, :contacts, 25) AS n;
\if :is_older
\else
UPDATE mofo SET create_timestamp = '2020-02-02Z', update_timestamp = '2020-02-03Z';
\endif

\if :is_older
INSERT INTO vpn_waitlist (email_id, geo, platform, create_timestamp, update_timestamp)
SELECT contact(n), (ARRAY['fr', NULL, '', repeat(E'\u00e9', 100)])[1 + n / 10 % 4], (ARRAY['ios,mac', NULL])[1 + n / 10 % 2], moment(n), moment(n) + interval '2 hours'
FROM generate_series(10, :contacts, 10) AS n;
INSERT INTO relay_waitlist (email_id, geo, create_timestamp, update_timestamp)
SELECT contact(n), (ARRAY['fr', NULL, 'ca'])[1 + n % 3], moment(n), moment(n) + interval '3 hours' FROM generate_series(3, :contacts, 10) AS n;
\else
INSERT INTO waitlists (email_id, name, source, fields, subscribed, unsub_reason, create_timestamp, update_timestamp)
SELECT contact(n), w.name, CASE WHEN n % 3 = 0 THEN 'https://www.example.com/' END, w.fields::json, (ARRAY[true, NULL, false])[1 + n / 10 % 3],
       CASE WHEN n / 10 % 3 = 2 THEN 'moved' END, moment(n), moment(n) + interval '2 hours'
FROM generate_series(10, :contacts, 10) AS n,
     (VALUES ('vpn', '{"geo": "fr",   "platform": null}'), ('relay', '{"geo": "ca"}'), ('other-list', '{"n": 12345678901234567890, "a": [1.50, {}]}'),
             ('relay-phone', '{"geo": "de", "age": 1}')) AS w (name, fields);
\endif

-- The queue: in the older layout a contact may wait twice.
INSERT INTO pending_acoustic (email_id, retry, update_timestamp) SELECT contact(n), n % 3, moment(n) FROM generate_series(40, :contacts, 40) AS n;
\if :is_older
INSERT INTO pending_acoustic (email_id, retry, update_timestamp) SELECT email_id, 0, update_timestamp FROM pending_acoustic;
\endif

INSERT INTO stripe_price SELECT 'price_' || n, 'prod_' || n % 4, moment(n), n % 2 = 0, 'usd', CASE WHEN n > 2 THEN 'month' END, CASE WHEN n > 2 THEN n END, n * 100, moment(n), moment(n)
FROM generate_series(0, 9) AS n;
INSERT INTO stripe_customer SELECT 'cus_' || n, coalesce((SELECT fxa_id FROM fxa WHERE email_id = contact(n)), 'nobody' || n), NULL, 'pm_' || n, moment(n), n % 60 = 0, moment(n), moment(n)
FROM generate_series(30, :contacts, 30) AS n;
INSERT INTO stripe_subscription SELECT 'sub_' || n, 'cus_' || n, NULL, NULL, moment(n), n % 90 = 0, NULL, moment(n + 30), moment(n), NULL, moment(n), 'active', moment(n), moment(n)
FROM generate_series(30, :contacts, 30) AS n;
INSERT INTO stripe_subscription_item SELECT 'si_' || n || '_' || k, 'sub_' || n, 'price_' || (n + k) % 10, moment(n), moment(n), moment(n)
FROM generate_series(30, :contacts, 30) AS n, generate_series(1, 2) AS k;
INSERT INTO stripe_invoice SELECT 'in_' || n, 'cus_' || n, NULL, NULL, moment(n), 'usd', n, 'paid', moment(n), moment(n) FROM generate_series(30, :contacts, 30) AS n;
INSERT INTO stripe_invoice_line_item SELECT 'il_' || n, 'in_' || n, 'subscription', 'price_' || n % 10, NULL, 'sub_' || n, 'si_' || n || '_1', n, 'usd', moment(n), moment(n)
FROM generate_series(30, :contacts, 30) AS n;

INSERT INTO api_client (client_id, email, enabled, hashed_secret) VALUES
    ('id_basket', 'basket@example.com', true, '$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$aGFzaA'), ('id_old', 'old@example.com', NULL, 'x');
INSERT INTO acoustic_field VALUES ('main', 'email'), ('main', 'email_id'), ('main', 'sumo_user');
INSERT INTO acoustic_newsletter_mapping VALUES ('mozilla-and-you', 'sub_news'), ('nowhere', NULL);
INSERT INTO alembic_version VALUES ('x');
