/*
 * json_schema/dialect.c: which keywords each draft has, to which kinds of instance they apply,
 * and the vocabularies of the newer drafts.
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

/* "dependencies" and "definitions" still work in the drafts that renamed them. */
/* clang-format off */
#define RULES(RULE)                                                                                \
    RULE("$anchor", KEYWORD_IDENTIFIER, 2019, LAST, CORE, SHAPE_NONE, 0)                           \
    RULE("$comment", KEYWORD_IDENTIFIER, 7, LAST, CORE, SHAPE_NONE, 0)                             \
    RULE("$defs", KEYWORD_DEFINITIONS, 2019, LAST, CORE, SHAPE_MAP, 0)                             \
    RULE("$dynamicAnchor", KEYWORD_IDENTIFIER, 2020, LAST, CORE, SHAPE_NONE, 0)                    \
    RULE("$dynamicRef", KEYWORD_DYNAMIC_REF, 2020, LAST, CORE, SHAPE_NONE, ANY)                    \
    RULE("$id", KEYWORD_IDENTIFIER, 6, LAST, CORE, SHAPE_NONE, 0)                                  \
    RULE("$recursiveAnchor", KEYWORD_IDENTIFIER, 2019, 2019, CORE, SHAPE_NONE, 0)                  \
    RULE("$recursiveRef", KEYWORD_RECURSIVE_REF, 2019, 2019, CORE, SHAPE_NONE, ANY)                \
    RULE("$ref", KEYWORD_REF, 4, LAST, CORE, SHAPE_NONE, ANY)                                      \
    RULE("$schema", KEYWORD_IDENTIFIER, 4, LAST, CORE, SHAPE_NONE, 0)                              \
    RULE("$vocabulary", KEYWORD_IDENTIFIER, 2019, LAST, CORE, SHAPE_NONE, 0)                       \
    RULE("additionalItems", KEYWORD_ADDITIONAL_ITEMS, 4, 2019, APPLICATOR, SHAPE_SCHEMA, ARRAYS)   \
    RULE("additionalProperties", KEYWORD_ADDITIONAL_PROPERTIES, 4, LAST, APPLICATOR,               \
         SHAPE_SCHEMA, OBJECTS)                                                                    \
    RULE("allOf", KEYWORD_ALL_OF, 4, LAST, APPLICATOR, SHAPE_LIST, ANY)                            \
    RULE("anyOf", KEYWORD_ANY_OF, 4, LAST, APPLICATOR, SHAPE_LIST, ANY)                            \
    RULE("const", KEYWORD_CONST, 6, LAST, VALIDATION, SHAPE_NONE, ANY)                             \
    RULE("contains", KEYWORD_CONTAINS, 6, LAST, APPLICATOR, SHAPE_SCHEMA, ARRAYS)                  \
    RULE("definitions", KEYWORD_DEFINITIONS, 4, LAST, CORE, SHAPE_MAP, 0)                          \
    RULE("dependencies", KEYWORD_DEPENDENCIES, 4, LAST, APPLICATOR, SHAPE_MIXED_MAP, OBJECTS)      \
    RULE("dependentRequired", KEYWORD_DEPENDENT_REQUIRED, 2019, LAST, VALIDATION,                  \
         SHAPE_NONE, OBJECTS)                                                                      \
    RULE("dependentSchemas", KEYWORD_DEPENDENT_SCHEMAS, 2019, LAST, APPLICATOR,                    \
         SHAPE_MAP, OBJECTS)                                                                       \
    RULE("else", KEYWORD_ELSE, 7, LAST, APPLICATOR, SHAPE_SCHEMA, ANY)                             \
    RULE("enum", KEYWORD_ENUM, 4, LAST, VALIDATION, SHAPE_NONE, ANY)                               \
    RULE("exclusiveMaximum", KEYWORD_EXCLUSIVE_MAXIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS)  \
    RULE("exclusiveMinimum", KEYWORD_EXCLUSIVE_MINIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS)  \
    RULE("format", KEYWORD_FORMAT, 4, LAST, FORMAT, SHAPE_NONE, ANY)                               \
    RULE("id", KEYWORD_IDENTIFIER, 4, 4, CORE, SHAPE_NONE, 0)                                      \
    RULE("if", KEYWORD_IF, 7, LAST, APPLICATOR, SHAPE_SCHEMA, ANY)                                 \
    RULE("items", KEYWORD_ITEMS, 4, LAST, APPLICATOR, SHAPE_SCHEMA_OR_LIST, ARRAYS)                \
    RULE("maxContains", KEYWORD_MAX_CONTAINS, 2019, LAST, VALIDATION, SHAPE_NONE, ARRAYS)          \
    RULE("maxItems", KEYWORD_MAX_ITEMS, 4, LAST, VALIDATION, SHAPE_NONE, ARRAYS)                   \
    RULE("maxLength", KEYWORD_MAX_LENGTH, 4, LAST, VALIDATION, SHAPE_NONE, STRINGS)                \
    RULE("maxProperties", KEYWORD_MAX_PROPERTIES, 4, LAST, VALIDATION, SHAPE_NONE, OBJECTS)        \
    RULE("maximum", KEYWORD_MAXIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS)                     \
    RULE("minContains", KEYWORD_MIN_CONTAINS, 2019, LAST, VALIDATION, SHAPE_NONE, ARRAYS)          \
    RULE("minItems", KEYWORD_MIN_ITEMS, 4, LAST, VALIDATION, SHAPE_NONE, ARRAYS)                   \
    RULE("minLength", KEYWORD_MIN_LENGTH, 4, LAST, VALIDATION, SHAPE_NONE, STRINGS)                \
    RULE("minProperties", KEYWORD_MIN_PROPERTIES, 4, LAST, VALIDATION, SHAPE_NONE, OBJECTS)        \
    RULE("minimum", KEYWORD_MINIMUM, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS)                     \
    RULE("multipleOf", KEYWORD_MULTIPLE_OF, 4, LAST, VALIDATION, SHAPE_NONE, NUMBERS)              \
    RULE("not", KEYWORD_NOT, 4, LAST, APPLICATOR, SHAPE_SCHEMA, ANY)                               \
    RULE("oneOf", KEYWORD_ONE_OF, 4, LAST, APPLICATOR, SHAPE_LIST, ANY)                            \
    RULE("pattern", KEYWORD_PATTERN, 4, LAST, VALIDATION, SHAPE_NONE, STRINGS)                     \
    RULE("patternProperties", KEYWORD_PATTERN_PROPERTIES, 4, LAST, APPLICATOR,                     \
         SHAPE_MAP, OBJECTS)                                                                       \
    RULE("prefixItems", KEYWORD_PREFIX_ITEMS, 2020, LAST, APPLICATOR, SHAPE_LIST, ARRAYS)          \
    RULE("properties", KEYWORD_PROPERTIES, 4, LAST, APPLICATOR, SHAPE_MAP, OBJECTS)                \
    RULE("propertyNames", KEYWORD_PROPERTY_NAMES, 6, LAST, APPLICATOR, SHAPE_SCHEMA, OBJECTS)      \
    RULE("required", KEYWORD_REQUIRED, 4, LAST, VALIDATION, SHAPE_NONE, OBJECTS)                   \
    RULE("then", KEYWORD_THEN, 7, LAST, APPLICATOR, SHAPE_SCHEMA, ANY)                             \
    RULE("type", KEYWORD_TYPE, 4, LAST, VALIDATION, SHAPE_NONE, ANY)                               \
    RULE("unevaluatedItems", KEYWORD_UNEVALUATED_ITEMS, 2019, LAST, UNEVALUATED,                   \
         SHAPE_SCHEMA, ARRAYS)                                                                     \
    RULE("unevaluatedProperties", KEYWORD_UNEVALUATED_PROPERTIES, 2019, LAST, UNEVALUATED,         \
         SHAPE_SCHEMA, OBJECTS)                                                                    \
    RULE("uniqueItems", KEYWORD_UNIQUE_ITEMS, 4, LAST, VALIDATION, SHAPE_NONE, ARRAYS)
