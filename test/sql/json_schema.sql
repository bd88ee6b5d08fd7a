-- JSON Schema: every keyword with an instance that passes and one that does not.
\set SHOW_CONTEXT never
CREATE TEMP TABLE cases (id serial, schema jsonb, good jsonb, bad jsonb);
INSERT INTO cases (schema, good, bad) VALUES
    ('true', '1', NULL), ('false', NULL, '1'), ('{}', '[]', NULL),
    ('{"type": "null"}', 'null', 'false'), ('{"type": "boolean"}', 'true', 'null'),
    ('{"type": "string"}', '"a"', '1'), ('{"type": "number"}', '1.5', '"1.5"'),
    ('{"type": "integer"}', '1.0', '1.5'), ('{"type": "integer"}', '123456789012345678901234567890', '1e-1'),
    ('{"type": ["integer", "null"]}', 'null', '0.5'), ('{"type": ["integer", "number"]}', '0.5', '"x"'),
    ('{"type": "array"}', '[]', '{}'), ('{"type": "object"}', '{}', '[]'),
    ('{"enum": [1, "a", null, [1], {"b": 2}]}', '{"b": 2.0}', '{"b": 3}'), ('{"enum": []}', NULL, '1'),
    ('{"const": {"a": [1, 2]}}', '{"a": [1.0, 2.00]}', '{"a": [2, 1]}'), ('{"const": null}', 'null', 'false'),
    ('{"minLength": 2}', '"äö"', '"ä"'), ('{"maxLength": 2}', '"🙂🙂"', '"abc"'), ('{"maxLength": 2.0}', '12345', '"abc"'),
    ('{"pattern": "^a+$"}', '"aaa"', '"ab"'), ('{"pattern": "^\\S{2,3}$"}', '"äöü"', '"a b"'),
    ('{"minimum": 1.1}', '1.10', '1.09'), ('{"maximum": 1e400}', '1e399', '1e401'),
    ('{"exclusiveMinimum": -5}', '-4.999999999999999999999', '-5.0'), ('{"exclusiveMaximum": 5}', '4', '5'),
    ('{"multipleOf": 0.01}', '1.13', '1.131'), ('{"multipleOf": 7}', '-14', '-15'),
    ('{"multipleOf": 3}', '300000000000000000000000000000000000003', '300000000000000000000000000000000000001'),
    ('{"multipleOf": 1e-8}', '12391239123', '12391239123.000000001'),
    ('{"minItems": 1}', '[1]', '[]'), ('{"maxItems": 1}', '{"a": 1, "b": 2}', '[1, 2]'),
    ('{"uniqueItems": true}', '[1, "1", [1], {"a": 1}, true, 0, false]', '[{"a": [1]}, {"a": [1.0]}]'),
    ('{"uniqueItems": false}', '[1, 1]', NULL),
    ('{"minProperties": 1}', '{"a": 1}', '{}'), ('{"maxProperties": 1}', '{"a": 1}', '{"a": 1, "b": 1}'),
    ('{"required": ["a", "bb"]}', '{"bb": 1, "a": null}', '{"a": 1}'),
    ('{"dependentRequired": {"a": ["b"]}}', '{"b": 1}', '{"a": 1}'),
    ('{"properties": {"a": {"type": "string"}, "long": {"const": 1}}}', '{"a": "x", "b": 1}', '{"long": 2}'),
    ('{"patternProperties": {"^x": {"type": "string"}, "y$": {"minLength": 2}}}', '{"xy": "ab", "z": 1}', '{"xy": "a"}'),
    ('{"properties": {"a": true}, "patternProperties": {"^x": true}, "additionalProperties": false}', '{"a": 1, "x1": 2}', '{"b": 1}'),
    ('{"additionalProperties": {"type": "integer"}}', '{"a": 1}', '{"a": "1"}'),
    ('{"propertyNames": {"maxLength": 2}}', '{"ab": 1}', '{"abc": 1}'),
    ('{"items": {"type": "string"}}', '["a", "b"]', '["a", 1]'),
    ('{"prefixItems": [{"type": "string"}, {"type": "null"}], "items": false}', '["a"]', '["a", null, 1]'),
    ('{"contains": {"type": "string"}}', '[1, "a"]', '[1]'),
    ('{"contains": {"type": "string"}, "minContains": 2, "maxContains": 3}', '["a", 1, "b"]', '["a"]'),
    ('{"contains": {"type": "string"}, "maxContains": 1}', '["a", 1]', '["a", "b"]'),
    ('{"contains": true, "minContains": 0}', '[]', NULL),
    ('{"allOf": [{"minimum": 1}, {"maximum": 3}]}', '2', '4'),
    ('{"anyOf": [{"type": "string"}, {"minimum": 3}]}', '"a"', '2'),
    ('{"oneOf": [{"type": "integer"}, {"minimum": 3}]}', '3.5', '4'),
    ('{"not": {"type": "integer"}}', '1.5', '1'),
    ('{"if": {"type": "integer"}, "then": {"minimum": 5}, "else": {"type": "string"}}', '"x"', '4'),
    ('{"if": {"required": ["a"]}, "then": {"required": ["b"]}}', '{"c": 1}', '{"a": 1}'),
    ('{"dependentSchemas": {"a": {"required": ["b"]}}}', '{"c": 1}', '{"a": 1}'),
    ('{"dependencies": {"a": ["b"], "c": {"maxProperties": 1}}}', '{"c": 1}', '{"c": 1, "d": 1}'),
    ('{"$ref": "#/$defs/s", "$defs": {"s": {"type": "string"}}}', '"a"', '1'),
    ('{"$ref": "#/definitions/a~1b%25", "definitions": {"a/b%": {"type": "string"}}}', '"a"', '1'),
    ('{"properties": {"next": {"$ref": "#"}}, "additionalProperties": false}', '{"next": {"next": {}}}', '{"next": {"nex": {}}}'),
    ('{"$ref": "#name", "$defs": {"s": {"$anchor": "name", "type": "string"}}}', '"a"', '1'),
    ('{"$id": "http://example.com/a/root", "$ref": "other", "$defs": {"s": {"$id": "other", "type": "string"}}}', '"a"', '1'),
    ('{"properties": {"a": true}, "unevaluatedProperties": false}', '{"a": 1}', '{"b": 1}'),
    ('{"anyOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": true}}], "unevaluatedProperties": false}', '{"b": 1, "a": 1}', '{"a": 2}'),
    ('{"allOf": [{"prefixItems": [true]}], "unevaluatedItems": {"type": "string"}}', '[1, "a"]', '[1, 2]'),
    ('{"format": "email", "title": "t", "description": "d", "default": 1, "x-own": {"type": 1}}', '"no"', NULL),
    ('{"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": false}', '["a"]', '["a", 1]'),
    ('{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}', '2', '1'),
    ('{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "null", "definitions": {"a": {"type": "string"}}}', '"a"', 'null'),
    ('{"items": {"type": "integer"}}', '[0, -7, 1.0, 1e2, 10000, -1e300, 12345678901234567890.00]', '[0, 1.0, 1e300, 1e-1]'),
    ('{"additionalProperties": {"type": ["integer", "string"]}}', '{"a": 1, "b": "x", "c": -2.0}', '{"a": 1, "b": "x", "c": null, "d": 2}'),
    ('{"$dynamicAnchor": "t", "type": ["object", "integer"], "additionalProperties": {"$dynamicRef": "#t"}}', '{"a": {"b": 1}}', '{"a": {"b": 1.5}}'),
    ('{"$dynamicAnchor": "t", "type": ["object", "integer"], "additionalProperties": {"$ref": "inner"}, "$defs": {"inner": {"$id": "http://example.com/inner", "$dynamicAnchor": "t", "items": {"$dynamicRef": "#t"}}}, "$id": "http://example.com/outer"}', '{"a": [1]}', '{"a": [[1]]}');
