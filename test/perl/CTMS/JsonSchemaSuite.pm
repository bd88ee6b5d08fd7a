package CTMS::JsonSchemaSuite;

# Runs the JSON-Schema-Test-Suite against the engine: loads the cases into a database, judges
# them there, and reports which passed.
#
#   my $suite = CTMS::JsonSchemaSuite->new($ctms, $folder);   # tables public.suite_result …
#   for my $row ($suite->counts) { ... }      # {kind, draft, passed, total}
#   print $suite->table; print $suite->misses;
#
# Kinds: required, optional, format (with formats asserted), annotations, output. Documents
# are taken apart without a change to their text: numbers and escapes arrive as written.

use strict;
use warnings;
use File::Find;
use CTMS::Test qw(slurp);
use Exporter 'import';

our @EXPORT_OK = qw(corpora_names literal elements members);

my @drafts = ([ 'draft4', '4' ], [ 'draft6', '6' ], [ 'draft7', '7' ],
    [ 'draft2019-09', '2019-09' ], [ 'draft2020-12', '2020-12' ]);

# Cases that are known to fail, and why.
my @explained = (
    [ qr{^optional 4 optional/zeroTerminatedFloats: } =>
        'by jsonb, 1.0 and 1 are equal: a verdict must not tell apart what jsonb does not '
        . '(drafts from 6 on say so too)' ],
);

sub literal
{
    my ($text) = @_;
    $text =~ s/'/''/g;
    return "'$text'";
}

# The real schemas in a folder of NAME/schema.json with NAME/instances.jsonl. All can be read.
sub corpora_names
{
    my ($folder) = @_;
    my @names = map { m{([^/]+)/schema\.json$} ? $1 : () } sort glob "$folder/*/schema.json";
    for my $file (map { ("$folder/$_/schema.json", "$folder/$_/instances.jsonl") } @names)
    {
        die "ctms: $file is empty or cannot be read\n" if slurp($file) eq '';
    }
    return @names;
}

sub json_files
{
    my ($folder) = @_;
    my @files;
    return () unless -d $folder;
    find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.json$/ } }, $folder);
    @files = sort @files;
    return @files;
}

# ---- JSON as text ------------------------------------------------------------------------

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

