-- The tables of an older database. psql variables: layout is "older" (one table for each waitlist,
-- no times in some tables) or "waitlists".
SELECT :'layout' = 'older' AS is_older \gset

CREATE TABLE emails (
    email_id uuid PRIMARY KEY, primary_email varchar(255) NOT NULL UNIQUE, basket_token varchar(255) UNIQUE,
    sfdc_id varchar(255), first_name varchar(255), last_name varchar(255), mailing_country varchar(255),
    email_format varchar(1), email_lang varchar(5), double_opt_in boolean, has_opted_out_of_email boolean,
    unsubscribe_reason text, create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE newsletters (
    id serial PRIMARY KEY, email_id uuid NOT NULL REFERENCES emails, name varchar(255) NOT NULL, subscribed boolean,
    format varchar(1), lang varchar(5), source text, unsub_reason text,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL, UNIQUE (email_id, name));
CREATE TABLE fxa (
    id serial PRIMARY KEY, fxa_id varchar(255) UNIQUE, email_id uuid NOT NULL UNIQUE REFERENCES emails, primary_email varchar(255),
    created_date varchar(50), lang varchar(255), first_service varchar(50), account_deleted boolean,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE amo (
    id serial PRIMARY KEY, email_id uuid NOT NULL UNIQUE REFERENCES emails, add_on_ids varchar(500), display_name varchar(255),
    email_opt_in boolean, language varchar(5), last_login date, location varchar(255), profile_url varchar(40), "user" boolean,
    user_id varchar(40), username varchar(100),
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE mofo (
    id serial PRIMARY KEY, email_id uuid NOT NULL UNIQUE REFERENCES emails, mofo_email_id varchar(255) UNIQUE,
    mofo_contact_id varchar(255), mofo_relevant boolean);
CREATE TABLE api_client (
    client_id varchar(255) PRIMARY KEY, email varchar(255) NOT NULL, enabled boolean, hashed_secret varchar NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL DEFAULT now());
CREATE TABLE acoustic_field (tablename varchar, field varchar, PRIMARY KEY (tablename, field));
CREATE TABLE acoustic_newsletter_mapping (source varchar PRIMARY KEY, destination varchar);
CREATE TABLE pending_acoustic (
    id serial PRIMARY KEY, email_id uuid NOT NULL REFERENCES emails, retry integer NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE stripe_customer (
    stripe_id varchar(255) PRIMARY KEY, fxa_id varchar(255) NOT NULL UNIQUE, default_source_id varchar(255),
    invoice_settings_default_payment_method_id varchar(255), stripe_created timestamptz NOT NULL, deleted boolean NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE stripe_price (
    stripe_id varchar(255) PRIMARY KEY, stripe_product_id varchar(255) NOT NULL, stripe_created timestamptz NOT NULL,
    active boolean NOT NULL, currency varchar(3) NOT NULL, recurring_interval varchar(5), recurring_interval_count integer,
    unit_amount integer, create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE stripe_invoice (
    stripe_id varchar(255) PRIMARY KEY, stripe_customer_id varchar(255) NOT NULL, default_payment_method_id varchar(255),
    default_source_id varchar(255), stripe_created timestamptz NOT NULL, currency varchar(3) NOT NULL, total integer NOT NULL,
    status varchar(15) NOT NULL, create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE stripe_invoice_line_item (
    stripe_id varchar(255) PRIMARY KEY, stripe_invoice_id varchar(255) NOT NULL REFERENCES stripe_invoice, stripe_type varchar(14) NOT NULL,
    stripe_price_id varchar(255) NOT NULL REFERENCES stripe_price, stripe_invoice_item_id varchar(255), stripe_subscription_id varchar(255),
    stripe_subscription_item_id varchar(255), amount integer NOT NULL, currency varchar(3) NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE stripe_subscription (
    stripe_id varchar(255) PRIMARY KEY, stripe_customer_id varchar(255) NOT NULL, default_payment_method_id varchar(255),
    default_source_id varchar(255), stripe_created timestamptz NOT NULL, cancel_at_period_end boolean NOT NULL,
    canceled_at timestamptz, current_period_end timestamptz NOT NULL, current_period_start timestamptz NOT NULL,
    ended_at timestamptz, start_date timestamptz NOT NULL, status varchar(20) NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE stripe_subscription_item (
    stripe_id varchar(255) PRIMARY KEY, stripe_subscription_id varchar(255) NOT NULL REFERENCES stripe_subscription,
    stripe_price_id varchar(255) NOT NULL REFERENCES stripe_price, stripe_created timestamptz NOT NULL,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);

\if :is_older
CREATE TABLE vpn_waitlist (
    id serial PRIMARY KEY, email_id uuid NOT NULL UNIQUE REFERENCES emails, geo varchar(100), platform varchar(100),
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
CREATE TABLE relay_waitlist (
    id serial PRIMARY KEY, email_id uuid NOT NULL UNIQUE REFERENCES emails, geo varchar(100),
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL);
\else
CREATE TABLE waitlists (
    id serial PRIMARY KEY, email_id uuid NOT NULL REFERENCES emails, name varchar(255) NOT NULL, source text,
    fields json NOT NULL DEFAULT '{}', subscribed boolean, unsub_reason text,
    create_timestamp timestamptz NOT NULL DEFAULT now(), update_timestamp timestamptz NOT NULL, UNIQUE (email_id, name));
ALTER TABLE mofo ADD create_timestamp timestamptz NOT NULL DEFAULT now(), ADD update_timestamp timestamptz NOT NULL DEFAULT now();
ALTER TABLE pending_acoustic ADD last_error text, ADD UNIQUE (email_id);
ALTER TABLE api_client ADD last_access timestamptz;
CREATE TABLE roles (id serial PRIMARY KEY, name varchar(255) NOT NULL);
\endif
