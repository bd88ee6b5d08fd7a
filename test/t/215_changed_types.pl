# A DBA may change the type of any column. Then every function gives the same answer as before, or
# an error like any statement: no crash, no bytes taken for what they are not.
#
# Each column of each table gets another type in turn, in an extension as it is or, where its
# objects refuse the change, in one without these. CTMS_CHANGED_TYPES=amo.user_id tries all types of
# the columns that match, and "." those of all columns, which takes some minutes.
use strict;
use warnings;
use CTMS::Test;
use List::Util qw(first);
use Test::More;

my $only = $ENV{CTMS_CHANGED_TYPES} // '.';
my $is_short = !defined $ENV{CTMS_CHANGED_TYPES};
my $ctms = CTMS::Test->new('changed_types', conf => join "\n", 'restart_after_crash = on',
    'autovacuum = off', "timezone = 'UTC'", 'log_statement = none', 'log_min_messages = fatal',
    'log_min_error_statement = panic', 'log_connections = off', 'log_disconnections = off',
    'max_locks_per_transaction = 256');
my $node = $ctms->node;
$node->safe_psql('postgres', "ALTER SYSTEM SET $_") for "log_statement = 'none'";
$node->reload;

# ---- rows, and what is called -------------------------------------------------------------

# Texts are numbers where they can be, so that their columns can become integers.
my $id = '11111111-1111-4111-8111-111111111111';
my $other = '22222222-2222-4222-8222-222222222222';
my $third = '66666666-6666-4666-8666-666666666666';
my $rows = qq{
    INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, first_name, last_name,
        mailing_country, email_format, email_lang, double_opt_in, has_opted_out_of_email,
        unsubscribe_reason, create_timestamp, update_timestamp)
    VALUES ('$id', 'one\@example.com', '1001', '1002', '1003', '1004', '1005', '1', '1006', true,
        false, '1007', '2021-01-01 01:02:03.456Z', '2021-01-02 01:02:03.456Z'),
    ('$other', 'two\@example.com', '2001', '2002', '2003', '2004', '2005', '2', '2006', false,
        true, '2007', '2021-02-01Z', '2021-02-02Z'),
    ('$third', 'three\@example.com', NULL, NULL, NULL, NULL, NULL, '3', '2008', false,
        true, NULL, '2021-02-03Z', '2021-02-04Z');
    INSERT INTO ctms.newsletters (email_id, name, subscribed, format, lang, source, unsub_reason,
        create_timestamp, update_timestamp)
    VALUES ('$id', '3001', true, '3', '3002', '3003', '3004', '2021-01-03Z', '2021-01-04Z');
    INSERT INTO ctms.waitlists (email_id, name, source, subscribed, unsub_reason, fields,
        create_timestamp, update_timestamp)
    VALUES ('$id', '4001', '4002', true, '4003', '{"geo": "fr"}', '2021-01-05Z', '2021-01-06Z');
    INSERT INTO ctms.fxa (email_id, fxa_id, primary_email, created_date, lang, first_service,
        account_deleted, create_timestamp, update_timestamp)
    VALUES ('$id', '5001', '5002', '5003', '5004', '5005', false, '2021-01-07Z', '2021-01-08Z');
    INSERT INTO ctms.amo (email_id, add_on_ids, display_name, email_opt_in, language, last_login,
        location, profile_url, "user", user_id, username, create_timestamp, update_timestamp)
    VALUES ('$id', '6001', '6002', true, '6003', '2020-02-03', '6004', '6005', true, '6006',
        '6007', '2021-01-09Z', '2021-01-10Z');
    INSERT INTO ctms.mofo (email_id, mofo_email_id, mofo_contact_id, mofo_relevant,
        create_timestamp, update_timestamp)
    VALUES ('$id', '7001', '7002', true, '2021-01-11Z', '2021-01-12Z');
    INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, default_source_id,
        invoice_settings_default_payment_method_id, stripe_created, message_timestamp)
    VALUES ('8001', '5001', '8002', '8003', '2021-02-03Z', '2021-02-04Z');
    INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency,
        recurring_interval, recurring_interval_count, unit_amount, message_timestamp)
    VALUES ('8101', '8102', '2021-02-03Z', true, '978', '8103', 1, 500, '2021-02-04Z');
    INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, default_payment_method_id,
        default_source_id, stripe_created, currency, total, status, message_timestamp,
        list_timestamp)
    VALUES ('8201', '8001', '8202', '8203', '2021-02-03Z', '978', 500, '8204', '2021-02-04Z',
        '2021-02-04Z');
    INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id, stripe_type,
        stripe_price_id, stripe_invoice_item_id, stripe_subscription_id,
        stripe_subscription_item_id, amount, currency, message_timestamp)
    VALUES ('8301', '8201', '8302', '8101', '8303', '8401', '8501', 500, '978', '2021-02-04Z');
    INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, default_payment_method_id,
        default_source_id, stripe_created, cancel_at_period_end, canceled_at, current_period_end,
        current_period_start, ended_at, start_date, status, message_timestamp, list_timestamp)
    VALUES ('8401', '8001', '8402', '8403', '2021-02-03Z', true, '2021-02-20Z', '2021-03-03Z',
        '2021-02-03Z', '2021-03-03Z', '2021-02-03Z', '8404', '2021-02-04Z', '2021-02-04Z');
    INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id,
        stripe_created, message_timestamp)
    VALUES ('8501', '8401', '8101', '2021-02-03Z', '2021-02-04Z');
    INSERT INTO ctms.stripe_refused (message_id, message_timestamp, code, reason, digest, content)
    VALUES ('8601', '2021-02-04Z', '8602', '8603', sha256('{"object": "customer", "id": "8604"}'),
        '{"object": "customer", "id": "8604"}');
    INSERT INTO ctms.api_client (client_id, email, enabled, hashed_secret, last_access)
    VALUES ('9001', '9002', true, '9003', '2021-02-03Z');
    INSERT INTO ctms.json_schema_document VALUES ('https://example.com/x', '{"type": "object"}');
    INSERT INTO ctms.stripe_unresolved (kind, key) VALUES ('customer', '8001'), ('price', '8101'),
        ('fxa', 'unknown'), ('contact', '$third');
    INSERT INTO ctms.acoustic_deleted_contact (email_id, retry, last_error, lease_until)
    VALUES ('33333333-3333-4333-8333-333333333333', 1, '9101', '2021-02-03Z');
    INSERT INTO ctms.acoustic_deleted_row (email_id, kind, name)
    VALUES ('$id', 'newsletter', '9201'), ('$id', 'product', '9202');
    INSERT INTO ctms.acoustic_sent (email_id, hashes)
    VALUES ('$id', '{"main": "0", "newsletter:9301": "1"}');
    INSERT INTO ctms.acoustic_history (email_id, outcome, error)
    VALUES ('$id', '9401', '9402');
    INSERT INTO ctms.acoustic_bulk_run (run_id, runner, lease_until, hold_until, generation,
        first_email_id, last_email_id, contacts, error, settled_email_id, state)
    VALUES (1, '9701', '2021-02-03Z', '2031-02-03Z', 97, '$id', '$other', 1, '9702', '$id',
        'making');
    INSERT INTO ctms.acoustic_bulk_run (run_id, state, hold_until, generation, contacts,
        end_timestamp)
    VALUES (2, 'done', '2021-02-03Z', 98, 5, '2021-02-03Z');
    INSERT INTO ctms.acoustic_bulk_file (run_id, kind, attempt, name, state, row_count, bytes,
        job_id, results_file, error_file, error)
    VALUES (1, 'main', 1, '9801', 'starting', 1, 10, '9802', '9803', '9804', '9805');
    INSERT INTO ctms.acoustic_agent (agent, slots, wanted, lease_until)
    VALUES ('9501', 1, 1, '2021-02-03Z');
    INSERT INTO ctms.settings (name, value) VALUES ('acoustic_deletions', 'on'),
        ('acoustic_skip_unchanged', 'on'), ('acoustic_history_age', '1h');
    UPDATE ctms.pending_acoustic SET retry = 1, last_error = '9601', lease_owner = '9602',
        lease_until = '2021-02-03Z' WHERE email_id = '$other';
    -- What was left is live, so it takes these to the live lane.
    UPDATE ctms.pending_acoustic SET is_bulk = true WHERE email_id <> '$other';
};
my $body = qq({"email": {"email_id": "$id", "primary_email": "one\@example.com",
    "first_name": "new"}, "newsletters": [{"name": "hubs"}],
    "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}}], "fxa": {"fxa_id": "f1"},
    "amo": {"user_id": "a1", "last_login": "2020-01-01"}, "mofo": {"mofo_relevant": true}});
