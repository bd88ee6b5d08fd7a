# ctms stripe ingest stores many objects in a transaction, and what comes of it is what comes of
# storing them one by one: reports in the same order, sums, exit codes, rows.
# CTMS_STRESS_SEED and CTMS_STRESS_ROUNDS repeat and extend the random part.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(poll_until);
use IPC::Run;
use JSON::PP;
use Test::More;

# ctms does not know these settings.
my $seed = delete $ENV{CTMS_STRESS_SEED} // time;
my $rounds = delete $ENV{CTMS_STRESS_ROUNDS} // 25;
my $ctms = CTMS::Test->new('cli_stripe_lists');
my $json = JSON::PP->new->utf8->canonical;
$ctms->node->safe_psql('postgres', 'CREATE DATABASE other');
$ctms->node->safe_psql('other', 'CREATE EXTENSION ctms');

sub write_file
{
    my ($name, @objects) = @_;
    open my $out, '>', "$ENV{TESTDIR}/$name" or die "$name: $!";
    print {$out} map { $json->encode($_) . "\n" } @objects;
    close $out or die "$name: $!";
    return "$ENV{TESTDIR}/$name";
}

sub ingest
{
    my ($database, @files) = @_;
    my ($rc, $out, $err) = $ctms->cli('stripe', 'ingest', @files, '--db-url',
        $ctms->db_url($database));
    return { rc => $rc, out => $out, err => $err };
}

sub customer
{
    my ($id, $fxa_id) = @_;
    return { object => 'customer', id => "cus_$id", description => $fxa_id, created => 1 };
}

# ---- many in a transaction -------------------------------------------------------------------

my $transactions = q{SELECT count(DISTINCT xmin::text) FROM ctms.stripe_customer
    WHERE stripe_id LIKE 'cus_many%'};
my @many = map { customer("many$_", "many$_") } 1 .. 250;
my $many = ingest('ctms', write_file('many.json', @many));
like($many->{out}, qr/^250 objects: 250 created, .* 0 failed$/m, 'many customers');
is($ctms->sql($transactions), 3, 'three transactions');

# An object that makes the transaction fail is stored by itself, and so are its neighbours.
$ctms->sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE 'refused' USING ERRCODE = 'TST01'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON ctms.stripe_customer FOR EACH ROW
        WHEN (NEW.stripe_id = 'cus_many5') EXECUTE FUNCTION refuse()});
my @changed = map { { %$_, default_source => 'src' } } @many[ 0 .. 9 ];
my $refused = ingest('ctms', write_file('changed.json', @changed));
is($refused->{rc}, 1, 'one is refused by a trigger');
like($refused->{err}, qr/changed\.json, object 5:\nctms: refused \(TST01\)\n/, 'it is named');
like($refused->{out}, qr/^10 objects: 0 created, 9 updated, .* 1 failed$/m, 'the others are in');
is($ctms->sql($transactions), 12, 'each by itself');
$ctms->sql('DROP TRIGGER refuse ON ctms.stripe_customer');

# So is each object of a list in which one is no JSON.
my $odd = write_file('odd.json', @changed[ 0 .. 2 ]);
{ open my $out, '>>', $odd or die $!; print {$out} qq({"object" nonsense}\n) }
my $nonsense = ingest('other', $odd);
like($nonsense->{err}, qr/odd\.json, object 4:\nctms: .*22P02/, 'no JSON');
like($nonsense->{out}, qr/^4 objects: 3 created, .* 1 failed$/m, 'the others are in');

# While one waits for another session, the others do not wait with it.
my $holder = $ctms->node->background_psql('ctms');
$holder->query_safe(q{BEGIN; SELECT FROM ctms.stripe_customer
    WHERE stripe_id = 'cus_many5' FOR UPDATE});
my ($out, $err) = ('', '');
my $command = IPC::Run::start([ "$ENV{CTMS_TEST_BIN}/ctms", qw(stripe ingest),
        write_file('held.json', map { { %$_, default_source => 'held' } } @many[ 0 .. 9 ]),
        '--db-url', $ctms->db_url ], '>', \$out, '2>', \$err, IPC::Run::timeout(60));
ok(poll_until(sub { $ctms->sql(q{SELECT count(*) FROM ctms.stripe_customer
    WHERE default_source_id = 'held'}) == 4 }, 'four objects are stored'), 'and the fifth waits');
$holder->query_safe('COMMIT');
$holder->quit;
ok($command->finish, 'it goes on') or diag $err;
like($out, qr/^10 objects: 0 created, 10 updated, .* 0 failed$/m, 'and stores all');

# Ctrl-C ends it, instead of having the objects stored by themselves.
$ctms->sql(q{CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(600); RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON ctms.stripe_customer FOR EACH ROW
        WHEN (NEW.stripe_id = 'cus_many5') EXECUTE FUNCTION refuse()});
$command = IPC::Run::start([ "$ENV{CTMS_TEST_BIN}/ctms", qw(stripe ingest),
        write_file('stopped.json', map { { %$_, default_source => 'stopped' } } @many[ 0 .. 9 ]),
        '--db-url', $ctms->db_url ], '>', \$out, '2>', \$err, IPC::Run::timeout(60));
