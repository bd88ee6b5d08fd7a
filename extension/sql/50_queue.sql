-- ---------------------------------------------------------------------------
-- Triggers on the tables: timestamps, and what fills the Acoustic queue.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._update_timestamp() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__update_timestamp';
COMMENT ON FUNCTION ctms._update_timestamp() IS 'Row trigger BEFORE UPDATE: when a value changes, sets update_timestamp to now(), unless the statement set it; arguments are columns that do not count';

CREATE FUNCTION ctms._enqueue() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__enqueue';
COMMENT ON FUNCTION ctms._enqueue() IS 'Row trigger BEFORE UPDATE, AFTER INSERT or DELETE: enqueues the contact at commit; arguments are the kind of key, its column, and columns that do not count';

-- Everything that knows a contact knows it by its id: Acoustic, clients, the queue, your own tables.
-- UPDATEs that do not name the column are not asked.
CREATE FUNCTION ctms._refuse_new_id() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE check_violation USING
        MESSAGE = 'the email_id of a contact never changes',
        HINT = 'To have it under another id, delete the contact and create it again.',
        SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = 'email_id';
END
$$;
COMMENT ON FUNCTION ctms._refuse_new_id() IS 'Row trigger BEFORE UPDATE OF email_id on ctms.emails: refuses another id';

CREATE TRIGGER ctms_emails_keeps_id BEFORE UPDATE OF email_id ON ctms.emails FOR EACH ROW
    WHEN (OLD.email_id <> NEW.email_id) EXECUTE FUNCTION ctms._refuse_new_id();
CREATE TRIGGER ctms_emails_update_timestamp BEFORE UPDATE ON ctms.emails
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_newsletters_update_timestamp BEFORE UPDATE ON ctms.newsletters
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_waitlists_update_timestamp BEFORE UPDATE ON ctms.waitlists
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_waitlist_fields_schemas_update_timestamp BEFORE UPDATE ON ctms.waitlist_fields_schemas
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_fxa_update_timestamp BEFORE UPDATE ON ctms.fxa
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_amo_update_timestamp BEFORE UPDATE ON ctms.amo
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_mofo_update_timestamp BEFORE UPDATE ON ctms.mofo
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_api_client_update_timestamp BEFORE UPDATE ON ctms.api_client
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_pending_acoustic_update_timestamp BEFORE UPDATE ON ctms.pending_acoustic
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

CREATE TRIGGER ctms_stripe_unresolved_update_timestamp BEFORE UPDATE ON ctms.stripe_unresolved
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- The time of a message is not part of the object.
CREATE TRIGGER ctms_stripe_customer_update_timestamp BEFORE UPDATE ON ctms.stripe_customer
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp', 'deletion_timestamp');
CREATE TRIGGER ctms_stripe_price_update_timestamp BEFORE UPDATE ON ctms.stripe_price
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp');
CREATE TRIGGER ctms_stripe_invoice_update_timestamp BEFORE UPDATE ON ctms.stripe_invoice
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp', 'list_timestamp');
CREATE TRIGGER ctms_stripe_invoice_line_item_update_timestamp BEFORE UPDATE ON ctms.stripe_invoice_line_item
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp');
CREATE TRIGGER ctms_stripe_subscription_update_timestamp BEFORE UPDATE ON ctms.stripe_subscription
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp', 'list_timestamp');
CREATE TRIGGER ctms_stripe_subscription_item_update_timestamp BEFORE UPDATE ON ctms.stripe_subscription_item
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp');

-- The triggers that fill the queue, three for each table that is sent to Acoustic. Their arguments
-- are the kind of key, its column, and columns that do not count. When a contact is deleted, a
-- foreign key deletes its queue row. Rows of Stripe belong to the contact with the FxA ID of their
-- customer. A price can belong to very many contacts, so only the columns that product rows show
-- count; a new price has no items yet, and a price with items cannot be deleted.
--
-- Triggers fire in the order of their names: "_updated" comes after "_update_timestamp". Give your
-- own BEFORE UPDATE trigger a name that sorts before "ctms". If it fires after these triggers, an
-- UPDATE that changes nothing enqueues the contact. TRUNCATE fires no row triggers.
DO $$
DECLARE
    fed record;
