# The queue is written below the executor, or by SQL if ctms.direct_access is off or somebody has
# put triggers on it: the results are the same. Under many writers and two senders at once nothing
# is lost, nothing deadlocks and nothing is left over, either way.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('paths',
    conf => "max_prepared_transactions = 5\ndeadlock_timeout = 100ms");
my $node = $ctms->node;

# How sessions that begin from now on do it.
my %setting = ('below the executor' => 'on', 'by SQL' => 'off');
sub go { $ctms->sql("ALTER DATABASE ctms SET ctms.direct_access = $setting{$_[0]}"); return }

# ---- one after another ---------------------------------------------------------------

sub scenario
{
    $ctms->sql(q{
        DELETE FROM ctms.newsletters; DELETE FROM ctms.emails;
        DELETE FROM ctms.acoustic_deleted_contact;
        INSERT INTO ctms.emails (email_id, primary_email)
        SELECT format('00000000-0000-4000-8000-00000000000%s', n)::uuid, n || '@example.com'
            FROM generate_series(1, 9) AS n;
        UPDATE ctms.pending_acoustic SET create_timestamp = create_timestamp
            + right(email_id::text, 1)::int * interval '1 microsecond';
    });
    my @looks;
    my $look = sub {
        push @looks, $ctms->sql(q{SELECT right(email_id::text, 1), is_bulk, retry,
            last_error IS NULL, retry_after = 'infinity', lease_owner,
            lease_until IS NOT NULL, generation <> coalesce((SELECT o.generation FROM old o
                WHERE o.email_id = p.email_id), 0),
            create_timestamp > (SELECT o.create_timestamp FROM old o WHERE o.email_id = p.email_id)
            FROM ctms.pending_acoustic p ORDER BY 1;
            DROP TABLE old; CREATE TABLE old AS TABLE ctms.pending_acoustic});
    };
    $ctms->sql(q{DROP TABLE IF EXISTS old; CREATE TABLE old AS TABLE ctms.pending_acoustic});
    $look->();
    # Leased, failed, exhausted, released, gone.
    $ctms->sql(q{SELECT count(*) FROM ctms.claim_acoustic('a', 7, 6, '1 hour')});
    $ctms->sql(q{SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation))
        FROM ctms.pending_acoustic WHERE right(email_id::text, 1) IN ('1', '2')});
    $ctms->sql(q{SELECT ctms.fail_acoustic('a', array_agg(email_id),
        array_agg(generation), array_agg('e'::text), array_agg(right(email_id::text, 1) = '4'), 6)
        FROM ctms.pending_acoustic WHERE right(email_id::text, 1) IN ('3', '4')});
    $look->();
    # All change, by their own row and by others; one is deleted.
    $ctms->sql(q{
        BEGIN;
        UPDATE ctms.emails SET first_name = 'x' WHERE right(email_id::text, 1) <= '5';
        INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'n' FROM ctms.emails
            WHERE right(email_id::text, 1) IN ('5', '6');
        SAVEPOINT s;
        UPDATE ctms.emails SET first_name = 'y' WHERE right(email_id::text, 1) = '7';
        ROLLBACK TO s;
        UPDATE ctms.emails SET first_name = 'z' WHERE right(email_id::text, 1) IN ('8', '9');
        DELETE FROM ctms.emails WHERE right(email_id::text, 1) = '8';
        COMMIT});
    $look->();
    $ctms->sql(q{DELETE FROM ctms.newsletters});
    $ctms->sql(q{BEGIN; UPDATE ctms.emails SET last_name = 'p'; PREPARE TRANSACTION 'p'});
    $ctms->sql(q{COMMIT PREPARED 'p'});
    $look->();
    $ctms->sql(q{SELECT ctms.enqueue_contacts(array_agg(email_id) || gen_random_uuid())
        FROM ctms.emails});
    $look->();
    # One whose wait is over comes after those that never failed; one that comes back while
    # it is being sent waits for the end of that lease.
    my $claim = sub { push @looks, $ctms->sql(qq{SELECT right(email_id::text, 1), retry, state
        FROM ctms.claim_acoustic('b', $_[0], 6, '1 hour')}) };
    $ctms->sql(q{SELECT ctms.release_acoustic('a')});
    $ctms->sql(q{UPDATE ctms.pending_acoustic SET retry = 1, retry_after = '2000-01-01'
        WHERE right(email_id::text, 1) = '2';
        UPDATE ctms.pending_acoustic SET create_timestamp = '2000-01-01'
            WHERE right(email_id::text, 1) = '5'});
    $claim->(1);
    $ctms->sql(q{DELETE FROM ctms.emails WHERE right(email_id::text, 1) = '5';
        INSERT INTO ctms.emails (email_id, primary_email)
            VALUES ('00000000-0000-4000-8000-000000000005', '5@example.com')});
    $claim->(100);
    $ctms->sql(q{UPDATE ctms.acoustic_deleted_contact SET lease_until = '2000-01-01'});
    $claim->(100);
    $look->();
    # The lanes: a wave, of which some change, some are cancelled, and some are claimed.
    $ctms->sql(q{DELETE FROM ctms.pending_acoustic; DELETE FROM ctms.acoustic_deleted_contact;
        SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM ctms.emails;
        UPDATE ctms.pending_acoustic
            SET create_timestamp = '2000-01-01'::timestamptz + right(email_id::text, 1)::int
                * interval '1 second' WHERE right(email_id::text, 1) < 'a'});
    $claim->(1);
    $ctms->sql(q{UPDATE ctms.emails SET last_name = 'q' WHERE right(email_id::text, 1) < '4'});
    $look->();
    $ctms->sql(q{SELECT ctms.enqueue_contacts(array_agg(email_id), 'live') FROM ctms.emails
        WHERE right(email_id::text, 1) = '4'});
    $ctms->sql(q{SELECT ctms.cancel_acoustic(array_agg(email_id)) FROM ctms.emails
        WHERE right(email_id::text, 1) > '6'});
    $claim->(2);
    $claim->(100);
    $look->();
    return join "\n--\n", @looks;
}

