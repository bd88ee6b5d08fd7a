# The DBA as a test: users change and read contacts by SQL, by functions and by REST, agents send
# them, and meanwhile a session runs everything that a DBA may run on tables that are in use. No
# statement of a user fails except where PostgreSQL itself would fail it; afterwards there are no
# orphans, nothing is lost, no index is damaged, and both ways to read agree in every contact.
#
# In rounds: in each the DBA goes through all commands in a new order. CTMS_SOAK_SECONDS (one round
# of the short form when not set) and CTMS_SOAK_SEED (random): "make soak-ddl SECONDS=1800 SEED=1".
# The users' part is in CTMS::SoakWriter, the agents' in CTMS::SoakAgent, that of REST in
# CTMS::SoakClient, the DBA's in CTMS::SoakDba.
use strict;
use warnings;
use CTMS::Data;
use CTMS::SoakAgent;
use CTMS::SoakClient;
use CTMS::SoakDba;
use CTMS::SoakWriter;
use CTMS::Test qw(poll_until slurp);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{CTMS_SOAK_SECONDS} || 0;
my $seed = $ENV{CTMS_SOAK_SEED} || 1 + int rand(1 << 30);
delete @ENV{qw(CTMS_SOAK_SECONDS CTMS_SOAK_SEED)};
srand $seed;
diag "seed $seed";

my $ctms = CTMS::Test->new('soak_ddl', conf => join "\n", 'max_connections = 60',
    'max_prepared_transactions = 20', 'wal_level = logical', 'allow_in_place_tablespaces = on',
    'autovacuum_naptime = 1', 'deadlock_timeout = 1s', 'restart_after_crash = on',
    'max_pred_locks_per_transaction = 512', 'log_statement = none',
    q{log_line_prefix = '%m [%p] %a %e '});
my $dir = "$PostgreSQL::Test::Utils::tmp_check/soak_ddl";
mkdir $dir or die "$dir: $!";
$ctms->set(acoustic_retry_delay => '50ms');
$ctms->sql($CTMS::SoakDba::SET_UP . $CTMS::SoakAgent::SET_UP);
$ctms->drop_views;    # they would refuse changes of types
$ctms->sql($_) for CTMS::SoakWriter::fill();
my $url = $ctms->db_url;
my $app_url = "$url&user=soak_app";
$ctms->start_rest(CTMS_PROCESSES => 2, CTMS_DB_MAX_CONNECTIONS => 3,
    CTMS_LOGGING_LEVEL => 'WARNING',
    CTMS_DB_TIMEOUT_S => 60);
$ctms->login;

# ---- what may fail -----------------------------------------------------------------------------

# A failure is expected if everything that is given here fits: kind and phase of the statement, the
# level of isolation, the SQLSTATE, what psql said. "while" also asks what the DBA was doing between
# the beginning of the transaction and the failure.
my $snapshot = qr/repeatable read|serializable/;
my @ALLOWED = (
    { why => 'a row that others changed since the snapshot', isolation => $snapshot,
        phase => qr/^(statement|single)$/, state => qr/^40001$/ },
    { why => 'what SERIALIZABLE is for, which may show at the end', isolation => qr/serializable/,
        phase => qr/^(statement|single|commit)$/, state => qr/^40001$/ },
    { why => 'the contact comes and goes: gone', kind => qr/^(patch|delete)_contact go/,
        state => qr/^CT404$/ },
    { why => 'the contact comes and goes: there is another already',
        kind => qr/^(put|create|patch)_contact go/, state => qr/^CT409$/ },
    { why => 'documented: somebody else wrote the contact while it was being deleted',
        kind => qr/^delete_contact go/, state => qr/^40001$/ },
    { why => 'a row that was committed after the snapshot is in the way', isolation => $snapshot,
        kind => qr/^(put|create|patch)_contact go|^sql/, phase => qr/^(statement|single)$/,
        state => qr/^(23505|CT409)$/ },
    # PostgreSQL, "Caveats" of concurrency control: ALTER TABLE that writes a table anew is not
    # MVCC-safe; it seems empty to older snapshots.
    { why => 'the table was written anew after the snapshot', isolation => $snapshot,
        while => sub { $_[0]{rewrites} }, state => qr/^(23503|23505|CT404|CT409|CTS03|WRONG)$/ },
    { why => 'documented: a claim gives up where it would have to wait', kind => qr/^claim$/,
        state => qr/^55P03$/ },
    # A statement's snapshot is older than the locks that its functions take.
    { why => 'the table was written anew between the snapshot of a statement and the lock',
        kind => qr/^REST reading/, while => sub { $_[0]{rewrites} }, state => qr/^WRONG$/ },
    { why => 'a trigger of the DBA that writes, in a transaction that has become read-only',
        phase => qr/^commit$/, state => qr/^25006$/, text => qr/function soak\.note\(\)/ },
    # RelationBuildPublicationDesc() of the server, in any UPDATE.
    { why => 'a publication was dropped while a statement asked for its columns',
        state => qr/^XX000$/, text => qr/cache lookup failed for publication/ },
    # The detector picks whoever notices first, and the DBA's commands lock several tables.
    { why => 'a deadlock with a command of the DBA', state => qr/^40P01$/,
        deadlock_with_dba => 1 },
);

