-- Whether a new JSON Schema accepts all that an old one does.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE TEMP TABLE pairs (id serial, expected text, old jsonb, new jsonb);
INSERT INTO pairs (expected, old, new) VALUES
    -- schemas as a whole
    ('compatible', '{}', '{}'), ('compatible', 'true', '{}'), ('compatible', 'false', 'false'),
    ('compatible', 'false', '{"type": "string"}'), ('incompatible', '{}', 'false'),
    ('compatible', '{"title": "a"}', '{"description": "b", "unheardOf": 1}'),
    -- type
    ('compatible', '{"type": "integer"}', '{"type": "number"}'), ('incompatible', '{"type": "number"}', '{"type": "integer"}'),
    ('compatible', '{"type": "string"}', '{"type": ["null", "string"]}'), ('incompatible', '{"type": ["null", "string"]}', '{"type": "string"}'),
    ('compatible', '{"multipleOf": 2, "type": "number"}', '{"type": "integer"}'), ('incompatible', '{}', '{"type": "object"}'),
    -- enum, const
    ('compatible', '{"enum": [1, "a"]}', '{"enum": ["a", "b", 1.0]}'), ('incompatible', '{"enum": ["a", "b"]}', '{"enum": ["a"]}'),
    ('compatible', '{"const": "a"}', '{"type": "string", "maxLength": 1}'), ('incompatible', '{"const": "ab"}', '{"type": "string", "maxLength": 1}'),
    ('compatible', '{"enum": ["a", "bc"], "maxLength": 1}', '{"const": "a"}'), ('compatible', '{"type": "boolean"}', '{"enum": [true, false]}'),
    ('compatible', '{"type": "null"}', '{"const": null}'), ('incompatible', '{"type": "boolean"}', '{"const": true}'),
    -- strings
    ('compatible', '{"maxLength": 5}', '{"maxLength": 6}'), ('incompatible', '{"maxLength": 6}', '{"maxLength": 5}'),
    ('compatible', '{"minLength": 5}', '{"minLength": 4}'), ('incompatible', '{"minLength": 4}', '{"minLength": 5}'),
    ('compatible', '{"pattern": "^a"}', '{"pattern": "^a"}'), ('compatible', '{"pattern": "x"}', '{"pattern": ".*"}'),
    ('incompatible', '{"pattern": "^[a-z]+$"}', '{"pattern": "^[a-z]{2}$"}'), ('incompatible', '{"pattern": "a"}', '{"pattern": "^a$"}'),
    ('unknown', '{"pattern": "^aa$"}', '{"pattern": "^a{2}$"}'), ('incompatible', '{"type": "string"}', '{"pattern": "^\\d{3}-\\d{4}$"}'),
    -- numbers
    ('compatible', '{"minimum": 2}', '{"minimum": 1}'), ('incompatible', '{"minimum": 1}', '{"minimum": 2}'),
    ('compatible', '{"maximum": 1}', '{"maximum": 1.0}'), ('incompatible', '{"maximum": 1.5}', '{"maximum": 1.25}'),
    ('compatible', '{"minimum": 1}', '{"exclusiveMinimum": 0}'), ('incompatible', '{"minimum": 1}', '{"exclusiveMinimum": 1}'),
    ('compatible', '{"exclusiveMinimum": 1}', '{"minimum": 1}'), ('compatible', '{"exclusiveMaximum": 1}', '{"maximum": 1}'),
    ('compatible', '{"maximum": 1}', '{"exclusiveMaximum": 2}'), ('incompatible', '{"maximum": 1}', '{"exclusiveMaximum": 1}'),
    ('compatible', '{"multipleOf": 6}', '{"multipleOf": 3}'), ('incompatible', '{"multipleOf": 3}', '{"multipleOf": 6}'),
    ('compatible', '{"type": "integer"}', '{"multipleOf": 0.5}'), ('incompatible', '{"multipleOf": 3, "minimum": 1000}', '{"multipleOf": 3, "minimum": 1005}'),
    ('compatible', '{"maximum": 1e1000}', '{"maximum": 1e2000}'), ('incompatible', '{"maximum": 1e2000}', '{"maximum": 1e1000}'),
    -- objects
    ('compatible', '{"properties": {"a": {"type": "integer"}}}', '{"properties": {"a": {"type": "number"}}}'),
    ('incompatible', '{"properties": {"a": {"type": "number"}}}', '{"properties": {"a": {"type": "integer"}}}'),
    ('incompatible', '{"properties": {"a": {"type": "string"}}}', '{"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}'),
    ('compatible', '{"properties": {"a": {"type": "string"}}, "additionalProperties": false}', '{"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}'),
    ('incompatible', '{"properties": {"a": true}}', '{"properties": {"a": true}, "additionalProperties": false}'),
    ('incompatible', '{"properties": {"a": true, "b": true}, "additionalProperties": false}', '{"properties": {"a": true}, "additionalProperties": false}'),
    ('compatible', '{"properties": {"a": true, "b": false}, "additionalProperties": false}', '{"properties": {"a": true}, "additionalProperties": false}'),
    ('compatible', '{"additionalProperties": {"type": "string", "maxLength": 3}}', '{"additionalProperties": {"type": "string"}}'),
    ('compatible', '{"additionalProperties": {"type": "string"}}', '{"properties": {"a": {"type": "string"}}}'),
    ('compatible', '{"required": ["a", "b"]}', '{"required": ["b"]}'), ('incompatible', '{"required": ["a"]}', '{"required": ["a", "b"]}'),
    ('compatible', '{"required": ["a", "b"], "type": "object"}', '{"minProperties": 2}'), ('incompatible', '{"required": ["a"]}', '{"minProperties": 2}'),
    ('compatible', '{"properties": {"a": true}, "additionalProperties": false}', '{"maxProperties": 1}'), ('incompatible', '{"maxProperties": 3}', '{"maxProperties": 2}'),
    ('compatible', '{"patternProperties": {"^x": {"type": "integer"}}}', '{"patternProperties": {"^x": {"type": "number"}}}'),
    ('incompatible', '{"patternProperties": {"^x": {"type": "number"}}}', '{"patternProperties": {"^x": {"type": "integer"}}}'),
    ('compatible', '{"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": false}', '{"patternProperties": {"^x": true}, "additionalProperties": false}'),
    ('incompatible', '{"patternProperties": {"^x": true}, "additionalProperties": false}', '{"properties": {"x1": true}, "additionalProperties": false}'),
    ('compatible', '{"properties": {"xa": {"const": 1}}, "additionalProperties": {"const": 2}}', '{"patternProperties": {"^x": {"enum": [1, 2]}}}'),
    ('incompatible', '{"properties": {"xa": {"const": 3}}, "additionalProperties": {"const": 2}}', '{"patternProperties": {"^x": {"enum": [1, 2]}}}'),
    ('compatible', '{"propertyNames": {"maxLength": 3}}', '{"propertyNames": {"maxLength": 4}}'), ('incompatible', '{"propertyNames": {"maxLength": 4}}', '{"propertyNames": {"maxLength": 3}}'),
    ('compatible', '{"properties": {"abc": true}, "additionalProperties": false}', '{"propertyNames": {"maxLength": 3}}'),
    ('compatible', '{"dependentRequired": {"a": ["b", "c"]}}', '{"dependentRequired": {"a": ["b"]}}'), ('incompatible', '{"dependentRequired": {"a": ["b"]}}', '{"dependentRequired": {"a": ["b", "c"]}}'),
    ('compatible', '{"required": ["b"]}', '{"dependentRequired": {"a": ["b"]}}'), ('incompatible', '{}', '{"dependentRequired": {"a": ["b"]}}'),
    ('compatible', '{"dependentSchemas": {"a": {"maxProperties": 2}}}', '{"dependentSchemas": {"a": {"maxProperties": 3}}}'),
    ('incompatible', '{"dependentSchemas": {"a": {"maxProperties": 3}}}', '{"dependentSchemas": {"a": {"maxProperties": 2}}}'),
    ('compatible', '{"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}}', '{"dependentRequired": {"a": ["b"]}}'),
    -- arrays
    ('compatible', '{"items": {"type": "integer"}}', '{"items": {"type": "number"}}'), ('incompatible', '{"items": {"type": "number"}}', '{"items": {"type": "integer"}}'),
    ('compatible', '{"minItems": 2}', '{"minItems": 1}'), ('incompatible', '{"minItems": 1}', '{"minItems": 2}'),
    ('compatible', '{"maxItems": 2}', '{"maxItems": 3}'), ('incompatible', '{"maxItems": 3}', '{"maxItems": 2}'),
    ('compatible', '{"uniqueItems": true}', '{"uniqueItems": true}'), ('incompatible', '{"items": {"type": "string"}}', '{"uniqueItems": true}'),
    ('compatible', '{"maxItems": 1}', '{"uniqueItems": true}'), ('incompatible', '{"uniqueItems": true, "minItems": 5}', '{"maxItems": 5}'),
    ('compatible', '{"prefixItems": [{"const": 1}], "items": false}', '{"prefixItems": [{"type": "integer"}], "maxItems": 1}'),
    ('incompatible', '{"prefixItems": [{"type": "integer"}, true]}', '{"prefixItems": [{"type": "integer"}, {"type": "string"}]}'),
    ('compatible', '{"contains": {"const": 1}}', '{"contains": {"type": "integer"}}'), ('incompatible', '{"contains": {"type": "integer"}}', '{"contains": {"const": 1}}'),
    ('compatible', '{"contains": {"const": 1}, "minContains": 2}', '{"contains": {"const": 1}}'), ('incompatible', '{"contains": {"const": 1}, "maxContains": 3}', '{"contains": {"const": 1}, "maxContains": 2}'),
    -- combinations
    ('compatible', '{"type": ["string", "null"], "maxLength": 9}', '{"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]}'),
    ('compatible', '{"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]}', '{"type": ["string", "null"], "maxLength": 9}'),
    ('incompatible', '{"anyOf": [{"type": "string"}, {"type": "null"}]}', '{"type": ["string", "null"], "maxLength": 9}'),
    ('compatible', '{"type": ["string", "null"]}', '{"oneOf": [{"type": "string"}, {"type": "null"}]}'),
    ('incompatible', '{"type": "integer"}', '{"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}]}'),
    ('incompatible', '{"type": "integer", "multipleOf": 3}', '{"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}]}'),
    ('compatible', '{"allOf": [{"type": "string"}, {"maxLength": 3}]}', '{"type": "string", "maxLength": 3}'),
    ('compatible', '{"type": "string", "maxLength": 3}', '{"allOf": [{"type": "string"}, {"maxLength": 3}]}'),
    ('compatible', '{"type": "string"}', '{"not": {"type": "null"}}'), ('incompatible', '{}', '{"not": {"type": "null"}}'),
    ('compatible', '{"not": {"required": ["a"]}}', '{"not": {"required": ["a"]}}'),
    ('compatible', '{"required": ["k"], "properties": {"k": {"const": 1}}, "type": "object"}', '{"not": {"properties": {"k": {"const": 2}}, "required": ["k"]}}'),
    ('compatible', '{"if": {"type": "string"}, "then": {"maxLength": 3}}', '{"maxLength": 3}'), ('incompatible', '{"maxLength": 4}', '{"if": {"type": "string"}, "then": {"maxLength": 3}}'),
    ('compatible', '{"maxLength": 3}', '{"if": {"type": "string"}, "then": {"maxLength": 3}}'),
    ('incompatible', '{"properties": {"k": {"enum": ["a", "b"]}}}', '{"if": {"properties": {"k": {"const": "a"}}, "required": ["k"]}, "then": {"required": ["v"]}}'),
    ('compatible', '{"unevaluatedProperties": false, "properties": {"a": true}}', '{"unevaluatedProperties": false, "properties": {"a": true}}'),
    ('incompatible', '{"properties": {"a": true}}', '{"unevaluatedProperties": false, "properties": {"a": true}}'),
    -- references, drafts
    ('compatible', '{"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}, "v": {"type": "integer"}}}}, "$ref": "#/$defs/n"}',
        '{"$defs": {"m": {"type": "object", "properties": {"next": {"$ref": "#/$defs/m"}, "v": {"type": "number"}}}}, "$ref": "#/$defs/m"}'),
    ('incompatible', '{"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}, "v": {"type": "number"}}}}, "$ref": "#/$defs/n"}',
        '{"$defs": {"m": {"type": "object", "properties": {"next": {"$ref": "#/$defs/m"}, "v": {"type": "integer"}}}}, "$ref": "#/$defs/m"}'),
    ('compatible', '{"properties": {"next": {"$ref": "#"}}, "required": ["next"]}', '{"properties": {"next": {"$ref": "#"}}}'),
    ('compatible', '{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}', '{"exclusiveMinimum": 1}'),
    ('compatible', '{"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}', '{"prefixItems": [{"type": "null"}]}'),
    ('incompatible', '{"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{"type": "null"}]}', '{"prefixItems": [{"type": "null"}]}'),
    -- as waiting lists have them
    ('compatible', '{"type": "object", "properties": {"geo": {"type": ["string", "null"], "maxLength": 100}}, "additionalProperties": false}',
        '{"type": "object", "properties": {"geo": {"type": ["string", "null"], "maxLength": 100}, "platform": {"type": ["string", "null"], "maxLength": 100}}, "additionalProperties": false}'),
    ('incompatible', '{"type": "object", "properties": {"geo": {"type": ["string", "null"], "maxLength": 100}}, "additionalProperties": false}',
        '{"type": "object", "properties": {"geo": {"type": "string", "maxLength": 100}}, "additionalProperties": false}'),
    ('incompatible', '{"type": "object", "properties": {"geo": {"enum": ["at", "de"]}, "n": {"type": "integer"}}, "required": ["geo", "n"]}',
        '{"type": "object", "properties": {"geo": {"enum": ["de"]}, "n": {"type": "integer"}}, "required": ["geo", "n"]}'),
    ('incompatible', '{"type": "object", "properties": {"where": {"type": "object", "properties": {"cities": {"type": "array", "items": {"type": "string", "minLength": 2}}}}}}',
        '{"type": "object", "properties": {"where": {"type": "object", "properties": {"cities": {"type": "array", "items": {"type": "string", "minLength": 3}}}}}}'),
    -- a dynamic reference that can only mean one schema
    ('compatible', '{"$dynamicAnchor": "t", "type": ["object", "integer"], "properties": {"t": {"$dynamicRef": "#t"}}}',
        '{"$dynamicAnchor": "t", "type": ["object", "number"], "properties": {"t": {"$dynamicRef": "#t"}}}');