my $others = 'CREATE TRIGGER others AFTER INSERT OR UPDATE ON ctms.pending_acoustic
    FOR EACH ROW EXECUTE FUNCTION see()';
my $directly = scenario();
like($directly, qr/^5\|f\|0\|t\|\|a\|t\|t\|/m,
    'a leased row that changes keeps its lease and gets a new generation');
go('by SQL');
is(scenario(), $directly, 'both ways give the same rows');
go('below the executor');
# Any trigger that is not ours makes ctms use SQL.
$ctms->sql(q{
    CREATE TABLE seen (n bigserial);
    CREATE FUNCTION see() RETURNS trigger
        LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen DEFAULT VALUES; RETURN NULL; END $$});
$ctms->sql($others);
is(scenario(), $directly, 'so does a trigger of others on the queue');
isnt($ctms->sql('SELECT count(*) FROM seen'), '0', 'which fires');
like($directly, qr/^2\|1\|new$/m, 'a failed row is claimed when its wait is over');
like($directly, qr/\n--\n5\|0\|new\n--\n/,
    'a contact that came back is claimed alone, when its old lease is over');
$ctms->sql('DROP TRIGGER others ON ctms.pending_acoustic');
is(scenario(), $directly, 'and again below the executor');

# Indexes that are not ours: a plain one is maintained below the executor, one on an expression by
# SQL.
my $has_amcheck = $ctms->sql(q{SELECT count(*) FROM pg_available_extensions
    WHERE name = 'amcheck'});