/* clang-format on */

#define ROW(name, kind, first_draft, last_draft, vocabulary, shape, applies)                       \
    {name, kind, first_draft, last_draft, vocabulary, shape, applies, sizeof(name) - 1},
#define KIND_BIT(name, kind, ...) | (UINT64CONST(1) << (kind))

static const JsonSchemaKeywordRule rules[] = {RULES(ROW)};

/* Annotations are the keywords that have no rule. */
StaticAssertDecl((0 RULES(KIND_BIT)) == (UINT64CONST(1) << N_KEYWORD_KINDS) - 1 -
                                            (UINT64CONST(1) << KEYWORD_ANNOTATION),
                 "a keyword has no rule");

/*
 * Only a keyword that asserts nothing may apply to no kind of instance. Any other one would never
 * be enforced.
 */
#define IS_IDLE(name, kind, first, last, vocabulary, shape, applies)                               \
    +((applies) == 0 && (kind) != KEYWORD_IDENTIFIER && (kind) != KEYWORD_DEFINITIONS)
StaticAssertDecl((0 RULES(IS_IDLE)) == 0, "a keyword applies to no kind of value");

static const JsonSchemaKeywordRule *
find_name(JsonValue name)
{
    for (int i = 0; i < (int)lengthof(rules); i++)
        if (rules[i].name_length == name.length &&
            memcmp(rules[i].name, name.data, name.length) == 0)
            return &rules[i];
    return NULL;
}

