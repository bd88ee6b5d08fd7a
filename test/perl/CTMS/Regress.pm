package CTMS::Regress;

# The regression tests in test/sql and the isolation tests in test/specs, against a server of their
# own: all, or those that CTMS_TEST_REGRESS names. Files of test/t say with which settings.
#
#   run_suites('_by_sql', "ctms.direct_access = off\n");
#
# The results are in folders of these names below TESTDIR: regression_by_sql, isolation_by_sql.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Exporter 'import';

our @EXPORT_OK = qw(run_suites);

sub tests_of
{
    my ($folder, $extension) = @_;
    my %is_wanted = map { $_ => 1 } split ' ', $ENV{CTMS_TEST_REGRESS} // '';
    my @tests = sort map { m{([^/]+)\.\Q$extension\E$} }
        glob "$ENV{CTMS_TEST_TOP}/$folder/*.$extension";
    @tests = grep { $is_wanted{$_} } @tests if %is_wanted;
    my @silent = grep { !-e "$ENV{CTMS_TEST_TOP}/test/expected/$_.out" } @tests;
    die "there is no test/expected/$_.out: make one, empty at first\n" for @silent;
    return @tests;
}

sub run_suites
{
    my ($suffix, $settings) = @_;
    my $node = PostgreSQL::Test::Cluster->new("regress$suffix");
    $node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
    $node->append_conf('postgresql.conf', "fsync = off\n$settings");
    $node->start;
    # The view does not have settings that do not exist, though SHOW has.
    my $known = $node->safe_psql('postgres', q{LOAD 'ctms'; SELECT name || ' = ' || setting
        FROM pg_settings WHERE name LIKE 'ctms.%' AND source = 'configuration file'});
    is("$known\n", $settings, 'the settings are those of ctms');

    my @suites = (
        [ 'regression', $ENV{PG_REGRESS}, 'test/sql', 'sql' ],
        [ 'isolation', $ENV{PG_ISOLATION_REGRESS}, 'test/specs', 'spec' ]);
    for my $suite (@suites)
    {
        my ($name, $program, $folder, $extension) = @$suite;
        my @tests = tests_of($folder, $extension) or next;
        my $output = "$ENV{TESTDIR}/$name$suffix";
        mkdir $output;
        my $ok = system_log($program, "--bindir=" . `pg_config --bindir | tr -d '\\n'`,
            "--inputdir=$ENV{CTMS_TEST_TOP}/test", "--outputdir=$output", '--load-extension=ctms',
            '--host=' . $node->host, '--port=' . $node->port, "--dbname=ctms_$name",
            '--max-concurrent-tests=4', @tests) == 0;
        ok($ok, "$name$suffix: @tests");
        diag(PostgreSQL::Test::Utils::slurp_file("$output/regression.diffs"))
            if !$ok && -e "$output/regression.diffs";
    }
    $node->stop;
    return;
}

1;
