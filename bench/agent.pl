# How fast the agent carries contacts to Acoustic, how soon it begins, and what it costs in commits,
# on each of CTMS_BENCH_DISKS (see CTMS::Bench); run by "make bench-agent". Numbers depend on the
# machine, the ratios less so: what is compared runs by turns.
#
# CTMS_BENCH_CONTACTS (20000) for each run without latency, CTMS_BENCH_TURNS (3; 0: none) of these,
# CTMS_BENCH_CHANGES (200; 0: none) single changes, CTMS_BENCH_SECONDS (20) of the run with latency.
#
# Commits that begin while a flush is delayed share it. Beside other work, latencies are those of
# the machine's queue of processes: run it as "chrt -f 10 make bench-agent".

use strict;
use warnings;
use CTMS::Bench qw(by_turns ended_s median middle processor_s quantile ratio setting);
use CTMS::BenchContacts qw(fill);
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use Test::More;
use Time::HiRes qw(sleep time);

use constant { ROWS_PER_CALL => 100, IN_FLIGHT => 10 };

my $contacts = setting(CONTACTS => 20_000);
my $turns = setting(TURNS => 3);
my $changes = setting(CHANGES => 200);
my $seconds = setting(SECONDS => 20);
# Those that ten requests in flight may send with latency, and more.
my $slow_contacts = 120 * ($seconds + 10);
die "ctms: $contacts contacts are too few for $seconds seconds\n" if $slow_contacts > $contacts;
my $bench = CTMS::Bench->new('bench_agent',
    conf => "shared_buffers = 512MB\ntrack_commit_timestamp = on\n");
my $node = $bench->node;
fill($bench, 'ctms', $contacts);
$bench->start_sandbox;
my @disks = $bench->disks;

# A row of the table in docs/benchmarks.md, with a column for each disk.
sub put
{
    my ($name, $format, @figures) = @_;
    diag sprintf '| %-48s |' . " $format |" x @figures, $name, @figures;
    return;
}

