# Waves by file from end to end: `ctms acoustic bulk`, a real database, OpenSSH's SFTP server, and
# the sandbox as Acoustic. What arrives is what the database has; refused rows end at their
# contacts; a runner can be killed, and the database or the SFTP server be away, at every stage.

use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(sleep time);
use Test::More;
use CTMS::BulkRuns qw(set_up folders settings calm jobs start_runner end_of run_bulk enqueue
    waiting last_run watch_points let_go runner_at end_lease);
use CTMS::SandboxRows qw(differences);
use CTMS::Session;
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();

my ($ctms, $sftp) = set_up('acoustic_bulk', settings => { acoustic_retry_delay => '15min' });
my ($root, $spool) = folders();

sub state { return last_run('state')->{state} // '' }

# Files of people, wherever one could be left. Nobody can name those of a job of which it is not
# known that it was started.
sub files_left
{
    my %known = map { $_ => 1 } split /\n/, $ctms->sql('SELECT job_id FROM ctms.acoustic_bulk_file
        WHERE job_id IS NOT NULL');
    return map({ glob } "$root/upload/*", "$spool/*"),
        grep { !m{(\d+)[.]\w+$} || $known{$1} } glob "$root/download/*";
}

# The last thing of every test: all contacts are at Acoustic, and nothing is left.
sub is_all_well
{
    my ($what) = @_;
    is_deeply([ differences($ctms) ], [], "$what: Acoustic has what the database has");
    is(waiting(), 0, "$what: nobody waits");
    is_deeply([ files_left() ], [], "$what: no file is left");
    return;
}

# What does not come again by itself must not be there before.
sub forget { $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/reset",
    ''); return }

# ---- contacts of all kinds -----------------------------------------------------------------------

my $count = 300;
$ctms->sql(<<"SQL");
CREATE TABLE public.people AS SELECT n, gen_random_uuid() AS email_id FROM generate_series(1,
    $count) AS n;
BEGIN;  -- a wave, so all of it is in bulk
INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name)
    SELECT email_id, 'bulk' || n || '\@example.com', 'Zoë ' || n,
        CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN 'says "hi", twice' WHEN 2 THEN E'two\\nlines'
        WHEN 3 THEN ' blank ' ELSE 'Name' END FROM public.people;
INSERT INTO ctms.newsletters (email_id, name, subscribed, source)
    SELECT email_id, 'news' || k, true,
        'https://example.com/?a=1,2' FROM public.people, generate_series(1, 2) AS k;
INSERT INTO ctms.waitlists (email_id, name, source, fields)
    SELECT email_id, 'relay', 'web', '{"geo": "fr"}' FROM public.people WHERE n % 2 = 0;
INSERT INTO ctms.amo (email_id, display_name, user_id)
    SELECT email_id, 'Display ' || n, 'amo' || n FROM public.people WHERE n % 3 = 0;
INSERT INTO ctms.fxa (email_id, fxa_id, created_date)
    SELECT email_id, 'fxa' || n, '2021-05-04' FROM public.people WHERE n % 4 = 0;
INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created)
    SELECT 'cus' || n, 'fxa' || n, '2021-01-01Z' FROM public.people WHERE n % 8 = 0;
INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active, currency,
        recurring_interval, recurring_interval_count, unit_amount)
    VALUES ('price', 'prod', '2021-01-01Z', true, 'usd', 'month', 1, 999);
INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
        cancel_at_period_end, current_period_end, current_period_start, start_date, status)
    SELECT 'sub' || n, 'cus' || n, '2021-02-01Z', false, '2021-04-01Z', '2021-03-01Z',
        '2021-02-01Z', 'active' FROM public.people WHERE n % 8 = 0;
INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id, stripe_price_id,
    stripe_created)
    SELECT 'si' || n, 'sub' || n, 'price', '2021-02-01Z' FROM public.people WHERE n % 8 = 0;
COMMIT;
SQL

# ---- a plain run ---------------------------------------------------------------------------------

enqueue();
my $r = run_bulk();
is($r->{status}, 0, 'a run ends well') or diag $r->{log};
is_deeply([ @$r{qw(outcome runs sent refused changed returned)} ], [ 'done', 1, $count, 0, 0, 0 ],
    'all contacts were sent in one run') or diag $r->{log};
