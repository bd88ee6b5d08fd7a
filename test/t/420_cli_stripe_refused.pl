# ctms stripe refused: what Pub/Sub brought and could not be stored is listed without personal data,
# shown as it came, stored later with the time of its message, and removed.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test;
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use Test::More;

my $ctms = CTMS::Test->new('cli_stripe_refused');
my $json = JSON::PP->new->utf8->canonical;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin; CREATE ROLE reader LOGIN
    IN ROLE ctms_reader');
my $admin = $ctms->db_url . '&user=operator';
sub refused { my (@args) = @_; return $ctms->cli('stripe', 'refused', @args, '--db-url', $admin) }
sub ids { return split /\n/, $ctms->sql('SELECT id FROM ctms.stripe_refused ORDER BY id') }

my $messages = 0;
sub ingest
{
    my ($payload, %more) = @_;
    my $body = $json->encode({ message => { data => encode_base64($payload, ''),
        messageId => 'm' . ++$messages, publishTime => '2024-01-01T00:00:00Z', %more } });
    return $json->decode($ctms->sql("SELECT ctms.ingest_pubsub('$body')"));
}

sub customer
{
    my ($n, %more) = @_;
    return { object => 'customer', id => "cus_$n", description => "fxa_$n", created => 1,
        name => 'Planted Name', email => 'planted@example.com', %more };
}

# ---- list and show ------------------------------------------------------------------

my ($rc, $out, $err) = refused('list');
is($rc, 0, 'nothing is kept') or diag $err;
unlike($out, qr/cus_/, 'nothing is listed');
is((refused('list', '--json'))[1], "[]\n", 'nor as JSON');

