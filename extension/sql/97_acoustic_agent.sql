-- ---------------------------------------------------------------------------
-- How agents share the requests that Acoustic allows to be in flight at a time.
--
-- The table has only the state of running agents, so it is not dumped (it comes after 95_dump.sql).
-- It is logged, because after a crash of the server agents still use the slots that they have, and
-- these must not be given out twice. Slots that an agent does not give back become free when its
-- lease ends, so the sum of all slots never exceeds the total, even if agents die.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.acoustic_agent (
    agent text PRIMARY KEY,
    slots integer NOT NULL,
    wanted integer NOT NULL,
    lease_until timestamptz NOT NULL,
    contacts_per_second double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE ctms.acoustic_agent IS 'Agents that run, and how many requests to Acoustic each may have in flight';
COMMENT ON COLUMN ctms.acoustic_agent.agent IS 'Host, process and a random number; the owner of its leases in ctms.pending_acoustic';
COMMENT ON COLUMN ctms.acoustic_agent.slots IS 'Requests that the agent may have, or still has, in flight';
COMMENT ON COLUMN ctms.acoustic_agent.wanted IS 'Number of requests that the agent could use now';
COMMENT ON COLUMN ctms.acoustic_agent.lease_until IS 'When its slots become free, unless the agent asks again before';
COMMENT ON COLUMN ctms.acoustic_agent.contacts_per_second IS 'Contacts that it sends a second while more wait to be sent, on average of about a minute; 0: none had to wait in the last five minutes';
REVOKE ALL ON ctms.acoustic_agent FROM PUBLIC;
GRANT SELECT ON ctms.acoustic_agent TO ctms_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ctms.acoustic_agent TO ctms_admin;

CREATE FUNCTION ctms.acoustic_rate() RETURNS double precision
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Agents report thousandths. Less is nothing, so that a number of contacts may be divided by it.
    SELECT sum(a.contacts_per_second::double precision) FROM ctms.acoustic_agent a WHERE a.lease_until > clock_timestamp()
    HAVING sum(a.contacts_per_second::double precision) >= 0.001
$$;
COMMENT ON FUNCTION ctms.acoustic_rate() IS 'Contacts that all agents together send a second while more wait to be sent, as they measured it in the last minutes; null when no agent runs, or when none had to wait';
REVOKE ALL ON FUNCTION ctms.acoustic_rate() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.acoustic_rate() TO ctms_admin, ctms_reader, ctms_monitor;

CREATE FUNCTION ctms.share_acoustic(agent text, wanted integer, in_use integer, total integer, lease interval,
    contacts_per_second double precision DEFAULT 0)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_ timestamptz;
    left_ integer := share_acoustic.total;
    others integer := 0;  -- slots of the other agents
    agents integer;
    share integer := 0;
    row_ record;
BEGIN
    IF agent = '' OR wanted < 0 OR in_use < 0 OR total < 1 OR lease <= interval '0' THEN
        RAISE invalid_parameter_value USING MESSAGE =
            'an agent must have a name, whole numbers for "wanted" and "in_use", and a positive "total" and "lease"';
    END IF;
    IF NOT contacts_per_second BETWEEN 0 AND 1e9 THEN
        RAISE invalid_parameter_value USING MESSAGE = '"contacts_per_second" must be between 0 and 1e9';
    END IF;
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        -- The snapshot is older than the lock, so slots that others got in between would be given twice.
        RAISE feature_not_supported USING
            MESSAGE = format('requests cannot be shared in a %s transaction', current_setting('transaction_isolation')),
            HINT = 'Call it in a READ COMMITTED transaction.';
    END IF;
    -- Requests are sent when this is committed, so a crash must not undo it.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
    -- One at a time, because a share is computed from the rows of all agents. The lock is on the
    -- table, because any role may take an advisory lock, and hold it.
    LOCK TABLE ctms.acoustic_agent IN SHARE ROW EXCLUSIVE MODE;
    now_ := clock_timestamp();
    DELETE FROM ctms.acoustic_agent a WHERE a.lease_until <= now_;
    IF wanted = 0 AND in_use = 0 THEN
        DELETE FROM ctms.acoustic_agent a WHERE a.agent = share_acoustic.agent;
        RETURN 0;
    END IF;
    INSERT INTO ctms.acoustic_agent AS a (agent, slots, wanted, lease_until, contacts_per_second)
    VALUES (share_acoustic.agent, in_use, share_acoustic.wanted, now_ + lease, share_acoustic.contacts_per_second)
    ON CONFLICT ON CONSTRAINT acoustic_agent_pkey DO UPDATE SET
        slots = GREATEST(a.slots, EXCLUDED.slots), wanted = EXCLUDED.wanted, lease_until = EXCLUDED.lease_until,
        contacts_per_second = EXCLUDED.contacts_per_second;

    -- Agents that want little get what they want; the others share the rest in equal parts. If there
    -- are fewer requests than agents, those that want most come first.
    agents := (SELECT count(*) FROM ctms.acoustic_agent);
    FOR row_ IN
        SELECT a.agent, a.slots, a.wanted FROM ctms.acoustic_agent a
        ORDER BY CASE WHEN agents > share_acoustic.total THEN -a.wanted ELSE a.wanted END, a.agent
    LOOP
        IF row_.agent = share_acoustic.agent THEN
            share := LEAST(row_.wanted, (left_ + agents - 1) / agents);
        ELSE
            others := others + row_.slots;
        END IF;
        left_ := left_ - LEAST(row_.wanted, (left_ + agents - 1) / agents);
        agents := agents - 1;
    END LOOP;
    -- Slots that others have not given back yet are not available.
    share := GREATEST(LEAST(share, total - others), 0);
    UPDATE ctms.acoustic_agent a SET slots = GREATEST(share, in_use) WHERE a.agent = share_acoustic.agent;
    RETURN share;
END
$$;
COMMENT ON FUNCTION ctms.share_acoustic(text, integer, integer, integer, interval, double precision) IS 'How many requests to Acoustic the agent may have in flight until the lease ends: its fair part of total, as far as other agents have given back theirs; with wanted and in_use zero, the agent is removed. contacts_per_second is for ctms.acoustic_rate()';
REVOKE ALL ON FUNCTION ctms.share_acoustic(text, integer, integer, integer, interval, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.share_acoustic(text, integer, integer, integer, interval, double precision) TO ctms_agent, ctms_admin;

CREATE FUNCTION ctms._acoustic_age(retry_limit integer, is_bulk boolean) RETURNS double precision
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT GREATEST(COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(oldest.create_timestamp)), 0), 0)
    FROM generate_series(0, LEAST(retry_limit, 1000) - 1) AS tried (retry)
    CROSS JOIN LATERAL (
        SELECT p.create_timestamp FROM ctms.pending_acoustic p
        WHERE p.is_bulk = _acoustic_age.is_bulk AND p.retry_after IS NULL AND p.retry = tried.retry
        -- The order of the index, so that it reads one entry of each.
        ORDER BY p.retry_after NULLS FIRST, p.retry, p.create_timestamp LIMIT 1) AS oldest
$$;
COMMENT ON FUNCTION ctms._acoustic_age(integer, boolean) IS 'Age in seconds of the oldest change in a lane that is ready to be sent, or is being sent; 0 when there is none';
REVOKE ALL ON FUNCTION ctms._acoustic_age(integer, boolean) FROM PUBLIC;
