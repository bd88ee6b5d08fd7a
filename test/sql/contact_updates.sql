-- ctms.get_updates(): GET /updates. All contacts of this file are of the year 1901.
CREATE FUNCTION pg_temp.try(start text, "end" text, "limit" text, after text, mofo text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    detail text;
BEGIN
    RETURN NEXT left(ctms.get_updates(start, "end", "limit", after, mofo)::text, 120);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT format('%s %s %s: %s', state, e ->> 'loc', e ->> 'type', e ->> 'msg')
        FROM jsonb_array_elements(detail::jsonb) WITH ORDINALITY AS d(e, n) ORDER BY n;
END
$$;

-- 25 contacts, most of them with equal times.
INSERT INTO ctms.emails (email_id, primary_email, create_timestamp, update_timestamp)
    SELECT ('eeeeeeee-0000-4000-8000-0000000000' || lpad(i::text, 2, '0'))::uuid, 'updates-' || i || '@example.com', '1901-01-01 00:00+00',
           '1901-01-01 00:00+00'::timestamptz + (i / 10) * interval '1 day' + CASE WHEN i = 24 THEN interval '1 microsecond' ELSE '0' END
    FROM generate_series(0, 24) AS i;
INSERT INTO ctms.mofo (email_id, mofo_relevant)
    SELECT ('eeeeeeee-0000-4000-8000-0000000000' || lpad(i::text, 2, '0'))::uuid, relevant
    FROM (VALUES (1, true), (2, false), (3, NULL), (21, true)) AS m(i, relevant);
INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'n' FROM ctms.emails WHERE primary_email LIKE 'updates-1%';
INSERT INTO ctms.waitlists (email_id, name) SELECT email_id, 'w' FROM ctms.emails WHERE primary_email LIKE 'updates-2%';

-- The frame of an answer, and the next page's URL.
SELECT jsonb_pretty(u - 'items') AS frame, jsonb_array_length(u -> 'items') AS items
FROM (SELECT ctms.get_updates('1901-01-01T00:00:00Z', '1901-02-01T12:30:00.5+01:00', '10', '', 'false', 'http://localhost:8000')::jsonb) AS f(u);
SELECT u - 'items' AS frame, jsonb_array_length(u -> 'items') AS items
FROM (SELECT ctms.get_updates('1901-01-01', '1901-02-01')::jsonb) AS f(u);
SELECT (ctms.get_updates('1901-01-01', '1901-02-01', '1') #> '{items,0}')::jsonb
       = ctms.get_contact('eeeeeeee-0000-4000-8000-000000000000')::jsonb - 'status' AS is_a_contact;

-- All pages of every size: each contact once, in order.
CREATE FUNCTION pg_temp.walk("limit" int, mofo text, OUT pages int, OUT contacts text) LANGUAGE plpgsql AS $$
DECLARE
    page jsonb;
    after text = '';
BEGIN
    pages = 0;
    contacts = '';
    LOOP
        page = ctms.get_updates('1901-01-01', '1901-02-01', "limit"::text, after, mofo);
        pages = pages + 1;
        contacts = concat_ws(' ', nullif(contacts, ''), (SELECT string_agg(right(c #>> '{email,email_id}', 2), ' ' ORDER BY n)
            FROM jsonb_array_elements(page -> 'items') WITH ORDINALITY AS i(c, n)));
        ASSERT (page ->> 'after' IS NULL) = (page ->> 'next' IS NULL);
        EXIT WHEN page ->> 'next' IS NULL OR pages > 30;
        ASSERT substring(page ->> 'next' FROM 'after=([^&]*)') = page ->> 'after';
        after = page ->> 'after';
    END LOOP;
END
$$;
SELECT size, (pg_temp.walk(size, mofo)).* FROM unnest('{1,2,3,5,7,24,25,26,1000}'::int[]) AS size, (VALUES ('')) AS m(mofo) ORDER BY size;
SELECT mofo, (pg_temp.walk(4, mofo)).* FROM unnest('{true,false,YES,0}'::text[]) WITH ORDINALITY AS m(mofo, n) ORDER BY n;

-- start is included, end is not; equal times are no error; an empty range is empty.
SELECT start, "end", (SELECT count(*) FROM json_array_elements(ctms.get_updates(start, "end") -> 'items'))
FROM (VALUES (1, '1901-01-02', '1901-01-03'), (2, '1901-01-02T00:00:00.000001', '1901-01-03'), (3, '1901-01-02', '1901-01-03T00:00:00.000001'),
             (4, '1901-01-03T00:00:00.000001', '1901-01-03T00:00:00.000002'), (5, '1901-01-02', '1901-01-02'), (6, '1901-01-04', '1901-01-05')) AS r(n, start, "end") ORDER BY n;
-- An "after" of before start does not bring start forward; one from elsewhere only moves on.
SELECT pg_temp.try('1901-01-03', '1901-02-01', '1', ctms.get_updates('1901-01-01', '1901-02-01', '1') ->> 'after', '') = pg_temp.try('1901-01-03', '1901-02-01', '1', '', '') AS is_same;

-- A cursor with a character changed.
SELECT count(*) AS refused FROM (SELECT ctms.get_updates('1901-01-01', '1901-02-01', '1') ->> 'after') AS u(after), generate_series(1, 36) AS i,
    pg_temp.try('1901-01-01', '1901-02-01', '1', overlay(after PLACING CASE substr(after, i, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM i FOR 1), '') AS result
WHERE result LIKE 'CT422%';

-- Forms of a time. A space is what an unescaped "+" in a URL becomes.
SELECT start, ctms.get_updates(start, '1902-01-01') ->> 'start'
FROM unnest('{1901-01-01,1901-01-01T10:20,1901-01-01 10:20:30,1901-01-01t10:20:30.5z,1901-01-01T10:20:30.123456789Z,"1901-01-01T10:20:30,25Z",1901-01-01T00:00:00+05:30,1901-01-01T00:00:00 05:30,1901-01-01T00:00:00-0800,1901-01-01T00:00+01,0001-01-01T00:00:00Z,1901-01-01T23:59:59.999999Z}'::text[]) WITH ORDINALITY AS t(start, n) ORDER BY n;

-- Unix seconds: integers and decimals, cut at microseconds. Beyond 20,000,000,000 either way they are
-- milliseconds, then microseconds and nanoseconds, as for the older service.
SELECT start, ctms.get_updates(start, '9999-01-01', '1') ->> 'start' AS read_as
FROM unnest('{0,-0,+0,00000000000000000000000001,1600000000,+1600000000,-2177452800,1600000000.5,1600000000.0000019,-0.0000019,-1.25,20000000000,20000000000.000,20000000000.1,20000000001,-20000000000,-20000000001,1600000000123,1600000000123.4567,1600000000123456,1600000000123456789,1600000000123456789.999,20000000000000000000}'::text[]) WITH ORDINALITY AS t(start, n) ORDER BY n;
SELECT u ->> 'start' AS start, u ->> 'end' AS "end", json_array_length(u -> 'items') AS items, (u ->> 'next') LIKE '/updates?start=1901-01-02T00%3A00%3A00%2B00%3A00&end=1901-01-03T00%3A00%3A00%2B00%3A00&limit=3&after=%' AS has_next
FROM ctms.get_updates('-2177366400', '-2177280000.0', '3') AS u;

-- The end is now when it is not given.
SELECT (u ->> 'end')::timestamptz = now() AS is_now FROM (SELECT ctms.get_updates('1901-01-01', '', '', '', '')) AS f(u);

-- Bad values, all of them named; never a value in a message.
SELECT pg_temp.try(NULL, NULL, NULL, NULL, NULL);
SELECT pg_temp.try('', 'x', '0', 'x', 'x');
SELECT value, pg_temp.try(value, NULL, NULL, NULL, NULL) FROM unnest('{now,infinity,nan,-,+,.5,5.,1.5.5,--1,1e9,1_000,0x10," 1600000000","1600000000 ","1600000000,5",20000000000000000000.1,20000000000000000001,100000000000000000000000000000000000000000000000000000,1901-02-30,1901-1-1,1901-01-01T24:00,1901-01-01T10,1901-01-01T10:20:60Z,1901-01-01T10:20:30.,1901-01-01T10:20+1,1901-01-01T10:20+24:00,1901-01-01T10:20Zx,"1901-01-01 ",10000-01-01,0000-01-01}'::text[]) WITH ORDINALITY AS t(value, n) ORDER BY n;
SELECT value, pg_temp.try('1901-01-01', '1901-01-01', value, NULL, NULL) FROM unnest('{1,1000,1001,0,-1,-0,00001,99999999999999999999999999,1.0,1e2,abc," 1",+1,-,0x10}'::text[]) WITH ORDINALITY AS t(value, n) ORDER BY n;
SELECT pg_temp.try('1901-01-02', '1901-01-01', NULL, NULL, NULL);
SELECT pg_temp.try('0', '-1', NULL, NULL, NULL);
SELECT pg_temp.try('1e9', '1e9', NULL, NULL, NULL);
SELECT pg_temp.try('2999-01-01', NULL, NULL, NULL, NULL);
SELECT value, pg_temp.try('1901-01-01', '1901-02-01', '1', value, NULL) FROM (VALUES
    (1, repeat('A', 35)), (2, repeat('A', 37)), (3, repeat('A', 35) || '='), (4, repeat('A', 35) || '+'), (5, repeat('A', 35) || '/'),
    (6, repeat('A', 36)), (7, repeat('_', 36)), (8, repeat('é', 18)), (9, '%41' || repeat('A', 33)),
    (10, encode('332de237-cab7-4461-bcc3-48e68f42bd5c,2020-01-01', 'base64'))
) AS t(n, value) ORDER BY n;

DELETE FROM ctms.newsletters WHERE email_id::text LIKE 'eeeeeeee-0000-4000-8000-0000000000%';
DELETE FROM ctms.waitlists WHERE email_id::text LIKE 'eeeeeeee-0000-4000-8000-0000000000%';
DELETE FROM ctms.mofo WHERE email_id::text LIKE 'eeeeeeee-0000-4000-8000-0000000000%';
DELETE FROM ctms.emails WHERE email_id::text LIKE 'eeeeeeee-0000-4000-8000-0000000000%';
