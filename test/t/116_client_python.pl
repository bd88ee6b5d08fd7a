# A client for Python, which openapi-python-client makes from /openapi.json: mypy finds nothing to
# complain of, and it gets a token, creates, reads, changes and deletes a contact. The tools are not
# in Debian. They are used if they are in PATH, or in the virtual environment that
# CTMS_TEST_PYTHON_CLIENT names:
#
#   python3 -m venv VENV && VENV/bin/pip install -r test/clients/python/requirements.txt
#   make check-clients CTMS_TEST_PYTHON_CLIENT=VENV
use strict;
use warnings;
use CTMS::Client qw(run_tool);
use CTMS::Test qw(data_folder);
use Test::More;

my @tools = qw(openapi-python-client mypy python3);
my $given = $ENV{CTMS_TEST_PYTHON_CLIENT} ? data_folder('CTMS_TEST_PYTHON_CLIENT') . '/bin' : '';
$ENV{PATH} = "$given:$ENV{PATH}" if $given;
for my $tool (@tools)
{
    next if grep { -x "$_/$tool" } $given || split /:/, $ENV{PATH};
    die "ctms: there is no $tool in $given (CTMS_TEST_PYTHON_CLIENT)\n" if $given;
    plan skip_all => "there is no $tool: see test/clients/python/requirements.txt, and "
        . 'CTMS_TEST_PYTHON_CLIENT=VENV';
}

my $client = CTMS::Client->new('python');
my $folder = $client->{folder};
run_tool($folder, 'the client is made', 'openapi-python-client', 'generate', '--path',
    'openapi.json', '--output-path', 'ctms_client', '--meta', 'none', '--config', 'config.yaml',
    '--fail-on-warning');
run_tool($folder, 'its types are sound', 'mypy', '--strict', 'ctms_client', 'round_trip.py');
is($client->run('python3', 'round_trip.py'), "body.email.primary_email: str type expected\n",
    'an error is explained');
done_testing();
