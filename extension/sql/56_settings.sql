-- ---------------------------------------------------------------------------
-- Settings: what is the same for every session of the database, and survives a dump. Only what was
-- set has a row, so a new version may bring new defaults. Names, types, defaults and limits are in
-- extension/base/settings_rules.c; sessions keep the values until a row changes
-- (extension/base/settings.c).
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.settings (
    name text PRIMARY KEY,
    value text NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ctms.settings IS 'Settings that differ from their defaults, or were set to them; ctms.list_settings() shows all';
COMMENT ON COLUMN ctms.settings.name IS 'One of the names that ctms.list_settings() shows; others come from a dump of a newer version, and are ignored';
COMMENT ON COLUMN ctms.settings.value IS 'on, off, a number, or a duration such as 10min';
COMMENT ON COLUMN ctms.settings.create_timestamp IS 'When the setting was first set';
COMMENT ON COLUMN ctms.settings.update_timestamp IS 'When its value last changed';

CREATE FUNCTION ctms._check_setting() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_setting';
COMMENT ON FUNCTION ctms._check_setting() IS 'Row trigger BEFORE INSERT, UPDATE or DELETE: refuses unknown names and bad values (22023), and settings that are not for the user (42501)';

CREATE TRIGGER ctms_settings_check BEFORE INSERT OR UPDATE OR DELETE ON ctms.settings
    FOR EACH ROW EXECUTE FUNCTION ctms._check_setting();
CREATE TRIGGER ctms_settings_update_timestamp BEFORE UPDATE ON ctms.settings
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
-- These are for changes that were not checked here too.
CREATE TRIGGER ctms_settings_invalidate
    AFTER INSERT OR UPDATE OR DELETE ON ctms.settings
    FOR EACH ROW EXECUTE FUNCTION ctms._invalidate_table();
CREATE TRIGGER ctms_settings_invalidate_all
    AFTER TRUNCATE ON ctms.settings
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._invalidate_table();
ALTER TABLE ctms.settings
    ENABLE ALWAYS TRIGGER ctms_settings_invalidate,
    ENABLE ALWAYS TRIGGER ctms_settings_invalidate_all;

CREATE FUNCTION ctms.get_setting(name text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_get_setting';
COMMENT ON FUNCTION ctms.get_setting(text) IS 'The value of a setting now: on, off, a number, or a duration that can be cast to interval';

CREATE FUNCTION ctms.list_settings(OUT name text, OUT value text, OUT default_value text, OUT type text,
    OUT min_value text, OUT max_value text, OUT description text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 6 AS 'MODULE_PATHNAME', 'ctms_list_settings';
COMMENT ON FUNCTION ctms.list_settings() IS 'All settings with their values now, by name; warns of rows that this version ignores';

-- Not SECURITY DEFINER: the trigger asks who it is.
CREATE FUNCTION ctms.set_setting(name text, value text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF set_setting.name IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the name of a setting must not be null';
    ELSIF set_setting.value IS NULL THEN
        DELETE FROM ctms.settings AS s WHERE s.name = set_setting.name;
        IF FOUND AND NOT EXISTS (SELECT FROM ctms.list_settings() AS l WHERE l.name = set_setting.name) THEN
            RETURN NULL; -- it came from a dump of a newer version
        END IF;
    ELSE
        INSERT INTO ctms.settings AS s (name, value) VALUES (set_setting.name, set_setting.value)
        ON CONFLICT ON CONSTRAINT settings_pkey DO UPDATE SET value = excluded.value
        WHERE s.value <> excluded.value;
    END IF;
    RETURN ctms.get_setting(set_setting.name);
END
$$;
COMMENT ON FUNCTION ctms.set_setting(text, text) IS 'Changes a setting for every session, at once when it is committed; null takes it back to its default. Returns the value that it has then';

GRANT EXECUTE ON FUNCTION ctms.get_setting(text), ctms.list_settings() TO ctms_reader;
