# The fast program and the exhaustive evaluation give the same verdict. The fast program passes
# entries by their type, strings by their length and keys by what is known of them in advance; the
# evaluation looks at each. Schemas and instances are made at random, around the limits of these
# ways: blocks of 16 entries, stored offsets of each 32nd, keys of 8 and 16 bytes.
#
# CTMS_TEST_SCHEMAS (300), each with 40 instances; CTMS_TEST_SEED (1) makes others.
use strict;
use warnings;
use CTMS::JsonSchemaSuite qw(literal);
use CTMS::Test;
use JSON::PP;
use Test::More;

my $n_schemas = delete $ENV{CTMS_TEST_SCHEMAS} // 300;
my $seed = delete $ENV{CTMS_TEST_SEED} // 1;
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

srand $seed;
sub one_of { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }

# ---- names and values ---------------------------------------------------------------------------

# Names of one length that differ at the start, in the middle or at the end alone.
my @names = map {
    my $length = $_;
    my @places = grep { $_ < $length } 0, 1, 7, 8, 9, 15, 16;
    ('n' x $length, map { my $name = 'n' x $length; substr($name, $_, 1, 'm'); $name } @places)
} 1, 2, 7, 8, 9, 15, 16, 17, 20;
push @names, '', "\x{e9}", "\x{e9}n", "n\nn", "nul\x{1f600}";
my @patterns = ('^n', 'm$', '^.+$', '^[a-m]', '^(?=n)(?=.*m)', '(?<=n)m', '.', '^$', '^n{1,8}$');

my %maker = (
    string => sub {
        one_of('', 'a', map({ $_ x 1, $_ x 2, $_ x 3 } "\x{e9}", "\x{1f600}"), 'abc', 'n' x 8,
            'm' . 'n' x 8, 'n' x 40);
    },
    integer => sub { one_of(0, 7, -1, 10_000, 123_456_789) },
    number => sub { one_of(0.5, -1.25, 10.0001) },
    boolean => sub { one_of(JSON::PP::true, JSON::PP::false) },
    null => sub { undef },
    array => sub { [ map { one_of('a', 1, undef) } 1 .. rand 4 ] },
    object => sub { return { map { one_of(@names) => one_of('a', 1, undef) } 1 .. rand 4 } },
);
my @types = sort keys %maker;

# Values of one type, with now and then another among them.
sub values_for
{
    my ($n, $depth) = @_;
    my ($type, $others) = (one_of('string', 'string', @types), one_of(0, 0, 0, 1 / ($n + 1), 0.3));
    return map { $depth > 0 && chance(0.1) ? instance($depth - 1)
            : $maker{ chance($others) ? one_of(@types) : $type }->() } 1 .. $n;
}

sub instance
{
    my ($depth) = @_;
    my $n = one_of(0, 1, 2, 3, 4, 5, 6, 8, 15, 16, 17, 31, 32, 33, 50);
    my @values = values_for($n, $depth);
    return \@values if chance(0.3);
    return { map { (chance(0.7) ? one_of(@names) : 'k' x (1 + rand 12) . int rand 100) => $_ }
            @values };
}

# ---- schemas ------------------------------------------------------------------------------------

sub leaf
{
    return one_of(JSON::PP::true, JSON::PP::false, {}) if chance(0.1);
    my $schema = { type => chance(0.6) ? one_of('string', @types)
        : [ map { one_of(@types) } 1 .. 1 + rand 3 ] };
    my %seen;
    $schema->{type} = [ grep { !$seen{$_}++ } @{ $schema->{type} } ] if ref $schema->{type};
    $schema->{minLength} = 1 + int rand 3 if chance(0.3);
    $schema->{maxLength} = int rand 12 if chance(0.2);
    $schema->{enum} = [ map { $maker{$_}->() } 'string', 'string', one_of(@types) ] if chance(0.1);
    $schema->{pattern} = one_of(@patterns) if chance(0.05);
    return $schema;
}

sub part { my ($depth) = @_; return $depth > 0 && chance(0.3) ? schema($depth - 1) : leaf() }

