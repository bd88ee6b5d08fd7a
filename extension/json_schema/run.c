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
/* If no other members matter, up to this many names are looked for in the keys one by one. */
#define FEW_NAMES 4
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

static bool run_object(Run *run, const FastObject *object, JsonValue value);
static bool run_array(Run *run, const FastArray *array, JsonValue value);
static bool run_checked(Run *run, const FastNode *node, JsonValue value);

/* Every way into a deeper level goes through here. */
static inline void
enter(Run *run)
{
    CHECK_FOR_INTERRUPTS();
    effort_spend(&run->effort, 1);
    if (unlikely(run->stack - (const char *)__builtin_frame_address(0) > UNCHECKED_STACK))
        check_stack_depth();
}

/* Whether a string of so many bytes passes unread. */
static inline bool
has_sure_length(const FastNode *node, uint32 length)
{
    return length >= node->sure_min && length <= node->sure_max;
}

static inline bool
run_node(Run *run, const FastNode *node, JsonValue value)
{
    uint32 bit = JSON_KIND_BIT(value.kind);

    if (!(node->kinds & bit))
        return false;
    if (!(node->checked & bit) ||
        (value.kind == JSON_STRING && has_sure_length(node, value.length)))
        return true;
    if (value.kind == JSON_NUMBER && node->takes_integers)
        return json_number_is_integer(value);
    if (value.kind == JSON_OBJECT && node->object)
        return run_object(run, node->object, value);
    if (value.kind == JSON_ARRAY && node->array)
        return run_array(run, node->array, value);
    return run_checked(run, node, value);
}

/*
 * The same for the value of an entry that starts at *offset; moves that to the next one. "sure" is
 * the node's.
 */
static inline bool
run_entry(Run *run, const FastNode *node, uint8 sure, JEntry entry, const char *base,
          uint32 *offset)
{
    if (sure & JSON_ENTRY_BIT(entry)) {
        *offset = json_entry_end(entry, *offset);
        return true;
    }
    return run_node(run, node, json_entry_value(entry, base, offset));
}

static inline bool
run_optional(Run *run, const FastNode *node, JsonValue value)
{
    return !node || run_node(run, node, value);
}

/* The same as run_all() for a node that takes integers, which are many in a row. */
static pg_noinline bool
run_integers(Run *run, const FastNode *node, JsonWalk walk)
{
    while (!json_walk_ended(&walk)) {
        JEntry entry = *walk.entry++;
        JsonValue number = {walk.base + INTALIGN(walk.offset), 0, JSON_NUMBER};

        if (!JBE_ISNUMERIC(entry)) {
            if (!run_entry(run, node, node->sure, entry, walk.base, &walk.offset))
                return false;
            continue;
        }
        if (!json_number_is_integer(number))
            return false;
        walk.offset = json_entry_end(entry, walk.offset);
    }
    return true;
}

/* Checks the entries of the container from the walk's place on. */
static pg_attribute_always_inline bool
run_all(Run *run, const FastNode *node, const JsonbContainer *container, JsonWalk walk)
{
    json_walk_skip(&walk, container, node->sure);
    if (node->takes_integers)
        return run_integers(run, node, walk);
    while (!json_walk_ended(&walk))
        if (!run_entry(run, node, node->sure, *walk.entry++, walk.base, &walk.offset))
            return false;
    return true;
}

/* ---- objects --------------------------------------------------------------------------- */

/* Whether the bytes are equal; faster than memcmp() for as few as these are. */
static inline bool
same_block(const char *a, const char *b, uint32 size)
{
    uint64 x, y;
    uint32 at = 0;

    for (; at + 8 < size; at += 8) {
        memcpy(&x, a + at, 8);
        memcpy(&y, b + at, 8);
        if (x != y)
            return false;
    }
    if (size >= 8) {
        memcpy(&x, a + size - 8, 8);
        memcpy(&y, b + size - 8, 8);
        return x == y;
    }
    for (; at < size; at++)
        if (a[at] != b[at])
            return false;
    return true;
}

