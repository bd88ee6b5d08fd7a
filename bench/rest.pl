# How fast the REST server is, next to pgbench calling the same SQL functions in the same run, and
# how fast those are; run by "make bench-rest". Numbers depend on the machine and on who else works
# there, the ratios less so.
#
# CTMS_BENCH_PARTS (calls,updates,idle,sentry,size) of: each call, or those in CTMS_BENCH_CALLS
# (get,find,patch,create,stripe,updates), by the numbers of connections in
# CTMS_BENCH_CLIENTS (64; 1,16,64,256 say); /updates on one connection; CTMS_BENCH_IDLE (5000) idle
# connections; GET by id with and without SENTRY_DSN; a second database with CTMS_BENCH_LARGE
# (1000000) contacts beside that of CTMS_BENCH_CONTACTS (10000), in huge pages where the system has
# some (vm.nr_hugepages=1600). CTMS_BENCH_SECONDS (2) for each measurement, after one that does not
# count, CTMS_BENCH_TURNS (3), CTMS_BENCH_PROCESSES (1).
#
# Rates are of the best turn; those of the two sizes of the median one (CTMS_BENCH_TURNS=16, say).
# Where others work on the machine, few busy processes get less of it than pgbench's many: then the
# processor time of a call, which is printed too, says more.

use strict;
use warnings;
use CTMS::Test qw(slurp);
use HTTP::Tiny;
use IO::Socket::INET;
use List::Util qw(max min);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $small = $ENV{CTMS_BENCH_CONTACTS} // 10_000;
my $large = $ENV{CTMS_BENCH_LARGE} // 1_000_000;
my $seconds = $ENV{CTMS_BENCH_SECONDS} // 2;
my $turns = $ENV{CTMS_BENCH_TURNS} // 3;
my $processes = $ENV{CTMS_BENCH_PROCESSES} // 1;
my $idle = $ENV{CTMS_BENCH_IDLE} // 5000;
my @clients = split /,/, $ENV{CTMS_BENCH_CLIENTS} // 64;
my @calls = split /,/, $ENV{CTMS_BENCH_CALLS} // 'get,find,patch,create,stripe,updates';
my %parts = map { $_ => 1 } split /,/, $ENV{CTMS_BENCH_PARTS} // 'calls,updates,idle,sentry,size';
my @unknown = ((grep { !/^(?:calls|updates|idle|sentry|size)$/ } sort keys %parts),
    grep { !/^(?:get|find|patch|create|stripe|updates)$/ } @calls);
die "ctms: no such part or call: @unknown\n" if @unknown;
die "ctms: nothing to measure\n" if !%parts || !@clients || !@calls;
delete @ENV{ grep { /^CTMS_BENCH_/ } keys %ENV };
my $ctms = CTMS::Test->new('bench_rest', conf => join "\n", 'shared_buffers = 2GB',
    'max_connections = 320', 'max_wal_size = 8GB',
    'log_statement = none', 'log_connections = off', 'log_disconnections = off',
    'log_min_messages = panic');
my $node = $ctms->node;
$node->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'none'");
$node->reload;
$ctms->start_rest(CTMS_PROCESSES => $processes, CTMS_MAX_CONNECTIONS => $idle + 1000,
    CTMS_KEEPALIVE_TIMEOUT_S => 600);
$ctms->login;
my $dir = $ENV{TESTDIR};

sub spew
{
    my ($file, $content) = @_;
    open my $out, '>', "$dir/$file" or die $!;
    print {$out} $content;
    close $out;
    return "$dir/$file";
}

# ---- contacts ---------------------------------------------------------------------------------
# The id of contact n is md5(n): a script finds one without asking the database first.
sub fill
{
    my ($database, $contacts) = @_;
    $node->safe_psql($database, <<SQL);
SET ctms.enqueue = off;
INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name, basket_token,
        mailing_country, email_lang, update_timestamp)
    SELECT md5(i::text)::uuid, 'u' || i || '\@example.com', 'First', 'Last',
        gen_random_uuid()::text, 'fr', 'fr', '2024-01-01'::timestamptz + i * interval '1 second'
    FROM generate_series(1, $contacts) i;
INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
    SELECT md5(i::text)::uuid, (ARRAY['mozilla-and-you', 'hubs'])[k], true, 'fr',
        'https://www.example.com/'
    FROM generate_series(1, $contacts) i, generate_series(1, 2) k;
INSERT INTO ctms.waitlists (email_id, name, fields)
    SELECT md5(i::text)::uuid, 'relay', '{"geo": "fr"}' FROM generate_series(1, $contacts) i;
CREATE TABLE public.ids AS
    SELECT n, md5(n::text)::uuid AS email_id FROM generate_series(1, $contacts) AS n;
ALTER TABLE ids ADD PRIMARY KEY (n);
SQL
    $node->safe_psql($database, <<SQL);
CREATE SCHEMA hand;
CREATE TABLE hand.emails (LIKE ctms.emails INCLUDING ALL);
CREATE TABLE hand.newsletters
    (LIKE ctms.newsletters INCLUDING ALL, FOREIGN KEY (email_id) REFERENCES hand.emails);
CREATE TABLE hand.waitlists
    (LIKE ctms.waitlists INCLUDING ALL, FOREIGN KEY (email_id) REFERENCES hand.emails);
CREATE TABLE hand.pending_acoustic
    (LIKE ctms.pending_acoustic INCLUDING ALL, FOREIGN KEY (email_id) REFERENCES hand.emails);
INSERT INTO hand.emails SELECT * FROM ctms.emails;
SQL
    # Hint bits are set and pages written for both, however many contacts there are.
    $node->safe_psql($database, 'VACUUM ANALYZE');
    $node->safe_psql($database, 'CHECKPOINT');
    return;
}

fill('ctms', $small);
my $ids = spew('ids', $ctms->sql('SELECT email_id FROM ctms.emails'));
my $numbers = spew('numbers', join "\n", 1 .. $small);

