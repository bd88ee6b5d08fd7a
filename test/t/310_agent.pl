# The agent carries contacts to Acoustic: completely, once more if they change meanwhile, and
# without losing one, even if agents or the database die.

use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use CTMS::Test qw(poll_until slurp);

my $ctms = CTMS::Test->new('agent', durable => 1,
    settings => { acoustic_retry_delay => '100ms' });
my $health = "$PostgreSQL::Test::Utils::tmp_check/health";
$ctms->start_sandbox;
$ctms->start_agent(CTMS_BACKGROUND_HEALTHCHECK_PATH => $health);

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
}
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }
sub recipient { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json} }
sub pending { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub wait_until_sent { return poll_until(sub { pending() == 0 }, 'the queue is empty', 60) }
sub lines
{
    my ($name, $msg) = @_;
    return grep { index($_->{Fields}{msg} // '', $msg) >= 0 } map { eval { decode_json($_) } // () }
        split /\n/, $ctms->log_of($name);
}

# Adds this number of contacts, with two newsletters and a waitlist each.
sub add_contacts
{
    my ($name, $count) = @_;
    $ctms->sql(<<SQL);
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name)
    SELECT '$name' || i || '\@example.com', 'Name ' || i FROM generate_series(1, $count) i
    RETURNING email_id),
n AS (INSERT INTO ctms.newsletters (email_id, name, subscribed)
    SELECT email_id, 'n' || k, true FROM c, generate_series(1, 2) k)
INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'relay', '{"geo": "fr"}' FROM c
SQL
    return split /\n/,
        $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email LIKE '$name%' ORDER BY 1");
}

subtest 'a contact arrives with its rows' => sub {
    my ($id) = add_contacts('first', 1);
    wait_until_sent();
    my $r = recipient($id);
    is($r->{main}{email}, 'first1@example.com', 'main row');
    is_deeply([ map { $_->{newsletter_name} } @{ $r->{newsletter} } ],
        [ 'n1', 'n2' ], 'newsletters');
    is($r->{waitlist}[0]{waitlist_geo}, 'fr', 'waitlist with its field');
    my $stats = stats();
    is("$stats->{rows_before_recipient} $stats->{sent}{$id}", '0 1', 'in order, and once');
    poll_until(sub { lines('agent', "sync'd contact") }, 'the log line of the contact');
    my ($line) = lines('agent', "sync'd contact");
    is("$line->{Fields}{newsletter_count} $line->{Fields}{main_status}", '2 success',
        'logged with counts and statuses');
    is_deeply($line->{Fields}{newsletters_skipped}, [ 'n1', 'n2' ], 'newsletters that set no flag');
    is_deeply([ grep { /^(sumo_user|fxa_id|email)$/ } @{ $line->{Fields}{skipped_fields} } ],
        [ 'fxa_id', 'sumo_user' ], 'and fields that are not sent');
    ok((lines('agent', 'Setting up sync_service.'))[0]{Fields}{sync_feature_flag}, 'and the start');
    my $cycle = poll_until(sub { (grep { $_->{Fields}{count_total} } lines('agent',
            'sync_service cycle complete'))[0] }, 'the log line of the cycle');
    is_deeply([ @{ $cycle->{Fields} }{qw(count_synced count_retry sync_backlog trivial)} ],
        [ 1, 0, 0, JSON::PP::false ], 'with its counts');
    like(slurp($health), qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/,
        'the health file holds the time');
};

subtest 'many contacts share calls' => sub {
    my $before = stats();
    my @ids = add_contacts('many', 500);
    wait_until_sent();
    my $after = stats();
    is($after->{recipients} - $before->{recipients}, 500, 'all arrived');
    is($after->{rows}{newsletter} - $before->{rows}{newsletter}, 1000, 'with all rows');
    cmp_ok($after->{requests}{newsletter} - $before->{requests}{newsletter}, '<=', 15,
        'in calls that are nearly full');
    cmp_ok($after->{max_in_flight_seen}, '<=', 10, 'ten in flight at most');
    is($after->{requests}{token}, 1, 'with one token');
};

subtest 'values that are odd' => sub {
    my ($id) = split /\n/,
    $ctms->sql(q{INSERT INTO ctms.emails (primary_email, first_name, last_name)
        VALUES ('odd@example.com',
            E'<b>&"''\x01\x0c\t', E'Zo\u00eb \uffff\U0001F600]]>') RETURNING email_id});
    wait_until_sent();
    my $main = recipient($id)->{main};
    like($main->{first_name}, qr/^<b>&"'  /, 'markup, and control characters as blanks');
    is($main->{last_name}, "Zo\x{eb} \x{fffd}\x{1F600}]]>", 'letters of all planes');
};

subtest 'a change while it is being sent' => sub {
    settings(latency_ms => 2000);
    my ($id) = add_contacts('change', 1);
    poll_until(sub { stats()->{sent}{$id} }, 'it is being sent');
    $ctms->sql("UPDATE ctms.emails SET first_name = 'Later' WHERE email_id = '$id'");
    wait_until_sent();
    settings(latency_ms => 0);
    is(recipient($id)->{main}{first_name}, 'Later', 'the last state wins');
    is(stats()->{sent}{$id}, 2, 'sent twice');
};

subtest 'the agent dies in the middle' => sub {
    $ctms->stop_program('agent');
    settings(latency_ms => 50);
    $ctms->start_agent(CTMS_ACOUSTIC_LEASE_S => 4, CTMS_ACOUSTIC_TIMEOUT_S => 1);
    my @ids = add_contacts('dies', 200);
    poll_until(sub { grep { $_ } @{ stats()->{sent} }{@ids} }, 'some are sent');
    poll_until(sub { 50 < grep { $_ } @{ stats()->{sent} }{@ids} }, 'a few more are sent');
    $ctms->stop_program('agent', 'KILL');
    cmp_ok(pending(), '>', 0, 'some are left');
    $ctms->start_agent(CTMS_ACOUSTIC_LEASE_S => 4, CTMS_ACOUSTIC_TIMEOUT_S => 1);
    wait_until_sent();
    settings(latency_ms => 0);
    my $arrived = grep {
        my $r = recipient($_);
        $r->{main}{email} && @{ $r->{newsletter} } == 2 && @{ $r->{waitlist} } == 1;
    } @ids;
    is($arrived, 200, 'none is lost');
};

subtest 'the database crashes' => sub {
    $ctms->crash_database;
    my ($id) = add_contacts('restart', 1);
    wait_until_sent();
    is(recipient($id)->{main}{email}, 'restart1@example.com', 'the agent comes back by itself');
};

subtest 'SIGTERM' => sub {
    settings(latency_ms => 300);
    my @ids = add_contacts('term', 100);
    poll_until(sub { 10 < grep { $_ } @{ stats()->{sent} }{@ids} }, 'some are sent');
    is($ctms->stop_program('agent'), 0, 'ends well');
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic WHERE lease_owner IS NOT NULL'), 0,
        'nothing is held');
    my $left = pending();
    cmp_ok($left, '>', 0, 'the rest waits');
    my @sent = grep { stats()->{sent}{$_} } @ids;
    is(100 - $left, scalar(@sent), 'what was in flight is finished');
    my @complete = grep { my $r = recipient($_); @{ $r->{newsletter} // [] } == 2 } @sent;
    is(scalar(@complete), scalar(@sent), 'with its rows');
    settings(latency_ms => 0);
};

subtest 'three agents share a backlog' => sub {
    my $before = stats();
    settings(latency_ms => 20);
    # Small claims, and all awake before there is work: none can take all at once.
    $ctms->start_agent(NAME => $_, CTMS_ACOUSTIC_BATCH_LIMIT => 20) for qw(one two three);
    poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.acoustic_agent') == 3 },
        'all are there');
    my @ids = add_contacts('share', 600);
    wait_until_sent();
    my $stats = stats();
    is(scalar(grep { $stats->{sent}{$_} != 1 } @ids), 0, 'each contact is sent once');
    is("$stats->{max_in_flight_seen} $stats->{refused_concurrent}", '10 0',
        'never more than ten in flight');
    cmp_ok(scalar(lines($_, "sync'd contact")), '>', 0, "agent $_ did its part")
        for qw(one two three);
    is($ctms->stop_program($_), 0, "$_ stops") for qw(one two three);
    settings(latency_ms => 0);
};

subtest 'more agents than requests' => sub {
    $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/reset", '');
    settings(latency_ms => 20, max_in_flight => 2);
    $ctms->start_agent(NAME => $_, CTMS_ACOUSTIC_MAX_IN_FLIGHT => 2, CTMS_ACOUSTIC_TIMEOUT_S => 1)
        for qw(four five six);
    my @ids = add_contacts('crowd', 60);
    wait_until_sent();
    my $stats = stats();
    cmp_ok($stats->{max_in_flight_seen}, '<=', 2, 'never more than two in flight');
    is($stats->{refused_concurrent}, 0, 'and none refused');
    is($ctms->stop_program($_), 0, "$_ stops") for qw(four five six);
    is($ctms->sql('SELECT count(*) FROM ctms.acoustic_agent'), 0, 'and signs off');
    settings(latency_ms => 0, max_in_flight => 10);
};

# The slots that agents have must survive a crash of the database, because an agent keeps them until
# it asks again.
subtest 'the database crashes while requests are in flight' => sub {
    $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/reset", '');
    settings(latency_ms => 500);
    my @ids = add_contacts('crash', 400);
    $ctms->start_agent(NAME => $_, CTMS_ACOUSTIC_BATCH_LIMIT => 20) for qw(seven eight nine);
    my $shares = "SELECT count(*) = 3 AND min(slots) >= 3 FROM ctms.acoustic_agent";
    poll_until(sub { $ctms->sql($shares) eq 't' }, 'all have a part');
    for (1 .. 2)
    {
        $ctms->node->stop('immediate');
        $ctms->node->start;
        my $sent = stats()->{recipients};
        poll_until(sub { stats()->{recipients} > $sent + 30 }, 'they go on');
    }
    my $stats = stats();
    is("$stats->{max_in_flight_seen} $stats->{refused_concurrent}", '10 0',
        'never more than ten in flight');
    settings(latency_ms => 0);
    wait_until_sent();
    $ctms->stop_program($_) for qw(seven eight nine);
};

subtest 'flags' => sub {
    my ($id) = add_contacts('flag', 1);
    my $sent = stats()->{requests}{AddRecipient};
    $ctms->start_agent(NAME => 'idle', CTMS_ACOUSTIC_SYNC_FEATURE_FLAG => 'false',
        CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.1);
    poll_until(sub { 3 < lines('idle', 'cycle complete') }, 'three idle cycles');
    is(pending(), 1, 'sync off: the queue is left alone');
    is($ctms->stop_program('idle'), 0, 'and it stops');
    $ctms->start_agent(NAME => 'dry', CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG => 'false');
    wait_until_sent();
    is(stats()->{requests}{AddRecipient}, $sent, 'integration off: drained without sending');
    poll_until(sub { grep { $_->{Fields}{count_skipped} } lines('dry', 'cycle complete') },
        'counted as skipped');
    pass('and counted as skipped');
};

done_testing();
