-- ---------------------------------------------------------------------------
-- Reads from replicas: whether one has what its primary has. The code is in extension/base/replay.c.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.wal_position(OUT timeline integer, OUT lsn pg_lsn, OUT system_identifier bigint)
    LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_wal_position';
COMMENT ON FUNCTION ctms.wal_position() IS 'The position of a primary in its write-ahead log: all that was committed before is before it; SQLSTATE 25006 on a replica';

CREATE FUNCTION ctms.require_replayed(timeline integer, lsn pg_lsn, snapshot pg_snapshot DEFAULT NULL, system_identifier bigint DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms_require_replayed';
COMMENT ON FUNCTION ctms.require_replayed(integer, pg_lsn, pg_snapshot, bigint) IS 'Returns if this server is a replica of that cluster (NULL: of any) and on that timeline of ctms.wal_position(), and has replayed up to that position or all that is committed in that pg_current_snapshot() of the primary: then the statements after this one see all that was committed before. Otherwise SQLSTATE CT503, which the server does not log; also in a transaction that keeps its snapshot';

GRANT EXECUTE ON FUNCTION ctms.wal_position(), ctms.require_replayed(integer, pg_lsn, pg_snapshot, bigint)
    TO ctms_api, ctms_reader;
