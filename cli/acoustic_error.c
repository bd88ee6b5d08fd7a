/*
 * acoustic_error.c: the table behind acoustic_error.h. acoustic/classify.c decides what the
 * agent does after these errors; this table is for people.
 */
#include "cli/acoustic_error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_MEANING "Acoustic takes the address for invalid"
#define ADDRESS_ADVICE "Correct the address, or delete the contact."
#define COLUMN_MEANING "a table of Acoustic lacks a column that ctms sends"
#define COLUMN_ADVICE                                                                              \
    "Add the column in Acoustic, or take it out with ctms acoustic fields remove; then ctms "      \
    "acoustic retry."
#define LIST_MEANING "Acoustic has no table with the id that ctms sends to"
#define LIST_ADVICE "Correct CTMS_ACOUSTIC_..._TABLE_ID of the agent; then ctms acoustic retry."
#define KEY_MEANING "Acoustic finds the row by other columns than ctms sends"
#define KEY_ADVICE                                                                                 \
    "The unique key of the table in Acoustic must be email_id, with the name of a relational row."
#define LOGIN_MEANING "Acoustic refused the agent's credentials"
#define LOGIN_ADVICE                                                                               \
    "Check CTMS_ACOUSTIC_CLIENT_ID, ..._CLIENT_SECRET and ..._REFRESH_TOKEN of the agent."
#define TROUBLE_MEANING "Acoustic could not store it at that moment"
#define TROUBLE_ADVICE                                                                             \
    "Nothing: it is tried again by itself. If it stays so, ask Acoustic's support, with the "      \
    "number."
#define BUSY_MEANING "Acoustic had too many requests at a time"
#define BUSY_ADVICE                                                                                \
    "CTMS_ACOUSTIC_MAX_IN_FLIGHT must not be more than Acoustic allows, less what other programs " \
    "of the organisation use."
#define NETWORK_MEANING "no answer of Acoustic arrived; it may have stored the contact all the same"
#define NETWORK_ADVICE                                                                             \
    "Nothing: it is tried again by itself. If it stays so, look at the network and at "            \
    "CTMS_ACOUSTIC_TIMEOUT_S."
#define UNREACHED_MEANING "Acoustic was not reached, so it has stored nothing"
#define UNREACHED_ADVICE                                                                           \
    "Nothing: it is tried again by itself. If it stays so, look at the network, at certificates, " \
    "and at CTMS_ACOUSTIC_BASE_URL of the agent."
#define NO_ANSWER_MEANING "something that is not Acoustic's API answered, such as a proxy"
#define NO_ANSWER_ADVICE                                                                           \
    "Nothing: it is tried again by itself. If it stays so, look at proxies, and at "               \
    "CTMS_ACOUSTIC_BASE_URL of the agent."

