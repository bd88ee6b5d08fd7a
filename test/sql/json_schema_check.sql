-- What is a schema: what its metaschema accepts, and does not apply itself to a value without end.
\set VERBOSITY terse
CREATE TEMP TABLE schemas (id serial, draft text, schema jsonb);

-- ---- what only the metaschema refuses: place and reason --------------------------------------
INSERT INTO schemas (draft, schema) VALUES
    ('2020-12', '{"anyOf": []}'), ('2020-12', '{"required": ["a", "a"]}'), ('2020-12', '{"type": ["string", "string"]}'),
    ('2020-12', '{"title": 5, "description": [], "examples": 1, "readOnly": 1, "deprecated": "yes", "default": 1}'),
    ('2020-12', '{"$id": "#x"}'), ('2020-12', '{"$anchor": "1a", "$dynamicAnchor": 7, "$comment": {}}'), ('2020-12', '{"$vocabulary": {"https://example.com/v": 1}}'),
    ('2020-12', '{"dependentRequired": {"a": ["b", "b"]}}'), ('2020-12', '{"properties": {"a~/b": {"allOf": []}}, "$defs": {"never used": {"oneOf": []}}}'),
    ('2020-12', '{"contentSchema": {"anyOf": []}, "contentEncoding": 1}'), ('2020-12', '{"const": {"anyOf": []}, "enum": [{"anyOf": []}], "default": {"required": 1}}'),
    ('2019-09', '{"items": [{"anyOf": []}]}'), ('2019-09', '{"items": []}'), ('2019-09', '{"$recursiveAnchor": 1}'),
    ('7', '{"items": {"anyOf": []}}'), ('7', '{"dependencies": {"a": ["b", "b"], "c": {"anyOf": []}}}'), ('7', '{"if": {"then": {"anyOf": []}}}'), ('7', '{"$ref": "#", "title": 1}'),
    ('6', '{"examples": 1, "not": {"required": ["a", "a"]}}'), ('6', '{"$id": 1}'),
    ('4', '{"exclusiveMinimum": true}'), ('4', '{"required": []}'), ('4', '{"enum": []}'), ('4', '{"enum": [1, 1.0]}'), ('4', '{"id": 1}'), ('4', 'true');
SELECT s.id, s.draft, c.instance_location, c.keyword, c.error FROM schemas AS s
LEFT JOIN LATERAL ctms.json_schema_check(s.schema, jsonb_build_object('draft', s.draft)) AS c ON true ORDER BY s.id, c.instance_location;

-- What a schema is told to be follows its parts: embedded ones with a metaschema of their own, and what a reference takes for a schema.
SELECT n, c.absolute_keyword_location, c.keyword, c.error FROM (VALUES
    (1, '{"$defs": {"a": {"$id": "http://example.com/a", "$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true, "title": "fine"}}}'::jsonb),
    (2, '{"$defs": {"a": {"$id": "http://example.com/a", "$schema": "http://json-schema.org/draft-04/schema#", "properties": {"b": {"exclusiveMinimum": true}}}}}'),
    (3, '{"$schema": "http://json-schema.org/draft-04/schema#", "definitions": {"a": {"id": "http://example.com/a", "$schema": "https://json-schema.org/draft/2020-12/schema", "items": true, "oneOf": []}}}'),
    (4, '{"$defs": {"a": {"$id": "http://example.com/a", "properties": {"b": {"oneOf": []}}}}}'),
    (5, '{"x": {"y": {"anyOf": []}}}'), (6, '{"x": {"y": {"anyOf": []}}, "allOf": [{"$ref": "#/x/y"}, {"$ref": "#/x/y"}]}'),
    (7, '{"const": {"type": 1}, "properties": {"a": {"$ref": "#/const"}}}')) AS s (n, schema)
LEFT JOIN LATERAL ctms.json_schema_check(s.schema) AS c ON true ORDER BY n, 2;
-- At any depth.
SELECT length(instance_location), keyword, error FROM ctms.json_schema_check((repeat('{"not":', 5000) || '{"anyOf": []}' || repeat('}', 5000))::jsonb);
SELECT count(*), count(DISTINCT instance_location), max(error) FILTER (WHERE keyword IS NULL) AS note
FROM ctms.json_schema_check(jsonb_build_object('allOf', (SELECT jsonb_agg('{"anyOf": []}'::jsonb) FROM generate_series(1, 5000))));

