/*
 * near.h: finds the names that a mistyped one may stand for, for "did you mean" in errors. Commands
 * that look up a name use it.
 *
 *     near_names near;
 *     near_begin(&near, given);
 *     near_offer(&near, "acoustic"), ...         each name that there is
 *     output_error(cli, CLI_USAGE, "unknown command \"%s\"%s", given, near_question(&near));
 */
#ifndef CTMS_CLI_NEAR_H
#define CTMS_CLI_NEAR_H

#include <libpq-fe.h>
#include <stdbool.h>

#define NEAR_COUNT 3 /* more would not help a reader */
#define NEAR_SIZE 65 /* bytes; longer names are never near */

typedef struct near_names {
    const char *given;
    int count;
    char names[NEAR_COUNT][NEAR_SIZE]; /* the nearest first, without equal ones */
    int distances[NEAR_COUNT];
    char question[NEAR_COUNT * NEAR_SIZE + 32];
} near_names;

/* given must outlive the rest. */
void near_begin(near_names *near, const char *given);
/* Keeps a copy of the name if it is one of the nearest so far. Upper and lower case are the same.
 */
void near_offer(near_names *near, const char *name);
/* The same, but another text is compared with what was given. */
void near_offer_as(near_names *near, const char *compared, const char *name);
/* Offers the first column of each row. A null result has none. True if what was given is among
 * them. */
bool near_offer_rows(near_names *near, const PGresult *result);
/*
 * `; did you mean "x", "y" or "z"?`, or "" if no name is near. It holds names as they are, so print
 * it by output_error() or output_text().
 */
const char *near_question(near_names *near);
/* The nearest name if it differs in one character at most, or null. */
const char *near_twin(const near_names *near);

#endif
