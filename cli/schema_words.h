/*
 * schema_words.h: says in words what a JSON Schema of an object asks for. `ctms waitlists show`
 * uses it.
 *
 * The words are for people who fill in a form. They tell the usual keywords and say where there is
 * more; the schema decides.
 */
#ifndef CTMS_CLI_SCHEMA_WORDS_H
#define CTMS_CLI_SCHEMA_WORDS_H

#include <jansson.h>
#include <stdio.h>

/* Prints a line for each field, and whether others are allowed. */
void schema_words_print(FILE *stream, const json_t *schema);

/* An object that the schema probably accepts, with a value for each of its fields. */
json_t *schema_words_example(const json_t *schema);

#endif
