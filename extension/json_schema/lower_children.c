/*
 * json_schema/lower_children.c: lowers the keywords about members and items into one walk for
 * each kind of container.
 *
 * One recursion with lower.c, split by size.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/fast.h"

/* Objects with more keys than this have more than one stored offset. */
#define MAX_SHAPE JB_OFFSET_STRIDE

/* If a schema has no more patterns and a name no more bytes, the name is matched in advance. */
#define FEW_PATTERNS 8
#define SHORT_NAME 64

/* For a name that is required and has no schema. */
static const FastNode anything = {
    .kinds = JSON_KINDS_ALL, .is_finished = true, .sure = JSON_ENTRIES_ALL};

static int
by_key(const void *a, const void *b)
{
    const FastName *x = a;
    const FastName *y = b;

    CHECK_FOR_INTERRUPTS();
    return json_compare_keys(x->string.bytes, x->string.length, y->string.bytes, y->string.length);
}

static uint32
count_of(const JsonSchemaKeyword *keyword, uint32 otherwise)
{
    return keyword ? (uint32)Min(keyword->count, PG_UINT32_MAX) : otherwise;
}

/* ---- objects ------------------------------------------------------------------------ */

static void
add_names(FastObject *object, const JsonSchemaKeyword *keyword, FastLower *lower)
{
    for (int i = 0; i < keyword->n; i++) {
        FastName *name = &object->names[object->n_names++];

        CHECK_FOR_INTERRUPTS();
        memset(name, 0, sizeof(FastName));
        name->string = lower_string(keyword->names[i]);
        if (keyword->kind == KEYWORD_PROPERTIES) {
            name->is_listed = true;
            name->node = lower_part(lower, keyword->nodes[i]);
            if (!name->node)
                name->node = &anything;
        } else {
            name->node = &anything;
            name->is_required = true;
        }
    }
}

/* Sorts the names. A name that is both listed and required becomes one entry. */
static void
merge_names(FastObject *object)
{
    int n = 0;

    qsort(object->names, object->n_names, sizeof(FastName), by_key);
    for (int i = 0; i < object->n_names; i++) {
        FastName name = object->names[i];
        FastName *last = n > 0 ? &object->names[n - 1] : NULL;

        if (last && by_key(last, &name) == 0) {
            last->is_required |= name.is_required;
            last->is_listed |= name.is_listed;
            last->node = name.is_listed ? name.node : last->node;
        } else {
            object->names[n++] = name;
        }
    }
    object->n_names = n;
    for (int i = 0; i < n; i++)
        object->n_required += object->names[i].is_required;
}

/*
 * Drops names that are listed but not required and have no checks. They only matter if there is a
 * rule for additional members.
 */
static void
drop_idle_names(FastObject *object)
{
    int n = 0;

    if (object->additional || object->forbids_additional)
        return;
    for (int i = 0; i < object->n_names; i++)
        if (object->names[i].is_required || object->names[i].node != &anything)
            object->names[n++] = object->names[i];
    object->n_names = n;
}

static void
index_names(FastObject *object)
{
    int at = 0;

    object->max_length = object->n_names > 0 ? object->names[object->n_names - 1].string.length : 0;
    object->first = palloc(sizeof(uint32) * ((Size)object->max_length + 2));
    for (uint32 length = 0; length <= object->max_length + 1; length++) {
        while (at < object->n_names && object->names[at].string.length < length)
            at++;
        object->first[length] = at;
    }
}

/*
 * If an object has exactly these names, all its keys together are known in advance, and comparing
 * them at once saves looking up each.
 */
static void
add_shape(FastObject *object)
{
    uint32 n = object->n_names;
    JEntry *entries;
    char *bytes;
    uint32 size = 0;

    object->shape_count = NO_SHAPE;
    if (n == 0 || n > MAX_SHAPE || n < object->min_members || n > object->max_members)
        return;
    for (uint32 i = 0; i < n; i++) {
        if (!object->names[i].is_decided)
            return;
        size += object->names[i].string.length;
    }
    entries = palloc(sizeof(JEntry) * n);
    bytes = palloc(Max(size, 1));
    object->shape = (FastShape){entries, bytes, sizeof(JEntry) * n, size};
    object->shape_count = n;
    size = 0;
    for (uint32 i = 0; i < n; i++) {
        const FastString *name = &object->names[i].string;

        memcpy(bytes + size, name->bytes, name->length);
        size += name->length;
        entries[i] =
            i == 0 ? JENTRY_ISSTRING | JENTRY_HAS_OFF | size : JENTRY_ISSTRING | name->length;
    }
}

