# The pgTAP tests in test/pgtap, each in a database of its own.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @files = sort glob "$ENV{CTMS_TEST_TOP}/test/pgtap/*.sql";
plan skip_all => 'no pgTAP tests' unless @files;

my $node = PostgreSQL::Test::Cluster->new('pgtap');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
my $is_there = $node->safe_psql('postgres',
    q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pgtap'});
plan skip_all => 'this PostgreSQL has no extension pgtap' unless $is_there;

for my $file (@files)
{
    my ($name) = $file =~ m{([^/]+)\.sql$};
    $node->safe_psql('postgres', qq(CREATE DATABASE "$name"));
    $node->safe_psql($name, 'CREATE EXTENSION ctms; CREATE EXTENSION pgtap');
    command_ok([ 'pg_prove', '--quiet', '-h', $node->host, '-p', $node->port, '-d', $name, $file ],
        $name);
}
done_testing();
