# What reads from replicas cost, and what they take off the primary: GET /ctms/{email_id} by a REST
# server that asks the primary only, and by two with CTMS_DB_READ_URL that have one replica and two,
# by turns; while nobody writes, and while somebody does. Run by "make bench-replica". All servers
# of PostgreSQL share this machine, so what replicas take off the primary shows in the processor
# time of each, not in the rate. The replicas are asynchronous.
#
# "of reads" is what the primary still spends on a read, as a part of what it spends on one that it
# answers. "pay" is how many replicas have as much to do with reads as the primary has then: one
# more does not let them answer more, if all machines are alike and the primary does nothing else.
#
# CTMS_BENCH_CLIENTS (1,64), CTMS_BENCH_SECONDS (2) for each measurement, CTMS_BENCH_TURNS (3),
# CTMS_BENCH_WRITES (100) a second. All figures are medians.
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle processor_s ratio setting spew);
use CTMS::BenchContacts qw(%REQUEST fill lines);
use CTMS::BenchLoad qw(http_load processes_of sessions_of);
use CTMS::Replicas;
use IPC::Run;
use Test::More;

my $contacts = 10_000;
my $seconds = setting(SECONDS => 2);
my $turns = setting(TURNS => 3);
my $writes = setting(WRITES => 100);
my @clients = split /,/, setting(CLIENTS => '1,64');
my $bench = CTMS::Bench->new('primary', conf => "shared_buffers = 512MB\n");
my $node = $bench->node;
fill($bench, 'ctms', $contacts);
my @replicas = CTMS::Replicas::start($bench, 2);
$bench->start_rest;
$bench->login;
my %nodes = (primary => [], 'one replica' => [ $replicas[0] ], 'two replicas' => \@replicas);
my @names = sort { @{ $nodes{$a} } <=> @{ $nodes{$b} } } keys %nodes;
my %rest = map {
    $_ => @{ $nodes{$_} } ? $bench->start_beside($_ =~ tr/ /_/r,
        CTMS_DB_READ_URL => CTMS::Replicas::url(@{ $nodes{$_} })) : $bench
} @names;
my $ids = lines($bench, $contacts)->{id};

sub measure
{
    my ($name, $count) = @_;
    my $server = $rest{$name};
    my %load = (request => $REQUEST{get}[0], lines => $ids, clients => $count);
    http_load($server, %load, seconds => 1);
    my %pids = (rest => [ processes_of($server) ], primary => [ sessions_of($server) ],
        replica => [ map { sessions_of($server, $_) } @{ $nodes{$name} } ]);
    my @unknown = grep { !@{ $pids{$_} } } 'rest', 'primary', @{ $nodes{$name} } ? 'replica' : ();
    die "ctms: no processor time: there is no process of @unknown\n" if @unknown;
    my %used = map { $_ => processor_s(@{ $pids{$_} }) } keys %pids;
    my %before = reads_of($server);
    my $result = http_load($server, %load, seconds => $seconds);
    my %after = reads_of($server);
    my $reads = $result->{rate} * $seconds;
    $result->{$_} = 1e6 * (processor_s(@{ $pids{$_} }) - $used{$_}) / $reads for keys %pids;
    $result->{by_replicas} = ($after{answered} - $before{answered}) / $reads;
    $result->{behind} = ($after{behind} - $before{behind}) / $reads;
    return $result;
}

# Sums over the replicas.
sub reads_of
{
    my ($server) = @_;
    my %sum = (answered => 0, behind => 0);
    return %sum if $server == $bench;
    my %reads = CTMS::Replicas::reads($server);
    /^\d+ (\w+)/ and $sum{$1} += $reads{$_} for keys %reads;
    return %sum;
}

sub start_writer
{
    my $change = q('{"email": {"last_name": "' || :r::text || '"}}');
    my $script = spew("$ENV{TESTDIR}/write.sql", "\\set n random(1, $contacts)\n"
        . "\\set r random(1, 1000000)\nSELECT ctms.patch_contact(public.id_of(:n), $change);\n");
    return IPC::Run::start([ 'pgbench', '-n', '-c', 1, '-R', $writes, '-T', 36_000, '-f', $script,
            $bench->db_url . '&application_name=writer' ], '<', \'', '>&', \my $out);
}

diag sprintf '%-20s %5s %-12s %7s %6s %7s %27s %8s %5s %9s %7s', 'while', 'conn.', 'reads at',
    '1/s', 'ratio', 'p50 ms', 'us of REST, primary, replica', 'of reads', 'pay', 'replicas',
    'behind';

sub show
{
    my ($while, $count, $name, $result, $base) = @_;
    my ($rest, $primary, $replica) = map { middle($result, $_) } qw(rest primary replica);
    diag sprintf '%-20s %5d %-12s %7.0f %6.2f %7.2f %9.0f %8.1f %8.0f %8.2f %5.1f %8.0f%% %6.0f%%',
        $while, $count, $name, middle($result, 'rate'), ratio($result, $base, 'rate'),
        middle($result, 'p50'), $rest, $primary, $replica, $primary / middle($base, 'primary'),
        $primary > 0 ? $replica / $primary : 0, map { 100 * middle($result, $_) } qw(by_replicas
        behind);
    return;
}

for my $has_writer (0, 1)
{
    my $writer = $has_writer ? start_writer() : undef;
    for my $count (@clients)
    {
        my @results = by_turns($turns,
            map { my $name = $_; sub { measure($name, $count) } } @names);
        show($has_writer ? "$writes writes a second" : 'nobody writes', $count, $names[$_],
            $results[$_], $results[0]) for 0 .. $#names;
    }
    next if !$writer;
    die "ctms: nobody writes any more: pgbench has ended\n" if !$writer->pumpable;
    $writer->signal('INT'), $writer->finish;
}
pass('measured');
done_testing();
