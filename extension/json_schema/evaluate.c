/*
 * json_schema/evaluate.c: the exhaustive evaluation, which explains a verdict.
 *
 * It interprets the nodes keyword by keyword, and collects errors and annotations in a tree of
 * units. A unit is only made if it has something to report. This file has the frame of a
 * subschema, the keywords that apply to the instance as a whole, and the entry. One recursion
 * with evaluate_children.c, split by size.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json/from_text.h"
#include "extension/json/pointer.h"
#include "extension/json_schema/evaluate.h"
#include "extension/json_schema/uri.h"

/*
 * When everything reported takes this many bytes (locations may be long), no more errors are
 * listed.
 */
#define ENOUGH_SAID (4 * 1024 * 1024)
/* When it takes this many bytes, an error is raised. */
#define TOO_MUCH_SAID (64 * 1024 * 1024)

/* ---- locations and messages ----------------------------------------------------- */

static void
count_said(Evaluation *evaluation, Size bytes)
{
    CHECK_FOR_INTERRUPTS();
    memory_use_check(&evaluation->memory, 0);
    evaluation->said += bytes;
    if (evaluation->said > TOO_MUCH_SAID)
        ereport(ERROR, errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
                errmsg("there is too much to say about this value"),
                errdetail("Locations, errors and annotations would take more than %d MB.",
                          TOO_MUCH_SAID / (1024 * 1024)),
                errhint("Ask for the verdict alone, or for another output format."));
}

static void
append_location(StringInfo out, const Location *location)
{
    if (!location)
        return;
    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    append_location(out, location->parent);
    if (location->token)
        json_pointer_append(out, location->token, location->length);
    else
        appendStringInfo(out, "/%u", location->index);
}

static StringInfo
new_text(Evaluation *evaluation)
{
    if (!evaluation->text.data)
        initStringInfo(&evaluation->text);
    resetStringInfo(&evaluation->text);
    return &evaluation->text;
}

/* A copy that is not longer than it must be. */
static char *
location_text(Evaluation *evaluation, const Location *location)
{
    StringInfo text = new_text(evaluation);

    append_location(text, location);
    return pnstrdup(text->data, text->len);
}

static char *
absolute_location(Evaluation *evaluation, const JsonSchemaNode *node)
{
    StringInfo text = new_text(evaluation);
    char *pointer = json_schema_pointer_text(node->pointer);
    char *fragment = json_schema_uri_encode_fragment(pointer);

    appendStringInfo(text, "%s#%s", node->resource->uri, fragment);
    if (fragment != pointer)
        pfree(fragment);
    pfree(pointer);
    return pnstrdup(text->data, text->len);
}

static Size
message_size(const JsonSchemaMessage *message)
{
    return sizeof(JsonSchemaMessage) + (message->text ? strlen(message->text) : 0) +
           (message->annotation ? VARSIZE(message->annotation) : 0);
}

/* The size without messages and children. */
static Size
unit_size(const JsonSchemaUnit *unit)
{
    return sizeof(JsonSchemaUnit) + strlen(unit->keyword_location) +
           strlen(unit->absolute_keyword_location) + strlen(unit->instance_location);
}

static JsonSchemaUnit *
frame_unit(Frame *frame)
{
    if (!frame->unit) {
        Evaluation *evaluation = frame->evaluation;
        JsonSchemaUnit *unit = palloc0(sizeof(JsonSchemaUnit));

        effort_spend(evaluation->effort, EFFORT_OF_UNIT);
        unit->valid = true;
        unit->keyword_location = location_text(evaluation, frame->schema_location);
        unit->absolute_keyword_location = absolute_location(evaluation, frame->node);
        unit->instance_location = location_text(evaluation, frame->instance_location);
        frame->unit = unit;
        count_said(evaluation, unit_size(unit));
    }
    return frame->unit;
}

static bool
is_full(const Evaluation *evaluation)
{
    return evaluation->n_errors >= evaluation->error_limit || evaluation->said >= ENOUGH_SAID;
}

/*
 * Whether a failing subschema may still make a unit. After the last error is listed, many more
 * subschemas may fail, and these have nothing to report.
 */
static bool
may_report(const Evaluation *evaluation)
{
    return !is_full(evaluation) || (evaluation->flags & JSON_SCHEMA_VERBOSE);
}

static void
free_messages(Evaluation *evaluation, List *messages)
{
    ListCell *cell;

    foreach (cell, messages) {
        JsonSchemaMessage *message = lfirst(cell);

        evaluation->said -= message_size(message);
        if (message->text)
            pfree((char *)message->text);
        if (message->annotation)
            pfree(message->annotation);
    }
    list_free_deep(messages);
}

