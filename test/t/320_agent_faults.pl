# What the agent does about each kind of failure: renews the token, tries again, counts,
# gives up on a contact.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use CTMS::Agent;
use CTMS::Test qw(poll_until);

my $ctms = start_line('faults');

subtest 'authentication' => sub {
    for my $status (200, 401)
    {
        settings(auth_status => $status);
        my $before = stats();
        $ctms->request(POST => url('/_sandbox/revoke-token'), '');
        my @ids = add_contacts("auth$status", 30);
        wait_until_sent("auth$status");
        is(complete(@ids), 30, "a token that is refused with HTTP $status is renewed");
        is(stats()->{requests}{token} - $before->{requests}{token}, 1, 'once for all');
    }
    ok(!lines('Failure for contact'), 'and no failure counted');
    faults({ operation => 'token', answer => 'body', status => 400,
            body => '{"error": "invalid_client"}', count => 2 });
    $ctms->request(POST => url('/_sandbox/revoke-token'), '');
    my ($id) = add_contacts('denied', 1);
    poll_until(sub { lines('could not get an access token') }, 'the log tells of the refusal');
    my ($line) = lines('could not get an access token');
    is("$line->{Severity} $line->{Fields}{error}", '2 HTTP 400 invalid_client',
        'credentials that are refused are reported loudly');
    wait_until_sent('denied');
    ok(is_complete($id), 'and tried again');
    ok(!lines('Failure for contact'), 'no failure counted either');
};

my %transient = (
    (map { $_ => { answer => 'fault', errorid => $_, text => 'Server Error' } } 50, 120, 311,
        500, 1003, 1004, 1005, 1015),
    concurrent => { answer => 'fault', text => 'max number of concurrent authenticated requests' },
    unknown => { answer => 'fault', errorid => 4711, text => 'What is this' },
    html => { answer => 'html' }, html200 => { answer => 'html', status => 200 },
    empty => { answer => 'empty' },
    http429 => { answer => 'empty', status => 429 },
    http502 => { answer => 'empty', status => 502 },
    cut => { answer => 'cut' }, huge => { answer => 'huge' },
    slow => { answer => 'slow', byte_ms => 500 },
    garbage => { answer => 'body', body => '{"what": "is this"}', status => 200 },
    entities => { answer => 'body',
        body => '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>' },
);
subtest 'transient' => sub {
    for my $name (sort keys %transient)
    {
        for my $table (qw(main newsletter))
        {
            faults({ %{ $transient{$name} }, table => $table, count => 1 });
            my ($id) = add_contacts("t-$name-$table-", 1);
            wait_until_sent("t-$name-$table-");
            ok(is_complete($id), "$name for $table: sent again");
        }
    }
    faults({ table => 'newsletter', answer => 'failure', failure_type => 'transient',
            text => 'Database Deadlock', count => 1 });
    my ($id) = add_contacts('t-row-', 1);
    wait_until_sent('t-row-');
    ok(is_complete($id), 'a row that failed for now: sent again');
    my ($line) = grep { $_->{Fields}{email_id} eq $id } lines('Failure for contact');
    is_deeply([ @{ $line->{Fields} }{qw(error_class error email_domain newsletter_status)} ],
        [ 'transient', 'newsletter row refused: Database Deadlock', 'example.com',
            'row: transient' ], 'logged with what and why');
};

subtest 'retries are counted up to the limit' => sub {
    faults({ answer => 'fault', errorid => 120, email => 'limit*',
        text => 'could not save limit1@example.com (Zebedee)' });
    my ($id) = add_contacts('limit', 1);
    poll_until(sub { row($id)->{retry} == 6 }, 'six attempts');
    my $sent = stats()->{sent}{$id};
    is($sent, 6, 'no more are made');
    my $masked = qr/\d{4}-\d\d-\d\dT\S+Z fault 120: could not save \*+ \(\*+/;
    like(row($id)->{last_error}, qr/^$masked|^\d{4}\S+ fault 120: could not save/,
        'the error is kept');
    unlike(row($id)->{last_error}, qr/example\.com|Zebedee/, 'without personal data');
    my ($other) = add_contacts('after', 1);
    wait_until_sent('after');
    is(stats()->{sent}{$id}, $sent, 'it waits while others are sent');
    faults();
    $ctms->sql("UPDATE ctms.emails SET last_name = 'x' WHERE email_id = '$id'");
    wait_until_sent('limit');
    is(recipient($id)->{main}{last_name}, 'x', 'a change gives it a fresh start');
};

subtest 'permanent for a contact' => sub {
    faults({ table => 'newsletter', answer => 'failure',
        text => 'Invalid Date Value in column: x', email => 'perm2@*' },
        { table => 'main', answer => 'fault', errorid => 121, class => 'SP.Recipients',
            text => 'Local part of Email Address is Blocked.', email => 'perm3@*' });
    my @ids = add_contacts('perm', 5);
    $ctms->sql("UPDATE ctms.emails SET primary_email = 'perm 1\@example.com'
        WHERE email_id = '$ids[0]'");
    poll_until(sub { pending('perm') == 3 && 3 == grep { row($_)->{retry} } @ids },
        'the others are sent');
    is(complete(@ids[ 3, 4 ]), 2, 'with their rows');
    like(row($ids[0])->{last_error},
        qr/fault 121: Email Address Is Invalid\.$/, 'an invalid address');
    like(row($ids[1])->{last_error}, qr/newsletter row refused: Invalid Date Value/, 'a row');
    like(row($ids[2])->{last_error}, qr/fault 121: Local part/, 'a blocked address');
    is_deeply([ map { row($_)->{retry} } @ids[ 0 .. 2 ] ], [ 6, 6, 6 ], 'exhausted at once');
    is(stats()->{sent}{ $ids[1] }, 1, 'and not sent again');
    faults();
    $ctms->sql("UPDATE ctms.emails SET primary_email = replace(primary_email, ' ', '') || 'x',
        last_name = 'x' WHERE primary_email LIKE 'perm%'");
    wait_until_sent('perm');
    is(complete(@ids), 5, 'until they change');
};

done_testing();
