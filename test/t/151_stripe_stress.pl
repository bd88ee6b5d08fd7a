# Several sessions store overlapping Stripe objects, shuffled and repeated: no deadlock, no
# error but "not stored yet" (which is answered by sending again), and the same rows as when
# one session stores the messages in their order.
#
# CTMS_STRESS_OBJECTS, CTMS_STRESS_SESSIONS and CTMS_STRESS_SEED change the load;
# CTMS_STRESS_SECONDS repeats it with new messages for so long (make soak-stripe).
use strict;
use warnings;
use IPC::Run;
use JSON::PP;
use List::Util qw(shuffle);
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use Time::HiRes qw(time);
use CTMS::Test qw(slurp);
use Test::More;

my $messages = $ENV{CTMS_STRESS_OBJECTS} // 400;
my $sessions = $ENV{CTMS_STRESS_SESSIONS} // 4;
my $seed = $ENV{CTMS_STRESS_SEED} // 20240101;
my $seconds = $ENV{CTMS_STRESS_SECONDS} // 0;
srand $seed;
diag "seed $seed" if $ENV{CTMS_STRESS_SEED} || $seconds;

my $ctms = CTMS::Test->new('stripe_stress');
my $json = JSON::PP->new->utf8->canonical;
my @TABLES = qw(customer price subscription subscription_item invoice invoice_line_item);

# ---- messages: version after version of few objects, each with its time ---------------------

sub one_of { return $_[ rand @_ ] }
sub truth { return rand() < ($_[0] // 0.5) ? JSON::PP::true : JSON::PP::false }

# From 10 on, two customers each share an FxA ID; those are never marked deleted.
sub customer
{
    my $n = int rand 30;
    return { object => 'customer', id => "cus_$n", deleted => JSON::PP::true }
        if $n < 10 && rand() < 0.1;
    return { object => 'customer', id => "cus_$n", created => 1,
        default_source => one_of(undef, 'card_1', 'card_2'),
        description => 'stress_fxa_' . ($n < 10 ? $n : 10 + int($n / 2)) };
}

sub price
{
    my $n = int rand 6;
    return { object => 'price', id => "price_$n", product => 'prod_' . $n % 4, created => 1,
        active => truth(), currency => 'usd',
        unit_amount => one_of(100, 100, 200),
        recurring => one_of(undef, { interval => 'month', interval_count => 1 }) };
}

sub subscription_item
{
    my ($subscription, $n) = @_;
    return { object => 'subscription_item', id => "si_${subscription}_$n", created => int rand 3,
        price => price(), subscription => "sub_$subscription" };
}

sub subscription
{
    my $n = int rand 25;
    my @items = map { subscription_item($n, $_) } (shuffle 1 .. 5)[ 0 .. int rand 4 ];
    return { object => 'subscription', id => "sub_$n", customer => 'cus_' . int rand 30,
        created => 1, start_date => 1,
        current_period_start => 1, current_period_end => one_of(2, 3),
        cancel_at_period_end => truth(),
        status => one_of(qw(active canceled)),
        items => { data => \@items, has_more => truth(0.2) } };
}

sub invoice
{
    my $n = int rand 25;
    my @lines = map { { object => 'line_item', id => "il_${n}_$_", type => 'subscription',
            amount => int rand 3, currency => 'usd', price => price() } }
        (shuffle 1 .. 5)[ 0 .. int rand 4 ];
    return { object => 'invoice', id => "in_$n", customer => 'cus_' . int rand 30,
        created => 1, currency => 'usd',
        total => int rand 3, status => one_of(qw(open paid)),
        lines => { data => \@lines, has_more => truth(0.2) } };
}

# What Stripe has deleted, about which it tells little.
sub deleted
{
    my ($object, $id) = @_;
    return { object => $object, id => $id, deleted => JSON::PP::true };
}

my @makers = (\&customer, \&price, \&subscription, \&subscription, \&invoice,
    sub { subscription_item(int rand 25, 1 + int rand 5) },
    sub { deleted(one_of([ subscription_item => 'si_' . int(rand 25) . '_' . (1 + int rand 5) ],
        [ invoice => 'in_' . int rand 25 ])->@*) });
sub single_objects
{
    return map {
        sprintf "SELECT ctms.upsert_stripe('%s',
            timestamptz '2024-01-01 00:00:00+00' + interval '%d seconds') IS NULL;\n",
        $json->encode(one_of(@makers)->()), $_
    } 1 .. $messages;
}

# Pub/Sub messages with several objects each. What is not stored yet is no error here but in the
# answer.
sub pubsub_messages
{
    return map {
        my $payload = { map { ("x:$_" => one_of(@makers)->()) } 1 .. 1 + int rand 8 };
        my $message = { data => encode_base64($json->encode($payload), ''),
            publishTime => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(1704067200 + $_)) };
        sprintf "SELECT ctms.ingest_pubsub('%s') IS NULL;\n",
            $json->encode({ message => $message });
    } 1 .. $messages / 3;
}