(my $new = $body) =~ s/$id/44444444-4444-4444-8444-444444444444/;
$new =~ s/one\@/new\@/;
my $price = '{"object": "price", "id": "8101", "product": "8102", "created": 1600000000,
    "active": true, "currency": "usd", "unit_amount": 100,
    "recurring": {"interval": "month", "interval_count": 1}}';
my $subscription = qq({"object": "subscription", "id": "8401", "customer": "8001",
    "created": 1600000000, "cancel_at_period_end": false, "current_period_start": 1600000000,
    "current_period_end": 1700000000, "start_date": 1600000000, "status": "active",
    "canceled_at": null, "ended_at": null, "default_payment_method": null, "default_source": null,
    "items": {"object": "list", "has_more": false, "data": [{"object": "subscription_item",
        "id": "8502", "subscription": "8401", "created": 1600000000, "price": $price}]}});
my $invoice = qq({"object": "invoice", "id": "8201", "customer": "8001", "created": 1600000000,
    "currency": "usd", "total": 1000, "status": "paid", "default_payment_method": null,
    "default_source": null, "lines": {"object": "list", "has_more": false, "data": [
        {"object": "line_item", "id": "8301", "type": "subscription", "invoice_item": null,
        "subscription": "8401", "subscription_item": "8502", "amount": 1000, "currency": "usd",
        "price": $price}]}});
