-- The contact functions as a catalog shows them: who may call what, with which properties.
BEGIN;
SELECT plan(10 * 6 + 9 + 3);

CREATE TEMP TABLE contact_function (name text, arguments text[], volatility text, is_definer boolean, is_strict boolean, roles text[]);
INSERT INTO contact_function VALUES
    ('parse_body', '{text}', 'immutable', false, false, '{ctms_admin,ctms_api,ctms_reader}'),
    ('get_contact', '{uuid}', 'stable', true, true, '{ctms_admin,ctms_api,ctms_reader}'),
    ('get_identity', '{uuid}', 'stable', true, true, '{ctms_admin,ctms_api,ctms_reader}'),
    ('find_contacts', '{uuid,text,text,text,text,text,text,text,text}', 'stable', true, false, '{ctms_admin,ctms_api,ctms_reader}'),
    ('find_identities', '{uuid,text,text,text,text,text,text,text,text}', 'stable', true, false, '{ctms_admin,ctms_api,ctms_reader}'),
    ('get_updates', '{text,text,text,text,text,text}', 'stable', true, false, '{ctms_admin,ctms_api,ctms_reader}'),
    ('create_contact', '{text}', 'volatile', true, false, '{ctms_admin,ctms_api}'),
    ('put_contact', '{uuid,text}', 'volatile', true, false, '{ctms_admin,ctms_api}'),
    ('patch_contact', '{uuid,text}', 'volatile', true, false, '{ctms_admin,ctms_api}'),
    ('delete_contact', '{text}', 'volatile', true, true, '{ctms_admin,ctms_api}');

SELECT has_function('ctms', name, arguments) FROM contact_function ORDER BY name;
SELECT volatility_is('ctms', name, arguments, volatility) FROM contact_function ORDER BY name;
SELECT CASE WHEN is_definer THEN is_definer('ctms', name, arguments) ELSE isnt_definer('ctms', name, arguments) END FROM contact_function ORDER BY name;
SELECT CASE WHEN is_strict THEN is_strict('ctms', name, arguments) ELSE isnt_strict('ctms', name, arguments) END FROM contact_function ORDER BY name;
SELECT is(ARRAY(SELECT rolname::text FROM pg_roles
                WHERE rolname LIKE 'ctms\_%'
                  AND has_function_privilege(oid, format('ctms.%s(%s)', name, array_to_string(arguments, ',')), 'EXECUTE')
                ORDER BY rolname), roles, name || ' may be called by')
FROM contact_function ORDER BY name;
SELECT isnt(obj_description(format('ctms.%s(%s)', name, array_to_string(arguments, ','))::regprocedure, 'pg_proc'), NULL, name || ' has a comment')
FROM contact_function ORDER BY name;

-- A function that runs with its owner's rights pins its search path.
SELECT is(proconfig, '{"search_path=pg_catalog, pg_temp"}', proname || ' pins search_path')
FROM pg_proc JOIN contact_function ON proname = name WHERE pronamespace = 'ctms'::regnamespace AND prosecdef ORDER BY proname;

-- Named notation, which SQL callers use.
SELECT function_returns('ctms', 'get_contact', ARRAY['uuid'], 'json');
SELECT lives_ok($$SELECT ctms.find_contacts(fxa_primary_email => 'x@example.com')$$, 'ids by name');
SELECT lives_ok($$SELECT ctms.get_updates(start => '2020-01-01', "end" => '2020-01-02', "limit" => '5')$$, 'parameters by name');

SELECT * FROM finish();
ROLLBACK;
