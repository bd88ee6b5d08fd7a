/*
 * json_schema/internal.h: the compiled form of a schema, shared by the files of this folder.
 *
 * A program is a graph of nodes, one for each subschema that can be reached; references are
 * edges. A node has its keywords in the order of evaluation, and each keyword has everything that
 * can be computed in advance. json_schema_evaluate interprets these nodes.
 */
#ifndef CTMS_JSON_SCHEMA_INTERNAL_H
#define CTMS_JSON_SCHEMA_INTERNAL_H

#include "extension/base/memory_limit.h"
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
    VOCABULARY_ALL = 0xBF /* all but the assertion of formats */
} JsonSchemaVocabulary;

typedef struct JsonSchemaDialect {
    int draft;
    uint32 vocabularies;
    struct JsonSchemaResource *metaschema; /* NULL: the built-in one of the draft */
} JsonSchemaDialect;

/*
 * The kinds are in the order in which a node evaluates its keywords: a keyword comes after those
 * on which it depends.
 *
 * Every pass over keywords is a switch without a default, so that a missing kind is a compiler
 * error (-Wswitch). If a pass does nothing for a keyword, or leaves it to another pass, it says
 * so in a case. The groups below help with that.
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
    /* The kinds below only matter while compiling. No compiled node has them. */
    KEYWORD_THEN,
    KEYWORD_ELSE,
    KEYWORD_MIN_CONTAINS,
    KEYWORD_MAX_CONTAINS,
    KEYWORD_ADDITIONAL_ITEMS,
    KEYWORD_RECURSIVE_REF,
    KEYWORD_DEFINITIONS,
    KEYWORD_IDENTIFIER /* $id, $anchor and the like, handled by index.c; must be the last kind */
} JsonSchemaKeywordKind;

#define N_KEYWORD_KINDS (KEYWORD_IDENTIFIER + 1)

/* clang-format off */

/*
 * Groups of kinds, each usable as one case label. The group of a keyword tells what it looks at,
 * and passes rely on this for all kinds of a group.
 */

/* Only look at the instance and have no subschemas; judged by json_schema/assert.c. */
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
/* Subschemas that apply to the instance itself. */
#define APPLICATORS_IN_PLACE                                                                       \
    KEYWORD_REF: case KEYWORD_DYNAMIC_REF: case KEYWORD_ALL_OF: case KEYWORD_ANY_OF:               \
    case KEYWORD_ONE_OF: case KEYWORD_NOT: case KEYWORD_IF: case KEYWORD_DEPENDENT_SCHEMAS:        \
    case KEYWORD_DEPENDENCIES
/*
 * Subschemas that apply to members of an object; then to items of an array; then to members or
 * items that no other keyword of the node evaluates.
 */
#define APPLICATORS_TO_MEMBERS                                                                     \
    KEYWORD_PROPERTIES: case KEYWORD_PATTERN_PROPERTIES: case KEYWORD_ADDITIONAL_PROPERTIES:       \
    case KEYWORD_PROPERTY_NAMES
#define APPLICATORS_TO_ITEMS                                                                       \
    KEYWORD_PREFIX_ITEMS: case KEYWORD_ITEMS: case KEYWORD_CONTAINS
#define APPLICATORS_TO_UNEVALUATED KEYWORD_UNEVALUATED_ITEMS: case KEYWORD_UNEVALUATED_PROPERTIES
/* Never in a compiled node. */
#define COMPILED_AWAY                                                                              \
    KEYWORD_THEN: case KEYWORD_ELSE: case KEYWORD_MIN_CONTAINS: case KEYWORD_MAX_CONTAINS:         \
    case KEYWORD_ADDITIONAL_ITEMS: case KEYWORD_RECURSIVE_REF: case KEYWORD_DEFINITIONS:           \
    case KEYWORD_IDENTIFIER

/* clang-format on */

