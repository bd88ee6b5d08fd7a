-- ---------------------------------------------------------------------------
-- What is sent to Acoustic.
-- ---------------------------------------------------------------------------

-- TimeZone and DateStyle decide how fxa.created_date is read if it has no zone or its order of day
-- and month is ambiguous. jit is off because the statements are cheap for the few contacts of a
-- call. The planner cannot know how few they are, and compiling the statements would take a hundred
-- times as long as running them.
CREATE FUNCTION ctms.acoustic_rows(email_ids uuid[])
    RETURNS TABLE (email_id uuid, kind text, fields json)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_rows';
COMMENT ON FUNCTION ctms.acoustic_rows(uuid[]) IS 'The rows that Acoustic should have of these contacts, in order of email_id: for each contact its main row, then its newsletters, waitlists and products by name; fields is an object of texts in a fixed order, email_id first';

GRANT EXECUTE ON FUNCTION ctms.acoustic_rows(uuid[]) TO ctms_agent;

CREATE FUNCTION ctms.acoustic_csv(email_ids uuid[])
    RETURNS TABLE (kind text, row_count bigint, csv text)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 7 SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_csv';
COMMENT ON FUNCTION ctms.acoustic_csv(uuid[]) IS 'The rows of ctms.acoustic_rows() for files: records of CSV (RFC 4180, each ends with LF) in the same order, with the columns of ctms.acoustic_csv_columns(). One row for each kind that there is: newsletter, waitlist, product, and main, main_amo, main_fxa, main_amo_fxa by whether the contact has AMO and FxA data; a kind with more than 1 MB has several. With one snapshot for the whole transaction, a table that was altered after it raises 40001: try the transaction again';

CREATE FUNCTION ctms.acoustic_csv_columns()
    RETURNS TABLE (kind text, columns text[])
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 7 SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_csv_columns';
COMMENT ON FUNCTION ctms.acoustic_csv_columns() IS 'The columns of the records of each kind of ctms.acoustic_csv(), in their order; names as Acoustic has them';

GRANT EXECUTE ON FUNCTION ctms.acoustic_csv(uuid[]) TO ctms_agent;
GRANT EXECUTE ON FUNCTION ctms.acoustic_csv_columns() TO ctms_agent;

CREATE FUNCTION ctms.acoustic_outgoing(email_ids uuid[], states text[])
    RETURNS TABLE (email_id uuid, kind text, fields json)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_outgoing';
COMMENT ON FUNCTION ctms.acoustic_outgoing(uuid[], text[]) IS 'What an agent must send for the contacts that it has claimed, with the states that the claim returned: rows like those of ctms.acoustic_rows(), and rows to be deleted (kinds delete_newsletter, delete_waitlist, delete_product; fields are their keys). With the setting acoustic_skip_unchanged also hashes for ctms.finish_acoustic(): in a row of kind hashes, after what has changed, or of kind unchanged, when there is nothing to send';

CREATE FUNCTION ctms.acoustic_diff(email_ids uuid[])
    RETURNS TABLE (email_id uuid, kind text, name text, change text)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_diff';
COMMENT ON FUNCTION ctms.acoustic_diff(uuid[]) IS 'For each row of these contacts, how it differs from what was last sent to Acoustic: new, changed, unchanged, removed, or unknown if nothing is remembered about the contact';

GRANT EXECUTE ON FUNCTION ctms.acoustic_outgoing(uuid[], text[]) TO ctms_agent;
GRANT EXECUTE ON FUNCTION ctms.acoustic_diff(uuid[]) TO ctms_agent;

CREATE FUNCTION ctms.acoustic_main_columns() RETURNS text[]
    LANGUAGE c STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_acoustic_main_columns';
COMMENT ON FUNCTION ctms.acoustic_main_columns() IS 'The columns of the main table that ctms can fill, if ctms.acoustic_field lists them; others are members of waitlists, <name>_waitlist_<field>, or belong to other systems';

-- Pages of contacts, because the answer of a call is held in memory.
CREATE FUNCTION ctms.acoustic_digests()
    RETURNS TABLE (email_id uuid, kind text, name text, digest text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.email_id, r.kind,
        CASE r.kind WHEN 'newsletter' THEN r.fields->>'newsletter_name' WHEN 'waitlist' THEN r.fields->>'waitlist_name'
            WHEN 'product' THEN r.fields->>'product_id' ELSE '' END,
        CASE WHEN NOT EXISTS (SELECT FROM ctms.pending_acoustic q WHERE q.email_id = r.email_id) THEN md5(r.fields::text) END
    FROM (SELECT array_agg(e.email_id) AS email_ids
          FROM (SELECT c.email_id, (row_number() OVER (ORDER BY c.email_id) - 1) / 1000 AS page FROM ctms.emails c) AS e
          GROUP BY e.page) AS p
    CROSS JOIN LATERAL ctms.acoustic_rows(p.email_ids) AS r
    UNION ALL
    SELECT n.email_id, n.kind, n.name, NULL FROM ctms.acoustic_deleted_row n
    UNION ALL
    SELECT d.email_id, 'main', '', NULL FROM ctms.acoustic_deleted_contact d WHERE d.is_to_send
$$;
COMMENT ON FUNCTION ctms.acoustic_digests() IS 'What Acoustic may hold of all contacts, as far as this database knows: for each row its kind, its name (empty for the main row) and a digest of its values, which is null where a change or deletion still waits to be sent. A comparison with another state of the database tells what to send again, and what to delete';
