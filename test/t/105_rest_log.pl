# The line that each request leaves in the log: what is in it, and what must not be.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('rest_log', conf => 'log_statement = none');
$ctms->start_rest;
$ctms->login;

my $file = "$PostgreSQL::Test::Utils::log_path/rest_log_rest.log";

# The line of the request with this X-Request-Id.
sub line_of
{
    my ($rid) = @_;
    my $line;
    poll_until(sub { ($line) = grep { /"rid": "\Q$rid\E"/ && /"status_code"/ } split /\n/,
            slurp($file) }, "the line of $rid");
    return decode_json($line);
}

my $count = 0;
sub ask
{
    my ($method, $path, $body, %headers) = @_;
    my $rid = 'rid-' . ++$count;
    my $r = $ctms->request($method, $path, $body, { 'X-Request-Id' => $rid, %headers });
    is($r->{headers}{'x-request-id'}, $rid, "$method $path: the id comes back");
    return line_of($rid)->{Fields};
}

# ---- the usual -----------------------------------------------------------------------
my $email = 'secret@example.com';
my $fields = ask(POST => '/ctms', { email => { primary_email => $email } }, Cookie => 'a=b',
    'X-Other' => 'hush', From => $email, 'User-Agent' => 'tester/1',
    'X-Forwarded-For' => '192.0.2.1',
    'secret-name' => 'x', 'secret%40example.com' => 'x',
    'Content-Type' => 'application/json; charset=secret', Via => 'secret\\u0040example.com',
    'X-Real-Ip' => 'secret&#64;x', TE => 'secret%40x', Forwarded => 'secret%2540x',
    'X-Forwarded-Host' => 'h' x 300,
    map { $_ => 'hush' } qw(X-Api-Key X-Forwarded-Access-Token X-Amzn-Oidc-Data
        X-Goog-Iap-Jwt-Assertion X-Goog-Authenticated-User-Id Proxy-Authorization Referer));
is_deeply([ sort keys %$fields ],
    [ sort qw(client_allowed client_host client_id duration_s headers method msg path
        path_params path_template query rid status_code) ], 'fields of a line');
is($fields->{$_}, { client_host => '127.0.0.1', client_id => 'id_test', method => 'POST',
        path => '/ctms', path_template => '/ctms', status_code => 201 }->{$_}, $_)
    for qw(client_host client_id method path path_template status_code);
like($fields->{msg}, qr{^127\.0\.0\.1:\d+ id_test 'POST /ctms HTTP/1\.1' 201$}, 'msg');
ok($fields->{duration_s} > 0 && $fields->{duration_s} < 30, 'duration');
is($fields->{headers}{$_}, '[OMITTED]', "$_ is omitted")
    for qw(authorization cookie from via x-real-ip te forwarded x-api-key
    x-forwarded-access-token x-amzn-oidc-data
    x-goog-iap-jwt-assertion x-goog-authenticated-user-id proxy-authorization referer [OMITTED]);
is($fields->{headers}{$_}, { 'user-agent' => 'tester/1', 'x-forwarded-for' => '192.0.2.1',
        'content-type' => 'application/json', 'x-request-id' => 'rid-1' }->{$_}, "$_ is not")
    for qw(user-agent x-forwarded-for content-type x-request-id);
is(scalar(grep { /secret|other/ } keys %{ $fields->{headers} }), 0, 'unknown names are omitted');
is($fields->{headers}{'x-forwarded-host'}, 'h' x 256 . '[CUT]', 'a long value is cut');

# Clients refuse to send such bytes, so they are sent as they are.
like(raw_exchange($ctms->{rest_port}, "GET /__version__ HTTP/1.1\r\nHost: x\r\n"
        . "X-Request-Id: bytes\r\nTE: secret\xef\xbc\xa0x\r\nConnection: close\r\n\r\n"),
    qr{\AHTTP/1\.1 200 }, 'bytes that are not ASCII');
