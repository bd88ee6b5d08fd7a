package CTMS::Session;

# A psql that a test need not wait for. Errors are printed as "ERROR:  23505". When the server
# closes the connection, the answer is CRASH; when nothing comes in time, the session is killed
# and the answer is HANG.
#
#   $session->send('COMMIT'); … $session->blocked; … $session->answer
#   $session->ask('SELECT 1')    # both

use strict;
use warnings;
use CTMS::Test qw(poll_until);
use IPC::Run;
use Time::HiRes qw(sleep time);

my $patience_s = 20;

sub new
{
    my ($class, $node, $database, $cases) = @_;
    my $self = bless { in => '', out => '', asked => 0, cases => $cases,
        born => $cases ? $cases->{crashes} : 0 }, $class;
    $self->{run} = IPC::Run::start(
        [ 'psql', '-XqAt', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr($database) ],
        '<', \$self->{in}, '>&', \$self->{out});
    $self->{pid} = $self->ask('SELECT pg_backend_pid()');
    return $self;
}

sub pid { return $_[0]{pid} }

# A crash ends all sessions, also those that have not noticed yet.
sub has_crashed
{
    my ($self) = @_;
    return !$self->is_alive || $self->{born} < $self->{cases}{crashes};
}

sub is_alive
{
    my ($self) = @_;
    return eval { $self->{run}->pump_nb; $self->{run}->pumpable } ? 1 : 0;
}

sub send
{
    my ($self, $sql) = @_;
    $self->{asked}++;
    $self->{in} .= "$sql\n;\n\\echo end of $self->{asked}\n" if $self->is_alive;
    $self->is_alive;
    return;
}

# Whether the answer to what was sent last has come, or never will.
sub is_done
{
    my ($self) = @_;
    return !$self->is_alive || $self->{out} =~ /^end of $self->{asked}$/m;
}

sub answer
{
    my ($self) = @_;
    my $deadline = time + $patience_s;
    while (!$self->is_done)
    {
        if (time > $deadline)
        {
            $self->stop;
            return 'HANG';
        }
        sleep 0.002;
    }
    $self->is_alive;
    my $out = $self->{out};
    $self->{out} = '';
    if ($out !~ s/^end of $self->{asked}\n//m)
    {
        $self->{cases}{crashes}++ if $self->{cases};
        return 'CRASH';
    }
    $out =~ s/^end of \d+\n|^WARNING:  01000\n//mg;    # changes that dumps leave out
    $out =~ s/\n\z//;
    return $out;
}

sub ask { my ($self, $sql) = @_; $self->send($sql); return $self->answer }

# Waits until the session waits for a lock or a buffer. False when it ends what it was told to do
# instead.
sub blocked
{
    my ($self) = @_;
    return poll_until(sub {
        return 'done' if $self->is_done;
        return $self->{cases}->watch("SELECT wait_event_type IN ('Lock', 'BufferPin')
            FROM pg_stat_activity WHERE pid = $self->{pid}") eq 't' && 'waits';
    }, 'a session waits') eq 'waits';
}

# Ends the session, also when it hangs.
sub stop
{
    my ($self) = @_;
    my $run = delete $self->{run} or return;
    $self->{cases}->watch("SELECT pg_terminate_backend($self->{pid})")
        if $self->{cases} && $self->{pid} =~ /^\d+$/;
    $run->kill_kill(grace => 5);
    return;
}

sub DESTROY { local ($?, $@); my ($self) = @_; eval { $self->stop; 1 } or return; return }

1;
