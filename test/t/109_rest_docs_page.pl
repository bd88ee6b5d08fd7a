# The page at /docs in a real browser, as a developer meets it who has run README.md's examples.
# Log in with an API client, try what is filled in, read errors, log out; also in a narrow window.
# All that behind a proxy that serves it under a prefix, of which the server knows nothing. Skipped
# where there is no Chromium. CTMS_TEST_SCREENSHOTS=DIR keeps pictures of what is seen.
use strict;
use warnings;
use CTMS::Browser;
use CTMS::Test qw(slurp);
use IO::Socket::INET;
use POSIX ();
use Test::More;

my $browser = CTMS::Browser->new or plan skip_all => 'there is no Chromium';
my $ctms = CTMS::Test->new('rest_docs_page');
$ctms->start_rest;
$ctms->login;
my ($readme) = slurp("$ENV{CTMS_TEST_TOP}/README.md") =~ /-d '\n\s*(\{.*?\})'\n/s;
is($ctms->request(POST => '/ctms', $readme)->{status}, 201, 'the example of README.md was run');

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

# Runs an operation of the page, the only open one; returns status and body that it shows.
sub execute
{
    my ($id, %values) = @_;
    my $block = "#operations-$id";
    my $other = ".opblock.is-open:not($block)";
    $browser->click("$other .opblock-summary-control") if $browser->has($other);
    $browser->click("$block .opblock-summary-control") unless $browser->has("$block.is-open");
    $browser->type_into("$block $_", $values{$_}) for sort keys %values;
    $browser->click("$block .btn-clear") if $browser->has("$block .btn-clear");
    $browser->click("$block .execute");
    my $answer = "$block .live-responses-table";
    my $status = "$answer tbody .response-col_status";
    $browser->wait_for("document.querySelector('$status')", 'an answer');
    return ($browser->text_of($status) =~ /(\d+)/,
        $browser->text_of("$answer .microlight, $answer code"));
}

$browser->set_width(1200);
$browser->open("$url/docs");
$browser->wait_for("document.querySelector('#operations-contacts-create_contact')",
    'the page shows the operations');
pass('the page shows the operations');
$browser->screenshot('docs-1-first-sight');
like($browser->text_of('.info'), qr/To try it, click Authorize/, 'it tells how to begin');
is($browser->text_of('.opblock .opblock-summary-description'), 'Create a contact',
    'with the first call');
is($browser->text_of('.servers select, .servers .computed-url'), $url,
    'and the whole URL of the server');

# Without a token the server says so, and the page shows it. What the document has as examples is
# filled in.
my ($status, $answer) = execute('contacts-get_contact');
is($status, 401, 'not logged in');
like($answer, qr/Not authenticated/, 'as the page says');
$browser->screenshot('docs-2-not-logged-in');

# ---- log in -------------------------------------------------------------------------------------
for ('#operations-contacts-get_contact .authorization__btn', '.auth-wrapper .btn.authorize')
{
    $browser->click($_);
    $browser->wait_for("document.querySelector('.modal-ux .auth-container')", 'the dialog');
    like($browser->text_of('.modal-ux .auth-container'),
        qr/client_credentials.*client_secret/s, 'the first form is that for clients');
    $browser->wait_for("document.activeElement.matches('.auth-container input[id^=client_id]')",
        'the focus');
    is($browser->run("document.querySelector('.modal-ux-content').scrollTop"), 0,
        'it is in view, and has the focus');
    $browser->click('.modal-ux .close-modal') if /operations/;
}
sub log_in
{
    my ($secret) = @_;
    $browser->type_into('.auth-container input[id^=client_id]', $ctms->{client_id});
    $browser->type_into('.auth-container input[id^=client_secret]', $secret);
    $browser->click('.auth-container .btn.authorize');
    return;
}
$browser->screenshot('docs-3-authorize');
log_in('not the secret');
$browser->wait_for("document.querySelector('.auth-container .errors')", 'an error');
like($browser->text_of('.auth-container .errors'), qr/Incorrect username or password/,
    'a wrong secret is refused');
$browser->screenshot('docs-4-wrong-secret');
log_in($ctms->{client_secret});
my $is_logged_in = q(Array.from(document.querySelectorAll('.auth-container button'))
    .some(b => b.textContent === 'Logout'));
$browser->wait_for($is_logged_in, 'logged in');
pass('logged in with client credentials');
$browser->screenshot('docs-5-logged-in');
$browser->click('.btn-done');

# ---- what is filled in works --------------------------------------------------------------------
($status, $answer) = execute('contacts-create_contact');
is($status, 201, 'the contact of the example is created') or diag($answer);
$browser->screenshot('docs-6-created');
is($ctms->sql('SELECT primary_email FROM ctms.emails ORDER BY 1'),
    "hello\@example.com\ntry-it\@example.com", 'it is in the database');
for (qw(get_contact find_contacts put_contact patch_contact get_updates get_identity
    find_identities))
{
    ($status, $answer) = execute("contacts-$_");
    is($status, $_ eq 'put_contact' ? 201 : 200, "$_ as it is filled in") or diag($answer);
    like($answer, qr/try-it\@example\.com/, 'is about it');
}
is($ctms->sql(q(SELECT last_name FROM ctms.emails WHERE primary_email LIKE 'try%')), 'Changed',
    'it was changed');
($status, $answer) = execute('access-get_token');
is($status, 400, 'the client of the example is unknown');
unlike($answer, qr/error_description/, 'an answer is shown as it is');
($status) = execute('Stripe-store_stripe_objects');
is($status, 200, 'an object of Stripe');
($status, $answer) = execute('contacts-delete_contact_by_primary_email');
is($status, 200, 'it is deleted by its address');
like($answer, qr/try-it\@example\.com/, 'and its ids are shown');
is($ctms->sql('SELECT primary_email FROM ctms.emails'), 'hello@example.com', 'no other is');

# ---- what is wrong is explained -----------------------------------------------------------------
($status, $answer) = execute('contacts-create_contact',
    '.body-param__text' => '{"email": {"primary_email": null}, "newsletters": [{"name": 1}, {}]}');
is($status, 422, 'a bad body');
like($answer, qr/"primary_email"\s*\],\s*"msg": "none is not an allowed value"/,
    'the text says where and what');
like($answer, qr/"newsletters",\s*1,\s*"name"\s*\],\s*"msg": "field required"/, 'of all errors');
$browser->screenshot('docs-7-bad-body');

# ---- in a narrow window, and out ----------------------------------------------------------------
$browser->set_width(400);
is_deeply($browser->beside_window, [], 'nothing is beside a narrow window');
$browser->screenshot('docs-8-narrow');
$browser->click('.auth-wrapper .btn.authorize');
$browser->wait_for($is_logged_in, 'the dialog');
is_deeply($browser->beside_window, [], 'nor with the dialog');
$browser->screenshot('docs-9-narrow-dialog');
$browser->click('.auth-container .btn.modal-btn:not(.btn-done)');
$browser->wait_for("!$is_logged_in", 'logged out');
$browser->click('.btn-done');
$browser->set_width(1200);
($status) = execute('contacts-get_contact');
is($status, 401, 'logged out');
is_deeply([ grep { !/status of (400|401|422)/ } $browser->complaints ], [],
    'the page has nothing to complain of');
kill TERM => $proxy;
waitpid $proxy, 0;
$ctms->stop_program('rest');
done_testing();
