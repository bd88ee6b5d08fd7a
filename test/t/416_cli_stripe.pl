# ctms stripe ingest: files of objects, reports, repetition, order, bad objects among good ones.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(slurp);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli_stripe');
my $json = JSON::PP->new->utf8->canonical;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
my $admin = $ctms->db_url . '&user=operator';
sub ingest { my (@args) = @_; return $ctms->cli('stripe', 'ingest', @args, '--db-url', $admin) }

my $files = 0;
sub file
{
    my ($content) = @_;
    my $file = "$ENV{TESTDIR}/stripe" . ++$files . '.json';
    append_to_file($file, ref $content ? $json->encode($content) : $content);
    return $file;
}

my $price = { object => 'price', id => 'price_1', product => 'prod_1', created => 1,
    active => JSON::PP::true,
    currency => 'usd', recurring => { interval => 'month', interval_count => 1 },
    unit_amount => 999 };
my $customer = { object => 'customer', id => 'cus_1', description => 'fxa1', created => 1 };
sub subscription
{
    my ($n, %more) = @_;
    return { object => 'subscription', id => "sub_$n", customer => 'cus_1',
        created => 1, start_date => 1,
        current_period_start => 1, current_period_end => 2,
        cancel_at_period_end => JSON::PP::false, status => 'active',
        items => { has_more => JSON::PP::false,
            data => [ { object => 'subscription_item', id => "si_$n", subscription => "sub_$n",
                created => 1, price => $price } ] },
        %more };
}

# ---- forms --------------------------------------------------------------------------

my $one = file($customer);
my ($rc, $out, $err) = ingest($one);
is($rc, 0, 'an object') or diag $err;
is($out, "$one 1: created customer:cus_1\n"
    . "1 object: 1 created, 0 updated, 0 unchanged, 0 deleted, 0 skipped, 0 failed\n", 'reported');
is($ctms->sql('SELECT stripe_id, fxa_id FROM ctms.stripe_customer'), 'cus_1|fxa1', 'stored');
($rc, $out) = ingest($one);
like($out, qr/ 1: unchanged customer:cus_1\n.* 1 unchanged, /, 'again');
is((ingest(file("\xef\xbb\xbf" . $json->encode($customer))))[0], 0, 'a byte order mark');
my $list = file([ { %$customer, default_source => 'src_1' }, subscription(1) ]);
($rc, $out) = ingest($list);
is($rc, 0, 'a list');
is($out, "$list 1: updated customer:cus_1\n"
    . "$list 2: created price:price_1, subscription:sub_1, subscription_item:si_1\n"
    . "2 objects: 3 created, 1 updated, 0 unchanged, 0 deleted, 0 skipped, 0 failed\n", 'reported');
($rc, $out) = ingest(file($json->encode(subscription(2)) . "\n"
        . $json->encode(subscription(3)) . "\n"), $one);
is($rc, 0, 'lines, and a second file');
like($out, qr/^3 objects: 4 created, 1 updated, 2 unchanged/m, 'all counted');
is((ingest(file([])))[1],
    "0 objects: 0 created, 0 updated, 0 unchanged, 0 deleted, 0 skipped, 0 failed\n",
    'an empty list');

IPC::Run::run([ "$ENV{CTMS_TEST_BIN}/ctms", 'stripe', 'ingest', '--json', '-', '--db-url', $admin ],
    '<', $list, '>', \$out);
is($?, 0, 'standard input');
is($ctms->sql('SELECT DISTINCT is_bulk FROM ctms.stripe_unresolved'), 't',
    'their contacts wait behind those that change now');
my @lines = map { $json->decode($_) } split /\n/, $out;
is($lines[0]{source} . $lines[0]{object}, '-1', 'a line for each object');
is_deeply($lines[0]{report}{updated}, ['customer:cus_1'], 'with its report');
is_deeply($lines[2]{summary}, { objects => 2, created => 0, updated => 1, no_change => 3,
        deleted => 0, skipped => 0, failed => 0, unused_types => {} },
    'and a summary');

# ---- lists and events of Stripe ------------------------------------------------------------

sub customer { my ($id, %more) = @_;
    return { %$customer, id => "cus_$id", description => "fxa_$id", %more } }