-- A reference to a name that two different schemas have. Bundles may have the same schema twice, and names that nothing refers to may be anything.
SELECT n, c.absolute_keyword_location, c.keyword, c.error FROM (VALUES
    (1, '{"$defs": {"a": {"$id": "http://example.com/a", "type": "string"}, "b": {"$id": "http://example.com/a", "type": "integer"}}, "$ref": "http://example.com/a"}'::jsonb),
    (2, '{"$defs": {"a": {"$anchor": "a", "type": "string"}, "b": {"$dynamicAnchor": "a"}}, "properties": {"x": {"$ref": "#a"}, "y": {"$dynamicRef": "#a"}}}'),
    (3, '{"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"$id": "#a", "type": "string"}, "b": {"$id": "#a"}}, "allOf": [{"$ref": "#a"}]}'),
    (4, '{"$id": "http://example.com/a", "$defs": {"a": {"$id": "http://example.com/a"}, "b": {}}, "properties": {"x": {"$ref": "#/$defs/b"}}}'),
    (5, '{"$defs": {"a": {"$id": "http://example.com/a", "maximum": 1}, "b": {"maximum": 1.0, "$id": "http://example.com/a"}}, "$ref": "http://example.com/a"}'),
    (6, '{"$defs": {"a": {"$id": "http://example.com/a", "type": "string"}, "b": {"$id": "http://example.com/a"}, "c": {"$anchor": "c"}, "d": {"$anchor": "c", "title": "d"}}}'),
    (7, '{"$defs": {"a": {"$anchor": "a"}, "b": {"$id": "http://example.com/b", "$anchor": "a", "type": "string"}}, "$ref": "#a"}')) AS s (n, schema)
LEFT JOIN LATERAL ctms.json_schema_check(s.schema) AS c ON true ORDER BY n, 2;

-- ---- every way to store or use one ------------------------------------------------------------
SELECT ctms.json_schema_is_valid('{"anyOf": []}'::jsonb, '1');
SELECT ctms.json_schema_is_valid(s, '1') FROM (SELECT jsonb_build_object('anyOf', jsonb_build_array()) AS s) AS computed;
SELECT ctms.json_schema_is_valid('{"anyOf": []}'::json, '1'::json);
SELECT ctms.json_schema_is_valid('{"exclusiveMinimum": true}', '1', '{"draft": "4"}');
SELECT ctms.json_schema_assert('{"anyOf": []}'::jsonb, '1');
SELECT ctms.json_schema_validate('{"anyOf": []}'::jsonb, '1');
SELECT * FROM ctms.json_schema_errors('{"anyOf": []}'::jsonb, '1');
SELECT ctms.json_schema_compare('{"anyOf": []}', '{}');
SELECT '{"anyOf": []}'::ctms.json_schema;
SELECT '{"anyOf": []}'::jsonb::ctms.json_schema;
SELECT ctms.set_waitlist_schema('check', '{"anyOf": []}');
SELECT ctms.set_waitlist_schema('check', '{"required": ["a", "a"]}', dry_run => true);
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('check', '{"anyOf": []}');
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('check', '{"type": "object"}');
UPDATE ctms.waitlist_fields_schemas SET schema = '{"required": ["a", "a"]}' WHERE name = 'check';
DELETE FROM ctms.waitlist_fields_schemas WHERE name = 'check';
-- What is stored may be referred to later: definitions that nothing refers to must be schemas too.
CREATE FUNCTION pg_temp.state_of(query text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE query; RETURN 'accepted'; EXCEPTION WHEN OTHERS THEN RETURN sqlstate; END $$;
SELECT s AS schema, way, pg_temp.state_of(format(way, s, 'check')) FROM (VALUES (1, '{"$defs": {"a": {"pattern": "["}}}'), (2, '{"$defs": {"a": {"$ref": "#/$defs/b"}}}'),
    (3, '{"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"$ref": "#/definitions/a"}}}')) AS schemas (i, s), (VALUES
    (1, 'SELECT ctms.set_waitlist_schema(%2$L, %1$L)'), (2, 'INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES (%2$L, %1$L)'),
    (3, 'SELECT ctms.json_schema_is_valid(%1$L::jsonb, ''{}'')'), (4, 'SELECT %1$L::ctms.json_schema'), (5, 'SELECT %1$L::jsonb::ctms.json_schema')) AS ways (j, way) ORDER BY i, j;

-- A database that is older than the check: such a schema is restored, and goes on.
BEGIN;
SET LOCAL ctms.restore_mode = on;
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('check', '{"required": ["a", "a"]}');
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/old', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": []}');
SET LOCAL ctms.restore_mode = auto;
INSERT INTO ctms.emails (email_id, primary_email) VALUES ('cccccccc-0000-4000-8000-00000000000c', 'check@example.com');
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('cccccccc-0000-4000-8000-00000000000c', 'check', '{"a": 1}');
SAVEPOINT refused;
INSERT INTO ctms.waitlists (email_id, name, fields) VALUES ('cccccccc-0000-4000-8000-00000000000c', 'check', '{}');
ROLLBACK TO refused;
SELECT ctms.json_schema_is_valid('{"required": ["a", "a"]}'::jsonb, '1');
ROLLBACK;

