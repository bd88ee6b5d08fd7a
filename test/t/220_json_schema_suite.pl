# Conformance of the JSON Schema engine, measured with the JSON-Schema-Test-Suite: fails when
# a count drops below what is known to pass, or a case fails without an explanation.
#
# CTMS_JSON_SCHEMA_SUITE is the suite's folder (../shared/data/JSON-Schema-Test-Suite);
# without it the test is skipped. "make conformance SUITE=..." prints the table.
use strict;
use warnings;
use CTMS::JsonSchemaSuite;
use CTMS::Test qw(data_folder);
use Test::More;

my $folder = data_folder('CTMS_JSON_SCHEMA_SUITE', 'JSON-Schema-Test-Suite');
if (!-d "$folder/tests")
{
    die "ctms: no JSON-Schema-Test-Suite in $folder\n" if $ENV{CTMS_JSON_SCHEMA_SUITE};
    plan skip_all => "no JSON-Schema-Test-Suite at $folder";
}

my %known = (
    required => { '4' => 618, '6' => 839, '7' => 927, '2019-09' => 1259, '2020-12' => 1299 },
    optional => { '4' => 99, '6' => 106, '7' => 118, '2019-09' => 158, '2020-12' => 162 },
    format => { '4' => 219, '6' => 325, '7' => 676, '2019-09' => 757, '2020-12' => 764 },
    annotations => { '4' => 17, '6' => 23, '7' => 31, '2019-09' => 62, '2020-12' => 84 },
    output => { '2019-09' => 4, '2020-12' => 4, 'v1' => 3 });

my $ctms = CTMS::Test->new('suite', conf => "client_min_messages = warning\nmax_stack_depth = 2MB");
my $suite = CTMS::JsonSchemaSuite->new($ctms, $folder);

for my $row ($suite->counts)
{
    my $known = $known{ $row->{kind} }{ $row->{draft} };
    cmp_ok($row->{passed}, '>=', $known,
        "$row->{kind}, draft $row->{draft}: $row->{passed} of $row->{total} pass");
}
my $misses = $suite->misses;
unlike($misses, qr/NOT EXPLAINED/, 'every miss is explained');
diag "\n" . $suite->table, "\n", $misses || "no misses\n",
    $suite->annotations_to_come
    . " annotation assertions are for a release after 2020-12 and belong to no draft here\n"
    if $ENV{CTMS_JSON_SCHEMA_TABLE};
done_testing();
