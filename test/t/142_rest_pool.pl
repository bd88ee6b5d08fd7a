# Who waits for whom: a read never waits for a commit or behind a slow statement, commits wait side
# by side on connections that are opened for them, up to the limit, and closed again.
#
# A synchronous standby that does not exist makes each commit wait until we say so.
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('rest_pool',
    conf => "fsync = on\nwal_level = replica\nmax_wal_senders = 2\nmax_connections = 150");
my $node = $ctms->node;
my $sessions = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = 'ctms' AND pid <> pg_backend_pid()";
my $in_commit = "$sessions AND wait_event = 'SyncRep'";

# Starts a request; the sub that is returned waits for its status.
sub begin
{
    my @request = @_;
    my $pid = fork // die $!;
    POSIX::_exit($ctms->request(@request)->{status} / 10) if !$pid;
    return sub { waitpid $pid, 0; return ($? >> 8) * 10 };
}
sub statuses { return join ' ', map { $_->() } @_ }

sub hold_commits
{
    $node->safe_psql('postgres', "SET synchronous_commit = local;
        ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    $node->reload;
    return $node->poll_query_until('postgres',
        "SELECT setting = 'nobody' FROM pg_settings WHERE name = 'synchronous_standby_names'");
}
sub let_commits_go
{
    $node->safe_psql('postgres', "SET synchronous_commit = local;
        ALTER SYSTEM RESET synchronous_standby_names");
    return $node->reload;
}

my $limit = 24;
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => $limit, CTMS_DB_TIMEOUT_S => 60);
$ctms->login;
my @ids = map {
    my $body = { email => { primary_email => "u$_\@example.com" } };
    $ctms->request(POST => '/ctms', $body)->{json}{email}{email_id};
} 1 .. 60;
sub get { return $ctms->request(GET => "/ctms/$ids[0]")->{status} }
sub patch
{
    my ($n, $name) = @_;
    return begin(PATCH => "/ctms/$ids[$n]", { email => { first_name => $name // 'X' } });
}

# ---- commits that wait --------------------------------------------------------------------
my $few = $ctms->sql($sessions);
cmp_ok($few, '<=', 6, 'few connections while nothing waits');
hold_commits();
my @writes = map { patch($_) } 1 .. 12;
ok(poll_until(sub { $ctms->sql($in_commit) == 12 }), 'twelve commits wait side by side');
is(get(), 200, 'a read does not wait for them');
is($ctms->request(GET => '/updates?start=2000-01-01')->{status}, 200, 'a long one neither');
push @writes, map { patch($_) } 13 .. 50;
ok(poll_until(sub { $ctms->sql($in_commit) == $limit - 4 }), 'up to the limit, four are for reads');
is(get(), 200, 'reads still go');
cmp_ok($ctms->sql($sessions), '<=', $limit + 1, 'no more connections than that, and the listener');
let_commits_go();
is(statuses(@writes), join(' ', (200) x 50), 'every write is answered');

# ---- slow statements ------------------------------------------------------------------------
my $lock = $node->background_psql('ctms');
my $locked = join ', ', map { "'$_'" } @ids[ 1 .. 7 ];
$lock->query_safe("BEGIN; SELECT FROM ctms.emails WHERE email_id IN ($locked) FOR UPDATE");
@writes = map { patch($_ % 7 + 1) } 1 .. 40;
my $in_lock = "$sessions AND wait_event_type = 'Lock'";
ok(poll_until(sub { $ctms->sql($in_lock) == 7 }), 'a write for each of seven contacts waits');
is(get(), 200, 'a read does not wait for them');
is(patch($_)->(), 200, 'a write for another contact neither') for 8 .. 12;
is($ctms->sql($in_lock), 7, 'the others for the same contacts are not sent yet');
$lock->query_safe('ROLLBACK');
is(statuses(@writes), join(' ', (200) x 40), 'then they are done');

# The heartbeat reads a table that contacts do not.
$lock->query_safe('BEGIN; LOCK TABLE ctms.pending_acoustic IN ACCESS EXCLUSIVE MODE');
my @reads = map { begin(GET => '/__heartbeat__') } 1 .. 30;
ok(poll_until(sub { $ctms->sql($in_lock) >= 4 }), 'reads wait for a lock');
is(statuses(map { begin(GET => "/ctms/$ids[$_]") } 1 .. 30), join(' ', (200) x 30),
    'other reads do not wait behind them');
$lock->query_safe('ROLLBACK');
$lock->quit;
is(statuses(@reads), join(' ', (200) x 30), 'then they are answered');

# ---- and closed again -------------------------------------------------------------------------
ok(poll_until(sub { $ctms->sql($sessions) <= $few }, 'few connections', 120),
    'connections that are idle are closed');
is(get(), 200, 'those that are kept work');
is($ctms->stop_program('rest'), 0, 'the server stops');

# ---- the database gives no more ------------------------------------------------------------------
$ctms->sql('CREATE ROLE web LOGIN CONNECTION LIMIT 7 IN ROLE ctms_api');
$ctms->start_rest(CTMS_DB_URL => $ctms->db_url . '&user=web', CTMS_DB_TIMEOUT_S => 60);
hold_commits();
@writes = map { patch($_) } 1 .. 40;
my $log = "$PostgreSQL::Test::Utils::log_path/rest_pool_rest.log";
my $warning = qr/could not open more than 6 of 64 connections to the database: .*too many/;
ok(poll_until(sub { slurp($log) =~ $warning }), 'the log tells of the limit of the database');
is(get(), 200, 'reads still go');
is($ctms->request(GET => '/__heartbeat__')->{status}, 200, 'of each kind');
let_commits_go();
is(statuses(@writes), join(' ', (200) x 40), 'all are answered with fewer connections');
my @warnings = slurp($log) =~ /could not open more than/g;
is(scalar @warnings, 1, 'it is told once');

# ---- by turns ----------------------------------------------------------------------------------
# Of two connections, one is for what has it for itself. The lock of the first write is given up,
# those of the others are kept.
is($ctms->stop_program('rest'), 0, 'the server stops again');
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => 2, CTMS_DB_TIMEOUT_S => 60);
my @locks = map { $node->background_psql('ctms') } 1, 2;
$locks[$_]->query_safe("BEGIN; SELECT FROM ctms.emails WHERE email_id "
        . ($_ ? '<>' : '=') . " '$ids[1]' FOR UPDATE") for 0, 1;
@writes = patch(1);
ok(poll_until(sub { $ctms->sql($in_lock) == 1 }), 'a write waits for a lock');
push @writes, map { patch($_) } 2 .. 6;
is(get(), 200, 'reads go on the other connection') for 1 .. 3;
my $long = begin(GET => '/updates?start=2000-01-01');
is(get(), 200, 'and again') for 1 .. 3;
$locks[0]->query_safe('ROLLBACK');
is($long->(), 200, 'a long read takes turns with writes that wait');
$locks[1]->query_safe('ROLLBACK');
$_->quit for @locks;
is(statuses(@writes), join(' ', (200) x 6), 'and then they are done');

# ---- a standby that is away for long ------------------------------------------------------------
# Writes are answered in time; their sessions wait on, and no others take their place.
is($ctms->stop_program('rest'), 0, 'the server stops again');
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => 8, CTMS_DB_TIMEOUT_S => 2);
is(get(), 200, 'it serves');
hold_commits();
for my $round (1 .. 2)
{
    is(statuses(map { patch($_, 'Held') } 1 .. 20), join(' ', (500) x 20),
        "round $round: 503, in time");
    is(get(), 200, 'reads go on');
    cmp_ok($ctms->sql($sessions), '<=', 9, 'no more sessions than the limit and the listener');
}
is($ctms->sql("SELECT count(*) FROM ctms.emails WHERE first_name = 'Held'"), 0,
    'nobody sees what no standby has');
let_commits_go();
is(patch(1)->(), 200, 'and writes go on');

# ---- sessions that do not answer -----------------------------------------------------------------
my @frozen = split /\n/, $ctms->sql($sessions =~ s/count\(\*\)/pid/r . " AND query !~ '^LISTEN'");
kill STOP => @frozen;
is(statuses(map { patch($_) } 1 .. @frozen), join(' ', (500) x @frozen), 'frozen: 503, in time');
ok(poll_until(sub { patch(1)->() == 200 }), 'they are given up, and others serve');
ok(poll_until(sub { get() == 200 }), 'reads, too');
kill CONT => @frozen;

# ---- one connection ------------------------------------------------------------------------
is($ctms->stop_program('rest'), 0, 'the server stops again');
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => 1);
is(statuses(map { ($_ % 2 ? patch($_) : begin(GET => "/ctms/$ids[$_]")) } 1 .. 30),
    join(' ', (200) x 30), 'one connection serves all, by turns');
is($ctms->sql($sessions), 2, 'and there is one, and the listener');
done_testing();
