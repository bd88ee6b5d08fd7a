# What a run of files has told its runner is there after a crash, also with synchronous_commit =
# off:
# the runner goes on at once, uploads and starts imports. Others only learn of it once it is safe.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use Test::More;

my $ctms = CTMS::Test->new('bulkdurable', conf => join "\n", 'autovacuum = off',
    'restart_after_crash = on');

# What is not flushed is lost when the process that would write it has been stopped before.
sub writer { return $ctms->sql(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'") }

sub lose_wal_after
{
    my ($sql) = @_;
    my $writer = writer();
    kill 'STOP', $writer;
    my $answer = $ctms->sql("SET synchronous_commit = off; $sql");
    kill 'KILL', $writer;
    poll_until(sub { my $now = eval { writer() }; $now && $now ne $writer }, 'it has recovered');
    return $answer;
}

sub run { return $ctms->sql("SELECT $_[0] FROM ctms.acoustic_bulk_run") }
sub held { return $ctms->sql(q{SELECT count(*) FROM ctms.pending_acoustic
    WHERE lease_owner = 'bulk 1' AND retry_after = lease_until AND is_tried}) }

$ctms->sql(q{INSERT INTO ctms.emails (primary_email)
    SELECT format('bulk%s@example.com', n) FROM generate_series(1, 200) AS n});
lose_wal_after(q{UPDATE ctms.emails SET first_name = 'lost'});
is($ctms->sql(q{SELECT count(*) FROM ctms.emails WHERE first_name = 'lost'}), 0,
    'this test does lose what is not flushed');

lose_wal_after(q{SELECT run_id FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours')});
is(run('runner'), 'r', 'the beginning of a run');
is(lose_wal_after(q{SELECT claimed FROM ctms.claim_acoustic_bulk(1, 'r', NULL, 150, 6)}), 150,
    'a claim');
is(held(), 150, 'what it holds');
is(run('contacts'), 150, 'and the run knows how many');
lose_wal_after(q{SELECT ctms.set_acoustic_bulk_state(1, 'r', 'importing')});
is(run('state'), 'importing', 'a state');
lose_wal_after(q{SELECT ctms.put_acoustic_bulk_file(1, 'r', 'main', 1, 'x', 'starting', 150, 9,
    NULL, 0, NULL, NULL, NULL)});
is($ctms->sql('SELECT state FROM ctms.acoustic_bulk_file'), 'starting',
    'and that an import may have been started');
$ctms->sql(q{SELECT ctms.set_acoustic_bulk_state(1, 'r', 'settling')});

# Settling may be lost, and is then done again; the next state is not there without it.
is(lose_wal_after(q{SELECT ctms.settle_acoustic_bulk(1, 'r', 100)}), 100, 'settling');
is(held() . ' ' . run('sent'), '150 0', 'may be lost, with what it has counted');
is($ctms->sql(q{SELECT ctms.settle_acoustic_bulk(1, 'r', 100)}), 100, 'and is done again');
lose_wal_after(q{SELECT ctms.settle_acoustic_bulk(1, 'r'); SELECT ctms.settle_acoustic_bulk(1, 'r');
    SELECT ctms.set_acoustic_bulk_state(1, 'r', 'cleaning')});
is(held() . ' ' . run('state || sent'), '0 cleaning150', 'but never after the state that follows');

# A database that stops and comes back: the run is as it was.
$ctms->sql(q{SELECT ctms.set_acoustic_bulk_state(1, 'r', 'done');
    SELECT ctms.begin_acoustic_bulk('r', '1 hour', '6 hours');
    SELECT ctms.claim_acoustic_bulk(run_id, 'r', NULL, 30, 6)
    FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL});
$ctms->crash_database;
is($ctms->sql(q{SELECT count(*) FROM ctms.begin_acoustic_bulk('s', '1 hour', '6 hours')}), 0,
    'a run outlives the database, and so does its lease');
is($ctms->sql(q{SELECT attempt, contacts, state
    FROM ctms.begin_acoustic_bulk('r', '1 hour', '6 hours')}), '2|30|claiming',
    'its runner goes on');
done_testing();
