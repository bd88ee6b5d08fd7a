/*
 * fault.h: rules that make requests fail on demand. api.c asks which rule applies.
 *
 * A rule is a JSON object; all keys are optional:
 *
 *   which requests    operation    "AddRecipient", "InsertUpdateRelationalTable", ..., "token";
 *                                  "job" for the work of an import, not for its call
 *                     table        "main", "newsletter", "waitlist" or "product"
 *                     email        shell pattern for the contact's address or email_id; a
 *                                  relational call matches when one of its rows does
 *                     skip         this many requests are let through first
 *                     count        applies this many times (to rows, for "failure")
 *                     probability  0 to 1
 *   what comes back   answer       "fault" (errorid, class, text), "failure" (failure_type,
 *                                  text: the matching rows only, of requests and files; SUCCESS
 *                                  stays true), "html",
 *                                  "empty", "body" (body, content_type), "cut" (no answer, the
 *                                  connection ends), "huge" (bytes), "slow" (byte_ms a byte);
 *                                  "job" (job_status "ERROR" or "CANCELED", skip_rows: an import
 *                                  ends so after that many rows; delay_ms: it starts later);
 *                                  without it: the right answer, only late
 *                     status       HTTP status, where one is sent
 *                     delay_ms     added to the latency
 *                     work_ms      counts as in flight for this long after the answer (or the
 *                                  cut), as behind a proxy that gives up; not with "slow"
 *                     apply        true: the request is carried out anyway
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_FAULT_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_FAULT_H

#include <jansson.h>

#include "test/acoustic-sandbox/envelope.h"
#include "test/acoustic-sandbox/store.h"

enum answer_kind {
    ANSWER_NORMAL,
    ANSWER_FAULT,
    ANSWER_FAILURE,
    ANSWER_HTML,
    ANSWER_EMPTY,
    ANSWER_BODY,
    ANSWER_CUT,
    ANSWER_HUGE,
    ANSWER_SLOW,
    ANSWER_JOB,
};
#define ANSWER_COUNT (ANSWER_JOB + 1)

/* The name that rules use. */
const char *fault_answer_name(enum answer_kind answer);

struct fault {
    char *operation, *table, *email;
    long skip, count; /* count < 0: no limit */
    double probability;
    enum answer_kind answer;
    char *errorid, *class, *text, *failure_type, *body, *content_type, *job_status;
    int status;
    long bytes, byte_ms, delay_ms, work_ms, skip_rows;
    bool apply;
    long hits;
};

struct fault_list {
    struct fault *faults;
    size_t count;
};

/* Replaces the rules by those of the array. On failure nothing is changed, and *problem (static
 * text) says what is wrong. */
bool fault_load_list(struct fault_list *list, json_t *array, const char **problem);
json_t *fault_list_json(const struct fault_list *list);
void fault_free_list(struct fault_list *list);

/* The first rule that applies to the whole request, counted as used; null if there is none. "table"
 * is TABLE_COUNT when it is unknown; envelope is null for a token request. */
struct fault *
fault_find_for_request(struct fault_list *list, struct store *store, const char *operation,
                       enum table table, const struct envelope *envelope);
/* The same for one row of a table or a file: only rules with the answer "failure". */
struct fault *fault_find_for_row(struct fault_list *list, struct store *store,
                                 const char *operation, enum table table, const struct row *row);
/* The same for an import that is about to start: only rules with the answer "job". */
struct fault *fault_find_for_job(struct fault_list *list, enum table table);

#endif
