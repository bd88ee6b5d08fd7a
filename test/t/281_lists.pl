# What is written in two places says the same in both, where no compiler and no other test looks.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use JSON::PP;
use Test::More;

my $top = $ENV{CTMS_TEST_TOP};
sub sorted { return join ' ', sort @_ }

# ---- columns that Acoustic is told: personal ones are kept out of stored errors ------

my ($plan) = slurp("$top/extension/acoustic/source.c") =~ /main_plan = \{(.*?) FROM ctms/s;
my ($personal) =
    slurp("$top/agent/contact.c") =~ /^is_personal\(.*?names\[\] = \{(.*?)\}/ms;
my @sent = map { s/.* AS //r =~ s/^\w\.|::\w+$//gr }
    $plan =~ /\b([eaf]\.\w+(?:::\w+)?(?: AS \w+)?)/g;
my %is_known = map { $_ => 1 } $personal =~ /"(\w+)"/g;
ok(@sent > 25 && $is_known{first_name}, 'columns of contacts were found: ' . @sent);
# These tell nothing of a person.
$is_known{$_} = 1 for qw(email_id mailing_country email_format email_lang double_opt_in),
    qw(has_opted_out_of_email amo_email_opt_in amo_language amo_last_login amo_user),
    qw(fxa_created_date fxa_lang fxa_first_service fxa_account_deleted);
is(sorted(grep { !$is_known{$_} && !/_timestamp$/ && !/unsub/ } @sent),
    '', 'each is in is_personal() of agent/contact.c, or here');

# ---- columns of Stripe that no row of a contact shows --------------------------------

my $map = slurp("$top/extension/stripe/map.c");
my %table = map { $_->[1] => $_->[0] }
    map { [ /\.table = "(\w+)"/, /FIELDS\((\w+)\)/ ] } $map =~ /(\.object = .*?\.price_field)/sg;
my %unseen;
while ($map =~ /StripeField (\w+)\[\] = \{(.*?)^\};/msg)
{
    my ($fields, $content) = ($1, $2);
    $unseen{ $table{$fields} } =
        sorted($content =~ /\{"(\w+)",\s*\{[^{}]*\},[^{}]*\bSTRIPE_UNSEEN\b[^{}]*\}/g);
}
my %unfed;
my $triggers = slurp("$top/extension/sql/50_queue.sql");
while ($triggers =~ /\('(stripe_\w+)', ARRAY\[([^]]*)\]\)/g)
{
    my ($name, $list) = ($1, $2);
    my (undef, undef, @columns) = $list =~ /'(\w+)'/g;
    $unfed{$name} = sorted(grep { !/^(?:message|list|deletion|update)_timestamp$/ } @columns);
}
like($unseen{stripe_price}, qr{active.*stripe_created}, 'columns of Stripe were found');
is_deeply(\%unfed, \%unseen, 'STRIPE_UNSEEN of stripe/map.c is what 50_queue.sql does not enqueue');

# ---- limits in C fit the columns -----------------------------------------

my %width;
my $tables = slurp("$top/extension/sql/10_tables.sql");
for my $create ($tables =~ /^CREATE TABLE ctms\.(\w+ \(.*?)^\);/msg)
{
    my ($name, $content) = $create =~ /^(\w+) \((.*)/s;
    $width{$name}{$1} = $2 while $content =~ /^ +"?(\w+)"? varchar\((\d+)\)/mg;
}
my $fields = slurp("$top/extension/contact/fields.h") =~ s/\\\n\s*//gr;
my ($is_wide, @narrow) = (0);
for my $group (split /^(?=#define CONTACT_\w+_FIELDS)/m, $fields)
{
    my ($name) = $group =~ /^#define CONTACT_(\w+)_FIELDS/ or next;
    my ($known) = grep { $width{$_} } lc $name, lc "${name}s";
    next if !$known;    # not a table of its own
    while ($group =~ /FIELD\(\w+, "(\w+)", (?:TEXT|REQUIRED)\((\d+)\)/g)
    {
        my ($column, $limit) = ($1, $2);
        $is_wide++ if $limit;
        push @narrow, "$known.$column" if $limit > ($width{$known}{$column} // $limit);
    }
}
ok($is_wide > 15, "limits of contacts were found: $is_wide");
is(sorted(@narrow), '', 'no limit in contact/fields.h is larger than its column');

my ($id_length) = $map =~ /#define ID_LENGTH (\d+)/;
(my $is_seen, @narrow) = (0);
while ($map =~ /StripeField (\w+)\[\] = \{(.*?)^\};/msg)
{
    my ($table, $content) = ($table{$1}, $2);
    while ($content =~ /\{"(\w+)",\s*\{[^{}]*\},\s*STRIPE_(?:TEXT|WORD|REFERENCE),\s*(\w+),/g)
    {
        my ($column, $limit) = ($1, $2);
        $limit = $id_length if $limit eq 'ID_LENGTH';
        $is_seen++;
        push @narrow, "$table.$column" if $limit > ($width{$table}{$column} // $limit);
    }
}
ok($is_seen > 15, "limits of Stripe were found: $is_seen");
is(sorted(@narrow), '', 'no limit in stripe/map.c is larger than its column');

# ---- what the REST server answers ----------------------------------------------------

my ($resources) = slurp("$top/docs/rest.md") =~ /^## Resources\n(.*?)^## /ms;
my @paths = slurp("$top/rest/routes.c") =~ /\{HTTP_\w+, "([^"]+)"/g;
ok(@paths > 20, 'routes were found: ' . @paths);
is(sorted(grep { $resources !~ m{[ `]\Q$_\E[`?]} && !m{^/(?:docs/.*)?$} } @paths),
    '', 'docs/rest.md has each path');

# ---- scopes ----------------------------------------------------------------------------

my @scopes = slurp("$top/common/scope.c") =~ /^    \{"([\w:]+)"/mg;
my ($check) = $tables =~ /scopes text\[\] CHECK \(scopes <@ ARRAY\[(.*?)\]\)/;
ok(@scopes > 3, 'scopes were found: ' . @scopes);
is(join(' ', $check =~ /'([^']+)'/g), "@scopes", 'the table of clients allows the same');
for my $file (qw(docs/rest.md docs/command-line.md cli/cmd_clients.c))
{
    my $text = slurp("$top/$file");
    is(sorted(grep { $text !~ /\b\Q$_\E\b/ } @scopes), '', "$file has each");
}

# ---- keywords of JSON Schema ---------------------------------------------------------

my @keywords = slurp("$top/extension/json_schema/dialect.c") =~ /RULE\("([^"]+)"/g;
my $mutator = slurp("$top/test/fuzz/backend/mutate_json.c");
ok(@keywords > 50, 'keywords were found: ' . @keywords);
is(sorted(grep { $mutator !~ /\{"\\"\Q$_\E\\"",\s*\{/ && !/^\$comment$/ } @keywords),
    '', 'the fuzz targets make schemas of each');

# ---- settings of the extension -------------------------------------------------------

my @sources = split /\n/, `find '$top/extension' -name '*.c'`;
my @settings = map { slurp($_) =~ /DefineCustom\w+Variable\(\s*"([\w.]+)"/g } @sources;
my $security = slurp("$top/docs/security.md");
ok(@settings > 5, 'settings were found: ' . @settings);
is(sorted(grep { $security !~ /^\|.*`\Q$_\E`.*\|$/m } @settings),
    '', 'docs/security.md says of each who may set it and what that could do');

my $configuration = slurp("$top/docs/configuration.md");
my @rules = slurp("$top/extension/base/settings_rules.c")
    =~ /\[SETTING_\w+\]\s*=\s*\{"(\w+)", SETTING_\w+,/g;
ok(@rules > 5, 'settings of the database were found: ' . @rules);
is(sorted(grep { $configuration !~ /^\| `\Q$_\E` \| `\w+` \|/m } @rules), '',
    'docs/configuration.md has each');
my ($left_over) = slurp("$top/cli/doctor/policy.c") =~ /define LEFT_OVER_SQL(.*?)AS p \(name\)/s;
my %is_left_over = map { $_ => 1 } $left_over =~ /'(\w+)'/g;
is(sorted(grep { !$is_left_over{$_} } @rules), '', 'cli/doctor/policy.c too');

# ---- why Stripe objects are skipped ----------------------------------------------------

my ($skips) = slurp("$top/extension/stripe/report.c") =~ /SKIP_NAMES\[\] = \{(.*?)\};/s;
my @skips = $skips =~ /"(\w+)"/g;
ok(@skips > 4, 'reasons were found: ' . @skips);
my $parts = JSON::PP->new->utf8->decode(slurp("$top/rest/openapi_parts.json"));
my $told = $parts->{schemas}{stripe_done}{properties}{skip_reasons}{properties};
is(sorted(keys %$told), sorted(@skips), '/openapi.json has each');
my ($reasons) = slurp("$top/docs/stripe.md") =~ /^\| reason \| \|\n(.*?)\n\n/ms;
is(sorted($reasons =~ /^\| `(\w+)`/mg), sorted(@skips, 'no_contact'), 'docs/stripe.md too');

# ---- what is monitored -----------------------------------------------------------------

my ($head) = slurp("$top/extension/sql/97_monitor.sql") =~ /FUNCTION ctms\.monitor\((.*?)\)\n/s;
my %is_number = map { $_ => 1 } $head =~ /OUT (\w+)/g;
ok(keys %is_number > 8, 'numbers of ctms.monitor() were found: ' . keys %is_number);
my $operations = slurp("$top/docs/operations.md");
is(sorted(grep { $operations !~ /^\|[^|]*`\Q$_\E`/m } keys %is_number), '',
    'docs/operations.md has each');
my $dashboard = slurp("$top/packaging/grafana-dashboard.json");
my @shown = map { /(\w+) AS /g } $dashboard =~ /SELECT (.*?) FROM ctms\.monitor\(6\)/g;
ok(@shown > 8, 'the dashboard shows some: ' . @shown);
is(sorted(grep { !$is_number{$_} } @shown), '', 'and no others');

done_testing();
