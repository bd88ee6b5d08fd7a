-- ---------------------------------------------------------------------------
-- The description of contacts for the REST API.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.contact_schemas() RETURNS json
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ctms_contact_schemas';
COMMENT ON FUNCTION ctms.contact_schemas() IS
    'JSON Schemas, by name, of contacts in bodies (new_contact, changed_contact), in answers (contact), and of their groups';
GRANT EXECUTE ON FUNCTION ctms.contact_schemas() TO ctms_api, ctms_reader;
