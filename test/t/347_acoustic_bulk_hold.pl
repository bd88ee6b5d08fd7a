# Waves by file, when a run ends otherwise than it should: its contacts are free only when no job
# can import their older rows any more, and nothing is imported once they are free.

use strict;
use warnings;
use Test::More;
use CTMS::BulkRuns qw(set_up folders settings calm jobs start_runner end_of run_bulk enqueue
    waiting last_run watch_points let_go runner_at end_lease);
use CTMS::SandboxRows qw(differences);
use CTMS::Sftp;
use CTMS::Test qw(poll_until);

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();

my ($ctms, $sftp) = set_up('bulk_hold');
my ($root, $spool) = folders();
watch_points();

sub last_error { return last_run('error')->{error} }
sub go_on
{
    let_go();
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0 },
        'nobody waits any more');
    return;
}
sub kill_at
{
    my ($what) = @_;
    my $name = runner_at($what);
    $ctms->stop_program($name, 'KILL');
    $ctms->sql("SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted");
    go_on();
    return end_lease();
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
    go_on();
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
