-- ctms 1.0: contacts, waitlists, Stripe subscriptions and the Acoustic queue.
-- Assembled from extension/sql/*.sql by `make ctms--1.0.sql`; edit the parts.
\echo Use "CREATE EXTENSION ctms" to load this file. \quit

-- Roles belong to the cluster, not to the database: they may be there already.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ctms_api', 'ctms_agent', 'ctms_admin', 'ctms_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END
$$;

COMMENT ON SCHEMA ctms IS 'Contact management: everything of the extension ctms lives here';
GRANT USAGE ON SCHEMA ctms TO ctms_api, ctms_agent, ctms_admin, ctms_reader;
