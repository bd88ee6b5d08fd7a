# ctms waitlists list, rows and show, as the owner of a waitlist uses them: mistyped names, who is
# on a list, and why fields are wrong.
use strict;
use warnings;
use lib "$ENV{CTMS_TEST_TOP}/test/perl";
use CTMS::Test qw(slurp);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ctms = CTMS::Test->new('cli_waitlist_rows');
my $json = JSON::PP->new->utf8->allow_nonref;
$ctms->sql('CREATE ROLE operator LOGIN IN ROLE ctms_admin;
    CREATE ROLE owner LOGIN IN ROLE ctms_reader');
my $url = $ctms->db_url . '&user=operator';
sub waitlists { my (@args) = @_; return $ctms->cli('waitlists', @args, '--db-url', $url) }

sub id { return sprintf '00000000-0000-4000-8000-%012d', shift }
my $guide = '{"type": "object", "properties": {"geo": {"type": "string", "pattern": "^[a-z]{2}$"},
    "device": {"enum": ["phone", "tablet"]}, "age": {"type": "integer", "minimum": 1}},
    "required": ["geo"]}';
$ctms->sql(qq{INSERT INTO ctms.emails (email_id, primary_email)
        SELECT ('00000000-0000-4000-8000-' || to_char(n, 'FM000000000000'))::uuid,
            'w' || n || '\@example.com' FROM generate_series(1, 30) n;
    SELECT ctms.set_waitlist_schema('guide', '$guide')});
