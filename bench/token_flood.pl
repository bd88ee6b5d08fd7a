# How soon a client gets its token while many connections attack POST /token; run by
# "make bench-token-flood". The settings are the defaults: one process, two threads for argon2.
#
# For each attack of CTMS_BENCH_CONNECTIONS (200): CTMS_BENCH_REQUESTS (100) of a client that comes
# again, of clients that come for the first time from the address of the attackers, and of such from
# another address. Told are the middle one, the 99th of 100 and the slowest, and how many were told
# to come again. What a check costs on this machine at this moment comes first: a client that comes
# for the first time cannot be faster.

use strict;
use warnings;
use CTMS::Bench qw(setting);
use CTMS::TokenFlood;
use HTTP::Tiny;
use Test::More;
use Time::HiRes qw(sleep time);

my $connections = setting(CONNECTIONS => 200);
my $requests = setting(REQUESTS => 100);
my $ctms = CTMS::Bench->new('bench_token_flood');
$ctms->start_rest(CTMS_LOGGING_LEVEL => 'CRITICAL');
$ctms->login;
my ($port, $secret) = @$ctms{qw(rest_port client_secret)};
$ctms->sql("INSERT INTO ctms.api_client (client_id, email, hashed_secret)
    SELECT 'id_' || i, 'a\@example.com', hashed_secret
    FROM ctms.api_client, generate_series(1, 10000) i");
my $next = 0;

sub get_token
{
    my ($id, $address) = @_;
    my $begun = time;
    my $r = HTTP::Tiny->new(timeout => 60, local_address => $address)
        ->post_form("http://127.0.0.1:$port/token", { client_id => $id, client_secret => $secret });
    return { status => $r->{status}, seconds => time - $begun };
}

sub show
{
    my ($name, @answers) = @_;
    my @times = sort { $a <=> $b } map { $_->{seconds} } grep { $_->{status} == 200 } @answers;
    return diag sprintf '%-36s %s, %d refused', $name, @times
        ? sprintf('%6.0f ms %6.0f ms %6.0f ms', map { 1000 * $_ } $times[ $#times / 2 ],
        $times[ $#times * 0.99 ], $times[-1]) : 'never', @answers - @times;
}

sub show_all
{
    my ($has_own_addresses) = @_;
    show('  again', map { get_token('id_test', '127.0.0.1') } 1 .. $requests);
    show('  first time', map { get_token('id_' . ++$next, '127.0.0.1') } 1 .. $requests)
        if !$has_own_addresses;
    show('  first time, from elsewhere',
        map { get_token('id_' . ++$next, '127.0.0.2') } 1 .. $requests);
    return;
}

diag sprintf '%-36s %9s %9s %9s', 'token after', 'median', '99 %', 'slowest';
diag 'nobody attacks';
show_all();
# The id that is asked for next, as others may know it: half a second each.
my $begun = time;
sub next_id { return 'id_' . (5000 + int((time - $begun) / 0.5)) }
my @attacks = (
    [ 'one wrong pair', is_kept => 1, ask => sub { ('id_test', 'wrong') } ],
    [ 'ever new secrets of one client', is_kept => 1, ask => sub { ('id_test', 'x' . rand) } ],
    [ 'the same on new connections', ask => sub { ('id_test', 'x' . rand) } ],
    [ 'ever new clients', is_kept => 1, ask => sub { ('id_' . rand, 'x') } ],
    [ 'the same on new connections', ask => sub { ('id_' . rand, 'x') } ],
    [ 'the same from 100 addresses', ask => sub { ('id_' . rand, 'x') },
        addresses => [ map { "127.0.1.$_" } 1 .. 100 ] ],
    [ 'clients that hang up at once', is_rude => 1, ask => sub { ('id_test', 'x' . rand) } ],
    [ 'clients that give up after 0.3 s', patience_s => 0.3, ask => sub { ('id_' . rand, 'x') } ]);
for (@attacks)
{
    my ($name, %options) = @$_;
    my $flood = CTMS::TokenFlood->new($port, connections => $connections, %options);
    sleep 1;
    diag "$connections connections: $name";
    show_all($options{addresses});
    my $answers = $flood->stop;
    diag '  their answers: ' . join ', ', map { "$answers->{$_} of $_" } sort keys %$answers;
}
my $flood = CTMS::TokenFlood->new($port, connections => $connections, is_kept => 1,
    ask => sub { (next_id(), 'x' . rand) });
diag "$connections connections: ever new secrets of the client that comes next";
show('  first time', map { sleep 0.5; get_token(next_id(), '127.0.0.1') } 1 .. $requests / 5);
$flood->stop;
pass('measured');
done_testing();