sub page { my (@objects) = @_;
    return { object => 'list', url => '/v1/x', has_more => JSON::PP::false, data => \@objects } }
sub event { my ($type, $object, %more) = @_;
    return { object => 'event', id => 'evt_1', type => $type, created => 1600000000,
        data => { object => $object }, %more } }
my $transactions = q{SELECT count(DISTINCT xmin::text) || '|' || count(*) FROM ctms.stripe_customer
    WHERE stripe_id ~ '^cus_%s'};

my $page = file({ %{ page(map { customer("p$_") } 1 .. 100) }, has_more => JSON::PP::true });
($rc, $out, $err) = ingest($page);
is($rc, 0, 'a page of a list');
like($out, qr/^\Q$page 1 data[0]: created customer:cus_p1\E$/m, 'each object with its place');
like($out, qr/^100 objects: 100 created, /m, 'all are counted');
is($ctms->sql(sprintf $transactions, 'p'), '1|100', 'in one transaction');
like($err, qr/^ctms: \Q$page\E, object 1: the list has more pages, /m, 'it is not the last page');
($rc, $out, $err) = ingest(file(join '', map { $json->encode($_) . "\n" }
            page(customer('q1', description => undef), customer('q2'),
                page(customer('q3', created => 'x')),
            { object => 'mandate', id => 'm_1' }, { object => 'product', id => 'prod_1' }),
        page(), { object => 'search_result', data => [ customer('q4') ] }, customer('q5'),
        { object => 'mandate', id => 'm_2' }, { object => 'list', data => 'x' }));
is($rc, 1, 'bad objects in lists');
like($err, qr/, object 1, data\[0\]:\nctms: Stripe customer "cus_q1": key "description" is missing/,
    'are named');
like($err, qr/, object 1, data\[2\]\.data\[0\]:\nctms: Stripe customer "cus_q3"/, 'deep ones, too');
like($err, qr/, object 6:\nctms: Stripe list: key "data" must be an array \(CTS02\)/,
    'and what is no list');
is($ctms->sql(q{SELECT string_agg(stripe_id, ' ' ORDER BY 1) FROM ctms.stripe_customer
    WHERE stripe_id ~ '^cus_q'}), 'cus_q2 cus_q4 cus_q5', 'the others are stored');
like($out, qr/^9 objects: 3 created, .* 3 skipped, 3 failed$/m, 'they are counted');
like($out, qr/^of types that ctms does not use: mandate 2, product 1$/m, 'with their types');
($rc, $out) = ingest(file([ map { { object => "type$_", id => 'x_1' } } 1 .. 120 ]));
like($out, qr/^120 objects: .* 120 skipped, .*\nof types .* type100 1, other types 20$/m,
    'not very many of them');
# The order of a file counts: what is in a list comes where the list is.
ingest(file(join '', map { $json->encode($_) } customer('o1'), customer('o2'),
        page(map { customer($_, default_source => 'listed') } qw(o1 o2)),
        customer('o1', default_source => 'last')));
is($ctms->sql(q{SELECT string_agg(default_source_id, ' ' ORDER BY stripe_id) FROM
    ctms.stripe_customer WHERE stripe_id ~ '^cus_o'}), 'last listed', 'lists among objects');

# Stripe lists the newest event first, also of those of one second.
($rc, $out, $err) = ingest(file(page(
            event('customer.updated', customer('e1', default_source => 'second')),
            event('customer.created', customer('e1', default_source => 'first')),
            event('customer.deleted', customer('e2'), created => 1600000002),
            event('customer.created', customer('e2'), created => 1600000001))));
is($rc, 0, 'a list of events') or diag $err;
is($ctms->sql(q{SELECT string_agg(concat_ws(' ', default_source_id, deleted), ', ' ORDER BY
    stripe_id) FROM ctms.stripe_customer WHERE stripe_id ~ '^cus_e'}), 'second f, t',
    'ends with the newest');
($rc, $out) = ingest('--json', file(event('customer.updated', customer('e1'), created => 1)),
    file(page(customer('e2'))));
@lines = map { $json->decode($_) } split /\n/, $out;
is_deeply($lines[0]{report}{skip_reasons}, { outdated => ['customer:cus_e1'] }, 'an older event');
ok(!exists $lines[0]{path} && $lines[1]{path} eq 'data[0]', 'the place in the list as JSON');
# An item in a list waits for its subscription, which is in a later file.
my $early = { object => 'subscription_item', id => 'si_e1', subscription => 'sub_e1',
    created => 1, price => $price };
