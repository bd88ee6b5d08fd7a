package CTMS::ClusterTimes;

# How long nobody could write, by kind of fault: on the servers themselves (what Patroni needs),
# by the programs, and the difference.
#
#   my $times = CTMS::ClusterTimes->new($history);
#   $times->add({ kind => 'switchover', victim => 'db1', begin => …, end => …, load => … });
#   diag $times->table; my @slow = $times->slow(2);

use strict;
use warnings;

# A shorter gap is no outage.
use constant GAP_S => 1;
# A machine that does more than this for each processor, or lets the probe wait, is overloaded.
use constant { LOAD => 3, LATE_S => 1 };

sub new
{
    my ($class, $history) = @_;
    return bless { history => $history, nodes => $history->times_of_nodes,
        programs => $history->times_of_programs, rows => [] }, $class;
}

# From the fault to the end of the longest gap between two of the times; 0 if there is no outage,
# undef if there is no end.
sub time_to_write
{
    my ($times, $from, $to) = @_;
    my ($longest, $back) = (0, 0);
    for my $i (1 .. $#$times)
    {
        my ($last, $next) = @$times[ $i - 1, $i ];
        next if $next < $from;
        last if $last > $to;
        ($longest, $back) = ($next - $last, $next - $from) if $next - $last > $longest;
    }
    return undef if !@$times || $times->[-1] < $from;
    return $longest < GAP_S ? 0 : $back;
}

sub add
{
    my ($self, $fault) = @_;
    my @span = @$fault{qw(begin end)};
    my %row = (%$fault, nodes => time_to_write($self->{nodes}, @span),
        programs => time_to_write($self->{programs}, @span),
        late => $self->{history}->longest_late(@span));
    $row{difference} = $row{programs} - $row{nodes} if $row{programs} && $row{nodes};
    push @{ $self->{rows} }, \%row;
    return;
}

sub is_overloaded { my ($row) = @_; return $row->{late} > LATE_S || $row->{load} > LOAD }

# Faults after which the programs needed that much longer, while the machine was not overloaded.
sub slow
{
    my ($self, $seconds) = @_;
    return map { sprintf '%s of %s at %.3f: REST writes after %.1f s, the primary after %.1f s',
        @$_{qw(kind victim begin programs nodes)} }
        grep { defined $_->{difference} && $_->{difference} > $seconds && !is_overloaded($_) }
        @{ $self->{rows} };
}

sub median_and_most
{
    my @sorted = sort { $a <=> $b } grep { defined } @_;
    return sprintf '%12s', '-' if !@sorted;
    return sprintf '%5.1f %6.1f', @sorted[ @sorted / 2, -1 ];
}

sub table
{
    my ($self) = @_;
    my %by_kind;
    push @{ $by_kind{ $_->{kind} } }, $_ for @{ $self->{rows} };
    my $table = sprintf "%-28s %5s  %-12s  %-12s  %-12s  (seconds: median, most)\n", 'fault',
        'count', '     servers', '        REST', '  difference';
    for my $kind (sort keys %by_kind)
    {
        my @rows = @{ $by_kind{$kind} };
        $table .= sprintf "%-28s %5d  %s  %s  %s\n", $kind, scalar @rows,
            map { my $column = $_; median_and_most(map { $_->{$column} } @rows) }
            qw(nodes programs difference);
    }
    return $table;
}

1;
