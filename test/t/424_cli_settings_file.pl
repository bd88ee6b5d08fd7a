# Where the command line finds its settings, which files it refuses, and what it says of them.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

umask 022;
my $folder = PostgreSQL::Test::Utils::tempdir();
my ($here, $home, $xdg) = map { "$folder/$_" } qw(here home xdg);
mkdir $_ or die "$_: $!" for $here, $home, $xdg, "$folder/shared", "$xdg/ctms", "$home/.config",
    "$home/.config/ctms";

sub write_file
{
    my ($file, $content, $mode) = @_;
    unlink $file;
    append_to_file($file, $content);
    chmod $mode // 0644, $file or die "$file: $!";
    return $file;
}

# Each file has a place of its own, which the complaint of "healthcheck" tells.
sub write_place { return write_file($_[0], "CTMS_BACKGROUND_HEALTHCHECK_PATH=/nowhere/$_[1]\n") }

# Runs a program in the folder "here"; returns its exit status, and all that it says.
sub run_here
{
    my ($environment, $program, @args) = @_;
    local %ENV = (%ENV, HOME => $home, %$environment);
    delete @ENV{ grep { /^CTMS_(?!TEST_)|^XDG_/ && !exists $environment->{$_} } keys %ENV };
    IPC::Run::run([ ref $program ? @$program : "$ENV{CTMS_TEST_BIN}/$program", @args ],
        '<', \'', '>', \my $out, '2>', \my $err, init => sub { chdir $here },
        IPC::Run::timeout(60));
    return ($? >> 8, "$out$err");
}

sub reads
{
    my ($environment, $place, $what, @args) = @_;
    my (undef, $said) = run_here($environment, 'ctms', 'healthcheck', @args);
    like($said, $place eq 'none' ? qr/CTMS_BACKGROUND_HEALTHCHECK_PATH/ : qr{"/nowhere/$place"},
        $what);
    return;
}

sub refuses
{
    my ($what, $message) = @_;
    my ($rc, $said) = run_here({}, 'ctms', 'healthcheck');
    is($rc, 2, "$what: refused");
    like($said, $message, "$what: why");
    return;
}

# ---- where it is looked for -----------------------------------------------------------------

reads({}, 'none', 'no file');
write_place("$home/.config/ctms/ctms.env", 'home');
reads({}, 'home', 'the home folder');
write_place("$xdg/ctms/ctms.env", 'xdg');
reads({ XDG_CONFIG_HOME => $xdg }, 'xdg', 'XDG_CONFIG_HOME');
reads({ XDG_CONFIG_HOME => 'xdg' }, 'home', 'XDG_CONFIG_HOME that is no whole path');
write_place("$here/ctms.env", 'here');
reads({}, 'here', 'the working directory first');
my $named = write_place("$folder/named.env", 'named');
reads({ CTMS_CONFIG => $named }, 'named', 'CTMS_CONFIG');
reads({ CTMS_CONFIG => '' }, 'here', 'CTMS_CONFIG without a value');
my $given = write_place("$folder/given.env", 'given');
reads({ CTMS_CONFIG => $named }, 'given', '--config', '--config', $given);
reads({ CTMS_CONFIG => '/dev/null' }, 'none', 'no file is wanted');
like((run_here({ CTMS_CONFIG => "$folder/absent" }, 'ctms', 'healthcheck'))[1],
    qr{^ctms: could not open "\Q$folder\E/absent": No such file}, 'CTMS_CONFIG of an absent file');
reads({ CTMS_BACKGROUND_HEALTHCHECK_PATH => '/nowhere/environment' }, 'environment',
    'the environment wins');

# A link that leads nowhere is no reason to work on the database of another place.
unlink "$here/ctms.env";
for my $target ("$folder/absent", 'ctms.env')
{
    symlink $target, "$here/ctms.env" or die $!;
    refuses("a link to $target", qr{^ctms: "\./ctms\.env" is a link that cannot be followed, so});
    unlink "$here/ctms.env";
}
write_place("$here/ctms.env", 'here');

# Somebody who became another user may not enter the folder where he was.
chmod 0000, $here;
SKIP:
{
    skip 'root may enter every folder', 1 if $> == 0;
    local $ENV{HOME} = $home;
    delete local @ENV{ grep { /^CTMS_(?!TEST_)/ } keys %ENV };
    my $command = "cd '$here' && chmod 0 . && '$ENV{CTMS_TEST_BIN}/ctms' healthcheck 2>&1";
    chmod 0755, $here;
    like(`$command`, qr{"/nowhere/home"}, 'a working directory that may not be entered');
}
chmod 0755, $here;

# ---- who says so ----------------------------------------------------------------------------

like((run_here({}, 'ctms', '--help'))[1], qr{here and now: \./ctms\.env\)}, 'the help names it');
like((run_here({ CTMS_CONFIG => $named }, 'ctms', '--help'))[1],
    qr{here and now: \Q$named\E\)}, 'the one of CTMS_CONFIG');
like((run_here({}, 'ctms', 'doctor'))[1],
    qr{^ok +settings +ctms: valid, from "\./ctms\.env" and the environment$}m, 'so does doctor');
like((run_here({ HOME => '/' }, 'ctms', 'doctor', '--config', $given))[1],
    qr{^ok +settings +ctms: valid, from "\Q$given\E" and the environment$}m, 'for a given one');
