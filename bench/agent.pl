# How fast the agent carries contacts to Acoustic, how soon it begins, and what it costs in commits,
# on disks of several kinds; run by "make bench-agent". Numbers depend on the machine, the ratios
# less so: what is compared runs by turns.
#
# CTMS_BENCH_MODES (off,native,2,5,replica): fsync off; on, with the flush of this machine; the same
# and so many ms more; the same and a synchronous replica, which shares this machine.
# CTMS_BENCH_CONTACTS (20000) for each run without latency, CTMS_BENCH_TURNS (3; 0: none) of these,
# CTMS_BENCH_CHANGES (200; 0: none) single changes, CTMS_BENCH_SECONDS (20) of the run with latency.
#
# The added flush is a commit_delay: commits that begin meanwhile share it. Beside other work,
# latencies are those of the machine's queue of processes: run it as "chrt -f 10 make bench-agent".

use strict;
use warnings;
use Test::More;
use IPC::Run;
use Time::HiRes qw(sleep time);
use CTMS::Test qw(poll_until);

use constant { ROWS_PER_CALL => 100, IN_FLIGHT => 10, HZ => POSIX::sysconf(POSIX::_SC_CLK_TCK()) };

my @modes = split /,/, $ENV{CTMS_BENCH_MODES} // 'off,native,2,5,replica';
my $contacts = $ENV{CTMS_BENCH_CONTACTS} // 20000;
my $turns = $ENV{CTMS_BENCH_TURNS} // 3;
my $changes = $ENV{CTMS_BENCH_CHANGES} // 200;
my $seconds = $ENV{CTMS_BENCH_SECONDS} // 20;
die "not measured: CTMS_BENCH_CONTACTS is too low for CTMS_BENCH_SECONDS\n"
    if 120 * ($seconds + 10) > $contacts;
my $ctms = CTMS::Test->new('bench',
    conf => join "\n", 'shared_buffers = 512MB', 'log_connections = off',
    'log_disconnections = off', 'track_commit_timestamp = on', 'wal_level = replica',
    'max_wal_senders = 4', 'max_wal_size = 8GB', 'checkpoint_timeout = 1h', 'commit_siblings = 0');
my $node = $ctms->node;
$node->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'none'");
$node->reload;
$ctms->start_sandbox;

sub stats { return $ctms->sandbox('/_sandbox/stats?sent=0')->{json} }
sub set_latency
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        { latency_ms => $_[0] });
    die $r->{content} if $r->{status} != 200;
    return;
}
sub wait_until_empty
{
    return poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
        'the queue is empty', 120);
}
sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ] }

# ---- disks ----------------------------------------------------------------------------

my $standby;

