# docs/reporting.md: each query gives what the document shows, of the rows below, to a member of
# ctms_reader, on the primary and on a physical replica. The copies that it makes are refreshed.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('reporting', conf => "wal_level = replica\nmax_wal_senders = 3");
my $node = $ctms->node;
my $id = q{('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid};

# 120 contacts, of three weeks. Half of them have an FxA ID, a third a customer, a fifth products.
$ctms->sql(qq{
    CREATE ROLE analyst LOGIN IN ROLE ctms_reader;
    SELECT ctms.set_waitlist_schema('robot', '{"type": "object", "properties":
        {"geo": {"type": "string"}, "age": {"type": "integer"}, "beta": {"type": "boolean"}}}');
    INSERT INTO ctms.emails (email_id, primary_email, mailing_country, email_lang,
        has_opted_out_of_email, unsubscribe_reason, create_timestamp, update_timestamp)
    SELECT $id, 'c' || n || '\@example.com', (ARRAY['us', 'de', 'fr', 'us'])[1 + n % 4],
        (ARRAY['en', 'de', 'fr', 'en'])[1 + n % 4], n % 10 = 0,
        CASE n % 20 WHEN 0 THEN 'Too many' WHEN 10 THEN 'Not for me' END,
        '2026-09-07Z'::timestamptz + n * n / 30 * interval '1 h', '2026-10-01Z'
    FROM generate_series(1, 120) AS n;
    INSERT INTO ctms.newsletters (email_id, name, subscribed, format, lang, create_timestamp,
        update_timestamp)
    SELECT $id, name, (n * 7 + k) % 5 <> 0, CASE n % 8 WHEN 0 THEN 'T' ELSE 'H' END,
        (ARRAY['en', 'de', 'fr', 'en'])[1 + n % 4],
        '2026-09-07Z'::timestamptz + n * n / 30 * interval '1 h',
        '2026-10-01Z'::timestamptz + n * interval '12 h'
    FROM generate_series(1, 120) AS n,
        unnest('{mozilla-and-you,hubs,security}'::text[]) WITH ORDINALITY AS l (name, k)
    WHERE n % (k + 1) = 0;
    INSERT INTO ctms.waitlists (email_id, name, subscribed, fields, create_timestamp,
        update_timestamp)
    SELECT $id, name, n % 9 <> 0, CASE name
            WHEN 'vpn' THEN jsonb_build_object('geo', (ARRAY['us', 'de', 'fr', 'us'])[1 + n % 4],
                'platform', CASE n % 3 WHEN 0 THEN 'ios' WHEN 1 THEN 'windows' END)
            ELSE jsonb_build_object('geo', 'us', 'age', 20 + n % 50, 'beta', n % 4 = 0,
                'shop', n % 2) END,
        '2026-09-07Z'::timestamptz + n * interval '6 h', '2026-10-02Z'
    FROM generate_series(1, 120) AS n, unnest('{vpn,robot}'::text[]) WITH ORDINALITY AS l (name, k)
    WHERE n % (2 * k + 1) = 0;
    INSERT INTO ctms.fxa (email_id, fxa_id)
        SELECT $id, 'fxa_' || n FROM generate_series(1, 60) AS n;
    INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, create_timestamp)
        SELECT 'cus_' || n, 'fxa_' || n, '2026-08-01Z', '2026-08-02Z'
        FROM generate_series(21, 62) AS n;
    INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency,
        recurring_interval, recurring_interval_count, unit_amount)
    VALUES ('price_vpn_month', 'prod_vpn', '2026-01-01Z', true, 'usd', 'month', 1, 999),
        ('price_vpn_year', 'prod_vpn', '2026-01-01Z', true, 'usd', 'year', 1, 5988),
        ('price_relay', 'prod_relay', '2026-01-01Z', true, 'eur', 'month', 1, 199);
    INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
        cancel_at_period_end, canceled_at, current_period_start, current_period_end, ended_at,
        start_date, status, create_timestamp)
    SELECT format('sub_%s_%s', n, k), 'cus_' || n, '2026-08-01Z', n % 5 = 0,
        CASE WHEN n % 5 < 2 THEN '2026-09-05Z'::timestamptz + n * interval '1 day' END,
        '2026-10-01Z', '2026-11-01Z'::timestamptz + k * interval '1 day',
        CASE WHEN n % 5 = 1 THEN '2026-09-10Z'::timestamptz + n * interval '1 day' END,
        '2026-08-01Z'::timestamptz + n * interval '1 day',
        (ARRAY['active', 'canceled', 'active', 'active', 'past_due'])[1 + n % 5],
        '2026-08-03Z'
    FROM generate_series(25, 64) AS n, generate_series(1, 2) AS k WHERE k = 1 OR n % 3 = 0;
    INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id,
        stripe_created)
    SELECT 'si_' || s.stripe_id, s.stripe_id, (ARRAY['price_vpn_month', 'price_vpn_year',
        'price_relay'])[1 + substr(s.stripe_customer_id, 5)::int % 3], '2026-08-01Z'
    FROM ctms.stripe_subscription AS s;
    DELETE FROM ctms.pending_acoustic WHERE email_id > '00000000-0000-4000-8000-000000000012';
    UPDATE ctms.pending_acoustic SET retry = 6, retry_after = 'infinity', is_tried = true,
        last_error = '2026-10-03 Acoustic refused the contact'
        WHERE email_id = '00000000-0000-4000-8000-000000000003';
    UPDATE ctms.pending_acoustic SET retry = 1, retry_after = '2999-10-03Z', is_tried = true,
        last_error = '2026-10-03 timed out' WHERE email_id = '00000000-0000-4000-8000-000000000004';
    ANALYZE});