static const FastName *
search_bucket(const FastName *names, int low, int high, JsonValue key)
{
    CHECK_FOR_INTERRUPTS();
    while (low < high) {
        int middle = (low + high) / 2;
        int order = memcmp(names[middle].string.bytes, key.data, key.length);

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
    uint64 tail;

    if (key.length > object->max_length)
        return NULL;
    at = object->first[key.length];
    end = object->first[key.length + 1];
    if (end - at > SMALL_BUCKET)
        return search_bucket(object->names, at, end, key);
    tail = json_string_tail(key.data, key.length);
    for (; at < end; at++)
        if (fast_string_is(&object->names[at].string, key.data, key.length, tail))
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

/* Checks a member that no name decides. */
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
        if (!run_entry(run, name->node, name->sure, *values++, base, &offset))
            return false;
    return true;
}

/* Whether all keys pass by their length. The first is the shortest, the last the longest. */
static inline bool
keys_are_sure(const FastNode *node, const JsonbContainer *container, uint32 count)
{
    if (!node || (node->sure & JSON_KIND_BIT(JSON_STRING)) || count == 0)
        return true;
    return (node->kinds & JSON_KIND_BIT(JSON_STRING)) &&
           has_sure_length(node, json_entries_end(container, 1)) &&
           has_sure_length(node, json_entries_end(container, count) -
                                     json_entries_end(container, count - 1));
}

/* Whether each value passes by its type, whatever its name is. */
static inline bool
is_sure(const FastObject *object, const JsonbContainer *container, uint32 count)
{
    const JEntry *values = container->children + count;
    const JEntry *end = values + count;

    return object->sure != 0 && json_entries_skip(values, end, object->sure) == end &&
           keys_are_sure(object->key, container, count);
}

/* The entry of a key, NULL if there is none. Moves the walk past the keys that are shorter. */
static inline const JEntry *
find_key(JsonWalk *keys, const FastString *string)
{
    JsonWalk walk;

    for (; !json_walk_ended(keys); keys->entry++) {
        uint32 end = json_entry_end(*keys->entry, keys->offset);

        if (end - keys->offset >= string->length)
            break;
        keys->offset = end;
    }
    for (walk = *keys; !json_walk_ended(&walk);) {
        const JEntry *entry = walk.entry;
        JsonValue key = json_walk_next(&walk);

        if (key.length != string->length)
            break;
        if (fast_string_is(string, key.data, key.length, json_string_tail(key.data, key.length)))
            return entry;
    }
    return NULL;
}

/* Checks only the members with the names, which are few. */
static pg_noinline bool
run_named(Run *run, const FastObject *object, JsonValue value)
{
    const JsonbContainer *container = json_container(value);
    uint32 count = container->header & JB_CMASK;
    const FastName *end = object->names + object->n_names;
    JsonWalk keys;
    JsonWalk values;

    json_walk_object(value, &keys, &values);
    for (const FastName *name = object->names; name < end; name++) {
        const JEntry *entry = find_key(&keys, &name->string);
        uint32 offset;

        if (!entry) {
            if (name->is_required)
                return false;
            continue;
        }
        entry += count;
        if (name->sure & JSON_ENTRY_BIT(*entry))
            continue;
        offset = json_entries_end(container, entry - container->children);
        if (!run_node(run, name->node, json_entry_value(*entry, keys.base, &offset)))
            return false;
    }
    return true;
}

/* Checks each member, in the order of the keys. */
static pg_noinline bool
run_members(Run *run, const FastObject *object, const JsonbContainer *container, uint32 count)
{
    const JEntry *entry = container->children;
    const JEntry *end = entry + count;
    const char *base = (const char *)(end + count);
    int n_required = 0;
    uint32 key_offset = 0;
    uint32 value_offset = json_entries_end(container, count);

    for (; entry < end; entry++) {
        uint32 key_end = json_entry_end(*entry, key_offset);
        JsonValue key = {base + key_offset, key_end - key_offset, JSON_STRING};
        const FastName *name = find_name(object, key);

        key_offset = key_end;
        if (likely(name && name->is_decided)) {
            n_required += name->is_required;
            if (!run_entry(run, name->node, name->sure, entry[count], base, &value_offset))
                return false;
        } else if (!object->is_plain) {
            JsonValue member = json_entry_value(entry[count], base, &value_offset);

            if (!run_member(run, object, name, key, member, &n_required))
                return false;
        } else if (object->additional) {
            if (!run_entry(run, object->additional, object->additional->sure, entry[count], base,
                           &value_offset))
                return false;
        } else if (key.length > object->max_length) {
            break; /* keys are sorted by length: no listed name can follow */
        } else {
            value_offset = json_entry_end(entry[count], value_offset);
        }
    }
    return n_required == object->n_required;
}

/* Checks all values alike. */
static pg_noinline bool
run_values(Run *run, const FastObject *object, JsonValue value)
{
    JsonWalk keys;
    JsonWalk values;

    json_walk_object(value, &keys, &values);
    return run_all(run, object->additional, json_container(value), values);
}

static pg_noinline bool
run_object(Run *run, const FastObject *object, JsonValue value)
{
    const JsonbContainer *container = json_container(value);
    uint32 count = container->header & JB_CMASK;
    const JEntry *values = container->children + count;
    const char *base = (const char *)(values + count);

    enter(run);
    if (count == object->shape_count && has_shape(&object->shape, container, base))
        return run_shaped(run, object, values, base);
    if (count < object->min_members || count > object->max_members)
        return false;
    if (unlikely(count > MANY_ENTRIES))
        CHECK_FOR_INTERRUPTS();
    if (is_sure(object, container, count))
        return true;
    if (object->n_names <= FEW_NAMES && object->is_plain && !object->additional)
        return run_named(run, object, value);
    if (object->n_names == 0 && object->is_plain)
        return run_values(run, object, value);
    return run_members(run, object, container, count);
}

/* ---- arrays ------------------------------------------------------------------------------ */

static pg_noinline bool
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

/* Moves the walk past the items of the prefix. */
static pg_noinline bool
run_prefix(Run *run, const FastArray *array, JsonWalk *walk)
{
    for (int i = 0; i < array->n_prefix && !json_walk_ended(walk); i++)
        if (!run_optional(run, array->prefix[i], json_walk_next(walk)))
            return false;
    return true;
}

static pg_noinline bool
run_array(Run *run, const FastArray *array, JsonValue value)
{
    uint32 count = json_count(value);
    JsonWalk walk = json_walk_array(value);

    enter(run);
    if (count < array->min_items || count > array->max_items)
        return false;
    if (count > MANY_ENTRIES)
        CHECK_FOR_INTERRUPTS();
    if (array->n_prefix > 0 && !run_prefix(run, array, &walk))
        return false;
    if (array->items && !run_all(run, array->items, json_container(value), walk))
        return false;
    if (array->contains && !run_contains(run, array, value))
        return false;
    return !array->is_unique || json_items_are_unique(value);
}

/* ---- operations --------------------------------------------------------------------------- */

static bool
is_one_of_strings(const FastOp *op, JsonValue value)
{
    uint64 tail = json_string_tail(value.data, value.length);

    for (int i = 0; i < op->n; i++)
        if (fast_string_is(&op->strings[i], value.data, value.length, tail))
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
    enter(run);
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

    CHECK_FOR_INTERRUPTS(); /* an array of many strings asks nowhere else */
    if (value.kind == JSON_STRING && !has_length(node, value))
        return false;
    if (!op)
        return true;
    if (op->code == FAST_STRINGS && op[1].code == FAST_END)
        return is_one_of_strings(op, value);
    if (unlikely(node->enters_scope) &&
        (!run->scope || run->scope->resource != node->source->resource))
        return run_in_scope(run, node, value);
    if (op->code == FAST_OBJECT && op[1].code == FAST_END) /* in the same scope */
        return run_object(run, op->object, value);
    return run_ops(run, op, value);
}

bool
json_schema_run(const JsonSchemaProgram *program, JsonValue instance)
{
    Run run = {NULL, __builtin_frame_address(0), {EFFORT_OF_ONE, program, instance}};

    return run_node(&run, program->fast, instance);
}
