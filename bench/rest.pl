# How fast the REST server is, next to pgbench calling the same SQL functions in the same run, and
# how fast those are, next to plain statements; run by "make bench-rest".
#
# CTMS_BENCH_PARTS (calls,updates,idle,sentry): each call, or those in CTMS_BENCH_CALLS
# (get,find,patch,create,stripe,updates), by the numbers of connections in CTMS_BENCH_CLIENTS (64),
# on each of CTMS_BENCH_DISKS (see CTMS::Bench); /updates on one connection; GET by id with and
# without CTMS_BENCH_IDLE (5000) idle connections, and SENTRY_DSN. CTMS_BENCH_CONTACTS (10000),
# CTMS_BENCH_SECONDS (2) for each measurement, after one that does not count, CTMS_BENCH_TURNS (3),
# CTMS_BENCH_PROCESSES (1). All figures are medians, and ratios those of turns.
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle ratio setting);
use CTMS::BenchContacts qw(%HAND %REQUEST %SCRIPT fill fill_by_hand lines);
use CTMS::BenchLoad qw(pgbench processes_of rest sessions_of);
use CTMS::Test qw(slurp);
use IO::Socket::INET;
use Test::More;

my $contacts = setting(CONTACTS => 10_000);
my %timing = (seconds => setting(SECONDS => 2), contacts => $contacts);
my $turns = setting(TURNS => 3);
my $processes = setting(PROCESSES => 1);
my $idle = setting(IDLE => 5000);
my @clients = split /,/, setting(CLIENTS => 64);
my @calls = split /,/, setting(CALLS => 'get,find,patch,create,stripe,updates');
my %parts = map { $_ => 1 } split /,/, setting(PARTS => 'calls,updates,idle,sentry');
my @unknown = ((grep { !/^(?:calls|updates|idle|sentry)$/ } sort keys %parts),
    grep { !/^(?:get|find|patch|create|stripe|updates)$/ } @calls);
die "ctms: no such part or call: @unknown\n" if @unknown;
die "ctms: nothing to measure\n" if !%parts || !@clients || !@calls;

my $bench = CTMS::Bench->new('bench_rest', conf => "shared_buffers = 2GB\nmax_connections = 320\n");
$bench->start_rest(CTMS_PROCESSES => $processes, CTMS_MAX_CONNECTIONS => $idle + 1000,
    CTMS_KEEPALIVE_TIMEOUT_S => 600);
$bench->login;
fill($bench, 'ctms', $contacts);
fill_by_hand($bench);
my $lines = lines($bench, $contacts);

sub by_sql { my ($script, $count) = @_; return pgbench($bench, %timing, script => $script,
        clients => $count) }
sub by_rest
{
    my ($call, $count, $server) = @_;
    my ($request, $kind) = @{ $REQUEST{$call} };
    return rest($server // $bench, %timing, request => $request, lines => $lines->{$kind},
        clients => $count);
}

# ---- SQL alone, and each call --------------------------------------------------------------------

sub measure_functions
{
    my ($disk) = @_;
    my @names = ('a row by primary key', 'get_contact', 'patch_contact', 'patch by hand',
        'create_contact', 'create by hand');
    my @results = by_turns($turns, map { my $script = $_; sub { by_sql($script, 64) } }
        @SCRIPT{qw(pk get patch)}, $HAND{patch}, $SCRIPT{create}, $HAND{create});
    diag sprintf 'disk %-8s %-22s %9s %8s %8s %8s %8s', $disk, 'pgbench, 64 clients', '1/s',
        'p50 ms', 'p99 ms', 'cpu us', 'WAL B';
    diag sprintf '%-13s %-22s %9.0f %8.2f %8.2f %8.0f %8.0f', '', $names[$_],
        middle_of($results[$_]) for 0 .. $#names;
    my ($pk, $get, $patch, $patch_by_hand, $create, $create_by_hand) = @results;
    diag sprintf '%-13s get_contact %.2f of a row by primary key; patch_contact %.2f and'
        . ' create_contact %.2f of the same by hand', '', ratio($get, $pk, 'rate'),
        ratio($patch, $patch_by_hand, 'rate'), ratio($create, $create_by_hand, 'rate');
    return middle($pk, 'rate');
}
sub middle_of { my ($result) = @_; return map { middle($result, $_) } qw(rate p50 p99 cpu wal) }

