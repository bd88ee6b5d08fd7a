# Alert rules for Prometheus: whole, tested, described, and about metrics that the servers have.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use Test::More;

my $top = $ENV{CTMS_TEST_TOP};
my $rules = slurp("$top/packaging/prometheus-rules.yml");
my $tests = slurp("$top/packaging/prometheus-rules.test.yml");
my $operations = slurp("$top/docs/operations.md");

# ---- each rule ----------------------------------------------------------------------------------

my (undef, @blocks) = split /^      - alert: /m, $rules;
ok(@blocks > 10, 'rules were found: ' . @blocks);
my %expression;
for my $block (@blocks)
{
    my ($name) = $block =~ /\A(\w+)\n/;
    ok(!exists $expression{$name}, "$name has a name of its own");
    ($expression{$name}) = $block =~ /^        expr: (?:>-\n)?(.*?)^        for: \d+[mh]\n/ms;
    ok($expression{$name}, "$name has a condition and a time");
    like($block, qr/^          severity: (?:critical|warning)$/m, "$name has a severity");
    like($block, qr/^          $_: \S/m, "$name has a $_") for qw(summary description);
    like($tests, qr/\b$name\b/, "$name is tested");
    like($operations, qr/^\|[^|]*`$name`/m, "$name is in operations.md");
}

# ---- the metrics --------------------------------------------------------------------------------

# A metric of $text with these labels; {label => undef}: with any value.
sub has_series
{
    my ($text, $metric, %labels) = @_;
    for my $line (grep { /^\Q$metric\E[ {]/ } split /\n/, $text)
    {
        my $fits = 1;
        for (keys %labels)
        {
            my $value = defined $labels{$_} ? quotemeta $labels{$_} : '[^"]*';
            $fits &&= $line =~ /[{,]$_="$value"/;
        }
        return 1 if $fits;
    }
    return 0;
}

my $ctms = CTMS::Test->new('alert_rules');
my $port = PostgreSQL::Test::Cluster::get_free_port();
$ctms->start_sandbox;
$ctms->start_rest;
$ctms->start_agent(CTMS_AGENT_METRICS_PORT => $port);
$ctms->wait_for_port('agent', $port);
$ctms->request(GET => '/__lbheartbeat__');
my $metrics = join '', map { $ctms->request(GET => $_)->{content} } '/metrics',
    "http://127.0.0.1:$port/metrics";
ok(!has_series($metrics, 'ctms_none') && !has_series($metrics, 'ctms_requests_total', x => undef)
    && !has_series($metrics, 'ctms_requests_total', status_code_family => '6xx'),
    'what is not there is not found');
for my $name (sort keys %expression)
{
    my $text = $expression{$name};
    my @by = map { split /\s*,\s*/ } $text =~ /\bby \(([^)]*)\)/g;
    my $found = 0;
    while ($text =~ /\b(ctms_\w+)(?:\{([^}]*)\})?/g)
    {
        my ($metric, $selector) = ($1, $2 // '');
        my %labels = map { $_ => undef } @by;
        while ($selector =~ /(\w+)(=~|!~|!=|=)"([^"]*)"/g)
        {
            my ($label, $is, $value) = ($1, $2, $3);
            $labels{$label} = $is eq '=' ? $value : undef;
        }
        ok(has_series($metrics, $metric, %labels), "$name: $metric {$selector} is there");
        $found++;
    }
    ok($found, "$name is about metrics");
}
$ctms->stop_program($_) for qw(agent rest sandbox);

# ---- as Prometheus sees them --------------------------------------------------------------------

my ($promtool) = grep { -x $_ } "$top/build/promtool",
    map { "$_/promtool" } split /:/, $ENV{PATH};
SKIP:
{
    skip 'no promtool here', 2 if !$promtool;
    for ([ check => 'prometheus-rules.yml' ], [ test => 'prometheus-rules.test.yml' ])
    {
        my ($what, $file) = @$_;
        IPC::Run::run([ $promtool, $what, 'rules', "$top/packaging/$file" ], '>', \my $out,
            '2>', \my $err, IPC::Run::timeout(180));
        is($? >> 8, 0, "promtool $what rules") or diag "$out$err";
    }
}
done_testing();
