/* cmd_stripe_report.c: what `ctms stripe` tells of each object, and the sum; see cmd_stripe.h. */
#include "cli/cmd_stripe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"

/* Of types that ctms does not use, as many are named; objects of others are counted together. */
#define UNUSED_TYPES_MAX 100
#define OTHER_TYPES "other types"

static void
print_line_as_json(const struct ingest *ingest, const char *key, json_t *value)
{
    json_t *line =
        json_pack("{s:s, s:I}", "source", ingest->source, "object", (json_int_t)ingest->number);

    if (ingest->path[0])
        json_object_set_new(line, "path", json_string(ingest->path));
    json_object_set_new(line, key, value);
    output_json_value(line);
    json_decref(line);
}

static void
print_report(const struct action *actions, const json_t *report)
{
    const char *separator = "";

    for (size_t i = 0; actions[i].key; i++) {
        const json_t *list = json_object_get(report, actions[i].key);
        size_t place;
        json_t *name;

        if (json_array_size(list) == 0)
            continue;
        printf("%s%s", separator, actions[i].label);
        separator = "; ";
        json_array_foreach(list, place, name)
        {
            fputs(place > 0 ? ", " : " ", stdout);
            output_text(stdout, json_string_value(name) ? json_string_value(name) : "?");
        }
    }
    if (json_array_size(json_object_get(report, "fxa_id_conflict")) > 0)
        printf("%sits FxA ID was that of another customer", separator);
    putchar('\n');
}

/* "mandate:m_1" counts for "mandate". */
static void
count_unused_types(json_t *types, const json_t *report)
{
    json_t *names = json_object_get(json_object_get(report, "skip_reasons"), "unused_type");
    size_t place;
    json_t *name;

    json_array_foreach(names, place, name)
    {
        const char *text = json_string_value(name);
        char *type = text ? strndup(text, strcspn(text, ":")) : NULL;
        const char *key = type ? type : "?";

        if (!json_object_get(types, key) && json_object_size(types) >= UNUSED_TYPES_MAX)
            key = OTHER_TYPES;
        json_object_set_new(types, key,
                            json_integer(json_integer_value(json_object_get(types, key)) + 1));
        free(type);
    }
}

/* "FILE, object 3, data[1]:" */
static void
print_place(const struct ingest *ingest)
{
    progress_clear();
    fflush(stdout);
    fputs("ctms: ", stderr);
    output_text(stderr, ingest->source);
    fprintf(stderr, ", object %llu%s%s:", ingest->number, ingest->path[0] ? ", " : "",
            ingest->path);
}

/* What an object lacks, such as pages of a list in it. */
static void
print_warnings(const struct ingest *ingest, const json_t *report)
{
    size_t place;
    json_t *warning;

    json_array_foreach(json_object_get(report, "warnings"), place, warning)
    {
        print_place(ingest);
        fputc(' ', stderr);
        output_text(stderr, json_string_value(warning) ? json_string_value(warning) : "?");
        fputc('\n', stderr);
    }
}

void
cmd_stripe_take_report(struct ingest *ingest, json_t *report)
{
    for (size_t i = 0; ingest->actions[i].key; i++)
        ingest->counts[i] += json_array_size(json_object_get(report, ingest->actions[i].key));
    count_unused_types(ingest->unused_types, report);
    print_warnings(ingest, report);
    if (ingest->is_quiet)
        return;
    if (ingest->cli->is_json) {
        print_line_as_json(ingest, "report", report ? json_incref(report) : json_null());
        return;
    }
    output_text(stdout, ingest->source);
    printf(" %llu%s%s: ", ingest->number, ingest->path[0] ? " " : "", ingest->path);
    print_report(ingest->actions, report);
}

void
cmd_stripe_take_error(struct ingest *ingest, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    ingest->failed++;
    if (ingest->cli->is_json)
        print_line_as_json(ingest, "error",
                           json_pack("{s:s?, s:s?}", "state", state, "message", message));
    print_place(ingest);
    fputc('\n', stderr);
    database_report(ingest->cli, result, NULL);
    if (ingest->cli->status != CLI_UNAVAILABLE)
        ingest->cli->status = CLI_FAILED;
}

void
cmd_stripe_warn_of_more(const struct ingest *ingest)
{
    print_place(ingest);
    fputs(" the list has more pages, which are not in the file\n", stderr);
}

void
cmd_stripe_print_summary(const struct ingest *ingest)
{
    bool is_first = true;
    const char *type;
    json_t *count;

    if (ingest->cli->is_json) {
        printf("{\"summary\": {\"objects\": %llu", ingest->objects);
        for (size_t i = 0; ingest->actions[i].key; i++)
            printf(", \"%s\": %llu", ingest->actions[i].key, ingest->counts[i]);
        printf(", \"failed\": %llu, \"unused_types\": ", ingest->failed);
        json_dumpf(ingest->unused_types, stdout, 0);
        puts("}}");
        return;
    }
    printf("%llu object%s:", ingest->objects, ingest->objects == 1 ? "" : "s");
    for (size_t i = 0; ingest->actions[i].key; i++)
        printf(" %llu %s,", ingest->counts[i], ingest->actions[i].label);
    printf(" %llu failed\n", ingest->failed);
    json_object_foreach(ingest->unused_types, type, count)
    {
        printf("%s", is_first ? "of types that ctms does not use: " : ", ");
        output_text(stdout, type);
        printf(" %lld", (long long)json_integer_value(count));
        is_first = false;
    }
    if (!is_first)
        putchar('\n');
}
