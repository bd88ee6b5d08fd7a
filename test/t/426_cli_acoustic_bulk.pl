# ctms acoustic bulk: which contacts, what it says and asks, dry runs, who works on a run, Ctrl-C,
# and how it ends. What a run does is in 344_acoustic_bulk and 345_acoustic_bulk_crashes.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => CTMS::Sftp::no_server() if CTMS::Sftp::no_server();

my $json = JSON::PP->new->utf8;
my $ctms = CTMS::Test->new('cli_bulk');
my $root = "$ENV{TESTDIR}/cli_bulk_acoustic";
my $spool = "$ENV{TESTDIR}/cli_bulk_spool";
mkdir $_, 0700 or die "$_: $!" for $root, $spool;
my $sftp = CTMS::Sftp->new(root => $root);
$ctms->start_sandbox(SFTP_ROOT => $root);
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin;
    CREATE ROLE reader LOGIN IN ROLE ctms_reader');
my %login = (CTMS_DB_URL => $ctms->db_url . '&user=operator', CTMS_ACOUSTIC_LEASE_S => 4,
    CTMS_ACOUSTIC_BULK_POLL_S => 0.2, CTMS_ACOUSTIC_BULK_DIRECTORY => $spool);
my %env = (%{ $ctms->agent_env(%login) }, $sftp->settings);

# Runs ctms acoustic; settings come first, as a hash. Returns (exit status, stdout, stderr).
sub acoustic
{
    my ($settings, @args) = @_;
    my ($out, $err) = ('', '');
    local %ENV = (%ENV, %$settings);
    IPC::Run::run([ "$ENV{CTMS_TEST_BIN}/ctms", 'acoustic', @args ], \'', \$out, \$err,
        IPC::Run::timeout(60));
    return ($? >> 8, $out, $err);
}
sub bulk { return acoustic(\%env, 'bulk', @_) }
sub without { my %less = %env; delete @less{@_}; return \%less }

sub start_bulk { return $ctms->start_program('bulk', 'ctms', \%env, 'acoustic', 'bulk', @_) }
sub said { return $ctms->log_of('bulk') }
# Its exit status.
sub wait_for_end
{
    my $pid = $ctms->pid('bulk');
    my $status;
    poll_until(sub { waitpid($pid, POSIX::WNOHANG()) == $pid && do { $status = $?; 1 } },
        'bulk ends', 60);
    my $log = said();
    unlink delete($ctms->{process}{bulk})->{log};
    return ($status & 127 || $status >> 8, $log);
}

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub recipient { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json} }
sub waiting { return $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') }
sub clear { $ctms->sql('DELETE FROM ctms.pending_acoustic'); return }
sub state
{
    return $ctms->sql('SELECT state FROM ctms.acoustic_bulk_run WHERE end_timestamp IS NULL');
}
sub wait_for_state
{
    my ($state) = @_;
    return poll_until(sub { state() eq $state }, "a run is $state", 60);
}
sub files { return sort map { glob "$_/*" } "$root/upload", "$root/download", $spool }
sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777 }

$ctms->sql(q{INSERT INTO ctms.emails (primary_email, first_name)
        SELECT 'c' || n || '@example.com', 'Name, "' || n || '"' FROM generate_series(1, 20) AS n;
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'hubs' FROM ctms.emails
        WHERE primary_email ~ '^c[1-5]@'});
clear();
my $id = $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email = 'c1\@example.com'");

# ---- what is wrong is said first -----------------------------------------------------------------

for ([ '--status', '--cancel' ], [ '--resume', 'c1@example.com' ], [ '--status', '--dry-run', 'x' ])
{
    my ($rc, $out, $err) = bulk(@$_);
    is($rc, 2, "@$_");
    like($err, qr/stand alone/, '... says why');
}
for my $name (qw(SFTP_USER CLIENT_ID WAITLIST_TABLE_ID))
{
    my $setting = "CTMS_ACOUSTIC_$name";
    my ($rc, $out, $err) = acoustic(without($setting), 'bulk', '--newsletter', 'hubs');
    is($rc, 2, "without $setting");
    like($err, qr/^ctms: $setting /, '... it is named');
}
is((bulk(qw(--newsletter hub)))[0], 4, 'a newsletter that nobody has');
is((bulk(qw(--all c1@example.com)))[0], 2, 'all, and some');
is(waiting(), 0, 'nothing was enqueued');

