# What reads from a replica cost: GET /ctms/{email_id} by a REST server that asks the primary
# only, and by one with CTMS_DB_READ_URL, by turns; while nobody writes, and while somebody does.
# Run by "make bench-replica". The two servers of PostgreSQL share this machine, so what a replica
# takes off the primary shows in the processor time of each, not in the rate. The replica is
# asynchronous.
#
# CTMS_BENCH_CLIENTS (1,64), CTMS_BENCH_SECONDS (2) for each measurement, CTMS_BENCH_TURNS (3). All
# figures are medians.
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle processor_s ratio setting spew);
use CTMS::BenchContacts qw(%REQUEST fill lines);
use CTMS::BenchLoad qw(http_load processes_of sessions_of);
use IPC::Run;
use Test::More;

my $contacts = 10_000;
my $seconds = setting(SECONDS => 2);
my $turns = setting(TURNS => 3);
my @clients = split /,/, setting(CLIENTS => '1,64');
my $bench = CTMS::Bench->new('primary', conf => "shared_buffers = 512MB\n");
my $node = $bench->node;
fill($bench, 'ctms', $contacts);
my $standby = $bench->start_standby;
$bench->start_rest;
$bench->login;
my %rest = (primary => $bench, replica => $bench->start_beside('with_replica',
        CTMS_DB_READ_URL => 'postgresql:///ctms?host=' . $standby->host . '&port='
            . $standby->port));
my $ids = lines($bench, $contacts)->{id};

sub measure
{
    my ($server, $count) = @_;
    my %load = (request => $REQUEST{get}[0], lines => $ids, clients => $count);
    http_load($server, %load, seconds => 1);
    my %pids = (rest => [ processes_of($server) ], primary => [ sessions_of($server) ],
        replica => [ sessions_of($server, $standby) ]);
    my @unknown = grep { !@{ $pids{$_} } } 'rest', 'primary', $server == $bench ? () : 'replica';
    die "ctms: no processor time: there is no process of @unknown\n" if @unknown;
    my %used = map { $_ => processor_s(@{ $pids{$_} }) } keys %pids;
    my $result = http_load($server, %load, seconds => $seconds);
    $result->{$_} = 1e6 * (processor_s(@{ $pids{$_} }) - $used{$_}) / ($result->{rate} * $seconds)
        for keys %pids;
    return $result;
}

sub figures { my ($result) = @_; return map { middle($result, $_) } qw(p50 rest primary replica) }

sub start_writer
{
    my $change = q('{"email": {"last_name": "' || :r::text || '"}}');
    my $script = spew("$ENV{TESTDIR}/write.sql", "\\set n random(1, $contacts)\n"
        . "\\set r random(1, 1000000)\nSELECT ctms.patch_contact(public.id_of(:n), $change);\n");
    return IPC::Run::start([ 'pgbench', '-n', '-c', 1, '-R', 100, '-T', 36_000, '-f', $script,
            $bench->db_url . '&application_name=writer' ], '<', \'', '>&', \my $out);
}

diag sprintf '%-20s %5s %-8s %8s %6s %8s %27s', 'while', 'conn.', 'reads at', '1/s', 'ratio',
    'p50 ms', 'us of REST, primary, replica';
for my $has_writer (0, 1)
{
    my $writer = $has_writer ? start_writer() : undef;
    for my $count (@clients)
    {
        my ($primary, $replica) = by_turns($turns,
            map { my $server = $_; sub { measure($server, $count) } } @rest{qw(primary replica)});
        my %result = (primary => $primary, replica => $replica);
        diag sprintf '%-20s %5d %-8s %8.0f %6.2f %8.2f %9.0f %8.0f %8.0f',
            $has_writer ? '100 writes a second' : 'nobody writes', $count, $_,
            middle($result{$_}, 'rate'), ratio($result{$_}, $primary, 'rate'),
            figures($result{$_}) for qw(primary replica);
    }
    next if !$writer;
    die "ctms: nobody writes any more: pgbench has ended\n" if !$writer->pumpable;
    $writer->signal('INT'), $writer->finish;
}
pass('measured');
done_testing();
