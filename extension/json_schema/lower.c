/*
 * json_schema/lower.c: lowers the nodes to the form that gives verdicts.
 *
 * A node is built kind by kind. A subschema that applies to the same instance is merged: its mask
 * limits the node's mask, and its operations are copied. A subschema is only called, instead of
 * merged, if it is still being lowered (a cycle) or has many operations. One recursion with
 * lower_children.c, split by size.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/fast.h"

/* A node with more operations than this is called instead of merged. */
#define MERGE_LIMIT 16

/*
 * Strings usually differ in their length or first bytes. Up to this many, comparing is faster
 * than hashing.
 */
#define FEW_STRINGS 48

#define BIT(kind) JSON_KIND_BIT(kind)

typedef struct Builder {
    FastLower *lower;
    const JsonSchemaNode *source;
    FastNode *node;
    uint8 interpreted; /* kinds that only the interpreter judges */
    FastOp *ops[N_JSON_KINDS];
    int n_ops[N_JSON_KINDS];
    int allocated[N_JSON_KINDS];
} Builder;

/* ---- operations --------------------------------------------------------------------- */

static FastOp *
add_op(Builder *b, int kind, FastCode code)
{
    FastOp *op;

    if (b->n_ops[kind] == b->allocated[kind]) {
        b->allocated[kind] = Max(2, 2 * b->allocated[kind]);
        b->ops[kind] = b->ops[kind]
                           ? repalloc(b->ops[kind], sizeof(FastOp) * (b->allocated[kind] + 1))
                           : palloc(sizeof(FastOp) * (b->allocated[kind] + 1));
    }
    op = &b->ops[kind][b->n_ops[kind]++];
    memset(op, 0, sizeof(FastOp));
    op->code = code;
    return op;
}

static bool
allows(const FastNode *node, int kind)
{
    return !node || (node->kinds & BIT(kind)) != 0;
}

static bool
allows_all(const FastNode *node, int kind)
{
    return !node || ((node->kinds & BIT(kind)) && !(node->checked & BIT(kind)));
}

static bool
may_merge(const Builder *b, const FastNode *node)
{
    return node->is_finished &&
           !(b->lower->program->has_dynamic_scope && node->source->resource != b->source->resource);
}

static int
count_ops(const FastNode *node, int kind)
{
    int n = 0;

    for (const FastOp *op = node->ops[kind]; op && op->code != FAST_END; op++)
        n++;
    return n;
}

/* If the instance is of this kind, it must also pass the node. */
static void
require_node(Builder *b, const FastNode *node, int kind)
{
    if (allows_all(node, kind))
        return;
    if (!allows(node, kind)) {
        b->node->kinds &= ~BIT(kind);
        return;
    }
    if (!may_merge(b, node) || count_ops(node, kind) + b->n_ops[kind] > MERGE_LIMIT) {
        add_op(b, kind, FAST_CALL)->node = node;
        return;
    }
    if (kind == JSON_STRING) {
        b->node->min_length = Max(b->node->min_length, node->min_length);
        b->node->max_length = Min(b->node->max_length, node->max_length);
    }
    for (const FastOp *op = node->ops[kind]; op && op->code != FAST_END; op++)
        *add_op(b, kind, op->code) = *op;
}

static void
require_everywhere(Builder *b, const JsonSchemaNode *source)
{
    const FastNode *node = lower_node(b->lower, source);

    for (int kind = 0; kind < N_JSON_KINDS; kind++)
        if ((b->node->kinds & BIT(kind)) && !(b->interpreted & BIT(kind)))
            require_node(b, node, kind);
}

/* ---- alternatives -------------------------------------------------------------------- */

