# Pages of /updates that are sent while the rest is made: the same bytes, and never a body that
# looks whole when it is not.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until);
use IO::Select;
use IO::Socket::INET;
use Test::More;

my $ctms = CTMS::Test->new('rest_stream');
$ctms->start_rest;
$ctms->login;
my $port = $ctms->{rest_port};
$ctms->sql(q{INSERT INTO ctms.emails (email_id, primary_email, first_name, update_timestamp)
    SELECT md5(n::text)::uuid, 'u' || n || '@example.com', repeat('é"\\', n % 50),
        '2024-01-01Z'::timestamptz + n / 7 * interval '1 s' FROM generate_series(1, 1250) AS n});

sub raw
{
    my ($path, %options) = @_;
    return "@{[ $options{method} // 'GET' ]} $path HTTP/1.@{[ $options{minor} // 1 ]}\r\n"
        . "Host: x\r\nAuthorization: Bearer $ctms->{token}\r\n"
        . ($options{close} ? "Connection: close\r\n" : '') . "\r\n";
}

# Head and body of one answer in chunks, and the bytes behind it; the body is undef if it has no
# end.
sub read_chunks
{
    my ($head, $rest) = split /\r\n\r\n/, $_[0], 2;
    my $body = '';
    while ($rest =~ s/\A([0-9a-f]+)\r\n//)
    {
        my $length = hex $1;
        return ($head, undef, '') if length $rest < $length + 2;
        $body .= substr $rest, 0, $length, '';
        return ($head, undef, '') unless $rest =~ s/\A\r\n//;
        return ($head, $body, $rest) if $length == 0;
    }
    return ($head, undef, $rest);
}

# ---- the same bytes, however they come ---------------------------------------------------------
my $query = 'start=2024-01-01&end=2025-01-01';
for my $limit (1, 99, 100, 101, 200, 250, 999, 1000)
{
    my $whole = $ctms->sql("SELECT ctms.get_updates('2024-01-01', '2025-01-01', '$limit', NULL,
        NULL, 'http://127.0.0.1:$port')");
    my $parts = $ctms->sql("SELECT string_agg(part, '') FROM ctms.get_updates_parts('2024-01-01',
        '2025-01-01', '$limit', NULL, NULL, 'http://127.0.0.1:$port') AS part");
    ok($parts eq $whole, "limit $limit: the parts are the whole");
    my $path = "/updates?$query&limit=$limit";
    my $r = $ctms->request(GET => $path);
    ok($r->{content} eq $whole, "limit $limit: over REST too");
    is($r->{headers}{$limit > 100 ? 'transfer-encoding' : 'content-length'}, $limit > 100
        ? 'chunked' : length $whole, "limit $limit: how its end is told");
    my ($head, $body) = split /\r\n\r\n/, raw_exchange($port, raw($path, minor => 0)), 2;
    ok($body eq $whole, "limit $limit: HTTP/1.0");
    like($head, qr/^Content-Length: \Q${\length $whole}\E\r/m, "limit $limit: has a length there");
    ($head, $body) = split /\r\n\r\n/,
        raw_exchange($port, raw($path, method => 'HEAD', close => 1)), 2;
    like($head, qr/^Content-Length: \Q${\length $whole}\E\r?$/m, "limit $limit: and in HEAD");
    is($body, '', "limit $limit: which has no body");
}
is($ctms->sql(q{SELECT count(*), min(part) = ctms.get_updates('1999-01-01', '2000-01-01')::text
    FROM ctms.get_updates_parts('1999-01-01', '2000-01-01') AS part GROUP BY ()}), '1|t',
    'a page without contacts is one part');
answers($ctms, GET => '/updates?start=x&limit=1000', 422, errors_at([qw(query start)]));

# ---- the next request waits behind the end -------------------------------------------------------
my $page = raw("/updates?$query&limit=1000");
my ($head, $first, $rest) =
    read_chunks(raw_exchange($port, $page . $page . raw('/__lbheartbeat__', close => 1)));
my ($head_2, $second, $rest_2) = read_chunks($rest);
ok(defined $first && $first eq $second, 'two pages on one connection');
like($rest_2, qr/^HTTP\/1\.1 200 OK\r\n.*\{"status":"OK"\}$/s, 'and a request behind them');
like($head, qr/^Cache-Control: no-store\r?$/m, 'with the headers of every answer');

# ---- what goes wrong before the end --------------------------------------------------------------
# Replaces the function by one that returns some parts and then does what the test wants.
sub parts_then
{
    my ($parts, $then) = @_;
    $ctms->sql(qq{CREATE OR REPLACE FUNCTION ctms.get_updates_parts(start text,
        "end" text DEFAULT NULL, "limit" text DEFAULT NULL,
        after text DEFAULT NULL, mofo_relevant text DEFAULT NULL, url_prefix text DEFAULT NULL)
        RETURNS SETOF text
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS \$\$ SELECT CASE WHEN n <= $parts THEN repeat('x', 100000) ELSE ($then)::text END
        FROM pg_catalog.generate_series(1, $parts + 1) AS n \$\$});
    return;
}
sub is_broken_off
{
    my ($what, $parts, %options) = @_;
    my $all = raw_exchange($port, $page);
    my ($head, $body) = read_chunks($all);
    like($head, qr{^HTTP/1\.1 200 OK}, "$what: had begun");
    is($body, undef, "$what: does not end");
    # The last part may be on its way from the database, which sends 8 kB at a time.
    cmp_ok(length $all, '>=', ($parts - 1) * 100000, "$what: what there was has come");
    unlike($all, qr/detail/, "$what: nothing else is in it");
    is($ctms->request(GET => '/__heartbeat__')->{status}, 200, "$what: life goes on");
    return;
}
parts_then(3, '1 / (n - 4)');
is_broken_off('an error', 3);
poll_until(sub { $ctms->log_of('rest') =~ /"status_code": 500/ }, 'the log tells');
like($ctms->log_of('rest'), qr/answer broken off: SQLSTATE 22/, 'the log tells why');
parts_then(1, '1 / (n - 2)');
answers($ctms, GET => "/updates?$query", 500, qr/error_id/,
    name => 'an error behind the first part, which waits for the second');
parts_then(0, '1 / (n - 1)');
answers($ctms, GET => "/updates?$query", 500, qr/error_id/, name => 'an error before it');

parts_then(3, 'pg_sleep(100)');
my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
$socket->syswrite($page);
$socket->sysread(my $some, 1000);
like($some, qr{^HTTP/1\.1 200 OK}, 'the first parts come while the rest is made');
my $sleeping = q{SELECT pid FROM pg_stat_activity
    WHERE query LIKE 'SELECT ctms.get_updates_parts%' AND state = 'active'};
poll_until(sub { $ctms->sql($sleeping) }, 'the fourth is being made');
$ctms->sql("SELECT pg_terminate_backend(pid) FROM ($sleeping) AS s");
my $all = $some;
while ($socket->sysread(my $more, 65536)) { $all .= $more }
is((read_chunks($all))[1], undef, 'a lost connection to the database ends the one to the client');
is($ctms->request(GET => '/__lbheartbeat__')->{status}, 200, 'only that');

$socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
$socket->syswrite($page);
$socket->sysread($some, 1000);
close $socket;
poll_until(sub { $ctms->log_of('rest') =~ /no answer given/ }, 'a client that goes is noticed');
$ctms->sql("SELECT pg_terminate_backend(pid) FROM ($sleeping) AS s");
poll_until(sub { $ctms->request(GET => '/__heartbeat__')->{status} == 200 }, 'all is well again');

# ---- what waits behind a page --------------------------------------------------------------------
# A connection whose answer is not read yet, and a function that reads all of it.
sub unread
{
    my ($bytes) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
    $s->syswrite($bytes);
    return $s;
}
sub rest_of
{
    my ($s, $some, %options) = @_;
    my $select = IO::Select->new($s);
    while ($select->can_read(15) && $s->sysread(my $more, 1 << 20))
    {
        $some .= $more;
        last if $options{until} && $some =~ $options{until};
    }
    return $some;
}
my $beat = "GET /__lbheartbeat__ HTTP/1.1\r\nHost: x\r\n\r\n";
my $last = raw('/__lbheartbeat__', close => 1);

parts_then(3, '1 / (n - 4)');
$all = raw_exchange($port, $page . $beat . $last);
is(() = $all =~ /HTTP/g, 1, 'behind a page that is broken off nothing is answered');
unlike($all, qr/\r\n0\r\n/, 'and it has no end');
parts_then(3, "''");
for ([ 'nonsense' => "no HTTP\r\n\r\n", 400 ],
    [ 'two ways to end' => "POST /ctms HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 ],
    [ 'HEAD' => raw("/updates?$query", method => 'HEAD', close => 1), 200 ],
    [ 'OPTIONS' => raw('/updates', method => 'OPTIONS', close => 1), 405 ],
    [ 'TRACE' => raw('/updates', method => 'TRACE', close => 1), 405 ],
    [ 'CONNECT' => raw('x:80', method => 'CONNECT', close => 1), 404 ],
    [ 'a target that is all' => raw('*', method => 'OPTIONS', close => 1), 404 ],
    [ 'a body where none belongs' => "GET /updates?$query HTTP/1.1\r\nHost: x\r\n"
        . "Content-Length: 2\r\nConnection: close\r\n\r\n{}", 401 ])
{
    my ($what, $bytes, $status) = @$_;
    my ($h, $body, $behind) = read_chunks(raw_exchange($port, $page . $bytes . $beat));
    is(length($body // ''), 300_000, "before $what: the whole page, though its last part is empty");
    like($behind, qr{\AHTTP/1\.1 $status [^\r]+\r\n(?:[^\r]+\r\n)+\r\n(?:\{[^\r]*\})?\z},
        "$what: one answer");
}

# ---- slow readers --------------------------------------------------------------------------------
my $at_work = q{SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'SELECT ctms.get_updates_parts%' AND state = 'active'};
parts_then(300, "''");
$socket = unread($page . $beat x 4000 . $last);
$socket->sysread($some, 10);
ok(poll_until(sub { $ctms->sql($at_work) == 0 }),
    'a page that nobody reads does not keep the database');
is($ctms->request(GET => '/__heartbeat__')->{status}, 200, 'nor others');
my ($h, $body, $behind) = read_chunks(rest_of($socket, $some));
is(length($body // ''), 30_000_000, 'it is whole when it is read after all');
is(() = $behind =~ m{HTTP/1\.1 200 OK}g, 4001,
    'and all requests behind it are answered, more than the server takes at once');

# ---- the end comes while a page is made ----------------------------------------------------------
my $lock = $ctms->node->background_psql('ctms');
$lock->query_safe('SELECT pg_advisory_lock(7)');
parts_then(3, 'pg_catalog.pg_advisory_xact_lock_shared(7)');
$socket = unread($page);
$socket->sysread($some, 10);
my $pipelined = unread($page . $beat . $beat);
$pipelined->sysread(my $some_2, 10);
kill TERM => $ctms->pid('rest');
poll_until(sub { $ctms->log_of('rest') =~ /stopping after signal 15, with 2 connections/ },
    'the server is to end');
$lock->query_safe('SELECT pg_advisory_unlock(7)');
$all = rest_of($socket, $some, until => qr/\r\n0\r\n\r\n\z/);
is(length((read_chunks($all))[1] // ''), 300_000, 'a page that has begun is finished');
$socket->syswrite($beat);
like(rest_of($socket, ''), qr{\AHTTP/1\.1 200 OK\r\n.*Connection: close\r\n.*"OK"\}\z}s,
    'and the connection, which was to be kept, takes one more request');
($h, $body, $behind) = read_chunks(rest_of($pipelined, $some_2));
is(length($body // ''), 300_000, 'so is one with requests behind it');
is(() = $behind =~ /HTTP/g, 1, 'of which one is answered');
like($behind, qr/Connection: close/, 'and told that it is the last');
$lock->quit;
is($ctms->stop_program('rest'), 0, 'then the server ends');

# ---- more than may wait --------------------------------------------------------------------------
# The kernel buffers some of an endless page; the rest, which the server holds, is above its limit.
$ctms->start_rest(CTMS_MAX_BUFFERED_BYTES => 1_800_000, CTMS_HEAD_TIMEOUT_S => 30);
parts_then(300, "''");
$socket = unread(raw("/updates?$query", minor => 0));
is($ctms->request(GET => '/identities?fxa_id=x')->{status}, 200, 'others are served');
ok(poll_until(sub { $ctms->log_of('rest') =~ /answer cut off: the client reads too slowly/ }),
    'a whole answer that nobody reads is cut off');
cmp_ok(length rest_of($socket, ''), '<', 30_000_000, 'so that the client knows');
$lock = $ctms->node->background_psql('ctms');
$lock->query_safe('SELECT pg_advisory_lock(7)');
parts_then(300, 'pg_catalog.pg_advisory_xact_lock_shared(7)');
$socket = unread($page);
ok(poll_until(sub { $ctms->log_of('rest') =~ /no answer given: the client reads too slowly/ }),
    'so is a page that is still being made');
is((read_chunks(rest_of($socket, '')))[1], undef, 'which does not look whole');
$lock->quit;

my $big = "POST /ctms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $ctms->{token}\r\n"
    . "Content-Length: 900000\r\nConnection: close\r\n\r\n" . 'x' x 899_999;
my @waiting = map { unread($_) } "POST /ctms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", $big,
    $big;
my ($refused) = IO::Select->new(@waiting)->can_read(60);
like(rest_of($refused, ''), qr{\AHTTP/1\.1 503 .*\r\nRetry-After: 1\r\nConnection: close\r\n}s,
    'of bodies that are too much together one is refused');
my ($kept) = grep { $_ != $refused } @waiting[ 1, 2 ];
$kept->syswrite('x');
like(rest_of($kept, ''), qr{\AHTTP/1\.1 422 }, 'that is enough for the other');
$waiting[0]->syswrite("\r\n");
like(rest_of($waiting[0], ''), qr{\AHTTP/1\.1 401 }, 'and small ones are left alone');

parts_then(3, 'pg_sleep(100)');
$ctms->stop_program('rest');
$ctms->start_rest(CTMS_REQUEST_TIMEOUT_S => 2);
is_broken_off('a request that takes too long', 3);
like($ctms->log_of('rest'), qr/answer broken off: the request took too long/,
    'and the log tells why');
# More than sockets buffer, and no more, so that also a slow server has made it in time.
parts_then(150, "''");
$socket = unread($page);
ok(poll_until(sub { $ctms->log_of('rest') =~ /answer cut off: the client took too long to read/ }),
    'nor is there more time for reading');
is((read_chunks(rest_of($socket, '')))[1], undef, 'which does not look whole either');
$ctms->stop_program('rest');
done_testing();