$ctms->sql('CREATE EXTENSION amcheck') if $has_amcheck;
sub has_whole_indexes
{
    my ($count, $name) = @_;
    SKIP: {
        skip 'amcheck is not installed', 1 if !$has_amcheck;
        is($ctms->sql(q{SELECT count(bt_index_check(indexrelid, true)) FROM pg_index
            WHERE indrelid = 'ctms.pending_acoustic'::regclass}), $count, $name);
    }
    return;
}
$ctms->sql('CREATE UNIQUE INDEX plain ON ctms.pending_acoustic (lease_owner, email_id)');
is(scenario(), $directly, 'the same with an index of others');
has_whole_indexes(3, 'whose entries are kept');
$ctms->sql('DROP INDEX ctms.plain;
    CREATE INDEX expression ON ctms.pending_acoustic ((retry + 1)) WHERE retry >= 0');
is(scenario(), $directly, 'and with one on an expression');
has_whole_indexes(3, 'whose entries are kept, too');
$ctms->sql('DROP INDEX ctms.expression');

# ---- rows that nobody has claimed -------------------------------------------------------------

# PREPARE stops a transaction in the middle of its commit, after the queue is written.
for my $way ('below the executor', 'by SQL')
{
    my $claim = q{SELECT count(*) FROM ctms.claim_acoustic('a', 10, 6, '1 hour')};
    my $row = 'SELECT ctid, generation FROM ctms.pending_acoustic';
    $ctms->sql(q{DELETE FROM ctms.emails; DELETE FROM ctms.acoustic_deleted_contact;
        INSERT INTO ctms.emails (email_id, primary_email)
            VALUES ('00000000-0000-4000-8000-000000000001', '1@example.com')});
    go($way);
    my $before = $ctms->sql($row);
    $ctms->sql(q{BEGIN; UPDATE ctms.emails SET first_name = 'x'; PREPARE TRANSACTION 'changing'});
    is($ctms->sql($row), $before, "$way: a change does not rewrite a row that nobody has claimed");
    is($ctms->sql($claim), '0', "$way: but keeps it from being claimed until it is committed");
    $ctms->sql(q{COMMIT PREPARED 'changing'});
    is($ctms->sql($claim), '1', "$way: and not longer");
    $before = $ctms->sql($row);
    $ctms->sql(q{UPDATE ctms.emails SET first_name = 'y'});
    isnt($ctms->sql($row), $before, "$way: one that was claimed is rewritten");
    $ctms->sql(q{SELECT ctms.release_acoustic('a')});
    $before = $ctms->sql($row);
    $ctms->sql(q{UPDATE ctms.emails SET first_name = 'z'});
    isnt($ctms->sql($row), $before, "$way: also when it was given back");
}
go('below the executor');

# ---- rows that are committed while those that connect them are -------------------------------

sub arrives
{
    my ($what, $first, $second) = @_;
    $ctms->sql(q{DELETE FROM ctms.stripe_subscription_item; DELETE FROM ctms.stripe_subscription;
        DELETE FROM ctms.stripe_customer; DELETE FROM ctms.stripe_price;
        DELETE FROM ctms.fxa; DELETE FROM ctms.emails; DELETE FROM ctms.acoustic_deleted_contact;
        INSERT INTO ctms.emails (email_id, primary_email)
            VALUES ('00000000-0000-4000-8000-000000000001', '1@example.com');
        INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active,
            currency) VALUES ('price', 'product', now(), true, 'usd')});
    my %rows = (
        fxa => q{INSERT INTO ctms.fxa (email_id, fxa_id)
            VALUES ('00000000-0000-4000-8000-000000000001', 'fxa')},
        customer => q{INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
            VALUES ('cus', 'fxa', now())},
        subscription => q{INSERT INTO ctms.stripe_subscription (stripe_id,
            stripe_customer_id, stripe_created, cancel_at_period_end, current_period_end,
            current_period_start, start_date, status)
            VALUES ('sub', 'cus', now(), false, now(), now(), now(), 'active')},
        item => q{INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id,
            stripe_price_id, stripe_created) VALUES ('item', 'sub', 'price', now())},
        price => q{UPDATE ctms.stripe_price SET unit_amount = 5});
    my $send = q{SELECT count(*) AS n, count(ctms.finish_acoustic('a', ARRAY[email_id],
        ARRAY[generation])) FROM ctms.claim_acoustic('a', 10, 6, '1 hour')};
    for my $row (grep { $_ ne $first && $_ ne $second } qw(fxa customer subscription item))
    {
        next if $row eq 'item' && $first eq 'subscription';
        $ctms->sql($rows{$row});
    }
    $ctms->sql($send);
    $ctms->sql("BEGIN; $rows{$first}; PREPARE TRANSACTION 'first'");
    $ctms->sql($rows{$second});
    $ctms->sql($send);
    $ctms->sql("COMMIT PREPARED 'first'");
    is($ctms->sql($send), '1|1', "$what: the contact is sent again");
    is($ctms->sql($send), '0|0', "$what: once");
    is($ctms->sql('SELECT count(*) FROM ctms.stripe_unresolved'), '0', "$what: nothing is left");
    return;
}

