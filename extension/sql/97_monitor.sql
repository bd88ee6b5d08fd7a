-- ---------------------------------------------------------------------------
-- What a monitoring system watches, for the role ctms_monitor: numbers alone, and no personal data.
-- It is cheap enough to ask for every few seconds: no count goes on for long.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.monitor(retry_limit integer DEFAULT 6, OUT backlog bigint, OUT retry_backlog bigint,
    OUT given_up bigint, OUT oldest_age_s double precision, OUT deletions bigint, OUT agents bigint,
    OUT agent_slots bigint, OUT agent_wanted bigint, OUT stripe_unresolved bigint, OUT stripe_refused bigint, OUT contacts bigint,
    OUT is_replica integer)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.backlog, b.retry_backlog,
        (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic p
            WHERE p.is_bulk IN (false, true) AND p.retry_after = 'infinity' LIMIT 10000) AS up_to),
        ctms._acoustic_age(monitor.retry_limit, false),
        (SELECT count(*) FROM (SELECT FROM ctms.acoustic_deleted_contact d
            WHERE d.is_to_send LIMIT 10000) AS up_to),
        a.agents, a.slots, a.wanted,
        (SELECT count(*) FROM (SELECT FROM ctms.stripe_unresolved LIMIT 10000) AS up_to),
        ctms.count_stripe_refused(),
        (SELECT NULLIF(c.reltuples, -1)::bigint FROM pg_class c WHERE c.oid = 'ctms.emails'::regclass),
        pg_is_in_recovery()::integer
    FROM ctms.acoustic_backlog(monitor.retry_limit) AS b
    CROSS JOIN (SELECT count(*) AS agents, COALESCE(sum(s.slots), 0)::bigint AS slots,
            COALESCE(sum(s.wanted), 0)::bigint AS wanted
        FROM ctms.acoustic_agent s WHERE s.lease_until > clock_timestamp()) AS a
$$;
COMMENT ON FUNCTION ctms.monitor(integer) IS 'One row of numbers: contacts that wait and that have failed (as ctms.acoustic_backlog()), that wait for their next change (given_up), the age in seconds of the oldest in the live lane (as ctms.acoustic_lanes()); deletions that wait; agents, the requests that they may have in flight, and that they want; Stripe objects without a contact so far; Stripe objects and messages that were refused and are kept; contacts, estimated from statistics (null before the first ANALYZE); 1 on a replica. Counts of given_up, deletions and stripe_unresolved end at 10000';
REVOKE ALL ON FUNCTION ctms.monitor(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.monitor(integer) TO ctms_monitor, ctms_reader, ctms_admin;
