# Contacts are read below the executor, or by SQL if a table differs from what that code knows or
# ctms.direct_access is off.
# The answers have the same bytes, and follow every change of the tables at once.
use strict;
use warnings;
use CTMS::Test;
use Test::More;

my $ctms = CTMS::Test->new('contact_paths');
my $node = $ctms->node;

# Contacts with everything and with nothing, null flags, long values, equal times.
$ctms->sql(q{
    INSERT INTO ctms.emails (email_id, primary_email, basket_token, first_name, email_lang,
        double_opt_in, has_opted_out_of_email, unsubscribe_reason, update_timestamp)
    SELECT md5(n::text)::uuid, 'Name' || n || '@example.com',
        CASE WHEN n % 3 > 0 THEN 'token' || n END, repeat('é"\\', n), 'de',
        CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN true ELSE false END,
        CASE WHEN n % 2 = 0 THEN true END,
        CASE WHEN n % 10 = 0 THEN
            (SELECT string_agg(md5(i::text), ' ') FROM generate_series(1, 1000) i) END,
        '2024-01-01Z'::timestamptz + n / 4 * interval '1.5 s'
    FROM generate_series(1, 60) AS n;
    INSERT INTO ctms.amo (email_id, language, last_login, user_id, "user") SELECT email_id, 'fr',
        '2020-02-29', 'u' || email_id, true FROM ctms.emails WHERE basket_token LIKE '%1';
    INSERT INTO ctms.fxa (email_id, fxa_id, account_deleted) SELECT email_id, primary_email, NULL
        FROM ctms.emails WHERE basket_token LIKE '%2%';
    INSERT INTO ctms.mofo (email_id, mofo_email_id, mofo_relevant)
        SELECT email_id, basket_token, true FROM ctms.emails WHERE basket_token LIKE '%4%';
    INSERT INTO ctms.newsletters (email_id, name, source, subscribed)
        SELECT email_id, 'n' || n, repeat('s', n), NULLIF(n % 2 = 0, true)
        FROM ctms.emails, generate_series(1, 11) AS n WHERE basket_token IS NOT NULL;
    INSERT INTO ctms.emails (primary_email, sfdc_id) SELECT 'same' || n || '@example.com', 'many'
        FROM generate_series(1, 5) AS n;
    INSERT INTO ctms.mofo (email_id, mofo_contact_id) SELECT email_id, 'many'
        FROM ctms.emails WHERE sfdc_id = 'many';
    INSERT INTO ctms.amo (email_id, user_id) SELECT email_id, 'many'
        FROM ctms.emails WHERE sfdc_id = 'many';
    INSERT INTO ctms.fxa (email_id, primary_email) SELECT email_id, 'Many@Example.COM'
        FROM ctms.emails WHERE sfdc_id = 'many';
    INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, w.name, w.fields::jsonb
        FROM ctms.emails, (VALUES ('vpn', '{"geo": "fr", "platform": "ios"}'),
        ('relay-x', '{"geo": "de"}')) AS w (name, fields) WHERE basket_token IS NULL;
});

my $ask = q{
    SELECT e.n, ctms.get_contact(e.id), ctms.get_identity(e.id)
        FROM (SELECT n, md5(n::text)::uuid AS id FROM generate_series(0, 61) AS n) AS e ORDER BY n;
    SELECT ctms.find_contacts(primary_email => 'NAME7@example.com'),
        ctms.find_contacts(amo_user_id => 'none'), ctms.find_identities(basket_token => 'token1');
    SELECT n, ctms.find_contacts(primary_email => 'NAME' || n || '@Example.com'),
        ctms.find_identities(basket_token => 'token' || n),
        ctms.find_contacts(email_id => md5(n::text)::uuid), ctms.find_contacts(fxa_id => 'Name' || n
            || '@example.com'), ctms.find_identities(mofo_email_id => 'token' || n),
        ctms.find_contacts(primary_email => 'name' || n || '@example.com',
            email_id => md5('4')::uuid)
        FROM generate_series(0, 61) AS n ORDER BY n;
    SELECT ctms.find_contacts(sfdc_id => 'many'),
        ctms.find_identities(mofo_contact_id => 'many'), ctms.find_contacts(amo_user_id => 'many'),
        ctms.find_identities(fxa_primary_email => 'MANY@example.com');
    SELECT ctms.get_updates('2024-01-01', '2025-01-01', n::text)
        FROM generate_series(1, 61, 20) AS n;
    SELECT ctms.get_updates('2024-01-01', '2025-01-01', '1000', NULL, 'false');
    BEGIN;
    SELECT regexp_replace(ctms.patch_contact(md5(n::text)::uuid,
        '{"email": {"first_name": "patched"},
        "newsletters": [{"name": "n3"}], "mofo": "DELETE", "amo": {"language": "it"}}')::text,
        '"update_timestamp":"[^"]*"|"create_timestamp":"[^"]*"', '', 'g')
        FROM generate_series(1, 20) AS n;
    SELECT regexp_replace(ctms.get_contact(md5('3')::uuid)::text,
        '"update_timestamp":"[^"]*"|"create_timestamp":"[^"]*"', '', 'g');
    SELECT is_created, regexp_replace(contact::text, '"[a-z]*_timestamp":"[^"]*"', '', 'g')
        FROM ctms.create_contact('{"email": {"email_id": "11111111-1111-4111-8111-111111111111",
        "primary_email": "new@example.com"}, "waitlists": [{"name": "a",
        "fields": {"geo": "x"}}]}');
    ROLLBACK;
    SELECT e.n, ctms.get_contact(e.id)
        FROM (SELECT n, md5(n::text)::uuid AS id FROM generate_series(1, 60) AS n) AS e ORDER BY n;
};
my $directly = $ctms->sql($ask);
like($directly, qr/"first_name":"patched"/, 'contacts are read, own changes included');

