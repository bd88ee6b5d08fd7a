-- What somebody has added to tables of the extension, or taken from them. Dumps leave it out.
-- doctor/parts.c runs it; the list is that of a new extension, which 417_cli_doctor.pl looks after.
-- Triggers of ours are in triggers.sql.
WITH expected (relation, kind, names) AS (VALUES
    ('_queue_flush', 'column', 'is_only_row'),
    ('_queue_flush', 'constraint', '_queue_flush_is_only_row_check'),
    ('_queue_flush', 'index', '_queue_flush_pkey'),
    ('acoustic_agent', 'column', 'agent slots wanted lease_until contacts_per_second'),
    ('acoustic_agent', 'index', 'acoustic_agent_pkey'),
    ('acoustic_agent', 'parameter', 'autovacuum_vacuum_threshold=1000 fillfactor=50'),
    ('acoustic_bulk_file', 'column', 'run_id kind attempt name state row_count bytes job_id refused results_file '
        'error_file error create_timestamp update_timestamp'),
    ('acoustic_bulk_file', 'constraint', 'acoustic_bulk_file_kind_check acoustic_bulk_file_run_id_fkey '
        'acoustic_bulk_file_state_check'),
    ('acoustic_bulk_file', 'index', 'acoustic_bulk_file_pkey'),
    ('acoustic_bulk_file', 'parameter', 'autovacuum_vacuum_threshold=1000 fillfactor=50'),
    ('acoustic_bulk_run', 'column', 'run_id state attempt runner lease_until hold_until generation first_email_id '
        'last_email_id contacts sent refused changed returned is_given_up is_canceled error settled_email_id '
        'create_timestamp update_timestamp end_timestamp'),
    ('acoustic_bulk_run', 'constraint', 'acoustic_bulk_run_check acoustic_bulk_run_state_check'),
    ('acoustic_bulk_run', 'index', 'acoustic_bulk_run_open_idx acoustic_bulk_run_pkey'),
    ('acoustic_bulk_run', 'parameter', 'autovacuum_vacuum_threshold=1000 fillfactor=50'),
    ('acoustic_deleted_contact', 'column', 'email_id is_to_send retry last_error generation retry_after lease_until '
        'lease_owner lease_generation create_timestamp update_timestamp'),
    ('acoustic_deleted_contact', 'index', 'acoustic_deleted_contact_claim_idx acoustic_deleted_contact_pkey'),
    ('acoustic_deleted_contact', 'parameter', 'autovacuum_vacuum_cost_delay=0 autovacuum_vacuum_scale_factor=0.02 '
        'autovacuum_vacuum_threshold=1000 fillfactor=50'),
    ('acoustic_deleted_row', 'column', 'email_id kind name create_timestamp update_timestamp'),
    ('acoustic_deleted_row', 'index', 'acoustic_deleted_row_pkey'),
    ('acoustic_field', 'column', 'tablename field'),
    ('acoustic_field', 'index', 'acoustic_field_pkey'),
    ('acoustic_history', 'column', 'id email_id outcome error create_timestamp'),
    ('acoustic_history', 'index', 'acoustic_history_contact_idx acoustic_history_pkey'),
    ('acoustic_history', 'parameter', 'autovacuum_vacuum_insert_scale_factor=0.1 '
        'autovacuum_vacuum_scale_factor=0.05'),
    ('acoustic_newsletter_mapping', 'column', 'source destination'),
    ('acoustic_newsletter_mapping', 'index', 'acoustic_newsletter_mapping_pkey'),
    ('acoustic_sent', 'column', 'email_id hashes create_timestamp update_timestamp'),
    ('acoustic_sent', 'index', 'acoustic_sent_pkey'),
    ('acoustic_sent', 'parameter', 'fillfactor=80'),
    ('amo', 'column', 'id email_id add_on_ids display_name email_opt_in language last_login location profile_url '
        'user user_id username create_timestamp update_timestamp'),
    ('amo', 'constraint', 'amo_email_id_fkey'),
    ('amo', 'index', 'amo_pkey amo_user_id_idx'),
    ('api_client', 'column', 'client_id email enabled hashed_secret scopes last_access create_timestamp '
        'update_timestamp'),
    ('api_client', 'constraint', 'api_client_scopes_check'),
    ('api_client', 'index', 'api_client_pkey'),
    ('emails', 'column', 'email_id primary_email basket_token sfdc_id first_name last_name mailing_country '
        'email_format email_lang double_opt_in has_opted_out_of_email unsubscribe_reason '
        'create_timestamp update_timestamp'),
    ('emails', 'index', 'emails_basket_token_key emails_pkey emails_primary_email_lower_key emails_sfdc_id_idx '
        'emails_update_timestamp_idx'),
    ('fxa', 'column', 'id fxa_id email_id primary_email created_date lang first_service account_deleted '
        'create_timestamp update_timestamp'),
    ('fxa', 'constraint', 'fxa_email_id_fkey'),
    ('fxa', 'index', 'fxa_fxa_id_key fxa_pkey fxa_primary_email_idx fxa_primary_email_lower_idx'),
    ('json_schema_document', 'column', 'uri schema'),
    ('json_schema_document', 'constraint', 'json_schema_document_schema_check json_schema_document_uri_check'),
    ('json_schema_document', 'index', 'json_schema_document_pkey'),
    ('mofo', 'column', 'id email_id mofo_email_id mofo_contact_id mofo_relevant create_timestamp update_timestamp'),
    ('mofo', 'constraint', 'mofo_email_id_fkey'),
    ('mofo', 'index', 'mofo_contact_id_idx mofo_mofo_email_id_key mofo_pkey'),
    ('newsletters', 'column', 'id email_id name subscribed format lang source unsub_reason create_timestamp '
        'update_timestamp'),
    ('newsletters', 'constraint', 'newsletters_email_id_fkey'),
    ('newsletters', 'index', 'newsletters_pkey'),
    ('pending_acoustic', 'column', 'email_id retry last_error generation retry_after lease_until lease_owner '
        'create_timestamp update_timestamp is_tried is_bulk'),
    ('pending_acoustic', 'constraint', 'pending_acoustic_email_id_fkey'),
    ('pending_acoustic', 'index', 'pending_acoustic_claim_idx pending_acoustic_pkey'),
    ('pending_acoustic', 'parameter', 'autovacuum_analyze_scale_factor=0.1 autovacuum_analyze_threshold=1000 '
        'autovacuum_vacuum_cost_delay=0 autovacuum_vacuum_scale_factor=0.02 '
        'autovacuum_vacuum_threshold=1000 fillfactor=50'),
    ('settings', 'column', 'name value create_timestamp update_timestamp'),
    ('settings', 'index', 'settings_pkey'),
    ('stripe_customer', 'column', 'stripe_id fxa_id default_source_id invoice_settings_default_payment_method_id '
        'stripe_created deleted message_timestamp deletion_timestamp create_timestamp '
        'update_timestamp'),
    ('stripe_customer', 'index', 'stripe_customer_fxa_id_key stripe_customer_pkey'),
    ('stripe_invoice', 'column', 'stripe_id stripe_customer_id default_payment_method_id default_source_id '
        'stripe_created currency total status deleted message_timestamp deletion_timestamp list_timestamp '
        'create_timestamp update_timestamp'),
    ('stripe_invoice', 'index', 'stripe_invoice_customer_idx stripe_invoice_pkey'),
    ('stripe_invoice_line_item', 'column', 'stripe_id stripe_invoice_id stripe_type stripe_price_id '
        'stripe_invoice_item_id stripe_subscription_id '
        'stripe_subscription_item_id amount currency message_timestamp '
        'create_timestamp update_timestamp'),
    ('stripe_invoice_line_item', 'constraint', 'stripe_invoice_line_item_stripe_invoice_id_fkey '
        'stripe_invoice_line_item_stripe_price_id_fkey'),
    ('stripe_invoice_line_item', 'index', 'stripe_invoice_line_item_invoice_idx stripe_invoice_line_item_pkey '
        'stripe_invoice_line_item_price_idx'),
    ('stripe_price', 'column', 'stripe_id stripe_product_id stripe_created active currency recurring_interval '
        'recurring_interval_count unit_amount message_timestamp create_timestamp '
        'update_timestamp'),
    ('stripe_price', 'index', 'stripe_price_pkey'),
    ('stripe_refused', 'column', 'id message_id message_timestamp object code reason attempts customer_id fxa_id '
        'is_message digest content create_timestamp update_timestamp'),
    ('stripe_refused', 'index', 'stripe_refused_age_idx stripe_refused_customer_idx stripe_refused_fxa_idx '
        'stripe_refused_message_id_digest_key stripe_refused_pkey'),
    ('stripe_refused', 'parameter', 'toast_tuple_target=128'),
    ('stripe_subscription', 'column', 'stripe_id stripe_customer_id default_payment_method_id default_source_id '
        'stripe_created cancel_at_period_end canceled_at current_period_end '
        'current_period_start ended_at start_date status message_timestamp '
        'list_timestamp create_timestamp update_timestamp'),
    ('stripe_subscription', 'index', 'stripe_subscription_customer_idx stripe_subscription_pkey'),
    ('stripe_subscription_item', 'column', 'stripe_id stripe_subscription_id stripe_price_id stripe_created '
        'deleted message_timestamp deletion_timestamp create_timestamp update_timestamp'),
    ('stripe_subscription_item', 'constraint', 'stripe_subscription_item_stripe_price_id_fkey '
        'stripe_subscription_item_stripe_subscription_id_fkey'),
    ('stripe_subscription_item', 'index', 'stripe_subscription_item_pkey stripe_subscription_item_price_idx '
        'stripe_subscription_item_subscription_idx'),
    ('stripe_unresolved', 'column', 'kind key create_timestamp update_timestamp is_bulk'),
    ('stripe_unresolved', 'index', 'stripe_unresolved_pkey'),
    ('waitlist_fields_schemas', 'column', 'name schema create_timestamp update_timestamp'),
    ('waitlist_fields_schemas', 'index', 'waitlist_fields_schemas_pkey'),
    ('waitlists', 'column', 'id email_id name source subscribed unsub_reason fields create_timestamp '
        'update_timestamp'),
    ('waitlists', 'constraint', 'waitlists_email_id_fkey'),
    ('waitlists', 'index', 'waitlists_pkey')
), own (oid, relation, options, is_secured, is_forced) AS (
    SELECT c.oid, c.relname, c.reloptions, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_extension e
    JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
    JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    WHERE e.extname = 'ctms' AND c.relkind = 'r'
), actual (relation, kind, name) AS (
    SELECT o.relation, 'column', a.attname::text
    FROM own o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT o.relation, 'index', c.relname
    FROM own o JOIN pg_index i ON i.indrelid = o.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    SELECT o.relation, 'constraint', k.conname
    FROM own o JOIN pg_constraint k ON k.conrelid = o.oid AND k.contype IN ('c', 'f')
    UNION ALL
    SELECT o.relation, 'parameter', parameter FROM own o, unnest(o.options) AS parameter
    UNION ALL
    SELECT o.relation, 'trigger', t.tgname
    FROM own o JOIN pg_trigger t ON t.tgrelid = o.oid AND NOT t.tgisinternal AND NOT starts_with(t.tgname::text, 'ctms_')
    UNION ALL
    SELECT o.relation, 'rule', r.rulename FROM own o JOIN pg_rewrite r ON r.ev_class = o.oid
    UNION ALL
    SELECT o.relation, 'policy', p.polname FROM own o JOIN pg_policy p ON p.polrelid = o.oid
    UNION ALL
    SELECT o.relation, 'row security', CASE WHEN o.is_forced THEN 'forced' ELSE 'enabled' END
    FROM own o WHERE o.is_secured OR o.is_forced
    UNION ALL
    SELECT o.relation, 'statistics', s.stxname FROM own o JOIN pg_statistic_ext s ON s.stxrelid = o.oid
    UNION ALL
    SELECT o.relation, 'parent', i.inhparent::regclass::text FROM own o JOIN pg_inherits i ON i.inhrelid = o.oid
    UNION ALL
    SELECT CASE WHEN count(*) = 1 THEN min(o.relation::text) ELSE count(*) || ' tables' END, 'publication', p.pubname
    FROM own o JOIN pg_publication_rel r ON r.prrelid = o.oid JOIN pg_publication p ON p.oid = r.prpubid
    WHERE current_setting('server_version_num')::integer < 180000 -- newer dumps have them
    GROUP BY p.pubname
), split (relation, kind, name) AS (
    SELECT relation, kind, name FROM expected, unnest(string_to_array(names, ' ')) AS name
)
-- A generated column does not keep the rows from being restored.
SELECT a.name IS NOT NULL AS is_there,
    a.kind = 'column' AND a.name IS NOT NULL AND NOT EXISTS (
        SELECT FROM own o JOIN pg_attribute g ON g.attrelid = o.oid
        WHERE o.relation = a.relation AND g.attname::text = a.name AND g.attgenerated <> '') AS loses_rows,
    coalesce(a.relation, e.relation) AS relation, coalesce(a.kind, e.kind) AS kind,
    coalesce(a.name, e.name) AS name
FROM split e FULL JOIN actual a ON a.relation = e.relation AND a.kind = e.kind AND a.name = e.name
WHERE a.name IS NULL OR e.name IS NULL
ORDER BY 1 DESC, 2 DESC, a.kind = 'publication', 3, 4, 5
