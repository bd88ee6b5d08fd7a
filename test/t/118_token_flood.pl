# POST /token while many connections attack it: a client with the right secret gets its token.
# "make bench-token-flood" measures how soon.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use CTMS::TokenFlood;
use HTTP::Tiny;
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time);

my $ctms = CTMS::Test->new('token_flood', conf => 'log_statement = none');
$ctms->start_rest(CTMS_LOGGING_LEVEL => 'CRITICAL');
$ctms->login;
my $secret = $ctms->{client_secret};
my $port = $ctms->{rest_port};
my $rounds = 5;

# Many clients of one secret, so that each can come for the first time.
$ctms->sql("INSERT INTO ctms.api_client (client_id, email, hashed_secret)
    SELECT 'id_' || i, 'a\@example.com', hashed_secret
    FROM ctms.api_client, generate_series(1, 1000) i");
my $next = 0;

# Seconds until the token is there; more than can be waited for, if there is none.
sub get_token
{
    my ($id, $address) = @_;
    my $begun = time;
    my $r = HTTP::Tiny->new(timeout => 30, keep_alive => 0, local_address => $address)
        ->post_form("http://127.0.0.1:$port/token", { client_id => $id, client_secret => $secret });
    note "$id from $address: $r->{status} $r->{content}" if $r->{status} != 200;
    return $r->{status} == 200 ? time - $begun : 99;
}

# One of many may be late or told to come again, on a busy machine.
sub are_served
{
    my ($name, @times) = @_;
    @times = sort { $a <=> $b } @times;
    return ok($times[ $#times * 0.9 ] < 5, $name)
        || diag join ' ', map { sprintf '%.2f', $_ } @times;
}

my $n = 0;
for (
    [ 'one wrong pair', is_kept => 1, ask => sub { ('id_test', 'wrong') } ],
    [ 'ever new secrets of one client', is_kept => 1, ask => sub { ('id_test', 'x' . rand) } ],
    [ 'ever new secrets and connections', ask => sub { ('id_test', 'x' . rand) } ],
    [ 'ever new clients', is_kept => 1, ask => sub { ('id_' . rand, 'x') } ],
    [ 'ever new clients from many addresses', ask => sub { ('id_' . rand, 'x') },
        addresses => [ map { "127.0.1.$_" } 1 .. 100 ] ],
    [ 'clients that hang up', is_rude => 1, ask => sub { ('id_test', 'x' . rand) } ],
    [ 'clients that soon give up', patience_s => 0.3, ask => sub { ('id_' . rand, 'x') } ])
{
    my ($name, %options) = @$_;
    my $flood = CTMS::TokenFlood->new($port, connections => 200, %options);
    sleep 1;
    # An address that was refused lately comes after those that were not.
    my $here = $options{addresses} ? '127.0.0.3' : '127.0.0.1';
    are_served("$name: a client that comes again", map { get_token('id_test', '127.0.0.1') }
        1 .. $rounds);
    are_served("$name: one that comes for the first time",
        map { get_token('id_' . ++$next, $here) } 1 .. $rounds);
    are_served("$name: one from another address", map { get_token('id_' . ++$next, '127.0.0.2') }
        1 .. $rounds);
    my $answers = $flood->stop;
    note "$name: ", join ' ', map { "$_: $answers->{$_}" } sort keys %$answers;
    ok(!$answers->{200}, "$name: no token for anybody else");
}
done_testing();
