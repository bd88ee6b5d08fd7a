# POST /stripe_from_pubsub: tokens signed by a key server of our own, and what the messages do.
use strict;
use warnings;
use CTMS::KeyServer;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);
use Test::More;

my $json = JSON::PP->new->canonical->utf8;
my $server = CTMS::KeyServer->new;
my %keys = map { $_ => $server->make_key($_) } qw(one two three);
$keys{short} = $server->make_key('short', 1024);
$server->publish(1000, @keys{qw(one short)},
    { kty => 'EC', kid => 'ec', crv => 'P-256', x => 'x', y => 'y' },
    'noise', { kid => 'broken', kty => 'RSA' },
    map { +{ %{ $keys{two} }, kid => "odd $_", n => $_ } } 'A===', 'A', 'A=AA');
my $key_server = $server->start;

# ---- tokens ---------------------------------------------------------------------------------
my %claims = (iss => 'https://accounts.google.com', aud => 'https://ctms.example.com',
    azp => '123', sub => '123',
    email => 'pubsub@example.com', email_verified => JSON::PP::true,
    iat => time - 10, exp => time + 1000);

sub token { return $server->token(@_) }
my $good = token(\%claims);

# ---- messages --------------------------------------------------------------------------------
sub message
{
    my ($data, %more) = @_;
    return { message => { attributes => { key => 'value' }, messageId => '17',
            publishTime => '2021-11-01T17:04:00Z',
        data => encode_base64(ref $data ? $json->encode($data) : $data, ''), %more },
        subscription => 'projects/fxa/subscriptions/s' };
}
my %customer = (object => 'customer', id => 'cus_1', created => 1600000000,
    description => '6eb6ed6a', email => 'a@example.com',
    default_source => undef, invoice_settings => { default_payment_method => undef });

my $ctms = CTMS::Test->new('rest_pubsub');
my %settings = (CTMS_PUBSUB_AUDIENCE => 'https://ctms.example.com',
    CTMS_PUBSUB_EMAIL => 'pubsub@example.com',
    CTMS_PUBSUB_CLIENT => 'shared secret', CTMS_PUBSUB_JWKS_URL => $server->url);
$ctms->start_rest(%settings);
my $path = '/stripe_from_pubsub?pubsub_client=shared%20secret';

sub push_is
{
    my ($name, $status, $content, $body, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return answers($ctms, POST => $options{path} // $path, $status, $content, body => $body,
        headers => { Authorization => exists $options{token} ? $options{token} : "Bearer $good" },
        name => $name);
}

push_is('one object', 200, { status => 'OK', count => 1 }, message(\%customer));
push_is('again', 200, { status => 'OK', count => 1 }, message(\%customer));
is($ctms->sql('SELECT fxa_id FROM ctms.stripe_customer'), '6eb6ed6a', 'it is stored');
push_is('several objects', 200, { status => 'OK', count => 2 },
    message({ 'customers:cus_1' => { %customer, default_source => 'card_1' }, 'customers:cus_2' =>
        { %customer, id => 'cus_2', description => 'other' }, 'invoices:in_1' => {} }));
push_is('another customer with the FxA ID', 200, { status => 'OK', count => 1 },
    message({ %customer, id => 'cus_3' }, publishTime => '2021-11-02T17:04:00Z'));
push_is('a skipped object', 200, { status => 'OK', count => 0 },
    message({ object => 'charge', id => 'ch_1' }));

# Errors that another delivery cannot mend.
my $accepted = sub { $_[0]{status} eq 'Accepted but not processed'
    && $_[0]{message} =~ /do not send again\.$/ };
for (
    [ 'a list' => message([]) ], [ 'a payload that is no JSON' => message('hello') ],
    [ 'no base64' => { message => { data => '%' } } ],
    [ 'no message' => {} ], [ 'no JSON' => 'hello' ], [ 'nothing' => '' ],
    [ 'a NUL' => "{\"message\":\"\0\"}" ], [ 'no UTF-8' => "\xFF" ],
    [ 'keys without a colon' => message({ a => \%customer }) ],
    [ 'bad content' => message({ object => 'customer', id => 'cus_9' }) ])
{
    my ($name, $body) = @$_;
    push_is($name, 202, $accepted, $body);
}
is($ctms->sql('SELECT count(*) FROM ctms.stripe_refused'), 10, 'all are kept');
is($ctms->sql(q{SELECT string_agg(encode(content, 'escape'), ' ' ORDER BY content)
    FROM ctms.stripe_refused WHERE is_message AND length(content) IN (1, 15)}),
    '{"message":"\000"} \377', 'as they came');
# One bad string costs one object at most: none, if it is in a key that nobody uses.
my $bad = $json->encode({ %customer, id => 'cus_6', description => 'u6', name => 'BAD' });
push_is("a bad string: $_", 200, { status => 'OK', count => 1 }, message($bad =~ s/BAD/$_/r))
    for '\ud800', '\u0000', "\xFF";
push_is('a bad string that is used', 202, $accepted, message(
    '{"customers:cus_7": {"object": "customer", "id": "cus_7", "created": 1,
    "description": "\ud800"}, "customers:cus_8": ' . $bad =~ s/cus_6/cus_8/r =~ s/u6/u8/r . '}',
    messageId => '18'));
