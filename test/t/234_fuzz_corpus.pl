# The inputs that fuzzing starts from, and those that once broke something, run once each.
# They run without sanitizers here, so this test can find a crash, an error that input should
# not cause, and verdicts that contradict each other.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{CTMS_TEST_TOP};
my $library = "$top/build/extension/ctms_fuzz.so";
plan skip_all => 'build/extension/ctms_fuzz.so is not there: make fuzz-replay' unless -e $library;

my $ctms = CTMS::Test->new('fuzz', no_extension => 1);
for my $folder (sort glob "$top/test/fuzz/corpus/*")
{
    my ($target) = $folder =~ m{([^/]+)$};
    my @files = grep { -f } glob "$folder/*";
    my ($program) = grep { -x } "$ENV{CTMS_TEST_BIN}/../test/fuzz/$target";
    if ($program)
    {
        my ($out, $err) = run_command([ $program, $folder ]);
        is("$out$err", scalar @files, "$target: " . @files . ' inputs');
        next;
    }
    is($ctms->sql("CREATE FUNCTION pg_temp.ctms_fuzz_replay(text, text) RETURNS int
        LANGUAGE c AS '$library';
        SELECT pg_temp.ctms_fuzz_replay('$target', '$folder')"), scalar @files,
        "$target: " . @files . ' inputs');
}
done_testing;
