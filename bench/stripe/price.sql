-- New subscriptions, all of one price that does not change, each with a newer time.
SELECT ctms.upsert_stripe(subscription(nextval('fresh')::int, 'price_0', 'active'), clock_timestamp());