arrives('a customer while its contact', 'customer', 'fxa');
arrives('a subscription while its customer', 'subscription', 'customer');
arrives('a subscription while its contact', 'subscription', 'fxa');
arrives('a price while its subscription', 'price', 'item');

# A note that was left before belongs to the session that writes it again, until it commits.
{
    my $send = q{SELECT count(*) AS n, count(ctms.finish_acoustic('a', ARRAY[email_id],
        ARRAY[generation])) FROM ctms.claim_acoustic('a', 10, 6, '1 hour')};
    $ctms->sql(q{DELETE FROM ctms.stripe_subscription_item;
        UPDATE ctms.stripe_price SET unit_amount = 6});
    $ctms->sql(q{DELETE FROM ctms.pending_acoustic});
    is($ctms->sql('SELECT count(*) FROM ctms.stripe_unresolved'), '1', 'a price is left');
    $ctms->sql(q{BEGIN; UPDATE ctms.stripe_price SET unit_amount = 7; PREPARE TRANSACTION 'again'});
    $ctms->sql($send);
    $ctms->sql(q{INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id,
        stripe_price_id, stripe_created) VALUES ('item', 'sub', 'price', now())});
    is($ctms->sql($send), '1|1',
        'a subscription that comes before a price is committed is sent with the old one');
    $ctms->sql(q{COMMIT PREPARED 'again'});
    is($ctms->sql($send), '1|1', 'and with the new one');
    is($ctms->sql('SELECT count(*) FROM ctms.stripe_unresolved'), '0', 'which leaves nothing');
}

# A contact is locked while another session writes it, and after that.
{
    $ctms->sql(q{SET ctms.enqueue = off; BEGIN; UPDATE ctms.emails SET first_name = 'writing';
        PREPARE TRANSACTION 'writing'});
    # Not prepared: early minor releases of 17 lose row locks of prepared transactions.
    my $holding = $node->background_psql('ctms');
    $holding->query_safe(q{SET lock_timeout = '5s'; BEGIN; UPDATE ctms.stripe_subscription
        SET cancel_at_period_end = true; SET CONSTRAINTS ALL IMMEDIATE});
    $ctms->sql(q{COMMIT PREPARED 'writing'});
    is($ctms->sql_error(q{SET ctms.enqueue = off; SET lock_timeout = '100ms'; DELETE FROM ctms.fxa;
        DELETE FROM ctms.emails})->{state}, '55P03',
        'who is about to enqueue a contact keeps it from being deleted');
    $holding->query_safe('COMMIT');
    $holding->quit;
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), '1', 'and enqueues it');
}

# ---- many at once ----------------------------------------------------------------------

