package CTMS::ClusterProbe;

# Asks a cluster five times a second whether it takes writes, without waiting for one answer before
# it asks again: each server, which is a write by its own Unix socket once Patroni calls it the
# primary, and REST. The times of both, side by side, are what REST adds to a failover.
#
#   CTMS::ClusterProbe->new(nodes => [{ name => 'db1', patroni => 'HOST:PORT', url => … }],
#       rest => 'HOST:PORT', client => $client, until => $file, log => $file)->run;
#
# The client (CTMS::ClusterClient) is for its access token. What is written is a history as
# CTMS::ClusterHistory reads it.

use strict;
use warnings;
use CTMS::ClusterClient;
use CTMS::ClusterHistory qw(open_log stamp write_line);
use CTMS::SoakClient;
use Errno qw(EINPROGRESS);
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use JSON::PP;
use Time::HiRes qw(time);

use constant { NUMBER => 0xff, CONTACTS => 300, INTERVAL_S => 0.2, PATRONI_S => 2, REST_S => 20,
    LATE_S => 0.5 };

our $SET_UP = 'CREATE TABLE public.probe (at timestamptz NOT NULL);
    INSERT INTO public.probe VALUES (now())';

my $json = JSON::PP->new->utf8->canonical;

sub new
{
    my ($class, %options) = @_;
    return bless { %options, count => 0, open => {}, select => IO::Select->new }, $class;
}

# ---- HTTP ----------------------------------------------------------------------------------------

# Connects and sends; what comes back is given to the callback as a text, '' if there is no answer.
sub ask_http
{
    my ($self, $address, $text, $seconds, $done) = @_;
    my ($host, $port) = split /:/, $address;
    my $socket = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0) or return;
    my $to = pack_sockaddr_in($port, inet_aton($host));
    my %call = (socket => $socket, unsent => $text, text => '', begin => time,
        deadline => time + $seconds, done => $done);
    return $done->('', \%call) if !connect($socket, $to) && $! != EINPROGRESS;
    $self->{open}{ fileno $socket } = \%call;
    return;
}

sub end_call
{
    my ($self, $call) = @_;
    delete $self->{open}{ fileno $call->{socket} };
    close $call->{socket};
    $call->{done}->($call->{text}, $call);
    return;
}

sub send_more
{
    my ($self, $call) = @_;
    my $sent = syswrite $call->{socket}, $call->{unsent};
    return $self->end_call($call) if !defined $sent;
    substr $call->{unsent}, 0, $sent, '';
    return;
}

sub read_more
{
    my ($self, $call) = @_;
    my $got = sysread $call->{socket}, $call->{text}, 65536, length $call->{text};
    $self->end_call($call) if !$got;
    return;
}

# ---- REST ----------------------------------------------------------------------------------------

sub ask_rest
{
    my ($self) = @_;
    my $n = ++$self->{count};
    my $id = CTMS::ClusterClient::contact_id(NUMBER, $n % CONTACTS);
    my $body = $json->encode(CTMS::SoakClient::body(
            { address => 'probe' . $n % CONTACTS . '@example.com' }, $n));
    my $text = "PUT /ctms/$id HTTP/1.1\r\nHost: $self->{rest}\r\nConnection: close\r\n"
        . "Authorization: Bearer $self->{client}{token}\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    return $self->ask_http($self->{rest}, $text, REST_S, sub {
        my ($answer, $call) = @_;
        my $status = $answer =~ m{^HTTP/1\.\d (\d{3})} ? $1 : 599;
        my @times = (stamp($call->{begin}), stamp(time));
        $self->{is_well} = $status == 201;
        write_line($self->{handle}, 'answer', 'probe', $status, @times);
        write_line($self->{handle}, 'write', $id, @times, "v$n", $status == 201 ? 'yes' : 'maybe');
        write_line($self->{handle}, 'wrong', stamp(time), "probe: $status")
            if $status !~ /^(?:201|50[234]|599)$/;
    });
}

# ---- servers -------------------------------------------------------------------------------------

