# Agents and the database die at random moments, Acoustic fails at random, contacts change all
# the time: at the end Acoustic holds exactly what the database holds, and never more than ten
# requests were in flight.
#
# CTMS_TEST_ROUNDS (3) and CTMS_TEST_SEED (random) make it long, or the same again.

use strict;
use warnings;
use JSON::PP;
use Time::HiRes qw(sleep time);
use Test::More;
use CTMS::Test qw(poll_until);

my $rounds = $ENV{CTMS_TEST_ROUNDS} // 3;
my $seed = $ENV{CTMS_TEST_SEED} // int(rand(1 << 30));
srand $seed;
note "seed $seed, $rounds rounds";

my $ctms = CTMS::Test->new('crashes', conf => "ctms.acoustic_retry_delay = '50ms'");
my @own = (CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 0.5, CTMS_ACOUSTIC_LEASE_S => 3,
    CTMS_DB_TIMEOUT_S => 3, CTMS_LOGGING_LEVEL => 'ERROR', CTMS_ACOUSTIC_RETRY_LIMIT => 100);
$ctms->start_sandbox;
my $started = 0;
my @agents = map { start_agent() } 1 .. 2;

sub start_agent { my $name = 'agent' . ++$started; $ctms->start_agent(NAME => $name, @own); return $name }
sub pick { return $_[ int rand @_ ] }
sub settings { my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings", {@_}); die $r->{content} if $r->{status} != 200 }
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }

$ctms->sql(<<'SQL');
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name)
    SELECT 'crash' || i || '@example.com', 'Name ' || i FROM generate_series(1, 120) i RETURNING email_id),
n AS (INSERT INTO ctms.newsletters (email_id, name, subscribed) SELECT email_id, 'n' || k, true FROM c, generate_series(1, 2) k)
INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'relay', '{"geo": "fr"}' FROM c
SQL

# Changes some contacts; the database may be away.
sub change
{
    my ($table, $set) = @{ pick([ 'emails', "first_name = 'Name ' || random()" ], [ 'newsletters', 'subscribed = NOT subscribed' ],
        [ 'waitlists', "source = 'from ' || random()" ]) };
    my $share = pick(0.01, 0.1, 0.5);
    $ctms->node->psql('ctms', "UPDATE ctms.$table SET $set WHERE random() < $share");
    return;
}

my @faults = (
    { answer => 'html', probability => 0.1 }, { answer => 'cut', probability => 0.1 }, { answer => 'empty', probability => 0.1 },
    { answer => 'cut', probability => 0.1, apply => JSON::PP::true }, { answer => 'empty', probability => 0.1, apply => JSON::PP::true },
    { answer => 'fault', errorid => 50, probability => 0.1 }, { answer => 'fault', errorid => 145, probability => 0.05 },
    { answer => 'fault', errorid => 313, table => 'newsletter', probability => 0.2 },
    { answer => 'failure', failure_type => 'transient', text => 'Database Deadlock', probability => 0.02 },
    { answer => 'fault', errorid => 150, probability => 0.02 }, { answer => 'normal', delay_ms => 200, probability => 0.1 },
    { operation => 'token', answer => 'html', probability => 0.3 });

for my $round (1 .. $rounds)
{
    settings(latency_ms => pick(0, 5, 50), jitter_ms => pick(0, 20), faults => [ map { pick(@faults) } 1 .. pick(0, 1, 3) ]);
    my $until = time + 0.5 + rand 1;
    while (time < $until) { change(); sleep rand 0.1 }
    my $what = pick('agent', 'agent', 'agent', 'all agents', 'database', 'stop', 'token');
    if ($what eq 'database') { $ctms->node->restart('immediate') }
    elsif ($what eq 'token') { $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/revoke-token", '') }
    elsif ($what eq 'all agents') { $ctms->stop_program($_, 'KILL') for @agents; @agents = map { start_agent() } 1 .. 2 }
    else
    {
        my $victim = int rand @agents;
        $ctms->stop_program($agents[$victim], $what eq 'stop' ? 'TERM' : 'KILL');
        $agents[$victim] = start_agent();
    }
}

settings(latency_ms => 0, jitter_ms => 0, faults => []);
change();
$ctms->sql('SELECT ctms.reset_acoustic_retries()');
poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 }, 'the queue is empty', 120);

my %expected;
for my $line (split /\n/, $ctms->sql(q{SELECT json_build_array(email_id, kind, fields) FROM ctms.acoustic_rows(ARRAY(SELECT email_id FROM ctms.emails))}))
{
    my ($id, $kind, $fields) = @{ decode_json($line) };
    if ($kind eq 'main') { $expected{$id}{main} = $fields }
    else { $expected{$id}{$kind}{ $fields->{"${kind}_name"} } = $fields }
}
my %found;
for my $r (@{ $ctms->sandbox('/_sandbox/recipients?limit=100000')->{json}{recipients} })
{
    $found{ $r->{email_id} }{main} = $r->{main};
    for my $kind (qw(newsletter waitlist)) { $found{ $r->{email_id} }{$kind}{ $_->{"${kind}_name"} } = $_ for @{ $r->{$kind} } }
}
is_deeply(\%found, \%expected, 'Acoustic holds what the database holds') or diag "seed $seed";
cmp_ok(stats()->{max_in_flight_seen}, '<=', 10, 'never more than ten requests in flight') or diag "seed $seed";
is(stats()->{rows_before_recipient}, 0, 'no row came before its contact');
is($ctms->stop_program($_), 0, "$_ stops well") for @agents;
my $states = $ctms->sql('SELECT count(*) FROM ctms.acoustic_agents WHERE lease_until > now() + interval \'1 minute\'');
is($states, 0, 'no agent is left for long');

done_testing();
