-- ---------------------------------------------------------------------------
-- Whoever may execute a trigger function can attach it to a table of his own, where those that
-- run as their owner would do his bidding. Only the owner of the extension makes triggers, and
-- firing one needs no privilege: so nobody may execute them.
-- ---------------------------------------------------------------------------

DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'ctms'::regnamespace
          AND p.prorettype IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
        ORDER BY p.oid
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, ctms_api, ctms_agent, ctms_admin, ctms_reader, ctms_monitor', function);
    END LOOP;
END
$$;
