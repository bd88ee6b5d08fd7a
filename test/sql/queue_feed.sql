-- What enqueues a contact, and what does not.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-00000001%s', to_char(n, 'FM0000'))::uuid $$;

-- Which contacts the queue holds; what was there is taken out, so that the next look is at news.
CREATE FUNCTION pg_temp.enqueued() RETURNS integer[] LANGUAGE sql VOLATILE AS $$
    WITH taken AS (
        DELETE FROM ctms.pending_acoustic WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%'
        RETURNING right(email_id::text, 4)::integer AS n)
    SELECT array_agg(n ORDER BY n) FROM taken
$$;

-- Each table on its own.
INSERT INTO ctms.emails (email_id, primary_email)
SELECT pg_temp.contact(n), format('feed%s@example.com', n) FROM generate_series(1, 9) AS n;
SELECT pg_temp.enqueued();
UPDATE ctms.emails SET first_name = 'First' WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.enqueued();
INSERT INTO ctms.newsletters (email_id, name) VALUES (pg_temp.contact(1), 'news'), (pg_temp.contact(2), 'news');
SELECT pg_temp.enqueued();
UPDATE ctms.newsletters SET subscribed = true WHERE email_id = pg_temp.contact(2);
SELECT pg_temp.enqueued();
DELETE FROM ctms.newsletters WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.enqueued();
INSERT INTO ctms.waitlists (email_id, name) VALUES (pg_temp.contact(3), 'vpn');
SELECT pg_temp.enqueued();
UPDATE ctms.waitlists SET subscribed = false WHERE email_id = pg_temp.contact(3);
SELECT pg_temp.enqueued();
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES (pg_temp.contact(4), 'feed_fxa_4');
SELECT pg_temp.enqueued();
INSERT INTO ctms.amo (email_id, username) VALUES (pg_temp.contact(5), 'feed');
SELECT pg_temp.enqueued();
INSERT INTO ctms.mofo (email_id, mofo_relevant) VALUES (pg_temp.contact(6), true);
SELECT pg_temp.enqueued();

-- No change, no entry. Nor for rows that were not written in the end.
UPDATE ctms.emails SET first_name = 'First' WHERE email_id = pg_temp.contact(1);
UPDATE ctms.newsletters SET subscribed = true, name = 'news' WHERE email_id = pg_temp.contact(2);
INSERT INTO ctms.newsletters (email_id, name) VALUES (pg_temp.contact(2), 'news') ON CONFLICT DO NOTHING;
INSERT INTO ctms.newsletters (email_id, name, subscribed) VALUES (pg_temp.contact(2), 'news', true)
    ON CONFLICT (email_id, name) DO UPDATE SET subscribed = EXCLUDED.subscribed;
UPDATE ctms.emails SET first_name = 'nobody' WHERE email_id = pg_temp.contact(1) AND false;
SELECT pg_temp.enqueued();

-- Triggers of others may change the row as well, before ours or behind it, or keep it from being written.
CREATE FUNCTION pg_temp.set_last_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.last_name := TG_ARGV[0];
    RETURN NEW;
END $$;
CREATE FUNCTION pg_temp.skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER a_trigger BEFORE UPDATE ON ctms.emails FOR EACH ROW EXECUTE FUNCTION pg_temp.set_last_name('before ours');
UPDATE ctms.emails SET first_name = first_name WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.enqueued();
UPDATE ctms.emails SET first_name = first_name WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.enqueued() AS not_again;
DROP TRIGGER a_trigger ON ctms.emails;
CREATE TRIGGER z_trigger BEFORE UPDATE ON ctms.emails FOR EACH ROW EXECUTE FUNCTION pg_temp.set_last_name('behind ours');
UPDATE ctms.emails SET first_name = first_name WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.enqueued();
DROP TRIGGER z_trigger ON ctms.emails;
CREATE TRIGGER a_trigger BEFORE UPDATE ON ctms.emails FOR EACH ROW EXECUTE FUNCTION pg_temp.skip();
UPDATE ctms.emails SET first_name = 'never' WHERE email_id = pg_temp.contact(1);
SELECT pg_temp.enqueued();
DROP TRIGGER a_trigger ON ctms.emails;
SELECT first_name, last_name FROM ctms.emails WHERE email_id = pg_temp.contact(1);

