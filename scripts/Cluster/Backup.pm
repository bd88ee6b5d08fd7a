package Cluster::Backup;

# Backups of a cluster with pgBackRest, and the whole cluster as it was, as methods of Cluster.
# docs/backup.md has the same steps for real machines.

use strict;
use warnings;

use constant RECOVERY_TIMEOUT_S => 3600;

sub pgbackrest
{
    my ($self, $node, @arguments) = @_;
    $self->run_on($node, 'pgbackrest', "--config=$self->{folder}/$node/pgbackrest.conf",
        '--stanza=ctms', @arguments) == 0
        or die "ctms: pgbackrest $arguments[-1] failed; see $self->{folder}/log/command.log\n";
    return;
}

# On the leader; waits.
sub backup
{
    my ($self, $type) = @_;
    my $leader = $self->leader // die "ctms: there is no leader\n";
    $self->pgbackrest($leader, '--type=' . ($type // 'incr'), 'backup');
    return;
}

# Everything as it was at a time ("2026-01-31 12:00:00+00"), or at the end of the archive; waits
# until the cluster is healthy. Programs of app1 go on; the database is away to them meanwhile.
sub restore
{
    my ($self, $time) = @_;
    my $node = $self->leader // 'db1';
    my @others = grep { $_ ne $node } $self->nodes;
    $self->{note}->('stopping Patroni and PostgreSQL');
    $self->stop_programs(map { "$_.patroni" } @others);
    $self->stop_programs("$node.patroni");
    $self->{processes}->signal('KILL', map { "$_.postgres" } $self->nodes);
    $self->forget_cluster($node);
    $self->{note}->("restoring $node");
    my @target = defined $time ? ('--type=time', "--target=$time", '--target-action=promote') : ();
    $self->pgbackrest($node, '--delta', @target, 'restore');
    $self->recover($node);
    $self->start_program("$node.patroni");
    $self->wait_until('there is a leader', sub { return ($self->leader // '') eq $node });
    # Backups made before may be of times that did not happen: no replica can start from those.
    $self->{note}->('making a full backup');
    $self->backup('full');
    $self->{note}->('making the replicas anew');
    system('rm', '-rf', map { "$self->{folder}/$_/data" } @others) == 0
        or die "ctms: could not remove the data of the replicas\n";
    $self->start_program("$_.patroni") for @others;
    $self->wait_healthy;
    return;
}

# What Patroni keeps in etcd is of a cluster that is no more.
sub forget_cluster
{
    my ($self, $node) = @_;
    my $answers = "ctms\nYes I am aware\n$node\n";
    $self->run_on($node, 'sh', '-c', 'printf %s "$0" | patronictl -c "$1" remove ctms', $answers,
        "$self->{folder}/$node/patroni.yml") == 0
        or die "ctms: patronictl remove failed; see $self->{folder}/log/command.log\n";
    return;
}

# PostgreSQL recovers without Patroni, which would follow the archive to its end. Its settings in
# the data directory may be those of another server.
sub recover
{
    my ($self, $node) = @_;
    my $here = "$self->{folder}/$node";
    my %setting = (listen_addresses => '', unix_socket_directories => $self->files->sockets($node),
        hba_file => "$here/data/pg_hba.conf", ident_file => "$here/data/pg_ident.conf",
        synchronous_standby_names => '', archive_command =>
            "timeout 60 pgbackrest --config=$here/pgbackrest.conf --stanza=ctms archive-push %p");
    my $options = join ' ', map { "-c $_='$setting{$_}'" } sort keys %setting;
    my $log = "$self->{folder}/log/recovery.log";
    my @pg_ctl = ('pg_ctl', '-D', "$here/data", '-w', '-t', RECOVERY_TIMEOUT_S);
    $self->run_on($node, @pg_ctl, '-l', $log, '-o', $options, 'start') == 0
        or die "ctms: PostgreSQL does not start; see $log\n";
    my $is_recovering = sub { return $self->sql($node, 'SELECT pg_is_in_recovery()') // 't' };
    $self->wait_until("$node has recovered", sub { return $is_recovering->() eq 'f' },
        RECOVERY_TIMEOUT_S);
    $self->run_on($node, @pg_ctl, '-m', 'fast', 'stop') == 0
        or die "ctms: PostgreSQL does not stop; see $log\n";
    return;
}

1;
