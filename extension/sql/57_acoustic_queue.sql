-- ---------------------------------------------------------------------------
-- The queue as people read it. Readers see what they may see of the tables: the view has the rights
-- of who reads it.
-- ---------------------------------------------------------------------------

CREATE VIEW ctms.acoustic_queue WITH (security_invoker = true) AS
SELECT q.email_id, q.is_deletion, q.lane, q.state,
    CASE q.state
        WHEN 'sending' THEN CASE WHEN q.is_held THEN 'is in a file that Acoustic imports (run ' || substr(q.lease_owner, 6)
                || CASE WHEN q.is_deletion THEN '), and will be deleted afterwards'
                    WHEN q.generation <> run.generation THEN '), and will be sent again afterwards'
                    ELSE ')' END
            ELSE 'is being sent by an agent' END
        WHEN 'given_up' THEN 'was given up: waits until it ' || CASE WHEN q.is_deletion THEN '' ELSE 'changes or ' END
            || 'is tried again on request'
        WHEN 'waiting' THEN 'waits after a failure'
        WHEN 'blocked' THEN 'waits until the deletion of the contact that had this id before is sent'
        ELSE 'waits for its turn'
            || CASE WHEN q.lane = 'bulk' THEN ', with what is sent behind live changes' ELSE '' END
            || CASE WHEN q.lease_owner IS NOT NULL THEN '; the agent that was sending it has stopped'
                WHEN q.retry > 0 THEN ', to be tried again' ELSE '' END
    END AS reason,
    q.retry,
    q.create_timestamp,
    CASE WHEN q.state = 'waiting' THEN q.retry_after END AS retry_after,
    CASE WHEN q.state = 'sending' THEN q.lease_owner END AS lease_owner,
    CASE WHEN q.state = 'sending' THEN q.lease_until END AS lease_until,
    q.last_error
FROM (
    SELECT p.email_id, false AS is_deletion, CASE WHEN p.is_bulk THEN 'bulk' ELSE 'live' END AS lane,
        p.retry, p.create_timestamp, p.retry_after, p.lease_owner, p.lease_until, p.last_error,
        p.generation, COALESCE(p.retry_after = p.lease_until AND p.lease_owner LIKE 'bulk %', false) AS is_held,
        CASE
            WHEN p.lease_until > statement_timestamp() THEN 'sending'
            WHEN p.retry_after = 'infinity' THEN 'given_up'
            WHEN p.retry_after > statement_timestamp() THEN 'waiting'
            WHEN EXISTS (SELECT FROM ctms.acoustic_deleted_contact d WHERE d.email_id = p.email_id
                AND (d.is_to_send AND d.retry_after IS DISTINCT FROM 'infinity' OR d.lease_until > statement_timestamp()))
                THEN 'blocked'
            ELSE 'ready'
        END AS state
    FROM ctms.pending_acoustic p
    UNION ALL
    SELECT d.email_id, true AS is_deletion, 'live' AS lane, d.retry, d.create_timestamp, d.retry_after,
        d.lease_owner, d.lease_until, d.last_error,
        d.generation, COALESCE(d.retry_after = d.lease_until AND d.lease_owner LIKE 'bulk %', false) AS is_held,
        CASE
            WHEN d.lease_until > statement_timestamp() THEN 'sending'
            WHEN d.retry_after = 'infinity' THEN 'given_up'
            WHEN d.retry_after > statement_timestamp() THEN 'waiting'
            ELSE 'ready'
        END AS state
    FROM ctms.acoustic_deleted_contact d WHERE d.is_to_send
) AS q
LEFT JOIN ctms.acoustic_bulk_run AS run ON run.end_timestamp IS NULL AND q.is_held
    AND q.lease_owner = 'bulk ' || run.run_id;
COMMENT ON VIEW ctms.acoustic_queue IS 'What waits to be sent to Acoustic, and why it waits: a row for each contact in the queue, and for each deleted contact whose deletion was not sent yet';
COMMENT ON COLUMN ctms.acoustic_queue.email_id IS 'The contact. It has two rows if it was deleted and has come back before its deletion was sent';
COMMENT ON COLUMN ctms.acoustic_queue.is_deletion IS 'The contact was deleted here, and Acoustic is to delete it too';
COMMENT ON COLUMN ctms.acoustic_queue.lane IS 'live: a person''s change, or a deletion. bulk: a wave, such as a resync, an import or a changed price; live comes first';
COMMENT ON COLUMN ctms.acoustic_queue.state IS 'ready (may be sent now), sending (an agent has it, or a file that Acoustic imports), waiting (until retry_after, after a failure), given_up (is not tried again by itself) or blocked (until a deletion is sent)';
COMMENT ON COLUMN ctms.acoustic_queue.reason IS 'Why it is not in Acoustic yet, in words';
COMMENT ON COLUMN ctms.acoustic_queue.retry IS 'Failed attempts since the contact last changed; a permanent failure counts as all of them';
COMMENT ON COLUMN ctms.acoustic_queue.create_timestamp IS 'When the oldest change that was not sent yet was made, or the contact was deleted';
COMMENT ON COLUMN ctms.acoustic_queue.retry_after IS 'When it may be sent again; null unless it waits after a failure';
COMMENT ON COLUMN ctms.acoustic_queue.lease_owner IS 'The agent that is sending it, or the run of files ("bulk" and its number), or null';
COMMENT ON COLUMN ctms.acoustic_queue.lease_until IS 'When others may take it from that agent, unless it says that it goes on';
COMMENT ON COLUMN ctms.acoustic_queue.last_error IS 'What went wrong last, beginning with when (UTC); null if nothing did. Never personal data';

-- Reads the index on the order of claiming, and no more than 10,000 of its entries in either lane.
-- The planner must not take a scan of the table for cheaper where its statistics are old. Changes of
-- one transaction have one time: claims take them in the order of the index, which is that of ctid.
CREATE FUNCTION ctms.acoustic_place(email_id uuid, OUT lane text, OUT place bigint, OUT other_backlog bigint)
    RETURNS record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    q record;
BEGIN
    SELECT p.is_bulk, p.retry, p.create_timestamp, p.ctid INTO q FROM ctms.pending_acoustic p
    WHERE p.email_id = acoustic_place.email_id AND p.retry_after IS NULL
        AND (p.lease_until IS NULL OR p.lease_until <= statement_timestamp());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The order and the limit come first: those of the same time that are behind are not read.
    lane := CASE WHEN q.is_bulk THEN 'bulk' ELSE 'live' END;
    place := (SELECT count(*) FROM (SELECT p.retry, p.create_timestamp, p.ctid FROM ctms.pending_acoustic p
        WHERE p.is_bulk = q.is_bulk AND p.retry_after IS NULL
            AND (p.retry, p.create_timestamp) <= (q.retry, q.create_timestamp)
            AND (p.lease_until IS NULL OR p.lease_until <= statement_timestamp())
        ORDER BY p.retry, p.create_timestamp LIMIT 10000) AS b
        WHERE (b.retry, b.create_timestamp, b.ctid) < (q.retry, q.create_timestamp, q.ctid)) + 1;
    other_backlog := (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic p
        WHERE p.is_bulk = (NOT q.is_bulk) AND p.retry_after IS NULL LIMIT 10000) AS others);
END
$$;
COMMENT ON FUNCTION ctms.acoustic_place(uuid) IS 'The lane of a contact that waits for its turn, its place there (1 is next; 10001: at least 10000 are before it), and how many wait in the other lane (at most 10000); nulls if it does not wait for its turn';

GRANT EXECUTE ON FUNCTION ctms.acoustic_place(uuid) TO ctms_reader;
