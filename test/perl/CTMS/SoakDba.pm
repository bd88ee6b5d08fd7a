package CTMS::SoakDba;

# The DBA of the soak: a session that runs, one after the other, everything that one may do to
# tables that are in use, and undoes it. It gives up on a lock soon and tries again, so that nobody
# waits for it for long.
#
#   CTMS::SoakDba->new(url => …, log => $file, seed => 1, round => 1, is_short => 1,
#       until => $time)->run;
#
# The log has a line of JSON for the beginning and for the end of each step, so that the test can
# tell what was going on when a statement of somebody else failed.

use strict;
use warnings;
use CTMS::SoakSession;
use JSON::PP;
use IO::Handle;
use List::Util qw(shuffle);
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->canonical;

# What the steps need. soak_app is the role of ordinary users in the test.
our $SET_UP = q{
    CREATE EXTENSION amcheck;
    CREATE SCHEMA soak;
    CREATE TABLESPACE soak_space LOCATION '';
    CREATE ROLE soak_app LOGIN IN ROLE ctms_admin, ctms_api, ctms_agent, ctms_reader;
    CREATE ROLE soak_bystander;
    CREATE ROLE soak_owner SUPERUSER;
    GRANT USAGE ON SCHEMA soak TO PUBLIC;
    CREATE TABLE soak.parent (id integer PRIMARY KEY);
    CREATE TABLE soak.seen (name text);
    CREATE DOMAIN soak.long_text AS text CHECK (length(VALUE) < 1000000);
    CREATE FUNCTION soak.pass() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RETURN COALESCE(NEW, OLD); END $$;
    CREATE FUNCTION soak.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO soak.seen VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
};

# ---- what a DBA does to a table ----------------------------------------------------------------

