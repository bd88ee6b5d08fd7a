-- ---------------------------------------------------------------------------
-- Waitlists: their fields are checked against the schema of their name, for every writer.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._check_waitlist_fields() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_waitlist_fields';
COMMENT ON FUNCTION ctms._check_waitlist_fields() IS 'Refuses fields that break the schema of their waitlist (CT001)';

CREATE TRIGGER ctms_waitlists_check_fields
    BEFORE INSERT OR UPDATE ON ctms.waitlists
    FOR EACH ROW EXECUTE FUNCTION ctms._check_waitlist_fields();

CREATE FUNCTION ctms._lock_waitlists() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__lock_waitlists';
COMMENT ON FUNCTION ctms._lock_waitlists() IS 'Keeps waitlists from being stored while schemas change';

CREATE FUNCTION ctms._check_waitlist_schema() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_waitlist_schema';
COMMENT ON FUNCTION ctms._check_waitlist_schema() IS 'Refuses a schema that is not valid JSON Schema (22023)';

CREATE TRIGGER ctms_waitlist_fields_schemas_lock
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ctms.waitlist_fields_schemas
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._lock_waitlists();
CREATE TRIGGER ctms_waitlist_fields_schemas_check
    BEFORE INSERT OR UPDATE ON ctms.waitlist_fields_schemas
    FOR EACH ROW EXECUTE FUNCTION ctms._check_waitlist_schema();
-- These are for changes that were not checked here too.
CREATE TRIGGER ctms_waitlist_fields_schemas_invalidate
    AFTER INSERT OR UPDATE OR DELETE ON ctms.waitlist_fields_schemas
    FOR EACH ROW EXECUTE FUNCTION ctms._invalidate_table();
CREATE TRIGGER ctms_waitlist_fields_schemas_invalidate_all
    AFTER TRUNCATE ON ctms.waitlist_fields_schemas
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._invalidate_table();
ALTER TABLE ctms.waitlist_fields_schemas
    ENABLE ALWAYS TRIGGER ctms_waitlist_fields_schemas_invalidate,
    ENABLE ALWAYS TRIGGER ctms_waitlist_fields_schemas_invalidate_all;

