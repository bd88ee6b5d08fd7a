# Sessions that exchange addresses, tokens and ids of few contacts at the same time: of two
# sessions that want the same value one gets CT409, and no session ends in a deadlock.
#
# CTMS_STRESS_SECONDS sets how long.
use strict;
use warnings;
use CTMS::Test;
use IPC::Run;
use Test::More;

my $ctms = CTMS::Test->new('contact_swaps', conf => 'deadlock_timeout = 20ms');
my $sessions = 8;

$ctms->sql(q{
    CREATE FUNCTION contact(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid $$;
    CREATE UNLOGGED TABLE outcome (statement text, state text);
    -- Runs a statement; how it ends is stored either way.
    CREATE FUNCTION try(name text, statement text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE state text := 'done';
    BEGIN
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN OTHERS THEN
            state := SQLSTATE;
        END;
        INSERT INTO outcome VALUES (name, state);
    END $$;
    -- Eight values of each kind for six contacts: some exchanges succeed.
    CREATE FUNCTION any_value(kind text) RETURNS text LANGUAGE sql VOLATILE AS $$
        SELECT (CASE WHEN random() < 0.5 THEN kind ELSE upper(kind) END)
            || floor(random() * 8)::int || '@example.com' $$;
    CREATE FUNCTION any_token() RETURNS text LANGUAGE sql VOLATILE AS
        $$ SELECT contact(floor(random() * 8)::int)::text $$;
    CREATE FUNCTION any_body(with_address boolean) RETURNS text LANGUAGE sql VOLATILE AS $$
        SELECT jsonb_strip_nulls(jsonb_build_object(
            'email', jsonb_build_object('first_name', random()::text, 'primary_email',
                CASE WHEN with_address OR random() < 0.7 THEN any_value('name') END,
                'basket_token', CASE WHEN random() < 0.5 THEN any_token() END),
            'fxa', CASE WHEN random() < 0.1 THEN '"DELETE"'::jsonb WHEN random() < 0.6 THEN
            jsonb_build_object('fxa_id', any_token()) END,
            'mofo', CASE WHEN random() < 0.1 THEN '"DELETE"'::jsonb WHEN random() < 0.6 THEN
            jsonb_build_object('mofo_email_id', any_token()) END))::text $$;
    CREATE FUNCTION whole_body() RETURNS text LANGUAGE sql VOLATILE AS
        $$ SELECT (b - ARRAY(SELECT key FROM jsonb_each(b) WHERE value = '"DELETE"'))::text
        FROM CAST(any_body(true) AS jsonb) AS b $$;
    SELECT count(*) FROM (SELECT ctms.put_contact(contact(n),
        jsonb_build_object('email', jsonb_build_object('primary_email',
        'name' || n || '@example.com', 'basket_token', contact(n)),
        'fxa', jsonb_build_object('fxa_id', contact(n)), 'mofo', jsonb_build_object('mofo_email_id',
            contact(n)))::text) FROM generate_series(0, 5) AS n) AS made;
});

# Two contacts that exchange addresses are most of it: the shortest way to a deadlock.
my %script = (
    exchange => [ 8, q{SELECT try('exchange',
        format('SELECT ctms.patch_contact(%L, %L)', contact(e.n), jsonb_build_object('email',
        jsonb_build_object('primary_email', 'name' || 1 - e.n || '@example.com'))))
        FROM (SELECT floor(random() * 2)::int AS n) AS e;} ],
    patch => [ 8, q{SELECT try('patch', format('SELECT ctms.patch_contact(%L, %L)',
        contact(floor(random() * 6)::int), any_body(false)));} ],
    put => [ 2, q{SELECT try('put', format('SELECT ctms.put_contact(%L, %L)',
        contact(floor(random() * 8)::int), whole_body()));} ],
    create => [ 1,
        q{SELECT try('create', format('SELECT ctms.create_contact(%L)', whole_body()));} ],
    delete => [ 1, q{SELECT try('delete', format('SELECT ctms.delete_contact(%L)',
        'name' || 2 + floor(random() * 6)::int || '@example.com'));} ]);
my @scripts;
for my $name (sort keys %script)
{
    my ($weight, $text) = @{ $script{$name} };
    my $file = "$ENV{TESTDIR}/swap_$name.sql";
    PostgreSQL::Test::Utils::append_to_file($file, $text =~ s/\n\s*/ /gr . "\n");
    push @scripts, '-f', "$file\@$weight";
}
my @length = $ENV{CTMS_STRESS_SECONDS} ? ('-T', $ENV{CTMS_STRESS_SECONDS}) : ('-t', 250);
my ($out, $err) = ('', '');
IPC::Run::run([ 'pgbench', '-n', '-c', $sessions, '-j', 1, @length, @scripts, $ctms->db_url ], '<',
    \'', '>', \$out, '2>', \$err);
is($?, 0, 'no session failed') or diag $err;

my $outcomes = $ctms->sql('SELECT statement, state, count(*) FROM outcome
    GROUP BY 1, 2 ORDER BY 1, 2');
diag $outcomes if $ENV{CTMS_STRESS_SECONDS};
my %allowed = (exchange => 'done|CT409|CT404', patch => 'done|CT409|CT404', put => 'done|CT409',
    create => 'done|CT409', delete => 'done|40001');
for my $statement (sort keys %allowed)
{
    my @others = grep { /^$statement\|/ && !/^$statement\|(?:$allowed{$statement})\|/ } split /\n/,
        $outcomes;
    is("@others", '', "$statement: done, or a conflict");
    like($outcomes, qr/^$statement\|done\|/m, "$statement: some are done");
}
like($outcomes, qr/^exchange\|CT409\|/m, 'who wants what another has is told so');
done_testing();