static void
lower_alternatives(Builder *b, const JsonSchemaKeyword *keyword, int kind)
{
    bool is_any = keyword->kind == KEYWORD_ANY_OF;
    const FastNode **nodes = palloc(sizeof(FastNode *) * Max(keyword->n, 1));
    int n = 0;
    int n_sure = 0;
    FastOp *op;

    for (int i = 0; i < keyword->n; i++) {
        const FastNode *node = lower_node(b->lower, keyword->nodes[i]);

        if (allows(node, kind))
            nodes[n++] = node;
        n_sure += allows_all(node, kind);
    }
    if (n == 0 || (!is_any && n_sure > 1)) {
        b->node->kinds &= ~BIT(kind);
    } else if (is_any && n_sure > 0) {
        pfree(nodes);
    } else if (n == 1) {
        require_node(b, nodes[0], kind);
    } else {
        op = add_op(b, kind, is_any ? FAST_ANY_OF : FAST_ONE_OF);
        op->nodes = nodes;
        op->n = n;
    }
}

static void
lower_not(Builder *b, const JsonSchemaKeyword *keyword, int kind)
{
    const FastNode *node = lower_node(b->lower, keyword->nodes[0]);

    if (allows_all(node, kind))
        b->node->kinds &= ~BIT(kind);
    else if (allows(node, kind))
        add_op(b, kind, FAST_NOT)->node = node;
}

static void
lower_if(Builder *b, const JsonSchemaKeyword *keyword, int kind)
{
    const FastNode **nodes = palloc0(sizeof(FastNode *) * 3);
    FastOp *op;

    for (int i = 0; i < 3; i++)
        if (keyword->nodes[i])
            nodes[i] = lower_node(b->lower, keyword->nodes[i]);
    if (allows_all(nodes[0], kind)) {
        require_node(b, nodes[1], kind);
    } else if (!allows(nodes[0], kind)) {
        require_node(b, nodes[2], kind);
    } else if (!allows_all(nodes[1], kind) || !allows_all(nodes[2], kind)) {
        op = add_op(b, kind, FAST_IF);
        op->nodes = nodes;
        op->n = 3;
    }
}

/* ---- strings ---------------------------------------------------------------------------- */

FastString
lower_string(JsonValue string)
{
    char padded[8] = {0};
    uint32 n = Min(string.length, 8);

    memcpy(padded + 8 - n, string.data + string.length - n, n);
    return (FastString){json_string_tail(padded, 8), string.data, string.length};
}

/* ---- values ---------------------------------------------------------------------------- */

/*
 * Lowers the listed values of one kind. If there are none, the kind is not allowed. If there are
 * many, the keyword itself has a set of them.
 */
static void
lower_values(Builder *b, const JsonSchemaKeyword *keyword, const JsonValue *values, int n, int kind)
{
    JsonValue *of_kind;
    FastString *strings;
    FastOp *op;
    int n_of_kind = 0;

    for (int i = 0; i < n; i++)
        n_of_kind += values[i].kind == (uint32)kind;
    if (n_of_kind == 0) {
        b->node->kinds &= ~BIT(kind);
    } else if (kind == JSON_NULL || kind == JSON_TRUE || kind == JSON_FALSE) {
        return;
    } else if (keyword->set && (kind != JSON_STRING || n_of_kind > FEW_STRINGS)) {
        add_op(b, kind, FAST_ASSERT)->keyword = keyword;
    } else if (kind == JSON_STRING) {
        op = add_op(b, kind, FAST_STRINGS);
        op->strings = strings = palloc(sizeof(FastString) * n_of_kind);
        for (int i = 0; i < n; i++)
            if (values[i].kind == JSON_STRING)
                strings[op->n++] = lower_string(values[i]);
    } else {
        op = add_op(b, kind, FAST_VALUES);
        op->values = of_kind = palloc(sizeof(JsonValue) * n_of_kind);
        for (int i = 0; i < n; i++)
            if (values[i].kind == (uint32)kind)
                of_kind[op->n++] = values[i];
    }
}

