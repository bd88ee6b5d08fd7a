-- ---------------------------------------------------------------------------
-- Reads from replicas: whether one has what its primary has. The code is in extension/base/replay.c.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.wal_position(OUT timeline integer, OUT lsn pg_lsn)
    LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_wal_position';
COMMENT ON FUNCTION ctms.wal_position() IS 'The position of a primary in its write-ahead log: all that was committed before is before it; SQLSTATE 25006 on a replica';

CREATE FUNCTION ctms.require_replayed(timeline integer, lsn pg_lsn) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms_require_replayed';
COMMENT ON FUNCTION ctms.require_replayed(integer, pg_lsn) IS 'Returns if this server is a replica that is on that timeline and has replayed up to that position of ctms.wal_position(): then the statements after this one see all that was committed before it. Otherwise SQLSTATE CT503, which the server does not log; also in a transaction that keeps its snapshot';

GRANT EXECUTE ON FUNCTION ctms.wal_position(), ctms.require_replayed(integer, pg_lsn)
    TO ctms_api, ctms_reader;
