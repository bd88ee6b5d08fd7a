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
        AND c.relname NOT IN ('acoustic_agent', '_queue_flush')
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
    count(*) FILTER (WHERE retry_after = 'infinity'),
    count(*) FILTER (WHERE lease_owner = 'bulk 1'), count(*) > 100 FROM ctms.pending_acoustic}),
    '10|20|2|3|t', 'the queue has rows in every state');

# Tables that are larger than the contacts to which they refer.
$source->sql(q{SET ctms.enqueue = off;
    INSERT INTO ctms.waitlists (email_id, name, source)
    SELECT email_id, 'bulk' || n, md5(primary_email || n)
    FROM ctms.emails, generate_series(1, 20) AS n});

# What an operator has decided, and a row of a newer version.
$source->set(acoustic_deletions => 'on', acoustic_history_age => '3d', direct_access => 'off');
$source->sql(q{SET ctms.restore_mode = on; INSERT INTO ctms.settings VALUES ('newer', '17')});

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
    is(keys_not_valid($server, $database), '', "$name: all foreign keys are valid");
    return $database;
}

# As the catalog says, and those that do not hold although it says so.
sub keys_not_valid
{
    my ($server, $database) = @_;
    return $server->safe_psql($database, q{SELECT conname FROM pg_constraint
        WHERE connamespace = 'ctms'::regnamespace AND NOT convalidated ORDER BY 1});
}

for my $server ($node, $elsewhere)
{
    my $where = $server == $node ? 'here' : 'elsewhere';
    restore("plain $where", $server, [ '-f', "$folder/plain.sql" ],
        'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', 'TO', '-f', "$folder/plain.sql");
    restore("custom $where", $server, [ '-Fc', '-f', "$folder/custom.dump" ],
        'pg_restore', '--exit-on-error', 'TO', "$folder/custom.dump");
}
restore("parallel $_", $node, [ '-Fd', '-j2', '-f', "$folder/parallel$_" ],
    'pg_restore', '--exit-on-error', "-j$_", 'TO', "$folder/parallel$_") for 1, 3, 8;
# pg_restore -j begins with the largest table.
$node->safe_psql('postgres', 'CREATE DATABASE order_of_size');
my $log = '';
IPC::Run::run [ 'pg_restore', '-v', '-j2', @from, '-d', 'order_of_size', "$folder/parallel8" ],
    '2>', \$log;
my ($order) = join ' ', $log =~ /launching item \d+ TABLE DATA (waitlists|emails)/g;
is($order, 'waitlists emails', 'rows do come before those that they refer to');
restore('custom parallel', $node, [ '-Fc', '-f', "$folder/custom2.dump" ],
    'pg_restore', '--exit-on-error', '-j2', 'TO', "$folder/custom2.dump");
restore('directory parallel', $node, [ '-Fd', '-j2', '-f', "$folder/directory.dump" ],
    'pg_restore', '--exit-on-error', '-j2', 'TO', "$folder/directory.dump");
my $restored = restore('inserts', $node, [ '--inserts', '-f', "$folder/inserts.sql" ],
    'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-1', 'TO', '-f', "$folder/inserts.sql");
restore('custom at once', $node, [ '-Fc', '-f', "$folder/once.dump" ],
    'pg_restore', '-1', 'TO', "$folder/once.dump");
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

