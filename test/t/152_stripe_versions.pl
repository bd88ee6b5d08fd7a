# Objects as versions of Stripe's API since 2019 render them. Each row of the table "Versions of
# the API" in docs/stripe.md has a case here, which shows what is stored.
use strict;
use warnings;
use JSON::PP;
use CTMS::Test qw(slurp);
use Test::More;

my $ctms = CTMS::Test->new('stripe_versions');
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

my %row;
my ($table) = slurp('docs/stripe.md') =~ /^## Versions of the API\n(.*?)^## /ms;
$row{"$1: $2"} = 0 while $table =~ /^\| `?(\w+)`? \| (.*?) \| /mg;
delete $row{'object: key'};
cmp_ok(scalar keys %row, '>', 30, 'rows of the table were found');

# What is reported, or which error.
$ctms->sql(q{CREATE FUNCTION public.report(object jsonb) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        RETURN ctms.upsert_stripe(object)::text;
    EXCEPTION WHEN OTHERS THEN
        RETURN sqlstate || ' ' || sqlerrm;
    END $$});

# Stores objects, and returns the report of the last.
sub report
{
    my $text;
    for my $object (@_)
    {
        ($text = $json->encode($object)) =~ s/'/''/g;
        $text = $ctms->sql("SELECT public.report('$text')");
    }
    return $text;
}

# The objects, what a statement says of them then, and for which row of the table.
sub stores
{
    my ($name, $objects, $sql, $expected) = @_;
    ok(exists $row{$name}, "row: $name");
    $row{$name}++;
    my $report = report(@$objects);
    unlike($report, qr/^CTS/, '... no error');
    is($ctms->sql($sql), $expected, '... is stored');
    return;
}

sub reports
{
    my ($name, $objects, $expected) = @_;
    ok(exists $row{$name}, "row: $name");
    $row{$name}++;
    my $report = report(@$objects);
    is($report =~ /^CTS/ ? $report : $json->encode($json->decode($report)),
        ref $expected ? $json->encode($expected) : $expected, '... is the report');
    return;
}

sub skipped
{
    my ($name, $reason) = @_;
    return { skipped => [$name], skip_reasons => { $reason => [$name] } };
}

# ---- objects of today, small; "undef" leaves a key out -----------------------------------

sub with
{
    my ($object, %changes) = @_;
    my %result = (%$object, %changes);
    delete $result{$_} for grep { !defined $result{$_} } keys %result;
    return \%result;
}

sub with_nulls
{
    my ($object, @keys) = @_;
    return { %$object, map { $_ => undef } @keys };
}

sub price
{
    my ($id, %changes) = @_;
    return with({ object => 'price', id => $id, product => "prod_$id", created => 1,
        active => $true, currency => 'usd', unit_amount => 500,
        recurring => { interval => 'month', interval_count => 1 } }, %changes);
}

# A plan is what a price was before 2020-08-27.
sub old_plan
{
    my ($id, %changes) = @_;
    return with({ object => 'plan', id => $id, product => "prod_$id", created => 1,
        active => $true, currency => 'usd', amount => 700, amount_decimal => '700',
        billing_scheme => 'per_unit', interval => 'year', interval_count => 2,
        usage_type => 'licensed' }, %changes);
}

sub item
{
    my ($id, %changes) = @_;
    return with({ object => 'subscription_item', id => $id, created => 1,
        price => price('price_1'), quantity => 1 }, %changes);
}

sub subscription
{
    my ($id, $items, %changes) = @_;
    return with({ object => 'subscription', id => $id, customer => 'cus_1', created => 1,
        start_date => 2, current_period_start => 3, current_period_end => 4,
        cancel_at_period_end => $false, status => 'active',
        items => { object => 'list', data => $items } }, %changes);
}

sub line
{
    my ($id, %changes) = @_;
    return with({ object => 'line_item', id => $id, amount => 500, currency => 'usd' },
        %changes);
}

