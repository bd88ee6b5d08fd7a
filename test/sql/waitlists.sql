-- Waitlist fields against their schemas, and the management of schemas.
\set VERBOSITY verbose
\set SHOW_CONTEXT never
SELECT set_config('ctms.restore_mode', 'off', false);
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT name, schema FROM ctms.waitlist_fields_schemas ORDER BY name;
SELECT ctms.list_waitlists()::jsonb -> 1 ->> 'name' AS second, ctms.get_waitlist('vpn')::jsonb ->> 'name' AS vpn,
       ctms.get_waitlist('nothing') IS NULL AS none;

INSERT INTO ctms.emails (email_id, primary_email)
VALUES ('00000000-0000-0000-0000-000000000001', 'list@example.com');

-- The errors are what a caller sees, so each one gets a line of its own.
CREATE FUNCTION pg_temp.try(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    info text;
BEGIN
    EXECUTE statement;
    RETURN NEXT 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS info = PG_EXCEPTION_DETAIL;
    RETURN NEXT SQLSTATE || ': ' || SQLERRM;
    RETURN NEXT info;
END
$$;
CREATE FUNCTION pg_temp.store(name text, fields text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT pg_temp.try(format('INSERT INTO ctms.waitlists (email_id, name, fields) VALUES (%L, %L, %L)'
        || ' ON CONFLICT (email_id, name) DO UPDATE SET fields = excluded.fields',
        '00000000-0000-0000-0000-000000000001', name, fields));
$$;

-- Shipped schemas.
SELECT * FROM pg_temp.store('vpn', '{"geo": "fr", "platform": "win64"}');
SELECT * FROM pg_temp.store('vpn', '{"geo": null, "platform": null}');
SELECT * FROM pg_temp.store('vpn', '{}');
SELECT * FROM pg_temp.store('vpn', '{"geo": "fr", "color": "red"}');
SELECT * FROM pg_temp.store('vpn', jsonb_build_object('geo', repeat('ü', 100))::text);
SELECT * FROM pg_temp.store('vpn', jsonb_build_object('geo', repeat('ü', 101), 'platform', 7)::text);
SELECT * FROM pg_temp.store('vpn', '[]');
SELECT * FROM pg_temp.store('vpn', '7');
SELECT * FROM pg_temp.store('vpn', 'null');
SELECT * FROM pg_temp.store('relay', '{"geo": "fr"}');
SELECT * FROM pg_temp.store('relay', '{"platform": "x"}');
SELECT * FROM pg_temp.store('anything', '{"geo": "fr", "more": [1, 2, {"a": null}]}');
SELECT * FROM pg_temp.store('anything', '{"geo": 1}');
-- A name that changes.
SELECT * FROM pg_temp.try($$UPDATE ctms.waitlists SET name = 'relay-x' WHERE name = 'anything'$$);
SELECT * FROM pg_temp.try($$UPDATE ctms.waitlists SET name = 'vpn2' WHERE name = 'relay-x'$$);

-- Onboarding.
SELECT ctms.set_waitlist_schema('new', '{"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "minLength": 2}}}');
SELECT * FROM pg_temp.store('new', '{"city": "Ulm"}');
SELECT * FROM pg_temp.store('new', '{"city": "U"}');
SELECT * FROM pg_temp.store('new', '{}');
SELECT ctms.set_waitlist_schema('new', '{"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "minLength": 2}}}') ->> 'action' AS again;

-- Stricter than what is stored.
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('new', '{"properties": {"city": {"minLength": 4}}}')$$);
SELECT ctms.set_waitlist_schema('new', '{"properties": {"city": {"minLength": 4}}}', dry_run => true);
SELECT * FROM pg_temp.store('new', '{"city": "Bonn"}');
SELECT * FROM pg_temp.store('new', '{"city": "Ulm"}');
SELECT ctms.set_waitlist_schema('new', '{"properties": {"city": {"minLength": 4}}}', existing_rows => 'ignore') ->> 'stored' AS stored;
SELECT * FROM pg_temp.try($$UPDATE ctms.waitlists SET subscribed = false WHERE name = 'new'$$);
SELECT * FROM pg_temp.store('new', '{"city": "Rom"}');
-- The rows of all names without a schema count for "default".
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('default', '{"maxProperties": 0}')$$);

