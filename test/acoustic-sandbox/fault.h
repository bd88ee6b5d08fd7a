/*
 * fault.h: rules that make requests go wrong on demand.
 *
 * A rule is a JSON object; every key may be missing:
 *
 *   which requests    operation    "AddRecipient", "InsertUpdateRelationalTable", ..., "token"
 *                     table        "main", "newsletter", "waitlist" or "product"
 *                     email        shell pattern for the contact's address or email_id; a
 *                                  relational call matches when one of its rows does
 *                     skip         lets the first so many pass
 *                     count        answers so many (rows, for "failure"), then no more
 *                     probability  0 to 1
 *   what comes back   answer       "fault" (errorid, class, text), "failure" (failure_type,
 *                                  text: the matching rows only, SUCCESS stays true), "html",
 *                                  "empty", "body" (body, content_type), "cut" (no answer, the
 *                                  connection ends), "huge" (bytes), "slow" (byte_ms a byte);
 *                                  without: the right answer, only late
 *                     status       HTTP status, where one is sent
 *                     delay_ms     added to the latency
 *                     apply        true: what was asked for is done all the same
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
};
#define ANSWER_COUNT (ANSWER_SLOW + 1)

/* As in rules. */
const char *fault_answer_name(enum answer_kind answer);

struct fault {
    char *operation, *table, *email;
    long skip, count; /* count < 0: without end */
    double probability;
    enum answer_kind answer;
    char *errorid, *class, *text, *failure_type, *body, *content_type;
    int status;
    long bytes, byte_ms, delay_ms;
    bool apply;
    long hits;
};

struct fault_list {
    struct fault *faults;
    size_t count;
};

/* Replaces the rules by those of the array. On failure nothing changes, and *problem (static
 * text) says what is wrong. */
bool fault_load_list(struct fault_list *list, json_t *array, const char **problem);
json_t *fault_list_json(const struct fault_list *list);
void fault_free_list(struct fault_list *list);

/* The first rule for the whole request, counted as used; null when it may go right.
 * "table" is TABLE_COUNT when unknown; envelope is null for a token request. */
struct fault *
fault_find_for_request(struct fault_list *list, struct store *store, const char *operation,
                       enum table table, const struct envelope *envelope);
/* The same for one relational row: only rules whose answer is "failure". */
struct fault *fault_find_for_row(struct fault_list *list, struct store *store,
                                 const char *operation, enum table table, const struct row *row);

#endif
