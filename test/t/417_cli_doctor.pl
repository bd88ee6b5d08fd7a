# ctms doctor: each check finds what it is there for, says what to do, and is quiet where nothing is
# wrong. Nothing keeps it from its end, and it prints no secret.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::KeyServer;
use CTMS::PgBouncer;
use CTMS::Sftp;
use CTMS::Test qw(poll_until slurp);
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use Test::More;

my $ctms = CTMS::Test->new('doctor', conf => join "\n", 'fsync = on', 'log_statement = none',
    'max_connections = 100', 'wal_level = replica', 'max_wal_senders = 4',
    'max_prepared_transactions = 4', 'shared_buffers = 16MB');
my $node = $ctms->node;
$ctms->sql(q{CREATE ROLE operator LOGIN IN ROLE ctms_admin, pg_monitor;
    CREATE ROLE rest LOGIN IN ROLE ctms_api; CREATE ROLE agent LOGIN IN ROLE ctms_agent;
    CREATE ROLE stranger LOGIN; CREATE ROLE "log-ged" LOGIN IN ROLE ctms_admin, pg_monitor;});
sub url_as { my ($role, $database) = @_; return $ctms->db_url($database) . "&user=$role" }

my $secret = 'a secret key for tests only, 32+';
my $acoustic = $ctms->start_sandbox;
my $keys = CTMS::KeyServer->new;
my $key = $keys->make_key('one');
$keys->publish(1000, $key);
my $key_server = $keys->start;
END { local $?; kill TERM => $key_server if $key_server }

# ---- how it is run ---------------------------------------------------------------------------

my %rest = (CTMS_DB_URL => url_as('rest'), CTMS_SECRET_KEY => $secret,
    CTMS_PUBSUB_EMAIL => 'pubsub@example.com', CTMS_PUBSUB_CLIENT => 'a client of pubsub',
    CTMS_PUBSUB_JWKS_URL => $keys->url);
my $sftp = CTMS::Sftp::no_server() ? undef : CTMS::Sftp->new;
my $by_file = $sftp ? 2 : 0;  # connections
my %agent = %{ $ctms->agent_env(CTMS_DB_URL => url_as('agent'), $sftp ? $sftp->settings : ()) };
my ($rest_file, $agent_file) = map { "$ENV{TESTDIR}/$_.env" } qw(doctor-rest doctor-agent);

sub write_settings
{
    my ($file, %settings) = @_;
    open my $out, '>', $file or die "$file: $!";
    print $out map { defined $settings{$_} ? "$_=$settings{$_}\n" : '' } sort keys %settings;
    close $out;
    chmod 0640, $file;
    return;
}

