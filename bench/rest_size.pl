# What very many contacts cost: the REST server on CTMS_BENCH_LARGE (1000000) contacts next to one
# on CTMS_BENCH_CONTACTS (10000), by turns; and a walk over /updates through all, while some change.
# Run by "make bench-rest-size". To make a contact takes 20 us of
# processor time; ten millions need up to 30 GB of disk, more than half of it for WAL.
#
# Both databases are in one cluster, in huge pages where the system has some
# (vm.nr_hugepages=1600). CTMS_BENCH_CALLS (get,find,patch,create,stripe), CTMS_BENCH_SECONDS (2)
# for each measurement, after one that does not count, CTMS_BENCH_TURNS (3; 16 for a ratio to rely
# on), CTMS_BENCH_PROCESSES (1). On the first of CTMS_BENCH_DISKS (see CTMS::Bench).
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle quantile ratio ratios setting spew);
use CTMS::BenchContacts qw(%REQUEST %SCRIPT fill lines number_of);
use CTMS::BenchLoad qw(pgbench rest);
use CTMS::Test qw(slurp);
use HTTP::Tiny;
use List::Util qw(min sum);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $small = setting(CONTACTS => 10_000);
my $large = setting(LARGE => 1_000_000);
my $seconds = setting(SECONDS => 2);
my $turns = setting(TURNS => 3);
my @processes = (CTMS_PROCESSES => setting(PROCESSES => 1));
my @calls = split /,/, setting(CALLS => 'get,find,patch,create,stripe');
my @unknown = grep { !/^(?:get|find|patch|create|stripe)$/ } @calls;
die "ctms: no such call: @unknown\n" if @unknown;

my $bench = CTMS::Bench->new('bench_rest', conf => "shared_buffers = 2GB\n");
my $node = $bench->node;
fill($bench, 'ctms', $small);
$node->safe_psql('postgres', 'CREATE DATABASE ctms_large');
$node->safe_psql('ctms_large', 'CREATE EXTENSION ctms');
my $begun = time;
fill($bench, 'ctms_large', $large);
diag sprintf '%d contacts made in %.0f s', $large, time - $begun;

# ---- calls ---------------------------------------------------------------------------------------

$bench->use_disk(($bench->disks)[0]);
$bench->start_rest(@processes);
$bench->login;
# A token is good for the client that it was made for, as of when that was made.
my $client = $bench->sql(q{SELECT format('INSERT INTO ctms.api_client SELECT *
    FROM json_populate_record(NULL::ctms.api_client, %L)', row_to_json(c))
    FROM ctms.api_client AS c});
$node->safe_psql('ctms_large', $client);
my $other = $bench->start_beside('rest_large', @processes,
    CTMS_DB_URL => $bench->db_url('ctms_large'));
my ($postmaster) = split /\n/, slurp($node->data_dir . '/postmaster.pid');
my $has_huge_pages = slurp("/proc/$postmaster/smaps") =~ /^KernelPageSize:\s++(?!4 kB)/m;
diag sprintf 'shared buffers in %s pages', $has_huge_pages ? 'huge' : 'small';

sub compare
{
    my ($name, @measures) = @_;
    my ($few, $many) = by_turns($turns, @measures);
    my @ratios = ratios($many, $few, 'rate');
    diag sprintf '%-16s %10.0f %10.0f %6.2f %6.2f..%.2f %8.0f %8.0f', $name, middle($few, 'rate'),
        middle($many, 'rate'), ratio($many, $few, 'rate'), quantile(0.25, @ratios),
        quantile(0.75, @ratios), middle($few, 'cpu'), middle($many, 'cpu');
    return;
}

diag sprintf '%-16s %10s %10s %6s %12s %8s %8s', '64 clients', $small, $large, 'ratio',
    'quartiles', 'cpu us', 'cpu us';
my %load = (clients => 64, seconds => $seconds);
# What PostgreSQL itself makes of the sizes.
compare('pgbench, PK', sub { pgbench($bench, %load, script => $SCRIPT{pk}, contacts => $small) },
    sub { pgbench($bench, %load, script => $SCRIPT{pk}, contacts => $large,
            database => 'ctms_large') });
my ($few, $many) = map { lines($bench, $_) } $small, $large;
for my $call (@calls)
{
    my ($request, $kind) = @{ $REQUEST{$call} };
    compare("REST $call",
        sub { rest($bench, %load, request => $request, lines => $few->{$kind}) },
        sub { rest($other, %load, request => $request, lines => $many->{$kind}) });
}
$bench->stop_program('rest');

# ---- a walk over all -----------------------------------------------------------------------------

# Pages of 1000 from the first contact to the last: how often each contact was seen, up to 255
# times, and the time of each page.
sub walk
{
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
    my ($path, $seen, @times) = ('/updates?start=2000-01-01&end=2030-01-01&limit=1000', '');
    vec($seen, $large, 8) = 0;
    while (defined $path)
    {
        my $started = time;
        my $answer = $http->get("http://127.0.0.1:$other->{rest_port}$path",
            { headers => { Authorization => "Bearer $bench->{token}" } });
        die "ctms: $path: $answer->{status}\n" if $answer->{status} != 200;
        push @times, time - $started;
        for my $id ($answer->{content} =~ /"email_id":"([^"]+)"/g)
        {
            my $n = number_of($id, $large) // next;
            vec($seen, $n, 8)++;
        }
        ($path) = $answer->{content} =~ m{"next":"https?://[^/]+([^"]+)"};
    }
    return ($seen, @times);
}

# Changes contacts, 200 a second, until it is stopped.
sub start_writer
{
    my $file = spew("$ENV{TESTDIR}/writer.sql", "\\set n random(1, $large)\n"
        . "SELECT ctms.patch_contact(public.id_of(:n), '{}');\n");
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    open STDOUT, '>', '/dev/null';
    exec 'pgbench', '-n', '-M', 'prepared', '-c', 1, '-R', 200, '-T', 36_000, '-f', $file, '-h',
        $node->host, '-p', $node->port, 'ctms_large' or POSIX::_exit(1);
}
sub mean_ms { return 1000 * sum(@_) / @_ }

my $writer = start_writer();
my ($seen, @times) = walk();
die "ctms: nobody changed contacts meanwhile: pgbench ended\n"
    if waitpid($writer, POSIX::WNOHANG()) != 0;
kill TERM => $writer;
waitpid $writer, 0;
my $is_changed = '';
my @changed = split /\n/, $node->safe_psql('ctms_large',
    "SELECT email_id FROM ctms.emails WHERE update_timestamp > '2025-01-01'");
vec($is_changed, number_of($_, $large) // 0, 1) = 1 for @changed;
my ($missed, $twice) = (0, 0);
for my $n (1 .. $large)
{
    my $count = vec($seen, $n, 8);
    $missed++ if $count == 0;
    $twice++ if $count > 1 && !vec($is_changed, $n, 1);
}
diag sprintf '/updates through all, %d contacts changing before or meanwhile: %d missed,'
    . ' %d of the others twice', scalar @changed, $missed, $twice;
diag sprintf 'a page: the first hundred %.1f ms, the last hundred %.1f ms'
    . ' (reading the JSON not counted)',
    mean_ms(@times[ 0 .. min(99, $#times) ]), mean_ms(@times[ -min(100, scalar @times) .. -1 ]);
is($missed + $twice, 0, 'each contact is seen once');
done_testing();
