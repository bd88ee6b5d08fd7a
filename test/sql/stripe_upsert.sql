-- ctms.upsert_stripe: every kind of object, what is stored, what is reported, what is refused.
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Small objects to vary.
CREATE FUNCTION pg_temp.customer(id text, fxa_id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'customer', 'id', id, 'description', fxa_id, 'created', 1600000000,
        'email', 'somebody@example.com', 'invoice_settings', '{"default_payment_method": "pm_u1"}'::jsonb, 'default_source', null)
$$;
CREATE FUNCTION pg_temp.price(id text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'price', 'id', id, 'product', 'prod_u1', 'created', 1600000001, 'active', true,
        'currency', 'usd', 'recurring', '{"interval": "month", "interval_count": 1}'::jsonb, 'unit_amount', 499) || more
$$;
CREATE FUNCTION pg_temp.item(id text, price jsonb, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription_item', 'id', id, 'created', 1600000002, 'price', price) || more
$$;
CREATE FUNCTION pg_temp.list(elements jsonb[], has_more boolean DEFAULT false) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'list', 'has_more', has_more, 'data', to_jsonb(elements))
$$;
CREATE FUNCTION pg_temp.subscription(id text, customer text, items jsonb, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'subscription', 'id', id, 'customer', customer, 'created', 1600000003,
        'start_date', 1600000003, 'current_period_start', 1600000003, 'current_period_end', 1602592003,
        'cancel_at_period_end', false, 'status', 'active', 'items', items) || more
$$;
CREATE FUNCTION pg_temp.line(id text, price jsonb, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'line_item', 'id', id, 'type', 'subscription', 'price', price,
        'amount', 499, 'currency', 'usd', 'subscription', 'sub_u1', 'subscription_item', 'si_u1') || more
$$;
CREATE FUNCTION pg_temp.invoice(id text, customer text, lines jsonb, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'invoice', 'id', id, 'customer', customer, 'created', 1600000004,
        'currency', 'usd', 'total', 499, 'status', 'open', 'lines', lines) || more
$$;
-- Versions of all rows, to see that nothing was written.
CREATE FUNCTION pg_temp.versions() RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(v, ' ' ORDER BY v COLLATE "C")) FROM (
        SELECT 'c' || ctid || xmin || c AS v FROM ctms.stripe_customer c WHERE stripe_id LIKE 'cus\_u%' UNION ALL
        SELECT 'p' || ctid || xmin || p FROM ctms.stripe_price p WHERE stripe_id LIKE 'price\_u%' UNION ALL
        SELECT 's' || ctid || xmin || s FROM ctms.stripe_subscription s WHERE stripe_id LIKE 'sub\_u%' UNION ALL
        SELECT 'i' || ctid || xmin || i FROM ctms.stripe_subscription_item i WHERE stripe_id LIKE 'si\_u%' UNION ALL
        SELECT 'n' || ctid || xmin || n FROM ctms.stripe_invoice n WHERE stripe_id LIKE 'in\_u%' UNION ALL
        SELECT 'l' || ctid || xmin || l FROM ctms.stripe_invoice_line_item l WHERE stripe_id LIKE 'il\_u%') v
$$;
INSERT INTO ctms.emails (email_id, primary_email) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'stripe_u1@example.com'), ('00000000-0000-4000-8000-0000000000a2', 'stripe_u2@example.com');
INSERT INTO ctms.fxa (email_id, fxa_id) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'stripe_u_fxa1'), ('00000000-0000-4000-8000-0000000000a2', 'stripe_u_fxa2');

-- ---- each kind: created, then no change --------------------------------------------------

CREATE TEMP TABLE message (n int, object jsonb);
INSERT INTO message VALUES
    (1, pg_temp.customer('cus_u1', 'stripe_u_fxa1')),
    (2, pg_temp.price('price_u0', '{"recurring": null, "unit_amount": null}')),
    (3, pg_temp.subscription('sub_u1', 'cus_u1', pg_temp.list(ARRAY[
        pg_temp.item('si_u1', pg_temp.price('price_u1')), pg_temp.item('si_u2', pg_temp.price('price_u2', '{"currency": "eur"}'))]))),
    (4, pg_temp.item('si_u3', '"price_u1"', '{"subscription": "sub_u1"}')),
    (5, pg_temp.invoice('in_u1', 'cus_u1', pg_temp.list(ARRAY[
        pg_temp.line('il_u1', pg_temp.price('price_u1')), pg_temp.line('il_u2', '"price_u2"', '{"type": "invoiceitem", "invoice_item": "ii_u1", "subscription": null}'), pg_temp.line('il_u3', pg_temp.price('price_u1'))])));
