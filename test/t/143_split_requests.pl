# Through a pooler in transaction mode, whatever arrives in pieces: PgBouncer gives a session back
# when an answer comes, also if it has passed on the beginning of the next request of the same
# client. The rest would go to another session, and somebody might get an answer that is not theirs.
#
# A relay before PgBouncer passes on a few bytes at a time, as a network does at the worst place.
use strict;
use warnings;
use CTMS::PgBouncer;
use CTMS::Replicas;
use CTMS::Test qw(slurp);
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'pgbouncer is not installed' if !CTMS::PgBouncer::programs();

my $CLIENTS = 12;
my $ROUNDS = 60;

my $ctms = CTMS::Test->new('split');
my @ids = split /\n/, $ctms->sql(qq{WITH made AS (INSERT INTO ctms.emails (primary_email)
    SELECT 'reader' || n || '\@example.com' FROM generate_series(1, $CLIENTS) AS n
    RETURNING email_id)
    SELECT email_id FROM made});
my $bouncer = CTMS::PgBouncer->new($ctms, 'split', pool_mode => 'transaction',
    default_pool_size => 6);

# ---- the relay ------------------------------------------------------------------------------

sub relay_connection
{
    my ($client) = @_;
    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $bouncer->{port})
        or return;
    my $both = IO::Select->new($client, $server);
    while (1)
    {
        for my $from ($both->can_read)
        {
            my $bytes;
            sysread($from, $bytes, $from == $client ? 300 : 65536) or return;
            syswrite $from == $client ? $server : $client, $bytes;
            sleep 0.0005 if $from == $client;
        }
    }
}

# Returns its port; it ends with the test.
sub start_relay
{
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50) or die $!;
    my $pid = fork // die "fork: $!";
    return ($listener->sockport, $pid) if $pid;
    $SIG{CHLD} = 'IGNORE';
    while (my $client = $listener->accept)
    {
        next if fork;
        relay_connection($client);
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}

# ---- reads ------------------------------------------------------------------------------------

my ($port, $relay) = start_relay();
$ctms->start_rest(CTMS_DB_URL => 'postgresql://' . (getpwuid $>)[0] . "\@127.0.0.1:$port/ctms",
    CTMS_LISTEN_DB_URL => $ctms->db_url, CTMS_PROCESSES => 1, CTMS_DB_MAX_CONNECTIONS => 4);
$ctms->login;
my @wrong = CTMS::Replicas::at_once(sub {
    my ($id) = @_;
    return map {
        my $r = $ctms->request(GET => "/ctms/$id");
        my $found = eval { $r->{json}{email}{email_id} } // 'nothing';
        $r->{status} == 200 && $found eq $id ? () : "$r->{status} $found instead of $id";
    } 1 .. $ROUNDS;
}, @ids);
is(scalar @wrong, 0, 'each client got its contact') or diag join "\n", @wrong[0 .. 9];
$ctms->stop_program('rest');
kill 'TERM', $relay;
waitpid $relay, 0;
$bouncer->stop;
unlike(slurp("$PostgreSQL::Test::Utils::log_path/split_rest.log"), qr/mixes up sessions/,
    'and no session was mixed up');
done_testing();
