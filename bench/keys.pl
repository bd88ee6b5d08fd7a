# What natural keys save: calls that write, in the tables as they are and in tables keyed by a
# number, as in older databases; by turns, in one run. Run by "make bench-keys".
#
# There are three databases with CTMS_BENCH_CONTACTS (100000), who have two newsletters and a
# waitlist each: "ctms" as the extension makes it; "numbers", where the key of what contacts have is
# "id", and what is the key now is unique beside it; and "queue_number", where the queue is like
# that. CTMS_BENCH_CALLS (2000) of each kind, each a transaction of its own, are for contacts
# anywhere, with ctms.direct_access on and off. A queue with a number is not written below the
# executor: it is by SQL then too.
#
# WAL is exact: records and bytes of a call, and those of full-page images when all calls follow a
# checkpoint. Processor time is the median of CTMS_BENCH_TURNS (6) turns, after one that does not
# count; the ratio is that of the pairs.
use strict;
use warnings;
use CTMS::Bench qw($PROCESSOR_US by_turns middle ratio setting);
use CTMS::BenchContacts qw(fill);
use Test::More;

my $contacts = setting(CONTACTS => 100_000);
my $calls = setting(CALLS => 2000);
my $turns = setting(TURNS => 6);
my $batch = 100;
die "ctms: $contacts contacts are too few for $calls calls\n" if $contacts < $calls;
my $bench = CTMS::Bench->new('bench_keys', conf => join "\n", 'synchronous_commit = off',
    'shared_buffers = 1GB', 'wal_keep_size = 16GB', 'autovacuum = off', 'log_min_messages = error',
    'bgwriter_lru_maxpages = 0', '');
my $node = $bench->node;

# ---- the databases ---------------------------------------------------------------------------

my %columns = (newsletters => 'email_id, name', waitlists => 'email_id, name',
    map { $_ => 'email_id' } qw(fxa amo mofo));
