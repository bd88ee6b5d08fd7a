# Two sessions of one kind of statement against two of another, on a few contacts, for many pairs of
# kinds: nobody ends in a deadlock, unless plain PostgreSQL has the same one without the queue.
#
# By default the pairs that are known to have met, and some that are alike. CTMS_STRESS_PAIRS=all
# tries each kind with each (an hour), or give some: "put:newsletters_update delete:finish". Each
# session makes CTMS_STRESS_TRANSACTIONS transactions; CTMS_STRESS_SEED repeats a load.
use strict;
use warnings;
use CTMS::Test;
use IPC::Run;
use List::Util;
use Test::More;

my $transactions = $ENV{CTMS_STRESS_TRANSACTIONS} // 12;
my $seed = $ENV{CTMS_STRESS_SEED} // 20240214;
my $wanted = $ENV{CTMS_STRESS_PAIRS} // '';
srand $seed;
diag "seed $seed" if $wanted;

my $ctms = CTMS::Test->new('lock_order', conf => 'deadlock_timeout = 100ms',
    settings => { acoustic_deletions => 'on', acoustic_history_sent => 'on' });

# Contacts 1 to 3 have rows of every kind, 4 to 6 have none that refer to them.
$ctms->sql(q{
    ALTER DATABASE ctms SET jit = off; -- it would compile for tables without an index
    ALTER DATABASE ctms SET enable_seqscan = off;
    ALTER DATABASE ctms SET enable_hashjoin = off;
    ALTER DATABASE ctms SET enable_mergejoin = off;
    CREATE FUNCTION contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid $$;
    CREATE FUNCTION make(n integer) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO ctms.emails (email_id, primary_email)
            VALUES (contact(n), n || '@example.com') ON CONFLICT DO NOTHING;
        IF n > 3 OR NOT FOUND THEN
            RETURN;
        END IF;
        INSERT INTO ctms.amo (email_id) VALUES (contact(n)) ON CONFLICT DO NOTHING;
        INSERT INTO ctms.fxa (email_id, fxa_id) VALUES (contact(n), 'fxa_' || n)
            ON CONFLICT DO NOTHING;
        INSERT INTO ctms.mofo (email_id, mofo_email_id) VALUES (contact(n), n)
            ON CONFLICT DO NOTHING;
        INSERT INTO ctms.newsletters (email_id, name) SELECT contact(n), 'n' || m
            FROM generate_series(1, 3) AS m ON CONFLICT DO NOTHING;
        INSERT INTO ctms.waitlists (email_id, name) VALUES (contact(n), 'w1')
            ON CONFLICT DO NOTHING;
    END $$;
    CREATE FUNCTION stripe_customer(n integer) RETURNS jsonb LANGUAGE sql AS $$
        SELECT jsonb_build_object('object', 'customer', 'id', 'cus_' || n, 'created', 1,
            'description', 'fxa_' || n, 'default_source', md5(random()::text)) $$;
    CREATE FUNCTION stripe_subscription(n integer) RETURNS jsonb LANGUAGE sql AS $$
        SELECT jsonb_build_object('object', 'subscription', 'id', 'sub_' || n,
            'customer', 'cus_' || n, 'created', 1, 'start_date', 1, 'current_period_start', 1,
            'current_period_end', 1 + floor(random() * 1000)::int, 'cancel_at_period_end', false,
            'status', 'active', 'items', jsonb_build_object('data', jsonb_build_array(
            jsonb_build_object('object', 'subscription_item', 'id', 'si_' || n, 'created', 1,
                'price', jsonb_build_object('object', 'price', 'id', 'price', 'product', 'prod',
                'created', 1, 'active', true, 'currency', 'usd',
                'unit_amount', floor(random() * 3)::int))))) $$;
});

# Locks are held for a moment, so that sessions meet.
$ctms->sql(q{
    CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(random() * 0.002);
        RETURN NULL;
    END $$;
    DO $$
    DECLARE name text;
    BEGIN
        FOREACH name IN ARRAY '{emails,newsletters,waitlists,fxa,amo,mofo,stripe_customer,
            stripe_subscription,stripe_subscription_item,stripe_price,acoustic_sent,
            acoustic_deleted_contact}'::text[] LOOP
            EXECUTE format('CREATE TRIGGER pause AFTER INSERT OR UPDATE OR DELETE ON ctms.%I
                EXECUTE FUNCTION pause()', name);
        END LOOP;
    END $$});

