-- ---------------------------------------------------------------------------
-- What changes from one JSON Schema to another.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.json_schema_compare(old jsonb, new jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_compare';
COMMENT ON FUNCTION ctms.json_schema_compare(jsonb, jsonb) IS 'Whether the new JSON Schema accepts all that the old one does: "compatibility" is "compatible", "incompatible" with an "example" that only the old one accepts and its "errors" under the new one, or "unknown"';

CREATE FUNCTION ctms._json_schema_example(old jsonb, new jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_example';
COMMENT ON FUNCTION ctms._json_schema_example(jsonb, jsonb) IS 'For tests: the search of ctms.json_schema_compare() alone, null when it finds nothing';

GRANT EXECUTE ON FUNCTION ctms.json_schema_compare(jsonb, jsonb) TO ctms_api, ctms_reader;