/* Where the value of a keyword has subschemas. */
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
    uint32 applies; /* kinds of instance that can fail it, as JSON_KIND_BITs */
    uint32 name_length;
} JsonSchemaKeywordRule;

/*
 * The place of a schema in its resource, as a chain; NULL is the root. It only becomes text in a
 * message, because the texts for all nodes of a deep schema would need too much memory.
 */
typedef struct JsonSchemaPointer {
    const struct JsonSchemaPointer *parent;
    const char *keyword; /* NULL: only a name */
    const char *name;    /* NULL: none */
    uint32 name_length;
    int64 index; /* -1: none */
} JsonSchemaPointer;

/*
 * What a value inside a document is: a schema, a list or map of schemas, or anything else, such as
 * the value of "const".
 */
typedef enum JsonSchemaLevel { LEVEL_SCHEMA, LEVEL_SCHEMAS, LEVEL_VALUE } JsonSchemaLevel;

/* A schema that has a URI of its own: a document, or an embedded part with an "$id". */
typedef struct JsonSchemaResource {
    const char *uri;           /* without fragment */
    const char *retrieval_uri; /* the URI that was asked for; the same unless "$id" differs */
    JsonValue root;
    JsonSchemaDialect dialect;
    bool has_recursive_anchor;
    bool is_built_in;
    bool is_ambiguous; /* a different schema has the same URI */
    bool is_checked;   /* the metaschema is asked about all of it, or it is built in */
    /* Of a metaschema: */
    const struct JsonSchemaProgram *program; /* NULL: not compiled so far */
    bool is_unusable;                        /* it cannot be compiled */
} JsonSchemaResource;

/* A schema and where it is. */
typedef struct JsonSchemaPlace {
    const JsonSchemaResource *resource;
    JsonValue schema;
    const JsonSchemaPointer *pointer;
} JsonSchemaPlace;

typedef struct JsonSchemaAnchor {
    const char *name;
    bool is_dynamic;
    bool is_ambiguous; /* a different schema of the resource has the same name */
    JsonValue target;
    const JsonSchemaPointer *pointer; /* of the target */
} JsonSchemaAnchor;

typedef struct JsonSchemaNode JsonSchemaNode;

/*
 * The node that a dynamic reference means when this resource is the outermost one with the
 * anchor.
 */
typedef struct JsonSchemaCandidate {
    const JsonSchemaResource *resource;
    JsonSchemaNode *node;
} JsonSchemaCandidate;

/* All nodes that dynamic references to one anchor may mean. */
typedef struct JsonSchemaCandidates {
    const char *anchor; /* "" for recursive references */
    List *list;         /* JsonSchemaCandidate */
    int n_resources;    /* how many were visited so far, while compiling */
} JsonSchemaCandidates;

typedef struct JsonSchemaKeyword {
    JsonSchemaKeywordKind kind;
    uint32 applies;
    const char *name; /* as written in the schema */
    JsonValue value;
    uint32 types;    /* type: JSON_KIND_BITs; TYPE_INTEGER when only integers are numbers */
    int64 count;     /* bounds; contains: minContains */
    int64 max_count; /* contains: maxContains */
    int n;           /* length of the lists below */
    JsonValue *names;
    JsonSchemaNode **nodes; /* if: the conditions, then, else, each of which may be NULL */
    Regex **patterns;
    JsonValue *lists;                              /* dependencies: arrays of names */
    const char *anchor;                            /* dynamic reference: the name */
    const struct JsonSchemaCandidates *candidates; /* of a dynamic one */
    struct JsonSchemaFormat const *format;
    const struct JsonSet *set; /* enum: its values when there are many; else NULL */
} JsonSchemaKeyword;

/* An additional bit, next to those of the kinds. */
#define TYPE_INTEGER JSON_KIND_BIT(N_JSON_KINDS)

