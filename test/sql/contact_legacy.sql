-- Bodies of older clients: vpn_waitlist, relay_waitlist, and newsletters that stand for waitlists.
CREATE FUNCTION pg_temp.show(contact json) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' | ',
        (SELECT string_agg(format('%s%s%s%s', CASE WHEN (w ->> 'subscribed')::boolean THEN '' ELSE '-' END, w ->> 'name',
             w ->> 'fields', CASE WHEN w ->> 'source' IS NOT NULL THEN ' from ' || (w ->> 'source') END
             || coalesce(' because ' || (w ->> 'unsub_reason'), '')), ', ' ORDER BY n)
         FROM json_array_elements(contact -> 'waitlists') WITH ORDINALITY AS l(w, n)),
        contact ->> 'vpn_waitlist', contact ->> 'relay_waitlist')
$$;
CREATE FUNCTION pg_temp.error(state text, detail text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s %s', state, e ->> 'loc', split_part(e ->> 'type', '.', 1)), ', ' ORDER BY n)
    FROM jsonb_array_elements(detail::jsonb) WITH ORDINALITY AS d(e, n)
$$;
-- Each body against a contact of its own that has `before`; all is undone.
CREATE FUNCTION pg_temp.try(method text, before text, body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id uuid = 'ffffffff-0000-4000-8000-000000000001';
    email jsonb = '{"email": {"primary_email": "legacy@example.com"}}';
    result text;
    state text;
    detail text;
BEGIN
    BEGIN
        IF method <> 'POST' THEN
            PERFORM ctms.put_contact(id, (email || jsonb_build_object('waitlists', before::jsonb))::text);
        END IF;
        result = CASE method
            WHEN 'POST' THEN (SELECT pg_temp.show(contact) FROM ctms.create_contact((email || body::jsonb)::text))
            WHEN 'PUT' THEN pg_temp.show(ctms.put_contact(id, (email || body::jsonb)::text))
            ELSE pg_temp.show(ctms.patch_contact(id, body)) END;
        RAISE EXCEPTION SQLSTATE 'XX999';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
        RETURN CASE WHEN state = 'XX999' THEN result ELSE pg_temp.error(state, detail) END;
    END;
END
$$;

\set nothing '[]'
\set vpn '[{"name": "vpn", "fields": {"geo": "fr", "platform": "ios"}, "source": "https://example.com/", "unsub_reason": "r"}]'
\set left_vpn '[{"name": "vpn", "subscribed": false, "fields": {"geo": "fr", "platform": "ios"}, "source": "https://example.com/", "unsub_reason": "r"}]'
\set relays '[{"name": "relay-a", "fields": {"geo": "es", "x": 1}, "source": "https://example.com/"}, {"name": "relay-b", "subscribed": false, "fields": {"geo": "es"}}, {"name": "vpn", "fields": {"geo": "fr"}}, {"name": "other"}]'
\set left_relays '[{"name": "relay-a", "subscribed": false, "fields": {"geo": "es"}}, {"name": "relay-b", "subscribed": false, "fields": {}}]'

\echo vpn_waitlist
SELECT body, pg_temp.try('POST', NULL, body) AS post, pg_temp.try('PATCH', :'nothing', body) AS patch_nothing, pg_temp.try('PATCH', :'vpn', body) AS patch_vpn,
       pg_temp.try('PATCH', :'left_vpn', body) AS patch_left_vpn, pg_temp.try('PUT', :'vpn', body) AS put_vpn
FROM (VALUES
    (1, '{"vpn_waitlist": {"geo": "de", "platform": "mac"}}'),
    (2, '{"vpn_waitlist": {"geo": "de"}}'),
    (3, '{"vpn_waitlist": {"geo": "", "platform": ""}}'),
    (4, '{"vpn_waitlist": {"platform": 5}}'),
    (5, '{"vpn_waitlist": {"geo": null, "platform": null}}'),
    (6, '{"vpn_waitlist": {}}'),
    (7, '{"vpn_waitlist": null}'),
    (8, '{"vpn_waitlist": "DELETE"}'),
    (9, '{}'),
    (10, '{"vpn_waitlist": {"geo": "de"}, "waitlists": []}'),
    (11, '{"vpn_waitlist": {"geo": "de"}, "waitlists": [{"name": "other"}]}'),
    (12, '{"newsletters": [{"name": "guardian-vpn-waitlist", "subscribed": false}]}'),
    (13, '{"newsletters": [{"name": "vpn-waitlist", "subscribed": false}]}'),
    (14, '{"newsletters": [{"name": "guardian-vpn-waitlist"}]}'),
    (15, '{"newsletters": [{"name": "guardian-vpn", "subscribed": false}, {"name": "vpn", "subscribed": false}, {"name": "-waitlist", "subscribed": false}]}'),
    (16, '{"newsletters": [{"name": "guardian-vpn-waitlist", "subscribed": false}], "vpn_waitlist": {"geo": "de"}}'),
    (17, '{"newsletters": [{"name": "guardian-vpn-waitlist", "subscribed": false}], "waitlists": [{"name": "other"}]}')
) AS bodies(n, body) ORDER BY n;
\echo relay_waitlist
SELECT body, pg_temp.try('POST', NULL, body) AS post, pg_temp.try('PATCH', :'nothing', body) AS patch_nothing, pg_temp.try('PATCH', :'relays', body) AS patch_relays,
       pg_temp.try('PATCH', :'left_relays', body) AS patch_left_relays, pg_temp.try('PUT', :'relays', body) AS put_relays
FROM (VALUES
    (1, '{"relay_waitlist": {"geo": "de"}}'),
    (2, '{"relay_waitlist": {"geo": "de"}, "newsletters": [{"name": "relay-new-waitlist"}, {"name": "relay-b-waitlist"}, {"name": "news"}]}'),
    (3, '{"relay_waitlist": {"geo": "de"}, "newsletters": [{"name": "relay-x"}, {"name": "relay-x-waitlist"}]}'),
    (4, '{"relay_waitlist": {"geo": "de"}, "newsletters": [{"name": "relay-new-waitlist"}, {"name": "relay-a-waitlist", "subscribed": false}]}'),
    (5, '{"relay_waitlist": {"geo": "de"}, "newsletters": [{"name": "relay-a-waitlist", "subscribed": false}]}'),
    (6, '{"relay_waitlist": {"geo": null}}'),
    (7, '{"relay_waitlist": {}}'),
    (8, '{"relay_waitlist": null}'),
    (9, '{"relay_waitlist": "DELETE"}'),
    (10, '{"newsletters": [{"name": "relay-a-waitlist", "subscribed": false}]}'),
    (11, '{"newsletters": [{"name": "relay-new-waitlist"}]}'),
    (12, '{"relay_waitlist": {"geo": "de"}, "waitlists": [{"name": "other"}]}'),
    (13, '{"relay_waitlist": {"geo": "de"}, "vpn_waitlist": {"geo": "it"}}')
) AS bodies(n, body) ORDER BY n;
\echo UNSUBSCRIBE
SELECT body, pg_temp.try('PATCH', :'relays', body) AS patch_relays
FROM (VALUES
    (1, '{"newsletters": "UNSUBSCRIBE"}'),
    (2, '{"waitlists": "UNSUBSCRIBE"}'),
    (3, '{"newsletters": "UNSUBSCRIBE", "waitlists": []}'),
    (4, '{"newsletters": "UNSUBSCRIBE", "waitlists": [{"name": "vpn", "fields": {"geo": "it"}}]}'),
    (5, '{"newsletters": "UNSUBSCRIBE", "vpn_waitlist": {"geo": "it"}, "relay_waitlist": {"geo": "it"}}'),
    (6, '{"newsletters": "UNSUBSCRIBE", "waitlists": "UNSUBSCRIBE"}'),
    (7, '{"waitlists": "UNSUBSCRIBE", "vpn_waitlist": {"geo": "it"}}')
) AS bodies(n, body) ORDER BY n;

-- A repeated POST is recognised.
\set post '{"email": {"primary_email": "legacy@example.com"}, "vpn_waitlist": {"geo": "fr", "platform": null}, "relay_waitlist": {"geo": "fr"}, "newsletters": [{"name": "relay-a-waitlist"}, {"name": "guardian-vpn-waitlist"}]}'
SELECT is_created, pg_temp.show(contact) FROM ctms.create_contact(:'post');
SELECT is_created, pg_temp.show(contact) FROM ctms.create_contact(:'post');
SELECT is_created FROM ctms.create_contact(replace(:'post', '"fr"', '"de"'));
SELECT ctms.delete_contact('legacy@example.com') IS NOT NULL AS deleted;
SELECT is_created, pg_temp.show(contact) FROM ctms.create_contact('{"email": {"primary_email": "legacy@example.com"}, "vpn_waitlist": {}, "relay_waitlist": {"geo": null}}');
SELECT is_created, pg_temp.show(contact) FROM ctms.create_contact('{"email": {"primary_email": "legacy@example.com"}, "vpn_waitlist": {}, "relay_waitlist": {"geo": null}}');
SELECT ctms.delete_contact('legacy@example.com') IS NOT NULL AS deleted;

-- Fields that a schema refuses: the error names the member that gave them, once.
SELECT body, pg_temp.try('POST', NULL, body) AS post, pg_temp.try('PATCH', :'relays', body) AS patch_relays
FROM (VALUES
    (1, jsonb_build_object('vpn_waitlist', jsonb_build_object('geo', repeat('x', 101), 'platform', repeat('y', 101)))::text),
    (2, jsonb_build_object('relay_waitlist', jsonb_build_object('geo', repeat('x', 101)))::text),
    (3, jsonb_build_object('relay_waitlist', jsonb_build_object('geo', repeat('x', 101)), 'newsletters', '[{"name": "relay-1"}, {"name": "relay-2"}]'::jsonb)::text),
    (4, jsonb_build_object('vpn_waitlist', jsonb_build_object('geo', repeat('x', 101)), 'relay_waitlist', jsonb_build_object('geo', repeat('x', 101)), 'mofo', 5)::text)
) AS bodies(n, body) ORDER BY n;
