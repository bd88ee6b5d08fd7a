-- Changes of very few subscriptions and customers: sessions mostly want the same rows.
\set n random(1, 20)
\set status random(1, 1000000000)
SELECT ctms.upsert_stripe(subscription(:n, 'price_' || :n % 10, 's' || :status), clock_timestamp());
SELECT ctms.upsert_stripe(customer(:n) || jsonb_build_object('default_source', 'card_' || :status), clock_timestamp());
