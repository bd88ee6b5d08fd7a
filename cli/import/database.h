/*
 * import/database.h: an older database as the source of an import.
 */
#ifndef CTMS_CLI_IMPORT_DATABASE_H
#define CTMS_CLI_IMPORT_DATABASE_H

#include "cli/import/import.h"

/*
 * Connects to the source and begins a snapshot of it. Returns false after reporting why it cannot.
 * The caller must call import->source->close(), which may be called twice.
 */
bool import_database_open(struct import *import, const char *url, const char *schema);

#endif
