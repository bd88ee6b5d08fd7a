-- ---------------------------------------------------------------------------
-- The moment at which the queue is written (extension/queue/flush.c).
--
-- The first change of a contact in a transaction makes PostgreSQL believe that the row of this table
-- was inserted. So its deferred trigger fires when the transaction commits, with the deferred
-- triggers and constraints of other tables. The row never changes, and is the same in every
-- installation, so it is not dumped (this comes after 95_dump.sql).
-- ---------------------------------------------------------------------------

CREATE TABLE ctms._queue_flush (is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row));
COMMENT ON TABLE ctms._queue_flush IS 'One row, whose deferred trigger writes the queue when a transaction that changed contacts commits';
COMMENT ON COLUMN ctms._queue_flush.is_only_row IS 'Always true: the key, so that there is one row';
REVOKE ALL ON ctms._queue_flush FROM PUBLIC;
INSERT INTO ctms._queue_flush VALUES (true);

-- Without the row, no contact could be changed. So it survives whoever empties every table, and a
-- copy that logical replication makes of it.
CREATE FUNCTION ctms._keep_queue_flush() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO ctms._queue_flush VALUES (true);
    ELSIF TG_OP = 'INSERT' AND NOT EXISTS (SELECT FROM ctms._queue_flush) THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._keep_queue_flush() IS 'Trigger of ctms._queue_flush: keeps its only row as it is';
REVOKE ALL ON FUNCTION ctms._keep_queue_flush() FROM PUBLIC;
CREATE TRIGGER ctms_queue_flush_keep BEFORE INSERT OR UPDATE OR DELETE ON ctms._queue_flush
    FOR EACH ROW EXECUTE FUNCTION ctms._keep_queue_flush();
CREATE TRIGGER ctms_queue_flush_truncated AFTER TRUNCATE ON ctms._queue_flush
    EXECUTE FUNCTION ctms._keep_queue_flush();
ALTER TABLE ctms._queue_flush ENABLE ALWAYS TRIGGER ctms_queue_flush_keep;
ALTER TABLE ctms._queue_flush ENABLE ALWAYS TRIGGER ctms_queue_flush_truncated;

CREATE FUNCTION ctms._flush_queue() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__flush_queue';
COMMENT ON FUNCTION ctms._flush_queue() IS 'Trigger of ctms._queue_flush: enqueues the contacts that the transaction has changed';
REVOKE ALL ON FUNCTION ctms._flush_queue() FROM PUBLIC;

-- ALWAYS: session_replication_role must not keep changes that were noted from being enqueued.
CREATE CONSTRAINT TRIGGER ctms_queue_flush AFTER INSERT ON ctms._queue_flush DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ctms._flush_queue();
ALTER TABLE ctms._queue_flush ENABLE ALWAYS TRIGGER ctms_queue_flush;
