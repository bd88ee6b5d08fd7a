-- Trigger functions look at their table before they touch a row, and nobody may execute them.
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    -- As at COMMIT: the queue is written, deferred triggers fire.
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''));
END
$$;

-- Views would refuse another type of their columns.
CREATE FUNCTION pg_temp.drop_views() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    view name;
BEGIN
    FOREACH view IN ARRAY '{segment_counts,contact_products,waitlist_counts,stripe_unconnected}'::name[] LOOP
        EXECUTE format('ALTER EXTENSION ctms DROP VIEW ctms.%1$I; DROP VIEW ctms.%1$I', view);
    END LOOP;
END
$$;

-- Every one, so that a new one is not forgotten.
SELECT p.proname, r.role
FROM pg_proc p, unnest('{public,ctms_api,ctms_agent,ctms_admin,ctms_reader}'::text[]) AS r (role)
WHERE p.pronamespace = 'ctms'::regnamespace AND p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
  AND has_function_privilege(r.role, p.oid, 'EXECUTE')
ORDER BY 1, 2;
SELECT count(*) FILTER (WHERE l.lanname = 'c') >= 6 AS has_c, count(*) FILTER (WHERE l.lanname = 'plpgsql') >= 6 AS has_plpgsql
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'ctms'::regnamespace AND p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype);

-- A member of ctms_admin attaches them to a table of its own.
SET ROLE ctms_admin;
CREATE TEMP TABLE crash (email_id int, fxa_id bigint);
SELECT pg_temp.try($$CREATE TRIGGER z AFTER INSERT ON crash FOR EACH ROW EXECUTE FUNCTION ctms._enqueue('contact', 'email_id')$$);
SELECT pg_temp.try($$CREATE TRIGGER z AFTER INSERT ON crash FOR EACH ROW EXECUTE FUNCTION ctms._enqueue('fxa', 'fxa_id')$$);
SELECT pg_temp.try($$CREATE TRIGGER z BEFORE INSERT ON crash FOR EACH ROW EXECUTE FUNCTION ctms._check_waitlist_fields()$$);
SELECT pg_temp.try($$CREATE TRIGGER z BEFORE DELETE ON crash FOR EACH ROW EXECUTE FUNCTION ctms._note_deleted_contact()$$);
DROP TABLE crash;
RESET ROLE;

-- A superuser attaches each function written in C to relations that are not ours, in every way.
CREATE TEMP TABLE wrong_plain (email_id int, fxa_id bigint, name int, fields bigint, schema bigint, update_timestamp date);
CREATE TEMP TABLE wrong_values (LIKE wrong_plain);
INSERT INTO wrong_values VALUES (1, 1, 1, 1, 1, '2001-02-03');
CREATE TEMP VIEW wrong_view AS SELECT * FROM wrong_plain;
CREATE TEMP TABLE wrong_parted (LIKE wrong_plain) PARTITION BY LIST (email_id);
CREATE TEMP TABLE wrong_part PARTITION OF wrong_parted DEFAULT;
-- These have the right columns, but are elsewhere.
CREATE TEMP TABLE emails (email_id uuid, fxa_id text, name text, fields jsonb, schema jsonb, update_timestamp timestamptz);
CREATE TEMP TABLE emails_values (LIKE emails);
INSERT INTO emails_values VALUES ('00000000-0000-4000-8000-000000021301', 'a', 'a', '{}', '{}', '2001-02-03');

