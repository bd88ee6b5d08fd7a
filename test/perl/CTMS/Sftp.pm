package CTMS::Sftp;

# An SFTP server for a test: Debian's OpenSSH on loopback, run by the user that runs the test.
#
#   my $sftp = CTMS::Sftp->new(root => $folder);
#   $sftp->settings                 CTMS_ACOUSTIC_SFTP_… for the agent and the command line, a hash
#   $sftp->root                     the account's start folder; upload/ and download/ are in it
#   $sftp->url, port, user, key_file, known_hosts
#   $sftp->start(file_bytes => N)   as new() does; files can then have so many bytes at most
#   $sftp->stop                     and all its connections
#   $sftp->break_connections        those that are open now; the server goes on
#   $sftp->freeze, thaw             nothing moves in between
#
# Other options: password => '…' is asked for instead of the key. Only root's sshd can read the
# passwords of accounts, so nss_wrapper makes the server believe in an account of the test's own.
# no_server() and no_password_server() say why there can be none here.
#
# Folder, keys and account are the test's own, and gone with it.

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

my $SSHD = '/usr/sbin/sshd';
my @live;
my $count = 0;

# Why there can be no server here, or ''.
sub no_server { return -x $SSHD ? '' : "$SSHD is not there" }

sub wrapper
{
    my ($library) = glob '/usr/lib/*/libnss_wrapper.so';
    return $library;
}
sub no_password_server { return no_server() || (wrapper() ? '' : 'nss_wrapper is not there') }

sub new
{
    my ($class, %options) = @_;
    my $folder = "$ENV{TESTDIR}/sftp_$$\_" . ++$count;
    my $self = bless { folder => $folder, owner => $$, password => $options{password},
        root => $options{root} // "$folder/root", user => scalar getpwuid $> }, $class;
    die no_server() if no_server();
    mkdir $folder, 0700 or die "$folder: $!";
    for my $made ($self->{root}, map { "$self->{root}/$_" } qw(upload download))
    {
        -d $made || mkdir $made, 0700 or die "$made: $!";
    }
    $self->{user} = 'acoustic@example.com' if defined $self->{password};
    $self->make_key($_) for qw(host key);
    $self->{port} = PostgreSQL::Test::Cluster::get_free_port();
    $self->authorize('key');
    $self->write_known_hosts('host');
    push @live, $self;
    $self->start;
    return $self;
}

sub root { return $_[0]{root} }
sub port { return $_[0]{port} }
sub user { return $_[0]{user} }
sub url { return "sftp://127.0.0.1:$_[0]{port}" }
sub key_file { return "$_[0]{folder}/key" }
sub known_hosts { return "$_[0]{folder}/known_hosts" }
sub log_of { return slurp("$_[0]{folder}/log") }

sub settings
{
    my ($self) = @_;
    my %login = defined $self->{password} ? (PASSWORD => $self->{password})
        : (KEY_FILE => $self->key_file);
    my %all = (URL => $self->url, USER => $self->user,
        KNOWN_HOSTS_FILE => $self->known_hosts, %login);
    return map { ("CTMS_ACOUSTIC_SFTP_$_" => $all{$_}) } keys %all;
}

# A private key in the server's folder; $passphrase is '' if not given. Returns its path.
sub make_key
{
    my ($self, $name, $passphrase) = @_;
    my $file = "$self->{folder}/$name";
    system('ssh-keygen', '-q', '-t', 'ed25519', '-N', $passphrase // '', '-C', 'test', '-f', $file)
        == 0 or die "ssh-keygen: $?";
    return $file;
}

# The one key of that name lets in.
sub authorize
{
    my ($self, $name) = @_;
    return spew("$self->{folder}/authorized", slurp("$self->{folder}/$name.pub"));
}

# Has the clients know the server by the key of that name. Without one they do not know it.
sub write_known_hosts
{
    my ($self, $name) = @_;
    my $key = defined $name ? slurp("$self->{folder}/$name.pub") : '';
    spew($self->known_hosts, $key ? "[127.0.0.1]:$self->{port} $key" : '');
    return;
}

sub start
{
    my ($self, %options) = @_;
    my ($folder, $password) = @$self{qw(folder password)};
    my $methods = defined $password ? 'password' : 'publickey';
    spew("$folder/config", map { "$_\n" } "Port $self->{port}", 'ListenAddress 127.0.0.1',
        "HostKey $folder/host", 'PidFile none', "AuthorizedKeysFile $folder/authorized",
        'StrictModes no', 'UsePAM no', "AuthenticationMethods $methods", 'MaxStartups 100',
        'LogLevel VERBOSE', "Subsystem sftp internal-sftp -d $self->{root}");
    my $pid = fork() // die "fork: $!";
    if (!$pid)
    {
        $self->run_server($options{file_bytes});
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    my $deadline = time + 30;
    until (IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}", Timeout => 1))
    {
        die "sshd ended at once:\n" . $self->log_of if waitpid($pid, POSIX::WNOHANG()) == $pid;
        die "sshd does not listen:\n" . $self->log_of if time > $deadline;
        sleep 0.02;
    }
    return;
}

# In the new process. It has a group of its own, and so have its connections.
sub run_server
{
    my ($self, $file_bytes) = @_;
    my $folder = $self->{folder};
    POSIX::setsid();
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', "$folder/log";
    open STDERR, '>&', \*STDOUT;
    $self->use_account if defined $self->{password};
    # A file that grows too long is then an error like a full disk, not a signal.
    $SIG{XFSZ} = 'IGNORE';
    my @limit = defined $file_bytes ? ('prlimit', "--fsize=$file_bytes") : ();
    return exec @limit, $SSHD, '-D', '-e', '-f', "$folder/config";
}

sub use_account
{
    my ($self) = @_;
    my ($folder, $user) = @$self{qw(folder user)};
    my ($gid) = split / /, $);
    my $hash = crypt($self->{password}, '$6$' . join '', map { ('a' .. 'z')[ rand 26 ] } 1 .. 8);
    spew("$folder/passwd", "$user:x:$>:$gid:test:$folder:/bin/sh\n");
    spew("$folder/shadow", "$user:$hash:18000:0:99999:7:::\n");
    spew("$folder/group", "test:x:$gid:\n");
    chmod 0600, "$folder/shadow";
    @ENV{qw(LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_SHADOW NSS_WRAPPER_GROUP)} =
        (wrapper(), "$folder/passwd", "$folder/shadow", "$folder/group");
    return;
}

# The processes of a server, from the one that listens down.
sub processes
{
    my ($pid) = @_;
    my @children = map { split } map { slurp($_) } glob "/proc/$pid/task/*/children";
    return ($pid, map { processes($_) } @children);
}

sub break_connections
{
    my ($self) = @_;
    my ($listener, @connections) = processes($self->{pid});
    kill 'KILL', @connections;
    return scalar @connections;
}

sub freeze { my ($self) = @_; kill 'STOP', processes($self->{pid}) if $self->{pid}; return }
sub thaw { my ($self) = @_; kill 'CONT', processes($self->{pid}) if $self->{pid}; return }

sub stop
{
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    my @all = processes($pid);
    kill 'KILL', @all;
    waitpid $pid, 0;
    return;
}

sub spew
{
    my ($file, @lines) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} @lines;
    close $out or die "$file: $!";
    return;
}

sub slurp
{
    my ($file) = @_;
    open my $handle, '<', $file or return '';
    local $/;
    my $content = <$handle>;
    return $content // '';
}

sub DESTROY { local $?; $_[0]->stop if $_[0]{owner} == $$; return }

END { local $?; $_->DESTROY for grep { defined } @live }

1;
