# A cluster as people run it (scripts/Cluster.pm) under load, while its machines and programs fail:
# nothing that was acknowledged is lost, nobody reads what is older than an acknowledged write, no
# answer is wrong, Acoustic has at most ten requests at a time and in the end what the database has,
# and REST takes writes again as soon as there is a primary.
#
# CTMS_SOAK_SECONDS (a few faults when not set), CTMS_SOAK_SEED (random) and CTMS_SOAK_FAULTS (names
# with commas between, in place of random ones): "make soak-cluster SECONDS=1800 SEED=1". What the
# clients do is in CTMS::ClusterClient, ClusterWriter and ClusterProbe, what fails in
# CTMS::ClusterFaults, what may be in CTMS::ClusterHistory.
use strict;
use warnings;
use Test::More;

BEGIN
{
    unshift @INC, "$ENV{CTMS_TEST_TOP}/scripts";
    require Cluster;
    my $missing = Cluster::missing();
    plan skip_all => "a cluster needs $missing" if $missing;
    Cluster::enter();
}
use CTMS::ClusterFaults;
use CTMS::ClusterLoad;
use CTMS::ClusterTimes;
use CTMS::SandboxRows qw(differences);
use CTMS::Test qw(poll_until slurp);
use Time::HiRes qw(sleep time);

use constant { HEALTHY_S => 120, WRITES_S => 30, EMPTY_S => 180 };
my @SHORT = ('switchover', 'agent dies', 'REST server dies', 'pooler restarts', 'leader dies');

my $seconds = $ENV{CTMS_SOAK_SECONDS} || 0;
my $seed = $ENV{CTMS_SOAK_SEED} || 1 + int rand(1 << 30);
my @named = split /,\s*/, $ENV{CTMS_SOAK_FAULTS} // '';
delete @ENV{ grep { /^CTMS_SOAK_/ } keys %ENV };
srand $seed;
diag "seed $seed";

my $begun = time;
my $folder = "$ENV{TESTDIR}/cluster_soak";
mkdir $folder or die "$folder: $!";
my $cluster = Cluster->new(folder => "$folder/servers", programs => $ENV{CTMS_TEST_BIN},
    bindir => (grep { -x "$_/postgres" } split /:/, $ENV{PATH})[0],
    examples => "$ENV{CTMS_TEST_TOP}/examples/cluster", note => sub { note @_ },
    agent_env => { CTMS_ACOUSTIC_TIMEOUT_S => 2, CTMS_ACOUSTIC_LEASE_S => 10,
        CTMS_ACOUSTIC_LOOP_MIN_SECS => 1 });
$cluster->start;
note sprintf 'up after %.1f s', time - $begun;

my $load = CTMS::ClusterLoad->new($cluster, $folder, $seed);
my $faults = CTMS::ClusterFaults->new($cluster);
$load->start;
my $loaded = time;
poll_until(sub { $load->has_written_since($loaded + 1) }, 'there is load');

# ---- faults --------------------------------------------------------------------------------------

my (@done, @unhealthy);
my $processors = () = slurp('/proc/cpuinfo') =~ /^processor\b/mg;
sub load_of_processor { return (split / /, slurp('/proc/loadavg'))[0] / ($processors || 1) }

sub fail_once
{
    my ($kind) = @_;
    my %fault = (kind => $kind, begin => time);
    $fault{victim} = '?';
    eval { $fault{victim} = $faults->run($kind); $cluster->wait_healthy(HEALTHY_S); 1 }
        or push @unhealthy, "$kind of $fault{victim}: $@";
    # The programs have their turn, too.
    my $healthy = time;
    eval { poll_until(sub { $load->has_written_since($healthy) }, 'somebody writes', WRITES_S) }
        or push @unhealthy, "$kind of $fault{victim}: nobody writes";
    @fault{qw(end load)} = (time, load_of_processor());
    push @done, \%fault;
    my $line = sprintf '%.0f s: %s of %s at %.3f, healthy after %.1f s', $fault{end} - $loaded,
        $kind, @fault{qw(victim begin)}, $healthy - $fault{begin};
    $seconds ? diag($line) : note($line);
    return !@unhealthy;
}

my @deck = @named ? @named : @SHORT;
while (@deck || $seconds)
{
    @deck = @named ? @named : $faults->deck if !@deck;
    last if !fail_once(shift @deck);
    last if $seconds && time > $loaded + $seconds;
    sleep($seconds ? 2 + rand 3 : 0.5);
}
is_deeply(\@unhealthy, [], 'the cluster is healthy after each fault');
my $history = $load->stop;

# ---- what the clients say ------------------------------------------------------------------------

my $answers = $history->answers;
diag join "\n", map { my $kind = $_; "$kind: " . join ', ',
    map { "$_: $answers->{$kind}{$_}" } sort keys %{ $answers->{$kind} } } sort keys %$answers;
my @violations = $history->violations($load->stored);
is(join("\n", @violations), '', 'nothing is lost, older or wrong');
cmp_ok(scalar @{ $history->times_of_programs }, '>', 300, 'there was load all the time');

my $times = CTMS::ClusterTimes->new($history);
$times->add($_) for @done;
diag $times->table;
my @slow = $times->slow(2);
if ($seconds) { is(join("\n", @slow), '', 'REST writes within two seconds of the primary') }
else { note $_ for @slow }

# ---- Acoustic ------------------------------------------------------------------------------------

poll_until(sub {
        $load->sql('SELECT ctms.reset_acoustic_retries()');
        return $load->sql('SELECT count(*) FROM ctms.pending_acoustic') eq '0';
    }, 'the queue is empty', EMPTY_S);
is(join("\n", differences($load)), '', 'Acoustic has what the database has');
my $most = $load->sandbox(GET => '/_sandbox/stats?sent=0')->{max_in_flight_seen};
cmp_ok($most, '<=', 10, 'never more requests at a time than Acoustic takes');
cmp_ok($most, '>', 5, 'and many');

$cluster->stop;
undef $cluster;
done_testing();