CREATE TEMP TABLE outcome (function text COLLATE "C", relation text COLLATE "C", timing text, event text, level text, outcome text);
CREATE FUNCTION pg_temp.attach(function text, relation text, timing text, event text, level text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    source text := CASE WHEN relation = 'emails' THEN 'emails_values' ELSE 'wrong_values' END;
    made text := pg_temp.try(format('CREATE TRIGGER attached %s %s ON %I FOR EACH %s EXECUTE FUNCTION ctms.%I%s',
        timing, event, relation, level, function, CASE function WHEN '_enqueue' THEN '(''contact'', ''email_id'')' ELSE '()' END));
    fired text;
BEGIN
    IF made <> 'done' THEN
        RETURN NULL;  -- PostgreSQL has no such trigger
    END IF;
    -- A row for UPDATE and DELETE, without the trigger.
    IF event <> 'INSERT' AND relation <> 'wrong_view' THEN
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', relation);
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', relation, source);
        EXECUTE format('ALTER TABLE %I ENABLE TRIGGER USER', relation);
    ELSIF event <> 'INSERT' THEN
        INSERT INTO wrong_plain SELECT * FROM wrong_values;
    END IF;
    fired := pg_temp.try(CASE event
        WHEN 'INSERT' THEN format('INSERT INTO %I SELECT * FROM %I', relation, source)
        WHEN 'UPDATE' THEN format('UPDATE %I SET name = ''2''', relation)
        WHEN 'DELETE' THEN format('DELETE FROM %I', relation)
        ELSE format('TRUNCATE %I', relation) END);
    EXECUTE format('DROP TRIGGER attached ON %I', relation);
    EXECUTE format('TRUNCATE %I', CASE relation WHEN 'wrong_view' THEN 'wrong_plain' ELSE relation END);
    RETURN fired;
END
$$;

INSERT INTO outcome
SELECT p.proname, r.relation, t.timing, e.event, l.level, pg_temp.attach(p.proname, r.relation, t.timing, e.event, l.level)
FROM pg_proc p, unnest('{emails,wrong_plain,wrong_view,wrong_parted}'::text[]) AS r (relation),
    unnest('{BEFORE,AFTER,INSTEAD OF}'::text[]) AS t (timing), unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) AS e (event),
    unnest('{ROW,STATEMENT}'::text[]) AS l (level)
WHERE p.pronamespace = 'ctms'::regnamespace AND p.prorettype = 'trigger'::regtype AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
ORDER BY p.proname COLLATE "C", 2, 3, 4, 5;
-- A statement on the view is rewritten to one on its table, so triggers of the view for statements do not fire.
SELECT function, relation, timing, event, level, outcome FROM outcome
WHERE outcome NOT LIKE '39P01: function "ctms.' || function || '" %' AND NOT (relation = 'wrong_view' AND level = 'STATEMENT' AND outcome = 'done')
ORDER BY 1, 2, 3, 4, 5;
SELECT count(outcome) >= 7 * (14 + 14 + 14 + 9) AS has_fired FROM outcome;

-- The right moments, the wrong relation.
SELECT DISTINCT function, relation, regexp_replace(outcome, 'pg_temp_\d+', 'pg_temp') AS outcome FROM outcome WHERE outcome LIKE '% cannot be a trigger of %'
  AND function IN ('_check_setting', '_check_waitlist_fields', '_check_waitlist_schema', '_enqueue', '_invalidate_table', '_lock_waitlists', '_restore_references', '_update_timestamp')
ORDER BY 1, 2, 3;

-- Called directly.
SELECT p.proname, t.outcome
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang, pg_temp.try(format('SELECT ctms.%I()', p.proname)) AS t (outcome)
WHERE p.pronamespace = 'ctms'::regnamespace AND p.prorettype = 'trigger'::regtype AND l.lanname = 'c'
  AND t.outcome NOT LIKE '39P01: function "ctms.' || p.proname || '" must be fired %'
ORDER BY p.proname COLLATE "C";