BEGIN
    FOR fed IN
        SELECT relation, pg_catalog.string_agg(pg_catalog.quote_literal(a.arg), ', ' ORDER BY a.n) AS args,
            pg_catalog.string_agg(pg_catalog.quote_literal(a.arg), ', ' ORDER BY a.n) FILTER (WHERE a.n <= 2) AS key
        FROM (VALUES
            ('emails', ARRAY['contact', 'email_id']),
            ('newsletters', ARRAY['contact', 'email_id']),
            ('waitlists', ARRAY['contact', 'email_id']),
            ('fxa', ARRAY['contact', 'email_id']),
            ('amo', ARRAY['contact', 'email_id']),
            ('mofo', ARRAY['contact', 'email_id']),
            ('stripe_customer', ARRAY['fxa', 'fxa_id', 'message_timestamp', 'deletion_timestamp', 'update_timestamp']),
            ('stripe_subscription', ARRAY['customer', 'stripe_customer_id', 'message_timestamp', 'list_timestamp', 'update_timestamp']),
            ('stripe_subscription_item', ARRAY['subscription', 'stripe_subscription_id', 'message_timestamp', 'deletion_timestamp', 'update_timestamp']),
            ('stripe_price', ARRAY['price', 'stripe_id', 'message_timestamp', 'update_timestamp', 'active', 'stripe_created']),
            ('stripe_invoice', ARRAY['customer', 'stripe_customer_id', 'message_timestamp', 'deletion_timestamp', 'list_timestamp', 'update_timestamp']),
            ('stripe_invoice_line_item', ARRAY['invoice', 'stripe_invoice_id', 'message_timestamp', 'update_timestamp'])
        ) AS list (relation, args), LATERAL pg_catalog.unnest(list.args) WITH ORDINALITY AS a (arg, n)
        GROUP BY relation ORDER BY relation
    LOOP
        IF fed.relation <> 'stripe_price' THEN
            EXECUTE pg_catalog.format('CREATE TRIGGER %I AFTER INSERT%s ON ctms.%I FOR EACH ROW EXECUTE FUNCTION ctms._enqueue(%s)',
                'ctms_' || fed.relation || '_enqueue', CASE WHEN fed.relation <> 'emails' THEN ' OR DELETE' END,
                fed.relation, fed.args);
        END IF;
        EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE UPDATE ON ctms.%I FOR EACH ROW EXECUTE FUNCTION ctms._enqueue(%s)',
            'ctms_' || fed.relation || '_updated', fed.relation, fed.args);
        IF fed.relation <> 'emails' THEN
            EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE TRUNCATE ON ctms.%I EXECUTE FUNCTION ctms._enqueue(%s)',
                'ctms_' || fed.relation || '_enqueue_all', fed.relation, fed.key);
        END IF;
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------
-- Functions for agents. Each call is a transaction of its own.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.claim_acoustic(agent text, batch_limit integer, retry_limit integer, lease interval,
    bulk_limit integer DEFAULT NULL)
    RETURNS TABLE (email_id uuid, generation bigint, retry integer, state text, is_bulk boolean)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_claim_acoustic';
COMMENT ON FUNCTION ctms.claim_acoustic(text, integer, integer, interval, integer) IS 'Leases up to batch_limit contacts to an agent, at most bulk_limit of them from the bulk lane (null: no limit of its own); never one that another agent holds. Live contacts come first, but one in ten is bulk and one in ten a deletion while such wait; in each lane fewest retries first, then oldest change. state is new, again (tried before, so it is not certain what Acoustic has) or deleted (the deletion must be sent)';

