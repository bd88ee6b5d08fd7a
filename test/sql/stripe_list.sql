-- ctms.upsert_stripe_list: objects that are stored together, as if one by one.
\pset null '(null)'
\t on
CREATE FUNCTION pg_temp.customer(id text, fxa text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'customer', 'id', 'cus_l' || id, 'description', 'stripe_l_' || fxa, 'created', 1) $$;
CREATE FUNCTION pg_temp.price(id text, product text DEFAULT '1') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'price', 'id', 'price_l' || id, 'product', 'prod_l' || product, 'created', 1, 'active', true, 'currency', 'usd') $$;
CREATE FUNCTION pg_temp.item(id text, price jsonb, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription_item', 'id', 'si_l' || id, 'created', 1, 'price', price) || more $$;
CREATE FUNCTION pg_temp.subscription(id text, VARIADIC items jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription', 'id', 'sub_l' || id, 'customer', 'cus_l1', 'created', 1, 'start_date', 1, 'current_period_start', 1,
        'current_period_end', 1, 'cancel_at_period_end', false, 'status', 'active', 'items', jsonb_build_object('data', items)) $$;
CREATE FUNCTION pg_temp.store(VARIADIC objects jsonb[]) RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT jsonb_array_elements(ctms.upsert_stripe_list(to_jsonb(objects))) $$;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('00000000-0000-4000-8000-0000000000d2', 'stripe_l1@example.com');
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES ('00000000-0000-4000-8000-0000000000d2', 'stripe_l_1');

-- A report for each object; one with a problem or of another type prevents no other.
SELECT pg_temp.store('{}', pg_temp.customer('1', '1'), '{"object": "customer", "id": "cus_l2"}', '{"object": "mandate", "id": "m_l1"}', pg_temp.customer('3', '3'));
SELECT pg_temp.store(pg_temp.customer('1', '1'), pg_temp.customer('3', '3') || '{"default_source": "s"}');
SELECT ctms.upsert_stripe_list('[]');
-- The same price comes again and again. Whoever stores it first has it in its report.
SELECT pg_temp.store(pg_temp.subscription('1', pg_temp.item('1', pg_temp.price('1'))), pg_temp.subscription('2', pg_temp.item('2', pg_temp.price('1'))),
    pg_temp.subscription('3', pg_temp.item('3', '"price_l1"')), pg_temp.price('1'));
-- The list ends before an object that has to do with an earlier one.
SELECT pg_temp.store(pg_temp.customer('4', '4'), pg_temp.customer('4', '5'), pg_temp.customer('6', '6'));
SELECT pg_temp.store(pg_temp.customer('4', '4'), pg_temp.customer('5', '4'));
SELECT pg_temp.store(pg_temp.price('1'), pg_temp.price('1', '2'));
SELECT pg_temp.store(pg_temp.item('4', '"price_l1"', '{"subscription": "sub_l4"}'), pg_temp.item('5', '"price_l1"', '{"subscription": "sub_l1"}'), pg_temp.subscription('4', VARIADIC '{}'));
SELECT pg_temp.store(pg_temp.subscription('5', pg_temp.item('6', '"price_l2"')), pg_temp.price('2'));
SELECT pg_temp.store(pg_temp.subscription('5', VARIADIC '{}'), pg_temp.item('6', '"price_l1"', '{"subscription": "sub_l5"}'));
-- Nothing is stored together when an object takes over what another one has stored before.
SELECT pg_temp.store(pg_temp.customer('3', '7'), pg_temp.customer('7', '3'));
SELECT pg_temp.store(pg_temp.subscription('1', pg_temp.item('1', '"price_l1"'), pg_temp.item('2', '"price_l1"')), pg_temp.subscription('2', VARIADIC '{}'));
-- From somebody who is not in the list, it is taken over.
SELECT pg_temp.store(pg_temp.customer('8', '3'), pg_temp.customer('1', '1') || '{"default_source": "s"}', pg_temp.subscription('1', VARIADIC '{}'));

-- A plan is the price that it is; what is deleted is a row as any other.
SELECT pg_temp.store(pg_temp.price('9') - 'recurring', pg_temp.price('9') || '{"object": "plan"}', pg_temp.price('9') || '{"object": "plan", "amount": 5}');
SELECT pg_temp.store(pg_temp.subscription('9', pg_temp.item('9', '"price_l9"')));
SELECT pg_temp.store('{"object": "subscription_item", "id": "si_l404", "deleted": true}', '{"object": "subscription_item", "id": "si_l9", "deleted": true}',
    '{"object": "plan", "id": "price_l9", "deleted": true}', '{"object": "invoice"}', pg_temp.subscription('9', pg_temp.item('9', '"price_l9"')));
SELECT deleted FROM ctms.stripe_subscription_item WHERE stripe_id = 'si_l9';

-- What is refused, and who may call.
SELECT ctms.upsert_stripe_list('{}');
SELECT ctms.upsert_stripe_list(NULL);
SET ROLE ctms_api;
SELECT ctms.upsert_stripe_list('[]');
SET ROLE ctms_admin;
SELECT ctms.upsert_stripe_list('[]');
RESET ROLE;

SELECT stripe_id, fxa_id FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_l%' ORDER BY 1;
DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_l%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'sub\_l%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_l%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_l%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'stripe\_l\_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'stripe\_l%@example.com';
