-- ---------------------------------------------------------------------------
-- The version of the library that the session has loaded. It differs from the extension's while a
-- server that loaded an older library at its start has not been restarted.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.library_version() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_library_version';
COMMENT ON FUNCTION ctms.library_version() IS 'The version of the library that this session has loaded; pg_extension has that of the SQL objects';
REVOKE ALL ON FUNCTION ctms.library_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.library_version() TO ctms_api, ctms_agent, ctms_reader, ctms_admin;
