package CTMS::SoakWriter;

# A user of the soak with a DBA: changes and reads contacts and Stripe's rows by SQL, at one level
# of isolation, and reports every statement that fails. Whether it may fail is not decided here.
#
#   CTMS::SoakWriter->new(url => …, name => 'w1', isolation => 'read committed', seed => 1,
#       until => $file, report => $file)->run;
#
# No two users can deadlock by what they ask for: contacts come in the order of their ids, and
# within a contact its own row before its others, in the order in which ctms writes them; or else
# one of its others alone. So a deadlock is somebody else's fault.

use strict;
use warnings;
use CTMS::SoakSession;
use IO::Handle;
use JSON::PP;
use List::Util qw(shuffle);
use Time::HiRes qw(time);

my $json = JSON::PP->new->canonical->allow_nonref;

# Contacts by kind: those that stay and have everything, those that come and go, and those that
# come and go and are rows of emails and nothing else.
our %COUNT = (stay => 30, go => 10, bare => 10);
my %PREFIX = (stay => 1, go => 2, bare => 3);

sub contact_id
{
    my ($kind, $n) = @_;
    return sprintf '%d0000000-0000-4000-8000-%012d', $PREFIX{$kind}, $n;
}

sub body
{
    my ($kind, $n, $version) = @_;
    return { email => { email_id => contact_id($kind, $n),
            primary_email => "$kind$n\@example.com", first_name => $version, email_lang => 'fr' },
        amo => { username => $version, user_id => "$kind$n" },
        fxa => { fxa_id => "fxa_$kind$n", lang => 'fr' },
        mofo => { mofo_email_id => contact_id($kind, $n), mofo_contact_id => $version },
        newsletters => [ map { +{ name => $_, source => "https://example.com/$version" } }
                qw(n1 n2 n3) ],
        waitlists => [ { name => 'w1', fields => { geo => 'fr' } } ] };
}

sub as_text { return "'" . ($json->encode($_[0]) =~ s/'/''/gr) . "'" }

# The statements that fill an empty database.
sub fill
{
    my @sql = map { "SELECT ctms.put_contact('" . contact_id('stay', $_) . "', "
            . as_text(body('stay', $_, 'v0')) . ')' } 1 .. $COUNT{stay};
    return @sql, qq{
        INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active,
            currency, unit_amount)
            SELECT 'price' || n, 'product' || n, now(), true, 'usd', 1 FROM generate_series(1, 3) n;
        INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
            SELECT 'cus' || n, 'fxa_stay' || n, now() FROM generate_series(1, $COUNT{stay}) n;
        INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
            cancel_at_period_end, current_period_end, current_period_start, start_date, status)
            SELECT 'sub' || n, 'cus' || n, now(), false, now(), now(), now(), 'active'
            FROM generate_series(1, $COUNT{stay}) n;
        INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id,
            stripe_price_id, stripe_created)
            SELECT 'si' || n, 'sub' || n, 'price' || 1 + n % 3, now()
            FROM generate_series(1, $COUNT{stay}) n;
        INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, stripe_created, currency,
            total, status)
            SELECT 'in' || n, 'cus' || n, now(), 'usd', 1, 'open'
            FROM generate_series(1, $COUNT{stay}) n;
        INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id, stripe_type,
            stripe_price_id, amount, currency)
            SELECT 'il' || n, 'in' || n, 'subscription', 'price1', 1, 'usd'
            FROM generate_series(1, $COUNT{stay}) n};
}

sub new
{
    my ($class, %options) = @_;
    my $self = bless { %options, commits => 0, failures => 0, version => 0 }, $class;
    $self->{at_first} = [ "SET default_transaction_isolation = '$options{isolation}'",
        "SET application_name = '$options{name}'", q{SET statement_timeout = '60s'},
        'PREPARE reading (uuid) AS SELECT ctms.get_contact($1) IS NOT NULL' ];
    $self->{session} = CTMS::SoakSession->new($options{url}, @{ $self->{at_first} });
    return $self;
}

# ---- statements, and how they end --------------------------------------------------------------

sub report
{
    my ($self, %entry) = @_;
    print { $self->{handle} } $json->encode({ at => time, begun => $self->{begun},
            writer => $self->{name}, isolation => $self->{isolation},
            pid => $self->{session}{pid}, %entry }) . "\n";
    return;
}

# True if it worked. The phase is "single" for a statement that is its own transaction.
sub statement
{
    my ($self, $kind, $phase, $sql) = @_;
    my $r = $self->{session}->run($sql);
    $self->{rows} = $r->{rows};
    return 1 if $r->{state} eq '00000';
    $self->report(kind => $kind, phase => $phase, state => $r->{state}, sql => $sql,
        text => $r->{text});
    return 0;
}