SELECT n, ctms.upsert_stripe(object) FROM message ORDER BY n;
SELECT pg_temp.versions() AS versions \gset
SELECT n, ctms.upsert_stripe(object) FROM message WHERE n <> 3 ORDER BY n;
SELECT pg_temp.versions() = :'versions' AS nothing_written;
\x on
SELECT * FROM ctms.stripe_customer WHERE stripe_id = 'cus_u1' AND create_timestamp = update_timestamp \gset was_
SELECT stripe_id, fxa_id, default_source_id, invoice_settings_default_payment_method_id, stripe_created, deleted, message_timestamp FROM ctms.stripe_customer WHERE stripe_id = 'cus_u1';
SELECT stripe_id, stripe_product_id, stripe_created, active, currency, recurring_interval, recurring_interval_count, unit_amount FROM ctms.stripe_price WHERE stripe_id IN ('price_u0', 'price_u1') ORDER BY stripe_id;
SELECT stripe_id, stripe_customer_id, default_payment_method_id, default_source_id, stripe_created, cancel_at_period_end, canceled_at, current_period_end, current_period_start, ended_at, start_date, status FROM ctms.stripe_subscription WHERE stripe_id = 'sub_u1';
SELECT stripe_id, stripe_subscription_id, stripe_price_id, stripe_created FROM ctms.stripe_subscription_item WHERE stripe_id = 'si_u2';
SELECT stripe_id, stripe_customer_id, default_payment_method_id, default_source_id, stripe_created, currency, total, status FROM ctms.stripe_invoice WHERE stripe_id = 'in_u1';
SELECT stripe_id, stripe_invoice_id, stripe_type, stripe_price_id, stripe_invoice_item_id, stripe_subscription_id, stripe_subscription_item_id, amount, currency FROM ctms.stripe_invoice_line_item WHERE stripe_invoice_id = 'in_u1' ORDER BY stripe_id;
\x off

-- ---- changes -----------------------------------------------------------------------------

-- The list of a subscription without an item that came by itself removes it.
SELECT ctms.upsert_stripe(object) FROM message WHERE n = 3;
-- One key at a time; each is seen.
SELECT key, ctms.upsert_stripe((SELECT object FROM message WHERE n = 3) || jsonb_build_object(key, value)) -> 'updated' AS updated
FROM (VALUES ('customer', '"cus_u9"'::jsonb), ('default_payment_method', '"pm_u2"'), ('default_source', '"card_u1"'), ('created', '1600000013'),
    ('cancel_at_period_end', 'true'), ('canceled_at', '1600000014'), ('current_period_end', '1602592015'), ('current_period_start', '1600000015'),
    ('ended_at', '1600000016'), ('start_date', '1600000017'), ('status', '"canceled"')) AS change (key, value);
SELECT ctms.upsert_stripe(object) FROM message WHERE n = 3;
SELECT key, ctms.upsert_stripe(pg_temp.price('price_u1') || jsonb_build_object(key, value)) - 'no_change' AS report
FROM (VALUES ('product', '"prod_u2"'::jsonb), ('created', '1'), ('active', 'false'), ('currency', '"eur"'), ('recurring', '{"interval": "week", "interval_count": 1}'),
    ('recurring', '{"interval": "month", "interval_count": 3}'), ('recurring', 'null'), ('unit_amount', '9223372036854775807'), ('unit_amount', 'null')) AS change (key, value);
