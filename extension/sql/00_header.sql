-- ctms 1.0: contacts, waitlists, Stripe subscriptions and the Acoustic queue.
-- Assembled from extension/sql/*.sql by `make ctms--1.0.sql`; edit the parts.
\echo Use "CREATE EXTENSION ctms" to load this file. \quit

-- Roles belong to the cluster, not to the database, so they may exist already.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ctms_api', 'ctms_agent', 'ctms_admin', 'ctms_reader', 'ctms_monitor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END
$$;

-- The owner of a schema could drop an object in it and put another one in its place.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
                   WHERE n.nspname = 'ctms' AND (r.rolsuper OR r.rolname = current_user)) THEN
        RAISE EXCEPTION 'schema "ctms" belongs to another role'
            USING ERRCODE = '42501', HINT = 'Drop the schema, or change its owner, first.';
    END IF;
END
$$;

COMMENT ON SCHEMA ctms IS 'Contact management: everything of the extension ctms lives here';
GRANT USAGE ON SCHEMA ctms TO ctms_api, ctms_agent, ctms_admin, ctms_reader, ctms_monitor;
