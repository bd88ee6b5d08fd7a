# Contacts are read below the executor only where nobody can tell: whatever an administrator does
# to the tables and indexes, while sessions read, the answers are those of SQL, and nothing fails.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use IPC::Run;
use Test::More;

my $ctms = CTMS::Test->new('contact_gate', conf => "client_min_messages = error\n"
        . "wal_level = replica\nmax_wal_senders = 3\nhot_standby = on");
my $node = $ctms->node;
my @tables = qw(emails amo fxa mofo newsletters waitlists);
$ctms->drop_views;    # they would refuse changes of types

$ctms->sql(q{
    INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, first_name,
        double_opt_in, update_timestamp)
    SELECT md5(n::text)::uuid, 'Name' || n || '@example.com', 'token' || n, 'sf' || n, 'First',
        n % 2 = 0, '2024-01-01Z'::timestamptz + n * interval '1.5 s'
    FROM generate_series(1, 20) AS n;
    INSERT INTO ctms.amo (email_id, last_login, user_id, "user", email_opt_in)
        SELECT email_id, '2020-02-29', '1' || substr(basket_token, 6), true, false FROM ctms.emails;
    INSERT INTO ctms.fxa (email_id, fxa_id, primary_email, account_deleted)
        SELECT email_id, '2' || substr(basket_token, 6), primary_email, true FROM ctms.emails;
    INSERT INTO ctms.mofo (email_id, mofo_email_id, mofo_contact_id, mofo_relevant)
        SELECT email_id, '3' || substr(basket_token, 6), '4' || substr(basket_token, 6), true
        FROM ctms.emails WHERE double_opt_in;
    INSERT INTO ctms.newsletters (email_id, name, source)
        SELECT email_id, 'n' || n, 'https://example.com'
        FROM ctms.emails, generate_series(1, 3) AS n;
    INSERT INTO ctms.waitlists (email_id, name, fields)
        SELECT email_id, 'vpn', '{"geo": "fr"}' FROM ctms.emails;

    -- What an answer is: a text, or an error.
    CREATE FUNCTION answer(query text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE given text;
    BEGIN
        EXECUTE query INTO given;
        RETURN coalesce(given, 'null');
    EXCEPTION WHEN OTHERS THEN
        RETURN SQLSTATE || ' ' || SQLERRM;
    END $$;
    CREATE FUNCTION answers(is_direct boolean) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM set_config('ctms.direct_access', is_direct::text, false);
        RETURN concat_ws(E'\n',
            answer($q$SELECT ctms.get_contact(md5('4')::uuid)$q$),
            answer($q$SELECT ctms.get_identity(md5('5')::uuid)$q$),
            answer($q$SELECT ctms.find_contacts(primary_email => 'NAME6@example.com')$q$),
            answer($q$SELECT ctms.find_identities(basket_token => 'token7')$q$),
            answer($q$SELECT ctms.find_identities(sfdc_id => 'sf8')$q$),
            answer($q$SELECT ctms.find_identities(amo_user_id => '19')$q$),
            answer($q$SELECT ctms.find_identities(fxa_id => '210')$q$),
            answer($q$SELECT ctms.find_identities(fxa_primary_email => 'name11@example.COM')$q$),
            answer($q$SELECT ctms.find_identities(mofo_email_id => '312')$q$),
            answer($q$SELECT ctms.find_identities(mofo_contact_id => '414')$q$),
            answer($q$SELECT ctms.find_identities(email_id => md5('4')::uuid)$q$),
            answer($q$SELECT ctms.get_updates('2024-01-01', '2025-01-01', '5')$q$),
            answer($q$SELECT ctms.get_updates('2024-01-01', '2025-01-01', '5', NULL, 'true')$q$));
    END $$;
    CREATE FUNCTION differences() RETURNS text LANGUAGE sql AS $$
        SELECT coalesce(string_agg(a || E'\n' || b, E'\n'), '')
        FROM unnest(string_to_array(answers(true), E'\n'), string_to_array(answers(false), E'\n'))
            AS t (a, b) WHERE a IS DISTINCT FROM b $$;
});

# One session that stays, so that it has something remembered and its plans kept.
my $session = $node->background_psql('ctms', on_error_stop => 0);
my $same = 'SELECT differences()';
my $direct = 'SELECT md5(answers(true))';
my $all = $session->query_safe($direct);
is($session->query_safe('SELECT md5(answers(false))'), $all, 'both ways give the same');
unlike($session->query_safe('SELECT answers(true)'), qr/^[0-9A-Z]{5} |null$/m, 'and no errors');

