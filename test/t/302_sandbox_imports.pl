# The Acoustic sandbox imports files: mapping and CSV, jobs in order, refused rows and their files,
# jobs that fail on demand, and requests answered meanwhile. The test puts the files into the upload
# folder itself; 345 and others do so by SFTP.

use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use CTMS::Test qw(poll_until slurp);

my $ctms = CTMS::Test->programs_only('sandbox_imports');
my $root = "$PostgreSQL::Test::Utils::tmp_check/sandbox_sftp";
$ctms->start_sandbox(SFTP_ROOT => $root);
my $token;

sub url { return "http://127.0.0.1:$ctms->{sandbox_port}$_[0]" }
sub settings { return $ctms->request(POST => url('/_sandbox/settings'), {@_}) }
sub stats { return $ctms->sandbox('/_sandbox/stats?sent=0')->{json} }

sub grant
{
    my $r = $ctms->request(POST => url('/oauth/token'), 'grant_type=refresh_token&client_id=cid'
            . '&client_secret=secret&refresh_token=refresh',
        { 'Content-Type' => 'application/x-www-form-urlencoded' });
    return $token = $r->{json}{access_token};
}

sub xml
{
    my ($body, %headers) = @_;
    return $ctms->request(POST => url('/XMLAPI'), "<Envelope><Body>$body</Body></Envelope>",
        { 'Content-Type' => 'text/xml;charset=UTF-8',
            Authorization => "Bearer $token", %headers })->{content};
}

# ---- files ----------------------------------------------------------------------

my %key = (newsletter => 'newsletter_name', waitlist => 'waitlist_name', product => 'product_id');
my %id = (main => 1, newsletter => 2, waitlist => 3, product => 4);

sub put
{
    my ($name, $content) = @_;
    open my $file, '>:raw', "$root/upload/$name" or die "$name: $!";
    print {$file} $content;
    close $file or die "$name: $!";
    return;
}

sub mapping
{
    my ($table, @columns) = @_;
    my $number = 0;
    my $map = join '', map { "<COLUMN><INDEX>" . ++$number . "</INDEX><NAME>$_</NAME>"
            . '<INCLUDE>true</INCLUDE></COLUMN>' } @columns;
    my $kind = $table eq 'main' ? 'LIST' : 'TABLE';
    my $keys = $table eq 'main'
        ? '<SYNC_FIELDS><SYNC_FIELD><NAME>email_id</NAME></SYNC_FIELD></SYNC_FIELDS>'
        : '<COLUMNS>' . join('', map { "<COLUMN><NAME>$_</NAME>"
                . ($_ eq 'email_id' || $_ eq $key{$table} ? '<KEY_COLUMN>true</KEY_COLUMN>' : '')
                . '</COLUMN>' } @columns) . '</COLUMNS>';
    return "<${kind}_IMPORT><${kind}_INFO><ACTION>ADD_AND_UPDATE</ACTION>"
        . "<${kind}_ID>$id{$table}</${kind}_ID><FILE_TYPE>0</FILE_TYPE>"
        . "<HASHEADERS>true</HASHEADERS></${kind}_INFO>$keys<MAPPING>$map</MAPPING>"
        . "</${kind}_IMPORT>";
}

