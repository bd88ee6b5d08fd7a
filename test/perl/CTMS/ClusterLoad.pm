package CTMS::ClusterLoad;

# The processes that load a cluster (clients of REST, writers by SQL, the probe), and a database of
# it as CTMS::Test has one, for those who look at it afterwards.
#
#   my $load = CTMS::ClusterLoad->new($cluster, $folder, $seed);
#   $load->start; … my $history = $load->stop;
#   my $found = $load->stored; my @differences = CTMS::SandboxRows::differences($load);

use strict;
use warnings;
use CTMS::ClusterClient;
use CTMS::ClusterHistory;
use CTMS::ClusterProbe;
use CTMS::ClusterWriter;
use CTMS::SoakClient;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP;

use constant { CLIENTS => 4, WRITERS => 2, PAUSE_S => 0.03 };

sub new
{
    my ($class, $cluster, $folder, $seed) = @_;
    my $self = bless { cluster => $cluster, folder => $folder, seed => $seed, pids => [],
        until => "$folder/stop", sandbox_port => $cluster->port('sandbox') }, $class;
    $self->run_psql('postgres', 'postgres', $CTMS::ClusterProbe::SET_UP);
    $self->sql("SELECT ctms.set_setting('acoustic_deletions', 'on'),
        ctms.set_setting('acoustic_retry_delay', '200ms')");
    return $self;
}

# ---- the database --------------------------------------------------------------------------------

# A URL without its password, and that.
sub login_of
{
    my ($url) = @_;
    my $password = $url =~ s{^(postgresql://[^:@/]+):([^@/]*)@}{$1@} ? $2 : '';
    return ($url, $password =~ s/%([0-9a-fA-F]{2})/chr hex $1/ger);
}

sub run_psql
{
    my ($self, $database, $role, $input) = @_;
    my ($url, $password) = login_of($self->{cluster}->db_url('primary', $role));
    $url =~ s{/ctms(?=\?|\z)}{/$database};
    local $ENV{PGPASSWORD} = $password;
    my ($out, $err) = ('', '');
    IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $url ], '<', \$input,
        '>', \$out, '2>', \$err, IPC::Run::timeout(120)) or die "psql: $err";
    chomp $out;
    return $out;
}

sub sql { my ($self, $query) = @_; return $self->run_psql('ctms', 'postgres', $query) }
sub node { return $_[0] }
sub basedir { return $_[0]{folder} }

# ---- the load ------------------------------------------------------------------------------------

sub spawn
{
    my ($self, $name, $object) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid)
    {
        eval { $object->run; 1 } or warn "$name: $@";
        POSIX::_exit(0);
    }
    push @{ $self->{pids} }, $pid;
    push @{ $self->{logs} }, "$self->{folder}/$name";
    return;
}

# What all of them are given.
sub common
{
    my ($self, $name, $number) = @_;
    return (number => $number, until => $self->{until}, log => "$self->{folder}/$name",
        seed => $self->{seed} + $number, pause_s => PAUSE_S);
}

sub client
{
    my ($self, $name, $number) = @_;
    return CTMS::ClusterClient->new($self->common($name, $number), clients => CLIENTS,
        url => $self->{cluster}->rest_url, %{ $self->{api_client} });
}

sub add_api_client
{
    my ($self) = @_;
    my ($out, $err) = ('', '');
    local %ENV = %ENV;
    delete @ENV{ grep { /^CTMS_/ && !/^CTMS_TEST_/ } keys %ENV };
    $ENV{CTMS_DB_URL} = $self->{cluster}->db_url('primary', 'ctms-admin');
    IPC::Run::run([ "$ENV{CTMS_TEST_BIN}/ctms", qw(clients add soak --email soak@example.com),
        qw(--scope all --json) ], '<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(60))
        or die "ctms clients add: $err";
    my $client = JSON::PP->new->decode($out);
    $self->{api_client} = { map { $_ => $client->{$_} } qw(client_id client_secret) };
    return;
}

# Asks the sandbox; returns what it answers.
sub sandbox
{
    my ($self, $method, $path, $body) = @_;
    my $r = HTTP::Tiny->new->request($method, $self->{cluster}->sandbox_url . $path,
        { defined $body ? (content => JSON::PP->new->encode($body)) : () });
    die "$path: $r->{status} $r->{content}\n" if $r->{status} != 200;
    return JSON::PP->new->decode($r->{content});
}

# Acoustic is so slow that agents have as many requests under way as they may.
sub start
{
    my ($self) = @_;
    my $cluster = $self->{cluster};
    $self->sandbox(POST => '/_sandbox/settings', { latency_ms => 150, jitter_ms => 50 });
    $self->add_api_client;
    $self->spawn("client$_", $self->client("client$_", $_)) for 1 .. CLIENTS;
    my ($url, $password) = login_of($cluster->db_url('pooler', 'ctms-rest'));
    $self->spawn("writer$_", CTMS::ClusterWriter->new($self->common("writer$_", 0x80 + $_),
            url => $url, password => $password)) for 1 .. WRITERS;
    my @nodes = map { +{ name => $_, patroni => $cluster->address($_) . ':8008',
        url => 'dbname=postgres user=postgres host=' . $cluster->files->sockets($_) } }
        $cluster->nodes;
    $self->spawn('probe', CTMS::ClusterProbe->new(nodes => \@nodes, log => "$self->{folder}/probe",
            rest => $cluster->rest_url =~ s{^http://}{}r, until => $self->{until},
            client => $self->client('probe', CTMS::ClusterProbe::NUMBER)));
    return;
}

# Whether REST or a writer has had a write acknowledged that began after that time.
sub has_written_since
{
    my ($self, $time) = @_;
    for my $file (@{ $self->{logs} })
    {
        open my $log, '<', $file or next;
        seek $log, -s $log > 4096 ? -s $log - 4096 : 0, 0;
        my $end = do { local $/; <$log> };
        return 1 if grep { $_ > $time } $end =~ /^write \S+ (\S+) \S+ \S+ yes$/mg;
    }
    return 0;
}

# Returns what they have to say, a CTMS::ClusterHistory.
sub stop
{
    my ($self) = @_;
    open my $stop, '>', $self->{until} or die "$self->{until}: $!\n";
    waitpid $_, 0 for splice @{ $self->{pids} };
    my $history = CTMS::ClusterHistory->new;
    $history->read_file($_) for @{ $self->{logs} };
    return $history;
}

# ---- afterwards ----------------------------------------------------------------------------------

# What is stored of each contact and customer.
sub stored
{
    my ($self) = @_;
    my $contacts = CTMS::SoakClient::stored_contacts($self);
    my %found = map { $_ => $contacts->{$_} =~ s/^(?=\d)/v/r } keys %$contacts;
    my $customers = $self->sql(q{SELECT stripe_id, CASE WHEN default_source_id =
        invoice_settings_default_payment_method_id THEN default_source_id ELSE 'half' END
        FROM ctms.stripe_customer});
    return { %found, map { split /\|/, $_, 2 } split /\n/, $customers };
}

1;
