# ctms acoustic resync, cancel, retry: which contacts they mean, what they do, when they ask.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli_queue');
my $json = JSON::PP->new->utf8;
my $admin = $ctms->db_url . '&user=operator';
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin;
    CREATE ROLE reader LOGIN IN ROLE ctms_reader');

sub acoustic { my (@args) = @_; return $ctms->cli('acoustic', @args, '--db-url', $admin) }

# The contacts of a lane, by the part of the address before the @.
sub lane
{
    my ($name) = @_;
    my $is_bulk = $name eq 'bulk' ? 'is_bulk' : 'NOT is_bulk';
    return $ctms->sql("SELECT coalesce(string_agg(split_part(primary_email, '\@', 1), ' '
        ORDER BY primary_email), '') FROM ctms.pending_acoustic JOIN ctms.emails USING (email_id)
        WHERE $is_bulk");
}
sub waiting { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub clear { $ctms->sql('DELETE FROM ctms.pending_acoustic'); return }
sub id { my ($name) = @_; return $ctms->sql("SELECT email_id FROM ctms.emails
    WHERE primary_email = '$name\@example.com'") }

my $token = '3f0b0f5e-8d0a-4d65-9d1e-2f4f4b1f5b11';
$ctms->sql(qq{
    INSERT INTO ctms.emails (primary_email) SELECT 'c' || n || '\@example.com'
        FROM generate_series(1, 6) n;
    UPDATE ctms.emails SET basket_token = '$token' WHERE primary_email = 'c5\@example.com';
    INSERT INTO ctms.fxa (email_id, fxa_id) SELECT email_id, 'fxa-4' FROM ctms.emails
        WHERE primary_email = 'c4\@example.com';
    INSERT INTO ctms.newsletters (email_id, name, subscribed)
        SELECT email_id, 'hubs', primary_email < 'c2' FROM ctms.emails WHERE primary_email < 'c3';
    INSERT INTO ctms.waitlists (email_id, name) SELECT email_id, 'relay' FROM ctms.emails
        WHERE primary_email > 'c6';
});
clear();
my $file = "$ENV{TESTDIR}/queue_addresses";

sub run_stranger_query
{
    return acoustic('resync', '-q', "SELECT email_id FROM ctms.emails WHERE primary_email =
        'c1\@example.com' UNION ALL SELECT gen_random_uuid() FROM generate_series(1, 3)", @_);
}

# ---- resync: which contacts -------------------------------------------------------------

is((acoustic('resync'))[0], 2, 'nothing is chosen');
is((acoustic(qw(resync --all c1@example.com)))[0], 2, 'all, and some');
is(waiting(), 0, 'nothing waits');

my ($rc, $out, $err) = acoustic('resync', 'C1@Example.com', id('c2'), 'fxa-4', $token);
is("$rc $out", "0 4 contacts enqueued\n", 'by address, email_id, fxa_id and token');
is(lane('live') . '|' . lane('bulk'), 'c1 c2 c4 c5|', 'named ones are live');
like($err, qr/\Actms: 4 contacts to enqueue \(live lane\): rate unknown, nothing had to wait/,
    'says how many');
like($err, qr/about 1 second at 10 requests of 100 ms at a time/, 'and how long');
clear();
($rc, $out, $err) = acoustic(qw(resync c1@example.com nobody@example.com c1@example.com c2@x));
is("$rc $out", "4 1 contacts enqueued, 2 not found\n", 'unknown ones');
like($err, qr/^ctms: not found: nobody\@example\.com\nctms: not found: c2\@x\n/, 'are named');
is(lane('live'), 'c1', 'the others are enqueued');
clear();

append_to_file($file, "c3\@example.com\n\nwho\@example.com\nc4\@example.com\n");
($rc, $out, $err) = acoustic('resync', '-f', $file, 'c1@example.com');
is("$rc $out", "4 3 contacts enqueued, 1 not found\n", 'a file and an argument');
like($err, qr/^ctms: not found: who\@example\.com \(\S+addresses, line 3\)$/m, 'by its line');
is(() = $err =~ /not found/g, 1, 'once');
is(lane('live') . '|' . lane('bulk'), '|c1 c3 c4', 'in bulk');
clear();
is((acoustic(qw(resync --live -n hubs -w relay)))[1], "3 contacts enqueued\n", 'two lists, live');
is(lane('live'), 'c1 c2 c6', 'their contacts');
is((acoustic(qw(resync -n hubs)))[0], 0, 'the same in bulk');
is(lane('live'), 'c1 c2 c6', 'stay where they are');
clear();

for my $wrong ([ -n => 'hub', 'hubs' ], [ -w => 'rleay', 'relay' ], [ -n => 'relay' ])
{
    my ($option, $name, $near) = @$wrong;
    ($rc, $out, $err) = acoustic('resync', $option, $name);
    is("$rc $out", '4 ', "$option $name: nobody has it");
    my $question = $near ? qr/; did you mean "$near"\?/ : '';
    like($err, qr/^ctms: no contact has the \w+ "$name"$question$/m, 'and says so');
}
is((acoustic(qw(resync -n hubs -w nothing)))[0], 4, 'one of two');
is(waiting(), 0, 'nothing is enqueued');

is((acoustic(qw(resync --all)))[1], "6 contacts enqueued\n", 'all');
is(lane('bulk'), 'c1 c2 c3 c4 c5 c6', 'in bulk');
clear();

# ---- a query ------------------------------------------------------------------------------

my $some = 'SELECT email_id FROM ctms.emails WHERE primary_email < \'c3\'';
for my $query ($some, "$some ;\n", "$some -- a comment", "WITH a AS ($some) TABLE a",
    'SELECT n, email_id FROM ctms.newsletters, generate_series(1, 2) AS n',
    "$some UNION ALL SELECT NULL")
{
    ($rc, $out, $err) = acoustic('resync', '-q', $query);
    is("$rc $out", "0 2 contacts enqueued\n", "query: $query") or diag $err;
    is(lane('bulk'), 'c1 c2', 'its contacts');
    clear();
}
my @wrong = (
    [ "SELECT emial_id\nFROM ctms.emails WHERE true", 1,
        qr/^ctms: column "emial_id" does not exist \(42703\)\n.*line 1, column 8 of the query$/ms ],
    [ "SELECT 'ä', email_id\nFROM ctms.mails", 1, qr/line 2, column 6 of the query$/m ],
    [ 'SELECT (', 1, qr/\(42601\)\n  at line 1, column 9 of the query$/m ],
    [ 'SELECT 1; SELECT 2', 1, qr/multiple commands.*\(42601\)$/m ],
    [ 'SELECT primary_email, first_name FROM ctms.emails', 2,
        qr/no column email_id; it has "primary_email", "first_name"$/m ],
    [ '', 2, qr/no column email_id$/m ],
    [ 'SET work_mem = 1', 2, qr/no column email_id$/m ],
    [ 'SELECT email_id, email_id FROM ctms.emails', 2, qr/has 2 columns email_id$/m ],
    [ 'SELECT primary_email AS email_id FROM ctms.emails', 2,
        qr/column email_id of the query has the type character varying; it must be uuid$/m ],
    [ 'SELECT email_id FROM ctms.emails WHERE primary_email = $1', 2, qr/has a parameter/ ],
    [ 'DELETE FROM ctms.emails RETURNING email_id', 2, qr/must be one SELECT that changes/ ],
    [ "WITH d AS (DELETE FROM ctms.amo RETURNING email_id) SELECT email_id FROM d", 2,
        qr/must be one SELECT that changes/ ],
    [ "$some FOR UPDATE", 1, qr/read-only transaction \(25006\)\n  hint: A query may only read/ ],
    [ "SELECT email_id FROM ctms.emails, nextval('ctms.newsletters_id_seq')", 1,
        qr/read-only transaction \(25006\)$/m ],
    [ 'SELECT email_id FROM ctms.emails WHERE 1 / (length(primary_email) - 14) = 1', 1,
        qr/division by zero \(22012\)$/m ]);
for my $wrong (@wrong)
{
    my ($query, $status, $message) = @$wrong;
    ($rc, $out, $err) = acoustic('resync', '--yes', '-q', $query);
    is("$rc $out", "$status ", "wrong query: $query");
    like($err, $message, 'what is wrong');
}
($rc, $out, $err) = acoustic('resync', '--timeout', 1, '-q',
    'SELECT email_id FROM ctms.emails, pg_sleep(60)');
is("$rc $out", '3 ', 'a query that takes too long');
is(waiting(), 0, 'nothing is enqueued');
($rc, $out, $err) = acoustic(qw(resync --yes -q), "$some AND
    set_config('default_transaction_read_only', 'on', false) IS NOT NULL");
is("$rc $out", "0 2 contacts enqueued\n", 'settings of a query end with it');
clear();
$ctms->sql('CREATE ROLE "stranger"" " LOGIN');
($rc, $out, $err) = $ctms->cli(qw(acoustic diff --db-url),
    $ctms->db_url . '&user=stranger%22%20');
like($err, qr/ GRANT ctms_admin TO "stranger"" "\n/, 'what to run as a superuser is quoted');
unlike($err, qr/of the query/, 'a query that nobody gave has no place');
like((acoustic('diff', '-q', 'SELECT emial_id FROM ctms.emails'))[2], qr/line 1, column 8/,
    'diff says it as well');
is((acoustic('dump', '-q', "$some;"))[0], 0, 'dump takes a semicolon');

($rc, $out) = run_stranger_query();
is("$rc $out", "0 1 contacts enqueued, 3 are no contacts\n", 'a query of other ids');
is($json->decode((run_stranger_query('--json'))[1])->{missing}, 3, 'as JSON');

# ---- many ----------------------------------------------------------------------------------

$ctms->sql(q{
    INSERT INTO ctms.emails (primary_email) SELECT 'many' || n || '@example.com'
        FROM generate_series(1, 2500) n;
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'many' FROM ctms.emails
        WHERE primary_email LIKE 'many%';
    SELECT ctms.share_acoustic('an agent', 1, 0, 10, '1 hour', 12.5);
});
clear();
($rc, $out, $err) = acoustic(qw(resync -n many));
is("$rc $out", '6 ', 'many need --yes');
my $how_long = 'about 3 minutes at the 12.5 contacts a second that were sent lately';
is($err, "ctms: 2500 contacts to enqueue (bulk lane): $how_long. Confirm it with --yes; "
    . "nothing was done\n", 'says so');
is(waiting(), 0, 'nothing is enqueued');
($rc, $out, $err) = acoustic(qw(resync -n many --dry-run));
is("$rc $out", "0 2500 contacts would be enqueued\n", 'a dry run does not ask');
like($err, qr/^ctms: 2500 contacts .* about 3 minutes/, 'but tells how long');
is(waiting(), 0, 'and enqueues nothing');
is_deeply($json->decode((acoustic(qw(resync -n many -d --json)))[1]), { enqueued => 2500,
        is_estimate => JSON::PP::false, lane => 'bulk', seconds => 200, unknown => 0, missing => 0,
        reset => 0 }, 'as JSON');
is((acoustic(qw(resync -n many -y)))[1], "2500 contacts enqueued\n", 'confirmed');
is(waiting(), 2500, 'all wait');
unlike((acoustic(qw(resync --all -d)))[2], qr/that wait already/, 'which are among all contacts');
like((acoustic(qw(resync -n hubs -d)))[2],
    qr/about 3 minutes .*, with the 2500 that wait already\./, 'others wait behind them');
clear();
is((acoustic('resync', '-y', '-q', 'SELECT email_id FROM ctms.newsletters'))[1],
    "2502 contacts enqueued\n", 'batches of a query');
is(waiting(), 2502, 'all wait');
clear();
append_to_file("$file.many", join '', map { "many$_\@example.com\n" } 1 .. 2500, 'x');
($rc, $out, $err) = acoustic('resync', '-f', "$file.many");
is($rc, 6, 'a file of many');
like($err, qr/many, line 2501\).*2500 contacts to enqueue/s, 'unknown ones are told before');
is((acoustic('resync', '-yf', "$file.many"))[1], "2500 contacts enqueued, 1 not found\n",
    'batches of a file');
clear();

# One batch of three fails: what was done is told.
my $ids = 'SELECT email_id FROM ctms.newsletters WHERE name = \'many\' ORDER BY 1';
my $bad = $ctms->sql("$ids OFFSET 1500 LIMIT 1");
$ctms->sql("ALTER TABLE ctms.pending_acoustic ADD CONSTRAINT not_this CHECK (email_id <> '$bad')");
($rc, $out, $err) = acoustic(qw(resync -y -n many));
is("$rc $out", "1 1000 contacts enqueued\n", 'a batch that fails');
like($err, qr/\(23514\)\n.*ctms: stopped: 1000 contacts were enqueued, and the others were not/s,
    'says what was done');
is(waiting(), 1000, 'which is true');
$ctms->sql('ALTER TABLE ctms.pending_acoustic DROP CONSTRAINT not_this');

# Ctrl-C: the second batch waits for a row.
sub interrupt
{
    my ($lock, $what, @args) = @_;
    my $holder = $ctms->node->background_psql('ctms');
    $holder->query_safe("BEGIN; $lock");
    my ($o, $e) = ('', '');
    my $run = IPC::Run::start([ "$ENV{CTMS_TEST_BIN}/ctms", 'acoustic', @args, '--db-url', $admin ],
        \'', \$o, \$e);
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'operator'
        AND wait_event_type = 'Lock'") > 0 }, "$what waits");
    $run->signal('INT');
    $run->finish;
    $holder->quit;
    return (($run->full_results)[0] >> 8, $o, $e);
}
clear();
acoustic('resync', $bad);
($rc, $out, $err) = interrupt("SELECT FROM ctms.pending_acoustic FOR UPDATE", 'resync',
    qw(resync -y -n many));
is("$rc $out", "3 1000 contacts enqueued\n", 'an interrupt');
like($err, qr/stopped: 1000 contacts were enqueued/, 'says what was done');
clear();

# ---- estimates -------------------------------------------------------------------------------

$ctms->sql(q{
    SET ctms.enqueue = off;
    INSERT INTO ctms.emails (primary_email) SELECT 'big' || n FROM generate_series(1, 101000) n;
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'big' FROM ctms.emails
        WHERE primary_email LIKE 'big%';
    ANALYZE ctms.emails, ctms.newsletters;
});
for my $args ([qw(-n big)], ['--all'])
{
    my $about = (acoustic('resync', '-d', @$args))[1];
    like($about, qr/^about 10[0-9]{4} contacts would be enqueued$/, "@$args: an estimate");
    ok($json->decode((acoustic('resync', '-d', '--json', @$args))[1])->{is_estimate}, 'as JSON');
}
is((acoustic(qw(cancel -n big)))[1], "0 contacts taken out of the queue\n", 'none of them waits');
$ctms->sql("SET ctms.enqueue = off; DELETE FROM ctms.newsletters WHERE name = 'big';
    DELETE FROM ctms.emails WHERE primary_email LIKE 'big%'");

# ---- cancel ----------------------------------------------------------------------------------

is((acoustic('cancel'))[0], 2, 'cancel nothing');
is((acoustic('cancel', '--dry-run'))[0], 2, 'nor all by mistake');
acoustic(qw(resync -n hubs -w relay));
acoustic(qw(resync c3@example.com));
is((acoustic(qw(cancel -n hubs --dry-run)))[1], "2 contacts would be taken out of the queue\n"
    . "What has changed of them is not sent to Acoustic until they change again or are resynced.\n",
    'cancel --dry-run');
is(lane('bulk'), 'c1 c2 c6', 'takes nothing out');
$ctms->sql("UPDATE ctms.pending_acoustic SET lease_owner = 'a', lease_until = now() + '1 hour'
    WHERE email_id = '" . id('c2') . "'");
($rc, $out) = acoustic(qw(cancel -n hubs c3@example.com c4@example.com nobody@example.com));
is($rc, 4, 'an unknown one');
is($out, "1 contacts taken out of the queue\n"
    . "What has changed of them is not sent to Acoustic until they change again or are resynced.\n"
    . "1 stay, because they are being sent\n1 stay, because they are in the live lane\n"
    . "1 not found\n", 'the others are taken out, if they are free and in bulk');
is(lane('bulk') . '|' . lane('live'), 'c2 c6|c3', 'only those');
is_deeply($json->decode((acoustic(qw(cancel --json -q), $some))[1]),
    { cancelled => 0, being_sent => 1, live => 0, busy => 0, unknown => 0 }, 'as JSON');
is((acoustic(qw(cancel -n hbus)))[0], 4, 'an unknown newsletter');
acoustic(qw(resync -y -n many));
($rc, $out, $err) = acoustic(qw(cancel --all));
is("$rc $out", '6 ', 'many need --yes');
like($err, qr/\Actms: 2501 contacts will be taken out of the queue\. .* nothing was done\n\z/,
    'it asks');
my ($typed, $shown) = ('', '');
my $asked = IPC::Run::start([ 'script', '-qec', "'$ENV{CTMS_TEST_BIN}/ctms' acoustic cancel --all"
        . " --db-url '$admin'", '/dev/null' ], '<', \$typed, '>', \$shown, IPC::Run::timeout(60));
$asked->pump until $shown =~ /\[y\/N\] \z/;
$typed .= "\x03";
$asked->finish;
is(($asked->full_results)[0] >> 8, 130, 'Ctrl-C at the question ends it');
is(waiting(), 2503, 'nothing is taken out');
is((acoustic('cancel', '-y', '-q', "$ids LIMIT 1100"))[0], 0, 'batches');
is(waiting(), 1403, 'are taken out');
($rc, $out) = acoustic(qw(cancel --all --yes));
like($out, qr/\A1401 contacts taken out of the queue\n/, 'all');
is(lane('bulk') . '|' . lane('live'), 'c2|c3', 'but what is being sent, or live');
acoustic(qw(resync -y -n many));
is((acoustic('cancel', '-yf', "$file.many"))[1] =~ /^2500 contacts taken out/, 1, 'a file');
clear();

# ---- retry -----------------------------------------------------------------------------------

# What a run by file holds waits, but has not failed.
acoustic(qw(resync -y -q), "$ids LIMIT 2");
$ctms->sql("UPDATE ctms.pending_acoustic SET lease_owner = 'bulk 1',
    lease_until = now() + interval '1 hour', retry_after = now() + interval '1 hour'
    WHERE is_bulk");
is_deeply($json->decode((acoustic(qw(failed --json)))[1])->{failed}, [],
    'held contacts are not listed as failed');
is((acoustic(qw(retry -d -q), $ids))[1], "0 failed contacts would have a fresh start\n",
    '... nor would they be tried again');
clear();

sub fail_contacts
{
    my (%errors) = @_;
    acoustic(qw(resync --live --all -y));
    $ctms->sql("UPDATE ctms.pending_acoustic SET retry = 2, retry_after = 'infinity',
        last_error = '2024-01-01T00:00:00Z $errors{$_}' WHERE email_id = '" . id($_) . "'")
        for keys %errors;
    return;
}
sub failed { return $ctms->sql("SELECT coalesce(string_agg(split_part(primary_email, '\@', 1), ' '
    ORDER BY primary_email), '') FROM ctms.pending_acoustic JOIN ctms.emails USING (email_id)
    WHERE retry > 0") }

is((acoustic('retry'))[0], 2, 'retry nothing');
is((acoustic(qw(retry --error), ''))[0], 2, 'an empty error');
my %errors = (c1 => '100% Wrong', c2 => '100x wrong', c3 => 'No_Such Column',
    c4 => 'NoXSuch column', c6 => 'gone');
fail_contacts(%errors);
for my $error ([ '100% w', 'c1' ], [ 'NO_SUCH', 'c3' ], [ 'wrong', 'c1 c2' ], [ '\\', '' ])
{
    my ($text, $expected) = @$error;
    my $count = () = $expected =~ /c/g;
    my $left = join ' ', grep { $expected !~ $_ } sort keys %errors;
    is((acoustic('retry', '-d', '--error', $text))[1],
        "$count failed contacts would have a fresh start\n", "retry --error $text --dry-run");
    is((acoustic('retry', '--error', $text))[1], "$count failed contacts have a fresh start\n",
        'without it');
    is(failed(), $left, 'those with the error');
    fail_contacts(%errors);
}
is((acoustic(qw(retry -n hubs -e 100%)))[1], "1 failed contacts have a fresh start\n",
    'the error among a newsletter');
is(failed(), 'c2 c3 c4 c6', 'of it only');
($rc, $out) = acoustic(qw(retry c2@example.com c5@example.com who@example.com));
is("$rc $out", "4 1 failed contacts have a fresh start, 1 not found\n", 'of those that are named');
is(failed(), 'c3 c4 c6', 'one had failed');
is_deeply($json->decode((acoustic(qw(retry --json -w relay)))[1]), { reset => 1, unknown => 0 },
    'a waitlist, as JSON');
is((acoustic('retry', '-f', $file))[1], "2 failed contacts have a fresh start, 1 not found\n",
    'a file');
is(failed(), '', 'none is left');

# Deletions that failed.
$ctms->set(acoustic_deletions => 'on');
my $deleted = id('c6');
$ctms->sql("SELECT ctms.delete_contact('c6\@example.com');
    UPDATE ctms.acoustic_deleted_contact
        SET retry = 6, retry_after = 'infinity', last_error = 'x y'");
my $state = 'SELECT retry FROM ctms.acoustic_deleted_contact';
is((acoustic('resync', $deleted))[0], 4, 'a deleted contact is not enqueued');
is((acoustic(qw(resync -r -d)))[1], "1 failed contacts would have a fresh start\n"
    . "0 contacts would be enqueued\n", 'resync --reset-retries counts it');
is((acoustic('retry', '-d', $deleted))[1], "1 failed contacts would have a fresh start\n",
    'a deletion that failed');
is((acoustic(qw(retry --error), 'x Y'))[1], "1 failed contacts have a fresh start\n",
    'by its error');
is($ctms->sql($state), 0, 'is tried again');
$ctms->sql('UPDATE ctms.acoustic_deleted_contact SET retry = 1');
is((acoustic(qw(retry --all)))[1], "1 failed contacts have a fresh start\n", 'with all others');
$ctms->sql('UPDATE ctms.acoustic_deleted_contact SET retry = 1');
is((acoustic('retry', $deleted))[1], "1 failed contacts have a fresh start\n", 'by its email_id');

acoustic(qw(resync -y -n many));
$ctms->sql("UPDATE ctms.pending_acoustic SET retry = 1 WHERE email_id IN ($ids)");
($rc, $out, $err) = acoustic(qw(retry --all));
is("$rc $out", '6 ', 'many need --yes');
like($err, qr/\Actms: 2500 failed contacts will get a fresh start\. Confirm/, 'it asks');
is((acoustic(qw(retry --all -y)))[1], "2500 failed contacts have a fresh start\n", 'batches');
is(failed(), '', 'all of them');

# ---- the server's log -------------------------------------------------------------------------

my @logged = grep { /execute|parameters|ERROR|DETAIL|CONTEXT/ } split /\n/,
    slurp($ctms->node->logfile);
cmp_ok(scalar @logged, '>', 100, 'the server logs statements');
is_deeply([ grep { /example\.com|fxa-4|\Q$token/ } @logged ], [], 'without names of contacts');

# ---- rights ------------------------------------------------------------------------------------

$ctms->sql('UPDATE ctms.pending_acoustic SET retry = 1 WHERE email_id = \'' . id('c1') . q{'});
for my $args ([qw(resync c1@example.com)], [qw(cancel -n many -y)], [qw(retry c1@example.com)])
{
    my ($status, undef, $message) = $ctms->cli('acoustic', @$args, '--db-url',
        $ctms->db_url . '&user=reader');
    is($status, 1, "@$args without the right");
    like($message, qr/\(42501\)\n.*hint: .*ctms_admin/s, 'says which role may');
}
($rc, undef, $err) = $ctms->cli(qw(acoustic resync c1@example.com --db-url),
    $admin . '&options=-cdefault_transaction_read_only%3Don');
like("$rc $err", qr/^1 .*\(25006\)\n  hint: .*primary/s, 'a session that only reads');
done_testing();
