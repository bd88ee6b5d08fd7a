# DROP EXTENSION in all its forms is refused while there are contacts, and so are other names of the
# schema and tables.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('guard');
my $node = $ctms->node;
$ctms->sql(q{CREATE ROLE ctms_owner SUPERUSER LOGIN; CREATE SCHEMA other;
    CREATE EXTENSION hstore SCHEMA other});
$node->safe_psql('postgres', 'CREATE DATABASE owned');
$node->safe_psql('owned', 'SET ROLE ctms_owner; CREATE EXTENSION ctms');
$_->() for map {
    my $d = $_;
    sub { $node->safe_psql($d,
            q{INSERT INTO ctms.emails (primary_email) VALUES ('guard@example.com')}) };
} qw(ctms owned);

sub refused
{
    my ($database, $command) = @_;
    my ($rc, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$command");
    like($err, qr/ERROR:  55000: cannot drop extension "ctms" because it holds contacts/,
        "refused: $command");
    like($err, qr/HINT:.*ctms\.allow_drop/, 'with a hint');
    is($node->safe_psql($database, 'SELECT count(*) FROM ctms.emails'), '1', 'nothing is lost');
    return;
}

refused('ctms', 'DROP EXTENSION ctms');
refused('ctms', 'DROP EXTENSION ctms CASCADE');
refused('ctms', 'DROP EXTENSION IF EXISTS hstore, ctms');
refused('ctms', 'DROP SCHEMA ctms CASCADE');
refused('ctms', 'DROP EXTENSION plpgsql CASCADE');
refused('owned', 'DROP OWNED BY ctms_owner CASCADE');

# ---- renaming ------------------------------------------------------------------------

# Each in a session that has not loaded the library yet.
sub stays
{
    my ($command, $what) = @_;
    my $error = $ctms->sql_error($command);
    is("$error->{state}: $error->{message}", "0A000: $what of extension \"ctms\"",
        "refused: $command");
    return;
}
stays('ALTER SCHEMA ctms RENAME TO crm', 'cannot rename schema "ctms"');
for my $table (qw(emails pending_acoustic waitlists waitlist_fields_schemas json_schema_document))
{
    my $what = qq{cannot rename or move "ctms.$table"};
    stays("ALTER TABLE ctms.$table RENAME TO renamed", $what);
    stays("ALTER TABLE IF EXISTS ctms.$table SET SCHEMA other", $what);
}
stays('ALTER INDEX ctms.emails RENAME TO renamed', 'cannot rename or move "ctms.emails"');
stays('ALTER SEQUENCE ctms.acoustic_history_id_seq RENAME TO renamed',
    'cannot rename or move "ctms.acoustic_history_id_seq"');
stays('SET session_replication_role = replica; ALTER SCHEMA ctms RENAME TO crm',
    'cannot rename schema "ctms"');
is($ctms->sql_error('ALTER EXTENSION ctms SET SCHEMA other')->{state}, '0A000',
    'the extension cannot be moved');
is($ctms->sql(q{SELECT count(*) FROM pg_class WHERE relname = 'renamed'}), '0',
    'nothing is renamed');

# What else these commands do is let through, and others' tables are none of our business.
$ctms->sql(q{
    ALTER SCHEMA ctms OWNER TO ctms_owner; ALTER SCHEMA ctms OWNER TO CURRENT_USER;
    ALTER TABLE ctms.emails SET (fillfactor = 90); ALTER TABLE ctms.emails RESET (fillfactor);
    ALTER TABLE ctms.emails ADD mine int; ALTER TABLE ctms.emails RENAME mine TO yours;
    ALTER TABLE ctms.emails DROP yours;
    CREATE INDEX mine ON ctms.emails (first_name); ALTER INDEX ctms.mine RENAME TO yours;
    DROP INDEX ctms.yours;
    CLUSTER ctms.emails USING emails_pkey; ALTER TABLE ctms.emails SET WITHOUT CLUSTER;
    VACUUM FULL ctms.emails; REINDEX TABLE ctms.emails;
    CREATE TABLE ctms.mine (); ALTER TABLE ctms.mine RENAME TO emails_of_mine;
    ALTER TABLE ctms.emails_of_mine SET SCHEMA other; DROP TABLE other.emails_of_mine;
    CREATE TABLE other.emails (n int) PARTITION BY LIST (n);
    CREATE TABLE other.part PARTITION OF other.emails FOR VALUES IN (1);
    ALTER TABLE other.emails RENAME TO mine;});
$ctms->sql('ALTER TABLE other.mine DETACH PARTITION other.part CONCURRENTLY');
$ctms->sql('DROP TABLE other.mine, other.part; ALTER SCHEMA other RENAME TO another');
$ctms->sql('ALTER SCHEMA another RENAME TO other');
pass('other names are let through');
# A column that has another name is missed by whoever uses it, without a crash and not silently.
for my $rename ('emails RENAME first_name TO f', 'newsletters RENAME name TO f',
    'waitlists RENAME fields TO f', 'fxa RENAME fxa_id TO f', 'emails RENAME email_id TO f')
{
    my $error = $ctms->sql_error(qq{BEGIN; ALTER TABLE ctms.$rename;
        SELECT ctms.get_contact(gen_random_uuid()), ctms.create_contact(
            '{"email": {"primary_email": "b\@example.com"}}');});
    is($error->{state}, '42703', "after ALTER TABLE ctms.$rename");
}

$ctms->sql('DROP SCHEMA other CASCADE; CREATE SCHEMA other; DROP SCHEMA other');
pass('other drops are let through');
$ctms->sql('BEGIN; SET LOCAL ctms.allow_drop = on; DROP EXTENSION ctms; ROLLBACK');
is($ctms->sql('SELECT count(*) FROM ctms.emails'), '1', 'the setting allows it');
$ctms->sql('DELETE FROM ctms.emails; DROP EXTENSION ctms; CREATE EXTENSION ctms');
pass('an extension without contacts can be dropped');
$ctms->sql(q{INSERT INTO ctms.emails (primary_email) VALUES ('guard@example.com')});
$node->safe_psql('postgres', 'DROP DATABASE ctms');
pass('and a database can be dropped with its contacts');

# The group roles stay, and go as docs/upgrade.md says.
my $roles = q{SELECT count(*) FROM pg_roles
    WHERE rolname IN ('ctms_api', 'ctms_agent', 'ctms_reader', 'ctms_monitor', 'ctms_admin')};
$node->safe_psql('owned', 'SET ctms.allow_drop = on; DROP EXTENSION ctms');
is($node->safe_psql('owned', $roles), '5', 'the group roles stay');
is($node->safe_psql('owned', q{SELECT count(*) FROM pg_init_privs
    WHERE classoid = 'pg_parameter_acl'::regclass}), '0',
    'nothing is noted of settings, which 17 could not take back');
my ($drop) = slurp_file("$ENV{CTMS_TEST_TOP}/docs/upgrade.md") =~ /^(DROP OWNED BY .*?)^```$/ms;
$node->safe_psql('owned', $drop);
is($node->safe_psql('owned', $roles), '0', 'until they are dropped');
done_testing();
