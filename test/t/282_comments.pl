# Everything of the extension that people see in the catalog says what it is: \d+ of psql, tools for
# reports and docs/sql-reference.md show these comments.
use strict;
use warnings;
use CTMS::Test qw(slurp);
use Test::More;

my $ctms = CTMS::Test->new('comments');

sub without
{
    my ($what, $sql) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($ctms->sql($sql), '', "every $what has a comment");
    return;
}

my $members = q{pg_depend m JOIN pg_extension x ON x.oid = m.refobjid AND x.extname = 'ctms'
    AND m.refclassid = 'pg_extension'::regclass AND m.deptype = 'e'};
cmp_ok($ctms->sql("SELECT count(*) FROM $members"), '>', 100, 'the extension has members');
without('table, view and sequence', qq{SELECT c.oid::regclass FROM $members
    JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass
    WHERE obj_description(c.oid, 'pg_class') IS NULL
        AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend o WHERE o.objid = c.oid
            AND o.deptype = 'a' AND o.refobjsubid > 0)) ORDER BY 1});
without('column', qq{SELECT c.relname || '.' || a.attname FROM $members
    JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind <> 'S' AND col_description(c.oid, a.attnum) IS NULL ORDER BY 1});
without('function', qq{SELECT p.oid::regprocedure FROM $members
    JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass
    WHERE obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1});
without('type', qq{SELECT t.oid::regtype FROM $members
    JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass
    WHERE t.typtype <> 'c' AND t.typcategory <> 'A' AND obj_description(t.oid, 'pg_type') IS NULL
    ORDER BY 1});
without('schema and event trigger', qq{SELECT m.classid::regclass FROM $members
    WHERE m.classid IN ('pg_namespace'::regclass, 'pg_event_trigger'::regclass)
        AND obj_description(m.objid, m.classid::regclass::name) IS NULL ORDER BY 1});

# What is promised of each: scripts/sql-promise has every object whose name does not begin with "_".
my @promised = grep { !/^#/ } split /\n/, slurp("$ENV{CTMS_TEST_TOP}/scripts/sql-promise");
is(join("\n", grep { !/^(?:public|programs) (?:function|table|view|type) [a-z]\w*\z/ } @promised),
    '', 'each line of scripts/sql-promise has a class, a kind and a name');
my $objects = $ctms->sql(qq{SELECT DISTINCT kind || ' ' || name COLLATE "C" FROM (
    SELECT 'function' AS kind, p.proname::text AS name FROM $members
        JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass
    UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.relname FROM $members
        JOIN pg_class c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass
        WHERE c.relkind NOT IN ('S', 'i')
    UNION ALL SELECT 'type', t.typname FROM $members
        JOIN pg_type t ON t.oid = m.objid AND m.classid = 'pg_type'::regclass
        WHERE t.typtype <> 'c' AND t.typcategory <> 'A') AS o
    WHERE name NOT LIKE '\\_%' ORDER BY 1});
is(join("\n", sort map { s/^\w+ //r } @promised), $objects, 'it has each object, and each once');
done_testing();
