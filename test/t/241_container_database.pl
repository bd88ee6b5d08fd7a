# packaging/containers/start-database: a cluster for an empty volume, roles with passwords at every
# start, the extension brought up to date, and what it leaves alone.
use strict;
use warnings;
use File::Path qw(make_path);
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use CTMS::Test qw(poll_until slurp);

my $top = $ENV{CTMS_TEST_TOP};
my $start_database = "$top/packaging/containers/start-database";
my $work = PostgreSQL::Test::Utils::tempdir_short();
my $log = "$PostgreSQL::Test::Utils::log_path/refused.log";
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $ctms = CTMS::Test->programs_only('container');
chomp(my $bindir = qx{'$top/scripts/private-bindir'});
chomp(my $sharedir = qx{'$bindir/pg_config' --sharedir});
delete @ENV{qw(PGUSER PGHOST PGDATABASE PGPASSWORD)};
$ENV{PATH} = "$bindir:$ENV{PATH}";
my %env = (PGDATA => "$work/volume/data", REST_PASSWORD_FILE => "$work/rest",
    AGENT_PASSWORD_FILE => "$work/agent");

sub spew
{
    my ($file, $text) = @_;
    open my $handle, '>', $file or die "$file: $!";
    print $handle $text;
    return close $handle;
}

# Fails with one line.
sub refuses
{
    my ($what, $message, %changed) = @_;
    my %all = (%env, %changed);
    my @set = map { "$_=$all{$_}" } sort keys %all;
    system("env @set '$start_database' >'$log' 2>&1");
    is($? >> 8, 2, "$what: refused");
    like(slurp($log), qr/\Actms-database: $message\n\z/, 'one line says why');
    return;
}

sub start
{
    $ctms->start_program('database', $start_database, \%env, '-p', $port, '-c',
        'listen_addresses=127.0.0.1', '-c', "unix_socket_directories=$work");
    return;
}

sub sql
{
    my ($sql) = @_;
    my ($out, $err);
    IPC::Run::run([ 'psql', '-XAtq', '-d', "host=$work port=$port dbname=ctms", '-c', $sql ],
        '>', \$out, '2>', \$err);
    chomp $out;
    return $out;
}

sub is_up { return sql('SELECT 1') eq '1' }
sub wait_until_up { return poll_until(\&is_up, 'the database is up') }
sub stop { return is($ctms->stop_program('database', 'INT', 60), 0, 'SIGINT ends it') }

sub can_log_in
{
    my ($role, $password) = @_;
    local $ENV{PGPASSWORD} = $password;
    return system("psql -XAtq -h 127.0.0.1 -p $port -U $role -d ctms -c '' >'$log' 2>&1") == 0;
}

# ---- what is refused ---------------------------------------------------------------------------

refuses('no password', 'REST_PASSWORD_FILE is not set: .*', REST_PASSWORD_FILE => '');
refuses('no file', qr/REST_PASSWORD_FILE: could not read "\Q$work\E\/rest" as user \d+/);
spew("$work/rest", "fifteen bytes..\n");
refuses('a short password', qr/REST_PASSWORD_FILE: ".*" holds less than 16 bytes/);
spew("$work/rest", 'x' x 1001);
refuses('a long password', qr/REST_PASSWORD_FILE: ".*" holds more than 1000 bytes/);
POSIX::mkfifo("$work/fifo", 0600) or die "mkfifo: $!";
refuses($_, qr/REST_PASSWORD_FILE: ".*" is not a file/, REST_PASSWORD_FILE => $_)
    for "$work/fifo", $work, '/dev/zero';
spew("$work/rest", "rest's \"first\" \\ password\n");
refuses('no other file', qr/AGENT_PASSWORD_FILE: could not read .*/);
spew("$work/agent", 'password of the agent');
make_path("$work/other/data");
refuses('a folder without a cluster', '".*" is there, but holds no cluster: .*',
    PGDATA => "$work/other/data");
spew("$work/other/data/PG_VERSION", "14\n");
refuses('another version', '".*" is of PostgreSQL 14, this image has \d+: .*',
    PGDATA => "$work/other/data");
