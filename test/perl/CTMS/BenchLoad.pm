package CTMS::BenchLoad;

# Load for benchmarks: pgbench on the database of a CTMS::Test, http-load on its REST server. Both
# give the rate, p50 and p99 in milliseconds, and the processor time of a call in microseconds
# (pgbench: of the database, and its bytes of WAL). With "beside", another load of the same kind
# runs meanwhile, and its rate is given instead of these.
#
#   pgbench($ctms, script => 'SELECT …;', clients => 64, seconds => 2, contacts => 10_000)
#   rest($ctms, request => "GET /ctms/{line} HTTP/1.1", lines => $file, clients => 8, seconds => 2,
#       beside => { request => …, clients => 32 })
#
# A load that fails, or ends before what runs beside it, ends the benchmark.

use strict;
use warnings;
use CTMS::Bench qw(ended_s processor_s quantile spew);
use CTMS::Test qw(poll_until slurp);
use Exporter 'import';
use IPC::Run ();
use List::Util qw(max min);
use POSIX ();

our @EXPORT_OK = qw(http_load pgbench processes_of rest sessions_of);

# ---- pgbench -------------------------------------------------------------------------------------

# In a script, :n is the number of a contact and :r differs each time.
sub start_pgbench
{
    my ($ctms, $name, %load) = @_;
    my $script = "\\set n random(1, $load{contacts})\n\\set r random(1, 1000000000000000)\n";
    my $file = spew("$ENV{TESTDIR}/$name.sql", "$script$load{script}\n");
    my @command = ('pgbench', '-n', '-M', 'prepared', '-c', $load{clients}, '-j', 1, '-T',
        $load{seconds}, '-l', "--log-prefix=$ENV{TESTDIR}/$name", '-f', $file, '-h',
        $ctms->node->host, '-p', $ctms->node->port,
        'dbname=' . ($load{database} // 'ctms') . " application_name=$name");
    my $out = '';
    my $handle = IPC::Run::start(\@command, '<', \'', '>&', \$out);
    return { handle => $handle, out => \$out, name => $name };
}

# For each transaction when it ended, and the milliseconds that it took.
sub finish_pgbench
{
    my ($run) = @_;
    IPC::Run::finish($run->{handle});
    die "ctms: nothing was measured: ${$run->{out}}" if ${ $run->{out} } !~ /^tps = \d*[1-9]/m;
    my @logs = glob "$ENV{TESTDIR}/$run->{name}.[0-9]*";
    my @samples = map {
        my @column = split;
        [ $column[4] + $column[5] / 1e6, $column[2] / 1000 ];
    } map { split /\n/, slurp($_) } @logs;
    unlink @logs;
    return @samples;
}

# Sessions of pgbench that have been given a statement; those that it ends report what they wrote
# before they are gone from here.
sub at_work
{
    my ($ctms, $name) = @_;
    return $ctms->node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = '$name' AND query <> ''");
}

sub wal_bytes
{
    my ($ctms) = @_;
    poll_until(sub { at_work($ctms, 'pgbench') == 0 }, 'the sessions of pgbench have ended');
    return $ctms->node->safe_psql('postgres', 'SELECT wal_bytes FROM pg_stat_wal');
}

# Sessions make plans and see pages for the first time, many of them for longer: only what ends in
# the last seconds counts.
sub pgbench
{
    my ($ctms, %load) = @_;
    my $seconds = max($load{seconds}, int($load{clients} / 25));
    my $all_seconds = $seconds + 1 + POSIX::ceil($load{clients} / 50);
    my $others;
    if (my $beside = $load{beside})
    {
        $others = start_pgbench($ctms, 'beside', %load, %$beside, seconds => $all_seconds + 3);
        poll_until(sub { at_work($ctms, 'beside') >= $beside->{clients} }, 'it is at work beside');
    }
    my ($wal, $used) = (wal_bytes($ctms), ended_s($ctms));
    my @all = finish_pgbench(start_pgbench($ctms, 'pgbench', %load, seconds => $all_seconds));
    my $end = max(map { $_->[0] } @all);
    my @ms = map { $_->[0] > $end - $seconds ? $_->[1] : () } @all;
    my $result = figures(scalar @ms / $seconds, @ms);
    if ($others)
    {
        my @times = map { $_->[0] } finish_pgbench($others);
        die "ctms: the load beside did not last\n"
            if min(@times) > $end - $seconds || max(@times) < $end;
        my @counted = grep { $_ > $end - $seconds && $_ <= $end } @times;
        $result->{beside} = @counted / $seconds;
    }
    else
    {
        $result->{wal} = (wal_bytes($ctms) - $wal) / @all;
        $result->{cpu} = 1e6 * (ended_s($ctms) - $used) / @all;
    }
    return $result;
}

sub figures
{
    my ($rate, @ms) = @_;
    return { rate => $rate, p50 => quantile(0.5, @ms), p99 => quantile(0.99, @ms) };
}

# ---- REST ----------------------------------------------------------------------------------------

# A request has lines and perhaps a body after an empty line, with the marks of http-load.
sub start_http_load
{
    my ($server, $name, %load) = @_;
    my ($head, $body) = split /\n\n/, $load{request}, 2;
    $head .= "\nHost: localhost\nAuthorization: Bearer $server->{token}";
    $head .= "\nContent-Length: {length}" if defined $body;
    my $file = spew("$ENV{TESTDIR}/$name.request", "$head\n\n" . ($body // ''));
    my ($out, $err) = ('', '');
    my @command = ("$ENV{CTMS_TEST_BIN}/http-load", $server->{rest_port}, $load{clients},
        $load{seconds}, $file, $load{lines} // ());
    my $handle = IPC::Run::start(\@command, '<', \'', '>', \$out, '2>', \$err);
    return { handle => $handle, out => \$out, err => \$err };
}

sub finish_http_load
{
    my ($run) = @_;
    IPC::Run::finish($run->{handle});
    my %result = ${ $run->{out} } =~ /(\w+)=([\d.]+)/g;
    my @odd = grep { /^\d+$/ && !/^20[01]$/ } keys %result;
    die "ctms: http-load failed: ${$run->{out}}${$run->{err}}\n"
        if @odd || !$result{rps} || $result{broken};
    return { rate => $result{rps}, p50 => $result{p50_ms}, p99 => $result{p99_ms},
        first_byte => $result{first_byte_ms} };
}

sub http_load
{
    my ($server, %load) = @_;
    return finish_http_load(start_http_load($server, 'rest', %load));
}

# The processes of a server of CTMS::Bench, and its sessions on its primary, or on another node; the
# most on the primary so far are in {sessions}.
sub processes_of { my ($server) = @_; return split ' ', `pgrep -P @{[ $server->pid('rest') ]}` }
sub sessions_of
{
    my ($server, $node) = @_;
    my @pids = split /\n/, ($node // $server->node)->safe_psql('postgres',
        "SELECT pid FROM pg_stat_activity WHERE application_name = '$server->{name}'");
    return @pids if $node;
    $server->{sessions} = max(scalar @pids, $server->{sessions} // 0);
    return @pids;
}

sub rest
{
    my ($server, %load) = @_;
    my $others;
    $others = start_http_load($server, 'beside', %load, %{ $load{beside} }, seconds => 3600)
        if $load{beside};
    http_load($server, %load, seconds => 1);
    my @processes = processes_of($server);
    my @pids = (@processes, sessions_of($server));
    die "ctms: there is no process of the REST server, or none of its database\n"
        if !@processes || @pids == @processes;
    my $used = processor_s(@pids);
    my $result = http_load($server, %load);
    $result->{cpu} = 1e6 * (processor_s(@pids) - $used) / ($result->{rate} * $load{seconds});
    sessions_of($server);
    return $result if !$others;
    delete $result->{cpu};
    die "ctms: the load beside did not last\n" if !$others->{handle}->pumpable;
    $others->{handle}->signal('TERM');
    $result->{beside} = finish_http_load($others)->{rate};
    return $result;
}

1;
