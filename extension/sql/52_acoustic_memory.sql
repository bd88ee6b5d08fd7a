-- ---------------------------------------------------------------------------
-- What ctms remembers of its dealings with Acoustic, beyond the queue; each part off by default:
-- what was deleted here and is still there (ctms.acoustic_deletions), what was last
-- sent (ctms.acoustic_skip_unchanged), and what happened (ctms.acoustic_history).
-- No foreign keys: these rows outlive their contacts, or are removed with them by trigger.
-- ---------------------------------------------------------------------------

-- A queue like ctms.pending_acoustic, of contacts that are gone. It also keeps the lease of a contact
-- that was deleted while it was being sent: if it comes back meanwhile, nobody may send it
-- before the first sender has done with what it was (whose generation is lower than any here, so
-- that its finish or fail only gives the lease back).
CREATE TABLE ctms.acoustic_deleted_contact (
    email_id uuid PRIMARY KEY,
    is_to_send boolean NOT NULL DEFAULT true,
    retry integer NOT NULL DEFAULT 0,
    last_error text,
    generation bigint NOT NULL DEFAULT 1,
    retry_after timestamptz,
    lease_until timestamptz,
    lease_owner text,
    lease_generation bigint,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0);
CREATE INDEX acoustic_deleted_contact_claim_idx ON ctms.acoustic_deleted_contact
    (retry_after NULLS FIRST, retry, create_timestamp);
COMMENT ON TABLE ctms.acoustic_deleted_contact IS 'Deleted contacts that Acoustic does not know to be deleted, or that were being sent when they were deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.is_to_send IS 'The deletion is to be carried to Acoustic; false where only the lease is kept';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.retry IS 'Failed attempts';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.last_error IS 'What went wrong last, and when; never personal data';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.generation IS 'Number of the transaction that deleted the contact';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.retry_after IS 'As in ctms.pending_acoustic';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_until IS 'An agent has claimed the row, or is still sending the contact, until then';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_owner IS 'The agent that has claimed the row, or is still sending the contact';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_generation IS 'The generation that the agent has claimed; null while it is still sending the contact';

CREATE TABLE ctms.acoustic_deleted_row (
    email_id uuid,
    kind text,
    name text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email_id, kind, name)
);
COMMENT ON TABLE ctms.acoustic_deleted_row IS 'Rows that were deleted here and may still be in a relational table of Acoustic; those that have come back are passed over';
COMMENT ON COLUMN ctms.acoustic_deleted_row.kind IS 'newsletter, waitlist or product';
COMMENT ON COLUMN ctms.acoustic_deleted_row.name IS 'Name of the newsletter or waitlist, or id of the product';

CREATE TABLE ctms.acoustic_sent (
    email_id uuid PRIMARY KEY,
    hashes jsonb NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE ctms.acoustic_sent IS 'What Acoustic was last sent of each contact, as hashes; good only while the contact''s queue row, if there is one, was never tried';
COMMENT ON COLUMN ctms.acoustic_sent.hashes IS 'By row: "main", or the kind, a colon and the name';

CREATE TABLE ctms.acoustic_history (
    id bigserial PRIMARY KEY,
    email_id uuid NOT NULL,
    outcome text NOT NULL,
    error text,
    create_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX acoustic_history_contact_idx ON ctms.acoustic_history (email_id, create_timestamp);
COMMENT ON TABLE ctms.acoustic_history IS 'What became of each attempt to send a contact, for as long as ctms.acoustic_history says';
COMMENT ON COLUMN ctms.acoustic_history.outcome IS 'sent, unchanged (nothing to send), skipped (sending is turned off), deleted or failed';
COMMENT ON COLUMN ctms.acoustic_history.error IS 'What went wrong; never personal data';

CREATE TRIGGER ctms_acoustic_deleted_contact_update_timestamp BEFORE UPDATE ON ctms.acoustic_deleted_contact
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_deleted_row_update_timestamp BEFORE UPDATE ON ctms.acoustic_deleted_row
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_sent_update_timestamp BEFORE UPDATE ON ctms.acoustic_sent
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- ---------------------------------------------------------------------------
-- What is deleted.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._carries_deletions() RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ctms__carries_deletions';
COMMENT ON FUNCTION ctms._carries_deletions() IS 'Whether deletions of this session are to be carried to Acoustic';

CREATE FUNCTION ctms._wake_agents() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__wake_agents';
COMMENT ON FUNCTION ctms._wake_agents() IS 'Wakes the agents that wait, if any, when the transaction commits';

-- BEFORE: afterwards the foreign key has taken the queue row, and with it the lease.
CREATE FUNCTION ctms._note_deleted_contact() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_carried boolean := ctms._carries_deletions();
    lease timestamptz;
    owner text;
    sent bigint;  -- generation
BEGIN
    SELECT q.lease_until, q.lease_owner, q.generation INTO lease, owner, sent
    FROM ctms.pending_acoustic q WHERE q.email_id = OLD.email_id FOR UPDATE;
    IF is_carried OR lease > clock_timestamp() THEN
        INSERT INTO ctms.acoustic_deleted_contact AS d (email_id, is_to_send, generation, lease_until, lease_owner)
        VALUES (OLD.email_id, is_carried, GREATEST(pg_current_xact_id()::text::bigint, sent + 1), lease, owner)
        ON CONFLICT (email_id) DO UPDATE SET
            is_to_send = d.is_to_send OR EXCLUDED.is_to_send,
            generation = GREATEST(d.generation + 1, EXCLUDED.generation),
            retry = 0, retry_after = NULL, last_error = NULL,
            lease_owner = CASE WHEN d.lease_until > clock_timestamp() THEN d.lease_owner ELSE EXCLUDED.lease_owner END,
            lease_generation = CASE WHEN d.lease_until > clock_timestamp() THEN d.lease_generation END,
            lease_until = GREATEST(d.lease_until, EXCLUDED.lease_until);
        -- Leases that were kept and are over.
        DELETE FROM ctms.acoustic_deleted_contact d WHERE d.email_id IN (
            SELECT o.email_id FROM ctms.acoustic_deleted_contact o
            WHERE NOT o.is_to_send AND (o.lease_until <= clock_timestamp() OR o.lease_until IS NULL)
            ORDER BY o.email_id LIMIT 100 FOR UPDATE SKIP LOCKED);
    END IF;
    IF is_carried THEN
        PERFORM ctms._wake_agents();
    END IF;
    DELETE FROM ctms.acoustic_sent s WHERE s.email_id = OLD.email_id;
    DELETE FROM ctms.acoustic_history h WHERE h.email_id = OLD.email_id;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION ctms._note_deleted_contact() IS 'Row trigger BEFORE DELETE on ctms.emails: notes what Acoustic is to be told, and forgets what was sent';

CREATE TRIGGER ctms_emails_deleted BEFORE DELETE ON ctms.emails
    FOR EACH ROW EXECUTE FUNCTION ctms._note_deleted_contact();

-- A note that is there already is written again: an agent that is about to remove it passes
-- over what others write.
CREATE FUNCTION ctms._note_deleted_rows() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT ctms._carries_deletions() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name) VALUES (OLD.email_id, TG_ARGV[0], OLD.name)
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    ELSE
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name)
        SELECT g.email_id, TG_ARGV[0], g.name FROM gone g ORDER BY g.email_id, g.name
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._note_deleted_rows() IS 'Trigger on ctms.newsletters and ctms.waitlists: notes rows that are deleted or renamed; the argument is their kind';

