package CTMS::SoakAgent;

# An agent of the soak with a DBA: claims contacts, keeps in soak.sent what it would have sent, and
# finishes, fails or gives back what it holds. At the end, what soak.sent has of each contact must
# be what the database holds.
#
# Reports failures as CTMS::SoakWriter does.

use strict;
use warnings;
use parent 'CTMS::SoakWriter';
use Time::HiRes qw(sleep time);

our $SET_UP = q{
    CREATE TABLE soak.sent (email_id uuid PRIMARY KEY, rows text NOT NULL);
    CREATE FUNCTION soak.rows_of(email_ids uuid[]) RETURNS TABLE (email_id uuid, rows text)
        LANGUAGE sql AS $$
        SELECT email_id, string_agg(kind || ' ' || fields, E'\n' ORDER BY kind, fields::text)
        FROM ctms.acoustic_rows(email_ids) GROUP BY email_id $$;
    GRANT ALL ON soak.sent TO soak_app;
};

sub array { return "'{" . join(',', map { /^[\w:.-]+$/ ? $_ : qq("$_") } @_) . "}'" }

sub record
{
    my ($self, $ids, $states) = @_;
    return $self->single('send', 'INSERT INTO soak.sent (email_id, rows) '
            . 'SELECT email_id, '
            . "string_agg(kind || ' ' || fields, E'\\n' ORDER BY kind, fields::text) "
            . 'FROM ctms.acoustic_outgoing(' . array(@$ids) . ', ' . array(@$states) . ') '
            . 'GROUP BY email_id ORDER BY email_id '
            . 'ON CONFLICT (email_id) DO UPDATE SET rows = excluded.rows');
}

# Claims and sends once; the number of contacts, undef when something failed.
sub turn
{
    my ($self, $limit, $is_sure) = @_;
    my $agent = "'$self->{name}'";
    $self->single('claim', 'SELECT email_id, generation, state FROM '
            . "ctms.claim_acoustic($agent, $limit, 1000000, '1 hour')") or return undef;
    my @claimed = map { [ split /\|/ ] } @{ $self->{rows} };
    return 0 if !@claimed;
    my ($ids, $generations, $states) = map { my $i = $_; [ map { $_->[$i] } @claimed ] } 0 .. 2;
    my $pairs = array(@$ids) . ', ' . array(@$generations);
    my $dice = $is_sure ? 0 : rand;
    my $is_recorded = $self->record($ids, $states);
    if (!$is_recorded || $dice > 0.9)
    {
        $self->single('release', "SELECT ctms.release_acoustic($agent)");
        return $is_recorded ? scalar @claimed : undef;
    }
    my $ok;
    if ($dice < 0.7)
    {
        $ok = $self->single('finish', "SELECT ctms.finish_acoustic($agent, $pairs)");
    }
    else
    {
        # Errors that are long and do not compress are stored out of line.
        my $error = join '', map { chr(33 + int rand 90) =~ s/['"\\{},]/x/r } 1 .. pick(20, 2000);
        $ok = $self->single('fail', "SELECT ctms.fail_acoustic($agent, $pairs, "
                . array(map { $error } @claimed) . ', ' . array(map { pick('t', 'f') } @claimed)
                . ', 1000000)');
    }
    return $ok ? scalar @claimed : undef;
}

sub pick { return $_[ int rand @_ ] }

sub run
{
    my ($self) = @_;
    my $parent = getppid;
    srand $self->{seed};
    open $self->{handle}, '>', $self->{report} or die "$self->{report}: $!";
    $self->{handle}->autoflush(1);
    until (-e $self->{until} || getppid != $parent)
    {
        my $count = $self->turn(1 + int rand 20);
        $self->single('operator', 'SELECT ctms.reset_acoustic_retries()') if rand() < 0.05;
        sleep 0.02 if !$count;
    }
    $self->single('release', "SELECT ctms.release_acoustic('$self->{name}')");
    close $self->{handle};
    $self->{session}->stop;
    return;
}

1;
