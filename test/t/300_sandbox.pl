# The Acoustic sandbox answers as Acoustic is documented to: tokens, both transport forms,
# the operations and their faults, the in-flight rule, and faults on demand.

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use CTMS::Test qw(poll_until);

my $ctms = CTMS::Test->programs_only('sandbox');
my $state = "$PostgreSQL::Test::Utils::tmp_check/sandbox.state";
$ctms->start_sandbox(STATE => $state);
my %form = ('Content-Type' => 'application/x-www-form-urlencoded');
my $token;

sub url { return "http://127.0.0.1:$ctms->{sandbox_port}$_[0]" }

sub grant
{
    my ($secret) = @_;
    my $r = $ctms->request(POST => url('/oauth/token'),
        "grant_type=refresh_token&client_id=cid&client_secret=$secret"
        . '&refresh_token=refresh&json=more', \%form);
    $token = $r->{json}{access_token} if $r->{status} == 200;
    return $r;
}

sub xml
{
    my ($body, %headers) = @_;
    return $ctms->request(POST => url('/XMLAPI'), "<Envelope><Body>$body</Body></Envelope>",
        { 'Content-Type' => 'text/xml;charset=UTF-8',
            Authorization => "Bearer $token", %headers })->{content};
}

sub add_recipient
{
    my ($id, $email, $more) = @_;
    return "<AddRecipient><LIST_ID>1</LIST_ID><CREATED_FROM>3</CREATED_FROM>"
        . "<UPDATE_IF_FOUND>TRUE</UPDATE_IF_FOUND>"
        . "<SYNC_FIELDS><SYNC_FIELD><NAME>email_id</NAME><VALUE>$id</VALUE>"
        . "</SYNC_FIELD></SYNC_FIELDS>"
        . "<COLUMN><NAME>email_id</NAME><VALUE>$id</VALUE></COLUMN>"
        . "<COLUMN><NAME>email</NAME><VALUE>$email</VALUE></COLUMN>"
        . ($more // '') . "</AddRecipient>";
}

sub rows
{
    my ($operation, $table, $element, @rows) = @_;
    my $xml = join '', map {
        my @row = @$_;
        my $columns = '';
        while (my ($name, $value) = splice @row, 0, 2)
        {
            $columns .= qq{<$element name="$name">$value</$element>};
        }
        "<ROW>$columns</ROW>" } @rows;
    return "<$operation><TABLE_ID>$table</TABLE_ID><ROWS>$xml</ROWS></$operation>";
}

sub settings { return $ctms->request(POST => url('/_sandbox/settings'), {@_}) }
sub contact { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json} }

subtest 'tokens' => sub {
    my $r = grant('wrong');
    is($r->{status}, 400, 'a wrong secret is refused');
    is($r->{json}{error}, 'invalid_client', 'with its reason');
    like(xml(add_recipient('c1', 'a@example.com'), Authorization => undef),
        qr{<errorid>145</errorid>}, 'no token: fault 145');
    is(grant('secret')->{status}, 200, 'unknown fields of the form are ignored');
    my $first = $token;
    grant('secret');
    is($token, $first, 'a token that still runs is given out again');
    $ctms->request(POST => url('/_sandbox/revoke-token'), '');
    like(xml(add_recipient('c1', 'a@example.com')), qr{Session has expired or is invalid},
        'a revoked token: fault 145');
    grant('secret');
    isnt($token, $first, 'then there is a new one');
};

subtest 'recipients' => sub {
    like(xml(add_recipient('c1', 'a@example.com',
        '<COLUMN><NAME>first_name</NAME><VALUE>Zo&#235; &lt;b&gt;</VALUE></COLUMN>')),
        qr{<SUCCESS>TRUE</SUCCESS>}, 'a new one');
    xml(add_recipient('c1', 'b@example.com', "<COLUMN>\n <NAME>last_name</NAME>\n</COLUMN>"));
    my $c = contact('c1');
    is_deeply($c->{main}, { email_id => 'c1', email => 'b@example.com',
            first_name => "Zo\x{eb} <b>", last_name => '' },
        'updates keep the columns that are not sent');
    is("$c->{sent} $c->{accepted}", '2 2', 'and are counted');
    like(xml(add_recipient('c2', 'a b@example.com')),
        qr{Email Address Is Invalid\.}, 'an invalid address');
    like(xml(add_recipient('c2', '')), qr{<errorid>121</errorid>}, 'no address');
    like(xml(add_recipient('c2', 'c@example.com') =~ s/LIST_ID>1</LIST_ID>9</r),
        qr{<errorid>108</errorid><module/><class>SP.ListManager}, 'an unknown list');
    like(xml('<addrecipient/>'), qr{<errorid>51</errorid>}, 'wrong case');
    like(xml('<AddRecipient><Column/></AddRecipient>'),
        qr{<errorid>51</errorid>}, 'wrong case within');
    like(xml('<AddRecipient>'), qr{<errorid>51</errorid>}, 'no XML');
    is($ctms->sandbox('/_sandbox/recipients/c2')->{status}, 404, 'nothing of these was kept');
    my $form = $ctms->request(POST => url('/XMLAPI'),
        'xml=' . join('', map { sprintf '%%%02X', ord } split //, '<Envelope><Body>'
            . add_recipient('c3', 'c@example.com') . '</Body></Envelope>'),
        { %form, Authorization => "Bearer $token" });
    like($form->{content}, qr{TRUE}, 'the form transport');
    is(contact('c3')->{main}{email}, 'c@example.com', 'carries the same');
};

