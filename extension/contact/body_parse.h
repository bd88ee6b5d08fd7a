/*
 * contact/body_parse.h: turns the text of a request body into jsonb.
 */
#ifndef CTMS_BODY_PARSE_H
#define CTMS_BODY_PARSE_H

#include "postgres.h"

#include "utils/jsonb.h"

/*
 * Parses JSON. If an object has the same key several times, the last one counts. A byte order
 * mark is skipped. Raises CT422 with loc ["body", offset in characters] when the text is not
 * JSON, contains a NUL character or a lone surrogate, is nested too deeply, or has a number that
 * no program could have meant. NULL counts as empty.
 */
extern Jsonb *body_parse(text *body);

#endif