# %T is the table, %N its name alone, %I the index of its primary key, %K the columns of that key,
# %F the first of them and %Y its type.
#
#   waits     its waits hold up nobody, so they may be long
#   rewrites  ALTER TABLE writes the table anew: to older snapshots it then seems to be empty
#   needs     what the table must have (see find_tables)
my @ON_TABLES = (
    { kind => 'REINDEX TABLE CONCURRENTLY', waits => 1, do => ['REINDEX TABLE CONCURRENTLY %T'] },
    { kind => 'REINDEX INDEX CONCURRENTLY', waits => 1, do => [ 'REINDEX INDEX CONCURRENTLY %I',
            'REINDEX (TABLESPACE soak_space) INDEX CONCURRENTLY %I',
            'REINDEX (TABLESPACE pg_default) INDEX CONCURRENTLY %I' ] },
    { kind => 'REINDEX TABLE', do => ['REINDEX TABLE %T'] },
    { kind => 'CREATE INDEX CONCURRENTLY', waits => 1,
        do => [ map { ("CREATE $_", 'DROP INDEX CONCURRENTLY ctms.dba_index') }
                'INDEX CONCURRENTLY dba_index ON %T (%K)',
                'UNIQUE INDEX CONCURRENTLY dba_index ON %T (%K) INCLUDE (%F)',
                'UNIQUE INDEX CONCURRENTLY dba_index ON %T (%K)' ],
        undo => ['DROP INDEX CONCURRENTLY IF EXISTS ctms.dba_index'] },
    { kind => 'CREATE INDEX CONCURRENTLY with an expression', waits => 1,
        do => [ 'CREATE INDEX CONCURRENTLY dba_index ON %T '
                . '((md5(%F::text))) WHERE %F IS NOT NULL' ],
        undo => ['DROP INDEX CONCURRENTLY IF EXISTS ctms.dba_index'] },
    { kind => 'CREATE INDEX CONCURRENTLY hash, brin', waits => 1, needs => 'order',
        do => [ 'CREATE INDEX CONCURRENTLY dba_index ON %T USING hash (%F)',
            'DROP INDEX CONCURRENTLY ctms.dba_index',
            'CREATE INDEX CONCURRENTLY dba_index ON %T USING brin (%F)' ],
        undo => ['DROP INDEX CONCURRENTLY IF EXISTS ctms.dba_index'] },
    { kind => 'CREATE INDEX', do => ['CREATE INDEX dba_index ON %T (%F) INCLUDE (%F)'],
        undo => ['DROP INDEX IF EXISTS ctms.dba_index'] },
    { kind => 'rename and set an index', do => [ 'CREATE INDEX dba_index ON %T (%F)',
            'ALTER INDEX ctms.dba_index RENAME TO dba_index_2',
            'ALTER INDEX ctms.dba_index_2 SET (fillfactor = 70)',
            'ALTER INDEX ctms.dba_index_2 RENAME TO dba_index' ],
        undo => ['DROP INDEX IF EXISTS ctms.dba_index, ctms.dba_index_2'] },
    { kind => 'VACUUM', waits => 1, do => [ map { "VACUUM ($_) %T" } 'FREEZE',
            'INDEX_CLEANUP ON, TRUNCATE ON', 'INDEX_CLEANUP OFF, TRUNCATE OFF, PROCESS_TOAST OFF',
            'DISABLE_PAGE_SKIPPING, INDEX_CLEANUP ON', 'PARALLEL 2, INDEX_CLEANUP ON',
            'SKIP_LOCKED, ANALYZE, VERBOSE OFF' ] },
    { kind => 'VACUUM FULL', do => ['VACUUM (FULL, ANALYZE) %T'] },
    { kind => 'VACUUM FULL, FREEZE', do => ['VACUUM (FULL, FREEZE) %T'] },
    { kind => 'CLUSTER', do => [ 'CLUSTER %T USING %R', 'CLUSTER %T' ],
        undo => ['ALTER TABLE %T SET WITHOUT CLUSTER'] },
    { kind => 'ANALYZE', waits => 1, do => [ 'ANALYZE %T', 'ANALYZE %T (%K)' ] },
    { kind => 'statistics', do => [ 'ALTER TABLE %T ALTER %F SET STATISTICS 7',
            'ALTER TABLE %T ALTER %F SET (n_distinct = 5)',
            'CREATE STATISTICS soak.dba_statistics (ndistinct, mcv) '
                . 'ON %F, update_timestamp FROM %T',
            'ANALYZE %T' ],
        undo => [ 'ALTER TABLE %T ALTER %F SET STATISTICS -1',
            'ALTER TABLE %T ALTER %F RESET (n_distinct)',
            'DROP STATISTICS IF EXISTS soak.dba_statistics' ], needs => 'update_timestamp' },
    { kind => 'a column', do => [ 'ALTER TABLE %T ADD dba_column integer',
            'ALTER TABLE %T ALTER dba_column SET DEFAULT 3',
            'ALTER TABLE %T ADD dba_column_2 text NOT NULL DEFAULT repeat(\'x\', 200)',
            'ALTER TABLE %T ALTER dba_column_2 DROP NOT NULL',
            'ALTER TABLE %T RENAME dba_column TO dba_column_3' ],
        undo => [ 'ALTER TABLE %T DROP IF EXISTS dba_column, DROP IF EXISTS dba_column_2, '
                . 'DROP IF EXISTS dba_column_3' ] },
    { kind => 'a column that rewrites', rewrites => 1,
        do => [ 'ALTER TABLE %T ADD dba_column double precision NOT NULL DEFAULT random()',
            'ALTER TABLE %T ADD dba_column_2 text '
                . 'GENERATED ALWAYS AS (COALESCE(%F::text, \'\') || \'x\') STORED',
            'ALTER TABLE %T ADD dba_column_3 integer GENERATED ALWAYS AS IDENTITY' ],
        undo => [ 'ALTER TABLE %T DROP IF EXISTS dba_column, DROP IF EXISTS dba_column_2, '
                . 'DROP IF EXISTS dba_column_3' ] },
    { kind => 'a check', do => [ 'ALTER TABLE %T ADD CONSTRAINT dba_check '
                . 'CHECK (%F IS NOT NULL AND length(%F::text) < 100000) NOT VALID',
            'ALTER TABLE %T VALIDATE CONSTRAINT dba_check',
            'ALTER TABLE %T RENAME CONSTRAINT dba_check TO dba_check_2' ],
        undo => [ 'ALTER TABLE %T DROP CONSTRAINT IF EXISTS dba_check',
            'ALTER TABLE %T DROP CONSTRAINT IF EXISTS dba_check_2' ] },
    { kind => 'a unique constraint', waits => 1,
        do => [ 'CREATE UNIQUE INDEX CONCURRENTLY dba_index ON %T (%K)',
            'ALTER TABLE %T ADD CONSTRAINT dba_unique UNIQUE USING INDEX dba_index' ],
        undo => [ 'ALTER TABLE %T DROP CONSTRAINT IF EXISTS dba_unique',
            'DROP INDEX IF EXISTS ctms.dba_index' ] },
    # ON CONFLICT DO NOTHING is refused on tables with the first, whoever says it.
    { kind => 'a deferred unique constraint', needs => 'queue',
        do => [ 'ALTER TABLE %T ADD CONSTRAINT dba_unique UNIQUE (%K, create_timestamp) '
                . 'DEFERRABLE INITIALLY DEFERRED' ],
        undo => ['ALTER TABLE %T DROP CONSTRAINT IF EXISTS dba_unique'] },
    { kind => 'an exclusion constraint',
        do => ['ALTER TABLE %T ADD CONSTRAINT dba_exclude EXCLUDE USING btree (%X)'],
        undo => ['ALTER TABLE %T DROP CONSTRAINT IF EXISTS dba_exclude'] },
    { kind => 'row triggers', do => [
            'CREATE TRIGGER a_dba BEFORE INSERT OR UPDATE OR DELETE ON %T '
                . 'FOR EACH ROW EXECUTE FUNCTION soak.pass()',
            'CREATE TRIGGER z_dba AFTER INSERT OR UPDATE OR DELETE ON %T '
                . 'FOR EACH ROW EXECUTE FUNCTION soak.note()',
            'ALTER TABLE %T DISABLE TRIGGER z_dba', 'ALTER TABLE %T ENABLE ALWAYS TRIGGER z_dba' ],
        undo => [ 'DROP TRIGGER IF EXISTS a_dba ON %T', 'DROP TRIGGER IF EXISTS z_dba ON %T' ] },
    { kind => 'statement triggers', do => [
            'CREATE TRIGGER a_dba BEFORE INSERT OR UPDATE OR DELETE ON %T '
                . 'FOR EACH STATEMENT EXECUTE FUNCTION soak.note()',
            'CREATE TRIGGER z_dba AFTER UPDATE ON %T REFERENCING NEW TABLE AS new OLD TABLE AS old '
                . 'FOR EACH STATEMENT EXECUTE FUNCTION soak.note()' ],
        undo => [ 'DROP TRIGGER IF EXISTS a_dba ON %T', 'DROP TRIGGER IF EXISTS z_dba ON %T' ] },
    { kind => 'deferred triggers', do => [
            'CREATE CONSTRAINT TRIGGER z_dba AFTER INSERT OR UPDATE OR DELETE ON %T '
                . 'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION soak.note()' ],
        undo => ['DROP TRIGGER IF EXISTS z_dba ON %T'] },
    { kind => 'a foreign key to others', do => [
            'ALTER TABLE %T ADD dba_column integer REFERENCES soak.parent ON DELETE CASCADE' ],
        undo => ['ALTER TABLE %T DROP IF EXISTS dba_column'] },
    { kind => 'a foreign key of others', needs => 'simple_key',
        do => [ 'CREATE TABLE soak.child (key %Y)',
            'ALTER TABLE soak.child ADD FOREIGN KEY (key) REFERENCES %T NOT VALID' ],
        undo => ['DROP TABLE IF EXISTS soak.child'] },
    { kind => 'a second foreign key', needs => 'contact',
        do => [ 'ALTER TABLE %T ADD CONSTRAINT dba_key FOREIGN KEY (email_id) REFERENCES '
                . 'ctms.emails DEFERRABLE INITIALLY DEFERRED NOT VALID',
            'ALTER TABLE %T VALIDATE CONSTRAINT dba_key',
            'ALTER TABLE %T ALTER CONSTRAINT dba_key NOT DEFERRABLE' ],
        undo => ['ALTER TABLE %T DROP CONSTRAINT IF EXISTS dba_key'] },
    { kind => 'a publication, replica identity', do => [ 'ALTER TABLE %T REPLICA IDENTITY NOTHING',
            q{CREATE PUBLICATION dba_publication FOR TABLE %T WITH (publish = 'insert')},
            'ALTER TABLE %T REPLICA IDENTITY FULL',
            q{ALTER PUBLICATION dba_publication SET (publish = 'insert, update, delete, truncate')},
            'ALTER TABLE %T REPLICA IDENTITY USING INDEX %R',
            'ALTER PUBLICATION dba_publication SET TABLE %T (%K)' ],
        undo => [ 'DROP PUBLICATION IF EXISTS dba_publication',
            'ALTER TABLE %T REPLICA IDENTITY DEFAULT' ] },
    { kind => 'tablespaces', do => [ 'ALTER TABLE %T SET TABLESPACE soak_space',
            'ALTER INDEX %I SET TABLESPACE soak_space' ],
        undo => [ 'ALTER INDEX %I SET TABLESPACE pg_default',
            'ALTER TABLE %T SET TABLESPACE pg_default' ] },
    { kind => 'storage', do => [ 'ALTER TABLE %T SET (toast_tuple_target = 1024, '
                . 'parallel_workers = 2, autovacuum_freeze_max_age = 100000000)',
            'ALTER TABLE %T SET (toast.autovacuum_enabled = off)' ],
        undo => [ 'ALTER TABLE %T RESET (toast_tuple_target, parallel_workers, '
                . 'autovacuum_freeze_max_age, toast.autovacuum_enabled)' ] },
    { kind => 'storage of columns', needs => 'text',
        do => [ 'ALTER TABLE %T ALTER %C SET STORAGE EXTERNAL',
            'ALTER TABLE %T ALTER %C SET COMPRESSION pglz', 'VACUUM FULL %T' ],
        undo => [ 'ALTER TABLE %T ALTER %C SET STORAGE EXTENDED',
            'ALTER TABLE %T ALTER %C SET COMPRESSION default' ] },
    { kind => 'UNLOGGED and LOGGED', rewrites => 1, needs => 'unlogged',
        do => ['ALTER TABLE %T SET UNLOGGED'], undo => ['ALTER TABLE %T SET LOGGED'] },
    { kind => 'row security', do => [
            'CREATE POLICY dba_policy ON %T USING (true) WITH CHECK (true)',
            'ALTER TABLE %T ENABLE ROW LEVEL SECURITY', 'ALTER TABLE %T FORCE ROW LEVEL SECURITY',
            'ALTER POLICY dba_policy ON %T USING (%F IS NOT NULL)' ],
        undo => [ 'ALTER TABLE %T NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY',
            'DROP POLICY IF EXISTS dba_policy ON %T' ] },
    # Core refuses ON CONFLICT on tables with rules on INSERT or UPDATE, whoever says it, and rules
    # that do more than nothing under WITH: so such rules would be meant to stop ctms.
    { kind => 'a rule', needs => 'rule',
        do => [ q{CREATE RULE dba_rule AS ON DELETE TO %T DO ALSO INSERT INTO soak.seen }
                . q{VALUES ('rule')} ],
        undo => ['DROP RULE IF EXISTS dba_rule ON %T'] },
    { kind => 'an inheritance child', do => [ 'CREATE TABLE soak.child (LIKE %T INCLUDING ALL)',
            'ALTER TABLE soak.child INHERIT %T', 'ALTER TABLE soak.child NO INHERIT %T' ],
        undo => ['DROP TABLE IF EXISTS soak.child'] },
    { kind => 'views', do => [ 'CREATE VIEW soak.view AS SELECT * FROM %T',
            'CREATE MATERIALIZED VIEW soak.stored AS SELECT %K FROM %T',
            'REFRESH MATERIALIZED VIEW soak.stored' ],
        undo => [ 'DROP VIEW IF EXISTS soak.view',
            'DROP MATERIALIZED VIEW IF EXISTS soak.stored' ] },
    { kind => 'privileges', do => [ 'GRANT SELECT, INSERT, UPDATE ON %T TO soak_bystander',
            'GRANT UPDATE (%F) ON %T TO soak_bystander' ],
        undo => ['REVOKE ALL ON %T FROM soak_bystander'] },
    { kind => 'the owner', do => ['ALTER TABLE %T OWNER TO soak_owner'],
        undo => ['ALTER TABLE %T OWNER TO %O'] },
    { kind => 'a lock', do => ['LOCK TABLE %T IN ACCESS EXCLUSIVE MODE'], in_block => 1 },
);

