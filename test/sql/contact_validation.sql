-- What a body must look like: every field, every kind of error, every error at once.
CREATE FUNCTION pg_temp.try(method text, body text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    id uuid = '5a5a5a5a-5a5a-4a5a-8a5a-5a5a5a5a5a5a';
    state text;
    message text;
    detail text;
BEGIN
    BEGIN
        IF method = 'POST' THEN
            PERFORM ctms.create_contact(body);
        ELSIF method = 'PUT' THEN
            PERFORM ctms.put_contact(id, body);
        ELSE
            PERFORM ctms.patch_contact(id, body);
        END IF;
        RAISE EXCEPTION SQLSTATE 'XX999' USING MESSAGE = 'valid';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
            detail = PG_EXCEPTION_DETAIL;
    END;
    IF state = 'CT422' THEN
        RETURN QUERY SELECT format('%s %s: %s', e ->> 'loc', e ->> 'type', e ->> 'msg')
            FROM jsonb_array_elements(detail::jsonb) WITH ORDINALITY AS d(e, n) ORDER BY n;
    ELSE
        RETURN NEXT concat_ws(' ', CASE WHEN state <> 'XX999' THEN state END, message);
    END IF;
END
$$;
-- One field of a group, in an otherwise minimal body.
CREATE FUNCTION pg_temp.field(grp text, name text, value jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT (CASE
        WHEN grp = 'email' THEN
            jsonb_build_object('email', '{"primary_email": "validation@example.com"}'::jsonb || jsonb_build_object(name, value))
        WHEN grp IN ('newsletters', 'waitlists') THEN
            jsonb_build_object('email', '{"primary_email": "validation@example.com"}'::jsonb,
                grp, jsonb_build_array('{"name": "validation"}'::jsonb || jsonb_build_object(name, value)))
        ELSE
            jsonb_build_object('email', '{"primary_email": "validation@example.com"}'::jsonb,
                grp, jsonb_build_object(name, value))
        END)::text
$$;

-- Lengths: the longest that goes, and one more (in characters, not bytes).
SELECT grp, name, max, pg_temp.try('POST', pg_temp.field(grp, name, to_jsonb(repeat('é', max)))) AS longest,
       pg_temp.try('POST', pg_temp.field(grp, name, to_jsonb(repeat('é', max + 1)))) AS longer
FROM (VALUES
    ('email', 'primary_email', 255), ('email', 'sfdc_id', 255), ('email', 'first_name', 255),
    ('email', 'last_name', 255), ('email', 'mailing_country', 255), ('email', 'email_lang', 5),
    ('email', 'unsubscribe_reason', 5000),
    ('amo', 'add_on_ids', 500), ('amo', 'display_name', 255), ('amo', 'language', 5), ('amo', 'location', 255),
    ('amo', 'profile_url', 40), ('amo', 'user_id', 40), ('amo', 'username', 100),
    ('fxa', 'fxa_id', 50), ('fxa', 'primary_email', 255), ('fxa', 'created_date', 50), ('fxa', 'lang', 255),
    ('fxa', 'first_service', 50),
    ('mofo', 'mofo_email_id', 255), ('mofo', 'mofo_contact_id', 255),
    ('newsletters', 'name', 255), ('newsletters', 'lang', 5), ('newsletters', 'unsub_reason', 5000),
    ('waitlists', 'name', 255), ('waitlists', 'unsub_reason', 5000)
) AS fields(grp, name, max);

-- Each kind of field against each kind of value.
SELECT grp, name, value, pg_temp.try('POST', pg_temp.field(grp, name, value))
FROM (VALUES
    (1, 'email', 'first_name'), (2, 'email', 'double_opt_in'), (3, 'email', 'basket_token'),
    (4, 'email', 'email_format'), (5, 'email', 'primary_email'), (6, 'email', 'email_id'),
    (7, 'amo', 'last_login'), (8, 'newsletters', 'name'), (9, 'newsletters', 'source'),
    (10, 'newsletters', 'format'), (11, 'newsletters', 'lang'), (12, 'waitlists', 'fields')
) AS fields(id, grp, name),
(VALUES (1, '"x"'::jsonb), (2, '""'), (3, 'null'), (4, 'true'), (5, '12'), (6, '-1.50'), (7, '[]'), (8, '{}')) AS vals(n, value)
ORDER BY id, n;

-- Words and numbers that are booleans, and some that are not.
SELECT value, pg_temp.try('POST', pg_temp.field('email', 'double_opt_in', value))
FROM jsonb_array_elements('[true, false, 0, 1, 2, -1, 0.0, 1e0, "true", "FALSE", "Yes", "nO", "on", "OFF", "t", "F", "y", "N", "1", "0", "", "2", "truee", " true", "null"]')
    WITH ORDINALITY AS vals(value, n) ORDER BY n;

-- Dates.
SELECT value, pg_temp.try('POST', pg_temp.field('amo', 'last_login', to_jsonb(value)))
FROM unnest('{2020-02-29,2021-02-29,2000-02-29,1900-02-29,2021-13-01,2021-00-10,2021-01-32,0000-01-01,0001-01-01,9999-12-31,10000-01-01,2021-1-2,20210102,2021-01-02T00:00:00,now,infinity," 2021-01-02",2021/01/02}'::text[])
    WITH ORDINALITY AS vals(value, n) ORDER BY n;

-- UUIDs, in every form that PostgreSQL reads.
SELECT value, pg_temp.try('POST', pg_temp.field('email', 'basket_token', to_jsonb(value)))
FROM unnest('{c4a7d759-bb52-457b-896b-90f1d3ef8433,C4A7D759-BB52-457B-896B-90F1D3EF8433,c4a7d759bb52457b896b90f1d3ef8433,"{c4a7d759-bb52-457b-896b-90f1d3ef8433}",c4a7-d759-bb52-457b-896b-90f1-d3ef-8433,c4a7d759-bb52-457b-896b-90f1d3ef843,c4a7d759-bb52-457b-896b-90f1d3ef84333,c4a7d75-9bb52-457b-896b-90f1d3ef8433,"{c4a7d759-bb52-457b-896b-90f1d3ef8433",c4a7d759-bb52-457b-896b-90f1d3ef843-,x4a7d759-bb52-457b-896b-90f1d3ef8433,"{}"}'::text[])
    WITH ORDINALITY AS vals(value, n) ORDER BY n;
-- email_id is of version 4.
SELECT value, pg_temp.try('POST', pg_temp.field('email', 'email_id', to_jsonb(value)))
FROM unnest('{332de237-cab7-4461-bcc3-48e68f42bd5c,332de237-cab7-1461-bcc3-48e68f42bd5c,332de237-cab7-4461-1cc3-48e68f42bd5c,00000000-0000-0000-0000-000000000000}'::text[])
    WITH ORDINALITY AS vals(value, n) ORDER BY n;

-- URLs.
SELECT value, pg_temp.try('POST', pg_temp.field('newsletters', 'source', to_jsonb(value)))
FROM unnest('{https://www.example.com/,http://example.com,HTTPS://EXAMPLE.COM:8443/a?b=c#d,https://user:pass@example.com/,"https://[::1]:80/",https://éxample.com/é," https://example.com/ ",a+b-c.d://host,https://,https:///path,https:example.com,//example.com/,/path,example.com,mailto:a@example.com,1http://example.com,"https://example.com/a b","https://exam ple.com/",https://example.com:x/,https://example.com:123456/,https://:80/,https://user@/,"https://[]/",javascript:alert(1),""}'::text[])
    WITH ORDINALITY AS vals(value, n) ORDER BY n;
SELECT pg_temp.try('POST', pg_temp.field('newsletters', 'source', to_jsonb('https://example.com/' || repeat('x', 65536))));

-- Whole bodies.
SELECT method, body, pg_temp.try(method, body)
FROM (VALUES (1, 'POST'), (2, 'PUT'), (3, 'PATCH')) AS methods(m, method),
     (VALUES (1, '{}'), (2, '[]'), (3, '"DELETE"'), (4, '5'), (5, 'null'),
             (6, '{"email": null}'), (7, '{"email": "DELETE"}'), (8, '{"email": []}'), (9, '{"email": {}}'), (10, '{"email": 5}')
     ) AS bodies(b, body)
ORDER BY m, b;
SELECT method, body, pg_temp.try(method, '{"email": {"primary_email": "validation@example.com"}, ' || body || '}')
FROM (VALUES (1, 'POST'), (2, 'PUT'), (3, 'PATCH')) AS methods(m, method),
     (VALUES (1, '"amo": null'), (2, '"amo": "DELETE"'), (3, '"fxa": "delete"'), (4, '"mofo": []'), (5, '"amo": true'),
             (6, '"newsletters": null'), (7, '"newsletters": "UNSUBSCRIBE"'), (8, '"newsletters": {}'), (9, '"newsletters": "DELETE"'), (10, '"newsletters": 1'),
             (11, '"waitlists": null'), (12, '"waitlists": "UNSUBSCRIBE"'), (13, '"waitlists": ""'), (14, '"newsletters": [null, 1, "x", [], {}]'),
             (15, '"vpn_waitlist": null'), (16, '"vpn_waitlist": "DELETE"'), (17, '"vpn_waitlist": "x"'), (18, '"vpn_waitlist": []'), (19, '"relay_waitlist": 1'),
             (20, '"vpn_waitlist": {"geo": true, "platform": []}'), (21, '"relay_waitlist": {"geo": {}}')
     ) AS bodies(b, body)
ORDER BY m, b;

-- The same name twice.
SELECT pg_temp.try('POST', '{"email": {"primary_email": "validation@example.com"},
    "newsletters": [{"name": "b"}, {"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": "b"}, {"name": "B"}],
    "waitlists": [{"name": "1"}, {"name": 1}]}');

-- A relay newsletter needs a country.
SELECT body, pg_temp.try('POST', '{"email": {"primary_email": "validation@example.com"}, ' || body || '}') AS post,
       pg_temp.try('PATCH', '{' || body || '}') AS patch
FROM (VALUES
    (1, '"newsletters": [{"name": "x"}, {"name": "relay-x-waitlist"}, {"name": "relay-a"}]'),
    (2, '"newsletters": [{"name": "relay-x", "subscribed": "no"}]'),
    (3, '"newsletters": [{"name": "relay"}, {"name": "relayed"}]'),
    (4, '"newsletters": [{"name": "relay-x"}], "relay_waitlist": {"geo": "fr"}'),
    (5, '"newsletters": [{"name": "relay-x"}], "relay_waitlist": {"geo": ""}'),
    (6, '"newsletters": [{"name": "relay-x"}], "relay_waitlist": {"geo": null}'),
    (7, '"newsletters": [{"name": "relay-x"}], "relay_waitlist": null'),
    (8, '"newsletters": [{"name": "relay-x"}], "relay_waitlist": "DELETE"'),
    (9, '"newsletters": [{"name": "relay-x"}], "waitlists": [{"name": "relay", "fields": {"geo": "fr"}}]'),
    (10, '"newsletters": [{"name": "relay-x"}], "waitlists": [{"name": "relay", "fields": {"geo": null}}]'),
    (11, '"newsletters": [{"name": "relay-x"}], "waitlists": [{"name": "relay"}]'),
    (12, '"newsletters": [{"name": "relay-x"}], "waitlists": [{"name": "relay-x", "fields": {"geo": "fr"}}]'),
    (13, '"newsletters": [{"name": "relay-x"}], "relay_waitlist": {}, "waitlists": [{"name": "relay", "fields": {"geo": "fr"}}]')
) AS bodies(b, body)
ORDER BY b;

-- Ids in bodies and paths.
SELECT method, body, pg_temp.try(method, body)
FROM (VALUES
    (1, 'PUT', '{"email": {"primary_email": "validation@example.com", "email_id": "332de237-cab7-4461-bcc3-48e68f42bd5c"}}'),
    (2, 'PUT', '{"email": {"primary_email": "validation@example.com", "email_id": null}}'),
    (3, 'PUT', '{"email": {"primary_email": "validation@example.com", "email_id": "5A5A5A5A5A5A4A5A8A5A5A5A5A5A5A5A"}}'),
    (4, 'PATCH', '{"email": {"email_id": "332de237-cab7-4461-bcc3-48e68f42bd5c"}}'),
    (5, 'PATCH', '{"email": {"email_id": null}}'),
    (6, 'PATCH', '{"email": {"email_id": "x"}}'),
    (7, 'PATCH', '{"email": {"email_id": 5}}'),
    (8, 'PATCH', '{"email": {"primary_email": null}}'),
    (9, 'PATCH', '{"email": {"primary_email": ""}}')
) AS cases(id, method, body)
ORDER BY id;
SELECT ctms.put_contact('332de237-cab7-1461-bcc3-48e68f42bd5c', '{"email": {"primary_email": "validation@example.com"}}');
SELECT ctms.put_contact(NULL, '{"email": {"primary_email": "validation@example.com"}}');
SELECT ctms.patch_contact(NULL, '{}');
SELECT ctms.create_contact(NULL);

-- Everything that is wrong, in one answer; never a value.
SELECT pg_temp.try('POST', '{"email": {"primary_email": "", "basket_token": "secret", "email_format": "secret", "double_opt_in": "secret"},
    "amo": {"last_login": "secret", "user": [], "profile_url": "secretsecretsecretsecretsecretsecretsecretsecret"}, "fxa": "secret",
    "newsletters": [{"format": "secret"}, {"name": "a", "source": "secret"}], "waitlists": [{"name": "", "fields": "secret"}],
    "vpn_waitlist": "secret", "relay_waitlist": "secret"}');
-- The list has an end, and so has a list in a body.
SELECT count(*) FROM pg_temp.try('POST', (SELECT jsonb_build_object('email', '{"primary_email": "validation@example.com"}'::jsonb,
    'newsletters', jsonb_agg('{"lang": 0, "format": 0}'::jsonb)) FROM generate_series(1, 1000))::text);
SELECT count, pg_temp.try('POST', (SELECT jsonb_build_object('email', '{"primary_email": "validation@example.com"}'::jsonb,
    'newsletters', jsonb_agg(jsonb_build_object('name', i)), 'waitlists', jsonb_agg(jsonb_build_object('name', i))) FROM generate_series(1, count) AS i)::text)
FROM unnest('{1000,1001}'::int[]) AS count ORDER BY count;