sub quoted { return $_[0] =~ /[",\r\n]/ ? '"' . $_[0] =~ s/"/""/gr . '"' : $_[0] }
sub csv { return join '', map { join(',', map { quoted($_) } @$_) . "\n" } @_ }

# Puts both files of a table: columns, then rows.
sub put_files
{
    my ($name, $table, $columns, @rows) = @_;
    put("$name.xml", mapping($table, @$columns));
    put("$name.csv", csv($columns, @rows));
    return;
}

# ---- calls ----------------------------------------------------------------------

sub import_xml
{
    my ($operation, $map, $csv) = @_;
    return "<$operation><MAP_FILE>$map</MAP_FILE><SOURCE_FILE>$csv</SOURCE_FILE>"
        . "<FILE_ENCODING>UTF-8</FILE_ENCODING></$operation>";
}

sub start_job
{
    my ($operation, $map, $csv) = @_;
    my $answer = xml(import_xml($operation, $map, $csv));
    $answer =~ m{<SUCCESS>TRUE</SUCCESS><JOB_ID>(\d+)</JOB_ID>} or die "no job: $answer";
    return $1;
}

# Status, description and parameters.
sub job
{
    my ($id) = @_;
    my $answer = xml("<GetJobStatus><JOB_ID>$id</JOB_ID></GetJobStatus>");
    my %job = $answer =~ m{<NAME>(\w+)</NAME><VALUE>([^<]*)</VALUE>}g;
    ($job{status}) = $answer =~ m{<JOB_STATUS>(\w+)<};
    ($job{description}) = $answer =~ m{<JOB_DESCRIPTION>(.*?)</JOB_DESCRIPTION>}s;
    return \%job;
}

sub finished
{
    my ($id) = @_;
    return poll_until(sub {
        my $job = job($id);
        return $job->{status} =~ /WAITING|RUNNING/ ? undef : $job }, "job $id has ended");
}

sub import_file
{
    my ($operation, $name) = @_;
    return finished(start_job($operation, "$name.xml", "$name.csv"));
}

sub list { return import_file(ImportList => $_[0]) }
sub table { return import_file(ImportTable => $_[0]) }

# All rows of the sandbox: [email_id, kind, columns].
sub rows
{
    my %of = ('\\' => '\\', n => "\n", t => "\t", r => "\r");
    return [ sort { "@$a[0, 1]" cmp "@$b[0, 1]" } map {
        my ($id, $kind, $json) = map { s/\\(.)/$of{$1}/gr } split /\t/;
        [ $id, $kind, decode_json($json) ] }
        split /\n/, $ctms->sandbox('/_sandbox/rows')->{content} ];
}

is(sprintf('%o', (stat "$root/$_")[2] & 0777), '700', "the folder $_ is private")
    for qw(upload download);
like(xml(import_xml('ImportList', 'a', 'b'), Authorization => undef), qr{<errorid>145<},
    'the calls need a token');
grant();

subtest 'rows as they are in the files' => sub {
    my @columns = qw(email_id email first_name last_name);
    my @hard = ('plain', '', 'a "quoted" one', "two\r\nlines\nor three", 'back\\slash, tab	', '"',
        "Zo\xc3\xab \xf0\x9f\x98\x80", ',', ' blank ', '<b>&amp;');
    my @rows = map { [ "c$_", "c$_\@example.com", $hard[$_], $hard[ -1 - $_ ] ] } 0 .. $#hard;
    put_files('m', 'main', \@columns, @rows);
    my $job = list('m');
    is_deeply([ @$job{qw(status TOTAL_ROWS TOTAL_VALID SQL_ADDED SQL_UPDATED BAD_RECORDS
                LIST_ID)} ],
        [ 'COMPLETE', 10, 10, 10, 0, 0, 1 ], 'a list is imported');
    my @expected = map { my %row; @row{@columns} = @$_; [ $_->[0], 'main', \%row ] } @rows;
    for my $row (@expected)
    {
        utf8::decode($_) for values %{ $row->[2] };
    }
    is_deeply(rows(), \@expected, 'every value as it was');
    is_deeply($ctms->sandbox('/_sandbox/recipients/c6')->{json}{main},
        $expected[6][2], 'also where one is shown');

    my @newsletters = map { [ 'c1', $_, 'Yes', '12/31/2024 10:00:00' ] } 'a', 'b,"c"';
    put_files('n', 'newsletter', [qw(email_id newsletter_name subscribed create_timestamp)],
        @newsletters);
    put('n.csv', slurp("$root/upload/n.csv") =~ s/\n/\r\n/gr =~ s/\r\n\z//r);
    is(table('n')->{SQL_ADDED}, 2, 'CR LF, and no line break at the end');
    put_files('w', 'waitlist', [qw(email_id waitlist_name)], [qw(c1 vpn)]);
    put_files('p', 'product', [qw(product_id email_id amount)], [qw(p1 c1 -1)]);
    is(table($_)->{status}, 'COMPLETE', "table $_") for qw(w p);
    is_deeply([ map { "$_->[1] $_->[2]{newsletter_name}" }
                grep { $_->[1] eq 'newsletter' } @{ rows() } ],
        [ 'newsletter a', 'newsletter b,"c"' ], 'rows of tables');
    is_deeply($ctms->sandbox('/_sandbox/recipients/c1')->{json}{product},
        [ { product_id => 'p1', email_id => 'c1', amount => '-1' } ], 'in the order of the file');

    put_files('m', 'main', [qw(email_id last_name email)], [ 'c1', 'new', 'c1@example.com' ]);
    $job = list('m');
    is_deeply([ @$job{qw(SQL_ADDED SQL_UPDATED)} ], [ 0, 1 ], 'an update');
    is_deeply((grep { $_->[0] eq 'c1' && $_->[1] eq 'main' } @{ rows() })[0][2],
        { email_id => 'c1', email => 'c1@example.com', first_name => '', last_name => 'new' },
        'keeps the columns that are not in the file');
    put_files('m', 'main', \@columns);
    is_deeply([ @{ list('m') }{qw(status TOTAL_ROWS)} ], [ 'COMPLETE', 0 ], 'no rows at all');
    put('m.xml', mapping('main', @columns) =~ s{(first_name</NAME><INCLUDE>)true}{$1false}r);
    put('m.csv', csv(\@columns, [ 'c1', 'c1@example.com', 'not', 'this' ]));
    is(list('m')->{status}, 'COMPLETE', 'a column that is not included');
    is($ctms->sandbox('/_sandbox/recipients/c1')->{json}{main}{first_name}, '', 'is not stored');
    my $stats = stats();
    is_deeply([ @{ $stats->{rows_imported} }{qw(main newsletter waitlist product)} ],
        [ 12, 2, 1, 1 ], 'rows are counted');
    is($stats->{requests}{import}, 7, 'so are the calls');
    cmp_ok($stats->{requests}{GetJobStatus}, '>=', 7, 'and the questions');
    is($stats->{jobs}{COMPLETE}, 7, 'and the jobs');
};

subtest 'refused rows' => sub {
    my @columns = qw(email_id email first_name);
    settings(faults => [ { answer => 'failure', email => 'blocked@*', text => 'Blocked, again',
            operation => 'ImportList' },
        { answer => 'failure', table => 'newsletter', email => 'r1', text => 'Not today' } ]);
    put('r.xml', mapping('main', @columns));
    put('r.csv', csv(\@columns, [ 'r1', 'r1@example.com', "two\nlines" ],
            [ 'r2', 'no address', 'x, "y"' ],
            [ 'r3', '', '' ], [ '', 'r4@example.com', '' ], [ 'r5', 'r5@example.com' ],
            [ 'r6', 'r6@example.com', "\xff" ], [ 'r7', 'blocked@example.com', '' ],
            [ 'r8', 'r8@example.com', '' ]));
    my $id = start_job('ImportList', 'r.xml', 'r.csv');
    my $job = finished($id);
    is_deeply([ @$job{qw(status TOTAL_ROWS TOTAL_VALID BAD_ADDRESSES BAD_RECORDS NOT_ALLOWED)} ],
        [ 'COMPLETE', 8, 2, 2, 3, 1 ], 'are counted');
    is_deeply([ @$job{qw(RESULTS_FILE_NAME ERROR_FILE_NAME)} ], [ "$id.res", "$id.err" ],
        'both files are named');
    is(slurp("$root/download/$id.err"), csv([ qw(LINE REASON), @columns ],
            [ 4, 'Email Address Is Invalid.', 'r2', 'no address', 'x, "y"' ],
            [ 5, 'No EMAIL', 'r3', '', '' ],
            [ 6, 'Unique key values are missing', '', 'r4@example.com', '' ],
            [ 7, 'Wrong number of columns', 'r5', 'r5@example.com' ],
            [ 8, 'Text is not UTF-8', 'r6', 'r6@example.com', "\xff" ],
            [ 9, 'Blocked, again', 'r7', 'blocked@example.com', '' ]), 'the error file');
    like(slurp("$root/download/$id.res"), qr{^TOTAL_VALID: 2\n.*^BAD_ADDRESSES: 2\n}ms,
        'the results file');
    is(sprintf('%o', (stat "$root/download/$id.$_")[2] & 0777), '600', "$_ is private")
        for qw(res err);
    is_deeply([ map { $_->[0] } grep { $_->[0] =~ /^r/ } @{ rows() } ], [qw(r1 r8)],
        'the others are stored');
    my @newsletter = qw(email_id newsletter_name update_timestamp);
    put_files('r', 'newsletter', \@newsletter, [ 'r8', 'a', '12/31/2024' ], [ 'r8', '', '' ],
        [ 'r1', 'a', '' ], [ 'r8', 'b', '12/31/2024 00:00:00' ], [ 'r9', 'b', '' ]);
    $id = start_job('ImportTable', 'r.xml', 'r.csv');
    is_deeply([ @{ finished($id) }{qw(TOTAL_ROWS TOTAL_VALID BAD_RECORDS TABLE_ID)} ],
        [ 5, 2, 3, 2 ],
        'rows of a table');
    is(slurp("$root/download/$id.err"), csv([ qw(LINE REASON), @newsletter ],
            [ 2, "Invalid Date Value in column:\nupdate_timestamp", 'r8', 'a', '12/31/2024' ],
            [ 3, 'All key columns are not present', 'r8', '', '' ],
            [ 4, 'Not today', 'r1', 'a', '' ]),
        'with the reasons that calls get');
    is(stats()->{rows_before_recipient}, 1, 'rows before their recipient are counted');
    like($ctms->sandbox('/?q=r2')->{content},
        qr{<td>ImportList<td>main<td>r2<td>no address<td>Email},
        'the page shows them');
    settings(faults => []);
};

# Wrong files, and what is said of them.
my @columns = qw(email_id email);
my $good = mapping('main', @columns);
my $newsletters = mapping('newsletter', qw(email_id newsletter_name subscribed));
my @wrong = (
    [ ImportList => 'no XML', '<LIST_IMPORT>', qr{is not XML} ],
    [ ImportList => 'nothing', '', qr{is not XML} ],
    [ ImportList => 'an entity', "<!DOCTYPE x [<!ENTITY e 'email'>]>$good", qr{is not XML} ],
    [ ImportList => 'an unknown root', '<IMPORT/>', qr{IMPORT is neither} ],
    [ ImportList => 'a mapping of a table', $newsletters, qr{not for ImportList} ],
    [ ImportTable => 'a mapping of a list', $good, qr{not for ImportTable} ],
    [ ImportList => 'an unknown list', $good =~ s/LIST_ID>1</LIST_ID>9</r,
        qr{LIST_ID 9 does not exist} ],
    [ ImportList => 'the id of a table', $good =~ s/LIST_ID>1</LIST_ID>2</r,
        qr{of the other kind} ],
    [ ImportTable => 'the id of the list', $newsletters =~ s/_ID>2</_ID>1</r,
        qr{of the other kind} ],
    [ ImportList => 'no info', $good =~ s{<LIST_INFO>.*</LIST_INFO>}{}r, qr{LIST_INFO is missing} ],
    [ ImportList => 'another action', $good =~ s/ADD_AND_UPDATE/CREATE/r, qr{ACTION must be} ],
    [ ImportList => 'another file type', $good =~ s/FILE_TYPE>0/FILE_TYPE>1/r,
        qr{FILE_TYPE must be} ],
    [ ImportList => 'no header', $good =~ s/true/false/r, qr{HASHEADERS must be} ],
    [ ImportList => 'a second action', $good =~ s{(<ACTION>.*</ACTION>)}{$1$1}r,
        qr{more than one ACTION} ],
    [ ImportList => 'an unknown element', $good =~ s{(<MAPPING>)}{$1<X/>}r, qr{MAPPING has a X} ],
    [ ImportList => 'no sync fields', $good =~ s{<SYNC_FIELDS>.*</SYNC_FIELDS>}{}r,
        qr{SYNC_FIELDS is missing} ],
    [ ImportList => 'another sync field', $good =~ s{<NAME>email_id}{<NAME>email}r,
        qr{NAME must be email_id} ],
    [ ImportList => 'no mapping', $good =~ s{<MAPPING>.*</MAPPING>}{}r, qr{MAPPING is missing} ],
    [ ImportList => 'an empty mapping', $good =~ s{<MAPPING>.*</MAPPING>}{<MAPPING/>}r,
        qr{MAPPING is empty} ],
    [ ImportList => 'index 0', $good =~ s{INDEX>1<}{INDEX>0<}r,
        qr{INDEX of email_id is out of range} ],
    [ ImportList => 'an index that is no number', $good =~ s{INDEX>1<}{INDEX>1x<}r,
        qr{out of range} ],
    [ ImportList => 'a large index', $good =~ s{INDEX>1<}{INDEX>1001<}r, qr{out of range} ],
    [ ImportList => 'an index twice', $good =~ s{INDEX>1<}{INDEX>2<}r, qr{INDEX 2 is there twice} ],
    [ ImportList => 'an index left out', $good =~ s{INDEX>1<}{INDEX>3<}r, qr{INDEX 1 is missing} ],
    [ ImportList => 'a name twice', $good =~ s{NAME>email<}{NAME>email_id<}r,
        qr{NAME email_id is missing or} ],
    [ ImportList => 'no INCLUDE', $good =~ s{<INCLUDE>true</INCLUDE>}{}r, qr{INCLUDE of email_id} ],
    [ ImportList => 'no email_id', mapping('main', 'email'), qr{email_id is not in MAPPING} ],
    [ ImportList => 'another name than the header', mapping('main', qw(email_id Email)),
        qr{Column 2 of the header is not Email} ],
    [ ImportList => 'another order', mapping('main', qw(email email_id)),
        qr{Column 1 of the header is not email} ],
    [ ImportList => 'more columns', mapping('main', @columns, 'x'),
        qr{header has 2 columns, and the mapping 3} ],
    [ ImportTable => 'no columns', $newsletters =~ s{<COLUMNS>.*</COLUMNS>}{}r,
        qr{COLUMNS is missing} ],
    [ ImportTable => 'a key that is none', $newsletters =~ s{<KEY_COLUMN>true}{<KEY_COLUMN>false}r,
        qr{KEY_COLUMN of email_id is wrong} ],
    [ ImportTable => 'a key too many',
        $newsletters =~ s{(subscribed</NAME>)}{$1<KEY_COLUMN>true</KEY_COLUMN>}r,
        qr{KEY_COLUMN of subscribed is wrong} ],
    [ ImportTable => 'a key column too few',
        $newsletters =~
            s{<COLUMN><NAME>email_id</NAME>\s*<KEY_COLUMN>true</KEY_COLUMN></COLUMN>}{}r,
        qr{both key columns} ],
    [ ImportTable => 'another column', $newsletters =~ s{<NAME>subscribed}{<NAME>source}r,
        qr{source of COLUMNS is not in MAPPING} ],
    [ ImportTable => 'no key column', mapping('newsletter', qw(email_id subscribed)),
        qr{newsletter_name is not in MAPPING} ]);

subtest 'wrong mappings' => sub {
    my $before = rows();
    for my $case (@wrong)
    {
        my ($operation, $what, $mapping, $problem) = @$case;
        put('x.xml', $mapping);
        put('x.csv', $operation eq 'ImportList' ? "email_id,email\nx1,x1\@example.com\n"
            : "email_id,newsletter_name,subscribed\nx1,x,Yes\n");
        my $job = import_file($operation => 'x');
        is($job->{status}, 'ERROR', $what);
        like($job->{description}, $problem, "$what: the reason");
    }
    is_deeply(rows(), $before, 'nothing of these was stored');
};

subtest 'wrong files' => sub {
    my %problem = (
        '' => qr{has no header}, "email_id\n" => qr{header has 1 columns},
        "\xef\xbb\xbfemail_id,email\n" => qr{Column 1 of the header is not email_id},
        qq{email_id,email\ny1,"y1\@example.com} => qr{no CSV from line 2 on: the file ends within},
        qq{email_id,email\ny1,y"1\n} => qr{a quote within},
        qq{email_id,email\ny1,"y"1\n} => qr{behind a quote},
        qq{email_id,email\ny1\ry1\n} => qr{CR without LF}, qq{email_id,email\ny1,\0\n} => qr{a NUL},
        "email_id,email\n" . 'y' x 4_300_000 => qr{too long});
    put('y.xml', $good);
    for my $content (sort keys %problem)
    {
        put('y.csv', $content);
        my $job = list('y');
        is($job->{status}, 'ERROR', substr($content, 0, 30) =~ s/[^ -~]/?/gr);
        like($job->{description}, $problem{$content}, 'the reason');
    }
    put('y.csv', qq{email_id,email\ny1,y1\@example.com\ny2,y"2\n});
    my $id = start_job(ImportList => 'y.xml', 'y.csv');
    is_deeply([ @{ finished($id) }{qw(status TOTAL_VALID ERROR_FILE_NAME)} ],
        [ 'ERROR', 1, "$id.err" ], 'what came before the mistake is stored');
};

subtest 'calls that are refused' => sub {
    put('z.xml', $good);
    put('z.csv', "email_id,email\n");
    my %refused = (
        import_xml('ImportList', 'no.xml', 'z.csv') =>
            qr{MAP_FILE: file no.xml does not exist.*<errorid>102<},
        import_xml('ImportTable', 'z.xml', 'no.csv') => qr{SOURCE_FILE: file no.csv does not exist},
        import_xml('ImportList', '../upload/z.xml', 'z.csv') => qr{must be names},
        import_xml('ImportList', '', 'z.csv') => qr{must be names},
        import_xml('ImportList', 'z.xml', '.') => qr{must be names},
        import_xml('ImportList', 'z.xml', 'z' x 200) => qr{Invalid XML Request},
        import_xml('ImportList', 'z.xml', 'z.csv') =~ s/UTF-8/ISO-8859-1/r => qr{must be UTF-8},
        '<ImportList/>' => qr{must be UTF-8}, '<GetJobStatus/>' => qr{does not exist},
        '<GetJobStatus><JOB_ID>1</JOB_ID></GetJobStatus>' =>
            qr{Job with id 1 does not exist.*<errorid>104<});
    like(xml($_), qr{<SUCCESS>false.*$refused{$_}}s, substr $_, 0, 90) for sort keys %refused;
    settings(faults => [ { operation => 'ImportList', answer => 'fault', errorid => 50,
                count => 1 },
            { operation => 'ImportTable', table => 'newsletter', answer => 'cut', count => 1,
                apply => JSON::PP::true },
            { operation => 'GetJobStatus', answer => 'html', count => 1 } ]);
    my $jobs = sub { return scalar @{ $ctms->sandbox('/_sandbox/jobs')->{json} } };
    my $before = $jobs->();
    like(xml(import_xml('ImportList', 'z.xml', 'z.csv')), qr{<errorid>50<}, 'a rule');
    is($jobs->(), $before, 'starts nothing');
    put('z.xml', $newsletters);
    put('z.csv', "email_id,newsletter_name,subscribed\n");
    xml(import_xml('ImportTable', 'z.xml', 'z.csv'));
    is($jobs->(), $before + 1, 'a lost answer, but the job is there');
    like(xml('<GetJobStatus><JOB_ID>1</JOB_ID></GetJobStatus>'), qr{503}, 'and no answer about it');
    my $ledger = $ctms->sandbox('/_sandbox/ledger?limit=100000')->{json};
    is_deeply([ map { "$_->{operation} $_->{table} $_->{answer}" } @$ledger[ -3 .. -1 ] ],
        [ 'ImportList main fault', 'ImportTable newsletter cut', 'GetJobStatus  html' ],
        'the ledger has them');
    like(settings(faults => [ { operation => 'job', answer => 'html' } ])->{content},
        qr{needs the answer}, 'a rule for jobs needs its answer');
    is(settings(faults => [ { answer => 'job', job_status => 'DONE' } ])->{status}, 400,
        'and a status that there is');
};

subtest 'jobs in order, one at a time' => sub {
    settings(faults => [], job_wait_ms => 3_600_000);
    my @order = map { put_files("o$_", 'main', [qw(email_id email first_name)],
            [ 'o', 'o@example.com', "version $_" ]);
        start_job(ImportList => "o$_.xml", "o$_.csv") } 1 .. 4;
    put_files('on', 'newsletter', [qw(email_id newsletter_name)], [qw(o news)]);
    push @order, start_job(ImportTable => 'on.xml', 'on.csv');
    is_deeply([ map { job($_)->{status} } @order ], [ ('WAITING') x 5 ], 'they wait');
    put_files('o1', 'main', [qw(email_id email last_name)], [ 'o', 'o@example.com', 'replaced' ]);
    rename "$root/upload/o2.csv", "$root/upload/o2b.csv" or die;
    unlink "$root/upload/o3.xml" or die;
    settings(faults => [ { operation => 'job', answer => 'job', delay_ms => 1, count => 1,
                job_status => 'CANCELED', skip_rows => 1, skip => 3 } ], job_wait_ms => 0);
    my @jobs = map { finished($_) } @order;
    is($jobs[0]{status}, 'COMPLETE', 'the first has read what was there at its start');
    is($ctms->sandbox('/_sandbox/recipients/o')->{json}{main}{last_name}, 'replaced',
        'the new file');
    is_deeply([ $jobs[1]{status}, $jobs[1]{description} ],
        [ 'ERROR', 'The source file o2.csv does not exist' ], 'a file that was renamed meanwhile');
    is_deeply([ $jobs[2]{status}, $jobs[2]{description} ],
        [ 'ERROR', 'Mapping: the mapping file does not exist or cannot be read' ], 'or removed');
    is_deeply([ @{ $jobs[3] }{qw(status TOTAL_VALID RESULTS_FILE_NAME)} ],
        [ 'CANCELED', 1, "$order[3].res" ], 'a rule cancels');
    is($jobs[4]{status}, 'COMPLETE', 'the last is done');
    my @seen = grep { $_->{job_id} >= $order[0] } @{ $ctms->sandbox('/_sandbox/jobs')->{json} };
    is_deeply([ map { $_->{job_id} } sort { $a->{started} <=> $b->{started} } @seen ], \@order,
        'in the order of the calls');
    ok(!(grep { $seen[ $_ - 1 ]{ended} > $seen[$_]{started} } 1 .. $#seen), 'one at a time');
    my $page = $ctms->sandbox('/')->{content};
    like($page, qr{<td>$order[3]<td>ImportList<td>main<td>o4.csv<td>CANCELED<td>1<td>0<td>1<td>0},
        'the page shows them');
};

subtest 'a large file, slowly and at once' => sub {
    my @header = qw(email_id email first_name);
    my @large = map { [ "L$_", "L$_\@example.com", "Name $_" ] } 1 .. 50_000;
    put_files('l', 'main', \@header, @large);
    settings(faults => [], job_rows_per_second => 2000);
    my $id = start_job(ImportList => 'l.xml', 'l.csv');
    my $job = poll_until(sub { my $j = job($id); $j->{TOTAL_ROWS} // 0 ? $j : undef }, 'it begins');
    is($job->{status}, 'RUNNING', 'it runs');
    ok(!defined $job->{RESULTS_FILE_NAME}, 'without results so far');
    cmp_ok($job->{TOTAL_ROWS}, '<', 50_000, 'row by row');
    unlink "$root/upload/l.csv" or die;
    settings(job_rows_per_second => 0);
    my @late;
    until ((my $begin = time) && ($job = job($id))->{status} ne 'RUNNING')
    {
        push @late, time - $begin;
    }
    is_deeply([ @$job{qw(status TOTAL_VALID)} ], [ 'COMPLETE', 50_000 ],
        'then at once; nobody needs the file any more');
    @late = sort { $a <=> $b } @late;
    cmp_ok($late[ $#late / 2 ] // 0, '<', 0.1, 'answers come meanwhile');
    is_deeply([ map { $_->[2] } sort { substr($a->[0], 1) <=> substr($b->[0], 1) }
                grep { $_->[0] =~ /^L/ } @{ rows() } ],
        [ map { my %row; @row{@header} = @$_; \%row } @large ], 'all rows are there');
    put_files('l', 'main', \@header, @large);
    settings(faults => [ { answer => 'job', skip_rows => 1234, count => 1 } ]);
    is_deeply([ @{ list('l') }{qw(status TOTAL_ROWS description)} ],
        [ 'ERROR', 1234, 'The import was ended by a rule' ], 'a rule ends it in the middle');
};

subtest 'the end' => sub {
    settings(faults => [], job_wait_ms => 3_600_000);
    my $id = start_job(ImportList => 'l.xml', 'l.csv');
    $ctms->request(POST => url('/_sandbox/reset'), '');
    like(xml("<GetJobStatus><JOB_ID>$id</JOB_ID></GetJobStatus>"), qr{does not exist}, 'a reset');
    is($ctms->sandbox('/_sandbox/rows')->{content}, '', 'leaves nothing');
    settings(job_wait_ms => 0, job_rows_per_second => 100);
    $id = start_job(ImportList => 'l.xml', 'l.csv');
    poll_until(sub { job($id)->{status} eq 'RUNNING' }, 'it runs');
    is($ctms->stop_program('sandbox'), 0, 'it stops in the middle of a job');
    $ctms->start_sandbox;
    grant();
    like(xml(import_xml('ImportList', 'l.xml', 'l.csv')), qr{no upload folder},
        'without a folder there are no imports');
};

done_testing();
