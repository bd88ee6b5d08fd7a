/*
 * json_schema/internal.h: the compiled form, shared by the units of the engine.
 *
 * A program is a graph of nodes, one per subschema that can be reached; references are
 * edges. A node has its keywords in the order of evaluation, with everything about them
 * that can be known in advance: json_schema_evaluate interprets these.
 */
#ifndef CTMS_JSON_SCHEMA_INTERNAL_H
#define CTMS_JSON_SCHEMA_INTERNAL_H

#include "extension/json_schema/json_schema.h"
#include "extension/regex/regex.h"
#include "utils/hsearch.h"

typedef enum JsonSchemaVocabulary {
    VOCABULARY_CORE = 0x01,
    VOCABULARY_APPLICATOR = 0x02,
    VOCABULARY_UNEVALUATED = 0x04,
    VOCABULARY_VALIDATION = 0x08,
    VOCABULARY_METADATA = 0x10,
    VOCABULARY_FORMAT_ANNOTATION = 0x20,
    VOCABULARY_FORMAT_ASSERTION = 0x40,
    VOCABULARY_CONTENT = 0x80,
    VOCABULARY_ALL = 0xBF /* but not the assertion of formats */
} JsonSchemaVocabulary;

typedef struct JsonSchemaDialect {
    int draft;
    uint32 vocabularies;
} JsonSchemaDialect;

/*
 * In the order in which a node evaluates them: what depends on others comes after them.
 *
 * Every pass over keywords is a switch without a default, so that a keyword that it does not
 * name is a compiler's error (-Wswitch). A pass that has nothing to do for a keyword, or
 * leaves it to another pass, says so in a case, for which there are the groups below.
 */
typedef enum JsonSchemaKeywordKind {
    KEYWORD_REF,
    KEYWORD_DYNAMIC_REF,
    KEYWORD_TYPE,
    KEYWORD_ENUM,
    KEYWORD_CONST,
    KEYWORD_MIN_LENGTH,
    KEYWORD_MAX_LENGTH,
    KEYWORD_PATTERN,
    KEYWORD_FORMAT,
    KEYWORD_MINIMUM,
    KEYWORD_MAXIMUM,
    KEYWORD_EXCLUSIVE_MINIMUM,
    KEYWORD_EXCLUSIVE_MAXIMUM,
    KEYWORD_MULTIPLE_OF,
    KEYWORD_MIN_ITEMS,
    KEYWORD_MAX_ITEMS,
    KEYWORD_UNIQUE_ITEMS,
    KEYWORD_MIN_PROPERTIES,
    KEYWORD_MAX_PROPERTIES,
    KEYWORD_REQUIRED,
    KEYWORD_DEPENDENT_REQUIRED,
    KEYWORD_PROPERTIES,
    KEYWORD_PATTERN_PROPERTIES,
    KEYWORD_ADDITIONAL_PROPERTIES,
    KEYWORD_PROPERTY_NAMES,
    KEYWORD_PREFIX_ITEMS,
    KEYWORD_ITEMS, /* after prefixItems; "additionalItems" of older drafts too */
    KEYWORD_CONTAINS,
    KEYWORD_ALL_OF,
    KEYWORD_ANY_OF,
    KEYWORD_ONE_OF,
    KEYWORD_NOT,
    KEYWORD_IF,
    KEYWORD_DEPENDENT_SCHEMAS,
    KEYWORD_DEPENDENCIES,
    KEYWORD_ANNOTATION,
    KEYWORD_UNEVALUATED_ITEMS,
    KEYWORD_UNEVALUATED_PROPERTIES,
    /* Those below only matter while compiling: no compiled node has them. */
    KEYWORD_THEN,
    KEYWORD_ELSE,
    KEYWORD_MIN_CONTAINS,
    KEYWORD_MAX_CONTAINS,
    KEYWORD_ADDITIONAL_ITEMS,
    KEYWORD_RECURSIVE_REF,
    KEYWORD_DEFINITIONS,
    KEYWORD_IDENTIFIER /* $id, $anchor and the like: seen to by the index; the last kind */
} JsonSchemaKeywordKind;

#define N_KEYWORD_KINDS (KEYWORD_IDENTIFIER + 1)

/* clang-format off */

/*
 * Groups, each as one case label. A keyword is in the group that says what it looks at:
 * passes take it for granted of all that is there.
 */

/* The instance alone, without subschemas: judged by json_schema/assert.c. */
#define ASSERTIONS_ON_ANYTHING KEYWORD_TYPE: case KEYWORD_ENUM: case KEYWORD_CONST
#define ASSERTIONS_ON_STRINGS                                                                      \
    KEYWORD_MIN_LENGTH: case KEYWORD_MAX_LENGTH: case KEYWORD_PATTERN: case KEYWORD_FORMAT
