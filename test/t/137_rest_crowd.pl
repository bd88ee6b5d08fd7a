# More clients than places: those that hold a place without need give it to those that come, and one
# address does not hold them all.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use IO::Select;
use IO::Socket::INET;
use Socket qw(SO_RCVBUF);
use Test::More;

$SIG{PIPE} = 'IGNORE';
my $ctms = CTMS::Test->new('rest_crowd');
# The time limits are far beyond the patience of the checks, so none of them is what helps.
my %patient = (CTMS_MAX_CONNECTIONS => 40, CTMS_REQUEST_TIMEOUT_S => 100,
    CTMS_KEEPALIVE_TIMEOUT_S => 100, CTMS_HEAD_TIMEOUT_S => 90, CTMS_DB_TIMEOUT_S => 90);
$ctms->start_rest(%patient);
$ctms->login;
my $port = $ctms->{rest_port};
my $host = "Host: localhost\r\n";
my $beat = "GET /__lbheartbeat__ HTTP/1.1\r\n$host";
my $last = $beat . "Connection: close\r\n\r\n";
my $delete = "DELETE /ctms/nobody\@example.com HTTP/1.1\r\n${host}"
    . "Authorization: Bearer $ctms->{token}\r\n\r\n";

sub statuses
{
    my ($pieces, %options) = @_;
    my $all = raw_exchange($port, $pieces, quiet_s => 30, %options);
    return join ' ', $all =~ m{HTTP/1\.1 (\d+) }g;
}
sub is_served { my ($name, %options) = @_; return is(statuses($last, %options), 200, $name) }

sub crowd
{
    my ($count, $bytes, %options) = @_;
    return map {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", LocalAddr => '127.0.0.1',
            $options{small} ? (Sockopts => [ [ SO_RCVBUF, 4096 ] ]) : ()) // die "connect: $!";
        $socket->syswrite($bytes);
        $socket;
    } 1 .. $count;
}

