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
