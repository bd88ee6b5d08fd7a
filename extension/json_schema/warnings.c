/*
 * json_schema/warnings.c: finds keywords that do nothing, because the dialect does not have them,
 * or because neither it nor the options ask for them to be checked, as "format". They are allowed,
 * but most are slips of the pen, or believed to refuse something.
 *
 * A keyword is known if it has a rule in the dialect, or if the metaschema names it. Names that
 * begin with "x-" are for everybody's own use. Only schemas are looked at, not values such as that
 * of "const".
 */
#include "extension/base/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/varlena.h"

#include "extension/json/pointer.h"
#include "extension/json_schema/internal.h"

/* The most keywords that are named. */
#define MAX_WARNINGS 20
/* Longer names have no suggestion, and are cut in messages. */
#define MAX_NAME_LENGTH 64
/* The most characters that a name may differ from what is suggested. */
#define MAX_DISTANCE 3

/* ---- the names that a metaschema knows ------------------------------------------------ */

/* A name, or a pattern of names. Called for each until it returns true. */
typedef bool (*NameVisitor)(const JsonSchemaKeyword *keyword, void *arg);

/*
 * Visits "properties" and "patternProperties" of all schemas that the metaschema applies to a
 * schema itself.
 */
static bool
visit_names(const JsonSchemaProgram *metaschema, NameVisitor visitor, void *arg)
{
    List *nodes = list_make1(metaschema->root);

    for (int i = 0; i < list_length(nodes); i++) {
        const JsonSchemaNode *node = list_nth(nodes, i);

        CHECK_FOR_INTERRUPTS();
        for (int k = 0; k < node->n_keywords; k++) {
            const JsonSchemaKeyword *keyword = &node->keywords[k];

            if ((keyword->kind == KEYWORD_PROPERTIES ||
                 keyword->kind == KEYWORD_PATTERN_PROPERTIES) &&
                visitor(keyword, arg))
                return true;
            for (int c = 0; c < json_schema_count_in_place(keyword); c++)
                nodes = list_append_unique_ptr(nodes, keyword->nodes[c]);
        }
    }
    return false;
}

static bool
has_name(const JsonSchemaKeyword *keyword, void *arg)
{
    const JsonValue *name = arg;

    return keyword->kind == KEYWORD_PROPERTIES ? json_schema_index_of_name(keyword, *name) >= 0
                                               : json_schema_matches_pattern(keyword, *name);
}

/* ---- suggestions ----------------------------------------------------------------------- */

typedef struct Suggestion {
    const JsonSchemaDialect *dialect;
    char name[MAX_NAME_LENGTH + 1]; /* in lower case */
    const char *nearest;
    int distance;
} Suggestion;

static void
consider(Suggestion *suggestion, JsonValue known)
{
    char lower[MAX_NAME_LENGTH + 1];
    int length = (int)strlen(suggestion->name);
    int distance;

    if (known.length > MAX_NAME_LENGTH ||
        (json_schema_has_rule(known) && !json_schema_find_rule(suggestion->dialect, known)))
        return;
    for (uint32 i = 0; i < known.length; i++)
        lower[i] = (char)pg_ascii_tolower((unsigned char)known.data[i]);
    distance = varstr_levenshtein_less_equal(suggestion->name, length, lower, (int)known.length, 1,
                                             1, 1, suggestion->distance, true);
    if (distance < suggestion->distance) {
        suggestion->distance = distance;
        suggestion->nearest = json_string_copy(known);
    }
}

static bool
consider_names(const JsonSchemaKeyword *keyword, void *arg)
{
    for (int i = 0; keyword->kind == KEYWORD_PROPERTIES && i < keyword->n; i++)
        consider(arg, keyword->names[i]);
    return false;
}

static bool
is_id(JsonValue name)
{
    return json_string_equals(name, "id") || json_string_equals(name, "$id");
}

/* The known name that is nearest; NULL when none is near. */
static const char *
suggest(const JsonSchemaDialect *dialect, const JsonSchemaProgram *metaschema, JsonValue name)
{
    Suggestion suggestion = {.dialect = dialect};

    /* A keyword of another draft is no slip of the pen, but for "id" and "$id". */
    if (name.length > MAX_NAME_LENGTH || (json_schema_has_rule(name) && !is_id(name)))
        return NULL;
    for (uint32 i = 0; i < name.length; i++)
        suggestion.name[i] = (char)pg_ascii_tolower((unsigned char)name.data[i]);
    /* One more than is allowed: a third of the name, but at least one character. */
    suggestion.distance = Min(Max((int)name.length / 3, 1), MAX_DISTANCE) + 1;
    for (int i = 0; json_schema_rule_name(i).data; i++)
        consider(&suggestion, json_schema_rule_name(i));
    visit_names(metaschema, consider_names, &suggestion);
    return suggestion.nearest;
}

/* ---- warnings --------------------------------------------------------------------------- */

typedef struct Warnings {
    JsonSchemaCompile compile;
    const char *begin; /* bytes of the schema: other documents are not looked at */
    const char *end;
    List *list;
    int64 n_more;
} Warnings;

static bool
is_of_some_draft(Warnings *warnings, JsonValue name)
{
    int draft;

    if (json_schema_has_rule(name))
        return true;
    for (int i = 0; (draft = json_schema_draft_at(i)) != 0; i++) {
        JsonSchemaDialect dialect = json_schema_draft_dialect(draft);

        if (visit_names(json_schema_metaschema(&warnings->compile, &dialect), has_name, &name))
            return true;
    }
    return false;
}