($rc, $out, $err) = ingest(file(page($early)), file(page(subscription('e1'))));
is($rc, 0, 'an item in a list before its subscription') or diag $err;
# A byte order mark.
is((ingest(file("\xEF\xBB\xBF" . $json->encode(customer('b1')))))[0], 0, 'a byte order mark');
is((ingest(file("\xEF\xBB")))[0], 1, 'half of one');
is((ingest(file($json->encode(customer('b1')) . "\xEF\xBB\xBF")))[0], 1, 'one at the end');

# ---- conflicts, order -----------------------------------------------------------------

($rc, $out) = ingest(file({ %$customer, id => 'cus_2' }));
my $moved = 'deleted customer:cus_1; its FxA ID was that of another customer';
like($out, qr/ 1: created customer:cus_2; $moved\n/, 'an FxA ID moves');
my $item = { object => 'subscription_item', id => 'si_9', subscription => 'sub_9',
    created => 1, price => $price };
my $parent = subscription(9, items => { has_more => JSON::PP::true, data => [] });
($rc, $out, $err) = ingest(file([ $item, $parent ]));
is($rc, 0, 'an item before its subscription') or diag $err;
like($err, qr/, object 2: Stripe subscription "sub_9": the list "items" has more pages$/m,
    'whose list has more');
my $item_line = qr/.* 1: created subscription_item:si_9; unchanged price:price_1\n/;
like($out, qr/ 2: created subscription:sub_9\n$item_line/, 'waits for it');
($rc, $out,
    $err) = ingest(file([ { %$item, id => 'si_10', subscription => 'sub_10' }, $customer ]));
is($rc, 1, 'an item without its subscription');
like($err, qr/object 1:\nctms: .*CTS03/, 'is reported');
like($out, qr/^2 objects: 1 created, .* 1 failed$/m, 'the other is stored');

# ---- bad content -------------------------------------------------------------------------

my @three = map { $json->encode(customer("s$_")) } 1 .. 3;
my $odd = file("$three[0]\nnoise\n$three[1]\n");
($rc, $out, $err) = ingest($odd);
is($rc, 1, 'a file with a line that is no object');
my $place = 'line 2 has "n" where an object or a list of objects belongs';
is($err, "ctms: $odd: $place; nothing after it was read\n", '... tells that it was not read on');
like($out, qr/^1 object: 1 created, .* 1 failed$/m, '... and what was');
$odd = file("$three[0]\n" . substr $three[1], 0, 20);
($rc, $out, $err) = ingest($odd);
is($err, "ctms: $odd: the object that begins in line 2 does not end\n", 'one that ends too soon');
my $long = ' ' x (16 << 20);
$odd = file("{$long}\n$three[2]\n");
($rc, $out, $err) = ingest($odd);
like($err, qr/ larger than 16 MiB; nothing after it was read$/, 'an object that is too large');

($rc, $out, $err) = ingest(file([ { object => 'customer', id => 'cus_bad' }, { %$customer,
        id => 'cus_3', description => 'fxa3' }, {}, { object => 'mandate', id => 'm_1' } ]));
is($rc, 1, 'bad objects among good ones');
like($err, qr/object 1:\nctms: .*cus_bad.*CTS02/, 'a missing key, with the object');
like($err, qr/object 3:\nctms: .*CTS01/, 'not a Stripe object');
like($out, qr/^4 objects: 1 created, .* 1 skipped, 2 failed$/m, 'the good ones are stored');
($rc, $out) = ingest('--json', file([ {} ]));
is($json->decode((split /\n/, $out)[0])->{error}{state}, 'CTS01', 'an error as JSON');

for my $bad ('', 'x', '{', '[{}', '3',
    "{\"object\": \"customer\", \"id\": \"cus_4\"\0}", '{"object": nonsense}')
{
    ($rc, $out, $err) = ingest(file($bad));
    is($rc, $bad eq '' ? 0 : 1, 'not JSON: ' . $bad =~ s/\0/./r) or diag "$out $err";
}
($rc, $out, $err) = ingest("$ENV{TESTDIR}/not-there", $one);
is($rc, 1, 'no such file');
like($out, qr/^1 object: .* 1 failed$/m, 'the next is read');
is((ingest())[0], 2, 'no file');

