/*
 * error_text.h: prints the DETAIL of a server error as lines that people can read, and what to do
 * about a refused login. database.c and cmd_waitlists.c call it.
 */
#ifndef CTMS_CLI_ERROR_TEXT_H
#define CTMS_CLI_ERROR_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/buf.h"

/*
 * If detail is a JSON array of errors, prints one indented line for each error, with its place
 * first. The errors may be {"loc","msg"}, {"instanceLocation","keywordLocation","error"}, or stored
 * rows with a list "errors" of those. Any other text is printed with each line indented. Names in
 * it come from outside, so it is printed like output_text() does.
 */
void error_text_print_detail(FILE *stream, const char *detail);

/*
 * What to do about a login that the server refused, or null if this does not know: libpq tells the
 * reason only by a message, which may be translated. is_local: over a Unix socket. Free it.
 */
char *error_text_advise_login(const char *message, const char *role, bool is_local);

/* Appends the name of a role as SQL has it, for a statement that somebody is told to run. */
void error_text_append_role(buf *text, const char *role);

/* Prints a text of one or more lines like output_text(), but breaks its lines. */
void error_text_print_lines(FILE *stream, const char *text);

#endif