# Types that hold every value of the old one, and back. Core refuses names of newsletters and
# waitlists and what Stripe's items refer to, because triggers of ctms depend on them.
my %TYPES = (
    emails => [ [qw(first_name text varchar(255))], [qw(email_lang varchar(50) varchar(5))],
        [qw(unsubscribe_reason soak.long_text text)], [qw(primary_email text varchar(255))] ],
    newsletters => [ [qw(id numeric bigint)], [qw(format varchar(7) varchar(1))],
        [qw(source soak.long_text text)] ],
    waitlists => [ [qw(source soak.long_text text)], [qw(id numeric bigint)] ],
    fxa => [ [qw(fxa_id text varchar(255))], [qw(id numeric bigint)] ],
    amo => [ [qw(user_id text varchar(40))], [qw(last_login timestamptz date)] ],
    mofo => [ [qw(mofo_email_id text varchar(255))] ],
    pending_acoustic => [ [qw(generation numeric bigint)], [qw(retry bigint integer)],
        [qw(lease_owner varchar(200) text)], [qw(last_error soak.long_text text)] ],
    stripe_unresolved => [ [qw(key varchar(500) text)] ],
    stripe_customer => [ [qw(fxa_id text varchar(255))] ],
    stripe_price => [ [qw(unit_amount numeric bigint)], [qw(currency text varchar(3))] ],
    stripe_subscription => [ [qw(status text varchar(20))] ],
    stripe_subscription_item => [ [qw(stripe_created timestamptz(6) timestamptz)] ],
    stripe_invoice => [ [qw(total numeric bigint)] ],
    stripe_invoice_line_item => [ [qw(amount numeric bigint)] ],
);

