package CTMS::KeyServer;

# A key server like Google's, with its own keys, and the tokens that they sign.
#
#   my $keys = CTMS::KeyServer->new;
#   my %public = map { $_ => $keys->make_key($_) } qw(one two);
#   $keys->publish(1000, values %public); my $pid = $keys->start;
#   … CTMS_PUBSUB_JWKS_URL => $keys->url …
#   my $token = $keys->token({ iss => … }, kid => 'one');

use strict;
use warnings;
use CTMS::Test qw(slurp);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;

my $json = JSON::PP->new->canonical->utf8;

sub new
{
    my ($class) = @_;
    return bless { dir => tempdir(DIR => $ENV{TESTDIR}, CLEANUP => 1),
        port => PostgreSQL::Test::Cluster::get_free_port() }, $class;
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}/certs" }

sub spew
{
    my ($self, $name, $content) = @_;
    my $file = "$self->{dir}/$name";
    open my $out, '>', "$file.new" or die $!;
    print {$out} $content;
    close $out;
    rename "$file.new", $file;
    return;
}

# Answers every request with the last answer of spew('answer', …) or publish(); returns its pid.
sub start
{
    my ($self) = @_;
    my $listener = IO::Socket::INET->new(Listen => 10, LocalAddr => "127.0.0.1:$self->{port}",
        ReuseAddr => 1) or die "listen: $!";
    my $pid = fork // die $!;
    return $pid if $pid;
    local $SIG{TERM} = 'DEFAULT';
    while (my $client = $listener->accept)
    {
        while (my $line = <$client>)
        {
            last if $line eq "\r\n";
        }
        open my $count, '>>', "$self->{dir}/asked";
        syswrite $count, '.';
        close $count;
        print {$client} slurp("$self->{dir}/answer");
        close $client;
    }
    POSIX::_exit(0);
}

# How often it was asked.
sub asked { my ($self) = @_; return length slurp("$self->{dir}/asked") }

# Makes a key pair; returns the public key as a JWK.
sub make_key
{
    my ($self, $name, $bits) = @_;
    my $file = "$self->{dir}/$name.pem";
    $bits //= 2048;
    system("openssl genrsa -out $file $bits 2>/dev/null") == 0 or die 'openssl genrsa';
    my ($modulus) = `openssl rsa -in $file -noout -modulus 2>/dev/null` =~ /=([0-9A-F]+)/;
    return { kty => 'RSA', alg => 'RS256', use => 'sig', kid => $name, e => 'AQAB',
        n => encode_base64url(pack 'H*', $modulus) };
}

sub publish
{
    my ($self, $age, @keys) = @_;
    my $body = $json->encode({ keys => \@keys });
    $self->spew('answer', "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        . "Cache-Control: public, max-age=$age, must-revalidate\r\n"
        . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n\r\n$body");
    return;
}

# A token, signed by the key "one" by default; options: kid, key, header, hmac.
sub token
{
    my ($self, $claims, %options) = @_;
    my $part = join '.', map { encode_base64url(ref $_ ? $json->encode($_) : $_) }
        $options{header} // { alg => 'RS256', typ => 'JWT',
            kid => $options{kid} // 'one' }, $claims;
    $self->spew('part', $part);
    my $key = $options{key} // 'one';
    my $signature = $options{hmac}
        ? do { require Digest::SHA; Digest::SHA::hmac_sha256($part, $options{hmac}) }
        : `openssl dgst -sha256 -sign $self->{dir}/$key.pem $self->{dir}/part`;
    return "$part." . encode_base64url($signature);
}

1;
