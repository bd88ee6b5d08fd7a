-- ---------------------------------------------------------------------------
-- The guard against DROP EXTENSION, and against other names of our schema and tables
-- (extension/base/drop_guard.c).
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._watch_drops() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__watch_drops';
COMMENT ON FUNCTION ctms._watch_drops() IS 'Loads the library, which refuses to drop the extension while it holds contacts, and to rename its schema and tables';

-- Not written in C: if the library was uninstalled, these commands would fail for everyone.
CREATE FUNCTION ctms._guard_drop() RETURNS event_trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ctms._watch_drops();
    -- A table that a deferred trigger still waits for cannot be dropped.
    IF tg_tag LIKE 'DROP %' THEN
        SET CONSTRAINTS ctms.ctms_queue_flush IMMEDIATE;
        SET CONSTRAINTS ctms.ctms_queue_flush DEFERRED;
    END IF;
EXCEPTION
    WHEN undefined_file THEN
        RAISE WARNING 'the library of extension "ctms" is missing: it is not guarded';
    WHEN undefined_object OR invalid_schema_name THEN
        NULL; -- somebody has dropped the constraint, so it waits for nothing
END
$$;
COMMENT ON FUNCTION ctms._guard_drop() IS 'Event trigger on the commands that can drop the extension, or rename what it names';

REVOKE ALL ON FUNCTION ctms._watch_drops(), ctms._guard_drop() FROM PUBLIC;

CREATE EVENT TRIGGER ctms_guard_drop ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED', 'DROP LANGUAGE',
        'ALTER SCHEMA', 'ALTER TABLE', 'ALTER INDEX', 'ALTER SEQUENCE')
    EXECUTE FUNCTION ctms._guard_drop();
ALTER EVENT TRIGGER ctms_guard_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER ctms_guard_drop IS 'Refuses to drop the extension ctms while it holds contacts, unless ctms.allow_drop is on, and to rename its schema and tables';
