# What becomes of short requests while others make the server busy: GET by id over 8 connections,
# alone, beside 32 that PATCH, beside 32 that POST, and beside 4 that read pages of 1000 of
# /updates; by REST, and by pgbench calling the same SQL functions. Run by "make bench-rest-beside".
#
# CTMS_BENCH_BESIDE (patch,create,updates1000), on each of CTMS_BENCH_DISKS (see CTMS::Bench).
# CTMS_BENCH_READERS (8), CTMS_BENCH_WRITERS (32), CTMS_BENCH_CONTACTS (10000), CTMS_BENCH_SECONDS
# (3) for each measurement, after one that does not count, CTMS_BENCH_TURNS (3),
# CTMS_BENCH_PROCESSES (1). All figures are medians, and ratios those of turns.
use strict;
use warnings;
use CTMS::Bench qw(by_turns middle ratio setting);
use CTMS::BenchContacts qw(%REQUEST %SCRIPT fill lines);
use CTMS::BenchLoad qw(pgbench rest sessions_of);
use Test::More;

my $contacts = setting(CONTACTS => 10_000);
my %timing = (seconds => setting(SECONDS => 3), contacts => $contacts);
my $turns = setting(TURNS => 3);
my $readers = setting(READERS => 8);
my $writers = setting(WRITERS => 32);
my @beside = split /,/, setting(BESIDE => 'patch,create,updates1000');
my @unknown = grep { !/^(?:patch|create|stripe|updates1000)$/ } @beside;
die "ctms: no such call: @unknown\n" if @unknown;
die "ctms: nothing to measure\n" if !@beside;
die "ctms: there are no pages of 1000\n" if $contacts < 1000;

my $bench = CTMS::Bench->new('bench_rest', conf => "shared_buffers = 2GB\n");
$bench->start_rest(CTMS_PROCESSES => setting(PROCESSES => 1));
$bench->login;
fill($bench, 'ctms', $contacts);
my $lines = lines($bench, $contacts);

sub load_of
{
    my ($call, $clients) = @_;
    return { script => $SCRIPT{$call}, request => $REQUEST{$call}[0],
        lines => $lines->{ $REQUEST{$call}[1] }, clients => $clients };
}

diag sprintf '%-8s %-8s %-17s %8s %8s %5s %8s %8s %6s %8s %8s %6s %8s', 'disk', 'by', 'beside',
    'GET 1/s', 'beside', 'kept', 'p50 ms', 'beside', 'times', 'p99 ms', 'beside', 'times',
    'they 1/s';
my %gets = (%timing, %{ load_of('get', $readers) });
for my $disk ($bench->disks)
{
    $bench->use_disk($disk);
    for my $call (@beside)
    {
        my $others = load_of($call, $call eq 'updates1000' ? 4 : $writers);
        my %by = (REST => \&rest, pgbench => \&pgbench);
        my @measures = map {
            my $by = $by{$_};
            (sub { $by->($bench, %gets) }, sub { $by->($bench, %gets, beside => $others) });
        } qw(REST pgbench);
        my @results = by_turns($turns, @measures);
        for my $name (qw(REST pgbench))
        {
            my ($alone, $busy) = splice @results, 0, 2;
            diag sprintf '%-8s %-8s %2d %-14s %8.0f %8.0f %5.2f %8.2f %8.2f %6.1f %8.2f %8.2f'
                . ' %6.1f %8.0f', $disk, $name, $others->{clients}, $call,
                middle($alone, 'rate'), middle($busy, 'rate'), ratio($busy, $alone, 'rate'),
                (map { (middle($alone, $_), middle($busy, $_), ratio($busy, $alone, $_)) }
                    qw(p50 p99)), middle($busy, 'beside');
        }
    }
}
diag sprintf 'sessions of the REST server: %d at the end, %d at most',
    scalar(sessions_of($bench)), $bench->{sessions};
pass('measured');
done_testing();