unlink "$here/ctms.env";
like((run_here({ HOME => '/' }, 'ctms', 'doctor'))[1],
    qr{^ok +settings +ctms: valid, from the environment alone$}m, 'for none');

# ---- files of others ------------------------------------------------------------------------

for my $mode (0646, 0664)
{
    my $text = sprintf '%04o', $mode;
    chmod $mode, write_place("$here/ctms.env", 'here');
    refuses("mode $text",
        qr{^ctms: others may write "\./ctms\.env" \(mode $text\), so it is not read; if });
}
like((run_here({}, 'ctms', 'doctor'))[1],
    qr{^error +settings +ctms: others may write "\./ctms\.env" }m, 'doctor finds that too');
reads({}, 'here', 'but a file that is named is read', '--config', 'ctms.env');
write_place("$here/ctms.env", 'here');
chmod 0777, $here;
refuses('a folder that others may write',
    qr{^ctms: others may write the folder of "\./ctms\.env" });
chmod 01777, $here;
reads({}, 'here', 'but in a sticky one it cannot be replaced');
chmod 0755, $here;
unlink "$here/ctms.env";
my $real = write_place("$folder/shared/real.env", 'real');
symlink $real, "$here/ctms.env" or die $!;
reads({}, 'real', 'a symbolic link');
chmod 0777, "$folder/shared";
refuses('a link to a folder that others may write',
    qr{^ctms: others may write the folder of "\S+/shared/real\.env" });
unlink "$here/ctms.env";

# With user ids of its own, others are "nobody", and /etc/ctms may be made.
SKIP:
{
    my @apart = qw(unshare --user --map-root-user --mount);
    skip 'no user namespaces here', 5 if system("@apart true 2>/dev/null") != 0 || $> == 0;
    unlink "$here/ctms.env";
    symlink '/etc/passwd', "$here/ctms.env" or die $!;
    my $program = "$ENV{CTMS_TEST_BIN}/ctms";
    my ($rc, $said) = run_here({}, [@apart], $program, 'healthcheck');
    is($rc, 2, 'a file of another user: refused');
    like($said, qr{^ctms: "\./ctms\.env" belongs to the user }, 'a file of another user: why');
    unlink "$here/ctms.env";
    my $etc = 'mount -t tmpfs none /etc && mkdir /etc/ctms && chmod 755 /etc && '
        . 'echo CTMS_BACKGROUND_HEALTHCHECK_PATH=/nowhere/etc >/etc/ctms/ctms.env && '
        . 'echo CTMS_PORT=1 >/etc/ctms/rest.env && exec "$@"';
    my @in_etc = (@apart, 'sh', '-c', $etc, 'sh', $program);
    like((run_here({ HOME => '/' }, \@in_etc, 'healthcheck'))[1], qr{"/nowhere/etc"}, '/etc');
    like((run_here({}, \@in_etc, 'healthcheck'))[1], qr{"/nowhere/home"}, 'but last');
    like((run_here({}, \@in_etc, 'doctor'))[1],
        qr/^error +settings +ctms-rest: CTMS_SECRET_KEY is required/m,
        'doctor looks at those of the servers too');
}
unlink "$here/ctms.env";

# ---- what is wrong in a file ----------------------------------------------------------------

my $secret = 'a-secret';
for (
    [ "CTMS_SECRET_KEY=$secret", 'CTMS_SECRET_KEY must have at least 32 bytes' ],
    [ 'CTMS_PORT=x1', 'CTMS_PORT must be a whole number' ],
    [ 'CTMS_PROT=1', 'CTMS_PROT is not a setting of ctms' ],
    [ "$secret", 'must be NAME=value' ],
    [ "CTMS_DB_URL=$secret\nCTMS_DB_URL_FILE=/x", 'CTMS_DB_URL is given twice', 4 ],
    [ 'CTMS_DB_URL_FILE=/nowhere/x', 'CTMS_DB_URL_FILE: could not open "/nowhere/x"' ],
    [ 'CTMS_CONFIG=/x', 'CTMS_CONFIG belongs into the environment, not into a file' ])
{
    my ($line, $message, $number) = @$_;
    write_file("$here/ctms.env", "# first\nCTMS_HOST=::1\n$line\n");
    $number //= 3;
    my ($rc, $said) = run_here({}, 'ctms', 'healthcheck');
    is($rc, 2, "$line: refused");
    like($said, qr{\Actms: \./ctms\.env, line $number: \Q$message\E}, "$line: where and why");
    unlike($said, qr/$secret/, "$line: without the value");
}

# ---- the servers ----------------------------------------------------------------------------

write_file("$here/ctms.env", "CTMS_SECRET_KEY=0123456789012345678901234567890x\n");
for my $server (qw(ctms-rest ctms-agent))
{
    my ($rc, $said) = run_here({}, $server);
    is($rc, 2, "$server looks for no file");
    like($said, qr/^$server: CTMS_(?:SECRET_KEY|ACOUSTIC_CLIENT_ID) is required/, 'but says what');
    like((run_here({ CTMS_CONFIG => "$folder/absent" }, $server))[1],
        qr{^$server: could not open "\Q$folder\E/absent"}, 'it reads that of CTMS_CONFIG');
    like((run_here({ CTMS_CONFIG => "$folder/absent" }, $server, '--config', 'absent'))[1],
        qr{^$server: could not open "absent"}, 'unless --config names one');
}
done_testing();