my $by_sql = $ctms->sql("SET ctms.direct_access = off; $ask");
ok($by_sql eq $directly, 'by SQL the bytes are the same')
    or diag first_difference($directly, $by_sql);
# The functions run as the owner, who is not subject to row security: only the code path changes.
$ctms->sql('ALTER TABLE ctms.waitlists ENABLE ROW LEVEL SECURITY');
$by_sql = $ctms->sql($ask);
ok($by_sql eq $directly, 'and with a table that this code must leave alone')
    or diag first_difference($directly, $by_sql);
$ctms->sql('ALTER TABLE ctms.waitlists DISABLE ROW LEVEL SECURITY');

# ---- one session, the tables changing under it ---------------------------------------------

my $session = $node->background_psql('ctms', on_error_stop => 0);
my $one = q{SELECT md5(string_agg(ctms.get_contact(email_id)::text, '' ORDER BY email_id))
    FROM ctms.emails};
my $before = $session->query_safe($one);
for my $change (
    'ALTER TABLE ctms.fxa ADD COLUMN note text DEFAULT \'x\'',
    'ALTER TABLE ctms.fxa DROP COLUMN note',
    'REINDEX TABLE ctms.newsletters', 'VACUUM FULL ctms.emails',
    'CREATE TABLE child () INHERITS (ctms.amo)', 'DROP TABLE child',
    'ALTER TABLE ctms.mofo DROP CONSTRAINT mofo_pkey',
    'ALTER TABLE ctms.mofo ADD UNIQUE (email_id)',
    'ALTER TABLE ctms.newsletters ALTER COLUMN source TYPE varchar(70000)')
{
    $ctms->sql($change);
    is($session->query_safe($one), $before, "the same after $change");
}
$ctms->sql(q{CREATE TABLE child () INHERITS (ctms.amo);
    INSERT INTO child (email_id, language) VALUES (md5('3')::uuid, 'xx')});
like($session->query_safe(q{SELECT ctms.get_contact(md5('3')::uuid)}), qr/"language":"xx"/,
    'rows of a table that inherits are seen');
$ctms->sql('DROP TABLE child');

# The search for an address, with different indexes.
my $find = q{SELECT md5(string_agg(ctms.find_contacts(primary_email => upper(primary_email))::text,
    '' ORDER BY email_id)) FROM ctms.emails};
my $found = $session->query_safe($find);
for my $change (
    'DROP INDEX ctms.emails_primary_email_lower_key',
    'CREATE INDEX lower_c ON ctms.emails (lower(primary_email) COLLATE "C")',
    q{CREATE INDEX lower_part ON ctms.emails (lower(primary_email)) WHERE primary_email LIKE 'N%'},
    'CREATE INDEX upper_all ON ctms.emails (upper(primary_email))',
    'CREATE INDEX lower_name ON ctms.emails (lower(first_name))',
    'CREATE INDEX lower_pattern ON ctms.emails (lower(primary_email) text_pattern_ops)',
    'DROP INDEX ctms.lower_part',
    'CREATE UNIQUE INDEX emails_primary_email_lower_key ON ctms.emails (lower(primary_email))')
{
    $ctms->sql($change);
    is($session->query_safe($find), $found, "the same found after $change");
}

# ---- what a statement may see -----------------------------------------------------------------

my $name = q{SELECT ctms.get_contact(md5('5')::uuid)->'email'->>'last_name'};
my $writer = $node->background_psql('ctms', on_error_stop => 0);
$writer->query_safe(q{BEGIN;
    UPDATE ctms.emails SET last_name = 'new' WHERE email_id = md5('5')::uuid});
is($session->query_safe($name), '', 'what is not committed is not seen');
$session->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; $name");
$writer->query_safe('COMMIT');
is($session->query_safe($name), '', 'nor what was committed after the snapshot');
$session->query_safe('COMMIT');
is($session->query_safe($name), 'new', 'but afterwards');
is($session->query_safe(q{WITH u AS (UPDATE ctms.emails
    SET last_name = 'newer' WHERE email_id = md5('5')::uuid RETURNING email_id)
    SELECT ctms.get_contact(email_id)->'email'->>'last_name' FROM u}),
    'new', 'a statement does not see what it changes itself');

# Two transactions that read what the other writes: one must fail, as with any other read.
$session->query_safe(q{BEGIN ISOLATION LEVEL SERIALIZABLE;
    SELECT ctms.get_contact(md5('8')::uuid)});
$writer->query_safe(q{BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT ctms.get_contact(md5('7')::uuid)});
$session->query_safe(q{UPDATE ctms.emails SET last_name = 'a' WHERE email_id = md5('7')::uuid});
$writer->query_safe(q{UPDATE ctms.emails SET last_name = 'b' WHERE email_id = md5('8')::uuid});
my $errors = '';
for ($session, $writer)
{
    $_->query('COMMIT');
    $errors .= $_->{stderr} // '';
    $_->{stderr} = '';
}
like($errors, qr/could not serialize access/, 'reading counts for serializable transactions');
$session->quit;
$writer->quit;
done_testing();

sub first_difference
{
    my ($left, $right) = @_;
    ($left ^ $right) =~ /^\0*/;
    my $at = $+[0] > 100 ? $+[0] - 100 : 0;
    return substr($left, $at, 200) . "\n" . substr($right, $at, 200);
}
