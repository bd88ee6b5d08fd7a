# Waves by file while contacts change, and while everything dies or fails: the runner, agents, the
# database, the SFTP server, and Acoustic's jobs. At the end of each round Acoustic holds exactly
# what the database holds, nothing is held in the queue any more, and no file is left. At no moment
# went a row at Acoustic back to an older version.
#
# A round enqueues all contacts, starts a run, and brings it to exactly one step: what the runner
# asks of the database waits for a lock, its request for an answer, its upload for a server.
# Contacts change meanwhile; then something is struck, and whoever runs next goes on. Two ordinary
# agents are at work all the time.
#
# CTMS_TEST_ROUNDS (5) and CTMS_TEST_SEED (random) make it long, or the same again:
# "make soak-bulk ROUNDS=200". CTMS_TEST_STEP and CTMS_TEST_STRIKE name what each round does.

use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);
use Test::More;
use CTMS::BulkWriter;
use CTMS::SandboxRows qw(differences);
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);

use constant { CONTACTS => 300, HOLDER => 4711, LEASE_S => 3 };

my $rounds = $ENV{CTMS_TEST_ROUNDS} // 5;
my $seed = $ENV{CTMS_TEST_SEED} // int(rand(1 << 30));
srand $seed;
note "seed $seed, $rounds rounds";

sub pick { return $_[ int rand @_ ] }

my $deletes = rand() < 0.75;
my $by_agent = rand() < 0.3;    # agents begin runs by themselves
my $ctms = CTMS::Test->new('bulk_crashes',
    conf => join("\n", 'fsync = on', 'commit_siblings = 0',
        'commit_delay = ' . pick(0, 5000)),
    settings => { acoustic_retry_delay => '50ms', acoustic_deletions => $deletes ? 'on' : 'off',
        acoustic_skip_unchanged => pick('on', 'off'), acoustic_history_sent => pick('on', 'off') });
my $root = "$ENV{TESTDIR}/bulk_crashes_acoustic";
my $spool = "$ENV{TESTDIR}/bulk_crashes_spool";
mkdir $_, 0700 or die "$_: $!" for $root, $spool;
my $sftp = CTMS::Sftp->new(root => $root);
$ctms->start_sandbox(SFTP_ROOT => $root);
my %env = ($sftp->settings, CTMS_ACOUSTIC_BULK_DIRECTORY => $spool,
    CTMS_ACOUSTIC_BULK_POLL_S => 0.3, CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2,
    CTMS_ACOUSTIC_TIMEOUT_S => 1, CTMS_ACOUSTIC_LEASE_S => 6,
    CTMS_DB_TIMEOUT_S => 3, CTMS_LOGGING_LEVEL => 'INFO', CTMS_ACOUSTIC_RETRY_LIMIT => 100,
    $by_agent ? (CTMS_ACOUSTIC_BULK_FROM => 50) : ());

# ---- who works -----------------------------------------------------------------------------------

my $started = 0;
my @agents = map { start_agent() } 1 .. 2;
my @runners;

sub start_agent
{
    my $name = 'agent' . ++$started;
    $ctms->start_agent(NAME => $name, %env);
    return $name;
}

sub start_runner
{
    my (@more) = @_;
    my $name = 'runner' . ++$started;
    $ctms->start_program($name, 'ctms', $ctms->agent_env(%env,
            CTMS_ACOUSTIC_TIMEOUT_S => 0.5, CTMS_ACOUSTIC_LEASE_S => LEASE_S,
            CTMS_ACOUSTIC_BULK_MAX_CONTACTS => pick(200, 1000, 1000, 1000)),
        'acoustic', 'bulk', @more);
    push @runners, $name;
    return $name;
}

# Forgets the runners that have ended; the exit status of each.
sub reap_runners
{
    my @ended = grep { waitpid($ctms->pid($_), POSIX::WNOHANG()) != 0 } @runners;
    delete $ctms->{process}{$_} for @ended;
    @runners = grep { $ctms->{process}{$_} } @runners;
    return @ended;
}

