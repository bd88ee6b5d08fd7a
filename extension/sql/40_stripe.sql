-- ---------------------------------------------------------------------------
-- Stripe: objects and product segments.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.unwrap_stripe(object jsonb)
RETURNS TABLE (path text, object jsonb, content jsonb, has_more boolean)
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ctms_unwrap_stripe';
COMMENT ON FUNCTION ctms.unwrap_stripe(jsonb) IS 'The objects and events in a Stripe list, in the order in which they must be stored: path leads to them from the value, content is the object of an event or the object itself, has_more says that there are more pages. A value that is no list is returned itself, with an empty path';
GRANT EXECUTE ON FUNCTION ctms.unwrap_stripe(jsonb) TO ctms_admin;

-- Every statement of these three functions finds its rows by an index. Without
-- enable_seqscan = off, a plan that was made while a table was small would read the whole
-- table until it is analysed.
CREATE FUNCTION ctms.upsert_stripe(object jsonb, message_time timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe';
COMMENT ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) IS 'Stores a Stripe object and the objects inside it, or those of a Stripe event or list, all or none; returns lists of "kind:id" in created, updated, no_change, deleted and skipped, the contacts in email_ids, FxA IDs that more than one customer claimed in fxa_id_conflict, the names in skipped by reason in skip_reasons, and for an event or list count (objects that were not skipped) and warnings. Skips content that is older than the stored content, by the time of the message; that of an event is its time unless another is given';
GRANT EXECUTE ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) TO ctms_api;

-- It soon gives up waiting for a lock, before anybody looks for a deadlock (deadlock_timeout): others
-- may wait for all the rows that it has locked.
CREATE FUNCTION ctms.upsert_stripe_list(objects jsonb)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET lock_timeout = '500ms'
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe_list';
COMMENT ON FUNCTION ctms.upsert_stripe_list(jsonb) IS 'Stores the first Stripe objects or events of an array in one lock order, up to the first that has to do with an earlier one, has another time or is a Stripe list; returns an array with the report of ctms.upsert_stripe() for each of these. The report is null for an object that was not stored: call ctms.upsert_stripe() for it. Objects for which there is no report belong into the next call';
GRANT EXECUTE ON FUNCTION ctms.upsert_stripe_list(jsonb) TO ctms_admin;

CREATE FUNCTION ctms._upsert_stripe_batch(objects jsonb, message_time timestamptz)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe_batch';
COMMENT ON FUNCTION ctms._upsert_stripe_batch(jsonb, timestamptz) IS 'Stores the Stripe objects, events and lists of an array, those with the same time in one lock order; objects with a problem are listed in "errors" of the report instead, and count is how many were not skipped';

