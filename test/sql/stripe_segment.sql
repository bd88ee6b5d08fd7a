-- The segment of a product, and the products of a contact.
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- The pure rule: every status, with and without a cancellation, once and repeated.
SELECT status, ctms.product_segment(status, NULL, 1) AS one, ctms.product_segment(status, NULL, 2) AS two,
       ctms.product_segment(status, now(), 1) AS one_canceled, ctms.product_segment(status, now(), 2) AS two_canceled
FROM unnest(ARRAY['active', 'canceled', 'trialing', 'past_due', 'Active', '', 'active ', NULL]) WITH ORDINALITY AS s (status, n)
ORDER BY n;
SELECT ctms.product_segment('active', NULL, NULL) AS no_count, ctms.product_segment('active', NULL, 0) AS none,
       ctms.product_segment('active', '-infinity', -1) AS odd;
SELECT enum_range(NULL::ctms.segment);
SELECT provolatile, proisstrict, proparallel FROM pg_proc WHERE oid = 'ctms.product_segment'::regproc;

-- Contact 1 has every kind of product, contact 2 none, contact 3 shares prices with 1.
INSERT INTO ctms.emails (email_id, primary_email)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'segment' || n || '@example.com' FROM generate_series(1, 3) n;
INSERT INTO ctms.fxa (email_id, fxa_id)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'segment_fxa_' || n FROM generate_series(1, 3) n;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, deleted) VALUES
    ('cus_segment_1', 'segment_fxa_1', '2021-01-01', true), ('cus_segment_3', 'segment_fxa_3', '2021-01-01', false);
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency, recurring_interval, recurring_interval_count, unit_amount)
SELECT 'price_segment_' || p || i, 'prod_segment_' || p, '2021-01-01', true, 'usd', 'month', n, 100 * n
FROM unnest(ARRAY['a', 'b', 'c', 'd', 'e', 'F', 'g', 'h']) p, unnest(ARRAY['x', 'y']) WITH ORDINALITY i (i, n);
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency)
VALUES ('price_segment_once', 'prod_segment_once', '2021-01-01', true, 'eur');

CREATE FUNCTION pg_temp.subscribe(id text, customer text, price text, status text, period_end text,
    start text, canceled text DEFAULT NULL, ended text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end,
        canceled_at, current_period_end, current_period_start, ended_at, start_date, status)
    VALUES ('sub_segment_' || id, customer, '2021-05-01', false, canceled::timestamptz, period_end::timestamptz,
        '2021-06-01', ended::timestamptz, start::timestamptz, status);
    INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
    VALUES ('si_segment_' || id, 'sub_segment_' || id, 'price_segment_' || price, '2021-05-01')
$$;
SELECT pg_temp.subscribe('a1', 'cus_segment_1', 'ax', 'active', '2021-07-01', '2021-02-01');
SELECT pg_temp.subscribe('b1', 'cus_segment_1', 'bx', 'active', '2021-07-01', '2021-02-01', '2021-06-15');
SELECT pg_temp.subscribe('c1', 'cus_segment_1', 'cx', 'canceled', '2021-07-01', '2021-02-01', '2021-06-15', '2021-06-20');
-- The latest by the end of its period wins, whatever its start.
SELECT pg_temp.subscribe('d1', 'cus_segment_1', 'dx', 'canceled', '2021-07-01', '2021-03-01', '2021-06-15', '2021-06-20');
SELECT pg_temp.subscribe('d2', 'cus_segment_1', 'dy', 'active', '2021-08-01', '2021-02-01');
-- Ties: the later start, then the greater id.
SELECT pg_temp.subscribe('e1', 'cus_segment_1', 'ex', 'active', '2021-07-01', '2021-03-01', '2021-06-15');
SELECT pg_temp.subscribe('e2', 'cus_segment_1', 'ey', 'active', '2021-07-01', '2021-02-01');
SELECT pg_temp.subscribe('F2', 'cus_segment_1', 'Fx', 'canceled', '2021-07-01', '2021-02-01', NULL, '2021-06-20');
SELECT pg_temp.subscribe('F1', 'cus_segment_1', 'Fy', 'active', '2021-07-01', '2021-02-01');
-- A status without a segment of its own; a canceled one that does not say when it ended.
SELECT pg_temp.subscribe('g1', 'cus_segment_1', 'gx', 'past_due', '2021-07-01', '2021-02-01', '2021-06-15', '2021-06-20');
SELECT pg_temp.subscribe('g2', 'cus_segment_1', 'gx', 'past_due', '2021-07-01', '2021-02-01', '2021-06-15', '2021-06-20');
SELECT pg_temp.subscribe('h1', 'cus_segment_1', 'hx', 'canceled', '2021-07-01', '2021-02-01');
SELECT pg_temp.subscribe('once', 'cus_segment_1', 'once', 'active', '2021-07-01', '2021-02-01');
SELECT pg_temp.subscribe('3a', 'cus_segment_3', 'ay', 'active', '2021-07-01', '2021-02-01');
-- One subscription with two items of one product counts twice.
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
VALUES ('si_segment_3a_second', 'sub_segment_3a', 'price_segment_ax', '2021-05-01');
-- A customer nobody has.
SELECT pg_temp.subscribe('4a', 'cus_segment_4', 'ay', 'active', '2021-07-01', '2021-02-01');

SELECT product_id, segment, changed::date, sub_count, price_id, status FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000001');
\x on
SELECT * FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000001') WHERE product_id IN ('prod_segment_b', 'prod_segment_once');
\x off
SELECT count(*) FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000002');
SELECT count(*) FROM ctms.product_subscriptions(NULL);
SELECT right(email_id::text, 1) AS contact, product_id, segment, sub_count, price_id
FROM ctms._product_subscriptions(ARRAY['00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000001', NULL,
    '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000003']::uuid[]);
SELECT count(*) FROM ctms._product_subscriptions('{}');
-- Both return the same columns.
SELECT (SELECT array_agg(key) FROM json_object_keys(a.one) key) = (SELECT array_agg(key) FROM json_object_keys(b.many) key WHERE key <> 'email_id') AS same
FROM (SELECT row_to_json(p) AS one FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000003') p) a,
     (SELECT row_to_json(p) AS many FROM ctms._product_subscriptions(ARRAY['00000000-0000-4000-8000-000000000003']::uuid[]) p) b;

-- Who may ask.
SET ROLE ctms_reader;
SELECT count(*) FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000001');
SELECT count(*) FROM ctms._product_subscriptions('{}');
RESET ROLE;

DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_segment\_%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'sub\_segment\_%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_segment\_%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_segment\_%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'segment\_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'segment%@example.com';
