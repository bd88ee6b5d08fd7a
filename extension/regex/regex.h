/*
 * regex/regex.h: regular expressions of ECMA-262 in Unicode mode, as JSON Schema requires them.
 *
 * A match may be anywhere in the subject. An expression without back-references and lookaround
 * takes time linear in the length of the subject: it runs as an automaton, whose states are built
 * when they are first needed and kept with the expression. Every match can be cancelled.
 */
#ifndef CTMS_REGEX_H
#define CTMS_REGEX_H

#include "extension/base/compat.h"

typedef struct Regex Regex;

/*
 * Compiles the pattern into the current memory context. If the pattern is wrong, returns NULL and
 * sets *error to what is wrong, without the pattern.
 */
extern Regex *regex_compile(const char *pattern, uint32 length, char **error);

/* Whether the time of a match is linear in the subject. */
extern bool regex_is_linear(const Regex *regex);

/* Whether the subject, in the encoding of the database, has a match. */
extern bool regex_matches(Regex *regex, const char *subject, uint32 length);

#endif
