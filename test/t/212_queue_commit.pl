# The moment at which the queue is written: with the deferred triggers of a commit, before
# anything that cannot be undone, at every isolation level, whatever the transaction did before.
# And whom it wakes.
use strict;
use warnings;
use CTMS::Cases;
use Test::More;

my $cases = CTMS::Cases->new('commit', setup => q{
    CREATE TABLE public.seen (n bigint GENERATED ALWAYS AS IDENTITY, what text);
    CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.seen (what) VALUES (concat_ws(' ', TG_WHEN, TG_OP));
        RETURN NULL; END $$;
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE SQLSTATE 'XY001'; END $$;
    CREATE TABLE public.near (n integer);
});
my $node = $cases->node;
my $has_fdw = $node->safe_psql('ctms', q{SELECT count(*) FROM pg_available_extensions
    WHERE name = 'postgres_fdw'});

my $rows = 'SELECT count(*) FROM ctms.pending_acoustic;';
my $first = 'SELECT first_name FROM ctms.emails WHERE email_id = ' . contact(1) . ';';
my $all_sent = q{SELECT count(ctms.finish_acoustic('a', ARRAY[email_id], ARRAY[generation]))
    FROM ctms.claim_acoustic('a', 100, 6, '1 hour')};

# ---- deferred triggers and constraints of others ------------------------------------------------

