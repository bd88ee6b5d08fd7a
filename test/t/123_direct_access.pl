# The setting direct_access, of the database and of a session: who may change it, and that with it
# off an extension that watches the executor sees every table that a function reads or writes, in
# the same session at once.
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use Test::More;

my $ctms = CTMS::Test->new('direct_access',
    conf => "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = all");
my $node = $ctms->node;
plan skip_all => 'pg_stat_statements is not installed'
    if !$ctms->sql(q{SELECT count(*) FROM pg_available_extensions
        WHERE name = 'pg_stat_statements'});
$ctms->sql(q{CREATE EXTENSION pg_stat_statements;
    INSERT INTO ctms.emails (email_id, primary_email, basket_token)
        SELECT md5(n::text)::uuid, n || '@example.com', 'token' || n
        FROM generate_series(1, 3) AS n});

# ---- who may ----------------------------------------------------------------------------------

$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
for my $role (qw(operator ctms_api))
{
    is($ctms->sql_error("SET ROLE $role; SELECT ctms.get_contact(md5('1')::uuid);
        SET ctms.direct_access = off")->{state}, '42501', "$role may not set it");
}
$ctms->sql('GRANT SET ON PARAMETER ctms.direct_access TO operator');
is($ctms->sql(q{SET ROLE operator; SET ctms.direct_access = off;
    SELECT ctms.get_contact(md5('1')::uuid)->'email'->>'primary_email'}), '1@example.com',
    'unless it is granted');

$ctms->sql(q{CREATE ROLE reader LOGIN IN ROLE ctms_reader;
    ALTER DATABASE ctms SET ctms.direct_access = off});
is($node->safe_psql('ctms', q{SELECT ctms.get_contact(md5('9')::uuid); SELECT setting
    FROM pg_settings WHERE name = 'ctms.direct_access'}, extra_params => [ '-U', 'reader' ]),
    "\noff", 'it may be set for a database, and then it is so for everybody');
$ctms->sql('ALTER DATABASE ctms RESET ctms.direct_access');

# ---- what is seen -----------------------------------------------------------------------------

# The tables that other statements name, while a session does this. (At the end of a transaction
# nothing is nested in a statement any more.)
sub tables_seen
{
    my ($session, $statement) = @_;
    $ctms->sql('SELECT pg_stat_statements_reset()');
    $session->query_safe($statement);
    my $begin = substr $statement, 0, 20;
    my $others = $ctms->sql(qq{SELECT query FROM pg_stat_statements
        WHERE NOT starts_with(query, '$begin')});
    my %seen = map { $_ => 1 }
        $others =~ /ctms\.(emails|newsletters|waitlists|pending_acoustic)\b/g;
    return join ' ', sort keys %seen;
}

my $contact = 'emails newsletters waitlists';
my %tables = (
    q{SELECT ctms.get_contact(md5('1')::uuid)} => $contact,
    q{SELECT ctms.find_contacts(basket_token => 'token1')} => $contact,
    q{SELECT ctms.get_updates('2020-01-01')} => $contact,
    q{UPDATE ctms.emails SET first_name = clock_timestamp()::text WHERE email_id = md5('2')::uuid}
        => 'emails pending_acoustic',
    q{SELECT ctms.enqueue_contacts(ARRAY[md5('3')::uuid])} => 'emails pending_acoustic',
    q{SELECT count(*) FROM ctms.claim_acoustic('a', 1, 6, '1 hour')} => 'pending_acoustic');
my $session = $node->background_psql('ctms');
for my $statement (sort keys %tables)
{
    $session->query_safe('SET ctms.direct_access = on');
    $session->query_safe($statement);
    $session->query_safe('SET ctms.direct_access = off');
    is(tables_seen($session, $statement), $tables{$statement}, "by SQL: $statement");
}

# The setting of the database has the same effect, in the session that is open, whatever the
# session's own says.
$session->query_safe('SET ctms.direct_access = on');
$ctms->set(direct_access => 'off');
is(tables_seen($session, $_), $tables{$_}, "by SQL for everybody: $_") for sort keys %tables;
$ctms->set(direct_access => undef);

# In the middle of a transaction: what was noted before is written in the other way.
for my $way (qw(off on))
{
    my $other = $way eq 'on' ? 'off' : 'on';
    $ctms->sql(qq{DELETE FROM ctms.pending_acoustic; BEGIN; SET LOCAL ctms.direct_access = $other;
        UPDATE ctms.emails SET first_name = '$way' WHERE email_id = md5('1')::uuid;
        SET LOCAL ctms.direct_access = $way; COMMIT});
    is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), 1,
        "a change is enqueued when it is $way at commit only");
}

# Sessions that are open follow the configuration.
my $get = q{SELECT ctms.get_contact(md5('1')::uuid)};
$session->query_safe("RESET ctms.direct_access; $get");
$ctms->sql(q{LOAD 'ctms'; ALTER SYSTEM SET ctms.direct_access = off});
$node->reload;
poll_until(sub { $session->query_safe('SHOW ctms.direct_access') eq 'off' },
    'the session has the new setting');
is(tables_seen($session, $get), $contact, 'and after a reload in an open session');
$session->quit;
done_testing();