my @ELSEWHERE = (
    { kind => 'REINDEX SCHEMA CONCURRENTLY', waits => 1,
        do => ['REINDEX SCHEMA CONCURRENTLY ctms'] },
    { kind => 'VACUUM and ANALYZE of everything', waits => 1, do => [ 'VACUUM', 'ANALYZE' ] },
    { kind => 'ALTER EXTENSION UPDATE', do => ['ALTER EXTENSION ctms UPDATE'] },
    { kind => 'ctms.direct_access', do => [ map { ("ALTER SYSTEM SET ctms.direct_access = $_",
                    'SELECT pg_reload_conf()') } qw(off on off on) ],
        undo => [ 'ALTER SYSTEM RESET ctms.direct_access', 'SELECT pg_reload_conf()' ] },
    { kind => 'settings of the database', do => [ map { "SELECT ctms.set_setting($_)" }
            "'direct_access', 'off'", "'acoustic_history_age', '1min'", "'direct_access', 'on'",
            "'direct_access', 'off'" ],
        undo => [ map { "SELECT ctms.set_setting('$_', NULL)" }
            qw(direct_access acoustic_history_age) ] },
    { kind => 'roles', do => [ 'ALTER ROLE soak_app SET work_mem = 1024',
            'ALTER ROLE soak_bystander RENAME TO soak_stander',
            'GRANT ctms_reader TO soak_stander', 'REVOKE ctms_reader FROM soak_stander',
            q{ALTER ROLE soak_app IN DATABASE ctms SET enable_indexscan = off},
            'ALTER ROLE soak_app CONNECTION LIMIT 50' ],
        undo => [ 'ALTER ROLE soak_app RESET ALL', 'ALTER ROLE soak_app IN DATABASE ctms RESET ALL',
            'ALTER ROLE soak_app CONNECTION LIMIT -1',
            'ALTER ROLE soak_stander RENAME TO soak_bystander' ] },
    { kind => 'privileges of all tables', do => [
            'GRANT ALL ON ALL TABLES IN SCHEMA ctms TO soak_bystander',
            'GRANT USAGE ON SCHEMA ctms TO soak_bystander',
            'ALTER DEFAULT PRIVILEGES IN SCHEMA ctms GRANT SELECT ON TABLES TO soak_bystander' ],
        undo => [
            'ALTER DEFAULT PRIVILEGES IN SCHEMA ctms REVOKE ALL ON TABLES FROM soak_bystander',
            'REVOKE USAGE ON SCHEMA ctms FROM soak_bystander',
            'REVOKE ALL ON ALL TABLES IN SCHEMA ctms FROM soak_bystander' ] },
    { kind => 'a publication of all tables', do => [
            q{CREATE PUBLICATION dba_publication FOR TABLES IN SCHEMA ctms }
                . q{WITH (publish = 'insert')} ],
        undo => ['DROP PUBLICATION IF EXISTS dba_publication'] },
    { kind => 'CHECKPOINT', waits => 1, do => [ 'CHECKPOINT', 'SELECT pg_switch_wal()' ] },
    { kind => 'a dump', waits => 1, run => 'pg_dump -Fc' },
    { kind => 'pg_repack', waits => 1, needs_program => 'pg_repack',
        do => ['CREATE EXTENSION IF NOT EXISTS pg_repack'],
        run => 'pg_repack --no-kill-backend --wait-timeout=10 -s ctms' },
);

