package Cluster::Processes;

# The processes of a cluster: starts them, finds them, and ends them with the program that started
# them, however that ends.
#
#   my $processes = Cluster::Processes->new($folder);
#   $processes->start('db1.patroni', 'db1', { environment }, @command);
#   $processes->signal('KILL', 'db1.patroni')
#   $processes->of('db1')        pids of everything on that machine
#
# A process belongs to a program of a machine by a variable of its environment, which its children
# inherit. Only PostgreSQL overwrites its environment (with what ps shows); its processes are those
# that are in the data directory. So those of a run that was killed are found too.

use strict;
use warnings;
use Fcntl qw(F_SETFD);
use POSIX qw(WNOHANG);
use RunFolder qw(slurp);
use Time::HiRes qw(sleep time);

use constant STOP_TIMEOUT_S => 15;

# Settings in the environment of whoever starts a cluster are not for its programs.
my $not_theirs = qr/\A(?:CTMS_|SANDBOX_|PATRONI|PGBACKREST|PG[A-Z]+\z|PORT\z)/;

sub new
{
    my ($class, $folder) = @_;
    return bless { folder => $folder, child => {}, inherited => {} }, $class;
}

# The name of a program is MACHINE.WHAT, or one word. Its output goes to log/NAME.log.
sub start
{
    my ($self, $name, $machine, $environment, @command) = @_;
    my $log = $self->log_file($name);
    my $pid = fork // die "ctms: fork: $!\n";
    if (!$pid)
    {
        POSIX::setsid();
        delete @ENV{ grep { /$not_theirs/ } keys %ENV };
        @ENV{ keys %$environment } = values %$environment;
        $ENV{IN_CLUSTER} = "$self->{folder}:$machine:$name";
        fcntl $_, F_SETFD, 0 for @{ $self->{inherited}{$name} // [] };
        chdir $self->{folder};
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE CHLD);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        { exec { $command[0] } @command }
        print STDERR "could not run $command[0]: $!\n";
        POSIX::_exit(127);
    }
    $self->{child}{$name} = $pid;
    return $pid;
}

sub log_file { my ($self, $name) = @_; return "$self->{folder}/log/$name.log" }

# The pid of the program itself, not of its children.
sub pid { my ($self, $name) = @_; return $self->{child}{$name} }

sub is_running
{
    my ($self, $name) = @_;
    my $pid = $self->{child}{$name} or return 0;
    return 1 if waitpid($pid, WNOHANG) == 0;
    delete $self->{child}{$name};
    return 0;
}

# [{pid, machine, name, is_postgres}] of all processes of the cluster.
sub all
{
    my ($self) = @_;
    opendir my $proc, '/proc' or die "ctms: /proc: $!\n";
    my @found;
    for my $pid (grep { /\A\d+\z/ && $_ != $$ } readdir $proc)
    {
        my $environment = slurp("/proc/$pid/environ");
        if ($environment =~ /(?:\A|\0)IN_CLUSTER=\Q$self->{folder}\E:([^:\0]*):([^\0]*)/)
        {
            my ($machine, $name) = ($1, $2);
            push @found, { pid => $pid, machine => $machine, name => $name,
                is_postgres => is_postgres($pid) };
            next;
        }
        my $where = readlink "/proc/$pid/cwd" // next;
        push @found, { pid => $pid, machine => $1, name => "$1.postgres", is_postgres => 1 }
            if $where =~ m{\A\Q$self->{folder}\E/(\w+)/(?:data|lost)(?:\z|/)} && is_postgres($pid);
    }
    return @found;
}

sub is_postgres
{
    my ($pid) = @_;
    return scalar +(readlink("/proc/$pid/exe") // '') =~ m{/postgres(?: \(deleted\))?\z};
}

# Pids on a machine; of a program; of PostgreSQL on a machine ("db1.postgres").
sub of
{
    my ($self, $what) = @_;
    return map { $_->{pid} } grep {
        $_->{machine} eq $what
            || ($_->{is_postgres} ? $what eq "$_->{machine}.postgres" : $what eq $_->{name})
    } $self->all;
}

# Sends a signal to all of these until no new one is found; returns how many there were.
sub signal
{
    my ($self, $signal, @what) = @_;
    my %done;
    for (1 .. 20)
    {
        my @pids = grep { !$done{$_} } map { $self->of($_) } @what;
        last if !@pids;
        kill $signal, @pids;
        @done{@pids} = ();
    }
    return scalar keys %done;
}

# Sends a signal to the program itself only.
sub signal_program
{
    my ($self, $name, $signal) = @_;
    my $pid = $self->pid($name) or return;
    kill $signal, $pid;
    return;
}

# Ends a program of ours in order; what does not end is killed.
sub stop
{
    my ($self, $name) = @_;
    $self->signal_program($name, $_) for qw(TERM CONT);
    my $deadline = time + STOP_TIMEOUT_S;
    while ($self->is_running($name))
    {
        $self->signal('KILL', $name) if time > $deadline;
        sleep 0.02;
    }
    return;
}

# Kills everything, again and again, until nothing is left.
sub kill_all
{
    my ($self) = @_;
    my $deadline = time + STOP_TIMEOUT_S;
    while (my @all = grep { $_->{name} ne 'keeper' } $self->all)
    {
        kill 'KILL', map { $_->{pid} } @all;
        $self->is_running($_) for keys %{ $self->{child} };
        die 'ctms: cannot kill ' . join(' ', map { $_->{pid} } @all) . "\n" if time > $deadline;
        sleep 0.05;
    }
    return;
}

# A process that looks whether this one is still there, and kills everything when it is not.
sub start_keeper
{
    my ($self) = @_;
    my $starter = $$;
    my $pid = fork // die "ctms: fork: $!\n";
    if ($pid)
    {
        $self->{child}{keeper} = $pid;
        return;
    }
    POSIX::setsid();
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
    $self->{child} = {};
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    open STDERR, '>>', $self->log_file('keeper');
    POSIX::close($_) for 3 .. 255;
    $0 = 'ctms-cluster-keeper';
    sleep 0.2 while getppid == $starter;
    $self->kill_all;
    POSIX::_exit(0);
}

sub stop_keeper
{
    my ($self) = @_;
    my $pid = delete $self->{child}{keeper} or return;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    return;
}

1;
