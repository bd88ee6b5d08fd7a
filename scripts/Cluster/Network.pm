package Cluster::Network;

# Where the machines of a cluster are: in network namespaces below one user namespace, where this
# system lets an ordinary user have them, and otherwise at addresses of the loopback interface.
#
#   Cluster::Network::enter();         at the very beginning: runs this program again, inside
#   my $network = Cluster::Network->new($processes, $folder);
#   $network->start;                   a bridge, and a namespace for each of db1, db2, db3
#   $network->wrapper('db1')           words before a command that is to run on that machine
#   $network->address('db1')
#   $network->cut('db1'), $network->join('db1')

use strict;
use warnings;
use IO::Socket::INET;
use RunFolder qw(slurp write_file);
use Time::HiRes qw(sleep time);

my %host = (app1 => 1, db1 => 11, db2 => 12, db3 => 13);
# What every machine listens on; where all share one interface, these must be free.
my @ports_of_node = (2379, 2380, 5432, 8008);
my @ports_of_app = (5000, 5001, 6432, 8000, 8001, 8002, 8011, 8012);

use constant UNSHARE => qw(unshare --user --map-current-user --keep-caps --net --);

sub nodes { return grep { /\Adb/ } sort keys %host }

# Whether this program runs inside.
sub is_inside { return ($ENV{CLUSTER_NETWORK} // '') eq 'inside' }

# Whether this system lets us.
sub is_allowed
{
    return 0 if ($ENV{CTMS_CLUSTER_NAMESPACES} // '') eq 'off' || $> == 0;
    my $try = 'ip link add try type bridge && ip link add v0 type veth peer name v1';
    return system((UNSHARE), 'sh', '-c', "($try) >/dev/null 2>&1") >> 8 == 0;
}

# The process stays the same one. Names of programs and options for Perl stay too.
sub enter
{
    return if is_inside() || !is_allowed();
    local $ENV{CLUSTER_NETWORK} = 'inside';
    exec UNSHARE, $^X, (map { "-I$_" } @INC), $0, @ARGV;
}

sub new
{
    my ($class, $processes, $folder) = @_;
    return bless { processes => $processes, folder => $folder }, $class;
}

sub run
{
    my (@command) = @_;
    system(@command) == 0 or die "ctms: could not run: @command\n";
    return;
}

sub start
{
    my ($self) = @_;
    return $self->choose_loopback if !is_inside();
    # A second cluster of one program uses the same bridge.
    if (system('ip link show br0 >/dev/null 2>&1') != 0)
    {
        run(qw(ip link set lo up));
        run(qw(ip link add br0 type bridge forward_delay 0));
        run(qw(ip addr add), $self->address('app1') . '/24', qw(dev br0));
        run(qw(ip link set br0 up));
    }
    $self->start_node($_) for nodes();
    return;
}

# A process that does nothing keeps the namespace of a machine.
sub start_node
{
    my ($self, $node) = @_;
    my $name = "network-$node";
    return if $self->{processes}->is_running($name);
    my $pid = $self->{processes}->start($name, 'network', {}, qw(unshare --net sleep infinity));
    my $deadline = time + 10;
    until ((readlink("/proc/$pid/ns/net") // '') ne readlink '/proc/self/ns/net'
            && slurp("/proc/$pid/comm") =~ /\Asleep/)
    {
        die "ctms: could not make a network namespace\n" if time > $deadline;
        sleep 0.01;
    }
    system("ip link delete $node 2>/dev/null");    # of a cluster that ended just now
    run(qw(ip link add), $node, qw(type veth peer name eth0 netns), $pid);
    run(qw(ip link set), $node, qw(master br0 up));
    my @there = ('nsenter', "--net=/proc/$pid/ns/net", '--', 'ip');
    run(@there, qw(link set lo up));
    run(@there, qw(addr add), $self->address($node) . '/24', qw(dev eth0));
    run(@there, qw(link set eth0 up));
    return;
}

# Programs run without the rights that this one has in its namespaces.
sub wrapper
{
    my ($self, $machine) = @_;
    return () if !is_inside();
    my @where = $machine =~ /\Adb/ ? ('nsenter', '--net=' . $self->namespace($machine), '--') : ();
    return (@where, qw(setpriv --inh-caps=-all --ambient-caps=-all --));
}

# The same for a program outside.
sub wrapper_outside
{
    my ($self, $machine) = @_;
    return () if !is_inside();
    return ('nsenter', "--user=/proc/$$/ns/user", '--net=' . $self->namespace($machine),
        '--preserve-credentials', '--');
}

sub namespace
{
    my ($self, $machine) = @_;
    my $pid = $machine =~ /\Adb/ ? $self->{processes}->pid("network-$machine") : $$;
    return "/proc/$pid/ns/net";
}

# The first three numbers of all addresses. The files of examples/cluster have 10.77.0.
sub prefix
{
    my ($self) = @_;
    return '10.77.0' if is_inside();
    return $self->{prefix} // die "ctms: the cluster has no addresses yet\n";
}

sub address
{
    my ($self, $machine) = @_;
    my $host = $host{$machine} // die "ctms: there is no machine \"$machine\"\n";
    return $self->prefix . ".$host";
}

# 127.77.N: those of a cluster that was here before, or the first at which all ports are free.
sub choose_loopback
{
    my ($self) = @_;
    my $file = "$self->{folder}/loopback";
    my ($known) = slurp($file) =~ /\A([\d.]+)\n/;
    my $taken;
    for my $prefix ($known // (), map { "127.77.$_" } 0 .. 50)
    {
        $taken = first_taken($prefix) // do {
            $self->{prefix} = $prefix;
            write_file($file, $prefix);
            return;
        };
    }
    die "ctms: $taken is taken: some other program listens there\n";
}

sub first_taken
{
    my ($prefix) = @_;
    my @all = map({ "$prefix.$host{app1}:$_" } @ports_of_app),
        map { my $at = "$prefix.$host{$_}"; map { "$at:$_" } @ports_of_node } nodes();
    for (@all)
    {
        return $_ unless IO::Socket::INET->new(LocalAddr => $_, Listen => 1, ReuseAddr => 1);
    }
    return;
}

sub need_namespaces
{
    die "ctms: a machine can only be cut off where it has a network of its own, and this system"
        . " does not allow that (user namespaces)\n" if !is_inside();
    return;
}

sub cut { my ($self, $node) = @_; need_namespaces(); run(qw(ip link set), $node, 'down'); return }
sub join { my ($self, $node) = @_; need_namespaces(); run(qw(ip link set), $node, 'up'); return }

1;
