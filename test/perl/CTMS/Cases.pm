package CTMS::Cases;

# Named cases, each in a database of its own: a copy of "ctms" with a few contacts and an empty
# queue. A case may change tables as it likes, hang or crash the server; the others still run.
# both() runs a case twice: with ctms.direct_access on, and off.
#
#   my $cases = CTMS::Cases->new('gate', conf => '…', setup => 'SQL for the copied database');
#   $cases->both('a check fails a commit' => sub {
#       my ($case) = @_;
#       $case->gives('ALTER …; UPDATE …', 'ERROR:  23514', 'as by SQL');
#       my $other = $case->session;    # see CTMS::Session
#   });

use strict;
use warnings;
use CTMS::Session;
use CTMS::Test qw(poll_until);
use Exporter 'import';
use Test::More;

our @EXPORT = qw(contact change @changes);

# Contact 1 has a row in each kind of table that concerns it; 2 to 9 have a newsletter.
sub contact { return sprintf "'00000000-0000-4000-8000-%012d'", $_[0] }

our @changes = qw(own child stripe);

# A statement that enqueues a contact: by its own row, a row of a child, a row of Stripe.
sub change
{
    my ($n, $kind) = @_;
    my $id = contact($n);
    $kind //= 'own';
    return "UPDATE ctms.emails SET first_name = concat(first_name, 'x') WHERE email_id = $id;"
        if $kind eq 'own';
    return "UPDATE ctms.newsletters SET source = concat(source, 'x') WHERE email_id = $id;"
        if $kind eq 'child';
    return 'UPDATE ctms.stripe_subscription SET current_period_end = current_period_end'
        . " + interval '1 s' WHERE stripe_id = 'sub_$n';";
}

my $rows = q{
    INSERT INTO ctms.emails (email_id, primary_email)
    SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, n || '@example.com'
        FROM generate_series(1, 9) AS n;
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'n' FROM ctms.emails;
    INSERT INTO ctms.fxa (email_id, fxa_id)
        SELECT email_id, 'fxa_1' FROM ctms.emails WHERE primary_email = '1@example.com';
    INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
        VALUES ('cus_1', 'fxa_1', now());
    INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
        cancel_at_period_end, current_period_end, current_period_start, start_date, status)
        VALUES ('sub_1', 'cus_1', now(), false, now(), now(), now(), 'active');
    DELETE FROM ctms.pending_acoustic; DELETE FROM ctms.stripe_unresolved;
};

sub new
{
    my ($class, $name, %options) = @_;
    my $ctms = CTMS::Test->new($name, conf => join "\n", 'restart_after_crash = on',
        'max_prepared_transactions = 10', 'deadlock_timeout = 100ms', 'autovacuum = off',
        $options{conf} // '');
    $ctms->drop_views;    # they would refuse changes of types
    $ctms->sql($rows . ($options{setup} // ''));
    return bless { ctms => $ctms, node => $ctms->node, count => 0, crashes => 0 }, $class;
}

sub node { return $_[0]{node} }

# Waits for the server to come back when it has crashed.
sub wait_for_server
{
    my ($self) = @_;
    poll_until(sub {
        my $session = CTMS::Session->new($self->{node}, 'postgres');
        return $session->pid =~ /^\d+$/ && ($self->{watcher} = $session);
    }, 'the server is back');
    return;
}

# What a session says that looks at the others.
sub watch
{
    my ($self, $sql) = @_;
    my $said = $self->{watcher} ? $self->{watcher}->ask($sql) : 'CRASH';
    return $said if $said ne 'CRASH';
    $self->wait_for_server;
    return $self->{watcher}->ask($sql);
}

sub run
{
    my ($self, $name, $code, $settings) = @_;
    my $database = 'case_' . ++$self->{count};
    my $case = bless { cases => $self, name => $name, database => $database, sessions => [] },
        'CTMS::Case';
    $self->watch("CREATE DATABASE $database TEMPLATE ctms");
    $self->watch("ALTER DATABASE $database SET $_") for @{ $settings // [] };
    local $@;
    eval { $code->($case); 1 } or fail("$name: died: $@");
    $_->stop for @{ $case->{sessions} };
    $self->watch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = '$database'");
    $self->forget_prepared($database);
    $self->watch("DROP DATABASE IF EXISTS $database WITH (FORCE)");
    return;
}

# Transactions that a case has prepared and not ended would keep their names.
sub forget_prepared
{
    my ($self, $database) = @_;
    my $gids = $self->watch("SELECT gid FROM pg_prepared_xacts WHERE database = '$database'");
    return if $gids eq '';
    my $session = CTMS::Session->new($self->{node}, $database, $self);
    $session->ask("ROLLBACK PREPARED '$_'") for split /\n/, $gids;
    $session->stop;
    return;
}

sub both
{
    my ($self, $name, $code) = @_;
    $self->run($name, $code);
    $self->run("$name (by SQL)", $code, ['ctms.direct_access = off']);
    return;
}

package CTMS::Case;
use Test::More ();

sub database { return $_[0]{database} }
sub node { return $_[0]{cases}{node} }
sub watch { my ($self, $sql) = @_; return $self->{cases}->watch($sql) }

sub session
{
    my ($self) = @_;
    my $session = CTMS::Session->new($self->node, $self->{database}, $self->{cases});
    push @{ $self->{sessions} }, $session;
    return $session;
}

# What SQL prints in the first session of the case, which is opened again after a crash.
sub sql
{
    my ($self, $sql) = @_;
    if (!$self->{main} || $self->{main}->has_crashed)
    {
        $self->{cases}->wait_for_server if $self->{main};
        $self->{main} = $self->session;
    }
    return $self->{main}->ask($sql);
}

sub is
{
    my ($self, $got, $wanted, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($got, $wanted, "$self->{name}: $what");
}

sub like
{
    my ($self, $got, $wanted, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::like($got, $wanted, "$self->{name}: $what");
}

# Runs SQL and compares what it prints, errors as SQLSTATEs.
sub gives
{
    my ($self, $sql, $wanted, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->is($self->sql($sql), $wanted, $what);
}

# The contacts in the queue, as numbers.
sub queued
{
    my ($self) = @_;
    return $self->sql(q{SELECT string_agg(ltrim(right(email_id::text, 12), '0'), ' '
        ORDER BY email_id) FROM ctms.pending_acoustic});
}

sub has_queued
{
    my ($self, $wanted, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->is($self->queued, $wanted, $what);
}

sub has_no_orphan
{
    my ($self, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->gives('SELECT count(*) FROM ctms.pending_acoustic AS p WHERE NOT EXISTS
        (SELECT FROM ctms.emails AS e WHERE e.email_id = p.email_id)', '0', $what);
}

1;
