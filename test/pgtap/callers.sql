-- What runs with the rights of its caller may name only functions that this caller may execute. So it
-- names none that begins with "_", but the one that is granted.
BEGIN;
SELECT plan(1);

CREATE VIEW pg_temp.runs_as_caller (object, body) AS
SELECT oid::regprocedure::text, concat(prosrc, pg_get_function_sqlbody(oid), pg_get_function_arguments(oid))
FROM pg_proc WHERE pronamespace = 'ctms'::regnamespace AND NOT prosecdef AND proname NOT LIKE '\_%'
UNION ALL
SELECT oid::regclass::text, pg_get_viewdef(oid)
FROM pg_class WHERE relnamespace = 'ctms'::regnamespace AND relkind IN ('v', 'm')
UNION ALL
SELECT adrelid::regclass::text, pg_get_expr(adbin, adrelid) FROM pg_attrdef
UNION ALL
SELECT conrelid::regclass::text, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'ctms'::regnamespace
UNION ALL
SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
UNION ALL
SELECT polrelid::regclass::text, concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
FROM pg_policy;

SELECT is_empty($$
    SELECT r.object, p.proname FROM runs_as_caller AS r JOIN pg_proc AS p ON strpos(r.body, 'ctms.' || p.proname || '(') > 0
    WHERE p.pronamespace = 'ctms'::regnamespace AND p.proname LIKE '\_%' AND p.proname <> '_require_waitlist'
$$, 'what runs as its caller calls nothing that is for nobody');

SELECT * FROM finish();
ROLLBACK;