sub shown
{
    my ($server, $role, $sql) = @_;
    my $preset = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD';\n";
    IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $server->host, '-p',
        $server->port, '-U', $role, '-P', 'footer=off', 'ctms' ], '<', \"$preset$sql",
        '>', \my $out, '2>', \my $err);
    return ($out . $err) =~ s/ +$//mgr =~ s/\n+\z/\n/r;
}

$node->backup('replica');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($node, 'replica', has_streaming => 1);
$replica->start;
$node->wait_for_catchup($replica);

# ---- the queries -------------------------------------------------------------------------------

my $document = slurp("$ENV{CTMS_TEST_TOP}/docs/reporting.md");
my ($queries) = $document =~ /^## Queries\n(.*?)^## /ms;
my $count = 0;
while ($queries =~ /^```sql\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/msg)
{
    my ($sql, $result) = ($1, $2 // "\n");
    my ($about) = $sql =~ /^-- (.*)/;
    is(shown($node, 'analyst', $sql), $result, $about // $sql);
    is(shown($replica, 'analyst', $sql), $result, 'and on a replica');
    $count++;
}
cmp_ok($count, '>=', 12, "$count queries");
for my $view (split /\n/, $ctms->sql(q{SELECT relname FROM pg_class
    WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'v' ORDER BY 1}))
{
    like($document, qr/^\| `\Q$view\E` \|/m, "the document has the view $view");
}

# ---- copies ------------------------------------------------------------------------------------

my ($copies) = $document =~ /^### Copies that are refreshed\n(.*?)(?:^##|\z)/ms;
my ($make, $refresh) = $copies =~ /^```sql\n(.*?)^```/msg;
my $superuser = $ctms->sql('SELECT current_user');
is(shown($node, $superuser, $make), '', 'copies are made');
is(shown($node, 'chart', 'SELECT sum(contacts) FROM reporting.segment_counts'),
    " sum\n-----\n  36\n", 'who may read nothing else reads the numbers');
like(shown($node, 'chart', 'SELECT count(*) FROM reporting.contact_products'), qr/denied/,
    'and no rows of people');
like(shown($node, 'chart', 'SELECT count(*) FROM ctms.segment_counts'), qr/denied/, 'nor others');
$ctms->sql(q{DELETE FROM ctms.stripe_subscription_item WHERE stripe_id = 'si_sub_25_1'});
is(shown($node, $superuser, $refresh), '', 'and refreshed');
is($ctms->sql('SELECT sum(contacts) FROM reporting.segment_counts'), '35',
    'when the numbers are new');
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'ctms' ],
    'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '--exit-on-error', '-h', $node->host, '-p', $node->port,
    '-d', 'restored', $dump ], 'pg_restore');
is($node->safe_psql('restored', 'SELECT sum(contacts) FROM reporting.segment_counts'), '35',
    'a dump has the copies');

$replica->stop;
done_testing();
