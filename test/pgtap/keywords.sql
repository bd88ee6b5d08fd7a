-- Words that PostgreSQL 16 to 18 no longer take as names of parameters: a function that has one would
-- install on 15, and not there.
BEGIN;
SELECT plan(1);

SELECT is_empty($$
    SELECT p.oid::regprocedure, name
    FROM pg_proc AS p CROSS JOIN LATERAL unnest(p.proargnames) AS a (name)
    WHERE p.pronamespace = 'ctms'::regnamespace
      AND name IN ('json', 'json_array', 'json_arrayagg', 'json_exists', 'json_object', 'json_objectagg', 'json_query',
                   'json_scalar', 'json_serialize', 'json_table', 'json_value', 'merge_action', 'system_user')
$$, 'no parameter is called as a keyword of a later version');

SELECT * FROM finish();
ROLLBACK;
