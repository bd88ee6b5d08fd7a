# Waves by file in the agent: when it begins and goes on with runs, the process that it starts for
# them, metrics, log lines, and how that process ends. What a run does is in 344_acoustic_bulk.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use POSIX ();
use Test::More;

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();

my $ctms = CTMS::Test->new('agent_bulk', settings => { acoustic_retry_delay => '50ms' });
my $root = "$ENV{TESTDIR}/agent_bulk_acoustic";
my $spool = "$ENV{TESTDIR}/agent_bulk_spool";
mkdir $_, 0700 or die "$_: $!" for $root, $spool;
my $sftp = CTMS::Sftp->new(root => $root);
my %sftp = $sftp->settings;
# Slow, so that a wave waits for long enough.
$ctms->start_sandbox(SFTP_ROOT => $root, LATENCY_MS => 500);
my $port = PostgreSQL::Test::Cluster::get_free_port();
my %own = (CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 1,
    CTMS_ACOUSTIC_LEASE_S => 4, CTMS_ACOUSTIC_MAX_IN_FLIGHT => 2, CTMS_ACOUSTIC_BULK_POLL_S => 0.2,
    CTMS_ACOUSTIC_BULK_DIRECTORY => $spool, CTMS_AGENT_METRICS_PORT => $port);
my %begins = (%own, %sftp, CTMS_ACOUSTIC_BULK_FROM => 50);

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub metric
{
    my ($name, $label) = @_;
    my $text = $ctms->request(GET => "http://127.0.0.1:$port/metrics")->{content};
    my $labels = quotemeta($label // '');
    my ($value) = $text =~ /^ctms_background_acoustic_bulk_\Q$name\E\{[^}]*$labels[^}]*\} (\S+)$/m;
    return $value;
}
sub lines
{
    return grep { $_->{Type} eq 'ctms.bin.acoustic_bulk' } map { eval { decode_json($_) } // () }
        split /\n/, $ctms->log_of('agent');
}
sub said { my ($what) = @_; return grep { $_->{Fields}{msg} =~ $what } lines() }
sub start { $ctms->start_agent(@_); return $ctms->wait_for_port('agent', $port) }
sub stop { return $ctms->stop_program('agent') }
sub children
{
    my $pid = $ctms->pid('agent');
    return split ' ', slurp("/proc/$pid/task/$pid/children");
}
sub is_gone { my ($pid) = @_; return !-e "/proc/$pid" || slurp("/proc/$pid/stat") =~ /\) Z/ }
sub runs
{
    return $ctms->sql("SELECT count(*) FROM ctms.acoustic_bulk_run WHERE state = '$_[0]'");
}
sub wait_for_runs
{
    my ($state, $n) = @_;
    return poll_until(sub { runs($state) >= $n }, "$n runs are $state", 60);
}
sub is_running { return $ctms->sql('SELECT is_running FROM ctms.acoustic_bulk_status()') eq 't' }
sub enqueue
{
    return $ctms->sql("SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails
        LIMIT $_[0]))");
}
sub wave { return enqueue(200) }
sub wait_until_sent
{
    return poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
        'all is sent', 60);
}
sub clear { $ctms->sql('DELETE FROM ctms.pending_acoustic'); return }

# Starts an agent that must end by itself; returns its status and what it said.
sub ends_with
{
    my $pid = $ctms->start_agent(@_);
    waitpid $pid, 0;
    my ($status, $said) = ($? >> 8, $ctms->log_of('agent'));
    unlink delete($ctms->{process}{agent})->{log};
    return "$status $said";
}

$ctms->sql(q{INSERT INTO ctms.emails (primary_email) SELECT 'wave' || n || '@example.com'
    FROM generate_series(1, 200) AS n});
clear();

# ---- settings ------------------------------------------------------------------------------------

like(ends_with(%own, CTMS_ACOUSTIC_BULK_FROM => 50),
    qr/^2 ctms-agent: CTMS_ACOUSTIC_SFTP_\w+ must be set/, 'a threshold without an account');
my %less = %begins;
delete @less{qw(CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE CTMS_ACOUSTIC_BULK_FROM)};
like(ends_with(%less),
    qr/^2 ctms-agent: CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE must be set/,
    'an account without known hosts');

# ---- when nothing begins -------------------------------------------------------------------------

sub all_runs { return $ctms->sql('SELECT count(*) FROM ctms.acoustic_bulk_run') }

# So that looks at the runs have been made meanwhile: one each loop interval, as cycles end.
sub wait_for_loops
{
    my $cycles = sub { scalar(() = $ctms->log_of('agent') =~ /cycle complete/g) };
    my $ended = $cycles->();
    return poll_until(sub { $cycles->() >= $ended + 6 }, 'it has looked');
}
for my $flag (qw(SYNC INTEGRATION))
{
    wave();
    start(%begins, "CTMS_ACOUSTIC_${flag}_FEATURE_FLAG" => 'false');
    wait_for_loops();
    stop();
    is(all_runs(), 0, "no run without the flag $flag");
}
wave();
start(%own, %sftp);
wait_for_loops();
is(all_runs(), 0, 'nor without a threshold');
stop();
clear();
start(%begins);
enqueue(40);
wait_for_loops();
is(all_runs(), 0, 'nor below it');
is(metric('runs_total', 'outcome="done"'), 0, 'metrics are there before');
is(metric('stage', 'state="importing"'), 0, '... of stages too');