# Settings are rows like others. A session that was there before them follows them.
sub deletions_of
{
    my ($session, $who) = @_;
    $session->query_safe("SELECT ctms.delete_contact('$who\@example.com')");
    return $session->query_safe('SELECT count(*) FROM ctms.acoustic_deleted_contact
        WHERE is_to_send') . ' ' . $session->query_safe(q{SELECT concat_ws(' ',
        ctms.get_setting('acoustic_deletions'), ctms.get_setting('acoustic_history_age'),
        ctms.get_setting('direct_access'))});
}
my $first = $node->background_psql($restored);
my $before = $first->query_safe('SELECT count(*) FROM ctms.acoustic_deleted_contact
    WHERE is_to_send');
is(deletions_of($first, 'dump2'), $before + 1 . ' on 3d off',
    'a deletion in a restored database reaches the queue');
$first->quit;
$node->safe_psql('postgres', "CREATE DATABASE early$_") for 1, 2;
$node->safe_psql('early2', 'SET ctms.restore_mode = on; CREATE EXTENSION ctms');
command_ok([ 'pg_dump', @from, '--data-only', '-f', "$folder/early2.sql", 'ctms' ], 'early: dump');
for my $try ([ 'early1', 'plain.sql', '' ],
    [ 'early2', 'early2.sql', q{SELECT ctms.get_setting('acoustic_deletions')} ])
{
    my ($database, $file, $known) = @$try;
    my $session = $node->background_psql($database);
    $session->query_safe($known || 'SELECT 1');
    command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @from, '-d', $database, '-f',
            "$folder/$file" ], "$database: restore");
    is(deletions_of($session, 'dump2'), $before + 1 . ' on 3d off',
        "$database: so does one in a session that was open before");
    $session->quit;
}

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
is(keys_not_valid($node, 'rows'), '', 'data only: all foreign keys are valid');

# Tables without rows do not wait for others without rows.
$node->safe_psql('postgres', 'CREATE DATABASE nobody');
$node->safe_psql('nobody', 'CREATE EXTENSION ctms');
command_ok([ 'pg_dump', @from, '-Fc', '-f', "$folder/nobody.dump", 'nobody' ], 'nobody: dump');
for my $jobs (1, 2, 4)
{
    $node->safe_psql('postgres', "CREATE DATABASE nobody$jobs");
    command_ok([ 'pg_restore', '--exit-on-error', "-j$jobs", @from, '-d', "nobody$jobs",
            "$folder/nobody.dump" ], "nobody: restore with -j$jobs");
    is(keys_not_valid($node, "nobody$jobs"), '', "nobody: all keys are valid with -j$jobs");
}

# ---- rows before those that they refer to ------------------------------------------------

# Some of the rows of an archive, into an extension that was created without its default rows.
sub restore_rows
{
    my ($database, @options) = @_;
    my ($status, $messages) = (0, '');
    IPC::Run::run [ 'pg_restore', '--data-only', '-h', $node->host, '-p', $node->port, '-d',
        $database, @options, "$folder/custom.dump" ], '>', \my $out, '2>', \$messages
        or $status = 1;
    return ($status, $messages);
}

sub orphans
{
    my ($database, $table) = @_;
    return $node->safe_psql($database, "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS
        (SELECT FROM ctms.emails e WHERE e.email_id = t.email_id)) FROM ctms.$table t");
}

$node->safe_psql('postgres', 'CREATE DATABASE reversed');
$node->safe_psql('reversed', 'SET ctms.restore_mode = on; CREATE EXTENSION ctms');
my @entries = map { [ '-t', $_ ] } qw(stripe_subscription_item stripe_invoice_line_item
    pending_acoustic mofo amo fxa waitlists newsletters);
is_deeply([ restore_rows('reversed', @$_) ], [ 0, '' ], "reversed: $_->[1]") for @entries;
is(keys_not_valid($node, 'reversed'), join("\n", qw(amo_email_id_fkey fxa_email_id_fkey
    mofo_email_id_fkey newsletters_email_id_fkey pending_acoustic_email_id_fkey
    stripe_invoice_line_item_stripe_invoice_id_fkey stripe_invoice_line_item_stripe_price_id_fkey
    stripe_subscription_item_stripe_price_id_fkey
    stripe_subscription_item_stripe_subscription_id_fkey waitlists_email_id_fkey)),
    'reversed: until their contacts come, the keys are not valid');
is_deeply([ restore_rows('reversed', '-t', $_) ], [ 0, '' ], "reversed: $_")
    for qw(stripe_price stripe_invoice stripe_subscription emails);
is(keys_not_valid($node, 'reversed'), '', 'reversed: then they are');
is($node->safe_psql('reversed', q{SHOW session_replication_role}), 'origin',
    'reversed: nothing stays switched off');

