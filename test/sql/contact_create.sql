-- ctms.create_contact(): POST /ctms.
CREATE FUNCTION pg_temp.try(body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result record;
    state text;
    message text;
    detail text;
BEGIN
    SELECT * INTO result FROM ctms.create_contact(body);
    RETURN format('%s %s', CASE WHEN result.is_created THEN 'created' ELSE 'exists' END,
                  result.contact::jsonb #>> '{email,primary_email}');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', state, message, detail);
END
$$;

-- Defaults of everything; the id of the answer is that of the row.
SELECT email_id, is_created, contact
FROM ctms.create_contact('{"email": {"primary_email": "create-minimal@example.com"}}') \gset
SELECT :'is_created' AS is_created, :'email_id' = email_id::text AS is_same_id,
       :'contact'::jsonb #>> '{email,email_id}' = email_id::text AS is_shown,
       substr(:'email_id', 15, 1) AS uuid_version
FROM ctms.emails WHERE primary_email = 'create-minimal@example.com';
-- Ids begin with the time, and each is greater than the last, also by the default of the table.
SELECT count(DISTINCT id), bool_and(id > earlier) AS is_ascending,
       bool_and(id::text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$') AS is_version_4,
       bool_and(abs(('x0000' || translate(left(id::text, 13), '-', ''))::bit(64)::bigint
                    - extract(epoch FROM clock_timestamp()) * 1000) < 600000) AS is_now
FROM (SELECT n, id, lag(id) OVER (ORDER BY n) AS earlier
      FROM (SELECT n, ctms.new_email_id() AS id FROM generate_series(1, 1000) AS n) AS made) AS ids
WHERE n > 1;
INSERT INTO ctms.emails (primary_email) VALUES ('create-by-sql@example.com')
    RETURNING email_id > :'email_id' AS is_later;
DELETE FROM ctms.emails WHERE primary_email = 'create-by-sql@example.com';
SELECT jsonb_pretty(:'contact'::jsonb #- '{email,email_id}' #- '{email,create_timestamp}'
                    #- '{email,update_timestamp}') AS contact;
SELECT e.primary_email, email_format, email_lang, double_opt_in, has_opted_out_of_email,
       (SELECT count(*) FROM ctms.amo AS a WHERE a.email_id = e.email_id) AS amo,
       (SELECT count(*) FROM ctms.fxa AS f WHERE f.email_id = e.email_id) AS fxa,
       (SELECT count(*) FROM ctms.mofo AS m WHERE m.email_id = e.email_id) AS mofo
FROM ctms.emails AS e WHERE e.primary_email = 'create-minimal@example.com';

-- Everything given; unknown keys ignored; keys in the answer's order.
\set full '{"email": {"email_id": "11111111-1111-4111-8111-111111111111", "primary_email": "create-full@example.com", "basket_token": "{ABCDEF00-0000-4000-8000-000000000001}", "double_opt_in": "Yes", "sfdc_id": "001A", "first_name": "Zo\\u00eb", "last_name": "\\"quoted\\"", "mailing_country": "us", "email_format": "T", "email_lang": "fr", "has_opted_out_of_email": 0, "unsubscribe_reason": "a\\nb", "create_timestamp": "1999-01-01T00:00:00Z", "unknown": 1}, "amo": {"add_on_ids": "a,b", "display_name": "d", "email_opt_in": "ON", "language": "en", "last_login": "2021-01-28", "location": "l", "profile_url": "firefox/user/98765", "user": 1, "user_id": 98765, "username": "u"}, "fxa": {"fxa_id": "create-fxa", "primary_email": "fxa@example.com", "created_date": "2021-01-29T18:43:49.082375+00:00", "lang": "en,en-US", "first_service": "sync", "account_deleted": "f"}, "mofo": {"mofo_email_id": "create-mofo", "mofo_contact_id": 5, "mofo_relevant": true}, "newsletters": [{"name": "z-last"}, {"name": "firefox-news", "subscribed": false, "format": "T", "lang": null, "source": " https://www.example.com/?a=b#c ", "unsub_reason": "too many"}], "waitlists": [{"name": "vpn", "fields": {"geo": "fr", "platform": "ios,mac"}}, {"name": "a-new-one", "source": "https://example.com/", "subscribed": "no", "unsub_reason": "r", "fields": {"n": 123456789012345678901234567890, "deep": {"x": [1.50, null]}}}], "products": [], "unknown": {"a": 1}}'
SELECT c.email_id, c.is_created,
       regexp_replace(c.contact::text, '\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00"(,"update|})', 'TIME"\2', 'g') AS contact
FROM ctms.create_contact(:'full') AS c;

-- The same again is the same contact, whatever the order and the form of what is equal.
SELECT pg_temp.try(:'full');
SELECT pg_temp.try(((:'full')::jsonb #- '{email,email_id}')::text);
SELECT pg_temp.try(jsonb_set((:'full')::jsonb, '{newsletters}',
    jsonb_build_array((:'full')::jsonb #> '{newsletters,1}', (:'full')::jsonb #> '{newsletters,0}'))::text);
-- Different content is a conflict, and so is any other clash.
SELECT what, pg_temp.try(body::text)
FROM (VALUES
    (1, 'another name', jsonb_set((:'full')::jsonb, '{email,first_name}', '"Other"')),
    (2, 'no name', (:'full')::jsonb #- '{email,first_name}'),
    (3, 'another id', jsonb_set((:'full')::jsonb, '{email,email_id}', '"22222222-2222-4222-8222-222222222222"')),
    (4, 'another address', jsonb_set((:'full')::jsonb, '{email,primary_email}', '"create-other@example.com"')),
    (5, 'address in another case', jsonb_set((:'full')::jsonb #- '{email,email_id}', '{email,primary_email}', '"CREATE-full@example.com"')),
    (6, 'another token', jsonb_set((:'full')::jsonb #- '{email,email_id}', '{email,basket_token}', '"abcdef00-0000-4000-8000-000000000002"')),
    (7, 'no AMO', (:'full')::jsonb - 'amo'),
    (8, 'one newsletter less', (:'full')::jsonb #- '{newsletters,0}'),
    (9, 'one newsletter more', jsonb_insert((:'full')::jsonb, '{newsletters,0}', '{"name": "more"}')),
    (10, 'other waitlist fields', jsonb_set((:'full')::jsonb, '{waitlists,0,fields,geo}', '"de"')),
    (11, 'token of another', '{"email": {"primary_email": "create-2@example.com", "basket_token": "abcdef00000040008000000000000001"}}'),
    (12, 'FxA ID of another', '{"email": {"primary_email": "create-2@example.com"}, "fxa": {"fxa_id": "create-fxa"}}'),
    (13, 'MoFo id of another', '{"email": {"primary_email": "create-2@example.com"}, "mofo": {"mofo_email_id": "create-mofo"}}'),
    (14, 'not half written', '{"email": {"primary_email": "create-2@example.com"}}')
) AS cases(id, what, body)
ORDER BY id;

-- Groups at their defaults are not stored, and equal to groups that are not given.
SELECT pg_temp.try('{"email": {"primary_email": "create-default@example.com"}, "amo": {"user": false, "location": null}, "fxa": {}, "mofo": null}');
SELECT count(*) FROM ctms.amo WHERE email_id = (SELECT email_id FROM ctms.emails WHERE primary_email = 'create-default@example.com');
SELECT pg_temp.try('{"email": {"primary_email": "create-default@example.com"}}');
SELECT pg_temp.try('{"email": {"primary_email": "create-default@example.com", "email_id": null, "basket_token": null}, "newsletters": [], "waitlists": []}');

-- The caller's settings have no say.
SET datestyle = 'SQL, DMY';
SET timezone = 'America/New_York';
SET search_path = pg_temp;
SELECT contact::jsonb #>> '{amo,last_login}' AS last_login,
       contact::jsonb #>> '{email,create_timestamp}' LIKE '%+00:00' AS is_utc
FROM ctms.create_contact('{"email": {"primary_email": "create-settings@example.com"}, "amo": {"last_login": "2021-02-03"}}');
RESET ALL;

-- What a REST server may do, and a reader may not.
SET ROLE ctms_api;
SELECT is_created FROM ctms.create_contact('{"email": {"primary_email": "create-role@example.com"}}');
SELECT count(*) FROM ctms.emails;
SET ROLE ctms_reader;
SELECT is_created FROM ctms.create_contact('{"email": {"primary_email": "create-role@example.com"}}');
RESET ROLE;

SELECT ctms.delete_contact(primary_email) IS NOT NULL AS deleted
FROM (SELECT primary_email FROM ctms.emails WHERE primary_email LIKE 'create-%' ORDER BY 1 OFFSET 0) AS e;

-- A trigger of somebody else adds the newsletter first.
BEGIN;
CREATE FUNCTION pg_temp.subscribe() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ctms.newsletters (email_id, name) VALUES (NEW.email_id, 'hubs');
    RETURN NULL;
END
$$;
CREATE TRIGGER subscribe AFTER INSERT ON ctms.emails FOR EACH ROW EXECUTE FUNCTION pg_temp.subscribe();
SELECT pg_temp.try('{"email": {"primary_email": "create-trigger@example.com"}, "newsletters": [{"name": "hubs"}]}');
SELECT pg_temp.try('{"email": {"primary_email": "create-trigger@example.com"}, "newsletters": [{"name": "other"}]}');
ROLLBACK;
