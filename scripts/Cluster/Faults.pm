package Cluster::Faults;

# What can happen to a cluster, as methods of Cluster. Each returns at once unless its comment says
# that it waits.

use strict;
use warnings;
use RunFolder qw(slurp write_file);

# ---- machines -----------------------------------------------------------------------

# The machine dies: PostgreSQL, Patroni and etcd, all at once.
sub kill_node { my ($self, $node) = @_; $self->{processes}->signal('KILL', $node); return }

sub kill_postgres
{
    my ($self, $node) = @_;
    $self->{processes}->signal('KILL', "$node.postgres");
    return;
}

# PostgreSQL goes on without it.
sub kill_patroni
{
    my ($self, $node) = @_;
    $self->{processes}->signal_program("$node.patroni", 'KILL');
    return;
}

sub kill_etcd
{
    my ($self, $node) = @_;
    $self->{processes}->signal_program("$node.etcd", 'KILL');
    return;
}

# What of it is down is started again.
sub start_node
{
    my ($self, $node) = @_;
    $self->start_program("$node.$_") for qw(etcd patroni);
    return;
}

sub start_etcd { my ($self, $node) = @_; $self->start_program("$node.etcd"); return }

sub pause_node { my ($self, $node) = @_; $self->{processes}->signal('STOP', $node); return }
sub resume_node { my ($self, $node) = @_; $self->{processes}->signal('CONT', $node); return }

sub partition { my ($self, $node) = @_; $self->{network}->cut($node); return }
sub heal { my ($self, $node) = @_; $self->{network}->join($node); return }

# ---- Patroni's ------------------------------------------------------------------------

# Waits for Patroni's answer. Only the synchronous replica can follow without losing something.
sub switchover
{
    my ($self, $to) = @_;
    my $leader = $self->leader // die "ctms: there is no leader\n";
    $to //= $self->sync_replica // die "ctms: there is no synchronous replica\n";
    my $response = $self->patroni($leader, POST => '/switchover',
        { leader => $leader, candidate => $to }, 60);
    die "ctms: no switchover to $to: $response->{content}\n" if $response->{status} != 200;
    return;
}

# The node is made anew, from the backup or from the leader.
sub reinit
{
    my ($self, $node) = @_;
    my $response = $self->patroni($node, POST => '/reinitialize', { force => 1 }, 30);
    die "ctms: $node is not made anew: $response->{content}\n" if $response->{status} !~ /\A20/;
    return;
}

# A replica replays that much later; 0 ends it.
sub lag
{
    my ($self, $node, $seconds) = @_;
    my $file = "$self->{folder}/$node/patroni.yml";
    my $text = slurp($file);
    my $line = "    recovery_min_apply_delay: ${seconds}s\n";
    $text =~ s/^ +recovery_min_apply_delay: .*\n//m;
    $text =~ s/^(  recovery_conf:\n)/$1$line/m if $seconds > 0;
    chomp $text;
    write_file($file, $text);
    my $response = $self->patroni($node, POST => '/reload', {});
    die "ctms: $node does not reload: $response->{content}\n" if $response->{status} !~ /\A20/;
    return;
}

# ---- programs of app1 ---------------------------------------------------------------------

sub kill_program { my ($self, $name) = @_; $self->{processes}->signal('KILL', $name); return }
sub pause_program { my ($self, $name) = @_; $self->{processes}->signal('STOP', $name); return }
sub resume_program { my ($self, $name) = @_; $self->{processes}->signal('CONT', $name); return }

# Waits for its end.
sub stop_program { my ($self, $name) = @_; $self->stop_programs($name); return }

sub restart_pooler { my ($self) = @_; $self->restart_program('pooler'); return }
sub restart_haproxy { my ($self) = @_; $self->restart_program('haproxy'); return }

sub restart_program
{
    my ($self, $name) = @_;
    $self->stop_program($name);
    $self->start_program($name);
    return;
}

1;