CREATE TRIGGER ctms_newsletters_deleted AFTER DELETE ON ctms.newsletters REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._note_deleted_rows('newsletter');
CREATE TRIGGER ctms_waitlists_deleted AFTER DELETE ON ctms.waitlists REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._note_deleted_rows('waitlist');
CREATE TRIGGER ctms_newsletters_renamed AFTER UPDATE OF email_id, name ON ctms.newsletters FOR EACH ROW
    WHEN ((OLD.email_id, OLD.name) IS DISTINCT FROM (NEW.email_id, NEW.name))
    EXECUTE FUNCTION ctms._note_deleted_rows('newsletter');
CREATE TRIGGER ctms_waitlists_renamed AFTER UPDATE OF email_id, name ON ctms.waitlists FOR EACH ROW
    WHEN ((OLD.email_id, OLD.name) IS DISTINCT FROM (NEW.email_id, NEW.name))
    EXECUTE FUNCTION ctms._note_deleted_rows('waitlist');

CREATE FUNCTION ctms._note_deleted_products() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ctms._carries_deletions() THEN
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name)
        SELECT DISTINCT f.email_id, 'product', p.stripe_product_id FROM gone g
        JOIN ctms.stripe_price p ON p.stripe_id = g.stripe_price_id
        JOIN ctms.stripe_subscription s ON s.stripe_id = g.stripe_subscription_id
        JOIN ctms.stripe_customer c ON c.stripe_id = s.stripe_customer_id
        JOIN ctms.fxa f ON f.fxa_id = c.fxa_id
        ORDER BY 1, 3
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._note_deleted_products() IS 'Trigger on ctms.stripe_subscription_item: notes products that contacts may have no longer';

-- Neither forgotten nor, for what was meant as a reload, carried out at Acoustic.
CREATE FUNCTION ctms._refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ctms._carries_deletions() AND (CASE TG_TABLE_NAME
        WHEN 'emails' THEN EXISTS (SELECT FROM ctms.emails)
        WHEN 'newsletters' THEN EXISTS (SELECT FROM ctms.newsletters)
        WHEN 'waitlists' THEN EXISTS (SELECT FROM ctms.waitlists)
        ELSE EXISTS (SELECT FROM ctms.stripe_subscription_item) END)
    THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('cannot truncate "%s.%s" while deletions are carried to Acoustic', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'DELETE has them carried over; with ctms.acoustic_deletions off, Acoustic keeps what it has.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._refuse_truncate() IS 'Trigger BEFORE TRUNCATE: refuses to lose what is to be deleted at Acoustic';

CREATE TRIGGER ctms_emails_no_truncate BEFORE TRUNCATE ON ctms.emails
    EXECUTE FUNCTION ctms._refuse_truncate();
CREATE TRIGGER ctms_newsletters_no_truncate BEFORE TRUNCATE ON ctms.newsletters
    EXECUTE FUNCTION ctms._refuse_truncate();
CREATE TRIGGER ctms_waitlists_no_truncate BEFORE TRUNCATE ON ctms.waitlists
    EXECUTE FUNCTION ctms._refuse_truncate();
CREATE TRIGGER ctms_stripe_subscription_item_no_truncate BEFORE TRUNCATE ON ctms.stripe_subscription_item
    EXECUTE FUNCTION ctms._refuse_truncate();

CREATE TRIGGER ctms_stripe_subscription_item_deleted AFTER DELETE ON ctms.stripe_subscription_item
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ctms._note_deleted_products();
