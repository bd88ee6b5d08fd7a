# Dump and restore with no special flags bring back every row, every sequence position and
# the queue exactly as it was; a dropped seed row stays dropped.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = CTMS::Test->new('source');
my $node = $source->node;
# A cluster that has never heard of ctms or its roles.
my $elsewhere = CTMS::Test->new('elsewhere', no_extension => 1)->node;

# ---- registered relations ---------------------------------------------------------

is($source->sql(q{
    SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c
    WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind IN ('r', 'p', 'S') AND c.relpersistence = 'p'
      AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'ctms' AND c.oid = ANY (e.extconfig))}),
    '', 'every table and sequence that is to last is registered for pg_dump');
is($source->sql(q{
    SELECT count(*) FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS x (relation, condition)
    WHERE e.extname = 'ctms' AND (condition <> '' OR relation NOT IN
        (SELECT oid FROM pg_class WHERE relnamespace = 'ctms'::regnamespace AND relkind IN ('r', 'p', 'S')))}),
    '0', 'and nothing else, each with all its rows');

# ---- data ---------------------------------------------------------------------------

$source->sql(q{
    INSERT INTO ctms.emails (email_id, primary_email, unsubscribe_reason, create_timestamp, update_timestamp)
    SELECT format('00000000-0000-4000-8000-0000%s', to_char(n, 'FM00000000'))::uuid, format('dump%s@example.com', n),
           E'tab\t backslash \\\\ newline\n quote '' é', timestamptz '2020-01-01Z' + n * interval '1 hour', timestamptz '2021-01-01Z' + n * interval '1 hour'
    FROM generate_series(1, 200) AS n;
    INSERT INTO ctms.newsletters (email_id, name, update_timestamp) SELECT email_id, 'news', '2021-02-03Z' FROM ctms.emails;
    INSERT INTO ctms.waitlists (email_id, name, fields, update_timestamp) SELECT email_id, 'vpn', '{"geo": "fr", "platform": null}', '2021-02-03Z' FROM ctms.emails;
    INSERT INTO ctms.fxa (email_id, fxa_id, update_timestamp) SELECT email_id, 'fxa_' || primary_email, '2021-02-03Z' FROM ctms.emails;
    INSERT INTO ctms.amo (email_id, user_id, update_timestamp) SELECT email_id, 'amo', '2021-02-03Z' FROM ctms.emails;
    INSERT INTO ctms.mofo (email_id, mofo_relevant, update_timestamp) SELECT email_id, true, '2021-02-03Z' FROM ctms.emails;
    INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, update_timestamp) SELECT 'cus_' || id, fxa_id, '2021-02-03Z', '2021-02-04Z' FROM ctms.fxa;
    INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency) VALUES ('price_1', 'prod_1', '2021-02-03Z', true, 'usd');
    INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, stripe_created, currency, total, status) VALUES ('in_1', 'cus_1', '2021-02-03Z', 'usd', 5000000000, 'paid');
    INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id, stripe_type, stripe_price_id, amount, currency) VALUES ('il_1', 'in_1', 'subscription', 'price_1', 5000000000, 'usd');
    INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end, current_period_start, start_date, status)
        VALUES ('sub_1', 'cus_1', '2021-02-03Z', false, '2021-03-03Z', '2021-02-03Z', '2021-02-03Z', 'active');
    INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created) VALUES ('si_1', 'sub_1', 'price_1', '2021-02-03Z');
    INSERT INTO ctms.api_client (client_id, email, hashed_secret, last_access) VALUES ('id_dump', 'client@example.com', 'secret', '2021-02-03Z');
});
# Rows that were deleted leave gaps in the sequences; seed rows that were changed or deleted stay so.
$source->sql(q{
    DELETE FROM ctms.newsletters WHERE id > 190;
    DELETE FROM ctms.acoustic_field WHERE field = 'vpn_waitlist_geo';
    INSERT INTO ctms.acoustic_field VALUES ('main', 'update_timestamp');
    DELETE FROM ctms.acoustic_newsletter_mapping WHERE source = 'hubs';
    UPDATE ctms.acoustic_newsletter_mapping SET destination = 'sub_other' WHERE source = 'miti';
    DELETE FROM ctms.waitlist_fields_schemas WHERE name = 'relay';
});
# The queue in all its states: done, waiting, leased, changed while leased, failed, exhausted.
$source->sql(q{
    SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation)) FROM ctms.claim_acoustic('a', 50, 6, '1 hour');
    SELECT count(*) FROM ctms.claim_acoustic('gone', 10, 6, '-1 hour');
    SELECT ctms.fail_acoustic('b', array_agg(email_id), array_agg(generation), array_agg('an error'::text), array_agg(right(email_id::text, 1) = '1'), 6)
    FROM ctms.claim_acoustic('b', 20, 6, '1 hour');
    SELECT count(*) FROM ctms.claim_acoustic('c', 10, 6, '1 hour');
    UPDATE ctms.emails SET first_name = 'changed' WHERE email_id IN (SELECT email_id FROM ctms.pending_acoustic WHERE lease_owner = 'c' LIMIT 5);
});
is($source->sql(q{SELECT count(*) FILTER (WHERE lease_owner = 'c'), count(*) FILTER (WHERE retry > 0),
    count(*) FILTER (WHERE retry_after = 'infinity'), count(*) > 100 FROM ctms.pending_acoustic}), '10|20|2|t', 'the queue has rows in every state');

