-- Contacts whose addresses differ in case only: one in 500 has a twin that is older or newer, one
-- in 1000 two of them. psql variables: contacts.
INSERT INTO emails (email_id, primary_email, basket_token, sfdc_id, first_name, create_timestamp, update_timestamp)
SELECT contact(n, 'twin' || k), CASE k WHEN 1 THEN upper(e.primary_email) ELSE initcap(e.primary_email) || '' END, contact(n, 'twin token' || k), 'twin' || k || n, 'Twin',
       e.create_timestamp, e.update_timestamp + (CASE WHEN n % 3 = 0 THEN 1 ELSE -1 END) * k * interval '1 hour'
FROM generate_series(501, :contacts, 500) AS n JOIN emails AS e ON e.email_id = contact(n), generate_series(1, 2) AS k
WHERE k = 1 OR n % 1000 = 1;
INSERT INTO newsletters (email_id, name, subscribed, create_timestamp, update_timestamp)
SELECT contact(n, 'twin' || k), w.name, k = 1, moment(n), moment(n)
FROM generate_series(501, :contacts, 500) AS n, generate_series(1, 2) AS k, (VALUES ('hubs'), ('twins-only'), ('app-dev'), ('mozilla-and-you')) AS w (name)
WHERE k = 1 OR n % 1000 = 1;
INSERT INTO fxa (email_id, fxa_id, create_timestamp, update_timestamp)
SELECT contact(n, 'twin1'), 'twin' || n, moment(n), moment(n) FROM generate_series(501, :contacts, 500) AS n;
INSERT INTO pending_acoustic (email_id, retry, update_timestamp) SELECT contact(n, 'twin1'), 0, moment(n) FROM generate_series(501, :contacts, 500) AS n;
