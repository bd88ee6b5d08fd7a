package Cluster;

# A ctms as people run it, on one machine: three database servers with etcd, Patroni and pgBackRest
# (db1, db2, db3), and one with HAProxy, PgBouncer, two REST servers, two agents and the Acoustic
# sandbox (app1). The files of examples/cluster say how.
#
#   Cluster::enter();                                 at the beginning of the program
#   my $c = Cluster->new(folder => '/dir', bindir => …, programs => 'build/bin',
#       examples => 'examples/cluster', note => sub { print "@_\n" });
#   $c->start; …; $c->stop;
#
# What there is to break is in Cluster::Faults, and backups are in Cluster::Backup. PostgreSQL does
# not run as root, so this does not.

use strict;
use warnings;
use parent qw(Cluster::Faults Cluster::Backup);
use Cluster::Files;
use Cluster::Network;
use Cluster::Processes;
use Cwd ();
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use RunFolder qw(slurp write_file);
use Time::HiRes qw(sleep time);

use constant START_TIMEOUT_S => 120;

my @nodes = Cluster::Network::nodes();
my %port = (primary => 5000, replicas => 5001, pooler => 6432, rest => 8000, rest1 => 8001,
    rest2 => 8002, agent1 => 8011, agent2 => 8012, postgres => 5432, patroni => 8008, etcd => 2379);
my %program = ((map { $_ => "/usr/bin/$_" } qw(etcd patroni pgbackrest unshare setpriv nsenter)),
    (map { $_ => "/usr/sbin/$_" } qw(haproxy pgbouncer)));

# Names of programs that are not installed.
sub missing { return join ' ', grep { !-x $program{$_} } sort keys %program }

sub enter { return Cluster::Network::enter() }
sub has_network { return Cluster::Network::is_inside() }

# rest_env and agent_env are settings of all REST servers and agents, besides those of the files.
# front has sockets that were opened outside of the namespaces: name => {handle, port}.
sub new
{
    my ($class, %options) = @_;
    my $self = bless { note => sub { }, last_answer => '', rest_env => {}, agent_env => {},
        front => {}, %options, owner => $$ }, $class;
    die "ctms: PostgreSQL does not run as root\n" if $> == 0;
    for my $folder ($self->{folder}, "$self->{folder}/log")
    {
        -d $folder or mkdir $folder, 0700 or die "ctms: could not make $folder: $!\n";
    }
    $self->{$_} = Cwd::abs_path($self->{$_}) for qw(folder bindir programs examples);
    # The tools of PostgreSQL, and those that only root has in its PATH.
    $ENV{PATH} = "$self->{bindir}:$ENV{PATH}:/usr/sbin:/sbin";
    $self->{processes} = Cluster::Processes->new($self->{folder});
    $self->{network} = Cluster::Network->new($self->{processes}, $self->{folder});
    return $self;
}

# ---- where -------------------------------------------------------------------------

sub nodes { return @nodes }
sub address { my ($self, $machine) = @_; return $self->{network}->address($machine) }

sub port
{
    my ($self, $what) = @_;
    return $self->sandbox_port if $what eq 'sandbox';
    return $port{$what} // die "ctms: nothing is called \"$what\"\n";
}

# The sandbox is at 127.0.0.1, which may be everybody's.
sub sandbox_port
{
    my ($self) = @_;
    return 8010 if has_network();
    my $file = "$self->{folder}/sandbox-port";
    if (!-s $file)
    {
        my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 1)
            or die "ctms: no port is free: $!\n";
        write_file($file, $socket->sockport);
    }
    return slurp($file) + 0;
}

sub url { my ($self, $what) = @_; return 'http://' . $self->address('app1') . ':' . $port{$what} }
sub rest_url { return $_[0]->url('rest') }
sub sandbox_url { return 'http://127.0.0.1:' . $_[0]->sandbox_port }