sub add_row
{
    my ($n, $name, $fields, %more) = @_;
    my ($time, $on) = ($more{time} // "2026-01-0$n", $more{left} ? 'false' : 'true');
    $ctms->sql("SET ctms.restore_mode = on; INSERT INTO ctms.waitlists (email_id, name, source,
        subscribed, fields, create_timestamp) VALUES ('" . id($n) . "', '$name', '=1+1', $on,
        '$fields', '$time')");
    return;
}
add_row(1, 'guide', '{"geo": "fr", "device": "phone", "source": "=2", "-x": "a,b", "l": [1]}');
add_row(2, 'guide', '{"geo": "France", "device": "fax", "age": "abc"}');
add_row(3, 'guide', '{"age": 0}', left => 1);
add_row(4, 'guide ', '{"geo": "fr"}');
add_row(4, 'guides', '{"geo": 5, "more": {"a": 1}}');

# ---- list -----------------------------------------------------------------------------------

my ($rc, $out, $err) = waitlists('list');
is("$rc$err", '0', 'list');
is($out =~ s/ +/ /gr, <<~'TEXT', 'names without a schema come last');
    name subscribed unsubscribed newest fields note
    default 0 0 geo platform 
    guide 2 1 2026-01-03T00:00:00Z age device geo 
    relay 0 0 geo 
    vpn 0 0 geo platform 
    "guide " 1 0 2026-01-04T00:00:00Z no schema, so "default" is used; did you mean "guide"?
    guides 1 0 2026-01-04T00:00:00Z no schema, so "default" is used; did you mean "guide"?
    TEXT
my %found = map { $_->{name} => $_ }
    @{ $json->decode((waitlists('list', '--check', '--json'))[1]) };
is_deeply($found{guide}, { name => 'guide', has_schema => JSON::PP::true, subscribed => 2,
        unsubscribed => 1, newest_timestamp => '2026-01-03T00:00:00Z', failing => 2,
        problem => undef, did_you_mean => undef }, 'as JSON, with the rows that fail');
is_deeply([ @{ $found{guides} }{qw(has_schema failing did_you_mean)} ],
    [ JSON::PP::false, 1, 'guide' ], 'judged by "default"');
like((waitlists('list', '--check'))[1], qr/ failing .*^guide +2 +1 +\S+ +2 /ms, 'for people');

# A schema that cannot be used, and no default.
$ctms->sql(q{INSERT INTO ctms.json_schema_document VALUES ('urn:x', '{"type": "string"}');
    SELECT ctms.set_waitlist_schema('broken', '{"properties": {"a": {"$ref": "urn:x"}}}')});
add_row(5, 'broken', '{"a": "b"}');
$ctms->sql('SET client_min_messages = error; DELETE FROM ctms.json_schema_document');
$ctms->sql(q{BEGIN; SELECT ctms.drop_waitlist_schema('default'); COMMIT});
($rc, $out, $err) = waitlists('list', '--check');
is("$rc$err", '0', 'list with an unusable schema');
like($out, qr/^broken +1 +0 +\S+ +1 +a +nobody can join: .*urn:x/m, 'marked, and its rows fail');
like($out, qr/^guides +1 +0 +\S+ +1 +no schema, so nobody can join; did you mean "guide"\?$/m,
    'so do those without any schema');
($rc, $out, $err) = waitlists('rows', 'guides', '--failing');
is("$rc $err", qq{1 ctms: there is no schema for "guides", nor "default": nobody can join it\n},
    'without a schema there are no reasons');
($rc, $out, $err) = waitlists('rows', 'broken', '--failing');
is($rc, 1, 'nor with an unusable one');
like($err, qr/^ctms: .*\(22023\)\n/, 'which is told');
is((waitlists('rows', 'broken'))[0], 0, 'the rows can be listed');
$ctms->sql('SELECT ctms.install_default_waitlist_schemas()');

# ---- rows -----------------------------------------------------------------------------------

($rc, $out, $err) = waitlists('rows', 'guide', '--csv');
is("$rc$err", '0', 'rows');
my $head = 'address,email_id,subscribed,source,unsub_reason,create_timestamp,update_timestamp,'
    . qq{age,device,geo,"'-x",l,fields.source};
my @rows = split /\n/, $out =~ s/,2\d\d\d-[^,]*,2\d\d\d-[^,]*,/,TIMES,/gr;
is_deeply(\@rows, [ split /\n/, <<~"TEXT" ], 'newest first, fields as columns, formulas made safe');
    $head
    w3\@example.com,${\ id(3)},false,"'=1+1",,TIMES,0,,,,,
    w2\@example.com,${\ id(2)},true,"'=1+1",,TIMES,abc,fax,France,,,
    w1\@example.com,${\ id(1)},true,"'=1+1",,TIMES,,phone,fr,"a,b",[1],"'=2"
    TEXT
like((waitlists('rows', 'guide'))[1], qr/^address +email_id .*\nw3\@.*\nw2\@.*\nw1\@.*\n\z/,
    'as a table');
is_deeply([ map { $_->{address} } map { $json->decode($_) } split /\n/,
    (waitlists('rows', 'guide', '--json'))[1] ], [ map { "w$_\@example.com" } 3, 2, 1 ],
    'one JSON document a line');
sub addresses
{
    my ($code, $text) = waitlists('rows', @_, '--csv');
    return join ' ', $text =~ /^(\w+)\@/mg;
}
is(addresses('guide', '--subscribed'), 'w2 w1', '--subscribed');
is(addresses('guide', '--unsubscribed'), 'w3', '--unsubscribed');
is(addresses('guide', '--since', '2026-01-02'), 'w3 w2', '--since');
is(addresses('guide', '--limit', '1'), 'w3', '--limit');
is(addresses('guide '), 'w4', 'a name with a blank');
is(addresses('vpn'), '', 'a list that nobody has joined');
is(addresses('default'), 'w4 w4', 'all names without a schema');
like((waitlists('rows', 'default', '--csv'))[1], qr/^address,email_id,waitlist,.*,guides,true/ms,
    '... tell their names');

# ---- reasons --------------------------------------------------------------------------------

my @reasons = ('field "geo" is missing; field "age" must be at least 1, is 0',
    'field "age" must be an integer, is "abc"; field "geo" must match the pattern "^[a-z]{2}$", '
        . 'is "France"; field "device" must be one of "phone", "tablet", is "fax"');
($rc, $out) = waitlists('rows', 'guide', '--failing', '--json');
is_deeply([ map { join '; ', @{ $json->decode($_)->{reasons} } } split /\n/, $out ], \@reasons,
    'what is wrong');
($rc, $out) = waitlists('rows', 'guide', '--failing');
like($out, qr/ reasons\nw3\@.* \Q$reasons[0]\E\nw2\@.* \Q$reasons[1]\E\n\z/, 'in a table');
is(addresses('guides', '--failing'), 'w4', 'by "default"');
is(addresses('default', '--failing'), 'w4', 'of all names that it is for');
my $planned = "$ENV{TESTDIR}/planned.json";
append_to_file($planned, '{"required": ["age"]}');
is(addresses('guide', '--failing', '--schema', $planned), 'w1', 'by a planned schema');
is(addresses('guide', '--schema', $planned, '--subscribed'), 'w1', 'which means --failing');
append_to_file("$planned.bad", '{"type": "strnig"}');
($rc, $out, $err) = waitlists('rows', 'vpn', '--schema', "$planned.bad");
is($rc, 1, 'a planned schema that is wrong');
like($err, qr/^ctms: .*type.*\(22023\)\n/, 'is refused without any row');

# ---- a new schema ---------------------------------------------------------------------------

add_row($_, 'many', '{"geo": "planted"}', time => '2026-01-01') for 1 .. 12;
my $strict = "$ENV{TESTDIR}/it's strict.json";
append_to_file($strict, '{"properties": {"geo": {"maxLength": 2}}}');
($rc, $out, $err) = waitlists('add', 'many', "\@$strict");
is($rc, 1, 'a schema that many rows break');
is(scalar(() = $err =~ /^  w\d+\@example\.com: field "geo" must have at most 2 characters/mg), 10,
    'ten are named');
my ($command) = $err =~ /^  and 2 more: (.*)/m;
IPC::Run::run([ 'sh', '-c', "PATH='$ENV{CTMS_TEST_BIN}':\$PATH; $command --json" ], '>', \$out,
    init => sub { $ENV{CTMS_DB_URL} = $url });
is(scalar(() = $out =~ /planted/g), 24, 'the others by the command that is told');
my $log = join '', slurp($ctms->node->logfile) =~ /^.* (?:ERROR|DETAIL|HINT|CONTEXT):.*\n/mg;
like($log, qr/DETAIL:.*"email_id": "\Q${\ id(1)}\E".*"more": 2/, 'the log has ids');
unlike($log, qr/planted|\bw1\@/, 'but no addresses and values');
($rc, $out) = waitlists('add', 'default', '{"maxProperties": 0}', '--dry-run');
like($out, qr/^  w4\@example\.com on "guides": the row must have at most 0 properties$/m,
    'other names are told');

add_row(5, 'odd', '{"": 1, "address": 2, "fields.address": 3, "fields.x": -4, "fields.": -5.5}');
($rc, $out) = waitlists('rows', 'odd', '--csv');
is_deeply([ split /,/, $out =~ s/\n.*//sr ], [ split(/,/, $head =~ s/,age.*//r), qw(geo platform
        fields. fields.address fields.fields. fields.fields.address fields.x) ],
    'no two columns have one name');
