# ctms import csv and mofo with files as people have them: what is read, which rows are refused and
# where they are, what is left out with --max-errors.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(slurp);
use Encode qw(encode);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('import_refused');
my $json = JSON::PP->new->utf8;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin');
my $admin = $ctms->db_url . '&user=operator';
my $refused = "$ENV{TESTDIR}/refused_rows.csv";
my $folders = 0;
my @id = map { "00000000-0000-4000-8000-00000000000$_" } 0 .. 9;

sub folder
{
    my (%files) = @_;
    my $folder = "$ENV{TESTDIR}/refused" . ++$folders;
    mkdir $folder or die "mkdir $folder: $!";
    append_to_file("$folder/$_", $files{$_}) for keys %files;
    return $folder;
}
sub import_csv
{
    my ($folder, @options) = @_;
    unlink $refused;
    return $ctms->cli('import', 'csv', $folder, '--left-out', "$ENV{TESTDIR}/refused_left.jsonl",
        '--db-url', $admin, @options);
}
sub empty { return $ctms->sql('TRUNCATE ctms.emails, ctms.mofo CASCADE') }
sub names
{
    return $ctms->sql(q{SELECT coalesce(string_agg(right(email_id::text, 1) || first_name, ' '
        ORDER BY email_id), '') FROM ctms.emails});
}

# ---- what is read ----------------------------------------------------------------------

my $header = "email_id,primary_email,first_name";
my $rows = "$header\n$id[1],one\@example.com,A\n$id[2],two\@example.com,B\n";
my %read = (
    'CR alone' => $rows =~ s/\n/\r/gr,
    'CRLF' => $rows =~ s/\n/\r\n/gr,
    'mixed ends of lines' => $rows =~ s/A\n/A\r/r =~ s/B\n/B\r\n/r,
    'no end of the last line' => $rows =~ s/\n\z//r,
    'a blank last line' => "$rows\n",
    'blank lines and rows' => $rows =~ s/A\n/A\n\r\n,,\n   \n/r,
    'a byte order mark' => "\xef\xbb\xbf$rows",
    'semicolons' => $rows =~ s/,/;/gr,
    'tabs' => $rows =~ s/,/\t/gr,
    'sep=' => "sep=;\r\n" . $rows =~ s/,/;/gr,
    'cells at the end' => $rows =~ s/\n/,,\n/gr,
    'very many cells at the end' => $rows =~ s/\n/',' x 16384 . "\n"/ger,
    'quotes and blanks' => $rows =~ s/,([AB])/, "$1" /gr,
    'names of columns in other letters' =>
        $rows =~ s/$header/ Email_ID ,PRIMARY_EMAIL," first_name"/r);
for my $name (sort keys %read)
{
    empty();
    my ($rc, $out, $err) = import_csv(folder('emails.csv' => $read{$name}));
    is($rc . names(), '01A 2B', $name) or diag $err;
}
empty();
my ($rc, $out, $err) = import_csv(folder('Emails.CSV' =>
        "$header\n$id[1],one\@example.com,\\.\n$id[2],two\@example.com,\"\\.\r\n\\\tx\"\n"
        . "$id[3],three\@example.com,\\N\n"));
is($rc, 0, 'texts that COPY knows') or diag $err;
is($ctms->sql('SELECT first_name FROM ctms.emails ORDER BY email_id'), "\\.\n\\.\r\n\\\tx\n",
    'are texts, and NULL of MySQL is NULL');
is($ctms->sql("SELECT count(*) FROM ctms.emails WHERE first_name IS NULL"), 1, 'really');

# ---- what is not read --------------------------------------------------------------------

