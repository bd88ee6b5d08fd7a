# Throughput of ctms.upsert_stripe(): one session next to CTMS_BENCH_SESSIONS (16), by turns. Run by
# "make bench-stripe".
#
# CTMS_BENCH_SECONDS (5) for each measurement, after one that does not count, CTMS_BENCH_TURNS (3),
# on each of CTMS_BENCH_DISKS (see CTMS::Bench). All figures are medians, and ratios those of turns.
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle ratio setting);
use CTMS::BenchLoad qw(pgbench);
use CTMS::Test qw(slurp);
use Test::More;

my $seconds = setting(SECONDS => 5);
my $sessions = setting(SESSIONS => 16);
my $turns = setting(TURNS => 3);
my $bench = CTMS::Bench->new('bench_stripe', conf => "shared_buffers = 256MB\n");
$bench->sql(slurp("$ENV{CTMS_TEST_TOP}/bench/stripe/setup.sql"));

my $upsert = 'SELECT ctms.upsert_stripe(subscription(:n, \'price_\' || :n % 10, ';
my $change = "$upsert 's' || :r), clock_timestamp());";
my @loads = (
    [ 'what is stored comes again', 20_000, "$upsert 'active'), '2020-01-01');" ],
    [ 'subscriptions change', 20_000, $change ],
    [ 'new subscriptions of one price', 20_000, q{SELECT ctms.upsert_stripe(
        subscription(nextval('fresh')::int, 'price_0', 'active'), clock_timestamp());} ],
    # Sessions mostly want the same rows.
    [ 'the same 20 change', 20, "$change\n" . q{SELECT ctms.upsert_stripe(customer(:n)
        || jsonb_build_object('default_source', 'card_' || :r), clock_timestamp());} ]);

for my $disk ($bench->disks)
{
    $bench->use_disk($disk);
    diag sprintf 'disk %-8s %-32s %10s %12s %6s', $disk, 'transactions a second', '1 session',
        "$sessions sessions", 'ratio';
    for (@loads)
    {
        my ($name, $objects, $script) = @$_;
        my ($one, $many) = by_turns($turns, map {
            my $clients = $_;
            sub { pgbench($bench, script => $script, clients => $clients, contacts => $objects,
                    seconds => $seconds) };
        } 1, $sessions);
        diag sprintf '%-13s %-32s %10.0f %12.0f %6.2f', '', $name, middle($one, 'rate'),
            middle($many, 'rate'), ratio($many, $one, 'rate');
    }
}
my @errors = slurp($bench->node->logfile) =~ /(?:ERROR|FATAL|PANIC):.*/g;
is(join("\n", @errors), '', 'the server has reported no errors');
done_testing();
