# Schemas that change while other sessions validate: no verdict is that of a schema that a
# committed change had replaced before the session asked for the verdict.
#
# A validating session reads the version of the schema, asks for the verdict, and reads the
# version again. If both are the same, the verdict must be that version's. For waitlists the
# version is read from the schema itself, because their lock keeps the order. Snapshots see a change
# of a registered document a moment before its COMMIT is over and all sessions are notified, so
# there the first version is one whose COMMIT has returned. The test makes CTMS_TEST_CHANGES (300)
# changes of waitlists and as many of documents; "make soak-schemas" makes 10,000.
use strict;
use warnings;
use CTMS::Test;
use IPC::Run;
use Test::More;

use constant VALIDATING_SESSIONS => 3;

my $changes = $ENV{CTMS_TEST_CHANGES} // 300;
my $ctms = CTMS::Test->new('change');

$ctms->sql(q{
INSERT INTO ctms.emails (primary_email) VALUES ('u@example.com');
CREATE TABLE public.stop (it boolean);
CREATE TABLE public.returned (version int);
INSERT INTO public.returned VALUES (0);
CREATE TABLE public.verdict (session int, waitlists bigint, documents bigint,
    stale_waitlists bigint, stale_documents bigint);

-- Version n accepts the number n % 2 and nothing else.
CREATE FUNCTION public.version_schema(version int) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_build_object('$comment', version::text, 'properties',
        jsonb_build_object('n', jsonb_build_object('const', version % 2))) $$;
INSERT INTO ctms.waitlist_fields_schemas (name, schema) VALUES ('w', public.version_schema(0));
INSERT INTO ctms.json_schema_document VALUES ('https://example.com/s', public.version_schema(0));

CREATE PROCEDURE public.change_schemas(changes int) LANGUAGE plpgsql AS $$
BEGIN
    FOR version IN 1 .. changes LOOP
        IF version % 10 = 0 THEN
            PERFORM ctms.set_waitlist_schema('w', public.version_schema(version),
                existing_rows => 'ignore');
        ELSIF version % 7 = 0 THEN
            DELETE FROM ctms.waitlist_fields_schemas WHERE name = 'w';
            INSERT INTO ctms.waitlist_fields_schemas (name, schema)
                VALUES ('w', public.version_schema(version));
        ELSE
            UPDATE ctms.waitlist_fields_schemas
                SET schema = public.version_schema(version) WHERE name = 'w';
        END IF;
        COMMIT;
        UPDATE ctms.json_schema_document SET schema = public.version_schema(version)
            WHERE uri = 'https://example.com/s';
        COMMIT;
        EXECUTE 'UPDATE public.returned SET version = $1' USING version;
        COMMIT;
    END LOOP;
END $$;

CREATE FUNCTION public.waitlist_version() RETURNS int LANGUAGE sql VOLATILE AS
    $$ SELECT (schema ->> '$comment')::int FROM ctms.waitlist_fields_schemas WHERE name = 'w' $$;
CREATE FUNCTION public.document_version() RETURNS int LANGUAGE sql VOLATILE AS
    $$ SELECT (schema ->> '$comment')::int FROM ctms.json_schema_document
    WHERE uri = 'https://example.com/s' $$;

CREATE PROCEDURE public.validate(session int) LANGUAGE plpgsql AS $$
DECLARE
    n int := session;
    before int;
    after int;
    accepted boolean;
    waitlists bigint := 0;
    documents bigint := 0;
    stale_waitlists bigint := 0;
    stale_documents bigint := 0;
BEGIN
    LOOP
        n := n + 1;
        before := public.waitlist_version();
        BEGIN
            INSERT INTO ctms.waitlists (email_id, name, fields)
            SELECT email_id, 'w', jsonb_build_object('n', n % 2) FROM ctms.emails;
            accepted := true;
        EXCEPTION WHEN SQLSTATE 'CT001' THEN
            accepted := false;
        END;
        after := public.waitlist_version();
        ROLLBACK;
        IF before = after THEN
            waitlists := waitlists + 1;
            stale_waitlists := stale_waitlists + (accepted <> (n % 2 = before % 2))::int;
        END IF;
        SELECT version INTO before FROM public.returned;
        accepted := ctms.json_schema_is_valid('{"$ref": "https://example.com/s"}',
            jsonb_build_object('n', n % 2));
        after := public.document_version();
        IF before = after THEN
            documents := documents + 1;
            stale_documents := stale_documents + (accepted <> (n % 2 = before % 2))::int;
        END IF;
        COMMIT;
        EXIT WHEN EXISTS (SELECT FROM public.stop);
    END LOOP;
    INSERT INTO public.verdict
        VALUES (session, waitlists, documents, stale_waitlists, stale_documents);
END $$;
});

my @sessions;
for my $session (1 .. VALIDATING_SESSIONS)
{
    my %session = (out => '');
    $session{run} = IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d',
            $ctms->node->connstr('ctms'), '-c', "CALL public.validate($session)" ],
        \'', \$session{out}, '2>&1');
    push @sessions, \%session;
}
$ctms->sql("CALL public.change_schemas($changes)");
$ctms->sql('INSERT INTO public.stop VALUES (true)');
$_->{run}->finish for @sessions;
is(join('', map { $_->{out} } @sessions), '', 'every session validated to the end');

my ($sessions, $waitlists, $documents, $stale_waitlists, $stale_documents) = split /\|/,
    $ctms->sql('SELECT count(*), sum(waitlists), sum(documents), sum(stale_waitlists),
        sum(stale_documents) FROM public.verdict');
is($sessions, VALIDATING_SESSIONS, 'all of them');
cmp_ok($waitlists, '>', 0, 'verdicts on waitlists were compared');
cmp_ok($documents, '>', 0, 'verdicts through a registered document too');
is($stale_waitlists, 0, 'none on waitlists was stale');
is($stale_documents, 0, 'nor through a document');
is($ctms->sql('SELECT public.waitlist_version()'), $changes, 'all changes were made');
note "$changes changes of each, $waitlists verdicts on waitlists"
    . " and $documents through a document compared";
done_testing();
