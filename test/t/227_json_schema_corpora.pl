# Real schemas with their documents: every document is valid. If one value is changed in a way
# that its schema forbids, the document is refused at that place.
#
# CTMS_JSON_SCHEMA_CORPORA is a folder of NAME/schema.json and NAME/instances.jsonl
# (../shared/data/json-schema-corpora); without it the test is skipped. CTMS_TEST_DOCUMENTS (50)
# of each are taken, 0 for all.
#
# The value to change is found by trial. Values of each document are replaced, one at a time, by a
# value of another kind. The test uses the deepest replacement that a small validator, a few lines
# of Perl, knows to be forbidden. If there is none, it adds a member that the schema names, with
# such a value. The small validator knows "type", "enum", "const", local references and alternatives
# as far as they decide the kind of a value, and "properties", "additionalProperties", "items" and
# "allOf" on the way to one. Documents that are plain strings may be left over: yamllint's schema
# only says something about a member of objects.
use strict;
use warnings;
use CTMS::JsonSchemaSuite qw(corpora_names literal);
use CTMS::Test qw(data_folder slurp);
use JSON::PP;
use Test::More;

my $corpora = data_folder('CTMS_JSON_SCHEMA_CORPORA', 'json-schema-corpora');
my @names = corpora_names($corpora);
if (!@names)
{
    die "ctms: no schemas in $corpora\n" if $ENV{CTMS_JSON_SCHEMA_CORPORA};
    plan skip_all => "no schemas at $corpora";
}
my $documents = $ENV{CTMS_TEST_DOCUMENTS} // 50;
my $json = JSON::PP->new->utf8->canonical->allow_nonref->allow_bignum;
my @every = qw(object array string number boolean null);
my @replacements = ('{"no such thing": 1}', '["no such thing"]', '"no such thing"',
    '-0.123', 'null', 'false');

# ---- the few lines ------------------------------------------------------------------------

