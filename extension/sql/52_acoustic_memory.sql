-- ---------------------------------------------------------------------------
-- What ctms remembers about Acoustic in addition to the queue: what was deleted here and is still
-- in Acoustic (the setting acoustic_deletions, off by default), what was last sent
-- (acoustic_skip_unchanged, off by default), and what happened (acoustic_history).
-- There are no foreign keys: these rows outlive their contacts, or a trigger removes them.
-- ---------------------------------------------------------------------------

-- A queue like ctms.pending_acoustic, for deleted contacts. It also keeps the lease of a contact
-- that was deleted while it was being sent: if the contact comes back meanwhile, no agent may send
-- it before the first sender is done with the old state. The generation of that state is lower than
-- any here, so the finish or fail of the first sender only gives the lease back.
CREATE TABLE ctms.acoustic_deleted_contact (
    email_id uuid PRIMARY KEY,
    is_to_send boolean NOT NULL DEFAULT true,
    retry integer NOT NULL DEFAULT 0,
    last_error text,
    generation bigint NOT NULL DEFAULT (hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807),
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
COMMENT ON TABLE ctms.acoustic_deleted_contact IS 'Deleted contacts whose deletion was not sent to Acoustic yet, or that were being sent when they were deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.email_id IS 'The contact that was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.is_to_send IS 'The deletion must be sent to Acoustic; false if only the lease is kept';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.retry IS 'Failed attempts';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.last_error IS 'What went wrong last, and when; never personal data';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.generation IS 'A new number, that never comes again, for each deletion';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.retry_after IS 'As in ctms.pending_acoustic';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_until IS 'When the lease of the agent that has claimed the row, or is still sending the contact, ends';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_owner IS 'The agent that has claimed the row, or is still sending the contact';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_generation IS 'The generation that the agent has claimed; null while it is still sending the contact';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.create_timestamp IS 'When the contact was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.update_timestamp IS 'When the row was last written: claimed or failed';

CREATE TABLE ctms.acoustic_deleted_row (
    email_id uuid,
    kind text,
    name text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email_id, kind, name)
);
COMMENT ON TABLE ctms.acoustic_deleted_row IS 'Rows that were deleted here and may still be in a relational table of Acoustic; rows that have come back are skipped';
COMMENT ON COLUMN ctms.acoustic_deleted_row.email_id IS 'The contact whose row was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_row.kind IS 'newsletter, waitlist or product';
COMMENT ON COLUMN ctms.acoustic_deleted_row.name IS 'Name of the newsletter or waitlist, or id of the product';
COMMENT ON COLUMN ctms.acoustic_deleted_row.create_timestamp IS 'When the row was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_row.update_timestamp IS 'When the row of this table was last written';

