/*
 * error_text.h: the DETAIL of a server error as lines for people.
 */
#ifndef CTMS_CLI_ERROR_TEXT_H
#define CTMS_CLI_ERROR_TEXT_H

#include <stdio.h>

/*
 * Prints one indented line for each error of a DETAIL that is a JSON array (of
 * {"loc","msg"}, of {"instanceLocation","keywordLocation","error"}, or of stored rows with
 * a list "errors" of those), with its place first; any other text is printed as it is, each
 * line indented.
 */
void error_text_print_detail(FILE *stream, const char *detail);

#endif
