/*
 * json_schema/dialect.c: which keywords each draft has, what they apply to, and the
 * vocabularies of the newer ones.
 */
#include "extension/base/compat.h"

#include "extension/json_schema/internal.h"

#define STRINGS JSON_KIND_BIT(JSON_STRING)
#define NUMBERS JSON_KIND_BIT(JSON_NUMBER)
#define ARRAYS JSON_KIND_BIT(JSON_ARRAY)
#define OBJECTS JSON_KIND_BIT(JSON_OBJECT)
#define ANY JSON_KINDS_ALL
#define LAST 9999

#define CORE VOCABULARY_CORE
#define APPLICATOR VOCABULARY_APPLICATOR
#define VALIDATION VOCABULARY_VALIDATION
#define UNEVALUATED VOCABULARY_UNEVALUATED
#define FORMAT (VOCABULARY_FORMAT_ANNOTATION | VOCABULARY_FORMAT_ASSERTION)

/* Sorted by name. "dependencies" and "definitions" stay understood after they were renamed. */
static const JsonSchemaKeywordRule rules[] = {
    {"$anchor", KEYWORD_IDENTIFIER, 2019, LAST, CORE, SHAPE_NONE, 0},
    {"$comment", KEYWORD_IDENTIFIER, 7, LAST, CORE, SHAPE_NONE, 0},
    {"$defs", KEYWORD_DEFINITIONS, 2019, LAST, CORE, SHAPE_MAP, 0},
    {"$dynamicAnchor", KEYWORD_IDENTIFIER, 2020, LAST, CORE, SHAPE_NONE, 0},
    {"$dynamicRef", KEYWORD_DYNAMIC_REF, 2020, LAST, CORE, SHAPE_NONE, ANY},
    {"$id", KEYWORD_IDENTIFIER, 6, LAST, CORE, SHAPE_NONE, 0},
    {"$recursiveAnchor", KEYWORD_IDENTIFIER, 2019, 2019, CORE, SHAPE_NONE, 0},
    {"$recursiveRef", KEYWORD_RECURSIVE_REF, 2019, 2019, CORE, SHAPE_NONE, ANY},
    {"$ref", KEYWORD_REF, 4, LAST, CORE, SHAPE_NONE, ANY},
    {"$schema", KEYWORD_IDENTIFIER, 4, LAST, CORE, SHAPE_NONE, 0},
    {"$vocabulary", KEYWORD_IDENTIFIER, 2019, LAST, CORE, SHAPE_NONE, 0},
    {"additionalItems", KEYWORD_ADDITIONAL_ITEMS, 4, 2019, APPLICATOR, SHAPE_SCHEMA, ARRAYS},
    {"additionalProperties", KEYWORD_ADDITIONAL_PROPERTIES, 4, LAST, APPLICATOR, SHAPE_SCHEMA,
     OBJECTS},
    {"allOf", KEYWORD_ALL_OF, 4, LAST, APPLICATOR, SHAPE_LIST, ANY},
    {"anyOf", KEYWORD_ANY_OF, 4, LAST, APPLICATOR, SHAPE_LIST, ANY},
    {"const", KEYWORD_CONST, 6, LAST, VALIDATION, SHAPE_NONE, ANY},
    {"contains", KEYWORD_CONTAINS, 6, LAST, APPLICATOR, SHAPE_SCHEMA, ARRAYS},
    {"definitions", KEYWORD_DEFINITIONS, 4, LAST, CORE, SHAPE_MAP, 0},
    {"dependencies", KEYWORD_DEPENDENCIES, 4, LAST, APPLICATOR, SHAPE_MIXED_MAP, OBJECTS},
    {"dependentRequired", KEYWORD_DEPENDENT_REQUIRED, 2019, LAST, VALIDATION, SHAPE_NONE, OBJECTS},
    {"dependentSchemas", KEYWORD_DEPENDENT_SCHEMAS, 2019, LAST, APPLICATOR, SHAPE_MAP, OBJECTS},
    {"else", KEYWORD_ELSE, 7, LAST, APPLICATOR, SHAPE_SCHEMA, ANY},
    {"enum", KEYWORD_ENUM, 4, LAST, VALIDATION, SHAPE_NONE, ANY},
    {"exclusiveMaximum", KEYWORD_EXCLUSIVE_MAXIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS},
    {"exclusiveMinimum", KEYWORD_EXCLUSIVE_MINIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS},
    {"format", KEYWORD_FORMAT, 4, LAST, FORMAT, SHAPE_NONE, ANY},
    {"id", KEYWORD_IDENTIFIER, 4, 4, CORE, SHAPE_NONE, 0},
    {"if", KEYWORD_IF, 7, LAST, APPLICATOR, SHAPE_SCHEMA, ANY},
    {"items", KEYWORD_ITEMS, 4, LAST, APPLICATOR, SHAPE_SCHEMA_OR_LIST, ARRAYS},
    {"maxContains", KEYWORD_MAX_CONTAINS, 2019, LAST, VALIDATION, SHAPE_NONE, ARRAYS},
    {"maxItems", KEYWORD_MAX_ITEMS, 4, LAST, VALIDATION, SHAPE_NONE, ARRAYS},
    {"maxLength", KEYWORD_MAX_LENGTH, 4, LAST, VALIDATION, SHAPE_NONE, STRINGS},
    {"maxProperties", KEYWORD_MAX_PROPERTIES, 4, LAST, VALIDATION, SHAPE_NONE, OBJECTS},
    {"maximum", KEYWORD_MAXIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS},
    {"minContains", KEYWORD_MIN_CONTAINS, 2019, LAST, VALIDATION, SHAPE_NONE, ARRAYS},
    {"minItems", KEYWORD_MIN_ITEMS, 4, LAST, VALIDATION, SHAPE_NONE, ARRAYS},
    {"minLength", KEYWORD_MIN_LENGTH, 4, LAST, VALIDATION, SHAPE_NONE, STRINGS},
    {"minProperties", KEYWORD_MIN_PROPERTIES, 4, LAST, VALIDATION, SHAPE_NONE, OBJECTS},
    {"minimum", KEYWORD_MINIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS},
    {"multipleOf", KEYWORD_MULTIPLE_OF, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS},
    {"not", KEYWORD_NOT, 4, LAST, APPLICATOR, SHAPE_SCHEMA, ANY},
    {"oneOf", KEYWORD_ONE_OF, 4, LAST, APPLICATOR, SHAPE_LIST, ANY},
    {"pattern", KEYWORD_PATTERN, 4, LAST, VALIDATION, SHAPE_NONE, STRINGS},
    {"patternProperties", KEYWORD_PATTERN_PROPERTIES, 4, LAST, APPLICATOR, SHAPE_MAP, OBJECTS},
    {"prefixItems", KEYWORD_PREFIX_ITEMS, 2020, LAST, APPLICATOR, SHAPE_LIST, ARRAYS},
    {"properties", KEYWORD_PROPERTIES, 4, LAST, APPLICATOR, SHAPE_MAP, OBJECTS},
    {"propertyNames", KEYWORD_PROPERTY_NAMES, 6, LAST, APPLICATOR, SHAPE_SCHEMA, OBJECTS},
    {"required", KEYWORD_REQUIRED, 4, LAST, VALIDATION, SHAPE_NONE, OBJECTS},
    {"then", KEYWORD_THEN, 7, LAST, APPLICATOR, SHAPE_SCHEMA, ANY},
    {"type", KEYWORD_TYPE, 4, LAST, VALIDATION, SHAPE_NONE, ANY},
    {"unevaluatedItems", KEYWORD_UNEVALUATED_ITEMS, 2019, LAST, UNEVALUATED, SHAPE_SCHEMA, ARRAYS},
    {"unevaluatedProperties", KEYWORD_UNEVALUATED_PROPERTIES, 2019, LAST, UNEVALUATED, SHAPE_SCHEMA,
     OBJECTS},
    {"uniqueItems", KEYWORD_UNIQUE_ITEMS, 4, LAST, VALIDATION, SHAPE_NONE, ARRAYS},
};