-- Our own tables with wrong arguments.
BEGIN;
CREATE TRIGGER a_wrong AFTER INSERT ON ctms.mofo FOR EACH ROW EXECUTE FUNCTION ctms._enqueue();
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-000000021301', 'wrong@example.com');
SELECT pg_temp.try($$INSERT INTO ctms.mofo (email_id) VALUES ('00000000-0000-4000-8000-000000021301')$$);
DROP TRIGGER a_wrong ON ctms.mofo;
CREATE TRIGGER a_wrong AFTER INSERT ON ctms.mofo FOR EACH ROW EXECUTE FUNCTION ctms._enqueue('postcard', 'email_id');
SELECT pg_temp.try($$INSERT INTO ctms.mofo (email_id) VALUES ('00000000-0000-4000-8000-000000021301')$$);
DROP TRIGGER a_wrong ON ctms.mofo;
CREATE TRIGGER a_wrong AFTER INSERT ON ctms.mofo FOR EACH ROW EXECUTE FUNCTION ctms._enqueue('fxa', 'mofo_relevant');
SELECT pg_temp.try($$INSERT INTO ctms.mofo (email_id) VALUES ('00000000-0000-4000-8000-000000021301')$$);
DROP TRIGGER a_wrong ON ctms.mofo;
CREATE TRIGGER a_wrong AFTER INSERT ON ctms.mofo FOR EACH ROW EXECUTE FUNCTION ctms._enqueue('contact', 'xmin');
SELECT pg_temp.try($$INSERT INTO ctms.mofo (email_id) VALUES ('00000000-0000-4000-8000-000000021301')$$);
DROP TRIGGER a_wrong ON ctms.mofo;
CREATE TRIGGER a_wrong BEFORE INSERT ON ctms.mofo FOR EACH ROW EXECUTE FUNCTION ctms._check_waitlist_fields();
SELECT pg_temp.try($$INSERT INTO ctms.mofo (email_id) VALUES ('00000000-0000-4000-8000-000000021301')$$);
ROLLBACK;

-- Our own tables after a column was changed, renamed or dropped: the outcome of INSERT, UPDATE, DELETE and TRUNCATE.
CREATE FUNCTION pg_temp.after(change text, statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    statement text;
    constraint_name text;
    relation regclass;
BEGIN
    -- Foreign keys would refuse most changes of a type.
    FOR constraint_name, relation IN
        SELECT conname, conrelid::regclass FROM pg_constraint WHERE connamespace = 'ctms'::regnamespace AND contype = 'f'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', relation, constraint_name);
    END LOOP;
    EXECUTE change;
    FOREACH statement IN ARRAY statements LOOP
        RETURN NEXT split_part(statement, ' ', 1) || ' ' || pg_temp.try(statement);
    END LOOP;
END
$$;
-- Triggers that name a column keep its type from changing.
CREATE FUNCTION pg_temp.drop_naming_columns() RETURNS void LANGUAGE sql AS 'DROP TRIGGER ctms_waitlists_renamed ON ctms.waitlists; DROP TRIGGER ctms_newsletters_renamed ON ctms.newsletters; DROP TRIGGER ctms_emails_keeps_id ON ctms.emails';

BEGIN; SELECT pg_temp.drop_naming_columns();
SELECT * FROM pg_temp.after('ALTER TABLE ctms.newsletters ALTER email_id TYPE bigint USING 1', ARRAY[
    $$INSERT INTO ctms.newsletters (email_id, name) VALUES (140000000000000, 'a')$$, $$UPDATE ctms.newsletters SET name = 'b'$$, $$DELETE FROM ctms.newsletters$$, $$TRUNCATE ctms.newsletters$$]);
ROLLBACK;
BEGIN; SELECT pg_temp.drop_naming_columns();
SELECT * FROM pg_temp.after('ALTER TABLE ctms.emails ALTER email_id DROP DEFAULT, ALTER email_id TYPE bigint USING 1', ARRAY[
    $$INSERT INTO ctms.emails (email_id, primary_email) VALUES (1, 'a@example.com')$$, $$TRUNCATE ctms.emails CASCADE$$]);
ROLLBACK;
BEGIN;
SELECT pg_temp.drop_views();
SELECT * FROM pg_temp.after('ALTER TABLE ctms.stripe_customer ALTER fxa_id TYPE bigint USING 1', ARRAY[
    $$INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) VALUES ('cus_a', 140000000000000, now())$$, $$TRUNCATE ctms.stripe_customer CASCADE$$]);