like($out, qr/,,1,2,-5\.5,3,-4\n\z/, 'numbers are numbers');

# A name like that of a schema may be mistyped, and nothing else would tell.
($rc, $out, $err) = waitlists('rows', 'guides', '--csv');
is("$rc $err", qq{0 ctms: warning: "guides" has no schema; did you mean "guide"?\n}, 'rows');
like($out, qr/^w4\@.*\n\z/m, 'which are listed all the same');
is((waitlists('rows', $_))[2], '', "no warning: $_") for qw(guide default);
for my $like ("guid\x{e9}", "guide\x{200b}", 'GUIDE')
{
    utf8::encode(my $name = $like);
    ($rc, $out, $err) = waitlists('add', $name, '{}', '--dry-run');
    is($rc, 0, 'a new schema');
    like($err, qr/^ctms: warning: ".+" is a new name; did you mean "guide"\?$/, 'of such a name');
}
is((waitlists('add', $_, '{}', '--dry-run'))[2], '', "no warning: $_") for qw(guide default other);

# ---- files and pipes ------------------------------------------------------------------------

my $file = "$ENV{TESTDIR}/rows.csv";
($rc, $out) = waitlists('rows', 'guide', '-o', $file);
is("$rc $out", "0 3 rows\n", 'to a file');
is(sprintf('%o', (stat $file)[2] & 0777), '600', 'which is private');
like(slurp($file), qr/\A\Q$head\E\n/, 'and CSV');
symlink $file, "$file.link" or die "symlink: $!";
like((waitlists('rows', 'guide', '-o', "$file.link"))[2], qr/it is a symbolic link$/m, 'no link');
like((waitlists('rows', 'guide', '--schema', $planned, '-o', $planned))[2],
    qr/this command reads it/, 'not over the schema') or diag slurp($planned);
