package CTMS::PgBackRest;

# pgBackRest for a test: backups of the cluster of a CTMS::Test, and servers that are restored from
# them beside it. Repository and configuration are in the test's folder.
#
#   plan skip_all => CTMS::PgBackRest::missing() if CTMS::PgBackRest::missing();
#   my $backrest = CTMS::PgBackRest->new($ctms);           # the server archives from now on
#   my $label = $backrest->backup('full');
#   my $point = $backrest->point('before');                # nobody writes while it is taken
#   my $copy = $backrest->restore('copy', '--type=name', '--target=before', "--set=$label");
#
# point() returns what was there: rows and positions of sequences, as state() does, the time and
# the LSN. Of state(), behind() and point_of() others make use too. restore() returns a CTMS::Test
# of a server that has come to the end of its recovery.

use strict;
use warnings;
use CTMS::Data;
use CTMS::Test qw(poll_until);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;

sub missing
{
    return (grep { -x "$_/pgbackrest" } split /:/, $ENV{PATH}) ? '' : 'pgbackrest is not installed';
}

sub new
{
    my ($class, $ctms) = @_;
    my $node = $ctms->node;
    my $self = bless { ctms => $ctms, config => $node->basedir . '/pgbackrest.conf' }, $class;
    mkdir $_, 0700 or die "$_: $!" for map { $node->basedir . "/$_" } qw(repository backrest_log);
    open my $out, '>', $self->{config} or die "$self->{config}: $!";
    printf {$out} <<'CONF', map({ $node->basedir . "/$_" } qw(repository backrest_log lock spool)),
[global]
repo1-path=%s
repo1-retention-full=4
repo1-bundle=y
log-path=%s
lock-path=%s
spool-path=%s
start-fast=y
compress-type=none
process-max=2
log-level-stderr=off
archive-timeout=30

[ctms]
pg1-path=%s
pg1-port=%s
pg1-socket-path=%s
CONF
        $node->data_dir, $node->port, $node->host;
    close $out;
    my $push = "pgbackrest --config=$self->{config} --stanza=ctms archive-push %p";
    $node->append_conf('postgresql.conf',
        "archive_mode = on\nwal_level = replica\narchive_command = '$push'\n");
    $node->restart;
    return $self;
}

# What guides need, so that their "pgbackrest --stanza=ctms" is this one.
sub environment { return (PGBACKREST_CONFIG => $_[0]{config}) }

sub run
{
    my ($self, @arguments) = @_;
    IPC::Run::run([ 'pgbackrest', "--config=$self->{config}", '--stanza=ctms', @arguments ],
        '<', \'', '>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
    die "pgbackrest @arguments: $out$err" if $?;
    return $out;
}

sub backups { return @{ decode_json($_[0]->run('info', '--output=json'))->[0]{backup} } }

# Its label is what --set takes.
sub backup
{
    my ($self, $type) = @_;
    $self->run("--type=$type", 'backup');
    return ($self->backups)[-1]{label};
}

# ---- what is there -------------------------------------------------------------------------------

# Reads all of it in one session, after some other SQL; what a last statement returns is returned
# too. Rows can be compared. A sequence that was recovered may be ahead, never behind.
sub state
{
    my ($ctms, $before, $after) = @_;
    my $relations = CTMS::Data::relations($ctms->node, 'ctms');
    my @names = sort keys %$relations;
    my ($answer, @lines) = reverse split /\n/, $ctms->sql(join ";\n", $before // (),
        map({ CTMS::Data::content_query($_, $relations->{$_}) } @names), $after // 'SELECT 1');
    @lines = reverse @lines;
    my %state = (answer => $answer);
    for my $name (@names)
    {
        my $line = shift @lines;
        if ($relations->{$name}) { push @{ $state{rows} }, "$name $line" }
        else { ($state{sequences}{$name}) = split /\|/, $line }
    }
    $state{rows} = join "\n", @{ $state{rows} };
    return \%state;
}

# The sequences that are behind an earlier state.
sub behind
{
    my ($now, $then) = map { $_->{sequences} } @_;
    return join ' ', grep { $now->{$_} < $then->{$_} } sort keys %$then;
}

# The state of a moment at which nobody is writing, and its time and LSN. Who writes is waited for;
# in a deadlock it is this session that ends, because it looks first.
sub point_of
{
    my ($ctms, $name) = @_;
    my $tables = $ctms->sql(q{SELECT string_agg(oid::regclass::text, ', ' ORDER BY oid)
        FROM pg_class WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'r'
            AND relpersistence = 'p'});
    my $state;
    poll_until(sub {
        $state = eval {
            local $SIG{__DIE__};
            state($ctms, "SET deadlock_timeout = '20ms'; BEGIN; LOCK TABLE $tables IN SHARE MODE",
                "SELECT pg_create_restore_point('$name'), clock_timestamp()");
        };
    }, 'nobody writes', 60);
    @$state{qw(lsn time)} = split /\|/, $state->{answer};
    return $state;
}

sub point { my ($self, $name) = @_; return point_of($self->{ctms}, $name) }

# All that was written so far is in the repository.
sub archive
{
    my ($self) = @_;
    my $segment = $self->{ctms}->sql(q{SELECT pg_walfile_name(pg_switch_wal() - 1)});
    $self->{ctms}->node->poll_query_until('postgres',
        "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver")
        or die "$segment is not archived";
    return;
}

# ---- restoring -----------------------------------------------------------------------------------

sub restore
{
    my ($self, $name, @arguments) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    mkdir $node->data_dir, 0700 or die $node->data_dir . ": $!";
    push @arguments, '--target-action=promote' if grep { /^--target=/ } @arguments;
    $self->run('--pg1-path=' . $node->data_dir, '--archive-mode=off', @arguments, 'restore');
    $node->append_conf('postgresql.conf', 'port = ' . $node->port . "\n");
    $node->start;
    $node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
        or die "$name: no end of recovery";
    return $self->{ctms}->beside($node);
}

1;
