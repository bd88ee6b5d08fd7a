# The JSON Schemas of bodies that /openapi.json shows, and what the contact functions accept:
# thousands of generated bodies, each of them judged by both. Nothing but this test and the fuzz
# target "contact" holds them together. What is accepted beside what the schemas ask for, such as
# numbers for texts, is brought into their form first (CTMS::Tolerance).
use strict;
use warnings;
use CTMS::Test;
use CTMS::Tolerance qw(as_asked_for);
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $rounds = $ENV{CTMS_TEST_BODIES} // 2000;
my $ctms = CTMS::Test->new('contact_schemas');
my $id = '332de237-cab7-4461-bcc3-48e68f42bd5c';
my %email = (email => { primary_email => 'contact@example.com' });
$ctms->sql("SELECT ctms.put_contact('$id', '" . $json->encode(\%email) . "')");
srand 4711;

# ---- values -----------------------------------------------------------------------------------
sub one_of { return $_[ rand @_ ] }

my @groups = qw(email amo fxa mofo newsletters waitlists vpn_waitlist relay_waitlist);
my @lengths = (0, 1, 2, 5, 6, 40, 41, 50, 51, 100, 101, 255, 256, 500, 501);
my @numbers = qw(0 1 2 17 -1.50 123456 0.0 1.0 99999999999999999999);
my @flags = qw(true FALSE Yes nO on OFF t F y N 1 0 2 truee null maybe);
my @uuids = (
    'c4a7d759-bb52-457b-896b-90f1d3ef8433', 'C4A7D759BB52457B896B90F1D3EF8433',
    '{c4a7d759-bb52-457b-896b-90f1d3ef8433}', 'c4a7-d759-bb52-457b-896b-90f1-d3ef-8433',
    '{c4a7d759-bb52-457b-896b-90f1d3ef8433', 'c4a7d759-bb52-457b-896b-90f1d3ef843',
    'c4a7d75-9bb52-457b-896b-90f1d3ef8433', 'c4a7d759-bb52-457b-896b-90f1d3ef843-',
    'x', '{}', '');
my @dates = qw(
    2020-02-29 2021-02-29 2000-02-29 1900-02-29 2021-13-01 2021-00-10 2021-04-31 2021-12-31
    0000-01-01 0000-02-29 0001-01-01 0004-02-29 9999-12-31 10000-01-01 2021-1-2 20210102
    2021-01-02T00:00:00 now infinity);
my @urls = (
    'https://www.example.com/', 'http://example.com', 'HTTPS://EXAMPLE.COM:8443/a?b=c#d',
    'https://user:pass@example.com/', 'https://[::1]:80/', "https://\x{e9}xample.com/\x{e9}",
    ' https://example.com/ ', 'a+b-c.d://host', 'https://', 'https:///path', 'https:example.com',
    '//example.com/', 'example.com', 'mailto:a@example.com', '1http://example.com',
    'https://example.com/a b', 'https://exam ple.com/', 'https://example.com:x/',
    'https://example.com:12345', 'https://example.com:123456/', 'https://:80/', 'https://user@/',
    'https://[]/', 'https://[a@b]c/', 'http://a@b@c:1?x@y', 'https://[a]b', 'http://a:',
    "http://a/\x7f", '');
my %forms = (uuid => \@uuids, date => \@dates, uri => \@urls);
my @waitlist_fields = ([], [ geo => 'fr' ], [ geo => undef ], [ geo => '' ],
    [ geo => 5, platform => 'x' ]);
my @names = ('relay', 'vpn', 'relay-x', 'relay-y-waitlist', 'n', 'm');

# A number is noted with the text that it is stored as.
{ package Number; sub new { return bless { text => $_[1] }, 'Number' }
    sub text { return $_[0]{text} } }
sub number { return Number->new(one_of(@numbers)) }

# A wrong kind of value, or undef for null.
sub other { return one_of(undef, JSON::PP::true, [], {}, [ {} ], 'x') }

# ---- bodies by chance -------------------------------------------------------------------------
my %schemas = %{ $json->decode($ctms->sql('SELECT ctms.contact_schemas()')) };

