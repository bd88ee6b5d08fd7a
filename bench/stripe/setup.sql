-- 20,000 contacts with a Stripe customer and a subscription each, at one of 10 prices.
CREATE FUNCTION subscription(n int, price text, status text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('object', 'subscription', 'id', 'sub_' || n, 'customer', 'cus_' || n, 'created', 1600000000,
        'start_date', 1600000000, 'current_period_start', 1600000000, 'current_period_end', 1700000000, 'cancel_at_period_end', false,
        'canceled_at', null, 'ended_at', null, 'default_source', null, 'default_payment_method', null, 'status', status,
        'items', jsonb_build_object('object', 'list', 'has_more', false, 'data', jsonb_build_array(jsonb_build_object(
            'object', 'subscription_item', 'id', 'si_' || n, 'created', 1600000000, 'price', jsonb_build_object('object', 'price',
                'id', price, 'product', 'prod_' || price, 'created', 1600000000, 'active', true, 'currency', 'usd',
                'recurring', jsonb_build_object('interval', 'month', 'interval_count', 1), 'unit_amount', 499)))))
$$;
CREATE FUNCTION customer(n int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('object', 'customer', 'id', 'cus_' || n, 'description', 'fxa_' || n, 'created', 1600000000,
        'invoice_settings', jsonb_build_object('default_payment_method', 'pm_' || n))
$$;
CREATE SEQUENCE fresh START 1000000;
INSERT INTO ctms.emails (primary_email) SELECT 'bench' || n || '@example.com' FROM generate_series(1, 20000) n;
INSERT INTO ctms.fxa (email_id, fxa_id) SELECT email_id, 'fxa_' || substring(primary_email FROM '\d+') FROM ctms.emails;
SELECT count(ctms.upsert_stripe(customer(n), '2020-01-01')) FROM generate_series(1, 20000) n;
SELECT count(ctms.upsert_stripe(subscription(n, 'price_' || n % 10, 'active'), '2020-01-01')) FROM generate_series(1, 20000) n;
VACUUM ANALYZE;
