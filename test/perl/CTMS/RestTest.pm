package CTMS::RestTest;

# Checks of answers of the REST server, one line for each answer.
#
#   answers($ctms, GET => '/ctms', 400, { detail => '…' }, has => { Allow => 'GET' });
#
# The expected content is a text, a structure to be equal to the JSON, a pattern, a sub that gets
# the JSON, or undef for "whatever". Options: body, headers, name, has (headers of the answer).

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Exporter 'import';

our @EXPORT = qw(answers errors_at raw_exchange);

sub answers
{
    my ($ctms, $method, $path, $status, $content, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $ctms->request($method, $path, $options{body}, $options{headers});
    my $name = $options{name} // "$method $path";
    my $text = $r->{content} // '';
    my $ok = is($r->{status}, $status, "$name: status");
    if (ref $content eq 'CODE') { $ok &= ok($content->($r->{json}), "$name: body") }
    elsif (ref $content eq 'Regexp') { $ok &= like($text, $content, "$name: body") }
    elsif (ref $content) { $ok &= is_deeply($r->{json}, $content, "$name: body") }
    elsif (defined $content) { $ok &= is($text, $content, "$name: body") }
    for my $header (sort keys %{ $options{has} // {} })
    {
        $ok &= is($r->{headers}{ lc $header }, $options{has}{$header}, "$name: $header");
    }
    diag substr($text, 0, 1000) unless $ok;
    return $r;
}

# A check that a 422 names exactly these places, each a list like [qw(body email primary_email)].
sub errors_at
{
    my @places = sort map { join '/', @$_ } @_;
    return sub {
        my ($json) = @_;
        my $detail = ref $json eq 'HASH' ? $json->{detail} : undef;
        return 0 if ref $detail ne 'ARRAY'
            || grep { !length($_->{msg} // '') || !length($_->{type} // '') } @$detail;
        return join(' ', sort map { join '/', @{ $_->{loc} } } @$detail) eq join(' ', @places);
    };
}

# Sends bytes to a port and returns all that comes back until the other side closes or has been
# quiet for a while. Several pieces are sent one after the other. Option from: our address.
sub raw_exchange
{
    my ($port, $pieces, %options) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
        LocalAddr => $options{from} // '127.0.0.1', Timeout => 10) or die "connect: $!";
    local $SIG{PIPE} = 'IGNORE';
    for my $piece (ref $pieces ? @$pieces : $pieces)
    {
        $socket->syswrite($piece);
        select undef, undef, undef, $options{pause_s} if $options{pause_s};
    }
    shutdown $socket, 1 if $options{half_close};
    my ($all, $select) = ('', IO::Select->new($socket));
    while ($select->can_read($options{quiet_s} // 10))
    {
        last unless $socket->sysread(my $part, 65536);
        $all .= $part;
        last if $options{until} && $all =~ $options{until};
    }
    return $all;
}

1;