($rc, $out, $err) = waitlists('rows', 'giude', '-o', "$file.new");
is($rc, 4, 'an unknown name');
is($err, qq{ctms: nobody is on a waitlist named "giude"; did you mean "guide"?\n},
    'suggests a near one');
ok(!-e "$file.new", 'and leaves no file');
$ctms->sql(q{SET ctms.restore_mode = on; INSERT INTO ctms.emails (email_id, primary_email)
        SELECT ('00000000-0000-4000-9000-' || to_char(n, 'FM000000000000'))::uuid,
            'm' || n || '@example.com' FROM generate_series(1, 20000) n;
    INSERT INTO ctms.waitlists (email_id, name, fields) SELECT email_id, 'big',
        CASE WHEN n < 300 THEN jsonb_build_object('f' || n, n) WHEN n = 300 THEN '[1]' ELSE '{}' END
        FROM (SELECT email_id, row_number() OVER (ORDER BY email_id) AS n FROM ctms.emails
            WHERE primary_email LIKE 'm%') AS e});
my $run = sub { my ($pipe) = @_;
    my $text = '';
    IPC::Run::run([ 'bash', '-c', "'$ENV{CTMS_TEST_BIN}/ctms' waitlists rows big --csv $pipe" ],
        '>', \$text, '2>&1', init => sub { $ENV{CTMS_DB_URL} = $url });
    return $text };
like($run->('| head -n 0; echo ${PIPESTATUS[0]}'),
    qr/^(?:141|ctms: could not write the output: Broken pipe\n1)\n\z/,
    'a reader that has gone ends it');
like($run->('>/dev/full'), qr/^ctms: could not write the output: No space left on device\n\z/,
    'a disk that is full');
$ctms->sql(q[SELECT ctms.set_waitlist_schema('wide', '{"title": "] . 'x' x 20000 . q["}')]);
IPC::Run::run([ 'bash', '-c', "'$ENV{CTMS_TEST_BIN}/ctms' waitlists show wide --json >/dev/full" ],
    '2>', \my $full, init => sub { $ENV{CTMS_DB_URL} = $url });
like($full, qr/^ctms: could not write the output(?:: No space left on device)?\n\z/,
    'or was full before the end');
($rc, $out) = waitlists('rows', 'big', '--csv');
is(scalar(() = $out =~ /\n/g), 20001, 'all of many rows');
my ($heading) = $out =~ /\A(.*)\n/;
is(scalar(split /,/, $heading), 7 + 200 + 1, 'at most 200 fields have columns');
like($heading, qr/,more_fields$/, 'one column has the rest');
like($out, qr/,\[1\]$/m, 'and fields that are no object');
like($out, qr/,"\{""f\d+"": \d+\}"$/m, 'as JSON');

