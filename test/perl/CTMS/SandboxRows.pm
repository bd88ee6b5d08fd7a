package CTMS::SandboxRows;

# Compares what the sandbox holds with what the database would send, row by row, however many there
# are: the sandbox writes its rows as COPY reads them, and the database compares.
#
#   differences($ctms)    # (kind, email_id, which) of up to 20 rows: "not at Acoustic",
#                         # "only at Acoustic", "differs"; an empty list is the proof
#
# A main row at Acoustic may have columns more: those of an AMO or FxA row that is gone. Contacts
# that Acoustic knows by their rows alone count too. Tables are left in schema "sandbox".

use strict;
use warnings;
use Exporter 'import';
use HTTP::Tiny;

our @EXPORT_OK = qw(differences load_sandbox);

use constant PAGE => 20_000;

my $SET_UP = <<'SQL';
DROP SCHEMA IF EXISTS sandbox CASCADE;
CREATE SCHEMA sandbox;
CREATE UNLOGGED TABLE sandbox.rows
    (email_id uuid NOT NULL, kind text NOT NULL, fields jsonb NOT NULL);
CREATE UNLOGGED TABLE sandbox.expected (LIKE sandbox.rows);
CREATE FUNCTION sandbox.key_of(kind text, fields jsonb) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT coalesce(fields->>(CASE kind WHEN 'product' THEN 'product_id'
        ELSE kind || '_name' END), '') $$;
SQL

my $COMPARE = <<'SQL';
ANALYZE sandbox.rows, sandbox.expected;
SELECT kind, email_id, CASE WHEN r.fields IS NULL THEN 'not at Acoustic'
        WHEN e.fields IS NULL THEN 'only at Acoustic' ELSE 'differs' END
FROM (SELECT *, sandbox.key_of(kind, fields) AS key FROM sandbox.expected) AS e
    FULL JOIN (SELECT *, sandbox.key_of(kind, fields) AS key FROM sandbox.rows) AS r
        USING (email_id, kind, key)
WHERE r.fields IS NULL OR e.fields IS NULL
    OR NOT r.fields @> e.fields OR (kind <> 'main' AND r.fields <> e.fields)
ORDER BY kind, email_id LIMIT 20;
SQL

# The rows of the sandbox, in table sandbox.rows; returns how many there are.
sub load_sandbox
{
    my ($ctms) = @_;
    my $file = $ctms->node->basedir . '/sandbox_rows';
    open my $out, '>', $file or die "$file: $!\n";
    binmode $out;
    my $r = HTTP::Tiny->new(timeout => 300)->get(
        "http://127.0.0.1:$ctms->{sandbox_port}/_sandbox/rows",
        { data_callback => sub { print {$out} $_[0] or die "$file: $!\n" } });
    close $out or die "$file: $!\n";
    die "ctms: /_sandbox/rows: $r->{status} $r->{reason}\n" if !$r->{success};
    $ctms->sql($SET_UP);
    $ctms->sql("\\copy sandbox.rows FROM '$file'");
    unlink $file;
    return $ctms->sql('SELECT count(*) FROM sandbox.rows');
}

# Those of the database, in pages: each is a call of its own.
sub load_expected
{
    my ($ctms) = @_;
    my $after = '00000000-0000-0000-0000-000000000000';
    while (1)
    {
        my $page = "SELECT email_id FROM ctms.emails WHERE email_id > '$after'
            ORDER BY email_id LIMIT " . PAGE;
        my $last = $ctms->sql("WITH page AS ($page), sent AS (INSERT INTO sandbox.expected
                SELECT email_id, kind, fields::jsonb
                FROM ctms.acoustic_rows(ARRAY(SELECT email_id FROM page)))
            SELECT email_id FROM page ORDER BY email_id DESC LIMIT 1");
        return if $last eq '';
        $after = $last;
    }
}

sub differences
{
    my ($ctms) = @_;
    load_sandbox($ctms);
    load_expected($ctms);
    return split /\n/, $ctms->sql($COMPARE);
}

1;
