# REST servers, the agent and the command line through PgBouncer: contacts come out right whichever
# session each transaction gets, and what cannot work is said. The program is Debian's, and also the
# one that CTMS_TEST_PGBOUNCER names: from 1.21 on it keeps prepared statements.
use strict;
use warnings;
use CTMS::PgBouncer;
use CTMS::Test qw(poll_until slurp);
use File::Temp qw(tempfile);
use HTTP::Tiny;
use JSON::PP;
use Test::More;

my $json = JSON::PP->new->utf8->canonical;
my @programs = CTMS::PgBouncer::programs();
plan skip_all => 'pgbouncer is not installed' if !@programs;

my $ctms = CTMS::Test->new('pgbouncer');
$ctms->sql("CREATE ROLE rest LOGIN IN ROLE ctms_api; CREATE ROLE sync LOGIN IN ROLE ctms_agent;
    CREATE ROLE operator LOGIN IN ROLE ctms_admin");
$ctms->start_sandbox;
my $direct = 'host=' . $ctms->node->host . ' port=' . $ctms->node->port . ' dbname=ctms';
my $log_path = $PostgreSQL::Test::Utils::log_path;
my $told = qr/pooler.*prepared statements.*pool_mode.*1\.21.*max_prepared_statements/;

sub start_rest_as
{
    my ($name, $bouncer, %env) = @_;
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    unlink "$log_path/pgbouncer_$name.log";
    $ctms->start_program($name, 'ctms-rest', { CTMS_DB_URL => $bouncer->url('rest'),
        CTMS_LISTEN_DB_URL => "$direct user=rest", CTMS_HOST => '127.0.0.1', CTMS_PORT => $port,
        CTMS_SERVER_PREFIX => "http://127.0.0.1:$port", CTMS_DB_MAX_CONNECTIONS => 2,
        CTMS_SECRET_KEY => 'a secret key for tests only, 32+', %env });
    $ctms->wait_for_port($name, $port);
    poll_until(sub {
        $ctms->request(GET => "http://127.0.0.1:$port/__heartbeat__")->{status} == 200
    }, "$name is up");
    return $port;
}

sub start_agent_as
{
    my ($bouncer, %env) = @_;
    unlink "$log_path/pgbouncer_agent.log";
    return $ctms->start_agent(CTMS_DB_URL => $bouncer->url('sync'),
        CTMS_LISTEN_DB_URL => "$direct user=sync", CTMS_LOGGING_LEVEL => 'INFO', %env);
}

sub cli_through
{
    my ($bouncer, @args) = @_;
    no warnings 'redefine';
    local *CTMS::Test::db_url = sub { $bouncer->url('operator') };
    return $ctms->cli(@args);
}

# ---- contacts ------------------------------------------------------------------------

# What went wrong for one client that makes, changes, replaces and reads its own contact, each time
# by another server. A statement that another program has prepared would do something else.
sub use_contact
{
    my ($number, $rounds, @ports) = @_;
    my (@wrong, $turn);
    my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 60);
    my $ask = sub {
        my ($method, $path, $body) = @_;
        my $port = $ports[ $turn++ % @ports ];
        my $r = $http->request($method, "http://127.0.0.1:$port$path", { headers => {
            Authorization => "Bearer $ctms->{token}", 'Content-Type' => 'application/json' },
            defined $body ? (content => $json->encode($body)) : () });
        push @wrong, "$method: $r->{status} $r->{content}" if $r->{status} !~ /^2/;
        return eval { $json->decode($r->{content}) } // {};
    };
    for my $round (1 .. $rounds)
    {
        my $address = "client$number.$round.$$\@example.com";
        my %email = (primary_email => $address, first_name => 'Anna', last_name => "No $number");
        my $id = $ask->(POST => '/ctms', { email => {%email}, fxa => { fxa_id => "f$$.$round" },
            newsletters => [ { name => 'hubs' } ] })->{email}{email_id} // '';
        my $is = sub {
            my ($contact, $what, $first, $has_fxa) = @_;
            my $found = join ' ', map { $_ // 'null' } @{ $contact->{email} }{qw(primary_email
                first_name last_name)}, $contact->{fxa}{fxa_id}, scalar @{ $contact->{newsletters}
                // [] };
            my $wanted = join ' ', $address, $first, "No $number", $has_fxa ? "f$$.$round" : 'null',
                $has_fxa ? 1 : 0;
            push @wrong, "after $what: $found instead of $wanted" if $found ne $wanted;
        };
        $ask->(PATCH => "/ctms/$id", { email => { first_name => 'Berta' } });
        $is->($ask->(GET => "/ctms/$id"), 'PATCH', 'Berta', 1);
        $ask->(GET => "/identity/$id");
        $is->($ask->(PATCH => "/ctms/$id", { email => { first_name => 'Cilla' } }), 'another PATCH',
            'Cilla', 1);
        $ask->(PUT => "/ctms/$id", { email => { %email, first_name => 'Dora' } });
        $is->($ask->(GET => "/ctms/$id"), 'PUT', 'Dora', 0);
        $ask->(GET => '/waitlists');
        my $gone = $ask->(DELETE => "/ctms/$address") if $round % 2;
        push @wrong, 'DELETE: another contact' if $round % 2 && (ref $gone ne 'ARRAY'
            || $gone->[0]{email_id} ne $id);
    }
    return @wrong;
}

