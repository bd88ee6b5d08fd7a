# What each role may and must not do with every table, sequence and function. A few rules give the
# expectations, the objects come from the catalog, and each access is tried.
use strict;
use warnings;
use CTMS::Attempt;
use CTMS::Test;
use Test::More;

my $ctms = CTMS::Test->new('privileges');
CTMS::Attempt::install($ctms);
$ctms->sql(q{GRANT CREATE ON SCHEMA public TO PUBLIC});
# A role without any membership stands for PUBLIC.
my @roles = qw(ctms_api ctms_agent ctms_reader ctms_monitor ctms_admin nobody_special);
my %may_table = (ctms_reader => 'SELECT', ctms_admin => 'DELETE INSERT SELECT UPDATE');
my @expected;

# ---- tables ---------------------------------------------------------------------------

my @tables = split /\n/, $ctms->sql(q{SELECT relname FROM pg_class
    WHERE relnamespace = 'ctms'::regnamespace
        AND relkind NOT IN ('S', 'i', 'c', 't', 'I') ORDER BY 1});
ok(@tables >= 20, 'there are tables: ' . @tables);
my %is_view = map { $_ => 1 } split /\n/, $ctms->sql(q{SELECT relname FROM pg_class
    WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'v'});
ok(keys %is_view >= 5, 'and views: ' . keys %is_view);
for my $role (@roles)
{
    for my $table (@tables)
    {
        my $may = $may_table{$role} // '';
        $may = 'SELECT of client_id create_timestamp email enabled last_access scopes'
            . ' update_timestamp'
            if $role eq 'ctms_reader' && $table eq 'api_client';
        $may = "SELECT" if $may =~ /INSERT/ && $is_view{$table};
        $may = '' if $role eq 'ctms_reader' && $table eq 'stripe_refused';
        $may = '' if $table =~ /^_/;
        push @expected, "$role $table: $may"
    }
}
my $granted = $ctms->sql(q{
    SELECT r.name || ' ' || c.relname || ': ' || COALESCE(
        (SELECT string_agg(p.name, ' ' ORDER BY p.name)
         FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',
             'REFERENCES', 'TRIGGER']) AS p (name)
         WHERE has_table_privilege(r.name, c.oid, p.name)),
        (SELECT p.name || ' of ' || string_agg(a.attname, ' ' ORDER BY a.attname)
         FROM pg_attribute a, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (name)
         WHERE a.attrelid = c.oid AND a.attnum > 0
             AND has_column_privilege(r.name, c.oid, a.attnum, p.name)
         GROUP BY p.name), '')
    FROM unnest('{ROLES}'::text[]) WITH ORDINALITY AS r (name, n), pg_class c
    WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind NOT IN ('S', 'i', 'c', 't', 'I')
    ORDER BY r.n, c.relname} =~ s/ROLES/join ',', @roles/er);
is($granted, join("\n", @expected), 'privileges on tables are those of the rules');

# The same by trial: for each privilege a statement that needs no other privilege.
my %statement = (
    SELECT => 'SELECT count(*) FROM ctms.%1$I t WHERE t IS NOT NULL',
    INSERT => 'INSERT INTO ctms.%1$I SELECT *
        FROM json_populate_recordset(NULL::ctms.%1$I, \'[]\')',
    UPDATE => 'UPDATE ctms.%1$I SET %2$I = DEFAULT WHERE false',
    DELETE => 'DELETE FROM ctms.%1$I WHERE false',
    TRUNCATE => 'TRUNCATE ctms.%1$I CASCADE',
    REFERENCES => 'CREATE UNLOGGED TABLE public.copy (LIKE ctms.%1$I,
        FOREIGN KEY (%2$I) REFERENCES ctms.%1$I)',
    TRIGGER => 'CREATE TRIGGER mine BEFORE INSERT ON ctms.%1$I
        EXECUTE FUNCTION suppress_redundant_updates_trigger()',
    COPY => 'COPY ctms.%1$I TO \'/dev/null\'',
    LOCK => 'LOCK TABLE ctms.%1$I IN ACCESS SHARE MODE',
    HOLD => 'LOCK TABLE ctms.%1$I IN SHARE UPDATE EXCLUSIVE MODE',
    EXPLAIN => 'EXPLAIN SELECT * FROM ctms.%1$I',
    INDEX => 'CREATE INDEX ON ctms.%1$I (%2$I)',
    POLICY => 'ALTER TABLE ctms.%1$I ENABLE ROW LEVEL SECURITY',
    OWNER => 'ALTER TABLE ctms.%1$I OWNER TO CURRENT_USER',
    RULE => 'CREATE RULE mine AS ON UPDATE TO ctms.%1$I DO INSTEAD NOTHING',
    DROP => 'DROP TABLE ctms.%1$I CASCADE',
    COMMENT => 'COMMENT ON TABLE ctms.%1$I IS \'\'',
    STATISTICS => 'CREATE STATISTICS public.mine ON ctid, %2$I FROM ctms.%1$I');