-- ---- documents --------------------------------------------------------------------------------
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/d', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": []}');
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/d', '{"$schema": "http://json-schema.org/draft-07/schema#", "anyOf": [true]}');
UPDATE ctms.json_schema_document SET schema = '{"$schema": "http://json-schema.org/draft-07/schema#", "if": 1}' WHERE uri = 'http://example.com/d';
-- One whose metaschema comes later is judged when it is used.
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/later', '{"$schema": "http://example.com/unknown", "anyOf": []}');
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/later"}'::jsonb, '1');
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/unknown', '{"$ref": "https://json-schema.org/draft/2020-12/schema"}');
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/later"}'::jsonb, '1');
-- Without "$schema" it has the draft of whoever refers to it: one of them must accept it.
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/e', '{"required": ["a", "a"]}');
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/4', '{"minimum": 3, "exclusiveMinimum": true}'), ('http://example.com/parts', '{"parts": {"bad": {"anyOf": []}, "good": {"type": "string"}}}'),
    ('http://example.com/1', '{"$ref": "2"}'), ('http://example.com/2', 'true');
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/4"}'::jsonb, '3', '{"draft": "4"}') AS draft_4, ctms.json_schema_is_valid('{"$ref": "http://example.com/parts#/parts/good"}'::jsonb, '3') AS part;
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/4"}'::jsonb, '3');
SELECT absolute_keyword_location, error FROM ctms.json_schema_check('{"allOf": [{"$ref": "http://example.com/parts#/parts/bad"}, {"$ref": "http://example.com/1"}]}'::jsonb);
-- A metaschema of one's own, which is a document too.
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/meta', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "http://example.com/meta", "$dynamicAnchor": "meta",
    "$vocabulary": {"https://json-schema.org/draft/2020-12/vocab/core": true, "https://json-schema.org/draft/2020-12/vocab/applicator": true, "http://example.com/vocab": false},
    "allOf": [{"$ref": "https://json-schema.org/draft/2020-12/meta/core"}, {"$ref": "https://json-schema.org/draft/2020-12/meta/applicator"}],
    "properties": {"evenLength": {"type": "boolean"}}, "patternProperties": {"^ui:": true}}');
SELECT n, c.instance_location, c.error FROM (VALUES (1, '{"evenLength": true, "minLength": "ignored"}'::jsonb), (2, '{"properties": {"a": {"evenLength": 1}}}'), (3, '{"oneOf": []}')) AS s (n, schema)
LEFT JOIN LATERAL ctms.json_schema_check(s.schema || '{"$schema": "http://example.com/meta"}') AS c ON true ORDER BY n;
SELECT keyword, warning FROM ctms.json_schema_warnings('{"$schema": "http://example.com/meta", "evenLength": true, "evenLenght": 1, "ui:color": 1, "minLength": 3}'::jsonb);
UPDATE ctms.json_schema_document SET schema = schema || '{"required": ["title"]}' WHERE uri = 'http://example.com/meta';
SELECT ctms.json_schema_is_valid('{"$schema": "http://example.com/meta"}'::jsonb, '1');
UPDATE ctms.json_schema_document SET schema = schema || '{"$ref": "http://example.com/nowhere"}' WHERE uri = 'http://example.com/meta';
SELECT absolute_keyword_location, error FROM ctms.json_schema_check('{"$schema": "http://example.com/meta"}'::jsonb);
DELETE FROM ctms.json_schema_document WHERE uri LIKE 'http://example.com/%';

