# make check PG_CONFIG=…: the tests can run with a PostgreSQL that is not Debian's, here with
# programs that only pretend.
use strict;
use warnings;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $top = $ENV{CTMS_TEST_TOP};
my $work = tempdir(CLEANUP => 1);
my $bin = "$work/bin";
make_path($bin);

sub pretend
{
    my ($file, $script) = @_;
    open my $handle, '>', $file or die "$file: $!";
    print {$handle} "#!/bin/sh\n$script\n";
    close $handle or die "$file: $!";
    chmod 0755, $file or die "$file: $!";
    return $file;
}

# ---- packages -----------------------------------------------------------------------------

# No package is installed, and an ordinary user without sudo is told which are missing.
pretend("$bin/dpkg-query", 'exit 1');
pretend("$bin/id", 'echo 1000');
symlink qx{which sh} =~ s/\s+\z//r, "$bin/sh" or die "sh: $!";

sub missing_packages
{
    my ($tree, %env) = @_;
    local %ENV = (PATH => $bin, %env);
    return scalar qx{'$tree/scripts/install-packages' check 2>&1};
}

my $default = qx{'$top/scripts/default-pg-config'} =~ s/\s+\z//r;
my ($major) = $default =~ m{\A/usr/lib/postgresql/(\d+)/};
for my $pg_config (defined $major ? (undef, $default) : ())
{
    my $missing = missing_packages($top, defined $pg_config ? (PG_CONFIG => $pg_config) : ());
    my $what = $pg_config ? 'by name' : 'by default';
    like($missing, qr/ \Q$_\E\b/, "Debian's PostgreSQL $what: $_")
        for "postgresql-$major", "postgresql-client-$major", "postgresql-server-dev-$major",
            "postgresql-$major-pgtap";
}
my $missing = missing_packages($top, PG_CONFIG => '/opt/pg/bin/pg_config');
like($missing, qr/ libipc-run-perl\b/, 'another PostgreSQL: what tests need is installed');
unlike($missing, qr/ postgresql-/, "another PostgreSQL: Debian's is not");

# A checkout gets packages of npm, and a tarball has them.
my %missing_in;
for my $tree (qw(checkout tarball))
{
    make_path("$work/$tree/scripts", $tree eq 'tarball' ? "$work/$tree/vendor/npm" : ());
    system('cp', map({ "$top/scripts/$_" } qw(install-packages default-pg-config)),
        "$work/$tree/scripts") == 0 or die "cp: $?";
    $missing_in{$tree} = missing_packages("$work/$tree", PG_CONFIG => '/opt/pg/bin/pg_config');
}
like($missing_in{checkout}, qr/ npm\b/, 'a checkout needs npm');
like($missing_in{tarball}, qr/ nodejs\b/, 'a tarball needs Node.js for its tests');
unlike($missing_in{tarball}, qr/ npm\b/, 'and no npm');

# ---- objects ------------------------------------------------------------------------------

sub folder_of_objects
{
    my ($pg_config) = @_;
    my $show = 'show:; @echo $(EXTENSION_BUILD)';
    local $ENV{MAKEFLAGS} = '';
    my $make = "make -s -f Makefile -f - show PG_CONFIG='$pg_config'";
    my $folder = qx{cd '$top' && echo '$show' | $make};
    return $folder =~ s/\s+\z//r;
}

my @folders = map {
    folder_of_objects(pretend("$work/pg_config_$_", "echo PostgreSQL 15.1; echo CONFIGURE = $_"))
} qw(plain cassert);
like($_, qr{^build/extension-15-\d+$}, 'another PostgreSQL of version 15: a folder') for @folders;
isnt($folders[0], $folders[1], 'with other options: another folder');

# Before Debian's packages are there.
{
    local $ENV{MAKEFLAGS} = '';
    my $make = "make -C '$top' PG_CONFIG=$work/none";
    unlike(qx{$make -n run 2>&1}, qr/not found/, 'that PostgreSQL is still to come is no error');
    like(qx{$make extension 2>&1}, qr{^ctms: there is no \Q$work\E/none: scripts/install-packages}m,
        'without it nothing can be built');
}

# ---- what tests need ------------------------------------------------------------------------

pretend("$bin/pg_config", "echo $work/lib");
local $ENV{CTMS_BINDIR} = $bin;
my $said = qx{'$top/scripts/check' test/t/271_names.pl 2>&1};
is($? >> 8, 2, 'a PostgreSQL without tools for tests is refused');
like($said, qr{lacks src/test/perl/PostgreSQL/Test/Cluster\.pm.*--enable-tap-tests}, 'and why');
done_testing();