sub measure_calls
{
    my ($disk) = @_;
    my $pk = measure_functions($disk);
    diag sprintf 'disk %-8s %-8s %5s %9s %9s %6s %8s %8s %8s %8s %6s %6s %7s %7s', $disk, 'call',
        'conn.', 'REST 1/s', 'pgbench', 'ratio', 'p50 ms', 'pgbench', 'p99 ms', 'pgbench', 'ratio',
        'of PK', 'cpu us', 'pgbench';
    for my $call (@calls)
    {
        for my $count (@clients)
        {
            my ($rest, $sql) = by_turns($turns, sub { by_rest($call, $count) },
                sub { by_sql($SCRIPT{$call}, $count) });
            diag sprintf '%-13s %-8s %5d %9.0f %9.0f %6.2f %8.2f %8.2f %8.2f %8.2f %6.2f %6.2f'
                . ' %7.0f %7.0f', '', $call, $count, middle($rest, 'rate'), middle($sql, 'rate'),
                ratio($rest, $sql, 'rate'), middle($rest, 'p50'), middle($sql, 'p50'),
                middle($rest, 'p99'), middle($sql, 'p99'), ratio($rest, $sql, 'p99'),
                middle($rest, 'rate') / $pk, middle($rest, 'cpu'), middle($sql, 'cpu');
        }
    }
    return;
}

if ($parts{calls})
{
    for my $disk ($bench->disks)
    {
        $bench->use_disk($disk);
        measure_calls($disk);
    }
}

# ---- /updates on one connection ------------------------------------------------------------------

if ($parts{updates})
{
    for my $limit (100, 1000)
    {
        my $call = $limit == 100 ? 'updates' : 'updates1000';
        my ($page) = by_turns($turns, sub { by_rest($call, 1) });
        diag sprintf '/updates by %d on one connection: %.0f contacts a second,'
            . ' first byte after %.1f ms; %.1f us of processor time a contact', $limit,
            $limit * middle($page, 'rate'), middle($page, 'first_byte'),
            middle($page, 'cpu') / $limit;
    }
}

# ---- idle connections ----------------------------------------------------------------------------

sub memory_mb
{
    my @kb = map { slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : () }
        processes_of($bench);
    return join ', ', map { sprintf '%.1f', $_ / 1024 } @kb;
}
sub idle_connection
{
    my ($number) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$bench->{rest_port}")
        or die "ctms: connection $number: $!\n";
    $socket->syswrite("GET /__lbheartbeat__ HTTP/1.1\r\nHost: x\r\n\r\n");
    $socket->sysread(my $answer, 65536);
    die "ctms: connection $number: " . ($answer || 'no answer') . "\n"
        if ($answer // '') !~ m{^HTTP/1\.1 200 };
    return $socket;
}

if ($parts{idle})
{
    my $measure = sub { by_rest('get', 64) };
    my ($before) = by_turns($turns, $measure);
    my $memory = memory_mb();
    my @crowd = map { idle_connection($_) } 1 .. $idle;
    diag sprintf '%d idle connections: memory of the process %s MB, before %s MB', scalar @crowd,
        memory_mb(), $memory;
    my ($with, $sql) = by_turns($turns, $measure, sub { by_sql($SCRIPT{get}, 64) });
    close $_ for @crowd;
    my ($after) = by_turns($turns, $measure);
    diag sprintf 'GET by id: %.0f a second before, %.0f with them (%.2f of pgbench, p99 %.1f ms),'
        . ' %.0f after', middle($before, 'rate'), middle($with, 'rate'), ratio($with, $sql, 'rate'),
        middle($with, 'p99'), middle($after, 'rate');
}

# ---- Sentry, when nothing goes wrong -------------------------------------------------------------

if ($parts{sentry})
{
    my $other = $bench->start_beside('rest_sentry', CTMS_PROCESSES => $processes,
        SENTRY_DSN => 'http://key@127.0.0.1:1/1');
    my ($without, $with) = by_turns($turns, sub { by_rest('get', 64) },
        sub { by_rest('get', 64, $other) });
    diag sprintf 'GET by id: %.0f a second, with SENTRY_DSN %.0f: %.2f;'
        . ' processor time %.1f us, with it %.1f', middle($without, 'rate'), middle($with, 'rate'),
        ratio($with, $without, 'rate'), middle($without, 'cpu'), middle($with, 'cpu');
}

diag sprintf 'sessions of the REST server: %d at the end, %d at most',
    scalar(sessions_of($bench)), $bench->{sessions};
pass('measured');
done_testing();
