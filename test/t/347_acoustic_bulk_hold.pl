# Waves by file, when a run ends otherwise than it should: its contacts are free only when no job
# can import their older rows any more, and nothing is imported once they are free.

use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);
use Test::More;
use CTMS::SandboxRows qw(differences);
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();

my $ctms = CTMS::Test->new('bulk_hold');
my $root = "$ENV{TESTDIR}/acoustic";
my $spool = "$ENV{TESTDIR}/spool";
mkdir $_, 0700 or die "$_: $!" for $root, $spool;
my $sftp = CTMS::Sftp->new(root => $root);
$ctms->start_sandbox(SFTP_ROOT => $root);
my %env = ($sftp->settings, CTMS_ACOUSTIC_BULK_DIRECTORY => $spool,
    CTMS_ACOUSTIC_BULK_POLL_S => 0.1, CTMS_ACOUSTIC_LEASE_S => 20, CTMS_ACOUSTIC_TIMEOUT_S => 1);

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub calm { return settings(faults => [], job_wait_ms => 0, job_rows_per_second => 0) }
sub jobs { return @{ $ctms->sandbox('/_sandbox/jobs')->{json} } }

my $runners = 0;

sub start_runner
{
    my (%more) = @_;
    my $name = 'runner' . ++$runners;
    $ctms->start_program($name, 'ctms', $ctms->agent_env(%env, %more), qw(acoustic bulk --json));
    return $name;
}

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