# Whether the session reads below the executor: nobody sees a statement then.
sub is_direct
{
    my ($query) = @_;
    $session->query_safe("LOAD 'auto_explain'; SET ctms.direct_access = on");
    $session->query_safe('SET auto_explain.log_min_duration = 0');
    $session->query_safe('SET auto_explain.log_nested_statements = on');
    $session->query("SET client_min_messages = log; $query;
        RESET client_min_messages; SET auto_explain.log_min_duration = -1");
    my $log = $session->{stderr};
    $session->{stderr} = '';
    return $log !~ /Query Text: SELECT g\d*\.email_id/;
}
my $get = q{SELECT ctms.get_contact(md5('4')::uuid)};
ok(is_direct($get), 'the tables as they are made pass the gate');

sub waits
{
    my ($backend) = @_;
    return $ctms->sql("SELECT count(*) FROM pg_locks WHERE pid = $backend AND NOT granted");
}

# ---- types -------------------------------------------------------------------------------

# In a transaction that takes it back: what was remembered in it must not outlive it.
my $changed = $session->query_safe(q{
    CREATE FUNCTION change_types() RETURNS SETOF text LANGUAGE plpgsql AS $$
    DECLARE
        c record;
        before text := answers(true);
        was text;
    BEGIN
        FOR c IN
            SELECT a.attrelid::regclass::text AS tab, quote_ident(attname) AS col, type
            FROM pg_attribute AS a,
                unnest('{text,integer,boolean,timestamp,timestamptz,json,uuid}'::text[]) AS type
            WHERE attrelid = ANY ('{ctms.emails,ctms.amo,ctms.fxa,ctms.mofo,ctms.newsletters,
                ctms.waitlists}'::regclass[]) AND attnum > 0 AND NOT attisdropped
                AND attname <> 'id'
            ORDER BY attrelid, attnum, type
        LOOP
            was := '';
            BEGIN
                SET LOCAL session_replication_role = replica;
                EXECUTE (SELECT coalesce(string_agg(format('ALTER TABLE %s DROP CONSTRAINT %I',
                        conrelid::regclass, conname), ';'), '')
                    FROM pg_constraint WHERE confrelid = 'ctms.emails'::regclass);
                EXECUTE (SELECT coalesce(string_agg(format('DROP TRIGGER %I ON %s', tgname,
                        tgrelid::regclass), ';'), '')
                    FROM pg_trigger WHERE tgrelid = c.tab::regclass AND NOT tgisinternal);
                EXECUTE format('ALTER TABLE %s ALTER %s DROP DEFAULT', c.tab, c.col);
                BEGIN
                    EXECUTE format('ALTER TABLE %1$s ALTER %2$s TYPE %3$s USING %2$s::%3$s',
                        c.tab, c.col, c.type);
                EXCEPTION WHEN OTHERS THEN
                    -- No such cast or index, or not for these values: no values will do as well.
                    EXECUTE format('ALTER TABLE %1$s DROP %2$s CASCADE, ADD %2$s %3$s',
                        c.tab, c.col, c.type);
                END;
                was := differences();
                RAISE EXCEPTION USING ERRCODE = 'P0099';
            EXCEPTION
                WHEN SQLSTATE 'P0099' THEN RETURN NEXT 'changed';
                WHEN OTHERS THEN RETURN NEXT format('%s %s %s: %s', c.tab, c.col, c.type, SQLERRM);
            END;
            IF was <> '' THEN
                RETURN NEXT format('%s %s %s: %s', c.tab, c.col, c.type, was);
            END IF;
            IF c.type = 'text' AND answers(true) <> before THEN
                RETURN NEXT format('%s %s %s: not as before', c.tab, c.col, c.type);
            END IF;
        END LOOP;
    END $$;
    SELECT t, count(*) > 300 FROM change_types() AS t GROUP BY t ORDER BY t LIMIT 20});
is($changed, 'changed|t', 'every column of other types: both ways give the same');

# Committed by others, with the right values.
for my $case (
    [ 'amo.last_login', 'timestamptz', 'date', 'amo', 'last_login', '2020-02-29' ],
    [ 'amo.user_id', 'integer', 'varchar(40)', 'amo', 'user_id', '14' ],
    [ 'emails.double_opt_in', 'integer', 'boolean', 'email', 'double_opt_in', 'true' ],
    [ 'fxa.created_date', 'timestamptz', 'varchar(50)', 'fxa', 'created_date', undef ],
    [ 'emails.basket_token', 'char(20)', 'varchar(255)', 'email', 'basket_token', 'token4' ])
{
    my ($column, $type, $back, $group, $key, $value) = @$case;
    my ($table, $name) = split /\./, $column;
    my $alter = "ALTER TABLE ctms.$table ALTER $name TYPE";
    $ctms->sql("$alter $type USING ${name}::$type");
    is($session->query_safe($same), '', "$column as $type: both ways give the same");
    is($session->query_safe(qq{SELECT ctms.get_contact(md5('4')::uuid)->'$group'->>'$key'}), $value,
        'and the right value') if defined $value;
    $ctms->sql("$alter $back USING ${name}::$back");
    is($session->query_safe($direct), $all, "$column as $back again");
}
$session->query_safe(q{BEGIN; ALTER TABLE ctms.amo DROP COLUMN location});
like($session->query_safe("SELECT answer(\$\$$get\$\$)"), qr/^42703 column g1\.location/,
    'a column that is gone: a plain error');
is($session->query_safe($same), '', 'either way');
$session->query_safe('ROLLBACK');
$session->query_safe(q{BEGIN; SET LOCAL session_replication_role = replica;
    ALTER TABLE ctms.emails DROP CONSTRAINT emails_pkey CASCADE;
    ALTER TABLE ctms.emails ALTER email_id DROP NOT NULL;
    INSERT INTO ctms.emails (email_id, primary_email, sfdc_id, update_timestamp)
        VALUES (NULL, 'nobody@example.com', 'sf8', '2024-02-01')});
is($session->query_safe($same), '', 'a row without an id: both ways give the same');
is($session->query_safe($direct), $all, 'nobody');
# Those that write look for a contact by its address.
my $delete = q{ctms.delete_contact('nobody@example.com')};
my $create = q{ctms.create_contact('{"email": {"primary_email": "nobody@example.com"}}')};
is($session->query_safe("SELECT answer(\$\$SELECT $delete\$\$)"), 'null', 'it cannot be deleted');
like($session->query_safe("SELECT answer(\$\$SELECT $create\$\$)"), qr/^CT409 /, 'nor made again');
$session->query_safe(q{ALTER TABLE ctms.emails DROP email_id CASCADE,
    ADD email_id bigint DEFAULT 7});
like($session->query_safe("SELECT answer(\$\$SELECT $_\$\$)"), qr/^(?:42804|42846|42883) /,
    'with numbers as ids: a plain error') for $delete, $create;
$session->query_safe('ROLLBACK');
is($session->query_safe($direct), $all, 'all is as it was');

# ---- concurrently ----------------------------------------------------------------------------

# A transaction block that holds nothing yet does not hear of the change before it reads.
for my $table (@tables)
{
    for my $query ($get, "SELECT answers(true)")
    {
        my $before = $session->query_safe($query);
        $session->query_safe('BEGIN');
        $ctms->sql("REINDEX TABLE CONCURRENTLY ctms.$table");
        is($session->query_safe($query), $before, "after REINDEX TABLE CONCURRENTLY $table");
        $session->query_safe('COMMIT');
    }
}
$session->query_safe('BEGIN');
$ctms->sql('CREATE INDEX CONCURRENTLY other ON ctms.newsletters (email_id)');
$ctms->sql('ALTER TABLE ctms.newsletters DROP CONSTRAINT newsletters_pkey');
is($session->query_safe($direct), $all, 'after CREATE INDEX CONCURRENTLY and without the key');
ok(is_direct($get), 'an index of others will do');
$session->query_safe('COMMIT');
$session->query_safe('BEGIN');
$ctms->sql('DROP INDEX CONCURRENTLY ctms.other');
is($session->query_safe($direct), $all, 'without any index');
$session->query_safe('COMMIT');
ok(!is_direct($get), 'which goes by SQL');
$ctms->sql('ALTER TABLE ctms.newsletters ADD PRIMARY KEY (email_id, name)');
ok(is_direct($get), 'with an index again');

# One session holds the tables, so that the change waits in each of its phases; others read.
my $holder = $node->background_psql('ctms', on_error_stop => 0);
my $changer = $node->background_psql('ctms', on_error_stop => 0);
my $pid = $changer->query_safe('SELECT pg_backend_pid()');
for my $change (
    'REINDEX TABLE CONCURRENTLY ctms.newsletters', 'REINDEX INDEX CONCURRENTLY ctms.emails_pkey',
    'CREATE INDEX CONCURRENTLY other ON ctms.newsletters (email_id)',
    'DROP INDEX CONCURRENTLY ctms.other')
{
    $holder->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; $direct");
    $session->query_safe("BEGIN; $direct");
    $changer->query_until(qr/begun/, "\\echo begun\n$change;\n");
    poll_until(sub { waits($pid) }, "$change waits");
    my @seen = map { $_->query_safe($direct) } $session, $holder;
    push @seen, $ctms->sql($direct);
    # Its snapshot is gone, but not its locks; then all of it.
    $holder->query_safe('COMMIT');
    push @seen, map { $_->query_safe($direct) } $session, $holder;
    $session->query_safe('COMMIT');
    $changer->query_safe('SELECT 1');
    push @seen, map { $_->query_safe($direct) } $session, $holder;
    is(join(' ', grep { $_ ne $all } @seen), '', "while and after $change");
}
is($ctms->sql('SELECT count(*) FROM pg_index WHERE NOT indisvalid'), 0, 'every index is valid');

# Many short transactions.
my $folder = PostgreSQL::Test::Utils::tempdir();
PostgreSQL::Test::Utils::append_to_file("$folder/read.sql", <<'SQL');
\set n random(1, 20)
SELECT ctms.get_contact(md5(:n::text)::uuid);
SELECT ctms.find_contacts(primary_email => 'name' || :n || '@example.com');
SQL
my ($out, $err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-c', '2', '-t', '1000', '-f',
    "$folder/read.sql", $node->connstr('ctms') ], '>', \$out, '2>', \$err);
