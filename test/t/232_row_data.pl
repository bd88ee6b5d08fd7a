# ctms_api can learn and change nothing except by its functions. The test tries direct access,
# indirect ways of PostgreSQL, settings, and error messages.
use strict;
use warnings;
use CTMS::Attempt;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('row_data');
my $node = $ctms->node;
CTMS::Attempt::install($ctms);
$ctms->sql(q{CREATE ROLE service LOGIN IN ROLE ctms_api; CREATE ROLE admin LOGIN IN ROLE ctms_admin;
    GRANT CREATE ON SCHEMA public TO PUBLIC});

# The victim: every value is recognisable.
my $victim = '99999999-9999-4999-8999-999999999999';
$ctms->sql(qq{
    INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, first_name,
        last_name, unsubscribe_reason)
        VALUES ('$victim', 'planted-address\@example.com', 'planted-token', 'planted-sfdc',
            'planted-first', 'planted-last', 'planted-reason');
    INSERT INTO ctms.fxa (email_id, fxa_id, primary_email)
        VALUES ('$victim', 'planted-fxa', 'planted-fxa\@example.com');
    INSERT INTO ctms.amo (email_id, user_id, username)
        VALUES ('$victim', 'planted-amo', 'planted-user');
    INSERT INTO ctms.mofo (email_id, mofo_email_id, mofo_contact_id)
        VALUES ('$victim', 'planted-mofo', 'planted-mofo-contact');
    INSERT INTO ctms.waitlists (email_id, name, source, fields)
        VALUES ('$victim', 'vpn', 'planted-source', '{"geo": "planted-geo"}');
    INSERT INTO ctms.newsletters (email_id, name, source)
        VALUES ('$victim', 'hubs', 'planted-source');
    INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, default_source_id)
        VALUES ('cus_taken', 'planted-fxa', now(), 'planted-card');
    INSERT INTO ctms.stripe_refused (code, reason, digest, content)
        VALUES ('CTS02', 'planted-reason', '', '{"name": "planted-refused"}');
    INSERT INTO ctms.api_client (client_id, email, hashed_secret)
        VALUES ('id_planted', 'planted-client\@example.com', 'planted-hash');
    ANALYZE;
});

sub as
{
    my ($role, $sql) = @_;
    my ($rc, $out, $err) = $node->psql('ctms',
        "\\set VERBOSITY verbose\n\\set ON_ERROR_STOP off\n$sql", extra_params => [ '-U', $role ]);
    return ($out, $err);
}

# ---- side doors ----------------------------------------------------------------------------

