-- One contact changes, as a PATCH does it: its update_timestamp moves.
\set n random(1, :contacts)
\set word random(1, 1000000000)
UPDATE ctms.emails SET first_name = :word, update_timestamp = clock_timestamp() WHERE email_id = ('00000000-0000-4000-8000-' || lpad(:n::text, 12, '0'))::uuid;
