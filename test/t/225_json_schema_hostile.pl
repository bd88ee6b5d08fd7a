# Hostile schemas and values: each ends in a verdict or a clear error, within bounded memory, and
# can be cancelled; the server goes on.
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use CTMS::HostileSchemas qw(hostile_cases nested);
use CTMS::JsonSchemaSuite qw(literal);
use IPC::Run;
use Test::More;

# The most memory, in kB, that one session may use, including PostgreSQL's own.
use constant MEMORY_KB => 400_000;

my $ctms = CTMS::Test->new('hostile');

# Runs statements in a session of their own; returns their output, and the most memory it used.
sub run_alone
{
    my ($sql) = @_;
    my ($out, $err) = ('', '');
    my $program = "\\set VERBOSITY verbose\n\\timing off\nSELECT pg_backend_pid() AS pid \\gset\n"
        . "\\setenv PID :pid\n$sql;\n\\! grep VmHWM /proc/\$PID/status\n";
    IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-d', $ctms->node->connstr('ctms') ],
        \$program, \$out, \$err);
    my ($kb) = $out =~ s/^VmHWM:\s+(\d+) kB\n?//m ? $1 : undef;
    chomp $out;
    return ($err =~ /ERROR:\s+([0-9A-Z]{5}: .*)/ ? $1 : $out, $kb);
}

for my $case (hostile_cases())
{
    my ($name, $schema, $value, $verdict, $reasons) = @$case;
    my $arguments = literal($schema) . '::jsonb, ' . literal($value) . '::jsonb';
    my ($said, $kb) = run_alone("SELECT ctms.json_schema_is_valid($arguments)");
    ref $verdict ? like($said, $verdict, $name) : is($said, $verdict, $name);
    cmp_ok($kb // 0, '<', MEMORY_KB, "$name: memory");
    $reasons //= $verdict;
    ($said, $kb) = run_alone("SELECT CASE WHEN count(*) = 0 THEN 't' ELSE 'f' END
        FROM ctms.json_schema_errors($arguments)");
    ref $reasons ? like($said, $reasons, "$name, with reasons")
        : is($said, $reasons, "$name, with reasons");
    cmp_ok($kb // 0, '<', MEMORY_KB, "$name, with reasons: memory");
}

# What is wrong is listed, and such a schema is not stored for a waitlist that has no rows yet.
is($ctms->sql(q{SELECT keyword || ' ' || instance_location
    FROM ctms.json_schema_check('{"properties": {"a": {"$ref": "#/properties/a"}}}'::jsonb)}),
    '$ref /properties/a/$ref', 'a reference to itself is listed');
like($ctms->sql_error(q{SELECT ctms.set_waitlist_schema('new', '{"$ref": "#"}')})->{text},
    qr/not valid JSON Schema/, 'and refused for a waitlist');
is($ctms->sql_error(q{INSERT INTO ctms.waitlist_fields_schemas (name, schema)
    VALUES ('new', '{"$ref": "#"}')})->{state}, '22023', 'by SQL too');

# Cancelling: statements that would run for minutes. They depend on i, or they would run once.
my @long = (
    [ 'verdicts', q{SELECT count(*) FROM (SELECT jsonb_agg(k) AS d
        FROM generate_series(1, 100000) AS k) AS x, generate_series(1, 100000) AS i
        WHERE ctms.json_schema_is_valid('{"items": {"anyOf": [{"multipleOf": 7}, {"type": "integer",
            "minimum": 0}]}}', d || to_jsonb(i))} ],
    [ 'reasons', q{SELECT count(*) FROM (SELECT jsonb_agg(k) AS d
        FROM generate_series(1, 100000) AS k) AS x, generate_series(1, 100000) AS i,
        ctms.json_schema_errors('{"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}',
            d || to_jsonb(i))} ],
    [ 'compilations', q{SELECT count(*) FROM generate_series(1, 10000) AS i,
        ctms.json_schema_check(jsonb_build_object('title', i::text, 'properties',
        (SELECT jsonb_object_agg('n' || k, '{"pattern": "^[a-z]{1,50}$"}'::jsonb)
            FROM generate_series(1, 5000) AS k)))} ],
    [ 'unique items',
        q{SELECT count(*) FILTER (WHERE ctms.json_schema_is_valid('{"uniqueItems": true}',
        d || to_jsonb(-i))) FROM (SELECT jsonb_agg(k) AS d
        FROM generate_series(1, 500000) AS k) AS x, generate_series(1, 10000) AS i WHERE i > 0} ]);
for my $case (@long)
{
    my ($name, $sql) = @$case;
    my $out = '';
    my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $ctms->node->connstr('ctms'), '-c',
            "SET application_name = 'long'", '-c', $sql ],
        \'', \$out, '2>&1');
    poll_until(sub {
        $ctms->sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'long' AND state = 'active' AND query LIKE 'SELECT%'}) eq 't';
    }, "$name run");
    $session->finish;
    like($out, qr/canceling statement due to user request/, "$name can be cancelled");
}

# A single-user server has less protection.
$ctms->node->stop;
for my $schema ('{"$ref": "#"}', '{"if": true, "then": {"$ref": "#"}}',
    nested('{"not":', '{}', '}', 50_000))
{
    my ($out, $err) = ('', '');
    my $ok = IPC::Run::run([ 'postgres', '--single', '-D', $ctms->node->data_dir, 'ctms' ],
        \("SELECT ctms.json_schema_is_valid('true'::jsonb, '1'::jsonb)\n"
            . "SELECT ctms.json_schema_is_valid('$schema'::jsonb, '1'::jsonb)\n"
            . "SELECT 'goes on'\n"), \$out, \$err);
    ok($ok && $out =~ /goes on/ && $err =~ /ERROR/, 'a single-user server goes on after '
        . substr($schema, 0, 40)) or diag substr($err, -500);
}
done_testing();
