# An update of the extension gives up its wait for a lock, others go on meanwhile, and it gets
# through when it can: by the loop of docs/upgrade.md, and by what a script of an update begins
# with.
use strict;
use warnings;
use CTMS::Guide;
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my ($installation, $bindir) = qx{pg_config --bindir} =~ m{^(/.+?/build/[^/]*postgresql[^/]*)(/.+)$}m
    or plan skip_all => 'this PostgreSQL is not a private copy';
(my $sharedir = qx{pg_config --sharedir}) =~ s/\s+$//;
my $upgrade = slurp("$ENV{CTMS_TEST_TOP}/docs/upgrade.md");

# Made-up versions, in a copy of the private installation.
my $copy = PostgreSQL::Test::Utils::tempdir_short();
system_or_bail('cp', '-a', "$installation/.", $copy);
my $folder = $copy . substr($sharedir, length $installation) . '/extension';
sub write_file
{
    my ($name, $content) = @_;
    unlink "$folder/$name";
    open my $file, '>', "$folder/$name" or die "$name: $!";
    print $file $content;
    close $file;
    return;
}
my $limit = ($upgrade =~ /starts with `(SELECT pg_catalog\.set_config.*?)`/s)[0] =~ s/\s+/ /gr;
my ($version) = slurp("$ENV{CTMS_TEST_TOP}/ctms.control") =~ /^default_version = '(.*)'/m;
write_file("ctms--$version--9.1.sql", 'ALTER TABLE ctms.emails ADD of_9_1 text;');
write_file('ctms--9.1--9.2.sql', "$limit;
    DO \$\$ BEGIN RAISE WARNING 'limit: %', current_setting('lock_timeout'); END \$\$;
    ALTER TABLE ctms.emails ADD of_9_2 text;");
write_file('ctms.control', slurp("$ENV{CTMS_TEST_TOP}/ctms.control")
    =~ s/^default_version = .*$/default_version = '9.1'/mr);

my $node = PostgreSQL::Test::Cluster->new('update',
    install_path => $copy . substr($bindir, 0, -4));
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE ctms');
$node->safe_psql('ctms', "CREATE EXTENSION ctms VERSION '$version';
    INSERT INTO ctms.emails (primary_email) VALUES ('one\@example.com')");

# Somebody's transaction stays open.
sub open_transaction
{
    my $session = $node->background_psql('ctms');
    $session->query_safe(q{BEGIN; UPDATE ctms.emails SET first_name = 'open'});
    return $session;
}

# ---- the loop ---------------------------------------------------------------------------------

my $guide = CTMS::Guide->new('upgrade', 'An update that stalls nobody', $node);
my $writer = open_transaction();
my ($command, @init) = $guide->shell($guide->{blocks}[0] =~ s/sleep 5/sleep 0.2/r);
my $update = IPC::Run::start($command, '<', \'', '>', \my $out, '2>', \my $err, @init);
my $waits = q{FROM pg_locks WHERE NOT granted AND relation = 'ctms.emails'::regclass AND mode = };
$node->poll_query_until('ctms', "SELECT count(*) = 1 $waits 'AccessExclusiveLock'")
    or die 'the update does not wait';
my $reader = IPC::Run::start([ 'psql', '-XAt', '-d', $node->connstr('ctms'), '-c',
        'SELECT count(*) FROM ctms.emails' ], '<', \'', '>', \my $rows, '2>', \my $problem);
ok($reader->finish, 'a reader gets through, though a transaction stays open');
is($rows, "1\n", 'and reads');
poll_until(sub { $update->pump_nb; $err =~ /canceling statement due to lock timeout/ },
    'the update gives up');
is($node->safe_psql('ctms', q{SELECT extversion FROM pg_extension WHERE extname = 'ctms'}),
    $version, 'and has changed nothing');
$writer->query_safe('COMMIT');
$writer->quit;
ok($update->finish, 'the loop ends');
is($node->safe_psql('ctms', q{SELECT extversion, (SELECT of_9_1 IS NULL FROM ctms.emails)
    FROM pg_extension WHERE extname = 'ctms'}), '9.1|t', 'when it has got through');

# ---- what a script begins with ------------------------------------------------------------------

$writer = open_transaction();
for my $case ([ '', '2s' ], [ q{SET lock_timeout = '30ms';}, '30ms' ])
{
    my ($rc, $answer, $messages) = $node->psql('ctms',
        "\\set VERBOSITY verbose\n$case->[0] ALTER EXTENSION ctms UPDATE TO '9.2'");
    like($messages, qr/limit: \Q$case->[1]\E\b.*ERROR:  55P03/s,
        "the script gives up after $case->[1]");
}
$writer->query_safe('COMMIT');
$writer->quit;
is($node->safe_psql('ctms', q{ALTER EXTENSION ctms UPDATE TO '9.2'; SHOW lock_timeout}), '0',
    'afterwards the session waits as before');
$node->stop;

done_testing();