is(join(' ', map { s{.*/}{}r } glob "$work/other/data/*"), 'PG_VERSION', 'and left as it is');
symlink "$work/nowhere", "$work/other/link" or die "symlink: $!";
refuses('a link to nothing', '".*" is there, but holds no cluster: .*',
    PGDATA => "$work/other/link");
mkdir "$work/volume", 0555;
SKIP:
{
    skip 'root may write to everything', 2 if $> == 0;
    refuses('a volume of another user', 'user \d+ may not write to .*, which belongs to \d+');
}
chmod 0755, "$work/volume";

# ---- an empty volume ---------------------------------------------------------------------------

mkdir "$env{PGDATA}.new";    # of a start that was interrupted
$env{PGDATA} .= '/';         # as people write folders
start();
$env{PGDATA} =~ s{/\z}{};
wait_until_up();
is(sql('SHOW data_checksums'), 'on', 'checksums');
is(sql('SHOW server_encoding'), 'UTF8', 'UTF-8');
is(sql("SELECT string_agg(r.rolname || ' ' || g.rolname, ', ' ORDER BY r.rolname)
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
    WHERE r.rolname LIKE 'ctms-%'"), 'ctms-agent ctms_agent, ctms-rest ctms_api', 'roles');
ok(can_log_in('ctms-rest', "rest's \"first\" \\ password"), 'REST logs in');
ok(can_log_in('ctms-agent', 'password of the agent'), 'the agent logs in');
ok(!can_log_in('ctms-agent', "rest's \"first\" \\ password"), 'not with the other password');
ok(!can_log_in(scalar getpwuid $>, ''), 'the superuser does not log in by network');
sql("INSERT INTO ctms.emails (primary_email) VALUES ('one\@example.com')");
# A server that logs and keeps what it can.
my $statements = -e "$sharedir/extension/pg_stat_statements.control";
sql("ALTER SYSTEM SET $_") for 'log_statement = ddl', 'log_min_duration_sample = 0',
    'log_statement_sample_rate = 1', 'log_transaction_sample_rate = 1',
    'password_encryption = md5', $statements ? 'shared_preload_libraries = pg_stat_statements' : ();
stop();
ok(!-e "$env{PGDATA}.new", 'the folder of the interrupted start is gone');

# ---- a cluster that is there -------------------------------------------------------------------

spew("$work/rest", 'the second password');
chmod 0777, $env{PGDATA};    # which PostgreSQL refuses
start();
wait_until_up();
is(sql('SELECT count(*) FROM ctms.emails'), '1', 'the contact is still there');
ok(can_log_in('ctms-rest', 'the second password'), 'the new password');
ok(!can_log_in('ctms-rest', "rest's \"first\" \\ password"), 'not the old one');
unlike($ctms->log_of('database'), qr/second password|SCRAM-SHA-256\$/,
    'neither a password nor its verifier is in the log');
SKIP:
{
    skip 'there is no pg_stat_statements', 2 unless $statements;
    sql('CREATE EXTENSION pg_stat_statements');
    is(sql("SELECT count(*) > 0 FROM pg_stat_statements WHERE query ~ 'PASSWORD'"), 't',
        'statements are kept');
    is(sql("SELECT count(*) FROM pg_stat_statements WHERE query ~ 'd p[a]ssword'"), '0',
        'no password is in them');
}
sql("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'ctms'");
stop();
start();
wait_until_up();
like($ctms->log_of('database'),
    qr/^ctms-database: the extension could not be updated: it stays at 0\.9$/m,
    'an update that fails is told, and keeps nobody out');
kill 'KILL', $ctms->pid('database');
$ctms->stop_program('database');
start();
wait_until_up();
is(sql('SELECT count(*) FROM ctms.emails'), '1', 'killed and started again');
sql("SET password_encryption = 'scram-sha-256';
    ALTER ROLE \"ctms-rest\" PASSWORD 'a third password'");
stop();

# ---- a standby ---------------------------------------------------------------------------------

spew("$env{PGDATA}/standby.signal", '');
start();
wait_until_up();
is(sql('SELECT pg_is_in_recovery()'), 't', 'a standby stays one');
ok(can_log_in('ctms-rest', 'a third password'), 'and is left as it is');
stop();

done_testing();