SELECT ctms.upsert_stripe(pg_temp.price('price_u1'));
SELECT key, ctms.upsert_stripe(pg_temp.customer('cus_u1', 'stripe_u_fxa1') || jsonb_build_object(key, value)) - 'no_change' AS report
FROM (VALUES ('default_source', '"card_u1"'::jsonb), ('invoice_settings', 'null'), ('invoice_settings', '{}'), ('invoice_settings', '{"default_payment_method": null}'), ('created', '1'), ('description', '"stripe_u_fxa2"'), ('description', '"stripe_u_fxa3"')) AS change (key, value);
SELECT create_timestamp = :'was_create_timestamp' AS same_customer_still FROM ctms.stripe_customer WHERE stripe_id = 'cus_u1';
SELECT ctms.upsert_stripe(object) FROM message WHERE n = 1;
SELECT key, ctms.upsert_stripe((SELECT object FROM message WHERE n = 5) || jsonb_build_object(key, value)) -> 'updated' AS updated
FROM (VALUES ('customer', '"cus_u9"'::jsonb), ('default_payment_method', '"pm_u2"'), ('default_source', '"card_u1"'), ('created', '1600000013'),
    ('currency', '"eur"'), ('total', '-1'), ('status', '"uncollectible"')) AS change (key, value);
-- Lines change, go, come, and move the price; several at once.
SELECT ctms.upsert_stripe(pg_temp.invoice('in_u1', 'cus_u1', pg_temp.list(ARRAY[
    pg_temp.line('il_u1', pg_temp.price('price_u1'), '{"amount": 500}'), pg_temp.line('il_u4', pg_temp.price('price_u4')), pg_temp.line('il_u3', '"price_u2"')])));
-- A list that is cut off removes nothing; an empty one everything.
SELECT ctms.upsert_stripe(pg_temp.invoice('in_u1', 'cus_u1', pg_temp.list(ARRAY[pg_temp.line('il_u5', '"price_u1"')], true)));
SELECT ctms.upsert_stripe(pg_temp.invoice('in_u1', 'cus_u1', pg_temp.list('{}', true)));
SELECT ctms.upsert_stripe(pg_temp.invoice('in_u1', 'cus_u1', pg_temp.list('{}')));
SELECT count(*) FROM ctms.stripe_invoice_line_item WHERE stripe_id LIKE 'il\_u%';
-- An item moves to another subscription.
SELECT ctms.upsert_stripe(pg_temp.subscription('sub_u2', 'cus_u1', pg_temp.list(ARRAY[pg_temp.item('si_u2', '"price_u1"')])));
SELECT stripe_id, stripe_subscription_id FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_u%' ORDER BY 1;

-- ---- shapes ------------------------------------------------------------------------------

-- References as objects, keys that are absent or null, a line twice, a price in several versions.
SELECT ctms.upsert_stripe(pg_temp.subscription('sub_u3', 'cus_u1', pg_temp.list(ARRAY[
        pg_temp.item('si_u5', pg_temp.price('price_u5', '{"product": {"object": "product", "id": "prod_u5", "name": "ignored"}}')),
        pg_temp.item('si_u6', pg_temp.price('price_u5', '{"unit_amount": 5}'), '{"created": 5}'), pg_temp.item('si_u6', '"price_u5"', '{"created": 6}')])) ||
    '{"customer": {"object": "customer", "id": "cus_u1", "deleted": true}, "default_source": {"id": "card_u2"},
      "default_payment_method": {"id": "pm_u3", "card": {}}, "latest_invoice": {"id": "in_u1", "lines": 5}, "unknown_key": [[1]]}');
SELECT stripe_customer_id, default_source_id, default_payment_method_id FROM ctms.stripe_subscription WHERE stripe_id = 'sub_u3';
SELECT stripe_product_id, unit_amount FROM ctms.stripe_price WHERE stripe_id = 'price_u5';
SELECT stripe_created FROM ctms.stripe_subscription_item WHERE stripe_id = 'si_u6';
SELECT ctms.upsert_stripe(pg_temp.item('si_u7', pg_temp.price('price_u6'), '{"subscription": {"id": "sub_u3"}}'));
-- The period from the items: the earliest start, the latest end, each for itself.
SELECT ctms.upsert_stripe(pg_temp.subscription('sub_u4', 'cus_u1', pg_temp.list(ARRAY[
    pg_temp.item('si_u8', '"price_u1"', '{"current_period_start": 1700000500, "current_period_end": 1700000600}'),
    pg_temp.item('si_u9', '"price_u1"', '{"current_period_start": 1700000400, "current_period_end": 1700000500}'),
    pg_temp.item('si_u10', '"price_u1"')])) - '{current_period_start,current_period_end}'::text[]);
