/*
 * cmd_stripe.c: `ctms stripe`: feeds Stripe objects from files to a function of the extension:
 * ctms.upsert_stripe() stores them, ctms.enqueue_stripe() enqueues their contacts.
 *
 * Each object is a transaction of its own, so a bad object does not prevent others from being
 * stored. An object that refers to an object that is not stored yet is tried again after the
 * others. Each commit waits for the disk: others see the object at once, and may answer by it.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/input.h"
#include "cli/json_split.h"
#include "cli/output.h"
#include "cli/progress.h"

/* An action that a function reports, and its name in the output. */
struct action {
    const char *key;
    const char *label;
};

#define ACTION_COUNT_MAX 5

static const struct action ingest_actions[] = {
    {"created", "created"}, {"updated", "updated"}, {"no_change", "unchanged"},
    {"deleted", "deleted"}, {"skipped", "skipped"}, {NULL, NULL},
};
static const struct action enqueue_actions[] = {
    {"enqueued", "enqueued"}, {"skipped", "skipped"}, {NULL, NULL}};

/* SQLSTATE of an object that refers to one that is not stored yet. */
#define STATE_REFERENCE "CTS03"
/* How often an object is tried that meets a deadlock or a serialisation failure. */
#define CONFLICT_TRIES 5
/* Limits of the objects that wait for others: their number, and the size of their text. */
#define WAITING_MAX 10000
#define WAITING_BYTES_MAX ((size_t)64 << 20)

/* An object that waits for the object to which it refers. */
struct waiting {
    struct waiting *next;
    const char *source;
    unsigned long long number;
    char text[];
};

struct ingest {
    struct cli *cli;
    const char *sql; /* statement that takes the object */
    const struct action *actions;
    bool is_quiet;
    const char *source;        /* file of the current object */
    unsigned long long number; /* of the object in its file, from 1 */
    unsigned long long objects;
    unsigned long long failed;
    unsigned long long counts[ACTION_COUNT_MAX];
    struct waiting *waiting;
    struct waiting **waiting_end;
    size_t waiting_count;
    size_t waiting_bytes;
    bool is_last_round; /* objects do not wait any more */
};

/* ---- reports ---------------------------------------------------------------- */

