-- ctms.parse_body(): the text of a body to jsonb, or CT422 with the offset.
\set VERBOSITY terse
CREATE FUNCTION pg_temp.parse(body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    state text;
BEGIN
    RETURN left(ctms.parse_body(body)::text, 80);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, state = RETURNED_SQLSTATE;
    RETURN state || ' ' || detail;
END
$$;

SELECT name, pg_temp.parse(body) AS result
FROM (VALUES
    (1, 'object', '{"a": {"b": [1, "x", true, false, null]}}'),
    (2, 'last of equal keys', '{"a": 1, "b": 2, "a": 3}'),
    (3, 'scalar', ' 12 '),
    (4, 'string', '"x"'),
    (5, 'null', 'null'),
    (6, 'byte order mark', E'\ufeff{"a": 1}'),
    (7, 'escapes', '"\u00e9\ud83d\ude00\n\/"'),
    (8, 'big integer', '[123456789012345678901234567890123456789012345678901234567890]'),
    (9, 'numbers', '[-0, 1.50, 1e3, 1E-2, 12345.678e+1]'),
    (10, 'missing', NULL),
    (11, 'empty', ''),
    (12, 'blank', E' \n\t'),
    (13, 'only a byte order mark', E'\ufeff'),
    (14, 'two values', '{} {}'),
    (15, 'not JSON', 'primary_email=x'),
    (16, 'NaN', '{"a": NaN}'),
    (17, 'Infinity', '{"a": -Infinity}'),
    (18, 'single quotes', '{''a'': 1}'),
    (19, 'trailing comma', '{"a": 1,}'),
    (20, 'trailing comma in array', '[1,]'),
    (21, 'no colon', '{"a" 1}'),
    (22, 'unquoted key', '{a: 1}'),
    (23, 'no end', '{"a": [1, 2'),
    (24, 'string without end', '{"a": "x}'),
    (25, 'leading zero', '[01]'),
    (26, 'bare point', '[1.]'),
    (27, 'NUL', '{"a": "x\u0000y"}'),
    (28, 'NUL in a key', '{"a\u0000": 1}'),
    (29, 'high surrogate alone', '["\ud800"]'),
    (30, 'low surrogate alone', '["\udc00"]'),
    (31, 'wrong order of surrogates', '["\udc00\ud800"]'),
    (32, 'short \u', '["\u12"]'),
    (33, 'unknown escape', '["\x41"]'),
    (34, 'control character', E'["a\tb"]'),
    (35, 'offset in characters, not bytes', '["éé", x]'),
    (36, 'offset behind a byte order mark', E'\ufeff[x]'),
    (37, 'exponent that no program means', '[1, 1e999999999]'),
    (38, 'small number that no program means', '[1e-401]'),
    (39, 'exponent with more digits than fit', '[1e99999999999999999999999]'),
    (40, 'largest exponent', '[1e400]'),
    (41, '128 levels', repeat('[', 128) || repeat(']', 128)),
    (42, '129 levels', repeat('[', 129) || repeat(']', 129)),
    (43, '129 levels of objects', repeat('{"a":', 129) || '1' || repeat('}', 129)),
    (44, 'many levels, never closed', repeat('[', 100000)),
    (45, 'too many digits', '[' || repeat('9', 131073) || ']'),
    (46, 'too many digits of a fraction', '[0.' || repeat('1', 16384) || ']'),
    (47, 'too long', '"' || repeat('x', 4 * 1024 * 1024) || '"')
) AS cases(id, name, body)
ORDER BY id;
