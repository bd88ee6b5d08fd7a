/*
 * selection.c: see selection.h.
 *
 * Contacts of newsletters, waitlists and --all are read page by page in the order of email_id, each
 * page by a statement of its own. Those of a query are read from one snapshot into a file without a
 * name first: otherwise the transaction of the query would be open as long as the command runs.
 */
#include "cli/selection.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "cli/contact_query.h"
#include "cli/database.h"
#include "cli/id_array.h"
#include "cli/near.h"
#include "cli/output.h"
#include "cli/progress.h"

/* Contacts in one batch. */
#define BATCH_SIZE 1000
#define BATCH_SQL "1000"
/* Above this a count is estimated. */
#define EXACT 100000
#define ONE_MORE_SQL "100001"
_Static_assert(EXACT + 1 == 100001, "ONE_MORE_SQL");

/* Rows with a column email_id. $1 is a name, or null. */
struct source {
    const char *option;
    const char *rows;  /* what follows FROM */
    const char *names; /* all that $1 may be; null if that is no name */
};

static const struct source newsletters = {"newsletter", "ctms.newsletters WHERE name = $1",
                                          "SELECT DISTINCT name FROM ctms.newsletters"};
static const struct source waitlists = {"waitlist", "ctms.waitlists WHERE name = $1",
                                        "SELECT DISTINCT name FROM ctms.waitlists"};
static const struct source all_contacts = {"all", "ctms.emails WHERE $1::text IS NULL", NULL};

/* The option of a source; null if it was not given. --all has no value, so it is "". */
static const char *
value_of(const struct selection *selection, const struct source *source)
{
    if (source == &all_contacts && selection->is_all)
        return "";
    return cli_get_option(selection->cli, source->option);
}

/* ---- what is named ---------------------------------------------------------------- */

static bool
is_any_option_but_all(const struct cli *cli)
{
    return cli_get_option(cli, "query") || cli_get_option(cli, "email-file") ||
           cli_get_option(cli, "newsletter") || cli_get_option(cli, "waitlist");
}

bool
selection_is_by_option(const struct cli *cli)
{
    return is_any_option_but_all(cli) || cli_get_option(cli, "all");
}

bool
selection_is_given(const struct cli *cli)
{
    return cli->argument_count > 0 || selection_is_by_option(cli);
}

/* line: 0 for an argument */
static void
report_unknown(struct selection *selection, const char *name, long long line)
{
    progress_clear();
    fflush(stdout);
    fputs("ctms: not found: ", stderr);
    output_text(stderr, name);
    if (line > 0) {
        fputs(" (", stderr);
        output_text(stderr, selection->addresses.path);
        fprintf(stderr, ", line %lld)", line);
    }
    fputc('\n', stderr);
    selection->unknown++;
}

static bool
find_argument(struct selection *selection, const char *name)
{
    struct find_contact found;
    int known = 0;

    if (!find_contact(selection->cli, name, &found))
        return false;
    if (found.is_more) {
        output_error(selection->cli, CLI_USAGE,
                     "more than %d contacts are named \"%s\": choose them by --query",
                     FIND_CONTACT_MAX, name);
        return false;
    }
    for (int i = 0; i < found.count; i++) {
        if (found.matches[i].is_deleted && !selection->takes_deleted)
            continue;
        known++;
        if (strstr(buf_text(&selection->arguments), found.matches[i].email_id))
            continue;
        id_array_add(&selection->arguments, found.matches[i].email_id);
        selection->argument_ids++;
    }
    if (known == 0)
        report_unknown(selection, name, 0);
    return true;
}

static bool
find_arguments(struct selection *selection)
{
    struct cli *cli = selection->cli;

    for (int i = 0; i < cli->argument_count; i++) {
        if (!find_argument(selection, cli->arguments[i]))
            return false;
    }
    id_array_end(&selection->arguments);
    return true;
}

/* A name that nobody has is a mistake. */
static bool
check_name(struct selection *selection, const struct source *source)
{
    struct cli *cli = selection->cli;
    const char *name = value_of(selection, source);
    near_names near;
    PGresult *result;
    bool is_known;
    buf sql = BUF_INIT;

    if (!name)
        return true;
    buf_printf(&sql, "SELECT EXISTS (SELECT FROM %s)", source->rows);
    result = database_query(cli, buf_text(&sql), 1, &name);
    buf_free(&sql);
    if (!result)
        return false;
    is_known = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (is_known)
        return true;
    near_begin(&near, name);
    result = database_query(cli, source->names, 0, NULL);
    near_offer_rows(&near, result);
    if (result)
        output_error(cli, CLI_NOT_FOUND, "no contact has the %s \"%s\"%s", source->option, name,
                     near_question(&near));
    PQclear(result);
    return false;
}