subtest 'relational rows' => sub {
    my $insert = sub { return xml(rows('InsertUpdateRelationalTable', 2, 'COLUMN', @_)) };
    like($insert->([ email_id => 'c1', newsletter_name => 'one', subscribed => 'Yes' ],
            [ email_id => 'c1', newsletter_name => 'two', subscribed => 'No' ]), qr{TRUE},
            'inserted');
    $insert->([ email_id => 'c1', newsletter_name => 'one', subscribed => 'No' ]);
    is_deeply([ map { "$_->{newsletter_name} $_->{subscribed}" } @{ contact('c1')->{newsletter} } ],
        [ 'one No', 'two No' ], 'and updated by key');
    my $failures = $insert->([ email_id => 'c1', newsletter_name => 'three',
            create_timestamp => '03/28/2020' ], [ email_id => 'c1' ]);
    my $rows = qr{Invalid Date Value.*name="newsletter_name">three<.*All key columns}s;
    like($failures, qr{<SUCCESS>true</SUCCESS>.*$rows}s, 'single rows fail while SUCCESS is true');
    like($insert->(map { [ email_id => 'c1', newsletter_name => "n$_" ] } 1 .. 101), qr{100 rows},
        '101 rows are too many');
    like(xml(rows('InsertUpdateRelationalTable', 77, 'COLUMN')),
        qr{<errorid>108</errorid>}, 'an unknown table');
    my $delete = xml(rows('DeleteRelationalTableData', 2, 'KEY_COLUMN',
            [ email_id => 'c1', newsletter_name => 'two' ],
            [ email_id => 'c1', newsletter_name => 'never' ]));
    like($delete, qr{Row Not Found.*never}s, 'deleting says what was not there');
    unlike($delete, qr{two}, 'and removes what was');
    my $remove = '<RemoveRecipient><LIST_ID>1</LIST_ID>'
        . '<COLUMN><NAME>email_id</NAME><VALUE>c3</VALUE></COLUMN></RemoveRecipient>';
    like(xml($remove), qr{TRUE}, 'a recipient is removed');
    like(xml($remove), qr{<errorid>128<}, 'once');
};

subtest 'faults on demand' => sub {
    is(settings(faults => [ { answer => 'no such' } ])->{status}, 400,
        'a rule that makes no sense is refused');
    settings(faults => [ { answer => 'fault', errorid => 50, count => 1,
            email => 'x*@example.com' },
            { answer => 'html', skip => 1, count => 1 },
            { answer => 'body', body => 'odd', count => 1 },
            { answer => 'empty', count => 1 },
            { answer => 'cut', count => 1, apply => JSON::PP::true },
            { answer => 'failure', failure_type => 'transient',
                text => 'Database Deadlock', count => 1 } ]);
    my $good = add_recipient('c4', 'd@example.com');
    is(xml($good), 'odd', 'a body of any kind');
    like(xml($good), qr{503}, 'HTML');
    is(xml($good), '', 'nothing');
    like(xml(add_recipient('c5', 'x1@example.com')),
        qr{<errorid>50</errorid>}, 'a fault by address');
    is($ctms->sandbox('/_sandbox/recipients/c4')->{status}, 404,
        'what was answered so was not done');
    xml($good);
    is($ctms->sandbox('/_sandbox/recipients/c4')->{status}, 200, 'unless the rule says so');
    like(xml(rows('InsertUpdateRelationalTable', 4, 'COLUMN',
            [ email_id => 'c4', product_id => 'p' ])),
        qr{failure_type="transient" description="Database Deadlock".*>p<}s, 'a row');
    like(xml($good), qr{TRUE}, 'and then no more');
};

subtest 'versions that go back' => sub {
    my $went_back = sub {
        my $stats = $ctms->sandbox('/_sandbox/stats')->{json};
        return "$stats->{went_back} $stats->{went_back_last}";
    };
    my $version = sub {
        xml(add_recipient('v1', 'v@example.com', 
                "<COLUMN><NAME>first_name</NAME><VALUE>version $_[0]</VALUE></COLUMN>"));
        return xml(rows(InsertUpdateRelationalTable => 2, 'COLUMN', [ email_id => 'v1',
                    newsletter_name => 'news', newsletter_source => "version $_[0]" ]));
    };
    $version->($_) for 9, 9, 10;
    is($went_back->(), '0 ', 'forth, or again');
    $version->(9);
    is($went_back->(), '2 9 after 10: newsletter of v1', 'and back');
    xml('<RemoveRecipient><LIST_ID>1</LIST_ID><COLUMN><NAME>email_id</NAME><VALUE>v1</VALUE>'
            . '</COLUMN></RemoveRecipient>');
    $version->(10);
    is($went_back->(), '3 10 after 11: main of v1', 'who was removed comes back as before');
};

