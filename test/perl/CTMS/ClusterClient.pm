package CTMS::ClusterClient;

# A client of the REST servers of a cluster while its machines fail: writes its own contacts and
# Stripe customers, reads them and those of the others, and writes down all it did and saw, as
# CTMS::ClusterHistory reads it.
#
#   CTMS::ClusterClient->new(number => 1, clients => 4, url => 'http://…', client_id => …,
#       client_secret => …, until => $file, log => $file, seed => 1)->run;
#
# What was not answered, or with 503, may have been done or not, and may still be done for as long
# as a request may take. So the contact then rests a while, and is written again.

use strict;
use warnings;
use parent 'CTMS::SoakClient';
use CTMS::ClusterHistory qw(open_log stamp write_line);
use JSON::PP;
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

use constant {
    CONTACTS => 30,            # of each client
    CUSTOMERS => 10,
    REST_AFTER_MAYBE_S => 15,  # longer than CTMS_DB_TIMEOUT_S and the cancelling of a statement
    PATIENCE_S => 30,
    TOKEN_S => 200,
};
# 502 and 504 are a proxy's, 599 is a broken connection.
my $MAYBE = qr/^(?:502|503|504|599)$/;

sub pick { return $_[ rand @_ ] }
sub contact_id { return sprintf '%08x-0000-4000-8000-%012x', @_ }

sub new
{
    my ($class, %options) = @_;
    my $self = $class->SUPER::new(%options);
    $self->{customer} = { map { ("cus_$self->{number}_$_" => { not_before => 0 }) }
            1 .. CUSTOMERS };
    $self->{own} = [ map { +{ id => contact_id($self->{number}, $_), state => 'gone',
        address => "c$self->{number}.$_\@example.com", not_before => 0 } } 0 .. CONTACTS - 1 ];
    $self->{http} = $self->new_http;
    return $self;
}

sub new_http
{
    return CTMS::SoakClient::Once->new(keep_alive => 1, timeout => PATIENCE_S, max_redirect => 0);
}


sub wrong
{
    my ($self, $what) = @_;
    write_line($self->{handle}, 'wrong', stamp(time),
        "client $self->{number}: " . $what =~ s/\s+/ /gr);
    return;
}

# ---- requests ------------------------------------------------------------------------------------

# Sends it once; the answer has "begin", "end" and "json".
sub request
{
    my ($self, $method, $path, $body, %headers) = @_;
    my $kind = $method . '_' . ($path =~ m{^(/[\w_]+)})[0];
    $headers{Authorization} //= "Bearer $self->{token}";
    delete $headers{Authorization} if $headers{Authorization} eq '';
    my $begin = time;
    my $r = $self->{http}->request($method, "$self->{url}$path", { headers => \%headers,
            defined $body ? (content => ref $body ? $json->encode($body) : $body) : () });
    @$r{qw(begin end)} = ($begin, time);
    $r->{json} = eval { $json->decode($r->{content}) };
    write_line($self->{handle}, 'answer', $kind, $r->{status}, stamp($begin), stamp($r->{end}));
    $self->judge("$method $path", $r);
    $self->{is_away} = $r->{status} =~ $MAYBE;
    return $r;
}

# What no request may be answered with, whatever fails.
sub judge
{
    my ($self, $what, $r) = @_;
    my ($status, $seconds) = ($r->{status}, $r->{end} - $r->{begin});
    $self->wrong("$what: $status $r->{content}") if $status >= 500 && $status !~ $MAYBE;
    $self->wrong("$what: $status without Retry-After: $r->{content}")
        if $status =~ /^50[234]$/ && !defined $r->{headers}{'retry-after'};
    $self->wrong(sprintf '%s: no answer in %.1f s', $what, $seconds)
        if $status == 599 && $seconds >= PATIENCE_S;
    return;
}

# As a client that has not been told otherwise: a new token before the old one ends.
sub login
{
    my ($self) = @_;
    return if $self->{token} && time < $self->{token_until};
    my $r = $self->request(POST => '/token', 'grant_type=client_credentials&client_id='
            . "$self->{client_id}&client_secret=$self->{client_secret}",
        Authorization => '', 'Content-Type' => 'application/x-www-form-urlencoded');
    if ($r->{status} == 200)
    {
        @$self{qw(token token_until)} = ($r->{json}{access_token}, time + TOKEN_S);
    }
    elsif (!$self->{is_away}) { $self->wrong("POST /token: $r->{status} $r->{content}") }
    return;
}

# ---- contacts ------------------------------------------------------------------------------------

sub note_write
{
    my ($self, $contact, $r, $state, $is_done) = @_;
    my $outcome = $is_done ? 'yes' : $self->{is_away} ? 'maybe' : 'no';
    write_line($self->{handle}, 'write', $contact->{id}, stamp($r->{begin}), stamp($r->{end}),
        $state, $outcome);
    $contact->{state} = $is_done ? $state : $self->{is_away} ? 'maybe' : $contact->{state};
    $contact->{not_before} = time + REST_AFTER_MAYBE_S if $self->{is_away};
    return;
}