CREATE TABLE ctms.acoustic_sent (
    email_id uuid PRIMARY KEY,
    hashes jsonb NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE ctms.acoustic_sent IS 'What was last sent to Acoustic for each contact, as hashes; valid only while the contact''s queue row, if there is one, was never tried';
COMMENT ON COLUMN ctms.acoustic_sent.email_id IS 'The contact';
COMMENT ON COLUMN ctms.acoustic_sent.hashes IS 'One hash for each row; the key is "main", or the kind, a colon and the name';
COMMENT ON COLUMN ctms.acoustic_sent.create_timestamp IS 'When hashes of the contact were first kept';
COMMENT ON COLUMN ctms.acoustic_sent.update_timestamp IS 'When the hashes last changed';

CREATE TABLE ctms.acoustic_history (
    id bigserial PRIMARY KEY,
    email_id uuid NOT NULL,
    outcome text NOT NULL,
    error text,
    create_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX acoustic_history_contact_idx ON ctms.acoustic_history (email_id, create_timestamp);
COMMENT ON TABLE ctms.acoustic_history IS 'What became of attempts to send a contact: failures and deletions, and with the setting acoustic_history_sent all. Kept for the time that the setting acoustic_history_age says, in at most acoustic_history_rows rows';
COMMENT ON COLUMN ctms.acoustic_history.id IS 'A number of the row';
COMMENT ON COLUMN ctms.acoustic_history.email_id IS 'The contact that was sent, which may have been deleted since';
COMMENT ON COLUMN ctms.acoustic_history.outcome IS 'sent, unchanged (nothing to send), skipped (sending is turned off), deleted or failed';
COMMENT ON COLUMN ctms.acoustic_history.error IS 'What went wrong; never personal data';
COMMENT ON COLUMN ctms.acoustic_history.create_timestamp IS 'When the attempt ended';

CREATE FUNCTION ctms.forget_acoustic_history() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_forget_acoustic_history';
COMMENT ON FUNCTION ctms.forget_acoustic_history() IS 'Removes up to 5000 rows of the history that have been kept for long enough, or are too many; returns how many. Agents call it once a minute, because the history also grows old where nothing is written';
GRANT EXECUTE ON FUNCTION ctms.forget_acoustic_history() TO ctms_agent;

CREATE TRIGGER ctms_acoustic_deleted_contact_update_timestamp BEFORE UPDATE ON ctms.acoustic_deleted_contact
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_deleted_row_update_timestamp BEFORE UPDATE ON ctms.acoustic_deleted_row
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_sent_update_timestamp BEFORE UPDATE ON ctms.acoustic_sent
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- ---------------------------------------------------------------------------
-- Deletions.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._carries_deletions() RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ctms__carries_deletions';
COMMENT ON FUNCTION ctms._carries_deletions() IS 'Whether deletions of this session must be sent to Acoustic';

CREATE FUNCTION ctms._wake_agents() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__wake_agents';
COMMENT ON FUNCTION ctms._wake_agents() IS 'Wakes the agents that wait, if any, when the transaction commits';

-- BEFORE, because afterwards the foreign key has deleted the queue row, and with it the lease.
CREATE FUNCTION ctms._note_deleted_contact() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_carried boolean := ctms._carries_deletions();
    lease timestamptz;
    owner text;
    hold timestamptz;  -- of a file that has the contact: kept like the lease
BEGIN
    SELECT q.lease_until, q.lease_owner, CASE WHEN q.retry_after = q.lease_until THEN q.retry_after END
    INTO lease, owner, hold FROM ctms.pending_acoustic q WHERE q.email_id = OLD.email_id FOR UPDATE;
    IF is_carried OR lease > clock_timestamp() THEN
        INSERT INTO ctms.acoustic_deleted_contact AS d (email_id, is_to_send, lease_until, lease_owner, retry_after)
        VALUES (OLD.email_id, is_carried, lease, owner, hold)
        ON CONFLICT (email_id) DO UPDATE SET
            is_to_send = d.is_to_send OR EXCLUDED.is_to_send,
            generation = EXCLUDED.generation,
            retry = 0, last_error = NULL,
            retry_after = CASE WHEN d.retry_after = d.lease_until AND d.lease_until > clock_timestamp() THEN d.retry_after
                ELSE EXCLUDED.retry_after END,
            lease_owner = CASE WHEN d.lease_until > clock_timestamp() THEN d.lease_owner ELSE EXCLUDED.lease_owner END,
            lease_generation = CASE WHEN d.lease_until > clock_timestamp() THEN d.lease_generation END,
            lease_until = GREATEST(d.lease_until, EXCLUDED.lease_until);
        -- Leases that were kept and have ended.
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
COMMENT ON FUNCTION ctms._note_deleted_contact() IS 'Row trigger BEFORE DELETE on ctms.emails: notes the deletion that must be sent to Acoustic, and forgets what was sent';

CREATE TRIGGER ctms_emails_deleted BEFORE DELETE ON ctms.emails
    FOR EACH ROW EXECUTE FUNCTION ctms._note_deleted_contact();

-- An existing note is written again, because an agent that is about to remove it skips notes that
-- others write.
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
    IF NOT ctms._carries_deletions() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name)
        SELECT f.email_id, 'product', p.stripe_product_id FROM ctms.stripe_price p
        JOIN ctms.stripe_subscription s ON s.stripe_id = OLD.stripe_subscription_id
        JOIN ctms.stripe_customer c ON c.stripe_id = s.stripe_customer_id
        JOIN ctms.fxa f ON f.fxa_id = c.fxa_id
        WHERE p.stripe_id = OLD.stripe_price_id
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    ELSE
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
COMMENT ON FUNCTION ctms._note_deleted_products() IS 'Trigger on ctms.stripe_subscription_item: notes products that contacts may no longer have';

-- A TRUNCATE must not lose these deletions; and if it comes before a reload, they must not be
-- sent to Acoustic.
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
            HINT = 'DELETE has them carried over; with the setting acoustic_deletions off, Acoustic keeps what it has.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._refuse_truncate() IS 'Trigger BEFORE TRUNCATE: refuses it while deletions are carried to Acoustic, because they would be lost';

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
CREATE TRIGGER ctms_stripe_subscription_item_moved AFTER UPDATE ON ctms.stripe_subscription_item FOR EACH ROW
    WHEN (NOT OLD.deleted AND (NEW.deleted OR
        (OLD.stripe_subscription_id, OLD.stripe_price_id) IS DISTINCT FROM (NEW.stripe_subscription_id, NEW.stripe_price_id)))
    EXECUTE FUNCTION ctms._note_deleted_products();
