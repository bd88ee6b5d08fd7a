# ctms acoustic dump: CSV as Acoustic would get it.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(slurp);
use Test::More;

my $ctms = CTMS::Test->new('cli_dump');
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
sub dump_rows
{
    my (@args) = @_;
    return $ctms->cli('acoustic', 'dump', @args, '--db-url', $ctms->db_url . '&user=operator');
}

my $id = '00000000-0000-4000-8000-00000000000';
$ctms->sql(qq{
    SELECT ctms.create_contact('{"email": {"email_id": "${id}1",
        "primary_email": "one\@example.com", "first_name": "a, \\"b\\""},
        "newsletters": [{"name": "hubs"}, {"name": "app-dev", "subscribed": false}],
        "waitlists": [{"name": "vpn", "fields": {"geo": "fr"}}]}');
    SELECT
        ctms.create_contact('{"email": {"email_id": "${id}2", "primary_email": "two\@example.com"},
        "amo": {"username": "two"}}')});

my ($rc, $out, $err) = dump_rows();
is($rc, 0, 'main') or diag $err;
my ($heading, @rows) = split /\n/, $out;
is(scalar @rows, 2, 'a row for each contact');
my @names = split /,/, $heading;
my %place = map { $names[$_] => $_ } 0 .. $#names;
ok(exists $place{$_}, "column $_") for qw(email email_id amo_username sub_hubs vpn_waitlist_geo);
like($rows[0], qr/one\@example\.com/, 'ordered by email_id');
like($rows[0], qr/"a, ""b"""/, 'quoted');
my @two = split /,/, $rows[1], -1;
is(scalar @two, scalar @names, 'as many fields as names');
is($two[ $place{amo_username} ], 'two', 'a field in its column');
is($two[ $place{sub_hubs} ], '0', 'a newsletter flag');
my @one = split /,/, $rows[0] =~ s/"a, ""b"""/x/r, -1;
is($one[ $place{amo_username} ], '', 'a group that a contact does not have is empty');
is($one[ $place{vpn_waitlist_geo} ], 'fr', 'a waitlist field');

($rc, $out) = dump_rows('--table', 'newsletter', '-q',
    "SELECT email_id FROM ctms.emails WHERE primary_email LIKE 'one%'");
is($rc, 0, 'newsletter');
like($out, qr/^email_id,newsletter_name,.*\n(?:\S*hubs\S*.*|\S*app-dev.*)\n.*\n\z/,
    'a heading and two rows');

my $file = "$ENV{TESTDIR}/dump.csv";
($rc, $out) = dump_rows('-o', $file);
is("$rc $out", "0 2 rows of 2 contacts\n", 'to a file');
like(slurp($file), qr/^\Q$heading\E\n/, 'with the same content');
is(sprintf('%o', (stat $file)[2] & 0777), '600', 'which is private');
is((dump_rows('-o', "$ENV{TESTDIR}/no/such/folder"))[0], 1, 'not writable');
is((dump_rows('-t', 'emails'))[0], 2, 'an unknown table');
is((dump_rows('-q', 'SELECT 1 AS x'))[0], 2, 'no email_id');
is((dump_rows('-q', 'SELECT 1 AS email_id'))[0], 1, 'not a uuid');
is((dump_rows('-q', 'SELECT NULL::uuid AS email_id'))[0], 0, 'a null');
is((dump_rows('-q', 'nonsense'))[0], 1, 'not SQL');
is((dump_rows('-q', 'DELETE FROM ctms.emails RETURNING email_id'))[0], 1, 'not a SELECT');
is((dump_rows('-q', 'SELECT email_id FROM ctms.emails; DELETE FROM ctms.emails'))[0], 1,
    'two statements');
is((dump_rows('-q', "WITH d AS (DELETE FROM ctms.emails RETURNING email_id) SELECT * FROM d"))[0],
    1, 'a writing SELECT');
is((dump_rows('-q', 'SELECT email_id, ctms.enqueue_contacts(ARRAY[email_id]) FROM ctms.emails'))[0],
    1, 'a writing function');
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 2, 'nothing was changed');

# More than one fetch.
$ctms->sql("INSERT INTO ctms.emails (primary_email) SELECT 'many' || n || '\@example.com'
    FROM generate_series(1, 1200) n");
($rc, $out) = dump_rows();
is(scalar(() = $out =~ /^.*many\d/mg), 1200, 'many contacts');
done_testing();
