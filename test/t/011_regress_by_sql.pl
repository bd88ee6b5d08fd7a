# The same tests as 010_regress, with the same expected output, where all is done by SQL.
use strict;
use warnings;
use CTMS::Regress qw(run_suites);
use Test::More;

run_suites('_by_sql', "ctms.direct_access = off\n");
done_testing();
