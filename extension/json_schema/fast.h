/*
 * json_schema/fast.h: the form in which a program gives verdicts.
 *
 * Each node of the graph is lowered to a mask of the kinds that it allows, a mask of the kinds
 * that need more checks, and a short list of operations for each kind. If the kind alone decides,
 * a single test is enough. References, allOf, and alternatives that only one kind can take are
 * merged into the node that has them.
 */
#ifndef CTMS_JSON_SCHEMA_FAST_H
#define CTMS_JSON_SCHEMA_FAST_H

#include "extension/json_schema/evaluate.h"

typedef enum FastCode {
    FAST_END,
    FAST_CALL,      /* node */
    FAST_OBJECT,    /* object */
    FAST_ARRAY,     /* array */
    FAST_STRINGS,   /* one of strings */
    FAST_VALUES,    /* equal to one of values */
    FAST_ASSERT,    /* keyword */
    FAST_PATTERN,   /* keyword */
    FAST_INTEGER,   /* a number without fraction */
    FAST_ANY_OF,    /* nodes */
    FAST_ONE_OF,    /* nodes */
    FAST_NOT,       /* node */
    FAST_IF,        /* nodes: condition, then, else; NULL allows all */
    FAST_DYNAMIC,   /* keyword: a dynamic reference */
    FAST_DEPENDENT, /* keyword: with nodes for each name */
    FAST_INTERPRET  /* source: what depends on unevaluated members or items */
} FastCode;

typedef struct FastNode FastNode;

typedef struct FastOp {
    FastCode code;
    int n;
    const JsonSchemaKeyword *keyword;
    const FastNode *node;
    const FastNode *const *nodes;
    const JsonValue *values;
    const struct FastString *strings;
    const struct FastObject *object;
    const struct FastArray *array;
    const JsonSchemaNode *source;
} FastOp;

struct FastNode {
    uint8 kinds;         /* JSON_KIND_BITs that are allowed */
    uint8 checked;       /* those of them that need the checks below */
    bool is_begun;       /* lowering has begun */
    bool is_finished;    /* lowering has ended */
    bool enters_scope;   /* its resource counts for dynamic references */
    bool takes_integers; /* a number passes if it has no fraction, and otherwise fails */
    uint8 sure;          /* JSON_ENTRY_BITs of the entries that pass unread */
    uint32 sure_min;     /* a string of so many bytes, at least ... */
    uint32 sure_max;     /* ... and at most, passes */
    uint32 min_length;   /* characters */
    uint32 max_length;   /* characters */
    /* The only check of objects, of arrays; NULL if there are others, or a scope is entered. */
    const struct FastObject *object;
    const struct FastArray *array;
    const FastOp *ops[N_JSON_KINDS]; /* each ends with FAST_END */
    const JsonSchemaNode *source;
};

/* A string that is compared with many others. */
typedef struct FastString {
    uint64 tail; /* json_string_tail() */
    const char *bytes;
    uint32 length;
} FastString;

/* Whether it is the string with these bytes and tail. */
static inline bool
fast_string_is(const FastString *string, const char *data, uint32 length, uint64 tail)
{
    uint64 x, y;

    if (string->tail != tail || string->length != length)
        return false;
    if (length <= 8)
        return true;
    if (length > 16)
        return memcmp(string->bytes, data, length - 8) == 0;
    memcpy(&x, string->bytes, 8);
    memcpy(&y, data, 8);
    return x == y;
}

/* A member that the schema names. */
typedef struct FastName {
    FastString string;
    bool is_required;
    bool is_listed;       /* in "properties", so additionalProperties does not apply to it */
    bool is_decided;      /* its node alone judges the member */
    uint8 sure;           /* the node's */
    const FastNode *node; /* never NULL; "anything" allows all */
} FastName;

typedef struct FastPattern {
    Regex *regex;
    const FastNode *node; /* NULL allows all */
} FastPattern;

/* More members than any object has. */
#define NO_SHAPE PG_UINT32_MAX

/* How jsonb stores the keys of an object that has exactly these names. */
typedef struct FastShape {
    const JEntry *entries;
    const char *bytes;
    uint32 entries_size;
    uint32 bytes_size;
} FastShape;

/* "properties" and everything that depends on it, checked in one walk over the members. */
typedef struct FastObject {
    uint32 min_members;
    uint32 max_members;
    int n_names;
    int n_required;
    FastName *names; /* in the order of keys in jsonb */
    uint32 max_length;
    uint32 *first;              /* [length]: index of the first name that is at least this long */
    const FastNode *additional; /* NULL allows all */
    bool forbids_additional;
    int n_patterns;
    FastPattern *patterns;
    const FastNode *key; /* propertyNames; NULL allows all */
    bool is_plain;       /* a member without such a name is judged by "additional" alone */
    uint8 sure;          /* JSON_ENTRY_BITs of the values that pass under every name */
    uint32 shape_count;  /* members of an object that may be of this shape, or NO_SHAPE */
    FastShape shape;
} FastObject;

typedef struct FastArray {
    uint32 min_items;
    uint32 max_items;
    bool is_unique;
    int n_prefix;
    const FastNode **prefix; /* NULL allows all */
    const FastNode *items;   /* after the prefix; NULL allows all */
    const FastNode *contains;
    int64 min_contains;
    int64 max_contains;
} FastArray;

/* ---- json_schema/lower.c ---------------------------------------------------------- */

/* Lowers a compiled program. The nodes go into the current memory context. */
extern void json_schema_lower(JsonSchemaProgram *program);

/* State of a program that is being lowered. */
typedef struct FastLower {
    JsonSchemaProgram *program;
    List *queue;   /* FastNode for parts, still to be lowered: no other node merges these */
    List *objects; /* all FastObject, to be finished when all nodes are known */
} FastLower;

extern FastString lower_string(JsonValue string);
extern const FastNode *lower_node(FastLower *lower, const JsonSchemaNode *node);
/*
 * A node for a part of the instance, to be lowered later. NULL for a schema that allows
 * everything.
 */
extern const FastNode *lower_part(FastLower *lower, const JsonSchemaNode *node);

/* ---- json_schema/lower_children.c -------------------------------------------------- */

/* What the keywords of the node say about members or items; NULL if they say nothing. */
extern const FastObject *lower_object(FastLower *lower, const JsonSchemaNode *node);
extern const FastArray *lower_array(FastLower *lower, const JsonSchemaNode *node);

/* Called when every node is lowered. */
extern void lower_finish_object(FastObject *object);

#endif
