package Cluster::Backup;

# Backups of a cluster with pgBackRest, and the whole cluster as it was, as methods of Cluster.
# docs/backup.md has the same steps for real machines.

use strict;
use warnings;
use RunFolder qw(slurp write_file);

use constant { RECOVERY_TIMEOUT_S => 3600, LOST_PORT => 5433 };

my @stopped = qw(agent1 agent2 rest1 rest2);

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
    my ($self, $type, @options) = @_;
    my $leader = $self->leader // die "ctms: there is no leader\n";
    $self->pgbackrest($leader, '--type=' . ($type // 'incr'), @options, 'backup');
    return;
}

# Everything as it was at a time ("2026-01-31 12:00:00+00"), or at the end of the archive; waits
# until the cluster is healthy. REST servers and agents are stopped, and stay so until
# start_programs(), because Acoustic is newer, and people who were deleted later are back. What the
# leader had is kept (lost).
sub restore
{
    my ($self, $time) = @_;
    my $node = $self->leader // 'db1';
    my @others = grep { $_ ne $node } $self->nodes;
    $self->{note}->('stopping REST servers, agents, Patroni and PostgreSQL');
    write_file("$self->{folder}/stopped", join "\n", @stopped);
    $self->stop_programs(@stopped);
    $self->stop_programs(map { "$_.patroni" } @others);
    $self->stop_programs("$node.patroni");
    $self->{processes}->signal('KILL', map { "$_.postgres" } $self->nodes);
    $self->{note}->("restoring $node");
    $self->keep_lost($node);
    my @target = defined $time ? ('--type=time', "--target=$time", '--target-action=promote') : ();
    $self->pgbackrest($node, @target, 'restore');
    $self->recover($node);
    $self->forget_cluster($node);
    $self->start_program("$node.patroni");
    $self->wait_until('there is a leader that writes', sub {
        return ($self->leader // '') eq $node && !$self->is_recovering($node) });
    # Backups made before may be of times that did not happen: no replica can start from those. They
    # are kept, for who restores again to another time.
    $self->{note}->('making a full backup');
    $self->backup('full', '--no-expire-auto');
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

sub keep_lost
{
    my ($self, $node) = @_;
    my ($data, $lost) = map { "$self->{folder}/$node/$_" } qw(data lost);
    system('rm', '-rf', map { "$self->{folder}/$_/lost" } $self->nodes) == 0
        or die "ctms: could not remove what an earlier restore has kept\n";
    rename $data, $lost or die "ctms: could not rename $data: $!\n" if -d $data;
    mkdir $data, 0700 or die "ctms: could not make $data: $!\n";
    return;
}

# PostgreSQL recovers without Patroni, which would follow the archive to its end.
sub recover
{
    my ($self, $node) = @_;
    my $config = "$self->{folder}/$node/pgbackrest.conf";
    $self->start_alone($node, 'data', archive_command =>
            "timeout 60 pgbackrest --config=$config --stanza=ctms archive-push %p");
    $self->wait_until("$node has recovered", sub { return !$self->is_recovering($node) },
        RECOVERY_TIMEOUT_S);
    return $self->stop_alone($node, 'data');
}

# True while it does not answer, too. Patroni calls a server the leader some time before this ends.
sub is_recovering
{
    my ($self, $node) = @_;
    return ($self->sql($node, 'SELECT pg_is_in_recovery()') // 't') ne 'f';
}

# PostgreSQL without Patroni, reached by its socket. Settings in the data directory may be those of
# another server.
sub start_alone
{
    my ($self, $node, $folder, %setting) = @_;
    my $here = "$self->{folder}/$node/$folder";
    %setting = (listen_addresses => '', unix_socket_directories => $self->files->sockets($node),
        hba_file => "$here/pg_hba.conf", ident_file => "$here/pg_ident.conf",
        synchronous_standby_names => '', %setting);
    my $options = join ' ', map { "-c $_='$setting{$_}'" } sort keys %setting;
    my $log = "$self->{folder}/log/recovery.log";
    $self->run_on($node, pg_ctl($here), '-l', $log, '-o', $options, 'start') == 0
        or die "ctms: PostgreSQL does not start; see $log\n";
    return;
}

sub stop_alone
{
    my ($self, $node, $folder) = @_;
    $self->run_on($node, pg_ctl("$self->{folder}/$node/$folder"), '-m', 'fast', 'stop') == 0
        or die "ctms: PostgreSQL does not stop; see $self->{folder}/log/recovery.log\n";
    return;
}

sub pg_ctl { return ('pg_ctl', '-D', $_[0], '-w', '-t', RECOVERY_TIMEOUT_S) }

# ---- after a restore ------------------------------------------------------------------------

# What a restore has stopped, and nobody has started since.
sub stopped { my ($self) = @_; return split /\n/, slurp("$self->{folder}/stopped") }

sub forget_stopped { my ($self) = @_; unlink "$self->{folder}/stopped"; return }

sub start_programs
{
    my ($self) = @_;
    my @names = $self->stopped;
    $self->forget_stopped;
    $self->start_program($_) for @names;
    return;
}

# The state that was given up, on a port of its own; returns a URL of it.
sub start_lost
{
    my ($self, $node) = @_;
    $self->start_alone($node, 'lost', port => LOST_PORT, archive_mode => 'off');
    my $sockets = $self->files->sockets($node);
    return 'postgresql:///ctms?user=postgres&port=' . LOST_PORT . "&host=$sockets";
}

sub stop_lost { my ($self, $node) = @_; return $self->stop_alone($node, 'lost') }

1;
