package CTMS::Test;

# One ctms for a test: a private cluster with the extension in database "ctms", and on
# demand the REST server, the agent and the Acoustic sandbox on loopback ports of their own.
#
#   my $ctms = CTMS::Test->new('rest');
#   $ctms->sql('SELECT 1');
#   $ctms->start_sandbox(LATENCY_MS => 100); $ctms->start_rest; $ctms->start_agent;
#   my $r = $ctms->request(GET => '/ctms/...');   # {status, headers, content, json}
#
# Everything that was started is stopped when the object is destroyed or the test ends.
#
# With durable => 1 a crash loses what a power cut would lose. conf has lines for postgresql.conf,
# settings those of ctms.settings.

use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Exporter 'import';

our @EXPORT_OK = qw(data_folder poll_until slurp);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my @live;

# Settings that somebody keeps for the command line are not for tests.
$ENV{CTMS_CONFIG} = '/dev/null';

# Standard error goes to a log that is soon gone: tells prove too why a test ends.
$SIG{__DIE__} = sub { diag("died: $_[0]") if defined $^S && !$^S };

# What PostgreSQL has written survives the end of its processes, flushed or not. So here it writes
# late: a commit that waits for its flush first sleeps (commit_delay, microseconds) with its record
# in memory, and what does not wait stays there until a page is full. Who answers before the commit
# has returned loses what was answered.
my @durable = ('fsync = on', 'full_page_writes = on', 'synchronous_commit = on',
    'commit_delay = 20000', 'commit_siblings = 0', 'wal_writer_delay = 10s',
    'wal_writer_flush_after = 1GB');

