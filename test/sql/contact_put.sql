-- ctms.put_contact(): PUT /ctms/{email_id}.
CREATE FUNCTION pg_temp.put(body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    contact jsonb;
    state text;
    message text;
    detail text;
BEGIN
    contact = ctms.put_contact('bbbbbbbb-0000-4000-8000-000000000001', body);
    RETURN contact ->> 'status';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', state, message, detail);
END
$$;
CREATE FUNCTION pg_temp.shown() RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(regexp_replace(ctms.get_contact('bbbbbbbb-0000-4000-8000-000000000001')::text,
        ',"(create|update)_timestamp":("[^"]*"|null)', '', 'g')::jsonb)
$$;

-- Creates.
SELECT pg_temp.put('{"email": {"primary_email": "put@example.com", "first_name": "F", "email_lang": "fr"},
    "amo": {"username": "u"}, "fxa": {"fxa_id": "put-fxa"}, "mofo": {"mofo_relevant": true},
    "newsletters": [{"name": "a"}, {"name": "b", "format": "T"}],
    "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}, "source": "https://example.com/"}, {"name": "w", "fields": {"k": [1]}}]}');
SELECT pg_temp.shown();

-- The same again writes nothing: no row version, no time moved.
CREATE TEMP VIEW versions AS
    SELECT 'emails' AS t, xmin::text AS version, update_timestamp FROM ctms.emails WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000001'
    UNION ALL SELECT 'amo', xmin::text AS version, update_timestamp FROM ctms.amo WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000001'
    UNION ALL SELECT 'fxa', xmin::text AS version, update_timestamp FROM ctms.fxa WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000001'
    UNION ALL SELECT 'mofo', xmin::text AS version, update_timestamp FROM ctms.mofo WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000001'
    UNION ALL SELECT name, xmin::text AS version, update_timestamp FROM ctms.newsletters WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000001'
    UNION ALL SELECT name, xmin::text AS version, update_timestamp FROM ctms.waitlists WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000001';
CREATE TEMP TABLE before AS SELECT * FROM versions;
SELECT pg_temp.put('{"email": {"primary_email": "put@example.com", "first_name": "F", "email_lang": "fr"},
    "amo": {"username": "u"}, "fxa": {"fxa_id": "put-fxa"}, "mofo": {"mofo_relevant": true},
    "newsletters": [{"name": "b", "format": "T"}, {"name": "a"}],
    "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}, "source": "https://example.com/"}, {"name": "w", "fields": {"k": [1]}}]}');
SELECT * FROM versions EXCEPT SELECT * FROM before ORDER BY 1;

-- One newsletter changes: that row, and the contact's time.
SELECT pg_temp.put('{"email": {"primary_email": "put@example.com", "first_name": "F", "email_lang": "fr"},
    "amo": {"username": "u"}, "fxa": {"fxa_id": "put-fxa"}, "mofo": {"mofo_relevant": true},
    "newsletters": [{"name": "a"}, {"name": "b", "format": "T", "lang": "de"}],
    "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}, "source": "https://example.com/"}, {"name": "w", "fields": {"k": [1]}}]}');
SELECT t, v.update_timestamp > b.update_timestamp AS is_moved FROM versions AS v JOIN before AS b USING (t) WHERE v.version <> b.version ORDER BY t;

-- What is not given goes back to its default, goes away.
SELECT pg_temp.put('{"email": {"primary_email": "put@example.com", "last_name": "L"}, "amo": {"user": false}, "mofo": null,
    "newsletters": [{"name": "b"}, {"name": "c", "subscribed": false}], "waitlists": [{"name": "w"}, {"name": "x", "subscribed": false}]}');
SELECT pg_temp.shown();
SELECT t FROM versions ORDER BY t;
SELECT pg_temp.put('{"email": {"primary_email": "put@example.com"}}');
SELECT t FROM versions ORDER BY t;

-- What is shown can be put back.
SELECT pg_temp.put((jsonb_set(ctms.get_contact('bbbbbbbb-0000-4000-8000-000000000001')::jsonb, '{email,first_name}', '"Back"'))::text);
SELECT pg_temp.shown() LIKE '%"first_name": "Back"%' AS is_stored;

-- Clashes; nothing of a refused body is stored, nor of a new contact.
SELECT is_created FROM ctms.create_contact('{"email": {"primary_email": "put-2@example.com", "basket_token": "b0000000-0000-4000-8000-000000000002"}, "fxa": {"fxa_id": "put-fxa-2"}}');
SELECT body, pg_temp.put(body) FROM (VALUES
    (1, '{"email": {"primary_email": "Put-2@example.com"}}'),
    (2, '{"email": {"primary_email": "put@example.com", "basket_token": "b0000000-0000-4000-8000-000000000002"}}'),
    (3, '{"email": {"primary_email": "put@example.com", "first_name": "X"}, "fxa": {"fxa_id": "put-fxa-2"}}')
) AS bodies(n, body) ORDER BY n;
SELECT ctms.put_contact('bbbbbbbb-0000-4000-8000-000000000003', '{"email": {"primary_email": "put@example.com"}}');
SELECT ctms.put_contact('bbbbbbbb-0000-4000-8000-000000000003', '{"email": {"primary_email": "put-3@example.com"}, "fxa": {"fxa_id": "put-fxa-2"}}');
SELECT count(*) FROM ctms.emails WHERE email_id = 'bbbbbbbb-0000-4000-8000-000000000003';
SELECT pg_temp.shown() LIKE '%"first_name": "Back"%' AS is_unchanged;

-- A contact whose id is of another version can be replaced, as it was loaded so.
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('bbbbbbbb-0000-1000-8000-000000000004', 'put-4@example.com');
SELECT ctms.put_contact('bbbbbbbb-0000-1000-8000-000000000004', '{"email": {"primary_email": "put-4@example.com", "email_id": "bbbbbbbb-0000-1000-8000-000000000004", "first_name": "X"}}')::jsonb #>> '{email,first_name}' AS first_name;

SELECT ctms.delete_contact(address) IS NOT NULL AS deleted FROM unnest('{put@example.com,put-2@example.com,put-4@example.com}'::text[]) AS address;
