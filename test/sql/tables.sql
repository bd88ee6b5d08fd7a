-- The tables and columns that existing databases have.
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS not_null
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r' AND c.relname <> 'acoustic_agent' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum;

-- Each index of a contact costs every write. No index has the numbers of rows.
SELECT indexrelid::regclass AS index, indisprimary AS is_primary, pg_get_indexdef(indexrelid) AS definition
FROM pg_index WHERE indrelid = ANY ('{ctms.emails,ctms.newsletters,ctms.waitlists,ctms.fxa,ctms.amo,ctms.mofo}'::regclass[])
ORDER BY indexrelid::regclass::text COLLATE "C";
