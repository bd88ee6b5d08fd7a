# What the Acoustic queue costs; run by "make bench-queue". CTMS_BENCH_PARTS are:
#   feed    writers with the triggers next to writers without, to an agent that is notified all
#           the time, and to a NOTIFY in each transaction; on each of CTMS_BENCH_DISKS
#   depth   processor time of claim, finish, backlog and a change: few waiting, and very many
#   lanes   processor time of claim and change for live contacts: with no wave, with one of very
#           many waiting, and when it was cancelled while a long transaction keeps vacuum away
#   drain   the sizes after very many were sent while others changed
#   dump    sending while a long transaction keeps vacuum away
#   history a change, claim and finish without and with what the history keeps, and their WAL
#   rows    how fast contacts are rendered
#   restore a dump of 100,000 contacts brought back: what is enqueued
#
# CTMS_BENCH_CONTACTS (1000000), CTMS_BENCH_SESSIONS (32), CTMS_BENCH_SECONDS (2) for each
# measurement of "feed", after one that does not count, CTMS_BENCH_TURNS (6; 16 for a ratio to rely
# on).
use strict;
use warnings;
use CTMS::Bench qw($PROCESSOR_US by_turns middle ratio setting spew);
use CTMS::BenchContacts qw($FUNCTIONS);
use CTMS::BenchLoad qw(pgbench);
use CTMS::Test qw(slurp);
use IPC::Run;
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(sleep time);

my $contacts = setting(CONTACTS => 1_000_000);
my $sessions = setting(SESSIONS => 32);
my $seconds = setting(SECONDS => 2);
my $turns = setting(TURNS => 6);
my %run = (feed => \&feed, depth => \&depth, lanes => \&lanes, drain => \&drain,
    dump => \&dump_meanwhile, history => \&history, rows => \&rows, restore => \&restore);
my @parts = split /,/, setting(PARTS => 'feed,depth,lanes,drain,dump,history,rows,restore');
my @unknown = grep { !$run{$_} } @parts;
die "ctms: no such part: @unknown\n" if @unknown;
die "ctms: nothing to measure\n" if !@parts;

my $bench = CTMS::Bench->new('bench_queue',
    conf => "shared_buffers = 512MB\nautovacuum_naptime = 5s\n");
