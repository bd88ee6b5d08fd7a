-- ctms.get_contact(), ctms.find_contacts() and the same for identities.
INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, email_format, create_timestamp, update_timestamp) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'Find-1@Example.com', 'dddddddd-0000-4000-8000-000000000001', 'find-sfdc', 'X', '2020-03-28 15:41:00+00', '2021-01-28 21:26:57.511+00'),
    ('cccccccc-0000-4000-8000-000000000002', 'find-2@example.com', NULL, 'find-sfdc', NULL, '-infinity', 'infinity'),
    ('cccccccc-0000-4000-8000-000000000003', 'find-3@example.com', 'not-a-uuid', NULL, 'H', '0044-03-15 12:00:00+00 BC', '12345-01-01 00:00:00.000001+00');
INSERT INTO ctms.fxa (email_id, fxa_id, primary_email) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'find-fxa', 'FxA@Example.com'),
    ('cccccccc-0000-4000-8000-000000000002', NULL, 'fxa@example.com');
INSERT INTO ctms.mofo (email_id, mofo_email_id, mofo_contact_id) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'find-mofo', 'find-mofo-contact');
INSERT INTO ctms.amo (email_id, user_id, last_login, create_timestamp, update_timestamp) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'find-amo', '0044-03-15 BC', '2020-01-01 00:00+00', '2020-01-01 00:00:00.1+00'),
    ('cccccccc-0000-4000-8000-000000000002', 'find-amo', 'infinity', '2020-01-01 00:00+00', '2020-01-01 00:00+00');
INSERT INTO ctms.newsletters (email_id, name, source, create_timestamp, update_timestamp) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'b', 'not a URL', '2020-01-01 00:00+00', '2020-01-01 00:00+00'),
    ('cccccccc-0000-4000-8000-000000000001', 'Z', E'"\\\t\x01é', '2020-01-01 00:00+00', '2020-01-01 00:00+00'),
    ('cccccccc-0000-4000-8000-000000000003', 'a', NULL, '2020-01-01 00:00+00', '2020-01-01 00:00+00');
INSERT INTO ctms.waitlists (email_id, name, fields, subscribed, create_timestamp, update_timestamp) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'relay-b', '{"geo": "fr"}', false, '2020-01-01 00:00+00', '2020-01-01 00:00+00'),
    ('cccccccc-0000-4000-8000-000000000001', 'relay-c', '{"geo": "de", "x": 12345678901234567890}', true, '2020-01-01 00:00+00', '2020-01-01 00:00+00'),
    ('cccccccc-0000-4000-8000-000000000001', 'relayed', '{"geo": "us"}', true, '2020-01-01 00:00+00', '2020-01-01 00:00+00'),
    ('cccccccc-0000-4000-8000-000000000001', 'vpn', '{"platform": "ios"}', true, '2020-01-01 00:00+00', '2020-01-01 00:00+00');

-- As it is stored, null flags at their defaults.
SELECT ctms.get_contact('cccccccc-0000-4000-8000-000000000001');
SELECT ctms.get_contact('cccccccc-0000-4000-8000-000000000002');
SELECT ctms.get_contact('cccccccc-0000-4000-8000-000000000003');
SELECT ctms.get_contact('cccccccc-0000-4000-8000-00000000000f'), ctms.get_contact(NULL);
SELECT ctms.get_identity('cccccccc-0000-4000-8000-000000000001');
SELECT ctms.get_identity('cccccccc-0000-4000-8000-00000000000f'), ctms.get_identity(NULL);

-- By each id, and by several.
CREATE FUNCTION pg_temp.found(identities json) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(right(i ->> 'email_id', 1), ',' ORDER BY n) FROM json_array_elements(identities) WITH ORDINALITY AS e(i, n)
$$;
SELECT pg_temp.found(ctms.find_identities(email_id => 'cccccccc-0000-4000-8000-000000000001')) AS email_id,
       pg_temp.found(ctms.find_identities(primary_email => 'FIND-1@example.COM')) AS primary_email,
       pg_temp.found(ctms.find_identities(basket_token => 'dddddddd-0000-4000-8000-000000000001')) AS basket_token,
       pg_temp.found(ctms.find_identities(sfdc_id => 'find-sfdc')) AS sfdc_id,
       pg_temp.found(ctms.find_identities(mofo_contact_id => 'find-mofo-contact')) AS mofo_contact_id,
       pg_temp.found(ctms.find_identities(mofo_email_id => 'find-mofo')) AS mofo_email_id,
       pg_temp.found(ctms.find_identities(amo_user_id => 'find-amo')) AS amo_user_id,
       pg_temp.found(ctms.find_identities(fxa_id => 'find-fxa')) AS fxa_id,
       pg_temp.found(ctms.find_identities(fxa_primary_email => 'fXa@example.com')) AS fxa_primary_email;
