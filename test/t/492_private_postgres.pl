# scripts/private-postgres: the private copy follows what is installed, removed and upgraded in
# the system's PostgreSQL, here a tree of small files with a pg_config that names its folders.
use strict;
use warnings;
use File::Compare qw(compare);
use File::Copy qw(copy);
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use POSIX ();
use Test::More;

my $script = "$ENV{CTMS_TEST_TOP}/scripts/private-postgres";
my $work = tempdir(CLEANUP => 1);
my $system = "$work/system";
my $copy = "$work/copy";
my ($bin, $lib, $share) = map { "$system/usr/$_" } qw(lib/pg/bin lib/pg/lib share/pg);

# ---- helpers --------------------------------------------------------------------------

sub spew
{
    my ($file, $text, $mode) = @_;
    make_path($file =~ s{/[^/]*\z}{}r);
    open my $handle, '>', $file or die "$file: $!";
    print {$handle} $text;
    close $handle or die "$file: $!";
    chmod $mode, $file if $mode;
    return;
}

sub make_pg_config
{
    my ($root) = @_;
    spew("$root/usr/lib/pg/bin/pg_config", <<"SCRIPT", 0755);
#!/bin/sh
case \$1 in
--bindir) echo $root/usr/lib/pg/bin ;;
--pkglibdir) echo $root/usr/lib/pg/lib ;;
--sharedir) echo $root/usr/share/pg ;;
--pkgincludedir) echo $root/usr/include/pg ;;
--version) echo PostgreSQL 15.18 ;;
esac
SCRIPT
    return "$root/usr/lib/pg/bin/pg_config";
}

# Runs the script; returns its status and what it printed.
sub update
{
    my ($pg_config, $folder) = @_;
    my $printed = qx{'$script' '$pg_config' '$folder' 2>'$work/errors'};
    return ($?, $printed);
}

# All names below a folder, in order, without the folder.
sub names_below
{
    my ($root) = @_;
    my @names;
    my $keep = sub { push @names, substr $_, 1 + length $root if $_ ne $root };
    find({ no_chdir => 1, wanted => $keep }, $root);
    return sort @names;
}

# Differences between the system's tree and the copy, of which the files in @ours are none.
sub differences
{
    my (@ours) = @_;
    my %is_ours = map { $_ => 1 } @ours;
    my @found;
    for my $folder ($bin, $lib, $share)
    {
        my %wanted = map { $_ => 1 } names_below($folder);
        my %present = map { $_ => 1 } grep { !$is_ours{$_} } names_below("$copy$folder");
        delete @wanted{@ours};
        push @found, map { "missing: $_" } grep { !$present{$_} } sort keys %wanted;
        push @found, map { "too much: $_" } grep { !$wanted{$_} } sort keys %present;
        for my $name (grep { $present{$_} && -f "$folder/$_" } sort keys %wanted)
        {
            my ($theirs, $mine) = ("$folder/$name", "$copy$folder/$name");
            push @found, "differs: $name" if !-f $mine || compare($theirs, $mine) != 0;
            push @found, "mode: $name" if -f $mine && (stat $theirs)[2] != (stat $mine)[2];
            push @found, "no copy: $name" if $folder eq $bin && -l $mine && !-l $theirs;
            push @found, "no link: $name" if $folder ne $bin && !-l $mine;
        }
    }
    return join "\n", @found;
}

sub is_current
{
    my ($what, @ours) = @_;
    my ($status, $printed) = update("$bin/pg_config", $copy);
    is($status, 0, "$what: succeeds");
    is($printed, "$copy$bin/pg_config\n", "$what: prints the path of its pg_config");
    is(differences(@ours), '', "$what: the copy is as the system");
    return;
}

# Of everything in the copy: what it is, and when it was written or replaced.
sub state_of_copy
{
    return join "\n", map { join ' ', $_, (lstat "$copy/$_")[ 1, 2, 7, 9, 10 ] } names_below($copy);
}

# ---- made, and left alone ----------------------------------------------------------------

make_pg_config($system);
spew("$bin/postgres", 'postgres 1', 0755);
spew("$bin/psql", 'psql 1', 0755);
symlink 'postgres', "$bin/postmaster" or die $!;
spew("$lib/plpgsql.so", 'plpgsql 1');
spew("$lib/pgxs/src/pgxs.mk", 'pgxs');
spew("$share/extension/plpgsql.control", 'plpgsql');
spew("$share/extension/gone.control", 'gone');
spew("$system/usr/include/pg/server.h", 'header');
is_current('new');
ok(-f "$copy$system/usr/include/pg/server.h", 'new: headers are found');
my $before = state_of_copy();
is_current('unchanged');
is(state_of_copy(), $before, 'unchanged: nothing is written');

# ---- what packages do --------------------------------------------------------------------

spew("$share/extension/pgtap.control", 'pgtap');
spew("$share/extension/pgtap--1.0.sql", 'pgtap');
spew("$lib/pgtap.so", 'pgtap');
is_current('an extension is installed');

spew("$lib/bitcode/pgtap/pgtap.bc", 'bitcode');
spew("$bin/pg_new", 'new', 0755);
is_current('a folder and a program are installed');

unlink "$share/extension/gone.control", "$lib/pgtap.so", "$bin/pg_new" or die $!;
remove_tree("$lib/bitcode");
is_current('a package is removed');

