-- The tables and columns that existing databases have.
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS not_null
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r' AND c.relname <> 'acoustic_agents' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum;