my $customer = '{"object": "customer", "id": "8001", "created": 1600000000, "description": "5001",
    "default_source": null, "invoice_settings": {"default_payment_method": "8009"}}';
(my $deleted = $customer) =~ s/"created".*/"deleted": true}/s;
my ($deleted_item, $deleted_invoice) = map { qq({"object": "$_->[0]", "id": "$_->[1]",
    "deleted": true}) } [ subscription_item => 8501 ], [ invoice => 8201 ];
my $claim = q{ctms.claim_acoustic('a', 10, 6, '1 hour')};
my $now = "'2030-01-01Z'::timestamptz";
my @calls = (
    "SELECT * FROM ctms.create_contact('$new')", "SELECT ctms.put_contact('$id', '$body')",
    "SELECT ctms.patch_contact('$id', '{\"email\": {\"first_name\": \"x\"},
        \"waitlists\": [{\"name\": \"4001\", \"fields\": {\"geo\": \"de\"}}],
        \"newsletters\": \"UNSUBSCRIBE\"}')",
    "SELECT ctms.patch_contact('$id', '{\"amo\": \"DELETE\", \"email\": {\"basket_token\":
        \"55555555-5555-4555-8555-555555555555\"}}')",
    "SELECT ctms.get_contact('$id')", "SELECT ctms.get_identity('$id')",
    (map { ("SELECT ctms.find_contacts($_)", "SELECT ctms.find_identities($_)") }
        "email_id => '$id'", "primary_email => 'ONE\@example.com'", "basket_token => '1001'",
        "sfdc_id => '1002'", "mofo_contact_id => '7002'", "mofo_email_id => '7001'",
        "amo_user_id => '6006'", "fxa_id => '5001'", "fxa_primary_email => '5002'"),
    "SELECT ctms.get_updates('2020-01-01')",
    "SELECT ctms.get_updates('2020-01-01', \"limit\" => '1')",
    "SELECT ctms.get_updates('2020-01-01', mofo_relevant => 'true')",
    "SELECT ctms.get_updates_parts('2020-01-01')",
    "SELECT ctms.list_waitlists()", "SELECT ctms.get_waitlist('vpn')",
    'SELECT ctms.list_unusable_waitlists()', "SELECT * FROM ctms.waitlist_answers('4001')",
    "SELECT ctms.waitlist_answers_query('4001')", "SELECT ctms.waitlist_answers_query('vpn')",
    "SELECT ctms.explain_waitlist_fields('{\"type\": \"array\"}', fields) FROM ctms.waitlists",
    "SELECT ctms.set_waitlist_schema('vpn', '{\"type\": \"object\"}')",
    "SELECT ctms.set_waitlist_schema('4001', 'false', true)",
    "SELECT ctms.drop_waitlist_schema('relay')", "SELECT ctms.install_defaults()",
    'SELECT ctms.install_default_waitlist_schemas()',
    (map { ("SELECT ctms.upsert_stripe('$_', $now)") } $customer, $subscription, $invoice, $price,
        $deleted, $deleted_item, $deleted_invoice),
    "SELECT ctms.upsert_stripe('$subscription')",
    "SELECT ctms.upsert_stripe_list('[$customer, $subscription, $deleted, $invoice, $price]')",
    "SELECT * FROM ctms.unwrap_stripe('{\"object\": \"list\", \"data\": [$customer]}')",
    (map { ("SELECT ctms.enqueue_stripe('$_')") } $price, $customer, $subscription, $invoice),
    "SELECT ctms.ingest_pubsub(format('{\"message\": {\"data\": \"%s\", \"publishTime\":
        \"2022-01-01T00:00:00Z\"}}', replace(encode(convert_to('$subscription', 'UTF8'),
            'base64'), E'\\n', '')))",
    "SELECT ctms.ingest_pubsub('{\"message\": {\"messageId\": \"8605\", \"data\": 5}}')",
    "SELECT ctms.parse_stripe('$customer') -> 'id'",
    "SELECT ctms.retry_stripe_refused(id) FROM ctms.stripe_refused",
    'SELECT ctms.count_stripe_refused()', 'SELECT ctms.forget_stripe_refused()',
    'SELECT ctms.forget_acoustic_history()', "SELECT ctms.acoustic_place('$other')",
    "SELECT * FROM ctms.product_subscriptions('$id')", 'SELECT * FROM ctms.acoustic_backlog(6)',
    'SELECT lane, backlog FROM ctms.acoustic_lanes()',
    'SELECT timeline FROM ctms.wal_position()',
    'SELECT backlog, deletions, agents FROM ctms.monitor()',
    "SELECT ctms.get_setting('acoustic_history_age')", 'SELECT ctms.list_settings()',
    "SELECT ctms.set_setting('acoustic_retry_delay', '5s')",
    'SELECT ctms.acoustic_configuration()', 'SELECT ctms.acoustic_main_columns()',
    "SELECT ctms.get_api_client('9001')", "SELECT ctms.touch_api_client('9001')",
    'SELECT ctms.api_client_costs()',
    'SELECT ctms.contact_schemas()', 'SELECT ctms.library_version()',
    "SELECT ctms.json_schema_check('{\"\$ref\": \"https://example.com/x\"}'::jsonb)",
    "SELECT ctms.json_schema_warnings('{\"\$schema\": \"https://example.com/x\"}'::jsonb)",
    "SELECT ctms.delete_contact('one\@example.com')",
    "SELECT ctms.enqueue_contacts('{$id}')", 'SELECT ctms.reset_acoustic_retries()',
    'SELECT ctms.cancel_acoustic()',
    "SELECT email_id, retry, state, is_bulk FROM $claim",
    "SELECT ctms.acoustic_rows('{$id,$other}')",
    "SELECT ctms.acoustic_csv('{$id,$other}')", 'SELECT ctms.acoustic_csv_columns()',
    "SELECT ctms.acoustic_diff('{$id}')", 'SELECT ctms.acoustic_digests()',
    "SELECT ctms.acoustic_outgoing(array_agg(email_id ORDER BY email_id),
        array_agg(state ORDER BY email_id)) FROM $claim",
    "SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation),
        array_agg('sent'::text), array_agg('{\"main\": \"x\"}'::text)) FROM $claim",
    "SELECT ctms.fail_acoustic('a', array_agg(email_id), array_agg(generation),
        array_agg('why'::text), array_agg(false), 6) FROM $claim",
    "SELECT ctms.fail_acoustic('9602', '{$other}', '{1}', '{x}', '{t}', 6)",
    "SELECT ctms.release_acoustic('9602')",
    "SELECT runner, attempt, state FROM ctms.begin_acoustic_bulk('b', '1 hour', '1 hour')",
    'SELECT run_id, contacts, last_contacts FROM ctms.acoustic_bulk_status()',
    'SELECT ctms.cancel_acoustic_bulk()', "SELECT ctms.keep_acoustic_bulk(1, '9701', '1 hour')",
    "SELECT CASE WHEN ctms.set_acoustic_bulk_state(1, '9701', 'settling') THEN (
        SELECT ctms.settle_acoustic_bulk(1, '9701')) END",
    "SELECT CASE WHEN ctms.set_acoustic_bulk_state(1, '9701', 'settling') THEN (
        SELECT ctms.fail_acoustic_bulk(1, '9701', '{$other}', '{x}', '{t}', 6)) END",
    "SELECT ctms.put_acoustic_bulk_file(1, '9701', 'main', 1, 'x', 'running', 1, 10, '5', 0, NULL,
        NULL, NULL)",
    "SELECT CASE WHEN ctms.set_acoustic_bulk_state(1, '9701', 'claiming') THEN (
        SELECT claimed FROM ctms.claim_acoustic_bulk(1, '9701', NULL, 10, 6)) END",
    'SELECT ctms.acoustic_bulk_page(1, NULL, 10)',
    'SELECT state FROM ctms.get_acoustic_bulk_run(1)',
    'SELECT kind, state FROM ctms.get_acoustic_bulk_files(1)',
    "SELECT ctms.share_acoustic('a', 1, 0, 10, '1 min', 50)", 'SELECT ctms.acoustic_rate() = 50',
    "SELECT ctms.share_acoustic('9501', 0, 0, 10, '1 min')",
    # writers by SQL
    "INSERT INTO ctms.emails (primary_email) VALUES ('sql\@example.com') RETURNING true",
    "UPDATE ctms.emails SET first_name = '5' RETURNING email_id",
    "UPDATE ctms.waitlists SET fields = '{\"geo\": \"it\"}' RETURNING name",
    "UPDATE ctms.fxa SET fxa_id = '77' RETURNING email_id",
    "UPDATE ctms.stripe_subscription SET status = '78' RETURNING stripe_id",
    "UPDATE ctms.waitlist_fields_schemas SET schema = '{}' RETURNING name",
    'DELETE FROM ctms.newsletters RETURNING email_id',
    'DELETE FROM ctms.stripe_subscription_item RETURNING stripe_id',
);
# Their transactions end with COMMIT, when the queue is written.
my @writes = (
    "SELECT ctms.put_contact('$id', '$body')", "UPDATE ctms.emails SET last_name = '8'",
    "UPDATE ctms.newsletters SET source = '8'", "UPDATE ctms.fxa SET lang = '8'",
    "UPDATE ctms.stripe_customer SET fxa_id = '8'", "SELECT count(*) FROM $claim",
    "UPDATE ctms.emails SET last_name = '9'", "SELECT ctms.release_acoustic('a')",
    "SELECT count(ctms.finish_acoustic('a', '{$id}', '{1}'))",
    "UPDATE ctms.emails SET first_name = '9'",
);
my $public = $ctms->sql(q{SELECT DISTINCT proname FROM pg_proc WHERE proname NOT LIKE '\_%'
    AND pronamespace = 'ctms'::regnamespace AND proname NOT LIKE 'json\_schema%'
    AND proname NOT IN ('new_email_id', 'parse_body', 'product_segment', 'require_replayed')
    ORDER BY 1});
