-- ---------------------------------------------------------------------------
-- pg_dump saves the rows of an extension's tables only if they are registered here; each
-- sequence needs its own registration. Every row is data, also the default rows: a restore
-- brings back exactly the rows of the dump, and the script below adds nothing then.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._is_restoring() RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ctms__is_restoring';
COMMENT ON FUNCTION ctms._is_restoring() IS 'Whether this session restores a dump; then nothing is enqueued or validated, and no default rows are added';

DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind IN ('r', 'S')
        ORDER BY c.oid
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump(relation, '');
    END LOOP;
END
$$;

-- pg_restore -j loads rows in any order, but the foreign keys exist already: see
-- extension/base/restore_order.c.
CREATE FUNCTION ctms._restore_references() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__restore_references';
COMMENT ON FUNCTION ctms._restore_references() IS 'Statement trigger BEFORE INSERT: while a superuser restores a dump, rows may come before those that they refer to; the foreign keys are NOT VALID meanwhile';

CREATE FUNCTION ctms._restored_references() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__restored_references';
COMMENT ON FUNCTION ctms._restored_references() IS 'Statement trigger AFTER INSERT: while a superuser restores a dump, validates the foreign keys that waited for these rows';

-- Rows that refer to nothing do not make the restore of the others fail.
CREATE FUNCTION ctms._validate_references(relation regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key record;
    is_parent_there boolean;
BEGIN
    FOR key IN
        SELECT o.conname, o.conrelid::regclass AS child, o.confrelid::regclass AS parent
        FROM pg_constraint o
        WHERE o.contype = 'f' AND NOT o.convalidated AND o.connamespace = 'ctms'::regnamespace
          AND EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND NOT k.convalidated
              AND k.conrelid = o.conrelid AND k.confrelid = relation)
        ORDER BY o.conrelid, o.conname
    LOOP
        -- The rows of another parent may be on their way.
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', key.parent) INTO is_parent_there;
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', key.child, key.conname);
        EXCEPTION WHEN foreign_key_violation THEN
            IF is_parent_there THEN
                RAISE WARNING USING
                    MESSAGE = format('foreign key "%s" of table "%s" is not valid', key.conname, key.child),
                    DETAIL = format('Some rows refer to rows that are not in table "%s".', key.parent),
                    HINT = format('Delete the former or restore the latter, then use ALTER TABLE %s VALIDATE CONSTRAINT %I.', key.child, key.conname);
            END IF;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ctms._validate_references(regclass) IS 'Validates the foreign keys of tables that were restored before this one, where they hold';

DO $$
DECLARE
    relation regclass;
    name text;
BEGIN
    FOR relation, name IN
        SELECT c.oid, c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'ctms'::regnamespace
          AND EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f')
        ORDER BY c.oid
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE INSERT ON %s FOR EACH STATEMENT '
            'EXECUTE FUNCTION ctms._restore_references()', 'ctms_' || name || '_restores', relation);
    END LOOP;
    FOR relation, name IN
        SELECT c.oid, c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'ctms'::regnamespace
          AND EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.confrelid = c.oid AND f.contype = 'f')
        ORDER BY c.oid
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER %I AFTER INSERT ON %s FOR EACH STATEMENT '
            'EXECUTE FUNCTION ctms._restored_references()', 'ctms_' || name || '_restored', relation);
    END LOOP;
END
$$;

CREATE FUNCTION ctms.install_defaults() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO ctms.acoustic_field (tablename, field)
    SELECT 'main', field FROM unnest(string_to_array(
        'sfdc_id email amo_add_on_ids amo_display_name amo_email_opt_in amo_language amo_last_login '
        'amo_location amo_profile_url amo_user amo_user_id amo_username create_timestamp email_format '
        'email_id email_lang vpn_waitlist_geo vpn_waitlist_platform relay_waitlist_geo fxa_id '
        'fxa_account_deleted fxa_lang fxa_login_date fxa_first_service fxa_created_date '
        'fxa_primary_email double_opt_in has_opted_out_of_email mailing_country first_name last_name '
        'sumo_contributor sumo_user sumo_username basket_token unsubscribe_reason', ' ')) AS field
    UNION ALL
    SELECT 'waitlist', field FROM unnest(ARRAY['geo', 'platform']) AS field
    ON CONFLICT DO NOTHING;

    INSERT INTO ctms.acoustic_newsletter_mapping (source, destination)
    VALUES
        ('about-mozilla', 'sub_about_mozilla'),
        ('app-dev', 'sub_apps_and_hacks'),
        ('common-voice', 'sub_common_voice'),
        ('firefox-accounts-journey', 'sub_firefox_accounts_journey'),
        ('firefox-news', 'sub_firefox_news'),
        ('firefox-sweepstakes', 'sub_firefox_sweepstakes'),
        ('hubs', 'sub_hubs'),
        ('internet-health-report', 'sub_internet_health_report'),
        ('knowledge-is-power', 'sub_knowledge_is_power'),
        ('miti', 'sub_miti'),
        ('mixed-reality', 'sub_mixed_reality'),
        ('mozilla-and-you', 'sub_firefox_news'),
        ('mozilla-fellowship-awardee-alumni', 'sub_mozilla_fellowship_awardee_alumni'),
        ('mozilla-festival', 'sub_mozilla_festival'),
        ('mozilla-foundation', 'sub_mozilla_foundation'),
        ('mozilla-rally', 'sub_rally'),
        ('mozilla-technology', 'sub_mozilla_technology'),
        ('mozillians-nda', 'sub_mozillians_nda'),
        ('security-privacy-news', 'sub_security_privacy_news'),
        ('take-action-for-the-internet', 'sub_take_action_for_the_internet'),
        ('test-pilot', 'sub_test_pilot')
    ON CONFLICT DO NOTHING;

    PERFORM ctms.install_default_waitlist_schemas();
END
$$;
COMMENT ON FUNCTION ctms.install_defaults() IS 'Adds the missing rows of a new installation: synced fields, newsletter mapping, waitlist schemas. For use after a schema-only restore';

REVOKE ALL ON FUNCTION ctms._is_restoring(), ctms._restore_references(), ctms._restored_references(),
    ctms._validate_references(regclass) FROM PUBLIC;
REVOKE ALL ON FUNCTION ctms.install_defaults() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.install_defaults() TO ctms_admin;

DO $$
BEGIN
    IF NOT ctms._is_restoring() THEN
        PERFORM ctms.install_defaults();
    END IF;
END
$$;
