# Conformance of the JSON Schema engine, measured with the JSON-Schema-Test-Suite: prints a
# table by draft, and fails when a count drops below what is known to pass.
#
# CTMS_JSON_SCHEMA_SUITE is the suite's folder (../shared/data/JSON-Schema-Test-Suite);
# without it the test is skipped. CTMS_JSON_SCHEMA_MISSES=1 names every case that fails.
use strict;
use warnings;
use File::Find;
use CTMS::Test qw(slurp);
use Test::More;

my $suite = $ENV{CTMS_JSON_SCHEMA_SUITE} || "$ENV{CTMS_TEST_TOP}/../shared/data/JSON-Schema-Test-Suite";
plan skip_all => "no JSON-Schema-Test-Suite at $suite" unless -d "$suite/tests";

my @drafts = ([ 'draft4', '4' ], [ 'draft6', '6' ], [ 'draft7', '7' ],
    [ 'draft2019-09', '2019-09' ], [ 'draft2020-12', '2020-12' ]);

# What must pass, of all the cases there are.
my %known = (
    required => { '4' => 618, '6' => 839, '7' => 927, '2019-09' => 1259, '2020-12' => 1299 },
    optional => { '4' => 99, '6' => 106, '7' => 114, '2019-09' => 158, '2020-12' => 162 },
    format => { '4' => 219, '6' => 325, '7' => 676, '2019-09' => 757, '2020-12' => 764 });

my $ctms = CTMS::Test->new('suite', conf => "client_min_messages = warning\nmax_stack_depth = 2MB");

sub literal
{
    my ($text) = @_;
    $text =~ s/'/''/g;
    return "'$text'";
}

sub json_files
{
    my ($folder) = @_;
    my @files;
    return () unless -d $folder;
    find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.json$/ } }, $folder);
    return sort @files;
}

# JSON taken apart without a change to its text: numbers and escapes must arrive as written.
my $grammar = qr/(?(DEFINE)
    (?<value> \s* (?: (?&object) | (?&array) | (?&string) | [-+.0-9A-Za-z]+ ) \s* )
    (?<string> \s* "(?: [^"\\]++ | \\. )*+" \s* )
    (?<array> \[ \s* (?: (?&value) (?: , (?&value) )*+ )? \] )
    (?<object> \{ \s* (?: (?&string) : (?&value) (?: , (?&string) : (?&value) )*+ )? \} )
)/xs;

sub elements
{
    my ($text) = @_;
    my @elements;
    $text =~ /\A\s*\[/g or die "not an array";
    push @elements, $1 while $text =~ /\G((?&value))[,\]]$grammar/gc;
    return @elements;
}

sub members
{
    my ($text) = @_;
    my %members;
    $text =~ /\A\s*\{/g or die "not an object";
    while ($text =~ /\G((?&string)):((?&value))[,\}]$grammar/gc)
    {
        my ($name, $value) = ($1, $2);
        $name =~ s/^\s*"|"\s*$//g;
        $members{$name} = $value;
    }
    return \%members;
}

