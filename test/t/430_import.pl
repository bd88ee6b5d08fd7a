# ctms import ctms-api: an older database of both layouts becomes ours, row by row by the rules;
# all of it or nothing, wherever it is interrupted; again and again.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Adoption qw(differences make_older);
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $contacts = 1100;
my $ctms = CTMS::Test->new('import', no_extension => 1);
my $node = $ctms->node;
my $json = JSON::PP->new->utf8;
my $left_out = "$ENV{TESTDIR}/import_left_out.jsonl";
$node->safe_psql('postgres', 'CREATE ROLE loader SUPERUSER LOGIN');

sub sql { my ($database, $query) = @_; return $node->safe_psql($database, $query) }

sub older
{
    my ($database, $layout, $schema) = @_;
    return is(make_older($ctms, $database, $layout, $schema, $contacts), '',
        "an older database, layout $layout");
}

sub make_ours
{
    my ($database) = @_;
    sql('postgres', "CREATE DATABASE $database");
    sql($database, 'CREATE EXTENSION ctms');
    sql($database, "GRANT USAGE ON SCHEMA ctms TO loader;
        DO \$\$ BEGIN IF to_regrole('operator') IS NULL THEN
        CREATE ROLE operator LOGIN IN ROLE ctms_admin; END IF; END \$\$");
    return;
}

my %url;
sub import_from
{
    my ($database, $user, $from, @options) = @_;
    return $ctms->cli('import', 'ctms-api', $from, '--left-out', $left_out, '--db-url',
        $ctms->db_url($database) . "&user=$user", @options);
}

# Compares every table, both ways.
sub compare
{
    my ($database, $layout, $name) = @_;
    my $difference = differences($ctms, $database, $layout);
    like($difference->{$_}, qr/^[1-9]\d*\|0\|0$/, "$name: $_, row by row")
        for sort keys %$difference;
    is(sql($database, 'SELECT count(*) FROM ctms.pending_acoustic'), 0,
        "$name: nothing is enqueued");
    return;
}

# ---- both layouts, as an administrator and as a superuser ------------------------------------

for my $layout (qw(older waitlists))
{
    my $database = "ours_$layout";
    my $user = $layout eq 'older' ? 'operator' : 'loader';
    sql('postgres', "CREATE DATABASE source_$layout");
    older("source_$layout", $layout, 'public');
    make_ours($database);
    sql($database, 'CREATE SCHEMA older');
    older($database, $layout, 'older');
    my $url = $url{$layout} = $ctms->db_url("source_$layout");

    my ($rc, $out, $err) = import_from($database, $user, $url, '--dry-run');
    is($rc, 0, "$layout: dry run") or diag $err;
    like($out, qr/^emails +1103 +3 +0 +0 +1100 +0 +1100\n.*^dry run: nothing was stored$/ms,
        'says what would be');
    is(sql($database, 'SELECT count(*) FROM ctms.emails'), 0, 'and stores nothing');

    ($rc, $out, $err) = import_from($database, $user, $url);
    is($rc, 0, "$layout: import") or diag $err;
    like($out, qr/^emails +1103 +3 +0 +0 +1100 +0 +1100$/m, 'counts before and after');
    like($err, qr/^ctms: note: \d+ contacts wait in the older queue; --pending enqueues them$/m,
        'the older queue is mentioned');
    compare($database, $layout, $layout);
    is(sql($database, 'SELECT count(*) FROM ctms.api_client'), 2, 'clients too');
    is(sql($database, q{SELECT string_agg(tablename || '.' || field, ' ' ORDER BY tablename, field),
        (SELECT string_agg(source, ' ') FROM ctms.acoustic_newsletter_mapping)
        FROM ctms.acoustic_field}),
        'main.email main.email_id main.sumo_user waitlist.geo waitlist.platform|mozilla-and-you',
        'what is synced is taken over');
    is(sql($database, q{SELECT bool_and(nextval(pg_get_serial_sequence('ctms.' || t, 'id')) > CASE t
        WHEN 'fxa' THEN (SELECT max(id) FROM ctms.fxa)
        ELSE (SELECT max(id) FROM ctms.newsletters) END)
            FROM unnest('{fxa,newsletters}'::text[]) AS t}), 't', 'new rows get new ids');

    # Rows that were left out are saved with all their content; only the owner may read the file.
    my @left = map { $json->decode($_) } split /\n/, slurp($left_out);
    is_deeply([ sort { $a cmp $b } keys %{ { map { $_->{table_name} => 1 } @left } } ],
        [qw(emails fxa newsletters)], 'rows that repeat others are saved');
    is(scalar(grep { $_->{table_name} eq 'emails'
            && $_->{content}{primary_email} && $_->{kept_email_id} ne $_->{email_id} } @left), 3,
        'each contact with the one that is kept');
    is((stat $left_out)[2] & 0777, 0600, 'readable by its owner only');

    my $first = slurp($left_out);
    my $versions = sql($database,
        'SELECT sum(hashtext(ctid::text || xmin::text)::bigint) FROM ctms.newsletters');
    ($rc, $out) = import_from($database, $user, $url, '--json');
    my $counts = $json->decode($out);
    is_deeply([ map { @{ $counts->{tables}{$_} }{qw(created updated)} }
            sort keys %{ $counts->{tables} } ], [ map { defined $_->{before} ? (0, 0)
            : (undef, undef) } map { $counts->{tables}{$_} } sort keys %{ $counts->{tables} } ],
        "$layout: again changes nothing");
    is(sql($database, 'SELECT sum(hashtext(ctid::text || xmin::text)::bigint)
        FROM ctms.newsletters'), $versions, 'no row version');
    is(slurp($left_out), $first, 'the same rows are left out');
    compare($database, $layout, "$layout, again");
}

# ---- interrupted anywhere: nothing, then everything ---------------------------------------------

make_ours('interrupted');
sql('interrupted', 'CREATE SCHEMA older');
older('interrupted', 'older', 'older');
sql('interrupted', q{CREATE FUNCTION public.wait() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$});
for my $table (qw(emails newsletters waitlists mofo stripe_invoice api_client))
{
    my $name = "interrupted in $table";
    sql('interrupted', "CREATE TRIGGER wait BEFORE INSERT ON ctms.$table FOR EACH STATEMENT
        EXECUTE FUNCTION public.wait(); ALTER TABLE ctms.$table ENABLE ALWAYS TRIGGER wait");
    my $holder = $node->background_psql('interrupted', on_error_stop => 1);
    $holder->query_safe('SELECT pg_advisory_lock(7)');
    my ($out, $err) = ('', '');
    my $handle = IPC::Run::start([ "$ENV{CTMS_TEST_BIN}/ctms", 'import', 'ctms-api',
            $url{older}, '--left-out', $left_out,
        '--db-url', $ctms->db_url('interrupted') . '&application_name=adopt' ], \'', \$out,
        \$err, IPC::Run::timeout(60));
    poll_until(sub { sql('interrupted', "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'adopt' AND wait_event = 'advisory'") == 1 }, $name);
    if ($table eq 'waitlists')
    {
        sql('interrupted', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'adopt'");
        IPC::Run::finish($handle);
        is($handle->result(0), 3, "$name: the connection was lost");
    }
    else
    {
        $handle->signal('KILL');
        eval { IPC::Run::finish($handle) };
    }
    $holder->query_safe('SELECT pg_advisory_unlock(7)');
    $holder->quit;
    poll_until(sub { sql('interrupted', "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'adopt'") == 0 }, "$name: its session ends");
    is(sql('interrupted', 'SELECT (SELECT count(*) FROM ctms.emails),
        (SELECT count(*) FROM ctms.newsletters), (SELECT count(*) FROM ctms.api_client)'), '0|0|0',
        "$name: nothing was stored");
    sql('interrupted', "DROP TRIGGER wait ON ctms.$table");
}
my ($rc, $out, $err) = import_from('interrupted', 'loader', $url{older});
is($rc, 0, 'run again') or diag $err;
compare('interrupted', 'older', 'interrupted, then run again');

# ---- from a dump ---------------------------------------------------------------------------------

command_ok([ 'pg_dump', '-Fc', '-f', "$ENV{TESTDIR}/older.dump", $url{older} ], 'a dump');
sql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '--no-owner', '-d', $ctms->db_url('restored'),
        "$ENV{TESTDIR}/older.dump" ], 'restored');
make_ours('from_dump');
sql('from_dump', 'CREATE SCHEMA older');
older('from_dump', 'older', 'older');
append_to_file("$ENV{TESTDIR}/source_url", $ctms->db_url('restored') . "\n");
($rc, $out, $err) = import_from('from_dump', 'operator', "\@$ENV{TESTDIR}/source_url");
is($rc, 0, 'imported, the address from a file') or diag $err;
compare('from_dump', 'older', 'from a dump');

# ---- later ---------------------------------------------------------------------------------------

# Both databases have changed; first the older layout, then its own migration to the newer one.
sql('source_older', q{
    UPDATE emails SET first_name = 'Changed', update_timestamp = '2030-01-01Z'
        WHERE email_id = contact(1);
    UPDATE newsletters SET subscribed = false, update_timestamp = '2030-01-01Z'
        WHERE email_id = contact(2);
    INSERT INTO emails (email_id, primary_email, update_timestamp)
        VALUES (contact(0), 'new@example.com', '2030-01-01Z');
    INSERT INTO newsletters (email_id, name, update_timestamp)
        VALUES (contact(0), 'hubs', '2030-01-01Z');
    UPDATE emails SET update_timestamp = '2030-01-01Z' WHERE email_id = contact(501, 'twin1');
    UPDATE api_client SET email = 'new@example.com', update_timestamp = '2030-01-01Z'
        WHERE client_id = 'id_basket'});
sql('ours_older', q{
    UPDATE ctms.emails SET last_name = 'ours' WHERE email_id = older.contact(3);
    UPDATE ctms.api_client SET scopes = '{contacts:read}' WHERE client_id = 'id_basket';
    INSERT INTO ctms.emails (email_id, primary_email)
        VALUES (older.contact(0, 'native'), 'native@example.com');
    INSERT INTO ctms.newsletters (email_id, name) VALUES (older.contact(0, 'native'), 'hubs');
    DELETE FROM ctms.pending_acoustic});
($rc, $out, $err) = import_from('ours_older', 'operator', $url{older});
is($rc, 0, 'later') or diag $err;
like($out, qr/^emails +1104 +3 +0 +1101 +1 +\d+ +1102$/m, 'what is new there comes along');
is(sql('ours_older',
        q{SELECT (SELECT first_name FROM ctms.emails WHERE email_id = older.contact(1)),
    (SELECT bool_or(subscribed) FROM ctms.newsletters WHERE email_id = older.contact(2)),
    (SELECT last_name FROM ctms.emails WHERE email_id = older.contact(3)), (SELECT count(*)
        FROM ctms.newsletters WHERE email_id IN (older.contact(0), older.contact(0, 'native'))),
    (SELECT count(*) FROM ctms.pending_acoustic)}), 'Changed|f|ours|2|0',
    'what changed there replaces ours, what changed here stays; nothing is enqueued');
is(sql('ours_older', 'SELECT client_id, email, scopes, enabled FROM ctms.api_client ORDER BY 1'),
    "id_basket|new\@example.com|{contacts:read}|t\nid_old|old\@example.com||",
    'a client that changed there keeps the scopes that it has here');
is(sql('ours_older', q{SELECT count(*)
    FROM ctms.emails WHERE email_id = older.contact(501)}) + sql('ours_older',
        q{SELECT count(*) FROM ctms.emails WHERE email_id = older.contact(501, 'twin1')}),
    1, 'who was kept stays, though the other changed');

is((import_from('ours_older', 'operator', $url{older}, '--pending'))[0], 0, 'with the older queue');
is(sql('ours_older', 'SELECT count(*), count(*) FILTER (WHERE email_id = older.contact(40))
    FROM ctms.pending_acoustic'),
    sql('source_older', 'SELECT count(DISTINCT email_id), 1 FROM pending_acoustic'),
    'who waited there waits here');
is((import_from('ours_older', 'operator', $url{older}, '--enqueue'))[0], 0, 'with everybody');
is(sql('ours_older', 'SELECT count(*) FROM ctms.pending_acoustic WHERE is_bulk'), 1101,
    'all that came from there wait');

# ---- refused -------------------------------------------------------------------------------------

sub refused
{
    my ($name, $change, $like, $here, @more) = @_;
    sql('postgres', 'DROP DATABASE IF EXISTS bad');
    sql('postgres', 'CREATE DATABASE bad TEMPLATE source_waitlists');
    sql('bad', $change);
    make_ours('refuses')
        if !sql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'refuses'");
    sql('refuses', $here) if $here;
    my ($code, $output, $error) = import_from('refuses', 'operator', $ctms->db_url('bad'));
    is($code, 1, "refused: $name");
    like($error, $_, 'with a reason') for $like, @more;
    like($error, qr/^ctms: nothing was stored$/m, 'and nothing stored');
    is(sql('refuses', 'SELECT count(*) FROM ctms.api_client'), 0, 'really');
    unlike($error . $output, qr/secret-value/, 'no value is shown');
    return;
}

refused('rows of nobody', 'ALTER TABLE amo DROP CONSTRAINT amo_email_id_fkey;
    UPDATE amo SET email_id = contact(0) WHERE email_id = contact(20)',
    qr/refused: table "amo", row \d+ \(email_id [-0-9a-f]{36}\): belongs to no contact$/m);
refused('items of nothing', 'ALTER TABLE stripe_subscription_item DROP CONSTRAINT
    stripe_subscription_item_stripe_price_id_fkey; DELETE FROM stripe_invoice_line_item;
    DELETE FROM stripe_price',
    qr/"stripe_subscription_item", rows 1 .* and 67 more: column "stripe_price_id" refers to /);
refused('a token twice', q{ALTER TABLE emails DROP CONSTRAINT emails_basket_token_key;
    UPDATE emails SET basket_token = 'secret-value' WHERE email_id IN (contact(1), contact(2))},
    qr/problem: 1 times several rows of "emails" share a basket_token/);
# What is wrong with single rows is told together, with the key of each row.
refused('values that do not fit', q{
    ALTER TABLE emails ALTER email_lang TYPE text, ALTER primary_email DROP NOT NULL;
    UPDATE emails SET email_lang = 'secret-value' WHERE email_id = contact(9);
    UPDATE emails SET primary_email = CASE WHEN email_id = contact(8) THEN '' END
        WHERE email_id IN (contact(7), contact(8));
    UPDATE emails SET create_timestamp = 'infinity' WHERE email_id = contact(6);
    ALTER TABLE waitlists ALTER fields TYPE json;
    UPDATE waitlists SET fields = '{"geo": "secret-value\u0000"}' WHERE email_id = contact(10);
    UPDATE waitlists SET fields = E'{\n"geo":\n"\\\\ud800 secret-value"}'
        WHERE email_id = contact(20);
    ALTER TABLE amo ALTER last_login TYPE text;
    UPDATE amo SET last_login = CASE WHEN email_id = contact(20) THEN '0044-03-15 BC'
        ELSE '01/02/2020' END WHERE email_id IN (contact(20), contact(40));
    ALTER TABLE stripe_price ALTER unit_amount TYPE numeric;
    UPDATE stripe_price SET unit_amount = 1e19 WHERE stripe_id = (SELECT min(stripe_id)
        FROM stripe_price)},
    qr/emails", row \d+ \(email_id [-0-9a-f]+\): column "email_lang" is too long for character/,
    undef,
    qr/emails", row \d+ \(email_id [-0-9a-f]+\): column "primary_email" has no value$/m,
    qr/emails", row \d+ \(email_id [-0-9a-f]+\): column "primary_email" is empty$/m,
    qr/emails", row \d+ \(.*\): column "create_timestamp" is not between the years 1 and 9999$/m,
    qr/waitlists", rows? \d+ \(email_id \S+, name \S+\).*: column "fields" has \\u0000.*22P05/,
    qr/waitlists", rows? \d+ \(.*\): column "fields" is not a valid jsonb \(22P02\)$/m,
    qr/amo", row \d+ \(.*\): column "last_login" is not between the years 1 and 9999$/m,
    qr/amo", row \d+ \(.*\): column "last_login" is out of the range of date \(22008\)$/m,
    qr/stripe_price", row 1 \(.*\): column "unit_amount" is out of the range of bigint \(22003\)$/m,
    qr/stripe_invoice_line_item", .*: column "stripe_price_id" refers to a row that is refused$/m,
    qr/newsletters", rows .*: belongs to a contact that is refused$/m,
    qr/^ctms: rows refused: \d+; --max-errors allows 0$/m);
refused('a key that does not fit', q{ALTER TABLE newsletters DROP CONSTRAINT
    newsletters_email_id_fkey, ALTER email_id TYPE text;
    UPDATE newsletters SET email_id = 'secret-value' WHERE email_id = contact(1)::text},
    qr/newsletters", rows \d+ \(name \S+\), .*: column "email_id" is not a valid uuid \(22P02\)$/m);
refused('an address that is taken here', q{},
    qr/problem: 1 rows of "emails" have an address that other contacts have here: email_id /,
    q{INSERT INTO ctms.emails (primary_email) VALUES ('CONTACT77@example.com')});
sql('refuses', 'DELETE FROM ctms.emails');
sql('postgres', 'CREATE DATABASE empty');
($rc, $out, $err) = import_from('refuses', 'operator', 'postgresql://x:pass%word@127.0.0.1/ctms');
is($rc, 2, 'a URL that libpq cannot read');
like($err, qr/^ctms: the URL of the source is not one that libpq can read: (?!.*pass%)/, 'why');
($rc, $out, $err) = import_from('refuses', 'operator', $ctms->db_url('empty'));
is($rc, 1, 'refused: no older database');
like($err, qr/there is no table "emails"/, 'says so');
($rc, $out, $err) = import_from('refuses', 'operator',
    'postgresql://somebody:secret-value@127.0.0.1:1/older?connect_timeout=2');
is($rc, 3, 'a source that is away');
unlike($err, qr/secret-value/, 'its password stays secret');
is((import_from('refuses', 'operator', $url{older}, '--enqueue', '--pending'))[0], 2,
    'both queues');
is((import_from('refuses', 'operator', "\@$ENV{TESTDIR}/none"))[0], 1, 'no such file');

# Rows that repeat others: a source without unique keys. Lines of invoices need no price.
sql('postgres', 'DROP DATABASE bad');
sql('postgres', 'CREATE DATABASE bad TEMPLATE source_waitlists');
sql('bad', q{ALTER TABLE stripe_invoice_line_item ALTER stripe_price_id DROP NOT NULL;
    UPDATE stripe_invoice_line_item SET stripe_price_id = NULL;
    ALTER TABLE newsletters DROP CONSTRAINT newsletters_email_id_name_key;
    INSERT INTO newsletters (email_id, name, source, update_timestamp) SELECT email_id, name,
        'newer', '2030-01-01Z' FROM newsletters WHERE email_id = contact(1)});
($rc, $out, $err) = import_from('refuses', 'operator', $ctms->db_url('bad'));
is($rc, 0, 'newsletters twice') or diag $err;
is(sql('refuses', q{SELECT count(*), count(DISTINCT source) FROM ctms.newsletters
    WHERE source = 'newer'}), '3|1', 'the newer ones stay');
is(sql('refuses', 'SELECT count(*) > 0, count(stripe_price_id)
    FROM ctms.stripe_invoice_line_item'), 't|0', 'lines without a price are stored');
is(scalar(grep { $_->{reason} eq 'repeated' } map { $json->decode($_) } split /\n/,
        slurp($left_out)), 3, 'the others are saved');
# ---- all but the rows that are refused -------------------------------------------------------

my $refused = "$ENV{TESTDIR}/refused.csv";
sql('bad', q{ALTER TABLE emails ALTER email_lang TYPE text;
    UPDATE emails SET email_lang = 'secret-value' WHERE email_id = contact(9)});
sql('refuses', 'TRUNCATE ctms.emails, ctms.api_client CASCADE');
my @allow = ('--refused-file', $refused, '--max-errors');
($rc, $out, $err) = import_from('refuses', 'operator', $ctms->db_url('bad'), @allow, 3);
is($rc, 1, 'more than --max-errors');
like($err, qr/^ctms: rows refused: 5; --max-errors allows 3$/m, 'says how many');
is(scalar(() = slurp($refused) =~ /\n/g), 6, 'the file that is named has all of them');
($rc, $out, $err) = import_from('refuses', 'operator', $ctms->db_url('bad'), @allow, 5, '--json');
is($rc, 7, 'as many as --max-errors') or diag $err;
my $tables = $json->decode($out)->{tables};
is_deeply([ map { $tables->{$_}{refused} } qw(emails newsletters fxa amo) ], [ 1, 3, 1, 0 ],
    'they are counted');
is($tables->{$_}{source}, $tables->{$_}{left_out} + $tables->{$_}{refused} + $tables->{$_}{after},
    "$_: the numbers agree") for qw(emails newsletters fxa);
like(slurp($refused), qr/^table,row,column,reason,keys\n
    emails,\d+,email_lang,is\ too\ long\ for\ character\ varying\(5\)\ \(22001\),email_id\ \S+\n
    newsletters,\d+,,belongs\ to\ a\ contact\ that\ is\ refused,"email_id\ \S+,\ name\ \S+"\n/mx,
    'and saved');
is((stat $refused)[2] & 0777, 0600, 'readable by its owner only');
unlike(slurp($refused), qr/secret-value/, 'the values are in the other database');

# ---- encodings -------------------------------------------------------------------------------

sub other_encoding
{
    my ($encoding) = @_;
    my $database = lc "in_$encoding";
    sql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'
        TEMPLATE template0");
    my $byte = $encoding eq 'WIN1252' ? '\x81' : '\xfc';
    sql($database, qq{SET client_encoding = $encoding;
        CREATE TABLE emails (email_id uuid, primary_email text, first_name text);
        INSERT INTO emails SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid,
            n || '\@example.com', CASE WHEN n <> 1 THEN E'J$byte' END FROM generate_series(1, 3) n;
        CREATE TABLE newsletters (email_id uuid, name text, source text);
        INSERT INTO newsletters SELECT email_id, 'hubs', first_name FROM emails});
    return import_from('refuses', 'operator', $ctms->db_url($database));
}
sql('refuses', 'TRUNCATE ctms.emails, ctms.api_client CASCADE');
($rc, $out, $err) = other_encoding('SQL_ASCII');
is($rc, 1, 'SQL_ASCII');
like($err, qr/"emails", rows 2 \(email_id \S+2\), 3 \(email_id \S+3\): column "first_name" has b/,
    'names rows and column');
like($err, qr/table "newsletters", rows 2 .*: column "source" has bytes that are not UTF-8$/m,
    'of each table');
($rc, $out, $err) = other_encoding('LATIN1');
is($rc, 0, 'LATIN1 is converted') or diag $err;
is(sql('refuses', "SELECT count(*) FROM ctms.emails WHERE first_name = 'J\xc3\xbc'"), 2,
    'into the same characters');
($rc, $out, $err) = other_encoding('WIN1252');
like($err, qr/could not read row 2 of table "emails" \(ORDER BY email_id\): .*WIN1252/,
    'a character without a match');
done_testing();
