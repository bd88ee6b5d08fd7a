package CTMS::ClusterHistory;

# What the clients of a cluster did with their contacts and what they saw, and whether that may be.
# Each contact has one writer, who does one thing after the other; anybody reads.
#
#   my $history = CTMS::ClusterHistory->new;
#   $history->read_file($log) …;
#   my @violations = $history->violations($found);    # texts; found: what is stored of each contact
#
# Lines of a log; times are seconds, states "v7" (a version that is written once) or "gone":
#
#   write ID BEGIN END STATE OUTCOME     yes: acknowledged; maybe: no answer, or one that tells
#                                        nothing; no: refused
#   read ID BEGIN END STATE HOW
#   answer KIND STATUS BEGIN END         for the counts
#   timeline N BEGIN END                 where an acknowledged transaction was
#   node NAME BEGIN END                  a server took a write of its own
#   late SECONDS TIME                    the machine let the probe wait
#   wrong TIME TEXT …                    what the client itself has found to be wrong
#
# A read may show the last write that was acknowledged before the read began, or any later one that
# began before the read ended. At the end the same holds of what is stored. So a write of which
# nobody knows whether it was done must not come after a later one that was acknowledged.

use strict;
use warnings;
use Exporter 'import';
use IO::Handle;

our @EXPORT_OK = qw(open_log stamp write_line);

use constant { SHOWN => 20, LAST_EVENTS => 8 };

sub new
{
    my ($class) = @_;
    return bless { writes => {}, reads => {}, answers => {}, timelines => [], nodes => [],
        late => [], wrong => [] }, $class;
}

# ---- for those who write -------------------------------------------------------------------------

sub stamp { return sprintf '%.3f', $_[0] }

sub open_log
{
    my ($file) = @_;
    open my $handle, '>', $file or die "$file: $!\n";
    $handle->autoflush(1);
    return $handle;
}

# A word may come with spaces in it if it is the last.
sub write_line { my ($handle, @word) = @_; print {$handle} "@word\n"; return }

# ---- for who reads -------------------------------------------------------------------------------

sub read_file
{
    my ($self, $file) = @_;
    open my $handle, '<', $file or die "$file: $!\n";
    while (my $line = <$handle>) { $self->add($line) if $line =~ s/\n\z// }
    close $handle;
    return;
}

sub add
{
    my ($self, $line) = @_;
    my ($kind, @part) = split / /, $line;
    if ($kind eq 'write' || $kind eq 'read')
    {
        my %event = (kind => $kind);
        (my $id, @event{qw(begin end state more)}) = @part;
        push @{ $self->{"${kind}s"}{$id} }, \%event;
    }
    elsif ($kind eq 'answer') { $self->{answers}{ $part[0] }{ $part[1] }++ }
    elsif ($kind eq 'timeline') { push @{ $self->{timelines} }, [@part] }
    elsif ($kind eq 'node') { push @{ $self->{nodes} }, $part[2] }
    elsif ($kind eq 'late') { push @{ $self->{late} }, [@part] }
    elsif ($kind eq 'wrong') { push @{ $self->{wrong} }, $line =~ s/^wrong //r }
    else { die "not a line of a history: $line\n" }
    return;
}

sub answers { return $_[0]{answers} }

# When writes were acknowledged: by all programs, and by servers to the probe itself.
sub times_of_programs
{
    my ($self) = @_;
    my @times = map { $_->{end} } grep { $_->{more} eq 'yes' }
        map { @$_ } values %{ $self->{writes} };
    return [ sort { $a <=> $b } @times ];
}
sub times_of_nodes { my ($self) = @_; return [ sort { $a <=> $b } @{ $self->{nodes} } ] }

# The longest that the probe has waited for the machine in that time.
sub longest_late
{
    my ($self, $from, $to) = @_;
    my ($longest) = sort { $b <=> $a } map { $_->[0] }
        grep { $_->[1] >= $from && $_->[1] <= $to } @{ $self->{late} };
    return $longest // 0;
}

# The states that somebody may see who looks from the one time to the other.
sub may_be
{
    my ($writes, $from, $to) = @_;
    my @state = ('gone');
    for my $write (@$writes)
    {
        last if $write->{begin} > $to;
        next if $write->{more} eq 'no';
        @state = () if $write->{more} eq 'yes' && $write->{end} < $from;
        push @state, $write->{state};
    }
    return @state;
}

sub text_of
{
    my ($event) = @_;
    return sprintf '%.3f–%.3f %s %s %s', @$event{qw(begin end kind state more)};
}

# What happened to the contact shortly before.
sub last_events
{
    my ($self, $id, $to) = @_;
    my @events = sort { $a->{begin} <=> $b->{begin} } grep { $_->{begin} <= $to }
        map { @{ $self->{$_}{$id} // [] } } qw(writes reads);
    splice @events, 0, -LAST_EVENTS if @events > LAST_EVENTS;
    return join '', map { "\n    " . text_of($_) } @events;
}

sub strange
{
    my ($self, $id, $what, $found, $end, @may_be) = @_;
    return "contact $id: $what $found, may be " . join(' or ', @may_be)
        . $self->last_events($id, $end);
}

sub strange_reads
{
    my ($self, $id) = @_;
    my $writes = $self->{writes}{$id} // [];
    my @strange;
    for my $read (@{ $self->{reads}{$id} // [] })
    {
        my @may_be = may_be($writes, $read->{begin}, $read->{end});
        push @strange, $self->strange($id, "$read->{more} shows", $read->{state}, $read->{end},
            @may_be) if !grep { $_ eq $read->{state} } @may_be;
    }
    return @strange;
}

sub strange_end
{
    my ($self, $id, $found) = @_;
    my @may_be = may_be($self->{writes}{$id} // [], 'inf', 'inf');
    my $is = $found->{$id} // 'gone';
    return if grep { $_ eq $is } @may_be;
    return $self->strange($id, 'at the end', $is, 'inf', @may_be);
}

# A server that still takes writes when another has been promoted: what it acknowledges is lost.
sub two_primaries
{
    my ($self) = @_;
    my (@strange, $newest, $since);
    for my $each (sort { $a->[1] <=> $b->[1] } @{ $self->{timelines} })
    {
        my ($timeline, $begin, $end) = @$each;
        push @strange, sprintf 'timeline %d took a write at %.3f, after timeline %d at %.3f',
            $timeline, $begin, $newest, $since
            if defined $newest && $timeline < $newest && $since < $begin;
        ($newest, $since) = ($timeline, $end)
            if !defined $newest || $timeline > $newest;
        $since = $end if $timeline == $newest && $end < $since;
    }
    return @strange;
}

# Twenty at most of each kind.
sub violations
{
    my ($self, $found) = @_;
    my %is_known = map { $_ => 1 } keys %{ $self->{writes} };
    my @ids = sort keys %is_known;
    my @kinds = (
        [ sort @{ $self->{wrong} } ],
        [ map { $self->strange_reads($_) } sort keys %{ $self->{reads} } ],
        [ map { $self->strange_end($_, $found) } @ids ],
        [ map { "contact $_ is nobody's" } sort grep { !$is_known{$_} } keys %$found ],
        [ $self->two_primaries ]);
    return map { @$_ > SHOWN ? (@$_[ 0 .. SHOWN - 1 ], 'and ' . (@$_ - SHOWN) . ' more') : @$_ }
        @kinds;
}

1;
