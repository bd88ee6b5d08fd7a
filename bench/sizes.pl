# What contacts take on disk, by table and by index, and which pages calls touch: what
# docs/scaling.md is made from. Run by "make bench-sizes".
#
# CTMS_BENCH_CONTACTS (1000000) have two newsletters and a waitlist each. One of CTMS_BENCH_PARTS
# (10) also has an FxA account and is a customer of Stripe, with a subscription of one item and
# twelve invoices of one line. Bytes are told as the rows were stored; when each contact and one of
# its newsletters have changed CTMS_BENCH_CHANGES (2) times, with a vacuum after each fifth of that;
# and of the queue. Then what CTMS_BENCH_CALLS (5000) of each kind touch, for contacts anywhere,
# with CTMS_BENCH_BUFFERS (256MB) of shared buffers. Bytes and pages are exact, however busy the
# machine is. A million contacts need some 10 GB of disk while it runs.
use strict;
use warnings;
use CTMS::Bench qw(setting);
use CTMS::BenchContacts qw(fill);
use List::Util qw(sum0);
use Test::More;

my $contacts = setting(CONTACTS => 1_000_000);
my $parts = setting(PARTS => 10);
my $calls = setting(CALLS => 5000);
my $changes = setting(CHANGES => 2);
my $buffers = setting(BUFFERS => '256MB');
my $customers = int($contacts / $parts);
die "ctms: $contacts contacts are too few to be measured\n" if $customers < 1000;
my $bench = CTMS::Bench->new('bench_sizes', conf => join "\n", "shared_buffers = $buffers",
    'synchronous_commit = off', 'autovacuum = off', '');
my $node = $bench->node;

# ---- contacts and customers ----------------------------------------------------------------------

# Ids are as long as those of Stripe and FxA, and as random.
fill($bench, 'ctms', $contacts);
$bench->sql($_) for <<"SQL", 'VACUUM ANALYZE';
SET session_replication_role = replica;
CREATE FUNCTION public.key(kind text, length int, n bigint) RETURNS text LANGUAGE sql IMMUTABLE
    PARALLEL SAFE AS \$\$ SELECT kind || '_' || substr(md5(kind || n), 1, length) \$\$;
CREATE TABLE public.customer AS SELECT row_number() OVER (ORDER BY random()) AS n, email_id
    FROM (SELECT email_id FROM public.ids ORDER BY random() LIMIT $customers) AS chosen;
INSERT INTO ctms.fxa (fxa_id, email_id, primary_email, created_date, lang, first_service)
    SELECT md5(c.n::text), c.email_id, e.primary_email, '2021-05-06T07:08:09.123Z', 'fr,en-US',
        'sync'
    FROM public.customer AS c JOIN ctms.emails AS e USING (email_id) ORDER BY c.email_id;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency,
        recurring_interval, recurring_interval_count, unit_amount)
    SELECT key('price', 24, n), key('prod', 14, n / 2), '2020-01-01', true, 'usd', 'month', 1, 499
    FROM generate_series(0, 9) AS n;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, invoice_settings_default_payment_method_id,
        stripe_created, message_timestamp)
    SELECT key('cus', 14, n), md5(n::text), key('pm', 24, n), now(), now() FROM public.customer;
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
        cancel_at_period_end, current_period_end, current_period_start, start_date, status,
        message_timestamp, list_timestamp)
    SELECT key('sub', 24, n), key('cus', 14, n), now(), false, now(), now(), now(), 'active',
        now(), now()
    FROM public.customer;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id,
        stripe_created, message_timestamp)
    SELECT key('si', 14, n), key('sub', 24, n), key('price', 24, n % 10), now(), now()
    FROM public.customer;
INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, default_payment_method_id,
        stripe_created, currency, total, status, message_timestamp, list_timestamp)
    SELECT key('in', 24, 12 * n + month), key('cus', 14, n), key('pm', 24, n), now(), 'usd', 499,
        'paid', now(), now()
    FROM generate_series(1, 12) AS month, public.customer;
INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id, stripe_type,
        stripe_price_id, stripe_subscription_id, stripe_subscription_item_id, amount, currency,
        message_timestamp)
    SELECT key('il', 24, 12 * n + month), key('in', 24, 12 * n + month), 'subscription',
        key('price', 24, n % 10), key('sub', 24, n), key('si', 14, n), 499, 'usd', now()
    FROM generate_series(1, 12) AS month, public.customer;
SQL

# ---- bytes ---------------------------------------------------------------------------------------

