package CTMS::ClusterWriter;

# A program that changes contacts by SQL through the pooler of a cluster, in transactions of several
# statements, and writes down what CTMS::ClusterHistory reads, also on which timeline each was.
#
#   CTMS::ClusterWriter->new(number => 9, url => …, password => …, until => $file, log => $file,
#       seed => 1)->run;

use strict;
use warnings;
use CTMS::ClusterClient;
use CTMS::ClusterHistory qw(open_log stamp write_line);
use CTMS::SoakClient;
use CTMS::SoakSession;
use JSON::PP;
use Time::HiRes qw(sleep time);

use constant { CONTACTS => 10, PATIENCE_S => 30, REST_AFTER_MAYBE_S => 5 };
my $json = JSON::PP->new->canonical;

# What a statement may fail with while a server, or the way to it, is away: connections, too many
# of them, a server that stops or starts, one that has become a replica, a pooler's own errors.
my $AWAY = qr/^(?:LOST|HUNG|08...|53...|57...|25006)$/;

sub new
{
    my ($class, %options) = @_;
    return bless { %options, last => 0, own => [
        map { +{ id => CTMS::ClusterClient::contact_id($options{number}, $_), not_before => 0,
            address => "w$options{number}.$_\@example.com" } } 0 .. CONTACTS - 1 ] }, $class;
}

sub as_text { return "'" . ($json->encode($_[0]) =~ s/'/''/gr) . "'" }

# True if it worked.
sub run_sql
{
    my ($self, $sql) = @_;
    my $r = $self->{session}->run($sql);
    $self->{rows} = $r->{rows};
    # A commit that no longer waits for its replica warns, and tells as little as a lost connection.
    return 1 if $r->{state} eq '00000' && $r->{text} !~ /^WARNING/m;
    write_line($self->{handle}, 'wrong', stamp(time), "writer $self->{number}: $r->{state}",
        $r->{text} =~ s/\s+/ /gr) if $r->{state} !~ $AWAY && $r->{state} ne '00000';
    return 0;
}

# The whole contact in two steps, which nobody may see apart.
sub write_contact
{
    my ($self) = @_;
    my @free = grep { $_->{not_before} < time } @{ $self->{own} } or return 0;
    my $contact = $free[ rand @free ];
    my $version = ++$self->{last};
    my $body = CTMS::SoakClient::body($contact, $version);
    my %patch = map { $_ => delete $body->{$_} } qw(newsletters waitlists);
    my ($begin, $is_done) = (time, 1);
    for my $sql ('BEGIN', "SELECT ctms.put_contact('$contact->{id}', " . as_text($body)
            . ') IS NOT NULL', "SELECT ctms.patch_contact('$contact->{id}', " . as_text(\%patch)
            . ') IS NOT NULL', 'SELECT pg_walfile_name(pg_current_wal_lsn())', 'COMMIT')
    {
        $is_done &&= $self->run_sql($sql);
        $self->{timeline} = hex substr $self->{rows}[0], 0, 8 if $is_done && $sql =~ /walfile/;
    }
    my @times = (stamp($begin), stamp(time));
    write_line($self->{handle}, 'write', $contact->{id}, @times, "v$version",
        $is_done ? 'yes' : 'maybe');
    write_line($self->{handle}, 'timeline', $self->{timeline}, @times) if $is_done;
    write_line($self->{handle}, 'answer', 'SQL', $is_done ? 'COMMIT' : 'failed', @times);
    return 1 if $is_done;
    $self->{session}->stop;
    $contact->{not_before} = time + REST_AFTER_MAYBE_S;
    return 0;
}

sub run
{
    my ($self) = @_;
    my $parent = getppid;
    srand $self->{seed};
    $CTMS::SoakSession::PATIENCE_S = PATIENCE_S;
    $ENV{PGPASSWORD} = delete $self->{password};
    $self->{session} = CTMS::SoakSession->new($self->{url});
    $self->{handle} = open_log($self->{log});
    until (-e $self->{until} || getppid != $parent)
    {
        sleep($self->write_contact ? $self->{pause_s} : 0.3);
    }
    $self->{session}->stop;
    close $self->{handle};
    return;
}

1;