-- A contact whose own row the same statement rewrites without a change, as upserts do.
WITH contact AS (
    INSERT INTO ctms.emails (primary_email) VALUES ('feed2@example.com')
    ON CONFLICT (lower(primary_email)) DO UPDATE SET primary_email = EXCLUDED.primary_email
    RETURNING email_id)
INSERT INTO ctms.newsletters (email_id, name, subscribed) SELECT email_id, 'news', false FROM contact
    ON CONFLICT (email_id, name) DO UPDATE SET subscribed = EXCLUDED.subscribed;
SELECT pg_temp.enqueued();

-- A row that moves to another contact concerns both.
UPDATE ctms.newsletters SET email_id = pg_temp.contact(7) WHERE email_id = pg_temp.contact(2);
SELECT pg_temp.enqueued();

-- A contact keeps its id, whether it waits or not; an UPDATE may name the column. Nothing is enqueued by what is refused.
UPDATE ctms.emails SET email_id = pg_temp.contact(18) WHERE email_id = pg_temp.contact(8);
DELETE FROM ctms.pending_acoustic;
UPDATE ctms.emails SET email_id = pg_temp.contact(18) WHERE email_id = pg_temp.contact(8);
INSERT INTO ctms.emails (email_id, primary_email) SELECT pg_temp.contact(18), primary_email FROM ctms.emails WHERE email_id = pg_temp.contact(8)
    ON CONFLICT (lower(primary_email)) DO UPDATE SET email_id = EXCLUDED.email_id;
UPDATE ctms.emails SET email_id = email_id, first_name = 'same id' WHERE email_id = pg_temp.contact(8);
SELECT pg_temp.enqueued();

-- An explicit move of update_timestamp is a change.
UPDATE ctms.emails SET update_timestamp = '2001-01-01 00:00:00Z' WHERE email_id = pg_temp.contact(8);
SELECT pg_temp.enqueued();

-- Savepoints: what was rolled back is forgotten, what was released is kept.
BEGIN;
UPDATE ctms.emails SET first_name = 'kept' WHERE email_id = pg_temp.contact(1);
SAVEPOINT a;
UPDATE ctms.emails SET first_name = 'undone' WHERE email_id IN (pg_temp.contact(1), pg_temp.contact(2));
SAVEPOINT b;
UPDATE ctms.emails SET first_name = 'undone' WHERE email_id = pg_temp.contact(3);
RELEASE b;
ROLLBACK TO a;
SAVEPOINT c;
SAVEPOINT d;
UPDATE ctms.emails SET first_name = 'kept' WHERE email_id = pg_temp.contact(4);
RELEASE d;
RELEASE c;
SAVEPOINT e;
SAVEPOINT f;
UPDATE ctms.emails SET first_name = 'undone' WHERE email_id = pg_temp.contact(5);
ROLLBACK TO f;
UPDATE ctms.emails SET first_name = 'kept' WHERE email_id = pg_temp.contact(6);
COMMIT;
SELECT pg_temp.enqueued();

-- An error in an exception block undoes the same way.
DO $$
BEGIN
    UPDATE ctms.emails SET last_name = 'kept' WHERE email_id = pg_temp.contact(1);
    BEGIN
        UPDATE ctms.emails SET last_name = 'undone' WHERE email_id = pg_temp.contact(2);
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        UPDATE ctms.emails SET last_name = 'kept' WHERE email_id = pg_temp.contact(3);
    END;
END
$$;
SELECT pg_temp.enqueued();