for my $sql (
    'TABLE ctms.emails', 'SELECT 1 FROM ctms.emails', 'SELECT FROM ctms.emails FOR UPDATE',
    'EXPLAIN (VERBOSE) SELECT * FROM ctms.emails',
    'EXPLAIN ANALYZE SELECT * FROM ctms.emails', 'COPY ctms.emails TO STDOUT',
    'COPY (SELECT * FROM ctms.emails) TO STDOUT', 'COPY ctms.emails FROM STDIN',
    q{SELECT query_to_xml('SELECT * FROM ctms.emails', true, true, '')},
    q{SELECT table_to_xml('ctms.emails', true, true, '')},
    q{SELECT currtid2('ctms.emails', '(0,1)')},
    'CREATE VIEW public.v AS SELECT * FROM ctms.emails; SELECT * FROM public.v',
    'CREATE MATERIALIZED VIEW public.m AS SELECT * FROM ctms.emails',
    'CREATE FUNCTION public.f() RETURNS SETOF ctms.emails BEGIN ATOMIC SELECT * FROM ctms.emails;
    END; SELECT * FROM public.f()',
    'CREATE TABLE public.child () INHERITS (ctms.emails)',
    'DECLARE c CURSOR WITH HOLD FOR SELECT * FROM ctms.emails',
    'MERGE INTO ctms.emails e USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE',
    'BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE', 'TRUNCATE ctms.emails CASCADE',
    'CREATE TRIGGER t AFTER INSERT ON ctms.emails
        EXECUTE FUNCTION suppress_redundant_updates_trigger()',
    'CREATE PUBLICATION p FOR TABLE ctms.emails',
    'CREATE INDEX ON ctms.emails ((lower(first_name)))', 'ALTER EXTENSION ctms UPDATE',
    'ALTER EXTENSION ctms ADD TABLE public.x', 'DROP EXTENSION ctms', 'DROP SCHEMA ctms CASCADE',
    'CREATE FUNCTION ctms.get_contact(text) RETURNS text LANGUAGE sql AS $$SELECT 1$$',
    'ALTER FUNCTION ctms.get_contact(uuid) RESET ALL',
    'CREATE OR REPLACE FUNCTION ctms.get_contact(uuid) RETURNS json LANGUAGE sql
        AS $$SELECT NULL::json$$', 'COMMENT ON TABLE ctms.emails IS NULL',
    q{CREATE FUNCTION public.c() RETURNS void LANGUAGE c AS '$libdir/ctms', 'ctms__watch_drops'},
    q{LOAD 'auto_explain'}, q{SELECT pg_read_file('PG_VERSION')},
    'CREATE EVENT TRIGGER e ON ddl_command_end
        EXECUTE FUNCTION suppress_redundant_updates_trigger()',
    'GRANT SELECT ON ctms.emails TO service', 'SET ROLE ctms_admin',
    'SET SESSION AUTHORIZATION ' . $ctms->sql('SELECT quote_ident(current_user)'),
    'ALTER ROLE ctms_api SUPERUSER', 'SET session_replication_role = replica',
    q{SELECT ctms.parse_body('{}'); SET ctms.enqueue = off}, q{SET log_statement = 'all'},
    'CREATE STATISTICS public.s ON first_name, last_name FROM ctms.emails',
    'SELECT last_value FROM ctms.newsletters_id_seq',
    q{SELECT setval('ctms.newsletters_id_seq', 1)},
    'SELECT * FROM ctms.acoustic_rows(ARRAY[gen_random_uuid()])',
    'SELECT * FROM ctms.acoustic_csv(ARRAY[gen_random_uuid()])',
    q{SELECT ctms.set_waitlist_schema('vpn', 'true')},
    q{SELECT ctms._failing_waitlists('vpn', 'false')},
    q{SELECT ctms.explain_waitlist_fields('false', '{}')},
    q{SELECT * FROM ctms._product_subscriptions(ARRAY[gen_random_uuid()])},
    q{SELECT ctms._upsert_stripe_batch('[]', now())},
    'TABLE ctms.contact_products', 'TABLE ctms.stripe_unconnected',
    'SELECT subscribed FROM ctms.waitlist_counts',
    q{SELECT * FROM ctms.waitlist_answers('vpn')}, q{SELECT ctms.waitlist_answers_query('vpn')},
    q{SELECT content FROM ctms.stripe_refused}, q{SELECT ctms.retry_stripe_refused(1)},
    )
{
    my ($out, $err) = as('service', $sql);
    like($err, qr/ERROR:  (?:42501|42704|0A000)/, "refused: $sql");
    unlike("$out$err", qr/planted/, 'and nothing is told') or diag "$out$err";
}
unlike((as('service', q{SELECT schema_to_xml('ctms', true, true, '')}))[0], qr/planted/,
    'what cannot be read is left out');
is((as('service', q{SELECT count(*) FROM pg_stats WHERE schemaname = 'ctms'}))[0], '0',
    'statistics of columns are hidden');
is((as('service', q{SELECT count(*) FROM pg_prepared_xacts}))[0], '0', 'no prepared transaction');
my ($out, $err) = as('service', 'VACUUM ctms.emails; ANALYZE ctms.emails');
like($err, qr/WARNING:.*(?:permission denied|only).*\n(?:.*\n)*.*WARNING:/,
    'maintenance is skipped');
