package CTMS::Data;

# A database with rows in every table and a queue in all its states, and what tests of dump,
# upgrade and replicas compare: all content, and all objects of the extension.
#
#   CTMS::Data::fill($ctms);
#   CTMS::Data::content($node, 'ctms')    # a line for each table and sequence
#   CTMS::Data::objects($node, 'ctms')    # a line for each property of each object
#   CTMS::Data::differences($one, $other) # of two of these: lines that only one of them has

use strict;
use warnings;

sub fill
{
    my ($ctms) = @_;
    $ctms->sql(q{
        INSERT INTO ctms.emails (email_id, primary_email, unsubscribe_reason,
            create_timestamp, update_timestamp)
        SELECT format('00000000-0000-4000-8000-0000%s', to_char(n, 'FM00000000'))::uuid,
            format('dump%s@example.com', n),
            E'tab\t backslash \\\\ newline\n quote '' é',
            timestamptz '2020-01-01Z' + n * interval '1 hour',
            timestamptz '2021-01-01Z' + n * interval '1 hour'
        FROM generate_series(1, 200) AS n;
        INSERT INTO ctms.newsletters (email_id, name, update_timestamp)
            SELECT email_id, 'news', '2021-02-03Z' FROM ctms.emails;
        INSERT INTO ctms.waitlists (email_id, name, fields, update_timestamp) SELECT email_id,
            'vpn', '{"geo": "fr", "platform": null}', '2021-02-03Z' FROM ctms.emails;
        INSERT INTO ctms.fxa (email_id, fxa_id, update_timestamp)
            SELECT email_id, 'fxa_' || primary_email, '2021-02-03Z' FROM ctms.emails;
        INSERT INTO ctms.amo (email_id, user_id, update_timestamp)
            SELECT email_id, 'amo', '2021-02-03Z' FROM ctms.emails;
        INSERT INTO ctms.mofo (email_id, mofo_relevant, update_timestamp)
            SELECT email_id, true, '2021-02-03Z' FROM ctms.emails;
        INSERT INTO ctms.stripe_customer (stripe_id, fxa_id, stripe_created, update_timestamp)
            SELECT 'cus_' || id, fxa_id, '2021-02-03Z', '2021-02-04Z' FROM ctms.fxa;
        INSERT INTO ctms.stripe_price (stripe_id, stripe_product_id, stripe_created, active,
            currency) VALUES ('price_1', 'prod_1', '2021-02-03Z', true, 'usd');
        INSERT INTO ctms.stripe_invoice (stripe_id, stripe_customer_id, stripe_created, currency,
            total, status) VALUES ('in_1', 'cus_1', '2021-02-03Z', 'usd', 5000000000, 'paid');
        INSERT INTO ctms.stripe_invoice_line_item (stripe_id, stripe_invoice_id,
            stripe_type, stripe_price_id, amount, currency)
            VALUES ('il_1', 'in_1', 'subscription', 'price_1', 5000000000, 'usd');
        INSERT INTO ctms.stripe_subscription (stripe_id, stripe_customer_id, stripe_created,
            cancel_at_period_end, current_period_end, current_period_start, start_date, status)
            VALUES ('sub_1', 'cus_1', '2021-02-03Z', false, '2021-03-03Z', '2021-02-03Z',
                '2021-02-03Z', 'active');
        INSERT INTO ctms.stripe_subscription_item (stripe_id, stripe_subscription_id,
            stripe_price_id, stripe_created) VALUES ('si_1', 'sub_1', 'price_1', '2021-02-03Z');
        INSERT INTO ctms.stripe_refused (message_id, code, reason, digest, content)
            SELECT n, 'CTS02', 'a reason', sha256(content), content
            FROM generate_series(1, 3) AS n, LATERAL (SELECT decode('00ff5c' || repeat('0a', n),
                'hex')) AS c (content);
        INSERT INTO ctms.api_client (client_id, email, hashed_secret, last_access)
            VALUES ('id_dump', 'client@example.com', 'secret', '2021-02-03Z');
    });
    # Deleted rows leave gaps in the sequences; changed or deleted seed rows must stay changed or
    # deleted.
    $ctms->sql(q{
        DELETE FROM ctms.newsletters WHERE id > 190;
        DELETE FROM ctms.acoustic_field WHERE field = 'vpn_waitlist_geo';
        INSERT INTO ctms.acoustic_field VALUES ('main', 'update_timestamp');
        DELETE FROM ctms.acoustic_newsletter_mapping WHERE source = 'hubs';
        UPDATE ctms.acoustic_newsletter_mapping SET destination = 'sub_other' WHERE source = 'miti';
        DELETE FROM ctms.waitlist_fields_schemas WHERE name = 'relay';
    });
    # The queue in all its states: done, waiting, leased, changed while leased, failed, exhausted.
    $ctms->sql(q{
        SELECT ctms.finish_acoustic('a', array_agg(email_id), array_agg(generation))
            FROM ctms.claim_acoustic('a', 50, 6, '1 hour');
        SELECT count(*) FROM ctms.claim_acoustic('gone', 10, 6, '-1 hour');
        SELECT ctms.fail_acoustic('b', array_agg(email_id), array_agg(generation),
            array_agg('an error'::text), array_agg(right(email_id::text, 1) = '1'), 6)
        FROM ctms.claim_acoustic('b', 20, 6, '1 hour');
        SELECT count(*) FROM ctms.claim_acoustic('c', 10, 6, '1 hour');
        UPDATE ctms.emails SET first_name = 'changed' WHERE email_id IN (SELECT email_id
            FROM ctms.pending_acoustic WHERE lease_owner = 'c' LIMIT 5);
        -- A run of files holds some, of which one has changed.
        SELECT count(*) FROM ctms.begin_acoustic_bulk('runner', '1 hour', '1000 days');
        SELECT ctms.claim_acoustic_bulk(1, 'runner', NULL, 3, 6);
        UPDATE ctms.emails SET first_name = 'changed' WHERE email_id IN (SELECT email_id
            FROM ctms.pending_acoustic WHERE lease_owner = 'bulk 1' ORDER BY email_id LIMIT 1);
        SELECT ctms.put_acoustic_bulk_file(1, 'runner', 'main', 1, 'ctms_1', 'made', 3, 1000, NULL,
            0, NULL, NULL, NULL);
    });
    return;
}

