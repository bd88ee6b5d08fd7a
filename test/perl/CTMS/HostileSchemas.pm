package CTMS::HostileSchemas;

# Hostile schemas and values: each must end in a verdict or a clear error, within bounded time
# and memory, and can be cancelled.
#
#   for my $case (hostile_cases()) { my ($name, $schema, $value, $verdict, $reasons) = @$case; ... }
#
# "verdict" is what ctms.json_schema_is_valid() says ("t", "f", or the SQLSTATE with its message; a
# pattern where that depends on the server's build), "reasons" is the same for
# ctms.json_schema_errors(), if it differs.

use strict;
use warnings;
use JSON::PP;
use Exporter 'import';

our @EXPORT_OK = qw(hostile_cases nested);

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

# A code point beyond U+FFFF, escaped; and all of 65,536 whose number has that bit.
sub letter
{
    my ($code) = @_;
    return sprintf '\\u%04x\\u%04x', 0xD800 + ($code - 0x10000 >> 10), 0xDC00 + ($code & 0x3FF);
}

sub bit_set
{
    my ($bit) = @_;
    my $width = 1 << $bit;
    return '[' . join('', map { letter(0x10000 + (2 * $_ + 1) * $width) . '-'
        . letter(0x10000 + (2 * $_ + 2) * $width - 1) } 0 .. 0x8000 / $width - 1) . ']';
}

# The stack of a server with small frames is deep enough: then the verdict is that it is valid.
my $too_deep = qr/\A(?:54001: stack depth limit exceeded|t)\z/;
my $too_many = '54001: JSON Schema takes too many steps for this value';
my $too_much = '54000: JSON Schema needs too much memory';
my $endless = '22023: invalid JSON Schema: the schema applies itself to the same value without end';
my $doubling_any_of = doubling(sub { { anyOf => [ $_[0], $_[0] ] } });
my $doubling_one_of = doubling(sub { { oneOf => [ $_[0], $_[0], { minimum => 5 } ] } });

