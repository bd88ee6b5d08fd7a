-- ---------------------------------------------------------------------------
-- Privileges. Each part grants its own functions; nothing is granted to PUBLIC.
-- ---------------------------------------------------------------------------

REVOKE ALL ON ALL TABLES IN SCHEMA ctms FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA ctms FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ctms FROM PUBLIC;
REVOKE ALL ON TYPE ctms.json_schema, ctms.segment FROM PUBLIC;
GRANT USAGE ON TYPE ctms.json_schema, ctms.segment TO ctms_api, ctms_agent, ctms_admin, ctms_reader;

GRANT SELECT ON ALL TABLES IN SCHEMA ctms TO ctms_reader;
REVOKE ALL ON ctms.api_client FROM ctms_reader;
GRANT SELECT (client_id, email, enabled, scopes, last_access, create_timestamp, update_timestamp)
    ON ctms.api_client TO ctms_reader;
REVOKE ALL ON ctms.stripe_refused FROM ctms_reader;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ctms TO ctms_admin;
-- "All tables" includes views, which are for reading.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'v' ORDER BY c.oid
    LOOP
        EXECUTE pg_catalog.format('REVOKE INSERT, UPDATE, DELETE ON %s FROM ctms_admin', relation);
    END LOOP;
END
$$;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ctms TO ctms_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ctms TO ctms_admin;

-- The programs keep the parameters of their statements, addresses among them, out of the server's
-- log. Whoever may set this could only hide his own. extension/base/parameter_grant.c says why it is
-- done there.
CREATE FUNCTION ctms._grant_parameter() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__grant_parameter';
SELECT ctms._grant_parameter();
DROP FUNCTION ctms._grant_parameter();
