package Supervisor;

# Starts programs, prints what they say with their name in front, starts again what ends,
# and stops them. For scripts/run: one loop, nothing but Perl's core.
#
#   my $programs = Supervisor->new([wrapper command], sub { print "note: @_\n" }, sub { $_[0] });
#   $programs->start('rest', [ 'build/bin/ctms-rest' ], { CTMS_PORT => 8000 });
#   $programs->wait_until('rest', sub { ... });
#   while (...) { $programs->pump(1); $programs->restart_ended }
#   $programs->stop('rest');
#   $programs->drain;

use strict;
use warnings;
use IO::Select;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

# Ends so soon after the start count as failing to start.
use constant QUICK_S => 5;
use constant QUICK_ENDS_MAX => 3;
use constant START_TIMEOUT_S => 60;
use constant STOP_TIMEOUT_S => 30;

# wrapper: words put before every command. note: called with lines about what happens.
# shorten: called with each line of a program; what it returns is printed, undef is not.
sub new
{
    my ($class, $wrapper, $note, $shorten) = @_;
    return bless {
        wrapper => $wrapper, note => $note, shorten => $shorten,
        program => {},                 # by name: command, environment, pid, started, status, …
        select => IO::Select->new,
        source => {},                  # by handle: name, rest of a line
    }, $class;
}

# A session of its own keeps Ctrl-C in the terminal from the program.
sub start
{
    my ($self, $name, $command, $environment) = @_;
    my $program = $self->{program}{$name} //= { quick_ends => 0 };
    @$program{qw(command environment)} = ($command, $environment);
    pipe my $reader, my $writer or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid)
    {
        POSIX::setsid();
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $writer;
        open STDERR, '>&', $writer;
        @ENV{ keys %$environment } = values %$environment;
        { exec { $self->{wrapper}[0] } @{ $self->{wrapper} }, @$command }
        POSIX::_exit(127);
    }
    close $writer;
    $reader->blocking(0);
    $self->{select}->add($reader);
    $self->{source}{$reader} = { name => $name, rest => '' };
    @$program{qw(pid started)} = ($pid, time);
    return;
}

sub is_running
{
    my ($self, $name) = @_;
    my $program = $self->{program}{$name} or return 0;
    return 0 if !$program->{pid};
    return 1 if waitpid($program->{pid}, WNOHANG) == 0;
    @$program{qw(status pid)} = ($?, undef);
    return 0;
}

# How a program ended, in words.
sub ending
{
    my ($self, $name) = @_;
    my $status = $self->{program}{$name}{status};
    return $status & 127 ? 'by signal ' . ($status & 127) : 'with status ' . ($status >> 8);
}

# Prints what has been said; waits for it up to this many seconds.
sub pump
{
    my ($self, $timeout_s) = @_;
    # Without a handle can_read() would not wait.
    sleep $timeout_s if !$self->{select}->count;
    for my $handle ($self->{select}->can_read($timeout_s))
    {
        my $source = $self->{source}{$handle};
        my $length = sysread $handle, $source->{rest}, 65536, length $source->{rest};
        next if !defined $length;
        $self->print_line($source->{name}, $1) while $source->{rest} =~ s/\A(.*)\n//;
        next if $length > 0;
        $self->print_line($source->{name}, $source->{rest}) if length $source->{rest};
        $self->{select}->remove($handle);
        delete $self->{source}{$handle};
        close $handle;
    }
    return;
}

sub print_line
{
    my ($self, $name, $line) = @_;
    $line = $self->{shorten}->($line);
    printf "%-7s | %s\n", $name, $line if defined $line;
    return;
}

# Waits until a condition holds; dies when the program ends or it takes too long.
sub wait_until
{
    my ($self, $name, $condition) = @_;
    my $deadline = time + START_TIMEOUT_S;
    until ($condition->())
    {
        $self->pump(0.05);
        if (!$self->is_running($name))
        {
            $self->drain;
            die "ctms: $name ended " . $self->ending($name) . "\n";
        }
        die "ctms: $name did not come up within " . START_TIMEOUT_S . " s\n" if time > $deadline;
    }
    return;
}

# Dies when a program ends at once again and again.
sub restart_ended
{
    my ($self) = @_;
    for my $name (sort keys %{ $self->{program} })
    {
        next if $self->is_running($name);
        my $program = $self->{program}{$name};
        $program->{quick_ends} =
            time - $program->{started} < QUICK_S ? $program->{quick_ends} + 1 : 0;
        die "ctms: $name does not stay up\n" if $program->{quick_ends} >= QUICK_ENDS_MAX;
        $self->{note}->("$name ended " . $self->ending($name) . '; starting it again');
        $self->start($name, @$program{qw(command environment)});
    }
    return;
}

sub stop
{
    my ($self, $name) = @_;
    return if !$self->is_running($name);
    my $deadline = time + STOP_TIMEOUT_S;
    kill 'TERM', $self->{program}{$name}{pid};
    while ($self->is_running($name))
    {
        if (time > $deadline)
        {
            $self->{note}->("$name does not stop; killing it");
            kill 'KILL', $self->{program}{$name}{pid};
            $deadline = time + STOP_TIMEOUT_S;
        }
        $self->pump(0.02);
    }
    return;
}

# The last words of programs that have ended.
sub drain
{
    my ($self) = @_;
    my $deadline = time + 1;
    $self->pump(0.05) while $self->{select}->count && time < $deadline;
    return;
}

1;