bool
json_schema_has_rule(JsonValue name)
{
    return find_name(name) != NULL;
}

JsonValue
json_schema_rule_name(int index)
{
    JsonValue name = {NULL, 0, JSON_STRING};

    if (index < (int)lengthof(rules)) {
        name.data = rules[index].name;
        name.length = rules[index].name_length;
    }
    return name;
}

const JsonSchemaKeywordRule *
json_schema_find_rule(const JsonSchemaDialect *dialect, JsonValue name)
{
    const JsonSchemaKeywordRule *rule = find_name(name);
    uint32 vocabularies = dialect->vocabularies;

    /* In 2019-09 the unevaluated keywords belong to the vocabulary of applicators. */
    if (dialect->draft == 2019 && (vocabularies & VOCABULARY_APPLICATOR))
        vocabularies |= VOCABULARY_UNEVALUATED;
    if (!rule || dialect->draft < rule->first_draft || dialect->draft > rule->last_draft ||
        !(rule->vocabulary & vocabularies))
        return NULL;
    return rule;
}

/* ---- drafts --------------------------------------------------------------------------- */

static const struct {
    int draft;
    const char *name; /* in the option "draft" */
    const char *uri;  /* in "$schema" */
} drafts[JSON_SCHEMA_DRAFTS] = {
    {2020, "2020-12", "https://json-schema.org/draft/2020-12/schema"},
    {2019, "2019-09", "https://json-schema.org/draft/2019-09/schema"},
    {7, "7", "http://json-schema.org/draft-07/schema"},
    {6, "6", "http://json-schema.org/draft-06/schema"},
    {4, "4", "http://json-schema.org/draft-04/schema"},
};

int
json_schema_draft_at(int index)
{
    return index < JSON_SCHEMA_DRAFTS ? drafts[index].draft : 0;
}

int
json_schema_find_draft(JsonValue name)
{
    if (name.kind == JSON_STRING)
        for (int i = 0; i < (int)lengthof(drafts); i++)
            if (json_string_equals(name, drafts[i].name))
                return drafts[i].draft;
    return 0;
}

JsonSchemaDialect
json_schema_draft_dialect(int draft)
{
    JsonSchemaDialect dialect = {draft ? draft : 2020, VOCABULARY_ALL, NULL};

    return dialect;
}

const char *
json_schema_draft_uri(int draft)
{
    for (int i = 0; i < (int)lengthof(drafts); i++)
        if (drafts[i].draft == draft)
            return drafts[i].uri;
    elog(ERROR, "there is no JSON Schema draft %d", draft);
}

const char *
json_schema_draft_name(int draft)
{
    for (int i = 0; i < (int)lengthof(drafts); i++)
        if (drafts[i].draft == draft)
            return drafts[i].name;
    elog(ERROR, "there is no JSON Schema draft %d", draft);
}

bool
json_schema_known_dialect(const char *uri, JsonSchemaDialect *dialect)
{
    size_t length = strlen(uri);

    if (length > 0 && uri[length - 1] == '#')
        length--;
    for (int i = 0; i < (int)lengthof(drafts); i++) {
        /* People often write "https" for the older drafts by mistake, so it is accepted. */
        const char *name = drafts[i].uri;
        const char *after = strstr(name, "://");
        const char *given = strstr(uri, "://");

        if (given && strlen(name) - (after - name) == length - (given - uri) &&
            strncmp(after, given, length - (given - uri)) == 0 && strncmp(uri, "http", 4) == 0) {
            *dialect = json_schema_draft_dialect(drafts[i].draft);
            return true;
        }
    }
    return false;
}

/* ---- vocabularies ---------------------------------------------------------------------- */

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
