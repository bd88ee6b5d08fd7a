# What PostgreSQL logs of the programs' statements: their text, but no parameters, which are
# addresses and contacts. The roles are ordinary ones.
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('server_log', conf => join "\n",
    'log_min_duration_statement = 0', 'log_statement = none', 'log_parameter_max_length = -1',
    'log_parameter_max_length_on_error = -1', 'log_min_error_statement = error');
$ctms->sql("CREATE ROLE rest LOGIN IN ROLE ctms_api; CREATE ROLE sync LOGIN IN ROLE ctms_agent;
    CREATE ROLE operator LOGIN IN ROLE ctms_admin; CREATE ROLE stranger LOGIN");
my $direct = 'host=' . $ctms->node->host . ' port=' . $ctms->node->port . ' dbname=ctms';
my $from = -s $ctms->node->logfile;

sub logged { return substr slurp($ctms->node->logfile), $from }

$ctms->start_sandbox;
$ctms->start_rest(CTMS_DB_URL => "$direct user=rest");
$ctms->start_agent(CTMS_DB_URL => "$direct user=sync");
{
    no warnings 'redefine';
    local *CTMS::Test::db_url = sub { "$direct user=operator" };
    $ctms->login;
    my %email = (primary_email => 'secret1@example.com', first_name => 'Secret2');
    is($ctms->request(POST => '/ctms', { email => {%email} })->{status}, 201, 'a contact is made');
    is($ctms->request(GET => '/ctms?primary_email=secret1@example.com')->{status}, 200, 'found');
    is($ctms->request(POST => '/ctms', { email => { %email, first_name => 'Secret3' } })->{status},
        409, 'and not made again');
    ok(poll_until(sub { logged() =~ /finish_acoustic/ }), 'the agent sends it');
    my ($rc, $out, $err) = $ctms->cli('delete', '--email', 'secret1@example.com', '--yes');
    is($rc, 0, 'it is deleted') or diag $err;
    ($rc, $out, $err) = $ctms->cli('delete', '--email', 'secret1@example.com', '--yes');
    isnt($rc, 0, 'and is not there any more');
}
ok($ctms->stop_program($_) == 0, "$_ stops") for 'agent', 'rest';
my $log = logged();
like($log, qr/SELECT ctms\.$_/, "$_ is in the log")
    for 'find_contacts', 'finish_acoustic', 'delete_contact';
unlike($log, qr/secret\d/i, 'but no address and no name is');

# Somebody who may not set it is not kept from working.
my ($rc, $out, $err);
{
    no warnings 'redefine';
    local *CTMS::Test::db_url = sub { "$direct user=stranger" };
    ($rc, $out, $err) = $ctms->cli('clients', 'list');
}
like($err, qr/permission denied for schema ctms/, 'a stranger gets as far as his rights do');
done_testing();