# Tables with their columns, and sequences (without any), by name.
sub relations
{
    my ($server, $database) = @_;
    return { map { split /\|/, $_, 2 } split /\n/, $server->safe_psql($database, q{
        SELECT c.oid::regclass, (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
            FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND relkind = 'r')
        FROM pg_class c WHERE relnamespace = 'ctms'::regnamespace AND relkind IN ('r', 'S')
            AND relpersistence = 'p'}) };
}

sub content_query
{
    my ($name, $columns) = @_;
    return $columns
        ? "SELECT count(*), md5(COALESCE(string_agg(t::text,
            E'\\n' ORDER BY t::text COLLATE \"C\"), '')) FROM (SELECT $columns FROM $name) AS t"
        : "SELECT last_value, is_called FROM $name";
}

# Of all relations, or of those that relations() found earlier, with the columns of that time.
sub content
{
    my ($server, $database, $relations) = @_;
    my @lines;
    $relations //= relations($server, $database);
    for my $name (sort keys %$relations)
    {
        push @lines, "$name " . $server->safe_psql($database,
            content_query($name, $relations->{$name}));
    }
    return join "\n", @lines;
}

# Without numbers of the catalog (OIDs, column numbers), so that two databases can be compared.
sub objects
{
    my ($server, $database) = @_;
    return $server->safe_psql($database, q{
    SET search_path = pg_catalog;
    WITH acl (kind, name, items, owner, type) AS (
        SELECT 'schema', nspname::text, nspacl, nspowner, 'n'::"char"
            FROM pg_namespace WHERE nspname = 'ctms'
        UNION ALL SELECT 'relation', oid::regclass::text, relacl, relowner,
            CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char" FROM pg_class
            WHERE relnamespace = 'ctms'::regnamespace AND relkind IN ('r', 'S', 'v', 'm', 'p')
        UNION ALL SELECT 'function', oid::regprocedure::text, proacl, proowner, 'f' FROM pg_proc
            WHERE pronamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'type', oid::regtype::text, typacl, typowner, 'T' FROM pg_type
            WHERE typnamespace = 'ctms'::regnamespace AND typcategory <> 'A'
    ), line (kind, name, value) AS (
        -- members of the extension, whatever they are
        SELECT 'member', i.type, i.identity
            FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
            AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ctms')
        UNION ALL SELECT 'dumped', x.relation::regclass::text, x.condition FROM pg_extension e,
            unnest(e.extconfig, e.extcondition) AS x (relation, condition) WHERE extname = 'ctms'
        UNION ALL SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
            WHERE pronamespace = 'ctms'::regnamespace AND prokind <> 'a'
        UNION ALL SELECT 'relation', oid::regclass::text,
            concat_ws(' ', relkind, relpersistence, relreplident, relrowsecurity, reloptions::text,
                CASE WHEN relkind IN ('r', 'i') THEN
                    (SELECT amname FROM pg_am WHERE oid = relam) END) FROM pg_class
            WHERE relnamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'column',
            c.oid::regclass::text || ' ' || row_number() OVER (PARTITION BY c.oid ORDER BY attnum),
                concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
                    attgenerated, attstorage, attstattarget,
                    (SELECT string_agg(o, ' ') FROM unnest(attoptions) AS o
                        WHERE o NOT LIKE 'pg\_attver=%'),
                    attcollation::regcollation, pg_get_expr(adbin, adrelid))
            FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
                LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE relnamespace = 'ctms'::regnamespace AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || conname,
            pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'index', indexrelid::regclass::text,
            pg_get_indexdef(indexrelid) || indisclustered::text || indisvalid::text FROM pg_index
            JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'trigger', tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(t.oid)
            || tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
            WHERE relnamespace = 'ctms'::regnamespace AND NOT tgisinternal
        UNION ALL SELECT 'rule', c.oid::regclass || ' ' || rulename, pg_get_ruledef(r.oid)
            FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
            WHERE relnamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'sequence', seqrelid::regclass::text, concat_ws(' ', seqtypid::regtype,
            seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
                (SELECT refobjid::regclass || ' ' || refobjsubid FROM pg_depend
                    WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype = 'a'))
            FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid
                WHERE relnamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'type', oid::regtype::text, concat_ws(' ', typtype, typcategory, typinput,
            typoutput, typreceive, typsend, typlen, typalign, typstorage,
                (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder)
                    FROM pg_enum WHERE enumtypid = t.oid)) FROM pg_type t
                    WHERE typnamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'cast', castsource::regtype || ' as ' || casttarget::regtype,
            concat_ws(' ', castfunc::regprocedure, castcontext, castmethod) FROM pg_cast
            WHERE 'ctms'::regnamespace IN (SELECT typnamespace FROM pg_type
                WHERE oid IN (castsource, casttarget))
        UNION ALL SELECT 'event trigger', evtname::text, concat_ws(' ', evtevent,
            evtfoid::regprocedure, evtenabled, evttags::text) FROM pg_event_trigger
        UNION ALL SELECT 'owner', kind || ' ' || name, pg_get_userbyid(owner) FROM acl
        UNION ALL SELECT 'grant', kind || ' ' || name, concat_ws(' ', CASE a.grantee WHEN 0 THEN
            'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable)
            FROM acl, aclexplode(COALESCE(items, acldefault(type, owner))) AS a
        UNION ALL SELECT 'grant', 'column ' || c.oid::regclass || ' ' || attname,
            concat_ws(' ', pg_get_userbyid(a.grantee), a.privilege_type)
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl) AS a
                WHERE relnamespace = 'ctms'::regnamespace
        UNION ALL SELECT 'comment', i.type || ' ' || i.identity, description
            FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
            WHERE i.schema = 'ctms' OR i.identity IN ('ctms', 'ctms_guard_drop',
                'ctms_warn_of_changes')
                OR i.identity LIKE 'ctms.%'
    ) SELECT format('%s %s: %s', kind, name,
    replace(value, E'\n', ' ')) COLLATE "C" FROM line ORDER BY 1});
}

sub differences
{
    my ($left, $right) = map { my %h = map { $_ => 1 } split /\n/, $_; \%h } @_;
    return join "\n", sort((map { "- $_" } grep { !$right->{$_} } keys %$left),
        map { "+ $_" } grep { !$left->{$_} } keys %$right);
}

1;
