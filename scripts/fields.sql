-- Prints docs/fields.md from what /openapi.json is made of: ctms.contact_schemas() and
-- rest/openapi_parts.json; called by scripts/generate-sql-reference.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET search_path = pg_catalog;
\set parts `cat rest/openapi_parts.json`

CREATE FUNCTION pg_temp.types(schema json) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN schema -> '$ref' IS NOT NULL THEN format('`%s`', regexp_replace(schema ->> '$ref', '.*/', ''))
        WHEN schema -> 'anyOf' IS NOT NULL THEN (SELECT string_agg(COALESCE(s ->> 'type', 'anything'), ' or ')
            FROM json_array_elements(schema -> 'anyOf') AS s)
        WHEN json_typeof(schema -> 'type') = 'array' THEN (SELECT string_agg(t, ' or ') FROM json_array_elements_text(schema -> 'type') AS t)
        ELSE COALESCE(schema ->> 'type', 'anything') END
$$;
CREATE FUNCTION pg_temp.rules(schema json, is_required boolean) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ',
        pg_temp.types(schema) || COALESCE(' of ' || NULLIF(pg_temp.types(schema -> 'items'), 'anything'), ''),
        schema ->> 'format',
        CASE WHEN is_required THEN 'required' END,
        'one of ' || (SELECT string_agg(format('`%s`', v), ' ') FROM json_array_elements(schema -> 'enum') AS v),
        '`' || (schema -> 'const')::text || '`',
        (schema ->> 'minLength') || ' or more characters',
        'at most ' || (schema ->> 'maxLength') || ' characters',
        '`' || (schema -> 'default')::text || '` unless given')
$$;
CREATE FUNCTION pg_temp.example(value json) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN json_typeof(value) IN ('object', 'array') THEN value::jsonb::text ELSE value #>> '{}' END
$$;
CREATE FUNCTION pg_temp.line(name text, schema json, is_required boolean, note text) RETURNS text LANGUAGE sql AS $$
    SELECT format('| `%s` | %s | `%s` | %s |', name, concat_ws('; ', pg_temp.rules(schema, is_required), note),
        replace(pg_temp.example(schema -> 'examples' -> 0), '|', '\|'), replace(schema ->> 'description', '|', '\|'))
$$;

\qecho '# Fields of bodies and answers'
\qecho
\qecho 'What `/openapi.json` says of each field. Written by `make sql-reference`; do not edit. Descriptions of'
\qecho 'a contact''s fields are the comments on their columns (`extension/sql/10_tables.sql`), types and examples'
\qecho 'are in `extension/contact/fields.h`, all the rest in `rest/openapi_parts.json`.'
\qecho
\qecho '## Contacts'
\qecho
\qecho 'As bodies of POST and PUT may give them; answers have all of them. PATCH requires nothing but the names'
\qecho 'in lists, and nothing is given unless it is named.'
\qecho
WITH s AS (SELECT ctms.contact_schemas() AS schemas)
SELECT format(E'### `%s`\n\n%s.\n\n| field | form | example | |\n|---|---|---|---|\n%s\n', g.key, g.value ->> 'description',
    (SELECT string_agg(pg_temp.line(a.key, COALESCE(b.schema -> a.key, a.value),
            (schemas -> ('new_' || g.key) -> 'required')::jsonb ? a.key,
            CASE WHEN b.schema -> a.key IS NULL THEN 'in answers' END), E'\n' ORDER BY a.ordinality)
     FROM json_each(g.value -> 'properties') WITH ORDINALITY AS a,
         (SELECT schemas -> ('new_' || g.key) -> 'properties') AS b (schema)))
FROM s, json_each(schemas) WITH ORDINALITY AS g
WHERE schemas -> ('new_' || g.key) IS NOT NULL AND g.key <> 'contact' ORDER BY g.ordinality;

\qecho '## Other bodies and answers'
\qecho
WITH RECURSIVE properties (schema, place, name, value, is_required) AS (
    SELECT s.key, ARRAY[s.ordinality, p.ordinality], p.key, p.value, (s.value -> 'required')::jsonb ? p.key
    FROM json_each(:'parts'::json -> 'schemas') WITH ORDINALITY AS s,
        json_each(s.value -> 'properties') WITH ORDINALITY AS p
    UNION ALL
    SELECT o.schema, o.place || p.ordinality, o.name || '.' || p.key, p.value, (o.value -> 'required')::jsonb ? p.key
    FROM properties AS o, json_each(o.value -> 'properties') WITH ORDINALITY AS p
)
SELECT format(E'### `%s`\n\n%s.\n\n| field | form | example | |\n|---|---|---|---|\n%s\n', schema,
    :'parts'::json #>> ARRAY['schemas', schema, 'description'],
    string_agg(pg_temp.line(name, value, is_required, NULL), E'\n' ORDER BY place))
FROM properties GROUP BY schema ORDER BY min(place);