#define ASSERTIONS_ON_NUMBERS                                                                      \
    KEYWORD_MINIMUM: case KEYWORD_MAXIMUM: case KEYWORD_EXCLUSIVE_MINIMUM:                         \
    case KEYWORD_EXCLUSIVE_MAXIMUM: case KEYWORD_MULTIPLE_OF
#define ASSERTIONS_ON_ARRAYS                                                                       \
    KEYWORD_MIN_ITEMS: case KEYWORD_MAX_ITEMS: case KEYWORD_UNIQUE_ITEMS
#define ASSERTIONS_ON_OBJECTS                                                                      \
    KEYWORD_MIN_PROPERTIES: case KEYWORD_MAX_PROPERTIES: case KEYWORD_REQUIRED:                    \
    case KEYWORD_DEPENDENT_REQUIRED
#define ASSERTIONS                                                                                 \
    ASSERTIONS_ON_ANYTHING: case ASSERTIONS_ON_STRINGS: case ASSERTIONS_ON_NUMBERS:                \
    case ASSERTIONS_ON_ARRAYS: case ASSERTIONS_ON_OBJECTS
/* Subschemas for the instance itself. */
#define APPLICATORS_IN_PLACE                                                                       \
    KEYWORD_REF: case KEYWORD_DYNAMIC_REF: case KEYWORD_ALL_OF: case KEYWORD_ANY_OF:               \
    case KEYWORD_ONE_OF: case KEYWORD_NOT: case KEYWORD_IF: case KEYWORD_DEPENDENT_SCHEMAS:        \
    case KEYWORD_DEPENDENCIES
/* Subschemas for members of an object, for items of an array, and for those of either that no
 * other keyword of the node evaluates. */
#define APPLICATORS_TO_MEMBERS                                                                     \
    KEYWORD_PROPERTIES: case KEYWORD_PATTERN_PROPERTIES: case KEYWORD_ADDITIONAL_PROPERTIES:       \
    case KEYWORD_PROPERTY_NAMES
#define APPLICATORS_TO_ITEMS                                                                       \
    KEYWORD_PREFIX_ITEMS: case KEYWORD_ITEMS: case KEYWORD_CONTAINS
#define APPLICATORS_TO_UNEVALUATED KEYWORD_UNEVALUATED_ITEMS: case KEYWORD_UNEVALUATED_PROPERTIES
/* In no compiled node. */
#define COMPILED_AWAY                                                                              \
    KEYWORD_THEN: case KEYWORD_ELSE: case KEYWORD_MIN_CONTAINS: case KEYWORD_MAX_CONTAINS:         \
    case KEYWORD_ADDITIONAL_ITEMS: case KEYWORD_RECURSIVE_REF: case KEYWORD_DEFINITIONS:           \
    case KEYWORD_IDENTIFIER

/* clang-format on */

/* Where a keyword's value holds subschemas. */
typedef enum JsonSchemaShape {
    SHAPE_NONE,
    SHAPE_SCHEMA,
    SHAPE_LIST,
    SHAPE_MAP,
    SHAPE_SCHEMA_OR_LIST,
    SHAPE_MIXED_MAP /* values that are schemas or arrays of names */
} JsonSchemaShape;

typedef struct JsonSchemaKeywordRule {
    const char *name;
    JsonSchemaKeywordKind kind;
    int first_draft;
    int last_draft;
    uint32 vocabulary;
    JsonSchemaShape shape;
    uint32 applies; /* kinds of instance that it can fail, as JSON_KIND_BITs */
    uint32 name_length;
} JsonSchemaKeywordRule;

/* Where a schema is in its resource, as a chain; NULL is the root. Only messages need it as
 * text, which would take too much room for each node of a deep schema. */
typedef struct JsonSchemaPointer {
    const struct JsonSchemaPointer *parent;
    const char *keyword; /* NULL: a name alone */
    const char *name;    /* NULL: none */
    uint32 name_length;
    int64 index; /* -1: none */
} JsonSchemaPointer;

/* A schema with a URI of its own: a document, or an embedded part that has an "$id". */
typedef struct JsonSchemaResource {
    const char *uri;           /* without fragment */
    const char *retrieval_uri; /* by which it was asked for, the same unless "$id" differs */
    JsonValue root;
    JsonSchemaDialect dialect;
    bool has_recursive_anchor;
} JsonSchemaResource;

typedef struct JsonSchemaAnchor {
    const char *name;
    bool is_dynamic;
    JsonValue target;
    const JsonSchemaPointer *pointer; /* of the target */
} JsonSchemaAnchor;

