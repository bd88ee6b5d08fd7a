# The guides of docs/operations.md on dumps, block by block: the rows of one table, tables of one's
# own, a dump with a column that was added, a dump over a database in use.
use strict;
use warnings;
use CTMS::Data;
use CTMS::Guide;
use CTMS::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('restore');
my $node = $ctms->node;
CTMS::Data::fill($ctms);
my @at = ('-h', $node->host, '-p', $node->port);
sub sql { return $node->safe_psql(@_) }

sub dump_of
{
    my ($database, $guide) = @_;
    system_or_bail('pg_dump', @at, '-Fc', '-f', $guide->folder . '/ctms.dump', $database);
    return;
}

# ---- rows of one table --------------------------------------------------------------------------

my %count = map { $_ => "SELECT count(*) FROM ctms.$_" } qw(newsletters pending_acoustic);
my $rows = q{SELECT md5(string_agg(n::text, ',' ORDER BY n::text)) FROM ctms.newsletters n
    WHERE email_id NOT IN (SELECT email_id FROM ctms.emails WHERE primary_email ~ 'dump[123]@')};
my $guide = CTMS::Guide->new('operations', 'Rows of one table', $node);
dump_of('ctms', $guide);
my $before = $ctms->sql($rows);
# Since the dump one contact was deleted, one has the newsletter again, in other words, one lost it;
# then all the rest by mistake.
$ctms->sql(q{SET ctms.enqueue = off;
    SELECT ctms.delete_contact('dump1@example.com');
    DELETE FROM ctms.newsletters;
    INSERT INTO ctms.newsletters (email_id, name, source) SELECT email_id, 'news', 'newer'
        FROM ctms.emails WHERE primary_email = 'dump2@example.com';
    TRUNCATE ctms.pending_acoustic});
$guide->run('1. the rows of the dump');
is(sql('scratch', $count{newsletters}), 190, 'are in a database beside it');
$guide->run('2. a copy in the live database');
$guide->run('3. what is missing goes back');
is($ctms->sql($rows), $before, 'rows are as they were, with ids and timestamps');
is($ctms->sql(q{SELECT source FROM ctms.newsletters n JOIN ctms.emails USING (email_id)
    WHERE primary_email = 'dump2@example.com'}), 'newer', 'a newer row stays');