my %allowed = (ctms_reader => { map { $_ => 1 } qw(SELECT EXPLAIN LOCK) },
    ctms_admin => { map { $_ => 1 } qw(SELECT EXPLAIN INSERT UPDATE DELETE LOCK HOLD) });
my $tried = 0;
my @wrong;
for my $role (@roles)
{
    for my $what (sort keys %statement)
    {
        my $column = $what eq 'UPDATE' ? 'true' : 'EXISTS (SELECT FROM pg_index i
            WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = i.indkey[0])';
        my $states = $ctms->sql(qq{
            SELECT c.relname || ' ' || public.attempt('$role',
                format(\$s\$$statement{$what}\$s\$, c.relname, min(a.attname)))
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND $column
            WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'r'
            GROUP BY c.relname ORDER BY 1});
        for (split /\n/, $states)
        {
            my ($table, $state) = split / /;
            my $may = $allowed{$role}{$what};
            $may = 0 if $role eq 'ctms_reader' && $table eq 'api_client'
                && $what =~ /SELECT|EXPLAIN|LOCK/;
            $may = 0 if $role eq 'ctms_reader' && $table eq 'stripe_refused';
            $may = 0 if $table =~ /^_/;
            push @wrong, "$role $what $table: $state"
                if $may ? $state ne '00000' : $state ne '42501';
            $tried++;
        }
    }
}
is($tried, @roles * keys(%statement) * grep({ !$is_view{$_} } @tables),
    "$tried accesses of tables were tried");
is(join("\n", @wrong), '', 'all others are refused');

# Views read with the rights of their caller, so that a grant on one opens no table.
is($ctms->sql(q{SELECT string_agg(relname, ' ') FROM pg_class
    WHERE relnamespace = 'ctms'::regnamespace AND relkind = 'v'
        AND 'security_invoker=true' <> ALL (COALESCE(reloptions, '{}'))}), '',
    'views are security_invoker');
$ctms->sql('GRANT USAGE ON SCHEMA ctms TO nobody_special');
$ctms->sql("GRANT SELECT ON ctms.$_ TO nobody_special") for sort keys %is_view;
@wrong = ();
for my $role (@roles)
{
    for my $view (sort keys %is_view)
    {
        my $state = $ctms->sql("SELECT public.attempt('$role', 'SELECT * FROM ctms.$view')");
        my $may = $role =~ /^ctms_(?:reader|admin)$/;
        push @wrong, "$role $view: $state" if $state ne ($may ? '00000' : '42501');
    }
}
is(join("\n", @wrong), '', 'they show nothing to a role that may not read their tables');
$ctms->sql('REVOKE USAGE ON SCHEMA ctms FROM nobody_special');
$ctms->sql("REVOKE SELECT ON ctms.$_ FROM nobody_special") for sort keys %is_view;

# Row security of an installation holds in them too.
$ctms->sql(q{INSERT INTO ctms.emails (primary_email) VALUES ('a@example.com'), ('b@example.com');
    INSERT INTO ctms.newsletters (email_id, name, subscribed)
        SELECT email_id, 'news-' || left(primary_email, 1), true FROM ctms.emails;
    CREATE POLICY one ON ctms.newsletters FOR SELECT TO ctms_reader USING (name = 'news-a');
    ALTER TABLE ctms.newsletters ENABLE ROW LEVEL SECURITY});
is($ctms->sql(q{SET ROLE ctms_reader; SELECT string_agg(name, ' ') FROM ctms.newsletter_counts}),
    'news-a', 'views show the rows that row security shows');
$ctms->sql(q{ALTER TABLE ctms.newsletters DISABLE ROW LEVEL SECURITY;
    DROP POLICY one ON ctms.newsletters; DELETE FROM ctms.newsletters; DELETE FROM ctms.emails});
is($ctms->sql(q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'ctms'::regnamespace
    AND prosrc ~ 'advisory_'}), '0', 'no lock that anybody may hold is waited for');

# ---- sequences, types, the schema -------------------------------------------------------------

is($ctms->sql(q{
    SELECT string_agg(r.name || ' ' || c.relname || ' ' || p.name, ', ' ORDER BY 1)
    FROM unnest('{ROLES,public}'::text[]) AS r (name), pg_class c,
        unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p (name)
    WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'S'
      AND has_sequence_privilege(r.name, c.oid, p.name) <> (r.name = 'ctms_admin')}
    =~ s/ROLES/join ',', @roles/er),
    '', 'sequences are for ctms_admin alone');
