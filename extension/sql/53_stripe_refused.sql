-- ---------------------------------------------------------------------------
-- What ctms.ingest_pubsub() has refused. Pub/Sub does not send it again, so it is kept for a later
-- version of ctms, or for somebody who mends it.
--
-- Rows are locked after those of Stripe, and before contacts and the queue.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.stripe_refused (
    id bigserial PRIMARY KEY,
    message_id text NOT NULL DEFAULT '',
    message_timestamp timestamptz,
    object text,
    code text NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    customer_id text,
    fxa_id text,
    is_message boolean NOT NULL DEFAULT false,
    digest bytea NOT NULL,
    content bytea NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    UNIQUE (message_id, digest)
) WITH (toast_tuple_target = 128); -- so that counting reads no content
CREATE INDEX stripe_refused_age_idx ON ctms.stripe_refused (create_timestamp);
CREATE INDEX stripe_refused_customer_idx ON ctms.stripe_refused (customer_id);
CREATE INDEX stripe_refused_fxa_idx ON ctms.stripe_refused (fxa_id);
COMMENT ON TABLE ctms.stripe_refused IS 'Stripe objects, and messages of Pub/Sub, that could not be stored; kept for the setting stripe_refused_age. Personal data';
COMMENT ON COLUMN ctms.stripe_refused.id IS 'A number of the row, for ctms.retry_stripe_refused()';
COMMENT ON COLUMN ctms.stripe_refused.message_id IS 'Id of the message of Pub/Sub; empty if there is none that looks like one';
COMMENT ON COLUMN ctms.stripe_refused.message_timestamp IS 'The publishTime of the message of Pub/Sub; null if there is none';
COMMENT ON COLUMN ctms.stripe_refused.object IS 'Type and id of the object, such as "invoice:in_1"; null if it has none that look like these';
COMMENT ON COLUMN ctms.stripe_refused.code IS 'SQLSTATE of the refusal';
COMMENT ON COLUMN ctms.stripe_refused.reason IS 'Why it was refused; never personal data';
COMMENT ON COLUMN ctms.stripe_refused.attempts IS 'How often it was refused';
COMMENT ON COLUMN ctms.stripe_refused.customer_id IS 'The Stripe customer that it names, for the deletion of a contact';
COMMENT ON COLUMN ctms.stripe_refused.fxa_id IS 'The FxA ID of the customer that it has, for the deletion of a contact';
COMMENT ON COLUMN ctms.stripe_refused.is_message IS 'The content is the whole body of a request, not an object';
COMMENT ON COLUMN ctms.stripe_refused.digest IS 'SHA-256 of the content: the same of the same message is kept once';
COMMENT ON COLUMN ctms.stripe_refused.content IS 'The bytes as they came';
COMMENT ON COLUMN ctms.stripe_refused.create_timestamp IS 'When it was first refused';
COMMENT ON COLUMN ctms.stripe_refused.update_timestamp IS 'When it was last tried';

CREATE TRIGGER ctms_stripe_refused_update_timestamp BEFORE UPDATE ON ctms.stripe_refused
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- Whoever adds rows past the limits at the same time goes past them by one message each, of which
-- at most 1,000 objects are kept one by one.
CREATE FUNCTION ctms._is_stripe_refused_full() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) >= 10000 OR COALESCE(sum(octet_length(r.content)), 0) >= 268435456 FROM ctms.stripe_refused AS r
$$;
COMMENT ON FUNCTION ctms._is_stripe_refused_full() IS 'Whether 10,000 rows or 256 MiB are kept already, so that no more are';

CREATE FUNCTION ctms.count_stripe_refused() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM ctms.stripe_refused
$$;
COMMENT ON FUNCTION ctms.count_stripe_refused() IS 'How many refused Stripe objects and messages are kept';
GRANT EXECUTE ON FUNCTION ctms.count_stripe_refused() TO ctms_api, ctms_agent, ctms_reader;