# What a connection has got, if it has ended; undef while it is open.
sub ending
{
    my ($socket, $seconds) = @_;
    my $all = '';
    while (IO::Select->new($socket)->can_read($seconds // 0))
    {
        return $all if !$socket->sysread(my $part, 65536);
        $all .= $part;
    }
    return undef;
}
sub are_open { return scalar grep { !defined ending($_) } @_ }
sub read_status
{
    my ($socket) = @_;
    my $answer = '';
    $socket->sysread($answer, 65536) if IO::Select->new($socket)->can_read(60);
    return $answer =~ m{^HTTP/1\.1 (\d+) } ? $1 : 'none';
}

# Connections with a request at work. It comes with another, after whose answer it is there.
sub workers
{
    my ($count) = @_;
    my @sockets = crowd($count, "$beat\r\n$delete");
    is(join(' ', map { read_status($_) } @sockets), join(' ', (200) x $count), "$count at work");
    return @sockets;
}

# ---- heads ---------------------------------------------------------------------------------------
my @heads = crowd(60, $beat);
is_served('a client among heads that do not end');
like(ending($heads[0], 30), qr{\AHTTP/1\.1 503 .*\r\nRetry-After: 1\r\nConnection: close\r\n}s,
    'the first of them was told to try again');
ok(!defined ending($heads[-1]), 'the last of them may still end');
$heads[-1]->syswrite("\r\n");
is(read_status($heads[-1]), 200, 'and is answered when it does');
my $served = 0;
for my $round (1 .. 20)
{
    $_->syswrite('X') for @heads;
    push @heads, crowd(3, $beat . 'X');
    $served += statuses($last) eq 200;
}
is($served, 20, 'so are clients among heads that drip');
close $_ for splice @heads;

my @idle = crowd(20, "$beat\r\n");
is(read_status($_), 200, 'an answer') for @idle[ 0, 19 ];
@heads = crowd(19, $beat);
is(raw_exchange($port, $beat, quiet_s => 1.2), '', 'heads become slow');
my @more = crowd(11, "$beat\r\n");
is(join(' ', map { read_status($_) } @more), join(' ', (200) x 11),
    'clients among heads and idle connections');
is(are_open(@idle, @more), 31, 'of which the idle ones stay');
is(are_open(@heads), 9, 'and slow heads do not');
close $_ for @idle, @more, splice @heads;

# ---- requests at work ----------------------------------------------------------------------------
my $lock = $ctms->node->background_psql('ctms');
$lock->query_safe('BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE');
my @busy = workers(40);
my ($late) = crowd(1, $last);
is(ending($late, 0.5), undef, 'a client waits while all others are at work');
$lock->query_safe('ROLLBACK');
is(read_status($late), 200, 'and is served');
is(join(' ', map { read_status($_) } @busy), join(' ', (404) x 40), 'as they are');
$lock->quit;
close $_ for $late, splice @busy;
$ctms->stop_program('rest');

# ---- the time of a head, and of what follows it --------------------------------------------------
$ctms->start_rest(%patient, CTMS_HEAD_TIMEOUT_S => 1, CTMS_MAX_CONNECTIONS => 8);
$port = $ctms->{rest_port};
my $post = "POST /token HTTP/1.1\r\n${host}Connection: close\r\nContent-Length: 3\r\n\r\n";
is(statuses($beat), 408, 'a head that does not end');
is(statuses([ "\r\n", split //, $beat . 'X: ' . 'y' x 60 ], pause_s => 0.05), 408,
    'a head that drips');
is(statuses([ $post, 'a=', 'b' ], pause_s => 1.5), 400, 'a body has more time');
is(statuses([ "\r\n", "$beat\r\n", $last ], pause_s => 1.5), '200 200', 'and so have idle clients');
my @bodies = crowd(12, $post . 'a');
is_served('a client among bodies that do not come');
like(ending($bodies[0], 30), qr{\AHTTP/1\.1 503 }, 'the first of them was told to try again');
close $_ for @bodies;
my ($file) = $ctms->request(GET => '/docs')->{content} =~ /(swagger-ui-bundle[\w.-]*)/;
my @readers = crowd(12, "GET /docs/$file HTTP/1.1\r\n$host\r\n" x 12, small => 1);
is_served('a client among others that do not read');
close $_ for @readers;
$ctms->stop_program('rest');

# ---- memory --------------------------------------------------------------------------------------
# Bodies that have all arrived before the server sees the first of them.
my $budget = 4_000_000;
$ctms->start_rest(%patient, CTMS_MAX_CONNECTIONS => 400, CTMS_MAX_BUFFERED_BYTES => $budget);
$port = $ctms->{rest_port};
my ($worker) = split ' ', `pgrep -P @{[ $ctms->pid('rest') ]}`;
sub peak_kb { return slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 : die }
my $whole = length $ctms->request(GET => "/docs/$file")->{content};
@readers = crowd(20, "GET /docs/$file HTTP/1.1\r\n${host}Connection: close\r\n\r\n", small => 1);
is_served('a client among many that are slow to read');
my $before = peak_kb();
kill STOP => $worker;
@bodies = crowd(200, '');
for my $body (@bodies)
{
    my $left = "POST /ctms HTTP/1.1\r\n${host}Content-Length: 1000000\r\n\r\n" . 'x' x 999_999;
    $body->blocking(0);
    while (my $sent = $body->syswrite($left)) { substr($left, 0, $sent) = '' }
}
kill CONT => $worker;
is_served('a client after many bodies');
my $refused = 0;
ok(poll_until(sub { ($refused = () = IO::Select->new(@bodies)->can_read(0)) > 150 },
    'bodies that are too much are refused'), 'most bodies are too much') or diag $refused;
SKIP:
{
    skip 'AddressSanitizer keeps freed memory', 1 if $ENV{CTMS_TEST_BIN} =~ /sanitize/;
    cmp_ok(peak_kb() - $before, '<', 4 * $budget / 1024, 'and never cost more than allowed');
}
close $_ for @bodies;
like($_, qr{\AHTTP/1\.1 200 }, 'who reads a file slowly is left alone'),
    cmp_ok(length $_, '>', $whole, 'and gets all of it')
    for map { ending($_, 30) // '' } @readers;
$ctms->stop_program('rest');

# ---- the share of an address ---------------------------------------------------------------------
$ctms->start_rest(%patient, CTMS_MAX_ADDRESS_PERCENT => 50);
$port = $ctms->{rest_port};
my %other = (from => '127.0.0.2');
@heads = crowd(30, $beat);
is_served('another client of an address that holds its share');
is_served('a client of another address', %other);
ok(are_open(@heads) <= 20, 'more than the share it does not hold');
close $_ for @heads;
$lock = $ctms->node->background_psql('ctms');
$lock->query_safe('BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE');
@busy = workers(20);
is_served('a client of another address, while one is at work', %other);
my $refusal = '\{"detail":"too many connections from this address"\}';
like(raw_exchange($port, $last), qr{\AHTTP/1\.1 503 .*\r\nRetry-After: 1\r\n.*$refusal\z}s,
    'which may not do more');
$lock->query_safe('ROLLBACK');
is(join(' ', map { read_status($_) } @busy), join(' ', (404) x 20), 'what it does is done');
is_served('then it is served again');
$lock->quit;
is($ctms->stop_program('rest'), 0, 'the server ends');
done_testing();
