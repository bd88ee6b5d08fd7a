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
CREATE FUNCTION ctms.upsert_stripe(object jsonb, message_timestamp timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe';
COMMENT ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) IS 'Stores a Stripe object and the objects inside it, or those of a Stripe event or list, all or none; returns lists of "kind:id" in created, updated, no_change, deleted and skipped, the contacts in email_ids, FxA IDs that more than one customer claimed in fxa_id_conflict, the names in skipped by reason in skip_reasons, for an event or list count (objects that were not skipped), and warnings. Skips content that is older than the stored content, by the time of the message; that of an event is its time unless another is given';
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

CREATE FUNCTION ctms._upsert_stripe_batch(objects jsonb, message_timestamp timestamptz, default_timestamp timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe_batch';
COMMENT ON FUNCTION ctms._upsert_stripe_batch(jsonb, timestamptz, timestamptz) IS 'Stores the Stripe objects, events and lists of an array, those with the same time in one lock order; objects with a problem are listed in "errors" of the report instead, and count is how many were not skipped. Without a time of the message, events have their own, and other objects the default';

-- A text or number that jsonb cannot hold does not cost the rest: ["unreadable"] stands in its place,
-- which no key that ctms uses can be.
CREATE FUNCTION ctms.parse_stripe(body text) RETURNS jsonb
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ctms_clean_json';
COMMENT ON FUNCTION ctms.parse_stripe(text) IS 'The JSON of a Stripe object, or of several, for ctms.upsert_stripe(); ["unreadable"] stands for texts and numbers that jsonb cannot hold. Null when the text is not JSON';
GRANT EXECUTE ON FUNCTION ctms.parse_stripe(text) TO ctms_api;

CREATE FUNCTION ctms._clean_json(bytes bytea) RETURNS jsonb
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ctms_clean_json';
COMMENT ON FUNCTION ctms._clean_json(bytea) IS 'What ctms.parse_stripe() does, for bytes that should be UTF-8';

CREATE FUNCTION ctms._stripe_parts(payload bytea)
RETURNS TABLE (name text, object jsonb, content bytea)
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'ctms_stripe_parts';
COMMENT ON FUNCTION ctms._stripe_parts(bytea) IS 'The objects of a payload, which is one object, or an object whose keys have one ":" and whose values are objects; "object" is null where the bytes are not JSON. No row for any other payload';

CREATE FUNCTION ctms._pubsub_time(moment jsonb) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result timestamptz;
BEGIN
    IF moment #>> '{}' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$' THEN
        result := moment #>> '{}';
    END IF;
    -- With a time far ahead, all that comes later would be skipped. Clocks may differ a little.
    RETURN CASE WHEN result < now() + interval '1 day' THEN result END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._pubsub_time(jsonb) IS 'A time as Pub/Sub writes it, null for anything that is not one, and for a time more than a day ahead';

CREATE FUNCTION ctms._pubsub_message(body bytea, OUT message_id text, OUT message_timestamp timestamptz, OUT payload bytea)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message jsonb := ctms._clean_json(body) -> 'message';
BEGIN
    message_timestamp := ctms._pubsub_time(COALESCE(message -> 'publishTime', message -> 'publish_time'));
    IF jsonb_typeof(message -> 'messageId') = 'string' THEN
        message_id := message ->> 'messageId';
    END IF;
    IF jsonb_typeof(message -> 'data') = 'string' THEN
        payload := decode(message ->> 'data', 'base64');
    END IF;
EXCEPTION WHEN data_exception THEN
    NULL;  -- no base64
END
$$;
COMMENT ON FUNCTION ctms._pubsub_message(bytea) IS 'What a push message of Pub/Sub says; the payload is null if there is none, or if the body is no such message';

-- What ctms.ingest_pubsub() and ctms.retry_stripe_refused() have in common. The rows of Stripe come
-- first, then those that are kept (53_stripe_refused.sql).
CREATE FUNCTION ctms._store_stripe(content bytea, is_message boolean, message_id text, message_timestamp timestamptz, refused_timestamp timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    payload bytea := CASE WHEN NOT is_message THEN content END;
    names text[];
    objects jsonb := '[]';
    contents bytea[];
    warnings text[] := '{}';
    report jsonb := '{}';
    errors jsonb := '[]';
    status integer := 200;
    processed bigint := 0;
    refusal text;
    refused jsonb;
    is_full boolean;
    kept bigint[] := '{}';
    traced text;
    problem record;
BEGIN
    BEGIN
        IF is_message THEN
            SELECT m.message_id, COALESCE(m.message_timestamp, _store_stripe.message_timestamp), m.payload
            INTO STRICT message_id, message_timestamp, payload FROM ctms._pubsub_message(content) AS m;
        END IF;
        SELECT array_agg(p.name ORDER BY n) FILTER (WHERE NOT is_empty),
               COALESCE(jsonb_agg(COALESCE(p.object, 'null') ORDER BY n) FILTER (WHERE NOT is_empty), '[]'),
               COALESCE(array_agg(p.content ORDER BY n) FILTER (WHERE NOT is_empty), CASE WHEN count(*) > 0 THEN '{}'::bytea[] END),
               COALESCE(array_agg(CASE WHEN p.name ~ '^[A-Za-z0-9_.:-]{1,128}$' THEN p.name ELSE 'an object' END || ' is empty' ORDER BY n) FILTER (WHERE is_empty), '{}')
        INTO names, objects, contents, warnings
        FROM ctms._stripe_parts(payload) WITH ORDINALITY AS p (name, object, content, n),
            LATERAL (SELECT COALESCE(p.object IN ('null', '{}', '[]', '""'), false)) AS v (is_empty);
    EXCEPTION WHEN program_limit_exceeded THEN
        NULL;  -- more memory than is allowed: nobody can say what it is
    END;

    IF payload IS NULL THEN
        refusal := 'Message does not appear to be from pubsub, do not send again.';
        errors := jsonb_build_array(jsonb_build_object('code', 'CTS01', 'message', 'not a push message of Pub/Sub with data in base64'));
        contents := ARRAY[content];
    ELSIF contents IS NULL THEN
        refusal := 'Unknown payload type, do not send again.';
        errors := jsonb_build_array(jsonb_build_object('code', 'CTS01', 'message', 'neither a Stripe object nor Stripe objects by name'));
        contents := ARRAY[payload];
    ELSE
        report := ctms._upsert_stripe_batch(objects, message_timestamp, refused_timestamp);
        processed := report -> 'count';
        -- Each object is taken out of the message once, however many errors it has.
        errors := (SELECT COALESCE(jsonb_agg(r.error || CASE WHEN u.element IS NULL THEN '{}' ELSE '{"message": "not JSON"}' END::jsonb ORDER BY r.place), '[]')
                   FROM jsonb_array_elements(report -> 'errors') WITH ORDINALITY AS r (error, place)
                   LEFT JOIN (SELECT o.n - 1 AS element FROM jsonb_array_elements(objects) WITH ORDINALITY AS o (value, n)
                              WHERE o.value = 'null') AS u ON u.element = (r.error -> 'element')::integer);
        IF errors <> '[]' THEN
            refusal := 'Errors processing the data, do not send again.';
        END IF;
    END IF;

    refused := jsonb_path_query_array(errors, '$[*] ? (@.code != "CTS03")');
    IF jsonb_array_length(refused) > 1000 THEN
        refused := jsonb_build_array(jsonb_build_object('code', refused #> '{0,code}', 'message', 'more than 1000 objects are refused'));
        names := NULL;
        contents := ARRAY[payload];
    END IF;
    IF refused <> '[]' THEN
        -- First, so that what is due leaves room, and what comes again is not taken for it. But what
        -- is tried again must not be removed under way.
        IF refused_timestamp IS NULL THEN
            PERFORM ctms.forget_stripe_refused();
        END IF;
        is_full := ctms._is_stripe_refused_full();
    END IF;
    FOR problem IN
        SELECT DISTINCT ON (c.digest) e.error ->> 'code' AS code, e.error ->> 'message' AS reason, e.error ->> 'object' AS object, e.element,
               CASE WHEN e.error ? 'element' THEN objects -> e.element END AS json, contents[e.element + 1] AS bytes
        FROM (SELECT DISTINCT ON (n.element) r.error, n.element
              FROM jsonb_array_elements(refused) WITH ORDINALITY AS r (error, place),
                  LATERAL (SELECT COALESCE((r.error -> 'element')::integer, 0)) AS n (element)
              ORDER BY n.element, r.place) AS e,
            LATERAL (SELECT sha256(contents[e.element + 1])) AS c (digest)
        ORDER BY c.digest, e.element
    LOOP
        kept := kept || ctms._keep_stripe_refused(_store_stripe.message_id, message_timestamp, refused_timestamp,
            COALESCE(problem.object, names[problem.element + 1]), problem.code,
            problem.reason, payload IS NULL, problem.bytes, problem.json, is_full);
    END LOOP;

    IF errors @? '$[*] ? (@.code == "CTS03")' THEN
        status := 409;
    ELSIF refusal IS NOT NULL THEN
        status := CASE WHEN array_position(kept, NULL) IS NULL THEN 202 ELSE 503 END;
    ELSIF message_timestamp IS NULL THEN
        warnings := warnings || text 'the message has no publishTime';
    END IF;
    SELECT string_agg(t.email, ',' ORDER BY t.email) INTO traced FROM (
        SELECT DISTINCT object ->> 'email' AS email
        FROM (SELECT jsonb_array_elements(objects)
              UNION ALL SELECT jsonb_path_query(e, '$.**{1 to 7} ? (@.object == "customer")') FROM jsonb_array_elements(objects) AS e
              WHERE e ->> 'object' IN ('event', 'list', 'search_result')) AS o (object)
        WHERE object ->> 'email' ~ '[+](trace_me_mozilla_|trace-me-mozilla-)'
          AND length(object ->> 'email') <= 255
        ORDER BY 1 LIMIT 10) AS t;
    RETURN jsonb_build_object(
        'status', status,
        'count', processed,
        'refusal', refusal,
        'report', report - 'errors',
        'errors', (SELECT COALESCE(jsonb_agg(e - 'element'), '[]') FROM jsonb_array_elements(errors) AS e),
        'kept', kept,
        'warnings', warnings,
        'message_id', message_id,
        'trace', traced,
        'trace_json', CASE WHEN traced IS NOT NULL THEN COALESCE(ctms._clean_json(payload), objects) END);
END
$$;
COMMENT ON FUNCTION ctms._store_stripe(bytea, boolean, text, timestamptz, timestamptz) IS 'Stores the Stripe objects of a push message, or of its payload, and keeps those that are refused; says what was done. What is tried again was refused at refused_timestamp';

CREATE FUNCTION ctms.ingest_pubsub(body bytea) RETURNS json
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored jsonb := ctms._store_stripe(COALESCE(body, ''), true, NULL, NULL, NULL);
BEGIN
    RETURN json_build_object(
        'status', stored -> 'status',
        'count', stored -> 'count',
        'response', CASE stored ->> 'status'
            WHEN '200' THEN json_build_object('status', 'OK', 'count', stored -> 'count')
            WHEN '202' THEN json_build_object('status', 'Accepted but not processed', 'message', stored -> 'refusal')
            WHEN '503' THEN json_build_object('detail', 'Too many refused objects are kept, try again later')
            ELSE json_build_object('detail', 'Write conflict, try again') END,
        'ingest_actions', (stored -> 'report') - '{email_ids,fxa_id_conflict,count,warnings}'::text[],
        'email_ids', COALESCE(stored #> '{report,email_ids}', '[]'),
        'fxa_id_conflict', COALESCE(stored #> '{report,fxa_id_conflict}', '[]'),
        'errors', stored -> 'errors',
        'kept', (SELECT count(k) FROM jsonb_array_elements_text(stored -> 'kept') AS k),
        'warnings', stored -> 'warnings' || COALESCE(stored #> '{report,warnings}', '[]'),
        'message_id', stored ->> 'message_id',
        'trace', stored ->> 'trace',
        'trace_json', NULLIF(stored -> 'trace_json', 'null'));
END
$$;
COMMENT ON FUNCTION ctms.ingest_pubsub(bytea) IS 'Stores the Stripe objects of a push message of Pub/Sub; returns the HTTP status and the response to answer with, count (objects that were not skipped) and ingest_actions for what was done, email_ids, fxa_id_conflict, errors, kept (how many of these are kept in ctms.stripe_refused), warnings, and for the log message_id, trace and trace_json';

CREATE FUNCTION ctms.ingest_pubsub(body text) RETURNS json
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ctms.ingest_pubsub(convert_to(body, 'UTF8'))
$$;
COMMENT ON FUNCTION ctms.ingest_pubsub(text) IS 'The same for a body that is text';
GRANT EXECUTE ON FUNCTION ctms.ingest_pubsub(bytea), ctms.ingest_pubsub(text) TO ctms_api;

CREATE FUNCTION ctms.enqueue_stripe(object jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    kinds CONSTANT text[] := '{customer,subscription,subscription_item,invoice,price}';
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
    FOR part IN SELECT u.path, u.content, u.object ->> 'object' = 'event' AS is_event,
        u.object ->> 'object' = 'event' AND u.object ->> 'type' = 'invoice.upcoming' AS is_upcoming FROM ctms.unwrap_stripe(enqueue_stripe.object) AS u LOOP
        -- A plan is the older form of a price.
        kind := CASE part.content ->> 'object' WHEN 'plan' THEN 'price' ELSE part.content ->> 'object' END;
        -- As ctms.upsert_stripe() sees it. Of an invoice.upcoming the event is all that there is.
        IF part.is_upcoming AND part.content ->> 'id' IS NOT NULL OR kind = 'invoice' AND COALESCE(part.content ->> 'id', 'upcoming_in_') LIKE 'upcoming\_in\_%' THEN
            previews := previews || (kind || ':' || COALESCE(left(part.content ->> 'id', 255), ''));
            CONTINUE;
        END IF;
        -- Such as the balance of an account.
        IF part.is_event AND part.content ->> 'id' IS NULL AND jsonb_typeof(part.content -> 'object') = 'string' AND kind <> ALL (kinds || '{list,search_result,event}') THEN
            unused := unused || (left(kind, 255) || ':');
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
        IF kind <> ALL (kinds) THEN
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