command_fails([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-U', 'service', 'ctms' ],
    'pg_dump');

# A leaky function of the role itself does not help: there is no view, and functions of ctms hide
# their statements.
($out, $err) = as('service', "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF)
    SELECT ctms.get_identity('$victim'), ctms.find_contacts(fxa_id => 'none')");
unlike("$out$err", qr/planted|Scan/, 'EXPLAIN shows nothing of what a function does');
($out, $err) = as('service', "SET client_min_messages = debug5; SET debug_print_plan = on;
    SET debug_print_parse = on; SET debug_print_rewritten = on; SET log_min_duration_statement = 0;"
    . " SELECT length(ctms.get_contact('$victim')::text) > 0;
    SELECT ctms.patch_contact('$victim', '{\"email\": {\"first_name\": \"mine\"}}') IS NULL");
unlike("$out$err", qr/planted/, 'messages for debugging have no stored values')
    or diag $err =~ /(.{0,200}planted.{0,200})/s;
$ctms->sql(q{UPDATE ctms.emails SET first_name = 'planted-first'});

# ---- what errors say -----------------------------------------------------------------------------

my $long = 'x' x 300;
for my $call (
    q{create_contact('{"email": {"primary_email": "PLANTED-address@example.com"}}')},
    q{create_contact('{"email": {"primary_email": "b@example.com",
        "basket_token": "planted-token"}}')},
    q{create_contact('{"email": {"primary_email": "b@example.com"},
        "fxa": {"fxa_id": "planted-fxa"}}')},
    q{create_contact('{"email": {"primary_email": "b@example.com"},
        "mofo": {"mofo_email_id": "planted-mofo"}}')},
    qq{create_contact('{"email": {"primary_email": "b\@example.com", "email_id": "$victim"}}')},
    qq{put_contact('$victim', '{"email": {"primary_email": "b\@example.com"},
        "waitlists": [{"name": "vpn", "fields": {"geo": 5}}]}')},
    qq{patch_contact('$victim', '{"email": {"primary_email": null}}')},
    qq{patch_contact('$victim', '{"email": {"first_name": "$long"}}')},
    qq{patch_contact('$victim', '{"email": {"email_lang": "toolong"}}')},
    qq{patch_contact('$victim', '{"waitlists": [{"name": "vpn", "fields": {"geo": "$long"}}]}')},
    qq{patch_contact('$victim', '{"fxa": {"fxa_id": "$long"}}')},
    qq{patch_contact('$victim', '{"amo": {"last_login": "yesterday?"}}')},
    qq{patch_contact('$victim', '{"newsletters": [{"name": null}]}')},
    qq!patch_contact('$victim', '{')!, qq{patch_contact('$victim', '{"x": "}')},
    q{get_updates('nonsense')}, q{find_contacts()},
    q{upsert_stripe('{"object": "customer", "id": "cus_other", "created": 1600000000,
        "description": "planted-fxa", "default_source": null,
        "invoice_settings": {"default_payment_method": null}}', now() - interval '1 year')},
    q{upsert_stripe('{"object": "customer", "id": "cus_taken", "created": "x",
        "description": "f"}')},
    q{upsert_stripe('{"object": "price", "id": "p", "product": "p", "created": 1e300,
        "active": true, "currency": "toolong", "unit_amount": 1e30}')},
    q{upsert_stripe('{"object": "subscription_item", "id": "si",
        "subscription": "sub_none", "created": 1, "price": {"object": "price"}}')},
    q{ingest_pubsub('{}')}, q{ingest_pubsub(NULL)},
    q{product_subscriptions('00000000-0000-4000-8000-000000000000')}, q{delete_contact('')})
{
    ($out, $err) = as('service', "BEGIN; SELECT 1 FROM ctms.$call; ROLLBACK");
    # Values that the call itself names may come back.
    my %own = map { $_ => 1 } $call =~ /(planted[\w-]*)/gi;
    my @leaks = grep { !$own{$_} } "$out$err" =~ /^(?!LINE|STATEMENT).*?(planted[\w-]*)/gm;
    is("@leaks", '', 'no value of the contact in the error of ' . substr($call, 0, 90));
}
($out, $err) = as('admin',
    q{UPDATE ctms.waitlists SET fields = '{"geo": 5, "secret": "planted-field"}'});
like($err, qr/ERROR:  CT001/, 'fields that break their schema');
unlike($err =~ s/^LINE.*//mr, qr/planted-(?:source|geo)/,
    'are refused without a word about what was stored');
($out, $err) = as('admin',
    q{SELECT ctms.set_waitlist_schema('vpn', '{"properties": {"geo": {"const": "x"}}}')});
like($err, qr/ERROR:  23514/, 'a schema that stored rows break');
unlike($err, qr/planted/, 'is refused without their values and addresses');
like($err, qr/"email_id": "$victim"/, 'but names the contact');

# ---- settings ------------------------------------------------------------------------------------

for my $settings ('SET ctms.restore_mode = on',
    'SET check_function_bodies = off; SET row_security = off',
    "SET ctms.enqueue = off; SET ctms.restore_mode = 'on'")
{
    # Also as placeholders, before the library is loaded in the session.
    $ctms->sql('DELETE FROM ctms.pending_acoustic');
    ($out, $err) = as('service', qq{$settings;
        SELECT ctms.patch_contact('$victim',
            '{"waitlists": [{"name": "vpn", "fields": {"geo": 5}}]}')});
    like($err, qr/ERROR:  CT\d+/, "fields are validated after $settings");
    as('service', qq{$settings;
        SELECT ctms.patch_contact('$victim',
            '{"email": {"first_name": "planted-' || random() || '"}}')});
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), '1', 'and changes are enqueued');
}
is((as('admin', q{SELECT ctms.parse_body('{}'); SET ctms.enqueue = off}))[1] =~ /42501/, 1,
    'an admin may not turn the queue off');
is((as('admin', 'SET ctms.allow_drop = on; DROP EXTENSION ctms'))[1] =~ /42501/, 1,
    'nor drop the extension');
# An admin restores rows as they come, but cannot leave rows that refer to nothing.
($out, $err) = as('admin', qq{SET ctms.restore_mode = on;
    INSERT INTO ctms.newsletters (email_id, name) VALUES (gen_random_uuid(), 'x')});
like($err, qr/ERROR:  23503/, 'foreign keys hold in the restore mode of an admin');
is($ctms->sql(q{SELECT count(*) FROM pg_settings WHERE name LIKE 'ctms.%'
    AND context NOT IN ('user', 'superuser')}), '0', 'settings are those of sessions');

done_testing();
