/*
 * cmd_acoustic_show.c: `ctms acoustic show`: whether a contact is in Acoustic as it is here, and if
 * not, why.
 *
 * One statement (acoustic_show.sql) collects all that is known of a contact as a JSON object;
 * --json prints it with what follows from it.
 */
#include <jansson.h>
#include <string.h>
#include "cli/acoustic_error.h"
#include "cli/cmd_acoustic.h"
#include "cli/database.h"
#include "cli/find_contact.h"
#include "cli/output.h"
#include "common/buf.h"
#include "common/include_file.h"

INCLUDE_FILE(show_sql, "cli/acoustic_show.sql");

struct show {
    struct cli *cli;
    const struct find_contact_match *match;
    json_t *facts;
    buf summary; /* the answer, in a sentence */
};

static const char *
text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static json_int_t
number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* ---- what follows from the facts --------------------------------------------------------- */

/*
 * Seconds until a contact at its place is sent; -1 when nobody knows. Bulk gets one request in ten
 * while live contacts wait, and all when none do.
 */
static double
expected_s(const struct show *show)
{
    const json_t *waiting = json_object_get(show->facts, "place");
    double rate = json_number_value(json_object_get(show->facts, "rate"));
    double place = (double)number_of(waiting, "place");
    double others = (double)number_of(waiting, "other_backlog");
    double before;

    if (rate <= 0 || place < 1)
        return -1;
    if (strcmp(text_of(waiting, "lane"), "bulk") == 0)
        before = place * 10 < place + others ? place * 10 : place + others;
    else
        before = place + (place / 9 < others ? place / 9 : others);
    return before / rate;
}

static void
append_duration(buf *text, double seconds)
{
    if (seconds < 1)
        buf_append_string(text, "a second");
    else if (seconds < 120)
        buf_printf(text, "%.0f s", seconds);
    else if (seconds < 7200)
        buf_printf(text, "%.0f min", seconds / 60);
    else
        buf_printf(text, "%.0f h", seconds / 3600);
}

#define PLACE_MAX 10000

static void
append_place(struct show *show)
{
    const json_t *waiting = json_object_get(show->facts, "place");
    json_int_t before = number_of(waiting, "place") - 1;
    double seconds = expected_s(show);
    bool is_more = before >= PLACE_MAX;

    if (!json_is_object(waiting))
        return;
    buf_printf(&show->summary, "; %s%lld before it in the %s lane", is_more ? "at least " : "",
               (long long)before, text_of(waiting, "lane"));
    if (seconds < 0)
        return;
    buf_append_string(&show->summary, is_more ? ", sent in not less than " : ", sent in about ");
    append_duration(&show->summary, seconds);
}

static void
append_row(struct show *show, const json_t *row)
{
    const char *state = text_of(row, "state");
    long long limit = config_int(show->cli->settings, "CTMS_ACOUSTIC_RETRY_LIMIT");

    if (show->summary.length > 0)
        buf_append_string(&show->summary, "; ");
    buf_printf(&show->summary, "%s %s",
               json_is_true(json_object_get(row, "is_deletion")) ? "the deletion" : "it",
               text_of(row, "reason"));
    if (strcmp(state, "sending") == 0)
        buf_printf(&show->summary, ": %s, until %s", text_of(row, "lease_owner"),
                   text_of(row, "lease_until"));
    else if (strcmp(state, "waiting") == 0)
        buf_printf(&show->summary, ", until %s", text_of(row, "retry_after"));
    else if (strcmp(state, "given_up") == 0)
        buf_append_string(&show->summary, " (ctms acoustic retry)");
    else if (strcmp(state, "ready") == 0 && number_of(row, "retry") >= limit)
        buf_printf(
            &show->summary,
            ", but has failed %lld times: agents with CTMS_ACOUSTIC_RETRY_LIMIT=%lld leave it",
            (long long)number_of(row, "retry"), limit);
    if (!json_is_true(json_object_get(row, "is_deletion")))
        append_place(show);
}