static void
free_unit(Evaluation *evaluation, JsonSchemaUnit *unit)
{
    ListCell *cell;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    foreach (cell, unit->children)
        free_unit(evaluation, lfirst(cell));
    list_free(unit->children);
    free_messages(evaluation, unit->errors);
    free_messages(evaluation, unit->annotations);
    evaluation->said -= unit_size(unit);
    pfree((char *)unit->keyword_location);
    pfree((char *)unit->absolute_keyword_location);
    pfree((char *)unit->instance_location);
    pfree(unit);
}

/* What had been reported at some point, to be able to return to it. */
typedef struct Said {
    int n_errors;
    bool is_cut;
    int n_children;
} Said;

static Said
said_so_far(const Frame *frame)
{
    Said said = {frame->evaluation->n_errors, frame->evaluation->is_cut,
                 frame->unit ? list_length(frame->unit->children) : 0};

    return said;
}

/* Removes what failing children have reported since that point. */
static void
take_back(Frame *frame, Said said)
{
    List *children;

    if (frame->evaluation->flags & JSON_SCHEMA_VERBOSE)
        return;
    frame->evaluation->n_errors = said.n_errors;
    frame->evaluation->is_cut = said.is_cut;
    if (!frame->unit)
        return;
    children = frame->unit->children;
    for (int i = list_length(children) - 1; i >= said.n_children; i--) {
        JsonSchemaUnit *child = list_nth(children, i);

        if (child->valid)
            continue;
        free_unit(frame->evaluation, child);
        children = list_delete_nth_cell(children, i);
    }
    frame->unit->children = children;
}

void
evaluate_report_error(Frame *frame, const char *keyword, char *message)
{
    Evaluation *evaluation = frame->evaluation;
    JsonSchemaMessage *entry;

    if (is_full(evaluation)) {
        evaluation->is_cut = true;
        pfree(message);
        return;
    }
    evaluation->n_errors++;
    entry = palloc0(sizeof(JsonSchemaMessage));
    entry->keyword = keyword;
    entry->text = message;
    count_said(evaluation, message_size(entry));
    frame_unit(frame)->errors = lappend(frame_unit(frame)->errors, entry);
}

void
evaluate_report_annotation(Frame *frame, const char *keyword, Jsonb *annotation)
{
    JsonSchemaMessage *entry = palloc0(sizeof(JsonSchemaMessage));

    entry->keyword = keyword;
    entry->annotation = annotation;
    count_said(frame->evaluation, message_size(entry));
    frame_unit(frame)->annotations = lappend(frame_unit(frame)->annotations, entry);
}

void
evaluate_report_annotation_text(Frame *frame, const char *keyword, StringInfo annotation)
{
    Jsonb *jsonb = json_from_text(annotation->data, annotation->len);

    pfree(annotation->data);
    evaluate_report_annotation(frame, keyword, jsonb);
}

bool
evaluate_wants_annotations(const Frame *frame)
{
    return (frame->evaluation->flags & JSON_SCHEMA_ANNOTATIONS) != 0;
}

/* ---- keywords on the instance as a whole ------------------------------------------- */

static bool
evaluate_list(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location list = location_of_keyword(frame, keyword->name);
    int n_valid = 0;

    for (int i = 0; i < keyword->n; i++) {
        Location item = location_of_index(&list, i);

        n_valid += evaluate_in_place(frame, keyword->nodes[i], &item);
    }
    if (keyword->kind == KEYWORD_ALL_OF)
        return n_valid == keyword->n;
    if (keyword->kind == KEYWORD_ANY_OF) {
        if (n_valid == 0)
            evaluate_report_error(frame, keyword->name,
                                  pstrdup("matches none of the alternatives"));
        return n_valid > 0;
    }
    if (n_valid == 0)
        evaluate_report_error(frame, keyword->name, pstrdup("matches none of the alternatives"));
    else if (n_valid > 1)
        evaluate_report_error(frame, keyword->name,
                              psprintf("matches %d of the alternatives, not exactly one", n_valid));
    return n_valid == 1;
}

static bool
evaluate_not(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location location = location_of_keyword(frame, keyword->name);
    Evaluated *evaluated = frame->evaluated;
    bool matches;

    frame->evaluated = NULL;
    matches = evaluate_in_place(frame, keyword->nodes[0], &location);
    frame->evaluated = evaluated;
    if (matches)
        evaluate_report_error(frame, keyword->name, pstrdup("must not match the given schema"));
    return !matches;
}

static bool
evaluate_if(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location location = location_of_keyword(frame, "if");
    Said said = said_so_far(frame);
    bool matches = evaluate_in_place(frame, keyword->nodes[0], &location);
    int branch = matches ? 1 : 2;

    /* It is not an error when a condition fails. */
    if (!matches)
        take_back(frame, said);
    if (!keyword->nodes[branch])
        return true;
    location = location_of_keyword(frame, matches ? "then" : "else");
    return evaluate_in_place(frame, keyword->nodes[branch], &location);
}

