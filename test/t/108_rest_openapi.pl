# The OpenAPI document describes everything, and answers are as it says. Requests are made from
# it, with values that it allows and others; our own validator checks its schemas.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test;
use CTMS::Tolerance qw(as_asked_for);
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $ctms = CTMS::Test->new('rest_openapi');
$ctms->start_rest;
$ctms->login;

my $document = $ctms->request(GET => '/openapi.json')->{json};
is($document->{openapi}, '3.1.0', 'the version');
my $schemas = $document->{components}{schemas};

# ---- the document itself -----------------------------------------------------------------
my @refs = $json->encode($document) =~ m{"\$ref":"#/components/schemas/([^"]+)"}g;
is_deeply([ grep { !$schemas->{$_} } @refs ], [], 'every reference leads somewhere');
my %used = map { $_ => 1 } @refs;
is_deeply([ grep { !$used{$_} } sort keys %$schemas ], [], 'every schema is used');
$ctms->sql("CREATE TABLE document (content jsonb)");
my $text = $json->encode($document) =~ s/'/''/gr;
$ctms->sql("INSERT INTO document VALUES ('$text')");
is($ctms->sql(q(SELECT count(*)
    FROM document, jsonb_each(content #> '{components,schemas}') AS s (name, schema),
    LATERAL ctms.json_schema_check(jsonb_build_object('$ref', '#/components/schemas/' || name,
        'components', content -> 'components')))),
    0, 'every schema is a JSON Schema') ;
my (%operations, %ids);
for my $path (sort keys %{ $document->{paths} })
{
    for my $method (sort keys %{ $document->{paths}{$path} })
    {
        my $operation = $operations{"$method $path"} = $document->{paths}{$path}{$method};
        ok(length $operation->{summary} && !$ids{ $operation->{operationId} }++,
            "$method $path: summary and id");
        my @own = sort map { /\{(\w+)\}/ } $path;
        is_deeply([ sort map { $_->{name} } grep { $_->{in} eq 'path' } @{ $operation->{parameters}
                // [] } ], \@own, "$method $path: its parameters");
        ok(!$operation->{requestBody} || $operation->{responses}{ $method eq 'post'
                && $path eq '/token' ? 400 : $path eq '/stripe_from_pubsub' ? 202 : 422 },
            "$method $path: a body may be wrong");
    }
}

# ---- requests made from it --------------------------------------------------------------------
srand 17;
sub one_of { return $_[ rand @_ ] }

my $known = '332de237-cab7-4461-bcc3-48e68f42bd5c';
my @addresses = ('a@example.com', 'B@example.com', 'a b@example.com');

# A value for a schema; now and then one that it forbids.
sub value
{
    my ($schema, $name) = @_;
    return one_of(undef, 'x', 17, -1.5, JSON::PP::true, [], {}, 'x' x 300, "\x{1F600}", '')
        if rand() < 0.08;
    return value($schemas->{ $schema->{'$ref'} =~ s{.*/}{}r }, $name) if $schema->{'$ref'};
    return $schema->{const} if exists $schema->{const};
    return one_of(@{ $schema->{enum} }) if $schema->{enum};
    return value(one_of(@{ $schema->{anyOf} }), $name) if $schema->{anyOf};
    my $type = ref $schema->{type} ? one_of(@{ $schema->{type} }) : $schema->{type} // 'string';
    return undef if $type eq 'null';
    return one_of(JSON::PP::true, JSON::PP::false) if $type eq 'boolean';
    return int rand 2000 if $type eq 'integer' || $type eq 'number';
    return [ map { value($schema->{items}, '') } 1 .. int rand 3 ] if $type eq 'array';
    if ($type eq 'object')
    {
        my %required = map { $_ => 1 } @{ $schema->{required} // [] };
        return { map { $_ => value($schema->{properties}{$_}, $_) }
            grep { $required{$_} || rand() < 0.3 } sort keys %{ $schema->{properties} // {} } };
    }
    return one_of(@addresses) if $name =~ /email$/;
    return one_of($known, '11111111-1111-4111-8111-111111111111', 'x')
        if ($schema->{format} // '') eq 'uuid';
    return one_of('2020-01-01T00:00:00Z', '2020-02-30') if ($schema->{format} // '') =~ /^date/;
    return one_of('https://example.com/', 'no url') if ($schema->{format} // '') eq 'uri';
    return one_of('n', 'fr', 'yes', 'mozilla-and-you', 'vpn', 'relay',
        'relay-waitlist', 'T', '1', "\x{e9}");
}

sub encode
{
    my ($text) = @_;
    utf8::encode($text);
    return $text =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger;
}

my (@answers, %statuses);
sub try_operation
{
    my ($method, $path, $operation) = @_;
    my @query;
    for my $parameter (@{ $operation->{parameters} // [] })
    {
        my $value = value($parameter->{schema}, $parameter->{name}) // '';
        $value = 'x' if ref $value;
        if ($parameter->{in} eq 'path')
        {
            $path =~ s/\{\w+\}/encode(length $value ? $value : 'x')/e;
        }
        elsif ($parameter->{required} || rand() < 0.4)
        {
            push @query, "$parameter->{name}=" . encode($value);
        }
    }
    my $target = join '?', $path, @query ? join '&', @query : ();
    my ($body, %headers);
    if (my $content = $operation->{requestBody}{content})
    {
        my $schema = (values %$content)[0]{schema};
        $body = $content->{'application/json'} ? $json->encode(value($schema, ''))
            : 'client_id=x&client_secret=y';
        $headers{'Content-Type'} = one_of(sort keys %$content);
    }
    my $r = $ctms->request(uc $method, $target, $body, \%headers);
    my $answer = $operation->{responses}{ $r->{status} };
    fail("$method $target: $r->{status} is not documented") && diag($body // '', $r->{content})
        unless $answer;
    $statuses{"$method $operation->{operationId}"}{ $r->{status} }++;
    my $schema = $answer->{content}{'application/json'}{schema} or return;
    push @answers, [ "$method $target $r->{status}", $schema, $r->{content}, $body ];
    return;
}
for my $round (1 .. 40)
{
    for my $name (sort keys %operations)
    {
        my ($method, $path) = split ' ', $name;
        next if $round > 2 && !$operations{$name}{parameters} && !$operations{$name}{requestBody};
        next if $method eq 'get' && $path =~ m{^/docs} && $round > 1;
        try_operation($method, $path, $operations{$name});
    }
}

# Whatever the dice make of the schemas, which grow: these answers come within some hundred tries.
sub is_answered
{
    my ($method, $path, $status) = @_;
    my $operation = $operations{"$method $path"};
    for (1 .. 500)
    {
        return 1 if $statuses{"$method $operation->{operationId}"}{$status};
        try_operation($method, $path, $operation);
    }
    return 0;
}
ok(is_answered(post => '/ctms', $_), "POST /ctms answered $_") for 201, 422;
ok(is_answered(get => '/ctms/{email_id}', $_), "GET /ctms/… answered $_") for 404, 422;
ok(is_answered(patch => '/ctms/{email_id}', $_), "PATCH answered $_") for 200, 422;
cmp_ok(scalar @answers, '>', 300, scalar(@answers) . ' answers');

sub quoted { my ($value) = @_; $value =~ s/'/''/g; return "'$value'" }

# One statement for all: the answers that are not what the document says.
my $values = join ",\n", map { '('
    . join(', ', quoted($_->[0]), quoted($json->encode($_->[1])), quoted($_->[2])) . ')' } @answers;
my $wrong = $ctms->sql(qq(
    SELECT name, e.*, left(body, 300)
        FROM document, (VALUES $values) AS answers (name, schema, body),
        LATERAL ctms.json_schema_errors(schema::jsonb
            || jsonb_build_object('components', content -> 'components'), body::jsonb) AS e
    ORDER BY 1 LIMIT 10));
is($wrong, '', 'every answer is what the document says');

# ---- what the document forbids, the server refuses, and the other way round ----------------------
my @bodies = map { value({ '$ref' => '#/components/schemas/new_contact' }, '') } 1 .. 150;
my %by_server;
for my $i (0 .. $#bodies)
{
    $ctms->sql('TRUNCATE ctms.emails CASCADE') if $i % 10 == 0;
    my $r = $ctms->request(POST => '/ctms', $json->encode($bodies[$i]));
    $by_server{$i} = $r->{status} == 422 ? join ' ',
        map { join '/', @{ $_->{loc} } } @{ $r->{json}{detail} } : '';
}
# What is taken beside the types that the document asks for is brought into these first.
my $list = join ",\n", map { "($_, " . quoted($json->encode(as_asked_for($schemas->{new_contact},
    $bodies[$_], $schemas))) . ')' } 0 .. $#bodies;
my %by_document = map { split /\|/ } split /\n/, $ctms->sql(qq(
    SELECT i, ctms.json_schema_is_valid(jsonb_build_object('\$ref',
        '#/components/schemas/new_contact', 'components', content -> 'components'),
        body::jsonb, '{"assertFormats": true}')
    FROM document, (VALUES $list) AS bodies (i, body) ORDER BY 1));
my @stricter = grep { $by_document{$_} eq 'f' && $by_server{$_} eq '' }
    sort { $a <=> $b } keys %by_server;
is_deeply([ map { $json->encode($bodies[$_]) } @stricter ], [],
    'the server refuses what the document forbids');
# A schema cannot express some rules: the fields of waitlists, repeated names, the relay country,
# versions of UUIDs.
my @laxer = grep { $by_document{$_} eq 't' && $by_server{$_}
    && $by_server{$_} !~ m{/fields|/name$|relay|newsletters/\d+$|email_id|waitlist/} }
    sort { $a <=> $b } keys %by_server;
is_deeply([ map { "$by_server{$_}: " . $json->encode($bodies[$_]) } @laxer ], [],
    'and allows what it allows');

# ---- the page ------------------------------------------------------------------------------------
answers($ctms, GET => '/docs', 200, qr{<script src="docs/start\.js">},
    headers => { Authorization => undef }, has => { 'Content-Type' => 'text/html; charset=utf-8' });
answers($ctms, GET => "/docs/$_->[0]", 200, undef, headers => { Authorization => undef },
    has => { 'Content-Type' => "$_->[1]; charset=utf-8" })
    for [ 'start.js', 'text/javascript' ], [ 'swagger-ui.css', 'text/css' ],
    [ 'swagger-ui-bundle.js', 'text/javascript' ];
answers($ctms, GET => "/docs/$_", 404, { detail => 'Not Found' })
    for 'x', '..', '%00', 'start.js%00', '%2e%2e%2fMakefile';
$ctms->stop_program('rest');
done_testing();
