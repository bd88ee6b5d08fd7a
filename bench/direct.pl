# What each path below the executor saves, next to its twin in SQL: processor time of the backend,
# by turns with ctms.direct_access on and off. Run by "make bench-direct".
#
# A change of a contact is also measured with ctms.enqueue off: what is more than that is the feed.
# Each call is a transaction of its own, made by a procedure, so what clients and the network add
# is not in it; nor is the flush, whose processor time is the same both ways and varies by more than
# what is compared: sessions do not wait for it. Times are medians of CTMS_BENCH_TURNS (12) turns,
# after one that does not count; what is saved is the median of the pairs. CTMS_BENCH_ONLY=pattern
# measures what matches, CTMS_BENCH_CONTACTS (100000) is the large backlog.
use strict;
use warnings;
use CTMS::Bench qw($PROCESSOR_US median setting);
use CTMS::BenchContacts qw($FUNCTIONS);
use Test::More;

my $contacts = setting(CONTACTS => 100_000);
my $turns = setting(TURNS => 12);
my $only = setting(ONLY => '.');
my $ctms = CTMS::Bench->new('bench_direct',
    conf => "synchronous_commit = off\nshared_buffers = 1GB\nautovacuum = off\n"
        . "log_min_messages = error\n");
my $node = $ctms->node;

# The first 10,000 have rows in all tables.
my $rich = 10_000;
$ctms->sql(<<"SQL");
$FUNCTIONS
$PROCESSOR_US
CREATE FUNCTION contacts(first bigint, last bigint) RETURNS uuid[] LANGUAGE sql IMMUTABLE
    AS \$\$ SELECT array_agg(public.id_of(n) ORDER BY n)
        FROM generate_series(first, last) AS n \$\$;
CREATE TABLE batch (place bigint PRIMARY KEY, email_ids uuid[], generations bigint[]);
SET ctms.enqueue = off;
INSERT INTO ctms.emails (email_id, primary_email, basket_token, sfdc_id, first_name, last_name,
        mailing_country, email_lang, update_timestamp)
    SELECT public.id_of(n), 'u' || n || '\@example.com', 'token' || n, 'sfdc' || n, 'First', 'Last',
        'fr', 'fr', '2024-01-01Z'::timestamptz + n * interval '1 second'
    FROM generate_series(1, $contacts) AS n;
INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
    SELECT public.id_of(n), (ARRAY['mozilla-and-you', 'hubs'])[k], true, 'fr',
        'https://example.com/'
    FROM generate_series(1, $rich) AS n, generate_series(1, 2) AS k;
INSERT INTO ctms.waitlists (email_id, name, fields)
    SELECT public.id_of(n), 'relay', '{"geo": "fr"}' FROM generate_series(1, $rich) AS n;
INSERT INTO ctms.fxa (email_id, fxa_id, primary_email)
    SELECT public.id_of(n), 'fxa' || n, 'f' || n || '\@example.com'
    FROM generate_series(1, $rich) AS n;
INSERT INTO ctms.amo (email_id, user_id, last_login)
    SELECT public.id_of(n), 'amo' || n, '2024-02-29' FROM generate_series(1, $rich) AS n;
INSERT INTO ctms.mofo (email_id, mofo_contact_id, mofo_email_id)
    SELECT public.id_of(n), 'mofoc' || n, 'mofoe' || n FROM generate_series(1, $rich) AS n;
SQL
$ctms->sql('VACUUM ANALYZE');

my $session = $node->background_psql('ctms');

# ---- what is measured --------------------------------------------------------------------------
# "statement" is run "calls" times, _n counting from 1 and _id being the id of that contact. "first"
# is done once and "before" each time, neither is measured. "part" is how many contacts a call is
# about: times are those of each.
my $vacuum = 'VACUUM ctms.pending_acoustic';
my $clear = "DELETE FROM ctms.pending_acoustic; $vacuum; VACUUM ctms.emails;"
    . ' VACUUM ctms.newsletters';