CREATE FUNCTION ctms._pubsub_time(moment jsonb) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN moment #>> '{}' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$'
                THEN (moment #>> '{}')::timestamptz END
$$;
COMMENT ON FUNCTION ctms._pubsub_time(jsonb) IS 'A time as Pub/Sub writes it, null for anything that does not look like one';

-- Fails with a data exception when the body is not a push message of Pub/Sub.
CREATE FUNCTION ctms._pubsub_payload(body text, OUT message jsonb, OUT payload jsonb)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    message := body::jsonb -> 'message';
    IF message IS NULL OR jsonb_typeof(message -> 'data') IS DISTINCT FROM 'string' THEN
        RAISE data_exception;
    END IF;
    payload := convert_from(decode(message ->> 'data', 'base64'), 'UTF8')::jsonb;
END
$$;
COMMENT ON FUNCTION ctms._pubsub_payload(text) IS 'A push message of Pub/Sub, and the decoded data in it';

CREATE FUNCTION ctms.ingest_pubsub(body text) RETURNS json
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message jsonb;
    payload jsonb;
    message_time timestamptz;
    objects jsonb := '[]';
    warnings text[] := '{}';
    report jsonb := '{}';
    status integer := 202;
    processed bigint;
    refusal text;
    trace text;
BEGIN
    BEGIN
        SELECT p.message, p.payload INTO STRICT message, payload FROM ctms._pubsub_payload(body) AS p;
        message_time := ctms._pubsub_time(COALESCE(message -> 'publishTime', message -> 'publish_time'));
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        refusal := 'Message does not appear to be from pubsub, do not send again.';
    END;

    IF payload ? 'object' AND jsonb_typeof(payload) = 'object' THEN
        objects := jsonb_build_array(payload);
    ELSIF jsonb_typeof(payload) = 'object' AND payload <> '{}'
          AND NOT EXISTS (SELECT FROM jsonb_object_keys(payload) AS key WHERE key !~ '^[^:]*:[^:]*$') THEN
        SELECT COALESCE(jsonb_agg(value ORDER BY key) FILTER (WHERE NOT is_empty), '[]'),
               COALESCE(array_agg(CASE WHEN key ~ '^[A-Za-z0-9_.:-]{1,128}$' THEN key ELSE 'an object' END || ' is empty' ORDER BY key) FILTER (WHERE is_empty), '{}')
        INTO objects, warnings
        FROM jsonb_each(payload), LATERAL (SELECT value IN ('null', '{}', '[]', '""')) AS v (is_empty);
    ELSIF refusal IS NULL THEN
        refusal := 'Unknown payload type, do not send again.';
    END IF;
    IF message_time IS NULL AND refusal IS NULL THEN
        warnings := warnings || text 'the message has no publishTime';
    END IF;

    SELECT string_agg(email, ',' ORDER BY email) INTO trace FROM (
        SELECT DISTINCT object ->> 'email' AS email
        FROM (SELECT jsonb_array_elements(objects)
              UNION ALL SELECT jsonb_path_query(objects, '$.**{2 to 8} ? (@.object == "customer")')) AS o (object)
        WHERE object ->> 'email' ~ '[+](trace_me_mozilla_|trace-me-mozilla-)'
          AND length(object ->> 'email') <= 255
        ORDER BY 1 LIMIT 10) AS traced;

    report := ctms._upsert_stripe_batch(objects, message_time);
    processed := report -> 'count';
    IF report @? '$.errors[*] ? (@.code == "CTS03")' THEN
        status := 409;
    ELSIF report ? 'errors' THEN
        refusal := 'Errors processing the data, do not send again.';
    ELSIF refusal IS NULL THEN
        status := 200;
    END IF;
    RETURN json_build_object(
        'status', status,
        'count', processed,
        'response', CASE status
            WHEN 200 THEN json_build_object('status', 'OK', 'count', processed)
            WHEN 202 THEN json_build_object('status', 'Accepted but not processed', 'message', refusal)
            ELSE json_build_object('detail', 'Write conflict, try again') END,
        'ingest_actions', report - '{errors,email_ids,fxa_id_conflict,count,warnings}'::text[],
        'email_ids', COALESCE(report -> 'email_ids', '[]'),
        'fxa_id_conflict', COALESCE(report -> 'fxa_id_conflict', '[]'),
        'errors', COALESCE(report -> 'errors', '[]'),
        'warnings', to_jsonb(warnings) || COALESCE(report -> 'warnings', '[]'),
        'message_id', message ->> 'messageId',
        'trace', trace,
        'trace_json', CASE WHEN trace IS NOT NULL THEN payload END);
END
$$;
COMMENT ON FUNCTION ctms.ingest_pubsub(text) IS 'Stores the Stripe objects of a push message of Pub/Sub; returns the HTTP status and the response to answer with, count (objects that were not skipped) and ingest_actions for what was done, email_ids, fxa_id_conflict, errors, warnings, and for the log message_id, trace and trace_json';
GRANT EXECUTE ON FUNCTION ctms.ingest_pubsub(text) TO ctms_api;

CREATE FUNCTION ctms.enqueue_stripe(object jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    part record;
    kind text;
    id text;
    customer text;
    subscription text;
    contacts uuid[];
    all_contacts uuid[] := '{}';
    enqueued text[] := '{}';
    unused text[] := '{}';
    previews text[] := '{}';
    unconnected text[] := '{}';
BEGIN
    FOR part IN SELECT u.path, u.content FROM ctms.unwrap_stripe(enqueue_stripe.object) AS u LOOP
        -- A plan is the older form of a price.
        kind := CASE part.content ->> 'object' WHEN 'plan' THEN 'price' ELSE part.content ->> 'object' END;
        IF kind = 'invoice' AND part.content ->> 'id' IS NULL THEN
            previews := previews || text 'invoice:';
            CONTINUE;
        END IF;
        IF jsonb_typeof(part.content -> 'object') IS DISTINCT FROM 'string' OR jsonb_typeof(part.content -> 'id') IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION '%not a Stripe object: "object" and "id" are needed', part.path || CASE WHEN part.path <> '' THEN ': ' ELSE '' END
                USING ERRCODE = 'CTS01';
        END IF;
        id := part.content ->> 'id';
        -- A reference is an id or the object that has it.
        customer := COALESCE(part.content #>> '{customer,id}', part.content ->> 'customer');
        subscription := COALESCE(part.content #>> '{subscription,id}', part.content ->> 'subscription');
        SELECT array_agg(DISTINCT f.email_id) INTO contacts FROM (
            SELECT part.content ->> 'description' AS fxa_id WHERE kind = 'customer'
            UNION ALL
            SELECT c.fxa_id FROM ctms.stripe_customer AS c
            WHERE c.stripe_id = CASE kind WHEN 'customer' THEN id WHEN 'subscription' THEN customer WHEN 'invoice' THEN customer END
            UNION ALL
            SELECT c.fxa_id FROM ctms.stripe_subscription AS s JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id
            WHERE s.stripe_id = CASE kind WHEN 'subscription_item' THEN COALESCE(subscription,
                (SELECT i.stripe_subscription_id FROM ctms.stripe_subscription_item AS i WHERE i.stripe_id = id)) END
            UNION ALL
            SELECT c.fxa_id FROM ctms.stripe_subscription_item AS i
            JOIN ctms.stripe_subscription AS s ON s.stripe_id = i.stripe_subscription_id
            JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id
            WHERE i.stripe_price_id = CASE kind WHEN 'price' THEN id END
        ) AS k JOIN ctms.fxa AS f ON f.fxa_id = k.fxa_id;
        IF kind NOT IN ('customer', 'subscription', 'subscription_item', 'invoice', 'price') THEN
            unused := unused || (left(kind, 255) || ':' || left(id, 255));
        ELSIF contacts IS NULL THEN
            unconnected := unconnected || (kind || ':' || left(id, 255));
        ELSE
            enqueued := enqueued || (kind || ':' || id);
            all_contacts := all_contacts || contacts;
        END IF;
    END LOOP;
    all_contacts := ARRAY(SELECT DISTINCT e FROM unnest(all_contacts) AS e ORDER BY e);
    IF cardinality(all_contacts) > 0 THEN
        PERFORM ctms.enqueue_contacts(all_contacts);
    END IF;
    RETURN (SELECT COALESCE(jsonb_object_agg(key, value), '{}') FROM (VALUES
        ('enqueued', to_jsonb(enqueued)), ('email_ids', to_jsonb(all_contacts)), ('skipped', to_jsonb(unused || previews || unconnected)),
        ('skip_reasons', jsonb_strip_nulls(jsonb_build_object('unused_type', NULLIF(unused, '{}'), 'preview', NULLIF(previews, '{}'), 'no_contact', NULLIF(unconnected, '{}')))))
        AS v (key, value) WHERE value NOT IN ('[]', '{}'));
END
$$;
COMMENT ON FUNCTION ctms.enqueue_stripe(jsonb) IS 'Enqueues the contacts that a Stripe object, or those of a Stripe event or list, concern as if they had changed, and does not store the object; a price concerns everyone who subscribes to it. Returns enqueued and email_ids, or skipped with skip_reasons';

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
