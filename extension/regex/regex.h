/*
 * regex/regex.h: regular expressions of ECMA-262 in Unicode mode, as JSON Schema wants them.
 *
 * A match looks anywhere in the subject. Without back-references and lookaround it takes
 * time linear in the subject: the expression runs as an automaton whose states are built
 * when they are first needed and kept with the expression. Every match can be cancelled.
 */
#ifndef CTMS_REGEX_H
#define CTMS_REGEX_H

#include "extension/base/compat.h"

typedef struct Regex Regex;

/* Compiles into the current memory context. On a mistake in the pattern returns NULL and
 * sets *error to what is wrong, without the pattern. */
extern Regex *regex_compile(const char *pattern, uint32 length, char **error);

/* Whether the subject, in the encoding of the database, has a match. */
extern bool regex_matches(Regex *regex, const char *subject, uint32 length);

#endif
