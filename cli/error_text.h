/*
 * error_text.h: prints the DETAIL of a server error as lines that people can read. database.c and
 * cmd_waitlists.c call it.
 */
#ifndef CTMS_CLI_ERROR_TEXT_H
#define CTMS_CLI_ERROR_TEXT_H

#include <stdio.h>

/*
 * If detail is a JSON array of errors, prints one indented line for each error, with its place
 * first. The errors may be {"loc","msg"}, {"instanceLocation","keywordLocation","error"}, or stored
 * rows with a list "errors" of those. Any other text is printed unchanged, with each line indented.
 */
void error_text_print_detail(FILE *stream, const char *detail);

#endif
