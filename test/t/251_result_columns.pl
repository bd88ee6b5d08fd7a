# Functions in C whose results have other columns than the library knows: sessions that stay open
# over an update have an older library than the objects, and before it new ones have a newer one.
use strict;
use warnings;
use CTMS::Data;
use CTMS::Test;
use Test::More;

my $ctms = CTMS::Test->new('result_columns');
CTMS::Data::fill($ctms);
my $node = $ctms->node;
my $ids = q{(SELECT array_agg(email_id ORDER BY email_id) FROM ctms.emails
    WHERE primary_email LIKE 'dump1_@%')};
# Where it is the same again: a call of each function.
my %call = (
    _hold_acoustic => q{ctms._hold_acoustic('bulk 9', 9, now() + '1 hour', NULL, 5, 6)},
    _product_subscriptions =>
        'ctms._product_subscriptions(ARRAY(SELECT email_id FROM ctms.emails))',
    _stripe_parts => q{ctms._stripe_parts('{"customers:cus_1": {"id": "cus_1"}}')},
    acoustic_backlog => 'ctms.acoustic_backlog(6)',
    acoustic_csv => "ctms.acoustic_csv($ids)",
    acoustic_csv_columns => 'ctms.acoustic_csv_columns()',
    acoustic_diff => "ctms.acoustic_diff($ids)",
    acoustic_lanes => 'ctms.acoustic_lanes()',
    acoustic_outgoing => "ctms.acoustic_outgoing($ids, array_fill('new'::text, '{10}'))",
    acoustic_rows => "ctms.acoustic_rows($ids)",
    claim_acoustic => q{ctms.claim_acoustic('d', 10, 6, '1 hour')},
    create_contact => q{ctms.create_contact('{"email": {"primary_email": "new@example.com"}}')},
    json_schema_check => q{ctms.json_schema_check('{"type": 1}'%s)},
    json_schema_errors => q{ctms.json_schema_errors('{"type": "string"}'%1$s, '1'%s)},
    json_schema_warnings => q{ctms.json_schema_warnings('{"maximun": 1}'%s)},
    list_settings => 'ctms.list_settings()',
    product_subscriptions =>
        q{ctms.emails AS e CROSS JOIN LATERAL ctms.product_subscriptions(e.email_id)},
    unwrap_stripe => q{ctms.unwrap_stripe('{"object": "customer", "id": "cus_1"}')},
    wal_position => 'ctms.wal_position()');
my %is_new_each_time = map { $_ => 1 } qw(create_contact wal_position acoustic_lanes);

# The arguments of the overloads of one name differ in the type of the first, and in options.
sub call
{
    my ($name, $arguments) = @_;
    return $call{$name} unless $name =~ /^json_schema/;
    my ($type) = $arguments =~ /^schema (\w+)/;
    my $sql = $call{$name} =~ s/'(\{"\w+": (?:1|"string")\})'/'$1'::$type/r =~ s/'1'/'1'::$type/r;
    my $options = $arguments =~ /options/ ? q{, '{}'::jsonb} : '';
    return $sql =~ s/%1\$s//r =~ s/%s/$options/r;
}

# Its rows as objects, in an order; what it does is not kept.
sub rows
{
    my ($call, $columns) = @_;
    return $node->safe_psql('ctms', "BEGIN;
        SELECT to_jsonb(r) $columns AS row FROM (SELECT f.* FROM $call AS f) AS r ORDER BY 1;
        ROLLBACK");
}

my @functions = split /\n/, $ctms->sql(q{
    SELECT p.oid || ' ' || p.proname || ' ' || pg_get_function_identity_arguments(p.oid)
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
    WHERE p.pronamespace = 'ctms'::regnamespace AND p.prorettype = 'record'::regtype
    ORDER BY p.oid});
my %seen;
for (@functions)
{
    my ($oid, $name, $arguments) = split / /, $_, 3;
    $seen{$name} = 1;
    next unless $call{$name};
    my $call = call($name, $arguments);
    my $definition = $ctms->sql("SELECT pg_get_functiondef($oid)");
    my ($columns) = $definition =~ /RETURNS TABLE\((.*)\)\n/;
    my $signature = $ctms->sql("SELECT $oid\::regprocedure");
    # The last column, as TABLE(…) or as an argument.
    my $place = $columns ? qr/(RETURNS TABLE\(.*)(, [^,]+)(\)\n)/
        : qr/(, OUT .*)(, OUT [^,]+)(\)\n)/;
    my $before = rows($call, '');
    isnt($before, '', "$signature returns rows");
    my $new_columns = $columns ? ', more text, more_number bigint'
        : ', OUT more text, OUT more_number bigint';
    for my $new ($new_columns, undef)
    {
        my $changed = $definition;
        my ($start, $last) = $changed =~ $place or die "no columns: $definition";
        my ($left_out) = $last =~ /, (?:OUT )?"?(\w+)/;
        # One column would be no row.
        next if !$new && $start !~ ($columns ? qr{TABLE\(.*, } : qr{OUT .*OUT });
        $new ? $changed =~ s/$place/$1$2$new$3/ : $changed =~ s/$place/$1$3/;
        $ctms->sql("ALTER EXTENSION ctms DROP FUNCTION $signature; DROP FUNCTION $signature;
            $changed");
        my $after = rows($call, $new ? q{- '{more,more_number}'::text[]} : '');
        my $wanted = $new ? $before : rows_without($before, $left_out);
        if ($is_new_each_time{$name})
        {
            s/(?<=: )(?:"[^"]*"|\d[\d.e-]*|\{.*\}(?=[,}]))/_/g for $after, $wanted;
        }
        is($after, $wanted, "$signature with " . ($new ? 'more columns' : 'one column less'));
        like(rows($call, "-> 'more_number'"), qr/^(?:null\n?)+$/, 'those are null') if $new;
        $ctms->sql("DROP FUNCTION $signature; $definition;
            ALTER EXTENSION ctms ADD FUNCTION $signature");
    }
}
is_deeply([ sort keys %seen ], [ sort keys %call ], 'all functions in C that return rows');

sub rows_without
{
    my ($rows, $column) = @_;
    return $ctms->sql(qq{SELECT r::jsonb - '$column' FROM
        regexp_split_to_table(\$rows\$$rows\$rows\$, '\n') AS r});
}

done_testing();
