# A benchmark, or a measure of conformance, that cannot use what it was asked to use names it
# and fails, instead of passing with less.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $work = tempdir(CLEANUP => 1);
mkdir "$work/$_" or die $! for qw(closed empty one one/schema);
for my $file (qw(schema.json instances.jsonl))
{
    open my $handle, '>', "$work/one/schema/$file" or die $!;
    print {$handle} "{}\n" if $file eq 'schema.json';
}
chmod 0, "$work/closed" or die $!;
END { chmod 0700, "$work/closed" }

# Runs a file with settings; what it must say is a pattern.
sub fails
{
    my ($file, $settings, $message) = @_;
    delete local @ENV{ 'CTMS_TEST_KEEP', grep { /^CTMS_(?:BENCH|JSON_SCHEMA)_/ } keys %ENV };
    local @ENV{ keys %$settings } = values %$settings;
    my $said = qx{'$ENV{CTMS_TEST_TOP}/scripts/check' '$file' 2>&1};
    my $name = join ' ', $file, map { "$_=$settings->{$_}" } sort keys %$settings;
    isnt($?, 0, "$name: fails");
    like($said, qr/^What failed, once more:\n(?:.*\n)*# died: ctms: $message/m, 'and says why');
    return;
}

my $user = getpwuid $>;
my $closed = qr{the user "\Q$user\E" cannot enter \Q$work/closed\E };
my $benchmark = 'bench/json_schema/verdicts.pl';
fails($benchmark, { CTMS_BENCH_CORPORA => "$work/closed" }, $closed);
fails($benchmark, { CTMS_BENCH_CORPORA => "$work/empty" }, 'no schemas in ');
fails($benchmark, { CTMS_BENCH_CORPORA => "$work/one" }, '.*/instances.jsonl is empty or cannot ');
fails($benchmark, { CTMS_BENCH_TOOLS => "$work/empty" }, 'no comparison with .*/jsonschema is not');
fails('bench/rest.pl', { CTMS_BENCH_PARTS => 'calls,nothing' }, 'no such part or call: nothing');
fails('bench/rest_beside.pl', { CTMS_BENCH_BESIDE => 'patch,x' }, 'no such call: x');
fails('bench/rest_size.pl', { CTMS_BENCH_CALLS => 'get,updates' }, 'no such call: updates');
fails('bench/cores.pl', { CTMS_BENCH_CORES => '1,100000' }, 'no such number of processors: 1000');
fails('bench/cores.pl', { CTMS_BENCH_CALLS => 'get,x' }, 'no such call: x');
fails('bench/sizes.pl', { CTMS_BENCH_CONTACTS => 9000 }, '9000 contacts are too few to be measu');
fails('bench/agent.pl', { CTMS_BENCH_CONTACTS => 3000 }, '3000 contacts are too few for 20 seco');
fails('bench/agent.pl', { CTMS_BENCH_DISKS => 'native,off' }, 'no such disk: off ');
fails('bench/replica.pl', { CTMS_BENCH_DISKS => 'native,0' }, 'no such disk: 0 ');
my ($suite, $corpora) = qw(test/t/220_json_schema_suite.pl test/t/227_json_schema_corpora.pl);
fails($suite, { CTMS_JSON_SCHEMA_SUITE => "$work/closed" }, $closed);
fails($suite, { CTMS_JSON_SCHEMA_SUITE => "$work/empty" }, 'no JSON-Schema-Test-Suite in ');
fails($corpora, { CTMS_JSON_SCHEMA_CORPORA => "$work/closed" }, $closed);
fails($corpora, { CTMS_JSON_SCHEMA_CORPORA => "$work/empty" }, 'no schemas in ');
done_testing();
