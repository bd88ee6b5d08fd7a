# Agents and the database die at every step and at random moments, Acoustic fails at random,
# contacts change all the time: at the end Acoustic holds exactly what the database holds, and
# never more than ten requests were in flight.
#
# A round changes contacts for a second while requests go wrong at random, then something
# dies. Rounds that are named for a step bring an agent to exactly there first: what it
# asked of the database waits for a lock, or its request for an answer. Commits are flushed, in
# every other run with a delay.
#
# CTMS_TEST_ROUNDS (6) and CTMS_TEST_SEED (random) make it long, or the same again:
# "make soak-agent ROUNDS=200".

use strict;
use warnings;
use JSON::PP;
use Time::HiRes qw(sleep time);
use Test::More;
use CTMS::Test qw(poll_until);

my $rounds = $ENV{CTMS_TEST_ROUNDS} // 6;
my $seed = $ENV{CTMS_TEST_SEED} // int(rand(1 << 30));
srand $seed;
note "seed $seed, $rounds rounds";

my $ctms = CTMS::Test->new('crashes', conf => join("\n", 'fsync = on',
        'commit_siblings = 0', 'commit_delay = ' . (rand() < 0.5 ? 5000 : 0)),
    settings => { acoustic_retry_delay => '50ms', acoustic_deletions => 'on',
        acoustic_skip_unchanged => rand() < 0.5 ? 'on' : 'off', acoustic_history_age => '1d',
        acoustic_history_sent => rand() < 0.5 ? 'on' : 'off' });
my @own = (CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 0.5,
    CTMS_ACOUSTIC_LEASE_S => 3,
    CTMS_DB_TIMEOUT_S => 3, CTMS_LOGGING_LEVEL => 'ERROR', CTMS_ACOUSTIC_RETRY_LIMIT => 100);
$ctms->start_sandbox;
my $started = 0;
my @agents = map { start_agent() } 1 .. 2;

sub start_agent
{
    my $name = 'agent' . ++$started;
    $ctms->start_agent(NAME => $name, @own);
    return $name;
}
sub pick { return $_[ int rand @_ ] }
sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
}
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }

$ctms->sql(<<'SQL');
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name)
    SELECT 'crash' || i || '@example.com', 'Name ' || i FROM generate_series(1, 120) i
    RETURNING email_id),
n AS (INSERT INTO ctms.newsletters (email_id, name, subscribed)
    SELECT email_id, 'n' || k, true FROM c, generate_series(1, 2) k)
INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'relay', '{"geo": "fr"}' FROM c
SQL

$ctms->sql('CREATE TABLE crash_contacts AS SELECT email_id, primary_email FROM ctms.emails');

