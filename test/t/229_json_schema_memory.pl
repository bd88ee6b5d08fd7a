# The memory of verdicts, of their reasons and of what they are made from: it is in proportion to
# the value, and ctms.json_schema_memory bounds it with a clear error.
use strict;
use warnings;
use CTMS::Test;
use IPC::Run;
use Test::More;

my $ctms = CTMS::Test->new('schema_memory');

# Values by name, in a table, so that none is part of a statement.
my %value = (
    numbers => q{SELECT jsonb_agg(k)::text FROM generate_series(1, 300000) k},
    strings => q{SELECT jsonb_agg('n' || k)::text FROM generate_series(1, 300000) k},
    objects => q{SELECT '[' || string_agg(format('{"a": [%s]}', k), ',') || ']'
        FROM generate_series(1, 300000) k},
    few => q{SELECT jsonb_agg(k)::text FROM generate_series(1, 20000) k},
    body => q{SELECT '[' || repeat('{},', 1390000) || '1]'},
    letters => q{SELECT to_json(string_agg(chr(97 + get_bit(sha256(k::text::bytea), 0)), ''))::text
        FROM generate_series(1, 20000) k},
    ab => q{SELECT to_json(repeat('ab', 500000))::text});
my %schema = (
    any => 'true', unique => '{"uniqueItems": true}', integers => '{"items": {"type": "integer"}}',
    no_integers => '{"items": {"type": "string"}}',
    contains => '{"allOf": [' . join(',', map { qq({"contains": {"minimum": $_}}) } 1 .. 50) . ']}',
    unevaluated => '{"allOf": [' x 500 . '{}' . '], "unevaluatedItems": true}' x 500,
    # Each has 2 ** 14 states.
    states => '{"anyOf": ['
        . join(',', map { qq({"pattern": "(a|b)*a(a|b){13}c$_\$"}) } 1 .. 120) . ']}',
    groups => '{"pattern": "^(?:a' . '()' x 500 . '|b)*\\\\1c"}',
    patterns => '{"allOf": ['
        . join(',', map { qq({"pattern": "$_ a{40000}"}) } 1 .. 300) . ']}',
    properties => '{"pattern": "[' . '\\\\p{L}' x 100_000 . ']"}',
    map => '{"patternProperties": {'
        . join(',', map { qq("$_ a{40000}": {}) } 1 .. 300) . '}}');
$ctms->sql('CREATE TABLE data (name text, text text, json json, jsonb jsonb)');
for my $column (qw(text json jsonb))
{
    $ctms->sql("ALTER TABLE data ALTER $column SET STORAGE EXTERNAL");
}
$ctms->sql("INSERT INTO data SELECT '$_', v, v::json, v::jsonb FROM ($value{$_}) AS t(v)")
    for sort keys %value;
$ctms->sql("INSERT INTO data SELECT '$_ schema', v, v::json, v::jsonb
    FROM (VALUES (\$\$$schema{$_}\$\$)) AS t(v)") for sort keys %schema;

# Evaluates an expression in a session of its own, in which "schema" and "value" are of that type;
# returns what it says, and by how many MB more the session's memory grows than to read the value.
sub run_alone
{
    my ($schema, $value, $type, $expression, $limit) = @_;
    my ($out, $err) = ('', '');
    my $from = "FROM (SELECT s.$type AS schema, v.$type AS value FROM data AS s, data AS v
            WHERE s.name = '$schema schema' AND v.name = '$value') AS t";
    my $reading = $type eq 'jsonb' ? 'jsonb_typeof(value)' : 'md5(value::text)';
    my $program = "\\set VERBOSITY verbose
        SELECT pg_backend_pid() AS pid \\gset
        \\setenv PID :pid
        " . ($limit ? "SET ctms.json_schema_memory = '$limit';" : '') . "
        SELECT FROM ctms.json_schema_errors('{}'::jsonb, '1'::jsonb);
        SELECT $from WHERE $reading = '';
        \\! grep VmHWM /proc/\$PID/status
        SELECT $expression $from;
        \\! grep VmHWM /proc/\$PID/status\n";
    IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-d', $ctms->node->connstr('ctms') ],
        \$program, \$out, \$err);
    my ($before, $after) = $out =~ /^VmHWM:\s+(\d+) kB$/mg;
    $out =~ s/^VmHWM:.*\n?//mg;
    chomp $out;
    return ($err =~ /ERROR:\s+(\w{5}: .*)/ ? $1 : "$out$err", ($after - $before) / 1024);
}

