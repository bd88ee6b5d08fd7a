-- The rules of `ctms import`, told in docs/adoption.md: what becomes of rows that do not
-- fit as they are. Works on the tables of stage.sql alone.

ANALYZE pg_temp.import_emails, pg_temp.import_newsletters, pg_temp.import_waitlists, pg_temp.import_fxa,
    pg_temp.import_amo, pg_temp.import_mofo, pg_temp.import_vpn_waitlist, pg_temp.import_relay_waitlist;

-- ---- rows that say the same thing twice ----------------------------------------
-- Of several rows with the same key the one that was changed last stays, or the last one of the files.

DO $$
DECLARE
    t record;
    is_repeated boolean;
BEGIN
    FOR t IN SELECT name, keys, keys LIKE 'email_id%' AS is_of_contact FROM import_keys LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM import_%1$s GROUP BY %2$s HAVING count(*) > 1)', t.name, t.keys)
            INTO is_repeated;
        CONTINUE WHEN NOT is_repeated;
        EXECUTE format($sql$
            WITH repeated AS (SELECT %2$s FROM import_%1$s GROUP BY %2$s HAVING count(*) > 1),
            ranked AS (
                SELECT s.ctid AS place, row_number() OVER (PARTITION BY %2$s
                    ORDER BY s.update_timestamp DESC NULLS LAST, s.create_timestamp DESC NULLS LAST,
                             s.import_origin DESC, s.import_line DESC) AS rank
                FROM import_%1$s AS s JOIN repeated USING (%2$s)),
            gone AS (
                DELETE FROM import_%1$s AS s USING ranked AS r WHERE s.ctid = r.place AND r.rank > 1 RETURNING s.*)
            INSERT INTO import_left_out SELECT %3$L, 'repeated', %4$s, %4$s,
                to_jsonb(gone) - '{import_origin,import_line}'::text[] FROM gone
            $sql$, t.name, t.keys, t.name, CASE WHEN t.is_of_contact THEN 'email_id' ELSE 'NULL' END);
    END LOOP;
END
$$;

-- ---- times ------------------------------------------------------------------------
-- A missing time is the other one of the row, else the contact's (tables of old had none),
-- else that of the row that is here, else now.

UPDATE import_emails AS s SET
    create_timestamp = coalesce(s.create_timestamp, s.update_timestamp,
        (SELECT t.create_timestamp FROM ctms.emails AS t WHERE t.email_id = s.email_id), now()),
    update_timestamp = coalesce(s.update_timestamp, s.create_timestamp,
        (SELECT t.update_timestamp FROM ctms.emails AS t WHERE t.email_id = s.email_id), now())
WHERE s.create_timestamp IS NULL OR s.update_timestamp IS NULL;

DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT name, keys LIKE 'email_id%' AS is_of_contact FROM import_keys WHERE name <> 'emails' LOOP
        EXECUTE format(
            'UPDATE import_%1$s AS s SET create_timestamp = coalesce(s.create_timestamp, s.update_timestamp, %2$s), '
            'update_timestamp = coalesce(s.update_timestamp, s.create_timestamp, %3$s) %4$s '
            '(s.create_timestamp IS NULL OR s.update_timestamp IS NULL)', t.name,
            CASE WHEN t.is_of_contact THEN 'e.create_timestamp' ELSE 'now()' END,
            CASE WHEN t.is_of_contact THEN 'e.update_timestamp' ELSE 'now()' END,
            CASE WHEN t.is_of_contact THEN 'FROM import_emails AS e WHERE e.email_id = s.email_id AND' ELSE 'WHERE' END);
    END LOOP;
END
$$;

-- ---- one table per waitlist becomes rows of waitlists ---------------------------------

UPDATE import_waitlists SET fields = jsonb_strip_nulls(jsonb_build_object('geo', geo, 'platform', platform))
WHERE fields IS NULL AND (geo IS NOT NULL OR platform IS NOT NULL);

INSERT INTO import_waitlists (import_origin, import_line, email_id, name, subscribed, fields, create_timestamp,
    update_timestamp)
SELECT v.import_origin, v.import_line, v.email_id, 'vpn', true, jsonb_build_object('geo', v.geo, 'platform', v.platform),
       v.create_timestamp, v.update_timestamp
FROM import_vpn_waitlist AS v
LEFT JOIN import_waitlists AS w ON w.email_id = v.email_id AND w.name = 'vpn'
WHERE w.email_id IS NULL
ORDER BY v.email_id;

-- Who has left a newsletter "relay…" has left its waitlist.
INSERT INTO import_waitlists (import_origin, import_line, email_id, name, subscribed, fields, create_timestamp,
    update_timestamp)
SELECT DISTINCT ON (l.email_id, l.name) l.import_origin, l.import_line, l.email_id, l.name, l.subscribed,
       jsonb_build_object('geo', l.geo), l.create_timestamp, l.update_timestamp