is_all_well('plain run');
is_deeply([ map { $_->{operation} } (jobs())[ 0 .. 6 ] ],
    [ ('ImportList') x 4, ('ImportTable') x 3 ], 'the list is imported before the tables');
unlike($r->{log}, qr/example\.com|Zo/, 'nothing personal is logged');
is(run_bulk()->{outcome}, 'idle', 'then there is nothing to do');


# ---- several runs --------------------------------------------------------------------------------

enqueue();
$r = run_bulk(CTMS_ACOUSTIC_BULK_MAX_CONTACTS => 100);
is_deeply([ @$r{qw(outcome runs sent)} ], [ 'done', 3, $count ], 'one run after another')
    or diag $r->{log};
is_all_well('several runs');

# ---- refused rows --------------------------------------------------------------------------------

my %id = map { split /\|/ } split /\n/, $ctms->sql('SELECT n, email_id FROM public.people');
sub held_errors { return map { [ split /\|/ ] } split /\n/,
    $ctms->sql(q{SELECT email_id, last_error, retry_after
    FROM ctms.pending_acoustic ORDER BY email_id}) }

settings(faults => [ { operation => 'ImportList', table => 'main', email => $id{4},
    answer => 'failure',
            failure_type => 'permanent', text => 'Invalid Date Value in column: fxa_created_date' },
        { operation => 'ImportList', table => 'main', email => 'bulk7@*', answer => 'failure',
            failure_type => 'permanent', text => 'Email Address Is Invalid.' },
        { operation => 'ImportTable', table => 'newsletter', email => $id{9}, answer => 'failure',
            failure_type => 'permanent', text => 'Invalid value in column newsletter_lang' } ]);
enqueue();
$r = run_bulk();
is($r->{status}, 7, 'refused rows show in the exit status') or diag $r->{log};
is_deeply([ @$r{qw(outcome sent refused)} ], [ 'done', $count - 3, 3 ],
    'refused contacts are counted')
    or diag $r->{log};
my %error = map { $_->[0] => $_ } held_errors();
is_deeply([ sort keys %error ], [ sort @id{ 4, 7, 9 } ], 'refused contacts stay');
is($error{ $id{$_} }[2], 'infinity', "contact $_ is not sent again by itself") for 4, 7, 9;
like($error{ $id{4} }[1], qr/Invalid Date Value in column: fxa_created_date/,
    'the reason of a bad date');
like($error{ $id{7} }[1], qr/ Email Address Is Invalid/, 'the reason of a bad address');
like($error{ $id{9} }[1], qr/newsletter_lang/, 'the reason of a row of another table');
unlike(join("\n", map { $_->[1] } values %error), qr/\@|bulk7/, 'nothing personal in it');
is_deeply([ files_left() ], [], 'no file is left');
calm();
enqueue("email_id IN ('$id{4}', '$id{7}', '$id{9}')");
is(run_bulk()->{sent}, 3, 'and are sent when they are enqueued again');
is_all_well('refused rows');

# ---- jobs that fail ------------------------------------------------------------------------------

for my $case ([ newsletter => 'ERROR', 10 ], [ main => 'CANCELED', 0 ])
{
    my ($table, $status, $rows) = @$case;
    settings(faults => [ { operation => 'job', table => $table, answer => 'job',
        job_status => $status,
        skip_rows => $rows, count => 1 } ]);
    enqueue();
    $r = run_bulk();
    is_deeply([ @$r{qw(status outcome sent returned)} ], [ 1, 'failed', 0, $count ],
        "$table $status: given up")
        or diag $r->{log};
    like(last_run('error')->{error}, qr/import of $table\w*: the job has ended with $status/,
        'and why');
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic WHERE is_bulk AND lease_until IS NULL
        AND retry_after IS NULL AND retry = 0'), $count, 'its contacts wait in bulk');
    is_deeply([ files_left() ], [], 'its files are gone');
    calm();
    is(run_bulk()->{outcome}, 'done', 'the next run sends them');
    is_all_well("$table $status");
}

# ---- calls that fail -----------------------------------------------------------------------------

# Whether the job was started is not known, except by the sandbox.
my @unknown = ({ answer => 'cut' }, { answer => 'cut', apply => JSON::PP::true },
    { answer => 'normal', delay_ms => 1500 }, { answer => 'html' },
    { answer => 'empty', apply => JSON::PP::true }, { answer => 'fault', errorid => 50 });
