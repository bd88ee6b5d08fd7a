-- ---------------------------------------------------------------------------
-- Contacts: the functions that the REST server calls, one for each endpoint. Bodies are text
-- and parsed here, so that an error can name the offset; results are JSON text.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.parse_body(body text) RETURNS jsonb
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ctms_parse_body';
COMMENT ON FUNCTION ctms.parse_body(text) IS
    'JSON text to jsonb; SQLSTATE CT422 with the offset for anything else';

CREATE FUNCTION ctms.get_contact(email_id uuid) RETURNS json
    LANGUAGE c STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_contact';
COMMENT ON FUNCTION ctms.get_contact(uuid) IS
    'The contact as REST shows it, null when there is no such contact';

CREATE FUNCTION ctms.get_identity(email_id uuid) RETURNS json
    LANGUAGE c STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_identity';
COMMENT ON FUNCTION ctms.get_identity(uuid) IS
    'The ids that a contact is known by, null when there is no such contact';

CREATE FUNCTION ctms.find_contacts(
    email_id uuid DEFAULT NULL, primary_email text DEFAULT NULL, basket_token text DEFAULT NULL,
    sfdc_id text DEFAULT NULL, mofo_contact_id text DEFAULT NULL, mofo_email_id text DEFAULT NULL,
    amo_user_id text DEFAULT NULL, fxa_id text DEFAULT NULL, fxa_primary_email text DEFAULT NULL
) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_find_contacts';
COMMENT ON FUNCTION ctms.find_contacts(uuid, text, text, text, text, text, text, text, text) IS
    'Array of the contacts that match all given ids, addresses without regard to case; SQLSTATE CT400 when none is given';

CREATE FUNCTION ctms.find_identities(
    email_id uuid DEFAULT NULL, primary_email text DEFAULT NULL, basket_token text DEFAULT NULL,
    sfdc_id text DEFAULT NULL, mofo_contact_id text DEFAULT NULL, mofo_email_id text DEFAULT NULL,
    amo_user_id text DEFAULT NULL, fxa_id text DEFAULT NULL, fxa_primary_email text DEFAULT NULL
) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_find_identities';
COMMENT ON FUNCTION ctms.find_identities(uuid, text, text, text, text, text, text, text, text) IS
    'Like ctms.find_contacts(), but only the ids of each contact';

CREATE FUNCTION ctms.create_contact(
    body text, OUT email_id uuid, OUT is_created boolean, OUT contact json
) RETURNS record
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_create_contact';
COMMENT ON FUNCTION ctms.create_contact(text) IS
    'Creates a contact, or finds the one that the same body made before; SQLSTATE CT409 when it exists with other content, CT422 with the list of errors';

CREATE FUNCTION ctms.put_contact(email_id uuid, body text) RETURNS json
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_put_contact';
COMMENT ON FUNCTION ctms.put_contact(uuid, text) IS
    'Creates or replaces a whole contact; SQLSTATE CT409, CT422 as ctms.create_contact()';

CREATE FUNCTION ctms.patch_contact(email_id uuid, body text) RETURNS json
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_patch_contact';
COMMENT ON FUNCTION ctms.patch_contact(uuid, text) IS
    'Changes the fields that are in the body; SQLSTATE CT404 when there is no such contact, CT409, CT422 as ctms.create_contact()';

CREATE FUNCTION ctms.delete_contact(primary_email text) RETURNS json
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_delete_contact';
COMMENT ON FUNCTION ctms.delete_contact(text) IS
    'Deletes everything about the contact with this address, including Stripe objects; returns an array of the deleted identities, null when there is no such contact';

CREATE FUNCTION ctms.get_updates(
    start text, "end" text DEFAULT NULL, "limit" text DEFAULT NULL, after text DEFAULT NULL,
    mofo_relevant text DEFAULT NULL, url_prefix text DEFAULT NULL
) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_updates';
COMMENT ON FUNCTION ctms.get_updates(text, text, text, text, text, text) IS
    'A page of contacts by update time; the parameters are the unparsed ones of GET /updates, and url_prefix comes before "/updates" in "next"';

CREATE FUNCTION ctms.get_updates_parts(
    start text, "end" text DEFAULT NULL, "limit" text DEFAULT NULL, after text DEFAULT NULL,
    mofo_relevant text DEFAULT NULL, url_prefix text DEFAULT NULL
) RETURNS SETOF text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 10 SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_updates_parts';
COMMENT ON FUNCTION ctms.get_updates_parts(text, text, text, text, text, text) IS
    'The text of ctms.get_updates() in parts of at most 100 contacts, each made when it is requested; in order if the function is called in the select list';

GRANT EXECUTE ON FUNCTION
    ctms.parse_body(text),
    ctms.get_contact(uuid),
    ctms.get_identity(uuid),
    ctms.find_contacts(uuid, text, text, text, text, text, text, text, text),
    ctms.find_identities(uuid, text, text, text, text, text, text, text, text),
    ctms.get_updates(text, text, text, text, text, text),
    ctms.get_updates_parts(text, text, text, text, text, text)
    TO ctms_api, ctms_reader;
GRANT EXECUTE ON FUNCTION
    ctms.create_contact(text),
    ctms.put_contact(uuid, text),
    ctms.patch_contact(uuid, text),
    ctms.delete_contact(text)
    TO ctms_api;