sub stats { return $bench->sandbox('/_sandbox/stats?sent=0')->{json} }
sub set_latency
{
    my $r = $bench->request(POST => "http://127.0.0.1:$bench->{sandbox_port}/_sandbox/settings",
        { latency_ms => $_[0] });
    die $r->{content} if $r->{status} != 200;
    return;
}
sub wait_until_empty
{
    return poll_until(sub { $bench->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
        'the queue is empty', 120);
}
sub start_agent
{
    $bench->start_agent(CTMS_LOGGING_LEVEL => 'INFO', CTMS_ACOUSTIC_LOOP_MIN_SECS => 5);
    return;
}
sub stop_agent
{
    my $status = $bench->stop_program('agent');
    die "ctms: the agent ended with status $status\n" if $status;
    return;
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
sub wal_place { return $bench->sql('SELECT pg_current_wal_flush_lsn()') }

sub enqueue
{
    my ($count) = @_;
    $bench->sql("SELECT ctms.enqueue_contacts(array_agg(public.id_of(n)))
        FROM generate_series(1, $count) AS n; VACUUM ANALYZE ctms.pending_acoustic");
    return;
}

# ---- what is used ---------------------------------------------------------------------

# Of this cluster: the postmaster, its children, and those that have ended.
sub postgres_s
{
    my ($pid) = slurp($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
    my @children = split ' ', slurp("/proc/$pid/task/$pid/children");
    return ended_s($bench) + processor_s($pid, @children);
}

sub usage
{
    return { lsn => wal_place(), agent => processor_s($bench->pid('agent')),
        sandbox => processor_s($bench->pid('sandbox')), postgres => postgres_s(),
        requests => stats()->{requests}, time => time };
}

# Exact when no session runs: sessions report their transactions at the end, and else once a second.
sub transactions
{
    return $bench->sql("SELECT xact_commit FROM pg_stat_database WHERE datname = 'ctms'");
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
    start_agent();
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
    stop_agent();
    $r{transactions} = (transactions() - $transactions) / ($sent->() - $first);
    $r{$_} = 1e6 * ($to->{$_} - $from->{$_}) / $n for qw(agent sandbox postgres);
    return \%r;
}

# ---- without latency --------------------------------------------------------------------

my @fast = by_turns($turns, map {
    my $disk = $_;
    sub {
        $bench->use_disk($disk);
        enqueue($contacts);
        # The end, where the last calls are not full, does not count.
        return measure($contacts - 1000, 600);
    };
} @disks);
put('', '%8s', map { /^\d/ ? "$_ ms" : $_ } @disks);
put('---', '%8s', map { '---' } @disks);
if (@fast)
{
    put('no latency: contacts a second', '%8.0f', map { middle($_, 'rate') } @fast);
    put("/ that of $disks[0]", '%8.2f', map { ratio($_, $fast[0], 'rate') } @fast);
    for my $what (qw(agent sandbox postgres))
    {
        put("processor time of a contact, us: $what", '%8.0f', map { middle($_, $what) } @fast);
    }
    put('calls with rows for a contact', '%8.4f', map { middle($_, 'calls') } @fast);
    put('commits that write WAL for a contact', '%8.4f', map { middle($_, 'commits') } @fast);
    put('transactions for a contact', '%8.4f', map { middle($_, 'transactions') } @fast);
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
    my $writer = IPC::Run::start([ 'psql', '-XAtq', '-d', $bench->db_url ], \$in, \$out);
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
        @{ $bench->sandbox('/_sandbox/ledger?after=' . (stats()->{ledger} - @ids) )->{json} };
    my %committed = map { split /\|/ } split /\n/, $bench->sql("SELECT email_id,
        extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM ctms.emails
        WHERE primary_email LIKE '$name%'");
    my @lost = grep { !$arrived{$_} || !$committed{$_} } @ids;
    die 'ctms: ' . @lost . ' of ' . @ids . " changes have no request or no commit time\n"
        if @lost;
    return ($commits, sort { $a <=> $b } map { 1000 * ($arrived{$_} - $committed{$_}) } @ids);
}

sub measure_delays
{
    my ($disk) = @_;
    my $flush_ms = $bench->use_disk($disk);
    start_agent();
    poll_until(sub { $bench->sql('SELECT count(*) FROM ctms.acoustic_agent') > 0 }, 'an agent');
    my ($commits, @ms) = delays("wake-$disk-");
    stop_agent();
    my $p50 = median(@ms);
    return { flush => $flush_ms, p50 => $p50, p99 => quantile(0.99, @ms),
        without => $p50 - 2 * $flush_ms, commits => $commits };
}

if ($changes)
{
    my @soon = map { measure_delays($_) } @disks;
    put('idle agent, from COMMIT to request: p50, ms', '%8.1f', map { $_->{p50} } @soon);
    put('p99, ms', '%8.1f', map { $_->{p99} } @soon);
    put('a commit of one session, p50, ms', '%8.2f', map { $_->{flush} } @soon);
    put('p50 without two such commits, ms', '%8.1f', map { $_->{without} } @soon);
    put('commits of a change', '%8.2f', map { $_->{commits} } @soon);
}

# ---- with 100 ms ------------------------------------------------------------------------

# Ten requests in flight; a contact is one, and three rows in calls of a hundred.
set_latency(100);
my $bound = IN_FLIGHT / 0.1 / (1 + 3 / ROWS_PER_CALL);
my @slow = map {
    $bench->use_disk($_);
    enqueue($slow_contacts);
    my $result = measure($contacts, $seconds);
    $bench->sql('TRUNCATE ctms.pending_acoustic');
    $result;
} @disks;
put('100 ms: contacts a second', '%8.1f', map { $_->{rate} } @slow);
put(sprintf('/ what ten in flight can carry, %.1f', $bound), '%8.3f',
    map { $_->{rate} / $bound } @slow);
put('commits that write WAL for a contact', '%8.4f', map { $_->{commits} } @slow);
put('transactions for a contact', '%8.4f', map { $_->{transactions} } @slow);
pass('measured');
done_testing();