# For libpq, with the password. WHERE: pooler, primary, replicas, or a node.
sub db_url
{
    my ($self, $where, $role) = @_;
    my $at = grep({ $_ eq $where } @nodes) ? $self->address($where) . ':5432'
        : $self->address('app1') . ':' . $self->port($where);
    return "postgresql://$role:" . $self->files->password($role) . "\@$at/ctms";
}

# Needs the addresses, so it is made late.
sub files
{
    my ($self) = @_;
    return $self->{files} //= Cluster::Files->new(
        (map { $_ => $self->{$_} } qw(folder examples bindir)),
        prefix => $self->{network}->prefix, sandbox_port => $self->sandbox_port);
}

sub log_of
{
    my ($self, $name) = @_;
    return slurp($self->{processes}->log_file($name));
}

# ---- start and stop -------------------------------------------------------------------

sub start
{
    my ($self) = @_;
    my $missing = missing();
    die "ctms: not installed: $missing (scripts/install-packages cluster)\n" if $missing ne '';
    $self->{processes}->kill_all;    # of a run that was killed
    $self->{processes}->start_keeper;
    $self->{network}->start;
    mkdir "$self->{folder}/backup", 0700;
    $self->files->make;
    $self->make_front;
    $self->{note}->('starting etcd, HAProxy and the sandbox');
    $self->start_program($_) for grep { !/patroni|pooler|rest|agent/ } $self->program_names;
    $self->wait_until("etcd of $_ listens",
        sub { return connects($self->address($_) . ":$port{etcd}") }) for @nodes;
    my $is_new = !-d "$self->{folder}/db1/data" ? ', with a new cluster' : '';
    $self->{note}->("starting Patroni and PostgreSQL$is_new");
    $self->start_program("$_.patroni") for @nodes;
    $self->wait_until('there is a leader', sub { return $self->is_ready });
    $self->pgbackrest($self->leader, 'stanza-create') if $is_new;
    my @stopped = $self->stopped;
    my $others = @stopped ? '; REST servers and agents stay stopped, since a restore'
        : ', REST servers and agents';
    $self->{note}->("starting PgBouncer$others");
    $self->start_program($_) for 'pooler', @stopped ? () : qw(rest1 rest2 agent1 agent2);
    $self->wait_healthy;
    $self->wait_until('PgBouncer answers',
        sub { return connects($self->address('app1') . ":$port{pooler}") });
    $self->wait_until('REST answers', sub { return $self->rest_is_up }) if !@stopped;
    return;
}

