/*
 * waitlist/schema.h: the stored schemas of waitlists, compiled, by name.
 */
#ifndef CTMS_WAITLIST_SCHEMA_H
#define CTMS_WAITLIST_SCHEMA_H

#include "extension/json_schema/sql/cache.h"

/*
 * The program of the schema that is stored for the name, otherwise of "default"; NULL when
 * neither exists. Must be called before anything else reads the catalog.
 */
extern const JsonSchemaProgram *waitlist_schema_program(const char *name);

/* Starts to listen for changes; called once, by _PG_init. */
extern void waitlist_schema_init(void);

#endif