my $deferred = 'DEFERRABLE INITIALLY DEFERRED';
$cases->both('a deferred trigger of others on the queue' => sub {
    my ($case) = @_;
    $case->sql("CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE OR DELETE
        ON ctms.pending_acoustic $deferred FOR EACH ROW EXECUTE FUNCTION public.see()");
    $case->sql(change(1) . $all_sent);
    $case->gives(q{SELECT string_agg(what, ', ' ORDER BY n) FROM public.seen},
        'AFTER INSERT, AFTER UPDATE, AFTER DELETE', 'fires');
    $case->sql("TRUNCATE public.seen; BEGIN; SET CONSTRAINTS ALL IMMEDIATE;" . change(1)
        . 'COMMIT');
    $case->gives('SELECT count(*) FROM public.seen', '1', 'also when it is immediate');
});

$cases->both('a deferred trigger of others that refuses' => sub {
    my ($case) = @_;
    $case->sql("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ctms.pending_acoustic $deferred
        FOR EACH ROW EXECUTE FUNCTION public.refuse()");
    $case->gives(change(1), 'ERROR:  XY001', 'fails the commit');
    $case->gives("BEGIN; INSERT INTO public.near VALUES (1);" . change(1, 'child') . 'COMMIT',
        'ERROR:  XY001', 'and that of a child');
    $case->gives("$first $rows SELECT count(*) FROM public.near", "\n0\n0", 'nothing is stored');
    $case->gives('BEGIN;' . change(1) . "PREPARE TRANSACTION 'p'", 'ERROR:  XY001',
        'and a PREPARE');
});

my %constraint = (
    'foreign key' => [ 'FOREIGN KEY (email_id) REFERENCES public.allowed', '23503' ],
    'unique key' => [ 'UNIQUE (retry)', '23505' ],
    'exclusion constraint' => [ 'EXCLUDE (retry WITH =)', '23P01' ],
);
for my $name (sort keys %constraint)
{
    my ($ddl, $state) = @{ $constraint{$name} };
    $cases->both("a deferred $name of others on the queue" => sub {
        my ($case) = @_;
        $case->sql('CREATE TABLE public.allowed AS SELECT email_id FROM ctms.emails
            WHERE email_id = ' . contact(2) . "; ALTER TABLE public.allowed ADD PRIMARY KEY
            (email_id); ALTER TABLE ctms.pending_acoustic ADD CONSTRAINT x $ddl $deferred");
        $case->gives(change(2), '', 'lets go what is right');
        $case->gives(change(1), "ERROR:  $state", 'fails a commit');
        $case->gives($first, '', 'of which nothing is stored');
        $case->has_queued('2', 'nor in the queue');
    });
}

$cases->both('deferred triggers of others that change contacts' => sub {
    my ($case) = @_;
    $case->sql('CREATE FUNCTION public.change_2() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN '
        . change(2, 'child') . 'RETURN NULL; END $$;
        CREATE FUNCTION public.change_3() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.email_id = ' . contact(1) . 'THEN ' . change(3) . " END IF;
            RETURN NULL; END \$\$;
        CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON ctms.emails $deferred FOR EACH ROW
            WHEN (NEW.email_id = " . contact(1) . ") EXECUTE FUNCTION public.change_2();
        CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ctms.pending_acoustic $deferred FOR EACH ROW
            EXECUTE FUNCTION public.change_3()");
    $case->gives(change(1), '', 'commit');
    $case->has_queued('1 2 3', 'enqueue them');
});

# ---- transactions that reach other servers ------------------------------------------------------

for my $order ('remote first', 'ctms first')
{
    last if !$has_fdw;
    $cases->both("postgres_fdw in the transaction, $order" => sub {
        my ($case) = @_;
        my ($host, $port, $name) = ($node->host, $node->port, $case->database);
        $case->sql("CREATE TABLE public.there (n integer); CREATE EXTENSION postgres_fdw;
            CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw
                OPTIONS (host '$host', port '$port', dbname '$name');
            CREATE USER MAPPING FOR CURRENT_USER SERVER loop;
            CREATE FOREIGN TABLE public.remote (n integer) SERVER loop
                OPTIONS (schema_name 'public', table_name 'there');
            ALTER TABLE ctms.pending_acoustic ADD CONSTRAINT no CHECK (email_id <> "
            . contact(1) . ')');
        my $remote = 'INSERT INTO public.remote VALUES (1);';
        my $do = sub {
            my ($change) = @_;
            return 'BEGIN;' . ($order eq 'remote first' ? $remote . $change : $change . $remote)
                . 'COMMIT';
        };
        for my $kind (@changes)
        {
            $case->is($case->session->ask($do->(change(1, $kind))), 'ERROR:  23514',
                "$kind: the commit fails");
            $case->gives('SELECT count(*) FROM public.there', '0', "$kind: on both sides");
        }
        $case->is($case->session->ask($do->(change(2))), '', 'another commits');
        $case->gives("SELECT count(*) FROM public.there; $rows", "1\n1", 'on both sides');
    });
}

# ---- definitions that change in the same transaction --------------------------------------------

# What to do, and how to undo it: both after a change.
my @definitions = (
    (map { [ "ALTER TABLE ctms.$_ ADD COLUMN x text", "ALTER TABLE ctms.$_ DROP COLUMN x" ] }
        qw(emails newsletters stripe_subscription pending_acoustic)),
    [ 'ALTER TABLE ctms.emails ALTER last_name TYPE text',
        'ALTER TABLE ctms.emails ALTER last_name TYPE varchar(255)' ],
    [ 'ALTER TABLE ctms.pending_acoustic ALTER lease_owner TYPE varchar(99)',
        'ALTER TABLE ctms.pending_acoustic ALTER lease_owner TYPE text' ],
    [ 'ALTER TABLE ctms.emails ADD CONSTRAINT x CHECK (email_id IS NOT NULL)',
        'ALTER TABLE ctms.emails DROP CONSTRAINT x' ],
    [ 'CREATE INDEX x ON ctms.emails (first_name)', 'DROP INDEX ctms.x' ],
    [ 'CREATE INDEX x ON ctms.pending_acoustic (generation)', 'DROP INDEX ctms.x' ],
    [ 'CLUSTER ctms.emails USING emails_pkey', 'REINDEX TABLE ctms.emails' ],
    [ 'TRUNCATE ctms.pending_acoustic', 'REINDEX TABLE ctms.pending_acoustic' ],
    [ 'ALTER TABLE ctms.amo DISABLE TRIGGER USER', 'ALTER TABLE ctms.amo ENABLE TRIGGER USER' ],
    [ 'CREATE TABLE public.far (n integer)', 'DROP TABLE public.far' ],
);
$cases->both('after a change in the same transaction' => sub {
    my ($case) = @_;
    for my $definition (map { @$_ } @definitions)
    {
        for my $try ([ 'rolled back', 'ROLLBACK', '' ], [ 'committed', 'COMMIT', '1 2 3 4' ])
        {
            my ($how, $end, $queued) = @$try;
            $case->sql('DELETE FROM ctms.pending_acoustic; SET client_min_messages = error');
            $case->gives('BEGIN;' . change(1, 'stripe') . change(2) . change(3, 'child')
                . "$definition;" . change(1) . change(4, 'child') . $end, '', "$definition, $how");
            $case->has_queued($queued, "$definition, $how: the queue");
        }
    }
});

$cases->both('TRUNCATE of newsletters after a change' => sub {
    my ($case) = @_;
    $case->gives('BEGIN;' . change(1) . change(2, 'child') . 'TRUNCATE ctms.newsletters; COMMIT',
        '', 'commits');
    $case->has_queued('1 2 3 4 5 6 7 8 9', 'all are enqueued');
});

$cases->both('TRUNCATE of the contacts after a change' => sub {
    my ($case) = @_;
    $case->sql('SET client_min_messages = error');
    $case->gives('BEGIN;' . change(1) . change(2, 'child') . 'TRUNCATE ctms.emails CASCADE; COMMIT',
        '', 'commits');
    $case->has_queued('', 'nothing is left');
});

$cases->both('DROP EXTENSION after a change' => sub {
    my ($case) = @_;
    $case->sql('SET client_min_messages = error; SET ctms.allow_drop = on');
    $case->gives('BEGIN;' . change(1) . 'SAVEPOINT s; DROP EXTENSION ctms CASCADE; ROLLBACK TO s;'
        . 'COMMIT', '', 'that is undone');
    $case->has_queued('1', 'enqueues');
    $case->gives('BEGIN;' . change(2) . change(2, 'child') . change(1, 'stripe')
        . 'DROP EXTENSION ctms CASCADE; COMMIT', '', 'commits');
    $case->gives(q{SELECT count(*) FROM pg_extension WHERE extname = 'ctms'}, '0', 'it is gone');
    $case->gives('SELECT 1', '1', 'and the session works on');
});

$cases->both('DROP SCHEMA after a change' => sub {
    my ($case) = @_;
    $case->sql('CREATE SCHEMA others');
    $case->gives('BEGIN;' . change(1) . "DROP SCHEMA others; $rows" . change(2) . "$rows COMMIT",
        "1\n1", 'writes the queue, and what comes later waits for the commit');
    $case->has_queued('1 2', 'enqueues');
});

# ---- the table whose trigger writes the queue ---------------------------------------------------

my $flush = 'ctms._queue_flush';
for my $other ('AFTER UPDATE', 'AFTER INSERT', undef)
{
    my $name = $other // 'no trigger';
    $cases->both("_queue_flush with $name of others" => sub {
        my ($case) = @_;
        $case->sql("DROP TRIGGER ctms_queue_flush ON $flush");
        $case->sql("CREATE CONSTRAINT TRIGGER ctms_queue_flush $other ON $flush $deferred
            FOR EACH ROW WHEN (NEW.is_only_row) EXECUTE FUNCTION ctms._flush_queue()")
            if $other;
        $case->gives(change(1), 'ERROR:  55000', 'no change is lost');
        $case->gives('CREATE SCHEMA others; DROP SCHEMA others', '', 'DROP SCHEMA works');
    });
}

# ---- SET CONSTRAINTS and savepoints ------------------------------------------------------------

my ($now, $later) = map { "SET CONSTRAINTS ALL $_;" } qw(IMMEDIATE DEFERRED);
my ($one, $two, $three) = map { change($_) } 1 .. 3;
my @transactions = (
    [ '1 2', "$one $now $two", 'in the middle' ],
    [ '1', "$now $one", 'before' ],
    [ '1 2', "$now $one $two", 'before two' ],
    [ '1 2', "$now $one $later $two", 'and DEFERRED after it' ],
    [ '1', "$one $now $now", 'twice' ],
    [ '2', "SAVEPOINT s; $one $now ROLLBACK TO s; $two", 'in a savepoint that is rolled back' ],
    [ '1', "$one SAVEPOINT s; $now ROLLBACK TO s;", 'rolled back, not what came before' ],
    [ '1', "$one SAVEPOINT s; $two $now ROLLBACK TO s;", 'rolled back with a change' ],
    [ '1 3', "$one SAVEPOINT s; $two $now ROLLBACK TO s; $three", 'and one after it' ],
    [ '1 3', "$one SAVEPOINT s; $now $two ROLLBACK TO s; $three", 'and one after it, later' ],
    [ '1', "$one SAVEPOINT s; $now RELEASE s;", 'in a savepoint' ],
    [ '1 2', "SAVEPOINT s; $one $now RELEASE s; $two", 'in a savepoint with a change' ],
    [ '', "$now SAVEPOINT s; $one ROLLBACK TO s;", 'before a change that is rolled back' ],
    [ '1', "$one SAVEPOINT s; SAVEPOINT t; $two $now RELEASE t; ROLLBACK TO s;", 'nested' ],
    [ '1', "SAVEPOINT s; $one SAVEPOINT t; $now ROLLBACK TO t; RELEASE s;", 'nested, kept' ],
    [ '', "SAVEPOINT s; $one SAVEPOINT t; $now RELEASE t; ROLLBACK TO s;", 'nested, lost' ],
    [ '1', "$one SAVEPOINT s; $now $one ROLLBACK TO s; $now", 'again after it' ],
    [ '1', "$one $now SAVEPOINT s; $one ROLLBACK TO s;", 'the same contact again' ],
);
$cases->both('SET CONSTRAINTS ALL IMMEDIATE' => sub {
    my ($case) = @_;
    for my $end ('COMMIT', "PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'")
    {
        for my $transaction (@transactions)
        {
            my ($queued, $sql, $what) = @$transaction;
            $case->sql('DELETE FROM ctms.pending_acoustic');
            $case->gives("BEGIN; $sql $end", '', "$what: $end");
            $case->has_queued($queued, "$what: enqueued");
        }
    }
    $case->sql('DELETE FROM ctms.pending_acoustic');
    $case->gives("BEGIN; $one $now $rows ROLLBACK; $rows", "1\n0",
        'writes the queue at once, and it can be undone');
});

# ---- ways to commit ------------------------------------------------------------------------------

my @ways = (
    [ '1 2', "BEGIN; $one COMMIT AND CHAIN; $two COMMIT", 'COMMIT AND CHAIN' ],
    [ '2', "BEGIN; $one ROLLBACK AND CHAIN; $two COMMIT", 'ROLLBACK AND CHAIN' ],
    [ '1 3', "DO \$\$ BEGIN $one COMMIT; $two ROLLBACK; $three END \$\$", 'COMMIT in DO' ],
    [ '1 3', "CREATE PROCEDURE public.p() LANGUAGE plpgsql AS \$\$ BEGIN $one COMMIT; $two ROLLBACK;
        $three COMMIT; END \$\$; CALL public.p()", 'COMMIT in a procedure' ],
    [ '2', "DO \$\$ BEGIN BEGIN $one RAISE SQLSTATE 'XY002'; EXCEPTION WHEN OTHERS THEN NULL; END;
        $two END \$\$", 'an exception' ],
    [ '1', "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT n FROM public.near; $one COMMIT; CLOSE c",
        'a cursor WITH HOLD' ],
    [ '1 2', "CREATE FUNCTION public.f() RETURNS integer LANGUAGE plpgsql AS \$\$ BEGIN $one
        RETURN 1; END \$\$; BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT public.f(); $two COMMIT;
        CLOSE c", 'a cursor WITH HOLD that changes contacts' ],
    [ '1', "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT public.f(); COMMIT; CLOSE c",
        'and nothing but that' ],
    [ '1', "BEGIN; $one PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'", 'PREPARE' ],
    [ '', "BEGIN; $one PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'", 'ROLLBACK PREPARED' ],
    [ '1', "BEGIN; $one SET TRANSACTION READ ONLY; COMMIT", 'READ ONLY before COMMIT' ],
    [ '2', "BEGIN; SAVEPOINT s; $one ROLLBACK TO s; $two SET TRANSACTION READ ONLY; COMMIT",
        'READ ONLY after a savepoint' ],
    [ '1', "BEGIN; $one SET TRANSACTION READ ONLY; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'",
        'READ ONLY before PREPARE' ],
    [ '1', "BEGIN ISOLATION LEVEL SERIALIZABLE; $one COMMIT", 'SERIALIZABLE' ],
    [ '1', 'WITH x AS (UPDATE ctms.emails SET last_name = $$x$$ WHERE email_id = ' . contact(1)
        . ' RETURNING 1) INSERT INTO public.near SELECT 1 FROM x', 'a CTE' ],
);
$cases->both('committed by' => sub {
    my ($case) = @_;
    for my $way (@ways)
    {
        my ($queued, $sql, $what) = @$way;
        $case->sql('DELETE FROM ctms.pending_acoustic');
        $case->gives($sql, '', "$what: commits");
        $case->has_queued($queued, "$what: enqueues");
    }
    # In other sessions.
    $case->sql("DELETE FROM ctms.pending_acoustic; BEGIN; $one PREPARE TRANSACTION 'c'");
    $case->sql("BEGIN; $two PREPARE TRANSACTION 'r'");
    $case->is($case->session->ask("COMMIT PREPARED 'c'; ROLLBACK PREPARED 'r'"), '',
        'another session: commits');
    $case->has_queued('1', 'another session: enqueues');
});

# ---- isolation levels ----------------------------------------------------------------------------

my %meanwhile = (
    'is enqueued' => [ '', change(1, 'child') ],
    'is claimed' => [ change(1), q{SELECT FROM ctms.claim_acoustic('b', 9, 6, '1 hour')} ],
    'is sent' => [ change(1), $all_sent ],
    'changes when it is leased' =>
        [ change(1) . q{SELECT FROM ctms.claim_acoustic('b', 9, 6, '1 hour')}, change(1, 'child') ],
);
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
    $cases->both("at $level, a contact" => sub {
        my ($case) = @_;
        my $session = $case->session;
        $session->ask('SET enable_seqscan = off;' . change(9));
        for my $what (sort keys %meanwhile)
        {
            my ($before, $other) = @{ $meanwhile{$what} };
            $case->sql("DELETE FROM ctms.pending_acoustic; $before");
            $session->ask("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM public.near");
            $case->sql($other);
            $case->is($session->ask(change(1) . 'COMMIT'), '', "$what meanwhile: commits");
            $case->has_queued('1', "$what meanwhile: is in the queue");
        }
    });
}

# Contacts that have nothing to do with each other: no conflict without the feed, none with it.
$cases->both('two SERIALIZABLE transactions' => sub {
    my ($case) = @_;
    $case->sql('ALTER TABLE ctms.emails SET (fillfactor = 20); VACUUM FULL ctms.emails');
    my @sessions = map { $case->session } 1, 2;
    for my $setting (qw(off on))
    {
        $case->sql(change(1) . change(2)) if $setting eq 'on';
        for my $round (1 .. 3)
        {
            my $n = 0;
            $_->ask("SET enable_seqscan = off; SET ctms.enqueue = $setting;
                BEGIN ISOLATION LEVEL SERIALIZABLE;" . change(++$n)) for @sessions;
            $case->is(join(' ', map { $_->ask('COMMIT') } @sessions), ' ',
                "commit with ctms.enqueue = $setting ($round)");
        }
    }
    $case->has_queued('1 2', 'and are enqueued');
});

# ---- numbers ------------------------------------------------------------------------------------

# Transactions with numbers n, n + 1 and n + 2 that change the contact in another order.
$cases->both('a generation' => sub {
    my ($case) = @_;
    my ($old, $new, $newest) = map { $case->session } 1 .. 3;
    my $claim = q{SELECT generation FROM ctms.claim_acoustic('a', 9, 6, '1 hour')};
    my $finish = sub { return $case->sql("SELECT ctms.finish_acoustic('a',
        ARRAY[" . contact(1) . "::uuid], ARRAY[$_[0]])") };
    $_->ask('BEGIN; SELECT pg_current_xact_id()') for $old, $new, $newest;
    $new->ask(change(1) . 'COMMIT');
    my @generations = $case->sql($claim);
    $old->ask(change(1, 'child') . 'COMMIT');
    $case->is($finish->($generations[0]), '0', 'of which the contact has changed is not finished');
    push @generations, $case->sql($claim);
    $case->is($finish->($generations[1]), '1', 'that is current is finished');
    $newest->ask(change(1) . 'COMMIT');
    push @generations, $case->sql($claim);
    my %seen = map { $_ => 1 } @generations;
    $case->is(scalar keys %seen, 3, 'never repeats');
    $case->is($finish->($generations[1]), '0', 'that was finished is not finished again');
    $case->gives($rows, '1', 'the new change is still to be sent');
});

$cases->both('generations of many changes' => sub {
    my ($case) = @_;
    $case->sql('CREATE TABLE public.generations (email_id uuid, g bigint);
        CREATE PROCEDURE public.many() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. 40 LOOP '
        . change(1) . change(2) . q{ COMMIT;
            INSERT INTO public.generations SELECT email_id, generation
                FROM ctms.claim_acoustic('a', 9, 6, '1 hour');
            IF i % 3 <> 0 THEN PERFORM ctms.finish_acoustic('a', array_agg(email_id),
                array_agg(generation)) FROM ctms.pending_acoustic;
            ELSE PERFORM ctms.release_acoustic('a'); END IF;
            COMMIT; END LOOP; END $$});
    $case->gives('CALL public.many(); SELECT count(*), count(*) - count(DISTINCT (email_id, g))
        FROM public.generations', '80|0', 'are all different');
});

$cases->both('lastval()' => sub {
    my ($case) = @_;
    $case->sql('CREATE SEQUENCE public.s START 1000');
    my $session = $case->session;
    $session->ask(change(1));
    $case->is($session->ask('SELECT lastval()'), 'ERROR:  55000', 'is not there by a change');
    $session->ask(q{SELECT nextval('public.s')});
    $case->is($session->ask(change(2) . 'SELECT lastval()'), '1000', "is the user's own");
    $case->sql($all_sent);
    $case->sql($all_sent);
    $case->is($session->ask('BEGIN;' . change(2) . 'COMMIT; SELECT lastval()'), '1000',
        'also when an agent waits');
    $session->ask($all_sent);
    $session->ask($all_sent);
    $case->is($session->ask('SELECT lastval()'), '1000', 'and after claims');
});

# ---- waking --------------------------------------------------------------------------------------

# How many notifications the session has got.
sub heard
{
    my ($agent) = @_;
    my $said = $agent->ask('SELECT 1');
    return scalar(() = $said =~ /"ctms_acoustic" received/g);
}

$cases->both('what is done to ctms._queue_flush' => sub {
    my ($case) = @_;
    $case->sql(q{CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE ''fired''; END';
        CREATE TRIGGER others AFTER INSERT ON ctms._queue_flush
            FOR EACH ROW EXECUTE FUNCTION public.refuse()});
    $case->gives(change(1), '', 'a trigger of others does not fire');
    $case->sql('ALTER TABLE ctms._queue_flush DISABLE TRIGGER ALL');
    $case->gives(change(2), '', 'with its trigger disabled: a change commits');
    $case->sql('VACUUM FULL ctms._queue_flush');
    $case->gives(change(3), '', 'written anew: a change commits');
    $case->has_queued('1 2 3', 'and all are enqueued');
    $case->sql('DELETE FROM ctms._queue_flush; TRUNCATE ctms._queue_flush;
        INSERT INTO ctms._queue_flush VALUES (true)');
    $case->gives(change(4), '', 'its row survives DELETE, TRUNCATE and a copy of itself');
    $case->sql('ALTER TABLE ctms._queue_flush DISABLE TRIGGER ALL; DELETE FROM ctms._queue_flush');
    $case->gives(change(5), 'ERROR:  55000', 'without its row: a change is refused, not lost');
    $case->sql('INSERT INTO ctms._queue_flush VALUES (true)');
    $case->gives(change(5), '', 'which the hint mends');
});

$cases->both('an agent' => sub {
    my ($case) = @_;
    my $agent = $case->session;
    my $wait = sub { $agent->ask("LISTEN ctms_acoustic; $all_sent; $all_sent"); heard($agent) };
    for my $kind (@changes)
    {
        $wait->();
        $case->sql(change(1, $kind));
        $case->is(heard($agent), 1, "that waits is woken ($kind)");
        $case->sql(change(2));
        $case->is(heard($agent), 0, "and then not again ($kind)");
    }
    $wait->();
    $case->sql('BEGIN;' . change(1) . 'ROLLBACK');
    $case->sql('BEGIN; SAVEPOINT s;' . change(1) . 'ROLLBACK TO s; COMMIT');
    $case->sql("BEGIN; SAVEPOINT s; $one $now ROLLBACK TO s; COMMIT");
    $case->sql('UPDATE ctms.emails SET first_name = first_name');
    $case->is(heard($agent), 0, 'is not woken for nothing');
    $wait->();
    $case->sql('ALTER TABLE ctms.pending_acoustic ADD CONSTRAINT no CHECK (email_id <> '
        . contact(3) . ')');
    $case->gives(change(3), 'ERROR:  23514', 'a commit fails');
    $case->is(heard($agent), 0, 'is not woken by a commit that fails');
    $case->sql("BEGIN; $one $two COMMIT");
    $case->is(heard($agent), 1, 'is woken by the next, once for two contacts');
    $wait->();
    $case->sql("BEGIN; $one $now $two COMMIT");
    $case->is(heard($agent), 1, 'is woken after SET CONSTRAINTS, once');
    # Only the last of two statements is rolled back.
    $wait->();
    $case->sql("BEGIN; $one SAVEPOINT s; $now $two ROLLBACK TO s; COMMIT");
    $case->is(heard($agent), 1, 'is woken when the queue was written and rolled back before');
});

$cases->both('PREPARE while an agent waits' => sub {
    my ($case) = @_;
    my $agent = $case->session;
    my $prepare = "PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'";
    my $enqueue = 'SELECT count(ctms.enqueue_contacts(ARRAY[' . contact(1) . '::uuid]));';
    my $delete = 'DELETE FROM ctms.newsletters WHERE email_id = ' . contact(4)
        . '; DELETE FROM ctms.emails WHERE email_id = ' . contact(4) . ';';
    $case->sql(q{SELECT ctms.set_setting('acoustic_deletions', 'on')});
    for my $try ([ 'a change', $one, '' ], [ 'of a child', change(2, 'child'), '' ],
        [ 'of a price', change(1, 'stripe'), '' ], [ 'after SET CONSTRAINTS', "$one $now", '' ],
        [ 'enqueue_contacts', $enqueue, '1' ], [ 'a deletion', $delete, '' ])
    {
        my ($what, $sql, $said) = @$try;
        $agent->ask("LISTEN ctms_acoustic; $all_sent; $all_sent");
        $case->gives("BEGIN; $sql $prepare", $said, "$what: works");
        $case->sql(q{ROLLBACK PREPARED 'p'; ROLLBACK});
        $case->is($agent->ask($all_sent) =~ /^[1-9]/ ? 1 : 0, 1, "$what: a claim finds it");
    }
    $case->sql(q{SELECT ctms.set_setting('acoustic_deletions', NULL)});
});

# ---- contacts that others update at the same time -----------------------------------------------

$cases->both('a contact whose row is written again and again' => sub {
    my ($case) = @_;
    my $dir = $PostgreSQL::Test::Utils::tmp_check;
    my $busy = change(1);
    my $change = change(1, 'child');

    $case->sql('CREATE TABLE public.missed (at timestamptz DEFAULT clock_timestamp())');
    open my $others, '>', "$dir/others.sql" or die $!;
    print $others "SET ctms.enqueue = off; $busy\n" =~ s/; /;\n/r;
    close $others;
    open my $changes, '>', "$dir/changes.sql" or die $!;
    print $changes "DELETE FROM ctms.pending_acoustic;\nDELETE FROM ctms.stripe_unresolved;\n",
        "$change\nINSERT INTO public.missed SELECT WHERE NOT EXISTS (\n",
        "    SELECT FROM ctms.pending_acoustic UNION ALL SELECT FROM ctms.stripe_unresolved);\n";
    close $changes;
    my @bench = ('pgbench', '-n', '-h', $node->host, '-p', $node->port);
    my ($out, $err, $other_out, $other_err) = ('') x 4;
    my $writers = IPC::Run::start([ @bench, '-c', 2, '-T', 600, '-f', "$dir/others.sql",
            $case->database ], '<', \'', '>', \$other_out, '2>', \$other_err);
    my $ok = IPC::Run::run([ @bench, '-t', 1500, '-f', "$dir/changes.sql", $case->database ],
        '<', \'', '>', \$out, '2>', \$err);
    $writers->signal('INT');
    eval { $writers->finish };
    $case->is($ok ? '' : $err, '', 'no commit fails');
    $case->gives('SELECT count(*) FROM public.missed', '0', 'each change is enqueued');
});

done_testing();
