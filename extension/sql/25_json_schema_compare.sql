-- ---------------------------------------------------------------------------
-- Comparison of two JSON Schemas.
-- ---------------------------------------------------------------------------

CREATE FUNCTION ctms.json_schema_compare(old jsonb, new jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms_json_schema_compare';
COMMENT ON FUNCTION ctms.json_schema_compare(jsonb, jsonb) IS 'Whether the new JSON Schema accepts everything that the old one accepts: "compatibility" is "compatible", "incompatible" with an "example" that only the old one accepts and its "errors" under the new one, or "unknown"';

CREATE FUNCTION ctms._json_schema_example(old jsonb, new jsonb) RETURNS jsonb
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ctms__json_schema_example';
COMMENT ON FUNCTION ctms._json_schema_example(jsonb, jsonb) IS 'For tests: only the search of ctms.json_schema_compare() for an example; null when it finds none';

GRANT EXECUTE ON FUNCTION ctms.json_schema_compare(jsonb, jsonb) TO ctms_api, ctms_reader;
