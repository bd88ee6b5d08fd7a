# Waves by file from end to end: `ctms acoustic bulk`, a real database, OpenSSH's SFTP server, and
# the sandbox as Acoustic. What arrives is what the database has; refused rows end at their
# contacts; a runner can be killed, and the database or the SFTP server be away, at every stage.

use strict;
use warnings;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);
use Test::More;
use CTMS::SandboxRows qw(differences);
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();

my $ctms = CTMS::Test->new('acoustic_bulk', settings => { acoustic_retry_delay => '15min' });
my $root = "$ENV{TESTDIR}/acoustic";
my $spool = "$ENV{TESTDIR}/spool";
mkdir $_, 0700 or die "$_: $!" for $root, $spool;
my $sftp = CTMS::Sftp->new(root => $root);
$ctms->start_sandbox(SFTP_ROOT => $root);
my %env = ($sftp->settings, CTMS_ACOUSTIC_BULK_DIRECTORY => $spool,
    CTMS_ACOUSTIC_BULK_POLL_S => 0.1, CTMS_ACOUSTIC_LEASE_S => 2, CTMS_ACOUSTIC_TIMEOUT_S => 1);

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub calm { return settings(faults => [], job_wait_ms => 0, job_rows_per_second => 0) }
sub jobs { return @{ $ctms->sandbox('/_sandbox/jobs')->{json} } }

# ---- runs -----------------------------------------------------------------------------------

my $runners = 0;

sub start_runner
{
    my (%more) = @_;
    my $name = 'runner' . ++$runners;
    $ctms->start_program($name, 'ctms', $ctms->agent_env(%env, %more), qw(acoustic bulk --json));
    return $name;
}

# Waits for its end; returns its exit status, what it printed, and its log.
sub end_of
{
    my ($name) = @_;
    my $log = $ctms->{process}{$name}{log};
    my $pid = $ctms->pid($name);
    my $status;
    poll_until(sub { waitpid($pid, POSIX::WNOHANG()) == $pid and $status = $?, 1 },
        "$name ends", 60);
    delete $ctms->{process}{$name};
    my $text = slurp($log);
    my ($json) = $text =~ /^(\{.*\})$/m;
    return { status => $status >> 8, log => $text, %{ decode_json($json // '{}') } };
}
sub run_bulk { return end_of(start_runner(@_)) }

sub enqueue { return $ctms->sql("SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id
    FROM ctms.emails WHERE " . ($_[0] // 'true') . "), 'bulk')") }
sub waiting { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub last_run { my @columns = @_; my %run; @run{@columns} = split /\|/, $ctms->sql('SELECT '
    . join(', ', @columns) . ' FROM ctms.acoustic_bulk_run ORDER BY run_id DESC LIMIT 1'); return \%run }
sub state { return last_run('state')->{state} // '' }

# Files of people, wherever one could be left.
sub files_left
{
    return map { glob } "$root/upload/*", "$root/download/*", "$spool/run-*";
}

# The last thing of every test: all contacts are at Acoustic, and nothing is left.
sub is_all_well
{
    my ($what) = @_;
    is_deeply([ differences($ctms) ], [], "$what: Acoustic has what the database has");
    is(waiting(), 0, "$what: nobody waits");
    is_deeply([ files_left() ], [], "$what: no file is left");
    return;
}

# What does not come again by itself must not be there before.
sub forget { $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/reset", ''); return }

# ---- contacts of all kinds -----------------------------------------------------------------------

my $count = 300;
$ctms->sql(<<"SQL");
CREATE TABLE public.people AS SELECT n, gen_random_uuid() AS email_id FROM generate_series(1, $count) AS n;
BEGIN;  -- a wave, so all of it is in bulk
INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name)
    SELECT email_id, 'bulk' || n || '\@example.com', 'Zoë ' || n,
        CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN 'says "hi", twice' WHEN 2 THEN E'two\\nlines'
        WHEN 3 THEN ' blank ' ELSE 'Name' END FROM public.people;
INSERT INTO ctms.newsletters (email_id, name, subscribed, source)
    SELECT email_id, 'news' || k, true, 'https://example.com/?a=1,2' FROM public.people, generate_series(1, 2) AS k;
INSERT INTO ctms.waitlists (email_id, name, source, fields)
    SELECT email_id, 'relay', 'web', '{"geo": "fr"}' FROM public.people WHERE n % 2 = 0;
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
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id, stripe_created)
    SELECT 'si' || n, 'sub' || n, 'price', '2021-02-01Z' FROM public.people WHERE n % 8 = 0;
COMMIT;
SQL

# ---- a plain run -----------------------------------------------------------------------------------

enqueue();
my $r = run_bulk();
is($r->{status}, 0, 'a run ends well') or diag $r->{log};
is_deeply([ @$r{qw(outcome runs sent refused changed returned)} ], [ 'done', 1, $count, 0, 0, 0 ],
    'all contacts were sent in one run') or diag $r->{log};
is_all_well('plain run');
is_deeply([ map { $_->{operation} } (jobs())[ 0 .. 6 ] ],
    [ ('ImportList') x 4, ('ImportTable') x 3 ], 'the list is imported before the tables');
unlike($r->{log}, qr/example\.com|Zo/, 'nothing personal is logged');
is(run_bulk()->{outcome}, 'idle', 'then there is nothing to do');

done_testing();
