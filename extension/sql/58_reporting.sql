-- ---------------------------------------------------------------------------
-- Views for people who count (docs/reporting.md). They read whole tables at once, so a program that
-- answers somebody uses the functions instead.
--
-- security_invoker: a view shows to each role what its tables show to it, and nothing more.
-- ---------------------------------------------------------------------------

-- The same rows as ctms.product_subscriptions(), for all contacts (extension/stripe/segment.c has the
-- statement of that). A condition on email_id or product_id is a condition on what is sorted and
-- counted by, so PostgreSQL takes it to the tables and their indexes.
CREATE VIEW ctms.contact_products WITH (security_invoker = true) AS
    SELECT l.email_id, 'stripe'::text AS payment_service, l.product_id, NULL::text AS product_name,
        ctms.product_segment(l.status, l.canceled_at, l.sub_count) AS segment,
        COALESCE(CASE WHEN l.status = 'active' AND l.canceled_at IS NULL THEN l.start
            WHEN l.status = 'active' THEN l.canceled_at
            WHEN l.status = 'canceled' THEN l.ended_at END, l.created) AS changed,
        l.sub_count, l.price_id, NULL::text AS payment_type, NULL::text AS card_brand, NULL::text AS card_last4,
        NULL::text AS billing_country, l.currency, l.amount, l.interval_count, l."interval", l.status, l.created,
        l.start, l.current_period_start, l.current_period_end, l.canceled_at, l.cancel_at_period_end, l.ended_at
    FROM (
        SELECT DISTINCT ON (f.email_id, p.stripe_product_id::text COLLATE "C")
            f.email_id, p.stripe_product_id::text COLLATE "C" AS product_id,
            count(*) OVER product AS sub_count,
            p.stripe_id::text AS price_id, p.currency::text AS currency, p.unit_amount AS amount,
            p.recurring_interval_count AS interval_count, p.recurring_interval::text AS "interval",
            s.status::text AS status, s.stripe_created AS created, s.start_date AS start,
            s.current_period_start, s.current_period_end, s.canceled_at, s.cancel_at_period_end, s.ended_at
        FROM ctms.fxa AS f
        JOIN ctms.stripe_customer AS c ON c.fxa_id = f.fxa_id
        JOIN ctms.stripe_subscription AS s ON s.stripe_customer_id = c.stripe_id
        JOIN ctms.stripe_subscription_item AS i ON i.stripe_subscription_id = s.stripe_id
        JOIN ctms.stripe_price AS p ON p.stripe_id = i.stripe_price_id
        WHERE NOT i.deleted
        -- The order is that of the result, so that all is sorted once. Without ::text the planner would
        -- take each id for 516 bytes.
        WINDOW product AS (PARTITION BY f.email_id, p.stripe_product_id::text COLLATE "C"
            ORDER BY s.current_period_end DESC, s.start_date DESC, s.stripe_id::text COLLATE "C" DESC,
                i.stripe_id::text COLLATE "C" DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ORDER BY f.email_id, p.stripe_product_id::text COLLATE "C", s.current_period_end DESC,
            s.start_date DESC, s.stripe_id::text COLLATE "C" DESC, i.stripe_id::text COLLATE "C" DESC
    ) AS l;
COMMENT ON VIEW ctms.contact_products IS 'The Stripe products of all contacts with their segments, one row for each contact and product: what ctms.product_subscriptions() returns, for many contacts at once. Personal data';
COMMENT ON COLUMN ctms.contact_products.email_id IS 'The contact';
COMMENT ON COLUMN ctms.contact_products.payment_service IS 'Always stripe';
COMMENT ON COLUMN ctms.contact_products.product_id IS 'Stripe''s id of the product (prod_…)';
COMMENT ON COLUMN ctms.contact_products.product_name IS 'Always null: Stripe objects that are stored do not have it';
COMMENT ON COLUMN ctms.contact_products.segment IS 'Where the contact stands with the product, by its latest subscription: a word of the type ctms.segment, with "re-" if sub_count is more than 1. LIKE needs segment::text';
COMMENT ON COLUMN ctms.contact_products.changed IS 'Since when it is in the segment: start, canceled_at or ended_at, and created where that is null or the segment is other';
COMMENT ON COLUMN ctms.contact_products.sub_count IS 'Number of subscription items of the product that the contact has had; those that Stripe has deleted do not count';
COMMENT ON COLUMN ctms.contact_products.price_id IS 'Stripe''s id of the price (price_…) of the latest subscription; the amount, status and times are of that subscription too';
COMMENT ON COLUMN ctms.contact_products.payment_type IS 'Always null, as are the card and the billing country';
COMMENT ON COLUMN ctms.contact_products.card_brand IS 'Always null';
COMMENT ON COLUMN ctms.contact_products.card_last4 IS 'Always null';
COMMENT ON COLUMN ctms.contact_products.billing_country IS 'Always null';
COMMENT ON COLUMN ctms.contact_products.currency IS 'Of the amount: three letters (ISO 4217) in lower case';
COMMENT ON COLUMN ctms.contact_products.amount IS 'What one unit costs each interval, in the smallest unit of the currency (cents); null if the price has no one amount';
COMMENT ON COLUMN ctms.contact_products.interval_count IS 'Number of intervals between payments; null if the price does not recur';
COMMENT ON COLUMN ctms.contact_products."interval" IS 'day, week, month or year; null if the price does not recur';
COMMENT ON COLUMN ctms.contact_products.status IS 'Stripe''s word for the state of the subscription: active, trialing, past_due, canceled and others';
COMMENT ON COLUMN ctms.contact_products.created IS 'When Stripe made the subscription';
COMMENT ON COLUMN ctms.contact_products.start IS 'When the subscription began, which may be before it was made';
COMMENT ON COLUMN ctms.contact_products.current_period_start IS 'Begin of the period that is paid for';
COMMENT ON COLUMN ctms.contact_products.current_period_end IS 'End of the period that is paid for; the subscription with the greatest is the latest';
COMMENT ON COLUMN ctms.contact_products.canceled_at IS 'When it was cancelled, though it may go on to the end of the period; null if it was not';
COMMENT ON COLUMN ctms.contact_products.cancel_at_period_end IS 'It is not renewed at the end of the period';
COMMENT ON COLUMN ctms.contact_products.ended_at IS 'When it ended; null if it has not';

CREATE VIEW ctms.segment_counts WITH (security_invoker = true) AS
    SELECT p.product_id, p.segment, count(*) AS contacts
    FROM ctms.contact_products AS p GROUP BY p.product_id, p.segment;
COMMENT ON VIEW ctms.segment_counts IS 'How many contacts there are in each segment of each Stripe product; segments without contacts have no row';
COMMENT ON COLUMN ctms.segment_counts.product_id IS 'Stripe''s id of the product (prod_…)';
COMMENT ON COLUMN ctms.segment_counts.segment IS 'Where these contacts stand with the product';
COMMENT ON COLUMN ctms.segment_counts.contacts IS 'Number of contacts';

-- A null counts as REST shows it.
CREATE VIEW ctms.newsletter_counts WITH (security_invoker = true) AS
    SELECT n.name::text AS name, count(*) FILTER (WHERE n.subscribed IS NOT FALSE) AS subscribed,
        count(*) FILTER (WHERE NOT n.subscribed) AS unsubscribed,
        count(*) FILTER (WHERE n.subscribed IS NOT FALSE AND n.format::text = 'T') AS subscribed_text,
        max(n.create_timestamp) AS newest_timestamp
    FROM ctms.newsletters AS n GROUP BY n.name::text;
COMMENT ON VIEW ctms.newsletter_counts IS 'How many contacts each newsletter has. Contacts who have opted out of all e-mail count as what they have chosen for the newsletter';
COMMENT ON COLUMN ctms.newsletter_counts.name IS 'Slug of the newsletter';
COMMENT ON COLUMN ctms.newsletter_counts.subscribed IS 'Number of contacts who are subscribed; a null of ctms.newsletters.subscribed counts as true';
COMMENT ON COLUMN ctms.newsletter_counts.unsubscribed IS 'Number of contacts who have left the newsletter (subscribed is false)';
COMMENT ON COLUMN ctms.newsletter_counts.subscribed_text IS 'How many of those who are subscribed want plain text (T)';
COMMENT ON COLUMN ctms.newsletter_counts.newest_timestamp IS 'When the newest of all these contacts first subscribed, whether subscribed now or not';

CREATE VIEW ctms.waitlist_counts WITH (security_invoker = true) AS
    SELECT COALESCE(w.name, s.name::text) AS name, s.name IS NOT NULL AS has_schema,
        COALESCE(w.subscribed, 0) AS subscribed, COALESCE(w.unsubscribed, 0) AS unsubscribed, w.newest_timestamp
    FROM (
        SELECT r.name::text AS name, count(*) FILTER (WHERE r.subscribed) AS subscribed,
            count(*) FILTER (WHERE r.subscribed IS NOT TRUE) AS unsubscribed,
            max(r.create_timestamp) AS newest_timestamp
        FROM ctms.waitlists AS r GROUP BY r.name::text
    ) AS w
    FULL JOIN ctms.waitlist_fields_schemas AS s ON s.name::text = w.name
    WHERE w.name IS NOT NULL OR s.name::text <> 'default';
COMMENT ON VIEW ctms.waitlist_counts IS 'How many contacts each waitlist has; also waitlists with a schema that nobody has joined yet';
COMMENT ON COLUMN ctms.waitlist_counts.name IS 'Name of the waitlist';
COMMENT ON COLUMN ctms.waitlist_counts.has_schema IS 'The waitlist has a JSON Schema of its own in ctms.waitlist_fields_schemas; false: its fields are checked against "default"';
COMMENT ON COLUMN ctms.waitlist_counts.subscribed IS 'Number of contacts who wait';
COMMENT ON COLUMN ctms.waitlist_counts.unsubscribed IS 'Number of contacts who have left the waitlist';
COMMENT ON COLUMN ctms.waitlist_counts.newest_timestamp IS 'When the newest of all these contacts first joined, whether waiting now or not; null when nobody has';

CREATE VIEW ctms.stripe_unconnected WITH (security_invoker = true) AS
    SELECT 'customer'::text AS kind, c.stripe_id::text AS stripe_id, 'no_contact'::text AS reason,
        c.fxa_id::text AS missing, c.create_timestamp
    FROM ctms.stripe_customer AS c
    WHERE NOT EXISTS (SELECT FROM ctms.fxa AS f WHERE f.fxa_id = c.fxa_id)
    UNION ALL
    SELECT 'subscription', s.stripe_id::text, 'no_customer', s.stripe_customer_id::text, s.create_timestamp
    FROM ctms.stripe_subscription AS s
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_customer AS c WHERE c.stripe_id = s.stripe_customer_id)
    UNION ALL
    SELECT 'invoice', v.stripe_id::text, 'no_customer', v.stripe_customer_id::text, v.create_timestamp
    FROM ctms.stripe_invoice AS v
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_customer AS c WHERE c.stripe_id = v.stripe_customer_id)
    UNION ALL
    SELECT 'subscription_item', i.stripe_id::text, 'no_subscription', i.stripe_subscription_id::text,
        i.create_timestamp
    FROM ctms.stripe_subscription_item AS i
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_subscription AS s WHERE s.stripe_id = i.stripe_subscription_id)
    UNION ALL
    SELECT 'subscription_item', i.stripe_id::text, 'no_price', i.stripe_price_id::text, i.create_timestamp
    FROM ctms.stripe_subscription_item AS i
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_price AS p WHERE p.stripe_id = i.stripe_price_id);
COMMENT ON VIEW ctms.stripe_unconnected IS 'Stripe objects that lead to no contact because the object or contact to which they refer is not stored (yet); what refers to an object that is listed here is not listed. A customer whose FxA ID no contact has yet is nothing unusual. Personal data: FxA IDs';
COMMENT ON COLUMN ctms.stripe_unconnected.kind IS 'customer, subscription, invoice or subscription_item';
COMMENT ON COLUMN ctms.stripe_unconnected.stripe_id IS 'Stripe''s id of the object';
COMMENT ON COLUMN ctms.stripe_unconnected.reason IS 'What is not stored: no_contact, no_customer, no_subscription, no_price. Foreign keys keep out the last two, except where a restore has gone wrong';
COMMENT ON COLUMN ctms.stripe_unconnected.missing IS 'Id of what is not stored: an FxA ID for no_contact, otherwise one of Stripe; null for an invoice of nobody';
COMMENT ON COLUMN ctms.stripe_unconnected.create_timestamp IS 'When the object was first stored here';

