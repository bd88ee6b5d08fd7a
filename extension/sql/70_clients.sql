-- ---------------------------------------------------------------------------
-- Clients of the REST API: what the server reads about them, and how it is notified of changes.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.get_api_client(
    INOUT client_id text, OUT enabled boolean, OUT hashed_secret text)
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT PARALLEL SAFE ROWS 1
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.client_id::text, coalesce(c.enabled, true), c.hashed_secret
    FROM ctms.api_client AS c
    WHERE c.client_id = $1;
$$;
COMMENT ON FUNCTION ctms.get_api_client(text) IS 'A client of the REST API, with the argon2 hash of its secret; no row when the client is unknown';

CREATE FUNCTION ctms.touch_api_client(client_id text) RETURNS void
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Once a minute is enough; otherwise every request would make a row version.
    UPDATE ctms.api_client AS c SET last_access = now()
    WHERE c.client_id = $1
      AND (c.last_access IS NULL OR c.last_access < now() - interval '1 minute');
$$;
COMMENT ON FUNCTION ctms.touch_api_client(text) IS 'Sets last_access of a client to now, at most once a minute';

CREATE FUNCTION ctms._notify_api_client() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('ctms_api_client', '');
    RETURN NULL;
END
$$;

-- Servers remember clients and their secrets; last_access is not part of that.
CREATE TRIGGER ctms_api_client_notifies
    AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF client_id, enabled, hashed_secret
    ON ctms.api_client
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._notify_api_client();

GRANT EXECUTE ON FUNCTION ctms.get_api_client(text), ctms.touch_api_client(text) TO ctms_api;