for (my $i = 0; $bench->pumpable; $i++)
{
    $ctms->sql('REINDEX TABLE CONCURRENTLY ctms.' . $tables[ $i % @tables ]);
    $bench->pump_nb;
}
$bench->finish;
like($out, qr{processed: 2000/2000}, 'pgbench of get_contact while tables are reindexed');
is($err =~ s/^pgbench \(.*//r, '', 'nothing fails');

# ---- what the executor would do ------------------------------------------------------------

$ctms->sql('ALTER TABLE ctms.waitlists SET UNLOGGED');
ok(!is_direct($get), 'an unlogged table goes by SQL, since a replica refuses it');
$ctms->sql('ALTER TABLE ctms.waitlists SET LOGGED');
$ctms->sql(q{ALTER TABLE ctms.newsletters DROP COLUMN lang,
    ADD lang varchar(5) GENERATED ALWAYS AS (left(name, 5)) STORED});
is($session->query_safe($same), '', 'a generated column');
$ctms->sql(q{ALTER TABLE ctms.newsletters DROP COLUMN lang, ADD lang varchar(5)});
is($session->query_safe($direct), $all, 'a column that is new');

# Rights and row security, for an owner who is not a superuser.
$ctms->sql(q{CREATE ROLE keeper; GRANT USAGE ON SCHEMA ctms TO keeper;
    ALTER FUNCTION ctms.get_contact(uuid) OWNER TO keeper;
    GRANT SELECT ON ctms.emails, ctms.amo, ctms.fxa, ctms.mofo, ctms.newsletters, ctms.waitlists
        TO keeper});
is($session->query_safe($direct), $all, 'for an owner who may read the tables');
ok(is_direct($get), 'directly');
my $answer = "SELECT answer(\$\$$get\$\$)";
for my $case (
    [ 'REVOKE SELECT ON ctms.mofo FROM keeper', qr/^42501 permission denied for table mofo/,
        'GRANT SELECT ON ctms.mofo TO keeper' ],
    [ q{ALTER TABLE ctms.newsletters ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON ctms.newsletters USING (name = 'n2')},
        qr/"newsletters":\[\{"name":"n2"[^{]*\]/, 'ALTER TABLE ctms.newsletters OWNER TO keeper' ],
    [ 'ALTER TABLE ctms.newsletters FORCE ROW LEVEL SECURITY',
        qr/"newsletters":\[\{"name":"n2"[^{]*\]/,
        q{ALTER TABLE ctms.newsletters NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
        DROP POLICY p ON ctms.newsletters} ],
    [ 'REVOKE SELECT ON ctms.newsletters FROM keeper', qr/^42501 permission denied for table/,
        'GRANT SELECT ON ctms.newsletters TO keeper' ])
{
    my ($change, $pattern, $back) = @$case;
    $ctms->sql($change);
    $session->query_safe('SET ctms.direct_access = on');
    like($session->query_safe($answer), $pattern, $change);
    is($session->query_safe($same), '', 'both ways');
    $ctms->sql($back);
}
$ctms->sql(q{ALTER TABLE ctms.newsletters OWNER TO CURRENT_USER;
    ALTER FUNCTION ctms.get_contact(uuid) OWNER TO CURRENT_USER; DROP OWNED BY keeper;
    DROP ROLE keeper});
is($session->query_safe($direct), $all, 'as before');

# ---- indexes that do not do --------------------------------------------------------------------

# One that orders without regard to case: a search for equal texts would end at the first other.
$ctms->sql(q{
    CREATE FUNCTION fold_cmp(text, text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
        AS 'SELECT bttextcmp(lower($1), lower($2))';
    CREATE FUNCTION fold_eq(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT
        AS 'SELECT lower($1) = lower($2)';
    CREATE FUNCTION fold_lt(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT
        AS 'SELECT lower($1) < lower($2)';
    CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = fold_eq);
    CREATE OPERATOR <<< (LEFTARG = text, RIGHTARG = text, FUNCTION = fold_lt);
    CREATE OPERATOR CLASS fold_ops FOR TYPE text USING btree AS
        OPERATOR 1 <<<, OPERATOR 3 ===, FUNCTION 1 fold_cmp;
    SET session_replication_role = replica;
    UPDATE ctms.amo SET user_id = CASE email_id WHEN md5('1')::uuid THEN 'ABC' ELSE 'abc' END
        WHERE email_id IN (md5('1')::uuid, md5('2')::uuid);
    DROP INDEX ctms.amo_user_id_idx;
    CREATE INDEX amo_user_id_idx ON ctms.amo (user_id fold_ops)});
my $abc = q{SELECT json_array_length(ctms.find_identities(amo_user_id => 'abc')),
    json_array_length(ctms.find_identities(amo_user_id => 'ABC'))};
$session->query_safe('SET ctms.direct_access = on');
is($session->query_safe($abc), '1|1', 'an operator class of a user');
$ctms->sql(q{DROP OPERATOR FAMILY fold_ops USING btree CASCADE; DROP OPERATOR ===(text, text);
    DROP OPERATOR <<<(text, text); DROP FUNCTION fold_cmp, fold_eq, fold_lt});
SKIP:
{
    skip 'this server has no ICU', 1
        if $ctms->sql(q{SELECT count(*) FROM pg_collation WHERE collprovider = 'i'}) == 0;
    $ctms->sql(q{CREATE COLLATION fold (provider = icu, locale = 'und-u-ks-level2',
            deterministic = false);
        ALTER TABLE ctms.amo ALTER user_id TYPE varchar(40) COLLATE fold;
        CREATE INDEX amo_user_id_idx ON ctms.amo (user_id COLLATE "default")});
    is($session->query_safe($abc), '2|2', 'a column with another collation than its index');
    $ctms->sql(q{ALTER TABLE ctms.amo ALTER user_id TYPE varchar(40) COLLATE "default";
        DROP INDEX ctms.amo_user_id_idx; DROP COLLATION fold});
}
$ctms->sql(q{CREATE INDEX amo_user_id_idx ON ctms.amo (user_id);
    SET session_replication_role = replica;
    UPDATE ctms.amo AS a SET user_id = '1' || substr(basket_token, 6) FROM ctms.emails AS e
        WHERE e.email_id = a.email_id});
is($session->query_safe($direct), $all, 'as before');

# An index that was made while an older snapshot sees a version of a row that is not in it.
$ctms->sql(q{ALTER TABLE ctms.newsletters DROP CONSTRAINT newsletters_pkey;
    INSERT INTO ctms.newsletters (email_id, name) VALUES (md5('4')::uuid, 'moves')});
$ctms->sql('VACUUM ctms.newsletters');
my $has_moved = q{SELECT ctms.get_contact(md5('4')::uuid)::text LIKE '%moves%'};
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
$ctms->sql(q{SET session_replication_role = replica;
    UPDATE ctms.newsletters SET email_id = md5('5')::uuid WHERE name = 'moves'});
$ctms->sql('CREATE INDEX other ON ctms.newsletters (email_id)');
is($ctms->sql(q{SELECT indcheckxmin FROM pg_index
    WHERE indexrelid = 'ctms.other'::regclass}), 't', 'an index that old snapshots lack');
is($holder->query_safe($has_moved), 't', 'an old snapshot finds what it sees');
is($session->query_safe($has_moved), 'f', 'a new one too');
$holder->query_safe('COMMIT');
ok(is_direct($get), 'the index becomes usable');
$ctms->sql(q{DELETE FROM ctms.newsletters WHERE name = 'moves'; DROP INDEX ctms.other;
    ALTER TABLE ctms.newsletters ADD PRIMARY KEY (email_id, name)});
is($session->query_safe($direct), $all, 'as before');

# ---- while it looks ---------------------------------------------------------------------------

# A look that ends with an error leaves nothing behind.
$holder->query_safe('BEGIN; LOCK TABLE ctms.mofo');
my $fresh = $node->background_psql('ctms', on_error_stop => 0);
$fresh->query_safe("SET lock_timeout = '10ms'");
like($fresh->query_safe($answer), qr/^55P03/, 'a look that waits too long');
$holder->query_safe('ROLLBACK');
is($fresh->query_safe('RESET lock_timeout; ' . $direct), $all, 'then the right answer');
$fresh->quit;

# While a look waits for the last table, those before it change.
$holder->query_safe('BEGIN; LOCK TABLE ctms.waitlists');
$fresh = $node->background_psql('ctms', on_error_stop => 0);
$pid = $fresh->query_safe('SELECT pg_backend_pid()');
$fresh->query_until(qr/begun/, "\\echo begun\n$direct;\n");
poll_until(sub { waits($pid) }, 'the look waits');
$ctms->sql('CREATE INDEX other ON ctms.emails (first_name); CREATE TABLE ctms.child (a integer);
    CREATE TABLE ctms.other_child () INHERITS (ctms.fxa);
    INSERT INTO ctms.other_child (email_id, fxa_id) VALUES (md5(\'4\')::uuid, \'of a child\')');
$holder->query_safe('ROLLBACK');
$fresh->query('SELECT 1');
like($fresh->query_safe($get), qr/of a child/, 'what changed during the look is noticed');
$ctms->sql('DROP INDEX ctms.other; DROP TABLE ctms.child, ctms.other_child');
is($fresh->query_safe($direct), $all, 'as before');

# ---- a replica ---------------------------------------------------------------------------------

# It replays changes without waiting for those who read there.
$node->backup('base');
my $replica = PostgreSQL::Test::Cluster->new('contact_gate_replica');
$replica->init_from_backup($node, 'base', has_streaming => 1);
$replica->start;
my $reader = $replica->background_psql('ctms', on_error_stop => 0);
is($reader->query_safe($get), $session->query_safe($get), 'a replica reads too');
for my $table (@tables)
{
    $reader->query_safe('BEGIN');
    $ctms->sql("REINDEX TABLE CONCURRENTLY ctms.$table");
    $node->wait_for_catchup($replica, 'replay');
    is($reader->query_safe($get), $session->query_safe($get), "REINDEX CONCURRENTLY $table there");
    $reader->query_safe('COMMIT');
}
$ctms->sql('ALTER TABLE ctms.waitlists SET UNLOGGED');
$node->wait_for_catchup($replica, 'replay');
like($reader->query_safe($answer), qr/^0A000 cannot access temporary or unlogged relations/,
    'what is not there is not read as nothing');
$ctms->sql('ALTER TABLE ctms.waitlists SET LOGGED');
$node->wait_for_catchup($replica, 'replay');
is($reader->query_safe($get), $session->query_safe($get), 'but when it is there again');
$reader->quit;
$replica->stop;

# ---- what PostgreSQL keeps a trace of --------------------------------------------------------

$ctms->sql('CREATE TABLE ctms.child () INHERITS (ctms.fxa)');
ok(!is_direct($get), 'a table with a child goes by SQL');
$ctms->sql('DROP TABLE ctms.child');
ok(is_direct($get), 'but not after the child is gone');
$ctms->sql('CREATE RULE r AS ON DELETE TO ctms.mofo DO INSTEAD NOTHING');
is($session->query_safe($direct), $all, 'a rule');
$ctms->sql('DROP RULE r ON ctms.mofo');
ok(is_direct($get), 'nor after the rule is gone');
$ctms->sql(q{DO $$ BEGIN FOR i IN 1 .. 100 LOOP
    ALTER TABLE ctms.amo ADD more integer; ALTER TABLE ctms.amo DROP more; END LOOP; END $$});
ok(is_direct($get), 'a table that had many columns');
is($session->query_safe($direct), $all, 'the same');
$_->quit for $fresh, $holder, $changer, $session;
done_testing();