my $odd = $json->encode(customer(1, created => 'x')) =~ s/Planted Name/\\ud800\\u0000/r;
is(ingest(qq({"customers:planted\@example.com": $odd, "customers:cus_2": )
    . $json->encode(customer(2)) . '}')->{kept}, 1, 'one of two is refused');
is($ctms->sql('SELECT stripe_id FROM ctms.stripe_customer'), 'cus_2', 'the other is stored');
ingest("\xFF\x00not JSON");
ingest($json->encode({ object => 'subscription_item', id => 'si_1', created => 1 }));
my ($first, $second, $third) = ids();

($rc, $out, $err) = refused('list');
is($rc, 0, 'list');
like($out, qr/^\s*$first +20\S+Z +20\S+Z +1 +customer:cus_1 +CTS02 +Stripe customer "cus_1": key /m,
    'an object');
like($out, qr/^\s*$second .* an object +CTS01 +neither/m, 'what is none');
like($out, qr/$third .*\n.*$second .*\n.*$first /, 'the newest first');
unlike($out, qr/planted/i, 'no personal data');
($rc, $out) = refused('list', '--json', '--limit', 2);
my $list = $json->decode($out);
is_deeply([ map { $_->{id} } @$list ], [ $third, $second ], 'as JSON, with a limit');
is_deeply([ @{ $list->[1] }{qw(message_id bytes attempts code object)} ],
    [ 'm2', 10, 1, 'CTS01', undef ], 'with what is known');

is((refused('show', $first))[1], $odd, 'show gives it as it came');
is((refused('show', $second))[1], "\xFF\x00not JSON", 'whatever it is');
is(decode_base64($json->decode((refused('show', $second, '--json'))[1])->{content_base64}),
    "\xFF\x00not JSON", 'as JSON');
my $shown = '';
IPC::Run::run([ 'script', '-qec', "'$ENV{CTMS_TEST_BIN}/ctms' stripe refused show $second"
        . " --db-url '$admin'", '/dev/null' ], '<', \'', '>', \$shown);
unlike($shown, qr/\xFF|\x00/, 'a terminal gets no odd bytes');
is((refused('show', 999_999))[0], 4, 'what is not there');

# ---- retry ----------------------------------------------------------------------------

($rc, $out, $err) = refused('retry', $first, $third);
is($rc, 1, 'nothing can be stored');
is($out, qq($first: refused: Stripe customer "cus_1": key "created" must be a time in Unix)
    . " seconds\n"
    . qq($third: refused: Stripe subscription_item "si_1": key "subscription" is missing\n)
    . "0 stored, 2 refused\n", 'why');
is($ctms->sql("SELECT attempts FROM ctms.stripe_refused WHERE id = $first"), 2, 'it is counted');

# A later version that can read it: here it is the object that changes.
sub mend
{
    my ($id, $object) = @_;
    my $content = unpack 'H*', $json->encode($object);
    $ctms->sql("UPDATE ctms.stripe_refused SET content = '\\x$content',
        digest = sha256('\\x$content') WHERE id = $id");
    return;
}
mend($first, customer(1));
($rc, $out) = refused('retry', $first);
is($rc, 0, 'it can be stored') or diag $out;
is($out, "$first: stored\n1 stored, 0 refused\n", 'it says so');
is($ctms->sql("SELECT message_timestamp = '2024-01-01Z' FROM ctms.stripe_customer
    WHERE stripe_id = 'cus_1'"), 't', 'with the time of its message');
is_deeply([ ids() ], [ $second, $third ], 'and is kept no more');
is((refused('retry', $first))[0], 4, 'it is not there');

# All, in rounds: one that refers to another is stored after it.
my $price = { object => 'price', id => 'price_1', product => 'prod_1', created => 1,
    active => JSON::PP::true, currency => 'usd' };
mend($third, { object => 'subscription_item', id => 'si_1', created => 1, subscription => 'sub_1',
    price => 'price_1' });
ingest($json->encode({ object => 'subscription', id => 'sub_1' }));
ingest($json->encode({ object => 'price', id => 'price_1' }));
my (undef, undef, $fourth, $fifth) = ids();
mend($fourth, { object => 'subscription', id => 'sub_1', customer => 'cus_1', created => 1,
    start_date => 1, current_period_start => 1, current_period_end => 2,
    cancel_at_period_end => JSON::PP::false, status => 'active', items => { data => [] } });
mend($fifth, $price);
($rc, $out) = refused('retry', '--all', '--json');
is($rc, 1, 'one is refused');
my @lines = map { $json->decode($_) } split /\n/, $out;
is_deeply($lines[-1], { summary => { stored => 3, refused => 1 } }, 'three are stored');
is_deeply([ map { [ $_->{id}, $_->{is_stored} ? 1 : 0 ] } @lines[ 0 .. $#lines - 1 ] ],
    [ [ $second, 0 ], [ $third, 0 ], [ $fourth, 1 ], [ $fifth, 1 ], [ $third, 1 ] ],
    'what waits is tried again after the others');
is($ctms->sql('SELECT stripe_id FROM ctms.stripe_subscription_item'), 'si_1', 'it is stored');
is_deeply([ ids() ], [$second], 'one is kept');

# ---- remove ------------------------------------------------------------------------------

($rc, $out, $err) = refused('remove', $second);
is($rc, 6, 'remove asks first');
ok(scalar(ids()), 'nothing was done');
($rc, $out) = refused('remove', $second, 999_999, '--yes');
is($rc, 4, 'one of two is not there');
is($out, "1 removed\n", 'one is removed');
is(scalar(my @none = ids()), 0, 'it is gone');
ingest("noise $_") for 1 .. 3;
$ctms->sql(q{UPDATE ctms.stripe_refused SET create_timestamp = now() - interval '8 days'
    WHERE message_id <> 'm8'});
($rc, $out) = refused('remove', '--older-than', '7 days', '--yes', '--json');
is("$rc $out", "0 {\"removed\": 2}\n", 'by age');
is($ctms->sql('SELECT message_id FROM ctms.stripe_refused'), 'm8', 'the newer one stays');

# ---- usage, and who may ---------------------------------------------------------------------

for my $wrong ([ 'list', '--limit', 'x' ], [ 'list', '--limit', '-1' ], [ 'show', 'x' ],
    [ 'show', '99999999999999999999' ], ['retry'], [ 'retry', '--all', 1 ], [ 'retry', '1x' ],
    [ 'remove', '--yes' ], [ 'remove', '--yes', '1;2' ])
{
    is((refused(@$wrong))[0], 2, "usage: @$wrong");
}
is((refused('remove', '--older-than', 'long', '--yes'))[0], 1, 'a time that is none');
my $kept = ids();
cmp_ok($kept, '>', 0, 'something is kept');
for my $age ('-1 day', '1 month -31 days')
{
    ($rc, $out, $err) = refused('remove', '--older-than', $age, '--yes');
    is($rc, 2, "an age of $age");
    is($err, "ctms: --older-than must not be negative\n", '... is refused');
}
is(scalar ids(), $kept, 'and removes nothing');
my $reader = $ctms->db_url . '&user=reader';
for my $command ([ 'list' ], [ 'show', 1 ], [ 'retry', 1 ], [ 'remove', 1, '--yes' ])
{
    ($rc, $out, $err) = $ctms->cli('stripe', 'refused', @$command, '--db-url', $reader);
    is($rc, 1, "@$command as a reader");
    like($err, qr/permission denied/, 'is refused');
}
done_testing();
