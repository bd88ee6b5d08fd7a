package CTMS::Bench;

# A ctms for a benchmark: a CTMS::Test whose commits are durable, as those of a real server are, on
# one or several kinds of disks. It first tells what it measures on.
#
#   use CTMS::Bench qw(setting by_turns middle ratio);
#   my $turns = setting(TURNS => 3);                      # CTMS_BENCH_TURNS
#   my $bench = CTMS::Bench->new('rest', conf => 'shared_buffers = 2GB');
#   for my $disk ($bench->disks)                          # CTMS_BENCH_DISKS
#   {
#       $bench->use_disk($disk);
#       my ($one, $other) = by_turns($turns, sub { +{ rate => … } }, sub { … });
#       diag sprintf '%s: %.0f %.2f', $disk, middle($one, 'rate'), ratio($other, $one, 'rate');
#   }
#
# CTMS_BENCH_DISKS (native), with commas between them: "native" is the disk as it is; a number the
# same with flushes that take so many milliseconds more; "replica" the disk as it is and a
# synchronous replica on the same machine.

use strict;
use warnings;
use parent -norequire, 'CTMS::Test';
use CTMS::Test qw(poll_until slurp);
use Exporter 'import';
use Fcntl qw(O_DSYNC O_WRONLY);
use List::Util qw(sum0);
use POSIX ();
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT_OK = qw($PROCESSOR_US by_turns ended_s middle median processor_s quantile ratio ratios
    setting spew);

my %given = map { /^CTMS_BENCH_(.*)/ ? ($1 => $ENV{$_}) : () } keys %ENV;

