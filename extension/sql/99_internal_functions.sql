-- ---------------------------------------------------------------------------
-- Functions whose names begin with "_" are for nobody. Trigger functions are among them: whoever may
-- execute one can attach it to a table of his own, where those that run as their owner would do his
-- bidding. Only the owner of the extension makes triggers, and firing one needs no privilege.
-- ---------------------------------------------------------------------------

DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'ctms'::regnamespace AND p.proname LIKE '\_%'
        ORDER BY p.oid
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, ctms_api, ctms_agent, ctms_admin, ctms_reader, ctms_monitor', function);
    END LOOP;
END
$$;

-- Functions that must run as their caller call it, so that row security holds.
GRANT EXECUTE ON FUNCTION ctms._require_waitlist(text) TO ctms_admin, ctms_reader;
