# ctms waitlists: onboarding by one command, refusals with places, dry run, removal.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli_waitlists');
my $json = JSON::PP->new->utf8;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
sub waitlists
{
    my (@args) = @_;
    return $ctms->cli('waitlists', @args, '--db-url', $ctms->db_url . '&user=operator');
}

# ---- list, show -----------------------------------------------------------------

my ($rc, $out, $err) = waitlists('list');
is($rc, 0, 'list') or diag $err;
is($out =~ s/ +/ /gr, "name subscribed unsubscribed newest fields note\n"
    . "default 0 0 geo platform \nrelay 0 0 geo \nvpn 0 0 geo platform \n", 'the shipped ones');
($rc, $out) = waitlists('list', '--json');
is_deeply([ map { $_->{name} } @{ $json->decode($out) } ], [qw(default relay vpn)], 'as JSON');
($rc, $out) = waitlists('show', 'vpn');
is($rc, 0, 'show');
like($out, qr/^geo \(optional\): text or null, at most 100 characters\nplatform .*
Other fields are refused\.\n/, 'its fields in words');
like($out, qr/"waitlists": \[\{"name": "vpn", "fields": \{"geo": "aaaa", /, 'an example');
($rc, $out) = waitlists('show', 'vpn', '--raw');
is($json->decode($out)->{additionalProperties}, JSON::PP::false, 'its schema');
is($json->decode((waitlists('show', 'vpn', '--json'))[1])->{name}, 'vpn', 'as JSON');
for my $options ([], ['--json'])
{
    ($rc, $out, $err) = waitlists('show', 'nobody', @$options);
    is($rc, 4, "show of an unknown one @$options");
    like($err, qr/^ctms: there is no schema named "nobody"/, 'said so');
}

# ---- add ------------------------------------------------------------------------

my $schema = '{"type": "object", "properties": {"geo": {"type": "string",
    "maxLength": 2}}, "required": ["geo"]}';
my $session = $ctms->node->background_psql('ctms', on_error_stop => 0);
$session->query_safe(q{INSERT INTO ctms.emails (email_id, primary_email)
    SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'w' || n || '@example.com'
        FROM generate_series(1, 3) n});
