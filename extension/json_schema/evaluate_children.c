/*
 * json_schema/evaluate_children.c: the exhaustive evaluation of the keywords that walk over
 * the members of an object or the items of an array. One recursion with evaluate.c, split by
 * size.
 */
#include "extension/base/compat.h"

#include "extension/json/text.h"
#include "extension/json_schema/evaluate.h"

static void
mark(Frame *frame, uint32 index)
{
    if (frame->evaluated)
        frame->evaluated->done[index / 64] |= UINT64CONST(1) << index % 64;
}

/* ---- annotations that are lists --------------------------------------------------- */

static void
begin_list(StringInfo list)
{
    initStringInfo(list);
    appendStringInfoChar(list, '[');
}

static void
begin_item(const Frame *frame, StringInfo list)
{
    memory_use_check(&frame->evaluation->memory, 0);
    if (list->len > 1)
        appendStringInfoChar(list, ',');
}

static void
report_list(Frame *frame, const JsonSchemaKeyword *keyword, StringInfo list)
{
    appendStringInfoChar(list, ']');
    evaluate_report_annotation_text(frame, keyword->name, list);
}

/* ---- objects ---------------------------------------------------------------------- */

/*
 * Annotations of a member's name are dropped: they have the same location as its value, but do
 * not describe it.
 */
static bool
evaluate_name(Frame *frame, const JsonSchemaKeyword *keyword, const Location *base, JsonValue name,
              const Location *instance)
{
    int flags = frame->evaluation->flags;
    bool valid;

    frame->evaluation->flags &= ~JSON_SCHEMA_ANNOTATIONS;
    valid = evaluate_part(frame, keyword->nodes[0], base, name, instance);
    frame->evaluation->flags = flags;
    return valid;
}

/*
 * Evaluates one member for one keyword. *is_named tells whether the keyword applies to that
 * member.
 */
static bool
evaluate_member(Frame *frame, const JsonSchemaKeyword *keyword, uint32 index, JsonValue name,
                JsonValue value, bool *is_named)
{
    Location base = location_of_keyword(frame, keyword->name);
    Location instance = location_of_name(frame->instance_location, name);
    Location location;
    bool valid = true;
    int at;

    *is_named = false;
    switch (keyword->kind) {
    case KEYWORD_PROPERTIES:
        at = json_schema_index_of_name(keyword, name);
        if (at < 0)
            return true;
        location = location_of_name(&base, keyword->names[at]);
        valid = evaluate_part(frame, keyword->nodes[at], &location, value, &instance);
        break;
    case KEYWORD_PATTERN_PROPERTIES:
        for (at = 0; at < keyword->n; at++) {
            if (!regex_matches(keyword->patterns[at], name.data, name.length))
                continue;
            location = location_of_name(&base, keyword->names[at]);
            valid &= evaluate_part(frame, keyword->nodes[at], &location, value, &instance);
            *is_named = true;
        }
        if (!*is_named)
            return true;
        break;
    case KEYWORD_ADDITIONAL_PROPERTIES:
        if (json_schema_index_of_name(frame->node->properties, name) >= 0 ||
            json_schema_matches_pattern(frame->node->pattern_properties, name))
            return true;
        valid = evaluate_part(frame, keyword->nodes[0], &base, value, &instance);
        break;
    case KEYWORD_UNEVALUATED_PROPERTIES:
        if (evaluated_has(frame->evaluated, index))
            return true;
        valid = evaluate_part(frame, keyword->nodes[0], &base, value, &instance);
        break;
    case KEYWORD_PROPERTY_NAMES: return evaluate_name(frame, keyword, &base, name, &instance);
    case ASSERTIONS:
    case APPLICATORS_IN_PLACE:
    case APPLICATORS_TO_ITEMS:
    case KEYWORD_UNEVALUATED_ITEMS:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: json_schema_stray_keyword(keyword);
    }
    *is_named = true;
    mark(frame, index);
    return valid;
}

static bool
evaluate_object(Frame *frame, const JsonSchemaKeyword *keyword)
{
    bool annotates = evaluate_wants_annotations(frame) && keyword->kind != KEYWORD_PROPERTY_NAMES;
    StringInfoData annotation;
    bool valid = true;
    JsonWalk names;
    JsonWalk values;

    if (annotates)
        begin_list(&annotation);
    json_walk_object(frame->instance, &names, &values);
    for (uint32 i = 0; !json_walk_ended(&names); i++) {
        JsonValue name = json_walk_next(&names);
        bool is_named;

        valid &= evaluate_member(frame, keyword, i, name, json_walk_next(&values), &is_named);
        if (annotates && is_named) {
            begin_item(frame, &annotation);
            json_text_write(&annotation, name.data, (int)name.length);
        }
    }
    if (annotates)
        report_list(frame, keyword, &annotation);
    return valid;
}

