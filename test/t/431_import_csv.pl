# ctms import csv: files named after tables, files named as the sample data; ctms import mofo.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(slurp);
use File::Basename qw(basename);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('import_csv');
my $json = JSON::PP->new->utf8;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
my $admin = $ctms->db_url . '&user=operator';
my $left_out = "$ENV{TESTDIR}/csv_left_out.jsonl";
my $folders = 0;

sub folder
{
    my (%files) = @_;
    my $folder = "$ENV{TESTDIR}/csv" . ++$folders;
    mkdir $folder or die "mkdir $folder: $!";
    append_to_file("$folder/$_", $files{$_}) for keys %files;
    return $folder;
}
sub import_csv
{
    my ($folder, @options) = @_;
    return $ctms->cli('import', 'csv', $folder, '--left-out', $left_out,
        '--db-url', $admin, @options);
}
sub id { return "00000000-0000-4000-8000-00000000000$_[0]" }

# ---- files named after the tables ------------------------------------------------------

my $emails =
"\xef\xbb\xbfemail_id,primary_email,first_name,double_opt_in,create_timestamp,update_timestamp\r\n"
    . id(1) . qq{,one\@example.com,"O ""the, first""\nof them",1,}
    . "2020-01-01T00:00:00.000Z,2020-02-01T00:00:00Z\r\n"
    . id(2) . qq{,two\@example.com,"",false,,2020-02-02T00:00:00Z\r\n};
my $folder = folder('emails.csv' => $emails,
    'newsletters.csv' => "name,email_id,subscribed\nhubs," . id(1)
    . ",true\n\"app-dev\"," . id(2) . ",\n",
    'waitlists.csv' => "email_id,name,fields\n" . id(1) . qq{,vpn,"{""geo"": ""fr""}"\n},
    'amo.csv' => "email_id,user,user_id\n" . id(2) . ",0,55\n",
    'stripe_customer.csv' => "stripe_id,fxa_id,stripe_created\ncus_1,fxa1,2020-01-01Z\n",
    'notes.txt' => 'not ours');
my ($rc, $out, $err) = import_csv($folder, '--dry-run', '--json');
is($json->decode($out)->{tables}{emails}{created}, 2, 'dry run');
($rc, $out, $err) = import_csv($folder);
is($rc, 0, 'files of tables') or diag $err;
is($ctms->sql('SELECT primary_email, first_name, double_opt_in,
    create_timestamp AT TIME ZONE \'UTC\' FROM ctms.emails ORDER BY 1'),
    qq{one\@example.com|O "the, first"\nof them|t|2020-01-01 00:00:00\n}
    . 'two@example.com||f|2020-02-02 00:00:00', 'contacts');
is($ctms->sql("SELECT count(*) FROM ctms.emails WHERE first_name IS NULL"), 1,
    'an empty field is NULL');
is($ctms->sql("SELECT name, subscribed, update_timestamp = (SELECT update_timestamp
    FROM ctms.emails e WHERE e.email_id = n.email_id) FROM ctms.newsletters n ORDER BY 1"),
    "app-dev||t\nhubs|t|t", 'newsletters, with the times of their contacts');
is($ctms->sql('SELECT name, subscribed, fields FROM ctms.waitlists'), 'vpn|t|{"geo": "fr"}',
    'waitlists, with their defaults');
is($ctms->sql('SELECT "user", user_id FROM ctms.amo')
    . $ctms->sql('SELECT deleted FROM ctms.stripe_customer'), 'f|55f', 'others');
is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic'), 0, 'nothing is enqueued');
is((import_csv($folder, '--enqueue'))[0], 0, 'again, enqueued');
is($ctms->sql('SELECT count(*) FROM ctms.pending_acoustic')
    . $ctms->sql('SELECT count(*) FROM ctms.newsletters'), '22', 'unless asked');

# ---- files as the sample data has them ----------------------------------------------------

