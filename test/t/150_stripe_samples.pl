# Stripe objects as Stripe's API renders them, from arrival to the contact's product rows:
# created, again, changed, and a second customer of the same FxA ID. With small objects of
# our own, and with the samples in ../shared/data/stripe (or CTMS_STRIPE_SAMPLES) when present.
use strict;
use warnings;
use JSON::PP;
use CTMS::Test qw(data_folder slurp);
use Test::More;

my $ctms = CTMS::Test->new('stripe_samples');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $email_id = '00000000-0000-4000-8000-00000000c001';

sub upsert
{
    my ($object) = @_;
    my $text = $json->encode($object);
    $text =~ s/'/''/g;
    return $json->decode($ctms->sql("SELECT ctms.upsert_stripe('$text')"));
}

sub changed
{
    my ($object, %changes) = @_;
    return { %$object, %changes };
}

# product, segment, number of items, price and status of each product of the contact
sub products
{
    return $ctms->sql("SELECT product_id, segment, sub_count, price_id, status
        FROM ctms.product_subscriptions('$email_id')");
}

# Whether something is due to Acoustic since the last time this was asked.
sub is_enqueued
{
    return $ctms->sql("WITH gone AS (DELETE FROM ctms.pending_acoustic
        WHERE email_id = '$email_id' RETURNING 1)
        SELECT count(*) FROM gone");
}

sub row_versions
{
    return $ctms->sql(join(' UNION ALL ', map { "SELECT '$_' || ctid || xmin FROM ctms.stripe_$_" }
        qw(customer price subscription subscription_item invoice invoice_line_item))
        . ' ORDER BY 1');
}

sub check_objects
{
    my ($customer, $subscription, $invoice) = @_;
    my $item = $subscription->{items}{data}[0];
    my $line = $invoice->{lines}{data}[0];
    my $product = $item->{price}{product};
    my $price = $item->{price}{id};
    my $id = "subscription:$subscription->{id}";

    $subscription = changed($subscription, customer => $customer->{id});
    $invoice = changed($invoice, customer => $customer->{id});
    is_deeply(upsert($subscription),
        { created => [ "price:$price", $id, "subscription_item:$item->{id}" ] },
        'subscription before its customer');
    is_deeply(upsert($customer), { created => ["customer:$customer->{id}"] },
        'customer before its contact');
    is(products(), '', 'no contact, no product');

    $ctms->sql("INSERT INTO ctms.emails (email_id, primary_email)
        VALUES ('$email_id', 'sample\@example.com')");
    is_enqueued();
    $ctms->sql("INSERT INTO ctms.fxa (email_id, fxa_id)
        VALUES ('$email_id', '$customer->{description}')");
    is(is_enqueued(), 1, 'the contact is enqueued when its FxA row appears');
    is(products(), "$product|active|1|$price|active", '... and has its product');

    is_deeply(upsert($invoice),
        { created => [ "invoice:$invoice->{id}", "line_item:$line->{id}",
            "price:$line->{price}{id}" ], email_ids => [$email_id] },
        'invoice');
    is(is_enqueued(), 1, 'an invoice enqueues the contact');

    my $versions = row_versions();
    is_deeply(upsert($_), { no_change => [ sort @{ $_->{ids} } ] }, "$_->{object} again") for (
        changed($customer, ids => ["customer:$customer->{id}"]),
        changed($subscription, ids => [ "price:$price", $id, "subscription_item:$item->{id}" ]),
        changed($invoice, ids => [ "invoice:$invoice->{id}", "line_item:$line->{id}",
            "price:$line->{price}{id}" ]));
    is(row_versions(), $versions, 'no row was written');
    is(is_enqueued(), 0, 'nothing is enqueued');

    is_deeply(upsert(changed($subscription, canceled_at => 1635200000,
            cancel_at_period_end => JSON::PP::true)),
        { updated => [$id], no_change => [ "price:$price", "subscription_item:$item->{id}" ],
            email_ids => [$email_id] }, 'cancelling');
    is(products(), "$product|cancelling|1|$price|active", '... its segment');
    is(is_enqueued(), 1, '... is due to Acoustic');
    my %canceled = (canceled_at => 1635200000, ended_at => 1635237953, status => 'canceled');
    is_deeply(upsert(changed($subscription, %canceled))->{updated}, [$id], 'canceled');
    is(products(), "$product|canceled|1|$price|canceled", '... its segment');

    my %again = (id => "$subscription->{id}_2",
        items => { data => [ changed($item, id => "$item->{id}_2") ], has_more => JSON::PP::false },
        current_period_end => $subscription->{current_period_end} + 86400);
    is_deeply(upsert(changed($subscription, %again))->{created},
        [ "${id}_2", "subscription_item:$item->{id}_2" ], 'subscribed again');
    is(products(), "$product|re-active|2|$price|active", '... its segment');

    is_enqueued();
    is_deeply(upsert(changed($customer, id => "$customer->{id}_2")),
        { created => ["customer:$customer->{id}_2"], deleted => ["customer:$customer->{id}"],
          fxa_id_conflict => [ $customer->{description} ], email_ids => [$email_id] },
          'a second customer with the same FxA ID');
    is(products(), '', '... has no products yet');
    is(is_enqueued(), 1, '... which is due to Acoustic');
    is_deeply(upsert(changed($subscription, %again, customer => "$customer->{id}_2"))->{updated},
        ["${id}_2"], 'its subscription');
    is(products(), "$product|active|1|$price|active", '... is the only one');
    is_deeply(upsert({ object => 'customer', id => "$customer->{id}_2",
            deleted => JSON::PP::true })->{updated},
        ["customer:$customer->{id}_2"], 'the customer is deleted');
    is(products(), "$product|active|1|$price|active", '... and keeps its products');

    $ctms->sql("DELETE FROM ctms.$_")
        for qw(stripe_subscription_item stripe_invoice_line_item stripe_subscription
        stripe_invoice stripe_price stripe_customer fxa pending_acoustic emails);
    return;
}

my $price = { object => 'price', id => 'price_1', product => 'prod_1', created => 1,
    active => JSON::PP::true,
    currency => 'usd', recurring => { interval => 'month', interval_count => 1 },
    unit_amount => 500 };
my $small = {
    customer => { object => 'customer', id => 'cus_1', description => 'fxa_1', created => 1 },
    subscription => { object => 'subscription', id => 'sub_1', customer => 'cus_1',
        created => 1, start_date => 1,
        current_period_start => 1, current_period_end => 2,
        cancel_at_period_end => JSON::PP::false, status => 'active',
        items => { data => [ { object => 'subscription_item', id => 'si_1',
            created => 1, price => $price } ] } },
    invoice => { object => 'invoice', id => 'in_1', customer => 'cus_1', created => 1,
        currency => 'usd', total => 500, status => 'paid',
        lines => { data => [ { object => 'line_item', id => 'il_1', type => 'subscription',
            amount => 500, currency => 'usd', price => changed($price, id => 'price_2') } ] } } };
subtest 'small objects' => sub { check_objects(@$small{qw(customer subscription invoice)}) };

my $samples = data_folder('CTMS_STRIPE_SAMPLES', 'stripe');
SKIP: {
    my @files = map { "$samples/${_}_01.json" } qw(customer subscription invoice);
    die "ctms: no samples of Stripe objects in $samples\n"
        if $ENV{CTMS_STRIPE_SAMPLES} && grep { !-r } @files;
    skip "no samples of Stripe objects in $samples", 1 if grep { !-r } @files;
    subtest 'samples' => sub { check_objects(map { $json->decode(slurp($_)) } @files) };
}

# Plans that a session makes for empty tables are still right when there is something in them: no
# call walks over what others have stored.
subtest 'a session that fills empty tables' => sub {
    my $read = q{SELECT pg_stat_force_next_flush(); SELECT sum(idx_tup_read + seq_tup_read)::bigint
        FROM pg_stat_user_tables AS t JOIN pg_stat_user_indexes AS i USING (relid)
            WHERE t.schemaname = 'ctms' AND t.relname ~ '^(stripe_|fxa)'};
    $ctms->sql('TRUNCATE ctms.stripe_customer, ctms.stripe_price, ctms.stripe_subscription,
        ctms.stripe_subscription_item CASCADE');
    my $before = (split /\n/, $ctms->sql($read))[-1];
    $ctms->sql(q{SELECT count(ctms.upsert_stripe(format('{"object": "customer",
        "id": "cus_%s", "description": "fxa_%s", "created": 1}', n, n)::jsonb))
        FROM generate_series(1, 1000) AS n});
    cmp_ok((split /\n/, $ctms->sql($read))[-1] - $before, '<', 50_000,
        'a thousand customers, each at one cost');
};
done_testing();
