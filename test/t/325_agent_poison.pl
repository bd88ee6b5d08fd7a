# One bad contact never keeps others from being sent, and nobody's contacts are lost while
# the configuration is wrong or the service is in trouble.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use CTMS::Agent;
use CTMS::Test qw(poll_until);

my $ctms = start_line('poison');

subtest 'one bad row in a call' => sub {
    for my $fault ({ errorid => 313, text => 'Type is wrong' }, { errorid => 50 },
        { errorid => 51 }, { errorid => 121 }, { answer => 'html' })
    {
        my $name = 'poison' . ($fault->{errorid} // 'html') . '-';
        faults({ answer => 'fault', %$fault, table => 'newsletter', email => "${name}7\@*" });
        my @ids = add_contacts($name, 60);
        poll_until(sub { pending($name) == 1 && row($ids[6])->{retry} == 6 },
            "only ${name}7 is left", 90);
        is(complete(@ids), 59, "$name: the others are sent");
        $ctms->sql('DELETE FROM ctms.pending_acoustic');
    }
};

subtest 'permanent for the configuration' => sub {
    my %faults = (
        51 => [ 'main', 'Invalid XML Request' ], 106 => [ 'main', 'LIST_ID' ],
        108 => [ 'newsletter', 'List with id 2 Does Not Exist.' ],
        314 => [ 'main', 'Column "x" not found' ],
        1007 => [ 'newsletter', 'Column does not exist' ], 150 => [ 'newsletter', 'Permissions' ]);
    for my $errorid (sort keys %faults)
    {
        my ($table, $text) = @{ $faults{$errorid} };
        my $name = "config$errorid-";
        faults({ answer => 'fault', errorid => $errorid, table => $table, text => $text });
        my @ids = add_contacts($name, 40);
        my $stopped = 'sending to Acoustic is stopped, its configuration needs attention';
        poll_until(sub { lines("$stopped: fault $errorid") > 1 },
            'the line stops, tries, and stops again');
        is(pending($name), 40, "$errorid: everything is kept");
        is($ctms->sql('SELECT max(retry) FROM ctms.pending_acoustic'), 0, 'no failure is counted');
        cmp_ok(scalar(grep { $_ } @{ stats()->{sent} }{@ids}), '<=', 25, 'and little is tried')
            if $table eq 'main';
        faults();
        wait_until_sent($name);
        is(complete(@ids), 40, 'when it works again, all are sent');
    }
    is((lines('sending to Acoustic is stopped'))[0]{Severity}, 2, 'said loudly');
    ok(lines('sending to Acoustic continues'), 'and its end too');
};

subtest 'one contact that looks like a fault of the configuration' => sub {
    faults({ answer => 'fault', errorid => 51, table => 'main', email => 'lone3@*',
        text => 'Invalid XML Request' });
    my @ids = add_contacts('lone', 40);
    poll_until(sub { pending('lone') == 1 && row($ids[2])->{retry} == 6 }, 'only it is left', 60);
    is(complete(@ids), 39, 'the others are sent');
};

subtest 'one contact whose tokens are refused' => sub {
    faults({ answer => 'fault', errorid => 145, table => 'main', email => 'token3@*',
        text => 'Session has expired or is invalid' });
    my @ids = add_contacts('token', 40);
    poll_until(sub { pending('token') == 1 && row($ids[2])->{retry} }, 'only it is left', 60);
    is(complete(@ids), 39, 'the others are sent');
};

subtest 'rows that are very large' => sub {
    faults();
    my @ids = add_contacts('large', 5);
    $ctms->sql("UPDATE ctms.newsletters SET unsub_reason = repeat('x', 600000) WHERE email_id IN ('"
        . join("','", @ids) . "')");
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
    faults({ answer => 'html', probability => 0.3 },
        { answer => 'cut', probability => 0.1, apply => JSON::PP::true },
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
