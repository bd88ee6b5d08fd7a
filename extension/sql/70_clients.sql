-- ---------------------------------------------------------------------------
-- Clients of the REST API: what the server reads about them, and how it is notified of changes.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.get_api_client(
    INOUT client_id text, OUT enabled boolean, OUT hashed_secret text, OUT create_timestamp timestamptz,
    OUT scopes text[])
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT PARALLEL SAFE ROWS 1
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.client_id::text, coalesce(c.enabled, false), c.hashed_secret, c.create_timestamp, c.scopes
    FROM ctms.api_client AS c
    WHERE c.client_id = $1;
$$;
COMMENT ON FUNCTION ctms.get_api_client(text) IS 'A client of the REST API, with the argon2 hash of its secret, the time at which it was made, and its scopes (NULL: all); no row when the client is unknown';

CREATE FUNCTION ctms.api_client_costs(OUT cost text, OUT clients bigint) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.cost, count(*)
    FROM (SELECT substring(a.hashed_secret::text COLLATE "C"
              FROM '^\$argon2(?:id|i|d)\$(?:v=\d+\$)?m=\d+,t=\d+,p=\d+\$') AS cost
          FROM ctms.api_client AS a) AS h
    WHERE h.cost IS NOT NULL
    GROUP BY h.cost
    ORDER BY h.cost;
$$;
COMMENT ON FUNCTION ctms.api_client_costs() IS 'What the hashes of clients begin with, up to their salt, and of how many clients; it says how much work a hash makes';

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
COMMENT ON FUNCTION ctms._notify_api_client() IS 'Tells the REST servers that a client has changed';

-- Servers remember clients and their secrets; last_access is not part of that. A client that is
-- disabled elsewhere, and here by logical replication, must be forgotten too.
CREATE TRIGGER ctms_api_client_notifies
    AFTER INSERT OR DELETE ON ctms.api_client
    FOR EACH ROW EXECUTE FUNCTION ctms._notify_api_client();
CREATE TRIGGER ctms_api_client_notifies_change
    AFTER UPDATE ON ctms.api_client FOR EACH ROW
    WHEN (OLD.client_id IS DISTINCT FROM NEW.client_id OR OLD.enabled IS DISTINCT FROM NEW.enabled
          OR OLD.hashed_secret IS DISTINCT FROM NEW.hashed_secret
          OR OLD.create_timestamp IS DISTINCT FROM NEW.create_timestamp OR OLD.scopes IS DISTINCT FROM NEW.scopes)
    EXECUTE FUNCTION ctms._notify_api_client();
CREATE TRIGGER ctms_api_client_notifies_truncate
    AFTER TRUNCATE ON ctms.api_client
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._notify_api_client();
ALTER TABLE ctms.api_client
    ENABLE ALWAYS TRIGGER ctms_api_client_notifies,
    ENABLE ALWAYS TRIGGER ctms_api_client_notifies_change,
    ENABLE ALWAYS TRIGGER ctms_api_client_notifies_truncate;

GRANT EXECUTE ON FUNCTION ctms.get_api_client(text), ctms.touch_api_client(text),
    ctms.api_client_costs() TO ctms_api;
