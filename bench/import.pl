# How long `ctms import ctms-api` takes for a million contacts, from both layouts of an older
# database, on a private server that writes durably; then again, and after it was killed on the way.
# Every row is compared with what the rules say. Run by "make bench-import".
#
# CTMS_BENCH_CONTACTS (1000000), CTMS_BENCH_LAYOUTS ("older waitlists"), CTMS_BENCH_SEED (where it
# is killed), CTMS_BENCH_PREFIX (a command before the measured one, such as "taskset -c 0").
use strict;
use warnings;
use CTMS::Adoption qw(differences make_older);
use CTMS::Bench qw(setting);
use CTMS::Test qw(poll_until);
use IPC::Run;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $contacts = setting(CONTACTS => 1_000_000);
my $seed = setting(SEED => time);
srand $seed;
my $ctms = CTMS::Bench->new('bench_import', no_extension => 1,
    conf => "shared_buffers = 512MB\nmaintenance_work_mem = 256MB\n");
my $json = JSON::PP->new->utf8;
my @prefix = split ' ', setting(PREFIX => '');

sub command
{
    my ($database) = @_;
    return [ @prefix, "$ENV{CTMS_TEST_BIN}/ctms", 'import', 'ctms-api', $ctms->db_url($database),
        '--schema', 'older', '--json',
        '--left-out', "$ENV{TESTDIR}/left-out.jsonl", '--db-url', $ctms->db_url($database)
        . '&user=operator&application_name=adopt' ];
}

sub import_older
{
    my ($database, $name) = @_;
    my ($out, $err) = ('', '');
    my $start = time;
    IPC::Run::run(command($database), \'', \$out, \$err);
    my $seconds = time - $start;
    is($?, 0, $name) or diag $err;
    my $tables = $json->decode($out)->{tables};
    my ($read, $stored) = (0, 0);
    $read += $_->{source}, $stored += ($_->{created} // 0) + ($_->{updated} // 0)
        for values %$tables;
    diag sprintf '%-30s %9d contacts %9d rows read %9d stored %7.1f s %8.0f rows/s', $name,
        $tables->{emails}{source}, $read, $stored, $seconds, $read / $seconds;
    return $seconds;
}

$ctms->node->safe_psql('postgres', 'CREATE ROLE operator LOGIN');
for my $layout (split ' ', setting(LAYOUTS => 'older waitlists'))
{
    my $database = "bench_$layout";
    my $node = $ctms->node;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, 'CREATE EXTENSION ctms; GRANT ctms_admin TO operator;
        CREATE SCHEMA older; GRANT USAGE ON SCHEMA older TO operator;
        ALTER DEFAULT PRIVILEGES IN SCHEMA older GRANT SELECT ON TABLES TO operator');
    is(make_older($ctms, $database, $layout, 'older', $contacts), '', "$layout: an older database");
    $node->safe_psql($database, 'VACUUM ANALYZE; CHECKPOINT');

    # Killed somewhere on the way: nothing is stored.
    my ($out, $err) = ('', '');
    my $handle = IPC::Run::start(command($database), \'', \$out, \$err);
    my $wait = 0.1 + rand($contacts / 40_000);
    sleep $wait;
    die "ctms: $contacts contacts are imported before that can be killed\n" if !$handle->pumpable;
    my $activity = $node->safe_psql($database,
        "SELECT left(query, 60) FROM pg_stat_activity WHERE application_name = 'adopt' LIMIT 1");
    $handle->signal('KILL');
    eval { IPC::Run::finish($handle) };
    poll_until(sub { $node->safe_psql($database, "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'adopt'") == 0 }, 'its session ends', 600);
    diag sprintf "%s: killed after %.1f s (seed %s) in: %s", $layout, $wait, $seed, $activity;
    is($node->safe_psql($database, 'SELECT (SELECT count(*) FROM ctms.emails) + (SELECT count(*)
        FROM ctms.newsletters)'), 0, "$layout: killed: nothing is stored");

    import_older($database, "$layout: import");
    my $difference = differences($ctms, $database, $layout);
    like($difference->{$_}, qr/^[1-9]\d*\|0\|0$/, "$layout: $_, row by row: $difference->{$_}")
        for sort keys %$difference;
    import_older($database, "$layout: again, no change");
    is($node->safe_psql($database, 'SELECT count(*) FROM ctms.pending_acoustic'), 0,
        "$layout: nothing is enqueued");
    $node->safe_psql('postgres', "DROP DATABASE $database");
}
done_testing();
