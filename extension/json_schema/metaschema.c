/*
 * json_schema/metaschema.c: whether schemas are valid under their metaschemas.
 *
 * While documents are indexed, what must be checked is put on a list (json_schema/node.c): the
 * schema itself; documents that say that they are schemas; parts that have a metaschema of their
 * own; and what a reference takes for a schema. When all nodes are compiled, the metaschemas are
 * asked. Compiling finds most mistakes first, and says more clearly what is wrong with them.
 *
 * Built-in metaschemas are compiled once for each session.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/json/pointer.h"
#include "extension/json_schema/internal.h"

/* The most errors that are asked for about one schema. */
#define MAX_ERRORS 1000

/* ---- copies without what is checked apart ---------------------------------------- */

static JsonbValue *push_copy(const JsonSchemaCompile *compile, JsonbParseState **state,
                             JsonbIteratorToken token, JsonValue value);

/* A member or an item. */
static void
push_part(const JsonSchemaCompile *compile, JsonbParseState **state, JsonbIteratorToken token,
          JsonValue value)
{
    CHECK_FOR_INTERRUPTS();
    if (json_schema_is_apart(compile, value)) {
        pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
        pushJsonbValue(state, WJB_END_OBJECT, NULL);
    } else {
        (void)push_copy(compile, state, token, value);
    }
}

