# The page at /docs in a real browser: log in with an API client, try what is filled in, see a 422.
# All that behind a proxy that serves it under a prefix, of which the server knows nothing. Runs
# where Chromium is installed (scripts/install-packages browser).
use strict;
use warnings;
use CTMS::Browser;
use CTMS::Test;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Test::More;

my $browser = CTMS::Browser->new or plan skip_all => 'there is no Chromium';
my $ctms = CTMS::Test->new('rest_docs_page');
$ctms->start_rest;
$ctms->login;
my $json = JSON::PP->new->allow_nonref;

# ---- the proxy: what comes for /prefix/x asks the server for /x ---------------------------------
my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1', Proto => 'tcp')
    or die "listen: $!";
my $origin = 'http://127.0.0.1:' . $listener->sockport;
my $url = "$origin/prefix";

sub read_head
{
    my ($client) = @_;
    my $head = '';
    while ($head !~ /\r\n\r\n/) { $client->sysread($head, 65536, length $head) or return '' }
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    while (length($head =~ s/.*?\r\n\r\n//sr) < ($length // 0))
    {
        $client->sysread($head, 65536, length $head) or last;
    }
    return $head;
}

sub relay
{
    my ($client) = @_;
    my $request = read_head($client);
    return $client->print("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        unless $request =~ s{^(\w+) /prefix/}{$1 /};
    $request =~ s/^Connection: [^\r]*/Connection: close/mi;
    my $server = IO::Socket::INET->new("127.0.0.1:$ctms->{rest_port}") or return;
    $server->print($request);
    while ($server->sysread(my $part, 65536)) { $client->print($part) }
    return;
}

my $proxy = fork // die "fork: $!";
if (!$proxy)
{
    local $SIG{CHLD} = 'IGNORE';
    while (my $client = $listener->accept)
    {
        next if fork;
        $client->autoflush(1);
        relay($client);
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}
close $listener;

# ---- the page -----------------------------------------------------------------------------------

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
$browser->wait_for(find('#operations-contacts-create_contact'), 'the page shows the operations');
pass('the page shows the operations');
is($browser->run(find('.servers select, .servers .computed-url') . '.textContent'), $url,
    'and the whole URL of the server');

# Without a token the server says so, and the page shows it. What the document has as examples is
# filled in.
my ($status) = execute('contacts-get_contact');
is($status, 401, 'not logged in');

for ('#operations-contacts-get_contact .authorization__btn', '.auth-wrapper .btn.authorize')
{
    click($_);
    $browser->wait_for(find('.modal-ux .auth-container'), 'the dialog');
    like($browser->run(find('.modal-ux .auth-container') . '.textContent'),
        qr/client_credentials.*client_secret/s, 'the first form is that for clients');
    click('.modal-ux .close-modal') if /operations/;
}
type_into('.auth-container input[id^=client_id]', $ctms->{client_id});
type_into('.auth-container input[id^=client_secret]', $ctms->{client_secret});
click('.auth-container .btn.authorize');
$browser->wait_for(q(Array.from(document.querySelectorAll('.auth-container button'))
    .some(b => b.textContent === 'Logout')), 'logged in');
pass('logged in with client credentials');
click('.btn-done');

my $answer;
($status, $answer) = execute('contacts-create_contact');
is($status, 201, 'the contact of the example is created') or diag($answer);
is($ctms->sql('SELECT primary_email FROM ctms.emails'), 'try-it@example.com',
    'it is in the database');
($status, $answer) = execute('contacts-get_contact');
is($status, 200, 'it is read');
like($answer, qr/try-it\@example\.com/, 'and shown');
for (qw(find_contacts put_contact patch_contact get_updates get_identity find_identities))
{
    ($status, $answer) = execute("contacts-$_");
    is($status, $_ eq 'put_contact' ? 201 : 200, "$_ as it is filled in");
    like($answer, qr/try-it\@example\.com/, 'is about it');
}
($status) = execute('Stripe-store_stripe_objects');
is($status, 200, 'an object of Stripe');
($status) = execute('contacts-delete_contact_by_primary_email');
is($status, 200, 'it is deleted');
($status, $answer) = execute('contacts-create_contact',
    '.body-param__text' => '{"email": {"primary_email": null}}');
is($status, 422, 'a bad body');
like($answer, qr/primary_email/, 'is explained');
is_deeply([ grep { !/status of (401|422)/ } $browser->complaints ], [],
    'the page has nothing to complain of');
kill TERM => $proxy;
waitpid $proxy, 0;
$ctms->stop_program('rest');
done_testing();