SELECT extract(epoch FROM current_period_start)::bigint AS start, extract(epoch FROM current_period_end)::bigint AS end FROM ctms.stripe_subscription WHERE stripe_id = 'sub_u4';
SELECT ctms.upsert_stripe(pg_temp.subscription('sub_u4', 'cus_u1', pg_temp.list(ARRAY[
    pg_temp.item('si_u8', '"price_u1"', '{"current_period_start": 1700000500, "current_period_end": 1700000600}')]), '{"current_period_start": 1, "current_period_end": null}'));
SELECT extract(epoch FROM current_period_start)::bigint AS start, extract(epoch FROM current_period_end)::bigint AS end FROM ctms.stripe_subscription WHERE stripe_id = 'sub_u4';
-- What Stripe may extend is stored as it comes, if it fits.
SELECT ctms.upsert_stripe(pg_temp.subscription('sub_u5', 'cus_u1', pg_temp.list(ARRAY[
    pg_temp.item('si_u11', pg_temp.price('price_u7', '{"product": "prod_u7", "recurring": {"interval": "eons!"}, "currency": "zzz"}'))]), '{"status": "äöüäöüäöüäöüäöüäöüäö"}'));
SELECT status, segment, currency, "interval", interval_count FROM ctms.product_subscriptions('00000000-0000-4000-8000-0000000000a1') WHERE product_id = 'prod_u7';
-- Types that CTMS does not use, lines by themselves among them.
SELECT ctms.upsert_stripe('{"object": "charge", "id": "ch_u1"}'), ctms.upsert_stripe(pg_temp.line('il_u9', '"price_u1"')), ctms.upsert_stripe('{"object": "Customer", "id": "cus_u1"}');

-- ---- deleted customers, FxA-ID conflicts ----------------------------------------------------

SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_u1", "deleted": true}');
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_u1", "deleted": true, "description": 5, "created": null}');
SELECT deleted, fxa_id, invoice_settings_default_payment_method_id FROM ctms.stripe_customer WHERE stripe_id = 'cus_u1';
SELECT count(*) > 0 AS keeps_products FROM ctms.product_subscriptions('00000000-0000-4000-8000-0000000000a1');
SELECT ctms.upsert_stripe('{"object": "customer", "id": "cus_u404", "deleted": true}');
SELECT ctms.upsert_stripe(object || '{"deleted": false}') FROM message WHERE n = 1;
SELECT ctms.upsert_stripe(pg_temp.customer('cus_u2', 'stripe_u_fxa1'));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_u2', 'stripe_u_fxa1'));
SELECT ctms.upsert_stripe(pg_temp.customer('cus_u3', 'stripe_u_fxa2'));
-- A stored customer takes over the FxA ID of another.
SELECT ctms.upsert_stripe(pg_temp.customer('cus_u2', 'stripe_u_fxa2'));
SELECT stripe_id, fxa_id FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_u%' ORDER BY 1;
SELECT ctms.upsert_stripe(object) FROM message WHERE n = 1;

-- ---- errors: what, whose, which key; and nothing is stored ----------------------------------