typedef struct JsonSchemaNode JsonSchemaNode;

/* What a dynamic reference means when the resource is the outermost with that anchor. */
typedef struct JsonSchemaCandidate {
    const JsonSchemaResource *resource;
    JsonSchemaNode *node;
} JsonSchemaCandidate;

/* All that dynamic references to one anchor may mean. */
typedef struct JsonSchemaCandidates {
    const char *anchor; /* "" for recursive references */
    List *list;         /* JsonSchemaCandidate */
    int n_resources;    /* that have been looked at, while compiling */
} JsonSchemaCandidates;

typedef struct JsonSchemaKeyword {
    JsonSchemaKeywordKind kind;
    uint32 applies;
    const char *name; /* as written in the schema */
    JsonValue value;
    uint32 types;    /* type: JSON_KIND_BITs; TYPE_INTEGER when only integers are numbers */
    int64 count;     /* bounds; contains: minContains */
    int64 max_count; /* contains: maxContains */
    int n;           /* of the lists below */
    JsonValue *names;
    JsonSchemaNode **nodes; /* if: the conditions, then, else; may hold NULL there */
    Regex **patterns;
    JsonValue *lists;   /* dependencies: arrays of names */
    const char *anchor; /* dynamic reference: the name; NULL for an ordinary one */
    const struct JsonSchemaCandidates *candidates; /* of a dynamic one; else NULL */
    struct JsonSchemaFormat const *format;
    const struct JsonSet *set; /* enum: its values when there are many; else NULL */
} JsonSchemaKeyword;

/* Beside the kinds. */
#define TYPE_INTEGER JSON_KIND_BIT(N_JSON_KINDS)

struct JsonSchemaNode {
    JsonValue source; /* an object or a boolean */
    const JsonSchemaResource *resource;
    const JsonSchemaPointer *pointer;
    JsonSchemaKeyword *keywords;
    int n_keywords;
    uint8 visit; /* while looking for cycles */
    bool has_unevaluated;
    /* What their siblings need to know. */
    const JsonSchemaKeyword *properties;
    const JsonSchemaKeyword *pattern_properties;
    const JsonSchemaKeyword *prefix_items;
    const struct FastNode *fast; /* the lowered form */
};

struct JsonSchemaProgram {
    MemoryContext context;
    JsonSchemaNode *root;
    const struct FastNode *fast; /* of the root */
    bool uses_loader;
    bool has_dynamic_scope; /* some reference depends on it */
    int n_nodes;
};

/* One compilation. */
typedef struct JsonSchemaCompile {
    JsonSchemaProgram *program;
    JsonSchemaOptions options;
    List *resources;  /* JsonSchemaResource, all that are known */
    HTAB *roots;      /* address of a root's container -> resource */
    HTAB *nodes;      /* address of a schema's container -> node */
    List *all_nodes;  /* in the order of creation */
    HTAB *names;      /* json_schema/names.c */
    List *candidates; /* JsonSchemaCandidates */
    bool collects;    /* list problems instead of raising the first */
    List *problems;
    Size problem_bytes; /* of their texts */
    bool is_cut;        /* there are more problems than are listed */
} JsonSchemaCompile;

/* ---- json_schema/node.c ----------------------------------------------------- */

/* Notes what is wrong with a schema, and where; raises it unless problems are collected. */
extern void json_schema_problem(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                                const JsonSchemaPointer *pointer, const char *keyword,
                                const char *format, ...) pg_attribute_printf(5, 6);
/* The keyword's value is not what it must be. */
extern void json_schema_bad_value(JsonSchemaCompile *compile, const JsonSchemaNode *node,
                                  const JsonSchemaKeyword *keyword, const char *expected);

extern const JsonSchemaPointer *
json_schema_child_pointer(const JsonSchemaPointer *pointer, const char *keyword, JsonValue *name,
                          int64 index);
/* As a JSON Pointer. */
extern char *json_schema_pointer_text(const JsonSchemaPointer *pointer);

/* The tables of nodes and of roots of resources; once for each compilation. */
extern void json_schema_nodes_init(JsonSchemaCompile *compile, MemoryContext context);
extern void json_schema_enter_root(JsonSchemaCompile *compile, JsonSchemaResource *resource);
/* The resource whose root the schema is; NULL when it is none. */
extern JsonSchemaResource *json_schema_root_at(const JsonSchemaCompile *compile, JsonValue schema);
/* The node of a schema inside a resource, made when it is new. */
extern JsonSchemaNode *
json_schema_node(JsonSchemaCompile *compile, JsonValue source, const JsonSchemaResource *resource,
                 const JsonSchemaPointer *pointer);