# ---- comparison -----------------------------------------------------------------------

# One line for each table (rows and their content) and each sequence.
sub content
{
    my ($server, $database) = @_;
    my @relations = split /\n/, $server->safe_psql($database,
        q{SELECT relkind::text || ' ' || oid::regclass FROM pg_class WHERE relnamespace = 'ctms'::regnamespace AND relkind IN ('r', 'S') ORDER BY 1});
    my @lines;
    for my $relation (@relations)
    {
        my ($kind, $name) = split / /, $relation, 2;
        push @lines, "$name " . $server->safe_psql($database, $kind eq 'r'
            ? "SELECT count(*), md5(COALESCE(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM $name AS t"
            : "SELECT last_value, is_called FROM $name");
    }
    return join "\n", @lines;
}

my $expected = content($node, 'ctms');
like($expected, qr/emails 200\|/, 'there is something to compare');
my $folder = $PostgreSQL::Test::Utils::tmp_check;
my @from = ('-h', $node->host, '-p', $node->port);

sub restore
{
    my ($name, $server, $dump, @restore) = @_;
    (my $database = $name) =~ s/\W+/_/g;
    $server->safe_psql('postgres', "CREATE DATABASE $database");
    my @to = ('-h', $server->host, '-p', $server->port, '-d', $database);
    command_ok([ 'pg_dump', @from, @$dump, 'ctms' ], "$name: dump");
    command_ok([ map { $_ eq 'TO' ? @to : $_ } @restore ], "$name: restore");
    is(content($server, $database), $expected, "$name: everything is equal");
    return $database;
}

for my $server ($node, $elsewhere)
{
    my $where = $server == $node ? 'here' : 'elsewhere';
    restore("plain $where", $server, [ '-f', "$folder/plain.sql" ],
        'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', 'TO', '-f', "$folder/plain.sql");
    restore("custom $where", $server, [ '-Fc', '-f', "$folder/custom.dump" ],
        'pg_restore', '--exit-on-error', 'TO', "$folder/custom.dump");
}
restore('custom parallel', $node, [ '-Fc', '-f', "$folder/custom2.dump" ],
    'pg_restore', '--exit-on-error', '-j2', 'TO', "$folder/custom2.dump");
restore('directory parallel', $node, [ '-Fd', '-j2', '-f', "$folder/directory.dump" ],
    'pg_restore', '--exit-on-error', '-j2', 'TO', "$folder/directory.dump");
my $restored = restore('inserts', $node, [ '--inserts', '-f', "$folder/inserts.sql" ],
    'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-1', 'TO', '-f', "$folder/inserts.sql");
restore('clean', $node, [ '--clean', '--if-exists', '-f', "$folder/clean.sql" ],
    'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', 'TO', '-f', "$folder/clean.sql");

# ---- afterwards -------------------------------------------------------------------------

is($node->safe_psql($restored, q{
    UPDATE ctms.emails SET last_name = 'after' WHERE primary_email = 'dump1@example.com';
    SELECT count(*) FROM ctms.pending_acoustic p JOIN ctms.emails e USING (email_id) WHERE primary_email = 'dump1@example.com'}),
    '1', 'a restored database enqueues again');
is($node->safe_psql($restored, q{
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'next' FROM ctms.emails WHERE primary_email = 'dump1@example.com' RETURNING id}),
    '201', 'and goes on with its sequences');

# The structure alone, with the rows of a new installation on demand.
$node->safe_psql('postgres', 'CREATE DATABASE structure');
command_ok([ 'pg_dump', @from, '--schema-only', '-f', "$folder/structure.sql", 'ctms' ], 'schema only: dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @from, '-d', 'structure', '-f', "$folder/structure.sql" ], 'schema only: restore');
is($node->safe_psql('structure', q{SELECT (SELECT count(*) FROM ctms.acoustic_field) + (SELECT count(*) FROM ctms.acoustic_newsletter_mapping)}),
    '0', 'a schema-only restore has no rows');
is($node->safe_psql('structure', q{SELECT ctms.install_defaults(); SELECT ctms.install_defaults();
    SELECT (SELECT count(*) FROM ctms.acoustic_field), (SELECT count(*) FROM ctms.acoustic_newsletter_mapping)}),
    "\n\n38|21", 'ctms.install_defaults() adds them once');

# The rows alone, into an extension that was created without its default rows.
$node->safe_psql('postgres', 'CREATE DATABASE rows');
$node->safe_psql('rows', 'SET ctms.restore_mode = on; CREATE EXTENSION ctms');
command_ok([ 'pg_dump', @from, '--data-only', '-f', "$folder/rows.sql", 'ctms' ], 'data only: dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @from, '-d', 'rows', '-f', "$folder/rows.sql" ], 'data only: restore');
is(content($node, 'rows'), $expected, 'data only: everything is equal');

done_testing();