-- Refused schemas, by the function and by the table.
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('bad', '{"type": "text", "properties": {"a/b": {"maxLength": "x"}}}')$$);
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('bad', '[]')$$);
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('bad', NULL)$$);
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('', '{}')$$);
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema(NULL, '{}')$$);
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema(repeat('x', 256), '{}')$$);
SELECT * FROM pg_temp.try($$SELECT ctms.set_waitlist_schema('bad', '{}', existing_rows => 'maybe')$$);
SELECT * FROM pg_temp.try($$INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('bad', '{"pattern": "("}')$$);
SELECT * FROM pg_temp.try($$UPDATE ctms.waitlist_fields_schemas SET schema = '{"$ref": "#/nowhere"}' WHERE name = 'vpn'$$);

-- What a change means for documents; a stored schema that cannot be run is no obstacle.
SELECT ctms.set_waitlist_schema('wide', '{"if": true, "then": {"$ref": "#"}}') AS report;
SELECT ctms.set_waitlist_schema('wide', '{"type": "object", "properties": {"n": {"type": "integer"}}}') AS report;
SELECT ctms.set_waitlist_schema('wide', '{"type": "object", "properties": {"n": {"type": "number"}}}') AS report;
SELECT ctms.set_waitlist_schema('wide', '{"type": "object", "properties": {"n": {"type": "integer"}}}', dry_run => true) AS report;
SELECT ctms.set_waitlist_schema('wide', '{"type": "object", "properties": {"n": {"type": "number"}}}') ->> 'compatibility' AS again;

-- Dropping: back to "default", and without it unknown names are refused.
SELECT ctms.drop_waitlist_schema('new'), ctms.drop_waitlist_schema('new') AS again;
SELECT * FROM pg_temp.store('new', '{"anything": true}');
SELECT ctms.drop_waitlist_schema('default');
SELECT * FROM pg_temp.store('unknown', '{}');
SELECT * FROM pg_temp.store('vpn', '{"geo": "de"}');
-- A schema set and taken back in one transaction.
SAVEPOINT s;
SELECT ctms.set_waitlist_schema('vpn', '{"maxProperties": 2, "properties": {"geo": {"const": "de"}}}') ->> 'stored' AS stored;
SELECT * FROM pg_temp.store('vpn', '{"geo": "at"}');
ROLLBACK TO s;
SELECT * FROM pg_temp.store('vpn', '{"geo": "at"}');
-- A restore brings rows back as they are.
SET LOCAL ctms.restore_mode = 'on';
SELECT * FROM pg_temp.store('vpn', '{"color": "red"}');
ROLLBACK;

-- An old snapshot cannot tell what is stored: not checked, and said so.
\set VERBOSITY default
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT ctms.set_waitlist_schema('old', '{}', dry_run => true) ->> 'failing_rows' AS failing_rows;
SELECT ctms.set_waitlist_schema('old', '{}', existing_rows => 'ignore') ->> 'stored' AS stored;
SELECT ctms.set_waitlist_schema('old', '{}');
ROLLBACK;

-- ---- a document to which schemas refer changes --------------------------------------------------
INSERT INTO ctms.json_schema_document VALUES ('urn:address', '{"$defs": {"city": {"type": "string"}}}');
SELECT ctms.set_waitlist_schema(name, '{"properties": {"city": {"$ref": "urn:address#/$defs/city"}}}') ->> 'action' FROM (VALUES ('one'), ('two')) AS w (name);
SELECT ctms.set_waitlist_schema('three', '{"type": "object"}') ->> 'action';
-- Not of the schemas that a restore has stored as they were: those are in force.
BEGIN;
SET LOCAL ctms.restore_mode = on;
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('old', '{"title": 5, "$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x", "type": "string"}}, "properties": {"x": {"$ref": "#x"}}}');
COMMIT;
UPDATE ctms.json_schema_document SET schema = '{"$defs": {"city": {"maxLength": 5}}}';
UPDATE ctms.json_schema_document SET schema = '{"$defs": {"town": {"type": "string"}}}';
SELECT * FROM ctms.list_unusable_waitlists();
-- They are warned of while one is left.
SELECT ctms.drop_waitlist_schema('one');
UPDATE ctms.json_schema_document SET schema = '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {"city": {"pattern": "["}}}';
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('cccccccc-0000-4000-8000-0000000000dd', 'document@example.com');
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('cccccccc-0000-4000-8000-0000000000dd', 'two', '{"city": "Ulm"}');
DELETE FROM ctms.json_schema_document;
BEGIN;
TRUNCATE ctms.json_schema_document;
ROLLBACK;
INSERT INTO ctms.json_schema_document VALUES ('urn:address', '{"$defs": {"city": {"type": "string"}}}');
SELECT * FROM ctms.list_unusable_waitlists();
UPDATE ctms.json_schema_document SET schema = '{"$defs": {"city": true}}';
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('cccccccc-0000-4000-8000-0000000000dd', 'two', '{"city": "Ulm"}');
DELETE FROM ctms.waitlist_fields_schemas WHERE name IN ('two', 'three', 'old');
DELETE FROM ctms.waitlists WHERE email_id = 'cccccccc-0000-4000-8000-0000000000dd';
DELETE FROM ctms.emails WHERE email_id = 'cccccccc-0000-4000-8000-0000000000dd';
DELETE FROM ctms.json_schema_document;

