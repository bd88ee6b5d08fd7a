-- The rows that `ctms import` refuses because of what is in them. Comes after stage.sql; what a COPY
-- could not read is in import_refused already.

CREATE TEMP TABLE import_keys (name, keys) ON COMMIT DROP AS VALUES
    ('emails', 'email_id'), ('newsletters', 'email_id, name'), ('waitlists', 'email_id, name'),
    ('fxa', 'email_id'), ('amo', 'email_id'), ('mofo', 'email_id'),
    ('vpn_waitlist', 'email_id'), ('relay_waitlist', 'email_id'), ('api_client', 'client_id'),
    ('stripe_customer', 'stripe_id'), ('stripe_price', 'stripe_id'), ('stripe_subscription', 'stripe_id'),
    ('stripe_subscription_item', 'stripe_id'), ('stripe_invoice', 'stripe_id'),
    ('stripe_invoice_line_item', 'stripe_id');

-- Moves the rows for which a condition holds to import_refused. column_name and reason are SQL, too;
-- the row is s.
CREATE FUNCTION pg_temp.import_refuse(table_name text, keys text, column_name text, reason text, condition text)
    RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('WITH gone AS (DELETE FROM import_%1$s AS s WHERE %2$s RETURNING s.*) '
        'INSERT INTO import_refused (origin, line, column_name, reason, key, keys) '
        'SELECT s.import_origin, s.import_line, %3$s, %4$s, %5$s, concat_ws('', '', %6$s) FROM gone AS s',
        table_name, condition, column_name, reason,
        CASE WHEN table_name = 'emails' OR keys = 'stripe_id' THEN format('s.%I::text', keys) ELSE 'NULL' END,
        (SELECT string_agg(format('%L || s.%I', k || ' ', k), ', ') FROM unnest(string_to_array(keys, ', ')) AS k));
END
$$;

-- A value that must be there and is not; a time that no program can read; what breaks a constraint.
-- All columns of a table are looked at in one scan.
DO $$
DECLARE
    t record;
    columns text;
    reasons text;
    condition text;
BEGIN
    FOR t IN SELECT name, keys FROM import_keys UNION ALL VALUES ('acoustic_field', 'tablename, field') LOOP
        SELECT string_agg(format('WHEN %s THEN %L', c.condition, c.name), ' ' ORDER BY c.attnum, c.reason),
               string_agg(format('WHEN %s THEN %L', c.condition, c.reason), ' ' ORDER BY c.attnum, c.reason),
               string_agg(format('(%s)', c.condition), ' OR ' ORDER BY c.attnum, c.reason)
        INTO columns, reasons, condition
        FROM (
            SELECT a.attnum, a.attname AS name, format('s.%I IS NULL', a.attname) AS condition, 'has no value' AS reason
            FROM pg_attribute AS a
            WHERE a.attrelid = to_regclass('ctms.' || t.name) AND a.attnum > 0 AND a.attnotnull
              AND (NOT a.atthasdef OR a.attname = ANY (string_to_array(t.keys, ', ')))
            UNION ALL
            SELECT a.attnum, a.attname, format('s.%I NOT BETWEEN ''0001-01-01'' AND ''9999-12-31''', a.attname),
                   'is not between the years 1 and 9999'
            FROM pg_attribute AS a
            WHERE a.attrelid = to_regclass('pg_temp.import_' || t.name) AND a.attnum > 0
              AND a.atttypid IN ('timestamptz'::regtype, 'date'::regtype)
            UNION ALL
            SELECT 0, 'primary_email', 'btrim(s.primary_email, E'' \t\r\n'') = ''''', 'is empty' WHERE t.name = 'emails'
            UNION ALL
            SELECT 0, a.attname, format('(%s) IS FALSE', pg_get_expr(c.conbin, c.conrelid)),
                   format('breaks the constraint "%s"', c.conname)
            FROM pg_constraint AS c
            JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.conrelid = to_regclass('ctms.' || t.name) AND c.contype = 'c'
        ) AS c;
        CONTINUE WHEN condition IS NULL;
        PERFORM pg_temp.import_refuse(t.name, t.keys, format('CASE %s END', columns), format('CASE %s END', reasons),
            condition);
    END LOOP;
END
$$;
