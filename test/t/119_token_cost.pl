# Where hashes of clients differ in cost, time must not tell which ids there are: an unknown id
# costs what one of the clients costs, the same one each time. What is measured is processor time of
# the server, since others may use the machine too.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use Test::More;

my $ctms = CTMS::Test->new('token_cost');
my $encoded = 'c2FsdHNhbHQ$n+MfJMvfUDrpIkB7UnX50HIkUHZBj9pFqeFRBDmWTGI';
$ctms->sql("INSERT INTO ctms.api_client (client_id, email, hashed_secret) VALUES
    ('id_cheap', 'a\@example.com', '\$argon2id\$v=19\$m=64,t=1,p=1\$$encoded'),
    ('id_dear', 'a\@example.com', '\$argon2i\$v=19\$m=131072,t=3,p=1\$$encoded')");

# In ticks.
sub processor_time
{
    my $used = 0;
    for my $pid (split ' ', `pgrep -P @{[ $ctms->pid('rest') ]}`)
    {
        my @fields = split ' ', slurp("/proc/$pid/stat") =~ s/.*\) //sr;
        $used += $fields[11] + $fields[12];
    }
    return $used;
}

my $count = 0;
sub refusal_cost
{
    my ($id) = @_;
    my $begun = processor_time();
    my $r = $ctms->request(POST => '/token', "client_id=$id&client_secret=wrong" . ++$count,
        { 'Content-Type' => 'application/x-www-form-urlencoded' });
    die "$id: $r->{status} $r->{content}" if $r->{status} != 400;
    return processor_time() - $begun;
}

my @ids = map { "id_unknown$_" } 1 .. 10;

# What each id costs after somebody has asked for a client.
sub costs
{
    my ($asked) = @_;
    my $limit = refusal_cost('id_dear') / 2;
    die 'a check takes no time' if $limit < 5;
    refusal_cost($asked);
    return join ' ', map { refusal_cost($_) < $limit ? 'cheap' : 'dear' } @ids;
}

$ctms->start_rest;
my $first = costs('id_cheap');
note $first;
like($first, qr/$_/, "some unknown ids are $_") for qw(cheap dear);
is(costs('id_dear'), $first, 'each costs the same whatever was asked before');
$ctms->stop_program('rest');
$ctms->start_rest;
is(costs('id_cheap'), $first, 'and in another process');
done_testing();
