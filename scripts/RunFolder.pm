package RunFolder;

# What programs that run a ctms here have in common: their folder, its lock and files, the user that
# PostgreSQL runs as, free ports. For scripts/run and scripts/cluster.
#
#   RunFolder::as_postgres({ program => 'run', link => 'run', variable => 'RUN_DIR',
#       is_start => 1 }, @ARGV) if $> == 0;
#   RunFolder::make($folder, $>, 'RUN_DIR');
#   RunFolder::take_lock($folder);

use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::MD5 qw(md5_hex);
use Exporter 'import';
use Fcntl qw(:flock O_CREAT O_EXCL O_NOFOLLOW O_RDWR O_WRONLY);
use FindBin;
use IO::Socket::INET;
use POSIX ();

our @EXPORT_OK = qw(choose_port fail is_taken quote random_text run_apart run_quietly say_loudly
    slurp socket_folder write_file);

my $top = abs_path("$FindBin::RealBin/..");
my $build = $ENV{BUILD} // 'build';    # programs built with sanitizers are elsewhere
my $lock;                              # held while the program runs

sub say_loudly { print "ctms: @_\n"; return }

# With status 1; die() would take errno.
sub fail
{
    $! = 1;
    die "ctms: @_\n";
}

# Runs the program once more as "postgres", who may not enter a checkout below somebody's home: from
# a copy then, which a start brings up to date. program is its name in scripts/, link that of its
# folder in the checkout, and variable the environment variable for another folder.
sub as_postgres
{
    my ($option, @arguments) = @_;
    my $link = $option->{link};
    my $run = $ENV{ $option->{variable} };
    my $app = $top;
    chdir $top or fail("cannot enter $top: $!");
    if (system("$top/scripts/as-unprivileged test -r '$top/Makefile' 2>/dev/null") != 0)
    {
        $run //= "/var/tmp/ctms-$link-" . substr md5_hex($top), 0, 8;
        $app = "$run/app";
    }
    $run //= "$top/$link";
    make($run, scalar getpwnam('postgres'), $option->{variable}) if $option->{is_start};
    copy_checkout($option, $run) if $app ne $top && $option->{is_start};
    fail("there is none in $run") if !-d $run || !-x "$app/scripts/$option->{program}";
    $ENV{ $option->{variable} } = $run;
    # What is in the copy can be that user's own: root does not run it.
    { exec "$top/scripts/as-unprivileged", "$app/scripts/$option->{program}", @arguments };
    fail("could not run $top/scripts/as-unprivileged: $!");
}

sub copy_checkout
{
    my ($option, $run) = @_;
    my ($app, $link) = ("$run/app", $option->{link});
    say_loudly("the user \"postgres\" cannot enter $top: running from a copy in $run");
    take_lock($run);
    # That user writes it, and not root, who would follow links that it can put there.
    my $write = 'rm -rf "$0" && mkdir "$0" && tar -xpf - -C "$0"';
    my $copy = 'set -o pipefail; tar -cf - -- "${@:4}" | (cd / && "$1" sh -c "$2" "$3")';
    system('bash', '-c', $copy, 'bash', "$top/scripts/as-unprivileged", $write, $app, 'scripts',
        'examples', "$build/bin", glob('build/postgresql-*'), 'build/private-pg_config') == 0
        or fail("could not copy to $app");
    # What is written for the folder in the checkout works here too.
    unlink $link if -l $link;
    symlink $run, $link if !$ENV{ $option->{variable} };
    close $lock;
    return;
}

# Makes the folder for a user; one that belongs to somebody else is refused.
sub make
{
    my ($folder, $uid, $variable) = @_;
    if (mkdir $folder, 0700)
    {
        chown $uid, -1, $folder if $> == 0;
    }
    my @stat = lstat $folder or fail("could not make $folder: $!");
    -d _ or fail("$folder is not a folder");
    my $owner = getpwuid($stat[4]) // $stat[4];
    $stat[4] == $uid or fail("$folder belongs to $owner: run as $owner, or set $variable");
    return;
}

sub take_lock
{
    my ($run) = @_;
    sysopen $lock, "$run/lock", O_CREAT | O_RDWR | O_NOFOLLOW, 0600
        or fail("could not open $run/lock: $!");
    chown scalar getpwnam('postgres'), -1, $lock if $> == 0;
    flock $lock, LOCK_EX | LOCK_NB or fail("ctms runs already in $run");
    return;
}

sub write_file
{
    my ($file, @lines) = @_;
    unlink "$file.new";
    sysopen my $handle, "$file.new", O_CREAT | O_EXCL | O_WRONLY, 0600
        or fail("could not write $file: $!");
    print $handle map { "$_\n" } @lines;
    close $handle or fail("could not write $file: $!");
    rename "$file.new", $file or fail("could not write $file: $!");
    return;
}

# '' if it is not there.
sub slurp
{
    my ($file) = @_;
    open my $handle, '<', $file or return '';
    local $/;
    return scalar(<$handle>) // '';
}

# A socket's path may have 107 bytes, and libpq takes a comma for the next host. below is the folder
# of the sockets in the run's folder, '' for that itself.
sub socket_folder
{
    my ($run, $below, $variable) = @_;
    return "$run$below" if length "$run$below" < 80 && $run =~ m{\A[\w./+@-]+\z};
    my $folder = '/tmp/ctms-run-' . substr md5_hex("$run$below"), 0, 8;
    make($folder, $>, $variable);
    return $folder;
}

# Runs a command to its end and returns its status. It has a session of its own: Ctrl-C
# would leave its work half done, and system() would keep the signal from us.
sub run_apart
{
    my (@command) = @_;
    my $pid = fork // fail("fork: $!");
    if (!$pid)
    {
        POSIX::setsid();
        { exec @command };
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return $?;
}

sub run_quietly
{
    my (@command) = @_;
    open my $handle, '-|', @command or fail("$command[0]: $!");
    local $/;
    my $answer = <$handle> // '';
    close $handle;
    return $? == 0 ? $answer : '';
}

sub is_taken { return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]", Timeout => 1) }

sub choose_port
{
    my ($what, $wanted, @others) = @_;
    $wanted =~ /\A[1-9]\d{0,4}\z/ && $wanted < 65000
        or fail("$what port \"$wanted\" is not a port");
    my $port = $wanted;
    $port++ while $port < 65535 && (is_taken($port) || grep { $_ == $port } @others);
    say_loudly("port $wanted is taken: $what uses $port") if $port != $wanted;
    return $port;
}

sub random_text
{
    open my $handle, '<:raw', '/dev/urandom' or fail("/dev/urandom: $!");
    read $handle, my $bytes, 32;
    return unpack 'H*', $bytes;
}

# For a shell, where that is needed.
sub quote
{
    my ($text) = @_;
    return $text if $text =~ m{\A[\w./:\@+-]+\z};
    $text =~ s/'/'\\''/g;
    return "'$text'";
}

1;