my @cases = (
    [ 'arrays 10,000 deep', '{"items": {"$ref": "#"}}', nested('[', '', ']', 10_000), $too_deep ],
    [ 'objects 10,000 deep', '{"properties": {"a": {"type": "object"}}}',
        nested('{"a":', '1', '}', 10_000), 't' ],
    [ 'a schema 10,000 deep', nested('{"items":', '{}', '}', 10_000), '[]', 't' ],
    [ 'negations 10,000 deep', nested('{"not":', '{}', '}', 10_000), '1', $too_deep ],
    [ 'a reference to itself', '{"$ref": "#"}', '1', $endless ],
    [ 'a circle of references',
        '{"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]},
        "b": {"not": {"$ref": "#/$defs/a"}}}}', '1', $endless ],
    [ 'a circle through a branch', '{"if": true, "then": {"$ref": "#"}}', '1', $too_deep ],
    [ 'a circle of dynamic references',
        '{"$dynamicAnchor": "a", "$dynamicRef": "#a"}', '1', $endless ],
    [ 'a chain of 20,000 references', '{"$ref": "#/$defs/d0", "$defs": {"d20000": {},'
        . numbered(20_000, sub { "\"d@{[ $_[0] - 1 ]}\": {\"\$ref\": \"#/\$defs/d$_[0]\"}" })
        . '}}', '1', $too_deep ],
    [ 'a thousand alternatives', '{"oneOf": ['
        . numbered(1000, sub { qq({"properties": {"a": {"const": $_[0]}}, "required": ["a"]}) })
        . ']}', '{"a": 0}', 'f' ],
    [ 'alternatives that double', $doubling_any_of, '1', 'f', $too_many ],
    [ 'exclusive alternatives that double', $doubling_one_of, '1', $too_many, $too_many ],
    [ 'conditions that double',
        doubling(sub { { if => $_[0], else => $_[0] } }), '1', 'f', $too_many ],
    [ 'unevaluated members that double', doubling(sub { { anyOf => [ $_[0], $_[0] ],
        unevaluatedProperties => JSON::PP::false } }), '{}', $too_many ],
    [ 'huge numbers', '{"multipleOf": 3e-16383, "maximum": 9e131071}', '7e131071', 'f' ],
    [ 'huge counts', '{"maxLength": 1e131071, "minItems": 1e131071}', '"a"', 't' ],
    [ '100,000 unique items', '{"uniqueItems": true}',
        '[' . numbered(100_000, sub { qq({"a": [$_[0]]}) }) . ']', 't' ],
    [ 'errors at a place with a long name',
        '{"additionalProperties": {"items": {"type": "string"}}}', '{"' . 'k' x 2_000_000 . '": ['
        . numbered(1500, sub { 1 }) . ']}', 'f' ],
    [ 'long names on the way to an error',
        '{"additionalProperties": {"$ref": "#"}, "type": "object"}',
        nested('{"' . 'k' x 50_000 . '":', '1', '}', 400), 'f',
        '54001: there is too much to say about this value' ],
    [ '100,000 errors', '{"items": {"type": "string"}}',
        '[' . numbered(100_000, sub { 1 }) . ']', 'f' ],
    [ '70,000 names', '{"properties": {'
        . numbered(70_000, sub { qq("n$_[0]": {"type": "string"}) }) . '}}', '{"n70000": 1}', 'f' ],
    [ '5,000 resources with anchors', '{"$defs": {' . numbered(5000,
        sub { qq("d$_[0]": {"\$id": "https://example.com/$_[0]", "\$anchor": "a"}) })
        . '}, "allOf": [' . numbered(5000, sub { qq({"\$ref": "https://example.com/$_[0]#a"}) })
        . ']}', '1', 't' ],
    [ '2,000 dynamic anchors', '{"$defs": {'
        . numbered(2000, sub { qq("d$_[0]": {"\$id": "https://example.com/$_[0]",)
            . ' "$dynamicAnchor": "a", "items": {"$dynamicRef": "#a"}}' })
        . '}, "allOf": [' . numbered(2000, sub { qq({"\$ref": "https://example.com/$_[0]"}) })
        . ']}', '[[[1]]]', 't' ],
    [ '20,000 items of 20,000 listed numbers', '{"items": {"enum": [' . numbered(20_000,
        sub { $_[0] }) . ']}}', '[' . numbered(20_000, sub { $_[0] }) . ']', 't' ],
    [ '20,000 items of 20,000 listed strings', '{"items": {"enum": [' . numbered(20_000,
        sub { qq("n$_[0]") }) . ']}}', '[' . numbered(20_000, sub { qq("n$_[0]") }) . ']', 't' ],
    [ '20,000 items of 20,000 listed objects',
        '{"items": {"enum": [' . numbered(20_000, sub { qq({"a": $_[0]}) }) . ']}}',
        '[' . numbered(20_000, sub { qq({"a": $_[0]}) }) . ']', 't' ],
    [ '3,000 names of 3,000 patterns', '{"patternProperties": {'
        . numbered(3000, sub { qq("n$_[0]\$": {"type": "number"}) }) . '}}',
        '{' . numbered(3000, sub { qq("n$_[0]": $_[0]) }) . '}', 't' ],
    [ '100,000 required names', '{"required": [' . numbered(100_000, sub { qq("n$_[0]") }) . ']}',
        '{' . numbered(100_000, sub { qq("n$_[0]": 1) }) . '}', 't' ],
    [ 'a text of 10 MB',
        '{"minLength": 9999999, "maxLength": 10000000, "pattern": "^\\\\p{L}*$", "format": "iri"}',
        '"' . 'ä' x 5_000_000 . '"', 'f' ],
    [ 'an expression that backtracks',
        '{"pattern": "^(a|aa)*\\\\1(a|aa)+\\\\1b$"}', '"' . 'a' x 200 . '"',
        '54001: regular expression takes too many steps for this value' ],
    [ 'repetitions of repetitions', '{"pattern": "^(((a*)*)*)*$"}',
        '"' . 'a' x 50_000 . 'b"', 'f' ],
    [ 'an expression that is too large', '{"pattern": "((a{1000}){1000}){1000}"}', '"a"',
        '22023: invalid JSON Schema: invalid regular expression: the expression is too large' ],
    [ 'an expression with more choices than memory', '{"pattern": "^(?:a' . '()' x 500
        . '|b)*\\\\1c"}', '"' . 'ab' x 500_000 . '"', $too_much ],
    [ 'an expression of 40,000 different letters', '{"pattern": "'
        . join('', map { letter(0x20000 + $_) } 1 .. 40_000) . '"}', '"a"',
        '22023: invalid JSON Schema: invalid regular expression: the expression is too large' ],
    # Each of 65,536 letters is in a different choice of the 16 sets.
    [ 'an expression of 65,536 classes', '{"pattern": "^(?:'
        . join('|', map { bit_set($_) } 0 .. 15) . ')$"}', '"' . letter(0x1FFFF) . '"',
        '22023: invalid JSON Schema: invalid regular expression: the expression is too large' ],
    [ 'unevaluated items of 100,000 on 1,000 levels', '{"allOf": [' x 1000 . '{}'
        . '], "unevaluatedItems": true}' x 1000, '[' . numbered(100_000, sub { 1 }) . ']', 't' ],
    [ 'groups 10,000 deep', '{"pattern": "' . nested('(', 'a', ')', 10_000)
        . '"}', '"a"', $too_deep ]);

sub hostile_cases { return @cases }

1;