# ---- nothing is there ----------------------------------------------------------------------------

my ($rc, $out, $err) = bulk('--status');
is($rc, 0, '--status');
like($out, qr/^run +none\nlast run +none\nwaiting in bulk +0\n\z/, '... no run so far');
($rc, $out, $err) = bulk('--cancel');
is("$rc $err", "4 ctms: no run is open\n", '--cancel');
($rc, $out) = bulk('--resume');
is("$rc $out", "0 no run is open\n", '--resume');
($rc, $out) = bulk();
is("$rc $out", "0 nothing waits in bulk that can be sent by file\n", 'the bulk lane is empty');

# ---- dry runs ------------------------------------------------------------------------------------

my %ids = (%login, map { ("CTMS_ACOUSTIC_$_" => $env{"CTMS_ACOUSTIC_$_"}) } qw(MAIN_TABLE_ID
    NEWSLETTER_TABLE_ID WAITLIST_TABLE_ID PRODUCT_SUBSCRIPTIONS_ID));
my $folder = "$ENV{TESTDIR}/cli_bulk_dry";
($rc, $out, $err) = acoustic(\%login, qw(bulk --newsletter hubs --dry-run), $folder);
is($rc, 2, 'a dry run without the ids of tables');
like($err, qr/^ctms: CTMS_ACOUSTIC_MAIN_TABLE_ID is not set/, '... says so');
ok(!-e $folder, '... and makes nothing');
($rc, $out, $err) = acoustic(\%ids, qw(bulk --newsletter hubs c20@example.com --dry-run), $folder);
is("$rc$err", '0', 'a dry run needs no more than these');
like($out, qr/_main\.csv  6 rows, \d+ bytes\n.*_newsletter\.csv  5 rows, /s,
    '... and says what it has written');
like($out, qr/\n6 contacts, in files of \Q$folder\E; nothing was sent\n\z/, '... and where');
is(mode($folder), '0700', 'the folder is private');
my @written = glob "$folder/*";
is(scalar @written, 4, 'two files and their mappings');
is(join(' ', map { mode($_) } @written), '0600 0600 0600 0600', '... are private');
my ($main) = grep { /_main\.csv$/ } @written;
like(slurp($main), qr/^(?:.*,)?email_id,.*\n.*$id.*"Name, ""1"""/s, '... with header and rows');
($rc, $out, $err) = acoustic(\%ids, qw(bulk --newsletter hubs --dry-run), $folder);
is($rc, 1, 'a folder that is not empty');
is(scalar(glob("$folder/*")) && @{ [ glob "$folder/*" ] }, 4, '... stays as it is');
is(waiting(), 0, 'a dry run enqueues nothing');
($rc, $out) = acoustic(\%ids, qw(bulk --dry-run), "$folder-2", '--json');
is($json->decode($out)->{contacts}, 0, 'nothing waits in bulk');
$ctms->sql("SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails
    WHERE primary_email IN ('c1\@example.com', 'c2\@example.com')))");
($rc, $out) = acoustic(\%ids, qw(bulk --dry-run), "$folder-3", '--json');
my $told = $json->decode($out);
is($told->{contacts}, 2, 'two wait in bulk');
is($told->{files}[0]{rows}, 2, '... and are in the file');
like($told->{files}[0]{name}, qr/^\w+_main\.csv$/, '... whose name is told');
is($told->{files}[0]{bytes}, -s "$folder-3/$told->{files}[0]{name}", '... and size');
is(waiting(), 2, '... and still wait');
my %reader = (%ids, CTMS_DB_URL => $ctms->db_url . '&user=reader');
($rc) = acoustic(\%reader, qw(bulk --dry-run), "$folder-4");
is($rc, 1, 'a reader may not');
ok(!-e "$folder-4", '... and no folder is left');
clear();

# ---- runs ----------------------------------------------------------------------------------------