SELECT id, schema, ctms.json_schema_is_valid(schema, good) AS good, ctms.json_schema_is_valid(schema, bad) AS bad
FROM cases
WHERE ctms.json_schema_is_valid(schema, good) IS FALSE OR ctms.json_schema_is_valid(schema, bad) IS TRUE ORDER BY id;
-- The reasons of each failure.
SELECT c.id, e.* FROM cases AS c, ctms.json_schema_errors(c.schema, c.bad) AS e ORDER BY c.id, e.keyword_location, e.instance_location;

-- Locations through references and arrays, escaped.
SELECT * FROM ctms.json_schema_errors(
    '{"$id": "http://example.com/s", "properties": {"a/b~c": {"items": {"$ref": "#/$defs/x"}}}, "$defs": {"x": {"properties": {"ü": {"maxLength": 1}}}}}',
    '{"a/b~c": [{}, {"ü": "ab"}]}');

-- Schemas that are not valid: place and reason.
SELECT absolute_keyword_location, keyword, error FROM ctms.json_schema_check(
    '{"type": ["string", "text"], "minLength": -1, "maximum": "1", "multipleOf": 0, "required": [1], "enum": 1,
      "pattern": "a{2,1}", "properties": {"p": 1}, "allOf": {}, "$ref": "#/nowhere", "uniqueItems": 1,
      "items": [], "patternProperties": {"[": true}, "dependentRequired": {"a": [1]},
      "$defs": {"unused": {"type": 7, "$ref": "http://example.com/unknown"}}, "contains": 7, "minContains": -1}')