$ctms->sql(q{
    CREATE TABLE sent (email_id uuid, version text, newsletters bigint);
    CREATE PROCEDURE send(agent text, rounds integer) LANGUAGE plpgsql AS $$
    DECLARE
        ids uuid[];
        generations bigint[];
    BEGIN
        FOR round IN 1..rounds LOOP
            BEGIN
                SELECT array_agg(email_id), array_agg(generation) INTO ids, generations
                    FROM ctms.claim_acoustic(agent, 7, 6, '1 hour');
            EXCEPTION WHEN lock_not_available THEN
                ids = NULL; -- by SQL a claim gives up where it would have to wait
            END;
            COMMIT;
            INSERT INTO sent SELECT email_id, first_name, (SELECT count(*) FROM ctms.newsletters n
                WHERE n.email_id = e.email_id)
            FROM ctms.emails e WHERE email_id = ANY (ids);
            COMMIT;
            PERFORM ctms.finish_acoustic(agent, ids, generations);
            COMMIT;
        END LOOP;
    END $$;
});

# Two contacts of each transaction, in any order, by tables that share nothing but the queue.
# Contacts come and go meanwhile: a transaction that meets a deleted contact gives up that part.
$ctms->sql(q{
    CREATE FUNCTION contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid $$;
    CREATE FUNCTION write(a integer, b integer, kind integer) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        BEGIN
            CASE kind
            WHEN 1 THEN UPDATE ctms.emails SET first_name = (COALESCE(first_name,
                '0')::integer + 1)::text WHERE email_id = contact(a);
            WHEN 2 THEN INSERT INTO ctms.newsletters (email_id, name)
                VALUES (contact(a), 'n' || b) ON CONFLICT DO NOTHING;
            WHEN 3 THEN DELETE FROM ctms.newsletters
                WHERE email_id = contact(a) AND name = 'n' || b;
            WHEN 4 THEN UPDATE ctms.stripe_price SET unit_amount = COALESCE(unit_amount, 0) + 1
                WHERE stripe_id = 'price';
            WHEN 6 THEN INSERT INTO ctms.emails (email_id, primary_email, first_name)
                VALUES (contact(9 + a % 4), (9 + a % 4) || '@example.com', '0')
                ON CONFLICT DO NOTHING;
            WHEN 5 THEN UPDATE ctms.newsletters SET source = COALESCE(source, '') || 'x'
                WHERE email_id = contact(a) AND name = 'n' || b;
            ELSE
                PERFORM FROM ctms.emails WHERE email_id = contact(9 + a % 4) FOR UPDATE;
                DELETE FROM ctms.newsletters WHERE email_id = contact(9 + a % 4);
                DELETE FROM ctms.waitlists WHERE email_id = contact(9 + a % 4);
                DELETE FROM ctms.fxa WHERE email_id = contact(9 + a % 4);
                DELETE FROM ctms.emails WHERE email_id = contact(9 + a % 4);
                RETURN;
            END CASE;
        EXCEPTION WHEN foreign_key_violation THEN NULL;
        END;
        BEGIN
            INSERT INTO ctms.waitlists (email_id, name)
                VALUES (contact(b), 'w' || a) ON CONFLICT DO NOTHING;
        EXCEPTION WHEN foreign_key_violation THEN NULL;
        END;
    END $$;
});
my $script = "$PostgreSQL::Test::Utils::tmp_check/writers.sql";
append_to_file($script, q{
\set a random(1, 12)
\set b random(1, 12)
\set kind random(1, 7)
SELECT write(:a, :b, :kind);
});

