# HTTP::Tiny sends GET, PUT and DELETE again when the connection breaks (RFC 9110, section 9.2.2),
# and a second DELETE is answered 404. To count answers, the test must see each of them, so here a
# broken connection is 599.
package CTMS::SoakClient::Once;

use strict;
use warnings;
use parent 'HTTP::Tiny';

sub _request
{
    my ($self, @arguments) = @_;
    my $response = eval { $self->SUPER::_request(@arguments) }
        // die ref $@ ? $@ : "not sent again: $@";
    return $response;
}

package CTMS::SoakClient;

# A client of the REST server for the mixed load: reads, writes, sends nonsense and hangs up, and
# remembers what it may find afterwards. It writes only its own contacts. Each write sets the same
# version in five tables, so that an incomplete write is noticed at once.
#
#   CTMS::SoakClient->new(number => 1, port => …, token => …,
#       until => $file, report => $file)->run;
#
# The report is JSON: requests by status, what went wrong (and between which times), and for each
# contact the versions that it may have at the end ("gone" among them). A contact whose write was
# not answered, or with 503, gets no further writes, because that one may still be carried out.

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub new
{
    my ($class, %options) = @_;
    return bless { %options, contacts => {}, open => [], customers => {}, statuses => {},
        wrong => [], wrong_when => [], unanswered => [], last => 0, http => new_http() }, $class;
}

sub new_http
{
    return CTMS::SoakClient::Once->new(keep_alive => 1, timeout => 60, max_redirect => 0);
}

sub wrong
{
    my ($self, $what) = @_;
    return if @{ $self->{wrong} } >= 20;
    push @{ $self->{wrong} }, $what;
    push @{ $self->{wrong_when} }, [ $self->{asked}, time, $what ];
    return;
}

# 503 and broken connections are allowed at times; the test knows when.
sub request
{
    my ($self, $method, $path, $body, %headers) = @_;
    $headers{Authorization} //= "Bearer $self->{token}";
    my $begun = $self->{asked} = time;
    my $r = $self->{http}->request($method, "http://127.0.0.1:$self->{port}$path",
        { headers => \%headers,
            defined $body ? (content => ref $body ? $json->encode($body) : $body) : () });
    $self->{statuses}{ $r->{status} }++;
    push @{ $self->{unanswered} }, [ $begun, time, $r->{status}, "$method $path" ]
        if $r->{status} == 503 || $r->{status} == 599;
    $self->wrong("$method $path: $r->{status} $r->{content}")
        if $r->{status} >= 500 && $r->{status} != 503 && $r->{status} != 599;
    $r->{json} = eval { $json->decode($r->{content}) };
    return $r;
}

# Connects, sends and hangs up without waiting.
sub hang_up
{
    my ($self, $method, $path, $body) = @_;
    my $text = defined $body ? $json->encode($body) : '';
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}",
        Timeout => 10) or return;
    my $bytes = "$method $path HTTP/1.1\r\nHost: localhost\r\n"
        . "Authorization: Bearer $self->{token}\r\n"
        . "Content-Length: @{[ length $text ]}\r\n\r\n$text";
    $bytes = substr $bytes, 0, rand length $bytes if rand() < 0.3;
    $socket->syswrite($bytes);
    close $socket;
    $self->{statuses}{dropped}++;
    return;
}

# ---- contacts --------------------------------------------------------------------------

sub body
{
    my ($contact, $version) = @_;
    return {
        email => { primary_email => $contact->{address},
            first_name => "v$version", email_lang => 'fr' },
        amo => { username => "v$version" },
        mofo => { mofo_contact_id => "v$version" },
        newsletters => [ map { +{ name => $_,
            source => "https://www.example.com/v$version" } } qw(one two) ],
        waitlists => [ { name => 'soak', fields => { geo => "v$version" } } ] };
}

# The version that an answer shows; undef, and an entry in the list of errors, if its parts differ.
sub version_in
{
    my ($self, $contact) = @_;
    my @versions = ($contact->{email}{first_name}, $contact->{amo}{username},
        $contact->{mofo}{mofo_contact_id},
        (map { $_->{source} =~ s{.*/}{}r } @{ $contact->{newsletters} }),
        map { $_->{fields}{geo} } @{ $contact->{waitlists} });
    my $first = $versions[0] // '';
    return $first =~ s/^v//r if @versions == 6 && !grep { ($_ // '') ne $first } @versions;
    $self->wrong('half a contact: ' . $json->encode(\@versions));
    return undef;
}

