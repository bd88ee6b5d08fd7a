-- What `ctms import` refuses, and what it stores but mentions. Comes after rules.sql.

-- Rows without the one that they belong to.
DO $$
DECLARE
    t record;
    found bigint;
    examples text;
BEGIN
    FOR t IN SELECT name FROM (VALUES ('newsletters'), ('waitlists'), ('fxa'), ('amo'), ('mofo')) AS t (name) LOOP
        EXECUTE format('SELECT count(*), string_agg(DISTINCT s.email_id::text, '', '') FILTER (WHERE s.number <= 5) '
            'FROM (SELECT s.email_id, row_number() OVER (ORDER BY s.email_id) AS number FROM import_%I AS s '
            'LEFT JOIN import_emails AS e USING (email_id) WHERE e.email_id IS NULL) AS s', t.name)
            INTO found, examples;
        INSERT INTO import_problems SELECT format('%s rows of "%s" belong to no contact: email_id %s', found, t.name,
            coalesce(examples, 'null')) WHERE found > 0;
    END LOOP;
    FOR t IN SELECT * FROM (VALUES
        ('stripe_subscription_item', 'stripe_subscription_id', 'stripe_subscription'),
        ('stripe_subscription_item', 'stripe_price_id', 'stripe_price'),
        ('stripe_invoice_line_item', 'stripe_invoice_id', 'stripe_invoice'),
        ('stripe_invoice_line_item', 'stripe_price_id', 'stripe_price')) AS t (name, reference, parent) LOOP
        EXECUTE format('SELECT count(*), string_agg(s.stripe_id, '', '') FILTER (WHERE s.number <= 5) '
            'FROM (SELECT s.stripe_id, row_number() OVER (ORDER BY s.stripe_id) AS number FROM import_%1$I AS s '
            'LEFT JOIN import_%3$I AS p ON p.stripe_id = s.%2$I LEFT JOIN ctms.%3$I AS t ON t.stripe_id = s.%2$I '
            'WHERE s.%2$I IS NOT NULL AND p.stripe_id IS NULL AND t.stripe_id IS NULL) AS s', t.name, t.reference, t.parent)
            INTO found, examples;
        INSERT INTO import_problems SELECT format('%s rows of "%s" refer by "%s" to a row that does not exist: stripe_id %s', found, t.name,
            t.reference, examples) WHERE found > 0;
    END LOOP;
END
$$;

INSERT INTO import_problems
SELECT format('%s contacts have no address: email_id %s', count(*), string_agg(email_id::text, ', ') FILTER (WHERE number <= 5))
FROM (SELECT email_id, row_number() OVER (ORDER BY email_id) AS number FROM import_emails WHERE primary_email IS NULL) AS s
HAVING count(*) > 0;

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
