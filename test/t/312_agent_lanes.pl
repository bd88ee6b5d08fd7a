# Live contacts and waves: a person's change overtakes what waits in bulk, and bulk never stands
# still. The order is that of the requests in the sandbox.

use strict;
use warnings;
use List::Util qw(max);
use Test::More;
use CTMS::Test qw(poll_until);

my $ctms = CTMS::Test->new('agent_lanes', settings => { acoustic_retry_delay => '100ms' });
$ctms->start_sandbox;

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }
sub recipient { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json} }
sub pending { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub wait_until_sent { return poll_until(sub { pending() == 0 }, 'the queue is empty', 60) }

# Ids in the order in which their AddRecipient came, since the ledger had so many entries.
sub sent_since
{
    return map { $_->{operation} eq 'AddRecipient' ? $_->{email_id} : () }
        @{ $ctms->sandbox("/_sandbox/ledger?after=$_[0]&limit=10000")->{json} };
}

# Adds contacts with two newsletters each, in transactions of so many; returns their ids.
sub add_contacts
{
    my ($name, $count, $each) = @_;
    for (my $first = 1; $first <= $count; $first += $each)
    {
        my $last = $first + $each - 1;
        $ctms->sql(<<SQL);
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name)
    SELECT '$name' || i || '\@example.com', 'Name' FROM generate_series($first, $last) i
    RETURNING email_id)
INSERT INTO ctms.newsletters (email_id, name, subscribed)
    SELECT email_id, 'n' || k, true FROM c, generate_series(1, 2) k
SQL
    }
    return split /\n/,
        $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email LIKE '$name%' ORDER BY 1");
}

sub add_bulk { my ($name, $count) = @_; return add_contacts($name, $count, $count) }
sub add_live { my ($name, $count) = @_; return add_contacts($name, $count, 20) }

# Places of these ids in the list.
sub places
{
    my ($list, @ids) = @_;
    my %wanted = map { $_ => 1 } @ids;
    return grep { $wanted{ $list->[$_] } } 0 .. $#$list;
}

sub start_slow
{
    my ($latency_ms, %env) = @_;
    settings(latency_ms => $latency_ms);
    $ctms->start_agent(CTMS_ACOUSTIC_MAX_IN_FLIGHT => 1, %env);
    return;
}

