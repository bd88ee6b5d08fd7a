# The /metrics of the REST server and of the agent are in the text format of Prometheus: our own
# reader always checks it, and promtool if it is installed (scripts/get-promtool).
use strict;
use warnings;
use CTMS::Test qw(poll_until);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use Test::More;

my $ctms = CTMS::Test->new('metrics_format');
my ($promtool) = grep { -x $_ } "$ENV{CTMS_TEST_TOP}/build/promtool",
    map { "$_/promtool" } split /:/, $ENV{PATH};

# Names that older deployments' dashboards know.
my %kept = map { $_ => 1 } qw(ctms_contacts_total ctms_pending_acoustic_sync_total
    ctms_background_acoustic_request_total ctms_background_acoustic_requests_duration
    ctms_background_acoustic_sync_total ctms_background_acoustic_sync_retries
    ctms_background_acoustic_sync_backlog ctms_background_acoustic_sync_loops
    ctms_background_acoustic_sync_age_s);

# ---- the format ---------------------------------------------------------------------------------
my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $label = qr/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"/;
my $number = qr/[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?Inf|NaN/;

# What is wrong with a text, as lines.
sub problems
{
    my ($text) = @_;
    my (@wrong, %type, %help, %seen, %closed, %histogram, $family);
    push @wrong, 'the last line does not end' if $text !~ /\n\z/;
    for my $line (split /\n/, $text)
    {
        if ($line =~ /^# HELP ($name) (?:[^\\]|\\[\\n])*$/)
        {
            push @wrong, "twice: $line" if $help{$1}++;
        }
        elsif ($line =~ /^# TYPE ($name) (counter|gauge|histogram)$/)
        {
            push @wrong, "twice: $line" if $type{$1};
            push @wrong, "no help before: $line" if !$help{$1};
            $closed{$family} = 1 if defined $family;
            ($family, $type{$1}) = ($1, $2);
        }
        elsif ($line =~ /^($name)(?:\{($label(?:,$label)*)\})? ($number)$/)
        {
            my ($sample, $labels, $value) = ($1, $2 // '', $3);
            my $of = $sample;
            $of =~ s/_(?:bucket|sum|count)$// if !$type{$sample};
            push @wrong, "not of the family before: $line"
                if ($family // '') ne $of || $closed{$of};
            push @wrong, "twice: $line" if $seen{"$sample $labels"}++;
            push @wrong, "below zero: $line"
                if ($type{$of} // '') ne 'gauge' && $value !~ /^\+?[\d.]/;
            next if ($type{$of} // '') ne 'histogram';
            my $limit = $labels =~ s/(?:^|,)le="([^"]*)"$// ? $1 : undef;
            push @{ $histogram{"$of $labels"}{ $sample =~ s/.*_//r } }, [ $limit, $value ];
        }
        else { push @wrong, "no such line: $line" }
    }
    for my $series (sort keys %histogram)
    {
        my ($buckets, $sum, $count) = @{ $histogram{$series} }{qw(bucket sum count)};
        push @wrong, "not whole: $series" and next
            if !$buckets || @{ $sum // [] } != 1 || @{ $count // [] } != 1;
        push @wrong, "no last bucket: $series"
            if $buckets->[-1][0] ne '+Inf' || $buckets->[-1][1] != $count->[0][1];
        for my $i (1 .. $#$buckets)
        {
            push @wrong, "out of order: $series"
                if ($buckets->[$i][0] ne '+Inf' && $buckets->[$i][0] <= $buckets->[ $i - 1 ][0])
                || $buckets->[$i][1] < $buckets->[ $i - 1 ][1];
        }
    }
    push @wrong, "help without a type: $_" for grep { !$type{$_} } sort keys %help;
    return join "\n", @wrong;
}

# The reader itself finds errors.
my $good = qq(# HELP a b\n# TYPE a counter\na{l="x\\"\\\\\\n"} 1\n);
is(problems($good), '', 'a good text');
isnt(problems($_), '', 'a bad one: ' . s/\n/ /gr)
    for $good . 'a 1', $good . $good, $good =~ s/# HELP.*\n//r, $good . "b 1\n",
    $good =~ s/ 1$/ -1/mr, $good =~ s/\\"/"/r, $good . qq(a{l="x\\"\\\\\\n"} 2\n),
    "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n"
    . "h_sum 1\nh_count 1\n",
    "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 1\nh_count 2\n";

sub check
{
    my ($what, $text) = @_;
    is(problems($text), '', "$what: the format");
    SKIP: {
        skip 'no promtool here', 1 if !$promtool;
        my ($out, $err) = ('', '');
        IPC::Run::run([ $promtool, 'check', 'metrics' ], \$text, \$out, \$err);
        my @beyond = grep { my ($named) = /^(\S+)/; !$kept{ $named // '' } } split /\n/, "$out$err";
        is_deeply(\@beyond, [],
            "$what: promtool finds nothing beyond names kept for compatibility");
        cmp_ok($? >> 8, '<=', 3, "$what: promtool ends by itself");
    }
    return;
}

# ---- the REST server -----------------------------------------------------------------------------
$ctms->start_rest(CTMS_PROCESSES => 2);
$ctms->login;
check('a server at rest', $ctms->request(GET => '/metrics')->{content});
$ctms->request(GET => '/identities?fxa_id=x');
check('which names no client', $ctms->request(GET => '/metrics')->{content});
$ctms->stop_program('rest');
my %scrape = (Authorization => 'Bearer a token for metrics');
$ctms->start_rest(CTMS_PROCESSES => 2, CTMS_METRICS_TOKEN => 'a token for metrics');

# A client whose id needs escapes.
$ctms->sql(q{INSERT INTO ctms.api_client (client_id, email, hashed_secret)
    SELECT E'id_a"\\\\b\nc{}', email, hashed_secret FROM ctms.api_client});
my $token = $ctms->request(POST => '/token',
    "client_id=id_a%22%5Cb%0Ac%7B%7D&client_secret=$ctms->{client_secret}",
    { 'Content-Type' => 'application/x-www-form-urlencoded',
        Authorization => undef })->{json}{access_token};
is($ctms->request(GET => '/ctms?fxa_id=x', undef, { Authorization => "Bearer $token" })->{status},
    200, 'a client with an odd id');
$ctms->request(POST => '/ctms', { email => { primary_email => "m$_\@example.com" },
        vpn_waitlist => { geo => 'fr' } }) for 1 .. 3;
$ctms->request(@$_) for [ GET => '/none' ], [ GET => '/__crash__' ], [ PATCH => '/ctms/x', {} ],
    [ BREW => '/ctms' ], [ POST => '/ctms', '{' ], [ GET => '/ctms/"%0a%5c' ],
    [ DELETE => '/ctms/none@example.com' ];
my $metrics = $ctms->request(GET => '/metrics', undef, \%scrape)->{content};
check('a server with traffic', $metrics);
like($metrics, qr/client_id="id_a\\"\\\\b\\nc\{\}"/, 'the odd id is in it');

# ---- the agent -----------------------------------------------------------------------------------
my $port = PostgreSQL::Test::Cluster::get_free_port();
$ctms->start_sandbox;
$ctms->start_agent(CTMS_AGENT_METRICS_PORT => $port);
my $agent_metrics = sub { return $ctms->request(GET => "http://127.0.0.1:$port/metrics", undef,
        { Authorization => undef })->{content} };
poll_until(sub { $ctms->sql('SELECT count(*) FROM ctms.pending_acoustic') == 0 },
    'the contacts are sent');
poll_until(sub { $agent_metrics->() =~ /^ctms_background_acoustic_sync_total\{.*\} 3$/m },
    'which the metrics say');
check('the agent', $agent_metrics->());
$ctms->stop_program($_) for qw(agent rest sandbox);
done_testing();
