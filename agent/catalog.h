/*
 * catalog.h: which main fields and newsletters are configured to be sent; for the log, which
 * says what of a contact was left out.
 */
#ifndef AGENT_CATALOG_H
#define AGENT_CATALOG_H

#include <stdbool.h>

#include "agent/contact.h"
#include "common/buf.h"

typedef struct catalog catalog;

/* Knows nothing yet. */
catalog *catalog_new(void);
void catalog_free(catalog *known);
/* Takes what ctms.acoustic_configuration() gave; anything else changes nothing. */
void catalog_read(catalog *known, const char *json);

/*
 * Append a JSON array of names, and return how many there were: newsletters of the contact that
 * set no flag of its main row; configured fields that its main row does not have, because
 * ctms has no source for them or the contact none of their rows.
 */
int catalog_append_skipped_newsletters(const catalog *known, const contact *c, buf *names);
int catalog_append_skipped_fields(const catalog *known, const contact *c, buf *names);

#endif
