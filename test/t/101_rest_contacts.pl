# Contacts over REST: every endpoint with good, bad, odd and repeated requests.
use strict;
use warnings;
use CTMS::RestTest;
use CTMS::Test;
use JSON::PP;
use Test::More;
use utf8;

my $ctms = CTMS::Test->new('rest_contacts');
my $url = $ctms->start_rest;
$ctms->login;

sub check { unshift @_, $ctms; goto &answers }

my $id = '332de237-cab7-4461-bcc3-48e68f42bd5c';
my $token = 'acd46013-9da8-4d9e-b32f-bcb8f0a85b8a';
my $nobody = '11111111-1111-4111-8111-111111111111';
my %body = (
    email => { email_id => $id, primary_email => 'a+b@example.com', basket_token => $token,
        first_name => "Zo\x{eb}",
        mailing_country => 'fr', email_lang => 'fr', double_opt_in => JSON::PP::true },
    newsletters => [ { name => 'mozilla-and-you',
        source => 'https://www.example.com/', lang => 'fr' } ],
    waitlists => [ { name => 'vpn', fields => { geo => 'fr', platform => 'ios,mac' } } ],
    amo => { user_id => 123, user => 'yes' },
    fxa => { fxa_id => '6eb6ed6a', primary_email => 'fxa@example.com' },
    mofo => { mofo_email_id => 'm1', mofo_relevant => 'T' });

# ---- POST -----------------------------------------------------------------------
my $created = check(POST => '/ctms', 201, undef, body => \%body,
    has => { Location => "/ctms/$id" });
my $contact = $created->{json};
is_deeply([ sort keys %$contact ],
    [qw(amo email fxa mofo newsletters relay_waitlist status vpn_waitlist waitlists)],
    'groups of a contact');
is($contact->{email}{first_name}, "Zo\x{eb}", 'a name that is not ASCII');
is($contact->{amo}{user_id}, '123', 'a number for a string');
check(POST => '/ctms', 200, $contact, body => \%body, name => 'the same POST again',
    has => { Location => "/ctms/$id" });
# 409 names the field that is taken, never its value.
sub taken
{
    my ($field) = @_;
    return sub { $_[0]{detail} =~ /\AContact .*already exists: \Q$field\E is taken\z/ };
}

check(POST => '/ctms', 409, { detail => 'Contact already exists: email.email_id is taken' },
    body => { email => { %{ $body{email} }, first_name => 'Y' } }, name => 'another content');
check(POST => '/ctms', 409, taken('email.primary_email'),
    body => { email => { primary_email => 'A+B@EXAMPLE.com' } },
    name => 'the same address in another case');
check(POST => '/ctms', 409, taken('email.basket_token'),
    body => { email => { primary_email => 'c@example.com', basket_token => $token } },
    name => 'a token of somebody else');
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 1, 'nothing else was stored');
check(POST => '/ctms', 201, undef,
    body => "\xEF\xBB\xBF" . '{"email":{"primary_email":"bom@example.com"}}',
    name => 'a byte order mark', headers => { 'Content-Type' => 'text/plain' });

# ---- bodies that are none ---------------------------------------------------------
for (
    [ 'an empty body' => '', 0 ], [ 'no JSON' => 'hello', 0 ],
    [ 'half an object' => '{"email":', 9 ],
    [ 'a NUL' => qq({"email":"\0"}), 10 ],
    [ 'bytes that are not UTF-8' => qq({"email":"\xFF"}), 10 ],
    [ 'NaN' => '{"email":NaN}', 9 ],
    [ 'a lone surrogate' => '{"email":{"primary_email":"\ud800"}}', undef ],
    [ 'an escaped NUL' => '{"email":{"primary_email":"\u0000"}}', undef ])
{
    my ($name, $bytes, $offset) = @$_;
    for my $call ([ POST => '/ctms' ], [ PUT => "/ctms/$id" ], [ PATCH => "/ctms/$id" ])
    {
        check(@$call, 422, sub {
            my $loc = $_[0]{detail}[0]{loc};
            return $loc->[0] eq 'body' && $loc->[1] =~ /^\d+$/
                && (!defined $offset || $loc->[1] == $offset);
        }, body => $bytes, name => "$call->[0] with $name");
    }
}
for ([ 'a list' => '[]' ], [ 'a string' => '"x"' ], [ 'a number' => '1' ], [ 'null' => 'null' ])
{
    check(POST => '/ctms', 422, errors_at([qw(body)]), body => $_->[1],
        name => "POST with $_->[0]");
}
my $deep = '[' x 100_000;
check(POST => '/ctms', 422, undef, body => $deep, name => 'a deep body that does not end');
check(POST => '/ctms', 422, undef, body => '{"email":{"primary_email":"d@example.com"},"x":'
    . $deep . ']' x 100_000 . '}', name => 'a deep body');