# ---- which tables ------------------------------------------------------------------------------

sub new
{
    my ($class, %options) = @_;
    my $self = bless { number => 0, %options }, $class;
    $self->{session} = CTMS::SoakSession->new($options{url}, q{LOAD 'ctms'},
        q{SET application_name = 'dba'}, 'SET deadlock_timeout = 10000',
        'SET min_parallel_index_scan_size = 0',
        'SET min_parallel_table_scan_size = 0', 'SET client_min_messages = error');
    return $self;
}

sub find_tables
{
    my ($self) = @_;
    my $r = $self->{session}->run(q{
        SELECT c.relname, i.indexrelid::regclass,
            string_agg(quote_ident(a.attname), ', ' ORDER BY n),
            min(format_type(a.atttypid, a.atttypmod)), count(*) = 1, relowner::regrole,
            COALESCE((SELECT min(attname) FROM pg_attribute t WHERE t.attrelid = c.oid
                AND t.attnum > 0 AND t.attstorage = 'x' AND NOT t.attisdropped), ''),
            NOT EXISTS (SELECT FROM pg_constraint f WHERE f.confrelid = c.oid),
            EXISTS (SELECT FROM pg_constraint f WHERE f.conrelid = c.oid
                AND f.confrelid = 'ctms.emails'::regclass),
            EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid
                AND t.attname = 'update_timestamp')
        FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
            CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r'
        GROUP BY c.oid, i.indexrelid ORDER BY 1});
    die "no tables: $r->{text}" if !@{ $r->{rows} };
    return map {
        my ($name, $index, $key, $type, $is_simple, $owner, $text, $is_leaf, $is_contact, $has_time)
            = split /\|/;
        { name => $name, T => "ctms.$name", N => $name, I => $index, R => $index =~ s/^ctms\.//r,
            K => $key, F => (split /, /, $key)[0], Y => $type, O => $owner, C => $text,
            X => join(', ', map { "$_ WITH =" } split /, /, $key),
            has => { simple_key => $is_simple eq 't', text => $text ne '',
                unlogged => $is_leaf eq 't', contact => $is_contact eq 't',
                update_timestamp => $has_time eq 't', order => $type ne 'boolean',
                rule => $name ne 'pending_acoustic',
                queue => $name =~ /^(pending_acoustic|stripe_unresolved)$/ } }
    } @{ $r->{rows} };
}