my $release = "SELECT ctms.release_acoustic('bench'); $vacuum";
sub waiting { my ($count) = @_; return "$clear; SELECT ctms.enqueue_contacts(contacts(1, $count))" }
sub claimed
{
    my ($count) = @_;
    return waiting($count)
        . "; SELECT count(*) FROM ctms.claim_acoustic('bench', $count, 6, '1 hour')";
}
# 500 claimed contacts, in batches of 100.
my $batches = claimed(500) . q{; TRUNCATE batch; INSERT INTO batch
    SELECT 1 + (place - 1) / 100, array_agg(email_id), array_agg(generation)
    FROM (SELECT *, row_number() OVER (ORDER BY email_id) AS place FROM ctms.pending_acoustic) AS p
    GROUP BY 1};

my $many = '_ids[1 + (_n - 1) * 1000 : _n * 1000]';
my $claim = "PERFORM FROM ctms.claim_acoustic('bench', 100, 6, '1 hour')";
my $finish = q{PERFORM ctms.finish_acoustic('bench', b.email_ids, b.generations)
    FROM batch AS b WHERE b.place = _n};
my $patch = q{PERFORM ctms.patch_contact(_id,
    '{"email": {"first_name": "' || _word || '"}}')};
my $change = 'UPDATE ctms.emails SET first_name = _word WHERE email_id = _id';
my $change_child =
    q{UPDATE ctms.newsletters SET source = _word WHERE email_id = _id AND name = 'hubs'};
my $change_many = "UPDATE ctms.emails SET first_name = _word WHERE email_id = ANY ($many)";
my $enqueue = "PERFORM ctms.enqueue_contacts($many)";

sub call
{
    my ($statement, %more) = @_;
    return { calls => 500, part => 1, statement => $statement, %more };
}
sub bulk
{
    my ($part, $statement, %more) = @_;
    return call($statement, calls => 5, part => $part, %more);
}
sub find_by
{
    my ($function, %values) = @_;
    return map {
        [ "$function, $_" => call("PERFORM ctms.$function($_ => $values{$_})", calls => 1000) ]
    } sort keys %values;
}
sub updates
{
    my ($limit) = @_;
    return [ "a page of updates, $limit contacts, each" => call(
            "PERFORM ctms.get_updates('2024-01-01', '2030-01-01', '$limit')",
            calls => int(2000 / $limit), part => $limit) ];
}

my @measures = (
    [ 'nothing, and its commit' => call('NULL', calls => 5000) ],
    [ 'a row by primary key, no function' =>
        call('PERFORM FROM ctms.emails WHERE email_id = _id', calls => 2000) ],
    [ 'get_contact' => call('PERFORM ctms.get_contact(_id)', calls => 1000) ],
    [ 'get_identity' => call('PERFORM ctms.get_identity(_id)', calls => 1000) ],
    find_by('find_contacts', email_id => '_id', primary_email => q('U' || _n || '@example.com'),
        basket_token => q('token' || _n), sfdc_id => q('sfdc' || _n),
        mofo_contact_id => q('mofoc' || _n), mofo_email_id => q('mofoe' || _n),
        amo_user_id => q('amo' || _n), fxa_id => q('fxa' || _n),
        fxa_primary_email => q('f' || _n || '@example.com')),
    find_by('find_identities', email_id => '_id', primary_email => q('U' || _n || '@example.com')),
    updates(10), updates(100), updates(1000),
    [ 'patch_contact, without the feed' => call($patch, before => 'SET ctms.enqueue = off') ],
    [ 'patch_contact, new in the queue' => call($patch, before => $clear) ],
    [ 'claim 100 of 1000, each' =>
        bulk(100, $claim, first => waiting(1000), before => $release) ],
    [ "claim 100 of $contacts, each" =>
        bulk(100, $claim, first => waiting($contacts), before => $release) ],
    [ 'finish 100, each' => bulk(100, $finish, before => $batches) ],
    [ 'change, new in the queue' => call($change, before => $clear, feed => 1) ],
    [ 'change, waits already' => call($change, before => waiting(1000), feed => 1) ],
    [ 'change, is claimed' => call($change, before => claimed(1000), feed => 1) ],
    [ 'change of a newsletter, new in the queue' =>
        call($change_child, before => $clear, feed => 1) ],
    [ 'change of a newsletter, waits already' =>
        call($change_child, before => waiting(1000), feed => 1) ],
    [ 'change of 1000 at once, new, each' =>
        bulk(1000, $change_many, before => $clear, feed => 1) ],
    [ 'change of 1000 at once, wait, each' =>
        bulk(1000, $change_many, before => waiting(5000), feed => 1) ],
    [ 'change of 1000 at once, claimed, each' =>
        bulk(1000, $change_many, before => claimed(5000), feed => 1) ],
    [ 'enqueue_contacts of 1000, new, each' => bulk(1000, $enqueue, before => $clear) ],
    [ 'enqueue_contacts of 1000, wait, each' => bulk(1000, $enqueue, before => waiting(5000)) ]);
