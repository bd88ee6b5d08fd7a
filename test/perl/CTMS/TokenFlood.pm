package CTMS::TokenFlood;

# Hostile clients that ask for tokens over many connections, as a process of their own, until
# stopped. bench/token_flood.pl measures what others notice of it, 118_token_flood tests it.
#
#   my $flood = CTMS::TokenFlood->new($port, connections => 200, ask => sub { ($id, $secret) });
#   ...
#   $flood->stop;                 # the number of answers that it got, by status
#
# Options: is_kept, connections are used again; is_rude, each is closed as soon as it has asked;
# patience_s, after which one is closed without an answer; addresses, from which they come by turns.
# ask says what is asked next.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

# A rude client comes again after this time.
my $BREATH_S = 0.1;

sub new
{
    my ($class, $port, %options) = @_;
    pipe(my $from, my $to) or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid)
    {
        close $from;
        my $ok = eval { flood($port, $to, %options); 1 };
        print {*STDERR} $@ if !$ok;
        POSIX::_exit($ok ? 0 : 1);
    }
    close $to;
    return bless { pid => $pid, from => $from, owner => $$ }, $class;
}

sub stop
{
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill TERM => $pid;
    my $report = do { local $/; readline $self->{from} } // '';
    waitpid $pid, 0;
    return { $report =~ /(\d+)=(\d+)/g };
}

sub DESTROY { local $?; $_[0]->stop if $_[0]{owner} == $$; return }

# ---- in the process ------------------------------------------------------------------------------

sub request
{
    my ($ask) = @_;
    my ($id, $secret) = $ask->();
    my $body = "client_id=$id&client_secret=$secret";
    return "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: " . length($body)
        . "\r\n\r\n$body";
}

sub connect_again
{
    my ($client, $port, $options, $select) = @_;
    my @addresses = @{ $options->{addresses} // ['127.0.0.1'] };
    $client->{socket} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
        LocalAddr => $addresses[ $client->{number} % @addresses ], Timeout => 5) or return;
    $select->add([ $client->{socket}, $client ]) if !$options->{is_rude};
    return 1;
}

sub disconnect
{
    my ($client, $select) = @_;
    my $socket = delete $client->{socket} or return;
    $select->remove($socket);
    close $socket;
    return;
}

sub ask
{
    my ($client, $options) = @_;
    $client->{answer} = '';
    $client->{asked} = time;
    return $client->{socket}->syswrite(request($options->{ask}));
}

# The status, once the answer is whole; 0 when there will be none.
sub status
{
    my ($client) = @_;
    my $count = $client->{socket}->sysread($client->{answer}, 65536, length $client->{answer});
    return 0 if !$count;
    my ($status, $head, $length, $body) = $client->{answer}
        =~ m{\AHTTP/1\.1 (\d+) (.*?\r\nContent-Length: (\d+)\r\n.*?\r\n\r\n|.*?\r\n\r\n)(.*)\z}s
        or return;
    return length($body) >= ($length // 0) ? $status : undef;
}

sub flood
{
    my ($port, $to, %options) = @_;
    my $is_over;
    local $SIG{TERM} = sub { $is_over = 1 };
    local $SIG{PIPE} = 'IGNORE';
    srand $$;
    my $select = IO::Select->new;
    my @clients = map { { number => $_, again => 0 } } 1 .. $options{connections};
    my %statuses;
    while (!$is_over && getppid != 1)
    {
        my $now = time;
        for my $client (@clients)
        {
            if ($client->{socket} && $options{patience_s}
                && $client->{asked} < $now - $options{patience_s})
            {
                disconnect($client, $select);
            }
            next if $client->{socket} || $client->{again} > $now;
            connect_again($client, $port, \%options, $select) && ask($client, \%options);
            next if !$options{is_rude};
            disconnect($client, $select);
            $client->{again} = $now + $BREATH_S * (0.5 + rand);
        }
        sleep 0.005 if $options{is_rude};
        for my $ready ($select->can_read(0.02))
        {
            my $client = $ready->[1];
            my $status = status($client) // next;
            $statuses{$status}++;
            disconnect($client, $select) if !$status || !$options{is_kept};
            ask($client, \%options) if $client->{socket};
        }
    }
    print {$to} join ' ', map { "$_=$statuses{$_}" } sort keys %statuses;
    close $to;
    return;
}

1;