static bool
run_query(struct selection *selection)
{
    const char *query = cli_get_option(selection->cli, "query");

    if (query)
        selection->queried = contact_query_keep(selection->cli, query);
    return !query || selection->queried;
}

/* ---- opening and closing ------------------------------------------------------------ */

bool
selection_open(struct selection *selection)
{
    struct cli *cli = selection->cli;
    const char *path = cli_get_option(cli, "email-file");

    if (cli_get_option(cli, "all") && (cli->argument_count > 0 || is_any_option_but_all(cli))) {
        output_error(cli, CLI_USAGE, "give either --all or which contacts");
        return false;
    }
    return (!path || addresses_read(&selection->addresses, cli, path)) &&
           find_arguments(selection) && check_name(selection, &newsletters) &&
           check_name(selection, &waitlists) && run_query(selection);
}

void
selection_close(struct selection *selection)
{
    addresses_free(&selection->addresses);
    buf_free(&selection->arguments);
    if (selection->queried)
        fclose(selection->queried);
}

/* ---- passing on --------------------------------------------------------------------- */

struct walk {
    struct selection *selection;
    selection_take take;
    void *arg;
    /* addresses of the file that are looked up together */
    json_t *addresses;
    long long lines[BATCH_SIZE];
};

static bool
pass_on(const struct walk *walk, const char *ids, int count)
{
    if (count > 0 && !walk->take(walk->arg, ids, count))
        return false;
    if (!database_was_interrupted())
        return true;
    output_error(walk->selection->cli, CLI_UNAVAILABLE, "interrupted");
    return false;
}

/* Passes on the ids of a page whose second column is true; last becomes the last id of all. */
static bool
pass_on_page(const struct walk *walk, const PGresult *page, char last[ID_LENGTH + 1])
{
    buf ids = BUF_INIT;
    int count = 0;
    bool is_going;

    for (int row = 0; row < PQntuples(page); row++) {
        snprintf(last, ID_LENGTH + 1, "%s", PQgetvalue(page, row, 0));
        if (PQgetvalue(page, row, 1)[0] != 't')
            continue;
        id_array_add(&ids, last);
        count++;
    }
    is_going = pass_on(walk, id_array_end(&ids), count);
    buf_free(&ids);
    return is_going;
}

/* Runs a statement of $1 and $2 for page after page, each of which begins behind the id $3. */
static bool
walk_pages(const struct walk *walk, const char *sql, const char *value)
{
    const struct selection *selection = walk->selection;
    char last[ID_LENGTH + 1] = "";
    const char *parameters[] = {value, selection->text, NULL};
    int rows = BATCH_SIZE;
    bool is_going = true;

    while (is_going && rows == BATCH_SIZE) {
        PGresult *page = database_query(selection->cli, sql, 3, parameters);

        rows = page ? PQntuples(page) : 0;
        is_going = page && pass_on_page(walk, page, last);
        parameters[2] = last;
        PQclear(page);
    }
    return is_going;
}

/* A page of all contacts of a source. */
#define PAGE_SQL                                                                                   \
    "SELECT s.email_id, true FROM (SELECT email_id FROM %s) AS s WHERE $2::text IS NULL "          \
    "AND ($3::uuid IS NULL OR s.email_id > $3) ORDER BY s.email_id LIMIT " BATCH_SQL

/* A page of a table of the queue, with those of a source marked: most contacts are not in the
 * queue. The page is a thousand rows, whether they count or not, so it needs no estimate of how
 * many do: it is always read by the key. */
#define QUEUE_PAGE_SQL                                                                             \
    "SELECT q.email_id, q.counts AND EXISTS (SELECT FROM (SELECT email_id FROM %s) AS s "          \
    "WHERE s.email_id = q.email_id) FROM (SELECT email_id, (%s) AS counts FROM %s "                \
    "WHERE $3::uuid IS NULL OR email_id > $3 ORDER BY email_id LIMIT " BATCH_SQL ") AS q "         \
    "ORDER BY q.email_id"
/* A deleted contact has no rows elsewhere, so it is of no source but --all. */
#define QUEUE_PAGE_OF_ALL_SQL                                                                      \
    "SELECT email_id, (%s) AND $1::text IS NULL FROM %s "                                          \
    "WHERE $3::uuid IS NULL OR email_id > $3 ORDER BY email_id LIMIT " BATCH_SQL

static const char pending[] = "ctms.pending_acoustic";
static const char deleted[] = "ctms.acoustic_deleted_contact";