my $i = 0;
for my $fault (@unknown)
{
    my $operation = $i++ % 2 ? 'ImportTable' : 'ImportList';
    settings(job_wait_ms => pick_wait($i), faults => [ { operation => $operation,
        count => 1, %$fault } ]);
    enqueue();
    $r = run_bulk();
    my $what = "$operation $fault->{answer}" . ($fault->{apply} ? ', applied' : '');
    is_deeply([ @$r{qw(outcome sent)} ], [ 'done', $count ], "$what: started again")
        or diag $r->{log};
    like($r->{log}, qr/not known whether/, "$what: under another name");
    calm();
    is_all_well($what);
}
sub pick_wait { return $_[0] % 3 ? 0 : 700 }

settings(faults => [ map { { operation => 'GetJobStatus', count => 1, %$_ } } @unknown,
        { answer => 'fault', errorid => 145 } ]);
enqueue();
is_deeply([ @{ run_bulk() }{qw(outcome sent)} ], [ 'done', $count ], 'looks at jobs may fail');
is_all_well('GetJobStatus');

settings(faults => [ { operation => 'ImportTable', table => 'waitlist', answer => 'fault',
    errorid => 150,
    text => 'You may not.' } ]);
enqueue();
$r = run_bulk();
is_deeply([ @$r{qw(outcome returned)} ], [ 'failed', $count ], 'a refused start gives the run up')
    or diag $r->{log};
like(last_run('error')->{error},
    qr/could not start the import of waitlist: Acoustic answers fault 150: You may not/,
        'and says why');
is_deeply([ files_left() ], [], 'its files are gone');
calm();

is_deeply([ @{ run_bulk(CTMS_ACOUSTIC_REFRESH_TOKEN => 'wrong') }{qw(outcome status)} ],
    [ 'failed', 1 ],
    'wrong credentials are told before a run begins');
is_deeply([ @{ run_bulk(CTMS_ACOUSTIC_SFTP_USER => 'nobody-at-all') }{qw(outcome status)} ],
    [ 'failed', 1 ],
    'and so is a wrong account at the SFTP server');
is($ctms->sql('SELECT count(*) FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL'), 0,
    'no run is open');
is(run_bulk()->{outcome}, 'done', 'the run after that is done');
is_all_well('refused start');

# ---- every stage ---------------------------------------------------------------------------------

watch_points();

# All contacts wait; the runner has come to this point and waits there.
sub all_at { enqueue(); return runner_at(@_) }

my @points = ('run claiming', 'run making', 'run uploading', 'file made', 'file uploaded',
    'run importing',
    'file starting', 'file running', 'file complete', 'run settling', 'run cleaning',
        'file removed', 'run done');

for my $point (@points)
{
    my $name = all_at($point);
    $ctms->stop_program($name, 'KILL');
    let_go();
    end_lease();
    $r = run_bulk();
    ok($r->{outcome} =~ /^(?:done|idle)$/, "killed at $point: another one goes on")
        or diag $r->{log};
    is_all_well("killed at $point");
}

for my $point ('run making', 'file made', 'file starting', 'file running', 'run cleaning')
{
    my $name = all_at($point);
    $ctms->crash_database;
    let_go();
    $r = end_of($name);
    is($r->{outcome}, 'done', "database crashed at $point: the runner goes on") or diag $r->{log};
    is_all_well("database crashed at $point");
}

for my $point ('run uploading', 'run importing', 'run cleaning')
{
    my $name = all_at($point);
    $sftp->stop;
    let_go();
    sleep 0.5;
    $sftp->start;
    $r = end_of($name);
    is($r->{outcome}, 'done', "SFTP server away at $point: the runner goes on") or diag $r->{log};
    is_all_well("SFTP server away at $point");
}

# ---- at the same time ----------------------------------------------------------------------------

{
    settings(job_wait_ms => 3000);
    enqueue();
    my $name = start_runner();
    poll_until(sub { $ctms->log_of($name) =~ /Acoustic imports main/ }, 'a runner is at work');
    my $other = start_runner();
    poll_until(sub { $ctms->log_of($other) =~ /is worked on by/ }, 'another runner waits');
    calm();
    is(end_of($name)->{outcome}, 'done', 'the first runner is not disturbed');
    is(end_of($other)->{outcome}, 'idle', 'the second one finds nothing left');
    is_all_well('two runners');
}