# ---- usage, rights --------------------------------------------------------------------------

for my $case ([ [qw(--csv --json)], 'either --csv or --json' ], [ [qw(--limit x)], '--limit must' ],
    [ [qw(--subscribed --unsubscribed)], 'either --subscribed' ],
    [ [qw(--since nonsense)], '--since must be a time' ],
    [ [ '--since', '300000-01-01' ], '--since must be a time' ])
{
    ($rc, $out, $err) = waitlists('rows', 'guide', @{ $case->[0] });
    is($rc, 2, "usage: @{ $case->[0] }");
    like($err, qr/^ctms: .*\Q$case->[1]\E/, 'told');
}
$url = $ctms->db_url . '&user=owner';
for my $command ([qw(list --check)], [qw(rows guide --failing)], [qw(show guide)])
{
    ($rc, $out, $err) = waitlists(@$command);
    is("$rc$err", '0', "ctms_reader may: @$command");
}
$ctms->sql('CREATE ROLE nobody LOGIN');
$url = $ctms->db_url . '&user=nobody';
like((waitlists(@$_))[2], qr/hint: .* member of the role ctms_reader\. /, "others: @$_")
    for [qw(list)], [qw(rows guide)], [qw(show guide)];

# Who may store schemas but not read contacts is told ids and rules.
$ctms->sql('CREATE ROLE steward LOGIN; GRANT USAGE ON SCHEMA ctms TO steward;
    GRANT EXECUTE ON FUNCTION ctms.set_waitlist_schema TO steward');
$url = $ctms->db_url . '&user=steward';
($rc, $out, $err) = waitlists('add', 'many', "\@$strict");
is($rc, 1, 'a role without contacts');
like($err, qr/^  contact \Q${\ id(1)}\E on "many":\n    at \/geo: must have at most 2 /m,
    'gets ids');
unlike($err, qr/planted|\@/, 'no addresses and values');

# ---- show -----------------------------------------------------------------------------------

$url = $ctms->db_url . '&user=operator';
my $rich = '{"$defs": {"c": {"enum": ["a", null, 1]}}, "properties": {"c": {"$ref": "#/$defs/c"},
    "n": {"type": ["integer", "null"], "minimum": 2, "maximum": 5, "description": "How many"},
    "l": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
    "b": {"type": "boolean"}, "k": {"const": "k"}, "x": {"anyOf": [true]}, "no": false},
    "required": ["n", "z"], "additionalProperties": {"type": "string"}}';
is((waitlists('add', 'rich', $rich))[0], 0, 'a rich schema');
($rc, $out) = waitlists('show', 'rich');
is_deeply([ sort grep { /^\w+ \(/ } split /\n/, $out ], [ split /\n/, <<~'TEXT' ], 'in words');
    b (optional): true or false
    c (optional): one of "a", null, 1
    k (optional): "k"
    l (optional): a list, at most 3 items, each item text, at most 5 characters
    n (required): a whole number or null, at least 2, at most 5 - How many
    no (optional): not allowed
    x (optional): any value, and more that the schema says
    z (required): any value
    TEXT
like($out, qr/^Other fields are allowed if they fit the schema\.$/m, 'others');
for my $name (qw(rich guide))
{
    my ($body) = (waitlists('show', $name))[1] =~ /^(\{"email".*)/m;
    my $email = $json->decode($body);
    $email->{email}{primary_email} = "$name\@example.com";
    is($ctms->sql('SELECT is_created FROM ctms.create_contact($b$' . $json->encode($email)
        . '$b$)'), 't', "the example of $name is accepted") or diag $body;
}
is((waitlists('show', 'giude'))[2], qq{ctms: there is no schema named "giude"; unknown names use }
    . qq{"default"; did you mean "guide"?\n}, 'a mistyped name');

done_testing();