static bool
walk_queue(const struct walk *walk, const struct source *source, const char *value,
           const char *table)
{
    const char *condition = walk->selection->condition;
    buf sql = BUF_INIT;
    bool is_going;

    if (source == &all_contacts)
        buf_printf(&sql, QUEUE_PAGE_OF_ALL_SQL, condition, table);
    else
        buf_printf(&sql, QUEUE_PAGE_SQL, source->rows, condition, table);
    is_going = walk_pages(walk, buf_text(&sql), value);
    buf_free(&sql);
    return is_going;
}

static bool
walk_option(const struct walk *walk, const struct source *source)
{
    const struct selection *selection = walk->selection;
    const char *value = value_of(selection, source);
    bool is_going;
    buf sql = BUF_INIT;

    if (!value)
        return true;
    value = source->names ? value : NULL;
    if (selection->condition)
        return walk_queue(walk, source, value, pending) &&
               (!selection->takes_deleted || source != &all_contacts ||
                walk_queue(walk, source, value, deleted));
    buf_printf(&sql, PAGE_SQL, source->rows);
    is_going = walk_pages(walk, buf_text(&sql), value);
    buf_free(&sql);
    return is_going;
}

/* Passes on those of the ids that count. */
static bool
pass_on_counting(const struct walk *walk, const char *ids, int count)
{
    const struct selection *selection = walk->selection;
    const char *parameters[] = {ids, selection->text, NULL};
    char last[ID_LENGTH + 1];
    PGresult *page;
    bool is_going;
    buf sql = BUF_INIT;

    if (!selection->condition || count == 0)
        return pass_on(walk, ids, count);
    buf_printf(&sql,
               "SELECT email_id, (%s) AND $3::text IS NULL FROM %s "
               "WHERE email_id = ANY ($1::uuid[])",
               selection->condition, pending);
    if (selection->takes_deleted)
        buf_printf(&sql,
                   " UNION ALL SELECT email_id, (%s) FROM %s "
                   "WHERE email_id = ANY ($1::uuid[])",
                   selection->condition, deleted);
    page = database_query(selection->cli, buf_text(&sql), 3, parameters);
    is_going = page && pass_on_page(walk, page, last);
    PQclear(page);
    buf_free(&sql);
    return is_going;
}

/* ---- arguments and the query --------------------------------------------------------- */

static bool
walk_arguments(const struct walk *walk)
{
    const struct selection *selection = walk->selection;

    return pass_on_counting(walk, buf_text(&selection->arguments), selection->argument_ids);
}

static bool
walk_query(const struct walk *walk)
{
    FILE *file = walk->selection->queried;
    char id[ID_LENGTH + 1] = "";
    bool is_going = true;
    int count = BATCH_SIZE;

    if (!file)
        return true;
    rewind(file);
    while (is_going && count == BATCH_SIZE) {
        buf ids = BUF_INIT;

        for (count = 0; count < BATCH_SIZE && fread(id, ID_LENGTH, 1, file) == 1; count++)
            id_array_add(&ids, id);
        is_going = pass_on_counting(walk, id_array_end(&ids), count);
        buf_free(&ids);
    }
    if (ferror(file)) {
        output_error(walk->selection->cli, CLI_FAILED, "could not read a temporary file: %s",
                     strerror(errno));
        return false;
    }
    return is_going;
}

/* ---- the file of addresses ------------------------------------------------------------ */

/* $1: addresses as a JSON array. Returns the ids, how many there are, and the places of the
 * addresses that are unknown. */
#define ADDRESSES_SQL                                                                              \
    "SELECT ids, cardinality(ids), unknown FROM (SELECT coalesce(array_agg(DISTINCT s.email_id) "  \
    "FILTER (WHERE s.email_id IS NOT NULL), '{}') AS ids, coalesce(json_agg(place ORDER BY "       \
    "place) FILTER (WHERE s.email_id IS NULL), '[]') AS unknown FROM jsonb_array_elements_text("   \
    "$1::jsonb) WITH ORDINALITY AS a (address, place) LEFT JOIN ctms.emails AS s "                 \
    "ON lower(s.primary_email) = lower(a.address)) AS found"

static void
report_unknown_addresses(const struct walk *walk, const char *text)
{
    json_t *places = json_loads(text, 0, NULL);
    json_t *value;
    size_t i;

    json_array_foreach(places, i, value)
    {
        size_t place = (size_t)json_integer_value(value) - 1;

        report_unknown(walk->selection, json_string_value(json_array_get(walk->addresses, place)),
                       walk->lines[place]);
    }
    json_decref(places);
}