# A runner that is stopped beyond its lease does no harm when it goes on.
for my $point ('file uploaded', 'file starting', 'run settling')
{
    my $name = all_at($point);
    kill STOP => $ctms->pid($name);
    let_go();
    end_lease();
    $r = run_bulk();
    ok($r->{outcome} =~ /^(?:done|idle)$/, "stopped at $point: another one takes over")
        or diag $r->{log};
    kill CONT => $ctms->pid($name);
    $r = end_of($name);
    ok($r->{outcome} =~ /^(?:done|idle)$/, "stopped at $point: it finds out") or diag $r->{log};
    is_all_well("stopped at $point");
}

{
    my $name = all_at('run uploading');
    kill TERM => $ctms->pid($name);
    let_go();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome status)} ], [ 'stopped', 3 ], 'SIGTERM stops a runner')
        or diag $r->{log};
    is_deeply([ glob "$spool/*" ], [], 'its local files are gone');
    my $began = time;
    is(run_bulk(CTMS_ACOUSTIC_LEASE_S => 60)->{outcome}, 'done', 'the next one goes on');
    is_all_well('SIGTERM');
}

{
    my $name = all_at('run making');
    $ctms->sql('SELECT ctms.cancel_acoustic_bulk()');
    let_go();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome returned)} ], [ 'failed', $count ], 'canceled before the import')
        or diag $r->{log};
    is(last_run('error')->{error}, 'canceled by an operator', 'and the run says so');
    is(run_bulk()->{outcome}, 'done', 'the next one sends the contacts');
    is_all_well('canceled');
}

# The server takes the first files, and then has no room.
{
    $sftp->stop;
    $sftp->start(file_bytes => 40_000);
    enqueue();
    $r = run_bulk();
    is_deeply([ @$r{qw(outcome returned)} ], [ 'failed', $count ], 'given up during the upload')
        or diag $r->{log};
    like($r->{log}, qr/takes only \d+ of the \d+ bytes of ctms_\w+_newsletter\.csv/,
        'at a later file')
        or diag $r->{log};
    is_deeply([ files_left() ], [], 'the files before it are gone');
    is($ctms->sql('SELECT files_left FROM ctms.acoustic_bulk_status()'), 0, 'and are known to be');
    $sftp->stop;
    $sftp->start;
    is(run_bulk()->{outcome}, 'done', 'the next one sends the contacts');
    is_all_well('given up during the upload');
}

# Ids that are not those of the refused contacts must not let these pass for sent.
{
    settings(faults => [ { operation => 'ImportList', table => 'main', email => $id{4},
        answer => 'failure',
                failure_type => 'permanent', text => 'Invalid Date Value' } ]);
    my $name = all_at('run settling');
    for my $file (glob "$root/download/*.err")
    {
        my $text = slurp($file);
        $text =~ s/\b[0-9a-f]{8}(?=-[0-9a-f]{4}-)/00000000/g;
        open my $out, '>', $file or die "$file: $!";
        print {$out} $text;
        close $out;
    }
    let_go();
    calm();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome sent returned)} ], [ 'failed', 0, $count ],
        'an error file of others') or diag $r->{log};
    like(last_run('error')->{error}, qr/1 rows of main\w* were refused, .*no contact of the run/,
        'and the run says so');
    is(run_bulk()->{outcome}, 'done', 'the next one sends the contacts');
    is_all_well('an error file of others');
}

# A server that sends them slowly, or not at all, does not keep the run open for ever.
{
    settings(faults => [ { operation => 'ImportList', table => 'main', email => $id{4},
        answer => 'failure',
                failure_type => 'permanent', text => 'Invalid Date Value' } ]);
    $ctms->stop_program(all_at('run settling'), 'KILL');
    let_go();
    calm();
    $sftp->freeze;
    $ctms->sql("UPDATE ctms.acoustic_bulk_run SET hold_until = now() + interval '15 s'
        WHERE end_timestamp IS NULL");
    end_lease();
    my $name = start_runner(CTMS_ACOUSTIC_BULK_TIMEOUT_S => 5);
    poll_until(sub { $ctms->log_of($name) =~ /settled in/ },
        'a run is settled when its time is over');
    $sftp->thaw;
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome sent returned)} ], [ 'failed', 0, $count ], 'slow results')
        or diag $r->{log};
    like(last_run('error')->{error}, qr/the time of the run is over/, 'and the run says so');
    is(run_bulk()->{outcome}, 'done', 'the next one sends the contacts');
    is_all_well('slow results');
}