/* ---- arrays ----------------------------------------------------------------------- */

static void
annotate_boolean(Frame *frame, const JsonSchemaKeyword *keyword)
{
    JsonbValue flag = {.type = jbvBool};

    flag.val.boolean = true;
    evaluate_report_annotation(frame, keyword->name, JsonbValueToJsonb(&flag));
}

static void
annotate_index(Frame *frame, const JsonSchemaKeyword *keyword, int index)
{
    JsonbValue number = {.type = jbvNumeric};

    number.val.numeric = int64_to_numeric(index);
    evaluate_report_annotation(frame, keyword->name, JsonbValueToJsonb(&number));
}

static bool
evaluate_prefix(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location base = location_of_keyword(frame, keyword->name);
    JsonWalk walk = json_walk_array(frame->instance);
    bool valid = true;

    for (int i = 0; i < keyword->n && !json_walk_ended(&walk); i++) {
        Location location = location_of_index(&base, i);
        Location instance = location_of_index(frame->instance_location, i);

        valid &=
            evaluate_part(frame, keyword->nodes[i], &location, json_walk_next(&walk), &instance);
        mark(frame, i);
    }
    if (evaluate_wants_annotations(frame) && keyword->n > 0 && json_count(frame->instance) > 0) {
        if (json_walk_ended(&walk))
            annotate_boolean(frame, keyword);
        else
            annotate_index(frame, keyword, keyword->n - 1);
    }
    return valid;
}

static bool
evaluate_rest(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location base = location_of_keyword(frame, keyword->name);
    JsonWalk walk = json_walk_array(frame->instance);
    uint32 skip = 0;
    bool is_used = false;
    bool valid = true;

    if (keyword->kind == KEYWORD_ITEMS && frame->node->prefix_items)
        skip = frame->node->prefix_items->n;
    for (uint32 i = 0; !json_walk_ended(&walk); i++) {
        JsonValue item = json_walk_next(&walk);
        Location instance = location_of_index(frame->instance_location, i);

        if (i < skip ||
            (keyword->kind == KEYWORD_UNEVALUATED_ITEMS && evaluated_has(frame->evaluated, i)))
            continue;
        valid &= evaluate_part(frame, keyword->nodes[0], &base, item, &instance);
        mark(frame, i);
        is_used = true;
    }
    if (evaluate_wants_annotations(frame) && is_used)
        annotate_boolean(frame, keyword);
    return valid;
}

static bool
report_contains(Frame *frame, const JsonSchemaKeyword *keyword, int64 n_matches)
{
    bool has_minimum = keyword->count != 1;

    if (n_matches < keyword->count) {
        evaluate_report_error(frame, has_minimum ? "minContains" : "contains",
                              psprintf("must have at least " INT64_FORMAT " matching %s",
                                       keyword->count, keyword->count == 1 ? "item" : "items"));
        return false;
    }
    if (n_matches > keyword->max_count) {
        evaluate_report_error(frame, "maxContains",
                              psprintf("must have at most " INT64_FORMAT " matching %s",
                                       keyword->max_count,
                                       keyword->max_count == 1 ? "item" : "items"));
        return false;
    }
    return true;
}

static bool
evaluate_contains(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location base = location_of_keyword(frame, keyword->name);
    JsonWalk walk = json_walk_array(frame->instance);
    bool marks = frame->node->resource->dialect.draft >= 2020;
    bool annotates = evaluate_wants_annotations(frame);
    StringInfoData annotation;
    int64 n_matches = 0;

    if (annotates)
        begin_list(&annotation);
    for (uint32 i = 0; !json_walk_ended(&walk); i++) {
        JsonValue item = json_walk_next(&walk);
        Location instance = location_of_index(frame->instance_location, i);

        if (!evaluate_part(frame, keyword->nodes[0], &base, item, &instance))
            continue;
        n_matches++;
        if (marks)
            mark(frame, i);
        if (annotates) {
            begin_item(frame, &annotation);
            appendStringInfo(&annotation, "%u", i);
        }
    }
    if (annotates)
        report_list(frame, keyword, &annotation);
    return report_contains(frame, keyword, n_matches);
}

bool
evaluate_children(Frame *frame, const JsonSchemaKeyword *keyword)
{
    switch (keyword->kind) {
    case KEYWORD_PREFIX_ITEMS: return evaluate_prefix(frame, keyword);
    case KEYWORD_ITEMS:
    case KEYWORD_UNEVALUATED_ITEMS: return evaluate_rest(frame, keyword);
    case KEYWORD_CONTAINS: return evaluate_contains(frame, keyword);
    case KEYWORD_UNEVALUATED_PROPERTIES:
    case APPLICATORS_TO_MEMBERS: return evaluate_object(frame, keyword);
    case ASSERTIONS:
    case APPLICATORS_IN_PLACE:
    case KEYWORD_ANNOTATION:
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}
