# A cluster (scripts/Cluster.pm) is taken back to a point in time, as docs/backup.md says: backups
# under load, before and after another node has become the leader; then mistakes. At the point every
# row is as it was, also on the replicas, and people who were deleted later are deleted again. Then
# REST and agents go on, and Acoustic holds exactly what the database holds.
use strict;
use warnings;
use Test::More;
use lib "$ENV{CTMS_TEST_TOP}/scripts";

BEGIN
{
    require Cluster;
    my $missing = Cluster::missing();
    plan skip_all => "a cluster needs $missing" if $missing;
    Cluster::enter();
}

# A database as CTMS::Test has one. Passwords are in a file.
package Database;
use CTMS::ClusterLoad;

sub new
{
    my ($class, $cluster, $url) = @_;
    my ($without) = CTMS::ClusterLoad::login_of($url);
    return bless { url => $without, basedir => $cluster->{folder},
        sandbox_port => $cluster->port('sandbox') }, $class;
}
sub node { return $_[0] }
sub basedir { return $_[0]{basedir} }
sub db_url { return $_[0]{url} }
sub safe_psql { my ($self, undef, $query) = @_; return $self->sql($query) }

sub sql
{
    my ($self, $query) = @_;
    my ($out, $err) = ('', '');
    IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $self->{url} ], '<', \$query,
        '>', \$out, '2>', \$err, IPC::Run::timeout(120)) or die "psql: $err";
    chomp $out;
    return $out;
}

package main;
use CTMS::BulkWriter;
use CTMS::Guide;
use CTMS::PgBackRest;
use CTMS::SandboxRows qw(differences);
use CTMS::Test qw(poll_until slurp);
use HTTP::Tiny;
use Time::HiRes qw(time);

my $begun = time;
sub lap { return note sprintf '%.1f s: %s', time - $begun, $_[0] }
my $seed = $ENV{CTMS_TEST_SEED} // int rand 1 << 30;
diag "seed $seed";

my $cluster = Cluster->new(folder => "$ENV{TESTDIR}/cluster_restore",
    programs => $ENV{CTMS_TEST_BIN}, bindir => (grep { -x "$_/postgres" } split /:/, $ENV{PATH})[0],
    examples => "$ENV{CTMS_TEST_TOP}/examples/cluster", note => sub { note @_ });
END { local $?; $cluster->stop if $cluster }
$cluster->start;
lap('the cluster is up');
$ENV{PGPASSFILE} = "$cluster->{folder}/pgpass";
my $live = Database->new($cluster, $cluster->db_url('primary', 'postgres'));
$live->sql(q{SELECT ctms.set_setting('acoustic_deletions', 'on'),
    ctms.set_setting('acoustic_skip_unchanged', 'on'),
    ctms.set_setting('acoustic_retry_delay', '200ms')});
CTMS::BulkWriter::set_up($live, 200);

# ---- backups, and another leader -----------------------------------------------------------------

