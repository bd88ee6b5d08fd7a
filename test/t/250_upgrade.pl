# From every older version, with data, to the current one: objects equal those of a fresh
# install, data is untouched. And a server upgrade with pg_upgrade.
#
# The comparison itself is tested with versions that are made up here.
use strict;
use warnings;
use CTMS::Data;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $pg_config = qx{pg_config --bindir};
chomp $pg_config;
my ($installation, $bindir) = $pg_config =~ m{^(/.+?/build/[^/]*postgresql[^/]*)(/.+)$}
    or plan skip_all => 'this PostgreSQL is not a private copy';
(my $sharedir = qx{pg_config --sharedir}) =~ s/\s+$//;
my $top = $ENV{CTMS_TEST_TOP};

# Every installable version is brought to "target", filled before; returns what differs.
sub walk
{
    my ($ctms, $target) = @_;
    my $node = $ctms->node;
    my @versions = split /\n/, $node->safe_psql('postgres',
        "SELECT version FROM pg_available_extension_versions
            WHERE name = 'ctms' AND version <> '$target' ORDER BY 1");
    $node->safe_psql('postgres', 'DROP DATABASE IF EXISTS fresh');
    $node->safe_psql('postgres', 'CREATE DATABASE fresh');
    $node->safe_psql('fresh', "CREATE EXTENSION ctms VERSION '$target'");
    my $fresh = CTMS::Data::objects($node, 'fresh');
    my %result;
    for my $version (@versions)
    {
        $ctms->sql('SET ctms.allow_drop = on; DROP EXTENSION IF EXISTS ctms CASCADE;
            DROP SCHEMA IF EXISTS ctms CASCADE');
        my $path = $node->safe_psql('postgres', "SELECT path FROM pg_extension_update_paths('ctms')
            WHERE source = '$version' AND target = '$target'");
        next unless $path;
        $ctms->sql("CREATE EXTENSION ctms VERSION '$version'");
        CTMS::Data::fill($ctms);
        my $relations = CTMS::Data::relations($node, 'ctms');
        my $before = CTMS::Data::content($node, 'ctms', $relations);
        # A session that used the old version goes on.
        my $session = $node->background_psql('ctms');
        $session->query_safe(q{SELECT
            length(ctms.find_contacts(primary_email => 'dump1@example.com')::text) > 0});
        $ctms->sql("ALTER EXTENSION ctms UPDATE TO '$target'");
        $session->query_safe(q{SELECT
            length(ctms.find_contacts(primary_email => 'dump1@example.com')::text) > 0});
        $session->quit;
        $result{$version} = {
            path => $path,
            objects => CTMS::Data::differences($fresh, CTMS::Data::objects($node, 'ctms')),
            data => CTMS::Data::differences($before,
                CTMS::Data::content($node, 'ctms', $relations)) };
    }
    return \%result;
}

# ---- released versions -------------------------------------------------------------------

my $ctms = CTMS::Test->new('released', no_extension => 1);
my $default = $ctms->sql(q{SELECT default_version
    FROM pg_available_extensions WHERE name = 'ctms'});
my $released = walk($ctms, $default);
my @scripts = map { m{ctms--(.+)\.sql$} } glob "$top/ctms--*.sql";
is_deeply([ grep { !/--/ } @scripts ], [ sort keys %$released, $default ],
    "versions to begin with: @scripts");
for my $version (sort keys %$released)
{
    is($released->{$version}{objects}, '',
        "$released->{$version}{path}: objects are those of a fresh install");
    is($released->{$version}{data}, '', "$released->{$version}{path}: data is untouched");
}
note("$default is the first version: there is none to upgrade from yet") unless %$released;

# A released script never changes: each has its checksum here from its release on.
my %checksum = (
    'ctms--1.0.sql' => '972941271d46fbad0bc22896dc68cb867fb8d1a9ea62c9d2b624b6f72d3990a4');
for my $script (sort keys %checksum)
{
    is(qx{sha256sum <"$top/$script"} =~ s/\s.*//sr, $checksum{$script},
        "$script is as it was released");
}

# ---- the comparison itself, with made-up versions -----------------------------------------------

# In a copy of the private installation, whose files are links except for ours.
my $copy = PostgreSQL::Test::Utils::tempdir_short();
system_or_bail('cp', '-a', "$installation/.", $copy);
my $scripts = $copy . substr($sharedir, length $installation) . '/extension';
my $install = CTMS::Test::slurp("$top/ctms--$default.sql");
sub write_script
{
    my ($name, $sql) = @_;
    open my $f, '>', "$scripts/ctms--$name.sql" or die "$name: $!";
    print $f $sql;
    close $f;
    return;
}

# 8.0 → 8.1 does all that a fresh 8.1 has; 8.1 → 8.2 forgets something of every kind.
write_script('8.0', $install);
my $more = q{
    CREATE TABLE ctms.more (id serial PRIMARY KEY, email_id uuid REFERENCES ctms.emails, name text);
    COMMENT ON TABLE ctms.more IS 'More';
    GRANT SELECT ON ctms.more TO ctms_reader;
    SELECT pg_catalog.pg_extension_config_dump('ctms.more', '');
    SELECT pg_catalog.pg_extension_config_dump('ctms.more_id_seq', '');
    ALTER TABLE ctms.emails ADD COLUMN of_8_1 varchar(10);
};
write_script('8.1', $install . $more);
write_script('8.0--8.1', $more);
my $rest = q{
    CREATE INDEX ON ctms.more (name);
    COMMENT ON COLUMN ctms.more.name IS 'Name';
    ALTER TABLE ctms.more ADD CHECK (name <> ''),
        ALTER COLUMN name SET NOT NULL, SET (fillfactor = 80);
    GRANT INSERT ON ctms.more TO ctms_admin;
    SELECT pg_catalog.pg_extension_config_dump('ctms.acoustic_field', 'WHERE true');
    ALTER FUNCTION ctms.get_contact(uuid) COST 5;
    ALTER FUNCTION ctms.get_identity(uuid) SECURITY INVOKER;
    REVOKE ALL ON FUNCTION ctms.get_updates FROM ctms_reader;
    ALTER TYPE ctms.segment ADD VALUE 'unknown';
    CREATE TRIGGER mine BEFORE UPDATE ON ctms.more FOR EACH ROW
        EXECUTE FUNCTION suppress_redundant_updates_trigger();
    ALTER SEQUENCE ctms.more_id_seq INCREMENT 2;
    ALTER EVENT TRIGGER ctms_guard_drop ENABLE REPLICA;
};
write_script('8.2', $install . $more . $rest);
write_script('8.1--8.2', q{UPDATE ctms.emails SET first_name = 'lost'
    WHERE primary_email = 'dump1@example.com'});

my $trial = bless {%$ctms}, 'CTMS::Test';
delete $trial->{process};
$trial->{process} = {};
$trial->{node} = PostgreSQL::Test::Cluster->new('trial',
    install_path => $copy . substr($bindir, 0, -4));
$trial->node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$trial->node->append_conf('postgresql.conf', "fsync = off\n");
$trial->node->start;
$trial->node->safe_psql('postgres', 'CREATE DATABASE ctms');

my $good = walk($trial, '8.1');
is($good->{'8.0'}{path}, '8.0--8.1', 'a script that does everything');
is($good->{'8.0'}{objects}, '', 'leaves no difference of objects');
is($good->{'8.0'}{data}, '', 'and none of data');

my $bad = walk($trial, '8.2');
is($bad->{'8.0'}{path}, '8.0--8.1--8.2', 'scripts that forget something');
for my $forgotten (
    'index ctms\.more_name_idx', 'relation ctms\.more_name_idx',
    'relation ctms\.more: .*fillfactor', 'constraint ctms\.more more_name_check',
    'column ctms\.more 3: name text t',
    'comment table column ctms\.more\.name', 'grant relation ctms\.more: ctms_admin INSERT',
    'dumped ctms\.acoustic_field: WHERE true', 'function ctms\.get_contact\(uuid\): .*',
    'function ctms\.get_identity\(uuid\)', 'type ctms\.segment: .*unknown',
    'trigger ctms\.more mine', 'sequence ctms\.more_id_seq: integer 1 2',
    'event trigger ctms_guard_drop: .* R')
{
    like($bad->{'8.1'}{objects}, qr/^- $forgotten/m, "noticed: $forgotten");
}
like($bad->{'8.1'}{objects}, qr/^\+ grant function ctms\.get_updates.*: ctms_reader EXECUTE/m,
    'noticed: a privilege too many');
like($bad->{'8.1'}{data}, qr/^- ctms\.emails /m, 'noticed: a row that was changed');
like($bad->{'8.1'}{data}, qr/^- ctms\.pending_acoustic 150/m, 'which enqueued a contact');
$trial->node->stop;

# ---- pg_upgrade ----------------------------------------------------------------------------------

# To the same major version: pg_upgrade works in the same way, including its binary-upgrade mode. To
# other versions, with ctms installed, if CTMS_TEST_UPGRADE_TO names their programs
# (/usr/lib/postgresql/17/bin:…).
$ctms->sql('SET ctms.allow_drop = on;
    DROP EXTENSION IF EXISTS ctms CASCADE; CREATE EXTENSION ctms');
CTMS::Data::fill($ctms);
$ctms->node->safe_psql('postgres', 'DROP DATABASE IF EXISTS fresh');
my $data = CTMS::Data::content($ctms->node, 'ctms');
# Both have checksums or none. From 18 on initdb turns them on, and before it has no option that
# turns them off.
my $has_checksums = $ctms->sql('SHOW data_checksums') eq 'on';
my $sockets = PostgreSQL::Test::Utils::tempdir_short();
chdir $PostgreSQL::Test::Utils::tmp_check;
my %programs = map { (qx{$_/postgres --version} =~ /(\d+)/)[0] => $_ } "$installation$bindir",
    split /:/, $ENV{CTMS_TEST_UPGRADE_TO} // '';
command_ok([ "$programs{$_}/pg_dump", '-Fc', '-f', "dump_$_", $ctms->db_url ], "pg_dump of $_")
    for sort keys %programs;
# What somebody has added to a table stays, other than with pg_dump.
$ctms->sql(q{ALTER TABLE ctms.emails ADD mine int DEFAULT 3, SET (fillfactor = 70);
    CREATE INDEX mine ON ctms.emails (mine); CREATE POLICY mine ON ctms.emails;
    CREATE TRIGGER mine BEFORE UPDATE ON ctms.emails FOR EACH ROW
        EXECUTE FUNCTION suppress_redundant_updates_trigger()});
$ctms->node->stop;
for my $major (sort keys %programs)
{
    my $programs = $programs{$major};
    my $new = PostgreSQL::Test::Cluster->new("upgraded_$major",
        install_path => $programs =~ s{/bin/*$}{}r);
    $new->init(extra => [ '--encoding=UTF8', '--locale=C', $has_checksums ? '--data-checksums'
            : $major >= 18 ? '--no-data-checksums' : () ]);
    command_ok([ "$programs/pg_upgrade", '--no-sync', '-d', $ctms->node->data_dir, '-D',
            $new->data_dir, '-b', "$installation$bindir", '-B', $programs,
        '-s', $sockets, '-p', $ctms->node->port, '-P', $new->port ], "pg_upgrade to $major");
    $new->append_conf('postgresql.conf', "fsync = off\n");
    $new->start;
    is($new->safe_psql('ctms', q{SELECT sum(mine) / count(*),
        (SELECT reloptions FROM pg_class WHERE oid = 'ctms.emails'::regclass),
        (SELECT count(*) FROM pg_class WHERE relname = 'mine'),
        (SELECT count(*) FROM pg_policy WHERE polname = 'mine'),
        (SELECT count(*) FROM pg_trigger WHERE tgname = 'mine') FROM ctms.emails}),
        '3|{fillfactor=70}|1|1|1', 'keeps what somebody has added to a table');
    $new->safe_psql('ctms', q{DROP TRIGGER mine ON ctms.emails; DROP POLICY mine ON ctms.emails;
        ALTER TABLE ctms.emails DROP mine, RESET (fillfactor)});
    is(CTMS::Data::content($new, 'ctms'), $data, 'brings back everything');
    $new->safe_psql('postgres', 'CREATE DATABASE fresh');
    $new->safe_psql('fresh', 'CREATE EXTENSION ctms');
    is(CTMS::Data::differences(map { CTMS::Data::objects($new, $_) } qw(fresh ctms)), '',
        'with the objects of a fresh install');
    $new->safe_psql('postgres', 'CREATE DATABASE restored');
    command_ok([ "$programs/pg_restore", '-d', $new->connstr('restored'), "dump_$major" ],
        'or pg_restore');
    is(CTMS::Data::content($new, 'restored'), $data, 'brings back everything too');
    is($new->safe_psql('ctms', q{UPDATE ctms.emails SET last_name = 'after'
        WHERE primary_email = 'dump150@example.com';
        SELECT count(*) FROM ctms.pending_acoustic p JOIN ctms.emails e USING (email_id)
            WHERE primary_email = 'dump150@example.com'}), '1', 'and goes on');
    $new->stop;
}

done_testing();