static void
lower_type(Builder *b, const JsonSchemaKeyword *keyword, int kind)
{
    if (keyword->types & BIT(kind))
        return;
    if (kind == JSON_NUMBER && (keyword->types & TYPE_INTEGER))
        add_op(b, kind, FAST_INTEGER);
    else
        b->node->kinds &= ~BIT(kind);
}

/* ---- keywords ----------------------------------------------------------------------------- */

static void
lower_dependent(Builder *b, const JsonSchemaKeyword *keyword, int kind)
{
    const FastNode **nodes = palloc0(sizeof(FastNode *) * Max(keyword->n, 1));
    FastOp *op;

    for (int i = 0; i < keyword->n; i++)
        if (keyword->nodes[i])
            nodes[i] = lower_node(b->lower, keyword->nodes[i]);
    op = add_op(b, kind, FAST_DEPENDENT);
    op->keyword = keyword;
    op->nodes = nodes;
    op->n = keyword->n;
}

static uint32
to_length(int64 count)
{
    return (uint32)Min(count, PG_UINT32_MAX);
}

/*
 * Lowers what a keyword demands of one kind. lower_common handles what is the same for all kinds;
 * lower_children.c handles members and items.
 */
static void
lower_keyword(Builder *b, const JsonSchemaKeyword *keyword, int kind)
{
    switch (keyword->kind) {
    case KEYWORD_TYPE: lower_type(b, keyword, kind); break;
    case KEYWORD_ENUM: lower_values(b, keyword, keyword->names, keyword->n, kind); break;
    case KEYWORD_CONST: lower_values(b, keyword, &keyword->value, 1, kind); break;
    case KEYWORD_MIN_LENGTH:
        b->node->min_length = Max(b->node->min_length, to_length(keyword->count));
        break;
    case KEYWORD_MAX_LENGTH:
        b->node->max_length = Min(b->node->max_length, to_length(keyword->count));
        break;
    case KEYWORD_PATTERN: add_op(b, kind, FAST_PATTERN)->keyword = keyword; break;
    case KEYWORD_FORMAT:
    case ASSERTIONS_ON_NUMBERS:
    case KEYWORD_DEPENDENT_REQUIRED: add_op(b, kind, FAST_ASSERT)->keyword = keyword; break;
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF: lower_alternatives(b, keyword, kind); break;
    case KEYWORD_NOT: lower_not(b, keyword, kind); break;
    case KEYWORD_IF: lower_if(b, keyword, kind); break;
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES: lower_dependent(b, keyword, kind); break;
    case KEYWORD_REF: /* lower_common */
    case KEYWORD_DYNAMIC_REF:
    case KEYWORD_ALL_OF: break;
    case APPLICATORS_TO_ITEMS: /* lower_array */
    case ASSERTIONS_ON_ARRAYS: break;
    case APPLICATORS_TO_MEMBERS:     /* lower_object */
    case APPLICATORS_TO_UNEVALUATED: /* both, unless the node is interpreted */
    case KEYWORD_MIN_PROPERTIES:
    case KEYWORD_MAX_PROPERTIES:
    case KEYWORD_REQUIRED: break;
    case KEYWORD_ANNOTATION: break;
    case COMPILED_AWAY: json_schema_stray_keyword(keyword);
    }
}

static void
lower_dynamic(Builder *b, const JsonSchemaKeyword *keyword)
{
    ListCell *cell;

    lower_node(b->lower, keyword->nodes[0]);
    foreach (cell, keyword->candidates->list)
        lower_node(b->lower, ((const JsonSchemaCandidate *)lfirst(cell))->node);
    for (int kind = 0; kind < N_JSON_KINDS; kind++)
        add_op(b, kind, FAST_DYNAMIC)->keyword = keyword;
}

