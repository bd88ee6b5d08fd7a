# Trigger functions and what sessions remember: on foreign tables, under logical replication, when
# schemas change in unusual ways; plans, when they are made again; and memory.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use IPC::Run;
use Test::More;

my $ctms = CTMS::Test->new('trigger_functions',
    conf => "wal_level = logical\nmax_wal_senders = 10");
my $node = $ctms->node;

# ---- a session that stays open ---------------------------------------------------------

my $asked = 0;

sub session
{
    my ($database) = @_;
    my %s = (in => '', out => '', timer => IPC::Run::timer(180));
    $s{run} = IPC::Run::start([ 'psql', '-XqAt', '-d', $ctms->db_url($database) ],
        '<', \$s{in}, '>&', \$s{out}, $s{timer});
    ask(\%s, '\set VERBOSITY verbose');
    return \%s;
}

sub send_sql
{
    my ($s, $sql) = @_;
    $s->{end} = 'end of ' . ++$asked;
    $s->{out} = '';
    $s->{in} .= "$sql\n\\echo $s->{end}\n";
    $s->{run}->pump_nb;
    return;
}

# What psql prints for these statements.
sub ask
{
    my ($s, $sql) = @_;
    send_sql($s, $sql) if defined $sql;
    my $end = $s->{end};
    $s->{timer}->start(180);
    $s->{run}->pump until $s->{out} =~ /^\Q$end\E$/m || $s->{timer}->is_expired;
    my ($answer) = $s->{out} =~ /(.*?)\n?^\Q$end\E$/ms;
    return $answer // "no answer: $s->{out}";
}

sub close_session
{
    my ($s) = @_;
    $s->{in} .= "\\q\n";
    $s->{run}->finish;
    return;
}

# ---- foreign tables -----------------------------------------------------------------------

SKIP:
{
    skip 'postgres_fdw is not installed', 1
        unless $ctms->sql(q{SELECT count(*) FROM pg_available_extensions
            WHERE name = 'postgres_fdw'});
    $ctms->sql(sprintf q{CREATE EXTENSION postgres_fdw SCHEMA public;
        CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw
            OPTIONS (host '%s', port '%s', dbname 'ctms');
        CREATE USER MAPPING FOR CURRENT_USER SERVER here;
        CREATE TABLE public.there (email_id uuid, name text, fields jsonb, schema jsonb,
            update_timestamp timestamptz);
        -- In our own schema, so that only its kind is wrong.
        CREATE FOREIGN TABLE ctms.far_away (email_id uuid, name text, fields jsonb, schema jsonb,
            update_timestamp timestamptz) SERVER here OPTIONS (schema_name 'public',
            table_name 'there')}, $node->host, $node->port);
    my $rows = q{('00000000-0000-4000-8000-000000021301', 'a', '{}', '{}', now())};
    my @answers;
    for (
        [ 'AFTER INSERT', 'ROW', q{_enqueue('contact', 'email_id')} ],
        [ 'BEFORE INSERT', 'ROW', '_check_setting()' ],
        [ 'BEFORE INSERT', 'ROW', '_check_waitlist_fields()' ],
        [ 'BEFORE INSERT', 'ROW', '_check_waitlist_schema()' ],
        [ 'BEFORE INSERT', 'ROW', '_check_json_schema_document()' ],
        [ 'BEFORE INSERT', 'STATEMENT', '_lock_waitlists()' ],
        [ 'BEFORE INSERT', 'STATEMENT', '_restore_references()' ],
        [ 'AFTER INSERT', 'ROW', '_invalidate_table()' ],
        [ 'BEFORE UPDATE', 'ROW', '_update_timestamp()' ],
        [ 'BEFORE UPDATE', 'ROW', q{_enqueue('contact', 'email_id')} ])
    {
        my ($when, $level, $function) = @$_;
        my $statement = $when =~ /INSERT/ ? "INSERT INTO ctms.far_away VALUES $rows"
            : q{UPDATE ctms.far_away SET name = 'b'};
        my $error = $ctms->sql_error(qq{INSERT INTO public.there VALUES $rows; BEGIN;
            CREATE TRIGGER wrong $when ON ctms.far_away FOR EACH $level
            EXECUTE FUNCTION ctms.$function; $statement});
        push @answers, "$when $function: $error->{state}"
            unless $error->{state} eq '39P01'
            && $error->{message} =~ /cannot be a trigger of relation "ctms\.far_away"/;
    }
    is(join("\n", @answers), '', 'no function works on a foreign table');
    $ctms->sql('DROP EXTENSION postgres_fdw CASCADE; DROP TABLE public.there');
}

