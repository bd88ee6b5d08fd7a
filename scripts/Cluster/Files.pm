package Cluster::Files;

# Makes the files of every machine of a cluster from examples/cluster, by replacing words in them:
# addresses, paths of Debian's packages, passwords. Nothing else differs, so what runs is what the
# examples say.
#
#   my $files = Cluster::Files->new(folder => …, examples => …, bindir => …, prefix => '10.77.0',
#       sandbox_port => 8010);
#   $files->make;
#   $files->password('ctms-rest')

use strict;
use warnings;
use RunFolder qw(random_text write_file);

my @nodes = qw(db1 db2 db3);
my @files_of_node = qw(etcd.yml patroni.yml roles.sql pgbackrest.conf);
my @files_of_app = qw(haproxy.cfg pgbouncer.ini userlist.txt rest.env agent.env ctms.env);

sub new
{
    my ($class, %options) = @_;
    my $self = bless {%options}, $class;
    $self->make_folders;
    $self->read_passwords;
    return $self;
}

sub make_folders
{
    my ($self) = @_;
    for my $machine (@nodes, 'app1')
    {
        RunFolder::make("$self->{folder}/$machine$_", $>, 'CLUSTER_DIR')
            for '', qw(/etcd /log /lock /run);
    }
    return;
}

sub sockets
{
    my ($self, $machine) = @_;
    return RunFolder::socket_folder($self->{folder}, "/$machine/run", 'CLUSTER_DIR');
}

# ---- passwords -------------------------------------------------------------------

sub read_passwords
{
    my ($self) = @_;
    open my $handle, '<', "$self->{folder}/passwords" or return;
    while (<$handle>)
    {
        $self->{passwords}{$1} = $2 if /\A(\S+) (\S+)\n/;
    }
    return;
}

# Of a role, or what else is secret; made at its first use.
sub password
{
    my ($self, $name) = @_;
    return $self->{passwords}{$name} //= do {
        my $password = random_text();
        $self->{passwords}{$name} = $password;
        write_file("$self->{folder}/passwords",
            map { "$_ $self->{passwords}{$_}" } sort keys %{ $self->{passwords} });
        $password;
    };
}

# ---- files ------------------------------------------------------------------------

sub read_example
{
    my ($self, $name) = @_;
    open my $handle, '<', "$self->{examples}/$name" or die "ctms: $self->{examples}/$name: $!\n";
    local $/;
    return scalar <$handle>;
}

sub make
{
    my ($self) = @_;
    for my $node (@nodes)
    {
        write_file("$self->{folder}/$node/$_", $self->translate($_, $node)) for @files_of_node;
    }
    write_file("$self->{folder}/app1/$_", $self->translate($_, 'app1')) for @files_of_app;
    $self->make_pgpass;
    return;
}

# For psql: every role, wherever it connects.
sub make_pgpass
{
    my ($self) = @_;
    write_file("$self->{folder}/pgpass",
        map { "*:*:*:$_:" . $self->password($_) } qw(postgres ctms-rest ctms-agent ctms-admin));
    return;
}

# The example as it is on this machine.
sub translate
{
    my ($self, $name, $machine) = @_;
    my $text = $self->read_example($name);
    if ($machine =~ /\Adb(\d)\z/ && $machine ne 'db1')
    {
        my $number = 10 + $1;
        $text = join '', map {
            /# this machine$/ ? s/\bdb1\b/$machine/r =~ s/\b10\.77\.0\.11\b/10.77.0.$number/r : $_
        } $text =~ /(.*\n)/g;
    }
    my %replace = $self->replacements($machine);
    my $words = join '|', map { quotemeta } sort { length $b <=> length $a } keys %replace;
    $text =~ s/($words)/$replace{$1}/g;
    chomp $text;    # write_file() ends lines
    $text =~ s/CHANGE-ME-([a-z-]+)/$self->password($1)/ge;
    return $text;
}

# What an example says, and what holds here.
sub replacements
{
    my ($self, $machine) = @_;
    my $here = "$self->{folder}/$machine";
    my $user = getpwuid $>;
    return (
        '10.77.0.' => "$self->{prefix}.",
        '127.0.0.1:8010' => "127.0.0.1:$self->{sandbox_port}",
        '/var/lib/etcd/default' => "$here/etcd",
        '/var/lib/postgresql/15/main' => "$here/data",
        '/var/lib/postgresql/patroni.pgpass' => "$here/patroni.pgpass",
        '/usr/lib/postgresql/15/bin' => $self->{bindir},
        '/run/postgresql' => $self->sockets($machine),
        '/etc/patroni/roles.sql' => "$here/roles.sql",
        'psql -X' => "$self->{bindir}/psql -X",
        'pgbackrest --stanza' => "pgbackrest --config=$here/pgbackrest.conf --stanza",
        '/var/lib/pgbackrest' => "$self->{folder}/backup",
        '/tmp/pgbackrest' => "$here/lock",
        '/var/spool/pgbackrest' => "$here/spool",
        '/var/log/pgbackrest' => "$here/log",
        '/etc/pgbouncer/userlist.txt' => "$here/userlist.txt",
        # Nobody else's log, users, memory and devices.
        'log /dev/log local0' => 'log stdout format raw local0',
        "    user haproxy\n    group haproxy\n" => '',
        'shared_buffers: 4GB' => 'shared_buffers: 32MB',
        'wal_keep_size: 1GB' => 'wal_keep_size: 128MB',
        'mode: automatic' => 'mode: off',
        'operators root postgres' => "operators $user postgres",
        $self->{prefix} =~ /\A127/ ? ('10.77.0.0/24' => '127.0.0.0/8') : ());
}

1;
