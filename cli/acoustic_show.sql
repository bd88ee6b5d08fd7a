-- All that is known of a contact and Acoustic, as a JSON object. cmd_acoustic_show.c runs it.
-- $1: email_id. Each part reads an index and has a limit. Times are formatted by "utc".
WITH customers AS (
    SELECT c.stripe_id FROM ctms.fxa AS f JOIN ctms.stripe_customer AS c USING (fxa_id)
    WHERE f.email_id = $1::uuid
), subscriptions AS (
    SELECT s.stripe_id, s.update_timestamp FROM ctms.stripe_subscription AS s
    JOIN customers AS c ON c.stripe_id = s.stripe_customer_id
), items AS (
    SELECT i.stripe_price_id, i.update_timestamp FROM ctms.stripe_subscription_item AS i
    JOIN subscriptions AS s ON s.stripe_id = i.stripe_subscription_id
),
-- Every name under which a change may be noted that was not connected to the contact yet.
names AS (
    SELECT 'contact' AS kind, $1::uuid::text AS key
    UNION SELECT 'fxa', f.fxa_id FROM ctms.fxa AS f WHERE f.email_id = $1::uuid
    UNION SELECT 'customer', stripe_id FROM customers
    UNION SELECT 'subscription', stripe_id FROM subscriptions
    UNION SELECT 'price', stripe_price_id FROM items
    UNION SELECT 'invoice', v.stripe_id FROM ctms.stripe_invoice AS v
        JOIN customers AS c ON c.stripe_id = v.stripe_customer_id
),
-- The newest change of what is sent. A change that was never enqueued is known by it.
changed AS (
    SELECT max(at) AS at FROM (
        SELECT update_timestamp AS at FROM ctms.emails WHERE email_id = $1::uuid
        UNION ALL SELECT update_timestamp FROM ctms.newsletters WHERE email_id = $1::uuid
        UNION ALL SELECT update_timestamp FROM ctms.waitlists WHERE email_id = $1::uuid
        UNION ALL SELECT update_timestamp FROM ctms.fxa WHERE email_id = $1::uuid
        UNION ALL SELECT update_timestamp FROM ctms.amo WHERE email_id = $1::uuid
        UNION ALL SELECT update_timestamp FROM subscriptions
        UNION ALL SELECT update_timestamp FROM items
        UNION ALL SELECT p.update_timestamp FROM ctms.stripe_price AS p
            JOIN items AS i ON i.stripe_price_id = p.stripe_id) AS changes
), sent AS (
    SELECT max(create_timestamp) AS at FROM ctms.acoustic_history
    WHERE email_id = $1::uuid AND outcome IN ('sent', 'unchanged')
), utc AS (
    SELECT 'YYYY-MM-DD"T"HH24:MI:SS"Z"' AS form
),
-- What the contact has, by the names of columns of the main table.
fields AS (
    SELECT CASE key WHEN 'primary_email' THEN 'email' ELSE key END AS name, value
    FROM ctms.emails AS e, jsonb_each(to_jsonb(e) - '{email_id,update_timestamp}'::text[]) WHERE e.email_id = $1::uuid
    UNION ALL SELECT 'amo_' || key, value
    FROM ctms.amo AS a, jsonb_each(to_jsonb(a) - '{id,email_id,create_timestamp,update_timestamp}'::text[])
    WHERE a.email_id = $1::uuid
    UNION ALL SELECT CASE key WHEN 'fxa_id' THEN key ELSE 'fxa_' || key END, value
    FROM ctms.fxa AS f, jsonb_each(to_jsonb(f) - '{id,email_id,create_timestamp,update_timestamp}'::text[])
    WHERE f.email_id = $1::uuid
)
SELECT json_build_object(
    'primary_email', (SELECT e.primary_email FROM ctms.emails AS e WHERE e.email_id = $1::uuid),
    -- The deletion first, because it is sent first.
    'queue', (SELECT coalesce(json_agg(json_build_object(
            'is_deletion', q.is_deletion, 'lane', q.lane, 'state', q.state, 'reason', q.reason, 'retry', q.retry,
            'create_timestamp', to_char(q.create_timestamp AT TIME ZONE 'UTC', utc.form),
            'retry_after', to_char(q.retry_after AT TIME ZONE 'UTC', utc.form),
            'lease_owner', q.lease_owner, 'lease_until', to_char(q.lease_until AT TIME ZONE 'UTC', utc.form),
            'last_error', q.last_error) ORDER BY q.is_deletion DESC), '[]')
        FROM ctms.acoustic_queue AS q WHERE q.email_id = $1::uuid),
    'place', (SELECT to_json(p) FROM ctms.acoustic_place($1::uuid) AS p WHERE p.place IS NOT NULL),
    'agents', (SELECT count(*) FROM ctms.acoustic_agent AS a WHERE a.lease_until > statement_timestamp()),
    'rate', ctms.acoustic_rate(),
    'noted', (SELECT coalesce(json_agg(json_build_object('kind', n.kind, 'key', n.key,
            'since', to_char(n.create_timestamp AT TIME ZONE 'UTC', utc.form)) ORDER BY n.kind, n.key), '[]')
        FROM (SELECT u.kind, u.key, u.create_timestamp FROM ctms.stripe_unresolved AS u
            JOIN names USING (kind, key) LIMIT 100) AS n),
    'changed_at', to_char(changed.at AT TIME ZONE 'UTC', utc.form),
    'last_sent_at', to_char(sent.at AT TIME ZONE 'UTC', utc.form),
    'is_sent_since', coalesce(sent.at >= changed.at, false)
        AND NOT EXISTS (SELECT FROM ctms.acoustic_deleted_row AS d WHERE d.email_id = $1::uuid),
    'rows', (SELECT coalesce(json_agg(json_build_object('kind', r.kind, 'fields', r.fields)), '[]')
        FROM ctms.acoustic_rows(ARRAY[$1::uuid]) AS r),
    'changes', (SELECT coalesce(json_agg(json_build_object('kind', d.kind, 'name', d.name, 'change', d.change)), '[]')
        FROM ctms.acoustic_diff(ARRAY[$1::uuid]) AS d),
    -- What no listed column takes.
    'unsent', json_build_object(
        'fields', (SELECT coalesce(json_agg(f.name ORDER BY f.name), '[]') FROM fields AS f WHERE f.value <> 'null'
            AND f.name NOT IN (SELECT c.field FROM ctms.acoustic_field AS c WHERE c.tablename = 'main')),
        'newsletters', (SELECT coalesce(json_agg(n.name ORDER BY n.name), '[]') FROM ctms.newsletters AS n
            WHERE n.email_id = $1::uuid AND n.name NOT IN (SELECT m.source FROM ctms.acoustic_newsletter_mapping AS m)),
        'waitlist_fields', (SELECT coalesce(json_agg(w.name || '.' || key ORDER BY w.name, key), '[]')
            FROM ctms.waitlists AS w,
                jsonb_object_keys(CASE jsonb_typeof(w.fields) WHEN 'object' THEN w.fields ELSE '{}' END) AS key
            WHERE w.email_id = $1::uuid
                AND key NOT IN (SELECT c.field FROM ctms.acoustic_field AS c WHERE c.tablename = 'waitlist')
                AND w.name || '_waitlist_' || key NOT IN (
                    SELECT c.field FROM ctms.acoustic_field AS c WHERE c.tablename = 'main'))),
    'history', (SELECT coalesce(json_agg(json_build_object('time', to_char(h.create_timestamp AT TIME ZONE 'UTC', utc.form),
            'outcome', h.outcome, 'error', h.error)), '[]')
        FROM (SELECT h.create_timestamp, h.outcome, h.error FROM ctms.acoustic_history AS h WHERE h.email_id = $1::uuid
            ORDER BY h.create_timestamp DESC, h.id DESC LIMIT 20) AS h),
    'acoustic_history_sent', ctms.get_setting('acoustic_history_sent') = 'on',
    'acoustic_skip_unchanged', ctms.get_setting('acoustic_skip_unchanged') = 'on')
FROM changed, sent, utc
