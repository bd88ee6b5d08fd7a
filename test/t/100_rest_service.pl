# What operators and load balancers ask of the REST server, and what every path has in common.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use Test::More;

my $ctms = CTMS::Test->new('rest_service');
$ctms->start_rest(CTMS_ACOUSTIC_MAX_BACKLOG => 1);
$ctms->login;

sub answers
{
    my ($method, $path, $status, $content, %options) = @_;
    my $r = $ctms->request($method, $path, $options{body}, $options{headers});
    my $name = $options{name} // "$method $path";
    is($r->{status}, $status, "$name: status") or diag $r->{content};
    ref $content ? is_deeply($r->{json}, $content, "$name: body")
        : is($r->{content} // '', $content, "$name: body") if defined $content;
    is($r->{headers}{ lc $_ }, $options{has}{$_}, "$name: $_")
        for sort keys %{ $options{has} // {} };
    return $r;
}

my %anonymous = (headers => { Authorization => undef });

# Paths and methods.
answers(GET => '/', 307, '', %anonymous, has => { Location => '/docs' });
answers(GET => '/nowhere', 404, { detail => 'Not Found' }, %anonymous);
answers(GET => '/ctmsx', 404, { detail => 'Not Found' }, %anonymous);
answers(GET => '//example.com/', 404, { detail => 'Not Found' }, %anonymous);
answers(GET => '/ctms/a/b', 404, { detail => 'Not Found' }, %anonymous);
answers(GET => '/ctms/', 307, '', %anonymous, has => { Location => '/ctms' });
answers(GET => '/updates/?limit=1&after=', 307, '', %anonymous,
    has => { Location => '/updates?limit=1&after=' });
answers(PATCH => '/ctms/a%40b.example.com/', 307, '', %anonymous,
    has => { Location => '/ctms/a%40b.example.com' });
# Characters that need no encoding make no other path; what has a meaning stays data.
answers(GET => $_, 200, { status => 'OK' }, %anonymous)
    for '/%5F%5Flbheartbeat__', '/__lbheartbea%74%5f%5f';
answers(GET => '/ctm%73/%78', 401, undef, %anonymous);
answers(GET => '/ctm%73/%78', 422, undef);
answers(GET => '/%63tms/?a=%62', 307, '', %anonymous, has => { Location => '/ctms?a=%62' });
answers(PATCH => '/%77aitlists', 405, undef, %anonymous, has => { Allow => 'GET, HEAD' });
answers(GET => '/waitlists/v%70n', 200, undef);
answers(GET => '/waitlists/v%2570n', 404, { detail => 'Unknown waitlist' });
answers(GET => '/waitlists/a%2Fb', 404, { detail => 'Unknown waitlist' });
answers(GET => $_, 404, { detail => 'Not Found' }, %anonymous)
    for '/ctms%2Fx', '/%2Fctms', '/docs/../__lbheartbeat__', '/docs/%2e%2E/__lbheartbeat__',
    '/./__lbheartbeat__', '/%2E/__lbheartbeat__', '/%5', '/%_lbheartbeat__', '/%5F%zz';
answers(DELETE => '/ctms', 405, { detail => 'Method Not Allowed' }, %anonymous,
    has => { Allow => 'POST, GET, HEAD' });
answers(POST => '/ctms/x', 405, undef, %anonymous,
    has => { Allow => 'GET, HEAD, PUT, PATCH, DELETE' });
answers(GET => '/stripe', 405, undef, %anonymous, has => { Allow => 'POST' });
answers(PROPFIND => '/metrics', 405, undef, %anonymous, has => { Allow => 'GET, HEAD' });
answers(OPTIONS => '/token', 405, undef, %anonymous, has => { Allow => 'POST' });

# Every path that needs a token checks it before anything else.
for (
    [ GET => '/ctms/not-a-uuid' ], [ GET => '/ctms' ], [ POST => '/ctms', 'not json' ],
    [ PUT => '/ctms/x', '{' ], [ PATCH => '/ctms/x', '' ], [ DELETE => '/ctms/x' ],
    [ GET => '/updates?limit=x' ],
    [ GET => '/identities' ], [ GET => '/identity/x' ],
    [ POST => '/stripe', '[]' ], [ GET => '/waitlists' ],
    [ GET => '/waitlists/vpn' ], [ GET => '/__crash__' ])
{
    my ($method, $path, $body) = @$_;
    answers($method, $path, 401, { detail => 'Not authenticated' }, body => $body, %anonymous,
        has => { 'WWW-Authenticate' => 'Bearer' });
}
answers(POST => '/ctms', 401, undef, body => 'x' x 2_000_000, %anonymous,
    name => 'a large body without a token');
answers(POST => '/ctms', 413, { detail => 'Request body too large' },
    body => 'x' x 2_000_000, name => 'a large body');

# Health and version.
answers(GET => '/__lbheartbeat__', 200, { status => 'OK' }, %anonymous);
answers(HEAD => '/__lbheartbeat__', 200, '', %anonymous, has => { 'Content-Length' => 15 });
my $r = answers(GET => '/__version__', 200, undef, %anonymous,
    has => { 'Content-Type' => 'application/json' });
is_deeply([ sort keys %{ $r->{json} } ], [qw(build commit source version)], 'keys of the version');
$r = answers(GET => '/__heartbeat__', 200, undef, %anonymous);
my $queue = $r->{json}{database}{acoustic};
ok($r->{json}{database}{up} && $queue->{success}, 'the database is up');
is_deeply([ sort keys %$queue ],
    [qw(backlog batch_limit loop_min_sec max_backlog max_retry_backlog retry_backlog
        retry_limit success time_ms)],
    'keys of the queue');
is_deeply([ @$queue{qw(backlog max_backlog max_retry_backlog retry_limit loop_min_sec)} ],
    [ 0, 1, undef, 6, 5 ], 'values of the queue');
answers(HEAD => '/__heartbeat__', 200, '', %anonymous);
$ctms->sql("INSERT INTO ctms.emails (primary_email) VALUES ('a\@example.com'), ('b\@example.com')");
$r = answers(GET => '/__heartbeat__', 503, undef, %anonymous, name => 'heartbeat beyond its limit');
is($r->{json}{database}{acoustic}{backlog}, 2, 'the backlog');
ok(!$r->{json}{database}{acoustic}{success}, 'which is no success');
$r = answers(GET => '/acoustic_configuration', 200, undef, %anonymous);
is_deeply([ sort keys %{ $r->{json} } ], [qw(newsletter_mappings sync_fields)],
    'keys of the Acoustic configuration');

# An unexpected error has an id that is in the log.
$r = answers(GET => '/__crash__', 500, undef, headers => { 'X-Request-Id' => 'request-17' });
is_deeply($r->{json}, { detail => 'Internal Server Error', error_id => 'request-17' },
    'the id of the request');
ok(poll_until(sub { $ctms->log_of('rest') =~ /"rid": "request-17".*unexpected error/ }),
    'which the log knows');

# Metrics.
$r = answers(GET => '/metrics', 200, undef, %anonymous,
    has => { 'Content-Type' => 'text/plain; version=0.0.4; charset=utf-8' });
my $metrics = $r->{content};
my $of_crash = 'method="GET",path_template="/__crash__"';
like($metrics, qr/^\Q$_\E$/m, $_) for (
    qq(ctms_requests_total{$of_crash,status_code="500",status_code_family="5xx"} 1),
    'ctms_requests_total{method="PUT",path_template="/ctms/{email_id}",'
        . 'status_code="201",status_code_family="2xx"} 0',
    'ctms_requests_total{method="OTHER",path_template="/metrics",'
        . 'status_code="405",status_code_family="4xx"} 1',
    'ctms_requests_total{method="GET",path_template="unknown",'
        . 'status_code="404",status_code_family="4xx"} 13',
    qq(ctms_requests_duration_seconds_bucket{$of_crash,status_code_family="5xx",le="+Inf"} 1),
    qq(ctms_api_requests_total{$of_crash,status_code_family="5xx"} 1),
    'ctms_pending_acoustic_sync_total 2', 'ctms_legacy_waitlists_requests_total 0',
    'ctms_stripe_refused 0');
# The number of contacts is the server's estimate, which its statistics reach a little later.
ok(poll_until(sub { $ctms->request(GET => '/metrics', undef,
        { Authorization => undef })->{content} =~ /^ctms_contacts_total 2$/m }),
    'ctms_contacts_total');
is($metrics =~ s/^# TYPE \S+ (counter|gauge|histogram)$//mg, 8, 'eight families');

is($ctms->stop_program('rest'), 0, 'stops on SIGTERM');
done_testing();