/* Handles keywords that work the same for every kind. The others are lowered kind by kind. */
static void
lower_common(Builder *b, const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_DYNAMIC_REF: lower_dynamic(b, keyword); break;
    case KEYWORD_REF:
    case KEYWORD_ALL_OF:
        for (int i = 0; i < keyword->n; i++)
            require_everywhere(b, keyword->nodes[i]);
        break;
    case KEYWORD_ANY_OF: /* lower_keyword */
    case KEYWORD_ONE_OF:
    case KEYWORD_NOT:
    case KEYWORD_IF:
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES:
    case ASSERTIONS:
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED:
    case KEYWORD_ANNOTATION: break;
    case COMPILED_AWAY: json_schema_stray_keyword(keyword);
    }
}

/*
 * Whether only the interpreter knows which members or items are left for an "unevaluated" keyword:
 * subschemas in place evaluate some, and so does "contains". Without them, the keyword is like
 * "additionalProperties" or "items".
 */
static bool
is_interpreted(const JsonSchemaNode *source, int kind)
{
    bool is_asked = false;
    bool is_known = true;

    for (int i = 0; i < source->n_keywords; i++) {
        switch (source->keywords[i].kind) {
        case KEYWORD_UNEVALUATED_PROPERTIES: is_asked |= kind == JSON_OBJECT; break;
        case KEYWORD_UNEVALUATED_ITEMS: is_asked |= kind == JSON_ARRAY; break;
        case APPLICATORS_IN_PLACE: is_known = false; break;
        case KEYWORD_CONTAINS: is_known &= kind != JSON_ARRAY; break;
        case KEYWORD_PREFIX_ITEMS:
        case KEYWORD_ITEMS:
        case ASSERTIONS:
        case APPLICATORS_TO_MEMBERS:
        case KEYWORD_ANNOTATION:
        case COMPILED_AWAY: break;
        }
    }
    return is_asked && !is_known;
}

static void
lower_kind(Builder *b, int kind)
{
    const JsonSchemaNode *source = b->source;
    const FastObject *object = kind == JSON_OBJECT ? lower_object(b->lower, source) : NULL;
    const FastArray *array = kind == JSON_ARRAY ? lower_array(b->lower, source) : NULL;

    if (object)
        add_op(b, kind, FAST_OBJECT)->object = object;
    if (array)
        add_op(b, kind, FAST_ARRAY)->array = array;
    for (int i = 0; i < source->n_keywords && (b->node->kinds & BIT(kind)); i++)
        if (source->keywords[i].applies & BIT(kind))
            lower_keyword(b, &source->keywords[i], kind);
}

/* The operation when it is the only one of its kind of value. */
static const FastOp *
only_op(const FastNode *node, int kind)
{
    const FastOp *op = (node->checked & BIT(kind)) ? node->ops[kind] : NULL;

    return op && op[1].code == FAST_END ? op : NULL;
}

/* What passes by its type, or by its bytes if it is a string; a character has at most four. */
static void
finish_sure(FastNode *node)
{
    uint32 passing = node->kinds & ~node->checked;
    uint32 containers = BIT(JSON_ARRAY) | BIT(JSON_OBJECT);
    const FastOp *number = only_op(node, JSON_NUMBER);

    node->sure = passing & ~containers;
    if ((passing & containers) == containers)
        node->sure |= JSON_ENTRY_CONTAINER;
    node->takes_integers = number && number->code == FAST_INTEGER;
    node->sure_min = PG_UINT32_MAX;
    if (!node->ops[JSON_STRING]) {
        node->sure_min =
            node->min_length > 1 ? to_length((int64)node->min_length * 4) : node->min_length;
        node->sure_max = node->max_length;
    }
}

/* Containers with one check are entered without a look at the list. */
static void
finish_containers(FastNode *node)
{
    const FastOp *object = only_op(node, JSON_OBJECT);
    const FastOp *array = only_op(node, JSON_ARRAY);

    if (node->enters_scope)
        return;
    if (object && object->code == FAST_OBJECT)
        node->object = object->object;
    if (array && array->code == FAST_ARRAY)
        node->array = array->array;
}

