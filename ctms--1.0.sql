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
-- ---------------------------------------------------------------------------
-- Tables. Names of tables and columns are those of existing CTMS databases, so
-- that their data loads unchanged. Every contact table is keyed by email_id. The
-- columns "id" are for those who read them: nothing searches for them, so they
-- have no index, which each new row would have to write.
--
-- Comments on columns of contacts are also the descriptions of fields in bodies and answers
-- (extension/contact/schema.c), so they say what readers of the API want to know.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.new_email_id() RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_new_email_id';
COMMENT ON FUNCTION ctms.new_email_id() IS 'An id for a new contact: a UUID in the form of version 4 that begins with the time, so that new contacts lie side by side';

CREATE TABLE ctms.emails (
    email_id uuid PRIMARY KEY DEFAULT ctms.new_email_id(),
    primary_email varchar(255) NOT NULL,
    basket_token varchar(255),
    sfdc_id varchar(255),
    first_name varchar(255),
    last_name varchar(255),
    mailing_country varchar(255),
    email_format varchar(1),
    email_lang varchar(5),
    double_opt_in boolean,
    has_opted_out_of_email boolean,
    unsubscribe_reason text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX emails_primary_email_lower_key ON ctms.emails (lower(primary_email));
-- Not a constraint: a foreign key could refer to one, so an UPDATE of a token would lock out whoever
-- adds a row to the contact. An index with a condition leaves email_id as the only such key.
CREATE UNIQUE INDEX emails_basket_token_key ON ctms.emails (basket_token) WHERE basket_token IS NOT NULL;
-- Partial, because most contacts have no Salesforce ID: their changes write no entry here.
CREATE INDEX emails_sfdc_id_idx ON ctms.emails (sfdc_id) WHERE sfdc_id IS NOT NULL;
CREATE INDEX emails_update_timestamp_idx ON ctms.emails (update_timestamp, email_id);
COMMENT ON TABLE ctms.emails IS 'One row per contact; everything else about the contact refers to email_id';
COMMENT ON COLUMN ctms.emails.email_id IS 'Id of the contact: a UUID (RFC 9562), of version 4 if it is given; made by ctms if it is not. It never changes';
COMMENT ON COLUMN ctms.emails.primary_email IS 'E-mail address of the contact, up to 255 characters of any syntax. Unique without regard to case; never null';
COMMENT ON COLUMN ctms.emails.basket_token IS 'Token by which Basket, the service behind the newsletter forms, knows the contact: a UUID that Basket has made. Unique; null if Basket does not know the contact';
COMMENT ON COLUMN ctms.emails.sfdc_id IS 'Id of the contact in Salesforce, as a client has given it. Need not be unique; null if there is none';
COMMENT ON COLUMN ctms.emails.first_name IS 'First name, as the person has given it; null if it is not known';
COMMENT ON COLUMN ctms.emails.last_name IS 'Last name, as the person has given it; null if it is not known';
COMMENT ON COLUMN ctms.emails.mailing_country IS 'Country of the contact, as a client has given it: by custom a code of ISO 3166-1 alpha-2, such as fr, in small letters, but any text is kept; null if it is not known';
COMMENT ON COLUMN ctms.emails.email_format IS 'Form in which the contact wants e-mails: H (HTML), T (plain text), N (none) or empty (not said)';
COMMENT ON COLUMN ctms.emails.email_lang IS 'Language in which the contact wants e-mails: a tag of BCP 47 of up to five characters, which begins with a code of ISO 639, such as fr or pt-BR; null if it is not known';
COMMENT ON COLUMN ctms.emails.double_opt_in IS 'Whether the contact has confirmed the address, by a link in an e-mail. Clients write it; null, which only SQL can write, counts as false';
COMMENT ON COLUMN ctms.emails.has_opted_out_of_email IS 'Whether the contact wants no e-mails at all. Clients write it; subscriptions stay as they are. Null, which only SQL can write, counts as false';
COMMENT ON COLUMN ctms.emails.unsubscribe_reason IS 'Why the contact wants no e-mails, in words of the person or of the client; null if nothing was said';
COMMENT ON COLUMN ctms.emails.create_timestamp IS 'When the contact was made; set by ctms';
COMMENT ON COLUMN ctms.emails.update_timestamp IS 'When the contact last changed; set by ctms with every UPDATE that changes a value of the row, with every change of the contact by its functions, and by every PATCH';

CREATE TABLE ctms.newsletters (
    id bigserial NOT NULL,
    email_id uuid NOT NULL REFERENCES ctms.emails,
    name varchar(255) NOT NULL,
    subscribed boolean,
    format varchar(1),
    lang varchar(5),
    source text,
    unsub_reason text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email_id, name)
);
COMMENT ON TABLE ctms.newsletters IS 'Newsletter subscriptions of contacts, current and past';
COMMENT ON COLUMN ctms.newsletters.id IS 'Number of the row, in the order of insertion; nothing refers to it';
COMMENT ON COLUMN ctms.newsletters.email_id IS 'The contact';
COMMENT ON COLUMN ctms.newsletters.name IS 'Name (slug) of the newsletter, one to 255 characters; a contact has each name once. Any name is taken';
COMMENT ON COLUMN ctms.newsletters.subscribed IS 'Whether the contact gets the newsletter; false: has left it. Null, which only SQL can write, counts as true';
COMMENT ON COLUMN ctms.newsletters.format IS 'Form in which the contact wants the newsletter: H (HTML) or T (plain text)';
COMMENT ON COLUMN ctms.newsletters.lang IS 'Language of the newsletter: a tag of BCP 47 of two to five characters, which begins with a code of ISO 639, such as fr or pt-BR; null if it is not known';
COMMENT ON COLUMN ctms.newsletters.source IS 'Page on which the contact subscribed: an absolute URL with a host (RFC 3986), of any scheme; null if it is not known';
COMMENT ON COLUMN ctms.newsletters.unsub_reason IS 'Why the contact has left the newsletter, in words of the person or of the client; null if nothing was said';
COMMENT ON COLUMN ctms.newsletters.create_timestamp IS 'When the contact first subscribed; set by ctms';
COMMENT ON COLUMN ctms.newsletters.update_timestamp IS 'When the subscription last changed; set by ctms';

CREATE TABLE ctms.waitlists (
    id bigserial NOT NULL,
    email_id uuid NOT NULL REFERENCES ctms.emails,
    name varchar(255) NOT NULL,
    source text,
    subscribed boolean NOT NULL DEFAULT true,
    unsub_reason text,
    fields jsonb NOT NULL DEFAULT '{}',
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email_id, name)
);
COMMENT ON TABLE ctms.waitlists IS 'Waiting lists that contacts have joined';
COMMENT ON COLUMN ctms.waitlists.id IS 'Number of the row, in the order of insertion; nothing refers to it';
COMMENT ON COLUMN ctms.waitlists.email_id IS 'The contact';
COMMENT ON COLUMN ctms.waitlists.name IS 'Name of the waitlist, one to 255 characters; a contact has each name once. Any name is taken';
COMMENT ON COLUMN ctms.waitlists.source IS 'Page on which the contact joined: an absolute URL with a host (RFC 3986), of any scheme; null if it is not known';
COMMENT ON COLUMN ctms.waitlists.subscribed IS 'Whether the contact is on the waitlist; false: has left it';
COMMENT ON COLUMN ctms.waitlists.unsub_reason IS 'Why the contact has left the waitlist, in words of the person or of the client; null if nothing was said';
COMMENT ON COLUMN ctms.waitlists.fields IS 'What the waitlist asks for, such as a country: an object that is valid under the JSON Schema of its name in ctms.waitlist_fields_schemas, or under the schema "default" if there is none';
COMMENT ON COLUMN ctms.waitlists.create_timestamp IS 'When the contact first joined; set by ctms';
COMMENT ON COLUMN ctms.waitlists.update_timestamp IS 'When the row last changed; set by ctms';

