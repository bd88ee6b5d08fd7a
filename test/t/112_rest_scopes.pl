# Scopes: what a client may do, what its tokens may do, and how both change. Every operation of the
# OpenAPI document is tried with each scope.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use MIME::Base64 qw(decode_base64url);
use Test::More;

my $ctms = CTMS::Test->new('rest_scopes');
$ctms->start_rest(CTMS_PROCESSES => 2);
my @all = qw(contacts:read contacts:write contacts:delete stripe:write);

sub add
{
    my ($name, @options) = @_;
    my ($rc, $out, $err) =
        $ctms->cli(qw(clients add), $name, '--email', 'x@example.com', '--json', @options);
    die "clients add: $err" if $rc;
    return decode_json($out);
}

sub ask
{
    my ($client, $scope, %change) = @_;
    my %form = (client_id => $client->{client_id}, client_secret => $client->{client_secret},
        defined $scope ? (scope => $scope) : (), %change);
    return $ctms->request(POST => '/token', join('&', map { "$_=" . $form{$_} =~ s/ /%20/gr }
        sort keys %form), { 'Content-Type' => 'application/x-www-form-urlencoded' });
}

sub token_of { my $r = ask(@_); return $r->{json}{access_token} // die "token: $r->{content}" }

sub with { return { Authorization => "Bearer $_[0]" } }

sub claims { return decode_json(decode_base64url((split /\./, $_[0])[1])) }

# ---- getting a token -----------------------------------------------------------------------------
my $every = add('every', '--scope', 'all');
my $usual = add('usual');
my $reader = add('reader', '--scope', 'contacts:read');
my $writer = add('writer', '--scope', 'contacts:write, stripe:write');
is($ctms->sql('SELECT client_id, scopes FROM ctms.api_client ORDER BY client_id'), join("\n",
    'id_every|', 'id_reader|{contacts:read}',
    'id_usual|{contacts:read,contacts:write,stripe:write}',
    'id_writer|{contacts:write,stripe:write}'), 'what is stored');

my $r = ask($every);
is_deeply([ sort keys %{ $r->{json} } ], [qw(access_token expires_in token_type)],
    'a client with all scopes that asks for none gets what the older service answers');
ok(!exists claims($r->{json}{access_token})->{scope}, 'and no claim');
is(ask($usual)->{json}{scope}, 'contacts:read contacts:write stripe:write', 'the usual scopes');
is(ask($writer)->{json}{scope}, 'contacts:write stripe:write', 'some');
$r = ask($every, 'contacts:delete contacts:read');
is($r->{json}{scope}, 'contacts:read contacts:delete', 'asked for some of all');
is(claims($r->{json}{access_token})->{scope}, 'contacts:read contacts:delete', 'they are a claim');
is(ask($writer, 'contacts:read')->{json}{scope}, 'contacts:read', 'asked for what is included');
is(ask($reader, $_)->{json}{scope}, 'contacts:read', "asked for '$_'") for '', ' ';
is(ask($every, " stripe:write  stripe:write ")->{json}{scope}, 'stripe:write', 'asked twice');
for ([ $reader, 'contacts:write' ], [ $reader, 'contacts:read contacts:delete' ],
    [ $every, 'admin' ], [ $every, 'contacts:read,stripe:write' ], [ $every, 'Contacts:read' ],
    [ $every, '%00' ], [ $every, '%FF' ], [ $usual, 'contacts:delete' ])
{
    my ($client, $scope) = @$_;
    $r = ask($client, $scope);
    is($r->{status}, 400, "$client->{client_id} asks for $scope");
    like($r->{json}{error}, $scope =~ /%/ ? qr/^invalid_(?:scope|request)$/ : qr/^invalid_scope$/,
        'is told why');
    is($r->{headers}{'cache-control'}, 'no-store', 'nobody stores that');
}
for ([ client_secret => 'wrong' ], [ client_id => 'id_nobody' ])
{
    $r = ask($every, 'admin', @$_);
    is_deeply([ $r->{status}, $r->{json}{error} ], [ 400, 'invalid_client' ],
        "a stranger hears nothing of scopes: $_->[0]");
}

# ---- using it: every operation with every scope, as the document says --------------------------
my $document = $ctms->request(GET => '/openapi.json')->{json};
is_deeply($document->{components}{securitySchemes}{client_credentials}{flows}{clientCredentials}
        {scopes} && [ sort keys %{ $document->{components}{securitySchemes}{client_credentials}
        {flows}{clientCredentials}{scopes} } ], [ sort @all ], 'the document has the scopes');
my %needed;
for my $path (sort keys %{ $document->{paths} })
{
    for my $method (sort keys %{ $document->{paths}{$path} })
    {
        my $operation = $document->{paths}{$path}{$method};
        my ($own) = grep { $_->{client_credentials} } @{ $operation->{security} } or next;
        $needed{"$method $path"} = $own->{client_credentials}[0] // '';
        is_deeply([ grep { $_->{access_token} } @{ $operation->{security} } ],
            [ { access_token => $own->{client_credentials} } ], "$method $path: for both schemes");
        is(exists $operation->{responses}{403}, $needed{"$method $path"} ne '',
            "$method $path: 403 is documented");
    }
}
is_deeply(\%needed, { 'get /__crash__' => '', 'get /waitlists' => '', 'get /waitlists/{name}' => '',
    'post /stripe' => 'stripe:write', 'delete /ctms/{primary_email}' => 'contacts:delete',
    (map { $_ => 'contacts:write' } 'post /ctms', 'put /ctms/{email_id}', 'patch /ctms/{email_id}'),
    map { ("get $_" => 'contacts:read') } '/ctms', '/ctms/{email_id}', '/updates', '/identities',
    '/identity/{email_id}' }, 'what each needs');

# Values that no contact has: what is let through is answered 404 or 422, and changes nothing.
sub try_all
{
    my ($token, $name, %has) = @_;
    my @wrong;
    for my $operation (sort keys %needed)
    {
        my ($method, $path) = split ' ', $operation;
        $path =~ s/\{\w+\}/nothing/;
        for my $verb ($method eq 'get' ? qw(GET HEAD) : uc $method)
        {
            my $answer = $ctms->request($verb, $path, $verb =~ /^P/ ? 'x' : undef, with($token));
            my $is_refused = $answer->{status} == 403;
            my $need = $needed{$operation};
            push @wrong, "$verb $path: $answer->{status}"
                if $is_refused == ($need eq '' || $has{$need} ? 1 : 0);
            next if !$is_refused;
            push @wrong, "$verb $path: " . ($answer->{headers}{'www-authenticate'} // '')
                if ($answer->{headers}{'www-authenticate'} // '')
                ne qq(Bearer error="insufficient_scope", scope="$need");
            push @wrong, "$verb $path: $answer->{content}" if $verb ne 'HEAD'
                && ($answer->{json}{detail} // '') ne "This needs the scope $need";
        }
    }
    return is_deeply(\@wrong, [], $name);
}
my %with = ('contacts:write' => { 'contacts:read' => 1 });
for my $scope (@all)
{
    my %has = (%{ $with{$scope} // {} }, $scope => 1);
    try_all(token_of($every, $scope), "a token for $scope", %has);
    try_all(token_of(add($scope =~ s/:/-/r, '--scope', $scope)), "a client with $scope", %has);
}
try_all(token_of($every), 'everything', map { $_ => 1 } @all);
try_all(token_of($usual), 'the usual', map { $_ => 1 } grep { !/delete/ } @all);
my $none = add('none');
$ctms->sql("UPDATE ctms.api_client SET scopes = '{}' WHERE client_id = 'id_none'");
try_all(token_of($none), 'nothing');
answers($ctms, POST => '/ctms', 403, undef, body => 'x' x 2_000_000,
    headers => with(token_of($reader)), name => 'a large body without the scope');
answers($ctms, POST => '/ctms', 401, undef, body => '{}', headers => { Authorization => undef },
    name => '401 comes first', has => { 'WWW-Authenticate' => 'Bearer' });

# Really nothing is deleted, and really something.
my $id = '332de237-cab7-4461-bcc3-48e68f42bd5c';
answers($ctms, PUT => "/ctms/$id", 201, undef, headers => with(token_of($usual)),
    body => { email => { primary_email => 'kept@example.com' } });
answers($ctms, DELETE => '/ctms/kept@example.com', 403,
    { detail => 'This needs the scope contacts:delete' }, headers => with(token_of($usual)));
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 1, 'the contact is still there');
answers($ctms, DELETE => '/ctms/kept@example.com', 200, undef,
    headers => with(token_of($every, 'contacts:delete')));
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 0, 'and now it is not');

# ---- changes -------------------------------------------------------------------------------------
# Two processes serve: a token has a status when it has it many times in a row.
sub status_is
{
    my ($token, $status, $name) = @_;
    return ok(poll_until(sub { !grep { $ctms->request(DELETE => '/ctms/nobody@example.com', undef,
            with($token))->{status} != $status } 1 .. 12 }, $name, 10), $name);
}
my ($whole, $narrow) = (token_of($every), token_of($every, 'contacts:delete contacts:read'));
status_is($_, 404, 'may delete') for $whole, $narrow;
my ($rc, $out, $err) = $ctms->cli(qw(clients scope every contacts:read));
is("$rc $out", "0 id_every has contacts:read\n", 'less') or diag $err;
status_is($_, 403, 'its tokens have less at once') for $whole, $narrow;
($rc, $out) = $ctms->cli(qw(clients scope id_every all));
is("$rc $out", "0 id_every has all scopes\n", 'everything again');
status_is($_, 404, 'its tokens have that too') for $whole, $narrow;
answers($ctms, POST => '/stripe', 403, undef, body => {}, headers => with($narrow),
    name => 'but not more than they were got for');
$ctms->sql("UPDATE ctms.api_client SET enabled = false WHERE client_id = 'id_reader'");
ok(poll_until(sub { $ctms->request(DELETE => '/ctms/x', undef, with($whole))->{status} == 404
        && ask($reader)->{status} == 400 }), 'a disabled client');

# ---- the log -------------------------------------------------------------------------------------
$ctms->stop_program('rest');
my @lines = map { decode_json($_)->{Fields} } grep { /"ctms.web"/ }
    split /\n/, slurp("$PostgreSQL::Test::Utils::log_path/rest_scopes_rest.log");
my ($refused) = grep { $_->{status_code} && $_->{status_code} == 403 } @lines;
is_deeply([ @$refused{qw(auth_fail client_allowed)} ], [ 'insufficient scope', JSON::PP::false ],
    'a refusal');
like($refused->{client_id}, qr/^id_/, 'whose it was');
ok((grep { ($_->{token_fail} // '') eq 'invalid scope' } @lines), 'token_fail');
done_testing();