sub fill_in
{
    my ($table, $sql) = @_;
    return $sql =~ s/%([A-Z])/$table->{$1}/gr;
}

sub type_changes
{
    my ($table) = @_;
    return map {
        my ($column, $new, $old) = @$_;
        { kind => 'types', rewrites => 1, do => ["ALTER TABLE %T ALTER $column TYPE $new"],
            undo => ["ALTER TABLE %T ALTER $column TYPE $old"] }
    } @{ $TYPES{ $table->{name} } // [] };
}

sub is_possible
{
    my ($task) = @_;
    my $program = $task->{needs_program};
    return !$program || system("command -v $program >/dev/null") == 0;
}

# All kinds that can be tried here.
sub kinds
{
    return map { $_->{kind} } @ON_TABLES, { kind => 'types' }, grep { is_possible($_) } @ELSEWHERE;
}

# The queue, and so many of the other tables: in each round the next ones.
sub choose
{
    my ($round, $count, @tables) = @_;
    my ($queue, @others) = map { my $is_queue = $_;
        [ grep { ($_->{name} eq 'pending_acoustic') == $is_queue } @tables ] } 1, '';
    @others = @{ $others[0] };
    my $from = @others ? $round * $count % @others : 0;
    my @turned = (@others, @others)[ $from .. $from + $#others ];
    splice @turned, $count if @turned > $count;
    return @$queue, @turned;
}

# Every kind on the queue and some other tables. In the short form on two tables what holds up
# nobody, and everything else on one: half of it on the queue.
sub plan
{
    my ($self) = @_;
    my @tables = $self->find_tables;
    my @plan;
    for my $task (@ON_TABLES)
    {
        my @fitting = grep { !$task->{needs} || $_->{has}{ $task->{needs} } } @tables;
        my @close = grep { $TYPES{ $_->{name} } } @fitting;
        my @chosen = $self->{is_short} ? choose(int rand 100, 1, @close ? @close : @fitting)
            : choose($self->{round}, $task->{waits} ? 6 : 3, @fitting);
        @chosen = (shuffle @chosen)[0] if $self->{is_short} && !$task->{waits};
        push @plan, map { [ $task, $_ ] } @chosen;
    }
    my @types = map { my $table = $_; map { [ $_, $table ] } type_changes($table) } @tables;
    my ($queue, @others) = map { my $is_queue = $_;
        [ grep { ($_->[1]{name} eq 'pending_acoustic') == $is_queue } @types ] } 1, '';
    @types = (@$queue, (shuffle map { @$_ } @others)[ 0 .. ($self->{is_short} ? 3 : 9) ]);
    push @plan, @types, map { [ $_, {} ] } grep { is_possible($_) } @ELSEWHERE;
    return shuffle @plan;
}

# ---- doing it ----------------------------------------------------------------------------------

sub note
{
    my ($self, %entry) = @_;
    print { $self->{handle} } $json->encode(\%entry) . "\n";
    return;
}

# Steps that meet a lock are tried again.  Core itself does not keep some commands of the DBA apart
# from autovacuum ("tuple concurrently updated").
sub step
{
    my ($self, $task, $sql, $tries) = @_;
    my $number = ++$self->{number};
    $self->{session}->run('SET lock_timeout = ' . ($task->{waits} ? 5000 : 250));
    for my $try (1 .. $tries)
    {
        $self->note(begin => time, number => $number, kind => $task->{kind}, sql => $sql,
            pid => $self->{session}{pid}, rewrites => $task->{rewrites} ? 1 : 0);
        my $r = $self->{session}->run($sql);
        $self->note(end => time, number => $number, kind => $task->{kind}, state => $r->{state});
        return 1 if $r->{state} eq '00000';
        $self->{session}->run('ROLLBACK') if $task->{in_block};
        my $is_busy = $r->{state} =~ /^(55P03|40P01|LOST)$/
            || $r->{text} =~ /tuple concurrently (updated|deleted)/;
        if (!$is_busy)
        {
            $self->note(failed => time, sql => $sql, state => $r->{state}, text => $r->{text});
            return 0;
        }
        $self->drop_invalid_indexes if $task->{waits};
        sleep 0.05 * rand $try;
    }
    $self->note(given_up => time, kind => $task->{kind}, sql => $sql) if $tries > 40;
    return 0;
}

# Commands that are cancelled leave these.
sub drop_invalid_indexes
{
    my ($self) = @_;
    my $r = $self->{session}->run(q{SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class c
        ON c.oid = i.indexrelid WHERE NOT i.indisvalid AND (c.relnamespace = 'ctms'::regnamespace
        OR c.relname ~ '_cc(new|old)[0-9]*$') ORDER BY 1});
    for my $index (@{ $r->{rows} })
    {
        for (1 .. 100)
        {
            last if $self->{session}->run("DROP INDEX IF EXISTS $index")->{state} eq '00000';
        }
    }
    return;
}

sub carry_out
{
    my ($self, $task, $table) = @_;
    my @steps = map { fill_in($table, $_) } @{ $task->{do} // [] };
    my $ok = 1;
    for my $sql (@steps)
    {
        # First as a change that is rolled back, some of the time.
        $self->step({ %$task, in_block => 1 }, "BEGIN; $sql; ROLLBACK", 1)
            if !$task->{waits} && !$task->{in_block} && $sql !~ /^(VACUUM|ALTER SYSTEM)/
            && rand() < 0.15;
        my $text = $task->{in_block} ? "BEGIN; $sql; COMMIT" : $sql;
        $ok = $self->step($task, $text, 40) or last;
    }
    if ($task->{run})
    {
        my $number = ++$self->{number};
        $self->note(begin => time, number => $number, kind => $task->{kind}, sql => $task->{run});
        my $output = `$task->{run} -d '$self->{url}' 2>&1 >/dev/null`;
        $self->note(end => time, number => $number, kind => $task->{kind}, state => $?);
        $self->note(failed => time, sql => $task->{run}, state => $?, text => $output) if $?;
    }
    for my $sql (map { fill_in($table, $_) } @{ $task->{undo} // [] })
    {
        $ok = $self->step($task, $sql, 400) && $ok;
    }
    $self->drop_invalid_indexes if $task->{waits};
    $self->note(done => time, kind => $task->{kind}) if $ok;
    return;
}

sub run
{
    my ($self) = @_;
    srand $self->{seed};
    open $self->{handle}, '>>', $self->{log} or die "$self->{log}: $!";
    $self->{handle}->autoflush(1);
    for my $part ($self->plan)
    {
        last if $self->{until} && time > $self->{until};
        $self->carry_out(@$part);
    }
    $self->note(finished => time);
    close $self->{handle};
    $self->{session}->stop;
    return;
}

1;
