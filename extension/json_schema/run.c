/*
 * json_schema/run.c: the verdict: runs the lowered form over the bytes of a jsonb.
 *
 * It only allocates memory for the sets of large arrays, patterns and unevaluated members. The
 * depth of recursion is checked whenever a container is entered.
 */
#include "extension/base/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "extension/json/number.h"
#include "extension/json_schema/fast.h"

/* If at most this many names have the same length, they are searched one by one. */
#define SMALL_BUCKET 8
/* Interrupts are checked in containers with more entries than this. */
#define MANY_ENTRIES 64

/*
 * How deep the recursion may go on the stack before PostgreSQL is asked for its limit. PostgreSQL
 * keeps much more than this in reserve.
 */
#define UNCHECKED_STACK (32 * 1024)

/* One verdict. */
typedef struct Run {
    const Scope *scope; /* for dynamic references */
    const char *stack;  /* where the stack was when the run began */
    Effort effort;
} Run;

static bool run_checked(Run *run, const FastNode *node, JsonValue value);

static inline bool
run_node(Run *run, const FastNode *node, JsonValue value)
{
    uint32 bit = JSON_KIND_BIT(value.kind);

    if (!(node->kinds & bit))
        return false;
    if (!(node->checked & bit) || (value.kind == JSON_STRING && value.length < node->sure_length))
        return true;
    return run_checked(run, node, value);
}

static inline bool
run_optional(Run *run, const FastNode *node, JsonValue value)
{
    return !node || run_node(run, node, value);
}

/* ---- objects --------------------------------------------------------------------------- */

/* Whether the bytes are equal; fast for short strings, as most keys are. */
static inline bool
same_bytes(const char *a, const char *b, uint32 length)
{
    uint64 x, y;
    uint32 v, w;

    if (length > 16)
        return memcmp(a, b, length) == 0;
    if (length >= 8) {
        uint64 x2, y2;

        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        memcpy(&x2, a + length - 8, 8);
        memcpy(&y2, b + length - 8, 8);
        return x == y && x2 == y2;
    }
    if (length >= 4) {
        uint32 v2, w2;

        memcpy(&v, a, 4);
        memcpy(&w, b, 4);
        memcpy(&v2, a + length - 4, 4);
        memcpy(&w2, b + length - 4, 4);
        return v == w && v2 == w2;
    }
    if (length >= 2) {
        uint16 v2, w2;

        memcpy(&v2, a, 2);
        memcpy(&w2, b, 2);
        return v2 == w2 && a[length - 1] == b[length - 1];
    }
    return length == 0 || *a == *b;
}

/* The same, also for long strings. */
static inline bool
same_block(const char *a, const char *b, uint32 size)
{
    uint64 x, y;
    uint32 at = 0;

    if (size <= 16)
        return same_bytes(a, b, size);
    for (; at + 8 < size; at += 8) {
        memcpy(&x, a + at, 8);
        memcpy(&y, b + at, 8);
        if (x != y)
            return false;
    }
    memcpy(&x, a + size - 8, 8);
    memcpy(&y, b + size - 8, 8);
    return x == y;
}