sub enqueue
{
    my ($where) = @_;
    return $ctms->sql("SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails WHERE "
            . ($where // 'true') . "), 'bulk')");
}
sub waiting { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub last_error
{
    return $ctms->sql('SELECT error FROM ctms.acoustic_bulk_run ORDER BY run_id DESC LIMIT 1');
}

# The transaction that gives a run, or one of its files, this state waits until let_go().
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

my $holder;

sub hold
{
    $holder = fork() // die "fork: $!";
    if (!$holder)
    {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        { exec 'psql', '-XqAt', '-d', $ctms->db_url . '&application_name=holder', '-c',
            'BEGIN; SELECT pg_advisory_xact_lock(4711); SELECT pg_sleep(60)' }
        POSIX::_exit(127);
    }
    return poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'holder' AND wait_event = 'PgSleep'") }, 'the lock is held');
}

sub let_go
{
    eval { $ctms->sql("DELETE FROM public.stop_at; SELECT count(pg_terminate_backend(pid))
        FROM pg_stat_activity WHERE application_name = 'holder'") };
    kill KILL => $holder;
    waitpid $holder, 0;
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0 },
        'nobody waits any more');
    return;
}

# A runner that has come to this point and waits there.
sub runner_at
{
    my ($what, %more) = @_;
    $ctms->sql("INSERT INTO public.stop_at VALUES ('$what')");
    hold();
    my $name = start_runner(%more);
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted") },
        "the runner is at $what");
    return $name;
}
sub kill_at
{
    my ($what) = @_;
    my $name = runner_at($what);
    $ctms->stop_program($name, 'KILL');
    $ctms->sql("SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted");
    let_go();
    return end_lease();
}

# As if that time had passed.
sub end_lease
{
    $ctms->sql('UPDATE ctms.acoustic_bulk_run SET lease_until = now() WHERE end_timestamp IS NULL');
    return;
}

sub end_hold
{
    $ctms->sql(q{BEGIN;
UPDATE ctms.pending_acoustic SET lease_until = now(), retry_after = now()
    WHERE retry_after = lease_until;
UPDATE ctms.acoustic_bulk_run SET hold_until = now() WHERE end_timestamp IS NULL;
COMMIT});
    return;
}

# An agent sends all that is free.
sub send_the_ordinary_way
{
    my ($until) = @_;
    $ctms->start_agent;
    poll_until($until, 'the agent has sent it');
    $ctms->stop_program('agent');
    return;
}
sub first_name { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json}{main}{first_name} }

my $count = 200;
$ctms->sql(<<"SQL");
INSERT INTO ctms.emails (email_id, primary_email, first_name)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'hold' || n || '\@example.com', 'Before'
    FROM generate_series(1, $count) AS n;
SQL
my ($first, $last) =
    (split /\n/, $ctms->sql('SELECT email_id FROM ctms.emails ORDER BY 1'))[ 0, -1 ];
enqueue();
is(run_bulk()->{outcome}, 'done', 'all contacts are at Acoustic');
my $name_number = 0;

# The contact is at Acoustic as it is now; nothing older comes behind.
sub change
{
    my ($id) = @_;
    my $name = 'Changed ' . ++$name_number;
    $ctms->sql("UPDATE ctms.emails SET first_name = '$name' WHERE email_id = '$id'");
    return $name;
}

# ---- the time of the run has passed ------------------------------------------------------------

# Of what waits for the lock when the runner is killed nothing is stored.
for my $point ('run importing', 'file starting', 'file running')
{
    enqueue();
    kill_at($point);
    end_hold();
    my $jobs = jobs();
    my $name = change($first);
    send_the_ordinary_way(sub { waiting() == 0 });
    my $r = run_bulk();
    # Made anew, the files would have no rows.
    like($r->{outcome}, $point eq 'run importing' ? qr/^(?:done|failed)$/ : qr/^failed$/,
        "killed at $point, the hold has ended: it ends") or diag $r->{log};
    like(last_error(), qr/not done in time/, 'because of the time') if $r->{outcome} eq 'failed';
    is(scalar jobs(), $jobs, 'and nothing was imported');
    is(first_name($first), $name, 'Acoustic has the newer contact');
    is_deeply([ differences($ctms) ], [], 'and all others');
}

# The runner itself may be stopped for so long.
for my $point ('file uploaded', 'file starting')
{
    my $jobs = jobs();
    enqueue();
    my $runner = runner_at($point);
    kill STOP => $ctms->pid($runner);
    let_go();
    end_hold();
    change($first);
    send_the_ordinary_way(sub { waiting() == 0 });
    kill CONT => $ctms->pid($runner);
    my $r = end_of($runner);
    is($r->{outcome}, 'failed', "stopped at $point, the hold has ended: given up")
        or diag $r->{log};
    is(scalar jobs(), $jobs, 'and nothing was imported');
    is_deeply([ differences($ctms) ], [], 'Acoustic has what the database has');
}

sub unknown_start
{
    return { operation => 'ImportList', answer => 'cut', apply => JSON::PP::true, count => 1 };
}
sub refused_start
{
    return { operation => 'ImportList', answer => 'fault', errorid => 150, text => 'You may not.' };
}

# ---- a job that nobody knows -------------------------------------------------------------------

# It was started without an answer, and reads its file; then the second start is refused.
{
    settings(job_rows_per_second => 25,
        faults => [ unknown_start(), refused_start() ]);
    enqueue();
    my $runner = start_runner(CTMS_ACOUSTIC_BULK_TIMEOUT_S => 16);
    poll_until(sub { $ctms->log_of($runner) =~ /given up/ }, 'the second start is refused');
    my $name = change($last);
    $ctms->start_agent;
    my $r = end_of($runner);
    is_deeply([ @$r{qw(outcome returned)} ], [ 'failed', $count ], 'given up') or diag $r->{log};
    poll_until(sub { waiting() == 0 }, 'the agent has sent them');
    $ctms->stop_program('agent');
    poll_until(sub { !grep { $_->{status} !~ /COMPLETE|ERROR|CANCELED/ } jobs() }, 'no job runs');
    is(first_name($last), $name, 'a job that nobody knows has not overwritten a newer contact');
    is_deeply([ differences($ctms) ], [], 'Acoustic has what the database has');
    calm();
}

# It waits for its turn when the run is given up.
{
    settings(job_wait_ms => 9000,
        faults => [ unknown_start(), refused_start() ]);
    enqueue();
    my $r = run_bulk(CTMS_ACOUSTIC_BULK_TIMEOUT_S => 7);
    is($r->{outcome}, 'failed', 'given up while a job waits') or diag $r->{log};
    calm();
    my $name = change($last);
    send_the_ordinary_way(sub { waiting() == 0 });
    poll_until(sub { !grep { $_->{status} !~ /COMPLETE|ERROR|CANCELED/ } jobs() }, 'no job runs');
    is(first_name($last), $name, 'it has not found its file');
    is_deeply([ differences($ctms) ], [], 'Acoustic has what the database has');
}

# An operator cancels when a start without an answer has been forgotten by all but the tables.
{
    enqueue();
    kill_at('file running');
    kill_at('file starting');
    is($ctms->sql("SELECT count(*) FROM ctms.acoustic_bulk_file WHERE state = 'removed'
        AND run_id = (SELECT max(run_id) FROM ctms.acoustic_bulk_run)"), 1,
        'the old name is forgotten');
    $ctms->sql('SELECT ctms.cancel_acoustic_bulk()');
    my $r = run_bulk();
    is($r->{outcome}, 'done', 'then a run is not canceled') or diag $r->{log};
    is(waiting(), 0, 'nobody waits');
}

# ---- files of an earlier attempt ---------------------------------------------------------------

{
    $ctms->sql("INSERT INTO ctms.waitlists (email_id, name, source)
        VALUES ('$last', 'relay', 'web')");
    enqueue();
    kill_at('run importing');
    $ctms->sql("DELETE FROM ctms.waitlists");
    my $jobs = jobs();
    my $r = run_bulk();
    is($r->{outcome}, 'done', 'made anew without a kind of rows') or diag $r->{log};
    is_deeply([ map { $_->{operation} } splice @{ [ jobs() ] }, $jobs ], ['ImportList'],
        'the older file of that kind is not imported');
    is_deeply([ map { glob } "$root/upload/*", "$spool/*" ], [], 'and removed');
    send_the_ordinary_way(sub { waiting() == 0 });
    is_deeply([ differences($ctms) ], [], 'Acoustic has what the database has');
}

# ---- a run of others ---------------------------------------------------------------------------

# Where that one began says nothing of what lies before.
{
    enqueue("email_id = '$last'");
    kill_at('file starting');
    enqueue();
    my $r = run_bulk();
    is_deeply([ @$r{qw(outcome runs sent)} ], [ 'done', 2, $count ],
        'whoever goes on with a run then sends all that waits') or diag $r->{log};
    is(waiting(), 0, 'nobody waits');
}

done_testing();