# Says that, and takes at most so many MB.
sub takes
{
    my ($name, $mb, $said, @call) = @_;
    my ($out, $grown) = run_alone(@call);
    is($out, $said, $name);
    cmp_ok($grown, '<', $mb, "$name: memory");
}

my $is_valid = 'ctms.json_schema_is_valid(schema, value)';
sub output { return "length(ctms.json_schema_validate(schema, value, '$_[0]')::text) > 0" }
my $refused = '54000: JSON Schema needs too much memory';

# ---- in proportion to the value --------------------------------------------------------------
takes("300,000 unique $_", 10, 't', unique => $_, jsonb => $is_valid)
    for qw(numbers strings objects);
takes("300,000 unique $_ as json", 64, 't', unique => $_, json => $is_valid)
    for qw(numbers strings objects);
takes('300,000 objects as text', 64, 't', unique => objects => text => $is_valid);
takes('a verbose output of 20,000 items', 48, 't', integers => few => jsonb => output('verbose'));
takes('a basic output of many annotations', 96, 't', contains => few => jsonb => output('basic'));
takes('1,000 of 300,000 errors', 16, '1001', no_integers => numbers => jsonb =>
    '(SELECT count(*) FROM ctms.json_schema_errors(schema, value))');
takes('unevaluated items on 500 levels', 32, 't', unevaluated => few => jsonb => $is_valid);
takes('states of 120 automata', 64, 'f', states => letters => jsonb => $is_valid);
takes('a body of 1,390,000 objects', 96, 't', any => body => text =>
    'length(ctms.parse_body(value)::text) > 0');

# ---- beyond the limit ------------------------------------------------------------------------
takes('choices of 500 groups', 300, $refused, groups => ab => jsonb => $is_valid);
takes("$_->[0] in a MB", 24, $refused, @$_[1 .. 4], '1MB')
    for [ '300,000 unique numbers' => unique => numbers => jsonb => $is_valid ],
    [ '300,000 objects as json' => any => objects => json => $is_valid ],
    [ '300,000 objects as text' => any => objects => text => $is_valid ],
    [ 'a verbose output' => integers => few => jsonb => output('verbose') ],
    [ 'a list of annotations' => contains => few => jsonb => output('list') ],
    [ 'unevaluated items on 500 levels' => unevaluated => few => jsonb => $is_valid ],
    [ 'a large body' => any => body => text => 'ctms.parse_body(value)' ],
    [ 'choices of 500 groups' => groups => ab => jsonb => $is_valid ],
    [ 'a thousand properties' => properties => few => jsonb => $is_valid ],
    [ 'large expressions' => patterns => few => jsonb => $is_valid ],
    [ 'large expressions for names' => map => few => jsonb => $is_valid ],
    [ 'a check of large expressions' => patterns => few => jsonb =>
        '(SELECT count(*) FROM ctms.json_schema_check(schema))' ];

# The error says what to do.
my $error = $ctms->sql_error(q{SET ctms.json_schema_memory = '2MB';
    SELECT ctms.json_schema_is_valid('{"uniqueItems": true}',
        (SELECT jsonb_agg(k) FROM generate_series(1, 200000) k))});
like($error->{text}, qr/54000: .*It would take more than 2MB\..*ctms\.json_schema_memory sets/s,
    'the error names the setting');
done_testing();
