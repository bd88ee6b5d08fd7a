-- Prints docs/sql-reference.md from the catalog of a database with the extension; called by
-- scripts/generate-sql-reference, which sets promise to the lines of
-- scripts/sql-promise.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET search_path = pg_catalog;
-- Loads the library, for its settings.
SELECT FROM ctms.parse_body('{}');
CREATE TEMP TABLE promise AS
SELECT split_part(line, ' ', 1) AS class, split_part(line, ' ', 2) AS kind, split_part(line, ' ', 3) AS name
FROM string_to_table(:'promise', E'\n') AS line;

\qecho '# SQL reference'
\qecho
\qecho 'Everything public in the schema `ctms`, as the comments in the catalog say (`\\df+ ctms.*`, `\\d+ ctms.*`).'
\qecho 'Written by `make sql-reference`; do not edit. Who may call what, and why: [security.md](security.md).'
\qecho
\qecho 'What is here is promised until the next major version: see [releases.md](releases.md).'
\qecho 'Functions and tables *of the programs* are what `ctms-rest`, `ctms-agent` and `ctms` need. They stay as long,'
\qecho 'because older programs use them, but may get more arguments and columns, and only our programs know in which'
\qecho 'order they are to be called. What begins with `_` is not promised, and not here.'
\qecho
\qecho '## Functions'
\qecho
PREPARE functions(text) AS
SELECT format(E'### %s\n\n', string_agg(head, E'\n### ' ORDER BY head)) || text || E'\n\n'
FROM (
    SELECT p.proname, format('`ctms.%s(%s)` → `%s`', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) AS head,
        format(E'%s.\n\n%s.%s%s', obj_description(p.oid, 'pg_proc'),
            CASE p.provolatile WHEN 'i' THEN 'Immutable' WHEN 's' THEN 'Stable: only reads' ELSE 'Volatile' END
            || CASE WHEN p.proisstrict THEN ', null for a null argument' ELSE '' END,
            CASE WHEN p.prosecdef THEN ' Runs as the owner of the extension.' ELSE '' END,
            COALESCE(' For ' || (SELECT string_agg('`' || r.rolname || '`', ', ' ORDER BY r.rolname) FROM pg_roles r
                WHERE r.rolname IN ('ctms_admin', 'ctms_agent', 'ctms_api', 'ctms_monitor', 'ctms_reader') AND has_function_privilege(r.oid, p.oid, 'EXECUTE')) || '.', '')) AS text
    FROM pg_proc p
    JOIN promise ON promise.kind = 'function' AND promise.name = p.proname AND promise.class = $1
    WHERE p.pronamespace = 'ctms'::regnamespace
) AS f GROUP BY proname, text ORDER BY proname, min(head);
EXECUTE functions('public');
\qecho '## Functions of the programs'
\qecho
EXECUTE functions('programs');

\qecho '## Tables'
\qecho
PREPARE tables(text) AS
SELECT format(E'### `ctms.%s`\n\n%s.\n\n| column | type | | meaning |\n|---|---|---|---|\n%s\n', c.relname, obj_description(c.oid, 'pg_class'),
    (SELECT string_agg(format('| `%s` | `%s` | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
            concat_ws(', ',
                CASE WHEN a.attnotnull THEN 'not null' END,
                '`' || CASE WHEN pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%' THEN 'serial' ELSE pg_get_expr(d.adbin, d.adrelid) END || '`',
                (SELECT string_agg(CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' ELSE 'refers to `' || k.confrelid::regclass || '`' END
                        || CASE WHEN cardinality(k.conkey) > 1 THEN ' with others' ELSE '' END, ', ' ORDER BY k.contype DESC)
                 FROM pg_constraint k WHERE k.conrelid = c.oid AND a.attnum = ANY (k.conkey) AND k.contype IN ('p', 'u', 'f'))),
            COALESCE(replace(col_description(c.oid, a.attnum), '|', '\|'), '')), E'\n' ORDER BY a.attnum)
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
    || COALESCE(E'\n' || (SELECT string_agg('Unique: `' || substring(pg_get_indexdef(i.indexrelid) FROM 'USING btree (.*)') || '`.', E'\n' ORDER BY i.indexrelid)
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)) || E'\n', '')
FROM pg_class c JOIN promise ON promise.kind = 'table' AND promise.name = c.relname AND promise.class = $1
WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r' ORDER BY c.relname;
EXECUTE tables('public');
\qecho '## Tables of the programs'
\qecho
EXECUTE tables('programs');

\qecho '## Views'
\qecho
SELECT format(E'### `ctms.%s`\n\n%s.\n\n| column | type | meaning |\n|---|---|---|\n%s\n', c.relname, obj_description(c.oid, 'pg_class'),
    (SELECT string_agg(format('| `%s` | `%s` | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
            replace(col_description(c.oid, a.attnum), '|', '\|')), E'\n' ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0))
FROM pg_class c WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'v' ORDER BY c.relname;

\qecho '## Types'
\qecho
SELECT format(E'- `ctms.%s`: %s%s', t.typname, obj_description(t.oid, 'pg_type'),
    COALESCE(': ' || (SELECT string_agg('`' || enumlabel || '`', ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), ''))
FROM pg_type t WHERE t.typnamespace = 'ctms'::regnamespace AND t.typtype IN ('b', 'e', 'd') AND t.typcategory <> 'A' ORDER BY t.typname;

\qecho
\qecho '## Settings of the database'
\qecho
\qecho 'Rows of `ctms.settings`, for every session: see [configuration.md](configuration.md#the-database).'
\qecho
\qecho '| setting | default | allowed | meaning |'
\qecho '|---|---|---|---|'
SELECT format('| `%s` | `%s` | %s | %s |', name, default_value, COALESCE(format('`%s` to `%s`', min_value, max_value), '`on`, `off`'), description)
FROM ctms.list_settings() ORDER BY name;

\qecho
\qecho '## Settings of sessions'
\qecho
\qecho '| setting | default | who | meaning |'
\qecho '|---|---|---|---|'
SELECT format('| `%s` | `%s%s` | %s | %s |', name, boot_val, unit, CASE context WHEN 'user' THEN 'everybody' ELSE 'superusers' END, concat_ws(' ', short_desc, extra_desc))
FROM pg_settings WHERE name LIKE 'ctms.%' ORDER BY name;
