# The version is the same wherever it is written, and scripts/set-version changes all of it.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use File::Find qw(find);
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = "$ENV{TESTDIR}/version_tree";
my @folders = qw(common docs examples extension packaging rest scripts);
my @files = qw(CONTRIBUTING.md Makefile README.md ctms.control);
mkdir $tree or die "$tree: $!";
system_or_bail('cp', '-a', (map { "$ENV{CTMS_TEST_TOP}/$_" } @folders, @files), $tree);

sub set_version
{
    my (@arguments) = @_;
    my $said = `'$tree/scripts/set-version' @arguments 2>&1`;
    return ($? >> 8) . ": $said";
}

# Lines that name a script or a package of ours by another version than this.
sub names_of_others
{
    my ($release, $objects) = @_;
    my @found;
    find({ no_chdir => 1, wanted => sub {
        return if !-f || m{/docs/decisions/};
        my ($file, $text) = ($_, slurp($_));
        my @scripts = grep { $_ ne $objects } $text =~ /ctms--(\d[\d.]*)\.sql/g;
        my @packages = grep { $_ ne $release } $text =~ /\bctms_(\d[\d.]*)_amd64/g;
        push @found, map { "$file: $_" } @scripts, @packages;
    } }, $tree);
    return join "\n", sort @found;
}

my ($version) = slurp("$tree/common/version.h") =~ /CTMS_VERSION "(.*)"/;
my ($objects) = $version =~ /^(\d+\.\d+)/;
is(set_version('--check'), '0: ', 'all places say the same');
is(names_of_others($version, $objects), '', 'so do those that nobody listed');

is(set_version('9.8.7'), '0: ', 'a release of code alone');
is(set_version('--check'), '0: ', 'is said everywhere');
is(names_of_others('9.8.7', '9.8'), '', 'so it is where nobody listed it');
like(slurp("$tree/ctms.control"), qr/^default_version = '9\.8'$/m, 'objects have two parts');
like(slurp("$tree/packaging/META.json"), qr/"version": "9\.8\.7"/, 'PGXN has three');
is(slurp("$tree/ctms--9.8.sql"), join('', map { slurp($_) } sort glob "$tree/extension/sql/*.sql"),
    'the script of the objects is assembled');
is(set_version('10.0'), '0: ', 'a release with new objects');
like(slurp("$tree/packaging/META.json"), qr/"version": "10\.0\.0"/, 'PGXN has three again');
like(slurp("$tree/packaging/META.json"), qr/"version": "1\.0\.0",\n *"url"/,
    'the version of its specification stays');

# One place that differs.
my $control = slurp("$tree/ctms.control") =~ s/10\.0/10.1/r;
unlink "$tree/ctms.control";
append_to_file("$tree/ctms.control", $control);
is(set_version('--check'), "1: ctms.control: 10.1 instead of 10.0\n", 'a difference is found');
like(set_version("'$_'"), qr/^2: usage: /, "\"$_\" is no version")
    for '', '1', 'v1.0', '1.0.0.0', '01.0', '1.0-rc1', "1.0\n";
done_testing();
