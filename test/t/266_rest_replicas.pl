# REST reads from several replicas: they share the reads, and whatever happens to them, no read is
# older than a write that was answered, and none fails. They are paused, stopped, frozen, promoted,
# on a timeline of their own, and behind one address.
use strict;
use warnings;
use CTMS::PgBouncer;
use CTMS::Replicas;
use CTMS::Test qw(poll_until slurp);
use Test::More;

my $ctms = CTMS::Test->new('primary', conf => $CTMS::Replicas::CONF);
my $node = $ctms->node;
my @ids = split /\n/, $ctms->sql(q{WITH made AS (INSERT INTO ctms.emails (primary_email)
    SELECT 'reader' || n || '@example.com' FROM generate_series(1, 6) AS n RETURNING email_id)
    SELECT email_id FROM made});
my @replicas = CTMS::Replicas::start($ctms, 2);
my ($first, $second) = @replicas;

# ---- the functions -------------------------------------------------------------------------

sub guard
{
    my ($server, $timeline, $lsn, %given) = @_;
    my $more = join '', map { $given{$_} ? ", $_ => '$given{$_}'" : () }
        qw(snapshot system_identifier);
    my (undef, $out, $err) = $server->psql('ctms', "\\set VERBOSITY verbose\n"
        . ($given{before} // '')
        . "SELECT ctms.require_replayed($timeline, '$lsn'$more); SELECT 'passed'");
    return $err =~ /ERROR:  (\w{5}: .*)/ ? $1 : $out =~ /passed/ ? 'passed' : "$out $err";
}

# The primary's position when nothing more is written.
sub wait_for_replay
{
    my (@servers) = @_;
    my ($timeline, $lsn) = split /\|/, $ctms->sql('SELECT * FROM ctms.wal_position()');
    poll_until(sub { guard($_, $timeline, $lsn) eq 'passed' }, 'it is replayed') for @servers;
    return ($timeline, $lsn);
}
my ($timeline, $lsn) = wait_for_replay(@replicas);
is($timeline, 1, 'the first timeline');
is(guard($first, 1, '0/1'), 'passed', 'what was replayed long ago');
like(guard($first, 2, $lsn), qr/^CT503: this replica is on another timeline/, 'another timeline');
like(guard($first, 1, 'FFFF/0'), qr/^CT503: this replica has not replayed as much/, 'the future');
my $own = $ctms->sql('SELECT system_identifier FROM ctms.wal_position()');
is(guard($first, 1, '0/1', system_identifier => $own), 'passed', 'of this cluster');
like(guard($first, 1, '0/1', system_identifier => $own - 1),
    qr/^CT503: this server belongs to another cluster/, 'of another cluster');
like(guard($node, 1, $lsn), qr/^CT503: this server is not a replica/, 'no replica');
like(guard($first, 1, $lsn, before => 'BEGIN ISOLATION LEVEL REPEATABLE READ; '),
    qr/^CT503: this transaction keeps the snapshot/, 'a snapshot that was taken before');
is(($first->psql('ctms', "\\set VERBOSITY sqlstate\nSELECT ctms.wal_position()"))[2] =~ s/.* //r,
    '25006', 'a replica has no position of a primary');

# What is under way at the primary need not be replayed, what has ended there must be.
my @writers = map { $node->background_psql('ctms') } 1 .. 2;
my $write = q{INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, '%s' FROM ctms.emails};
$writers[$_]->query_safe('BEGIN; ' . sprintf $write, "of $_") for 0, 1;
my $snapshot_sql = 'SELECT pg_current_snapshot()';
my $none_ended = $ctms->sql($snapshot_sql);
$ctms->sql(sprintf $write, 'flushed');
my $one_ended = $ctms->sql($snapshot_sql);
poll_until(sub { $first->safe_psql('ctms', q{SELECT count(*) FROM ctms.newsletters
    WHERE name = 'flushed'}) > 0 }, 'it is replayed');
is(guard($first, 1, 'FFFF/0', snapshot => $_), 'passed', "two are under way: $_")
    for $none_ended, $one_ended;
$first->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$first->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'})
    or die 'the replica does not pause';
$writers[0]->query_safe('COMMIT');
my $older_ended = $ctms->sql($snapshot_sql);
is(guard($first, 1, 'FFFF/0', snapshot => $one_ended), 'passed', 'what was seen before');
like(guard($first, 1, 'FFFF/0', snapshot => $older_ended), qr/^CT503: .*not replayed as much/,
    'an older transaction has ended');
like(guard($first, 2, 'FFFF/0', snapshot => $one_ended), qr/^CT503: .*another timeline/,
    'another timeline');
$ctms->sql(sprintf $write, 'newer');
like(guard($first, 1, 'FFFF/0', snapshot => $ctms->sql($snapshot_sql)),
    qr/^CT503: .*not replayed as much/, 'a newer one, too');
$first->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
poll_until(sub { guard($first, 1, 'FFFF/0', snapshot => $older_ended) eq 'passed' }, 'replayed');
pass('and then it passes');
$writers[1]->query_safe('ROLLBACK');
$_->quit for @writers;

$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
my $switched = (wait_for_replay(@replicas))[1];
isnt($switched, $lsn, 'replayed, too, when the log ends at a new file');
$first->psql('ctms', q{DO $$ BEGIN PERFORM ctms.require_replayed(1, 'FFFF/0');
    EXCEPTION WHEN SQLSTATE 'CT503' THEN NULL; END $$; SELECT 1 / 0});
poll_until(sub { slurp($first->logfile) =~ /division by zero/ }, 'other errors are logged');
unlike(slurp($first->logfile), qr/not replayed as much|another timeline/, 'these are not');

# ---- all is well ----------------------------------------------------------------------------

sub start_rest
{
    my ($url, %env) = @_;
    $ctms->start_rest(CTMS_DB_READ_URL => $url, CTMS_PROCESSES => 3, CTMS_DB_TIMEOUT_S => 5, %env);
    $ctms->login if !$ctms->{token};
    return;
}
sub get { return $ctms->request(GET => "/ctms/$ids[0]")->{status} }

# What is counted of each server while it runs.
sub count_reads
{
    my ($code) = @_;
    my %before = CTMS::Replicas::reads($ctms);
    $code->();
    my %after = CTMS::Replicas::reads($ctms);
    note join ', ', map { "$_: " . ($after{$_} - $before{$_}) } sort keys %after;
    return { map { ($_ => $after{$_} - $before{$_}) } keys %after };
}
sub wait_for_answers
{
    my ($server, $what) = @_;
    my %before = CTMS::Replicas::reads($ctms);
    return ok(poll_until(sub {
        get();
        my %now = CTMS::Replicas::reads($ctms);
        return $now{"$server answered"} > $before{"$server answered"};
    }, $what), $what);
}
sub use_contacts
{
    my ($rounds, $what) = @_;
    my @wrong;
    my $reads = count_reads(sub { @wrong = CTMS::Replicas::use_contacts($ctms, \@ids, $rounds) });
    is(join("\n", splice @wrong, 0, 5), '', "$what: each read shows the write before it");
    return $reads;
}
sub read_all
{
    my ($rounds) = @_;
    return CTMS::Replicas::at_once(sub {
        my ($id) = @_;
        return grep { $_ != 200 } map { $ctms->request(GET => "/ctms/$id")->{status} } 1 .. $rounds;
    }, @ids);
}

# These come row by row.
sub check_updates
{
    my ($what) = @_;
    my $items = $ctms->request(GET => '/updates?start=2020-01-01')->{json}{items} // [];
    return is(scalar(grep { $_->{email}{first_name} =~ /^round/ } @$items), scalar @ids,
        "$what: rows of many contacts");
}

start_rest(CTMS::Replicas::url(@replicas));
wait_for_answers($_, "replica $_ is read") for 1, 2;
{
    my @failed;
    my $reads = count_reads(sub { @failed = read_all(100) });
    is("@failed", '', 'reads are answered');
    cmp_ok($reads->{"$_ answered"}, '>', 30, "many by replica $_") for 1, 2;
    cmp_ok($reads->{'primary answered'}, '<', 60, 'few by the primary');
}
{
    my $reads = use_contacts(40, 'steady writes');
    cmp_ok($reads->{'1 answered'} + $reads->{'2 answered'}, '>', 0, 'some by replicas');
}
check_updates('several replicas');
is($ctms->request(GET => '/ctms/00000000-0000-4000-8000-999999999999')->{status}, 404,
    'nothing is an answer, too');

# ---- one is behind ----------------------------------------------------------------------------

$first->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$first->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'})
    or die 'the replica does not pause';
$ctms->sql("UPDATE ctms.emails SET last_name = 'later' WHERE email_id = '$ids[0]'");
wait_for_replay($second);
{
    my $reads = use_contacts(10, 'one is behind');
    is($reads->{'1 answered'}, 0, 'it answers none');
    my @failed;
    $reads = count_reads(sub { @failed = read_all(30) });
    is("@failed", '', 'reads are answered');
    is($reads->{'1 answered'}, 0, 'not by it');
    cmp_ok($reads->{'2 answered'}, '>', 100, 'but by the other replica');
    cmp_ok($reads->{'1 behind'}, '<', 60, 'and it is not asked each time');
}
$first->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
wait_for_answers(1, 'read again when it is there');

# ---- one is away --------------------------------------------------------------------------------

$first->stop('immediate');
is(use_contacts(10, 'one is away')->{'1 answered'}, 0, 'it answers none');
$first->start;
wait_for_answers(1, 'read again when it is back');

# ---- one does not answer ------------------------------------------------------------------------

{
    CTMS::Replicas::freeze($first);
    my @failed;
    my $reads = count_reads(sub { @failed = read_all(40) });
    is("@failed", '', 'one hangs: reads are answered');
    is($reads->{'1 answered'}, 0, 'not by it');
    cmp_ok($reads->{'1 slow'}, '>', 0, 'some have tried it');
    cmp_ok($reads->{'1 slow'}, '<', 60, 'but few');
    use_contacts(5, 'one hangs');
    CTMS::Replicas::freeze($second);
    is(join(' ', read_all(10)), '', 'all hang: the primary answers');
    CTMS::Replicas::thaw($_) for @replicas;
    wait_for_answers($_, "replica $_ is read again") for 1, 2;
}

# ---- its files are broken ------------------------------------------------------------------------

{
    my $file = $first->data_dir . '/'
        . $ctms->sql(q{SELECT pg_relation_filepath('ctms.newsletters')});
    my (%before, @failed);
    # So that it replays nothing, and has no page in memory.
    $ctms->sql('CHECKPOINT');
    wait_for_replay($first);
    $first->restart;
    rename $file, "$file.away" or die "$file: $!";
    mkdir $file;
    %before = CTMS::Replicas::reads($ctms);
    ok(poll_until(sub {
        push @failed, grep { $_ != 200 } get();
        my %now = CTMS::Replicas::reads($ctms);
        return @failed || $now{'1 away'} > $before{'1 away'};
    }), 'a replica cannot read a file');
    is("@failed", '', 'reads are answered');
    rmdir $file;
    rename "$file.away", $file or die "$file: $!";
    wait_for_answers(1, 'read again when it is whole');
}

# ---- the primary does not tell its position ------------------------------------------------------

{
    $ctms->stop_program('rest');
    start_rest(CTMS::Replicas::url(@replicas), CTMS_PROCESSES => 1);
    wait_for_answers(1, 'read by one process');
    get();
    my $pid = $ctms->sql(q{SELECT pid FROM pg_stat_activity WHERE query ~ 'wal_position'
        AND pid <> pg_backend_pid() ORDER BY query_start DESC LIMIT 1});
    kill 'STOP', $pid;
    is(join(' ', read_all(5)), '', 'the session that tells positions hangs: reads are answered');
    kill 'CONT', $pid;
}

# ---- through one address ------------------------------------------------------------------------

sub start_balancer
{
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    CTMS::PgBouncer::spew("$ENV{TESTDIR}/haproxy.cfg", "defaults\n mode tcp\n timeout connect 5s\n",
        " timeout client 1h\n timeout server 1h\nlisten replicas\n bind 127.0.0.1:$port\n",
        " balance roundrobin\n", map { ' server ' . $_->name . ' unix@' . $_->host . '/.s.PGSQL.'
        . $_->port . "\n" } @replicas);
    $ctms->start_program('haproxy', '/usr/sbin/haproxy', {}, '-db', '-f',
        "$ENV{TESTDIR}/haproxy.cfg");
    $ctms->wait_for_port('haproxy', $port);
    return $port;
}

SKIP:
{
    skip 'haproxy is not installed', 1 if !-x '/usr/sbin/haproxy';
    my $port = start_balancer();
    my @urls = ([ 'a balancer', "postgresql://127.0.0.1:$port/ctms" ]);
    my $bouncer;
    if (CTMS::PgBouncer::programs())
    {
        $bouncer = CTMS::PgBouncer->new($ctms, 'replicas', pool_mode => 'transaction',
            default_pool_size => 6, server => "host=127.0.0.1 port=$port");
        push @urls, [ 'a pooler and a balancer', $bouncer->url((getpwuid $>)[0]) ];
    }
    for (@urls)
    {
        my ($what, $url) = @$_;
        $ctms->stop_program('rest');
        start_rest($url);
        wait_for_answers(1, "through $what");
        my $reads = use_contacts(40, $what);
        is($reads->{'1 away'}, 0, 'nothing is mixed up');
        $reads = count_reads(sub { check_updates($what) });
        is($reads->{'1 answered'} + $reads->{'primary answered'}, 1, 'in one go');
        $first->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
        use_contacts(20, "$what, one is behind");
        $first->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
    }
    $ctms->stop_program('rest');
    $bouncer->stop if $bouncer;
    $ctms->stop_program('haproxy');
    start_rest(CTMS::Replicas::url(@replicas, $node));
    wait_for_answers(1, 'each by its own address again');
}

# ---- the primary in the list, and a replica that goes its own way -------------------------------

is(use_contacts(10, 'the list names the primary, too')->{'3 answered'}, 0, 'which is left out');
$second->promote;
$second->safe_psql('ctms', q{UPDATE ctms.emails SET first_name = 'of another timeline';
    CREATE TABLE filler AS SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n});
{
    my $reads = use_contacts(10, 'one is promoted');
    is($reads->{'2 answered'}, 0, 'it answers none');
    cmp_ok($reads->{'1 answered'}, '>', 0, 'the other one does');
}
$second->stop('fast');
$second->set_standby_mode;
$second->append_conf('postgresql.conf', "primary_conninfo = ''\nrestore_command = ''\n");
$second->start;
{
    my ($own_timeline, $own_lsn) = split /\|/, $second->safe_psql('postgres',
        'SELECT 2, pg_last_wal_replay_lsn()');
    is(guard($second, $own_timeline, $own_lsn), 'passed', 'it is a replica of its own timeline');
    is($ctms->sql("SELECT lsn < '$own_lsn' FROM ctms.wal_position()"), 't', 'far ahead');
    my $before = { CTMS::Replicas::reads($ctms) };
    ok(poll_until(sub {
        get();
        my %now = CTMS::Replicas::reads($ctms);
        return $now{'2 behind'} > $before->{'2 behind'};
    }), 'it is asked again');
    is(use_contacts(10, 'one is on another timeline')->{'2 answered'}, 0, 'and answers none');
}
is($ctms->stop_program('rest'), 0, 'REST stops');
unlike(slurp("$PostgreSQL::Test::Utils::log_path/primary_rest.log"),
    qr/ended unexpectedly|unexpected error/, 'nothing crashed');
done_testing();
