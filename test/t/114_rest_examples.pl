# The OpenAPI document explains itself: everything in it has a description and an example, and its
# examples work. They are sent as they are, in the order in which a reader tries them, to a database
# in which the examples of README.md and of examples/ were run.
use strict;
use warnings;
use CTMS::KeyServer;
use CTMS::Test qw(slurp);
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $top = $ENV{CTMS_TEST_TOP};
my $keys = CTMS::KeyServer->new;
$keys->publish(1000, $keys->make_key('one'));
my $key_server = $keys->start;
my $ctms = CTMS::Test->new('rest_examples');
$ctms->start_rest(CTMS_PUBSUB_AUDIENCE => 'https://ctms.example.com',
    CTMS_PUBSUB_EMAIL => 'p@example.com', CTMS_PUBSUB_CLIENT => 'hush',
    CTMS_PUBSUB_JWKS_URL => $keys->url, CTMS_SERVER_PREFIX => 'https://ctms.example.com/api/');
$ctms->login;
my $document = $ctms->request(GET => '/openapi.json')->{json};
my $schemas = $document->{components}{schemas};
my %operations;
for my $path (sort keys %{ $document->{paths} })
{
    for my $method (sort keys %{ $document->{paths}{$path} })
    {
        my $operation = $document->{paths}{$path}{$method};
        $operations{ $operation->{operationId} } =
            { %$operation, method => uc $method, path => $path };
    }
}

