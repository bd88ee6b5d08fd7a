-- The position of a primary, and what a server that is no replica answers. test/t/266_rest_replicas.pl
-- has replicas.
CREATE TEMPORARY TABLE before AS SELECT * FROM ctms.wal_position();
SELECT pg_logical_emit_message(true, 'ctms', 'something') IS NOT NULL AS is_written;
SELECT now.timeline = before.timeline AS is_same, now.lsn > before.lsn AS is_later
FROM before, ctms.wal_position() AS now;
SELECT ctms.require_replayed(1, '0/1');
\echo :SQLSTATE
SELECT ctms.require_replayed(NULL, '0/1');
SELECT ctms.require_replayed(1, NULL);
SELECT ctms.require_replayed(1, '0/1', pg_current_snapshot());
SELECT system_identifier = (SELECT system_identifier FROM pg_control_system()) AS is_own
FROM ctms.wal_position();
SET ROLE ctms_agent;
SELECT ctms.wal_position();
SELECT ctms.require_replayed(1, '0/1');
SET ROLE ctms_api;
SELECT timeline FROM ctms.wal_position();
RESET ROLE;
DROP TABLE before;
