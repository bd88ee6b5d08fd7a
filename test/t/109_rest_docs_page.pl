# The page at /docs in a real browser: log in with an API client, create a contact, read it, see a
# 422. Runs where Chromium is installed (scripts/install-packages browser).
use strict;
use warnings;
use CTMS::Browser;
use CTMS::Test;
use JSON::PP;
use Test::More;

my $browser = CTMS::Browser->new or plan skip_all => 'there is no Chromium';
my $ctms = CTMS::Test->new('rest_docs_page');
my $url = $ctms->start_rest;
$ctms->login;
my $json = JSON::PP->new->allow_nonref;

sub find { my ($selector) = @_; return 'document.querySelector(' . $json->encode($selector) . ')' }

sub click
{
    my ($selector) = @_;
    $browser->wait_for(find($selector), "$selector is there");
    return $browser->run(find($selector) . '.click()');
}

# As if typed; leaving the field makes the page take it at once.
sub type_into
{
    my ($selector, $text) = @_;
    $browser->wait_for(find($selector), "$selector is there");
    return $browser->run(sprintf q((e => {
        Object.getOwnPropertyDescriptor(Object.getPrototypeOf(e), 'value').set.call(e, %s);
        e.dispatchEvent(new Event('input', { bubbles: true }));
        e.dispatchEvent(new FocusEvent('focusout', { bubbles: true })) })(%s)),
        $json->encode($text), find($selector));
}

# Runs an operation of the page; returns status and body that it shows.
sub execute
{
    my ($id, %values) = @_;
    my $block = "#operations-$id";
    my $is_open = $browser->run('!!' . find("$block.is-open"));
    click("$block .opblock-summary-control") unless $is_open;
    type_into("$block $_", $values{$_}) for sort keys %values;
    click("$block .btn-clear") if $browser->run('!!' . find("$block .btn-clear"));
    click("$block .execute");
    my $status = "$block .live-responses-table tbody .response-col_status";
    $browser->wait_for(find($status), 'an answer');
    return ($browser->run(find($status) . '.textContent') =~ /(\d+)/, $browser->run('('
            . find("$block .live-responses-table .microlight, $block .live-responses-table code")
            . ')?.textContent'));
}

$browser->open("$url/docs");
$browser->wait_for(find('#operations-contacts-post_ctms'), 'the page shows the operations');
pass('the page shows the operations');

# Without a token the server says so, and the page shows it.
my ($status) = execute('contacts-get_ctms_email_id',
    'input[placeholder=email_id]' => '332de237-cab7-4461-bcc3-48e68f42bd5c');
is($status, 401, 'not logged in');

click('.auth-wrapper .btn.authorize');
type_into('.auth-container input[id^=client_id]', $ctms->{client_id});
type_into('.auth-container input[id^=client_secret]', $ctms->{client_secret});
click('.auth-container .btn.authorize');
$browser->wait_for(q(Array.from(document.querySelectorAll('.auth-container button'))
    .some(b => b.textContent === 'Logout')), 'logged in');
pass('logged in with client credentials');
click('.btn-done');

my $body = '{"email": {"email_id": "332de237-cab7-4461-bcc3-48e68f42bd5c",
    "primary_email": "page@example.com"}}';
($status) = execute('contacts-post_ctms', '.body-param__text' => $body);
is($status, 201, 'a contact is created');
is($ctms->sql('SELECT primary_email FROM ctms.emails'), 'page@example.com',
    'it is in the database');
my $answer;
($status, $answer) = execute('contacts-get_ctms_email_id',
    'input[placeholder=email_id]' => '332de237-cab7-4461-bcc3-48e68f42bd5c');
is($status, 200, 'it is read');
like($answer, qr/page\@example\.com/, 'and shown');
($status, $answer) = execute('contacts-post_ctms',
    '.body-param__text' => '{"email": {"primary_email": null}}');
is($status, 422, 'a bad body');
like($answer, qr/primary_email/, 'is explained');
is_deeply([ grep { !/status of (401|422)/ } $browser->complaints ], [],
    'the page has nothing to complain of');
$ctms->stop_program('rest');
done_testing();
