/*
 * contact/body_parse.h: the text of a request body to jsonb.
 */
#ifndef CTMS_BODY_PARSE_H
#define CTMS_BODY_PARSE_H

#include "postgres.h"

#include "utils/jsonb.h"

/*
 * Parses JSON; of equal keys in an object the last wins. A byte order mark is skipped.
 * Raises CT422 with loc ["body", offset in characters] for what is not JSON, has a NUL
 * character or a lone surrogate, nests too deep, or has a number that no program could
 * have meant. NULL is treated as empty.
 */
extern Jsonb *body_parse(text *body);

#endif
