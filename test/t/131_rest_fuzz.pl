# Malformed, cut and mixed requests over real sockets: the server always answers with whole
# responses of known statuses and keeps working. "make fuzz-http" builds it with sanitizers.
#
# At least 200 connections. CTMS_FUZZ_SECONDS (5), CTMS_FUZZ_SEED (the time, which is printed).
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{CTMS_FUZZ_SECONDS} || 5;
my $seed = $ENV{CTMS_FUZZ_SEED} || int time;
delete @ENV{qw(CTMS_FUZZ_SECONDS CTMS_FUZZ_SEED)};
$SIG{PIPE} = 'IGNORE';

my $ctms = CTMS::Test->new('rest_fuzz');
# With only two connections, a statement that never returned one would soon be noticed.
$ctms->start_rest(CTMS_DB_MAX_CONNECTIONS => 2, CTMS_REQUEST_TIMEOUT_S => 10,
    CTMS_MAX_BODY_BYTES => 50_000, CTMS_LOGGING_LEVEL => 'ERROR',
    CTMS_PUBSUB_EMAIL => 'a@example.com', CTMS_PUBSUB_CLIENT => 'pubsub',
    CTMS_PUBSUB_JWKS_URL => 'http://127.0.0.1:1/');
$ctms->login;
# Enough for a page of several parts.
$ctms->sql(q{INSERT INTO ctms.emails (primary_email) SELECT 'page' || n || '@example.com'
    FROM generate_series(1, 250) AS n});
my $port = $ctms->{rest_port};
my ($worker) = split ' ', `pgrep -P @{[ $ctms->pid('rest') ]}`;

# ---- where mutations start ------------------------------------------------------------------
my $id = '11111111-1111-4111-8111-111111111111';
my $contact = '{"email": {"email_id": "'
    . $id . '", "primary_email": "a@example.com", "basket_token": "' . $id
    . '"}, "amo": {"user_id": 17, "last_login": "2020-01-01"},'
    . ' "newsletters": [{"name": "n", "source": "https://example.com/"}],
    "waitlists": [{"name": "vpn", "fields": {"geo": "fr", "platform": "ios,mac"}}],
    "relay_waitlist": {"geo": "de"}}';
my $subscription = '{"object": "subscription", "id": "sub_1", "customer": {"id": "cus_1"},
    "created": 1, "cancel_at_period_end": false, "current_period_start": 1,
    "current_period_end": 2, "start_date": 1,'
    . ' "status": "active", "items": {"data": [{"object": "subscription_item", "id": "si_1",
    "created": 1, "price": {"object": "price", "id": "p", "product": "x", "created": 1,
    "active": true, "currency": "usd"}}]}}';
my $auth = "Authorization: Bearer $ctms->{token}\r\n";
my $multipart = qq(--xyz\r\nContent-Disposition: form-data; name="client_id"\r\n\r\n)
    . qq($ctms->{client_id}\r\n--xyz\r\nContent-Disposition: form-data; name="client_secret")
    . qq(\r\n\r\nx\r\n--xyz--\r\n);

