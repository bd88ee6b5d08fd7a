package CTMS::Agent;

# Shared by the tests of the agent's failures: one ctms with the sandbox and an agent that
# retries quickly, and functions for what the tests do with it.

use strict;
use warnings;
use JSON::PP;
use Exporter 'import';
use CTMS::Test qw(poll_until);

our @EXPORT = qw(start_line url settings faults stats recipient lines pending row wait_until_sent
    add_contacts is_complete complete);

my $ctms;

# Starts everything, the database with these additional settings, and waits until the agent has its
# token; returns the CTMS::Test.
sub start_line
{
    my ($name, %settings) = @_;
    $ctms = CTMS::Test->new($name, settings => { acoustic_retry_delay => '50ms', %settings });
    $ctms->start_sandbox;
    $ctms->start_agent(CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 1,
        CTMS_ACOUSTIC_LEASE_S => 10);
    poll_until(sub { stats()->{requests}{token} }, 'the agent has asked for a token');
    return $ctms;
}

sub url { return "http://127.0.0.1:$ctms->{sandbox_port}$_[0]" }

sub settings
{
    my $r = $ctms->request(POST => url('/_sandbox/settings'), {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}

sub faults { return settings(faults => [@_]) }
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }
sub recipient { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json} }

# Lines of the agent's log whose message holds these words.
sub lines
{
    my ($words) = @_;
    return grep { index($_->{Fields}{msg} // '', $words) >= 0 }
        map { eval { decode_json($_) } // () } split /\n/, $ctms->log_of('agent');
}

# Contacts of that name that are still in the queue.
sub pending
{
    return $ctms->sql("SELECT count(*) FROM ctms.pending_acoustic JOIN ctms.emails USING (email_id)
        WHERE primary_email LIKE '$_[0]%'");
}

# The queue row of a contact.
sub row
{
    my %row;
    @row{qw(retry last_error)} = split /\|/,
        $ctms->sql("SELECT retry, last_error FROM ctms.pending_acoustic WHERE email_id = '$_[0]'");
    return \%row;
}

sub wait_until_sent
{
    my ($name) = @_;
    return poll_until(sub { pending($name) == 0 }, "$name is sent", 60);
}

# Adds this number of contacts with two newsletters each; returns their ids in order.
sub add_contacts
{
    my ($name, $count) = @_;
    $ctms->sql(<<SQL);
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name)
    SELECT '$name' || i || '\@example.com', 'Zebedee' FROM generate_series(1, $count) i
    RETURNING email_id)
INSERT INTO ctms.newsletters (email_id, name, subscribed)
    SELECT email_id, 'n' || k, true FROM c, generate_series(1, 2) k
SQL
    return split /\n/, $ctms->sql("SELECT email_id FROM ctms.emails
        WHERE primary_email LIKE '$name%' ORDER BY length(primary_email), primary_email");
}

# Whether Acoustic has the contact with both newsletters, and for how many contacts it has.
sub is_complete { my $r = recipient($_[0]); return $r->{main} && @{ $r->{newsletter} } == 2 }
sub complete { return scalar grep { is_complete($_) } @_ }

1;
