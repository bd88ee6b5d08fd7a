# What reads from a replica cost: GET /ctms/{email_id} by a REST server that asks the primary
# only, and by one with CTMS_DB_READ_URL, by turns; while nobody writes, and while somebody does.
# Run by "make bench-replica". The two servers of PostgreSQL share this machine, so what a replica
# takes off the primary shows in the processor time of each, not in the rate.
#
# CTMS_BENCH_CLIENTS (1,64), CTMS_BENCH_SECONDS (2) for each measurement, CTMS_BENCH_TURNS (3).
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use List::Util qw(max min);
use Test::More;

my $contacts = 10_000;
my $seconds = $ENV{CTMS_BENCH_SECONDS} // 2;
my $turns = $ENV{CTMS_BENCH_TURNS} // 3;
my @clients = split /,/, $ENV{CTMS_BENCH_CLIENTS} // '1,64';
delete @ENV{ grep { /^CTMS_BENCH_/ } keys %ENV };
my $quiet = "log_statement = none\nlog_connections = off\nlog_disconnections = off\n"
    . "log_min_messages = panic\n";
my $ctms = CTMS::Test->new('primary', conf =>
    "wal_level = replica\nmax_wal_senders = 10\nhot_standby = on\nshared_buffers = 512MB\n$quiet");
my $node = $ctms->node;
$node->safe_psql('postgres', q{ALTER SYSTEM SET log_statement = 'none'});
$node->reload;
$ctms->sql("SET ctms.enqueue = off;
    INSERT INTO ctms.emails (email_id, primary_email, first_name) SELECT md5(n::text)::uuid,
        'u' || n || '\@example.com', 'First' FROM generate_series(1, $contacts) AS n;
    INSERT INTO ctms.newsletters (email_id, name, subscribed)
        SELECT md5(n::text)::uuid, (ARRAY['mozilla-and-you', 'hubs'])[k], true
        FROM generate_series(1, $contacts) AS n, generate_series(1, 2) AS k;
    INSERT INTO ctms.waitlists (email_id, name, fields) SELECT md5(n::text)::uuid, 'relay',
        '{\"geo\": \"fr\"}' FROM generate_series(1, $contacts) AS n");
$ctms->sql('VACUUM ANALYZE');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('replica');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);

sub spew
{
    my ($name, $content) = @_;
    open my $out, '>', "$ENV{TESTDIR}/$name" or die $!;
    print {$out} $content;
    close $out;
    return "$ENV{TESTDIR}/$name";
}
my $ids = spew('ids', $ctms->sql('SELECT email_id FROM ctms.emails'));

my %rest = (primary => $ctms, replica => bless({ node => $node, name => 'with_replica',
        process => {}, owner => $$ }, 'CTMS::Test'));
my $replica_url = 'postgresql:///ctms?host=' . $standby->host . '&port=' . $standby->port;
$rest{primary}->start_rest;
$rest{replica}->start_rest(CTMS_DB_READ_URL => $replica_url);
$rest{primary}->login;
$rest{replica}{token} = $rest{primary}{token};
my $request = spew('request',
    "GET /ctms/{line} HTTP/1.1\nHost: localhost\nAuthorization: Bearer $ctms->{token}\n\n");

# Processor time in seconds of processes that run.
sub used
{
    my $ns = 0;
    $ns += (split ' ', slurp("/proc/$_/schedstat") || 0)[0] for @_;
    return $ns / 1e9;
}
sub backends
{
    my ($on) = @_;
    return split /\n/, $on->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity
        WHERE datname = 'ctms' AND application_name <> 'pgbench'});
}
sub children { return split ' ', `pgrep -P $_[0]` }

sub measure
{
    my ($on, $count) = @_;
    my %pids = (rest => [ children($on->pid('rest')) ], primary => [ backends($node) ],
        replica => [ backends($standby) ]);
    my @unknown = grep { !@{ $pids{$_} } } qw(rest primary);
    die "no processor time: there is no process of @unknown\n" if @unknown;
    my $load = "$ENV{CTMS_TEST_BIN}/http-load $on->{rest_port} $count";
    `$load 1 $request $ids`;
    my %used = map { $_ => used(@{ $pids{$_} }) } keys %pids;
    my $out = `$load $seconds $request $ids`;
    my %result = $out =~ /(\w+)=([\d.]+)/g;
    die "http-load: $out" if !$result{rps} || grep { /^\d+$/ && $_ != 200 } keys %result;
    return { rate => $result{rps}, p50 => $result{p50_ms}, map { ("cpu_$_" =>
            1e6 * (used(@{ $pids{$_} }) - $used{$_}) / ($result{rps} * $seconds)) } keys %pids };
}

diag sprintf '%-20s %5s %-8s %8s %6s %8s %27s', 'while', 'conn.', 'reads at', '1/s', 'ratio',
    'p50 ms', 'us of REST, primary, replica';
for my $writers (0, 1)
{
    my $writer;
    if ($writers)
    {
        my $change = q('{"email": {"last_name": "' || :r::text || '"}}');
        my $script = spew('write.sql', "\\set n random(1, $contacts)\n\\set r random(1, 1000000)\n"
            . "SELECT ctms.patch_contact(md5(:n::text)::uuid, $change);\n");
        $writer = IPC::Run::start([ 'pgbench', '-n', '-c', 1, '-R', 100, '-T',
                3600, '-f', $script, $ctms->db_url . '&application_name=writer' ], '<', \'', '>',
            \my $out, '2>', \my $err);
    }
    for my $count (@clients)
    {
        my %best;
        for (1 .. $turns)
        {
            for my $name (qw(primary replica))
            {
                my $result = measure($rest{$name}, $count);
                $best{$name}{rate} = max($result->{rate}, $best{$name}{rate} // 0);
                $best{$name}{$_} = min($result->{$_}, $best{$name}{$_} // 'inf')
                    for grep { $_ ne 'rate' } keys %$result;
            }
        }
        diag sprintf '%-20s %5d %-8s %8.0f %6.2f %8.2f %9.0f %8.0f %8.0f',
            $writers ? '100 writes a second' : 'nobody writes', $count, $_, $best{$_}{rate},
            $best{$_}{rate} / $best{primary}{rate},
            @{ $best{$_} }{qw(p50 cpu_rest cpu_primary cpu_replica)} for qw(primary replica);
    }
    next if !$writer;
    my $sessions = $node->safe_psql('postgres',
        q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer'});
    die "nobody writes any more: pgbench has ended\n" if !$sessions;
    $writer->signal('INT'), $writer->finish;
}
pass('measured');
done_testing();