# ---- a wave --------------------------------------------------------------------------------------

settings(job_wait_ms => 600);
wave();
poll_until(sub { (metric('stage', 'state="importing"') // 0) == 1 }, 'a run imports', 60);
is(metric('running'), 1, 'somebody works on it');
cmp_ok(metric('contacts'), '>', 50, '... with its contacts');
wait_for_runs('done', 1);
poll_until(sub { metric('runs_total', 'outcome="done"') == 1 }, 'the run is counted');
my $sent = $ctms->sql('SELECT sent FROM ctms.acoustic_bulk_run');
is(metric('contacts_total', 'outcome="sent"'), $sent, '... and its contacts');
cmp_ok(metric('bytes_total'), '>', 5000, '... and its bytes');
poll_until(sub { metric('running') == 0 && metric('stage', 'state="importing"') == 0
    && metric('contacts') == 0 && metric('age_seconds') == 0 }, 'no run is open');
is(metric('last_failed') . metric('files_left'), '00', 'all went well');
ok(said(qr/^more than 50 contacts wait in bulk: sends them by file$/), 'the log says why it began');
ok(said(qr/^run \d+: claimed \d+ contacts/), '... and each stage');
is(join(' ', grep { $_->{Pid} != $ctms->pid('agent') } lines()), '', 'all lines are the agent\'s');
poll_until(sub { !children() }, 'its process has ended');
wait_until_sent();

# ---- the process dies, and the agent -------------------------------------------------------------

settings(job_wait_ms => 30000);
wave();
poll_until(sub { metric('stage', 'state="importing"') }, 'a run imports', 60);
my ($child) = children();
kill KILL => $child;
poll_until(sub { said(qr/has ended: signal 9$/) }, 'the end of the process is logged');
poll_until(sub { children() && is_running() }, 'another one goes on with the run', 60);
ok(said(qr/^goes on with a run that nobody works on$/), '... and the log says so');
($child) = children();
kill KILL => $ctms->pid('agent');
waitpid $ctms->pid('agent'), 0;
delete $ctms->{process}{agent};
poll_until(sub { is_gone($child) }, 'the process ends with its agent');

# ---- stopping ------------------------------------------------------------------------------------

start(%own, %sftp);
poll_until(sub { children() && is_running() }, 'an agent without a threshold goes on', 60);
($child) = children();
is(stop() >> 8, 0, 'it stops');
ok(is_gone($child), '... with its process');
ok(!is_running(), '... which has given up its lease');
is($ctms->sql('SELECT state FROM ctms.acoustic_bulk_run ORDER BY run_id DESC LIMIT 1'),
    'importing', '... and the run stays as it is');

# A process that does not stop is killed in time.
start(%own, %sftp);
poll_until(sub { children() && is_running() }, 'the next one goes on', 60);
($child) = children();
kill STOP => $child;
is(stop() >> 8, 0, 'the agent stops all the same');
ok(is_gone($child), '... and kills it');

# ---- settings are read again ---------------------------------------------------------------------

my $file = "$ENV{TESTDIR}/agent_bulk.env";
sub write_settings
{
    my %all = (%{ $ctms->agent_env(%begins) }, @_);
    open my $handle, '>', $file or die "$file: $!";
    print $handle map { "$_=$all{$_}\n" } sort keys %all;
    close $handle or die "$file: $!";
    return;
}
write_settings();
$ctms->start_program('agent', 'ctms-agent', {}, '--config', $file);
$ctms->wait_for_port('agent', $port);
poll_until(sub { children() && is_running() }, 'the next one goes on', 60);
write_settings(map { ("CTMS_ACOUSTIC_${_}_FEATURE_FLAG" => 'false') } qw(INTEGRATION SYNC));
kill HUP => $ctms->pid('agent');
poll_until(sub { !children() }, 'with the flags off it stops');
wait_for_loops();
is(scalar(children()) // 0, 0, '... and does not go on');
settings(job_wait_ms => 0);
write_settings();
kill HUP => $ctms->pid('agent');
wait_for_runs('done', 2);
ok(1, 'with them on again it does');
wait_until_sent();

# ---- a run that fails ----------------------------------------------------------------------------

settings(faults => [
    { operation => 'job', answer => 'job', job_status => 'ERROR', count => 1 } ]);
wave();
wait_for_runs('failed', 1);
poll_until(sub { metric('runs_total', 'outcome="failed"') == 1 && metric('last_failed') == 1 },
    'a run that was given up is counted');
ok(said(qr/given up/), '... and logged');
cmp_ok(metric('contacts_total', 'outcome="returned"'), '>', 50, '... with its contacts');
wait_for_runs('done', 3);
poll_until(sub { metric('last_failed') == 0 }, 'the next run is done');
stop();
is(join(' ', map { glob "$_/*" } "$root/upload", "$root/download", $spool), '', 'no file is left');
done_testing();