const JsonSchemaNode *
json_schema_dynamic_target(const Scope *scope, const JsonSchemaKeyword *keyword)
{
    const JsonSchemaNode *target = keyword->nodes[0];

    for (; scope; scope = scope->outer) {
        ListCell *cell;

        CHECK_FOR_INTERRUPTS();
        foreach (cell, keyword->candidates->list) {
            const JsonSchemaCandidate *candidate = lfirst(cell);

            if (candidate->resource == scope->resource)
                target = candidate->node;
        }
    }
    return target;
}

static bool
evaluate_dependent(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location list = location_of_keyword(frame, keyword->name);
    bool valid = true;
    JsonValue value;

    for (int i = 0; i < keyword->n; i++) {
        JsonValue name = keyword->names[i];
        Location location = location_of_name(&list, name);

        if (!json_object_get(frame->instance, name.data, name.length, &value))
            continue;
        if (keyword->nodes[i]) {
            valid &= evaluate_in_place(frame, keyword->nodes[i], &location);
        } else if (!json_object_has_names(frame->instance, keyword->lists[i])) {
            evaluate_report_error(frame, keyword->name,
                                  json_schema_dependency_message(keyword, i, frame->instance));
            valid = false;
        }
    }
    return valid;
}

static bool
is_annotated(const Frame *frame, const JsonSchemaKeyword *keyword)
{
    JsonValue media_type;

    if (strncmp(keyword->name, "content", 7) != 0)
        return true;
    return frame->instance.kind == JSON_STRING &&
           (strcmp(keyword->name, "contentSchema") != 0 ||
            json_object_get(frame->node->source, "contentMediaType", 16, &media_type));
}

static bool
evaluate_annotation(Frame *frame, const JsonSchemaKeyword *keyword)
{
    if (evaluate_wants_annotations(frame) && is_annotated(frame, keyword))
        evaluate_report_annotation(frame, keyword->name, json_value_to_jsonb(keyword->value));
    return true;
}

static bool
evaluate_assertion(Frame *frame, const JsonSchemaKeyword *keyword)
{
    if (json_schema_assertion_holds(keyword, frame->instance)) {
        if (keyword->kind == KEYWORD_FORMAT)
            evaluate_annotation(frame, keyword);
        return true;
    }
    if (may_report(frame->evaluation))
        evaluate_report_error(frame, keyword->name,
                              json_schema_assertion_message(keyword, frame->instance));
    else
        frame->evaluation->is_cut = true;
    return false;
}

static bool
dispatch_keyword(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Location location;

    switch (keyword->kind) {
    case KEYWORD_REF:
        location = location_of_keyword(frame, keyword->name);
        return evaluate_in_place(frame, keyword->nodes[0], &location);
    case KEYWORD_DYNAMIC_REF:
        location = location_of_keyword(frame, keyword->name);
        return evaluate_in_place(frame, json_schema_dynamic_target(frame->scope, keyword),
                                 &location);
    case KEYWORD_ALL_OF:
    case KEYWORD_ANY_OF:
    case KEYWORD_ONE_OF: return evaluate_list(frame, keyword);
    case KEYWORD_NOT: return evaluate_not(frame, keyword);
    case KEYWORD_IF: return evaluate_if(frame, keyword);
    case KEYWORD_DEPENDENT_SCHEMAS:
    case KEYWORD_DEPENDENCIES: return evaluate_dependent(frame, keyword);
    case KEYWORD_ANNOTATION: return evaluate_annotation(frame, keyword);
    case APPLICATORS_TO_MEMBERS:
    case APPLICATORS_TO_ITEMS:
    case APPLICATORS_TO_UNEVALUATED: return evaluate_children(frame, keyword);
    case ASSERTIONS: return evaluate_assertion(frame, keyword);
    case COMPILED_AWAY: break;
    }
    json_schema_stray_keyword(keyword);
}

/* When a keyword holds, the errors of failing branches inside it are removed. */
static bool
evaluate_keyword(Frame *frame, const JsonSchemaKeyword *keyword)
{
    Said said = said_so_far(frame);
    bool valid = dispatch_keyword(frame, keyword);

    if (valid)
        take_back(frame, said);
    return valid;
}

/* ---- subschemas ------------------------------------------------------------------- */

