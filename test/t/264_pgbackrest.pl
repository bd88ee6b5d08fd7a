# pgBackRest, as docs/backup.md says: backups under load, full and incremental; restored to the end,
# to points in time, and to points inside a run by file. What is there is compared row by row. After
# a restore to a point the guide brings Acoustic into step: it then holds exactly what the database
# holds, also what the point does not know of.
use strict;
use warnings;
use CTMS::BulkRuns qw(set_up folders enqueue runner_at let_go end_of watch_points waiting calm);
use CTMS::BulkWriter;
use CTMS::Guide;
use CTMS::PgBackRest;
use CTMS::SandboxRows qw(differences);
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

for my $why (CTMS::PgBackRest::missing(), CTMS::Sftp::no_server())
{
    plan skip_all => $why if $why;
}

my $began = time;
sub lap { return note sprintf '%.1f s: %s', time - $began, $_[0] }

my ($ctms, $sftp) = set_up('pgbackrest', conf => "fsync = on\n", settings => {
    acoustic_deletions => 'on', acoustic_skip_unchanged => 'on', acoustic_retry_delay => '50ms' });
my $node = $ctms->node;
my ($root, $spool) = folders();
CTMS::BulkWriter::set_up($ctms, 300);
my $backrest = CTMS::PgBackRest->new($ctms);
my @environment = ($backrest->environment, CTMS_DB_URL => $ctms->db_url,
    PATH => "$ENV{CTMS_TEST_BIN}:$ENV{PATH}");
my $seed = $ENV{CTMS_TEST_SEED} // int rand 1 << 30;
note "seed $seed";

sub let_change
{
    my $from = $ctms->sql('SELECT last_value FROM public.version');
    return poll_until(sub { $ctms->sql('SELECT last_value FROM public.version') > $from + 50 },
        'changes go on');
}

# ---- backups under load ------------------------------------------------------------------------

my $guide = CTMS::Guide->new('backup', 'Setting up', $node);
my $writer = CTMS::BulkWriter->new($ctms, seed => $seed, deletes => 1);
$ctms->start_agent;
$guide->run('a full backup under load', @environment);
$guide->finish;
my $full = ($backrest->backups)[-1]{label};
my %point = (name => $backrest->point('first'));
lap('a full backup, and a point');
let_change();
my $incremental = $backrest->backup('incr');
like($incremental, qr/^\Q$full\E_[\d-]+I$/, 'an incremental backup under load');
$point{time} = $backrest->point('second');
let_change();
$point{lsn} = $backrest->point('third');
is($writer->stop, '', 'no change failed meanwhile');
$ctms->stop_program('agent');
$guide = CTMS::Guide->new('backup', 'Watching', $node);
$guide->run('the repository is well', @environment);
$guide->finish;
lap('an incremental backup, and two points');

# ---- everything --------------------------------------------------------------------------------

# Data files are lost and others are damaged: all that was committed is there, also what was not
# archived yet.
$backrest->archive;
# What the agent did at last is committed.
$node->poll_query_until('ctms', 'SELECT NOT EXISTS (SELECT FROM ctms.acoustic_agent)')
    or die 'the agent is still there';