FROM (
    SELECT r.*, coalesce(regexp_replace(n.name, '-waitlist$', ''), 'relay') AS name, coalesce(n.subscribed, true) AS subscribed
    FROM import_relay_waitlist AS r
    LEFT JOIN import_newsletters AS n ON n.email_id = r.email_id AND n.name LIKE 'relay%'
) AS l
LEFT JOIN import_waitlists AS w ON w.email_id = l.email_id AND w.name = l.name
WHERE w.email_id IS NULL
ORDER BY l.email_id, l.name, l.subscribed DESC;

-- ---- contacts whose addresses differ in case only -------------------------------------------
-- The one that is here already stays, else the one that was changed last. It gets what it
-- lacks of the others.

CREATE TEMP TABLE import_merged (email_id, kept, rank) ON COMMIT DROP AS
WITH repeated AS (
    SELECT lower(primary_email) AS address FROM import_emails GROUP BY 1 HAVING count(*) > 1)
SELECT email_id, kept, rank FROM (
    SELECT s.email_id, first_value(s.email_id) OVER best AS kept, row_number() OVER best AS rank
    FROM import_emails AS s JOIN repeated AS r ON lower(s.primary_email) = r.address
    WINDOW best AS (PARTITION BY r.address ORDER BY EXISTS (SELECT FROM ctms.emails AS t WHERE t.email_id = s.email_id) DESC,
        s.update_timestamp DESC, s.create_timestamp DESC, s.email_id)
) AS ranked WHERE rank > 1;

UPDATE import_emails AS s SET basket_token = coalesce(s.basket_token, m.basket_token), sfdc_id = coalesce(s.sfdc_id, m.sfdc_id)
FROM (
    SELECT m.kept, (array_agg(e.basket_token ORDER BY m.rank) FILTER (WHERE e.basket_token IS NOT NULL))[1] AS basket_token,
           (array_agg(e.sfdc_id ORDER BY m.rank) FILTER (WHERE e.sfdc_id IS NOT NULL))[1] AS sfdc_id
    FROM import_merged AS m JOIN import_emails AS e USING (email_id) GROUP BY m.kept) AS m
WHERE m.kept = s.email_id AND (s.basket_token IS NULL OR s.sfdc_id IS NULL);

-- Rows move to the contact that stays unless it has a row of that name, or any in the tables with
-- one row for each contact.
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT name, keys LIKE '%name' AS is_named FROM import_keys
             WHERE name IN ('newsletters', 'waitlists', 'fxa', 'amo', 'mofo') AND EXISTS (SELECT FROM import_merged) LOOP
        EXECUTE format($sql$
            UPDATE import_%1$s AS s SET email_id = moved.kept
            FROM (
                SELECT DISTINCT ON (%2$s) o.ctid AS place, m.kept
                FROM import_merged AS m
                JOIN import_%1$s AS o USING (email_id)
                LEFT JOIN import_%1$s AS k ON k.email_id = m.kept %3$s
                WHERE k.email_id IS NULL ORDER BY %2$s, m.rank) AS moved
            WHERE s.ctid = moved.place
            $sql$, t.name, CASE WHEN t.is_named THEN 'm.kept, o.name' ELSE 'm.kept' END,
            CASE WHEN t.is_named THEN 'AND k.name = o.name' END);
    END LOOP;
    FOR t IN SELECT name FROM import_keys WHERE keys LIKE 'email_id%' AND name NOT LIKE '%\_waitlist'
             AND EXISTS (SELECT FROM import_merged) LOOP
        EXECUTE format($sql$
            WITH gone AS (DELETE FROM import_%1$s AS s USING import_merged AS m WHERE s.email_id = m.email_id
                          RETURNING s.email_id, m.kept, to_jsonb(s) - '{import_origin,import_line}'::text[] AS content)
            INSERT INTO import_left_out SELECT %2$L, 'same address', email_id, kept, content FROM gone
            $sql$, t.name, t.name);
    END LOOP;
END
$$;
UPDATE import_pending_acoustic AS s SET email_id = m.kept FROM import_merged AS m WHERE s.email_id = m.email_id;

-- ---- ids --------------------------------------------------------------------------------------
-- Rows keep their ids, except where another row has it here.

DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT name, CASE WHEN keys LIKE '%name' THEN 'AND t.name = s.name' END AS same_name FROM import_keys
             WHERE name IN ('newsletters', 'waitlists', 'fxa', 'amo', 'mofo') LOOP
        EXECUTE format('UPDATE import_%1$s AS s SET id = NULL FROM ctms.%1$s AS t '
            'WHERE t.id = s.id AND (t.email_id = s.email_id %2$s) IS NOT TRUE', t.name, t.same_name);
    END LOOP;
END
$$;

ANALYZE pg_temp.import_emails, pg_temp.import_newsletters, pg_temp.import_waitlists;