ROLLBACK;
BEGIN;
SELECT pg_temp.drop_views();
SELECT * FROM pg_temp.after('ALTER TABLE ctms.stripe_customer ALTER fxa_id TYPE text', ARRAY[
    $$INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) VALUES ('cus_a', 'a', now())$$]);
ROLLBACK;
BEGIN;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.stripe_price RENAME active TO inactive', ARRAY[
    $$INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, inactive, currency) VALUES ('price_a', 'prod', now(), true, 'usd')$$, $$UPDATE ctms.stripe_price SET currency = 'eur'$$]);
ROLLBACK;
BEGIN;
SELECT pg_temp.drop_views();
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-000000021301', 'wrong@example.com');
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('00000000-0000-4000-8000-000000021301', 'vpn', '{}');
CREATE FUNCTION pg_temp.waitlists(kind text, value text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT * FROM pg_temp.after('ALTER TABLE ctms.waitlists ALTER fields DROP DEFAULT, ALTER fields TYPE ' || kind || ' USING ' || value, ARRAY[
        'INSERT INTO ctms.waitlists (email_id, name, fields) VALUES (''00000000-0000-4000-8000-000000021301'', ''relay'', ' || value || ')',
        'UPDATE ctms.waitlists SET fields = ' || value, 'DELETE FROM ctms.waitlists']) $$;
SAVEPOINT a; SELECT * FROM pg_temp.waitlists('json', $$'{}'::json$$); ROLLBACK TO a;
SAVEPOINT a; SELECT * FROM pg_temp.waitlists('text', $$'{}'::text$$); ROLLBACK TO a;
SAVEPOINT a; SELECT * FROM pg_temp.waitlists('bigint', '140000000000000'); ROLLBACK TO a;
SELECT pg_temp.drop_naming_columns();
SAVEPOINT a;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.waitlists ALTER name TYPE integer USING 1', ARRAY[
    $$INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('00000000-0000-4000-8000-000000021301', 2, '{}')$$, $$UPDATE ctms.waitlists SET name = 3$$]);
ROLLBACK TO a;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.waitlists ALTER name TYPE text', ARRAY[
    $$INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('00000000-0000-4000-8000-000000021301', 'relay', '{"geo": 1}')$$, $$UPDATE ctms.waitlists SET fields = '{"geo": 2}'$$]);
ROLLBACK;
BEGIN;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.waitlist_fields_schemas ALTER schema TYPE json', ARRAY[
    $$INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('x', '{}')$$, $$UPDATE ctms.waitlist_fields_schemas SET schema = '{"a": 1}'$$, $$DELETE FROM ctms.waitlist_fields_schemas$$]);
ROLLBACK;
BEGIN;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-000000021301', 'wrong@example.com');
SAVEPOINT a;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.emails ALTER update_timestamp TYPE timestamp', ARRAY[$$UPDATE ctms.emails SET first_name = 'a'$$]);
ROLLBACK TO a;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.emails ALTER update_timestamp TYPE date', ARRAY[$$UPDATE ctms.emails SET first_name = 'a'$$]);
ROLLBACK TO a;
SELECT * FROM pg_temp.after('ALTER TABLE ctms.emails DROP update_timestamp CASCADE', ARRAY[$$UPDATE ctms.emails SET first_name = 'a'$$]);
ROLLBACK TO a;
-- Of a domain, nothing may be stored past its check.
SELECT * FROM pg_temp.after($$CREATE DOMAIN pg_temp.long_ago AS timestamptz CHECK (VALUE < '2002-01-01'); UPDATE ctms.emails SET update_timestamp = '2001-01-01';
    ALTER TABLE ctms.emails ALTER update_timestamp DROP DEFAULT, ALTER update_timestamp TYPE pg_temp.long_ago$$, ARRAY[$$UPDATE ctms.emails SET first_name = 'a'$$]);
ROLLBACK;
