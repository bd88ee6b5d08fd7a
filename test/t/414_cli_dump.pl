# ctms acoustic dump: CSV as Acoustic would get it.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use PostgreSQL::Test::Utils;
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
is((dump_rows('-o', '-'))[1], $out, '"-" is standard output');
ok(!-e '-', '... and no file');
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

# ---- the file -------------------------------------------------------------------------------

sub parts { my @parts = glob "$ENV{TESTDIR}/*.part"; return @parts }
sub link_count { return (stat $_[0])[3] }

# One that is there keeps neither its mode nor its content for others.
chmod 0644, $file;
link $file, "$file.other" or die "link: $!";
open my $reader, '<', $file or die "$file: $!";
is((dump_rows('-o', $file))[0], 0, 'a file that others may read');
is(sprintf('%o', (stat $file)[2] & 0777), '600', 'is replaced by a private one');
is(link_count("$file.other"), 1, 'under its name only');
is((stat $reader)[3], 1, 'so that who has it open sees nothing new');
close $reader;

my $target = "$ENV{TESTDIR}/dump_target";
for my $case ([ 'a file', sub { append_to_file($target, 'keep') } ], [ 'nothing', sub { } ])
{
    my ($name, $make) = @$case;
    unlink "$file.link", $target;
    $make->();
    symlink $target, "$file.link" or die "symlink: $!";
    ($rc, $out, $err) = dump_rows('-o', "$file.link");
    is($rc, 1, "a symbolic link to $name is refused");
    is($err, qq{ctms: could not write "$file.link": it is a symbolic link\n}, 'with the reason');
    is(-e $target ? slurp($target) : '', $name eq 'nothing' ? '' : 'keep', 'and not followed');
    ok(-l "$file.link", 'and left alone');
}
($rc, $out, $err) = dump_rows('-o', $ENV{TESTDIR});
like($err, qr/it is not a regular file/, 'so is a folder');
unlink "$file.link", $target, "$file.other";

# What is not complete does not get the name.
my $before = slurp($file);
my $fails = q{SELECT CASE WHEN n > 1500 THEN (1 / (1500 - n) + n / 0)::text::uuid
    ELSE gen_random_uuid() END AS email_id FROM generate_series(1, 1502) n};
($rc, $out, $err) = dump_rows('-q', $fails, '-o', $file);
is($rc, 1, 'a query that fails late');
is(slurp($file), $before, 'leaves the file as it was');
is((dump_rows('-q', $fails, '-o', "$file.new"))[0], 1, 'a new file');
ok(!-e "$file.new", 'is not made');
my @command = ("$ENV{CTMS_TEST_BIN}/ctms", 'acoustic', 'dump', '-o', $file,
    '--db-url', $ctms->db_url . '&user=operator');
IPC::Run::run([ 'sh', '-c', 'trap "" XFSZ; ulimit -f 0; exec "$@"', 'sh', @command ],
    '>', \$out, '2>', \$err);
like($err, qr/^ctms: could not write "\Q$file\E": File too large\n\z/,
    'a file system that is full');
is(slurp($file), $before, 'leaves the file as it was');
for my $signal (qw(INT TERM HUP))
{
    my $slow = 'SELECT email_id FROM ctms.emails WHERE pg_sleep(60) IS NOT NULL';
    my $dump = IPC::Run::start([ @command, '-q', $slow ], '>', \$out, '2>', \$err);
    poll_until(sub { parts() }, "$signal: a part is being written");
    poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'operator' AND wait_event = 'PgSleep'") }, 'rows are waited for');
    $dump->signal($signal);
    $dump->finish;
    isnt(($dump->full_results)[0], 0, "$signal ends it");
    is(slurp($file), $before, 'the file is as it was');
    $ctms->sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE usename = 'operator'");
}
is(join(' ', parts()), '', 'no part is left');

# ---- formulas -------------------------------------------------------------------------------

my $formula = q{=cmd|' /C calc'!A0};
$ctms->sql("UPDATE ctms.emails SET first_name = '\@ORDER', last_name = \$\$$formula\$\$,
    unsubscribe_reason = '''+1', mailing_country = 'us' WHERE primary_email LIKE 'two%'");
my @only_two = ('-q', "SELECT email_id FROM ctms.emails WHERE primary_email LIKE 'two%'");
($rc, $out) = dump_rows(@only_two);
my @cells = split /,/, (split /\n/, $out)[1], -1;
is($cells[ $place{first_name} ], q{"'@ORDER"}, 'a formula gets an apostrophe and quotes');
is($cells[ $place{last_name} ], qq{"'$formula"}, 'whatever begins it');
is($cells[ $place{mailing_country} ], 'us', 'other values do not');
my $unsafe = grep { /^"?[-=+@\t\r\n]/ } @cells;
is($unsafe, 0, 'no cell is a formula');
($rc, $out) = dump_rows(@only_two, '--raw');
@cells = split /,/, (split /\n/, $out)[1], -1;
is($cells[ $place{first_name} ], '@ORDER', '--raw: as Acoustic gets it');
is($cells[ $place{last_name} ], $formula, 'all of them');
is((dump_rows('-t', 'emails'))[0], 2, 'an unknown table');
is((dump_rows('--json'))[0], 2, 'JSON is refused');
is((dump_rows('-q', 'SELECT 1 AS x'))[0], 2, 'no email_id');
is((dump_rows('-q', 'SELECT 1 AS email_id'))[0], 2, 'not a uuid');
is((dump_rows('-q', 'SELECT NULL::uuid AS email_id'))[0], 0, 'a null');
is((dump_rows('-q', 'nonsense'))[0], 1, 'not SQL');
is((dump_rows('-q', 'DELETE FROM ctms.emails RETURNING email_id'))[0], 2, 'not a SELECT');
is((dump_rows('-q', 'SELECT email_id FROM ctms.emails; DELETE FROM ctms.emails'))[0], 1,
    'two statements');
is((dump_rows('-q', "WITH d AS (DELETE FROM ctms.emails RETURNING email_id) SELECT * FROM d"))[0],
    2, 'a writing SELECT');
is((dump_rows('-q', 'SELECT email_id, ctms.enqueue_contacts(ARRAY[email_id]) FROM ctms.emails'))[0],
    1, 'a writing function');
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 2, 'nothing was changed');

# More than one fetch.
$ctms->sql("INSERT INTO ctms.emails (primary_email) SELECT 'many' || n || '\@example.com'
    FROM generate_series(1, 1200) n");
($rc, $out) = dump_rows();
is(scalar(() = $out =~ /^.*many\d/mg), 1200, 'many contacts');
done_testing();
