# A client for TypeScript, which openapi-typescript makes from /openapi.json: compiles strictly, and
# gets a token, creates, reads, changes and deletes a contact. The tools come from npm
# (scripts/get-client-tools, which "make check" calls).
use strict;
use warnings;
use CTMS::Client qw(run_tool);
use CTMS::Test;
use Test::More;

my $tools = "$ENV{CTMS_TEST_TOP}/build/clients/typescript";
plan skip_all => 'there is no generator: npm could not get it (scripts/get-client-tools)'
    unless -e "$tools/installed.json";

my $client = CTMS::Client->new('typescript');
my $folder = $client->{folder};
symlink "$tools/node_modules", "$folder/node_modules" or die "symlink: $!";
# A field that has a default may be left out of a body.
run_tool($folder, 'the types are made', 'node', 'node_modules/openapi-typescript/bin/cli.js',
    'openapi.json', '--default-non-nullable=false', '-o', 'ctms.d.ts');
run_tool($folder, 'the client compiles', 'node', 'node_modules/typescript/bin/tsc', '-p', '.');
is($client->run('node', 'round_trip.js'), "body.email.primary_email: str type expected\n",
    'an error is explained');
done_testing();