sub insert { my ($n, $name, $fields) = @_;
    return "INSERT INTO ctms.waitlists (email_id, name, fields)
        VALUES ('00000000-0000-4000-8000-00000000000$n', '$name', '$fields')" }

($rc, $out) = waitlists('add', 'beta', $schema, '--dry-run');
is("$rc $out", "0 beta: schema would be created\n", 'dry run');
is((waitlists('show', 'beta'))[0], 4, 'stored nothing');
($rc, $out, $err) = waitlists('add', 'beta', $schema);
is("$rc $out", "0 beta: schema created\n", 'created') or diag $err;
($rc, $out) = waitlists('add', 'beta', $schema);
is("$rc $out", "0 beta: schema unchanged\n", 'again');
append_to_file("$ENV{TESTDIR}/mark.json", "\xef\xbb\xbf$schema\r\n");
($rc, $out) = waitlists('add', 'beta', "\@$ENV{TESTDIR}/mark.json");
is("$rc $out", "0 beta: schema unchanged\n", 'from a file with a byte order mark');
append_to_file("$ENV{TESTDIR}/wide.json", "\xff\xfe{\0}\0");
($rc, $out, $err) = waitlists('add', 'beta', "\@$ENV{TESTDIR}/wide.json");
is($rc, 1, 'from a file that is UTF-16');
like($err, qr/wide\.json" is UTF-16: save it as UTF-8$/m, 'says so');
$session->query_safe(insert(1, 'beta', '{"geo": "fr"}'));
is($ctms->sql("SELECT fields FROM ctms.waitlists WHERE name = 'beta'"), '{"geo": "fr"}',
    'an open session stores a contact');
is($ctms->sql_error(insert(2, 'beta', '{}'))->{state}, 'CT001', 'and wrong fields are refused');

my $file = "$ENV{TESTDIR}/schema.json";
append_to_file($file, '{"type": "object", "properties": {"geo": {"enum": ["de", "fr"]}}}' . "\n");
is((waitlists('add', 'beta', "\@$file", '--dry-run'))[1], "beta: schema would be updated\n"
    . "  does not accept everything that the stored schema accepts, for example {\"geo\": \"\"}\n",
    'a dry run says what breaks');
is((waitlists('add', 'beta', "\@$file"))[1], "beta: schema updated\n"
    . "  does not accept everything that the stored schema accepts, for example {\"geo\": \"\"}\n",
    'from a file');
($rc, $out) = waitlists('add', 'beta', "\@$file", '--json');
is($json->decode($out)->{action}, 'no_change', 'as JSON');
is($json->decode($out)->{compatibility}, 'compatible', 'with what it means');
is((waitlists('add', 'beta', '{"type": "object"}'))[1], "beta: schema updated\n"
    . "  accepts everything that the stored schema accepts\n", 'a wider one');
is((waitlists('add', 'beta', '{"type": "object",
    "patternProperties": {"^geo(?=$)": {"pattern": "^(?!\\u0001{9}$)"}}}'))[1],
    "beta: schema updated\n"
    . "  whether it accepts everything that the stored schema accepts is unknown\n",
    'one that cannot be told');
is((waitlists('add', 'beta', "\@$file"))[0], 0, 'back again');

# Keywords that do nothing are warned of.
my $typo = '{"propertys": {"geo": true}, "properties": {"geo": {"nullable": true, "x-of": "us"}}}';
my $warned = qq{ctms: WARNING:  unknown keyword "propertys" at /; did you mean "properties"?\n}
    . qq{ctms: WARNING:  unknown keyword "nullable" at /properties/geo does nothing\n};
($rc, $out, $err) = waitlists('add', 'typo', $typo, '--dry-run');
is("$rc $out$err", "0 typo: schema would be created\n$warned", 'a dry run warns');
($rc, $out, $err) = waitlists('add', 'typo', $typo);
is("$rc $out$err", "0 typo: schema created\n$warned", 'so does the run');
is_deeply($json->decode((waitlists('add', 'typo', $typo, '--json', '--dry-run'))[1])->{warnings},
    [ { keyword => 'propertys', keywordLocation => '/propertys', suggestion => 'properties',
            warning => 'unknown keyword "propertys" at /; did you mean "properties"?' },
        { keyword => 'nullable', keywordLocation => '/properties/geo/nullable',
            warning => 'unknown keyword "nullable" at /properties/geo does nothing' } ],
    'as JSON');
is((waitlists('remove', 'typo', '--yes'))[0], 0, 'removed');
# Who would wait for a transaction that is left open lets other writers pass. Limits are kept.
$session->query_safe('BEGIN; ' . insert(3, 'beta', '{"geo": "fr"}'));
for my $command ([ 'add', 'beta', '{}' ], [qw(remove beta --yes)])
{
    ($rc, $out, $err) = waitlists(@$command);
    is($rc, 1, "$command->[0] behind an open transaction");
    like($err, qr/^ctms: .*lock timeout \(55P03\)\n  hint: Another transaction .* Try again, /,
        'told');
}
is($ctms->sql_error("SET lock_timeout = '1ms'; SELECT ctms.drop_waitlist_schema('beta')")->{state},
    '55P03', 'a shorter limit');
$session->query_safe('ROLLBACK');
is($ctms->sql(q{BEGIN; SET lock_timeout = '1h'; SELECT ctms.drop_waitlist_schema('beta');
    SHOW lock_timeout; ROLLBACK}), "t\n1h", 'a limit is kept');
is((waitlists('add', 'typo', '{"properties": {"mail": {"format": "email"}}}', '--dry-run'))[2],
    qq{ctms: WARNING:  "format" at /properties/mail is not checked\n}, 'nor is a format checked');
is((waitlists('add', 'beta', "\@$file.not"))[0], 1, 'no such file');
is((waitlists('add', 'beta', '@-'))[0], 1, 'an empty standard input');

# ---- refusals -------------------------------------------------------------------

($rc, $out, $err) = waitlists('add', 'beta', '{"properties": {"geo": {"type": "strnig"}}}');
is($rc, 1, 'not JSON Schema');
like($err, qr/^ctms: .*beta.*22023.*\n  at \/properties\/geo\/type: /, 'with the place');
# jsonb would keep the last of them.
($rc, $out, $err) = waitlists('add', 'beta', qq({"properties": {"geo": {}},\n)
    . '"properties": {"platform": {}}}');
is("$rc $err", "1 ctms: the schema has a member twice: line 2, duplicate object key near "
    . qq('"properties"'\n), 'members that would be dropped');
($rc, $out, $err) = waitlists('add', 'beta', '{"a": {"b": {"type": "null", "\u0074ype": 1}}}');
is($rc, 1, 'at any place, however they are written');
($rc, $out, $err) = waitlists('add', 'beta', '{"type": ');
is($rc, 1, 'not JSON');
like($err, qr/^ctms: the schema is not JSON: line 1, column 9: /, 'said so');
is((waitlists('add', 'beta', '[]'))[0], 1, 'a list');
is((waitlists('add', 'beta', ''))[0], 1, 'nothing');
is((waitlists('add', '', '{}'))[0], 1, 'no name');
is((waitlists('add', 'x' x 256, '{}'))[0], 1, 'a long name');
is((waitlists('add', 'beta'))[0], 2, 'no schema');

$session->query_safe(insert($_, 'late', '{"geo": "abc"}')) for 1 .. 3;
($rc, $out, $err) = waitlists('add', 'late', $schema);
is($rc, 1, 'stored rows do not satisfy it');
my $reasons = join '', map { qq(  w$_\@example.com: field "geo" must have at most 2 characters, )
        . qq(is "abc"\n) } 1 .. 3;
is($err, qq{ctms: schema of waitlist "late" is not satisfied by 3 stored rows (23514)\n}
    . "$reasons  hint: --new-rows-only stores it anyway.\n", 'which, and why');
($rc, $out, $err) = waitlists('add', 'late', $schema, '--json');
like($err, qr/^  contact 00000000-0000-4000-8000-000000000001 on "late":\n    at \/geo: /m,
    'with --json by ids');
unlike($err, qr/@|abc/, 'without addresses and values');
($rc, $out) = waitlists('add', 'late', $schema, '--dry-run');
is($rc, 0, 'dry run');
is($out, "late: schema would be created; 3 stored rows do not satisfy it:\n$reasons",
    'reports them');
is_deeply([ map { $_->{email_id} =~ s/.*-0+//r } @{ $json->decode((waitlists('add', 'late', $schema,
    qw(--dry-run --json)))[1])->{examples} } ], [ 1 .. 3 ], 'as JSON');
($rc, $out) = waitlists('add', 'late', $schema, '--new-rows-only');
is($rc, 0, 'for new rows only');
like($out, qr/^late: schema created; 3 stored rows/, 'stored');
is($ctms->sql_error("UPDATE ctms.waitlists SET fields = '{\"geo\": \"xyz\"}'
    WHERE name = 'late'")->{state}, 'CT001', 'and in force');

# ---- remove ---------------------------------------------------------------------

is((waitlists('remove', 'late'))[0], 6, 'it asks');
($rc, $out) = waitlists('remove', 'late', '--yes');
is("$rc $out", "0 removed\n", 'removed');
is((waitlists('remove', 'late', '--yes'))[0], 4, 'once');
like((waitlists('remove', 'bets', '--yes'))[2], qr/no schema named "bets"; did you mean "beta"\?$/m,
    'a mistyped name');
is($ctms->sql("SELECT count(*) FROM ctms.waitlists WHERE name = 'late'"), 3, 'its rows stay');
($rc, $out, $err) = waitlists('remove', 'default');
like($err, qr/waitlists of unknown names are refused/, 'a warning about default');
is((waitlists('remove', 'default', '-y', '--json'))[1], qq({"removed": true}\n), 'as JSON');
isnt($ctms->sql_error(insert(1, 'unknown', '{}'))->{state}, undef,
    'an unknown name is refused then');
$session->quit;

# ---- JSON that is wrong, or that our own parser cannot take -----------------------

for my $case ([ '{"type": "object",' . "\n}", qr/not JSON: line 2, column 1: / ],
    [ '{} {}', qr/not JSON: line 1, column 4: / ], [ '', qr/not JSON: line 1, column 0: / ])
{
    ($rc, $out, $err) = waitlists('add', 'wrong', $case->[0]);
    is("$rc $out", '1 ', 'wrong JSON');
    like($err, $case->[1], 'says where');
}
is((waitlists('add', 'huge', '{"maximum": 1e400}'))[0], 0, 'a huge number');
($rc, $out, $err) = waitlists('add', 'huge', '{"maximum": 12345678901234567890123}');
is($rc, 0, 'another') or diag $err;
like($out, qr/"action": *"updated"/, 'is not taken for unchanged');
done_testing();
