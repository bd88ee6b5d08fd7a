# Commits that take their time, or that a crash would undo: nothing is sent before its claim is
# safe, and no change goes unnoticed.
#
# A commit takes its time because it waits for a synchronous replica that is not there.

use strict;
use warnings;
use Test::More;
use IPC::Run;
use CTMS::Test qw(poll_until);

my $ctms = CTMS::Test->new('commits', conf => join "\n", 'wal_level = replica',
    'max_wal_senders = 2', 'autovacuum = off', 'restart_after_crash = on');
$ctms->sql('ALTER DATABASE ctms SET synchronous_commit = local');
$ctms->start_sandbox;
my @own = (CTMS_ACOUSTIC_LOOP_MIN_SECS => 3600, CTMS_DB_TIMEOUT_S => 300);

sub set_replica
{
    my ($name) = @_;
    $ctms->node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '$name'");
    $ctms->node->reload;
    poll_until(sub { $ctms->sql('SHOW synchronous_standby_names') eq $name }, 'the setting');
    return;
}
sub start_agent
{
    my ($synchronous_commit) = @_;
    $ctms->start_agent(@own,
        CTMS_DB_URL => $ctms->db_url . "&options=-c%20synchronous_commit%3D$synchronous_commit");
    wait_until_idle();
    return;
}

# Every claim has ended, and the last one found nothing.
sub wait_until_idle
{
    return poll_until(sub { $ctms->sql(q{SELECT is_called AND last_value % 2 = 1
        AND NOT EXISTS (SELECT FROM ctms.pending_acoustic WHERE lease_until IS NOT NULL)
        AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'ctms-agent'
            AND state <> 'idle') FROM ctms.acoustic_idle_seq}) eq 't' }, 'the agent is idle');
}
sub waits
{
    my ($query) = @_;
    return poll_until(sub { $ctms->sql("SELECT max(pid) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND query LIKE '%$query%'") }, "$query waits");
}
sub is_sent
{
    my ($address) = @_;
    return grep { $_->{main}{email} eq $address }
        @{ $ctms->sandbox('/_sandbox/recipients?limit=1000')->{json}{recipients} };
}
sub add
{
    my ($address) = @_;
    return "INSERT INTO ctms.emails (primary_email) VALUES ('$address')";
}

# ---- a claim --------------------------------------------------------------------------

start_agent('on');
set_replica('missing');
$ctms->sql(add('claimed@example.com'));
waits('claim_acoustic');
is(is_sent('claimed@example.com'), 0, 'nothing is sent while the commit of its claim waits');
set_replica('');
ok(poll_until(sub { is_sent('claimed@example.com') }, 'it is sent'), 'and then it is');
$ctms->stop_program('agent');

# ---- a change -------------------------------------------------------------------------

# Two changes begin to commit while an agent waits. The first notifies; the second need not. When
# the agent waits again, the second is still at it. If the agent has looked between the two, it is
# made to look busy as the first change made it: otherwise the second would wait for the first.
my $busy = q{SELECT nextval('ctms.acoustic_idle_seq') FROM ctms.acoustic_idle_seq
    WHERE last_value % 2 = 1
    AND EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')};
start_agent('local');
set_replica('missing');
my @writers;
for my $name (qw(first second))
{
    push @writers, IPC::Run::start([ 'psql', '-XAtq', '-d', $ctms->db_url, '-c', $busy,
            '-c', 'SET synchronous_commit = on', '-c', add("$name\@example.com") ], '<', \'',
        '>', \my $out, '2>', \my $err);
    waits("$name\@example.com");
}
$ctms->sql('SELECT pg_cancel_backend(' . waits('first@') . ')');
poll_until(sub { is_sent('first@example.com') }, 'the first is sent');
wait_until_idle();
is(is_sent('second@example.com'), 0, 'a change whose commit waits is not seen');
$ctms->sql('SELECT pg_cancel_backend(' . waits('second@') . ')');
ok(eval { poll_until(sub { is_sent('second@example.com') }, 'it is sent') },
    'when it is done, it is found although nobody was notified');
$_->finish for @writers;
set_replica('');
$ctms->stop_program('agent');

# ---- looking --------------------------------------------------------------------------

is($ctms->sql(q{SELECT count(*) FROM ctms.claim_acoustic('looker', 10, 6, '1 hour');
    BEGIN; SELECT count(*) FROM ctms.claim_acoustic('looker', 10, 6, '1 hour');
    SELECT pg_current_xact_id_if_assigned() IS NULL}), "0\n0\nt", 'looking again writes nothing');

# ---- a crash ----------------------------------------------------------------------------

# What is not flushed is lost when the process that would write it has been stopped before.
sub writer { return $ctms->sql(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'") }

sub lose_wal_after
{
    my ($sql) = @_;
    my $writer = writer();
    kill 'STOP', $writer;
    $ctms->sql("SET synchronous_commit = off; $sql");
    kill 'KILL', $writer;
    poll_until(sub { my $now = eval { writer() }; $now && $now ne $writer }, 'it has recovered');
    return;
}

$ctms->sql(add('lost@example.com'));
lose_wal_after(q{SELECT count(*) FROM ctms.claim_acoustic('sender', 10, 6, '1 hour')});
is($ctms->sql(q{SELECT lease_owner, is_tried FROM ctms.pending_acoustic}), 'sender|t',
    'a claim is safe when the setting "synchronous_commit" is off');
lose_wal_after(q{SELECT ctms.share_acoustic('sender', 7, 0, 10, '1 hour')});
is($ctms->sql(q{SELECT slots FROM ctms.acoustic_agent WHERE agent = 'sender'}), 7,
    'and so is a share');

done_testing();
