# Requests whose answer does not come keep their slot, because Acoustic may still be at work on
# them: however late Acoustic is, it never has more of them than are allowed.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use CTMS::Test qw(poll_until);

# A time-out of half a second: such a slot is free again after three and a half.
my @own = (CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 0.5,
    CTMS_ACOUSTIC_LEASE_S => 8, CTMS_ACOUSTIC_RETRY_LIMIT => 1000);
my $ctms = CTMS::Test->new('slots', settings => { acoustic_retry_delay => '50ms' });
$ctms->start_sandbox;

sub url { return "http://127.0.0.1:$ctms->{sandbox_port}$_[0]" }
sub settings
{
    my $r = $ctms->request(POST => url('/_sandbox/settings'), {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }
sub pending { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub held
{
    return $ctms->sql('SELECT COALESCE(sum(slots), 0) FROM ctms.acoustic_agent
        WHERE lease_until > clock_timestamp()');
}

sub add_contacts
{
    my ($name, $count) = @_;
    $ctms->sql(<<~"SQL");
        WITH c AS (INSERT INTO ctms.emails (primary_email)
            SELECT '$name' || i || '\@example.com' FROM generate_series(1, $count) i
            RETURNING email_id)
        INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'hubs' FROM c
        SQL
    return;
}

# Sends contacts while the faults hold, then the rest; returns the sandbox's counts.
sub run_with
{
    my ($name, $agents, @faults) = @_;
    $ctms->request(POST => url('/_sandbox/reset'), '');
    settings(faults => [@faults]);
    add_contacts($name, 60);
    $ctms->start_agent(NAME => "$name$_", @own) for 1 .. $agents;
    poll_until(sub { pending() == 0 }, "$name: everything is sent", 120);
    my $stats = stats();
    is($ctms->stop_program("$name$_"), 0, "$name: an agent stops") for 1 .. $agents;
    is("$stats->{refused_concurrent}", 0, "$name: none was refused");
    cmp_ok($stats->{max_in_flight_seen}, '<=', 10, "$name: never more than ten at work");
    return $stats;
}

# ---- requests that Acoustic is late with ---------------------------------------------

for my $agents (1, 2)
{
    my $stats = run_with("late$agents", $agents,
        { answer => 'normal', delay_ms => 2500, skip => 4, count => 8 },
        { answer => 'normal', delay_ms => 2500, skip => 14, count => 3 });
    cmp_ok($stats->{requests}{AddRecipient}, '>', 60, 'and some were sent again');
}

# ---- connections that end, with the work going on -------------------------------------

run_with('cut', 2, { answer => 'cut', delay_ms => 300, work_ms => 2500, count => 10 });
run_with('proxy', 2,
    { answer => 'html', status => 504, delay_ms => 300, work_ms => 2500, count => 10 });

# ---- an agent that stops, or is killed ------------------------------------------------

for my $case ([ stop => 'TERM' ], [ kill => 'KILL' ])
{
    my ($name, $signal) = @$case;
    $ctms->request(POST => url('/_sandbox/reset'), '');
    settings(faults => [ { answer => 'normal', delay_ms => 2500, count => 10 } ]);
    add_contacts($name, 60);
    $ctms->start_agent(NAME => "$name-first", @own);
    poll_until(sub { $ctms->log_of("$name-first") =~ /timed out/ }, "$name: requests time out");
    $ctms->stop_program("$name-first", $signal);
    cmp_ok(held(), '>', 0, "$name: their slots are held");
    $ctms->start_agent(NAME => "$name-second", @own);
    poll_until(sub { pending() == 0 }, "$name: the next agent sends everything", 60);
    cmp_ok(stats()->{max_in_flight_seen}, '<=', 10, "$name: never more than ten at work");
    is($ctms->stop_program("$name-second"), 0, "$name: it stops");
    poll_until(sub { held() == 0 }, "$name: in the end no slot is held any more");
}

# ---- a service that cannot be reached -------------------------------------------------

# A request that was not sent holds no slot: when Acoustic is there again, all may be sent at once.
my $port = $ctms->{sandbox_port};
$ctms->stop_program('sandbox');
add_contacts('unreachable', 30);
$ctms->start_agent(NAME => 'alone', @own);
poll_until(sub { $ctms->log_of('alone') =~ /could not get an access token/ },
    'Acoustic is away');
$ctms->start_sandbox;
poll_until(sub { pending() == 0 }, 'it is there again', 60);
is($ctms->stop_program('alone'), 0, 'the agent stops');
is(held(), 0, 'and holds nothing');

done_testing();