is($ctms->sql(q{SELECT stripe_id FROM ctms.stripe_customer WHERE stripe_id IN ('cus_7', 'cus_8')}),
    'cus_8', 'the other is stored');
is($ctms->sql(q{SELECT object || ' ' || message_timestamp FROM ctms.stripe_refused
    WHERE message_id = '18'}), 'customer:cus_7 2021-11-01 17:04:00+00', 'the one is kept');
push_is('one that is kept already', 202, $accepted,
    message({ object => 'customer', id => 'cus_9' }, messageId => '19')) for 1, 2;
is($ctms->sql(q{SELECT attempts FROM ctms.stripe_refused WHERE message_id = '19'}), 2, 'once');
like($ctms->request(GET => '/metrics', undef, { Authorization => undef })->{content},
    qr/^ctms_stripe_refused 12$/m, 'the metrics tell how many');
# What cannot be kept must stay with Pub/Sub.
$ctms->sql(q{ALTER TABLE ctms.stripe_refused ADD CONSTRAINT no_more CHECK (message_id <> '20')});
push_is('one that cannot be kept', 409, undef,
    message({ object => 'customer', id => 'cus_9' }, messageId => '20'));
$ctms->sql(q{ALTER TABLE ctms.stripe_refused DROP CONSTRAINT no_more;
    INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content)
    SELECT 'full' || n, 'CTS02', 'x', '', '' FROM generate_series(1, 10000) AS n});
push_is('too much is kept', 503, { detail => 'Too many refused objects are kept, try again later' },
    message({ object => 'customer', id => 'cus_9' }, messageId => '21'));
$ctms->sql(q{DELETE FROM ctms.stripe_refused WHERE message_id LIKE 'full%'});
my $secret = 'secret@example.com';
push_is('an address as an id', 202, $accepted, message({ 'a:1' => { %customer, id => $secret,
        created => 'x' }, 'b:1' => { object => $secret, id => $secret }, "$secret:1" => {},
        'c:1' => { object => 'charge', id => 'secret name' } }, messageId => $secret));
push_is('a subscription item without its subscription', 409, undef,
    message({ object => 'subscription_item', id => 'si_1',
        created => 1600000000, subscription => 'sub_1',
        price => { object => 'price', id => 'price_1', active => JSON::PP::true,
            created => 1600000000, currency => 'usd', product => 'prod_1', unit_amount => 1 } }));
push_is('a large message', 200, { status => 'OK', count => 1 },
    message({ %customer, id => 'cus_4', description => 'large', padding => 'x' x 3_000_000 }));

push_is('customers who ask to be traced', 200, { status => 'OK', count => 2 },
    message({ map { ("customers:cus_5$_" => { %customer, id => "cus_5$_", description => "t$_",
        email => "$_+trace_me_mozilla_1\@example.com" }) } 1, 2 }));
push_is('with a large message', 200, { status => 'OK', count => 1 },
    message({ %customer, id => 'cus_53', description => 't3', padding => 'x' x 20_000,
        email => '3+trace_me_mozilla_1@example.com' }));