static bool
look_up_addresses(const struct walk *walk)
{
    const struct selection *selection = walk->selection;
    char *text = json_dumps(walk->addresses, 0);
    const char *parameters[] = {text};
    PGresult *result = database_query(selection->cli, ADDRESSES_SQL, 1, parameters);
    bool is_going = false;

    if (result && !selection->is_told)
        report_unknown_addresses(walk, PQgetvalue(result, 0, 2));
    if (result)
        is_going = pass_on_counting(walk, PQgetvalue(result, 0, 0), atoi(PQgetvalue(result, 0, 1)));
    PQclear(result);
    json_array_clear(walk->addresses);
    free(text);
    return is_going;
}

static bool
take_address(void *arg, const char *address, long long line)
{
    struct walk *walk = arg;

    walk->lines[json_array_size(walk->addresses)] = line;
    json_array_append_new(walk->addresses, json_string(address));
    return json_array_size(walk->addresses) < BATCH_SIZE || look_up_addresses(walk);
}

static bool
walk_file(struct walk *walk)
{
    bool is_going;

    walk->addresses = json_array();
    is_going = addresses_each(&walk->selection->addresses, take_address, walk) &&
               (json_array_size(walk->addresses) == 0 || look_up_addresses(walk));
    json_decref(walk->addresses);
    walk->selection->is_told |= is_going;
    return is_going;
}

/* ---- counting ------------------------------------------------------------------------ */

static bool
count_batch(void *arg, const char *ids, int count)
{
    struct selection *selection = arg;

    (void)ids;
    selection->count += count;
    progress_show("%lld contacts found", selection->count);
    return true;
}

/* The number of rows that the planner expects. */
static bool
estimate_rows(struct selection *selection, const struct source *source, const char *value,
              long long *rows)
{
    buf sql = BUF_INIT;
    PGresult *result;
    json_t *plans;

    buf_printf(&sql, "EXPLAIN (FORMAT JSON) SELECT FROM %s", source->rows);
    result = database_query(selection->cli, buf_text(&sql), 1, &value);
    buf_free(&sql);
    if (!result)
        return false;
    plans = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
    *rows = (long long)json_number_value(
        json_object_get(json_object_get(json_array_get(plans, 0), "Plan"), "Plan Rows"));
    json_decref(plans);
    PQclear(result);
    return true;
}

static bool
count_rows(struct selection *selection, const struct source *source, const char *value)
{
    buf sql = BUF_INIT;
    PGresult *result;
    long long rows = 0;

    buf_printf(&sql, "SELECT count(*) FROM (SELECT FROM %s LIMIT " ONE_MORE_SQL ") AS counted",
               source->rows);
    result = database_query(selection->cli, buf_text(&sql), 1, &value);
    buf_free(&sql);
    if (!result)
        return false;
    rows = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    if (rows > EXACT) {
        long long estimate;

        if (!estimate_rows(selection, source, value, &estimate))
            return false;
        rows = estimate > rows ? estimate : rows;
        selection->is_estimate = true;
    }
    selection->count += rows;
    return true;
}

static bool
count_option(const struct walk *walk, const struct source *source)
{
    const char *value = value_of(walk->selection, source);

    if (!value)
        return true;
    if (walk->selection->condition)
        return walk_option(walk, source);
    return count_rows(walk->selection, source, source->names ? value : NULL);
}

bool
selection_count(struct selection *selection)
{
    struct walk walk = {.selection = selection, .take = count_batch, .arg = selection};
    bool is_done = walk_arguments(&walk) && walk_file(&walk) && count_option(&walk, &newsletters) &&
                   count_option(&walk, &waitlists) && count_option(&walk, &all_contacts) &&
                   walk_query(&walk);

    progress_clear();
    return is_done;
}

bool
selection_confirm(const struct selection *selection, const char *question)
{
    return selection->count <= SELECTION_ASK_ABOVE || output_confirm(selection->cli, question);
}

bool
selection_each(struct selection *selection, selection_take take, void *arg)
{
    struct walk walk = {.selection = selection, .take = take, .arg = arg};
    bool is_done;

    database_watch_interrupts(true);
    is_done = walk_arguments(&walk) && walk_file(&walk) && walk_option(&walk, &newsletters) &&
              walk_option(&walk, &waitlists) && walk_option(&walk, &all_contacts) &&
              walk_query(&walk);
    database_watch_interrupts(false);
    progress_clear();
    return is_done;
}

int
selection_finish(const struct selection *selection)
{
    struct cli *cli = selection->cli;

    if (cli->status == CLI_OK && selection->unknown > 0)
        cli->status = CLI_NOT_FOUND;
    else if (cli->status == CLI_OK && selection->addresses.bad > 0)
        cli->status = CLI_PARTLY;
    return cli->status;
}
