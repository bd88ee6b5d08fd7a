# Changes of the extension's objects that dumps leave out: a warning says so, once a session. What
# each change loses is tried with pg_dump and pg_restore, and the warning is compared with it.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('warning', no_extension => 1, conf => 'wal_level = logical');
my $node = $ctms->node;
my $folder = $PostgreSQL::Test::Utils::tmp_check;
my @at = ('-h', $node->host, '-p', $node->port);
$ctms->sql(q{CREATE ROLE joe; CREATE ROLE boss SUPERUSER});
$node->safe_psql('template1', q{CREATE EXTENSION ctms;
    INSERT INTO ctms.emails (primary_email, first_name) VALUES ('one@example.com', 'One')});

my %message = (
    rows => qr/^WARNING:  a restored database will lack all rows of "ctms\.emails"\n/m,
    misfits => qr/^WARNING:  a restored database may lack all rows of "ctms\.emails"\n/m,
    change => qr/^WARNING:  a restored database will have "[^"]+" as the extension makes it\n/m,
    extension => qr/^WARNING:  a restored database will lack extension "ctms"\n/m);

# Messages of a new session. Not even one of the commands fails.
sub told
{
    my ($database, $commands) = @_;
    my ($rc, $out, $err) = $node->psql($database, $commands, on_error_stop => 1);
    is($rc, 0, substr($commands, 0, 80) =~ s/\s+/ /gr) or diag $err;
    return $err =~ s/^psql:\S+ //mgr =~ s/^NOTICE:.*\n?//mgr;
}