sub setting { my ($name, $default) = @_; return $given{$name} // $default }

# No checkpoint begins in one turn and not in the others: benchmarks ask for them.
my $CONF = <<'CONF';
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
max_wal_senders = 4
checkpoint_timeout = 1h
max_wal_size = 16GB
max_connections = 300
log_statement = none
log_connections = off
log_disconnections = off
log_replication_commands = off
CONF

sub new
{
    my ($class, $name, %options) = @_;
    my @disks = split /,/, setting(DISKS => 'native');
    my @unknown = grep { !/^(?:native|replica|\d+(?:\.\d+)?)$/ || /^\d/ && ($_ <= 0 || $_ > 100) }
        @disks;
    die "ctms: no such disk: @unknown (native, replica, or milliseconds up to 100)\n" if @unknown;
    die "ctms: no disk to measure on\n" if !@disks;
    # The programs that are started have no such settings.
    delete @ENV{ map { "CTMS_BENCH_$_" } keys %given };
    my $self = CTMS::Test::new($class, $name, %options, conf => $CONF . ($options{conf} // ''));
    $self->{disks} = \@disks;
    $self->show_machine;
    return $self;
}

sub disks { return @{ $_[0]{disks} } }

# Clusters for tests give all sessions the name of the test. Those of a server get its own.
sub start_rest
{
    my ($self, %env) = @_;
    return $self->SUPER::start_rest(PGAPPNAME => $self->{name}, %env);
}

# A second REST server for a database of this cluster, with the token of the first.
sub start_beside
{
    my ($self, $name, %env) = @_;
    my $beside = (ref $self)->programs_only($name);
    @$beside{qw(node token)} = @$self{qw(node token)};
    $beside->start_rest(%env);
    return $beside;
}

# ---- what is measured on -----------------------------------------------------------------------

# Seconds for each of some writes of 8 kB that are flushed, as PostgreSQL flushes WAL: into a file
# that has its size already. O_DSYNC is a write and an fdatasync.
sub flushes_s
{
    my ($folder) = @_;
    my ($file, $block, $blocks, @times) = ("$folder/bench", 'x' x 8192, 512);
    spew($file, $block x $blocks);
    sysopen my $out, $file, O_WRONLY | O_DSYNC or die "$file: $!\n";
    my $end = time + 2;
    for (1 .. $blocks)
    {
        my $begun = time;
        (syswrite($out, $block) // 0) == length $block or die "$file: $!\n";
        push @times, time - $begun;
        last if time > $end;
    }
    close $out;
    unlink $file;
    return @times;
}

sub show_machine
{
    my ($self) = @_;
    my $folder = $self->node->data_dir . '/pg_wal';
    my @processors = slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
    my ($model) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)/m;
    my ($load) = slurp('/proc/loadavg') =~ /^(\S+)/;
    chomp(my $files = `stat -f -c %T '$folder'`);
    my @flushes = map { 1000 * $_ } flushes_s($folder);
    diag sprintf 'PostgreSQL %s, %d processors (%s), load %s; 8 kB written and flushed on %s:'
        . ' p50 %.2f ms, p99 %.2f ms', $self->node->safe_psql('postgres', 'SHOW server_version'),
        scalar @processors, $model // 'unknown', $load, $files,
        quantile(0.5, @flushes), quantile(0.99, @flushes);
    return;
}

# ---- disks ---------------------------------------------------------------------------------------

# Sessions that are open follow with their next command, and a standby is there when it is needed.
# Returns the milliseconds that a commit of one session takes.
sub use_disk
{
    my ($self, $disk) = @_;
    my $has_replica = $disk eq 'replica';
    # With commit_delay, who flushes for all first waits, alone in having the lock that it flushes
    # with: that is a flush of so much longer. Without siblings it does so for a lone commit too.
    my $delay_us = $disk =~ /^\d/ ? int(1000 * $disk) : 0;
    $self->start_standby if $has_replica;
    $self->node->safe_psql('postgres', $_) for "ALTER SYSTEM SET commit_delay = $delay_us",
        'ALTER SYSTEM SET commit_siblings = 0',
        "ALTER SYSTEM SET synchronous_standby_names = '" . ($has_replica ? '*' : '') . q('),
        'SELECT pg_reload_conf()';
    my $wanted = $delay_us . '|' . ($has_replica ? '*' : '');
    poll_until(sub { $wanted eq $self->node->safe_psql('postgres', q{SELECT concat_ws('|', setting,
        current_setting('synchronous_standby_names')) FROM pg_settings
        WHERE name = 'commit_delay'}) }, "the disk is $disk");
    # What commits wait for is told them by the checkpointer, which has read the settings when it
    # has made the next checkpoint. And each disk begins with one.
    $self->node->safe_psql('postgres', 'CHECKPOINT');
    $self->stop_standby if !$has_replica;
    return $self->show_commit($disk, $delay_us / 1000);
}

# A replica of this moment, which it returns; asynchronous unless the disk is "replica".
sub start_standby
{
    my ($self) = @_;
    return $self->{standby} if $self->{standby};
    my $number = ++$self->{standbys};
    $self->node->backup("standby$number");
    my $standby = PostgreSQL::Test::Cluster->new("standby$number");
    $standby->init_from_backup($self->node, "standby$number", has_streaming => 1);
    $standby->start;
    $self->node->wait_for_catchup($standby);
    return $self->{standby} = $standby;
}

sub stop_standby
{
    my ($self) = @_;
    my $standby = delete $self->{standby} or return;
    $standby->stop;
    $standby->clean_node;
    return;
}

# What a commit of one session takes is what the disk is for PostgreSQL.
sub show_commit
{
    my ($self, $disk, $least_ms) = @_;
    my $dir = $self->node->basedir;
    my $script = spew("$dir/commit.sql", "SELECT pg_logical_emit_message(true, 'bench', 'x');\n");
    my $server = '-h ' . $self->node->host . ' -p ' . $self->node->port;
    my $out = `pgbench -n -M prepared -T 1 -l --log-prefix=$dir/commit -f $script \\
        $server ctms 2>&1`;
    my @logs = glob "$dir/commit.*[0-9]";
    my @ms = map { (split)[2] / 1000 } map { split /\n/, slurp($_) } @logs;
    unlink @logs;
    die "ctms: could not measure a commit: $out" if !@ms;
    my $middle = quantile(0.5, @ms);
    die "ctms: a commit takes $middle ms: this is no flush of $disk ms\n" if $middle < $least_ms;
    diag sprintf 'disk %s: a commit of one session p50 %.2f ms, p99 %.2f ms', $disk, $middle,
        quantile(0.99, @ms);
    return $middle;
}

# ---- processor time ------------------------------------------------------------------------------

# In seconds, of processes that run.
sub processor_s { return sum0(map { (split ' ', slurp("/proc/$_/schedstat") || 0)[0] } @_) / 1e9 }

# Of sessions that have ended.
sub ended_s
{
    my ($ctms) = @_;
    my ($postmaster) = split /\n/, slurp($ctms->node->data_dir . '/postmaster.pid');
    my @field = split ' ', slurp("/proc/$postmaster/stat") =~ s/.*\) //sr;
    return ($field[13] + $field[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# For procedures that measure that of their own session, in microseconds. The kernel brings the
# figure up to date when the session gives up the processor.
our $PROCESSOR_US = <<'SQL';
CREATE FUNCTION public.processor_us() RETURNS numeric LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_sleep(0.0001);
    RETURN split_part(pg_read_file('/proc/self/schedstat', 0, 100), ' ', 1)::numeric / 1000;
END $$;
SQL

# ---- turns ---------------------------------------------------------------------------------------

# Measures by turns, each second time in the other order, so that a busy moment of the machine meets
# all. A measure returns a hash of figures; what is returned for it has a list in place of each.
sub by_turns
{
    my ($turns, @measures) = @_;
    my @results;
    for my $turn (1 .. $turns)
    {
        for my $i ($turn % 2 ? 0 .. $#measures : reverse 0 .. $#measures)
        {
            my $figures = $measures[$i]->();
            push @{ $results[$i]{$_} }, $figures->{$_} for keys %$figures;
        }
    }
    return @results;
}

# The value below which this part of all is.
sub quantile
{
    my ($part, @values) = @_;
    die "ctms: nothing was measured\n" if !@values;
    return (sort { $a <=> $b } @values)[ $#values * $part + 0.5 ];
}

sub median
{
    my @sorted = sort { $a <=> $b } @_;
    die "ctms: nothing was measured\n" if !@sorted;
    return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

# The median of a figure of by_turns(), and what one measure's is of another's, turn by turn.
sub middle { my ($result, $figure) = @_; return median(@{ $result->{$figure} // [] }) }
sub ratios
{
    my ($result, $of, $figure) = @_;
    my ($some, $others) = map { $_->{$figure} // [] } $result, $of;
    return map { $some->[$_] / ($others->[$_] || die "ctms: no $figure\n") } 0 .. $#$some;
}
sub ratio { return median(ratios(@_)) }

sub spew
{
    my ($file, $content) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $content;
    close $out or die "$file: $!\n";
    return $file;
}

1;
