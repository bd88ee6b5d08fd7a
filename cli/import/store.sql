-- How `ctms import` stores what check.sql found nothing against. Rows here are
-- replaced only by rows that changed later; nothing is deleted.

-- Lists of SQL for the columns of a table that the import has.
CREATE FUNCTION pg_temp.import_columns(table_name text, keys text[], given text[],
    OUT names text, OUT vals text, OUT changed_names text, OUT changed_vals text, OUT is_same_key text, OUT is_kept text)
    LANGUAGE sql STABLE
AS $$
    SELECT string_agg(c.name, ', ' ORDER BY c.attnum), string_agg(c.val, ', ' ORDER BY c.attnum),
           string_agg(c.name, ', ' ORDER BY c.attnum) FILTER (WHERE c.is_data),
           string_agg(c.val, ', ' ORDER BY c.attnum) FILTER (WHERE c.is_data),
           (SELECT string_agg(format('t.%1$I = s.%1$I', k), ' AND ') FROM unnest(keys) AS k),
           format('s.update_timestamp <= t.update_timestamp AND ROW(%s) IS DISTINCT FROM ROW(%s)',
                  string_agg('t.' || c.name, ', ' ORDER BY c.attnum) FILTER (WHERE c.is_data AND c.is_content),
                  string_agg(c.val, ', ' ORDER BY c.attnum) FILTER (WHERE c.is_data AND c.is_content))
    FROM (
        SELECT a.attnum, quote_ident(a.attname) AS name, a.attname <> 'id' AND a.attname <> ALL (keys) AS is_data,
               a.attname <> ALL ('{create_timestamp,update_timestamp}') AS is_content,
               CASE WHEN a.attnotnull AND d.adbin IS NOT NULL
                    THEN format('coalesce(s.%I, %s)', a.attname, pg_get_expr(d.adbin, d.adrelid))
                    ELSE format('s.%I', a.attname) END AS val
        FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = format('ctms.%I', table_name)::regclass AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attname = ANY (given || keys || '{id,create_timestamp,update_timestamp}')) AS c
$$;

-- How many rows are new, how many replace one that is here, and instead of how many the one here is kept.
CREATE FUNCTION pg_temp.import_preview(table_name text, keys text[], given text[],
    OUT created bigint, OUT updated bigint, OUT kept bigint)
    LANGUAGE plpgsql
AS $$
DECLARE
    c record := pg_temp.import_columns(table_name, keys, given);
BEGIN
    EXECUTE format('SELECT count(*) FILTER (WHERE t.%2$I IS NULL), count(*) FILTER (WHERE t.%2$I IS NOT NULL '
        'AND s.update_timestamp > t.update_timestamp AND ROW(t.%3$s) IS DISTINCT FROM ROW(%4$s)), '
        'count(*) FILTER (WHERE %6$s) '
        'FROM pg_temp.import_%1$s AS s LEFT JOIN ctms.%1$I AS t ON %5$s',
        table_name, keys[1], replace(c.changed_names, ', ', ', t.'), c.changed_vals, c.is_same_key, c.is_kept)
    INTO created, updated, kept;
END
$$;

-- Stores the rows in some blocks of a staged table: by place, so that each call costs the same.
-- Rows that are here are found by index, whatever the planner knows of a table that has just grown.
CREATE FUNCTION pg_temp.import_store(table_name text, keys text[], given text[], is_new boolean,
    first_block bigint, last_block bigint, OUT created bigint, OUT updated bigint, OUT kept bigint)
    LANGUAGE plpgsql SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    c record := pg_temp.import_columns(table_name, keys, given);
    place text := format('s.ctid >= ''(%s,0)'' AND s.ctid < ''(%s,0)''', first_block, last_block);
BEGIN
    updated := 0;
    kept := 0;
    IF NOT is_new THEN
        EXECUTE format('SELECT count(*) FROM pg_temp.import_%1$s AS s JOIN ctms.%1$I AS t ON %2$s WHERE %3$s AND %4$s',
            table_name, c.is_same_key, place, c.is_kept) INTO kept;
        EXECUTE format('UPDATE ctms.%1$I AS t SET (%2$s) = ROW(%3$s) FROM pg_temp.import_%1$s AS s WHERE %4$s AND %5$s '
            'AND s.update_timestamp > t.update_timestamp AND ROW(t.%6$s) IS DISTINCT FROM ROW(%3$s)',
            table_name, c.changed_names, c.changed_vals, place, c.is_same_key, replace(c.changed_names, ', ', ', t.'));
        GET DIAGNOSTICS updated = ROW_COUNT;
    END IF;
    EXECUTE format('INSERT INTO ctms.%1$I (%2$s) SELECT %3$s FROM pg_temp.import_%1$s AS s WHERE %4$s %5$s ORDER BY %6$s',
        table_name, c.names, c.vals, place,
        CASE WHEN NOT is_new THEN format('AND NOT EXISTS (SELECT FROM ctms.%I AS t WHERE %s)', table_name, c.is_same_key) END,
        (SELECT string_agg(format('s.%I', k), ', ') FROM unnest(keys) AS k));
    GET DIAGNOSTICS created = ROW_COUNT;
END
$$;

-- Rows that should be here by now, and are not.
CREATE FUNCTION pg_temp.import_missing(table_name text, keys text[]) RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    missing bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM pg_temp.import_%1$s AS s WHERE NOT EXISTS (SELECT FROM ctms.%1$I AS t WHERE %2$s)',
        table_name, (SELECT string_agg(format('t.%1$I = s.%1$I', k), ' AND ') FROM unnest(keys) AS k)) INTO missing;
    RETURN missing;
END
$$;

-- Ids that the import brings along are not given to other rows.
CREATE FUNCTION pg_temp.import_move_sequences() RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{newsletters,waitlists,fxa,amo,mofo}'::text[] LOOP
        EXECUTE format('SELECT setval(pg_get_serial_sequence(%1$L, ''id'')::regclass, s.highest) FROM (SELECT max(id) AS highest '
            'FROM pg_temp.import_%2$s) AS s WHERE s.highest > (SELECT last_value FROM ctms.%3$I)',
            'ctms.' || name, name, name || '_id_seq');
    END LOOP;
END
$$;

-- What is synced is taken over before there is anything to sync; later it is our own affair.
CREATE FUNCTION pg_temp.import_configuration() RETURNS void
    LANGUAGE sql
AS $$
    DELETE FROM ctms.acoustic_field WHERE tablename IN (SELECT tablename FROM pg_temp.import_acoustic_field);
    INSERT INTO ctms.acoustic_field (tablename, field)
    SELECT tablename, field FROM pg_temp.import_acoustic_field ON CONFLICT DO NOTHING;
    DELETE FROM ctms.acoustic_newsletter_mapping
    WHERE EXISTS (SELECT FROM pg_temp.import_acoustic_newsletter_mapping);
    INSERT INTO ctms.acoustic_newsletter_mapping (source, destination)
    SELECT source, destination FROM pg_temp.import_acoustic_newsletter_mapping WHERE destination IS NOT NULL
    ON CONFLICT DO NOTHING;
$$;
