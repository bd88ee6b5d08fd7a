-- How agents share the requests in flight.
CREATE FUNCTION pg_temp.slots() RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(agent || ' ' || slots, ', ' ORDER BY agent) FROM ctms.acoustic_agent $$;

-- One alone gets all that it wants.
SELECT ctms.share_acoustic('a', 1, 0, 10, '1 hour'), ctms.share_acoustic('a', 10, 0, 10, '1 hour'), ctms.share_acoustic('a', 50, 0, 10, '1 hour');

-- A second one waits until the first gives back, and has what is in flight counted.
SELECT ctms.share_acoustic('b', 10, 0, 10, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('a', 10, 8, 10, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('b', 10, 0, 10, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('a', 10, 5, 10, '1 hour'), ctms.share_acoustic('b', 10, 2, 10, '1 hour'), pg_temp.slots();

-- What the modest leave goes to the others; three share ten as 4, 3, 3.
SELECT ctms.share_acoustic('a', 1, 0, 10, '1 hour'), ctms.share_acoustic('b', 10, 5, 10, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('c', 10, 0, 10, '1 hour'), ctms.share_acoustic('b', 10, 0, 10, '1 hour'),
       ctms.share_acoustic('c', 10, 0, 10, '1 hour'), ctms.share_acoustic('a', 10, 0, 10, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('b', 10, 0, 10, '1 hour'), ctms.share_acoustic('c', 10, 0, 10, '1 hour'),
       ctms.share_acoustic('a', 10, 0, 10, '1 hour'), pg_temp.slots();

-- Signing off, and leases that end.
SELECT ctms.share_acoustic('a', 0, 0, 10, '1 hour'), pg_temp.slots();
UPDATE ctms.acoustic_agent SET lease_until = now() WHERE agent = 'b';
SELECT ctms.share_acoustic('c', 10, 0, 10, '1 hour'), pg_temp.slots();

-- An agent that leaves while its requests may still be at work keeps their slots until they are over.
SELECT ctms.share_acoustic('c', 0, 3, 10, '1 hour'), ctms.share_acoustic('d', 10, 0, 10, '1 hour'), pg_temp.slots();
UPDATE ctms.acoustic_agent SET lease_until = now() WHERE agent = 'c';
SELECT ctms.share_acoustic('d', 10, 0, 10, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('d', 0, 0, 10, '1 hour'), pg_temp.slots();

-- More agents than requests.
SELECT ctms.share_acoustic('c', 1, 0, 1, '1 hour'), ctms.share_acoustic('d', 1, 0, 1, '1 hour'), pg_temp.slots();
SELECT ctms.share_acoustic('d', 9, 0, 1, '1 hour'), ctms.share_acoustic('c', 1, 0, 1, '1 hour'),
       ctms.share_acoustic('d', 9, 0, 1, '1 hour'), pg_temp.slots();

-- How many contacts a second they send: the sum of those whose lease has not ended.
SELECT ctms.acoustic_rate() IS NULL AS "not known";
SELECT ctms.share_acoustic('c', 1, 0, 1, '1 hour', 12.5), ctms.share_acoustic('d', 9, 0, 1, '1 hour', 80);
SELECT ctms.acoustic_rate();
SELECT ctms.share_acoustic('c', 1, 0, 1, '1 hour');
SELECT ctms.acoustic_rate();
UPDATE ctms.acoustic_agent SET lease_until = now() WHERE agent = 'd';
SELECT ctms.acoustic_rate() IS NULL AS "not known";
-- Nobody divides by next to nothing.
SELECT ctms.share_acoustic('c', 1, 0, 1, '1 hour', 1e-300);
SELECT ctms.acoustic_rate() IS NULL AS "not known";
SELECT ctms.share_acoustic('c', 1, 0, 1, '1 hour', 0.001);
SELECT ctms.acoustic_rate();
UPDATE ctms.acoustic_agent SET contacts_per_second = 0;

-- Nonsense.
\set VERBOSITY sqlstate
SELECT ctms.share_acoustic('', 1, 0, 1, '1 hour');
SELECT ctms.share_acoustic('a', -1, 0, 1, '1 hour');
SELECT ctms.share_acoustic('a', 1, 0, 0, '1 hour');
SELECT ctms.share_acoustic('a', 1, 0, 1, '0');
SELECT ctms.share_acoustic('a', 1, 0, 1, '1 hour', -1);
SELECT ctms.share_acoustic('a', 1, 0, 1, '1 hour', 'NaN');
SELECT ctms.share_acoustic('a', 1, 0, 1, '1 hour', 'Infinity');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT ctms.share_acoustic('a', 1, 0, 1, '1 hour');
ROLLBACK;
SELECT ctms.share_acoustic(NULL, 1, 0, 1, '1 hour') IS NULL AS "null";
\set VERBOSITY default

-- Who may.
BEGIN;
SET LOCAL ROLE ctms_agent;
SELECT ctms.share_acoustic('e', 1, 1, 10, '1 hour');
SELECT * FROM ctms.acoustic_agent;
ROLLBACK;
DELETE FROM ctms.acoustic_agent;
