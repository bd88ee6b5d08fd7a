# What calls by REST take of the processors, and how many a second a number of processors carries.
# Run by "make bench-cores".
#
# PostgreSQL and the REST server are bound to the first processors, CTMS_BENCH_CORES (1,2,4… up to
# all) of them by turns; the load generator to the others, if there are any. "Alone" is what the
# processors would carry if they did nothing else: their number by the processor time of a call.
# "Replay" is what the one process of a replica that replays WAL takes for a call, on the disk
# "replica".
#
# CTMS_BENCH_CALLS (get,find,patch,create,stripe), CTMS_BENCH_CLIENTS (64), CTMS_BENCH_CONTACTS
# (100000), CTMS_BENCH_PROCESSES (1 for three processors), CTMS_BENCH_SECONDS (2) for each
# measurement, after one that does not count, CTMS_BENCH_TURNS (3), on each of CTMS_BENCH_DISKS (see
# CTMS::Bench). All figures are medians.
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle processor_s ratio setting);
use CTMS::BenchContacts qw(%REQUEST fill lines);
use CTMS::BenchLoad qw(http_load processes_of);
use CTMS::Test qw(slurp);
use Test::More;

my @processors = slurp('/proc/cpuinfo') =~ /^processor\s*:\s*(\d+)/mg;
my @cores = split /,/,
    setting(CORES => join ',', grep { $_ <= @processors } map { 2**$_ } 0 .. 10);
my @calls = split /,/, setting(CALLS => 'get,find,patch,create,stripe');
my $clients = setting(CLIENTS => 64);
my $contacts = setting(CONTACTS => 100_000);
my $seconds = setting(SECONDS => 2);
my $turns = setting(TURNS => 3);
my $processes = setting(PROCESSES => int((@processors + 2) / 3));
my @unknown = grep { !/^(?:get|find|patch|create|stripe)$/ } @calls;
die "ctms: no such call: @unknown\n" if @unknown;
my @bad = grep { !/^[1-9]\d*$/ || $_ > @processors } @cores;
die "ctms: no such number of processors: @bad\n" if @bad;
die "ctms: nothing to measure\n" if !@cores || !@calls;

my $bench = CTMS::Bench->new('bench_cores', conf => "shared_buffers = 2GB\n");
fill($bench, 'ctms', $contacts);
$bench->start_rest(CTMS_PROCESSES => $processes);
$bench->login;
my $lines = lines($bench, $contacts);
my ($postmaster) = split /\n/, slurp($bench->node->data_dir . '/postmaster.pid');

# ---- who works where -----------------------------------------------------------------------------

sub database_pids { return ($postmaster, split ' ', `pgrep -P $postmaster`) }

# The process that replays, if there is a replica.
sub replaying_pids
{
    my $standby = $bench->{standby} or return;
    my ($parent) = split /\n/, slurp($standby->data_dir . '/postmaster.pid');
    my @pids = split ' ', `pgrep -P $parent -f startup`;
    die "ctms: no process replays\n" if @pids != 1;
    return @pids;
}

# What they start later is bound as they are.
sub bind_to
{
    my ($where, @pids) = @_;
    my $list = join ',', @$where;
    for my $pid (@pids)
    {
        my $said = `taskset -a -p -c $list $pid 2>&1`;
        die "ctms: could not bind to processors: $said" if $? && -e "/proc/$pid";
    }
    return;
}

sub use_cores
{
    my ($count) = @_;
    my @server = @processors[ 0 .. $count - 1 ];
    my @load = $count < @processors ? @processors[ $count .. $#processors ] : @processors;
    bind_to(\@server, database_pids(), $bench->pid('rest'), processes_of($bench));
    bind_to(\@load, $$);
    return;
}

# ---- measuring -----------------------------------------------------------------------------------

sub times_of { return map { $_ => processor_s($_) } @_ }
sub used_s
{
    my ($before, @pids) = @_;
    my %now = times_of(@pids);
    my $used = 0;
    $used += $now{$_} - ($before->{$_} // 0) for @pids;
    return $used;
}
# Of programs that have been started here and have ended.
sub ended_here_s { my (undef, undef, $user, $system) = times; return $user + $system }

sub measure
{
    my ($count, $call) = @_;
    my ($request, $kind) = @{ $REQUEST{$call} };
    my %load = (request => $request, lines => $lines->{$kind}, clients => $clients);
    use_cores($count);
    http_load($bench, %load, seconds => 1);
    my %database = times_of(database_pids());
    my %rest = times_of(processes_of($bench));
    my %replay = times_of(replaying_pids());
    my $ended = ended_here_s();
    my $result = http_load($bench, %load, seconds => $seconds);
    my %used = (load => ended_here_s() - $ended, database => used_s(\%database, database_pids()),
        rest => used_s(\%rest, processes_of($bench)),
        replay => used_s(\%replay, replaying_pids()));
    my $made = $result->{rate} * $seconds;
    $result->{$_} = 1e6 * $used{$_} / $made for keys %used;
    my $call_us = $result->{database} + $result->{rest};
    die "ctms: no processor time\n" if $used{database} <= 0 || $used{rest} <= 0;
    $result->{alone} = $count * 1e6 / $call_us;
    # All that is bound to these processors, the load generator too if there are no others.
    my $bound_us = $call_us + ($count < @processors ? 0 : $result->{load});
    $result->{busy} = 100 * $result->{rate} * $bound_us / 1e6 / $count;
    return $result;
}

my @figures = qw(rate p50 p99 database rest load replay busy alone);
diag sprintf '%-8s %-8s %6s' . ' %9s' x 10, qw(disk call cores), '1/s', 'p50 ms', 'p99 ms', 'DB us',
    'REST us', 'load us', 'replay us', 'busy %', 'alone 1/s', 'ratio';
for my $disk ($bench->disks)
{
    $bench->use_disk($disk);
    for my $call (@calls)
    {
        my @results = by_turns($turns,
            map { my $count = $_; sub { measure($count, $call) } } @cores);
        for my $i (0 .. $#cores)
        {
            my $result = $results[$i];
            diag sprintf '%-8s %-8s %6d %9.0f %9.2f %9.2f' . ' %9.0f' x 6 . ' %9.2f', $disk, $call,
                $cores[$i], (map { middle($result, $_) } @figures),
                ratio($result, $results[0], 'alone');
        }
    }
}
pass('measured');
done_testing();
