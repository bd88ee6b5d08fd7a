# ctms.json_schema_check() finds something wrong with a schema exactly when its metaschema does not
# accept it, or when it cannot be used for one of the few reasons that a metaschema does not know;
# and what it finds something wrong with is not used.
#
# Schemas are made by chance, always the same ones, in each draft. What the metaschema says is the
# verdict of the engine, which the JSON-Schema-Test-Suite holds to the specification.
use strict;
use warnings;
use CTMS::Test;
use JSON::PP;
use Test::More;

use constant SCHEMAS_OF_DRAFT => 2500;

my $json = JSON::PP->new->canonical->allow_nonref;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $random = 20201208;

# The same numbers on every machine.
sub below
{
    my ($n) = @_;
    $random = ($random * 1103515245 + 12345) % 2147483648;
    return int($random / 65536) % $n;
}
sub one_of { return $_[ below(scalar @_) ] }

# ---- schemas ------------------------------------------------------------------------

my @values = (0, 1, -1, 1.5, 'a', '#', '', $true, $false, undef, [], {}, ['a'], [ 'a', 'a' ],
    [1], [ 1, 1 ], { a => 1 }, { a => ['b'] }, { a => [ 'b', 'b' ] }, { a => $true }, '^a', '[',
    'string', ['string'], [ 'string', 'string' ], 'text');
my @with_schema = qw(additionalItems additionalProperties contains contentSchema else if items not
    propertyNames then unevaluatedItems unevaluatedProperties);
my @with_list = qw(allOf anyOf oneOf prefixItems items);
my @with_map = qw($defs definitions dependencies dependentSchemas patternProperties properties);
my @others = qw($anchor $comment $dynamicAnchor $id $recursiveAnchor $ref $schema $vocabulary
    const contentEncoding contentMediaType default dependentRequired deprecated description enum
    examples exclusiveMaximum exclusiveMinimum format id maxContains maxItems maxLength
    maxProperties maximum minContains minItems minLength minProperties minimum multipleOf
    pattern readOnly required title type uniqueItems writeOnly unknown x-own);

# Good values, so that not every schema is wrong.
my %good = (
    (map { $_ => 2 } qw(maxContains maxItems maxLength maxProperties maximum minContains minItems
        minLength minProperties minimum multipleOf)),
    (map { $_ => 'a' } qw($anchor $comment $dynamicAnchor contentEncoding contentMediaType
        description format pattern title)),
    (map { $_ => $true } qw(deprecated readOnly uniqueItems writeOnly)),
    type => 'string', enum => ['a'], required => ['a'], dependentRequired => { a => ['b'] });

sub schema
{
    my ($depth) = @_;
    return one_of($true, $false, {}, { type => 'string' }) if $depth == 0 || below(6) == 0;
    my %schema;
    for (0 .. below(3))
    {
        my $kind = below(10);
        if ($kind < 2) { $schema{ one_of(@with_schema) } = part($depth) }
        elsif ($kind < 4)
        {
            $schema{ one_of(@with_list) } = [ map { part($depth) } 1 .. below(8) ? 1 : 0 ];
        }
        elsif ($kind < 6)
        {
            $schema{ one_of(@with_map) } = { map { ($_ => part($depth)) } 'a' .. one_of('a', 'b') };
        }
        else
        {
            my $name = one_of(@others);
            $schema{$name} = exists $good{$name} && below(3) ? $good{$name} : one_of(@values);
        }
    }
    return \%schema;
}
sub part { my ($depth) = @_; return below(12) ? schema($depth - 1) : one_of(@values) }

# ---- comparing -------------------------------------------------------------------------

my $ctms = CTMS::Test->new('schemas');
my %uri = (4 => 'http://json-schema.org/draft-04/schema',
    6 => 'http://json-schema.org/draft-06/schema',
    7 => 'http://json-schema.org/draft-07/schema',
    '2019-09' => 'https://json-schema.org/draft/2019-09/schema',
    '2020-12' => 'https://json-schema.org/draft/2020-12/schema');
$ctms->sql(q{
    CREATE TABLE public.schema (id serial, draft text, uri text, schema jsonb);
    -- Whether a schema can be used: NULL, or the state of the error.
    CREATE FUNCTION public.refusal(schema jsonb, draft text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM ctms.json_schema_is_valid(schema, 'null', jsonb_build_object('draft', draft));
        RETURN NULL;
    EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
    END $$;});
for my $draft (sort keys %uri)
{
    my $rows = join ",\n", map {
        (my $text = $json->encode(schema(3))) =~ s/'/''/g;
        "('$draft', '$uri{$draft}', '$text')";
    } 1 .. SCHEMAS_OF_DRAFT;
    $ctms->sql("INSERT INTO public.schema (draft, uri, schema) VALUES $rows");
}

# "own" are the reasons that metaschemas do not know. That of draft 4 does not say what "$ref" and
# "format" are. A schema that names a dialect is judged by that one, which is none here.
$ctms->sql(q{
    CREATE TABLE public.result AS
    SELECT s.*, ctms.json_schema_is_valid(jsonb_build_object('$ref', uri), schema) AS is_accepted,
        c.n > 0 AS is_wrong, c.own > 0 AS has_own, public.refusal(schema, draft) AS refusal
    FROM public.schema AS s, LATERAL (
        SELECT count(*) AS n, count(*) FILTER (WHERE error ~ ('^(invalid regular expression'
            || '|reference ".*" (points to no schema|is to a document that is not known)'
            || '|dialect ".*" is not known'
            || CASE draft WHEN '4' THEN '|keyword "(\$ref|format)" must be a string' ELSE '' END
            || '|the schema applies itself to the same value without end)')) AS own
        FROM ctms.json_schema_check(schema, jsonb_build_object('draft', draft))) AS c});

sub none_of
{
    my ($condition, $name) = @_;
    return is($ctms->sql(qq{SELECT string_agg(draft || ' ' || schema, E'\\n')
        FROM (SELECT * FROM public.result WHERE $condition ORDER BY id LIMIT 5) AS r}), '', $name);
}
none_of('NOT is_accepted AND NOT is_wrong', 'what the metaschema refuses is wrong');
none_of('is_accepted AND is_wrong AND NOT has_own',
    'what it accepts is wrong only for a reason of our own');
none_of('NOT is_accepted AND refusal IS NULL', 'what the metaschema refuses is not used');
none_of('refusal IS NOT NULL AND NOT is_wrong', 'what is not used is wrong');
none_of(q{refusal <> '22023'}, 'the state says so');
is($ctms->sql(q{SELECT draft FROM public.result GROUP BY draft
    HAVING count(*) FILTER (WHERE is_accepted AND NOT is_wrong) < 300
        OR count(*) FILTER (WHERE NOT is_accepted) < 300}), '', 'there are many of both');
done_testing();
