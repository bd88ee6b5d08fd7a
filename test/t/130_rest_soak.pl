# A mixed load on several server processes while the database is restarted twice and a process is
# killed: every write that was answered with success is stored, no other write is stored in part,
# every answer is 503 while the database is away, and memory does not grow.
#
# CTMS_SOAK_SECONDS (20), by "make soak-rest SECONDS=1800".
use strict;
use warnings;
use CTMS::SoakClient;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{CTMS_SOAK_SECONDS} || 20;
delete $ENV{CTMS_SOAK_SECONDS};
my $clients = 4;
my $ctms = CTMS::Test->new('rest_soak', durable => 1);
my $node = $ctms->node;
my $dir = "$PostgreSQL::Test::Utils::tmp_check/rest_soak";
mkdir $dir or die "$dir: $!";
$ctms->start_rest(CTMS_PROCESSES => 2, CTMS_DB_MAX_CONNECTIONS => 3,
    CTMS_LOGGING_LEVEL => 'WARNING',
    CTMS_DB_TIMEOUT_S => 20);
$ctms->login;

# ---- the load --------------------------------------------------------------------------------
my @pids;
for my $number (1 .. $clients)
{
    my $pid = fork // die $!;
    if (!$pid)
    {
        CTMS::SoakClient->new(number => $number, port => $ctms->{rest_port},
            token => $ctms->{token}, until => "$dir/stop", report => "$dir/report$number")->run;
        POSIX::_exit(0);
    }
    push @pids, $pid;
}

sub workers { my $pids = `pgrep -P @{[ $ctms->pid('rest') ]}`; return sort split ' ', $pids }
sub own_kb { return slurp("/proc/$_[0]/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : 0 }

my (@disturbances, %memory);
sub disturb
{
    my ($what, $do, $is_well) = @_;
    my $begun = time;
    $do->();
    poll_until($is_well, "all is well after $what", 60);
    push @disturbances, [ $begun, time + 2, $what ];
    diag sprintf '%s: away for %.1f s', $what, time - $begun if $seconds > 60;
    return;
}
sub is_heart_beating { return $ctms->request(GET => '/__heartbeat__')->{status} == 200 }
my @plan = (
    [ 0.2, 'a restart of the database', sub { $node->restart },
        sub { (grep { is_heart_beating() } 1 .. 8) == 8 } ],
    [ 0.35, 'a crash of the database', sub { $ctms->crash_database },
        sub { (grep { is_heart_beating() } 1 .. 8) == 8 } ],
    [ 0.45, 'a killed process', sub { kill KILL => (workers())[0] },
        sub { (my @now = workers()) == 2 && (grep { is_heart_beating() } 1 .. 8) == 8 } ]);

my $begun = time;
my $next_sample = $begun;
while (time < $begun + $seconds)
{
    my $part = (time - $begun) / $seconds;
    my (undef, @step) = @plan && $part > $plan[0][0] ? @{ shift @plan } : ();
    disturb(@step) if @step;
    if (!@plan && time > $next_sample)
    {
        push @{ $memory{$_} }, own_kb($_)
            for workers(), split /\n/, $ctms->sql("SELECT pid FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
        $next_sample = time + $seconds / 100;
    }
    sleep 0.1;
}
open my $stop, '>', "$dir/stop" or die $!;
waitpid $_, 0 for @pids;
is(scalar @plan, 0, 'everything happened that was to happen');

# ---- what the clients say ----------------------------------------------------------------------
my (%statuses, @wrong, @odd, %contacts, %customers);
for my $number (1 .. $clients)
{
    my $report = JSON::PP->new->utf8->decode(slurp("$dir/report$number"));
    $statuses{$_} += $report->{statuses}{$_} for keys %{ $report->{statuses} };
    push @wrong, @{ $report->{wrong} };
    %contacts = (%contacts, %{ $report->{contacts} });
    %customers = (%customers, %{ $report->{customers} });
    for my $case (@{ $report->{unanswered} })
    {
        my ($from, $to, $status, $what) = @$case;
        push @odd, "$status $what" if !grep { $to >= $_->[0] && $from <= $_->[1] } @disturbances;
    }
}
diag join ', ', map { "$_: $statuses{$_}" } sort keys %statuses;
is_deeply(\@wrong, [], 'every answer was right');
is_deeply(\@odd, [], '503 and broken connections only while something was away');
ok($statuses{200} && $statuses{201} && $statuses{422} && $statuses{dropped}
    && ($statuses{503} || $statuses{599}), 'of everything some');

# ---- what the database says ----------------------------------------------------------------------
my %found = %{ CTMS::SoakClient::stored_contacts($ctms) };
*strangers = \&CTMS::SoakClient::strangers;
is_deeply(strangers(\%contacts, \%found), [], 'of ' . keys(%contacts)
    . ' contacts each is as its last answer said');
is_deeply([ grep { !$contacts{$_} } keys %found ], [], 'and there are no others');
my %stored = map { split /\|/, $_, 2 } split /\n/, $ctms->sql(q{SELECT stripe_id,
    CASE WHEN default_source_id = invoice_settings_default_payment_method_id THEN
    substr(default_source_id, 2) ELSE 'half' END FROM ctms.stripe_customer});
is_deeply(strangers(\%customers, \%stored), [], 'so are ' . keys(%customers) . ' Stripe customers');
is($ctms->sql(q{SELECT count(*) FROM ctms.emails e
    WHERE NOT EXISTS (SELECT FROM ctms.pending_acoustic p WHERE p.email_id = e.email_id)}), 0,
    'every contact waits to be sent');

# ---- what has grown ------------------------------------------------------------------------------
sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ] }
my @growing;
for my $pid (sort keys %memory)
{
    my @samples = @{ $memory{$pid} };
    push @growing, "process $pid: $samples[-1] kB" if $samples[-1] > 40_000;
    # What a process needs at first is not growth, so a short run proves nothing.
    next if @samples < 8 || $seconds < 300;
    my $quarter = int(@samples / 4);
    my ($early, $late) = (median(@samples[ $quarter .. 2 * $quarter ]),
        median(@samples[ -$quarter .. -1 ]));
    diag "process $pid: $early kB, then $late kB" if $seconds > 60;
    push @growing, "process $pid: $early kB, then $late kB" if $late > 1.1 * $early + 2048;
}
SKIP: {
    skip 'AddressSanitizer keeps freed memory', 1 if $ENV{CTMS_TEST_BIN} =~ /sanitize/;
    is_deeply(\@growing, [], 'no process grows');
}
is($ctms->stop_program('rest') & 127, 0, 'the server ends by itself');
unlike(slurp("$PostgreSQL::Test::Utils::log_path/rest_soak_rest.log"),
    qr/ERROR: AddressSanitizer|unexpected error/, 'nothing unexpected in the log');
done_testing();