ORDER BY 1;
SELECT * FROM ctms.json_schema_check('{"type": "string"}');
SELECT ctms.json_schema_is_valid('{"$schema": "http://example.com/unknown"}', '1');
SELECT ctms.json_schema_is_valid('1', '1');
SELECT ctms.json_schema_is_valid('{"type": 1}', '1');

-- Values of the schema that messages show are cut.
SELECT error FROM ctms.json_schema_errors(jsonb_build_object('pattern', repeat('ä', 60),
    'enum', (SELECT jsonb_agg(repeat('ä', 20) || i ORDER BY i) FROM generate_series(1, 9) AS i)), '"x"') ORDER BY error;

-- A CHECK constraint.
CREATE TEMP TABLE checked (doc jsonb CHECK (ctms.json_schema_assert('{"type": "object", "required": ["a"]}', doc)));
INSERT INTO checked VALUES ('{"a": 1}'), (NULL);
INSERT INTO checked VALUES ('{"b": 1}');
-- A schema per row, many times each.
SELECT sum(ctms.json_schema_is_valid(jsonb_build_object('minimum', i % 10), to_jsonb(i))::int) FROM generate_series(0, 99) AS i;

-- Hostile input: bounded, and a clear error.
\set VERBOSITY terse
SELECT ctms.json_schema_is_valid('{"$ref": "#"}', '1');
SELECT ctms.json_schema_is_valid('{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}, "properties": {"x": {"$ref": "#/$defs/a"}}}', '{"x": 1}');
SELECT ctms.json_schema_is_valid('{"items": {"$ref": "#"}, "type": "array"}', (repeat('[', 3000) || repeat(']', 3000))::jsonb);
SELECT ctms.json_schema_is_valid('{"uniqueItems": true}', (SELECT jsonb_agg(i) FROM generate_series(1, 100000) AS i));
SELECT ctms.json_schema_is_valid('{"uniqueItems": true}', (SELECT jsonb_agg(i % 99999) FROM generate_series(1, 100000) AS i));
SELECT ctms.json_schema_is_valid('{"type": "integer", "multipleOf": 3}', '1e131071');
SELECT ctms.json_schema_is_valid('{"pattern": "^(a+)+$"}', to_jsonb(repeat('a', 100000) || 'b'));
SELECT ctms.json_schema_is_valid(jsonb_build_object('anyOf', (SELECT jsonb_agg(jsonb_build_object('const', i)) FROM generate_series(1, 1000) AS i)), '1000');
SELECT count(*), max(error) FILTER (WHERE keyword IS NULL) AS note
FROM ctms.json_schema_errors('{"items": false}', (SELECT jsonb_agg(i) FROM generate_series(1, 5000) AS i));

-- Deep schemas are checked like others, and only so many problems are listed.
SELECT * FROM ctms.json_schema_check((repeat('{"items":', 10000) || '{}' || repeat('}', 10000))::jsonb);
SELECT length(instance_location), keyword, error FROM ctms.json_schema_check((repeat('{"items":', 5000) || '{"type": 1}' || repeat('}', 5000))::jsonb);
SELECT count(*), max(error) FILTER (WHERE keyword IS NULL) AS note
FROM ctms.json_schema_check(jsonb_build_object('allOf', (SELECT jsonb_agg('{"type": 1}'::jsonb) FROM generate_series(1, 5000))));
SELECT count(*) < 50 AS few, max(error) FILTER (WHERE keyword IS NULL) AS note FROM ctms.json_schema_check(
    jsonb_build_object('properties', jsonb_build_object(repeat('k', 200000), jsonb_build_object('allOf', (SELECT jsonb_agg('{"type": 1}'::jsonb) FROM generate_series(1, 5000))))));