-- ---- without end --------------------------------------------------------------------------------
SELECT n, c.absolute_keyword_location, c.error FROM (VALUES
    (1, '{"$dynamicAnchor": "n", "$dynamicRef": "#n"}'::jsonb),
    (2, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true, "not": {"$recursiveRef": "#"}}'),
    -- By a resource that the reference meets on its way.
    (3, '{"$id": "http://example.com/a", "$ref": "b", "$defs": {"n": {"$dynamicAnchor": "n", "$ref": "b"}, "b": {"$id": "b", "$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n"}}}}}'),
    (4, '{"$id": "http://example.com/a", "properties": {"a": {"$ref": "c"}}, "$defs": {"c": {"$id": "c", "$ref": "b", "$defs": {"n": {"$dynamicAnchor": "n", "$ref": "b"}}},
         "b": {"$id": "b", "$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n"}}}}}'),
    (5, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "$id": "http://example.com/a", "$recursiveAnchor": true, "allOf": [{"$ref": "b"}],
         "$defs": {"b": {"$id": "b", "$recursiveAnchor": true, "anyOf": [{"type": "string"}, {"$recursiveRef": "#"}]}}}'),
    -- Legal: the next part of the value, a scope that nobody enters, or one that leads elsewhere.
    (11, '{"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}}'),
    (12, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true, "additionalProperties": {"$recursiveRef": "#"}}'),
    (13, '{"$id": "http://example.com/strict", "$dynamicAnchor": "node", "$ref": "tree", "unevaluatedProperties": false, "$defs": {"t": {"$id": "tree", "$dynamicAnchor": "node",
         "type": "object", "properties": {"data": true, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}}}}}'),
    (14, '{"$id": "http://example.com/a", "$ref": "c", "$defs": {"n": {"$dynamicAnchor": "n", "type": "string"}, "c": {"$id": "c", "$ref": "b", "$defs": {"n": {"$dynamicAnchor": "n", "$ref": "b"}}},
         "b": {"$id": "b", "$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n"}}}}}'),
    (15, '{"$id": "http://example.com/a", "$ref": "b", "$defs": {"c": {"$id": "c", "$ref": "b", "$defs": {"n": {"$dynamicAnchor": "n", "$ref": "b"}}}, "b": {"$id": "b", "$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n"}}}}}'),
    (16, '{"$ref": "https://json-schema.org/draft/2020-12/schema"}'), (17, '{"$ref": "https://json-schema.org/draft/2019-09/schema"}'),
    (18, '{"$id": "http://example.com/strings", "$ref": "list", "$defs": {"s": {"$dynamicAnchor": "itemType", "type": "string"}, "l": {"$id": "list", "type": "array", "items": {"$dynamicRef": "#itemType"},
         "$defs": {"any": {"$dynamicAnchor": "itemType"}}}}}')) AS s (n, schema)
LEFT JOIN LATERAL ctms.json_schema_check(s.schema) AS c ON true ORDER BY n;
SELECT ctms.json_schema_is_valid('{"$dynamicAnchor": "n", "$dynamicRef": "#n"}'::jsonb, '1');
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('check', '{"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true, "$recursiveRef": "#"}');
-- Many resources and anchors.
SELECT count(*) FROM ctms.json_schema_check((SELECT jsonb_build_object('$id', 'http://example.com/', 'allOf', jsonb_agg(jsonb_build_object('$ref', 'r' || i)), '$defs', jsonb_object_agg('d' || i, jsonb_build_object('$id', 'r' || i,
    '$dynamicAnchor', 'a' || i, 'items', jsonb_build_object('$dynamicRef', '#a' || i), 'additionalProperties', jsonb_build_object('$ref', 'r' || i % 60 + 1)))) FROM generate_series(1, 60) AS i));