struct JsonSchemaNode {
    JsonValue source; /* an object or a boolean */
    const JsonSchemaResource *resource;
    const JsonSchemaPointer *pointer;
    JsonSchemaKeyword *keywords;
    int n_keywords;
    uint8 visit;      /* while looking for cycles */
    bool is_to_check; /* its metaschema is asked about it alone */
    bool has_unevaluated;
    /* Keywords that other keywords of the node must look at. */
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
    bool has_dynamic_scope; /* some reference depends on the dynamic scope */
    int n_nodes;
};

/* Raises an error if the program takes more memory than is allowed. */
static inline void
json_schema_check_size(const JsonSchemaProgram *program)
{
    memory_limit_check(program->context->mem_allocated);
}

/* One compilation. */
typedef struct JsonSchemaCompile {
    JsonSchemaProgram *program;
    JsonSchemaOptions options;
    MemoryContext scratch; /* until the compilation ends */
    List *resources;       /* JsonSchemaResource, all that are known */
    HTAB *roots;           /* address of a root's container -> resource */
    HTAB *nodes;           /* address of a schema's container -> node */
    List *all_nodes;       /* in the order of creation */
    HTAB *names;           /* json_schema/names.c */
    List *candidates;      /* JsonSchemaCandidates */
    List *to_check;        /* json_schema/metaschema.c */
    HTAB *cuts;            /* addresses of containers that are checked apart; NULL: none */
    List *visited;         /* JsonSchemaPlace, if keeps_visited */
    bool keeps_visited;
    bool lacks_dialect; /* some "$schema" is not known */
    bool collects;      /* list the problems instead of raising the first one */
    List *problems;
    Size problem_bytes; /* bytes of their texts */
    bool is_cut;        /* there are more problems than those listed */
} JsonSchemaCompile;

/* ---- json_schema/node.c ----------------------------------------------------- */

/* Notes what is wrong with a schema, and where. Raises an error unless problems are collected. */
extern void json_schema_problem(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                                const JsonSchemaPointer *pointer, const char *keyword,
                                const char *format, ...) pg_attribute_printf(5, 6);
/* Ends the list of problems with a row that says that there are more. */
extern void json_schema_more_problems(JsonSchemaCompile *compile);
/* Reports that the value of the keyword is not what it must be. */
extern void json_schema_bad_value(JsonSchemaCompile *compile, const JsonSchemaNode *node,
                                  const JsonSchemaKeyword *keyword, const char *expected);

extern const JsonSchemaPointer *
json_schema_child_pointer(const JsonSchemaPointer *pointer, const char *keyword, JsonValue *name,
                          int64 index);
/* The place as a JSON Pointer. */
extern char *json_schema_pointer_text(const JsonSchemaPointer *pointer);

/* Makes the tables of nodes and of roots of resources. Called once for each compilation. */
extern void json_schema_nodes_init(JsonSchemaCompile *compile, MemoryContext context);
extern void json_schema_enter_root(JsonSchemaCompile *compile, JsonSchemaResource *resource);
/* The resource of which the schema is the root; NULL when there is none. */
extern JsonSchemaResource *json_schema_root_at(const JsonSchemaCompile *compile, JsonValue schema);
/* The node of a schema inside a resource; made if it does not exist yet. */
extern JsonSchemaNode *
json_schema_node(JsonSchemaCompile *compile, JsonValue source, const JsonSchemaResource *resource,
                 const JsonSchemaPointer *pointer);
/* The node of a subschema of the node; NULL after a problem. */
extern JsonSchemaNode *
json_schema_child(JsonSchemaCompile *compile, JsonSchemaNode *node, const char *keyword,
                  JsonValue *name, int64 index, JsonValue source);

/* Remembers a schema about which its metaschema is asked. */
extern void
json_schema_check_later(JsonSchemaCompile *compile, JsonValue schema,
                        const JsonSchemaResource *resource, const JsonSchemaPointer *pointer);
/* The same for a schema inside another one that is remembered: it is left out there. */
extern void
json_schema_check_apart(JsonSchemaCompile *compile, JsonValue schema,
                        const JsonSchemaResource *resource, const JsonSchemaPointer *pointer);
