package CTMS::ClusterFaults;

# What fails in a cluster: the kinds of faults, how often each comes, and how it is brought about
# with scripts/Cluster.pm. Each ends with everything started, resumed or healed that the fault has
# touched; whether the cluster is healthy then is for the caller to wait for.
#
#   my $faults = CTMS::ClusterFaults->new($cluster);
#   for my $kind ($faults->deck) { my $victim = $faults->run($kind) … }

use strict;
use warnings;
use List::Util qw(shuffle);
use Time::HiRes qw(sleep);

# Longer than Patroni's ttl, so that somebody else becomes the leader; and than an agent's lease.
use constant { BEYOND_TTL_S => 28, BEYOND_LEASE_S => 12 };

sub pick { return $_[ rand @_ ] }
sub leader { my ($c) = @_; return $c->leader // die "there is no leader\n" }
sub replica { my ($c) = @_; return pick($c->replicas) // die "there is no replica\n" }

# Does one thing, waits, and does the other.
sub for_a_while
{
    my ($victim, $seconds, $do, $undo) = @_;
    $do->();
    sleep $seconds;
    $undo->();
    return $victim;
}

sub kill_node
{
    my ($c, $node, $seconds) = @_;
    return for_a_while($node, $seconds, sub { $c->kill_node($node) },
        sub { $c->start_node($node) });
}

sub pause_node
{
    my ($c, $node, $seconds) = @_;
    return for_a_while($node, $seconds, sub { $c->pause_node($node) },
        sub { $c->resume_node($node) });
}

sub cut_off
{
    my ($c, $node, $seconds) = @_;
    return for_a_while($node, $seconds, sub { $c->partition($node) }, sub { $c->heal($node) });
}

sub kill_etcd
{
    my ($c, $seconds, @nodes) = @_;
    return for_a_while("@nodes", $seconds, sub { $c->kill_etcd($_) for @nodes },
        sub { $c->start_etcd($_) for @nodes });
}

sub kill_program
{
    my ($c, $name, $seconds) = @_;
    return for_a_while($name, $seconds, sub { $c->kill_program($name) },
        sub { $c->start_program($name) });
}

# How many of each kind are in a deck, what it needs, what it does with the cluster; the function
# returns who was hit.
my %KINDS = (
    'switchover' => [ 2, '', sub { my ($c) = @_; my $to = $c->sync_replica; $c->switchover($to);
        return $to } ],
    'leader dies' => [ 2, '', sub { kill_node($_[0], leader(@_), 6 + rand 25) } ],
    # What was acknowledged although no replica had it is lost.
    'leader dies before replicas go on' => [ 1, '', sub { my ($c) = @_;
        my ($leader, @replicas) = (leader($c), $c->replicas);
        for_a_while('', 1.5, sub { $c->pause_node($_) for @replicas },
            sub { $c->kill_node($leader); $c->resume_node($_) for @replicas });
        sleep 6;
        $c->start_node($leader);
        return $leader } ],
    'replica dies' => [ 1, '', sub { kill_node($_[0], replica(@_), 3 + rand 10) } ],
    'synchronous replica dies' => [ 1, '', sub { kill_node($_[0], $_[0]->sync_replica,
            3 + rand 30) } ],
    'PostgreSQL of the leader dies' => [ 2, '', sub { my $node = leader(@_);
        $_[0]->kill_postgres($node); return $node } ],
    'Patroni of the leader dies' => [ 1, '', sub { my ($c) = @_; my $node = leader($c);
        return for_a_while($node, BEYOND_TTL_S, sub { $c->kill_patroni($node) },
            sub { $c->start_node($node) }) } ],
    'leader stands still' => [ 1, '', sub { pause_node($_[0], leader(@_), BEYOND_TTL_S) } ],
    'replica stands still' => [ 1, '', sub { pause_node($_[0], replica(@_), 3 + rand 25) } ],
    'leader cut off' => [ 1, 'network', sub { cut_off($_[0], leader(@_), BEYOND_TTL_S) } ],
    'leader cut off shortly' => [ 1, 'network', sub { cut_off($_[0], leader(@_), 1 + rand 6) } ],
    'replica cut off' => [ 1, 'network', sub { cut_off($_[0], replica(@_), 3 + rand 25) } ],
    'replica lags' => [ 1, '', sub { my ($c) = @_; my $node = replica($c);
        return for_a_while($node, 8, sub { $c->lag($node, 3) }, sub { $c->lag($node, 0) }) } ],
    'etcd member dies' => [ 1, '', sub { kill_etcd($_[0], 8, pick(qw(db1 db2 db3))) } ],
    'two etcd members die' => [ 1, '', sub { kill_etcd($_[0], 5 + rand 30,
            (shuffle(qw(db1 db2 db3)))[ 0, 1 ]) } ],
    'pooler restarts' => [ 1, '', sub { $_[0]->restart_pooler; return 'pooler' } ],
    'HAProxy restarts' => [ 1, '', sub { $_[0]->restart_haproxy; return 'haproxy' } ],
    'REST server dies' => [ 1, '', sub { kill_program($_[0], pick(qw(rest1 rest2)), 1 + rand 5) } ],
    'both REST servers die' => [ 1, '', sub { my ($c) = @_; my @both = qw(rest1 rest2);
        return for_a_while("@both", 4, sub { $c->kill_program($_) for @both },
            sub { $c->start_program($_) for @both }) } ],
    'agent dies' => [ 1, '', sub { kill_program($_[0], pick(qw(agent1 agent2)), rand 5) } ],
    'agent stands still' => [ 1, '', sub { my ($c) = @_; my $name = pick(qw(agent1 agent2));
        return for_a_while($name, BEYOND_LEASE_S, sub { $c->pause_program($name) },
            sub { $c->resume_program($name) }) } ],
    'replica is made anew' => [ 1, '', sub { my $node = replica(@_); $_[0]->reinit($node);
        return $node } ],
);

sub new
{
    my ($class, $cluster) = @_;
    return bless { cluster => $cluster }, $class;
}

# All kinds that are possible here, shuffled, each as often as it is to come.
sub deck
{
    my ($self) = @_;
    my @possible = grep { $KINDS{$_}[1] eq '' || $self->{cluster}->has_network } sort keys %KINDS;
    return shuffle(map { my $kind = $_; ($kind) x $KINDS{$kind}[0] } @possible);
}

sub run
{
    my ($self, $kind) = @_;
    my $known = $KINDS{$kind} or die "no such fault: $kind\n";
    return $known->[2]->($self->{cluster});
}

1;