sub invoice
{
    my ($id, $lines, %changes) = @_;
    return with({ object => 'invoice', id => $id, customer => 'cus_1', created => 1,
        currency => 'usd', total => 500, status => 'paid',
        lines => { object => 'list', data => $lines } }, %changes);
}

sub deleted { return { object => $_[0], id => $_[1], deleted => $true } }

sub of_line
{
    return "SELECT stripe_id, stripe_type, stripe_price_id, stripe_invoice_item_id,
        stripe_subscription_id, stripe_subscription_item_id, amount
        FROM ctms.stripe_invoice_line_item WHERE stripe_invoice_id = '$_[0]' ORDER BY stripe_id";
}

sub of_price
{
    return "SELECT stripe_product_id, currency, recurring_interval, recurring_interval_count,
        unit_amount, active FROM ctms.stripe_price WHERE stripe_id = '$_[0]'";
}

$ctms->sql("INSERT INTO ctms.emails (email_id, primary_email)
        VALUES ('00000000-0000-4000-8000-000000000001', 'versions\@example.com');
    INSERT INTO ctms.fxa (email_id, fxa_id)
        VALUES ('00000000-0000-4000-8000-000000000001', 'fxa_1')");
report({ object => 'customer', id => 'cus_1', description => 'fxa_1', created => 1 });

sub products
{
    return "SELECT product_id, segment, sub_count, price_id, currency, amount, interval_count,
        \"interval\", status
        FROM ctms.product_subscriptions('00000000-0000-4000-8000-000000000001')
        WHERE product_id = '$_[0]'";
}

# ---- subscriptions ---------------------------------------------------------------------------

my $started = 'SELECT extract(epoch FROM start_date)::int FROM ctms.stripe_subscription
    WHERE stripe_id = ';
stores('subscription: `start`',
    [ subscription('sub_start', [ item('si_start') ], start_date => undef, start => 7) ],
    "$started 'sub_start'", 7);
report(subscription('sub_start', [ item('si_start') ], start => 7));
is($ctms->sql("$started 'sub_start'"), 2, '"start_date" counts, if both are there');

stores('subscription: `current_period_start`, `current_period_end` of items',
    [ subscription('sub_period', [
            item('si_p1', current_period_start => 30, current_period_end => 40),
            item('si_p2', current_period_start => 20, current_period_end => 35) ],
        current_period_start => undef, current_period_end => undef,
        billing_mode => { type => 'flexible' }) ],
    "SELECT extract(epoch FROM current_period_start)::int,
        extract(epoch FROM current_period_end)::int
        FROM ctms.stripe_subscription WHERE stripe_id = 'sub_period'", '20|40');

stores('subscription: `plan`, `quantity`',
    [ subscription('sub_plan', [ item('si_sp', price => undef, plan => old_plan('plan_sp')) ],
        plan => old_plan('plan_other'), quantity => 1) ],
    "SELECT string_agg(stripe_id, ' ') FROM ctms.stripe_price WHERE stripe_id LIKE 'plan%'",
    'plan_sp');

my $whole = subscription('sub_whole', [ item('si_w') ]);
reports('subscription: without `items`', [ with($whole, items => undef) ],
    'CTS02 Stripe subscription "sub_whole": key "items" is missing');
my $is_null = 'subscription: `status` or `cancel_at_period_end` null';
reports($is_null, [ with_nulls($whole, 'status') ],
    'CTS02 Stripe subscription "sub_whole": key "status" is missing');
reports($is_null, [ with_nulls($whole, 'cancel_at_period_end') ],
    'CTS02 Stripe subscription "sub_whole": key "cancel_at_period_end" is missing');
stores('subscription: `cancel_at`, `billing_mode`, `trial_end`',
    [ subscription('sub_cancel', [ item('si_c', price => price('price_c')) ], cancel_at => 9,
        canceled_at => 8, trial_end => 5, billing_mode => { type => 'classic' }) ],
    products('prod_price_c'), 'prod_price_c|cancelling|1|price_c|usd|500|1|month|active');

# ---- items -----------------------------------------------------------------------------------

stores('subscription_item: `plan`',
    [ subscription('sub_i', [ with_nulls(item('si_plan', plan => old_plan('plan_i')), 'price'),
        item('si_both', price => price('price_both'), plan => old_plan('plan_both')) ]) ],
    "SELECT stripe_id, stripe_price_id FROM ctms.stripe_subscription_item
        WHERE stripe_subscription_id = 'sub_i' ORDER BY 1",
    "si_both|price_both\nsi_plan|plan_i");
is($ctms->sql(products('prod_plan_i')), 'prod_plan_i|active|1|plan_i|usd|700|2|year|active',
    'a plan is a product of the contact');
is(report(item('si_plan', price => undef, plan => 'plan_i', subscription => 'sub_i')),
    '{"no_change": ["subscription_item:si_plan"]}', 'the id of a plan');
is(report(item('si_plan', price => undef, plan => 'plan_404', subscription => 'sub_i')),
    'CTS03 Stripe subscription_item "si_plan" needs price "plan_404", which is not stored yet',
    '... that is not stored');
is(report(item('si_plan', price => undef, subscription => 'sub_i')),
    'CTS02 Stripe subscription_item "si_plan": key "price" is missing', 'neither');
stores('subscription_item: `quantity`, `billing_thresholds`',
    [ subscription('sub_q', [ item('si_q', price => price('price_q'), quantity => 5,
        billing_thresholds => { usage_gte => 1 }) ]) ],
    products('prod_price_q'), 'prod_price_q|active|1|price_q|usd|500|1|month|active');
my $of_deleted = 'subscription_item: `deleted`';
reports($of_deleted, [ deleted(subscription_item => 'si_404') ],
    skipped('subscription_item:si_404', 'not_stored'));
stores($of_deleted, [ deleted(subscription_item => 'si_q') ],
    "SELECT deleted FROM ctms.stripe_subscription_item WHERE stripe_id = 'si_q'", 't');
is($ctms->sql(products('prod_price_q')), '', '... and is no product any more');
reports($of_deleted, [ deleted(subscription_item => 'si_q') ],
    { no_change => ['subscription_item:si_q'] });

sub enqueued { return $ctms->sql("SELECT ctms.enqueue_stripe('" . $json->encode($_[0]) . "')") }
my $contact = '"email_ids": ["00000000-0000-4000-8000-000000000001"]';
is(enqueued(deleted(subscription_item => 'si_q')),
    qq({"enqueued": ["subscription_item:si_q"], $contact}), '... its contact is found');
is(enqueued(deleted(subscription_item => 'si_404')),
    '{"skipped": ["subscription_item:si_404"], '
    . '"skip_reasons": {"no_contact": ["subscription_item:si_404"]}}',
    '... unless it is not stored');
is(enqueued(old_plan('plan_i')), qq({"enqueued": ["price:plan_i"], $contact}),
    'a plan concerns its subscribers');
is(enqueued({ object => 'invoice', customer => 'cus_1' }),
    '{"skipped": ["invoice:"], "skip_reasons": {"preview": ["invoice:"]}}',
    'a preview of an invoice concerns nobody');

# ---- prices ------------------------------------------------------------------------------------

reports('price: `plan` as the `object`', [ old_plan('plan_1') ], { created => ['price:plan_1'] });
stores('price: `interval`, `interval_count`, `amount` of a plan', [ old_plan('plan_1') ],
    of_price('plan_1'), 'prod_plan_1|usd|year|2|700|t');
for my $many ([ billing_scheme => 'tiered', tiers_mode => 'volume', tiers => [ { flat => 1 } ] ],
    [ custom_unit_amount => { minimum => 5 } ], [ unit_amount_decimal => '0.5' ])
{
    stores('price: `unit_amount` null',
        [ with_nulls(price("price_$many->[0]", @$many), 'unit_amount') ],
        of_price("price_$many->[0]"), "prod_price_$many->[0]|usd|month|1||t");
}
stores('price: `unit_amount` null', [ with_nulls(old_plan('plan_tiers'), 'amount') ],
    of_price('plan_tiers'), 'prod_plan_tiers|usd|year|2||t');
is(report(price('price_half', unit_amount => 0.5)), 'CTS02 Stripe price "price_half": '
    . 'key "unit_amount" must be an integer of 64 bits', 'half a cent is not rounded');
stores('price: `recurring.usage_type`, `recurring.meter`, `recurring.aggregate_usage`',
    [ price('price_use', recurring => { interval => 'week', interval_count => 3,
        usage_type => 'metered', aggregate_usage => 'sum', meter => 'mtr_1' }) ],
    of_price('price_use'), 'prod_price_use|usd|week|3|500|t');
my $of_deleted_price = 'price: `deleted`';
reports($of_deleted_price, [ deleted(price => 'price_use') ],
    skipped('price:price_use', 'deletion'));
reports($of_deleted_price, [ deleted(plan => 'plan_404') ], skipped('price:plan_404', 'deletion'));
stores($of_deleted_price,
    [ subscription('sub_dp', [ item('si_dp', price => deleted(price => 'price_use')) ]) ],
    products('prod_price_use'), 'prod_price_use|active|1|price_use|usd|500|3|week|active');
reports('price: `product` null', [ with_nulls(old_plan('plan_old'), 'product') ],
    'CTS02 Stripe plan "plan_old": key "product" is missing');

# ---- invoices ----------------------------------------------------------------------------------

my $of_invoice = "SELECT stripe_customer_id, status, deleted, extract(epoch FROM
    stripe_created)::int FROM ctms.stripe_invoice WHERE stripe_id =";
stores('invoice: `date`', [ invoice('in_date', [], created => undef, date => 9) ],
    "$of_invoice 'in_date'", 'cus_1|paid|f|9');
stores('invoice: `status` null', [ with_nulls(invoice('in_status', []), 'status') ],
    "$of_invoice 'in_status'", 'cus_1||f|1');
stores('invoice: `customer` null', [ with_nulls(invoice('in_nobody', []), 'customer') ],
    "$of_invoice 'in_nobody'", '|paid|f|1');
is(report(with_nulls(invoice('in_nobody', [], total => 1), 'customer')),
    '{"updated": ["invoice:in_nobody"]}', '... and changes');
stores('invoice: `subscription`, `parent.subscription_details`',
    [ invoice('in_parent', [], parent => { type => 'subscription_details',
        subscription_details => { subscription => 'sub_1' } }) ],
    "$of_invoice 'in_parent'", 'cus_1|paid|f|1');
my $preview = 'invoice: without `id`, or `upcoming_in_…`';
reports($preview, [ invoice(undef, [ line('il_tmp_1') ]) ], skipped('invoice:', 'preview'));
reports($preview, [ with_nulls(invoice('in', []), 'id') ], skipped('invoice:', 'preview'));
reports($preview, [ invoice('upcoming_in_1', []) ], skipped('invoice:upcoming_in_1', 'preview'));
is(report({ object => 'price' }), 'CTS01 not a Stripe object: "object" and "id" are needed',
    'nothing else may lack an id');
is(report(invoice('', [])), 'CTS01 not a Stripe object: "object" and "id" are needed',
    '... and an id is not empty');
is($json->decode($ctms->sql("SELECT ctms.ingest_pubsub(jsonb_build_object('message',
        jsonb_build_object('data', encode('{\"a:1\": {\"object\": \"invoice\"},
            \"a:2\": {\"object\": \"plan\", \"id\": \"plan_1\", \"deleted\": true}}', 'base64'),
        'publishTime', '2024-01-01T00:00:00Z'))::text)"))->{response}{count}, 0,
    'skipped objects are not counted');
reports('invoice: `deleted`', [ deleted(invoice => 'in_404') ],
    skipped('invoice:in_404', 'not_stored'));
stores('invoice: `deleted`',
    [ invoice('in_deleted', [ line('il_d') ]), deleted(invoice => 'in_deleted') ],
    "$of_invoice 'in_deleted'", 'cus_1|paid|t|1');
is($ctms->sql(of_line('in_deleted')), 'il_d|||||' . '|500', '... its lines stay');

# ---- lines -------------------------------------------------------------------------------------

my %of_2020 = (type => 'subscription', subscription => 'sub_1', subscription_item => 'si_1');
stores('line_item: `price`',
    [ invoice('in_price', [ line('il_1', %of_2020, price => price('price_l')) ]) ],
    of_line('in_price'), 'il_1|subscription|price_l||sub_1|si_1|500');
stores('line_item: `type`', [ invoice('in_type', [
        line('il_2', type => 'invoiceitem', invoice_item => 'ii_1', price => 'price_l') ]) ],
    of_line('in_type'), 'il_2|invoiceitem|price_l|ii_1|||500');
stores('line_item: `plan`', [ invoice('in_plan', [
        line('il_3', %of_2020, plan => old_plan('plan_l')),
        with_nulls(line('il_4', %of_2020, plan => old_plan('plan_l')), 'price') ]) ],
    of_line('in_plan'), "il_3|subscription|plan_l||sub_1|si_1|500\n"
    . 'il_4|subscription|plan_l||sub_1|si_1|500');

sub pricing
{
    return (pricing => { type => 'price_details', unit_amount_decimal => '500',
        price_details => { price => $_[0], product => 'prod_1' } });
}
my %of_subscription = (parent => { type => 'subscription_item_details',
    invoice_item_details => undef, subscription_item_details => { subscription => 'sub_1',
        subscription_item => 'si_1', invoice_item => undef, proration => $false } });
my %of_item = (parent => { type => 'invoice_item_details', subscription_item_details => undef,
    invoice_item_details => { invoice_item => 'ii_1', subscription => 'sub_2' } });
my $pricing = 'line_item: `pricing.price_details.price`';
stores($pricing, [ invoice('in_pricing', [ line('il_5', %of_subscription, pricing('price_l')),
        line('il_6', %of_item, pricing(price('price_whole', unit_amount => 3))) ]) ],
    of_line('in_pricing'), "il_5|subscription|price_l||sub_1|si_1|500\n"
    . 'il_6|invoiceitem|price_whole|ii_1|sub_2||500');
is($ctms->sql(of_price('price_whole')), 'prod_price_whole|usd|month|1|3|t',
    '... with a whole price');
reports($pricing, [ invoice('in_needs', [ line('il_7', %of_item, pricing('price_404')) ]) ],
    'CTS03 Stripe invoice "in_needs" needs price "price_404", which is not stored yet');
reports($pricing, [ invoice('in_bad', [ line('il_7', %of_item,
        pricing(price('price_bad', currency => undef))) ]) ], 'CTS02 Stripe invoice "in_bad": '
    . 'key "lines.data[0].pricing.price_details.price.currency" is missing');
reports($pricing, [ invoice('in_bad', [ line('il_7', pricing => 5) ]) ],
    'CTS02 Stripe invoice "in_bad": key "lines.data[0].pricing" must be an object');
stores('line_item: neither `price` nor `pricing` nor `plan`', [ invoice('in_bare', [
        with_nulls(line('il_8', type => 'invoiceitem'), 'price', 'plan'),
        with_nulls(line('il_9', %of_item), 'pricing'),
        line('il_9a', %of_item, pricing => { type => 'other_details' }) ]) ],
    of_line('in_bare'), "il_8|invoiceitem|||||500\nil_9|invoiceitem||ii_1|sub_2||500\n"
    . 'il_9a|invoiceitem||ii_1|sub_2||500');
stores('line_item: `pricing.unit_amount_decimal`, `subtotal`, `quantity_decimal`',
    [ invoice('in_decimal', [ line('il_10', %of_item, subtotal => 7, quantity_decimal => '1.5',
        pricing => { type => 'price_details', unit_amount_decimal => '0.5' }) ]) ],
    of_line('in_decimal'), 'il_10|invoiceitem||ii_1|sub_2||500');
stores('line_item: `parent.type`', [ invoice('in_types', [ line('il_11', %of_subscription),
        line('il_12', %of_item), line('il_13', parent => { type => 'rate_card_details_of_2030' }),
        with_nulls(line('il_14'), 'parent') ]) ],
    "SELECT stripe_id, stripe_type FROM ctms.stripe_invoice_line_item
        WHERE stripe_invoice_id = 'in_types' ORDER BY 1",
    "il_11|subscription\nil_12|invoiceitem\nil_13|rate_card_details_of_2030\nil_14|");
reports('line_item: `parent.type`', [ invoice('in_bad', [ line('il_15', parent =>
        { type => 5 }) ]) ],
    'CTS02 Stripe invoice "in_bad": key "lines.data[0].parent.type" must be a string');
my %prorated = (parent => { type => 'subscription_item_details', subscription_item_details => {
    subscription => 'sub_1', subscription_item => 'si_1', invoice_item => 'ii_9' } });
stores('line_item: `parent.subscription_item_details`',
    [ invoice('in_prorated', [ line('il_16', %prorated) ]) ],
    of_line('in_prorated'), 'il_16|subscription||ii_9|sub_1|si_1|500');
stores('line_item: `parent.invoice_item_details`',
    [ invoice('in_item', [ line('il_17', %of_item) ]) ],
    of_line('in_item'), 'il_17|invoiceitem||ii_1|sub_2||500');
stores('line_item: `unique_id`',
    [ invoice('in_unique', [ line('sli_1', %of_2020, unique_id => 'il_18') ]) ],
    of_line('in_unique'), 'il_18|subscription|||sub_1|si_1|500');
reports('line_item: `unique_id`', [ invoice('in_bad', [ line('sli_1', unique_id => 5) ]) ],
    'CTS02 Stripe invoice "in_bad": key "lines.data[0].unique_id" must be a string');
my $old_ids = 'line_item: `id` that begins with `sub_`, `su_`, `sli_`, `ii_` or `item_`';
for my $id (qw(sub_1 su_1 sli_1 ii_1 item_1))
{
    stores($old_ids, [ invoice("in_a_$id", [ line($id) ]), invoice("in_b_$id", [ line($id) ]) ],
        "SELECT stripe_id FROM ctms.stripe_invoice_line_item
            WHERE stripe_invoice_id IN ('in_a_$id', 'in_b_$id') ORDER BY 1",
        "in_a_$id/$id\nin_b_$id/$id");
}
reports($old_ids, [ invoice('in_' . 'x' x 200, [ line('sub_' . 'x' x 200) ]) ],
    'CTS02 Stripe invoice with an odd id: key "lines.data[0].id" is too long together with '
    . 'that of its parent');
report(invoice('in_a_sub_1', [ line('il_new') ]));
is($ctms->sql("SELECT stripe_id FROM ctms.stripe_invoice_line_item
        WHERE stripe_invoice_id = 'in_a_sub_1'"), 'il_new', 'a newer version replaces the line');

# ---- others --------------------------------------------------------------------------------------

my $gone = deleted(customer => 'cus_gone');
stores('customer: deleted, in other objects', [ invoice('in_gone', [], customer => $gone) ],
    "$of_invoice 'in_gone'", 'cus_gone|paid|f|1');
for my $type (qw(v2.core.event v2.billing.cadence invoiceitem deleted_price line_item))
{
    reports('other: "thin" events, objects of API v2',
        [ { object => $type, id => 'x_1', data => { object => price('price_event') } } ],
        skipped("$type:x_1", 'unused_type'));
}

is(join("\n", grep { !$row{$_} } sort keys %row), '', 'each row of the table has a case');
done_testing();
