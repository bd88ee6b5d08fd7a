-- The settings of the database: what is refused, and when a change is seen.
SELECT name, value, default_value, type, min_value, max_value FROM ctms.list_settings() ORDER BY name;
SELECT count(*) FROM ctms.list_settings() WHERE description NOT LIKE '%.';
SELECT count(*) FROM ctms.settings;

-- ---- values ---------------------------------------------------------------------------------
SELECT ctms.set_setting('acoustic_deletions', 'TRUE'), ctms.get_setting('acoustic_deletions');
SELECT ctms.set_setting('acoustic_deletions', 'no'), ctms.get_setting('acoustic_deletions');
SELECT name, value FROM ctms.settings ORDER BY name;
SELECT ctms.set_setting('acoustic_deletions', NULL), ctms.get_setting('acoustic_deletions');
SELECT text, ctms.set_setting('acoustic_history_age', text), ctms.get_setting('acoustic_history_age')::interval
FROM unnest(ARRAY['0', '30 days', '30d', '1 day', '48 HOURS', '90min', '3600 seconds', '1500ms', '7000 ms', '-0s', '36500d']) WITH ORDINALITY AS t (text, n)
ORDER BY n;
SELECT ctms.set_setting('acoustic_history_age', NULL);
SELECT ctms.set_setting('acoustic_history_rows', '01000'), ctms.get_setting('acoustic_history_rows')::integer;
SELECT ctms.set_setting('acoustic_history_rows', NULL);
CREATE FUNCTION refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', sqlstate, sqlerrm, NULLIF(detail, ''), NULLIF(hint, ''));
END
$$;
SELECT name, value, refusal(format('SELECT ctms.set_setting(%L, %L)', name, value))
FROM (VALUES ('acoustic_deletions', 'maybe'), ('acoustic_deletions', ''), ('acoustic_history_age', '-1s'), ('acoustic_history_age', '30'),
    ('acoustic_history_age', '1 month'), ('acoustic_history_age', '1.5h'), ('acoustic_history_age', 'd'), ('acoustic_history_age', '36501d'),
    ('acoustic_history_age', '99999999999999999999d'), ('acoustic_history_age', '9223372036854775807d'), ('acoustic_history_age', '1h 5min'),
    ('acoustic_history_rows', '999'), ('acoustic_history_rows', '1000000001'), ('acoustic_history_rows', '1e6'),
    ('acoustic_history_rows', ''), ('acoustic_history_rows', '5000 '), ('acoustic_history_sent', '2'),
    ('acoustic_retry_delay', '901s'), ('stripe_refused_age', '59min'), ('stripe_refused_age', '0'),
    ('Acoustic_deletions', 'on'), ('ctms.acoustic_deletions', 'on'), ('', 'on'), (NULL, 'on'), ('unknown', NULL), (NULL, NULL)) AS t (name, value);
SELECT refusal($$SELECT ctms.get_setting('unknown')$$);
SELECT ctms.get_setting(NULL) IS NULL;
-- Whoever writes.
SELECT refusal($$INSERT INTO ctms.settings VALUES ('unknown', 'on')$$);
SELECT refusal($$INSERT INTO ctms.settings VALUES ('acoustic_history_age', '1 fortnight')$$);
SELECT refusal($$INSERT INTO ctms.settings VALUES ('acoustic_history_age', NULL)$$) LIKE '23502%' AS is_refused;
INSERT INTO ctms.settings VALUES ('acoustic_history_age', '2 hours');
SELECT name, value FROM ctms.settings ORDER BY name;
SELECT refusal($$UPDATE ctms.settings SET value = 'x'$$);
SELECT refusal($$UPDATE ctms.settings SET name = 'x'$$);
UPDATE ctms.settings SET value = '3 hours';
SELECT ctms.get_setting('acoustic_history_age');
SELECT refusal($$COPY ctms.settings (name, value) FROM PROGRAM 'echo unknown,on' (FORMAT csv)$$) LIKE '22023%' AS is_refused;
-- A value that is what it was changes no time.
UPDATE ctms.settings SET update_timestamp = '2020-01-01Z';
SELECT ctms.set_setting('acoustic_history_age', '180min');
SELECT update_timestamp = '2020-01-01Z' AS is_untouched FROM ctms.settings;
TRUNCATE ctms.settings;
SELECT ctms.get_setting('acoustic_history_age');