sub use_contacts
{
    my ($clients, $rounds, @ports) = @_;
    my %report;
    for my $number (1 .. $clients)
    {
        my (undef, $file) = tempfile(DIR => $ENV{TESTDIR}, UNLINK => 1);
        my $pid = fork // die $!;
        if (!$pid)
        {
            my @wrong = eval { use_contact($number, $rounds, @ports) };
            CTMS::PgBouncer::spew($file, map { "$_\n" } @wrong, $@ || (), "ended\n");
            POSIX::_exit(0);
        }
        $report{$pid} = $file;
    }
    waitpid $_, 0 for keys %report;
    return map { my @lines = split /\n/, slurp($_); pop @lines eq 'ended' ? @lines : 'died' }
        values %report;
}

sub check_contacts
{
    my ($mode, $keeps, %settings) = @_;
    my $bouncer = CTMS::PgBouncer->new($ctms, 'pool', %settings);
    my @ports = map { start_rest_as($_, $bouncer) } 'first', 'second';
    $ctms->{rest_port} = $ports[0];
    $ctms->login if !$ctms->{token};
    start_agent_as($bouncer);
    my @wrong = use_contacts(6, 4, @ports);
    is(join("\n", splice @wrong, 0, 10), '', 'every contact is as it should be');
    for my $round (1 .. 3)
    {
        my ($rc, $out, $err) = cli_through($bouncer, 'clients', 'list');
        is("$rc $err", '0 ', 'ctms clients list');
    }
    my $object = "$ENV{TESTDIR}/customer.json";
    CTMS::PgBouncer::spew($object, $json->encode({ object => 'customer', id => "cus_$$",
        created => 1, email => 'stripe@example.com', metadata => {}, default_source => undef,
        invoice_settings => { default_payment_method => undef } }));
    my ($rc, $out, $err) = cli_through($bouncer, 'stripe', 'ingest', $object);
    like("$rc $out", qr/^[01] /, 'ctms stripe ingest') or diag $err;
    ok(poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') eq '0' }),
        'everything was sent');
    for my $name ('first', 'second')
    {
        is($ctms->stop_program($name), 0, "$name stops");
        my $log = slurp("$log_path/pgbouncer_$name.log");
        unlike($log, qr/ended unexpectedly|worker.*signal|unexpected error|connection.*lost/,
            'nothing crashed');
        is(scalar(() = $log =~ /$told/g), $keeps ? 0 : 1,
            $keeps ? 'nothing to say' : 'it is said once');
        unlike($log, qr/(?:"Severity": 3|ERROR).*$told/, '... as a warning');
    }
    is($ctms->stop_program('agent'), 0, 'the agent stops');
    my $log = slurp("$log_path/pgbouncer_agent.log");
    unlike($log, qr/could not (?:claim|write|read|release)/, 'and had no trouble');
    $bouncer->stop;
    return;
}

