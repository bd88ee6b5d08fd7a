# Tables of another user, who validates their own columns: constraints, columns of type
# ctms.json_schema, arrays, domains, COPY, parallel queries; and that all of it survives a dump.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('tables');
my $node = $ctms->node;

# "aaa" comes before "ctms" in a dump.
$ctms->sql(q{
    INSERT INTO ctms.json_schema_document
        VALUES ('https://example.com/address', '{"type": "object", "required": ["city"]}');
    CREATE SCHEMA aaa;
    CREATE TABLE aaa.checked (id int,
        doc jsonb CHECK (ctms.json_schema_assert('{"$ref": "https://example.com/address"}', doc)));
    CREATE DOMAIN aaa.string_schema AS ctms.json_schema CHECK (VALUE ->> 'type' = 'string');
    CREATE TABLE aaa.schemas (id int PRIMARY KEY, schema ctms.json_schema DEFAULT 'true',
        list ctms.json_schema[], domain aaa.string_schema);
    CREATE INDEX ON aaa.schemas (schema);
    INSERT INTO aaa.checked VALUES (1, '{"city": "Ulm"}');
    INSERT INTO aaa.schemas VALUES (1, '{"$ref": "https://example.com/address"}',
        '{"{\"minimum\": 3}", "false"}', '{"type": "string"}');
    INSERT INTO aaa.schemas (id) VALUES (2);});

# ---- what is refused ---------------------------------------------------------------------

sub state_is
{
    my ($sql, $state, $name) = @_;
    return is($ctms->sql_error($sql)->{state}, $state, $name);
}
state_is(q{INSERT INTO aaa.checked VALUES (2, '{}')}, '23514', 'a row that breaks the constraint');
state_is(q{INSERT INTO aaa.schemas VALUES (3, '{"type": 1}')}, '22023', 'a schema that is none');
state_is(q{INSERT INTO aaa.schemas (id, list) VALUES (3, '{"{\"type\": 1}"}')}, '22023',
    'in an array');
state_is(q{INSERT INTO aaa.schemas (id, list)
    VALUES (3, ARRAY['{"type": 1}'::jsonb]::ctms.json_schema[])}, '22023', 'cast as an array');
state_is(q{INSERT INTO aaa.schemas (id, domain) VALUES (3, '{"type": 1}')}, '22023', 'of a domain');
state_is(q{INSERT INTO aaa.schemas (id, domain) VALUES (3, '{"type": "number"}')}, '23514',
    'that its domain refuses');
state_is(q{UPDATE aaa.schemas SET schema = jsonb_set(schema, '{type}', '1')
    WHERE id = 1}, '22023', 'an update');
state_is(q{COPY (SELECT 3, '{"type": 1}'::jsonb) TO '} . $node->basedir
    . q{/bad' (FORMAT binary); COPY aaa.schemas (id, schema) FROM '}
    . $node->basedir . q{/bad' (FORMAT binary)}, '22023', 'a binary copy');
state_is(q{ALTER TABLE aaa.schemas ALTER schema SET DEFAULT '{"type": 1}'}, '22023', 'a default');
state_is(q{BEGIN; CREATE TABLE t AS SELECT '{"type": 1}'::jsonb AS s;
    ALTER TABLE t ALTER s TYPE ctms.json_schema}, '22023', 'a change of type');

# ---- what holds ----------------------------------------------------------------------------

is($ctms->sql(q{SELECT id, ctms.json_schema_is_valid(schema, '{}'),
    (SELECT string_agg(ctms.json_schema_is_valid(s, '5')::text, ' ') FROM unnest(list) AS s),
        ctms.json_schema_is_valid(domain, '"a"') FROM aaa.schemas ORDER BY id}),
    "1|f|true false|t\n2|t||", 'columns of schemas are schemas');
is($ctms->sql(q{
    CREATE TABLE aaa.many AS SELECT jsonb_build_object('city', i) AS doc
        FROM generate_series(1, 20000) AS i;
    INSERT INTO aaa.many VALUES ('{}');
    ANALYZE aaa.many;
    SET max_parallel_workers_per_gather = 2;
    SET min_parallel_table_scan_size = 0;
    SET parallel_setup_cost = 0;
    SET parallel_tuple_cost = 0;
    SELECT count(*) FROM aaa.many
        WHERE NOT ctms.json_schema_is_valid('{"$ref": "https://example.com/address"}', doc);
    DROP TABLE aaa.many}), '1', 'a parallel query reads the document that the schema refers to');
is($ctms->sql(q{
    SET ctms.json_schema_cache_size = '1MB';
    SELECT count(*) FROM generate_series(1, 3000) AS i
        WHERE ctms.json_schema_is_valid(jsonb_build_object('required', jsonb_build_array('n' || i)),
        '{"n7": 1}');
    SELECT sum(total_bytes) < 2000000 FROM pg_backend_memory_contexts WHERE name = 'JSON Schema'}),
    "1\nt", 'many schemas keep to the budget');

# ---- dump and restore --------------------------------------------------------------------------

# Existing rows stay, even if their document has changed.
$ctms->sql(q{UPDATE ctms.json_schema_document
    SET schema = '{"type": "object", "required": ["city", "street"]}'});
my $folder = $PostgreSQL::Test::Utils::tmp_check;
my @to = ('-h', $node->host, '-p', $node->port);
command_ok([ 'pg_dump', @to, '-Fc', '-f', "$folder/tables.dump", 'ctms' ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', @to, '--exit-on-error', '-d', 'restored', "$folder/tables.dump" ],
    'restore');
for my $table (qw(aaa.checked aaa.schemas ctms.json_schema_document))
{
    is($node->safe_psql('restored', "TABLE $table"),
        $node->safe_psql('ctms', "TABLE $table"), "$table is restored");
}
my ($rc, $out, $err) = $node->psql('restored',
    q{INSERT INTO aaa.checked VALUES (2, '{"city": "Ulm"}')});
like($err, qr/not valid under its JSON Schema/, 'and its constraint holds for new rows');
done_testing();