sub with_body
{
    my ($head, $body) = @_;
    return "$head\r\nHost: x\r\n${auth}Content-Length: @{[ length $body ]}\r\n\r\n$body";
}
sub without { return "$_[0]\r\nHost: x\r\n$auth\r\n" }
sub chunked
{
    my ($head, $body) = @_;
    my @pieces = unpack '(A' . (1 + int rand 90) . ')*', $body;
    return "$head\r\nHost: x\r\n${auth}Transfer-Encoding: chunked\r\n\r\n"
        . join('', map { sprintf "%x\r\n%s\r\n", length $_, $_ } @pieces) . "0\r\n\r\n";
}
my @seeds = (
    (map { without("GET $_ HTTP/1.1") } "/ctms/$id",
        '/ctms?primary_email=a%40example.com&fxa_id=%C3%A9',
        "/identity/$id", '/identities?basket_token=x',
        '/updates?start=2020-01-01T00:00:00%2B00:00&end=&limit=7&mofo_relevant=no&after=',
        '/updates?start=2020-01-01&limit=1000',
        '/openapi.json', '/docs', '/metrics', '/__heartbeat__',
        '/__version__', '/acoustic_configuration', '/waitlists', '/waitlists/vpn', '/',
        '/ctms/', 'http://x/ctms/' . $id, "/%63tm%73/$id"),
    with_body('POST /ctms HTTP/1.1', $contact), chunked('POST /ctms HTTP/1.1', $contact),
    with_body("PUT /ctms/$id HTTP/1.1", $contact),
    with_body("PATCH /ctms/$id HTTP/1.1", '{"email": {"first_name": "\u00e9\ud83d\ude00"},
        "amo": "DELETE", "newsletters": "UNSUBSCRIBE", "vpn_waitlist": {"geo": null}}'),
    without('DELETE /ctms/a@example.com HTTP/1.1'),
    with_body('POST /stripe HTTP/1.1', $subscription),
    with_body('POST /stripe_from_pubsub?pubsub_client=pubsub HTTP/1.1', '{"message": {"data": "'
        . encode_base64($subscription, '') . '", "messageId": "1"}, "subscription": "s"}'),
    with_body("POST /token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded",
        "grant_type=client_credentials&client_id=$ctms->{client_id}&client_secret=%zz"),
    with_body('POST /token HTTP/1.1'
        . "\r\nContent-Type: multipart/form-data; boundary=xyz", $multipart),
    "POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
    . encode_base64("$ctms->{client_id}:x", '') . "\r\nContent-Length: 0\r\n\r\n",
    "HEAD /ctms/$id HTTP/1.1\r\nHost: x\r\n$auth\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /__lbheartbeat__ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    with_body("POST /ctms HTTP/1.1\r\nExpect: 100-continue", $contact));

# Bytes that break readers of HTTP, of URLs, of forms and of JSON.
my @words = (
    "\r\n", "\n", "\r", "\0", ' ', "\t", ':', ',', ';', "\r\n\r\n", "\r\n ", 'Content-Length: 5',
    "\r\nContent-Length: 0\r\n", "\r\nContent-Length: 99999999999999999999\r\n",
    "\r\nTransfer-Encoding: chunked\r\n",
    "\r\nTransfer-Encoding: gzip, chunked\r\n", "\r\nTransfer-Encoding:\x0bchunked\r\n",
    "\r\nConnection: close\r\n", "\r\nConnection: upgrade\r\nUpgrade: h2c\r\n", "\r\nHost: y\r\n",
    "0\r\n\r\n", 'ffffffffffffffff', '-1', '+7', '0x10',
    'HTTP/1.1', 'HTTP/1.9', 'HTTP/2.0', 'GET / HTTP/1.1', '%5F', '%2e%2e', 'http:///', 'http://u@x',
    "\r\nHost: [::1]:99999\r\n", '%', '%00', '%zz', '%C0%80', '%ED%A0%80', '&', '=',
    '/', '..', '//', '?', '#', '*', "\xff\xfe", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xef\xbb\xbf",
    '"', '\\', '\\u0000', '\\ud800', '\\udc00\\ud800', '{', '}', '[', ']', 'null', 'true', 'NaN',
    '-Infinity', '1e99999', '-0', '0.1e-400', '1' x 400, '[' x 3000, '{"a":' x 1500, '"DELETE"',
    '"UNSUBSCRIBE"', 'a' x 70000,
    '--xyz', '--xyz--', '; boundary="', 'name="client_secret"', 'Bearer ', 'Basic ',
    'eyJhbGciOiJub25lIn0.e30.', '2020-02-30', '9999999999-01-01', 'infinity');

srand $seed;
sub one_of { return $_[ rand @_ ] }
sub mutate
{
    my ($bytes) = @_;
    for (1 .. 1 + int(rand() ** 3 * 12))
    {
        my $at = int rand(1 + length $bytes);
        my $kind = rand;
        if ($kind < 0.35) { substr $bytes, $at, 0, one_of(@words) }
        elsif ($kind < 0.50) { substr $bytes, $at, 1 + int(rand() ** 4 * 60), '' }
        elsif ($kind < 0.60) { substr($bytes, $at, 1) = chr int rand 256 if $at < length $bytes }
        elsif ($kind < 0.70)
        {
            my $piece = substr $bytes, int rand length $bytes, int(rand() ** 2 * 200);
            substr $bytes, $at, 0, $piece;
        }
        elsif ($kind < 0.80)
        {
            my $other = one_of(@seeds);
            $bytes = substr($bytes, 0, $at) . substr $other, int rand length $other;
        }
        elsif ($kind < 0.90)
        {
            my @lines = split /(?<=\n)/, $bytes;
            my $line = one_of(@lines);
            splice @lines, rand @lines, rand() < 0.5, $line if @lines;
            $bytes = join '', @lines;
        }
        else
        {
            my @places;
            push @places, $-[0] while $bytes =~ /\d+/g;
            substr($bytes, one_of(@places), 1) = one_of(0 .. 9, 'a', '-') if @places;
        }
        $bytes = 'x' if !length $bytes;
    }
    # Most bodies should reach their reader, so the length is corrected.
    if (rand() < 0.6 && $bytes =~ /\r\n\r\n/)
    {
        my $length = length($bytes) - $+[0];
        $bytes =~ s/^Content-Length: \d+/Content-Length: $length/m;
    }
    return $bytes;
}

# ---- one connection ------------------------------------------------------------------------------
my %known = map { $_ => 1 } 100, 200, 201, 202, 307, 400, 401, 404, 405, 408, 409, 413,
    417, 422, 431, 501, 503, 505;
my (%statuses, @wrong);
my $exchanges = 0;

# Reads the responses, one after the other; undef when the bytes are not responses. The answer to
# HEAD has no body, although it has its length, so the reader only looks for the next status line.
sub read_responses
{
    my ($bytes, $sent) = @_;
    my $has_head = $sent =~ /HEAD/;
    while (length $bytes)
    {
        my $line = qr{[!-9;-~]+: [\x20-\x7e\x80-\xff]*\r\n};
        return undef if $bytes !~ s{^HTTP/1\.1 (\d{3}) [\x20-\x7e]+\r\n((?:$line)*)\r\n}{}s;
        my ($status, $headers) = ($1, $2);
        $statuses{$status}++;
        return "status $status" if !$known{$status};
        next if $status == 100;
        my ($length) = $headers =~ /^Content-Length: (\d+)\r$/m;
        return "no length: $headers"
            if !defined $length && $headers !~ /^Transfer-Encoding: chunked\r$/m;
        next if defined $length && $has_head && $bytes =~ m{^(?:HTTP/1\.1 |$)};
        my $body = '';
        while (!defined $length)
        {
            return 'a bad chunk' if $bytes !~ s/^([0-9a-f]+)\r\n// || hex $1 > length($bytes) - 2;
            my $part = substr $bytes, 0, hex $1, '';
            $body .= $part;
            return 'a chunk does not end' if $bytes !~ s/^\r\n//;
            last if !length $part;
        }
        return 'a body is cut off' if ($length // 0) > length $bytes;
        $body = substr $bytes, 0, $length, '' if defined $length;
        return "a body that is no JSON: $body" if $headers =~ m{^Content-Type: application/json}m
            && !eval { JSON::PP->new->utf8->allow_nonref->decode($body); 1 };
    }
    return '';
}

sub exchange
{
    my ($bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 20)
        or return push @wrong, "could not connect: $!";
    my @pieces = rand() < 0.8 ? $bytes : do { my $n = 1 + int rand 400; unpack "(a$n)*", $bytes };
    for my $piece (@pieces) { defined $socket->syswrite($piece) or last }
    return close $socket if rand() < 0.03;
    shutdown $socket, 1;
    my ($all, $select) = ('', IO::Select->new($socket));
    while ($select->can_read(30))
    {
        my $count = $socket->sysread(my $part, 262144);
        last if !$count;
        $all .= $part;
    }
    close $socket;
    $exchanges++;
    my $problem = read_responses($all, $bytes) // 'no response';
    push @wrong, "$problem\n--- sent:\n$bytes\n--- got:\n" . substr $all, 0, 600
        if $problem && @wrong < 5;
    return;
}

my $until = time + $seconds;
exchange($_) for @seeds;
exchange(rand() < 0.2 ? mutate(one_of(@seeds)) . mutate(one_of(@seeds)) : mutate(one_of(@seeds)))
    while (time < $until || $exchanges < 200) && @wrong < 5;

diag "seed $seed, $exchanges connections; " . join ', ',
    map { "$_: $statuses{$_}" } sort keys %statuses if $seconds > 60 || @wrong;
is_deeply(\@wrong, [], "seed $seed: every answer was whole and known");
cmp_ok($exchanges, '>', 50, 'there were some');
ok($statuses{200} && $statuses{400} && $statuses{422}, 'good requests and bad ones');
is($ctms->request(GET => '/ctms?fxa_id=x')->{status}, 200, 'the server is well');
is((split ' ', `pgrep -P @{[ $ctms->pid('rest') ]}`)[0], $worker, 'and the same as before');
ok(poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND state <> 'idle'") == 0 }), 'no statement stays behind');
is($ctms->stop_program('rest'), 0, 'it ends in peace');
my $log = slurp("$PostgreSQL::Test::Utils::log_path/rest_fuzz_rest.log");
unlike($log, qr/Sanitizer|runtime error|unexpected error/, 'nothing unexpected in its log');
done_testing();
