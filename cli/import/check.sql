-- What `ctms import` refuses, and what it stores but mentions. Comes after rules.sql.

-- Rows without the one that they belong to. The joins are by hash, whatever their number.
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT name, keys FROM import_keys WHERE name IN ('newsletters', 'waitlists', 'fxa', 'amo', 'mofo') LOOP
        PERFORM pg_temp.import_refuse(t.name, t.keys, 'NULL',
            'CASE WHEN s.email_id::text IN (SELECT r.key FROM import_refused AS r WHERE r.key IS NOT NULL) '
            'THEN ''belongs to a contact that is refused'' ELSE ''belongs to no contact'' END',
            'NOT EXISTS (SELECT FROM import_emails AS e WHERE e.email_id = s.email_id)');
    END LOOP;
    FOR t IN SELECT * FROM (VALUES
        ('stripe_subscription_item', 'stripe_subscription_id', 'stripe_subscription'),
        ('stripe_subscription_item', 'stripe_price_id', 'stripe_price'),
        ('stripe_invoice_line_item', 'stripe_invoice_id', 'stripe_invoice'),
        ('stripe_invoice_line_item', 'stripe_price_id', 'stripe_price')) AS t (name, reference, parent) LOOP
        PERFORM pg_temp.import_refuse(t.name, 'stripe_id', quote_literal(t.reference),
            format('CASE WHEN s.%I IN (SELECT r.key FROM import_refused AS r WHERE r.key IS NOT NULL) '
                'THEN ''refers to a row that is refused'' ELSE ''refers to a row that does not exist'' END', t.reference),
            format('s.%2$I IS NOT NULL AND NOT EXISTS (SELECT FROM import_%1$s AS p WHERE p.stripe_id = s.%2$I) '
                'AND NOT EXISTS (SELECT FROM ctms.%1$I AS p WHERE p.stripe_id = s.%2$I)', t.parent, t.reference));
    END LOOP;
END
$$;

-- What belongs to one contact (or customer) only, and has two.
DO $$
DECLARE
    t record;
    found bigint;
    examples text;
BEGIN
    FOR t IN SELECT * FROM (VALUES
        ('emails', 'email_id', 'lower(%s.primary_email)', 'an address'),
        ('emails', 'email_id', '%s.basket_token', 'a basket_token'),
        ('fxa', 'email_id', '%s.fxa_id', 'an fxa_id'),
        ('mofo', 'email_id', '%s.mofo_email_id', 'a mofo_email_id'),
        ('stripe_customer', 'stripe_id', '%s.fxa_id', 'an fxa_id')) AS t (name, key, value, label) LOOP
        EXECUTE format('SELECT count(*), string_agg(x.key, '', '') FILTER (WHERE x.number <= 5) FROM ('
            'SELECT t.%2$I::text AS key, row_number() OVER (ORDER BY t.%2$I) AS number '
            'FROM import_%1$I AS s JOIN ctms.%1$I AS t ON %3$s = %4$s AND s.%2$I <> t.%2$I) AS x',
            t.name, t.key, format(t.value, 's'), format(t.value, 't')) INTO found, examples;
        INSERT INTO import_problems SELECT format('%s rows of "%s" have %s that other contacts have here: %s %s', found, t.name, t.label,
            t.key, examples) WHERE found > 0;
        EXECUTE format('SELECT count(*), string_agg(x.key, '', '') FILTER (WHERE x.number <= 5) FROM ('
            'SELECT min(s.%2$I::text) AS key, row_number() OVER (ORDER BY min(s.%2$I::text)) AS number '
            'FROM import_%1$I AS s GROUP BY %3$s HAVING count(%3$s) > 1) AS x',
            t.name, t.key, format(t.value, 's')) INTO found, examples;
        INSERT INTO import_problems SELECT format('%s times several rows of "%s" share %s: %s %s', found, t.name, t.label,
            t.key, examples) WHERE found > 0;
    END LOOP;
END
$$;

-- Nobody has filled in a form to get these: they stay as they are.
INSERT INTO import_notes
SELECT format('%s rows of waitlist "%s" break its schema and are stored as they are', count(*), w.name)
FROM import_waitlists AS w
LEFT JOIN ctms.waitlist_fields_schemas AS own ON own.name = w.name
LEFT JOIN ctms.waitlist_fields_schemas AS other ON other.name = 'default'
WHERE coalesce(NOT ctms.json_schema_is_valid(coalesce(own.schema, other.schema), coalesce(w.fields, '{}')), true)
GROUP BY w.name ORDER BY w.name;

INSERT INTO import_notes
SELECT format('%s contacts wait in the older queue; --pending enqueues them', count(DISTINCT p.email_id))
FROM import_pending_acoustic AS p JOIN import_emails AS e USING (email_id) HAVING count(*) > 0;