# ---- every error, with its place ----------------------------------------------------
check(POST => '/ctms', 422,
    errors_at([qw(body email basket_token)], [qw(body email email_lang)],
        [qw(body newsletters 0 name)],
        [qw(body newsletters 1 lang)], [qw(body amo last_login)]),
    body => { email => { primary_email => 'x@example.com', basket_token => 'no',
        email_lang => 'french' },
        newsletters => [ { source => undef }, { name => 'n', lang => 'x' } ],
        amo => { last_login => 'soon' } },
    name => 'all errors at once');
for (
    [ 'no address' => {}, [qw(body email)] ],
    [ 'an address that is null' => { email => { primary_email => undef } },
        [qw(body email primary_email)] ],
    [ 'an address of 300 characters' => { email => { primary_email => 'a' x 300 } },
        [qw(body email primary_email)] ],
    [ 'a string for a group' => { email => 'x' }, [qw(body email)] ],
    [ 'a name twice' => { email => { primary_email => 'x@example.com' },
        newsletters => [ { name => 'n' }, { name => 'n' } ] }, [qw(body newsletters 1 name)] ],
    [ 'fields that their waitlist forbids' => { email => { primary_email => 'x@example.com' },
        waitlists => [ { name => 'n' }, { name => 'vpn', fields => { geo => 5 } } ] },
        [qw(body waitlists 1 fields geo)] ],
    [ 'no relay country' => { email => { primary_email => 'x@example.com' },
        newsletters => [ { name => 'n' }, { name => 'relay-waitlist' } ] },
        [qw(body newsletters 1)] ])
{
    my ($name, $content, $place) = @$_;
    check(POST => '/ctms', 422, ref $place eq 'ARRAY' ? errors_at($place) : $place,
        body => $content, name => $name);
}
is($ctms->sql('SELECT count(*) FROM ctms.emails'), 2, 'nothing of bad bodies was stored');

