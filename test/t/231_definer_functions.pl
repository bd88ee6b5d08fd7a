# Every SECURITY DEFINER function: reviewed in docs/security.md, search_path pinned, owner, and
# names that a caller shadows in the schemas of its session are not used.
use strict;
use warnings;
use CTMS::Test;
use Test::More;

my $ctms = CTMS::Test->new('definer');
my $node = $ctms->node;

# ---- the review -------------------------------------------------------------------------

my $doc = CTMS::Test::slurp("$ENV{CTMS_TEST_TOP}/docs/security.md");
my ($section) = $doc =~ /^## SECURITY DEFINER functions\n(.*?)^## /ms;
my @reviewed = sort($section =~ /^\| `(\w+)` \|/mg);
is(join("\n", @reviewed), $ctms->sql(q{SELECT DISTINCT proname COLLATE "C" FROM pg_proc
    WHERE pronamespace = 'ctms'::regnamespace AND prosecdef ORDER BY 1}),
    'docs/security.md reviews each SECURITY DEFINER function');
is($ctms->sql(q{SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc
    WHERE pronamespace = 'ctms'::regnamespace AND prosecdef
      AND COALESCE(proconfig[1], '') <> 'search_path=pg_catalog, pg_temp'}), '',
    'each pins its search_path');
is($ctms->sql(q{SELECT string_agg(p.oid::regprocedure::text, ', ')
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE pronamespace = 'ctms'::regnamespace AND lanname IN ('sql', 'plpgsql') AND NOT prosecdef
      AND COALESCE(proconfig[1], '') <> 'search_path=pg_catalog, pg_temp'}), '',
    'so do all others that are not in C');
is($ctms->sql(q{SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc
    WHERE pronamespace = 'ctms'::regnamespace AND prosecdef AND prosrc ~* '\mexecute\M'}), '',
    'none runs text as SQL');
is($ctms->sql(q{SELECT count(DISTINCT owner) FROM (
    SELECT proowner AS owner FROM pg_proc WHERE pronamespace = 'ctms'::regnamespace
    UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = 'ctms'::regnamespace
    UNION ALL SELECT extowner FROM pg_extension WHERE extname = 'ctms') AS o}), '1',
    'one owner has everything');
is($ctms->sql(q{SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
    WHERE pronamespace = 'ctms'::regnamespace
        AND proname NOT LIKE '\_%' AND obj_description(p.oid, 'pg_proc') IS NULL}),
    '', 'each public function has a comment');

# ---- a schema of somebody else ---------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE ROLE squatter; CREATE DATABASE squatted');
$node->safe_psql('squatted', 'CREATE SCHEMA ctms AUTHORIZATION squatter');
my ($rc, $out, $err) = $node->psql('squatted', "\\set VERBOSITY verbose\nCREATE EXTENSION ctms");
like($err, qr/ERROR:  42501: schema "ctms" belongs to another role/,
    'CREATE EXTENSION does not go into a schema of somebody else');
$node->safe_psql('squatted', 'ALTER SCHEMA ctms OWNER TO CURRENT_USER; CREATE EXTENSION ctms');
pass('but into one of its own');

# ---- shadows -------------------------------------------------------------------------------------

# Operators, functions, casts and tables that a hostile caller puts before pg_catalog. Each reports
# who ran it, which must always be the caller.
$ctms->sql(q{
    CREATE ROLE mallory_api LOGIN IN ROLE ctms_api;
    CREATE ROLE mallory_agent LOGIN IN ROLE ctms_agent;
    CREATE ROLE mallory_admin LOGIN IN ROLE ctms_admin;
    CREATE SCHEMA evil;
    GRANT ALL ON SCHEMA evil TO PUBLIC;
    CREATE FUNCTION evil.caught() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        IF current_user NOT LIKE 'mallory%' THEN
            RAISE EXCEPTION 'ran as %', current_user USING ERRCODE = 'EV1L1'; END IF; END $$;
});
my @types = qw(uuid text varchar jsonb json bigint integer timestamptz interval boolean "char"
    name text[] uuid[] bigint[]);
