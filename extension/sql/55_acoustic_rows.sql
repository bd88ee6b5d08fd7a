-- ---------------------------------------------------------------------------
-- What is sent to Acoustic.
-- ---------------------------------------------------------------------------

-- TimeZone and DateStyle are how fxa.created_date is read where it does not say.
-- Its statements are cheap for the few contacts that are asked for, but the planner cannot know how
-- many that will be, and compiling them would take a hundred times as long as running them.
CREATE FUNCTION ctms.acoustic_rows(email_ids uuid[])
    RETURNS TABLE (email_id uuid, kind text, fields json)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_rows';
COMMENT ON FUNCTION ctms.acoustic_rows(uuid[]) IS 'What Acoustic is to know of these contacts: in order of email_id, for each its main row, then its newsletters, waitlists and products by name; fields is an object of texts in a fixed order, email_id first';

GRANT EXECUTE ON FUNCTION ctms.acoustic_rows(uuid[]) TO ctms_agent;