is(line_of('bytes')->{Fields}{headers}{te}, '[OMITTED]', 'they are omitted');
my $line = line_of('rid-1');
is_deeply([ map { $line->{$_} } qw(Type Logger EnvVersion Severity) ],
    [ 'ctms.web', 'ctms', '2.0', 6 ], 'the envelope');
like($line->{Timestamp}, qr/^\d{19}$/, 'nanoseconds');
isnt($line->{Pid}, $ctms->pid('rest'), 'a process, not the one that supervises');

# ---- addresses ---------------------------------------------------------------------------
$fields = ask(GET => '/ctms?primary_email=secret%40example.com&sfdc_id=s1&fxa_id='
    . '&mofo_email_id=m1&other=secret%40example.com&secret%40example.com=1&x=hush'
    . '&secret=&y=&start%00=hush&secret_x=1');
is_deeply($fields->{query}, { primary_email => '[OMITTED]', sfdc_id => 's1', fxa_id => '',
        mofo_email_id => 'm1', '[OMITTED]' => '[OMITTED]' },
    'addresses in the query');
is_deeply(ask(GET => "/ctms?fxa_id=secret$_")->{query}, { fxa_id => '[OMITTED]' }, "as $_")
    for qw(%2540x %252540x %EF%BC%A0x %EF%B9%ABx %26%2364;x %26commat;x %5Cu0040x);
$fields = ask(GET => '/ctms?fxa_primary_email=not-an-address&basket_token=t');
is_deeply($fields->{query}, { fxa_primary_email => '[OMITTED]', basket_token => 't' },
    'parameters for addresses');
for my $path ('/ctms/secret@example.com', '/ctms/secret%40example.com', '/ctms/not-an-address')
{
    $fields = ask(DELETE => $path);
    is($fields->{path}, '/ctms/[OMITTED]', 'the path of a DELETE');
    is_deeply($fields->{path_params}, { primary_email => '[OMITTED]' }, 'its parameter');
}
is(ask(GET => '/ctms/secret@example.com')->{path}, '/ctms/[OMITTED]', 'an address in another path');
ask(GET => $_) for '/ctms?email_id=secret@example.com', '/identity/secret@example.com',
    '/updates?start=secret@example.com';
ask($_ => '/ctms/secret@example.com', {}) for qw(PUT PATCH);
is(ask(GET => '/none/secret%40example.com')->{path}, '/[OMITTED]',
    'and in one that does not exist');
is(ask(POST => '/ctms/secret@example.com')->{path}, '/ctms/[OMITTED]',
    'and in one with another method');