$ctms->sql('DELETE FROM ctms.' . $_) for qw(newsletters waitlists amo stripe_customer emails);
my @id = map { id($_) } 0 .. 5;
$folder = folder(
    'SAMPLE_contact_to_email-1.csv' => 'primary_email,basket_token,email_id,email_lang,'
        . "double_opt_in,has_opted_out_of_email,create_timestamp,update_timestamp\n"
        . "one\@example.com,t1,$id[1],Other,1,0,"
        . "2019-08-06T16:30:08.000Z,2020-03-19T20:03:58.000Z\n",
    'SAMPLE_contact_to_email-2.csv' => "primary_email,email_id,update_timestamp\n"
        . "ONE\@example.com,$id[2],2020-03-20Z\nthree\@example.com,$id[3],2020-01-01Z\n",
    'SAMPLE_contact_to_amo.csv' =>
        "email_id,amo_add_on_ids,amo_email_opt_in,amo_last_login,amo_user,amo_user_id\n"
        . "$id[1],\"\",0,\"\",true,7\n",
    'SAMPLE_contact_to_fxa.csv' =>
        "email_id,fxa_id,fxa_account_deleted,fxa_created_date,fxa_primary_email\n"
        . "$id[3],f3,0,2019-05-28,\"\"\n",
    'SAMPLE_contact_to_newsletter.csv' => 'email_id,newsletter_name,subscribed,newsletter_format,'
        . "newsletter_lang,newsletter_unsub_reason\n"
        . "$id[1],test-pilot,true,H,Other,\"\"\n$id[2],test-pilot,false,T,en,no\n"
        . "$id[3],relay-x-waitlist,true,H,en,\n",
    'SAMPLE_contact_to_vpn_waitlist.csv' =>
    "email_id,vpn_waitlist_geo,vpn_waitlist_platform\n$id[1],\"\",ios\n",
    'SAMPLE_contact_to_relay_waitlist.csv' => "email_id,relay_waitlist_geo\n$id[3],de\n",
    'SAMPLE_contact_to_waitlist.csv' =>
    "email_id,waitlist_name,waitlist_geo,waitlist_source\n$id[3],vpn,es,\"\"\n");
($rc, $out, $err) = import_csv($folder);
is($rc, 0, 'sample data') or diag $err;
is($ctms->sql('SELECT email_id, primary_email, basket_token FROM ctms.emails ORDER BY 1'),
    "$id[2]|ONE\@example.com|t1\n$id[3]|three\@example.com|",
    'of two with one address the newer stays');
is($ctms->sql('SELECT email_id, name, subscribed, fields FROM ctms.waitlists ORDER BY 1, 2'),
    qq($id[2]|vpn|t|{"geo": null, "platform": "ios"}\n)
    . qq($id[3]|relay-x|t|{"geo": "de"}\n$id[3]|vpn|t|{"geo": "es"}), 'waitlists of three kinds');
is($ctms->sql('SELECT email_id, name, subscribed FROM ctms.newsletters ORDER BY 1, 2'),
    "$id[2]|test-pilot|f\n$id[3]|relay-x-waitlist|t", 'its newsletter, too');
is($ctms->sql('SELECT email_id, user_id, "user", email_opt_in FROM ctms.amo'),
    "$id[2]|7|t|f", 'and what it lacked');
is(scalar(my @lines = split /\n/, slurp($left_out)), 2, 'what was left out is saved');

# ---- refused ------------------------------------------------------------------------------------

