-- ---------------------------------------------------------------------------
-- Stripe: objects and product segments.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.upsert_stripe(object jsonb, message_time timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe';
COMMENT ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) IS 'Stores a Stripe object and what is inside it; returns what was created, updated, deleted and so on. Content older than what is stored, by the time of the message, is skipped';
GRANT EXECUTE ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) TO ctms_api;

CREATE FUNCTION ctms._upsert_stripe_batch(objects jsonb, message_time timestamptz)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe_batch';
COMMENT ON FUNCTION ctms._upsert_stripe_batch(jsonb, timestamptz) IS 'Stores the Stripe objects of an array in one lock order; those with a problem are in "errors" of the report instead';

CREATE TYPE ctms.segment AS ENUM (
    'active', 're-active', 'cancelling', 're-cancelling', 'canceled', 're-canceled', 'other'
);
COMMENT ON TYPE ctms.segment IS 'Where a contact stands with a product; "re-" when the contact has several subscription items of it';

CREATE FUNCTION ctms.product_segment(status text, canceled_at timestamptz, sub_count bigint)
RETURNS ctms.segment
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ctms_product_segment';
COMMENT ON FUNCTION ctms.product_segment(text, timestamptz, bigint) IS 'Segment of a product, from status and canceled_at of its latest subscription and the number of its items';
GRANT EXECUTE ON FUNCTION ctms.product_segment(text, timestamptz, bigint) TO ctms_api, ctms_agent, ctms_reader;

CREATE FUNCTION ctms._product_subscriptions(email_ids uuid[])
RETURNS TABLE (
    email_id uuid, payment_service text, product_id text, product_name text, segment ctms.segment,
    changed timestamptz, sub_count bigint, price_id text, payment_type text, card_brand text,
    card_last4 text, billing_country text, currency text, amount bigint, interval_count integer,
    "interval" text, status text, created timestamptz, start timestamptz,
    current_period_start timestamptz, current_period_end timestamptz, canceled_at timestamptz,
    cancel_at_period_end boolean, ended_at timestamptz
)
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 100
AS 'MODULE_PATHNAME', 'ctms_product_subscriptions_of';
COMMENT ON FUNCTION ctms._product_subscriptions(uuid[]) IS 'The products of many contacts, ordered by contact and product';

CREATE FUNCTION ctms.product_subscriptions(email_id uuid)
RETURNS TABLE (
    payment_service text, product_id text, product_name text, segment ctms.segment,
    changed timestamptz, sub_count bigint, price_id text, payment_type text, card_brand text,
    card_last4 text, billing_country text, currency text, amount bigint, interval_count integer,
    "interval" text, status text, created timestamptz, start timestamptz,
    current_period_start timestamptz, current_period_end timestamptz, canceled_at timestamptz,
    cancel_at_period_end boolean, ended_at timestamptz
)
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 5
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ctms_product_subscriptions';
COMMENT ON FUNCTION ctms.product_subscriptions(uuid) IS 'The Stripe products of a contact with their segments, one row each, ordered by product_id';
GRANT EXECUTE ON FUNCTION ctms.product_subscriptions(uuid) TO ctms_api, ctms_agent, ctms_reader;