# ---- which triggers fire for changes that come from elsewhere -----------------------------

is($ctms->sql(q{SELECT t.tgrelid::regclass || ' ' || t.tgname FROM pg_trigger t
    WHERE t.tgrelid::regclass::text LIKE 'ctms.%' AND NOT t.tgisinternal
        AND t.tgenabled = 'A' ORDER BY t.tgname COLLATE "C"}), join("\n",
    'ctms.api_client ctms_api_client_notifies',
    'ctms.api_client ctms_api_client_notifies_change',
    'ctms.api_client ctms_api_client_notifies_truncate',
    'ctms.json_schema_document ctms_json_schema_document_invalidate',
    'ctms.json_schema_document ctms_json_schema_document_invalidate_all',
    'ctms._queue_flush ctms_queue_flush', 'ctms._queue_flush ctms_queue_flush_keep',
    'ctms._queue_flush ctms_queue_flush_truncated',
    'ctms.settings ctms_settings_invalidate', 'ctms.settings ctms_settings_invalidate_all',
    'ctms.waitlist_fields_schemas ctms_waitlist_fields_schemas_invalidate',
    'ctms.waitlist_fields_schemas ctms_waitlist_fields_schemas_invalidate_all'),
    'triggers that tell others, and the one that writes the queue, always fire; all others are
    ordinary' =~ s/\n\s+/ /r);
is($ctms->sql(q{SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE p.pronamespace = 'ctms'::regnamespace AND t.tgenabled = 'A'
        AND t.tgtype & 1 = 0 AND t.tgtype & 28 <> 0}), '',
    'for each row: replication fires no others');
is($ctms->sql(q{SELECT evtenabled FROM pg_event_trigger WHERE evtname = 'ctms_guard_drop'}), 'A',
    'the guard against drops is always there');

# ---- schemas that change without their checks -----------------------------------------------

$ctms->sql(q{
    INSERT INTO ctms.emails (email_id, primary_email)
        VALUES ('00000000-0000-4000-8000-000000021301', 'a@example.com');
    INSERT INTO ctms.json_schema_document VALUES ('https://example.com/n', '{"type": "number"}');
    -- Whether "n" may be a number, and whether the document says that 1 is valid.
    CREATE FUNCTION public.verdict() RETURNS text LANGUAGE plpgsql AS $$
    DECLARE
        is_known boolean := ctms.json_schema_is_valid('{"$ref": "https://example.com/n"}', '1');
    BEGIN
        INSERT INTO ctms.waitlists (email_id, name, fields)
            VALUES ('00000000-0000-4000-8000-000000021301', 'w', '{"n": 1}');
        DELETE FROM ctms.waitlists WHERE name = 'w';
        RETURN 'accepted ' || is_known;
    EXCEPTION WHEN SQLSTATE 'CT001' THEN
        RETURN 'refused ' || is_known;
    END $$;
    CREATE FUNCTION public.schemas(type text) RETURNS void LANGUAGE sql AS $$
        INSERT INTO ctms.waitlist_fields_schemas AS s (name, schema)
        VALUES ('w', jsonb_build_object('properties', jsonb_build_object('n',
            jsonb_build_object('type', type))))
        ON CONFLICT ON CONSTRAINT waitlist_fields_schemas_pkey
            DO UPDATE SET schema = EXCLUDED.schema;
        UPDATE ctms.json_schema_document SET schema = jsonb_build_object('type', type) $$;
    SELECT public.schemas('number');
});
my $open = session();

# The open session's verdict before, after the changes of another session, and after undoing them.
sub sees
{
    my ($what, $changes, $expected) = @_;
    $ctms->sql(q{SELECT public.schemas('number')});
    is(ask($open, 'SELECT public.verdict();'), 'accepted true', "$what: before");
    $ctms->sql($changes);
    is(ask($open, 'SELECT public.verdict();'), $expected, '... and after');
    return;
}
my $replica = 'SET session_replication_role = replica';
sees('UPDATE', q{SELECT public.schemas('string')}, 'refused false');
sees('UPDATE as a replica', qq{$replica; SELECT public.schemas('string')}, 'refused false');
sees('DELETE and INSERT as a replica', qq{$replica; DELETE FROM ctms.waitlist_fields_schemas;
    DELETE FROM ctms.json_schema_document;
    INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('w', 'false');
    INSERT INTO ctms.json_schema_document VALUES ('https://example.com/n', 'false')},
    'refused false');
sees('DELETE as a replica: "default" is used', qq{$replica;
    DELETE FROM ctms.waitlist_fields_schemas;
    INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('default', 'false')},
    'refused true');
sees('a row renamed as a replica', qq{$replica;
    UPDATE ctms.waitlist_fields_schemas SET name = 'v' WHERE name = 'w'}, 'refused true');
$ctms->sql('DELETE FROM ctms.waitlist_fields_schemas');
sees('TRUNCATE and COPY as a replica', qq{$replica; TRUNCATE ctms.waitlist_fields_schemas,
    ctms.json_schema_document;
COPY ctms.waitlist_fields_schemas (name, schema) FROM stdin;
w\tfalse
\\.
COPY ctms.json_schema_document FROM stdin;
https://example.com/n\tfalse
\\.
}, 'refused false');
sees('in restore mode', q{SET ctms.restore_mode = on; SELECT public.schemas('string')},
    'refused false');
sees('MERGE as a replica', qq{$replica; MERGE INTO ctms.waitlist_fields_schemas s
    USING (SELECT 'w' AS name) v ON s.name = v.name
    WHEN MATCHED THEN UPDATE SET schema = 'false'; }, 'refused true');

# In the session itself, and taken back.
for my $role (qw(origin replica))
{
    $ctms->sql(q{SELECT public.schemas('number')});
    is(ask($open, qq{
        SELECT public.verdict();
        BEGIN;
        SAVEPOINT a;
        SET LOCAL session_replication_role = $role;
        SELECT public.schemas('string');
        SET LOCAL session_replication_role = origin;
        SELECT public.verdict();
        ROLLBACK TO SAVEPOINT a;
        SELECT public.verdict();
        SET LOCAL session_replication_role = $role;
        SELECT public.schemas('string');
        SET LOCAL session_replication_role = origin;
        SELECT public.verdict();
        ROLLBACK;
        SELECT public.verdict();
        DISCARD ALL;
        SELECT public.verdict();}) =~ s/\n+/, /gr, join(', ', 'accepted true', 'refused false',
        'accepted true', 'refused false', 'accepted true', 'accepted true'),
        "$role: a change that is rolled back, and DISCARD");
}
close_session($open);

# ---- plans that are made again -----------------------------------------------------------------

my $id = '00000000-0000-4000-8000-000000021301';
my $index_off = join '; ', map { "SET enable_${_} = off" }
    qw(indexscan indexonlyscan bitmapscan nestloop tidscan sort);
my $scans = q{SELECT count(*) || ' ' || COALESCE(sum(seq_scan), 0)
    FROM pg_stat_xact_user_tables WHERE schemaname = 'ctms'
        AND relname IN ('emails', 'amo', 'fxa', 'mofo', 'newsletters', 'waitlists')};
for (
    [ 'delete_contact', q{SELECT ctms.delete_contact('nobody@example.com')} ],
    [ 'get_contact', qq{SELECT length(ctms.get_contact('$id')::text) > 0} ],
    [ 'patch_contact', qq{SELECT length(ctms.patch_contact('$id', '{}')::text) > 0} ])
{
    my ($name, $call) = @$_;
    # Planned with the user's settings from the beginning.
    my $user = session();
    like(ask($user, "SET ctms.direct_access = off; $index_off; BEGIN; $call; $scans; COMMIT;"),
        qr/^6 0$/m, "$name: the user's settings of the planner do not matter");
    close_session($user);

    # The plan is ready, but an invalidation comes when the statement locks its table.
    $user = session();
    ask($user, "SET ctms.direct_access = off; $call; $index_off;");
    my $other = session();
    ask($other, 'BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE;');
    send_sql($user, "BEGIN; $call; $scans; COMMIT;");
    poll_until(sub { $ctms->sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted}) eq '1' },
        'the session waits for the table');
    ask($other, 'ANALYZE ctms.emails; COMMIT;');
    like(ask($user), qr/^6 0$/m, '... nor when the plan is invalidated as it begins');
    like(ask($user, "ALTER TABLE ctms.emails SET (fillfactor = 90); BEGIN; $call; $scans;
        COMMIT;"), qr/^6 0$/m, '... or before');
    like(ask($user, "SET plan_cache_mode = force_custom_plan; BEGIN; $call; $scans; COMMIT;"),
        qr/^6 0$/m, '... or is made each time');
    close_session($_) for $user, $other;
}
$ctms->sql('ALTER TABLE ctms.emails RESET (fillfactor)');

# Statements that a statement of ours fires are planned as their authors like.
$ctms->sql(q{CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE NOTICE 'seqscan is %', current_setting('enable_seqscan');
        RETURN NEW;
    END $$;
    CREATE TRIGGER a_mine BEFORE UPDATE ON ctms.emails FOR EACH ROW
        EXECUTE FUNCTION public.mine()});
my $fires = session();
like(ask($fires, qq{SELECT ctms.patch_contact('$id', '{"email": {"first_name": "b"}}');}),
    qr/seqscan is on/, "a user's trigger is not planned with our preferences");
close_session($fires);
$ctms->sql('DROP TRIGGER a_mine ON ctms.emails; DROP FUNCTION public.mine()');

# ---- memory of a procedure that commits ----------------------------------------------------------

# PostgreSQL itself keeps some bytes for each COMMIT in a procedure: an update of a plain table
# shows how many. Ours may not keep one more, in any memory context.
$ctms->sql(q{
    CREATE TABLE public.plain AS SELECT 1 AS n;
    CREATE FUNCTION public.used() RETURNS jsonb LANGUAGE sql AS $$
        SELECT jsonb_object_agg(name, bytes) FROM (SELECT name, sum(used_bytes) AS bytes
            FROM pg_backend_memory_contexts GROUP BY 1) AS by_name $$;
    -- By how much each context has grown from round 100 to the last.
    CREATE PROCEDURE public.rounds(what text, is_kept boolean, INOUT grown jsonb)
    LANGUAGE plpgsql AS $$
    DECLARE
        early jsonb;
        late jsonb;
    BEGIN
        FOR n IN 1 .. 2100 LOOP
            EXECUTE what;
            IF is_kept THEN COMMIT; ELSE ROLLBACK; END IF;
            IF n = 90 OR n = 100 THEN
                early := public.used();
            END IF;
        END LOOP;
        late := public.used();
        grown := (SELECT jsonb_object_agg(key, value::bigint
            - COALESCE((early ->> key)::bigint, 0)) FROM jsonb_each_text(late));
    END $$;
    CREATE FUNCTION public.more(ours jsonb, others jsonb) RETURNS text LANGUAGE sql AS $$
        SELECT string_agg(key || ' ' || round(((value::bigint
            - COALESCE((others ->> key)::bigint, 0)) / 2000.0), 1), ', ' ORDER BY key)
        FROM jsonb_each_text(ours)
        WHERE value::bigint - COALESCE((others ->> key)::bigint, 0) > 2000 * 7 $$});
my $change = q{UPDATE ctms.emails SET first_name = random()::text};
my $claim = q{ctms.claim_acoustic('a', 10, 5, '1 minute')};
my %statement = (
    'a change' => $change,
    'a row and its deletion' => qq{INSERT INTO ctms.waitlists (email_id, name, fields)
        VALUES ('$id', 'default', '{}'); DELETE FROM ctms.waitlists},
    'changes that are rolled back' => qq{DO \$x\$ BEGIN
        BEGIN $change; RAISE 'x'; EXCEPTION WHEN OTHERS THEN END;
        BEGIN $change; EXCEPTION WHEN OTHERS THEN END; END \$x\$},
    'reading' => qq{SELECT ctms.get_contact('$id'), ctms.get_updates('2020-01-01'),
        ctms.find_contacts(primary_email => 'a\@example.com')},
    'writing' => qq{SELECT ctms.put_contact('$id', format('{"email": {"primary_email":
        "a\@example.com", "first_name": "%s"}, "newsletters": [{"name": "%1\$s"}]}', random()))},
    'deletion' => q{SELECT ctms.create_contact('{"email": {"primary_email": "d@example.com"}}');
        SELECT ctms.delete_contact('d@example.com')},
    'claim and finish, and an agent that is woken' => qq{$change;
        SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation)) FROM $claim;
        SELECT * FROM $claim},
    'claim and fail' => qq{$change; SELECT ctms.fail_acoustic('a', array_agg(email_id),
        array_agg(generation), array_agg('x'::text), array_agg(false), 5) FROM $claim;
        SELECT ctms.reset_acoustic_retries()},
    'enqueue' => q{SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM ctms.emails},
    'Stripe' => q{INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
        VALUES ('cus_a', 'a', now()); DELETE FROM ctms.stripe_customer});