my $writer = CTMS::BulkWriter->new($live, seed => $seed, deletes => 1);
$cluster->backup('full');
my $first = $cluster->leader;
is($writer->stop, '', 'no change fails during a backup');
$cluster->switchover;
poll_until(sub { ($cluster->leader // $first) ne $first }, 'another node leads', 60);
$cluster->wait_healthy;
$writer = CTMS::BulkWriter->new($live, seed => $seed + 1, deletes => 1);
$cluster->backup('incr');
lap('a full backup, another leader, and an incremental one');
my $point = CTMS::PgBackRest::point_of($live, 'before the mistake');
is($writer->stop, '', 'nor during the next, on another timeline');

sub let_change
{
    my ($database) = @_;
    my $from = $database->sql('SELECT last_value FROM public.version');
    return poll_until(sub { $database->sql('SELECT last_value FROM public.version') > $from + 50 },
        'changes go on', 60);
}

# ---- mistakes, and what people do meanwhile ------------------------------------------------------

my ($gone) = split /\n/, $live->sql('SELECT primary_email FROM ctms.emails ORDER BY email_id');
$live->sql(qq{
    DELETE FROM ctms.newsletters;
    SELECT ctms.drop_waitlist_schema('relay');
    SELECT ctms.delete_contact('$gone');
    INSERT INTO ctms.emails (primary_email) VALUES ('later\@example.com');
    UPDATE ctms.emails SET last_name = 'later' WHERE right(email_id::text, 1) IN ('0', '7');
    CREATE SCHEMA kept; CREATE TABLE kept.by_mistake ()});
sub queue_is_empty
{
    return poll_until(sub { $live->sql('SELECT (SELECT count(*) FROM ctms.pending_acoustic)
        + (SELECT count(*) FROM ctms.acoustic_deleted_contact WHERE is_to_send)') == 0 },
        'all is sent', 60);
}
queue_is_empty();
lap('mistakes, and all of it is at Acoustic');

# ---- back to the point ---------------------------------------------------------------------------

my $timeline = $cluster->sql($cluster->leader, 'SELECT timeline_id FROM pg_control_checkpoint()');
my $node = $cluster->leader;
my @commands;
{
    no warnings 'redefine';
    my $run_on = \&Cluster::run_on;
    local *Cluster::run_on = sub { push @commands, [ @_[ 2 .. $#_ ] ]; goto &$run_on };
    $cluster->restore($point->{time});
}
lap('the cluster is at the point');
is($cluster->leader, $node, 'the leader leads again');
my $now = CTMS::PgBackRest::state($live);
is($now->{rows}, $point->{rows}, 'every row is as it was');
# The positions themselves may be lower: a replica has those to which the log was ahead, and goes on
# from there when it is promoted, which the log does not tell.
is(join(' ', grep { is_behind($_) } qw(newsletters waitlists fxa amo mofo)), '',
    'no sequence is behind what it gave');
sub is_behind
{
    my ($table) = @_;
    return $live->sql("SELECT max(id) > (SELECT last_value FROM ctms.${table}_id_seq)
        FROM ctms.$table") eq 't';
}
is($live->sql(q{SELECT to_regnamespace('kept') IS NULL}), 't', 'what was made later is not there');
cmp_ok($cluster->sql($node, 'SELECT timeline_id FROM pg_control_checkpoint()'), '>', $timeline,
    'on a timeline of its own');
sub local_url
{
    return 'postgresql:///ctms?user=postgres&host=' . $cluster->files->sockets($_[0]);
}
for my $replica ($cluster->replicas)
{
    my $copy = Database->new($cluster, local_url($replica));
    is($copy->sql('SELECT pg_is_in_recovery()'), 't', "$replica is a replica");
    is(CTMS::PgBackRest::state($copy)->{rows}, $point->{rows}, 'with the same rows');
}
is(scalar(grep { $cluster->{processes}->is_running($_) } qw(rest1 rest2 agent1 agent2)), 0,
    'neither REST servers nor agents run');

# The commands of the guide are those that were run here, in that order, on other files.
my ($section) = slurp("$ENV{CTMS_TEST_TOP}/docs/backup.md")
    =~ /^## A point in time with Patroni\n(.*?)^## /ms;
my @said = grep { !/^(?:mv|mkdir) / } map { s/^ +//r } map { split /\n/ }
    $section =~ /^ *```bash\n(.*?)^ *```$/msg;
my %means = (DATA => "$cluster->{folder}/$node/data", TIME => $point->{time});
for (@said)
{
    s/"?\$(\w+)"?/$means{$1}/g;
    my ($program, $what) = (/^(\w+)/, /(\w+)(?: ctms)?$/);
    my @words = map { s/"//gr } grep { /^-/ && !/^-o|^-c$/ } /(--target=\S+ \S+|\S+)/g;
    my $next;
    do { $next = shift @commands } until !$next || "@$next" =~ /\b$program\b/;
    my $run = join ' ', @{ $next // [] };
    is(join(' ', grep { index($run, $_) < 0 } @words, $what), '', "was run: $_") or diag $run;
}

# ---- afterwards ----------------------------------------------------------------------------------

my $lost = $cluster->start_lost($node);
my $host = { host => $cluster->files->sockets($node), port => 5432 };
my $guide = CTMS::Guide->new('backup', 'Afterwards', bless $host, 'Host');
sub Host::host { return $_[0]{host} }
sub Host::port { return $_[0]{port} }
my %variables = (LIVE => $live->db_url, LOST => $lost,
    CTMS_DB_URL => $live->db_url, PATH => "$ENV{CTMS_TEST_BIN}:$ENV{PATH}",
    PGBACKREST_CONFIG => "$cluster->{folder}/$node/pgbackrest.conf");
$guide->skip_variables;
for my $step ('a run ends', 'what differs', 'who was deleted', 'deleted people',
    'clients', 'what was added', 'sent again', 'the end')
{
    $guide->run($step, %variables);
}
$guide->finish;
$cluster->stop_lost($node);
is($live->sql("SELECT count(*) FROM ctms.emails WHERE primary_email = '$gone'"), 0,
    'who was deleted after the point is deleted again');
lap('the guide is done');

$cluster->start_programs;
poll_until(sub { HTTP::Tiny->new(timeout => 3)->get(
        $cluster->rest_url . '/__heartbeat__')->{status} == 200 }, 'REST is up', 60);
$writer = CTMS::BulkWriter->new($live, seed => $seed + 2, deletes => 1);
let_change($live);
is($writer->stop, '', 'no change fails');
queue_is_empty();
is(join(' ', differences($live)), '', 'Acoustic holds what the database holds');
lap('all goes on');

$cluster->stop;
undef $cluster;
done_testing();