SELECT count(*) < 50 AS few, max(error) FILTER (WHERE keyword IS NULL) AS note FROM ctms.json_schema_errors(
    '{"additionalProperties": {"items": false}}', jsonb_build_object(repeat('k', 200000), (SELECT jsonb_agg(i) FROM generate_series(1, 5000) AS i)));

\set VERBOSITY default
-- Options and output formats.
SELECT ctms.json_schema_is_valid('{"minimum": 1, "exclusiveMinimum": true}', '1', '{"draft": "4"}');
SELECT ctms.json_schema_is_valid('{}', '1', '{"draft": "3"}');
SELECT ctms.json_schema_is_valid('{}', '1', '{"drafts": "4"}');
SELECT ctms.json_schema_is_valid('{}', '1', '[]');
SELECT format, ctms.json_schema_validate('{"title": "t", "anyOf": [{"type": "string"}, {"properties": {"a": false}}]}', '{"a": 1}', format)
FROM unnest(ARRAY['flag', 'basic', 'detailed', 'verbose', 'list', 'hierarchical']) AS format;
SELECT format, ctms.json_schema_validate('{"title": "t", "properties": {"a": {"title": "u"}}}', '{"a": 1}', format)
FROM unnest(ARRAY['flag', 'basic', 'detailed', 'verbose', 'list', 'hierarchical']) AS format;
SELECT ctms.json_schema_validate('{}', '1', 'xml');

-- Documents for references.
INSERT INTO ctms.json_schema_document VALUES ('http://example.com/name', '{"type": "string"}');
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/name"}', '1');
UPDATE ctms.json_schema_document SET schema = '{"type": "integer"}';
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/name"}', '1');
DELETE FROM ctms.json_schema_document;
SELECT ctms.json_schema_is_valid('{"$ref": "http://example.com/name"}', '1');

-- json and text: zero characters, and literals alone.
SELECT ctms.json_schema_is_valid('{"const": "a\u0000b"}'::json, '"a\u0000b"'::json) AS same,
       ctms.json_schema_is_valid('{"maxLength": 2}'::json, '"a\u0000b"'::json) AS longer,
       ctms.json_schema_is_valid('{"pattern": "^a\\0b$"}', '"a\u0000b"') AS matches,
       ctms.json_schema_is_valid('{"properties": {"\u0000": false}}', '{"\u0000": 1, "b": [1e2, -0.5, true, null, "\ud83d\ude00"]}') AS key;
\set VERBOSITY terse
SELECT ctms.json_schema_is_valid('{"type": }', '1');
SELECT ctms.json_schema_is_valid('{}'::json, '"\ud800"'::json);
-- Metaschemas are built in.
SELECT uri, ctms.json_schema_is_valid(jsonb_build_object('$ref', uri), '{"properties": {"a": {"type": "string"}}}') AS good,
       ctms.json_schema_is_valid(jsonb_build_object('$ref', uri), '{"properties": {"a": {"type": 1}}}') AS bad
FROM unnest(ARRAY['http://json-schema.org/draft-04/schema#', 'http://json-schema.org/draft-06/schema#', 'http://json-schema.org/draft-07/schema#',
    'https://json-schema.org/draft/2019-09/schema', 'https://json-schema.org/draft/2020-12/schema']) AS uri;

-- Values as rows hold them: short, long, compressed, out of line.
CREATE TEMP TABLE stored (id int, doc jsonb);
ALTER TABLE stored ALTER doc SET STORAGE EXTERNAL;
INSERT INTO stored SELECT i, jsonb_build_object('a', repeat('x', i), 'n', i) FROM unnest(ARRAY[0, 1, 90, 100, 110, 120, 130, 2000, 3000, 100000]) AS i;
ALTER TABLE stored ALTER doc SET STORAGE MAIN;
INSERT INTO stored SELECT i, jsonb_build_object('a', repeat('x', i), 'n', i) FROM unnest(ARRAY[5000, 100000]) AS i;
SELECT count(*), count(*) FILTER (WHERE ctms.json_schema_is_valid('{"required": ["a", "n"], "properties": {"a": {"type": "string", "maxLength": 2500}}}', doc)) AS valid,
       count(*) FILTER (WHERE ctms.json_schema_assert('{"properties": {"n": {"type": "integer"}}}', doc)) AS asserted
