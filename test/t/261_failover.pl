# The primary dies under load and its synchronous replica takes over: REST server and agent
# follow by libpq's list of hosts, and nothing that was answered 2xx is lost.
use strict;
use warnings;
use CTMS::SoakClient;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $ctms = CTMS::Test->new('failover', durable => 1, conf => "wal_level = replica\n"
    . "max_wal_senders = 10\nhot_standby = on\nmax_connections = 60\n");
my $old = $ctms->node;
$old->backup('base');
my $new = PostgreSQL::Test::Cluster->new('successor');
$new->init_from_backup($old, 'base', has_streaming => 1);
$new->append_conf('postgresql.conf', "synchronous_standby_names = ''\n");
$new->start;
$old->append_conf('postgresql.conf', "synchronous_standby_names = '*'\n");
$old->reload;
ok($old->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication}),
    'the replica is synchronous');

my %db = (CTMS_DB_URL =>
    sprintf 'postgresql:///ctms?host=%s,%s&port=%d,%d&target_session_attrs=read-write', $old->host,
    $new->host, $old->port, $new->port);
$ctms->start_rest(%db, CTMS_DB_TIMEOUT_S => 5);
$ctms->start_sandbox(LATENCY_MS => 5);
$ctms->start_agent(%db, CTMS_ACOUSTIC_LEASE_S => 4, CTMS_ACOUSTIC_TIMEOUT_S => 1,
    CTMS_LOGGING_LEVEL => 'INFO');
$ctms->login;

# ---- load ---------------------------------------------------------------------------------

# Each writer notes what was acknowledged, line by line, with the time.
my $folder = "$PostgreSQL::Test::Utils::tmp_check/failover";
mkdir $folder or die "$folder: $!";
my $stop = "$folder/stop";
my $parent = $$;
my @writers;
for my $writer (1 .. 4)
{
    my $pid = fork // die "fork: $!";
    if ($pid) { push @writers, $pid; next }
    open my $log, '>', "$folder/writer$writer" or POSIX::_exit(1);
    $log->autoflush(1);
    for (my $n = 1; !-e $stop && getppid() == $parent; $n++)
    {
        my $address = "writer$writer-$n\@example.com";
        my $r = $ctms->request(POST => '/ctms',
            { email => { primary_email => $address }, newsletters => [ { name => 'hubs' } ] });
        printf $log "%.3f %d POST %s\n", time, $r->{status}, $address;
        if ($r->{status} == 201 && $n % 3 == 0)
        {
            $r = $ctms->request(PATCH => "/ctms/$r->{json}{email}{email_id}",
                { email => { first_name => "patched$n" } });
            printf $log "%.3f %d PATCH %s patched%d\n", time, $r->{status}, $address, $n;
        }
        sleep 0.05 unless $r->{status} =~ /^2/;
    }
    POSIX::_exit(0);
}
# These also replace, delete and send customers.
my @soak = map { "$folder/soak$_" } 1 .. 2;
for my $number (1 .. @soak)
{
    my $pid = fork // die "fork: $!";
    if ($pid) { push @writers, $pid; next }
    CTMS::SoakClient->new(number => $number, port => $ctms->{rest_port}, token => $ctms->{token},
        until => $stop, report => $soak[ $number - 1 ])->run;
    POSIX::_exit(0);
}
sub answers { return map { [ split / / ] } map { split /\n/, slurp("$folder/writer$_") } 1 .. 4 }
poll_until(sub { 100 < grep { $_->[1] == 201 } answers() }, 'there is load');

# ---- the primary dies --------------------------------------------------------------------------

my $dead = time;
$old->stop('immediate');
$new->promote;
my $promoted = time;
my $is_back = poll_until(sub { 100 < grep { $_->[1] == 201 && $_->[0] > $promoted } answers() },
    'REST is back');
ok($is_back, 'REST follows the new primary');
{ open my $f, '>', $stop or die $! }
waitpid $_, 0 for @writers;

my @answers = answers();
my ($first) = sort { $a <=> $b } map { $_->[0] } grep { $_->[1] =~ /^2/
    && $_->[0] > $promoted } @answers;
note sprintf 'first write %.2f s after the promotion and %.2f s after the death; answers: %s',
    $first - $promoted, $first - $dead, join ', ', map {
        my $s = $_;
        "$s: " . grep { $_->[1] == $s } @answers;
    } sort keys %{ { map { $_->[1] => 1 } @answers } };
is(join(' ', sort keys %{ { map { $_->[1] => 1 } grep { $_->[1] !~ /^(?:20[01]|503)$/ }
        @answers } }), '', 'meanwhile only 503');

# ---- nothing is lost -----------------------------------------------------------------------------

$ctms->{node} = $new;
my (%contacts, %customers, @wrong);
for my $report (map { JSON::PP->new->utf8->decode(slurp($_)) } @soak)
{
    %contacts = (%contacts, %{ $report->{contacts} });
    %customers = (%customers, %{ $report->{customers} });
    push @wrong, @{ $report->{wrong} };
}
is_deeply(\@wrong, [], 'every answer was right');
is_deeply(CTMS::SoakClient::strangers(\%contacts, CTMS::SoakClient::stored_contacts($ctms)), [],
    keys(%contacts) . ' contacts are as their last answers said');
is_deeply(CTMS::SoakClient::strangers(\%customers, { map { split /\|/ } split /\n/,
        $ctms->sql(q{SELECT stripe_id, substr(default_source_id, 2) FROM ctms.stripe_customer}) }),
    [], 'so are ' . keys(%customers) . ' customers');
my %stored = map { split /\|/, $_, 2 } split /\n/,
    $new->safe_psql('ctms', 'SELECT primary_email, first_name FROM ctms.emails');
my @created = map { $_->[3] } grep { $_->[2] eq 'POST' && $_->[1] == 201 } @answers;
my @patched = grep { $_->[2] eq 'PATCH' && $_->[1] == 200 } @answers;
is(scalar(grep { !exists $stored{$_} } @created), 0,
    @created . ' contacts that were created are there');
is(scalar(grep { ($stored{ $_->[3] } // '') ne $_->[4] } @patched), 0, @patched . ' changes too');

ok(poll_until(sub { $new->safe_psql('ctms', 'SELECT count(*) FROM ctms.pending_acoustic') eq '0' },
        'the queue is empty', 90), 'the agent goes on until the queue is empty');
my %names = map { split /\|/, $_, 2 } split /\n/,
    $new->safe_psql('ctms', 'SELECT email_id, first_name FROM ctms.emails');
is(scalar(grep {
    ($ctms->sandbox("/_sandbox/recipients/$_")->{json}{main}{first_name} // '') ne $names{$_}
} keys %names), 0, keys(%names) . ' contacts are at Acoustic as they are in the database');

done_testing();