SELECT count(*), count(*) FILTER (WHERE expected = 'unknown') FROM pairs;

CREATE TEMP TABLE results AS
SELECT id, expected, old, new, ctms.json_schema_compare(old, new) AS result FROM pairs;
SELECT id, expected, result, old, new FROM results WHERE result ->> 'compatibility' <> expected ORDER BY id;
-- What the examples look like.
SELECT id, result -> 'example' AS example FROM results WHERE result ? 'example' AND length(result ->> 'example') < 60 ORDER BY id;
SELECT result -> 'errors' FROM results WHERE result ? 'errors' ORDER BY id DESC LIMIT 1;
-- An example is there exactly where it must be, and right.
SELECT id FROM results
WHERE (result ->> 'compatibility' = 'incompatible') <> (result ? 'example') OR (result ? 'example') <> (result ? 'errors')
    OR (result ? 'example' AND (NOT ctms.json_schema_is_valid(old, result -> 'example') OR ctms.json_schema_is_valid(new, result -> 'example')))
ORDER BY id;

-- All schemas against each other: examples are right, and what is proved is not contradicted
-- by the search, nor by any document that was found for another pair.
CREATE TEMP TABLE schemas AS
SELECT row_number() OVER (ORDER BY schema::text COLLATE "C") AS id, schema
FROM (SELECT old AS schema FROM pairs UNION SELECT new FROM pairs) AS s;
CREATE TEMP TABLE crossed AS
SELECT a.id AS old_id, b.id AS new_id, a.schema AS old, b.schema AS new,
    ctms.json_schema_compare(a.schema, b.schema) AS result