# A JSON string without escapes, as text.
sub plain { return $_[0] =~ s/^\s*"|"\s*$//gr }

# ---- verdicts ----------------------------------------------------------------------------

sub remotes
{
    my ($folder) = @_;
    return map {
        my ($path) = m{/remotes/(.*)};
        "INSERT INTO ctms.json_schema_document VALUES ('http://localhost:1234/$path', "
            . literal(slurp($_)) . ')'
    } json_files("$folder/remotes");
}

sub verdict_cases
{
    my ($folder) = @_;
    my @load =
        ('CREATE TABLE public.suite (draft text, kind text, file text, "group" text, test text,'
            . ' schema json, instance json, expected text)');
    for (@drafts)
    {
        my ($subfolder, $draft) = @$_;
        for my $file (json_files("$folder/tests/$subfolder"))
        {
            my $kind = $file =~ m{/optional/format/} ? 'format'
                : $file =~ m{/optional/} ? 'optional' : 'required';
            my ($name) = $file =~ m{/tests/$subfolder/(.*)\.json};
            for my $group (map { members($_) } elements(slurp($file)))
            {
                push @load, map { "INSERT INTO public.suite VALUES ('$draft', '$kind', '$name', "
                    . join(', ', map { literal($_) }
                    plain($group->{description}), plain($_->{description}),
                    $group->{schema}, $_->{data},
                    $_->{valid} =~ s/\s//gr) . ')' } map { members($_) } elements($group->{tests});
            }
        }
    }
    return @load;
}

# The explanation must agree with the verdict. Formats and contents may be asserted in the
# optional cases that are about them.
my $verdicts = q{
CREATE FUNCTION public.verdict(schema json, instance json, options jsonb)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    valid boolean;
BEGIN
    valid := ctms.json_schema_is_valid(schema, instance, options);
    IF valid <> (ctms.json_schema_validate(schema, instance, 'basic',
        options) ->> 'valid')::boolean THEN
        RETURN 'the evaluators disagree';
    END IF;
    RETURN valid::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$$;
CREATE TABLE public.suite_result AS
SELECT kind, draft, file || ': ' || "group" || ': ' || test AS name, expected,
    public.verdict(schema, instance,
        jsonb_build_object('draft', draft, 'assertFormats', kind = 'format',
        'assertContent', file = 'optional/content')) AS actual
FROM public.suite};

# ---- annotations -------------------------------------------------------------------------

sub applies
{
    my ($compatibility, $draft) = @_;
    my ($release) = $draft =~ /^(\d+)/;
    for (split /,/, plain($compatibility))
    {
        return 0 if /^<=(\d+)$/ ? $release > $1 : /^=(\d+)$/ ? $release != $1 : $release < $_;
    }
    return 1;
}

sub annotation_cases
{
    my ($folder) = @_;
    my @load = ('CREATE TABLE public.annotation (draft text, description text,
        schema jsonb, external jsonb, instance jsonb, assertion jsonb)');
    for my $case (map { members($_) } map { elements(members(slurp($_))->{suite}) }
        json_files("$folder/annotations/tests"))
    {
        for my $draft (grep { applies($case->{compatibility} // '', $_) } map { $_->[1] } @drafts)
        {
            for my $test (map { members($_) } elements($case->{tests}))
            {
                push @load, map { "INSERT INTO public.annotation VALUES ('$draft', "
                    . join(', ', map { literal($_) }
                    plain($case->{description}), $case->{schema}, $case->{externalSchemas} // '{}',
                    $test->{instance}, $_) . ')' }
                    elements($test->{assertions});
            }
        }
    }
    return @load;
}

# How many assertions apply to no existing draft, but to a future release.
sub annotations_to_come
{
    my ($self) = @_;
    my $count = 0;
    for my $case (map { members($_) } map { elements(members(slurp($_))->{suite}) }
        json_files("$self->{folder}/annotations/tests"))
    {
        next if grep { applies($case->{compatibility} // '', $_->[1]) } @drafts;
        $count += elements($_->{assertions}) for map { members($_) } elements($case->{tests});
    }
    return $count;
}

# A location of the suite is a pointer from the root; ours begins at the nearest "$id".
my $annotations = q{
INSERT INTO ctms.json_schema_document SELECT key, value
    FROM public.annotation, jsonb_each(external) ON CONFLICT DO NOTHING;
INSERT INTO public.suite_result
SELECT 'annotations', draft, description || ' ' || assertion, 'true', CASE WHEN
    coalesce((SELECT bool_and(EXISTS (SELECT FROM jsonb_array_elements(f.found) AS x
        WHERE x -> 'annotation' = e.value
            AND right(e.key, length(split_part(x ->> 'at', '#', 2)))
                = split_part(x ->> 'at', '#', 2)))
        FROM jsonb_each(assertion -> 'expected') AS e), true)
    AND jsonb_array_length(f.found) = (SELECT count(*) FROM jsonb_each(assertion -> 'expected'))
    THEN 'true' ELSE f.found::text END
FROM public.annotation AS a, LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('annotation', u -> 'annotation',
        'at', regexp_replace(u ->> 'absoluteKeywordLocation', '/[^/]*$', ''))), '[]') AS found
    FROM jsonb_array_elements(ctms.json_schema_validate(schema, instance, 'basic',
        jsonb_build_object('draft', draft)) -> 'annotations') AS u
    WHERE u ->> 'instanceLocation' = assertion ->> 'location'
        AND u ->> 'keywordLocation' LIKE '%/' || (assertion ->> 'keyword')) AS f};

# ---- output formats ------------------------------------------------------------------------

# Cases of "v1", a future release, run as 2020-12, because they test nothing that differs.
sub output_cases
{
    my ($folder) = @_;
    my @load = (
        'CREATE TABLE public.output (draft text, description text, schema jsonb, instance jsonb,
            format text, expected jsonb)',
        q{INSERT INTO ctms.json_schema_document VALUES ('https://json-schema.org/v1',
            '{"$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": "https://json-schema.org/v1"}')});
    for my $file (json_files("$folder/output-tests"))
    {
        my $text = slurp($file);
        my ($draft) = $file =~ m{/output-tests/(?:draft)?([^/]+)/};
        if ($file =~ /output-schema\.json$/)
        {
            push @load, "INSERT INTO ctms.json_schema_document VALUES ('"
                . plain(members($text)->{'$id'}) . "', " . literal($text) . ')';
            next;
        }
        for my $case (map { members($_) } elements($text))
        {
            for my $test (map { members($_) } elements($case->{tests}))
            {
                my $output = members($test->{output});
                push @load, map { "INSERT INTO public.output VALUES ('$draft', "
                    . join(', ', map { literal($_) }
                    plain($test->{description}), $case->{schema}, $test->{data}, $_, $output->{$_})
                    . ')' } sort keys %$output;
            }
        }
    }
    return @load;
}

my $outputs = q{
INSERT INTO public.suite_result
SELECT 'output', draft, description || ' ' || format, 'true',
    CASE WHEN ctms.json_schema_is_valid(expected, result) THEN 'true' ELSE result::text END
FROM public.output, ctms.json_schema_validate(schema, instance, format) AS result};

# ---- what passed -----------------------------------------------------------------------------

sub new
{
    my ($class, $ctms, $folder) = @_;
    my $self = bless { ctms => $ctms, folder => $folder }, $class;
    $ctms->sql(join ";\n", remotes($folder), verdict_cases($folder));
    $ctms->sql($verdicts);
    $ctms->sql(join ";\n", annotation_cases($folder), $annotations);
    $ctms->sql(join ";\n", output_cases($folder), $outputs);
    return $self;
}

sub counts
{
    my ($self) = @_;
    my @rows = split /\n/, $self->{ctms}->sql(q{
        SELECT kind, draft, count(*) FILTER (WHERE expected = actual), count(*)
            FROM public.suite_result
        GROUP BY kind, draft
        ORDER BY array_position('{required,optional,format,annotations,output}', kind),
            length(draft), draft});
    return map { my %row; @row{qw(kind draft passed total)} = split /\|/; \%row } @rows;
}

sub table
{
    my ($self) = @_;
    my @columns = ('4', '6', '7', '2019-09', '2020-12', 'v1', 'together');
    my (%cell, @kinds);
    for my $row ($self->counts)
    {
        push @kinds, $row->{kind} unless $cell{ $row->{kind} };
        for my $column ($row->{draft}, 'together')
        {
            my $cell = $cell{ $row->{kind} }{$column} //= [ 0, 0 ];
            $cell->[0] += $row->{passed};
            $cell->[1] += $row->{total};
        }
    }
    my $text = sprintf "%-12s" . ' %11s' x @columns . "\n", 'draft', @columns;
    for my $kind (@kinds)
    {
        $text .= sprintf "%-12s" . ' %11s' x @columns . "\n", $kind,
            map { $_ ? "$_->[0]/$_->[1]" : '-' } @{ $cell{$kind} }{@columns};
    }
    return $text;
}

# Every case that fails, one line each, with the reason where it is known.
sub misses
{
    my ($self) = @_;
    my $text = '';
    for my $miss (split /\n/, $self->{ctms}->sql(q{
        SELECT format('%s %s %s: %s, not %s', kind, draft,
            replace(name, E'\n', ' '), replace(actual, E'\n', ' '), expected)
        FROM public.suite_result WHERE expected <> actual ORDER BY kind DESC, draft, name}))
    {
        my ($why) = map { $_->[1] } grep { $miss =~ $_->[0] } @explained;
        $text .= "$miss\n    " . ($why // 'NOT EXPLAINED') . "\n";
    }
    return $text;
}

1;
