package CTMS::BulkWriter;

# Who changes contacts beside a wave by file: a process of its own with one session, until it is
# told to stop. It outlives a database that crashes.
#
# Each name, newsletter and waitlist that it writes has a higher version than all before ("version
# 17", of the sequence public.version), so the sandbox sees what goes back. A statement that fails
# is a failure of the test: nothing that runs beside may end in a deadlock.

use strict;
use warnings;
use CTMS::SoakSession;
use CTMS::Test qw(slurp);
use POSIX ();
use Time::HiRes qw(sleep);

our $VERSION_OF = q{'version ' || nextval('public.version')};

# Contacts 1 to n of all kinds: each with two newsletters and a waitlist, every third with an AMO
# row, every fourth with an FxA row, and every eighth with a product.
sub set_up
{
    my ($ctms, $contacts) = @_;
    $ctms->sql(<<"SQL");
CREATE SEQUENCE public.version;
CREATE TABLE public.people AS SELECT n, gen_random_uuid() AS email_id,
    'bulk' || n || '\@example.com' AS address FROM generate_series(1, $contacts) AS n;
INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name)
    SELECT email_id, address, $VERSION_OF, 'Last, "' || n || E'"\\nname ' FROM public.people;
INSERT INTO ctms.newsletters (email_id, name, subscribed, source)
    SELECT email_id, 'news' || k, true, $VERSION_OF FROM public.people, generate_series(1, 2) AS k;
INSERT INTO ctms.waitlists (email_id, name, source, fields)
    SELECT email_id, 'relay', $VERSION_OF, '{"geo": "fr"}' FROM public.people;
INSERT INTO ctms.amo (email_id, display_name, user_id)
    SELECT email_id, 'Display ' || n, 'amo' || n FROM public.people WHERE n % 3 = 0;
INSERT INTO ctms.fxa (email_id, fxa_id, created_date)
    SELECT email_id, 'fxa' || n, '2021-05-04' FROM public.people WHERE n % 4 = 0;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
    SELECT 'cus' || n, 'fxa' || n, '2021-01-01Z' FROM public.people WHERE n % 8 = 0;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency,
        recurring_interval, recurring_interval_count, unit_amount)
    VALUES ('price', 'prod', '2021-01-01Z', true, 'usd', 'month', 1, 999);
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
        cancel_at_period_end, current_period_end, current_period_start, start_date, status)
    SELECT 'sub' || n, 'cus' || n, '2021-02-01Z', false, '2021-04-01Z', '2021-03-01Z',
        '2021-02-01Z', 'active' FROM public.people WHERE n % 8 = 0;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id,
        stripe_created)
    SELECT 'si' || n, 'sub' || n, 'price', '2021-02-01Z' FROM public.people WHERE n % 8 = 0;
SQL
    return;
}

sub pick { return $_[ int rand @_ ] }

# ---- changes -----------------------------------------------------------------------------------

my %change = (
    name => sub { "UPDATE ctms.emails SET first_name = $VERSION_OF WHERE $_[0]" },
    newsletters => sub { "UPDATE ctms.newsletters SET subscribed = NOT subscribed,
        source = $VERSION_OF WHERE $_[0]" },
    waitlists => sub { "UPDATE ctms.waitlists SET source = $VERSION_OF WHERE $_[0]" },
    amo => sub { "UPDATE ctms.amo SET display_name = 'Display ' || random() WHERE $_[0]" },
    product => sub { "UPDATE ctms.stripe_subscription
        SET status = (ARRAY['active', 'past_due', 'canceled'])[1 + random() * 2] WHERE $_[0]" },
    'delete newsletters' => sub { "DELETE FROM ctms.newsletters WHERE $_[0]" },
    'add newsletters' => sub { "INSERT INTO ctms.newsletters (email_id, name, subscribed, source)
        SELECT email_id, 'news' || k, true, $VERSION_OF FROM ctms.emails, generate_series(1, 2) AS k
        WHERE $_[0] ON CONFLICT DO NOTHING" },
    'delete contacts' => sub { "SELECT count(ctms.delete_contact(primary_email))
        FROM ctms.emails WHERE $_[0]" },
    'add contacts' => sub {
        "WITH c AS (INSERT INTO ctms.emails (email_id, primary_email, first_name)
            SELECT email_id, address, $VERSION_OF FROM public.people
            WHERE random() < 0.5 ON CONFLICT DO NOTHING RETURNING email_id)
        INSERT INTO ctms.newsletters (email_id, name, subscribed, source)
            SELECT email_id, 'news1', true, $VERSION_OF FROM c" },
    'send again' => sub { "SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails
        WHERE $_[0]), '${\pick('live', 'bulk')}')" });
my @often = (('name') x 4, ('newsletters') x 2, ('waitlists') x 2, 'amo', 'product');
my @rarely = sort grep { / / } keys %change;

sub change
{
    my ($session, @names) = @_;
    my $what = pick(@names);
    my $sql = $change{$what}->('random() < ' . pick(0.003, 0.01, 0.01, 0.03));
    my $lane = pick('auto', 'auto', 'bulk');
    my $r = $session->run("SET ctms.acoustic_lane = $lane;\n$sql");
    return $r->{state} =~ /^(?:00000|LOST|57P\d\d)$/ ? undef : "$what: $r->{state} $r->{text}";
}

# ---- the process -------------------------------------------------------------------------------

# Deletes nothing if Acoustic is not told of it.
sub new
{
    my ($class, $ctms, %options) = @_;
    my $file = "$ENV{TESTDIR}/bulk_writer";
    my $self = bless { until => "$file.until", report => $file, owner => $$ }, $class;
    unlink @$self{qw(until report)};
    $self->{pid} = fork() // die "fork: $!";
    return $self if $self->{pid};

    srand $options{seed};
    my $parent = getppid;
    my $session = CTMS::SoakSession->new($ctms->db_url, q{SET lock_timeout = '60s'});
    my @names = (@often, grep { $options{deletes} || !/^delete/ } @rarely);
    my @failures;
    until (-e $self->{until} || getppid != $parent)
    {
        my $failure = change($session, @names);
        push @failures, $failure if defined $failure;
        sleep rand 0.15;
    }
    open my $out, '>', $self->{report} or POSIX::_exit(1);
    print {$out} @failures;
    close $out;
    $session->stop;
    POSIX::_exit(0);
}

# Returns what failed, as text.
sub stop
{
    my ($self) = @_;
    my $pid = delete $self->{pid} or return '';
    open my $until, '>', $self->{until} or die "$self->{until}: $!";
    close $until;
    waitpid $pid, 0;
    return $? ? "the writer ended with status $?\n" : slurp($self->{report});
}

sub DESTROY { local ($?, $@); $_[0]->stop if $_[0]{owner} == $$; return }

1;
