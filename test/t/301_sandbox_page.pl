# The page of the Acoustic sandbox in a real browser: look up a contact, and what was refused of it,
# among many; also in a narrow window. Skipped where there is no Chromium. CTMS_TEST_SCREENSHOTS=DIR
# keeps pictures of what is seen.
use strict;
use warnings;
use CTMS::Browser;
use CTMS::Test qw(slurp);
use JSON::PP;
use Test::More;

my $browser = CTMS::Browser->new or plan skip_all => 'there is no Chromium';
my $ctms = CTMS::Test->programs_only('sandbox_page');
my $url = $ctms->start_sandbox;
my $json = JSON::PP->new->allow_nonref;
my $token = $ctms->request(POST => "$url/oauth/token", 'grant_type=refresh_token&client_id=cid'
        . '&client_secret=secret&refresh_token=refresh',
    { 'Content-Type' => 'application/x-www-form-urlencoded' })->{json}{access_token};

sub send_xml
{
    my ($body) = @_;
    return $ctms->request(POST => "$url/XMLAPI", "<Envelope><Body>$body</Body></Envelope>",
        { 'Content-Type' => 'text/xml', Authorization => "Bearer $token" })->{content};
}

sub add_contact
{
    my ($id, $address) = @_;
    return send_xml('<AddRecipient><LIST_ID>1</LIST_ID><CREATED_FROM>3</CREATED_FROM>'
        . '<UPDATE_IF_FOUND>TRUE</UPDATE_IF_FOUND><SYNC_FIELDS><SYNC_FIELD><NAME>email_id</NAME>'
        . "<VALUE>$id</VALUE></SYNC_FIELD></SYNC_FIELDS>"
        . "<COLUMN><NAME>email_id</NAME><VALUE>$id</VALUE></COLUMN>"
        . "<COLUMN><NAME>email</NAME><VALUE>$address</VALUE></COLUMN></AddRecipient>");
}

sub add_newsletter
{
    my ($id, $name, $time) = @_;
    return send_xml('<InsertUpdateRelationalTable><TABLE_ID>2</TABLE_ID><ROWS><ROW>'
        . qq{<COLUMN name="email_id">$id</COLUMN><COLUMN name="newsletter_name">$name</COLUMN>}
        . qq{<COLUMN name="create_timestamp">$time</COLUMN></ROW></ROWS>}
        . '</InsertUpdateRelationalTable>');
}

add_contact("id-$_", "person$_\@example.com") for 1 .. 120;
add_newsletter('id-77', 'rare-news', '');
my $markup = '&lt;img src=x onerror="document.title=1"&gt;';
add_newsletter('id-78', $markup, '');
like(add_newsletter('id-79', $markup, 'never'), qr/FAILURE/, 'a row is refused');
like(add_contact('id-broken', 'no address'), qr/Fault/, 'so is a contact');

sub texts
{
    my ($selector) = @_;
    return @{ $browser->run('Array.from(document.querySelectorAll('
            . $json->encode($selector) . ')).map(e => e.textContent)') };
}

# Types into the field and waits for the page that comes.
sub search
{
    my ($text) = @_;
    $browser->run('document.title = "old"');
    $browser->type_into('input', $text);
    $browser->click('button');
    $browser->wait_for('document.title === "Acoustic sandbox" && document.querySelector("#found")',
        "the page of $text");
    is($browser->run('document.querySelector("input").value'), $text, "looked for $text");
    return;
}

sub follow
{
    my ($name) = @_;
    $browser->run('document.title = "old"; Array.from(document.querySelectorAll("#found a"))'
        . '.find(e => e.textContent === ' . $json->encode($name) . ').click()');
    $browser->wait_for('document.title === "Acoustic sandbox" && document.querySelector("#found")',
        "the $name page");
    return;
}

$browser->set_width(1200);
$browser->open($url);
$browser->wait_for('document.querySelector("#found")', 'the page');
is((texts('#counts tr:nth-child(2) td:first-child'))[0], '120', 'the counts');
is((texts('#counts tr:nth-child(2) td:last-child'))[0], '2', 'also of what was refused');
$browser->screenshot('sandbox-1-first-sight');

# All contacts are on three pages, each once.
like((texts('#found'))[0], qr/^120 found, page 1 of 3 next$/, 'the first page');
my @addresses = texts('section h2');
is(scalar @addresses, 50, 'shows 50');
follow('next');
push @addresses, texts('section h2');
follow('next');
push @addresses, texts('section h2');
is(join(' ', sort @addresses), join(' ', sort map { "person$_\@example.com" } 1 .. 120),
    'all pages show all contacts');
follow('previous');
like((texts('#found'))[0], qr/page 2 of 3/, 'and back');

search('PERSON42@');
is_deeply([ texts('section h2') ], ['person42@example.com'], 'a contact by address');
search('id-77');
is_deeply([ texts('section h2') ], ['person77@example.com'], 'by email_id');
search('rare-news');
is_deeply([ texts('section h2') ], ['person77@example.com'], 'by newsletter');
is((texts('#refused'))[0], undef, 'nothing was refused of it');
is((texts('.empty'))[0], 'None has this text.', 'as the page says');

search('id-broken');
is(join('|', (texts('#refused td'))[ 1 .. 5 ]),
    'AddRecipient|main|id-broken|no address|Email Address Is Invalid.', 'what was refused and why');
like((texts('#refused td'))[0], qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/, 'and when');
like((texts('#found'))[0], qr/^0 found/, 'it is no recipient');

search('<img src=x');
is(join('|', (texts('#refused td'))[ 1 .. 5 ]), 'InsertUpdateRelationalTable|newsletter|id-79|'
        . '<img src=x onerror="document.title=1">|Invalid Date Value in column:' . "\n"
        . 'create_timestamp', 'markup is text');
is_deeply([ texts('section h2') ], ['person78@example.com'], 'in contacts too');
is($browser->run('document.querySelectorAll("img, script").length'), 0, 'and nothing else');
$browser->screenshot('sandbox-2-found');
$browser->set_width(400);
$browser->screenshot('sandbox-3-narrow');
is_deeply($browser->beside_window, [], 'nothing is beside a narrow window');
search('person');
$browser->screenshot('sandbox-4-narrow-list');
is_deeply($browser->beside_window, [], 'nor beside a list in one');
is_deeply([ $browser->complaints ], [], 'the page has nothing to complain of');

# All its processes have its folder in their environment.
my $home = $browser->{home};
sub processes { return grep { slurp($_) =~ /\Q$home\E/ } glob '/proc/[0-9]*/environ' }
cmp_ok(scalar(processes()), '>', 1, 'the browser has processes');
undef $browser;
is_deeply([ processes() ], [], 'it leaves none behind');
ok(!-e $home, 'nor a file');
done_testing();
