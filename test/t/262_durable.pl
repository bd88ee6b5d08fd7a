# What was answered 2xx, or ended with exit status 0, is there after a crash, and nothing is there
# in half. Acoustic never gets a state that a crash undoes.
#
# The cluster keeps in memory what is not flushed (CTMS::Test, durable), so a crash loses it. That
# this test would notice shows the same load with synchronous_commit = off: answers are lost.
use strict;
use warnings;
use CTMS::KeyServer;
use CTMS::SoakClient;
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

my $rounds = 3;
my $clients = 6;
my $others = 2;
my $json = JSON::PP->new->canonical->utf8;
my $ctms = CTMS::Test->new('durable', durable => 1,
    conf => "commit_delay = 100000\nwal_level = replica\nmax_wal_senders = 2");
my $node = $ctms->node;
my $dir = "$PostgreSQL::Test::Utils::tmp_check/durable";
mkdir $dir or die "$dir: $!";

my $keys = CTMS::KeyServer->new;
$keys->publish(1000, $keys->make_key('one'));
my $key_server = $keys->start;
END { local $?; kill TERM => $key_server if $key_server }
# Few connections, so that requests wait for each other.
$ctms->start_rest(CTMS_PROCESSES => 2, CTMS_DB_MAX_CONNECTIONS => 2,
    CTMS_LOGGING_LEVEL => 'WARNING',
    CTMS_PUBSUB_AUDIENCE => 'https://ctms.example.com', CTMS_PUBSUB_CLIENT => 'shared',
    CTMS_PUBSUB_EMAIL => 'pubsub@example.com', CTMS_PUBSUB_JWKS_URL => $keys->url);
$ctms->login;
my $pubsub_token = $keys->token({ iss => 'https://accounts.google.com',
    aud => 'https://ctms.example.com', azp => '123', sub => '123', email => 'pubsub@example.com',
    email_verified => JSON::PP::true, iat => time - 10, exp => time + 3000 });

# ---- the load ----------------------------------------------------------------------------------

sub customer
{
    my ($id, $version) = @_;
    return { object => 'customer', id => $id, created => 1600000000, description => "fxa_$id",
        default_source => $version, invoice_settings => { default_payment_method => undef } };
}

# An answer of more than a packet is on its way before its commit: a contact with 100 newsletters.
sub large_id { return sprintf '10000000-0000-4000-8000-%012x', $_[0] }
sub add_large
{
    my ($number) = @_;
    my $r = $ctms->request(POST => '/ctms', { email => { email_id => large_id($number),
            primary_email => "large$number\@example.com", first_name => '0' },
        newsletters => [ map { +{ name => "newsletter$_" } } 1 .. 100 ] });
    die "POST: $r->{status}" if $r->{status} != 201;
    return;
}

# Changes the large contact and, by a message of Pub/Sub, two customers at once.
sub run_others
{
    my ($number, %options) = @_;
    my $client = CTMS::SoakClient->new(number => $number, %options);
    my ($large, $pair) = ({ may_be => ['0'] }, { may_be => ['gone'] });
    until (-e $options{until} || grep { @{ $_->{may_be} } > 1 } $large, $pair)
    {
        my $version = ++$client->{last};
        my $r = $client->request(PATCH => '/ctms/' . large_id($number),
            { email => { first_name => "$version" } });
        $client->note($large, $r->{status}, $version);
        my $data = { map { ("customers:$_" => customer($_, "v$version")) }
                map { "cus_${number}_pair$_" } 1, 2 };
        $r = $client->request(POST => '/stripe_from_pubsub?pubsub_client=shared',
            { message => { attributes => {}, messageId => '1',
                    data => encode_base64($json->encode($data), '') }, subscription => 's' },
            Authorization => "Bearer $pubsub_token");
        $client->note($pair, $r->{status}, $version);
        $client->wrong("Pub/Sub: $r->{status}") if $r->{status} !~ /^(?:200|503)$/;
    }
    open my $out, '>', $options{report} or die $!;
    print {$out} $json->encode({ wrong => $client->{wrong}, statuses => $client->{statuses},
        contacts => {}, customers => {}, large => { $number => $large },
        pair => { $number => $pair } });
    close $out or die $!;
    return;
}

sub start_client
{
    my ($run) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    eval { $run->(); 1 } or diag $@;
    POSIX::_exit(0);
}

