# ctms settings: list, set and reset the settings of the database; and what ctms_monitor may run.
use strict;
use warnings;
use CTMS::Test;
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('cli_settings');
my $json = JSON::PP->new->utf8;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin;
    CREATE ROLE monitoring LOGIN IN ROLE ctms_monitor');
sub run_as
{
    my ($role, @args) = @_;
    return $ctms->cli(@args, '--db-url', $ctms->db_url . "&user=$role");
}
sub settings { return run_as('operator', 'settings', @_) }

my ($rc, $out, $err) = settings('list');
is($rc, 0, 'list') or diag $err;
like($out, qr/^acoustic_history_age +30d +30d +0 to 36500d +How long/m, 'with limits');
like($out, qr/^direct_access +on +on +on or off +Whether/m, 'or what is allowed');
is_deeply([ map { "$_->{name} $_->{type}" } @{ $json->decode((settings('list', '--json'))[1]) } ],
    [ 'acoustic_deletions boolean', 'acoustic_history_age duration', 'acoustic_history_rows number',
        'acoustic_history_sent boolean', 'acoustic_retry_delay duration',
        'acoustic_skip_unchanged boolean', 'direct_access boolean',
        'stripe_refused_age duration' ], 'as JSON');

($rc, $out) = settings('set', 'acoustic_history_age', '30 days');
is("$rc $out", "0 acoustic_history_age is 30d\n", 'set');
is($ctms->sql(q{SELECT ctms.get_setting('acoustic_history_age')}), '30d', 'is stored');
is_deeply($json->decode((settings('set', 'acoustic_history_age', '24h', '--json'))[1]),
    { name => 'acoustic_history_age', value => '1d' }, 'as JSON');
($rc, $out) = settings('reset', 'acoustic_history_age');
is("$rc $out", "0 acoustic_history_age is 30d\n", 'reset');
is($ctms->sql('SELECT count(*) FROM ctms.settings'), 0, 'leaves nothing');

for my $case ([ qr/invalid value of setting "acoustic_history_age".*from 0 to 36500d/s, 'set',
        'acoustic_history_age', '1 fortnight' ],
    [ qr/invalid value of setting "acoustic_history_rows".*whole number from 1000 to 1000000000\./s,
        'set', 'acoustic_history_rows', 'many' ],
    [ qr/there is no setting "history".*Settings are acoustic_deletions, /s, 'set', 'history',
        '1d' ],
    [ qr/there is no setting "history"/, 'reset', 'history' ],
    [ qr/permission denied for setting "direct_access"/, 'set', 'direct_access', 'off' ])
{
    my ($expected, @args) = @$case;
    ($rc, $out, $err) = settings(@args);
    is("$rc $out", '1 ', "refused: @args");
    like($err, $expected, 'with a reason');
}
unlike($err, qr/ctms_admin/, 'and without the advice to become what one is');
is((settings('set', 'acoustic_history_age'))[0], 2, 'wrong usage');

# A row of a newer version.
$ctms->sql(q{SET ctms.restore_mode = on; INSERT INTO ctms.settings VALUES ('newer', '17')});
($rc, $out, $err) = settings('list');
is($rc, 0, 'a row that is not known ends nothing');
like($err, qr/WARNING:  there is no setting "newer" in this version/, 'but is told of');
($rc, $out) = settings('reset', 'newer');
is("$rc $out", "0 newer is not set any more\n", 'and can be taken away');

# ---- monitoring ---------------------------------------------------------------------------------

is($ctms->node->safe_psql('ctms', 'SELECT backlog, agents, is_replica FROM ctms.monitor()',
    extra_params => [ '-U', 'monitoring' ]), '0|0|0', 'ctms_monitor gets its numbers');
for my $command ([ 'acoustic', 'status' ], [ 'settings', 'list' ], [ 'clients', 'list' ],
    [ 'settings', 'set', 'acoustic_deletions', 'on' ])
{
    ($rc, $out, $err) = run_as('monitoring', @$command);
    is("$rc $out", '1 ', "but not @$command");
    like($err, qr/permission denied/, 'which says why');
}
my ($found) = grep { $_->{check} eq 'queue' }
    @{ $json->decode((run_as('monitoring', 'doctor', '--json'))[1]) };
like("$found->{status} $found->{message}", qr/^ok 0 contacts wait/, 'ctms doctor sees the queue');
done_testing();
