-- Triggers that the extension makes and that are not there, or do not fire when they should.
-- doctor/objects.c runs it; the list is that of a new extension, which 417_cli_doctor.pl looks after.
WITH expected (relation, name, enabled) AS (VALUES
    ('_queue_flush', 'ctms_queue_flush', 'A'),
    ('_queue_flush', 'ctms_queue_flush_keep', 'A'),
    ('_queue_flush', 'ctms_queue_flush_truncated', 'A'),
    ('acoustic_bulk_file', 'ctms_acoustic_bulk_file_restores', 'O'),
    ('acoustic_bulk_file', 'ctms_acoustic_bulk_file_update_timestamp', 'O'),
    ('acoustic_bulk_run', 'ctms_acoustic_bulk_run_restored', 'O'),
    ('acoustic_bulk_run', 'ctms_acoustic_bulk_run_update_timestamp', 'O'),
    ('acoustic_deleted_contact', 'ctms_acoustic_deleted_contact_update_timestamp', 'O'),
    ('acoustic_deleted_row', 'ctms_acoustic_deleted_row_update_timestamp', 'O'),
    ('acoustic_sent', 'ctms_acoustic_sent_update_timestamp', 'O'),
    ('amo', 'ctms_amo_enqueue', 'O'),
    ('amo', 'ctms_amo_enqueue_all', 'O'),
    ('amo', 'ctms_amo_restores', 'O'),
    ('amo', 'ctms_amo_update_timestamp', 'O'),
    ('amo', 'ctms_amo_updated', 'O'),
    ('api_client', 'ctms_api_client_notifies', 'A'),
    ('api_client', 'ctms_api_client_notifies_change', 'A'),
    ('api_client', 'ctms_api_client_notifies_truncate', 'A'),
    ('api_client', 'ctms_api_client_update_timestamp', 'O'),
    ('emails', 'ctms_emails_deleted', 'O'),
    ('emails', 'ctms_emails_enqueue', 'O'),
    ('emails', 'ctms_emails_keeps_id', 'O'),
    ('emails', 'ctms_emails_no_truncate', 'O'),
    ('emails', 'ctms_emails_restored', 'O'),
    ('emails', 'ctms_emails_update_timestamp', 'O'),
    ('emails', 'ctms_emails_updated', 'O'),
    ('fxa', 'ctms_fxa_enqueue', 'O'),
    ('fxa', 'ctms_fxa_enqueue_all', 'O'),
    ('fxa', 'ctms_fxa_restores', 'O'),
    ('fxa', 'ctms_fxa_update_timestamp', 'O'),
    ('fxa', 'ctms_fxa_updated', 'O'),
    ('json_schema_document', 'ctms_json_schema_document_check', 'O'),
    ('json_schema_document', 'ctms_json_schema_document_invalidate', 'A'),
    ('json_schema_document', 'ctms_json_schema_document_invalidate_all', 'A'),
    ('json_schema_document', 'ctms_json_schema_document_waitlists', 'O'),
    ('mofo', 'ctms_mofo_enqueue', 'O'),
    ('mofo', 'ctms_mofo_enqueue_all', 'O'),
    ('mofo', 'ctms_mofo_restores', 'O'),
    ('mofo', 'ctms_mofo_update_timestamp', 'O'),
    ('mofo', 'ctms_mofo_updated', 'O'),
    ('newsletters', 'ctms_newsletters_deleted', 'O'),
    ('newsletters', 'ctms_newsletters_enqueue', 'O'),
    ('newsletters', 'ctms_newsletters_enqueue_all', 'O'),
    ('newsletters', 'ctms_newsletters_no_truncate', 'O'),
    ('newsletters', 'ctms_newsletters_renamed', 'O'),
    ('newsletters', 'ctms_newsletters_restores', 'O'),
    ('newsletters', 'ctms_newsletters_update_timestamp', 'O'),
    ('newsletters', 'ctms_newsletters_updated', 'O'),
    ('pending_acoustic', 'ctms_pending_acoustic_restores', 'O'),
    ('pending_acoustic', 'ctms_pending_acoustic_update_timestamp', 'O'),
    ('settings', 'ctms_settings_check', 'O'),
    ('settings', 'ctms_settings_invalidate', 'A'),
    ('settings', 'ctms_settings_invalidate_all', 'A'),
    ('settings', 'ctms_settings_update_timestamp', 'O'),
    ('stripe_customer', 'ctms_stripe_customer_enqueue', 'O'),
    ('stripe_customer', 'ctms_stripe_customer_enqueue_all', 'O'),
    ('stripe_customer', 'ctms_stripe_customer_update_timestamp', 'O'),
    ('stripe_customer', 'ctms_stripe_customer_updated', 'O'),
    ('stripe_invoice', 'ctms_stripe_invoice_enqueue', 'O'),
    ('stripe_invoice', 'ctms_stripe_invoice_enqueue_all', 'O'),
    ('stripe_invoice', 'ctms_stripe_invoice_restored', 'O'),
    ('stripe_invoice', 'ctms_stripe_invoice_update_timestamp', 'O'),
    ('stripe_invoice', 'ctms_stripe_invoice_updated', 'O'),
    ('stripe_invoice_line_item', 'ctms_stripe_invoice_line_item_enqueue', 'O'),
    ('stripe_invoice_line_item', 'ctms_stripe_invoice_line_item_enqueue_all', 'O'),
    ('stripe_invoice_line_item', 'ctms_stripe_invoice_line_item_restores', 'O'),
    ('stripe_invoice_line_item', 'ctms_stripe_invoice_line_item_update_timestamp', 'O'),
    ('stripe_invoice_line_item', 'ctms_stripe_invoice_line_item_updated', 'O'),
    ('stripe_price', 'ctms_stripe_price_enqueue_all', 'O'),
    ('stripe_price', 'ctms_stripe_price_restored', 'O'),
    ('stripe_price', 'ctms_stripe_price_update_timestamp', 'O'),
    ('stripe_price', 'ctms_stripe_price_updated', 'O'),
    ('stripe_refused', 'ctms_stripe_refused_update_timestamp', 'O'),
    ('stripe_subscription', 'ctms_stripe_subscription_enqueue', 'O'),
    ('stripe_subscription', 'ctms_stripe_subscription_enqueue_all', 'O'),
    ('stripe_subscription', 'ctms_stripe_subscription_restored', 'O'),
    ('stripe_subscription', 'ctms_stripe_subscription_update_timestamp', 'O'),
    ('stripe_subscription', 'ctms_stripe_subscription_updated', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_deleted', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_enqueue', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_enqueue_all', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_moved', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_no_truncate', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_restores', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_update_timestamp', 'O'),
    ('stripe_subscription_item', 'ctms_stripe_subscription_item_updated', 'O'),
    ('stripe_unresolved', 'ctms_stripe_unresolved_update_timestamp', 'O'),
    ('waitlist_fields_schemas', 'ctms_waitlist_fields_schemas_check', 'O'),
    ('waitlist_fields_schemas', 'ctms_waitlist_fields_schemas_invalidate', 'A'),
    ('waitlist_fields_schemas', 'ctms_waitlist_fields_schemas_invalidate_all', 'A'),
    ('waitlist_fields_schemas', 'ctms_waitlist_fields_schemas_lock', 'O'),
    ('waitlist_fields_schemas', 'ctms_waitlist_fields_schemas_update_timestamp', 'O'),
    ('waitlists', 'ctms_waitlists_check_fields', 'O'),
    ('waitlists', 'ctms_waitlists_deleted', 'O'),
    ('waitlists', 'ctms_waitlists_enqueue', 'O'),
    ('waitlists', 'ctms_waitlists_enqueue_all', 'O'),
    ('waitlists', 'ctms_waitlists_no_truncate', 'O'),
    ('waitlists', 'ctms_waitlists_renamed', 'O'),
    ('waitlists', 'ctms_waitlists_restores', 'O'),
    ('waitlists', 'ctms_waitlists_update_timestamp', 'O'),
    ('waitlists', 'ctms_waitlists_updated', 'O')
), actual (relation, name, enabled, is_internal) AS (
    SELECT c.relname, t.tgname, t.tgenabled, t.tgisinternal
    FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_trigger t ON t.tgrelid = c.oid
    WHERE n.nspname = 'ctms'
), whole (relation, statements) AS (
    -- The names of triggers of foreign keys are not the same in all databases, so they are enabled
    -- together. That takes the others of their table out of their mode.
    SELECT a.relation, concat_ws('; ', format('ALTER TABLE ctms.%I ENABLE TRIGGER ALL', a.relation),
        (SELECT string_agg(format('ALTER TABLE ctms.%I ENABLE ALWAYS TRIGGER %I', e.relation, e.name),
                '; ' ORDER BY e.name)
            FROM expected e JOIN actual o ON o.relation = e.relation AND o.name = e.name
            WHERE e.relation = a.relation AND e.enabled = 'A'))
    FROM actual a WHERE a.is_internal AND a.enabled = 'D' GROUP BY a.relation
)
-- relation is empty for an event trigger; the last column is null for what is missing.
SELECT e.relation, e.name, CASE
        WHEN a.name IS NULL THEN 'missing'
        WHEN a.enabled = 'D' THEN 'disabled'
        ELSE 'not in its mode' END,
    CASE WHEN a.name IS NOT NULL THEN coalesce(w.statements, format('ALTER TABLE ctms.%I %s TRIGGER %I',
        e.relation, CASE e.enabled WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END, e.name)) END
FROM expected e LEFT JOIN actual a ON a.relation = e.relation AND a.name = e.name
LEFT JOIN whole w ON w.relation = e.relation
WHERE a.name IS NULL OR a.enabled::text <> e.enabled
UNION ALL
SELECT a.relation, a.name, 'disabled', w.statements
FROM actual a JOIN whole w ON w.relation = a.relation WHERE a.is_internal AND a.enabled = 'D'
UNION ALL
SELECT '', e.name, CASE
        WHEN g.oid IS NULL THEN 'missing'
        WHEN g.evtenabled = 'D' THEN 'disabled'
        ELSE 'not in its mode' END,
    CASE WHEN g.oid IS NOT NULL THEN format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', e.name) END
FROM (VALUES ('ctms_guard_drop'), ('ctms_warn_of_changes')) AS e (name) LEFT JOIN pg_event_trigger g ON g.evtname = e.name
WHERE g.oid IS NULL OR g.evtenabled <> 'A'
ORDER BY 1, 4, 3, 2
