# Several server processes: they answer as one, are replaced without a failed request, and
# come back when they die.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;

my $ctms = CTMS::Test->new('rest_processes');
my $settings = "$ENV{TESTDIR}/rest_processes.env";

sub write_settings
{
    open my $out, '>', $settings or die $!;
    print {$out} "CTMS_VERSION_FILE=$settings.$_[0]\n";
    open my $version, '>', "$settings.$_[0]" or die $!;
    print {$version} qq({"source":"s","version":"$_[0]","commit":"c","build":"b"});
    return;
}
write_settings('first');

my $port = $ctms->{rest_port} = PostgreSQL::Test::Cluster::get_free_port();
$ctms->start_program('rest', 'ctms-rest', {
    CTMS_DB_URL => $ctms->db_url, CTMS_PORT => $port, CTMS_SECRET_KEY => 'k' x 32,
    CTMS_PROCESSES => 3 }, '--config', $settings);
$ctms->wait_for_port('rest', $port);
$ctms->login;

sub workers { my $pids = `pgrep -P @{[ $ctms->pid('rest') ]}`; return sort split ' ', $pids }
sub served { return $ctms->request(GET => '/__version__')->{json}{version} // '' }

is(scalar(my @first = workers()), 3, 'three processes');
is(served(), 'first', 'with their settings');

# ---- metrics of all --------------------------------------------------------------------
$ctms->request(GET => '/identities?fxa_id=x') for 1 .. 60;
my %answered = map { $_ => 1 } slurp("$PostgreSQL::Test::Utils::log_path/rest_processes_rest.log")
    =~ /"Pid": (\d+).*\/identities/g;
cmp_ok(scalar(keys %answered), '>', 1, 'several of them answered');
my $answers = 'ctms_requests_total{method="GET",path_template="/identities",status_code="200"';
my @counts =
    map { $ctms->request(GET => '/metrics')->{content} =~ /^\Q$answers\E.* (\d+)$/m } 1 .. 5;
is_deeply(\@counts, [ (60) x 5 ], 'any of them tells the count of all');

# ---- replaced, under load -----------------------------------------------------------------
# Clients with one connection for each request, and clients that keep theirs.
sub client
{
    my ($keeps) = @_;
    pipe my $in, my $out;
    my $pid = fork // die $!;
    if (!$pid)
    {
        local $SIG{TERM} = sub { print {$out} "stopped\n"; POSIX::_exit(0) };
        my $http = HTTP::Tiny->new(keep_alive => $keeps, timeout => 20);
        my ($done, $failed) = (0, 0);
        my $until = "$settings.stop";
        until (-e $until)
        {
            my $r = $http->get("http://127.0.0.1:$port/ctms?fxa_id=x",
                { headers => { Authorization => "Bearer $ctms->{token}" } });
            $r->{status} == 200 ? $done++ : $failed++;
            syswrite STDERR, "# $r->{status} $r->{content}\n" if $r->{status} != 200;
        }
        syswrite $out, "$done $failed";
        POSIX::_exit(0);
    }
    close $out;
    return { pid => $pid, in => $in };
}
my @clients = map { client($_ % 2) } 1 .. 4;
for my $round (qw(second third))
{
    my @old = workers();
    write_settings($round);
    kill HUP => $ctms->pid('rest');
    poll_until(sub {
        my %new = map { $_ => 1 } workers();
        return !grep { $new{$_} } @old;
    }, "all processes are new", 60);
    is(served(), $round, "the settings of the $round round");
}
open my $stop, '>', "$settings.stop" or die $!;
my ($done, $failed) = (0, 0);
for my $client (@clients)
{
    my $line = readline $client->{in};
    waitpid $client->{pid}, 0;
    my ($d, $f) = split ' ', $line;
    $done += $d;
    $failed += $f;
}
cmp_ok($done, '>', 100, "$done requests meanwhile");
is($failed, 0, 'none of them failed');

# ---- settings that are wrong leave everything as it is --------------------------------------
my @before = workers();
open my $out, '>', $settings or die $!;
print {$out} "CTMS_TOKEN_EXPIRATION=x\n";
close $out;
kill HUP => $ctms->pid('rest');
poll_until(sub {
    $ctms->log_of('rest') =~ /settings stay as they are: .*, line 1: CTMS_TOKEN_EXPIRATION/ });
is_deeply([ workers() ], \@before, 'the processes are the same');

# ---- a process dies ------------------------------------------------------------------------------
kill KILL => $before[0];
ok(poll_until(sub {
    my @now = workers();
    @now == 3 && !grep { $_ == $before[0] } @now;
}), 'another takes its place');
is(served(), 'third', 'and all is well') for 1 .. 6;
ok(poll_until(sub { $ctms->log_of('rest') =~ /worker ended unexpectedly, by signal 9/ }),
    'the log tells');

# ---- a second server on the same port ------------------------------------------------------------
$ctms->start_program('second', 'ctms-rest', { CTMS_DB_URL => $ctms->db_url, CTMS_PORT => $port,
        CTMS_SECRET_KEY => 'k' x 32, CTMS_PROCESSES => 2 });
waitpid $ctms->pid('second'), 0;
is($? >> 8, 1, 'a second server ends');
like($ctms->log_of('second'),
    qr/could not listen on 127\.0\.0\.1 port $port: Address already in use/, 'and says why');
delete $ctms->{process}{second};

# ---- the parent dies: nobody stays behind --------------------------------------------------------
my @orphans = workers();
kill KILL => $ctms->pid('rest');
waitpid $ctms->pid('rest'), 0;
delete $ctms->{process}{rest};
ok(poll_until(sub { !grep { kill 0, $_ } @orphans }), 'the processes end with their parent');
done_testing();