# The processes that may be at work on a run: those of the command line, and children of agents.
sub runner_pids
{
    reap_runners();
    return map({ $ctms->pid($_) } @runners),
        map { my $pid = $ctms->pid($_); split ' ', slurp("/proc/$pid/task/$pid/children") } @agents;
}

# ---- the database --------------------------------------------------------------------------------

# The answer, or undef while the database is away.
sub query { my ($rc, $out) = $ctms->node->psql('ctms', $_[0]); return $rc ? undef : $out }

# Where a run is stopped: before its row, or that of one of its files, gets the state that the table
# public.stop_at names, its transaction waits until the holder of a lock lets go.
CTMS::BulkWriter::set_up($ctms, CONTACTS);
$ctms->sql(<<"SQL");
CREATE TABLE public.stop_at (what text);
CREATE TABLE public.go (may_go boolean);
CREATE FUNCTION public.wait_for_go() RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    FOR _i IN 1..2000 LOOP
        EXIT WHEN EXISTS (SELECT FROM public.go);
        PERFORM pg_sleep(0.02);
    END LOOP;
END \$\$;
CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog AS \$\$
DECLARE _what text := TG_ARGV[0] || ' ' || NEW.state;
BEGIN
    IF TG_ARGV[0] = 'run' AND TG_OP = 'UPDATE' AND OLD.state = NEW.state THEN
        _what := CASE WHEN to_jsonb(OLD)->'settled_email_id' <> to_jsonb(NEW)->'settled_email_id'
            THEN 'run has settled' END;
    END IF;
    IF EXISTS (SELECT FROM public.stop_at WHERE what = _what) THEN
        PERFORM pg_advisory_xact_lock(${\HOLDER});
    END IF;
    RETURN NEW;
END \$\$;
CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON ctms.acoustic_bulk_run
    FOR EACH ROW EXECUTE FUNCTION public.stop('run');
CREATE TRIGGER stop BEFORE INSERT OR UPDATE ON ctms.acoustic_bulk_file
    FOR EACH ROW EXECUTE FUNCTION public.stop('file');
SQL

# A session that holds what it takes until let_go(), and commits then if it can.
my $holder;
sub hold
{
    my ($sql) = @_;
    query('DELETE FROM public.go');
    $holder = fork() // die "fork: $!";
    if (!$holder)
    {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        { exec 'psql', '-XqAt', '-d', $ctms->db_url . '&application_name=holder', '-c',
            "BEGIN; $sql; SELECT public.wait_for_go(); COMMIT" }
        POSIX::_exit(127);
    }
    return soon(sub { query("SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'holder' AND wait_event = 'PgSleep'") });
}

sub let_go
{
    return if !$holder;
    query('DELETE FROM public.stop_at');
    query('INSERT INTO public.go VALUES (true)');
    soon(sub { waitpid($holder, POSIX::WNOHANG()) != 0 }, 5);
    query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'holder'");
    kill KILL => $holder;
    waitpid $holder, 0;
    undef $holder;
    return;
}

