/*
 * acoustic/answer.h: reads the answers of the XML API, whatever they are.
 */
#ifndef AGENT_ACOUSTIC_ANSWER_H
#define AGENT_ACOUSTIC_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

typedef enum acoustic_result {
    ACOUSTIC_UNREADABLE, /* empty, no XML, or XML of another kind */
    ACOUSTIC_SUCCESS,    /* with or without failures of single rows */
    ACOUSTIC_FAULT,
} acoustic_result;

typedef struct acoustic_failure {
    bool is_transient; /* else permanent */
    char description[200];
    char email_id[64]; /* empty when the answer does not name it */
} acoustic_failure;

/* Texts are cut to size, on a single line. */
typedef struct acoustic_answer {
    acoustic_result result;
    long errorid;   /* of a fault; -1 without */
    char class[64]; /* of a fault */
    char text[256]; /* of a fault */
    acoustic_failure *failures;
    size_t failure_count;
} acoustic_answer;

/*
 * Reads whatever came, of any length. Never fails: what cannot be read is
 * ACOUSTIC_UNREADABLE. No document type, entity or network access is allowed to happen.
 * Free with acoustic_answer_free().
 */
void acoustic_answer_read(acoustic_answer *answer, const char *body, size_t length);
void acoustic_answer_free(acoustic_answer *answer);

#endif