-- A rolled back transaction leaves nothing to the next one.
BEGIN;
UPDATE ctms.emails SET last_name = 'undone' WHERE email_id = pg_temp.contact(1);
ROLLBACK;
BEGIN;
COMMIT;
SELECT pg_temp.enqueued();

-- One entry for many changes; entries come with the commit.
BEGIN;
UPDATE ctms.emails SET last_name = 'a' WHERE email_id = pg_temp.contact(1);
UPDATE ctms.emails SET last_name = 'b' WHERE email_id = pg_temp.contact(1);
INSERT INTO ctms.waitlists (email_id, name) VALUES (pg_temp.contact(1), 'vpn');
COMMIT;
SELECT pg_temp.enqueued();

-- A contact that is deleted leaves the queue, also in the transaction that changed it.
UPDATE ctms.emails SET last_name = 'c' WHERE email_id IN (pg_temp.contact(8), pg_temp.contact(9));
BEGIN;
UPDATE ctms.emails SET last_name = 'd' WHERE email_id = pg_temp.contact(9);
DELETE FROM ctms.emails WHERE email_id = pg_temp.contact(9);
COMMIT;
SELECT pg_temp.enqueued();

-- TRUNCATE concerns all whose rows go, and only them; nobody when it is rolled back.
INSERT INTO ctms.newsletters (email_id, name) VALUES (pg_temp.contact(5), 'truncated'), (pg_temp.contact(6), 'truncated');
SELECT pg_temp.enqueued();
BEGIN;
SAVEPOINT a;
TRUNCATE ctms.newsletters;
ROLLBACK TO a;
COMMIT;
SELECT pg_temp.enqueued();
TRUNCATE ctms.newsletters;
SELECT pg_temp.enqueued();

-- The feed can be switched off, and is off while restoring.
SET ctms.enqueue = off;
UPDATE ctms.emails SET last_name = 'off' WHERE email_id = pg_temp.contact(1);
RESET ctms.enqueue;
SET ctms.restore_mode = on;
UPDATE ctms.emails SET last_name = 'restored' WHERE email_id = pg_temp.contact(1);
RESET ctms.restore_mode;
SET check_function_bodies = off;
SET row_security = off;
UPDATE ctms.emails SET last_name = 'like a dump' WHERE email_id = pg_temp.contact(1);
SET ctms.restore_mode = off;
UPDATE ctms.emails SET last_name = 'no restore' WHERE email_id = pg_temp.contact(2);
RESET ALL;
SELECT pg_temp.enqueued();

-- A caller without rights on the queue, and with operators of his own, changes contacts all the same.
CREATE ROLE feed_writer;
GRANT USAGE ON SCHEMA ctms TO feed_writer;
GRANT SELECT, UPDATE ON ctms.emails TO feed_writer;
CREATE SCHEMA feed_trap;
CREATE FUNCTION feed_trap.uuid_trap(uuid, uuid) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE OPERATOR feed_trap.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = feed_trap.uuid_trap);
GRANT USAGE ON SCHEMA feed_trap TO feed_writer;
\c -
SET search_path = feed_trap, pg_catalog;
SET ROLE feed_writer;
UPDATE ctms.emails SET last_name = 'e' WHERE primary_email = 'feed3@example.com';
RESET ROLE;
RESET search_path;
SELECT email_id FROM ctms.pending_acoustic WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
DROP SCHEMA feed_trap CASCADE;
DROP OWNED BY feed_writer;
DROP ROLE feed_writer;

DELETE FROM ctms.newsletters WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
DELETE FROM ctms.waitlists WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
DELETE FROM ctms.fxa WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
DELETE FROM ctms.amo WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
DELETE FROM ctms.mofo WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
DELETE FROM ctms.emails WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
SELECT count(*) FROM ctms.pending_acoustic WHERE email_id::text LIKE '00000000-0000-4000-8000-00000001%';
