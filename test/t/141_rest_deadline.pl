# CTMS_DB_TIMEOUT_S is one time limit: for the queue, the requests before, and the statement. Who
# waits for a lock has an answer then, the statement is cancelled, and the connection goes on.
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $limit_s = 5;
# An answer comes within a quarter of a second of the limit; the rest is for a busy machine. An
# answer that waited for a statement with its own limit would take seven seconds.
my $soon_s = $limit_s + 1.4;

my $ctms = CTMS::Test->new('rest_deadline', conf => "wal_level = replica\nmax_wal_senders = 2");
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => 1, CTMS_DB_TIMEOUT_S => $limit_s);
$ctms->login;
my $id = $ctms->request(POST => '/ctms', { email => { primary_email => 'a@example.com',
    first_name => 'Anna' } })->{json}{email}{email_id};
my $log = "$PostgreSQL::Test::Utils::log_path/rest_deadline_rest.log";

# Starts a request; the sub that is returned waits for it and returns status, seconds, Retry-After.
sub begin
{
    my @request = @_;
    pipe my $out, my $in or die $!;
    my $pid = fork // die $!;
    if (!$pid)
    {
        my $since = time;
        my $r = $ctms->request(@request);
        syswrite $in, join ' ', $r->{status}, time - $since, $r->{headers}{'retry-after'} // '-';
        POSIX::_exit(0);
    }
    close $in;
    return sub { my $line = <$out>; waitpid $pid, 0; return split / /, $line };
}

sub in_time
{
    my ($what, $request) = @_;
    my ($status, $seconds, $retry_after) = $request->();
    is("$status $retry_after", '503 1', "$what is answered 503");
    cmp_ok($seconds, '<', $soon_s, "$what: in time");
    return;
}

my $waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
my $lock = $ctms->node->background_psql('ctms');

sub lock_contacts
{
    $lock->query_safe('BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE');
    return;
}

# ---- one waits for the other ---------------------------------------------------------
lock_contacts();
my $first = begin(GET => "/ctms/$id");
poll_until(sub { $ctms->sql("$waiting AND now() - query_start > '1.5 s'") eq '1' }, 'it waits');
my $second = begin(GET => "/ctms/$id");
in_time('who waits for a lock', $first);
in_time('who waits behind it', $second);
ok(poll_until(sub { $ctms->sql($waiting) eq '0' }), 'and nothing waits in the database');
is($ctms->request(GET => '/waitlists')->{status}, 200, 'the connection is of use');
$lock->query_safe('ROLLBACK');
is($ctms->request(GET => "/ctms/$id")->{status}, 200, 'and well again');

# ---- a crowd, and writes --------------------------------------------------------------
lock_contacts();
my @crowd = map { begin($_ % 3 ? (GET => "/ctms/$id")
        : (PATCH => "/ctms/$id", { email => { first_name => "No $_" } })) } 1 .. 40;
my @answers = map { [ $_->() ] } @crowd;
is(scalar(grep { $_->[0] != 503 } @answers), 0, 'a crowd: all are answered 503');
is(scalar(grep { $_->[1] > $soon_s } @answers), 0, 'and in time')
    or diag join ' ', map { $_->[1] } @answers;
ok(poll_until(sub { $ctms->sql($waiting) eq '0' }), 'nothing waits in the database');
$lock->query_safe('ROLLBACK');
$lock->quit;
is($ctms->request(GET => "/ctms/$id")->{json}{email}{first_name}, 'Anna', 'nothing was changed');
unlike(slurp($log), qr/connection to the database lost/, 'the connection was never lost');
unlike(slurp($log), qr/may still do it/, 'and every write is known to be undone');
unlike(slurp($log), qr/prepared statements/, 'statements of the same text are one');

# ---- a commit that waits for a standby --------------------------------------------------
# Cancelled, it would count as done. The first connection was opened before commits had to wait.
$ctms->sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
$ctms->node->reload;
poll_until(sub { $ctms->sql('SHOW synchronous_standby_names') eq 'nobody' }, 'commits wait');
for my $connection ('an older', 'a new')
{
    in_time("a commit on $connection connection",
        begin(PATCH => "/ctms/$id", { email => { first_name => $connection } }));
    $ctms->node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = 'ctms' AND wait_event IS DISTINCT FROM 'SyncRep'");
    poll_until(sub { $ctms->request(GET => '/__heartbeat__')->{status} == 200 }, 'connected again');
}
$ctms->sql('ALTER SYSTEM RESET synchronous_standby_names');
$ctms->node->reload;
ok(poll_until(sub { $ctms->request(PATCH => "/ctms/$id",
        { email => { first_name => 'Zora' } })->{status} == 200 }), 'commits no longer wait');
is($ctms->stop_program('rest'), 0, 'stops');
like(slurp($log), qr/answered 503: the commit was cancelled while it waited for a standby/,
    'the log says why');
done_testing();