is($ctms->sql(q{
    SELECT string_agg(DISTINCT r.name || ' ' || s.state, ', ')
        FROM unnest('{ROLES}'::text[]) AS r (name), pg_class c,
        LATERAL (SELECT public.attempt(r.name,
            format('SELECT nextval(%L)', c.oid::regclass))) AS s (state)
    WHERE c.relnamespace = 'ctms'::regnamespace AND c.relkind = 'S'
      AND s.state <> CASE r.name WHEN 'ctms_admin' THEN '00000' ELSE
          '42501' END} =~ s/ROLES/join ',', @roles/er),
    '', 'which was tried');
is($ctms->sql(q{SELECT string_agg(t.typname, ', ') FROM pg_type t
    WHERE t.typnamespace = 'ctms'::regnamespace AND t.typtype <> 'c' AND t.typcategory <> 'A'
      AND (has_type_privilege('public', t.oid, 'USAGE')
          OR NOT has_type_privilege('ctms_api', t.oid, 'USAGE'))}),
    '', 'types are for the roles of ctms');
is($ctms->sql(q{SELECT string_agg(r.name, ' ') FROM unnest('{ROLES,public}'::text[]) AS r (name)
    WHERE has_schema_privilege(r.name, 'ctms', 'CREATE')} =~ s/ROLES/join ',', @roles/er), '',
    'nobody makes objects in the schema');
is($ctms->sql(q{SELECT has_schema_privilege('public', 'ctms', 'USAGE')}), 'f',
    'and only the roles of ctms may look into it');

# ---- functions ---------------------------------------------------------------------------------

# docs/security.md has a table of the functions that are granted to other roles than ctms_admin, or
# to no role.
my %documented;
for (split /\n/, CTMS::Test::slurp("$ENV{CTMS_TEST_TOP}/docs/security.md"))
{
    $documented{$1} = join ' ', sort grep { $_ ne '|' } split /[ `]+/, $2
        if /^\| `([a-z_]\w*)` \|((?: `ctms_\w+`)*) \|/;
}
my %functions;
for (split /\n/, $ctms->sql(q{
    SELECT p.proname || '|' || COALESCE((SELECT string_agg(r.name, ' ' ORDER BY r.name)
        FROM unnest('{ROLES,public}'::text[]) AS r (name)
            WHERE has_function_privilege(r.name, p.oid, 'EXECUTE')), '')
    FROM pg_proc p WHERE p.pronamespace = 'ctms'::regnamespace
        ORDER BY 1} =~ s/ROLES/join ',', @roles/er))
{
    my ($name, $may) = split /\|/;
    my $unnamed = $name =~ /^_/ ? '' : 'ctms_admin';
    my $expected = join ' ', grep { length } split / /, $documented{$name} // $unnamed;
    is($may // '', $expected, "who may call ctms.$name()")
        or diag 'if it is right, say so in docs/security.md';
    $functions{$name} = $expected;
}
is(join(' ', grep { !exists $functions{$_} && !/^ctms_/ } sort keys %documented), '',
    'docs/security.md names no other functions');

# Each role calls each function with nulls that the planner cannot see; "internal" cannot be passed.
my $calls = 0;
@wrong = ();
for my $role (@roles)
{
    my $states = $ctms->sql(qq{
        SELECT p.proname || ' ' || public.attempt('$role',
            format('SELECT ctms.%I(%s) IS NULL FROM (SELECT %s OFFSET 0) AS x%s', p.proname,
            (SELECT string_agg('a' || n, ', ' ORDER BY n) FROM generate_series(1, p.pronargs) AS n),
            COALESCE((SELECT string_agg(format('NULL::%s AS a%s', format_type(t, NULL), n), ', '
                ORDER BY n)
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, n)), '1'), ''))
        FROM pg_proc p WHERE p.pronamespace = 'ctms'::regnamespace
            AND 'internal'::regtype <> ALL (p.proargtypes::oid[])
        ORDER BY 1});
    for (split /\n/, $states)
    {
        my ($function, $state) = split / /;
        my $may = grep { $_ eq $role } split / /, $functions{$function};
        push @wrong, "$role $function: $state" if $may == ($state eq '42501');
        $calls++;
    }
}
ok($calls > 300, "$calls calls of functions were tried");
is(join("\n", @wrong), '', 'all that are not granted are refused');

# ---- new objects ---------------------------------------------------------------------------------

is($ctms->sql(q{SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE 'ctms\_%'
    AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication
        OR rolbypassrls)}), '', 'roles have no attributes');
is($ctms->sql(q{SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
    WHERE r.rolname LIKE 'ctms\_%'}), '0', 'and are members of nothing');

done_testing();