-- The evaluator words its errors; this adds which field, and what is there. Names in "lacks" are
-- taken apart for the reader alone: one that holds quotes and commas may be read as two.
CREATE FUNCTION ctms.explain_waitlist_fields(schema jsonb, fields jsonb) RETURNS text[]
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(r.reason ORDER BY e.number, r.place), '{}')
    FROM ctms.json_schema_errors(explain_waitlist_fields.schema, explain_waitlist_fields.fields)
        WITH ORDINALITY AS e(location, absolute, instance, keyword, error, number),
        -- What is before the first slash is no name; what is after the last one is, even if empty.
        LATERAL (SELECT (ARRAY(SELECT replace(replace(t, '~1', '/'), '~0', '~')
                               FROM string_to_table(e.instance, '/') AS t))[2:] AS path) AS p,
        LATERAL (SELECT explain_waitlist_fields.fields #> p.path AS value) AS v,
        LATERAL (SELECT e.location ~ '(?<!/properties)/propertyNames/' AS is_name) AS n,
        LATERAL (
            SELECT CASE WHEN m.place <= 21 THEN format('field "%s" is missing', array_to_string(p.path || m.name, '.'))
                        ELSE 'and more' END AS reason, m.place
            FROM string_to_table('",' || substr(left(e.error, -1), 6), '", "') WITH ORDINALITY AS m(name, place)
            WHERE e.keyword = 'required' AND e.number <= 20 AND m.place BETWEEN 2 AND 22
            UNION ALL
            SELECT CASE WHEN cardinality(p.path) = 0 THEN 'the row '
                        ELSE format(CASE WHEN n.is_name THEN 'the name of ' ELSE '' END || 'field "%s" ',
                                    array_to_string(p.path, '.')) END || e.error
                || CASE WHEN n.is_name OR e.error = 'is not allowed' THEN ''
                        WHEN jsonb_typeof(v.value) IN ('object', 'array')
                        THEN CASE e.keyword WHEN 'type' THEN ', is an ' || jsonb_typeof(v.value) ELSE '' END
                        WHEN length(v.value::text) > 60 THEN ', is ' || left(v.value::text, 57) || '...'
                        ELSE coalesce(', is ' || v.value::text, '') END, 0
            WHERE e.keyword IS DISTINCT FROM 'required' AND e.number <= 20
            UNION ALL
            SELECT 'and more', 0 WHERE e.number = 21) AS r
$$;
COMMENT ON FUNCTION ctms.explain_waitlist_fields(jsonb, jsonb) IS 'Why a schema refuses the fields of a waitlist, in words with the values that are there; an empty array if it accepts them';

-- Stored rows that a schema would refuse: how many, and the first ones with reasons but without
-- values and addresses, because this gets into the server's log. Rows of names without a schema of
-- their own count for "default".
CREATE FUNCTION ctms._failing_waitlists(waitlist_name text, new_schema jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failing bigint;
    examples jsonb;
BEGIN
    SELECT count(*), coalesce(jsonb_agg(jsonb_build_object('email_id', f.email_id::text, 'name', f.name, 'errors', (
            SELECT jsonb_agg(jsonb_build_object('instanceLocation', e.instance_location,
                'keyword', e.keyword, 'keywordLocation', e.keyword_location, 'error', e.error))
            FROM ctms.json_schema_errors(new_schema, f.fields) AS e))
            ORDER BY f.id) FILTER (WHERE f.number <= 10), '[]')
    INTO failing, examples
    FROM (
        SELECT w.id, w.email_id, w.name, w.fields, row_number() OVER (ORDER BY w.id) AS number
        FROM ctms.waitlists AS w
        -- CASE, so that rows of other names are not judged at all.
        WHERE CASE WHEN CASE WHEN waitlist_name = 'default'
                             THEN NOT EXISTS (SELECT FROM ctms.waitlist_fields_schemas AS s
                                              WHERE s.name = w.name AND s.name <> 'default')
                             ELSE w.name = waitlist_name END
                   THEN NOT ctms.json_schema_is_valid(new_schema, w.fields)
                   ELSE false END
    ) AS f;
    RETURN jsonb_build_object('failing_rows', failing, 'examples', examples);
END
$$;
COMMENT ON FUNCTION ctms._failing_waitlists(text, jsonb) IS 'Stored rows that a schema would refuse: number and first examples';

CREATE FUNCTION ctms._prepare_waitlist_schema(schema jsonb) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'ctms__prepare_waitlist_schema';
COMMENT ON FUNCTION ctms._prepare_waitlist_schema(jsonb) IS 'Compiles a schema and keeps it compiled until the transaction ends';

-- Like ctms.json_schema_compare(), but never raises an error, because a stored schema that
-- cannot be run must not prevent its replacement.
CREATE FUNCTION ctms._compare_waitlist_schemas(old_schema jsonb, new_schema jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN old_schema IS NULL THEN '{}'
                WHEN old_schema = new_schema THEN '{"compatibility": "compatible"}'
                ELSE ctms.json_schema_compare(old_schema, new_schema) - 'errors' END;
EXCEPTION WHEN program_limit_exceeded OR statement_too_complex OR invalid_parameter_value THEN
    RETURN '{"compatibility": "unknown"}';
END
$$;
COMMENT ON FUNCTION ctms._compare_waitlist_schemas(jsonb, jsonb) IS 'Whether a new schema accepts everything that the stored one accepts; an empty object when none is stored';

-- Other writers queue behind one who waits for this lock, so that does not wait for long behind a
-- transaction that is left open. Who has set a limit keeps it.
CREATE FUNCTION ctms._lock_waitlists_soon() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lock_limit text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', CASE lock_limit WHEN '0' THEN '2s' ELSE lock_limit END, true);
    LOCK TABLE ctms.waitlists IN SHARE ROW EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', lock_limit, true);
END
$$;
COMMENT ON FUNCTION ctms._lock_waitlists_soon() IS 'Keeps waitlists from being stored until the transaction ends; an error (55P03) if that takes longer than lock_timeout, or 2 s';

CREATE FUNCTION ctms.set_waitlist_schema(name text, schema jsonb, dry_run boolean DEFAULT false,
    existing_rows text DEFAULT 'check') RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problems jsonb;
    report jsonb;
    old_schema jsonb;
    compared_schema jsonb;
    comparison jsonb;
    failing jsonb;
    warnings jsonb;
    warning text;
BEGIN
    IF set_waitlist_schema.name IS NULL OR set_waitlist_schema.name = ''
        OR length(set_waitlist_schema.name) > 255 THEN
        RAISE EXCEPTION 'waitlist name must have 1 to 255 characters' USING ERRCODE = '22023';
    ELSIF set_waitlist_schema.schema IS NULL THEN
        RAISE EXCEPTION 'schema of a waitlist must not be null' USING ERRCODE = '22004';
    ELSIF existing_rows IS NULL OR existing_rows NOT IN ('check', 'ignore') THEN
        RAISE EXCEPTION 'existing_rows must be "check" or "ignore"' USING ERRCODE = '22023';
    ELSIF existing_rows = 'check' AND NOT coalesce(dry_run, false)
          AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        -- The snapshot is older than the lock: rows stored in between would not be checked.
        RAISE EXCEPTION 'stored rows cannot be checked in a % transaction', current_setting('transaction_isolation')
            USING ERRCODE = '0A000', HINT = 'Call it in a READ COMMITTED transaction, or set existing_rows to ''ignore''.';
    END IF;
    SELECT jsonb_agg(jsonb_build_object('keywordLocation', c.instance_location, 'keyword', c.keyword,
        'error', c.error)) INTO problems
    FROM ctms.json_schema_check(set_waitlist_schema.schema) AS c;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION 'schema of waitlist "%" is not valid JSON Schema', set_waitlist_schema.name
            USING ERRCODE = '22023', DETAIL = problems::text;
    END IF;
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('keywordLocation', w.instance_location,
        'keyword', w.keyword, 'suggestion', w.suggestion, 'warning', w.warning)) ORDER BY w.number), '[]') INTO warnings
    FROM ctms.json_schema_warnings(set_waitlist_schema.schema)
        WITH ORDINALITY AS w(location, instance_location, keyword, suggestion, warning, number);
    FOR warning IN SELECT w ->> 'warning' FROM jsonb_array_elements(warnings) AS w LOOP
        RAISE WARNING '%', warning;
    END LOOP;

    PERFORM ctms._prepare_waitlist_schema(set_waitlist_schema.schema);
    -- The slow work is done before writers are locked out, and repeated in the rare case that
    -- the stored schema changes in between.
    SELECT s.schema INTO compared_schema FROM ctms.waitlist_fields_schemas AS s
    WHERE s.name = set_waitlist_schema.name;
    comparison := ctms._compare_waitlist_schemas(compared_schema, set_waitlist_schema.schema);
    -- Stored rows are checked under the lock only if the result decides what is stored.
    IF coalesce(dry_run, false) OR existing_rows = 'ignore' THEN
        failing := ctms._failing_waitlists(set_waitlist_schema.name, set_waitlist_schema.schema);
    END IF;
    IF NOT coalesce(dry_run, false) THEN
        PERFORM ctms._lock_waitlists_soon();
    END IF;
    SELECT s.schema INTO old_schema FROM ctms.waitlist_fields_schemas AS s
    WHERE s.name = set_waitlist_schema.name;
    IF old_schema IS DISTINCT FROM compared_schema THEN
        comparison := ctms._compare_waitlist_schemas(old_schema, set_waitlist_schema.schema);
    END IF;
    report := jsonb_build_object('name', set_waitlist_schema.name,
            'action', CASE WHEN old_schema IS NULL THEN 'created'
                           WHEN old_schema = set_waitlist_schema.schema THEN 'no_change'
                           ELSE 'updated' END,
            'dry_run', coalesce(dry_run, false), 'warnings', warnings)
        || comparison
        || coalesce(failing, ctms._failing_waitlists(set_waitlist_schema.name, set_waitlist_schema.schema));
    IF coalesce(dry_run, false) THEN
        RETURN report || jsonb_build_object('stored', false);
    ELSIF existing_rows = 'check' AND (report ->> 'failing_rows')::bigint > 0 THEN
        RAISE EXCEPTION 'schema of waitlist "%" is not satisfied by % stored rows',
                set_waitlist_schema.name, report ->> 'failing_rows'
            USING ERRCODE = '23514', DETAIL = (report -> 'examples' || CASE WHEN (report ->> 'failing_rows')::bigint > 10
                THEN jsonb_build_object('more', (report ->> 'failing_rows')::bigint - 10) ELSE '[]' END)::text,
            HINT = 'ctms.explain_waitlist_fields() and "ctms waitlists rows NAME --failing --schema FILE" tell what is wrong with each. To store the schema for new rows only, set existing_rows to ''ignore''.';
    END IF;
    INSERT INTO ctms.waitlist_fields_schemas AS s (name, schema)
    VALUES (set_waitlist_schema.name, set_waitlist_schema.schema)
    ON CONFLICT ON CONSTRAINT waitlist_fields_schemas_pkey DO UPDATE SET schema = excluded.schema
    WHERE s.schema <> excluded.schema;
    RETURN report || jsonb_build_object('stored', true);