# A table that is written anew after the snapshot would look empty.
{
    my $session = CTMS::Session->new($ctms->node, 'ctms');
    enqueue();
    $session->ask('BEGIN; LOCK TABLE ctms.emails');
    my $name = start_runner();
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_locks
        WHERE relation = 'ctms.emails'::regclass
        AND NOT granted") }, 'the runner waits for the table');
    $session->ask('ALTER TABLE ctms.emails ADD COLUMN at_random double precision DEFAULT random();
        COMMIT');
    $r = end_of($name);
    is($r->{outcome}, 'done', 'a table was rewritten') or diag $r->{log};
    like($r->{log}, qr/making the files anew/, 'so the files are made anew');
    $session->ask('ALTER TABLE ctms.emails DROP COLUMN at_random');
    is_all_well('rewritten');
}

# ---- what operators do ---------------------------------------------------------------------------

# The server ends a snapshot that nobody uses for longer than the role may: here, while the runner
# sleeps.
{
    my $session = CTMS::Session->new($ctms->node, 'ctms');
    enqueue();
    $session->ask('BEGIN; LOCK TABLE ctms.emails');
    my $name = start_runner(PGOPTIONS => '-c idle_in_transaction_session_timeout=300ms');
    my $pid = poll_until(sub { $ctms->sql("SELECT pid FROM pg_locks
        WHERE relation = 'ctms.emails'::regclass AND NOT granted") },
            'the runner waits for the table');
    kill STOP => $ctms->pid($name);
    $session->ask('COMMIT');
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") == 0 },
        'the server has ended its session');
    kill CONT => $ctms->pid($name);
    $r = end_of($name);
    is($r->{outcome}, 'done', 'a snapshot was ended') or diag $r->{log};
    like($r->{log}, qr/making the files anew/, 'so the files are made anew');
    is_all_well('idle snapshot');
}

# Files that somebody has marked as removed by hand (docs/operations.md), but of a run that is open.
{
    my $name = all_at('run importing');
    $ctms->sql(q{UPDATE ctms.acoustic_bulk_file f SET state = 'removed'
        FROM ctms.acoustic_bulk_run r WHERE r.run_id = f.run_id AND r.end_timestamp IS NULL});
    let_go();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome sent returned)} ], [ 'failed', 0, $count ],
        'contacts are not taken for sent when no file was imported') or diag $r->{log};
    like(last_run('error')->{error}, qr/\Athe file of kind main\w* was not imported\z/,
        'and the run says so');
    unlink glob "$root/upload/*";
    is(run_bulk()->{outcome}, 'done', 'the next run sends them');
    is_all_well('marked by hand');
}

# Or whose rows were deleted.
{
    my $name = all_at('run importing');
    $ctms->sql('DELETE FROM ctms.acoustic_bulk_file');
    let_go();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome sent returned)} ], [ 'failed', 0, $count ],
        'nor when no file is known')
        or diag $r->{log};
    unlink glob "$root/upload/*";
    is(run_bulk()->{outcome}, 'done', 'the next run sends them');
    is_all_well('deleted by hand');
}

# No file at all: all contacts change between the claim and the snapshot.
{
    my $name = all_at('run making');
    $ctms->sql(q{UPDATE ctms.emails SET first_name = 'Changed before'});
    let_go();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome sent changed)} ], [ 'done', 0, $count ],
        'all contacts have changed before the files')
        or diag $r->{log};
    is(run_bulk()->{outcome}, 'done', 'and are sent by the next run');
    is_all_well('changed before');
}

