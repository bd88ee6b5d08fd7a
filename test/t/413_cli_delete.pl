# ctms delete: asks first, deletes everything, says what was connected.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(poll_until slurp);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli_delete');
my $json = JSON::PP->new->utf8;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
my $admin = $ctms->db_url . '&user=operator';
sub delete_contacts { my (@args) = @_; return $ctms->cli('delete', @args, '--db-url', $admin) }

for my $name (qw(one two three four))
{
    $ctms->sql(qq{SELECT ctms.create_contact('{"email": {"primary_email": "$name\@example.com",
        "sfdc_id": "sf-$name"},
        "fxa": {"fxa_id": "fxa-$name"}, "newsletters": [{"name": "hubs"}],
            "waitlists": [{"name": "vpn"}]}')});
}
sub contacts
{
    return $ctms->sql("SELECT coalesce(string_agg(primary_email, ' ' ORDER BY primary_email), '')
        FROM ctms.emails");
}

my ($rc, $out, $err) = delete_contacts(qw(--email one@example.com));
is($rc, 6, 'it asks');
like($err, qr/--yes; nothing was done$/m, 'and says so');
is((delete_contacts('--yes'))[0], 2, 'neither an address nor a file');
is((delete_contacts(qw(--yes --email one@example.com --email-file x)))[0], 2, 'both');
is((delete_contacts(qw(--email-file -)))[0], 2, 'standard input cannot answer');
is(contacts(), join(' ', map { "$_\@example.com" } sort qw(one two three four)), 'all are there');

my $id = $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email = 'one\@example.com'");
($rc, $out, $err) = delete_contacts(qw(-y --email ONE@Example.com));
is($rc, 0, 'deleted') or diag $err;
is($out, "ONE\@Example.com: deleted contact $id connected to sfdc_id, fxa_id\n",
    'and what was connected');
for my $table (qw(emails newsletters waitlists fxa pending_acoustic))
{
    is($ctms->sql("SELECT count(*) FROM ctms.$table WHERE email_id = '$id'"), 0,
        "nothing in $table");
}
($rc, $out) = delete_contacts(qw(-y --email one@example.com));
is("$rc $out", "4 one\@example.com: not found\n", 'an unknown address');

my $file = "$ENV{TESTDIR}/addresses";
append_to_file($file, "two\@example.com\n\n# comment\nnobody\@example.com\r\n three\@example.com");
($rc, $out) = delete_contacts('--yes', '--email-file', $file);
is($rc, 4, 'a file with an unknown address');
my $first = qr/^two\@example.com: deleted.*^nobody\@example.com: not found\n/ms;
my $rest = qr/^three\@example.com: deleted.*^2 deleted, 1 not found, 0 failed$/ms;
like($out, qr/$first.*$rest/s, 'the others are deleted');
is(contacts(), 'four@example.com', 'really');
($rc, $out) = delete_contacts(qw(--yes --json --email four@example.com));
is($rc, 0, 'as JSON');
my $answer = $json->decode($out);
is($answer->{email}, 'four@example.com', 'the address');
is($answer->{deleted}[0]{fxa_id}, 'fxa-four', 'the identity');
is_deeply($json->decode((delete_contacts(qw(--yes --json --email four@example.com)))[1])->{deleted},
    [], 'nothing');
is((delete_contacts('--yes', '--email-file', "$file.not"))[0], 1, 'no such file');
is((delete_contacts('--yes', '--email', ''))[0], 4, 'an empty address');
is((delete_contacts('--yes', '--email', "'; DROP TABLE ctms.emails; --"))[0], 4, 'an odd address');
is((delete_contacts('--yes', '--email', "\xff"))[0], 1, 'not UTF-8');
# ---- files as people have them -----------------------------------------------------------

sub make_contacts
{
    $ctms->sql(qq{SELECT ctms.create_contact('{"email": {"primary_email": $_}}')}) for
        map { $json->allow_nonref->encode($_) } @_;
    return;
}
my @all = ('a@example.com', 'b@example.com', '"c d"@example.com');
my %good = (
    'CR alone' => "a\@example.com\r\"c d\"\@example.com\rb\@example.com",
    'a byte order mark' => "\xef\xbb\xbfa\@example.com\r\n\r\n\"c d\"\@example.com\r\n"
        . "b\@example.com\r\n",
    'quotes, blanks, separators' =>
        "\"a\@example.com\",,\n \"b\@example.com\" ;\n\t\"\"\"c d\"\"\@example.com\"\n#\@x\n",
    'CSV' => "sep=;\nName; Email \n\"A;\nx\";a\@example.com\n;;\nB;b\@example.com\n"
        . "C;\"\"\"c d\"\"\@example.com\"",
    'one column' =>
        "primary_email\na\@example.com\nb\@example.com\n\"\"\"c d\"\"\@example.com\"\n");
for my $name (sort keys %good)
{
    make_contacts(@all);
    append_to_file("$file.$name", $good{$name});
    ($rc, $out, $err) = delete_contacts('--yes', '--email-file', "$file.$name");
    is($rc . contacts(), '0', "addresses: $name") or diag "$out$err";
    like($out, qr/^3 deleted, 0 not found, 0 failed$/m, 'each once');
}

make_contacts(@all);
my $bad = join "\n", 'a@example.com', '', 'example.com',
    'b@example.com, "c d"@example.com', "J\xfc\@example.com", 'a@example.com b@example.com',
    'x' x 250 . '@x.com', "a\0\@example.com", "b\@example.com\n";
append_to_file("$file.bad", $bad);
($rc, $out, $err) = delete_contacts('--yes', '--email-file', "$file.bad");
is("$rc $out", '1 ', 'lines that hold no address');
is($err, join('', map { "ctms: $file.bad, line $_\n" } '3: has no address: it lacks an @',
        '4: has more than an address', '5: has bytes that are not UTF-8',
        '6: has more than an address', '7: has more than 255 characters',
        '8: has a zero byte; is the file UTF-16?')
    . "ctms: bad lines: 6; --max-errors allows 0; nothing was done\n", 'are named');
is(contacts(), join(' ', sort @all), 'and nothing is deleted');
($rc, $out, $err) = delete_contacts('--yes', '--email-file', "$file.bad", '--max-errors', 6);
is($rc, 7, 'unless that is allowed');
like($out, qr/^2 deleted, 0 not found, 0 failed$/m, 'the others are deleted');
is(contacts(), '"c d"@example.com', 'and only those');
append_to_file("$file.header", "name,e-mail\nA,a\@example.com\n");
is((delete_contacts('--yes', '--email-file', "$file.header"))[0], 1, 'other names of columns');
append_to_file("$file.csv", "email,name\nx\@example.com,X,Y\n,Z\n");
like((delete_contacts('--yes', '--email-file', "$file.csv"))[2],
    qr/line 2: has more or fewer cells than the first line\n.*line 3: has no address\n/, 'in CSV');
append_to_file("$file.many", "bad\n" x 30);
like((delete_contacts('--yes', '--email-file', "$file.many"))[2],
    qr/line 20: .*\nctms: and 10 more\nctms: bad lines: 30/, 'many bad lines');
append_to_file("$file.open", "email\n\"x\@example.com\n");
like((delete_contacts('--yes', '--email-file', "$file.open"))[2],
    qr/"\S+open": the quote that opens in line 2 is not closed$/m, 'an open quote');
append_to_file("$file.wide", 'x' x 300_000 . ",w\@example.com\ny,w\@example.com\n");
make_contacts('w@example.com');
like((delete_contacts('--yes', '--email-file', "$file.wide", '--max-errors', 9))[2],
    qr/"\S+wide": the first line is too long$/m, 'a first line of which nobody knows what it is');
is((delete_contacts('--yes', '--email', 'w@example.com'))[0], 0, 'nobody is deleted');
is((delete_contacts('--yes', '--email-file', $ENV{TESTDIR}))[0], 1, 'a folder');

make_contacts('a@example.com', 'b@example.com');
append_to_file("$file.two", "email,primary_email\na\@example.com,b\@example.com\n");
($rc, $out, $err) = delete_contacts('--yes', '--email-file', "$file.two");
is("$rc $out", '1 ', 'two columns of addresses');
like($err, qr/two", line 1: has 2 columns of addresses: leave the one that counts$/m, 'say so');
append_to_file("$file.again", "a\@example.com\nA\@Example.com\na\@example.com\n");
($rc, $out, $err) = delete_contacts('--yes', '--email-file', "$file.again");
is($rc, 0, 'an address that is there twice') or diag $out;
like($out, qr/^A\@Example.com: was deleted before\n.*^1 deleted, 0 not found, 0 failed$/ms,
    'is not unknown');

# ---- what cannot be written, and Ctrl-C -------------------------------------------------

make_contacts('a@example.com', 'c@example.com');
append_to_file("$file.full", "a\@example.com\nb\@example.com\nc\@example.com\n");
my $program = "$ENV{CTMS_TEST_BIN}/ctms";
$err = `'$program' delete --yes --email-file '$file.full' --db-url '$admin' 2>&1 >/dev/full`;
is($? >> 8, 1, 'nobody gets the ids');
is($err, "ctms: could not write the output: No space left on device\nctms: stopped: 1 contacts "
    . "were deleted, and those of the other addresses were not\n", 'says so');
like(contacts(), qr/^"c d"\@example.com b\@example.com c\@example.com$/, 'and deletes no more');

append_to_file("$file.long", join '', map { "u$_\@example.com\n" } 1 .. 50000);
my $run = IPC::Run::start([ $program, 'delete', '--yes', '--email-file', "$file.long", '--db-url',
    $admin ], '>', "$file.out", '2>', "$file.err");
poll_until(sub { -s "$file.out" }, 'it is at work');
$run->signal('INT');
$run->finish;
ok(($run->full_results)[0] != 0, 'Ctrl-C between short statements');
cmp_ok(scalar(() = slurp("$file.out") =~ /\n/g), '<', 50000, 'ends it');
is((delete_contacts('--yes', '--email-file', $file, '--max-errors', 'x'))[0], 2, 'not a number');
done_testing();
