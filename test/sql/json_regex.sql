-- Regular expressions of ECMA-262 in Unicode mode: pattern, what it finds, what it does not.
CREATE TEMP TABLE patterns (id serial, pattern text, good text[], bad text[]);
INSERT INTO patterns (pattern, good, bad) VALUES
    ('a', '{a,bab}', '{b,""}'), ('', '{"",a}', '{}'), ('^$', '{""}', '{a}'),
    ('^a.c$', '{abc,a🙂c}', E'{"a\nc",ac}'), ('^[a-c]+$', '{abc}', '{abd}'), ('^[^a-c]+$', '{xyz}', '{xbz}'),
    ('[]', '{}', '{a,""}'), ('^[^]$', '{a}', '{""}'), ('^[-a]$', '{-,a}', '{b}'), ('^[a\-z]$', '{-,z}', '{b}'),
    ('^(ab|cd)*$', '{"",abcd}', '{abc}'), ('^(a|ab)(c|bcd)$', '{abcd,ac,abc}', '{ab}'), ('x*?y', '{xxy,y}', '{x}'),
    ('^a{2}$', '{aa}', '{a,aaa}'), ('^a{2,}$', '{aa,aaaa}', '{a}'), ('^a{1,3}$', '{a,aaa}', '{"",aaaa}'), ('^(a{2}){2}$', '{aaaa}', '{aaa}'),
    ('^\d+$', '{0123}', '{১২,a}'), ('^\D$', '{১,a}', '{1}'), ('^\w+$', '{aZ_9}', '{é}'), ('^\W$', '{é,-}', '{a}'),
    ('^\s$', E'{" ","\u00a0","\u3000","\ufeff","\t"}', '{a}'), ('^\S+$', '{aé}', '{"a b"}'),
    ('\bcat\b', '{"a cat!",cat}', '{concat}'), ('\Bcat', '{concat}', '{cat}'), ('a\b', '{a,"a b"}', '{ab}'),
    ('^\t\n\v\f\r$', E'{"\t\n\x0B\f\r"}', '{t}'), ('^\cA$', E'{"\x01"}', '{A}'), ('^\x41\u0042\u{1F600}$', '{AB😀}', '{AB}'),
    ('^\uD83D\uDE00$', '{😀}', '{x}'), ('^😀+$', '{😀😀}', '{😁}'), ('^[😀-😂]$', '{😁}', '{😃}'),
    ('^\.\*\/\-\$$', '{.*/-$}', '{abc}'),
    ('^\p{L}+$', '{añБ漢}', '{a1}'), ('^\p{Letter}$', '{é}', '{1}'), ('^\P{L}$', '{1}', '{a}'), ('^\p{Lu}\p{Ll}$', '{Éa}', '{éA}'),
    ('^\p{Script=Greek}+$', '{αβγ}', '{abc}'), ('^\p{sc=Cyrl}$', '{Ж}', '{Z}'), ('^\p{Script_Extensions=Deva}$', '{।,अ}', '{a}'),
    ('^\p{gc=Nd}+$', '{১২}', '{a}'), ('^\p{digit}$', '{1}', '{a}'), ('^\p{Emoji_Presentation}$', '{😀}', '{a}'), ('^\p{Alphabetic}$', '{a}', '{1}'),
    ('^[\p{Lu}\d]+$', '{É1}', '{é}'), ('^[^\p{L}]+$', '{12}', '{1a}'), ('^\p{Any}$', '{x}', '{}'), ('^\p{ASCII}$', '{x}', '{é}'),
    ('^\p{Changes_When_NFKC_Casefolded}$', '{A}', '{a}'), ('^\p{space}$', '{" "}', '{a}'),
    ('^(?:ab)+$', '{abab}', '{aba}'), ('^(?=a)\w+$', '{abc}', '{bac}'), ('^(?!a)\w+$', '{bac}', '{abc}'),
    ('(?<=\$)\d+', '{$42}', '{€42}'), ('(?<!\$)\b\d+', '{€42}', '{$42}'), ('(?<=a(b|c)+)d', '{abcbd}', '{ad}'),
    ('^(a+)b\1$', '{aabaa}', '{aaba}'), ('^(?<q>[''"]).*\k<q>$', '{''x''}', '{''x}'), ('^\k<n>(?<n>a)$', '{a}', '{aa}'), ('(?:(a)|b)\1', '{aa,b}', '{}'),
    ('^(?:(a)|b)*\1$', '{ab,b,aa}', '{}'), ('(?=(a+))a*b\1', '{aabaa,baaabac}', '{}'), ('^(?=.*\d)(?=.*[a-z]).{4,8}$', '{abc1}', '{abcd,1234}'),
    ('(a*)*b', '{b,aab}', '{a}'), ('(a|a)*c', '{aac}', '{aab}'), ('^a|b$', '{ax,xb}', '{xax}'), ('(^a|b)c', '{ac,xbc}', '{xac}'), ('a^b|c', '{c}', '{ab}'),
    ('^(?:a?){50}a{50}$', ARRAY[repeat('a', 50)], ARRAY[repeat('a', 49)]);
