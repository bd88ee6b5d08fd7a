# The agent as a process: settings, the role it needs, signals, a database that comes late,
# metrics, heartbeat, the push gateway, the health file.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use CTMS::Test qw(poll_until slurp);

my $ctms = CTMS::Test->new('life', settings => { acoustic_retry_delay => '50ms' });
$ctms->start_sandbox;
$ctms->sql('CREATE ROLE sender LOGIN IN ROLE ctms_agent');
# Which the agent must not take over.
$ctms->sql("ALTER ROLE sender SET default_transaction_isolation = 'repeatable read'");
my $url = $ctms->db_url . '&user=sender';
my $port = PostgreSQL::Test::Cluster::get_free_port();
my @own = (CTMS_DB_URL => $url, CTMS_ACOUSTIC_LOOP_MIN_SECS => 0.2, CTMS_ACOUSTIC_TIMEOUT_S => 1,
    CTMS_ACOUSTIC_LEASE_S => 10, CTMS_AGENT_METRICS_PORT => $port);

sub settings
{
    my $r = $ctms->request(POST => "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/settings",
        {@_});
    die $r->{content} if $r->{status} != 200;
}
sub get { return $ctms->request(GET => "http://127.0.0.1:$port$_[0]") }
sub metric
{
    my ($name, $labels) = @_;
    my ($value) = get('/metrics')->{content} =~ /^\Q$name\E\{[^}]*$labels[^}]*\} (\S+)$/m;
    return $value;
}
sub lines
{
    my ($msg) = @_;
    return grep { index($_->{Fields}{msg} // '', $msg) >= 0 } map { eval { decode_json($_) } // () }
        split /\n/, $ctms->log_of('agent');
}
sub add_contact
{
    return $ctms->sql("INSERT INTO ctms.emails (primary_email) VALUES ('$_[0]\@example.com')
        RETURNING email_id") =~ s/\n.*//sr;
}
sub wait_until_sent
{
    return poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
        'the queue is empty', 60);
}

# Starts an agent that must end by itself; returns (status, what it said).
sub ends_with
{
    my (%env) = @_;
    my $pid = $ctms->start_agent(@own, %env);
    waitpid $pid, 0;
    my ($status, $said) = ($? >> 8, $ctms->log_of('agent'));
    unlink delete($ctms->{process}{agent})->{log};
    return ($status, $said);
}

subtest 'settings that make no sense' => sub {
    for my $case ([ CTMS_ACOUSTIC_LEASE_S => 3 ], [ CTMS_ACOUSTIC_BATCH_LIMIT => 0 ],
        [ CTMS_ACOUSTIC_CLIENT_ID => '' ],
        [ CTMS_ACOUSTIC_NO_SUCH => 1 ], [ CTMS_ACOUSTIC_BASE_URL => 'ftp://example.com' ],
        [ CTMS_ACOUSTIC_BASE_URL => 'http://127.0.0.1:99999' ], [ CTMS_ACOUSTIC_RETRY_LIMIT => 0 ])
    {
        my ($status, $said) = ends_with(@$case);
        is($status, 2, "$case->[0]=$case->[1] is refused");
        like($said, qr/^ctms-agent: .*\Q$case->[0]\E.*\n\z/, 'in one line that names it');
    }
    my ($status, $said) = ends_with(CTMS_AGENT_METRICS_PORT => $ctms->{sandbox_port});
    is($status, 1, 'a port that is taken');
    like($said, qr/could not listen on 127\.0\.0\.1 port \d+/, 'is named');
};

subtest 'an ordinary member of ctms_agent, and a database that comes late' => sub {
    $ctms->node->stop;
    $ctms->start_agent(@own);
    poll_until(sub { lines('could not connect to the database') }, 'the agent misses the database');
    my $beat = get('/__heartbeat__');
    is($beat->{status}, 503, 'the heartbeat says so');
    is($beat->{json}{database}{up}, JSON::PP::false, 'and why');
    $ctms->node->start;
    my $id = add_contact('late');
    wait_until_sent();
    is($ctms->sandbox("/_sandbox/recipients/$id")->{json}{main}{email}, 'late@example.com', 'sent');
    is(get('/__heartbeat__')->{status}, 200, 'all is well');
    is(get('/__lbheartbeat__')->{content}, '{"status":"OK"}', 'alive');
    is(get('/other')->{status}, 404, 'and nothing else');
    ok(!lines('permission denied'), 'with the rights of its role');
};

subtest 'clients of the port that send nothing whole' => sub {
    my $pid = $ctms->pid('agent');
    my $descriptors = sub { my @all = glob "/proc/$pid/fd/*"; return scalar @all };
    my $before = $descriptors->();
    my $crowd = sub {
        return map { my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
            $socket->syswrite("GET /metrics HTTP/1.1\r\nX: ");
            $socket } 1 .. 190;
    };
    my @clients = $crowd->();
    is(get('/metrics')->{status}, 200, 'leave room for others');
    cmp_ok($descriptors->() - $before, '<=', 72, 'and hold few descriptors');
    ok(poll_until(sub { IO::Select->new(@clients)->can_read(0) == 190 }, 'heads end', 60),
        'all are let go');
    close $_ for splice @clients;

    # Now it runs out of descriptors.
    ok(poll_until(sub { $descriptors->() <= $before + 8 }), 'they are closed');
    my $limit = $descriptors->() + 10;
    system("prlimit --pid $pid --nofile=$limit:") == 0 or die "prlimit: $?";
    @clients = $crowd->();
    is(get('/metrics')->{status}, 200, 'without descriptors it serves others all the same');
    close $_ for splice @clients;
    my $said = () = $ctms->log_of('agent') =~ /accept\(|open files/g;
    cmp_ok($said, '<', 20, 'and does not fill the log');
    $ctms->stop_program('agent');
    $ctms->start_agent(@own);
    poll_until(sub { (get('/__heartbeat__')->{status} // 0) == 200 }, 'it runs again');
};

subtest 'a database that does not do what is needed' => sub {
    $ctms->stop_program('agent');
    $ctms->start_agent(@own, CTMS_DB_URL => $ctms->db_url('postgres') . '&user=sender',
        CTMS_LISTEN_DB_URL => 'host=/nonexistent');
    poll_until(sub { lines('could not get a share of requests') }, 'the extension is missed');
    poll_until(sub { (get('/__heartbeat__')->{json}{acoustic}{stopped}
            // '') eq 'the database gives no share of the requests' }, 'and the heartbeat says so');
    is(get('/__heartbeat__')->{status}, 503, 'and is not well');
    poll_until(sub { lines('the agent gets no notifications') },
        'so is the connection to listen on');
    poll_until(sub { lines('sync_service cycle complete') > 2 }, 'cycles are logged');
    is(metric('ctms_background_acoustic_sync_loops', ''), 0, 'and not counted, for alerts');
    $ctms->stop_program('agent');
    $ctms->start_agent(@own);
    add_contact('metrics');
    wait_until_sent();
};

subtest 'metrics' => sub {
    my $common = 'app_kubernetes_io_component="background",app_kubernetes_io_instance="ctms",'
        . 'app_kubernetes_io_name="ctms"';
    my $requests = "ctms_background_acoustic_request_total{$common";
    my $durations = "ctms_background_acoustic_requests_duration_bucket{$common";
    my $add = 'method="add_recipient",status="success",table="main"';
    my $insert = 'method="insert_update_relational_table",status="success",table="product"';
    my $text = get('/metrics')->{content};
    like($text, qr/^\Q$requests,$add\E\} 1$/m, 'requests');
    like($text, qr/^\Q$requests,$insert\E\} 0$/m, 'those that were not made, too');
    like($text, qr/^\Q$durations,$add\E,le="0.05"\} \d$/m, 'durations');
    like($text, qr/^ctms_background_acoustic_${_}\{\Q$common\E\} [0-9.e-]+$/m, $_) for qw(sync_total
        sync_retries sync_backlog sync_loops sync_age_s sync_loop_duration_seconds);
    for my $lane (qw(live bulk))
    {
        like($text, qr/^ctms_background_acoustic_sync_${_}\{\Q$common,lane="$lane"\E\} [0-9.e-]+$/m,
            "$_, $lane") for qw(backlog_lane age_lane_seconds);
    }
    is(metric('ctms_background_acoustic_sync_total', ''), 1, 'contacts');
    is(scalar(grep { !/^(#.*|[a-z_]+\{.*\} [0-9.e+-]+|)$/ } split /\n/, $text), 0,
        'every line is in the text format');
    settings(faults => [ { answer => 'fault', errorid => 150, text => 'Not permitted' } ]);
    add_contact('stopped');
    poll_until(sub { metric('ctms_background_acoustic_stopped', 'reason="configuration"') },
        'the stop is seen in the metrics');
    my $beat = get('/__heartbeat__');
    is("$beat->{status} $beat->{json}{acoustic}{stopped}",
        '503 fault 150: Not permitted', 'and in the heartbeat');
    poll_until(sub { metric('ctms_background_acoustic_sync_backlog', '') == 1
            && metric('ctms_background_acoustic_sync_age_s', '') > 0 },
        'the backlog and its age are shown');
    $ctms->sql(q{SELECT ctms.enqueue_contacts(array_agg(email_id)) FROM ctms.emails
        WHERE primary_email = 'metrics@example.com'});
    my ($backlog, $age) = map { "ctms_background_acoustic_sync_$_" } qw(backlog_lane
        age_lane_seconds);
    poll_until(sub { metric($backlog, 'lane="bulk"') == 1 && metric($age, 'lane="bulk"') > 0
            && metric($backlog, 'lane="live"') == 1 && metric($age, 'lane="live"') > 0 },
        'and both of each lane');
    poll_until(sub { grep { ($_->{Fields}{bulk_backlog} // 0) == 1
                && $_->{Fields}{sync_backlog} == 2 } lines('sync_service cycle complete') },
        'also in the log');
    settings(faults => []);
    wait_until_sent();
    poll_until(sub { get('/__heartbeat__')->{status} == 200 }, 'it runs again');
    is(metric('ctms_background_acoustic_stopped', 'reason="configuration"'), 0,
        'which the metrics show');
};

# As when another agent has sent them, or they were deleted.
subtest 'what was refused does not wait any more' => sub {
    settings(faults => [ { answer => 'fault', errorid => 150, text => 'Not permitted' } ]);
    for my $name (qw(alone again))
    {
        add_contact($name);
        poll_until(sub { get('/__heartbeat__')->{status} == 503 }, "stopped by $name");
        $ctms->sql('DELETE FROM ctms.pending_acoustic');
        poll_until(sub { get('/__heartbeat__')->{status} == 200 }, 'nothing is kept from Acoustic');
        is(metric('ctms_background_acoustic_stopped', 'reason="configuration"'), 0,
            'which the metrics show');
    }
    settings(faults => []);
    add_contact('finally');
    wait_until_sent();
};

subtest 'SIGHUP' => sub {
    my $file = "$PostgreSQL::Test::Utils::tmp_check/agent.conf";
    $ctms->stop_program('agent');
    append_to_file($file, "CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG=false\n");
    my %env = %{ $ctms->agent_env(@own) };
    delete $env{CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG};
    $ctms->start_program('agent', 'ctms-agent', \%env, '--config', $file);
    my $id = add_contact('skipped');
    wait_until_sent();
    is($ctms->sandbox("/_sandbox/recipients/$id")->{status}, 404, 'skipped by the file');
    append_to_file($file, "no sense\n");
    kill HUP => $ctms->pid('agent');
    poll_until(sub { lines('settings are not changed') }, 'a bad file is reported');
    unlink $file;
    append_to_file($file, "CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG=true\n");
    kill HUP => $ctms->pid('agent');
    poll_until(sub { lines('settings are read again') }, 'a good one is taken');
    $id = add_contact('sent');
    wait_until_sent();
    is($ctms->sandbox("/_sandbox/recipients/$id")->{status}, 200, 'and holds');
};

subtest 'push gateway and health file' => sub {
    my $gateway = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "listen: $!";
    my $health = "$PostgreSQL::Test::Utils::tmp_check/no such folder/health";
    $ctms->stop_program('agent');
    $ctms->start_agent(@own, CTMS_PROMETHEUS_PUSHGATEWAY_URL => 'http://127.0.0.1:'
        . $gateway->sockport . '/', CTMS_BACKGROUND_HEALTHCHECK_PATH => $health);
    ok(IO::Select->new($gateway)->can_read(20), 'it pushes');
    my $client = $gateway->accept;
    my ($head, $body) = ('', '');
    while (my $line = <$client>) { last if $line =~ /^\r?\n/; $head .= $line }
    my ($length) = $head =~ /Content-Length: (\d+)/i;
    read $client, $body, $length;
    print {$client} "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    like($head, qr{^POST /metrics/job/ctms/instance/\S+ }, 'where it belongs');
    like($body, qr/^ctms_background_acoustic_sync_loops/m, 'its metrics');
    close $gateway;
    close $client;
    poll_until(sub { lines('could not push metrics') }, 'a gateway that is away is reported');
    is(scalar(() = lines("could not write \"$health\"")), 1,
        'a health file that cannot be written too, once');
    add_contact('pushed');
    wait_until_sent();
    my $target = "$PostgreSQL::Test::Utils::tmp_check/health target";
    my $link = "$PostgreSQL::Test::Utils::tmp_check/health link";
    symlink $target, $link or die "symlink: $!";
    $ctms->stop_program('agent');
    $ctms->start_agent(@own, CTMS_BACKGROUND_HEALTHCHECK_PATH => $link);
    poll_until(sub { lines("could not write \"$link\": it is a symbolic link") },
        'a health file is not written through a symbolic link');
    ok(!-e $target && -l $link, 'which is not followed');
    unlink $link;
    my $file = "$PostgreSQL::Test::Utils::tmp_check/health";
    $ctms->stop_program('agent');
    $ctms->start_agent(@own, CTMS_BACKGROUND_HEALTHCHECK_PATH => $file);
    poll_until(sub { -e $file && slurp($file) =~ /^\d{4}-.*\n\z/ }, 'a file is written');
    my $before = slurp($file);
    poll_until(sub { slurp($file) ne $before }, 'again and again');
    $ctms->stop_program('agent');
    my @files = glob "'$file'*";
    is("@files", $file, 'and nothing beside it is left');
    unlink $file;
    $ctms->start_agent(@own);
};

subtest 'an outcome that is later than its lease' => sub {
    $ctms->stop_program('agent');
    settings(latency_ms => 300);
    $ctms->start_agent(@own, CTMS_ACOUSTIC_TIMEOUT_S => 0.5, CTMS_ACOUSTIC_LEASE_S => 2);
    my $id = add_contact('asleep');
    poll_until(sub { $ctms->sandbox('/_sandbox/stats')->{json}{sent}{$id} },
        'a request is under way');
    kill STOP => $ctms->pid('agent');
    poll_until(sub { $ctms->sql("SELECT lease_until < now() FROM ctms.pending_acoustic
        WHERE email_id = '$id'") eq 't' }, 'its lease is over');
    $ctms->sql("SELECT FROM ctms.claim_acoustic('another', 1, 6, '1 hour')");
    kill CONT => $ctms->pid('agent');
    poll_until(sub { lines('came after their lease') }, 'it is not written');
    is($ctms->sql("SELECT lease_owner, retry FROM ctms.pending_acoustic WHERE email_id = '$id'"),
        'another|0', 'nor taken for that of another attempt');
    $ctms->sql("SELECT ctms.release_acoustic('another')");
    settings(latency_ms => 0);
    wait_until_sent();
    is($ctms->sandbox("/_sandbox/recipients/$id")->{status}, 200, 'sent again');
    $ctms->stop_program('agent');
    $ctms->start_agent(@own);
};

subtest 'a second signal ends at once' => sub {
    settings(latency_ms => 60000);
    my $id = add_contact('stuck');
    poll_until(sub { $ctms->sandbox('/_sandbox/stats')->{json}{sent}{$id} },
        'a request is under way');
    my $pid = $ctms->pid('agent');
    kill TERM => $pid;
    poll_until(sub { lines('stopping') }, 'it is stopping');
    kill TERM => $pid;
    waitpid $pid, 0;
    is($? >> 8, 128 + 15, 'the status says by which');
    delete $ctms->{process}{agent};
    settings(latency_ms => 0);
};

subtest 'a deadline for stopping' => sub {
    $ctms->sql('UPDATE ctms.pending_acoustic SET lease_until = now()');
    settings(faults => [ { answer => 'normal', delay_ms => 30000 } ]);
    $ctms->start_agent(@own, CTMS_ACOUSTIC_TIMEOUT_S => 2);
    my $id = add_contact('slow');
    poll_until(sub { $ctms->sandbox('/_sandbox/stats')->{json}{sent}{$id} },
        'a request is under way');
    is($ctms->stop_program('agent'), 0, 'it ends all the same');
    is($ctms->sql("SELECT count(*) FROM ctms.pending_acoustic WHERE lease_owner IS NOT NULL
        AND lease_until > now() + interval '9 s'"), 0, 'and holds nothing');
};

done_testing();