sub stress
{
    my ($how) = @_;
    $ctms->sql(q{
        DELETE FROM ctms.newsletters; DELETE FROM ctms.waitlists; DELETE FROM ctms.fxa;
        DELETE FROM ctms.emails; DELETE FROM ctms.acoustic_deleted_contact; DELETE FROM sent;
        DELETE FROM ctms.stripe_subscription_item; DELETE FROM ctms.stripe_subscription;
        DELETE FROM ctms.stripe_price; DELETE FROM ctms.stripe_customer;
        INSERT INTO ctms.emails (email_id, primary_email)
            SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid,
            n || '@example.com' FROM generate_series(1, 12) AS n;
        INSERT INTO ctms.fxa (email_id, fxa_id) SELECT email_id, primary_email FROM ctms.emails;
        INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active,
            currency) VALUES ('price', 'product', now(), true, 'usd');
        INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
            SELECT fxa_id, fxa_id, now() FROM ctms.fxa;
        INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
            cancel_at_period_end, current_period_end, current_period_start, start_date, status)
        SELECT fxa_id, fxa_id, now(), false, now(), now(), now(), 'active' FROM ctms.fxa;
        INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id,
            stripe_price_id, stripe_created) SELECT fxa_id, fxa_id, 'price', now() FROM ctms.fxa;
    });
    my $log_start = -s $node->logfile;
    my @handles = map {
        my $agent = $_;
        IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('ctms'),
                '-c', "CALL send('$agent', 1500)" ], '<', \'', '>&', \my $out);
    } qw(a b);
    my ($out, $err);
    my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port,
            '-c', 8, '-j', 2, '-t', 250,
        '-f', $script, '--max-tries=20', 'ctms' ], '<', \'', '>', \$out, '2>', \$err);
    ok($ok, "$how: the writers went through") or diag substr($err, 0, 2000);
    unlike($out . $err, qr/failed: [1-9]|aborted/, "$how: without an error");
    ok($_->finish, "$how: the senders went through") for @handles;
    $ctms->sql(q{CALL send('c', 30)});
    my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start);
    # A session that deletes a contact may meet one that writes the contact's other rows first, with
# or without a queue.
    my @deadlocks = grep { !/write\(\d+, \d+, 7\)/ } $log =~ /deadlock detected\n(.*?)HINT/gs;
    is(join('', @deadlocks), '', "$how: no deadlock");
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), '0', "$how: the queue is empty");
    is($ctms->sql(q{
        SELECT string_agg(email_id::text, ' ') FROM ctms.emails e
        WHERE NOT EXISTS (SELECT FROM sent s
            WHERE s.email_id = e.email_id AND s.version IS NOT DISTINCT FROM e.first_name
            AND s.newsletters = (SELECT count(*) FROM ctms.newsletters n
                WHERE n.email_id = e.email_id))}),
        '', "$how: each contact was sent as it is now");
    is($ctms->sql(q{SELECT count(*) FROM ctms.pending_acoustic p
        WHERE NOT EXISTS (SELECT FROM ctms.emails e WHERE e.email_id = p.email_id)}),
        '0', "$how: no queue row without a contact");
    has_whole_indexes(2, "$how: the indexes are whole");
    return;
}

for my $way ('below the executor', 'by SQL')
{
    go($way);
    stress($way);
}
go('below the executor');

# ---- errors at commit ----------------------------------------------------------------------

my $holder = $node->background_psql('ctms');
$holder->query_safe(q{BEGIN; UPDATE ctms.pending_acoustic SET retry = retry;
    SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM ctms.emails});
my $error = $ctms->sql_error(q{SET lock_timeout = '100ms';
    UPDATE ctms.emails SET first_name = 'waits' WHERE primary_email = '1@example.com'});
is($error->{state}, '55P03', 'a commit that may not wait for the queue fails as a whole');
$holder->query_safe('COMMIT');
$holder->quit;
isnt($ctms->sql(q{SELECT first_name FROM ctms.emails WHERE primary_email = '1@example.com'}),
    'waits', 'and leaves nothing');
is($ctms->sql(q{UPDATE ctms.emails SET first_name = 'after' WHERE primary_email = '1@example.com'
    RETURNING first_name}), 'after', 'the next one is not disturbed');

done_testing();