is(join(' ', grep { "@calls" !~ /\bctms\.$_\(/ } split /\n/, $public), '',
    'every public function is called');

# ---- the databases -----------------------------------------------------------------------------

# test.outcome() undoes what the call has done, so that calls do not depend on each other. Times of
# today differ from run to run.
my $helpers = q[
    CREATE SCHEMA test; CREATE SCHEMA saved;
    CREATE FUNCTION test.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE answer text;
    BEGIN
        EXECUTE format($f$WITH t AS (%s) SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM t$f$,
            call) INTO answer;
        SET CONSTRAINTS ALL IMMEDIATE;
        RAISE EXCEPTION USING ERRCODE = 'TEST1', MESSAGE = coalesce(answer, 'null');
    EXCEPTION WHEN OTHERS THEN
        IF SQLSTATE <> 'TEST1' THEN
            RETURN format('ERROR %s %s', SQLSTATE, replace(SQLERRM, E'\n', ' '));
        END IF;
        RETURN replace(regexp_replace(SQLERRM,
            '202[5-9]-\d\d-\d\d[T ]\d\d(:|%3A)\d\d(:|%3A)\d\d(\.\d+)?'
            '(([+-]|%2B)\d\d((:|%3A)\d\d)?|Z)?', 'TIME', 'g'),
            E'\n', ' ');
    END $$;
    CREATE FUNCTION test.save() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT relname FROM pg_class
            WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'r'
        LOOP EXECUTE format('CREATE TABLE saved.%I AS TABLE ctms.%1$I', name); END LOOP;
    END $$;
    CREATE FUNCTION test.empty() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE names text;
    BEGIN
        SELECT string_agg(format('ctms.%I', relname), ', ') INTO names FROM pg_class
            WHERE relnamespace = 'saved'::regnamespace;
        EXECUTE 'TRUNCATE ' || names;
    END $$;
    CREATE FUNCTION test.fill() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'saved'::regnamespace
        LOOP EXECUTE format('INSERT INTO ctms.%I SELECT * FROM saved.%1$I', name); END LOOP;
    END $$;
];
# Without what refuses changes: views, and these: foreign keys, indexes of expressions, triggers for
# some columns.
my $loosen = q[
    DO $$ DECLARE command text; BEGIN
        FOR command IN
            SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
            FROM pg_constraint WHERE connamespace = 'ctms'::regnamespace AND contype = 'f'
            UNION ALL SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
            FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
            WHERE relnamespace = 'ctms'::regnamespace AND NOT tgisinternal
                AND (tgqual IS NOT NULL OR cardinality(tgattr::smallint[]) > 0)
            UNION ALL SELECT format('DROP INDEX %s', indexrelid::regclass)
            FROM pg_index JOIN pg_class c ON c.oid = indrelid
            WHERE relnamespace = 'ctms'::regnamespace
                AND (indpred IS NOT NULL OR indexprs IS NOT NULL)
        LOOP EXECUTE command; END LOOP;
    END $$;
];
$node->safe_psql('postgres', 'CREATE DATABASE loose');
$node->safe_psql('loose', 'CREATE EXTENSION ctms');
$node->safe_psql('loose', $loosen);
$ctms->drop_views('loose');
my (%session, %backend);
for my $database (qw(ctms loose))
{
    $node->safe_psql($database, $helpers);
    $node->safe_psql($database, $rows);
    $node->safe_psql($database, 'SELECT test.save()');
}

# ---- calling -----------------------------------------------------------------------------------

my $direct = $ctms->sql(q{SELECT count(*) FROM pg_settings
    WHERE name = 'ctms.direct_access'}) ? 'SET ctms.direct_access' : 'SET application_name';

# A session that stays, so that it knows the tables as they were.
sub session
{
    my ($database) = @_;
    return $session{$database} if $session{$database};
    $session{$database} = $node->background_psql($database, on_error_stop => 0, timeout => 60);
    $session{$database}->set_query_timer_restart(1);
    $backend{$database} = $session{$database}->query_safe('SELECT pg_backend_pid()');
    return $session{$database};
}

sub ask
{
    my ($database, $script) = @_;
    session($database)->{stderr} = '';
    my $answer = eval { (session($database)->query("\\set VERBOSITY sqlstate\n$script"))[0] };
    my $errors = eval { session($database)->{stderr} } // '';
    return ($answer, $errors)
        if defined $answer && $errors !~ /server closed|connection .*lost/;
    # It crashed, or it hangs and cannot be interrupted.
    my $part = eval { session($database)->{stdout} } // '';
    %session = ();
    kill 'KILL', $backend{$database};
    $node->poll_query_until('postgres', 'SELECT 1', '1') or BAIL_OUT('the server is gone');
    return (undef, $part);
}

sub script
{
    my ($access) = @_;
    my $n = 0;
    return "$direct = $access;\n" . join '',
        map { "SELECT '" . $n++ . "|' || test.outcome(\$call\$$_\$call\$);\n" } @calls;
}
my $calls = script('on') . script('off');
my $writes = join '', map { "$direct = $_;\n" . join '', map { "$_;\n" } @writes } qw(on off);

sub name_of { return substr $calls[ $_[0] % @calls ] =~ s/\s+/ /gr, 0, 70 }

# The outcome of each call, first with direct access, then by SQL; or undef and the call that
# crashed.
sub outcomes
{
    my ($database) = @_;
    my ($answer, $rest) = ask($database, $calls);
    my @outcomes = map { /^\d+\|(.*)/ ? $1 : () } split /\n/, $answer // $rest;
    return defined $answer ? \@outcomes : (undef, name_of(scalar @outcomes));
}

# What is wrong with the outcomes under other types.
sub problems
{
    my ($database, $expected) = @_;
    my ($got, $crashed) = outcomes($database);
    return "the server crashed or hangs in $crashed" unless $got;
    return 'calls without an answer' unless @$got == @$expected;
    my @problems;
    for my $i (0 .. $#$got)
    {
        my $call = name_of($i);
        push @problems, "$call: $got->[$i]" if $got->[$i] =~ /^ERROR XX/;
        push @problems, "$call: " . first_difference($expected->[$i], $got->[$i])
            if $got->[$i] ne $expected->[$i] && $got->[$i] !~ /^ERROR/;
    }
    my ($answer, $errors) = ask($database, $writes);
    push @problems, 'the server crashed or hangs in a write' unless defined $answer;
    push @problems, "a write: $1" if $errors =~ /(ERROR:\s+XX\w+)/;
    splice @problems, 5, @problems, sprintf('and %d more', @problems - 5) if @problems > 6;
    return @problems;
}

sub first_difference
{
    my ($expected, $got) = @_;
    my $at = 0;
    $at++ while $at < length $expected && substr($expected, $at, 1) eq substr($got, $at, 1);
    my $from = $at < 20 ? 0 : $at - 20;
    return '"' . substr($got, $from, 50) . '" for "' . substr($expected, $from, 50) . '"';
}

my %expected;
for my $database (qw(ctms loose))
{
    $expected{$database} = (outcomes($database))[0];
    is(scalar @{ $expected{$database} }, 2 * @calls, "$database: every call has an outcome");
    my @failed = grep { $expected{$database}[$_] =~ /^ERROR/ } 0 .. $#{ $expected{$database} };
    is(join("\n", map { "$calls[$_ % @calls]: $expected{$database}[$_]" } @failed), '',
        "$database: no call fails before the types change");
    is_deeply([ @{ $expected{$database} }[ 0 .. $#calls ] ],
        [ @{ $expected{$database} }[ @calls .. 2 * @calls - 1 ] ], "$database: both ways agree");
    is(join(' ', grep { /XX/ } (ask($database, $writes))[1] // 'crash'), '', "$database: writes");
    restore($database, '');
}

# ---- each column -------------------------------------------------------------------------------

# The first is the one that is most likely to be taken for what it is not.
my %others = (
    uuid => ['text'], text => [ 'integer', 'varchar(300)' ], varchar => [ 'integer', 'text' ],
    int4 => [ 'numeric', 'text', 'bigint' ], int8 => [ 'numeric', 'text', 'integer' ],
    bool => [ 'text', 'integer' ], float8 => [ 'numeric', 'text' ],
    date => [ 'timestamptz', 'text' ], timestamptz => [ 'text', 'timestamp' ],
    jsonb => [ 'json', 'text' ], bytea => ['text'],
    _text => [ 'text', 'varchar(300)[]' ]);

sub restore
{
    my ($database, $change) = @_;
    $node->safe_psql($database, "SET session_replication_role = replica; SELECT test.empty();
        $change; SELECT test.fill()");
    return;
}

# False when something refuses the change.
sub change
{
    my ($database, $table, $column, $type, $has_default) = @_;
    for my $default ($has_default ? ('', "ALTER $column DROP DEFAULT,") : '')
    {
        my ($rc) = $node->psql($database, "SET session_replication_role = replica;
            ALTER TABLE $table $default ALTER $column TYPE $type USING $column\::$type");
        return 1 if $rc == 0;
    }
    return 0;
}

my ($changed, $refused) = (0, 0);
my @columns = map { [ split /\t/, $_, -1 ] } split /\n/, $ctms->sql(q{
    SELECT concat_ws(E'\t', c.oid::regclass, quote_ident(attname), typname,
        format_type(atttypid, atttypmod), coalesce(pg_get_expr(adbin, adrelid), ''))
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_type t ON t.oid = atttypid
        LEFT JOIN pg_attrdef d ON adrelid = c.oid AND adnum = attnum
    WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'r' AND attnum > 0
        AND NOT attisdropped ORDER BY c.oid::regclass::text, attnum});
for (@columns)
{
    my ($table, $column, $name, $type, $default) = @$_;
    next if "$table.$column" !~ /$only/;
    my @problems;
    my $is_changed = 0;
    for my $other (@{ $others{$name} // [] })
    {
        last if $is_short && $is_changed;
        my $database = first { change($_, $table, $column, $other, $default ne '') } qw(ctms loose);
        if (!$database)
        {
            $refused++;
            next;
        }
        $changed++;
        $is_changed = 1;
        push @problems, map { "$other, $database: $_" } problems($database, $expected{$database});
        restore($database, "ALTER TABLE $table ALTER $column DROP DEFAULT,
            ALTER $column TYPE $type USING NULL::$type"
            . ($default eq '' ? '' : ", ALTER $column SET DEFAULT $default"));
    }
    ok(exists $others{$name}, "$table.$column: its type is known here");
    is(join("\n", @problems), '', "$table.$column");
}
note("$changed changes; refused: $refused");
cmp_ok($changed, '>', 150, 'most columns can be changed') if $only eq '.';
for my $database (qw(ctms loose))
{
    is_deeply((outcomes($database))[0], $expected{$database},
        "$database: changed back, everything is as before");
}
$_->quit for values %session;

done_testing();