END
$$;
COMMENT ON FUNCTION ctms.set_waitlist_schema(text, jsonb, boolean, text) IS 'Stores the JSON Schema of a waitlist''s fields. Refuses a schema that is not valid, and one that stored rows break unless existing_rows is "ignore"; with dry_run it only reports. Keywords that do nothing are warned of. The report has name, action, dry_run, stored, warnings, failing_rows and examples (the first ten, with email_id and reasons); where it replaces a schema it also says whether the schema accepts everything that the stored one accepts (compatibility, example)';

CREATE FUNCTION ctms.drop_waitlist_schema(name text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ctms._lock_waitlists_soon();
    DELETE FROM ctms.waitlist_fields_schemas AS s WHERE s.name = drop_waitlist_schema.name;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ctms.drop_waitlist_schema(text) IS 'Removes the schema of a waitlist; its rows stay, and new rows are checked against "default". False when there is no such schema';

CREATE FUNCTION ctms.get_waitlist(name text) RETURNS json
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_build_object('name', s.name, 'schema', s.schema::jsonb)
    FROM ctms.waitlist_fields_schemas AS s WHERE s.name = get_waitlist.name;
$$;
COMMENT ON FUNCTION ctms.get_waitlist(text) IS 'A waitlist with the JSON Schema of its fields; null when it has none of its own';

CREATE FUNCTION ctms.list_waitlists() RETURNS json
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(json_agg(json_build_object('name', s.name, 'schema', s.schema::jsonb) ORDER BY s.name), '[]')
    FROM ctms.waitlist_fields_schemas AS s;
$$;
COMMENT ON FUNCTION ctms.list_waitlists() IS 'All waitlists that have a schema, with their schemas, by name';

CREATE FUNCTION ctms._use_waitlist_schema(schema jsonb) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'ctms__use_waitlist_schema';
COMMENT ON FUNCTION ctms._use_waitlist_schema(jsonb) IS 'Raises the error that writers of a waitlist with this stored schema get';

CREATE FUNCTION ctms._waitlist_schema_problem(schema jsonb) RETURNS text
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
    place text;
BEGIN
    PERFORM ctms._use_waitlist_schema(schema);
    RETURN NULL;
EXCEPTION WHEN program_limit_exceeded OR statement_too_complex OR invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, place = PG_EXCEPTION_DETAIL;
    RETURN rtrim(problem || '. ' || place, '. ');
END
$$;
COMMENT ON FUNCTION ctms._waitlist_schema_problem(jsonb) IS 'Why a stored schema cannot be used; null when it can';

CREATE FUNCTION ctms.list_unusable_waitlists() RETURNS TABLE (name text, problem text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT u.name, u.problem
    FROM (SELECT s.name::text, ctms._waitlist_schema_problem(s.schema::jsonb) AS problem
          FROM ctms.waitlist_fields_schemas AS s OFFSET 0) AS u
    WHERE u.problem IS NOT NULL ORDER BY u.name;
END
$$;
COMMENT ON FUNCTION ctms.list_unusable_waitlists() IS 'Waitlists that nobody can join because their stored schema cannot be used, mostly because a document to which it refers was changed or removed';

-- Documents may be changed one after the other, so this does not refuse.
CREATE FUNCTION ctms._warn_of_unusable_waitlists() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unusable record;
BEGIN
    FOR unusable IN SELECT u.name, u.problem FROM ctms.list_unusable_waitlists() AS u LIMIT 20 LOOP
        RAISE WARNING 'nobody can join the waitlist "%": %', unusable.name, unusable.problem
            USING HINT = 'Change the document or the schema. ctms.list_unusable_waitlists() lists all such waitlists.';
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._warn_of_unusable_waitlists() IS 'Warns of waitlists whose schemas a changed document has made unusable';

CREATE TRIGGER ctms_json_schema_document_waitlists
    AFTER UPDATE OR DELETE OR TRUNCATE ON ctms.json_schema_document
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._warn_of_unusable_waitlists();

CREATE FUNCTION ctms.install_default_waitlist_schemas() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ctms.waitlist_fields_schemas (name, schema)
    VALUES
        ('default', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"geo": {"type": ["string", "null"], "maxLength": 100},
                           "platform": {"type": ["string", "null"], "maxLength": 100}}}'),
        ('relay', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"geo": {"type": ["string", "null"], "maxLength": 100}},
            "additionalProperties": false}'),
        ('vpn', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"geo": {"type": ["string", "null"], "maxLength": 100},
                           "platform": {"type": ["string", "null"], "maxLength": 100}},
            "additionalProperties": false}')
    ON CONFLICT DO NOTHING;
$$;
COMMENT ON FUNCTION ctms.install_default_waitlist_schemas() IS 'Adds the schemas that ctms ships (vpn, relay, default) where they are missing';

GRANT EXECUTE ON FUNCTION ctms.get_waitlist(text), ctms.list_waitlists(), ctms.list_unusable_waitlists() TO ctms_api, ctms_reader;
GRANT EXECUTE ON FUNCTION ctms.explain_waitlist_fields(jsonb, jsonb) TO ctms_reader;
