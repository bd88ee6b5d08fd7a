# Tokens and clients: getting a token in every way, and using every kind of token.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until);
use Digest::SHA qw(hmac_sha256 hmac_sha384);
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64 encode_base64url);
use Test::More;

my $key = 'a secret key for tests only, 32+';
my $ctms = CTMS::Test->new('rest_token');
$ctms->start_rest(CTMS_TOKEN_EXPIRATION => 60, CTMS_PROCESSES => 2);
$ctms->login;
my ($id, $secret) = @$ctms{qw(client_id client_secret)};
my $own_claims = decode_json(decode_base64url((split /\./, delete $ctms->{token})[1]));

sub check { unshift @_, $ctms; goto &answers }

# ---- POST /token ----------------------------------------------------------------------
my $form = "client_id=$id&client_secret=$secret";
my %urlencoded = ('Content-Type' => 'application/x-www-form-urlencoded');
my %basic = (Authorization => 'Basic ' . encode_base64("$id:$secret", ''));

sub is_token
{
    my ($json) = @_;
    return join(' ', sort keys %$json) eq 'access_token expires_in token_type'
        && $json->{token_type} eq 'bearer'
        && $json->{expires_in} == 60 && $json->{access_token} =~ /^[\w-]+\.[\w-]+\.[\w-]+$/;
}

sub multipart
{
    my ($boundary, %fields) = @_;
    return join('',
        map { "--$boundary\r\nContent-Disposition: form-data; name=\"$_\"\r\n\r\n$fields{$_}\r\n" }
        sort keys %fields)
        . "--$boundary--\r\n";
}

my %no_store = (has => { 'Cache-Control' => 'no-store' });
check(POST => '/token', 200, \&is_token, body => $form,
    headers => \%urlencoded, %no_store, name => 'form');
check(POST => '/token', 200, \&is_token, body => "grant_type=client_credentials&$form",
    headers => \%urlencoded, name => 'grant_type');
check(POST => '/token', 200, \&is_token,
    body => "grant_type=refresh_token&$form&json=%7B%27email%27%3A+%27private%40example.com%27%7D",
    headers => \%urlencoded, name => 'refresh_token with more fields');
check(POST => '/token', 200, \&is_token, body => 'grant_type=client_credentials',
    headers => { %basic, %urlencoded }, name => 'Basic');
check(POST => '/token', 200, \&is_token, headers => \%basic, name => 'Basic without a form');
check(POST => '/token', 200, \&is_token, body => "client_id=other&client_secret=wrong",
    headers => { %basic, %urlencoded }, name => 'Basic wins over the form');
check(POST => '/token', 200, \&is_token, body => multipart('xYz', client_id => $id,
        client_secret => $secret, grant_type => '', file => "a\r\n--\r\nb\0"),
    headers => { 'Content-Type' => 'multipart/form-data; charset=utf-8; boundary=xYz' },
    name => 'multipart');
check(POST => '/token', 200, \&is_token, body => "preamble\r\n"
    . multipart('a b', client_id => $id, client_secret => $secret) . 'epilogue',
    headers => { 'Content-Type' => 'Multipart/Form-Data; boundary="a b"' },
    name => 'multipart with a quoted boundary');

