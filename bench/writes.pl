# What a write costs: WAL by kinds of records, and processor time. Run by "make bench-writes".
#
# CTMS_BENCH_CONTACTS (200000) are there, stored one after the other with the ids that the tables
# give them. Each call is a transaction of its own, for a contact somewhere among them, made by a
# procedure in one session. The cluster is durable, but no commit waits for the disk, which would
# change no figure. Full-page images depend on how many calls share a checkpoint, so they stand
# apart: CTMS_BENCH_CALLS (2000) of each kind follow one. CTMS_BENCH_COMPRESSION is a value of
# wal_compression. Bytes and records are exact; the processor time is the lowest of
# CTMS_BENCH_TURNS (3) turns.
use strict;
use warnings;
use CTMS::Bench qw($PROCESSOR_US setting);
use List::Util qw(min sum0);
use Test::More;

my $contacts = setting(CONTACTS => 200_000);
my $calls = setting(CALLS => 2000);
my $turns = setting(TURNS => 3);
my $compression = setting(COMPRESSION => 'off');
my $ctms = CTMS::Bench->new('bench_writes', conf => join "\n", 'synchronous_commit = off',
    'shared_buffers = 1GB', 'wal_keep_size = 16GB', 'autovacuum = off',
    "wal_compression = $compression", 'bgwriter_lru_maxpages = 0', 'log_min_messages = error', '');
my $node = $ctms->node;

$ctms->sql(<<"SQL");
CREATE EXTENSION pg_walinspect;
$PROCESSOR_US
CREATE TABLE contact (n bigint, email_id uuid);
SET ctms.enqueue = off;
WITH new AS (
    INSERT INTO ctms.emails (primary_email, first_name, last_name, basket_token, mailing_country,
            email_lang, update_timestamp)
        SELECT 'u' || n || '\@example.com', 'First', 'Last', gen_random_uuid()::text, 'fr', 'fr',
            '2024-01-01Z'::timestamptz + n * interval '1 second'
        FROM generate_series(1, $contacts) AS n
    RETURNING substr(split_part(primary_email, '\@', 1), 2)::bigint, email_id)
INSERT INTO contact SELECT * FROM new;
INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
    SELECT email_id, (ARRAY['mozilla-and-you', 'hubs'])[k], true, 'fr', 'https://www.example.com/'
    FROM contact, generate_series(1, 2) AS k ORDER BY n, k;
INSERT INTO ctms.waitlists (email_id, name, fields)
    SELECT email_id, 'relay', '{"geo": "fr"}' FROM contact ORDER BY n;
INSERT INTO ctms.fxa (email_id, fxa_id, primary_email)
    SELECT email_id, 'fxa' || n, 'f' || n || '\@example.com'
    FROM contact WHERE n <= $calls ORDER BY n;
CREATE TABLE chosen AS SELECT row_number() OVER (ORDER BY random()) AS n, email_id FROM contact;
CREATE INDEX ON chosen (n);
SQL
$ctms->sql('VACUUM ANALYZE');

# ---- writes -----------------------------------------------------------------------------------

my $customer = q{{"object": "customer", "id": "cus_' || n || '", "created": 1600000000,
    "description": "fxa' || n || '", "default_source": null,
    "invoice_settings": {"default_payment_method": null}}};
my @writes = (
    [ 'nothing, and its commit' => 'NULL' ],
    [ 'POST /ctms, an address alone' => q{PERFORM ctms.create_contact(
        '{"email": {"primary_email": "p' || n || '_' || turn || '@example.com"}}')} ],
    [ 'POST /ctms, two newsletters, a waitlist' => q{PERFORM ctms.create_contact(
        '{"email": {"primary_email": "q' || n || '_' || turn || '@example.com",
            "first_name": "First", "last_name": "Last", "mailing_country": "fr", "email_lang": "fr",
            "basket_token": "' || gen_random_uuid() || '"},
          "newsletters": [{"name": "mozilla-and-you", "lang": "fr"},
            {"name": "hubs", "lang": "fr"}],
          "waitlists": [{"name": "relay", "fields": {"geo": "fr"}}]}')} ],
    [ 'PATCH /ctms, a name' => q{PERFORM ctms.patch_contact(id,
        '{"email": {"first_name": "' || n || '_' || turn || '"}}')} ],
    [ 'PATCH /ctms, a newsletter is left' => q{PERFORM ctms.patch_contact(id,
        '{"newsletters": [{"name": "hubs", "subscribed": ' || turn % 2 || '}]}')} ],
    [ 'PATCH /ctms, a newsletter is added' => q{PERFORM ctms.patch_contact(id,
        '{"newsletters": [{"name": "n' || turn || '"}]}')} ],
    [ 'POST /stripe, a new customer' => "PERFORM ctms.upsert_stripe(('$customer')::jsonb)",
        'TRUNCATE ctms.stripe_customer' ]);

my $session = $node->background_psql('ctms');

sub measure
{
    my ($number, $statement, $before) = @_;
    my $wal = '';
    my @us;
    $ctms->sql(<<"SQL");
CREATE PROCEDURE measure$number(turn int, INOUT us numeric) LANGUAGE plpgsql AS \$\$
DECLARE
    ids uuid[] := ARRAY(SELECT email_id FROM chosen WHERE chosen.n <= $calls ORDER BY chosen.n);
    id uuid;
    start numeric := processor_us();
BEGIN
    FOR n IN 1..$calls LOOP
        id := ids[n];
        $statement;
        COMMIT;
    END LOOP;
    us := (processor_us() - start) / $calls;
END \$\$;
SQL
    for my $turn (0 .. $turns)
    {
        $session->query_safe($_) for 'SET ctms.enqueue = off', $before // (), 'RESET ctms.enqueue',
            'DELETE FROM ctms.pending_acoustic', 'VACUUM ctms.pending_acoustic', 'CHECKPOINT';
        my $start = $session->query_safe('SELECT pg_current_wal_insert_lsn()');
        my $us = $session->query_safe("CALL measure$number($turn, NULL)");
        my $end = $session->query_safe('SELECT pg_current_wal_insert_lsn()');
        die "no processor time: $us\n" if $us !~ /^[\d.]+$/;
        push @us, $us if $turn > 0;
        next if $turn < $turns || $start eq $end;
        $session->query_safe('CHECKPOINT');
        $wal = $ctms->sql(<<"SQL");
SELECT resource_manager || ' ' || record_type, count(*), sum(record_length - fpi_length),
    sum(fpi_length)
FROM pg_get_wal_records_info('$start', pg_current_wal_flush_lsn())
WHERE start_lsn < '$end' GROUP BY 1 ORDER BY 1
SQL
    }
    return (min(@us), map { [ split /\|/ ] } split /\n/, $wal);
}

my $number = 0;
for (@writes)
{
    my ($name, $statement, $before) = @$_;
    my ($us, @kinds) = measure(++$number, $statement, $before);
    diag sprintf '%-44s %9s %9s %9s', $name, 'records', 'bytes', 'images';
    diag sprintf '  %-42s %9.2f %9.0f %9.0f', $_->[0], map { $_ / $calls } @$_[ 1 .. 3 ] for @kinds;
    diag sprintf '  %-42s %9.2f %9.0f %9.0f  %.0f us', 'all', (map {
        my $field = $_;
        sum0(map { $_->[$field] } @kinds) / $calls;
    } 1 .. 3), $us;
}
$session->quit;
pass('measured');
done_testing();
