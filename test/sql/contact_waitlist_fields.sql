-- Waitlist fields in bodies: the schema of the name has the say, errors name the exact place.
CREATE FUNCTION pg_temp.try(method text, waitlists text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    body text = jsonb_build_object('email', '{"primary_email": "fields@example.com"}'::jsonb, 'waitlists', waitlists::jsonb);
    state text;
    message text;
    detail text;
BEGIN
    BEGIN
        IF method = 'POST' THEN
            PERFORM ctms.create_contact(body);
        ELSIF method = 'PUT' THEN
            PERFORM ctms.put_contact('66666666-0000-4000-8000-000000000001', body);
        ELSE
            PERFORM ctms.patch_contact('66666666-0000-4000-8000-000000000001', jsonb_build_object('waitlists', waitlists::jsonb)::text);
        END IF;
        RAISE EXCEPTION SQLSTATE 'XX999' USING MESSAGE = 'valid';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
            detail = PG_EXCEPTION_DETAIL;
    END;
    IF state = 'CT422' THEN
        RETURN QUERY SELECT format('%s %s', e ->> 'loc', e ->> 'type')
            FROM jsonb_array_elements(detail::jsonb) AS d(e) ORDER BY (e ->> 'loc') COLLATE "C";
    ELSE
        RETURN NEXT concat_ws(' ', CASE WHEN state <> 'XX999' THEN state END, message);
    END IF;
END
$$;
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES
    ('fields-test', '{"type": "object", "required": ["who"], "properties": {"who": {"type": "string"}, "list": {"items": {"type": "integer"}},
      "a/b~c": {"type": "object", "properties": {"0": {"type": "null"}}}}}');
-- A contact that has joined before its list had a schema.
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('66666666-0000-4000-8000-000000000001', 'fields@example.com');
SELECT pg_temp.try('PUT', '[{"name": "fields-test", "fields": {"who": "x"}}]');
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('66666666-0000-4000-8000-000000000001', 'fields-old', '{"x": 1}');
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('fields-old', '{"required": ["y"]}');

SELECT waitlists, method, pg_temp.try(method, waitlists)
FROM (VALUES
    (1, '[{"name": "vpn", "fields": {"geo": 5, "other": true}}, {"name": "relay", "fields": {"platform": "x"}}]'),
    (2, '[{"name": "nobody-knows", "fields": {"geo": "fr", "anything": [1, 2]}}]'),
    (3, '[{"name": "nobody-knows", "fields": {"geo": []}}]'),
    (4, '[{"name": "fields-test"}]'),
    (5, '[{"name": "fields-test", "subscribed": false}]'),
    (6, '[{"name": "fields-test", "fields": {}}]'),
    (7, '[{"name": "x"}, {"name": "fields-test", "fields": {"who": "x", "list": [1, "2", 3, null], "a/b~c": {"0": 5}}}]'),
    (8, '[{"name": "fields-test", "fields": {"who": "x", "list": {"0": "x"}}}]'),
    (9, '[{"name": "fields-test", "fields": 5}, {"name": "vpn", "fields": {"geo": 5}}]'),
    (10, '[{"name": "fields-old", "subscribed": false}]'),
    (11, '[{"name": "fields-old", "source": "https://example.com/"}]'),
    (12, '[{"name": "fields-old", "fields": {"x": 2}}]')
) AS cases(n, waitlists), (VALUES (1, 'POST'), (2, 'PUT'), (3, 'PATCH')) AS methods(m, method)
ORDER BY n, m;

-- The message names the rule, not the value.
SELECT ctms.patch_contact('66666666-0000-4000-8000-000000000001', '{"waitlists": [{"name": "vpn", "fields": {"geo": {"secret": 1}}}]}');
-- Without the schema "default", an unknown name is refused.
BEGIN;
DELETE FROM ctms.waitlist_fields_schemas WHERE name = 'default';
SELECT pg_temp.try('PATCH', '[{"name": "nobody-knows"}]');
ROLLBACK;

SELECT ctms.delete_contact('fields@example.com') IS NOT NULL AS deleted;
DELETE FROM ctms.waitlist_fields_schemas WHERE name LIKE 'fields-%';
