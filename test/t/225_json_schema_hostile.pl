# Hostile schemas and values: each ends in a verdict or a clear error, within bounded memory, and
# can be cancelled; the server goes on.
use strict;
use warnings;
use CTMS::Test qw(poll_until slurp);
use CTMS::JsonSchemaSuite qw(literal);
use IPC::Run;
use JSON::PP;
use Test::More;

# What one session may take at most, in kB, with all that PostgreSQL itself needs.
use constant MEMORY_KB => 400_000;

my $ctms = CTMS::Test->new('hostile');
my $json = JSON::PP->new->canonical;

sub nested { my ($open, $core, $close, $n) = @_; return ($open x $n) . $core . ($close x $n) }
sub numbered { my ($n, $make) = @_; return join ',', map { $make->($_) } 1 .. $n }

# Sixty definitions, each of which leads to the one before in several ways.
sub doubling
{
    my ($make) = @_;
    my %defs = (d0 => { type => 'string' });
    $defs{"d$_"} = $make->({ '$ref' => '#/$defs/d' . ($_ - 1) }) for 1 .. 60;
    return $json->encode({ '$ref' => '#/$defs/d60', '$defs' => \%defs });
}

my $too_deep = '54001: stack depth limit exceeded';
my $too_many = '54001: JSON Schema takes too many steps for this value';
my $endless = '22023: invalid JSON Schema: the schema applies itself to the same value without end';
my $doubling_any_of = doubling(sub { { anyOf => [ $_[0], $_[0] ] } });
my $doubling_one_of = doubling(sub { { oneOf => [ $_[0], $_[0], { minimum => 5 } ] } });

# Name, schema, value, verdict or error, and the same of ctms.json_schema_errors() where it differs.
my @cases = (
    [ 'arrays 10,000 deep', '{"items": {"$ref": "#"}}', nested('[', '', ']', 10_000), $too_deep ],
    [ 'objects 10,000 deep', '{"properties": {"a": {"type": "object"}}}', nested('{"a":', '1', '}', 10_000), 't' ],
    [ 'a schema 10,000 deep', nested('{"items":', '{}', '}', 10_000), '[]', $too_deep ],
    [ 'negations 10,000 deep', nested('{"not":', '{}', '}', 10_000), '1', $too_deep ],
    [ 'a reference to itself', '{"$ref": "#"}', '1', $endless ],
    [ 'a circle of references', '{"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}', '1', $endless ],
    [ 'a circle through a branch', '{"if": true, "then": {"$ref": "#"}}', '1', $too_deep ],
    [ 'a circle of dynamic references', '{"$dynamicAnchor": "a", "$dynamicRef": "#a"}', '1', $too_deep ],
    [ 'a chain of 20,000 references', '{"$ref": "#/$defs/d0", "$defs": {"d20000": {},'
        . numbered(20_000, sub { "\"d@{[ $_[0] - 1 ]}\": {\"\$ref\": \"#/\$defs/d$_[0]\"}" }) . '}}', '1', $too_deep ],
    [ 'a thousand alternatives', '{"oneOf": [' . numbered(1000, sub { qq({"properties": {"a": {"const": $_[0]}}, "required": ["a"]}) }) . ']}', '{"a": 0}', 'f' ],
    [ 'alternatives that double', $doubling_any_of, '1', 'f', $too_many ],
    [ 'exclusive alternatives that double', $doubling_one_of, '1', $too_many, $too_many ],
    [ 'conditions that double', doubling(sub { { if => $_[0], else => $_[0] } }), '1', 'f', $too_many ],
    [ 'unevaluated members that double', doubling(sub { { anyOf => [ $_[0], $_[0] ], unevaluatedProperties => JSON::PP::false } }), '{}', $too_many ],
    [ 'huge numbers', '{"multipleOf": 3e-16383, "maximum": 9e131071}', '7e131071', 'f' ],
    [ 'huge counts', '{"maxLength": 1e131071, "minItems": 1e131071}', '"a"', 't' ],
    [ '100,000 unique items', '{"uniqueItems": true}', '[' . numbered(100_000, sub { qq({"a": [$_[0]]}) }) . ']', 't' ],
    [ '100,000 errors', '{"items": {"type": "string"}}', '[' . numbered(100_000, sub { 1 }) . ']', 'f' ],
    [ '70,000 names', '{"properties": {' . numbered(70_000, sub { qq("n$_[0]": {"type": "string"}) }) . '}}', '{"n70000": 1}', 'f' ],
    [ '5,000 resources with anchors', '{"$defs": {' . numbered(5000, sub { qq("d$_[0]": {"\$id": "https://example.com/$_[0]", "\$anchor": "a"}) })
        . '}, "allOf": [' . numbered(5000, sub { qq({"\$ref": "https://example.com/$_[0]#a"}) }) . ']}', '1', 't' ],
    [ 'an expression that backtracks', '{"pattern": "^(a|aa)*\\\\1(a|aa)+\\\\1b$"}', '"' . 'a' x 200 . '"',
        '54001: regular expression takes too many steps for this value' ],
    [ 'repetitions of repetitions', '{"pattern": "^(((a*)*)*)*$"}', '"' . 'a' x 50_000 . 'b"', 'f' ],
    [ 'an expression that is too large', '{"pattern": "((a{1000}){1000}){1000}"}', '"a"',
        '22023: invalid JSON Schema: invalid regular expression: the expression is too large' ],
    [ 'groups 10,000 deep', '{"pattern": "' . nested('(', 'a', ')', 10_000) . '"}', '"a"', $too_deep ]);

