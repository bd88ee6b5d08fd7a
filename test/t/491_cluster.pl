# scripts/cluster: comes up, what it prints works when pasted, commands from another terminal, a
# switchover; SIGINT leaves no process. With CTMS_TEST_LONG, SIGKILL too, and a leader that dies in
# a cluster at addresses of the loopback interface.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl", "$ENV{CTMS_TEST_TOP}/scripts";
use CTMS::Test qw(poll_until slurp);
use Cluster;
use POSIX ();
use Test::More;

my $missing = Cluster::missing();
plan skip_all => "not installed: $missing" if $missing ne '';

my $cluster = "$ENV{CTMS_TEST_TOP}/scripts/cluster";
my ($pid, $run, $log);

sub start
{
    my ($name, %env) = @_;
    ($run, $log) = ("$ENV{TESTDIR}/$name", "$PostgreSQL::Test::Utils::log_path/$name.log");
    $ENV{CLUSTER_DIR} = $run;
    unlink $log;
    $pid = fork // die "fork: $!";
    if (!$pid)
    {
        %ENV = (%ENV, %env);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        { exec $cluster, 'up' };
        POSIX::_exit(127);
    }
    poll_until(sub {
        die "scripts/cluster ended:\n" . slurp($log) if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return -e $log && slurp($log) =~ /^ctms: ready/m;
    }, 'the cluster is ready', 180);
    return;
}

sub stop
{
    my ($signal) = @_;
    kill $signal, $pid;
    waitpid $pid, 0;
    my $status = $?;
    $pid = undef;
    poll_until(sub { return !processes() }, "$signal: no process is left", 60);
    return $status;
}

# What ends if this test fails in between.
END { local $?; if ($pid) { kill 'KILL', $pid; waitpid $pid, 0 } }

# Those whose command line has the folder, this test's own apart.
sub processes
{
    return grep { slurp("/proc/$_/cmdline") =~ m{\Q$run\E/} } 
        map { m{/proc/(\d+)} } glob '/proc/[0-9]*';
}

# A command from another terminal: (status, what it prints).
sub command
{
    my (@words) = @_;
    my ($out, $err) = ('', '');
    IPC::Run::run([ $cluster, @words ], \'', \$out, \$err, IPC::Run::timeout(120));
    return ($? >> 8, "$out$err");
}

sub check_up
{
    my ($status, $said) = command('status');
    is($status, 0, 'healthy') or diag $said;
    like($said, qr/^db\d +leader .*\bpostgres$/m, 'a leader');
    is(scalar(() = $said =~ /^db\d +(?:replica|sync_standby) .* etcd patroni postgres$/mg), 2,
        'two replicas');
    unlike($said, qr/down/, 'everything runs');
    my ($leader) = $said =~ /^(db\d) +leader/m;
    return $leader;
}

# Runs a printed block as a user would paste it.
sub paste
{
    my ($title) = @_;
    my ($login) = slurp($log) =~ /^(# Log in.*?)\n\n/ms;
    my ($block) = slurp($log) =~ /^(# \Q$title\E.*?)\n\n/ms;
    open my $handle, '>', "$run/pasted" or die $!;
    print $handle "$login\n$block\n";
    close $handle;
    local %ENV = %ENV;
    delete @ENV{ grep { /^(?:CTMS|PG)/ } keys %ENV };
    return scalar qx(sh '$run/pasted' 2>&1);
}

# ---- in namespaces, or where there are none at the loopback interface ---------------------

is((command('status'))[0], 1, 'without a cluster there is no status');
start('cluster');
my $leader = check_up();
like(paste('Store a contact'), qr/"primary_email": ?"first\@example.com"/, 'REST answers');
like(paste('See what'), qr/"is_recipient": true/, 'Acoustic has got it');
like(paste('Who is who'), qr/Sync Standby.*\n mozilla-and-you\n/s, 'patronictl and psql answer');
my ($status, $said) = command('up');
isnt($status, 0, 'a second one is refused');
like($said, qr/runs already/, 'and says so');

($status, $said) = command('switchover');
is($status, 0, 'switchover') or diag $said;
like($said, qr/^ctms: db\d is the leader$/m, 'says who is the leader');
unlike($said, qr/^ctms: $leader is/m, 'another one than before');
poll_until(sub { return (command('status'))[0] == 0 }, 'healthy after the switch', 60);
like(paste('Store a contact'), qr/"primary_email": ?"first\@example.com"/, 'REST answers again');

($status, $said) = command('exec', 'db2', 'psql', '-XAtc', 'SELECT current_user');
is($said, "postgres\n", 'exec on a machine');
($status, $said) = command('partition', 'db9');
is($status, 1, 'an unknown machine');
like($said, qr/there is no "db9"/, 'and says so');
is((command('backup', 'sometimes'))[0], 1, 'an unknown type of backup');
is((command('nonsense'))[0], 2, 'an unknown command');
is((command('--help'))[0], 0, '--help');

my @secret = map { / (\S+)/ } split /\n/, slurp("$run/passwords");
my $arguments = join "\n", map { slurp("/proc/$_/cmdline") } processes();
cmp_ok(scalar @secret, '>', 8, 'there are passwords');
is(scalar(grep { index($arguments, $_) >= 0 } @secret), 0, 'none of them in a command line');
is(sprintf('%o', (stat "$run/passwords")[2] & 0777), '600', 'they are private');
is(sprintf('%o', (stat "$run/db1/patroni.yml")[2] & 0777), '600', 'files with them are private');

is(stop('INT'), 0, 'SIGINT ends it well') or diag slurp($log);
like(slurp($log), qr/^ctms: stopped; the data stays in /m, 'and says so');

if (!$ENV{CTMS_TEST_LONG})
{
    done_testing();
    exit;
}

# ---- killed, and at the loopback interface ---------------------------------------------------

start('cluster');
check_up();
like(paste('Store a contact'), qr/"primary_email": ?"first\@example.com"/, 'the data is there');
is(stop('KILL'), 9, 'killed');
RunFolder::write_file("$run/stopped", join "\n", qw(agent1 agent2 rest1 rest2));
start('cluster');
like((command('status'))[1], qr/down/, 'what a restore has stopped stays stopped');
is((command('start'))[0], 0, 'until somebody starts it');
poll_until(sub { return (command('status'))[1] !~ /down/ }, 'everything runs', 60);
is(stop('INT'), 0, 'SIGINT ends it well') or diag slurp($log);
start('plain', CTMS_CLUSTER_NAMESPACES => 'off');
$leader = check_up();
($status, $said) = command('partition', $leader);
is($status, 1, 'no machine can be cut off here');
like($said, qr/network of its own/, 'and says why');
is((command('kill-leader'))[0], 0, 'but it can die');
poll_until(sub { return (command('status'))[1] =~ /^(db\d) +leader +running/m && $1 ne $leader },
    'another leader', 60);
is(stop('INT'), 0, 'SIGINT ends it well') or diag slurp($log);

done_testing();