my (@ddl, %ddl_index, %dba_pids);
# There is one DBA, so the last that had ended before is the end of the search.
sub ddl_between
{
    my ($from, $to) = @_;
    my @found;
    for my $entry (reverse @ddl)
    {
        last if ($entry->{end} // $to) < $from;
        unshift @found, $entry if $entry->{begin} <= $to;
    }
    return @found;
}

sub is_allowed
{
    my ($failure) = @_;
    my @ddl_then = ddl_between($failure->{begun} // $failure->{at}, $failure->{at});
    for my $rule (@ALLOWED)
    {
        next if grep { defined $rule->{$_} && ($failure->{$_} // '') !~ $rule->{$_} }
            qw(isolation kind phase state text);
        next if $rule->{while} && !grep { $rule->{while}->($_) } @ddl_then;
        next if $rule->{deadlock_with_dba}
            && !grep { $dba_pids{$_} } $failure->{text} =~ /[Pp]rocess (\d+)/g;
        $rule->{count}++;
        return 1;
    }
    return 0;
}

# ---- reports of the others, as they come -------------------------------------------------------

my (%offset, %commits, %done, %failures, @dba_trouble, $is_dba_finished);
my $failure_count = 0;

sub new_lines
{
    my ($file) = @_;
    open my $handle, '<', $file or return;
    seek $handle, $offset{$file} // 0, 0;
    my @lines;
    while (my $line = <$handle>)
    {
        last if $line !~ /\n\z/;
        $offset{$file} = tell $handle;
        push @lines, JSON::PP->new->decode($line);
    }
    return @lines;
}

sub read_dba_log
{
    for my $entry (new_lines("$dir/dba"))
    {
        if ($entry->{begin})
        {
            push @ddl, $ddl_index{ $entry->{number} } = $entry;
            $dba_pids{ $entry->{pid} } = 1 if $entry->{pid};
        }
        $ddl_index{ $entry->{number} }{end} = $entry->{end} if $entry->{end};
        $done{ $entry->{kind} }++ if $entry->{done};
        push @dba_trouble, "$entry->{state}: $entry->{sql}: $entry->{text}" if $entry->{failed};
        push @dba_trouble, "given up: $entry->{sql}" if $entry->{given_up};
        $is_dba_finished = 1 if $entry->{finished};
    }
    return;
}

sub note_failure
{
    my ($failure) = @_;
    $failure_count++;
    my ($message) = $failure->{text} =~ /^(?:ERROR|FATAL|PANIC):\s+(.*)/m;
    my $class = "$failure->{kind}, $failure->{phase}, $failure->{isolation}: $failure->{state} "
        . ($message // $failure->{text} // '') =~ s/\d+/N/gr;
    return if $failures{$class}++ >= 2;
    my @then = map { "$_->{kind}: $_->{sql}" }
        ddl_between($failure->{begun} // $failure->{at}, $failure->{at});
    splice @then, 0, -5 if @then > 5;
    diag join "\n", "FAILED: $class", "  statement: " . substr($failure->{sql}, 0, 600),
        map({ "  psql: $_" } grep { /\S/ } (split /\n/, $failure->{text})[ 0 .. 9 ]),
        map { "  DBA: $_" } @then;
    return;
}

sub read_reports
{
    my (@files) = @_;
    # First the users', so that what the DBA was doing then is known.
    my %new = map { $_ => [ new_lines($_) ] } @files;
    read_dba_log();
    for my $file (@files)
    {
        for my $entry (@{ $new{$file} })
        {
            $commits{$file} = $entry->{commits} if exists $entry->{commits};
            note_failure($entry) if $entry->{state} && !is_allowed($entry);
        }
    }
    return;
}

# ---- one round ---------------------------------------------------------------------------------

my $begun = time;
my $next_progress = $begun + 10;
sub tell_progress
{
    return if time < $next_progress;
    $next_progress = time + 10;
    my $commits = 0;
    $commits += $_ for values %commits;
    my $kinds = join ', ', map { "$_ $done{$_}" } sort keys %done;
    diag sprintf '%.0f s: %d commits, %d failures, %d commands of the DBA: %s', time - $begun,
        $commits, $failure_count, scalar @ddl, $kinds;
    return;
}

sub start
{
    my ($do) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    $SIG{__DIE__} = 'DEFAULT';
    my $ok = eval { $do->(); 1 };
    warn $@ if !$ok;
    POSIX::_exit($ok ? 0 : 1);
}

my @agents = map { "agent$_" } 1 .. 2;
my (@wrong, %contacts, %customers, @reports, @unanswered);

sub run_round
{
    my ($round, $until) = @_;
    my $stop = "$dir/stop$round";
    my @files;
    my $next_seed = $seed + 1000 * $round;
    my %pids;
    my @users = ([ 'read committed', $url ], [ 'read committed', $app_url ],
        [ 'repeatable read', $app_url ], [ 'serializable', $url ]);
    for my $i (0 .. $#users)
    {
        my %options = (url => $users[$i][1], isolation => $users[$i][0],
            name => "r${round}w$i", seed => ++$next_seed, until => $stop,
            report => "$dir/user${round}_$i");
        push @files, $options{report};
        $pids{ start(sub { CTMS::SoakWriter->new(%options)->run }) } = $options{name};
    }
    for my $agent (@agents)
    {
        my %options = (url => $app_url, isolation => 'read committed', name => $agent,
            seed => ++$next_seed, until => $stop, report => "$dir/$agent.$round");
        push @files, $options{report};
        $pids{ start(sub { CTMS::SoakAgent->new(%options)->run }) } = $agent;
    }
    for my $i (1 .. 2)
    {
        my %options = (number => 10 * $round + $i, port => $ctms->{rest_port},
            token => $ctms->{token}, until => $stop, report => "$dir/rest${round}_$i");
        push @reports, $options{report};
        $pids{ start(sub { CTMS::SoakClient->new(%options)->run }) } = "REST client $i";
    }
    $is_dba_finished = 0;
    my $dba = start(sub { CTMS::SoakDba->new(url => $url, log => "$dir/dba", seed => ++$next_seed,
            is_short => !$seconds, round => $round, until => $until,
            number => 1000000 * $round)->run });
    my $dba_status;
    while (!defined $dba_status)
    {
        $dba_status = $? if waitpid($dba, POSIX::WNOHANG()) == $dba;
        read_reports(@files);
        tell_progress();
        sleep 0.1;
    }
    open my $handle, '>', $stop or die "$stop: $!";
    my @bad = $dba_status || !$is_dba_finished ? ('the DBA') : ();
    for my $pid (keys %pids) { waitpid $pid, 0; push @bad, $pids{$pid} if $? }
    is_deeply(\@bad, [], "round $round: everybody came to an end");
    read_reports(@files);
    return;
}

# What the log of REST has of an answer that is a 500: SQLSTATE and message.
sub logged_error
{
    my ($answer) = @_;
    my ($id) = $answer =~ /"error_id": ?"(\w+)"/ or return ('WRONG', '');
    return ($1, $2) if $ctms->log_of('rest') =~ /"\Q$id\E".*SQLSTATE (\w{5}): ([^"]*)/;
    return ('WRONG', '');
}

# What REST's clients say.
sub read_rest_reports
{
    my ($round) = @_;
    for my $file (splice @reports)
    {
        my $report = JSON::PP->new->utf8->decode(slurp($file) || '{}');
        for my $wrong (@{ $report->{wrong_when} })
        {
            my ($begun, $at, $answer) = @$wrong;
            my ($state, $text) = logged_error($answer);
            push @wrong, $answer unless is_allowed({ begun => $begun, at => $at,
                isolation => 'read committed', phase => 'answer', state => $state, text => $text,
                kind => $answer =~ /^(?:GET \S+: (?:200|404)|half a contact)/
                    ? 'REST reading' : 'REST' });
        }
        push @unanswered, map { "$_->[2] $_->[3]" } @{ $report->{unanswered} };
        $commits{$file} = $report->{statuses}{200} + $report->{statuses}{201};
        %contacts = (%contacts, %{ $report->{contacts} });
        %customers = (%customers, %{ $report->{customers} });
    }
    is_deeply([ splice @wrong ], [], "round $round: REST answers right");
    is_deeply([ @unanswered[ 0 .. ($#unanswered > 9 ? 9 : $#unanswered) ] ], [],
        "round $round: REST answers always") or diag substr $ctms->log_of('rest'), -3000;
    @unanswered = ();
    my ($expected, $found) = (\%contacts, CTMS::SoakClient::stored_contacts($ctms));
    is_deeply(CTMS::SoakClient::strangers($expected, $found), [], 'of ' . keys(%contacts)
        . ' contacts of REST each is as its last answer said');
    return;
}

# ---- when all is quiet -------------------------------------------------------------------------

sub has_none
{
    my ($what, $sql) = @_;
    return is($ctms->sql($sql), '', "none: $what");
}

sub drain
{
    my $drain = CTMS::SoakAgent->new(url => $url, isolation => 'read committed', name => 'drain');
    open $drain->{handle}, '>>', "$dir/drain" or die $!;
    $drain->{handle}->autoflush(1);
    $ctms->sql("SELECT ctms.release_acoustic('$_')") for @agents;
    $ctms->sql('SELECT ctms.reset_acoustic_retries()');
    my $deadline = time + 60;
    # A claim that finds nothing may have been the one that found the contacts of Stripe's objects.
    my $idle = 0;
    while ($idle < 2 && time < $deadline) { $idle = $drain->turn(100, 1) ? 0 : $idle + 1 }
    $drain->{session}->stop;
    read_reports("$dir/drain");
    return;
}

sub check_all
{
    my ($round, $objects) = @_;
    poll_until(sub { $ctms->sql(q{SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()}) eq 0 },
        'the last request has ended', 60);
    has_none('prepared transaction', 'SELECT gid FROM pg_prepared_xacts ORDER BY 1');
    has_none("row of $_ without its contact", "SELECT email_id FROM ctms.$_ AS t WHERE NOT EXISTS
        (SELECT FROM ctms.emails e WHERE e.email_id = t.email_id) ORDER BY 1")
        for qw(newsletters waitlists fxa amo mofo pending_acoustic);
    drain();
    has_none('contact left in the queue',
        'SELECT p FROM ctms.pending_acoustic p ORDER BY email_id');
    has_none('object of Stripe left', 'SELECT u FROM ctms.stripe_unresolved u ORDER BY u');
    has_none('contact whose last change was not sent', q{
        SELECT email_id, r.rows, s.rows FROM
            soak.rows_of(ARRAY(SELECT email_id FROM ctms.emails ORDER BY 1)) AS r
            FULL JOIN (SELECT s.* FROM soak.sent s JOIN ctms.emails USING (email_id)) AS s
            USING (email_id) WHERE r.rows IS DISTINCT FROM s.rows ORDER BY email_id LIMIT 5});
    my @answers = map { my $way = $_; $ctms->sql(qq{SET ctms.direct_access = $way;
        SELECT email_id, md5(ctms.get_contact(email_id)::text),
            md5(ctms.get_identity(email_id)::text),
            md5(ctms.find_contacts(primary_email => primary_email)::text),
            md5((SELECT string_agg(rows, ' ') FROM soak.rows_of(ARRAY[email_id])))
        FROM ctms.emails ORDER BY email_id;
        SELECT i FROM
            json_array_elements(ctms.get_updates('2020-01-01', "limit" => '1000')->'items')
            WITH ORDINALITY AS items (i, n) ORDER BY n}) } qw(on off);
    ok($answers[0] eq $answers[1], 'both ways to read give the same of every contact')
        or diag difference(@answers);
    has_none('index that is not valid', q{SELECT indexrelid::regclass FROM pg_index
        WHERE NOT (indisvalid AND indisready AND indislive) ORDER BY 1});
    has_none('damage in a table', q{SELECT c.oid::regclass, v.* FROM pg_class c,
        verify_heapam(c.oid) AS v WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'r'
        ORDER BY 1, 2, 3});
    my ($rc, undef, $err) = $ctms->node->psql('ctms', q{SELECT count(bt_index_check(c.oid, true))
        FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
        WHERE relnamespace = 'ctms'::regnamespace AND amname = 'btree'});
    is($rc, 0, 'all indexes are whole') or diag $err;
    my $after = CTMS::Data::objects($ctms->node, 'ctms');
    ok($after eq $objects, 'the DBA left everything as it was')
        or diag difference($objects, $after);
    return;
}

sub difference
{
    my ($before, $after) = @_;
    my %count;
    $count{$_}++ for split /\n/, $after;
    $count{$_}-- for split /\n/, $before;
    return join "\n", map { ($count{$_} > 0 ? 'more: ' : 'less: ') . substr $_, 0, 2000 }
        (grep { $count{$_} } sort keys %count)[ 0 .. 19 ];
}

# ---- the rounds --------------------------------------------------------------------------------

my $objects = CTMS::Data::objects($ctms->node, 'ctms');
my $until = $seconds ? $begun + $seconds : undef;
my $round = 0;
do
{
    run_round(++$round, $until);
    read_rest_reports($round);
    check_all($round, $objects);
} while ($until && time < $until);

is($failure_count, 0, 'no statement of a user failed that PostgreSQL would not have failed')
    or diag join "\n", 'failures by kind:', map { "$failures{$_} x $_" }
        sort { $failures{$b} <=> $failures{$a} || $a cmp $b } keys %failures;
is_deeply(\@dba_trouble, [], 'nor a command of the DBA');
my @all_kinds = CTMS::SoakDba::kinds();
is_deeply([ grep { !$done{$_} } @all_kinds ], [], 'the DBA did everything')
    if !$seconds || $round > 1;
is($ctms->stop_program('rest') & 127, 0, 'the server of REST ends by itself');
is($ctms->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
    AND pid <> pg_backend_pid()}), 0, 'no session is left');
# %e is also on the lines CONTEXT and STATEMENT that follow a message.
my $heard_of = qr/tuple concurrently|cache lookup failed for publication/;
my $trouble = qr/TRAP|PANIC|terminated by signal| XX\w{3} (?!CONTEXT:|STATEMENT:)/;
my @log = grep { /$trouble/ && !/$heard_of/ } split /\n/, slurp($ctms->node->logfile);
is_deeply([ splice @log, 0, 20 ], [], 'nothing unheard of in the log of the server');

$next_progress = 0;
tell_progress();
diag join "\n", 'expected failures:',
    map { sprintf '%6d %s', $_->{count} // 0, $_->{why} } @ALLOWED;
done_testing();