/* How many rows ctms.acoustic_diff() has of a kind of change; of all kinds if it is null. */
static size_t
count_changes(const struct show *show, const char *word)
{
    size_t count = 0;
    size_t i;
    json_t *change;

    json_array_foreach(json_object_get(show->facts, "changes"), i, change)
    {
        count += !word || strcmp(text_of(change, "change"), word) == 0;
    }
    return count;
}

/* The contact is not in the queue. Returns its state. */
static const char *
judge_absent(struct show *show)
{
    const json_t *last = json_array_get(json_object_get(show->facts, "history"), 0);
    const char *outcome = text_of(last, "outcome");
    size_t rows = count_changes(show, NULL);
    size_t unchanged = count_changes(show, "unchanged");

    if (!json_is_string(json_object_get(show->facts, "primary_email"))) {
        bool is_done = strcmp(outcome, "deleted") == 0;

        buf_printf(&show->summary, "the contact was deleted%s%s",
                   is_done ? ", in Acoustic at " : "; whether Acoustic was told is not known",
                   is_done ? text_of(last, "time") : "");
        return "deleted";
    }
    buf_append_string(&show->summary, "not in the queue; ");
    if (unchanged + count_changes(show, "unknown") < rows) {
        buf_append_string(
            &show->summary,
            "Acoustic lacks what has changed since it was last sent, because that was "
            "never enqueued; use ctms acoustic resync");
        return "stale";
    }
    if ((rows > 0 && unchanged == rows) ||
        json_is_true(json_object_get(show->facts, "is_sent_since"))) {
        buf_append_string(&show->summary, "Acoustic has its current state as far as ctms knows");
        return "current";
    }
    if (strcmp(outcome, "skipped") == 0)
        buf_printf(&show->summary,
                   "taken from it at %s without being sent, because sending was "
                   "turned off (CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG)",
                   text_of(last, "time"));
    else
        buf_append_string(&show->summary,
                          "nothing waits to be sent, but whether Acoustic has its current state is "
                          "not known (see acoustic_skip_unchanged and acoustic_history_sent)");
    return "unknown";
}

/* Adds to the facts what follows from them. */
static void
judge(struct show *show)
{
    const json_t *queue = json_object_get(show->facts, "queue");
    size_t noted = json_array_size(json_object_get(show->facts, "noted"));
    const char *state = "";
    double seconds = expected_s(show);
    size_t i;
    json_t *row;

    json_array_foreach(queue, i, row)
    {
        const char *error = json_string_value(json_object_get(row, "last_error"));

        append_row(show, row);
        state = text_of(row, "state");
        if (error) {
            const struct acoustic_error *entry = acoustic_error_explain(error);

            json_object_set_new(row, "meaning", json_string(entry->meaning));
            json_object_set_new(row, "advice", json_string(entry->advice));
        }
    }
    if (json_array_size(queue) == 0 && noted > 0) {
        state = "noted";
        buf_append_string(&show->summary, "a change is noted, and the next claim of an agent "
                                          "enqueues its contact");
    } else if (json_array_size(queue) == 0) {
        state = judge_absent(show);
    }
    if (seconds >= 0)
        json_object_set_new(show->facts, "expected_s", json_real(seconds));
    json_object_set_new(show->facts, "email_id", json_string(show->match->email_id));
    json_object_set_new(show->facts, "found_by", json_string(show->match->names));
    json_object_set_new(show->facts, "state", json_string(state));
    json_object_set_new(show->facts, "summary", json_string(buf_text(&show->summary)));
}

/* ---- text -------------------------------------------------------------------------------- */

static void
print_item(const char *label, const char *text)
{
    printf("  %-14s ", label);
    output_text(stdout, text);
    putchar('\n');
}