subtest 'a live change overtakes the wave' => sub {
    my @bulk = add_bulk('wave', 150);
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic WHERE is_bulk'), 150, 'a wave waits');
    start_slow(100);
    poll_until(sub { stats()->{requests}{AddRecipient} >= 5 }, 'it is being sent');
    my ($live) = add_live('person', 1);
    # With their rows: these do not wait for the wave's.
    poll_until(sub { !$ctms->sql("SELECT count(*) FROM ctms.pending_acoustic
        WHERE email_id = '$live'") }, 'the change is sent');
    cmp_ok(pending(), '>', 75, 'and most of the wave still waits');
    is(scalar(@{ recipient($live)->{newsletter} }), 2, 'the change has its rows');
    # One that waits already.
    my $changed = $ctms->sql('SELECT email_id FROM ctms.pending_acoustic
        WHERE lease_owner IS NULL ORDER BY create_timestamp DESC, email_id LIMIT 1');
    $ctms->sql("UPDATE ctms.emails SET first_name = 'Live' WHERE email_id = '$changed'");
    poll_until(sub { !$ctms->sql("SELECT count(*) FROM ctms.pending_acoustic
        WHERE email_id = '$changed'") }, 'a contact of the wave changes');
    cmp_ok(pending(), '>', 30, 'and overtakes the others');
    is(recipient($changed)->{main}{first_name}, 'Live', 'with its change');
    settings(latency_ms => 10);
    wait_until_sent();
    is(scalar(grep { $_ != 1 } @{ stats()->{sent} }{@bulk}), 0, 'each was sent once');
    poll_until(sub { $ctms->sql('SELECT ctms.acoustic_rate() > 0') eq 't' }, 'the rate is known');
    is($ctms->stop_program('agent'), 0, 'the agent stops');
    is($ctms->sql('SELECT ctms.acoustic_rate() IS NULL'), 't', 'and with it the rate');
};

subtest 'bulk gets one in ten' => sub {
    my $before = stats()->{ledger};
    my @bulk = add_bulk('share', 120);
    my @live = add_live('crowd', 200);
    start_slow(10);
    wait_until_sent();
    my @sent = sent_since($before);
    my @places = places(\@sent, @live);
    is(scalar(@places), 200, 'all live contacts are sent, once');
    is(scalar(@sent), 320, 'and all others');
    # Until the last live one there is a live one in each ten, and nine of ten are live.
    my @beside = @sent[ 0 .. $places[-1] ];
    my $bulk = places(\@beside, @bulk);
    cmp_ok($bulk, '>=', 15, 'bulk does not stand still');
    cmp_ok($bulk, '<=', 30, 'and live comes first');
    my ($longest, $row) = (0, 0);
    my %is_bulk = map { $_ => 1 } @bulk;
    for my $id (@beside)
    {
        $row = $is_bulk{$id} ? 0 : $row + 1;
        $longest = max($longest, $row);
    }
    cmp_ok($longest, '<=', 20, 'evenly');
    is($ctms->stop_program('agent'), 0, 'the agent stops');
};

subtest 'several agents' => sub {
    my $before = stats()->{ledger};
    settings(latency_ms => 50);
    $ctms->start_agent(NAME => $_, CTMS_ACOUSTIC_BATCH_LIMIT => 20) for qw(one two three);
    poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.acoustic_agent') == 3 },
        'all are there');
    my @bulk = add_bulk('many', 900);
    poll_until(sub { sent_since($before) > 30 }, 'they are at work');
    my @live = add_live('some', 60);
    my $live = join ',', map { "'$_'" } @live;
    poll_until(sub { !$ctms->sql("SELECT count(*) FROM ctms.pending_acoustic
        WHERE email_id IN ($live)") }, 'live contacts are sent');
    cmp_ok(pending(), '>', 200, 'before most of the wave');
    settings(latency_ms => 0);
    wait_until_sent();
    my $stats = stats();
    is(scalar(grep { $stats->{sent}{$_} != 1 } @live, @bulk), 0, 'each contact is sent once');
    cmp_ok($stats->{max_in_flight_seen}, '<=', 10, 'never more than ten in flight');
    is($stats->{refused_concurrent}, 0, 'and none refused');
    is($ctms->stop_program($_), 0, "$_ stops") for qw(one two three);
};

subtest 'a change of a contact that the agent holds' => sub {
    add_bulk('held', 120);
    start_slow(500);
    my $held = poll_until(sub { $ctms->sql('SELECT email_id FROM ctms.pending_acoustic
        WHERE lease_owner IS NOT NULL ORDER BY create_timestamp DESC, email_id DESC LIMIT 1') },
        'the agent holds contacts');
    $ctms->sql("UPDATE ctms.emails SET first_name = 'Later' WHERE email_id = '$held'");
    is($ctms->sql("SELECT is_bulk FROM ctms.pending_acoustic WHERE email_id = '$held'"), 'f',
        'one changes');
    settings(latency_ms => 20);
    poll_until(sub { !$ctms->sql("SELECT count(*) FROM ctms.pending_acoustic
        WHERE email_id = '$held'") }, 'it is sent');
    cmp_ok(pending(), '>', 20, 'before most of the wave');
    is(recipient($held)->{main}{first_name}, 'Later', 'the last state wins');
    settings(latency_ms => 300);
};

subtest 'the agent stops' => sub {
    is($ctms->stop_program('agent'), 0, 'in the middle of a wave');
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic WHERE lease_owner IS NOT NULL'), 0,
        'what it held is given back');
    is($ctms->sql('SELECT bool_and(is_bulk) FROM ctms.pending_acoustic'), 't', 'in its lane');
    settings(latency_ms => 0);
    $ctms->start_agent;
    wait_until_sent();
    is($ctms->stop_program('agent'), 0, 'another sends the rest');
};

done_testing();
