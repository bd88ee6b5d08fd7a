# CTMS::ClusterHistory and ClusterTimes, by which 263_cluster judges: what may not be is found, and
# nothing else.
use strict;
use warnings;
use CTMS::ClusterHistory;
use CTMS::ClusterTimes;
use Test::More;

sub history
{
    my $history = CTMS::ClusterHistory->new;
    $history->add($_) for @_;
    return $history;
}

# Words that each violation must have, in their order.
sub finds
{
    my ($name, $lines, $found, @expected) = @_;
    my @violations = history(@$lines)->violations($found);
    my $is_right = @violations == @expected
        && !grep { $violations[$_] !~ $expected[$_] } 0 .. $#expected;
    ok($is_right, $name) or diag join "\n", @violations;
    return;
}

my @two = ('write a 10 11 v1 yes', 'write a 20 21 v2 yes');
finds('what is stored as it was written', [@two], { a => 'v2' });
finds('a lost write', [@two], { a => 'v1' }, qr/^contact a: at the end v1, may be v2\n.*20\.000/s);
finds('a lost contact', [@two], {}, qr/at the end gone, may be v2/);
finds('half a contact', [@two], { a => 'half' }, qr/at the end half/);
finds('a deletion', [ @two, 'write a 30 31 gone yes' ], {});
finds('a deletion that is lost', [ @two, 'write a 30 31 gone yes' ], { a => 'v2' },
    qr/may be gone/);
finds('somebody else', [@two], { a => 'v2', b => 'v1' }, qr/^contact b is nobody's$/);

my @maybe = (@two, 'write a 30 31 v3 maybe');
finds('a write without an answer that is done', [@maybe], { a => 'v3' });
finds('one that is not done', [@maybe], { a => 'v2' });
finds('one that is done too late', [ @maybe, 'write a 40 41 v4 yes' ], { a => 'v3' },
    qr/may be v4/);
finds('a write that was refused', [ @two, 'write a 30 31 v3 no' ], { a => 'v3' }, qr/may be v2/);

my $ends = { a => 'v2' };
finds('a read of the last write', [ @two, 'read a 22 23 v2 GET' ], $ends);
finds('a read during a write', [ @two, map { "read a 20.5 20.6 v$_ GET" } 1, 2 ], $ends);
finds('a read that ends after the write began', [ @two, 'read a 12 20.5 v2 GET' ], $ends);
finds('a read of the future', [ @two, 'read a 12 13 v2 GET' ], $ends, qr/GET shows v2, may be v1/);
finds('an old read', [ @two, 'read a 22 23 v1 GET' ], $ends, qr/GET shows v1, may be v2/);
finds('a read that misses a contact', [ @two, 'read a 12 13 gone GET' ], $ends, qr/GET shows gone/);
finds('a read before the first write', [ @two, 'read a 1 2 gone GET' ], $ends);
finds('a read beside one without an answer', [ @maybe, 'read a 50 51 v3 GET',
    'read a 52 53 v2 GET' ], { a => 'v3' });

finds('one primary after the other', [ 'timeline 1 10 11', 'timeline 2 12 13', 'timeline 2 14 15' ],
    {});
finds('a commit that began on the old one', [ 'timeline 1 10 13', 'timeline 2 12 13' ], {});
finds('two primaries', [ 'timeline 1 10 11', 'timeline 2 12 13', 'timeline 1 14 15' ], {},
    qr/^timeline 1 took a write at 14\.000, after timeline 2 at 13\.000$/);
finds('what a client found', [ 'wrong 10 client 1: 500 of a request' ], {},
    qr/^10 client 1: 500 of a request$/);

# ---- times ---------------------------------------------------------------------------------------

# The servers take writes until 100 and from 110 on, the programs from 111.5 on.
my @lines = ((map { sprintf 'node db1 0 %.1f', $_ / 10 } 950 .. 1000, 1100 .. 1150),
    map { my $n = $_; sprintf 'write c%d 0 %.1f v1 yes', $n, $n / 10 } 950 .. 1000, 1115 .. 1150);
my %fault = (kind => 'x', victim => 'db1', begin => 99, end => 114, load => 1);
my $times = CTMS::ClusterTimes->new(history(@lines));
$times->add(\%fault);
like($times->table, qr/^x +1 +11\.0 +11\.0 +12\.5 +12\.5 +1\.5 +1\.5$/m, 'the times of a fault');
is_deeply([ $times->slow(2) ], [], 'REST was soon enough');
is(scalar(() = $times->slow(1)), 1, 'or not');
$times = CTMS::ClusterTimes->new(history(@lines, 'late 3 105'));
$times->add(\%fault);
is_deeply([ $times->slow(1) ], [], 'a machine that let the probe wait is no fault of ours');
$times = CTMS::ClusterTimes->new(history(@lines));
$times->add({ %fault, load => 9 });
is_deeply([ $times->slow(1) ], [], 'nor is one that was overloaded');

done_testing();