static void
print_queue_row(const struct show *show, const json_t *row)
{
    const char *error = json_string_value(json_object_get(row, "last_error"));

    if (json_is_true(json_object_get(row, "is_deletion")))
        print_item("deleted", text_of(row, "create_timestamp"));
    else
        print_item("changed", text_of(row, "create_timestamp"));
    /* A permanent failure counts as all attempts, however many there were. */
    if (number_of(row, "retry") > 0 && strcmp(text_of(row, "state"), "given_up") != 0)
        printf("  %-14s %lld; the limit is %lld\n", "failed", (long long)number_of(row, "retry"),
               config_int(show->cli->settings, "CTMS_ACOUSTIC_RETRY_LIMIT"));
    if (!error)
        return;
    print_item("last error", error);
    printf("  %-14s that means: %s. %s\n", "", text_of(row, "meaning"), text_of(row, "advice"));
}

/* Nothing is sent while no agent runs, whatever the queue says. */
static void
print_agents(const struct show *show)
{
    json_int_t agents = number_of(show->facts, "agents");
    const json_t *rate = json_object_get(show->facts, "rate");

    if (agents == 0)
        print_item("agents", "none is sending: none runs, or sending is off "
                             "(CTMS_ACOUSTIC_SYNC_FEATURE_FLAG, "
                             "CTMS_ACOUSTIC_INTEGRATION_FEATURE_FLAG)");
    else if (json_is_number(rate))
        printf("  %-14s %lld, which send %.1f contacts a second\n", "agents", (long long)agents,
               json_number_value(rate));
    else
        printf("  %-14s %lld, whose rate is not known: of what has to wait they have sent nothing "
               "lately. If this contact has to wait, sending is off "
               "(CTMS_ACOUSTIC_SYNC_FEATURE_FLAG) or has stopped, and their log says why\n",
               "agents", (long long)agents);
}

static void
print_list(const char *label, const json_t *names)
{
    buf text = BUF_INIT;
    size_t i;
    json_t *name;

    json_array_foreach(names, i, name)
        buf_printf(&text, "%s%s", i > 0 ? ", " : "", json_string_value(name));
    if (text.length > 0)
        print_item(label, buf_text(&text));
    buf_free(&text);
}

static void
print_noted(const struct show *show)
{
    size_t i;
    json_t *noted;

    json_array_foreach(json_object_get(show->facts, "noted"), i, noted)
    {
        buf text = BUF_INIT;

        buf_printf(&text, "%s %s, since %s", text_of(noted, "kind"), text_of(noted, "key"),
                   text_of(noted, "since"));
        print_item("noted change", buf_text(&text));
        buf_free(&text);
    }
}

static void
print_history(const struct show *show)
{
    size_t i;
    json_t *entry;

    json_array_foreach(json_object_get(show->facts, "history"), i, entry)
    {
        buf text = BUF_INIT;

        buf_printf(&text, "%s %s%s%s", text_of(entry, "time"), text_of(entry, "outcome"),
                   *text_of(entry, "error") ? ": " : "", text_of(entry, "error"));
        print_item(i == 0 ? "history" : "", buf_text(&text));
        buf_free(&text);
    }
}

static void
print_row(const json_t *row)
{
    const char *name;
    json_t *value;

    printf("\n  %s\n", text_of(row, "kind"));
    json_object_foreach(json_object_get(row, "fields"), name, value)
    {
        if (!json_is_string(value) || !*json_string_value(value))
            continue;
        fputs("    ", stdout);
        output_text(stdout, name);
        printf("%*s", (int)(strlen(name) < 24 ? 24 - strlen(name) : 1), "");
        output_text(stdout, json_string_value(value));
        putchar('\n');
    }
}

static void
print_rows(const struct show *show)
{
    size_t i;
    json_t *row;

    if (json_array_size(json_object_get(show->facts, "rows")) > 0)
        puts("\n  what Acoustic should have (empty fields are left out):");
    json_array_foreach(json_object_get(show->facts, "rows"), i, row) print_row(row);
}

