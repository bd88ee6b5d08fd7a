-- ---------------------------------------------------------------------------
-- Waves by file. A run holds contacts of the bulk lane, writes them to files, has Acoustic import
-- these, and settles the contacts. All that must outlive the process that works on it, the runner,
-- is here; docs/queue.md tells how contacts are held.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.acoustic_bulk_run (
    run_id bigserial PRIMARY KEY,
    state text NOT NULL DEFAULT 'claiming'
        CHECK (state IN ('claiming', 'making', 'uploading', 'importing', 'settling', 'cleaning', 'done', 'failed')),
    attempt integer NOT NULL DEFAULT 1,
    runner text,
    lease_until timestamptz,
    hold_until timestamptz NOT NULL,
    generation bigint NOT NULL DEFAULT (hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807),
    first_email_id uuid,
    last_email_id uuid,
    contacts bigint NOT NULL DEFAULT 0,
    sent bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    returned bigint NOT NULL DEFAULT 0,
    is_given_up boolean NOT NULL DEFAULT false,
    is_canceled boolean NOT NULL DEFAULT false,
    error text,
    settled_email_id uuid,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    end_timestamp timestamptz,
    CHECK ((end_timestamp IS NOT NULL) = (state IN ('done', 'failed')))
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
-- One open run at a time: whoever begins another meets this.
CREATE UNIQUE INDEX acoustic_bulk_run_open_idx ON ctms.acoustic_bulk_run ((true)) WHERE end_timestamp IS NULL;
COMMENT ON TABLE ctms.acoustic_bulk_run IS 'Waves that are sent to Acoustic as files: at most one run that is open, and those that have ended in the last 90 days';
COMMENT ON COLUMN ctms.acoustic_bulk_run.run_id IS 'A number of the run; rows of the queue that it holds have the lease_owner "bulk <run_id>"';
COMMENT ON COLUMN ctms.acoustic_bulk_run.state IS 'claiming, making, uploading, importing, settling, cleaning; done or failed when it has ended';
COMMENT ON COLUMN ctms.acoustic_bulk_run.attempt IS 'Grows when a runner takes the run over and must make files anew: it is in the names of the files';
COMMENT ON COLUMN ctms.acoustic_bulk_run.runner IS 'The process that works on it: host, process and a random number; null when it has ended';
COMMENT ON COLUMN ctms.acoustic_bulk_run.lease_until IS 'When another runner may take it over; null when it has ended';
COMMENT ON COLUMN ctms.acoustic_bulk_run.hold_until IS 'When the contacts that it holds are free by themselves';
COMMENT ON COLUMN ctms.acoustic_bulk_run.generation IS 'The generation of the rows of the queue that it holds, as long as their contacts do not change';
COMMENT ON COLUMN ctms.acoustic_bulk_run.first_email_id IS 'The first contact that it has claimed; null before it has claimed one';
COMMENT ON COLUMN ctms.acoustic_bulk_run.last_email_id IS 'The last contact that it has claimed';
COMMENT ON COLUMN ctms.acoustic_bulk_run.contacts IS 'How many contacts it has claimed';
COMMENT ON COLUMN ctms.acoustic_bulk_run.sent IS 'Contacts that Acoustic has taken, and that have left the queue';
COMMENT ON COLUMN ctms.acoustic_bulk_run.refused IS 'Contacts with a row that Acoustic has refused';
COMMENT ON COLUMN ctms.acoustic_bulk_run.changed IS 'Contacts that changed or were deleted meanwhile, and go the ordinary way; known when all are settled';
COMMENT ON COLUMN ctms.acoustic_bulk_run.returned IS 'Contacts that wait in their lane again, because the run was given up';
COMMENT ON COLUMN ctms.acoustic_bulk_run.is_given_up IS 'Settling returns the contacts to their lane';
COMMENT ON COLUMN ctms.acoustic_bulk_run.is_canceled IS 'An operator has asked for its end; heeded until the first import was started';
COMMENT ON COLUMN ctms.acoustic_bulk_run.error IS 'Why it was given up, or what is wrong; never personal data';
COMMENT ON COLUMN ctms.acoustic_bulk_run.settled_email_id IS 'How far settling has come';
COMMENT ON COLUMN ctms.acoustic_bulk_run.create_timestamp IS 'When it was begun';
COMMENT ON COLUMN ctms.acoustic_bulk_run.update_timestamp IS 'When the row was last written';
COMMENT ON COLUMN ctms.acoustic_bulk_run.end_timestamp IS 'When it ended; null while it is open';

CREATE TABLE ctms.acoustic_bulk_file (
    run_id bigint REFERENCES ctms.acoustic_bulk_run ON DELETE CASCADE,
    kind text CHECK (kind IN ('main', 'main_amo', 'main_fxa', 'main_amo_fxa', 'newsletter', 'waitlist', 'product')),
    attempt integer,
    name text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('made', 'uploaded', 'starting', 'running', 'complete', 'failed', 'removed')),
    row_count bigint NOT NULL,
    bytes bigint NOT NULL,
    job_id text,
    refused bigint NOT NULL DEFAULT 0,
    results_file text,
    error_file text,
    error text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, kind, attempt)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE ctms.acoustic_bulk_file IS 'Files of runs, and the jobs at Acoustic that import them';
