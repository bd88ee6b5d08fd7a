/*
 * fault.c: reads, matches and counts the rules of fault.h.
 */
#include "test/acoustic-sandbox/fault.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

static const char *const answer_names[] = {"normal", "fault", "failure", "html", "empty",
                                           "body",   "cut",   "huge",    "slow", "job"};
_Static_assert(sizeof(answer_names) / sizeof(*answer_names) == ANSWER_COUNT,
               "an answer has no name");

const char *
fault_answer_name(enum answer_kind answer)
{
    return answer_names[answer];
}

static char *
take_text(json_t *rule, const char *key, const char *otherwise)
{
    json_t *value = json_object_get(rule, key);

    if (json_is_string(value))
        return xstrdup(json_string_value(value));
    if (json_is_integer(value)) { /* a rule may give errorid as a number */
        char digits[32];

        snprintf(digits, sizeof(digits), "%lld", (long long)json_integer_value(value));
        return xstrdup(digits);
    }
    return otherwise ? xstrdup(otherwise) : NULL;
}

static long
take_number(json_t *rule, const char *key, long otherwise)
{
    json_t *value = json_object_get(rule, key);

    return json_is_integer(value) ? (long)json_integer_value(value) : otherwise;
}

static bool
find_answer(const char *name, enum answer_kind *answer)
{
    for (int i = 0; i < ANSWER_COUNT; i++) {
        if (strcmp(name, answer_names[i]) == 0) {
            *answer = (enum answer_kind)i;
            return true;
        }
    }
    return false;
}

static void
free_fault(struct fault *fault)
{
    free(fault->operation);
    free(fault->table);
    free(fault->email);
    free(fault->errorid);
    free(fault->class);
    free(fault->text);
    free(fault->failure_type);
    free(fault->body);
    free(fault->content_type);
    free(fault->job_status);
}

void
fault_free_list(struct fault_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_fault(&list->faults[i]);
    free(list->faults);
    *list = (struct fault_list){0};
}

static bool
read_rule(struct fault *fault, json_t *rule, const char **problem)
{
    static const char *const keys[] = {
        "operation", "table",   "email", "skip",     "count",        "probability", "answer",
        "errorid",   "class",   "text",  "body",     "failure_type", "status",      "content_type",
        "bytes",     "byte_ms", "apply", "delay_ms", "work_ms",      "job_status",  "skip_rows"};
    const char *answer = json_string_value(json_object_get(rule, "answer"));
    json_t *probability = json_object_get(rule, "probability");
    const char *key;
    json_t *value;

    *problem = "a fault must be an object";
    if (!json_is_object(rule))
        return false;
    *problem = "a fault has a key that is not known";
    json_object_foreach(rule, key, value)
    {
        size_t i = 0;

        while (i < sizeof(keys) / sizeof(*keys) && strcmp(keys[i], key) != 0)
            i++;
        if (i == sizeof(keys) / sizeof(*keys))
            return false;
    }
    *problem = "a fault has an \"answer\" that is not known";
    if (answer != NULL && !find_answer(answer, &fault->answer))
        return false;

    fault->operation = take_text(rule, "operation", NULL);
    fault->table = take_text(rule, "table", NULL);
    fault->email = take_text(rule, "email", NULL);
    fault->skip = take_number(rule, "skip", 0);
    fault->count = take_number(rule, "count", -1);
    fault->probability = json_is_number(probability) ? json_number_value(probability) : 1;
    fault->errorid = take_text(rule, "errorid", "");
    fault->class = take_text(rule, "class", "SP.API");
    fault->text = take_text(rule, "text", "Server Error");
    fault->failure_type = take_text(rule, "failure_type", "permanent");
    fault->body = take_text(rule, "body", "");
    fault->content_type = take_text(rule, "content_type", "text/xml;charset=UTF-8");
    fault->job_status = take_text(rule, "job_status", "ERROR");
    fault->skip_rows = take_number(rule, "skip_rows", 0);
    fault->status = (int)take_number(rule, "status", fault->answer == ANSWER_HTML ? 503 : 200);
    fault->bytes = take_number(rule, "bytes", 100L * 1024 * 1024);
    fault->byte_ms = take_number(rule, "byte_ms", 100);
    fault->delay_ms = take_number(rule, "delay_ms", 0);
    fault->work_ms = take_number(rule, "work_ms", 0);
    fault->apply = json_is_true(json_object_get(rule, "apply"));
    *problem = "a rule for \"job\" needs the answer \"job\"";
    if (fault->operation != NULL &&
        (strcmp(fault->operation, "job") == 0) != (fault->answer == ANSWER_JOB))
        return false;
    *problem = "\"job_status\" must be ERROR or CANCELED";
    return !strcmp(fault->job_status, "ERROR") || !strcmp(fault->job_status, "CANCELED");
}