CREATE TABLE ctms.waitlist_fields_schemas (
    name varchar(255) PRIMARY KEY,
    schema jsonb NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ctms.waitlist_fields_schemas IS 'JSON Schema of the fields of each waitlist; "default" applies to every name without a row. Change it with ctms.set_waitlist_schema()';
COMMENT ON COLUMN ctms.waitlist_fields_schemas.name IS 'Name of the waitlist, or "default"';
COMMENT ON COLUMN ctms.waitlist_fields_schemas.schema IS 'The JSON Schema of ctms.waitlists.fields';
COMMENT ON COLUMN ctms.waitlist_fields_schemas.create_timestamp IS 'When the waitlist got its first schema';
COMMENT ON COLUMN ctms.waitlist_fields_schemas.update_timestamp IS 'When the schema last changed';

CREATE TABLE ctms.fxa (
    id bigserial NOT NULL,
    fxa_id varchar(255) UNIQUE,
    email_id uuid PRIMARY KEY REFERENCES ctms.emails,
    primary_email varchar(255),
    created_date varchar(50),
    lang varchar(255),
    first_service varchar(50),
    account_deleted boolean,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX fxa_primary_email_idx ON ctms.fxa (primary_email);
CREATE INDEX fxa_primary_email_lower_idx ON ctms.fxa (lower(primary_email));
COMMENT ON TABLE ctms.fxa IS 'Firefox Accounts (FxA) data of a contact';
COMMENT ON COLUMN ctms.fxa.id IS 'Number of the row, in the order of insertion; nothing refers to it';
COMMENT ON COLUMN ctms.fxa.fxa_id IS 'Id of the Firefox account (uid), up to 50 characters, as Firefox Accounts has made it: by custom 32 hexadecimal digits. Unique; customers of Stripe name it. Null if it is not known';
COMMENT ON COLUMN ctms.fxa.email_id IS 'The contact';
COMMENT ON COLUMN ctms.fxa.primary_email IS 'E-mail address of the account, which may differ from that of the contact. Found without regard to case, need not be unique; null if it is not known';
COMMENT ON COLUMN ctms.fxa.created_date IS 'When the account was made, as Firefox Accounts has sent it: a text, mostly a time of ISO 8601; null if it is not known';
COMMENT ON COLUMN ctms.fxa.lang IS 'Languages that the browser of the person asked for: tags of BCP 47 between commas, as in the header Accept-Language; null if they are not known';
COMMENT ON COLUMN ctms.fxa.first_service IS 'Service that the account was first used for, by the name that Firefox Accounts has for it; null if it is not known';
COMMENT ON COLUMN ctms.fxa.account_deleted IS 'Whether the account was deleted. The contact stays; null, which only SQL can write, counts as false';
COMMENT ON COLUMN ctms.fxa.create_timestamp IS 'When the row was made; set by ctms';
COMMENT ON COLUMN ctms.fxa.update_timestamp IS 'When the row last changed; set by ctms';

CREATE TABLE ctms.amo (
    id bigserial NOT NULL,
    email_id uuid PRIMARY KEY REFERENCES ctms.emails,
    add_on_ids varchar(500),
    display_name varchar(255),
    email_opt_in boolean,
    language varchar(5),
    last_login date,
    location varchar(255),
    profile_url varchar(40),
    "user" boolean,
    user_id varchar(40),
    username varchar(100),
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX amo_user_id_idx ON ctms.amo (user_id);
COMMENT ON TABLE ctms.amo IS 'addons.mozilla.org (AMO) data of a contact';
COMMENT ON COLUMN ctms.amo.id IS 'Number of the row, in the order of insertion; nothing refers to it';
COMMENT ON COLUMN ctms.amo.email_id IS 'The contact';
COMMENT ON COLUMN ctms.amo.add_on_ids IS 'Add-ons of the user, written by addons.mozilla.org: their ids between commas, up to 500 characters; null if there are none';
COMMENT ON COLUMN ctms.amo.display_name IS 'Name that addons.mozilla.org shows for the user; null if there is none';
COMMENT ON COLUMN ctms.amo.email_opt_in IS 'Whether the user wants e-mails about add-ons; null, which only SQL can write, counts as false';
COMMENT ON COLUMN ctms.amo.language IS 'Language of the user: a tag of BCP 47 of up to five characters, which begins with a code of ISO 639, such as fr or pt-BR; null if it is not known';
COMMENT ON COLUMN ctms.amo.last_login IS 'Day on which the user last logged in (ISO 8601, YYYY-MM-DD); null if it is not known';
COMMENT ON COLUMN ctms.amo.location IS 'Where the user lives, in their own words; null if they do not say';
COMMENT ON COLUMN ctms.amo.profile_url IS 'Page of the user, as they have given it: up to 40 characters, not checked; null if there is none';
COMMENT ON COLUMN ctms.amo."user" IS 'Whether the contact is a user of addons.mozilla.org; null, which only SQL can write, counts as false';
COMMENT ON COLUMN ctms.amo.user_id IS 'Id of the user at addons.mozilla.org, up to 40 characters: by custom a number. Need not be unique; null if it is not known';
COMMENT ON COLUMN ctms.amo.username IS 'Name by which addons.mozilla.org knows the user, up to 100 characters; null if it is not known';
COMMENT ON COLUMN ctms.amo.create_timestamp IS 'When the row was made; set by ctms';
COMMENT ON COLUMN ctms.amo.update_timestamp IS 'When the row last changed; set by ctms';

CREATE TABLE ctms.mofo (
    id bigserial NOT NULL,
    email_id uuid PRIMARY KEY REFERENCES ctms.emails,
    mofo_email_id varchar(255) UNIQUE,
    mofo_contact_id varchar(255),
    mofo_relevant boolean,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mofo_contact_id_idx ON ctms.mofo (mofo_contact_id);
COMMENT ON TABLE ctms.mofo IS 'Mozilla Foundation (MoFo) data of a contact';
COMMENT ON COLUMN ctms.mofo.id IS 'Number of the row, in the order of insertion; nothing refers to it';
COMMENT ON COLUMN ctms.mofo.email_id IS 'The contact';
COMMENT ON COLUMN ctms.mofo.mofo_email_id IS 'Id of the address at the Mozilla Foundation, which writes it. Unique; null if there is none';
COMMENT ON COLUMN ctms.mofo.mofo_contact_id IS 'Id of the contact at the Mozilla Foundation, which writes it. Need not be unique; null if there is none';
COMMENT ON COLUMN ctms.mofo.mofo_relevant IS 'Whether the contact is relevant to the Mozilla Foundation, as it says; null, which only SQL can write, counts as false';
COMMENT ON COLUMN ctms.mofo.create_timestamp IS 'When the row was made; set by ctms';
COMMENT ON COLUMN ctms.mofo.update_timestamp IS 'When the row last changed; set by ctms';

CREATE TABLE ctms.api_client (
    client_id varchar(255) PRIMARY KEY,
    email varchar(255) NOT NULL,
    enabled boolean DEFAULT true,
    hashed_secret text NOT NULL,
    scopes text[] CHECK (scopes <@ ARRAY['contacts:read', 'contacts:write', 'contacts:delete', 'stripe:write']),
    last_access timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ctms.api_client IS 'Clients of the REST API';
COMMENT ON COLUMN ctms.api_client.client_id IS 'Name with which the client asks for tokens, mostly id_ and a word';
COMMENT ON COLUMN ctms.api_client.email IS 'Address of the people who answer for the client; nothing is sent there';
COMMENT ON COLUMN ctms.api_client.enabled IS 'The client may use the API; false or null: tokens are refused, also those that it has';
COMMENT ON COLUMN ctms.api_client.hashed_secret IS 'argon2 encoded string of the client secret';
COMMENT ON COLUMN ctms.api_client.scopes IS 'What the client may do; NULL: everything. contacts:write includes contacts:read';
COMMENT ON COLUMN ctms.api_client.last_access IS 'When the client last used the API, to the minute; null: never';
COMMENT ON COLUMN ctms.api_client.create_timestamp IS 'When the client was made; tokens that are older are refused';
COMMENT ON COLUMN ctms.api_client.update_timestamp IS 'When a value of the row last changed';

-- Generations are 63 random bits. They come from functions that every role may call.
-- The queue churns: each row is inserted, claimed and deleted, often within a second. Claiming
-- changes no indexed column and finds room on the row's page (fillfactor), so it costs no index
-- entries; autovacuum starts early and does not pause.
CREATE TABLE ctms.pending_acoustic (
    email_id uuid PRIMARY KEY REFERENCES ctms.emails ON DELETE CASCADE,
    retry integer NOT NULL DEFAULT 0,
    last_error text,
    generation bigint NOT NULL DEFAULT (hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807),
    retry_after timestamptz,
    lease_until timestamptz,
    lease_owner text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    is_tried boolean NOT NULL DEFAULT false,
    is_bulk boolean NOT NULL DEFAULT false
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0
);
-- In each lane, free rows come first, in the order of claiming; then waiting rows, by time; last
-- those given up. The lane is the first column, so nothing in one lane has to be passed over on the
-- way to the other: neither rows, nor failures whose wait is over, nor dead entries.
CREATE INDEX pending_acoustic_claim_idx ON ctms.pending_acoustic (is_bulk, retry_after NULLS FIRST, retry, create_timestamp);
COMMENT ON TABLE ctms.pending_acoustic IS 'Contacts that wait to be sent to Acoustic, at most one row each';
COMMENT ON COLUMN ctms.pending_acoustic.email_id IS 'The contact that waits';
COMMENT ON COLUMN ctms.pending_acoustic.retry IS 'Failed attempts since the contact last changed';
COMMENT ON COLUMN ctms.pending_acoustic.last_error IS 'What went wrong last, and when; never personal data';
COMMENT ON COLUMN ctms.pending_acoustic.generation IS 'A new number, that never comes again, with every change of the contact once the row has been claimed; a sender may only finish the generation that it claimed. Contacts that a run of files holds have that of the run';
COMMENT ON COLUMN ctms.pending_acoustic.retry_after IS 'After a failure: when the row may be claimed again; "infinity" when it was given up, until the contact changes; null when it is free to claim. The same as lease_until while a run of files holds the contact';
COMMENT ON COLUMN ctms.pending_acoustic.lease_until IS 'When the lease of the agent that has claimed the row ends; null when no agent has';
COMMENT ON COLUMN ctms.pending_acoustic.lease_owner IS 'The agent that has claimed the row, or the run of files that holds it: "bulk" and its number';
COMMENT ON COLUMN ctms.pending_acoustic.create_timestamp IS 'When the oldest change that was not sent yet was made';
COMMENT ON COLUMN ctms.pending_acoustic.update_timestamp IS 'When the row was last written: enqueued, claimed or failed';
COMMENT ON COLUMN ctms.pending_acoustic.is_tried IS 'The row was claimed before, so it is not certain what Acoustic has of the contact';
COMMENT ON COLUMN ctms.pending_acoustic.is_bulk IS 'The lane: false for a person''s change (live), true for a contact that waits because of a wave, such as a resync, an import or a changed price (bulk)';

-- Nearly always empty, because each claim takes all rows (extension/queue/stripe.c), except those of
-- contacts that are still locked.
CREATE TABLE ctms.stripe_unresolved (
    kind text,
    key text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    is_bulk boolean NOT NULL DEFAULT false,
    PRIMARY KEY (kind, key)
);
COMMENT ON TABLE ctms.stripe_unresolved IS 'Changed Stripe objects that led to no contact when they were committed, and changed contacts that another session had locked; the next claim looks for the contacts again';
COMMENT ON COLUMN ctms.stripe_unresolved.kind IS 'fxa, customer, subscription, price, invoice or contact';
COMMENT ON COLUMN ctms.stripe_unresolved.key IS 'fxa_id, stripe_id or email_id';
COMMENT ON COLUMN ctms.stripe_unresolved.is_bulk IS 'The lane in which its contacts will wait, as in ctms.pending_acoustic';
COMMENT ON COLUMN ctms.stripe_unresolved.create_timestamp IS 'When the object or contact changed';
COMMENT ON COLUMN ctms.stripe_unresolved.update_timestamp IS 'When the row was last written';

-- Odd while an agent waits for work (extension/queue/wake.c).
CREATE SEQUENCE ctms.acoustic_idle_seq;
COMMENT ON SEQUENCE ctms.acoustic_idle_seq IS 'Odd while an agent waits for work: the next change notifies, and makes it even';

CREATE TABLE ctms.acoustic_field (
    tablename varchar(255),
    field varchar(255),
    PRIMARY KEY (tablename, field)
);
COMMENT ON TABLE ctms.acoustic_field IS 'Which fields are synced to which Acoustic table (main, waitlist)';
COMMENT ON COLUMN ctms.acoustic_field.tablename IS 'Which Acoustic table: main or waitlist';
COMMENT ON COLUMN ctms.acoustic_field.field IS 'Name of the column there, as ctms.acoustic_rows() gives it; names that it does not give are not sent';

CREATE TABLE ctms.acoustic_newsletter_mapping (
    source varchar(255) PRIMARY KEY,
    destination varchar(255) NOT NULL
);
COMMENT ON TABLE ctms.acoustic_newsletter_mapping IS 'Newsletter slug (source) to flag column of the Acoustic main table (destination)';
COMMENT ON COLUMN ctms.acoustic_newsletter_mapping.source IS 'Slug of the newsletter, as in ctms.newsletters.name';
COMMENT ON COLUMN ctms.acoustic_newsletter_mapping.destination IS 'Column of the Acoustic main table that is set for contacts who are subscribed';

CREATE TABLE ctms.stripe_customer (
    stripe_id varchar(255) PRIMARY KEY,
    fxa_id varchar(255) NOT NULL UNIQUE,
    default_source_id varchar(255),
    invoice_settings_default_payment_method_id varchar(255),
    stripe_created timestamptz NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    message_timestamp timestamptz,
    deletion_timestamp timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ctms.stripe_customer IS 'Stripe customers; fxa_id is Stripe''s "description"';
COMMENT ON COLUMN ctms.stripe_customer.stripe_id IS 'Stripe''s id (cus_…)';
COMMENT ON COLUMN ctms.stripe_customer.fxa_id IS 'Stripe''s description: the FxA ID by which the contact is found (ctms.fxa.fxa_id)';
COMMENT ON COLUMN ctms.stripe_customer.default_source_id IS 'Stripe''s default_source: id of the card or account that pays if nothing else is said; null if there is none';
COMMENT ON COLUMN ctms.stripe_customer.invoice_settings_default_payment_method_id IS 'Stripe''s invoice_settings.default_payment_method: id of what pays invoices; null if there is none';
COMMENT ON COLUMN ctms.stripe_customer.stripe_created IS 'Stripe''s created: when Stripe made the customer';
COMMENT ON COLUMN ctms.stripe_customer.deleted IS 'Stripe has deleted the customer; its subscriptions are still products of the contact';
COMMENT ON COLUMN ctms.stripe_customer.message_timestamp IS 'Time of the newest message that had this content, null if none is known; older content is skipped';
COMMENT ON COLUMN ctms.stripe_customer.deletion_timestamp IS 'While the customer is deleted: time of the newest message that said so; content that is not newer does not undo the deletion';
COMMENT ON COLUMN ctms.stripe_customer.create_timestamp IS 'When the object was first stored here';
COMMENT ON COLUMN ctms.stripe_customer.update_timestamp IS 'When a value of the row, other than times of messages, last changed here';

CREATE TABLE ctms.stripe_price (
    stripe_id varchar(255) PRIMARY KEY,
    stripe_product_id varchar(255) NOT NULL,
    stripe_created timestamptz NOT NULL,
    active boolean NOT NULL,
    currency varchar(3) NOT NULL,
    recurring_interval varchar(5),
    recurring_interval_count integer,
    unit_amount bigint,
    message_timestamp timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ctms.stripe_price IS 'Stripe prices; amounts are in the smallest unit of the currency';
COMMENT ON COLUMN ctms.stripe_price.stripe_id IS 'Stripe''s id (price_…, or that of a plan)';
COMMENT ON COLUMN ctms.stripe_price.stripe_product_id IS 'Stripe''s product: id of what is sold (prod_…)';
COMMENT ON COLUMN ctms.stripe_price.stripe_created IS 'Stripe''s created: when Stripe made the price';
COMMENT ON COLUMN ctms.stripe_price.active IS 'Stripe''s active: it can be used for new subscriptions';
COMMENT ON COLUMN ctms.stripe_price.currency IS 'Three letters (ISO 4217) in lower case';
COMMENT ON COLUMN ctms.stripe_price.recurring_interval IS 'Stripe''s recurring.interval: day, week, month or year; null if it is paid once';
COMMENT ON COLUMN ctms.stripe_price.recurring_interval_count IS 'Stripe''s recurring.interval_count: number of intervals between payments; null if it is paid once';
COMMENT ON COLUMN ctms.stripe_price.unit_amount IS 'What one unit costs, in the smallest unit of the currency: cents, but whole yen; null if there is no one amount, as with tiers or a fraction of a cent';
COMMENT ON COLUMN ctms.stripe_price.message_timestamp IS 'Time of the newest message that had this content, null if none is known; older content is skipped. Of an unchanged price it may be behind by less than a second';
COMMENT ON COLUMN ctms.stripe_price.create_timestamp IS 'When the object was first stored here';
COMMENT ON COLUMN ctms.stripe_price.update_timestamp IS 'When a value of the row, other than times of messages, last changed here';

CREATE TABLE ctms.stripe_invoice (
    stripe_id varchar(255) PRIMARY KEY,
    stripe_customer_id varchar(255),
    default_payment_method_id varchar(255),
    default_source_id varchar(255),
    stripe_created timestamptz NOT NULL,
    currency varchar(3) NOT NULL,
    total bigint NOT NULL,
    status varchar(15),
    deleted boolean NOT NULL DEFAULT false,
    message_timestamp timestamptz,
    deletion_timestamp timestamptz,
    list_timestamp timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stripe_invoice_customer_idx ON ctms.stripe_invoice (stripe_customer_id);
COMMENT ON TABLE ctms.stripe_invoice IS 'Stripe invoices; the customer may arrive later';
COMMENT ON COLUMN ctms.stripe_invoice.stripe_id IS 'Stripe''s id (in_…)';
COMMENT ON COLUMN ctms.stripe_invoice.stripe_customer_id IS 'Stripe''s customer: ctms.stripe_customer.stripe_id, which may not be stored yet; null for an invoice of nobody';
COMMENT ON COLUMN ctms.stripe_invoice.default_payment_method_id IS 'Stripe''s default_payment_method: id of what pays this invoice; null: the default of the subscription or customer';
COMMENT ON COLUMN ctms.stripe_invoice.default_source_id IS 'Stripe''s default_source, likewise';
COMMENT ON COLUMN ctms.stripe_invoice.stripe_created IS 'Stripe''s created (date before 2019): when Stripe made the invoice';
COMMENT ON COLUMN ctms.stripe_invoice.currency IS 'Three letters (ISO 4217) in lower case';
COMMENT ON COLUMN ctms.stripe_invoice.total IS 'Stripe''s total after discounts and taxes, in the smallest unit of the currency (cents); negative if the customer gets it';
COMMENT ON COLUMN ctms.stripe_invoice.status IS 'draft, open, paid, uncollectible or void; null if Stripe gives none';
COMMENT ON COLUMN ctms.stripe_invoice.deleted IS 'Stripe has deleted the invoice, which was a draft';
COMMENT ON COLUMN ctms.stripe_invoice.message_timestamp IS 'Time of the newest message that had this content, null if none is known; older content is skipped';
COMMENT ON COLUMN ctms.stripe_invoice.deletion_timestamp IS 'While the invoice is deleted: time of the newest message that said so; content that is not newer does not undo the deletion';
COMMENT ON COLUMN ctms.stripe_invoice.list_timestamp IS 'Time of the newest message that listed all its lines; if a line of an older message is not stored, it was removed';
COMMENT ON COLUMN ctms.stripe_invoice.create_timestamp IS 'When the object was first stored here';
COMMENT ON COLUMN ctms.stripe_invoice.update_timestamp IS 'When a value of the row, other than times of messages, last changed here';

CREATE TABLE ctms.stripe_invoice_line_item (
    stripe_id varchar(255) PRIMARY KEY,
    stripe_invoice_id varchar(255) NOT NULL REFERENCES ctms.stripe_invoice,
    stripe_type varchar(255),
    stripe_price_id varchar(255) REFERENCES ctms.stripe_price,
    stripe_invoice_item_id varchar(255),
    stripe_subscription_id varchar(255),
    stripe_subscription_item_id varchar(255),
    amount bigint NOT NULL,
    currency varchar(3) NOT NULL,
    message_timestamp timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stripe_invoice_line_item_invoice_idx ON ctms.stripe_invoice_line_item (stripe_invoice_id);
CREATE INDEX stripe_invoice_line_item_price_idx ON ctms.stripe_invoice_line_item (stripe_price_id);
COMMENT ON TABLE ctms.stripe_invoice_line_item IS 'Lines of Stripe invoices';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_id IS 'Stripe''s id (il_…); of lines from before 2019-12-03 also the id of the invoice, a slash and the id of the line';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_invoice_id IS 'The invoice that it is a line of';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_type IS 'subscription, invoiceitem, or another word of Stripe; null if Stripe gives none';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_price_id IS 'Stripe''s price, or plan; null for an amount without a price';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_invoice_item_id IS 'Stripe''s invoice_item (ii_…): what was added to the invoice, as for a proration; null if the line comes from the subscription itself';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_subscription_id IS 'Stripe''s subscription (sub_…) that is paid for, which may not be stored; null if there is none';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.stripe_subscription_item_id IS 'Stripe''s subscription_item (si_…) that is paid for, which may not be stored; null if there is none';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.amount IS 'Amount of the line, in the smallest unit of the currency (cents); negative for a credit';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.currency IS 'Three letters (ISO 4217) in lower case';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.message_timestamp IS 'Time of the newest message that had this content, null if none is known; older content is skipped';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.create_timestamp IS 'When the object was first stored here';
COMMENT ON COLUMN ctms.stripe_invoice_line_item.update_timestamp IS 'When a value of the row, other than times of messages, last changed here';

CREATE TABLE ctms.stripe_subscription (
    stripe_id varchar(255) PRIMARY KEY,
    stripe_customer_id varchar(255) NOT NULL,
    default_payment_method_id varchar(255),
    default_source_id varchar(255),
    stripe_created timestamptz NOT NULL,
    cancel_at_period_end boolean NOT NULL,
    canceled_at timestamptz,
    current_period_end timestamptz NOT NULL,
    current_period_start timestamptz NOT NULL,
    ended_at timestamptz,
    start_date timestamptz NOT NULL,
    status varchar(20) NOT NULL,
    message_timestamp timestamptz,
    list_timestamp timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stripe_subscription_customer_idx ON ctms.stripe_subscription (stripe_customer_id);
COMMENT ON TABLE ctms.stripe_subscription IS 'Stripe subscriptions; the customer may arrive later';
COMMENT ON COLUMN ctms.stripe_subscription.stripe_id IS 'Stripe''s id (sub_…)';
COMMENT ON COLUMN ctms.stripe_subscription.stripe_customer_id IS 'Stripe''s customer: ctms.stripe_customer.stripe_id, which may not be stored yet';
COMMENT ON COLUMN ctms.stripe_subscription.default_payment_method_id IS 'Stripe''s default_payment_method: id of what pays; null: the default of the customer';
COMMENT ON COLUMN ctms.stripe_subscription.default_source_id IS 'Stripe''s default_source, likewise';
COMMENT ON COLUMN ctms.stripe_subscription.stripe_created IS 'Stripe''s created: when Stripe made the subscription';
COMMENT ON COLUMN ctms.stripe_subscription.cancel_at_period_end IS 'Stripe''s cancel_at_period_end: it is not renewed at current_period_end';
COMMENT ON COLUMN ctms.stripe_subscription.canceled_at IS 'Stripe''s canceled_at: when it was cancelled, though it may go on to the end of the period; null if it was not';
COMMENT ON COLUMN ctms.stripe_subscription.current_period_end IS 'End of the period that is paid for; the latest of the items'' where those have periods of their own';
COMMENT ON COLUMN ctms.stripe_subscription.current_period_start IS 'Begin of the period that is paid for; the earliest of the items'' where those have periods of their own';
COMMENT ON COLUMN ctms.stripe_subscription.ended_at IS 'Stripe''s ended_at: when it ended; null if it has not';
COMMENT ON COLUMN ctms.stripe_subscription.start_date IS 'Stripe''s start_date: when it began, which may be before it was made';
COMMENT ON COLUMN ctms.stripe_subscription.status IS 'Stripe''s status: incomplete, incomplete_expired, trialing, active, past_due, canceled, unpaid or paused';
COMMENT ON COLUMN ctms.stripe_subscription.message_timestamp IS 'Time of the newest message that had this content, null if none is known; older content is skipped';
COMMENT ON COLUMN ctms.stripe_subscription.list_timestamp IS 'Time of the newest message that listed all its items; if an item of an older message is not stored, it was removed';
COMMENT ON COLUMN ctms.stripe_subscription.create_timestamp IS 'When the object was first stored here';
COMMENT ON COLUMN ctms.stripe_subscription.update_timestamp IS 'When a value of the row, other than times of messages, last changed here';

CREATE TABLE ctms.stripe_subscription_item (
    stripe_id varchar(255) PRIMARY KEY,
    stripe_subscription_id varchar(255) NOT NULL REFERENCES ctms.stripe_subscription,
    stripe_price_id varchar(255) NOT NULL REFERENCES ctms.stripe_price,
    stripe_created timestamptz NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    message_timestamp timestamptz,
    deletion_timestamp timestamptz,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stripe_subscription_item_subscription_idx ON ctms.stripe_subscription_item (stripe_subscription_id);
CREATE INDEX stripe_subscription_item_price_idx ON ctms.stripe_subscription_item (stripe_price_id);
COMMENT ON TABLE ctms.stripe_subscription_item IS 'Items of Stripe subscriptions: what is subscribed to, at which price';
COMMENT ON COLUMN ctms.stripe_subscription_item.stripe_id IS 'Stripe''s id (si_…)';
COMMENT ON COLUMN ctms.stripe_subscription_item.stripe_subscription_id IS 'The subscription that it is an item of';
COMMENT ON COLUMN ctms.stripe_subscription_item.stripe_price_id IS 'Stripe''s price, or plan: what it costs, and of which product it is';
COMMENT ON COLUMN ctms.stripe_subscription_item.stripe_created IS 'Stripe''s created: when Stripe made the item';
COMMENT ON COLUMN ctms.stripe_subscription_item.deleted IS 'Stripe has deleted the item; it is no product of the contact any more';
COMMENT ON COLUMN ctms.stripe_subscription_item.message_timestamp IS 'Time of the newest message that had this content, null if none is known; older content is skipped';
COMMENT ON COLUMN ctms.stripe_subscription_item.deletion_timestamp IS 'While the item is deleted: time of the newest message that said so; content that is not newer does not undo the deletion';
COMMENT ON COLUMN ctms.stripe_subscription_item.create_timestamp IS 'When the object was first stored here';
COMMENT ON COLUMN ctms.stripe_subscription_item.update_timestamp IS 'When a value of the row, other than times of messages, last changed here';
-- ---------------------------------------------------------------------------
-- JSON Schema, drafts 4 to 2020-12. The functions are STABLE, not IMMUTABLE, because a
-- schema may refer to documents in ctms.json_schema_document.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.json_schema_document (
    uri text PRIMARY KEY CHECK (uri <> '' AND uri NOT LIKE '%#%'),
    schema jsonb NOT NULL CHECK (jsonb_typeof(schema) IN ('object', 'boolean'))
);
COMMENT ON TABLE ctms.json_schema_document IS 'Documents that JSON Schemas may refer to by URI; nothing is ever fetched from the network';
COMMENT ON COLUMN ctms.json_schema_document.uri IS 'Absolute URI of the document, without fragment';
COMMENT ON COLUMN ctms.json_schema_document.schema IS 'The JSON Schema itself';

CREATE FUNCTION ctms._invalidate_table() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__invalidate_table';
COMMENT ON FUNCTION ctms._invalidate_table() IS 'Tells every session that the table has changed';

-- Our triggers are ordinary ones: what comes by logical replication, or with
-- session_replication_role = replica, was checked, stamped and enqueued where it comes from. Only
-- those that tell others of a change (here, in 30_waitlists.sql and 70_clients.sql), the one that
-- writes the queue and the event trigger of 96_drop_guard.sql are ENABLE ALWAYS. The first are for
-- rows, because replication fires no triggers for statements, except TRUNCATE.
CREATE TRIGGER ctms_json_schema_document_invalidate
    AFTER INSERT OR UPDATE OR DELETE ON ctms.json_schema_document
    FOR EACH ROW EXECUTE FUNCTION ctms._invalidate_table();
CREATE TRIGGER ctms_json_schema_document_invalidate_all
    AFTER TRUNCATE ON ctms.json_schema_document
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._invalidate_table();
ALTER TABLE ctms.json_schema_document
    ENABLE ALWAYS TRIGGER ctms_json_schema_document_invalidate,
    ENABLE ALWAYS TRIGGER ctms_json_schema_document_invalidate_all;

CREATE FUNCTION ctms._check_json_schema_document() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_json_schema_document';
COMMENT ON FUNCTION ctms._check_json_schema_document() IS 'Refuses a document that its metaschema, or without $schema that of every draft, does not accept (22023)';

CREATE TRIGGER ctms_json_schema_document_check
    BEFORE INSERT OR UPDATE ON ctms.json_schema_document
    FOR EACH ROW EXECUTE FUNCTION ctms._check_json_schema_document();

CREATE FUNCTION ctms.json_schema_is_valid(schema jsonb, instance jsonb) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_is_valid';
COMMENT ON FUNCTION ctms.json_schema_is_valid(jsonb, jsonb) IS 'Whether the instance is valid under the JSON Schema';

CREATE FUNCTION ctms.json_schema_is_valid(schema jsonb, instance jsonb, options jsonb) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_is_valid';
COMMENT ON FUNCTION ctms.json_schema_is_valid(jsonb, jsonb, jsonb) IS 'The same with options: "draft" for schemas without $schema ("4", "6", "7", "2019-09", "2020-12"), "assertFormats", "assertContent"';

CREATE FUNCTION ctms.json_schema_errors(schema jsonb, instance jsonb,
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'ctms_json_schema_errors';
COMMENT ON FUNCTION ctms.json_schema_errors(jsonb, jsonb) IS 'One row for each way in which the instance breaks the JSON Schema; locations are JSON Pointers';

CREATE FUNCTION ctms.json_schema_errors(schema jsonb, instance jsonb, options jsonb,
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'ctms_json_schema_errors';
COMMENT ON FUNCTION ctms.json_schema_errors(jsonb, jsonb, jsonb) IS 'The same with options, as in ctms.json_schema_is_valid()';

CREATE FUNCTION ctms.json_schema_validate(schema jsonb, instance jsonb, output text DEFAULT 'basic')
    RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_validate';
COMMENT ON FUNCTION ctms.json_schema_validate(jsonb, jsonb, text) IS 'Verdict, errors and annotations in an output format of the specification: flag, basic, detailed, verbose, list, hierarchical';

CREATE FUNCTION ctms.json_schema_validate(schema jsonb, instance jsonb, output text, options jsonb)
    RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_validate';
COMMENT ON FUNCTION ctms.json_schema_validate(jsonb, jsonb, text, jsonb) IS 'The same with options, as in ctms.json_schema_is_valid()';

CREATE FUNCTION ctms.json_schema_check(schema jsonb,
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'ctms_json_schema_check';
COMMENT ON FUNCTION ctms.json_schema_check(jsonb) IS 'What is wrong with a JSON Schema itself, one row for each problem; no row when it can be used';

CREATE FUNCTION ctms.json_schema_check(schema jsonb, options jsonb,
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'ctms_json_schema_check';
COMMENT ON FUNCTION ctms.json_schema_check(jsonb, jsonb) IS 'The same with options, as in ctms.json_schema_is_valid()';

CREATE FUNCTION ctms.json_schema_assert(schema jsonb, instance jsonb) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_assert';
COMMENT ON FUNCTION ctms.json_schema_assert(jsonb, jsonb) IS 'True, or an error (23514) with what is wrong in DETAIL: for CHECK constraints and triggers';

CREATE FUNCTION ctms.json_schema_assert(schema jsonb, instance jsonb, options jsonb) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_assert';
COMMENT ON FUNCTION ctms.json_schema_assert(jsonb, jsonb, jsonb) IS 'The same with options, as in ctms.json_schema_is_valid()';

-- The same for json, whose strings may hold \u0000, unlike those of jsonb; and for text, so
-- that a call whose arguments are all literals is not ambiguous.
CREATE FUNCTION ctms.json_schema_is_valid(schema json, instance json, options jsonb DEFAULT '{}') RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_is_valid';
COMMENT ON FUNCTION ctms.json_schema_is_valid(json, json, jsonb) IS 'Like the function for jsonb, but for json, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_errors(schema json, instance json, options jsonb DEFAULT '{}',
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'ctms_json_schema_errors';
COMMENT ON FUNCTION ctms.json_schema_errors(json, json, jsonb) IS 'Like the function for jsonb, but for json, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_validate(schema json, instance json, output text DEFAULT 'basic',
    options jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_validate';
COMMENT ON FUNCTION ctms.json_schema_validate(json, json, text, jsonb) IS 'Like the function for jsonb, but for json, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_assert(schema json, instance json, options jsonb DEFAULT '{}') RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_assert';
COMMENT ON FUNCTION ctms.json_schema_assert(json, json, jsonb) IS 'Like the function for jsonb, but for json, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_is_valid(schema text, instance text, options jsonb DEFAULT '{}') RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_is_valid';
COMMENT ON FUNCTION ctms.json_schema_is_valid(text, text, jsonb) IS 'Like the function for jsonb, but for JSON as text, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_errors(schema text, instance text, options jsonb DEFAULT '{}',
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'ctms_json_schema_errors';
COMMENT ON FUNCTION ctms.json_schema_errors(text, text, jsonb) IS 'Like the function for jsonb, but for JSON as text, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_validate(schema text, instance text, output text DEFAULT 'basic',
    options jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_validate';
COMMENT ON FUNCTION ctms.json_schema_validate(text, text, text, jsonb) IS 'Like the function for jsonb, but for JSON as text, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_assert(schema text, instance text, options jsonb DEFAULT '{}') RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_assert';
COMMENT ON FUNCTION ctms.json_schema_assert(text, text, jsonb) IS 'Like the function for jsonb, but for JSON as text, whose strings may hold \u0000';

CREATE FUNCTION ctms.json_schema_check(schema text, options jsonb DEFAULT '{}',
    OUT keyword_location text, OUT absolute_keyword_location text, OUT instance_location text,
    OUT keyword text, OUT error text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'ctms_json_schema_check';
COMMENT ON FUNCTION ctms.json_schema_check(text, jsonb) IS 'Like the function for jsonb, but for JSON as text';

CREATE FUNCTION ctms.json_schema_warnings(schema jsonb, options jsonb DEFAULT '{}',
    OUT absolute_keyword_location text, OUT instance_location text, OUT keyword text,
    OUT suggestion text, OUT warning text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'ctms_json_schema_warnings';
COMMENT ON FUNCTION ctms.json_schema_warnings(jsonb, jsonb) IS 'Keywords of a JSON Schema that do nothing, such as misspelled ones, with the nearest keyword that its draft has, and those that are not checked, such as format; the first 20, and how many more';

CREATE FUNCTION ctms.json_schema_warnings(schema text, options jsonb DEFAULT '{}',
    OUT absolute_keyword_location text, OUT instance_location text, OUT keyword text,
    OUT suggestion text, OUT warning text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'ctms_json_schema_warnings';
COMMENT ON FUNCTION ctms.json_schema_warnings(text, jsonb) IS 'Like the function for jsonb, but for JSON as text';

-- A jsonb that is known to be a schema. It can be used wherever a jsonb is expected.
CREATE TYPE ctms.json_schema;
CREATE FUNCTION ctms._json_schema_in(cstring) RETURNS ctms.json_schema
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_in';
CREATE FUNCTION ctms._json_schema_out(ctms.json_schema) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_out';
CREATE FUNCTION ctms._json_schema_recv(internal) RETURNS ctms.json_schema
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_recv';
CREATE FUNCTION ctms._json_schema_send(ctms.json_schema) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_send';
CREATE TYPE ctms.json_schema (
    INPUT = ctms._json_schema_in, OUTPUT = ctms._json_schema_out,
    RECEIVE = ctms._json_schema_recv, SEND = ctms._json_schema_send, LIKE = jsonb);
COMMENT ON FUNCTION ctms._json_schema_in(cstring) IS 'Input function of the type ctms.json_schema: refuses what is no JSON Schema (22023)';
COMMENT ON FUNCTION ctms._json_schema_out(ctms.json_schema) IS 'Output function of the type ctms.json_schema';
COMMENT ON FUNCTION ctms._json_schema_recv(internal) IS 'Binary input function of the type ctms.json_schema: refuses what is no JSON Schema (22023)';
COMMENT ON FUNCTION ctms._json_schema_send(ctms.json_schema) IS 'Binary output function of the type ctms.json_schema';
COMMENT ON TYPE ctms.json_schema IS 'A jsonb that is known to be a JSON Schema; anything else is refused (22023)';
CREATE CAST (jsonb AS ctms.json_schema) WITH INOUT AS ASSIGNMENT;
CREATE CAST (ctms.json_schema AS jsonb) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (text AS ctms.json_schema) WITH INOUT;

CREATE FUNCTION ctms._json_schema_bench(schema jsonb, instance jsonb, what text, rounds bigint,
    parts integer DEFAULT 20)
    RETURNS double precision
    LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_bench';
COMMENT ON FUNCTION ctms._json_schema_bench(jsonb, jsonb, text, bigint, integer) IS 'For benchmarks: nanoseconds for one round of "run", "walk", "explain", "compile", "site" or "name" in the best of some parts';

GRANT EXECUTE ON FUNCTION
    ctms.json_schema_is_valid(jsonb, jsonb), ctms.json_schema_is_valid(jsonb, jsonb, jsonb),
    ctms.json_schema_is_valid(json, json, jsonb), ctms.json_schema_is_valid(text, text, jsonb),
    ctms.json_schema_errors(jsonb, jsonb), ctms.json_schema_errors(jsonb, jsonb, jsonb),
    ctms.json_schema_errors(json, json, jsonb), ctms.json_schema_errors(text, text, jsonb),
    ctms.json_schema_validate(jsonb, jsonb, text), ctms.json_schema_validate(jsonb, jsonb, text, jsonb),
    ctms.json_schema_validate(json, json, text, jsonb), ctms.json_schema_validate(text, text, text, jsonb),
    ctms.json_schema_check(jsonb), ctms.json_schema_check(text, jsonb), ctms.json_schema_check(jsonb, jsonb),
    ctms.json_schema_warnings(jsonb, jsonb), ctms.json_schema_warnings(text, jsonb),
    ctms.json_schema_assert(jsonb, jsonb), ctms.json_schema_assert(jsonb, jsonb, jsonb),
    ctms.json_schema_assert(json, json, jsonb), ctms.json_schema_assert(text, text, jsonb)
    TO ctms_api, ctms_reader;
-- ---------------------------------------------------------------------------
-- Comparison of two JSON Schemas.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.json_schema_compare(old jsonb, new jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_compare';
COMMENT ON FUNCTION ctms.json_schema_compare(jsonb, jsonb) IS 'Whether the new JSON Schema accepts everything that the old one accepts: "compatibility" is "compatible", "incompatible" with an "example" that only the old one accepts and its "errors" under the new one, or "unknown"';

CREATE FUNCTION ctms._json_schema_example(old jsonb, new jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_example';
COMMENT ON FUNCTION ctms._json_schema_example(jsonb, jsonb) IS 'For tests: only the search of ctms.json_schema_compare() for an example; null when it finds none';

GRANT EXECUTE ON FUNCTION ctms.json_schema_compare(jsonb, jsonb) TO ctms_api, ctms_reader;
-- ---------------------------------------------------------------------------
-- Waitlists: their fields are checked against the schema of their name, for every writer.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._check_waitlist_fields() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_waitlist_fields';
COMMENT ON FUNCTION ctms._check_waitlist_fields() IS 'Refuses fields that break the schema of their waitlist (CT001)';

CREATE TRIGGER ctms_waitlists_check_fields
    BEFORE INSERT OR UPDATE ON ctms.waitlists
    FOR EACH ROW EXECUTE FUNCTION ctms._check_waitlist_fields();

CREATE FUNCTION ctms._lock_waitlists() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__lock_waitlists';
COMMENT ON FUNCTION ctms._lock_waitlists() IS 'Keeps waitlists from being stored while schemas change';

CREATE FUNCTION ctms._check_waitlist_schema() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_waitlist_schema';
COMMENT ON FUNCTION ctms._check_waitlist_schema() IS 'Refuses a schema that is not valid JSON Schema (22023)';

CREATE TRIGGER ctms_waitlist_fields_schemas_lock
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ctms.waitlist_fields_schemas
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._lock_waitlists();
CREATE TRIGGER ctms_waitlist_fields_schemas_check
    BEFORE INSERT OR UPDATE ON ctms.waitlist_fields_schemas
    FOR EACH ROW EXECUTE FUNCTION ctms._check_waitlist_schema();
-- These are for changes that were not checked here too.
CREATE TRIGGER ctms_waitlist_fields_schemas_invalidate
    AFTER INSERT OR UPDATE OR DELETE ON ctms.waitlist_fields_schemas
    FOR EACH ROW EXECUTE FUNCTION ctms._invalidate_table();
CREATE TRIGGER ctms_waitlist_fields_schemas_invalidate_all
    AFTER TRUNCATE ON ctms.waitlist_fields_schemas
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._invalidate_table();
ALTER TABLE ctms.waitlist_fields_schemas
    ENABLE ALWAYS TRIGGER ctms_waitlist_fields_schemas_invalidate,
    ENABLE ALWAYS TRIGGER ctms_waitlist_fields_schemas_invalidate_all;

-- The evaluator words its errors; this adds which field, and what is there. Names in "lacks" are
-- taken apart for the reader alone: one that holds quotes and commas may be read as two.
CREATE FUNCTION ctms.explain_waitlist_fields(schema jsonb, fields jsonb) RETURNS text[]
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(r.reason ORDER BY e.number, r.place), '{}')
    FROM ctms.json_schema_errors(explain_waitlist_fields.schema, explain_waitlist_fields.fields)
        WITH ORDINALITY AS e(location, absolute, instance, keyword, error, number),
        -- What is before the first slash is no name; what is after the last one is, even if empty.
        LATERAL (SELECT (ARRAY(SELECT replace(replace(t, '~1', '/'), '~0', '~')
                               FROM string_to_table(e.instance, '/') AS t))[2:] AS path) AS p,
        LATERAL (SELECT explain_waitlist_fields.fields #> p.path AS value) AS v,
        LATERAL (SELECT e.location ~ '(?<!/properties)/propertyNames/' AS is_name) AS n,
        LATERAL (
            SELECT CASE WHEN m.place <= 21 THEN format('field "%s" is missing', array_to_string(p.path || m.name, '.'))
                        ELSE 'and more' END AS reason, m.place
            FROM string_to_table('",' || substr(left(e.error, -1), 6), '", "') WITH ORDINALITY AS m(name, place)
            WHERE e.keyword = 'required' AND e.number <= 20 AND m.place BETWEEN 2 AND 22
            UNION ALL
            SELECT CASE WHEN cardinality(p.path) = 0 THEN 'the row '
                        ELSE format(CASE WHEN n.is_name THEN 'the name of ' ELSE '' END || 'field "%s" ',
                                    array_to_string(p.path, '.')) END || e.error
                || CASE WHEN n.is_name OR e.error = 'is not allowed' THEN ''
                        WHEN jsonb_typeof(v.value) IN ('object', 'array')
                        THEN CASE e.keyword WHEN 'type' THEN ', is an ' || jsonb_typeof(v.value) ELSE '' END
                        WHEN length(v.value::text) > 60 THEN ', is ' || left(v.value::text, 57) || '...'
                        ELSE coalesce(', is ' || v.value::text, '') END, 0
            WHERE e.keyword IS DISTINCT FROM 'required' AND e.number <= 20
            UNION ALL
            SELECT 'and more', 0 WHERE e.number = 21) AS r
$$;
COMMENT ON FUNCTION ctms.explain_waitlist_fields(jsonb, jsonb) IS 'Why a schema refuses the fields of a waitlist, in words with the values that are there; an empty array if it accepts them';

-- Stored rows that a schema would refuse: how many, and the first ones with reasons but without
-- values and addresses, because this gets into the server's log. Rows of names without a schema of
-- their own count for "default".
CREATE FUNCTION ctms._failing_waitlists(waitlist_name text, new_schema jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failing bigint;
    examples jsonb;
BEGIN
    SELECT count(*), coalesce(jsonb_agg(jsonb_build_object('email_id', f.email_id::text, 'name', f.name, 'errors', (
            SELECT jsonb_agg(jsonb_build_object('instanceLocation', e.instance_location,
                'keyword', e.keyword, 'keywordLocation', e.keyword_location, 'error', e.error))
            FROM ctms.json_schema_errors(new_schema, f.fields) AS e))
            ORDER BY f.id) FILTER (WHERE f.number <= 10), '[]')
    INTO failing, examples
    FROM (
        SELECT w.id, w.email_id, w.name, w.fields, row_number() OVER (ORDER BY w.id) AS number
        FROM ctms.waitlists AS w
        -- CASE, so that rows of other names are not judged at all.
        WHERE CASE WHEN CASE WHEN waitlist_name = 'default'
                             THEN NOT EXISTS (SELECT FROM ctms.waitlist_fields_schemas AS s
                                              WHERE s.name = w.name AND s.name <> 'default')
                             ELSE w.name = waitlist_name END
                   THEN NOT ctms.json_schema_is_valid(new_schema, w.fields)
                   ELSE false END
    ) AS f;
    RETURN jsonb_build_object('failing_rows', failing, 'examples', examples);
END
$$;
COMMENT ON FUNCTION ctms._failing_waitlists(text, jsonb) IS 'Stored rows that a schema would refuse: number and first examples';

CREATE FUNCTION ctms._prepare_waitlist_schema(schema jsonb) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'ctms__prepare_waitlist_schema';
COMMENT ON FUNCTION ctms._prepare_waitlist_schema(jsonb) IS 'Compiles a schema and keeps it compiled until the transaction ends';

-- Like ctms.json_schema_compare(), but never raises an error, because a stored schema that
-- cannot be run must not prevent its replacement.
CREATE FUNCTION ctms._compare_waitlist_schemas(old_schema jsonb, new_schema jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN old_schema IS NULL THEN '{}'
                WHEN old_schema = new_schema THEN '{"compatibility": "compatible"}'
                ELSE ctms.json_schema_compare(old_schema, new_schema) - 'errors' END;
EXCEPTION WHEN program_limit_exceeded OR statement_too_complex OR invalid_parameter_value THEN
    RETURN '{"compatibility": "unknown"}';
END
$$;
COMMENT ON FUNCTION ctms._compare_waitlist_schemas(jsonb, jsonb) IS 'Whether a new schema accepts everything that the stored one accepts; an empty object when none is stored';

-- Other writers queue behind one who waits for this lock, so that does not wait for long behind a
-- transaction that is left open. Who has set a limit keeps it.
CREATE FUNCTION ctms._lock_waitlists_soon() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lock_limit text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', CASE lock_limit WHEN '0' THEN '2s' ELSE lock_limit END, true);
    LOCK TABLE ctms.waitlists IN SHARE ROW EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', lock_limit, true);
END
$$;
COMMENT ON FUNCTION ctms._lock_waitlists_soon() IS 'Keeps waitlists from being stored until the transaction ends; an error (55P03) if that takes longer than lock_timeout, or 2 s';

CREATE FUNCTION ctms.set_waitlist_schema(name text, schema jsonb, dry_run boolean DEFAULT false,
    existing_rows text DEFAULT 'check') RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problems jsonb;
    report jsonb;
    old_schema jsonb;
    compared_schema jsonb;
    comparison jsonb;
    failing jsonb;
    warnings jsonb;
    warning text;
BEGIN
    IF set_waitlist_schema.name IS NULL OR set_waitlist_schema.name = ''
        OR length(set_waitlist_schema.name) > 255 THEN
        RAISE EXCEPTION 'waitlist name must have 1 to 255 characters' USING ERRCODE = '22023';
    ELSIF set_waitlist_schema.schema IS NULL THEN
        RAISE EXCEPTION 'schema of a waitlist must not be null' USING ERRCODE = '22004';
    ELSIF existing_rows IS NULL OR existing_rows NOT IN ('check', 'ignore') THEN
        RAISE EXCEPTION 'existing_rows must be "check" or "ignore"' USING ERRCODE = '22023';
    ELSIF existing_rows = 'check' AND NOT coalesce(dry_run, false)
          AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        -- The snapshot is older than the lock: rows stored in between would not be checked.
        RAISE EXCEPTION 'stored rows cannot be checked in a % transaction', current_setting('transaction_isolation')
            USING ERRCODE = '0A000', HINT = 'Call it in a READ COMMITTED transaction, or set existing_rows to ''ignore''.';
    END IF;
    SELECT jsonb_agg(jsonb_build_object('keywordLocation', c.instance_location, 'keyword', c.keyword,
        'error', c.error)) INTO problems
    FROM ctms.json_schema_check(set_waitlist_schema.schema) AS c;
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION 'schema of waitlist "%" is not valid JSON Schema', set_waitlist_schema.name
            USING ERRCODE = '22023', DETAIL = problems::text;
    END IF;
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('keywordLocation', w.instance_location,
        'keyword', w.keyword, 'suggestion', w.suggestion, 'warning', w.warning)) ORDER BY w.number), '[]') INTO warnings
    FROM ctms.json_schema_warnings(set_waitlist_schema.schema)
        WITH ORDINALITY AS w(location, instance_location, keyword, suggestion, warning, number);
    FOR warning IN SELECT w ->> 'warning' FROM jsonb_array_elements(warnings) AS w LOOP
        RAISE WARNING '%', warning;
    END LOOP;

    PERFORM ctms._prepare_waitlist_schema(set_waitlist_schema.schema);
    -- The slow work is done before writers are locked out, and repeated in the rare case that
    -- the stored schema changes in between.
    SELECT s.schema INTO compared_schema FROM ctms.waitlist_fields_schemas AS s
    WHERE s.name = set_waitlist_schema.name;
    comparison := ctms._compare_waitlist_schemas(compared_schema, set_waitlist_schema.schema);
    -- Stored rows are checked under the lock only if the result decides what is stored.
    IF coalesce(dry_run, false) OR existing_rows = 'ignore' THEN
        failing := ctms._failing_waitlists(set_waitlist_schema.name, set_waitlist_schema.schema);
    END IF;
    IF NOT coalesce(dry_run, false) THEN
        PERFORM ctms._lock_waitlists_soon();
    END IF;
    SELECT s.schema INTO old_schema FROM ctms.waitlist_fields_schemas AS s
    WHERE s.name = set_waitlist_schema.name;
    IF old_schema IS DISTINCT FROM compared_schema THEN
        comparison := ctms._compare_waitlist_schemas(old_schema, set_waitlist_schema.schema);
    END IF;
    report := jsonb_build_object('name', set_waitlist_schema.name,
            'action', CASE WHEN old_schema IS NULL THEN 'created'
                           WHEN old_schema = set_waitlist_schema.schema THEN 'no_change'
                           ELSE 'updated' END,
            'dry_run', coalesce(dry_run, false), 'warnings', warnings)
        || comparison
        || coalesce(failing, ctms._failing_waitlists(set_waitlist_schema.name, set_waitlist_schema.schema));
    IF coalesce(dry_run, false) THEN
        RETURN report || jsonb_build_object('stored', false);
    ELSIF existing_rows = 'check' AND (report ->> 'failing_rows')::bigint > 0 THEN
        RAISE EXCEPTION 'schema of waitlist "%" is not satisfied by % stored rows',
                set_waitlist_schema.name, report ->> 'failing_rows'
            USING ERRCODE = '23514', DETAIL = (report -> 'examples' || CASE WHEN (report ->> 'failing_rows')::bigint > 10
                THEN jsonb_build_object('more', (report ->> 'failing_rows')::bigint - 10) ELSE '[]' END)::text,
            HINT = 'ctms.explain_waitlist_fields() and "ctms waitlists rows NAME --failing --schema FILE" tell what is wrong with each. To store the schema for new rows only, set existing_rows to ''ignore''.';
    END IF;
    INSERT INTO ctms.waitlist_fields_schemas AS s (name, schema)
    VALUES (set_waitlist_schema.name, set_waitlist_schema.schema)
    ON CONFLICT ON CONSTRAINT waitlist_fields_schemas_pkey DO UPDATE SET schema = excluded.schema
    WHERE s.schema <> excluded.schema;
    RETURN report || jsonb_build_object('stored', true);
END
$$;
COMMENT ON FUNCTION ctms.set_waitlist_schema(text, jsonb, boolean, text) IS 'Stores the JSON Schema of a waitlist''s fields. Refuses a schema that is not valid, and one that stored rows break unless existing_rows is "ignore"; with dry_run it only reports. Keywords that do nothing are warned of. The report has name, action, dry_run, stored, warnings, failing_rows and examples (the first ten, with email_id and reasons); where it replaces a schema it also says whether the schema accepts everything that the stored one accepts (compatibility, example)';

CREATE FUNCTION ctms.drop_waitlist_schema(name text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ctms._lock_waitlists_soon();
    DELETE FROM ctms.waitlist_fields_schemas AS s WHERE s.name = drop_waitlist_schema.name;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ctms.drop_waitlist_schema(text) IS 'Removes the schema of a waitlist; its rows stay, and new rows are checked against "default". False when there is no such schema';

CREATE FUNCTION ctms.get_waitlist(name text) RETURNS json
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_build_object('name', s.name, 'schema', s.schema::jsonb)
    FROM ctms.waitlist_fields_schemas AS s WHERE s.name = get_waitlist.name;
$$;
COMMENT ON FUNCTION ctms.get_waitlist(text) IS 'A waitlist with the JSON Schema of its fields; null when it has none of its own';

CREATE FUNCTION ctms.list_waitlists() RETURNS json
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(json_agg(json_build_object('name', s.name, 'schema', s.schema::jsonb) ORDER BY s.name), '[]')
    FROM ctms.waitlist_fields_schemas AS s;
$$;
COMMENT ON FUNCTION ctms.list_waitlists() IS 'All waitlists that have a schema, with their schemas, by name';

CREATE FUNCTION ctms._use_waitlist_schema(schema jsonb) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'ctms__use_waitlist_schema';
COMMENT ON FUNCTION ctms._use_waitlist_schema(jsonb) IS 'Raises the error that writers of a waitlist with this stored schema get';

CREATE FUNCTION ctms._waitlist_schema_problem(schema jsonb) RETURNS text
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
    place text;
BEGIN
    PERFORM ctms._use_waitlist_schema(schema);
    RETURN NULL;
EXCEPTION WHEN program_limit_exceeded OR statement_too_complex OR invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, place = PG_EXCEPTION_DETAIL;
    RETURN rtrim(problem || '. ' || place, '. ');
END
$$;
COMMENT ON FUNCTION ctms._waitlist_schema_problem(jsonb) IS 'Why a stored schema cannot be used; null when it can';

CREATE FUNCTION ctms.list_unusable_waitlists() RETURNS TABLE (name text, problem text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT u.name, u.problem
    FROM (SELECT s.name::text, ctms._waitlist_schema_problem(s.schema::jsonb) AS problem
          FROM ctms.waitlist_fields_schemas AS s OFFSET 0) AS u
    WHERE u.problem IS NOT NULL ORDER BY u.name;
END
$$;
COMMENT ON FUNCTION ctms.list_unusable_waitlists() IS 'Waitlists that nobody can join because their stored schema cannot be used, mostly because a document to which it refers was changed or removed';

-- Documents may be changed one after the other, so this does not refuse.
CREATE FUNCTION ctms._warn_of_unusable_waitlists() RETURNS trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unusable record;
BEGIN
    FOR unusable IN SELECT u.name, u.problem FROM ctms.list_unusable_waitlists() AS u LIMIT 20 LOOP
        RAISE WARNING 'nobody can join the waitlist "%": %', unusable.name, unusable.problem
            USING HINT = 'Change the document or the schema. ctms.list_unusable_waitlists() lists all such waitlists.';
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._warn_of_unusable_waitlists() IS 'Warns of waitlists whose schemas a changed document has made unusable';

CREATE TRIGGER ctms_json_schema_document_waitlists
    AFTER UPDATE OR DELETE OR TRUNCATE ON ctms.json_schema_document
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._warn_of_unusable_waitlists();

CREATE FUNCTION ctms.install_default_waitlist_schemas() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ctms.waitlist_fields_schemas (name, schema)
    VALUES
        ('default', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"geo": {"type": ["string", "null"], "maxLength": 100},
                           "platform": {"type": ["string", "null"], "maxLength": 100}}}'),
        ('relay', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"geo": {"type": ["string", "null"], "maxLength": 100}},
            "additionalProperties": false}'),
        ('vpn', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"geo": {"type": ["string", "null"], "maxLength": 100},
                           "platform": {"type": ["string", "null"], "maxLength": 100}},
            "additionalProperties": false}')
    ON CONFLICT DO NOTHING;
$$;
COMMENT ON FUNCTION ctms.install_default_waitlist_schemas() IS 'Adds the schemas that ctms ships (vpn, relay, default) where they are missing';

GRANT EXECUTE ON FUNCTION ctms.get_waitlist(text), ctms.list_waitlists(), ctms.list_unusable_waitlists() TO ctms_api, ctms_reader;
GRANT EXECUTE ON FUNCTION ctms.explain_waitlist_fields(jsonb, jsonb) TO ctms_reader;
-- ---------------------------------------------------------------------------
-- Stripe: objects and product segments.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.unwrap_stripe(object jsonb)
RETURNS TABLE (path text, object jsonb, content jsonb, has_more boolean)
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ctms_unwrap_stripe';
COMMENT ON FUNCTION ctms.unwrap_stripe(jsonb) IS 'The objects and events in a Stripe list, in the order in which they must be stored: path leads to them from the value, content is the object of an event or the object itself, has_more says that there are more pages. A value that is no list is returned itself, with an empty path';
GRANT EXECUTE ON FUNCTION ctms.unwrap_stripe(jsonb) TO ctms_admin;

-- Every statement of these three functions finds its rows by an index. Without
-- enable_seqscan = off, a plan that was made while a table was small would read the whole
-- table until it is analysed.
CREATE FUNCTION ctms.upsert_stripe(object jsonb, message_timestamp timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe';
COMMENT ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) IS 'Stores a Stripe object and the objects inside it, or those of a Stripe event or list, all or none; returns lists of "kind:id" in created, updated, no_change, deleted and skipped, the contacts in email_ids, FxA IDs that more than one customer claimed in fxa_id_conflict, the names in skipped by reason in skip_reasons, for an event or list count (objects that were not skipped), and warnings. Skips content that is older than the stored content, by the time of the message; that of an event is its time unless another is given';
GRANT EXECUTE ON FUNCTION ctms.upsert_stripe(jsonb, timestamptz) TO ctms_api;

-- It soon gives up waiting for a lock, before anybody looks for a deadlock (deadlock_timeout): others
-- may wait for all the rows that it has locked.
CREATE FUNCTION ctms.upsert_stripe_list(objects jsonb)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET lock_timeout = '500ms'
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe_list';
COMMENT ON FUNCTION ctms.upsert_stripe_list(jsonb) IS 'Stores the first Stripe objects or events of an array in one lock order, up to the first that has to do with an earlier one, has another time or is a Stripe list; returns an array with the report of ctms.upsert_stripe() for each of these. The report is null for an object that was not stored: call ctms.upsert_stripe() for it. Objects for which there is no report belong into the next call';
GRANT EXECUTE ON FUNCTION ctms.upsert_stripe_list(jsonb) TO ctms_admin;

CREATE FUNCTION ctms._upsert_stripe_batch(objects jsonb, message_timestamp timestamptz, default_timestamp timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ctms_upsert_stripe_batch';
COMMENT ON FUNCTION ctms._upsert_stripe_batch(jsonb, timestamptz, timestamptz) IS 'Stores the Stripe objects, events and lists of an array, those with the same time in one lock order; objects with a problem are listed in "errors" of the report instead, and count is how many were not skipped. Without a time of the message, events have their own, and other objects the default';

-- A text or number that jsonb cannot hold does not cost the rest: ["unreadable"] stands in its place,
-- which no key that ctms uses can be.
CREATE FUNCTION ctms.parse_stripe(body text) RETURNS jsonb
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ctms_clean_json';
COMMENT ON FUNCTION ctms.parse_stripe(text) IS 'The JSON of a Stripe object, or of several, for ctms.upsert_stripe(); ["unreadable"] stands for texts and numbers that jsonb cannot hold. Null when the text is not JSON';
GRANT EXECUTE ON FUNCTION ctms.parse_stripe(text) TO ctms_api;

CREATE FUNCTION ctms._clean_json(bytes bytea) RETURNS jsonb
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ctms_clean_json';
COMMENT ON FUNCTION ctms._clean_json(bytea) IS 'What ctms.parse_stripe() does, for bytes that should be UTF-8';

CREATE FUNCTION ctms._stripe_parts(payload bytea)
RETURNS TABLE (name text, object jsonb, content bytea)
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'ctms_stripe_parts';
COMMENT ON FUNCTION ctms._stripe_parts(bytea) IS 'The objects of a payload, which is one object, or an object whose keys have one ":" and whose values are objects; "object" is null where the bytes are not JSON. No row for any other payload';

CREATE FUNCTION ctms._pubsub_time(moment jsonb) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result timestamptz;
BEGIN
    IF moment #>> '{}' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$' THEN
        result := moment #>> '{}';
    END IF;
    -- With a time far ahead, all that comes later would be skipped. Clocks may differ a little.
    RETURN CASE WHEN result < now() + interval '1 day' THEN result END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._pubsub_time(jsonb) IS 'A time as Pub/Sub writes it, null for anything that is not one, and for a time more than a day ahead';

CREATE FUNCTION ctms._pubsub_message(body bytea, OUT message_id text, OUT message_timestamp timestamptz, OUT payload bytea)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message jsonb := ctms._clean_json(body) -> 'message';
BEGIN
    message_timestamp := ctms._pubsub_time(COALESCE(message -> 'publishTime', message -> 'publish_time'));
    IF jsonb_typeof(message -> 'messageId') = 'string' THEN
        message_id := message ->> 'messageId';
    END IF;
    IF jsonb_typeof(message -> 'data') = 'string' THEN
        payload := decode(message ->> 'data', 'base64');
    END IF;
EXCEPTION WHEN data_exception THEN
    NULL;  -- no base64
END
$$;
COMMENT ON FUNCTION ctms._pubsub_message(bytea) IS 'What a push message of Pub/Sub says; the payload is null if there is none, or if the body is no such message';

-- What ctms.ingest_pubsub() and ctms.retry_stripe_refused() have in common. The rows of Stripe come
-- first, then those that are kept (53_stripe_refused.sql).
CREATE FUNCTION ctms._store_stripe(content bytea, is_message boolean, message_id text, message_timestamp timestamptz, refused_timestamp timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    payload bytea := CASE WHEN NOT is_message THEN content END;
    names text[];
    objects jsonb := '[]';
    contents bytea[];
    warnings text[] := '{}';
    report jsonb := '{}';
    errors jsonb := '[]';
    status integer := 200;
    processed bigint := 0;
    refusal text;
    refused jsonb;
    is_full boolean;
    kept bigint[] := '{}';
    traced text;
    problem record;
BEGIN
    BEGIN
        IF is_message THEN
            SELECT m.message_id, COALESCE(m.message_timestamp, _store_stripe.message_timestamp), m.payload
            INTO STRICT message_id, message_timestamp, payload FROM ctms._pubsub_message(content) AS m;
        END IF;
        SELECT array_agg(p.name ORDER BY n) FILTER (WHERE NOT is_empty),
               COALESCE(jsonb_agg(COALESCE(p.object, 'null') ORDER BY n) FILTER (WHERE NOT is_empty), '[]'),
               COALESCE(array_agg(p.content ORDER BY n) FILTER (WHERE NOT is_empty), CASE WHEN count(*) > 0 THEN '{}'::bytea[] END),
               COALESCE(array_agg(CASE WHEN p.name ~ '^[A-Za-z0-9_.:-]{1,128}$' THEN p.name ELSE 'an object' END || ' is empty' ORDER BY n) FILTER (WHERE is_empty), '{}')
        INTO names, objects, contents, warnings
        FROM ctms._stripe_parts(payload) WITH ORDINALITY AS p (name, object, content, n),
            LATERAL (SELECT COALESCE(p.object IN ('null', '{}', '[]', '""'), false)) AS v (is_empty);
    EXCEPTION WHEN program_limit_exceeded THEN
        NULL;  -- more memory than is allowed: nobody can say what it is
    END;

    IF payload IS NULL THEN
        refusal := 'Message does not appear to be from pubsub, do not send again.';
        errors := jsonb_build_array(jsonb_build_object('code', 'CTS01', 'message', 'not a push message of Pub/Sub with data in base64'));
        contents := ARRAY[content];
    ELSIF contents IS NULL THEN
        refusal := 'Unknown payload type, do not send again.';
        errors := jsonb_build_array(jsonb_build_object('code', 'CTS01', 'message', 'neither a Stripe object nor Stripe objects by name'));
        contents := ARRAY[payload];
    ELSE
        report := ctms._upsert_stripe_batch(objects, message_timestamp, refused_timestamp);
        processed := report -> 'count';
        -- Each object is taken out of the message once, however many errors it has.
        errors := (SELECT COALESCE(jsonb_agg(r.error || CASE WHEN u.element IS NULL THEN '{}' ELSE '{"message": "not JSON"}' END::jsonb ORDER BY r.place), '[]')
                   FROM jsonb_array_elements(report -> 'errors') WITH ORDINALITY AS r (error, place)
                   LEFT JOIN (SELECT o.n - 1 AS element FROM jsonb_array_elements(objects) WITH ORDINALITY AS o (value, n)
                              WHERE o.value = 'null') AS u ON u.element = (r.error -> 'element')::integer);
        IF errors <> '[]' THEN
            refusal := 'Errors processing the data, do not send again.';
        END IF;
    END IF;

    refused := jsonb_path_query_array(errors, '$[*] ? (@.code != "CTS03")');
    IF jsonb_array_length(refused) > 1000 THEN
        refused := jsonb_build_array(jsonb_build_object('code', refused #> '{0,code}', 'message', 'more than 1000 objects are refused'));
        names := NULL;
        contents := ARRAY[payload];
    END IF;
    IF refused <> '[]' THEN
        -- First, so that what is due leaves room, and what comes again is not taken for it. But what
        -- is tried again must not be removed under way.
        IF refused_timestamp IS NULL THEN
            PERFORM ctms.forget_stripe_refused();
        END IF;
        is_full := ctms._is_stripe_refused_full();
    END IF;
    FOR problem IN
        SELECT DISTINCT ON (c.digest) e.error ->> 'code' AS code, e.error ->> 'message' AS reason, e.error ->> 'object' AS object, e.element,
               CASE WHEN e.error ? 'element' THEN objects -> e.element END AS json, contents[e.element + 1] AS bytes
        FROM (SELECT DISTINCT ON (n.element) r.error, n.element
              FROM jsonb_array_elements(refused) WITH ORDINALITY AS r (error, place),
                  LATERAL (SELECT COALESCE((r.error -> 'element')::integer, 0)) AS n (element)
              ORDER BY n.element, r.place) AS e,
            LATERAL (SELECT sha256(contents[e.element + 1])) AS c (digest)
        ORDER BY c.digest, e.element
    LOOP
        kept := kept || ctms._keep_stripe_refused(_store_stripe.message_id, message_timestamp, refused_timestamp,
            COALESCE(problem.object, names[problem.element + 1]), problem.code,
            problem.reason, payload IS NULL, problem.bytes, problem.json, is_full);
    END LOOP;

    IF errors @? '$[*] ? (@.code == "CTS03")' THEN
        status := 409;
    ELSIF refusal IS NOT NULL THEN
        status := CASE WHEN array_position(kept, NULL) IS NULL THEN 202 ELSE 503 END;
    ELSIF message_timestamp IS NULL THEN
        warnings := warnings || text 'the message has no publishTime';
    END IF;
    SELECT string_agg(t.email, ',' ORDER BY t.email) INTO traced FROM (
        SELECT DISTINCT object ->> 'email' AS email
        FROM (SELECT jsonb_array_elements(objects)
              UNION ALL SELECT jsonb_path_query(e, '$.**{1 to 7} ? (@.object == "customer")') FROM jsonb_array_elements(objects) AS e
              WHERE e ->> 'object' IN ('event', 'list', 'search_result')) AS o (object)
        WHERE object ->> 'email' ~ '[+](trace_me_mozilla_|trace-me-mozilla-)'
          AND length(object ->> 'email') <= 255
        ORDER BY 1 LIMIT 10) AS t;
    RETURN jsonb_build_object(
        'status', status,
        'count', processed,
        'refusal', refusal,
        'report', report - 'errors',
        'errors', (SELECT COALESCE(jsonb_agg(e - 'element'), '[]') FROM jsonb_array_elements(errors) AS e),
        'kept', kept,
        'warnings', warnings,
        'message_id', message_id,
        'trace', traced,
        'trace_json', CASE WHEN traced IS NOT NULL THEN COALESCE(ctms._clean_json(payload), objects) END);
END
$$;
COMMENT ON FUNCTION ctms._store_stripe(bytea, boolean, text, timestamptz, timestamptz) IS 'Stores the Stripe objects of a push message, or of its payload, and keeps those that are refused; says what was done. What is tried again was refused at refused_timestamp';

CREATE FUNCTION ctms.ingest_pubsub(body bytea) RETURNS json
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored jsonb := ctms._store_stripe(COALESCE(body, ''), true, NULL, NULL, NULL);
BEGIN
    RETURN json_build_object(
        'status', stored -> 'status',
        'count', stored -> 'count',
        'response', CASE stored ->> 'status'
            WHEN '200' THEN json_build_object('status', 'OK', 'count', stored -> 'count')
            WHEN '202' THEN json_build_object('status', 'Accepted but not processed', 'message', stored -> 'refusal')
            WHEN '503' THEN json_build_object('detail', 'Too many refused objects are kept, try again later')
            ELSE json_build_object('detail', 'Write conflict, try again') END,
        'ingest_actions', (stored -> 'report') - '{email_ids,fxa_id_conflict,count,warnings}'::text[],
        'email_ids', COALESCE(stored #> '{report,email_ids}', '[]'),
        'fxa_id_conflict', COALESCE(stored #> '{report,fxa_id_conflict}', '[]'),
        'errors', stored -> 'errors',
        'kept', (SELECT count(k) FROM jsonb_array_elements_text(stored -> 'kept') AS k),
        'warnings', stored -> 'warnings' || COALESCE(stored #> '{report,warnings}', '[]'),
        'message_id', stored ->> 'message_id',
        'trace', stored ->> 'trace',
        'trace_json', NULLIF(stored -> 'trace_json', 'null'));
END
$$;
COMMENT ON FUNCTION ctms.ingest_pubsub(bytea) IS 'Stores the Stripe objects of a push message of Pub/Sub; returns the HTTP status and the response to answer with, count (objects that were not skipped) and ingest_actions for what was done, email_ids, fxa_id_conflict, errors, kept (how many of these are kept in ctms.stripe_refused), warnings, and for the log message_id, trace and trace_json';

CREATE FUNCTION ctms.ingest_pubsub(body text) RETURNS json
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ctms.ingest_pubsub(convert_to(body, 'UTF8'))
$$;
COMMENT ON FUNCTION ctms.ingest_pubsub(text) IS 'The same for a body that is text';
GRANT EXECUTE ON FUNCTION ctms.ingest_pubsub(bytea), ctms.ingest_pubsub(text) TO ctms_api;

CREATE FUNCTION ctms.enqueue_stripe(object jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    kinds CONSTANT text[] := '{customer,subscription,subscription_item,invoice,price}';
    part record;
    kind text;
    id text;
    customer text;
    subscription text;
    contacts uuid[];
    all_contacts uuid[] := '{}';
    enqueued text[] := '{}';
    unused text[] := '{}';
    previews text[] := '{}';
    unconnected text[] := '{}';
BEGIN
    FOR part IN SELECT u.path, u.content, u.object ->> 'object' = 'event' AS is_event,
        u.object ->> 'object' = 'event' AND u.object ->> 'type' = 'invoice.upcoming' AS is_upcoming FROM ctms.unwrap_stripe(enqueue_stripe.object) AS u LOOP
        -- A plan is the older form of a price.
        kind := CASE part.content ->> 'object' WHEN 'plan' THEN 'price' ELSE part.content ->> 'object' END;
        -- As ctms.upsert_stripe() sees it. Of an invoice.upcoming the event is all that there is.
        IF part.is_upcoming AND part.content ->> 'id' IS NOT NULL OR kind = 'invoice' AND COALESCE(part.content ->> 'id', 'upcoming_in_') LIKE 'upcoming\_in\_%' THEN
            previews := previews || (kind || ':' || COALESCE(left(part.content ->> 'id', 255), ''));
            CONTINUE;
        END IF;
        -- Such as the balance of an account.
        IF part.is_event AND part.content ->> 'id' IS NULL AND jsonb_typeof(part.content -> 'object') = 'string' AND kind <> ALL (kinds || '{list,search_result,event}') THEN
            unused := unused || (left(kind, 255) || ':');
            CONTINUE;
        END IF;
        IF jsonb_typeof(part.content -> 'object') IS DISTINCT FROM 'string' OR jsonb_typeof(part.content -> 'id') IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION '%not a Stripe object: "object" and "id" are needed', part.path || CASE WHEN part.path <> '' THEN ': ' ELSE '' END
                USING ERRCODE = 'CTS01';
        END IF;
        id := part.content ->> 'id';
        -- A reference is an id or the object that has it.
        customer := COALESCE(part.content #>> '{customer,id}', part.content ->> 'customer');
        subscription := COALESCE(part.content #>> '{subscription,id}', part.content ->> 'subscription');
        SELECT array_agg(DISTINCT f.email_id) INTO contacts FROM (
            SELECT part.content ->> 'description' AS fxa_id WHERE kind = 'customer'
            UNION ALL
            SELECT c.fxa_id FROM ctms.stripe_customer AS c
            WHERE c.stripe_id = CASE kind WHEN 'customer' THEN id WHEN 'subscription' THEN customer WHEN 'invoice' THEN customer END
            UNION ALL
            SELECT c.fxa_id FROM ctms.stripe_subscription AS s JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id
            WHERE s.stripe_id = CASE kind WHEN 'subscription_item' THEN COALESCE(subscription,
                (SELECT i.stripe_subscription_id FROM ctms.stripe_subscription_item AS i WHERE i.stripe_id = id)) END
            UNION ALL
            SELECT c.fxa_id FROM ctms.stripe_subscription_item AS i
            JOIN ctms.stripe_subscription AS s ON s.stripe_id = i.stripe_subscription_id
            JOIN ctms.stripe_customer AS c ON c.stripe_id = s.stripe_customer_id
            WHERE i.stripe_price_id = CASE kind WHEN 'price' THEN id END
        ) AS k JOIN ctms.fxa AS f ON f.fxa_id = k.fxa_id;
        IF kind <> ALL (kinds) THEN
            unused := unused || (left(kind, 255) || ':' || left(id, 255));
        ELSIF contacts IS NULL THEN
            unconnected := unconnected || (kind || ':' || left(id, 255));
        ELSE
            enqueued := enqueued || (kind || ':' || id);
            all_contacts := all_contacts || contacts;
        END IF;
    END LOOP;
    all_contacts := ARRAY(SELECT DISTINCT e FROM unnest(all_contacts) AS e ORDER BY e);
    IF cardinality(all_contacts) > 0 THEN
        PERFORM ctms.enqueue_contacts(all_contacts);
    END IF;
    RETURN (SELECT COALESCE(jsonb_object_agg(key, value), '{}') FROM (VALUES
        ('enqueued', to_jsonb(enqueued)), ('email_ids', to_jsonb(all_contacts)), ('skipped', to_jsonb(unused || previews || unconnected)),
        ('skip_reasons', jsonb_strip_nulls(jsonb_build_object('unused_type', NULLIF(unused, '{}'), 'preview', NULLIF(previews, '{}'), 'no_contact', NULLIF(unconnected, '{}')))))
        AS v (key, value) WHERE value NOT IN ('[]', '{}'));
END
$$;
COMMENT ON FUNCTION ctms.enqueue_stripe(jsonb) IS 'Enqueues the contacts that a Stripe object, or those of a Stripe event or list, concern as if they had changed, and does not store the object; a price concerns everyone who subscribes to it. Returns enqueued and email_ids, or skipped with skip_reasons';

CREATE TYPE ctms.segment AS ENUM (
    'active', 're-active', 'cancelling', 're-cancelling', 'canceled', 're-canceled', 'other'
);
COMMENT ON TYPE ctms.segment IS 'Where a contact stands with a product; "re-" when the contact has several subscription items of it';

CREATE FUNCTION ctms.product_segment(status text, canceled_at timestamptz, sub_count bigint)
RETURNS ctms.segment
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ctms_product_segment';
COMMENT ON FUNCTION ctms.product_segment(text, timestamptz, bigint) IS 'Segment of a product, from status and canceled_at of its latest subscription and the number of its items';
GRANT EXECUTE ON FUNCTION ctms.product_segment(text, timestamptz, bigint) TO ctms_api, ctms_agent, ctms_reader;

CREATE FUNCTION ctms._product_subscriptions(email_ids uuid[])
RETURNS TABLE (
    email_id uuid, payment_service text, product_id text, product_name text, segment ctms.segment,
    changed timestamptz, sub_count bigint, price_id text, payment_type text, card_brand text,
    card_last4 text, billing_country text, currency text, amount bigint, interval_count integer,
    "interval" text, status text, created timestamptz, start timestamptz,
    current_period_start timestamptz, current_period_end timestamptz, canceled_at timestamptz,
    cancel_at_period_end boolean, ended_at timestamptz
)
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 100
AS 'MODULE_PATHNAME', 'ctms_product_subscriptions_of';
COMMENT ON FUNCTION ctms._product_subscriptions(uuid[]) IS 'The products of many contacts, ordered by contact and product';

CREATE FUNCTION ctms.product_subscriptions(email_id uuid)
RETURNS TABLE (
    payment_service text, product_id text, product_name text, segment ctms.segment,
    changed timestamptz, sub_count bigint, price_id text, payment_type text, card_brand text,
    card_last4 text, billing_country text, currency text, amount bigint, interval_count integer,
    "interval" text, status text, created timestamptz, start timestamptz,
    current_period_start timestamptz, current_period_end timestamptz, canceled_at timestamptz,
    cancel_at_period_end boolean, ended_at timestamptz
)
LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 5
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'ctms_product_subscriptions';
COMMENT ON FUNCTION ctms.product_subscriptions(uuid) IS 'The Stripe products of a contact with their segments, one row each, ordered by product_id';
GRANT EXECUTE ON FUNCTION ctms.product_subscriptions(uuid) TO ctms_api, ctms_agent, ctms_reader;
-- ---------------------------------------------------------------------------
-- Triggers on the tables: timestamps, and what fills the Acoustic queue.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._update_timestamp() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__update_timestamp';
COMMENT ON FUNCTION ctms._update_timestamp() IS 'Row trigger BEFORE UPDATE: when a value changes, sets update_timestamp to now(), unless the statement set it; arguments are columns that do not count';

CREATE FUNCTION ctms._enqueue() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__enqueue';
COMMENT ON FUNCTION ctms._enqueue() IS 'Row trigger BEFORE UPDATE, AFTER INSERT or DELETE: enqueues the contact at commit; arguments are the kind of key, its column, and columns that do not count';

-- Everything that knows a contact knows it by its id: Acoustic, clients, the queue, your own tables.
-- UPDATEs that do not name the column are not asked.
CREATE FUNCTION ctms._refuse_new_id() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE check_violation USING
        MESSAGE = 'the email_id of a contact never changes',
        HINT = 'To have it under another id, delete the contact and create it again.',
        SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = 'email_id';
END
$$;
COMMENT ON FUNCTION ctms._refuse_new_id() IS 'Row trigger BEFORE UPDATE OF email_id on ctms.emails: refuses another id';

CREATE TRIGGER ctms_emails_keeps_id BEFORE UPDATE OF email_id ON ctms.emails FOR EACH ROW
    WHEN (OLD.email_id <> NEW.email_id) EXECUTE FUNCTION ctms._refuse_new_id();
CREATE TRIGGER ctms_emails_update_timestamp BEFORE UPDATE ON ctms.emails
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_newsletters_update_timestamp BEFORE UPDATE ON ctms.newsletters
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_waitlists_update_timestamp BEFORE UPDATE ON ctms.waitlists
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_waitlist_fields_schemas_update_timestamp BEFORE UPDATE ON ctms.waitlist_fields_schemas
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_fxa_update_timestamp BEFORE UPDATE ON ctms.fxa
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_amo_update_timestamp BEFORE UPDATE ON ctms.amo
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_mofo_update_timestamp BEFORE UPDATE ON ctms.mofo
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_api_client_update_timestamp BEFORE UPDATE ON ctms.api_client
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_pending_acoustic_update_timestamp BEFORE UPDATE ON ctms.pending_acoustic
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

CREATE TRIGGER ctms_stripe_unresolved_update_timestamp BEFORE UPDATE ON ctms.stripe_unresolved
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- The time of a message is not part of the object.
CREATE TRIGGER ctms_stripe_customer_update_timestamp BEFORE UPDATE ON ctms.stripe_customer
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp', 'deletion_timestamp');
CREATE TRIGGER ctms_stripe_price_update_timestamp BEFORE UPDATE ON ctms.stripe_price
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp');
CREATE TRIGGER ctms_stripe_invoice_update_timestamp BEFORE UPDATE ON ctms.stripe_invoice
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp', 'list_timestamp');
CREATE TRIGGER ctms_stripe_invoice_line_item_update_timestamp BEFORE UPDATE ON ctms.stripe_invoice_line_item
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp');
CREATE TRIGGER ctms_stripe_subscription_update_timestamp BEFORE UPDATE ON ctms.stripe_subscription
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp', 'list_timestamp');
CREATE TRIGGER ctms_stripe_subscription_item_update_timestamp BEFORE UPDATE ON ctms.stripe_subscription_item
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp('message_timestamp');

-- The triggers that fill the queue, three for each table that is sent to Acoustic. Their arguments
-- are the kind of key, its column, and columns that do not count. When a contact is deleted, a
-- foreign key deletes its queue row. Rows of Stripe belong to the contact with the FxA ID of their
-- customer. A price can belong to very many contacts, so only the columns that product rows show
-- count; a new price has no items yet, and a price with items cannot be deleted.
--
-- Triggers fire in the order of their names: "_updated" comes after "_update_timestamp". Give your
-- own BEFORE UPDATE trigger a name that sorts before "ctms". If it fires after these triggers, an
-- UPDATE that changes nothing enqueues the contact. TRUNCATE fires no row triggers.
DO $$
DECLARE
    fed record;
BEGIN
    FOR fed IN
        SELECT relation, pg_catalog.string_agg(pg_catalog.quote_literal(a.arg), ', ' ORDER BY a.n) AS args,
            pg_catalog.string_agg(pg_catalog.quote_literal(a.arg), ', ' ORDER BY a.n) FILTER (WHERE a.n <= 2) AS key
        FROM (VALUES
            ('emails', ARRAY['contact', 'email_id']),
            ('newsletters', ARRAY['contact', 'email_id']),
            ('waitlists', ARRAY['contact', 'email_id']),
            ('fxa', ARRAY['contact', 'email_id']),
            ('amo', ARRAY['contact', 'email_id']),
            ('mofo', ARRAY['contact', 'email_id']),
            ('stripe_customer', ARRAY['fxa', 'fxa_id', 'message_timestamp', 'deletion_timestamp', 'update_timestamp']),
            ('stripe_subscription', ARRAY['customer', 'stripe_customer_id', 'message_timestamp', 'list_timestamp', 'update_timestamp']),
            ('stripe_subscription_item', ARRAY['subscription', 'stripe_subscription_id', 'message_timestamp', 'deletion_timestamp', 'update_timestamp']),
            ('stripe_price', ARRAY['price', 'stripe_id', 'message_timestamp', 'update_timestamp', 'active', 'stripe_created']),
            ('stripe_invoice', ARRAY['customer', 'stripe_customer_id', 'message_timestamp', 'deletion_timestamp', 'list_timestamp', 'update_timestamp']),
            ('stripe_invoice_line_item', ARRAY['invoice', 'stripe_invoice_id', 'message_timestamp', 'update_timestamp'])
        ) AS list (relation, args), LATERAL pg_catalog.unnest(list.args) WITH ORDINALITY AS a (arg, n)
        GROUP BY relation ORDER BY relation
    LOOP
        IF fed.relation <> 'stripe_price' THEN
            EXECUTE pg_catalog.format('CREATE TRIGGER %I AFTER INSERT%s ON ctms.%I FOR EACH ROW EXECUTE FUNCTION ctms._enqueue(%s)',
                'ctms_' || fed.relation || '_enqueue', CASE WHEN fed.relation <> 'emails' THEN ' OR DELETE' END,
                fed.relation, fed.args);
        END IF;
        EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE UPDATE ON ctms.%I FOR EACH ROW EXECUTE FUNCTION ctms._enqueue(%s)',
            'ctms_' || fed.relation || '_updated', fed.relation, fed.args);
        IF fed.relation <> 'emails' THEN
            EXECUTE pg_catalog.format('CREATE TRIGGER %I BEFORE TRUNCATE ON ctms.%I EXECUTE FUNCTION ctms._enqueue(%s)',
                'ctms_' || fed.relation || '_enqueue_all', fed.relation, fed.key);
        END IF;
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------
-- Functions for agents. Each call is a transaction of its own.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.claim_acoustic(agent text, batch_limit integer, retry_limit integer, lease interval,
    bulk_limit integer DEFAULT NULL)
    RETURNS TABLE (email_id uuid, generation bigint, retry integer, state text, is_bulk boolean)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_claim_acoustic';
COMMENT ON FUNCTION ctms.claim_acoustic(text, integer, integer, interval, integer) IS 'Leases up to batch_limit contacts to an agent, at most bulk_limit of them from the bulk lane (null: no limit of its own); never one that another agent holds. Live contacts come first, but one in ten is bulk and one in ten a deletion while such wait; in each lane fewest retries first, then oldest change. state is new, again (tried before, so it is not certain what Acoustic has) or deleted (the deletion must be sent)';

CREATE FUNCTION ctms.finish_acoustic(agent text, email_ids uuid[], generations bigint[],
    outcomes text[] DEFAULT NULL, hashes text[] DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_finish_acoustic';
COMMENT ON FUNCTION ctms.finish_acoustic(text, uuid[], bigint[], text[], text[]) IS 'Removes what the agent has sent and returns how many; a contact that changed since it was claimed stays and is free to claim. outcomes (sent, which is the default, unchanged, skipped) go to the history; hashes are those of ctms.acoustic_outgoing(), or null if not everything was sent';

CREATE FUNCTION ctms.fail_acoustic(agent text, email_ids uuid[], generations bigint[], errors text[],
    is_permanent boolean[], retry_limit integer) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_fail_acoustic';
COMMENT ON FUNCTION ctms.fail_acoustic(text, uuid[], bigint[], text[], boolean[], integer) IS 'Counts a failed attempt for each contact and makes it wait, longer each time; after a permanent failure, or at the limit, it waits until the contact changes. Returns how many rows the agent held';

CREATE FUNCTION ctms.release_acoustic(agent text) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_release_acoustic';
COMMENT ON FUNCTION ctms.release_acoustic(text) IS 'Gives back all that the agent holds, as if it had never claimed it; returns how many';

GRANT EXECUTE ON FUNCTION ctms.claim_acoustic(text, integer, integer, interval, integer),
    ctms.finish_acoustic(text, uuid[], bigint[], text[], text[]),
    ctms.fail_acoustic(text, uuid[], bigint[], text[], boolean[], integer),
    ctms.release_acoustic(text) TO ctms_agent;

-- ---------------------------------------------------------------------------
-- Functions for operators and health checks.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.enqueue_contacts(email_ids uuid[], lane text DEFAULT 'bulk') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_enqueue_contacts';
COMMENT ON FUNCTION ctms.enqueue_contacts(uuid[], text) IS 'Enqueues these contacts as if they had changed, at once, even if ctms.enqueue is off, in the lane bulk or live; one that waits in the live lane stays there. Returns how many of them exist';

CREATE FUNCTION ctms.reset_acoustic_retries(email_ids uuid[] DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_reset_acoustic_retries';
COMMENT ON FUNCTION ctms.reset_acoustic_retries(uuid[]) IS 'Gives a fresh start to the queue rows that have failed, also those that were given up, of these contacts, or of all; returns how many';

CREATE FUNCTION ctms.cancel_acoustic(email_ids uuid[] DEFAULT NULL, batch_limit integer DEFAULT 10000) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_cancel_acoustic';
COMMENT ON FUNCTION ctms.cancel_acoustic(uuid[], integer) IS 'Takes these contacts, or all, out of the bulk lane, at most batch_limit of them; what an agent holds, the live lane and deletions stay. Returns how many: call it until that is 0';

CREATE FUNCTION ctms.acoustic_backlog(retry_limit integer, OUT backlog bigint, OUT retry_backlog bigint)
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_acoustic_backlog';
COMMENT ON FUNCTION ctms.acoustic_backlog(integer) IS 'How many contacts wait to be sent (including those being sent and those waiting after a failure, but not those that were given up), and how many have failed since they last changed (including those that were given up). Exact up to 10000, estimated above that';

CREATE FUNCTION ctms.acoustic_lanes(retry_limit integer DEFAULT 6)
    RETURNS TABLE (lane text, backlog bigint, oldest_age_s double precision)
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_acoustic_lanes';
COMMENT ON FUNCTION ctms.acoustic_lanes(integer) IS 'For each lane (live, which has the deletions too, and bulk): how many contacts wait to be sent, as ctms.acoustic_backlog() counts them, and the age in seconds of the oldest change of them that is ready to be sent, or is being sent; 0 when there is none';

CREATE FUNCTION ctms.acoustic_configuration() RETURNS json
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_build_object(
        'sync_fields', (
            SELECT COALESCE(json_object_agg(tablename, fields ORDER BY tablename), '{}') FROM (
                SELECT tablename, json_agg(field ORDER BY field) AS fields
                FROM ctms.acoustic_field GROUP BY tablename) AS by_table),
        'newsletter_mappings', (
            SELECT COALESCE(json_object_agg(source, destination ORDER BY source), '{}')
            FROM ctms.acoustic_newsletter_mapping))
$$;
COMMENT ON FUNCTION ctms.acoustic_configuration() IS 'Synced fields by table and the newsletter mapping, as GET /acoustic_configuration shows them';

GRANT EXECUTE ON FUNCTION ctms.acoustic_backlog(integer), ctms.acoustic_lanes(integer) TO ctms_api, ctms_agent, ctms_monitor;
GRANT EXECUTE ON FUNCTION ctms.acoustic_configuration() TO ctms_api, ctms_agent;
-- ---------------------------------------------------------------------------
-- What ctms remembers about Acoustic in addition to the queue: what was deleted here and is still
-- in Acoustic (the setting acoustic_deletions, off by default), what was last sent
-- (acoustic_skip_unchanged, off by default), and what happened (acoustic_history).
-- There are no foreign keys: these rows outlive their contacts, or a trigger removes them.
-- ---------------------------------------------------------------------------

-- A queue like ctms.pending_acoustic, for deleted contacts. It also keeps the lease of a contact
-- that was deleted while it was being sent: if the contact comes back meanwhile, no agent may send
-- it before the first sender is done with the old state. The generation of that state is lower than
-- any here, so the finish or fail of the first sender only gives the lease back.
CREATE TABLE ctms.acoustic_deleted_contact (
    email_id uuid PRIMARY KEY,
    is_to_send boolean NOT NULL DEFAULT true,
    retry integer NOT NULL DEFAULT 0,
    last_error text,
    generation bigint NOT NULL DEFAULT (hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807),
    retry_after timestamptz,
    lease_until timestamptz,
    lease_owner text,
    lease_generation bigint,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0);
CREATE INDEX acoustic_deleted_contact_claim_idx ON ctms.acoustic_deleted_contact
    (retry_after NULLS FIRST, retry, create_timestamp);
COMMENT ON TABLE ctms.acoustic_deleted_contact IS 'Deleted contacts whose deletion was not sent to Acoustic yet, or that were being sent when they were deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.email_id IS 'The contact that was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.is_to_send IS 'The deletion must be sent to Acoustic; false if only the lease is kept';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.retry IS 'Failed attempts';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.last_error IS 'What went wrong last, and when; never personal data';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.generation IS 'A new number, that never comes again, for each deletion';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.retry_after IS 'As in ctms.pending_acoustic';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_until IS 'When the lease of the agent that has claimed the row, or is still sending the contact, ends';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_owner IS 'The agent that has claimed the row, or is still sending the contact';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.lease_generation IS 'The generation that the agent has claimed; null while it is still sending the contact';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.create_timestamp IS 'When the contact was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_contact.update_timestamp IS 'When the row was last written: claimed or failed';

CREATE TABLE ctms.acoustic_deleted_row (
    email_id uuid,
    kind text,
    name text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email_id, kind, name)
);
COMMENT ON TABLE ctms.acoustic_deleted_row IS 'Rows that were deleted here and may still be in a relational table of Acoustic; rows that have come back are skipped';
COMMENT ON COLUMN ctms.acoustic_deleted_row.email_id IS 'The contact whose row was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_row.kind IS 'newsletter, waitlist or product';
COMMENT ON COLUMN ctms.acoustic_deleted_row.name IS 'Name of the newsletter or waitlist, or id of the product';
COMMENT ON COLUMN ctms.acoustic_deleted_row.create_timestamp IS 'When the row was deleted';
COMMENT ON COLUMN ctms.acoustic_deleted_row.update_timestamp IS 'When the row of this table was last written';

CREATE TABLE ctms.acoustic_sent (
    email_id uuid PRIMARY KEY,
    hashes jsonb NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE ctms.acoustic_sent IS 'What was last sent to Acoustic for each contact, as hashes; valid only while the contact''s queue row, if there is one, was never tried';
COMMENT ON COLUMN ctms.acoustic_sent.email_id IS 'The contact';
COMMENT ON COLUMN ctms.acoustic_sent.hashes IS 'One hash for each row; the key is "main", or the kind, a colon and the name';
COMMENT ON COLUMN ctms.acoustic_sent.create_timestamp IS 'When hashes of the contact were first kept';
COMMENT ON COLUMN ctms.acoustic_sent.update_timestamp IS 'When the hashes last changed';

CREATE TABLE ctms.acoustic_history (
    id bigserial PRIMARY KEY,
    email_id uuid NOT NULL,
    outcome text NOT NULL,
    error text,
    create_timestamp timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX acoustic_history_contact_idx ON ctms.acoustic_history (email_id, create_timestamp);
COMMENT ON TABLE ctms.acoustic_history IS 'What became of attempts to send a contact: failures and deletions, and with the setting acoustic_history_sent all. Kept for the time that the setting acoustic_history_age says, in at most acoustic_history_rows rows';
COMMENT ON COLUMN ctms.acoustic_history.id IS 'A number of the row';
COMMENT ON COLUMN ctms.acoustic_history.email_id IS 'The contact that was sent, which may have been deleted since';
COMMENT ON COLUMN ctms.acoustic_history.outcome IS 'sent, unchanged (nothing to send), skipped (sending is turned off), deleted or failed';
COMMENT ON COLUMN ctms.acoustic_history.error IS 'What went wrong; never personal data';
COMMENT ON COLUMN ctms.acoustic_history.create_timestamp IS 'When the attempt ended';

CREATE FUNCTION ctms.forget_acoustic_history() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_forget_acoustic_history';
COMMENT ON FUNCTION ctms.forget_acoustic_history() IS 'Removes up to 5000 rows of the history that have been kept for long enough, or are too many; returns how many. Agents call it once a minute, because the history also grows old where nothing is written';
GRANT EXECUTE ON FUNCTION ctms.forget_acoustic_history() TO ctms_agent;

CREATE TRIGGER ctms_acoustic_deleted_contact_update_timestamp BEFORE UPDATE ON ctms.acoustic_deleted_contact
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_deleted_row_update_timestamp BEFORE UPDATE ON ctms.acoustic_deleted_row
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_sent_update_timestamp BEFORE UPDATE ON ctms.acoustic_sent
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- ---------------------------------------------------------------------------
-- Deletions.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._carries_deletions() RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ctms__carries_deletions';
COMMENT ON FUNCTION ctms._carries_deletions() IS 'Whether deletions of this session must be sent to Acoustic';

CREATE FUNCTION ctms._wake_agents() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__wake_agents';
COMMENT ON FUNCTION ctms._wake_agents() IS 'Wakes the agents that wait, if any, when the transaction commits';

-- BEFORE, because afterwards the foreign key has deleted the queue row, and with it the lease.
CREATE FUNCTION ctms._note_deleted_contact() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_carried boolean := ctms._carries_deletions();
    lease timestamptz;
    owner text;
    hold timestamptz;  -- of a file that has the contact: kept like the lease
BEGIN
    SELECT q.lease_until, q.lease_owner, CASE WHEN q.retry_after = q.lease_until THEN q.retry_after END
    INTO lease, owner, hold FROM ctms.pending_acoustic q WHERE q.email_id = OLD.email_id FOR UPDATE;
    IF is_carried OR lease > clock_timestamp() THEN
        INSERT INTO ctms.acoustic_deleted_contact AS d (email_id, is_to_send, lease_until, lease_owner, retry_after)
        VALUES (OLD.email_id, is_carried, lease, owner, hold)
        ON CONFLICT (email_id) DO UPDATE SET
            is_to_send = d.is_to_send OR EXCLUDED.is_to_send,
            generation = EXCLUDED.generation,
            retry = 0, last_error = NULL,
            retry_after = CASE WHEN d.retry_after = d.lease_until AND d.lease_until > clock_timestamp() THEN d.retry_after
                ELSE EXCLUDED.retry_after END,
            lease_owner = CASE WHEN d.lease_until > clock_timestamp() THEN d.lease_owner ELSE EXCLUDED.lease_owner END,
            lease_generation = CASE WHEN d.lease_until > clock_timestamp() THEN d.lease_generation END,
            lease_until = GREATEST(d.lease_until, EXCLUDED.lease_until);
        -- Leases that were kept and have ended.
        DELETE FROM ctms.acoustic_deleted_contact d WHERE d.email_id IN (
            SELECT o.email_id FROM ctms.acoustic_deleted_contact o
            WHERE NOT o.is_to_send AND (o.lease_until <= clock_timestamp() OR o.lease_until IS NULL)
            ORDER BY o.email_id LIMIT 100 FOR UPDATE SKIP LOCKED);
    END IF;
    IF is_carried THEN
        PERFORM ctms._wake_agents();
    END IF;
    DELETE FROM ctms.acoustic_sent s WHERE s.email_id = OLD.email_id;
    DELETE FROM ctms.acoustic_history h WHERE h.email_id = OLD.email_id;
    RETURN OLD;
END
$$;
COMMENT ON FUNCTION ctms._note_deleted_contact() IS 'Row trigger BEFORE DELETE on ctms.emails: notes the deletion that must be sent to Acoustic, and forgets what was sent';

CREATE TRIGGER ctms_emails_deleted BEFORE DELETE ON ctms.emails
    FOR EACH ROW EXECUTE FUNCTION ctms._note_deleted_contact();

-- An existing note is written again, because an agent that is about to remove it skips notes that
-- others write.
CREATE FUNCTION ctms._note_deleted_rows() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT ctms._carries_deletions() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name) VALUES (OLD.email_id, TG_ARGV[0], OLD.name)
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    ELSE
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name)
        SELECT g.email_id, TG_ARGV[0], g.name FROM gone g ORDER BY g.email_id, g.name
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._note_deleted_rows() IS 'Trigger on ctms.newsletters and ctms.waitlists: notes rows that are deleted or renamed; the argument is their kind';

CREATE TRIGGER ctms_newsletters_deleted AFTER DELETE ON ctms.newsletters REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._note_deleted_rows('newsletter');
CREATE TRIGGER ctms_waitlists_deleted AFTER DELETE ON ctms.waitlists REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._note_deleted_rows('waitlist');
CREATE TRIGGER ctms_newsletters_renamed AFTER UPDATE OF email_id, name ON ctms.newsletters FOR EACH ROW
    WHEN ((OLD.email_id, OLD.name) IS DISTINCT FROM (NEW.email_id, NEW.name))
    EXECUTE FUNCTION ctms._note_deleted_rows('newsletter');
CREATE TRIGGER ctms_waitlists_renamed AFTER UPDATE OF email_id, name ON ctms.waitlists FOR EACH ROW
    WHEN ((OLD.email_id, OLD.name) IS DISTINCT FROM (NEW.email_id, NEW.name))
    EXECUTE FUNCTION ctms._note_deleted_rows('waitlist');

CREATE FUNCTION ctms._note_deleted_products() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT ctms._carries_deletions() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name)
        SELECT f.email_id, 'product', p.stripe_product_id FROM ctms.stripe_price p
        JOIN ctms.stripe_subscription s ON s.stripe_id = OLD.stripe_subscription_id
        JOIN ctms.stripe_customer c ON c.stripe_id = s.stripe_customer_id
        JOIN ctms.fxa f ON f.fxa_id = c.fxa_id
        WHERE p.stripe_id = OLD.stripe_price_id
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    ELSE
        INSERT INTO ctms.acoustic_deleted_row AS d (email_id, kind, name)
        SELECT DISTINCT f.email_id, 'product', p.stripe_product_id FROM gone g
        JOIN ctms.stripe_price p ON p.stripe_id = g.stripe_price_id
        JOIN ctms.stripe_subscription s ON s.stripe_id = g.stripe_subscription_id
        JOIN ctms.stripe_customer c ON c.stripe_id = s.stripe_customer_id
        JOIN ctms.fxa f ON f.fxa_id = c.fxa_id
        ORDER BY 1, 3
        ON CONFLICT (email_id, kind, name) DO UPDATE SET update_timestamp = clock_timestamp();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._note_deleted_products() IS 'Trigger on ctms.stripe_subscription_item: notes products that contacts may no longer have';

-- A TRUNCATE must not lose these deletions; and if it comes before a reload, they must not be
-- sent to Acoustic.
CREATE FUNCTION ctms._refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF ctms._carries_deletions() AND (CASE TG_TABLE_NAME
        WHEN 'emails' THEN EXISTS (SELECT FROM ctms.emails)
        WHEN 'newsletters' THEN EXISTS (SELECT FROM ctms.newsletters)
        WHEN 'waitlists' THEN EXISTS (SELECT FROM ctms.waitlists)
        ELSE EXISTS (SELECT FROM ctms.stripe_subscription_item) END)
    THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('cannot truncate "%s.%s" while deletions are carried to Acoustic', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'DELETE has them carried over; with the setting acoustic_deletions off, Acoustic keeps what it has.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._refuse_truncate() IS 'Trigger BEFORE TRUNCATE: refuses it while deletions are carried to Acoustic, because they would be lost';

CREATE TRIGGER ctms_emails_no_truncate BEFORE TRUNCATE ON ctms.emails
    EXECUTE FUNCTION ctms._refuse_truncate();
CREATE TRIGGER ctms_newsletters_no_truncate BEFORE TRUNCATE ON ctms.newsletters
    EXECUTE FUNCTION ctms._refuse_truncate();
CREATE TRIGGER ctms_waitlists_no_truncate BEFORE TRUNCATE ON ctms.waitlists
    EXECUTE FUNCTION ctms._refuse_truncate();
CREATE TRIGGER ctms_stripe_subscription_item_no_truncate BEFORE TRUNCATE ON ctms.stripe_subscription_item
    EXECUTE FUNCTION ctms._refuse_truncate();

CREATE TRIGGER ctms_stripe_subscription_item_deleted AFTER DELETE ON ctms.stripe_subscription_item
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ctms._note_deleted_products();
CREATE TRIGGER ctms_stripe_subscription_item_moved AFTER UPDATE ON ctms.stripe_subscription_item FOR EACH ROW
    WHEN (NOT OLD.deleted AND (NEW.deleted OR
        (OLD.stripe_subscription_id, OLD.stripe_price_id) IS DISTINCT FROM (NEW.stripe_subscription_id, NEW.stripe_price_id)))
    EXECUTE FUNCTION ctms._note_deleted_products();
-- ---------------------------------------------------------------------------
-- What ctms.ingest_pubsub() has refused. Pub/Sub does not send it again, so it is kept for a later
-- version of ctms, or for somebody who mends it.
--
-- Rows are locked after those of Stripe, and before contacts and the queue.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.stripe_refused (
    id bigserial PRIMARY KEY,
    message_id text NOT NULL DEFAULT '',
    message_timestamp timestamptz,
    object text,
    code text NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    customer_id text,
    fxa_id text,
    is_message boolean NOT NULL DEFAULT false,
    digest bytea NOT NULL,
    content bytea NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    UNIQUE (message_id, digest)
) WITH (toast_tuple_target = 128); -- so that counting reads no content
CREATE INDEX stripe_refused_age_idx ON ctms.stripe_refused (create_timestamp);
CREATE INDEX stripe_refused_customer_idx ON ctms.stripe_refused (customer_id);
CREATE INDEX stripe_refused_fxa_idx ON ctms.stripe_refused (fxa_id);
COMMENT ON TABLE ctms.stripe_refused IS 'Stripe objects, and messages of Pub/Sub, that could not be stored; kept for the setting stripe_refused_age. Personal data';
COMMENT ON COLUMN ctms.stripe_refused.id IS 'A number of the row, for ctms.retry_stripe_refused()';
COMMENT ON COLUMN ctms.stripe_refused.message_id IS 'Id of the message of Pub/Sub; empty if there is none that looks like one';
COMMENT ON COLUMN ctms.stripe_refused.message_timestamp IS 'The publishTime of the message of Pub/Sub; null if there is none';
COMMENT ON COLUMN ctms.stripe_refused.object IS 'Type and id of the object, such as "invoice:in_1"; null if it has none that look like these';
COMMENT ON COLUMN ctms.stripe_refused.code IS 'SQLSTATE of the refusal';
COMMENT ON COLUMN ctms.stripe_refused.reason IS 'Why it was refused; never personal data';
COMMENT ON COLUMN ctms.stripe_refused.attempts IS 'How often it was refused';
COMMENT ON COLUMN ctms.stripe_refused.customer_id IS 'The Stripe customer that it names, for the deletion of a contact';
COMMENT ON COLUMN ctms.stripe_refused.fxa_id IS 'The FxA ID of the customer that it has, for the deletion of a contact';
COMMENT ON COLUMN ctms.stripe_refused.is_message IS 'The content is the whole body of a request, not an object';
COMMENT ON COLUMN ctms.stripe_refused.digest IS 'SHA-256 of the content: the same of the same message is kept once';
COMMENT ON COLUMN ctms.stripe_refused.content IS 'The bytes as they came';
COMMENT ON COLUMN ctms.stripe_refused.create_timestamp IS 'When it was first refused';
COMMENT ON COLUMN ctms.stripe_refused.update_timestamp IS 'When it was last tried';

CREATE TRIGGER ctms_stripe_refused_update_timestamp BEFORE UPDATE ON ctms.stripe_refused
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- Whoever adds rows past the limits at the same time goes past them by one message each, of which
-- at most 1,000 objects are kept one by one.
CREATE FUNCTION ctms._is_stripe_refused_full() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) >= 10000 OR COALESCE(sum(octet_length(r.content)), 0) >= 268435456 FROM ctms.stripe_refused AS r
$$;
COMMENT ON FUNCTION ctms._is_stripe_refused_full() IS 'Whether 10,000 rows or 256 MiB are kept already, so that no more are';

CREATE FUNCTION ctms.count_stripe_refused() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM ctms.stripe_refused
$$;
COMMENT ON FUNCTION ctms.count_stripe_refused() IS 'How many refused Stripe objects and messages are kept';
GRANT EXECUTE ON FUNCTION ctms.count_stripe_refused() TO ctms_api, ctms_agent, ctms_reader;

CREATE FUNCTION ctms.forget_stripe_refused() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM ctms.stripe_refused AS r WHERE r.id IN (
        SELECT o.id FROM ctms.stripe_refused AS o
        WHERE o.create_timestamp < now() - ctms.get_setting('stripe_refused_age')::interval
        ORDER BY o.create_timestamp, o.id LIMIT 100 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
COMMENT ON FUNCTION ctms.forget_stripe_refused() IS 'Removes up to 100 refused Stripe objects that have been kept for long enough; returns how many';
GRANT EXECUTE ON FUNCTION ctms.forget_stripe_refused() TO ctms_agent;

-- What is longer is no id, and might not fit into an index.
CREATE FUNCTION ctms._stripe_id(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT value #>> '{}' WHERE jsonb_typeof(value) = 'string' AND length(value #>> '{}') <= 255
$$;
COMMENT ON FUNCTION ctms._stripe_id(jsonb) IS 'An id as text, null for anything else';

-- An event has its object in it.
CREATE FUNCTION ctms._stripe_owner(body jsonb, OUT customer_id text, OUT fxa_id text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    object jsonb := COALESCE(body #> '{data,object}', body);
    customer jsonb := CASE WHEN object ->> 'object' = 'customer' THEN object ELSE object -> 'customer' END;
BEGIN
    customer_id := ctms._stripe_id(COALESCE(customer -> 'id', customer));
    fxa_id := ctms._stripe_id(customer -> 'description');
END
$$;
COMMENT ON FUNCTION ctms._stripe_owner(jsonb) IS 'The customer that a Stripe object is or names, and its FxA ID if the object has it';

CREATE FUNCTION ctms._keep_stripe_refused(
    of_message text, published timestamptz, refused_timestamp timestamptz, named text, problem text, why text, is_body boolean, bytes bytea, body jsonb, is_full boolean)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_word CONSTANT text := '^[A-Za-z0-9_]{1,64}:[A-Za-z0-9_]{1,64}$';
    message CONSTANT text := COALESCE(substring(of_message FROM '^[A-Za-z0-9_.:-]{1,128}$'), '');
    kept bigint;
BEGIN
    INSERT INTO ctms.stripe_refused AS r
        (message_id, message_timestamp, object, code, reason, customer_id, fxa_id, is_message, digest, content, create_timestamp)
    SELECT message, published, substring(named FROM is_word), problem, why, o.customer_id, o.fxa_id, is_body, sha256(bytes), bytes,
           COALESCE(refused_timestamp, now())
    FROM ctms._stripe_owner(body) AS o
    WHERE NOT is_full
       OR EXISTS (SELECT FROM ctms.stripe_refused AS k WHERE k.message_id = message AND k.digest = sha256(bytes))
    ON CONFLICT ON CONSTRAINT stripe_refused_message_id_digest_key DO UPDATE SET
        object = EXCLUDED.object, code = EXCLUDED.code, reason = EXCLUDED.reason, attempts = r.attempts + 1
    RETURNING r.id INTO kept;
    RETURN kept;
END
$$;
COMMENT ON FUNCTION ctms._keep_stripe_refused(text, timestamptz, timestamptz, text, text, text, boolean, bytea, jsonb, boolean) IS 'Keeps what was refused, once for each message; returns its id, null if too much is kept already (is_full)';

CREATE FUNCTION ctms.retry_stripe_refused(id bigint) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused ctms.stripe_refused;
    stored jsonb;
    missing jsonb;
BEGIN
    SELECT * INTO refused FROM ctms.stripe_refused AS r WHERE r.id = retry_stripe_refused.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    stored := ctms._store_stripe(refused.content, refused.is_message, refused.message_id,
        refused.message_timestamp, refused.create_timestamp);
    missing := jsonb_path_query_first(stored -> 'errors', '$[*] ? (@.code == "CTS03")');
    IF stored ->> 'status' IN ('200', '202') AND NOT stored -> 'kept' @> to_jsonb(retry_stripe_refused.id) THEN
        DELETE FROM ctms.stripe_refused AS r WHERE r.id = retry_stripe_refused.id;
    ELSIF missing IS NOT NULL THEN
        UPDATE ctms.stripe_refused AS r
        SET code = missing ->> 'code', reason = missing ->> 'message', attempts = r.attempts + 1
        WHERE r.id = retry_stripe_refused.id;
    ELSE
        PERFORM FROM ctms.stripe_refused AS r WHERE r.id = retry_stripe_refused.id FOR UPDATE;
    END IF;
    -- Perhaps because its contact was deleted, so nothing of it may be stored.
    IF NOT FOUND THEN
        RAISE serialization_failure USING
            MESSAGE = 'what was refused has been removed while it was tried again', HINT = 'Try again.';
    END IF;
    RETURN jsonb_build_object('is_stored', stored ->> 'status' = '200', 'report', stored -> 'report', 'errors', stored -> 'errors');
END
$$;
COMMENT ON FUNCTION ctms.retry_stripe_refused(bigint) IS 'Stores something from ctms.stripe_refused, with the time of its message, or else of the event, or when it was refused. Its row leaves when nothing of it is refused any more, or only what then has a row of its own; returns is_stored, report and errors, and null if there is no such row';
-- ---------------------------------------------------------------------------
-- Waves by file. A run holds contacts of the bulk lane, writes them to files, has Acoustic import
-- these, and settles the contacts. All that must outlive the process that works on it, the runner,
-- is here; docs/queue.md tells how contacts are held.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.acoustic_bulk_run (
    run_id bigserial PRIMARY KEY,
    state text NOT NULL DEFAULT 'claiming'
        CHECK (state IN ('claiming', 'making', 'uploading', 'importing', 'settling', 'cleaning', 'done', 'failed')),
    attempt integer NOT NULL DEFAULT 1,
    runner text,
    lease_until timestamptz,
    hold_until timestamptz NOT NULL,
    generation bigint NOT NULL DEFAULT (hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807),
    first_email_id uuid,
    last_email_id uuid,
    contacts bigint NOT NULL DEFAULT 0,
    sent bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    returned bigint NOT NULL DEFAULT 0,
    is_given_up boolean NOT NULL DEFAULT false,
    is_canceled boolean NOT NULL DEFAULT false,
    error text,
    settled_email_id uuid,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    end_timestamp timestamptz,
    CHECK ((end_timestamp IS NOT NULL) = (state IN ('done', 'failed')))
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
-- One open run at a time: whoever begins another meets this.
CREATE UNIQUE INDEX acoustic_bulk_run_open_idx ON ctms.acoustic_bulk_run ((true)) WHERE end_timestamp IS NULL;
COMMENT ON TABLE ctms.acoustic_bulk_run IS 'Waves that are sent to Acoustic as files: at most one run that is open, and those that have ended in the last 90 days';
COMMENT ON COLUMN ctms.acoustic_bulk_run.run_id IS 'A number of the run; rows of the queue that it holds have the lease_owner "bulk <run_id>"';
COMMENT ON COLUMN ctms.acoustic_bulk_run.state IS 'claiming, making, uploading, importing, settling, cleaning; done or failed when it has ended';
COMMENT ON COLUMN ctms.acoustic_bulk_run.attempt IS 'Grows when a runner takes the run over and must make files anew: it is in the names of the files';
COMMENT ON COLUMN ctms.acoustic_bulk_run.runner IS 'The process that works on it: host, process and a random number; null when it has ended';
COMMENT ON COLUMN ctms.acoustic_bulk_run.lease_until IS 'When another runner may take it over; null when it has ended';
COMMENT ON COLUMN ctms.acoustic_bulk_run.hold_until IS 'When the contacts that it holds are free by themselves';
COMMENT ON COLUMN ctms.acoustic_bulk_run.generation IS 'The generation of the rows of the queue that it holds, as long as their contacts do not change';
COMMENT ON COLUMN ctms.acoustic_bulk_run.first_email_id IS 'The first contact that it has claimed; null before it has claimed one';
COMMENT ON COLUMN ctms.acoustic_bulk_run.last_email_id IS 'The last contact that it has claimed';
COMMENT ON COLUMN ctms.acoustic_bulk_run.contacts IS 'How many contacts it has claimed';
COMMENT ON COLUMN ctms.acoustic_bulk_run.sent IS 'Contacts that Acoustic has taken, and that have left the queue';
COMMENT ON COLUMN ctms.acoustic_bulk_run.refused IS 'Contacts with a row that Acoustic has refused';
COMMENT ON COLUMN ctms.acoustic_bulk_run.changed IS 'Contacts that changed or were deleted meanwhile, and go the ordinary way; known when all are settled';
COMMENT ON COLUMN ctms.acoustic_bulk_run.returned IS 'Contacts that wait in their lane again, because the run was given up';
COMMENT ON COLUMN ctms.acoustic_bulk_run.is_given_up IS 'Settling returns the contacts to their lane';
COMMENT ON COLUMN ctms.acoustic_bulk_run.is_canceled IS 'An operator has asked for its end; heeded until the first import was started';
COMMENT ON COLUMN ctms.acoustic_bulk_run.error IS 'Why it was given up, or what is wrong; never personal data';
COMMENT ON COLUMN ctms.acoustic_bulk_run.settled_email_id IS 'How far settling has come';
COMMENT ON COLUMN ctms.acoustic_bulk_run.create_timestamp IS 'When it was begun';
COMMENT ON COLUMN ctms.acoustic_bulk_run.update_timestamp IS 'When the row was last written';
COMMENT ON COLUMN ctms.acoustic_bulk_run.end_timestamp IS 'When it ended; null while it is open';

CREATE TABLE ctms.acoustic_bulk_file (
    run_id bigint REFERENCES ctms.acoustic_bulk_run ON DELETE CASCADE,
    kind text CHECK (kind IN ('main', 'main_amo', 'main_fxa', 'main_amo_fxa', 'newsletter', 'waitlist', 'product')),
    attempt integer,
    name text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('made', 'uploaded', 'starting', 'running', 'complete', 'failed', 'removed')),
    row_count bigint NOT NULL,
    bytes bigint NOT NULL,
    job_id text,
    refused bigint NOT NULL DEFAULT 0,
    results_file text,
    error_file text,
    error text,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, kind, attempt)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE ctms.acoustic_bulk_file IS 'Files of runs, and the jobs at Acoustic that import them';
COMMENT ON COLUMN ctms.acoustic_bulk_file.run_id IS 'The run';
COMMENT ON COLUMN ctms.acoustic_bulk_file.kind IS 'Which rows it has: main, main_amo, main_fxa and main_amo_fxa (by what the contact has), newsletter, waitlist, product';
COMMENT ON COLUMN ctms.acoustic_bulk_file.attempt IS 'The attempt of the run that made the file, or started its import';
COMMENT ON COLUMN ctms.acoustic_bulk_file.name IS 'Name on the server, without .csv and .xml';
COMMENT ON COLUMN ctms.acoustic_bulk_file.state IS 'made, uploaded, starting (nobody knows whether the job runs), running, complete, failed or removed';
COMMENT ON COLUMN ctms.acoustic_bulk_file.row_count IS 'Rows in it, without the header';
COMMENT ON COLUMN ctms.acoustic_bulk_file.bytes IS 'Size of the CSV file';
COMMENT ON COLUMN ctms.acoustic_bulk_file.job_id IS 'Acoustic''s number of the job; null before that is known';
COMMENT ON COLUMN ctms.acoustic_bulk_file.refused IS 'Rows that Acoustic has refused';
COMMENT ON COLUMN ctms.acoustic_bulk_file.results_file IS 'Name of the file of results in the download folder; null if there is none, or it is not known yet';
COMMENT ON COLUMN ctms.acoustic_bulk_file.error_file IS 'Name of the file of refused rows in the download folder; null if there is none, or it is not known yet';
COMMENT ON COLUMN ctms.acoustic_bulk_file.error IS 'What went wrong with it; never personal data';
COMMENT ON COLUMN ctms.acoustic_bulk_file.create_timestamp IS 'When the file was first noted';
COMMENT ON COLUMN ctms.acoustic_bulk_file.update_timestamp IS 'When the row was last written';

CREATE TRIGGER ctms_acoustic_bulk_run_update_timestamp BEFORE UPDATE ON ctms.acoustic_bulk_run
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
CREATE TRIGGER ctms_acoustic_bulk_file_update_timestamp BEFORE UPDATE ON ctms.acoustic_bulk_file
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();

-- ---------------------------------------------------------------------------
-- The queue's part.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._hold_acoustic(owner text, generation bigint, hold_until timestamptz, after uuid,
    batch_limit integer, retry_limit integer, OUT held bigint, OUT first_email_id uuid, OUT last_email_id uuid)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__hold_acoustic';
COMMENT ON FUNCTION ctms._hold_acoustic(text, bigint, timestamptz, uuid, integer, integer) IS 'Leases contacts of the bulk lane in order of email_id, those after the given one (null: from the first), and keeps them away from claims until then';

CREATE FUNCTION ctms._held_acoustic(owner text, generation bigint, first_email_id uuid, after uuid, last_email_id uuid,
    batch_limit integer) RETURNS uuid[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ctms__held_acoustic';
COMMENT ON FUNCTION ctms._held_acoustic(text, bigint, uuid, uuid, uuid, integer) IS 'The next contacts in a range that the owner holds and that have the generation; without one, whatever they have, and those that were deleted meanwhile. Null if there are none';

CREATE FUNCTION ctms._finish_acoustic(agent text, email_ids uuid[], generations bigint[], waits boolean) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__finish_acoustic';
COMMENT ON FUNCTION ctms._finish_acoustic(text, uuid[], bigint[], boolean) IS 'As ctms.finish_acoustic(); unless it waits, it leaves rows that other transactions are writing';

CREATE FUNCTION ctms._release_acoustic(agent text, email_ids uuid[], waits boolean) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__release_acoustic';
COMMENT ON FUNCTION ctms._release_acoustic(text, uuid[], boolean) IS 'Gives back these contacts, as ctms.release_acoustic() does with all; unless it waits, it leaves rows that other transactions are writing';

CREATE FUNCTION ctms._commit_durably() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__commit_durably';
COMMENT ON FUNCTION ctms._commit_durably() IS 'The commit of the transaction will be on disk when it is done, whatever synchronous_commit says';

-- ---------------------------------------------------------------------------
-- Functions for runners. Each call is a short transaction of its own.
-- ---------------------------------------------------------------------------

-- Nobody else can take the run over before the transaction ends.
CREATE FUNCTION ctms._lock_acoustic_bulk(run_id bigint, runner text, states text[] DEFAULT NULL)
    RETURNS ctms.acoustic_bulk_run
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run;
BEGIN
    SELECT * INTO run FROM ctms.acoustic_bulk_run r
    WHERE r.run_id = _lock_acoustic_bulk.run_id AND r.end_timestamp IS NULL AND r.runner = _lock_acoustic_bulk.runner
    FOR UPDATE;
    IF states IS NULL THEN
        RETURN run;
    END IF;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('run %s of files is not this runner''s', _lock_acoustic_bulk.run_id),
            HINT = 'It has ended, or another runner has taken it over.';
    END IF;
    IF run.state <> ALL (states) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('run %s of files is in state "%s"', run.run_id, run.state);
    END IF;
    RETURN run;
END
$$;
COMMENT ON FUNCTION ctms._lock_acoustic_bulk(bigint, text, text[]) IS 'Locks the run and returns it if it is open and the runner''s, otherwise nulls; with states, it must be in one of these';

-- Holds of a run that is not there: rows of the queue were restored without it, or it was deleted.
CREATE FUNCTION ctms._free_acoustic_bulk() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
    freed bigint := 0;
BEGIN
    FOR held IN
        SELECT h.lease_owner, array_agg(h.email_id ORDER BY h.email_id) AS email_ids FROM (
            (SELECT p.lease_owner, p.email_id FROM ctms.pending_acoustic p
            WHERE p.is_bulk IN (false, true) AND p.retry_after > statement_timestamp() AND p.retry_after < 'infinity'
                AND p.retry_after = p.lease_until AND p.lease_owner LIKE 'bulk %' LIMIT 10000)
            UNION ALL
            (SELECT d.lease_owner, d.email_id FROM ctms.acoustic_deleted_contact d
            WHERE d.retry_after > statement_timestamp() AND d.retry_after < 'infinity'
                AND d.retry_after = d.lease_until AND d.lease_owner LIKE 'bulk %' LIMIT 10000)) AS h
        WHERE NOT EXISTS (SELECT FROM ctms.acoustic_bulk_run r
            WHERE r.end_timestamp IS NULL AND h.lease_owner = 'bulk ' || r.run_id)
        GROUP BY h.lease_owner ORDER BY h.lease_owner
    LOOP
        freed := freed + ctms._release_acoustic(held.lease_owner, held.email_ids, false);
    END LOOP;
    IF freed > 0 THEN
        PERFORM ctms._wake_agents();
    END IF;
END
$$;
COMMENT ON FUNCTION ctms._free_acoustic_bulk() IS 'Frees contacts that are held for a run that is not open, up to 10000 of them';

CREATE FUNCTION ctms.begin_acoustic_bulk(runner text, lease interval, hold interval, may_begin boolean DEFAULT true)
    RETURNS SETOF ctms.acoustic_bulk_run
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_ timestamptz;
    run ctms.acoustic_bulk_run;
BEGIN
    IF runner = '' OR lease <= interval '0' OR hold <= interval '0' OR NOT isfinite(now() + lease) OR NOT isfinite(now() + hold) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a runner must have a name, and a positive "lease" and "hold"';
    END IF;
    PERFORM ctms._commit_durably();
    SELECT * INTO run FROM ctms.acoustic_bulk_run r WHERE r.end_timestamp IS NULL FOR UPDATE;
    now_ := clock_timestamp();
    IF FOUND THEN
        IF run.runner <> begin_acoustic_bulk.runner AND run.lease_until > now_ THEN
            RETURN;
        END IF;
        -- What is not known to be at Acoustic must get names that no earlier runner uses.
        RETURN QUERY UPDATE ctms.acoustic_bulk_run r SET
            runner = begin_acoustic_bulk.runner, lease_until = now_ + lease,
            attempt = r.attempt + (r.state IN ('claiming', 'making', 'uploading') OR r.state = 'importing' AND EXISTS (
                SELECT FROM ctms.acoustic_bulk_file f WHERE f.run_id = r.run_id AND f.state NOT IN ('running', 'complete')
                    AND NOT EXISTS (SELECT FROM ctms.acoustic_bulk_file n
                        WHERE n.run_id = f.run_id AND n.kind = f.kind AND n.attempt > f.attempt)))::integer
        WHERE r.run_id = run.run_id RETURNING r.*;
        RETURN;
    END IF;
    IF NOT may_begin THEN
        RETURN;
    END IF;
    INSERT INTO ctms.acoustic_bulk_run AS r (runner, lease_until, hold_until)
    VALUES (begin_acoustic_bulk.runner, now_ + lease, now_ + hold)
    ON CONFLICT DO NOTHING RETURNING * INTO run;
    IF NOT FOUND THEN
        RETURN;  -- another runner has begun one at this moment
    END IF;
    PERFORM ctms._free_acoustic_bulk();
    DELETE FROM ctms.acoustic_bulk_run r WHERE r.end_timestamp < now_ - interval '90 days';
    RETURN NEXT run;
END
$$;
COMMENT ON FUNCTION ctms.begin_acoustic_bulk(text, interval, interval, boolean) IS 'Takes over the open run, if it is this runner''s or its lease has ended, or begins one that holds its contacts for that long; returns it. No row if another runner works on one, or if there is none and may_begin is false';

CREATE FUNCTION ctms.keep_acoustic_bulk(run_id bigint, runner text, lease interval) RETURNS boolean
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lease <= interval '0' OR NOT isfinite(now() + lease) THEN
        RAISE invalid_parameter_value USING MESSAGE = '"lease" must be positive';
    END IF;
    UPDATE ctms.acoustic_bulk_run r SET lease_until = clock_timestamp() + lease
    WHERE r.run_id = keep_acoustic_bulk.run_id AND r.runner = keep_acoustic_bulk.runner AND r.end_timestamp IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ctms.keep_acoustic_bulk(bigint, text, interval) IS 'Renews the lease of the runner on the run; false if it has ended or another runner has it';

CREATE FUNCTION ctms.claim_acoustic_bulk(run_id bigint, runner text, after uuid, batch_limit integer,
    retry_limit integer, OUT claimed bigint, OUT last_email_id uuid) RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run;
    held record;
BEGIN
    IF batch_limit IS NULL OR retry_limit IS NULL THEN
        RETURN;
    END IF;
    run := ctms._lock_acoustic_bulk(claim_acoustic_bulk.run_id, claim_acoustic_bulk.runner, ARRAY['claiming']);
    SELECT * INTO held FROM ctms._hold_acoustic('bulk ' || run.run_id, run.generation, run.hold_until, after,
        batch_limit, retry_limit);
    UPDATE ctms.acoustic_bulk_run r SET contacts = r.contacts + held.held,
        first_email_id = LEAST(r.first_email_id, held.first_email_id),
        last_email_id = GREATEST(r.last_email_id, held.last_email_id)
    WHERE r.run_id = run.run_id AND held.held > 0;
    claimed := held.held;
    last_email_id := CASE WHEN held.held = batch_limit THEN held.last_email_id END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ctms.claim_acoustic_bulk(bigint, text, uuid, integer, integer) IS 'Holds up to batch_limit contacts of the bulk lane for the run, in order of email_id, those after the given one (null: from the first). last_email_id is where to go on; null if nothing of the bulk lane comes after. Rows that others hold or are writing are passed over';

-- STABLE: it reads with the snapshot of the statement, which must also be that of the rows.
CREATE FUNCTION ctms.acoustic_bulk_page(run_id bigint, after uuid, batch_limit integer) RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run;
BEGIN
    SELECT * INTO run FROM ctms.acoustic_bulk_run r WHERE r.run_id = acoustic_bulk_page.run_id;
    -- A snapshot from before the end of claiming would lack contacts that settling takes for sent.
    IF run.state IS DISTINCT FROM 'making' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('run %s is not making files', acoustic_bulk_page.run_id);
    END IF;
    RETURN COALESCE(ctms._held_acoustic('bulk ' || run.run_id, run.generation, run.first_email_id, after,
        run.last_email_id, batch_limit), '{}');
END
$$;
COMMENT ON FUNCTION ctms.acoustic_bulk_page(bigint, uuid, integer) IS 'The next contacts for the files of a run in state making, after the given one (null: from the first): held, and not changed since; none at the end. Call it in the snapshot in which the rows are read';

CREATE FUNCTION ctms.set_acoustic_bulk_state(run_id bigint, runner text, state text, error text DEFAULT NULL,
    is_given_up boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_end boolean := set_acoustic_bulk_state.state IN ('done', 'failed');
BEGIN
    PERFORM ctms._commit_durably();
    UPDATE ctms.acoustic_bulk_run r SET
        state = set_acoustic_bulk_state.state,
        error = COALESCE(left(set_acoustic_bulk_state.error, 2000), r.error),
        is_given_up = r.is_given_up OR COALESCE(set_acoustic_bulk_state.is_given_up, false),
        runner = CASE WHEN NOT is_end THEN r.runner END,
        lease_until = CASE WHEN NOT is_end THEN r.lease_until END,
        end_timestamp = CASE WHEN is_end THEN clock_timestamp() END
    WHERE r.run_id = set_acoustic_bulk_state.run_id AND r.runner = set_acoustic_bulk_state.runner AND r.end_timestamp IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ctms.set_acoustic_bulk_state(bigint, text, text, text, boolean) IS 'Moves the run to a state; done and failed end it. is_given_up: settling returns its contacts. False if it has ended or another runner has it';

CREATE FUNCTION ctms.put_acoustic_bulk_file(run_id bigint, runner text, kind text, attempt integer, name text,
    state text, row_count bigint, bytes bigint, job_id text, refused bigint, results_file text, error_file text,
    error text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    run ctms.acoustic_bulk_run := ctms._lock_acoustic_bulk(put_acoustic_bulk_file.run_id, put_acoustic_bulk_file.runner);
BEGIN
    IF run.run_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM ctms._commit_durably();
    INSERT INTO ctms.acoustic_bulk_file AS f (run_id, kind, attempt, name, state, row_count, bytes, job_id, refused,
        results_file, error_file, error)
    VALUES (run.run_id, put_acoustic_bulk_file.kind, put_acoustic_bulk_file.attempt, put_acoustic_bulk_file.name,
        put_acoustic_bulk_file.state, put_acoustic_bulk_file.row_count, put_acoustic_bulk_file.bytes,
        put_acoustic_bulk_file.job_id, COALESCE(put_acoustic_bulk_file.refused, 0), put_acoustic_bulk_file.results_file,
        put_acoustic_bulk_file.error_file, left(put_acoustic_bulk_file.error, 2000))
    ON CONFLICT (run_id, kind, attempt) DO UPDATE SET name = EXCLUDED.name, state = EXCLUDED.state,
        row_count = EXCLUDED.row_count, bytes = EXCLUDED.bytes, job_id = EXCLUDED.job_id, refused = EXCLUDED.refused,
        results_file = EXCLUDED.results_file, error_file = EXCLUDED.error_file, error = EXCLUDED.error;
    RETURN true;
END
$$;
COMMENT ON FUNCTION ctms.put_acoustic_bulk_file(bigint, text, text, integer, text, text, bigint, bigint, text, bigint, text, text, text) IS 'Notes a file of the run, or all that is known of it now. False if the run has ended or another runner has it';

CREATE FUNCTION ctms.fail_acoustic_bulk(run_id bigint, runner text, email_ids uuid[], errors text[],
    is_permanent boolean[], retry_limit integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run := ctms._lock_acoustic_bulk(fail_acoustic_bulk.run_id, fail_acoustic_bulk.runner,
        ARRAY['settling']);
    failed bigint;
BEGIN
    failed := ctms.fail_acoustic('bulk ' || run.run_id, email_ids, array_fill(run.generation, ARRAY[cardinality(email_ids)]),
        errors, is_permanent, retry_limit);
    UPDATE ctms.acoustic_bulk_run r SET refused = r.refused + failed WHERE r.run_id = run.run_id AND failed > 0;
    -- Those that changed meanwhile are free.
    IF failed > 0 THEN
        PERFORM ctms._wake_agents();
    END IF;
    RETURN failed;
END
$$;
COMMENT ON FUNCTION ctms.fail_acoustic_bulk(bigint, text, uuid[], text[], boolean[], integer) IS 'Gives these contacts of the run, of which Acoustic has refused a row, their error, as ctms.fail_acoustic(); returns how many the run still held. One that changed meanwhile is free';

CREATE FUNCTION ctms.settle_acoustic_bulk(run_id bigint, runner text, batch_limit integer DEFAULT 10000) RETURNS bigint
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run ctms.acoustic_bulk_run := ctms._lock_acoustic_bulk(settle_acoustic_bulk.run_id, settle_acoustic_bulk.runner,
        ARRAY['settling']);
    owner text := 'bulk ' || run.run_id;
    held uuid[];
    -- Another session may be deleting one of them for long: the others do not wait for it.
    is_rest boolean := false;
    generations bigint[];
    taken bigint;
    sent_ bigint := 0;
    returned_ bigint := 0;
BEGIN
    held := ctms._held_acoustic(owner, NULL, run.first_email_id, run.settled_email_id, run.last_email_id, batch_limit);
    IF held IS NULL THEN
        -- What another session held while its turn was. When the hold has ended, it is free by itself,
        -- and nobody is waited for.
        is_rest := true;
        held := (SELECT array_agg(h.email_id) FROM (
            SELECT p.email_id FROM ctms.pending_acoustic p
            WHERE p.is_bulk IN (false, true) AND p.retry_after = run.hold_until AND p.lease_owner = owner
                AND run.hold_until > clock_timestamp()
            UNION ALL
            SELECT d.email_id FROM ctms.acoustic_deleted_contact d
            WHERE d.retry_after = run.hold_until AND d.lease_owner = owner AND run.hold_until > clock_timestamp()
            LIMIT batch_limit) AS h);
    ELSE
        run.settled_email_id := held[cardinality(held)];
    END IF;
    taken := COALESCE(cardinality(held), 0);
    IF taken = 0 THEN
        UPDATE ctms.acoustic_bulk_run r SET changed = GREATEST(r.contacts - r.sent - r.refused - r.returned, 0)
        WHERE r.run_id = run.run_id;
        RETURN 0;
    END IF;
    IF run.is_given_up THEN
        returned_ := ctms._release_acoustic(owner, held, is_rest);
    ELSE
        -- Files cannot delete rows, and a note may be newer than the look of the claim: such a contact
        -- is freed like one that has changed. No row has the generation -1.
        generations := (SELECT array_agg(CASE WHEN EXISTS (SELECT FROM ctms.acoustic_deleted_row n WHERE n.email_id = h.email_id)
            THEN -1 ELSE run.generation END ORDER BY h.place) FROM unnest(held) WITH ORDINALITY AS h (email_id, place));
        sent_ := ctms._finish_acoustic(owner, held, generations, is_rest);
    END IF;
    UPDATE ctms.acoustic_bulk_run r SET sent = r.sent + sent_, returned = r.returned + returned_,
        settled_email_id = run.settled_email_id
    WHERE r.run_id = run.run_id;
    IF sent_ < taken THEN
        PERFORM ctms._wake_agents();
    END IF;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION ctms.settle_acoustic_bulk(bigint, text, integer) IS 'Settles up to batch_limit contacts that the run holds, in order of email_id: those that have not changed leave the queue, the others are free; if the run was given up, all are free. Returns how many it has looked at: call it until that is 0';

-- Runners may not read the tables themselves.
CREATE FUNCTION ctms.get_acoustic_bulk_run(run_id bigint) RETURNS SETOF ctms.acoustic_bulk_run
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM ctms.acoustic_bulk_run r WHERE r.run_id = get_acoustic_bulk_run.run_id
$$;
COMMENT ON FUNCTION ctms.get_acoustic_bulk_run(bigint) IS 'The run; no row if there is none of that number';

CREATE FUNCTION ctms.get_acoustic_bulk_files(run_id bigint) RETURNS SETOF ctms.acoustic_bulk_file
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM ctms.acoustic_bulk_file f WHERE f.run_id = get_acoustic_bulk_files.run_id
    ORDER BY f.attempt DESC, f.kind
$$;
COMMENT ON FUNCTION ctms.get_acoustic_bulk_files(bigint) IS 'The files of the run, those of its last attempt first';

GRANT EXECUTE ON FUNCTION ctms.begin_acoustic_bulk(text, interval, interval, boolean),
    ctms.keep_acoustic_bulk(bigint, text, interval),
    ctms.claim_acoustic_bulk(bigint, text, uuid, integer, integer),
    ctms.acoustic_bulk_page(bigint, uuid, integer),
    ctms.set_acoustic_bulk_state(bigint, text, text, text, boolean),
    ctms.put_acoustic_bulk_file(bigint, text, text, integer, text, text, bigint, bigint, text, bigint, text, text, text),
    ctms.fail_acoustic_bulk(bigint, text, uuid[], text[], boolean[], integer),
    ctms.settle_acoustic_bulk(bigint, text, integer),
    ctms.get_acoustic_bulk_run(bigint),
    ctms.get_acoustic_bulk_files(bigint) TO ctms_agent;

-- ---------------------------------------------------------------------------
-- Functions for operators and health checks.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.cancel_acoustic_bulk(run_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE ctms.acoustic_bulk_run r SET is_canceled = true
    WHERE r.end_timestamp IS NULL AND (cancel_acoustic_bulk.run_id IS NULL OR r.run_id = cancel_acoustic_bulk.run_id)
    RETURNING r.run_id
$$;
COMMENT ON FUNCTION ctms.cancel_acoustic_bulk(bigint) IS 'Asks the runner of the open run, or of that one, to give it up, which it does until the first import was started; its contacts wait in their lane again. Returns the run, or null if there is none';

CREATE FUNCTION ctms.acoustic_bulk_status(OUT run_id bigint, OUT state text, OUT runner text, OUT is_running boolean,
    OUT contacts bigint, OUT age_s double precision, OUT bulk_backlog bigint, OUT last_end_timestamp timestamptz,
    OUT last_state text, OUT last_contacts bigint, OUT last_error text,
    OUT files_left bigint)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.run_id, r.state, r.runner, COALESCE(r.lease_until > clock_timestamp(), false), r.contacts,
        EXTRACT(epoch FROM clock_timestamp() - r.create_timestamp)::double precision,
        l.backlog, e.end_timestamp, e.state, e.contacts, e.error,
        (SELECT count(*) FROM ctms.acoustic_bulk_file f JOIN ctms.acoustic_bulk_run b ON b.run_id = f.run_id
         WHERE b.end_timestamp IS NOT NULL AND f.state <> 'removed')
    FROM ctms.acoustic_lanes() AS l
    LEFT JOIN ctms.acoustic_bulk_run r ON r.end_timestamp IS NULL
    LEFT JOIN LATERAL (SELECT b.* FROM ctms.acoustic_bulk_run b WHERE b.end_timestamp IS NOT NULL
            -- When others were faster, a run has found nothing to do.
            AND (b.contacts > 0 OR b.state = 'failed')
        ORDER BY b.end_timestamp DESC, b.run_id DESC LIMIT 1) AS e ON true
    WHERE l.lane = 'bulk'
$$;
COMMENT ON FUNCTION ctms.acoustic_bulk_status() IS 'One row: the open run of files (nulls if there is none), whether a runner works on it, what waits in the bulk lane (as ctms.acoustic_lanes()), the run that ended last, and how many files could not be removed from the server of runs that have ended';
GRANT EXECUTE ON FUNCTION ctms.acoustic_bulk_status() TO ctms_agent, ctms_monitor, ctms_reader;
-- ---------------------------------------------------------------------------
-- What is sent to Acoustic.
-- ---------------------------------------------------------------------------

-- TimeZone and DateStyle decide how fxa.created_date is read if it has no zone or its order of day
-- and month is ambiguous. jit is off because the statements are cheap for the few contacts of a
-- call. The planner cannot know how few they are, and compiling the statements would take a hundred
-- times as long as running them.
CREATE FUNCTION ctms.acoustic_rows(email_ids uuid[])
    RETURNS TABLE (email_id uuid, kind text, fields json)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_rows';
COMMENT ON FUNCTION ctms.acoustic_rows(uuid[]) IS 'The rows that Acoustic should have of these contacts, in order of email_id: for each contact its main row, then its newsletters, waitlists and products by name; fields is an object of texts in a fixed order, email_id first';

GRANT EXECUTE ON FUNCTION ctms.acoustic_rows(uuid[]) TO ctms_agent;

CREATE FUNCTION ctms.acoustic_csv(email_ids uuid[])
    RETURNS TABLE (kind text, row_count bigint, csv text)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 7 SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_csv';
COMMENT ON FUNCTION ctms.acoustic_csv(uuid[]) IS 'The rows of ctms.acoustic_rows() for files: records of CSV (RFC 4180, each ends with LF) in the same order, with the columns of ctms.acoustic_csv_columns(). One row for each kind that there is: newsletter, waitlist, product, and main, main_amo, main_fxa, main_amo_fxa by whether the contact has AMO and FxA data; a kind with more than 1 MB has several. With one snapshot for the whole transaction, a table that was altered after it raises 40001: try the transaction again';

CREATE FUNCTION ctms.acoustic_csv_columns()
    RETURNS TABLE (kind text, columns text[])
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 7 SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_csv_columns';
COMMENT ON FUNCTION ctms.acoustic_csv_columns() IS 'The columns of the records of each kind of ctms.acoustic_csv(), in their order; names as Acoustic has them';

GRANT EXECUTE ON FUNCTION ctms.acoustic_csv(uuid[]) TO ctms_agent;
GRANT EXECUTE ON FUNCTION ctms.acoustic_csv_columns() TO ctms_agent;

CREATE FUNCTION ctms.acoustic_outgoing(email_ids uuid[], states text[])
    RETURNS TABLE (email_id uuid, kind text, fields json)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_outgoing';
COMMENT ON FUNCTION ctms.acoustic_outgoing(uuid[], text[]) IS 'What an agent must send for the contacts that it has claimed, with the states that the claim returned: rows like those of ctms.acoustic_rows(), and rows to be deleted (kinds delete_newsletter, delete_waitlist, delete_product; fields are their keys). With the setting acoustic_skip_unchanged also hashes for ctms.finish_acoustic(): in a row of kind hashes, after what has changed, or of kind unchanged, when there is nothing to send';

CREATE FUNCTION ctms.acoustic_diff(email_ids uuid[])
    RETURNS TABLE (email_id uuid, kind text, name text, change text)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET jit = off
    AS 'MODULE_PATHNAME', 'ctms_acoustic_diff';
COMMENT ON FUNCTION ctms.acoustic_diff(uuid[]) IS 'For each row of these contacts, how it differs from what was last sent to Acoustic: new, changed, unchanged, removed, or unknown if nothing is remembered about the contact';

GRANT EXECUTE ON FUNCTION ctms.acoustic_outgoing(uuid[], text[]) TO ctms_agent;
GRANT EXECUTE ON FUNCTION ctms.acoustic_diff(uuid[]) TO ctms_agent;

CREATE FUNCTION ctms.acoustic_main_columns() RETURNS text[]
    LANGUAGE c STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_acoustic_main_columns';
COMMENT ON FUNCTION ctms.acoustic_main_columns() IS 'The columns of the main table that ctms can fill, if ctms.acoustic_field lists them; others are members of waitlists, <name>_waitlist_<field>, or belong to other systems';

-- Pages of contacts, because the answer of a call is held in memory.
CREATE FUNCTION ctms.acoustic_digests()
    RETURNS TABLE (email_id uuid, kind text, name text, digest text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.email_id, r.kind,
        CASE r.kind WHEN 'newsletter' THEN r.fields->>'newsletter_name' WHEN 'waitlist' THEN r.fields->>'waitlist_name'
            WHEN 'product' THEN r.fields->>'product_id' ELSE '' END,
        CASE WHEN NOT EXISTS (SELECT FROM ctms.pending_acoustic q WHERE q.email_id = r.email_id) THEN md5(r.fields::text) END
    FROM (SELECT array_agg(e.email_id) AS email_ids
          FROM (SELECT c.email_id, (row_number() OVER (ORDER BY c.email_id) - 1) / 1000 AS page FROM ctms.emails c) AS e
          GROUP BY e.page) AS p
    CROSS JOIN LATERAL ctms.acoustic_rows(p.email_ids) AS r
    UNION ALL
    SELECT n.email_id, n.kind, n.name, NULL FROM ctms.acoustic_deleted_row n
    UNION ALL
    SELECT d.email_id, 'main', '', NULL FROM ctms.acoustic_deleted_contact d WHERE d.is_to_send
$$;
COMMENT ON FUNCTION ctms.acoustic_digests() IS 'What Acoustic may hold of all contacts, as far as this database knows: for each row its kind, its name (empty for the main row) and a digest of its values, which is null where a change or deletion still waits to be sent. A comparison with another state of the database tells what to send again, and what to delete';
-- ---------------------------------------------------------------------------
-- Settings: what is the same for every session of the database, and survives a dump. Only what was
-- set has a row, so a new version may bring new defaults. Names, types, defaults and limits are in
-- extension/base/settings_rules.c; sessions keep the values until a row changes
-- (extension/base/settings.c).
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.settings (
    name text PRIMARY KEY,
    value text NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(),
    update_timestamp timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ctms.settings IS 'Settings that differ from their defaults, or were set to them; ctms.list_settings() shows all';
COMMENT ON COLUMN ctms.settings.name IS 'One of the names that ctms.list_settings() shows; others come from a dump of a newer version, and are ignored';
COMMENT ON COLUMN ctms.settings.value IS 'on, off, a number, or a duration such as 10min';
COMMENT ON COLUMN ctms.settings.create_timestamp IS 'When the setting was first set';
COMMENT ON COLUMN ctms.settings.update_timestamp IS 'When its value last changed';

CREATE FUNCTION ctms._check_setting() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'ctms__check_setting';
COMMENT ON FUNCTION ctms._check_setting() IS 'Row trigger BEFORE INSERT, UPDATE or DELETE: refuses unknown names and bad values (22023), and settings that are not for the user (42501)';

CREATE TRIGGER ctms_settings_check BEFORE INSERT OR UPDATE OR DELETE ON ctms.settings
    FOR EACH ROW EXECUTE FUNCTION ctms._check_setting();
CREATE TRIGGER ctms_settings_update_timestamp BEFORE UPDATE ON ctms.settings
    FOR EACH ROW EXECUTE FUNCTION ctms._update_timestamp();
-- These are for changes that were not checked here too.
CREATE TRIGGER ctms_settings_invalidate
    AFTER INSERT OR UPDATE OR DELETE ON ctms.settings
    FOR EACH ROW EXECUTE FUNCTION ctms._invalidate_table();
CREATE TRIGGER ctms_settings_invalidate_all
    AFTER TRUNCATE ON ctms.settings
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._invalidate_table();
ALTER TABLE ctms.settings
    ENABLE ALWAYS TRIGGER ctms_settings_invalidate,
    ENABLE ALWAYS TRIGGER ctms_settings_invalidate_all;

CREATE FUNCTION ctms.get_setting(name text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_get_setting';
COMMENT ON FUNCTION ctms.get_setting(text) IS 'The value of a setting now: on, off, a number, or a duration that can be cast to interval';

CREATE FUNCTION ctms.list_settings(OUT name text, OUT value text, OUT default_value text, OUT type text,
    OUT min_value text, OUT max_value text, OUT description text) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 6 AS 'MODULE_PATHNAME', 'ctms_list_settings';
COMMENT ON FUNCTION ctms.list_settings() IS 'All settings with their values now, by name; warns of rows that this version ignores';

-- Not SECURITY DEFINER: the trigger asks who it is.
CREATE FUNCTION ctms.set_setting(name text, value text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF set_setting.name IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the name of a setting must not be null';
    ELSIF set_setting.value IS NULL THEN
        DELETE FROM ctms.settings AS s WHERE s.name = set_setting.name;
        IF FOUND AND NOT EXISTS (SELECT FROM ctms.list_settings() AS l WHERE l.name = set_setting.name) THEN
            RETURN NULL; -- it came from a dump of a newer version
        END IF;
    ELSE
        INSERT INTO ctms.settings AS s (name, value) VALUES (set_setting.name, set_setting.value)
        ON CONFLICT ON CONSTRAINT settings_pkey DO UPDATE SET value = excluded.value
        WHERE s.value <> excluded.value;
    END IF;
    RETURN ctms.get_setting(set_setting.name);
END
$$;
COMMENT ON FUNCTION ctms.set_setting(text, text) IS 'Changes a setting for every session, at once when it is committed; null takes it back to its default. Returns the value that it has then';

GRANT EXECUTE ON FUNCTION ctms.get_setting(text), ctms.list_settings() TO ctms_reader;
-- ---------------------------------------------------------------------------
-- The queue as people read it. Readers see what they may see of the tables: the view has the rights
-- of who reads it.
-- ---------------------------------------------------------------------------

CREATE VIEW ctms.acoustic_queue WITH (security_invoker = true) AS
SELECT q.email_id, q.is_deletion, q.lane, q.state,
    CASE q.state
        WHEN 'sending' THEN CASE WHEN q.is_held THEN 'is in a file that Acoustic imports (run ' || substr(q.lease_owner, 6)
                || CASE WHEN q.is_deletion THEN '), and will be deleted afterwards'
                    WHEN q.generation <> run.generation THEN '), and will be sent again afterwards'
                    ELSE ')' END
            ELSE 'is being sent by an agent' END
        WHEN 'given_up' THEN 'was given up: waits until it ' || CASE WHEN q.is_deletion THEN '' ELSE 'changes or ' END
            || 'is tried again on request'
        WHEN 'waiting' THEN 'waits after a failure'
        WHEN 'blocked' THEN 'waits until the deletion of the contact that had this id before is sent'
        ELSE 'waits for its turn'
            || CASE WHEN q.lane = 'bulk' THEN ', with what is sent behind live changes' ELSE '' END
            || CASE WHEN q.lease_owner IS NOT NULL THEN '; the agent that was sending it has stopped'
                WHEN q.retry > 0 THEN ', to be tried again' ELSE '' END
    END AS reason,
    q.retry,
    q.create_timestamp,
    CASE WHEN q.state = 'waiting' THEN q.retry_after END AS retry_after,
    CASE WHEN q.state = 'sending' THEN q.lease_owner END AS lease_owner,
    CASE WHEN q.state = 'sending' THEN q.lease_until END AS lease_until,
    q.last_error
FROM (
    SELECT p.email_id, false AS is_deletion, CASE WHEN p.is_bulk THEN 'bulk' ELSE 'live' END AS lane,
        p.retry, p.create_timestamp, p.retry_after, p.lease_owner, p.lease_until, p.last_error,
        p.generation, COALESCE(p.retry_after = p.lease_until AND p.lease_owner LIKE 'bulk %', false) AS is_held,
        CASE
            WHEN p.lease_until > statement_timestamp() THEN 'sending'
            WHEN p.retry_after = 'infinity' THEN 'given_up'
            WHEN p.retry_after > statement_timestamp() THEN 'waiting'
            WHEN EXISTS (SELECT FROM ctms.acoustic_deleted_contact d WHERE d.email_id = p.email_id
                AND (d.is_to_send AND d.retry_after IS DISTINCT FROM 'infinity' OR d.lease_until > statement_timestamp()))
                THEN 'blocked'
            ELSE 'ready'
        END AS state
    FROM ctms.pending_acoustic p
    UNION ALL
    SELECT d.email_id, true AS is_deletion, 'live' AS lane, d.retry, d.create_timestamp, d.retry_after,
        d.lease_owner, d.lease_until, d.last_error,
        d.generation, COALESCE(d.retry_after = d.lease_until AND d.lease_owner LIKE 'bulk %', false) AS is_held,
        CASE
            WHEN d.lease_until > statement_timestamp() THEN 'sending'
            WHEN d.retry_after = 'infinity' THEN 'given_up'
            WHEN d.retry_after > statement_timestamp() THEN 'waiting'
            ELSE 'ready'
        END AS state
    FROM ctms.acoustic_deleted_contact d WHERE d.is_to_send
) AS q
LEFT JOIN ctms.acoustic_bulk_run AS run ON run.end_timestamp IS NULL AND q.is_held
    AND q.lease_owner = 'bulk ' || run.run_id;
COMMENT ON VIEW ctms.acoustic_queue IS 'What waits to be sent to Acoustic, and why it waits: a row for each contact in the queue, and for each deleted contact whose deletion was not sent yet';
COMMENT ON COLUMN ctms.acoustic_queue.email_id IS 'The contact. It has two rows if it was deleted and has come back before its deletion was sent';
COMMENT ON COLUMN ctms.acoustic_queue.is_deletion IS 'The contact was deleted here, and Acoustic is to delete it too';
COMMENT ON COLUMN ctms.acoustic_queue.lane IS 'live: a person''s change, or a deletion. bulk: a wave, such as a resync, an import or a changed price; live comes first';
COMMENT ON COLUMN ctms.acoustic_queue.state IS 'ready (may be sent now), sending (an agent has it, or a file that Acoustic imports), waiting (until retry_after, after a failure), given_up (is not tried again by itself) or blocked (until a deletion is sent)';
COMMENT ON COLUMN ctms.acoustic_queue.reason IS 'Why it is not in Acoustic yet, in words';
COMMENT ON COLUMN ctms.acoustic_queue.retry IS 'Failed attempts since the contact last changed; a permanent failure counts as all of them';
COMMENT ON COLUMN ctms.acoustic_queue.create_timestamp IS 'When the oldest change that was not sent yet was made, or the contact was deleted';
COMMENT ON COLUMN ctms.acoustic_queue.retry_after IS 'When it may be sent again; null unless it waits after a failure';
COMMENT ON COLUMN ctms.acoustic_queue.lease_owner IS 'The agent that is sending it, or the run of files ("bulk" and its number), or null';
COMMENT ON COLUMN ctms.acoustic_queue.lease_until IS 'When others may take it from that agent, unless it says that it goes on';
COMMENT ON COLUMN ctms.acoustic_queue.last_error IS 'What went wrong last, beginning with when (UTC); null if nothing did. Never personal data';

-- Reads the index on the order of claiming, and no more than 10,000 of its entries in either lane.
-- The planner must not take a scan of the table for cheaper where its statistics are old. Changes of
-- one transaction have one time: claims take them in the order of the index, which is that of ctid.
CREATE FUNCTION ctms.acoustic_place(email_id uuid, OUT lane text, OUT place bigint, OUT other_backlog bigint)
    RETURNS record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    q record;
BEGIN
    SELECT p.is_bulk, p.retry, p.create_timestamp, p.ctid INTO q FROM ctms.pending_acoustic p
    WHERE p.email_id = acoustic_place.email_id AND p.retry_after IS NULL
        AND (p.lease_until IS NULL OR p.lease_until <= statement_timestamp());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The order and the limit come first: those of the same time that are behind are not read.
    lane := CASE WHEN q.is_bulk THEN 'bulk' ELSE 'live' END;
    place := (SELECT count(*) FROM (SELECT p.retry, p.create_timestamp, p.ctid FROM ctms.pending_acoustic p
        WHERE p.is_bulk = q.is_bulk AND p.retry_after IS NULL
            AND (p.retry, p.create_timestamp) <= (q.retry, q.create_timestamp)
            AND (p.lease_until IS NULL OR p.lease_until <= statement_timestamp())
        ORDER BY p.retry, p.create_timestamp LIMIT 10000) AS b
        WHERE (b.retry, b.create_timestamp, b.ctid) < (q.retry, q.create_timestamp, q.ctid)) + 1;
    other_backlog := (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic p
        WHERE p.is_bulk = (NOT q.is_bulk) AND p.retry_after IS NULL LIMIT 10000) AS others);
END
$$;
COMMENT ON FUNCTION ctms.acoustic_place(uuid) IS 'The lane of a contact that waits for its turn, its place there (1 is next; 10001: at least 10000 are before it), and how many wait in the other lane (at most 10000); nulls if it does not wait for its turn';

GRANT EXECUTE ON FUNCTION ctms.acoustic_place(uuid) TO ctms_reader;
-- ---------------------------------------------------------------------------
-- Views for people who count (docs/reporting.md). They read whole tables at once, so a program that
-- answers somebody uses the functions instead.
--
-- security_invoker: a view shows to each role what its tables show to it, and nothing more.
-- ---------------------------------------------------------------------------

-- The same rows as ctms.product_subscriptions(), for all contacts (extension/stripe/segment.c has the
-- statement of that). A condition on email_id or product_id is a condition on what is sorted and
-- counted by, so PostgreSQL takes it to the tables and their indexes.
CREATE VIEW ctms.contact_products WITH (security_invoker = true) AS
    SELECT l.email_id, 'stripe'::text AS payment_service, l.product_id, NULL::text AS product_name,
        ctms.product_segment(l.status, l.canceled_at, l.sub_count) AS segment,
        COALESCE(CASE WHEN l.status = 'active' AND l.canceled_at IS NULL THEN l.start
            WHEN l.status = 'active' THEN l.canceled_at
            WHEN l.status = 'canceled' THEN l.ended_at END, l.created) AS changed,
        l.sub_count, l.price_id, NULL::text AS payment_type, NULL::text AS card_brand, NULL::text AS card_last4,
        NULL::text AS billing_country, l.currency, l.amount, l.interval_count, l."interval", l.status, l.created,
        l.start, l.current_period_start, l.current_period_end, l.canceled_at, l.cancel_at_period_end, l.ended_at
    FROM (
        SELECT DISTINCT ON (f.email_id, p.stripe_product_id::text COLLATE "C")
            f.email_id, p.stripe_product_id::text COLLATE "C" AS product_id,
            count(*) OVER product AS sub_count,
            p.stripe_id::text AS price_id, p.currency::text AS currency, p.unit_amount AS amount,
            p.recurring_interval_count AS interval_count, p.recurring_interval::text AS "interval",
            s.status::text AS status, s.stripe_created AS created, s.start_date AS start,
            s.current_period_start, s.current_period_end, s.canceled_at, s.cancel_at_period_end, s.ended_at
        FROM ctms.fxa AS f
        JOIN ctms.stripe_customer AS c ON c.fxa_id = f.fxa_id
        JOIN ctms.stripe_subscription AS s ON s.stripe_customer_id = c.stripe_id
        JOIN ctms.stripe_subscription_item AS i ON i.stripe_subscription_id = s.stripe_id
        JOIN ctms.stripe_price AS p ON p.stripe_id = i.stripe_price_id
        WHERE NOT i.deleted
        -- The order is that of the result, so that all is sorted once. Without ::text the planner would
        -- take each id for 516 bytes.
        WINDOW product AS (PARTITION BY f.email_id, p.stripe_product_id::text COLLATE "C"
            ORDER BY s.current_period_end DESC, s.start_date DESC, s.stripe_id::text COLLATE "C" DESC,
                i.stripe_id::text COLLATE "C" DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ORDER BY f.email_id, p.stripe_product_id::text COLLATE "C", s.current_period_end DESC,
            s.start_date DESC, s.stripe_id::text COLLATE "C" DESC, i.stripe_id::text COLLATE "C" DESC
    ) AS l;
COMMENT ON VIEW ctms.contact_products IS 'The Stripe products of all contacts with their segments, one row for each contact and product: what ctms.product_subscriptions() returns, for many contacts at once. Personal data';
COMMENT ON COLUMN ctms.contact_products.email_id IS 'The contact';
COMMENT ON COLUMN ctms.contact_products.payment_service IS 'Always stripe';
COMMENT ON COLUMN ctms.contact_products.product_id IS 'Stripe''s id of the product (prod_…)';
COMMENT ON COLUMN ctms.contact_products.product_name IS 'Always null: Stripe objects that are stored do not have it';
COMMENT ON COLUMN ctms.contact_products.segment IS 'Where the contact stands with the product, by its latest subscription: a word of the type ctms.segment, with "re-" if sub_count is more than 1. LIKE needs segment::text';
COMMENT ON COLUMN ctms.contact_products.changed IS 'Since when it is in the segment: start, canceled_at or ended_at, and created where that is null or the segment is other';
COMMENT ON COLUMN ctms.contact_products.sub_count IS 'Number of subscription items of the product that the contact has had; those that Stripe has deleted do not count';
COMMENT ON COLUMN ctms.contact_products.price_id IS 'Stripe''s id of the price (price_…) of the latest subscription; the amount, status and times are of that subscription too';
COMMENT ON COLUMN ctms.contact_products.payment_type IS 'Always null, as are the card and the billing country';
COMMENT ON COLUMN ctms.contact_products.card_brand IS 'Always null';
COMMENT ON COLUMN ctms.contact_products.card_last4 IS 'Always null';
COMMENT ON COLUMN ctms.contact_products.billing_country IS 'Always null';
COMMENT ON COLUMN ctms.contact_products.currency IS 'Of the amount: three letters (ISO 4217) in lower case';
COMMENT ON COLUMN ctms.contact_products.amount IS 'What one unit costs each interval, in the smallest unit of the currency (cents); null if the price has no one amount';
COMMENT ON COLUMN ctms.contact_products.interval_count IS 'Number of intervals between payments; null if the price does not recur';
COMMENT ON COLUMN ctms.contact_products."interval" IS 'day, week, month or year; null if the price does not recur';
COMMENT ON COLUMN ctms.contact_products.status IS 'Stripe''s word for the state of the subscription: active, trialing, past_due, canceled and others';
COMMENT ON COLUMN ctms.contact_products.created IS 'When Stripe made the subscription';
COMMENT ON COLUMN ctms.contact_products.start IS 'When the subscription began, which may be before it was made';
COMMENT ON COLUMN ctms.contact_products.current_period_start IS 'Begin of the period that is paid for';
COMMENT ON COLUMN ctms.contact_products.current_period_end IS 'End of the period that is paid for; the subscription with the greatest is the latest';
COMMENT ON COLUMN ctms.contact_products.canceled_at IS 'When it was cancelled, though it may go on to the end of the period; null if it was not';
COMMENT ON COLUMN ctms.contact_products.cancel_at_period_end IS 'It is not renewed at the end of the period';
COMMENT ON COLUMN ctms.contact_products.ended_at IS 'When it ended; null if it has not';

CREATE VIEW ctms.segment_counts WITH (security_invoker = true) AS
    SELECT p.product_id, p.segment, count(*) AS contacts
    FROM ctms.contact_products AS p GROUP BY p.product_id, p.segment;
COMMENT ON VIEW ctms.segment_counts IS 'How many contacts there are in each segment of each Stripe product; segments without contacts have no row';
COMMENT ON COLUMN ctms.segment_counts.product_id IS 'Stripe''s id of the product (prod_…)';
COMMENT ON COLUMN ctms.segment_counts.segment IS 'Where these contacts stand with the product';
COMMENT ON COLUMN ctms.segment_counts.contacts IS 'Number of contacts';

-- A null counts as REST shows it.
CREATE VIEW ctms.newsletter_counts WITH (security_invoker = true) AS
    SELECT n.name::text AS name, count(*) FILTER (WHERE n.subscribed IS NOT FALSE) AS subscribed,
        count(*) FILTER (WHERE NOT n.subscribed) AS unsubscribed,
        count(*) FILTER (WHERE n.subscribed IS NOT FALSE AND n.format::text = 'T') AS subscribed_text,
        max(n.create_timestamp) AS newest_timestamp
    FROM ctms.newsletters AS n GROUP BY n.name::text;
COMMENT ON VIEW ctms.newsletter_counts IS 'How many contacts each newsletter has. Contacts who have opted out of all e-mail count as what they have chosen for the newsletter';
COMMENT ON COLUMN ctms.newsletter_counts.name IS 'Slug of the newsletter';
COMMENT ON COLUMN ctms.newsletter_counts.subscribed IS 'Number of contacts who are subscribed; a null of ctms.newsletters.subscribed counts as true';
COMMENT ON COLUMN ctms.newsletter_counts.unsubscribed IS 'Number of contacts who have left the newsletter (subscribed is false)';
COMMENT ON COLUMN ctms.newsletter_counts.subscribed_text IS 'How many of those who are subscribed want plain text (T)';
COMMENT ON COLUMN ctms.newsletter_counts.newest_timestamp IS 'When the newest of all these contacts first subscribed, whether subscribed now or not';

CREATE VIEW ctms.waitlist_counts WITH (security_invoker = true) AS
    SELECT COALESCE(w.name, s.name::text) AS name, s.name IS NOT NULL AS has_schema,
        COALESCE(w.subscribed, 0) AS subscribed, COALESCE(w.unsubscribed, 0) AS unsubscribed, w.newest_timestamp
    FROM (
        SELECT r.name::text AS name, count(*) FILTER (WHERE r.subscribed) AS subscribed,
            count(*) FILTER (WHERE r.subscribed IS NOT TRUE) AS unsubscribed,
            max(r.create_timestamp) AS newest_timestamp
        FROM ctms.waitlists AS r GROUP BY r.name::text
    ) AS w
    FULL JOIN ctms.waitlist_fields_schemas AS s ON s.name::text = w.name
    WHERE w.name IS NOT NULL OR s.name::text <> 'default';
COMMENT ON VIEW ctms.waitlist_counts IS 'How many contacts each waitlist has; also waitlists with a schema that nobody has joined yet';
COMMENT ON COLUMN ctms.waitlist_counts.name IS 'Name of the waitlist';
COMMENT ON COLUMN ctms.waitlist_counts.has_schema IS 'The waitlist has a JSON Schema of its own in ctms.waitlist_fields_schemas; false: its fields are checked against "default"';
COMMENT ON COLUMN ctms.waitlist_counts.subscribed IS 'Number of contacts who wait';
COMMENT ON COLUMN ctms.waitlist_counts.unsubscribed IS 'Number of contacts who have left the waitlist';
COMMENT ON COLUMN ctms.waitlist_counts.newest_timestamp IS 'When the newest of all these contacts first joined, whether waiting now or not; null when nobody has';

CREATE VIEW ctms.stripe_unconnected WITH (security_invoker = true) AS
    SELECT 'customer'::text AS kind, c.stripe_id::text AS stripe_id, 'no_contact'::text AS reason,
        c.fxa_id::text AS missing, c.create_timestamp
    FROM ctms.stripe_customer AS c
    WHERE NOT EXISTS (SELECT FROM ctms.fxa AS f WHERE f.fxa_id = c.fxa_id)
    UNION ALL
    SELECT 'subscription', s.stripe_id::text, 'no_customer', s.stripe_customer_id::text, s.create_timestamp
    FROM ctms.stripe_subscription AS s
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_customer AS c WHERE c.stripe_id = s.stripe_customer_id)
    UNION ALL
    SELECT 'invoice', v.stripe_id::text, 'no_customer', v.stripe_customer_id::text, v.create_timestamp
    FROM ctms.stripe_invoice AS v
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_customer AS c WHERE c.stripe_id = v.stripe_customer_id)
    UNION ALL
    SELECT 'subscription_item', i.stripe_id::text, 'no_subscription', i.stripe_subscription_id::text,
        i.create_timestamp
    FROM ctms.stripe_subscription_item AS i
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_subscription AS s WHERE s.stripe_id = i.stripe_subscription_id)
    UNION ALL
    SELECT 'subscription_item', i.stripe_id::text, 'no_price', i.stripe_price_id::text, i.create_timestamp
    FROM ctms.stripe_subscription_item AS i
    WHERE NOT EXISTS (SELECT FROM ctms.stripe_price AS p WHERE p.stripe_id = i.stripe_price_id);
COMMENT ON VIEW ctms.stripe_unconnected IS 'Stripe objects that lead to no contact because the object or contact to which they refer is not stored (yet); what refers to an object that is listed here is not listed. A customer whose FxA ID no contact has yet is nothing unusual. Personal data: FxA IDs';
COMMENT ON COLUMN ctms.stripe_unconnected.kind IS 'customer, subscription, invoice or subscription_item';
COMMENT ON COLUMN ctms.stripe_unconnected.stripe_id IS 'Stripe''s id of the object';
COMMENT ON COLUMN ctms.stripe_unconnected.reason IS 'What is not stored: no_contact, no_customer, no_subscription, no_price. Foreign keys keep out the last two, except where a restore has gone wrong';
COMMENT ON COLUMN ctms.stripe_unconnected.missing IS 'Id of what is not stored: an FxA ID for no_contact, otherwise one of Stripe; null for an invoice of nobody';
COMMENT ON COLUMN ctms.stripe_unconnected.create_timestamp IS 'When the object was first stored here';

-- ---------------------------------------------------------------------------
-- Answers on waitlists.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._require_waitlist(name text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF _require_waitlist.name IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'the name of a waitlist must not be null';
    ELSIF NOT EXISTS (SELECT FROM ctms.waitlist_fields_schemas AS s WHERE s.name = _require_waitlist.name)
        AND NOT EXISTS (SELECT FROM ctms.waitlists AS w WHERE w.name = _require_waitlist.name) THEN
        RAISE EXCEPTION 'there is no waitlist "%"', left(_require_waitlist.name, 255)
            USING ERRCODE = 'CT404', HINT = 'The view ctms.waitlist_counts lists all waitlists.';
    END IF;
END
$$;
COMMENT ON FUNCTION ctms._require_waitlist(text) IS 'Raises an error (CT404) for a name that no waitlist has, by schema or by contact';

CREATE FUNCTION ctms.waitlist_answers(name text)
    RETURNS TABLE (email_id uuid, subscribed boolean, create_timestamp timestamptz, field text, type text, value text)
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ctms._require_waitlist(waitlist_answers.name);
    RETURN QUERY
        SELECT w.email_id::uuid, w.subscribed::boolean, w.create_timestamp::timestamptz, f.key, jsonb_typeof(f.value),
            f.value #>> '{}'
        FROM ctms.waitlists AS w
        CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(w.fields::jsonb) = 'object' THEN w.fields::jsonb END) AS f
        WHERE w.name = waitlist_answers.name;
END
$$;
COMMENT ON FUNCTION ctms.waitlist_answers(text) IS 'What contacts have answered on a waitlist, one row for each contact and field: when the contact joined, whether it still waits, the field, the type of its value in JSON, and the value as text (null for a null of JSON; arrays and objects as JSON). A contact without fields has no row; SQLSTATE CT404 when there is no such waitlist. Personal data';

CREATE FUNCTION ctms.waitlist_answers_query(name text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- The last ones are those that every table has, so no copy of the answers could have them.
    columns text[] := '{email_id,subscribed,source,create_timestamp,update_timestamp,other_fields,ctid,xmin,cmin,xmax,cmax,tableoid}';
    result text := 'SELECT w.email_id, w.subscribed, w.source, w.create_timestamp, w.update_timestamp';
    fields text[] := '{}';
    property record;
    wanted text;
    label text;
    number integer;
BEGIN
    PERFORM ctms._require_waitlist(waitlist_answers_query.name);
    FOR property IN
        -- types: those of JSON, other than null, that the schema of the property names in its type, or else
        -- has in its enum or const; null if it names none.
        SELECT p.key AS field, (
            SELECT array_agg(DISTINCT t.word) FROM (
                SELECT v #>> '{}' AS word FROM jsonb_path_query(p.value, '$.type[*] ? (@.type() == "string")') AS v
                UNION ALL
                SELECT jsonb_typeof(v) FROM jsonb_path_query(p.value, '$.enum[*]') AS v WHERE NOT p.value ? 'type'
                UNION ALL
                SELECT jsonb_typeof(p.value -> 'const') WHERE NOT p.value ?| '{type,enum}'
            ) AS t WHERE t.word <> 'null') AS types
        FROM (SELECT s.schema::jsonb -> 'properties' AS properties FROM ctms.waitlist_fields_schemas AS s
              WHERE s.name IN (waitlist_answers_query.name, 'default')
              ORDER BY s.name = waitlist_answers_query.name DESC LIMIT 1) AS o,
            jsonb_each(CASE WHEN jsonb_typeof(o.properties) = 'object' THEN o.properties END) AS p
        ORDER BY p.key COLLATE "C" LIMIT 1000
    LOOP
        -- PostgreSQL has columns of 1 to 63 bytes, each name once.
        wanted := left(property.field, 63);
        IF wanted = '' OR wanted = ANY (columns) THEN
            wanted := 'field_' || wanted;
        END IF;
        label := wanted;
        number := 1;
        WHILE octet_length(label) > 63 OR label = ANY (columns) LOOP
            IF octet_length(label) > 63 THEN
                wanted := left(wanted, -1);
            ELSE
                number := number + 1;
            END IF;
            label := wanted || CASE WHEN number > 1 THEN '_' || number ELSE '' END;
        END LOOP;
        columns := columns || label;
        fields := fields || property.field;
        -- Rows may be older than the schema, so no value is taken for what it is not.
        result := result || format(CASE
            WHEN property.types <@ '{integer,number}'
                THEN E',\n    CASE pg_catalog.jsonb_typeof(w.fields -> %1$L) WHEN ''number'' THEN (w.fields -> %1$L)::numeric END AS %2$I'
            WHEN property.types = '{boolean}'
                THEN E',\n    CASE pg_catalog.jsonb_typeof(w.fields -> %1$L) WHEN ''boolean'' THEN (w.fields -> %1$L)::boolean END AS %2$I'
            WHEN property.types <@ '{array,object}'
                THEN E',\n    CASE WHEN pg_catalog.jsonb_typeof(w.fields -> %1$L) IN (''array'', ''object'') THEN w.fields -> %1$L END AS %2$I'
            ELSE E',\n    w.fields ->> %1$L AS %2$I' END, property.field, label);
    END LOOP;
    RETURN result || format(E',\n    CASE pg_catalog.jsonb_typeof(w.fields) WHEN ''object'' THEN w.fields - %L::text[] ELSE w.fields END AS other_fields'
        || E'\nFROM ctms.waitlists AS w\nWHERE w.name = %L', fields, waitlist_answers_query.name);
END
$$;
COMMENT ON FUNCTION ctms.waitlist_answers_query(text) IS 'The text of a query with a row for each contact of a waitlist and a column for each field of its schema, or of "default": numeric, boolean, jsonb (arrays, objects) or text by the type that the schema gives; null where there is no value of that type. other_fields has what the schema does not name. Run it with \gexec of psql, or make a view of it; SQLSTATE CT404 when there is no such waitlist';

GRANT EXECUTE ON FUNCTION ctms.waitlist_answers(text), ctms.waitlist_answers_query(text) TO ctms_reader;
-- ---------------------------------------------------------------------------
-- Reads from replicas: whether one has what its primary has. The code is in extension/base/replay.c.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.wal_position(OUT timeline integer, OUT lsn pg_lsn, OUT system_identifier bigint)
    LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_wal_position';
COMMENT ON FUNCTION ctms.wal_position() IS 'The position of a primary in its write-ahead log: all that was committed before is before it; SQLSTATE 25006 on a replica';

CREATE FUNCTION ctms.require_replayed(timeline integer, lsn pg_lsn, snapshot pg_snapshot DEFAULT NULL, system_identifier bigint DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms_require_replayed';
COMMENT ON FUNCTION ctms.require_replayed(integer, pg_lsn, pg_snapshot, bigint) IS 'Returns if this server is a replica of that cluster (NULL: of any) and on that timeline of ctms.wal_position(), and has replayed up to that position or all that is committed in that pg_current_snapshot() of the primary: then the statements after this one see all that was committed before. Otherwise SQLSTATE CT503, which the server does not log; also in a transaction that keeps its snapshot';

GRANT EXECUTE ON FUNCTION ctms.wal_position(), ctms.require_replayed(integer, pg_lsn, pg_snapshot, bigint)
    TO ctms_api, ctms_reader;
-- ---------------------------------------------------------------------------
-- Contacts: the functions that the REST server calls, one for each endpoint. Bodies are text
-- and parsed here, so that an error can name the offset; results are JSON text.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.parse_body(body text) RETURNS jsonb
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ctms_parse_body';
COMMENT ON FUNCTION ctms.parse_body(text) IS
    'JSON text to jsonb; SQLSTATE CT422 with the offset for anything else';

CREATE FUNCTION ctms.get_contact(email_id uuid) RETURNS json
    LANGUAGE c STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_contact';
COMMENT ON FUNCTION ctms.get_contact(uuid) IS
    'The contact as REST shows it, null when there is no such contact';

CREATE FUNCTION ctms.get_identity(email_id uuid) RETURNS json
    LANGUAGE c STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_identity';
COMMENT ON FUNCTION ctms.get_identity(uuid) IS
    'The ids that a contact is known by, null when there is no such contact';

CREATE FUNCTION ctms.find_contacts(
    email_id uuid DEFAULT NULL, primary_email text DEFAULT NULL, basket_token text DEFAULT NULL,
    sfdc_id text DEFAULT NULL, mofo_contact_id text DEFAULT NULL, mofo_email_id text DEFAULT NULL,
    amo_user_id text DEFAULT NULL, fxa_id text DEFAULT NULL, fxa_primary_email text DEFAULT NULL
) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_find_contacts';
COMMENT ON FUNCTION ctms.find_contacts(uuid, text, text, text, text, text, text, text, text) IS
    'Array of the contacts that match all given ids, addresses without regard to case; SQLSTATE CT400 when none is given';

CREATE FUNCTION ctms.find_identities(
    email_id uuid DEFAULT NULL, primary_email text DEFAULT NULL, basket_token text DEFAULT NULL,
    sfdc_id text DEFAULT NULL, mofo_contact_id text DEFAULT NULL, mofo_email_id text DEFAULT NULL,
    amo_user_id text DEFAULT NULL, fxa_id text DEFAULT NULL, fxa_primary_email text DEFAULT NULL
) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_find_identities';
COMMENT ON FUNCTION ctms.find_identities(uuid, text, text, text, text, text, text, text, text) IS
    'Like ctms.find_contacts(), but only the ids of each contact';

CREATE FUNCTION ctms.create_contact(
    body text, OUT email_id uuid, OUT is_created boolean, OUT contact json
) RETURNS record
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_create_contact';
COMMENT ON FUNCTION ctms.create_contact(text) IS
    'Creates a contact, or finds the one that the same body made before; SQLSTATE CT409 when it exists with other content, CT422 with the list of errors';

CREATE FUNCTION ctms.put_contact(email_id uuid, body text) RETURNS json
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_put_contact';
COMMENT ON FUNCTION ctms.put_contact(uuid, text) IS
    'Creates or replaces a whole contact; SQLSTATE CT409, CT422 as ctms.create_contact()';

CREATE FUNCTION ctms.patch_contact(email_id uuid, body text) RETURNS json
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_patch_contact';
COMMENT ON FUNCTION ctms.patch_contact(uuid, text) IS
    'Changes the fields that are in the body; SQLSTATE CT404 when there is no such contact, CT409, CT422 as ctms.create_contact()';

CREATE FUNCTION ctms.delete_contact(primary_email text) RETURNS json
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_delete_contact';
COMMENT ON FUNCTION ctms.delete_contact(text) IS
    'Deletes everything about the contact with this address, including Stripe objects; returns an array of the deleted identities, null when there is no such contact';

CREATE FUNCTION ctms.get_updates(
    start text, "end" text DEFAULT NULL, "limit" text DEFAULT NULL, after text DEFAULT NULL,
    mofo_relevant text DEFAULT NULL, url_prefix text DEFAULT NULL
) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_updates';
COMMENT ON FUNCTION ctms.get_updates(text, text, text, text, text, text) IS
    'A page of contacts by update time; the parameters are the unparsed ones of GET /updates, and url_prefix comes before "/updates" in "next"';

CREATE FUNCTION ctms.get_updates_parts(
    start text, "end" text DEFAULT NULL, "limit" text DEFAULT NULL, after text DEFAULT NULL,
    mofo_relevant text DEFAULT NULL, url_prefix text DEFAULT NULL
) RETURNS SETOF text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 10 SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ctms_get_updates_parts';
COMMENT ON FUNCTION ctms.get_updates_parts(text, text, text, text, text, text) IS
    'The text of ctms.get_updates() in parts of at most 100 contacts, each made when it is requested; in order if the function is called in the select list';

GRANT EXECUTE ON FUNCTION
    ctms.parse_body(text),
    ctms.get_contact(uuid),
    ctms.get_identity(uuid),
    ctms.find_contacts(uuid, text, text, text, text, text, text, text, text),
    ctms.find_identities(uuid, text, text, text, text, text, text, text, text),
    ctms.get_updates(text, text, text, text, text, text),
    ctms.get_updates_parts(text, text, text, text, text, text)
    TO ctms_api, ctms_reader;
GRANT EXECUTE ON FUNCTION
    ctms.create_contact(text),
    ctms.put_contact(uuid, text),
    ctms.patch_contact(uuid, text),
    ctms.delete_contact(text)
    TO ctms_api;
-- ---------------------------------------------------------------------------
-- Clients of the REST API: what the server reads about them, and how it is notified of changes.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.get_api_client(
    INOUT client_id text, OUT enabled boolean, OUT hashed_secret text, OUT create_timestamp timestamptz,
    OUT scopes text[])
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT PARALLEL SAFE ROWS 1
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.client_id::text, coalesce(c.enabled, false), c.hashed_secret, c.create_timestamp, c.scopes
    FROM ctms.api_client AS c
    WHERE c.client_id = $1;
$$;
COMMENT ON FUNCTION ctms.get_api_client(text) IS 'A client of the REST API, with the argon2 hash of its secret, the time at which it was made, and its scopes (NULL: all); no row when the client is unknown';

CREATE FUNCTION ctms.api_client_costs(OUT cost text, OUT clients bigint) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.cost, count(*)
    FROM (SELECT substring(a.hashed_secret::text COLLATE "C"
              FROM '^\$argon2(?:id|i|d)\$(?:v=\d+\$)?m=\d+,t=\d+,p=\d+\$') AS cost
          FROM ctms.api_client AS a) AS h
    WHERE h.cost IS NOT NULL
    GROUP BY h.cost
    ORDER BY h.cost;
$$;
COMMENT ON FUNCTION ctms.api_client_costs() IS 'What the hashes of clients begin with, up to their salt, and of how many clients; it says how much work a hash makes';

CREATE FUNCTION ctms.touch_api_client(client_id text) RETURNS void
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Once a minute is enough; otherwise every request would make a row version.
    UPDATE ctms.api_client AS c SET last_access = now()
    WHERE c.client_id = $1
      AND (c.last_access IS NULL OR c.last_access < now() - interval '1 minute');
$$;
COMMENT ON FUNCTION ctms.touch_api_client(text) IS 'Sets last_access of a client to now, at most once a minute';

CREATE FUNCTION ctms._notify_api_client() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('ctms_api_client', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._notify_api_client() IS 'Tells the REST servers that a client has changed';

-- Servers remember clients and their secrets; last_access is not part of that. A client that is
-- disabled elsewhere, and here by logical replication, must be forgotten too.
CREATE TRIGGER ctms_api_client_notifies
    AFTER INSERT OR DELETE ON ctms.api_client
    FOR EACH ROW EXECUTE FUNCTION ctms._notify_api_client();
CREATE TRIGGER ctms_api_client_notifies_change
    AFTER UPDATE ON ctms.api_client FOR EACH ROW
    WHEN (OLD.client_id IS DISTINCT FROM NEW.client_id OR OLD.enabled IS DISTINCT FROM NEW.enabled
          OR OLD.hashed_secret IS DISTINCT FROM NEW.hashed_secret
          OR OLD.create_timestamp IS DISTINCT FROM NEW.create_timestamp OR OLD.scopes IS DISTINCT FROM NEW.scopes)
    EXECUTE FUNCTION ctms._notify_api_client();
CREATE TRIGGER ctms_api_client_notifies_truncate
    AFTER TRUNCATE ON ctms.api_client
    FOR EACH STATEMENT EXECUTE FUNCTION ctms._notify_api_client();
ALTER TABLE ctms.api_client
    ENABLE ALWAYS TRIGGER ctms_api_client_notifies,
    ENABLE ALWAYS TRIGGER ctms_api_client_notifies_change,
    ENABLE ALWAYS TRIGGER ctms_api_client_notifies_truncate;

GRANT EXECUTE ON FUNCTION ctms.get_api_client(text), ctms.touch_api_client(text),
    ctms.api_client_costs() TO ctms_api;
-- ---------------------------------------------------------------------------
-- The description of contacts for the REST API.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.contact_schemas() RETURNS json
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ctms_contact_schemas';
COMMENT ON FUNCTION ctms.contact_schemas() IS
    'JSON Schemas, by name, of contacts in bodies (new_contact, changed_contact), in answers (contact), and of their groups';
GRANT EXECUTE ON FUNCTION ctms.contact_schemas() TO ctms_api, ctms_reader;
-- ---------------------------------------------------------------------------
-- The version of the library that the session has loaded. It differs from the extension's while a
-- server that loaded an older library at its start has not been restarted.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.library_version() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_library_version';
COMMENT ON FUNCTION ctms.library_version() IS 'The version of the library that this session has loaded; pg_extension has that of the SQL objects';
REVOKE ALL ON FUNCTION ctms.library_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.library_version() TO ctms_api, ctms_agent, ctms_reader, ctms_admin;
-- ---------------------------------------------------------------------------
-- Privileges. Each part grants its own functions; nothing is granted to PUBLIC.
-- ---------------------------------------------------------------------------

REVOKE ALL ON ALL TABLES IN SCHEMA ctms FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA ctms FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ctms FROM PUBLIC;
REVOKE ALL ON TYPE ctms.json_schema, ctms.segment FROM PUBLIC;
GRANT USAGE ON TYPE ctms.json_schema, ctms.segment TO ctms_api, ctms_agent, ctms_admin, ctms_reader;

GRANT SELECT ON ALL TABLES IN SCHEMA ctms TO ctms_reader;
REVOKE ALL ON ctms.api_client FROM ctms_reader;
GRANT SELECT (client_id, email, enabled, scopes, last_access, create_timestamp, update_timestamp)
    ON ctms.api_client TO ctms_reader;
REVOKE ALL ON ctms.stripe_refused FROM ctms_reader;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ctms TO ctms_admin;
-- "All tables" includes views, which are for reading.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'v' ORDER BY c.oid
    LOOP
        EXECUTE pg_catalog.format('REVOKE INSERT, UPDATE, DELETE ON %s FROM ctms_admin', relation);
    END LOOP;
END
$$;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ctms TO ctms_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ctms TO ctms_admin;

-- The programs keep the parameters of their statements, addresses among them, out of the server's
-- log. Whoever may set this could only hide his own. extension/base/parameter_grant.c says why it is
-- done there.
CREATE FUNCTION ctms._grant_parameter() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__grant_parameter';
SELECT ctms._grant_parameter();
DROP FUNCTION ctms._grant_parameter();
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
-- ---------------------------------------------------------------------------
-- The guard against DROP EXTENSION, and against other names of our schema and tables
-- (extension/base/drop_guard.c); and the warning of changes that pg_dump leaves out
-- (extension/base/dump_warning.c).
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms._watch_drops() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__watch_drops';
COMMENT ON FUNCTION ctms._watch_drops() IS 'Loads the library, which refuses to drop the extension while it holds contacts, and to rename its schema and tables';

-- Not written in C: if the library was uninstalled, these commands would fail for everyone.
CREATE FUNCTION ctms._guard_drop() RETURNS event_trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ctms._watch_drops();
    -- A table that a deferred trigger still waits for cannot be dropped.
    IF tg_tag LIKE 'DROP %' THEN
        SET CONSTRAINTS ctms.ctms_queue_flush IMMEDIATE;
        SET CONSTRAINTS ctms.ctms_queue_flush DEFERRED;
    END IF;
EXCEPTION
    WHEN undefined_file THEN
        RAISE WARNING 'the library of extension "ctms" is missing: it is not guarded';
    WHEN undefined_object OR invalid_schema_name THEN
        NULL; -- somebody has dropped the constraint, so it waits for nothing
END
$$;
COMMENT ON FUNCTION ctms._guard_drop() IS 'Event trigger on the commands that can drop the extension, or rename what it names';

REVOKE ALL ON FUNCTION ctms._watch_drops(), ctms._guard_drop() FROM PUBLIC;

CREATE EVENT TRIGGER ctms_guard_drop ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED', 'DROP LANGUAGE',
        'ALTER SCHEMA', 'ALTER TABLE', 'ALTER INDEX', 'ALTER SEQUENCE')
    EXECUTE FUNCTION ctms._guard_drop();
ALTER EVENT TRIGGER ctms_guard_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER ctms_guard_drop IS 'Refuses to drop the extension ctms while it holds contacts, unless ctms.allow_drop is on, and to rename its schema and tables';

CREATE FUNCTION ctms._warn_of_change(command pg_catalog.pg_ddl_command, object text) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__warn_of_change';
COMMENT ON FUNCTION ctms._warn_of_change(pg_catalog.pg_ddl_command, text) IS 'Warns, once a session, that pg_dump leaves out a change of an object of the extension';

-- What belongs to a table (a trigger, an index, a policy) is no member of the extension itself, but
-- depends on it. What is done to a parent of a table, is done to the table too.
CREATE FUNCTION ctms._warn_of_changes() RETURNS event_trigger
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    extension oid := (SELECT e.oid FROM pg_extension e WHERE e.extname = 'ctms');
BEGIN
    IF extension IS NULL OR ctms._is_restoring() THEN
        RETURN;
    END IF;
    PERFORM ctms._warn_of_change(c.command, (pg_identify_object(o.classid, o.objid, 0)).identity)
    FROM pg_event_trigger_ddl_commands() c
    CROSS JOIN LATERAL (
        SELECT c.classid, c.objid
        UNION SELECT d.refclassid, d.refobjid FROM pg_depend d
            WHERE d.classid = c.classid AND d.objid = c.objid AND d.deptype = 'a'
        UNION SELECT 'pg_class'::regclass, r.prrelid FROM pg_publication_rel r
            WHERE c.classid = 'pg_publication'::regclass AND r.prpubid = c.objid
        UNION SELECT 'pg_class'::regclass, i.inhrelid FROM pg_inherits i
            WHERE c.command_tag = 'ALTER TABLE' AND i.inhparent = c.objid
    ) AS o (classid, objid)
    WHERE NOT c.in_extension
      -- From 18 on dumps have the tables of publications.
      AND (c.classid NOT IN ('pg_publication'::regclass, 'pg_publication_rel'::regclass)
          OR current_setting('server_version_num')::integer < 180000)
      AND EXISTS (SELECT FROM pg_depend m WHERE m.classid = o.classid AND m.objid = o.objid
          AND m.deptype = 'e' AND m.refclassid = 'pg_extension'::regclass AND m.refobjid = extension);
    IF tg_tag = 'ALTER SCHEMA' AND EXISTS (
        SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        WHERE n.nspname = 'ctms' AND NOT r.rolsuper) THEN
        RAISE WARNING 'a restored database will lack extension "ctms"' USING
            DETAIL = 'CREATE EXTENSION refuses a schema that belongs to a role that is no superuser.',
            HINT = 'Give the schema back to the owner of the extension.';
    END IF;
EXCEPTION
    WHEN OTHERS THEN
        NULL; -- a warning is no reason to fail, as when the library is missing
END
$$;
COMMENT ON FUNCTION ctms._warn_of_changes() IS 'Event trigger on the commands that change objects of the extension in ways that pg_dump leaves out';

REVOKE ALL ON FUNCTION ctms._warn_of_change(pg_catalog.pg_ddl_command, text), ctms._warn_of_changes() FROM PUBLIC;

CREATE EVENT TRIGGER ctms_warn_of_changes ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER INDEX', 'ALTER SEQUENCE', 'ALTER SCHEMA', 'ALTER VIEW', 'CREATE INDEX', 'CREATE TRIGGER',
        'ALTER TRIGGER', 'CREATE RULE', 'ALTER RULE', 'CREATE VIEW', 'CREATE POLICY', 'ALTER POLICY', 'CREATE STATISTICS',
        'ALTER STATISTICS', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER TYPE', 'COMMENT',
        'CREATE PUBLICATION', 'ALTER PUBLICATION')
    EXECUTE FUNCTION ctms._warn_of_changes();
ALTER EVENT TRIGGER ctms_warn_of_changes ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER ctms_warn_of_changes IS 'Warns of changes of the extension''s objects that pg_dump leaves out';
-- ---------------------------------------------------------------------------
-- How agents share the requests that Acoustic allows to be in flight at a time.
--
-- The table has only the state of running agents, so it is not dumped (it comes after 95_dump.sql).
-- It is logged, because after a crash of the server agents still use the slots that they have, and
-- these must not be given out twice. Slots that an agent does not give back become free when its
-- lease ends, so the sum of all slots never exceeds the total, even if agents die.
-- ---------------------------------------------------------------------------

CREATE TABLE ctms.acoustic_agent (
    agent text PRIMARY KEY,
    slots integer NOT NULL,
    wanted integer NOT NULL,
    lease_until timestamptz NOT NULL,
    contacts_per_second double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE ctms.acoustic_agent IS 'Agents that run, and how many requests to Acoustic each may have in flight';
COMMENT ON COLUMN ctms.acoustic_agent.agent IS 'Host, process and a random number; the owner of its leases in ctms.pending_acoustic';
COMMENT ON COLUMN ctms.acoustic_agent.slots IS 'Requests that the agent may have, or still has, in flight';
COMMENT ON COLUMN ctms.acoustic_agent.wanted IS 'Number of requests that the agent could use now';
COMMENT ON COLUMN ctms.acoustic_agent.lease_until IS 'When its slots become free, unless the agent asks again before';
COMMENT ON COLUMN ctms.acoustic_agent.contacts_per_second IS 'Contacts that it sends a second while more wait to be sent, on average of about a minute; 0: none had to wait in the last five minutes';
REVOKE ALL ON ctms.acoustic_agent FROM PUBLIC;
GRANT SELECT ON ctms.acoustic_agent TO ctms_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ctms.acoustic_agent TO ctms_admin;

CREATE FUNCTION ctms.acoustic_rate() RETURNS double precision
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- Agents report thousandths. Less is nothing, so that a number of contacts may be divided by it.
    SELECT sum(a.contacts_per_second::double precision) FROM ctms.acoustic_agent a WHERE a.lease_until > clock_timestamp()
    HAVING sum(a.contacts_per_second::double precision) >= 0.001
$$;
COMMENT ON FUNCTION ctms.acoustic_rate() IS 'Contacts that all agents together send a second while more wait to be sent, as they measured it in the last minutes; null when no agent runs, or when none had to wait';
REVOKE ALL ON FUNCTION ctms.acoustic_rate() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.acoustic_rate() TO ctms_admin, ctms_reader, ctms_monitor;

CREATE FUNCTION ctms.share_acoustic(agent text, wanted integer, in_use integer, total integer, lease interval,
    contacts_per_second double precision DEFAULT 0)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_ timestamptz;
    left_ integer := share_acoustic.total;
    others integer := 0;  -- slots of the other agents
    agents integer;
    share integer := 0;
    row_ record;
BEGIN
    IF agent = '' OR wanted < 0 OR in_use < 0 OR total < 1 OR lease <= interval '0' THEN
        RAISE invalid_parameter_value USING MESSAGE =
            'an agent must have a name, whole numbers for "wanted" and "in_use", and a positive "total" and "lease"';
    END IF;
    IF NOT contacts_per_second BETWEEN 0 AND 1e9 THEN
        RAISE invalid_parameter_value USING MESSAGE = '"contacts_per_second" must be between 0 and 1e9';
    END IF;
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        -- The snapshot is older than the lock, so slots that others got in between would be given twice.
        RAISE feature_not_supported USING
            MESSAGE = format('requests cannot be shared in a %s transaction', current_setting('transaction_isolation')),
            HINT = 'Call it in a READ COMMITTED transaction.';
    END IF;
    -- Requests are sent when this is committed, so a crash must not undo it.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
    -- One at a time, because a share is computed from the rows of all agents. The lock is on the
    -- table, because any role may take an advisory lock, and hold it.
    LOCK TABLE ctms.acoustic_agent IN SHARE ROW EXCLUSIVE MODE;
    now_ := clock_timestamp();
    DELETE FROM ctms.acoustic_agent a WHERE a.lease_until <= now_;
    IF wanted = 0 AND in_use = 0 THEN
        DELETE FROM ctms.acoustic_agent a WHERE a.agent = share_acoustic.agent;
        RETURN 0;
    END IF;
    INSERT INTO ctms.acoustic_agent AS a (agent, slots, wanted, lease_until, contacts_per_second)
    VALUES (share_acoustic.agent, in_use, share_acoustic.wanted, now_ + lease, share_acoustic.contacts_per_second)
    ON CONFLICT ON CONSTRAINT acoustic_agent_pkey DO UPDATE SET
        slots = GREATEST(a.slots, EXCLUDED.slots), wanted = EXCLUDED.wanted, lease_until = EXCLUDED.lease_until,
        contacts_per_second = EXCLUDED.contacts_per_second;

    -- Agents that want little get what they want; the others share the rest in equal parts. If there
    -- are fewer requests than agents, those that want most come first.
    agents := (SELECT count(*) FROM ctms.acoustic_agent);
    FOR row_ IN
        SELECT a.agent, a.slots, a.wanted FROM ctms.acoustic_agent a
        ORDER BY CASE WHEN agents > share_acoustic.total THEN -a.wanted ELSE a.wanted END, a.agent
    LOOP
        IF row_.agent = share_acoustic.agent THEN
            share := LEAST(row_.wanted, (left_ + agents - 1) / agents);
        ELSE
            others := others + row_.slots;
        END IF;
        left_ := left_ - LEAST(row_.wanted, (left_ + agents - 1) / agents);
        agents := agents - 1;
    END LOOP;
    -- Slots that others have not given back yet are not available.
    share := GREATEST(LEAST(share, total - others), 0);
    UPDATE ctms.acoustic_agent a SET slots = GREATEST(share, in_use) WHERE a.agent = share_acoustic.agent;
    RETURN share;
END
$$;
COMMENT ON FUNCTION ctms.share_acoustic(text, integer, integer, integer, interval, double precision) IS 'How many requests to Acoustic the agent may have in flight until the lease ends: its fair part of total, as far as other agents have given back theirs; with wanted and in_use zero, the agent is removed. contacts_per_second is for ctms.acoustic_rate()';
REVOKE ALL ON FUNCTION ctms.share_acoustic(text, integer, integer, integer, interval, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.share_acoustic(text, integer, integer, integer, interval, double precision) TO ctms_agent, ctms_admin;

CREATE FUNCTION ctms._acoustic_age(retry_limit integer, is_bulk boolean) RETURNS double precision
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT GREATEST(COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(oldest.create_timestamp)), 0), 0)
    FROM generate_series(0, LEAST(retry_limit, 1000) - 1) AS tried (retry)
    CROSS JOIN LATERAL (
        SELECT p.create_timestamp FROM ctms.pending_acoustic p
        WHERE p.is_bulk = _acoustic_age.is_bulk AND p.retry_after IS NULL AND p.retry = tried.retry
        -- The order of the index, so that it reads one entry of each.
        ORDER BY p.retry_after NULLS FIRST, p.retry, p.create_timestamp LIMIT 1) AS oldest
$$;
COMMENT ON FUNCTION ctms._acoustic_age(integer, boolean) IS 'Age in seconds of the oldest change in a lane that is ready to be sent, or is being sent; 0 when there is none';
REVOKE ALL ON FUNCTION ctms._acoustic_age(integer, boolean) FROM PUBLIC;
-- ---------------------------------------------------------------------------
-- What a monitoring system watches, for the role ctms_monitor: numbers alone, and no personal data.
-- It is cheap enough to ask for every few seconds: no count goes on for long.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.monitor(retry_limit integer DEFAULT 6, OUT backlog bigint, OUT retry_backlog bigint,
    OUT given_up bigint, OUT oldest_age_s double precision, OUT deletions bigint, OUT agents bigint,
    OUT agent_slots bigint, OUT agent_wanted bigint, OUT stripe_unresolved bigint, OUT stripe_refused bigint, OUT contacts bigint,
    OUT is_replica integer)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.backlog, b.retry_backlog,
        (SELECT count(*) FROM (SELECT FROM ctms.pending_acoustic p
            WHERE p.is_bulk IN (false, true) AND p.retry_after = 'infinity' LIMIT 10000) AS up_to),
        ctms._acoustic_age(monitor.retry_limit, false),
        (SELECT count(*) FROM (SELECT FROM ctms.acoustic_deleted_contact d
            WHERE d.is_to_send LIMIT 10000) AS up_to),
        a.agents, a.slots, a.wanted,
        (SELECT count(*) FROM (SELECT FROM ctms.stripe_unresolved LIMIT 10000) AS up_to),
        ctms.count_stripe_refused(),
        (SELECT NULLIF(c.reltuples, -1)::bigint FROM pg_class c WHERE c.oid = 'ctms.emails'::regclass),
        pg_is_in_recovery()::integer
    FROM ctms.acoustic_backlog(monitor.retry_limit) AS b
    CROSS JOIN (SELECT count(*) AS agents, COALESCE(sum(s.slots), 0)::bigint AS slots,
            COALESCE(sum(s.wanted), 0)::bigint AS wanted
        FROM ctms.acoustic_agent s WHERE s.lease_until > clock_timestamp()) AS a
$$;
COMMENT ON FUNCTION ctms.monitor(integer) IS 'One row of numbers: contacts that wait and that have failed (as ctms.acoustic_backlog()), that wait for their next change (given_up), the age in seconds of the oldest in the live lane (as ctms.acoustic_lanes()); deletions that wait; agents, the requests that they may have in flight, and that they want; Stripe objects without a contact so far; Stripe objects and messages that were refused and are kept; contacts, estimated from statistics (null before the first ANALYZE); 1 on a replica. Counts of given_up, deletions and stripe_unresolved end at 10000';
REVOKE ALL ON FUNCTION ctms.monitor(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ctms.monitor(integer) TO ctms_monitor, ctms_reader, ctms_admin;
-- ---------------------------------------------------------------------------
-- The moment at which the queue is written (extension/queue/flush.c).
--
-- The first change of a contact in a transaction makes PostgreSQL believe that the row of this table
-- was inserted. So its deferred trigger fires when the transaction commits, with the deferred
-- triggers and constraints of other tables. The row never changes, and is the same in every
-- installation, so it is not dumped (this comes after 95_dump.sql).
-- ---------------------------------------------------------------------------

CREATE TABLE ctms._queue_flush (is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row));
COMMENT ON TABLE ctms._queue_flush IS 'One row, whose deferred trigger writes the queue when a transaction that changed contacts commits';
COMMENT ON COLUMN ctms._queue_flush.is_only_row IS 'Always true: the key, so that there is one row';
REVOKE ALL ON ctms._queue_flush FROM PUBLIC;
INSERT INTO ctms._queue_flush VALUES (true);

-- Without the row, no contact could be changed. So it survives whoever empties every table, and a
-- copy that logical replication makes of it.
CREATE FUNCTION ctms._keep_queue_flush() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO ctms._queue_flush VALUES (true);
    ELSIF TG_OP = 'INSERT' AND NOT EXISTS (SELECT FROM ctms._queue_flush) THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ctms._keep_queue_flush() IS 'Trigger of ctms._queue_flush: keeps its only row as it is';
REVOKE ALL ON FUNCTION ctms._keep_queue_flush() FROM PUBLIC;
CREATE TRIGGER ctms_queue_flush_keep BEFORE INSERT OR UPDATE OR DELETE ON ctms._queue_flush
    FOR EACH ROW EXECUTE FUNCTION ctms._keep_queue_flush();
CREATE TRIGGER ctms_queue_flush_truncated AFTER TRUNCATE ON ctms._queue_flush
    EXECUTE FUNCTION ctms._keep_queue_flush();
ALTER TABLE ctms._queue_flush ENABLE ALWAYS TRIGGER ctms_queue_flush_keep;
ALTER TABLE ctms._queue_flush ENABLE ALWAYS TRIGGER ctms_queue_flush_truncated;

CREATE FUNCTION ctms._flush_queue() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ctms__flush_queue';
COMMENT ON FUNCTION ctms._flush_queue() IS 'Trigger of ctms._queue_flush: enqueues the contacts that the transaction has changed';
REVOKE ALL ON FUNCTION ctms._flush_queue() FROM PUBLIC;

-- ALWAYS: session_replication_role must not keep changes that were noted from being enqueued.
CREATE CONSTRAINT TRIGGER ctms_queue_flush AFTER INSERT ON ctms._queue_flush DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ctms._flush_queue();
ALTER TABLE ctms._queue_flush ENABLE ALWAYS TRIGGER ctms_queue_flush;
-- ---------------------------------------------------------------------------
-- Functions whose names begin with "_" are for nobody. Trigger functions are among them: whoever may
-- execute one can attach it to a table of his own, where those that run as their owner would do his
-- bidding. Only the owner of the extension makes triggers, and firing one needs no privilege.
-- ---------------------------------------------------------------------------

DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'ctms'::regnamespace AND p.proname LIKE '\_%'
        ORDER BY p.oid
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, ctms_api, ctms_agent, ctms_admin, ctms_reader, ctms_monitor', function);
    END LOOP;
END
$$;

-- Functions that must run as their caller call it, so that row security holds.
GRANT EXECUTE ON FUNCTION ctms._require_waitlist(text) TO ctms_admin, ctms_reader;