static JsonbValue *
push_object(const JsonSchemaCompile *compile, JsonbParseState **state, JsonValue object)
{
    JsonWalk names;
    JsonWalk values;

    pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
    json_walk_object(object, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonbValue name = json_value_part(json_walk_next(&names));

        pushJsonbValue(state, WJB_KEY, &name);
        push_part(compile, state, WJB_VALUE, json_walk_next(&values));
    }
    return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static JsonbValue *
push_copy(const JsonSchemaCompile *compile, JsonbParseState **state, JsonbIteratorToken token,
          JsonValue value)
{
    JsonbValue part;
    JsonWalk walk;

    check_stack_depth();
    if (value.kind == JSON_OBJECT)
        return push_object(compile, state, value);
    if (value.kind != JSON_ARRAY) {
        part = json_value_part(value);
        return pushJsonbValue(state, token, &part);
    }
    pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
    walk = json_walk_array(value);
    while (!json_walk_ended(&walk))
        push_part(compile, state, WJB_ELEM, json_walk_next(&walk));
    return pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The schema, with an empty schema for each part that is checked apart. */
static JsonValue
without_cuts(const JsonSchemaCompile *compile, JsonValue schema)
{
    JsonbParseState *state = NULL;

    if (schema.kind != JSON_OBJECT || !compile->cuts)
        return schema;
    return json_value_of_jsonb(JsonbValueToJsonb(push_copy(compile, &state, WJB_ELEM, schema)));
}

/* ---- metaschemas ------------------------------------------------------------------- */

static const JsonSchemaProgram *
built_in(int draft)
{
    static const JsonSchemaProgram *programs[JSON_SCHEMA_DRAFTS];
    JsonSchemaOptions options = {.draft = draft, .is_stored = true};
    const char *uri = json_schema_draft_uri(draft);
    int i = 0;

    while (json_schema_draft_at(i) != draft)
        i++;
    if (!programs[i])
        programs[i] = json_schema_compile_at(uri, json_schema_builtin_document(uri), &options, NULL,
                                             TopMemoryContext, NULL);
    return programs[i];
}

const JsonSchemaProgram *
json_schema_metaschema(JsonSchemaCompile *compile, const JsonSchemaDialect *dialect)
{
    JsonSchemaResource *metaschema = dialect->metaschema;
    JsonSchemaOptions options = {
        .draft = dialect->draft, .loader = compile->options.loader, .is_stored = true};
    const JsonSchemaProblem *problem;
    List *problems;

    if (!metaschema)
        return built_in(dialect->draft);
    if (metaschema->program || metaschema->is_unusable)
        return metaschema->program;
    metaschema->program =
        json_schema_compile_at(metaschema->retrieval_uri, json_value_to_jsonb(metaschema->root),
                               &options, NULL, compile->scratch, &problems);
    if (metaschema->program)
        return metaschema->program;
    metaschema->is_unusable = true;
    problem = linitial(problems);
    json_schema_problem(compile, metaschema, NULL, NULL, "the metaschema cannot be used: %s at %s",
                        problem->message, problem->location);
    return NULL;
}

/* ---- reporting ---------------------------------------------------------------------- */

/* What the place of an error is in the terms of the schema. */
typedef struct ErrorPlace {
    const JsonSchemaResource *resource;
    const JsonSchemaPointer *pointer; /* in the resource */
    char *keyword;                    /* the keyword that the place is in; NULL: a schema itself */
    bool is_keyword;                  /* the place is all of the keyword */
} ErrorPlace;

static ErrorPlace
find_place(const JsonSchemaCompile *compile, const JsonSchemaPlace *from, const char *pointer)
{
    ErrorPlace place = {from->resource, from->pointer, NULL, false};
    JsonSchemaLevel level = LEVEL_SCHEMA;
    JsonValue value = from->schema;
    StringInfoData text;

    initStringInfo(&text);
    while (json_pointer_next(&pointer, &text)) {
        JsonValue token = {pnstrdup(text.data, text.len), text.len, JSON_STRING};
        const JsonSchemaResource *inner;

        place.is_keyword = level == LEVEL_SCHEMA;
        if (level == LEVEL_SCHEMA)
            place.keyword = (char *)token.data;
        if (value.kind == JSON_ARRAY)
            value = json_array_item(value, (uint32)json_pointer_index(token.data));
        else if (!json_object_get(value, token.data, token.length, &value))
            break;
        place.pointer = json_schema_child_pointer(place.pointer, NULL, &token, -1);
        level = json_schema_level_below(&place.resource->dialect, level, token, value);
        if (level == LEVEL_SCHEMA &&
            (value.kind == JSON_OBJECT || value.kind == JSON_TRUE || value.kind == JSON_FALSE))
            place.keyword = NULL;
        if ((inner = json_schema_root_at(compile, value))) {
            place.resource = inner;
            place.pointer = NULL;
        }
    }
    return place;
}

/* Whether the place is one of those listed before, or inside one of them. */
static bool
is_reported(const JsonSchemaCompile *compile, int n_problems, const char *location)
{
    for (int i = 0; i < n_problems; i++) {
        const JsonSchemaProblem *problem = list_nth(compile->problems, i);
        size_t length = strlen(problem->location);

        if (strncmp(problem->location, location, length) == 0 &&
            (location[length] == '/' || location[length] == '\0'))
            return true;
    }
    return false;
}

static void
report(JsonSchemaCompile *compile, const JsonSchemaPlace *from, const JsonSchemaError *error,
       int n_problems)
{
    ErrorPlace place = find_place(compile, from, error->instance_location);
    char *location =
        psprintf("%s#%s", place.resource->uri, json_schema_pointer_text(place.pointer));

    if (is_reported(compile, n_problems, location))
        return;
    if (place.keyword && place.is_keyword && place.pointer)
        json_schema_problem(compile, place.resource, place.pointer->parent, place.keyword,
                            "keyword \"%s\" %s", place.keyword, error->message);
    else if (place.keyword)
        json_schema_problem(compile, place.resource, place.pointer, NULL, "in keyword \"%s\": %s",
                            place.keyword, error->message);
    else
        json_schema_problem(compile, place.resource, place.pointer, NULL, "a schema %s",
                            error->message);
}

/*
 * A value that may be of several types fails in all alternatives. What counts then is what is wrong
 * with it in the alternative that is for its type; that it is of no other type says nothing.
 */
static bool
is_vague(const JsonSchemaError *error)
{
    return strcmp(error->keyword, "type") == 0 || strcmp(error->keyword, "enum") == 0 ||
           strcmp(error->keyword, "anyOf") == 0;
}

/* Whether the place "other" is the place, or inside it. Long places mostly differ at their end. */
static bool
is_inside(const char *place, size_t length, const char *other, size_t other_length)
{
    size_t tail = Min(length, 16);

    return other_length >= length && (other[length] == '/' || other[length] == '\0') &&
           memcmp(place + length - tail, other + length - tail, tail) == 0 &&
           memcmp(place, other, length) == 0;
}

/* Whether another error of the list says more about the same place than number "index". */
static bool
is_explained(List *errors, const size_t *lengths, int index)
{
    const JsonSchemaError *error = list_nth(errors, index);

    if (!is_vague(error))
        return false;
    for (int i = 0; i < list_length(errors); i++) {
        const JsonSchemaError *other = list_nth(errors, i);

        CHECK_FOR_INTERRUPTS();
        if ((!is_vague(other) || i < index) && is_inside(error->instance_location, lengths[index],
                                                         other->instance_location, lengths[i]))
            return true;
    }
    return false;
}

static void
report_all(JsonSchemaCompile *compile, const JsonSchemaPlace *place, List *errors)
{
    int n_problems = list_length(compile->problems);
    size_t *lengths = palloc(sizeof(size_t) * Max(list_length(errors), 1));

    for (int i = 0; i < list_length(errors); i++)
        lengths[i] = strlen(((const JsonSchemaError *)list_nth(errors, i))->instance_location);
    for (int i = 0; i < list_length(errors); i++)
        if (!is_explained(errors, lengths, i))
            report(compile, place, list_nth(errors, i), n_problems);
}

static void
ask_about(JsonSchemaCompile *compile, const JsonSchemaPlace *place)
{
    const JsonSchemaProgram *program = json_schema_metaschema(compile, &place->resource->dialect);
    JsonSchemaVerdict verdict;
    JsonValue schema;

    if (!program)
        return;
    schema = without_cuts(compile, place->schema);
    if (json_schema_run(program, schema))
        return;
    verdict = json_schema_evaluate(program, schema, 0, MAX_ERRORS);
    report_all(compile, place, json_schema_flatten_errors(&verdict));
    if (!compile->problems)
        json_schema_problem(compile, place->resource, place->pointer, NULL,
                            "a schema must be valid under its metaschema");
    if (verdict.is_cut)
        json_schema_more_problems(compile);
}

static void
ask_metaschemas(JsonSchemaCompile *compile)
{
    MemoryContext caller = MemoryContextSwitchTo(compile->scratch);
    ListCell *cell;

    foreach (cell, compile->to_check) {
        CHECK_FOR_INTERRUPTS();
        ask_about(compile, lfirst(cell));
    }
    MemoryContextSwitchTo(caller);
}

/* ---- schemas and documents --------------------------------------------------------- */

JsonSchemaProgram *
json_schema_compile(const Jsonb *schema, const JsonSchemaOptions *options, MemoryContext parent,
                    List **problems)
{
    return json_schema_compile_at("", schema, options, ask_metaschemas, parent, problems);
}

static bool
accepts_document(const char *uri, const Jsonb *document, int draft, JsonSchemaLoader loader,
                 bool collects)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "JSON Schema document", ALLOCSET_DEFAULT_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(context);
    JsonSchemaOptions options = {.draft = draft, .loader = loader};
    JsonSchemaCompile compile;
    bool is_accepted;

    memset(&compile, 0, sizeof(compile));
    compile.collects = collects;
    (void)json_schema_begin(&compile, uri, document, &options, context);
    ask_metaschemas(&compile);
    is_accepted = compile.problems == NIL || compile.lacks_dialect;
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(context);
    return is_accepted;
}

void
json_schema_check_document(const char *uri, const Jsonb *document, JsonSchemaLoader loader)
{
    int draft;

    for (int i = 0; (draft = json_schema_draft_at(i)) != 0; i++)
        if (accepts_document(uri, document, draft, loader, true))
            return;
    (void)accepts_document(uri, document, 0, loader, false);
}