# ---- quiet, enqueue ------------------------------------------------------------------------

($rc, $out, $err) = ingest('--quiet', file([ $customer, {} ]));
like("$rc|$out", qr/^1\|2 objects: [^\n]* 1 failed\n\z/, 'quiet: the sum only');
like($err, qr/object 2:/, 'and failures');

$ctms->sql(q{INSERT INTO ctms.emails (email_id, primary_email)
    SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n || '@example.com'
    FROM generate_series(1, 3) AS n;
    INSERT INTO ctms.fxa (email_id, fxa_id)
        SELECT email_id, 'fxa' || left(primary_email, 1) FROM ctms.emails});
ingest(file([ { %$customer, description => 'fxa2' }, subscription(1) ]));
my $versions = "SELECT md5(string_agg(t::text || xmin, '' ORDER BY stripe_id))
    FROM ctms.stripe_subscription AS t";
my $before = $ctms->sql($versions);
my @enqueue = ([ 'a customer', { %$customer, description => 'fxa2' }, 2 ],
    [ 'one that only names its account', { %$customer, id => 'cus_9', description => 'fxa1' }, 1 ],
    [ 'a subscription', subscription(1, status => 'canceled'), 2 ],
    [ 'with its customer in it', subscription(9, customer => $customer), 2 ],
    [ 'an item', { %$item, subscription => 'sub_1' }, 2 ], [ 'an invoice',
        { object => 'invoice', id => 'in_1', customer => 'cus_1' }, 2 ], [ 'a price', $price, 2 ],
    [ 'an unknown customer', { object => 'invoice', id => 'in_2', customer => 'cus_none' }, undef ],
    [ 'another type', { object => 'mandate', id => 'cus_1' }, undef ]);
for my $case (@enqueue)
{
    my ($name, $object, $who) = @$case;
    $ctms->sql('DELETE FROM ctms.pending_acoustic');
    ($rc, $out, $err) = $ctms->cli('stripe', 'enqueue', file($object), '--db-url', $admin);
    is($rc, 0, "enqueue: $name") or diag $err;
    is($ctms->sql("SELECT string_agg(right(email_id::text, 1), '') FROM ctms.pending_acoustic"),
        $who // '', 'its contact waits');
    like($out, $who ? qr/ 1: enqueued \w+:\w+\n1 object: 1 enqueued, 0 skipped, 0 failed\n/
        : qr/ 1: skipped \w+:\w+\n1 object: 0 enqueued, 1 skipped, 0 failed\n/, 'reported');
}
$ctms->sql('DELETE FROM ctms.pending_acoustic');
($rc, $out) = $ctms->cli('stripe', 'enqueue', file(page({ object => 'mandate', id => 'm_1' },
            event('price.updated', $price),
            { object => 'invoice', id => 'in_2', customer => 'cus_none' })),
    '--db-url', $admin);
like($out, qr/^3 objects: 1 enqueued, 2 skipped, 0 failed\nof types .*: mandate 1$/m,
    'enqueue: a list with an event');
is($ctms->sql('SELECT is_bulk FROM ctms.pending_acoustic'), 't', 'its contact waits');
is((($ctms->cli('stripe', 'enqueue', file([ {}, $price ]), '--db-url', $admin))[0]), 1,
    'enqueue: not a Stripe object');
is($ctms->sql($versions), $before, 'enqueue: nothing is stored');

# The database goes away in the middle.
my $many = file([ map { subscription($_) } 100 .. 400 ]);
$ctms->sql(q{CREATE FUNCTION ctms_test_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.stripe_id = 'sub_200' THEN PERFORM pg_terminate_backend(pg_backend_pid());
    PERFORM pg_sleep(10); END IF; RETURN NEW; END $$;
    CREATE TRIGGER test_end BEFORE INSERT ON ctms.stripe_subscription FOR EACH ROW
        EXECUTE FUNCTION ctms_test_end()});
($rc, $out, $err) = ingest($many);
is($rc, 3, 'a lost connection ends it');
like($out, qr/^101 objects: .* 1 failed$/m, 'after what was stored');
done_testing();