# ---- stored at once, stored in order -----------------------------------------------------------

sub send_at_once
{
    my (@parts) = @_;
    my @running;
    for my $part (@parts)
    {
        my %run = (in => join('', "\\set VERBOSITY verbose\n", @$part), out => '', err => '');
        $run{handle} = IPC::Run::start([ 'psql', '-XqAt', '-d', $ctms->db_url ],
            \$run{in}, \$run{out}, \$run{err}, IPC::Run::timeout(300));
        push @running, \%run;
    }
    my %errors;
    for my $run (@running)
    {
        IPC::Run::finish($run->{handle});
        $errors{$_}++ for $run->{err} =~ /ERROR:\s+(\w{5}:)/g;
        $errors{$run->{err}}++ if $run->{err} && $run->{err} !~ /ERROR/;
    }
    return \%errors;
}

# What is stored, without when it was.
sub rows
{
    return join "\n", map {
        "$_:\n" . $ctms->sql("SELECT to_jsonb(t) - '{create_timestamp,update_timestamp}'::text[]
            FROM ctms.stripe_$_ t ORDER BY stripe_id")
    } @TABLES;
}

sub forget
{
    $ctms->sql(join ';', map { "DELETE FROM ctms.stripe_$_" } reverse @TABLES);
    return;
}

$ctms->sql("INSERT INTO ctms.emails (primary_email) SELECT 'stress' || n || '\@example.com'
    FROM generate_series(0, 29) n;
    INSERT INTO ctms.fxa (email_id, fxa_id)
        SELECT email_id, 'stress_fxa_' || substring(primary_email FROM '[0-9]+') FROM ctms.emails");

my ($sent, $busy, $alone, $sent_alone) = (0, 0, 0, 0);

# One session in order; then every session sends each of them in an order of its own, twice.
sub compare
{
    my ($name, @statements) = @_;
    my $start = time;
    my $errors = send_at_once([ @statements, @statements ]);
    $alone += time - $start;
    $sent_alone += 2 * @statements;
    delete $errors->{'CTS03:'};
    is_deeply($errors, {}, "$name: one session, in order");
    my $expected = rows();
    forget();

    for my $again ('', ' again')
    {
        $start = time;
        $errors = send_at_once(map { [ shuffle @statements ] } 1 .. $sessions);
        $busy += time - $start;
        $sent += $sessions * @statements;
        note "items by themselves before their subscription: " . (delete $errors->{'CTS03:'} // 0);
        is_deeply($errors, {}, "$name: $sessions sessions at once$again");
    }
    ok(rows() eq $expected, "$name: the same rows as in order")
        or diag difference($expected, rows());
    forget();
    return;
}

my $end = time + $seconds;
my $rounds = 0;
do
{
    compare('objects', single_objects());
    compare('messages', pubsub_messages());
    $rounds++;
} while (time < $end);
diag sprintf '%d rounds; %d messages by %d sessions in %.0f s: %.0f a second; '
    . 'one session: %.0f a second', $rounds, $sent, $sessions, $busy, $sent / $busy,
    $sent_alone / $alone if $seconds;
is($ctms->sql('SELECT count(*) FROM pg_locks WHERE NOT granted'), 0, 'no lock is waited for');
unlike(slurp($ctms->node->logfile), qr/deadlock|terminated|PANIC|FATAL/,
    'the server had no trouble');

sub difference
{
    my ($left, $right) = @_;
    my %count;
    $count{$_}++ for split /\n/, $left;
    $count{$_}-- for split /\n/, $right;
    return join "\n", map { ($count{$_} > 0 ? 'in order: ' : 'at once:  ') . $_ }
        grep { $count{$_} } sort keys %count;
}

done_testing();