static int
compare_name(JsonValue name, const char *text)
{
    size_t length = strlen(text);
    int order = memcmp(name.data, text, Min(name.length, length));

    return order ? order : (name.length > length) - (name.length < length);
}

const JsonSchemaKeywordRule *
json_schema_find_rule(const JsonSchemaDialect *dialect, JsonValue name)
{
    int low = 0;
    int high = lengthof(rules) - 1;

    while (low <= high) {
        int middle = (low + high) / 2;
        const JsonSchemaKeywordRule *rule = &rules[middle];
        int order = compare_name(name, rule->name);

        if (order == 0) {
            uint32 vocabularies = dialect->vocabularies;

            /* 2019-09 has the unevaluated keywords among the applicators. */
            if (dialect->draft == 2019 && (vocabularies & VOCABULARY_APPLICATOR))
                vocabularies |= VOCABULARY_UNEVALUATED;
            if (dialect->draft < rule->first_draft || dialect->draft > rule->last_draft ||
                !(rule->vocabulary & vocabularies))
                return NULL;
            return rule;
        }
        if (order > 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return NULL;
}

JsonSchemaDialect
json_schema_draft_dialect(int draft)
{
    JsonSchemaDialect dialect = {draft ? draft : 2020, VOCABULARY_ALL};

    return dialect;
}

bool
json_schema_known_dialect(const char *uri, JsonSchemaDialect *dialect)
{
    static const struct {
        const char *uri;
        int draft;
    } known[] = {
        {"http://json-schema.org/draft-04/schema", 4},
        {"http://json-schema.org/draft-06/schema", 6},
        {"http://json-schema.org/draft-07/schema", 7},
        {"https://json-schema.org/draft/2019-09/schema", 2019},
        {"https://json-schema.org/draft/2020-12/schema", 2020},
    };
    size_t length = strlen(uri);

    if (length > 0 && uri[length - 1] == '#')
        length--;
    for (int i = 0; i < (int)lengthof(known); i++) {
        /* "https" for the older ones is a common slip. */
        const char *name = known[i].uri;
        const char *after = strstr(name, "://");
        const char *given = strstr(uri, "://");

        if (given && strlen(name) - (after - name) == length - (given - uri) &&
            strncmp(after, given, length - (given - uri)) == 0 && strncmp(uri, "http", 4) == 0) {
            *dialect = json_schema_draft_dialect(known[i].draft);
            return true;
        }
    }
    return false;
}

uint32
json_schema_vocabulary(const char *uri)
{
    static const struct {
        const char *uri;
        uint32 vocabulary;
    } known[] = {
        {"https://json-schema.org/draft/2020-12/vocab/core", VOCABULARY_CORE},
        {"https://json-schema.org/draft/2020-12/vocab/applicator", VOCABULARY_APPLICATOR},
        {"https://json-schema.org/draft/2020-12/vocab/unevaluated", VOCABULARY_UNEVALUATED},
        {"https://json-schema.org/draft/2020-12/vocab/validation", VOCABULARY_VALIDATION},
        {"https://json-schema.org/draft/2020-12/vocab/meta-data", VOCABULARY_METADATA},
        {"https://json-schema.org/draft/2020-12/vocab/content", VOCABULARY_CONTENT},
        {"https://json-schema.org/draft/2020-12/vocab/format-annotation",
         VOCABULARY_FORMAT_ANNOTATION},
        {"https://json-schema.org/draft/2020-12/vocab/format-assertion",
         VOCABULARY_FORMAT_ASSERTION},
        {"https://json-schema.org/draft/2019-09/vocab/core", VOCABULARY_CORE},
        {"https://json-schema.org/draft/2019-09/vocab/applicator", VOCABULARY_APPLICATOR},
        {"https://json-schema.org/draft/2019-09/vocab/validation", VOCABULARY_VALIDATION},
        {"https://json-schema.org/draft/2019-09/vocab/meta-data", VOCABULARY_METADATA},
        {"https://json-schema.org/draft/2019-09/vocab/content", VOCABULARY_CONTENT},
        {"https://json-schema.org/draft/2019-09/vocab/format", VOCABULARY_FORMAT_ANNOTATION},
    };

    for (int i = 0; i < (int)lengthof(known); i++)
        if (strcmp(uri, known[i].uri) == 0)
            return known[i].vocabulary;
    return 0;
}
