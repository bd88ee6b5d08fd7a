# The regression tests in test/sql and the isolation tests in test/specs, against a server of their
# own: all, or those that CTMS_TEST_REGRESS names.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('regress');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;

my %is_wanted = map { $_ => 1 } split ' ', $ENV{CTMS_TEST_REGRESS} // '';
my @suites = (
    [ 'regression', $ENV{PG_REGRESS}, 'test/sql', 'sql' ],
    [ 'isolation', $ENV{PG_ISOLATION_REGRESS}, 'test/specs', 'spec' ]);
for my $suite (@suites)
{
    my ($name, $program, $folder, $extension) = @$suite;
    my @tests = sort map { m{([^/]+)\.\Q$extension\E$} }
        glob "$ENV{CTMS_TEST_TOP}/$folder/*.$extension";
    @tests = grep { $is_wanted{$_} } @tests if %is_wanted;
    next unless @tests;
    my @silent = grep { !-e "$ENV{CTMS_TEST_TOP}/test/expected/$_.out" } @tests;
    die "there is no test/expected/$_.out: make one, empty at first\n" for @silent;
    my $output = "$ENV{TESTDIR}/$name";
    mkdir $output;
    my $ok = system_log($program, "--bindir=" . `pg_config --bindir | tr -d '\\n'`,
        "--inputdir=$ENV{CTMS_TEST_TOP}/test", "--outputdir=$output", '--load-extension=ctms',
        '--host=' . $node->host, '--port=' . $node->port, "--dbname=ctms_$name",
        '--max-concurrent-tests=4', @tests) == 0;
    ok($ok, "$name: @tests");
    diag(PostgreSQL::Test::Utils::slurp_file("$output/regression.diffs"))
        if !$ok && -e "$output/regression.diffs";
}
done_testing();