# As a rebuild with the same version may: same size, same times.
my @times = (stat "$bin/postgres")[ 8, 9 ];
spew("$bin/postgres.dpkg-new", 'postgres 2', 0755);
utime @times, "$bin/postgres.dpkg-new";
rename "$bin/postgres.dpkg-new", "$bin/postgres" or die $!;
spew("$lib/plpgsql.so", 'plpgsql 2');
is_current('a minor release');

spew("$bin/psql", 'psql 1', 0750);
unlink "$bin/postmaster" or die $!;
symlink 'psql', "$bin/postmaster" or die $!;
is_current('a mode and a link change');
is(readlink "$copy$bin/postmaster", 'psql', 'a link is followed');

unlink "$share/extension/pgtap.control" or die $!;
spew("$share/extension/pgtap.control/in", 'in');
remove_tree("$lib/pgxs");
spew("$lib/pgxs", 'a file');
is_current('a file becomes a folder, a folder a file');

# ---- ours --------------------------------------------------------------------------------

my @ours = ('extension/ctms.control', 'ctms.so');
spew("$copy$share/$ours[0]", 'ours');
spew("$copy$lib/$ours[1]", 'ours');
is_current('with our files', @ours);
spew("$share/$ours[0]", 'theirs');
spew("$share/extension/other.control", 'other');
is_current('the system gets files of the same names', @ours);
for my $file ("$share/$ours[0]", "$lib/$ours[1]")
{
    ok(!-l "$copy$file", 'our file is no link');
    is(-s "$copy$file", length 'ours', 'our file is as it was');
}
unlink "$copy$share/$ours[0]", "$copy$lib/$ours[1]" or die $!;
is_current('our files are gone');

# ---- interrupted -------------------------------------------------------------------------

# Killed while it copies the programs.
spew("$work/killing/cp", "#!/bin/sh\nkill -KILL \$PPID\n", 0755);
spew("$bin/postgres", 'postgres 3', 0755);
spew("$share/extension/late.control", 'late');
{
    local $ENV{PATH} = "$work/killing:$ENV{PATH}";
    my ($status) = update("$bin/pg_config", $copy);
    isnt($status, 0, 'killed at its work');
}
isnt(differences(), '', 'it was not done');
is_current('after a kill');

# Whatever else has happened to it.
remove_tree("$copy$share/extension");
unlink "$copy$bin/psql", "$copy$lib/plpgsql.so" or die $!;
symlink '/nonexistent', "$copy$lib/plpgsql.so" or die $!;
spew("$copy$bin/postgres.new", 'half', 0600);
is_current('after damage');

# ---- below a running server --------------------------------------------------------------

my ($sleep) = grep { -x } map { "$_/sleep" } split /:/, $ENV{PATH};
copy($sleep, "$bin/postgres") or die $!;
chmod 0755, "$bin/postgres";
is_current('a program that can run');
my $library_folder = (stat "$copy$lib")[1];
# The pipe closes when the child has become the program.
pipe my $started, my $starting or die "pipe: $!";
my $pid = fork // die "fork: $!";
if (!$pid)
{
    close $started;
    { exec "$copy$bin/postgres", 60 };
    POSIX::_exit(127);
}
close $starting;
readline $started;
unlink "$bin/postgres" or die $!;
spew("$bin/postgres", 'postgres 4', 0755);
spew("$lib/plpgsql.so", 'plpgsql 4');
is_current('the program of a running server is replaced');
is(waitpid($pid, POSIX::WNOHANG()), 0, 'the server still runs');
kill 'KILL', $pid;
waitpid $pid, 0;
is((stat "$copy$lib")[1], $library_folder, 'its library folder is still the same');

# ---- another pg_config -------------------------------------------------------------------

my $other = make_pg_config("$work/other");
make_path(map { "$work/other/usr/$_" } qw(lib/pg/lib share/pg include/pg));
my ($status, $printed) = update($other, $copy);
is($status, 0, 'another pg_config: succeeds');
is($printed, "$copy$other\n", 'another pg_config: has its own place');
is_current('the first pg_config again');

$before = state_of_copy();
($status, $printed) = update("$work/no/pg_config", $copy);
isnt($status, 0, 'no pg_config: fails');
is($printed, '', 'no pg_config: prints no path');
is(state_of_copy(), $before, 'no pg_config: changes nothing');

# ---- which copy is used ------------------------------------------------------------------

my $checkout = "$work/checkout";
make_path("$checkout/scripts", "$checkout/build/postgresql-15", "$checkout/build/postgresql-9");
copy("$ENV{CTMS_TEST_TOP}/scripts/private-bindir", "$checkout/scripts/private-bindir") or die $!;
delete local $ENV{CTMS_BINDIR};
$printed = qx{sh '$checkout/scripts/private-bindir' 2>&1};
isnt($?, 0, 'none is used before one is made');
like($printed, qr/\Actms: there is no private PostgreSQL yet: /, 'and that is said');
spew("$checkout/build/private-pg_config", "build/postgresql-15/usr/bin/pg_config\n");
$printed = qx{sh '$checkout/scripts/private-bindir'};
is($printed, "$checkout/build/postgresql-15/usr/bin\n", 'of two, the one made last');

done_testing();