# After a write that was answered with success the contact has that version. After any other answer
# except these it has the version before.
sub note
{
    my ($self, $contact, $status, $version) = @_;
    if ($status =~ /^20[01]$/) { $contact->{may_be} = [$version] }
    elsif ($status =~ /^(?:503|599|dropped)$/)
    {
        push @{ $contact->{may_be} }, $version;
        @{ $self->{open} } = grep { $_ != $contact } @{ $self->{open} };
    }
    return;
}

sub write_contact
{
    my ($self, $contact, $method) = @_;
    my $version = ++$self->{last};
    my $is_gone = $contact->{may_be}[0] eq 'gone';
    my $path = "/ctms/$contact->{id}";
    my $body = body($contact, $version);
    if ($is_gone)
    {
        ($method, $path) = ('POST', '/ctms');
        $body->{email}{email_id} = $contact->{id};
    }
    ($path, $body, $version) = ("/ctms/$contact->{address}", undef, 'gone') if $method eq 'DELETE';
    if (rand() < 0.03)
    {
        $self->hang_up($method, $path, $body);
        return $self->note($contact, 'dropped', $version);
    }
    my $r = $self->request($method, $path, $body);
    $self->wrong("$method $path: $r->{status} $r->{content}")
        if $r->{status} !~ /^(20[01]|503|599)$/;
    $self->version_in($r->{json}) if $r->{status} =~ /^20[01]$/ && $method ne 'DELETE';
    return $self->note($contact, $r->{status}, $version);
}

sub new_contact
{
    my ($self) = @_;
    my $n = keys %{ $self->{contacts} };
    my $id = sprintf '%08x-0000-4000-8000-%012x', $self->{number}, $n;
    my $contact = $self->{contacts}{$id} = { id => $id,
        address => "c$self->{number}.$n\@example.com", may_be => ['gone'] };
    push @{ $self->{open} }, $contact;
    return $contact;
}

