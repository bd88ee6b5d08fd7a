# What is named exists: files and make targets in README.md, docs/ and the Makefiles. And a test
# that is asked for by a wrong name is answered in one line.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use Test::More;

my $top = $ENV{CTMS_TEST_TOP};
my @documents = glob "$top/README.md $top/CONTRIBUTING.md $top/docs/*.md $top/docs/decisions/*.md";
my @makefiles = glob "$top/Makefile $top/*/*.mk $top/*/*/*.mk";
my $folder = join '|', qw(agent bench build/test/unit cli common docs examples extension),
    qw(packaging rest scripts test);

# Names with a folder of ours, and tests without theirs. Folders and patterns are names too.
sub files_named_in
{
    my ($text) = @_;
    my @names = $text =~ m{(?<![\w./~\$()-])((?:$folder)/[\w./*-]*[\w*/])(?![%\$(])}g;
    push @names, map { "test/t/$_" } $text =~ m{(?<![\w/])(\d{3}_\w+\.pl)\b}g;
    # What is built there has a source.
    return map { s{\Abuild/(test/unit/[\w*]+)\z}{$1.c}r } @names;
}

my (@missing, %count);
for my $file (@documents, @makefiles)
{
    my @names = files_named_in(slurp($file));
    $count{$_}++ for @names;
    for my $name (@names)
    {
        push @missing, "$file: $name" unless grep { -e } glob "$top/$name";
    }
}
is(join("\n", @missing), '', 'files that are named exist');
ok($count{'test/t/100_rest_service.pl'}, "the Makefile's example of a test was seen");
ok(keys %count > 50, 'names were found: ' . keys %count);
is(join(' ', files_named_in('`test/t/x.pl`, 100_x.pl or build/test/unit/x')),
    'test/t/x.pl test/unit/x.c test/t/100_x.pl', 'all kinds of names are seen');

my %is_target = map { $_ => 1 } map { slurp($_) =~ /^([a-z][\w. -]*):(?!=)/mg } @makefiles;
$is_target{$_} = 1 for map { split ' ' } keys %is_target;
my @named;
for my $file (@documents, "$top/Makefile")
{
    push @named, map { "$file: $_" } slurp($file) =~ /(?:`|^#   |^)make ([a-z][\w.-]*)/mg;
}
is(join("\n", grep { !$is_target{s/.*: //r} } @named), '', 'make targets that are named exist');
ok(@named > 30, 'targets were found: ' . @named);

# ---- tests by name -----------------------------------------------------------------------

my $said = `'$top/scripts/check' pace 100_no_such 2>&1`;
is($said, "ctms: no such test: 100_no_such\n", 'a wrong name is answered in one line');
isnt($?, 0, 'and with failure, before any test is run');

SKIP: {
    skip 'the unit tests are not built', 2 unless -x "$ENV{CTMS_TEST_BIN}/../test/unit/pace";
    $said = `'$top/scripts/check' pace 2>&1`;
    is($?, 0, 'a test can be named without its folder');
    like($said, qr{^Files=1, }m, 'and it alone is run');
}
$said = `'$top/scripts/check' tables queue_notify 2>&1`;
is($?, 0, 'regression and isolation tests can be named');
like($said, qr{^Files=2, Tests=6, }m, 'and they alone are run, below the executor and by SQL');

done_testing();