sub schema_of
{
    my ($method, $name) = @_;
    return $schemas{ ($method eq 'PATCH' ? 'changed_' : 'new_') . $name =~ s/s$//r };
}

# What may be said of a field, by its schema.
sub field
{
    my ($name, $schema) = @_;
    return other() if rand() < 0.06;
    return one_of(JSON::PP::true, JSON::PP::false, @flags, number())
        if $schema->{type} eq 'boolean';
    return one_of(@{ $schema->{enum} }, 'X', number()) if $schema->{enum};
    return one_of(undef, @{ $forms{ $schema->{format} } }) if $schema->{format};
    return { one_of(@waitlist_fields)->@* } if $schema->{type} eq 'object';
    return one_of(@names, number()) if $name eq 'name' && rand() < 0.9;
    return one_of(undef, number(), 'fr', map { one_of('x', "\x{e9}", "\x{1F600}") x $_ } @lengths);
}

sub group
{
    my ($method, $name) = @_;
    my $schema = schema_of($method, $name);
    my %required = map { $_ => 1 } @{ $schema->{required} // [] };
    my $chance = rand() < 0.5 ? 0.15 : 0.6;
    my %group = map { $_ => field($_, $schema->{properties}{$_}) }
        grep { rand() < ($required{$_} ? 0.95 : $chance) } sort keys %{ $schema->{properties} };
    $group{unknown} = other() if rand() < 0.05;
    $group{primary_email} = $email{email}{primary_email} if $name eq 'email' && rand() < 0.7;
    return \%group;
}

sub member
{
    my ($method, $name) = @_;
    return one_of(other(), 'DELETE', 'UNSUBSCRIBE', Number->new(5)) if rand() < 0.06;
    return group($method, $name) if $name !~ /s$/;
    return [ map { rand() < 0.03 ? other() : group($method, $name) } 1 .. int rand 4 ];
}

sub body
{
    my ($method) = @_;
    my %body;
    for my $name (@groups)
    {
        next if rand() < ($name eq 'email' && $method ne 'PATCH' ? 0.03 : 0.7);
        $body{$name} = member($method, $name);
    }
    return rand() < 0.01 ? other() : \%body;
}

# ---- bodies in which one thing may be wrong ---------------------------------------------------
sub start { my ($method) = @_; return $method eq 'PATCH' ? () : %email }

# All that is tried for a field.
sub candidates
{
    my ($schema) = @_;
    my @texts = $schema->{type} eq 'boolean' ? @flags
        : $schema->{format} ? @{ $forms{ $schema->{format} } }
        : $schema->{enum} ? (@{ $schema->{enum} }, 'X')
        : map { my $length = $_; map { $_ x $length } 'x', "\x{1F600}" } @lengths;
    my @others = (undef, JSON::PP::true, JSON::PP::false, [], {});
    return (@others, @texts, map { Number->new($_) } @numbers);
}

sub field_bodies
{
    my ($method, $name) = @_;
    my $properties = schema_of($method, $name)->{properties};
    my $is_list = $name =~ /s$/;
    my @bodies;
    for my $field (sort keys %$properties)
    {
        for my $value (candidates($properties->{$field}))
        {
            my %body = start($method);
            my %group = ($is_list ? (name => 'n') : %{ $body{$name} // {} }, $field => $value);
            $body{$name} = $is_list ? [ \%group ] : \%group;
            push @bodies, \%body;
        }
    }
    return @bodies;
}

# What may stand in place of a group, and how long a list may be.
sub group_bodies
{
    my ($method, $name) = @_;
    my @values = (undef, 'DELETE', 'UNSUBSCRIBE', 'x', {}, [], Number->new(1));
    push @values, map { [ map { +{ name => "n$_" } } 1 .. $_ ] } 1000, 1001 if $name =~ /s$/;
    return map { +{ start($method), $name => $_ } } @values;
}

# The country of relay newsletters.
sub relay_bodies
{
    my ($method) = @_;
    my @countries = (undef, '', 'fr', Number->new(5), []);
    my @places = ([], [ relay_waitlist => undef ]);
    push @places, [ waitlists => [ { name => 'x', fields => { geo => 'fr' } } ] ];
    for my $geo (@countries)
    {
        push @places, [ relay_waitlist => { geo => $geo } ];
        push @places, [ waitlists => [ { name => 'relay', fields => { geo => $geo } } ] ];
    }
    my @bodies;
    for my $subscribed (undef, JSON::PP::false, 'oFF', 'yes', Number->new(0))
    {
        my %newsletter = (name => 'relay-x');
        $newsletter{subscribed} = $subscribed if defined $subscribed;
        push @bodies, map { +{ start($method), newsletters => [ \%newsletter ], @$_ } } @places;
    }
    return @bodies;
}

# ---- as JSON ----------------------------------------------------------------------------------
sub encode
{
    my ($value) = @_;
    return $value->text if ref $value eq 'Number';
    return '[' . join(',', map { encode($_) } @$value) . ']' if ref $value eq 'ARRAY';
    return $json->encode($value) if ref $value ne 'HASH';
    return '{' . join(',', map { $json->encode($_) . ':' . encode($value->{$_}) }
        sort keys %$value) . '}';
}

sub quoted { my ($text) = @_; return "'" . $text =~ s/'/''/gr . "'" }

my @bodies;
for (1 .. $rounds)
{
    my $method = one_of(qw(POST PUT PATCH));
    push @bodies, [ $method, body($method) ];
}
for my $method (qw(PUT PATCH))
{
    push @bodies, map { [ $method, $_ ] } relay_bodies($method),
        map { (group_bodies($method, $_), field_bodies($method, $_)) } @groups;
}

$ctms->sql('CREATE TABLE bodies (n int PRIMARY KEY, method text, body text, asked jsonb)');
my $n = 0;
while (my @part = splice @bodies, 0, 500)
{
    my @rows;
    for (@part)
    {
        my ($method, $body) = @$_;
        my $asked = as_asked_for($schemas{ $method eq 'PATCH' ? 'changed_contact' : 'new_contact' },
            $body, \%schemas);
        my @forms = map { quoted(encode($_)) } $body, $asked;
        push @rows, '(' . join(',', ++$n, quoted($method), @forms) . ')';
    }
    $ctms->sql('INSERT INTO bodies VALUES ' . join ',', @rows);
}

# ---- both verdicts ----------------------------------------------------------------------------
$ctms->sql(<<"SQL");
CREATE TYPE verdict AS (state text, detail text);
CREATE TABLE schemas AS
    SELECT method, jsonb_build_object('\$ref', '#/components/schemas/' || name, 'components',
        jsonb_build_object('schemas', ctms.contact_schemas()::jsonb)) AS schema
    FROM (VALUES ('POST', 'new_contact'), ('PUT', 'new_contact'), ('PATCH', 'changed_contact'))
        AS methods (method, name);
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
    GET STACKED DIAGNOSTICS
        result.state = RETURNED_SQLSTATE, result.detail = PG_EXCEPTION_DETAIL;
    RETURN result;
END
\$\$;
CREATE TABLE verdicts AS
    SELECT n, method, body, asked, state, errors,
        -- What no schema of a body can tell; formats follow below.
        (SELECT count(*) FROM jsonb_array_elements(errors) AS e
         WHERE e ->> 'type' NOT IN ('value_error.duplicate', 'value_error.schema',
             'value_error.uuid.version', 'value_error.email_id', 'value_error.date')
             AND NOT e ->> 'type' LIKE 'value_error.url.%'
             AND NOT (e ->> 'type' = 'type_error.uuid' AND jsonb_typeof(body::jsonb #> ARRAY(
                 SELECT * FROM jsonb_array_elements_text(e -> 'loc') OFFSET 1)) = 'string')
             AND NOT (e ->> 'type' = 'value_error.any_str.min_length'
                 AND e -> 'loc' ->> -1 = 'source')
        ) = 0 AS is_accepted,
        ctms.json_schema_is_valid(schema, asked) AS is_valid,
        ctms.json_schema_is_valid(schema, body::jsonb) AS is_valid_as_sent
    FROM bodies CROSS JOIN LATERAL judge(method, body) AS v
        CROSS JOIN LATERAL (SELECT CASE WHEN v.state = 'CT422' THEN v.detail::jsonb
                                        ELSE '[]' END AS errors) AS e
        JOIN schemas USING (method);
SQL

sub first_where
{
    my ($condition) = @_;
    return $ctms->sql('SELECT method, left(body, 1000), left(errors::text, 1000), is_valid'
            . " FROM verdicts WHERE $condition ORDER BY n LIMIT 5");
}

sub count_where { return $ctms->sql("SELECT count(*) FROM verdicts WHERE $_[0]") }

is(first_where("state NOT IN ('CT409', 'CT422', 'XX999')"), '', 'no other errors');
is(first_where('is_valid <> is_accepted'), '',
    "the schema's verdict is the functions' on $n bodies");
is(first_where('is_valid_as_sent AND NOT is_accepted'), '',
    'what is valid as it was sent is accepted');
cmp_ok(count_where('is_accepted AND NOT is_valid_as_sent'), '>', $n / 100,
    'more is accepted than the schemas ask for');

# ---- formats ------------------------------------------------------------------------------------
# What is accepted is what the format says, in the form that is asked for. These are taken beside
# it, or are not URLs to us.
my %unlike = (uuid => [], date => [qw(0000-01-01 0000-02-29)], uri => [
        # No URIs, but taken: letters of other scripts, more than one "@", a bracket in a name.
        "https://\x{e9}xample.com/\x{e9}", 'http://a@b@c:1?x@y', 'https://[a@b]c/',
        # URIs, but no host, or a port of six digits: refused.
        'mailto:a@example.com', 'https:example.com', 'https://', 'https:///path', 'https://user@/',
        'https://:80/', 'https://example.com:123456/' ]);
my %field = (uuid => [qw(email basket_token)], date => [qw(amo last_login)],
    uri => [qw(newsletters source)]);
for my $format (sort keys %forms)
{
    my ($group, $name) = @{ $field{$format} };
    my @rows = map {
        my %given = ($name => $_);
        my $body = { $group => $format eq 'uri' ? [ { name => 'n', %given } ] : \%given };
        my $asked = as_asked_for({ type => 'string', format => $format }, $_, {});
        '(' . join(', ', map { quoted($json->encode($_)) } $_, $body, $asked) . ')';
    } @{ $forms{$format} };
    my @found = map { $json->decode($_) } split /\n/, $ctms->sql(qq(
        SELECT value FROM (VALUES @{[ join ",\n", @rows ]}) AS v (value, body, asked),
            judge('PATCH', body) AS j
        WHERE (j.state <> 'CT422') <> ctms.json_schema_is_valid('{"format": "$format"}',
            asked::jsonb, '{"assertFormats": true}')));
    is_deeply([ sort @found ], [ sort @{ $unlike{$format} } ], "the format $format");
}

my ($accepted, $refused) = (count_where('is_accepted'), count_where('NOT is_accepted'));
cmp_ok($accepted, '>', $n / 10, "$accepted accepted");
cmp_ok($refused, '>', $n / 10, "$refused refused");
cmp_ok(count_where(q(errors @? '$[*] ? (@.type == "value_error.relay_country")')), '>', 0,
    'the country of relay newsletters is among the reasons');

# ---- what is said of them ---------------------------------------------------------------------
my @described = sort keys %schemas;
sub is_described { return length($_[0]{description} // '') > 0 }
is_deeply([ grep { !is_described($schemas{$_}) } @described ], [],
    'every group has a description');
my @undescribed;
for my $group (grep { !/contact$/ } @described)
{
    my $properties = $schemas{$group}{properties};
    push @undescribed, map { "$group.$_" }
        grep { !is_described($properties->{$_}) } sort keys %$properties;
}
is_deeply(\@undescribed, [], 'every field has one');
done_testing;