for my $case ([ 'no such folder', undef, qr/could not open/ ],
    [ 'no emails', { 'newsletters.csv' => "name,email_id\n" },
        qr/has no file emails\.csv.*\n  it has "newsletters/ ],
    [ 'an unknown column', { 'emails.csv' => "email_id,primary_email,age\n" },
        qr/line 1: column "age" is not one of the columns of table "emails"/ ],
    [ 'an empty file', { 'emails.csv' => '' }, qr/does not begin with names/ ],
    [ 'a bad row', { 'emails.csv' =>
        "email_id,primary_email\n$id[4],four\@example.com\nsecret-value,five\@example.com\n" },
        qr/emails\.csv", line 3: column "email_id" is not a valid uuid \(22P02\)$/m ],
    [ 'a row too short', { 'emails.csv' =>
        "email_id,primary_email\n$id[4],four\@example.com\n$id[5]\n" },
        qr/emails\.csv", line 3: has 1 cell instead of 2$/m ])
{
    my ($name, $files, $like) = @$case;
    ($rc, $out, $err) = import_csv($files ? folder(%$files) : "$ENV{TESTDIR}/none");
    is($rc, 1, "refused: $name");
    like($err, $like, 'with a reason');
    unlike($err, qr/secret-value/, 'without values');
}
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 2, 'nothing of it is stored');

# ---- ids of the foundation -----------------------------------------------------------------------

my $invalid = "$ENV{TESTDIR}/invalid-emails.csv";
sub mofo
{
    my ($content, @options) = @_;
    unlink $invalid;
    my $dir = folder('mofo_ids.csv' => $content);
    return $ctms->cli('import', 'mofo', "$dir/mofo_ids.csv", '--invalid', $invalid,
        '--db-url', $admin, @options);
}
sub stored
{
    return $ctms->sql('SELECT email_id, mofo_email_id, mofo_contact_id, mofo_relevant
        FROM ctms.mofo ORDER BY 1');
}

$ctms->sql('DELETE FROM ctms.pending_acoustic');
my $ids = "primary_email,mofo_email_id,mofo_contact_id\n"
    . "one\@EXAMPLE.com,m1,c1\nthree\@example.com,m3,\n";
($rc, $out, $err) = mofo($ids, '--dry-run');
is($rc . stored(), '0', 'mofo, dry run') or diag $err;
($rc, $out, $err) = mofo($ids);
is($rc, 0, 'mofo') or diag $err;
is($out, "2 contacts known, 2 changed, 0 rows refused, 0 rows with unknown addresses\n",
    'reported');
is(stored(), "$id[2]|m1|c1|t\n$id[3]|m3||t", 'stored, whatever the case of the address');
ok(!-e $invalid, 'no file without unknown addresses');
is($ctms->sql('SELECT count(*), bool_and(is_bulk) FROM ctms.pending_acoustic'), '2|t',
    'their contacts have changed; they wait in the bulk lane');
($rc, $out) = mofo("mofo_contact_id,primary_email,mofo_email_id\n,one\@example.com,\n"
    . qq(,"nobody, ""else""",m9\nc3,three\@example.com,m3\nc3,three\@example.com,m33\n), '--json');
is($rc, 4, 'an unknown address');
is_deeply($json->decode($out), { contacts => 2, changed => 1, unknown => 1, refused => 0 },
    'reported');
is(stored(), "$id[2]|m1|c1|t\n$id[3]|m33|c3|t", 'what is empty stays, the last row counts');
is(slurp($invalid), qq{primary_email,mofo_email_id,mofo_contact_id\n"nobody, ""else""",m9,\n},
    'the unknown one is written to a file');
is((stat $invalid)[2] & 0777, 0600, 'readable by its owner only');
# Values that a spreadsheet would take for formulas, and the way back.
my $formulas = qq{primary_email,mofo_email_id,mofo_contact_id\n+new\@example.com,=1+1,\@c\n}
    . qq{'o\@example.com,'-1,x\n};
($rc, $out, $err) = mofo($formulas);
is($rc, 4, 'addresses that look like formulas') or diag $err;
my $safe = qq{primary_email,mofo_email_id,mofo_contact_id\n'+new\@example.com,'=1+1,'\@c\n}
    . qq{'o\@example.com,'-1,x\n};
is(slurp($invalid), $safe, 'get an apostrophe in the file of unknown ones');
$ctms->sql("INSERT INTO ctms.emails (email_id, primary_email)
    VALUES ('$id[4]', '+new\@example.com')");
($rc, $out, $err) = mofo($safe);
is(slurp($invalid), qq{primary_email,mofo_email_id,mofo_contact_id\n'o\@example.com,'-1,x\n},
    'which is not read as part of them') or diag $err;
is($ctms->sql("SELECT mofo_email_id, mofo_contact_id FROM ctms.mofo WHERE email_id = '$id[4]'"),
    '=1+1|@c', 'so that the file can be imported');
$ctms->sql("DELETE FROM ctms.$_ WHERE email_id = '$id[4]'") for qw(mofo emails);
symlink "$ENV{TESTDIR}/invalid_target", "$invalid.link" or die "symlink: $!";
($rc, $out, $err) = $ctms->cli('import', 'mofo', folder('mofo_ids.csv' => $formulas)
    . '/mofo_ids.csv', '--invalid', "$invalid.link", '--db-url', $admin);
like($err, qr/could not write ".*link": it is a symbolic link/, 'a symbolic link is refused');
ok(!-e "$ENV{TESTDIR}/invalid_target", 'and not followed');
unlink "$invalid.link";
($rc, $out, $err) = mofo("primary_email,mofo_email_id\nthree\@example.com,m1\n");
is($rc, 1, 'an id of another contact');
like($err, qr/mofo_ids\.csv", line 2: mofo_email_id belongs to another contact; nothing was/,
    'and where');
append_to_file("$ENV{TESTDIR}/again.csv", "primary_email\nnobody\@example.com\n");
($rc, $out, $err) = $ctms->cli('import', 'mofo', "$ENV{TESTDIR}/again.csv", '--invalid',
    "$ENV{TESTDIR}/../" . basename($ENV{TESTDIR}) . '/again.csv', '--db-url', $admin);
is($rc, 1, 'the file that is read is not written over');
like($err, qr/could not write "\S+again\.csv": this command reads it, or has written it/,
    'says so');
is(slurp("$ENV{TESTDIR}/again.csv"), "primary_email\nnobody\@example.com\n", 'it stays');
is((mofo("primary_email,age\n"))[0], 1, 'another column');
is((mofo(''))[0], 1, 'an empty file');
is(($ctms->cli('import', 'mofo', "$ENV{TESTDIR}/none", '--db-url', $admin))[0], 1, 'no such file');
is(($ctms->cli('import', 'mofo'))[0], 2, 'no file');
done_testing();
