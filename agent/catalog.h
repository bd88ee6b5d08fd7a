/*
 * catalog.h: which main fields and newsletters are configured to be sent. report.c needs it to log
 * which parts of a contact were left out.
 */
#ifndef AGENT_CATALOG_H
#define AGENT_CATALOG_H

#include <stdbool.h>

#include "agent/contact.h"
#include "common/buf.h"

typedef struct catalog catalog;

/* Makes a catalog that is empty at first. */
catalog *catalog_new(void);
void catalog_free(catalog *known);
/* Takes the result of ctms.acoustic_configuration(); invalid text changes nothing. */
void catalog_read(catalog *known, const char *json);

/*
 * Each appends a JSON array of names and returns how many there were. Newsletters: those of the
 * contact that set no flag in its main row. Fields: those that are configured but not in its main
 * row, because ctms has no source for them, or the contact has no such rows.
 */
int catalog_append_skipped_newsletters(const catalog *known, const contact *c, buf *names);
int catalog_append_skipped_fields(const catalog *known, const contact *c, buf *names);

#endif