$ctms->sql("UPDATE ctms.emails SET last_name = 'not archived'");
my $state = CTMS::PgBackRest::state($ctms);
$node->stop('immediate');
my @files = grep { -s > 8192 } glob $node->data_dir . '/base/*/[1-9]*';
unlink @files[ grep { $_ % 2 } 0 .. $#files ];
truncate $files[$_], 8192 for grep { $_ % 2 == 0 } 0 .. $#files;
$guide = CTMS::Guide->new('backup', 'Everything', $node);
$guide->skip_variables;
my @folders = (DATA => $node->data_dir, WAL => $node->basedir . '/last_wal');
$guide->run('PostgreSQL is stopped', @environment, @folders);
$guide->run('restored', @environment, @folders);
$guide->finish;
$node->_update_pid(1);
my $now = CTMS::PgBackRest::state($ctms);
is($now->{rows}, $state->{rows}, 'every row is there');
is(CTMS::PgBackRest::behind($now, $state), '', 'no sequence is behind');
lap('everything restored');

# ---- points in time ----------------------------------------------------------------------------

# Points by time are below.
my %target = (name => [ '--target=first', "--set=$full" ], lsn => ["--target=$point{lsn}{lsn}"]);
for my $type (sort keys %target)
{
    my $copy = $backrest->restore("point_$type", "--type=$type", @{ $target{$type} });
    my $there = CTMS::PgBackRest::state($copy);
    is($there->{rows}, $point{$type}{rows}, "by $type: every row and the queue as they were");
    is(CTMS::PgBackRest::behind($there, $point{$type}), '', 'no sequence is behind');
    like($copy->sql_error(q{INSERT INTO ctms.waitlists (email_id, name, fields)
        SELECT email_id, 'vpn', '{"geo": 1}' FROM ctms.emails LIMIT 1})->{state}, qr/CT001/,
        'schemas hold');
    my $held = $copy->sql(q{INSERT INTO ctms.emails (primary_email) VALUES ('later@example.com');
        SELECT count(*) FROM ctms.pending_acoustic WHERE lease_until > now()});
    is($copy->sql(q{SELECT count(*) > 0 FROM ctms.claim_acoustic('x', 1000, 6, '1 min');
        SELECT count(*) FROM ctms.pending_acoustic WHERE lease_until > now()
            AND lease_owner <> 'x'}), "t\n$held", 'agents go on, and leave what another holds');
    $copy->node->stop;
}
lap('points restored');

# ---- points inside a run by file ---------------------------------------------------------------

my %bulk = ($sftp->settings, CTMS_ACOUSTIC_BULK_DIRECTORY => $spool,
    CTMS_ACOUSTIC_BULK_POLL_S => 0.1, CTMS_ACOUSTIC_LEASE_S => 20, CTMS_ACOUSTIC_TIMEOUT_S => 1);

# An agent sends what waits.
sub send_all
{
    my ($where) = @_;
    $where->start_agent;
    poll_until(sub { $where->sql('SELECT (SELECT count(*) FROM ctms.pending_acoustic)
        + (SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE is_to_send)') == 0 },
        'all is sent', 60);
    $where->stop_program('agent');
    return;
}

# The guide, where the second argument is the state that is given up. Without its last step, which
# backs up; who goes back and forth leaves out the deletions too.
sub bring_into_step
{
    my ($to, $lost, @without) = @_;
    my $after = CTMS::Guide->new('backup', 'Afterwards', $to->node);
    my %variables = ($backrest->environment, PATH => "$ENV{CTMS_TEST_BIN}:$ENV{PATH}",
        LIVE => $to->db_url, LOST => ref $lost ? $lost->db_url : $lost, %{ $to->agent_env(%bulk) });
    $after->skip_variables;
    my %printed;
    my @steps = ('a run ends', 'what differs', 'who was deleted', 'deleted people', 'clients',
        'what was added', 'sent again', 'the end');
    for my $step (@steps)
    {
        if (grep { $_ eq $step } @without) { shift @{ $after->{blocks} } }
        else { $printed{$step} = $after->run($step, %variables) }
    }
    $after->finish;
    return \%printed;
}

sub same_as_acoustic
{
    my ($where, $what) = @_;
    my $differences = join ' ', differences($where);
    $where->sql('DROP SCHEMA sandbox CASCADE');
    return is($differences, '', $what // 'Acoustic holds what the database holds');
}

# Some contacts, by their number.
sub people
{
    my ($first, $count) = @_;
    return "SELECT email_id FROM ctms.emails JOIN public.people USING (email_id)
        ORDER BY n OFFSET $first LIMIT $count";
}

send_all($ctms);
same_as_acoustic($ctms);
my ($rc, $out, $err) = $ctms->cli(qw(clients add point --email point@example.com));
watch_points();
my @runs = $ENV{CTMS_TEST_POINTS} ? split /,/, $ENV{CTMS_TEST_POINTS}
    : ('file running', 'run settling');
my @times;
for my $n (0 .. $#runs)
{
    enqueue();
    my $runner = runner_at($runs[$n]);
    $ctms->sql("UPDATE ctms.emails SET first_name = 'held $n' WHERE email_id IN (${\people(0, 5)});
        SELECT pg_create_restore_point('run $n')");
    push @times, $ctms->sql('SELECT clock_timestamp()');
    let_go();
    is(end_of($runner)->{outcome}, 'done', "$runs[$n]: the run has ended");
    # Contacts change, lose and get rows, are deleted and made.
    $ctms->sql(qq{
        UPDATE ctms.emails SET first_name = 'after $n' WHERE email_id IN (${\people(3, 5)});
        DELETE FROM ctms.newsletters WHERE email_id IN (${\people(20, 5)});
        INSERT INTO ctms.newsletters (email_id, name)
            SELECT email_id, 'late$n' FROM (${\people(10, 5)}) AS p;
        SELECT count(ctms.delete_contact(primary_email)) FROM ctms.emails
            WHERE email_id IN (${\people(100, 3)});
        INSERT INTO ctms.emails (primary_email) SELECT 'new$n-' || n || '\@example.com'
            FROM generate_series(1, 3) AS n;
        INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'new' FROM ctms.emails
            WHERE primary_email LIKE 'new$n-%'});
    send_all($ctms);
}
$ctms->cli(qw(clients rotate-secret id_point --yes));
same_as_acoustic($ctms);
lap(@runs . ' runs by file');

# The run is open again. It is given up, and what came later is undone at Acoustic.
sub after_restore
{
    my ($n, $where, $bring) = @_;
    is($where->sql('SELECT count(*) FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL'), 1,
        "$runs[$n]: the run is open again");
    is($where->sql(q{SELECT count(*) > 0 FROM ctms.pending_acoustic
        WHERE lease_owner LIKE 'bulk %' AND lease_until > now()}), 't', 'and holds contacts');
    $bring->();
    is($where->sql(q{SELECT
        (SELECT count(*) FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL)
        + (SELECT count(*) FROM ctms.pending_acoustic WHERE lease_until > now())}), 0,
        'the run is given up, and nothing is held');
    is($where->sql("SELECT count(*) FROM ctms.emails WHERE first_name = 'held $n'"), 5,
        'what was changed before the point is there');
    is($where->sql("SELECT count(*) FROM ctms.emails WHERE first_name = 'after $n'"), 0,
        'what came later is not');
    send_all($where);
    same_as_acoustic($where);
    is(join(' ', glob "$root/upload/*"), '', 'no file is left');
    return lap("restored to the point $runs[$n]");
}

$backrest->archive;
my $backup = ($backrest->backups)[-1]{label};
for my $n (0 .. $#runs - 1)
{
    my $copy = $backrest->restore("run_$n", '--type=name', "--target=run $n", "--set=$backup");
    after_restore($n, $copy, sub { bring_into_step($copy, $ctms, 'the end') });
    # And forward again.
    bring_into_step($ctms, $copy, 'who was deleted', 'deleted people', 'the end');
    send_all($ctms);
    $ctms->sql('DROP SCHEMA lost CASCADE');
    same_as_acoustic($ctms);
    $copy->node->stop;
}

# ---- the guide as a whole ----------------------------------------------------------------------

my $port = PostgreSQL::Test::Cluster::get_free_port();
my %variables = (@environment, DATA => $node->data_dir, LOST => $node->basedir . '/lost',
    TIME => $times[-1]);
$guide = CTMS::Guide->new('backup', 'A point in time', $node);
is(s/-p 5433/-p $port/ + 0, 1, 'the port') for grep { /5433/ } @{ $guide->{blocks} };
$guide->skip_variables;
like($guide->run('nobody is left', %variables), qr/\(0 rows\)/, 'but us');
$guide->run('the old data is kept', %variables);
$guide->run('restored', %variables);
$guide->wait_for('recovery is done', 'f', %variables);
$guide->run('the old data beside', %variables);
$guide->finish;
$node->_update_pid(1);
my $old = "postgresql:///ctms?host=${\$node->host}&port=$port";
my $printed;
after_restore($#runs, $ctms, sub {
    isnt(join(' ', differences($ctms)), '', 'Acoustic does not hold what the database holds');
    $ctms->sql('DROP SCHEMA sandbox CASCADE');
    $printed = bring_into_step($ctms, $old);
});
like($printed->{clients}, qr/^[<>] id_point\b/m, 'the client whose secret was changed is named');
is(scalar(grep { $_->{type} eq 'full' } $backrest->backups), 2, 'there is a full backup');
system_or_bail('pg_ctl', '-s', '-D', $variables{LOST}, 'stop');

done_testing();
