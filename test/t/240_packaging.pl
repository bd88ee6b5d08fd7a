# What is shipped around the programs says what is true: libraries and their licences.
use strict;
use warnings;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

chdir $ENV{CTMS_TEST_TOP} or die "chdir: $!";

SKIP:
{
    skip 'the programs are built elsewhere', 1 unless -e 'build/bin/ctms-rest';
    command_ok(['scripts/check-dependencies'], 'docs/dependencies.md names what is linked');
}

done_testing();
