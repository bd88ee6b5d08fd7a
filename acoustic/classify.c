/*
 * acoustic/classify.c: the table behind acoustic/classify.h.
 *
 * The first row that matches decides. The same number means different things in different classes
 * of Acoustic, so rows with a text come before rows with a number. A fault in the body comes before
 * the HTTP status, because it is more precise.
 */
#include "acoustic/classify.h"

#include <string.h>

enum { ANY = -1 };

typedef struct rule {
    const char *name;
    failure_class class;
    enum { QUIET, SLOW, OVERLOAD } pace;
    int status_from, status_to; /* HTTP status; 0, 0: any */
    long errorid;               /* ANY: any */
    const char *text;           /* must be in the text, in upper or lower case; null: any */
    const char *text_too;       /* must be in the text too */
} rule;

/* Faults. */
static const rule fault_rules[] = {
    /* by text */
    {"access token expired", CLASS_AUTHENTICATION, QUIET, 0, 0, ANY, "token", "expired"},
    {"session expired", CLASS_AUTHENTICATION, QUIET, 0, 0, ANY, "session has expired", NULL},
    {"too many concurrent requests", CLASS_TRANSIENT, OVERLOAD, 0, 0, ANY, "concurrent", NULL},
    {"address invalid", CLASS_CONTACT, QUIET, 0, 0, ANY, "email address is invalid", NULL},
    {"address blocked", CLASS_CONTACT, QUIET, 0, 0, ANY, "email address is blocked", NULL},
    {"no such list", CLASS_CONFIGURATION, QUIET, 0, 0, ANY, "list with id", NULL},
    {"no such column", CLASS_CONFIGURATION, QUIET, 0, 0, ANY, "there is no column", NULL},
    /* by number */
    {"145 session", CLASS_AUTHENTICATION, QUIET, 0, 0, 145, NULL, NULL},
    {"121 address", CLASS_CONTACT, QUIET, 0, 0, 121, NULL, NULL},
    {"1017 address", CLASS_CONTACT, QUIET, 0, 0, 1017, NULL, NULL},
    {"211 key values", CLASS_CONTACT, QUIET, 0, 0, 211, NULL, NULL},
    {"1006 key values", CLASS_CONTACT, QUIET, 0, 0, 1006, NULL, NULL},
    {"51 invalid XML", CLASS_CONFIGURATION, QUIET, 0, 0, 51, NULL, NULL},
    {"106 list", CLASS_CONFIGURATION, QUIET, 0, 0, 106, NULL, NULL},
    {"108 list", CLASS_CONFIGURATION, QUIET, 0, 0, 108, NULL, NULL},
    {"150 permissions", CLASS_CONFIGURATION, QUIET, 0, 0, 150, NULL, NULL},
    {"314 column", CLASS_CONFIGURATION, QUIET, 0, 0, 314, NULL, NULL},
    {"1007 column", CLASS_CONFIGURATION, QUIET, 0, 0, 1007, NULL, NULL},
    {"50 server error", CLASS_TRANSIENT, SLOW, 0, 0, 50, NULL, NULL},
    {"120 saving recipient", CLASS_TRANSIENT, SLOW, 0, 0, 120, NULL, NULL},
    {"311 creating job", CLASS_TRANSIENT, SLOW, 0, 0, 311, NULL, NULL},
    {"500 try later", CLASS_TRANSIENT, SLOW, 0, 0, 500, NULL, NULL},
    {"1003 saving recipient", CLASS_TRANSIENT, SLOW, 0, 0, 1003, NULL, NULL},
    {"1004 retrieving recipient", CLASS_TRANSIENT, SLOW, 0, 0, 1004, NULL, NULL},
    {"1005 adding recipient", CLASS_TRANSIENT, SLOW, 0, 0, 1005, NULL, NULL},
    {"1015 merging", CLASS_TRANSIENT, SLOW, 0, 0, 1015, NULL, NULL},
    /* by status */
    {"HTTP 401", CLASS_AUTHENTICATION, QUIET, 401, 401, ANY, NULL, NULL},
    {"HTTP 429", CLASS_TRANSIENT, OVERLOAD, 429, 429, ANY, NULL, NULL},
    {"HTTP 5xx", CLASS_TRANSIENT, SLOW, 500, 599, ANY, NULL, NULL},
    /* An unknown fault: the contact is tried again, up to the limit, and then stays visible. */
    {"unknown fault", CLASS_TRANSIENT, SLOW, 0, 0, ANY, NULL, NULL},
};

/* Answers without an envelope. */
static const rule status_rules[] = {
    {"HTTP 401", CLASS_AUTHENTICATION, QUIET, 401, 401, ANY, NULL, NULL},
    {"HTTP 429", CLASS_TRANSIENT, OVERLOAD, 429, 429, ANY, NULL, NULL},
    {"HTTP 5xx", CLASS_TRANSIENT, SLOW, 500, 599, ANY, NULL, NULL},
    {"no XML", CLASS_TRANSIENT, SLOW, 0, 0, ANY, NULL, NULL},
};

/* The envelope says success, but the HTTP status does not. */
static const rule success_rules[] = {
    {"HTTP 401", CLASS_AUTHENTICATION, QUIET, 401, 401, ANY, NULL, NULL},
    {"HTTP 429", CLASS_TRANSIENT, OVERLOAD, 429, 429, ANY, NULL, NULL},
    {"HTTP 5xx", CLASS_TRANSIENT, SLOW, 500, 599, ANY, NULL, NULL},
    {"success", CLASS_SUCCESS, QUIET, 0, 0, ANY, NULL, NULL},
};

