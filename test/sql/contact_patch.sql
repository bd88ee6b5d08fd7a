-- ctms.patch_contact(): PATCH /ctms/{email_id}.
CREATE FUNCTION pg_temp.patch(body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    contact jsonb;
    state text;
    message text;
    detail text;
BEGIN
    contact = ctms.patch_contact('aaaaaaaa-0000-4000-8000-000000000001', body);
    RETURN contact ->> 'status';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', state, message, detail);
END
$$;
-- What is stored: only what is not at its default, without times.
CREATE FUNCTION pg_temp.stored() RETURNS TABLE (what text, content jsonb) LANGUAGE sql AS $$
    SELECT 'email', to_jsonb(e) - '{email_id,create_timestamp,update_timestamp}'::text[]
    FROM ctms.emails AS e WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001'
    UNION ALL SELECT 'amo', to_jsonb(a) - '{id,email_id,create_timestamp,update_timestamp}'::text[]
    FROM ctms.amo AS a WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001'
    UNION ALL SELECT 'fxa', to_jsonb(a) - '{id,email_id,create_timestamp,update_timestamp}'::text[]
    FROM ctms.fxa AS a WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001'
    UNION ALL SELECT 'mofo', to_jsonb(a) - '{id,email_id,create_timestamp,update_timestamp}'::text[]
    FROM ctms.mofo AS a WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001'
    UNION ALL (SELECT 'newsletter', to_jsonb(a) - '{id,email_id,create_timestamp,update_timestamp}'::text[]
    FROM ctms.newsletters AS a WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001' ORDER BY name COLLATE "C")
    UNION ALL (SELECT 'waitlist', to_jsonb(a) - '{id,email_id,create_timestamp,update_timestamp}'::text[]
    FROM ctms.waitlists AS a WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001' ORDER BY name COLLATE "C")
$$;

SELECT pg_temp.patch('{}');
SELECT is_created FROM ctms.create_contact('{"email": {"email_id": "aaaaaaaa-0000-4000-8000-000000000001", "primary_email": "patch@example.com", "first_name": "F", "last_name": "L"},
    "amo": {"username": "u", "user": true}, "fxa": {"fxa_id": "patch-fxa", "lang": "en"},
    "newsletters": [{"name": "a", "source": "https://example.com/a"}, {"name": "b", "format": "T"}, {"name": "c", "subscribed": false}],
    "waitlists": [{"name": "vpn", "source": "https://example.com/v", "fields": {"geo": "fr", "platform": "ios"}}, {"name": "w"}]}');
SELECT is_created FROM ctms.create_contact('{"email": {"primary_email": "patch-2@example.com", "basket_token": "c0000000-0000-4000-8000-000000000002"},
    "fxa": {"fxa_id": "patch-fxa-2"}, "mofo": {"mofo_email_id": "patch-mofo-2"}}');
SELECT * FROM pg_temp.stored();

-- Only what is given changes.
SELECT pg_temp.patch('{"email": {"last_name": null, "double_opt_in": "y", "email_id": null}, "amo": {"user_id": 5}, "mofo": {"mofo_relevant": true}}');
SELECT pg_temp.patch('{"newsletters": [{"name": "b", "lang": "fr"}, {"name": "c", "subscribed": true, "unsub_reason": "r"}, {"name": "d", "lang": null}, {"name": "unknown", "subscribed": false}],
    "waitlists": [{"name": "vpn", "subscribed": false, "unsub_reason": "moved"}, {"name": "w", "fields": {"x": 1}}, {"name": "unknown", "subscribed": false, "fields": {"geo": "de"}}, {"name": "z", "source": "https://example.com/z"}]}');
SELECT * FROM pg_temp.stored();
-- Fields are replaced as a whole, or kept.
SELECT pg_temp.patch('{"waitlists": [{"name": "vpn", "fields": {"geo": "de"}}, {"name": "w", "subscribed": true}]}');
SELECT * FROM pg_temp.stored() WHERE what = 'waitlist';

-- Words.
SELECT pg_temp.patch('{"newsletters": "UNSUBSCRIBE", "amo": "DELETE", "fxa": "DELETE", "mofo": "DELETE"}');
SELECT * FROM pg_temp.stored();
SELECT pg_temp.patch('{"waitlists": "UNSUBSCRIBE", "mofo": "DELETE"}');
SELECT * FROM pg_temp.stored() WHERE what = 'waitlist';
-- A group that becomes all default is deleted; one that is all default is not created.
SELECT pg_temp.patch('{"fxa": {"fxa_id": "patch-fxa"}, "mofo": {"mofo_relevant": false}, "amo": {}}');
SELECT what FROM pg_temp.stored() WHERE what IN ('amo', 'fxa', 'mofo');
SELECT pg_temp.patch('{"fxa": {"fxa_id": null}}');
SELECT what FROM pg_temp.stored() WHERE what IN ('amo', 'fxa', 'mofo');

-- Clashes; nothing of a refused body is stored.
SELECT body, pg_temp.patch(body) FROM (VALUES
    (1, '{"email": {"primary_email": "PATCH-2@example.com", "first_name": "X"}}'),
    (2, '{"email": {"basket_token": "C0000000000040008000000000000002"}, "amo": {"username": "X"}}'),
    (3, '{"fxa": {"fxa_id": "patch-fxa-2"}}'),
    (4, '{"newsletters": [{"name": "X"}], "mofo": {"mofo_email_id": "patch-mofo-2"}}'),
    (5, '{"email": {"primary_email": "Patch@Example.com"}}'),
    (6, '{"email": {"primary_email": "patch-3@example.com", "basket_token": null}}')
) AS bodies(n, body) ORDER BY n;
SELECT * FROM pg_temp.stored() WHERE what <> 'waitlist';
-- The field that is taken is known whatever the index is called, for a unique index of somebody else
-- too; not for a key of several columns, nor for a table that is not one of contacts.
BEGIN;
ALTER INDEX ctms.emails_primary_email_lower_key RENAME TO renamed;
CREATE UNIQUE INDEX own ON ctms.emails (sfdc_id) WHERE primary_email LIKE 'patch%';
CREATE UNIQUE INDEX several ON ctms.emails (first_name, last_name) WHERE primary_email LIKE 'patch%';
CREATE TEMP TABLE emails (primary_email text PRIMARY KEY);
CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO pg_temp.emails VALUES (NEW.last_name); RETURN NEW; END';
CREATE TRIGGER note BEFORE UPDATE ON ctms.emails FOR EACH ROW WHEN (NEW.last_name = 'noted') EXECUTE FUNCTION pg_temp.note();
UPDATE ctms.emails SET sfdc_id = 'S', first_name = 'A', last_name = ')=(' WHERE primary_email = 'patch-2@example.com';
INSERT INTO pg_temp.emails VALUES ('noted');
SELECT body, pg_temp.patch(body) FROM (VALUES
    (1, '{"email": {"primary_email": "patch-2@example.com"}}'),
    (2, '{"email": {"sfdc_id": "S"}}'),
    (3, '{"email": {"first_name": "A", "last_name": ")=("}}'),
    (4, '{"email": {"last_name": "noted"}}')
) AS bodies(n, body) ORDER BY n;
ROLLBACK;
SELECT ctms.patch_contact('aaaaaaaa-0000-4000-8000-00000000000f', '{}');

-- Every PATCH moves the contact's update_timestamp, but writes only rows that change.
CREATE TEMP TABLE before AS
    SELECT e.update_timestamp, n.xmin::text::bigint AS newsletter, w.xmin::text::bigint AS waitlist
    FROM ctms.emails AS e JOIN ctms.newsletters AS n USING (email_id) JOIN ctms.waitlists AS w USING (email_id)
    WHERE e.email_id = 'aaaaaaaa-0000-4000-8000-000000000001' AND n.name = 'a' AND w.name = 'w';
SELECT pg_temp.patch('{"newsletters": [{"name": "a", "subscribed": false}, {"name": "b"}], "waitlists": "UNSUBSCRIBE"}');
SELECT e.update_timestamp > b.update_timestamp AS is_moved, n.xmin::text::bigint = b.newsletter AS is_newsletter_untouched,
       w.xmin::text::bigint = b.waitlist AS is_waitlist_untouched
FROM before AS b, ctms.emails AS e JOIN ctms.newsletters AS n USING (email_id) JOIN ctms.waitlists AS w USING (email_id)
WHERE e.email_id = 'aaaaaaaa-0000-4000-8000-000000000001' AND n.name = 'a' AND w.name = 'w';
BEGIN;
SELECT pg_temp.patch('{}');
SELECT update_timestamp AS first FROM ctms.emails WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001' \gset
SELECT pg_temp.patch('{}');
SELECT update_timestamp > :'first' AS is_moved_again FROM ctms.emails WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001';
COMMIT;

-- The answer shows what is stored now.
SELECT ctms.patch_contact('aaaaaaaa-0000-4000-8000-000000000001', '{"email": {"first_name": "New"}}') AS answer \gset
SELECT :'answer' = ctms.get_contact('aaaaaaaa-0000-4000-8000-000000000001')::text AS is_current;

-- Many items at once, some of them known.
SELECT pg_temp.patch((SELECT jsonb_build_object('newsletters', jsonb_agg(jsonb_build_object('name', 'n' || i, 'lang', 'fr')))
    FROM generate_series(1, 300) AS i)::text);
SELECT pg_temp.patch((SELECT jsonb_build_object('newsletters', jsonb_agg(jsonb_build_object('name', 'n' || i, 'format', 'T')))
    FROM generate_series(200, 400) AS i)::text);
SELECT format, lang, count(*) FROM ctms.newsletters
WHERE email_id = 'aaaaaaaa-0000-4000-8000-000000000001' AND name LIKE 'n_%' GROUP BY 1, 2 ORDER BY 1, 2;

SELECT ctms.delete_contact('patch-3@example.com') IS NOT NULL, ctms.delete_contact('patch-2@example.com') IS NOT NULL;
