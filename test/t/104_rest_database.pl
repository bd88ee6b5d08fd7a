# The database under the REST server goes away and comes back, and is busy.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until);
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('rest_database', durable => 1, conf => 'max_connections = 20');
my $node = $ctms->node;
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => 2, CTMS_DB_TIMEOUT_S => 2, CTMS_DB_MAX_QUEUE => 8);
$ctms->login;

sub check { unshift @_, $ctms; goto &answers }
my %retry = (has => { 'Retry-After' => 1 });
my $body = { email => { primary_email => 'a@example.com' } };
check(POST => '/ctms', 201, undef, body => $body);

# ---- away ---------------------------------------------------------------------------
$node->stop('fast');
ok(poll_until(sub { $ctms->request(GET => '/__heartbeat__')->{status} == 503 }),
    'the heartbeat fails');
check(GET => '/__heartbeat__', 503, sub { !$_[0]{database}{up} && !$_[0]{database}{acoustic} });
check(GET => '/ctms?sfdc_id=x', 503, undef, %retry);
check(POST => '/ctms', 503, undef, body => $body, %retry);
check(POST => '/token', 503, undef, body => 'client_id=x&client_secret=y', %retry);
check(GET => '/ctms', 401, undef, headers => { Authorization => undef },
    name => 'no token, no database');
check(GET => '/__lbheartbeat__', 200, undef);
check(GET => '/metrics', 200, qr/^ctms_pending_acoustic_sync_total /m);
$node->start;
ok(poll_until(sub { $ctms->request(GET => '/ctms?sfdc_id=x')->{status} == 200 }),
    'comes back by itself');
check(POST => '/ctms', 409, undef, body => { email => { %{ $body->{email} }, first_name => 'X' } });
check(GET => '/__heartbeat__', 200, undef);

# ---- restarted at once, killed, connections ended one by one -------------------------------
for my $round (1 .. 3)
{
    $ctms->crash_database;
    ok(poll_until(sub { $ctms->request(GET => '/ctms?sfdc_id=x')->{status} == 200 }),
        "back after crash $round");
}
$ctms->sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = 'ctms' AND pid <> pg_backend_pid()");
check(GET => '/ctms?sfdc_id=x', 200, undef, name => 'what only reads is asked again');
ok(poll_until(sub { $ctms->request(GET => '/__heartbeat__')->{status} == 200 }),
    'the heartbeat is well');

# The server also learns of clients that change while it is not listening.
$ctms->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'");
$ctms->sql("UPDATE ctms.api_client SET enabled = false");
ok(poll_until(sub { $ctms->request(GET => '/ctms?sfdc_id=x')->{status} == 400 }),
    'a client that was disabled');
$ctms->sql("UPDATE ctms.api_client SET enabled = true");
ok(poll_until(sub { $ctms->request(GET => '/ctms?sfdc_id=x')->{status} == 200 }), 'and enabled');

# ---- busy ----------------------------------------------------------------------------------------
my $lock = $node->background_psql('ctms');
$lock->query_safe('BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE');
check(PATCH => '/ctms/11111111-1111-4111-8111-111111111111', 503, undef, body => {}, %retry,
    name => 'a statement that takes too long');
my @waiting;
for (1 .. 60)
{
    my $pid = fork // die $!;
    if (!$pid)
    {
        my $r = $ctms->request(GET => "/ctms?sfdc_id=x");
        POSIX::_exit($r->{status} == 503 && $r->{headers}{'retry-after'} ? 0 : 1);
    }
    push @waiting, $pid;
}
my $failed = grep { waitpid($_, 0); $? } @waiting;
is($failed, 0, 'more than the queue takes: 503 for all, and soon');
$lock->query_safe('ROLLBACK');
$lock->quit;
check(GET => '/ctms?sfdc_id=x', 200, undef, name => 'and well again');

# ---- a standby in disguise: writes are refused ---------------------------------------------------
$ctms->sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()");
ok(poll_until(sub { $ctms->request(POST => '/ctms',
        { email => { primary_email => 'b@example.com' } })->{status} == 503 }), 'read-only: 503');
# Each write that is refused could have all connections replaced, and so stop reads.
ok(poll_until(sub {
    my $now = $ctms->sql('SELECT clock_timestamp()');
    $ctms->request(POST => '/ctms', $body);
    $ctms->request(GET => '/ctms?sfdc_id=x')->{status} == 200 or return;
    return $ctms->sql("SELECT max(backend_start) < '$now' FROM pg_stat_activity
        WHERE datname = 'ctms' AND pid <> pg_backend_pid()") eq 't';
}), 'a write that is refused does not always cost the connections');
$ctms->sql("SET transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only");
$node->reload;
ok(poll_until(sub { $ctms->request(POST => '/ctms', { email =>
        { primary_email => 'b@example.com' } })->{status} =~ /^20[01]$/ }), 'writes again');

is($ctms->stop_program('rest'), 0, 'stops');
my $log = CTMS::Test::slurp("$PostgreSQL::Test::Utils::log_path/rest_database_rest.log");
like($log, qr/connection to the database lost/, 'the log tells of the loss');
like($log, qr/the database is back/, 'and of the return');
like($log, qr/answered 503: /, 'and why there was no answer');

# ---- settings that cannot be ---------------------------------------------------------------------
for (
    [ { CTMS_DB_URL => 'postgresql:///x?nonsense=1' }, qr/CTMS_DB_URL is not one that libpq/ ],
    [ { CTMS_SECRET_KEY => '' }, qr/CTMS_SECRET_KEY is required/ ],
    [ { CTMS_SECRET_KEY => 'k' x 31 }, qr/CTMS_SECRET_KEY must have at least 32 bytes/ ],
    [ { CTMS_PROT => '1' }, qr/CTMS_PROT is not a setting/ ],
    [ { CTMS_PORT => 'x' }, qr/CTMS_PORT must be/ ],
    [ { CTMS_HOST => 'no.such.host.invalid' }, qr/no\.such\.host\.invalid/ ])
{
    my ($env, $message) = @$_;
    $ctms->start_program('wrong', 'ctms-rest', { CTMS_DB_URL => $ctms->db_url,
            CTMS_PORT => $ctms->{rest_port}, CTMS_SECRET_KEY => 'k' x 32, %$env });
    waitpid $ctms->pid('wrong'), 0;
    isnt($? >> 8, 0, "$message: ends");
    like($ctms->log_of('wrong'), $message, 'says why');
    delete $ctms->{process}{wrong};
    unlink "$PostgreSQL::Test::Utils::log_path/rest_database_wrong.log";
}
done_testing();
