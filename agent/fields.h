/*
 * fields.h: walks a flat JSON object, as ctms.acoustic_rows() gives them, field by field.
 *
 * A general JSON parser would build an object of sixty texts for each contact, to be taken
 * apart at once: that was more than half of the agent's work.
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
    buf value; /* empty for null; numbers and truth values as they are written */
    const char *at, *end;
    bool is_first;
    bool is_broken;
    bool is_over;
} fields;

/* json must stay until the end. */
void fields_begin(fields *f, const char *json, size_t length);
/* False after the last field, and where the text is no flat object. */
bool fields_next(fields *f);
/* Frees; true when the text was a flat object to its end, all of it walked. */
bool fields_end(fields *f);

#endif