/* A schema in its document: a JSON Pointer, after the URI of an embedded resource. */
static char *
place_text(const Warnings *warnings, const JsonSchemaPlace *place)
{
    char *pointer = json_schema_pointer_text(place->pointer);

    if (place->resource->root.data != warnings->begin)
        return psprintf("%s#%s", place->resource->uri, pointer);
    return *pointer ? pointer : "/";
}

static char *
warning_text(Warnings *warnings, const JsonSchemaPlace *place, JsonValue name,
             const char *suggestion)
{
    const JsonSchemaDialect *dialect = &place->resource->dialect;
    const char *where = place_text(warnings, place);
    int length = pg_mbcliplen(name.data, (int)name.length, MAX_NAME_LENGTH);
    bool is_elsewhere = is_of_some_draft(warnings, name);
    StringInfoData text;

    initStringInfo(&text);
    appendStringInfo(&text, is_elsewhere ? "\"%.*s\" at %s" : "unknown keyword \"%.*s\" at %s",
                     length, name.data, where);
    if (is_elsewhere && dialect->metaschema)
        appendStringInfoString(&text, " is not a keyword of this dialect");
    else if (is_elsewhere)
        appendStringInfo(&text, " is not a keyword of this draft (%s)",
                         json_schema_draft_name(dialect->draft));
    else if (!suggestion)
        appendStringInfoString(&text, " does nothing");
    if (suggestion)
        appendStringInfo(&text, "; did you mean \"%s\"?", suggestion);
    return text.data;
}

static bool
is_known(const JsonSchemaDialect *dialect, const JsonSchemaProgram *metaschema, JsonValue name)
{
    if (json_schema_has_rule(name))
        return json_schema_find_rule(dialect, name) != NULL ||
               (dialect->metaschema && visit_names(metaschema, has_name, &name));
    return (name.length >= 2 && memcmp(name.data, "x-", 2) == 0) ||
           visit_names(metaschema, has_name, &name);
}

/* A keyword that reads as if it refused values, but is a note here. */
static bool
is_unchecked(const Warnings *warnings, const JsonSchemaDialect *dialect, JsonValue name)
{
    int asserts = warnings->compile.options.asserts;

    if (json_string_equals(name, "format"))
        return !(asserts & JSON_SCHEMA_ASSERT_FORMATS) &&
               !(dialect->vocabularies & VOCABULARY_FORMAT_ASSERTION);
    return (json_string_equals(name, "contentEncoding") ||
            json_string_equals(name, "contentMediaType")) &&
           !(asserts & JSON_SCHEMA_ASSERT_CONTENT);
}

static void
warn(Warnings *warnings, const JsonSchemaPlace *place, const JsonSchemaProgram *metaschema,
     JsonValue name)
{
    JsonSchemaWarning *warning;
    StringInfoData location;

    if (list_length(warnings->list) == MAX_WARNINGS) {
        warnings->n_more++;
        return;
    }
    initStringInfo(&location);
    appendStringInfo(&location, "%s#%s", place->resource->uri,
                     json_schema_pointer_text(place->pointer));
    json_pointer_append(&location, name.data, name.length);
    warning = palloc(sizeof(JsonSchemaWarning));
    warning->location = location.data;
    warning->keyword = json_string_copy(name);
    if (is_known(&place->resource->dialect, metaschema, name)) {
        warning->suggestion = NULL;
        warning->text =
            psprintf("\"%s\" at %s is not checked", warning->keyword, place_text(warnings, place));
    } else {
        warning->suggestion = suggest(&place->resource->dialect, metaschema, name);
        warning->text = warning_text(warnings, place, name, warning->suggestion);
    }
    warnings->list = lappend(warnings->list, warning);
}

static void
look_at(Warnings *warnings, const JsonSchemaPlace *place)
{
    const JsonSchemaDialect *dialect = &place->resource->dialect;
    const JsonSchemaProgram *metaschema;
    JsonWalk names;
    JsonWalk values;

    if (place->schema.data < warnings->begin || place->schema.data >= warnings->end)
        return;
    metaschema = json_schema_metaschema(&warnings->compile, dialect);
    if (!metaschema)
        return;
    json_walk_object(place->schema, &names, &values);
    while (!json_walk_ended(&names)) {
        JsonValue name = json_walk_next(&names);

        CHECK_FOR_INTERRUPTS();
        if (!is_known(dialect, metaschema, name) || is_unchecked(warnings, dialect, name))
            warn(warnings, place, metaschema, name);
    }
}

static void
say_how_many_more(Warnings *warnings)
{
    JsonSchemaWarning *warning = palloc0(sizeof(JsonSchemaWarning));

    warning->text = psprintf("and " INT64_FORMAT " more", warnings->n_more);
    warnings->list = lappend(warnings->list, warning);
}

List *
json_schema_find_warnings(const Jsonb *schema, const JsonSchemaOptions *options)
{
    Warnings warnings;
    const JsonSchemaResource *root;
    ListCell *cell;

    memset(&warnings, 0, sizeof(warnings));
    warnings.compile.collects = true;
    warnings.compile.keeps_visited = true;
    root = json_schema_begin(&warnings.compile, "", schema, options, CurrentMemoryContext);
    warnings.begin = root->root.data;
    warnings.end = warnings.begin + VARSIZE(schema);
    foreach (cell, warnings.compile.visited)
        look_at(&warnings, lfirst(cell));
    if (warnings.n_more > 0)
        say_how_many_more(&warnings);
    return warnings.list;
}