for my $program (@programs)
{
    my $version = CTMS::PgBouncer::version($program);
    my @common = (program => $program);
    subtest "PgBouncer $version, a session for each client" => sub {
        check_contacts('session', 1, @common, pool_mode => 'session', default_pool_size => 40);
    };
    subtest "PgBouncer $version, one session for all" => sub {
        check_contacts('one', 0, @common, pool_mode => 'transaction', default_pool_size => 1,
            ignore_startup_parameters => 'options');
    };
    subtest "PgBouncer $version, three sessions for all" => sub {
        check_contacts('three', 0, @common, pool_mode => 'transaction',
            default_pool_size => 3);
    };
    subtest "PgBouncer $version, which keeps prepared statements" => sub {
        plan skip_all => 'older than 1.21' if $version < 1021;
        check_contacts('kept', 1, @common, pool_mode => 'transaction', default_pool_size => 2,
            max_prepared_statements => 100);
    };
}
note 'no newer PgBouncer: CTMS_TEST_PGBOUNCER can name one' if @programs < 2;

# ---- notifications -------------------------------------------------------------------

my $bouncer = CTMS::PgBouncer->new($ctms, 'deaf', pool_mode => 'transaction',
    default_pool_size => 4);
my $metrics_port = PostgreSQL::Test::Cluster::get_free_port();

sub listening_of
{
    my ($port) = @_;
    my $beat = $ctms->request(GET => "http://127.0.0.1:$port/__heartbeat__")->{json};
    return $beat && $beat->{database}{listening} ? 1 : 0;
}

subtest 'LISTEN reaches the server' => sub {
    $ctms->{rest_port} = start_rest_as('hears', $bouncer);
    start_agent_as($bouncer, CTMS_AGENT_METRICS_PORT => $metrics_port);
    ok(poll_until(sub { listening_of($ctms->{rest_port}) }), 'REST says that it listens');
    ok(poll_until(sub { listening_of($metrics_port) }), 'and so does the agent');
    $ctms->stop_program($_) for 'hears', 'agent';
    unlike(slurp("$log_path/pgbouncer_$_.log"), qr/CTMS_LISTEN_DB_URL/, "$_ has nothing to say")
        for 'hears', 'agent';
};

subtest 'LISTEN ends at the pooler' => sub {
    my %same = (CTMS_LISTEN_DB_URL => '');
    $ctms->{rest_port} = start_rest_as('deaf', $bouncer, %same);
    start_agent_as($bouncer, CTMS_AGENT_METRICS_PORT => $metrics_port, %same);
    for my $name ('deaf', 'agent')
    {
        ok(poll_until(sub { slurp("$log_path/pgbouncer_$name.log") =~ /CTMS_LISTEN_DB_URL/ }),
            "$name notices");
    }
    ok(!listening_of($ctms->{rest_port}), 'REST says so');
    ok(!listening_of($metrics_port), 'and so does the agent');
    is($ctms->request(GET => '/waitlists')->{status}, 200, 'a client may');
    $ctms->sql('UPDATE ctms.api_client SET enabled = false');
    my $since = Time::HiRes::time();
    ok(poll_until(sub { $ctms->request(GET => '/waitlists')->{status} == 400 }, 'disabled', 10),
        'until it is disabled');
    cmp_ok(Time::HiRes::time() - $since, '<', 5, 'which is noticed soon');
    $ctms->sql('UPDATE ctms.api_client SET enabled = true');
    $ctms->stop_program($_) for 'deaf', 'agent';
};

# ---- time limits ---------------------------------------------------------------------