SELECT pg_temp.found(ctms.find_identities(basket_token => '{DDDDDDDD00004000-8000000000000001}')) AS token_in_another_form,
       pg_temp.found(ctms.find_identities(basket_token => 'not-a-uuid')) AS token_that_is_no_uuid,
       pg_temp.found(ctms.find_identities(sfdc_id => 'find-sfdc', amo_user_id => 'find-amo', fxa_id => 'find-fxa')) AS all_of_three,
       pg_temp.found(ctms.find_identities(sfdc_id => 'find-sfdc', fxa_primary_email => 'fxa@example.com')) AS both,
       pg_temp.found(ctms.find_identities(primary_email => 'find-3@example.com', fxa_id => 'find-fxa')) AS none,
       pg_temp.found(ctms.find_identities(sfdc_id => 'find-sfdc', fxa_id => '')) AS blank_matches_nothing,
       pg_temp.found(ctms.find_identities('cccccccc-0000-4000-8000-000000000001', 'find-1@example.com', 'dddddddd-0000-4000-8000-000000000001',
           'find-sfdc', 'find-mofo-contact', 'find-mofo', 'find-amo', 'find-fxa', 'fxa@example.com')) AS all_nine;
SELECT ctms.find_identities(sfdc_id => 'find-nothing'), ctms.find_contacts(sfdc_id => 'find-nothing');
SELECT (ctms.find_contacts(fxa_id => 'find-fxa') -> 0)::jsonb = ctms.get_contact('cccccccc-0000-4000-8000-000000000001')::jsonb - 'status' AS is_the_same;
SELECT json_array_length(ctms.find_contacts(sfdc_id => 'find-sfdc')) AS contacts,
       ctms.find_contacts(sfdc_id => 'find-sfdc')::jsonb #>> '{0,waitlists,1,name}' AS first_has,
       ctms.find_contacts(sfdc_id => 'find-sfdc')::jsonb #> '{1,waitlists}' AS second_has;

-- Nothing to look for.
\set VERBOSITY sqlstate
SELECT ctms.find_contacts();
\set VERBOSITY default
SELECT ctms.find_identities();

-- Something to look for that matches nothing, whatever is stored.
INSERT INTO ctms.emails (primary_email, sfdc_id) VALUES ('find-empty@example.com', '');
SELECT ctms.find_contacts(primary_email => '', sfdc_id => '') AS all_empty, ctms.find_identities(basket_token => '') AS no_token,
       ctms.find_contacts(sfdc_id => '') AS stored, ctms.find_identities(primary_email => 'find-empty@example.com', sfdc_id => '') AS both;
-- More than are read at a time.
INSERT INTO ctms.emails (primary_email, sfdc_id) SELECT 'find-many-' || i || '@example.com', 'find-many' FROM generate_series(1, 2500) AS i;
INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, n FROM ctms.emails, unnest('{a,b}'::text[]) AS n WHERE sfdc_id = 'find-many';
SELECT count(*), count(DISTINCT c #>> '{email,email_id}'), sum(jsonb_array_length(c -> 'newsletters')),
       bool_and(c #>> '{newsletters,0,name}' = 'a'), bool_and(c #>> '{email,email_id}' > coalesce(before, ''))
FROM (SELECT c, lag(c #>> '{email,email_id}') OVER (ORDER BY n) AS before
      FROM jsonb_array_elements(ctms.find_contacts(sfdc_id => 'find-many')::jsonb) WITH ORDINALITY AS e(c, n)) AS contacts;

-- Roles.
SET ROLE ctms_reader;
SELECT pg_temp.found(ctms.find_identities(fxa_id => 'find-fxa'));
SET ROLE ctms_agent;
SELECT ctms.get_contact('cccccccc-0000-4000-8000-000000000001');
RESET ROLE;

DELETE FROM ctms.newsletters WHERE email_id IN (SELECT email_id FROM ctms.emails WHERE primary_email ILIKE 'find-%@example.com');
DELETE FROM ctms.waitlists WHERE email_id IN (SELECT email_id FROM ctms.emails WHERE primary_email ILIKE 'find-%@example.com');
DELETE FROM ctms.amo WHERE email_id IN (SELECT email_id FROM ctms.emails WHERE primary_email ILIKE 'find-%@example.com');
DELETE FROM ctms.fxa WHERE email_id IN (SELECT email_id FROM ctms.emails WHERE primary_email ILIKE 'find-%@example.com');
DELETE FROM ctms.mofo WHERE email_id IN (SELECT email_id FROM ctms.emails WHERE primary_email ILIKE 'find-%@example.com');
DELETE FROM ctms.emails WHERE primary_email ILIKE 'find-%@example.com';