-- ---- keywords that do nothing -------------------------------------------------------------------
SELECT n, w.instance_location, w.keyword, w.suggestion, w.warning FROM (VALUES
    (1, '{"propertys": {}, "properties": {"geo": {"nullable": true, "maxlength": 3, "x-foo": 1, "example": 1}, "propertys": true}}'::jsonb),
    (2, '{"title": "", "description": "", "default": 1, "examples": [], "deprecated": true, "readOnly": true, "writeOnly": true, "$comment": "", "contentMediaType": "", "contentEncoding": "", "contentSchema": {},
         "definitions": {}, "dependencies": {}, "format": "", "x-y": 1, "const": {"a": 1}, "enum": [{"b": 1}], "then": {"c": 1}}'),
    (3, '{"$schema": "http://json-schema.org/draft-04/schema#", "const": 5, "$defs": {}, "examples": [], "id": "a", "title": "a", "items": [{"Type": 1}], "if": {}}'),
    (4, '{"$schema": "http://json-schema.org/draft-06/schema#", "readOnly": true, "id": "x", "$comment": ""}'),
    (5, '{"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [], "minContains": 2, "$anchor": "a", "dependencies": {"a": {"requried": []}, "b": ["c"]}}'),
    (6, '{"$schema": "https://json-schema.org/draft/2019-09/schema", "prefixItems": [], "$recursiveAnchor": true, "$dynamicRef": "#"}'),
    (7, '{"additionalItems": false, "$recursiveRef": "#", "discriminator": {}, "xml": 1, "": 1, "$defs": {"a/b": {"typ": 1, "$defs": {"c": {"$id": "http://example.com/c", "anyof": [], "$schema": "http://json-schema.org/draft-07/schema#"}}}}}'),
    (8, 'true'), (9, '[]')) AS s (n, schema), ctms.json_schema_warnings(s.schema) AS w ORDER BY n, 2;
SELECT count(*), max(warning) FILTER (WHERE keyword IS NULL) AS note FROM ctms.json_schema_warnings((SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 500) AS i));
SELECT keyword = repeat('k', 100000) AS keyword, length(warning) FROM ctms.json_schema_warnings(jsonb_build_object(repeat('k', 100000), 1));
SELECT warning FROM ctms.json_schema_warnings('{"propertys": "\u0000"}'::text);
SELECT warning FROM ctms.json_schema_warnings('{"const": 1}'::jsonb, '{"draft": "4"}');
SELECT ctms.json_schema_warnings('{}'::jsonb, '{"draft": "5"}');
-- What is not checked, unless it is asked for.
SELECT n, warning FROM (VALUES (1, '{}'::jsonb), (2, '{"assertFormats": true}'), (3, '{"assertContent": true}'), (4, '{"draft": "4"}')) AS o (n, options),
    ctms.json_schema_warnings('{"items": {"format": "email", "contentEncoding": "base64", "contentMediaType": "text/plain"}, "const": {"format": 1}}'::jsonb, o.options) ORDER BY 1, 2;
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/asserts', '{"$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "http://example.com/asserts", "$vocabulary": {"https://json-schema.org/draft/2020-12/vocab/core": true, "https://json-schema.org/draft/2020-12/vocab/format-assertion": true},
    "$dynamicAnchor": "meta", "properties": {"format": {"type": "string"}}}');
SELECT count(*) AS warnings, ctms.json_schema_is_valid('{"$schema": "http://example.com/asserts", "format": "email"}'::jsonb, '"x"') AS is_valid
FROM ctms.json_schema_warnings('{"$schema": "http://example.com/asserts", "format": "email"}'::jsonb);
DELETE FROM ctms.json_schema_document WHERE uri = 'http://example.com/asserts';
SELECT ctms.set_waitlist_schema('check', '{"propertys": {"geo": {"type": "string"}}, "properties": {"geo": {"nullable": true}}}', dry_run => true);
SELECT jsonb_array_length(ctms.set_waitlist_schema('check', (SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 22) AS i)) -> 'warnings');
SELECT ctms.drop_waitlist_schema('check');
