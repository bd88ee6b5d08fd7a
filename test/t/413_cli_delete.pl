# ctms delete: asks first, deletes everything, says what was connected.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test;
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
done_testing();