# ---- everything is described ------------------------------------------------------------------
my (@bare, %is_seen);
my $count = 0;
sub look_at
{
    my ($place, $schema) = @_;
    return $schema->{'$ref'} if $schema->{'$ref'};
    for my $name (sort keys %{ $schema->{properties} // {} })
    {
        my $property = $schema->{properties}{$name};
        my $told = $property->{'$ref'} ? $schemas->{ $property->{'$ref'} =~ s{.*/}{}r } : $property;
        $count++;
        push @bare, "$place.$name" if length($told->{description} // '') < 4
            || ref $told->{examples} ne 'ARRAY' || !@{ $told->{examples} };
        look_at("$place.$name", $property);
    }
    look_at("$place\[]", $schema->{items}) if ref $schema->{items} eq 'HASH';
    look_at($place, $_) for map { @{ $schema->{$_} // [] } } qw(anyOf allOf);
    return;
}
look_at($_, $schemas->{$_}) for sort keys %$schemas;
is_deeply(\@bare, [], "each of $count properties has a description and an example");
cmp_ok($count, '>', 200, 'properties were found');

my (@unexplained, @answers);
for my $id (sort keys %operations)
{
    my $operation = $operations{$id};
    like($id, qr/^[a-z]+(?:_[a-z]+)*$/, "$operation->{method} $operation->{path}: $id is a name");
    push @unexplained, map { "$id $_->{name}" }
        grep { !length $_->{description} || !defined $_->{example} || ref $_->{schema}{type} }
        @{ $operation->{parameters} // [] };
    for my $status (sort keys %{ $operation->{responses} })
    {
        my $answer = $operation->{responses}{$status};
        my ($media) = values %{ $answer->{content} // {} };
        next if $status < 300 && $status != 202;
        push @unexplained, "$id $status" if length $answer->{description} < 15
            || ($media && !defined $media->{example});
        push @answers, [ "$id $status", $media->{schema}, $media->{example} ] if $media;
    }
    for my $media (values %{ $operation->{requestBody}{content} // {} })
    {
        push @answers, [ "$id body", @$media{qw(schema example)} ] if defined $media->{example};
    }
}
is_deeply(\@unexplained, [], 'each parameter and each error is explained, with an example');
push @answers, map { my $n = $_; map { [ $n, $schemas->{$n}, $_ ] } @{ $schemas->{$n}{examples} } }
    grep { $schemas->{$_}{examples} } sort keys %$schemas;

sub quoted { my ($value) = @_; return "'" . $value =~ s/'/''/gr . "'" }
my $values = join ",\n", map { '(' . join(', ', quoted($_->[0]),
        map { quoted($json->encode($_)) } @$_[ 1, 2 ]) . ')' } @answers;
$ctms->sql('CREATE TABLE document (content jsonb); INSERT INTO document VALUES ('
    . quoted($json->encode($document)) . ')');
is($ctms->sql(qq(
    SELECT name, e.* FROM document, (VALUES $values) AS examples (name, schema, example),
        LATERAL ctms.json_schema_errors(schema::jsonb || jsonb_build_object('components',
            content -> 'components'), example::jsonb, '{"assertFormats": true}') AS e)),
    '', scalar(@answers) . ' examples are what their schemas ask for');

# ---- the description of a field is the comment on its column ----------------------------------
is($ctms->sql(q(
    SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'ctms'::regnamespace AND a.attnum > 0
        AND c.relname IN ('emails', 'newsletters', 'waitlists', 'fxa', 'amo', 'mofo')
        AND col_description(c.oid, a.attnum) IS NULL)), '', 'each column has a comment');
$ctms->sql("COMMENT ON COLUMN ctms.mofo.mofo_relevant IS 'Said by a DBA'");
is($ctms->request(GET => '/openapi.json')->{json}{components}{schemas}{mofo}{properties}
        {mofo_relevant}{description}, 'Said by a DBA', 'and it is what the document shows');
$ctms->sql('COMMENT ON COLUMN ctms.mofo.mofo_relevant IS NULL');
ok(!exists $ctms->request(GET => '/openapi.json')->{json}{components}{schemas}{mofo}{properties}
        {mofo_relevant}{description}, 'if there is none, it shows none');
is($ctms->request(GET => '/openapi.json')->{content},
    $ctms->request(GET => '/openapi.json')->{content}, 'it is the same until that changes');

# ---- where the server is ----------------------------------------------------------------------
is_deeply($document->{servers}, [ { url => '/api' } ], 'the path of a server behind a proxy');
is($document->{components}{securitySchemes}{client_credentials}{flows}{clientCredentials}{tokenUrl},
    '/api/token', 'and that of tokens');

# ---- one type for each value --------------------------------------------------------
my @mixed;
sub look_for_mixed
{
    my ($place, $schema) = @_;
    my @types = grep { $_ ne 'null' } ref $schema->{type} ? @{ $schema->{type} } : ();
    push @mixed, $place if @types > 1;
    look_for_mixed("$place.$_", $schema->{properties}{$_})
        for sort keys %{ $schema->{properties} // {} };
    look_for_mixed("$place\[]", $schema->{items}) if ref $schema->{items} eq 'HASH';
    return;
}
look_for_mixed($_, $schemas->{$_}) for sort keys %$schemas;
is_deeply(\@mixed, [], 'no field has two types');
is($schemas->{new_email}{properties}{double_opt_in}{type}, 'boolean', 'a flag is a boolean');
like($schemas->{new_email}{properties}{double_opt_in}{description}, qr/Also taken: 0 and 1/,
    'what else is taken is said in words');

# ---- what generated clients make of it ---------------------------------------------------------
# A schema becomes a class. 115_client_typescript and 116_client_python make clients.
is_deeply([ grep { !/^[a-z]+(?:_[a-z]+)*$/ || /^(?:error|exception|object|type|any|list)$/ }
        sort keys %$schemas ], [], 'names of schemas are good names of classes');
my @closed;
sub look_for_closed
{
    my ($place, $schema) = @_;
    my %type = map { $_ => 1 } ref $schema->{type} ? @{ $schema->{type} } : $schema->{type} // ();
    push @closed, $place
        if $type{object} && !$schema->{properties} && !$schema->{additionalProperties};
    look_for_closed("$place.$_", $schema->{properties}{$_})
        for sort keys %{ $schema->{properties} // {} };
    look_for_closed("$place\[]", $schema->{items}) if ref $schema->{items} eq 'HASH';
    look_for_closed($place, $_) for @{ $schema->{anyOf} // [] };
    return;
}
look_for_closed($_, $schemas->{$_}) for sort keys %$schemas;
is_deeply(\@closed, [], 'an object of unknown keys says that it may have any');
my %tags = map { $_->{name} => 0 } @{ $document->{tags} };
$tags{$_}++ for map { @{ $_->{tags} } } values %operations;
is_deeply([ grep { !$tags{$_} } sort keys %tags ], [], 'each tag has operations');
is_deeply([ sort keys %tags ], [ sort map { $_->{name} } @{ $document->{tags} } ],
    'and is described');
is_deeply([ map { keys %{ $_->{requestBody}{content} // {} } } $operations{get_token} ],
    ['application/x-www-form-urlencoded'], 'a body has one type');

# ---- the examples work ------------------------------------------------------------------------
my ($readme) = slurp("$top/README.md") =~ /-d '\n\s*(\{.*?\})'\n/s;
is($ctms->request(POST => '/ctms', $readme)->{status}, 201, 'the example of README.md is there');
for my $file (glob "$top/examples/contacts/*.json")
{
    is($ctms->request(POST => '/ctms', slurp($file))->{status}, 201, 'and that of ' . $file =~
        s{.*/}{}r);
}

sub example_of
{
    my ($id) = @_;
    my $operation = $operations{$id} // die "no operation $id";
    my ($path, @query) = ($operation->{path});
    for my $parameter (@{ $operation->{parameters} // [] })
    {
        my $value = $parameter->{example};
        $value = $value ? 'true' : 'false' if JSON::PP::is_bool($value);
        $value = 'hush' if $parameter->{name} eq 'pubsub_client';
        $value =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ge;
        if ($parameter->{in} eq 'path') { $path =~ s/\{$parameter->{name}\}/$value/ }
        else { push @query, "$parameter->{name}=$value" }
    }
    my $media = $operation->{requestBody}{content}{'application/json'};
    return ($operation->{method}, join('?', $path, @query ? join '&', @query : ()),
        $media ? $json->encode($media->{example}) : undef);
}

sub try_it
{
    my ($id, $status, %headers) = @_;
    my $r = $ctms->request(example_of($id), \%headers);
    is($r->{status}, $status, "$id: $status") or diag($r->{content});
    return $r->{json};
}

my %email = %{ $schemas->{new_contact}{examples}[0]{email} };
my $by_address = 'delete_contact_by_primary_email';
sub told { return $operations{ $_[0] }{responses}{ $_[1] }{content}{'application/json'}{example} }
is_deeply(try_it($_ => 404), told($_ => 404), 'as told') for 'get_contact', $by_address;
my $created = try_it(create_contact => 201);
is_deeply({ map { $_ => $created->{email}{$_} } keys %email }, \%email, 'all was stored');
my %shown = %{ $schemas->{contact}{examples}[0] };
is_deeply([ sort keys %$created ], [ sort keys %shown ], 'the answer has the keys of its example');
is_deeply([ sort map { my $group = $_; map { "$group.$_" } keys %{ $created->{$group} } }
        grep { ref $created->{$_} eq 'HASH' } keys %$created ],
    [ sort map { my $group = $_; map { "$group.$_" } keys %{ $shown{$group} } }
        grep { ref $shown{$_} eq 'HASH' } keys %shown ], 'and those of its groups');
try_it(create_contact => 200);
is(try_it(get_contact => 200)->{email}{primary_email}, $email{primary_email}, 'it is there');
is_deeply([ map { $_->{email}{email_id} } @{ try_it(find_contacts => 200) } ],
    [ $email{email_id} ], 'all identifiers find it');
is_deeply(try_it(get_identity => 200), $schemas->{identity}{examples}[0],
    'its identity is as told');
is(scalar @{ try_it(find_identities => 200) }, 1, 'and is found');
ok((grep { $_->{email}{email_id} eq $email{email_id} } @{ try_it(get_updates => 200)->{items} }),
    'it has changed');
is_deeply(try_it(put_contact => 201), $created, 'it is put as it is');
my $changed = try_it(patch_contact => 200);
is_deeply([ $changed->{email}{last_name}, $changed->{email}{first_name},
        $changed->{newsletters}[0]{subscribed} ],
    [ 'Changed', $email{first_name}, JSON::PP::false ], 'it is changed');
is(try_it(store_stripe_objects => 200)->{status}, 'OK', 'its customer of Stripe is stored');
my $google = $keys->token({ iss => 'https://accounts.google.com', aud => 'https://ctms.example.com',
        email => 'p@example.com', email_verified => JSON::PP::true, exp => time + 3000 });
is(try_it(store_pubsub_message => 200, Authorization => "Bearer $google")->{status}, 'OK',
    'and sent by Pub/Sub');
ok(exists try_it(get_waitlist => 200)->{schema}, 'its waitlist has a schema');
my ($deleted) = @{ try_it($by_address => 200) };
is($deleted->{email_id}, $email{email_id}, 'it is deleted');
is($ctms->sql('SELECT count(*) FROM ctms.stripe_customer'), 0, 'with its customer');
try_it(put_contact => 201);
try_it(create_contact => 200);
for my $id (sort grep { $operations{$_}{method} eq 'GET' } keys %operations)
{
    my %expected = (go_to_docs => 307, crash => 500);
    try_it($id => $expected{$id} // 200);
}

# The form for a token, with the example's client, whom nobody knows, and with one that is there.
sub ask_for_token
{
    my %form = ((map { $_ => $schemas->{token_request}{properties}{$_}{examples}[0] }
            keys %{ $schemas->{token_request}{properties} }), @_);
    return $ctms->request(POST => '/token', join('&', map { "$_=$form{$_}" } sort keys %form),
        { 'Content-Type' => 'application/x-www-form-urlencoded' })->{json};
}
is_deeply(ask_for_token(), told(get_token => 400), 'no token for a stranger');
is(ask_for_token(client_id => $ctms->{client_id}, client_secret => $ctms->{client_secret})->{scope},
    $schemas->{token}{properties}{scope}{examples}[0], 'a token for a client, with that scope');

# ---- errors as told ---------------------------------------------------------------------------
$ctms->request(PATCH => "/ctms/$email{email_id}", { fxa => { fxa_id => 'x' } });
is_deeply(try_it(create_contact => 409), told(create_contact => 409), 'a conflict is as told');
is_deeply($ctms->request(GET => '/ctms/x', undef, { Authorization => undef })->{json},
    told(get_contact => 401), 'no token is as told');
is_deeply($ctms->request(GET => '/ctms')->{json}, told(find_contacts => 400), 'nor no identifier');
is_deeply($ctms->request(GET => '/ctms/x')->{json}, told(get_contact => 422), 'nor a bad id');
is_deeply($ctms->request(GET => '/ctms?email_id=x')->{json}, told(find_contacts => 422),
    'in a query');
is_deeply($ctms->request(GET => '/updates?start=x')->{json}, told(get_updates => 422),
    'nor a time');
is_deeply($ctms->request(POST => '/ctms', { email => {} })->{json}, told(create_contact => 422),
    'nor a missing key');
kill TERM => $key_server;
waitpid $key_server, 0;
$ctms->stop_program('rest');
done_testing();