sub new
{
    my ($class, $name, %options) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
    $node->append_conf('postgresql.conf', join "\n",
        $options{durable} ? @durable : 'fsync = off', 'log_min_messages = warning',
        $options{conf} // '', '');
    $node->start;
    $node->safe_psql('postgres', 'CREATE DATABASE ctms');
    $node->safe_psql('ctms', 'CREATE EXTENSION ctms') unless $options{no_extension};
    my $self = bless { node => $node, name => $name, process => {}, owner => $$ }, $class;
    push @live, $self;
    $self->set(%{ $options{settings} // {} });
    return $self;
}

# Without a cluster, for tests of programs that need none.
sub programs_only
{
    my ($class, $name) = @_;
    my $self = bless { name => $name, process => {}, owner => $$ }, $class;
    push @live, $self;
    return $self;
}

sub node { return $_[0]{node} }

# The same on another server, such as one that was restored; the sandbox is shared.
sub beside
{
    my ($self, $node) = @_;
    my $other = bless { %$self, node => $node, name => $node->name, process => {} }, ref $self;
    push @live, $other;
    return $other;
}

# The database crashes and recovers. restart('immediate') of PostgreSQL's module is no such thing.
sub crash_database
{
    my ($self) = @_;
    $self->{node}->stop('immediate');
    $self->{node}->start;
    return;
}

sub db_url
{
    my $n = $_[0]{node};
    return 'postgresql:///' . ($_[1] // 'ctms') . '?host=' . $n->host . '&port=' . $n->port;
}
sub sql { my ($self, $query) = @_; return $self->{node}->safe_psql('ctms', $query) }

# Changes settings of the database; undef is the default.
sub set
{
    my ($self, %values) = @_;
    $self->sql("SELECT ctms.set_setting('$_', " . (defined $values{$_} ? "'$values{$_}'" : 'NULL')
        . ')') for sort keys %values;
    return;
}

# What a DBA does before the type of a column changes that a view of ours reads
# (docs/operations.md), for all of them. All leave the extension first, since one reads another.
sub drop_views
{
    my ($self, $database) = @_;
    my @views = split /\n/, $self->{node}->safe_psql($database // 'ctms', q{SELECT oid::regclass
        FROM pg_class WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'v' ORDER BY oid});
    $self->{node}->safe_psql($database // 'ctms', $_)
        for map({ "ALTER EXTENSION ctms DROP VIEW $_" } @views), 'DROP VIEW ' . join ', ', @views;
    return;
}

# Runs SQL that must fail; returns {state, message} as psql shows them with verbosity "verbose".
sub sql_error
{
    my ($self, $query) = @_;
    my ($rc, $out, $err) = $self->{node}->psql('ctms', "\\set VERBOSITY verbose\n$query");
    my ($state, $message) = $err =~ /ERROR:\s+([0-9A-Z]{5}): (.*)/;
    return { state => $state, message => $message, text => $err };
}

# ---- programs -----------------------------------------------------------------

# A program of ctms, or another one with its path.
sub start_program
{
    my ($self, $name, $program, $env, @args) = @_;
    $program = "$ENV{CTMS_TEST_BIN}/$program" if $program !~ m{^/};
    my $log = "$PostgreSQL::Test::Utils::log_path/$self->{name}_$name.log";
    my $pid = fork() // die "fork: $!";
    if (!$pid)
    {
        delete @ENV{ grep { /^CTMS_/ && !/^CTMS_TEST_/ } keys %ENV };
        $ENV{$_} = $env->{$_} for keys %$env;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        { exec { $program } $program, @args }
        POSIX::_exit(127);
    }
    $self->{process}{$name} = { pid => $pid, log => $log };
    return $pid;
}

sub pid { return $_[0]{process}{ $_[1] }{pid} }
sub log_of { return slurp($_[0]{process}{ $_[1] }{log}) }

# Sends a signal (TERM by default) and waits; returns the exit status ($?).
sub stop_program
{
    my ($self, $name, $signal, $timeout_s) = @_;
    my $process = delete $self->{process}{$name} or return;
    kill $signal // $process->{signal} // 'TERM', $process->{pid};
    my $deadline = time + ($timeout_s // 20);
    while (waitpid($process->{pid}, POSIX::WNOHANG()) == 0)
    {
        if (time > $deadline)
        {
            kill 'KILL', $process->{pid};
            waitpid $process->{pid}, 0;
            die "$name did not stop in time; its log ends:\n"
                . substr(slurp($process->{log}), -2000);
        }
        sleep 0.02;
    }
    return $?;
}

sub start_sandbox
{
    my ($self, %env) = @_;
    my $port = $self->{sandbox_port} //= PostgreSQL::Test::Cluster::get_free_port();
    $self->start_program('sandbox', 'acoustic-sandbox',
        { SANDBOX_PORT => $port, map { ("SANDBOX_$_" => $env{$_}) } keys %env });
    $self->wait_for_port('sandbox', $port);
    return "http://127.0.0.1:$port";
}

sub start_rest
{
    my ($self, %env) = @_;
    my $port = $self->{rest_port} //= PostgreSQL::Test::Cluster::get_free_port();
    $self->start_program('rest', 'ctms-rest', {
        CTMS_DB_URL => $self->db_url, CTMS_HOST => '127.0.0.1', CTMS_PORT => $port,
        CTMS_SERVER_PREFIX => "http://127.0.0.1:$port",
        CTMS_SECRET_KEY => 'a secret key for tests only, 32+', %env });
    $self->wait_for_port('rest', $port);
    return "http://127.0.0.1:$port";
}

sub agent_env
{
    my ($self, %env) = @_;
    return {
        CTMS_DB_URL => $self->db_url,
        CTMS_ACOUSTIC_SYNC_FEATURE_FLAG => 'true', CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG => 'true',
        CTMS_ACOUSTIC_BASE_URL => "http://127.0.0.1:" . ($self->{sandbox_port} // 1),
        CTMS_ACOUSTIC_CLIENT_ID => 'cid', CTMS_ACOUSTIC_CLIENT_SECRET => 'secret',
        CTMS_ACOUSTIC_REFRESH_TOKEN => 'refresh',
        CTMS_ACOUSTIC_MAIN_TABLE_ID => 1, CTMS_ACOUSTIC_NEWSLETTER_TABLE_ID => 2,
        CTMS_ACOUSTIC_WAITLIST_TABLE_ID => 3, CTMS_ACOUSTIC_PRODUCT_SUBSCRIPTIONS_ID => 4,
        CTMS_LOGGING_LEVEL => 'DEBUG', CTMS_ACOUSTIC_LOOP_MIN_SECS => 1, %env };
}

sub start_agent
{
    my ($self, %env) = @_;
    my $name = delete $env{NAME} // 'agent';
    return $self->start_program($name, 'ctms-agent', $self->agent_env(%env));
}

# Runs the ctms command line; returns (exit status, stdout, stderr).
sub cli
{
    my ($self, @args) = @_;
    my ($out, $err) = ('', '');
    local %ENV = %ENV;
    $ENV{CTMS_DB_URL} = $self->db_url;
    IPC::Run::run([ "$ENV{CTMS_TEST_BIN}/ctms", @args ], \'', \$out, \$err, IPC::Run::timeout(60));
    return ($? >> 8, $out, $err);
}

sub wait_for_port
{
    my ($self, $name, $port) = @_;
    require IO::Socket::INET;
    poll_until(sub {
        my $pid = $self->pid($name);
        die "$name ended at once:\n" . $self->log_of($name)
            if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 1);
    }, "$name listens on $port");
    return;
}

# ---- HTTP ---------------------------------------------------------------------

# Makes an API client with the command line and logs it in; later requests carry the token.
sub login
{
    my ($self) = @_;
    my ($rc, $out, $err) = $self->cli('clients', 'add', 'test', '--email',
        'test@example.com', '--scope', 'all', '--json');
    die "ctms clients add: $err" if $rc;
    @$self{qw(client_id client_secret)} = @{ $json->decode($out) }{qw(client_id client_secret)};
    my $r = $self->request(POST => '/token',
        "grant_type=client_credentials&client_id=$self->{client_id}"
        . "&client_secret=$self->{client_secret}",
        { 'Content-Type' => 'application/x-www-form-urlencoded' });
    die "POST /token: $r->{status} $r->{content}" unless $r->{status} == 200;
    return $self->{token} = $r->{json}{access_token};
}

# A body that is a reference is sent as JSON. An explicit undef header is left out.
sub request
{
    my ($self, $method, $path, $body, $headers) = @_;
    my $url = $path =~ /^http:/ ? $path : "http://127.0.0.1:$self->{rest_port}$path";
    my %headers = ($self->{token} ? (Authorization => "Bearer $self->{token}")
        : (), %{ $headers // {} });
    delete $headers{$_} for grep { !defined $headers{$_} } keys %headers;
    my %options = (headers => \%headers);
    if (defined $body)
    {
        $options{content} = ref $body ? $json->encode($body) : $body;
        $headers{'Content-Type'} //= 'application/json';
    }
    my $r = HTTP::Tiny->new(timeout => 30, max_redirect => 0)->request($method, $url, \%options);
    $r->{json} = eval { $json->decode($r->{content}) };
    return $r;
}

sub sandbox
{
    my ($self, $path) = @_;
    return $self->request(GET => "http://127.0.0.1:$self->{sandbox_port}$path", undef,
        { Authorization => undef });
}

# ---- helpers ------------------------------------------------------------------

sub poll_until
{
    my ($condition, $what, $timeout_s) = @_;
    my $deadline = time + ($timeout_s // 30);
    while (1)
    {
        my $value = $condition->();
        return $value if $value;
        die "timed out waiting until " . ($what // 'the condition holds') if time > $deadline;
        sleep 0.02;
    }
}

# The folder of data that an environment variable names, or else one of ../shared/data, which need
# not be there. Who names a folder wants it used: one that this user cannot read ends the test.
sub data_folder
{
    my ($variable, $default) = @_;
    my $folder = $ENV{$variable} // '';
    return defined $default ? "$ENV{CTMS_TEST_TOP}/../shared/data/$default" : '' if $folder eq '';
    return $folder if opendir(my $handle, $folder) && -x $folder;
    my ($why, $user) = ("$!", scalar getpwuid $>);
    die qq(ctms: the user "$user" cannot enter $folder ($variable): $why\n);
}

sub slurp
{
    my ($file) = @_;
    open my $handle, '<', $file or return '';
    local $/;
    my $content = <$handle>;
    return $content // '';
}

sub stop_all
{
    my ($self) = @_;
    return if $self->{owner} != $$;
    for my $name (sort keys %{ $self->{process} })
    {
        eval { $self->stop_program($name); 1 } or diag $@;
    }
    return;
}

sub DESTROY { local $?; $_[0]->stop_all; return }

# Before PostgreSQL::Test::Cluster stops the servers.
END { local $?; $_->stop_all for grep { defined } @live }

1;