# ---- who may -------------------------------------------------------------------------------------
my %denied = (detail => 'Could not validate credentials');
sub denied
{
    my ($name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = push_is($name, 401, \%denied, message(\%customer), %options);
    return is($r->{headers}{'www-authenticate'}, 'Bearer error="invalid_token"', "$name: why");
}

push_is('no token', 401, { detail => 'Not authenticated' }, 'hello', token => undef);
denied('noise', token => 'Bearer x.y.z');
denied('a wrong client', path => '/stripe_from_pubsub?pubsub_client=x');
denied('an empty client', path => '/stripe_from_pubsub?pubsub_client=');
denied('no client', path => '/stripe_from_pubsub');
denied('a client with a NUL', path => "$path%00");
for (
    [ 'another issuer' => { iss => 'https://example.com' } ],
    [ 'another audience' => { aud => 'x' } ],
    [ 'no audience' => { aud => undef } ], [ 'an old one' => { exp => time - 61 } ],
    [ 'one of the future' => { nbf => time + 120 } ], [ 'a start that is text' => { nbf => '1' } ],
    [ 'no expiry' => { exp => undef } ],
    [ 'an expiry that is text' => { exp => '99999999999' } ],
    [ 'another email' => { email => 'x@example.com' } ], [ 'no email' => { email => undef } ],
    [ 'an email that is not verified' => { email_verified => JSON::PP::false } ],
    [ 'one that is verified as text' => { email_verified => 'true' } ])
{
    my ($name, $change) = @$_;
    denied($name, token => 'Bearer ' . token({ %claims, %$change }));
}
denied('claims that are a list', token => 'Bearer ' . token([]));
denied('another key', token => 'Bearer ' . token(\%claims, key => 'two'));
denied('no key id', token => 'Bearer ' . token(\%claims, header => { alg => 'RS256' }));
denied('RS512', token => 'Bearer ' . token(\%claims, header => { alg => 'RS512', kid => 'one' }));
denied('alg none', token => 'Bearer ' . join '.',
    (map { encode_base64url($json->encode($_)) } { alg => 'none', kid => 'one' }, \%claims), '');
denied('HS256 with the public key', token => 'Bearer '
    . token(\%claims, header => { alg => 'HS256', kid => 'one' }, hmac => $keys{one}{n}));
denied('a short key', token => 'Bearer ' . token(\%claims, kid => 'short', key => 'short'));
denied('a key that is no RSA key', token => 'Bearer ' . token(\%claims, kid => 'ec'));
denied("a token like $_", token => "Bearer $_")
    for 'A===.A===.A===', 'e30.A=AA.A', 'e30.e30', 'a.b.c.d', '..';
denied('a changed payload', token => 'Bearer '
    . $good =~ s/\.[^.]+\./'.' . encode_base64url($json->encode({ %claims, sub => 'x' })) . '.'/er);
push_is('one that has just expired', 200, undef, message(\%customer),
    token => 'Bearer ' . token({ %claims, exp => time - 40, nbf => time + 40 }));
push_is('a list of audiences', 200, undef, message(\%customer),
    token => 'Bearer ' . token({ %claims, aud => [ 'x', $claims{aud} ] }));
push_is('the short issuer', 200, undef, message(\%customer),
    token => 'Bearer ' . token({ %claims, iss => 'accounts.google.com' }));

# ---- keys that rotate, and a key server that is away ---------------------------------------------
my $before = $server->asked;
is($before, 1, 'the key server was asked once') or diag $before;
denied('an unknown key', token => 'Bearer ' . token(\%claims, kid => 'two', key => 'two'));
$ctms->stop_program('rest');
$server->publish(0, $keys{one});
$server->spew('asked', '');
$ctms->start_rest(%settings);
push_is('keys for no time', 200, undef, message(\%customer)) for 1 .. 3;
is($server->asked, 1, 'are not asked for all the time');
$server->spew('answer', "HTTP/1.1 503 Away\r\nConnection: close\r\n\r\nhello");
ok(poll_until(sub {
    $ctms->request(POST => $path, message(\%customer), { Authorization => "Bearer $good" });
    $server->asked >= 2;
}, 'the keys are asked for again', 30), 'asked again');
push_is('known keys while the key server is away', 200, undef, message(\%customer));
kill TERM => $key_server;
waitpid $key_server, 0;
push_is('and when nobody listens', 200, undef, message(\%customer));
$server->publish(1000, @keys{qw(two three)});
$key_server = $server->start;
my $two = 'Bearer ' . token(\%claims, kid => 'two', key => 'two');
ok(poll_until(sub { $ctms->request(POST => $path, message(\%customer),
        { Authorization => $two })->{status} == 200 }, 'the new key works', 30), 'a new key');
denied('the old key is gone');
$ctms->stop_program('rest');

# Without the settings every request is refused.
unlink "$PostgreSQL::Test::Utils::log_path/kept.log";
rename "$PostgreSQL::Test::Utils::log_path/rest_pubsub_rest.log",
    "$PostgreSQL::Test::Utils::log_path/kept.log";
for my $missing (qw(CTMS_PUBSUB_EMAIL CTMS_PUBSUB_CLIENT CTMS_PUBSUB_AUDIENCE))
{
    $ctms->start_rest(%settings, $missing => '');
    $server->spew('asked', '');
    denied("$missing is not set", token => $two);
    is($server->asked, $missing eq 'CTMS_PUBSUB_AUDIENCE' ? 1 : 0, 'whether keys are asked for');
    $ctms->stop_program('rest');
}

# Who does not know the secret makes us ask for no keys.
$ctms->start_rest(%settings);
$server->spew('asked', '');
denied('a stranger', token => $two, path => "/stripe_from_pubsub$_")
    for '', '?pubsub_client=', '?pubsub_client=x';
is($server->asked, 0, 'strangers make nobody ask for keys');
$ctms->stop_program('rest');
kill TERM => $key_server;
waitpid $key_server, 0;

# Nothing can be told of a token without any keys.
$ctms->start_rest(%settings);
denied('no keys at all', token => $two);
denied('noise is noise all the same', token => 'Bearer x.y.z');
$ctms->stop_program('rest');

# ---- the log -------------------------------------------------------------------------------------
like(slurp("$PostgreSQL::Test::Utils::log_path/kept.log"), qr/it has 1024 bits, fewer than 2048/,
    'the short key is told');
my @lines = map { decode_json($_)->{Fields} } grep { /"path_template": "\/stripe_from_pubsub"/ }
    split /\n/, slurp("$PostgreSQL::Test::Utils::log_path/kept.log");
my ($first) = grep { $_->{status_code} && $_->{status_code} == 200 } @lines;
is_deeply($first->{ingest_actions}, { created => ['customer:cus_1'] }, 'what was done');
is($first->{"pubsub_$_"}, { %claims, message_id => '17' }->{$_}, "pubsub_$_")
    for qw(iss aud sub email exp message_id);
is($first->{query}{pubsub_client}, '[OMITTED]', 'the secret is not there');
my ($conflict) = grep { $_->{fxa_id_conflict} } @lines;
is($conflict->{fxa_id_conflict}, '6eb6ed6a', 'the FxA ID that two customers had');
my ($both, $large) = grep { $_->{trace} } @lines;
is($both->{trace}, join(',', map { "$_+trace_me_mozilla_1\@example.com" } 1, 2), 'all traced');
is($both->{trace_json}{'customers:cus_51'}{description}, 't1', 'with the decoded message');
is($large->{trace}, '3+trace_me_mozilla_1@example.com', 'the large one too');
like($large->{trace_json}, qr/^\[TOO LARGE: \d{5} bytes\]$/, 'without the message');
my %reasons = map { $_->{auth_fail} => 1 } grep { $_->{auth_fail} } @lines;
ok($reasons{$_}, "a reason: $_") for 'no token', 'not a token', 'wrong pubsub_client',
    'no pubsub_client', 'wrong issuer', 'wrong audience',
    'expired token', 'no expiry', 'token not valid yet', 'nbf is not a number', 'wrong email',
    'email not verified', 'unknown key',
    'bad signature', 'wrong algorithm or no key id';
is_deeply([ grep { /^pubsub_/ } map { keys %$_ } grep { $_->{auth_fail} } @lines ],
    [], 'nothing of the claims of others');
ok((grep { $_->{ingest_errors} } @lines), 'errors of the content are told');
my ($partly) = grep { ($_->{pubsub_message_id} // '') eq '18' } @lines;
is_deeply([ @$partly{qw(ingest_kept ingest_actions)} ],
    [ 1, { created => ['customer:cus_8'] } ], 'with what is kept, and the id of the message');
my ($full) = grep { ($_->{pubsub_message_id} // '') eq '21' } @lines;
is($full->{ingest_kept}, 0, 'or that nothing is');
my ($odd) = grep { join(' ', @{ $_->{ingest_warnings} // [] }) =~ /object is empty/ } @lines;
is_deeply([ @$odd{qw(ingest_actions ingest_warnings pubsub_message_id)} ],
    [ { skipped => [ '[OMITTED]', '[OMITTED]' ],
            skip_reasons => { unused_type => [ '[OMITTED]', '[OMITTED]' ] } },
        ['an object is empty'], '[OMITTED]' ],
    'texts that are no identifiers are not');
is_deeply($odd->{ingest_errors}, [ { code => 'CTS02', object => '[OMITTED]', message =>
            'Stripe customer with an odd id: key "created" must be a time in Unix seconds' } ],
    'nor those in errors');
unlike(slurp($_), qr/secret(\@example| name)/, "none in $_")
    for "$PostgreSQL::Test::Utils::log_path/kept.log", $ctms->node->logfile;
done_testing();
