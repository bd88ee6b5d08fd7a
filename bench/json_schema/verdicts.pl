# How fast the JSON Schema engine is; run by "make bench-json-schema". Absolute times are the
# machine's, so everything is put next to something measured in the same run: a plain walk over
# the entries, a bare scan, Blaze (the fastest validator known) and ajv, both from npm.
#
# CTMS_BENCH_CORPORA is a folder of schemas with documents (NAME/schema.json, NAME/instances.jsonl),
# CTMS_BENCH_TOOLS the folder with node_modules. Where one is not set, its comparison is left out,
# and that is told; where one is set and something in it cannot be measured, the run fails. ajv
# cannot compile every schema; that is told too. CTMS_BENCH_DOCUMENTS (300) of each corpus are
# taken, CTMS_BENCH_ROUNDS (300) times in each of CTMS_BENCH_PASSES (5).
use strict;
use warnings;
use List::Util qw(min max sum);
use Cwd qw(abs_path);
use IPC::Run;
use Test::More;
use Time::HiRes qw(sleep time);
use CTMS::Bench qw(setting spew);
use CTMS::Test qw(data_folder slurp);
use CTMS::JsonSchemaSuite qw(corpora_names literal);

my $corpora = data_folder('CTMS_BENCH_CORPORA');
my @corpora = corpora_names($corpora);
die "ctms: no schemas in $corpora (CTMS_BENCH_CORPORA)\n" if $corpora ne '' && !@corpora;
my $tools = data_folder('CTMS_BENCH_TOOLS');
$tools = abs_path($tools) if $tools ne '';
my $blaze = "$tools/node_modules/.bin/jsonschema";
for my $needed ($tools eq '' ? () : ($blaze, "$tools/node_modules/ajv"))
{
    die "ctms: no comparison with other validators: $needed is not there\n" unless -x $needed;
}
my $documents = setting(DOCUMENTS => 300);
my $rounds = setting(ROUNDS => 300);
my $passes = setting(PASSES => 5);
my $vpn = '{"type": "object", "additionalProperties": false,
    "properties": {"geo": {"type": ["string", "null"], "maxLength": 100},'
    . ' "platform": {"type": ["string", "null"], "maxLength": 100}}}';
my $small = '{"geo": "fr", "platform": "win64"}';

my $ctms = CTMS::Bench->new('bench', conf => join "\n", 'shared_buffers = 512MB', 'jit = off',
    'max_parallel_workers_per_gather = 0', 'autovacuum = off', '');
my $dir = $ctms->node->basedir;

sub row { my ($sql) = @_; return split /\|/, $ctms->sql($sql) }
sub line
{
    my ($what, $number, $goal) = @_;
    diag sprintf '%-66s %s%s', $what, $number, defined $goal ? "   (goal $goal)" : '';
    return;
}

# ---- other validators --------------------------------------------------------------------------

# Each gives the mean of the rounds for each document, in nanoseconds; nothing without the tools.

# (exit status, what a command prints).
sub output_of
{
    my (@command) = @_;
    my ($out, $err) = ('', '');
    IPC::Run::run(\@command, '<', \'', '>', \$out, '2>', \$err);
    return ($? >> 8, $out, $err);
}

# The times, when there is one for each document.
sub checked
{
    my ($who, $schema, $instances, $err, @times) = @_;
    my $count = () = slurp($instances) =~ /^./mg;
    return @times if @times == $count && !grep { !defined } @times;
    die "ctms: $who measured " . (grep { defined } @times)
        . " of $count documents of $schema: $err\n";
}

sub blaze
{
    my ($schema, $instances, $n) = @_;
    return () if $tools eq '';
    my (undef, $out, $err) = output_of($blaze, 'validate', $schema, $instances,
        '--benchmark', '--loop', $n, '--fast');
    my @times;
    $times[ $1 - 1 ] = 1000 * $2 while $out =~ /\[(\d+)\]: PASS ([0-9.]+)/g;
    return checked('Blaze', $schema, $instances, $err, @times);
}

my %told;
sub ajv
{
    my ($schema, $instances, $n) = @_;
    return () if $tools eq '';
    my ($status, $out, $err) = output_of('node', "$ENV{CTMS_TEST_TOP}/bench/json_schema/ajv.js",
        $tools, $schema, $instances, $n);
    return checked('ajv', $schema, $instances, $err, split /\n/, $out) if $status != 3;
    diag "ajv cannot compile $schema: " . $err =~ s/\n.*//sr unless $told{$schema}++;
    return ();
}

# Other work on the machine only ever adds time: for each document the best pass counts, for
# everybody alike. Then the mean of the documents.
sub mean_of_best
{
    my @passes = grep { @$_ } @_;
    return undef unless @passes;
    return sum(map {
        my $i = $_;
        min(map { $_->[$i] } @passes);
    } 0 .. $#{ $passes[0] }) / @{ $passes[0] };
}

sub ratio { my ($x, $y) = @_; return defined $x && $y ? sprintf('%.2f', $x / $y) : '-' }
sub ns { my ($x) = @_; return defined $x ? sprintf('%.0f', $x) : '-' }

# ---- the small instance --------------------------------------------------------------------------

sub small_instance
{
    my ($v, $s) = (literal($vpn), literal($small));
    my ($walk, $run, $explain, $compile) = row('SELECT ' . join ', ',
        map { "ctms._json_schema_bench($v, $s, '$_->[0]', $_->[1], $_->[2])" }
        [ walk => 4_000_000, 4000 ], [ run => 4_000_000, 4000 ], [ explain => 100_000, 500 ],
        [ compile => 2000, 200 ]);
    my ($schema, $instance) = (spew("$dir/vpn.json",
            qq({"\$schema": "https://json-schema.org/draft/2020-12/schema", ) . substr($vpn, 1)),
        spew("$dir/small.jsonl", "$small\n"));
    my $blaze = mean_of_best(map { [ blaze($schema, $instance, 2000) ] } 1 .. 20);
    my $ajv = mean_of_best(map { [ ajv($schema, $instance, 20_000) ] } 1 .. 5);
    line('small instance, verdict in a loop inside one call, ns', sprintf('%.1f', $run), '25');
    line('  plain walk over its entries, ns (ratio)', sprintf('%.1f (%.2f)', $walk, $run / $walk));
    line('  Blaze, ns (ratio)', ns($blaze) . ' (' . ratio($run, $blaze) . ')');
    line('  ajv, ns (ratio)', ns($ajv) . ' (' . ratio($run, $ajv) . ')');
    line('  verdict with reasons, ns', ns($explain));
    line('  compilation, us', sprintf('%.1f', $compile / 1000));
    return;
}

# ---- members and items of one type ---------------------------------------------------------------

# A hundred of them. Types stand side by side in a jsonb; "integer" must look at each number.
sub one_type
{
    my %schema = (strings => '{"type": "string"}', integers => '{"type": "integer"}');
    my %value = (strings => sub { qq("value $_[0]") }, integers => sub { 7 * $_[0] });
    for my $what (qw(strings integers))
    {
        my @values = map { $value{$what}->($_) } 1 .. 100;
        my $members = '{' . join(', ', map { qq("key$_": $values[$_]) } 0 .. 99) . '}';
        for my $case ([ "items that are $what", 'items', '[' . join(', ', @values) . ']' ],
            [ "members that are $what", 'additionalProperties', $members ])
        {
            my ($name, $keyword, $instance) = @$case;
            my $inner = qq("$keyword": $schema{$what}});
            my ($run) = row("SELECT ctms._json_schema_bench('{$inner', " . literal($instance)
                . ", 'run', 1000000, 1000)");
            my ($schema, $instances) = (spew("$dir/one_type.json",
                    qq({"\$schema": "https://json-schema.org/draft/2020-12/schema", $inner)),
                spew("$dir/one_type.jsonl", "$instance\n"));
            my $blaze = mean_of_best(map { [ blaze($schema, $instances, 2000) ] } 1 .. 10);
            line("100 $name, ns; Blaze (ratio)",
                sprintf('%.0f; %s (%s)', $run, ns($blaze), ratio($run, $blaze)));
        }
    }
    return;
}

# Queries by turns, each in the best of many short rounds: other work on the machine only ever
# adds time.
sub per_row
{
    $ctms->sql(q{CREATE TABLE public.docs AS
        SELECT jsonb_build_object('geo', 'fr', 'platform', 'win' || i % 100) AS doc
            FROM generate_series(1, 20000) AS i;
        VACUUM public.docs;
        CREATE FUNCTION public.best_ns(queries text[])
            RETURNS double precision[] LANGUAGE plpgsql AS $$
        DECLARE
            best double precision[] := array_fill('infinity'::double precision,
                ARRAY[cardinality(queries)]);
            start timestamptz;
        BEGIN
            FOR round IN 1 .. 1000 LOOP
                FOR q IN 1 .. cardinality(queries) LOOP
                    start := clock_timestamp();
                    EXECUTE queries[q];
                    best[q] := least(best[q], extract(epoch
                        FROM clock_timestamp() - start) * 1e9 / 20000);
                END LOOP;
            END LOOP;
            RETURN best;
        END $$});
    my @where = ('doc IS NOT NULL', 'jsonb_typeof(doc) IS NOT NULL', 'ctms.json_schema_is_valid('
        . literal($vpn) . ', doc)');
    my ($scan, $typeof, $valid) = row(q{SELECT array_to_string(public.best_ns(ARRAY[}
        . join(', ', map { literal("SELECT count(*) FROM public.docs WHERE $_") } @where)
        . q{]), '|')});
    line('the same for each row of a table, over a bare scan, ns',
        sprintf('%.0f', $valid - $scan), '50');
    line('  jsonb_typeof() over a bare scan, ns', sprintf('%.0f', $typeof - $scan));
    return;
}

# ---- looking up, compiling, unique items ---------------------------------------------------------

sub lookups
{
    my ($big) = -f "$corpora/krakend/schema.json" ? slurp("$corpora/krakend/schema.json")
        : '{"properties": {' . join(', ',
            map { qq("name$_": {"type": "string", "maxLength": $_}) } 1 .. 5000) . '}}';
    $ctms->sql("SELECT ctms.install_default_waitlist_schemas();
        INSERT INTO ctms.waitlist_fields_schemas (name, schema)
        VALUES ('big', " . literal($big) . ')');
    for my $case ([ 'small', $vpn, 'vpn' ], [ 'large', $big, 'big' ])
    {
        my ($name, $schema, $waitlist) = @$case;
        my ($site, $id) = row('SELECT ctms._json_schema_bench(' . literal($schema)
            . ", '0', 'site', 10000000, 1000),"
            . " ctms._json_schema_bench('true', '\"$waitlist\"', 'name', 2000000, 1000)");
        line("cached schema, $name (" . length($schema) . ' bytes), by call site, ns',
            sprintf('%.1f', $site), '10');
        line("cached schema, $name, by the name of its waitlist, ns", sprintf('%.1f', $id), '50');
    }
    return;
}

sub unique_items
{
    for my $case ([ numbers => 'to_jsonb(i)' ], [ strings => q{to_jsonb('item number ' || i)} ],
        [ objects => q{jsonb_build_object('id', i, 'name', 'item number ' || i)} ],
        [ 'nested objects' => q{jsonb_build_object('customer', jsonb_build_object('id',
            md5(i::text), 'tags', '["a", "b"]'::jsonb), 'total', i * 1.25)} ])
    {
        my ($name, $item) = @$case;
        my ($time) = row("SELECT ctms._json_schema_bench('{\"uniqueItems\": true}',
            (SELECT jsonb_agg($item) FROM generate_series(1, 100000) AS i), 'run', 20, 20)");
        line("uniqueItems on 100,000 $name, ms", sprintf('%.1f', $time / 1e6), '50');
    }
    return;
}

# ---- inserting -----------------------------------------------------------------------------------

# By turns with and without the trigger that validates.
sub inserts
{
    $ctms->sql(q{INSERT INTO ctms.emails (primary_email) SELECT 'u' || i || '@example.com'
        FROM generate_series(1, 2000) AS i;
        TRUNCATE ctms.pending_acoustic;
        CREATE TABLE public.times (validated boolean, ms double precision);
        CREATE PROCEDURE public.insert_waitlists(validated boolean) LANGUAGE plpgsql AS $$
        DECLARE
            start timestamptz;
        BEGIN
            EXECUTE 'ALTER TABLE ctms.waitlists ' || CASE WHEN validated THEN 'ENABLE' ELSE
                'DISABLE' END || ' TRIGGER ctms_waitlists_check_fields';
            COMMIT;
            start := clock_timestamp();
            INSERT INTO ctms.waitlists (email_id, name, fields)
                SELECT email_id, 'vpn', '{"geo": "fr", "platform": "win64"}' FROM ctms.emails;
            COMMIT;
            INSERT INTO public.times
                VALUES (validated, extract(epoch FROM clock_timestamp() - start) * 1000);
            TRUNCATE ctms.waitlists, ctms.pending_acoustic;
            COMMIT;
        END $$;});
    $ctms->sql(join '', map { "CALL public.insert_waitlists(true);
        CALL public.insert_waitlists(false);\n" } 1 .. 60);
    my ($with, $without, $median_with, $median_without) =
        row(q{SELECT min(ms) FILTER (WHERE validated), min(ms) FILTER (WHERE NOT validated),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE validated),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE NOT validated)
        FROM public.times});
    line('INSERT of 2,000 waitlists, validated against not, best of 60 (ms)',
        sprintf('%.3f (%.1f, %.1f)', $with / $without, $with, $without), '1.1');
    line('  median', sprintf('%.3f (%.1f, %.1f)', $median_with / $median_without,
            $median_with, $median_without));
    return;
}

# ---- real schemas --------------------------------------------------------------------------------

sub corpus
{
    my ($name) = @_;
    my $file = "$corpora/$name/schema.json";
    my $s = literal(slurp($file));
    my @lines = split /\n/, slurp("$corpora/$name/instances.jsonl");
    splice @lines, $documents if @lines > $documents;
    my $instances = spew("$dir/$name.jsonl", join '', map { "$_\n" } @lines);
    $ctms->sql('DROP TABLE IF EXISTS public.d; CREATE TABLE public.d (id serial, doc jsonb);
        INSERT INTO public.d (doc) VALUES '
        . join ',', map { '(' . literal($_) . ')' } @lines);
    my %passes;
    for my $pass (1 .. $passes)
    {
        for my $what (qw(run walk))
        {
            push @{ $passes{$what} }, [ row("SELECT string_agg(ctms._json_schema_bench($s, doc,
                '$what', $rounds, 1)::text, '|' ORDER BY id) FROM public.d") ];
        }
        push @{ $passes{blaze} }, [ blaze($file, $instances, $rounds) ];
        push @{ $passes{ajv} }, [ ajv($file, $instances, $rounds) ];
    }
    my %best = map { $_ => mean_of_best(@{ $passes{$_} }) } keys %passes;
    @best{qw(compile wrong)} = row("SELECT ctms._json_schema_bench($s, '0', 'compile', 50, 50),"
        . " (SELECT count(*) FILTER (WHERE NOT ctms.json_schema_is_valid($s, doc)) FROM public.d)");
    diag sprintf '%-16s %5d %9s %9s %9s %9s %8s %8s %8s %10.1f %6d', $name, scalar @lines,
        (map { ns($_) } @best{qw(run walk blaze ajv)}),
        (map { ratio($best{run}, $best{$_}) } qw(blaze ajv walk)),
        $best{compile} / 1000, $best{wrong};
    return \%best;
}

sub real_schemas
{
    diag sprintf '%-16s %5s %9s %9s %9s %9s %8s %8s %8s %10s %6s', 'schema', 'docs', 'ours ns',
        'walk ns', 'Blaze ns', 'ajv ns', '/Blaze', '/ajv', '/walk', 'compile us', 'wrong';
    my @results = map { corpus($_) } @corpora;
    for my $other (qw(blaze ajv walk))
    {
        my @ratios = map { $_->{run} / $_->{$other} } grep { $_->{$other} } @results;
        next unless @ratios;
        line("against $other: geometric mean of the ratios; worst",
            sprintf('%.2f; %.2f', exp(sum(map { log } @ratios) / @ratios), max(@ratios)),
            $other eq 'blaze' ? '0.6; 1.5' : undef);
    }
    my @compile = sort { $a <=> $b } map { $_->{compile} / 1000 } @results;
    line('compilation, median; largest, us',
        sprintf('%.0f; %.0f', $compile[ $#compile / 2 ], $compile[-1]), '200; 50000');
    line('wrong verdicts', sum(map { $_->{wrong} } @results), '0');
    return;
}

diag '';
small_instance();
one_type();
per_row();
lookups();
unique_items();
inserts();
real_schemas() if @corpora;
diag 'left out: Blaze and ajv, as CTMS_BENCH_TOOLS is not set' if $tools eq '';
diag 'left out: real schemas, as there is no folder of them (make bench-json-schema CORPORA=folder)'
    unless @corpora;
pass('measured');
done_testing();