static Evaluated *
new_evaluated(Frame *frame)
{
    uint32 n = json_count(frame->instance);
    uint32 n_words = n / 64 + 1;
    Size size = offsetof(Evaluated, done) + n_words * sizeof(uint64);
    Evaluated *evaluated;

    effort_spend(frame->evaluation->effort, n / MARKS_OF_STEP);
    memory_use_check(&frame->evaluation->memory, size);
    evaluated = palloc0(size);
    evaluated->n_words = n_words;
    return evaluated;
}

static bool
evaluate_keywords(Frame *frame)
{
    const JsonSchemaNode *node = frame->node;
    uint32 bit = JSON_KIND_BIT(frame->instance.kind);
    bool valid = true;

    if (node->source.kind != JSON_OBJECT) {
        if (node->source.kind == JSON_FALSE)
            evaluate_report_error(frame, NULL, pstrdup("is not allowed"));
        return node->source.kind == JSON_TRUE;
    }
    for (int i = 0; i < node->n_keywords; i++) {
        const JsonSchemaKeyword *keyword = &node->keywords[i];

        CHECK_FOR_INTERRUPTS();
        if ((keyword->applies & bit) || keyword->kind == KEYWORD_ANNOTATION)
            valid &= evaluate_keyword(frame, keyword);
    }
    return valid;
}

/*
 * Evaluates the subschema. If there is a mark list and the instance passes, marks what the
 * subschema evaluated.
 */
static bool
evaluate_node(Frame *frame, Evaluated *outer)
{
    bool is_container = frame->instance.kind >= JSON_ARRAY;
    const Scope *outer_scope = frame->scope;
    Scope scope = {outer_scope, frame->node->resource};
    bool valid;

    check_stack_depth();
    effort_spend(frame->evaluation->effort, EFFORT_OF_EVALUATION);
    if (!outer_scope || outer_scope->resource != frame->node->resource)
        frame->scope = &scope;
    frame->evaluated =
        is_container && (outer || frame->node->has_unevaluated) ? new_evaluated(frame) : NULL;
    if (frame->evaluation->flags & JSON_SCHEMA_VERBOSE)
        frame_unit(frame);
    valid = evaluate_keywords(frame);
    frame->scope = outer_scope;
    if (!valid && (frame->unit || may_report(frame->evaluation)))
        frame_unit(frame)->valid = false;
    if (valid && outer && frame->evaluated)
        for (uint32 i = 0; i < outer->n_words; i++)
            outer->done[i] |= frame->evaluated->done[i];
    if (frame->evaluated)
        pfree(frame->evaluated);
    frame->scope = scope.outer;
    return valid;
}

static bool
evaluate_below(Frame *frame, Frame *child, Evaluated *outer)
{
    bool valid = evaluate_node(child, outer);

    if (child->unit)
        frame_unit(frame)->children = lappend(frame_unit(frame)->children, child->unit);
    return valid;
}

bool
evaluate_in_place(Frame *frame, const JsonSchemaNode *node, const Location *schema_location)
{
    Frame child = *frame;

    child.node = node;
    child.schema_location = schema_location;
    child.unit = NULL;
    return evaluate_below(frame, &child, frame->evaluated);
}

bool
evaluate_part(Frame *frame, const JsonSchemaNode *node, const Location *schema_location,
              JsonValue part, const Location *instance_location)
{
    Frame child = *frame;

    child.node = node;
    child.schema_location = schema_location;
    child.instance = part;
    child.instance_location = instance_location;
    child.unit = NULL;
    return evaluate_below(frame, &child, NULL);
}

bool
json_schema_interpret(const JsonSchemaNode *node, JsonValue instance, const Scope *scope,
                      Effort *effort)
{
    Effort own = {EFFORT_OF_ONE, NULL, instance};
    Evaluation evaluation = {.effort = effort ? effort : &own, .memory = memory_use_begin()};
    Frame frame;

    memset(&frame, 0, sizeof(frame));
    frame.evaluation = &evaluation;
    frame.node = node;
    frame.instance = instance;
    frame.scope = scope;
    return evaluate_node(&frame, NULL);
}

JsonSchemaVerdict
json_schema_evaluate(const JsonSchemaProgram *program, JsonValue instance, int flags,
                     int error_limit)
{
    Effort effort = {EFFORT_OF_ONE, program, instance};
    Evaluation evaluation = {.effort = &effort,
                             .flags = flags,
                             .error_limit = error_limit,
                             .memory = memory_use_begin()};
    Frame frame;
    JsonSchemaVerdict verdict;

    memset(&frame, 0, sizeof(frame));
    frame.evaluation = &evaluation;
    frame.node = program->root;
    frame.instance = instance;
    verdict.valid = evaluate_node(&frame, NULL);
    verdict.unit = frame.unit;
    verdict.is_cut = evaluation.is_cut;
    if (evaluation.text.data)
        pfree(evaluation.text.data);
    return verdict;
}