CREATE FUNCTION pg_temp.refused(object jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'stored: ' || ctms.upsert_stripe(object)::text;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END
$$;
SELECT pg_temp.versions() AS versions \gset
SELECT object AS not_stripe, pg_temp.refused(object) FROM unnest(ARRAY[NULL, 'null', '5', '"customer"', '[]', '[{"object": "customer", "id": "cus_u7"}]', '{}', '{"object": "customer"}',
    '{"id": "cus_u7"}', '{"object": 5, "id": "cus_u7"}', '{"object": "customer", "id": 5}', '{"object": "customer", "id": ""}', '{"object": {}, "id": []}']::jsonb[]) WITH ORDINALITY o (object, n) ORDER BY n;
-- Every needed key: absent, null, of each wrong type.
CREATE FUNCTION pg_temp.refusals(base jsonb, optional text[] DEFAULT '{}') RETURNS TABLE (key text, absent text, wrong text) LANGUAGE sql AS $$
    SELECT key, pg_temp.refused(base - key),
        (SELECT string_agg(DISTINCT left(pg_temp.refused(base || jsonb_build_object(key, value)), 150), ' | ')
         FROM unnest(ARRAY['null', 'true', '1.5', '-1', '"x"', '""', '[]', '{}', '1e300', '[{}]']::jsonb[]) value
         WHERE NOT (jsonb_typeof(value) = jsonb_typeof(base -> key) AND value IN ('true', '"x"', '-1')))
    FROM jsonb_object_keys(base) key WHERE key <> ALL (optional || '{object,id,email}') ORDER BY key COLLATE "C"
$$;
\x on
SELECT key AS customer, absent, wrong FROM pg_temp.refusals(pg_temp.customer('cus_u7', 'stripe_u_fxa7'), '{default_source,invoice_settings}');
SELECT key AS price, absent, wrong FROM pg_temp.refusals(pg_temp.price('price_u77'), '{recurring,unit_amount}');
SELECT key AS subscription, absent, wrong FROM pg_temp.refusals(pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77'))])));
SELECT key AS item, absent, wrong FROM pg_temp.refusals(pg_temp.item('si_u77', pg_temp.price('price_u77'), '{"subscription": "sub_u1"}'));
SELECT key AS invoice, absent, wrong FROM pg_temp.refusals(pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', pg_temp.price('price_u77'))])), '{customer,status}');
\x off
-- Optional keys of a wrong type; what is inside names its place.
SELECT pg_temp.refused(object) FROM unnest(ARRAY[
    pg_temp.customer('cus_u7', 'f') || '{"default_source": 5}', pg_temp.customer('cus_u7', 'f') || '{"default_source": {}}', pg_temp.customer('cus_u7', 'f') || '{"default_source": {"id": null}}',
    pg_temp.customer('cus_u7', 'f') || '{"default_source": {"id": 7}}', pg_temp.customer('cus_u7', 'f') || '{"invoice_settings": "x"}', pg_temp.customer('cus_u7', 'f') || '{"invoice_settings": {"default_payment_method": []}}',
    pg_temp.customer('cus_u7', 'f') || '{"deleted": "true"}', pg_temp.customer('cus_u7', '') , pg_temp.customer('cus_u7', repeat('f', 256)), pg_temp.customer(repeat('u', 256), 'f'),
    pg_temp.price('price_u77', '{"recurring": 1}'), pg_temp.price('price_u77', '{"recurring": {"interval": "decade"}}'), pg_temp.price('price_u77', '{"recurring": {"interval_count": 2147483648}}'),
    pg_temp.price('price_u77', '{"unit_amount": "5"}'), pg_temp.price('price_u77', '{"unit_amount": 9223372036854775808}'), pg_temp.price('price_u77', '{"currency": "dollar"}'), pg_temp.price('price_u77', '{"created": 1600000000000}'),
    pg_temp.price('price_u77', '{"product": {"object": "product"}}'),
    pg_temp.subscription('sub_u77', 'cus_u7', '{"data": {}}'), pg_temp.subscription('sub_u77', 'cus_u7', '{}'), pg_temp.subscription('sub_u77', 'cus_u7', '{"data": [5]}'),
    pg_temp.subscription('sub_u77', 'cus_u7', '{"data": [], "has_more": 1}'), pg_temp.subscription('sub_u77', 'cus_u7', '{"data": ["si_u77"]}'), pg_temp.subscription('sub_u77', 'cus_u7', '{"data": [{"object": "line_item", "id": "si_u77"}]}'),
    pg_temp.subscription('sub_u77', 'cus_u7', '{"data": [{"object": "subscription_item"}]}'), pg_temp.subscription('sub_u77', 'cus_u7', '{"data": [{"id": "si_u77"}]}'), pg_temp.subscription('sub_u77', 'cus_u7', '{"data": [{"object": "subscription_item", "id": 7}]}'),
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77')), pg_temp.item('si_u78', pg_temp.price('price_u78') - 'currency')])),
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77') - 'object')])),
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77') || '{"object": "product"}')])),
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77') || '{"recurring": {"interval": 7}}')])),
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77'))])) - 'current_period_end',
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', pg_temp.price('price_u77'), '{"current_period_end": "soon"}')])) - 'current_period_end',
    pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', pg_temp.price('price_u77')), pg_temp.line('il_u78', '5')])),
    pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', pg_temp.price('price_u77'))]), '{"customer": 5}'),
    pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', pg_temp.price('price_u77'))]), '{"status": "something longer"}'),
    pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', pg_temp.price('price_u77'), '{"type": ""}')])),
    pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', pg_temp.price('price_u77'), jsonb_build_object('type', repeat('t', 256)))]))]) WITH ORDINALITY o (object, n) ORDER BY n;
-- References to what is not stored.
SELECT pg_temp.refused(object) FROM unnest(ARRAY[
    pg_temp.item('si_u77', pg_temp.price('price_u77'), '{"subscription": "sub_u77"}'),
    pg_temp.item('si_u77', '"price_u77"', '{"subscription": "sub_u1"}'),
    pg_temp.subscription('sub_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.item('si_u77', '"price_u1"'), pg_temp.item('si_u78', '"price_u77"')])),
    pg_temp.invoice('in_u77', 'cus_u7', pg_temp.list(ARRAY[pg_temp.line('il_u77', '"price_u77"')]))]) WITH ORDINALITY o (object, n) ORDER BY n;
SELECT pg_temp.versions() = :'versions' AS nothing_written;
SELECT ctms.upsert_stripe('{"object": "price", "id": "price_u77"}');
\echo :LAST_ERROR_SQLSTATE
SELECT ctms.upsert_stripe(pg_temp.item('si_u77', '"price_u77"', '{"subscription": "sub_u1"}'));
\echo :LAST_ERROR_SQLSTATE
SELECT ctms.upsert_stripe('{}', 'infinity');

-- ---- inside larger transactions: what fails leaves nothing -----------------------------------

CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused by a trigger';
END
$$;
BEGIN;
CREATE TRIGGER refuse AFTER INSERT ON ctms.stripe_subscription_item FOR EACH ROW WHEN (new.stripe_id = 'si_u666') EXECUTE FUNCTION pg_temp.refuse();
DO $$
DECLARE
    report jsonb;
    object jsonb := (SELECT pg_temp.subscription('sub_u6', 'cus_u1', pg_temp.list(ARRAY[pg_temp.item('si_u61', '"price_u2"'), pg_temp.item('si_u666', pg_temp.price('price_u8'))])));
BEGIN
    BEGIN
        report := ctms.upsert_stripe(object);
    EXCEPTION WHEN raise_exception THEN
        RAISE NOTICE 'caught: %', sqlerrm;
    END;
    BEGIN
        report := ctms.upsert_stripe(object - 'status');
    EXCEPTION WHEN SQLSTATE 'CTS02' THEN
        RAISE NOTICE 'caught: %', sqlerrm;
    END;
    PERFORM FROM ctms.stripe_subscription WHERE stripe_id = 'sub_u6' UNION ALL SELECT FROM ctms.stripe_price WHERE stripe_id = 'price_u8';
    RAISE NOTICE 'stored: %', FOUND;
    report := ctms.upsert_stripe(jsonb_set(object, '{items,data,1,id}', '"si_u65"'));
    RAISE NOTICE '%', report;
END
$$;
ROLLBACK;

-- ---- who may call -------------------------------------------------------------------------

SET ROLE ctms_api;
SELECT ctms.upsert_stripe('{"object": "charge", "id": "ch_u1"}');
SELECT ctms._upsert_stripe_batch('[]', NULL);
SET ROLE ctms_agent;
SELECT ctms.upsert_stripe('{"object": "charge", "id": "ch_u1"}');
RESET ROLE;

DELETE FROM ctms.stripe_subscription_item WHERE stripe_id LIKE 'si\_u%';
DELETE FROM ctms.stripe_subscription WHERE stripe_id LIKE 'sub\_u%';
DELETE FROM ctms.stripe_invoice_line_item WHERE stripe_id LIKE 'il\_u%';
DELETE FROM ctms.stripe_invoice WHERE stripe_id LIKE 'in\_u%';
DELETE FROM ctms.stripe_price WHERE stripe_id LIKE 'price\_u%';
DELETE FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus\_u%';
DELETE FROM ctms.fxa WHERE fxa_id LIKE 'stripe\_u\_%';
DELETE FROM ctms.emails WHERE primary_email LIKE 'stripe\_u%@example.com';