# PUT works whatever is there.
sub write_contact
{
    my ($self) = @_;
    my $contact = pick(grep { $_->{not_before} < time } @{ $self->{own} }) // return;
    my $method = $contact->{state} eq 'maybe' ? 'PUT' : $contact->{state} eq 'gone'
        ? pick(qw(PUT POST)) : pick(qw(PATCH PATCH PATCH PATCH PUT PUT DELETE));
    return $self->delete_contact($contact) if $method eq 'DELETE';
    my $version = ++$self->{last};
    my $body = CTMS::SoakClient::body($contact, $version);
    $body->{email}{email_id} = $contact->{id} if $method eq 'POST';
    my $r = $self->request($method, $method eq 'POST' ? '/ctms' : "/ctms/$contact->{id}", $body);
    my $is_done = $r->{status} == ($method eq 'PATCH' ? 200 : 201);
    $self->wrong("$method $contact->{id}: $r->{status} $r->{content}")
        if !$is_done && !$self->{is_away};
    if ($is_done)
    {
        my $shown = $self->version_in($r->{json}) // '';
        $self->wrong("$method $contact->{id} answers v$shown, not v$version")
            if $shown ne $version;
    }
    return $self->note_write($contact, $r, "v$version", $is_done);
}

sub delete_contact
{
    my ($self, $contact) = @_;
    my $r = $self->request(DELETE => "/ctms/$contact->{address}");
    my $is_done = $r->{status} == 200;
    $self->wrong("DELETE $contact->{id}: $r->{status} $r->{content}")
        if !$is_done && !$self->{is_away};
    return $self->note_write($contact, $r, 'gone', $is_done);
}

sub note_read
{
    my ($self, $id, $r, $contact, $how) = @_;
    my $version = 'gone';
    $version = $self->version_in($contact) // return if $contact;
    write_line($self->{handle}, 'read', $id, stamp($r->{begin}), stamp($r->{end}),
        $version eq 'gone' ? 'gone' : "v$version", $how);
    return;
}

# By id or by address, of any client.
sub read_contact
{
    my ($self) = @_;
    my $client = rand() < 0.6 ? $self->{number} : 1 + int rand $self->{clients};
    my $n = int rand CONTACTS;
    my $id = contact_id($client, $n);
    if (rand() < 0.3)
    {
        my $r = $self->request(GET => "/ctms?primary_email=c$client.$n\@example.com");
        return if $self->{is_away};
        return $self->wrong("GET by address $id: $r->{status} $r->{content}")
            if $r->{status} != 200;
        return $self->note_read($id, $r, $r->{json}[0], 'GET by address');
    }
    my $r = $self->request(GET => "/ctms/$id");
    return if $self->{is_away};
    return $self->wrong("GET $id: $r->{status} $r->{content}") if $r->{status} !~ /^(?:200|404)$/;
    return $self->note_read($id, $r, $r->{status} == 200 ? $r->{json} : undef, 'GET');
}

# The newest contacts, as somebody who follows the changes asks.
sub read_updates
{
    my ($self) = @_;
    my $r = $self->request(GET => '/updates?limit=50&start=' . int(time - 5));
    return if $self->{is_away};
    return $self->wrong("GET /updates: $r->{status} $r->{content}")
        if $r->{status} != 200 || ref $r->{json}{items} ne 'ARRAY';
    $self->note_read($_->{email}{email_id}, $r, $_, 'GET /updates')
        for grep { $_->{email}{email_id} =~ /^0000/ } @{ $r->{json}{items} };
    return;
}

# ---- Stripe --------------------------------------------------------------------------------------

# A message is sent until it is answered 200, as Pub/Sub does.
sub write_customer
{
    my ($self) = @_;
    my ($id) = $self->{undelivered} // pick(grep { $self->{customer}{$_}{not_before} < time }
            sort keys %{ $self->{customer} }) // return;
    my $customer = $self->{customer}{$id};
    $customer->{version} = ++$self->{last} if !$self->{undelivered};
    my $source = "v$customer->{version}";
    my $r = $self->request(POST => '/stripe', { object => 'customer', id => $id,
            created => 1600000000, description => "fxa_$id", default_source => $source,
            invoice_settings => { default_payment_method => $source } });
    my $is_done = $r->{status} == 200;
    $self->wrong("POST /stripe $id: $r->{status} $r->{content}")
        if !$is_done && !$self->{is_away} && $r->{status} != 409;
    write_line($self->{handle}, 'write', $id, stamp($r->{begin}), stamp($r->{end}), $source,
        $is_done ? 'yes' : $self->{is_away} ? 'maybe' : 'no');
    $customer->{not_before} = time + REST_AFTER_MAYBE_S if $self->{is_away};
    $self->{undelivered} = $is_done ? undef : $id;
    return;
}

sub run
{
    my ($self) = @_;
    my $parent = getppid;
    srand $self->{seed};
    $self->{handle} = open_log($self->{log});
    until (-e $self->{until} || getppid != $parent)
    {
        $self->login;
        my $dice = rand;
        if (!$self->{token}) { }
        elsif ($dice < 0.40) { $self->write_contact }
        elsif ($dice < 0.80) { $self->read_contact }
        elsif ($dice < 0.86) { $self->read_updates }
        elsif ($dice < 0.96) { $self->write_customer }
        else { $self->send_nonsense }
        $self->{http} = $self->new_http if rand() < 0.02;
        sleep($self->{is_away} ? 0.2 : $self->{pause_s});
    }
    close $self->{handle};
    return;
}

1;