my $shadows = '';
for my $type (@types)
{
    for my $operator ('=', '<>', '<', '>', '<=', '>=', '~', '||', '+', '-')
    {
        (my $name = "${type}_" . join '_', map { ord } split //, $operator) =~ s/\W/_/g;
        my $result = $operator =~ /[=<>~]/ ? 'boolean' : $type;
        $shadows .= "CREATE FUNCTION evil.op_$name($type, $type) RETURNS $result
            LANGUAGE plpgsql AS 'BEGIN PERFORM evil.caught(); RETURN NULL; END';"
            . "CREATE OPERATOR evil.$operator (LEFTARG = $type, RIGHTARG = $type,
                FUNCTION = evil.op_$name);\n";
    }
}
for my $function ('lower(text) RETURNS text', 'lower(varchar) RETURNS text',
    'now() RETURNS timestamptz', 'clock_timestamp() RETURNS timestamptz',
    'length(text) RETURNS integer', 'json_build_object(VARIADIC "any") RETURNS json',
    'jsonb_array_elements(jsonb) RETURNS SETOF jsonb',
    'unnest(uuid[]) RETURNS SETOF uuid', 'unnest(anyarray) RETURNS SETOF anyelement',
    'generate_series(integer, integer) RETURNS SETOF integer',
    'jsonb_array_length(jsonb) RETURNS integer', 'hashtextextended(text, bigint) RETURNS bigint',
    'pg_notify(text, text) RETURNS void',
    'pg_advisory_xact_lock(bigint) RETURNS void', 'nextval(regclass) RETURNS bigint',
    'gen_random_uuid() RETURNS uuid', 'count(*)')
{
    my ($signature, $result) = $function =~ /^(.*\)) RETURNS (.*)$/ or next;
    next if $signature =~ /VARIADIC/;    # PL/pgSQL has no "any"
    my $return = $result =~ /SETOF/ ? 'RETURN;' : $result eq 'void' ? '' : 'RETURN NULL;';
    $shadows .= "CREATE FUNCTION evil.$signature RETURNS $result
        LANGUAGE plpgsql AS 'BEGIN PERFORM evil.caught(); $return END';\n";
}
$node->safe_psql('ctms', $shadows, extra_params => [ '-U', 'mallory_api' ]);

for my $query (q{'a'::text = 'b'}, q{lower('A') = ''}, q{now() IS NULL}, q{'{}'::jsonb = '[]'})
{
    my (undef, undef, $message) = $node->psql('ctms',
        "\\set VERBOSITY verbose\nSET search_path = evil, pg_catalog; SELECT $query");
    like($message, qr/EV1L1: ran as/, "a shadow is noticed: $query");
}

# For names without schema, temporary tables come first.
my $tables = $ctms->sql(q{SELECT string_agg(format('CREATE TEMP TABLE %I '
        '(email_id uuid, name text, schema jsonb, fields jsonb, retry int)', relname), '; ')
    FROM pg_class WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'r'});

sub as
{
    my ($role, @statements) = @_;
    my $sql = "$tables; SET search_path = pg_temp, evil, pg_catalog;\n"
        . join(";\n", @statements) . ';';
    my ($status, $output, $error) = $node->psql('ctms',
        "\\set VERBOSITY verbose\n\\set ON_ERROR_STOP off\n$sql", extra_params => [ '-U', $role ]);
    unlike($error, qr/EV1L1|ran as/,
        "$role: nothing of the caller's ran with more than its rights");
    return ($output, $error);
}

my $id = '11111111-1111-4111-8111-111111111111';
my $body = qq({"email": {"email_id": "$id", "primary_email": "shadow\@example.com"},
    "newsletters": [{"name": "hubs"}],
    "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}}], "fxa": {"fxa_id": "f1"},
    "amo": {"user_id": "a1"}, "mofo": {"mofo_relevant": true}});