CREATE FUNCTION ctms.forget_stripe_refused() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM ctms.stripe_refused AS r WHERE r.id IN (
        SELECT o.id FROM ctms.stripe_refused AS o
        WHERE o.create_timestamp < now() - ctms.get_setting('stripe_refused_age')::interval
        ORDER BY o.create_timestamp, o.id LIMIT 100 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
COMMENT ON FUNCTION ctms.forget_stripe_refused() IS 'Removes up to 100 refused Stripe objects that have been kept for long enough; returns how many';
GRANT EXECUTE ON FUNCTION ctms.forget_stripe_refused() TO ctms_agent;

-- What is longer is no id, and might not fit into an index.
CREATE FUNCTION ctms._stripe_id(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT value #>> '{}' WHERE jsonb_typeof(value) = 'string' AND length(value #>> '{}') <= 255
$$;
COMMENT ON FUNCTION ctms._stripe_id(jsonb) IS 'An id as text, null for anything else';

-- An event has its object in it.
CREATE FUNCTION ctms._stripe_owner(body jsonb, OUT customer_id text, OUT fxa_id text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    object jsonb := COALESCE(body #> '{data,object}', body);
    customer jsonb := CASE WHEN object ->> 'object' = 'customer' THEN object ELSE object -> 'customer' END;
BEGIN
    customer_id := ctms._stripe_id(COALESCE(customer -> 'id', customer));
    fxa_id := ctms._stripe_id(customer -> 'description');
END
$$;
COMMENT ON FUNCTION ctms._stripe_owner(jsonb) IS 'The customer that a Stripe object is or names, and its FxA ID if the object has it';

CREATE FUNCTION ctms._keep_stripe_refused(
    of_message text, published timestamptz, refused_timestamp timestamptz, named text, problem text, why text, is_body boolean, bytes bytea, body jsonb, is_full boolean)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_word CONSTANT text := '^[A-Za-z0-9_]{1,64}:[A-Za-z0-9_]{1,64}$';
    message CONSTANT text := COALESCE(substring(of_message FROM '^[A-Za-z0-9_.:-]{1,128}$'), '');
    kept bigint;
BEGIN
    INSERT INTO ctms.stripe_refused AS r
        (message_id, message_timestamp, object, code, reason, customer_id, fxa_id, is_message, digest, content, create_timestamp)
    SELECT message, published, substring(named FROM is_word), problem, why, o.customer_id, o.fxa_id, is_body, sha256(bytes), bytes,
           COALESCE(refused_timestamp, now())
    FROM ctms._stripe_owner(body) AS o
    WHERE NOT is_full
       OR EXISTS (SELECT FROM ctms.stripe_refused AS k WHERE k.message_id = message AND k.digest = sha256(bytes))
    ON CONFLICT ON CONSTRAINT stripe_refused_message_id_digest_key DO UPDATE SET
        object = EXCLUDED.object, code = EXCLUDED.code, reason = EXCLUDED.reason, attempts = r.attempts + 1
    RETURNING r.id INTO kept;
    RETURN kept;
END
$$;
COMMENT ON FUNCTION ctms._keep_stripe_refused(text, timestamptz, timestamptz, text, text, text, boolean, bytea, jsonb, boolean) IS 'Keeps what was refused, once for each message; returns its id, null if too much is kept already (is_full)';

CREATE FUNCTION ctms.retry_stripe_refused(id bigint) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused ctms.stripe_refused;
    stored jsonb;
    missing jsonb;
BEGIN
    SELECT * INTO refused FROM ctms.stripe_refused AS r WHERE r.id = retry_stripe_refused.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    stored := ctms._store_stripe(refused.content, refused.is_message, refused.message_id,
        refused.message_timestamp, refused.create_timestamp);
    missing := jsonb_path_query_first(stored -> 'errors', '$[*] ? (@.code == "CTS03")');
    IF stored ->> 'status' IN ('200', '202') AND NOT stored -> 'kept' @> to_jsonb(retry_stripe_refused.id) THEN
        DELETE FROM ctms.stripe_refused AS r WHERE r.id = retry_stripe_refused.id;
    ELSIF missing IS NOT NULL THEN
        UPDATE ctms.stripe_refused AS r
        SET code = missing ->> 'code', reason = missing ->> 'message', attempts = r.attempts + 1
        WHERE r.id = retry_stripe_refused.id;
    ELSE
        PERFORM FROM ctms.stripe_refused AS r WHERE r.id = retry_stripe_refused.id FOR UPDATE;
    END IF;
    -- Perhaps because its contact was deleted, so nothing of it may be stored.
    IF NOT FOUND THEN
        RAISE serialization_failure USING
            MESSAGE = 'what was refused has been removed while it was tried again', HINT = 'Try again.';
    END IF;
    RETURN jsonb_build_object('is_stored', stored ->> 'status' = '200', 'report', stored -> 'report', 'errors', stored -> 'errors');
END
$$;
COMMENT ON FUNCTION ctms.retry_stripe_refused(bigint) IS 'Stores something from ctms.stripe_refused, with the time of its message, or else of the event, or when it was refused. Its row leaves when nothing of it is refused any more, or only what then has a row of its own; returns is_stored, report and errors, and null if there is no such row';
