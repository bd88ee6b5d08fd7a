/* acoustic/answer.h: reads any answer of the XML API, valid or not. outcome.c calls it. */
#ifndef CTMS_ACOUSTIC_ANSWER_H
#define CTMS_ACOUSTIC_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

typedef enum acoustic_result {
    ACOUSTIC_UNREADABLE, /* empty, not XML, or XML of another kind */
    ACOUSTIC_SUCCESS,    /* individual rows may still have failed */
    ACOUSTIC_FAULT,
} acoustic_result;

typedef struct acoustic_failure {
    bool is_transient; /* otherwise permanent */
    char description[200];
    char email_id[64]; /* empty when the answer does not name it */
} acoustic_failure;

/* Texts are cut to size and put on a single line. */
typedef struct acoustic_answer {
    acoustic_result result;
    long errorid;   /* of a fault; -1 if it has none */
    char class[64]; /* of a fault */
    char text[256]; /* of a fault */
    acoustic_failure *failures;
    size_t failure_count;
} acoustic_answer;

/*
 * Reads an answer of any content and length. It never fails: an answer that cannot be read is
 * ACOUSTIC_UNREADABLE. Document types, entities and network access are not allowed. Free with
 * acoustic_answer_free().
 */
void acoustic_answer_read(acoustic_answer *answer, const char *body, size_t length);
void acoustic_answer_free(acoustic_answer *answer);

#endif
