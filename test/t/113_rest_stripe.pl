# POST /stripe: objects, events and lists; the answer says what was skipped, and why something is
# refused. So does the log, and neither shows a value.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(slurp);
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('rest_stripe');
my $json = JSON::PP->new->utf8->canonical;
$ctms->start_rest;
$ctms->login;
my $secret = 'secret@example.com';

sub post
{
    my ($body) = @_;
    my $r = $ctms->request(POST => '/stripe', $body);
    return ($r->{status}, $r->{json});
}

sub customer { my ($id, %more) = @_;
    return { object => 'customer', id => "cus_$id", description => "fxa_$id", created => 1,
        %more } }
sub event { my ($type, $object, %more) = @_;
    return { object => 'event', id => 'evt_1', type => $type, created => 1600000000,
        data => { object => $object }, %more } }
sub list { my (@objects) = @_;
    return { object => 'list', url => '/v1/x', has_more => JSON::PP::false, data => \@objects } }

# ---- what is stored --------------------------------------------------------------------------
my @stored = (
    [ 'an object', customer(1), {} ],
    [ 'an object of a type that is not used', { object => 'product', id => 'prod_1' },
        { skipped => ['product:prod_1'], skip_reasons => { unused_type => ['product:prod_1'] } } ],
    [ 'the deletion of an unknown customer', { object => 'customer', id => 'cus_404',
            deleted => JSON::PP::true },
        { skipped => ['customer:cus_404'],
            skip_reasons => { not_stored => ['customer:cus_404'] } } ],
    [ 'an event', event('customer.created', customer(2)), { count => 1 } ],
    [ 'an older one', event('customer.created', customer(2, default_source => 'src'), created => 1),
        { count => 0, skipped => ['customer:cus_2'],
            skip_reasons => { outdated => ['customer:cus_2'] } } ],
    [ 'a list', list(customer(3), customer(4), { object => 'product', id => 'prod_1' }),
        { count => 2, skipped => ['product:prod_1'],
            skip_reasons => { unused_type => ['product:prod_1'] } } ],
    [ 'the first page of a list', { %{ list(customer(5)) }, has_more => JSON::PP::true },
        { count => 1, warnings => ['the list has more pages'] } ],
    [ 'the first lines of an invoice', { object => 'invoice', id => 'in_1', created => 1,
            currency => 'usd', total => 1, lines => { data => [], has_more => JSON::PP::true } },
        { warnings => ['Stripe invoice "in_1": the list "lines" has more pages'] } ],
    [ 'an event without an object', { object => 'v2.core.event', id => 'evt_2' },
        { skipped => ['v2.core.event:evt_2'],
            skip_reasons => { unused_type => ['v2.core.event:evt_2'] } } ],
);
for my $case (@stored)
{
    my ($name, $body, $more) = @$case;
    my ($status, $answer) = post($body);
    is($status, 200, $name);
    is_deeply($answer, { status => 'OK', %$more }, 'and what was done') or diag explain $answer;
}
is($ctms->sql(q{SELECT string_agg(stripe_id, ' ' ORDER BY stripe_id) FROM ctms.stripe_customer}),
    'cus_1 cus_2 cus_3 cus_4 cus_5', 'they are stored');

# ---- what is refused -------------------------------------------------------------------------
my $unrecognized = 'Request JSON is not recognized.';
my $unable = 'Unable to process Stripe object.';
my $needed = 'not a Stripe object: "object" and "id" are needed';
my @refused = (
    [ 400, $unable, 'Stripe customer "cus_9": key "created" must be a time in Unix seconds',
        customer(9, created => $secret) ],
    [ 400, $unable, 'Stripe customer "cus_9": key "description" is missing',
        customer(9, description => undef) ],
    [ 400, $unable, 'Stripe customer with an odd id: key "created" must be a time in Unix seconds',
        customer(9, id => $secret, created => $secret) ],
    [ 400, $unable, 'data[1]: Stripe customer "cus_9": key "created" is missing',
        list(customer(8), customer(9, created => undef)) ],
    [ 400, $unable,
        'data[0].data.object: Stripe customer "cus_9": key "description" must be a string',
        list(event('customer.updated', customer(9, description => 7))) ],
    [ 400, $unable, 'Stripe list: key "data" is missing', { object => 'list' } ],
    [ 400, $unable, 'Stripe event "evt_1": key "data.object" must be an object',
        event('customer.created', $secret) ],
    [ 400, $unrecognized, $needed, { object => 'customer' } ],
    [ 400, $unrecognized, $needed, {} ],
    [ 400, $unrecognized, $needed, '{"object": "\u0000", "id": "cus_9"}' ],
    [ 400, $unable,
        'Stripe customer "cus_9": key "description" has a text or number that cannot be stored',
        '{"object": "customer", "id": "cus_9", "description": "\ud800", "created": 1}' ],
    [ 400, $unrecognized, $needed, qq("$secret") ],
    [ 400, $unrecognized,
        'not a Stripe object but an array: send {"object": "list", "data": [...]}',
        [ customer(9) ] ],
    [ 400, $unrecognized,
        'not a Stripe object but an array: send {"object": "list", "data": [...]}',
        '[' x 200 . ']' x 200 ],
    [ 409, 'Write conflict, try again',
        'Stripe subscription_item "si_9" needs subscription "sub_9", which is not stored yet',
        { object => 'subscription_item', id => 'si_9', subscription => 'sub_9', created => 1,
            price => 'price_9' } ],
);
for my $case (@refused)
{
    my ($expected, $detail, $reason, $body) = @$case;
    my ($status, $answer) = post($body);
    is($status, $expected, $reason);
    is_deeply($answer, { detail => $detail, reason => $reason }, 'is told') or diag explain $answer;
}
my @unreadable = (
    [ 'no JSON', '{"object": "customer", ', 'the input ends unexpectedly', 23 ],
    [ 'nothing', '', 'the input ends unexpectedly', 0 ],
    [ 'no UTF-8', "{\"object\": \"\xff\"}", 'invalid UTF-8', 12 ],
    [ 'a zero byte', "{\0}", 'NUL is not allowed in JSON', 1 ],
);
my @said;
for my $case (@unreadable)
{
    my ($name, $body, $message, $place) = @$case;
    my ($status, $answer) = post($body);
    is($status, 422, $name);
    is($answer->{detail}[0]{msg}, $message, 'is told');
    push @said, "body[$answer->{detail}[0]{loc}[1]]: $message";
}
is($ctms->sql(q{SELECT count(*) FROM ctms.stripe_customer}), 5, 'nothing of these is stored');

# ---- the log ---------------------------------------------------------------------------------
$ctms->stop_program('rest');
my $log = slurp("$PostgreSQL::Test::Utils::log_path/rest_stripe_rest.log");
my @lines = map { $json->decode($_)->{Fields} }
    grep { /"path_template": "\/stripe"/ && /"status_code"/ } split /\n/, $log;
is_deeply([ map { $_->{reason} } grep { $_->{status_code} != 200 } @lines ],
    [ (map { $_->[2] } @refused), @said ], 'the log has the reasons');
is_deeply([ map { $_->{ingest_actions}{skip_reasons} } grep { $_->{status_code} == 200 } @lines ],
    [ map { $_->[2]{skip_reasons} } @stored ], 'and why something was skipped');
is_deeply([ map { $_->{ingest_warnings} // () } @lines ],
    [ map { $_->[2]{warnings} // () } @stored ], 'and the warnings');
unlike($log, qr/secret/, 'but no value');
done_testing();