my %change = (
    numbers => join(';', map {
        "ALTER TABLE ctms.$_ ALTER id TYPE integer, DROP CONSTRAINT ${_}_pkey, ADD PRIMARY KEY (id),
            ADD UNIQUE ($columns{$_})"
    } sort keys %columns),
    queue_number => 'ALTER TABLE ctms.pending_acoustic DROP CONSTRAINT pending_acoustic_pkey,
        ADD id serial PRIMARY KEY, ADD UNIQUE (email_id)');
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE ctms") for sort keys %change;
$node->safe_psql($_, $change{$_}) for sort keys %change;

my %session;
for my $database ('ctms', sort keys %change)
{
    fill($bench, $database, $contacts);
    $node->safe_psql($database, <<"SQL");
$PROCESSOR_US
CREATE TABLE public.chosen AS
    SELECT row_number() OVER (ORDER BY md5(n::text)) AS place, email_id FROM public.ids;
ALTER TABLE public.chosen ADD PRIMARY KEY (place);
SQL
    $session{$database} = $node->background_psql($database);
    $session{$database}->set_query_timer_restart(1);
}
$bench->sql('CREATE EXTENSION pg_walinspect');

# ---- bytes -------------------------------------------------------------------------------------

sub show_bytes
{
    my ($tables, @databases) = @_;
    for my $database (@databases)
    {
        my @bytes = split /\|/, $node->safe_psql($database, <<"SQL");
SELECT sum(pg_table_size(t)) / $contacts, sum(pg_indexes_size(t)) / $contacts
FROM unnest('$tables'::regclass[]) AS t
SQL
        diag sprintf '%-34s %-12s %6.1f bytes a contact in tables, %6.1f in indexes', $tables,
            $database, @bytes;
    }
    return;
}

show_bytes('{ctms.newsletters,ctms.waitlists}', 'ctms', 'numbers');
for my $database ('ctms', 'queue_number')
{
    $node->safe_psql($database, <<"SQL");
DO \$\$ BEGIN
    FOR _first IN 1..$contacts BY 10000 LOOP
        PERFORM ctms.enqueue_contacts(array_agg(email_id ORDER BY n)) FROM public.ids
            WHERE n BETWEEN _first AND _first + 9999;
        COMMIT;
    END LOOP;
END \$\$
SQL
    $node->safe_psql($database, 'VACUUM ctms.pending_acoustic');
}
show_bytes('{ctms.pending_acoustic}', 'ctms', 'queue_number');

# ---- what is measured --------------------------------------------------------------------------
# The statement is run for each step of so many calls, _i being the last of them. _id is a contact
# somewhere, _ids are as many as a step has; _turn differs each time.

my $clear = 'SET ctms.enqueue = off; DELETE FROM ctms.pending_acoustic;
    VACUUM ctms.pending_acoustic; RESET ctms.enqueue';
my $wave = "SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM public.chosen
    WHERE place <= $calls";
my @measures = (
    [ numbers => 'create_contact, two newsletters, a waitlist' =>
        q{PERFORM ctms.create_contact('{"email": {"primary_email": "q' || _i || '_' || _turn ||
            '@example.com", "first_name": "First", "last_name": "Last", "mailing_country": "fr",
            "email_lang": "fr", "basket_token": "' || gen_random_uuid() || '"},
            "newsletters": [{"name": "mozilla-and-you", "lang": "fr"},
                {"name": "hubs", "lang": "fr"}],
            "waitlists": [{"name": "relay", "fields": {"geo": "fr"}}]}')}, 1 ],
    [ numbers => 'INSERT of a newsletter' =>
        q{INSERT INTO ctms.newsletters (email_id, name) VALUES (_id, 'n' || _turn)}, 1 ],
    [ numbers => 'patch_contact, a newsletter is left' => q{PERFORM ctms.patch_contact(_id,
        '{"newsletters": [{"name": "hubs", "subscribed": ' || _turn % 2 || '}]}')}, 1 ],
    [ queue_number => 'UPDATE of a name, new in the queue' =>
        q{UPDATE ctms.emails SET first_name = 'n' || _turn WHERE email_id = _id}, 1 ],
    [ queue_number => "a wave, by $batch, each contact" => 'PERFORM ctms.enqueue_contacts(_ids)',
        $batch ],
    [ queue_number => "claim $batch and finish them, each contact" => "PERFORM ctms.finish_acoustic(
        'bench', array_agg(email_id), array_agg(generation))
        FROM ctms.claim_acoustic('bench', $batch, 6, '1 hour')", $batch, $wave ]);

# ---- measuring -----------------------------------------------------------------------------------

sub make_procedure
{
    my ($database, $name, $statement, $step) = @_;
    $node->safe_psql($database, <<"SQL");
CREATE PROCEDURE public.$name(_turn int, INOUT us numeric) LANGUAGE plpgsql AS \$\$
DECLARE
    chosen uuid[] := ARRAY(SELECT email_id FROM public.chosen WHERE place <= $calls ORDER BY place);
    _id uuid;
    _ids uuid[];
    start numeric := public.processor_us();
BEGIN
    FOR _i IN $step..$calls BY $step LOOP
        _id := chosen[_i];
        IF $step > 1 THEN
            _ids := chosen[_i - $step + 1 : _i];
        END IF;
        $statement;
        COMMIT;
    END LOOP;
    us := (public.processor_us() - start) / $calls;
END \$\$;
SQL
    return;
}

sub measure_once
{
    my ($database, $name, $access, $before, $turn) = @_;
    my $session = $session{$database};
    # One at a time, because VACUUM must be.
    $session->query_safe($_) for split(/;\s*/, $clear), $before // (),
        "SET ctms.direct_access = $access", 'CHECKPOINT';
    my $start = $session->query_safe('SELECT pg_current_wal_insert_lsn()');
    my $us = $session->query_safe("CALL public.$name($turn, NULL)");
    my $end = $session->query_safe('SELECT pg_current_wal_insert_lsn()');
    die "no processor time: $us\n" if $us !~ /^[\d.]+$/ || $us <= 0;
    $session->query_safe('CHECKPOINT');
    my ($records, $bytes, $images) = map { $_ / $calls } split /\|/, $bench->sql(<<"SQL");
SELECT count(*), sum(record_length - fpi_length), sum(fpi_length)
FROM pg_get_wal_records_info('$start', pg_current_wal_flush_lsn()) WHERE start_lsn < '$end'
SQL
    return { us => $us, records => $records, bytes => $bytes, images => $images };
}

my $LINE = '%-44s %-3s %-12s %7s %6s %6s %6s  %s';
diag sprintf $LINE, 'a call', 'by', 'keys', 'records', 'bytes', 'images', 'us', 'ratio of us';
my $number = 0;
my %turn = (ctms => 0, map { $_ => 0 } keys %change);
for (@measures)
{
    my ($other, $what, $statement, $step, $before) = @$_;
    my $name = 'measure' . ++$number;
    make_procedure($_, $name, $statement, $step) for 'ctms', $other;
    for my $access (qw(on off))
    {
        # Each turn of a database has a number of its own, so that it makes rows of its own.
        my @ways = map {
            my $database = $_;
            sub { return measure_once($database, $name, $access, $before, $turn{$database}++) };
        } 'ctms', $other;
        $_->() for @ways;
        my ($now, $then) = by_turns($turns, @ways);
        for ([ ctms => $now, '' ], [ $other => $then, sprintf '%.2f', ratio($then, $now, 'us') ])
        {
            my ($keys, $result, $ratio) = @$_;
            diag sprintf $LINE, $what, $access eq 'on' ? 'C' : 'SQL', $keys,
                sprintf('%.2f', middle($result, 'records')),
                (map { sprintf '%.0f', middle($result, $_) } qw(bytes images)),
                sprintf('%.1f', middle($result, 'us')), $ratio;
        }
    }
}
$_->quit for values %session;
pass('measured');
done_testing();