# ---- both sides -----------------------------------------------------------------------------
# Processor time in seconds: of processes that run, and of the backends that have ended.
sub used
{
    my $ns = 0;
    $ns += (split ' ', slurp("/proc/$_/schedstat") || 0)[0] for @_;
    return $ns / 1e9;
}
my ($postmaster) = split /\n/, slurp($node->data_dir . '/postmaster.pid');
sub used_by_ended
{
    my @field = split ' ', slurp("/proc/$postmaster/stat") =~ s/.*\) //sr;
    return ($field[13] + $field[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}
sub servers
{
    my ($on) = @_;
    my $pids = `pgrep -P @{[ $on->pid('rest') ]}`;
    return split ' ', $pids;
}
sub backends
{
    my ($database) = @_;
    return split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity
        WHERE datname = '$database' AND backend_type = 'client backend'");
}

sub pgbench
{
    my ($script, $clients, $database, $contacts) = @_;
    $database //= 'ctms';
    $contacts //= $small;
    my $time = max($seconds, int($clients / 25));
    my $file = spew('script.sql',
        "\\set n random(1, $contacts)\n\\set r random(1, 1000000000000000)\n$script\n");
    my $used = used_by_ended();
    my $server = '-h ' . $node->host . ' -p ' . $node->port;
    my $seconds = 1 + $time;
    my $out = `pgbench -n -M prepared -c $clients -j 1 -T $seconds -l \\
        --log-prefix=$dir/pgbench -f $file $server $database 2>&1`;
    die $out if $out !~ /tps = [\d.]+/;
    # Sessions make plans and see pages for the first time: only what ends in the last seconds
    # counts.
    my @all = map {
        my @column = split;
        [ $column[4] + $column[5] / 1e6, $column[2] / 1000 ];
    } map { split /\n/, slurp($_) } glob "$dir/pgbench.*";
    unlink glob "$dir/pgbench.*";
    my $begin = max(map { $_->[0] } @all) - $time;
    my @samples = sort { $a <=> $b } map { $_->[0] >= $begin ? $_->[1] : () } @all;
    return { rate => @samples / $time, p99 => $samples[ $#samples * 0.99 ],
        cpu => 1e6 * (used_by_ended() - $used) / @all };
}

sub rest
{
    my ($request, $clients, $lines, $on, $database) = @_;
    $on //= $ctms;
    my ($head, $body) = split /\n\n/, $request, 2;
    $head .= "\nHost: localhost\nAuthorization: Bearer $ctms->{token}"
        . (defined $body ? "\nContent-Length: {length}" : '');
    my $file = spew('request', "$head\n\n" . ($body // ''));
    my @pids = (servers($on), backends($database // 'ctms'));
    die "no processor time: there is no process of the REST server or of its database\n"
        if @pids < 2;
    my $load = "$ENV{CTMS_TEST_BIN}/http-load $on->{rest_port} $clients";
    `$load 1 $file $lines`;
    my $used = used(@pids);
    my $out = `$load $seconds $file $lines`;
    my %result = $out =~ /(\w+)=([\d.]+)/g;
    my @odd = grep { /^\d+$/ && !/^20[01]$/ } keys %result;
    die "http-load: $out" if @odd || !$result{rps};
    return { rate => $result{rps}, p50 => $result{p50_ms},
        p99 => $result{p99_ms}, first_byte => $result{first_byte_ms},
        cpu => 1e6 * (used(@pids) - $used) / ($result{rps} * $seconds) };
}

# Measures by turns, so that a busy moment of the machine meets all; takes the best of each.
sub by_turns
{
    my ($times, @measures) = @_;
    my @best;
    for (1 .. $times)
    {
        for my $i (0 .. $#measures)
        {
            my $result = $measures[$i]->();
            $best[$i]{rate} = max($result->{rate}, $best[$i]{rate} // 0);
            $best[$i]{$_} = min($result->{$_}, $best[$i]{$_} // 'inf')
                for grep { defined $result->{$_} } qw(p50 p99 first_byte cpu);
        }
    }
    return @best;
}

# Two measures by turns, each second time the other first: the median of either, and of what the
# second is of the first in each pair, with the quartiles of that.
sub median
{
    my @sorted = sort { $a <=> $b } @_;
    return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}
sub by_pairs
{
    my ($times, @measures) = @_;
    my (@results, @ratios);
    for my $time (1 .. $times)
    {
        my @order = $time % 2 ? (0, 1) : (1, 0);
        my %pair = map { $_ => $measures[$_]->() } @order;
        push @{ $results[$_] }, $pair{$_} for 0, 1;
        push @ratios, $pair{1}{rate} / $pair{0}{rate};
    }
    my @medians = map {
        my $of = $_;
        +{ map { my $key = $_; $key => median(map { $_->{$key} } @$of) } qw(rate cpu) };
    } @results;
    my @sorted = sort { $a <=> $b } @ratios;
    return (@medians, { median => median(@ratios), low => $sorted[ $#sorted / 4 ],
            high => $sorted[ $#sorted * 3 / 4 ] });
}

my $pk_script = 'SELECT email_id FROM ids WHERE n = :n;';
my $get_script = 'SELECT ctms.get_contact(md5(:n::text)::uuid);';
my $body = '{"email": {"primary_email": "{n}@example.com", "first_name": "First",
    "email_lang": "fr"}, "newsletters": [{"name": "mozilla-and-you"}], "waitlists": [{"name": "vpn",
    "fields": {"geo": "fr"}}]}';
my $customer = '{"object": "customer", "id": "cus_{n}",
    "created": 1600000000, "description": "fxa_{n}", "default_source": null,
    "invoice_settings": {"default_payment_method": null}}';
sub in_sql { my ($json) = @_; return "(SELECT replace('$json', '{n}', :r::text))" }
my $enqueue = "INSERT INTO hand.pending_acoustic AS p (email_id, generation)
    VALUES (ID, txid_current()) ON CONFLICT (email_id) DO UPDATE SET"
    . " generation = excluded.generation, retry = 0, last_error = NULL, retry_after = NULL,"
    . " update_timestamp = now();";
sub enqueue { my ($id) = @_; return $enqueue =~ s/ID/$id/r }
my %scripts = (
    get => $get_script,
    find => "SELECT ctms.find_contacts(primary_email => 'u' || :n || '\@example.com');",
    patch => "SELECT ctms.patch_contact(md5(:n::text)::uuid,
        '{\"email\": {\"last_name\": \"' || :r::text || '\"}}');",
    create => 'SELECT contact FROM ctms.create_contact(' . in_sql($body) . ');',
    stripe => 'SELECT ctms.upsert_stripe(ctms.parse_body(' . in_sql($customer) . '));',
    updates => "SELECT ctms.get_updates('2000-01-01');",
    hand_patch => "BEGIN;\nUPDATE hand.emails SET last_name = :r::text, update_timestamp = now()"
        . " WHERE email_id = md5(:n::text)::uuid;\n" . enqueue('md5(:n::text)::uuid') . "\nCOMMIT;",
    hand_create => "BEGIN;\nINSERT INTO hand.emails"
        . " (email_id, primary_email, first_name, email_lang, email_format)"
        . " VALUES (md5(:r::text)::uuid, :r || '\@example.com', 'First', 'fr', 'H');\n"
        . "INSERT INTO hand.newsletters (email_id, name, subscribed, format, lang)
            VALUES (md5(:r::text)::uuid, 'mozilla-and-you', true, 'H', 'en');\n"
        . "INSERT INTO hand.waitlists (email_id, name, fields) VALUES (md5(:r::text)::uuid, 'vpn',
            '{\"geo\": \"fr\"}');\n" . enqueue('md5(:r::text)::uuid') . "\nCOMMIT;");
my %requests = (
    get => [ "GET /ctms/{line} HTTP/1.1", $ids ],
    find => [ "GET /ctms?primary_email=u{line}%40example.com HTTP/1.1", $numbers ],
    patch => [ "PATCH /ctms/{line} HTTP/1.1\n\n{\"email\": {\"last_name\": \"{n}\"}}", $ids ],
    create => [ "POST /ctms HTTP/1.1\n\n$body", $ids ],
    stripe => [ "POST /stripe HTTP/1.1\n\n$customer", $ids ],
    updates => [ "GET /updates?start=2000-01-01 HTTP/1.1", $ids ]);

# ---- SQL alone, and each call --------------------------------------------------------------------
if ($parts{calls})
{
    my ($pk, $get, $patch, $hand_patch, $create, $hand_create) = by_turns($turns, map {
        my $script = $_;
        sub { pgbench($script, 64) };
    } $pk_script, @scripts{qw(get patch hand_patch create hand_create)});
    diag sprintf 'pgbench, 64 clients, one row by primary key: %.0f a second, p99 %.1f ms',
        @$pk{qw(rate p99)};
    diag sprintf 'ctms.get_contact %.0f: %.2f of it', $get->{rate}, $get->{rate} / $pk->{rate};
    diag sprintf 'ctms.patch_contact %.0f, by hand %.0f: %.2f', $patch->{rate}, $hand_patch->{rate},
        $patch->{rate} / $hand_patch->{rate};
    diag sprintf 'ctms.create_contact %.0f, by hand %.0f: %.2f', $create->{rate},
        $hand_create->{rate}, $create->{rate} / $hand_create->{rate};
    diag sprintf 'processor time in the database: PK %.0f us, get %.0f, patch %.0f,'
        . ' by hand %.0f, create %.0f, by hand %.0f',
        map { $_->{cpu} } $pk, $get, $patch, $hand_patch, $create, $hand_create;
    diag sprintf '%-8s %5s %9s %9s %6s %8s %8s %8s %6s %6s %8s %8s', 'call', 'conn.', 'REST 1/s',
        'pgbench', 'ratio', 'p50 ms', 'p99 ms', 'pgbench', 'ratio', 'of PK', 'cpu us', 'pgbench';
    for my $call (@calls)
    {
        for my $count (@clients)
        {
            my ($rest, $sql) = by_turns($turns, sub { rest($requests{$call}[0], $count,
                    $requests{$call}[1]) }, sub { pgbench($scripts{$call}, $count) });
            diag sprintf '%-8s %5d %9.0f %9.0f %6.2f %8.1f %8.1f %8.1f %6.2f %6.2f %8.0f %8.0f',
                $call, $count, $rest->{rate}, $sql->{rate}, $rest->{rate} / $sql->{rate},
                $rest->{p50}, $rest->{p99}, $sql->{p99}, $rest->{p99} / $sql->{p99},
                $rest->{rate} / $pk->{rate}, $rest->{cpu}, $sql->{cpu};
        }
    }
}

# ---- /updates on one connection ------------------------------------------------------------------
if ($parts{updates})
{
    for my $limit (100, 1000)
    {
        my ($result) = by_turns($turns,
            sub { rest("GET /updates?start=2000-01-01&limit=$limit HTTP/1.1", 1, $ids) });
        diag sprintf '/updates by %d on one connection: %.0f contacts a second,'
            . ' first byte after %.1f ms; %.1f us of processor time a contact',
            $limit, $limit * $result->{rate}, $result->{first_byte}, $result->{cpu} / $limit;
    }
}

# ---- idle connections ----------------------------------------------------------------------------
sub memory_kb
{
    return map { slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : () } split ' ',
        `pgrep -P @{[ $ctms->pid('rest') ]}`;
}
if ($parts{idle})
{
    my $measure = sub { rest($requests{get}[0], 64, $ids) };
    my ($before) = by_turns($turns, $measure);
    my @memory = memory_kb();
    my @crowd;
    for (1 .. $idle)
    {
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$ctms->{rest_port}")
            or die "connection $_: $!";
        $socket->syswrite("GET /__lbheartbeat__ HTTP/1.1\r\nHost: x\r\n\r\n");
        $socket->sysread(my $answer, 65536);
        die "connection $_: " . ($answer || 'no answer') if ($answer // '') !~ m{^HTTP/1\.1 200 };
        push @crowd, $socket;
    }
    diag sprintf '%d idle connections: memory of the process %s MB, before %s MB', scalar @crowd,
        map { join ', ', map { sprintf '%.1f', $_ / 1024 } @$_ } [ memory_kb() ], \@memory;
    my ($with, $sql) = by_turns($turns, $measure, sub { pgbench($get_script, 64) });
    close $_ for @crowd;
    my ($after) = by_turns($turns, $measure);
    diag sprintf 'GET by id: %.0f a second before, %.0f with them (%.2f of pgbench, p99 %.1f ms),'
        . ' %.0f after',
        $before->{rate}, $with->{rate}, $with->{rate} / $sql->{rate}, $with->{p99}, $after->{rate};
}

# ---- Sentry, when nothing goes wrong -------------------------------------------------------------
# A server beside ours, for a database of the cluster.
sub start_beside
{
    my ($name, %env) = @_;
    my $beside = CTMS::Test->programs_only($name);
    $beside->{node} = $node;
    $beside->start_rest(CTMS_PROCESSES => $processes, %env);
    return $beside;
}

if ($parts{sentry})
{
    my $with_sentry = start_beside('rest_sentry', SENTRY_DSN => 'http://key@127.0.0.1:1/1');
    my ($without, $with) = by_turns($turns, sub { rest($requests{get}[0], 64, $ids) },
        sub { rest($requests{get}[0], 64, $ids, $with_sentry) });
    diag sprintf 'GET by id: %.0f a second, with SENTRY_DSN %.0f: %.2f;'
        . ' processor time %.1f us, with it %.1f',
        $without->{rate}, $with->{rate}, $with->{rate} / $without->{rate}, $without->{cpu},
        $with->{cpu};
    $with_sentry->stop_program('rest');
}

# ---- a large database ----------------------------------------------------------------------------
# Pages of 1000 from the first contact to the last, with the time of the first hundred pages and the
# last.
sub walk
{
    my ($on) = @_;
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
    my ($path, %seen, @times) = ("/updates?start=2000-01-01&end=2030-01-01&limit=1000");
    while (defined $path)
    {
        my $begun = time;
        my $answer = $http->get("http://127.0.0.1:$on->{rest_port}$path",
            { headers => { Authorization => "Bearer $ctms->{token}" } });
        die "$path: $answer->{status} $answer->{content}\n" if $answer->{status} != 200;
        my $page = $answer->{content};
        push @times, time - $begun;
        $seen{$_}++ for $page =~ /"email_id":"([^"]+)"/g;
        ($path) = $page =~ m{"next":"https?://[^/]+([^"]+)"};
    }
    return (\%seen, @times);
}
sub mean { return eval { my $sum = 0; $sum += $_ for @_; $sum / @_ } }

if ($parts{size})
{
    $node->safe_psql('postgres', 'CREATE DATABASE ctms_large');
    $node->safe_psql('ctms_large', 'CREATE EXTENSION ctms');
    my $begun = time;
    fill('ctms_large', $large);
    diag sprintf '%d contacts made in %.0f s', $large, time - $begun;
    my $client = $ctms->sql("SELECT
        format('INSERT INTO ctms.api_client (client_id, email, hashed_secret) VALUES (%L, %L, %L)',
        client_id, email, hashed_secret) FROM ctms.api_client");
    $node->safe_psql('ctms_large', $client);
    my $on_large = start_beside('rest_large', CTMS_DB_URL => $ctms->db_url('ctms_large'));
    spew('large_ids', $node->safe_psql('ctms_large', 'SELECT email_id FROM ctms.emails'));
    spew('large_numbers', join "\n", 1 .. $large);
    my $has_huge_pages = slurp("/proc/$postmaster/smaps") =~ /^KernelPageSize:\s+(?!4 kB)/m;
    diag sprintf 'shared buffers in %s pages', $has_huge_pages ? 'huge' : 'small';
    diag sprintf '%-16s %10s %10s %6s %12s %8s %8s', '64 clients', $small, $large, 'ratio',
        'quartiles', 'cpu us', 'cpu us';
    my $compare = sub {
        my ($name, @measures) = @_;
        my ($few, $many, $ratio) = by_pairs($turns, @measures);
        diag sprintf '%-16s %10.0f %10.0f %6.2f %6.2f..%.2f %8.0f %8.0f', $name, $few->{rate},
            $many->{rate}, @$ratio{qw(median low high)}, $few->{cpu}, $many->{cpu};
    };
    # What PostgreSQL itself makes of the sizes.
    $compare->('pgbench, PK', sub { pgbench($pk_script, 64) },
        sub { pgbench($pk_script, 64, 'ctms_large', $large) });
    for my $call (grep { $_ ne 'updates' } @calls)
    {
        my ($request, $lines) = @{ $requests{$call} };
        my $of_large = $call eq 'find' ? "$dir/large_numbers" : "$dir/large_ids";
        $compare->("REST $call", sub { rest($request, 64, $lines) },
            sub { rest($request, 64, $of_large, $on_large, 'ctms_large') });
    }
    $ctms->stop_program('rest');
    my $writer = fork // die $!;
    if (!$writer)
    {
        my $file = spew('writer.sql',
            "\\set n random(1, $large)\nSELECT ctms.patch_contact(md5(:n::text)::uuid, '{}');\n");
        open STDOUT, '>', '/dev/null';
        exec 'pgbench', '-n', '-M', 'prepared', '-c', 1, '-R', 200, '-T', 3600, '-f', $file, '-h',
            $node->host, '-p', $node->port, 'ctms_large' or POSIX::_exit(1);
    }
    my ($seen, @times) = walk($on_large);
    die "nobody changed contacts meanwhile: pgbench ended\n"
        if waitpid($writer, POSIX::WNOHANG()) != 0;
    kill TERM => $writer;
    waitpid $writer, 0;
    my @changed = split /\n/, $node->safe_psql('ctms_large',
        "SELECT email_id FROM ctms.emails WHERE update_timestamp > '2025-01-01'");
    my %changed = map { $_ => 1 } @changed;
    my $twice = grep { $seen->{$_} > 1 && !$changed{$_} } keys %$seen;
    my $missed = $node->safe_psql('ctms_large', 'SELECT count(*) FROM ctms.emails') - keys %$seen;
    diag sprintf '/updates through all, %d contacts changing meanwhile: %d missed,'
        . ' %d of the others twice', scalar @changed, $missed, $twice;
    diag sprintf 'a page: the first hundred %.1f ms, the last hundred %.1f ms'
        . ' (reading the JSON not counted)',
        map { 1000 * mean(@$_) } [ @times[ 0 .. min(99, $#times) ] ],
        [ @times[ -min(100, scalar @times) .. -1 ] ];
}
pass('measured');
done_testing();