# Without its function no runner can keep the run: it ends, and does not wait for the end of the
# hold.
{
    settings(job_wait_ms => 8000);
    enqueue();
    my $name = start_runner(CTMS_ACOUSTIC_LEASE_S => 4);
    poll_until(sub { $ctms->log_of($name) =~ /Acoustic imports main/ }, 'a runner waits for a job');
    $ctms->sql('ALTER FUNCTION ctms.keep_acoustic_bulk RENAME TO elsewhere');
    $r = end_of($name);
    is($r->{outcome}, 'unavailable', 'the function to renew the lease is gone');
    like($r->{log}, qr/cannot go on in state importing: .*\(42883\)/, 'and the runner says so');
    $ctms->sql('ALTER FUNCTION ctms.elsewhere RENAME TO keep_acoustic_bulk');
    calm();
    end_lease();
    is(run_bulk()->{outcome}, 'done', 'another one goes on');
    is_all_well('function gone');
}

# A server that refuses to write may be a replica that is about to be promoted; so it is waited
# for.
{
    enqueue();
    my $name = start_runner(PGOPTIONS => '-c default_transaction_read_only=on');
    poll_until(sub { $ctms->log_of($name) =~
        /warning: the database cannot do it, trying again: .*\(25006\)/ },
        'a runner says why it waits');
    is($ctms->stop_program($name) >> 8, 3, 'and can be stopped');
    is(run_bulk()->{outcome}, 'done', 'another one has the right server');
    is_all_well('read-only');
}

# An agent keeps one request when it is idle, too. If Acoustic allows no other, a runner gets it all
# the same, here from an agent whose name comes before its own.
{
    my $agent = fork() // die "fork: $!";
    if (!$agent)
    {
        sleep 0.2 while eval { $ctms->sql(
                "SELECT ctms.share_acoustic('an agent', 1, 0, 1, '1 minute')"), 1 };
        POSIX::_exit(1);
    }
    poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.acoustic_agent WHERE slots = 1') },
        'an agent has it');
    enqueue();
    $r = run_bulk(CTMS_ACOUSTIC_MAX_IN_FLIGHT => 1);
    is($r->{outcome}, 'done', 'a run beside an agent that has the only request') or diag $r->{log};
    kill KILL => $agent;
    waitpid $agent, 0;
    $ctms->sql('DELETE FROM ctms.acoustic_agent');
    is_all_well('one request');
}

# However large the values are, a runner has few of them in memory. (The sanitizers need more.)
{
    $ctms->sql("SET ctms.acoustic_lane = bulk;
        UPDATE ctms.emails SET unsubscribe_reason = repeat('why, ', 200000)
        WHERE email_id IN (SELECT email_id FROM public.people WHERE n <= 100)");
    my $name = all_at('run uploading');
    my ($peak_kb) = slurp('/proc/' . $ctms->pid($name) . '/status') =~ /^VmHWM:\s+(\d+)/m;
    let_go();
    is(end_of($name)->{outcome}, 'done', 'a run with large values');
    cmp_ok($peak_kb, '<', 64 * 1024, 'takes little memory') if $ENV{CTMS_TEST_BIN} !~ /sanitize/;
    is_all_well('large values');
    $ctms->sql("SET ctms.acoustic_lane = bulk;
        UPDATE ctms.emails SET unsubscribe_reason = '' WHERE unsubscribe_reason <> ''");
    enqueue();
    is(run_bulk()->{outcome}, 'done', 'and one without them');
}

# ---- changes meanwhile ---------------------------------------------------------------------------

{
    my $name = all_at('file starting');
    $ctms->sql("UPDATE ctms.emails SET first_name = 'Changed' WHERE email_id = '$id{1}'");
    $ctms->sql("SELECT ctms.delete_contact(primary_email) FROM ctms.emails
        WHERE email_id = '$id{2}'");
    is($ctms->sql("SELECT count(*) FROM ctms.claim_acoustic('somebody', 10,
        6, interval '1 minute')"), 0,
        'a contact that changes while it is held waits for the end of the run');
    let_go();
    $r = end_of($name);
    is_deeply([ @$r{qw(outcome sent changed)} ], [ 'done', $count - 2, 2 ],
        'changed contacts are counted')
        or diag $r->{log};
    is($ctms->sql('SELECT email_id FROM ctms.pending_acoustic WHERE lease_until IS NULL
        AND retry_after IS NULL'),
        $id{1}, 'and then go the ordinary way');
    $ctms->start_agent;
    poll_until(sub { waiting() == 0 }, 'the agent has sent it');
    $ctms->stop_program('agent');
    is($ctms->sandbox("/_sandbox/recipients/$id{1}")->{json}{main}{first_name}, 'Changed',
        'it is sent as it is now');
}

done_testing();