static void
print_line_as_json(const struct ingest *ingest, const char *key, json_t *value)
{
    json_t *line = json_pack("{s:s, s:I, s:o}", "source", ingest->source, "object",
                             (json_int_t)ingest->number, key, value);

    if (line)
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

static void
take_report(struct ingest *ingest, const char *text)
{
    json_t *report = json_loads(text, 0, NULL);

    for (size_t i = 0; ingest->actions[i].key; i++)
        ingest->counts[i] += json_array_size(json_object_get(report, ingest->actions[i].key));
    if (ingest->is_quiet) {
        json_decref(report);
        return;
    }
    if (ingest->cli->is_json) {
        print_line_as_json(ingest, "report", report ? report : json_null());
        return;
    }
    output_text(stdout, ingest->source);
    printf(" %llu: ", ingest->number);
    print_report(ingest->actions, report);
    json_decref(report);
}

static void
take_error(struct ingest *ingest, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    ingest->failed++;
    progress_clear();
    if (ingest->cli->is_json)
        print_line_as_json(ingest, "error",
                           json_pack("{s:s?, s:s?}", "state", state, "message", message));
    fflush(stdout);
    fputs("ctms: ", stderr);
    output_text(stderr, ingest->source);
    fprintf(stderr, ", object %llu:\n", ingest->number);
    database_report(ingest->cli, result, NULL);
    if (ingest->cli->status != CLI_UNAVAILABLE)
        ingest->cli->status = CLI_FAILED;
}

static void
print_summary(const struct ingest *ingest)
{
    if (ingest->cli->is_json) {
        printf("{\"summary\": {\"objects\": %llu", ingest->objects);
        for (size_t i = 0; ingest->actions[i].key; i++)
            printf(", \"%s\": %llu", ingest->actions[i].key, ingest->counts[i]);
        printf(", \"failed\": %llu}}\n", ingest->failed);
        return;
    }
    printf("%llu object%s:", ingest->objects, ingest->objects == 1 ? "" : "s");
    for (size_t i = 0; ingest->actions[i].key; i++)
        printf(" %llu %s,", ingest->counts[i], ingest->actions[i].label);
    printf(" %llu failed\n", ingest->failed);
}

/* ---- objects ------------------------------------------------------------------ */

/* False when too many objects wait already. */
static bool
make_wait(struct ingest *ingest, const char *text)
{
    size_t size = strlen(text) + 1;
    struct waiting *entry;

    if (ingest->is_last_round || ingest->waiting_count >= WAITING_MAX ||
        ingest->waiting_bytes + size > WAITING_BYTES_MAX)
        return false;
    entry = malloc(sizeof(*entry) + size);
    if (!entry)
        return false;
    entry->next = NULL;
    entry->source = ingest->source;
    entry->number = ingest->number;
    memcpy(entry->text, text, size);
    *ingest->waiting_end = entry;
    ingest->waiting_end = &entry->next;
    ingest->waiting_count++;
    ingest->waiting_bytes += size;
    return true;
}

static PGresult *
call(struct ingest *ingest, const char *text)
{
    const char *parameters[] = {text};

    for (int tries = 1;; tries++) {
        PGresult *result = database_try_query(ingest->cli, ingest->sql, 1, parameters);

        if (tries == CONFLICT_TRIES ||
            !(database_is_state(result, "40001") || database_is_state(result, "40P01")))
            return result;
        PQclear(result);
    }
}

/* False when the database is away, so that it is useless to continue. */
static bool
ingest_object(struct ingest *ingest, const char *text)
{
    PGresult *result = call(ingest, text);

    if (database_is_ok(result))
        take_report(ingest, PQgetvalue(result, 0, 0));
    else if (!database_is_state(result, STATE_REFERENCE) || !make_wait(ingest, text))
        take_error(ingest, result);
    PQclear(result);
    return ingest->cli->status != CLI_UNAVAILABLE;
}

/* No progress is shown when the terminal shows the reports of all objects. */
static void
show_progress(const struct ingest *ingest, FILE *file)
{
    struct stat status;
    off_t place = ftello(file);

    if (!ingest->is_quiet && isatty(STDOUT_FILENO))
        return;
    if (place > 0 && fstat(fileno(file), &status) == 0 && status.st_size > 0)
        progress_show("%s: %llu objects, %d %%", ingest->source, ingest->number,
                      (int)(100 * place / status.st_size));
    else
        progress_show("%s: %llu objects", ingest->source, ingest->number);
}

static bool
ingest_file(struct ingest *ingest, const char *path)
{
    struct json_split split;
    enum json_split_result found;
    bool is_going = true;
    FILE *file = input_open(ingest->cli, path);

    if (!file) {
        ingest->failed++;
        return true;
    }
    ingest->source = path;
    ingest->number = 0;
    json_split_init(&split, file);
    while (is_going && (found = json_split_next(&split)) == JSON_SPLIT_OBJECT) {
        ingest->number++;
        ingest->objects++;
        is_going = ingest_object(ingest, split.text);
        show_progress(ingest, file);
    }
    progress_clear();
    if (is_going && found == JSON_SPLIT_INVALID) {
        ingest->failed++;
        output_error(ingest->cli, CLI_FAILED, "%s: %s", path, split.error);
    }
    json_split_free(&split);
    input_close(file);
    return is_going;
}

/* Tries all waiting objects once. */
static bool
ingest_waiting(struct ingest *ingest)
{
    struct waiting *entry = ingest->waiting;
    bool is_going = true;

    ingest->waiting = NULL;
    ingest->waiting_end = &ingest->waiting;
    ingest->waiting_count = 0;
    ingest->waiting_bytes = 0;
    while (entry) {
        struct waiting *next = entry->next;

        ingest->source = entry->source;
        ingest->number = entry->number;
        is_going = is_going && ingest_object(ingest, entry->text);
        free(entry);
        entry = next;
    }
    return is_going;
}

/* Counts objects as failed that still waited when the database went away. */
static void
give_up_waiting(struct ingest *ingest)
{
    while (ingest->waiting) {
        struct waiting *next = ingest->waiting->next;

        ingest->failed++;
        free(ingest->waiting);
        ingest->waiting = next;
    }
}

static int
run(struct cli *cli, const char *sql, const struct action *actions)
{
    struct ingest ingest = {.cli = cli,
                            .sql = sql,
                            .actions = actions,
                            .is_quiet = cli_get_option(cli, "quiet") != NULL,
                            .waiting_end = &ingest.waiting};
    bool is_going = true;

    for (int i = 0; i < cli->argument_count && is_going; i++)
        is_going = ingest_file(&ingest, cli->arguments[i]);
    while (is_going && ingest.waiting) {
        size_t before = ingest.waiting_count;

        is_going = ingest_waiting(&ingest);
        /* If a round stored no object, the next one reports the errors. */
        ingest.is_last_round = ingest.waiting_count == before;
    }
    give_up_waiting(&ingest);
    print_summary(&ingest);
    return cli->status;
}

static int
run_ingest(struct cli *cli)
{
    return run(cli, "SELECT ctms.upsert_stripe($1::jsonb)", ingest_actions);
}

static int
run_enqueue(struct cli *cli)
{
    return run(cli, "SELECT ctms.enqueue_stripe($1::jsonb)", enqueue_actions);
}

static const struct cli_option stripe_options[] = {
    {"quiet", 'q', NULL, "report only failures and the sum"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_stripe[] = {
    {
        .verb = "ingest",
        .arguments = "FILE...",
        .summary = "store Stripe objects from files",
        .text =
            "A FILE holds an object as Stripe's API renders it, a list of them, or one a line;\n"
            "\"-\" is standard input. Each object is stored by itself. Storing the same\n"
            "content again changes nothing. Objects may come in any order.",
        .options = stripe_options,
        .min_arguments = 1,
        .max_arguments = -1,
        .run = run_ingest,
    },
    {
        .verb = "enqueue",
        .arguments = "FILE...",
        .summary = "send the contacts of Stripe objects to Acoustic",
        .text =
            "Reads files like \"ctms stripe ingest\", but stores nothing. The contacts that the\n"
            "objects concern are found by the stored objects, and are enqueued as if they had\n"
            "changed. Objects that lead to no contact are skipped. A price concerns every contact\n"
            "that subscribes to it.",
        .options = stripe_options,
        .min_arguments = 1,
        .max_arguments = -1,
        .run = run_enqueue,
    },
    {.verb = NULL},
};