my $node = $bench->node;
my $setup = $FUNCTIONS . $PROCESSOR_US . slurp("$ENV{CTMS_TEST_TOP}/bench/queue/setup.sql");
$bench->sql($setup);
$bench->sql("SET ctms.enqueue = off; INSERT INTO ctms.emails (email_id, primary_email)
    SELECT public.id_of(n), public.address_of(n) FROM generate_series(1, $contacts) AS n;
    VACUUM ANALYZE");

sub put
{
    my ($what, $figures) = @_;
    diag sprintf '%-58s %s', $what, $figures;
    return;
}
sub clear { $bench->sql('DELETE FROM ctms.pending_acoustic; VACUUM ctms.pending_acoustic'); return }
sub enqueue
{
    my ($count, $database, $lane) = @_;
    $lane //= 'live';
    $node->safe_psql($database // 'ctms',
        "SELECT ctms.enqueue_contacts(array_agg(public.id_of(n)), '$lane')
        FROM generate_series(1, $count) AS n; VACUUM ANALYZE ctms.pending_acoustic");
    return;
}
sub refill { my ($count) = @_; clear(); enqueue($count); return }

# Ends a program by its sessions, which must be there still.
sub stop_beside
{
    my ($program, $who) = @_;
    my $ended = $bench->sql(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'beside'});
    die "ctms: $who has ended\n" if !$ended;
    IPC::Run::finish($program);
    return;
}

# ---- feed ----------------------------------------------------------------------------------------

# A contact changes, as a PATCH does it: its update_timestamp moves. Triggers are off for sessions
# in the replication role "replica", so that nothing else differs.
sub writers
{
    my ($options) = @_;
    local $ENV{PGOPTIONS} = $options;
    return pgbench($bench, clients => $sessions, seconds => $seconds, contacts => $contacts,
        script => 'UPDATE ctms.emails SET first_name = :r, update_timestamp = clock_timestamp()
        WHERE email_id = public.id_of(:n);');
}
sub without { return writers('-c session_replication_role=replica') }
sub with { return writers('') }
sub with_new { clear(); return writers('') }

sub compare
{
    my ($what, $with) = @_;
    my ($none, $some) = by_turns($turns, \&without, $with);
    put("$what: without, with", sprintf '%.0f/s, %.0f/s, %.2f', middle($none, 'rate'),
        middle($some, 'rate'), ratio($some, $none, 'rate'));
    return;
}

# An agent that goes idle again soon after each notification, 20 times a second at most: with
# requests that take 100 ms it has more to do than that. Like a real one it holds no snapshot while
# it waits.
sub start_idle_agent
{
    my $in = <<'SQL';
LISTEN ctms_acoustic;
SELECT nextval('ctms.acoustic_idle_seq') FROM ctms.acoustic_idle_seq
WHERE last_value % 2 = 0 OR NOT is_called \watch 0.05
SQL
    return IPC::Run::start([ 'psql', '-XAtq', '-d', $bench->db_url . '&application_name=beside' ],
        '<', \$in, '>', '/dev/null', '2>', \my $err);
}

sub feed
{
    # Foreign keys are no part of the feed: their triggers fire in either role.
    $bench->sql(q{DO $$ DECLARE key name; BEGIN
        FOR key IN SELECT tgname FROM pg_trigger
            WHERE tgrelid = 'ctms.emails'::regclass AND tgisinternal LOOP
            EXECUTE format('ALTER TABLE ctms.emails ENABLE ALWAYS TRIGGER %I', key);
        END LOOP; END $$});
    for my $disk ($bench->disks)
    {
        $bench->use_disk($disk);
        feed_on_disk();
    }
    return;
}

sub feed_on_disk
{
    my $timestamp = 'TRIGGER ctms_emails_update_timestamp';
    refill($contacts);
    $bench->sql("ALTER TABLE ctms.emails ENABLE $timestamp");
    compare('all triggers, contacts that wait already', \&with);
    # The one that sets update_timestamp is not the feed: now it fires in both.
    $bench->sql("ALTER TABLE ctms.emails ENABLE ALWAYS $timestamp");
    compare(q{the feed's alone, contacts that wait already}, \&with);
    my $agent = start_idle_agent();
    compare(q{the feed's alone, an agent that goes idle again and again}, \&with);
    stop_beside($agent, 'the agent that goes idle');
    compare(q{the feed's alone, contacts that do not wait yet}, \&with_new);
    $bench->sql('CREATE FUNCTION public.notify() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN NOTIFY bench; RETURN NULL; END $$;
        CREATE TRIGGER always AFTER UPDATE ON ctms.emails EXECUTE FUNCTION public.notify()');
    refill($contacts);
    compare(q{the feed's, and a NOTIFY each}, \&with);
    $bench->sql('DROP FUNCTION public.notify() CASCADE');
    return;
}

# ---- depth ---------------------------------------------------------------------------------------

# Claims and finishes batches; returns the processor time per contact of either, and how many. Those
# of before, by the same session, do not count.
sub send_batches
{
    my ($database, $batches, $size, $before) = @_;
    my $call = sub { "CALL send($_[0], $size, NULL, NULL, NULL)" };
    my ($last) = reverse split /\n/, $node->safe_psql($database, join '; ',
        'SET synchronous_commit = off', map { $call->($_) } $before // (), $batches);
    my ($claim, $finish, $sent) = split /\|/, $last;
    die "ctms: nothing was sent\n" if !$sent;
    return ($claim / $sent, $finish / $sent, $sent);
}

sub measure_depth
{
    my ($database) = @_;
    my $first = $bench->{next_change}{$database}++ * 500 + 1;
    send_batches($database, 2, 100);
    my ($claim, $finish) = send_batches($database, 5, 100);
    my ($change, $ask) = split /\n/, $node->safe_psql($database, "SET synchronous_commit = off;
        CALL change($first, 500, NULL); CALL ask(20, NULL)");
    return { claim => $claim, finish => $finish, change => $change, ask => $ask };
}

# The least of all turns: what is more was somebody else.
sub depth
{
    refill($contacts);
    $node->safe_psql('postgres', 'CREATE DATABASE few TEMPLATE ctms');
    $node->safe_psql('few', 'DELETE FROM ctms.pending_acoustic
        WHERE email_id > public.id_of(1000)');
    $node->safe_psql($_, 'VACUUM FULL ctms.pending_acoustic; ANALYZE') for qw(few ctms);
    my ($few, $many) = by_turns($turns, sub { enqueue(1000, 'few'); measure_depth('few') },
        sub { measure_depth('ctms') });
    my %name = (claim => 'claim, per contact in batches of 100', finish => 'finish, per contact',
        change => 'change and commit', ask => 'backlog');
    for (qw(claim finish change ask))
    {
        my ($one, $other) = map { min(@$_) } $few->{$_}, $many->{$_};
        put("$name{$_}: 1000, $contacts waiting", sprintf '%.1f us, %.1f us, %.2f', $one, $other,
            $other / $one);
    }
    $node->safe_psql('postgres', 'DROP DATABASE few');
    return;
}

# ---- lanes ---------------------------------------------------------------------------------------

# Live contacts arrive, and are sent, by a session that knows already where the dead entries end.
sub measure_live
{
    my ($database) = @_;
    my $first = $bench->{next_change}{$database}++ * 500 + 1;
    my $change = $node->safe_psql($database, "SET synchronous_commit = off;
        CALL change($first, 500, NULL)");
    my ($claim, $finish) = send_batches($database, 4, 80, 2);
    return { claim => $claim, finish => $finish, change => $change };
}

sub compare_live
{
    my ($what) = @_;
    my ($none, $wave) = by_turns($turns, sub { measure_live('none') },
        sub { measure_live('ctms') });
    for (qw(claim finish change))
    {
        my ($one, $other) = map { min(@$_) } $none->{$_}, $wave->{$_};
        put("$_, per live contact: no wave, $what", sprintf '%.1f us, %.1f us, %.2f', $one, $other,
            $other / $one);
    }
    return;
}

sub lanes
{
    clear();
    $node->safe_psql('postgres', 'CREATE DATABASE none TEMPLATE ctms');
    enqueue($contacts, 'ctms', 'bulk');
    $node->safe_psql($_, 'VACUUM FULL ctms.pending_acoustic; ANALYZE') for qw(none ctms);
    compare_live("$contacts in bulk");
    my $dumper = $node->background_psql('ctms');
    $dumper->query_safe($_) for 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1';
    1 while $bench->sql('SELECT ctms.cancel_acoustic(batch_limit => 100000)') > 0;
    compare_live("$contacts dead entries");
    $dumper->query_safe('COMMIT');
    $dumper->quit;
    $node->safe_psql('postgres', 'DROP DATABASE none');
    return;
}

# ---- drain ---------------------------------------------------------------------------------------

sub start_changes
{
    my $script = "$ENV{TESTDIR}/change.sql";
    spew($script, "\\set n random(1, $contacts)\n\\set r random(1, 1000000000)\n"
        . "UPDATE ctms.emails SET first_name = :r WHERE email_id = public.id_of(:n);\n");
    return IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-c', 2, '-R', 200, '-T', 100_000,
            '-f', $script, $bench->db_url . '&application_name=beside' ], '<', \'', '>&', \my $out);
}

sub drain
{
    refill($contacts);
    put("before: $contacts waiting", $bench->sql('SELECT queue_size()'));
    my $writer = start_changes();
    my $begun = time;
    my ($claim, $finish, $sent) = send_batches('ctms', 1_000_000, 500);
    put('sent in batches of 500', sprintf '%d in %.0f s, %.1f us of processor time each', $sent,
        time - $begun, $claim + $finish);
    put('after, 200 changes a second meanwhile', $bench->sql('SELECT queue_size()'));
    sleep 30;
    send_batches('ctms', 1_000_000, 500);
    put('half a minute later', $bench->sql('SELECT queue_size()'));
    stop_beside($writer, 'who changes contacts');
    return;
}

# ---- dump ----------------------------------------------------------------------------------------

# Each fifth of the work in a session of its own.
sub dump_meanwhile
{
    my $many = min($contacts, 100_000);
    clear();
    $bench->sql("SET synchronous_commit = off; CALL change(1, $many, NULL)");
    $bench->sql('VACUUM ANALYZE ctms.pending_acoustic');
    my $dumper = $node->background_psql('ctms');
    $dumper->query_safe($_) for 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1';
    for my $part (1 .. 5)
    {
        my ($claim, $finish) = send_batches('ctms', int($many / 512), 100);
        put("claim + finish, per contact, $part of 5", sprintf '%.1f + %.1f us', $claim, $finish);
    }
    $dumper->query_safe('COMMIT');
    $dumper->quit;
    return;
}

# ---- history -------------------------------------------------------------------------------------

# Contacts change, each in a transaction, and are sent: the whole way of a contact.
sub go_whole_way
{
    my ($kept) = @_;
    my $count = 500;
    my $first = $bench->{next_change}{ctms}++ * $count % ($contacts - $count) + 1;
    $bench->set(%$kept);
    my $wal = $bench->sql('SELECT pg_current_wal_insert_lsn()');
    my $change = $bench->sql("SET synchronous_commit = off; CALL change($first, $count, NULL)");
    my ($claim, $finish, $sent) = send_batches('ctms', 10, 100);
    die "ctms: $sent were sent\n" if $sent != $count;
    my $bytes = $bench->sql("SELECT pg_current_wal_insert_lsn() - '$wal'");
    return { finish => $finish, whole => $change + $claim + $finish, bytes => $bytes / $count };
}

sub history
{
    clear();
    my @kept = ({ acoustic_history_age => '0' },
        { acoustic_history_age => '30d', acoustic_history_sent => 'off' },
        { acoustic_history_age => '30d', acoustic_history_sent => 'on' });
    go_whole_way($_) for @kept;
    $bench->sql('CHECKPOINT');
    my @way = by_turns($turns, map { my $kept = $_; sub { go_whole_way($kept) } } @kept);
    my %name = (finish => 'finish, per contact, us', whole => 'change, claim and finish, us',
        bytes => 'their WAL, bytes');
    for my $figure (qw(finish whole bytes))
    {
        put("$name{$figure}: no history, failures, all", sprintf '%.1f, %.1f (%.2f), %.1f (%.2f)',
            middle($way[0], $figure),
            map { (middle($way[$_], $figure), ratio($way[$_], $way[0], $figure)) } 1, 2);
    }
    return;
}

# ---- rows ----------------------------------------------------------------------------------------

sub rows
{
    my $each = 'FROM generate_series(1, 20000) AS n';
    die "ctms: rows needs 20000 contacts\n" if $contacts < 20_000;
    $bench->sql(<<"SQL");
SET ctms.enqueue = off;
INSERT INTO ctms.newsletters (email_id, name, subscribed) SELECT public.id_of(n), name, true
    $each, unnest(ARRAY['mozilla-and-you', 'hubs', 'test-pilot']) AS name;
INSERT INTO ctms.waitlists (email_id, name, fields)
    SELECT public.id_of(n), 'vpn', '{"geo": "fr"}' $each;
INSERT INTO ctms.fxa (email_id, fxa_id, created_date)
    SELECT public.id_of(n), n, '2021-01-01T00:00:00Z' $each;
ANALYZE;
SQL
    my (undef, $us) = split /\n/, $bench->sql('SELECT count(*)
        FROM ctms.acoustic_rows(ARRAY[public.id_of(1)]); CALL render(200, NULL)');
    put('rendering, per contact of 5 rows, batches of 100', "$us us");
    return;
}

# ---- restore -------------------------------------------------------------------------------------

sub restore
{
    $node->safe_psql('postgres', "CREATE DATABASE $_") for qw(source target);
    $node->safe_psql('source', "CREATE EXTENSION ctms; $setup");
    $node->safe_psql('source', q{
        INSERT INTO ctms.emails (email_id, primary_email)
            SELECT public.id_of(n), public.address_of(n) FROM generate_series(1, 100000) AS n;
        INSERT INTO ctms.newsletters (email_id, name)
            SELECT public.id_of(n), 'hubs' FROM generate_series(1, 100000) AS n;
        DELETE FROM ctms.pending_acoustic WHERE email_id > public.id_of(7)});
    my $begun = time;
    my ($out, $err) = ('', '');
    IPC::Run::run([ 'pg_dump', '-d', $bench->db_url('source') ], '|',
        [ qw(psql -qXv ON_ERROR_STOP=1 -d), $bench->db_url('target') ], '>', \$out, '2>', \$err)
        or die "ctms: no restore: $err\n";
    put('100,000 contacts dumped and restored in', sprintf '%.1f s', time - $begun);
    put('contacts; in the queue; these were in the dump', join '; ',
        (map { $node->safe_psql('target', "SELECT count(*) FROM ctms.$_") }
            qw(emails pending_acoustic)), 7);
    $node->safe_psql('postgres', "DROP DATABASE $_") for qw(source target);
    return;
}

for (@parts)
{
    diag "-- $_";
    $run{$_}->();
}
my @errors = grep { !/terminating connection due to administrator/ }
    slurp($node->logfile) =~ /(?:ERROR|FATAL|PANIC):.*/g;
is(join("\n", @errors), '', 'the server has reported no errors');
done_testing();