sub ask_node
{
    my ($self, $node) = @_;
    return if $node->{is_asked};
    $node->{is_asked} = 1;
    return $self->ask_http($node->{patroni}, "GET /primary HTTP/1.0\r\n\r\n", PATRONI_S, sub {
        my ($answer) = @_;
        $node->{is_asked} = 0;
        $self->write_to_node($node) if $answer =~ m{^HTTP/1\.\d 200 };
    });
}

sub write_to_node
{
    my ($self, $node) = @_;
    return if $node->{begin};
    if (!$node->{psql})
    {
        my $pid = open2(my $out, my $in, 'psql', '-XqAt', '-d', $node->{url});
        @$node{qw(psql in out text)} = ($pid, $in, $out, '');
    }
    $node->{begin} = time;
    local $SIG{PIPE} = 'IGNORE';
    # Patroni says that it is the primary a little before PostgreSQL is.
    syswrite $node->{in}, "UPDATE public.probe SET at = now() RETURNING 'done';\n\\echo end\n";
    return;
}

sub read_node
{
    my ($self, $node) = @_;
    sysread $node->{out}, $node->{text}, 4096, length $node->{text}
        or return $self->end_node($node);
    return if $node->{text} !~ /^end\n/m;
    write_line($self->{handle}, 'node', $node->{name}, stamp($node->{begin}), stamp(time))
        if $node->{text} =~ /^done$/m;
    @$node{qw(begin text)} = (0, '');
    return;
}

sub end_node
{
    my ($self, $node) = @_;
    my $pid = delete $node->{psql} or return;
    close $_ for delete @$node{qw(in out)};
    kill KILL => $pid;
    waitpid $pid, 0;
    $node->{begin} = 0;
    return;
}

# ---- the loop ------------------------------------------------------------------------------------

sub ask_all
{
    my ($self) = @_;
    $self->{client}->login if $self->{is_well};
    $self->ask_rest;
    for my $node (@{ $self->{nodes} })
    {
        # A write that waits for a replica may wait for ever; a new one comes by a new session.
        $self->end_node($node) if $node->{begin} && time > $node->{begin} + REST_S;
        $self->ask_node($node);
    }
    return;
}

sub wait_for_answers
{
    my ($self, $seconds) = @_;
    my ($read, $write) = (IO::Select->new, IO::Select->new);
    for my $call (values %{ $self->{open} })
    {
        (length $call->{unsent} ? $write : $read)->add($call->{socket});
    }
    my %node = map { (fileno $_->{out} => $_) } grep { $_->{psql} } @{ $self->{nodes} };
    $read->add($_->{out}) for values %node;
    my ($readable, $writable) = IO::Select->select($read, $write, undef, $seconds);
    for my $handle (@{ $writable // [] }, @{ $readable // [] })
    {
        my $fd = fileno $handle // next;
        if ($node{$fd}) { $self->read_node($node{$fd}); next }
        my $call = $self->{open}{$fd} or next;
        if (length $call->{unsent}) { $self->send_more($call) }
        else { $self->read_more($call) }
    }
    $self->end_call($_) for grep { time > $_->{deadline} } values %{ $self->{open} };
    return;
}

sub run
{
    my ($self) = @_;
    my $parent = getppid;
    $self->{handle} = $self->{client}{handle} = open_log($self->{log});
    $self->{client}->login until $self->{client}{token};
    my $next = time;
    until (-e $self->{until} || getppid != $parent)
    {
        my $now = time;
        if ($now >= $next)
        {
            write_line($self->{handle}, 'late', stamp($now - $next), stamp($now))
                if $now > $next + LATE_S;
            $next = $now + INTERVAL_S;
            $self->ask_all;
        }
        my $wait = $next - time;
        $self->wait_for_answers($wait > 0 ? $wait : 0);
    }
    # What is under way is seen to its end.
    $self->wait_for_answers(0.1) while keys %{ $self->{open} };
    $self->end_node($_) for @{ $self->{nodes} };
    close $self->{handle};
    return;
}

1;