extern bool json_schema_is_apart(const JsonSchemaCompile *compile, JsonValue value);

/* The keyword of a compiled node; NULL when it has none of that kind. */
extern const JsonSchemaKeyword *
json_schema_keyword_of(const JsonSchemaNode *node, JsonSchemaKeywordKind kind);
/*
 * The index of the name in "properties" or a similar map; -1 when it is not there, or keyword is
 * NULL.
 */
extern int json_schema_index_of_name(const JsonSchemaKeyword *keyword, JsonValue name);
/* Whether the name matches a pattern of "patternProperties". keyword may be NULL. */
extern bool json_schema_matches_pattern(const JsonSchemaKeyword *keyword, JsonValue name);
/* Raises an internal error: a pass got a keyword that it leaves to another pass. */
extern void
json_schema_stray_keyword(const JsonSchemaKeyword *keyword) __attribute__((noreturn, cold));

/* ---- json_schema/dialect.c -------------------------------------------------- */

/* The rule of a keyword in a dialect; NULL when the keyword has no meaning there. */
extern const JsonSchemaKeywordRule *
json_schema_find_rule(const JsonSchemaDialect *dialect, JsonValue name);
/* Whether the keyword has a rule in any dialect. */
extern bool json_schema_has_rule(JsonValue name);
/* The names of all rules in their order; data is NULL after the last one. */
extern JsonValue json_schema_rule_name(int index);
/* The dialect that "$schema" or "$vocabulary" names. */
extern bool json_schema_known_dialect(const char *uri, JsonSchemaDialect *dialect);
#define JSON_SCHEMA_DRAFTS 5
/* The drafts, the newest first; 0 after the last one. */
extern int json_schema_draft_at(int index);
/* The URI of the built-in metaschema of a draft, and the name of the draft. */
extern const char *json_schema_draft_uri(int draft);
extern const char *json_schema_draft_name(int draft);
/* The bit of a vocabulary; 0 when it is not known. */
extern uint32 json_schema_vocabulary(const char *uri);
extern JsonSchemaDialect json_schema_draft_dialect(int draft);

/* ---- json_schema/index.c ---------------------------------------------------- */

typedef enum JsonSchemaOrigin { ORIGIN_GIVEN, ORIGIN_LOADER, ORIGIN_BUILT_IN } JsonSchemaOrigin;

/*
 * Adds a document and all resources inside it. Returns the resource of its root. What the loader
 * gives is a schema as a whole if it has "$schema"; otherwise it may hold schemas anywhere.
 */
extern JsonSchemaResource *
json_schema_index_document(JsonSchemaCompile *compile, const char *uri, JsonValue root,
                           JsonSchemaDialect dialect, JsonSchemaOrigin origin);
/*
 * Finds the resource with that URI, or loads it; NULL when there is none. The dialect applies to
 * a document that does not name its own.
 */
extern JsonSchemaResource *
json_schema_find_resource(JsonSchemaCompile *compile, const char *uri, JsonSchemaDialect dialect);
/*
 * The node to which an absolute reference points; loads its document if necessary. Sets the
 * anchor when the node was found by one. NULL after a problem.
 */
extern JsonSchemaNode *
json_schema_resolve(JsonSchemaCompile *compile, const JsonSchemaNode *from, const char *keyword,
                    const char *reference, const JsonSchemaAnchor **anchor);

/* What the member or item of a value on a level is. */
extern JsonSchemaLevel
json_schema_level_below(const JsonSchemaDialect *dialect, JsonSchemaLevel level, JsonValue token,
                        JsonValue value);

/* ---- json_schema/metaschema.c ------------------------------------------------ */

/*
 * The compiled metaschema of a dialect, which lives at least until the compilation ends. NULL after
 * a problem.
 */
extern const JsonSchemaProgram *
json_schema_metaschema(JsonSchemaCompile *compile, const JsonSchemaDialect *dialect);

/* ---- json_schema/names.c ---------------------------------------------------- */