# Some contacts are missing.
$node->safe_psql('postgres', 'CREATE DATABASE missing');
$node->safe_psql('missing', 'SET ctms.restore_mode = on; CREATE EXTENSION ctms');
is_deeply([ restore_rows('missing', '-t', 'amo') ], [ 0, '' ], 'missing: rows come first');
my $header = 'SET check_function_bodies = off; SET row_security = off;';
my ($rc, $out, $err) = $node->psql('missing', "$header
    COPY ctms.emails (email_id, primary_email) FROM stdin;
00000000-0000-4000-8000-000000000001\tdump1\@example.com
\\.
");
is($rc, 0, 'missing: some contacts come');
like($err, qr/WARNING: .* foreign\ key\ "amo_email_id_fkey"\ of\ table\ "ctms\.amo"\ is\ not\ valid
    .*HINT: .* VALIDATE\ CONSTRAINT\ amo_email_id_fkey/sx, 'missing: a warning says so');
is(orphans('missing', 'amo') . ' ' . keys_not_valid($node, 'missing'), '200|199 amo_email_id_fkey',
    'missing: the key does not claim to hold');
$node->safe_psql('missing', q{DELETE FROM ctms.amo a
    WHERE NOT EXISTS (SELECT FROM ctms.emails e WHERE e.email_id = a.email_id);
    ALTER TABLE ctms.amo VALIDATE CONSTRAINT amo_email_id_fkey});
is(keys_not_valid($node, 'missing'), '', 'missing: the hint works');

# Deleted people do not come back in part: neither when others are left, nor when nobody is.
my $one = $source->sql('SELECT email_id FROM ctms.pending_acoustic ORDER BY 1 LIMIT 1');
for my $whom ("WHERE email_id = '$one'", '')
{
    my $who = $whom ? 'one' : 'all';
    $node->safe_psql('rows', "DELETE FROM ctms.$_ WHERE email_id IN
        (SELECT email_id FROM ctms.emails $whom)") for qw(newsletters waitlists fxa amo mofo);
    $node->safe_psql('rows', "DELETE FROM ctms.emails $whom");
    $node->safe_psql('rows', "TRUNCATE ctms.$_") for qw(amo pending_acoustic);
    for my $table (qw(amo pending_acoustic))
    {
        my ($status, $messages) = restore_rows('rows', '-t', $table);
        is($status, 1, "deleted $who: $table is refused");
        like($messages, qr/violates foreign key constraint "${table}_email_id_fkey"/,
            "deleted $who: because of its key");
        is(orphans('rows', $table), '0|0', "deleted $who: nothing is loaded");
    }
    is(keys_not_valid($node, 'rows'), '', "deleted $who: all keys stay valid");
}

# A session that restores the rows waits for one that is restoring their contacts.
$node->safe_psql('postgres', 'CREATE DATABASE waiting');
$node->safe_psql('waiting', 'SET ctms.restore_mode = on; CREATE EXTENSION ctms');
my $contacts = $node->background_psql('waiting');
$contacts->query_safe(q{BEGIN; SET ctms.restore_mode = on;
    COPY ctms.emails (email_id, primary_email) FROM PROGRAM
    'for i in $(seq 200)
    do printf "00000000-0000-4000-8000-%012d\tdump%d@example.com\n" $i $i; done'});
my $rows = IPC::Run::start [ 'pg_restore', '--data-only', '-t', 'newsletters', '-h', $node->host,
    '-p', $node->port, '-d', 'waiting', "$folder/custom.dump" ], '>', \$out, '2>', \$err;
ok($node->poll_query_until('waiting', q{SELECT count(*) = 1 FROM pg_locks
    WHERE NOT granted AND relation = 'ctms.emails'::regclass}), 'waiting: rows wait for contacts');
$contacts->query_safe('COMMIT');
$contacts->quit;
ok($rows->finish, 'waiting: then they are restored');
is(orphans('waiting', 'newsletters') . keys_not_valid($node, 'waiting'), '190|0',
    'waiting: and their key was checked');

done_testing();
