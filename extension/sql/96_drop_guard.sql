-- ---------------------------------------------------------------------------
-- The guard against DROP EXTENSION, and against other names of our schema and tables
-- (extension/base/drop_guard.c); and the warning of changes that pg_dump leaves out
-- (extension/base/dump_warning.c).
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

CREATE FUNCTION ctms._warn_of_change(command pg_catalog.pg_ddl_command, object text) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__warn_of_change';
COMMENT ON FUNCTION ctms._warn_of_change(pg_catalog.pg_ddl_command, text) IS 'Warns, once a session, that pg_dump leaves out a change of an object of the extension';

-- What belongs to a table (a trigger, an index, a policy) is no member of the extension itself, but
-- depends on it. What is done to a parent of a table, is done to the table too.
CREATE FUNCTION ctms._warn_of_changes() RETURNS event_trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    extension oid := (SELECT e.oid FROM pg_extension e WHERE e.extname = 'ctms');
BEGIN
    IF extension IS NULL OR ctms._is_restoring() THEN
        RETURN;
    END IF;
    PERFORM ctms._warn_of_change(c.command, (pg_identify_object(o.classid, o.objid, 0)).identity)
    FROM pg_event_trigger_ddl_commands() c
    CROSS JOIN LATERAL (
        SELECT c.classid, c.objid
        UNION SELECT d.refclassid, d.refobjid FROM pg_depend d
            WHERE d.classid = c.classid AND d.objid = c.objid AND d.deptype = 'a'
        UNION SELECT 'pg_class'::regclass, r.prrelid FROM pg_publication_rel r
            WHERE c.classid = 'pg_publication'::regclass AND r.prpubid = c.objid
        UNION SELECT 'pg_class'::regclass, i.inhrelid FROM pg_inherits i
            WHERE c.command_tag = 'ALTER TABLE' AND i.inhparent = c.objid
    ) AS o (classid, objid)
    WHERE NOT c.in_extension
      -- From 18 on dumps have the tables of publications.
      AND (c.classid NOT IN ('pg_publication'::regclass, 'pg_publication_rel'::regclass)
          OR current_setting('server_version_num')::integer < 180000)
      AND EXISTS (SELECT FROM pg_depend m WHERE m.classid = o.classid AND m.objid = o.objid
          AND m.deptype = 'e' AND m.refclassid = 'pg_extension'::regclass AND m.refobjid = extension);
    IF tg_tag = 'ALTER SCHEMA' AND EXISTS (
        SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        WHERE n.nspname = 'ctms' AND NOT r.rolsuper) THEN
        RAISE WARNING 'a restored database will lack extension "ctms"' USING
            DETAIL = 'CREATE EXTENSION refuses a schema that belongs to a role that is no superuser.',
            HINT = 'Give the schema back to the owner of the extension.';
    END IF;
EXCEPTION
    WHEN OTHERS THEN
        NULL; -- a warning is no reason to fail, as when the library is missing
END
$$;
COMMENT ON FUNCTION ctms._warn_of_changes() IS 'Event trigger on the commands that change objects of the extension in ways that pg_dump leaves out';

REVOKE ALL ON FUNCTION ctms._warn_of_change(pg_catalog.pg_ddl_command, text), ctms._warn_of_changes() FROM PUBLIC;

CREATE EVENT TRIGGER ctms_warn_of_changes ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER INDEX', 'ALTER SEQUENCE', 'ALTER SCHEMA', 'ALTER VIEW', 'CREATE INDEX', 'CREATE TRIGGER',
        'ALTER TRIGGER', 'CREATE RULE', 'ALTER RULE', 'CREATE VIEW', 'CREATE POLICY', 'ALTER POLICY', 'CREATE STATISTICS',
        'ALTER STATISTICS', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE', 'COMMENT',
        'CREATE PUBLICATION', 'ALTER PUBLICATION')
    EXECUTE FUNCTION ctms._warn_of_changes();
ALTER EVENT TRIGGER ctms_warn_of_changes ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER ctms_warn_of_changes IS 'Warns of changes of the extension''s objects that pg_dump leaves out';
