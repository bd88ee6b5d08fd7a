# The command line by itself: help, usage errors, settings, exit codes, an absent database.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(poll_until slurp);
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli', no_extension => 1);

sub check_run
{
    my ($what, $args, $status, $out_like, $err_like) = @_;
    my ($rc, $out, $err) = $ctms->cli(@$args);
    is($rc, $status, "$what: exit code $status") or diag "$out\n$err";
    like($out, $out_like, "$what: stdout");
    like($err, $err_like, "$what: stderr");
    return $out;
}

my $nothing = qr/\A\z/;

# ---- help ---------------------------------------------------------------------

my $help = check_run('--help', ['--help'], 0, qr/^Commands:\n.*Exit codes:/ms, $nothing);
check_run('no command', [], 2, $nothing, qr/^Usage: ctms/m);
check_run('--version', ['--version'], 0, qr/\Actms 1\.0\n\z/, $nothing);

# Every command that the program lists answers --help, and so does every group.
my @commands = $help =~ /^  ((?:[a-z]+)(?: [a-z][a-z-]*)?(?: [a-z][a-z-]*)?)(?: [-A-Z\[].*?)?  +/mg;
cmp_ok(scalar @commands, '>', 4, 'the help lists commands');
for my $command (@commands)
{
    check_run("$command --help", [ split(/ /, $command), '--help' ], 0,
        qr/\AUsage: ctms \Q$command\E/, $nothing);
}
check_run('clients --help', [ 'clients', '--help' ], 0,
    qr/\Actms clients: .*rotate-secret/s, $nothing);
check_run('clients', ['clients'], 2, $nothing, qr/\Actms clients: /);
check_run('acoustic fields', [qw(acoustic fields)], 2, $nothing,
    qr/^Commands:\n(?:  acoustic fields .*\n){3}\n/m);

# "help" says the same.
for my $command ([], ['clients'], [qw(clients add)], [qw(acoustic fields)], ['delete'])
{
    my (undef, $said) = $ctms->cli(@$command, '--help');
    is(check_run("help @$command", [ 'help', @$command ], 0, qr/\S/, $nothing), $said,
        "help @$command: as --help");
}
check_run('help of nothing', [qw(help clients frob)], 2, $nothing,
    qr/^ctms: unknown command "clients frob"; see "ctms clients --help"$/m);

# ---- wrong usage ----------------------------------------------------------------

check_run('unknown command', ['frobnicate'], 2, $nothing, qr/^ctms: unknown command "frobnicate"/);
check_run('unknown verb', [ 'clients', 'frob' ], 2, $nothing,
    qr/^ctms: unknown command "clients frob"/);
check_run('unknown option', [ 'clients', 'list', '--frob' ], 2, $nothing,
    qr/^ctms: unknown option "--frob"/);
check_run('unknown letter', [ 'clients', 'list', '-q' ], 2, $nothing,
    qr/^ctms: unknown option "-q"/);
for (
    [ 'acustic', '"acoustic"' ],
    [ 'acustic fields add', '"acoustic"' ],
    [ 'resync', '"acoustic resync"' ],
    [ 'waitlists resync', '"acoustic resync"' ],
    [ 'add', '"clients add" or "waitlists add"' ],
    [ 'clients rotate', '"clients rotate-secret"' ],
    [ 'clients lits --help', '"clients list"' ],
    [ 'acoustic fields lst', '"acoustic fields list"' ],
    [ 'help clinets', '"clients"' ],
    [ 'clients add x --emial y', '"--email"' ],
    [ 'clients list --jsn', '"--json"' ],
    [ '--confg x clients list', '"--config"' ])
{
    my ($line, $meant) = @$_;
    check_run($line, [ split / /, $line ], 2, $nothing,
        qr/^ctms: unknown \w+ ".*"; did you mean \Q$meant\E\?$/m);
}
check_run('an unknown option with a secret', [qw(clients list --db-ulr=postgresql://a:b@c/d)],
    2, $nothing, qr/^ctms: unknown option "--db-ulr"; did you mean "--db-url"\?$/m);
check_run('a value too many', [qw(clients list --json=yes)], 2, $nothing,
    qr/^ctms: option "--json" takes no value$/m);
check_run('unknown letter among others', [ 'clients', 'list', '-yq' ], 2, $nothing,
    qr/^ctms: unknown option "-q"/);
check_run('option without value', [ 'clients', 'add', 'x', '--email' ], 2, $nothing,
    qr/"--email" needs a value/);
check_run('an option twice', [qw(delete --yes --email a@example.com -e b@example.com)], 2, $nothing,
    qr/^ctms: option "--email" is given twice$/m);
check_run('a common option twice', [qw(--timeout 1 clients list --timeout 2)], 2, $nothing,
    qr/^ctms: option "--timeout" is given twice$/m);
check_run('missing argument', [ 'clients', 'enable' ], 2, $nothing,
    qr/missing argument; usage: ctms clients enable ID/);
check_run('argument too many', [ 'clients', 'list', 'x' ], 2, $nothing,
    qr/unexpected argument; usage: ctms clients list\n\z/);
check_run('bad time limit', [ 'clients', 'list', '--timeout', '1s' ], 2,
    $nothing, qr/--timeout must be/);

# ---- settings ----------------------------------------------------------------------

{
    local $ENV{CTMS_FROBNICATE} = 1;
    check_run('unknown setting', [ 'clients', 'list' ], 2, $nothing,
        qr/\Actms: CTMS_FROBNICATE is not a setting/);
}
{
    local $ENV{CTMS_SERVER_PREFIX} = 'nonsense';
    check_run('bad setting', [ 'clients', 'list' ], 2, $nothing,
        qr/\Actms: CTMS_SERVER_PREFIX must be/);
}
my $file = "$ENV{TESTDIR}/cli.env";
append_to_file($file, "# a comment\nCTMS_BACKGROUND_HEALTHCHECK_PATH=$ENV{TESTDIR}/nothing\n");
check_run('settings from a file', [ 'healthcheck', '--config', $file ], 1, $nothing,
    qr{could not read ".*/nothing"});
check_run('no such file', [ 'healthcheck', '--config', "$file.not" ], 2, $nothing,
    qr/\Actms: could not open/);

# ---- the database -----------------------------------------------------------------

check_run('no extension', [ 'clients', 'list' ], 1, $nothing, qr/hint: .*CREATE EXTENSION ctms/);
check_run('global options first',
    [ '--db-url', $ctms->db_url('postgres'), '--json', 'clients', 'list' ], 1, $nothing,
    qr/CREATE EXTENSION ctms/);
check_run('no such database',
    [ 'clients', 'list', '--db-url', $ctms->db_url('nowhere') ], 3, $nothing,
    qr/\Actms: could not connect to the database: .*nowhere.*\n\z/);
for my $url ('postgresql://x:pass%word@[', 'mysql://x:pass%word@h/d', 'password=pass word', '')
{
    check_run("malformed URL \"$url\"", [ 'clients', 'list', '--db-url', $url ], 2, $nothing,
        qr/\Actms: --db-url is (?:empty|not one that libpq can read: (?!.*pass[% ]).*)\n\z/);
}

# Somebody without a role, and a role without rights.
my $node = $ctms->node;
my $config = $node->data_dir . '/pg_hba.conf';
my $hba = slurp($config);
check_run('no such role', [ 'clients', 'list', '--db-url', $ctms->db_url . '&user=nobody' ],
    3, $nothing,
    qr/role "nobody" does not exist\n  hint: run it as a user who .* "sudo -u postgres /);
check_run('nor by TCP', [ qw(clients list --db-url), 'postgresql://nobody@127.0.0.1:1/x' ], 3,
    $nothing, qr/\Actms: could not connect to the database: .*\n\z/);
$ctms->sql('CREATE EXTENSION ctms; CREATE ROLE plain LOGIN');
check_run('a role without rights',
    [ 'clients', 'list', '--db-url', $ctms->db_url . '&user=plain' ], 1, $nothing,
    qr/\(42501\)\n  hint: Connect .* As a superuser: GRANT ctms_admin TO "plain"$/m);
$ctms->sql('REVOKE CONNECT ON DATABASE ctms FROM PUBLIC');
check_run('a role that may not connect',
    [ 'clients', 'list', '--db-url', $ctms->db_url . '&user=plain' ], 3, $nothing,
    qr/permission denied for database .*\n  hint: as a superuser: GRANT ctms_admin TO "plain"/);
$ctms->sql('GRANT CONNECT ON DATABASE ctms TO PUBLIC');
append_to_file("$config.peer", "local all plain peer\n$hba");
rename "$config.peer", $config or die $!;
$node->reload;
poll_until(sub { ($ctms->cli(qw(clients list --db-url), $ctms->db_url . '&user=plain'))[0] == 3 },
    'the server has read pg_hba.conf');
check_run('peer authentication',
    [ 'clients', 'list', '--db-url', $ctms->db_url . '&user=plain' ], 3, $nothing,
    qr/Peer authentication failed .*\n  hint: over its socket .*: "sudo -u plain ctms \.\.\."/);

# A statement that waits for a lock gives up.
my $holder = $ctms->node->background_psql('ctms');
$holder->query_safe('BEGIN; LOCK ctms.api_client');
check_run('time limit', [ 'clients', 'list', '--timeout', '1' ], 3,
    $nothing, qr/statement timeout/);
$holder->quit;

# Output that cannot be written is a failure.
SKIP:
{
    skip 'no /dev/full', 1 unless -e '/dev/full';
    local $ENV{CTMS_DB_URL} = $ctms->db_url;
    my $list = "'$ENV{CTMS_TEST_BIN}/ctms' clients list";
    my $rc = system("$list >/dev/full 2>'$ENV{TESTDIR}/full.err'") >> 8;
    is($rc, 1, 'a full disk is noticed');
}
done_testing();