($rc, $out, $err) = bulk('--newsletter', 'hubs');
is($rc, 0, 'those of a newsletter') or diag "$out$err";
is($out, "5 contacts sent by file, in 1 run\n", '... are sent');
like($err,
    qr/^ctms: 5 contacts to send by file, in runs of up to 500000\. One by one it takes about /m,
    '... after it was said how many');
like($err, qr/^ctms: run \d+: uploaded/m, '... with a line for each stage');
is(recipient($id)->{main}{first_name}, 'Name, "1"', 'Acoustic has them');
is(waiting(), 0, 'nothing waits');
is(join(' ', files()), '', 'no file is left');

($rc, $out) = bulk('--all', '--json');
is($rc, 0, '--all');
is_deeply($json->decode($out), { outcome => 'done', enqueued => 20, unknown => 0, missing => 0,
    runs => 1, sent => 20, refused => 0, changed => 0, returned => 0 }, '... as JSON');
($rc, $out, $err) = bulk('c2@example.com', 'nobody@example.com');
is($rc, 4, 'one that is not there');
like($out, qr/^1 contacts sent/, '... and the other is sent');
$ctms->sql("SELECT ctms.enqueue_contacts(ARRAY['$id']::uuid[])");
($rc, $out) = acoustic({ %env, CTMS_ACOUSTIC_BULK_MAX_CONTACTS => 1 }, 'bulk');
is("$rc $out", "0 1 contacts sent by file, in 1 run\n", 'what waits in bulk');
($rc, $out) = bulk('--status');
like($out, qr/^run +none\nlast run +done, 1 contacts \(20.*\)\n/, '--status knows the last run');

settings(faults => [ { operation => 'ImportList', table => 'main', email => 'c3@*',
    answer => 'failure', text => 'Email Address Is Invalid' } ]);
($rc, $out, $err) = bulk('--newsletter', 'hubs');
is($rc, 7, 'a refused contact') or diag "$out$err";
is($out, "4 contacts sent by file, in 1 run\n1 refused by Acoustic: see ctms acoustic failed\n",
    '... is told');
like((acoustic(\%env, 'failed'))[1], qr/c3\@example\.com/, '... and listed');
clear();

settings(faults => [
    { operation => 'job', table => 'newsletter', answer => 'job', job_status => 'ERROR' } ]);
($rc, $out, $err) = bulk('--newsletter', 'hubs');
is($rc, 1, 'a job that fails') or diag "$out$err";
like($out, qr/^5 returned to the bulk lane: /m, '... returns the contacts');
is(waiting(), 5, '... which wait again');
($rc, $out) = bulk('--status');
like($out, qr/^last run +failed, 5 contacts .*\n {21}\S/m, '--status says why');
settings(faults => []);
clear();

# ---- it asks -------------------------------------------------------------------------------------

$ctms->sql(q{INSERT INTO ctms.emails (primary_email) SELECT 'many' || n || '@example.com'
    FROM generate_series(1, 1001) AS n});
clear();
my $many = q{SELECT email_id FROM ctms.emails WHERE primary_email LIKE 'many%'};
($rc, $out, $err) = bulk('--query', $many);
is($rc, 6, 'more than 1000 need --yes');
like($err, qr/1001 contacts to send by file/, '... and are told');
is(waiting(), 0, '... and not enqueued');
($rc, $out) = bulk('--query', $many, '--yes');
is("$rc $out", "0 1001 contacts sent by file, in 1 run\n", 'with --yes');

# ---- somebody else works -------------------------------------------------------------------------

my $begin = "SELECT run_id FROM ctms.begin_acoustic_bulk('other:1', '1 hour', '1 hour')";
my $run = $ctms->sql($begin);
start_bulk('c1@example.com');
my $waits = qr/^ctms: run $run \(claiming\) is worked on by other:1: waiting for its end$/m;
poll_until(sub { said() =~ $waits }, 'it waits');
kill INT => $ctms->pid('bulk');
($rc, my $log) = wait_for_end();
is($rc, 3, 'Ctrl-C while it waits');
like($log, qr/no longer waiting; the other one goes on/, '... is told');
start_bulk();
poll_until(sub { said() =~ /waiting for its end/ }, 'it waits');
$ctms->sql("SELECT ctms.set_acoustic_bulk_state($run, 'other:1', 'failed', 'test')");
($rc, $log) = wait_for_end();
is($rc, 0, 'the other one has ended');
like($log, qr/^1 contacts sent by file, in 1 run$/m, '... so it begins');

