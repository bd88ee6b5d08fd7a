# The tarball of a release: the same commit gives the same bytes, what it takes from npm is in it
# and checked, and it knows its commit without a repository. Of a small tree, and with an npm that
# is made up: it has each package where npm's cache has it.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use Digest::SHA qw(sha512 sha512_hex);
use File::Path qw(make_path);
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = "$ENV{TESTDIR}/dist";
my $tree = "$folder/tree";
make_path("$folder/bin", "$folder/content", map { "$tree/$_" } qw(scripts packaging));

sub write_file
{
    my ($name, $text) = @_;
    unlink $name;
    append_to_file($name, $text);
    return;
}

# A folder that uses a package, whose archive has one file.
sub add_package
{
    my ($user, $name) = @_;
    my $source = "$folder/source/$name";
    make_path("$tree/$user", "$source/package");
    write_file("$source/package/index.js", "// $name\n");
    my $archive = "$folder/content/" . ($name =~ s{/}{-}r);
    system_or_bail('tar', '-czf', $archive, '-C', $source, 'package');
    my $content = slurp($archive);
    rename $archive, "$folder/content/" . sha512_hex($content) or die "rename: $!";
    write_file("$tree/$user/package.json", '{}');
    write_file("$tree/$user/package-lock.json", sprintf
        '{"packages": {"": {}, "node_modules/%s": {"version": "1.2.3", "license": "MIT",'
        . ' "integrity": "sha512-%s"}}}', $name, encode_base64(sha512($content), ''));
    return;
}
add_package('rest/swagger-ui', 'swagger-ui-dist');
add_package('test/clients/typescript', '@example/client');
sub write_npm
{
    my ($text) = @_;
    write_file("$folder/bin/npm", $text);
    chmod 0755, "$folder/bin/npm" or die "chmod: $!";
    return;
}
write_npm(<<"SH");
#!/bin/sh
while [ "\$1" != --cache ]; do shift; done
for file in $folder/content/*; do
    sum=\$(basename "\$file")
    to=\$2/_cacache/content-v2/sha512/\$(printf %s "\$sum" | sed 's,^\\(..\\)\\(..\\),\\1/\\2/,')
    mkdir -p "\$(dirname "\$to")" && cp "\$file" "\$to"
done
SH
$ENV{PATH} = "$folder/bin:$ENV{PATH}";

# ---- the tarball -------------------------------------------------------------------------------

system_or_bail('cp', '-a', map({ "$ENV{CTMS_TEST_TOP}/$_" }
    qw(scripts/make-dist scripts/npm-packages scripts/commit)), "$tree/scripts");
system_or_bail('cp', '-a', "$ENV{CTMS_TEST_TOP}/.gitattributes", $tree);
write_file("$tree/packaging/commit", "\$Format:%H %ct\$\n");
my @git = ('git', '-C', $tree, '-c', 'user.name=test', '-c', 'user.email=test@example.com');
system_or_bail(@git, 'init', '-q');
system_or_bail(@git, 'add', '-A');
system_or_bail(@git, 'commit', '-q', '-m', 'A tree');
my $commit = `git -C '$tree' log -1 --format='%H %ct'`;
is(`'$tree/scripts/commit'`, $commit, 'the commit of a repository');

my %made;
for my $way ('umask 022; TZ=UTC', 'umask 077; TZ=Asia/Tokyo')
{
    system_or_bail('sh', '-c', "$way '$tree/scripts/make-dist' 9.8 >/dev/null");
    $made{ slurp("$tree/build/ctms-9.8.tar.gz") } = 1;
    system_or_bail('touch', "$tree/packaging/commit");
}
is(keys %made, 1, 'the same commit gives the same bytes');

# ---- what is unpacked --------------------------------------------------------------------------

system_or_bail('tar', '-xzf', "$tree/build/ctms-9.8.tar.gz", '-C', $folder);
my $release = "$folder/ctms-9.8";
is(`'$release/scripts/commit'`, $commit, 'it knows its commit');
write_npm("#!/bin/sh\necho refused\nexit 1\n");
my $install = "'$release/scripts/npm-packages' install"
    . " '$release/test/clients/typescript' '$folder/to'";
is(system($install), 0, 'packages are there without npm');
is(slurp("$folder/to/node_modules/\@example/client/index.js"), "// \@example/client\n",
    'unpacked where they belong');
like(slurp("$release/vendor/npm/README.md"),
    qr{^\| \@example/client \| 1\.2\.3 \| MIT \| test/clients/typescript \|$}m, 'and listed');
append_to_file("$release/vendor/npm/example-client-1.2.3.tgz", 'x');
like(`$install 2>&1`, qr/^ctms: \S+example-client-1\.2\.3\.tgz is not what the lock file says$/,
    'an archive that was changed is refused');
isnt($?, 0, 'with failure');
unlink "$release/vendor/npm/example-client-1.2.3.tgz";
like(`$install 2>&1`, qr/example-client-1\.2\.3\.tgz is missing$/, 'so is one that is missing');
like(`'$release/scripts/make-dist' 9.8 2>&1`, qr/made from the git repository, and this is none$/,
    'a tarball makes no tarball');
like(`'$tree/scripts/npm-packages' install '$tree/rest/swagger-ui' '$folder/other' 2>&1`,
    qr/^ctms: npm could not get the packages of \S+swagger-ui:\n refused$/m,
    'npm that fails is told');

# ---- lock files that are not trusted -----------------------------------------------------------

my $sum = 'sha512-' . encode_base64(sha512('x'), '');
sub lock_file
{
    my ($path, $integrity, $version) = @_;
    write_file("$tree/rest/swagger-ui/package-lock.json", JSON::PP->new->encode(
        { packages => { $path => { version => $version // '1.0',
            defined $integrity ? (integrity => $integrity) : () } } }));
    return `'$tree/scripts/npm-packages' install '$tree/rest/swagger-ui' '$folder/other' 2>&1`;
}
write_npm("#!/bin/sh\necho npm was asked >&2\nexit 1\n");
like(lock_file('node_modules/a', $_), qr/^ctms: \S+: a has no SHA-512$/,
    'a checksum that is ' . ($_ // 'missing')) for undef, 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=',
    'sha512-', "$sum $sum";
like(lock_file($_, $sum), qr/^ctms: \S+: not the path of a package: \Q$_\E$/, "a path: $_")
    for '../node_modules/a', 'node_modules/..', 'node_modules/@a/..', '/node_modules/a',
    'node_modules/../node_modules/a';
like(lock_file('node_modules/a', $sum, '1/../../a'), qr/^ctms: \S+: a has no version$/,
    'a version');
like(lock_file('node_modules/b/node_modules/@a/c.d', $sum), qr/npm was asked$/m,
    'one that is right');
done_testing();
