/*
 * acoustic/reader.h: goes through an answer of the XML API, whatever is in it. answer.c and
 * import.c say what they look for.
 *
 * Document types, entities and network access are not allowed: answers have none, and they could
 * make much of little.
 */
#ifndef CTMS_ACOUSTIC_READER_H
#define CTMS_ACOUSTIC_READER_H

#include <stdbool.h>
#include <stddef.h>

/* Of the longest text; more of it is left out. */
enum { ACOUSTIC_READER_TEXT_MAX = 1024 };

typedef struct acoustic_reader_events {
    /* attributes: names and values by turns, ended by null; may be null itself. A value may be
     * null. False: the answer is refused. */
    bool (*start)(void *arg, const char *name, const char **attributes);
    /* text: what stands between the last tag and this one, on one line and trimmed. */
    void (*end)(void *arg, const char *name, const char *text);
} acoustic_reader_events;

/* True when it is XML, complete, and its root is Envelope. The events come in any case. */
bool acoustic_reader_read(const acoustic_reader_events *events, void *arg, const char *body,
                          size_t length);
/* Copies a text: trimmed, on one line, and cut at the end of a character. */
void acoustic_reader_copy(char *to, size_t size, const char *from);

#endif