is($ctms->sql("$count{newsletters} n WHERE NOT EXISTS
    (SELECT FROM ctms.emails e WHERE e.email_id = n.email_id)"), 0,
    'nobody who is gone comes back');
is($ctms->sql($count{pending_acoustic}), $ctms->sql($count{newsletters}) - 1,
    'contacts are enqueued');
$guide->run('4. the copies go');
is($ctms->sql(q{SELECT count(*) FROM pg_database d, pg_namespace n
    WHERE datname = 'scratch' OR nspname = 'restored'}), 0, 'and are gone');

# Waitlists that the schema of now refuses are stored when one asks for it.
$guide = CTMS::Guide->new('operations', 'Rows of one table', $node);
my ($mode) = CTMS::Test::slurp("$ENV{CTMS_TEST_TOP}/docs/operations.md")
    =~ /To store rows that these refuse, say `(SET [^`]+)` first/;
$_ = s/newsletters/waitlists/gr for @{ $guide->{blocks} };
dump_of('ctms', $guide);
$before = $ctms->sql('SELECT count(*) FROM ctms.waitlists');
$ctms->sql(q{DELETE FROM ctms.waitlists; SELECT ctms.set_waitlist_schema('vpn', 'false');
    TRUNCATE ctms.pending_acoustic});
$guide->run("waitlists: $_") for 'the rows of the dump', 'a copy';
my ($insert) = shift(@{ $guide->{blocks} }) =~ /^(INSERT .*?;)$/ms;
is($ctms->sql_error($insert)->{state}, 'CT001', 'a waitlist that is not valid any more is refused');
$ctms->sql("$mode; $insert");
is($ctms->sql('SELECT count(*) FROM ctms.waitlists'), $before, 'or stored');
is($ctms->sql($count{pending_acoustic}), 0, 'and nothing is enqueued then');
$guide->run('waitlists: the copies go');
$ctms->sql(q{SELECT ctms.drop_waitlist_schema('vpn')});

# Each table with default rows: some were changed, some deleted, and now all are there again.
$guide = CTMS::Guide->new('operations', 'Rows of one table', $node);
my @blocks = @{ $guide->{blocks} };
my %content = map { $_ => "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM ctms.$_ t" }
    qw(acoustic_newsletter_mapping acoustic_field waitlist_fields_schemas);
my %before = map { $_ => $ctms->sql($content{$_}) } keys %content;
dump_of('ctms', $guide);
$ctms->sql(q{DELETE FROM ctms.acoustic_newsletter_mapping WHERE source = 'miti';
    DELETE FROM ctms.acoustic_field WHERE field = 'update_timestamp';
    SELECT ctms.install_defaults()});
for my $table (sort keys %content)
{
    isnt($ctms->sql($content{$table}), $before{$table}, "$table: is not as it was");
    $guide->{blocks} = [ map { s/newsletters|acoustic_newsletter_mapping/$table/gr }
        @blocks[ 0, 1, 4, 3 ] ];
    $guide->run("$table: $_") for 'the rows of the dump', 'a copy', 'the whole table is replaced',
        'the copies go';
    is($ctms->sql($content{$table}), $before{$table}, "$table: is as it was");
}
$guide->finish;

# ---- own columns, indexes and triggers -----------------------------------------------------------

$guide = CTMS::Guide->new('operations', 'Own columns, indexes and triggers', $node);
$guide->run('a table beside ours');
unlike($guide->messages, qr/WARNING/, 'is nothing to warn of');
$ctms->sql(q{INSERT INTO crm.contacts SELECT email_id, 'me' FROM ctms.emails});
$guide->run('an index, from a file');
like($guide->messages, qr/WARNING:  a restored database will have "ctms\.emails" as/,
    'is warned of');

# All that is beside our tables is in the dump; contacts are deleted with it.
dump_of('ctms', $guide);
sql('postgres', 'CREATE DATABASE beside');
command_ok([ 'pg_restore', @at, '--exit-on-error', '-d', 'beside', $guide->folder . '/ctms.dump' ],
    'a table beside ours is restored');
is(sql('beside', q{SELECT count(*), count(account_manager) FROM crm.contacts_with_address}),
    '199|199', 'with its rows and the view');
is(sql('beside', q{SELECT count(*) FROM pg_indexes WHERE indexname = 'emails_last_name_idx'}), 0,
    'the index is not');
command_ok([ 'psql', '-X', @at, '-v', 'ON_ERROR_STOP=1', '-d', 'beside', '-f',
        $guide->folder . '/own.sql' ], 'until it is made again');
sql('beside', q{SELECT ctms.delete_contact('dump2@example.com');
    DELETE FROM ctms.newsletters WHERE email_id = (SELECT email_id FROM ctms.emails
        WHERE primary_email = 'dump3@example.com')});
is(sql('beside', 'SELECT count(*) FROM crm.contacts'), 198, 'a contact is deleted with its row');

# A column in ctms.emails, a view that needs it, and what refers to the contacts.
$ctms->sql(q{ALTER TABLE ctms.emails ADD score integer; UPDATE ctms.emails SET score = 5;
    CREATE VIEW public.scores AS SELECT email_id, score FROM ctms.emails});
dump_of('ctms', $guide);
my $content = CTMS::Data::content($node, 'ctms');
$guide->run('a dump with a column that was added');
is(CTMS::Data::content($node, 'rescued'), $content, 'everything is equal');
is(sql('rescued', 'SELECT count(score) FROM public.scores'), 199, 'with the column and the view');
is(sql('rescued', 'SELECT count(*) FROM pg_constraint WHERE NOT convalidated'), 0,
    'all foreign keys are valid');

$ctms->sql('DROP VIEW public.scores; DROP SCHEMA crm CASCADE');
dump_of('ctms', $guide);
sql('postgres', 'CREATE DATABASE restored');
IPC::Run::run [ 'pg_restore', @at, '-d', 'restored', $guide->folder . '/ctms.dump' ],
    '2>', \my $err;
like($err, qr/column "score" of relation "emails" does not exist/, 'without it, there is an error');
is(sql('restored', 'SELECT count(*) FROM ctms.emails'), 0, 'and no contact');
$guide->run('the contacts come later');
is(CTMS::Data::content($node, 'restored'), $content, 'everything is equal');
is(sql('restored', 'SELECT count(*) FROM pg_constraint WHERE NOT convalidated'), 0,
    'all foreign keys are valid then');
$guide->run('the column moves out');
is(sql('restored', 'SELECT count(*), sum(score) FROM crm.scores'), '199|995', 'with its values');
$guide->finish;
system_or_bail('pg_dump', @at, '-Fc', '-f', $guide->folder . '/ctms.dump', 'restored');
sql('postgres', 'CREATE DATABASE again');
command_ok([ 'pg_restore', @at, '--exit-on-error', '-d', 'again', $guide->folder . '/ctms.dump' ],
    'and the next dump is restored as any other');
is(sql('again', 'SELECT count(*) FROM crm.scores JOIN ctms.emails USING (email_id)'), 199,
    'with all its rows');

# ---- a dump over a database in use ---------------------------------------------------------------

$guide = CTMS::Guide->new('operations', 'A dump over a database in use', $node);
$ctms->sql('ALTER TABLE ctms.emails DROP score');
dump_of('ctms', $guide);
$content = CTMS::Data::content($node, 'ctms');
$ctms->sql(q{UPDATE ctms.emails SET first_name = 'after'; DELETE FROM ctms.newsletters;
    DELETE FROM ctms.acoustic_field; SELECT nextval('ctms.newsletters_id_seq')});
my @clean = ('pg_restore', @at, '--clean', '--if-exists', '--single-transaction', '-d', 'ctms',
    $guide->folder . '/ctms.dump');
command_fails_like(\@clean, qr/cannot drop extension "ctms" because it holds contacts/,
    'without the setting it is refused');
$ctms->sql('CREATE TABLE public.mine (email_id uuid REFERENCES ctms.emails)');
{
    local $ENV{PGOPTIONS} = '-c ctms.allow_drop=on';
    command_fails_like(\@clean, qr/cannot drop extension ctms because other objects depend on it/,
        'a table of one\'s own keeps the extension');
}
is($ctms->sql(q{SELECT count(*) FROM ctms.emails WHERE first_name = 'after'}), 199,
    'then nothing is changed');
$ctms->sql('DROP TABLE public.mine');
my $session = $node->background_psql('ctms');
$session->query_safe(q{SELECT ctms.find_contacts(primary_email => 'dump9@example.com')});
$guide->run('with it');
is(CTMS::Data::content($node, 'ctms'), $content, 'everything is as it was');
like($session->query_safe(q{SELECT ctms.find_contacts(primary_email => 'dump9@example.com')}),
    qr/dump9/, 'an open session goes on');
$session->quit;
is($ctms->sql(q{UPDATE ctms.emails SET last_name = 'x' WHERE primary_email = 'dump9@example.com';
    SELECT count(*) FROM ctms.pending_acoustic p JOIN ctms.emails USING (email_id)
        WHERE primary_email = 'dump9@example.com'}), 1, 'and changes are enqueued');
$guide->finish;

done_testing();
