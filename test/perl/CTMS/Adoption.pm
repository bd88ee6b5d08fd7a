package CTMS::Adoption;

# An older database for tests of `ctms import ctms-api`, and the expected result, described
# independently of cli/import/rules.sql.
#
#   make_older($ctms, $database, $layout, $schema, $contacts);   # layout: older, waitlists
#   differences($ctms, $database, $layout)     # {table => "rows|only here|only there"}
#
# differences() needs the older tables in the schema "older" of our database.

use strict;
use warnings;
use IPC::Run;
use Exporter 'import';

our @EXPORT_OK = qw(make_older differences);

# Returns the error of psql, empty when all went well.
sub make_older
{
    my ($ctms, $database, $layout, $schema, $contacts) = @_;
    my ($out, $err) = ('', '');
    local $ENV{PGOPTIONS} = "-c search_path=$schema,public";
    IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $ctms->db_url($database),
            '-v', "layout=$layout", '-v', "contacts=$contacts",
            map { ('-f', "$ENV{CTMS_TEST_TOP}/test/adoption/$_.sql") } qw(tables rows twins) ],
        \'', \$out, \$err);
    return $err;
}

sub expected
{
    my ($layout) = @_;
    my $waitlists = $layout eq 'waitlists'
        ? q{SELECT email_id, name, source, coalesce(subscribed, true), unsub_reason, fields::jsonb,
            create_timestamp, update_timestamp FROM older.waitlists}
        : q{SELECT email_id, 'vpn', NULL, true, NULL, jsonb_build_object('geo', geo, 'platform',
            platform), create_timestamp, update_timestamp FROM older.vpn_waitlist
            UNION ALL
            SELECT r.email_id, n.name, NULL, n.subscribed, NULL, jsonb_build_object('geo', geo),
                r.create_timestamp, r.update_timestamp
            FROM older.relay_waitlist r
            JOIN (SELECT email_id, replace(name, '-waitlist', '') AS name,
                    bool_or(coalesce(subscribed, true)) AS subscribed
                FROM older.newsletters WHERE name LIKE 'relay%' GROUP BY 1, 2) n
                ON n.email_id = r.email_id
            UNION ALL
            SELECT email_id, 'relay', NULL, true, NULL, jsonb_build_object('geo', geo),
                create_timestamp, update_timestamp FROM older.relay_waitlist r
            WHERE NOT EXISTS (SELECT FROM older.newsletters n
                WHERE n.email_id = r.email_id AND n.name LIKE 'relay%')};
    my $times = $layout eq 'older' ? 'e.create_timestamp, e.update_timestamp'
        : 'm.create_timestamp, m.update_timestamp';
    my %expected = (
        emails => q{SELECT email_id, primary_email, tokens[1], sfdc_ids[1], first_name, last_name,
            mailing_country, email_format, email_lang, double_opt_in, has_opted_out_of_email,
            unsubscribe_reason, create_timestamp, update_timestamp
            FROM family JOIN (SELECT kept,
                    array_agg(basket_token ORDER BY rank)
                        FILTER (WHERE basket_token IS NOT NULL) AS tokens,
                    array_agg(sfdc_id ORDER BY rank) FILTER (WHERE sfdc_id IS NOT NULL) AS sfdc_ids
                FROM family GROUP BY kept) AS ids USING (kept) WHERE rank = 1},
        newsletters => q{SELECT DISTINCT ON (kept, name) id, kept, name, subscribed, format, lang,
            source, unsub_reason, n.create_timestamp, n.update_timestamp
            FROM older.newsletters n JOIN family USING (email_id) ORDER BY kept, name, rank},
        waitlists => $waitlists,
        fxa => q{SELECT DISTINCT ON (kept) id, fxa_id, kept, f.primary_email, created_date, f.lang,
            first_service, account_deleted, f.create_timestamp, f.update_timestamp
            FROM older.fxa f JOIN family USING (email_id) ORDER BY kept, rank},
        amo => 'SELECT * FROM older.amo',
        mofo => "SELECT m.id, m.email_id, m.mofo_email_id, m.mofo_contact_id, m.mofo_relevant,
            $times FROM older.mofo m JOIN older.emails e USING (email_id)",
        map { ("stripe_$_" => "SELECT * FROM older.stripe_$_") }
        qw(customer price subscription subscription_item invoice invoice_line_item));
    my $family = q{WITH family AS (SELECT *, first_value(email_id) OVER w AS kept,
        row_number() OVER w AS rank FROM older.emails
        WINDOW w AS (PARTITION BY lower(primary_email)
            ORDER BY update_timestamp DESC, create_timestamp DESC, email_id))};
    return map { ($_ => "$family $expected{$_}") } keys %expected;
}

# Columns that the older database does not have.
my %is_new = map { $_ => 1 } qw(message_timestamp list_timestamp deletion_timestamp
    stripe_invoice.deleted stripe_subscription_item.deleted);

# ids of waitlists that the rules made are our own.
sub differences
{
    my ($ctms, $database, $layout) = @_;
    my $node = $ctms->node;
    my %expected = expected($layout);
    my %difference;
    for my $table (sort keys %expected)
    {
        my $columns = join ', ', grep { !$is_new{$_}
            && !$is_new{"$table.$_"} && !($table eq 'waitlists' && $_ eq 'id') } split /\n/,
            $node->safe_psql($database, "SELECT attname FROM pg_attribute
                WHERE attrelid = 'ctms.$table'::regclass AND attnum > 0 ORDER BY attnum");
        $columns =~ s/\buser\b/"user"/;
        my $ours = "SELECT $columns FROM ctms.$table";
        $difference{$table} = $node->safe_psql($database, "SELECT (SELECT count(*)
            FROM ctms.$table), (SELECT count(*) FROM (($ours) EXCEPT ALL ($expected{$table})) x),
            (SELECT count(*) FROM (($expected{$table}) EXCEPT ALL ($ours)) x)");
    }
    return \%difference;
}

1;