# ---- Ctrl-C, and going on ------------------------------------------------------------------------

settings(job_wait_ms => 2000);
start_bulk('--newsletter', 'hubs');
poll_until(sub { said() =~ /Acoustic imports main/ }, 'a job is started');
kill INT => $ctms->pid('bulk');
($rc, $log) = wait_for_end();
is($rc, 3, 'Ctrl-C while Acoustic imports');
like($log, qr/^ctms: run \d+ is not done, and its contacts are held\. "ctms acoustic bulk --res/m,
    '... is told');
is(state(), 'importing', 'the run stays as it is');
($rc, $out, $err) = bulk('--cancel');
is($rc, 1, 'it is too late to cancel it');
like($err, qr/^ctms: Acoustic imports the files of run \d+ already/, '... and --cancel says so');
($rc, $out) = bulk('--status');
like($out, qr/^run +\d+, importing, 5 contacts \(for \d+ s\)\nworked on by +nobody/,
    '--status says so');
ok(!$json->decode((bulk('--status', '--json'))[1])->{is_running}, '... as JSON');
like((acoustic(\%env, 'status'))[1],
    qr/^by file +5 contacts in run \d+ \(importing\), worked on by nobody, for \d+ s$/m,
    '... and status');
is($json->decode((acoustic(\%env, 'status', '--json'))[1])->{bulk_run}{state}, 'importing',
    '... as JSON');
settings(job_wait_ms => 0);
($rc, $out, $err) = bulk('--resume');
is("$rc $out", "0 5 contacts sent by file, in 1 run\n", '--resume') or diag $err;

$ctms->sql(q{SELECT ctms.enqueue_contacts(ARRAY(SELECT email_id FROM ctms.emails
        WHERE primary_email ~ '^c[1-5]@'));
    SELECT run_id FROM ctms.begin_acoustic_bulk('other:2', '1 s', '1 hour') \gset
    SELECT ctms.claim_acoustic_bulk(:run_id, 'other:2', NULL, 100, 6)});
poll_until(sub { !$json->decode((bulk('--status', '--json'))[1])->{is_running} }, 'a lease ends');
($rc, $out) = bulk('--cancel');
is($rc, 0, '--cancel');
like($out, qr/^run \d+ is to be given up; nobody works on it/, '... of a run that nobody works on');
($rc, $out, $err) = bulk('--resume');
is("$rc $out", "1 0 contacts sent by file, in 1 run\n5 returned to the bulk lane: "
    . "\"ctms acoustic bulk\" takes them from there\n",
    '... is done by who goes on with it') or diag $err;
unlike($err, qr/claimed|made|uploaded/, '... at once');
is(waiting(), 5, '... and the contacts wait');
($rc, $out) = bulk();
is("$rc $out", "0 5 contacts sent by file, in 1 run\n", '... and are sent by the next run');

$sftp->stop;
start_bulk('--newsletter', 'hubs');
poll_until(sub { said() =~ /SFTP/ }, 'it says that the server is away', 60);
($rc, $log) = wait_for_end();
is($rc, 1, 'without an SFTP server nothing begins');
is(waiting(), 0, '... and nobody is enqueued');
($rc, $out, $err) = acoustic({ %env, CTMS_ACOUSTIC_BULK_DIRECTORY => '/dev/null/files' },
    'bulk', '--newsletter', 'hubs');
is($rc, 1, 'nor without a folder for files');
like($err, qr{^ctms: nothing was enqueued: could not make the folder /dev/null/files: Not a dir}m,
    '... is told');
$sftp->start;
($rc, $out) = bulk('--newsletter', 'hubs');
is($rc, 0, 'when both are there they are sent');
is(join(' ', files()), '', 'no file is left');
done_testing();
