# What the views for reports cost: processor time of one session, without parallel workers. Run by
# "make bench-reporting".
#
# Counts of segments by ctms.contact_products next to the same by ctms.product_subscriptions(), by
# turns, for databases with few and many contacts and Stripe rows; then what each view takes.
# CTMS_BENCH_CONTACTS (200000) have two newsletters and a waitlist each, and all have an FxA ID; one
# of CTMS_BENCH_PARTS (10) is a Stripe customer with two subscriptions. CTMS_BENCH_TURNS (3).
use strict;
use warnings;
use CTMS::Bench qw($PROCESSOR_US by_turns middle ratio setting);
use CTMS::BenchContacts qw(fill);
use Test::More;

my $contacts = setting(CONTACTS => 200_000);
my $parts = setting(PARTS => 10);
my $turns = setting(TURNS => 3);
my $bench = CTMS::Bench->new('bench_reporting', conf => "shared_buffers = 512MB\n");
my $node = $bench->node;

sub make
{
    my ($database, $people, $customers) = @_;
    if ($database ne 'ctms')
    {
        $node->safe_psql('postgres', "CREATE DATABASE $database");
        $node->safe_psql($database, 'CREATE EXTENSION ctms');
    }
    fill($bench, $database, $people);
    $node->safe_psql($database, $_) for $PROCESSOR_US, <<"SQL", 'VACUUM ANALYZE', <<'SQL';
SET session_replication_role = replica;
INSERT INTO ctms.fxa (email_id, fxa_id) SELECT email_id, 'fxa_' || n FROM public.ids;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency)
    SELECT 'price_' || n, 'prod_' || n / 2, '2020-01-01', true, 'usd'
    FROM generate_series(0, 9) AS n;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
    SELECT 'cus_' || n, 'fxa_' || n, '2020-01-01' FROM generate_series(1, $customers) AS n;
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
    cancel_at_period_end, current_period_end, current_period_start, start_date, status)
    SELECT 'sub_' || n || '_' || k, 'cus_' || n, '2020-01-01', false, '2022-01-01', '2021-01-01',
        '2020-01-01', (ARRAY['active', 'canceled', 'past_due'])[1 + n % 3]
    FROM generate_series(1, $customers) AS n, generate_series(1, 2) AS k;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id,
    stripe_created)
    SELECT 'si_' || n || '_' || k, 'sub_' || n || '_' || k, 'price_' || n * k % 10, '2020-01-01'
    FROM generate_series(1, $customers) AS n, generate_series(1, 2) AS k;
SQL
CREATE FUNCTION public.taken_us(query text) RETURNS numeric LANGUAGE plpgsql
    SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    start numeric := processor_us();
BEGIN
    EXECUTE query;
    RETURN processor_us() - start;
END $$;
SQL
    return;
}

sub taken_ms
{
    my ($database, $query) = @_;
    return sub { +{ ms => $node->safe_psql($database, "SELECT public.taken_us(\$q\$$query\$q\$)")
            / 1000 } };
}

my $by_view = 'SELECT product_id, segment, count(*) FROM ctms.contact_products
    GROUP BY product_id, segment';
my $by_function = 'SELECT p.product_id, p.segment, count(*) FROM ctms.emails AS e,
    ctms.product_subscriptions(e.email_id) AS p GROUP BY p.product_id, p.segment';
my $customers = int($contacts / $parts);
make('ctms', $contacts, $customers);
make('few_contacts', $customers, $customers);
make('few_customers', $contacts, int($customers / $parts));

is($node->safe_psql('few_contacts', "$by_view ORDER BY 1, 2"),
    $node->safe_psql('few_contacts', "$by_function ORDER BY 1, 2"), 'both count the same');

diag sprintf '%-14s %10s %10s %12s %12s %10s', 'ms', 'contacts', 'customers', 'function', 'view',
    'ratio';
for ([ 'ctms', $contacts, $customers ], [ 'few_contacts', $customers, $customers ],
    [ 'few_customers', $contacts, int($customers / $parts) ])
{
    my ($database, $people, $payers) = @$_;
    my ($function, $view) =
        by_turns($turns, taken_ms($database, $by_function), taken_ms($database, $by_view));
    diag sprintf '%-14s %10d %10d %12.0f %12.0f %10.5f', '', $people, $payers,
        middle($function, 'ms'), middle($view, 'ms'), ratio($view, $function, 'ms');
}
my $one = 'SELECT * FROM ctms.contact_products WHERE email_id = public.id_of(7)';
my @queries = (map({ "SELECT * FROM ctms.$_" }
        qw(segment_counts newsletter_counts waitlist_counts stripe_unconnected)),
    q{SELECT value, count(*) FROM ctms.waitlist_answers('relay') GROUP BY value}, $one);
my @taken = by_turns($turns, map { taken_ms('ctms', $_) } @queries);
diag sprintf '%-70s %8.1f ms', substr($queries[$_], 0, 70), middle($taken[$_], 'ms')
    for 0 .. $#queries;
done_testing();
