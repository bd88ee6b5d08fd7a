-- update_timestamp moves with every real change, in every table that has one.
SELECT c.relname AS without_trigger
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'update_timestamp'
WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = format('ctms_%s_update_timestamp', c.relname))
ORDER BY 1;

CREATE FUNCTION pg_temp.old() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT timestamptz '2001-02-03 04:05:06Z' $$;

INSERT INTO ctms.emails (email_id, primary_email, unsubscribe_reason, create_timestamp, update_timestamp)
VALUES ('00000000-0000-4000-8000-000000020001', 'timestamp@example.com', repeat('long ', 4000), pg_temp.old(), pg_temp.old())
RETURNING update_timestamp = pg_temp.old() AS kept;

-- Nothing changes: it stays, also for a value that is stored compressed or out of line.
UPDATE ctms.emails SET primary_email = primary_email WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = pg_temp.old() AS kept;
UPDATE ctms.emails SET unsubscribe_reason = repeat('long ', 4000) WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = pg_temp.old() AS kept;
UPDATE ctms.emails SET first_name = NULL WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = pg_temp.old() AS kept;

-- A change moves it to the time of the transaction.
UPDATE ctms.emails SET first_name = '' WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = now() AS moved;
UPDATE ctms.emails SET update_timestamp = pg_temp.old() WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = pg_temp.old() AS kept;
UPDATE ctms.emails SET unsubscribe_reason = repeat('long ', 3999) || 'lonG ' WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = now() AS moved;

-- The caller's own value wins.
UPDATE ctms.emails SET first_name = 'x', update_timestamp = pg_temp.old() WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = pg_temp.old() AS kept;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-000000020001', 'timestamp@example.com')
ON CONFLICT (email_id) DO UPDATE SET last_name = 'y' RETURNING update_timestamp = now() AS moved;

-- While restoring it stays as it comes.
UPDATE ctms.emails SET update_timestamp = pg_temp.old() WHERE primary_email = 'timestamp@example.com';
SET ctms.restore_mode = on;
UPDATE ctms.emails SET first_name = 'z' WHERE primary_email = 'timestamp@example.com' RETURNING update_timestamp = pg_temp.old() AS kept;
RESET ctms.restore_mode;

-- The time of a Stripe message is bookkeeping.
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency, update_timestamp)
VALUES ('price_timestamp', 'prod_timestamp', now(), true, 'usd', pg_temp.old());
UPDATE ctms.stripe_price SET message_timestamp = now() WHERE stripe_id = 'price_timestamp' RETURNING update_timestamp = pg_temp.old() AS kept;
UPDATE ctms.stripe_price SET message_timestamp = NULL, active = false WHERE stripe_id = 'price_timestamp' RETURNING update_timestamp = now() AS moved;

-- Misuse is told.
CREATE TABLE pg_temp.mine (id integer, update_timestamp timestamptz NOT NULL DEFAULT now());
CREATE TRIGGER wrong AFTER UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
INSERT INTO mine VALUES (1);
UPDATE mine SET id = 2;
DROP TRIGGER wrong ON mine;
CREATE TRIGGER wrong BEFORE UPDATE ON mine FOR EACH STATEMENT EXECUTE FUNCTION ctms._enqueue('contact', 'id');
UPDATE mine SET id = 2;

DELETE FROM ctms.stripe_price WHERE stripe_id = 'price_timestamp';
DELETE FROM ctms.emails WHERE primary_email = 'timestamp@example.com';