bool
fault_load_list(struct fault_list *list, json_t *array, const char **problem)
{
    struct fault_list loaded = {0};
    json_t *rule;
    size_t i;

    *problem = "\"faults\" must be an array";
    if (!json_is_array(array))
        return false;
    loaded.faults = xcalloc(json_array_size(array) + 1, sizeof(*loaded.faults));
    json_array_foreach(array, i, rule)
    {
        loaded.count = i + 1;
        if (!read_rule(&loaded.faults[i], rule, problem)) {
            fault_free_list(&loaded);
            return false;
        }
    }
    fault_free_list(list);
    *list = loaded;
    return true;
}

json_t *
fault_list_json(const struct fault_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++) {
        const struct fault *f = &list->faults[i];

        json_array_append_new(array,
                              json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:I, s:f, s:I}", "answer",
                                        answer_names[f->answer], "operation", f->operation, "table",
                                        f->table, "email", f->email, "skip", (json_int_t)f->skip,
                                        "count", (json_int_t)f->count, "probability",
                                        f->probability, "hits", (json_int_t)f->hits));
    }
    return array;
}

static bool
row_matches(const struct fault *fault, struct store *store, const struct row *row)
{
    const char *email_id = row_get(row, "email_id");
    const char *address = row_get(row, "email");

    if (fault->email == NULL)
        return true;
    if (email_id != NULL && fnmatch(fault->email, email_id, 0) == 0)
        return true;
    if (address == NULL && email_id != NULL) {
        const struct contact *contact = store_contact(store, email_id, false);

        address = contact ? row_get(&contact->main, "email") : NULL;
    }
    return address != NULL && fnmatch(fault->email, address, 0) == 0;
}

static bool
is_for(const struct fault *fault, const char *operation, enum table table)
{
    if (fault->count == 0)
        return false;
    /* Rules for imports at work are for nothing else. A rule without an operation applies to the
     * XML API, not to tokens. */
    if ((fault->answer == ANSWER_JOB) != (strcmp(operation, "job") == 0))
        return false;
    if (fault->operation == NULL ? strcmp(operation, "token") == 0
                                 : strcmp(fault->operation, operation) != 0)
        return false;
    return fault->table == NULL ||
           (table < TABLE_COUNT && strcmp(fault->table, store_table_names[table]) == 0);
}

/* The last step for a rule that matches: decides whether it applies to this request. */
static bool
strikes(struct fault *fault)
{
    if (fault->skip > 0) {
        fault->skip--;
        return false;
    }
    if (fault->probability < 1 && drand48() >= fault->probability)
        return false;
    if (fault->count > 0)
        fault->count--;
    fault->hits++;
    return true;
}

struct fault *
fault_find_for_request(struct fault_list *list, struct store *store, const char *operation,
                       enum table table, const struct envelope *envelope)
{
    for (size_t i = 0; i < list->count; i++) {
        struct fault *fault = &list->faults[i];
        bool matches = fault->email == NULL;

        if (fault->answer == ANSWER_FAILURE || !is_for(fault, operation, table))
            continue;
        for (size_t r = 0; !matches && envelope != NULL && r < envelope->row_count; r++)
            matches = row_matches(fault, store, &envelope->rows[r]);
        if (matches && strikes(fault))
            return fault;
    }
    return NULL;
}

struct fault *
fault_find_for_row(struct fault_list *list, struct store *store, const char *operation,
                   enum table table, const struct row *row)
{
    for (size_t i = 0; i < list->count; i++) {
        struct fault *fault = &list->faults[i];

        if (fault->answer == ANSWER_FAILURE && is_for(fault, operation, table) &&
            row_matches(fault, store, row) && strikes(fault))
            return fault;
    }
    return NULL;
}

struct fault *
fault_find_for_job(struct fault_list *list, enum table table)
{
    for (size_t i = 0; i < list->count; i++) {
        struct fault *fault = &list->faults[i];

        if (is_for(fault, "job", table) && strikes(fault))
            return fault;
    }
    return NULL;
}