subtest 'what takes too long is cancelled through the pooler' => sub {
    $ctms->{rest_port} = start_rest_as('limit', $bouncer, CTMS_DB_TIMEOUT_S => 2);
    my $lock = $ctms->node->background_psql('ctms');
    $lock->query_safe('BEGIN; LOCK TABLE ctms.emails IN ACCESS EXCLUSIVE MODE');
    is($ctms->request(GET => '/ctms?primary_email=a@example.com')->{status}, 503, 'no answer');
    ok(poll_until(sub { $ctms->sql("SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock'") eq '0' }, 'cancelled', 15), 'nobody waits any longer');
    $lock->query_safe('ROLLBACK');
    $lock->quit;
    is($ctms->request(GET => '/ctms?primary_email=a@example.com')->{status}, 200, 'and well again');
    $ctms->stop_program('limit');
};

# ---- fewer servers than connections ----------------------------------------------------
# In session mode a connection too many waits until another one ends. Nobody waits for it.
{
    my $small = CTMS::PgBouncer->new($ctms, 'small', pool_mode => 'session',
        default_pool_size => 5);
    my $port = start_rest_as('small', $small, CTMS_DB_MAX_CONNECTIONS => 64,
        CTMS_DB_TIMEOUT_S => 5);
    $ctms->node->safe_psql('postgres', 'ALTER SYSTEM SET commit_delay = 50000');
    $ctms->node->safe_psql('postgres', 'ALTER SYSTEM SET commit_siblings = 0');
    $ctms->node->reload;
    my @wrong = use_contacts(24, 2, $port);
    is("@wrong", '', 'session mode, five servers for 24 clients: all are served');
    $ctms->node->safe_psql('postgres', "ALTER SYSTEM RESET $_")
        for 'commit_delay', 'commit_siblings';
    $ctms->node->reload;
    $ctms->stop_program('small');
    $small->stop;
}

# ---- a pooler without a server -------------------------------------------------------

subtest 'connections that are of no use are not opened all the time' => sub {
    my $alone = CTMS::PgBouncer->new($ctms, 'alone', pool_mode => 'transaction',
        query_wait_timeout => 1, log_connections => 1);
    $ctms->{rest_port} = start_rest_as('lonely', $alone);
    $ctms->node->stop('immediate');
    my $count = sub { scalar(() = slurp("$log_path/pgbouncer_$_[0].log") =~ /$_[1]/g) };
    my $opened = $count->('alone', qr/login attempt/);
    ok(poll_until(sub {
        $ctms->request(GET => '/__heartbeat__');
        return $count->('lonely', qr/connection to the database lost: \w/) >= 5;
    }), 'connections are lost');
    like(slurp("$log_path/pgbouncer_lonely.log"), qr/lost: (?:query_wait|server[ _]login)/,
        'the log says what the pooler said');
    is($count->('lonely', qr/could not set up a session/), 0, 'once');
    cmp_ok($count->('alone', qr/login attempt/) - $opened, '<', 500, 'opened now and then');
    $ctms->node->start;
    ok(poll_until(sub { $ctms->request(GET => '/ctms?primary_email=a@example.com')->{status} == 200
    }), 'and serve again');
    $ctms->stop_program('lonely');
    $alone->stop;
};

# ---- what a pooler refuses ---------------------------------------------------------------

my $refused = $bouncer->url('operator') . '?options=-c%20work_mem%3D8MB';
$ctms->start_program('refused', 'ctms-agent', $ctms->agent_env(CTMS_DB_URL => $refused));
ok(poll_until(sub { $ctms->log_of('refused') =~ /ignore_startup_parameters/ }),
    'options in the URL: the log says what to do');
$ctms->stop_program('refused');
{
    no warnings 'redefine';
    local *CTMS::Test::db_url = sub { $refused };
    my ($rc, $out, $err) = $ctms->cli('clients', 'list');
    like($err, qr/unsupported startup parameter.*hint: .*ignore_startup_parameters/s, 'ctms too');
}
$bouncer->stop;
done_testing();
