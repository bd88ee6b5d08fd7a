# Attacks on the server: malformed requests, smuggling, slow, vanishing and too many clients.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until);
use IO::Select;
use IO::Socket::INET;
use Test::More;

my $ctms = CTMS::Test->new('rest_guards');
$ctms->start_rest(CTMS_REQUEST_TIMEOUT_S => 2, CTMS_KEEPALIVE_TIMEOUT_S => 3,
    CTMS_MAX_CONNECTIONS => 40, CTMS_MAX_BODY_BYTES => 20_000);
my $port = $ctms->{rest_port};
my $host = "Host: localhost\r\n";
my $beat = "GET /__lbheartbeat__ HTTP/1.1\r\n$host";

# Statuses of all answers to these bytes, in order; "closed" or "open" at the end.
sub statuses
{
    my ($pieces, %options) = @_;
    my $all = raw_exchange($port, $pieces, quiet_s => 6, %options);
    return join ' ', $all =~ m{HTTP/1\.1 (\d+) }g;
}

sub gives
{
    my ($name, $statuses, $pieces, %options) = @_;
    return is(statuses($pieces, %options), $statuses, $name);
}

# ---- requests that are none, and requests that two servers could read in two ways -----------
my $body = '{"x":1}';
my $post = "POST /token HTTP/1.1\r\n$host";
for (
    [ 'no HTTP' => "hello\r\n\r\n" ],
    [ 'a TLS greeting' => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" ],
    [ 'a bare LF' => "GET / HTTP/1.1\n$host\r\n" ],
    [ 'bare LFs only' => "GET / HTTP/1.1\nHost: x\n\n" ],
    [ 'a bare CR in a value' => $beat . "X: a\rb\r\n\r\n" ],
    [ 'a NUL in a value' => $beat . "X: a\0b\r\n\r\n" ],
    [ 'a folded line' => $beat . "X: a\r\n b\r\n\r\n" ],
    [ 'an empty name' => $beat . ": a\r\n\r\n" ],
    [ 'a blank before the colon' => $beat . "Content-Length : 5\r\n\r\nhello" ],
    [ 'no colon' => $beat . "X\r\n\r\n" ],
    [ 'a blank before the name' => "GET / HTTP/1.1\r\n X: a\r\n$host\r\n" ],
    [ 'no host' => "GET / HTTP/1.1\r\n\r\n" ],
    [ 'two hosts' => $beat . "Host: other\r\n\r\n" ],
    [ 'three words too many' => "GET / a HTTP/1.1\r\n$host\r\n" ],
    [ 'a version of two digits' => "GET / HTTP/1.10\r\n$host\r\n" ],
    [ 'no target' => "GET  HTTP/1.1\r\n$host\r\n" ], [ 'HTTP/0.9' => "GET /\r\n\r\n" ],
    [ 'two lengths' => $post . "Content-Length: 7\r\nContent-Length: 7\r\n\r\n$body" ],
    [ 'two different lengths' => $post . "Content-Length: 7\r\nContent-Length: 0\r\n\r\n$body" ],
    [ 'a list of lengths' => $post . "Content-Length: 7, 7\r\n\r\n$body" ],
    [ 'length and chunks' => $post
        . "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ],
    [ 'chunks and length' => $post
        . "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" ],
    (map { [ "length '$_'" => $post . "Content-Length: $_\r\n\r\n$body" ] } '+7', '-1', '0x7',
        '7 ;', '', '7.0', '99999999999999999999', "7\t8"),
    (map { [ "chunk size '$_'" => $post
        . "Transfer-Encoding: chunked\r\n\r\n$_\r\n$body\r\n0\r\n\r\n" ] }
        '+7', '-7', '0x7', ' 7', '7 ', '', 'x', 'fffffffffffffffff', "7\n"),
    [ 'a chunk longer than it says' => $post
        . "Transfer-Encoding: chunked\r\n\r\n3\r\n$body\r\n0\r\n\r\n" ],
    [ 'two Transfer-Encodings' => $post
        . "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ],
    [ 'chunks in HTTP/1.0' =>
        "POST /token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ])
{
    my ($name, $bytes) = @$_;
    # The bytes that follow must never be read as another request.
    gives("$name: 400 and no more", 400, $bytes . $beat . "\r\n");
}
gives('another coding', 501, $post . "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
gives('another version', 505, "GET / HTTP/2.0\r\n$host\r\n");
gives('another expectation', 417, $post . "Expect: tea\r\nContent-Length: 7\r\n\r\n$body");
gives('a head that is too large', 431, $beat . 'X: ' . 'x' x 40_000);
gives('too many headers', 431, $beat . join('', map { "X$_: 1\r\n" } 1 .. 70) . "\r\n");
my $refusal = raw_exchange($port, "hello\r\n\r\n");
like($refusal, qr{\r\nContent-Type: application/json\r\n.*\{"detail":"Bad Request"\}$}s,
    'refusals are JSON too');
# RFC 9112 3.2: the target and the Host header are what they must be, or the answer says what is
# wrong.
for (
    (map { [ 'invalid Host header' => '/', $_ ] } 'a b@c/d?e#f', 'user@a', 'a/b', 'a:b', 'a:65536',
        '[::1', '::1', 'a,b c', "\xc3\xa9", ':80'),
    [ 'empty Host header' => '/', '' ], [ 'no Host header' => '/' ],
    (map { [ 'a fragment in the request target' => $_, 'x' ] } '/__lbheartbeat__#', '/#?a', '#',
        'http://x/__lbheartbeat__#a'),
    (map { [ 'no host in the request target' => $_, 'x' ] } 'http:///__lbheartbeat__', 'http://',
        'https://?a', 'http://:80/'),
    (map { [ 'user information in the request target' => "http://$_/__lbheartbeat__", 'x' ] } 'a@x',
        '@x', 'a:b@x'),
    [ 'no valid host in the request target' => 'http://x:y/__lbheartbeat__', 'x' ],
    [ 'only OPTIONS takes * as request target' => '*', 'x' ],
    (map { [ 'the request target is neither a path nor an http URL' => $_, 'x' ] } 'x', 'x:80',
        'ftp://x/', 'http:/x', '?a', '**'))
{
    my ($detail, $target, $value) = @$_;
    my $bytes = "GET $target HTTP/1.1\r\n" . (defined $value ? "Host: $value\r\n" : '') . "\r\n";
    like(raw_exchange($port, $bytes . "$beat\r\n"),
        qr/\AHTTP\/1\.1 400 .*\r\n\r\n\{"detail":"\Q$detail\E"\}\z/s,
        "$target of " . ($value // 'nobody') . ": $detail");
}
gives('no path for CONNECT', 400, "CONNECT / HTTP/1.1\r\n$host\r\n");
# It is not known which of two headers a proxy uses.
for my $twice ([ Authorization => 'Bearer a', 'Bearer b' ],
    [ authorization => 'Basic YTpi', 'Basic YTpi' ], [ 'Content-Type' => 'a/b', '' ],
    [ 'Content-Length' => 0, 0 ], [ 'Transfer-Encoding' => 'chunked', 'chunked' ],
    [ HOST => 'localhost', 'localhost' ])
{
    my ($name, @values) = @$twice;
    my $proper = join '-', map { ucfirst lc } split /-/, $name;
    $refusal = raw_exchange($port, "POST /token HTTP/1.1\r\n" . ($name eq 'HOST' ? '' : $host)
        . join('', map { "$name: $_\r\nX: y\r\n" } @values) . "\r\n" . $beat . "\r\n");
    my $answer = qr{\{"detail":"more than one $proper header"\}};
    like($refusal, qr{\AHTTP/1\.1 400 .*\r\nConnection: close\r\n.*$answer\z}s,
        "two $proper headers");
}

# ---- requests that are right, in every shape ---------------------------------------------------
gives('pipelined requests', '200 404 200', "$beat\r\n" . "GET /none HTTP/1.1\r\n$host\r\n" . $beat
    . "Connection: close\r\n\r\n");
gives('more pipelined requests than one gets answered at a time', join(' ', (200) x 500),
    "$beat\r\n" x 500, half_close => 1);
gives('byte by byte', 200, [ split //, $beat . "Connection: close\r\n\r\n" ]);
gives('lists may come in several lines', 200, $beat . "Accept: a/b\r\nAccept: c/d\r\n"
    . "Connection: keep-alive\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"
    . $beat . "\r\n");
gives('empty lines before', 200, "\r\n\r\n" . $beat . "Connection: close\r\n\r\n");
gives('HTTP/1.0', 200, "GET /__lbheartbeat__ HTTP/1.0\r\n\r\n");
like(raw_exchange($port, "GET /__lbheartbeat__ HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        until => qr/OK/), qr/Connection: keep-alive/, 'HTTP/1.0, kept alive');
gives('a target with a host', 200,
    "GET http://localhost/__lbheartbeat__ HTTP/1.1\r\n${host}Connection: close\r\n\r\n");
gives('HTTP/1.' . $_, 200, "GET /__lbheartbeat__ HTTP/1.$_\r\n${host}Connection: close\r\n\r\n")
    for 2, 9;
gives("the host $_", 200, "GET /__lbheartbeat__ HTTP/1.1\r\nHost: $_\r\nConnection: close\r\n\r\n")
    for 'a.example', 'A:80', 'my_host:', '127.0.0.1:8000', '[::1]:8000', 'a%C3%A9';
gives("the target $_", 200, "GET $_ HTTP/1.1\r\n${host}Connection: close\r\n\r\n")
    for '/__lbheartbeat__?a@b:c', 'HTTP://[::1]:80/__lbheartbeat__',
    'https://a.example/__lbheartbeat__?',
    '/%5F%5flbheartbeat%5F_', 'http://x/%5F%5Flbheartbeat__';
gives('a client that closes its half', 200, "$beat\r\n", half_close => 1);
my $big = 'client_id=' . 'x' x 60 . '&client_secret=y&' . 'z' x 5000;
gives('chunks', 400, $post . "Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
        . join('', map { sprintf("%x;ext=\"1\"\r\n%s\r\n", length $_, $_) } unpack '(A97)*', $big)
        . "0\r\nTrailer: x\r\n\r\n");
gives('chunks, byte by byte',
    '400 200', [ split //, $post . "Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n" . $beat
        . "Connection: close\r\n\r\n" ]);
gives('a body that is too large', 413, $post . "Content-Length: 30000\r\n\r\n" . 'x' x 30_000);
gives('a body that is only too large elsewhere', 401,
    "POST /stripe%5Ffrom_pubsu%62 HTTP/1.1\r\n${host}Connection: close\r\n"
        . "Content-Length: 30000\r\n\r\n" . 'x' x 30_000);
gives('chunks that are too much', 413, $post . "Transfer-Encoding: chunked\r\n\r\n" . "1000\r\n"
    . 'x' x 4096 . "\r\n" . "5000\r\nxx");
gives('a length that is too large, without a body', 413,
    $post . "Content-Length: 99999999999999999\r\n\r\n");
my $expect = raw_exchange($port,
    [ $post . "Expect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", 'a=b' ],
    pause_s => 0.2);
like($expect, qr{^HTTP/1\.1 100 Continue\r\n\r\nHTTP/1\.1 400 },
    'a client that asks before it sends');
$expect = raw_exchange($port, $post . "Expect: 100-continue\r\nContent-Length: 30000\r\n\r\n");
like($expect, qr{^HTTP/1\.1 413 }, 'and is told not to');

# ---- slow and silent clients --------------------------------------------------------------------
gives('a head that does not end', 408, "GET / HTTP/1.1\r\n");
gives('a head that drips', 408, [ split //, 'GET /__lbheartbeat__?' . 'x' x 40 ], pause_s => 0.06);
gives('a body that does not come', 408, $post . "Content-Length: 7\r\n\r\n{");
gives('chunks that do not come', 408, $post . "Transfer-Encoding: chunked\r\n\r\n5\r\nab");
is(raw_exchange($port, '', quiet_s => 10), '', 'a silent client is let go');
my @drips = map { { socket => IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") // die($!),
        bytes => $_ } } [ "\r\n", "\r\n" ], [ "\r", "\n" ];
for my $round (0 .. 100)
{
    local $SIG{PIPE} = 'IGNORE';
    for my $drip (grep { !$_->{is_closed} } @drips)
    {
        $drip->{socket}->syswrite($drip->{bytes}[ $round % 2 ]);
        $drip->{is_closed} = IO::Select->new($drip->{socket})->can_read(0.1)
            && !$drip->{socket}->sysread(my $answer, 1000);
    }
}
ok($_->{is_closed}, 'so is one that sends empty lines for ever') for @drips;
is(() = raw_exchange($port, "$beat\r\n") =~ /HTTP/g, 1, 'so is one that has had its answer');

# ---- clients that vanish while the database works -----------------------------------------------
$ctms->sql("INSERT INTO ctms.emails (primary_email) VALUES ('a\@example.com')");
$ctms->login;
my $node = $ctms->node;
my $lock = $node->background_psql('ctms');
$lock->query_safe('BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE');
my $slow =
    "DELETE /ctms/a\@example.com HTTP/1.1\r\n${host}Authorization: Bearer $ctms->{token}\r\n\r\n";
for (1 .. 5)
{
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
    $socket->syswrite($slow);
    close $socket;
}
gives('an answer that takes too long', 503, $slow);
gives('others are served meanwhile', 200, $beat . "Connection: close\r\n\r\n");
$lock->query_safe('ROLLBACK');
$lock->quit;
ok(poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity
    WHERE state LIKE '%transaction%'") == 0 }), 'no transaction stays behind');

# ---- too many ------------------------------------------------------------------------------------
my @crowd = map { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") // die $! } 1 .. 60;
gives('idle connections make room', 200, $beat . "Connection: close\r\n\r\n");
close $_ for @crowd;
@crowd = map {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") // die $!;
    $s->syswrite("GET / HT");
    $s;
} 1 .. 60;
gives('so do those that are slow', 200, $beat . "Connection: close\r\n\r\n");
close $_ for @crowd;

# ---- draining ------------------------------------------------------------------------------------
my $idle = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
$idle->syswrite("$beat\r\n");
$idle->sysread(my $answer, 65536);
my $half = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
$half->syswrite($beat);
poll_until(sub { $ctms->request(GET => '/__lbheartbeat__')->{status} == 200 });
kill TERM => $ctms->pid('rest');
poll_until(sub { $ctms->log_of('rest') =~ /stopping after signal 15/ });
$half->syswrite("\r\n");
ok(IO::Select->new($half)->can_read(10) && $half->sysread($answer, 65536),
    'a request that had begun is answered');
like($answer, qr{^HTTP/1\.1 200 .*\r\nConnection: close\r\n}s, 'as the last one');
ok(IO::Select->new($idle)->can_read(10) && !$idle->sysread($answer, 65536),
    'an idle connection is closed');
is($ctms->stop_program('rest'), 0, 'the server ends');
done_testing();