SELECT id, pattern, s AS should_match FROM patterns, unnest(good) AS s
WHERE NOT ctms.json_schema_is_valid(jsonb_build_object('pattern', pattern), to_jsonb(s)) ORDER BY id, s;
SELECT id, pattern, s AS should_not_match FROM patterns, unnest(bad) AS s
WHERE ctms.json_schema_is_valid(jsonb_build_object('pattern', pattern), to_jsonb(s)) ORDER BY id, s;

-- What is not a pattern.
SELECT pattern, (SELECT error FROM ctms.json_schema_check(jsonb_build_object('pattern', pattern))) AS error
FROM unnest(ARRAY['(', ')', '[a', 'a**', '*a', '+', '?', '{1}', 'a{2,1}', 'a{1', '\', '\u{110000}', '\u12', '\x1', '\a', '\1', '\k<x>', '(?<x>a)(?<x>b)',
    '(?<1>a)', '(?', '(?x)', '[z-a]', '[\d-z]', '\p{Nope}', '\p{Script=Nope}', '\p{Label}', '\p', '^*', '(?=a)*', '}', ']', 'a{100001}', '(a{1000}){1000}', '\01']) AS pattern;

-- Linear time for what others take forever for.
SELECT pattern, ctms.json_schema_is_valid(jsonb_build_object('pattern', pattern), to_jsonb(repeat('a', 200000) || '!')) AS matches
FROM unnest(ARRAY['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(a*)*b', '^([a-zA-Z]+)*$', '(x+x+)+y', '.*.*.*.*=.*', 'a{1,500}b', '^(?:.?){200}$']) AS pattern;
-- A match can be cancelled.
SET statement_timeout = '50ms';
SELECT ctms.json_schema_is_valid('{"pattern": "^(?=(a+)+$)(\\w*)*\\1b"}', to_jsonb(repeat('a', 60) || '!'));
RESET statement_timeout;
-- Lookahead after "^" is no reason to backtrack.
SELECT pattern, array_agg(ctms.json_schema_is_valid(jsonb_build_object('pattern', pattern), to_jsonb(s)) ORDER BY n) AS matches
FROM unnest(ARRAY['^(?=.*\d)(?!.*\s)(?=[a-z]).{3,}$', '^(?!a)', '^(?=a)(?=b)', '^(?!.*(a|b)*c)[ab]+$', '^(?=(a+)+$)(\w*)*b']) AS pattern,
    unnest(ARRAY['abc1', 'ab 1', '1abc', 'abcd', '', 'ab', 'b', repeat('a', 100000) || '!']) WITH ORDINALITY AS u(s, n)
GROUP BY pattern ORDER BY pattern;
