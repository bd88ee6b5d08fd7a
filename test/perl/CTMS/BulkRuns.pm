package CTMS::BulkRuns;

# Waves by file for tests: a database, OpenSSH's SFTP server, the sandbox as Acoustic, runners
# ("ctms acoustic bulk"), and points at which a runner is made to wait.
#
#   my ($ctms, $sftp) = set_up('name', settings => {…});    # one in a test file
#   my $r = run_bulk(CTMS_…);       # status, log, and what it printed: outcome, sent, …
#   watch_points();                 # then, before each: something must be to send
#   my $name = runner_at('file starting');   # waits before that is committed
#   let_go();                       # all go on
#   $r = end_of($name);

use strict;
use warnings;
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use Exporter 'import';
use JSON::PP;
use POSIX ();

our @EXPORT_OK = qw(set_up folders settings calm jobs start_runner end_of run_bulk enqueue waiting
    last_run watch_points let_go runner_at end_lease);

my ($ctms, $sftp, $root, $spool, %env, $holder);
my $runners = 0;

sub set_up
{
    my ($name, @options) = @_;
    $ctms = CTMS::Test->new($name, @options);
    ($root, $spool) = map { "$ENV{TESTDIR}/${name}_$_" } qw(root spool);
    mkdir $_, 0700 or die "$_: $!" for $root, $spool;
    $sftp = CTMS::Sftp->new(root => $root);
    $ctms->start_sandbox(SFTP_ROOT => $root);
    %env = ($sftp->settings, CTMS_ACOUSTIC_BULK_DIRECTORY => $spool,
        CTMS_ACOUSTIC_BULK_POLL_S => 0.1, CTMS_ACOUSTIC_LEASE_S => 20,
        CTMS_ACOUSTIC_TIMEOUT_S => 1);
    return ($ctms, $sftp);
}

# That of the SFTP server, and that in which files are made.
sub folders { return ($root, $spool) }

# ---- the sandbox ---------------------------------------------------------------------------------

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub calm { return settings(faults => [], job_wait_ms => 0, job_rows_per_second => 0) }
sub jobs { return @{ $ctms->sandbox('/_sandbox/jobs')->{json} } }

# ---- runs ----------------------------------------------------------------------------------------

sub start_runner
{
    my (%more) = @_;
    my $name = 'runner' . ++$runners;
    $ctms->start_program($name, 'ctms', $ctms->agent_env(%env, %more), qw(acoustic bulk --json));
    return $name;
}

# Waits for its end; returns its exit status, what it printed, and its log.
sub end_of
{
    my ($name) = @_;
    my $log = $ctms->{process}{$name}{log};
    my $pid = $ctms->pid($name);
    my $status;
    poll_until(sub { waitpid($pid, POSIX::WNOHANG()) == $pid and $status = $?, 1 },
        "$name ends", 60);
    delete $ctms->{process}{$name};
    my $text = slurp($log);
    my ($json) = $text =~ /^(\{.*\})$/m;
    return { status => $status >> 8, log => $text, %{ decode_json($json // '{}') } };
}
sub run_bulk { return end_of(start_runner(@_)) }

# Those contacts, or all, wait in bulk.
sub enqueue
{
    my ($where) = @_;
    return $ctms->sql('SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails WHERE '
            . ($where // 'true') . "), 'bulk')");
}
sub waiting { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }

# Columns of the last run.
sub last_run
{
    my @columns = @_;
    my %run;
    @run{@columns} = split /\|/, $ctms->sql('SELECT ' . join(', ', @columns)
            . ' FROM ctms.acoustic_bulk_run ORDER BY run_id DESC LIMIT 1');
    return \%run;
}

# As if that time had passed.
sub end_lease
{
    $ctms->sql('UPDATE ctms.acoustic_bulk_run SET lease_until = now()
        WHERE end_timestamp IS NULL');
    return;
}

# ---- points --------------------------------------------------------------------------------------

# The transaction that gives a run, or one of its files, this state waits until let_go().
sub watch_points
{
    $ctms->sql(<<'SQL');
CREATE TABLE public.stop_at (what text);
CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog AS $$
BEGIN
    IF (TG_OP = 'INSERT' OR OLD.state <> NEW.state)
        AND EXISTS (SELECT FROM public.stop_at WHERE what = TG_ARGV[0] || ' ' || NEW.state) THEN
        PERFORM pg_advisory_xact_lock(4711);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON ctms.acoustic_bulk_run
    FOR EACH ROW EXECUTE FUNCTION public.stop('run');
CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON ctms.acoustic_bulk_file
    FOR EACH ROW EXECUTE FUNCTION public.stop('file');
SQL
    return;
}

# Runs SQL in a session that keeps its locks until let_go().
sub hold
{
    my ($sql) = @_;
    $holder = fork() // die "fork: $!";
    if (!$holder)
    {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        { exec 'psql', '-XqAt', '-d', $ctms->db_url . '&application_name=holder', '-c',
            "BEGIN; $sql; SELECT pg_sleep(60)" }
        POSIX::_exit(127);
    }
    return poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'holder' AND wait_event = 'PgSleep'") }, 'the lock is held');
}

# The database may be away.
sub let_go
{
    eval { $ctms->sql("DELETE FROM public.stop_at; SELECT count(pg_terminate_backend(pid))
        FROM pg_stat_activity WHERE application_name = 'holder'") };
    kill KILL => $holder;
    waitpid $holder, 0;
    return;
}

# A runner that has come to this point and waits there.
sub runner_at
{
    my ($what, %more) = @_;
    $ctms->sql("INSERT INTO public.stop_at VALUES ('$what')");
    hold('SELECT pg_advisory_xact_lock(4711)');
    my $name = start_runner(%more);
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted") }, "the runner is at $what");
    return $name;
}

1;
