/*
 * cmd_stripe.c: `ctms stripe`: feeds Stripe objects from files to functions of the extension:
 * ctms.upsert_stripe_list() and ctms.upsert_stripe() store them, ctms.enqueue_stripe() enqueues
 * their contacts, ctms.unwrap_stripe() takes the objects out of a Stripe list.
 *
 * Each commit waits for the disk, because others see the objects at once, and may answer by them.
 * So objects are stored many in a transaction. Those that the list function leaves out are stored
 * by themselves, and so are all of a list that fails: a bad object does not prevent others from
 * being stored. An object that refers to an object that is not stored yet is tried again after the
 * others.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cmd_stripe.h"
#include "cli/cmd_stripe_refused.h"
#include "cli/database.h"
#include "cli/input.h"
#include "cli/json_split.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

static const struct action ingest_actions[] = {
    {"created", "created"}, {"updated", "updated"}, {"no_change", "unchanged"},
    {"deleted", "deleted"}, {"skipped", "skipped"}, {NULL, NULL},
};
static const struct action enqueue_actions[] = {
    {"enqueued", "enqueued"}, {"skipped", "skipped"}, {NULL, NULL}};

/* SQLSTATE of an object that refers to one that is not stored yet. */
#define STATE_REFERENCE "CTS03"
/* Limits of the objects that wait for others: their number, and the size of their text. */
#define WAITING_MAX 10000
#define WAITING_BYTES_MAX ((size_t)64 << 20)
/* Limits of the objects of a transaction. One that is larger is stored by itself. */
#define BATCH_MAX 100
#define BATCH_BYTES_MAX ((size_t)1 << 20)

/* ---- objects ------------------------------------------------------------------ */

static void
list_init(struct object_list *list)
{
    *list = (struct object_list){.end = &list->first};
}

static void
list_add(struct object_list *list, struct object *object)
{
    object->next = NULL;
    *list->end = object;
    list->end = &object->next;
    list->count++;
    list->bytes += object->length;
}

/* Takes the first object out of the list. There must be one. */
static struct object *
list_take(struct object_list *list)
{
    struct object *object = list->first;

    list->first = object->next;
    if (!list->first)
        list->end = &list->first;
    list->count--;
    list->bytes -= object->length;
    return object;
}

/* Puts objects in front of a list, which takes them all. */
static void
list_put_first(struct object_list *list, struct object_list *first)
{
    if (!first->first)
        return;
    *first->end = list->first;
    if (!list->first)
        list->end = first->end;
    list->first = first->first;
    list->count += first->count;
    list->bytes += first->bytes;
}

/* Makes an object the current one. */
static void
set_current(struct ingest *ingest, const struct object *object)
{
    ingest->source = object->source;
    ingest->number = object->number;
    ingest->path = object->path;
}

/* Makes an object the current one, and counts it when it is tried for the first time. */
static void
begin_object(struct ingest *ingest, const struct object *object)
{
    set_current(ingest, object);
    ingest->objects += !ingest->is_again;
}

/* Takes the object; false when too many objects wait already. */
static bool
make_wait(struct ingest *ingest, struct object *object)
{
    if (ingest->is_last_round || ingest->waiting.count >= WAITING_MAX ||
        ingest->waiting.bytes + object->length > WAITING_BYTES_MAX)
        return false;
    list_add(&ingest->waiting, object);
    return true;
}

/* Frees an object that is not tried any more. If it has been tried before, it has failed. */
static void
give_up(struct ingest *ingest, struct object *object, bool is_tried)
{
    ingest->failed += is_tried;
    free(object);
}

static PGresult *
call(struct ingest *ingest, const char *sql, const char *text)
{
    return database_retry_query(ingest->cli, sql, 1, (const char *const[]){text});
}

