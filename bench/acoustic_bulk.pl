# How fast a wave goes to Acoustic by file, beside the ordinary way; run by "make bench-bulk".
#
# CTMS_BENCH_CONTACTS (1000000) with two newsletters each wait in the bulk lane. "ctms acoustic
# bulk" sends them by SFTP to OpenSSH on loopback, and the sandbox imports the files; what it then
# holds is compared with the database, row by row. At the end an agent sends some of them with ten
# requests in flight that take 100 ms each, for CTMS_BENCH_SECONDS (20).
#
# CTMS_BENCH_WAITLISTS (0; 1: each contact has one too), CTMS_BENCH_RUN (500000) contacts of a run.
# What a step took is told by triggers on the rows of the run and its files. Needs 6 GB of disk.

use strict;
use warnings;
use CTMS::Bench qw(processor_s setting);
use CTMS::BenchContacts qw(fill);
use CTMS::SandboxRows qw(differences);
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use List::Util qw(max sum0);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $contacts = setting(CONTACTS => 1_000_000);
my $waitlists = setting(WAITLISTS => 0);
my $run = setting(RUN => 500_000);
my $seconds = setting(SECONDS => 20);
my $bench = CTMS::Bench->new('bench_acoustic_bulk', conf => "shared_buffers = 512MB\n");
fill($bench, 'ctms', $contacts);
if (!$waitlists)
{
    $bench->sql('SET session_replication_role = replica; TRUNCATE ctms.waitlists');
}
my $root = "$ENV{TESTDIR}/acoustic";
my $spool = "$ENV{TESTDIR}/spool";
mkdir $_, 0700 or die "$_: $!\n" for $root, $spool;
my $sftp = CTMS::Sftp->new(root => $root);
$bench->start_sandbox(SFTP_ROOT => $root);

# When the rows of the run and its files came to each state; committed with it.
$bench->sql(<<'SQL');
CREATE TABLE public.steps (at timestamptz, run_id bigint, kind text, state text, bytes bigint);
CREATE FUNCTION public.note_step() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog AS $$
DECLARE _row jsonb := to_jsonb(NEW);
BEGIN
    IF TG_OP = 'INSERT' OR OLD.state <> NEW.state THEN
        INSERT INTO public.steps VALUES (clock_timestamp(), NEW.run_id, _row->>'kind', NEW.state,
            (_row->>'bytes')::bigint);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_step AFTER INSERT OR UPDATE ON ctms.acoustic_bulk_run
    FOR EACH ROW EXECUTE FUNCTION public.note_step();
CREATE TRIGGER note_step AFTER INSERT OR UPDATE ON ctms.acoustic_bulk_file
    FOR EACH ROW EXECUTE FUNCTION public.note_step();
SQL

sub put
{
    my ($name, $format, @figures) = @_;
    diag sprintf "| %-56s | $format |", $name, @figures;
    return;
}

