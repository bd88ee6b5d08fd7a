# How fast the agent carries contacts to Acoustic, and how soon it begins; run by
# "make bench-agent". Numbers depend on the machine, the ratios less so.
#
# CTMS_BENCH_CONTACTS (20000) for the run without latency, CTMS_BENCH_SECONDS (20) for the one with.

use strict;
use warnings;
use Test::More;
use IPC::Run;
use Time::HiRes qw(sleep time);
use CTMS::Test qw(poll_until);

use constant { ROWS_PER_CALL => 100, IN_FLIGHT => 10, HZ => POSIX::sysconf(POSIX::_SC_CLK_TCK()) };

my $contacts = $ENV{CTMS_BENCH_CONTACTS} // 20000;
my $seconds = $ENV{CTMS_BENCH_SECONDS} // 20;
my $ctms = CTMS::Test->new('bench',
    conf => join "\n", 'shared_buffers = 512MB', 'log_statement = none',
    'log_connections = off', 'log_disconnections = off', 'track_commit_timestamp = on');
$ctms->node->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'none'");
$ctms->node->reload;
$ctms->start_sandbox;

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
}
sub stats { return $ctms->sandbox('/_sandbox/stats?sent=0')->{json} }
sub start_agent
{
    return $ctms->start_agent(CTMS_LOGGING_LEVEL => 'INFO', CTMS_ACOUSTIC_LOOP_MIN_SECS => 5, @_);
}

# Each with two newsletters and a waitlist.
sub add_contacts
{
    my ($name, $count) = @_;
    $ctms->sql(<<SQL);
WITH c AS (INSERT INTO ctms.emails
        (primary_email, first_name, last_name, basket_token, mailing_country, email_lang)
    SELECT '$name' || i || '\@example.com', 'First', 'Last', gen_random_uuid()::text, 'fr', 'fr'
    FROM generate_series(1, $count) i RETURNING email_id),
n AS (INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
    SELECT email_id, (ARRAY['mozilla-and-you', 'hubs'])[k], true, 'fr', 'https://www.example.com/'
    FROM c, generate_series(1, 2) k)
INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'relay', '{"geo": "fr"}' FROM c
SQL
    $ctms->sql('VACUUM ANALYZE');
    return;
}

sub cpu_s
{
    my ($pid) = @_;
    open my $stat, '<', "/proc/$pid/stat" or return 0;
    my @fields = split / /, <$stat> // return 0;
    return ($fields[13] + $fields[14]) / HZ;
}

# Of this cluster: the postmaster, what it has waited for, and its children.
sub postgres_cpu_s
{
    my ($pid) = split /\n/, CTMS::Test::slurp($ctms->node->data_dir . '/postmaster.pid');
    open my $stat, '<', "/proc/$pid/stat" or die "PostgreSQL has ended: /proc/$pid/stat: $!\n";
    my @fields = split / /, <$stat>;
    my $sum = ($fields[13] + $fields[14] + $fields[15] + $fields[16]) / HZ;
    $sum += cpu_s($_) for split ' ', CTMS::Test::slurp("/proc/$pid/task/$pid/children");
    return $sum;
}

# Zero for what has ended.
sub used_by
{
    my ($name) = @_;
    return cpu_s($ctms->pid($name)) || die "no processor time of $name: it has ended\n";
}
sub usage { return (time, stats(), used_by('agent'), used_by('sandbox'), postgres_cpu_s()) }

# Runs from the moment at which the line is at work until "done"; returns what happened between.
sub measure
{
    my ($done) = @_;
    my $first = stats()->{recipients};
    poll_until(sub { stats()->{recipients} > $first + 100 }, 'the line is at work', 60);
    my @from = usage();
    poll_until(sub { sleep 0.1; $done->() }, 'done', 600);
    my @to = usage();
    my $n = $to[1]{recipients} - $from[1]{recipients};
    my %r = (n => $n, s => $to[0] - $from[0], calls => 0);
    $r{calls} += $to[1]{requests}{$_} - $from[1]{requests}{$_} for qw(newsletter waitlist product);
    @r{qw(agent sandbox postgres)} = map { 1e6 * ($to[$_] - $from[$_]) / $n } 2 .. 4;
    return \%r;
}

# ---- without latency ------------------------------------------------------------------

add_contacts('fast', $contacts);
start_agent();
my $r = measure(sub { stats()->{recipients} >= $contacts });
diag sprintf "0 ms: %d contacts in %.1f s: %.0f a second; CPU a contact: agent %.0f us,"
    . " sandbox %.0f us, PostgreSQL %.0f us",
    $r->{n}, $r->{s}, $r->{n} / $r->{s}, @$r{qw(agent sandbox postgres)};
diag sprintf '0 ms: %.2f relational calls per hundred contacts; three would be full',
    100 * $r->{calls} / $r->{n};
poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
    'the queue is empty');

# ---- how soon ---------------------------------------------------------------------------

# The writer is a session that is open already, as the REST server's are; nothing else runs
# meanwhile.
my ($in, $out) = ('', '');
my $writer = IPC::Run::start([ 'psql', '-XAtq', '-d', $ctms->db_url ], \$in, \$out);
my @ids;
for my $i (1 .. 300)
{
    $out = '';
    $in .= "INSERT INTO ctms.emails (primary_email)
        VALUES ('wake$i\@example.com') RETURNING email_id;\n";
    $writer->pump until $out =~ /^([-0-9a-f]{36})\n/;
    push @ids, $1;
    sleep 0.1;
}
$writer->kill_kill;
poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
    'the queue is empty');
my %arrived = map { $_->{email_id} => $_->{time} }
    reverse @{ $ctms->sandbox('/_sandbox/ledger?after=' . (stats()->{ledger} - @ids) )->{json} };
my %committed = map { split /\|/ } split /\n/,
    $ctms->sql("SELECT email_id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM ctms.emails
        WHERE primary_email LIKE 'wake%'");
my @lost = grep { !$arrived{$_} || !$committed{$_} } @ids;
die 'not measured: ' . @lost . ' of ' . @ids . " contacts have no request or no time of commit\n"
    if @lost;
my @delays = map { 1000 * ($arrived{$_} - $committed{$_}) } @ids;
@delays = sort { $a <=> $b } @delays;
diag sprintf 'commit to first request, idle agent: p50 %.1f ms, p99 %.1f ms', @delays[ 149, 297 ];

# ---- with 100 ms --------------------------------------------------------------------------

settings(latency_ms => 100);
add_contacts('slow', 120 * $seconds);
my $until = time + $seconds + 3;
$r = measure(sub { time > $until });
my $bound = IN_FLIGHT / 0.1 / (1 + 3 / ROWS_PER_CALL);
diag sprintf '100 ms, 10 in flight: %.1f contacts a second;'
    . ' bound 100 requests a second / (1 + 3 rows / 100) = %.1f; ratio %.3f',
    $r->{n} / $r->{s}, $bound, $r->{n} / $r->{s} / $bound;
$ctms->stop_program('agent', 'KILL');
pass('measured');
done_testing();
