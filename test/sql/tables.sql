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

-- Each table has a primary key, by which logical replication finds rows. It holds email_id where the table has one, as
-- Citus demands of what tables are distributed by; only the history, a log of which the oldest goes first, has a number.
SELECT c.relname AS table_name, c.relreplident AS replica_identity, pg_get_constraintdef(k.oid) AS key,
       (SELECT a.attnum = ANY (k.conkey) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'email_id') AS holds_email_id
FROM pg_class c LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' AND NOT k.condeferrable
WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY c.relname COLLATE "C";