sub single
{
    my ($self, $kind, $sql) = @_;
    $self->{begun} = time;
    my $ok = $self->statement($kind, 'single', $sql);
    $self->{commits}++ if $ok;
    return $ok;
}

sub wrong
{
    my ($self, $what) = @_;
    $self->report(kind => 'reading', phase => 'answer', state => 'WRONG', sql => $what, text => '');
    return;
}

sub pick { return $_[ int rand @_ ] }
sub number { return 1 + int rand $COUNT{ $_[0] } }
sub value { my ($self) = @_; return "$self->{name}_" . ++$self->{version} }

# ---- transactions by plain SQL -----------------------------------------------------------------

# The tables in the order in which ctms writes them.
my @OTHERS = qw(amo fxa mofo newsletters waitlists);

sub change_other
{
    my ($self, $table, $id, $is_held) = @_;
    my $value = $self->value;
    my %update = (amo => "display_name = '$value'", fxa => "lang = '$value'",
        mofo => 'mofo_relevant = mofo_relevant IS NOT TRUE', newsletters => "source = '$value'",
        waitlists => qq{fields = '{"geo": "$value"}'});
    my $where = "WHERE email_id = '$id'";
    # Several rows at once only while the contact's own row keeps others away.
    $where .= $table eq 'newsletters' ? " AND name = '" . pick(qw(n1 n2 x1 x2)) . "'"
        : $table eq 'waitlists' ? q{ AND name = 'w1'} : '' if !$is_held;
    my $update = "UPDATE ctms.$table SET $update{$table} $where";
    return $update if $table !~ /^(newsletters|waitlists)$/ || rand() < 0.6;
    my $name = pick(qw(x1 x2 x3));
    return "DELETE FROM ctms.$table WHERE email_id = '$id' AND name = '$name'" if rand() < 0.5;
    return "INSERT INTO ctms.$table (email_id, name, source) VALUES ('$id', '$name', '$value') "
        . pick('ON CONFLICT DO NOTHING', "ON CONFLICT (email_id, name) DO UPDATE SET source = 'y'");
}

# Statements about a contact, with its own row first or with one of its others alone.
sub changes
{
    my ($self, $id) = @_;
    return $self->change_other(pick(@OTHERS), $id, 0) if rand() < 0.5;
    my @tables = grep { rand() < 0.4 } @OTHERS;
    return "UPDATE ctms.emails SET first_name = '@{[ $self->value ]}', update_timestamp = now() "
        . "WHERE email_id = '$id'", map { $self->change_other($_, $id, 1) } @tables;
}

sub change_in_transaction
{
    my ($self) = @_;
    # Each contact once, and its own row first: another order deadlocks in plain SQL, too.
    my %picked = map { number('stay') => 1 } 1 .. pick(1, 1, 1, 2, 3);
    my @numbers = sort { $a <=> $b } keys %picked;
    my @steps = map { $self->changes(contact_id('stay', $_)) } @numbers;
    $self->{begun} = time;
    my $ok = $self->statement('transaction', 'begin',
        'BEGIN' . pick('', " ISOLATION LEVEL $self->{isolation}")
            . pick('', '; SET LOCAL ctms.acoustic_lane = bulk'));
    for my $sql (@steps)
    {
        $ok &&= $self->step_with_savepoint($sql);
        $ok &&= $self->look(contact_id('stay', pick(@numbers))) if rand() < 0.2;
        last if !$ok;
    }
    if (!$ok)
    {
        $self->statement('transaction', 'rollback', 'ROLLBACK');
        return;
    }
    return $self->end_transaction;
}

sub step_with_savepoint
{
    my ($self, $sql) = @_;
    return $self->statement('sql', 'statement', $sql) if rand() < 0.7;
    my $end = pick('ROLLBACK TO s', 'RELEASE s', 'ROLLBACK TO s; RELEASE s');
    my $ok = $self->statement('sql', 'statement', 'SAVEPOINT s')
        && $self->statement('sql', 'statement', $sql)
        && $self->statement('sql', 'statement', $end);
    # That gives up the contact's own row too, which keeps others away from what comes next.
    return $ok && $end =~ /ROLLBACK/ && $sql =~ /^UPDATE ctms\.emails /
        ? $self->statement('sql', 'statement', $sql) : $ok;
}