FROM schemas AS a, schemas AS b WHERE (a.id + b.id) % 8 = 0 OR a.id = b.id;
SELECT count(*) > 1500 AS many,
    count(*) FILTER (WHERE result ->> 'compatibility' = 'compatible') > 200 AS proved,
    count(*) FILTER (WHERE result ->> 'compatibility' = 'unknown') * 20 < count(*) AS few_unknown
FROM crossed;
SELECT old, new, result -> 'example' FROM crossed
WHERE result ? 'example'
    AND (NOT ctms.json_schema_is_valid(old, result -> 'example') OR ctms.json_schema_is_valid(new, result -> 'example'));
SELECT old, new FROM crossed WHERE old_id = new_id AND result ->> 'compatibility' <> 'compatible';
SELECT old, new, ctms._json_schema_example(old, new) FROM crossed
WHERE result ->> 'compatibility' = 'compatible' AND ctms._json_schema_example(old, new) IS NOT NULL;
CREATE TEMP TABLE documents AS SELECT DISTINCT result -> 'example' AS document FROM crossed WHERE result ? 'example';
SELECT c.old, c.new, d.document FROM crossed AS c, documents AS d
WHERE c.result ->> 'compatibility' = 'compatible' AND c.old_id <> c.new_id
    AND ctms.json_schema_is_valid(c.old, d.document) AND NOT ctms.json_schema_is_valid(c.new, d.document);