# The database crashes under load; returns what the clients expect to find.
sub crash_under_load
{
    my ($round) = @_;
    my %options = (port => $ctms->{rest_port}, token => $ctms->{token}, until => "$dir/stop$round");
    my (@pids, @reports);
    my $count = 'SELECT count(*) FROM ctms.emails';
    poll_until(sub { (grep { $ctms->request(GET => '/__heartbeat__')->{status} == 200 } 1 .. 8)
            == 8 }, 'the server has its connections');
    my @numbers = map { 10 * $round + $_ } 1 .. $clients + $others;
    add_large($_) for @numbers[ $clients .. $#numbers ];
    my $before = $ctms->sql($count);
    for my $number (@numbers)
    {
        push @reports, my $report = "$dir/report$number";
        my $is_other = @pids >= $clients;
        push @pids, start_client(sub {
            return run_others($number, %options, report => $report) if $is_other;
            return CTMS::SoakClient->new(number => $number, %options, report => $report)->run;
        });
    }
    poll_until(sub { $ctms->sql($count) >= $before + 40 }, 'there is load', 60);
    $node->stop('immediate');
    { open my $stop, '>', $options{until} or die $! }
    waitpid $_, 0 for @pids;
    $node->start;
    my %all;
    for my $report (map { $json->decode(slurp($_)) } @reports)
    {
        push @{ $all{wrong} }, @{ $report->{wrong} };
        $all{statuses}{$_} += $report->{statuses}{$_} for keys %{ $report->{statuses} };
        for my $kind (qw(contacts customers large pair))
        {
            %{ $all{$kind} } = (%{ $all{$kind} // {} }, %{ $report->{$kind} // {} });
        }
    }
    note "round $round: " . join ', ',
        map { "$_: $all{statuses}{$_}" } sort keys %{ $all{statuses} };
    return \%all;
}

# Everything that is not as its last answer said, or is there in half.
sub lost
{
    my ($expected) = @_;
    my %pairs = map { ("cus_${_}_pair" => $expected->{pair}{$_}) } keys %{ $expected->{pair} };
    my %large = map { (large_id($_) => $expected->{large}{$_}) } keys %{ $expected->{large} };
    my %stored = map { split /\|/ } split /\n/, $ctms->sql(q{
        SELECT stripe_id, CASE WHEN default_source_id = invoice_settings_default_payment_method_id
            THEN substr(default_source_id, 2) ELSE 'half' END
        FROM ctms.stripe_customer WHERE stripe_id NOT LIKE '%pair_'});
    my %stored_pairs = map { split /\|/ } split /\n/, $ctms->sql(q{
        SELECT left(stripe_id, -1), CASE WHEN count(*) = 2
            AND min(default_source_id) = max(default_source_id)
            THEN substr(min(default_source_id), 2) ELSE 'half' END
        FROM ctms.stripe_customer WHERE stripe_id LIKE '%pair_' GROUP BY 1});
    my %stored_large = map { split /\|/ } split /\n/, $ctms->sql(q{
        SELECT email_id, first_name FROM ctms.emails WHERE primary_email LIKE 'large%'});
    return [ map { @$_ }
            CTMS::SoakClient::strangers($expected->{contacts},
                CTMS::SoakClient::stored_contacts($ctms)),
        CTMS::SoakClient::strangers($expected->{customers}, \%stored),
        CTMS::SoakClient::strangers(\%pairs, \%stored_pairs),
        CTMS::SoakClient::strangers(\%large, \%stored_large) ];
}

# ---- REST ----------------------------------------------------------------------------------------

$ctms->start_sandbox;
$ctms->start_agent(CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.1, CTMS_ACOUSTIC_LEASE_S => 4,
    CTMS_ACOUSTIC_TIMEOUT_S => 1, CTMS_LOGGING_LEVEL => 'WARNING');

my $versions = q{SELECT email_id, substr(first_name, 2) FROM ctms.emails
    WHERE email_id < '10000000-0000-0000-0000-000000000000' ORDER BY 1};
sub at_acoustic
{
    my ($id) = @_;
    return ($ctms->sandbox("/_sandbox/recipients/$id")->{json}{main}{first_name} // '') =~ s/^v//r;
}

my $seen = 0;
for my $round (1 .. $rounds)
{
    my $expected = crash_under_load($round);
    # Versions of a client only grow.
    my %stored = map { split /\|/ } split /\n/, $ctms->sql($versions);
    my %sent = map { $_ => at_acoustic($_) } keys %stored;
    $seen += grep { length } values %sent;
    is_deeply([ grep { length $sent{$_} && $sent{$_} > $stored{$_} } sort keys %sent ], [],
        "round $round: Acoustic has nothing that the database does not have");
    is_deeply(lost($expected), [], 'what was answered is there');
    is_deeply($expected->{wrong} // [], [], 'every answer was right');
    ok($expected->{statuses}{200} && $expected->{statuses}{201} && $expected->{statuses}{503},
        'and some were not answered');
}
cmp_ok($seen, '>', 0, 'Acoustic had some of them');
poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') eq '0' },
    'the queue is empty', 90);
my %stored = map { split /\|/ } split /\n/, $ctms->sql($versions);
is_deeply([ grep { at_acoustic($_) ne $stored{$_} } sort keys %stored ], [],
    'in the end Acoustic has all of it');
is($ctms->stop_program('agent'), 0, 'the agent stops');

# ---- the command line ----------------------------------------------------------------------------

# Commands that write, each with a question that is true when it is done.
my $customers = "$dir/customers.json";
{ open my $out, '>', $customers or die $!; print {$out} $json->encode([ map {
        { %{ customer("cus_cli$_", 'v1') }, description => "cli$_" } } 1 .. 20 ]) }
my @commands = (
    [ q{EXISTS (SELECT FROM ctms.api_client WHERE client_id = 'id_cli')},
        qw(clients add cli --email cli@example.com --scope all) ],
    [ q{(SELECT count(*) FROM ctms.stripe_customer WHERE stripe_id LIKE 'cus_cli%') = 20},
        qw(stripe ingest), $customers ],
    [ q{NOT EXISTS (SELECT FROM ctms.emails WHERE primary_email = 'large17@example.com')},
        qw(delete --yes --email large17@example.com) ],
    [ q{(SELECT NOT enabled FROM ctms.api_client WHERE client_id = 'id_cli')},
        qw(clients disable id_cli) ]);

for my $case (@commands)
{
    my ($is_done, @command) = @$case;
    is($ctms->sql("SELECT $is_done"), 'f', "ctms $command[0] $command[1]: not yet");
    my ($rc, undef, $err) = $ctms->cli(@command);
    $ctms->crash_database;
    is($rc, 0, 'it ends well') or diag $err;
    is($ctms->sql("SELECT $is_done"), 't', 'and it is done');
}

# A commit that is cancelled while it waits for a replica is done here, but not safe.
$ctms->sql(q{ALTER SYSTEM SET synchronous_standby_names = 'away'});
$node->reload;
my $cancels = start_client(sub {
    poll_until(sub { $ctms->node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid)
        FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) eq 't' }, 'the commit waits');
});
my ($rc, $out, $err) = $ctms->cli('clients', 'enable', 'id_cli');
waitpid $cancels, 0;
is($rc, 3, 'a cancelled wait for a replica is no success');
like($err, qr/wait for synchronous replication/, 'and says why');
$ctms->sql('SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
poll_until(sub { $ctms->sql('SHOW synchronous_standby_names') eq '' }, 'nobody waits');

# What others see of a command that has not ended, they may rely on: the same object once more is
# answered with success, although nothing is left to store and so to wait for.
my $object = { %{ customer('cus_seen', 'v1') }, description => 'seen' };
my $input = $json->encode($object) . "\n";
my $ingest;
{
    local $ENV{CTMS_DB_URL} = $ctms->db_url;
    $ingest = IPC::Run::start([ "$ENV{CTMS_TEST_BIN}/ctms", qw(stripe ingest -) ],
        '<', \$input, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
}
poll_until(sub {
    $ingest->pump_nb;
    return $ctms->sql(q{SELECT count(*) FROM ctms.stripe_customer WHERE stripe_id = 'cus_seen'});
}, 'the object is seen');
ok(poll_until(sub { $ctms->request(POST => '/stripe', $object)->{status} == 200 },
    'the server is back'), 'the same object by REST');
$ctms->crash_database;
is($ctms->sql(q{SELECT count(*) FROM ctms.stripe_customer WHERE stripe_id = 'cus_seen'}), 1,
    'is there');
$ingest->kill_kill(grace => 0);

# ---- this test can fail --------------------------------------------------------------------------

$ctms->sql('ALTER DATABASE ctms SET synchronous_commit = off');
$node->restart;
my ($lost, $round) = ([], $rounds);
while (!@$lost && $round++ < $rounds + 20)
{
    $lost = lost(crash_under_load($round));
}
note join "\n", @$lost;
cmp_ok(scalar(@$lost), '>', 0, 'with synchronous_commit = off, answers are lost');
is(scalar(grep { /is half/ } @$lost), 0, 'but nothing is there in half');
my $is_there = 1;
for (my $n = 1; $is_there && $n <= 20; $n++)
{
    $ctms->cli('clients', 'add', "lost$n", '--email', 'cli@example.com', '--scope', 'all');
    $ctms->crash_database;
    $is_there = $ctms->sql("SELECT count(*) FROM ctms.api_client WHERE client_id = 'id_lost$n'");
}
is($is_there, 0, 'and so are commands that ended with 0');

done_testing();
