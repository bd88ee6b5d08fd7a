/*
 * import/database.h: an older database as the source of an import.
 */
#ifndef CTMS_CLI_IMPORT_DATABASE_H
#define CTMS_CLI_IMPORT_DATABASE_H

#include "cli/import/import.h"

/*
 * Connects to the source and begins to read one state of it. False after saying why not. The
 * caller ends with import->source->close(), which may be called twice.
 */
bool import_database_open(struct import *import, const char *url, const char *schema);

#endif