sub end_transaction
{
    my ($self) = @_;
    my $dice = rand;
    # Both come at the end only: what they hold would be held while more is asked for.
    my $ok = $dice < 0.05
        ? $self->statement('transaction', 'commit', 'SET CONSTRAINTS ALL IMMEDIATE')
        : $dice < 0.1 ? $self->statement('transaction', 'commit', 'SET TRANSACTION READ ONLY') : 1;
    return $self->statement('transaction', 'rollback', 'ROLLBACK') if !$ok || rand() < 0.08;
    if (rand() < 0.2)
    {
        my $name = "'" . $self->value . "'";
        return $self->statement('transaction', 'rollback', 'ROLLBACK')
            if !$self->statement('transaction', 'commit', "PREPARE TRANSACTION $name");
        my $is_kept = rand() < 0.8;
        $self->{commits}++ if $self->statement('transaction', 'commit prepared',
            ($is_kept ? 'COMMIT' : 'ROLLBACK') . " PREPARED $name");
        return;
    }
    my $is_chained = rand() < 0.05;
    $ok = $self->statement('transaction', 'commit', 'COMMIT' . ($is_chained ? ' AND CHAIN' : ''));
    $self->{commits}++ if $ok;
    $self->statement('transaction', 'rollback', 'ROLLBACK') if $is_chained || !$ok;
    return;
}

# Contacts that are rows of emails alone.
sub change_bare
{
    my ($self) = @_;
    my $n = number('bare');
    my $id = contact_id('bare', $n);
    return $self->single('sql', pick(
            "INSERT INTO ctms.emails (email_id, primary_email) VALUES ('$id', "
            . "'bare$n\@example.com') ON CONFLICT DO NOTHING",
            "UPDATE ctms.emails SET last_name = '@{[ $self->value ]}' WHERE email_id = '$id'",
            "DELETE FROM ctms.emails WHERE email_id = '$id'"));
}

sub change_stripe
{
    my ($self) = @_;
    my ($n, $value) = (number('stay'), 1 + int rand 1000);
    return $self->single('sql', pick(
            "UPDATE ctms.stripe_price SET unit_amount = $value WHERE stripe_id = 'price"
            . pick(1, 2, 3) . "'",
            "UPDATE ctms.stripe_customer SET default_source_id = 'card$value' "
            . "WHERE stripe_id = 'cus$n'",
            "UPDATE ctms.stripe_subscription SET current_period_end = current_period_end "
            . "+ interval '1 s' WHERE stripe_id = 'sub$n'",
            "UPDATE ctms.stripe_subscription_item SET stripe_price_id = 'price" . pick(1, 2, 3)
            . "' WHERE stripe_id = 'si$n'",
            "UPDATE ctms.stripe_invoice SET total = $value WHERE stripe_id = 'in$n'",
            "UPDATE ctms.stripe_invoice_line_item SET amount = $value WHERE stripe_id = 'il$n'"))
        if rand() < 0.7;
    return $self->single('upsert_stripe', 'SELECT ctms.upsert_stripe(' . as_text({
                object => 'customer', id => "cus$n", created => 1600000000,
                description => "fxa_stay$n", default_source => "card$value",
                invoice_settings => { default_payment_method => "card$value" } }) . ') IS NULL');
}

# Commits inside of a statement.
sub change_in_procedure
{
    my ($self) = @_;
    my $id = contact_id('stay', number('stay'));
    my $value = $self->value;
    return $self->single('procedure', qq{DO \$\$ BEGIN
        FOR i IN 1 .. 3 LOOP
            UPDATE ctms.newsletters SET source = '$value' || i
                WHERE email_id = '$id' AND name = 'n1';
            COMMIT;
        END LOOP; END \$\$});
}

# ---- functions ---------------------------------------------------------------------------------

sub change_by_function
{
    my ($self) = @_;
    my $kind = rand() < 0.7 ? 'stay' : 'go';
    my $n = number($kind);
    my $id = contact_id($kind, $n);
    my $body = body($kind, $n, $self->value);
    my $dice = rand;
    if ($dice < 0.3)
    {
        # Parts are left out; those that a contact that stays must keep are not.
        delete $body->{ pick(qw(amo mofo)) } if $kind eq 'go';
        return $self->single("put_contact $kind", "SELECT ctms.put_contact('$id', "
                . as_text($body) . ') IS NOT NULL');
    }
    if ($dice < 0.75)
    {
        my %patch = map { $_ => $body->{$_} }
            (shuffle qw(email amo mofo newsletters waitlists))[ 0 .. 1 ];
        delete @{ $patch{email} }{qw(email_id primary_email)} if $patch{email};
        return $self->single("patch_contact $kind", "SELECT ctms.patch_contact('$id', "
                . as_text(\%patch) . ') IS NOT NULL');
    }
    $n = number('go');
    $body = body('go', $n, $self->value);
    return $self->single('create_contact go',
            'SELECT email_id IS NOT NULL FROM ctms.create_contact(' . as_text($body) . ')')
        if $dice < 0.87;
    return $self->single('delete_contact go',
            "SELECT ctms.delete_contact('go$n\@example.com') IS NULL");
}