my $price = '{"object": "price", "id": "price_1", "product": "prod_1",
    "created": 1600000000, "active": true, "currency": "usd", "unit_amount": 100,
    "recurring": {"interval": "month", "interval_count": 1}}';
my $subscription = qq({"object": "subscription", "id": "sub_1", "customer": "cus_1",
    "created": 1600000000, "cancel_at_period_end": false, "current_period_start": 1600000000,
    "current_period_end": 1700000000, "start_date": 1600000000, "status": "active",
    "canceled_at": null, "ended_at": null, "default_payment_method": null, "default_source": null,
    "items": {"object": "list", "has_more": false, "data": [{"object": "subscription_item",
        "id": "si_1", "subscription": "sub_1", "created": 1600000000, "price": $price}]}});
my $customer = '{"object": "customer", "id": "cus_1", "created": 1600000000, "description": "f1",
    "default_source": null, "invoice_settings": {"default_payment_method": null}}';
my @calls = (
    "SELECT ctms.create_contact('$body')", "SELECT ctms.put_contact('$id', '$body')",
    "SELECT ctms.patch_contact('$id',
        '{\"email\": {\"first_name\": \"x\"}, \"waitlists\": [{\"name\": \"new\"}]}')",
    "SELECT ctms.get_contact('$id')", "SELECT ctms.get_identity('$id')",
    "SELECT ctms.find_contacts(primary_email => 'shadow\@example.com')",
    "SELECT ctms.find_identities(fxa_id => 'f1')", "SELECT ctms.get_updates('2020-01-01')",
    "SELECT ctms.get_updates_parts('2020-01-01')", "SELECT ctms.list_waitlists()",
    "SELECT ctms.get_waitlist('vpn')", 'SELECT ctms.list_unusable_waitlists()',
    "SELECT ctms.upsert_stripe('$customer', pg_catalog.now())",
    "SELECT ctms.upsert_stripe('$subscription', pg_catalog.now())",
    "SELECT ctms.ingest_pubsub(pg_catalog.format(
        '{\"message\": {\"data\": \"%s\", \"publishTime\": \"2022-01-01T00:00:00Z\"}}',
        pg_catalog.replace(pg_catalog.encode(pg_catalog.convert_to('$subscription', 'UTF8'),
            'base64'), E'\\n', '')))",
    "SELECT ctms.ingest_pubsub('noise'::bytea)", 'SELECT ctms.count_stripe_refused()',
    "SELECT * FROM ctms.product_subscriptions('$id')", "SELECT * FROM ctms.acoustic_backlog(6)",
    "SELECT ctms.acoustic_configuration()",
    "SELECT * FROM ctms.acoustic_lanes()",
    "SELECT ctms.get_api_client('x')", "SELECT ctms.touch_api_client('x')",
    "SELECT count(*) FROM ctms.api_client_costs()",
    "SELECT ctms.contact_schemas() IS NULL",
    "SELECT ctms.json_schema_is_valid('{\"type\": \"object\"}'::jsonb, '{}'::jsonb)",
    "SELECT ctms.json_schema_check('{\"\$ref\": \"https://example.com/x\"}'::jsonb)",
    "SELECT ctms.create_contact('{\"email\": {\"primary_email\": \"gone\@example.com\"}}')",
    "SELECT ctms.delete_contact('gone\@example.com')");
my ($output, $error) = as('mallory_api', @calls);
is($error =~ s/.*(?:CREATE|NOTICE).*\n//gr, '',
    'every function of ctms_api works in a hostile session');
my $definers = $ctms->sql(q{SELECT proname FROM pg_proc
    WHERE pronamespace = 'ctms'::regnamespace AND prosecdef
        AND has_function_privilege('ctms_api', oid, 'EXECUTE') ORDER BY 1});
is(join(' ', grep { "@calls" !~ /\bctms\.$_\(/ } split /\n/, $definers), '', 'and each was called');
is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), '1', 'and enqueues');

