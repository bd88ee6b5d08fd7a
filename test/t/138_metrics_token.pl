# /metrics of both servers: with CTMS_METRICS_TOKEN only for those who have it, without it for
# everybody, but nothing in it tells which clients there are.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use Test::More;

my $ctms = CTMS::Test->new('metrics_token');
my $secret = 'a token that Prometheus has';
my %none = (has => { 'WWW-Authenticate' => 'Bearer' });
my %wrong = (has => { 'WWW-Authenticate' => 'Bearer error="invalid_token"' });
my $identities = 'method="GET",path_template="/identities"';

my $file = "$PostgreSQL::Test::Utils::tmp_check/metrics-token";

sub write_token
{
    open my $out, '>', $file or die $!;
    print {$out} "$_[0]\n";
    close $out or die $!;
    return;
}

sub metrics
{
    my ($token, $url) = @_;
    return $ctms->request(GET => $url // '/metrics', undef,
        { Authorization => defined $token ? "Bearer $token" : undef });
}

# ---- without a token --------------------------------------------------------------------
$ctms->start_rest;
$ctms->login;
$ctms->request(GET => '/identities?fxa_id=x') for 1 .. 2;
my $r = metrics();
is($r->{status}, 200, 'without the setting /metrics is public');
like($r->{content}, qr/^ctms_api_requests_total\{\Q$identities\E,status_code_family="2xx"\} 2$/m,
    'requests of clients are counted');
unlike($r->{content}, qr/client_id|id_test/, 'but no client is named');
like($ctms->log_of('rest'), qr/CTMS_METRICS_TOKEN is not set: \/metrics is public/,
    'the log says so');

# What everybody sees is the same after a wrong secret of a known and of an unknown client.
sub differences
{
    my ($id) = @_;
    my ($before, $after) = map {
        $ctms->request(POST => '/token', undef, { Authorization => 'Basic '
                    . encode_base64("$id:wrong", '') }) if $_;
        my $text = metrics()->{content};
        $text =~ s/^ctms_requests_(duration|total\{method="GET",path_template="\/metrics").*\n//mg;
        +{ map { /^(\S+) (\S+)$/ ? ($1 => $2) : () } split /\n/, $text }
    } 0, 1;
    return join "\n", map { "$_ +" . ($after->{$_} - ($before->{$_} // 0)) }
        grep { ($before->{$_} // 0) != $after->{$_} } sort keys %$after;
}
my $unknown = differences('id_nobody');
like($unknown, qr/^\S+"\/token"\S+"400"\S+ \+1$/, 'a refused request for a token is counted');
is(differences('id_test'), $unknown, 'for a known client in the same way');
$ctms->stop_program('rest');

# ---- with a token -----------------------------------------------------------------------
write_token($secret);
unlink "$PostgreSQL::Test::Utils::log_path/metrics_token_rest.log";
$ctms->start_rest(CTMS_METRICS_TOKEN_FILE => $file);
$ctms->request(GET => '/identities?fxa_id=x');
answers($ctms, GET => '/metrics', 401, { detail => 'Not authenticated' },
    headers => { Authorization => undef }, name => 'no token', %none);
answers($ctms, GET => '/metrics', 401, { detail => 'Could not validate credentials' },
    name => 'the token of a client', %wrong);
answers($ctms, GET => '/metrics', 401, undef, headers => { Authorization => $_ }, name => "\"$_\"",
    %wrong) for "Bearer ${secret}x", 'Bearer ' . substr($secret, 0, -1);
answers($ctms, GET => '/metrics', 401, undef, headers => { Authorization => $_ }, name => "\"$_\"",
    %none) for 'Bearer', 'Bearer ', $secret, 'Basic ' . encode_base64("x:$secret", '');
$r = metrics($secret);
is($r->{status}, 200, 'with the token');
like($r->{content}, qr/^ctms_api_requests_total\{\Q$identities\E,client_id="id_test",.*\} 1$/m,
    'clients are named');
is($ctms->request(HEAD => '/metrics', undef, { Authorization => "bearer $secret" })->{status}, 200,
    'HEAD');
is($ctms->request(GET => '/identities', undef, { Authorization => "Bearer $secret" })->{status},
    401, 'it opens nothing else');
is($ctms->request(GET => $_, undef, { Authorization => undef })->{status}, 200, "$_ stays public")
    for qw(/__heartbeat__ /__lbheartbeat__ /__version__);
is_deeply($ctms->request(GET => '/openapi.json')->{json}{paths}{'/metrics'}{get}{security},
    [ {}, { metrics_token => [] } ], 'OpenAPI knows it');
$ctms->stop_program('rest');
my $log = slurp("$PostgreSQL::Test::Utils::log_path/metrics_token_rest.log");
unlike($log, qr/Prometheus has|CTMS_METRICS_TOKEN/, 'it is not in the log');
like($log, qr/"auth_fail": "$_"/, "a refused scrape is: $_") for 'no token', 'wrong metrics token';

# ---- the agent --------------------------------------------------------------------------
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $url = "http://127.0.0.1:$port";
$ctms->start_sandbox;
$ctms->start_agent(CTMS_AGENT_METRICS_PORT => $port, CTMS_METRICS_TOKEN_FILE => $file);
$ctms->wait_for_port('agent', $port);
for my $token (undef, "${secret}x")
{
    $r = metrics($token, "$url/metrics");
    is($r->{status}, 401, 'the agent: ' . ($token ? 'a wrong token' : 'no token'));
    is($r->{headers}{'www-authenticate'}, ($token ? \%wrong : \%none)->{has}{'WWW-Authenticate'},
        'which says what it wants');
    unlike($r->{content}, qr/ctms_/, 'and no metrics');
}
like(metrics($secret, "$url/metrics")->{content}, qr/^ctms_background_/m, 'with the token');
isnt(metrics(undef, "$url/$_")->{status}, 401, "$_ stays public")
    for qw(__heartbeat__ __lbheartbeat__);
write_token('another token of Prometheus');
kill HUP => $ctms->pid('agent');
ok(poll_until(sub { metrics('another token of Prometheus', "$url/metrics")->{status} == 200 },
    'the new token'), 'SIGHUP: a new token');
is(metrics($secret, "$url/metrics")->{status}, 401, 'the old one is refused');
$ctms->stop_program($_) for qw(agent sandbox);

# ---- a token that is too short ----------------------------------------------------------
for my $program (qw(ctms-rest ctms-agent))
{
    local @ENV{qw(CTMS_SECRET_KEY CTMS_METRICS_TOKEN)} = ('k' x 32, 'fifteen letters');
    my $said = `$ENV{CTMS_TEST_BIN}/$program 2>&1`;
    is($? >> 8, 2, "$program refuses a short token");
    is($said, "$program: CTMS_METRICS_TOKEN must have at least 16 bytes\n", 'and says so');
}
done_testing();