-- ---- reasons in words ---------------------------------------------------------------------------
SELECT s.number, reason FROM (VALUES
    (1, '{"type": "object", "required": ["geo", "device", "c"], "properties": {"geo": {"type": "string", "pattern": "^[a-z]{2}$"}, "device": {"enum": ["phone", "tablet"]}, "age": {"type": "integer"}, "a": {"items": {"required": ["x/y"], "properties": {"x~": {"const": "b"}}}}}, "additionalProperties": false}',
        '{"geo": "Austria", "device": "fax", "age": "abc", "colour": "red", "a": [{"x~": null}]}'),
    (2, '{"type": "object"}', '[]'), (3, '{"type": "object"}', '{}'), (4, 'false', '{}'),
    (5, '{"properties": {"a": {"anyOf": [{"type": "null"}, {"const": "x"}]}}}', '{"a": 5}'),
    (6, '{"propertyNames": {"maxLength": 2}}', '{"abc": 5}'),
    (7, '{"minProperties": 2, "dependentRequired": {"a": ["b"]}}', '{"a": 5}'),
    (8, '{"properties": {"a": {"not": {}}, "b": {"type": "object"}, "c": {"minItems": 2}}}', '{"a": 5, "b": [], "c": []}'),
    (9, '{"properties": {"propertyNames": {"maxLength": 2}}}', jsonb_build_object('propertyNames', repeat('ä', 100))::text),
    (10, '{"additionalProperties": {"type": "null"}}', (SELECT jsonb_object_agg('k' || i, i)::text FROM generate_series(1, 30) AS i)),
    (11, jsonb_build_object('required', (SELECT jsonb_agg('k' || i) FROM generate_series(1, 30) AS i))::text, '{}'),
    (12, '{"required": ["", "b"], "properties": {"a": {"required": [""]}}}', '{"a": {}}'),
    (13, '{"properties": {"": {"type": "string"}, "a": {"properties": {"": false}}}}', '{"": 5, "a": {"": 5}}'),
    (14, '{"dependentRequired": {"a": ["b", "c", "d"]}, "dependentSchemas": {"a": {"required": ["e"]}}}', '{"a": 5, "c": 6}'),
    (15, '{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"dependencies": {"b": ["c"], "d": {"required": ["e"]}}}}}', '{"a": {"b": 5, "d": 6}}')
    ) AS s (number, schema, fields), unnest(ctms.explain_waitlist_fields(schema::jsonb, fields::jsonb)) WITH ORDINALITY AS r (reason, place)
WHERE place <= 10 OR place >= 20 ORDER BY number, place;
SELECT ctms.explain_waitlist_fields('{}', '{}') AS valid, ctms.explain_waitlist_fields(NULL, '{}') AS unknown;
SELECT ctms.explain_waitlist_fields('{"type": 5}', '{}');

-- The first ten rows are named, and how many more there are.
BEGIN;
SELECT count(ctms.create_contact(jsonb_build_object('email', jsonb_build_object('primary_email', 'many' || i || '@example.com',
    'email_id', '00000000-0000-4000-8000-00000000ab' || i), 'waitlists', '[{"name": "many", "fields": {"geo": "planted"}}]'::jsonb)::text))
FROM generate_series(10, 21) AS i;
SAVEPOINT s;
SELECT ctms.set_waitlist_schema('many', '{"maxProperties": 0}');
ROLLBACK TO s;
SELECT report -> 'failing_rows' AS failing, jsonb_array_length(report -> 'examples') AS examples
FROM ctms.set_waitlist_schema('many', '{"maxProperties": 0}', dry_run => true) AS report;
ROLLBACK;
