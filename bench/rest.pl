# How fast the REST server is, next to pgbench calling the same SQL functions in the same run; run
# by "make bench-rest". Numbers depend on the machine and on who else works there, the ratios less so.
#
# CTMS_BENCH_CONTACTS (10000), CTMS_BENCH_SECONDS (5) for each measurement, CTMS_BENCH_PROCESSES (1),
# CTMS_BENCH_CLIENTS (1,16,64,256).

use strict;
use warnings;
use CTMS::Test qw(slurp);
use List::Util qw(max);
use Test::More;

my $contacts = $ENV{CTMS_BENCH_CONTACTS} // 10_000;
my $seconds = $ENV{CTMS_BENCH_SECONDS} // 5;
my $processes = $ENV{CTMS_BENCH_PROCESSES} // 1;
my @clients = split /,/, $ENV{CTMS_BENCH_CLIENTS} // "1,16,64,256";
my $ctms = CTMS::Test->new('bench_rest', conf => join "\n", 'shared_buffers = 1GB', 'max_connections = 320',
    'log_statement = none', 'log_connections = off', 'log_disconnections = off', 'log_min_messages = panic');
$ctms->node->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'none'");
$ctms->node->reload;
delete @ENV{ grep { /^CTMS_BENCH_/ } keys %ENV };
$ctms->start_rest(CTMS_PROCESSES => $processes);
$ctms->login;
my $dir = $ENV{TESTDIR};

sub spew { my ($file, $content) = @_; open my $out, '>', "$dir/$file" or die $!; print {$out} $content; close $out; return "$dir/$file" }

$ctms->sql(<<SQL);
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name, last_name, basket_token, mailing_country, email_lang)
    SELECT 'u' || i || '\@example.com', 'First', 'Last', gen_random_uuid()::text, 'fr', 'fr' FROM generate_series(1, $contacts) i RETURNING email_id),
n AS (INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
    SELECT email_id, (ARRAY['mozilla-and-you', 'hubs'])[k], true, 'fr', 'https://www.example.com/' FROM c, generate_series(1, 2) k)
INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'relay', '{"geo": "fr"}' FROM c;
CREATE TABLE ids AS SELECT row_number() OVER () AS n, email_id FROM ctms.emails;
ALTER TABLE ids ADD PRIMARY KEY (n);
VACUUM ANALYZE;
SQL
my $ids = spew('ids', $ctms->sql('SELECT email_id FROM ctms.emails'));
my $numbers = spew('numbers', join "\n", 1 .. $contacts);

# ---- both sides -----------------------------------------------------------------------------
sub pgbench
{
    my ($script, $clients) = @_;
    # The first call of each session makes plans, which takes many sessions seconds.
    my $time = max($seconds, int($clients / 25));
    my $file = spew('script.sql', "\\set n random(1, $contacts)\n$script\n");
    my $out = `pgbench -n -M prepared -c $clients -j 1 -T $time -l --log-prefix=$dir/pgbench -f $file -h @{[ $ctms->node->host ]} -p @{[ $ctms->node->port ]} ctms 2>&1`;
    my ($tps) = $out =~ /tps = ([\d.]+)/ or die $out;
    my @samples = sort { $a <=> $b } map { (split)[2] / 1000 } map { split /\n/, slurp($_) } glob "$dir/pgbench.*";
    unlink glob "$dir/pgbench.*";
    return { rate => $tps, p99 => $samples[ $#samples * 0.99 ] };
}

sub rest
{
    my ($request, $clients, $lines) = @_;
    my ($head, $body) = split /\n\n/, $request, 2;
    $head .= "\nHost: localhost\nAuthorization: Bearer $ctms->{token}" . (defined $body ? "\nContent-Length: {length}" : '');
    my $file = spew('request', "$head\n\n" . ($body // ''));
    my $out = `$ENV{CTMS_TEST_BIN}/http-load $ctms->{rest_port} $clients $seconds $file $lines`;
    my %result = $out =~ /(\w+)=([\d.]+)/g;
    my @odd = grep { /^\d+$/ && !/^20[01]$/ } keys %result;
    die "http-load: $out" if @odd || !$result{rps};
    return { rate => $result{rps}, p99 => $result{p99_ms}, mb_s => $result{mb_s} };
}

my $body = '{"email": {"primary_email": "{n}@example.com", "first_name": "First", "email_lang": "fr"}, "newsletters": [{"name": "mozilla-and-you"}], "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}}]}';
my $customer = '{"object": "customer", "id": "cus_{n}", "created": 1600000000, "description": "fxa_{n}", "default_source": null, "invoice_settings": {"default_payment_method": null}}';
my $new = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint || '_' || :client_id || '_' || :n";
sub in_sql { my ($json, $number) = @_; return "(SELECT replace('$json', '{n}', $number))" }

my @cases = (
    [ 'GET by id', "GET /ctms/{line} HTTP/1.1", $ids, 'SELECT ctms.get_contact((SELECT email_id FROM ids WHERE n = :n));' ],
    [ 'GET by e-mail', "GET /ctms?primary_email=u{line}%40example.com HTTP/1.1", $numbers, "SELECT ctms.find_contacts(primary_email => 'u' || :n || '\@example.com');" ],
    [ 'PATCH', "PATCH /ctms/{line} HTTP/1.1\n\n{\"email\": {\"last_name\": \"{n}\"}}", $ids,
        "SELECT ctms.patch_contact((SELECT email_id FROM ids WHERE n = :n), '{\"email\": {\"last_name\": \"' || ($new) || '\"}}');" ],
    [ 'POST', "POST /ctms HTTP/1.1\n\n$body", $ids, 'SELECT contact FROM ctms.create_contact(' . in_sql($body, $new) . ');' ],
    [ 'POST /stripe', "POST /stripe HTTP/1.1\n\n$customer", $ids, 'SELECT ctms.upsert_stripe(ctms.parse_body(' . in_sql($customer, $new) . '));' ],
    [ 'updates, 100', "GET /updates?start=2000-01-01 HTTP/1.1", $ids, "SELECT ctms.get_updates('2000-01-01');" ]);

my $pk = pgbench('SELECT email_id FROM ids WHERE n = :n;', 64);
diag sprintf 'pgbench, 64 clients, one row by primary key: %.0f a second, p99 %.1f ms', @$pk{qw(rate p99)};
diag sprintf '%-14s %5s %10s %10s %8s %10s %10s %8s', 'call', 'conn.', 'REST 1/s', 'pgbench', 'ratio', 'p99 ms', 'pgbench', 'ratio';
for my $case (@cases)
{
    my ($name, $request, $lines, $script) = @$case;
    for my $clients (@clients)
    {
        # By turns, so that a busy moment of the machine meets both.
        my @pairs = map { [ rest($request, $clients, $lines), pgbench($script, $clients) ] } 1 .. 2;
        my ($rest, $sql) = map { my $side = $_; +{ rate => max(map { $_->[$side]{rate} } @pairs), p99 => (sort { $a <=> $b } map { $_->[$side]{p99} } @pairs)[0] } } 0, 1;
        diag sprintf '%-14s %5d %10.0f %10.0f %8.2f %10.1f %10.1f %8.2f', $name, $clients, $rest->{rate}, $sql->{rate}, $rest->{rate} / $sql->{rate},
            $rest->{p99}, $sql->{p99}, $rest->{p99} / $sql->{p99};
    }
}
$ctms->stop_program('rest');
pass('measured');
done_testing();