-- ---- transactions -----------------------------------------------------------------------------
BEGIN;
SELECT ctms.set_setting('acoustic_deletions', 'on');
SAVEPOINT s;
DELETE FROM ctms.settings;
SELECT ctms.get_setting('acoustic_deletions');
ROLLBACK TO s;
SELECT ctms.get_setting('acoustic_deletions');
ROLLBACK;
SELECT ctms.get_setting('acoustic_deletions');
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY;
SELECT ctms.get_setting('acoustic_deletions');
SELECT refusal($$SELECT ctms.set_setting('acoustic_deletions', 'on')$$);
COMMIT;
-- Without the ordinary triggers, as a subscription writes.
SET session_replication_role = replica;
INSERT INTO ctms.settings VALUES ('acoustic_deletions', 'on');
SELECT ctms.get_setting('acoustic_deletions');
RESET session_replication_role;
-- Parallel workers see what the transaction has changed.
BEGIN;
SELECT ctms.set_setting('acoustic_history_age', '4h');
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL parallel_leader_participation = off;
SELECT ctms.get_setting('acoustic_history_age') FROM ctms.acoustic_field GROUP BY 1;
ROLLBACK;

-- ---- what this version does not know ------------------------------------------------------------
SET ctms.restore_mode = on;
INSERT INTO ctms.settings VALUES ('of_a_newer_version', '17'), ('acoustic_history_age', '3 fortnights');
RESET ctms.restore_mode;
SELECT name, value FROM ctms.settings ORDER BY name;
SELECT ctms.get_setting('acoustic_deletions'), ctms.get_setting('acoustic_history_age');
SELECT name, value FROM ctms.list_settings() WHERE name LIKE 'acoustic_h%';
SELECT ctms.set_setting('of_a_newer_version', NULL);
SELECT ctms.set_setting('acoustic_history_age', NULL);

-- ---- rights -----------------------------------------------------------------------------------
SET ROLE ctms_admin;
SELECT ctms.set_setting('acoustic_history_age', '1d');
SELECT refusal($$SELECT ctms.set_setting('direct_access', 'off')$$);
SELECT refusal($$INSERT INTO ctms.settings VALUES ('direct_access', 'on')$$);
SELECT refusal($$UPDATE ctms.settings SET name = 'direct_access', value = 'off'$$);
SELECT refusal($$SET ctms.restore_mode = on; INSERT INTO ctms.settings VALUES ('direct_access', 'on')$$);
RESET ROLE;
SELECT ctms.set_setting('direct_access', 'off');
SET ROLE ctms_admin;
SELECT refusal($$SELECT ctms.set_setting('direct_access', NULL)$$);
SELECT refusal($$DELETE FROM ctms.settings WHERE name = 'direct_access'$$);
SELECT refusal($$UPDATE ctms.settings SET name = 'acoustic_deletions' WHERE name = 'direct_access'$$);
RESET ROLE;
SET ROLE ctms_reader;
SELECT ctms.get_setting('direct_access');
SELECT refusal($$SELECT ctms.set_setting('acoustic_history_age', NULL)$$);
RESET ROLE;

-- ---- a table that cannot be read ----------------------------------------------------------------
BEGIN;
ALTER TABLE ctms.settings RENAME COLUMN value TO other;
SELECT ctms.get_setting('acoustic_history_age');
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-0000000f1001', 'settings@example.com');
DELETE FROM ctms.emails WHERE email_id = '00000000-0000-4000-8000-0000000f1001';
ROLLBACK;
SELECT ctms.get_setting('acoustic_history_age');
BEGIN;
ALTER TABLE ctms.settings ALTER value TYPE varchar(20);
SELECT ctms.set_setting('acoustic_history_age', '2 days');
ROLLBACK;

DELETE FROM ctms.settings;
DROP FUNCTION refusal;
