# What the agent does about each kind of failure: renews, retries, gives up on a contact,
# stops the line; and that one bad contact never keeps others from being sent.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use CTMS::Test qw(poll_until);

my $ctms = CTMS::Test->new('faults', conf => "ctms.acoustic_retry_delay = '50ms'");
$ctms->start_sandbox;
$ctms->start_agent(CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 1, CTMS_ACOUSTIC_LEASE_S => 10);

sub url { return "http://127.0.0.1:$ctms->{sandbox_port}$_[0]" }
sub settings { my $r = $ctms->request(POST => url('/_sandbox/settings'), {@_}); die $r->{content} if $r->{status} != 200 }
sub faults { return settings(faults => [@_]) }
sub stats { return $ctms->sandbox('/_sandbox/stats')->{json} }
sub recipient { return $ctms->sandbox("/_sandbox/recipients/$_[0]")->{json} }
sub lines { my ($msg) = @_; return grep { index($_->{Fields}{msg} // '', $msg) >= 0 } map { eval { decode_json($_) } // () } split /\n/, $ctms->log_of('agent') }
sub pending { return $ctms->sql("SELECT count(*) FROM ctms.pending_acoustic JOIN ctms.emails USING (email_id) WHERE primary_email LIKE '$_[0]%'") }
sub row { my %r; @r{qw(retry last_error)} = split /\|/, $ctms->sql("SELECT retry, last_error FROM ctms.pending_acoustic WHERE email_id = '$_[0]'"); return \%r }
sub wait_until_sent { my ($name) = @_; return poll_until(sub { pending($name) == 0 }, "$name is sent", 60) }

# So many contacts, with two newsletters each.
sub add_contacts
{
    my ($name, $count) = @_;
    $ctms->sql(<<SQL);
WITH c AS (INSERT INTO ctms.emails (primary_email, first_name)
    SELECT '$name' || i || '\@example.com', 'Zebedee' FROM generate_series(1, $count) i RETURNING email_id)
INSERT INTO ctms.newsletters (email_id, name, subscribed) SELECT email_id, 'n' || k, true FROM c, generate_series(1, 2) k
SQL
    return split /\n/, $ctms->sql("SELECT email_id FROM ctms.emails WHERE primary_email LIKE '$name%' ORDER BY length(primary_email), primary_email");
}

sub is_complete { my $r = recipient($_[0]); return $r->{main} && @{ $r->{newsletter} } == 2 }
sub complete { return scalar grep { is_complete($_) } @_ }

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
    faults({ operation => 'token', answer => 'body', status => 400, body => '{"error": "invalid_client"}', count => 2 });
    $ctms->request(POST => url('/_sandbox/revoke-token'), '');
    my ($id) = add_contacts('denied', 1);
    poll_until(sub { lines('could not get an access token') }, 'the log tells of the refusal');
    my ($line) = lines('could not get an access token');
    is("$line->{Severity} $line->{Fields}{error}", '2 HTTP 400 invalid_client', 'credentials that are refused are reported loudly');
    wait_until_sent('denied');
    ok(is_complete($id), 'and tried again');
    ok(!lines('Failure for contact'), 'no failure counted either');
};

my %transient = (
    (map { $_ => { answer => 'fault', errorid => $_, text => 'Server Error' } } 50, 120, 311, 500, 1003, 1004, 1005, 1015),
    concurrent => { answer => 'fault', text => 'max number of concurrent authenticated requests' },
    unknown => { answer => 'fault', errorid => 4711, text => 'What is this' },
    html => { answer => 'html' }, html200 => { answer => 'html', status => 200 }, empty => { answer => 'empty' },
    http429 => { answer => 'empty', status => 429 }, http502 => { answer => 'empty', status => 502 },
    cut => { answer => 'cut' }, huge => { answer => 'huge' }, slow => { answer => 'slow', byte_ms => 500 },
    garbage => { answer => 'body', body => '{"what": "is this"}', status => 200 },
    entities => { answer => 'body', body => '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>' },
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
    faults({ table => 'newsletter', answer => 'failure', failure_type => 'transient', text => 'Database Deadlock', count => 1 });
    my ($id) = add_contacts('t-row-', 1);
    wait_until_sent('t-row-');
    ok(is_complete($id), 'a row that failed for now: sent again');
    my ($line) = grep { $_->{Fields}{email_id} eq $id } lines('Failure for contact');
    is_deeply([ @{ $line->{Fields} }{qw(error_class error email_domain newsletter_status)} ],
        [ 'transient', 'newsletter row refused: Database Deadlock', 'example.com', 'row: transient' ], 'logged with what and why');
};

subtest 'retries are counted up to the limit' => sub {
    faults({ answer => 'fault', errorid => 120, email => 'limit*', text => 'could not save limit1@example.com (Zebedee)' });
    my ($id) = add_contacts('limit', 1);
    poll_until(sub { row($id)->{retry} == 6 }, 'six attempts');
    my $sent = stats()->{sent}{$id};
    is($sent, 6, 'no more are made');
    like(row($id)->{last_error}, qr/^\d{4}-\d\d-\d\dT\S+Z fault 120: could not save \*+ \(\*+|^\d{4}\S+ fault 120: could not save/, 'the error is kept');
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
    faults({ table => 'newsletter', answer => 'failure', text => 'Invalid Date Value in column: x', email => 'perm2@*' },
        { table => 'main', answer => 'fault', errorid => 121, class => 'SP.Recipients', text => 'Local part of Email Address is Blocked.', email => 'perm3@*' });
    my @ids = add_contacts('perm', 5);
    $ctms->sql("UPDATE ctms.emails SET primary_email = 'perm 1\@example.com' WHERE email_id = '$ids[0]'");
    poll_until(sub { pending('perm') == 3 && 3 == grep { row($_)->{retry} } @ids }, 'the others are sent');
    is(complete(@ids[ 3, 4 ]), 2, 'with their rows');
    like(row($ids[0])->{last_error}, qr/fault 121: Email Address Is Invalid\.$/, 'an invalid address');
    like(row($ids[1])->{last_error}, qr/newsletter row refused: Invalid Date Value/, 'a row');
    like(row($ids[2])->{last_error}, qr/fault 121: Local part/, 'a blocked address');
    is_deeply([ map { row($_)->{retry} } @ids[ 0 .. 2 ] ], [ 6, 6, 6 ], 'exhausted at once');
    is(stats()->{sent}{ $ids[1] }, 1, 'and not sent again');
    faults();
    $ctms->sql("UPDATE ctms.emails SET primary_email = replace(primary_email, ' ', '') || 'x', last_name = 'x' WHERE primary_email LIKE 'perm%'");
    wait_until_sent('perm');
    is(complete(@ids), 5, 'until they change');
};

subtest 'one bad row in a call' => sub {
    for my $fault ({ errorid => 313, text => 'Type is wrong' }, { errorid => 50 }, { errorid => 51 }, { errorid => 121 }, { answer => 'html' })
    {
        my $name = 'poison' . ($fault->{errorid} // 'html') . '-';
        faults({ answer => 'fault', %$fault, table => 'newsletter', email => "${name}7\@*" });
        my @ids = add_contacts($name, 60);
        poll_until(sub { pending($name) == 1 && row($ids[6])->{retry} == 6 }, "only ${name}7 is left", 90);
        is(complete(@ids), 59, "$name: the others are sent");
        $ctms->sql('DELETE FROM ctms.pending_acoustic');
    }
};

subtest 'permanent for the configuration' => sub {
    my %faults = (
        51 => [ 'main', 'Invalid XML Request' ], 106 => [ 'main', 'LIST_ID' ], 108 => [ 'newsletter', 'List with id 2 Does Not Exist.' ],
        314 => [ 'main', 'Column "x" not found' ], 1007 => [ 'newsletter', 'Column does not exist' ], 150 => [ 'newsletter', 'Permissions' ]);
    for my $errorid (sort keys %faults)
    {
        my ($table, $text) = @{ $faults{$errorid} };
        my $name = "config$errorid-";
        faults({ answer => 'fault', errorid => $errorid, table => $table, text => $text });
        my @ids = add_contacts($name, 40);
        poll_until(sub { lines("sending to Acoustic is stopped, its configuration needs attention: fault $errorid") > 1 }, 'the line stops, tries, and stops again');
        is(pending($name), 40, "$errorid: everything is kept");
        is($ctms->sql('SELECT max(retry) FROM ctms.pending_acoustic'), 0, 'no failure is counted');
        cmp_ok(scalar(grep { $_ } @{ stats()->{sent} }{@ids}), '<=', 25, 'and little is tried') if $table eq 'main';
        faults();
        wait_until_sent($name);
        is(complete(@ids), 40, 'when it works again, all are sent');
    }
    is((lines('sending to Acoustic is stopped'))[0]{Severity}, 2, 'said loudly');
    ok(lines('sending to Acoustic goes on'), 'and its end too');
};

subtest 'one contact that looks like a fault of the configuration' => sub {
    faults({ answer => 'fault', errorid => 51, table => 'main', email => 'lone3@*', text => 'Invalid XML Request' });
    my @ids = add_contacts('lone', 40);
    poll_until(sub { pending('lone') == 1 && row($ids[2])->{retry} == 6 }, 'only it is left', 60);
    is(complete(@ids), 39, 'the others are sent');
};

subtest 'one contact whose tokens are refused' => sub {
    faults({ answer => 'fault', errorid => 145, table => 'main', email => 'token3@*', text => 'Session has expired or is invalid' });
    my @ids = add_contacts('token', 40);
    poll_until(sub { pending('token') == 1 && row($ids[2])->{retry} }, 'only it is left', 60);
    is(complete(@ids), 39, 'the others are sent');
};

subtest 'rows that are very large' => sub {
    faults();
    my @ids = add_contacts('large', 5);
    $ctms->sql("UPDATE ctms.newsletters SET unsub_reason = repeat('x', 600000) WHERE email_id IN ('" . join("','", @ids) . "')");
    wait_until_sent('large');
    is(length(recipient($ids[4])->{newsletter}[1]{newsletter_unsub_reason}), 600000, 'arrive');
};

subtest 'fewer requests allowed than thought' => sub {
    faults();
    settings(max_in_flight => 3, latency_ms => 20);
    my @ids = add_contacts('crowd', 200);
    wait_until_sent('crowd');
    settings(max_in_flight => 10, latency_ms => 0);
    is(complete(@ids), 200, 'all arrive');
    cmp_ok(stats()->{refused_concurrent}, '<', 100, 'after it has slowed down');
};

subtest 'a service in trouble' => sub {
    faults({ answer => 'html', probability => 0.3 }, { answer => 'cut', probability => 0.1, apply => JSON::PP::true },
        { answer => 'fault', errorid => 50, probability => 0.1 });
    my @ids = add_contacts('chaos', 60);
    poll_until(sub { 30 < grep { $_ } @{ stats()->{sent} }{@ids} }, 'half is tried', 60);
    faults();
    $ctms->sql("SELECT ctms.reset_acoustic_retries()");
    wait_until_sent('chaos');
    is(complete(@ids), 60, 'nothing is lost');
    is($ctms->stop_program('agent'), 0, 'the agent is well');
};

done_testing();