subtest 'at most 10 in flight' => sub {
    settings(latency_ms => 300);
    my @sockets = map { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$ctms->{sandbox_port}") }
        1 .. 11;
    my $body = '<Envelope><Body>' . add_recipient('c6', 'f@example.com') . '</Body></Envelope>';
    print {$_} "POST /XMLAPI HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "Authorization: Bearer $token\r\nContent-Length: " . length($body) . "\r\n\r\n$body"
        for @sockets;
    my @answers = map { local $/; scalar readline $_ } @sockets;
    is(scalar(grep { /TRUE/ } @answers), 10, 'ten are served');
    is(scalar(grep { /concurrent/ } @answers), 1, 'the eleventh is refused');
    my $stats = $ctms->sandbox('/_sandbox/stats')->{json};
    is("$stats->{max_in_flight_seen} $stats->{refused_concurrent} $stats->{in_flight}", '11 1 0',
        'and seen');
    is($stats->{sent}{c6}, 10, 'each contact has its count');
    my @ledger = @{ $ctms->sandbox('/_sandbox/ledger?limit=100000')->{json} };
    is_deeply([ @{ $ledger[-2] }{qw(operation table email_id rows in_flight answer)} ],
        [ 'AddRecipient', 'main', 'c6', 1, 10, 'right' ], 'the ledger has them all');
    is($ledger[-1]{answer}, 'refused', 'with how they were answered');
    is(scalar(@{ $ctms->sandbox("/_sandbox/ledger?after=$ledger[-3]{number}")->{json} }),
        2, 'and can be followed');
    settings(latency_ms => 0, exponential_ms => 1, tail_percent => 50, tail_ms => 1);
    like(xml(add_recipient('c6', 'f@example.com')), qr{TRUE}, 'latency of all kinds') for 1 .. 5;
    settings(exponential_ms => 0, tail_percent => 0);
};

subtest 'page and state' => sub {
    xml(add_recipient('c7', 'g&lt;script&gt;@example.com'));
    xml(add_recipient('c8', "\xf0\x9f\x98\x80" x 40));
    my $page = $ctms->sandbox('/')->{content};
    ok(utf8::decode(my $text = $page), 'the page is UTF-8, also where it cuts what was refused');
    like($page, qr{b\@example\.com}, 'the page shows recipients');
    unlike($page, qr{<script>}, 'escaped');
    like($page, qr{<td>AddRecipient<td>main<td>c2<td>a b\@example\.com<td>Email Address Is Inv},
        'and what was refused');
    my $found = sub { return $ctms->sandbox("/?q=$_[0]")->{content} };
    like($found->('B%40EXAMPLE'), qr{>1 found<.*<h2>b\@example\.com</h2>}s, 'by address');
    like($found->('%20b@example.com%0D%0A'), qr{>1 found<}, 'copied with what is around');
    like($found->('c1'), qr{>1 found<.*<h2>b\@example\.com</h2>}s, 'by email_id');
    like($found->('one'), qr{>1 found<.*<h2>b\@example\.com</h2>}s, 'by newsletter');
    my $nothing = $found->('%22%3E%3Cscript%3E%26');
    like($nothing, qr{value="&quot;&gt;&lt;script&gt;&amp;".*None has.*>0 found<.*None has}s,
        'nothing');
    unlike($nothing, qr{<script>}, 'what was looked for is escaped');
    like($ctms->sandbox("/?page=$_")->{content}, qr{found}, "page $_")
        for 0, 7, -1, 'x', '9' x 30;
    my $before = $ctms->sandbox('/_sandbox/recipients')->{json};
    is($ctms->stop_program('sandbox'), 0, 'it stops');
    $ctms->start_sandbox(STATE => $state);
    my $sort = sub { return [ sort { $a->{email_id} cmp $b->{email_id} } @{ $_[0]{recipients} } ] };
    is_deeply($sort->($ctms->sandbox('/_sandbox/recipients')->{json}), $sort->($before),
        'and starts with what it had');
};

subtest 'where it listens' => sub {
    my $port = $ctms->{sandbox_port};
    my $other = "127.0.0.2:$port";
    my $is_reached = sub { return IO::Socket::INET->new(PeerAddr => $other, Timeout => 1) };
    ok(!$is_reached->(), 'at one address');
    is($ctms->stop_program('sandbox'), 0, 'it stops');
    my %env = (SANDBOX_PORT => $port, SANDBOX_HOST => '127.0.0.2');
    $ctms->start_program('sandbox', 'acoustic-sandbox', \%env);
    poll_until($is_reached, 'at another');
    is($ctms->stop_program('sandbox'), 0, 'it stops');
    $env{SANDBOX_HOST} = '192.0.2.1';
    $ctms->start_program('sandbox', 'acoustic-sandbox', \%env);
    my $log = qr/could not listen on "192\.0\.2\.1", port $port\n/;
    poll_until(sub { $ctms->log_of('sandbox') =~ $log }, 'not at one that is not here');
    isnt($ctms->stop_program('sandbox'), 0, 'and it ends');
};

done_testing();