/* Descriptions of rows that failed permanently. A missing column is missing for every contact. */
static const rule row_rules[] = {
    {"row: no such column", CLASS_CONFIGURATION, QUIET, 0, 0, ANY, "there is no column", NULL},
    {"row: permanent", CLASS_CONTACT, QUIET, 0, 0, ANY, NULL, NULL},
};

/* Reasons in the error file of an import. What a column lacks is told again, to somebody who can
 * stop the line, when the contact is sent the ordinary way. */
static const rule refused_rules[] = {
    {"refused: no such column", CLASS_CONFIGURATION, QUIET, 0, 0, ANY, "there is no column", NULL},
    {"refused: try again", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "try again", NULL},
    {"refused: temporary", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "temporar", NULL},
    {"refused: timed out", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "timed out", NULL},
    {"refused: time-out", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "timeout", NULL},
    {"refused: deadlock", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "deadlock", NULL},
    {"refused: internal error", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "internal error", NULL},
    {"refused: concurrent", CLASS_TRANSIENT, QUIET, 0, 0, ANY, "concurrent", NULL},
    {"refused: permanent", CLASS_CONTACT, QUIET, 0, 0, ANY, NULL, NULL},
};

/* For a deletion these rows are tried before the tables above. */
static const rule deletion_rules[] = {
    {"deletion: not a member", CLASS_SUCCESS, QUIET, 0, 0, ANY, "recipient not found", NULL},
    {"deletion: 128 not a member", CLASS_SUCCESS, QUIET, 0, 0, 128, NULL, NULL},
    {"deletion: 123 no recipient", CLASS_SUCCESS, QUIET, 0, 0, 123, NULL, NULL},
    {"deletion: 1009 deleted", CLASS_SUCCESS, QUIET, 0, 0, 1009, NULL, NULL},
};
static const rule deleted_row_rules[] = {
    {"deletion: no such row", CLASS_SUCCESS, QUIET, 0, 0, ANY, "row not found", NULL},
};

/* The other properties of each class. */
static const struct {
    const char *name;
    bool is_permanent;
    bool may_stop_line;
} classes[] = {
    {"success", false, false}, {"authentication", false, true}, {"transient", false, false},
    {"contact", true, false},  {"configuration", true, true},
};

_Static_assert(sizeof(classes) / sizeof(*classes) == FAILURE_CLASSES, "every class is described");

const char *
classify_class_name(failure_class class)
{
    return classes[class].name;
}

bool
classify_is_permanent(failure_class class)
{
    return classes[class].is_permanent;
}

bool
classify_may_stop_line(failure_class class)
{
    return classes[class].may_stop_line;
}

static bool
fits(const rule *r, int status, long errorid, const char *text)
{
    if (r->status_to != 0 && (status < r->status_from || status > r->status_to))
        return false;
    if (r->errorid != ANY && r->errorid != errorid)
        return false;
    return (r->text == NULL || strcasestr(text, r->text) != NULL) &&
           (r->text_too == NULL || strcasestr(text, r->text_too) != NULL);
}

/* The last row of each table matches everything. */
static verdict
look_up(const rule *rules, int status, long errorid, const char *text)
{
    while (!fits(rules, status, errorid, text))
        rules++;
    return (verdict){.class = rules->class,
                     .is_overload = rules->pace == OVERLOAD,
                     .slows_down = rules->pace != QUIET,
                     .rule = rules->name};
}

verdict
classify_answer(const char *problem, int http_status, const acoustic_answer *answer)
{
    if (problem != NULL)
        return (verdict){.class = CLASS_TRANSIENT, .slows_down = true, .rule = "no answer"};
    switch (answer->result) {
    case ACOUSTIC_SUCCESS: return look_up(success_rules, http_status, ANY, "");
    case ACOUSTIC_FAULT: return look_up(fault_rules, http_status, answer->errorid, answer->text);
    case ACOUSTIC_UNREADABLE: break;
    }
    return look_up(status_rules, http_status, ANY, "");
}

verdict
classify_row(const acoustic_failure *failure)
{
    if (failure->is_transient)
        return (verdict){.class = CLASS_TRANSIENT, .rule = "row: transient"};
    return look_up(row_rules, 0, ANY, failure->description);
}

verdict
classify_refused(const char *reason)
{
    if (*reason == '\0')
        return (verdict){.class = CLASS_TRANSIENT, .rule = "refused: no reason"};
    return look_up(refused_rules, 0, ANY, reason);
}

static bool
is_gone(const rule *rules, size_t count, long errorid, const char *text, verdict *v)
{
    for (size_t i = 0; i < count; i++) {
        if (fits(&rules[i], 0, errorid, text)) {
            *v = (verdict){.class = rules[i].class, .rule = rules[i].name};
            return true;
        }
    }
    return false;
}

verdict
classify_deletion(const char *problem, int http_status, const acoustic_answer *answer)
{
    verdict v;

    if (problem == NULL && answer->result == ACOUSTIC_FAULT &&
        is_gone(deletion_rules, sizeof(deletion_rules) / sizeof(*deletion_rules), answer->errorid,
                answer->text, &v))
        return v;
    return classify_answer(problem, http_status, answer);
}

verdict
classify_deleted_row(const acoustic_failure *failure)
{
    verdict v;

    if (is_gone(deleted_row_rules, sizeof(deleted_row_rules) / sizeof(*deleted_row_rules), ANY,
                failure->description, &v))
        return v;
    return classify_row(failure);
}
