package CTMS::SoakSession;

# A session of its own, driven through psql one statement at a time, for tests whose sessions do
# things of their own kind while others run. It tells how each statement ended, outlives lost
# connections, and gives up on statements that hang.
#
#   my $session = CTMS::SoakSession->new($ctms->db_url, "SET ROLE ctms_api", …);
#   my $r = $session->run('SELECT 1');    # {state => '00000', rows => ['1'], text => …}
#
# "text" is all that psql said, "state" the SQLSTATE; 'LOST' when the connection broke, 'HUNG' when
# there was no answer in time: then the session begins anew with the next statement.

use strict;
use warnings;
use IO::Select;
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(sleep time);

our $PATIENCE_S = 90;

sub new
{
    my ($class, $url, @at_first) = @_;
    return bless { url => $url, at_first => \@at_first, count => 0 }, $class;
}

# A psql that is connected; false if there is none within a minute.
sub start
{
    my ($self) = @_;
    my $deadline = time + 60;
    while (time < $deadline)
    {
        $self->{psql} = open2(my $out, my $in, 'exec psql -XqAt -v VERBOSITY=verbose '
            . "-v ON_ERROR_STOP=0 -d '$self->{url}' 2>&1");
        @$self{qw(in out unread)} = ($in, $out, '');
        my $r = $self->ask('SELECT pg_backend_pid()');
        if ($r->{state} eq '00000')
        {
            $self->{pid} = $r->{rows}[0];
            return 1 if !grep { $self->ask($_)->{state} eq 'LOST' } @{ $self->{at_first} };
        }
        $self->stop;
        sleep 0.1;
    }
    return 0;
}

sub stop
{
    my ($self) = @_;
    my $psql = delete $self->{psql} or return;
    close $_ for grep { defined } delete @$self{qw(in out)};
    my $deadline = time + 5;
    while (waitpid($psql, POSIX::WNOHANG()) == 0)
    {
        kill KILL => $psql if time > $deadline;
        sleep 0.01;
    }
    return;
}

# Sends a statement and reads up to the mark behind it.
sub ask
{
    my ($self, $sql) = @_;
    return { state => 'LOST', text => 'no connection', rows => [] } if !$self->{psql};
    my $mark = 'mark' . ++$self->{count};
    local $SIG{PIPE} = 'IGNORE';
    # SQLSTATE would say 00000 of a statement that psql itself could not send.
    my $bytes = "$sql;\n\\warn $mark :SQLSTATE\n";
    my $sent = syswrite $self->{in}, $bytes;
    # What psql said before it went away is still to be read.
    $sent //= 0;
    my $ready = IO::Select->new($self->{out});
    my $deadline = time + $PATIENCE_S;
    until ($self->{unread} =~ /^\Q$mark\E \w+\n/m)
    {
        return $self->lost('HUNG') if !$ready->can_read($deadline - time);
        my $got = sysread $self->{out}, $self->{unread}, 65536, length $self->{unread};
        return $self->lost('LOST') if !$got;
    }
    my ($text, $state) = $self->{unread} =~ /\A(.*?)^\Q$mark\E (\w+)\n/ms;
    $self->{unread} = '';
    # Of several statements at once the first error counts.
    $state = $1 if $state eq '00000' && $text =~ /^(?:ERROR|FATAL):\s+(\w{5}):/m;
    return { state => $state, text => $text, rows => [ split /\n/, $text ] };
}

sub lost
{
    my ($self, $state) = @_;
    my $text = $self->{unread};
    kill KILL => $self->{psql} if $state eq 'HUNG';
    $self->stop;
    return { state => $state, text => $text, rows => [] };
}

sub run
{
    my ($self, $sql) = @_;
    $self->start if !$self->{psql};
    return $self->ask($sql);
}

sub DESTROY { local ($?, $!, $@); $_[0]->stop; return }

1;