sub kind_of_text
{
    my ($text) = @_;
    return $text =~ /^\{/ ? 'object' : $text =~ /^\[/ ? 'array' : $text =~ /^"/ ? 'string'
        : $text =~ /^[tf]/ ? 'boolean' : $text eq 'null' ? 'null' : 'number';
}

sub is_schema { return ref $_[0] eq 'HASH' }

# Follows "$ref": "#/..." and ignores its siblings. It knows nothing about other references.
sub deref
{
    my ($root, $schema) = @_;
    for (1 .. 20)
    {
        return $schema if !is_schema($schema) || !exists $schema->{'$ref'};
        return {} unless $schema->{'$ref'} =~ m{^#(?:/(.*))?$};
        $schema = $root;
        for my $token (split m{/}, $1 // '')
        {
            $token =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
            $token =~ s/~1/\//g;
            $token =~ s/~0/~/g;
            $schema = ref $schema eq 'ARRAY' ? $schema->[$token] : is_schema($schema)
                ? $schema->{$token} : undef;
        }
        $schema //= {};
    }
    return {};
}

# The kinds of value that may pass; too many if that is not simple to decide.
sub kinds
{
    my ($root, $schema, $depth) = @_;
    $schema = deref($root, $schema);
    return $schema ? @every : () unless is_schema($schema);
    my %may = map { $_ => 1 } @every;
    my $only = sub {
        my %these = map { $_ => 1 } @_;
        delete @may{ grep { !$these{$_} } keys %may };
    };
    return @every if $depth > 8;
    $only->(map { s/integer/number/r } ref $schema->{type} ? @{ $schema->{type} } : $schema->{type})
        if exists $schema->{type};
    $only->(map { kind_of_text($json->encode($_)) } @{ $schema->{enum} }) if exists $schema->{enum};
    $only->(kind_of_text($json->encode($schema->{const}))) if exists $schema->{const};
    $only->(kinds($root, $_, $depth + 1)) for @{ $schema->{allOf} // [] };
    for my $list (grep { $_ } @$schema{qw(anyOf oneOf)})
    {
        $only->(map { kinds($root, $_, $depth + 1) } @$list);
    }
    return sort keys %may;
}

# A value that the schema does not allow; nothing if the small validator does not know one.
sub forbidden
{
    my ($root, $schema) = @_;
    my %may = map { $_ => 1 } kinds($root, $schema, 0);
    for my $text (@replacements)
    {
        my $kind = kind_of_text($text);
        return $text unless $may{$kind};
        next if $kind eq 'object' || $kind eq 'array' || !is_schema($schema);
        return $text if exists $schema->{enum}
            && !grep { $json->encode($_) eq $text } @{ $schema->{enum} };
        return $text if exists $schema->{const} && $json->encode($schema->{const}) ne $text;
    }
    return undef;
}

# The schema without references, and the parts of its "allOf".
sub with_parts
{
    my ($root, $schema, $depth) = @_;
    $schema = deref($root, $schema);
    return () if $depth > 5 || !is_schema($schema);
    return ($schema, map { with_parts($root, $_, $depth + 1) } @{ $schema->{allOf} // [] });
}

# Adds {path, schema, is_new} for each schema that must hold at a place in the value, or for a
# member that could be added.
sub find_places
{
    my ($root, $schema, $value, $path, $places) = @_;
    for my $part (with_parts($root, $schema, 0))
    {
        push @$places, { path => $path, schema => $part, is_new => 0 };
        my $properties = $part->{properties} // {};
        if (ref $value eq 'HASH')
        {
            for my $name (sort keys %$value)
            {
                my $inner = $properties->{$name}
                    // ($part->{patternProperties} ? undef : $part->{additionalProperties});
                find_places($root, $inner, $value->{$name}, [ @$path, $name ], $places)
                    if defined $inner;
            }
            for my $name (grep { !exists $value->{$_} } sort keys %$properties)
            {
                push @$places, map { { path => [ @$path, $name ], schema => $_, is_new => 1 } }
                    with_parts($root, $properties->{$name}, 0);
            }
        }
        elsif (ref $value eq 'ARRAY' && !$part->{prefixItems} && is_schema($part->{items}))
        {
            find_places($root, $part->{items}, $value->[$_], [ @$path, $_ ], $places)
                for 0 .. $#$value;
        }
    }
    return $places;
}

# (path, value as text) of a change that the schema forbids; nothing when none is known.
sub breaking_change
{
    my ($root, $document, $known) = @_;
    my @places = sort { $a->{is_new} <=> $b->{is_new} || @{ $b->{path} } <=> @{ $a->{path} } }
        @{ find_places($root, $root, $document, [], []) };
    for my $place (@places)
    {
        my $schema = $place->{schema};
        $known->{$schema} = [ forbidden($root, $schema) ] unless $known->{$schema};
        return ($place->{path}, $known->{$schema}[0]) if defined $known->{$schema}[0];
    }
    return ();
}

# ---- the test -------------------------------------------------------------------------------

my $ctms = CTMS::Test->new('corpora');
$ctms->sql('CREATE TABLE public.corpus (name text PRIMARY KEY, schema jsonb);'
    . 'CREATE TABLE public.document (name text, doc jsonb, pointer text, broken jsonb)');
my @sum = (0) x 5;
for my $name (@names)
{
    my @lines = split /\n/, slurp("$corpora/$name/instances.jsonl");
    splice @lines, $documents if $documents && @lines > $documents;
    my $text = slurp("$corpora/$name/schema.json");
    my ($root, $n_left, %known, @rows) = ($json->decode($text), 0);
    for my $line (@lines)
    {
        my $document = $json->decode($line);
        my ($path, $value) = breaking_change($root, $document, \%known);
        $n_left++ if !defined $value && !ref $document;
        my @tokens = map { my $t = "$_"; utf8::encode($t); $t } @{ $path // [] };
        my $pointer = join '', map { '/' . s/~/~0/gr =~ s/\//~1/gr } @tokens;
        my $broken = !defined $value ? 'NULL' : !@tokens ? literal($value)
            : 'jsonb_set(' . literal($line) . '::jsonb, ARRAY['
            . join(', ', map { literal($_) } @tokens) . '], ' . literal($value) . ')';
        push @rows, "('$name', " . literal($line) . ', ' . literal($pointer) . ", $broken)";
    }
    $ctms->sql("INSERT INTO public.corpus VALUES ('$name', " . literal($text) . ')');
    $ctms->sql('INSERT INTO public.document VALUES ' . join ',', splice @rows, 0, 100) while @rows;
    my @counts = split /\|/, $ctms->sql(qq{SELECT count(*),
        count(*) FILTER (WHERE ctms.json_schema_is_valid(c.schema, d.doc)
            AND NOT EXISTS (SELECT FROM ctms.json_schema_errors(c.schema, d.doc))),
            count(d.broken),
            count(*) FILTER (WHERE NOT ctms.json_schema_is_valid(c.schema, d.broken)),
            count(*) FILTER (WHERE EXISTS (SELECT FROM ctms.json_schema_errors(c.schema,
                d.broken) AS e WHERE e.instance_location = d.pointer))
        FROM public.document AS d JOIN public.corpus AS c USING (name) WHERE d.name = '$name'});
    is($counts[1], $counts[0], "$name: all of $counts[0] documents are valid");
    my $n = $counts[0] - $n_left;
    is("@counts[2 .. 4]", "$n $n $n", "$name: $n of them broken, refused, at that place");
    $sum[$_] += $counts[$_] for 0 .. 4;
}
note sprintf '%d documents of %d schemas, %d valid; %d broken, %d refused, %d at the place',
    $sum[0], scalar @names, @sum[ 1 .. 4 ];
done_testing();