# Runs statements in a session of their own; what they say, and the most memory it has taken.
sub run_alone
{
    my ($sql) = @_;
    my ($out, $err) = ('', '');
    my $program = "\\set VERBOSITY verbose\n\\timing off\nSELECT pg_backend_pid() AS pid \\gset\n\\setenv PID :pid\n$sql;\n\\! grep VmHWM /proc/\$PID/status\n";
    IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-d', $ctms->node->connstr('ctms') ], \$program, \$out, \$err);
    my ($kb) = $out =~ s/^VmHWM:\s+(\d+) kB\n?//m ? $1 : undef;
    chomp $out;
    return ($err =~ /ERROR:\s+([0-9A-Z]{5}: .*)/ ? $1 : $out, $kb);
}

for my $case (@cases)
{
    my ($name, $schema, $value, $verdict, $reasons) = @$case;
    my $arguments = literal($schema) . '::jsonb, ' . literal($value) . '::jsonb';
    my ($said, $kb) = run_alone("SELECT ctms.json_schema_is_valid($arguments)");
    is($said, $verdict, $name);
    cmp_ok($kb // 0, '<', MEMORY_KB, "$name: memory");
    $reasons //= $verdict;
    ($said, $kb) = run_alone("SELECT CASE WHEN count(*) = 0 THEN 't' ELSE 'f' END FROM ctms.json_schema_errors($arguments)");
    is($said, $reasons, "$name, with reasons");
    cmp_ok($kb // 0, '<', MEMORY_KB, "$name, with reasons: memory");
}

# What is wrong is listed, and such a schema is not stored for a waitlist that has no rows yet.
is($ctms->sql(q{SELECT keyword || ' ' || instance_location FROM ctms.json_schema_check('{"properties": {"a": {"$ref": "#/properties/a"}}}'::jsonb)}),
    '$ref /properties/a/$ref', 'a reference to itself is listed');
like($ctms->sql_error(q{SELECT ctms.set_waitlist_schema('new', '{"$ref": "#"}')})->{text}, qr/not valid JSON Schema/, 'and refused for a waitlist');
is($ctms->sql_error(q{INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('new', '{"$ref": "#"}')})->{state}, '22023', 'by SQL too');

# Cancelling: statements that would go on for long.
my @long = (
    [ 'verdicts', q{SELECT count(*) FROM (SELECT jsonb_agg(k) AS d FROM generate_series(1, 100000) AS k) AS x, generate_series(1, 100000) AS i
        WHERE ctms.json_schema_is_valid('{"items": {"anyOf": [{"multipleOf": 7}, {"type": "integer", "minimum": 0}]}}', d) AND i > 0} ],
    [ 'reasons', q{SELECT count(*) FROM (SELECT jsonb_agg(k) AS d FROM generate_series(1, 100000) AS k) AS x, generate_series(1, 100000) AS i,
        ctms.json_schema_errors('{"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}', d)} ],
    [ 'compilations', q{SELECT count(*) FROM generate_series(1, 10000) AS i, ctms.json_schema_check(jsonb_build_object('properties',
        (SELECT jsonb_object_agg('n' || k, '{"pattern": "^[a-z]{1,50}$"}'::jsonb) FROM generate_series(1, 5000) AS k)))} ],
    [ 'unique items', q{SELECT count(*) FILTER (WHERE ctms.json_schema_is_valid('{"uniqueItems": true}', d)) FROM (SELECT jsonb_agg(k) AS d FROM generate_series(1, 500000) AS k) AS x, generate_series(1, 10000) AS i WHERE i > 0} ]);
for my $case (@long)
{
    my ($name, $sql) = @$case;
    my $out = '';
    my $session = IPC::Run::start([ 'psql', '-X', '-q', '-d', $ctms->node->connstr('ctms'), '-c', "SET application_name = 'long'", '-c', $sql ],
        \'', \$out, '2>&1');
    poll_until(sub {
        $ctms->sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'long' AND state = 'active' AND query LIKE 'SELECT%'}) eq 't';
    }, "$name run");
    $session->finish;
    like($out, qr/canceling statement due to user request/, "$name can be cancelled");
}

# A single-user server has less to protect it.
$ctms->node->stop;
for my $schema ('{"$ref": "#"}', '{"if": true, "then": {"$ref": "#"}}', nested('{"not":', '{}', '}', 50_000))
{
    my ($out, $err) = ('', '');
    my $ok = IPC::Run::run([ 'postgres', '--single', '-D', $ctms->node->data_dir, 'ctms' ],
        \("SELECT ctms.json_schema_is_valid('true'::jsonb, '1'::jsonb)\nSELECT ctms.json_schema_is_valid('$schema'::jsonb, '1'::jsonb)\nSELECT 'goes on'\n"), \$out, \$err);
    ok($ok && $out =~ /goes on/ && $err =~ /ERROR/, 'a single-user server goes on after ' . substr($schema, 0, 40)) or diag substr($err, -500);
}
done_testing();