($output, $error) = as('mallory_agent', "SELECT * FROM ctms.claim_acoustic('m', 10, 6, '1 min')",
    "SELECT kind FROM ctms.acoustic_rows('{$id}')",
    "SELECT kind, columns FROM ctms.acoustic_csv_columns()",
    "SELECT kind, csv FROM ctms.acoustic_csv('{$id}')",
    "SELECT ctms.fail_acoustic('m', '{$id}', '{1}', '{x}', '{f}', 6)",
    "SELECT ctms.release_acoustic('m')", "SELECT ctms.share_acoustic('m', 1, 0, 10, '1 min')",
    "SELECT ctms.share_acoustic('m', 0, 0, 10, '1 min')",
    "SELECT ctms.finish_acoustic('m', '{$id}', '{1}')",
    'SELECT ctms.forget_stripe_refused()', 'SELECT ctms.forget_acoustic_history()',
    "SELECT runner FROM ctms.begin_acoustic_bulk('m', '1 min', '1 hour')",
    "SELECT ctms.keep_acoustic_bulk(1, 'm', '1 min')",
    "SELECT * FROM ctms.claim_acoustic_bulk(1, 'm', NULL, 10, 6)",
    "SELECT ctms.set_acoustic_bulk_state(1, 'm', 'making')",
    "SELECT ctms.acoustic_bulk_page(1, NULL, 10)",
    "SELECT ctms.put_acoustic_bulk_file(1, 'm', 'main', 1, 'x', 'made', 1, 1, NULL, 0, NULL, NULL,
        NULL)",
    "SELECT ctms.set_acoustic_bulk_state(1, 'm', 'settling')",
    "SELECT ctms.fail_acoustic_bulk(1, 'm', '{$id}', '{x}', '{f}', 6)",
    "SELECT ctms.settle_acoustic_bulk(1, 'm')", 'SELECT state FROM ctms.get_acoustic_bulk_run(1)',
    'SELECT state FROM ctms.get_acoustic_bulk_files(1)',
    'SELECT state FROM ctms.acoustic_bulk_status()');
is($error, '', 'every function of ctms_agent works in a hostile session');
like($output, qr/main\n.*product\n/s, 'and sees the real tables');

# Triggers run as the role that writes; the queue is written as the owner.
($output, $error) = as('mallory_admin',
    "INSERT INTO ctms.emails (email_id, primary_email)
        VALUES ('22222222-2222-4222-8222-222222222222', 'admin\@example.com')",
    "INSERT INTO ctms.waitlists (email_id, name, fields)
        VALUES ('22222222-2222-4222-8222-222222222222', 'vpn', '{\"geo\": \"fr\"}')",
    "UPDATE ctms.emails SET first_name = 'x'", "UPDATE ctms.stripe_price SET unit_amount = 5",
    "DELETE FROM ctms.newsletters",
    "SELECT ctms.set_waitlist_schema('vpn', '{\"type\": \"object\"}')",
    "SELECT ctms.set_waitlist_schema('vpn', 'false', true)",
    "SELECT ctms.drop_waitlist_schema('relay')", "SELECT ctms.install_defaults()",
    "SELECT ctms.enqueue_contacts('{$id}')", "SELECT ctms.reset_acoustic_retries()",
    "SELECT ctms.cancel_acoustic('{}')", 'SELECT ctms.cancel_acoustic_bulk()',
    'SELECT ctms.acoustic_rate()',
    "INSERT INTO ctms.api_client (client_id, email, hashed_secret)
        VALUES ('id_x', 'x\@example.com', 'x')",
    'SELECT ctms.retry_stripe_refused(id) FROM ctms.stripe_refused',
    "SELECT ctms.delete_contact('shadow\@example.com')");
is($error, '', 'an admin in a hostile session works too');
is($ctms->sql('SELECT count(*), min(generation) > 1 FROM ctms.pending_acoustic'), '1|t',
    'its writes are enqueued');

done_testing();
