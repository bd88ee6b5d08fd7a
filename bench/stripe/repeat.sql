-- What is stored already comes again.
\set n random(1, 20000)
SELECT ctms.upsert_stripe(subscription(:n, 'price_' || :n % 10, 'active'), '2020-01-01');
