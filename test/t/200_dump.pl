# Dump and restore with no special flags bring back every row, every sequence position and
# the queue exactly as it was; a dropped seed row stays dropped.
use strict;
use warnings;
use CTMS::Data;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = CTMS::Test->new('source');
my $node = $source->node;
# A cluster that has never heard of ctms or its roles.
my $elsewhere = CTMS::Test->new('elsewhere', no_extension => 1)->node;

# ---- registered relations ---------------------------------------------------------

is($source->sql(q{
    SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c
    WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind IN ('r', 'p', 'S')
        AND c.relname NOT IN ('acoustic_agents', 'queue_flush')
      AND NOT EXISTS (SELECT FROM pg_extension e
          WHERE e.extname = 'ctms' AND c.oid = ANY (e.extconfig))}),
    '', 'every table and sequence that is to last is registered for pg_dump');
is($source->sql(q{
    SELECT count(*) FROM pg_extension e,
        unnest(e.extconfig, e.extcondition) AS x (relation, condition)
    WHERE e.extname = 'ctms' AND (condition <> '' OR relation NOT IN
        (SELECT oid FROM pg_class
            WHERE relnamespace = 'ctms'::regnamespace AND relkind IN ('r', 'p', 'S')))}),
    '0', 'and nothing else, each with all its rows');

# ---- data ---------------------------------------------------------------------------

CTMS::Data::fill($source);
is($source->sql(q{SELECT count(*) FILTER (WHERE lease_owner = 'c'),
    count(*) FILTER (WHERE retry > 0),
    count(*) FILTER (WHERE retry_after = 'infinity'), count(*) > 100 FROM ctms.pending_acoustic}),
    '10|20|2|t', 'the queue has rows in every state');

# ---- comparison -----------------------------------------------------------------------

my $expected = CTMS::Data::content($node, 'ctms');
like($expected, qr/emails 200\|/, 'there is something to compare');
my $folder = $PostgreSQL::Test::Utils::tmp_check;
my @from = ('-h', $node->host, '-p', $node->port);

sub restore
{
    my ($name, $server, $dump, @restore) = @_;
    (my $database = $name) =~ s/\W+/_/g;
    $server->safe_psql('postgres', "CREATE DATABASE $database");
    my @to = ('-h', $server->host, '-p', $server->port, '-d', $database);
    command_ok([ 'pg_dump', @from, @$dump, 'ctms' ], "$name: dump");
    command_ok([ map { $_ eq 'TO' ? @to : $_ } @restore ], "$name: restore");
    is(CTMS::Data::content($server, $database), $expected, "$name: everything is equal");
    return $database;
}

for my $server ($node, $elsewhere)
{
    my $where = $server == $node ? 'here' : 'elsewhere';
    restore("plain $where", $server, [ '-f', "$folder/plain.sql" ],
        'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', 'TO', '-f', "$folder/plain.sql");
    restore("custom $where", $server, [ '-Fc', '-f', "$folder/custom.dump" ],
        'pg_restore', '--exit-on-error', 'TO', "$folder/custom.dump");
}
restore('custom parallel', $node, [ '-Fc', '-f', "$folder/custom2.dump" ],
    'pg_restore', '--exit-on-error', '-j2', 'TO', "$folder/custom2.dump");
restore('directory parallel', $node, [ '-Fd', '-j2', '-f', "$folder/directory.dump" ],
    'pg_restore', '--exit-on-error', '-j2', 'TO', "$folder/directory.dump");
my $restored = restore('inserts', $node, [ '--inserts', '-f', "$folder/inserts.sql" ],
    'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-1', 'TO', '-f', "$folder/inserts.sql");
restore('clean', $node, [ '--clean', '--if-exists', '-f', "$folder/clean.sql" ],
    'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', 'TO', '-f', "$folder/clean.sql");

# ---- afterwards -------------------------------------------------------------------------

is($node->safe_psql($restored, q{
    UPDATE ctms.emails SET last_name = 'after' WHERE primary_email = 'dump1@example.com';
    SELECT count(*) FROM ctms.pending_acoustic p JOIN ctms.emails e USING (email_id)
        WHERE primary_email = 'dump1@example.com'}),
    '1', 'a restored database enqueues again');
is($node->safe_psql($restored, q{
    INSERT INTO ctms.newsletters (email_id, name) SELECT email_id, 'next' FROM ctms.emails
        WHERE primary_email = 'dump1@example.com' RETURNING id}),
    '201', 'and goes on with its sequences');

# The structure alone, with the rows of a new installation on demand.
$node->safe_psql('postgres', 'CREATE DATABASE structure');
command_ok([ 'pg_dump', @from, '--schema-only', '-f', "$folder/structure.sql", 'ctms' ],
    'schema only: dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @from, '-d', 'structure', '-f',
        "$folder/structure.sql" ], 'schema only: restore');
is($node->safe_psql('structure', q{SELECT (SELECT count(*) FROM ctms.acoustic_field)
    + (SELECT count(*) FROM ctms.acoustic_newsletter_mapping)}),
    '0', 'a schema-only restore has no rows');
is($node->safe_psql('structure', q{SELECT ctms.install_defaults(); SELECT ctms.install_defaults();
    SELECT (SELECT count(*) FROM ctms.acoustic_field),
        (SELECT count(*) FROM ctms.acoustic_newsletter_mapping)}),
    "\n\n38|21", 'ctms.install_defaults() adds them once');

# The rows alone, into an extension that was created without its default rows.
$node->safe_psql('postgres', 'CREATE DATABASE rows');
$node->safe_psql('rows', 'SET ctms.restore_mode = on; CREATE EXTENSION ctms');
command_ok([ 'pg_dump', @from, '--data-only', '-f', "$folder/rows.sql", 'ctms' ],
    'data only: dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @from, '-d', 'rows', '-f',
        "$folder/rows.sql" ], 'data only: restore');
is(CTMS::Data::content($node, 'rows'), $expected, 'data only: everything is equal');

done_testing();