@measures = grep { $_->[0] =~ /$only/ } @measures;
die "ctms: nothing to measure\n" if !@measures;

# ---- measuring -----------------------------------------------------------------------------------
my %setting = (direct => 'SET ctms.direct_access = on', sql => 'SET ctms.direct_access = off',
    without => 'SET ctms.enqueue = off');

sub make_procedure
{
    my ($number, $measure) = @_;
    $ctms->sql(<<"SQL");
CREATE PROCEDURE measure$number(INOUT us numeric) LANGUAGE plpgsql AS \$\$
DECLARE
    _ids uuid[] := contacts(1, least($contacts, $measure->{part} * $measure->{calls}));
    _id uuid;
    _word text := clock_timestamp()::text;
    start numeric := processor_us();
BEGIN
    FOR _n IN 1..$measure->{calls} LOOP
        _id := _ids[_n];
        $measure->{statement};
        COMMIT;
    END LOOP;
    us := (processor_us() - start) / $measure->{calls} / $measure->{part};
END \$\$;
SQL
    return;
}

sub run_statements
{
    my ($statements) = @_;
    # One at a time, because VACUUM must be.
    $session->query_safe($_) for split /;\s*/, $statements;
    return;
}

sub measure_once
{
    my ($number, $measure, $way) = @_;
    run_statements('RESET ctms.direct_access; RESET ctms.enqueue');
    run_statements($measure->{before}) if $measure->{before};
    run_statements($setting{$way});
    my $us = $session->query_safe("CALL measure$number(NULL)");
    die "no processor time: $us\n" if $us !~ /^[\d.]+$/ || $us <= 0;
    return $us;
}

# Two results of each turn: medians, and what the first saves of the second, pair by pair.
sub show
{
    my ($name, $direct, $sql) = @_;
    my $saved = median(map { $sql->[$_] > 0 ? 1 - $direct->[$_] / $sql->[$_] : 0 } 0 .. $#$sql);
    diag sprintf '%-44s %9.2f %9.2f %7.2f %6.0f%%  %s', $name, median(@$direct), median(@$sql),
        median(@$direct) / median(@$sql), 100 * $saved, $saved >= 1 / 3 ? 'yes' : 'no';
    return;
}

diag sprintf '%-44s %9s %9s %7s %7s  %s', 'us of processor time', 'directly', 'by SQL', 'ratio',
    'saves', 'a third';
my $number = 0;
for (@measures)
{
    my ($name, $measure) = @$_;
    make_procedure(++$number, $measure);
    run_statements($measure->{first}) if $measure->{first};
    my @ways = ('direct', 'sql', $measure->{feed} ? 'without' : ());
    my %us;
    for my $turn (0 .. $turns)
    {
        for my $way ($turn % 2 ? reverse @ways : @ways)
        {
            my $result = measure_once($number, $measure, $way);
            push @{ $us{$way} }, $result if $turn > 0;
        }
    }
    show($name, $us{direct}, $us{sql});
    next if !$measure->{feed};
    my @feed = map {
        my $way = $_;
        [ map { $us{$way}[$_] - $us{without}[$_] } 0 .. $turns - 1 ];
    } qw(direct sql);
    show('  the feed alone', @feed);
}
$session->quit;
pass('measured');
done_testing();
