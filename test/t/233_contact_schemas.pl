# The JSON Schemas of bodies that /openapi.json shows, and what the contact functions accept:
# thousands of generated bodies, each of them judged by both. Nothing but this test and the fuzz
# target "contact" holds them together.
use strict;
use warnings;
use CTMS::Test;
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $rounds = $ENV{CTMS_TEST_BODIES} // 2000;
my $ctms = CTMS::Test->new('contact_schemas');
my $id = '332de237-cab7-4461-bcc3-48e68f42bd5c';
$ctms->sql(qq(SELECT ctms.put_contact('$id', '{"email": {"primary_email": "contact\@example.com"}}')));
srand 4711;

# ---- bodies -----------------------------------------------------------------------------------
sub one_of { return $_[ rand @_ ] }

my @lengths = (0, 1, 2, 5, 6, 40, 41, 50, 51, 100, 101, 255, 256, 500, 501);
my @uuids = ('c4a7d759-bb52-457b-896b-90f1d3ef8433', 'C4A7D759BB52457B896B90F1D3EF8433',
    '{c4a7d759-bb52-457b-896b-90f1d3ef8433}', 'c4a7-d759-bb52-457b-896b-90f1-d3ef-8433', '{c4a7d759-bb52-457b-896b-90f1d3ef8433',
    'c4a7d759-bb52-457b-896b-90f1d3ef843', 'c4a7d75-9bb52-457b-896b-90f1d3ef8433', 'c4a7d759-bb52-457b-896b-90f1d3ef843-', 'x', '{}', '');
my @dates = qw(2020-02-29 2021-02-29 2000-02-29 1900-02-29 2021-13-01 2021-00-10 2021-04-31 2021-12-31 0000-01-01 0000-02-29
    0001-01-01 0004-02-29 9999-12-31 10000-01-01 2021-1-2 20210102 2021-01-02T00:00:00 now infinity);
my @urls = ('https://www.example.com/', 'http://example.com', 'HTTPS://EXAMPLE.COM:8443/a?b=c#d', 'https://user:pass@example.com/',
    'https://[::1]:80/', "https://\x{e9}xample.com/\x{e9}", ' https://example.com/ ', 'a+b-c.d://host', 'https://', 'https:///path',
    'https:example.com', '//example.com/', 'example.com', 'mailto:a@example.com', '1http://example.com', 'https://example.com/a b',
    'https://exam ple.com/', 'https://example.com:x/', 'https://example.com:12345', 'https://example.com:123456/', 'https://:80/',
    'https://user@/', 'https://[]/', 'https://[a@b]c/', 'http://a@b@c:1?x@y', 'https://[a]b', 'http://a:', "http://a/\x7f", '');
my @flags = qw(true FALSE Yes nO on OFF t F y N 1 0 2 truee null maybe);

# A wrong kind of value, or undef for null.
sub other { return one_of(undef, JSON::PP::true, [], {}, [ {} ], 'x') }

# What may be said of a field, by its schema. A number is noted with the text that it is stored as.
sub field
{
    my ($name, $schema) = @_;
    return other() if rand() < 0.06;
    return one_of(JSON::PP::true, JSON::PP::false, @flags, number()) if $schema->{'$ref'};
    return one_of(@{ $schema->{enum} }, 'X', number()) if $schema->{enum};
    my %format = (uuid => \@uuids, date => \@dates, uri => \@urls);
    return one_of(undef, @{ $format{ $schema->{format} } }) if $schema->{format};
    return { one_of([], [ geo => 'fr' ], [ geo => undef ], [ geo => '' ], [ geo => 5, platform => 'x' ])->@* } if $schema->{type} eq 'object';
    return one_of('relay', 'vpn', 'relay-x', 'relay-y-waitlist', 'n', 'm', number()) if $name eq 'name' && rand() < 0.9;
    return one_of(undef, number(), 'fr', map { one_of('x', "\x{e9}", "\x{1F600}") x $_ } @lengths);
}

sub number { return bless { text => one_of(qw(0 1 2 17 -1.50 123456 0.0 1.0 99999999999999999999)) }, 'Number' }

my %schemas = %{ $json->decode($ctms->sql('SELECT ctms.contact_schemas()')) };