empty();
for my $case (
    [ 'UTF-16', encode('UTF-16', $rows), qr/emails\.csv" is UTF-16: save it as UTF-8$/m ],
    [ 'UTF-16 of Windows', "\xff\xfe" . encode('UTF-16LE', $rows), qr/is UTF-16: save it/ ],
    [ 'UTF-16 without a mark', encode('UTF-16LE', $rows),
        qr/emails\.csv", line 1: has a zero byte; is the file UTF-16\?$/m ],
    [ 'a column twice', $rows =~ s/first_name/Primary_Email /r,
        qr/line 1: column "primary_email" is there twice$/m ],
    [ 'a column of another table', "\n" . $rows =~ s/first_name/fxa_id/r,
        qr/line 2: column "fxa_id" is not one of the columns of table "emails"$/m ],
    [ 'a quote that is not closed', $rows =~ s/A\n/"A\n/r,
        qr/emails\.csv": the quote that opens in line 2 is not closed$/m ],
    [ 'too many cells', $rows =~ s/first_name/'first_name' . ',x' x 300/er,
        qr/emails\.csv", line 1: has too many cells$/m ],
    [ 'a row too long', $rows =~ s/A\n/'A' x 1100000/er,
        qr/line 2 is too long: a row may have 1 MiB/ ])
{
    my ($name, $text, $like) = @$case;
    ($rc, $out, $err) = import_csv(folder('emails.csv' => $text), '--max-errors', 5);
    is($rc, 1, "refused: $name");
    like($err, $like, 'with the place');
    like($err, qr/^ctms: nothing was stored$/m, 'and nothing stored');
}
is(names(), '', 'really');
for my $case ([ 'an empty folder', {}, qr/has no file emails\.csv, or \S+\n  it is empty$/m ],
    [ 'other files', { 'email.csv' => $rows, map { ("f$_" => '') } 1 .. 5 },
        qr/like "email\.csv", which is not read\n.*\n  it has "email\.csv", "f1", .* and others/ ])
{
    ($rc, $out, $err) = import_csv(folder(%{ $case->[1] }));
    is($rc, 1, "refused: $case->[0]");
    like($err, $case->[2], 'says what was expected, and what is there');
}
append_to_file("$ENV{TESTDIR}/emails.csv", $rows);
($rc, $out, $err) = import_csv("$ENV{TESTDIR}/emails.csv");
like($err, qr/it is a file; name the folder that holds emails\.csv$/m, 'a file is no folder');

# ---- rows that are refused -----------------------------------------------------------------

my $folder = folder('emails.csv' => "$header,email_lang,create_timestamp\r\n"
        . "$id[1],one\@example.com,\"A\r\nB\",en,2020-01-01Z\r\n"    # lines 2 and 3
        . "secret-value,two\@example.com,B,en,\r\n"
        . "\r\n"
        . "$id[3],three\@example.com,J\xfc,en,\r\n"                 # 6
        . "$id[4],four\@example.com,D,secret-value,\r\n"
        . "$id[5],,=E,en,\r\n"                                       # 8
        . "$id[6],six\@example.com,F\r\n"
        . "$id[7],seven\@example.com,G,en,,secret-value\r\n"         # 10
        . "$id[8],eight\@example.com,\"H\"H,en,\r\n"
        . "$id[9],nine\@example.com,I,en,01/02/2020\r\n"             # 12
        . "$id[0],zero\@example.com,J\0K,en,9999999-01-01\r\n",
    'newsletters.csv' => "email_id,name,subscribed\n$id[1],hubs,true\n$id[1],vr,secret-value\n"
        . uc($id[4]) . ",hubs,true\n",
    'vpn_waitlist.csv' => "email_id,geo\n$id[5],de\n$id[1],fr\n");
my @refusals = (
    [ emails => 'line 4', qr/column "email_id" is not a valid uuid \(22P02\)/ ],
    [ emails => 'line 6', qr/column "first_name" has bytes that are not UTF-8/ ],
    [ emails => 'line 7', qr/column "email_lang" is too long for .*5\) \(22001\)/ ],
    [ emails => 'line 8', qr/column "primary_email" has no value/ ],
    [ emails => 'line 9', qr/has 3 cells instead of 5/ ],
    [ emails => 'line 10', qr/has 6 cells instead of 5/ ],
    [ emails => 'line 11', qr/column "first_name" has text behind a closing quote; .*/ ],
    [ emails => 'line 12', qr/column "create_timestamp" is not a time as ISO 8601 .*22007\)/ ],
    [ emails => 'line 13', qr/column "first_name" has a zero byte; is the file UTF-16\?/ ],
    [ newsletters => 'line 3', qr/column "subscribed" is not a valid boolean \(22P02\)/ ],
    [ newsletters => 'line 4', qr/belongs to a contact that is refused/ ],
    [ vpn_waitlist => 'line 2', qr/belongs to a contact that is refused/ ]);
($rc, $out, $err) = import_csv($folder);
is($rc, 1, 'rows that are refused');
like($err, qr/^ctms: refused: "\S+$_->[0]\.csv", $_->[1]: $_->[2]$/m, "$_->[0], $_->[1]")
    for @refusals;
like($err, qr/^ctms: rows refused: 12; --max-errors allows 0\n.*^ctms: nothing was stored$/ms,
    'all of them at once');
is(scalar(() = $err =~ /^ctms: refused: "/mg), 12, 'and no others');
unlike($err, qr/secret-value|example\.com/, 'without values');
ok(!-e $refused && names() eq '', 'nothing is stored');
is((import_csv($folder, '--max-errors', 11))[0], 1, 'too many for --max-errors');
($rc, $out, $err) = import_csv($folder, qw(--max-errors 12 --json --refused-file), $refused);
is($rc, 7, 'as many as --max-errors') or diag $err;
my $tables = $json->decode($out)->{tables};
is_deeply([ map { @{ $tables->{$_} }{qw(source refused)} } qw(emails newsletters vpn_waitlist) ],
    [ 10, 9, 3, 2, 2, 1 ], 'the numbers are those of the files');
is($ctms->sql('SELECT email_id, first_name FROM ctms.emails'), "$id[1]|A\r\nB",
    'the rest is stored');
is($ctms->sql('SELECT name FROM ctms.newsletters'), 'hubs', 'newsletters, too');
is($ctms->sql('SELECT fields FROM ctms.waitlists'), '{"geo": "fr", "platform": null}', 'waitlists');
my $saved = slurp($refused);
is(scalar(() = $saved =~ /\n/g), 13, 'the others are saved');
like($saved, qr/\Afile,line,column,reason,cell_1,cell_2,cell_3,cell_4,cell_5,cell_6\n
    \S+emails\.csv,4,email_id,is\ not\ a\ valid\ uuid\ \(22P02\),
    secret-value,two\@example\.com,B,en,,\n
    \S+emails\.csv,6,first_name,[^,]+,$id[3],three\@example\.com,J\xfc,en,,\n/x, 'as they are');
like($saved, qr/csv,11,first_name,[^,]+; [^,]+,$id[8],eight\@example\.com,"""H""H",en,/,
    'quotes stay');
like($saved, qr/csv,13,first_name,[^,]+,$id[0],zero\@example\.com,J\\0K,en,9/, 'zero bytes, too');
like($saved, qr/csv,8,primary_email,has no value,$id[5],,"'=E",en,,\n/, 'without formulas');
like($saved, qr/newsletters\.csv,4,,belongs to a contact that is refused,\U$id[4]\E,hubs,true,,,\n/,
    'each row has as many cells');
is((stat $refused)[2] & 0777, 0600, 'readable by its owner only');

# One file: its names are the names of the cells, so that it can be mended and imported.
empty();
$folder = folder('emails.csv' => "$header\n" . join('', map { "$id[$_],$_\@example.com,"
            . ($_ % 2 ? 'x' x 256 : 'y') . "\n" } 0 .. 9));
($rc, $out, $err) = import_csv($folder, qw(--max-errors 9 --refused-file), $refused);
is($rc, 7, 'rows of one file') or diag $err;
like($err, qr/emails\.csv", lines 3, 5, 7, 9, 11: column "first_name" is too long/, 'in one line');
like($err, qr/^ctms: note: 5 refused rows are saved in "\Q$refused\E"$/m, 'saved');
like(slurp($refused), qr/\Afile,line,column,reason,$header\n\S+,3,first_name,[^,]+,$id[1],1\@ex/,
    'under the names of the columns');
is(names(), '0y 2y 4y 6y 8y', 'the others are stored');

# Files that would be lost.
empty();
$folder = folder('emails.csv' => "$header\n$id[1],one\@example.com,A\n$id[2],,B\n"
        . "$id[1],one\@example.com,C\n");
for my $case ([ $refused, '--left-out', $refused ], ["$folder/emails.csv"])
{
    my ($file, @left_out) = @$case;
    ($rc, $out, $err) = $ctms->cli('import', 'csv', $folder, '--db-url', $admin, '--max-errors',
        1, '--refused-file', $file, @left_out ? @left_out
        : ('--left-out', "$ENV{TESTDIR}/refused_left.jsonl"));
    is($rc . names(), '1', 'a file that this command reads or has written');
    like($err, qr/could not write "\Q$file\E": this command reads it, or has written it before$/m,
        'is not written');
}
like(slurp("$folder/emails.csv"), qr/\A$header\n/, 'it stays');

# Times, which all mean one thing.
my @times = ('2021-03-28 02:30:00' => '2021-03-28 02:30:00', '2021-01-02' => '2021-01-02 00:00:00',
    '20210102T030405' => '2021-01-02 03:04:05', '2021-01-02T03:04Z' => '2021-01-02 03:04:00',
    '2021-01-02 03:04:05 UTC' => '2021-01-02 03:04:05',
    '2021-01-02 03:04:05.5 +0200' => '2021-01-02 01:04:05.5',
    ' 2021-01-02T03:04:05-05:30 ' => '2021-01-02 08:34:05',
    '2021-01-02 03:04:05+01' => '2021-01-02 02:04:05');
my @no_times = ('44197', 'now', 'today', 'tomorrow', 'allballs', 'epoch', 'infinity', 'J2451187',
    'Jan 5 2021', '21-01-02', '2021-1-2', '02-01-2021', '1/2/2021', '2021-01-02 03:04 PM',
    '2021-01-02 03:04:05 IST', '2021-01-02 03:04:05 GMT+02', '2021-01-02 BC', '2021-01-02T',
    '2021-01-02 03:04:05 Europe/Berlin', '20210102 today', '2021-01-02Z x');
for my $case ([ 1, @times[ map { 2 * $_ } 0 .. $#times / 2 ] ], [ 0, @no_times ])
{
    my ($is_good, @texts) = @$case;
    empty();
    $ctms->sql(q{ALTER DATABASE ctms SET timezone = 'Asia/Kolkata'});
    $folder = folder('emails.csv' => "email_id,primary_email,create_timestamp\n" . join '',
        map { sprintf "00000000-0000-4000-8000-%012d,%d\@example.com,%s\n", $_, $_, $texts[$_] }
            0 .. $#texts);
    ($rc, $out, $err) = import_csv($folder, '--max-errors', $is_good ? 0 : 100,
        '--refused-file', $refused);
    is($rc, $is_good ? 0 : 7, $is_good ? 'times as in ISO 8601' : 'other times') or diag $err;
    is($ctms->sql(q{SELECT count(*) FROM ctms.emails}), $is_good ? @times / 2 : 0, 'stored');
    next unless $is_good;
    for my $i (0 .. $#times / 2)
    {
        is($ctms->sql("SELECT create_timestamp = '$times[2 * $i + 1]Z' FROM ctms.emails
            WHERE primary_email = '$i\@example.com'"), 't', $times[ 2 * $i ]);
    }
}
$ctms->sql('ALTER DATABASE ctms RESET timezone');

# Of rows with one key and no times the last line counts, whatever its number. A second import of
# them replaces nothing, and says so.
empty();
my $list = "email_id,name,subscribed\n" . "$id[1],hubs,true\n" x 12 . "$id[1],hubs,false\n";
my %files = ('emails.csv' => "$header\n$id[1],one\@example.com,A\n", 'newsletters.csv' => $list);
($rc, $out, $err) = import_csv(folder(%files));
is($rc . $ctms->sql('SELECT subscribed FROM ctms.newsletters'), '0f', 'the last line') or diag $err;
($rc, $out, $err) = import_csv(folder(%files));
unlike($err, qr/differ/, 'the same again') or diag $err;
%files = map { ($_ => $files{$_} =~ s/,A/,B/r =~ s/false/true/r) } keys %files;
for my $option ('--dry-run', '--json')
{
    ($rc, $out, $err) = import_csv(folder(%files), $option);
    is($rc . names(), '01A', "rows without a later time: $option");
    like($err, qr/^ctms: note: 1 rows of "$_" differ from those here, but have no later/m, $_)
        for qw(emails newsletters);
}
$files{'emails.csv'} =~ s/first_name\n(.*)/first_name,update_timestamp\n$1,2036-01-01/;
($rc, $out, $err) = import_csv(folder(%files));
is($rc . names() . $ctms->sql('SELECT subscribed FROM ctms.newsletters'), '01Bt',
    'with a later one');
unlike($err, qr/differ/, 'nothing to tell');

# What is read is never written over.
empty();
my $source = "$folder/emails.csv";
my $content = slurp($source);
link $source, "$folder/other-name" or die "link: $!";
for ([ $source, 9 ], [ $source, 0 ], [ "$folder/other-name", 9 ], [ $source, 9, '--dry-run' ])
{
    my ($name, $limit, @more) = @$_;
    ($rc, $out, $err) =
        import_csv($folder, '--max-errors', $limit, '--refused-file', $name, @more);
    is($rc, 1, "--refused-file is a source, --max-errors $limit @more");
    like($err, qr/could not write "\Q$name\E": this command reads it, or has written it before/,
        'why');
    ok(slurp($source) eq $content && names() eq '', 'nothing is written');
}
append_to_file($source, "$id[0],0\@example.com,y\n");
$content = slurp($source);
($rc, $out, $err) = $ctms->cli('import', 'csv', $folder, '--max-errors', 9, '--left-out', $source,
    '--refused-file', $refused, '--db-url', $admin);
is($rc, 1, '--left-out is a source') or diag $err;
ok(slurp($source) eq $content && names() eq '', 'nothing is written');

# A row of which the rules make two is one row.
empty();
$folder = folder('emails.csv' => "$header\n$id[1],one\@example.com,A\n$id[2],,B\n",
    'newsletters.csv' => "email_id,name\n$id[2],relay-x\n$id[2],relay-y\n",
    'relay_waitlist.csv' => "email_id,geo\n$id[2],de\n$id[1],fr\n");
($rc, $out, $err) = import_csv($folder, qw(--max-errors 4 --json --refused-file), $refused);
is($rc . names(), '71A', 'a row of which the rules make two') or diag $err;
is($json->decode($out)->{tables}{relay_waitlist}{refused}, 1, 'is counted once');
is(scalar(() = slurp($refused) =~ /\n/g), 5, 'and saved once');

# Very many.
empty();
$folder = folder('emails.csv' => "$header\n$id[1],one\@example.com,A\n"
        . "no,no\@example.com,B\n" x 5000);
($rc, $out, $err) = import_csv($folder);
like($err, qr/lines 3, 4, 5, 6, 7 and 996 more: .*\n.* refused: 1001, and more were not looked/,
    'more than can be told are not looked for');
($rc, $out, $err) = import_csv($folder, qw(--max-errors 5000 --refused-file), $refused);
is($rc . names(), '71A', 'all of them are left out') or diag $err;
is(scalar(() = slurp($refused) =~ /\n/g), 5001, 'and saved');
for my $bad (qw(-1 100001 many), '')
{
    ($rc, $out, $err) = import_csv($folder, '--max-errors', $bad);
    is($rc, 2, "--max-errors \"$bad\"");
    like($err, qr/--max-errors must be a number from 0 to 100000, not "$bad"/, 'says so');
}

# ---- ids of the foundation ----------------------------------------------------------------------

empty();
$ctms->sql("INSERT INTO ctms.emails (email_id, primary_email) VALUES
    ('$id[1]', 'one\@example.com'), ('$id[2]', 'two\@example.com')");
my $ids = folder('ids.csv' => "\xef\xbb\xbfPrimary_Email;mofo_email_id\r\rone\@example.com;m1\r"
    . "two\@example.com;" . 'x' x 256 . "\r ;m3\rtwo\@example.com\rtwo\@example.com;m2\r")
    . '/ids.csv';
my @mofo = ('import', 'mofo', $ids, '--invalid', "$ENV{TESTDIR}/refused_invalid.csv", '--db-url',
    $admin);
($rc, $out, $err) = $ctms->cli(@mofo);
is($rc, 1, 'mofo: rows that are refused');
like($err, qr/ids\.csv", line 4: column "mofo_email_id" is too long for character varying\(255\)/,
    'too long');
like($err, qr/ids\.csv", line 5: column "primary_email" is empty$/m, 'no address');
like($err, qr/ids\.csv", line 6: has 1 cell instead of 2$/m, 'too short');
($rc, $out, $err) = $ctms->cli(@mofo, qw(--max-errors 3 --json --refused-file), $refused);
is($rc, 7, 'allowed') or diag $err;
is_deeply($json->decode($out), { contacts => 2, changed => 2, unknown => 0, refused => 3 },
    'counted');
like(slurp($refused), qr/\Afile,line,column,reason,Primary_Email,mofo_email_id\n/, 'saved');
is($ctms->sql('SELECT mofo_email_id FROM ctms.mofo ORDER BY email_id'), "m1\nm2", 'stored');
my $from_pipe = "cat '$ids' | '$ENV{CTMS_TEST_BIN}/ctms' import mofo - --max-errors 3";
my $said = `$from_pipe --refused-file '$refused' --db-url '$admin' 2>&1`;
like($said, qr/"-" is not a regular file, so its refused rows cannot be saved$/m, 'a pipe');
($rc, $out, $err) = $ctms->cli('import', 'mofo', folder('ids.csv' => "primary_email,mofo_email_id\n"
        . "one\@example.com,m5\ntwo\@example.com,m5\n") . '/ids.csv', '--db-url', $admin);
is($rc, 1, 'one id for two contacts');
like($err, qr/ids\.csv", lines 2, 3: mofo_email_id belongs to another contact; nothing was/,
    'and where');
done_testing();