/* Stores an object by itself, and takes it. False when it is useless to continue. */
static bool
store_alone(struct ingest *ingest, struct object *object)
{
    PGresult *result = call(ingest, ingest->sql, object->text);

    if (database_is_ok(result)) {
        json_t *report = json_loads(PQgetvalue(result, 0, 0), 0, NULL);

        cmd_stripe_take_report(ingest, report);
        json_decref(report);
    } else if (database_is_state(result, STATE_REFERENCE) && make_wait(ingest, object)) {
        object = NULL;
    } else {
        cmd_stripe_take_error(ingest, result);
    }
    free(object);
    PQclear(result);
    return ingest->cli->status != CLI_UNAVAILABLE;
}

/*
 * Stores the first objects of the batch in one transaction, as far as that is possible; "limit" is
 * their number. Sets their reports: null for an object that must be stored by itself, none for one
 * that belongs into the next transaction; no array when all must be stored by themselves. False
 * when it is useless to continue.
 */
static bool
store_together(struct ingest *ingest, size_t limit, json_t **reports)
{
    const struct object *object = ingest->batch.first;
    buf array = BUF_INIT;
    PGresult *result;

    for (size_t i = 0; i < limit; i++, object = object->next) {
        buf_append_char(&array, i > 0 ? ',' : '[');
        buf_append(&array, object->text, object->length);
    }
    buf_append_char(&array, ']');
    result = call(ingest, ingest->list_sql, buf_text(&array));
    buf_free(&array);
    if (database_is_ok(result)) {
        *reports = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
    } else if (PQstatus(ingest->cli->db) != CONNECTION_OK || database_was_interrupted()) {
        begin_object(ingest, ingest->batch.first);
        cmd_stripe_take_error(ingest, result);
        free(list_take(&ingest->batch));
    }
    PQclear(result);
    return ingest->cli->status != CLI_UNAVAILABLE;
}

/* Puts the objects of a Stripe list in front of the batch. */
static void
add_listed(struct ingest *ingest, const struct object *list, const PGresult *result)
{
    struct object_list listed;
    bool has_more = false;

    list_init(&listed);
    for (int i = 0; i < PQntuples(result); i++) {
        size_t length = (size_t)PQgetlength(result, i, 1);
        struct object *object = xmalloc(sizeof(*object) + length + 1);

        *object = (struct object){.source = list->source, .number = list->number, .length = length};
        snprintf(object->path, sizeof(object->path), "%s", PQgetvalue(result, i, 0));
        memcpy(object->text, PQgetvalue(result, i, 1), length + 1);
        list_add(&listed, object);
        has_more |= PQgetvalue(result, i, 2)[0] == 't';
    }
    list_put_first(&ingest->batch, &listed);
    if (has_more) {
        set_current(ingest, list);
        cmd_stripe_warn_of_more(ingest);
    }
}

/*
 * Takes an object that is a Stripe list, whose objects are then the first of the batch. False, and
 * nothing is done, when it is none. Most objects have lists in them, so the database decides.
 */
static bool
try_list(struct ingest *ingest, struct object *object)
{
    bool is_list = !object->path[0] &&
                   (strstr(object->text, "\"list\"") || strstr(object->text, "\"search_result\""));
    PGresult *result;

    if (!is_list)
        return false;
    result = call(ingest, "SELECT path, object::text, has_more FROM ctms.unwrap_stripe($1::jsonb)",
                  object->text);
    if (!database_is_ok(result)) {
        begin_object(ingest, object);
        cmd_stripe_take_error(ingest, result);
    } else if (PQntuples(result) == 1 && PQgetlength(result, 0, 0) == 0) {
        is_list = false;
    } else {
        add_listed(ingest, object, result);
    }
    if (is_list)
        free(object);
    PQclear(result);
    return is_list;
}

/*
 * Stores some objects of the batch: those that may be stored together, the others by themselves.
 * Returns how many to try next: where objects depend on each other, not all of the rest is sent
 * again for a few.
 */
