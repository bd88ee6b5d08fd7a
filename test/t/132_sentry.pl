# Unexpected errors of the REST server and the agent reach Sentry (a receiver of our own), with
# nothing personal in them, not too many, and without anybody waiting for it.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test qw(poll_until slurp);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->utf8;
my $ctms = CTMS::Test->new('sentry');
my $envelopes = "$PostgreSQL::Test::Utils::tmp_check/envelopes";

# ---- the receiver: keeps every request, answers 200 ------------------------------------------
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20) or die $!;
my $receiver = fork // die $!;
if (!$receiver)
{
    my $select = IO::Select->new($listener);
    my %received;
    while (my @ready = $select->can_read)
    {
        for my $socket (@ready)
        {
            if ($socket == $listener) { $select->add($listener->accept // next); next }
            my $count = $socket->sysread(my $part, 65536);
            if (!$count) { $select->remove($socket); delete $received{$socket}; next }
            $received{$socket} .= $part;
            next if $received{$socket} !~ /\r\n\r\n/;
            my $head = $+[0];
            my ($length) = $received{$socket} =~ /^Content-Length: (\d+)/mi;
            next if length $received{$socket} < $head + $length;
            open my $out, '>>', $envelopes or die $!;
            print {$out} $json->encode([ substr $received{$socket}, 0, $head + $length, '' ]), "\n";
            close $out;
            $socket->syswrite("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    }
    POSIX::_exit(0);
}
END { if ($receiver && $$ != $receiver) { local $?; kill KILL => $receiver; waitpid $receiver, 0 } }

sub received { return map { $json->decode($_)->[0] } split /\n/, slurp($envelopes) }
sub events { return map { $json->decode((split /\n/, $_)[-1]) } received() }
sub event
{
    my ($message, $count) = @_;
    my @found = poll_until(sub {
        my @e = grep { $_->{logentry}{message} eq $message } events();
        return @e >= ($count // 1) ? \@e : 0;
    }, "the event \"$message\"")->@*;
    return $found[-1];
}

my $dsn = 'http://public:secret@127.0.0.1:' . $listener->sockport . '/base/17';
$ctms->start_rest(SENTRY_DSN => $dsn, CTMS_SENTRY_DEBUG => 'true');
$ctms->login;

# ---- what is asked for --------------------------------------------------------------------------
my $r = answers($ctms, GET => '/__crash__?primary_email=person%40example.com', 500, qr/"error_id"/,
    headers => { Cookie => 'session=person' });
my $event = event('unexpected error');
my ($request) = received();
like($request, qr{^POST /base/api/17/envelope/ HTTP/1\.1\r\n}, 'where the DSN says');
like($request,
    qr{^X-Sentry-Auth: Sentry sentry_version=7, sentry_client=[\w./]+, sentry_key=public\r$}m,
    'with its key');
like($request, qr{^Content-Type: application/x-sentry-envelope\r$}m, 'as an envelope');
my (undef, $body) = split /\r\n\r\n/, $request, 2;
my ($head, $item, $payload) = split /\n/, $body, 3;
chomp $payload;
is($json->decode($head)->{event_id}, $event->{event_id}, 'its head');
is_deeply($json->decode($item), { type => 'event', length => length $payload }, 'its item');
like($event->{event_id}, qr/^[0-9a-f]{32}$/, 'the id');
is($event->{level}, 'error', 'the level');
is_deeply($event->{tags}, { program => 'ctms-rest', reason => 'asked for by /__crash__', method =>
        'GET', path_template => '/__crash__', error_id => $r->{json}{error_id} }, 'the tags');
unlike($request, qr/person|example\.com|Bearer|\Q$ctms->{token}\E|$ctms->{client_id}|secret/,
    'nothing personal, no secrets');
ok(poll_until(sub { $ctms->log_of('rest')
        =~ /"Type": "ctms.sentry".*"event": \{"event_id":"$event->{event_id}"/ }),
    'CTMS_SENTRY_DEBUG logs it');

answers($ctms, GET => '/__crash__', 500, undef, headers => { 'X-Request-Id' => 'person' });
ok(!exists event('unexpected error', 2)->{tags}{error_id},
    'an id that the client gave is not passed on');
answers($ctms, GET => '/__crash__', 401, undef, headers => { Authorization => undef });

# ---- an error of the database --------------------------------------------------------------------
$ctms->sql('ALTER FUNCTION ctms.find_identities RENAME TO find_identities_away');
answers($ctms, GET => '/identities?primary_email=person%40example.com', 500, undef);
$event = event('unexpected error', 3);
is_deeply([ @{ $event->{tags} }{qw(sqlstate path_template)} ],
    [ '42883', '/identities' ], 'SQLSTATE and path');
ok(!exists $event->{tags}{reason}, 'not its message');
$ctms->sql('ALTER FUNCTION ctms.find_identities_away RENAME TO find_identities');
answers($ctms, POST => '/ctms', 422, undef, body => {});
answers($ctms, GET => '/ctms/11111111-1111-4111-8111-111111111111', 404, undef);

# ---- too many, and nobody there ------------------------------------------------------------------
is($ctms->request(GET => '/__crash__')->{status}, 500, "crash $_") for 1 .. 20;
is($ctms->request(GET => '/identities?fxa_id=x')->{status}, 200, 'the server is well');
cmp_ok(scalar(grep { $_->{logentry}{message} eq 'unexpected error' } events()), '<=', 10,
    'no more than ten in a minute');

# ---- a process that dies -------------------------------------------------------------------------
my ($worker) = split ' ', `pgrep -P @{[ $ctms->pid('rest') ]}`;
kill KILL => $worker;
is(event('worker ended unexpectedly')->{tags}{how}, 'signal 9', 'the next process tells of it');

kill STOP => $receiver;
is($ctms->request(GET => '/__crash__')->{status}, 500,
    'a receiver that does not answer keeps nobody') for 1 .. 8;
is($ctms->request(GET => '/identities?fxa_id=x')->{status}, 200, 'the server is well');
is($ctms->stop_program('rest'), 0, 'and it ends');
kill CONT => $receiver;

# ---- the agent -----------------------------------------------------------------------------------
$ctms->sql('ALTER FUNCTION ctms.claim_acoustic RENAME TO claim_acoustic_away');
$ctms->start_sandbox;
$ctms->start_agent(SENTRY_DSN => $dsn);
$event = event('could not claim contacts');
is_deeply($event->{tags}, { program => 'ctms-agent', sqlstate => '42883' },
    'the agent reports too');
$ctms->stop_program('agent');

# ---- no Sentry -----------------------------------------------------------------------------------
close $listener;
for my $other ('nonsense', 'http://key@127.0.0.1:1/17')
{
    $ctms->start_rest(SENTRY_DSN => $other);
    answers($ctms, GET => '/__crash__', 500, undef, name => "DSN $other");
    ok(poll_until(sub { $ctms->log_of('rest') =~ /SENTRY_DSN must be like/ }),
        'a DSN that is none is told') if $other eq 'nonsense';
    is($ctms->stop_program('rest'), 0, 'all goes on');
}
done_testing();