sub group
{
    my ($prefix, $name) = @_;
    my $schema = $schemas{"$prefix$name"};
    my %required = map { $_ => 1 } @{ $schema->{required} // [] };
    my $chance = rand() < 0.5 ? 0.15 : 0.6;
    my %group = map { $_ => field($_, $schema->{properties}{$_}) }
        grep { rand() < ($required{$_} ? 0.95 : $chance) } sort keys %{ $schema->{properties} };
    $group{unknown} = other() if rand() < 0.05;
    $group{primary_email} = "contact\@example.com" if $name eq 'email' && rand() < 0.7;
    return \%group;
}

sub body
{
    my ($method) = @_;
    my $prefix = $method eq 'PATCH' ? 'changed_' : 'new_';
    my %body;
    for my $name (qw(email amo fxa mofo newsletters waitlists vpn_waitlist relay_waitlist))
    {
        next if rand() < ($name eq 'email' && $method ne 'PATCH' ? 0.03 : 0.7);
        $body{$name} = rand() < 0.06 ? one_of(other(), 'DELETE', 'UNSUBSCRIBE', Number->new(5))
            : $name =~ /s$/ ? [ map { rand() < 0.03 ? other() : group($prefix, $name) } 1 .. int rand 4 ]
            : group($prefix, $name);
    }
    return rand() < 0.01 ? other() : \%body;
}

# As JSON, with numbers as they are or as the texts that they count as.
sub encode
{
    my ($value, $coerced, $depth) = @_;
    return "$value->{text}" =~ s/^(.*)$/$coerced && $depth < 4 ? "\"$1\"" : $1/er if ref $value eq 'Number';
    return '[' . join(',', map { encode($_, $coerced, $depth + 1) } @$value) . ']' if ref $value eq 'ARRAY';
    return '{' . join(',', map { $json->encode($_) . ':' . encode($value->{$_}, $coerced, $depth + 1) } sort keys %$value) . '}'
        if ref $value eq 'HASH';
    return $json->encode($value);
}

sub quoted { my ($text) = @_; return "'" . $text =~ s/'/''/gr . "'" }

{ package Number; sub new { return bless { text => $_[1] }, 'Number' } }

$ctms->sql('CREATE TABLE bodies (n int PRIMARY KEY, method text, body text, coerced jsonb)');
my @rows;
for my $n (1 .. $rounds)
{
    my $method = one_of(qw(POST PUT PATCH));
    my $body = body($method);
    push @rows, "($n, '$method', " . quoted(encode($body, 0, 0)) . ', ' . quoted(encode($body, 1, 0)) . ')';
    $ctms->sql('INSERT INTO bodies VALUES ' . join(',', splice @rows)) if @rows == 500 || $n == $rounds;
}

# ---- both verdicts ------------------------------------------------------------------------------
$ctms->sql(<<"SQL");
CREATE TYPE verdict AS (state text, detail text);
CREATE TABLE schemas AS
    SELECT method, jsonb_build_object('\$ref', '#/components/schemas/' || name, 'components', jsonb_build_object('schemas', ctms.contact_schemas()::jsonb)) AS schema
    FROM (VALUES ('POST', 'new_contact'), ('PUT', 'new_contact'), ('PATCH', 'changed_contact')) AS methods (method, name);
CREATE FUNCTION judge(method text, body text) RETURNS verdict LANGUAGE plpgsql AS \$\$
DECLARE
    result verdict;
BEGIN
    CASE method
        WHEN 'POST' THEN PERFORM ctms.create_contact(body);
        WHEN 'PUT' THEN PERFORM ctms.put_contact('$id', body);
        ELSE PERFORM ctms.patch_contact('$id', body);
    END CASE;
    RAISE EXCEPTION SQLSTATE 'XX999';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS result.state = RETURNED_SQLSTATE, result.detail = PG_EXCEPTION_DETAIL;
    RETURN result;
END
\$\$;
CREATE TABLE verdicts AS
    SELECT n, method, body, coerced, state, errors,
        -- What no schema of a body can tell.
        (SELECT count(*) FROM jsonb_array_elements(errors) AS e
         WHERE e ->> 'type' NOT IN ('value_error.duplicate', 'value_error.schema', 'value_error.uuid.version',
             'value_error.email_id')) = 0 AS is_accepted,
        ctms.json_schema_is_valid(schema, coerced) AS is_valid, ctms.json_schema_is_valid(schema, body::jsonb) AS is_valid_as_sent
    FROM bodies CROSS JOIN LATERAL judge(method, body) AS v
        CROSS JOIN LATERAL (SELECT CASE WHEN v.state = 'CT422' THEN v.detail::jsonb ELSE '[]' END AS errors) AS e
        JOIN schemas USING (method);
SQL

is($ctms->sql("SELECT DISTINCT state FROM verdicts WHERE state NOT IN ('CT409', 'CT422', 'XX999')"), '', 'no other errors');
is($ctms->sql('SELECT method, body, errors, is_valid FROM verdicts WHERE is_valid <> is_accepted ORDER BY n LIMIT 5'), '',
    "the schema's verdict is the functions' on $rounds bodies");
is($ctms->sql('SELECT method, body, errors FROM verdicts WHERE is_valid_as_sent <> is_accepted AND body::jsonb = coerced ORDER BY n LIMIT 5'), '',
    'also before numbers are text');
is($ctms->sql('SELECT method, body, errors FROM verdicts WHERE is_accepted AND NOT is_valid_as_sent ORDER BY n LIMIT 5'), '',
    'what is accepted is valid as it was sent');
my ($accepted, $refused) = split /\|/, $ctms->sql('SELECT count(*) FILTER (WHERE is_accepted), count(*) FILTER (WHERE NOT is_accepted) FROM verdicts');
cmp_ok($accepted, '>', $rounds / 10, "$accepted accepted");
cmp_ok($refused, '>', $rounds / 10, "$refused refused");
is($ctms->sql(q(SELECT count(*) FROM verdicts, jsonb_array_elements(errors) AS e WHERE e ->> 'type' = 'value_error.relay_country')) > 0, 1,
    'the country of relay newsletters is among the reasons');

# ---- what is said of them -------------------------------------------------------------------
my @groups = grep { $_ ne 'flag' } sort keys %schemas;
is_deeply([ grep { !length($schemas{$_}{description} // '') } @groups ], [], 'every group has a description');
my @contacts = qw(new_contact changed_contact contact);
my @undescribed = map {
    my $group = $_;
    map { "$group.$_" } grep { !length($schemas{$group}{properties}{$_}{description} // '') }
        sort keys %{ $schemas{$group}{properties} };
} grep { my $name = $_; !grep { $name eq $_ } @contacts } @groups;
is_deeply(\@undescribed, [], 'every field has one');
done_testing;