static size_t
store_some(struct ingest *ingest, size_t limit, bool *is_going)
{
    json_t *reports = NULL;
    size_t count;

    if (limit > 1)
        *is_going = store_together(ingest, limit, &reports);
    count = reports ? json_array_size(reports) : limit;
    for (size_t i = 0; i < count && ingest->batch.first; i++) {
        json_t *report = json_array_get(reports, i);
        struct object *object = list_take(&ingest->batch);

        if (json_is_object(report)) {
            begin_object(ingest, object);
            cmd_stripe_take_report(ingest, report);
            free(object);
        } else if (*is_going && try_list(ingest, object)) {
            *is_going = ingest->cli->status != CLI_UNAVAILABLE;
            json_decref(reports);
            return BATCH_MAX;
        } else if (*is_going) {
            begin_object(ingest, object);
            *is_going = store_alone(ingest, object);
        } else {
            give_up(ingest, object, ingest->is_again);
        }
    }
    json_decref(reports);
    return count > 0 ? 2 * count : 1;
}

/* How many objects of the batch may go into one transaction, at most "limit". */
static size_t
count_together(const struct ingest *ingest, size_t limit)
{
    const struct object *object = ingest->batch.first;
    size_t bytes = 0;
    size_t count = 0;

    if (!ingest->list_sql)
        return 1;
    while (object && count < limit && count < BATCH_MAX) {
        bytes += object->length;
        if (count > 0 && bytes > BATCH_BYTES_MAX)
            break;
        count++;
        object = object->next;
    }
    return count;
}

/* Stores the batch and empties it. False when it is useless to continue. */
static bool
store_batch(struct ingest *ingest)
{
    size_t limit = BATCH_MAX;
    bool is_going = true;

    while (is_going && ingest->batch.first)
        limit = store_some(ingest, count_together(ingest, limit), &is_going);
    while (ingest->batch.first)
        give_up(ingest, list_take(&ingest->batch), ingest->is_again);
    return is_going;
}

/* Takes an object. False when it is useless to continue. */
static bool
add_to_batch(struct ingest *ingest, struct object *object)
{
    if (ingest->batch.bytes + object->length > BATCH_BYTES_MAX && !store_batch(ingest)) {
        give_up(ingest, object, ingest->is_again);
        return false;
    }
    list_add(&ingest->batch, object);
    return ingest->batch.count < (ingest->list_sql ? BATCH_MAX : 1) || store_batch(ingest);
}

/* No progress is shown when the terminal shows the reports of all objects. */
static void
show_progress(const struct ingest *ingest, const char *source, unsigned long long number,
              FILE *file)
{
    struct stat status;
    off_t place = ftello(file);

    if (!ingest->is_quiet && isatty(STDOUT_FILENO))
        return;
    if (place > 0 && fstat(fileno(file), &status) == 0 && status.st_size > 0)
        progress_show("%s: %llu objects, %d %%", source, number,
                      (int)(100 * place / status.st_size));
    else
        progress_show("%s: %llu objects", source, number);
}

static bool
ingest_file(struct ingest *ingest, const char *path)
{
    struct json_split split;
    enum json_split_result found = JSON_SPLIT_END;
    unsigned long long number = 0;
    bool is_going = true;
    FILE *file = input_open(ingest->cli, path);

    if (!file) {
        ingest->failed++;
        return true;
    }
    json_split_init(&split, file);
    while (is_going && (found = json_split_next(&split)) == JSON_SPLIT_OBJECT) {
        struct object *object = xmalloc(sizeof(*object) + split.length + 1);

        number++;
        *object = (struct object){.source = path, .number = number, .length = split.length};
        memcpy(object->text, split.text, split.length + 1);
        is_going = add_to_batch(ingest, object);
        /* What is there is not held back for what is still to come. */
        if (is_going && !input_is_ready(file))
            is_going = store_batch(ingest);
        show_progress(ingest, path, number, file);
    }
    is_going = is_going && store_batch(ingest);
    progress_clear();
    if (is_going && found == JSON_SPLIT_INVALID) {
        ingest->failed++;
        output_error(ingest->cli, CLI_FAILED, "%s: %s%s", path, split.error,
                     feof(file) || ferror(file) ? "" : "; nothing after it was read");
    }
    json_split_free(&split);
    input_close(file);
    return is_going;
}