COMMENT ON COLUMN ctms.acoustic_bulk_file.run_id IS 'The run';
COMMENT ON COLUMN ctms.acoustic_bulk_file.kind IS 'Which rows it has: main, main_amo, main_fxa and main_amo_fxa (by what the contact has), newsletter, waitlist, product';
COMMENT ON COLUMN ctms.acoustic_bulk_file.attempt IS 'The attempt of the run that made the file, or started its import';
COMMENT ON COLUMN ctms.acoustic_bulk_file.name IS 'Name on the server, without .csv and .xml';
COMMENT ON COLUMN ctms.acoustic_bulk_file.state IS 'made, uploaded, starting (nobody knows whether the job runs), running, complete, failed or removed';
COMMENT ON COLUMN ctms.acoustic_bulk_file.row_count IS 'Rows in it, without the header';
COMMENT ON COLUMN ctms.acoustic_bulk_file.bytes IS 'Size of the CSV file';
COMMENT ON COLUMN ctms.acoustic_bulk_file.job_id IS 'Acoustic''s number of the job; null before that is known';
COMMENT ON COLUMN ctms.acoustic_bulk_file.refused IS 'Rows that Acoustic has refused';
COMMENT ON COLUMN ctms.acoustic_bulk_file.results_file IS 'Name of the file of results in the download folder; null if there is none, or it is not known yet';
COMMENT ON COLUMN ctms.acoustic_bulk_file.error_file IS 'Name of the file of refused rows in the download folder; null if there is none, or it is not known yet';
COMMENT ON COLUMN ctms.acoustic_bulk_file.error IS 'What went wrong with it; never personal data';
COMMENT ON COLUMN ctms.acoustic_bulk_file.create_timestamp IS 'When the file was first noted';
COMMENT ON COLUMN ctms.acoustic_bulk_file.update_timestamp IS 'When the row was last written';

CREATE TRIGGER ctms_acoustic_bulk_run_update_timestamp BEFORE UPDATE ON ctms.acoustic_bulk_run
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_bulk_file_update_timestamp BEFORE UPDATE ON ctms.acoustic_bulk_file
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- ---------------------------------------------------------------------------
-- The queue's part.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._hold_acoustic(owner text, generation bigint, hold_until timestamptz, after uuid,
    batch_limit integer, retry_limit integer, OUT held bigint, OUT first_email_id uuid, OUT last_email_id uuid)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__hold_acoustic';
COMMENT ON FUNCTION ctms._hold_acoustic(text, bigint, timestamptz, uuid, integer, integer) IS 'Leases contacts of the bulk lane in order of email_id, those after the given one (null: from the first), and keeps them away from claims until then';