# Contacts go, and some come back under their id; so do rows.
sub come_and_go
{
    my $share = pick(0.01, 0.05);
    return $ctms->node->psql('ctms', "SELECT count(ctms.delete_contact(primary_email))
        FROM ctms.emails WHERE random() < $share") if rand() < 0.3;
    return $ctms->node->psql('ctms', "DELETE FROM ctms.newsletters WHERE random() < $share")
        if rand() < 0.5;
    $ctms->node->psql('ctms', "INSERT INTO ctms.emails (email_id, primary_email) SELECT email_id,
        primary_email FROM crash_contacts WHERE random() < 0.5 ON CONFLICT DO NOTHING");
    return $ctms->node->psql('ctms', "INSERT INTO ctms.newsletters (email_id, name, subscribed)
        SELECT email_id, 'n1', true FROM ctms.emails WHERE random() < 0.5 ON CONFLICT DO NOTHING");
}

# Changes some contacts; the database may be away.
sub change
{
    return come_and_go() if rand() < 0.3;
    my ($table, $set) = @{ pick([ 'emails', "first_name = 'Name ' || random()" ],
            [ 'newsletters', 'subscribed = NOT subscribed' ],
        [ 'waitlists', "source = 'from ' || random()" ]) };
    my $share = pick(0.01, 0.1, 0.5);
    my $lane = pick('auto', 'bulk');
    $ctms->node->psql('ctms', "SET ctms.acoustic_lane = $lane;
        UPDATE ctms.$table SET $set WHERE random() < $share");
    $ctms->node->psql('ctms',
        'SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails))') if rand() < 0.02;
    return;
}

my @faults = (
    { answer => 'html', probability => 0.1 }, { answer => 'cut', probability => 0.1 },
    { answer => 'empty', probability => 0.1 },
    { answer => 'cut', probability => 0.1, apply => JSON::PP::true },
    { answer => 'empty', probability => 0.1, apply => JSON::PP::true },
    { answer => 'fault', errorid => 50, probability => 0.1 },
    { answer => 'fault', errorid => 145, probability => 0.05 },
    { answer => 'fault', errorid => 313, table => 'newsletter', probability => 0.2 },
    { answer => 'failure', failure_type => 'transient',
        text => 'Database Deadlock', probability => 0.02 },
    { answer => 'fault', errorid => 150, probability => 0.02 },
    { answer => 'normal', delay_ms => 200, probability => 0.1 },
    { operation => 'token', answer => 'html', probability => 0.3 });

# ---- steps ------------------------------------------------------------------------

# A session that holds a lock until let_go().
sub hold
{
    my ($sql) = @_;
    my $pid = fork() // die "fork: $!";
    if (!$pid)
    {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        { exec 'psql', '-XqAt', '-d', $ctms->db_url . '&application_name=holder', '-c',
            "BEGIN; $sql; SELECT pg_sleep(60)" }
        POSIX::_exit(127);
    }
    my $is_held = eval { poll_until(sub { (query("SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'holder' AND query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'")
            // 0) > 0 }, 'the lock is held', 10) };
    return ($pid, $is_held);
}

sub let_go
{
    my ($pid) = @_;
    query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'holder'");
    waitpid $pid, 0;
    return;
}

# The answer, or undef while the database is away.
sub query { my ($rc, $out) = $ctms->node->psql('ctms', $_[0]); return $rc ? undef : $out }

# Something for the agents to do.
sub work
{
    query("UPDATE ctms.emails SET first_name = 'Name ' || random() WHERE random() < 0.2");
    return;
}

# Waits a little while; steps that are not reached in time (an agent has just died) do not count.
sub soon
{
    my ($condition) = @_;
    return eval { poll_until($condition, 'the step is reached', 5) } ? 1 : 0;
}
sub waits_for_lock
{
    my ($what) = @_;
    return soon(sub { query("SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT%$what%'") });
}

sub in_ledger
{
    my ($after, $operation, $table) = @_;
    return soon(sub { grep { $_->{operation} eq $operation && $_->{table} eq $table }
            @{ $ctms->sandbox("/_sandbox/ledger?after=$after&limit=1000")->{json} } });
}

# Brings the agents to a step that waits for a lock, and kills there.
sub at_lock
{
    my ($lock, $what, $before, $after) = @_;
    $before->() if $before;
    my ($pid) = hold($lock);
    $after->() if $after;
    my $is_reached = waits_for_lock($what);
    strike();
    let_go($pid);
    return $is_reached;
}

# The same with a request under way.
sub at_request
{
    my ($operation, $table) = @_;
    settings(faults => [ { answer => 'normal', operation => $operation,
            table => $table, delay_ms => 300 } ]);
    my $ledger = stats()->{ledger};
    $ctms->node->psql('ctms', "UPDATE ctms.${table}s SET source = 'from ' || random()
        WHERE random() < 0.2") if $table ne 'main';
    work();
    my $is_reached = in_ledger($ledger, $operation, $table);
    strike();
    settings(faults => []);
    return $is_reached;
}

sub at_deletion
{
    my ($operation, $table, $delete) = @_;
    settings(faults => [ { answer => 'normal', operation => $operation, delay_ms => 300 } ]);
    my $ledger = stats()->{ledger};
    $delete->();
    my $is_reached = in_ledger($ledger, $operation, $table);
    strike();
    settings(faults => []);
    return $is_reached;
}

my %steps = (
    claim => sub { at_lock('LOCK TABLE ctms.pending_acoustic IN SHARE MODE',
        'claim_acoustic', \&work) },
    rows => sub { at_lock('LOCK TABLE ctms.waitlists IN ACCESS EXCLUSIVE MODE',
        'acoustic_outgoing', undef, \&work) },
    share => sub { at_lock('LOCK TABLE ctms.acoustic_agent IN SHARE ROW EXCLUSIVE MODE',
        'share_acoustic', \&work) },
    finish => sub {
        settings(latency_ms => 300);
        at_lock('LOCK TABLE ctms.pending_acoustic IN SHARE MODE', 'finish_acoustic', sub {
            work();
            soon(sub { stats()->{in_flight} });
        });
    },
    fail => sub {
        settings(latency_ms => 300,
            faults => [ { answer => 'fault', errorid => 50, table => 'main' } ]);
        my $is_reached = at_lock('LOCK TABLE ctms.pending_acoustic IN SHARE MODE',
            'fail_acoustic', sub {
            work();
            soon(sub { stats()->{in_flight} });
        });
        settings(faults => []);
        return $is_reached;
    },
    'add recipient' => sub { at_request('AddRecipient', 'main') },
    'remove recipient' => sub { at_deletion('RemoveRecipient', 'main',
        sub { query("SELECT count(ctms.delete_contact(primary_email))
        FROM (SELECT primary_email FROM ctms.emails LIMIT 5) e") }) },
    'delete rows' => sub { at_deletion('DeleteRelationalTableData', 'newsletter',
        sub { query("DELETE FROM ctms.newsletters WHERE random() < 0.1") }) },
    'newsletter rows' => sub { at_request('InsertUpdateRelationalTable', 'newsletter') },
    'waitlist rows' => sub { at_request('InsertUpdateRelationalTable', 'waitlist') },
    token => sub {
        settings(faults => [ { operation => 'token', answer => 'normal', delay_ms => 300 } ]);
        my $before = stats()->{requests}{token};
        $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/revoke-token", '');
        work();
        my $is_reached = soon(sub { stats()->{requests}{token} > $before });
        strike();
        settings(faults => []);
        return $is_reached;
    });
my %reached = map { $_ => 0 } keys %steps;

sub replace_agent
{
    my ($victim, $signal) = @_;
    $ctms->stop_program($agents[$victim], $signal);
    $agents[$victim] = start_agent();
    return;
}

# Kills at the step: all agents, because one of them is there, or the database.
sub strike
{
    if (rand() < 0.3) { $ctms->crash_database }
    else { $ctms->stop_program($_, 'KILL') for @agents; @agents = map { start_agent() } 1 .. 2 }
    return;
}

my @order = sort keys %steps;
for (my $i = @order; --$i > 0;) { my $j = int rand($i + 1); @order[ $i, $j ] = @order[ $j, $i ] }

# ---- rounds -----------------------------------------------------------------------

for my $round (1 .. $rounds)
{
    settings(latency_ms => pick(0, 5, 50), jitter_ms => pick(0, 20),
        faults => [ map { pick(@faults) } 1 .. pick(0, 1, 3) ]);
    my $until = time + 0.5 + rand 1;
    while (time < $until) { change(); sleep rand 0.1 }
    if ($round % 2)
    {
        settings(latency_ms => 5, jitter_ms => 0, faults => []);
        my $step = $order[ ($round / 2) % @order ];
        $reached{$step} += $steps{$step}->();
        next;
    }
    my $what = pick('agent', 'agent', 'agent', 'all agents', 'database', 'stop', 'token');
    if ($what eq 'database') { $ctms->crash_database }
    elsif ($what eq 'token')
    {
        $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/revoke-token", '');
    }
    elsif ($what eq 'all agents') { replace_agent($_, 'KILL') for 0 .. $#agents }
    else { replace_agent(int rand @agents, $what eq 'stop' ? 'TERM' : 'KILL') }
}
note join ', ', map { "$_: $reached{$_}" } sort keys %reached;
if ($rounds >= 4 * @order)
{
    ok($reached{$_}, "an agent died at the step: $_") for sort keys %steps;
}

settings(latency_ms => 0, jitter_ms => 0, faults => []);
change();
$ctms->sql('SELECT ctms.reset_acoustic_retries()');
poll_until(sub { $ctms->sql('SELECT backlog FROM ctms.acoustic_backlog(100)') == 0 },
    'the queue is empty', 120);

my %expected;
for my $line (split /\n/, $ctms->sql(q{SELECT json_build_array(email_id, kind, fields)
    FROM ctms.acoustic_rows(ARRAY(SELECT email_id FROM ctms.emails))}))
{
    my ($id, $kind, $fields) = @{ decode_json($line) };
    if ($kind eq 'main') { $expected{$id}{main} = $fields }
    else { $expected{$id}{$kind}{ $fields->{"${kind}_name"} } = $fields }
}
my %found;
for my $r (@{ $ctms->sandbox('/_sandbox/recipients?limit=100000')->{json}{recipients} })
{
    $found{ $r->{email_id} }{main} = $r->{main};
    for my $kind (qw(newsletter waitlist))
    {
        $found{ $r->{email_id} }{$kind}{ $_->{"${kind}_name"} } = $_ for @{ $r->{$kind} };
    }
}
is_deeply(\%found, \%expected, 'Acoustic holds what the database holds') or diag "seed $seed";
for my $kind (qw(newsletter waitlist))
{
    my $rows = 0;
    $rows += keys %{ $_->{$kind} // {} } for values %expected;
    is(stats()->{rows}{$kind}, $rows, "and no other $kind rows");
}
cmp_ok(stats()->{max_in_flight_seen}, '<=', 10, 'never more than ten requests in flight')
    or diag "seed $seed";
is(stats()->{rows_before_recipient}, 0, 'no row came before its contact');
is($ctms->stop_program($_), 0, "$_ stops well") for @agents;
my $states = $ctms->sql('SELECT count(*) FROM ctms.acoustic_agent
    WHERE lease_until > now() + interval \'1 minute\'');
is($states, 0, 'no agent is left for long');

done_testing();