# A leader that has made the database and its roles.
sub is_ready
{
    my ($self) = @_;
    my $leader = $self->leader // return 0;
    return ($self->sql($leader, "SELECT 1 FROM pg_roles WHERE rolname = 'ctms-admin'
        AND pg_has_role(oid, 'ctms_admin', 'MEMBER')") // '') eq '1';
}

sub rest_is_up
{
    my ($self) = @_;
    return HTTP::Tiny->new(timeout => 3)->get($self->rest_url . '/__heartbeat__')->{status} == 200;
}

# How each program is started: machine, environment, command.
sub command_of
{
    my ($self, $name) = @_;
    my $app = "$self->{folder}/app1";
    if (my ($node, $what) = $name =~ /\A(db\d)\.(etcd|patroni)\z/)
    {
        my $here = "$self->{folder}/$node";
        return $node, {}, $program{etcd}, '--config-file', "$here/etcd.yml" if $what eq 'etcd';
        return $node, { PGBACKREST_CONFIG => "$here/pgbackrest.conf" }, $program{patroni},
            "$here/patroni.yml";
    }
    return 'app1', {}, $program{haproxy}, '-db', '-f', "$app/haproxy.cfg" if $name eq 'haproxy';
    return 'app1', {}, $program{haproxy}, '-db', '-f', "$app/front.cfg" if $name eq 'front';
    return 'app1', {}, $program{pgbouncer}, "$app/pgbouncer.ini" if $name eq 'pooler';
    return 'app1', { SANDBOX_PORT => $self->sandbox_port, SANDBOX_STATE => "$app/sandbox.json",
        SANDBOX_SFTP_ROOT => "$app/sftp" }, "$self->{programs}/acoustic-sandbox"
        if $name eq 'sandbox';
    return 'app1', { CTMS_PORT => $port{$name}, %{ $self->{rest_env} } },
        "$self->{programs}/ctms-rest", '--config', "$app/rest.env" if $name =~ /\Arest[12]\z/;
    return 'app1', { CTMS_AGENT_METRICS_PORT => $port{$name},
        CTMS_BACKGROUND_HEALTHCHECK_PATH => "$app/$name-alive", %{ $self->{agent_env} } },
        "$self->{programs}/ctms-agent", '--config', "$app/agent.env" if $name =~ /\Aagent[12]\z/;
    die "ctms: no program is called \"$name\"\n";
}

sub start_program
{
    my ($self, $name) = @_;
    return if $self->{processes}->is_running($name);
    my ($machine, $environment, @command) = $self->command_of($name);
    $self->{processes}->start($name, $machine, $environment,
        $self->{network}->wrapper($machine), @command);
    return;
}

sub program_names
{
    my ($self) = @_;
    return (map({ ("$_.etcd", "$_.patroni") } @nodes),
        qw(haproxy sandbox pooler rest1 rest2 agent1 agent2), %{ $self->{front} } ? 'front' : ());
}

# Brings what connects to sockets that were opened outside to those inside.
sub make_front
{
    my ($self) = @_;
    my $front = $self->{front};
    return if !%$front;
    $self->{processes}{inherited}{front} = [ map { $_->{handle} } values %$front ];
    my @lines = ('defaults', ' mode tcp', ' timeout connect 2s', ' timeout client 24h',
        ' timeout server 24h');
    for my $name (sort keys %$front)
    {
        my $at = $name eq 'sandbox' ? '127.0.0.1' : $self->address('app1');
        push @lines, "listen $name", ' bind fd@' . fileno $front->{$name}{handle},
            " server inside $at:" . $self->port($name);
    }
    write_file("$self->{folder}/app1/front.cfg", @lines);
    return;
}

# Replicas end before the leader, which has then nobody to hand over to. An etcd that ends in order
# tries for ten seconds to hand over to others that are gone; killed, it loses nothing.
sub stop
{
    my ($self) = @_;
    my $leader = $self->leader // '';
    $self->{processes}->signal('CONT', @nodes, 'app1');
    $self->stop_programs(qw(agent1 agent2 rest1 rest2));
    $self->stop_programs(qw(front pooler sandbox haproxy));
    $self->stop_programs(map { "$_.patroni" } grep { $_ ne $leader } @nodes);
    $self->stop_programs("$leader.patroni") if $leader ne '';
    $self->end;
    return;
}

# Everything at once, as when the power goes.
sub end
{
    my ($self) = @_;
    $self->{processes}->kill_all;
    $self->{processes}->stop_keeper;
    return;
}

# At the same time.
sub stop_programs
{
    my ($self, @names) = @_;
    $self->{processes}->signal_program($_, 'TERM') for @names;
    $self->{processes}->stop($_) for @names;
    return;
}

sub DESTROY
{
    my ($self) = @_;
    local ($?, $@);
    $self->end if $self->{owner} == $$ && $self->{processes}{child}{keeper};
    return;
}

sub connects { return IO::Socket::INET->new(PeerAddr => $_[0], Timeout => 1) }

sub wait_until
{
    my ($self, $what, $condition, $timeout_s) = @_;
    $timeout_s //= START_TIMEOUT_S;
    my $deadline = time + $timeout_s;
    until ($condition->())
    {
        $self->{stop_if_asked}->() if $self->{stop_if_asked};
        die "ctms: $timeout_s s were not enough until $what; see $self->{folder}/log\n"
            if time > $deadline;
        sleep 0.1;
    }
    return;
}

# Runs a command on a machine to its end; its output is in log/command.log. Returns its status ($?).
sub run_on
{
    my ($self, $machine, @command) = @_;
    my $pid = $self->{processes}->start('command', $machine, {},
        $self->{network}->wrapper($machine), @command);
    waitpid $pid, 0;
    delete $self->{processes}{child}{command};
    return $?;
}

# ---- what PostgreSQL and Patroni say ----------------------------------------------------

# The answer of a query to a node, by its Unix socket, which no fault of the network touches. undef
# if it does not answer in 5 seconds, or fails: the reason is in {sql_error} then.
sub sql
{
    my ($self, $node, $query, $timeout_s) = @_;
    $timeout_s //= 5;
    my $errors = "$self->{folder}/log/sql.$$";
    local $ENV{PGCONNECT_TIMEOUT} = $timeout_s;
    open my $psql, '-|', 'sh', '-c', 'exec 2>"$0"; exec "$@"', $errors,
        'timeout', '-k', 1, $timeout_s, "$self->{bindir}/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1',
        '-d', 'host=' . $self->files->sockets($node) . ' dbname=ctms user=postgres', '-c', $query
        or die "ctms: psql: $!\n";
    local $/;
    my $answer = <$psql> // '';
    my $is_done = close $psql;
    $self->{sql_error} = slurp($errors);
    unlink $errors;
    return if !$is_done;
    $answer =~ s/\n\z//;
    return $answer;
}

# One request to the Patroni of a node; a body is sent as JSON. Returns {status, content, …}.
sub patroni
{
    my ($self, $node, $method, $path, $body, $timeout_s) = @_;
    my $login = encode_base64('patroni:' . $self->files->password('restapi'), '');
    my %headers = ('Content-Type' => 'application/json', Authorization => "Basic $login");
    return HTTP::Tiny->new(timeout => $timeout_s // 3)->request($method,
        'http://' . $self->address($node) . ":$port{patroni}$path",
        { headers => \%headers, defined $body ? (content => encode_json($body)) : () });
}

# The members as the first node that knows them says.
sub members
{
    my ($self) = @_;
    for my $node (sort { ($b eq $self->{last_answer}) <=> ($a eq $self->{last_answer}) } @nodes)
    {
        my $response = $self->patroni($node, GET => '/cluster');
        next if $response->{status} != 200;
        my $cluster = eval { decode_json($response->{content}) } // next;
        $self->{last_answer} = $node;
        return [ map { my $m = $_; +{ map { $_ => $m->{$_} } qw(name role state timeline lag) } }
                @{ $cluster->{members} } ];
    }
    return [];
}

sub is_running { return $_[0]{state} =~ /\A(?:running|streaming)\z/ }

sub names_of
{
    my ($self, $role) = @_;
    return sort map { $_->{name} }
        grep { $_->{role} =~ $role && is_running($_) } @{ $self->members };
}

# undef while there is none.
sub leader { my ($self) = @_; return ($self->names_of(qr/\Aleader\z/))[0] }
sub replicas { my ($self) = @_; return $self->names_of(qr/\A(?:replica|sync_standby)\z/) }
sub sync_replica { my ($self) = @_; return ($self->names_of(qr/\Async_standby\z/))[0] }

# A leader, to which two replicas of its timeline are connected, one of them synchronous.
sub is_healthy
{
    my ($self) = @_;
    my @members = grep { is_running($_) } @{ $self->members };
    my ($leader) = grep { $_->{role} eq 'leader' } @members;
    return 0 if !$leader || 3 != grep { ($_->{timeline} // 0) == $leader->{timeline} } @members;
    return 0 if 1 != grep { $_->{role} eq 'sync_standby' } @members;
    my $streaming = $self->sql($leader->{name}, q{SELECT count(*) || ' '
        || count(*) FILTER (WHERE sync_state = 'sync') FROM pg_stat_replication
        WHERE state = 'streaming' AND application_name ~ '^db\d$'}) // '';
    return $streaming eq '2 1';
}

sub wait_healthy
{
    my ($self, $timeout_s) = @_;
    $self->wait_until('the cluster is healthy', sub { return $self->is_healthy }, $timeout_s);
    return;
}

1;