$ctms->sql(q{INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('default', 'true')
    ON CONFLICT ON CONSTRAINT waitlist_fields_schemas_pkey DO UPDATE SET schema = 'true'});
for my $is_kept (qw(true false))
{
    my $plain = $ctms->sql(qq{CALL public.rounds('UPDATE public.plain SET n = n + 1', $is_kept,
        NULL)});
    my @leaks;
    for my $name (sort keys %statement)
    {
        my $call = $statement{$name} =~ s/'/''/gr;
        my $grown = $ctms->sql("CALL public.rounds('$call', $is_kept, NULL)");
        my $more = $ctms->sql("SELECT public.more('$grown', '$plain')");
        push @leaks, "$name: $more" if $more ne '';
    }
    is(join("\n", @leaks), '', 'memory does not grow with each '
        . ($is_kept eq 'true' ? 'COMMIT' : 'ROLLBACK'));
}
$ctms->sql(q{DELETE FROM ctms.stripe_customer; DELETE FROM ctms.newsletters});

# ---- logical replication, from a database to another ------------------------------------------

$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->safe_psql('copy', 'CREATE EXTENSION ctms; TRUNCATE ctms.waitlist_fields_schemas,
    ctms.json_schema_document');
$node->safe_psql('copy', $ctms->sql(q{
    SELECT pg_get_functiondef('public.verdict()'::regprocedure)}));
$ctms->sql(q{TRUNCATE ctms.waitlist_fields_schemas; SELECT public.schemas('number');
    INSERT INTO ctms.api_client (client_id, email, enabled, hashed_secret)
        VALUES ('id_replicated', 'c@example.com', true, 'x');
    CREATE PUBLICATION everything FOR TABLE ctms.waitlist_fields_schemas,
        ctms.json_schema_document, ctms.api_client, ctms.emails, ctms.newsletters});
$ctms->sql(q{SELECT pg_create_logical_replication_slot('copy', 'pgoutput')});
$node->safe_psql('copy', sprintf q{CREATE SUBSCRIPTION copy CONNECTION '%s'
    PUBLICATION everything WITH (slot_name = 'copy', create_slot = false, copy_data = true)},
    $node->connstr('ctms') =~ s/'/''/gr);
ok(poll_until(sub { $node->safe_psql('copy',
    q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'}) eq '0' }),
    'tables are copied');

# Waits until the subscriber has what was committed so far.
sub catch_up { $node->wait_for_catchup('copy', 'replay', $node->lsn('insert')); return }

my $copy = session('copy');
$ctms->sql(q{SELECT public.schemas('number')});
catch_up();
is(ask($copy, 'SELECT public.verdict();'), 'accepted true', 'the subscriber knows the schemas');
$ctms->sql(q{SELECT public.schemas('string')});
catch_up();
is(ask($copy, 'SELECT public.verdict();'), 'refused false', 'it follows an UPDATE');
$ctms->sql(q{DELETE FROM ctms.waitlist_fields_schemas; DELETE FROM ctms.json_schema_document;
    INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('default', 'true');
    INSERT INTO ctms.json_schema_document VALUES ('https://example.com/n', 'true')});
catch_up();
is(ask($copy, 'SELECT public.verdict();'), 'accepted true', 'DELETE and INSERT');
$ctms->sql(q{TRUNCATE ctms.waitlist_fields_schemas});
catch_up();
is(ask($copy, 'SELECT public.verdict();'), 'refused true', 'and TRUNCATE');

sub notified { my $told = () = ask($copy, 'SELECT 1;') =~ /notification "ctms_api_client"/g;
    return $told }
ask($copy, 'LISTEN ctms_api_client;');
$ctms->sql(q{UPDATE ctms.api_client SET last_access = now()});
catch_up();
$ctms->sql(q{UPDATE ctms.api_client SET enabled = false});
catch_up();
ok(poll_until(\&notified), 'servers hear that a client was disabled at the publisher');

# All other triggers are ordinary: what was done at the publisher is not done again.
my $before = $node->safe_psql('copy', q{SELECT count(*) FROM ctms.pending_acoustic});
$ctms->sql(q{UPDATE ctms.emails SET first_name = 'a';
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'n' FROM ctms.emails});
catch_up();
my $same = q{SELECT e.first_name, e.update_timestamp, n.name, n.update_timestamp
    FROM ctms.emails e JOIN ctms.newsletters n USING (email_id) ORDER BY 1, 2, 3, 4};
is($node->safe_psql('copy', $same), $ctms->sql($same), 'rows arrive with their timestamps');
isnt($ctms->sql(q{SELECT count(*) FROM ctms.pending_acoustic}), '0',
    'the publisher has enqueued the contact');
is($node->safe_psql('copy', q{SELECT count(*) FROM ctms.pending_acoustic}), $before,
    'the subscriber has not');
close_session($copy);
$node->safe_psql('copy', 'DROP SUBSCRIPTION copy');
my $refused = $ctms->sql_error("$replica; DROP EXTENSION ctms");
is($refused->{state}, '55000', 'the extension cannot be dropped as a replica either');

done_testing();