CREATE FUNCTION ctms.finish_acoustic(agent text, email_ids uuid[], generations bigint[],
    outcomes text[] DEFAULT NULL, hashes text[] DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_finish_acoustic';
COMMENT ON FUNCTION ctms.finish_acoustic(text, uuid[], bigint[], text[], text[]) IS 'Removes what the agent has sent and returns how many; a contact that changed since it was claimed stays and is free to claim. outcomes (sent, which is the default, unchanged, skipped) go to the history; hashes are those of ctms.acoustic_outgoing(), or null if not everything was sent';

CREATE FUNCTION ctms.fail_acoustic(agent text, email_ids uuid[], generations bigint[], errors text[],
    is_permanent boolean[], retry_limit integer) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_fail_acoustic';
COMMENT ON FUNCTION ctms.fail_acoustic(text, uuid[], bigint[], text[], boolean[], integer) IS 'Counts a failed attempt for each contact and makes it wait, longer each time; after a permanent failure, or at the limit, it waits until the contact changes. Returns how many rows the agent held';

CREATE FUNCTION ctms.release_acoustic(agent text) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_release_acoustic';
COMMENT ON FUNCTION ctms.release_acoustic(text) IS 'Gives back all that the agent holds, as if it had never claimed it; returns how many';

GRANT EXECUTE ON FUNCTION ctms.claim_acoustic(text, integer, integer, interval, integer),
    ctms.finish_acoustic(text, uuid[], bigint[], text[], text[]),
    ctms.fail_acoustic(text, uuid[], bigint[], text[], boolean[], integer),
    ctms.release_acoustic(text) TO ctms_agent;

-- ---------------------------------------------------------------------------
-- Functions for operators and health checks.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.enqueue_contacts(email_ids uuid[], lane text DEFAULT 'bulk') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_enqueue_contacts';
COMMENT ON FUNCTION ctms.enqueue_contacts(uuid[], text) IS 'Enqueues these contacts as if they had changed, at once, even if ctms.enqueue is off, in the lane bulk or live; one that waits in the live lane stays there. Returns how many of them exist';

CREATE FUNCTION ctms.reset_acoustic_retries(email_ids uuid[] DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_reset_acoustic_retries';
COMMENT ON FUNCTION ctms.reset_acoustic_retries(uuid[]) IS 'Gives a fresh start to the queue rows that have failed, also those that were given up, of these contacts, or of all; returns how many';

CREATE FUNCTION ctms.cancel_acoustic(email_ids uuid[] DEFAULT NULL, batch_limit integer DEFAULT 10000) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_cancel_acoustic';
COMMENT ON FUNCTION ctms.cancel_acoustic(uuid[], integer) IS 'Takes these contacts, or all, out of the bulk lane, at most batch_limit of them; what an agent holds, the live lane and deletions stay. Returns how many: call it until that is 0';

CREATE FUNCTION ctms.acoustic_backlog(retry_limit integer, OUT backlog bigint, OUT retry_backlog bigint)
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_acoustic_backlog';
COMMENT ON FUNCTION ctms.acoustic_backlog(integer) IS 'How many contacts wait to be sent (including those being sent and those waiting after a failure, but not those that were given up), and how many have failed since they last changed (including those that were given up). Exact up to 10000, estimated above that';

CREATE FUNCTION ctms.acoustic_lanes(retry_limit integer DEFAULT 6)
    RETURNS TABLE (lane text, backlog bigint, oldest_age_s double precision)
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_acoustic_lanes';
COMMENT ON FUNCTION ctms.acoustic_lanes(integer) IS 'For each lane (live, which has the deletions too, and bulk): how many contacts wait to be sent, as ctms.acoustic_backlog() counts them, and the age in seconds of the oldest change of them that is ready to be sent, or is being sent; 0 when there is none';

CREATE FUNCTION ctms.acoustic_configuration() RETURNS json
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_build_object(
        'sync_fields', (
            SELECT COALESCE(json_object_agg(tablename, fields ORDER BY tablename), '{}') FROM (
                SELECT tablename, json_agg(field ORDER BY field) AS fields
                FROM ctms.acoustic_field GROUP BY tablename) AS by_table),
        'newsletter_mappings', (
            SELECT COALESCE(json_object_agg(source, destination ORDER BY source), '{}')
            FROM ctms.acoustic_newsletter_mapping))
$$;
COMMENT ON FUNCTION ctms.acoustic_configuration() IS 'Synced fields by table and the newsletter mapping, as GET /acoustic_configuration shows them';

GRANT EXECUTE ON FUNCTION ctms.acoustic_backlog(integer), ctms.acoustic_lanes(integer) TO ctms_api, ctms_agent, ctms_monitor;
GRANT EXECUTE ON FUNCTION ctms.acoustic_configuration() TO ctms_api, ctms_agent;