poll_until(sub { $ctms->sql(q{SELECT count(*) FROM pg_stat_activity
    WHERE wait_event = 'PgSleep' AND query LIKE '%upsert_stripe_list%'}) }, 'it is at work');
$command->signal('INT');
$command->finish;
is($command->result, 3, 'an interrupt ends it');
like($out, qr/^1 object: 0 created, 0 updated, .* 1 failed$/m, 'with nothing stored');
like($err, qr/stopped\.json, object 1:\nctms: .*57014/, 'and says why');
$ctms->sql('DROP TRIGGER refuse ON ctms.stripe_customer');

# What is there is stored, although the input has not ended.
my $input = $json->encode(customer('early', 'early')) . "\n";
($out, $err) = ('', '');
$command = IPC::Run::start([ "$ENV{CTMS_TEST_BIN}/ctms", qw(stripe ingest - --db-url),
        $ctms->db_url ], '<pipe', \*IN, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
syswrite IN, $input;
ok(poll_until(sub { $ctms->sql(
        q{SELECT count(*) FROM ctms.stripe_customer WHERE stripe_id = 'cus_early'}) },
    'the object is stored'), 'before the end of the input');
close IN;
ok($command->finish, 'the input ends') or diag $err;
like($out, qr/^- 1: created customer:cus_early\n1 object: /, 'and is reported');

# ---- as one by one -----------------------------------------------------------------------------

# Few ids, so that objects depend on each other and take over from each other.
sub any { my ($count) = @_; return 1 + int rand $count }
my ($yes, $no) = (JSON::PP::true, JSON::PP::false);
sub price
{
    return { object => 'price', id => 'price_' . any(4), product => 'prod_' . int rand 1.2,
        created => 1, active => $yes, currency => 'usd' };
}
sub some_price { return rand() < 0.5 ? price() : 'price_' . any(4) }
sub item
{
    my (@parent) = @_;
    return { object => 'subscription_item', id => 'si_' . any(6), created => 1 + int rand 1.3,
        price => some_price(), @parent };
}
my @kinds = (
    (sub { return { %{ customer(any(4), 'fxa_' . any(4)) },
            default_source => 'src_' . int rand 1.5 } }) x 3,
    (sub { return { object => 'subscription', id => 'sub_' . any(4), customer => 'cus_' . any(4),
            created => 1, start_date => 1, current_period_start => 1, current_period_end => 2,
            cancel_at_period_end => $no, status => ('active', 'canceled')[ rand 1.2 ],
            items => { has_more => rand() < 0.2 ? $yes : $no,
                data => [ map { item() } 1 .. any(2) ] } } }) x 3,
    (sub { return item(subscription => 'sub_' . any(4)) }) x 2,
    sub { return { object => 'customer', id => 'cus_' . any(4), deleted => $yes } },
    sub { return { object => 'invoice', id => 'in_' . any(4), customer => 'cus_' . any(4),
            created => 1, currency => 'usd', total => 1, status => 'paid', lines => {
                data => [ map { { object => 'line_item', id => 'il_' . any(6), amount => 1,
                    type => 'subscription', currency => 'usd', price => some_price() } }
                    1 .. any(2) ] } } },
    \&price, sub { return { object => 'mandate', id => 'm_' . any(4) } }, sub { return {} },
    sub { return { object => 'customer', id => 'cus_bad' } });
my @tables = map { "ctms.stripe_$_" }
    qw(customer subscription subscription_item invoice invoice_line_item price);
my $rows = join ' UNION ALL ', map { "SELECT '$_ ' || (to_jsonb(t)
    - '{create_timestamp,update_timestamp}'::text[])::text AS row FROM $_ AS t" } @tables;

note "CTMS_STRESS_SEED=$seed";
srand $seed;
for my $database (qw(ctms other))
{
    $ctms->node->safe_psql($database, 'TRUNCATE ' . join ', ', @tables);
}
my $differing = '';
for my $round (1 .. $rounds)
{
    my @objects = map { $kinds[ rand @kinds ]->() } 1 .. 5 + any(30);
    my $together = ingest('ctms', write_file('list', @objects));
    # The end of a file ends the transaction too.
    my $alone = ingest('other', map { write_file("one$_", $objects[ $_ - 1 ]) } 1 .. @objects);
    s/\S+\/one(\d+)(?:, object)? 1:/object $1:/g for @$alone{qw(out err)};
    s/\S+\/list(?:, object)? (\d+):/object $1:/g for @$together{qw(out err)};
    my @states = map { $ctms->node->safe_psql($_, "SELECT row FROM ($rows) AS r ORDER BY 1") }
        qw(ctms other);
    my ($got, $expected) = map { "$_->{rc}\n$_->{out}\n$_->{err}" } $together, $alone;
    next if $got eq $expected && $states[0] eq $states[1];
    $differing .= " $round";
    diag "round $round: $got\n$states[0]\n---- expected: $expected\n$states[1]";
    last;
}
is($differing, '', 'lists end as their objects would one by one');
done_testing();