/* Tries all waiting objects once. */
static bool
ingest_waiting(struct ingest *ingest)
{
    struct object_list list = ingest->waiting;
    bool is_going = true;

    list_init(&ingest->waiting);
    while (list.first) {
        struct object *object = list_take(&list);

        if (is_going)
            is_going = add_to_batch(ingest, object);
        else
            give_up(ingest, object, true);
    }
    return is_going && store_batch(ingest);
}

static int
run(struct ingest *ingest)
{
    struct cli *cli = ingest->cli;
    bool is_going = true;

    ingest->is_quiet = cli_get_option(cli, "quiet") != NULL;
    ingest->unused_types = json_object();
    list_init(&ingest->batch);
    list_init(&ingest->waiting);
    for (int i = 0; i < cli->argument_count && is_going; i++)
        is_going = ingest_file(ingest, cli->arguments[i]);
    ingest->is_again = true;
    while (is_going && ingest->waiting.first) {
        size_t before = ingest->waiting.count;

        is_going = ingest_waiting(ingest);
        /* If a round stored no object, the next one reports the errors. */
        ingest->is_last_round = ingest->waiting.count == before;
    }
    while (ingest->waiting.first)
        give_up(ingest, list_take(&ingest->waiting), true);
    cmd_stripe_print_summary(ingest);
    json_decref(ingest->unused_types);
    return cli->status;
}

/* Files are about many contacts, who wait behind those that change now. Ends with the statement. */
#define IN_BULK ", pg_catalog.set_config('ctms.acoustic_lane', 'bulk', true)"

static int
run_ingest(struct cli *cli)
{
    struct ingest ingest = {
        .cli = cli,
        .sql = "SELECT ctms.upsert_stripe(coalesce(ctms.parse_stripe($1), $1::jsonb))" IN_BULK,
        .list_sql =
            "SELECT ctms.upsert_stripe_list(coalesce(ctms.parse_stripe($1), $1::jsonb))" IN_BULK,
        .actions = ingest_actions};

    return run(&ingest);
}

static int
run_enqueue(struct cli *cli)
{
    struct ingest ingest = {
        .cli = cli,
        .sql = "SELECT ctms.enqueue_stripe(coalesce(ctms.parse_stripe($1), $1::jsonb))",
        .actions = enqueue_actions};

    return run(&ingest);
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
            "A FILE holds an object as Stripe's API renders it, a list of them, or one a line.\n"
            "Stripe's own lists and events are taken, too. \"-\" is standard input. A bad object\n"
            "does not prevent others from being stored.\n"
            "Storing the same content again changes nothing. Objects may come in any order.",
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
    {
        .verb = "refused list",
        .arguments = "[--limit N]",
        .summary = "list the objects of Pub/Sub that were refused, newest first",
        .text = "They are kept for the time that the setting stripe_refused_age says (30 days).\n"
                "Nothing of their content is shown.",
        .options = cmd_stripe_refused_list_options,
        .run = cmd_stripe_refused_list,
    },
    {
        .verb = "refused show",
        .arguments = "ID",
        .summary = "show what was refused, as it came",
        .text = "It is personal data. A file or pipe gets the bytes unchanged; with --json they\n"
                "are in Base64.",
        .min_arguments = 1,
        .max_arguments = 1,
        .run = cmd_stripe_refused_show,
    },
    {
        .verb = "refused retry",
        .arguments = "ID... | --all",
        .summary = "try to store what was refused",
        .text = "Each is stored with the time of its message, so it does not replace what is\n"
                "newer. What is stored is not kept any more. Exit code 1 when some are refused\n"
                "again.",
        .options = cmd_stripe_refused_retry_options,
        .max_arguments = -1,
        .run = cmd_stripe_refused_retry,
    },
    {
        .verb = "refused remove",
        .arguments = "ID... | --older-than TIME",
        .summary = "remove what was refused",
        .options = cmd_stripe_refused_remove_options,
        .max_arguments = -1,
        .run = cmd_stripe_refused_remove,
    },
    {.verb = NULL},
};
