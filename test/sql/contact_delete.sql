-- ctms.delete_contact(): DELETE /ctms/{primary_email}.
SELECT is_created FROM ctms.create_contact('{"email": {"email_id": "dddddddd-0000-4000-8000-000000000001", "primary_email": "Delete-1@Example.com", "basket_token": "dddddddd-0000-4000-8000-00000000000a", "sfdc_id": "s"},
    "amo": {"user_id": 1}, "fxa": {"fxa_id": "delete-fxa", "primary_email": "fxa@example.com"}, "mofo": {"mofo_email_id": "delete-mofo", "mofo_contact_id": "c"},
    "newsletters": [{"name": "a"}, {"name": "b"}], "waitlists": [{"name": "vpn"}]}');
SELECT is_created FROM ctms.create_contact('{"email": {"email_id": "dddddddd-0000-4000-8000-000000000002", "primary_email": "delete-2@example.com"},
    "fxa": {"fxa_id": "delete-fxa-2"}, "newsletters": [{"name": "a"}]}');

-- A Stripe customer for each of them, and one whom nobody knows; they share a price.
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency)
    VALUES ('price_delete', 'prod', '2020-01-01', true, 'usd');
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
    SELECT 'cus_delete_' || n, 'delete-fxa' || suffix, '2020-01-01' FROM (VALUES (1, ''), (2, '-2'), (3, '-3')) AS c(n, suffix);
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
    SELECT 'sub_delete_' || n || '_' || i, 'cus_delete_' || n, '2020-01-01', false, '2020-02-01', '2020-01-01', '2020-01-01', 'active'
    FROM generate_series(1, 3) AS n, generate_series(1, 2) AS i;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
    SELECT 'si_delete_' || n || '_' || i, 'sub_delete_' || n || '_' || i, 'price_delete', '2020-01-01'
    FROM generate_series(1, 3) AS n, generate_series(1, 2) AS i;
INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, stripe_created, currency, total, status)
    SELECT 'in_delete_' || n, 'cus_delete_' || n, '2020-01-01', 'usd', 5, 'paid' FROM generate_series(1, 3) AS n;
INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id, stripe_type, stripe_price_id, amount, currency)
    SELECT 'il_delete_' || n, 'in_delete_' || n, 'subscription', 'price_delete', 5, 'usd' FROM generate_series(1, 3) AS n;

CREATE TEMP VIEW rows_left AS
    SELECT 'contact ' || right(email_id::text, 1) AS owner, count(*) FROM (
        SELECT email_id FROM ctms.emails UNION ALL SELECT email_id FROM ctms.amo UNION ALL SELECT email_id FROM ctms.fxa
        UNION ALL SELECT email_id FROM ctms.mofo UNION ALL SELECT email_id FROM ctms.newsletters
        UNION ALL SELECT email_id FROM ctms.waitlists UNION ALL SELECT email_id FROM ctms.pending_acoustic) AS r
    WHERE email_id::text LIKE 'dddddddd-0000-4000-8000-%' GROUP BY 1
    UNION ALL
    SELECT 'customer ' || substring(stripe_id FROM '_delete_(\d)'), count(*) FROM (
        SELECT stripe_id FROM ctms.stripe_customer UNION ALL SELECT stripe_id FROM ctms.stripe_subscription
        UNION ALL SELECT stripe_id FROM ctms.stripe_subscription_item UNION ALL SELECT stripe_id FROM ctms.stripe_invoice
        UNION ALL SELECT stripe_id FROM ctms.stripe_invoice_line_item) AS s
    WHERE stripe_id LIKE '%\_delete\_%' GROUP BY 1;

SELECT * FROM rows_left ORDER BY owner;
SELECT ctms.delete_contact('delete-3@example.com'), ctms.delete_contact(''), ctms.delete_contact(NULL);
SELECT ctms.delete_contact('dELETE-1@exAMPLE.COM');
SELECT * FROM rows_left ORDER BY owner;
SELECT ctms.delete_contact('delete-1@example.com');

-- In one transaction with what comes before and after.
BEGIN;
SELECT is_created FROM ctms.create_contact('{"email": {"email_id": "dddddddd-0000-4000-8000-000000000001", "primary_email": "delete-1@example.com"}, "newsletters": [{"name": "x"}]}');
SELECT ctms.delete_contact('delete-1@example.com');
SELECT is_created FROM ctms.create_contact('{"email": {"email_id": "dddddddd-0000-4000-8000-000000000001", "primary_email": "delete-1@example.com"}}');
COMMIT;
BEGIN;
SELECT ctms.delete_contact('delete-1@example.com');
ROLLBACK;
SELECT * FROM rows_left ORDER BY owner;

SELECT ctms.delete_contact(address) IS NOT NULL AS deleted FROM unnest('{delete-1@example.com,delete-2@example.com}'::text[]) AS address;
DELETE FROM ctms.stripe_invoice_line_item WHERE stripe_id LIKE 'il\_delete\_%';
DELETE FROM ctms.stripe_invoice WHERE stripe_id LIKE 'in\_delete\_%';
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_delete\_%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'sub\_delete\_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_delete\_%';
DELETE FROM ctms.stripe_price WHERE stripe_id = 'price_delete';