sub read_contact
{
    my ($self, $contact) = @_;
    my $by_address = rand() < 0.3;
    my $r = $self->request(GET => $by_address ? "/ctms?primary_email=$contact->{address}"
        : "/ctms/$contact->{id}");
    return if $r->{status} =~ /^(503|599)$/;
    my $found = $by_address ? $r->{json}[0] : $r->{status} == 200 ? $r->{json} : undef;
    my $version = $found ? $self->version_in($found) : 'gone';
    my ($expected) = @{ $contact->{may_be} };
    return $self->wrong("GET $contact->{id}: $r->{status} shows " . ($version // 'a mixture')
        . ", not $expected") if ($version // '') ne $expected;
    return;
}

# ---- the rest -----------------------------------------------------------------------------

sub write_customer
{
    my ($self) = @_;
    my $id = "cus_$self->{number}_" . int rand 200;
    my $old = $self->{customers}{$id} // { may_be => ['gone'] };
    return if @{ $old->{may_be} } > 1;
    my $version = ++$self->{last};
    my $r = $self->request(POST => '/stripe',
        { object => 'customer', id => $id, created => 1600000000, description => "fxa_$id",
        default_source => "v$version",
        invoice_settings => { default_payment_method => "v$version" } });
    $self->wrong("POST /stripe: $r->{status} $r->{content}") if $r->{status} !~ /^(200|503|599)$/;
    $self->note($self->{customers}{$id} = $old, $r->{status}, $version);
    return;
}

sub send_nonsense
{
    my ($self) = @_;
    my @kinds = (
        [ 422, POST => '/ctms', '{"email": {"primary_email": ' ],
        [ 422, POST => '/ctms', { email => { primary_email => undef, email_lang => 'too long' } } ],
        [ 401, GET => '/ctms?fxa_id=x', undef, Authorization => 'Bearer x.y.z' ],
        [ 404, GET => '/nothing' ], [ 405, PUT => '/token', '' ],
        [ 413, POST => '/ctms', 'x' x 2_000_000 ], [ 422, GET => '/updates?start=never' ],
        [ 400, GET => '/ctms' ], [ 400, POST => '/stripe', '[]' ],
        [ 404, PATCH => '/ctms/99999999-0000-4000-8000-000000000000', {} ],
        [ 400, POST => '/token', 'client_id=x&client_secret=y' ]);
    my ($status, @request) = @{ $kinds[ rand @kinds ] };
    my $r = $self->request(@request);
    # A client that sends too much may be cut off while it sends.
    $self->wrong("$request[0] $request[1]: $r->{status}, not $status")
        if $r->{status} !~ /^($status|50[234]|599)$/;
    pop @{ $self->{unanswered} } if $status == 413 && $r->{status} == 599;
    return;
}

# Whether a client of this kind made the contact.
sub is_ours { return $_[0] =~ /^000/ }

# A page, which is in several parts if it is long, must be whole, and so must each contact.
sub read_page
{
    my ($self) = @_;
    my $r = $self->request(GET => '/updates?start=2020-01-01&limit=' . int(1 + rand 1000));
    return if $r->{status} =~ /^(503|599)$/;
    return $self->wrong("GET /updates: $r->{status}")
        if $r->{status} != 200 || ref $r->{json}{items} ne 'ARRAY';
    $self->version_in($_) for grep { is_ours($_->{email}{email_id}) } @{ $r->{json}{items} };
    return;
}

sub look_around
{
    my ($self) = @_;
    return $self->read_page if rand() < 0.3;
    my @paths = ('/metrics', '/__heartbeat__', '/__lbheartbeat__',
        '/openapi.json', '/identities?fxa_id=x');
    my $r = $self->request(GET => $paths[ rand @paths ]);
    $self->wrong("GET: $r->{status}") if $r->{status} !~ /^(200|503|599)$/;
    return;
}

sub run
{
    my ($self) = @_;
    my $parent = getppid;
    srand $self->{number};
    until (-e $self->{until} || getppid != $parent)
    {
        my $contact = @{ $self->{open} } < 100
            ? $self->new_contact : $self->{open}[ rand @{ $self->{open} } ];
        my $dice = rand;
        if ($dice < 0.40) { $self->read_contact($contact) }
        elsif ($dice < 0.65) { $self->write_contact($contact, 'PATCH') }
        elsif ($dice < 0.72) { $self->write_contact($contact, 'PUT') }
        elsif ($dice < 0.77)
        {
            $self->write_contact($contact, $contact->{may_be}[0] eq 'gone' ? 'POST' : 'DELETE');
        }
        elsif ($dice < 0.85) { $self->write_customer }
        elsif ($dice < 0.93) { $self->send_nonsense }
        else { $self->look_around }
        $self->{http} = new_http() if rand() < 0.02;
    }
    open my $out, '>', $self->{report} or die $!;
    print {$out} $json->encode({ map { $_ => $self->{$_} }
            qw(contacts customers statuses wrong wrong_when unanswered) });
    close $out or die $!;
    return;
}

# ---- afterwards ---------------------------------------------------------------------------

# The version that the database has of each contact of these clients; "half" of those whose parts
# differ.
sub stored_contacts
{
    my ($ctms) = @_;
    return { map { split /\|/, $_, 2 } split /\n/, $ctms->sql(q{
        SELECT e.email_id, CASE WHEN count(DISTINCT v) = 1 AND count(*) = 6 THEN
            substr(min(v), 2) ELSE 'half' END
        FROM ctms.emails e, LATERAL (SELECT e.first_name AS v
            UNION ALL SELECT username FROM ctms.amo a WHERE a.email_id = e.email_id
            UNION ALL SELECT mofo_contact_id FROM ctms.mofo m WHERE m.email_id = e.email_id
            UNION ALL SELECT regexp_replace(source, '.*/', '') FROM ctms.newsletters n
                WHERE n.email_id = e.email_id
            UNION ALL SELECT fields->>'geo' FROM ctms.waitlists w
                WHERE w.email_id = e.email_id) AS versions
        WHERE e.email_id < '10000000-0000-0000-0000-000000000000'
        GROUP BY e.email_id}) };
}

# Which of what was found is not as the clients expect; twenty at most.
sub strangers
{
    my ($expected, $found) = @_;
    my @strange = grep {
        my $id = $_;
        my $is = $found->{$id} // 'gone';
        !grep { $_ eq $is } @{ $expected->{$id}{may_be} };
    } sort keys %$expected;
    return [ map { "$_ is " . ($found->{$_} // 'gone') . ', may be ' . join ' or ',
            @{ $expected->{$_}{may_be} } } splice @strange, 0, 20 ];
}

1;
