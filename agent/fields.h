/*
 * fields.h: reads a flat JSON object, as ctms.acoustic_rows() returns it, field by field. contact.c
 * calls it.
 *
 * A general JSON parser would build an object of sixty texts for each contact, only for it to be
 * taken apart at once. That took more than half of the agent's time.
 *
 *   fields_begin(&f, json, length);
 *   while (fields_next(&f)) ... buf_text(&f.name), buf_text(&f.value) ...
 *   is_well = fields_end(&f);
 */
#ifndef AGENT_FIELDS_H
#define AGENT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

typedef struct fields {
    buf name;  /* of the current field */
    buf value; /* empty for null; numbers, true and false as they are written */
    const char *at, *end;
    bool is_first;
    bool is_broken;
    bool is_over;
} fields;

/* json must stay valid until fields_end(). */
void fields_begin(fields *f, const char *json, size_t length);
/* False after the last field, and when the text is not a flat object. */
bool fields_next(fields *f);
/* Frees the fields. True when the text was a flat object and all of it was read. */
bool fields_end(fields *f);

#endif