sub set_mode
{
    my ($mode) = @_;
    my %set = (fsync => $mode eq 'off' ? 'off' : 'on',
        commit_delay => $mode =~ /^\d+$/ ? 1000 * $mode : 0,
        synchronous_standby_names => $mode eq 'replica' ? '*' : '');
    if ($mode eq 'replica')
    {
        if (!$standby)
        {
            $node->backup('base');
            $standby = PostgreSQL::Test::Cluster->new('replica');
            $standby->init_from_backup($node, 'base', has_streaming => 1);
            $standby->append_conf('postgresql.conf', "fsync = on\nsynchronous_standby_names = ''");
        }
        $standby->start;
        $node->wait_for_catchup($standby);
    }
    $node->safe_psql('postgres', "ALTER SYSTEM SET $_ = '$set{$_}'") for sort keys %set;
    $node->reload;
    $standby->stop if $standby && $mode ne 'replica' && $standby->{_pid};
    $node->poll_query_until('postgres', "SELECT current_setting('commit_delay')::int =
        $set{commit_delay} AND current_setting('fsync') = '$set{fsync}'
        AND current_setting('synchronous_standby_names') = '$set{synchronous_standby_names}'");
    return;
}

# What a commit waits for in this mode when nothing else runs: ms, the median of a hundred.
sub flush_ms
{
    return $ctms->sql(<<'SQL');
CREATE TEMPORARY TABLE flushes (ms double precision);
DO $$
DECLARE
    began timestamptz;
    all_ms double precision[];
BEGIN
    FOR i IN 1..100 LOOP
        PERFORM pg_logical_emit_message(true, 'bench', '');
        began := clock_timestamp();
        COMMIT;
        all_ms := all_ms || 1000 * extract(epoch FROM clock_timestamp() - began)::double precision;
    END LOOP;
    INSERT INTO flushes SELECT unnest(all_ms);
END $$;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM flushes;
SQL
}

# Commits that wrote WAL between two places of it, whoever made them.
sub commits_between
{
    my ($from, $to) = @_;
    my $out;
    IPC::Run::run([ 'pg_waldump', '--stats=record', '-p', $node->data_dir . '/pg_wal',
            '-s', $from, '-e', $to ], '>', \$out, '2>', '/dev/null');
    my $count = 0;
    $count += $1 while $out =~ m{^Transaction/COMMIT\S*\s+(\d+)}mg;
    return $count;
}
sub wal_place { return $ctms->sql('SELECT pg_current_wal_flush_lsn()') }

# ---- contacts -------------------------------------------------------------------------

# Each with two newsletters and a waitlist.
sub add_contacts
{
    my ($name, $count) = @_;
    $ctms->sql(<<SQL);
SET ctms.enqueue = off;
WITH c AS (INSERT INTO ctms.emails
        (primary_email, first_name, last_name, basket_token, mailing_country, email_lang)
    SELECT '$name' || i || '\@example.com', 'First', 'Last', gen_random_uuid()::text, 'fr', 'fr'
    FROM generate_series(1, $count) i RETURNING email_id),
n AS (INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
    SELECT email_id, (ARRAY['mozilla-and-you', 'hubs'])[k], true, 'fr', 'https://www.example.com/'
    FROM c, generate_series(1, 2) k)
INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'relay', '{"geo": "fr"}' FROM c
SQL
    return;
}

sub enqueue
{
    $ctms->sql("SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM
        (SELECT email_id FROM ctms.emails WHERE primary_email LIKE 'bench%' LIMIT $_[0]) e");
    $ctms->sql('VACUUM ANALYZE ctms.pending_acoustic');
    return;
}

# ---- what is used ---------------------------------------------------------------------

sub cpu_s
{
    my ($pid) = @_;
    open my $stat, '<', "/proc/$pid/stat" or return 0;
    my @fields = split / /, <$stat> // return 0;
    return ($fields[13] + $fields[14]) / HZ;
}

# Of this cluster: the postmaster, what it has waited for, and its children.
sub postgres_cpu_s
{
    my ($pid) = split /\n/, CTMS::Test::slurp($node->data_dir . '/postmaster.pid');
    open my $stat, '<', "/proc/$pid/stat" or die "PostgreSQL has ended: /proc/$pid/stat: $!\n";
    my @fields = split / /, <$stat>;
    my $sum = ($fields[13] + $fields[14] + $fields[15] + $fields[16]) / HZ;
    $sum += cpu_s($_) for split ' ', CTMS::Test::slurp("/proc/$pid/task/$pid/children");
    return $sum;
}

# Zero for what has ended.
sub used_by
{
    my ($name) = @_;
    return cpu_s($ctms->pid($name)) || die "no processor time of $name: it has ended\n";
}

sub usage
{
    return { lsn => wal_place(), agent => used_by('agent'), sandbox => used_by('sandbox'),
        postgres => postgres_cpu_s(), requests => stats()->{requests}, time => time };
}

# Exact when no session runs: sessions report their transactions at the end, and else once a second.
sub transactions
{
    return $ctms->sql("SELECT xact_commit FROM pg_stat_database WHERE datname = 'ctms'");
}

# The life of an agent. Measured is from the moment at which the line is at work until so many
# contacts were sent, or so many seconds have passed. Returns what happened between, for each
# contact; transactions are those of the whole life.
sub measure
{
    my ($count, $limit_s) = @_;
    my $sent = sub { stats()->{requests}{AddRecipient} };
    my $first = $sent->();
    my $transactions = transactions();
    $ctms->start_agent(CTMS_LOGGING_LEVEL => 'INFO', CTMS_ACOUSTIC_LOOP_MIN_SECS => 5);
    poll_until(sub { $sent->() > $first + 100 }, 'the line is at work', 60);
    my $from = usage();
    poll_until(sub {
        sleep 0.05;
        return $sent->() >= $first + $count || time > $from->{time} + $limit_s;
    }, 'sent', 600);
    my $to = usage();
    my ($old, $new) = ($from->{requests}, $to->{requests});
    my $n = $new->{AddRecipient} - $old->{AddRecipient};
    my %r = (rate => $n / ($to->{time} - $from->{time}),
        calls => ($new->{InsertUpdateRelationalTable} - $old->{InsertUpdateRelationalTable}) / $n,
        commits => commits_between($from->{lsn}, $to->{lsn}) / $n);
    wait_until_empty() if $sent->() >= $first + $count;
    $ctms->stop_program('agent');
    $r{transactions} = (transactions() - $transactions) / ($sent->() - $first);
    $r{$_} = 1e6 * ($to->{$_} - $from->{$_}) / $n for qw(agent sandbox postgres);
    return \%r;
}

# ---- without latency --------------------------------------------------------------------

add_contacts('bench', $contacts);
$ctms->sql('VACUUM ANALYZE');
my %fast;
for my $turn (1 .. $turns)
{
    for my $mode (@modes)
    {
        set_mode($mode);
        enqueue($contacts);
        # The end, where the last calls are not full, does not count.
        push @{ $fast{$mode} }, measure($contacts - 1000, 600);
    }
}
diag 'no latency:';
diag sprintf '%-8s %10s %7s %26s %8s %8s %8s', 'disk', 'contacts/s', 'ratio',
    'us of agent, sandbox, PG', 'calls', 'commits', 'transact.';
for my $mode ($turns ? @modes : ())
{
    my @runs = @{ $fast{$mode} };
    my %m = map { my $key = $_; $key => median(map { $_->{$key} } @runs) } keys %{ $runs[0] };
    diag sprintf '%-8s %10.0f %7.2f %8.0f %8.0f %8.0f %8.4f %8.4f %8.4f', $mode, $m{rate},
        median(map { $runs[$_]{rate} / $fast{ $modes[0] }[$_]{rate} } 0 .. $#runs),
        @m{qw(agent sandbox postgres calls commits transactions)};
}

# ---- how soon ---------------------------------------------------------------------------

# From the time at which the change's commit begins to be written (its timestamp) to the arrival of
# the request. Two flushes are in between: that of the change and that of the claim. The writer is a
# session that is open already, as the REST server's are; nothing else runs meanwhile.
sub delays
{
    my ($name) = @_;
    my $from = wal_place();
    my ($in, $out, @ids) = ('', '');
    my $writer = IPC::Run::start([ 'psql', '-XAtq', '-d', $ctms->db_url ], \$in, \$out);
    for my $i (1 .. $changes)
    {
        $out = '';
        $in .= "INSERT INTO ctms.emails (primary_email)
            VALUES ('$name$i\@example.com') RETURNING email_id;\n";
        $writer->pump until $out =~ /^([-0-9a-f]{36})\n/;
        push @ids, $1;
        sleep 0.1;
    }
    $writer->kill_kill;
    my $commits = commits_between($from, wal_place()) / @ids;
    wait_until_empty();
    my %arrived = map { $_->{email_id} => $_->{time} } reverse
        @{ $ctms->sandbox('/_sandbox/ledger?after=' . (stats()->{ledger} - @ids) )->{json} };
    my %committed = map { split /\|/ } split /\n/, $ctms->sql("SELECT email_id,
        extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM ctms.emails
        WHERE primary_email LIKE '$name%'");
    my @lost = grep { !$arrived{$_} || !$committed{$_} } @ids;
    die 'not measured: ' . @lost . ' of ' . @ids . " changes have no request or no commit time\n"
        if @lost;
    return ($commits, sort { $a <=> $b } map { 1000 * ($arrived{$_} - $committed{$_}) } @ids);
}

diag 'from the start of a COMMIT to the request, idle agent:';
diag sprintf '%-8s %9s %8s %8s %26s %8s', 'disk', 'flush ms', 'p50 ms', 'p99 ms',
    'p50 without two flushes', 'commits';
for my $mode ($changes ? @modes : ())
{
    set_mode($mode);
    $ctms->start_agent(CTMS_LOGGING_LEVEL => 'INFO', CTMS_ACOUSTIC_LOOP_MIN_SECS => 5);
    poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.acoustic_agents') > 0 }, 'an agent');
    my $flush_ms = flush_ms();
    my ($commits, @ms) = delays("wake-$mode-");
    diag sprintf '%-8s %9.2f %8.1f %8.1f %26.1f %8.2f', $mode, $flush_ms, median(@ms),
        $ms[ 0.99 * $#ms ], median(@ms) - 2 * $flush_ms, $commits;
    $ctms->stop_program('agent');
}

# ---- with 100 ms ------------------------------------------------------------------------

set_latency(100);
my $bound = IN_FLIGHT / 0.1 / (1 + 3 / ROWS_PER_CALL);
diag sprintf '100 ms, %d in flight; bound 100 requests a second / (1 + 3 rows / 100) = %.1f:',
    IN_FLIGHT, $bound;
diag sprintf '%-8s %10s %7s %8s %8s', 'disk', 'contacts/s', 'ratio', 'commits', 'transact.';
for my $mode (@modes)
{
    set_mode($mode);
    enqueue(120 * ($seconds + 10));
    my $r = measure($contacts, $seconds);
    diag sprintf '%-8s %10.1f %7.3f %8.4f %8.4f', $mode, $r->{rate}, $r->{rate} / $bound,
        @$r{qw(commits transactions)};
    $ctms->sql('TRUNCATE ctms.pending_acoustic');
}
pass('measured');
done_testing();