# Makes changes, each in a session of its own, and looks at what they did: in the database, and in
# a restored copy. Each case is [ commands, probe ]; returns [ what was told, whether the probe is
# answered as before ] for each, and the number of contacts in the copy.
sub restored
{
    my (@cases) = @_;
    for my $database (qw(source copy))
    {
        $node->safe_psql('postgres', "DROP DATABASE IF EXISTS $database");
    }
    $node->safe_psql('postgres', 'CREATE DATABASE source TEMPLATE template1');
    $node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
    my @told = map { told('source', $_->[0]) } @cases;
    my @before = map { $node->safe_psql('source', $_->[1]) } @cases;
    system_or_bail('pg_dump', @at, '-Fc', '-f', "$folder/source.dump", 'source');
    IPC::Run::run [ 'pg_restore', @at, '-d', 'copy', "$folder/source.dump" ], '2>', \my $err;
    my @after = map { ($node->psql('copy', $_->[1]))[1] } @cases;
    my (undef, $rows) = $node->psql('copy', 'SELECT count(*) FROM ctms.emails');
    return ($rows, map { [ $told[$_], $before[$_] eq ($after[$_] // '') ] } 0 .. $#cases);
}

# ---- each change, with what it loses -----------------------------------------------------------

my $table = q{FROM pg_class WHERE oid = 'ctms.emails'::regclass};
my $first_name = q{FROM pg_attribute WHERE attrelid = 'ctms.emails'::regclass AND attnum = 5};
my $function = q{FROM pg_proc WHERE oid = 'ctms.get_contact(uuid)'::regprocedure};
my $trigger = 'FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()';
my $alter = 'ALTER TABLE ctms.emails';

my @cases = (
    [ rows => "$alter ADD mine int", q{SELECT count(*) FROM pg_attribute WHERE attname = 'mine'} ],
    [ rows => "$alter SET (fillfactor = 70), ADD mine int", "SELECT reloptions $table" ],
    [ rows => "$alter RENAME first_name TO mine", "SELECT attname $first_name" ],
    [ misfits => "$alter ALTER first_name TYPE text; UPDATE ctms.emails
            SET first_name = repeat('x', 300)", "SELECT atttypid $first_name" ],
    [ misfits => "$alter ALTER primary_email DROP NOT NULL; UPDATE ctms.emails
            SET primary_email = NULL", "SELECT bool_and(attnotnull) FROM pg_attribute
            WHERE attrelid = 'ctms.emails'::regclass AND attname = 'primary_email'" ],
    [ change => "$alter ADD mine text GENERATED ALWAYS AS (first_name) STORED",
        q{SELECT count(*) FROM pg_attribute WHERE attname = 'mine'} ],
    [ change => "$alter ADD CONSTRAINT mine CHECK (first_name <> '')",
        q{SELECT count(*) FROM pg_constraint WHERE conname = 'mine'} ],
    [ change => "$alter SET (fillfactor = 70)", "SELECT reloptions $table" ],
    [ change => "ALTER TABLE ctms.fxa SET (autovacuum_enabled = off)",
        "SELECT reloptions FROM pg_class WHERE oid = 'ctms.fxa'::regclass" ],
    [ change => "$alter ALTER first_name SET STATISTICS 500", "SELECT attstattarget $first_name" ],
    [ change => "$alter ALTER first_name SET DEFAULT 'x'", "SELECT atthasdef $first_name" ],
    [ change => "$alter ALTER first_name SET STORAGE EXTERNAL", "SELECT attstorage $first_name" ],
    [ change => "$alter DISABLE TRIGGER ctms_emails_enqueue",
        q{SELECT tgenabled FROM pg_trigger WHERE tgname = 'ctms_emails_enqueue'} ],
    [ change => "$alter REPLICA IDENTITY FULL", "SELECT relreplident $table" ],
    [ change => "$alter ENABLE ROW LEVEL SECURITY", "SELECT relrowsecurity $table" ],
    [ change => "$alter FORCE ROW LEVEL SECURITY", "SELECT relforcerowsecurity $table" ],
    [ change => 'CREATE TABLE parent (LIKE ctms.amo); ALTER TABLE ctms.amo INHERIT parent',
        q{SELECT count(*) FROM pg_inherits WHERE inhrelid = 'ctms.amo'::regclass} ],
    [ change => 'CREATE TABLE parts (LIKE ctms.mofo) PARTITION BY LIST (email_id);
            ALTER TABLE parts ATTACH PARTITION ctms.mofo DEFAULT',
        q{SELECT count(*) FROM pg_inherits WHERE inhrelid = 'ctms.mofo'::regclass} ],
    [ change => "$alter OWNER TO boss", "SELECT relowner::regrole $table" ],
    [ change => 'CREATE INDEX mine ON ctms.emails (upper(first_name))',
        q{SELECT count(*) FROM pg_class WHERE relname = 'mine'} ],
    [ change => 'CREATE INDEX CONCURRENTLY mine2 ON ctms.emails (first_name)',
        q{SELECT count(*) FROM pg_class WHERE relname = 'mine2'} ],
    [ change => 'ALTER INDEX ctms.fxa_primary_email_idx SET (fillfactor = 60)',
        q{SELECT reloptions FROM pg_class WHERE relname = 'fxa_primary_email_idx'} ],
    [ change => 'ALTER INDEX ctms.emails_sfdc_id_idx RENAME TO mine3',
        q{SELECT count(*) FROM pg_class WHERE relname = 'mine3'} ],
    [ change => 'ALTER SEQUENCE ctms.newsletters_id_seq INCREMENT 7',
        q{SELECT seqincrement FROM pg_sequence
            WHERE seqrelid = 'ctms.newsletters_id_seq'::regclass} ],
    [ change => "CREATE TRIGGER mine BEFORE UPDATE ON ctms.emails $trigger",
        q{SELECT count(*) FROM pg_trigger WHERE tgname = 'mine'} ],
    [ change => 'ALTER TRIGGER ctms_emails_deleted ON ctms.emails RENAME TO mine2',
        q{SELECT count(*) FROM pg_trigger WHERE tgname = 'mine2'} ],
    [ change => 'CREATE RULE mine AS ON DELETE TO ctms.emails DO ALSO NOTIFY mine',
        q{SELECT count(*) FROM pg_rewrite WHERE rulename = 'mine'} ],
    [ change => 'CREATE POLICY mine ON ctms.emails', 'SELECT count(*) FROM pg_policy' ],
    [ change => 'CREATE STATISTICS ctms.mine ON first_name, last_name FROM ctms.emails',
        'SELECT count(*) FROM pg_statistic_ext' ],
    [ change => 'CREATE PUBLICATION mine FOR TABLE ctms.emails',
        q{SELECT count(*) FROM pg_publication_tables WHERE pubname = 'mine'} ],
    [ change => 'CREATE PUBLICATION mine2; ALTER PUBLICATION mine2 ADD TABLE ctms.emails',
        q{SELECT count(*) FROM pg_publication_tables WHERE pubname = 'mine2'} ],
    [ change => 'ALTER FUNCTION ctms.get_contact(uuid) COST 5', "SELECT procost $function" ],
    [ change => q{CREATE OR REPLACE FUNCTION ctms.library_version() RETURNS text LANGUAGE sql
            AS 'SELECT text ''1''';}, q{SELECT lanname FROM pg_proc p JOIN pg_language l
            ON l.oid = prolang WHERE proname = 'library_version'} ],
    [ change => 'CREATE OR REPLACE VIEW ctms.segment_counts AS SELECT *, true AS mine
            FROM (SELECT product_id, segment, count(*) AS contacts FROM ctms.contact_products
                GROUP BY product_id, segment) AS c', q{SELECT count(*) FROM pg_attribute
            WHERE attrelid = 'ctms.segment_counts'::regclass} ],
    [ change => 'ALTER VIEW ctms.newsletter_counts SET (security_barrier)',
        q{SELECT reloptions FROM pg_class WHERE relname = 'newsletter_counts'} ],
    [ change => q{ALTER TYPE ctms.segment ADD VALUE 'mine'},
        q{SELECT count(*) FROM pg_enum WHERE enumlabel = 'mine'} ],
    [ change => q{COMMENT ON COLUMN ctms.emails.first_name IS 'mine'},
        q{SELECT col_description('ctms.emails'::regclass, 5)} ],
    [ extension => 'ALTER SCHEMA ctms OWNER TO joe', 'SELECT count(*) FROM ctms.emails' ]);
for my $group ((map { [$_] } grep { $_->[0] ne 'change' } @cases),
    [ grep { $_->[0] eq 'change' } @cases ])
{
    my $kind = $group->[0][0];
    my ($rows, @results) = restored(map { [ @$_[ 1, 2 ] ] } @$group);
    is($rows, { change => 1, extension => '' }->{$kind} // 0, "$kind: how many rows are restored");
    for my $i (0 .. $#results)
    {
        my ($told, $is_same) = @{ $results[$i] };
        my $what = substr $group->[$i][1], 0, 70;
        # From 18 on dumps have the tables of publications, whoever owns them.
        if ($node->pg_version >= 18 && $what =~ /\bPUBLICATION\b/)
        {
            is($told, '', "nothing to say: $what");
            ok($is_same, "the change is in the dump: $what");
            next;
        }
        like($told, $message{$kind}, "says: $kind: $what");
        is(scalar(() = $told =~ /WARNING:/g), 1, 'and nothing else');
        ok(!$is_same, "the change is not in the dump: $what");
    }
}

# ---- what survives, or needs nothing -----------------------------------------------------------

my $own = "CREATE TABLE ctms.mine (email_id uuid PRIMARY KEY REFERENCES ctms.emails
        ON DELETE CASCADE, note text, fields ctms.json_schema);
    INSERT INTO ctms.mine SELECT email_id, 'a note' FROM ctms.emails;
    CREATE INDEX ON ctms.mine (note); ALTER TABLE ctms.mine ADD more int;
    CREATE TRIGGER mine BEFORE UPDATE ON ctms.mine $trigger;
    COMMENT ON TABLE ctms.mine IS 'mine'; CREATE POLICY mine ON ctms.mine;
    CREATE PUBLICATION mine FOR TABLE ctms.mine;";
@cases = (
    [ $own, q{SELECT (SELECT count(*) FROM ctms.mine),
        (SELECT count(*) FROM pg_indexes WHERE tablename = 'mine'),
        (SELECT count(*) FROM pg_trigger WHERE tgname = 'mine'), (SELECT count(*) FROM pg_policy),
        (SELECT count(*) FROM pg_constraint WHERE conrelid = 'ctms.mine'::regclass),
        (SELECT count(*) FROM pg_publication_tables WHERE pubname = 'mine')} ],
    [ 'CREATE VIEW ctms.mine2 AS SELECT * FROM ctms.emails', 'SELECT count(*) FROM ctms.mine2' ],
    [ 'CREATE TABLE mine () INHERITS (ctms.emails)', 'SELECT count(*) FROM pg_inherits' ],
    [ 'GRANT SELECT ON ctms.emails TO joe; REVOKE SELECT ON ctms.emails FROM ctms_reader',
        "SELECT relacl $table" ],
    [ 'GRANT SELECT (first_name) ON ctms.emails TO joe', "SELECT attacl $first_name" ],
    [ 'GRANT EXECUTE ON FUNCTION ctms.get_contact TO joe', "SELECT proacl $function" ],
    [ 'CREATE PUBLICATION mine2 FOR TABLES IN SCHEMA ctms',
        q{SELECT count(*) FROM pg_publication_tables WHERE tablename = 'emails'} ],
    [ q{SELECT setval('ctms.newsletters_id_seq', 77)},
        'SELECT last_value FROM ctms.newsletters_id_seq' ],
    [ 'CREATE FUNCTION ctms.mine() RETURNS int LANGUAGE sql RETURN 1', 'SELECT ctms.mine()' ]);
my ($rows, @results) = restored(@cases);
is($rows, 1, 'rows are restored');
for my $i (0 .. $#results)
{
    is($results[$i][0], '', 'no warning: ' . substr $cases[$i][0], 0, 70);
    ok($results[$i][1], 'it is restored');
}

$node->safe_psql('postgres', 'CREATE DATABASE quiet TEMPLATE template1');
is(told('quiet', $_), '', 'no warning') for (
    'REINDEX TABLE ctms.emails', 'VACUUM FULL ctms.emails', 'ANALYZE ctms.emails',
    'CLUSTER ctms.emails USING emails_pkey', "$alter SET WITHOUT CLUSTER",
    "$alter RESET (fillfactor), ENABLE TRIGGER ctms_emails_enqueue, DISABLE ROW LEVEL SECURITY",
    "$alter ADD IF NOT EXISTS first_name int",
    "SET client_min_messages = error;
        $alter ADD mine int, ADD CONSTRAINT mine CHECK (true) NOT VALID",
    "$alter VALIDATE CONSTRAINT mine", "$alter DROP mine",
    "SET ctms.restore_mode = on; $alter ADD mine int",
    'CREATE EXTENSION hstore', 'CREATE TABLE other (n int); CREATE INDEX ON other (n)');

# ---- how it is told -----------------------------------------------------------------------------

my $told = told('quiet', "$alter ADD a int; ALTER TABLE ctms.fxa ADD a int;
    CREATE INDEX ON ctms.fxa (lang); CREATE INDEX ON ctms.emails (first_name);
    $alter ALTER a DROP NOT NULL; ALTER TABLE ctms.fxa ALTER lang TYPE text");
is(join(' ', $told =~ /WARNING:  a restored database (\w+ \w+)/g), 'will lack will have may lack',
    'each kind once a session');
is(scalar(() = $told
        =~ m{^HINT:  See "Own columns, indexes and triggers" in docs/operations\.md}mg), 3,
    'with a hint');
$node->psql('quiet', "\\set VERBOSITY verbose\n$alter ADD b int", stderr => \my $verbose);
like($verbose, qr/WARNING:  01000: /, 'with a SQLSTATE');
like(told('quiet', "SET session_replication_role = replica; $alter ADD c int"), $message{rows},
    'whatever session_replication_role says');

like(told('quiet', 'CREATE TABLE parent (LIKE ctms.amo); ALTER TABLE ctms.amo INHERIT parent;
    ALTER TABLE parent ADD mine int'), qr/will lack all rows of "ctms\.amo"/,
    'a column that comes by a parent');

# The function takes no command but those of an event trigger.
is($node->safe_psql('quiet', q{SELECT ctms._warn_of_change(NULL, 'x') IS NULL}), 't', 'not null');
$node->psql('quiet', q{SELECT ctms._warn_of_change('x', 'x')}, stderr => \my $refused);
like($refused, qr/cannot accept a value of type pg_ddl_command/, 'nor a text');

# Nobody needs a privilege for it.
is(told('quiet', 'GRANT CREATE ON SCHEMA public TO joe; SET ROLE joe; CREATE TABLE own (n int);
    CREATE INDEX ON own (n); CREATE TRIGGER t BEFORE UPDATE ON own FOR EACH ROW
    EXECUTE FUNCTION suppress_redundant_updates_trigger(); COMMENT ON TABLE own IS $$own$$'), '',
    'a user with a table of his own notices nothing');
like(told('quiet', 'GRANT USAGE ON SCHEMA ctms TO joe; GRANT TRIGGER ON ctms.emails TO joe;
    SET ROLE joe; CREATE TRIGGER mine BEFORE UPDATE ON ctms.emails FOR EACH ROW
    EXECUTE FUNCTION suppress_redundant_updates_trigger()'), $message{change},
    'one who may change a table of the extension is told');

# Nothing that goes wrong in it is an error of the command.
$node->safe_psql('quiet', q{UPDATE pg_proc SET probin = '$libdir/no_such_library'
    WHERE probin IS NOT NULL AND pronamespace = 'ctms'::regnamespace});
is(told('quiet', 'CREATE INDEX ON ctms.emails (first_name); CREATE TABLE o (n int);
    CREATE INDEX ON o (n)'), '', 'without the library nothing is told, and nothing fails');

done_testing();
