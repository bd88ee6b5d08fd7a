/*
 * id_array.h: ids as the text of a PostgreSQL array, the parameter of functions that take many
 * contacts. The commands of `ctms acoustic` use it.
 */
#ifndef CTMS_CLI_ID_ARRAY_H
#define CTMS_CLI_ID_ARRAY_H

#include "common/buf.h"

/* The characters of an id. */
#define ID_LENGTH 36

/* Adds an id to an array, which begins as an empty buf. */
void id_array_add(buf *array, const char *id);
/* Completes the array, to which nothing can be added then; it may be empty. */
const char *id_array_end(buf *array);

#endif