# Steps that are not reached in time do not count.
sub soon
{
    my ($condition, $timeout_s) = @_;
    my $is_reached = eval { local $SIG{__DIE__}; poll_until($condition, '', $timeout_s // 6) };
    return $is_reached ? 1 : 0;
}

sub is_open { return query('SELECT count(*) FROM ctms.acoustic_bulk_run
    WHERE end_timestamp IS NULL') // 1 }

# Lets the writer write.
sub let_change
{
    my ($count) = @_;
    my $from = query('SELECT last_value FROM public.version') // return;
    return soon(sub { (query('SELECT last_value FROM public.version') // 0) >= $from + $count }, 1);
}

# ---- Acoustic ------------------------------------------------------------------------------------

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub stats { return $ctms->sandbox('/_sandbox/stats?sent=0')->{json} }

my @faults = (
    { answer => 'html', probability => 0.1 }, { answer => 'cut', probability => 0.1 },
    { answer => 'cut', probability => 0.1, apply => JSON::PP::true },
    { answer => 'empty', probability => 0.1, apply => JSON::PP::true },
    { answer => 'fault', errorid => 50, probability => 0.1 },
    { answer => 'fault', errorid => 145, probability => 0.05 },
    { answer => 'normal', delay_ms => 200, probability => 0.1 },
    { operation => 'token', answer => 'html', probability => 0.3 });
# Those of the calls for files.
my @file_faults = (
    (map { my $operation = $_;
        ({ operation => $operation, answer => 'cut', apply => JSON::PP::true, count => 1 },
            { operation => $operation, answer => 'cut', count => 1 },
            { operation => $operation, answer => 'normal', delay_ms => 1500, count => 1 },
            { operation => $operation, answer => 'empty', apply => JSON::PP::true, count => 1 },
            { operation => $operation, answer => 'fault', errorid => 50, count => 2 })
    } qw(ImportList ImportTable GetJobStatus)),
    (map { my $status = $_; map { { operation => 'job', table => $_, answer => 'job',
                job_status => $status, skip_rows => pick(0, 50), count => 1 } } qw(main newsletter)
    } qw(ERROR CANCELED)),
    { operation => 'ImportTable', table => 'newsletter', answer => 'failure',
        failure_type => 'permanent', text => 'this one is refused', probability => 0.05 });

# ---- strikes -------------------------------------------------------------------------------------

# All agents; a child of one dies with it.
sub kill_agents
{
    $ctms->stop_program($_, 'KILL') for @agents;
    @agents = map { start_agent() } 1 .. 2;
    return;
}

sub kill_runners
{
    kill KILL => runner_pids();
    soon(sub { reap_runners(); !@runners });
    return;
}

# What the runner has asked for last is not committed either.
sub end_sessions
{
    query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE query LIKE '%acoustic%' AND application_name <> 'holder'
            AND pid <> pg_backend_pid()");
    return;
}

# The runner sleeps beyond its lease, another one takes over, and the first wakes up in the middle.
sub freeze_runners
{
    my @pids = runner_pids();
    kill STOP => @pids;
    let_go();
    start_runner();
    my $attempt = query('SELECT max(attempt) FROM ctms.acoustic_bulk_run') // 0;
    my $has_taken = soon(sub { !is_open()
        || (query("SELECT count(*) FROM ctms.acoustic_bulk_run WHERE attempt > $attempt
            AND state IN ('importing', 'settling')") // 0) }, 3 * LEASE_S);
    sleep rand pick(0.1, 1.5);
    kill CONT => @pids;
    return $has_taken;
}

my %strikes = (
    nothing => sub { },
    'runner dies' => sub { kill_runners() },
    'runner and session die' => sub { kill_runners(); end_sessions() },
    'session dies' => sub { end_sessions() },
    'runner is told to stop' => sub { kill TERM => runner_pids() },
    'runner sleeps' => \&freeze_runners,
    'agents die' => \&kill_agents,
    'database crashes' => sub { $ctms->crash_database },
    'database crashes and runner dies' => sub { kill_runners(); $ctms->crash_database },
    'sftp breaks' => sub { $sftp->break_connections },
    'sftp restarts' => sub { $sftp->stop; sleep rand 1; $sftp->start },
    'operator cancels' => sub { let_go(); query('SELECT ctms.cancel_acoustic_bulk()') },
    'new token' => sub {
        $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/revoke-token", '');
    });

# ---- steps ---------------------------------------------------------------------------------------

# Each returns what prepares it and what tells that the run is there.
sub at_state
{
    my ($what) = @_;
    return (sub {
        query("INSERT INTO public.stop_at VALUES ('$what')");
        hold('SELECT pg_advisory_xact_lock(' . HOLDER . ')');
    }, sub { query('SELECT count(*) FROM pg_locks
        WHERE locktype = \'advisory\' AND NOT granted') });
}

sub at_lock
{
    my ($table, $mode, $what) = @_;
    return (sub { hold("LOCK TABLE ctms.$table IN $mode MODE") },
        sub { query("SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE '%$what%'") });
}

sub at_request
{
    my ($operation) = @_;
    my $after;
    return (sub {
        settings(faults => [ { answer => 'normal', operation => $operation, delay_ms => 700,
                count => 1 } ]);
        $after = stats()->{ledger};
    }, sub { grep { $_->{operation} eq $operation }
            @{ $ctms->sandbox("/_sandbox/ledger?after=$after&limit=1000")->{json} } });
}

# The server does not answer while the files are uploaded.
sub at_frozen_upload
{
    my ($prepare, $is_there) = at_state('run uploading');
    return ($prepare, sub {
        return if !$is_there->();
        $sftp->freeze;
        let_go();
        sleep 0.5;
        return 1;
    });
}

my %steps = (
    (map { ("run: $_" => [ at_state("run $_") ]) }
        qw(claiming making uploading importing settling cleaning done), 'has settled'),
    (map { ("file: $_" => [ at_state("file $_") ]) }
        qw(made uploaded starting running complete removed)),
    (map { ($_ => [ at_request($_) ]) } qw(ImportList ImportTable GetJobStatus)),
    claim => [ at_lock('pending_acoustic', 'SHARE', 'claim_acoustic_bulk') ],
    rows => [ at_lock('waitlists', 'ACCESS EXCLUSIVE', 'acoustic_csv') ],
    'rewritten rows' => [ sub { hold('ALTER TABLE ctms.waitlists ADD COLUMN soak float
        DEFAULT random(); ALTER TABLE ctms.waitlists DROP COLUMN soak') },
        sub { query("SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE '%acoustic_csv%'") } ],
    job => [ sub { settings(job_rows_per_second => 400) },
        sub { query("SELECT count(*) FROM ctms.acoustic_bulk_file WHERE state = 'running'") } ],
    'waiting job' => [ sub { settings(job_wait_ms => 1500) },
        sub { query("SELECT count(*) FROM ctms.acoustic_bulk_file WHERE state = 'running'") } ],
    upload => [ at_frozen_upload() ],
    'any moment' => [ sub { }, sub { sleep rand 4; 1 } ]);

# ---- a round -------------------------------------------------------------------------------------

sub set_weather
{
    settings(latency_ms => pick(60, 100), jitter_ms => pick(0, 20),
        job_wait_ms => pick(0, 0, 200), job_rows_per_second => pick(0, 0, 2000),
        faults => [ map { pick(@faults) } 1 .. pick(0, 1) ]);
    return;
}

# The command line enqueues the contacts itself, or they wait already, for agents too.
sub begin_wave
{
    my ($prepare, $is_by_sql) = @_;
    query('SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails))') if $is_by_sql;
    $prepare->();
    start_runner($is_by_sql ? () : ('--all', '--yes'));
    return;
}

# Until no run is open. Whatever ends a runner, another one goes on.
sub end_wave
{
    return soon(sub {
        reap_runners();
        my $is_open = is_open();
        start_runner('--resume') if $is_open && !@runners && !$by_agent;
        return !$is_open && !@runners;
    }, 90);
}

sub files_left
{
    return grep { !m{/(?:upload|download)$} }
        map { glob "$_/*" } $spool, $root, "$root/upload", "$root/download";
}

# Results of a job whose start had no answer: nobody can know their names.
sub is_unknown_job
{
    my ($file) = @_;
    my ($job) = $file =~ m{/download/(\d+)\.(?:res|err)$} or return 0;
    return $ctms->sql("SELECT count(*) FROM ctms.acoustic_bulk_file WHERE job_id = '$job'") == 0;
}

# What must hold when all is at rest.
sub check_round
{
    my ($writer) = @_;
    my $failed = $writer->stop;
    settings(latency_ms => 0, jitter_ms => 0, job_wait_ms => 0, job_rows_per_second => 0,
        faults => []);
    my @wrong;
    push @wrong, "the writer: $failed" if $failed ne '';
    push @wrong, 'a run does not end: '
        . query('SELECT r FROM ctms.acoustic_bulk_run AS r WHERE end_timestamp IS NULL')
        if !end_wave();
    query('SELECT ctms.reset_acoustic_retries()');
    push @wrong, 'in the queue: ' . query('SELECT p FROM ctms.pending_acoustic AS p LIMIT 3')
        if !soon(sub { ($ctms->sql('SELECT backlog FROM ctms.acoustic_backlog(100)')) == 0
            && !is_open() }, 30);
    my @different = differences($ctms);
    @different = grep { !/only at Acoustic/ } @different if !$deletes;
    push @wrong, "not equal: @different" if @different;
    my $stats = stats();
    push @wrong, "$stats->{went_back} rows went back, at last $stats->{went_back_last}"
        if $stats->{went_back};
    push @wrong, "$stats->{rows_before_recipient} rows came before their contact"
        if $stats->{rows_before_recipient};
    my $in_flight = $stats->{max_in_flight_seen};
    push @wrong, "$in_flight requests in flight" if $in_flight > 10;
    my @files = grep { !is_unknown_job($_) } files_left();
    push @wrong, "files are left: @files" if @files;
    push @wrong, 'held: ' . $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic')
        if $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic
            WHERE retry_after = lease_until');
    return @wrong;
}

poll_until(sub { $ctms->sql('SELECT backlog FROM ctms.acoustic_backlog(100)') == 0 },
    'all contacts are sent once', 60);

my %reached = map { $_ => 0 } keys %steps;
my %struck = map { $_ => 0 } keys %strikes;
sub shuffled { my @all = @_; return map { splice @all, int rand @all, 1 } 1 .. @all }
my @steps = shuffled(sort keys %steps);
my @strikes = shuffled(sort keys %strikes);

for my $round (1 .. $rounds)
{
    my $step = $ENV{CTMS_TEST_STEP} // $steps[ $round % @steps ];
    my $strike = $ENV{CTMS_TEST_STRIKE} // $strikes[ $round % @strikes ];
    my $name = "round $round, $step: $strike";
    my ($prepare, $is_there) = @{ $steps{$step} };
    my $writer = CTMS::BulkWriter->new($ctms, seed => rand(1 << 30), deletes => $deletes);
    let_change(5);
    set_weather();
    begin_wave($prepare, $step eq 'claim' || rand() < 0.5);
    my $is_reached = soon($is_there);
    let_change(10);
    settings(faults => [ map { pick(@file_faults) } 1 .. pick(0, 0, 1, 2) ])
        if $step !~ /^(?:Import|GetJob)/;
    $strikes{$strike}->();
    $sftp->thaw;
    let_go();
    $reached{$step} += $is_reached;
    $struck{$strike} += $is_reached;
    let_change(10);
    end_wave();
    my @wrong = check_round($writer);
    ok(!@wrong, $name . ($is_reached ? '' : ' (not reached)'))
        or diag join "\n", "seed $seed, round $round", @wrong;
    last if @wrong;
}

note join ', ', map { "$_: $reached{$_}" } sort keys %reached;
note join ', ', map { "$_: $struck{$_}" } sort keys %struck;
note 'runs: ' . $ctms->sql('SELECT string_agg(concat_ws(\' \', n, state, contacts, sent, changed),
    \'; \') FROM (SELECT state, count(*) AS n, sum(contacts) AS contacts, sum(sent) AS sent,
    sum(changed) AS changed FROM ctms.acoustic_bulk_run GROUP BY state) AS r');
my $done = Test::More->builder->current_test;
cmp_ok($ctms->sql("SELECT count(*) FROM ctms.acoustic_bulk_run WHERE state = 'done' AND sent > 0"),
    '>=', $done / 4, 'waves went by file');
if ($done >= 4 * @steps)
{
    ok($reached{$_}, "a run was at the step: $_") for sort keys %steps;
    ok($struck{$_}, "and was struck: $_") for sort keys %strikes;
}
is($ctms->stop_program($_), 0, "$_ stops well") for @agents;
done_testing();
