# make run: comes up, what it prints works when pasted, stops without a trace, keeps data.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(poll_until slurp);
use HTTP::Tiny;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Cluster;
use Test::More;

plan skip_all => 'the REST server and the agent are not built'
    unless -x "$ENV{CTMS_TEST_BIN}/ctms-rest" && -x "$ENV{CTMS_TEST_BIN}/ctms-agent";

my $run = "$ENV{TESTDIR}/run";
my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(REST SANDBOX METRICS);
my ($pid, $log);
my $runs = 0;

sub start_run
{
    my (%env) = @_;
    $log = "$PostgreSQL::Test::Utils::log_path/run_" . ++$runs . '.log';
    $pid = fork // die "fork: $!";
    if (!$pid)
    {
        %ENV = (%ENV, RUN_DIR => $run, REST_PORT => $port{REST},
            SANDBOX_PORT => $port{SANDBOX}, METRICS_PORT => $port{METRICS}, %env);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        { exec "$ENV{CTMS_TEST_TOP}/scripts/run" };
        POSIX::_exit(127);
    }
    poll_until(sub {
        die "scripts/run ended:\n" . slurp($log) if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return slurp($log) =~ /^ctms: ready/m;
    }, 'scripts/run is ready', 120);
    return slurp($log) =~ /^Try it from another terminal:\n(.*)^ctms: ready/ms;
}

sub stop_run
{
    my ($signal) = @_;
    kill $signal, $pid;
    waitpid $pid, 0;
    my $status = $?;
    $pid = undef;
    is($status, 0, "$signal: ends well") or diag slurp($log);
    my $programs = qr/stopping agent\n.*stopping rest\n.*stopping sandbox\n/s;
    like(slurp($log), qr/$programs.*stopping PostgreSQL\n.*stopped; the data stays/s,
        "$signal: in order");
    is(join(' ', processes($run)), '', "$signal: no process is left");
    ok(!IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port{$_}", Timeout => 1),
        "$signal: $_ is gone") for sort keys %port;
    return;
}

# Ends what a failing test leaves.
END { local $?; if ($pid) { kill 'TERM', $pid; waitpid $pid, 0 } }

# Pids of the processes whose command line matches.
sub processes
{
    my ($pattern) = @_;
    open my $handle, '-|', 'pgrep', '-f', '--', $pattern or die "pgrep: $!";
    my @pids = <$handle>;
    chomp @pids;
    return @pids;
}

# Runs lines as a user would paste them.
sub paste
{
    my ($lines) = @_;
    local %ENV = %ENV;
    delete @ENV{ grep { /^(?:CTMS|PG)/ } keys %ENV };
    my $file = "$ENV{TESTDIR}/pasted";
    open my $handle, '>', $file or die $!;
    print $handle $lines;
    close $handle;
    return scalar `sh '$file' 2>&1`;
}

# ---- the first run --------------------------------------------------------------

my ($hints) = start_run();
my %block;
for my $block (split /\n\n+/, $hints)
{
    $block{$1} = $block if $block =~ /^# (.*)/m;
}
my ($login) = grep { /^# Log in/m } values %block;
ok($login, 'prints how to log in');
my $id = 'f1f1f1f1-f1f1-4f1f-8f1f-f1f1f1f1f1f1';
my $pasted = sub {
    my ($title) = @_;
    my ($key) = grep { /^\Q$title/ } keys %block;
    return paste("$login\n$block{$key}\n");
};

like($pasted->('Store a contact'), qr/\A\{.*"email_id": ?"$id"/s, 'the printed POST works');
like($pasted->('Read it'), qr/\A\[\{.*"primary_email": ?"first\@example.com".*travel-guide/s,
    'the printed GET works');
my $arrived = poll_until(sub {
    my $answer = $pasted->('See what Acoustic');
    return $answer if $answer =~ /prod_vpn/;
}, 'the contact is in the sandbox');
like($arrived, qr/first\@example\.com/, 'in the sandbox: the recipient');
like($arrived, qr/mozilla-and-you/, 'in the sandbox: its newsletter');
like($arrived, qr/travel-guide/, 'in the sandbox: its waitlist');
like($arrived, qr/prod_vpn/, 'in the sandbox: its product');

my $sql = $pasted->('Look at it by SQL');
like($sql, qr/travel-guide/, 'the printed SELECT works');
like($sql, qr/UPDATE 1/, 'the printed UPDATE works');
poll_until(sub { return $pasted->('See what Acoustic') =~ /"first_name": "First"/ },
    'the change is in the sandbox');
my $onboarded = $pasted->('Onboard');
unlike($onboarded, qr/ctms: /, 'the printed ctms lines work') or diag $onboarded;
like($onboarded, qr/^waiting +\d+$/m, 'the queue is shown');
like($pasted->('Is all well'), qr/^ok: \d+, warnings: \d+, errors: 0, /m,
    'nothing is wrong');
like(slurp($log), qr/^ctms: loading the example$/m, 'the example was loaded');
like($pasted->('Read it') . slurp($log), qr/^rest +\| .*GET/m, 'the log is followed');

my @metrics = slurp($log) =~ m{(http://127\.0\.0\.1:\d+/metrics)}g;
is(scalar @metrics, 2, 'where metrics are is printed');
my $said = join '', map { HTTP::Tiny->new->get($_)->{content} } @metrics;
like($said, qr/^ctms_requests_total\{.*^ctms_background_acoustic_sync_total\{/ms,
    'they are there, of the REST server and of the agent');

my $mode = sprintf '%o', (stat "$run/netrc")[2] & 0777;
is($mode, '600', 'the credentials are private');
my $netrc = slurp("$run/netrc");
unlike(slurp($log), qr/secret_/, 'no secret in the output');

# A second one in the same folder is refused.
my $second = `RUN_DIR='$run' '$ENV{CTMS_TEST_TOP}/scripts/run' 2>&1 </dev/null`;
like($second, qr/^ctms: ctms runs already in /, 'a second one is refused');

# What ends is started again.
kill 'KILL', processes("ctms-agent --config $run");
poll_until(sub { return slurp($log) =~ /agent ended by signal 9; starting it again/ },
    'the agent is missed');
poll_until(sub { return scalar processes("ctms-agent --config $run") }, 'the agent is back');
stop_run('INT');

# ---- the second run ---------------------------------------------------------------

my $squatter = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:$port{REST}",
    ReuseAddr => 1) or die "listen: $!";
my ($again) = start_run();
isnt($again, $hints, 'another port was printed');
like(slurp($log), qr/port $port{REST} is taken: the REST server uses \d+/,
    'a taken port is reported');
close $squatter;
%block = map { /^# (.*)/m ? ($1 => $_) : () } split /\n\n+/, $again;
($login) = grep { /^# Log in/m } values %block;
like($pasted->('Read it'), qr/first\@example.com/, 'the contact is still there');
like($pasted->('See what Acoustic'), qr/prod_vpn/, 'the sandbox has kept it');
unlike(slurp($log), qr/loading the example/, 'the example is not loaded again');
is(slurp("$run/netrc"), $netrc, 'the client is the same');
stop_run('TERM');
done_testing();
