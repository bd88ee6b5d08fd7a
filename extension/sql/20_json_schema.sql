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