-- Hostile: bounded, and an error where the engine has one.
SELECT ctms.json_schema_compare(old, new) ->> 'compatibility' FROM (VALUES
    ((SELECT jsonb_build_object('anyOf', jsonb_agg(jsonb_build_object('const', n))) FROM generate_series(1, 400) AS n),
     (SELECT jsonb_build_object('enum', jsonb_agg(n)) FROM generate_series(1, 399) AS n)),
    ((SELECT jsonb_build_object('properties', jsonb_object_agg('p' || n, '{"type": "string"}'::jsonb)) FROM generate_series(1, 3000) AS n),
     (SELECT jsonb_build_object('properties', jsonb_object_agg('p' || n, jsonb_build_object('type', CASE n WHEN 2999 THEN 'null' ELSE 'string' END))) FROM generate_series(1, 3000) AS n)),
    ((SELECT jsonb_build_object('allOf', jsonb_agg(jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('minimum', n), jsonb_build_object('maximum', -n))))) FROM generate_series(1, 40) AS n),
     '{"not": {"const": 0.25}}'::jsonb),
    ((repeat('{"properties": {"a": ', 300) || '{"type": "integer"}' || repeat('}}', 300))::jsonb,
     (repeat('{"properties": {"a": ', 300) || '{"type": "number"}' || repeat('}}', 300))::jsonb)
) AS v (old, new);
\set VERBOSITY terse
SELECT ctms.json_schema_compare('{"$ref": "#"}', '{"type": "null"}') ->> 'compatibility';
\set VERBOSITY default
SELECT ctms.json_schema_compare('{"type": 1}', '{}');
SELECT ctms.json_schema_compare('{}', '[]');
SELECT ctms.json_schema_compare(NULL, '{}') IS NULL;