sub add_object_keywords
{
    my ($schema, $depth) = @_;
    my $rest = one_of('additionalProperties', 'additionalProperties', 'unevaluatedProperties');
    $schema->{$rest} = part($depth) if chance(0.7);
    $schema->{properties} = { map { one_of(@names) => part($depth) } 1 .. 1 + rand 8 }
        if chance(0.5);
    $schema->{patternProperties} = { map { one_of(@patterns) => part($depth) } 1 .. 1 + rand 3 }
        if chance(0.3);
    $schema->{required} = [ map { one_of(@names) } 1 .. 1 + rand 2 ] if chance(0.2);
    my %seen;
    $schema->{required} = [ grep { !$seen{$_}++ } @{ $schema->{required} } ] if $schema->{required};
    $schema->{propertyNames} = one_of({ maxLength => int rand 20 }, { minLength => int rand 4 },
        { minLength => 1, maxLength => 16 }, { pattern => one_of(@patterns) }, JSON::PP::false)
        if chance(0.2);
    $schema->{minProperties} = int rand 4 if chance(0.1);
    $schema->{maxProperties} = int rand 40 if chance(0.1);
    return;
}

sub add_array_keywords
{
    my ($schema, $depth) = @_;
    $schema->{ one_of('items', 'items', 'unevaluatedItems') } = part($depth) if chance(0.8);
    $schema->{prefixItems} = [ map { part($depth) } 1 .. 1 + rand 3 ] if chance(0.3);
    $schema->{contains} = leaf() if chance(0.1);
    $schema->{minItems} = int rand 4 if chance(0.1);
    $schema->{maxItems} = int rand 40 if chance(0.1);
    return;
}

sub schema
{
    my ($depth) = @_;
    my $schema = {};
    add_object_keywords($schema, $depth);
    add_array_keywords($schema, $depth);
    $schema->{ one_of('allOf', 'anyOf', 'oneOf') } = [ part($depth), part($depth) ] if chance(0.15);
    $schema->{not} = part($depth) if chance(0.05);
    return $schema;
}

# An object that has exactly the names of the schema, with values that may be of their types.
sub shaped
{
    my ($schema) = @_;
    my %types = map { $_ => ref $schema->{properties}{$_} eq 'HASH'
            ? $schema->{properties}{$_}{type} : undef } keys %{ $schema->{properties} // {} };
    return { map { my $type = $types{$_} // one_of(@types);
            $_ => $maker{ ref $type ? one_of(@$type) : $type }->() } sort keys %types };
}

# ---- the test -----------------------------------------------------------------------------------

my $ctms = CTMS::Test->new('paths');
$ctms->sql('CREATE TABLE public.pair (schema jsonb, instance jsonb)');
my @rows;
for my $i (1 .. $n_schemas)
{
    my $schema = schema(1);
    my @instances = ((map { instance(1) } 1 .. 37), (map { shaped($schema) } 1 .. 3));
    my $schema_literal = literal($json->encode($schema));
    push @rows, map { "($schema_literal, " . literal($json->encode($_)) . ')' } @instances;
}
$ctms->sql('INSERT INTO public.pair VALUES ' . join ',', splice @rows, 0, 1000) while @rows;
$ctms->sql(q{CREATE TABLE public.verdict AS SELECT schema, instance,
    ctms.json_schema_is_valid(schema, instance) AS is_valid,
    (ctms.json_schema_validate(schema, instance, 'basic') -> 'valid')::boolean AS is_explained
    FROM public.pair});
is($ctms->sql(q{SELECT schema::text || E'\n' || instance::text FROM public.verdict
    WHERE is_valid IS DISTINCT FROM is_explained
    ORDER BY length(schema::text || instance::text) LIMIT 1}),
    '', "seed $seed: the same verdict");
my ($n_valid, $n) = split /\|/,
    $ctms->sql('SELECT count(*) FILTER (WHERE is_valid), count(*) FROM public.verdict');
cmp_ok($n_valid, '>', $n / 20, "$n_valid of $n are valid");
cmp_ok($n_valid, '<', $n * 19 / 20, 'and others are not');
done_testing();