# ---- GET --------------------------------------------------------------------------------
for my $form ($id, uc $id, "%7B$id%7D", $id =~ tr/-//dr)
{
    check(GET => "/ctms/$form", 200, $contact, has => { 'Content-Type' => 'application/json' });
}
my $head = check(HEAD => "/ctms/$id", 200, '');
is($head->{headers}{'content-length'}, length($created->{content}), 'HEAD tells the length');
check(GET => "/ctms/$nobody", 404, { detail => 'Unknown email_id' });
for my $bad ('x', "$id%00", '%FF', "$id%20x", '+', '%zz')
{
    check(GET => "/ctms/$bad", 422, errors_at([qw(path email_id)]));
    check(GET => "/identity/$bad", 422, errors_at([qw(path email_id)]));
}
my %identity = (email_id => $id, primary_email => 'a+b@example.com',
    basket_token => $token, sfdc_id => undef,
    mofo_contact_id => undef, mofo_email_id => 'm1', amo_user_id => '123', fxa_id => '6eb6ed6a',
    fxa_primary_email => 'fxa@example.com');
check(GET => "/identity/$id", 200, \%identity);
check(GET => "/identity/$nobody", 404, { detail => 'Unknown email_id' });
for my $query (
    "email_id=$id", 'primary_email=a%2Bb%40example.com',
    'primary_email=A%2BB%40EXAMPLE.COM', "basket_token=$token",
    'mofo_email_id=m1', 'amo_user_id=123', 'fxa_id=6eb6ed6a', 'fxa_primary_email=FXA%40example.com',
    "email_id=$id&fxa_id=6eb6ed6a", 'fxa_id=&fxa_id=6eb6ed6a',
    'unknown=x&fxa_id=6eb6ed6a', 'fxa_id=x&fxa_id=6eb6ed6a')
{
    check(GET => "/ctms?$query", 200,
        [ { map { $_ => $contact->{$_} } grep { $_ ne 'status' } keys %$contact } ]);
    check(GET => "/identities?$query", 200, [ \%identity ]);
}
for my $query ('primary_email=a+b%40example.com', "email_id=$nobody", "email_id=$id&fxa_id=other",
    'sfdc_id=x', 'basket_token=x', "email_id=$id&fxa_id=6eb6ed6a&sfdc_id=",
    'fxa_id=6eb6ed6a&amo_user_id', 'email_id=&fxa_id=6eb6ed6a', 'email_id=', 'sfdc_id=&fxa_id=',
    'fxa_id=6eb6ed6a&fxa_id=',
    map { "fxa_id=6eb6ed6a&$_=" } grep { $_ ne 'fxa_id' } sort keys %identity)
{
    check(GET => "/$_?$query", 200, [], name => "$_?$query") for qw(ctms identities);
}
for my $path ('/ctms', '/ctms?', '/ctms?=', '/identities?unknown=1')
{
    check(GET => $path, 400, sub { !grep { $_[0]{detail} !~ /\b$_\b/ } keys %identity });
}
for my $path ('/ctms?email_id=x', '/identities?email_id=1&fxa_id=2')
{
    check(GET => $path, 422, errors_at([qw(query email_id)]));
}
check(GET => '/ctms?fxa_id=%FF', 422, errors_at([qw(query fxa_id)]));
check(GET => '/ctms?primary_email=%00', 422, errors_at([qw(query primary_email)]));
check(GET => '/ctms?' . join('&', map { "p$_=1" } 1 .. 100), 422, errors_at([qw(query)]),
    name => 'too many parameters');

# ---- PATCH ----------------------------------------------------------------------------------
check(PATCH => "/ctms/$id", 200, sub { $_[0]{email}{last_name} eq 'X' && $_[0]{status} eq 'ok' },
    body => { email => { last_name => 'X' } });
check(PATCH => "/ctms/$id", 200,
    sub { $_[0]{newsletters}[0]{subscribed} == 0 && $_[0]{waitlists}[0]{subscribed} == 0 },
    body => { email => { has_opted_out_of_email => JSON::PP::true }, newsletters => 'UNSUBSCRIBE',
        waitlists => 'UNSUBSCRIBE' });
check(PATCH => "/ctms/$id", 200, sub { !defined $_[0]{amo}{user_id} }, body => { amo => 'DELETE' });
check(PATCH => "/ctms/$id", 200, undef, body => {}, name => 'a PATCH of nothing');
check(PATCH => "/ctms/$nobody", 404, undef, body => {});
check(PATCH => '/ctms/x', 422, errors_at([qw(path email_id)]), body => {});
check(PATCH => "/ctms/$id", 422, errors_at([qw(body email primary_email)]),
    body => { email => { primary_email => undef } });
check(PATCH => "/ctms/$id", 422, errors_at([qw(body email)], [qw(body newsletters)]),
    body => { email => undef, newsletters => undef });
check(PATCH => "/ctms/$id", 409, taken('email.primary_email'),
    body => { email => { primary_email => 'BOM@example.com' } });

# ---- PUT --------------------------------------------------------------------------------------
check(PUT => "/ctms/$id", 201, sub { !@{ $_[0]{newsletters} } && !defined $_[0]{fxa}{fxa_id} },
    body => { email => { primary_email => 'a+b@example.com' } });
check(PUT => "/ctms/$nobody", 201, undef,
    body => { email => { primary_email => 'new@example.com' } });
check(PUT => "/ctms/$nobody", 409, taken('email.primary_email'),
    body => { email => { primary_email => 'a+b@example.com' } });
check(PUT => "/ctms/$id", 422, undef,
    body => { email => { primary_email => 'a@example.com', email_id => $nobody } });
check(PUT => '/ctms/x', 422, errors_at([qw(path email_id)]),
    body => { email => { primary_email => 'a@example.com' } });

# ---- updates -------------------------------------------------------------------------------------
$ctms->sql(q(INSERT INTO ctms.emails (primary_email, update_timestamp)
    SELECT 'u' || n || '@example.com', '2020-01-01Z' FROM generate_series(1, 5) n));
my $page = check(GET => '/updates?start=2019-01-01&end=2021-01-01&limit=2', 200,
    sub { @{ $_[0]{items} } == 2 });
my %seen;
for (1 .. 10)
{
    $seen{ $_->{email}{email_id} }++ for @{ $page->{json}{items} };
    my $next = $page->{json}{next} // last;
    like($next, qr{^\Q$url\E/updates\?}, 'the next page');
    $page = $ctms->request(GET => $next);
}
is_deeply([ values %seen ], [ (1) x 5 ], 'each contact once');
check(GET => '/updates?start=2019-01-01&limit=&end=&after=&mofo_relevant=', 200, undef);
# Unix seconds: 2020-01-01 and a second of it.
$page = check(GET => '/updates?start=1577836800&end=1577836801.5&limit=2', 200,
    sub { @{ $_[0]{items} } == 2 && $_[0]{end} eq '2020-01-01T00:00:01.500000+00:00' });
$page = $ctms->request(GET => $page->{json}{next});
is_deeply([ @{ $page->{json} }{qw(start end)}, scalar @{ $page->{json}{items} } ],
    [ '2020-01-01T00:00:00+00:00', '2020-01-01T00:00:01.500000+00:00', 2 ],
    'the page after one of Unix seconds');
for my $query ('limit=0', 'limit=1001', 'limit=x', 'after=%25', 'end=2018-01-01',
    'end=x', 'end=1e9', 'end=0', 'mofo_relevant=x')
{
    check(GET => "/updates?start=2019-01-01&$query", 422,
        sub { $_[0]{detail}[0]{loc}[0] eq 'query' });
}
check(GET => $_, 422, errors_at([qw(query start)])) for '/updates', '/updates?start=';

# ---- DELETE --------------------------------------------------------------------------------------
is(raw_exchange($ctms->{rest_port},
        "DELETE /ctms/a+b\@example.com HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "Authorization: Bearer $ctms->{token}\r\nContent-Length: 0\r\n\r\n")
        =~ /^HTTP\/1.1 200 .*"email_id":"\Q$id\E"/s, 1,
    'an address as it is, with plus and at');
check(DELETE => '/ctms/a%2Bb%40example.com', 404, { detail => 'email a+b@example.com not found!' });
check(DELETE => '/ctms/BOM%40EXAMPLE.com', 200,
    sub { @{ $_[0] } == 1 && $_[0][0]{primary_email} eq 'bom@example.com' });
check(DELETE => "/ctms/zo\xC3\xAB", 404, undef, name => 'bytes that are not encoded');
check(DELETE => '/ctms/%00', 422, errors_at([qw(path primary_email)]));
is($ctms->sql("SELECT count(*) FROM ctms.emails WHERE email_id = '$id'"), 0, 'the contact is gone');

# ---- waitlists -----------------------------------------------------------------------------------
check(GET => '/waitlists', 200, qr/"vpn"/);
check(GET => '/waitlists/vpn', 200, qr/"platform"/);
check(GET => '/waitlists/%FF', 422, errors_at([qw(path name)]));

# ---- what the older fields leave in the metrics --------------------------------------------------
check(POST => '/ctms', 201, sub { $_[0]{vpn_waitlist}{geo} eq 'fr' },
    body => { email => { primary_email => 'old@example.com' }, vpn_waitlist => { geo => 'fr' } });
check(GET => '/metrics', 200, qr/^ctms_legacy_waitlists_requests_total 1$/m);

$ctms->stop_program('rest');
done_testing();