CREATE FUNCTION ctms._held_acoustic(owner text, generation bigint, first_email_id uuid, after uuid, last_email_id uuid,
    batch_limit integer) RETURNS uuid[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ctms__held_acoustic';
COMMENT ON FUNCTION ctms._held_acoustic(text, bigint, uuid, uuid, uuid, integer) IS 'The next contacts in a range that the owner holds and that have the generation; without one, whatever they have, and those that were deleted meanwhile. Null if there are none';

CREATE FUNCTION ctms._finish_acoustic(agent text, email_ids uuid[], generations bigint[], waits boolean) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__finish_acoustic';
COMMENT ON FUNCTION ctms._finish_acoustic(text, uuid[], bigint[], boolean) IS 'As ctms.finish_acoustic(); unless it waits, it leaves rows that other transactions are writing';

CREATE FUNCTION ctms._release_acoustic(agent text, email_ids uuid[], waits boolean) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__release_acoustic';
COMMENT ON FUNCTION ctms._release_acoustic(text, uuid[], boolean) IS 'Gives back these contacts, as ctms.release_acoustic() does with all; unless it waits, it leaves rows that other transactions are writing';

CREATE FUNCTION ctms._commit_durably() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__commit_durably';
COMMENT ON FUNCTION ctms._commit_durably() IS 'The commit of the transaction will be on disk when it is done, whatever synchronous_commit says';

-- ---------------------------------------------------------------------------
-- Functions for runners. Each call is a short transaction of its own.
-- ---------------------------------------------------------------------------

-- Nobody else can take the run over before the transaction ends.
CREATE FUNCTION ctms._lock_acoustic_bulk(run_id bigint, runner text, states text[] DEFAULT NULL)
    RETURNS ctms.acoustic_bulk_run
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run;
BEGIN
    SELECT * INTO run FROM ctms.acoustic_bulk_run r
    WHERE r.run_id = _lock_acoustic_bulk.run_id AND r.end_timestamp IS NULL AND r.runner = _lock_acoustic_bulk.runner
    FOR UPDATE;
    IF states IS NULL THEN
        RETURN run;
    END IF;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('run %s of files is not this runner''s', _lock_acoustic_bulk.run_id),
            HINT = 'It has ended, or another runner has taken it over.';
    END IF;
    IF run.state <> ALL (states) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('run %s of files is in state "%s"', run.run_id, run.state);
    END IF;
    RETURN run;
END
$$;
COMMENT ON FUNCTION ctms._lock_acoustic_bulk(bigint, text, text[]) IS 'Locks the run and returns it if it is open and the runner''s, otherwise nulls; with states, it must be in one of these';

-- Holds of a run that is not there: rows of the queue were restored without it, or it was deleted.
CREATE FUNCTION ctms._free_acoustic_bulk() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
    freed bigint := 0;
BEGIN
    FOR held IN
        SELECT h.lease_owner, array_agg(h.email_id ORDER BY h.email_id) AS email_ids FROM (
            (SELECT p.lease_owner, p.email_id FROM ctms.pending_acoustic p
            WHERE p.is_bulk IN (false, true) AND p.retry_after > statement_timestamp() AND p.retry_after < 'infinity'
                AND p.retry_after = p.lease_until AND p.lease_owner LIKE 'bulk %' LIMIT 10000)
            UNION ALL
            (SELECT d.lease_owner, d.email_id FROM ctms.acoustic_deleted_contact d
            WHERE d.retry_after > statement_timestamp() AND d.retry_after < 'infinity'
                AND d.retry_after = d.lease_until AND d.lease_owner LIKE 'bulk %' LIMIT 10000)) AS h
        WHERE NOT EXISTS (SELECT FROM ctms.acoustic_bulk_run r
            WHERE r.end_timestamp IS NULL AND h.lease_owner = 'bulk ' || r.run_id)
        GROUP BY h.lease_owner ORDER BY h.lease_owner
    LOOP
        freed := freed + ctms._release_acoustic(held.lease_owner, held.email_ids, false);
    END LOOP;
    IF freed > 0 THEN
        PERFORM ctms._wake_agents();
    END IF;
END
$$;
COMMENT ON FUNCTION ctms._free_acoustic_bulk() IS 'Frees contacts that are held for a run that is not open, up to 10000 of them';

CREATE FUNCTION ctms.begin_acoustic_bulk(runner text, lease interval, hold interval, may_begin boolean DEFAULT true)
    RETURNS SETOF ctms.acoustic_bulk_run
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_ timestamptz;
    run ctms.acoustic_bulk_run;
BEGIN
    IF runner = '' OR lease <= interval '0' OR hold <= interval '0' OR NOT isfinite(now() + lease) OR NOT isfinite(now() + hold) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a runner must have a name, and a positive "lease" and "hold"';
    END IF;
    PERFORM ctms._commit_durably();
    SELECT * INTO run FROM ctms.acoustic_bulk_run r WHERE r.end_timestamp IS NULL FOR UPDATE;
    now_ := clock_timestamp();
    IF FOUND THEN
        IF run.runner <> begin_acoustic_bulk.runner AND run.lease_until > now_ THEN
            RETURN;
        END IF;
        -- What is not known to be at Acoustic must get names that no earlier runner uses.
        RETURN QUERY UPDATE ctms.acoustic_bulk_run r SET
            runner = begin_acoustic_bulk.runner, lease_until = now_ + lease,
            attempt = r.attempt + (r.state IN ('claiming', 'making', 'uploading') OR r.state = 'importing' AND EXISTS (
                SELECT FROM ctms.acoustic_bulk_file f WHERE f.run_id = r.run_id AND f.state NOT IN ('running', 'complete')
                    AND NOT EXISTS (SELECT FROM ctms.acoustic_bulk_file n
                        WHERE n.run_id = f.run_id AND n.kind = f.kind AND n.attempt > f.attempt)))::integer
        WHERE r.run_id = run.run_id RETURNING r.*;
        RETURN;
    END IF;
    IF NOT may_begin THEN
        RETURN;
    END IF;
    INSERT INTO ctms.acoustic_bulk_run AS r (runner, lease_until, hold_until)
    VALUES (begin_acoustic_bulk.runner, now_ + lease, now_ + hold)
    ON CONFLICT DO NOTHING RETURNING * INTO run;
    IF NOT FOUND THEN
        RETURN;  -- another runner has begun one at this moment
    END IF;
    PERFORM ctms._free_acoustic_bulk();
    DELETE FROM ctms.acoustic_bulk_run r WHERE r.end_timestamp < now_ - interval '90 days';
    RETURN NEXT run;
END
$$;
COMMENT ON FUNCTION ctms.begin_acoustic_bulk(text, interval, interval, boolean) IS 'Takes over the open run, if it is this runner''s or its lease has ended, or begins one that holds its contacts for that long; returns it. No row if another runner works on one, or if there is none and may_begin is false';

CREATE FUNCTION ctms.keep_acoustic_bulk(run_id bigint, runner text, lease interval) RETURNS boolean
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lease <= interval '0' OR NOT isfinite(now() + lease) THEN
        RAISE invalid_parameter_value USING MESSAGE = '"lease" must be positive';
    END IF;
    UPDATE ctms.acoustic_bulk_run r SET lease_until = clock_timestamp() + lease
    WHERE r.run_id = keep_acoustic_bulk.run_id AND r.runner = keep_acoustic_bulk.runner AND r.end_timestamp IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ctms.keep_acoustic_bulk(bigint, text, interval) IS 'Renews the lease of the runner on the run; false if it has ended or another runner has it';

CREATE FUNCTION ctms.claim_acoustic_bulk(run_id bigint, runner text, after uuid, batch_limit integer,
    retry_limit integer, OUT claimed bigint, OUT last_email_id uuid) RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run;
    held record;
BEGIN
    IF batch_limit IS NULL OR retry_limit IS NULL THEN
        RETURN;
    END IF;
    run := ctms._lock_acoustic_bulk(claim_acoustic_bulk.run_id, claim_acoustic_bulk.runner, ARRAY['claiming']);
    SELECT * INTO held FROM ctms._hold_acoustic('bulk ' || run.run_id, run.generation, run.hold_until, after,
        batch_limit, retry_limit);
    UPDATE ctms.acoustic_bulk_run r SET contacts = r.contacts + held.held,
        first_email_id = LEAST(r.first_email_id, held.first_email_id),
        last_email_id = GREATEST(r.last_email_id, held.last_email_id)
    WHERE r.run_id = run.run_id AND held.held > 0;
    claimed := held.held;
    last_email_id := CASE WHEN held.held = batch_limit THEN held.last_email_id END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ctms.claim_acoustic_bulk(bigint, text, uuid, integer, integer) IS 'Holds up to batch_limit contacts of the bulk lane for the run, in order of email_id, those after the given one (null: from the first). last_email_id is where to go on; null if nothing of the bulk lane comes after. Rows that others hold or are writing are passed over';

-- STABLE: it reads with the snapshot of the statement, which must also be that of the rows.
CREATE FUNCTION ctms.acoustic_bulk_page(run_id bigint, after uuid, batch_limit integer) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run;
BEGIN
    SELECT * INTO run FROM ctms.acoustic_bulk_run r WHERE r.run_id = acoustic_bulk_page.run_id;
    -- A snapshot from before the end of claiming would lack contacts that settling takes for sent.
    IF run.state IS DISTINCT FROM 'making' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('run %s is not making files', acoustic_bulk_page.run_id);
    END IF;
    RETURN COALESCE(ctms._held_acoustic('bulk ' || run.run_id, run.generation, run.first_email_id, after,
        run.last_email_id, batch_limit), '{}');
END
$$;
COMMENT ON FUNCTION ctms.acoustic_bulk_page(bigint, uuid, integer) IS 'The next contacts for the files of a run in state making, after the given one (null: from the first): held, and not changed since; none at the end. Call it in the snapshot in which the rows are read';

CREATE FUNCTION ctms.set_acoustic_bulk_state(run_id bigint, runner text, state text, error text DEFAULT NULL,
    is_given_up boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_end boolean := set_acoustic_bulk_state.state IN ('done', 'failed');
BEGIN
    PERFORM ctms._commit_durably();
    UPDATE ctms.acoustic_bulk_run r SET
        state = set_acoustic_bulk_state.state,
        error = COALESCE(left(set_acoustic_bulk_state.error, 2000), r.error),
        is_given_up = r.is_given_up OR COALESCE(set_acoustic_bulk_state.is_given_up, false),
        runner = CASE WHEN NOT is_end THEN r.runner END,
        lease_until = CASE WHEN NOT is_end THEN r.lease_until END,
        end_timestamp = CASE WHEN is_end THEN clock_timestamp() END
    WHERE r.run_id = set_acoustic_bulk_state.run_id AND r.runner = set_acoustic_bulk_state.runner AND r.end_timestamp IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ctms.set_acoustic_bulk_state(bigint, text, text, text, boolean) IS 'Moves the run to a state; done and failed end it. is_given_up: settling returns its contacts. False if it has ended or another runner has it';

CREATE FUNCTION ctms.put_acoustic_bulk_file(run_id bigint, runner text, kind text, attempt integer, name text,
    state text, row_count bigint, bytes bigint, job_id text, refused bigint, results_file text, error_file text,
    error text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    run ctms.acoustic_bulk_run := ctms._lock_acoustic_bulk(put_acoustic_bulk_file.run_id, put_acoustic_bulk_file.runner);
BEGIN
    IF run.run_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM ctms._commit_durably();
    INSERT INTO ctms.acoustic_bulk_file AS f (run_id, kind, attempt, name, state, row_count, bytes, job_id, refused,
        results_file, error_file, error)
    VALUES (run.run_id, put_acoustic_bulk_file.kind, put_acoustic_bulk_file.attempt, put_acoustic_bulk_file.name,
        put_acoustic_bulk_file.state, put_acoustic_bulk_file.row_count, put_acoustic_bulk_file.bytes,
        put_acoustic_bulk_file.job_id, COALESCE(put_acoustic_bulk_file.refused, 0), put_acoustic_bulk_file.results_file,
        put_acoustic_bulk_file.error_file, left(put_acoustic_bulk_file.error, 2000))
    ON CONFLICT (run_id, kind, attempt) DO UPDATE SET name = EXCLUDED.name, state = EXCLUDED.state,
        row_count = EXCLUDED.row_count, bytes = EXCLUDED.bytes, job_id = EXCLUDED.job_id, refused = EXCLUDED.refused,
        results_file = EXCLUDED.results_file, error_file = EXCLUDED.error_file, error = EXCLUDED.error;
    RETURN true;
END
$$;
COMMENT ON FUNCTION ctms.put_acoustic_bulk_file(bigint, text, text, integer, text, text, bigint, bigint, text, bigint, text, text, text) IS 'Notes a file of the run, or all that is known of it now. False if the run has ended or another runner has it';

CREATE FUNCTION ctms.fail_acoustic_bulk(run_id bigint, runner text, email_ids uuid[], errors text[],
    is_permanent boolean[], retry_limit integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run := ctms._lock_acoustic_bulk(fail_acoustic_bulk.run_id, fail_acoustic_bulk.runner,
        ARRAY['settling']);
    failed bigint;
BEGIN
    failed := ctms.fail_acoustic('bulk ' || run.run_id, email_ids, array_fill(run.generation, ARRAY[cardinality(email_ids)]),
        errors, is_permanent, retry_limit);
    UPDATE ctms.acoustic_bulk_run r SET refused = r.refused + failed WHERE r.run_id = run.run_id AND failed > 0;
    -- Those that changed meanwhile are free.
    IF failed > 0 THEN
        PERFORM ctms._wake_agents();
    END IF;
    RETURN failed;
END
$$;
COMMENT ON FUNCTION ctms.fail_acoustic_bulk(bigint, text, uuid[], text[], boolean[], integer) IS 'Gives these contacts of the run, of which Acoustic has refused a row, their error, as ctms.fail_acoustic(); returns how many the run still held. One that changed meanwhile is free';

CREATE FUNCTION ctms.settle_acoustic_bulk(run_id bigint, runner text, batch_limit integer DEFAULT 10000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run := ctms._lock_acoustic_bulk(settle_acoustic_bulk.run_id, settle_acoustic_bulk.runner,
        ARRAY['settling']);
    owner text := 'bulk ' || run.run_id;
    held uuid[];
    -- Another session may be deleting one of them for long: the others do not wait for it.
    is_rest boolean := false;
    generations bigint[];
    taken bigint;
    sent_ bigint := 0;
    returned_ bigint := 0;
BEGIN
    held := ctms._held_acoustic(owner, NULL, run.first_email_id, run.settled_email_id, run.last_email_id, batch_limit);
    IF held IS NULL THEN
        -- What another session held while its turn was. When the hold has ended, it is free by itself,
        -- and nobody is waited for.
        is_rest := true;
        held := (SELECT array_agg(h.email_id) FROM (
            SELECT p.email_id FROM ctms.pending_acoustic p
            WHERE p.is_bulk IN (false, true) AND p.retry_after = run.hold_until AND p.lease_owner = owner
                AND run.hold_until > clock_timestamp()
            UNION ALL
            SELECT d.email_id FROM ctms.acoustic_deleted_contact d
            WHERE d.retry_after = run.hold_until AND d.lease_owner = owner AND run.hold_until > clock_timestamp()
            LIMIT batch_limit) AS h);
    ELSE
        run.settled_email_id := held[cardinality(held)];
    END IF;
    taken := COALESCE(cardinality(held), 0);
    IF taken = 0 THEN
        UPDATE ctms.acoustic_bulk_run r SET changed = GREATEST(r.contacts - r.sent - r.refused - r.returned, 0)
        WHERE r.run_id = run.run_id;
        RETURN 0;
    END IF;
    IF run.is_given_up THEN
        returned_ := ctms._release_acoustic(owner, held, is_rest);
    ELSE
        -- Files cannot delete rows, and a note may be newer than the look of the claim: such a contact
        -- is freed like one that has changed. No row has the generation -1.
        generations := (SELECT array_agg(CASE WHEN EXISTS (SELECT FROM ctms.acoustic_deleted_row n WHERE n.email_id = h.email_id)
            THEN -1 ELSE run.generation END ORDER BY h.place) FROM unnest(held) WITH ORDINALITY AS h (email_id, place));
        sent_ := ctms._finish_acoustic(owner, held, generations, is_rest);
    END IF;
    UPDATE ctms.acoustic_bulk_run r SET sent = r.sent + sent_, returned = r.returned + returned_,
        settled_email_id = run.settled_email_id
    WHERE r.run_id = run.run_id;
    IF sent_ < taken THEN
        PERFORM ctms._wake_agents();
    END IF;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION ctms.settle_acoustic_bulk(bigint, text, integer) IS 'Settles up to batch_limit contacts that the run holds, in order of email_id: those that have not changed leave the queue, the others are free; if the run was given up, all are free. Returns how many it has looked at: call it until that is 0';

-- Runners may not read the tables themselves.
CREATE FUNCTION ctms.get_acoustic_bulk_run(run_id bigint) RETURNS SETOF ctms.acoustic_bulk_run
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM ctms.acoustic_bulk_run r WHERE r.run_id = get_acoustic_bulk_run.run_id
$$;
COMMENT ON FUNCTION ctms.get_acoustic_bulk_run(bigint) IS 'The run; no row if there is none of that number';

CREATE FUNCTION ctms.get_acoustic_bulk_files(run_id bigint) RETURNS SETOF ctms.acoustic_bulk_file
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM ctms.acoustic_bulk_file f WHERE f.run_id = get_acoustic_bulk_files.run_id
    ORDER BY f.attempt DESC, f.kind
$$;
COMMENT ON FUNCTION ctms.get_acoustic_bulk_files(bigint) IS 'The files of the run, those of its last attempt first';

GRANT EXECUTE ON FUNCTION ctms.begin_acoustic_bulk(text, interval, interval, boolean),
    ctms.keep_acoustic_bulk(bigint, text, interval),
    ctms.claim_acoustic_bulk(bigint, text, uuid, integer, integer),
    ctms.acoustic_bulk_page(bigint, uuid, integer),
    ctms.set_acoustic_bulk_state(bigint, text, text, text, boolean),
    ctms.put_acoustic_bulk_file(bigint, text, text, integer, text, text, bigint, bigint, text, bigint, text, text, text),
    ctms.fail_acoustic_bulk(bigint, text, uuid[], text[], boolean[], integer),
    ctms.settle_acoustic_bulk(bigint, text, integer),
    ctms.get_acoustic_bulk_run(bigint),
    ctms.get_acoustic_bulk_files(bigint) TO ctms_agent;

-- ---------------------------------------------------------------------------
-- Functions for operators and health checks.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.cancel_acoustic_bulk(run_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE ctms.acoustic_bulk_run r SET is_canceled = true
    WHERE r.end_timestamp IS NULL AND (cancel_acoustic_bulk.run_id IS NULL OR r.run_id = cancel_acoustic_bulk.run_id)
    RETURNING r.run_id
$$;
COMMENT ON FUNCTION ctms.cancel_acoustic_bulk(bigint) IS 'Asks the runner of the open run, or of that one, to give it up, which it does until the first import was started; its contacts wait in their lane again. Returns the run, or null if there is none';

CREATE FUNCTION ctms.acoustic_bulk_status(OUT run_id bigint, OUT state text, OUT runner text, OUT is_running boolean,
    OUT contacts bigint, OUT age_s double precision, OUT bulk_backlog bigint, OUT last_end_timestamp timestamptz,
    OUT last_state text, OUT last_contacts bigint, OUT last_error text,
    OUT files_left bigint)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.run_id, r.state, r.runner, COALESCE(r.lease_until > clock_timestamp(), false), r.contacts,
        EXTRACT(epoch FROM clock_timestamp() - r.create_timestamp)::double precision,
        l.backlog, e.end_timestamp, e.state, e.contacts, e.error,
        (SELECT count(*) FROM ctms.acoustic_bulk_file f JOIN ctms.acoustic_bulk_run b ON b.run_id = f.run_id
         WHERE b.end_timestamp IS NOT NULL AND f.state <> 'removed')
    FROM ctms.acoustic_lanes() AS l
    LEFT JOIN ctms.acoustic_bulk_run r ON r.end_timestamp IS NULL
    LEFT JOIN LATERAL (SELECT b.* FROM ctms.acoustic_bulk_run b WHERE b.end_timestamp IS NOT NULL
            -- When others were faster, a run has found nothing to do.
            AND (b.contacts > 0 OR b.state = 'failed')
        ORDER BY b.end_timestamp DESC, b.run_id DESC LIMIT 1) AS e ON true
    WHERE l.lane = 'bulk'
$$;
COMMENT ON FUNCTION ctms.acoustic_bulk_status() IS 'One row: the open run of files (nulls if there is none), whether a runner works on it, what waits in the bulk lane (as ctms.acoustic_lanes()), the run that ended last, and how many files could not be removed from the server of runs that have ended';
GRANT EXECUTE ON FUNCTION ctms.acoustic_bulk_status() TO ctms_agent, ctms_monitor, ctms_reader;