my @load = ('CREATE TABLE public.suite (draft text, kind text, file text, "group" text, test text, schema json, instance json, expected text)');
for my $file (json_files("$suite/remotes"))
{
    my ($path) = $file =~ m{/remotes/(.*)};
    push @load, "INSERT INTO ctms.json_schema_document VALUES ('http://localhost:1234/$path', "
        . literal(slurp($file)) . ')';
}
for (@drafts)
{
    my ($folder, $draft) = @$_;
    for my $file (json_files("$suite/tests/$folder"))
    {
        my $kind = $file =~ m{/optional/format/} ? 'format' : $file =~ m{/optional/} ? 'optional' : 'required';
        my ($name) = $file =~ m{/tests/$folder/(.*)\.json};
        for my $group (map { members($_) } elements(slurp($file)))
        {
            push @load, map { "INSERT INTO public.suite VALUES ('$draft', '$kind', '$name', " . join(', ', map { literal($_) }
                $group->{description}, $_->{description}, $group->{schema}, $_->{data}, $_->{valid} =~ s/\s//gr) . ')' }
                map { members($_) } elements($group->{tests});
        }
    }
}
$ctms->sql(join(";\n", @load) . q{;
CREATE FUNCTION public.verdict(schema json, instance json, options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    valid boolean;
BEGIN
    valid := ctms.json_schema_is_valid(schema, instance, options);
    -- The explanation must agree with the verdict.
    IF valid <> (ctms.json_schema_validate(schema, instance, 'basic', options) ->> 'valid')::boolean THEN
        RETURN 'the evaluators disagree';
    END IF;
    RETURN valid::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$$});
$ctms->sql(q{
CREATE TABLE public.results AS
SELECT s.*, public.verdict(schema, instance, jsonb_build_object('draft', draft, 'assertFormats', kind = 'format')) AS actual
FROM public.suite AS s});

for my $kind (qw(required optional format))
{
    for (@drafts)
    {
        my $draft = $_->[1];
        my ($passed, $all) = split /\|/, $ctms->sql(
            "SELECT count(*) FILTER (WHERE expected = actual), count(*) FROM public.results WHERE kind = '$kind' AND draft = '$draft'");
        cmp_ok($passed, '>=', $known{$kind}{$draft}, "$kind, draft $draft: $passed of $all pass");
    }
}
# ---- annotations: those of draft 2020-12 ---------------------------------------------

sub applies
{
    my ($compatibility) = @_;
    for (split /,/, $compatibility =~ s/[\s"]//gr)
    {
        return 0 if /^<=(\d+)$/ && 2020 > $1 or /^=(\d+)$/ && 2020 != $1 or /^(\d+)$/ && 2020 < $1;
    }
    return 1;
}

my @annotations;
for my $case (map { members($_) } map { elements(members(slurp($_))->{suite}) } json_files("$suite/annotations/tests"))
{
    next unless applies($case->{compatibility} // '');
    for my $test (map { members($_) } elements($case->{tests}))
    {
        push @annotations, map { "INSERT INTO public.annotations VALUES (" . join(', ', map { literal($_) }
            $case->{description}, $case->{schema}, $case->{externalSchemas} // '{}', $test->{instance}, $_) . ')' }
            elements($test->{assertions});
    }
}
# A location of the suite is a pointer from the root; ours begins at the nearest "$id".
$ctms->sql("CREATE TABLE public.annotations (description text, schema jsonb, external jsonb, instance jsonb, assertion jsonb);\n"
    . join(";\n", @annotations) . q{;
INSERT INTO ctms.json_schema_document SELECT key, value FROM public.annotations, jsonb_each(external) ON CONFLICT DO NOTHING;
CREATE TABLE public.annotation_results AS
SELECT a.*, f.found, coalesce((SELECT bool_and(EXISTS (SELECT FROM jsonb_array_elements(f.found) AS x
        WHERE x -> 'annotation' = e.value
            AND right(e.key, length(split_part(x ->> 'at', '#', 2))) = split_part(x ->> 'at', '#', 2)))
        FROM jsonb_each(assertion -> 'expected') AS e), true)
    AND jsonb_array_length(f.found) = (SELECT count(*) FROM jsonb_each(assertion -> 'expected')) AS passes
FROM public.annotations AS a, LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('annotation', u -> 'annotation',
        'at', regexp_replace(u ->> 'absoluteKeywordLocation', '/[^/]*$', ''))), '[]') AS found
    FROM jsonb_array_elements(ctms.json_schema_validate(schema, instance, 'basic') -> 'annotations') AS u
    WHERE u ->> 'instanceLocation' = assertion ->> 'location'
        AND u ->> 'keywordLocation' LIKE '%/' || (assertion ->> 'keyword')) AS f});
is($ctms->sql('SELECT count(*) FILTER (WHERE NOT passes) FROM public.annotation_results'), 0,
    'annotations: ' . $ctms->sql('SELECT count(*) FROM public.annotation_results') . ' assertions')
    or diag $ctms->sql(q{SELECT description || ' ' || assertion || ' found ' || found FROM public.annotation_results WHERE NOT passes});

# ---- output formats --------------------------------------------------------------------

my @outputs = (q{INSERT INTO ctms.json_schema_document VALUES ('https://json-schema.org/v1',
    '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://json-schema.org/v1"}')});
for my $file (json_files("$suite/output-tests"))
{
    my $text = slurp($file);
    if ($file =~ /output-schema\.json$/)
    {
        my $id = members($text)->{'$id'} =~ s/[\s"]//gr;
        push @outputs, "INSERT INTO ctms.json_schema_document VALUES ('$id', " . literal($text) . ')';
        next;
    }
    for my $case (map { members($_) } elements($text))
    {
        for my $test (map { members($_) } elements($case->{tests}))
        {
            my $output = members($test->{output});
            push @outputs, map { "INSERT INTO public.outputs VALUES (" . join(', ', map { literal($_) }
                $test->{description}, $case->{schema}, $test->{data}, $_, $output->{$_}) . ')' } sort keys %$output;
        }
    }
}
$ctms->sql("CREATE TABLE public.outputs (description text, schema jsonb, instance jsonb, format text, expected jsonb);\n"
    . join(";\n", @outputs));
is($ctms->sql(q{SELECT count(*) FROM public.outputs
        WHERE NOT ctms.json_schema_is_valid(expected, ctms.json_schema_validate(schema, instance, format))}), 0,
    'output: ' . $ctms->sql('SELECT count(*) FROM public.outputs') . ' cases')
    or diag $ctms->sql(q{SELECT description || ' ' || format || ': ' || ctms.json_schema_validate(schema, instance, format)
        FROM public.outputs WHERE NOT ctms.json_schema_is_valid(expected, ctms.json_schema_validate(schema, instance, format))});

note $ctms->sql(q{
    SELECT kind || ': ' || string_agg(draft || ' ' || passed || '/' || total, ', ' ORDER BY length(draft), draft)
        || '; together ' || sum(passed) || '/' || sum(total)
    FROM (SELECT kind, draft, count(*) FILTER (WHERE expected = actual) AS passed, count(*) AS total
          FROM public.results GROUP BY kind, draft) AS c GROUP BY kind ORDER BY kind DESC});
diag $ctms->sql(q{
    SELECT format('%s %s %s: %s: %s: %s, not %s', kind, draft, file, "group", test, actual, expected)
    FROM public.results WHERE expected <> actual ORDER BY kind DESC, draft, file, "group", test})
    if $ENV{CTMS_JSON_SCHEMA_MISSES};
done_testing();