is(ask(DELETE => $_)->{path}, '/[OMITTED]', 'that no DELETE has')
    for qw(/ctms/secret/ //ctms/secret /ctms//secret /ctms/a/secret /contacts/secret /secret);
is(ask(GET => $_)->{path}, '/[OMITTED]', 'that nothing has')
    for '/none/' . 'secret' x 3, '/secret%2540x', "/secret\xef\xbc\xa0x", '/a' x 65;
is(ask(GET => $_)->{path}, $_, 'short words') for qw(/ /none/a-b/c_d.e /ctms/);
is(ask($_ => '/ctms')->{method}, '[OMITTED]', 'no method') for qw(secret%40example.com secret);
is(ask(OPTIONS => '/ctms')->{method}, 'OPTIONS', 'a method that nothing has');
is(ask(GET => '/ctms/?primary_email=secret@example.com')->{status_code}, 307, 'a redirect');
is(ask(POST => '/stripe_from_pubsub?pubsub_client=hush')->{query}{pubsub_client}, '[OMITTED]',
    'the secret of Pub/Sub');
my $id = '332de237-cab7-4461-bcc3-48e68f42bd5c';
$fields = ask(GET => "/ctms/$id");
is_deeply([ @$fields{qw(path path_template)}, $fields->{path_params} ],
    [ "/ctms/$id", '/ctms/{email_id}', { email_id => $id } ], 'what is no address');
is(ask(GET => '/ctm%73/a%2e%20%5F')->{path}, '/ctms/a.%20_', 'a path as it is understood');
ask(GET => "/ctms/a%0D%0A%00%FF\x{e9}");
$ctms->request(GET => "/ctms/$id", undef, { 'X-Request-Id' => "odd\x{e9} id" });
$ctms->request(GET => "/ctms/$id", undef, { 'X-Request-Id' => 'x' x 100 });

# ---- monitoring -----------------------------------------------------------------------------
ok(ask(GET => $_)->{trivial}, "$_ is trivial")
    for qw(/__heartbeat__ /__lbheartbeat__ /__version__ /metrics);
ok(!exists ask(GET => '/acoustic_configuration')->{trivial}, 'others are not');

# ---- tracing --------------------------------------------------------------------------------
my $traced = 'a+trace_me_mozilla_17@example.com';
my $body = qq({"email":\n{"primary_email":"$traced"}});
$fields = ask(POST => '/ctms', $body);
is($fields->{trace}, $traced, 'an address that asks for it is traced');
is_deeply($fields->{trace_json}, decode_json($body), 'with its JSON');
is(ask(GET => '/ctms?primary_email=a%2Btrace_me_mozilla_17%40example.com')->{trace}, $traced,
    'in a query');
my $traced_id = $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email = '$traced'");
is(ask(PATCH => "/ctms/$traced_id", { email => { first_name => 'T' } })->{trace},
    $traced, 'in the answer only');
is_deeply(ask(PATCH => "/ctms/$traced_id", { email => { first_name => 'T' } })->{trace_json},
    { email => { first_name => 'T' } }, 'with the JSON of the request');
my $untraced = { email => { primary_email => 'b+trace-me-mozilla-1@example.com' } };
for (
    [ 'without a token' => POST => '/ctms', Authorization => undef ],
    [ 'without a token, in the query' => POST => "/ctms?x=$traced", Authorization => undef ],
    [ 'without a token, in the path' => PATCH => "/ctms/$traced", Authorization => undef ],
    [ 'with a wrong token' => DELETE => "/ctms/$traced", Authorization => 'Bearer x' ],
    [ 'of Pub/Sub without its token' => POST => "/stripe_from_pubsub?x=$traced" ],
    [ 'who asks for a token' => POST => "/token?x=$traced" ],
    [ 'elsewhere' => POST => "/none?x=$traced" ],
    [ 'with a wrong method' => POST => "/ctms/$traced" ])
{
    my ($who, $method, $path, %headers) = @$_;
    my $of = ask($method, $path, $untraced, %headers);
    is(join(' ', grep { /^trace/ } keys %$of), '', "nobody $who is traced");
}
is(ask(POST => '/ctms',
        { email => { primary_email => 'b+trace-me-mozilla-1@example.com' } })->{trace},
    'b+trace-me-mozilla-1@example.com', 'the other mark');
$fields = ask(GET => "/ctms?primary_email=$traced&x=d%2Btrace_me_mozilla_%40example.com"
    . '&y=c%2Btrace-me-mozilla-%40x');
is($fields->{trace}, 'd+trace_me_mozilla_@example.com,c+trace-me-mozilla-@x', 'all of them')
    or diag $fields->{trace};
my $large = { email => { primary_email => 'l+trace_me_mozilla_1@example.com' },
    newsletters => [
        map { { name => "n$_", source => 'https://x.example/' . 'x' x 180 } } 1 .. 80 ] };
$fields = ask(POST => '/ctms', $large);
is($fields->{status_code}, 201, 'a large body');
is($fields->{trace}, 'l+trace_me_mozilla_1@example.com', 'is traced');
like($fields->{trace_json}, qr/^\[TOO LARGE: \d{5} bytes\]$/, 'but it is not in the log');
ok(!exists ask(POST => '/ctms', "{$traced")->{trace_json}, 'what is no JSON is not shown as such');
is(ask(DELETE => "/ctms/$traced")->{trace}, $traced, 'in the path of a DELETE');

# ---- what is in bodies -------------------------------------------------------------------------
my %customer = (object => 'customer', id => 'cus_1', description => 'fxa1', created => 1);
is_deeply(ask(POST => '/stripe', \%customer)->{ingest_actions}, { created => ['customer:cus_1'] },
    'an object of Stripe');
is_deeply(ask(POST => '/stripe', $_)->{ingest_actions},
    { skipped => ['[OMITTED]'], skip_reasons => { unused_type => ['[OMITTED]'] } }, 'an odd one')
    for { object => $email, id => $email }, { object => 'charge', id => 'secret name' };
is_deeply(ask(POST => '/stripe', { %customer, id => $email, description => $email })
        ->{ingest_actions}, { created => ['[OMITTED]'] }, 'an address as an id');
is(ask(POST => '/stripe', { %customer, id => 'cus_2', description => $email })->{fxa_id_conflict},
    '[OMITTED]', 'an address that two have as their FxA ID');
is(ask(POST => '/stripe', { %customer, id => $_, created => 'x' })->{status_code}, 400,
    'one that is refused') for $email, 'secret name';

# ---- conflicts -----------------------------------------------------------------------------------
ask(POST => '/ctms', { email => { primary_email => $_ } }) for $email, 'SECRET@example.com';
my ($conflict) = grep { /"rid": "rid-$count"/ && /converted to 409/ } split /\n/, slurp($file);
is(decode_json($conflict // '{}')->{Severity}, 3, 'a conflict is an error in the log');
like($conflict, qr/IntegrityError converted to 409/, 'with its words');

$ctms->stop_program('rest');
my $log = slurp($file);
unlike($log, qr/secret(\@|%40|\\u0040)example/i, 'no address that is not traced');
unlike($log, qr/Bearer|hush|secret/, 'no secrets');
my $server_log = slurp($ctms->node->logfile);
like($server_log, qr/Contact already exists/, 'the log of the database has errors,');
unlike($server_log, qr/secret(\@|%40|\\u0040)example|secret name/i, 'none with an address');
is(scalar(grep { !eval { decode_json($_); 1 } } split /\n/, $log), 0, 'every line is JSON');

# ---- for people ----------------------------------------------------------------------------------
unlink $file;
$ctms->start_rest(CTMS_USE_MOZLOG => 'false');
$ctms->request(GET => '/__lbheartbeat__');
$ctms->stop_program('rest');
my $time = qr{\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}};
my $message = qr{127\.0\.0\.1:\d+ - 'GET /__lbheartbeat__ HTTP/1\.1' 200 };
like(slurp($file), qr{^$time INFO +ctms\.web: $message}m, 'a line for people');
unlink $file;
$ctms->start_rest(CTMS_USE_MOZLOG => 'false');
raw_exchange($ctms->{rest_port}, "GET /ctms/a\xe2\x80\xaeb\xc2\x9bc\xff HTTP/1.1\r\nHost: x\r\n"
        . "User-Agent: \xe2\x80\xa8\xc2\x85\xfe\r\nConnection: close\r\n\r\n");
$ctms->stop_program('rest');
my $odd = slurp($file);
unlike($odd, qr/[^\n\x20-\x7e]/, 'with nothing that deceives them');
like($odd, qr/GET \/ctms\/a\\u202eb\\u009bc\\xff HTTP/, 'the path, escaped');
like($odd, qr/"user-agent": "\\u2028\\u0085\\ufffd"/, 'and a header');
unlink $file;
$ctms->start_rest(CTMS_LOGGING_LEVEL => 'warning');
$ctms->request(GET => '/__lbheartbeat__');
$ctms->stop_program('rest');
is(slurp($file), '', 'nothing at a higher level');
done_testing();