# ---- kinds of statements: each gives the lines of one transaction --------------------------------

sub one_of { return $_[ rand @_ ] }
sub n { return 1 + int rand 3 }
sub id { return "contact($_[0])" }
sub value { return int rand 1e9 }
sub shuffled { my @n = List::Util::shuffle(@_); return 'ARRAY[' . join(', ', @n) . ']' }
sub body
{
    my (%more) = @_;
    my $n = n();
    return sprintf q{jsonb_build_object('email', jsonb_build_object('primary_email',
        '%d@example.com', 'first_name', '%d'%s), 'fxa', jsonb_build_object('fxa_id', 'fxa_%d',
        'lang', '%d'), 'amo', jsonb_build_object('username', '%d'),
        'newsletters', jsonb_build_array(
        jsonb_build_object('name', 'n1', 'source', 'http://x/%d'),
        jsonb_build_object('name', '%s', 'source', 'http://x/%d')))::text},
        $more{n}, value(), $more{token} // '', $more{n}, value(), value(), value(),
        one_of('n2', 'n3', 'n4'), value();
}
sub token { return ", 'basket_token', gen_random_uuid()" }
# Rows of several contacts, in random order.
sub many
{
    my ($table, $change, @n) = @_;
    @n = (1, 2, 3) unless @n;
    return "UPDATE ctms.$table AS t SET $change FROM unnest(" . shuffled(@n)
        . ') AS u (n) WHERE t.email_id = contact(u.n)';
}
sub where { return 'WHERE email_id = ' . id($_[0] // n()) }
sub agent
{
    my ($name, $settle) = @_;
    my $mine = "SELECT email_id, generation FROM ctms.pending_acoustic WHERE lease_owner = '$name'
        UNION ALL SELECT email_id, generation FROM ctms.acoustic_deleted_contact
        WHERE lease_owner = '$name'";
    return ("SELECT count(*) FROM ctms.claim_acoustic('$name', 10, 6, '1 hour')",
        $settle =~ s/MINE/FROM ($mine) AS mine (email_id, generation)/r);
}

my %kind = (
    # Plain SQL, one statement each.
    emails_update => sub { "UPDATE ctms.emails SET first_name = '@{[value()]}' " . where() },
    emails_update_many => sub { many('emails', "first_name = '@{[value()]}'") },
    emails_token => sub { 'UPDATE ctms.emails SET basket_token = gen_random_uuid() ' . where() },
    emails_insert => sub { "SELECT make(@{[n() + 3]})" },
    emails_delete => sub { my $n = 3 + n(); ("DELETE FROM ctms.emails " . where($n),
        "SELECT make($n)") },
    emails_delete_many => sub { ('DELETE FROM ctms.emails AS t USING unnest('
        . shuffled(4, 5, 6) . ') AS u (n) WHERE t.email_id = contact(u.n)',
        map { "SELECT make($_)" } 4, 5, 6) },
    newsletters_update => sub { "UPDATE ctms.newsletters SET source = '@{[value()]}' "
        . where() . " AND name = 'n@{[n()]}'" },
    newsletters_update_many => sub { many('newsletters', "source = '@{[value()]}'") },
    newsletters_insert => sub { "INSERT INTO ctms.newsletters (email_id, name)
        VALUES (@{[id(n())]}, 'n@{[1 + int rand 5]}') ON CONFLICT DO NOTHING" },
    newsletters_insert_bare => sub { my $n = 3 + n(); ("INSERT INTO ctms.newsletters (email_id,
        name) VALUES (@{[id($n)]}, 'n1') ON CONFLICT DO NOTHING",
        'DELETE FROM ctms.newsletters ' . where($n)) },
    newsletters_upsert => sub { "INSERT INTO ctms.newsletters (email_id, name)
        VALUES (@{[id(n())]}, 'n@{[1 + int rand 5]}')
        ON CONFLICT (email_id, name) DO UPDATE SET source = '@{[value()]}'" },
    newsletters_delete => sub { 'DELETE FROM ctms.newsletters ' . where()
        . " AND name = 'n@{[1 + int rand 5]}'" },
    waitlists_update => sub { "UPDATE ctms.waitlists SET source = '@{[value()]}' " . where() },
    waitlists_update_many => sub { many('waitlists', "source = '@{[value()]}'") },
    fxa_update => sub { "UPDATE ctms.fxa SET lang = '@{[value()]}' " . where() },
    fxa_update_many => sub { many('fxa', "lang = '@{[value()]}'") },
    fxa_replace => sub { my $n = n(); ('DELETE FROM ctms.fxa ' . where($n), "INSERT INTO ctms.fxa
        (email_id, fxa_id) VALUES (@{[id($n)]}, 'fxa_$n') ON CONFLICT DO NOTHING") },
    amo_update => sub { "UPDATE ctms.amo SET username = '@{[value()]}' " . where() },
    mofo_update => sub { "UPDATE ctms.mofo SET mofo_contact_id = '@{[value()]}' " . where() },
    customer_update => sub { "UPDATE ctms.stripe_customer SET default_source_id = '@{[value()]}'
        WHERE stripe_id = 'cus_@{[n()]}'" },
    subscription_update => sub { "UPDATE ctms.stripe_subscription SET default_source_id =
        '@{[value()]}' WHERE stripe_id = 'sub_@{[n()]}'" },
    price_update => sub { "UPDATE ctms.stripe_price SET unit_amount = @{[value()]}" },
    # Plain SQL, several statements in a transaction.
    parent_first => sub { my $n = n(); ('BEGIN', 'SELECT FROM ctms.emails ' . where($n)
        . ' FOR UPDATE', "UPDATE ctms.newsletters SET source = '@{[value()]}' " . where($n)
        . " AND name = 'n@{[n()]}'", 'COMMIT') },
    contact_delete => sub { my $n = n(); ('BEGIN', (map { "DELETE FROM ctms.$_ " . where($n) }
        qw(amo fxa mofo newsletters waitlists emails)), 'COMMIT', "SELECT make($n)") },
    # Functions for contacts and Stripe.
    create => sub { "SELECT count(*) FROM ctms.create_contact(@{[body(n => n())]})" },
    put => sub { my $n = n(); "SELECT length(ctms.put_contact(@{[id($n)]},
        @{[body(n => $n)]})::text)" },
    put_token => sub { my $n = n(); "SELECT length(ctms.put_contact(@{[id($n)]},
        @{[body(n => $n, token => token())]})::text)" },
    patch => sub { my $n = n(); "SELECT length(ctms.patch_contact(@{[id($n)]},
        @{[body(n => $n)]})::text)" },
    patch_token => sub { my $n = n(); "SELECT length(ctms.patch_contact(@{[id($n)]},
        @{[body(n => $n, token => token())]})::text)" },
    delete => sub { my $n = n(); ("SELECT length(ctms.delete_contact('$n\@example.com')::text)",
        "SELECT make($n)", "SELECT ctms.upsert_stripe(stripe_customer($n)) IS NULL",
        "SELECT ctms.upsert_stripe(stripe_subscription($n)) IS NULL") },
    stripe_customer => sub { "SELECT ctms.upsert_stripe(stripe_customer(@{[n()]})) IS NULL" },
    stripe_subscription => sub {
        "SELECT ctms.upsert_stripe(stripe_subscription(@{[n()]})) IS NULL" },
    # Operators and agents.
    enqueue => sub { 'SELECT ctms.enqueue_contacts(array_agg(contact(n))) FROM unnest('
        . shuffled(1 .. 6) . ') AS n' },
    reset => sub { 'SELECT ctms.reset_acoustic_retries()' },
    claim => sub { (agent("claim$_[0]", 'SELECT 1'))[0] },
    finish => sub { agent("finish$_[0]", "SELECT ctms.finish_acoustic('finish$_[0]',
        array_agg(email_id), array_agg(generation), NULL,
        array_agg('{\"main\": \"@{[value()]}\"}'::text)) MINE") },
    fail => sub { agent("fail$_[0]", "SELECT ctms.fail_acoustic('fail$_[0]',
        array_agg(email_id), array_agg(generation), array_agg('failed'::text),
        array_agg(@{[one_of('true', 'false')]}), 6) MINE") },
    release => sub { agent("release$_[0]", "SELECT ctms.release_acoustic('release$_[0]')") },
);

# ---- one pair -----------------------------------------------------------------------------------

sub start_session
{
    my ($name, $number, $settings) = @_;
    my @lines = ('\set VERBOSITY sqlstate', $settings // ());
    push @lines, map { s/\s+/ /gr . ';' } $kind{$name}->($number) for 1 .. $transactions;
    # From a file: IPC::Run would hand the lines over only when it waits for this session.
    my $file = "$ENV{TESTDIR}/lock_order_$number.sql";
    open my $handle, '>', $file or die "$file: $!";
    print $handle join("\n", @lines, '');
    close $handle or die "$file: $!";
    my %session = (kind => $name, out => '', err => '');
    $session{handle} = IPC::Run::start([ 'psql', '-XqAt', '-d', $ctms->db_url, '-f', $file ],
        '<', \'', '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout(300));
    return \%session;
}

# How often each error came, by kind and SQLSTATE.
sub meet
{
    my ($one, $other, $settings) = @_;
    $ctms->sql(q{SELECT make(n) FROM generate_series(1, 6) AS n;
        SELECT ctms.upsert_stripe(stripe_customer(n)), ctms.upsert_stripe(stripe_subscription(n))
        FROM generate_series(1, 3) AS n;
        UPDATE ctms.pending_acoustic SET lease_owner = NULL, lease_until = NULL;
        DELETE FROM ctms.acoustic_deleted_contact});
    my @who = ([ $one, 1 ], [ $other, 2 ], [ $one, 3 ], [ $other, 4 ]);
    # Two statements that lock several rows in random order would wait for each other.
    @who = grep { $_->[0] !~ /_many$/ || $_->[1] <= 2 } @who;
    my @sessions = map { start_session(@$_, $settings) } @who;
    my %errors;
    for my $session (@sessions)
    {
        IPC::Run::finish($session->{handle});
        $errors{"$session->{kind} $1"}++ while $session->{err} =~ /(?:ERROR|FATAL):\s+(\w+)/g;
    }
    return \%errors;
}

sub only { my ($pattern, $errors) = @_; return grep { /$pattern/ } sort keys %$errors }

# Whether the same pair deadlocks where nothing is enqueued: then it is plain PostgreSQL's. The
# triggers are off too, as a table without ctms has none.
sub is_plain
{
    my ($one, $other) = @_;
    for (1 .. 3)
    {
        return 1 if only('40P01', meet($one, $other, 'SET ctms.enqueue = off;'));
    }
    return 0;
}

# What may happen: a row is gone or there already, a contact has changed while it was being deleted,
# the transaction has failed before.
my $HARMLESS = qr/ (?:23503|23505|25P02|CT404|CT409|40001|CTS03)$/;

sub try_pair
{
    my ($one, $other) = @_;
    my $errors = meet($one, $other);
    my @bad = grep { !/$HARMLESS/ } sort keys %$errors;
    my $found = join ', ', map { "$_: $errors->{$_}" } @bad;
    my $name = "$one and $other";
    if (@bad && !grep({ !/40P01/ } @bad) && is_plain($one, $other))
    {
        pass("$name: plain PostgreSQL has the same deadlock");
        diag "$name: plain, $found" if $wanted;
        return;
    }
    is($found, '', $name);
    return;
}

my @all = sort keys %kind;
my @pairs = $wanted eq 'all'
    ? map { my $i = $_; map { [ $all[$i], $all[$_] ] } $i .. $#all } 0 .. $#all
    : map { [ split /:/ ] } split ' ', $wanted || q{
        put:newsletters_update put:newsletters_delete put_token:newsletters_upsert
        put_token:fxa_update patch_token:waitlists_update put_token:delete patch:create
        delete:newsletters_upsert delete:fxa_replace delete:stripe_subscription
        delete:claim delete:finish delete:fail delete:reset
        price_update:claim stripe_subscription:finish enqueue:finish
        emails_delete_many:finish emails_delete_many:reset emails_delete_many:emails_insert
        parent_first:newsletters_update newsletters_insert_bare:emails_delete
    };
try_pair(@$_) for @pairs;
done_testing();