-- ---------------------------------------------------------------------------
-- Answers on waitlists.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._require_waitlist(name text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _require_waitlist.name IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the name of a waitlist must not be null';
    ELSIF NOT EXISTS (SELECT FROM ctms.waitlist_fields_schemas AS s WHERE s.name = _require_waitlist.name)
        AND NOT EXISTS (SELECT FROM ctms.waitlists AS w WHERE w.name = _require_waitlist.name) THEN
        RAISE EXCEPTION 'there is no waitlist "%"', left(_require_waitlist.name, 255)
            USING ERRCODE = 'CT404', HINT = 'The view ctms.waitlist_counts lists all waitlists.';
    END IF;
END
$$;
COMMENT ON FUNCTION ctms._require_waitlist(text) IS 'Raises an error (CT404) for a name that no waitlist has, by schema or by contact';

CREATE FUNCTION ctms.waitlist_answers(name text)
    RETURNS TABLE (email_id uuid, subscribed boolean, create_timestamp timestamptz, field text, type text, value text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ctms._require_waitlist(waitlist_answers.name);
    RETURN QUERY
        SELECT w.email_id::uuid, w.subscribed::boolean, w.create_timestamp::timestamptz, f.key, jsonb_typeof(f.value),
            f.value #>> '{}'
        FROM ctms.waitlists AS w
        CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(w.fields::jsonb) = 'object' THEN w.fields::jsonb END) AS f
        WHERE w.name = waitlist_answers.name;
END
$$;
COMMENT ON FUNCTION ctms.waitlist_answers(text) IS 'What contacts have answered on a waitlist, one row for each contact and field: when the contact joined, whether it still waits, the field, the type of its value in JSON, and the value as text (null for a null of JSON; arrays and objects as JSON). A contact without fields has no row; SQLSTATE CT404 when there is no such waitlist. Personal data';

CREATE FUNCTION ctms.waitlist_answers_query(name text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The last ones are those that every table has, so no copy of the answers could have them.
    columns text[] := '{email_id,subscribed,source,create_timestamp,update_timestamp,other_fields,ctid,xmin,cmin,xmax,cmax,tableoid}';
    result text := 'SELECT w.email_id, w.subscribed, w.source, w.create_timestamp, w.update_timestamp';
    fields text[] := '{}';
    property record;
    wanted text;
    label text;
    number integer;
BEGIN
    PERFORM ctms._require_waitlist(waitlist_answers_query.name);
    FOR property IN
        -- types: those of JSON, other than null, that the schema of the property names in its type, or else
        -- has in its enum or const; null if it names none.
        SELECT p.key AS field, (
            SELECT array_agg(DISTINCT t.word) FROM (
                SELECT v #>> '{}' AS word FROM jsonb_path_query(p.value, '$.type[*] ? (@.type() == "string")') AS v
                UNION ALL
                SELECT jsonb_typeof(v) FROM jsonb_path_query(p.value, '$.enum[*]') AS v WHERE NOT p.value ? 'type'
                UNION ALL
                SELECT jsonb_typeof(p.value -> 'const') WHERE NOT p.value ?| '{type,enum}'
            ) AS t WHERE t.word <> 'null') AS types
        FROM (SELECT s.schema::jsonb -> 'properties' AS properties FROM ctms.waitlist_fields_schemas AS s
              WHERE s.name IN (waitlist_answers_query.name, 'default')
              ORDER BY s.name = waitlist_answers_query.name DESC LIMIT 1) AS o,
            jsonb_each(CASE WHEN jsonb_typeof(o.properties) = 'object' THEN o.properties END) AS p
        ORDER BY p.key COLLATE "C" LIMIT 1000
    LOOP
        -- PostgreSQL has columns of 1 to 63 bytes, each name once.
        wanted := left(property.field, 63);
        IF wanted = '' OR wanted = ANY (columns) THEN
            wanted := 'field_' || wanted;
        END IF;
        label := wanted;
        number := 1;
        WHILE octet_length(label) > 63 OR label = ANY (columns) LOOP
            IF octet_length(label) > 63 THEN
                wanted := left(wanted, -1);
            ELSE
                number := number + 1;
            END IF;
            label := wanted || CASE WHEN number > 1 THEN '_' || number ELSE '' END;
        END LOOP;
        columns := columns || label;
        fields := fields || property.field;
        -- Rows may be older than the schema, so no value is taken for what it is not.
        result := result || format(CASE
            WHEN property.types <@ '{integer,number}'
                THEN E',\n    CASE pg_catalog.jsonb_typeof(w.fields -> %1$L) WHEN ''number'' THEN (w.fields -> %1$L)::numeric END AS %2$I'
            WHEN property.types = '{boolean}'
                THEN E',\n    CASE pg_catalog.jsonb_typeof(w.fields -> %1$L) WHEN ''boolean'' THEN (w.fields -> %1$L)::boolean END AS %2$I'
            WHEN property.types <@ '{array,object}'
                THEN E',\n    CASE WHEN pg_catalog.jsonb_typeof(w.fields -> %1$L) IN (''array'', ''object'') THEN w.fields -> %1$L END AS %2$I'
            ELSE E',\n    w.fields ->> %1$L AS %2$I' END, property.field, label);
    END LOOP;
    RETURN result || format(E',\n    CASE pg_catalog.jsonb_typeof(w.fields) WHEN ''object'' THEN w.fields - %L::text[] ELSE w.fields END AS other_fields'
        || E'\nFROM ctms.waitlists AS w\nWHERE w.name = %L', fields, waitlist_answers_query.name);
END
$$;
COMMENT ON FUNCTION ctms.waitlist_answers_query(text) IS 'The text of a query with a row for each contact of a waitlist and a column for each field of its schema, or of "default": numeric, boolean, jsonb (arrays, objects) or text by the type that the schema gives; null where there is no value of that type. other_fields has what the schema does not name. Run it with \gexec of psql, or make a view of it; SQLSTATE CT404 when there is no such waitlist';

GRANT EXECUTE ON FUNCTION ctms.waitlist_answers(text), ctms.waitlist_answers_query(text) TO ctms_reader;
