# Settings of the database in sessions that are open: seen at once, also by a replica, and while
# somebody has locked the table. What ALTER DATABASE says of them keeps nobody from connecting.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use PostgreSQL::Test::Cluster;
use Test::More;

my $ctms = CTMS::Test->new('settings', conf => "wal_level = replica\nmax_wal_senders = 5");
my $node = $ctms->node;
my $session = $node->background_psql('ctms');
sub value { return $session->query_safe("SELECT ctms.get_setting('$_[0]')") }

sub delete_contact
{
    my ($who) = @_;
    $session->query_safe("INSERT INTO ctms.emails (primary_email) VALUES ('$who\@example.com');
        DELETE FROM ctms.emails WHERE primary_email = '$who\@example.com'");
    return $ctms->sql('SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE is_to_send');
}

# ---- at once ------------------------------------------------------------------------------

is(delete_contact('one'), 0, 'a deletion is not carried by default');
$ctms->set(acoustic_deletions => 'on');
is(delete_contact('two'), 1, 'it is when another session has said so');
$session->query_safe('BEGIN');
is(delete_contact('three'), 1, 'in a transaction');
$ctms->set(acoustic_deletions => 'off');
delete_contact('four');
$session->query_safe('COMMIT');
is($ctms->sql('SELECT count(*) FROM ctms.acoustic_deleted_contact'), 2,
    'the next statement of a transaction knows of a change');
$session->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT FROM ctms.emails');
$ctms->set(acoustic_history_age => '2h');
is(value('acoustic_history_age'), '2h', 'one with an older snapshot too');
$session->query_safe('COMMIT');

my $other = $node->background_psql('ctms');
$other->query_safe('SET client_min_messages = error');
$other->query_safe("BEGIN; SELECT ctms.set_setting('acoustic_history_age', '3h')");
is(value('acoustic_history_age'), '2h', 'what is not committed, others do not see');
$other->query_safe('ROLLBACK');
is($other->query_safe("SELECT ctms.get_setting('acoustic_history_age')"), '2h', 'nor is it kept');
$other->query_safe('BEGIN; TRUNCATE ctms.settings; COMMIT');
is(value('acoustic_history_age'), '30d', 'TRUNCATE brings back the defaults');

# ---- a locked table ---------------------------------------------------------------------------

$ctms->set(acoustic_history_age => '4h');
is(value('acoustic_history_age'), '4h', 'before the table is locked');
$ctms->set(acoustic_history_age => '5h');
$other->query_safe('BEGIN; LOCK TABLE ctms.settings');
$session->query_safe(q{SET lock_timeout = '10ms'});
is(value('acoustic_history_age'), '4h', 'who knows values keeps them while it is locked');
delete_contact('five');
$other->query_safe('COMMIT');
is(value('acoustic_history_age'), '5h', 'until it is not');
$other->query_safe('BEGIN; ALTER TABLE ctms.settings ALTER value TYPE varchar(50)');
is(value('acoustic_history_age'), '5h', 'while its column is changed');
$other->query_safe('COMMIT');
is(value('acoustic_history_age'), '5h', 'and afterwards');

# Nothing of a user fails without the table.
$other->query_safe('BEGIN; ALTER EXTENSION ctms DROP TABLE ctms.settings;
    DROP TABLE ctms.settings');
like($other->query(q{INSERT INTO ctms.emails (primary_email) VALUES ('six@example.com');
    DELETE FROM ctms.emails WHERE primary_email = 'six@example.com' RETURNING primary_email}),
    qr/six/, 'without the table');
$other->{stderr} = '';
$other->query_safe('ROLLBACK');

# ---- a replica ----------------------------------------------------------------------------------

$node->backup('copy');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($node, 'copy', has_streaming => 1);
$replica->start;
my $reader = $replica->background_psql('ctms');
is($reader->query_safe("SELECT ctms.get_setting('acoustic_history_age')"), '5h',
    'a replica reads them');
$ctms->set(acoustic_history_age => '6h');
$node->wait_for_catchup($replica, 'replay', $node->lsn('flush'));
is($reader->query_safe("SELECT ctms.get_setting('acoustic_history_age')"), '6h',
    'an open session there sees a change');
$ctms->set(direct_access => 'off');
$ctms->sql(q{INSERT INTO ctms.emails (primary_email, basket_token)
    VALUES ('seven@example.com', 't')});
$node->wait_for_catchup($replica, 'replay', $node->lsn('flush'));
like($reader->query_safe(q{SELECT ctms.find_contacts(basket_token => 't')}), qr/seven/,
    'and reads contacts by SQL');
is($reader->query_safe('SELECT is_replica, backlog, deletions FROM ctms.monitor()'), '1|3|2',
    'ctms.monitor() works there');
$reader->quit;
$replica->stop;
$ctms->set(direct_access => undef);

# ---- what is left of older ways ------------------------------------------------------------------

$ctms->sql('ALTER DATABASE ctms SET ctms.acoustic_deletions = on');
for my $options ('', '-c session_preload_libraries=ctms')
{
    local $ENV{PGOPTIONS} = $options;
    my ($rc, $out) = $node->psql('ctms', q{SELECT ctms.get_setting('acoustic_deletions')});
    is("$rc $out", '0 off', "ALTER DATABASE has no effect, and hinders nobody: $options");
}
is(($node->psql('ctms', 'ALTER DATABASE ctms RESET ctms.acoustic_deletions'))[0], 0,
    'it can be taken away');
is($ctms->sql(q{SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%acoustic%'}),
    0, 'for good');
$_->quit for $session, $other;
done_testing();