# The code of RFC 6749, 5.2, tells clients what to mend, and nobody which client there is.
sub refused
{
    my ($error, %options) = @_;
    return check(POST => delete $options{path} // '/token', 400,
        { detail => 'Incorrect username or password', error => $error }, %no_store, %options);
}
for (
    [ 'a wrong secret' => "client_id=$id&client_secret=x" ],
    [ 'an unknown client' => "client_id=id_x&client_secret=$secret" ],
    [ 'swapped credentials' => "client_id=$secret&client_secret=$id" ],
    [ 'the address of somebody' => 'client_id=private%40example.com&client_secret=x' ],
    [ 'a very long id' => 'client_id=' . 'private' x 100 . '&client_secret=x' ],
    [ 'a very long secret' => "client_id=$id&client_secret=" . 'x' x 5000 ],
    [ 'no secret' => "client_id=$id" ],
    [ 'an empty secret' => "client_id=$id&client_secret=" ], [ 'nothing' => '' ],
    [ 'another grant' => "grant_type=password&$form", 'unsupported_grant_type' ],
    [ 'another grant for nobody' => 'grant_type=password', 'unsupported_grant_type' ],
    [ 'no form' => '{"client_id":"x"}' ],
    [ 'text that is none' => "client_id=%FF&client_secret=x", 'invalid_request' ],
    [ 'a NUL' => "client_id=$id%00&client_secret=$secret", 'invalid_request' ])
{
    my ($name, $body, $error) = @$_;
    refused($error // 'invalid_client', body => $body, headers => \%urlencoded, name => $name);
}
refused('invalid_client', body => "client_id=$id&client_secret=x", headers => \%urlencoded,
    path => "/token?client_id=$secret&client_secret=$id", name => 'credentials in the query');
check(POST => '/token', 413, { detail => 'Request body too large', error => 'invalid_request' },
    body => 'x' x 2_000_000, headers => \%urlencoded, %no_store, name => 'a body too large');
for my $header ('Basic', 'Basic !', 'Basic ' . encode_base64($id, ''),
    'Basic ' . encode_base64("$id:x", ''), 'Basic ' . encode_base64("$id:$secret\0", ''))
{
    refused('invalid_client', headers => { Authorization => $header }, name => $header);
}
for my $type ('multipart/form-data', 'multipart/form-data; boundary=',
    'multipart/form-data; boundary=other', 'multipart/form-data; boundary="x')
{
    refused('invalid_request',
        body => multipart('xYz', client_id => $id, client_secret => $secret),
        headers => { 'Content-Type' => $type }, name => $type);
}
refused('invalid_request',
    body => substr(multipart('xYz', client_id => $id, client_secret => $secret), 0, -10),
    headers => { 'Content-Type' => 'multipart/form-data; boundary=xYz' },
    name => 'multipart cut short');

# The mistake of many a first try; in the header the credentials would do.
my %is_json = ('Content-Type' => 'application/json');
refused('invalid_request', body => qq({"client_id": "$id", "client_secret": "$secret"}),
    headers => \%is_json, name => 'JSON');
refused('invalid_client', body => '', headers => \%is_json, name => 'no body of JSON');

# Hashes that other versions made.
$ctms->sql(q(INSERT INTO ctms.api_client (client_id, email, hashed_secret) VALUES
    ('id_argon2i', 'a@example.com',
        '$argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHQ$n+MfJMvfUDrpIkB7UnX50HIkUHZBj9pFqeFRBDmWTGI'),
    ('id_broken', 'b@example.com', 'not a hash'), ('id_empty', 'c@example.com', '')));
refused('invalid_client', body => "client_id=$_&client_secret=x",
    headers => \%urlencoded, name => "$_ with a wrong secret")
    for qw(id_argon2i id_broken id_empty);

# ---- tokens -----------------------------------------------------------------------------------
sub token
{
    my ($claims, %options) = @_;
    my $json = JSON::PP->new->canonical;
    my $part = join '.', map { encode_base64url(ref $_ ? $json->encode($_) : $_) } $options{header}
        // { alg => 'HS256', typ => 'JWT' }, $claims;
    my $signature = ($options{hmac} // \&hmac_sha256)->($part, $options{key} // $key);
    return $part . '.' . ($options{unsigned} ? '' : encode_base64url($signature));
}

my $later = time + 600;
my %good = (sub => "api_client:$id", exp => $later, ver => $own_claims->{ver});
is($own_claims->{sub}, $good{sub}, 'the subject is the client');
# Whoever sees a token learns nothing of the hash: it is under a key.
my @client = split /\|/, $ctms->sql(qq(SELECT hashed_secret, extract(epoch FROM create_timestamp)
    FROM ctms.api_client WHERE client_id = '$id'));
is($good{ver}, encode_base64url(substr hmac_sha256(join("\0", $id, @client, ''),
        hmac_sha256("version of a client\0", $key)), 0, 16), 'ver is of secret and creation');

sub with { my ($token) = @_; return (headers => { Authorization => "Bearer $token" }) }
my $path = '/ctms?fxa_id=x';
check(GET => $path, 200, [], with(token(\%good)), name => 'a token of ours');
check(GET => $path, 200, [], with(token({ %good, aud => 'other', iat => $later, nbf => 1,
        exp => $later + 0.5 })), name => 'aud and iat are ignored');
check(GET => $path, 200, [], with(token({ %good, exp => time - 40 })), name => 'one just expired');
check(GET => $path, 200, [], with(token({ %good, nbf => time + 40 })),
    name => 'one that begins in a moment');
check(GET => $path, 200, [], headers => { Authorization => 'bearer   ' . token(\%good) },
    name => 'bearer in another case');
for my $header (undef, '', 'Bearer', 'Bearer ', 'Basic x', 'Token ' . token(\%good), token(\%good))
{
    check(GET => $path, 401, { detail => 'Not authenticated' },
        headers => { Authorization => $header },
        has => { 'WWW-Authenticate' => 'Bearer' },
        name => 'Authorization: ' . substr($header // '(none)', 0, 20));
}
my $valid = token(\%good);
my ($head, $claims, $signature) = split /\./, $valid;
for (
    [ 'alg none' => token(\%good, header => { alg => 'none' }, unsigned => 1) ],
    [ 'alg none with our signature' => token(\%good, header => { alg => 'none' }) ],
    [ 'no alg' => token(\%good, header => { typ => 'JWT' }) ],
    [ 'HS384' => token(\%good, header => { alg => 'HS384' }, hmac => \&hmac_sha384) ],
    [ 'RS256' => token(\%good, header => { alg => 'RS256' }) ],
    [ 'an alg that is no string' => token(\%good, header => { alg => ['HS256'] }) ],
    [ 'crit' => token(\%good, header => { alg => 'HS256', crit => ['exp'] }) ],
    [ 'another key' => token(\%good, key => 'x') ], [ 'an empty key' => token(\%good, key => '') ],
    [ 'no version' => token({ %good, ver => undef }) ],
    [ 'no version at all' => token({ map { $_ => $good{$_} } qw(sub exp) }) ],
    [ 'another version' => token({ %good, ver => 'A' x 22 }) ],
    [ 'a version that is empty' => token({ %good, ver => '' }) ],
    [ 'a version that is a number' => token({ %good, ver => 1 }) ],
    [ 'a version with more' => token({ %good, ver => "$good{ver}A" }) ],
    [ 'no expiry' => token({ sub => $good{sub} }) ],
    [ 'an expiry that is text' => token({ %good, exp => "$later" }) ],
    [ 'an old one' => token({ %good, exp => time - 61 }) ],
    [ 'one of the future' => token({ %good, nbf => time + 120 }) ],
    [ 'a start that is text' => token({ %good, nbf => '1' }) ],
    [ 'a start that is null' => token({ %good, nbf => undef }) ],
    [ 'a negative expiry' => token({ %good, exp => -1 }) ],
    [ 'no subject' => token({ exp => $later }) ],
    [ 'another subject' => token({ %good, sub => "user:$id" }) ],
    [ 'a subject that is a number' => token({ %good, sub => 1 }) ],
    [ 'claims that are a list' => token([]) ],
    [ 'claims that are no JSON' => token('x') ],
    [ 'an unknown client' => token({ %good, sub => 'api_client:id_x' }) ],
    [ 'an empty client' => token({ %good, sub => 'api_client:' }) ],
    [ 'other claims' => "$head."
        . encode_base64url('{"sub":"api_client:id_test","exp":99999999999}') . ".$signature" ],
    [ 'no signature' => "$head.$claims." ], [ 'two parts' => "$head.$claims" ],
    [ 'five parts' => "$valid.a.b" ],
    [ 'a changed signature' => "$head.$claims." . ($signature =~ s/^(.)/$1 eq 'A' ? 'B' : 'A'/er) ],
    [ 'padding alone' => 'A===.A===.A===' ], [ 'padding inside' => "$head.A=AA.$signature" ],
    [ 'one letter too many' => "${head}A.$claims.$signature" ],
    [ 'dots' => '..' ], [ 'noise' => '%%%' ], [ 'a very long one' => 'x' x 20_000 ])
{
    my ($name, $token) = @$_;
    check(GET => $path, 401, { detail => 'Could not validate credentials' }, with($token),
        has => { 'WWW-Authenticate' => 'Bearer error="invalid_token"' }, name => $name);
}
my $short = token({ %good, exp => time - 58 });    # a minute of leeway
$ctms->request(GET => $path, undef, { Authorization => "Bearer $short" });
ok(poll_until(sub { $ctms->request(GET => $path,
        undef, { Authorization => "Bearer $short" })->{status} == 401 }),
    'expires, though it is remembered');

# ---- clients that change -------------------------------------------------------------------------
# Two processes serve: a token has a status when it has it many times in a row.
sub is_steady
{
    my ($status, $token) = @_;
    return !grep { $ctms->request(GET => $path, undef,
            { Authorization => "Bearer $token" })->{status} != $status } 1 .. 12;
}

sub status_is
{
    my ($status, $token) = @_;
    return poll_until(sub { is_steady($status, $token // $valid) }, "status $status", 10);
}
$ctms->sql("UPDATE ctms.api_client SET enabled = false WHERE client_id = '$id'");
ok(status_is(400), 'a client that is disabled');
check(GET => $path, 400, { detail => 'API Client has been disabled' }, with($valid),
    name => 'a disabled client');
refused('invalid_client', body => $form, headers => \%urlencoded,
    name => 'a token for a disabled client');
$ctms->sql("UPDATE ctms.api_client SET enabled = NULL WHERE client_id = '$id'");
ok(status_is(400), 'NULL is disabled too');
refused('invalid_client', body => $form, headers => \%urlencoded,
    name => 'a token when enabled is NULL');
$ctms->sql("UPDATE ctms.api_client SET enabled = true WHERE client_id = '$id'");
ok(status_is(200), 'a client that is enabled again');
ok(poll_until(sub { $ctms->sql("SELECT last_access IS NOT NULL FROM ctms.api_client
    WHERE client_id = '$id'") eq 't' }), 'last access is noted');

# A token ends with what gave it.
sub get_token
{
    my ($given) = @_;
    my $r = $ctms->request(POST => '/token', "client_id=$id&client_secret=$given", \%urlencoded);
    return $r->{status} == 200 ? $r->{json}{access_token} : "none: $r->{status}";
}

sub secret_of
{
    my ($rc, $out, $err) = $ctms->cli('clients', @_, '--json');
    diag $err if $rc;
    return decode_json($out)->{client_secret};
}
ok(is_steady(200, $valid), 'before the secret is rotated');
my $rotated = secret_of('rotate-secret', $id, '--yes');
my $second = get_token($rotated);
ok(is_steady(200, $second), 'a token of the new secret works at once, everywhere');
ok(status_is(401), 'the old one ends');
check(GET => $path, 401, { detail => 'Could not validate credentials' }, with($valid),
    has => { 'WWW-Authenticate' => 'Bearer error="invalid_token"' }, name => 'the old token');
$ctms->sql("DELETE FROM ctms.api_client WHERE client_id = '$id'");
ok(status_is(401, $second), 'a client that is gone');
my $third = get_token(secret_of('add', $id, '--email', 'x@example.com'));
ok(is_steady(200, $third), 'one of the same name');
ok(is_steady(401, $_), 'does not accept what its predecessor got') for $valid, $second;
$ctms->sql("CREATE TABLE kept AS SELECT client_id, email, hashed_secret FROM ctms.api_client
    WHERE client_id = '$id'; DELETE FROM ctms.api_client WHERE client_id = '$id'");
$ctms->sql('INSERT INTO ctms.api_client (client_id, email, hashed_secret) SELECT * FROM kept');
ok(status_is(401, $third), 'nor with the same secret');

# ---- the log -------------------------------------------------------------------------------------
$ctms->stop_program('rest');
my $log = CTMS::Test::slurp("$PostgreSQL::Test::Utils::log_path/rest_token_rest.log");
unlike($log, qr/\Q$_\E/, 'is not in the log') for $secret, 'private', $valid, $signature, 'Basic ';
like($log, qr/"token_fail": "$_"/, "token_fail: $_")
    for 'wrong secret', 'unknown client', 'no credentials', 'unknown grant type', 'disabled client';
like($log, qr/"auth_fail": "$_"/, "auth_fail: $_")
    for 'no token', 'bad token', 'expired token', 'token not valid yet', 'unknown client',
    'token of an older secret', 'disabled client';
like($log, qr/"token_creds_from": "$_"/, "token_creds_from: $_") for qw(form header);
# Who a caller says to be, is not logged before it is known.
my @lines = grep { defined } map { eval { JSON::PP->new->decode($_)->{Fields} } } split /\n/, $log;
my %clients = map { ($_->{client_id} // '(none)') => 1 } @lines;
is_deeply([ sort keys %clients ], [ '(none)', 'id_argon2i', 'id_broken', 'id_empty', $id ],
    'clients that the log names');
is_deeply([ grep { defined $_->{client_id} || $_->{msg} !~ /:\d+ - '/ } grep {
            ($_->{token_fail} // $_->{auth_fail} // '') eq 'unknown client' } @lines ],
    [], 'it names none where there is none');
done_testing();