# What the function answers is what SQL sees in the same snapshot.
sub look
{
    my ($self, $id) = @_;
    my $ok = $self->statement('reading', 'statement', qq{
        SELECT (c->'email'->>'first_name', c->'amo'->>'display_name', c->'fxa'->>'lang',
                json_array_length(c->'newsletters')) IS NOT DISTINCT FROM
            (SELECT (first_name::text,
                (SELECT display_name::text FROM ctms.amo WHERE email_id = '$id'),
                (SELECT lang::text FROM ctms.fxa WHERE email_id = '$id'),
                (SELECT count(*)::integer FROM ctms.newsletters WHERE email_id = '$id'))
            FROM ctms.emails WHERE email_id = '$id'), c IS NULL
        FROM (SELECT ctms.get_contact('$id') AS c OFFSET 0) AS function});
    return 0 if !$ok;
    $self->wrong("get_contact('$id') is not what SQL sees: @{ $self->{rows} }")
        if $self->{rows}[0] !~ /^t\|/ && $self->{rows}[0] ne 'f|t';
    $self->wrong("get_contact('$id') is null") if $self->{rows}[0] =~ /\|t$/ && $id =~ /^1/;
    return 1;
}

sub read_something
{
    my ($self) = @_;
    my $n = number('stay');
    my $id = contact_id('stay', $n);
    my $dice = rand;
    $self->{begun} = time;
    return $self->look($id) if $dice < 0.4;
    return $self->single('reading', "EXECUTE reading('$id')") if $dice < 0.6;
    my %find = (primary_email => "STAY$n\@example.com", mofo_email_id => $id,
        amo_user_id => "stay$n", fxa_id => "fxa_stay$n", email_id => $id);
    my $by = pick(sort keys %find);
    return $self->single('reading', "SELECT ctms.find_contacts($by => '$find{$by}') IS NOT NULL")
        if $dice < 0.75;
    return $self->single('reading', "SELECT ctms.find_identities($by => '$find{$by}') IS NOT NULL")
        if $dice < 0.8;
    return $self->single('reading',
            q{SELECT ctms.get_updates('2020-01-01', "limit" => '20') IS NULL})
        if $dice < 0.9;
    return $self->single('reading', pick("SELECT ctms.get_identity('$id') IS NULL",
            "SELECT count(*) FROM ctms.acoustic_rows('{$id}')",
            'SELECT * FROM ctms.acoustic_backlog(10)', 'SELECT ctms.acoustic_lanes(10)',
            "SELECT count(*) FROM ctms.product_subscriptions('$id')"));
}

# Several reads in one transaction see the same.
sub read_in_transaction
{
    my ($self) = @_;
    my $id = contact_id('stay', number('stay'));
    $self->{begun} = time;
    my $ok = $self->statement('reading', 'begin', 'BEGIN READ ONLY');
    for (1 .. 3) { $ok &&= $self->look($id) }
    $ok &&= $self->statement('reading', 'statement', "EXECUTE reading('$id')");
    $self->{commits}++ if $ok;
    return $self->statement('reading', $ok ? 'commit' : 'rollback', $ok ? 'COMMIT' : 'ROLLBACK');
}

sub operate
{
    my ($self) = @_;
    my $ids = join ',', map { contact_id('stay', $_) }
        sort { $a <=> $b } number('stay'), number('stay');
    return $self->single('operator', pick("SELECT ctms.enqueue_contacts('{$ids}')",
            "SELECT ctms.reset_acoustic_retries('{$ids}')"));
}

sub start_afresh
{
    my ($self) = @_;
    $self->statement('session', 'single', pick('DISCARD ALL', 'DISCARD PLANS', 'DISCARD SEQUENCES',
            'RESET ALL', 'DEALLOCATE ALL'));
    $self->{session}->run('DEALLOCATE ALL');
    $self->{session}->run($_) for @{ $self->{at_first} };
    return;
}

sub run
{
    my ($self) = @_;
    my $parent = getppid;
    srand $self->{seed};
    open $self->{handle}, '>', $self->{report} or die "$self->{report}: $!";
    $self->{handle}->autoflush(1);
    my $next_count = 0;
    until (-e $self->{until} || getppid != $parent)
    {
        my $dice = rand;
        if ($dice < 0.35) { $self->change_in_transaction }
        elsif ($dice < 0.55) { $self->change_by_function }
        elsif ($dice < 0.65) { $self->change_stripe }
        elsif ($dice < 0.70) { $self->change_bare }
        elsif ($dice < 0.73) { $self->change_in_procedure }
        elsif ($dice < 0.90) { $self->read_something }
        elsif ($dice < 0.96) { $self->read_in_transaction }
        elsif ($dice < 0.98) { $self->operate }
        else { $self->start_afresh }
        next if time < $next_count;
        print { $self->{handle} } $json->encode({ commits => $self->{commits} }) . "\n";
        $next_count = time + 1;
    }
    print { $self->{handle} } $json->encode({ commits => $self->{commits} }) . "\n";
    close $self->{handle};
    $self->{session}->stop;
    return;
}

1;