/* The node of a subschema of the node; NULL after a problem. */
extern JsonSchemaNode *
json_schema_child(JsonSchemaCompile *compile, JsonSchemaNode *node, const char *keyword,
                  JsonValue *name, int64 index, JsonValue source);

/* The keyword of a compiled node; NULL when it has none of that kind. */
extern const JsonSchemaKeyword *
json_schema_keyword_of(const JsonSchemaNode *node, JsonSchemaKeywordKind kind);
/* The place of the name in "properties" and other maps, -1 for none or without a keyword. */
extern int json_schema_index_of_name(const JsonSchemaKeyword *keyword, JsonValue name);
/* Whether the name matches one of "patternProperties", which may be NULL. */
extern bool json_schema_matches_pattern(const JsonSchemaKeyword *keyword, JsonValue name);
/* Raises what cannot happen: a pass got a keyword that it names as another's. */
extern void
json_schema_stray_keyword(const JsonSchemaKeyword *keyword) __attribute__((noreturn, cold));

/* ---- json_schema/dialect.c -------------------------------------------------- */

/* The rule of a keyword in a dialect; NULL when it means nothing there. */
extern const JsonSchemaKeywordRule *
json_schema_find_rule(const JsonSchemaDialect *dialect, JsonValue name);
/* The dialect that "$schema" or "$vocabulary" names. */
extern bool json_schema_known_dialect(const char *uri, JsonSchemaDialect *dialect);
/* 0 when the vocabulary is not known. */
extern uint32 json_schema_vocabulary(const char *uri);
extern JsonSchemaDialect json_schema_draft_dialect(int draft);

/* ---- json_schema/index.c ---------------------------------------------------- */

/* Enters a document and all resources inside it; the root's resource. */
extern JsonSchemaResource *json_schema_index_document(JsonSchemaCompile *compile, const char *uri,
                                                      JsonValue root, JsonSchemaDialect dialect);
/* Finds the resource of that URI, or loads it: NULL when there is none. The dialect is for
 * a document that does not name its own. */
extern JsonSchemaResource *
json_schema_find_resource(JsonSchemaCompile *compile, const char *uri, JsonSchemaDialect dialect);
/* The node that an absolute reference points to, loading its document when needed. The
 * anchor is set when it was found by one. NULL after a problem. */
extern JsonSchemaNode *
json_schema_resolve(JsonSchemaCompile *compile, const JsonSchemaNode *from, const char *keyword,
                    const char *reference, const JsonSchemaAnchor **anchor);

/* ---- json_schema/names.c ---------------------------------------------------- */

extern HTAB *json_schema_names_new(MemoryContext context);
/* The first resource of a URI, the first anchor of a name count. */
extern void json_schema_enter_resource(JsonSchemaCompile *compile, const char *uri,
                                       JsonSchemaResource *resource);
extern JsonSchemaResource *
json_schema_known_resource(const JsonSchemaCompile *compile, const char *uri);
extern void json_schema_enter_anchor(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                                     const JsonSchemaAnchor *anchor);
extern const JsonSchemaAnchor *
json_schema_find_anchor(const JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                        const char *name, bool dynamic_only);
/* Those of an anchor, made when they are new. */
extern JsonSchemaCandidates *json_schema_candidates(JsonSchemaCompile *compile, const char *anchor);

/* ---- json_schema/cycle.c ---------------------------------------------------- */

/* Reports schemas that apply themselves to the same instance without end. */
extern void json_schema_find_cycles(JsonSchemaCompile *compile);

/* ---- json_schema/keywords.c, json_schema/applicators.c ---------------------- */

/* Fills the keyword from its value; a problem is reported. */
extern void json_schema_compile_assertion(JsonSchemaCompile *compile, JsonSchemaNode *node,
                                          JsonSchemaKeyword *keyword);
/* The same; false when it leaves nothing to evaluate. */
extern bool json_schema_compile_applicator(JsonSchemaCompile *compile, JsonSchemaNode *node,
                                           JsonSchemaKeyword *keyword);

/* ---- json_schema/documents.c ------------------------------------------------ */

/* A built-in document, parsed into the current context; NULL when there is none. */
extern const Jsonb *json_schema_builtin_document(const char *uri);

/* ---- json_schema/assert.c --------------------------------------------------- */

/* Whether the instance, of a kind that the keyword applies to, passes an assertion that
 * looks at nothing but the instance. */
extern bool json_schema_assertion_holds(const JsonSchemaKeyword *keyword, JsonValue instance);
/* What to say when it does not. */
extern char *json_schema_assertion_message(const JsonSchemaKeyword *keyword, JsonValue instance);

#endif