extern HTAB *json_schema_names_new(MemoryContext context);
/*
 * If several resources have the same URI, or several anchors the same name, the first one counts.
 * It is marked if another one differs from it.
 */
extern void json_schema_enter_resource(JsonSchemaCompile *compile, const char *uri,
                                       JsonSchemaResource *resource);
extern JsonSchemaResource *
json_schema_known_resource(const JsonSchemaCompile *compile, const char *uri);
extern void json_schema_enter_anchor(JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                                     JsonSchemaAnchor *anchor);
extern const JsonSchemaAnchor *
json_schema_find_anchor(const JsonSchemaCompile *compile, const JsonSchemaResource *resource,
                        const char *name, bool dynamic_only);
/* The candidates for an anchor; made if they do not exist yet. */
extern JsonSchemaCandidates *json_schema_candidates(JsonSchemaCompile *compile, const char *anchor);
/* What dynamic references to the anchor mean when that resource decides; NULL if it has none. */
extern JsonSchemaNode *
json_schema_candidate_in(JsonSchemaCompile *compile, const JsonSchemaCandidates *candidates,
                         const JsonSchemaResource *resource);

/* ---- json_schema/cycle.c ---------------------------------------------------- */

/* Reports schemas that apply themselves to the same instance without end. */
extern void json_schema_find_cycles(JsonSchemaCompile *compile);
/* How many of the keyword's nodes are always applied to the instance itself. */
extern int json_schema_count_in_place(const JsonSchemaKeyword *keyword);

/* ---- json_schema/cycle_dynamic.c --------------------------------------------- */

/* The same for schemas that need a dynamic reference for it. */
extern void json_schema_find_dynamic_cycles(JsonSchemaCompile *compile);

/* ---- json_schema/compile.c --------------------------------------------------- */

/*
 * Begins a compilation, zeroed except for "collects", in the current memory context: copies the
 * schema and indexes its resources. Returns that of the root.
 */
extern JsonSchemaResource *
json_schema_begin(JsonSchemaCompile *compile, const char *uri, const Jsonb *schema,
                  const JsonSchemaOptions *options, MemoryContext scratch);
typedef void JsonSchemaCheck(JsonSchemaCompile *compile);
/*
 * Like json_schema_compile, for a schema that has a URI even if it does not say so. The check is
 * called when all nodes are compiled; NULL: there is none.
 */
extern JsonSchemaProgram *
json_schema_compile_at(const char *uri, const Jsonb *schema, const JsonSchemaOptions *options,
                       JsonSchemaCheck *check, MemoryContext parent, List **problems);

/* ---- json_schema/keywords.c, json_schema/applicators.c ---------------------- */

/* Fills the keyword from its value. Reports a problem if the value is wrong. */
extern void json_schema_compile_assertion(JsonSchemaCompile *compile, JsonSchemaNode *node,
                                          JsonSchemaKeyword *keyword);
/* The same. False when nothing of the keyword must be evaluated. */
extern bool json_schema_compile_applicator(JsonSchemaCompile *compile, JsonSchemaNode *node,
                                           JsonSchemaKeyword *keyword);

/* ---- json_schema/documents.c ------------------------------------------------ */

/* A built-in document, parsed into the current context; NULL when there is none. */
extern const Jsonb *json_schema_builtin_document(const char *uri);

/* ---- json_schema/assert.c --------------------------------------------------- */

/*
 * Whether the instance passes an assertion that looks at nothing else. The instance must be of a
 * kind to which the keyword applies.
 */
extern bool json_schema_assertion_holds(const JsonSchemaKeyword *keyword, JsonValue instance);
/* The message for an instance that does not pass. */
extern char *json_schema_assertion_message(const JsonSchemaKeyword *keyword, JsonValue instance);
/* The same for a dependency of a list of names: i is its place in the keyword. */
extern char *
json_schema_dependency_message(const JsonSchemaKeyword *keyword, int i, JsonValue object);

#endif