static void
lower_patterns(FastLower *lower, FastObject *object, const JsonSchemaKeyword *keyword)
{
    object->patterns = palloc(sizeof(FastPattern) * Max(keyword->n, 1));
    for (int i = 0; i < keyword->n; i++) {
        const FastNode *node = lower_part(lower, keyword->nodes[i]);

        if (!node && !object->additional && !object->forbids_additional)
            continue;
        object->patterns[object->n_patterns].regex = keyword->patterns[i];
        object->patterns[object->n_patterns++].node = node;
    }
}

/* Whether it is known, after little work, that no pattern matches the name. */
static bool
matches_no_pattern(const FastObject *object, const FastString *name)
{
    if (object->n_patterns > 0 && (object->n_patterns > FEW_PATTERNS || name->length > SHORT_NAME))
        return false;
    for (int i = 0; i < object->n_patterns; i++) {
        Regex *regex = object->patterns[i].regex;

        if (!regex_is_linear(regex) || regex_matches(regex, name->bytes, name->length))
            return false;
    }
    return true;
}

static void
decide_names(FastObject *object)
{
    for (int i = 0; i < object->n_names; i++) {
        FastName *name = &object->names[i];

        CHECK_FOR_INTERRUPTS();
        name->is_decided = !object->key && matches_no_pattern(object, &name->string);
        if (name->is_decided && !name->is_listed && object->additional)
            name->node = object->additional;
    }
}

/* What a node says about members; NULL for a keyword that it does not have. */
typedef struct ObjectKeywords {
    const JsonSchemaKeyword *properties;
    const JsonSchemaKeyword *patterns;
    const JsonSchemaKeyword *additional;
    const JsonSchemaKeyword *names;
    const JsonSchemaKeyword *required;
    const JsonSchemaKeyword *least;
    const JsonSchemaKeyword *most;
} ObjectKeywords;

static ObjectKeywords
object_keywords(const JsonSchemaNode *node)
{
    ObjectKeywords found = {0};

    for (int i = 0; i < node->n_keywords; i++) {
        const JsonSchemaKeyword *keyword = &node->keywords[i];

        switch (keyword->kind) {
        case KEYWORD_PROPERTIES: found.properties = keyword; break;
        case KEYWORD_PATTERN_PROPERTIES: found.patterns = keyword; break;
        case KEYWORD_ADDITIONAL_PROPERTIES: found.additional = keyword; break;
        case KEYWORD_UNEVALUATED_PROPERTIES: /* comes last; "additional" leaves it nothing */
            found.additional = found.additional ? found.additional : keyword;
            break;
        case KEYWORD_PROPERTY_NAMES: found.names = keyword; break;
        case KEYWORD_REQUIRED: found.required = keyword; break;
        case KEYWORD_MIN_PROPERTIES: found.least = keyword; break;
        case KEYWORD_MAX_PROPERTIES: found.most = keyword; break;
        case KEYWORD_DEPENDENT_REQUIRED: /* lower.c */
        case ASSERTIONS_ON_ANYTHING:
        case ASSERTIONS_ON_STRINGS:
        case ASSERTIONS_ON_NUMBERS:
        case ASSERTIONS_ON_ARRAYS:
        case APPLICATORS_IN_PLACE:
        case APPLICATORS_TO_ITEMS:
        case KEYWORD_UNEVALUATED_ITEMS:
        case KEYWORD_ANNOTATION: break;
        case COMPILED_AWAY: json_schema_stray_keyword(keyword);
        }
    }
    return found;
}

const FastObject *
lower_object(FastLower *lower, const JsonSchemaNode *node)
{
    ObjectKeywords found = object_keywords(node);
    const JsonSchemaKeyword *properties = found.properties;
    const JsonSchemaKeyword *required = found.required;
    const JsonSchemaKeyword *additional = found.additional;
    int n = (properties ? properties->n : 0) + (required ? required->n : 0);
    FastObject *object = palloc0(sizeof(FastObject));

    object->min_members = count_of(found.least, 0);
    object->max_members = count_of(found.most, PG_UINT32_MAX);
    object->additional = additional ? lower_part(lower, additional->nodes[0]) : NULL;
    object->forbids_additional = additional && additional->nodes[0]->source.kind == JSON_FALSE;
    object->key = found.names ? lower_part(lower, found.names->nodes[0]) : NULL;
    object->names = palloc(sizeof(FastName) * Max(n, 1));
    if (properties)
        add_names(object, properties, lower);
    if (required)
        add_names(object, required, lower);
    merge_names(object);
    drop_idle_names(object);
    index_names(object);
    if (found.patterns)
        lower_patterns(lower, object, found.patterns);
    object->is_plain = object->n_patterns == 0 && !object->key;
    decide_names(object);
    object->min_members = Max(object->min_members, (uint32)object->n_required);
    if (object->is_plain && object->forbids_additional)
        object->max_members = Min(object->max_members, (uint32)object->n_names);
    add_shape(object);
    if (object->n_names == 0 && object->n_patterns == 0 && !object->additional && !object->key &&
        object->min_members == 0 && object->max_members == PG_UINT32_MAX)
        return NULL;
    lower->objects = lappend(lower->objects, object);
    return object;
}