static const FastName *
search_bucket(const FastName *names, int low, int high, JsonValue key)
{
    CHECK_FOR_INTERRUPTS();
    while (low < high) {
        int middle = (low + high) / 2;
        int order = memcmp(names[middle].bytes, key.data, key.length);

        if (order == 0)
            return &names[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static inline const FastName *
find_name(const FastObject *object, JsonValue key)
{
    int at;
    int end;

    if (key.length > object->max_length)
        return NULL;
    at = object->first[key.length];
    end = object->first[key.length + 1];
    if (end - at > SMALL_BUCKET)
        return search_bucket(object->names, at, end, key);
    for (; at < end; at++)
        if (same_bytes(object->names[at].bytes, key.data, key.length))
            return &object->names[at];
    return NULL;
}

/* Checks a member with patternProperties, additionalProperties and propertyNames. */
static bool
run_other_member(Run *run, const FastObject *object, bool is_listed, JsonValue key, JsonValue value)
{
    if (!run_optional(run, object->key, key))
        return false;
    for (int i = 0; i < object->n_patterns; i++) {
        if (!regex_matches(object->patterns[i].regex, key.data, key.length))
            continue;
        is_listed = true;
        if (!run_optional(run, object->patterns[i].node, value))
            return false;
    }
    return is_listed || run_optional(run, object->additional, value);
}

/* Checks a member that has no listed name, or for which its name alone does not decide. */
static bool
run_member(Run *run, const FastObject *object, const FastName *name, JsonValue key,
           JsonValue member, int *n_required)
{
    bool is_listed = name && name->is_listed;

    if (name) {
        *n_required += name->is_required;
        if (!run_optional(run, name->node, member))
            return false;
    }
    return run_other_member(run, object, is_listed, key, member);
}

static inline bool
has_shape(const FastShape *shape, const JsonbContainer *container, const char *base)
{
    return same_block((const char *)container->children, (const char *)shape->entries,
                      shape->entries_size) &&
           same_block(base, shape->bytes, shape->bytes_size);
}

/*
 * Checks the values, in the order of the names, of an object that has every name and no other
 * member.
 */
static inline bool
run_shaped(Run *run, const FastObject *object, const JEntry *values, const char *base)
{
    const FastName *name = object->names;
    const FastName *end = name + object->shape_count;
    uint32 offset = object->shape.bytes_size;

    for (; name < end; name++)
        if (!run_node(run, name->node, json_entry_value(*values++, base, &offset)))
            return false;
    return true;
}

static pg_noinline bool
run_object(Run *run, const FastObject *object, JsonValue value)
{
    const JsonbContainer *container = json_container(value);
    uint32 count = container->header & JB_CMASK;
    const JEntry *entry = container->children;
    const JEntry *end = entry + count;
    const char *base = (const char *)(end + count);
    bool is_plain = object->is_plain;
    int n_required = 0;
    uint32 key_offset = 0;
    uint32 value_offset;

    if (count < object->min_members || count > object->max_members)
        return false;
    if (unlikely(count > MANY_ENTRIES))
        CHECK_FOR_INTERRUPTS();
    if (count == object->shape_count && has_shape(&object->shape, container, base))
        return run_shaped(run, object, end, base);
    value_offset = json_keys_end(container, count);
    for (; entry < end; entry++) {
        uint32 key_end = json_entry_end(*entry, key_offset);
        JsonValue key = {base + key_offset, key_end - key_offset, JSON_STRING};
        const FastName *name = find_name(object, key);
        JsonValue member = json_entry_value(entry[count], base, &value_offset);

        key_offset = key_end;
        if (likely(name && is_plain)) {
            n_required += name->is_required;
            if (!run_node(run, name->node, member))
                return false;
        } else if (is_plain) {
            if (object->additional) {
                if (!run_node(run, object->additional, member))
                    return false;
            } else if (key.length > object->max_length) {
                break; /* keys are sorted by length: no listed name can follow */
            }
        } else if (!run_member(run, object, name, key, member, &n_required)) {
            return false;
        }
    }
    return n_required == object->n_required;
}

/* ---- arrays ------------------------------------------------------------------------------ */

static bool
run_contains(Run *run, const FastArray *array, JsonValue value)
{
    JsonWalk walk = json_walk_array(value);
    int64 n_matches = 0;

    while (!json_walk_ended(&walk)) {
        n_matches += run_node(run, array->contains, json_walk_next(&walk));
        if (n_matches > array->max_contains)
            return false;
        if (n_matches >= array->min_contains && array->max_contains == PG_INT64_MAX)
            return true;
    }
    return n_matches >= array->min_contains;
}

static bool
run_array(Run *run, const FastArray *array, JsonValue value)
{
    uint32 count = json_count(value);
    JsonWalk walk = json_walk_array(value);

    if (count < array->min_items || count > array->max_items)
        return false;
    if (count > MANY_ENTRIES)
        CHECK_FOR_INTERRUPTS();
    for (int i = 0; i < array->n_prefix && !json_walk_ended(&walk); i++)
        if (!run_optional(run, array->prefix[i], json_walk_next(&walk)))
            return false;
    if (array->items)
        while (!json_walk_ended(&walk))
            if (!run_node(run, array->items, json_walk_next(&walk)))
                return false;
    if (array->contains && !run_contains(run, array, value))
        return false;
    return !array->is_unique || json_items_are_unique(value);
}

/* ---- operations --------------------------------------------------------------------------- */

static bool
is_one_of_strings(const FastOp *op, JsonValue value)
{
    for (int i = 0; i < op->n; i++)
        if (op->values[i].length == value.length &&
            same_bytes(op->values[i].data, value.data, value.length))
            return true;
    return false;
}

static bool
is_one_of_values(const FastOp *op, JsonValue value)
{
    for (int i = 0; i < op->n; i++)
        if (json_values_equal(op->values[i], value))
            return true;
    return false;
}

static bool
run_any_of(Run *run, const FastOp *op, JsonValue value)
{
    for (int i = 0; i < op->n; i++)
        if (run_node(run, op->nodes[i], value))
            return true;
    return false;
}

static bool
run_one_of(Run *run, const FastOp *op, JsonValue value)
{
    int n_matches = 0;

    for (int i = 0; i < op->n && n_matches < 2; i++)
        n_matches += run_node(run, op->nodes[i], value);
    return n_matches == 1;
}

static bool
run_dependent(Run *run, const FastOp *op, JsonValue value)
{
    const JsonSchemaKeyword *keyword = op->keyword;
    JsonValue member;

    for (int i = 0; i < op->n; i++) {
        JsonValue name = keyword->names[i];

        if (!json_object_get(value, name.data, name.length, &member))
            continue;
        if (keyword->nodes[i] ? !run_optional(run, op->nodes[i], value)
                              : !json_object_has_names(value, keyword->lists[i]))
            return false;
    }
    return true;
}

static bool
run_op(Run *run, const FastOp *op, JsonValue value)
{
    switch (op->code) {
    case FAST_CALL: return run_node(run, op->node, value);
    case FAST_OBJECT: return run_object(run, op->object, value);
    case FAST_ARRAY: return run_array(run, op->array, value);
    case FAST_STRINGS: return is_one_of_strings(op, value);
    case FAST_VALUES: return is_one_of_values(op, value);
    case FAST_ASSERT: return json_schema_assertion_holds(op->keyword, value);
    case FAST_PATTERN: return regex_matches(op->keyword->patterns[0], value.data, value.length);
    case FAST_INTEGER: return json_number_is_integer(value);
    case FAST_ANY_OF: return run_any_of(run, op, value);
    case FAST_ONE_OF: return run_one_of(run, op, value);
    case FAST_NOT: return !run_node(run, op->node, value);
    case FAST_IF:
        return run_optional(run, op->nodes[run_optional(run, op->nodes[0], value) ? 1 : 2], value);
    case FAST_DYNAMIC:
        return run_node(run, json_schema_dynamic_target(run->scope, op->keyword)->fast, value);
    case FAST_DEPENDENT: return run_dependent(run, op, value);
    case FAST_INTERPRET: return json_schema_interpret(op->source, value, run->scope, &run->effort);
    case FAST_END: break;
    }
    return true;
}

/* The number of bytes decides most cases. Characters are only counted when it does not. */
static bool
has_length(const FastNode *node, JsonValue value)
{
    uint32 characters;

    if (value.length < node->min_length)
        return false;
    if (value.length <= node->max_length &&
        (node->min_length == 0 || value.length / 4 >= node->min_length))
        return true;
    characters = json_string_characters(value.data, value.length);
    return characters >= node->min_length && characters <= node->max_length;
}

static bool
run_ops(Run *run, const FastOp *op, JsonValue value)
{
    for (; op->code != FAST_END; op++)
        if (!run_op(run, op, value))
            return false;
    return true;
}

static pg_noinline bool
run_in_scope(Run *run, const FastNode *node, JsonValue value)
{
    const Scope *outer = run->scope;
    Scope inner = {outer, node->source->resource};
    bool holds;

    run->scope = &inner;
    holds = run_ops(run, node->ops[value.kind], value);
    run->scope = outer;
    return holds;
}

static bool
run_checked(Run *run, const FastNode *node, JsonValue value)
{
    const FastOp *op = node->ops[value.kind];

    if (value.kind == JSON_STRING && !has_length(node, value))
        return false;
    if (!op)
        return true;
    CHECK_FOR_INTERRUPTS();
    effort_spend(&run->effort, 1);
    if (unlikely(run->stack - (const char *)__builtin_frame_address(0) > UNCHECKED_STACK))
        check_stack_depth();
    if (unlikely(node->enters_scope) &&
        (!run->scope || run->scope->resource != node->source->resource))
        return run_in_scope(run, node, value);
    if (op->code == FAST_OBJECT && op[1].code == FAST_END)
        return run_object(run, op->object, value);
    return run_ops(run, op, value);
}

bool
json_schema_run(const JsonSchemaProgram *program, JsonValue instance)
{
    Run run = {NULL, __builtin_frame_address(0), {EFFORT_OF_ONE, program, instance}};

    return run_node(&run, program->fast, instance);
}
