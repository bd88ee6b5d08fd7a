-- The contacts that a text names; find_contact.c runs it. $1: the text. $2: the same as a UUID in its
-- canonical form, in which tokens are stored, or null. Each name is looked up in its index; the casts
-- hold for every type that an administrator gives a column. An empty text matches nothing, whatever
-- is stored. The limits are FIND_CONTACT_MAX, and one to know whether there are more.
WITH found (place, name, email_id, is_deleted) AS (
    (SELECT 1, 'primary_email', email_id, false FROM ctms.emails
        WHERE lower(primary_email::text) = lower($1) LIMIT 101)
    UNION ALL (SELECT 2, 'email_id', email_id, false FROM ctms.emails WHERE email_id = $2::uuid)
    UNION ALL (SELECT 3, 'basket_token', email_id, false FROM ctms.emails
        WHERE basket_token::text = coalesce($2::text, $1) LIMIT 101)
    UNION ALL (SELECT 4, 'fxa_id', email_id, false FROM ctms.fxa WHERE fxa_id::text = $1 LIMIT 101)
    UNION ALL (SELECT 5, 'fxa_primary_email', email_id, false FROM ctms.fxa
        WHERE lower(primary_email::text) = lower($1) LIMIT 101)
    UNION ALL (SELECT 6, 'amo_user_id', email_id, false FROM ctms.amo WHERE user_id::text = $1 LIMIT 101)
    UNION ALL (SELECT 7, 'mofo_email_id', email_id, false FROM ctms.mofo WHERE mofo_email_id::text = $1 LIMIT 101)
    UNION ALL (SELECT 8, 'mofo_contact_id', email_id, false FROM ctms.mofo WHERE mofo_contact_id::text = $1 LIMIT 101)
    UNION ALL (SELECT 9, 'sfdc_id', email_id, false FROM ctms.emails WHERE sfdc_id::text = $1 LIMIT 101)
    UNION ALL (SELECT 10, 'stripe_customer_id', f.email_id, false FROM ctms.stripe_customer AS c
        JOIN ctms.fxa AS f USING (fxa_id) WHERE c.stripe_id::text = $1 LIMIT 101)
    UNION ALL (SELECT 2, 'email_id', d.email_id, true FROM ctms.acoustic_deleted_contact AS d
        WHERE d.is_to_send AND d.email_id = $2::uuid
            AND NOT EXISTS (SELECT FROM ctms.emails AS e WHERE e.email_id = d.email_id))
)
SELECT email_id, string_agg(name, ', ' ORDER BY place), bool_or(is_deleted)
FROM found WHERE $1::text <> ''
GROUP BY email_id ORDER BY email_id LIMIT 101