void
lower_finish_object(FastObject *object)
{
    uint32 sure = object->n_required == 0 ? JSON_ENTRIES_ALL : 0;

    CHECK_FOR_INTERRUPTS();
    for (int i = 0; i < object->n_names; i++) {
        object->names[i].sure = object->names[i].node->sure;
        sure &= object->names[i].sure;
    }
    for (int i = 0; i < object->n_patterns; i++)
        if (object->patterns[i].node)
            sure &= object->patterns[i].node->sure;
    if (object->additional)
        sure &= object->additional->sure;
    object->sure = sure;
}

/* ---- arrays -------------------------------------------------------------------------- */

/* What a node says about items; NULL for a keyword that it does not have. */
typedef struct ArrayKeywords {
    const JsonSchemaKeyword *prefix;
    const JsonSchemaKeyword *items;
    const JsonSchemaKeyword *contains;
    const JsonSchemaKeyword *unique;
    const JsonSchemaKeyword *least;
    const JsonSchemaKeyword *most;
} ArrayKeywords;

static ArrayKeywords
array_keywords(const JsonSchemaNode *node)
{
    ArrayKeywords found = {0};

    for (int i = 0; i < node->n_keywords; i++) {
        const JsonSchemaKeyword *keyword = &node->keywords[i];

        switch (keyword->kind) {
        case KEYWORD_PREFIX_ITEMS: found.prefix = keyword; break;
        case KEYWORD_ITEMS: found.items = keyword; break;
        case KEYWORD_UNEVALUATED_ITEMS: found.items = found.items ? found.items : keyword; break;
        case KEYWORD_CONTAINS: found.contains = keyword; break;
        case KEYWORD_UNIQUE_ITEMS: found.unique = keyword; break;
        case KEYWORD_MIN_ITEMS: found.least = keyword; break;
        case KEYWORD_MAX_ITEMS: found.most = keyword; break;
        case ASSERTIONS_ON_ANYTHING:
        case ASSERTIONS_ON_STRINGS:
        case ASSERTIONS_ON_NUMBERS:
        case ASSERTIONS_ON_OBJECTS:
        case APPLICATORS_IN_PLACE:
        case APPLICATORS_TO_MEMBERS:
        case KEYWORD_UNEVALUATED_PROPERTIES:
        case KEYWORD_ANNOTATION: break;
        case COMPILED_AWAY: json_schema_stray_keyword(keyword);
        }
    }
    return found;
}

const FastArray *
lower_array(FastLower *lower, const JsonSchemaNode *node)
{
    ArrayKeywords found = array_keywords(node);
    const JsonSchemaKeyword *prefix = found.prefix;
    const JsonSchemaKeyword *contains = found.contains;
    FastArray *array = palloc0(sizeof(FastArray));

    array->min_items = count_of(found.least, 0);
    array->max_items = count_of(found.most, PG_UINT32_MAX);
    array->is_unique = found.unique && found.unique->value.kind == JSON_TRUE;
    array->items = found.items ? lower_part(lower, found.items->nodes[0]) : NULL;
    if (prefix) {
        array->n_prefix = prefix->n;
        array->prefix = palloc(sizeof(FastNode *) * Max(prefix->n, 1));
        for (int i = 0; i < prefix->n; i++)
            array->prefix[i] = lower_part(lower, prefix->nodes[i]);
    }
    if (contains) {
        array->contains = lower_part(lower, contains->nodes[0]);
        if (!array->contains)
            array->contains = &anything;
        array->min_contains = contains->count;
        array->max_contains = contains->max_count;
    }
    if (array->min_items == 0 && array->max_items == PG_UINT32_MAX && !array->is_unique &&
        !array->items && array->n_prefix == 0 && !array->contains)
        return NULL;
    return array;
}
