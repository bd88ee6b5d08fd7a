-- What `ctms import` reads goes into these temporary tables first, in the one transaction
-- of the import. They have the columns of the tables that they are for, but no constraints:
-- refuse.sql and rules.sql find out what is wrong, before anything is stored. Two more columns tell
-- where a row comes from.

SET LOCAL search_path = pg_catalog, pg_temp;
-- Rows are stored as they come: nothing is enqueued, no update_timestamp moves.
SET LOCAL ctms.restore_mode = on;
SET LOCAL work_mem = '64MB';
SET LOCAL jit = off;
-- The source may sort for long before it gives the first row.
SET LOCAL idle_in_transaction_session_timeout = '1d';
-- 01/02/2020 is a day in January or in February: it is refused.
SET LOCAL datestyle = 'ISO, YMD';
-- The planner knows nothing of what is in these tables: a guess at few rows must not become a loop.
SET LOCAL enable_nestloop = off;
SET LOCAL client_min_messages = warning;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['emails', 'newsletters', 'waitlists', 'fxa', 'amo', 'mofo',
        'api_client', 'acoustic_field', 'acoustic_newsletter_mapping', 'stripe_customer',
        'stripe_price', 'stripe_subscription', 'stripe_subscription_item', 'stripe_invoice',
        'stripe_invoice_line_item']
    LOOP
        EXECUTE format('CREATE TEMP TABLE %I ON COMMIT DROP AS SELECT *, NULL::int AS import_origin, '
            'NULL::bigint AS import_line FROM ctms.%I WITH NO DATA', 'import_' || name, name);
    END LOOP;
END
$$;

-- CSV files of waitlists have their fields as columns.
ALTER TABLE pg_temp.import_waitlists ADD geo text, ADD platform text;

-- The older layout of waitlists, and the older queue.
CREATE TEMP TABLE import_vpn_waitlist (
    import_origin int, import_line bigint, email_id uuid, geo text, platform text,
    create_timestamp timestamptz, update_timestamp timestamptz
) ON COMMIT DROP;
CREATE TEMP TABLE import_relay_waitlist (
    import_origin int, import_line bigint, email_id uuid, geo text,
    create_timestamp timestamptz, update_timestamp timestamptz
) ON COMMIT DROP;
CREATE TEMP TABLE import_pending_acoustic (import_origin int, import_line bigint, email_id uuid) ON COMMIT DROP;

-- What the rules leave out, with all that it says.
CREATE TEMP TABLE import_left_out (
    table_name text, reason text, email_id uuid, kept_email_id uuid, content jsonb
) ON COMMIT DROP;
-- What no rule covers: the import is refused.
CREATE TEMP TABLE import_problems (problem text) ON COMMIT DROP;
-- What is stored all the same, but should be known.
CREATE TEMP TABLE import_notes (note text) ON COMMIT DROP;
