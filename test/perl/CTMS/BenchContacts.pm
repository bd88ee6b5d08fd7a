package CTMS::BenchContacts;

# What benchmarks of contacts have in common: contacts 1 to n, the calls that read and change them,
# by SQL and by REST, and the same by hand.
#
# The email_id of contact n is public.id_of(n) and its address is public.address_of(n), so a script
# of pgbench finds one without asking the database first. Ids come in the order of creation, as the
# database itself makes them: of a time and of random bits. Addresses do not.

use strict;
use warnings;
use CTMS::Bench qw(spew);
use Exporter 'import';

our @EXPORT_OK = qw(%HAND %REQUEST %SCRIPT $FUNCTIONS fill fill_by_hand lines number_of);

# The milliseconds of contact 0: those of 2024. Contact n comes n later.
my $BEGIN_MS = 1704067200000;

# For benchmarks that make contacts of their own, too.
our $FUNCTIONS = <<"SQL";
CREATE FUNCTION public.id_of(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS \$\$ SELECT ('0' || to_hex($BEGIN_MS + n) || '4'
        || overlay(substr(md5(n::text), 14) PLACING '8' FROM 4))::uuid \$\$;
CREATE FUNCTION public.address_of(n bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS \$\$ SELECT substr(md5(n::text), 1, 8) || n || '\@example.com' \$\$;
SQL

# A contact has two newsletters and a waitlist. The rows are as the triggers would leave them, so
# these are off: that takes two thirds of the time.
my $FILL = <<'SQL';
CREATE PROCEDURE public.fill(contacts bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR _first IN 1..contacts BY 100000 LOOP
        INSERT INTO ctms.emails (email_id, primary_email, first_name, last_name, basket_token,
                mailing_country, email_lang, create_timestamp, update_timestamp)
            SELECT public.id_of(n), public.address_of(n), 'First', 'Last', gen_random_uuid()::text,
                'fr', 'fr', t, t
            FROM generate_series(_first, least(_first + 99999, contacts)) AS n,
                LATERAL (SELECT '2024-01-01Z'::timestamptz + n * interval '1 second') AS made(t);
        INSERT INTO ctms.newsletters (email_id, name, subscribed, lang, source)
            SELECT public.id_of(n), name, true, 'fr', 'https://www.example.com/'
            FROM generate_series(_first, least(_first + 99999, contacts)) AS n,
                unnest(ARRAY['mozilla-and-you', 'hubs']) AS name;
        INSERT INTO ctms.waitlists (email_id, name, fields)
            SELECT public.id_of(n), 'relay', '{"geo": "fr"}'
            FROM generate_series(_first, least(_first + 99999, contacts)) AS n;
        COMMIT;
    END LOOP;
END $$;
SQL

sub fill
{
    my ($bench, $database, $contacts) = @_;
    $bench->node->safe_psql($database, $_) for $FUNCTIONS, $FILL, <<"SQL", 'VACUUM ANALYZE',
SET session_replication_role = replica;
SET synchronous_commit = off;
CALL public.fill($contacts);
CREATE TABLE public.ids AS
    SELECT n, public.id_of(n) AS email_id FROM generate_series(1, $contacts) AS n;
ALTER TABLE public.ids ADD PRIMARY KEY (n);
SQL
        # Hint bits are set and pages written, however many contacts there are.
        'CHECKPOINT';
    return;
}

# Tables as ours, without our triggers: what our functions write, written by hand.
sub fill_by_hand
{
    my ($bench) = @_;
    $bench->sql($_) for <<'SQL', 'VACUUM ANALYZE', 'CHECKPOINT';
CREATE SCHEMA hand;
CREATE TABLE hand.emails (LIKE ctms.emails INCLUDING ALL);
CREATE TABLE hand.newsletters
    (LIKE ctms.newsletters INCLUDING ALL, FOREIGN KEY (email_id) REFERENCES hand.emails);
CREATE TABLE hand.waitlists
    (LIKE ctms.waitlists INCLUDING ALL, FOREIGN KEY (email_id) REFERENCES hand.emails);
CREATE TABLE hand.pending_acoustic
    (LIKE ctms.pending_acoustic INCLUDING ALL, FOREIGN KEY (email_id) REFERENCES hand.emails);
INSERT INTO hand.emails SELECT * FROM ctms.emails;
INSERT INTO hand.newsletters SELECT * FROM ctms.newsletters;
INSERT INTO hand.waitlists SELECT * FROM ctms.waitlists;
SQL
    return;
}

# Files for http-load: ids and addresses of contacts. Of very many there is each tenth, say: a file
# has to be read before each measurement.
sub lines
{
    my ($bench, $contacts) = @_;
    my $step = int(($contacts + 999_999) / 1_000_000);
    my $each = "FROM generate_series(1, $contacts, $step) AS n";
    my %file = map { $_ => "$ENV{TESTDIR}/${_}_$contacts" } qw(id address);
    spew($file{id}, $bench->sql("SELECT public.id_of(n) $each"));
    spew($file{address}, $bench->sql("SELECT replace(public.address_of(n), '\@', '%40') $each"));
    return \%file;
}

# Which contact has this id, or nothing if fill() has not made it.
sub number_of
{
    my ($id, $contacts) = @_;
    my $n = hex($id =~ tr/-//dr =~ s/^(.{12}).*/$1/r) - $BEGIN_MS;
    return $n >= 1 && $n <= $contacts ? $n : undef;
}

# ---- calls ---------------------------------------------------------------------------------------

my $BODY = '{"email": {"primary_email": "{n}@example.com", "first_name": "First",
    "email_lang": "fr"}, "newsletters": [{"name": "mozilla-and-you"}], "waitlists": [{"name": "vpn",
    "fields": {"geo": "fr"}}]}';
my $CUSTOMER = '{"object": "customer", "id": "cus_{n}",
    "created": 1600000000, "description": "fxa_{n}", "default_source": null,
    "invoice_settings": {"default_payment_method": null}}';
sub in_sql { my ($json) = @_; return "(SELECT replace('$json', '{n}', :r::text))" }

# For pgbench(): :n is a contact, :r differs each time.
our %SCRIPT = (
    pk => 'SELECT email_id FROM public.ids WHERE n = :n;',
    get => 'SELECT ctms.get_contact(public.id_of(:n));',
    find => 'SELECT ctms.find_contacts(primary_email => public.address_of(:n));',
    patch => q[SELECT ctms.patch_contact(public.id_of(:n),
        '{"email": {"last_name": "' || :r::text || '"}}');],
    create => 'SELECT contact FROM ctms.create_contact(' . in_sql($BODY) . ');',
    stripe => 'SELECT ctms.upsert_stripe(ctms.parse_body(' . in_sql($CUSTOMER) . '));',
    updates => "SELECT ctms.get_updates('2000-01-01');",
    updates1000 => q{SELECT ctms.get_updates('2000-01-01', "limit" => '1000');});

# The same writes as one transaction of plain statements.
my $ENQUEUE = <<'SQL';
INSERT INTO hand.pending_acoustic AS p (email_id, generation) VALUES (:id, txid_current())
    ON CONFLICT (email_id) DO UPDATE SET generation = excluded.generation, retry = 0,
        last_error = NULL, retry_after = NULL, update_timestamp = now();
SQL
our %HAND = (
    patch => <<'SQL' . $ENQUEUE =~ s/:id/public.id_of(:n)/r . "COMMIT;\n",
BEGIN;
UPDATE hand.emails SET last_name = :r::text, update_timestamp = now()
    WHERE email_id = public.id_of(:n);
SQL
    create => <<'SQL' . $ENQUEUE . "COMMIT;\n");
BEGIN;
INSERT INTO hand.emails (primary_email, first_name, email_lang, email_format)
    VALUES (:r || '@example.com', 'First', 'fr', 'H') RETURNING email_id AS id \gset
INSERT INTO hand.newsletters (email_id, name, subscribed, format, lang)
    VALUES (:id, 'mozilla-and-you', true, 'H', 'en');
INSERT INTO hand.waitlists (email_id, name, fields) VALUES (:id, 'vpn', '{"geo": "fr"}');
SQL

# For rest(): the request, and of which of lines() it takes one each time.
our %REQUEST = (
    get => [ 'GET /ctms/{line} HTTP/1.1', 'id' ],
    find => [ 'GET /ctms?primary_email={line} HTTP/1.1', 'address' ],
    patch => [ "PATCH /ctms/{line} HTTP/1.1\n\n{\"email\": {\"last_name\": \"{n}\"}}", 'id' ],
    create => [ "POST /ctms HTTP/1.1\n\n$BODY", 'id' ],
    stripe => [ "POST /stripe HTTP/1.1\n\n$CUSTOMER", 'id' ],
    updates => [ 'GET /updates?start=2000-01-01 HTTP/1.1', 'id' ],
    updates1000 => [ 'GET /updates?start=2000-01-01&limit=1000 HTTP/1.1', 'id' ]);

1;