# Runs it with environment and arguments; returns (exit status, standard output).
sub run_doctor
{
    my ($environment, @args) = @_;
    my %changes = %$environment;
    my @shell = @{ delete $changes{shell} // [] };
    local %ENV = (%ENV, CTMS_DB_URL => url_as('operator'),
        map { $_ => $changes{$_} // '' } keys %changes);
    delete @ENV{ grep { !defined $changes{$_} } keys %changes };
    # A command that runs it, or says how.
    my @command = (@shell, "$ENV{CTMS_TEST_BIN}/ctms", 'doctor', @args);
    @command = @shell if @shell && $shell[0] eq 'script';
    IPC::Run::run(\@command,
        '<', \'', '>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
    my $status = $? >> 8;
    diag $err if $err ne '';
    unlike("$out$err", qr/\Q$secret\E|a client of pubsub|pass.word/, 'no secret is printed')
        if "$out$err" =~ /\Q$secret\E|a client of pubsub|pass.word/;
    return ($status, $out);
}

# The findings of a run, by check; {rc} is the exit status.
sub doctor
{
    my ($environment, @args) = @_;
    my ($rc, $out) = run_doctor($environment, '--json', @args);
    my %found = (rc => $rc);
    push @{ $found{ $_->{check} } }, $_ for @{ decode_json($out) };
    return \%found;
}

# Settings of the servers too, some of them different.
sub doctor_of_all
{
    my (%changes) = @_;
    write_settings($rest_file, %rest, map { $_ => $changes{$_} } grep { exists $rest{$_}
        || /PROCESSES|READ|LISTEN/ } keys %changes);
    write_settings($agent_file, %agent, map { $_ => $changes{$_} } grep { exists $agent{$_}
        && !exists $rest{$_} || /LEASE/ } keys %changes);
    return doctor({}, '--rest-config', $rest_file, '--agent-config', $agent_file);
}

# The check has one finding with this status and message; its advice matches, where it has one.
sub finds
{
    my ($found, $check, $status, $message, $advice) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @fitting = grep { $_->{status} eq $status && $_->{message} =~ $message }
        @{ $found->{$check} // [] };
    ok(@fitting == 1 && (!$advice || ($fitting[0]{advice} // '') =~ $advice),
        "$check: $status: $message") or diag explain $found->{$check};
    return;
}

# No check but those that are named found anything wrong.
sub finds_nothing_else
{
    my ($found, @named) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %is_named = map { $_ => 1 } 'rc', @named;
    my @other = grep { $_->{status} =~ /warning|error/ }
        map { @{ $found->{$_} } } grep { !$is_named{$_} } sort keys %$found;
    is(join("\n", map { "$_->{check} $_->{message}" } @other), '', 'nothing else is wrong');
    return;
}

# ---- nothing is wrong ------------------------------------------------------------------------

my $found = doctor_of_all();
is($found->{rc}, 0, 'an installation without fault');
my @all = map { @{ $found->{$_} } } grep { $_ ne 'rc' } keys %$found;
is(join("\n", map { "$_->{check}: $_->{message}" } grep { $_->{status} ne 'ok'
        && ($sftp || $_->{check} ne 'sftp') } @all), '', 'all is checked, and well');
my @names = qw(settings secrets database roles extension triggers policy dumps replicas pooler
    listen clock connections queue waitlists stripe snapshots autovacuum durability archiving log
    memory acoustic sftp keys);
is(join(' ', sort grep { $_ ne 'rc' } keys %$found), join(' ', sort @names), 'by each check');
finds($found, 'settings', 'ok', qr/^ctms-$_: valid, from "\Q$ENV{TESTDIR}\E\S+$_.env"\z/)
    for qw(rest agent);
finds($found, 'database', 'ok', qr/^ctms-rest: "ctms" as "rest", PostgreSQL \d/);
finds($found, 'extension', 'ok', qr/^the library ctms\.so has version/);
finds($found, 'listen', 'ok', qr/^ctms-agent: notifications arrive/);
finds($found, 'connections', 'ok', qr/of 97 are free; the programs may open ${\(74 + $by_file)}\z/);
finds($found, 'acoustic', 'ok', qr/gave a token/);
finds($found, 'keys', 'ok', qr/^1 keys/);

my ($rc, $out) = run_doctor({}, '--strict');
is($rc, 0, 'nor with the settings of ctms alone');
like($out, qr/^ok       settings     ctms: valid, from ".*" and the environment\n/,
    'a line for each finding');
like($out,
    qr/^skipped  settings     ctms-rest: not checked: CTMS_SECRET_KEY is not set here; --rest/m,
    'what is not set up here is not checked');
like($out, qr/^skipped  acoustic     not checked: needs /m, 'nor what needs it');
like($out, qr/\n\nok: 22, warnings: 0, errors: 0, skipped: 6\n\z/, 'a summary at the end');
unlike($out, qr/\e/, 'no colours in a pipe');
my $at_terminal = { shell => [ 'script', '-qec', "'$ENV{CTMS_TEST_BIN}/ctms' doctor", '/dev/null' ],
    TERM => 'xterm', NO_COLOR => undef };
like((run_doctor($at_terminal))[1], qr/^\e\[32mok      \e\[0m settings/m, 'but at a terminal');
unlike((run_doctor({ %$at_terminal, NO_COLOR => 1 }))[1], qr/\e/, 'if they are wanted');

# ---- usage -----------------------------------------------------------------------------------

for my $wrong ([qw(--old x)], [qw(--old)], ['word'], [qw(--timeout x)])
{
    IPC::Run::run([ "$ENV{CTMS_TEST_BIN}/ctms", 'doctor', @$wrong ], \'', \my $nothing, \my $why);
    is($? >> 8, 2, "usage: @$wrong");
}

# ---- settings --------------------------------------------------------------------------------

$found = doctor({ CTMS_FROBNICATE => 1 });
is($found->{rc}, 1, 'an unknown setting');
finds($found, 'settings', 'error', qr/^ctms: CTMS_FROBNICATE is not a setting/, qr/Correct it/);
is(join(' ', sort grep { $_ ne 'rc' } keys %$found), join(' ', sort @names), 'ends no check');
finds($found, 'database', 'skipped', qr/not checked/);
$found = doctor({ CTMS_FROBNICATE => 1 }, '--db-url', url_as('operator'));
finds($found, 'queue', 'ok', qr/0 contacts wait/);
finds($found, 'listen', 'skipped', qr/needs settings without an error/);

$found = doctor({ CTMS_SECRET_KEY => $secret, CTMS_ACOUSTIC_CLIENT_ID => 'cid' });
finds($found, 'settings', 'ok', qr/^ctms-rest: valid/);
finds($found, 'settings', 'error', qr/^ctms-agent: CTMS_ACOUSTIC_CLIENT_SECRET is required/);
finds(doctor_of_all(CTMS_SECRET_KEY => 'short'), 'settings', 'error',
    qr/^ctms-rest: .* line \d+: CTMS_SECRET_KEY must have at least/);
finds(doctor_of_all(CTMS_ACOUSTIC_LEASE_S => 19), 'settings', 'error',
    qr/CTMS_ACOUSTIC_LEASE_S must be at least four times/);
finds(doctor_of_all(CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG => 'false'), 'settings', 'warning',
    qr/empties the queue without sending/);
finds(doctor_of_all(CTMS_ACOUSTIC_SYNC_FEATURE_FLAG => 'false'), 'settings', 'ok',
    qr/leaves the queue alone/);
finds(doctor({}, '--rest-config', "$rest_file.not"), 'settings', 'error', qr/could not open/);

my $key_file = "$ENV{TESTDIR}/doctor-key";
write_settings($key_file, $secret => '');
finds(doctor({ CTMS_SECRET_KEY_FILE => $key_file }), 'secrets', 'ok', qr/none of the 1 files/);
for my $case ([ 0644, 'read' ], [ 0660, 'change' ], [ 0602, 'change' ])
{
    chmod $case->[0], $key_file;
    $found = doctor({ CTMS_SECRET_KEY_FILE => $key_file });
    finds($found, 'secrets', 'warning', qr/"\Q$key_file\E" has mode \d+: others may $case->[1] it/,
        qr/chmod 0640/);
    finds_nothing_else($found, 'secrets', 'roles');    # REST's is the operator's here
}
chmod 0640, $key_file;
my $folder = "$ENV{TESTDIR}/doctor-folder";
mkdir $folder;
write_settings("$folder/key", $secret => '');
for my $case ([ 0770, 'warning', qr{"\Q$folder\E/key": its folder has mode 0770: others may repl} ],
    [ 01777, 'ok', qr/none of the 1 files/ ])
{
    chmod $case->[0], $folder;
    finds(doctor({ CTMS_SECRET_KEY_FILE => "$folder/key" }), 'secrets', @$case[1, 2]);
}
chmod 0000, $key_file;
finds(doctor({ CTMS_SECRET_KEY_FILE => $key_file }), 'settings', 'error',
    qr/CTMS_SECRET_KEY_FILE: could not open/);
finds(doctor({ CTMS_SECRET_KEY_FILE => $key_file }), 'secrets', 'skipped', qr/settings without an/);
chmod 0644, $rest_file;
finds(doctor({}, '--rest-config', $rest_file), 'secrets', 'warning', qr/"\Q$rest_file\E" has mode/);

# ---- the database ----------------------------------------------------------------------------

my $no_port = PostgreSQL::Test::Cluster::get_free_port();
my $deaf = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $!";
my $deaf_url = 'postgresql://x:pass.word@127.0.0.1:' . $deaf->sockport . '/ctms';
for my $case ([ "postgresql://x:pass.word\@127.0.0.1:$no_port/ctms", qr/refused/ ],
    [ $deaf_url, qr/^ctms: no answer within 1 s/ ],
    [ url_as('operator', 'nowhere'), qr/database "nowhere" does not exist/ ])
{
    $found = doctor({ CTMS_DB_URL => $case->[0] }, '--timeout', 1);
    is($found->{rc}, 1, 'no database');
    finds($found, 'database', 'error', $case->[1], qr/CTMS_DB_URL/);
    finds($found, $_, 'skipped', qr/needs a connection/) for qw(roles extension queue log);
}
# A URL that may show a part of its password when libpq complains is not given to it.
for my $url ('postgresql://x:bad@pass.word@127.0.0.1/ctms', 'host=127.0.0.1 pass.word')
{
    finds(doctor({ CTMS_DB_URL => $url }), 'settings', 'error',
        qr/^ctms: CTMS_DB_URL (?:has a wrong host or port|is not one that libpq can read): /);
    finds(doctor({ CTMS_DB_URL => '' }, '--db-url', $url), 'database', 'error',
        qr/^ctms: the URL (?:has a wrong host or port|is not one that libpq can read): /);
}
# The advice is that of the SQLSTATE, which is not in the message.
$ctms->sql('ALTER ROLE "log-ged" CONNECTION LIMIT 0; CREATE ROLE no_login');
for my $case (
    [ url_as('operator', 'nowhere'), qr/FATAL:  database "nowhere"/, qr/^Create the database/ ],
    [ url_as('nobody'), qr/FATAL:  role "nobody" does not/, qr/^Is the role .* with LOGIN/ ],
    [ url_as('no_login'), qr/FATAL:  role "no_login" is not/, qr/^Is the role .* with LOGIN/ ],
    [ url_as('log-ged'), qr/FATAL:  too many connections for/, qr/max_connections/ ],
    [ "postgresql://127.0.0.1:$no_port/ctms", qr/refused/, qr/host and port/ ])
{
    finds(doctor({ CTMS_DB_URL => $case->[0] }), 'database', 'error', $case->[1], $case->[2]);
}
$ctms->sql('ALTER ROLE "log-ged" CONNECTION LIMIT -1');
$found = doctor({ CTMS_DB_URL => $deaf_url }, '--timeout', 3, '--rest-config', $rest_file);
finds($found, 'queue', 'ok', qr/0 contacts wait/);
finds(doctor({ CTMS_DB_URL => url_as('operator', 'postgres') }), 'extension', 'error',
    qr/does not have the extension/, qr/CREATE EXTENSION ctms/);
finds(doctor({ CTMS_DB_URL => url_as('operator', 'postgres') }), 'triggers', 'skipped',
    qr/needs the extension/);

# A query that waits for a lock is given up, and the others are asked.
my $holder = $node->background_psql('ctms');
$holder->query_safe('BEGIN; LOCK ctms.pending_acoustic');
$found = doctor({}, '--timeout', 3);
finds($found, 'queue', 'warning', qr/could not be checked: .*(timeout|in time)/, qr/--timeout/);
finds_nothing_else($found, 'queue');
$holder->quit;

# Each program by itself is well, but they do not work together.
for my $role (qw(rest agent))
{
    my $program = "ctms-$role";
    my %changed = (CTMS_DB_URL => url_as($role, 'postgres'));
    write_settings($rest_file, %rest, $role eq 'rest' ? %changed : ());
    write_settings($agent_file, %agent, $role eq 'agent' ? %changed : ());
    $found = doctor({}, '--rest-config', $rest_file, '--agent-config', $agent_file);
    is($found->{rc}, 1, "$program in another database");
    finds($found, 'database', 'error',
        qr/^$program uses the database "postgres" at .*, but ctms uses "ctms" at/, qr/CTMS_DB_URL/);
    finds($found, 'extension', 'error', qr/^$program: the database "postgres" does not have/);
}
for my $role (qw(rest agent operator))
{
    $ctms->sql("ALTER ROLE $role SET default_transaction_read_only = on");
    my $is_server = $role ne 'operator';
    my $program = $is_server ? "ctms-$role" : 'ctms';
    $found = doctor_of_all();
    finds($found, 'database', $is_server ? 'error' : 'warning',
        qr/^$program: nothing can be changed: default_transaction_read_only/,
        qr/ALTER ROLE $role RESET default_transaction_read_only/);
    finds_nothing_else($found, 'database');
    $ctms->sql("ALTER ROLE $role RESET default_transaction_read_only");
}

# ---- roles -----------------------------------------------------------------------------------

finds(doctor({ CTMS_DB_URL => $ctms->db_url }), 'roles', 'warning', qr/is a superuser/,
    qr/IN ROLE ctms_admin/);
$found = doctor({ CTMS_DB_URL => url_as('stranger') });
finds($found, 'roles', 'error', qr/^ctms: "stranger" is not a member of ctms_admin/);
finds($found, 'queue', 'skipped', qr/not checked: needs ctms_api, ctms_agent or ctms_admin/);
finds(doctor_of_all(CTMS_DB_URL => url_as('agent')), 'roles', 'error',
    qr/^ctms-rest: "agent" is not a member of ctms_api/);
$ctms->sql('GRANT ctms_agent TO rest');
finds(doctor_of_all(), 'roles', 'warning', qr/^ctms-rest: "rest" is a member of ctms_agent too/,
    qr/IN ROLE ctms_api/);
$ctms->sql('REVOKE ctms_agent FROM rest; ALTER ROLE ctms_reader LOGIN');
finds(doctor({}), 'roles', 'warning', qr/group role "ctms_reader" may log in/, qr/NOLOGIN/);
$ctms->sql('ALTER ROLE ctms_reader NOLOGIN; ALTER ROLE ctms_reader RENAME TO renamed');
finds(doctor({}), 'roles', 'error', qr/there is no role "ctms_reader"/);
$ctms->sql('ALTER ROLE renamed RENAME TO ctms_reader');

# What the groups may can be taken away, and given back as it says.
for my $case ([ 'USAGE ON SCHEMA ctms', 'ctms_api', 'ctms-rest' ],
    [ 'EXECUTE ON FUNCTION ctms.acoustic_rows(uuid[])', 'ctms_agent', 'ctms-agent' ],
    [ 'SELECT ON ctms.emails', 'ctms_admin', 'ctms' ])
{
    my ($what, $group, $program) = @$case;
    $ctms->sql("REVOKE $what FROM $group");
    $found = doctor_of_all();
    finds($found, 'roles', 'error', qr/^$program: $group may not do/,
        qr/: GRANT \Q$what\E TO $group\z/);
    $ctms->sql("GRANT $what TO $group");
}
finds_nothing_else(doctor_of_all());
# From 16 on a membership inherits, before it was the role.
my ($inherits_not, $inherits) = $ctms->node->pg_version >= 16
    ? map { qq(GRANT ctms_admin TO "log-ged" WITH INHERIT $_) } qw(FALSE TRUE)
    : map { qq(ALTER ROLE "log-ged" ${_}INHERIT) } 'NO', '';
$ctms->sql($inherits_not);
finds(doctor({ CTMS_DB_URL => url_as('log-ged') }), 'roles', 'error',
    qr/^ctms: "log-ged" is a member of ctms_admin that does not inherit/,
    qr/: \Q$inherits\E\z/);
$ctms->sql($inherits);

# The roles of the servers may run it too. What they may not see is not checked.
for my $role (qw(rest agent))
{
    $found = doctor({ CTMS_DB_URL => url_as($role) });
    is($found->{rc}, 0, "$role may run it");
    finds_nothing_else($found);
    finds($found, 'queue', 'skipped', qr/needs ctms_reader or ctms_admin/);
    finds($found, 'snapshots', 'skipped', qr/needs the role pg_monitor/);
}

# ---- the extension ---------------------------------------------------------------------------

my $version = $ctms->sql(q{SELECT extversion FROM pg_extension WHERE extname = 'ctms'});
sub claim_version
{
    my ($claimed) = @_;
    $ctms->sql("UPDATE pg_extension SET extversion = '$claimed' WHERE extname = 'ctms'");
    return;
}
claim_version('0.9');
$found = doctor({});
finds($found, 'extension', 'warning', qr/objects have version 0\.9; \Q$version\E is installed/,
    qr/UPDATE/);
finds($found, 'extension', 'warning',
    qr/loaded version \Q$version\E of ctms\.so, for older .* 0\.9/,
    qr/ALTER EXTENSION ctms UPDATE/);
is($found->{rc}, 0, 'a step of an upgrade is no error');
for my $newer ("$version.1", $version =~ s/(\d+)$/10 * $1 + 10/er)
{
    claim_version($newer);
    $found = doctor({});
    finds($found, 'extension', 'error',
        qr/objects have version \Q$newer\E, but only \Q$version\E is inst/,
        qr/Install the newer package/);
    finds($found, 'extension', 'error',
        qr/loaded version \Q$version\E of ctms\.so, for newer .* \Q$newer\E/,
        qr/newer library.*restart the server/);
}
claim_version($version);
$ctms->sql(q{ALTER FUNCTION ctms.library_version() RENAME TO gone});
finds(doctor({}), 'extension', 'error', qr/objects are older/, qr/ALTER EXTENSION ctms UPDATE/);
$ctms->sql('ALTER FUNCTION ctms.gone() RENAME TO library_version');

my %listed = map { $_ => 1 }
    slurp("$ENV{CTMS_TEST_TOP}/cli/doctor/triggers.sql") =~ /^    (\('\w+', '\w+', '[OA]'\))/mg;
is(join("\n", sort keys %listed), $ctms->sql(q{SELECT format('(%L, %L, %L)', c.relname, t.tgname,
        t.tgenabled) COLLATE "C" FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'ctms'::regnamespace AND NOT t.tgisinternal ORDER BY 1}),
    'cli/doctor/triggers.sql lists the triggers of the extension');
for my $case (
    [ 'ALTER TABLE ctms.emails DISABLE TRIGGER ctms_emails_update_timestamp', 'disabled' ],
    [ 'ALTER TABLE ctms._queue_flush ENABLE TRIGGER ctms_queue_flush', 'not in its mode' ],
    [ 'ALTER EVENT TRIGGER ctms_guard_drop DISABLE', 'disabled' ],
    [ 'ALTER EVENT TRIGGER ctms_warn_of_changes ENABLE', 'not in its mode' ])
{
    $ctms->sql($case->[0]);
    $found = doctor({});
    finds($found, 'triggers', 'error', qr/^ctms_\w+ $case->[1]\z/, qr/^As a superuser: ALTER/);
    $ctms->sql($found->{triggers}[0]{advice} =~ s/^As a superuser: //r);
    finds(doctor({}), 'triggers', 'ok', qr/all are there and fire/);
}
my ($definition) = $ctms->sql(q{SELECT pg_get_triggerdef(oid) FROM pg_trigger
    WHERE tgname = 'ctms_fxa_update_timestamp'});
$ctms->sql('DROP TRIGGER ctms_fxa_update_timestamp ON ctms.fxa');
finds(doctor({}), 'triggers', 'error', qr/^ctms_fxa_update_timestamp missing\z/,
    qr/ctms--1\.0\.sql/);
$ctms->sql("$definition; ALTER TABLE ctms.newsletters DISABLE TRIGGER ALL");
$found = doctor({});
finds($found, 'triggers', 'error', qr/disabled.*, and \d+ more\z/,
    qr/^As a superuser: ALTER TABLE ctms\.newsletters ENABLE TRIGGER ALL\z/);
# Two tables, one with triggers that fire always, and an event trigger: all is said at once.
$ctms->sql('ALTER TABLE ctms.waitlist_fields_schemas DISABLE TRIGGER ALL;
    ALTER EVENT TRIGGER ctms_guard_drop DISABLE');
$found = doctor({});
$ctms->sql($found->{triggers}[0]{advice} =~ s/^As a superuser: //r);
finds(doctor({}), 'triggers', 'ok', qr/all are there and fire/);

# What dumps leave out, and how to take it away again.
for my $case (
    [ 'ALTER TABLE ctms.emails ADD mine int', 'ALTER TABLE ctms.emails DROP mine',
        qr/^a restored database would lack the rows of tables: column mine of emails\z/ ],
    [ 'ALTER TABLE ctms.emails ADD mine int GENERATED ALWAYS AS (1) STORED',
        'ALTER TABLE ctms.emails DROP mine', qr/^left out of dumps: column mine of emails\z/ ],
    [ 'CREATE INDEX mine ON ctms.fxa (lang)', 'DROP INDEX ctms.mine', qr/: index mine of fxa\z/ ],
    [ 'ALTER TABLE ctms.fxa ADD CONSTRAINT mine CHECK (true)',
        'ALTER TABLE ctms.fxa DROP CONSTRAINT mine', qr/: constraint mine of fxa\z/ ],
    [ 'ALTER TABLE ctms.fxa SET (fillfactor = 90)', 'ALTER TABLE ctms.fxa RESET (fillfactor)',
        qr/: parameter fillfactor=90 of fxa\z/ ],
    [ 'CREATE TRIGGER mine BEFORE UPDATE ON ctms.fxa FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()', 'DROP TRIGGER mine ON ctms.fxa',
        qr/: trigger mine of fxa\z/ ],
    [ 'CREATE RULE mine AS ON DELETE TO ctms.fxa DO ALSO NOTIFY mine',
        'DROP RULE mine ON ctms.fxa', qr/: rule mine of fxa\z/ ],
    [ 'CREATE POLICY mine ON ctms.fxa', 'DROP POLICY mine ON ctms.fxa',
        qr/: policy mine of fxa\z/ ],
    [ 'ALTER TABLE ctms.fxa ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE ctms.fxa DISABLE ROW LEVEL SECURITY', qr/: row security enabled of fxa\z/ ],
    [ 'CREATE TABLE mine (LIKE ctms.amo) PARTITION BY LIST (email_id);
            ALTER TABLE mine ATTACH PARTITION ctms.amo DEFAULT',
        'ALTER TABLE mine DETACH PARTITION ctms.amo; DROP TABLE mine',
        qr/: parent public\.mine of amo\z/ ],
    [ 'CREATE STATISTICS ctms.mine ON lang, fxa_id FROM ctms.fxa', 'DROP STATISTICS ctms.mine',
        qr/: statistics mine of fxa\z/ ],
    # From 18 on dumps have the tables of publications.
    $ctms->node->pg_version >= 18 ? () : (
        [ 'CREATE PUBLICATION mine FOR TABLE ctms.fxa', 'DROP PUBLICATION mine',
            qr/: publication mine of fxa\z/ ],
        [ 'CREATE INDEX mine ON ctms.fxa (lang);
                CREATE PUBLICATION mine FOR TABLE ctms.amo, ctms.fxa',
            'DROP INDEX ctms.mine; DROP PUBLICATION mine',
            qr/: index mine of fxa, publication mine of 2 tables\z/ ]),
    [ 'DROP INDEX ctms.fxa_primary_email_idx',
        'CREATE INDEX fxa_primary_email_idx ON ctms.fxa (primary_email)',
        qr/^missing, but made by a restore: index fxa_primary_email_idx of fxa\z/,
        qr/ctms--1\.0\.sql/ ])
{
    my ($change, $undo, $message, $advice) = @$case;
    $ctms->sql($change);
    $found = doctor({});
    finds($found, 'dumps', 'warning', $message, $advice // qr/Own columns, indexes and triggers/);
    finds_nothing_else($found, 'dumps');
    $ctms->sql($undo);
}
$ctms->sql(join ';', map { "ALTER TABLE ctms.fxa ADD mine$_ int" } 1 .. 6);
finds(doctor({}), 'dumps', 'warning', qr/: column mine1 of fxa, .* and 2 more\z/);
$ctms->sql(join ';', map { "ALTER TABLE ctms.fxa DROP mine$_" } 1 .. 6);
# A table of one's own is dumped with all that it has, in the schema of the extension too.
$ctms->sql('CREATE TABLE ctms.mine (email_id uuid PRIMARY KEY REFERENCES ctms.emails)');
finds(doctor({}), 'dumps', 'ok', qr/as the extension makes them/);
$ctms->sql('DROP TABLE ctms.mine');

for my $case ([ 'session_replication_role', 'replica', qr/triggers do not fire/ ],
    [ 'ctms.enqueue', 'off', qr/changes are not enqueued/ ])
{
    $ctms->sql("ALTER ROLE rest SET $case->[0] = $case->[1]");
    finds(doctor_of_all(), 'triggers', 'error', qr/^ctms-rest: .*$case->[2]/,
        qr/RESET \Q$case->[0]\E/);
    $ctms->sql("ALTER ROLE rest RESET $case->[0]");
}
# Restoring: for members of ctms_admin alone.
$ctms->sql('ALTER DATABASE ctms SET ctms.restore_mode = on');
$found = doctor_of_all();
finds($found, 'triggers', 'error', qr/^ctms: .* nor validated: ctms\.restore_mode is on\z/,
    qr/RESET ctms\.restore_mode/);
is(scalar(grep { $_->{message} =~ /^ctms-/ } @{ $found->{triggers} }), 0, 'not for the servers');
$ctms->sql('ALTER DATABASE ctms RESET ctms.restore_mode; ALTER ROLE operator SET row_security = off;
    ALTER ROLE operator SET check_function_bodies = off');
finds(doctor({}), 'triggers', 'error', qr/^ctms: .* are off, as in a restore\z/,
    qr/RESET check_function_bodies/);
$ctms->sql('ALTER ROLE operator RESET check_function_bodies');
finds(doctor({}), 'triggers', 'ok', qr/all are there and fire/);
$ctms->sql('ALTER ROLE operator RESET row_security');

# ---- settings of the database ----------------------------------------------------------------

finds(doctor({}), 'policy', 'ok', qr/all settings of the database have an effect/);
for my $case ([ 'DATABASE ctms', 'acoustic_deletions', 'on', 'on' ],
    [ 'ROLE rest', 'acoustic_history_age', '60', '60min' ],
    [ 'ROLE rest IN DATABASE ctms', 'acoustic_retry_delay', q{'1 min'}, '1min' ],
    [ 'ROLE ALL', 'acoustic_skip_unchanged', 'true', 'true' ],
    [ 'DATABASE ctms', 'direct_access', 'off', 'off' ],
    [ 'DATABASE ctms', 'stripe_refused_age', q{'60d'}, '60d' ])
{
    my ($where, $name, $value, $moved) = @$case;
    $ctms->sql("ALTER $where SET ctms.$name = $value");
    $found = doctor({});
    finds($found, 'policy', 'warning',
        qr/^ctms\.$name of $where (has no effect|is lost by a dump): /,
        qr/^Move it: ctms settings set $name $moved; and .*: ALTER $where RESET ctms\.$name\z/);
    my ($reset) = $found->{policy}[0]{advice} =~ /(ALTER .*)/;
    $ctms->sql($reset);
    finds(doctor({}), 'policy', 'ok', qr/have an effect/);
}
$ctms->sql('ALTER ROLE rest SET ctms.direct_access = off');
finds(doctor({}), 'policy', 'ok', qr/have an effect/);
$ctms->sql('ALTER ROLE rest RESET ctms.direct_access');
$ctms->sql(q{SET ctms.restore_mode = on; INSERT INTO ctms.settings VALUES ('newer', '17')});
finds(doctor({}), 'policy', 'warning', qr/setting "newer" comes from another version/, qr/reset/);
$ctms->sql('TRUNCATE ctms.settings');

# ---- notifications, clock, connections -------------------------------------------------------

finds(doctor({ CTMS_LISTEN_DB_URL => url_as('operator', 'postgres') }), 'listen', 'warning',
    qr/did not arrive through CTMS_LISTEN_DB_URL/, qr/direct connection to the same database/);
finds(doctor({ CTMS_LISTEN_DB_URL => $deaf_url }, '--timeout', 1), 'listen', 'error',
    qr/^ctms: CTMS_LISTEN_DB_URL: no answer/);

for my $case ([ '+30s', 'warning', qr/clock is (29|30) s behind this machine's/ ],
    [ '-2h', 'error', qr/clock is 7\d\d\d s ahead of this machine's/ ])
{
    $found = doctor({ shell => [ 'faketime', '-f', $case->[0] ], FAKETIME_DONT_FAKE_MONOTONIC => 1,
            FAKETIME_FORCE_MONOTONIC_FIX => 0,
            # Its library comes before that of sanitizers.
            ASAN_OPTIONS => 'verify_asan_link_order=0' });
    finds($found, 'clock', $case->[1], $case->[2], qr/NTP/);
}

finds(doctor_of_all(CTMS_PROCESSES => 20), 'connections', 'warning',
    qr/may open ${\(1309 + $by_file)} connections, the server allows 97/, qr/max_connections/);
$ctms->sql('ALTER DATABASE ctms CONNECTION LIMIT 5');
finds(doctor({}), 'connections', 'warning', qr/^[0-4] of 5 connections are free/);
# Sessions of other databases are not counted.
$ctms->sql('ALTER DATABASE ctms CONNECTION LIMIT 20');
my @elsewhere = map { $node->background_psql('postgres') } 1 .. 12;
finds(doctor({}), 'connections', 'ok', qr/^1\d of 20 are free/);
$_->quit for @elsewhere;
$ctms->sql('ALTER DATABASE ctms CONNECTION LIMIT -1; ALTER ROLE rest CONNECTION LIMIT 7');
finds(doctor_of_all(), 'connections', 'warning',
    qr/^ctms-rest: may open 65 connections, its role "rest" may have 7\z/, qr/CONNECTION LIMIT/);
$ctms->sql('ALTER ROLE rest CONNECTION LIMIT -1');

# ---- queue and snapshots ---------------------------------------------------------------------

$ctms->sql(q{SELECT ctms.create_contact('{"email": {"primary_email": "one@example.com"}}');
    UPDATE ctms.pending_acoustic SET create_timestamp = now() - interval '1 hour'});
$found = doctor({});
finds($found, 'queue', 'warning', qr/^1 contacts wait, the oldest for 36\d\d s/, qr/backlog grows/);
$ctms->sql(q{UPDATE ctms.pending_acoustic SET lease_until = now() - interval '1 hour',
    lease_owner = 'gone'});
finds(doctor({}), 'queue', 'warning', qr/^1 contacts are held by an agent that has gone/);
$ctms->sql(q{UPDATE ctms.pending_acoustic SET lease_until = NULL, lease_owner = NULL,
    retry = 6, retry_after = 'infinity'});
$found = doctor({});
finds($found, 'queue', 'warning', qr/^1 contacts were given up/, qr/ctms acoustic status/);
is($found->{rc}, 0, 'a warning is no failure');
is(doctor({}, '--strict')->{rc}, 1, 'except with --strict');
$ctms->sql('DELETE FROM ctms.pending_acoustic');

$ctms->sql(q{SELECT ctms.begin_acoustic_bulk('a runner', '1 hour', '6 hours')});
is_deeply([ map { $_->{status} } @{ doctor({})->{queue} } ], ['ok'], 'a run by file is at work');
$ctms->sql('UPDATE ctms.acoustic_bulk_run SET lease_until = now()');
finds(doctor({}), 'queue', 'warning',
    qr/^nobody works on run 1 by file \(claiming\), which holds 0 contacts/, qr/bulk --resume/);
$ctms->sql(q{SELECT ctms.put_acoustic_bulk_file(1, 'a runner', 'main', 1, 'ctms_1', 'failed', 1, 9,
        NULL, 0, NULL, NULL, NULL);
    SELECT ctms.set_acoustic_bulk_state(1, 'a runner', 'failed', 'it was too late')});
$found = doctor({});
finds($found, 'queue', 'warning', qr/^the last run by file was given up: it was too late/,
    qr/A run by file fails/);
finds($found, 'queue', 'warning', qr/^1 files of runs that have ended may be left/,
    qr/Files are left/);
$ctms->sql('DELETE FROM ctms.acoustic_bulk_run');

$ctms->sql(q{INSERT INTO ctms.json_schema_document VALUES ('urn:geo', 'true');
    SELECT ctms.set_waitlist_schema('hub', '{"properties": {"geo": {"$ref": "urn:geo"}}}');
    DELETE FROM ctms.json_schema_document});
finds(doctor({}), 'waitlists', 'error',
    qr/^nobody can join "hub": invalid JSON Schema: reference "urn:geo" is to a document that is/,
    qr/Change the document/);
$ctms->sql(q{SELECT ctms.drop_waitlist_schema('hub')});

$ctms->sql(q{INSERT INTO ctms.stripe_refused (code, reason, digest, content)
    VALUES ('CTS02', 'x', '', '')});
finds(doctor({}), 'stripe', 'warning', qr/^1 refused Stripe objects are kept/,
    qr/ctms stripe refused list/);
$ctms->sql('DELETE FROM ctms.stripe_refused');

my $old = $node->background_psql('ctms');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $pid = $old->query('SELECT pg_backend_pid()');
finds(doctor({}, '--old', 0), 'snapshots', 'warning',
    qr/dead rows are kept: session $pid for \d+ s/, qr/An old snapshot/);
$old->quit;
$ctms->sql(q{BEGIN; CREATE TABLE public.x (); PREPARE TRANSACTION 'forgotten'});
finds(doctor({}, '--old', 0), 'snapshots', 'warning', qr/prepared transaction forgotten for \d+ s/);
$ctms->sql(q{ROLLBACK PREPARED 'forgotten'});
$ctms->sql(q{SELECT pg_create_physical_replication_slot('unused', true)});
finds(doctor({}), 'snapshots', 'warning', qr/unused replication slot unused\z/);
$ctms->sql(q{SELECT pg_drop_replication_slot('unused')});

# ---- settings of the server ------------------------------------------------------------------

sub set_server
{
    my (%settings) = @_;
    for my $name (sort keys %settings)
    {
        my $value = $settings{$name};
        $ctms->sql('ALTER SYSTEM '
            . (defined $value ? "SET $name = '$value'" : "RESET $name"));
        $value //= 'on';
        $node->reload;
        poll_until(sub { $ctms->sql("SHOW $name") eq $value }, "$name is $value");
    }
    return;
}

for my $case ([ 'autovacuum', 'autovacuum', 'error', qr/does not run/ ],
    [ 'fsync', 'durability', 'error', qr/fsync is off/ ],
    [ 'full_page_writes', 'durability', 'warning', qr/full_page_writes is off/ ],
    [ 'synchronous_commit', 'durability', 'warning', qr/synchronous_commit is off/ ])
{
    my ($name, $check, @expected) = @$case;
    set_server($name => 'off');
    finds(doctor({}), $check, @expected);
    set_server($name => undef);
}
# A role may have another value than the server; each program has a role of its own.
$ctms->sql('ALTER ROLE rest SET synchronous_commit = off;
    ALTER ROLE agent SET synchronous_commit = local');
$found = doctor_of_all();
finds($found, 'durability', 'warning', qr/^ctms-rest: synchronous_commit is off/, qr/be lost/);
finds_nothing_else($found, 'durability');
is(@{ $found->{durability} }, 1, 'local is enough without a synchronous standby');
$ctms->sql('ALTER ROLE rest RESET synchronous_commit');
set_server(synchronous_standby_names => 'nowhere');
finds(doctor_of_all(), 'durability', 'warning', qr/^ctms-agent: synchronous_commit is local/,
    qr/failover/);
$ctms->sql('SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
$ctms->sql('ALTER ROLE agent RESET synchronous_commit');
finds(doctor_of_all(), 'durability', 'ok', qr/survives a crash/);

# Archiving: off, without a command, failing, well again.
finds(doctor({}), 'archiving', 'ok', qr/archives no WAL/);
$node->append_conf('postgresql.conf', 'archive_mode = on');
$node->restart;
finds(doctor({}), 'archiving', 'warning', qr/there is no archive_command/, qr/Set archive_command/);
for my $case ([ 'false', 'TRUE', 'warning', qr/archiving fails: no WAL was archived so far/ ],
    [ 'true', 'NOT TRUE', 'ok', qr/WAL is archived/ ],
    [ 'false', 'TRUE', 'warning', qr/no WAL was archived since \d{4}-\d\d-\d\d \d\d:\d\d UTC/ ])
{
    my ($command, $is_failing, @expected) = @$case;
    set_server(archive_command => $command);
    $ctms->sql('CREATE TABLE public.more_wal (); DROP TABLE public.more_wal;
        SELECT pg_switch_wal()');
    $node->poll_query_until('postgres', "SELECT (last_failed_time
            > coalesce(last_archived_time, '-infinity')) IS $is_failing
        AND num_nulls(last_failed_time, last_archived_time) < 2 FROM pg_stat_archiver")
        or die "archive_command = $command";
    $found = doctor({});
    finds($found, 'archiving', @expected);
    finds_nothing_else($found, 'archiving');
}
$node->append_conf('postgresql.conf', 'archive_mode = off');
$ctms->sql('ALTER SYSTEM RESET archive_command');
$node->restart;
$ctms->sql('ALTER TABLE ctms.emails SET (autovacuum_enabled = false)');
finds(doctor({}), 'autovacuum', 'warning', qr/leaves out the table ctms\.emails/);
$ctms->sql('ALTER TABLE ctms.emails RESET (autovacuum_enabled)');

# Programs that may turn parameters off do so.
my $grant = 'ON PARAMETER log_parameter_max_length';
$ctms->sql("REVOKE SET $grant FROM ctms_api, ctms_agent, ctms_admin");
for my $case ([ 'log_min_duration_statement', '1s', qr/parameters of statements, / ],
    [ 'log_parameter_max_length_on_error', '100', qr/parameters of statements that fail/ ],
    [ 'log_transaction_sample_rate', '0.5', qr/parameters of statements, / ])
{
    my ($name, $value, $message) = @$case;
    $ctms->sql("ALTER ROLE rest SET $name = '$value'");
    $found = doctor_of_all();
    finds($found, 'log', 'warning', qr/^ctms-rest: the server logs (the )?$message/,
        qr/log_parameter/);
    finds_nothing_else($found, 'log');
    $ctms->sql("ALTER ROLE rest RESET $name");
}
$ctms->sql("ALTER ROLE rest SET log_min_duration_statement = 0;
    GRANT SET $grant TO ctms_api, ctms_agent, ctms_admin");
finds(doctor_of_all(), 'log', 'ok', qr/^ctms-rest: .*because the programs turn that off/);
$ctms->sql('ALTER ROLE rest RESET log_min_duration_statement;
    ALTER ROLE operator SET log_statement = mod');
finds(doctor({}), 'log', 'warning', qr/^ctms: the server logs statements/, qr/none or ddl/);
$ctms->sql('ALTER ROLE operator RESET log_statement');

$ctms->sql(q{ALTER SYSTEM SET shared_buffers = '1GB'});
$ctms->sql(q{ALTER SYSTEM SET huge_pages = 'off'});
$node->restart;
finds(doctor({}), 'memory', 'warning', qr/shared_buffers of 1GB are without huge pages/,
    qr/vm\.nr_hugepages/);
$ctms->sql('ALTER SYSTEM RESET ALL');
$node->restart;

# ---- servers of others -----------------------------------------------------------------------

finds(doctor_of_all(CTMS_ACOUSTIC_CLIENT_SECRET => 'wrong'), 'acoustic', 'error',
    qr/^no token: HTTP 40[01] invalid_client/, qr/Correct CTMS_ACOUSTIC_CLIENT_ID/);
finds(doctor_of_all(CTMS_ACOUSTIC_BASE_URL => "http://127.0.0.1:$no_port"), 'acoustic', 'error',
    qr/^no answer: Failed to connect/);
finds(doctor_of_all(CTMS_ACOUSTIC_BASE_URL => $keys->url), 'acoustic', 'error', qr/has no token/);
SKIP:
{
    skip CTMS::Sftp::no_server(), 9 if !$sftp;
    finds(doctor_of_all(), 'sftp', 'ok', qr/^the account may log in\z/);
    finds(doctor_of_all(CTMS_ACOUSTIC_SFTP_USER => 'nobody-at-all'), 'sftp', 'error',
        qr/does not let CTMS_ACOUSTIC_SFTP_USER in/, qr/A first load/);
    finds(doctor_of_all(CTMS_ACOUSTIC_SFTP_URL => "sftp://127.0.0.1:$no_port"), 'sftp', 'error',
        qr/connect/i, qr/firewall/);
    finds(doctor_of_all(CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE => '/dev/null'), 'sftp', 'error',
        qr/its key is not in/);
    finds(doctor_of_all(CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE => '/nonexistent'), 'sftp', 'error',
        qr/^CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE: No such file/, qr/ssh-keyscan/);
    finds(doctor_of_all(CTMS_ACOUSTIC_SFTP_KEY_FILE => '/nonexistent'), 'sftp', 'error',
        qr/^CTMS_ACOUSTIC_SFTP_KEY_FILE: No such file/);
    chmod 0640, $sftp->key_file;
    finds(doctor_of_all(), 'sftp', 'error', qr/mode 0640: others may use the key/, qr/chmod 0600/);
    chmod 0600, $sftp->key_file;
    finds(doctor_of_all(CTMS_ACOUSTIC_SFTP_KEY_FILE => undef), 'settings', 'error',
        qr/^ctms-agent: CTMS_ACOUSTIC_SFTP_KEY_FILE or .* must be set/);
    write_settings($agent_file, %agent,
        CTMS_ACOUSTIC_SFTP_URL => 'sftp://127.0.0.1:' . $deaf->sockport);
    finds(doctor({}, '--timeout', 1, '--agent-config', $agent_file), 'sftp', 'error',
        qr/no answer/);
}
$found = doctor_of_all(CTMS_PUBSUB_CLIENT => undef);
finds($found, 'keys', 'warning', qr/CTMS_PUBSUB_CLIENT is not set/);
my %answer = ('nothing' => '{"keys": []}', 'no JSON' => 'hello');
for my $name (sort keys %answer)
{
    $keys->spew('answer', "HTTP/1.1 200 OK\r\nContent-Length: " . length($answer{$name})
        . "\r\nConnection: close\r\n\r\n$answer{$name}");
    finds(doctor_of_all(), 'keys', 'error', qr/the answer has no keys/);
}
$keys->publish(1000, { %$key, n => substr($key->{n}, 0, 171) });
finds(doctor_of_all(), 'keys', 'error', qr/fewer than 2048 bits/);
$keys->spew('answer', "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
finds(doctor_of_all(), 'keys', 'error', qr/HTTP 500/);
kill TERM => $key_server;
waitpid $key_server, 0;
undef $key_server;
finds(doctor_of_all(), 'keys', 'error', qr/no answer: Failed to connect/);
my $deaf_http = 'http://127.0.0.1:' . $deaf->sockport;
write_settings($rest_file, %rest, CTMS_PUBSUB_JWKS_URL => $deaf_http);
finds(doctor({}, '--timeout', 1, '--rest-config', $rest_file), 'keys', 'error', qr/timed out/);

# ---- poolers ---------------------------------------------------------------------------------

ok((my @programs = CTMS::PgBouncer::programs()) > 0, 'there is PgBouncer');
for my $case (
    [ 'transaction', 5, 'warning', qr/loses prepared statements/, qr/max_prepared_statements > 0/ ],
    [ 'transaction', 1, 'warning', qr/loses prepared statements/, qr/pool_mode = session/ ],
    [ 'statement', 5, 'error', qr/refuses transactions/, qr/pool_mode = session/ ],
    [ 'session', 5, 'ok', qr/keeps sessions apart/ ],
    [ 'session', 2, 'warning', qr/its mode is not known/, qr/a connection for each client/ ])
{
    my ($mode, $size, @expected) = @$case;
    my $bouncer = CTMS::PgBouncer->new($ctms, "$mode$size", pool_mode => $mode,
        default_pool_size => $size);
    my %pooled = (CTMS_DB_URL => $bouncer->url('operator'));
    $found = doctor(\%pooled, '--timeout', $size == 2 ? 3 : 8);
    finds($found, 'pooler', @expected);
    finds_nothing_else($found, 'pooler', 'listen');
    if ($mode eq 'session')
    {
        finds($found, 'listen', 'ok', qr/arrive through CTMS_DB_URL/);
    }
    else
    {
        finds($found, 'listen', 'warning', qr/did not arrive through CTMS_DB_URL/,
            qr/CTMS_LISTEN_DB_URL/);
        finds(doctor({ %pooled, CTMS_LISTEN_DB_URL => url_as('operator') }), 'listen', 'ok',
            qr/arrive through CTMS_LISTEN_DB_URL/);
    }
    # What a program sets for its session is set in that of others, and not in all of its own.
    if ($size == 5)
    {
        my $logging = CTMS::PgBouncer->new($ctms, "logging$mode", pool_mode => $mode,
            default_pool_size => $size);
        $ctms->sql('ALTER ROLE "log-ged" SET log_min_duration_statement = 0');
        $found = doctor({ CTMS_DB_URL => $logging->url('log-ged') }, '--timeout', 8);
        finds($found, 'log', 'warning', qr/parameters of statements.*pooler does not keep/,
            qr/: ALTER ROLE "log-ged" SET log_parameter_max_length = 0;/) if $mode ne 'session';
        finds($found, 'log', 'ok', qr/because the programs turn that off/) if $mode eq 'session';
        $ctms->sql('ALTER ROLE "log-ged" RESET log_min_duration_statement');
        $logging->stop;
    }
    $bouncer->stop;
}
$ctms->sql("ALTER ROLE operator SET default_transaction_isolation = 'serializable'");
my $strict = CTMS::PgBouncer->new($ctms, 'strict', pool_mode => 'session');
$found = doctor({ CTMS_DB_URL => $strict->url('operator') });
finds($found, 'pooler', 'warning', qr/transactions through the pooler are serializable/);
$strict->stop;
$ctms->sql('ALTER ROLE operator RESET default_transaction_isolation');

SKIP:
{
    my ($newer) = grep { CTMS::PgBouncer::version($_) >= 1021 } @programs;
    skip 'no PgBouncer from 1.21 on (CTMS_TEST_PGBOUNCER)', 1 if !$newer;
    my $bouncer = CTMS::PgBouncer->new($ctms, 'tracking', program => $newer,
        pool_mode => 'transaction', default_pool_size => 5, max_prepared_statements => 100);
    finds(doctor({ CTMS_DB_URL => $bouncer->url('operator') }), 'pooler', 'ok',
        qr/keeps prepared statements of clients/);
    $bouncer->stop;
}

# ---- a replica -------------------------------------------------------------------------------

$found = doctor_of_all(CTMS_DB_READ_URL => url_as('rest'));
finds($found, 'replicas', 'warning', qr/CTMS_DB_READ_URL names no replica/);
finds($found, 'replicas', 'ok', qr/^server 1 is no replica now, and is left out/);
$node->backup('copy');
my $replica = PostgreSQL::Test::Cluster->new('doctor_replica');
$replica->init_from_backup($node, 'copy', has_streaming => 1);
$replica->start;
my $replica_url = 'postgresql:///ctms?host=' . $replica->host . '&port=' . $replica->port;
my $other = PostgreSQL::Test::Cluster->new('doctor_other');
$other->init;
$other->start;
$other->safe_psql('postgres', $_) for 'CREATE ROLE rest LOGIN', 'CREATE DATABASE ctms';
$other->stop;
my @servers = ($replica, $node, $other);
my $list = 'postgresql:///ctms?user=rest&host=' . join(',', map { $_->host } @servers) . '&port='
    . join(',', map { $_->port } @servers);
$found = doctor_of_all(CTMS_DB_READ_URL => $list);
finds($found, 'replicas', 'ok', qr/^server 1 is a replica, \d+ bytes behind/);
finds($found, 'replicas', 'ok', qr/^server 2 is no replica now/);
finds($found, 'replicas', 'warning', qr/^server 3: /, qr/its reads go to the other replicas/);
$other->start;
$found = doctor_of_all(CTMS_DB_READ_URL => $list);
finds($found, 'replicas', 'error', qr/^server 3 belongs to another cluster/, qr/not theirs/);
finds_nothing_else($found, 'replicas', 'keys');    # its server has ended
$ctms->sql('REVOKE EXECUTE ON FUNCTION ctms.require_replayed FROM ctms_api');
$node->wait_for_catchup($replica, 'replay', $node->lsn('insert'));
finds(doctor_of_all(CTMS_DB_READ_URL => "$replica_url&user=rest"), 'replicas', 'warning',
    qr/^server 1: .*permission denied/);
$ctms->sql('GRANT EXECUTE ON FUNCTION ctms.require_replayed TO ctms_api');
$found = doctor({ CTMS_DB_URL => "$replica_url&user=operator" });
is($found->{rc}, 0, 'it works on a replica');
finds($found, 'database', 'warning', qr/^ctms: nothing .*: the database is a replica/,
    qr/Name the primary in CTMS_DB_URL/);
finds_nothing_else($found, 'database');
finds($found, 'listen', 'skipped', qr/needs the primary/);
for my $program (qw(rest agent))
{
    my %changed = (CTMS_DB_URL => "$replica_url&user=$program");
    write_settings($rest_file, %rest, $program eq 'rest' ? %changed : ());
    write_settings($agent_file, %agent, $program eq 'agent' ? %changed : ());
    $found = doctor({}, '--rest-config', $rest_file, '--agent-config', $agent_file);
    finds($found, 'database', 'error', qr/^ctms-$program: nothing .*: the database is a replica/,
        qr/Name the primary in CTMS_DB_URL/);
    finds_nothing_else($found, 'database', 'listen', 'keys');    # its server has ended
}

done_testing();