# [name, rows, bytes] of each table that has at least so many rows, and after it of its indexes.
sub sizes
{
    my ($like) = @_;
    my $rows = $bench->sql(<<"SQL");
SELECT c.oid::regclass, c.reltuples::bigint, pg_table_size(c.oid), c.relname, 0 FROM pg_class AS c
WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r' AND c.reltuples >= 1000
    AND c.relname ~ '$like'
UNION ALL
SELECT i.indexrelid::regclass, x.reltuples::bigint, pg_relation_size(x.oid), c.relname, 1
FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid
    JOIN pg_class AS x ON x.oid = i.indexrelid
WHERE c.relnamespace = 'ctms'::regnamespace AND c.reltuples >= 1000 AND x.relpages > 1
    AND c.relname ~ '$like'
ORDER BY 4, 5, 1
SQL
    return map { [ (split /\|/)[ 0 .. 2 ] ] } split /\n/, $rows;
}
sub total { return sum0(map { $_->[2] } @_) }

my $CONTACT_TABLES = '^(emails|newsletters|waitlists)$';
my $CUSTOMER_TABLES = '^(fxa|stripe_)';
my $LINE = '%-46s %9s %8s %8s %8s %8s %8s';

sub show
{
    my ($heading, $count, @sizes) = @_;
    diag sprintf $LINE, $heading, 'rows', 'B/row', 'B each', 'GB, 10M', '100M', '1G';
    for (@sizes, [ 'all', 0, total(@sizes) ])
    {
        my ($name, $rows, $bytes) = @$_;
        my $each = $bytes / $count;
        diag sprintf $LINE, $name, $rows || '', $rows ? sprintf('%.1f', $bytes / $rows) : '',
            map { sprintf '%.1f', $_ } $each, map { $each * $_ / 1000 } 10, 100, 1000;
    }
    return;
}

my @stored = map { [ sizes($_) ] } $CONTACT_TABLES, $CUSTOMER_TABLES;
show("a contact, of $contacts", $contacts, @{ $stored[0] });
show("a customer, of $customers", $customers, @{ $stored[1] });

# ---- after changes -------------------------------------------------------------------------------

# Vacuum begins when a fifth of a table has changed, unless its autovacuum is set otherwise.
for my $round (1 .. $changes)
{
    for my $fifth (0 .. 4)
    {
        my $some = "n IN (SELECT n FROM public.ids
            WHERE abs(hashint8(n + $round * 7919)) % 5 = $fifth ORDER BY random())";
        $bench->sql($_) for <<"SQL", 'VACUUM ctms.emails, ctms.newsletters';
SET session_replication_role = replica;
UPDATE ctms.emails AS e SET last_name = 'Last$round', update_timestamp = clock_timestamp()
    FROM public.ids AS i WHERE i.email_id = e.email_id AND $some;
UPDATE ctms.newsletters AS m SET subscribed = ($round % 2 = 0), update_timestamp = clock_timestamp()
    FROM public.ids AS i WHERE i.email_id = m.email_id AND m.name = 'hubs' AND $some;
SQL
    }
}
$bench->sql('VACUUM ANALYZE');
my @changed = sizes($CONTACT_TABLES);
show("a contact, when each has changed $changes times", $contacts, @changed);
diag sprintf 'changes have made them %.2f times as large', total(@changed) / total(@{ $stored[0] });

# ---- the queue -----------------------------------------------------------------------------------

# All contacts wait; then some of them are sent, with all that can be remembered.
my $remembered = $contacts < 100_000 ? $contacts : 100_000;
$bench->sql(<<"SQL");
DO \$\$ BEGIN
    FOR _first IN 1..$contacts BY 10000 LOOP
        PERFORM ctms.enqueue_contacts(ARRAY(SELECT email_id FROM public.ids
            WHERE n BETWEEN _first AND _first + 9999));
        COMMIT;
    END LOOP;
END \$\$;
SQL
$bench->sql('VACUUM ANALYZE');
show('a contact that waits to be sent', $contacts, sizes('^pending_acoustic$'));
$bench->set(acoustic_skip_unchanged => 'on', acoustic_history_sent => 'on');
$bench->sql(<<"SQL");
DO \$\$
DECLARE
    claimed record;
    hashes text[];
BEGIN
    FOR batch IN 1..$remembered / 1000 LOOP
        SELECT array_agg(email_id) AS ids, array_agg(generation) AS generations,
            array_agg(state) AS states INTO claimed
            FROM ctms.claim_acoustic('bench', 1000, 6, '1 minute');
        COMMIT;
        SELECT array_agg(o.fields ORDER BY c.n) INTO hashes
            FROM unnest(claimed.ids) WITH ORDINALITY AS c (email_id, n)
            LEFT JOIN ctms.acoustic_outgoing(claimed.ids, claimed.states) AS o
                ON o.email_id = c.email_id AND o.kind = 'hashes';
        PERFORM ctms.finish_acoustic('bench', claimed.ids, claimed.generations, NULL, hashes);
        COMMIT;
    END LOOP;