/* The first that matches counts: texts are more precise than numbers. The last matches all. */
static const struct acoustic_error errors[] = {
    {"Email Address Is Invalid", 0, "email address is invalid", ADDRESS_MEANING, ADDRESS_ADVICE},
    {"Email Address Is Blocked", 0, "email address is blocked",
     "Acoustic sends nothing to the address, because its owner or a rule of the organisation "
     "forbids it",
     "Leave it, or ask Acoustic's support to lift the block; then ctms acoustic retry."},
    {"There is no column", 0, "there is no column", COLUMN_MEANING, COLUMN_ADVICE},
    {"List with ID", 0, "list with id", LIST_MEANING, LIST_ADVICE},
    {"concurrent", 0, "concurrent", BUSY_MEANING, BUSY_ADVICE},
    {"Session has expired", 0, "session has expired", LOGIN_MEANING, LOGIN_ADVICE},
    {"row refused", 0, "row refused",
     "Acoustic has taken the main row of the contact, but not this row of another table",
     "Its text says why. Correct the value that it names; the contact is then sent again."},
    {"fault 50", 50, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 51", 51, NULL, "Acoustic could not read the request",
     "Look at what is sent with ctms acoustic show, and report it."},
    {"fault 106", 106, NULL, LIST_MEANING, LIST_ADVICE},
    {"fault 108", 108, NULL, LIST_MEANING, LIST_ADVICE},
    {"fault 120", 120, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 121", 121, NULL, ADDRESS_MEANING, ADDRESS_ADVICE},
    {"fault 145", 145, NULL, LOGIN_MEANING, LOGIN_ADVICE},
    {"fault 150", 150, NULL, "the agent's account may not do this in Acoustic",
     "Give the account the rights to add contacts and to change tables; then ctms acoustic retry."},
    {"fault 211", 211, NULL, KEY_MEANING, KEY_ADVICE},
    {"fault 311", 311, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 314", 314, NULL, COLUMN_MEANING, COLUMN_ADVICE},
    {"fault 500", 500, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 1003", 1003, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 1004", 1004, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 1005", 1005, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 1006", 1006, NULL, KEY_MEANING, KEY_ADVICE},
    {"fault 1007", 1007, NULL, COLUMN_MEANING, COLUMN_ADVICE},
    {"fault 1015", 1015, NULL, TROUBLE_MEANING, TROUBLE_ADVICE},
    {"fault 1017", 1017, NULL, ADDRESS_MEANING, ADDRESS_ADVICE},
    {"HTTP 401", 0, "HTTP 401", LOGIN_MEANING, LOGIN_ADVICE},
    {"HTTP 429", 0, "HTTP 429", BUSY_MEANING, BUSY_ADVICE},
    {"HTTP 5xx", 0, "HTTP 5", TROUBLE_MEANING, TROUBLE_ADVICE},
    {"no XML", 0, "no XML", NO_ANSWER_MEANING, NO_ANSWER_ADVICE},
    {"empty answer", 0, "empty answer", NO_ANSWER_MEANING, NO_ANSWER_ADVICE},
    {"the answer is too large", 0, "the answer is too large", NO_ANSWER_MEANING, NO_ANSWER_ADVICE},
    {"Failed to connect", 0, "failed to connect", UNREACHED_MEANING, UNREACHED_ADVICE},
    {"Could not resolve", 0, "could not resolve", UNREACHED_MEANING, UNREACHED_ADVICE},
    {"SSL_connect", 0, "ssl_connect", UNREACHED_MEANING, UNREACHED_ADVICE},
    {"certificate", 0, "certificate", UNREACHED_MEANING, UNREACHED_ADVICE},
    {"timed out", 0, "timed out", NETWORK_MEANING, NETWORK_ADVICE},
    {"connection", 0, "connect", NETWORK_MEANING, NETWORK_ADVICE},
    {"Empty reply", 0, "empty reply", NETWORK_MEANING, NETWORK_ADVICE},
    {"Recv failure", 0, "recv failure", NETWORK_MEANING, NETWORK_ADVICE},
    {"Send failure", 0, "send failure", NETWORK_MEANING, NETWORK_ADVICE},
    {"transfer closed", 0, "transfer closed", NETWORK_MEANING, NETWORK_ADVICE},
    {"SSL_read", 0, "ssl_read", NETWORK_MEANING, NETWORK_ADVICE},
    {"SSL_write", 0, "ssl_write", NETWORK_MEANING, NETWORK_ADVICE},
    {"other", 0, NULL, "Acoustic's own text is all that is known",
     "It is tried again up to CTMS_ACOUSTIC_RETRY_LIMIT times. If it stays so, ask Acoustic's "
     "support."},
};

#define TIME_LENGTH 20 /* 2024-01-02T03:04:05Z */

const char *
acoustic_error_skip_time(const char *error)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ ";

    for (int i = 0; i <= TIME_LENGTH; i++) {
        bool is_digit = error[i] >= '0' && error[i] <= '9';

        if (form[i] == 'd' ? !is_digit : error[i] != form[i])
            return error;
    }
    return error + TIME_LENGTH + 1;
}

static bool
fits(const struct acoustic_error *entry, const char *error, long fault)
{
    return (entry->fault == 0 || entry->fault == fault) &&
           (!entry->text || strcasestr(error, entry->text));
}

const struct acoustic_error *
acoustic_error_explain(const char *error)
{
    static const char fault_word[] = "fault ";
    const struct acoustic_error *entry = errors;
    long fault = 0;

    error = acoustic_error_skip_time(error);
    if (strncmp(error, fault_word, sizeof(fault_word) - 1) == 0)
        fault = strtol(error + sizeof(fault_word) - 1, NULL, 10);
    while (!fits(entry, error, fault))
        entry++;
    return entry;
}