sub set_sandbox
{
    my $r = $bench->request(POST => "http://127.0.0.1:$bench->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
    return;
}
sub stats { return $bench->sandbox('/_sandbox/stats?sent=0')->{json} }

sub enqueue
{
    my ($count) = @_;
    my $begun = time;
    for (my $first = 1; $first <= $count; $first += 100_000)
    {
        $bench->sql("SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM public.ids
            WHERE n BETWEEN $first AND least($first + 99999, $count)");
    }
    my $took = time - $begun;
    $bench->sql('VACUUM ANALYZE ctms.pending_acoustic; CHECKPOINT');
    return $took;
}

# ---- by file ------------------------------------------------------------------------------------

# Until the program ends: its seconds, its greatest memory in kB, its processor time.
sub watch
{
    my ($name) = @_;
    my $pid = $bench->pid($name);
    my ($begun, $peak_kb, $processor) = (time, 0, 0);
    while (waitpid($pid, POSIX::WNOHANG()) == 0)
    {
        my ($kb) = slurp("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;
        $peak_kb = max($peak_kb, $kb // 0);
        $processor = max($processor, processor_s($pid));
        sleep 0.05;
    }
    my $status = $?;
    my $log = $bench->log_of($name);
    delete $bench->{process}{$name};
    die "ctms: the run ended with status $status:\n$log\n" if $status;
    return (time - $begun, $peak_kb, $processor);
}

# Seconds of all runs between two of their states.
sub between
{
    my ($from, $to) = @_;
    return $bench->sql("SELECT coalesce(sum(extract(epoch FROM t.at - f.at)), 0)
        FROM public.steps AS f JOIN public.steps AS t USING (run_id)
        WHERE f.kind IS NULL AND t.kind IS NULL AND f.state = '$from' AND t.state = '$to'");
}

put('enqueuing: contacts a second', '%9.0f', $contacts / enqueue($contacts));
my $begun = $bench->sql('SELECT clock_timestamp()');
$bench->start_program('bulk', 'ctms', $bench->agent_env($sftp->settings,
        CTMS_ACOUSTIC_BULK_DIRECTORY => $spool, CTMS_ACOUSTIC_BULK_MAX_CONTACTS => $run,
        CTMS_LOGGING_LEVEL => 'INFO'), 'acoustic', 'bulk');
my ($took, $peak_kb, $processor) = watch('bulk');
my ($done, $sent) = split /\|/, $bench->sql("SELECT count(*), sum(sent) FROM ctms.acoustic_bulk_run
    WHERE state = 'done'");
is($sent, $contacts, 'all were sent by file') or diag $bench->sql('TABLE ctms.acoustic_bulk_run');
my ($rows, $bytes) = split /\|/, $bench->sql("SELECT sum(row_count), sum(bytes)
    FROM ctms.acoustic_bulk_file");
put('runs; rows; megabytes', '%d; %d; %.0f', $done, $rows, $bytes / 1e6);
for (['claiming', 'claiming', 'making'], ['making', 'making', 'uploading'],
    ['uploading', 'uploading', 'importing'], ['making and uploading', 'making', 'importing'],
    ['importing (the sandbox)', 'importing', 'settling'], ['settling', 'settling', 'cleaning'])
{
    my ($name, $from, $to) = @$_;
    put("$name: contacts a second", '%9.0f', $contacts / (between($from, $to) || 1e-6));
}
put('without the time of importing: contacts a second', '%9.0f',
    $contacts / ($took - between('importing', 'settling')));
put('from begin to end, seconds', '%9.1f', $took);
put('from begin to end: contacts a second', '%9.0f', $contacts / $took);
put('ctms: greatest memory (VmHWM), MB', '%9.1f', $peak_kb / 1024);
put('ctms: processor time, us a contact', '%9.2f', 1e6 * $processor / $contacts);
cmp_ok($peak_kb, '<=', 64 * 1024, 'at most 64 MB');

my @different = differences($bench);
is("@different", '', 'Acoustic holds what the database holds, row by row');
put('rows compared', '%d', $bench->sql('SELECT count(*) FROM sandbox.expected'));
my @files = grep { !m{/(?:upload|download)$} } map { glob "$_/*" } $spool, $root, "$root/upload",
    "$root/download";
is("@files", '', 'no file is left');

# ---- the ordinary way ---------------------------------------------------------------------------

set_sandbox(latency_ms => 100);
my $some = 120 * ($seconds + 10);
enqueue($some < $contacts ? $some : $contacts);
my $first = stats()->{requests}{AddRecipient};
my $count = sub { return stats()->{requests}{AddRecipient} - $first };
$bench->start_agent(CTMS_LOGGING_LEVEL => 'INFO', CTMS_ACOUSTIC_LOOP_MIN_SECS => 5);
poll_until(sub { $count->() > 100 }, 'the line is at work', 60);
my ($from, $from_time) = ($count->(), time);
poll_until(sub { sleep 0.05; time > $from_time + $seconds }, 'sent', $seconds + 60);
my $ordinary = ($count->() - $from) / (time - $from_time);
is($bench->stop_program('agent'), 0, 'the agent stops');
put('one by one, 100 ms, 10 in flight: contacts a second', '%9.1f', $ordinary);
put('by file / one by one', '%9.0f', $contacts / $took / $ordinary);
done_testing();
