-- A subscription of a contact changes, and the contact is enqueued.
\set n random(1, 20000)
\set status random(1, 1000000000)
SELECT ctms.upsert_stripe(subscription(:n, 'price_' || :n % 10, 's' || :status), clock_timestamp());