FROM stored;

-- The type of schemas.
CREATE TEMP TABLE schemas (id int, schema ctms.json_schema);
INSERT INTO schemas VALUES (1, '{"type": "string"}'), (2, NULL), (3, jsonb '{"minimum": 3}');
INSERT INTO schemas VALUES (4, '{"type": "text"}');
INSERT INTO schemas SELECT 4, '{"minimum": "3"}'::jsonb;
SELECT id, schema, ctms.json_schema_is_valid(schema, '2') AS two, schema -> 'minimum' AS minimum FROM schemas ORDER BY id;
SELECT ctms.json_schema_is_valid('{"maxLength": 1}'::text::ctms.json_schema, doc -> 'a') FROM stored WHERE id < 90 ORDER BY id;

-- Content keywords assert when asked to, from draft 7 on.
SELECT v, ctms.json_schema_is_valid(s, to_jsonb(v), '{"assertContent": true}') AS asserted,
    ctms.json_schema_is_valid(s, to_jsonb(v)) AS annotated,
    ctms.json_schema_is_valid(s, to_jsonb(v), '{"assertContent": true, "draft": "6"}') AS draft_6
FROM (VALUES
    ('{"contentEncoding": "base64"}'::jsonb, 'YQ=='), ('{"contentEncoding": "base64"}', 'YQ='),
    ('{"contentEncoding": "base32"}', 'YQ='),
    ('{"contentMediaType": "application/json"}', '[1]'), ('{"contentMediaType": "application/json"}', '[1'),
    ('{"contentMediaType": "application/json", "contentEncoding": "base64"}', 'WzFd'),
    ('{"contentMediaType": "application/json", "contentEncoding": "base64"}', 'WzE='),
    ('{"contentMediaType": "application/json", "contentEncoding": "base64"}', 'gICA')) AS c (s, v);

-- Objects that have every name of the schema and no other, and those that miss that narrowly.
WITH named AS (SELECT n, i, repeat(chr(97 + i % 26), i % 7 + (i / 26)) AS key FROM unnest(ARRAY[1, 2, 31, 32, 33, 40]) AS n, generate_series(1, n) AS i),
object AS (SELECT n, jsonb_build_object('additionalProperties', false, 'required', jsonb_agg(DISTINCT key),
        'properties', jsonb_object_agg(key, CASE WHEN i % 2 = 0 THEN '{"type": "string"}' ELSE '{"maximum": 99}' END::jsonb)) AS schema,
    jsonb_object_agg(key, CASE WHEN i % 2 = 0 THEN to_jsonb(repeat('x', i)) ELSE to_jsonb(i) END) AS doc FROM named GROUP BY n)
SELECT n, ctms.json_schema_is_valid(schema, doc) AS complete,
    bool_or(ctms.json_schema_is_valid(schema, doc - key)) AS one_missing,
    bool_or(ctms.json_schema_is_valid(schema, doc || jsonb_build_object(key || '-', 1))) AS one_more,
    bool_or(ctms.json_schema_is_valid(schema, doc - key || jsonb_build_object(translate(key, substr(key, 1, 1), '-'), 1))) FILTER (WHERE key <> '') AS one_other,
    bool_or(ctms.json_schema_is_valid(schema, doc || jsonb_build_object(key, 100))) AS one_wrong
FROM object JOIN named USING (n) GROUP BY n, schema, doc ORDER BY n;

-- An empty object misses each name that is required, whatever else the schema says.
SELECT left(schema::text, 90) AS schema, ctms.json_schema_is_valid(schema, '{}') AS valid,
    (SELECT count(*) FROM ctms.json_schema_errors(schema, '{}')) AS errors
FROM (VALUES ('{"required": ["a"]}'::jsonb), ('{"required": ["a"], "patternProperties": {"b": false}}'),
    ('{"required": ["a"], "propertyNames": {"maxLength": 3}}'), ('{"required": ["a"], "additionalProperties": {"type": "string"}}'),
    ('{"required": ["a"], "properties": {"b": {"type": "string"}}, "additionalProperties": false}'),
    ((SELECT jsonb_build_object('required', jsonb_agg('n' || i)) FROM generate_series(1, 40) AS i)),
    ('{"properties": {"b": {"type": "string"}}, "patternProperties": {"b": false}}')) AS s (schema);