static void
print_changes(const struct show *show)
{
    bool is_first = true;
    size_t i;
    json_t *change;

    if (!json_is_true(json_object_get(show->facts, "acoustic_skip_unchanged")))
        return;
    json_array_foreach(json_object_get(show->facts, "changes"), i, change)
    {
        buf text = BUF_INIT;

        if (strcmp(text_of(change, "change"), "unchanged") == 0)
            continue;
        buf_printf(&text, "%s %s: %s", text_of(change, "kind"), text_of(change, "name"),
                   text_of(change, "change"));
        print_item(is_first ? "to send" : "", buf_text(&text));
        is_first = false;
        buf_free(&text);
    }
}

static void
print_facts(const struct show *show)
{
    const char *address = text_of(show->facts, "primary_email");
    const json_t *unsent = json_object_get(show->facts, "unsent");
    size_t i;
    json_t *row;

    output_text(stdout, *address ? address : "(deleted contact)");
    printf("  %s  (found by %s)\n  ", show->match->email_id, show->match->names);
    output_text(stdout, buf_text(&show->summary));
    putchar('\n');
    json_array_foreach(json_object_get(show->facts, "queue"), i, row) print_queue_row(show, row);
    print_noted(show);
    print_agents(show);
    if (*text_of(show->facts, "last_sent_at"))
        print_item("last sent", text_of(show->facts, "last_sent_at"));
    print_history(show);
    print_changes(show);
    print_list("no column for", json_object_get(unsent, "fields"));
    print_list("no flag for", json_object_get(unsent, "newsletters"));
    print_list("not sent", json_object_get(unsent, "waitlist_fields"));
    print_rows(show);
}

/* ---- entry ------------------------------------------------------------------------------- */

static void
print_one(struct cli *cli, const struct find_contact_match *match, bool is_first)
{
    struct show show = {.cli = cli, .match = match, .summary = BUF_INIT};
    const char *parameters[] = {match->email_id};
    PGresult *result = database_query(cli, show_sql, 1, parameters);

    if (!result)
        return;
    show.facts = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
    PQclear(result);
    judge(&show);
    if (cli->is_json) {
        if (!is_first)
            putchar(',');
        output_json_value(show.facts);
    } else {
        if (!is_first)
            putchar('\n');
        print_facts(&show);
    }
    json_decref(show.facts);
    buf_free(&show.summary);
}

/* A deleted contact of which nothing waits any more is known by its id in the history. */
static bool
find_in_history(struct cli *cli, const char *text, struct find_contact *found)
{
    struct find_contact_match *match = &found->matches[0];
    const char *parameters[] = {match->email_id};
    PGresult *result;

    if (!find_contact_read_id(text, match->email_id))
        return true;
    result = database_query(
        cli, "SELECT FROM ctms.acoustic_history WHERE email_id = $1::uuid LIMIT 1", 1, parameters);
    found->count = result ? PQntuples(result) : 0;
    snprintf(match->names, sizeof(match->names), "email_id");
    match->is_deleted = true;
    PQclear(result);
    return result != NULL;
}

int
cmd_acoustic_show(struct cli *cli)
{
    const char *text = cli->arguments[0];
    struct find_contact found;

    if (!find_contact(cli, text, &found) ||
        (found.count == 0 && !find_in_history(cli, text, &found)))
        return cli->status;
    if (found.count == 0)
        return find_contact_report_none(cli, text);
    if (cli->is_json)
        putchar('[');
    for (int i = 0; i < found.count && cli->status == CLI_OK; i++)
        print_one(cli, &found.matches[i], i == 0);
    if (cli->is_json)
        puts("]");
    if (found.is_more)
        output_error(cli, CLI_PARTLY, "more contacts have that name; these are the first %d",
                     FIND_CONTACT_MAX);
    return cli->status;
}