END \$\$;
SQL
$bench->sql('VACUUM ANALYZE');
show('a contact that was sent, and is remembered', $remembered,
    sizes('^acoustic_(sent|history)$'));
$bench->set(acoustic_skip_unchanged => undef, acoustic_history_sent => undef);
$bench->sql($_) for 'DO $$ BEGIN WHILE ctms.cancel_acoustic() > 0 LOOP COMMIT; END LOOP; END $$',
    'VACUUM ANALYZE';
diag sprintf 'the queue when nothing waits any more: %.1f MB', $bench->sql(
    q{SELECT pg_total_relation_size('ctms.pending_acoustic')}) / 1e6;

# ---- pages that calls touch ----------------------------------------------------------------------

my $session = $node->background_psql('ctms');

# Of each table and index in ctms: pages that were asked for so far, and those of them that were not
# in shared buffers.
sub pages
{
    $session->query_safe('SELECT pg_stat_force_next_flush()');
    my $rows = $session->query_safe(<<'SQL');
SELECT relname, heap_blks_hit + heap_blks_read + coalesce(toast_blks_hit + toast_blks_read, 0),
    heap_blks_read + coalesce(toast_blks_read, 0)
FROM pg_statio_user_tables WHERE schemaname = 'ctms'
UNION ALL SELECT indexrelname, idx_blks_hit + idx_blks_read, idx_blks_read
FROM pg_statio_user_indexes WHERE schemaname = 'ctms'
SQL
    return map { my ($name, @pages) = split /\|/; $name => \@pages } split /\n/, $rows;
}

# By name of table or index: pages of a call, and those of them that were read.
sub touched
{
    my ($name, $statement) = @_;
    $bench->sql(<<"SQL");
CREATE PROCEDURE measure_$name(done int, calls int) LANGUAGE plpgsql AS \$\$
DECLARE
    ids bigint[] := ARRAY(SELECT floor(random() * $contacts + 1) FROM generate_series(1, calls));
BEGIN
    FOR i IN 1..calls LOOP
        $statement;
        COMMIT;
    END LOOP;
END \$\$;
SQL
    $session->query_safe("CALL measure_$name(0, 100)");
    my %before = pages();
    $session->query_safe("CALL measure_$name(100, $calls)");
    my %after = pages();
    return { map {
        my ($now, $then) = ($after{$_}, $before{$_});
        ($_ => [ map { ($now->[$_] - $then->[$_]) / $calls } 0, 1 ]);
    } keys %after };
}

my @calls = (
    [ get => 'PERFORM ctms.get_contact(public.id_of(ids[i]))' ],
    [ find => 'PERFORM ctms.find_contacts(primary_email => public.address_of(ids[i]))' ],
    [ patch => q{PERFORM ctms.patch_contact(public.id_of(ids[i]),
        '{"email": {"last_name": "' || i || '"}}')} ],
    [ create => q{PERFORM ctms.create_contact('{"email": {"primary_email": "' ||
        md5((done + i)::text) || '@example.com", "basket_token": "' || gen_random_uuid() || '"},
        "newsletters": [{"name": "hubs"}, {"name": "mozilla-and-you"}],
        "waitlists": [{"name": "relay", "fields": {"geo": "fr"}}]}')} ],
    [ stripe => q{PERFORM ctms.upsert_stripe(jsonb_build_object('object', 'customer',
        'id', public.key('cus', 14, -done - i), 'created', 1600000000,
        'description', md5((-done - i)::text), 'default_source', null,
        'invoice_settings', '{"default_payment_method": null}'::jsonb))} ]);
# Until shared buffers hold what they hold in the long run.
$bench->sql("DO \$\$ BEGIN PERFORM count(ctms.get_contact(public.id_of(
    floor(random() * $contacts + 1)::bigint))) FROM generate_series(1, $contacts / 10); END \$\$");
my @touched = map { touched(@$_) } @calls;
$session->quit;
diag "how often a call looks at a page, and how often that is not among $buffers of shared buffers";
diag sprintf '%-46s' . ' %13s' x @calls, 'of', map { $_->[0] } @calls;
my %relations = map { my $call = $_; map { $_ => 1 } grep { $call->{$_}[0] >= 0.05 } keys %$call }
    @touched;
sub cell { return $_[0] < 0.05 ? '' : sprintf '%.1f, %.2f', @_ }
for my $relation (sort keys %relations)
{
    diag sprintf '%-46s' . ' %13s' x @calls, $relation, map { cell(@{ $_->{$relation} }) } @touched;
}
diag sprintf '%-46s' . ' %13s' x @calls, 'all', map {
    my @pages = values %$_;
    cell(map { my $n = $_; sum0(map { $_->[$n] } @pages) } 0, 1);
} @touched;
pass('measured');
done_testing();
