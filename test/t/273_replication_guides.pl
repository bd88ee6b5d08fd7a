# The guides on logical replication, block by block, between two servers: a reporting database
# (docs/operations.md), and the way to a new major version (docs/upgrade.md).
use strict;
use warnings;
use CTMS::Data;
use CTMS::Guide;
use CTMS::Test qw(poll_until slurp);
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n"
    . "max_logical_replication_workers = 12\nmax_worker_processes = 20\n";
my $ctms = CTMS::Test->new('primary', conf => $conf);
my $node = $ctms->node;
my $other = CTMS::Test->new('other', no_extension => 1, conf => $conf)->node;
CTMS::Data::fill($ctms);
my $operations = slurp("$ENV{CTMS_TEST_TOP}/docs/operations.md");

sub address
{
    my ($server, $database, $user) = @_;
    return sprintf 'host=%s port=%s dbname=%s%s', $server->host, $server->port, $database,
        $user ? " user=$user" : '';
}

# What is written on the old server has been applied on the new one.
sub caught_up
{
    my ($slot) = @_;
    my $end = $ctms->sql('SELECT pg_current_wal_lsn()');
    poll_until(sub { $ctms->sql("SELECT confirmed_flush_lsn >= '$end'
        FROM pg_replication_slots WHERE slot_name = '$slot'") eq 't' }, "$slot has everything");
    return;
}

# ---- a reporting database -----------------------------------------------------------------

my $guide = CTMS::Guide->new('operations', 'A reporting database', $node);
my %there = (PRIMARY => address($node, 'ctms'), REPORTING => address($other, 'reporting'),
    FROM_THERE => address($node, 'ctms', 'ctms_replication'));
is(join(' ', sort $guide->skip_variables), join(' ', sort keys %there), 'the variables are ours');
$other->safe_psql('postgres', 'CREATE DATABASE reporting; CREATE DATABASE with_rows');
$guide->run('1. a role', %there);
is($ctms->sql(q{SELECT has_table_privilege('ctms_replication', 'ctms.api_client', 'SELECT')}), 'f',
    'which may not see secrets');
$guide->run('2. what is published', %there);
my $published = $ctms->sql(q{SELECT string_agg(tablename, ' ' ORDER BY tablename)
    FROM pg_publication_tables WHERE pubname = 'ctms_reporting'});
# Each table is published, or the document says why it is not.
my ($never) = $operations =~ /^   Never publish (.*?)\n3\. /ms;
is($ctms->sql(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'r'}),
    join(' ', sort(split(/ /, $published), $never =~ /`([a-z_]+)`/g)),
    'each table is published, or never');
$guide->run('3. the reporting database', %there);
$guide->wait_for('4. it is complete', 0, %there);
like($guide->run('5. how far behind it is', %there), qr/ctms_reporting *\| t +\| reserved/,
    'names the slot');

# Rows of published tables; neither sequences nor other tables.
my $relations = CTMS::Data::relations($node, 'ctms');
my %is_published = map { ("ctms.$_" => 1) } split / /, $published;
delete @$relations{ grep { !$is_published{$_} } keys %$relations };
sub is_equal
{
    my ($what, $database) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(CTMS::Data::content($other, $database // 'reporting', $relations),
        CTMS::Data::content($node, 'ctms', $relations), $what);
    is($other->safe_psql($database // 'reporting', q{SELECT (SELECT count(*)
        FROM ctms.pending_acoustic), (SELECT count(*) FROM ctms.stripe_unresolved),
        (SELECT count(*) FROM ctms.api_client)}), '0|0|0', 'nothing is enqueued there');
    return;
}
is(scalar(keys %$relations), 16, 'tables are compared');
is_equal('all is copied');

my $reader = $other->background_psql('reporting', on_error_stop => 0);
my $wrong = q{BEGIN; INSERT INTO ctms.waitlists (email_id, name, fields)
    SELECT email_id, 'arriving', '{"n": "no number"}' FROM ctms.emails LIMIT 1; ROLLBACK};
$reader->query($wrong);
is($reader->{stderr}, '', 'a session there knows no schema of a waitlist');
$ctms->sql(q{
    SELECT ctms.set_waitlist_schema('arriving',
        '{"type": "object", "properties": {"n": {"type": "integer"}}}');
    SELECT ctms.create_contact('{"email": {"primary_email": "new@example.com"},
        "newsletters": [{"name": "hubs"}]}');
    UPDATE ctms.emails SET first_name = 'patched' WHERE primary_email = 'dump7@example.com';
    UPDATE ctms.emails SET primary_email = 'other@example.com'
        WHERE primary_email = 'dump8@example.com';
    SELECT ctms.delete_contact('dump9@example.com');
    INSERT INTO ctms.acoustic_field VALUES ('main', 'one_more')});
caught_up('ctms_reporting');
is_equal('changes arrive');
for my $view (qw(contact_products segment_counts newsletter_counts waitlist_counts
    stripe_unconnected))
{
    my $rows = "SELECT count(*), md5(string_agg(v::text, ' ' ORDER BY v::text)) FROM ctms.$view v";
    is($other->safe_psql('reporting', $rows), $ctms->sql($rows), "the view $view is there too");
}
$reader->query($wrong);
like($reader->{stderr}, qr/ERROR/, 'the schema takes effect in the session');
$reader->quit;
is($other->safe_psql('reporting', q{SET ROLE ctms_reader;
    SELECT ctms.get_contact(email_id) IS NOT NULL FROM ctms.emails
    WHERE primary_email = 'new@example.com'}), 't', 'functions that read work there');

$_->[0]->safe_psql($_->[1], q{CREATE SCHEMA crm; CREATE TABLE crm.contacts (email_id uuid
    PRIMARY KEY REFERENCES ctms.emails ON DELETE CASCADE, account_manager text)})
    for [ $node, 'ctms' ], [ $other, 'reporting' ];
$ctms->sql(q{INSERT INTO crm.contacts SELECT email_id, 'me' FROM ctms.emails});
$guide->run('a table of one\'s own', %there);
poll_until(sub { $other->safe_psql('reporting', 'SELECT count(*) FROM crm.contacts') == 200 },
    'its rows arrive');
$guide->finish;

# TRUNCATE is not carried over, and stops nothing.
$ctms->sql('CREATE TABLE saved AS TABLE ctms.amo; TRUNCATE ctms.amo;
    SET ctms.restore_mode = on; DELETE FROM ctms.mofo');
caught_up('ctms_reporting');
is($other->safe_psql('reporting', q{SELECT (SELECT count(*) FROM ctms.amo) > 0,
    (SELECT count(*) FROM ctms.mofo)}), 't|0', 'TRUNCATE is not carried over, DELETE is');
my ($quietly) = $operations =~ /`(SET session_replication_role = replica)` keeps/;
$other->safe_psql('reporting', "$quietly; TRUNCATE ctms.amo");
$ctms->sql('SET ctms.restore_mode = on; INSERT INTO ctms.amo TABLE saved; DROP TABLE saved');
caught_up('ctms_reporting');
is_equal('until one does it there');

# Where the extension was made with its default rows.
my ($truncate) = $operations =~ /with its rows: `(TRUNCATE ctms[^`]+)` first/;
$other->safe_psql('with_rows', 'CREATE EXTENSION ctms; CREATE SCHEMA crm; CREATE TABLE crm.contacts
    (email_id uuid PRIMARY KEY REFERENCES ctms.emails, account_manager text)');
$other->safe_psql('with_rows', $truncate);
$other->safe_psql('with_rows', "CREATE SUBSCRIPTION with_rows CONNECTION '$there{FROM_THERE}'
    PUBLICATION ctms_reporting");
poll_until(sub { $other->safe_psql('with_rows',
    q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'}) == 0 },
    'default rows do not collide');
caught_up('with_rows');
is_equal('all is copied there too', 'with_rows');
$other->safe_psql('with_rows', 'DROP SUBSCRIPTION with_rows');

$other->safe_psql('reporting', $_) for $operations =~ /`(DROP SUBSCRIPTION ctms_reporting)`/;
$ctms->sql($_) for $operations =~ /`(DROP PUBLICATION ctms_reporting)`/;
is($ctms->sql('SELECT count(*) FROM pg_replication_slots'), 0, 'the end: no slot stays');

# ---- a new major version ------------------------------------------------------------------

# Tables of one's own, with a sequence and a key; and settings of the database.
$ctms->sql(q{CREATE TABLE crm.calls (id serial PRIMARY KEY, email_id uuid REFERENCES ctms.emails);
    INSERT INTO crm.calls (email_id) SELECT email_id FROM ctms.emails;
    CREATE TABLE crm.keyless (n int); INSERT INTO crm.keyless VALUES (1);
    CREATE ROLE "ctms-rest" LOGIN IN ROLE ctms_api;
    ALTER DATABASE ctms SET work_mem = '5MB'});
$guide = CTMS::Guide->new('upgrade', 'With logical replication', $node);
my %move = (OLD => address($node, 'ctms'), NEW => address($other, 'ctms'),
    FROM_NEW => address($node, 'ctms'));
$other->safe_psql('postgres', 'DROP DATABASE ctms');
is(join(' ', sort $guide->skip_variables), join(' ', sort keys %move), 'the variables are ours');
is($guide->run('1. tables without a key', %move), "crm.keyless\n", 'are listed');
$ctms->sql('ALTER TABLE crm.keyless REPLICA IDENTITY FULL');
$guide->run('2. roles and the structure', %move);
is($other->safe_psql('ctms', q{SELECT count(*) FROM ctms.acoustic_field}), 0,
    'without default rows');
is($other->safe_psql('ctms', 'SHOW work_mem'), '5MB', 'with settings');
is($other->safe_psql('ctms', q{SELECT pg_has_role('ctms-rest', 'ctms_api', 'MEMBER')}), 't',
    'with roles');
$guide->run('3. replication', %move);
# The old server is in use.
$ctms->sql(q{SELECT count(*) FROM ctms.claim_acoustic('busy', 5, 6, '1 hour');
    SELECT ctms.create_contact('{"email": {"primary_email": "meanwhile@example.com"},
        "newsletters": [{"name": "hubs"}]}')});
$guide->wait_for('4. it is complete', 0, %move);
$guide->run('statistics', %move);
# In each table all rows are updated, and one is deleted and comes back, as no trigger would have
# it.
is($ctms->sql(q{
    CREATE FUNCTION pg_temp.change(changed regclass) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        -- A time if there is one, otherwise a text: it may be part of the key.
        wanted pg_attribute := (SELECT a FROM pg_attribute AS a
            WHERE a.attrelid = changed AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attname = 'update_timestamp' DESC, a.attname = 'create_timestamp' DESC,
                a.atttypid IN ('text'::regtype, 'varchar'::regtype) DESC, a.attnum DESC LIMIT 1);
        row_count bigint;
        gone text;
    BEGIN
        EXECUTE format(CASE wanted.atttypid WHEN 'timestamptz'::regtype
            THEN 'UPDATE %1$s SET %2$I = %2$I + interval ''1 second'''
            ELSE 'UPDATE %1$s SET %2$I = %2$I || ''x''' END, changed, wanted.attname);
        GET DIAGNOSTICS row_count = ROW_COUNT;
        IF row_count = 0 THEN
            RETURN 0;
        END IF;
        EXECUTE format('DELETE FROM %1$s AS d WHERE ctid = (SELECT min(ctid) FROM %1$s)
            RETURNING d::text', changed) INTO gone;
        EXECUTE format('INSERT INTO %1$s SELECT ($1::%1$s).*', changed) USING gone;
        RETURN row_count;
    END $$;
    SET session_replication_role = replica;
    INSERT INTO ctms.acoustic_agent VALUES ('an agent', 1, 1, now());
    INSERT INTO ctms.acoustic_deleted_contact (email_id, is_to_send)
        VALUES (gen_random_uuid(), false);
    INSERT INTO ctms.acoustic_deleted_row VALUES (gen_random_uuid(), 'newsletter', 'a');
    INSERT INTO ctms.acoustic_sent VALUES (gen_random_uuid(), '{}');
    INSERT INTO ctms.json_schema_document VALUES ('https://example.com/a', '{}');
    INSERT INTO ctms.mofo (email_id) SELECT email_id FROM ctms.emails;
    INSERT INTO ctms.settings (name, value) VALUES ('acoustic_history_age', '31 days');
    INSERT INTO ctms.stripe_unresolved (kind, key) VALUES ('fxa', 'a');
    SELECT string_agg(c.relname, ' ') FROM pg_class c
    WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r' AND c.relname <> '_queue_flush'
        AND pg_temp.change(c.oid) = 0}), '', 'rows of each table change');
$ctms->sql(q{
    SELECT ctms.finish_acoustic('busy', array_agg(email_id), array_agg(generation))
        FROM ctms.pending_acoustic WHERE lease_owner = 'busy';
    SELECT ctms.delete_contact('meanwhile@example.com');
    UPDATE ctms.emails SET first_name = 'later' WHERE primary_email ~ 'dump1';
    SELECT ctms.set_waitlist_schema('later', '{"type": "object"}');
    INSERT INTO ctms.api_client (client_id, email, hashed_secret)
        VALUES ('id_later', 'later@example.com', 'secret');
    UPDATE crm.keyless SET n = 2});
# Somebody's session is open, with a change that is not committed.
my $open = $node->background_psql('ctms', on_error_die => 0);
$open->query(q{BEGIN; DELETE FROM ctms.newsletters});
$guide->run('5. the last changes', %move);
is($ctms->sql_error('DELETE FROM ctms.newsletters')->{state}, '25006', 'nobody writes');
is($ctms->sql(q{SELECT count(*) > 100 FROM ctms.newsletters}), 't', 'whoever was writing is ended');
is($guide->run('6. sequences, and a comparison', %move), '', 'which finds no difference');
is(CTMS::Data::content($other, 'ctms'), CTMS::Data::content($node, 'ctms'),
    'all is equal: rows, queue and sequences');
is($other->safe_psql('ctms', 'SELECT n, (SELECT count(*) FROM crm.calls) FROM crm.keyless'),
    '2|200', 'and so are tables of one\'s own');
$guide->run('7. on its own', %move);
$guide->finish;
is($ctms->sql('SELECT count(*) FROM pg_replication_slots'), 0, 'no slot stays');
is($other->safe_psql('ctms', q{
    DELETE FROM ctms.pending_acoustic;
    UPDATE ctms.emails SET last_name = 'after' WHERE primary_email = 'dump1@example.com';
    SELECT count(*) FROM ctms.claim_acoustic('new', 5, 6, '1 hour')}), 1, 'it enqueues and claims');
is($other->safe_psql('ctms', q{INSERT INTO ctms.newsletters (email_id, name)
    SELECT email_id, 'next' FROM ctms.emails LIMIT 1;
    SELECT max(id) = (SELECT id FROM ctms.newsletters WHERE name = 'next'),
        count(*) = count(DISTINCT id) FROM ctms.newsletters}), 't|t',
    'and goes on with its sequences');
$node->safe_psql('ctms', 'SET default_transaction_read_only = off;
    ALTER DATABASE ctms RESET default_transaction_read_only; DROP PUBLICATION ctms_move');
is($ctms->sql('SHOW default_transaction_read_only'), 'off', 'one can go back');

done_testing();
