# Real schemas with their documents: every document is valid, and with one value broken in a way
# that its schema forbids it is refused at that place.
#
# CTMS_JSON_SCHEMA_CORPORA is a folder of NAME/schema.json and NAME/instances.jsonl
# (../shared/data/json-schema-corpora); without it the test is skipped. CTMS_TEST_DOCUMENTS (100)
# of each are taken, 0 for all.
#
# What to break is found by asking: values of each document are replaced, one at a time, by a
# value of another kind, and the first replacement that a validator written in a few lines of SQL,
# over the schema's own words, knows to be forbidden is taken. It knows "type", "enum" and "const" on the
# way of "properties" and "items" through local references, outside of alternatives.
use strict;
use warnings;
use CTMS::JsonSchemaSuite qw(literal);
use CTMS::Test qw(slurp);
use Test::More;

my $corpora = $ENV{CTMS_JSON_SCHEMA_CORPORA} || "$ENV{CTMS_TEST_TOP}/../shared/data/json-schema-corpora";
my @names = map { m{([^/]+)/schema\.json$} ? $1 : () } sort glob "$corpora/*/schema.json";
plan skip_all => "no schemas at $corpora" unless @names;
my $documents = $ENV{CTMS_TEST_DOCUMENTS} // 100;

my $ctms = CTMS::Test->new('corpora');
$ctms->sql(q{
CREATE TABLE public.corpus (name text PRIMARY KEY, schema jsonb);
CREATE TABLE public.document (id serial PRIMARY KEY, name text, doc jsonb);

-- Follows "$ref": "#/..." to the schema that it means. Before 2019-09 its siblings do not count.
CREATE FUNCTION public.deref(root jsonb, schema jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 20 LOOP
        EXIT WHEN jsonb_typeof(schema) <> 'object' OR NOT schema ? '$ref';
        IF schema ->> '$ref' NOT LIKE '#%' THEN
            RETURN 'true';
        END IF;
        schema := coalesce(root #> (string_to_array(replace(replace(substr(schema ->> '$ref', 3), '~1', '/'), '~0', '~'), '/')), 'true');
    END LOOP;
    RETURN schema;
END $$;

-- Places of the document with the schema that must hold there, as JSON Pointers.
CREATE FUNCTION public.places(root jsonb, doc jsonb) RETURNS TABLE (path text[], pointer text, value jsonb, schema jsonb) LANGUAGE sql AS $$
    WITH RECURSIVE place AS (
        SELECT '{}'::text[] AS path, '' AS pointer, doc AS value, public.deref(root, root) AS schema
        UNION ALL
        SELECT p.path || c.key, p.pointer || '/' || replace(replace(c.key, '~', '~0'), '/', '~1'), c.value, public.deref(root, c.schema)
        FROM place AS p, LATERAL (
            SELECT m.key, m.value, p.schema -> 'properties' -> m.key AS schema
            FROM jsonb_each(CASE jsonb_typeof(p.value) WHEN 'object' THEN p.value ELSE '{}' END) AS m
            WHERE p.schema -> 'properties' ? m.key
            UNION ALL
            SELECT (i.number - 1)::text, i.value, p.schema -> 'items'
            FROM jsonb_array_elements(CASE jsonb_typeof(p.value) WHEN 'array' THEN p.value ELSE '[]' END) WITH ORDINALITY AS i (value, number)
            WHERE jsonb_typeof(p.schema -> 'items') = 'object') AS c
        WHERE jsonb_typeof(p.schema) = 'object')
    SELECT path, pointer, value, schema FROM place WHERE jsonb_typeof(schema) = 'object' $$;

-- Something that the schema's "type", "enum" or "const" does not allow; null when they say nothing.
CREATE FUNCTION public.forbidden(schema jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT v.value FROM (VALUES (1, '{"no such thing": 1}'::jsonb, 'object'), (2, '["no such thing"]', 'array'), (3, '"no such thing"', 'string'),
        (4, '-0.123', 'number'), (5, 'null', 'null')) AS v (rank, value, type)
    WHERE schema ? 'type' AND NOT (CASE jsonb_typeof(schema -> 'type') WHEN 'array' THEN schema -> 'type' ELSE jsonb_build_array(schema -> 'type') END)
            ?| ARRAY[v.type, CASE v.type WHEN 'number' THEN 'integer' END]
        OR schema ? 'enum' AND NOT schema -> 'enum' @> jsonb_build_array(v.value) AND jsonb_typeof(v.value) NOT IN ('object', 'array')
        OR schema ? 'const' AND schema -> 'const' <> v.value
    ORDER BY v.rank LIMIT 1 $$;

-- The deepest place that can be broken; the document with it broken.
CREATE FUNCTION public.broken(root jsonb, doc jsonb, OUT pointer text, OUT value jsonb) LANGUAGE sql AS $$
    SELECT p.pointer, CASE WHEN p.path = '{}' THEN public.forbidden(p.schema) ELSE jsonb_set(doc, p.path, public.forbidden(p.schema)) END
    FROM public.places(root, doc) AS p WHERE public.forbidden(p.schema) IS NOT NULL
    ORDER BY cardinality(p.path) DESC, p.pointer LIMIT 1 $$;
});

for my $name (@names)
{
    my @lines = split /\n/, slurp("$corpora/$name/instances.jsonl");
    splice @lines, $documents if $documents && @lines > $documents;
    $ctms->sql("INSERT INTO public.corpus VALUES ('$name', " . literal(slurp("$corpora/$name/schema.json")) . ');'
        . "INSERT INTO public.document (name, doc) VALUES " . join(',', map { "('$name', " . literal($_) . ')' } @lines));
    my ($total, $valid) = split /\|/, $ctms->sql(qq{SELECT count(*), count(*) FILTER (WHERE ctms.json_schema_is_valid(c.schema, d.doc)
            AND NOT EXISTS (SELECT FROM ctms.json_schema_errors(c.schema, d.doc)))
        FROM public.document AS d JOIN public.corpus AS c USING (name) WHERE d.name = '$name'});
    is($valid, $total, "$name: all of $total documents are valid");
    my ($broken, $refused, $placed) = split /\|/, $ctms->sql(qq{
        SELECT count(b.value), count(*) FILTER (WHERE NOT ctms.json_schema_is_valid(c.schema, b.value)),
            count(*) FILTER (WHERE EXISTS (SELECT FROM ctms.json_schema_errors(c.schema, b.value) AS e WHERE e.instance_location = b.pointer))
        FROM public.document AS d JOIN public.corpus AS c USING (name), public.broken(c.schema, d.doc) AS b WHERE d.name = '$name' AND b.value IS NOT NULL});
    is("$refused $placed", "$broken $broken", "$name: $broken of them broken, all are refused at that place");
}
done_testing();