static void
finish(Builder *b)
{
    FastNode *node = b->node;

    node->checked = 0;
    for (int kind = 0; kind < N_JSON_KINDS; kind++) {
        if (!(node->kinds & BIT(kind)) || b->n_ops[kind] == 0)
            continue;
        b->ops[kind][b->n_ops[kind]].code = FAST_END;
        node->ops[kind] = b->ops[kind];
        node->checked |= BIT(kind);
    }
    if (node->min_length > 0 || node->max_length < PG_UINT32_MAX)
        node->checked |= BIT(JSON_STRING);
    node->checked &= node->kinds;
    finish_sure(node);
    finish_containers(node);
    node->is_finished = true;
}

static void
build(Builder *b)
{
    const JsonSchemaNode *source = b->source;

    if (source->source.kind == JSON_FALSE)
        b->node->kinds = 0;
    /* Types come first, because kinds that they exclude need no operations. */
    for (int i = 0; i < source->n_keywords; i++)
        if (source->keywords[i].kind == KEYWORD_TYPE)
            for (int kind = 0; kind < N_JSON_KINDS; kind++)
                if (!(source->keywords[i].types & BIT(kind)) &&
                    !(kind == JSON_NUMBER && (source->keywords[i].types & TYPE_INTEGER)))
                    b->node->kinds &= ~BIT(kind);
    for (int kind = 0; kind < N_JSON_KINDS; kind++) {
        if (!(b->node->kinds & BIT(kind)))
            continue;
        if (!is_interpreted(source, kind)) {
            lower_kind(b, kind);
            continue;
        }
        add_op(b, kind, FAST_INTERPRET)->source = source;
        b->interpreted |= BIT(kind);
    }
    for (int i = 0; i < source->n_keywords; i++)
        lower_common(b, &source->keywords[i]);
}

static FastNode *
find_node(FastLower *lower, const JsonSchemaNode *source)
{
    FastNode *node;

    if (source->fast)
        return (FastNode *)source->fast;
    node = palloc0(sizeof(FastNode));
    /* Until the node is finished nothing is known about it: every kind may pass, after checks. */
    node->kinds = JSON_KINDS_ALL;
    node->checked = JSON_KINDS_ALL;
    node->max_length = PG_UINT32_MAX;
    node->source = source;
    node->enters_scope = lower->program->has_dynamic_scope;
    ((JsonSchemaNode *)source)->fast = node;
    return node;
}

const FastNode *
lower_node(FastLower *lower, const JsonSchemaNode *source)
{
    Builder b;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    memset(&b, 0, sizeof(b));
    b.lower = lower;
    b.source = source;
    b.node = find_node(lower, source);
    if (!b.node->is_begun) {
        b.node->is_begun = true;
        build(&b);
        finish(&b);
    }
    return b.node;
}

static bool
demands_nothing(const JsonSchemaNode *source)
{
    for (int i = 0; i < source->n_keywords; i++)
        if (source->keywords[i].kind != KEYWORD_ANNOTATION)
            return false;
    return source->source.kind != JSON_FALSE;
}

const FastNode *
lower_part(FastLower *lower, const JsonSchemaNode *source)
{
    FastNode *node;

    if (demands_nothing(source))
        return NULL;
    node = find_node(lower, source);
    if (!node->is_begun)
        lower->queue = lappend(lower->queue, node);
    return node;
}

void
json_schema_lower(JsonSchemaProgram *program)
{
    FastLower lower = {program, NIL, NIL};
    ListCell *cell;

    program->fast = lower_node(&lower, program->root);
    for (int i = 0; i < list_length(lower.queue); i++) {
        json_schema_check_size(program);
        lower_node(&lower, ((const FastNode *)list_nth(lower.queue, i))->source);
    }
    foreach (cell, lower.objects)
        lower_finish_object(lfirst(cell));
    list_free(lower.queue);
    list_free(lower.objects);
}
