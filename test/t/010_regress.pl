# The regression tests in test/sql and the isolation tests in test/specs, where contacts and the
# queue are read and written below the executor.
use strict;
use warnings;
use CTMS::Regress qw(run_suites);
use Test::More;

run_suites('', "ctms.direct_access = on\n");
done_testing();
