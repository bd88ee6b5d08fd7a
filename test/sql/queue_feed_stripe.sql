-- Which changes of Stripe's tables enqueue which contact.
CREATE FUNCTION pg_temp.contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT format('00000000-0000-4000-8000-00000009%s', to_char(n, 'FM0000'))::uuid $$;
CREATE FUNCTION pg_temp.enqueued() RETURNS integer[] LANGUAGE sql VOLATILE AS $$
    WITH taken AS (
        DELETE FROM ctms.pending_acoustic WHERE email_id::text LIKE '00000000-0000-4000-8000-00000009%'
        RETURNING right(email_id::text, 4)::integer AS n)
    SELECT array_agg(n ORDER BY n) FROM taken
$$;
INSERT INTO ctms.emails (email_id, primary_email)
SELECT pg_temp.contact(n), format('feedstripe%s@example.com', n) FROM generate_series(1, 4) AS n;
INSERT INTO ctms.fxa (email_id, fxa_id) SELECT pg_temp.contact(n), format('feedstripe_%s', n) FROM generate_series(1, 3) AS n;
SELECT pg_temp.enqueued();

-- In any order: what has no customer, or whose customer has no contact, enqueues nobody yet.
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
SELECT format('feed_sub_%s', n), format('feed_cus_%s', n), '2021-01-01Z', false, '2021-02-01Z', '2021-01-01Z', '2021-01-01Z', 'active' FROM generate_series(1, 4) AS n;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency) VALUES ('feed_price', 'feed_prod', '2021-01-01Z', true, 'usd'), ('feed_price2', 'feed_prod2', '2021-01-01Z', true, 'usd');
SELECT pg_temp.enqueued();
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created) SELECT format('feed_cus_%s', n), format('feedstripe_%s', n), '2021-01-01Z' FROM generate_series(1, 4) AS n;
SELECT pg_temp.enqueued();
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created) VALUES
    ('feed_si_1', 'feed_sub_1', 'feed_price', '2021-01-01Z'), ('feed_si_2', 'feed_sub_2', 'feed_price', '2021-01-01Z'), ('feed_si_4', 'feed_sub_4', 'feed_price', '2021-01-01Z');
SELECT pg_temp.enqueued();
-- The contact that appears later is connected by its FxA row.
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES (pg_temp.contact(4), 'feedstripe_4');
SELECT pg_temp.enqueued();

-- Each table on its own.
UPDATE ctms.stripe_customer SET deleted = true WHERE stripe_id = 'feed_cus_1';
SELECT pg_temp.enqueued();
UPDATE ctms.stripe_subscription SET status = 'canceled' WHERE stripe_id = 'feed_sub_2';
SELECT pg_temp.enqueued();
UPDATE ctms.stripe_subscription_item SET stripe_price_id = 'feed_price2' WHERE stripe_id = 'feed_si_1';
SELECT pg_temp.enqueued();
INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, stripe_created, currency, total, status) VALUES ('feed_in', 'feed_cus_3', '2021-01-01Z', 'usd', 1, 'open');
SELECT pg_temp.enqueued();
UPDATE ctms.stripe_invoice SET status = 'paid' WHERE stripe_id = 'feed_in';
SELECT pg_temp.enqueued();
INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id, stripe_type, stripe_price_id, amount, currency) VALUES ('feed_il', 'feed_in', 'subscription', 'feed_price', 1, 'usd');
SELECT pg_temp.enqueued();

-- A price concerns all who subscribe to it, but only by what is sent of it.
UPDATE ctms.stripe_price SET unit_amount = 999 WHERE stripe_id = 'feed_price';
SELECT pg_temp.enqueued();
UPDATE ctms.stripe_price SET active = false WHERE stripe_id = 'feed_price';
UPDATE ctms.stripe_price SET message_timestamp = now() WHERE stripe_id = 'feed_price';
UPDATE ctms.stripe_customer SET message_timestamp = now() WHERE stripe_id = 'feed_cus_1';
UPDATE ctms.stripe_subscription SET status = 'canceled' WHERE stripe_id = 'feed_sub_2';
SELECT pg_temp.enqueued();

-- A customer of another contact: both are concerned. So is the subscription that changes hands.
UPDATE ctms.stripe_customer SET fxa_id = 'feedstripe_none' WHERE stripe_id = 'feed_cus_3';
SELECT pg_temp.enqueued();
UPDATE ctms.stripe_customer SET fxa_id = 'feedstripe_3' WHERE stripe_id = 'feed_cus_3';
SELECT pg_temp.enqueued();
UPDATE ctms.stripe_subscription SET stripe_customer_id = 'feed_cus_4' WHERE stripe_id = 'feed_sub_3';
SELECT pg_temp.enqueued();

-- Deletes, and rows that come and go in one transaction.
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id = 'feed_si_1';
SELECT pg_temp.enqueued();
BEGIN;
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id = 'feed_si_2';
DELETE FROM ctms.stripe_subscription WHERE stripe_id = 'feed_sub_2';
DELETE FROM ctms.stripe_customer WHERE stripe_id = 'feed_cus_2';
COMMIT;
SELECT pg_temp.enqueued();
BEGIN;
SAVEPOINT a;
DELETE FROM ctms.stripe_customer WHERE stripe_id = 'feed_cus_3';
ROLLBACK TO a;
UPDATE ctms.stripe_customer SET default_source_id = 'src' WHERE stripe_id = 'feed_cus_4';
COMMIT;
SELECT pg_temp.enqueued();

DELETE FROM ctms.stripe_invoice_line_item WHERE stripe_id LIKE 'feed\_%';
DELETE FROM ctms.stripe_invoice WHERE stripe_id LIKE 'feed\_%';
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'feed\_%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'feed\_%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'feed\_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'feed\_%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'feedstripe\_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'feedstripe%';
