# How soon a person's change is at Acoustic while a wave waits: with CTMS_BENCH_BULK (1000000)
# contacts in bulk and without, by turns (CTMS_BENCH_TURNS, 3) of CTMS_BENCH_SECONDS (20), at
# CTMS_BENCH_LIVE (48) changes a second: half of what ten requests in flight of 100 ms can carry.
# Run by "make bench-agent". Beside other work run it as "chrt -f 10 make bench-agent".
#
# The changed contacts are among those of the wave. A change has arrived when Acoustic has accepted
# the contact's main row: that is 100 ms after the request came.

use strict;
use warnings;
use CTMS::Bench qw(by_turns median middle quantile ratio setting spew);
use CTMS::BenchContacts qw(fill);
use CTMS::Test qw(poll_until);
use Test::More;
use Time::HiRes qw(sleep time);

use constant LATENCY_MS => 100;

# A change that has not arrived so long after the last one counts as if it arrived then.
use constant PATIENCE_S => 20;

my $bulk = setting(BULK => 1_000_000);
my $turns = setting(TURNS => 3);
my $seconds = setting(SECONDS => 20);
my $live = setting(LIVE => 48);
my $bench = CTMS::Bench->new('bench_agent_lanes',
    conf => "shared_buffers = 1GB\ntrack_commit_timestamp = on\n");
fill($bench, 'ctms', $bulk);
$bench->sql('CREATE TABLE public.changes (turn integer, email_id uuid)');
$bench->start_sandbox;
my $set = $bench->request(POST => "http://127.0.0.1:$bench->{sandbox_port}/_sandbox/settings",
    { latency_ms => LATENCY_MS });
die $set->{content} if $set->{status} != 200;
my $script = spew($bench->node->basedir . '/live.sql', <<"SQL");
\\set n random(1, $bulk)
WITH c AS (INSERT INTO public.changes VALUES (:turn, public.id_of(:n)))
UPDATE ctms.emails SET first_name = 'Live ' || random() WHERE email_id = public.id_of(:n);
SQL

sub stats { return $bench->sandbox('/_sandbox/stats?sent=0')->{json} }

sub fill_queue
{
    for (my $first = 1; $first <= $bulk; $first += 100_000)
    {
        $bench->sql("SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM public.ids
            WHERE n BETWEEN $first AND $first + 99999");
    }
    $bench->sql('VACUUM ANALYZE ctms.pending_acoustic; CHECKPOINT');
    return;
}

# Changes come at random times, at this rate on average.
sub change
{
    my ($turn) = @_;
    my $out = `pgbench -n -M prepared -c 4 -R $live -T $seconds -D turn=$turn -f $script \\
        -h ${\$bench->node->host} -p ${\$bench->node->port} ctms 2>&1`;
    die "ctms: pgbench: $out" if $? || $out !~ /failed transactions: 0 /;
    return;
}

# For each change of the turn, the milliseconds from its commit to the first request of its contact
# after that; undefined while there is none.
sub delays
{
    my ($turn, $after) = @_;
    my %times;
    push @{ $times{ $_->{email_id} } }, $_->{time}
        for grep { $_->{operation} eq 'AddRecipient' }
        @{ $bench->sandbox("/_sandbox/ledger?after=$after&limit=100000")->{json} };
    return map {
        my ($email_id, $commit) = split /\|/;
        my ($arrived) = grep { $_ > $commit } @{ $times{$email_id} // [] };
        defined $arrived ? 1000 * ($arrived - $commit) : undef;
    } split /\n/, $bench->sql("SELECT email_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))
        FROM public.changes WHERE turn = $turn");
}

my $turn = 0;
sub measure
{
    my ($is_bulk) = @_;
    fill_queue() if $is_bulk;
    $turn++;
    my $before = stats();
    $bench->start_agent(CTMS_LOGGING_LEVEL => 'INFO');
    poll_until(sub { $bench->sql('SELECT count(*) FROM ctms.acoustic_agent') > 0 }, 'an agent');
    poll_until(sub { stats()->{requests}{AddRecipient} > $before->{requests}{AddRecipient} + 100 },
        'the line is at work') if $is_bulk;
    my $from = stats();
    my $begun = time;
    change($turn);
    my $rate = (stats()->{requests}{AddRecipient} - $from->{requests}{AddRecipient})
        / (time - $begun);
    my $end = time + PATIENCE_S;
    my @ms;
    do { sleep 0.5; @ms = delays($turn, $from->{ledger}) }
        until time > $end || !grep { !defined } @ms;
    my $late = grep { !defined } @ms;
    my $status = $bench->stop_program('agent');
    die "ctms: the agent ended with status $status\n" if $status;
    $bench->sql('TRUNCATE ctms.pending_acoustic');
    @ms = map { LATENCY_MS + ($_ // 1000 * PATIENCE_S) } @ms;
    diag sprintf '%s: %d changes, p50 %.1f ms, p99 %.1f ms, longest %.1f ms%s; %.1f contacts a'
        . ' second', $is_bulk ? "$bulk in bulk" : 'no backlog', scalar @ms,
        quantile(0.5, @ms), quantile(0.99, @ms), quantile(1, @ms),
        $late ? " ($late did not arrive)" : '', $rate;
    return { p50 => quantile(0.5, @ms), p99 => quantile(0.99, @ms), rate => $rate };
}

my ($none, $wave) = by_turns($turns, sub { measure(0) }, sub { measure(1) });
sub put
{
    my ($name, $format, @figures) = @_;
    diag sprintf '| %-48s |' . " $format |" x @figures, $name, @figures;
    return;
}
put('', '%12s', 'no backlog', "$bulk", 'ratio');
put('---', '%12s', '---', '---', '---');
put('change accepted by Acoustic: p50, ms', '%12.1f', middle($none, 'p50'), middle($wave, 'p50'));
put('/ without backlog', '%12.2f', 1, ratio($wave, $none, 'p50'));
put('p99, ms', '%12.1f', middle($none, 'p99'), middle($wave, 'p99'));
put('/ without backlog', '%12.2f', 1, ratio($wave, $none, 'p99'));
put('contacts a second', '%12.1f', map { middle($_, 'rate') } $none, $wave);
pass('measured');
done_testing();
